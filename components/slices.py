"""Parts of the transactions that are evaluated by themselves: bands of amount, and hours of the day."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from components.transactions import seconds
from trainer.columns import Columns

AMOUNT, HOURS = "amount", "hours"
MISSING = "missing"
HOURS_A_SLICE = 6


def slice_names(columns: Columns) -> tuple[str, ...]:
    """What the transactions are sliced by, where they have the columns for it."""
    return (*([AMOUNT] if columns.amount else []), *([HOURS] if columns.time else []))


def band_names(bands: Sequence[float]) -> tuple[str, ...]:
    """The bands of amount in words, rising: "below 10", "10 to 100", "100 and more"."""
    if not bands:
        return ("all",)
    between = [f"{low:,g} to {high:,g}" for low, high in itertools.pairwise(bands)]
    return (f"below {bands[0]:,g}", *between, f"{bands[-1]:,g} and more")


def hour_names() -> tuple[str, ...]:
    """Parts of the day in words: "00 to 06"."""
    return tuple(f"{start:02d} to {start + HOURS_A_SLICE:02d}" for start in range(0, 24, HOURS_A_SLICE))


def slice_values(batch: pa.RecordBatch, columns: Columns, bands: Sequence[float]) -> dict[str, np.ndarray]:
    """For each of `slice_names`, the value of each row: object [n].

    Args:
      batch: amount and time as lists of at most one value in each row, as they lie in the examples.

    Hours are those of the data's own clock: since its start for `seconds`, in UTC for the others.
    """
    values = {}
    if columns.amount:
        present, amounts = _single(batch, columns.amount)
        names = np.array([*band_names(bands), MISSING], object)
        band = np.full(batch.num_rows, len(names) - 1)
        # in float32 as the amounts are: 0.1 is not below 0.1
        band[present] = np.searchsorted(np.array(bands, np.float32), amounts.to_numpy(), side="right")
        values[AMOUNT] = names[band]
    if columns.time:
        present, times = _single(batch, columns.time)
        names = np.array([*hour_names(), MISSING], object)
        part = np.full(batch.num_rows, len(names) - 1)
        if columns.time_format == "iso8601":
            times = times.cast(pa.string())
        part[present] = seconds(times, columns.time_format) % 86_400 // (3600 * HOURS_A_SLICE)
        values[HOURS] = names[part]
    return values


def _single(batch: pa.RecordBatch, column: str) -> tuple[np.ndarray, pa.Array]:
    """Which rows have a value, bool [n], and those values."""
    lists = batch.column(batch.schema.get_field_index(column))
    return lists.is_valid().to_numpy(zero_copy_only=False), lists.flatten()
