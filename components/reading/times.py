"""Times in any format of `columns.time_format`, as one of four kinds: seconds, epoch, epoch_ms or ISO 8601 text."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from components.reading.casts import (
    ValueFault,
    cast,
    plain,
    refuse,
    refuse_missing,
    text_or_missing,
)
from components.reading.months import with_english_months
from components.reading.numbers import exact_text, integers, numbers
from trainer.arrays import Array
from trainer.columns import TIME_FORMATS, TIME_UNITS, TimeKind
from trainer.errors import InputError

_ISO_8601 = (
    r"^(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?:[.,](?P<fraction>\d+))?"
    r"(?: ?(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?))?)?$"
)
_OFFSET = r"[Zz]|[+-]\d{2}:?\d{2}"
# Abbreviations of zones: https://www.rfc-editor.org/rfc/rfc5322#section-4.3 and, of Europe,
# https://data.iana.org/time-zones/tzdb/europe. Others, such as IST, stand for several zones.
ZONES = {
    **{"UTC": "+00:00", "UT": "+00:00", "GMT": "+00:00", "Z": "+00:00"},
    **{"EST": "-05:00", "EDT": "-04:00", "CST": "-06:00", "CDT": "-05:00"},
    **{"MST": "-07:00", "MDT": "-06:00", "PST": "-08:00", "PDT": "-07:00"},
    **{"WET": "+00:00", "WEST": "+01:00", "BST": "+01:00", "CET": "+01:00", "CEST": "+02:00"},
    **{"MEZ": "+01:00", "MESZ": "+02:00", "EET": "+02:00", "EEST": "+03:00", "MSK": "+03:00"},
}
_EXAMPLE = "2013-09-01T12:30:00Z"
# How many of a unit since 1970 are a second.
_A_SECOND = {"epoch": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000, "epoch_ns": 1_000_000_000}
_WIDTHS = {"Y": 4, "y": 2, "m": 2, "d": 2, "H": 2, "I": 2, "M": 2, "S": 2, "j": 3}
# https://learn.microsoft.com/office/troubleshoot/excel/wrongly-assumes-1900-is-leap-year: right from March 1900 on
_SPREADSHEET_START = np.datetime64("1899-12-30", "ms")
_FIRST, _LAST = np.datetime64("1677-09-22", "ms"), np.datetime64("2262-04-11", "ms")  # what pandas' nanoseconds reach


def times(values: pa.Array, time_format: str, zone: str | None = None) -> pa.Array:
    """Times as their kind has them, null where missing: float64 of seconds, int64 of an epoch, or ISO 8601 text.

    Args:
      values: text, numbers, or Arrow's own dates and times.
      time_format: as `columns.time_format`.
      zone: times without an offset are of this zone, others are converted to it.

    Raises:
      ValueFault: for the first value that is no such time.
    """
    values = plain(values)
    if time_format in TIME_UNITS:
        return _since_start(values, time_format)
    if time_format in _A_SECOND or time_format == "epoch_fractional":
        moments = _epoch(values, time_format)
        return moments if zone is None else _local(moments, TIME_FORMATS[time_format], zone)
    if time_format == "spreadsheet":
        text = _from_spreadsheet(values)
    elif time_format == "iso8601":
        text = _iso8601(values)
    else:
        text = _by_pattern(values, time_format)
    return text if zone is None else _in_zone(text, zone)


def expected_time(time_format: str) -> str:
    """What a value should be, for a message."""
    if time_format == "iso8601":
        return f"a time as ISO 8601, such as {_EXAMPLE}"
    if time_format in TIME_UNITS:
        return f"a time in {time_format}"
    if time_format == "spreadsheet":
        return "a spreadsheet's serial number of a day"
    if time_format in TIME_FORMATS:
        units = {"epoch_ms": "milliseconds", "epoch_us": "microseconds", "epoch_ns": "nanoseconds"}
        return f"a time in {units.get(time_format, 'seconds')} since 1970"
    example = _example(time_format)
    return f"a time such as {example}" if example else f"a time by the pattern {time_format}"


def joined(parts: list[pa.Array], time_format: str) -> pa.Array:
    """Several columns as one text, with a blank between each two; null where a part is missing.

    Where a part of the pattern is digits alone, such as %H%M%S, a value that has lost leading zeros gets them back.
    """
    patterns: list[str | None] = [*time_format.split(" ")] if "%" in time_format else [None]
    if len(patterns) != len(parts):  # a date may hold blanks, and a clock of digits comes last
        patterns = [*([None] * (len(parts) - 1)), patterns[-1]]
    texts = [
        _padded(text_or_missing(exact_text(plain(part))), pattern, least=1)
        for part, pattern in zip(parts, patterns, strict=True)
    ]
    return pc.binary_join_element_wise(*texts, " ")


def _padded(text: pa.Array, pattern: str | None, least: int = 2) -> pa.Array:
    """Digits with the leading zeros that a pattern of so many directives alone asks for, such as 93005 for %H%M%S."""
    directives = re.fullmatch(rf"(?:%[YymdHIMSj]){{{least},}}", pattern or "")
    if not directives:
        return text
    width = sum(_WIDTHS[directive] for directive in directives[0][1::2])
    return pc.if_else(pc.match_substring_regex(text, pattern=r"^\d+$"), pc.utf8_lpad(text, width, "0"), text)


def _numbers(values: pa.Array, expected: str) -> pa.Array:
    """The numbers, where what is none is a fault of a time."""
    try:
        return numbers(values)
    except ValueFault as fault:
        raise ValueFault(fault.row, fault.value, expected) from fault


def _since_start(values: pa.Array, unit: str) -> pa.Array:
    expected = expected_time(unit)
    if pa.types.is_temporal(values.type):
        raise ValueFault(None, f"of type {values.type}", f"{expected} (or set columns.time_format: iso8601)")
    counted = _numbers(values, expected)
    return counted if TIME_UNITS[unit] == 1.0 else pc.multiply(counted, TIME_UNITS[unit])


def _epoch(values: pa.Array, time_format: str) -> pa.Array:
    """Whole seconds since 1970 for `epoch`, and whole milliseconds for the finer ones, rounded down."""
    unit = "s" if time_format == "epoch" else "ms"
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        return values.cast(pa.timestamp("ns"), safe=False).cast(pa.timestamp(unit), safe=False).cast(pa.int64())
    expected = expected_time(time_format)
    try:
        if time_format == "epoch_fractional":
            moments = pc.multiply(numbers(values), 1000.0)
            return cast(pc.floor(moments), pa.int64(), expected, original=values)
        whole = integers(values)
    except ValueFault as fault:
        raise ValueFault(fault.row, fault.value, expected) from fault
    finer = _A_SECOND[time_format] // 1000
    if finer > 1:
        # Arrow divides towards zero, and a time before 1970 is to be rounded down as well
        counted = whole.fill_null(0).to_numpy(zero_copy_only=False) // finer
        return pc.if_else(whole.is_null(), pa.scalar(None, pa.int64()), pa.array(counted, pa.int64()))
    return whole


def _from_spreadsheet(values: pa.Array) -> pa.Array:
    """ISO 8601 text of days since 1899-12-30, to the millisecond."""
    expected = expected_time("spreadsheet")
    if pa.types.is_temporal(values.type):
        raise ValueFault(None, f"of type {values.type}", f"{expected} (or set columns.time_format: iso8601)")
    days = _numbers(values, expected)
    # up to the end of the year 9999, which is a spreadsheet's last one
    refuse(values, pc.or_(pc.less(days, 0.0), pc.greater_equal(days, 2_958_466.0)), expected)
    numpy_days = days.to_numpy(zero_copy_only=False)
    known = np.isfinite(numpy_days)
    milliseconds = np.round(np.where(known, numpy_days, 0.0) * 86_400_000).astype("timedelta64[ms]")
    return _iso_text(_SPREADSHEET_START + milliseconds, known)


def _iso_text(moments: Array, known: Array) -> pa.Array:
    """ISO 8601 text of datetime64[ms], without a fraction where all are whole seconds; null where not known."""
    milliseconds = moments.astype("int64")
    unit = "s" if not (milliseconds[known] % 1000).any() else "ms"
    text = np.datetime_as_string(moments.astype(f"datetime64[{unit}]"))
    return pa.array(text, pa.string(), mask=~known)


def _by_pattern(values: pa.Array, pattern: str) -> pa.Array:
    """ISO 8601 text of times that are written by a pattern of strptime's."""
    if pa.types.is_temporal(values.type):
        raise ValueFault(None, f"of type {values.type}", "a text (or set columns.time_format: iso8601)")
    text = text_or_missing(exact_text(values))
    moments = _parsed(text, pattern)
    refuse(values, pc.and_(moments.is_null(), text.is_valid()), expected_time(pattern))
    return moments


def _parsed(text: pa.Array, pattern: str) -> pa.Array:
    """ISO 8601 text, null where the text is not written by the pattern."""
    encoded = _padded(text, pattern).dictionary_encode()
    distinct = encoded.dictionary
    plain_pattern, offsets = pattern, None
    directives = set(re.findall("%.", pattern))
    if directives & {"%z", "%Z"}:
        distinct, plain_pattern, offsets = _zones_apart(distinct, pattern.rstrip())
    if directives & {"%b", "%B"}:
        texts = [None if one is None else with_english_months(one, plain_pattern) for one in distinct.to_pylist()]
        distinct = pa.array(texts, pa.string())
        plain_pattern = with_english_months(plain_pattern, plain_pattern)  # of its own words
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is not all consistent, which is looked for below
        parsed = pd.to_datetime(
            pd.Series(distinct.to_pylist(), dtype=object), format=plain_pattern, errors="coerce", exact=True
        )
    whole = _iso_text(parsed.to_numpy().astype("datetime64[ms]"), parsed.notna().to_numpy())
    if offsets is not None:
        whole = pc.binary_join_element_wise(whole, offsets, "")
    return whole.take(encoded.indices)


def _zones_apart(distinct: pa.Array, pattern: str) -> tuple[pa.Array, str, pa.Array]:
    """Texts and pattern without the zone, and the offset of each text, which is kept.

    The hour of the day is thus the one that was written.
    """
    parts_of_pattern = re.split("(%.)", pattern)
    place = next(place for place, part in enumerate(parts_of_pattern) if part in ("%z", "%Z"))
    before, directive = "".join(parts_of_pattern[:place]), parts_of_pattern[place]
    after = parts_of_pattern[place + 1 :]
    zone = _OFFSET if directive == "%z" else "|".join(ZONES)
    shapes = {f"%{letter}": rf"\d{{1,{width}}}" for letter, width in _WIDTHS.items()} | {"%f": r"\d{1,9}", "%%": "%"}
    shapes |= dict.fromkeys(("%b", "%B", "%a", "%A", "%p"), r"\pL+\.?")
    rest = "".join(shapes.get(part, re.escape(part)) for part in after)
    parts = pc.extract_regex(distinct, pattern=rf"^(?P<time>.*?)\s*(?P<zone>{zone})(?P<rest>{rest})$")
    offsets = parts.field(1)
    if directive == "%Z":
        encoded = offsets.dictionary_encode()
        known = pa.array([ZONES.get(name or "") for name in encoded.dictionary.to_pylist()], pa.string())
        offsets = known.take(encoded.indices)
    return pc.binary_join_element_wise(parts.field(0), parts.field(2), ""), before.rstrip() + "".join(after), offsets


def fitting(values: pa.Array, time_format: str) -> Array:
    """Which values are times of the format, bool [n]; a missing one is none.

    time_format: `iso8601` or a pattern of strptime's.
    """
    values = plain(values)
    if pa.types.is_temporal(values.type):
        present: Array = np.asarray(values.is_valid())
        return present if time_format == "iso8601" else ~np.ones(len(values), bool)
    text = text_or_missing(exact_text(values))
    if time_format != "iso8601":
        return np.asarray(_parsed(text, time_format).is_valid())
    parts = pc.extract_regex(text, pattern=_ISO_8601)
    shaped = np.asarray(parts.is_valid())
    days = pd.to_datetime(pd.Series(parts.field(0).to_pylist(), dtype=object), format="%Y-%m-%d", errors="coerce")
    clock = np.asarray(
        pc.match_substring_regex(parts.field(1), pattern=r"^(([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?)?$").fill_null(False)
    )
    whole: Array = shaped & days.notna().to_numpy() & clock
    return whole


def _example(pattern: str) -> str | None:
    try:
        examples = {"%f": "250000", "%z": "+0200", "%Z": "UTC"}
        known = "".join(examples.get(part, part) for part in re.split("(%.)", pattern))
        return str(pd.Timestamp("2024-03-31 18:30:59").strftime(known))
    except ValueError:
        return None


def _iso8601(values: pa.Array) -> pa.Array:
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
    text = text_or_missing(values)
    present = text.drop_null() if text.null_count else text
    try:
        _iso_seconds(present)
    except ValueFault as fault:
        places = np.flatnonzero(np.asarray(text.is_valid()))
        row = None if fault.row is None else int(places[fault.row])
        raise ValueFault(row, fault.value, fault.expected) from fault
    return text


# Zones


def _in_zone(text: pa.Array, zone: str) -> pa.Array:
    """ISO 8601 text with the offset of the zone: what has none is of the zone, and the rest is converted to it."""
    encoded = text.dictionary_encode()
    distinct = encoded.dictionary
    instants = (_iso_seconds(distinct) * 1000).round().astype("int64").astype("datetime64[ms]")
    offset = re.compile(r"(?:[Zz]|[Tt ].*[+-]\d{2}(?::?\d{2})?)$")
    naive = np.array([offset.search(one) is None for one in distinct.to_pylist()], bool)
    _refuse_beyond(distinct, instants)
    index = pd.DatetimeIndex(instants)
    # An hour that the clock shows twice is taken for the first of the two; one that it leaves out for the next one.
    there = index[naive].tz_localize(zone, ambiguous=np.ones(int(naive.sum()), bool), nonexistent="shift_forward")
    offsets = np.empty(len(index), object)
    clocks = np.empty(len(index), object)
    clocks[naive], offsets[naive] = _clock_and_offset(there)
    clocks[~naive], offsets[~naive] = _clock_and_offset(index[~naive].tz_localize("UTC").tz_convert(zone))
    whole = [clock + offset for clock, offset in zip(clocks, offsets, strict=True)]
    return pa.array(whole, pa.string()).take(encoded.indices)


def _local(moments: pa.Array, kind: TimeKind, zone: str) -> pa.Array:
    """ISO 8601 text with the offset of the zone, of whole seconds or milliseconds since 1970."""
    encoded = moments.dictionary_encode()
    distinct = encoded.dictionary
    counted = distinct.to_numpy(zero_copy_only=False).astype("int64")
    limit = np.iinfo(np.int64).max // 2_000_000
    instants = np.clip(counted * (1000 if kind == "epoch" else 1), -limit * 2000, limit * 2000).astype("datetime64[ms]")
    _refuse_beyond(distinct, instants)
    clocks, offsets = _clock_and_offset(pd.DatetimeIndex(instants).tz_localize("UTC").tz_convert(zone))
    return pa.array([clock + offset for clock, offset in zip(clocks, offsets, strict=True)], pa.string()).take(
        encoded.indices
    )


def _refuse_beyond(values: pa.Array, instants: Array) -> None:
    refuse(values, pa.array((instants < _FIRST) | (instants > _LAST)), "a time between the years 1678 and 2262")


def _clock_and_offset(moments: pd.DatetimeIndex) -> tuple[list[str], list[str]]:
    """The local clock as ISO 8601 text, and the offset such as +02:00, of each moment."""
    clocks = moments.tz_localize(None).to_numpy().astype("datetime64[ms]")
    minutes = (clocks - moments.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ms]")).astype("int64")
    minutes = minutes // 60_000
    unit = "s" if not (clocks.astype("int64") % 1000).any() else "ms"
    texts: list[str] = np.datetime_as_string(clocks.astype(f"datetime64[{unit}]")).tolist()
    return texts, [f"{'-' if east < 0 else '+'}{abs(east) // 60:02d}:{abs(east) % 60:02d}" for east in minutes.tolist()]


# Seconds


def seconds(moments: pa.Array, kind: TimeKind) -> Array:
    """Times in seconds, float64 [n]: since 1970 in UTC, or for the kind `seconds` since the data's own start.

    `moments` are as `read_batches` returns them, of any length.

    Raises:
      InputError: a time is missing or unreadable, which `read_batches` has checked already, with the line in the file.
    """
    if isinstance(moments, pa.ChunkedArray):
        moments = moments.combine_chunks() if moments.num_chunks else pa.array([], moments.type)
        if isinstance(moments, pa.ChunkedArray):
            moments = pa.concat_arrays(moments.chunks)
    try:
        if kind == "iso8601":
            return _iso_seconds(plain(moments))
        whole = refuse_missing(times(moments, kind), expected_time(kind))
        values: Array = whole.to_numpy(zero_copy_only=False).astype(np.float64)
        return values / 1000.0 if kind == "epoch_ms" else values
    except ValueFault as fault:
        where = "the time" if fault.row is None else f"the time in row {fault.row + 1:,}"
        raise InputError(f"{where} is {fault}; correct or drop the row") from fault


def _iso_seconds(moments: pa.Array) -> Array:
    """Seconds since 1970 in UTC of ISO 8601 texts, which without an offset are taken for UTC. float64 [n]"""
    expected = expected_time("iso8601")
    refuse_missing(pc.if_else(pc.equal(moments, ""), pa.scalar(None, pa.string()), moments), expected)
    parts = pc.extract_regex(moments, pattern=_ISO_8601)
    refuse(moments, parts.is_null(), expected)
    date, time, fraction, zone = (parts.field(i) for i in range(4))
    midnight = pc.equal(time, "")
    minutes_only = pc.equal(pc.utf8_length(time), 5)
    time = pc.if_else(
        midnight, "00:00:00", pc.if_else(minutes_only, pc.binary_join_element_wise(time, "00", ":"), time)
    )
    whole = cast(pc.binary_join_element_wise(date, time, "T"), pa.timestamp("s"), expected, original=moments).cast(
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
