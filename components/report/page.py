"""The frame of the project's HTML pages: self-contained, light and dark, wide and narrow."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go


_GRID = "rgba(136,136,136,.3)"
_MOST_TICKS = 8

# Each of them is told apart from the others, and from the page, on white as on black.
BLUE, ORANGE, GREEN, RED, GREY = "#2f81f7", "#d9822b", "#2da44e", "#e5534b", "#8b949e"

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --soft: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d; --soft: #161b22; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
p, li { overflow-wrap: anywhere; } /* a long path must not make the page wider; tables scroll */
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
.origin { font-weight: 600; font-size: 1.1rem; border-left: .4rem solid #bf8700; background: var(--soft);
  padding: .6rem .8rem; }
.verdict { font-weight: 600; border-left: .4rem solid; background: var(--soft); padding: .6rem .8rem; }
.good { border-color: #1a7f37; } .bad { border-color: #cf222e; }
pre { overflow-x: auto; background: var(--soft); padding: .8rem; }
/* Plotly writes one colour for light and dark into each text: too faint for one of them */
.js-plotly-plot :is([class$="tick"], .legend, [class*="title"], .annotation) text { fill: var(--ink) !important; }
"""


def page(title: str, body: str, *, plotly: bool = False) -> str:
    """A whole document that asks the network for nothing; with `plotly` the library's source is inside."""
    script = ""
    if plotly:
        from plotly.offline import get_plotlyjs  # reads 4 MB, wanted by pages with plots alone

        script = f"<script>{get_plotlyjs()}</script>"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>{script}</head>"
        f"<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """An HTML table of escaped cells that scrolls by itself on a narrow screen."""

    def row(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return f'<div class="scroll"><table>{row(header, "th")}{"".join(row(cells, "td") for cells in rows)}</table></div>'


def plot(figure: go.Figure, height: int, *, name: str | None = None, **layout: Any) -> str:
    """A figure as HTML for a light or a dark page, as wide as there is room; the page holds the library.

    name: the id of its element, for scripts and tests; else it is drawn by chance.
    """
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 20, "t": 10, "b": 45},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#888", "family": "system-ui, sans-serif"},
        legend={"orientation": "h", "y": -0.25},
    )
    figure.update_layout(layout)
    figure.update_xaxes(gridcolor=_GRID, zerolinecolor=_GRID)
    figure.update_yaxes(gridcolor=_GRID, zerolinecolor=_GRID)
    text: str = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config={"responsive": True, "displayModeBar": False},
    )
    return text


def epochs_axis(figure: go.Figure, last: int) -> None:
    """Ticks at whole epochs: Plotly's own fall between them, and are then rounded to one that is there already."""
    figure.update_xaxes(title_text="epoch", tick0=0, dtick=-(-last // _MOST_TICKS))


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis; of few decades also those between: Plotly would label them "2" and "5"."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1,) if high > 300 * low else (1, 3) if high > 20 * low else (1, 2, 5)
    return [digit * 10.0**decade for decade in decades for digit in digits]


def embedded(name: str, value: Any) -> str:
    """A value for scripts of the page, as JSON in an element of that id.

    Raises:
      ValueError: it holds a NaN or an infinity, which JSON does not know.
    """
    # within a script, HTML looks for no more than "</script" and "<!--"
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{html.escape(name)}">{text}</script>'
