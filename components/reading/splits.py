"""Which split a transaction belongs to: by time, or by a hash of its values."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import IO, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from components.reading.bins import Bins, begins
from components.reading.settings import SPLITS, SplitSettings
from components.reading.split_faults import Division
from components.reading.values import seconds
from trainer.arrays import Array
from trainer.columns import Columns
from trainer.errors import InputError

MOST_BINS = 1 << 22  # which take 128 MB
_MOST_PENDING = 1 << 20  # times that are collected before they are merged


class NotDivisible(InputError):
    """The data cannot be divided as the settings say."""


@dataclass(frozen=True)
class SplitPlan:
    """The starts of eval and of test.

    starts: by `time` the first second of each; by `random` its first hash value, in [0, 1).
    """

    by: Literal["time", "random"]
    starts: tuple[float, float]
    seed: int = 0

    def assign(self, batch: pa.RecordBatch, columns: Columns) -> Array:
        """The split of each row as an index into SPLITS: int64 [n]."""
        return np.searchsorted(self.starts, split_keys(batch, columns, self.by, self.seed), side="right")


@dataclass(frozen=True)
class SplitSummary:
    """Rows and frauds of a split, and its first and last time in seconds; None without a time column."""

    name: str
    rows: int
    frauds: int
    first: float | None = None
    last: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def split_keys(batch: pa.RecordBatch, columns: Columns, by: str, seed: int) -> Array:
    """The values that decide the split of each row, float64 [n].

    They are times in seconds, or hashes of all values of a row but its id and entities, so that equal rows stay
    together.
    """
    if by == "time":
        assert columns.time is not None  # the configuration refuses a split by time without one
        return seconds(batch.column(batch.schema.get_field_index(columns.time)), columns.time_kind)
    hashed = row_hashes(batch, columns)
    # splitmix64's finalizer spreads the seed over all bits (Steele, Lea and Flood 2014)
    mixed = hashed ^ np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    keys: Array = (mixed ^ (mixed >> np.uint64(31))) / 2.0**64
    return keys


def row_hashes(batch: pa.RecordBatch, columns: Columns) -> Array:
    """A hash of all values of each row but its id and entities, uint64 [n]; equal rows of any batch have the same."""
    # A missing value makes pandas turn a column of integers into floats, which hash differently, so that the hash of a
    # row would depend on the other rows of its batch.
    lowest = np.iinfo(np.int64).min
    kept = {name: batch.column(index) for index, name in enumerate(batch.schema.names) if name not in columns.carried}
    arrays = [column.fill_null(lowest) if pa.types.is_integer(column.type) else column for column in kept.values()]
    frame = pa.RecordBatch.from_arrays(arrays, names=list(kept)).to_pandas()
    hashes: Array = pd.util.hash_pandas_object(frame, index=False).to_numpy(np.uint64)
    return hashes


def plan_splits(
    batches: Iterable[pa.RecordBatch], columns: Columns, settings: SplitSettings, most_bins: int = MOST_BINS
) -> tuple[SplitPlan, tuple[SplitSummary, ...]]:
    """Plans the splits in one pass over the data, which keeps counts, not rows.

    Args:
      batches: for a split by `time` with the columns of time and label, for one by `random` with all columns.
      most_bins: how many different times are counted separately; where there are more, neighbouring times share a bin,
        and a split may miss its share by at most the rows of one bin.

    Raises:
      InputError: there are no rows, or a split has no fraud or no legitimate transaction.
    """
    counts = SplitCounts(columns, settings, most_bins)
    for batch in batches:
        counts.add(batch)
    return counts.plan()


class SplitCounts:
    """Rows and frauds by time, or of each random split: what a plan of the splits is made from.

    Counts of parts of the data, in whatever order they are merged, give the plan that one pass over all of it gives.

    left_out: how many rows `read_batches` left out, by the role that they have no value of.
    """

    def __init__(self, columns: Columns, settings: SplitSettings, most_bins: int = MOST_BINS) -> None:
        self._columns = columns
        self._settings = settings
        self._moments = _Moments(most_bins)  # of a split by time
        self._rows = np.zeros(len(SPLITS), np.int64)  # of a random split
        self._frauds = np.zeros(len(SPLITS), np.int64)
        self.left_out: Counter[str] = Counter()

    @property
    def _by_hash(self) -> SplitPlan:
        """The plan of a random split, which depends on the settings alone."""
        settings = self._settings
        return SplitPlan(settings.by, (settings.train, settings.train + settings.eval), settings.seed)

    def add(self, batch: pa.RecordBatch) -> None:
        """Counts the rows of a batch."""
        columns, settings, labels = self._columns, self._settings, _labels(batch, self._columns)
        if settings.by == "time":
            self._moments.add(split_keys(batch, columns, settings.by, settings.seed), labels)
            return
        split = self._by_hash.assign(batch, columns)
        self._rows += np.bincount(split, minlength=len(SPLITS))
        self._frauds += np.bincount(split[labels == 1], minlength=len(SPLITS))

    def merge(self, other: SplitCounts) -> None:
        """Adds the counts of other rows."""
        self._moments.merge(*other._moments.merged())
        self._rows += other._rows
        self._frauds += other._frauds
        self.left_out.update(other.left_out)

    def save(self, file: IO[bytes]) -> None:
        """Writes the counts, for `load`."""
        bins, length = self._moments.merged()
        left_out = np.array(json.dumps(self.left_out))
        by_hash = {"split_rows": self._rows, "split_frauds": self._frauds}
        np.savez(file, left_out=left_out, length=np.array(length), **by_hash, **vars(bins))

    def load(self, file: IO[bytes]) -> None:
        """Adds the counts that `save` wrote, with the same columns and settings."""
        with np.load(file, allow_pickle=False) as stored:
            bins = Bins(**{field.name: stored[field.name] for field in fields(Bins)})
            self._moments.merge(bins, float(stored["length"]))
            self._rows += stored["split_rows"]
            self._frauds += stored["split_frauds"]
            self.left_out.update(json.loads(str(stored["left_out"])))

    def plan(self) -> tuple[SplitPlan, tuple[SplitSummary, ...]]:
        """The plan, and what each split holds by it.

        Raises:
          InputError: there are no rows, or a split has no fraud or no legitimate transaction.
        """
        settings, bins = self._settings, None
        plan = self._by_hash
        if settings.by == "time":
            plan = SplitPlan(settings.by, self._moments.starts(plan.starts), settings.seed)
            summaries, bins = self._moments.summaries(plan), self._moments.bins
        else:
            numbers = zip(SPLITS, self._rows.tolist(), self._frauds.tolist(), strict=True)
            summaries = tuple(SplitSummary(name, rows, frauds) for name, rows, frauds in numbers)
        if not sum(summary.rows for summary in summaries):
            raise _no_rows()
        rows, frauds = (np.array([getattr(one, name) for one in summaries]) for name in ("rows", "frauds"))
        if fault := Division(self._columns, settings, rows, frauds, bins).fault():
            raise NotDivisible(fault)
        return plan, summaries


def _no_rows() -> InputError:
    return InputError("the data has a header but no rows; name a file with transactions under data.path")


def _labels(batch: pa.RecordBatch, columns: Columns) -> Array:
    labels: Array = batch.column(batch.schema.get_field_index(columns.label)).to_numpy(zero_copy_only=False)
    return labels


class _Moments:
    """Rows and frauds of each moment or, where there are more than `most` moments, of spans of equal length.

    The length is the lowest power of two of seconds, from 2**-30 on, with which there are not too many spans. It
    depends on the times only, not on the batches in which they come.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._length = 0.0  # of a span, in seconds; 0 means a bin for each moment
        self.bins = Bins.from_times(np.zeros(0), np.zeros(0, np.int64))
        self._pending: list[Bins] = []

    def add(self, times: Array, labels: Array) -> None:
        self._pending.append(Bins.from_times(times, labels))
        if sum(len(bins.first) for bins in self._pending) >= _MOST_PENDING:
            self._merge()

    def merged(self) -> tuple[Bins, float]:
        """All bins, and the length of each in seconds."""
        self._merge()
        return self.bins, self._length

    def merge(self, bins: Bins, length: float) -> None:
        """Adds what `merged` returned for other rows."""
        # the lowest length of all rows is at least that of any part of them
        self._length = max(self._length, length)
        self._pending.append(bins)
        self._merge()

    def _merge(self) -> None:
        self.bins = Bins.from_parts([self.bins, *self._pending], self._length)
        self._pending = []
        if len(self.bins.first) > self._most:
            while len(begins(self.bins.first, self._length)) > self._most:
                self._length = self._length * 2 or 2.0**-30
            self.bins = Bins.from_parts([self.bins], self._length)

    def starts(self, shares: tuple[float, float]) -> tuple[float, float]:
        """For each share, the first time of the bin in which that share of the rows is exceeded."""
        self._merge()
        if not len(self.bins.rows):
            raise _no_rows()
        first, second = self.bins.first[list(self.bins.starts(shares))]
        return float(first), float(second)

    def summaries(self, plan: SplitPlan) -> tuple[SplitSummary, ...]:
        bins = self.bins
        split = np.searchsorted(plan.starts, bins.first, side="right")
        summaries = []
        for index, name in enumerate(SPLITS):
            own = split == index
            first, last = (float(bins.first[own][0]), float(bins.last[own][-1])) if own.any() else (None, None)
            summaries.append(SplitSummary(name, int(bins.rows[own].sum()), int(bins.frauds[own].sum()), first, last))
        return tuple(summaries)
