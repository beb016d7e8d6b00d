"""Ranking metrics against sklearn, on weighted examples with ties."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from sklearn.metrics import log_loss as sklearn_log_loss

from trainer.metrics import (
    RANKED,
    Ranking,
    average_precision,
    bootstrap,
    bootstrap_difference,
    bootstrap_sum,
    brier,
    log_loss,
    precision_at_most_suspect,
)

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
    assert Ranking.from_scores(labels, scores, weights).roc_auc() == pytest.approx(expected, abs=1e-12)


@VARIED
@given(scored(st.integers(1, 9).map(float)), st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 1.0]))
def test_recall_at_a_false_positive_rate_is_the_best_on_sklearns_curve(data: Scored, rate: float) -> None:
    labels, scores, weights = data
    false_positive_rates, recalls, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    expected = recalls[false_positive_rates <= rate + 1e-9].max()
    actual = Ranking.from_scores(labels, scores, weights).recall_at_false_positive_rate(rate)
    assert actual == pytest.approx(expected, abs=1e-12)


@VARIED
@given(scored(st.integers(1, 5).map(float)))
def test_a_weight_counts_as_so_many_rows(data: Scored) -> None:
    labels, scores, weights = data
    times = weights.astype(int)
    repeated = Ranking.from_scores(np.repeat(labels, times), np.repeat(scores, times))
    weighted = Ranking.from_scores(labels, scores, weights)
    assert weighted.average_precision() == pytest.approx(repeated.average_precision(), abs=1e-12)
    assert weighted.roc_auc() == pytest.approx(repeated.roc_auc(), abs=1e-12)


@VARIED
@given(scored(), st.floats(0, 1, width=32), st.integers(0, 1))
def test_a_row_of_no_weight_changes_nothing(data: Scored, score: float, label: int) -> None:
    labels, scores, weights = data
    more = Ranking.from_scores(np.append(labels, label), np.append(scores, score), np.append(weights, 0.0))
    less = Ranking.from_scores(labels, scores, weights)
    assert more.average_precision() == pytest.approx(less.average_precision(), abs=1e-12)
    assert more.roc_auc() == pytest.approx(less.roc_auc(), abs=1e-12)


def test_figures_of_four_transactions() -> None:
    ranking = Ranking.from_scores(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]))
    assert ranking.average_precision() == pytest.approx((1 + 2 / 3) / 2)
    assert ranking.roc_auc() == pytest.approx(3 / 4)
    assert ranking.recall_at_false_positive_rate(0.49) == 0.5
    assert ranking.recall_at_false_positive_rate(0.5) == 1.0


def test_a_rate_met_exactly_is_within() -> None:
    # 0.1 + 0.2 is a little more than 0.3
    ranking = Ranking.from_scores(
        np.array([0, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]), np.array([0.1, 0.2, 1.0, 0.7])
    )
    assert ranking.recall_at_false_positive_rate(0.3) == 1.0


def test_a_false_alarm_at_the_top_leaves_no_recall_at_rate_zero() -> None:
    assert Ranking.from_scores(np.array([0, 1]), np.array([0.9, 0.1])).recall_at_false_positive_rate(0.0) == 0.0


@pytest.mark.parametrize("labels", [[], [0, 0, 0]])
def test_without_fraud_nothing_is_ranked(labels: list[int]) -> None:
    scores = np.linspace(0, 1, len(labels))
    ranking = Ranking.from_scores(np.array(labels), scores)
    assert math.isnan(ranking.average_precision())
    assert math.isnan(ranking.roc_auc())
    assert math.isnan(ranking.recall_at_false_positive_rate(0.1))
    assert math.isnan(ranking.recall_at_precision(0.5))
    intervals = bootstrap(np.array(labels), scores, np.ones(len(labels)))
    assert set(intervals) == set(RANKED)
    assert all(math.isnan(end) for interval in intervals.values() for end in interval)


def test_without_legitimate_transactions_there_is_no_roc_curve() -> None:
    ranking = Ranking.from_scores(np.ones(2), np.array([0.1, 0.2]))
    assert math.isnan(ranking.roc_auc())
    assert math.isnan(ranking.recall_at_false_positive_rate(0.1))
    assert ranking.average_precision() == 1.0


def test_frauds_of_no_weight_have_no_interval() -> None:
    interval = bootstrap(np.array([1, 0]), np.array([0.2, 0.1]), np.array([0.0, 1.0]))["average_precision"]
    assert all(map(math.isnan, interval))


def _sample(seed: int, rows: int = 300) -> Scored:
    """Ties on purpose: rows of one score are drawn together."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(rows) % 10 == 0).astype(np.float64)
    scores = np.round(generator.normal(labels, 1), 1)
    return labels, scores, np.where(labels, 1.0, 5.0)


def _resampled(labels: np.ndarray, weights: np.ndarray, figure: Callable[[np.ndarray], float]) -> list[float]:
    """The interval by drawing transactions one by one, `figure` of the weights of each resample."""
    generator = np.random.default_rng(1)
    drawn = [figure(weights * generator.poisson(1, len(labels))) for _ in range(1000)]
    return np.quantile(drawn, [0.025, 0.975]).tolist()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_interval_holds_the_estimate(seed: int) -> None:
    labels, scores, weights = _sample(seed)
    lower, upper = bootstrap(labels, scores, weights)["average_precision"]
    assert 0 < lower < average_precision(labels, scores, weights) < upper <= 1


def test_the_intervals_are_those_of_drawing_each_transaction_by_itself() -> None:
    labels, scores, weights = _sample(3, rows=1000)
    by_hand = {
        "average_precision": lambda drawn: average_precision_score(labels, scores, sample_weight=drawn),
        "roc_auc": lambda drawn: roc_auc_score(labels, scores, sample_weight=drawn),
        "recall_at_1_percent_false_positives": lambda drawn: Ranking.from_scores(
            labels, scores, drawn
        ).recall_at_false_positive_rate(0.01),
    }
    intervals = bootstrap(labels, scores, weights)
    assert set(by_hand) == set(intervals)
    for name, figure in by_hand.items():
        assert intervals[name] == pytest.approx(_resampled(labels, weights, figure), abs=0.02), name


def test_the_interval_of_a_difference_draws_the_same_transactions_for_both() -> None:
    labels, scores, weights = _sample(4, rows=1000)
    others = np.round(scores + np.random.default_rng(2).normal(0, 0.3, 1000), 1)

    def difference(drawn: np.ndarray) -> float:
        return average_precision_score(labels, scores, sample_weight=drawn) - average_precision_score(
            labels, others, sample_weight=drawn
        )

    value, interval = bootstrap_difference(labels, scores, others, weights)
    assert value == pytest.approx(difference(weights), abs=1e-12)
    assert interval == pytest.approx(_resampled(labels, weights, difference), abs=0.01)
    spread = [end[1] - end[0] for end in (interval, bootstrap(labels, scores, weights)["average_precision"])]
    assert spread[0] < spread[1]  # what is hard for both cancels out


def test_a_model_does_not_differ_from_itself() -> None:
    labels, scores, weights = _sample(5)
    assert bootstrap_difference(labels, scores, scores, weights) == (0.0, (0.0, 0.0))


def test_many_frauds_are_compared_by_some_of_their_scores() -> None:
    generator = np.random.default_rng(8)
    labels = (np.arange(6000) % 4 == 0).astype(float)
    scores, others = labels + generator.normal(0, 1, 6000), labels + generator.normal(0, 1.1, 6000)
    weights = np.ones(6000)
    assert len(np.unique(scores[labels > 0])) > 1000

    def difference(drawn: np.ndarray) -> float:
        return average_precision(labels, scores, drawn) - average_precision(labels, others, drawn)

    value, interval = bootstrap_difference(labels, scores, others, weights)
    assert value == pytest.approx(difference(weights), abs=1e-12)
    assert interval == pytest.approx(_resampled(labels, weights, difference), abs=0.004)


def test_without_fraud_there_is_no_difference_to_tell() -> None:
    value, interval = bootstrap_difference(np.zeros(3), np.arange(3.0), np.arange(3.0), np.ones(3))
    assert all(map(math.isnan, (value, *interval)))


def test_the_interval_depends_on_the_seed_alone() -> None:
    labels, scores, weights = _sample(1)
    first = bootstrap(labels, scores, weights, seed=4)
    assert bootstrap(labels, scores, weights, seed=4) == first
    assert bootstrap(labels, scores, weights, seed=5) != first


def test_a_perfect_ranking_is_certain() -> None:
    labels = np.array([1, 1, 1, 0, 0])
    assert bootstrap(labels, labels.astype(float), np.ones(5))["average_precision"] == (1.0, 1.0)


def test_the_interval_of_a_sum_is_that_of_drawing_each_row() -> None:
    values = np.where(np.arange(500) % 5 == 0, np.random.default_rng(0).lognormal(3, 1, 500), 0.0)
    weights = np.where(np.arange(500) % 2, 1.0, 3.0)
    interval = bootstrap_sum(values, weights)
    assert interval == pytest.approx(_resampled(values, weights, lambda drawn: float(drawn @ values)), rel=0.03)
    assert interval.lower < values @ weights < interval.upper
    assert bootstrap_sum(np.zeros(3), np.ones(3)) == (0.0, 0.0)


@VARIED
@given(scored(), st.floats(0.01, 1))
def test_recall_at_precision_is_that_of_sklearn_s_curve(data: Scored, precision: float) -> None:
    labels, scores, weights = data
    precisions, recalls, _ = precision_recall_curve(labels, scores, sample_weight=weights)
    # the last point is sklearn's own: recall 0, precision 1
    best = recalls[:-1][precisions[:-1] >= precision * (1 - 1e-9)].max(initial=0.0)
    assert Ranking.from_scores(labels, scores, weights).recall_at_precision(precision) == pytest.approx(best, abs=1e-9)


@VARIED
@given(scored())
def test_probabilities_are_scored_as_sklearn_does(data: Scored) -> None:
    labels, scores, weights = data
    probabilities = scores.astype(np.float32)
    expected = brier_score_loss(labels, probabilities, sample_weight=weights)
    assert brier(labels, probabilities, weights) == pytest.approx(expected, abs=1e-6)
    expected = sklearn_log_loss(labels, probabilities, sample_weight=weights, labels=[0, 1])
    assert log_loss(labels, probabilities, weights) == pytest.approx(expected, rel=1e-5)


def test_the_most_suspect_of_each_day_are_counted_together() -> None:
    labels = np.array([1, 0, 1, 0, 1, 0, 1], float)
    scores = np.array([0.9, 0.8, 0.1, 0.5, 0.7, 0.6, 0.2])
    days = np.array([0, 0, 0, 1, 1, 1, 1])
    ones = np.ones(7)
    assert precision_at_most_suspect(labels, scores, ones, days, 1) == 2 / 2
    assert precision_at_most_suspect(labels, scores, ones, days, 2) == 2 / 4
    assert precision_at_most_suspect(labels, scores, ones, days, 100) == 4 / 7
    # a row that stands for four fills the day's two by itself
    assert precision_at_most_suspect(labels, scores, np.where(labels, 4.0, 1.0), days, 2) == 1.0
    assert math.isnan(precision_at_most_suspect(ones[:0], ones[:0], ones[:0], days[:0], 5))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 40))
def test_the_most_suspect_are_those_of_sorting_each_day(seed: int, alerts: int) -> None:
    generator = np.random.default_rng(seed)
    labels, scores = generator.integers(0, 2, 200).astype(float), generator.integers(0, 30, 200) / 30
    days = generator.integers(0, 3, 200)
    expected = 0.0
    for day in range(3):
        rows = np.flatnonzero(days == day)
        expected += labels[rows[np.argsort(-scores[rows], kind="stable")]][:alerts].sum()
    flagged = sum(min(alerts, int((days == day).sum())) for day in range(3))
    assert precision_at_most_suspect(labels, scores, np.ones(200), days, alerts) == pytest.approx(expected / flagged)
