"""The colours of every plot and page of the project; nothing else names one but the notebook's template."""

from __future__ import annotations

from dataclasses import dataclass

# On white and on the dark page alike, each has a contrast of 3 and more (WCAG 2, 1.4.11) and is told apart from the
# others by people without red or green cones.
# They are for areas and lines. As text, which wants a contrast of 4.5 (1.4.3), GREEN has 3.2 on white and RED 3.5 on
# the dark page: a heading in the review notebook has a green and a red of its own for either scheme, in its template.
BLUE, ORANGE, GREEN, RED, GREY = "#3273d0", "#d87c16", "#0da55e", "#c9302c", "#8b949e"
COLOURS = {"blue": BLUE, "orange": ORANGE, "green": GREEN, "red": RED, "grey": GREY}


def faint(colour: str, opacity: float) -> str:
    """One of the colours, so far transparent that whatever is behind it shows: rgba(139, 148, 158, 0.08)."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


@dataclass(frozen=True)
class Scheme:
    """ink: text. paper: the page. soft: what stands out from it a little. line: rules and grids."""

    ink: str
    paper: str
    soft: str
    line: str


LIGHT = Scheme(ink="#1b1f24", paper="#ffffff", soft="#f6f8fa", line="#d0d7de")
DARK = Scheme(ink="#e6edf3", paper="#0d1117", soft="#161b22", line="#30363d")
