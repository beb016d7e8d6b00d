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
    decimals,
    figure_name,
    model_name,
    probability,
    the_model,
    with_interval,
)
from components.report.page import plot, render
from components.report.palette import BLUE, GREY, RED
from components.report.per_day import EQUATION, PerDay, beside
from trainer.decision.costs import Costs
from trainer.decision.outcomes import Outcomes

if TYPE_CHECKING:
    from components.evaluation.verdict import Comparison  # which loads TFMA

Figures = Mapping[str, float | None]

_ENDS = ("lower", "upper")

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
}
_ALERTS, _SAVINGS = "alerts_a_day", "savings"


def comparison_section(
    metrics: Figures,
    others: Mapping[str, Figures],
    comparisons: Sequence[Comparison],
    *,
    costs: Costs,
    per_day: PerDay,
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
        rows=_rows(shown, costs, per_day),
        note=per_day.note,
        sentences=[in_words(comparison, per_day) for comparison in comparisons],
        forest=_forest(comparisons),
    )


def _title(name: str, current_version: str) -> str:
    version = f", version {current_version}" if name == CURRENT and current_version else ""
    return f"{model_name(name)}{version}"


def _rows(shown: Mapping[str, Figures], costs: Costs, per_day: PerDay) -> list[list[str]]:
    """A row for each figure that some model has."""
    titles = {
        **_WITH_INTERVAL,
        **{name: title for name, (title, _) in _OTHERS.items()},
        _ALERTS: f"alerts{per_day.unit}",
    }
    rows = [
        [title, *(_cell(figures, name, per_day) for figures in shown.values())]
        for name, title in titles.items()
        if _is_known(name, shown)
    ]
    if _is_known("missed_amount", shown):
        equations = [_equation(figures, costs, per_day) for figures in shown.values()]
        rows += [
            [f"{title}{per_day.unit}", *(equation[name] for equation in equations)]
            for name, title in EQUATION.items()
            if name != "caught_gain" or costs.caught_fraud
        ]
    if _is_known(_SAVINGS, shown):
        rows.append([f"saved{per_day.unit}, against no model", *(_saved(one, per_day) for one in shown.values())])
    return rows


def _is_known(name: str, shown: Mapping[str, Figures]) -> bool:
    return any(figures.get(name) is not None for figures in shown.values())


def _cell(figures: Figures, name: str, per_day: PerDay) -> str:
    value = figures.get(name)
    if name == _ALERTS:
        return per_day.count_and_split(None if value is None else value * (per_day.days or 1.0))
    return _OTHERS[name][1](value) if name in _OTHERS else _unbroken(with_interval(figures, name))


def _equation(figures: Figures, costs: Costs, per_day: PerDay) -> dict[str, str]:
    """What the cost is the sum of, by `EQUATION`."""
    outcomes = Outcomes.from_figures(figures, costs)
    if outcomes is None:
        return dict.fromkeys(EQUATION, NOT_DEFINED)
    return {name: beside(*texts) for name, texts in zip(EQUATION, per_day.equation(outcomes), strict=True)}


def _saved(figures: Figures, per_day: PerDay) -> str:
    bounds = [None if (value := figures.get(f"{_SAVINGS}_{end}")) is None else per_day.of(value) for end in _ENDS]
    a_day, of_split = per_day.money(figures.get(_SAVINGS)), per_day.split_money(figures.get(_SAVINGS))
    if NOT_DEFINED in (a_day, *(decimals(bound, 0) for bound in bounds)):
        return beside(a_day, of_split)
    return beside(_unbroken(f"{a_day} ({decimals(bounds[0], 0)} to {decimals(bounds[1], 0)})"), of_split)


def _unbroken(text: str) -> str:
    """Where a cell takes two lines, the interval is the second."""
    return text.replace(" to ", "\u00a0to\u00a0")


# ---- differences


def in_words(comparison: Comparison, per_day: PerDay) -> str:
    """One sentence: how far above or below, whether that is more than noise, and whether it passed."""
    if comparison.figure == _SAVINGS:
        return _in_money(comparison, per_day)
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


def savings_in_words(comparison: Comparison, per_day: PerDay) -> str:
    """How much more or less it saves than the other, a day, with the interval: "saves 12.00 EUR less a day (...)"."""
    difference, lower, upper = comparison.difference, comparison.lower, comparison.upper
    if difference is None or math.isnan(difference):
        return f"can't be compared in money with {the_model(comparison.against)}"
    if difference == 0:
        return f"saves as much{per_day.unit}"
    text = f"saves {per_day.money(abs(difference))} {'less' if difference < 0 else 'more'}{per_day.unit}"
    if lower is None or upper is None or math.isnan(lower + upper):
        return text
    noise = "within noise" if lower <= 0 <= upper else "more than noise"
    return (
        f"{text} (95 % interval of the difference {per_day.money(lower)} to {per_day.money(upper)}{per_day.unit}), "
        f"{noise}"
    )


def _in_money(comparison: Comparison, per_day: PerDay) -> str:
    said = f"The new model {savings_in_words(comparison, per_day)}, against {the_model(comparison.against)}"
    if comparison.difference is None or comparison.margin is None:
        return f"{said}; no bar is set (evaluation.max_savings_loss)."
    bar = f"beyond noise, at most {per_day.money(comparison.margin)}{per_day.unit} may be lost"
    return f"{said}; {bar}: {'passed' if comparison.passed else 'failed'}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _forest(comparisons: Sequence[Comparison]) -> Markup | None:
    """The differences with their intervals and margins, one below the other; None where none is defined."""
    drawn = [
        one
        for one in comparisons
        # money has no place on the axis of average precision
        if one.figure != _SAVINGS and one.difference is not None and not math.isnan(one.difference)
    ]
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
        x=[-(one.margin or 0.0) for one in drawn],
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
    return plot(
        figure,
        150 + 50 * len(names),
        name="forest-plot",
        margin={"l": 20, "r": 20, "t": 40, "b": 45},
    )


def _row_name(comparison: Comparison, several: bool) -> str:
    name = html.escape(model_name(comparison.against))
    return f"{html.escape(figure_name(comparison.figure))},<br>{name}" if several else name


def _length(high: float | None, low: float | None) -> float:
    return 0.0 if high is None or low is None or math.isnan(high - low) else max(high - low, 0.0)
