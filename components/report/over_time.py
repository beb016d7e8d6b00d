"""The report's section on the test split over time: frauds, alerts, catches and money, hour by hour or week by week."""

from __future__ import annotations

import datetime
import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from components.evaluation.scores import AMOUNT, CANDIDATE, DECISION, LABEL, TIME, WEIGHT, Scores
from components.evaluation.words import count, money, percent
from components.report.data import moment
from components.report.page import plot, render
from components.report.palette import BLUE, GREEN, GREY, ORANGE, RED
from trainer.arrays import Array, Floats
from trainer.columns import SECONDS_A_DAY, Columns
from trainer.decision.costs import Costs
from trainer.decision.outcomes import CostedTransactions, Outcomes

if TYPE_CHECKING:
    import plotly.graph_objects as go

ENOUGH_SPANS = 8  # fewer show no course, and many more are mostly chance
_WEEK = 7 * SECONDS_A_DAY
WIDTHS = {
    4 * _WEEK: "four weeks",
    _WEEK: "a week",
    SECONDS_A_DAY: "a day",
    3600: "an hour",
    600: "ten minutes",
    60: "a minute",
}
MOST_SPANS = 200  # at the longest width; more come of a wrong date, and would leave bars that nobody can see
_FAR = 10  # interquartile ranges from the median; times that are spread evenly lie within one
_MONDAY = 4 * SECONDS_A_DAY  # 1970 began on a Thursday


@dataclass(frozen=True)
class OverTime:
    """What one set of decisions comes to in each of some consecutive spans of time, all equally long.

    width: seconds, one of `WIDTHS`. starts: seconds, float64 [k]. outcomes: of each span. untimed, outlying:
    transactions that are in none of them, for they have no time, or one that is far from all others.
    """

    width: int
    starts: Floats
    outcomes: Outcomes
    untimed: float
    outlying: float


def over_time(transactions: CostedTransactions, times: Array, stops: Array, *, from_1970: bool) -> OverTime | None:
    """The decisions in the longest spans of time of which there are `ENOUGH_SPANS`; None where there are no times.

    Where `MOST_SPANS` of the longest do not reach from the first time to the last, times far from the median are left
    out.

    Args:
      times: seconds, NaN where missing, float64 [n].
      stops: the decisions, bool [n].
      from_1970: whether the seconds count from then, so that weeks begin on Mondays, or from the data's own start.
    """
    timed = np.isfinite(times)
    if not timed.any():
        return None
    near = timed & _near(times, times[timed])
    first, last = float(times[near].min()), float(times[near].max())

    def number(seconds: Any, width: int) -> Any:  # a float: a time may be greater than any integer of 64 bits
        return np.floor_divide(seconds - _origin(width, from_1970), width)

    ends = {width: (float(number(first, width)), float(number(last, width))) for width in WIDTHS}
    width = next((one for one, (low, high) in ends.items() if high - low + 1 >= ENOUGH_SPANS), min(WIDTHS))
    low, high = ends[width]
    spans = int(high - low) + 1
    groups = np.where(near, number(np.where(near, times, first), width) - low, -1).astype(np.int64)
    return OverTime(
        width=width,
        starts=_origin(width, from_1970) + width * (low + np.arange(spans, dtype=np.float64)),
        outcomes=transactions.outcomes_of_groups(stops, groups, spans),
        untimed=float(transactions.weights[~timed].sum()),
        outlying=float(transactions.weights[timed & ~near].sum()),
    )


def _near(times: Array, known: Array) -> Array:
    """Whether each time lies so near to the others that at most `MOST_SPANS` spans hold it and them, bool [n].

    known: those of the times that are finite, at least one.
    """
    longest = max(WIDTHS)
    if float(known.max()) - float(known.min()) <= (MOST_SPANS - 1) * longest:
        return np.full(len(times), True)
    lower, median, upper = np.quantile(known, [0.25, 0.5, 0.75], method="nearest").tolist()
    reach = min(max(_FAR * (upper - lower), SECONDS_A_DAY), (MOST_SPANS - 1) * longest / 2)
    near: Array = (times >= median - reach) & (times <= median + reach)
    return near


def _origin(width: int, from_1970: bool) -> int:
    return _MONDAY if from_1970 and width >= _WEEK else 0


def over_time_section(scores: Scores, costs: Costs, columns: Columns) -> Markup:
    """What goes below the heading."""
    spans = None
    if TIME in scores:
        # a random split has its part of every hour: the figures are those of all that came in
        transactions = CostedTransactions.from_arrays(
            scores.column(LABEL),
            scores.column(AMOUNT) if AMOUNT in scores else None,
            scores.column(WEIGHT).astype(np.float64) / scores.share,
            costs,
        )
        stops = scores.of(CANDIDATE, DECISION) > 0
        spans = over_time(transactions, scores.column(TIME), stops, from_1970=columns.time_kind != "seconds")
    if spans is None:
        return render("over_time.html", spans=None)
    in_money = AMOUNT in scores
    x, axis = _axis(spans, columns)
    return render(
        "over_time.html",
        spans=spans,
        unit=WIDTHS[spans.width],
        sentence=_sentence(spans, in_money),
        counts=plot(_counts(spans, x, axis), 340, name="over-time-plot"),
        money=plot(_money(spans, x, axis), 340, name="money-over-time-plot") if in_money else None,
        header=_header(in_money),
        rows=_rows(spans, columns, in_money),
        left_out=[*_left_out(spans.untimed, "no time"), *_left_out(spans.outlying, "a time far from all others")],
    )


def _sentence(spans: OverTime, in_money: bool) -> str:
    """How even the course is."""
    number, stopped = len(spans.starts), spans.outcomes.stopped
    alerts = f"There are {count(stopped.min())} to {count(stopped.max())} alerts in {WIDTHS[spans.width]}."
    if not in_money:
        return alerts
    saving = int(np.count_nonzero(spans.outcomes.savings > 0))
    return f"{alerts} The model saves money in {saving} of the {number} spans."


def _left_out(transactions: float, why: str) -> list[str]:
    """A sentence, where there are any."""
    if not transactions:
        return []
    number = count(transactions)
    return [f"{number} transaction{f' has {why} and is' if number == '1' else f's have {why} and are'} left out."]


def _axis(spans: OverTime, columns: Columns) -> tuple[list[Any], dict[str, Any]]:
    """The middle of each span, and the axis that it lies on."""
    middles = spans.starts + spans.width / 2
    if columns.time_kind == "seconds":
        length, unit = (SECONDS_A_DAY, "days") if spans.width >= SECONDS_A_DAY else (3600, "hours")
        return (middles / length).tolist(), {"title_text": f"{unit} since the data began"}
    utc = datetime.timezone.utc
    try:
        dates = [datetime.datetime.fromtimestamp(one, utc).strftime("%Y-%m-%d %H:%M:%S") for one in middles.tolist()]
    except (OverflowError, ValueError, OSError):  # no year from 1 to 9999
        return (middles / SECONDS_A_DAY).tolist(), {"title_text": "days since 1970"}
    return dates, {"type": "date", "title_text": "UTC"}


def _texts(spans: OverTime) -> list[list[str]]:
    """Of each span, for hovering: the counts, and what share of the frauds was caught."""
    of = spans.outcomes
    frauds = of.true_positives + of.false_negatives
    return [
        [count(alerts), count(caught), count(there), percent(share)]
        for alerts, caught, there, share in zip(of.stopped, of.true_positives, frauds, of.recall, strict=True)
    ]


def _counts(spans: OverTime, x: list[Any], axis: dict[str, Any]) -> go.Figure:
    import plotly.graph_objects as go  # wanted by the report alone

    of, texts = spans.outcomes, _texts(spans)
    hover = "%{customdata[0]} alerts<br>%{customdata[1]} of %{customdata[2]} frauds caught, %{customdata[3]}"
    figure = go.Figure()
    bars = (("frauds caught", of.true_positives, GREEN), ("frauds missed", of.false_negatives, RED))
    for name, heights, colour in bars:
        figure.add_bar(
            x=x,
            y=_digits(heights),
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            customdata=texts,
            hovertemplate=f"{hover}<extra></extra>",
        )
    figure.add_scatter(
        x=x,
        y=_digits(of.stopped),
        name="alerts",
        mode="lines+markers",
        line={"color": BLUE, "width": 2},
        customdata=texts,
        hovertemplate=f"{hover}<extra></extra>",
    )
    figure.update_layout(barmode="stack", bargap=0.15, legend_traceorder="normal")
    figure.update_xaxes(**axis)
    figure.update_yaxes(title_text=f"transactions in {WIDTHS[spans.width]}", rangemode="tozero")
    return figure


def _money(spans: OverTime, x: list[Any], axis: dict[str, Any]) -> go.Figure:
    import plotly.graph_objects as go

    of, currency = spans.outcomes, spans.outcomes.costs.currency
    bars = {
        "missed fraud": (of.missed_cost, RED),
        "review": (of.review_cost, ORANGE),
        "declined customers": (of.declined_cost, GREY),
        "earned by caught fraud": (-of.caught_gain, GREEN),
    }
    texts = [
        [html.escape(money(value, currency)) for value in values]
        for values in zip(of.cost, of.cost_without_model, of.savings, strict=True)
    ]
    hover = "cost %{customdata[0]}<br>without a model %{customdata[1]}<br>saved %{customdata[2]}<extra></extra>"
    figure = go.Figure()
    for name, (heights, colour) in bars.items():
        if np.any(heights):
            look = {"color": colour, "line": {"width": 0}}
            figure.add_bar(x=x, y=_digits(heights), name=name, marker=look, customdata=texts, hovertemplate=hover)
    figure.add_scatter(
        x=x,
        y=_digits(of.cost_without_model),
        name="cost without a model",
        mode="lines+markers",
        line={"color": BLUE, "width": 2, "dash": "dash"},
        customdata=texts,
        hovertemplate=hover,
    )
    figure.update_layout(barmode="relative", bargap=0.15, legend_traceorder="normal")
    figure.update_xaxes(**axis)
    figure.update_yaxes(
        title_text=f"{html.escape(currency)} in {WIDTHS[spans.width]}", tickformat=",", rangemode="tozero"
    )
    return figure


def _digits(values: Floats) -> list[float]:
    """Six digits that count: as JSON each further one would take a byte."""
    return [float(f"{value:.6g}") for value in values.tolist()]


def _header(in_money: bool) -> list[str]:
    counted = ["from", "frauds", "alerts", "frauds caught", "false alarms"]
    return [*counted, "cost", "cost without a model", "saved"] if in_money else counted


def _rows(spans: OverTime, columns: Columns, in_money: bool) -> list[list[str]]:
    of, currency = spans.outcomes, spans.outcomes.costs.currency
    frauds = of.true_positives + of.false_negatives
    rows = [
        [moment(start, columns.time_kind), *(count(float(value)) for value in values)]
        for start, *values in zip(
            spans.starts.tolist(), frauds, of.stopped, of.true_positives, of.false_positives, strict=True
        )
    ]
    if in_money:
        for row, *values in zip(rows, of.cost, of.cost_without_model, of.savings, strict=True):
            row += [money(float(value), currency) for value in values]
    return rows
