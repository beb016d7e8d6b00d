"""Which transactions to stop: how the rule is chosen on eval, and the rule that the SavedModel carries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from trainer.arrays import Array, Floats
from trainer.decision.calibration import Calibration
from trainer.decision.costs import Costs
from trainer.decision.outcomes import CostedTransactions, Cuts
from trainer.decision.settings import DecisionSettings
from trainer.metrics import SLACK

NOTHING, EVERYTHING = 2.0, 0.0  # thresholds that no probability reaches, and that each does
_LEAST = np.finfo(np.float32).tiny  # TensorFlow takes anything smaller for 0


@dataclass(frozen=True)
class Decision:
    """The rule that stops a transaction: by a threshold, or by amount where stopping costs no more than letting pass.

    threshold: a probability; by amount it applies to transactions whose amount is missing. version: a digest of
    everything between the score and the decision. expected: figures on eval, see `choose`. note: sentences for people.
    """

    by: Literal["threshold", "amount", "alerts"]
    threshold: float
    costs: Costs
    version: str = ""
    expected: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def stops(self, probabilities: Array, amounts: Array | None) -> Array:
        """Whether to stop each transaction, bool [n]; the rules other than by amount ignore the amounts.

        probabilities, amounts: float32 [n].
        """
        probabilities = np.asarray(probabilities, np.float32)
        reached = probabilities >= np.float32(self.threshold)
        if self.by != "amount" or amounts is None:
            return reached
        known = np.isfinite(amounts)
        exact = np.where(known, amounts, 0.0).astype(np.float64)
        return np.where(known, self.costs.worth_stopping(probabilities.astype(np.float64), exact), reached)

    def tensor(self, probabilities: tf.Tensor, amounts: tf.Tensor | None) -> tf.Tensor:
        """The same in TensorFlow, bool [n]."""
        reached = probabilities >= np.float32(self.threshold)
        if self.by != "amount" or amounts is None:
            return reached
        known = tf.math.is_finite(amounts)
        exact = tf.cast(tf.where(known, amounts, 0.0), tf.float64)  # in float32 the two forms would differ
        return tf.where(known, self.costs.worth_stopping(tf.cast(probabilities, tf.float64), exact), reached)

    def to_manifest(self) -> dict[str, Any]:
        """The decision as JSON has it."""
        return {**asdict(self), "costs": self.costs.model_dump(mode="json")}


def choose(
    settings: DecisionSettings,
    costs: Costs,
    labels: Array,
    probabilities: Array,
    amounts: Array | None,
    weights: Array,
    days: float,
    calibration: Calibration | None = None,
) -> Decision:
    """The decision of least cost on eval; where eval has no amounts, that with the threshold of the best F1.

    Args:
      labels: 1 where fraud, [n].
      probabilities: [n], taken as float32.
      amounts: float [n], NaN where missing; None where the data has none.
      weights: transactions that each row stands for, float [n].
      days: how many days these transactions take to come in.
      calibration: the one that the probabilities come from; it is part of the version.

    Returns:
      The decision. Its `expected` figures on eval are days and, counted in transactions, transactions, frauds, stopped,
      caught and alerts_a_day. Where eval has amounts there are also, in money, cost, cost_a_day, cost_stopping_nothing,
      cost_stopping_everything and, by amount, cost_by_threshold, which is what the best single threshold costs.
    """
    probabilities = np.asarray(probabilities, np.float32)
    probabilities = np.where(probabilities < _LEAST, np.float32(0), probabilities)
    transactions = CostedTransactions.from_arrays(labels, amounts, weights, costs)
    eval_split = _Eval(transactions, Cuts.from_probabilities(probabilities))
    threshold, notes = _threshold(settings, costs, eval_split, days)
    decision = Decision(settings.by, threshold, costs)
    expected = eval_split.figures(decision.stops(probabilities, amounts), days)
    if settings.by == "amount" and eval_split.priced:
        expected["cost_by_threshold"] = float(eval_split.costs.min())
    notes += _remarks(settings, costs, eval_split, expected)
    rule = [decision.by, threshold, costs.model_dump(mode="json"), calibration and calibration.to_manifest()]
    version = hashlib.sha256(json.dumps(rule, sort_keys=True).encode()).hexdigest()[:12]
    return replace(decision, version=version, expected=expected, note=" ".join(notes))


@dataclass(frozen=True)
class _Eval:
    """Eval, and what comes of each threshold that makes a difference on it; the first one stops nothing."""

    transactions: CostedTransactions
    cuts: Cuts

    @cached_property
    def fraud(self) -> Array:
        return self.transactions.fraud

    @cached_property
    def thresholds(self) -> Floats:
        """Falling, float64 [k + 1], the last of which stops everything."""
        return np.concatenate([[NOTHING], _between(self.cuts.probabilities), [EVERYTHING]])

    @cached_property
    def stopped(self) -> Floats:
        """Transactions, float64 [k + 1]."""
        return self.cuts.sums(self.transactions.weights)

    @cached_property
    def costs(self) -> Floats:
        """float64 [k + 1]"""
        return self.transactions.costs_of(self.cuts)

    @cached_property
    def mean_amount(self) -> float | None:
        """None where no transaction has an amount."""
        known, of = self.transactions.known, self.transactions
        return float(np.average(of.amounts[known], weights=of.weights[known])) if known.any() else None

    @property
    def priced(self) -> bool:
        return self.mean_amount is not None

    @property
    def regret(self) -> Floats:
        """What the best threshold has least of, float64 [k + 1]: cost, or without amounts the distance of F1 from 1."""
        if self.priced:
            return self.costs
        caught = self.cuts.sums(np.where(self.fraud, self.transactions.weights, 0.0))
        f1: Floats = 2 * caught / np.maximum(caught[-1] + self.stopped, np.finfo(np.float64).tiny)
        return 1 - f1

    def figures(self, stops: Array, days: float) -> dict[str, float]:
        """The `expected` figures of decisions, bool [n], see `choose`."""
        weights, outcome = self.transactions.weights, self.transactions.outcome(stops)
        alerts = float(weights[stops].sum())
        counted = {
            "days": days,
            "transactions": float(weights.sum()),
            "frauds": float(weights[self.fraud].sum()),
            "stopped": alerts,
            "caught": float(outcome.true_positives[0]),
            "alerts_a_day": alerts / days,
        }
        if not self.priced:
            return counted
        cost = float(outcome.cost[0])
        return {
            **counted,
            "cost": cost,
            "cost_a_day": cost / days,
            "cost_stopping_nothing": self.transactions.cost_of_nothing,
            "cost_stopping_everything": self.transactions.cost_of_nothing + float(self.transactions.added.sum()),
        }


def _between(falling: Array) -> Array:
    """Thresholds between distinct float32 probabilities [k], which fall: float64 [k - 1].

    They lie half-way, so that rounding of a probability at serving time changes no decision. Between neighbours in
    float32 the middle would round to one of them, so there the threshold is the higher one, as it is where TensorFlow
    would take the middle for 0.
    """
    higher, lower = falling[:-1].astype(np.float64), falling[1:].astype(np.float64)
    middle = (higher + lower) / 2
    rounded = middle.astype(np.float32)
    return np.where((lower < rounded) & (rounded <= higher) & (rounded >= _LEAST), middle, higher)


def _threshold(settings: DecisionSettings, costs: Costs, eval_split: _Eval, days: float) -> tuple[float, list[str]]:
    """The threshold, and notes on how it was chosen."""
    if settings.threshold != "auto":
        return settings.threshold, []
    most = settings.alerts_a_day * days if settings.by == "alerts" and settings.alerts_a_day else np.inf
    allowed = eval_split.stopped <= most * (1 + SLACK)
    if not eval_split.fraud.any():
        even = 0.5 if eval_split.mean_amount is None else float(costs.break_even(np.array(eval_split.mean_amount)))
        threshold = max(min(even, NOTHING), float(eval_split.thresholds[allowed][-1]))
        return threshold, [
            f"Eval has no fraud to choose a threshold by: it is {threshold:.4g}, "
            + ("the break-even of the mean amount." if eval_split.priced else "as without any costs.")
        ]
    notes = (
        [] if eval_split.priced else ["Eval has no amounts to count costs by: the threshold is that of the best F1."]
    )
    regret = eval_split.regret
    best, chosen = int(np.argmin(regret)), int(np.argmin(np.where(allowed, regret, np.inf)))
    if best != chosen:
        saved = f", and eval would cost {costs.money(regret[chosen] - regret[best])} less" if eval_split.priced else ""
        notes.append(
            f"The cap of {settings.alerts_a_day:,} alerts a day decides: without it there would be "
            f"{eval_split.stopped[best] / days:,.0f} a day{saved}."
        )
    if chosen == 0 and best != chosen:
        first = eval_split.stopped[1] / days
        notes.append(f"Nothing is stopped: the most suspect transactions, all of equal score, are {first:,.0f} a day.")
    return float(eval_split.thresholds[chosen]), notes


def _remarks(settings: DecisionSettings, costs: Costs, eval_split: _Eval, expected: Mapping[str, float]) -> list[str]:
    """Notes for people on what the decision costs on eval."""
    if not eval_split.priced or not eval_split.fraud.any():
        return []
    cost, nothing, everything = (
        expected[name] for name in ("cost", "cost_stopping_nothing", "cost_stopping_everything")
    )
    money = costs.money
    least = bool(np.isclose(cost, min(cost, eval_split.costs.min())))
    if least and expected["stopped"] == 0:
        return [
            f"Stopping nothing costs least on eval, {money(nothing)}: any threshold that stops something costs "
            f"{money(eval_split.costs[1:].min())} or more, stopping everything {money(everything)}."
        ]
    if least and expected["stopped"] == expected["transactions"]:
        return [
            f"Stopping everything costs least on eval, {money(everything)}: any threshold that lets something pass "
            f"costs {money(eval_split.costs[:-1].min())} or more, stopping nothing {money(nothing)}."
        ]
    notes = []
    if settings.threshold != "auto" and not least:
        best = int(np.argmin(eval_split.costs))
        notes.append(
            f"The threshold, {settings.threshold:g}, is the config's: it costs {money(cost)} on eval, and "
            f"{eval_split.thresholds[best]:.4g} would cost {money(eval_split.costs[best])}."
        )
    if least and np.isclose(cost, everything):
        notes.append(f"Stopping everything costs as little on eval, {money(everything)}.")
    if cost > nothing:
        notes.append(f"This costs more than stopping nothing on eval, {money(cost)} against {money(nothing)}.")
    return notes
