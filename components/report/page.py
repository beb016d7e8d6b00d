"""The project's HTML pages, by templates: self-contained, light and dark, wide, narrow and on paper.

A section of a page is a template beside its module, `templates/NAME.html`, and a function that renders it:

    return render("slices.html", slices=slices, currency=currency, plot=plot(figure, 300, name="slices-plot"))

Whatever a template shows is escaped, unless it is `Markup`, as `render`, `plot`, `table` and `embedded` return it; a
name that the template was not handed is an error. Text that is handed to Plotly is HTML to Plotly: escape it yourself.

In templates:
  {{ value | decimals(2) }}, | percent, | count, | probability, | money(currency), | interval("roc_auc")
      numbers for people, as of `components.evaluation.words`, and "n/a" where they are not defined
  {% from "macros.html" import table %}
  {{ table(header, rows, align="lrr") }}
      a table that scrolls by itself where it is too wide; l and r are each column's side, the last one is repeated
  <script>{{ source("slider.js") }}</script>
      the text of a file of templates/, which is no template itself

Every CSS file of templates/ is in every page, `page.css` first: a section's rules go into `NAME.css`, below a class of
its own. Colours are there as `var(--blue)`, --orange, --green, --red, --grey, and --ink, --paper, --soft, --line, which
are others in the dark. Scripts find `window.Plotly` and drawn plots once the document has heard `plots-drawn`.
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from components.evaluation import words
from components.report import palette
from components.report.palette import DARK, LIGHT, Scheme

if TYPE_CHECKING:
    import plotly.graph_objects as go

TEMPLATE = "fraud_pipeline"  # in plotly.io.templates; with "_dark" behind it, the same for a dark page
_TEMPLATES = Path(__file__).with_name("templates")
_MOST_TICKS = 8
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


# ---- templates


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters |= {
        "decimals": words.decimals,
        "percent": words.percent,
        "count": words.count,
        "money": words.money,
        "probability": words.probability,
        "interval": words.with_interval,
    }
    environment.globals["source"] = _source
    return environment


def _visible(value: object) -> object:
    r"""What a template shows; of text, control characters and marks of direction written out, an escape as \x1b.

    A browser shows nothing for them, or turns the text around that follows. Line breaks and tabs are blanks in HTML.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _UNSEEN.sub(lambda unseen: unseen[0].encode("unicode_escape").decode("ascii"), value)


def render(template: str, **values: Any) -> Markup:
    """The template of that name with these values, as HTML.

    Raises:
      jinja2.UndefinedError: the template shows a value that it was not handed.
    """
    return Markup(_environment().get_template(template).render(values))


def _source(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


@functools.cache
def _styles() -> Markup:
    """Of all CSS files, the page's own first."""
    names = sorted((file.name for file in _TEMPLATES.glob("*.css")), key=lambda name: (name != "page.css", name))
    return Markup("\n").join(_source(name) for name in names)


def page(title: str, body: str = "", *, plotly: bool = False, template: str = "page.html", **values: Any) -> str:
    """A whole document that asks the network for nothing.

    Args:
      body: HTML, already safe.
      plotly: whether it has plots; then the plotting library is inside, packed.
      template: one that extends `page.html`, with its own values.
    """
    templates = plot_templates() if plotly else {}
    return render(
        template,
        title=title,
        body=Markup(body),
        plotly=_packed_plotly() if plotly else "",
        plotly_templates={name: template.to_plotly_json() for name, template in templates.items()},
        styles=_styles(),
        colours=palette.COLOURS,
        light=asdict(LIGHT),
        dark=asdict(DARK),
        **values,
    )


def table(header: Sequence[object], rows: Iterable[Sequence[object]], align: str = "l") -> Markup:
    """The macro `table` of `macros.html`, for HTML that is put together in Python."""
    macros: Any = _environment().get_template("macros.html").module
    return Markup(macros.table(header, list(rows), align))


def embedded(name: str, value: Any) -> Markup:
    """A value for scripts of the page, as JSON in an element of that id.

    Raises:
      ValueError: it holds a NaN or an infinity, which JSON does not know.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup('<script type="application/json" id="{}">{}</script>').format(name, _in_script(text))


def _in_script(json_text: str) -> Markup:
    """Within a script, HTML looks for no more than "</script" and "<!--"."""
    return Markup(json_text.replace("<", "\\u003c"))


# ---- plots


@functools.cache
def plot_templates() -> dict[str, go.layout.Template]:
    """The look of all plots on a light and on a dark page, which `plotly.io.templates` has from now on as well."""
    import plotly.io as pio  # loads for two tenths of a second, wanted by pages with plots alone

    templates = {"light": _plot_template(LIGHT), "dark": _plot_template(DARK)}
    pio.templates[TEMPLATE], pio.templates[f"{TEMPLATE}_dark"] = templates["light"], templates["dark"]
    return templates


def _plot_template(scheme: Scheme) -> go.layout.Template:
    import plotly.graph_objects as go

    axis = {"gridcolor": scheme.line, "linecolor": scheme.line, "zerolinecolor": scheme.line}
    return go.layout.Template(
        layout={
            "colorway": list(palette.COLOURS.values()),
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": scheme.ink, "family": "system-ui, sans-serif"},
            "hoverlabel": {"bgcolor": scheme.soft, "bordercolor": scheme.line, "font": {"color": scheme.ink}},
            # above: below are ticks and a title, whose height depends on the page's width
            "legend": {"orientation": "h", "yref": "container", "y": 1, "yanchor": "top"},
            "margin": {"l": 60, "r": 20, "t": 10, "b": 45},
            "xaxis": axis,
            "yaxis": axis,
        },
        data={"parcoords": [{"labelfont": {"color": scheme.ink}, "tickfont": {"color": scheme.ink}}]},
    )


def plot(figure: go.Figure, height: int, *, name: str | None = None, **layout: Any) -> Markup:
    """A figure as HTML, as wide as there is room, in the colours of the page; `page(..., plotly=True)` draws it.

    Args:
      height: in pixels.
      name: the id of its element, for scripts and tests.
      layout: of Plotly, beyond what the figure has and the template says.
    """
    from plotly.io.json import to_json_plotly

    figure.update_layout(height=height, **layout)
    drawing = figure.to_plotly_json()
    drawing["layout"].pop("template", None)  # the page has one for each scheme
    return render("plot.html", name=name, height=height, drawing=_in_script(to_json_plotly(drawing)))


@functools.cache
def _packed_plotly() -> str:
    """Plotly's JavaScript, gzipped, in base64: 2 MB of 4.8."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


def epochs_axis(figure: go.Figure, last: int) -> None:
    """Ticks at whole epochs: Plotly's own fall between them, and are then rounded to one that is there already."""
    figure.update_xaxes(title_text="epoch", tick0=0, dtick=-(-last // _MOST_TICKS))


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis; of few decades also those between: Plotly would label them "2" and "5"."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1,) if high > 300 * low else (1, 3) if high > 20 * low else (1, 2, 5)
    return [digit * 10.0**decade for decade in decades for digit in digits]
