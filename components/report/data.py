"""The report's section on the data: splits, anomalies, drift, missing values and new categories."""

from __future__ import annotations

import datetime
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow_data_validation as tfdv
from markupsafe import Markup
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import Artifact, artifact_utils

from components.evaluation.words import decimals, duration, percent
from components.findings import Finding
from components.reading.settings import SPLITS
from components.report.drift import (
    MUCH,
    SOME,
    ColumnDrift,
    DriftMeasurement,
    Statistics,
    by_name,
    measured,
    values_counted,
)
from components.report.page import render
from trainer.columns import SECONDS_A_DAY, Columns

SHOWN = 15  # rows of a table; the others are folded away
_FEW = 5
_NONE = "–"


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
    drift_by_column: Mapping[str, Mapping[str, ColumnDrift]],
) -> Markup:
    """What goes below the heading.

    Args:
      splits: a `SplitSummary` as JSON for each.
      manifest: the model's, for the roles of the columns and what it says of its data.
      drift_by_column: of `drift.moves`, by column and split.
    """
    columns, facts = Columns.model_validate(manifest["columns"]), manifest["data"]
    limits = measured(statistics, schema)
    return render(
        "data.html",
        shown=SHOWN,
        splits=split_values(splits, facts, columns),
        checks=check_values(findings, columns),
        sentences=drift_in_words(drift_by_column, limits, _provisos(splits, facts, columns))
        if ranked(drift_by_column)
        else [],
        drift=[
            drift_row(column, drift_by_column[column], limits.get(column, {})) for column, _ in ranked(drift_by_column)
        ],
        gated=bool(limits),
        plain=_plain(drift_by_column, limits),
        some=SOME,
        much=MUCH,
        missing=missing_values(statistics, columns),
        new=new_values(statistics, columns),
    )


def compared(columns: Columns) -> list[str]:
    """The columns that may drift: all that the model reads, but for the time."""
    return [column for column in columns.inputs if column != columns.time]


def number_of(count: int, noun: str) -> str:
    """1 anomaly, 2 anomalies."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def _joined(names: Sequence[str], most: int) -> str:
    """ "a, b and 3 more"."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


# ---- splits


def split_values(splits: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """The splits as a table, and in sentences how they came to be.

    facts: what the manifest says of the data.
    """
    rates = facts["sampling_rates"]
    sampled = rates["fraud"] != 1 or rates["legitimate"] != 1
    timed = all(split.get("first") is not None for split in splits)
    header = ["split", "transactions", "frauds", "share of fraud"]
    header += ["stand for", "share of fraud in those"] if sampled else []
    align = "l" + "r" * (len(header) - 1) + "l"
    header += ["from", "to"] if timed else []
    rows = []
    for split in splits:
        row = [split["name"], f"{split['rows']:,}", f"{split['frauds']:,}", share(split["frauds"] / split["rows"])]
        if sampled:
            frauds = split["frauds"] / rates["fraud"]
            all_of_them = frauds + (split["rows"] - split["frauds"]) / rates["legitimate"]
            row += [f"{all_of_them:,.0f}", share(frauds / all_of_them)]
        if timed:
            row += [moment(split["first"], columns.time_kind), moment(split["last"], columns.time_kind)]
        rows.append(row)
    sentences = [how_split(facts["split"]), sampling(rates)]
    if timed:
        first, last = min(split["first"] for split in splits), max(split["last"] for split in splits)
        sentences.append(f"The data covers {duration(last - first)}.")
    return {"header": header, "rows": rows, "align": align, "sentences": sentences}


def share(value: float) -> str:
    """Of fraud: 0.173 %."""
    return f"{100 * value:.3f} %"


def how_split(split: Mapping[str, Any]) -> str:
    """One sentence or two."""
    train, evaluation, test = (f"{100 * split[name]:.4g} %" for name in SPLITS)
    if split["by"] == "time":
        return (
            f"Split by time: the first {train} of the transactions are train, the next {evaluation} eval and the last "
            f"{test} test."
        )
    return (
        f"Split at random, by a hash with seed {split['seed']}: {train} of the transactions are train, {evaluation} "
        f"eval and {test} test. Equal transactions are in the same split."
    )


def sampling(rates: Mapping[str, float]) -> str:
    """One sentence or two on what the data holds of all there was."""
    if rates["fraud"] == rates["legitimate"] == 1:
        return "Each transaction of the data counts once: no data card says that it is a sample."
    fraud, legitimate = (
        "once" if rate == 1 else f"{1 / rate:.4g} times" for rate in (rates["fraud"], rates["legitimate"])
    )
    return (
        f"The data is a sample of {percent(rates['fraud'])} of the frauds and {percent(rates['legitimate'])} of the "
        f"legitimate transactions, so a fraud counts {fraud} and a legitimate transaction {legitimate}."
    )


def moment(seconds: float, time_kind: str) -> str:
    """A time for people: a date in UTC, or the day and time since the data's own start."""
    if time_kind == "seconds":
        day, rest = divmod(int(seconds), SECONDS_A_DAY)
        return f"day {day + 1}, {rest // 3600:02}:{rest % 3600 // 60:02}"
    try:
        return f"{datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc):%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):
        return f"{seconds:,.0f} s"


# ---- checks


def check_values(findings: Sequence[Finding], columns: Columns) -> dict[str, Any]:
    """What DataGate found in a sentence and as a table, what stops the run first; many rows are folded away."""
    rows = [
        [
            "stops the run" if finding.stops else "warning",
            finding.split,
            finding.column,
            finding.problem,
            finding.details,
        ]
        for finding in sorted(findings, key=lambda finding: not finding.stops)
    ]
    return {
        "sentence": checks_in_words(findings, columns),
        "header": ["", "split", "column", "finding", "details"],
        "rows": rows,
        "folded": len(rows) > _FEW,
    }


def checks_in_words(findings: Sequence[Finding], columns: Columns) -> str:
    """How many anomalies, drifting and telling columns there are, and that nothing checks the id."""
    anomalies = sum(finding.stops for finding in findings)
    drifted = len({finding.column for finding in findings if finding.kind == "drift"})
    empty = len({finding.column for finding in findings if finding.kind == "empty column"})
    telling = sorted({finding.column for finding in findings if finding.kind == "leakage"})
    repeated = [finding.split for finding in findings if finding.kind == "repeated rows"]
    tell = "tells" if len(telling) == 1 else "tell"
    counts = [
        *([number_of(anomalies, "anomaly")] if anomalies else []),
        *([f"drift beyond the schema's limits in {number_of(drifted, 'column')}"] if drifted else []),
        *([f"{number_of(empty, 'column')} without a value in a whole split"] if empty else []),
        *([f"{number_of(len(telling), 'column')} that alone {tell} much of the label"] if telling else []),
        *([f"rows of {' and '.join(repeated)} that stand in train as well"] if repeated else []),
    ]
    carried = ", ".join(columns.carried)
    unchecked = (
        f" Not checked, because it is carried along and the model does not read it: {carried}." if carried else ""
    )
    if not counts:
        return f"DataGate found no anomaly, no leak, and no drift beyond the schema's limits.{unchecked}"
    listed = " and ".join([", ".join(counts[:-1]), counts[-1]]) if len(counts) > 1 else counts[0]
    return f"DataGate found {listed}.{unchecked}"


# ---- drift


@dataclass(frozen=True)
class Judged:
    """A figure as text, and whether it is beyond what counts as little."""

    text: str
    over: bool


@dataclass(frozen=True)
class Bar:
    """A bar of a picture that is 1 wide and 1 high; kind: before, in train, or after, in the later split."""

    kind: str
    left: float
    width: float
    height: float


@dataclass(frozen=True)
class DriftRow:
    """How far a column moved.

    divergences: on eval and on test. bars: both distributions; the wide ones are of train, the narrow ones of test.
    change: the values whose share changed most. gate: DataGate's figure.
    """

    column: str
    divergences: list[Judged]
    bars: list[Bar]
    bars_in_words: str
    change: str
    gate: Judged


def ranked(drift_by_column: Mapping[str, Mapping[str, ColumnDrift]]) -> list[tuple[str, float]]:
    """Columns with the larger of their divergences, the furthest first."""
    furthest = {
        column: max(move.divergence for move in by_split.values())
        for column, by_split in drift_by_column.items()
        if by_split
    }
    return sorted(furthest.items(), key=lambda item: -item[1])


def drift_row(column: str, by_split: Mapping[str, ColumnDrift], limits: Mapping[str, DriftMeasurement]) -> DriftRow:
    """What the table of drift shows of a column.

    Args:
      by_split: of `drift.moves`.
      limits: of `drift.measured`.
    """
    test = by_split.get(SPLITS[-1])
    return DriftRow(
        column=column,
        divergences=[_divergence(by_split.get(split)) for split in SPLITS[1:]],
        bars=[] if test is None else _bars(test),
        bars_in_words="" if test is None else ", ".join(f"{before:.0%} → {after:.0%}" for before, after in test.bars),
        change=f"{test.where}: {percent(test.before)} → {percent(test.after)}" if test and test.where else "",
        gate=_gate(limits),
    )


def _divergence(move: ColumnDrift | None) -> Judged:
    return Judged(_NONE, False) if move is None else Judged(decimals(move.divergence), move.size != "little")


def _gate(limits: Mapping[str, DriftMeasurement]) -> Judged:
    """The figure of the split that is nearest to its limit, or furthest beyond it."""
    if not limits:
        return Judged(_NONE, False)
    worst = max(limits.values(), key=lambda measure: measure.value - measure.limit)
    text = f"{decimals(worst.value, 2)} of {worst.limit:.3g}"
    return Judged(text if worst.passed else f"{text}, beyond it", not worst.passed)


def _bars(move: ColumnDrift) -> list[Bar]:
    top = max(max(pair) for pair in move.bars) or 1.0
    step = 1 / len(move.bars)
    return [
        Bar(kind, step * (index + (1 - width) / 2), step * width, share / top)
        for index, pair in enumerate(move.bars)
        for share, kind, width in zip(pair, ("before", "after"), (0.86, 0.4), strict=True)
    ]


def _plain(
    drift_by_column: Mapping[str, Mapping[str, ColumnDrift]], limits: Mapping[str, Mapping[str, DriftMeasurement]]
) -> dict[str, Any]:
    """The figures of all columns, for the table that is folded away."""
    header = ["column", "divergence on eval", "on test", *(["DataGate's figure and its limit"] if limits else [])]
    rows = [
        [
            column,
            *(_divergence(drift_by_column[column].get(split)).text for split in SPLITS[1:]),
            _gate(limits.get(column, {})).text,
        ]
        for column, _ in ranked(drift_by_column)
    ]
    return {"header": header, "rows": [row[: len(header)] for row in rows]}


def _provisos(splits: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], columns: Columns) -> list[str]:
    """What is to be kept in mind of drift between these splits."""
    if facts["split"]["by"] != "time" or not columns.time:
        return []
    lengths = {split["name"]: split["last"] - split["first"] for split in splits if split["name"] != "train"}
    provisos = [f"The time itself ({columns.time}) is left out, because the data is split by time."]
    if min(lengths.values()) < SECONDS_A_DAY:
        covered = " and ".join(f"{name} covers {duration(length)}" for name, length in lengths.items())
        provisos.append(f"{covered[0].upper()}{covered[1:]}, so part of what moved is the hour of the day.")
    return provisos


def drift_in_words(
    drift_by_column: Mapping[str, Mapping[str, ColumnDrift]],
    limits: Mapping[str, Mapping[str, DriftMeasurement]],
    provisos: Sequence[str] = (),
) -> list[str]:
    """Two paragraphs: what moved most and how many columns did; whether that matters."""
    order = ranked(drift_by_column)
    column, _ = order[0]
    split, move = max(drift_by_column[column].items(), key=lambda item: item[1].divergence)
    sizes = Counter(
        max(by_split.values(), key=lambda move: move.divergence).size
        for by_split in drift_by_column.values()
        if by_split
    )
    counted = [f"{sizes[size]:,} moved {how}" for size, how in _HOW.items() if sizes[size]]
    return [
        " ".join(
            [
                f"{column} moved the most: its divergence from train is {decimals(move.divergence)} on {split}, which "
                f"counts as {move.size}.",
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
    return (
        f"{percent(move.before)} of the transactions in train have {values}, and {percent(move.after)} of those in "
        f"{split}."
    )


def _gate_in_words(limits: Mapping[str, Mapping[str, DriftMeasurement]]) -> str:
    if not limits:
        return "The schema sets no limit on drift (drift_comparator), so DataGate does not warn of any."
    over = [column for column, by_split in limits.items() if not all(measure.passed for measure in by_split.values())]
    if not over:
        return f"By DataGate's own figure, none of the {len(limits):,} columns with a limit in the schema is beyond it."
    return f"By DataGate's own figure, these columns are beyond their limit in the schema: {_joined(over, 5)}."


def _matters(sizes: Mapping[str, int]) -> str:
    if not sizes["much"] and not sizes["some"]:
        return "So the model is tested on transactions that are much like those it has learned from."
    return (
        "The figures on test are measured on columns that have already moved, so they include what that costs. If the "
        "columns move further, the figures will not hold."
    )


# ---- missing values and new categories


def missing_shares(statistics: Statistics, columns: Columns) -> dict[str, dict[str, float]]:
    """The share of each split's transactions that lack the column, of columns that some transaction lacks."""
    features = {split: by_name(statistics[split]) for split in SPLITS}
    by_column = {}
    for column in columns.inputs:
        shares = {split: _missing(features[split].get(column)) for split in SPLITS}
        if any(shares.values()):
            by_column[column] = shares
    return by_column


def _missing(feature: Any) -> float:
    if feature is None:
        return 1.0
    common = getattr(feature, feature.WhichOneof("stats")).common_stats
    rows = common.num_missing + common.num_non_missing
    return common.num_missing / rows if rows else 1.0


def missing_values(statistics: Statistics, columns: Columns) -> dict[str, Any]:
    """Where values are missing, the largest changes first: a sentence, and a table where there are some."""
    shares = missing_shares(statistics, columns)
    if not shares:
        return {"sentence": "No value is missing in any column.", "header": [], "rows": []}

    def changed(column: str) -> float:
        return max(abs(shares[column][split] - shares[column]["train"]) for split in SPLITS[1:])

    order = sorted(shares, key=lambda column: (-changed(column), -max(shares[column].values())))
    most = shares[order[0]]
    furthest = max(SPLITS[1:], key=lambda split: abs(most[split] - most["train"]))
    some = f"{len(shares):,} of {number_of(len(columns.inputs), 'column')} {'has' if len(shares) == 1 else 'have'}"
    return {
        "sentence": f"{some} missing values. Their share changes most in {order[0]}, from {percent(most['train'])} in "
        f"train to {percent(most[furthest])} in {furthest}.",
        "header": ["column", *SPLITS],
        "rows": [[column, *(percent(shares[column][split]) for split in SPLITS)] for column in order],
    }


def new_categories(statistics: Statistics, columns: Columns) -> dict[str, dict[str, tuple[int, float]]]:
    """Values that the training split does not have: how many in eval and test, and their share of the transactions.

    Of text columns whose values TFDV counts one by one in the training split; of those whose values are integers it
    takes them for numbers.
    """
    features = {split: by_name(statistics[split]) for split in SPLITS}
    unseen: dict[str, dict[str, tuple[int, float]]] = {}
    for column in columns.categorical:
        known = features["train"].get(column)
        known_values = values_counted(known) if known is not None and known.HasField("string_stats") else None
        if known_values is None:
            continue
        unseen[column] = {}
        for split in SPLITS[1:]:
            later = features[split].get(column)
            if later is None or not later.HasField("string_stats"):
                continue
            counts = {bucket.label: bucket.sample_count for bucket in later.string_stats.rank_histogram.buckets}
            new = [count for value, count in counts.items() if value not in known_values]
            total = later.string_stats.common_stats.tot_num_values
            unseen[column][split] = (len(new), sum(new) / total if total else 0.0)
    return unseen


def new_values(statistics: Statistics, columns: Columns) -> dict[str, Any]:
    """Values of categories that came after the training split, the largest shares first.

    counted: in how many columns they were looked for, "" where in none; left_out: columns where they cannot be counted.
    """
    new = new_categories(statistics, columns)
    having = {column: by_split for column, by_split in new.items() if any(count for count, _ in by_split.values())}
    order = sorted(having, key=lambda column: -max(share for _, share in having[column].values()))
    return {
        "counted": number_of(len(new), "column") if new else "",
        "left_out": _joined(sorted(set(columns.categorical) - set(new)), 10),
        "header": ["column", "new on eval", "new on test"],
        "rows": [
            [column, *(f"{count:,} ({percent(share)})" for count, share in having[column].values())] for column in order
        ],
    }
