"""Counts of rows and frauds by time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.arrays import Array


@dataclass(frozen=True)
class Bins:
    """Spans of time in order: the first and last time in each (seconds), its rows and its frauds; each [bins]."""

    first: Array
    last: Array
    rows: Array
    frauds: Array

    @classmethod
    def from_times(cls, times: Array, labels: Array) -> Bins:
        """A bin for each moment."""
        # + 0.0: of -0.0 and 0.0, which are equal, either could stand for both
        moments, place = np.unique(times + 0.0, return_inverse=True)
        rows = np.bincount(place, minlength=len(moments))
        return cls(moments, moments, rows, np.bincount(place[labels == 1], minlength=len(moments)))

    @classmethod
    def from_parts(cls, parts: list[Bins], length: float) -> Bins:
        """The rows of all parts in bins of `length` seconds, or for 0 in a bin for each moment."""
        first = np.concatenate([part.first for part in parts])
        order = np.argsort(first, kind="stable")  # a few sorted runs are merged in linear time
        first = first[order]
        starts = begins(first, length)
        last = np.concatenate([part.last for part in parts])[order]
        rows = np.concatenate([part.rows for part in parts])[order]
        frauds = np.concatenate([part.frauds for part in parts])[order]
        return cls(
            first[starts],
            np.maximum.reduceat(last, starts),
            np.add.reduceat(rows, starts),
            np.add.reduceat(frauds, starts),
        )

    def starts(self, shares: tuple[float, float]) -> tuple[int, int]:
        """For each share, the bin in which that share of the rows is exceeded; there has to be a row."""
        totals = np.cumsum(self.rows)
        positions = [min(int(totals[-1] * share), totals[-1] - 1) for share in shares]
        first, second = np.searchsorted(totals, positions, side="right")
        return int(first), int(second)


def begins(times: Array, length: float) -> Array:
    """Where in ordered times each bin of `length` seconds begins, or for 0 each bin of one moment: int64 [bins]."""
    keys = np.floor(times / length) if length else times
    return np.flatnonzero(np.concatenate([np.ones(len(keys[:1]), bool), keys[1:] != keys[:-1]]))
