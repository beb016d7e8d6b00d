"""The report's section on the data: splits, anomalies, drift, missing values and new categories."""

from __future__ import annotations

import datetime
import html
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import Artifact, artifact_utils

from components.data_gate import Finding
from components.evaluation.scores import DAY_SECONDS
from components.evaluation.words import decimals, percent
from components.reading.settings import SPLITS
from components.report.drift import MUCH, SOME, ColumnDrift, Measured, Statistics, by_name, measured, values_counted
from components.report.page import table
from components.report.palette import BLUE, GREY
from trainer.columns import Columns

SHOWN = 15  # rows of a table; the others are folded away
_FEW = 5
_LONG = 18  # characters of a name; longer ones are broken

_STYLE = f"""<style>
.data td, .data th {{ padding: .25rem .6rem; vertical-align: middle; white-space: nowrap; }}
.data th {{ white-space: normal; vertical-align: bottom; }}
.data + details, details + details {{ margin-top: .4rem; }}
.data .over {{ font-weight: 600; }}
.data .long {{ white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }}
.data svg {{ display: block; }}
.data .before, .key.before {{ fill: {GREY}; background: {GREY}; opacity: .45; }}
.data .after, .key.after {{ fill: {BLUE}; background: {BLUE}; }}
.key {{ display: inline-block; width: .7rem; height: .7rem; }}
</style>"""


def load(statistics: Artifact, schema: Artifact) -> tuple[Statistics, schema_pb2.Schema]:
    """What StatisticsGen and the schema's component left."""
    return (
        {
            split: tfdv.load_stats_binary(
                os.path.join(artifact_utils.get_split_uri([statistics], split), "FeatureStats.pb")
            )
            for split in SPLITS
        },
        tfdv.load_schema_text(os.path.join(schema.uri, "schema.pbtxt")),
    )


def data_section(
    splits: Sequence[Mapping[str, Any]],
    manifest: Mapping[str, Any],
    findings: Sequence[Finding],
    statistics: Statistics,
    schema: schema_pb2.Schema,
    moved: Mapping[str, Mapping[str, ColumnDrift]],
) -> list[str]:
    """What goes below the heading, as HTML.

    Args:
      splits: a `SplitSummary` as JSON for each.
      manifest: the model's, for the roles of the columns and what it says of its data.
      moved: of `drift.moves`, by column and split.
    """
    columns = Columns.model_validate(manifest["columns"])
    return [
        _STYLE,
        *splits_part(splits, manifest["data"], columns),
        "<h3>Checks</h3>",
        *checks_part(findings),
        "<h3>Drift</h3>",
        *drift_part(moved, measured(statistics, schema), _provisos(splits, manifest["data"], columns)),
        "<h3>Missing values</h3>",
        *missing_part(statistics, columns),
        *(["<h3>New categories</h3>", *categories_part(statistics, columns)] if columns.categorical else []),
    ]


def compared(columns: Columns) -> list[str]:
    """The columns that may drift: all that the model reads, but for the time."""
    return [column for column in columns.inputs if column != columns.time]


# ---- splits


def splits_part(splits: Sequence[Mapping[str, Any]], data: Mapping[str, Any], columns: Columns) -> list[str]:
    """The splits as a table, and how they came to be."""
    rates = data["sampling_rates"]
    sampled = rates["fraud"] != 1 or rates["legitimate"] != 1
    timed = all(split.get("first") is not None for split in splits)
    header = ["split", "transactions", "frauds", "share of fraud"]
    header += ["stand for", "share of fraud in those"] if sampled else []
    header += ["from", "to"] if timed else []
    rows = []
    for split in splits:
        row = [split["name"], f"{split['rows']:,}", f"{split['frauds']:,}", share(split["frauds"] / split["rows"])]
        if sampled:
            frauds = split["frauds"] / rates["fraud"]
            all_of_them = frauds + (split["rows"] - split["frauds"]) / rates["legitimate"]
            row += [f"{all_of_them:,.0f}", share(frauds / all_of_them)]
        if timed:
            row += [moment(split["first"], columns.time_format), moment(split["last"], columns.time_format)]
        rows.append(row)
    sentences = [how_split(data["split"]), sampling(rates)]
    if timed:
        first, last = min(split["first"] for split in splits), max(split["last"] for split in splits)
        sentences.append(f"The data covers {duration(last - first)}.")
    return [f"<p>{html.escape(' '.join(sentences))}</p>", _unbroken(table(header, rows))]


def share(value: float) -> str:
    """Of fraud: 0.173 %."""
    return f"{100 * value:.3f} %"


def how_split(split: Mapping[str, Any]) -> str:
    """One sentence."""
    shares = " / ".join(f"{100 * split[name]:.4g}" for name in SPLITS)
    if split["by"] == "time":
        return (
            f"Split by time into {shares} % for {', '.join(SPLITS)}: no transaction of a later split is earlier than "
            "one of an earlier split."
        )
    return (
        f"Split at random, by a hash with seed {split['seed']}, into {shares} % for {', '.join(SPLITS)}; equal "
        "transactions are in the same split."
    )


def sampling(rates: Mapping[str, float]) -> str:
    """One sentence on what the data holds of all there was."""
    if rates["fraud"] == rates["legitimate"] == 1:
        return "The data is said to hold all transactions; each counts once."
    return (
        f"The data holds {percent(rates['fraud'])} of the frauds and {percent(rates['legitimate'])} of the legitimate "
        f"transactions: a fraud stands for {1 / rates['fraud']:.4g} of them, a legitimate one for "
        f"{1 / rates['legitimate']:.4g}."
    )


def moment(seconds: float, time_format: str) -> str:
    """A time for people: a date in UTC, or the day and time since the data's own start."""
    if time_format == "seconds":
        day, rest = divmod(int(seconds), DAY_SECONDS)
        return f"day {day + 1}, {rest // 3600:02}:{rest % 3600 // 60:02}"
    try:
        return f"{datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc):%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):
        return f"{seconds:,.0f} s"


def duration(seconds: float) -> str:
    """Days, hours or minutes."""
    for length, name in ((DAY_SECONDS, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * length or name == "minutes":
            return f"{seconds / length:,.1f} {name}"
    raise AssertionError("unreachable")


# ---- checks


def checks_part(findings: Sequence[Finding]) -> list[str]:
    """What DataGate found, by way of TFDV; many of one kind are folded away."""
    if not findings:
        return ["<p>No anomaly, and no drift beyond the schema's limits.</p>"]
    rows = [[finding.split, finding.column, finding.problem, finding.details] for finding in findings]
    shown = table(["split", "column", "finding", "details"], rows)
    anomalies = sum(finding.stops for finding in findings)
    drifted = len({finding.column for finding in findings if not finding.stops})
    told = " and ".join(
        [
            *([number_of(anomalies, "anomaly")] if anomalies else []),
            *([f"drift beyond the schema's limits in {number_of(drifted, 'column')}"] if drifted else []),
        ]
    )
    return [
        f"<p>{html.escape(told[0].upper() + told[1:])}.</p>",
        shown if len(rows) <= _FEW else f"<details><summary>What TFDV says of each</summary>{shown}</details>",
    ]


def _folded(header: Sequence[str], rows: Sequence[Sequence[object]], what: str) -> list[str]:
    """The first rows, and all of them where there are more, one click away."""
    if len(rows) <= SHOWN + 3:
        return [_unbroken(table(header, rows))]
    everything = f"<details><summary>All {len(rows):,} {what}</summary>{table(header, rows)}</details>"
    return [_unbroken(table(header, rows[:SHOWN])), everything]


def _unbroken(table_html: str) -> str:
    """A narrow screen scrolls it, rather than break its cells."""
    return f'<div class="data">{table_html}</div>'


def number_of(count: int, noun: str) -> str:
    """1 anomaly, 2 anomalies."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


# ---- drift

_MEASURE = f"""<details><summary>How this is measured</summary><p>By the Jensen-Shannon divergence from the training
split, in bits: 0 is the same distribution, 1 is one that has no value in common. It is taken from TFDV's histograms,
without the rows: over tenths of the training split, single values where there are few, and the values of a category;
missing ones do not count. {SOME:.3f} and {MUCH:.3f} are where a population
stability index would be 0.1 and 0.25, from which scorecard teams speak of some and of much change (Siddiqi, Credit Risk
Scorecards, 2006); less than twice of what two samples of one distribution differ by on average counts as little.</p>
<p>What DataGate compares with the schema's limits is TFDV's own figure, as the schema asks for it. For numbers that is
by default a divergence over ten buckets of equal width. A single large value stretches them all, so that it can be high
for a column that has hardly moved, and low for one that has.</p></details>"""


def ranked(moved: Mapping[str, Mapping[str, ColumnDrift]]) -> list[tuple[str, float]]:
    """Columns with the larger of their divergences, the furthest first."""
    furthest = {
        column: max(move.divergence for move in by_split.values()) for column, by_split in moved.items() if by_split
    }
    return sorted(furthest.items(), key=lambda item: -item[1])


def _provisos(splits: Sequence[Mapping[str, Any]], data: Mapping[str, Any], columns: Columns) -> list[str]:
    """What is to be kept in mind of drift between these splits."""
    if data["split"]["by"] != "time" or not columns.time:
        return []
    lengths = [split["last"] - split["first"] for split in splits if split["name"] != "train"]
    provisos = [f"The time itself ({columns.time}) is left out, since the splits are by it."]
    if min(lengths) < DAY_SECONDS:
        covered = " and ".join(duration(length) for length in lengths)
        provisos.append(f"Eval and test cover {covered}: in part, what moved is the hour of the day.")
    return provisos


def drift_part(
    moved: Mapping[str, Mapping[str, ColumnDrift]],
    limits: Mapping[str, Mapping[str, Measured]],
    provisos: Sequence[str] = (),
) -> list[str]:
    """What moved most, whether it matters, and a table of the columns that moved furthest."""
    order = ranked(moved)
    if not order:
        return ["<p>No column has values in the training split and in a later one.</p>"]
    header = ["column", "divergence on eval", "on test", "train and test", "largest change of share, train → test"]
    header += ["DataGate's figure, of its limit"] if limits else []
    shown = [_drift_row(column, moved[column], limits.get(column, {}), bool(limits)) for column, _ in order[:SHOWN]]
    parts = [
        *(f"<p>{html.escape(sentence)}</p>" for sentence in in_words(moved, limits, provisos)),
        '<p><span class="key before"></span> train, <span class="key after"></span> test: shares of the '
        "transactions in tenths of the training split, from its least to its greatest values; for a category, in its "
        "most frequent values and the others.</p>",
        _html_table(header, shown),
    ]
    if len(order) > SHOWN:
        plain = [
            [column, *(_divergence(moved[column].get(split)) for split in SPLITS[1:]), _gate(limits.get(column, {}))]
            for column, _ in order
        ]
        names = ["column", "divergence on eval", "on test", *(["DataGate's figure, of its limit"] if limits else [])]
        parts.append(
            f"<details><summary>All {len(order):,} columns</summary>"
            f"{table(names, [row[: len(names)] for row in plain])}</details>"
        )
    return [*parts, _MEASURE]


def in_words(
    moved: Mapping[str, Mapping[str, ColumnDrift]],
    limits: Mapping[str, Mapping[str, Measured]],
    provisos: Sequence[str] = (),
) -> list[str]:
    """Two paragraphs: what moved most and how many columns did; whether that matters."""
    order = ranked(moved)
    column, _ = order[0]
    split, move = max(moved[column].items(), key=lambda item: item[1].divergence)
    sizes = Counter(
        max(by_split.values(), key=lambda move: move.divergence).size for by_split in moved.values() if by_split
    )
    counted = [f"{sizes[size]:,} moved {how}" for size, how in _HOW.items() if sizes[size]]
    return [
        " ".join(
            [
                f"{column} moved most: {_HOW[move.size]}, with a divergence of {decimals(move.divergence)} on {split}.",
                *([change(move, split)] if move.where else []),
                f"Of {number_of(len(order), 'column')}, {', '.join(counted)}.",
                *provisos,
            ]
        ),
        f"{_gate_in_words(limits)} {_matters(sizes)}",
    ]


_HOW = {"much": "much", "some": "somewhat", "little": "little"}


def change(move: ColumnDrift, split: str) -> str:
    """One sentence on the values whose share changed most."""
    values = f"values {move.where}" if move.where.startswith("up to ") else f"the value {move.where}"
    return f"{percent(move.before)} of the training transactions have {values}, and {percent(move.after)} on {split}."


def _gate_in_words(limits: Mapping[str, Mapping[str, Measured]]) -> str:
    if not limits:
        return "The schema sets no limits to drift (drift_comparator), so DataGate warns of none."
    over = [column for column, by_split in limits.items() if not all(measure.passed for measure in by_split.values())]
    if not over:
        return f"No column is beyond the schema's limit, by DataGate's figure; {len(limits):,} have one."
    named = ", ".join(over[:5]) + (f" and {len(over) - 5:,} more" if len(over) > 5 else "")
    return f"Beyond the schema's limits, by DataGate's figure: {named}."


def _matters(sizes: Mapping[str, int]) -> str:
    if not sizes["much"] and not sizes["some"]:
        return "So the model is tested on transactions much like those it has learned from."
    return (
        "The figures on test are measured on the columns as they have moved, so what that costs is in them; if they "
        "move on, the figures will not hold."
    )


def _drift_row(
    column: str, by_split: Mapping[str, ColumnDrift], limits: Mapping[str, Measured], gated: bool
) -> list[str]:
    test = by_split.get(SPLITS[-1])
    name = ' class="long"' if len(column) > _LONG else ""
    cells = [f"<td{name}>{html.escape(column)}</td>"]
    for split in SPLITS[1:]:
        move = by_split.get(split)
        cells.append(_number_cell(_divergence(move), over=move is not None and move.size != "little"))
    if test is None:
        cells.append("<td></td><td></td>")
    else:
        told = f"{test.where}: {percent(test.before)} → {percent(test.after)}" if test.where else ""
        cells.append(f"<td>{_bars(test)}</td><td>{html.escape(told)}</td>")
    if gated:
        cells.append(_number_cell(_gate(limits), over=not all(measure.passed for measure in limits.values())))
    return cells


def _number_cell(text: str, *, over: bool) -> str:
    return f'<td class="over">{html.escape(text)}</td>' if over else f"<td>{html.escape(text)}</td>"


def _divergence(move: ColumnDrift | None) -> str:
    return "–" if move is None else decimals(move.divergence)


def _gate(limits: Mapping[str, Measured]) -> str:
    """The figure of the split that is nearest to its limit, or furthest beyond it."""
    if not limits:
        return "–"
    worst = max(limits.values(), key=lambda measure: measure.value - measure.limit)
    return f"{decimals(worst.value, 2)} of {worst.limit:.3g}" + ("" if worst.passed else ", beyond it")


_WIDTH, _HEIGHT = 140, 34  # pixels


def _bars(move: ColumnDrift) -> str:
    """Both distributions as a picture: wide bars before, narrow ones after."""
    top = max(max(pair) for pair in move.bars) or 1.0
    step = _WIDTH / len(move.bars)
    rectangles = []
    for index, pair in enumerate(move.bars):
        for share, kind, width in zip(pair, ("before", "after"), (0.86, 0.4), strict=True):
            height = _HEIGHT * share / top
            rectangles.append(
                f'<rect class="{kind}" x="{index * step + step * (1 - width) / 2:.1f}" y="{_HEIGHT - height:.1f}" '
                f'width="{step * width:.1f}" height="{height:.1f}"/>'
            )
    told = ", ".join(f"{before:.0%} → {after:.0%}" for before, after in move.bars)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img">'
        f"<title>{told}</title>{''.join(rectangles)}</svg>"
    )


def _html_table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """As `table`, of cells that are HTML already."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return f'<div class="scroll data"><table><tr>{head}</tr>{body}</table></div>'


# ---- missing values and new categories


def missing_shares(statistics: Statistics, columns: Columns) -> dict[str, dict[str, float]]:
    """The share of each split's transactions that lack the column, of columns that some transaction lacks."""
    features = {split: by_name(statistics[split]) for split in SPLITS}
    found = {}
    for column in columns.inputs:
        shares = {split: _missing(features[split].get(column)) for split in SPLITS}
        if any(shares.values()):
            found[column] = shares
    return found


def _missing(feature: Any) -> float:
    if feature is None:
        return 1.0
    common = getattr(feature, feature.WhichOneof("stats")).common_stats
    rows = common.num_missing + common.num_non_missing
    return common.num_missing / rows if rows else 1.0


def missing_part(statistics: Statistics, columns: Columns) -> list[str]:
    """Where values are missing, the largest changes first."""
    shares = missing_shares(statistics, columns)
    if not shares:
        return [f"<p>None in any of the {number_of(len(columns.inputs), 'column')}.</p>"]

    def changed(column: str) -> float:
        return max(abs(shares[column][split] - shares[column]["train"]) for split in SPLITS[1:])

    order = sorted(shares, key=lambda column: (-changed(column), -max(shares[column].values())))
    most = shares[order[0]]
    furthest = max((most[split] for split in SPLITS[1:]), key=lambda share: abs(share - most["train"]))
    words = (
        f"Of {number_of(len(columns.inputs), 'column')}, {len(shares):,} lack values somewhere. The share changes most "
        f"in {order[0]}, from {percent(most['train'])} in train to {percent(furthest)}."
    )
    rows = [[column, *(percent(shares[column][split]) for split in SPLITS)] for column in order]
    return [f"<p>{html.escape(words)}</p>", *_folded(["column", *SPLITS], rows, "columns with missing values")]


def new_categories(statistics: Statistics, columns: Columns) -> dict[str, dict[str, tuple[int, float]]]:
    """Values that the training split does not have: how many in eval and test, and their share of the transactions.

    Of text columns whose values TFDV counts one by one in the training split; of those whose values are integers it
    takes them for numbers.
    """
    features = {split: by_name(statistics[split]) for split in SPLITS}
    found: dict[str, dict[str, tuple[int, float]]] = {}
    for column in columns.categorical:
        known = features["train"].get(column)
        known_values = values_counted(known) if known is not None and known.HasField("string_stats") else None
        if known_values is None:
            continue
        found[column] = {}
        for split in SPLITS[1:]:
            later = features[split].get(column)
            if later is None or not later.HasField("string_stats"):
                continue
            counts = {bucket.label: bucket.sample_count for bucket in later.string_stats.rank_histogram.buckets}
            new = [count for value, count in counts.items() if value not in known_values]
            total = later.string_stats.common_stats.tot_num_values
            found[column][split] = (len(new), sum(new) / total if total else 0.0)
    return found


def categories_part(statistics: Statistics, columns: Columns) -> list[str]:
    """Values of categories that came after the training split, the largest shares first."""
    new = new_categories(statistics, columns)
    left_out = sorted(set(columns.categorical) - set(new))
    parts = []
    having = {column: by_split for column, by_split in new.items() if any(count for count, _ in by_split.values())}
    if having:
        order = sorted(having, key=lambda column: -max(share for _, share in having[column].values()))
        rows = [
            [column, *(f"{count:,} ({percent(share)})" for count, share in having[column].values())] for column in order
        ]
        parts += [
            "<p>How many values the training split does not have, and the share of the transactions that have one: "
            "the model knows them only as “another value”.</p>",
            *_folded(["column", "new on eval", "new on test"], rows, "columns with new values"),
        ]
    elif new:
        parts.append(f"<p>None in {number_of(len(new), 'column')}.</p>")
    if left_out:
        named = ", ".join(left_out[:10]) + (f" and {len(left_out) - 10:,} more" if len(left_out) > 10 else "")
        parts.append(
            f"<p>Not counted: {html.escape(named)}, of integers or of more values than TFDV keeps one by one.</p>"
        )
    return parts
