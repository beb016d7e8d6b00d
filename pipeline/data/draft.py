"""What has been decided on the columns so far, while their roles are being chosen."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipeline.data.looks import MARKS, Look, Numbers, Times
from trainer.columns import CsvFormat, NumberFormat
from trainer.errors import InputError

Role = Literal["label", "time", "time part", "amount", "id", "entity", "numeric", "category", "code", "ignore"]


@dataclass(frozen=True)
class Choices:
    """What a person has said of the data; the rest is proposed.

    fraud_values: values of the label that mean fraud. time_format: as `columns.time_format`. currency: of the amounts.
    """

    label: str | None = None
    fraud_values: tuple[str, ...] = ()
    time: str | None = None
    time_format: str | None = None
    amount: str | None = None
    id: str | None = None
    entities: tuple[str, ...] = ()
    currency: str | None = None
    csv: CsvFormat = field(default_factory=CsvFormat)

    @property
    def columns(self) -> list[str]:
        """All columns that they name."""
        return [name for name in (self.label, self.time, self.amount, self.id, *self.entities) if name is not None]


def check(choices: Choices, columns: Sequence[str], path: str) -> None:
    """Raises InputError where a choice names no column, or two name the same."""
    for name in choices.columns:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=1, cutoff=0.4)
            nearest = f"; did you mean {near[0]!r}?" if near else ""
            some = ", ".join(columns[:12]) + (", ..." if len(columns) > 12 else "")
            raise InputError(f"{path}: no column {name!r} (has {some}){nearest}")
    twice = sorted({name for name in choices.columns if choices.columns.count(name) > 1})
    if twice:
        raise InputError(f"each column has one role, got two or more for {', '.join(twice)}")


@dataclass
class Draft:
    """Roles, formats and doubts so far: a column that has a role is no candidate for another.

    looks: the columns by name. written: how CSV files are written. header_lines: lines before the first row; None for
    Parquet. roles, reasons: of each column that has a role. doubts: sentences on what a person has to look at. numbers,
    missing, without: as `columns.numbers`, `columns.missing` and `columns.leave_out_rows_without`. precisions: the
    average precision of each column alone that was measured; leaks: of those that tell the label.
    """

    path: str
    looks: dict[str, Look]
    choices: Choices
    written: CsvFormat
    header_lines: int | None
    reasons: dict[str, str] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    numbers: dict[str, NumberFormat] = field(default_factory=dict)
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    leaks: dict[str, float] = field(default_factory=dict)
    precisions: dict[str, float] = field(default_factory=dict)

    def open(self) -> list[Look]:
        """The columns that have no role yet, and are not meant for one."""
        taken = {*self.roles, *self.choices.columns}
        return [look for look in self.looks.values() if look.name not in taken]

    def take(self, look: Look, role: Role, reason: str) -> None:
        """Gives a column its role."""
        self.roles[look.name] = role
        self.reasons[look.name] = reason

    def exceptions(self, look: Look, found: Numbers | Times) -> str:
        """The exceptions in words: 3 exceptions, first line 302: '-'."""
        if not found.exceptions:
            return ""
        count = sum(count for _, count in found.exceptions)
        values = [value for value, _ in found.exceptions]
        first = min(values, key=look.first_row)
        others = (
            f", also {and_([repr(str(value)) for value in values if value != first][:3])}" if len(values) > 1 else ""
        )
        kind = "taken for missing" if isinstance(found, Numbers) else "without a time"
        if len(values) and not all(str(value) in MARKS for value in values):
            self.doubts.append(
                f"{look.name}: {count:,} value{'s' * (count > 1)} {kind}: first {self.place(look, first)}{others}"
            )
        return f", {count:,} exception{'s' * (count > 1)} {kind}, first {self.place(look, first)}{others}"

    def place(self, look: Look, value: object) -> str:
        return f"{self.line(look.first_row(value))}: {text_of(value)!r}"

    def line(self, row: int) -> str:
        """Where a row stands, from 0 on: line 302, or row 301 of a Parquet file."""
        return f"row {row + 1:,}" if self.header_lines is None else f"line {row + 1 + self.header_lines:,}"


def text_of(value: object) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def gaps(look: Look) -> str:
    return f", {100 * look.missing / look.rows:.2g} % missing" if look.missing else ""


def and_(parts: Iterable[str]) -> str:
    *most, last = list(parts) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def or_(parts: Iterable[str]) -> str:
    *most, last = [str(part) for part in parts] or [""]
    return f"{', '.join(most)} or {last}" if most else last
