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

from components.evaluation.scores import AMOUNT, CANDIDATE, DECISION, LABEL, PROBABILITY, SCORE, TIME, Place, Scores
from components.evaluation.words import decimals, money, probability
from components.model_folder import read_manifest
from components.report.data import moment
from components.report.page import plot
from components.report.palette import BLUE, GREY, ORANGE, RED
from trainer import examples
from trainer.arrays import Array
from trainer.columns import Columns
from trainer.decision.costs import Costs

MISSED, DECLINED = "missed fraud", "declined customer"
SIGNATURE = "explain"
SHOWN_FEATURES = 5
PLOTTED_FEATURES = 10
_ROWS = 16_384  # read at once
_WHY = "what drove the score"

_STYLE = f"""<style>
.mistakes table {{ width: 100%; }}
.mistakes td, .mistakes th {{ padding: .4rem .5rem; }}
.mistakes .identifier {{ overflow-wrap: anywhere; min-width: 8rem; }}
.mistakes .number {{ text-align: right; white-space: nowrap; }}
.drivers {{ display: grid; grid-template-columns: minmax(3rem, 7rem) minmax(3rem, 5.5rem) minmax(4rem, 1fr) 3rem;
  column-gap: .5rem; font-size: .85rem; line-height: 1.4; align-items: center; }}
.drivers span {{ overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
.drivers .others {{ opacity: .7; grid-column: span 2; }}
.bar {{ position: relative; height: .7rem;
  background: linear-gradient(var(--line), var(--line)) center / 1px 100% no-repeat; }}
.bar i, .key {{ background: {ORANGE}; }}
.bar i {{ position: absolute; top: 0; bottom: 0; left: 50%; }}
.key {{ display: inline-block; width: .7rem; height: .7rem; }}
.bar i.down, .key.down {{ background: {BLUE}; }}
.bar i.down {{ left: auto; right: 50%; }}
@media (max-width: 60rem) {{
  .mistakes thead {{ display: none; }}
  .mistakes table, .mistakes tbody {{ display: block; }}
  .mistakes tr {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); column-gap: .5rem;
    padding: .5rem 0; border-bottom: 1px solid var(--line); }}
  .mistakes td {{ border: 0; padding: .1rem 0; white-space: nowrap; }}
  .mistakes td.number {{ text-align: left; }}
  .mistakes td:is(.number, .identifier)::before {{ content: attr(data-name) " "; font-size: .85rem; opacity: .7; }}
  .mistakes td.why {{ grid-column: 1 / -1; max-width: 34rem; }}
}}
</style>"""


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
    found = {}
    for file, rows in wanted.items():
        start = 0
        for batch in examples.serialized([os.path.join(split, file)], _ROWS):
            end = start + len(batch)
            for row in rows:
                if start <= row < end:
                    found[Place(file, row)] = batch[row - start].numpy()
            start = end
            if start > max(rows):
                break
    return [found[place] for place in places]


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
    explained: Sequence[Attributions] | None,
    named: Sequence[str | None],
    manifest: Mapping[str, Any],
    costs: Costs,
) -> list[str]:
    """What goes below the heading: HTML whose plot wants the plotting library in the page.

    Args:
      mistakes: as of `costly_mistakes`.
      explained: what drove the score of each, as of `attributions`.
      named: what each of the transactions is called, as of `identifiers`.
      manifest: the model's.
      costs: those that the mistakes were found by.
    """
    if not mistakes:
        return [
            "<p>No decision on the test split was a mistake: every fraud that was worth stopping was stopped, and no "
            "customer was declined.</p>"
        ]
    parts = [_STYLE, f"<p>{html.escape(in_words(mistakes, costs))}</p>"]
    if explained is None:
        parts.append("<p>The model has no signature that explains its scores: what drove them is not known.</p>")
    else:
        parts.append(
            f"<p>{html.escape(manifest['explained_by'])} "
            '<span class="key"></span> +1 multiplies the odds of fraud by 2.7, <span class="key down"></span> −1 '
            "divides them by it, and all columns together lead from there to the score; they say what moved this "
            "network, not what makes a fraud, and columns that go together may take each other's part.</p>"
        )
    parts.append(_table(mistakes, explained, named, manifest, costs))
    if explained is not None:
        parts += _strongest(mistakes, explained)
    return parts


def in_words(mistakes: Sequence[Mistake], costs: Costs) -> str:
    """How many of which kind, and what they cost."""
    counts = {kind: sum(mistake.kind == kind for mistake in mistakes) for kind in (MISSED, DECLINED)}
    total = sum(mistake.cost for mistake in mistakes)
    kinds = " and ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items() if count)
    return (
        f"{kinds[0].upper()}{kinds[1:]} on the test split, the most costly first. Together they cost "
        f"{money(total, costs.currency)} more than the right decisions would have."
    )


def thresholds(mistakes: Sequence[Mistake], manifest: Mapping[str, Any], costs: Costs) -> Array:
    """The probability from which each of the transactions would be stopped, float64 [n]."""
    everywhere = np.full(len(mistakes), manifest["threshold"], np.float64)
    if manifest.get("decision", {}).get("by") != "amount":
        return everywhere
    amounts = np.array([mistake.amount for mistake in mistakes])
    return np.where(np.isnan(amounts), everywhere, costs.break_even(amounts))


def _table(
    mistakes: Sequence[Mistake],
    explained: Sequence[Attributions] | None,
    named: Sequence[str | None],
    manifest: Mapping[str, Any],
    costs: Costs,
) -> str:
    columns = Columns.model_validate(manifest["columns"])
    scale = max((abs(share) for row in explained or () for share in row.contributions.values()), default=0.0)
    rows = []
    for number, (mistake, threshold) in enumerate(zip(mistakes, thresholds(mistakes, manifest, costs), strict=True)):
        texts = {f"cost, {costs.currency}": decimals(mistake.cost, 2), "mistake": mistake.kind}
        if columns.id:
            texts["transaction"] = named[number] or "missing"
        if columns.amount:
            texts["amount"] = "missing" if math.isnan(mistake.amount) else decimals(mistake.amount, 2)
        if columns.time:
            texts["time" if columns.time_format == "seconds" else "time, UTC"] = (
                moment(mistake.time, columns.time_format) if math.isfinite(mistake.time) else "time missing"
            )
        texts["probability"] = probability(mistake.probability)
        texts["threshold"] = probability(threshold) if threshold <= 1 else "none"
        cells = {name: html.escape(text) for name, text in texts.items()}
        if explained is not None:
            cells[_WHY] = _bars(explained[number], columns, scale)
        rows.append(cells)

    def kind(name: str) -> str:
        if name == "transaction":
            return "identifier"
        return "why" if name == _WHY else "" if name in ("mistake", "time", "time, UTC") else "number"

    head = "".join(f'<th class="{kind(name)}">{html.escape(name)}</th>' for name in rows[0])
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{kind(name)}" data-name="{html.escape(name)}">{cell}</td>' for name, cell in cells.items()
        )
        + "</tr>"
        for cells in rows
    )
    return f'<div class="mistakes scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _bars(row: Attributions, columns: Columns, scale: float) -> str:
    """The strongest contributions of a row as small bars, and what the others come to."""
    names = row.strongest_first
    shown, others = names[:SHOWN_FEATURES], names[SHOWN_FEATURES:]
    lines = [
        _text(name) + _text(_value(name, row.values[name], columns)) + _bar(row.contributions[name], scale)
        for name in shown
    ]
    if others:
        count = "1 other" if len(others) == 1 else f"{len(others)} others together"
        lines.append(
            f'<span class="others">{count}</span>' + _bar(sum(row.contributions[name] for name in others), scale)
        )
    return f'<div class="drivers">{"".join(lines)}</div>'


def _text(text: str) -> str:
    """Cut short where it is too long; its title is not."""
    escaped = html.escape(text)
    return f'<span title="{escaped}">{escaped}</span>'


def _bar(share: float, scale: float) -> str:
    width = min(50.0, 50 * abs(share) / scale) if scale else 0.0
    down = ' class="down"' if share < 0 else ""
    return (
        f'<span class="bar" aria-hidden="true"><i{down} style="width:{width:.1f}%"></i></span>'
        f'<span class="number">{_signed(share)}</span>'
    )


def _strongest(mistakes: Sequence[Mistake], explained: Sequence[Attributions]) -> list[str]:
    """How far each column moved the scores of either kind of mistake, on average."""
    import plotly.graph_objects as go

    def mean(name: str, kind: str = "") -> float:
        shares = [
            abs(row.contributions[name])
            for mistake, row in zip(mistakes, explained, strict=True)
            if kind in ("", mistake.kind)
        ]
        return sum(shares) / len(shares) if shares else 0.0

    # Plotly's first bar is the lowest
    names = sorted(explained[0].contributions, key=mean)[-PLOTTED_FEATURES:]
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
    return [
        "<h3>Columns that moved these scores the most</h3>",
        plot(figure, 120 + 34 * len(names), legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}, bargap=0.3),
    ]


# ---- words and numbers


def _clock(seconds: float) -> str:
    minutes = int(seconds % 86_400) // 60
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _value(name: str, value: float | int | str | None, columns: Columns) -> str:
    if value is None:
        return "missing"
    if name == columns.time and not isinstance(value, str):
        # the network is told the time of day alone
        return _clock(value / 1000 if columns.time_format == "epoch_ms" else value)
    if isinstance(value, float):
        return _minus(f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}")
    return value if isinstance(value, str) else _minus(str(value))


def _signed(share: float) -> str:
    text = decimals(share, 2)
    return _minus(text) if share < 0 else f"+{text}"


def _minus(number: str) -> str:
    """With a minus as wide as a digit."""
    return number.replace("-", "−")
