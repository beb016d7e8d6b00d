"""The report's comparison of the candidate with the model in service and with the challengers."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from components.evaluation.scores import CANDIDATE, CURRENT
from components.evaluation.words import (
    NOT_DEFINED,
    count,
    decimals,
    figure_name,
    model_name,
    money,
    probability,
    the_model,
    with_interval,
)
from components.report.page import plot, render
from components.report.palette import BLUE, GREY, RED

if TYPE_CHECKING:
    from components.evaluation.verdict import Comparison  # which loads TFMA

Figures = Mapping[str, float | None]

_WITH_INTERVAL = {
    "average_precision": "average precision",
    "recall_at_1_percent_false_positives": "recall at 1 % false positives",
    "roc_auc": "ROC-AUC",
}
_OTHERS: dict[str, tuple[str, Callable[[float | None], str]]] = {
    "recall_at_80_percent_precision": ("recall at precision 80 %", decimals),
    "precision_at_k_a_day": ("precision of each day's most suspect", decimals),
    "brier": ("Brier score, 0 is best", probability),
    "log_loss": ("log-loss, 0 is best", probability),
    "calibration": ("frauds expected for each there was, 1 is best", lambda value: decimals(value, 2)),
    "alerts_a_day": ("stopped a day", count),
}
_SAVINGS = "savings"
_MONEY = {
    "caught_amount": "fraud caught",
    "missed_amount": "fraud missed",
    "declined_amount": "legitimate declined",
    "cost_a_day": "cost a day",
    _SAVINGS: "saved against no model",
}


def comparison_section(
    metrics: Figures,
    others: Mapping[str, Figures],
    comparisons: Sequence[Comparison],
    *,
    currency: str,
    current_version: str = "",
) -> Markup:
    """What goes below the heading.

    Args:
      metrics: the candidate's.
      others: of the model in service, as "current", and of the challengers; empty where there is no such model.
      current_version: of the model in service.
    """
    shown = {CANDIDATE: metrics, **{name: figures for name, figures in others.items() if figures}}
    return render(
        "comparison.html",
        header=["on the test split", *(_title(name, current_version) for name in shown)],
        rows=_rows(shown, currency),
        sentences=[in_words(comparison) for comparison in comparisons],
        forest=_forest(comparisons),
    )


def _title(name: str, current_version: str) -> str:
    version = f", version {current_version}" if name == CURRENT and current_version else ""
    return f"{model_name(name)}{version}"


def _rows(shown: Mapping[str, Figures], currency: str) -> list[list[str]]:
    """A row for each figure that some model has."""
    titles = {**_WITH_INTERVAL, **{name: title for name, (title, _) in _OTHERS.items()}, **_MONEY}
    return [
        # where a cell takes two lines, the interval is the second
        [title, *(_cell(figures, name, currency).replace(" to ", "\u00a0to\u00a0") for figures in shown.values())]
        for name, title in titles.items()
        if any(figures.get(name) is not None for figures in shown.values())
    ]


def _cell(figures: Figures, name: str, currency: str) -> str:
    if name == _SAVINGS:
        return _saved(figures, currency)
    if name in _MONEY:
        return money(figures.get(name), currency)
    if name in _OTHERS:
        return _OTHERS[name][1](figures.get(name))
    return with_interval(figures, name)


def _saved(figures: Figures, currency: str) -> str:
    lower, upper = (figures.get(f"{_SAVINGS}_{bound}") for bound in ("lower", "upper"))
    text = money(figures.get(_SAVINGS), currency)
    if NOT_DEFINED in (text, money(lower, currency), money(upper, currency)):
        return text
    return f"{text} ({decimals(lower, 0)} to {decimals(upper, 0)})"


# ---- differences


def in_words(comparison: Comparison) -> str:
    """One sentence: how far above or below, whether that is more than noise, and whether it passed."""
    name, other = figure_name(comparison.figure), the_model(comparison.against)
    difference, lower, upper = comparison.difference, comparison.lower, comparison.upper
    if difference is None or math.isnan(difference):
        return f"{_capital(name)} cannot be compared with {other}: it is not defined on the test split."
    distance = decimals(abs(difference))
    where = f"{distance} {'above' if difference >= 0 else 'below'} {other}"
    if float(distance) == 0:
        where = f"the same as of {other}"
    said = f"{_capital(name)} {where}"
    if lower is not None and upper is not None and not math.isnan(lower + upper):
        noise = "within noise" if lower <= 0 <= upper else "more than noise"
        said += f" ({decimals(lower)} to {decimals(upper)}): {noise}"
    if comparison.margin:
        end = f"{'within' if comparison.passed else 'beyond'} the margin of {comparison.margin:g} below"
    else:
        end = f"{'not ' if comparison.passed else ''}below 0"
    return f"{said}; its lower end is {end}: {'passed' if comparison.passed else 'failed'}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _forest(comparisons: Sequence[Comparison]) -> Markup | None:
    """The differences with their intervals and margins, one below the other; None where none is defined."""
    drawn = [one for one in comparisons if one.difference is not None and not math.isnan(one.difference)]
    if not drawn:
        return None
    import plotly.graph_objects as go  # wanted by the report alone

    several = len({one.figure for one in drawn}) > 1
    names = [_row_name(one, several) for one in drawn]
    figure = go.Figure()
    for passed, colour, symbol in ((True, BLUE, "circle"), (False, RED, "x")):
        of_kind = [(name, one) for name, one in zip(names, drawn, strict=True) if one.passed == passed]
        if not of_kind:
            continue
        differences = [one.difference or 0.0 for _, one in of_kind]
        figure.add_scatter(
            x=differences,
            y=[name for name, _ in of_kind],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [_length(one.upper, one.difference) for _, one in of_kind],
                "arrayminus": [_length(one.difference, one.lower) for _, one in of_kind],
                "thickness": 2,
                "width": 6,
            },
            mode="markers",
            marker={"color": colour, "size": 11, "symbol": symbol},
            name="passed" if passed else "failed",
            customdata=[[decimals(one.difference), decimals(one.lower), decimals(one.upper)] for _, one in of_kind],
            hovertemplate="%{y}<br>%{customdata[0]} (%{customdata[1]} to %{customdata[2]})<extra></extra>",
        )
    figure.add_scatter(
        x=[-one.margin for one in drawn],
        y=names,
        mode="markers",
        marker={"symbol": "line-ns", "size": 30, "line": {"color": RED, "width": 3}},
        name="margin",
        hovertemplate="margin %{x:.3g}<extra></extra>",
    )
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5, "dash": "dash"})
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=names[::-1],
        automargin=True,
        range=[-0.6, len(names) - 0.4],
    )
    figure.update_xaxes(title_text="new model less the other", nticks=7)
    return plot(figure, 120 + 50 * len(names), name="forest-plot", margin={"l": 20, "r": 20, "t": 10, "b": 45})


def _row_name(comparison: Comparison, several: bool) -> str:
    name = html.escape(model_name(comparison.against))
    return f"{html.escape(figure_name(comparison.figure))},<br>{name}" if several else name


def _length(high: float | None, low: float | None) -> float:
    return 0.0 if high is None or low is None or math.isnan(high - low) else max(high - low, 0.0)
