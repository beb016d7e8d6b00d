"""Which split a transaction belongs to: by time, or by a hash of its values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from components.settings import SplitSettings
from components.transactions import seconds
from trainer.columns import Columns
from trainer.errors import InputError

SPLITS = ("train", "eval", "test")


@dataclass(frozen=True)
class SplitPlan:
    """Where eval and test begin.

    starts: the first second of eval and of test under `time`; under `random` the first hash value, in [0, 1).
    """

    by: Literal["time", "random"]
    starts: tuple[float, float]
    seed: int = 0

    def assign(self, batch: pa.RecordBatch, columns: Columns) -> np.ndarray:
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


def split_keys(batch: pa.RecordBatch, columns: Columns, by: str, seed: int) -> np.ndarray:
    """What a row is split by: its seconds, or a hash of all its values, so that equal rows stay together; [n]."""
    if by == "time":
        assert columns.time is not None  # the configuration refuses a split by time without one
        return seconds(batch.column(batch.schema.get_field_index(columns.time)), columns.time_format)
    hashed = pd.util.hash_pandas_object(_without_gaps(batch).to_pandas(), index=False).to_numpy(np.uint64)
    # splitmix64's finalizer spreads the seed over all bits (Steele, Lea and Flood 2014)
    mixed = hashed ^ np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) / 2.0**64


def _without_gaps(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with the lowest integer in place of a missing one.

    A gap makes pandas turn a column of integers into floats, which hash otherwise: the split of a row would depend on
    the other rows of its batch.
    """
    lowest = np.iinfo(np.int64).min
    arrays = [column.fill_null(lowest) if pa.types.is_integer(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def plan_splits(
    batches: Iterable[pa.RecordBatch], columns: Columns, settings: SplitSettings
) -> tuple[SplitPlan, tuple[SplitSummary, ...]]:
    """One pass over the data, before anything is written.

    Args:
      batches: with the time and label columns under `time`, with all columns under `random`.

    Raises:
      InputError: no rows, or a split without a fraud or without a legitimate transaction.
    """
    keys, labels = [], []
    for batch in batches:
        keys.append(split_keys(batch, columns, settings.by, settings.seed))
        labels.append(batch.column(batch.schema.get_field_index(columns.label)).to_numpy(zero_copy_only=False))
    if not keys or not sum(map(len, keys)):
        raise InputError("the data has a header but no rows; name a file with transactions under data.path")
    key, label = np.concatenate(keys), np.concatenate(labels).astype(np.int8)
    if settings.by == "time":
        ordered = np.sort(key)
        positions = [int(len(key) * share) for share in (settings.train, settings.train + settings.eval)]
        starts = tuple(float(ordered[min(position, len(key) - 1)]) for position in positions)
    else:
        starts = (settings.train, settings.train + settings.eval)
    plan = SplitPlan(settings.by, (starts[0], starts[1]), settings.seed)
    split = np.searchsorted(plan.starts, key, side="right")
    summaries = []
    for index, name in enumerate(SPLITS):
        rows = split == index
        times = key[rows] if settings.by == "time" and rows.any() else None
        summaries.append(
            SplitSummary(
                name,
                int(rows.sum()),
                int(label[rows].sum()),
                None if times is None else float(times.min()),
                None if times is None else float(times.max()),
            )
        )
    _check(tuple(summaries), settings)
    return plan, tuple(summaries)


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
