"""Ranking metrics against sklearn, on weighted examples with ties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, roc_curve

from trainer.metrics import Ranking, average_precision, bootstrap_average_precision

VARIED = settings(max_examples=60, deadline=None)

Scored = tuple[np.ndarray, np.ndarray, np.ndarray]

_SCORES = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),  # ties
    st.floats(0, 1, width=32),
)

_WEIGHTS = st.floats(0.125, 64)


@st.composite
def scored(draw: st.DrawFn, weights: st.SearchStrategy[float] = _WEIGHTS) -> Scored:
    """Labels of both classes, scores with ties, weights."""
    rows = draw(st.lists(st.tuples(st.integers(0, 1), _SCORES, weights), min_size=2, max_size=60))
    labels, scores, drawn = (np.array(column) for column in zip(*rows, strict=True))
    assume(0 < labels.sum() < len(labels))
    return labels, scores, drawn


@VARIED
@given(scored())
def test_average_precision_is_sklearns(data: Scored) -> None:
    labels, scores, weights = data
    expected = average_precision_score(labels, scores, sample_weight=weights)
    assert average_precision(labels, scores, weights) == pytest.approx(expected, abs=1e-12)
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


@VARIED
@given(scored())
def test_roc_auc_is_sklearns(data: Scored) -> None:
    labels, scores, weights = data
    expected = roc_auc_score(labels, scores, sample_weight=weights)
    assert Ranking.of(labels, scores, weights).roc_auc() == pytest.approx(expected, abs=1e-12)


@VARIED
@given(scored(st.integers(1, 9).map(float)), st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 1.0]))
def test_recall_at_a_false_positive_rate_is_the_best_on_sklearns_curve(data: Scored, rate: float) -> None:
    labels, scores, weights = data
    false_positive_rates, recalls, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    expected = recalls[false_positive_rates <= rate + 1e-9].max()
    actual = Ranking.of(labels, scores, weights).recall_at_false_positive_rate(rate)
    assert actual == pytest.approx(expected, abs=1e-12)


@VARIED
@given(scored())
def test_no_threshold_has_a_better_f1(data: Scored) -> None:
    labels, scores, weights = data
    threshold = Ranking.of(labels, scores, weights).best_f1_threshold()

    def f1(limit: float) -> float:
        return f1_score(labels, scores >= limit, sample_weight=weights)

    assert f1(threshold) == pytest.approx(max(f1(limit) for limit in scores), abs=1e-12)


@VARIED
@given(scored())
def test_rounding_the_threshold_to_float32_changes_no_decision(data: Scored) -> None:
    labels, scores, weights = data
    threshold = Ranking.of(labels, scores, weights).best_f1_threshold()
    assert ((scores >= threshold) == (scores.astype(np.float32) >= np.float32(threshold))).all()


def test_the_threshold_stays_above_a_neighbour_in_float32() -> None:
    for start in (0.5, 0.7, 0.9, 0.99):
        lower = np.float32(start)
        higher = np.nextafter(lower, np.float32(1))
        highest = np.nextafter(higher, np.float32(1))
        for legitimate, fraud in ((lower, higher), (higher, highest)):
            threshold = Ranking.of(np.array([0, 1]), np.array([legitimate, fraud])).best_f1_threshold()
            assert legitimate < np.float32(threshold) <= fraud


def test_the_threshold_lies_half_way_to_the_next_score() -> None:
    labels, scores = np.array([1, 1, 0, 0]), np.array([0.9, 0.75, 0.25, 0.125])
    assert Ranking.of(labels, scores).best_f1_threshold() == 0.5
    assert Ranking.of(labels, np.full(4, 0.3)).best_f1_threshold() == pytest.approx(0.3)


@VARIED
@given(scored(st.integers(1, 5).map(float)))
def test_a_weight_counts_as_so_many_rows(data: Scored) -> None:
    labels, scores, weights = data
    times = weights.astype(int)
    repeated = Ranking.of(np.repeat(labels, times), np.repeat(scores, times))
    weighted = Ranking.of(labels, scores, weights)
    assert weighted.average_precision() == pytest.approx(repeated.average_precision(), abs=1e-12)
    assert weighted.roc_auc() == pytest.approx(repeated.roc_auc(), abs=1e-12)
    assert weighted.best_f1_threshold() == repeated.best_f1_threshold()


@VARIED
@given(scored(), st.floats(0, 1, width=32), st.integers(0, 1))
def test_a_row_of_no_weight_changes_nothing(data: Scored, score: float, label: int) -> None:
    labels, scores, weights = data
    more = Ranking.of(np.append(labels, label), np.append(scores, score), np.append(weights, 0.0))
    less = Ranking.of(labels, scores, weights)
    assert more.average_precision() == pytest.approx(less.average_precision(), abs=1e-12)
    assert more.roc_auc() == pytest.approx(less.roc_auc(), abs=1e-12)


def test_figures_of_four_transactions() -> None:
    ranking = Ranking.of(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]))
    assert ranking.average_precision() == pytest.approx((1 + 2 / 3) / 2)
    assert ranking.roc_auc() == pytest.approx(3 / 4)
    assert ranking.recall_at_false_positive_rate(0.49) == 0.5
    assert ranking.recall_at_false_positive_rate(0.5) == 1.0


def test_a_rate_met_exactly_is_within() -> None:
    # 0.1 + 0.2 is a little more than 0.3
    ranking = Ranking.of(np.array([0, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]), np.array([0.1, 0.2, 1.0, 0.7]))
    assert ranking.recall_at_false_positive_rate(0.3) == 1.0


def test_a_false_alarm_at_the_top_leaves_no_recall_at_rate_zero() -> None:
    assert Ranking.of(np.array([0, 1]), np.array([0.9, 0.1])).recall_at_false_positive_rate(0.0) == 0.0


@pytest.mark.parametrize("labels", [[], [0, 0, 0]])
def test_without_fraud_nothing_is_ranked(labels: list[int]) -> None:
    scores = np.linspace(0, 1, len(labels))
    ranking = Ranking.of(np.array(labels), scores)
    assert math.isnan(ranking.average_precision())
    assert math.isnan(ranking.roc_auc())
    assert math.isnan(ranking.recall_at_false_positive_rate(0.1))
    assert ranking.best_f1_threshold() == 0.5
    assert all(map(math.isnan, bootstrap_average_precision(np.array(labels), scores)))


def test_without_legitimate_transactions_there_is_no_roc_curve() -> None:
    ranking = Ranking.of(np.ones(2), np.array([0.1, 0.2]))
    assert math.isnan(ranking.roc_auc())
    assert math.isnan(ranking.recall_at_false_positive_rate(0.1))
    assert ranking.average_precision() == 1.0


def test_frauds_of_no_weight_have_no_interval() -> None:
    assert all(map(math.isnan, bootstrap_average_precision(np.array([1, 0]), np.array([0.2, 0.1]), np.array([0, 1]))))


def _sample(seed: int, rows: int = 300) -> Scored:
    generator = np.random.default_rng(seed)
    labels = (np.arange(rows) % 10 == 0).astype(np.float64)
    scores = np.round(generator.normal(labels, 1), 1)
    return labels, scores, generator.choice([1.0, 5.0], rows)


@settings(VARIED, max_examples=15)
@given(st.integers(0, 10_000))
def test_the_interval_holds_the_estimate(seed: int) -> None:
    labels, scores, weights = _sample(seed)
    lower, upper = bootstrap_average_precision(labels, scores, weights, resamples=200)
    assert 0 < lower < average_precision(labels, scores, weights) < upper <= 1


def test_the_interval_is_that_of_resampling_indices() -> None:
    labels, scores, weights = _sample(3, rows=1000)
    generator = np.random.default_rng(1)
    drawn = []
    for _ in range(1000):
        rows = generator.integers(0, len(labels), len(labels))
        drawn.append(average_precision_score(labels[rows], scores[rows], sample_weight=weights[rows]))
    expected = np.quantile(drawn, [0.025, 0.975])
    assert bootstrap_average_precision(labels, scores, weights, resamples=1000) == pytest.approx(expected, abs=0.02)


def test_the_interval_depends_on_the_seed_alone() -> None:
    labels, scores, weights = _sample(1)
    first = bootstrap_average_precision(labels, scores, weights, resamples=50, seed=4)
    assert bootstrap_average_precision(labels, scores, weights, resamples=50, seed=4) == first
    assert bootstrap_average_precision(labels, scores, weights, resamples=50, seed=5) != first


def test_more_coverage_is_a_wider_interval() -> None:
    labels, scores, weights = _sample(2)
    narrow = bootstrap_average_precision(labels, scores, weights, resamples=200, coverage=0.5)
    wide = bootstrap_average_precision(labels, scores, weights, resamples=200, coverage=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_transactions_below_every_fraud_change_no_interval() -> None:
    labels, scores, weights = _sample(6)
    low = np.full(50, scores.min() - 1)
    more = (np.append(labels, np.zeros(50)), np.append(scores, low), np.append(weights, np.ones(50)))
    assert bootstrap_average_precision(*more, resamples=50) == bootstrap_average_precision(
        labels, scores, weights, resamples=50
    )


def test_a_perfect_ranking_is_certain() -> None:
    labels = np.array([1, 1, 1, 0, 0])
    assert bootstrap_average_precision(labels, labels.astype(float), resamples=100) == (1.0, 1.0)
