"""What a transaction is sliced by."""

from __future__ import annotations

import numpy as np
import pytest

from components.evaluation.scores import AMOUNT, LABEL, TIME
from components.evaluation.slices import band_names, slice_keys, slice_names, slice_value
from tests.support.small_scores import table
from trainer.columns import Columns

ALL = Columns(label="fraud", amount="euros", time="when")


def sliced(name: str, values: list[float], columns: Columns = ALL, bands: tuple[float, ...] = (10, 100)) -> list[str]:
    """The slice of each value, in words."""
    scores = table({LABEL: np.zeros(len(values)), AMOUNT: values, TIME: values})
    return [slice_value(name, key, columns, bands) for key in slice_keys(name, scores, bands)]


def test_amounts_fall_into_bands_that_include_their_lower_end() -> None:
    low, middle, high = "below 10", "10 to 100", "100 and more"
    bands = sliced("amount", [0.0, 9.99, 10.0, 99.5, 100.0, 5e6, -3.0, np.nan])
    assert bands == [low, low, middle, middle, high, high, low, "missing"]


def test_an_edge_is_compared_as_the_amounts_are_kept() -> None:
    assert sliced("amount", [0.1], bands=(0.1,)) == ["0.1 and more"]


def test_without_bands_there_is_one() -> None:
    assert sliced("amount", [1.0, np.nan], bands=()) == ["all", "missing"]


@pytest.mark.parametrize(
    ("bands", "names"),
    [
        ((), ("all",)),
        ((25,), ("below 25", "25 and more")),
        ((10, 1000), ("below 10", "10 to 1,000", "1,000 and more")),
        ((0.5, 1_000_000), ("below 0.5", "0.5 to 1,000,000", "1,000,000 and more")),
    ],
)
def test_bands_are_named_by_their_ends(bands: tuple[float, ...], names: tuple[str, ...]) -> None:
    assert band_names(bands) == names


def test_hours_are_those_of_the_clock() -> None:
    hours = sliced("hour", [0, 3599.9, 3600, 86_399, 86_400 + 43_200, np.nan])
    assert hours == ["00", "00", "01", "23", "12", "missing"]


def test_days_count_from_the_start_of_the_data() -> None:
    assert sliced("day", [0, 86_399, 86_400, np.nan]) == ["day 1", "day 1", "day 2", "missing"]


@pytest.mark.parametrize("time_format", ["epoch", "epoch_ms", "iso8601"])
def test_days_are_dates_where_the_data_has_them(time_format: str) -> None:
    columns = ALL.model_copy(update={"time_format": time_format})
    days = sliced("day", [0, 1_709_164_800 + 3600], columns)
    assert days == ["1970-01-01", "2024-02-29"]


def test_only_what_has_a_column_is_sliced() -> None:
    assert slice_names(Columns(label="fraud", numeric=("a",))) == ()
    assert slice_names(Columns(label="fraud", amount="euros")) == ("amount",)
    assert slice_names(ALL) == ("amount", "hour", "day")
