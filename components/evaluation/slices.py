"""Slices of the transactions that are evaluated separately: bands of amount, hours of the day, and days."""

from __future__ import annotations

import datetime
import itertools
import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from components.evaluation.scores import AMOUNT as AMOUNTS
from components.evaluation.scores import TIME as TIMES
from components.evaluation.scores import Scores
from trainer.arrays import Array
from trainer.columns import SECONDS_A_DAY, Columns

AMOUNT, HOUR, DAY = "amount", "hour", "day"
MISSING = "missing"
_MISSING = -1  # key of missing values


def slice_names(columns: Columns) -> tuple[str, ...]:
    """What the transactions are sliced by, as far as the data has the columns for it."""
    return (*([AMOUNT] if columns.amount else []), *([HOUR, DAY] if columns.time else []))


def band_names(bands: Sequence[float]) -> tuple[str, ...]:
    """The bands of amount in words, in rising order: "below 10", "10 to 100", "100 and more"."""
    if not bands:
        return ("all",)
    between = [f"{_plain(low)} to {_plain(high)}" for low, high in itertools.pairwise(bands)]
    return (f"below {_plain(bands[0])}", *between, f"{_plain(bands[-1])} and more")


def _plain(amount: float) -> str:
    """The amount as in 1,000,000, which the format "g" would write as 1e+06."""
    return f"{amount:,.15g}"


def slice_keys(name: str, scores: Scores, bands: Sequence[float]) -> Array:
    """The key of each row's slice, int32 [n], which `slice_value` puts into words; keys rise as the values do.

    Hours and days are those of the data's own clock: since its start for `seconds`, in UTC for the other formats.
    """
    if name == AMOUNT:
        amounts = scores.column(AMOUNTS)
        # in float32, as the amounts are: else 0.1 could be below 0.1
        keys: Array = np.searchsorted(np.array(bands, np.float32), amounts, side="right").astype(np.int32)
        keys[np.isnan(amounts)] = _MISSING
        return keys
    times = scores.column(TIMES)
    unit = SECONDS_A_DAY if name == DAY else 3600
    whole = np.floor(times / unit)
    if name == HOUR:
        whole %= 24
    keys = np.nan_to_num(whole, nan=_MISSING).astype(np.int32)
    return keys


def slice_value(name: str, key: int, columns: Columns, bands: Sequence[float]) -> str:
    """A slice in words: "10 to 100", "07", "2013-09-02", or "day 2" where times count from the data's start."""
    if key == _MISSING:
        return MISSING
    if name == AMOUNT:
        return band_names(bands)[key]
    if name == HOUR:
        return f"{key:02d}"
    if columns.time_kind == "seconds":
        return f"day {key + 1}"
    return str(datetime.date(1970, 1, 1) + datetime.timedelta(days=int(key)))


def ordered(values: Iterable[str]) -> list[str]:
    """Slices as people would order them: "below 10", "10 to 100", "1,000 and more"; "day 9", "day 10"; "missing" last.

    A range is ordered by the number that it begins with, a date by year, month and day.
    """

    def rank(value: str) -> tuple[float, ...]:
        if value.startswith("below"):
            return (-math.inf,)
        numbers = re.findall(r"\d+(?:\.\d+)?", value.replace(",", ""))
        return tuple(map(float, numbers)) or (math.inf,)

    return sorted(values, key=lambda value: (rank(value), value))
