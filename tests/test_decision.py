"""Which transactions are stopped, and what that costs on eval."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from trainer.decision.calibration import Calibration
from trainer.decision.costs import Costs
from trainer.decision.rule import EVERYTHING, NOTHING, Decision, choose
from trainer.decision.settings import DecisionSettings

BY_ALERTS = DecisionSettings(by="alerts", alerts_a_day=1)
BY_AMOUNT = DecisionSettings(by="amount")
# Two frauds of 100 EUR and 60, and three legitimate transactions.
LABELS = np.array([1, 0, 1, 0, 0])
PROBABILITIES = np.array([0.9, 0.7, 0.5, 0.2, 0.1], np.float32)
AMOUNTS = np.array([100, 20, 60, 30, 40], np.float32)
ONES = np.ones(5)


def decided(
    settings: DecisionSettings = DecisionSettings(),  # noqa: B008
    costs: Costs = Costs(),  # noqa: B008
    amounts: np.ndarray | None = AMOUNTS,
    weights: np.ndarray = ONES,
    days: float = 1.0,
    labels: np.ndarray = LABELS,
) -> Decision:
    return choose(settings, costs, labels, PROBABILITIES, amounts, weights, days)


def test_the_threshold_of_least_cost_is_chosen() -> None:
    decision = decided(days=2.0)
    # three reviews at 5 EUR and 2 % of 20; less would let a fraud pass
    assert decision.stops(PROBABILITIES, AMOUNTS).tolist() == [True, True, True, False, False]
    assert decision.threshold == pytest.approx((0.5 + 0.2) / 2)
    assert decision.expected == pytest.approx(
        {
            "days": 2,
            "transactions": 5,
            "frauds": 2,
            "stopped": 3,
            "caught": 2,
            "alerts_a_day": 1.5,
            "cost": 15.4,
            "cost_a_day": 7.7,
            "cost_stopping_nothing": 160,
            "cost_stopping_everything": 25 + 0.02 * 90,
        }
    )
    assert decision.note == ""
    assert decided(costs=Costs(declined=5)).threshold == pytest.approx(0.8)  # the second fraud is not worth 100 EUR


def test_a_row_counts_as_often_as_it_weighs() -> None:
    # the legitimate row stands for 20 transactions: to stop them all costs more than the second fraud
    decision = decided(weights=np.array([1, 20, 1, 20, 20]))
    assert decision.threshold == pytest.approx(0.8)
    assert decision.expected["cost"] == 5 + 60
    assert decision.expected["transactions"] == 62
    repeated = np.repeat(np.arange(5), [1, 20, 1, 20, 20])
    again = choose(
        DecisionSettings(), Costs(), LABELS[repeated], PROBABILITIES[repeated], AMOUNTS[repeated], np.ones(62), 1.0
    )
    assert again.threshold == decision.threshold
    assert again.expected == pytest.approx(decision.expected)


def test_without_amounts_the_best_f1_decides_and_says_so() -> None:
    for amounts in (None, np.full(5, np.nan, np.float32)):
        decision = decided(amounts=amounts)
        assert decision.threshold == pytest.approx((0.5 + 0.2) / 2)  # F1 is 0.8 there, 0.67 at the other fraud
        assert decision.note == "Eval has no amounts to count costs by: the threshold is that of the best F1."
        assert "cost" not in decision.expected
        assert (decision.expected["stopped"], decision.expected["caught"]) == (3, 2)


def test_a_threshold_of_the_config_stays_and_a_note_says_what_it_costs() -> None:
    decision = decided(DecisionSettings(threshold=0.6))
    assert decision.threshold == 0.6
    assert decision.expected["cost"] == pytest.approx(5 + 5.4 + 60)
    assert decision.note == (
        "The threshold, 0.6, is the config's: it costs 70.40 EUR on eval, and 0.35 would cost 15.40 EUR."
    )
    assert decided(DecisionSettings(threshold=0.4)).note == ""  # no other one stops less dearly


def test_by_amount_each_transaction_has_its_own_threshold() -> None:
    decision = decided(BY_AMOUNT)
    # a break-even of 7/102, 5.4/20.4, 6.2/61.2, 5.6/30.6 and 5.8/40.8
    assert decision.stops(PROBABILITIES, AMOUNTS).tolist() == [True, True, True, True, False]
    assert decision.expected["cost_by_threshold"] == pytest.approx(15.4)
    assert decision.expected["cost"] == pytest.approx(15.4 + 5.6)
    # small change is not worth a review, and an amount that is missing goes by the threshold
    amounts = np.array([4.9, 1e6, np.nan, np.nan, np.inf], np.float32)
    probabilities = np.array([1.0, 0.03, 0.36, 0.34, 0.36], np.float32)
    assert decision.stops(probabilities, amounts).tolist() == [False, True, True, False, True]


def test_a_cap_on_alerts_is_kept_and_a_note_says_what_it_costs() -> None:
    decision = decided(BY_ALERTS, days=2.0)
    assert decision.stops(PROBABILITIES, AMOUNTS).tolist() == [True, False, False, False, False]
    assert decision.expected["alerts_a_day"] == 0.5  # the second alone costs money
    assert decision.note == (
        "The cap of 1 alerts a day decides: without it there would be 2 a day, and eval would cost 49.60 EUR less."
    )
    enough = decided(DecisionSettings(by="alerts", alerts_a_day=3))
    assert (enough.note, enough.threshold) == ("", decided().threshold)


def test_transactions_that_are_alike_are_stopped_all_or_none() -> None:
    alike = np.full(5, 0.4, np.float32)
    decision = choose(BY_ALERTS, Costs(), LABELS, alike, AMOUNTS, ONES, 1.0)
    assert decision.threshold == NOTHING
    assert "Nothing is stopped: the most suspect transactions, all of equal score, are 5 a day." in decision.note
    assert choose(DecisionSettings(), Costs(), LABELS, alike, AMOUNTS, ONES, 1.0).threshold == EVERYTHING


def test_a_note_says_in_figures_that_stopping_nothing_costs_least() -> None:
    for rule in (DecisionSettings(), BY_AMOUNT):
        decision = decided(rule, Costs(review=200))
        assert not decision.stops(PROBABILITIES, AMOUNTS).any()
        assert decision.note == (
            "Stopping nothing costs least on eval, 160 EUR: any threshold that stops something costs 260 EUR or more, "
            "stopping everything 1,002 EUR."
        )
    assert decided(costs=Costs(review=200)).threshold == NOTHING
    # nothing is stopped however sure the model is
    assert not decided(costs=Costs(review=200)).stops(np.ones(3, np.float32), AMOUNTS[:3]).any()


def test_a_note_says_in_figures_that_stopping_everything_costs_least() -> None:
    decision = decided(costs=Costs(review=0, declined=0), labels=np.array([0, 0, 1, 0, 1]))
    assert decision.threshold == EVERYTHING
    assert decision.stops(np.zeros(1, np.float32), AMOUNTS[:1]).all()
    assert decision.note == (
        "Stopping everything costs least on eval, 0 EUR: any threshold that lets something pass costs 40.00 EUR or "
        "more, stopping nothing 100 EUR."
    )


def test_a_note_says_that_stopping_everything_costs_as_little() -> None:
    decision = decided(costs=Costs(review=0, declined=0))
    assert decision.stops(PROBABILITIES, AMOUNTS).tolist() == [True, True, True, False, False]
    assert decision.note == "Stopping everything costs as little on eval, 0 EUR."


def test_a_note_says_that_a_decision_costs_more_than_none() -> None:
    decision = decided(DecisionSettings(threshold=0.0), Costs(review=50))
    assert decision.note == (
        "The threshold, 0, is the config's: it costs 252 EUR on eval, and 0.8 would cost 110 EUR. "
        "This costs more than stopping nothing on eval, 252 EUR against 160 EUR."
    )


def test_without_fraud_on_eval_the_break_even_of_the_mean_amount_decides() -> None:
    none = np.zeros(5)
    decision = decided(labels=none)
    assert decision.threshold == pytest.approx(Costs().break_even(np.array(50.0)).item())
    assert (
        decision.note == "Eval has no fraud to choose a threshold by: it is 0.1176, the break-even of the mean amount."
    )
    assert decided(labels=none, costs=Costs(review=1e4)).threshold == NOTHING
    assert decided(labels=none, amounts=None).threshold == 0.5
    assert decided(BY_ALERTS, labels=none).expected["alerts_a_day"] <= 1


def test_the_version_changes_with_what_decides_and_with_nothing_else() -> None:
    def version(*, calibration: Calibration | None = None, **changed: float) -> str:
        return choose(
            DecisionSettings(**changed), Costs(), LABELS, PROBABILITIES, AMOUNTS, ONES, 1.0, calibration
        ).version

    versions = {
        version(),
        version(threshold=0.4),
        version(by="amount"),
        version(calibration=Calibration()),
        version(calibration=Calibration("platt", slope=2.0)),
        decided(costs=Costs(caught_fraud=1)).version,
    }
    assert len(versions) == 6
    assert version() == decided().version == decided(days=3.0).version
    assert all(re.fullmatch(r"[0-9a-f]{12}", each) for each in versions)


def test_a_manifest_has_all_of_it_as_json() -> None:
    decision = decided(BY_AMOUNT)
    manifest = json.loads(json.dumps(decision.to_manifest()))
    assert Costs.model_validate(manifest.pop("costs")) == decision.costs
    assert Decision(**manifest, costs=decision.costs) == decision


# Whatever the transactions are

PROBABILITY = st.floats(0, 1, width=32, allow_subnormal=False) | st.sampled_from(
    [0.0, 1.0, 0.5, float(np.float32(0.1))]
)
# nothing, or what can be paid: TensorFlow takes subnormal products for 0
AMOUNT = st.floats(-100, 1e4, width=32).filter(lambda amount: amount == 0 or abs(amount) >= 1e-2) | st.just(
    float("nan")
)
ROWS = st.lists(
    st.tuples(PROBABILITY, st.booleans(), AMOUNT, st.sampled_from([1.0, 11.54, 0.25])), min_size=1, max_size=30
)
COSTS = st.builds(
    Costs,
    missed_fraud=st.just(0.0) | st.floats(1e-4, 3),
    review=st.just(0.0) | st.floats(1e-4, 100),
    declined=st.just(0.0) | st.floats(1e-4, 1),
    caught_fraud=st.just(0.0) | st.floats(1e-4, 100),
)


def columns(rows: list[tuple[float, bool, float, float]]) -> tuple[np.ndarray, ...]:
    probabilities, labels, amounts, weights = np.array(rows, np.float64).T
    return labels, probabilities.astype(np.float32), amounts.astype(np.float32), weights


@settings(max_examples=150, deadline=None)
@given(ROWS, COSTS, st.none() | st.integers(1, 20), st.floats(0.1, 10))
def test_no_threshold_within_the_cap_costs_less(
    rows: list[tuple[float, bool, float, float]], costs: Costs, cap: int | None, days: float
) -> None:
    labels, probabilities, amounts, weights = columns(rows)
    rule = DecisionSettings() if cap is None else DecisionSettings(by="alerts", alerts_a_day=cap)
    decision = choose(rule, costs, labels, probabilities, amounts, weights, days)
    stopped = decision.stops(probabilities, amounts)
    most = np.inf if cap is None else cap * days * (1 + 1e-9)
    assert weights[stopped].sum() <= most
    assert decision.expected["alerts_a_day"] == pytest.approx(weights[stopped].sum() / days)
    if not labels.any() or np.isnan(amounts).all():
        return
    brute = [
        weights @ costs.of(probabilities >= threshold, labels, amounts)
        for threshold in (*probabilities, NOTHING)
        if weights[probabilities >= threshold].sum() <= most
    ]
    tolerance = 1e-9 * (1 + np.abs(weights * amounts)[~np.isnan(amounts)].sum())
    assert decision.expected["cost"] == pytest.approx(weights @ costs.of(stopped, labels, amounts), abs=tolerance)
    assert decision.expected["cost"] <= min(brute) + tolerance


@settings(max_examples=150, deadline=None)
@given(ROWS, st.booleans(), st.none() | st.integers(1, 20))
def test_without_amounts_no_threshold_within_the_cap_has_a_better_f1(
    rows: list[tuple[float, bool, float, float]], missing: bool, cap: int | None
) -> None:
    labels, probabilities, _, weights = columns(rows)
    rule = DecisionSettings() if cap is None else DecisionSettings(by="alerts", alerts_a_day=cap)
    amounts = np.full(len(rows), np.nan, np.float32) if missing else None
    decision = choose(rule, Costs(), labels, probabilities, amounts, weights, 1.0)
    most = np.inf if cap is None else cap * (1 + 1e-9)

    def f1(stopped: np.ndarray) -> float:
        caught, flagged, frauds = weights[stopped] @ labels[stopped], weights[stopped].sum(), weights @ labels
        return 2 * caught / (flagged + frauds)

    stopped = decision.stops(probabilities, None)
    assert weights[stopped].sum() <= most
    if labels.any():
        assert (
            f1(stopped)
            >= max(
                f1(probabilities >= threshold)
                for threshold in (*probabilities, NOTHING)
                if weights[probabilities >= threshold].sum() <= most
            )
            - 1e-9
        )


def test_no_threshold_lies_where_tensorflow_takes_numbers_for_zero() -> None:
    labels, probabilities = np.array([0, 1]), np.array([0, 1e-40], np.float32)
    for settings_, least in ((DecisionSettings(), EVERYTHING), (BY_ALERTS, NOTHING)):
        decision = choose(settings_, Costs(), labels, probabilities, np.array([1, 100.0]), np.ones(2), 1.0)
        assert decision.threshold == least
    probabilities = np.array([0, np.finfo(np.float32).tiny], np.float32)
    decision = choose(DecisionSettings(), Costs(), labels, probabilities, np.array([1e6, 100.0]), np.ones(2), 1.0)
    assert decision.tensor(tf.constant(probabilities), None).numpy().tolist() == [False, True]


@settings(max_examples=60, deadline=None)
@given(ROWS, COSTS, st.sampled_from([DecisionSettings(), BY_AMOUNT, BY_ALERTS]))
def test_a_decision_is_the_same_in_tensorflow(
    rows: list[tuple[float, bool, float, float]], costs: Costs, rule: DecisionSettings
) -> None:
    labels, probabilities, amounts, weights = columns(rows)
    decision = choose(rule, costs, labels, probabilities, amounts, weights, 1.0)
    used_amounts = tf.constant(amounts) if rule.by == "amount" else None
    in_graph = decision.tensor(tf.constant(probabilities), used_amounts)
    assert in_graph.numpy().tolist() == decision.stops(probabilities, amounts).tolist()
    # also at the threshold itself and at its neighbours
    near = np.float32(decision.threshold) + np.array([-1e-7, 0, 1e-7], np.float32)
    single = replace(decision, by="threshold")
    assert single.tensor(tf.constant(near), None).numpy().tolist() == single.stops(near, None).tolist()


@settings(max_examples=60, deadline=None)
@given(ROWS, COSTS)
def test_by_amount_is_never_dearer_where_the_probabilities_are_right(
    rows: list[tuple[float, bool, float, float]], costs: Costs
) -> None:
    """Elkan 2001: with the true probabilities, expected costs are least transaction by transaction."""
    _, probabilities, amounts, weights = columns(rows)
    amounts = np.nan_to_num(amounts)
    decision = Decision("amount", 0.5, costs)

    def expected(stopped: np.ndarray) -> float:
        fraud, legitimate = (costs.of(stopped, np.full(len(rows), label), amounts) for label in (1, 0))
        return float(weights @ (probabilities * fraud + (1 - probabilities.astype(np.float64)) * legitimate))

    best = expected(decision.stops(probabilities, amounts))
    for threshold in (*probabilities, NOTHING):
        assert best <= expected(probabilities >= threshold) + 1e-4


# Without amounts the best F1 decides: probabilities with ties, of both classes; what TensorFlow takes for 0 is none.
_ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1, width=32, allow_subnormal=False)),
        st.floats(0.125, 64),
    ),
    min_size=2,
    max_size=60,
).filter(lambda rows: 0 < sum(label for label, _, _ in rows) < len(rows))


def by_f1(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> float:
    return choose(DecisionSettings(), Costs(), labels, probabilities, None, weights, 1.0).threshold


@settings(max_examples=60, deadline=None)
@given(_ROWS)
def test_no_threshold_has_a_better_f1(rows: list[tuple[int, float, float]]) -> None:
    labels, probabilities, weights = map(np.array, zip(*rows, strict=True))
    threshold = by_f1(labels, probabilities, weights)

    def f1(limit: float) -> float:
        return f1_score(labels, probabilities >= limit, sample_weight=weights)

    assert f1(threshold) == pytest.approx(max(f1(limit) for limit in probabilities), abs=1e-12)
    # nor does rounding to float32 change a decision
    in_float32 = probabilities.astype(np.float32) >= np.float32(threshold)
    np.testing.assert_array_equal(in_float32, probabilities >= threshold)


def test_the_threshold_stays_above_a_neighbour_in_float32() -> None:
    for start in (0.5, 0.7, 0.9, 0.99):
        lower = np.float32(start)
        higher = np.nextafter(lower, np.float32(1))
        highest = np.nextafter(higher, np.float32(1))
        for legitimate, fraud in ((lower, higher), (higher, highest)):
            threshold = by_f1(np.array([0, 1]), np.array([legitimate, fraud]), np.ones(2))
            assert legitimate < np.float32(threshold) <= fraud
