"""What a transaction is sliced by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.slices import band_names, hour_names, slice_names, slice_values
from trainer.columns import Columns


def lists(values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array([None if value is None else [value] for value in values], pa.large_list(kind))


def sliced(columns: Columns, bands: tuple[float, ...] = (10, 100), **values: pa.Array) -> dict[str, list[str]]:
    batch = pa.RecordBatch.from_arrays(list(values.values()), list(values))
    return {name: found.tolist() for name, found in slice_values(batch, columns, bands).items()}


AMOUNTS = Columns(label="fraud", amount="euros")


def test_amounts_fall_into_bands_that_include_their_lower_end() -> None:
    found = sliced(AMOUNTS, euros=lists([0.0, 9.99, 10.0, 99.5, 100.0, 5e6, -3.0, None], pa.float32()))
    low, middle, high = "below 10", "10 to 100", "100 and more"
    assert found == {"amount": [low, low, middle, middle, high, high, low, "missing"]}


def test_an_edge_is_compared_as_the_amounts_are_kept() -> None:
    assert sliced(AMOUNTS, (0.1,), euros=lists([0.1], pa.float32())) == {"amount": ["0.1 and more"]}


@pytest.mark.parametrize(
    ("bands", "names"),
    [
        ((), ("all",)),
        ((25,), ("below 25", "25 and more")),
        ((10, 1000), ("below 10", "10 to 1,000", "1,000 and more")),
    ],
)
def test_bands_are_named_by_their_ends(bands: tuple[float, ...], names: tuple[str, ...]) -> None:
    assert band_names(bands) == names


@pytest.mark.parametrize(
    ("time_format", "values", "kind"),
    [
        ("seconds", [0.0, 21_600.0, 86_399.0, 86_400.0 + 43_200.0], pa.float32()),
        ("epoch", [0, 21_600, 86_399, 1_700_000_000 - 1_700_000_000 % 86_400 + 43_200], pa.int64()),
        ("epoch_ms", [0, 21_600_000, 86_399_999, 129_600_000], pa.int64()),
        (
            "iso8601",
            [b"2024-01-01", b"2024-01-01T06:00:00Z", b"2024-02-29T23:59:59", b"2024-01-01T14:30+02:00"],
            pa.large_binary(),
        ),
    ],
)
def test_hours_are_read_in_every_format(time_format: Any, values: list[Any], kind: pa.DataType) -> None:
    columns = Columns(label="fraud", time="when", time_format=time_format)
    found = sliced(columns, when=lists([*values, None], kind))
    assert found == {"hours": ["00 to 06", "06 to 12", "18 to 24", "12 to 18", "missing"]}


def test_only_what_has_a_column_is_sliced() -> None:
    assert slice_names(Columns(label="fraud", numeric=("a",))) == ()
    assert slice_names(AMOUNTS) == ("amount",)
    assert slice_names(Columns(label="fraud", amount="euros", time="when")) == ("amount", "hours")
    assert hour_names() == ("00 to 06", "06 to 12", "12 to 18", "18 to 24")
    assert (
        slice_values(pa.RecordBatch.from_arrays([pa.array([1])], ["a"]), Columns(label="f", numeric=("a",)), ()) == {}
    )


def test_values_are_objects_that_numpy_can_tell_apart() -> None:
    batch = pa.RecordBatch.from_arrays([lists([1.0, 20.0, 1.0], pa.float32())], ["euros"])
    values = slice_values(batch, AMOUNTS, (10,))["amount"]
    assert np.unique(values).tolist() == ["10 and more", "below 10"]
