"""Tables, in the same form for the terminal and the documentation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Cells are text; the caption is a sentence above, notes are sentences below."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def plain(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = []
        for first, *others in (self.header, *self.rows):
            cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([self.caption, "", *lines, *(["", *self.notes] if self.notes else [])])

    def markdown(self) -> str:
        lines = [_markdown_row(self.header), "|" + "---|" * len(self.header), *map(_markdown_row, self.rows)]
        return "\n".join([self.caption, "", *lines, *(["", *self.notes] if self.notes else [])])


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def read(text: str) -> list[Table]:
    """The tables in Markdown that `Table.markdown` wrote, without their notes."""
    parsed: list[Table] = []
    paragraphs = text.split("\n\n")
    for caption, paragraph in itertools.pairwise(paragraphs):
        if paragraph.startswith("|"):
            header, _, *rows = (line[2:-2].split(" | ") for line in paragraph.strip().split("\n"))
            parsed.append(Table(caption.strip(), header, rows))
    return parsed


def seconds(value: float | None) -> str:
    """Seconds as a cell, with hundredths below 1 and whole from 100 on; an empty cell for None."""
    if value is None:
        return ""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def times(value: float | None) -> str:
    """A ratio as a cell; an empty cell for None."""
    return seconds(value)
