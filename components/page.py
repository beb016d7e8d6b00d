"""The frame of the project's HTML pages: self-contained, light and dark, wide and narrow."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

_GRID = "rgba(136,136,136,.3)"
_MOST_TICKS = 8

# Each of them is told apart from the others, and from the page, on white as on black.
BLUE, ORANGE, GREEN, RED, GREY = "#2f81f7", "#d9822b", "#2da44e", "#e5534b", "#8b949e"

NOT_DEFINED = "n/a"

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


# ---- numbers for people; None and NaN are figures that are not defined


def decimals(value: float | None, digits: int = 3) -> str:
    """With that many digits behind the point: 0.812."""
    if value is None or not math.isfinite(value):
        return NOT_DEFINED
    return f"{round(value, digits) + 0.0:,.{digits}f}"  # + 0.0: never "-0.000"


def percent(value: float | None) -> str:
    """A share: 81 %; with a digit behind the point where it is small or nearly all."""
    if value is None or not math.isfinite(value):
        return NOT_DEFINED
    return f"{decimals(100 * value, 0 if 0.1 <= value <= 0.99 or value in (0, 1) else 1)} %"


def count(value: float | None) -> str:
    """A number of transactions, that weights can make a fraction: 1,234 or 11.5."""
    if value is None or not math.isfinite(value):
        return NOT_DEFINED
    return decimals(value, 0 if abs(value) >= 99.95 or abs(value - round(value)) < 0.05 else 1)


def money(value: float | None, currency: str) -> str:
    """1,234 EUR; small sums with their cents."""
    if value is None or not math.isfinite(value):
        return NOT_DEFINED
    return f"{decimals(value, 0 if abs(value) >= 99.995 or value == 0 else 2)} {currency}"


def probability(value: float | None) -> str:
    """Three digits that count, never an exponent: 0.00123."""
    if value is None or not math.isfinite(value):
        return NOT_DEFINED
    return format(float(f"{value:.3g}"), ".15f").rstrip("0").rstrip(".")


def with_interval(figures: Mapping[str, float | None], name: str) -> str:
    """A figure with its 95 % interval, where there is one: 0.812 (0.750 to 0.861)."""
    value = decimals(figures.get(name))
    lower, upper = (decimals(figures.get(f"{name}_{bound}")) for bound in ("lower", "upper"))
    return value if NOT_DEFINED in (value, lower, upper) else f"{value} ({lower} to {upper})"


_MODELS = {"candidate": "new model", "current": "in service", "tutorial": "tutorial network"}


def model_name(name: str) -> str:
    """Of a column of the scores, in words: "new model", "in service", "boosted trees"."""
    return _MODELS.get(name, name.replace("_", " "))


def the_model(name: str) -> str:
    """The same within a sentence: "the model in service", "the boosted trees"."""
    return "the model in service" if name == "current" else f"the {model_name(name)}"


def figure_name(name: str) -> str:
    """Of an evaluation, in words: "average precision", "ROC-AUC"."""
    return {"roc_auc": "ROC-AUC"}.get(name, name.replace("_", " "))
