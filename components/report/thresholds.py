"""What each threshold stops and costs, on one split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from components.evaluation.scores import AMOUNT, CANDIDATE, LABEL, PROBABILITY, TIME, WEIGHT, Scores
from components.evaluation.words import probability
from trainer.arrays import Array
from trainer.decision.costs import Costs

if TYPE_CHECKING:
    pass


MOST_THRESHOLDS = 400
NOT_REACHED = "above 1"


@dataclass(frozen=True)
class Outcomes:
    """What each of some sets of decisions comes to, with the weights of the transactions; float64 [k] each.

    thresholds: of the decisions, infinite where no probability reaches it. Amounts are money; cost is that of `Costs`.
    """

    thresholds: Array
    true_positives: Array
    false_positives: Array
    false_negatives: Array
    true_negatives: Array
    caught_amount: Array
    declined_amount: Array
    missed_amount: Array
    accepted_amount: Array
    cost: Array

    @property
    def stopped(self) -> Array:
        return self.true_positives + self.false_positives

    @property
    def precision(self) -> Array:
        return _ratio(self.true_positives, self.stopped)

    @property
    def recall(self) -> Array:
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def caught_share(self) -> Array:
        """Of the money in frauds."""
        return _ratio(self.caught_amount, self.caught_amount + self.missed_amount)


@dataclass(frozen=True)
class Thresholds:
    """Outcomes of thresholds that rise from 0, where all is stopped, to one that nothing reaches.

    texts: a number for each that, typed into a config, decides so. corners: the highest threshold of the same
    decisions, for drawing. model, cheapest: positions; the cheapest is that of all thresholds there are.
    """

    outcomes: Outcomes
    texts: list[str]
    corners: Array
    model: int
    cheapest: int

    def __len__(self) -> int:
        return len(self.texts)


# ---- what decisions come to


@dataclass(frozen=True)
class Split:
    """Transactions of the test split and their costs.

    labels: float32 [n]. weights, amounts: float64 [n]; of a refund its size, of a missing one 0, as in `Costs`.
    probabilities: float32 [n], the candidate's. known: bool [n], whether there is an amount. days: how many the split
    covers. timed, in_money: whether there are times and amounts.
    """

    labels: Array
    weights: Array
    amounts: Array
    probabilities: Array
    known: Array
    days: float
    timed: bool
    in_money: bool
    costs: Costs

    @classmethod
    def from_scores(cls, scores: Scores, costs: Costs) -> Split:
        in_money = AMOUNT in scores
        amounts = scores.column(AMOUNT).astype(np.float64) if in_money else np.zeros(len(scores))
        known = np.isfinite(amounts)
        return cls(
            labels=scores.column(LABEL),
            weights=scores.column(WEIGHT).astype(np.float64),
            amounts=np.abs(np.where(known, amounts, 0.0)),
            known=known,
            probabilities=scores.of(CANDIDATE, PROBABILITY),
            days=scores.days,
            timed=TIME in scores,
            in_money=in_money,
            costs=costs,
        )

    @cached_property
    def cost_of_nothing(self) -> float:
        """What it costs to let all pass."""
        return float(self.weights @ self._costs(False))

    @cached_property
    def saved(self) -> Array:
        """By stopping each transaction, float64 [n]; negative where it costs."""
        saved: Array = self.weights * (self._costs(False) - self._costs(True))
        return saved

    def outcome(self, stops: Array) -> Outcomes:
        """Of one set of decisions, bool [n]; each array has one value."""
        kinds = list(self._kinds())
        sums = [np.array([kind[stops].sum()]) for kind in kinds]
        return self._outcomes(np.array([np.nan]), sums, [float(kind.sum()) for kind in kinds])

    def outcomes(self, values: Array, order: Array, stopped: Array) -> Outcomes:
        """Of thresholds `values`, each of which stops the first `stopped` rows in that order."""
        sums, totals = [], []
        for kind in self._kinds():
            *up_to, total = _up_to(kind, order, np.append(stopped, len(order)))
            sums.append(np.array(up_to))
            totals.append(total)
        return self._outcomes(values, sums, totals)

    def _costs(self, stop: bool) -> Array:
        return self.costs.of(np.full(len(self.labels), stop), self.labels, self.amounts)

    def _kinds(self) -> Iterator[Array]:
        """Of each transaction, one after the other, for memory: what adds up to the figures; float64 [n]."""
        fraud = self.labels > 0
        for values in (self.weights, self.weights * self.amounts):
            yield np.where(fraud, values, 0.0)
            yield np.where(fraud, 0.0, values)
        yield self.saved

    def _outcomes(self, values: Array, sums: Sequence[Array], totals: Sequence[float]) -> Outcomes:
        # of nearly equal sums the difference may come out below 0
        let_pass = [np.maximum(total - stopped, 0.0) for total, stopped in zip(totals, sums, strict=True)]
        return Outcomes(
            thresholds=values,
            true_positives=sums[0],
            false_positives=sums[1],
            false_negatives=let_pass[0],
            true_negatives=let_pass[1],
            caught_amount=sums[2],
            declined_amount=sums[3],
            missed_amount=let_pass[2],
            accepted_amount=let_pass[3],
            cost=self.cost_of_nothing - sums[4],
        )


def thresholds(split: Split, threshold: float) -> Thresholds:
    """Outcomes of at most `MOST_THRESHOLDS` thresholds, that of the model among them.

    All that differ where they are few; else close together where little is stopped, and at frauds.
    """
    order = np.argsort(-split.probabilities, kind="stable")
    falling = split.probabilities[order]
    # rows that are stopped at each distinct probability, from none to all
    stopped = np.concatenate([[0], np.flatnonzero(falling[1:] != falling[:-1]) + 1, [len(falling)]])
    cheapest = int(np.argmax(_up_to(split.saved, order, stopped)))
    # float32 as in the model
    model = int(np.searchsorted(stopped, np.count_nonzero(split.probabilities >= np.float32(threshold))))
    frauds = np.unique(np.searchsorted(stopped, np.flatnonzero(split.labels[order] > 0) + 1))
    chosen = _few(len(stopped), {0, len(stopped) - 1, model, cheapest}, frauds)[::-1]

    values, texts, corners = [], [], []
    for position in chosen:
        rows = stopped[position]
        high = 1.0 if rows == 0 else float(falling[rows - 1])
        low = -np.inf if rows == len(falling) else float(falling[rows])
        if position == model:
            value, text = threshold, probability(threshold) if threshold <= 1 else NOT_REACHED
        elif rows == len(falling):
            value, text = 0.0, "0"
        elif rows == 0 and low >= 1:
            value, text = np.inf, NOT_REACHED
        else:
            value, text = _round_between(low, high)
        values.append(value)
        texts.append(text)
        corners.append(high)
    return Thresholds(
        outcomes=split.outcomes(np.array(values), order, stopped[chosen]),
        texts=texts,
        corners=np.array(corners),
        model=int(np.flatnonzero(chosen == model)[0]),
        cheapest=int(np.flatnonzero(chosen == cheapest)[0]),
    )


def _up_to(values: Array, order: Array, stopped: Array) -> Array:
    """Sum of the values of the first rows in that order, for each number of rows."""
    sums = np.cumsum(values[order])
    return np.where(stopped > 0, sums[stopped - 1], 0.0)


def _few(available: int, wanted: set[int], frauds: Array) -> Array:
    """Rising positions below `available`: the wanted, and of the others those where something happens."""
    if available <= MOST_THRESHOLDS:
        return np.arange(available)
    spare = MOST_THRESHOLDS - len(wanted)
    some = frauds if len(frauds) <= spare // 3 else frauds[np.linspace(0, len(frauds) - 1, spare // 3).astype(int)]
    spread = np.geomspace(1, available - 1, spare - len(some)).astype(int)
    return np.array(sorted({*wanted, *some.tolist(), *spread.tolist()}))


def _round_between(low: float, high: float) -> tuple[float, str]:
    """The shortest number above `low` that is at most `high`, both float32, and stays so in float32."""
    for digits in range(2, 10):
        text = f"{high:.{digits - 1}e}"
        if np.float32(text) > high:  # rounded up: one less in the last digit
            mantissa, exponent = text.split("e")
            text = f"{float(mantissa) - 10.0 ** (1 - digits):.{digits - 1}f}e{exponent}"
        value = float(text)
        if low < np.float32(value) <= high:
            return value, _positional(value)
    return high, _positional(high)


def _positional(value: float) -> str:
    return np.format_float_positional(value, trim="-")


def _ratio(part: Array, whole: Array) -> Array:
    ratio: Array = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
    return ratio
