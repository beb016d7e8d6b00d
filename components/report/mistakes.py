"""The report's section on the most costly mistakes, and on what drove their scores."""

from __future__ import annotations

import html
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from components.evaluation.scores import AMOUNT, CANDIDATE, DECISION, LABEL, PROBABILITY, SCORE, TIME, Place, Scores
from components.evaluation.words import decimals, money, probability
from components.model_folder import read_manifest
from components.report.data import moment
from components.report.page import plot, render
from components.report.palette import GREY, RED
from trainer import examples
from trainer.arrays import Array
from trainer.columns import Columns
from trainer.decision.costs import Costs

MISSED, DECLINED = "missed fraud", "declined customer"
SIGNATURE = "explain"
SHOWN_FEATURES = 5
PLOTTED_FEATURES = 10
_ROWS = 16_384  # read at once
_MISSING = "missing"


@dataclass(frozen=True)
class Mistake:
    """A fraud that the model let pass or a good customer that it stopped, though the other would have cost less.

    label: 1 is fraud. amount, time: NaN where they are missing; time is in seconds. cost: what the decision cost beyond
    the better one.
    """

    place: Place
    label: int
    amount: float
    time: float
    score: float
    probability: float
    cost: float

    @property
    def kind(self) -> str:
        return MISSED if self.label else DECLINED


@dataclass(frozen=True)
class Attributions:
    """What drove a transaction's score: by raw column the value, None where it is missing, and its contribution."""

    values: Mapping[str, float | int | str | None]
    contributions: Mapping[str, float]

    @property
    def strongest_first(self) -> list[str]:
        return sorted(self.contributions, key=lambda name: -abs(self.contributions[name]))


def costly_mistakes(scores: Scores, costs: Costs, count: int = 20) -> list[Mistake]:
    """The candidate's mistakes on the test split, the most costly first; as many as there are, up to `count`.

    A fraud so small that stopping it would have cost more is none, nor is one that was stopped at too high a cost. A
    transaction counts once, whatever its weight.
    """
    labels = scores.column(LABEL)
    stopped = scores.of(CANDIDATE, DECISION) > 0
    wrong = np.flatnonzero(stopped != (labels > 0))
    unknown = np.full(len(wrong), np.nan, np.float32)
    amounts = scores.column(AMOUNT)[wrong] if AMOUNT in scores else unknown
    times = scores.column(TIME)[wrong] if TIME in scores else unknown
    labels, stopped = labels[wrong], stopped[wrong]
    beyond = costs.of(stopped, labels, amounts) - costs.of(~stopped, labels, amounts)
    worst = [index for index in np.argsort(-beyond, kind="stable")[:count] if beyond[index] > 0]
    of_candidate = {what: scores.of(CANDIDATE, what) for what in (SCORE, PROBABILITY)}
    return [
        Mistake(
            place=scores.place(int(wrong[index])),
            label=int(labels[index] > 0),
            amount=float(amounts[index]),
            time=float(times[index]),
            score=float(of_candidate[SCORE][wrong[index]]),
            probability=float(of_candidate[PROBABILITY][wrong[index]]),
            cost=float(beyond[index]),
        )
        for index in worst
    ]


# ---- what drove their scores


def attributions(serialized: Sequence[bytes], model: str) -> list[Attributions] | None:
    """What drove the scores of those transactions; None where the model cannot explain itself.

    Args:
      serialized: as of `serialized_examples`.
      model: the folder of the SavedModel.
    """
    import tensorflow as tf

    if not serialized:
        return []
    features = read_manifest(model).get("explained_features", [])
    loaded = tf.saved_model.load(model) if features else None
    if loaded is None or SIGNATURE not in loaded.signatures:
        return None
    shares = loaded.signatures[SIGNATURE](tf.constant(serialized))["attributions"].numpy()
    return [
        Attributions(_values(example, features), dict(zip(features, row.tolist(), strict=True)))
        for example, row in zip(serialized, shares, strict=True)
    ]


def serialized_examples(places: Sequence[Place], split: str) -> list[bytes]:
    """The tf.Examples that lie there, each file of the split's folder read once and no further than needed."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for place in places:
        wanted[place.file].add(place.row)
    serialized = {}
    for file, rows in wanted.items():
        start = 0
        for batch in examples.serialized([os.path.join(split, file)], _ROWS):
            end = start + len(batch)
            for row in rows:
                if start <= row < end:
                    serialized[Place(file, row)] = batch[row - start].numpy()
            start = end
            if start > max(rows):
                break
    return [serialized[place] for place in places]


def identifiers(serialized: Sequence[bytes], column: str | None) -> list[str | None]:
    """What each of the transactions is called; None where that is missing, or the data has no such column."""
    if column is None:
        return [None] * len(serialized)
    values = [_values(example, [column])[column] for example in serialized]
    return [None if value is None else str(value) for value in values]


def _values(serialized: bytes, names: Sequence[str]) -> dict[str, float | int | str | None]:
    import tensorflow as tf

    features = tf.train.Example.FromString(serialized).features.feature
    values: dict[str, float | int | str | None] = {}
    for name in names:
        kind = features[name].WhichOneof("kind")
        value = next(iter(getattr(features[name], kind).value), None) if kind else None
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        values[name] = None if value == "" or (isinstance(value, float) and math.isnan(value)) else value
    return values


# ---- the section


def mistakes_section(
    mistakes: Sequence[Mistake],
    attributions_of_each: Sequence[Attributions] | None,
    transaction_ids: Sequence[str | None],
    manifest: Mapping[str, Any],
    costs: Costs,
) -> Markup:
    """What goes below the heading.

    Args:
      mistakes: as of `costly_mistakes`.
      attributions_of_each: what drove the score of each, as of `attributions`.
      transaction_ids: what each of the transactions is called, as of `identifiers`.
      manifest: the model's.
      costs: those that the mistakes were found by.
    """
    return render(
        "mistakes.html",
        sentence=in_words(mistakes, costs) if mistakes else "",
        rows=mistake_rows(mistakes, attributions_of_each, transaction_ids, manifest, costs),
        method=manifest["explained_by"] if attributions_of_each else "",
        plot=_strongest(mistakes, attributions_of_each) if attributions_of_each else None,
    )


def in_words(mistakes: Sequence[Mistake], costs: Costs) -> str:
    """How many of which kind, and what they cost."""
    total = money(sum(mistake.cost for mistake in mistakes), costs.currency)
    if len(mistakes) == 1:
        return (
            f"The most costly mistake on the test split is a {mistakes[0].kind}. It cost {total} more than the right "
            "decision would have."
        )
    counts = {kind: sum(mistake.kind == kind for mistake in mistakes) for kind in (MISSED, DECLINED)}
    kinds = " and ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items() if count)
    return (
        f"The {len(mistakes)} most costly mistakes on the test split are {kinds}. Together they cost {total} more than "
        "the right decisions would have."
    )


def thresholds(mistakes: Sequence[Mistake], manifest: Mapping[str, Any], costs: Costs) -> Array:
    """The probability from which each of the transactions would be stopped, float64 [n]."""
    everywhere = np.full(len(mistakes), manifest["threshold"], np.float64)
    if manifest.get("decision", {}).get("by") != "amount":
        return everywhere
    amounts = np.array([mistake.amount for mistake in mistakes])
    return np.where(np.isnan(amounts), everywhere, costs.break_even(amounts))


@dataclass(frozen=True)
class Cell:
    """A cell below the heading `name`; kind: number, id, time or what."""

    name: str
    text: str
    kind: str


@dataclass(frozen=True)
class ShownAttribution:
    """What a column added to a score.

    width: of its bar, in percent of the room. down: whether it spoke against fraud.
    """

    name: str
    value: str
    share: str
    width: float
    down: bool


@dataclass(frozen=True)
class MistakeRow:
    """A mistake in the table.

    attributions: the strongest ones. others: all other columns together; None where there are none.
    """

    cells: list[Cell]
    attributions: list[ShownAttribution]
    others: ShownAttribution | None


def mistake_rows(
    mistakes: Sequence[Mistake],
    attributions_of_each: Sequence[Attributions] | None,
    transaction_ids: Sequence[str | None],
    manifest: Mapping[str, Any],
    costs: Costs,
) -> list[MistakeRow]:
    """As of `mistakes_section`, in their order."""
    columns = Columns.model_validate(manifest["columns"])
    largest = max(
        (abs(share) for row in attributions_of_each or () for share in row.contributions.values()), default=0.0
    )
    rows = []
    for index, (mistake, threshold) in enumerate(zip(mistakes, thresholds(mistakes, manifest, costs), strict=True)):
        cells = [
            Cell(f"cost, {costs.currency}", decimals(mistake.cost, 2), "number"),
            Cell("mistake", mistake.kind, "what"),
            *([Cell(columns.id, transaction_ids[index] or _MISSING, "id")] if columns.id else []),
            *([Cell("amount", _amount(mistake.amount), "number")] if columns.amount else []),
            *([_time_cell(mistake.time, columns)] if columns.time else []),
            Cell("probability", probability(mistake.probability), "number"),
            Cell("threshold", probability(threshold) if threshold <= 1 else "none", "number"),
        ]
        strongest, others = (
            ([], None)
            if attributions_of_each is None
            else _strongest_attributions(attributions_of_each[index], columns, largest)
        )
        rows.append(MistakeRow(cells, strongest, others))
    return rows


def _amount(amount: float) -> str:
    return _MISSING if math.isnan(amount) else decimals(amount, 2)


def _time_cell(seconds: float, columns: Columns) -> Cell:
    name = "time" if columns.time_kind == "seconds" else "time, UTC"
    return Cell(name, moment(seconds, columns.time_kind) if math.isfinite(seconds) else _MISSING, "time")


def _strongest_attributions(
    row: Attributions, columns: Columns, largest: float
) -> tuple[list[ShownAttribution], ShownAttribution | None]:
    """The strongest contributions of a row, and what the others come to.

    largest: of all contributions, which takes half of the room.
    """

    def shown_attribution(name: str, value: str, share: float) -> ShownAttribution:
        return ShownAttribution(
            name, value, _signed(share), min(50.0, 50 * abs(share) / largest) if largest else 0.0, share < 0
        )

    names = row.strongest_first
    shown, others = names[:SHOWN_FEATURES], names[SHOWN_FEATURES:]
    strongest = [
        shown_attribution(name, _value(name, row.values[name], columns), row.contributions[name]) for name in shown
    ]
    if not others:
        return strongest, None
    count = "1 other" if len(others) == 1 else f"{len(others)} others together"
    return strongest, shown_attribution(count, "", sum(row.contributions[name] for name in others))


def _strongest(mistakes: Sequence[Mistake], attributions_of_each: Sequence[Attributions]) -> Markup:
    """How far each column moved the scores of either kind of mistake, on average."""
    import plotly.graph_objects as go

    def mean(name: str, kind: str = "") -> float:
        shares = [
            abs(row.contributions[name])
            for mistake, row in zip(mistakes, attributions_of_each, strict=True)
            if kind in ("", mistake.kind)
        ]
        return sum(shares) / len(shares) if shares else 0.0

    # Plotly's first bar is the lowest
    names = sorted(attributions_of_each[0].contributions, key=mean)[-PLOTTED_FEATURES:]
    figure = go.Figure()
    # the legend lists them in turn, bars stand upwards: so the last is the uppermost
    for kind, colour in ((DECLINED, GREY), (MISSED, RED)):
        count = sum(mistake.kind == kind for mistake in mistakes)
        if count:
            figure.add_bar(
                x=[mean(name, kind) for name in names],
                y=[html.escape(name) for name in names],
                name=f"{kind}s ({count})",
                orientation="h",
                marker={"color": colour, "line": {"width": 0}},
                hovertemplate="%{y}: %{x:.2f}<extra>" + kind + "s</extra>",
            )
    figure.update_xaxes(title_text="mean absolute contribution")
    figure.update_yaxes(type="category", automargin=True)
    figure.update_layout(showlegend=True)
    return plot(figure, 120 + 34 * len(names), bargap=0.3)


# ---- words and numbers


def _clock(seconds: float) -> str:
    minutes = int(seconds % 86_400) // 60
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _value(name: str, value: float | int | str | None, columns: Columns) -> str:
    if value is None:
        return _MISSING
    if name == columns.time and not isinstance(value, str):
        # the network is told the time of day alone
        return _clock(value / 1000 if columns.time_kind == "epoch_ms" else value)
    if isinstance(value, float):
        return _minus(f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}")
    return value if isinstance(value, str) else _minus(str(value))


def _signed(share: float) -> str:
    text = decimals(share, 2)
    return _minus(text) if share < 0 else f"+{text}"


def _minus(number: str) -> str:
    """With a minus as wide as a digit."""
    return number.replace("-", "−")
