"""Tables, the same for the terminal and the README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Cells are text; notes are sentences that belong below."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def plain(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) if not index else cell.rjust(width) for index, (cell, width) in enumerate(cells))
            for cells in (zip(row, widths, strict=True) for row in (self.header, *self.rows))
        ]
        return "\n".join([*(line.rstrip() for line in lines), *self.notes])

    def markdown(self) -> str:
        lines = [_markdown_row(self.header), "|" + "---|" * len(self.header), *map(_markdown_row, self.rows)]
        return "\n".join([*lines, *(["", *self.notes] if self.notes else [])])


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def seconds(value: float | None) -> str:
    """Two significant digits below 10 s, whole seconds above 100; an empty cell for what was not there."""
    if value is None:
        return ""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def times(value: float | None) -> str:
    """How many times as much."""
    if value is None:
        return ""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"
