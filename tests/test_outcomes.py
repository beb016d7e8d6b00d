"""What decisions come to: each figure against counting row by row, and the one against the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from tests.support.small_scores import some_costs, transactions
from trainer.decision.costs import Costs
from trainer.decision.outcomes import CostedTransactions, Cuts
from trainer.decision.rule import choose
from trainer.decision.settings import DecisionSettings


def of_rows(rows: dict[str, np.ndarray], costs: Costs) -> CostedTransactions:
    return CostedTransactions.from_arrays(rows["labels"], rows["amount"], rows["weight"], costs)


@settings(deadline=None, max_examples=60)
@given(rows=transactions(), costs=some_costs, seed=st.integers(0, 100))
def test_figures_of_any_decisions_are_those_of_counting(rows: dict[str, Any], costs: Costs, seed: int) -> None:
    stops = np.random.default_rng(seed).random(len(rows["labels"])) < 0.5
    one = of_rows(rows, costs).outcome(stops)
    (passed, declined), (missed, caught) = confusion_matrix(
        rows["labels"], stops, sample_weight=rows["weight"], labels=[False, True]
    )
    counted = (one.true_negatives[0], one.false_positives[0], one.false_negatives[0], one.true_positives[0])
    assert counted == pytest.approx((passed, declined, missed, caught))
    assert one.cost[0] == pytest.approx(float(rows["weight"] @ costs.of(stops, rows["labels"], rows["amount"])))


@settings(deadline=None, max_examples=60)
@given(rows=transactions(), costs=some_costs)
def test_every_set_of_decisions_that_a_threshold_can_make_is_there_once(rows: dict[str, Any], costs: Costs) -> None:
    probabilities, known = rows["probabilities"].astype(np.float32), of_rows(rows, costs)
    cuts = Cuts.from_probabilities(probabilities)
    outcomes = known.outcomes(cuts, np.arange(len(cuts)))
    assert cuts.probabilities.tolist() == sorted(set(probabilities.tolist()), reverse=True)
    for at, lowest in enumerate([np.inf, *cuts.probabilities]):
        one = known.outcome(probabilities >= lowest)
        for name in ("true_positives", "false_positives", "caught_amount", "declined_amount", "missed_amount", "cost"):
            assert getattr(outcomes, name)[at] == pytest.approx(getattr(one, name)[0]), name
    assert outcomes.cost == pytest.approx(known.costs_of(cuts))


@settings(deadline=None, max_examples=60)
@given(rows=transactions(), costs=some_costs)
def test_the_parts_of_the_costs_add_up(rows: dict[str, Any], costs: Costs) -> None:
    cuts = Cuts.from_probabilities(rows["probabilities"].astype(np.float32))
    of = of_rows(rows, costs).outcomes(cuts, np.arange(len(cuts)))
    assert of.missed_cost + of.review_cost + of.declined_cost - of.caught_gain == pytest.approx(of.cost)


@settings(deadline=None, max_examples=60)
@given(rows=transactions(), costs=some_costs)
def test_the_threshold_that_is_chosen_is_the_first_of_least_cost(rows: dict[str, Any], costs: Costs) -> None:
    probabilities, known = rows["probabilities"].astype(np.float32), of_rows(rows, costs)
    decision = choose(DecisionSettings(), costs, rows["labels"], probabilities, rows["amount"], rows["weight"], 1.0)
    cuts = Cuts.from_probabilities(probabilities)
    if rows["labels"].any() and known.known.any():
        fewest = cuts.rows[np.argmin(known.costs_of(cuts))]
        assert np.count_nonzero(decision.stops(probabilities, rows["amount"])) == fewest


def test_no_transactions_have_one_set_of_decisions_which_costs_nothing() -> None:
    cuts = Cuts.from_probabilities(np.zeros(0, np.float32))
    none = CostedTransactions.from_arrays(np.zeros(0), None, np.zeros(0), Costs())
    assert (len(cuts), len(none), none.costs_of(cuts).tolist()) == (1, 0, [0.0])
