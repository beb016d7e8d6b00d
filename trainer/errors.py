"""The one exception that means "your input cannot be used", as opposed to "this program is broken"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class InputError(Exception):
    """Data or configuration that cannot be used.

    The message says what is wrong, where, what the value was, and what to do; the command line prints it without a
    traceback and exits with 2.
    """


# by pydantic's names of the faults, whose own sentences are for programmers; in braces the name of a limit
_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "list_type": "a list",
    "model_type": "a mapping",
    "path_type": "a path",
    "invalid_key": "a text as key",
    "int_from_float_inf": "a whole number",
    "int_parsing_size": "a whole number",
    "mapping_type": "a mapping",
    "none_required": "null",
    "string_too_long": "a text of at most {max_length} characters",
    "string_too_short": "a text of {min_length} or more characters",
    "string_type": "a text",
    "string_unicode": "a text",
    "too_long": "at most {max_length} entries",
    "too_short": "{min_length} or more entries",
    "tuple_type": "a list",
}
_MOST_SHOWN = 200  # characters of a value


@dataclass(frozen=True)
class Fault:
    """What is wrong at one place of the input.

    where: the keys and positions in lists that lead to the place; kind: pydantic's name of the fault; text: what was
    expected, and what the value is.
    """

    where: tuple[int | str, ...]
    kind: str
    text: str


def faults(error: ValidationError, value: Any) -> list[Fault]:
    """One fault for each place of the value that pydantic refused.

    Where several kinds of value are allowed, pydantic complains once for each of them, and puts the kind's name, such
    as `constrained-float`, into the place.
    """
    kinds: dict[tuple[int | str, ...], str] = {}
    expected: dict[tuple[int | str, ...], list[str]] = {}
    inputs: dict[tuple[int | str, ...], str] = {}
    for fault in error.errors():
        where = _where(fault["loc"], fault["type"], value)
        kinds.setdefault(where, fault["type"])
        messages = expected.setdefault(where, [])
        message = _message(fault)
        messages.append(message.removeprefix("expected ") if messages else message)
        inputs[where] = "" if fault["type"] == "value_error" else f", got {shown(fault['input'])}"
    # A value that may be a mapping or something else, and is a mapping: only the faults inside it are of use.
    return [
        Fault(where, kinds[where], " or ".join(messages) + inputs[where])
        for where, messages in expected.items()
        if not any(other[: len(where)] == where for other in expected if other != where)
    ]


def shown(value: Any) -> str:
    """A value from outside, at a length that a sentence has room for."""
    try:
        text = repr(value)
    except ValueError:  # of a number with thousands of digits
        return "a number with thousands of digits"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _message(fault: ErrorDetails) -> str:
    text = fault["msg"].removeprefix("Value error, ")
    if fault["type"] in _EXPECTED:
        limits = {name: in_digits(limit) for name, limit in fault.get("ctx", {}).items()}
        return f"expected {_EXPECTED[fault['type']].format_map(limits)}"
    return f"expected {text.removeprefix('Input should be ')}" if text.startswith("Input should be ") else text


def in_digits(limit: Any) -> str:
    """A limit as people write it: 1,000,000 and 0.5."""
    if isinstance(limit, (int, float)) and limit == int(limit) and abs(limit) < 1e16:
        return f"{int(limit):,}"
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _where(location: tuple[int | str, ...], kind: str, value: Any) -> tuple[int | str, ...]:
    """The parts of pydantic's location that lead through the value."""
    where: list[int | str] = []
    for number, part in enumerate(location):
        if isinstance(value, (list, tuple)):
            value = dict(enumerate(value))
        found = isinstance(value, Mapping) and part in value
        if found or (kind == "missing" and number == len(location) - 1):
            where.append(part)
            value = value[part] if found else None
    return tuple(where)
