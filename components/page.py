"""The frame of the project's HTML pages: self-contained, light and dark, wide and narrow."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

_GRID = "rgba(136,136,136,.3)"
_MOST_TICKS = 8

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --soft: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d; --soft: #161b22; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
.origin { font-weight: 600; font-size: 1.1rem; border-left: .4rem solid #bf8700; background: var(--soft);
  padding: .6rem .8rem; }
.verdict { font-weight: 600; border-left: .4rem solid; background: var(--soft); padding: .6rem .8rem; }
.good { border-color: #1a7f37; } .bad { border-color: #cf222e; }
pre { overflow-x: auto; background: var(--soft); padding: .8rem; }
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


def plot(figure: go.Figure, height: int, **layout: Any) -> str:
    """A figure as HTML for a light or a dark page, as wide as there is room; the page holds the library."""
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
        full_html=False, include_plotlyjs=False, config={"responsive": True, "displayModeBar": False}
    )
    return text


def epochs_axis(figure: go.Figure, last: int) -> None:
    """Ticks at whole epochs: Plotly's own fall between them, and are then rounded to one that is there already."""
    figure.update_xaxes(title_text="epoch", tick0=0, dtick=-(-last // _MOST_TICKS))
