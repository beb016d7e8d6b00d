"""Why data can't be divided as the configuration says, and what would help."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.reading.bins import Bins
from components.reading.settings import SPLITS, SplitSettings
from trainer.arrays import Array
from trainer.columns import Columns

_RELATIVE = ("seconds", "minutes", "hours", "days")  # formats of times that count from some start
_AT_RANDOM = "set data.split.by: random, which does not go by the time"


@dataclass(frozen=True)
class Division:
    """Rows and frauds of each split, int64 [3]; bins: of a split by time, in order."""

    columns: Columns
    settings: SplitSettings
    rows: Array
    frauds: Array
    bins: Bins | None = None

    def fault(self) -> str | None:
        """Why a split lacks fraud or legitimate rows, in a sentence that ends with what helps; None where none does."""
        lacking = self._lacking()
        if lacking is None:
            return None
        split, what, held = lacking
        counts = ", ".join(
            f"{name} {frauds:,} of {rows:,}" for name, frauds, rows in zip(SPLITS, self.frauds, self.rows, strict=True)
        )
        return self._of_all_rows() or (
            f"the {SPLITS[split]} split has no {what} (frauds: {counts}; {int(self.frauds.sum()):,} in all): "
            + (self._by_time(split, what, held) if self.bins else self._by_hash(split, what, held))
        )

    def _lacking(self) -> tuple[int, str, Array] | None:
        """The first split without rows of one kind, that kind, and how many of them each split holds."""
        for split in range(len(SPLITS)):
            for what, held in (("fraud", self.frauds), ("legitimate transaction", self.rows - self.frauds)):
                if not held[split]:
                    return split, what, held
        return None

    def _of_all_rows(self) -> str | None:
        """What keeps any division from working."""
        rows, frauds, label = int(self.rows.sum()), int(self.frauds.sum()), self.columns.label
        meanings = self.columns.label_values
        column = (
            "check columns.label and columns.label_values, which name the label and its values that mean fraud: "
            + (", ".join(meanings.fraud) if meanings else "1 or true")
        )
        if not frauds:
            return (
                f"there is no fraud in the data: the label {label} says legitimate in all {rows:,} rows; {column}, "
                "or name data with frauds"
            )
        if frauds == rows:
            return (
                f"there is no legitimate transaction in the data: the label {label} says fraud in all {rows:,} rows; "
                f"{column}"
            )
        for count, what in ((frauds, "fraud"), (rows - frauds, "legitimate transaction")):
            if count < len(SPLITS):
                plural = f"there are only {count} {what}s" if count > 1 else f"there is only one {what}"
                return f"{plural} in the data, and {', '.join(SPLITS)} need at least one each; name data with more"
        return None

    # by time

    def _by_time(self, split: int, what: str, held: Array) -> str:
        assert self.bins is not None
        bins, time = self.bins, self.columns.time
        one_moment = bins.first[0] == bins.last[-1]
        if one_moment or (len(bins.first) < len(SPLITS) and np.array_equal(bins.first, bins.last)):
            times = (
                f"all {int(self.rows.sum()):,} rows have the same time, {self._moment(bins.first[0])}"
                if one_moment
                else f"the rows have only {len(bins.first)} different times, fewer than splits"
            )
            return f"{times}; check columns.time ({time}) and its format, or {_AT_RANDOM}"
        return f"{self._of_times(split, what)}; {self._shares_that_work() or self._no_shares()}"

    def _of_times(self, split: int, what: str) -> str:
        """Why this split came out as it did."""
        assert self.bins is not None
        bins, total = self.bins, int(self.rows.sum())
        share = getattr(self.settings, SPLITS[split])
        if not self.rows[split]:
            if total * share < 1:
                return f"its share of {share:g} is less than one of {total:,} rows"
            # the bin in which it would begin, which the split beside it got as a whole
            crowd = bins.starts(_ends(self.settings))[max(0, split - 1)]
            first, last = bins.first[crowd], bins.last[crowd]
            when = f"at {self._moment(first)}"
            if first != last:
                when = f"between {self._moment(first)} and {self._moment(last)}"
            return f"{int(bins.rows[crowd]):,} of {total:,} rows are {when}, and rows of one time stay together"
        kinds = bins.frauds if what == "fraud" else bins.rows - bins.frauds
        (places,) = np.nonzero(kinds)
        first, last = self._moment(bins.first[places[0]]), self._moment(bins.last[places[-1]])
        (own,) = np.nonzero(np.repeat(range(len(SPLITS)), np.diff([0, *self._borders(), len(bins.rows)])) == split)
        begin, end = self._moment(bins.first[own[0]]), self._moment(bins.last[own[-1]])
        where = f"the {what}s lie between {first} and {last}, this split between {begin} and {end}"
        unlabelled = what == "fraud" and places[-1] < own[0]
        return where + (" (the newest rows may have no labels yet: leave them out)" if unlabelled else "")

    def _borders(self) -> tuple[int, int]:
        """The bins with which eval and test begin."""
        assert self.bins is not None
        return self.bins.starts(_ends(self.settings))

    def _shares_that_work(self) -> str | None:
        """Shares near to the configured ones that give each split both kinds; None where there are none."""
        assert self.bins is not None
        bins = self.bins
        borders = _nearest_borders(bins, self._borders())
        if borders is None:
            return None
        before = np.concatenate([[0], np.cumsum(bins.rows)])
        # in the middle of the row with which the split begins, so that no rounding moves it
        ends = [(int(before[border]) + 0.5) / int(before[-1]) for border in borders]
        for digits in range(2, 17):
            shares = [float(f"{share:.{digits}g}") for share in (ends[0], ends[1] - ends[0])]
            shares.append(float(f"{1 - sum(shares):.{digits}g}"))
            is_whole = min(shares) > 0 and abs(sum(shares) - 1) < 1e-6
            if is_whole and bins.starts((shares[0], shares[0] + shares[1])) == borders:
                mapping = ", ".join(f"{name}: {share!r}" for name, share in zip(SPLITS, shares, strict=True))
                return f"these shares work: data.split: {{{mapping}}}; or {_AT_RANDOM}"
        return None

    def _no_shares(self) -> str:
        return f"no other shares help, since no three parts in order of time hold both kinds each; {_AT_RANDOM}"

    def _moment(self, seconds: float) -> str:
        if self.columns.time_format in _RELATIVE:
            return f"{float(seconds):,.15g} s"
        try:
            return f"{np.datetime64(int(seconds), 's').item().isoformat(' ')} UTC"
        except (ValueError, OverflowError, AttributeError):  # a year that no calendar has
            return f"{float(seconds):,.15g} s since 1970"

    # at random

    def _by_hash(self, split: int, what: str, held: Array) -> str:
        share, total = getattr(self.settings, SPLITS[split]), int(held.sum())
        if total * share < 1:
            cause = f"its share of {share:g} of {total:,} {what}s is less than one"
            return f"{cause}; raise data.split.{SPLITS[split]}, or name data with more"
        return (
            f"which split a row is in goes by a hash of its values, equal rows stay together, and of {total:,} {what}s "
            f"none fell into a share of {share:g}; try another data.split.seed, now {self.settings.seed}, raise "
            f"data.split.{SPLITS[split]}, or name data with more"
        )


def _ends(settings: SplitSettings) -> tuple[float, float]:
    """The shares at which train and eval end."""
    return settings.train, settings.train + settings.eval


def _nearest_borders(bins: Bins, wanted: tuple[int, int]) -> tuple[int, int] | None:
    """The bins with which eval and test can begin so that each split has both kinds, near to those that are wanted."""
    kinds = np.stack([bins.frauds, bins.rows - bins.frauds])
    before = np.concatenate([np.zeros((2, 1), np.int64), np.cumsum(kinds, axis=1)], axis=1)
    # the first border up to which there are both kinds, and the last from which on there are
    earliest = int(max(np.searchsorted(row, 1) for row in before))
    latest = int(min(np.searchsorted(row, row[-1], side="left") for row in before)) - 1
    if earliest >= latest:
        return None

    def reach(begin: int) -> int:
        """The first border up to which the rows from `begin` on have both kinds; beyond the last if there is none."""
        return int(max(np.searchsorted(row, row[begin] + 1) for row in before))

    first = min(max(wanted[0], earliest), latest)
    if reach(first) > latest:
        # the last begin from which eval still gets both kinds before test begins
        first = int(min(np.searchsorted(row, row[latest] - 1, side="right") for row in before)) - 1
        if first < earliest:
            return None
    return first, min(max(wanted[1], reach(first)), latest)
