"""Numbers as float64 or int64, or the fault of the first value that is none; and values of any type as text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.reading.casts import ValueFault, cast, is_numeric, nan_to_null, plain, refuse, shown, text_or_missing
from trainer.columns import NumberFormat

_LARGEST = float(np.finfo(np.float32).max)  # examples hold numbers in float32, so they must fit into it
_NOTHING = pa.scalar(None, pa.string())
_MINUS = "\u2212"  # the sign of mathematics, which is not the hyphen
_BLANKS = "[\\s\u00a0\u2007\u202f]"


def numbers(values: pa.Array, written: NumberFormat | None = None, missing: Sequence[str] = ()) -> pa.Array:
    """float64, null where missing.

    Args:
      written: how text is written, where not as 1234.5; its `sign` applies to numbers of any type.
      missing: further marks of a missing value; one that is a number means all values equal to it.

    Raises:
      ValueFault: for the first value that is no number, or beyond what float32 holds.
    """
    expected = "a number"
    values = plain(values)
    if pa.types.is_string(values.type):
        text = text_or_missing(values, missing)
        if written is not None and written.is_of_text:
            text = _as_plain(text, written)
        found = cast(text, pa.float64(), _expected(written), original=values)
    elif pa.types.is_integer(values.type):
        found = values.cast(pa.float64(), safe=False)  # beyond 2**53 the nearest float is good enough
    elif is_numeric(values.type):
        found = cast(values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values, pa.float64(), expected)
    else:
        raise ValueFault(None, f"of type {values.type}", expected)
    exact = found.to_numpy(zero_copy_only=False)  # NaN where missing
    # numpy's own take half of the time of Arrow's; of an array with NaN among others, those of the others
    lowest, highest = (float(ends.reduce(exact)) if len(exact) else math.nan for ends in (np.fmin, np.fmax))
    if lowest < -_LARGEST or highest > _LARGEST:
        refuse(values, pc.greater(pc.abs(found), _LARGEST), "a finite number")
    has_nan = np.count_nonzero(np.isnan(exact)) > found.null_count
    marks = _number_marks(missing)
    if marks:
        is_mark = pc.is_in(found, value_set=pa.array(marks, pa.float64()))
        found = pc.if_else(is_mark, pa.scalar(None, pa.float64()), found)
    if has_nan:
        found = nan_to_null(found)
    if written is not None and written.sign != "as_written":
        found = pc.abs(found) if written.sign == "absolute" else pc.negate(found)
    return found


def _expected(written: NumberFormat | None) -> str:
    if written is None or not written.is_of_text:
        return "a number"
    example = f"1{written.thousands}234{written.decimal}50"
    symbols = f" with or without {', '.join(written.symbols)}" if written.symbols else ""
    return f"a number such as {example}{symbols}"


def _number_marks(marks: Sequence[str]) -> list[float]:
    """The marks of missing values that are numbers, such as -1."""
    values = []
    for mark in marks:
        try:
            value = float(mark)
        except ValueError:
            continue
        if np.isfinite(value):
            values.append(value)
    return values


def pattern_of(written: NumberFormat) -> str:
    """RE2's pattern of a number as it is written, with the groups sign1, sign2, whole, fraction, exponent, sign3."""
    symbol = (
        f"(?:(?:{'|'.join(re.escape(symbol) for symbol in written.symbols)}){_BLANKS}*)?" if written.symbols else ""
    )
    sign = f"[-+{_MINUS}(]?{_BLANKS}*"
    if written.thousands:
        mark = f"{_BLANKS}" if written.thousands == " " else re.escape(written.thousands)
        # groups of three, and of two before them as in India: 1,00,000
        whole = rf"\d{{1,3}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}|\d*"
    else:
        whole = r"\d*"
    decimal = re.escape(written.decimal)
    return (
        rf"^(?P<sign1>{sign}){symbol}(?P<sign2>{sign})(?P<whole>{whole})(?:{decimal}(?P<fraction>\d*))?"
        rf"(?P<exponent>[eE][-+]?\d+)?{_BLANKS}*{symbol}(?P<sign3>[-{_MINUS})]?){_BLANKS}*{symbol}$"
    )


def _as_plain(text: pa.Array, written: NumberFormat) -> pa.Array:
    """The text as 1234.5; what is not written so stays as it is, for the cast to refuse."""
    parts = pc.extract_regex(text, pattern=pattern_of(written))
    sign1, sign2, whole, fraction, exponent, sign3 = (parts.field(index) for index in range(6))
    digits = pc.replace_substring_regex(whole, pattern=r"\D", replacement="")
    minus = pc.match_substring_regex(pc.binary_join_element_wise(sign1, sign2, sign3, ""), pattern=f"[-{_MINUS}(]")
    sign = pc.if_else(minus, "-", "")
    plain_text = pc.binary_join_element_wise(sign, digits, ".", fraction, exponent, "")
    empty = pc.and_(pc.equal(digits, ""), pc.equal(fraction, ""))
    matched = pc.and_(parts.is_valid(), pc.invert(empty.fill_null(True)))
    # What does not match is no number in this format, even where it is one in another: 1.234 with a decimal comma.
    refused = pc.binary_join_element_wise("not a number: ", text, "")
    return pc.if_else(text.is_null(), _NOTHING, pc.if_else(matched, plain_text, refused))


def integers(values: pa.Array, missing: Sequence[str] = ()) -> pa.Array:
    """int64, null where missing.

    Raises:
      ValueFault: for the first value that is no whole number, or beyond what int64 holds.
    """
    expected = "a whole number"
    values = plain(values)
    if pa.types.is_string(values.type):
        text = text_or_missing(values, missing)
        # pandas prints 321 as 321.0 where a column has gaps. Handled as text, so that 2**53 + 1 stays exact.
        text = pc.replace_substring_regex(text, pattern=r"^\+?(-?\d+)(?:\.0*)?$", replacement=r"\1")
        digits = pc.match_substring_regex(text, pattern=r"^-?\d+$")
        if pc.all(digits).as_py():
            return _within_64_bits(text, values)
        found = cast(pc.if_else(digits, _NOTHING, text), pa.float64(), expected, original=values)
        others = cast(nan_to_null(found), pa.int64(), expected, original=values)
        return pc.coalesce(_within_64_bits(pc.if_else(digits, text, _NOTHING), values), others)
    if not is_numeric(values.type):
        raise ValueFault(None, f"of type {values.type}", expected)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if pa.types.is_floating(values.type):
        values = nan_to_null(values.cast(pa.float64()))
    if pa.types.is_uint64(values.type):
        refuse(values, pc.greater(values, np.uint64(2**63 - 1)), f"{expected} below 2**63; as `string` it works")
    whole = cast(values, pa.int64(), expected)
    marks = [int(mark) for mark in _number_marks(missing) if mark == int(mark) and abs(mark) < 2**63]
    if marks:
        whole = pc.if_else(pc.is_in(whole, value_set=pa.array(marks, pa.int64())), pa.scalar(None, pa.int64()), whole)
    return whole


def _within_64_bits(digits: pa.Array, original: pa.Array) -> pa.Array:
    return cast(digits, pa.int64(), "a whole number between -2**63 and 2**63 - 1; as `string` it works", original)


def text(values: pa.Array) -> pa.Array:
    """Text as it is printed, null where it is empty; numbers as Python and pandas print them."""
    values = plain(values)
    if pa.types.is_floating(values.type):
        # As Python and pandas print it (150.0), so that a CSV file and a Parquet file of the same data agree.
        values = nan_to_null(values.cast(pa.float64())).cast(pa.string())
        return pc.replace_substring_regex(values, pattern=r"^(-?\d+)$", replacement=r"\1.0")
    printed = cast(values, pa.string(), "text")
    return pc.if_else(pc.equal(printed, ""), _NOTHING, printed)


def exact_text(values: pa.Array) -> pa.Array:
    """As text that is exact: of an integer all digits, of bytes that are no text each byte in hexadecimal."""
    values = plain(values)
    if pa.types.is_floating(values.type):
        values = nan_to_null(values.cast(pa.float64()))
        try:
            return integers(values).cast(pa.string())  # 9007199254740993.0 would else be printed as 9.007e15
        except ValueFault:
            return text(values)
    if _is_bytes(values.type):
        texts = [None if value is None else _text_or_hexadecimal(value) for value in values.to_pylist()]
        values = pa.array(texts, pa.string())
    return text(values)


def _is_bytes(of: pa.DataType) -> bool:
    return bool(pa.types.is_binary(of) or pa.types.is_large_binary(of) or pa.types.is_fixed_size_binary(of))


def _text_or_hexadecimal(value: bytes) -> str:
    try:
        decoded = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return decoded if decoded.isprintable() else value.hex()


__all__ = ["exact_text", "integers", "numbers", "pattern_of", "shown", "text"]
