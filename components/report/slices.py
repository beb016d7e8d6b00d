"""The report's figures of parts of the transactions: bands of amount, hours of the day, days."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from components.evaluation.words import NOT_DEFINED, count, money, with_interval
from components.report.page import plot, render
from components.report.palette import BLUE, GREY
from components.report.per_day import PerDay

# Where 5 of 10 frauds are caught, the 95 % interval of the recall is 0.19 to 0.81 (Clopper and Pearson 1934): a figure
# of fewer says next to nothing.
ENOUGH_FRAUDS = 10

Slices = Mapping[str, Mapping[str, Mapping[str, float | None]]]

_TITLES = {"amount": "By amount", "hour": "By hour of the day", "day": "By day"}
_FEW = "*"


def slices_section(slices: Slices, per_day: PerDay) -> Markup:
    """What goes below the heading.

    Args:
      slices: by what, then by its value in rising order, the figures.
    """
    return render(
        "slices.html",
        slices=[slice_values(name, values, per_day) for name, values in slices.items()],
        few=any(_few(figures) for values in slices.values() for figures in values.values()),
        enough=ENOUGH_FRAUDS,
    )


def _few(figures: Mapping[str, float | None]) -> bool:
    return (figures.get("frauds") or 0) < ENOUGH_FRAUDS


def slice_values(name: str, values: Mapping[str, Mapping[str, float | None]], per_day: PerDay) -> dict[str, Any]:
    """A table of the parts and, where at least two of them have an average precision, a plot."""
    order = list(values)
    header = [
        *(name, "transactions", "frauds"),
        *("average precision (95 % interval)", "recall at 1 % false positives"),
    ]
    in_money = any(figures.get("cost") is not None for figures in values.values())
    # an hour or a day comes as often as it does, not as often as the split has days
    timed = name in ("hour", "day")
    if in_money:
        header.append("cost on the test split" if timed else f"cost{per_day.unit}")
    rows = []
    for value in order:
        figures = values[value]
        cells: list[str] = [
            f"{value} {_FEW}" if _few(figures) else value,
            count(figures.get("transactions")),
            count(figures.get("frauds")),
            _of_frauds(figures, "average_precision"),
            _of_frauds(figures, "recall_at_1_percent_false_positives"),
        ]
        if in_money:
            cost = figures.get("cost")
            cells.append(money(cost, per_day.currency) if timed else per_day.money_and_split(cost))
        rows.append(cells)
    return {
        "title": _TITLES.get(name, f"By {name}"),
        "header": header,
        "rows": rows,
        "plot": _plot(name, order, values),
    }


def _of_frauds(figures: Mapping[str, float | None], name: str) -> str:
    """Not defined without a fraud, whatever was worked out: none was there to be found."""
    return with_interval(figures, name) if figures.get("frauds") else NOT_DEFINED


def _plot(name: str, order: list[str], values: Mapping[str, Mapping[str, float | None]]) -> Markup | None:
    """Average precision with its interval; nothing where fewer than two slices have one."""
    figure_name = "average_precision"
    defined = [value for value in order if _of_frauds(values[value], figure_name) != NOT_DEFINED]
    if len(defined) < 2:
        return None
    import plotly.graph_objects as go  # wanted by the report alone

    figure = go.Figure()
    for few, colour, symbol in ((False, BLUE, "circle"), (True, GREY, "circle-open")):
        of_kind = [value for value in defined if _few(values[value]) == few]
        if not of_kind:
            continue
        heights = [values[value][figure_name] or 0.0 for value in of_kind]
        bounds = [[values[value].get(f"{figure_name}_{end}") for value in of_kind] for end in ("lower", "upper")]
        figure.add_scatter(
            x=[html.escape(value) for value in of_kind],
            y=heights,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [_distance(height, bound) for height, bound in zip(heights, bounds[1], strict=True)],
                "arrayminus": [_distance(height, bound) for height, bound in zip(heights, bounds[0], strict=True)],
                "thickness": 1.5,
                "width": 4,
            },
            mode="markers",
            name=f"fewer than {ENOUGH_FRAUDS} frauds" if few else f"{ENOUGH_FRAUDS} frauds or more",
            marker={"color": colour, "size": 9, "symbol": symbol},
            customdata=[
                [
                    with_interval(values[value], figure_name),
                    count(values[value].get("frauds")),
                    count(values[value].get("transactions")),
                ]
                for value in of_kind
            ],
            hovertemplate=f"{html.escape(name)} %{{x}}<br>average precision %{{customdata[0]}}<br>"
            "%{customdata[1]} frauds in %{customdata[2]} transactions<extra></extra>",
        )
    # all, so that a slice without a fraud leaves a gap
    names = [html.escape(value) for value in order]
    figure.update_xaxes(
        type="category",
        categoryorder="array",
        categoryarray=names,
        range=[-0.5, len(names) - 0.5],
        automargin=True,  # names that Plotly turns, where they are too long for the room, need more of it
    )
    figure.update_yaxes(range=[0, 1.03], title_text="average precision")
    return plot(
        figure,
        300,
        name=f"slices-{re.sub('[^a-z0-9]+', '-', name.lower())}-plot",
        margin={"l": 60, "r": 20, "t": 40, "b": 45},
    )


def _distance(height: float, bound: float | None) -> float:
    return 0.0 if bound is None or not math.isfinite(bound) else abs(bound - height)
