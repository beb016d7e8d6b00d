"""The report's curves: precision and recall, ROC, calibration, and how the scores of the two classes lie."""

from __future__ import annotations

import heapq
import html
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from components.evaluation.scores import CANDIDATE, CURRENT, DECISION, LABEL, PROBABILITY, SCORE, WEIGHT, Scores
from components.evaluation.words import count, decimals, model_name, percent, probability
from components.report.page import plot, render
from components.report.palette import BLUE, GREEN, GREY, ORANGE, RED
from trainer.arrays import Array
from trainer.metrics import Ranking

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_POINTS = 300  # of a curve
BINS, LEAST_FRAUDS = 10, 5  # of the calibration; with fewer frauds a bin's share is a guess
HISTOGRAM_BINS = 60
_SUREST = 16.0  # log-odds: nearer to 0 and 1, float32 has few numbers and people have no use for them
_LEAST_RATE = 0.01  # of false positives, at which recall is a figure of the report


def curves_section(scores: Scores, threshold: float | None = None) -> Markup:
    """What goes below the heading.

    Args:
      threshold: the candidate's, where it decides by one alone.
    """
    labels = scores.column(LABEL)
    frauds = int(np.count_nonzero(labels > 0))
    if frauds == 0 or frauds == len(labels):
        nothing = "no fraud" if frauds == 0 else "no legitimate transaction"
        return render("curves.html", nothing=nothing)
    weights = scores.column(WEIGHT).astype(np.float64)
    rankings = {model: Ranking.from_scores(labels, scores.of(model, SCORE), weights) for model in scores.models}
    points = {model: _operating_point(scores, model, labels, weights) for model in scores.models}
    bins = _bins(scores, labels, weights) if frauds >= 2 * LEAST_FRAUDS else {}
    return render(
        "curves.html",
        nothing="",
        share=_share_of_fraud(rankings[CANDIDATE]),
        precision_recall=_precision_recall(rankings, points),
        roc=_roc(rankings, points),
        calibration=_calibration(bins, scores.models) if bins else None,
        hidden_models=[model for model in bins if model not in (CANDIDATE, CURRENT)],
        bins_header=["from", "to", "predicted", "observed (95 % interval)", "transactions", "frauds in the data"],
        bins=_bin_rows(bins[CANDIDATE]) if bins else [],
        frauds=frauds,
        least_frauds=LEAST_FRAUDS,
        threshold=threshold,
        histograms=_histograms(scores, labels, weights, threshold),
    )


def _share_of_fraud(ranking: Ranking) -> float:
    return float(ranking.positives.sum() / (ranking.positives.sum() + ranking.negatives.sum()))


def _looks(models: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Lines that are told apart without colour as well."""
    others = iter([(GREEN, "dot"), (RED, "dashdot"), (GREY, "longdash")])
    looks = {CANDIDATE: (BLUE, "solid"), CURRENT: (ORANGE, "dash")}
    return {
        model: dict(zip(("color", "dash"), looks.get(model) or next(others, (GREY, "dash")), strict=True))
        for model in models
    }


def _name(model: str) -> str:
    return html.escape(model_name(model))


# ---- precision and recall, ROC


@dataclass(frozen=True)
class Curve:
    """Points in the order of falling thresholds; float64 [k]."""

    x: Array
    y: Array


def precision_recall(ranking: Ranking) -> Curve:
    """Recall and, there, precision at every threshold that catches a further fraud.

    A step of that height from the recall before it: below the steps lies the average precision, exactly.
    """
    caught, false_alarms = np.cumsum(ranking.positives), np.cumsum(ranking.negatives)
    further = ranking.positives > 0
    return Curve(caught[further] / caught[-1], caught[further] / (caught + false_alarms)[further])


def roc(ranking: Ranking) -> Curve:
    """False and true positive rate at every threshold where the curve bends, from none to all."""
    true = np.concatenate([[0.0], np.cumsum(ranking.positives)])
    false = np.concatenate([[0.0], np.cumsum(ranking.negatives)])
    rises = np.concatenate([[True], ranking.positives > 0, [True]])
    bends = rises[:-1] | rises[1:]  # between, false positives alone are added: it is level
    return Curve(false[bends] / false[-1], true[bends] / true[-1])


def thinned(curve: Curve, most: int = MOST_POINTS) -> Curve:
    """The points without which the line would be most wrong: Douglas and Peucker (1973), the worst first."""
    if len(curve.x) <= most:
        return curve
    x = curve.x / (np.ptp(curve.x) or 1.0)
    y = curve.y / (np.ptp(curve.y) or 1.0)

    def worst(first: int, last: int) -> tuple[float, int, int, int]:
        """Of the points between two that are kept, the farthest from the line through those; negative distance."""
        if last - first < 2:
            return 0.0, first, first, last
        run, rise = x[last] - x[first], y[last] - y[first]
        away_x, away_y = x[first + 1 : last] - x[first], y[first + 1 : last] - y[first]
        length = math.hypot(run, rise)
        far = np.abs(run * away_y - rise * away_x) / length if length else np.hypot(away_x, away_y)
        at = int(np.argmax(far))
        return -float(far[at]), first + 1 + at, first, last

    kept = {0, len(x) - 1}
    waiting = [worst(0, len(x) - 1)]
    while waiting and len(kept) < most:
        distance, middle, first, last = heapq.heappop(waiting)
        if distance == 0:
            break
        kept.add(middle)
        for part in (worst(first, middle), worst(middle, last)):
            heapq.heappush(waiting, part)
    chosen = sorted(kept)
    return Curve(curve.x[chosen], curve.y[chosen])


@dataclass(frozen=True)
class _Point:
    """Where a model decides."""

    recall: float
    precision: float
    false_positives: float  # share of the legitimate


def _operating_point(scores: Scores, model: str, labels: Array, weights: Array) -> _Point | None:
    """None where nothing is stopped or the decisions are not known."""
    if f"{model}.{DECISION}" not in scores:
        return None
    stops, fraud = scores.of(model, DECISION) > 0, labels > 0
    caught, declined = weights[stops & fraud].sum(), weights[stops & ~fraud].sum()
    if caught + declined == 0:
        return None
    return _Point(caught / weights[fraud].sum(), caught / (caught + declined), declined / weights[~fraud].sum())


def _lines(
    rankings: dict[str, Ranking],
    curve: Callable[[Ranking], Curve],
    figure_of: Callable[[Ranking], float],
    line: dict[str, Any],
    hover: str,
) -> go.Figure:
    """A line for each model, the candidate above the others."""
    import plotly.graph_objects as go  # wanted by the report alone

    looks = _looks(rankings)
    figure = go.Figure()
    for rank, (model, ranking) in enumerate(rankings.items()):
        drawn = curve(ranking)
        figure.add_scatter(
            x=_digits(drawn.x),
            y=_digits(drawn.y),
            name=f"{_name(model)}, {decimals(figure_of(ranking))}",
            legendrank=rank,
            zorder=len(rankings) - rank,
            mode="lines",
            line={**looks[model], **line, "width": 3 if model == CANDIDATE else 2},
            hovertemplate=f"{_name(model)}<br>{hover}<extra></extra>",
        )
    return figure


def _decides(
    figure: go.Figure, points: dict[str, _Point | None], place: Callable[[_Point], tuple[float, float]]
) -> None:
    looks = _looks(points)
    for model, point in points.items():
        if point is not None:
            x, y = place(point)
            figure.add_scatter(
                x=[x],
                y=[y],
                name=f"{_name(model)} decides",
                mode="markers",
                marker={"color": looks[model]["color"], "size": 12, "symbol": "diamond", "line": {"width": 1}},
                zorder=len(points) + 1,
                cliponaxis=False,  # it may lie on the plot's edge
                showlegend=False,
                hovertemplate=f"{_name(model)} decides here<br>recall {percent(point.recall)}<br>"
                f"precision {percent(point.precision)}<br>false positives {percent(point.false_positives)}"
                "<extra></extra>",
            )


def _chance(figure: go.Figure, x: list[float], y: list[float]) -> None:
    figure.add_scatter(
        x=x, y=y, name="chance", mode="lines", line={"color": GREY, "dash": "dash", "width": 1}, hoverinfo="skip"
    )


def _digits(values: Array) -> list[float]:
    """Six digits that count: as JSON each further one would take a byte."""
    return [float(f"{value:.6g}") for value in values.tolist()]


def _precision_recall(rankings: dict[str, Ranking], points: dict[str, _Point | None]) -> Markup:
    def curve(ranking: Ranking) -> Curve:
        steps = thinned(precision_recall(ranking))
        return Curve(np.concatenate([[0.0], steps.x]), np.concatenate([steps.y[:1], steps.y]))

    hover = "recall %{x:.1%}<br>precision %{y:.1%}"
    # a recall between two steps is reached by the threshold of the next
    figure = _lines(rankings, curve, Ranking.average_precision, {"shape": "vh"}, hover)
    share = _share_of_fraud(rankings[CANDIDATE])
    _chance(figure, [0.0, 1.0], [share, share])
    _decides(figure, points, lambda point: (point.recall, point.precision))
    figure.update_xaxes(title_text="recall: share of the frauds caught", tickformat=".0%", range=[0, 1.01])
    figure.update_yaxes(title_text="precision", tickformat=".0%", range=[0, 1.03])
    return plot(figure, 420, name="precision-recall-plot")


def _roc(rankings: dict[str, Ranking], points: dict[str, _Point | None]) -> Markup:
    curves = {model: roc(ranking) for model, ranking in rankings.items()}
    left = min(float(curve.x[curve.x > 0].min()) for curve in curves.values())
    left = min(max(left, 1e-6), _LEAST_RATE / 10)

    def curve(ranking: Ranking) -> Curve:
        bent = _bent(roc(ranking))
        logarithms = np.log10(np.maximum(bent.x, left))
        thin = thinned(Curve(logarithms, bent.y))
        return Curve(10**thin.x, thin.y)

    hover = "false positives %{x:.3%}<br>recall %{y:.1%}"
    figure = _lines(rankings, curve, Ranking.roc_auc, {"shape": "linear"}, hover)
    spread = np.geomspace(left, 1, 60)
    _chance(figure, _digits(spread), _digits(spread))
    _decides(figure, points, lambda point: (max(point.false_positives, left), point.recall))
    figure.add_vline(x=_LEAST_RATE, line={"color": GREY, "dash": "dot", "width": 1})
    ticks = [10.0**power for power in range(math.ceil(math.log10(left)), 1)]
    figure.update_xaxes(
        title_text="false positives, log scale",
        type="log",
        range=[math.log10(left), 0.02],
        tickvals=ticks,
        ticktext=[f"{100 * tick:.6g} %" for tick in ticks],
    )
    figure.update_yaxes(title_text="recall", tickformat=".0%", range=[0, 1.03])
    return plot(figure, 420, name="roc-plot")


def _bent(curve: Curve) -> Curve:
    """With points on long slopes, which many equal scores make: straight here, they are not on a logarithmic scale."""
    xs, ys = [curve.x], [curve.y]
    start, end = curve.x[:-1], curve.x[1:]
    for at in np.flatnonzero((end > 1.5 * start) & (start > 0) & (curve.y[1:] > curve.y[:-1])):
        inner = np.geomspace(start[at], end[at], 20)[1:-1]
        xs.append(inner)
        ys.append(np.interp(inner, curve.x[at : at + 2], curve.y[at : at + 2]))
    x, y = np.concatenate(xs), np.concatenate(ys)
    order = np.lexsort([y, x])
    return Curve(x[order], y[order])


# ---- calibration


@dataclass(frozen=True)
class Bins:
    """Transactions with probabilities near one another, rising; [k] each.

    low, high: least and largest probability. predicted: their weighted mean. observed: weighted share of fraud, with
    its 95 % interval. transactions: weighted. frauds: rows.
    """

    low: Array
    high: Array
    predicted: Array
    observed: Array
    lower: Array
    upper: Array
    transactions: Array
    frauds: Array


def reliability(labels: Array, probabilities: Array, weights: Array) -> Bins:
    """Bins in which the model expects equally many frauds, joined until each has `LEAST_FRAUDS`.

    By expectation and not by what happened: a bin that ends at a fraud would have one too many. The interval is that of
    the log-odds, with variance 1/frauds + 1/legitimate in rows (Woolf 1955), which a sample of each class does not
    change; of unequal weights the rows that would say as much if all weighed the same.
    """
    order = np.argsort(probabilities, kind="stable")
    rising, fraud = probabilities[order].astype(np.float64), labels[order] > 0
    weight = weights[order]
    expected = np.cumsum(weight * rising)
    cuts = np.searchsorted(expected, expected[-1] * np.arange(1, BINS) / BINS, side="right")
    # equal probabilities stay together
    cuts = np.unique(np.searchsorted(rising, rising[np.minimum(cuts, len(rising) - 1)], side="left"))
    frauds_up_to = np.concatenate([[0], np.cumsum(fraud)])
    starts = [0]
    for cut in cuts[cuts > 0]:
        if frauds_up_to[cut] - frauds_up_to[starts[-1]] >= LEAST_FRAUDS:
            starts.append(int(cut))
    while len(starts) > 1 and frauds_up_to[-1] - frauds_up_to[starts[-1]] < LEAST_FRAUDS:
        starts.pop()

    def sums(values: Array) -> Array:
        return np.add.reduceat(values, starts)

    total = sums(weight)
    positive, negative = np.where(fraud, weight, 0.0), np.where(fraud, 0.0, weight)
    observed = sums(positive) / total
    spread = np.sqrt(sum(1 / _rows_worth(sums(one), sums(one * one)) for one in (positive, negative)))
    middle = _log_odds(np.clip(observed, 0.5 / (1 + total), 1 - 0.5 / (1 + total)))
    return Bins(
        low=rising[starts],
        high=rising[[*(start - 1 for start in starts[1:]), len(rising) - 1]],
        predicted=sums(weight * rising) / total,
        observed=observed,
        lower=_share(middle - 1.96 * spread),
        upper=_share(middle + 1.96 * spread),
        transactions=total,
        frauds=sums(fraud.astype(np.int64)),
    )


def _rows_worth(weight: Array, squares: Array) -> Array:
    """Kish's effective number of rows; half a one where there is none, so that the log-odds stay finite."""
    rows: Array = np.maximum(np.divide(weight * weight, squares, out=np.zeros_like(weight), where=squares > 0), 0.5)
    return rows


def _log_odds(shares: Array) -> Array:
    shares = np.asarray(shares, np.float64)
    with np.errstate(divide="ignore"):
        log_odds: Array = np.clip(np.log(shares) - np.log1p(-shares), -_SUREST, _SUREST)
        return log_odds


def _share(log_odds: Array) -> Array:
    shares: Array = 1 / (1 + np.exp(-log_odds))
    return shares


def _odds_axis(low: float, high: float) -> dict[str, Any]:
    """An axis of log-odds with probabilities written to it."""
    small = [10.0**power for power in range(-6, 0)]
    shares = [*small, 0.5, *(1 - share for share in reversed(small))]
    ticks = [share for share in shares if low <= float(_log_odds(np.array(share))) <= high]
    if len(ticks) > 9:
        ticks = [share for share in ticks if share not in (0.9, 0.1, 1e-5, 1 - 1e-5, 1e-3, 1 - 1e-3)]
    return {
        "tickvals": _log_odds(np.array(ticks)).tolist(),
        "ticktext": [np.format_float_positional(share, precision=6, trim="-") for share in ticks],
        "range": [low, high],
        "zeroline": False,
    }


def _bins(scores: Scores, labels: Array, weights: Array) -> dict[str, Bins]:
    """Of each model that has probabilities."""
    models = [model for model in scores.models if f"{model}.{PROBABILITY}" in scores]
    return {model: reliability(labels, scores.of(model, PROBABILITY), weights) for model in models}


def _calibration(bins: dict[str, Bins], models: Iterable[str]) -> Markup:
    import plotly.graph_objects as go

    looks = _looks(models)
    ends = np.concatenate([[one.predicted.min(), one.predicted.max()] for one in bins.values()])
    ends = np.concatenate([ends, *([one.observed.min(), one.observed.max()] for one in bins.values())])
    odds = np.clip(_log_odds(ends), -12, 8)
    low, high = float(odds.min()) - 1, float(odds.max()) + 1
    figure = go.Figure()
    _diagonal(figure, low, high)
    for rank, (model, one) in enumerate(bins.items()):
        height = np.clip(_log_odds(one.observed), low + 0.3, high - 0.3)
        figure.add_scatter(
            x=_digits(np.clip(_log_odds(one.predicted), low + 0.3, high - 0.3)),
            y=_digits(height),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": _digits(np.maximum(_log_odds(one.upper) - height, 0)),
                "arrayminus": _digits(np.maximum(height - _log_odds(one.lower), 0)),
                "thickness": 1.5 if model == CANDIDATE else 1,
                "width": 3,
            },
            name=_name(model),
            mode="lines+markers",
            line={**looks[model], "width": 2.5 if model == CANDIDATE else 1.5},
            marker={"size": 9 if model == CANDIDATE else 6},
            visible=True if model in (CANDIDATE, CURRENT) else "legendonly",
            zorder=len(bins) - rank,
            customdata=[[" to ".join(row[:2]), *row[2:]] for row in _bin_rows(one)],
            hovertemplate=f"{_name(model)}<br>predicted %{{customdata[1]}}<br>observed %{{customdata[2]}}<br>"
            "%{customdata[3]} transactions, %{customdata[4]} frauds<extra></extra>",
        )
    figure.update_xaxes(title_text="predicted probability, stretched at its ends", **_odds_axis(low, high))
    figure.update_yaxes(title_text="observed share of fraud", **_odds_axis(low, high))
    return plot(figure, 460, name="calibration-plot")


def _diagonal(figure: go.Figure, low: float, high: float) -> None:
    figure.add_scatter(
        x=[low, high],
        y=[low, high],
        name="calibrated",
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 1.5},
        hoverinfo="skip",
    )


def _bin_rows(bins: Bins) -> list[list[str]]:
    return [
        [
            probability(low),
            probability(high),
            probability(predicted),
            f"{probability(observed)} ({probability(lower)} to {probability(upper)})",
            count(transactions),
            f"{frauds:,}",
        ]
        for low, high, predicted, observed, lower, upper, transactions, frauds in zip(
            bins.low,
            bins.high,
            bins.predicted,
            bins.observed,
            bins.lower,
            bins.upper,
            bins.transactions,
            bins.frauds,
            strict=True,
        )
    ]


# ---- histograms


def histograms(labels: Array, probabilities: Array, weights: Array, edges: Array) -> tuple[Array, Array]:
    """Weighted numbers of legitimate transactions and of frauds between log-odds `edges`."""
    odds, fraud = _log_odds(probabilities), labels > 0
    legitimate, _ = np.histogram(odds[~fraud], edges, weights=weights[~fraud])
    frauds, _ = np.histogram(odds[fraud], edges, weights=weights[fraud])
    return legitimate, frauds


def _histograms(scores: Scores, labels: Array, weights: Array, threshold: float | None) -> Markup:
    from plotly.subplots import make_subplots

    models = [model for model in scores.models if f"{model}.{PROBABILITY}" in scores]
    ends = [_log_odds(np.array(bound(scores.of(model, PROBABILITY)))) for model in models for bound in (np.min, np.max)]
    low, high = math.floor(min(ends)), math.ceil(max(ends))
    edges = np.linspace(low, high if high > low else low + 1, HISTOGRAM_BINS + 1)
    shares = _share(edges)
    between = [f"{probability(a)} to {probability(b)}" for a, b in itertools.pairwise(shares)]
    figure = make_subplots(
        rows=len(models),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.22 / len(models),  # for the titles, on paper as well
        subplot_titles=[_name(model) for model in models],
    )
    least = float(weights[weights > 0].min()) / 2
    most = 0.0
    for row, model in enumerate(models, start=1):
        of_classes = histograms(labels, scores.of(model, PROBABILITY), weights, edges)
        most = max(most, *(float(numbers.max()) for numbers in of_classes))
        for name, colour, numbers in zip(("legitimate", "fraud"), (GREY, RED), of_classes, strict=True):
            figure.add_bar(
                x=_digits((edges[:-1] + edges[1:]) / 2),
                y=_digits(numbers),
                width=_digits(np.diff(edges)),
                name=name,
                legendgroup=name,
                showlegend=row == 1,
                marker={"color": colour, "line": {"width": 0}},
                opacity=0.65,
                customdata=[[text, count(number)] for text, number in zip(between, numbers.tolist(), strict=True)],
                hovertemplate=f"{name}: %{{customdata[1]}}<br>%{{customdata[0]}}<extra></extra>",
                row=row,
                col=1,
            )
    if threshold is not None and 0 < threshold < 1:
        at = float(_log_odds(np.array(threshold)))
        figure.add_vline(x=at, line={"color": ORANGE, "dash": "dot", "width": 2}, row=1, col=1)
    figure.update_layout(barmode="overlay", bargap=0)
    axis = _odds_axis(float(edges[0]), float(edges[-1]))
    figure.update_xaxes(**axis)
    # narrow, the numbers are slanted and need more room
    title = "probability of fraud, stretched at its ends"
    figure.update_xaxes(title_text=title, automargin=True, row=len(models), col=1)
    decades = max(1, math.ceil(math.log10(most / least)))
    figure.update_yaxes(
        type="log", range=[math.log10(least), math.log10(most) + 0.2], dtick=-(-decades // 4), tickformat=","
    )
    return plot(
        figure,
        120 + 150 * len(models),
        name="histogram-plot",
        margin={"l": 60, "r": 20, "t": 65, "b": 45},
    )
