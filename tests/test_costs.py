"""What decisions cost, and from which probability on stopping is worth it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression

from trainer.decision.costs import Costs
from trainer.decision.rule import choose
from trainer.decision.settings import DecisionSettings

# Nothing, or what can be paid: products that are subnormal numpy keeps, and TensorFlow takes for 0.
AMOUNTS = st.floats(-1e5, 1e5, width=32).filter(lambda amount: amount == 0 or abs(amount) >= 1e-2)
RATES = st.just(0.0) | st.floats(1e-4, 1e3)
SHARES = st.just(0.0) | st.floats(1e-4, 1)
COSTS = st.builds(Costs, missed_fraud=RATES, review=RATES, declined=SHARES, caught_fraud=RATES)


def test_each_outcome_has_its_cost() -> None:
    costs = Costs(missed_fraud=1.5, review=5, declined=0.1, caught_fraud=2)
    stopped, labels = [True, True, False, False], [1, 0, 1, 0]
    assert costs.of(stopped, labels, [100.0] * 4).tolist() == [5 - 2, 5 + 10, 150, 0]


def test_a_missing_amount_counts_as_none_and_a_refund_by_its_size() -> None:
    costs = Costs()
    assert costs.of([False, False, True], [1, 1, 0], [np.nan, -100.0, np.inf]).tolist() == [0, 100, 5]


def test_the_break_even_of_an_amount() -> None:
    # 5 EUR and 2 % of the amount, against the amount and 2 % of it
    assert Costs().break_even(np.array([100.0, 1000.0])).tolist() == [pytest.approx(7 / 102), pytest.approx(25 / 1020)]
    assert Costs().break_even(np.array([4.0])).item() > 1  # not worth a review, were it certain
    assert Costs().break_even(np.array([0.0, np.nan])).tolist() == [np.inf, np.inf]
    assert Costs(review=0).break_even(np.array([0.0])).tolist() == [np.inf]


@settings(max_examples=200, deadline=None)
@given(COSTS, AMOUNTS)
def test_at_the_break_even_stopping_and_letting_pass_cost_the_same(costs: Costs, amount: float) -> None:
    (even,) = costs.break_even(np.array([amount]))

    def expected(stopped: bool, probability: float) -> float:
        fraud, legitimate = (costs.of([stopped], [label], [amount]).item() for label in (1, 0))
        return probability * fraud + (1 - probability) * legitimate

    if even > 1:  # certain fraud, and letting it pass is cheaper still
        assert expected(False, 1.0) <= expected(True, 1.0) + 1e-9
    else:
        scale = costs.review + costs.caught_fraud + (costs.missed_fraud + costs.declined) * abs(amount)
        assert expected(True, even) == pytest.approx(expected(False, even), abs=1e-9 * (1 + scale))
        assert expected(True, 1.0) <= expected(False, 1.0) + 1e-9 * (1 + scale)


@settings(max_examples=100, deadline=None)
@given(COSTS, st.lists(st.tuples(st.floats(0, 1, width=32), AMOUNTS), min_size=1, max_size=20))
def test_what_is_worth_stopping_is_so_in_numpy_and_in_tensorflow(costs: Costs, rows: list[tuple[float, float]]) -> None:
    probabilities, amounts = np.array(rows, np.float64).T
    worth = costs.worth_stopping(probabilities, amounts)
    in_graph = costs.worth_stopping(tf.constant(probabilities), tf.constant(amounts))
    assert in_graph.numpy().tolist() == worth.tolist()
    even = costs.break_even(amounts)
    apart = np.abs(probabilities - even) > 1e-9
    np.testing.assert_array_equal(worth[apart], (probabilities >= even)[apart])


@pytest.mark.parametrize(
    "values", [{"review": -1}, {"missed_fraud": float("inf")}, {"declined": "a little"}, {"revew": 5}]
)
def test_costs_that_make_no_sense_are_refused(values: dict) -> None:
    with pytest.raises(ValidationError):
        Costs.model_validate(values)


# scikit-learn's example "Post-tuning the decision threshold for cost-sensitive learning" on real rows


def _gain(stopped: np.ndarray, fraud: np.ndarray, amounts: np.ndarray, refused_amount: bool) -> float:
    """Its business metric: in 1.5 a refused fraud earns 50, in later versions 50 and its amount."""
    refused = 50 * np.count_nonzero(fraud & stopped) + refused_amount * amounts[fraud & stopped].sum()
    return (
        refused
        - amounts[fraud & ~stopped].sum()
        - 5 * np.count_nonzero(~fraud & stopped)
        + 0.02 * amounts[~fraud & ~stopped].sum()
    )


@pytest.fixture(scope="module")
def scored(real_rows: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, amount and probability of later real rows, by a regression on the earlier ones."""
    frame = pd.read_csv(real_rows).sort_values("Time", kind="stable")
    inputs = frame.drop(columns=["Class", "Time", "Amount"]).to_numpy() / 10
    labels, split = frame["Class"].to_numpy() > 0, int(0.65 * len(frame))
    model = LogisticRegression(max_iter=200).fit(inputs[:split], labels[:split])
    # as serving has them
    probabilities = model.predict_proba(inputs[split:])[:, 1].astype(np.float32)
    return labels[split:], frame["Amount"].to_numpy()[split:], probabilities


@pytest.mark.parametrize(("missed_fraud", "refused_amount"), [(1, False), (2, True)])
def test_costs_are_a_constant_less_the_gain_of_scikit_learns_example(
    scored: tuple[np.ndarray, np.ndarray, np.ndarray], missed_fraud: float, refused_amount: bool
) -> None:
    fraud, amounts, probabilities = scored
    costs = Costs(missed_fraud=missed_fraud, review=5, declined=0.02, caught_fraud=55)
    constant = 0.02 * amounts[~fraud].sum() + refused_amount * amounts[fraud].sum()
    # TunedThresholdClassifierCV's scan of the scores, at each of them and above all
    scan = np.append(np.unique(probabilities), 2.0)
    gains = []
    for threshold in scan:
        stopped = probabilities >= threshold
        gains.append(_gain(stopped, fraud, amounts, refused_amount))
        if len(gains) % 50 == 1:
            total = costs.of(stopped, fraud, amounts).sum()
            assert total == pytest.approx(constant - gains[-1], abs=1e-6)
    decision = choose(DecisionSettings(), costs, fraud, probabilities, amounts, np.ones(len(fraud)), days=1.0)
    ours = decision.stops(probabilities, amounts)
    assert _gain(ours, fraud, amounts, refused_amount) == pytest.approx(max(gains), abs=1e-6)
    np.testing.assert_array_equal(ours, probabilities >= scan[int(np.argmax(gains))])
    assert decision.expected["cost"] == pytest.approx(constant - max(gains), abs=1e-6)
    assert 0 < np.count_nonzero(ours) < len(ours) / 10
