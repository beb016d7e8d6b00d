"""Outcomes of decisions in transactions and in money, for any decisions and for every threshold that matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trainer.arrays import Array, Floats
from trainer.decision.costs import Costs


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of k sets of decisions, by the weights of the transactions; float64 [k] each.

    An amount is the money that transactions move, and a cost is what `costs` make of it: `cost` is the sum of
    missed_cost, review_cost and declined_cost, minus caught_gain.
    """

    true_positives: Floats
    false_positives: Floats
    false_negatives: Floats
    true_negatives: Floats
    caught_amount: Floats
    declined_amount: Floats
    missed_amount: Floats
    accepted_amount: Floats
    cost: Floats
    costs: Costs

    @classmethod
    def from_figures(cls, figures: Mapping[str, float | None], costs: Costs) -> Outcomes | None:
        """Of one set of decisions, from figures of these names; None where one of them is not known."""
        names = [name for name in cls.__dataclass_fields__ if name != "costs"]
        values = {name: figures.get(name) for name in names if name != "accepted_amount"}
        if any(value is None for value in values.values()):
            return None
        arrays = {name: np.array([values.get(name, np.nan)], np.float64) for name in names}
        return cls(**arrays, costs=costs)

    @property
    def stopped(self) -> Floats:
        return self.true_positives + self.false_positives

    @property
    def precision(self) -> Floats:
        return _ratio(self.true_positives, self.stopped)

    @property
    def recall(self) -> Floats:
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def caught_share(self) -> Floats:
        """The share of the money in frauds that is caught."""
        return _ratio(self.caught_amount, self.caught_amount + self.missed_amount)

    @property
    def missed_cost(self) -> Floats:
        return self.costs.missed_fraud * self.missed_amount

    @property
    def review_cost(self) -> Floats:
        return self.costs.review * self.stopped

    @property
    def declined_cost(self) -> Floats:
        return self.costs.declined * self.declined_amount

    @property
    def caught_gain(self) -> Floats:
        return self.costs.caught_fraud * self.true_positives

    @property
    def cost_without_model(self) -> Floats:
        """To let all pass."""
        return self.costs.missed_fraud * (self.caught_amount + self.missed_amount)

    @property
    def savings(self) -> Floats:
        """Against no model; negative where the decisions cost more."""
        return self.cost_without_model - self.cost


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
    return ratio


@dataclass(frozen=True)
class Cuts:
    """The sets of decisions that thresholds on n probabilities can make, from stopping nothing to everything.

    order: the rows by falling probability, int [n]. rows: how many rows each set stops, int [k + 1]. probabilities: the
    lowest one that each set stops, falling and distinct, float32 [k]; the set that stops nothing has none.
    """

    order: Array
    rows: Array
    probabilities: Array

    @classmethod
    def from_probabilities(cls, probabilities: Array) -> Cuts:
        """probabilities: float32 [n]"""
        order = np.argsort(-probabilities, kind="stable")
        falling = probabilities[order]
        last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)[: len(falling)])
        return cls(order, np.append(0, last + 1), falling[last])

    def __len__(self) -> int:
        return len(self.rows)

    def sums(self, values: Array) -> Floats:
        """Sums of the values, float64 [n], over the rows that each set stops; float64 [k + 1]."""
        return np.append(0.0, np.cumsum(values[self.order])[self.rows[1:] - 1])


@dataclass(frozen=True)
class CostedTransactions:
    """Transactions whose labels are known, and what decisions on them cost.

    fraud: bool [n]. known: whether there is an amount, bool [n]. weights: float64 [n], transactions that each row
    stands for. amounts: float64 [n], the size of a refund, and 0 where the amount is missing.
    """

    fraud: Array
    weights: Floats
    amounts: Floats
    known: Array
    costs: Costs

    @classmethod
    def from_arrays(cls, labels: Array, amounts: Array | None, weights: Array, costs: Costs) -> CostedTransactions:
        """labels: 1 where fraud. amounts: NaN or infinite where missing; None where the data has none. [n] each."""
        exact = np.zeros(len(labels)) if amounts is None else np.asarray(amounts, np.float64)
        known = np.isfinite(exact) if amounts is not None else np.zeros(len(labels), bool)
        sizes = np.abs(np.where(known, exact, 0.0))
        return cls(np.asarray(labels) > 0, np.asarray(weights, np.float64), sizes, known, costs)

    def __len__(self) -> int:
        return len(self.fraud)

    @cached_property
    def passed(self) -> Floats:
        """The cost of letting each row pass, float64 [n]."""
        return self.weights * self.costs.of(np.array(False), self.fraud, self.amounts)

    @cached_property
    def added(self) -> Floats:
        """How much more stopping each row costs than letting it pass, float64 [n]; negative where it saves money."""
        return self.weights * self.costs.of(np.array(True), self.fraud, self.amounts) - self.passed

    @cached_property
    def cost_of_nothing(self) -> float:
        """The cost of letting everything pass."""
        return float(self.passed.sum())

    def costs_of(self, cuts: Cuts) -> Floats:
        """The cost of each set of decisions, float64 [k + 1]."""
        return self.cost_of_nothing + cuts.sums(self.added)

    def outcome(self, stops: Array) -> Outcomes:
        """The outcome of one set of decisions, bool [n], as arrays of one value each."""
        sums = ((np.array([values[stops].sum()]), np.array([values.sum()])) for values in self._addends())
        return self._outcomes(sums, np.array([self.cost_of_nothing]))

    def outcomes(self, cuts: Cuts, positions: Array) -> Outcomes:
        """The outcomes of the sets of decisions at these positions, int [m]."""
        sums = (cuts.sums(values) for values in self._addends())
        return self._outcomes(
            ((stopped[positions], stopped[-1:]) for stopped in sums), np.array([self.cost_of_nothing])
        )

    def outcomes_of_groups(self, stops: Array, groups: Array, number: int) -> Outcomes:
        """The outcomes of one set of decisions, bool [n], in each of `number` groups.

        groups: the number of each row's group, from 0; negative for a row in no group; int [n].
        """

        def sums(values: Floats, rows: Array) -> Floats:
            return np.bincount(groups[rows], values[rows], number).astype(np.float64)

        inside = groups >= 0
        return self._outcomes(
            ((sums(values, inside & stops), sums(values, inside)) for values in self._addends()),
            sums(self.passed, inside),
        )

    def _addends(self) -> Iterator[Floats]:
        """What each row adds to the figures, float64 [n], one figure after the other to save memory."""
        for values in (self.weights, self.weights * self.amounts):
            yield np.where(self.fraud, values, 0.0)
            yield np.where(self.fraud, 0.0, values)
        yield self.added

    def _outcomes(self, sums: Iterator[tuple[Floats, Floats]], passed: Floats) -> Outcomes:
        """The outcomes.

        sums: over the rows that are stopped and over all rows, for each of `_addends`.
        passed: what letting all rows pass costs.
        """
        *pairs, (added, _) = sums
        stopped = [of_stopped for of_stopped, _ in pairs]
        # the difference of nearly equal sums may come out below 0
        let_pass = [np.maximum(total - of_stopped, 0.0) for of_stopped, total in pairs]
        return Outcomes(
            true_positives=stopped[0],
            false_positives=stopped[1],
            false_negatives=let_pass[0],
            true_negatives=let_pass[1],
            caught_amount=stopped[2],
            declined_amount=stopped[3],
            missed_amount=let_pass[2],
            accepted_amount=let_pass[3],
            cost=passed + added,
            costs=self.costs,
        )
