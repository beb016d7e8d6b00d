"""Which split a transaction belongs to: by time, or by a hash of its values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from components.reading.settings import SPLITS, SplitSettings
from components.reading.values import seconds
from trainer.arrays import Array
from trainer.columns import Columns
from trainer.errors import InputError

MOST_BINS = 1 << 22  # 128 MB of them
_MOST_PENDING = 1 << 20


@dataclass(frozen=True)
class SplitPlan:
    """Where eval and test begin.

    starts: the first second of eval and of test under `time`; under `random` the first hash value, in [0, 1).
    """

    by: Literal["time", "random"]
    starts: tuple[float, float]
    seed: int = 0

    def assign(self, batch: pa.RecordBatch, columns: Columns) -> Array:
        """Index into SPLITS for each row: int64 [n]."""
        return np.searchsorted(self.starts, split_keys(batch, columns, self.by, self.seed), side="right")


@dataclass(frozen=True)
class SplitSummary:
    """Rows and frauds of a split; first and last are seconds, None without a time column."""

    name: str
    rows: int
    frauds: int
    first: float | None = None
    last: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def split_keys(batch: pa.RecordBatch, columns: Columns, by: str, seed: int) -> Array:
    """What a row is split by: its seconds, or a hash of all its values, so that equal rows stay together; [n]."""
    if by == "time":
        assert columns.time is not None  # the configuration refuses a split by time without one
        return seconds(batch.column(batch.schema.get_field_index(columns.time)), columns.time_format)
    hashed = pd.util.hash_pandas_object(_without_gaps(batch).to_pandas(), index=False).to_numpy(np.uint64)
    # splitmix64's finalizer spreads the seed over all bits (Steele, Lea and Flood 2014)
    mixed = hashed ^ np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    keys: Array = (mixed ^ (mixed >> np.uint64(31))) / 2.0**64
    return keys


def _without_gaps(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with the lowest integer in place of a missing one.

    A gap makes pandas turn a column of integers into floats, which hash otherwise: the split of a row would depend on
    the other rows of its batch.
    """
    lowest = np.iinfo(np.int64).min
    arrays = [column.fill_null(lowest) if pa.types.is_integer(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def plan_splits(
    batches: Iterable[pa.RecordBatch], columns: Columns, settings: SplitSettings, most_bins: int = MOST_BINS
) -> tuple[SplitPlan, tuple[SplitSummary, ...]]:
    """One pass over the data, before anything is written; it keeps counts, not rows.

    Args:
      batches: with the time and label columns under `time`, with all columns under `random`.
      most_bins: of how many different times rows and frauds are counted; where there are more, times are counted
        together, and a split has more or less than its fraction by at most the rows of such a bin.

    Raises:
      InputError: no rows, or a split without a fraud or without a legitimate transaction.
    """
    shares = (settings.train, settings.train + settings.eval)
    if settings.by == "time":
        moments = _Moments(most_bins)
        for batch in batches:
            moments.add(split_keys(batch, columns, settings.by, settings.seed), _labels(batch, columns))
        plan = SplitPlan(settings.by, moments.starts(shares), settings.seed)
        summaries = moments.summaries(plan)
    else:
        plan = SplitPlan(settings.by, shares, settings.seed)
        summaries = _summaries_by_hash(batches, columns, plan)
    if not sum(summary.rows for summary in summaries):
        raise _no_rows()
    _check(summaries, settings)
    return plan, summaries


def _no_rows() -> InputError:
    return InputError("the data has a header but no rows; name a file with transactions under data.path")


def _labels(batch: pa.RecordBatch, columns: Columns) -> Array:
    labels: Array = batch.column(batch.schema.get_field_index(columns.label)).to_numpy(zero_copy_only=False)
    return labels


def _summaries_by_hash(
    batches: Iterable[pa.RecordBatch], columns: Columns, plan: SplitPlan
) -> tuple[SplitSummary, ...]:
    rows, frauds = np.zeros(len(SPLITS), np.int64), np.zeros(len(SPLITS), np.int64)
    for batch in batches:
        split = plan.assign(batch, columns)
        rows += np.bincount(split, minlength=len(SPLITS))
        frauds += np.bincount(split[_labels(batch, columns) == 1], minlength=len(SPLITS))
    return tuple(SplitSummary(name, int(rows[i]), int(frauds[i])) for i, name in enumerate(SPLITS))


class _Moments:
    """Rows and frauds of each moment; of spans of time, all of one length, where there are more than `most` moments.

    The length is the least power of two of seconds, from 2**-30 on, with which they are not too many: it depends on
    the times alone, not on the batches in which they come.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._length = 0.0  # seconds; 0: a bin for each moment
        self._bins = _Bins.from_times(np.zeros(0), np.zeros(0, np.int64))
        self._pending: list[_Bins] = []

    def add(self, times: Array, labels: Array) -> None:
        self._pending.append(_Bins.from_times(times, labels))
        if sum(len(bins.first) for bins in self._pending) >= _MOST_PENDING:
            self._merge()

    def _merge(self) -> None:
        self._bins = _Bins.merged([self._bins, *self._pending], self._length)
        self._pending = []
        if len(self._bins.first) > self._most:
            while len(_begins(self._bins.first, self._length)) > self._most:
                self._length = self._length * 2 or 2.0**-30
            self._bins = _Bins.merged([self._bins], self._length)

    def starts(self, shares: tuple[float, float]) -> tuple[float, float]:
        """The first time of the bin in which each share of the rows is passed."""
        self._merge()
        passed = np.cumsum(self._bins.rows)
        if not len(passed):
            raise _no_rows()
        positions = [min(int(passed[-1] * share), passed[-1] - 1) for share in shares]
        first, second = self._bins.first[np.searchsorted(passed, positions, side="right")]
        return float(first), float(second)

    def summaries(self, plan: SplitPlan) -> tuple[SplitSummary, ...]:
        bins = self._bins
        split = np.searchsorted(plan.starts, bins.first, side="right")
        summaries = []
        for index, name in enumerate(SPLITS):
            own = split == index
            first, last = (float(bins.first[own][0]), float(bins.last[own][-1])) if own.any() else (None, None)
            summaries.append(SplitSummary(name, int(bins.rows[own].sum()), int(bins.frauds[own].sum()), first, last))
        return tuple(summaries)


@dataclass(frozen=True)
class _Bins:
    """Spans of time in their order: first and last time in each (seconds), rows, frauds; each [bins]."""

    first: Array
    last: Array
    rows: Array
    frauds: Array

    @classmethod
    def from_times(cls, times: Array, labels: Array) -> _Bins:
        """A bin for each moment."""
        moments, place = np.unique(times, return_inverse=True)
        rows = np.bincount(place, minlength=len(moments))
        return cls(moments, moments, rows, np.bincount(place[labels == 1], minlength=len(moments)))

    @classmethod
    def merged(cls, parts: list[_Bins], length: float) -> _Bins:
        """Their rows in bins of that many seconds; 0: a bin for each moment."""
        first = np.concatenate([part.first for part in parts])
        order = np.argsort(first, kind="stable")  # which for a few sorted runs is a merge
        first = first[order]
        begins = _begins(first, length)
        last = np.concatenate([part.last for part in parts])[order]
        rows = np.concatenate([part.rows for part in parts])[order]
        frauds = np.concatenate([part.frauds for part in parts])[order]
        return cls(
            first[begins],
            np.maximum.reduceat(last, begins),
            np.add.reduceat(rows, begins),
            np.add.reduceat(frauds, begins),
        )


def _begins(times: Array, length: float) -> Array:
    """Where in ordered times a bin of that many seconds begins, or of one moment for 0: int64 [bins]"""
    keys = np.floor(times / length) if length else times
    return np.flatnonzero(np.concatenate([np.ones(len(keys[:1]), bool), keys[1:] != keys[:-1]]))


def _check(summaries: tuple[SplitSummary, ...], settings: SplitSettings) -> None:
    frauds = sum(summary.frauds for summary in summaries)
    counts = ", ".join(f"{summary.name} {summary.frauds:,} of {summary.rows:,}" for summary in summaries)
    for summary in summaries:
        share = getattr(settings, summary.name)
        if not summary.frauds:
            raise InputError(
                f"the {summary.name} split has no fraud (frauds: {counts}; {frauds:,} in all); raise "
                f"data.split.{summary.name}, now {share:g}, or give data with more frauds"
            )
        if summary.rows == summary.frauds:
            raise InputError(
                f"the {summary.name} split has no legitimate transaction (frauds: {counts}); raise "
                f"data.split.{summary.name}, now {share:g}, or check which value of the label means fraud"
            )
