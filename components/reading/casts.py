"""Arrow arrays cast safely: the first value that does not fit is a fault, with its place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# What pandas takes for missing, and a blank. In a category only an empty text is missing: "NA" may be a country.
MISSING = [
    *("", " ", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>", "#N/A", "#NA"),
    *("#N/A N/A", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
]


class ValueFault(Exception):
    """A value that cannot be used: its row in the array (None for all rows), what it is, and what is expected."""

    def __init__(self, row: int | None, value: str, expected: str) -> None:
        super().__init__(f"{value}, expected {expected}")
        self.row = row
        self.value = value
        self.expected = expected


def plain(values: pa.Array) -> pa.Array:
    """The values without the dictionary or the large offsets that a Parquet file may have."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(pa.string()) if pa.types.is_large_string(values.type) else values


def text_or_missing(values: pa.Array, marks: Sequence[str] = ()) -> pa.Array:
    """Text of numbers without blanks at the ends, and with null for text that means missing, as further marks do."""
    trimmed = pc.utf8_trim_whitespace(values)
    missing = pa.array([*MISSING, *(mark.strip() for mark in marks)])
    return pc.if_else(pc.is_in(trimmed, value_set=missing), pa.scalar(None, pa.string()), trimmed)


def first(mask: pa.Array) -> int | None:
    """The position of the first True, where null counts as False; None without any."""
    places = np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False))
    return int(places[0]) if places.size else None


def refuse(values: pa.Array, bad: pa.Array, expected: str) -> None:
    row = first(bad)
    if row is not None:
        raise ValueFault(row, shown(values[row].as_py()), expected)


def refuse_missing(values: pa.Array, expected: str) -> pa.Array:
    row = first(values.is_null())
    if row is not None:
        raise ValueFault(row, "missing", expected)
    return values


def shown(value: object) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool)) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def cast(values: pa.Array, to: pa.DataType, expected: str, original: pa.Array | None = None) -> pa.Array:
    """A safe cast, whose error names the first value that does not fit, as it is in `original`."""
    try:
        return values.cast(to)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        if isinstance(error, pa.ArrowNotImplementedError):
            raise ValueFault(None, f"of type {values.type}", expected) from error
    first, last = 0, len(values)
    while last - first > 1:
        middle = (first + last) // 2
        try:
            values.slice(first, middle - first).cast(to)
            first = middle
        except pa.ArrowInvalid:
            last = middle
    raise ValueFault(first, shown((values if original is None else original)[first].as_py()), expected)


def is_numeric(of: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(of) or types.is_floating(of) or types.is_decimal(of) or types.is_boolean(of))


def nan_to_null(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
