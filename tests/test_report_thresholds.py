"""The thresholds that the report shows: each figure against counting row by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from components.report.thresholds import MOST_THRESHOLDS, Split, thresholds
from tests.support.small_scores import drawn, scores_of, some_costs, transactions
from trainer.decision.costs import Costs

COSTS = Costs()


@settings(deadline=None, max_examples=60)
@given(rows=transactions(), costs=some_costs, threshold=st.sampled_from([0.0, 1e-6, 0.02, 0.5, 1.0, 2.0]))
def test_figures_of_each_threshold_are_those_of_counting_row_by_row(
    rows: dict[str, np.ndarray], costs: Costs, threshold: float
) -> None:
    split = Split.from_scores(scores_of(**rows), costs)
    cutoffs = thresholds(split, threshold)
    labels, weights, amounts = rows["labels"], rows["weight"], np.abs(np.nan_to_num(rows["amount"]))
    of = cutoffs.outcomes
    for at, value in enumerate(cutoffs.values):
        stops = split.probabilities >= np.float32(value)
        (passed, declined), (missed, caught) = confusion_matrix(
            labels, stops, sample_weight=weights, labels=[False, True]
        )
        counted = (of.true_negatives[at], of.false_positives[at], of.false_negatives[at], of.true_positives[at])
        assert counted == pytest.approx((passed, declined, missed, caught))
        assert of.cost[at] == pytest.approx(float(weights @ costs.of(stops, labels, amounts)))
        for money_in, which in (
            (of.caught_amount, stops & labels),
            (of.missed_amount, ~stops & labels),
            (of.declined_amount, stops & ~labels),
            (of.accepted_amount, ~stops & ~labels),
        ):
            assert money_in[at] == pytest.approx(float((weights * amounts)[which].sum()))
        if stops.any():
            assert of.precision[at] == pytest.approx(precision_score(labels, stops, sample_weight=weights))
        else:
            assert np.isnan(of.precision[at])
        if labels.any():
            assert of.recall[at] == pytest.approx(recall_score(labels, stops, sample_weight=weights))
        if cutoffs.texts[at] != "above 1" and at != cutoffs.model:
            assert np.array_equal(split.probabilities >= np.float32(cutoffs.texts[at]), stops)

    distinct = np.unique(split.probabilities)
    assert len(cutoffs) == len(distinct) + 1
    assert np.all(np.diff(of.stopped) < 0)
    assert cutoffs.values[cutoffs.model] == threshold
    costs_of_all = [
        float(weights @ costs.of(split.probabilities >= value, labels, amounts)) for value in [*distinct, 2]
    ]
    assert of.cost[cutoffs.cheapest] == pytest.approx(min(costs_of_all))


def test_of_many_thresholds_the_cheapest_of_all_and_the_models_own_are_kept() -> None:
    scores = drawn(20_000, 300)
    split = Split.from_scores(scores, COSTS)
    cutoffs = thresholds(split, 0.0371)
    assert MOST_THRESHOLDS * 0.6 < len(cutoffs) <= MOST_THRESHOLDS
    assert cutoffs.texts[cutoffs.model] == "0.0371"
    order = np.argsort(-split.probabilities)
    of = split.transactions
    stopping = np.cumsum((of.weights * COSTS.of(np.array(True), of.fraud, of.amounts))[order])
    passing = np.cumsum((of.weights * COSTS.of(np.array(False), of.fraud, of.amounts))[order])
    assert cutoffs.outcomes.cost[cutoffs.cheapest] == pytest.approx((passing[-1] + stopping - passing).min())
    # a few figures of each size are there: from one alert to all
    stopped = cutoffs.outcomes.stopped
    assert stopped[-1] == 0
    assert np.all(stopped[1:-1] / stopped[2:].clip(1) < 12)
    assert stopped[0] == pytest.approx(of.weights.sum())


def test_a_threshold_is_as_short_as_it_can_be() -> None:
    split = Split.from_scores(scores_of([0, 0, 1, 1], [0.00012345, 0.0341, 0.0349, 0.7]), COSTS)
    assert thresholds(split, 0.5).texts == ["0", "0.034", "0.0349", "0.5", "1"]
    split = Split.from_scores(scores_of([0, 1, 1], [0.00012345, 0.0349, 1.0]), COSTS)
    assert thresholds(split, 0.5).texts == ["0", "0.034", "0.5", "above 1"]
