"""Figures of the test split as people weigh them: a day, with the split's own beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from components.evaluation import words
from components.evaluation.split_totals import SplitTotals
from components.evaluation.words import decimals, duration
from trainer.columns import SECONDS_A_DAY
from trainer.decision.outcomes import Outcomes


class PerDay(SplitTotals):
    """What the report says of totals of the test split, with sentences on the figures and the two of them as HTML."""

    @property
    def basis(self) -> str:
        """One sentence on how the figures come from those of the test split."""
        if self.days is None:
            return "The data has no times: counts and money are those of the whole test split."
        covered = duration(self.days * SECONDS_A_DAY)
        return (
            f"The test split has the transactions of {covered}; figures a day are its own, divided by "
            f"{decimals(self.days, 2)} days."
        )

    @property
    def note(self) -> str:
        """One sentence on which figures stand side by side."""
        if self.days is None:
            return self.basis
        return "Counts and money are a day; the smaller figures are those of the whole test split."

    def money_and_split(self, total: float | None) -> Markup:
        """As HTML: a day, and the split's own beside it, smaller."""
        return beside(self.money(total), self.split_money(total))

    def equation(self, outcomes: Outcomes, at: int = 0) -> list[tuple[str, str]]:
        """What the cost is the sum of, and the cost, by `EQUATION`: each a day, and on the split where that differs."""
        names = ("missed_cost", "review_cost", "declined_cost", "caught_gain")
        missed, review, declined, caught = (float(getattr(outcomes, name)[at]) for name in names)
        parts = [missed, review, declined, -caught]
        a_day = add_up([self.of(part) for part in parts], self.currency)
        of_split = [""] * len(a_day) if self.days is None else add_up(parts, self.currency)
        return list(zip(a_day, of_split, strict=True))

    def count_and_split(self, total: float | None) -> Markup:
        """As HTML: a day, and the split's own beside it, smaller."""
        return beside(self.count(total), self.split_count(total))


EQUATION = {
    "missed_cost": "missed fraud",
    "review_cost": "review",
    "declined_cost": "declined customers",
    "caught_gain": "caught fraud",
    "cost": "cost",
}


def add_up(parts: Sequence[float], currency: str) -> list[str]:
    """Sums of money and what they add up to, rounded such that the texts add up as well.

    Each is rounded up or down; those that lose most by it are rounded up (Hare's largest remainders).
    """
    total = sum(parts)
    digits = 0 if abs(total) >= 99.995 else 2  # as in `words.money`
    units = np.array(parts, np.float64) * 10**digits
    whole = np.floor(units)
    missing = round(round(total, digits) * 10**digits - whole.sum())
    whole[np.argsort(whole - units, kind="stable")[:missing]] += 1
    shown = [*(whole / 10**digits).tolist(), total]
    return [f"{decimals(value, digits if round(value, digits) else 0)} {currency}" for value in shown]


def beside(figure: str, smaller: str) -> Markup:
    """A figure with another one beside it, as HTML; alone where there is no other, or it is not defined."""
    if smaller in ("", words.NOT_DEFINED):
        return Markup.escape(figure)
    return Markup("{} <small>{}</small>").format(figure, smaller)
