"""The one exception that means "what you gave cannot be used", as opposed to "this program is broken"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


class InputError(Exception):
    """Data or configuration that cannot be used.

    The message says what is wrong, where, what was got, and what to do; the command line prints it without a
    traceback and exits with 2.
    """


@dataclass(frozen=True)
class Fault:
    """What is wrong at one place of what was given.

    where: keys and places in lists, down to it; kind: pydantic's name for it; text: what was expected, and got.
    """

    where: tuple[int | str, ...]
    kind: str
    text: str


def faults(error: ValidationError, given: Any) -> list[Fault]:
    """One fault for each place, by the keys that were given.

    Where several kinds of value are allowed, pydantic complains once for each of them, and puts the kind's name, such
    as `constrained-float`, into the place.
    """
    kinds: dict[tuple[int | str, ...], str] = {}
    expected: dict[tuple[int | str, ...], list[str]] = {}
    got: dict[tuple[int | str, ...], str] = {}
    for fault in error.errors():
        where = _where(fault["loc"], fault["type"], given)
        kinds.setdefault(where, fault["type"])
        message = fault["msg"].removeprefix("Value error, ")
        messages = expected.setdefault(where, [])
        messages.append(message.removeprefix("Input should be ") if messages else message)
        got[where] = "" if fault["type"] == "value_error" else f", got {fault['input']!r}"
    # of a value that may be a mapping or something else, what is wrong in the mapping that it is
    return [
        Fault(where, kinds[where], " or ".join(messages) + got[where])
        for where, messages in expected.items()
        if not any(other[: len(where)] == where for other in expected if other != where)
    ]


def _where(location: tuple[int | str, ...], kind: str, given: Any) -> tuple[int | str, ...]:
    """The parts of pydantic's location that are in what was given."""
    where: list[int | str] = []
    for number, part in enumerate(location):
        if isinstance(given, (list, tuple)):
            given = dict(enumerate(given))
        found = isinstance(given, Mapping) and part in given
        if found or (kind == "missing" and number == len(location) - 1):
            where.append(part)
            given = given[part] if found else None
    return tuple(where)
