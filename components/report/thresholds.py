"""What each threshold stops and costs, on one split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.evaluation.scores import AMOUNT, CANDIDATE, LABEL, PROBABILITY, WEIGHT, Scores
from components.evaluation.words import probability
from trainer.arrays import Array, Floats
from trainer.decision.costs import Costs
from trainer.decision.outcomes import CostedTransactions, Cuts, Outcomes

MOST_THRESHOLDS = 400
NOT_REACHED = "above 1"


@dataclass(frozen=True)
class Split:
    """The test split, its costs, and the candidate's probabilities, float32 [n].

    in_money: whether there are amounts.
    """

    transactions: CostedTransactions
    probabilities: Array
    in_money: bool

    @classmethod
    def from_scores(cls, scores: Scores, costs: Costs) -> Split:
        in_money = AMOUNT in scores
        amounts = scores.column(AMOUNT) if in_money else None
        return cls(
            CostedTransactions.from_arrays(scores.column(LABEL), amounts, scores.column(WEIGHT), costs),
            scores.of(CANDIDATE, PROBABILITY),
            in_money=in_money,
        )

    @property
    def costs(self) -> Costs:
        return self.transactions.costs


@dataclass(frozen=True)
class Thresholds:
    """Outcomes of thresholds that rise from 0, where all is stopped, to one that nothing reaches.

    values: infinite where no probability reaches it. texts: a number for each that, typed into a config, decides so.
    corners: the highest threshold of the same decisions, for drawing. model, cheapest: positions; the cheapest is that
    of all thresholds there are.
    """

    outcomes: Outcomes
    values: Floats
    texts: list[str]
    corners: Floats
    model: int
    cheapest: int

    def __len__(self) -> int:
        return len(self.texts)


def thresholds(split: Split, threshold: float) -> Thresholds:
    """Outcomes of at most `MOST_THRESHOLDS` thresholds, that of the model among them.

    All that differ where they are few; else close together where little is stopped, and at frauds.
    """
    cuts = Cuts.from_probabilities(split.probabilities)
    cheapest = int(np.argmin(split.transactions.costs_of(cuts)))
    # float32 as in the model
    model = int(np.searchsorted(cuts.rows, np.count_nonzero(split.probabilities >= np.float32(threshold))))
    frauds = np.unique(np.searchsorted(cuts.rows, np.flatnonzero(split.transactions.fraud[cuts.order]) + 1))
    chosen = _few(len(cuts), {0, len(cuts) - 1, model, cheapest}, frauds)[::-1]

    values, texts, corners = [], [], []
    for position in chosen:
        high = 1.0 if position == 0 else float(cuts.probabilities[position - 1])
        low = -np.inf if position == len(cuts) - 1 else float(cuts.probabilities[position])
        if position == model:
            value, text = threshold, probability(threshold) if threshold <= 1 else NOT_REACHED
        elif position == len(cuts) - 1:
            value, text = 0.0, "0"
        elif position == 0 and low >= 1:
            value, text = np.inf, NOT_REACHED
        else:
            value, text = _round_between(low, high)
        values.append(value)
        texts.append(text)
        corners.append(high)
    return Thresholds(
        outcomes=split.transactions.outcomes(cuts, chosen),
        values=np.array(values),
        texts=texts,
        corners=np.array(corners),
        model=int(np.flatnonzero(chosen == model)[0]),
        cheapest=int(np.flatnonzero(chosen == cheapest)[0]),
    )


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
