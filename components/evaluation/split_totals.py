"""Totals of the test split as people weigh them: a day, with the split's own beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.evaluation import words
from components.evaluation.scores import TIME, Scores

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class SplitTotals:
    """Words for counts and money of the test split, a day; without times the split's own figures stand alone.

    days: in which so many transactions come in; None without times.
    """

    days: float | None
    currency: str = ""

    @classmethod
    def from_scores(cls, scores: Scores, currency: str) -> Self:
        return cls(scores.days if TIME in scores else None, currency)

    @property
    def unit(self) -> str:
        """ " a day", or nothing."""
        return "" if self.days is None else " a day"

    def of(self, total: float) -> float:
        """A day."""
        return total / (self.days or 1.0)

    def money(self, total: float | None) -> str:
        """Of the split's total, a day: "1,234 EUR"."""
        return words.money(None if total is None else self.of(total), self.currency)

    def count(self, total: float | None) -> str:
        """Of the split's total, a day: "11.5"."""
        return words.count(None if total is None else self.of(total))

    def split_money(self, total: float | None) -> str:
        """The split's own, where it stands beside a figure a day; else nothing."""
        return "" if self.days is None else words.money(total, self.currency)

    def split_count(self, total: float | None) -> str:
        """As `split_money`."""
        return "" if self.days is None else words.count(total)

    def on_split(self, total: float) -> str:
        """What follows a figure and its unit: " (2,468 EUR on the test split)", or without times where it is of."""
        return " on the test split" if self.days is None else f" ({self.split_money(total)} on the test split)"
