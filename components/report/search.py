"""The report's section on the hyperparameter search: what it found, how, and what mattered."""

from __future__ import annotations

import html
import itertools
import math
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from components.report.page import epochs_axis, plot, render
from components.report.palette import BLUE, GREEN, GREY, ORANGE, RED
from trainer.arrays import Array
from trainer.search import hyperband
from trainer.search.trials import Record, Trial

if TYPE_CHECKING:
    import plotly.graph_objects as go

ENOUGH_FOR_IMPORTANCE = 10  # completed trials; with fewer, each tree of the forest would split a handful of points
TREES = 300
SHUFFLES = 30

# The only one of Hyperband's own entries that says something of the network.
_EPOCHS = hyperband.EPOCHS
_INACTIVE = "–"


def search_section(record: Record) -> Markup:
    """What goes below the heading."""
    completed = _completed(record)
    trials = _scored(record)
    axes = _axes(trials)
    estimated = _estimated(completed)
    header, rows = _all_trials(record)
    return render(
        "search.html",
        conclusion=record.conclusion,
        how=how(record),
        objective=_objective(record),
        greater_is_better=record.greater_is_better,
        folds=record.folds,
        unused=_INACTIVE,
        axes=len(axes),
        inactive=any(_INACTIVE in axis.ticks.values() for axis in axes),
        coordinates=_coordinates(record, trials, axes) if axes else None,
        completed=_number(len(completed), "completed trial"),
        enough=ENOUGH_FOR_IMPORTANCE,
        too_few=len(completed) < ENOUGH_FOR_IMPORTANCE,
        trees=TREES,
        shuffles=SHUFFLES,
        trust=_trust(estimated) if estimated else "",
        importance=_importance(estimated) if estimated else None,
        best_so_far=_best_so_far(record),
        curves=_curves(record),
        header=header,
        rows=rows,
        # words, the score to the seconds as numbers, and words again
        align="llrrrl",
        reasons=_has_reasons(record),
    )


def how(record: Record) -> str:
    """One sentence on how the values were searched."""
    counts = Counter(trial.status for trial in record.trials)
    counted = ", ".join(f"{counts[status]} {status}" for status in ("completed", "stopped", "failed") if counts[status])
    folds = f"each on {record.folds} folds" if record.folds > 1 else "without folds"
    return (
        f"{record.oracle.capitalize()} search: {_number(len(record.trials), 'trial')} ({counted}), {folds}, "
        f"by {_number(record.workers, 'worker')} in {_seconds(record.seconds)} seconds, seed {record.seed}."
    )


# ---- what the trials are compared by


def _merit(record: Record, trial: Trial) -> float:
    """The score, turned so that more is better; minus infinity without one, or where it is no number."""
    if trial.score is None or not math.isfinite(trial.score):
        return -math.inf
    return trial.score if record.greater_is_better else -trial.score


def _scored(record: Record) -> list[Trial]:
    return [trial for trial in record.trials if _merit(record, trial) > -math.inf]


def _completed(record: Record) -> list[Trial]:
    return [trial for trial in _scored(record) if trial.status == "completed"]


def _best_first(record: Record) -> list[Trial]:
    """Completed trials before stopped ones, whose scores are not of all epochs or folds, and failed ones last."""
    rank = {"completed": 0, "stopped": 1, "failed": 2}
    return sorted(record.trials, key=lambda trial: (rank[trial.status], -_merit(record, trial)))


def _marks(record: Record, trial: Trial) -> list[str]:
    marks = {"best": record.best, "default": record.default, "warm start": record.warm_start}
    return [mark for mark, trial_id in marks.items() if trial_id == trial.trial_id]


# ---- words and numbers


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return format(value, ".4g")
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(part) for part in value)
    return str(value)


def _name(key: str) -> str:
    return "epochs" if key == _EPOCHS else key.replace("_", " ")


def _objective(record: Record) -> str:
    return record.objective.replace("_", " ")


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.1f}"


def _score(trial: Trial) -> str:
    if trial.score is None:
        return _INACTIVE
    return f"{trial.score:.4f}" + (f" ± {trial.spread:.4f}" if trial.spread is not None else "")


def _title(record: Record, trial: Trial) -> str:
    return f"trial {trial.trial_id} ({', '.join([trial.status, *_marks(record, trial)])})"


def _hover(record: Record, trial: Trial) -> str:
    """A trial in Plotly's own mark-up, which knows links and bold type: what is not ours is escaped."""
    values = {key: value for key, value in trial.values.items() if not key.startswith(hyperband.PREFIX)}
    lines = [
        _title(record, trial),
        f"{_objective(record)} {_score(trial)}",
        *(f"{_name(key)} {_text(value)}" for key, value in values.items()),
    ]
    return "<br>".join(html.escape(line) for line in lines)


def _keys(trials: Iterable[Trial]) -> list[str]:
    """The hyperparameters of all these trials, as they come."""
    keys = dict.fromkeys(key for trial in trials for key in trial.values)
    return [key for key in keys if not key.startswith(hyperband.PREFIX)]


# ---- values and scores


@dataclass(frozen=True)
class _Axis:
    """The values of one hyperparameter, or the scores, as places on a line.

    positions: one for each trial. ticks: the text at a position.
    """

    name: str
    positions: list[float]
    ticks: dict[float, str]

    @property
    def range(self) -> tuple[float, float]:
        places = [*self.positions, *self.ticks]
        low, high = min(places), max(places)
        room = 0.03 * (high - low) or 0.5
        return low - room, high + room


def _axes(trials: list[Trial]) -> list[_Axis]:
    """An axis for each hyperparameter that is not the same in all trials."""
    axes = []
    for key in [*_keys(trials), *([_EPOCHS] if any(_EPOCHS in trial.values for trial in trials) else [])]:
        values = [trial.values.get(key, _INACTIVE) for trial in trials]
        if len({_text(value) for value in values}) > 1:
            axes.append(_axis(_name(key), values, logarithmic=key == "learning_rate"))
    return axes


def _axis(name: str, values: list[Any], *, logarithmic: bool = False) -> _Axis:
    """Numbers lie where they are, or their logarithms; other values side by side, and inactive ones below them all.

    logarithmic: also where the numbers do not span much, see `_wide`.
    """
    active = [value for value in values if value != _INACTIVE]
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in active):
        texts = sorted({_text(value) for value in values}, key=_rank)
        places = {text: float(index) for index, text in enumerate(texts)}
        return _Axis(name, [places[_text(value)] for value in values], {places[text]: text for text in texts})
    place = math.log10 if min(active) > 0 and (logarithmic or _wide(active)) else float
    ticks = _ticks(active, place)
    if len(active) == len(values):
        return _Axis(name, [place(value) for value in values], ticks)
    low, high = min(map(place, active)), max(map(place, active))
    below = low - (0.15 * (high - low) or 1.0)
    return _Axis(
        name,
        [below if value == _INACTIVE else place(value) for value in values],
        {below: _INACTIVE, **ticks},
    )


def _rank(text: str) -> tuple[int, float, str]:
    """Inactive, then numbers by size, then words: KerasTuner has choices such as "balanced" and 10.0 as text."""
    if text == _INACTIVE:
        return 0, 0.0, ""
    try:
        return 1, float(text), text
    except ValueError:
        return 2, 0.0, text


def _wide(values: Sequence[float]) -> bool:
    """Whether they span so much that the small ones would lie on one spot."""
    return min(values) > 0 and max(values) > 20 * min(values)


def _ticks(values: Sequence[float], place: Callable[[float], float]) -> dict[float, str]:
    """The values themselves where they are few and apart, else their ends and round numbers between them."""
    numbers = sorted(set(values))
    low, high = numbers[0], numbers[-1]
    apart = 0.08 * (place(high) - place(low))
    if len(numbers) > 6 or any(place(b) - place(a) < apart for a, b in itertools.pairwise(numbers)):
        inner = _round_decades(low, high) if place is math.log10 else _round_steps(low, high)
        numbers = [low, *(n for n in inner if place(low) + apart < place(n) < place(high) - apart), high]
    return dict(zip(map(place, numbers), _distinct(numbers), strict=True))


def _round_decades(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1,) if high > 1000 * low else (1, 3)
    return [digit * 10.0**decade for decade in decades for digit in digits]


def _round_steps(low: float, high: float) -> list[float]:
    decade = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(digit * decade for digit in (1, 2, 5, 10) if digit * decade >= (high - low) / 4)
    return [count * step for count in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _distinct(numbers: Sequence[float]) -> list[str]:
    """With as many digits as it takes to tell them apart: scores may differ in the sixth."""
    for digits in (4, 6, 9):
        texts = [str(number) if isinstance(number, int) else format(number, f".{digits}g") for number in numbers]
        if len(set(texts)) == len(texts):
            return texts
    return [repr(number) for number in numbers]


def _in_two_lines(name: str) -> str:
    """For Plotly: a long name would lie on its neighbour's, a third line on the axis."""
    lines = textwrap.wrap(name, max(15, len(name) // 2 + 4), break_long_words=False)
    return "<br>".join(html.escape(line) for line in lines)


def _coordinates(record: Record, trials: list[Trial], axes: list[_Axis]) -> Markup:
    """Parallel coordinates: a line for each of the trials, which have scores, over the axes and the score."""
    import plotly.graph_objects as go  # here and below: a run that ends before the report need not load it

    scores = _axis(_objective(record), [trial.score for trial in trials])
    merits = [_merit(record, trial) for trial in trials]
    dimensions = [
        {
            "label": _in_two_lines(axis.name),
            "values": axis.positions,
            "range": axis.range,
            "tickvals": list(axis.ticks),
            "ticktext": list(axis.ticks.values()),
        }
        for axis in (*axes, scores)
    ]
    if not record.greater_is_better:
        dimensions[-1]["range"] = scores.range[::-1]
    worse = float(np.median(merits))
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            # Plotly puts lines of a higher colour on top.
            line={
                "color": merits,
                "colorscale": [[0, GREY], [1, BLUE]],
                "cmin": worse if worse < max(merits) else worse - 1,
                "cmax": max(merits),
            },
            labelfont={"size": 13},
            tickfont={"size": 12},
        )
    )
    return plot(figure, 380, margin={"l": 70, "r": 70, "t": 60, "b": 25})


# ---- importance


@dataclass(frozen=True)
class Importance:
    """What is lost in predicting the score without a hyperparameter.

    rise: of the mean absolute error, in units of the score, by name of the hyperparameter; float [shuffles].
    explained: share of the variance of the scores that the forest explains for trials it has not seen; below 0 where
    the mean of the scores would have been the better guess.
    """

    rise: dict[str, Array]
    explained: float


def importance(trials: list[Trial]) -> Importance:
    """Permutation importance in a random forest, out of bag.

    Each tree is asked about the trials that were not drawn for it, before and after the values of one hyperparameter
    are shuffled among all trials. Breiman, Random Forests, Machine Learning 45 (2001), section 10.

    Args:
      trials: all have a score.
    """
    from sklearn.ensemble import RandomForestRegressor

    axes = _axes(trials)
    values = np.array([axis.positions for axis in axes]).T
    scores = np.array([trial.score for trial in trials])
    forest = RandomForestRegressor(TREES, oob_score=True, random_state=0).fit(values, scores)

    random = np.random.default_rng(0)
    shuffled = np.tile(values, (len(axes), SHUFFLES, 1, 1))  # [hyperparameter, shuffle, trial, hyperparameter]
    for index in range(len(axes)):
        shuffled[index, ..., index] = random.permuted(shuffled[index, ..., index], axis=1)
    questions = np.concatenate([values, shuffled.reshape(-1, len(axes))])

    total = np.zeros((1 + len(axes) * SHUFFLES, len(trials)))
    trees = np.zeros(len(trials))
    for tree, drawn in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        unseen = np.bincount(drawn, minlength=len(trials)) == 0
        total += tree.predict(questions).reshape(total.shape) * unseen
        trees += unseen
    errors = np.abs(total / trees - scores).mean(axis=1)
    rises = (errors[1:] - errors[0]).reshape(len(axes), SHUFFLES)
    return Importance({axis.name: rise for axis, rise in zip(axes, rises, strict=True)}, float(forest.oob_score_))


def _estimated(completed: list[Trial]) -> Importance | None:
    """None where the trials are too few, or all the same."""
    if len(completed) < ENOUGH_FOR_IMPORTANCE:
        return None
    if not _axes(completed) or len({trial.score for trial in completed}) == 1:
        return None
    return importance(completed)


def _trust(estimated: Importance) -> str:
    """One sentence or two on how far the bars are to be believed."""
    if estimated.explained <= 0:
        return "For trials that it has not seen, the forest predicts no better than their mean: do not trust the bars."
    return (
        "A bar at 0 or below it means that no influence was seen. For trials that it has not seen, the forest explains "
        f"{estimated.explained:.0%} of the variance."
    )


def _importance(estimated: Importance) -> Markup:
    import plotly.graph_objects as go

    names = sorted(estimated.rise, key=lambda name: float(estimated.rise[name].mean()))
    figure = go.Figure(
        go.Bar(
            orientation="h",
            x=[float(estimated.rise[name].mean()) for name in names],
            y=[html.escape(name) for name in names],
            error_x={
                "type": "data",
                "array": [float(estimated.rise[name].std(ddof=1)) for name in names],
                "color": GREY,
            },
            marker={"color": BLUE},
            hovertemplate="%{y}: %{x:.4f}<extra></extra>",
        )
    )
    figure.update_yaxes(automargin=True, type="category")
    figure.update_xaxes(title_text="rise of the error", nticks=6)
    return plot(figure, 85 + 30 * len(names), margin={"l": 20, "r": 20, "t": 10, "b": 45}, showlegend=False)


# ---- budget and learning curves


def _best_so_far(record: Record) -> Markup:
    import plotly.graph_objects as go

    trials = sorted(_scored(record), key=lambda trial: trial.ended)
    figure = go.Figure()
    # a stopped trial is in the line only where its values were taken in the end
    counted = [trial for trial in trials if trial.status == "completed" or trial.trial_id == record.best]
    better: Callable[[float, float], float] = max if record.greater_is_better else min
    best = list(itertools.accumulate((trial.score for trial in counted if trial.score is not None), better))
    figure.add_scatter(
        x=[*(trial.ended for trial in counted), trials[-1].ended],
        y=[*best, best[-1]],
        name="best so far",
        mode="lines",
        line={"shape": "hv", "color": BLUE, "width": 2},
        hoverinfo="skip",
    )
    looks = {
        "completed": {"color": GREY, "symbol": "circle", "size": 8},
        "stopped": {"color": GREY, "symbol": "x-thin", "size": 8, "line": {"color": GREY, "width": 2}},
        "failed": {"color": RED, "symbol": "x", "size": 8},
        "config's own values": {"color": ORANGE, "symbol": "diamond", "size": 12},
        "warm start": {"color": GREEN, "symbol": "square", "size": 11},
    }
    for name, look in looks.items():
        shown = [trial for trial in trials if _kind(record, trial) == name]
        if shown:
            figure.add_scatter(
                x=[trial.ended for trial in shown],
                y=[trial.score for trial in shown],
                error_y={
                    "type": "data",
                    "array": [trial.spread or 0.0 for trial in shown],
                    "color": look["color"],
                    "thickness": 1,
                    "width": 0,
                },
                name=name,
                mode="markers",
                marker=look,
                text=[_hover(record, trial) for trial in shown],
                hovertemplate="%{text}<extra></extra>",
            )
    figure.update_xaxes(title_text="seconds since the search began", rangemode="tozero")
    _score_axis(figure, record, [trial.score for trial in trials if trial.score is not None])
    return plot(figure, 360)


def _kind(record: Record, trial: Trial) -> str:
    if trial.trial_id == record.default:
        return "config's own values"
    return "warm start" if trial.trial_id == record.warm_start else trial.status


def _curves(record: Record) -> Markup | None:
    import plotly.graph_objects as go

    figure = go.Figure()
    named = {"best": record.best, "config's own values": record.default, "warm start": record.warm_start}
    groups = {"other trials": [trial for trial in record.trials if trial.trial_id not in named.values()]}
    taken = set()
    for name, trial_id in named.items():
        groups[name] = [trial for trial in record.trials if trial.trial_id == trial_id and trial_id not in taken]
        taken.add(trial_id)
    looks = {
        "other trials": (GREY, 1.0),
        "warm start": (GREEN, 2.0),
        "config's own values": (ORANGE, 2.0),
        "best": (BLUE, 3.5),
    }
    for name, (colour, width) in looks.items():
        points = [
            (epoch, score, html.escape(_title(record, trial)))
            for trial in groups[name]
            for epoch, score in [*enumerate(trial.curve, start=trial.first_epoch + 1), (None, None)]
        ]
        if len(points) > len(groups[name]):
            epochs, scores, texts = zip(*points, strict=True)
            figure.add_scatter(
                x=epochs,
                y=scores,
                text=texts,
                name=name,
                mode="lines+markers",
                connectgaps=False,  # one line for all the others: a gap between two trials
                line={"color": colour, "width": width},
                marker={"size": 3 + width},
                opacity=0.75 if name == "other trials" else 1.0,
                hovertemplate="epoch %{x}: %{y:.4f}<br>%{text}<extra></extra>",
            )
    if not figure.data:
        return None
    epochs_axis(figure, max(trial.first_epoch + len(trial.curve) for trial in record.trials))
    _score_axis(figure, record, [score for trial in record.trials for score in trial.curve])
    return plot(figure, 360)


def _score_axis(figure: go.Figure, record: Record, scores: Sequence[float]) -> None:
    finite = [score for score in scores if math.isfinite(score)]
    wide = not record.greater_is_better and bool(finite) and _wide(finite)
    name = html.escape(_objective(record))
    figure.update_yaxes(title_text=f"{name}, log scale" if wide else name, type="log" if wide else "linear")


# ---- the table


def _has_reasons(record: Record) -> bool:
    return any(trial.reason for trial in record.trials)


def _all_trials(record: Record) -> tuple[list[str], list[list[str]]]:
    """The header and a row for each trial, the best first."""
    keys, reasons = _keys(record.trials), _has_reasons(record)
    header = ["trial", "status", _objective(record), "epochs run", "seconds", *map(_name, keys)]
    rows = [
        [
            ", ".join([trial.trial_id, *_marks(record, trial)]),
            trial.status,
            _score(trial),
            _epochs(trial),
            _seconds(trial.ended - trial.started),
            *(_text(trial.values.get(key, _INACTIVE)) for key in keys),
            *([trial.reason] if reasons else []),
        ]
        for trial in _best_first(record)
    ]
    return [*header, *(["reason"] if reasons else [])], rows


def _epochs(trial: Trial) -> str:
    """How many there were, or which, where the trial went on with an earlier one."""
    last = trial.first_epoch + len(trial.curve)
    return f"{trial.first_epoch + 1} to {last}" if trial.first_epoch and trial.curve else str(len(trial.curve))
