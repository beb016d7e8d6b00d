"""Values of a column as Arrow arrays of one type (numbers, text, labels, times), or the fault of the first bad one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from trainer.arrays import Array
from trainer.columns import TimeFormat
from trainer.errors import InputError

# What pandas takes for missing, and a blank. In a category only an empty text is missing: "NA" may be a country.
MISSING = [
    *("", " ", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>", "#N/A", "#NA"),
    *("#N/A N/A", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
]

Kind = Literal["number", "integer", "string", "identifier", "label", "seconds", "epoch", "epoch_ms", "iso8601", "raw"]

_ISO_8601 = (
    r"^(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?:[.,](?P<fraction>\d+))?"
    r"(?: ?(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?))?)?$"
)


class ValueFault(Exception):
    """A value that cannot be used: its row in the array (None for all rows), what it is, and what is expected."""

    def __init__(self, row: int | None, value: str, expected: str) -> None:
        super().__init__(f"{value}, expected {expected}")
        self.row = row


def _plain(values: pa.Array) -> pa.Array:
    """The values without the dictionary or the large offsets that a Parquet file may have."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(pa.string()) if pa.types.is_large_string(values.type) else values


def _text_or_missing(values: pa.Array) -> pa.Array:
    """Text of numbers without blanks at the ends, and with null for text that means missing."""
    trimmed = pc.utf8_trim_whitespace(values)
    return pc.if_else(pc.is_in(trimmed, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), trimmed)


def _first(mask: pa.Array) -> int | None:
    """The position of the first True, where null counts as False; None without any."""
    places = np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False))
    return int(places[0]) if places.size else None


def _refuse(values: pa.Array, bad: pa.Array, expected: str) -> None:
    row = _first(bad)
    if row is not None:
        raise ValueFault(row, _shown(values[row].as_py()), expected)


def _refuse_missing(values: pa.Array, expected: str) -> pa.Array:
    row = _first(values.is_null())
    if row is not None:
        raise ValueFault(row, "missing", expected)
    return values


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool)) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _cast(values: pa.Array, to: pa.DataType, expected: str, original: pa.Array | None = None) -> pa.Array:
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
    raise ValueFault(first, _shown((values if original is None else original)[first].as_py()), expected)


def _number(values: pa.Array) -> pa.Array:
    expected = "a number"
    values = _plain(values)
    if pa.types.is_string(values.type):
        numbers = _cast(_text_or_missing(values), pa.float64(), expected)
    elif pa.types.is_integer(values.type):
        numbers = values.cast(pa.float64(), safe=False)  # beyond 2**53 the nearest float is good enough
    elif _is_numeric(values.type):
        numbers = _cast(values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values, pa.float64(), expected)
    else:
        raise ValueFault(None, f"of type {values.type}", expected)
    # examples hold numbers in float32, so they must fit into it
    _refuse(values, pc.greater(pc.abs(numbers), float(np.finfo(np.float32).max)), "a finite number")
    not_a_number = pc.is_nan(numbers)
    if pc.any(not_a_number).as_py():
        numbers = pc.if_else(not_a_number, pa.scalar(None, pa.float64()), numbers)
    return numbers


def _is_numeric(of: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(of) or types.is_floating(of) or types.is_decimal(of) or types.is_boolean(of))


def _integer(values: pa.Array) -> pa.Array:
    expected = "a whole number"
    values = _plain(values)
    if pa.types.is_string(values.type):
        text = _text_or_missing(values)
        # pandas prints 321 as 321.0 where a column has gaps. Handled as text, so that 2**53 + 1 stays exact.
        text = pc.replace_substring_regex(text, pattern=r"^\+?(-?\d+)(?:\.0*)?$", replacement=r"\1")
        plain = pc.match_substring_regex(text, pattern=r"^-?\d+$")
        if pc.all(plain).as_py():
            return _cast(text, pa.int64(), expected)
        nothing = pa.scalar(None, pa.string())
        numbers = _cast(pc.if_else(plain, nothing, text), pa.float64(), expected, original=text)
        others = _cast(_nan_to_null(numbers), pa.int64(), expected, original=text)
        return pc.coalesce(_cast(pc.if_else(plain, text, nothing), pa.int64(), expected, original=text), others)
    if not _is_numeric(values.type):
        raise ValueFault(None, f"of type {values.type}", expected)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if pa.types.is_floating(values.type):
        values = _nan_to_null(values.cast(pa.float64()))
    return _cast(values, pa.int64(), expected)


def _nan_to_null(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


def _string(values: pa.Array) -> pa.Array:
    values = _plain(values)
    if pa.types.is_floating(values.type):
        # As Python and pandas print it (150.0), so that a CSV file and a Parquet file of the same data agree.
        values = _nan_to_null(values.cast(pa.float64())).cast(pa.string())
        return pc.replace_substring_regex(values, pattern=r"^(-?\d+)$", replacement=r"\1.0")
    text = _cast(values, pa.string(), "text")
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _identifier(values: pa.Array) -> pa.Array:
    """As text that is exact: of an integer all digits, of bytes that are no text each byte in hexadecimal."""
    values = _plain(values)
    if pa.types.is_floating(values.type):
        values = _nan_to_null(values.cast(pa.float64()))
        whole = fitting(values, "integer")  # 9007199254740993.0 would else be printed as 9.007e15
        return _string(values) if whole is None else whole.cast(pa.string())
    if _is_bytes(values.type):
        texts = [None if value is None else _text_or_hexadecimal(value) for value in values.to_pylist()]
        values = pa.array(texts, pa.string())
    return _string(values)


def _is_bytes(of: pa.DataType) -> bool:
    return bool(pa.types.is_binary(of) or pa.types.is_large_binary(of) or pa.types.is_fixed_size_binary(of))


def _text_or_hexadecimal(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()


def _label(values: pa.Array) -> pa.Array:
    expected = "0 or 1"
    values = _plain(values)
    if pa.types.is_string(values.type):
        encoded = pc.utf8_lower(_text_or_missing(values)).dictionary_encode()
        decoded = [
            1 if re.fullmatch(r"true|1(\.0*)?", value) else 0 if re.fullmatch(r"false|0(\.0*)?", value) else None
            for value in encoded.dictionary.to_pylist()
        ]
        labels = pa.array(decoded, pa.int64()).take(encoded.indices)
        _refuse_missing(encoded.indices, expected)
        _refuse(values, labels.is_null(), expected)
        return labels
    if not _is_numeric(values.type):
        raise ValueFault(None, f"of type {values.type}", expected)
    numbers = values.cast(pa.int8() if pa.types.is_boolean(values.type) else pa.float64(), safe=False)
    numbers = numbers.cast(pa.float64())
    _refuse_missing(_nan_to_null(numbers), expected)
    _refuse(values, pc.invert(pc.or_(pc.equal(numbers, 0.0), pc.equal(numbers, 1.0))), expected)
    return numbers.cast(pa.int64())


def _seconds(values: pa.Array) -> pa.Array:
    expected = "a time in seconds"
    if pa.types.is_temporal(values.type):
        raise ValueFault(None, f"of type {values.type}", f"{expected} (or set columns.time_format: iso8601)")
    return _refuse_missing(_number(values), expected)


def _epoch(unit: Literal["s", "ms"]) -> Callable[[pa.Array], pa.Array]:
    def typed(values: pa.Array) -> pa.Array:
        if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
            values = values.cast(pa.timestamp("ns"), safe=False).cast(pa.timestamp(unit), safe=False).cast(pa.int64())
        return _refuse_missing(
            _integer(values), f"a time in {'milliseconds' if unit == 'ms' else 'seconds'} since 1970"
        )

    return typed


def _iso8601(values: pa.Array) -> pa.Array:
    values = _plain(values)
    if pa.types.is_timestamp(values.type):
        # Arrow keeps a time with a zone in UTC, and casting it to a time without one leaves it in UTC.
        zone = "Z" if values.type.tz else ""
        naive = values.cast(pa.int64()).cast(pa.timestamp(values.type.unit))
        text = pc.replace_substring(naive.cast(pa.string()), pattern=" ", replacement="T")
        values = pc.binary_join_element_wise(text, zone, "")
    elif pa.types.is_date(values.type):
        values = values.cast(pa.string())
    elif not pa.types.is_string(values.type):
        raise ValueFault(None, f"of type {values.type}", "a time as ISO 8601; see columns.time_format")
    values = pc.utf8_trim_whitespace(values)
    _iso_seconds(values)
    return values


TYPED: dict[Kind, Callable[[pa.Array], pa.Array]] = {
    "number": _number,
    "integer": _integer,
    "string": _string,
    "identifier": _identifier,
    "label": _label,
    "seconds": _seconds,
    "epoch": _epoch("s"),
    "epoch_ms": _epoch("ms"),
    "iso8601": _iso8601,
    "raw": lambda values: values,
}


def fitting(values: pa.Array, kind: Kind) -> pa.Array | None:
    """The values as `read_batches` would return them, or None where one of them is not of that kind."""
    try:
        return TYPED[kind](values)
    except ValueFault:
        return None


# Time


def seconds(times: pa.Array, time_format: TimeFormat) -> Array:
    """Times in seconds, float64 [n]: since 1970 in UTC, or for the format `seconds` since the data's own start.

    `times` are as `read_batches` returns them, of any length.

    Raises:
      InputError: a time is missing or unreadable, which `read_batches` has checked already, with the line in the file.
    """
    if isinstance(times, pa.ChunkedArray):
        times = times.combine_chunks() if times.num_chunks else pa.array([], times.type)
        if isinstance(times, pa.ChunkedArray):
            times = pa.concat_arrays(times.chunks)
    try:
        if time_format == "iso8601":
            return _iso_seconds(_plain(times))
        values: Array = TYPED[time_format](times).to_numpy(zero_copy_only=False).astype(np.float64)
        return values / 1000.0 if time_format == "epoch_ms" else values
    except ValueFault as fault:
        where = "the time" if fault.row is None else f"the time in row {fault.row + 1:,}"
        raise InputError(f"{where} is {fault}; correct or drop the row") from fault


def _iso_seconds(times: pa.Array) -> Array:
    """Seconds since 1970 in UTC of ISO 8601 texts, which without an offset are taken for UTC. float64 [n]"""
    expected = "a time as ISO 8601, such as 2013-09-01T12:30:00Z"
    _refuse_missing(pc.if_else(pc.equal(times, ""), pa.scalar(None, pa.string()), times), expected)
    parts = pc.extract_regex(times, pattern=_ISO_8601)
    _refuse(times, parts.is_null(), expected)
    date, time, fraction, zone = (parts.field(i) for i in range(4))
    midnight = pc.equal(time, "")
    minutes_only = pc.equal(pc.utf8_length(time), 5)
    time = pc.if_else(
        midnight, "00:00:00", pc.if_else(minutes_only, pc.binary_join_element_wise(time, "00", ":"), time)
    )
    whole = _cast(pc.binary_join_element_wise(date, time, "T"), pa.timestamp("s"), expected, original=times).cast(
        pa.int64()
    )
    result: Array = whole.to_numpy(zero_copy_only=False).astype(np.float64)
    if pc.any(pc.not_equal(fraction, "")).as_py():
        result += pc.binary_join_element_wise("0.0", fraction, "").cast(pa.float64()).to_numpy() * 10.0
    if pc.any(pc.not_equal(zone, "")).as_py():
        result -= _offsets(zone)
    return result


def _offsets(zone: pa.Array) -> Array:
    """Offsets such as "", "Z", "+02", "+0200" or "+02:00" in seconds east of Greenwich. float64 [n]"""
    encoded = zone.dictionary_encode()
    offsets = []
    for text in encoded.dictionary.to_pylist():
        digits = re.sub(r"\D", "", text).ljust(4, "0")
        offsets.append((-60.0 if text.startswith("-") else 60.0) * (60 * int(digits[:2]) + int(digits[2:])))
    seconds_east: Array = np.array(offsets)[encoded.indices.to_numpy()]
    return seconds_east
