"""TFDV's anomalies as findings for people: with counts, the first row at fault, and what to change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.anomaly_words import Anomaly, Reason, Words, in_words
from components.findings import Finding, Kind
from components.reading.settings import SPLITS
from trainer.columns import Columns

_SHOWN = 3  # values at fault
_MOST_VALUES = 10_000  # different ones that are counted


@dataclass(frozen=True)
class SplitData:
    """What a sentence on an anomaly needs of a split.

    rows: the split's rows in batches, in order, with columns of these names; those that the data has not are left out.
    It is called only if there is something to look for in the values.
    """

    split: str
    statistics: statistics_pb2.DatasetFeatureStatisticsList
    schema: schema_pb2.Schema
    columns: Columns
    rows: Callable[[Sequence[str]], Iterable[pa.RecordBatch]]


def to_findings(anomalies: anomalies_pb2.Anomalies, data: SplitData, *, drift: bool = False) -> list[Finding]:
    """TFDV's anomalies of a split; with `drift` only those of the drift comparators, which do not stop the run.

    Fraudsters change their ways, so drift within the data is news and not a fault.
    """
    kind: Kind = "drift" if drift else "anomaly"
    if anomalies.data_missing and not drift:
        return [Finding(data.split, "(all)", "No rows", "the split has no rows. Give more data", True)]
    found = []
    if anomalies.HasField("dataset_anomaly_info"):
        found += _with_words("(all)", anomalies.dataset_anomaly_info, data, drift)
    for serialized, info in sorted(anomalies.anomaly_info.items()):
        found += _with_words(".".join(info.path.step) or serialized, info, data, drift)
    faults = [_Fault(column, words) for column, words in found]
    _look(data, [fault for fault in faults if fault.words.fault])
    return [
        Finding(data.split, fault.column, fault.words.problem, fault.sentence(data), not drift, kind)
        for fault in faults
    ]


def drift_findings(data: Mapping[str, SplitData]) -> list[Finding]:
    """Columns of eval or test that differ from train by more than the schema's drift comparators allow."""
    findings = []
    for split in SPLITS[1:]:
        anomalies = tfdv.validate_statistics(
            data[split].statistics, data[split].schema, previous_statistics=data["train"].statistics
        )
        findings += to_findings(anomalies, data[split], drift=True)
    return findings


def empty_column_findings(data: Mapping[str, SplitData], findings: Sequence[Finding]) -> list[Finding]:
    """Columns that have values in some splits and none in others, where `findings` do not say so already."""
    known = {(finding.split, finding.column) for finding in findings if finding.stops}
    present = {split: _present(of_split.statistics) for split, of_split in data.items()}
    results = []
    for column in present["train"]:
        having = [split for split in SPLITS if present[split].get(column)]
        for split in SPLITS:
            if having and split not in having and (split, column) not in known:
                matters = (
                    "nothing is learned from it" if split == "train" else "what was learned from it is of no use there"
                )
                rows = int(data[split].statistics.datasets[0].num_examples)
                details = (
                    f"none of the {rows:,} rows of {split} has a value, but {present[having[0]][column]:,} of "
                    f"{having[0]} do: {matters}. See whether it is filled in at other times or by another source"
                )
                results.append(Finding(split, column, "No value at all", details, False, "empty column"))
    return results


def _present(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> dict[str, int]:
    """How many rows have a value, by column."""
    return {
        ".".join(feature.path.step): int(getattr(feature, kind).common_stats.num_non_missing)
        for feature in statistics.datasets[0].features
        if (kind := feature.WhichOneof("stats"))
    }


def _with_words(column: str, info: anomalies_pb2.AnomalyInfo, data: SplitData, drift: bool) -> list[tuple[str, Words]]:
    reasons = tuple(
        Reason(name, reason.short_description, reason.description)
        for reason in info.reason
        if ("COMPARATOR" in (name := _name(reason.type))) == drift
    )
    if not reasons:
        return []
    dataset = data.statistics.datasets[0]
    anomaly = Anomaly(
        split=data.split,
        column=column,
        reasons=reasons,
        schema=data.schema,
        feature=next((feature for feature in data.schema.feature if feature.name == column), None),
        measured=next((feature for feature in dataset.features if ".".join(feature.path.step) == column), None),
        rows=int(dataset.num_examples),
    )
    return [(column, words) for words in in_words(anomaly)]


def _name(number: int) -> str:
    """Of a kind of anomaly; of one that this version does not know its number."""
    known: dict[int, str] = {value: name for name, value in anomalies_pb2.AnomalyInfo.Type.items()}
    return known.get(number, str(number))


@dataclass
class _Fault:
    """An anomaly, and what its column holds in the rows at fault."""

    column: str
    words: Words
    count: int = 0
    values: Counter[str] = field(default_factory=Counter)
    first: str = ""

    def sentence(self, data: SplitData) -> str:
        rows = int(data.statistics.datasets[0].num_examples)
        shown = [f"{value} ({count:,})" for value, count in self.values.most_common(_SHOWN)]
        more = len(self.values) - len(shown)
        counts = f"{self.count:,} of {rows:,} rows" if self.count else "some rows"
        values = ", ".join(shown) + (f" and {more:,} more" if more else "") or "not to be found"
        # not by `format`: names and values may hold braces
        got = self.words.got.replace("{rows}", counts).replace("{values}", values)
        # where all rows are alike, none is the first
        first = f". The first is {self.first}" if self.first and self.count < rows else ""
        return f"{got}{first}. {self.words.advice}"


def _look(data: SplitData, faults: Sequence[_Fault]) -> None:
    """Fills in how many rows are at fault, with which values, and the first of them, in one pass over the split."""
    if not faults:
        return
    also = [name for name in (data.columns.id, data.columns.time) if name]
    names = list(dict.fromkeys([*(fault.column for fault in faults), *also]))
    rows = 0
    for batch in data.rows(names):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        for fault in faults:
            if fault.column in columns and fault.words.fault:
                mask = fault.words.fault(columns[fault.column])
                _count(fault, columns[fault.column].filter(pa.array(mask)))
                if mask.any() and not fault.first:
                    place = int(np.argmax(mask))
                    fault.first = described_row(data.split, rows + place, columns, place, also)
                    value = columns[fault.column][place].as_py()
                    fault.first += "" if value is None else f", which holds {shown(value)}"
        rows += batch.num_rows


def _count(fault: _Fault, values: pa.Array) -> None:
    fault.count += len(values)
    if "{values}" in fault.words.got and len(fault.values) < _MOST_VALUES:
        for counted in pc.value_counts(values.drop_null()).to_pylist():
            fault.values[shown(counted["values"])] += counted["counts"]


def described_row(split: str, number: int, columns: Mapping[str, pa.Array], place: int, also: Sequence[str]) -> str:
    """A row by its number within the split and what names it: row 12 of test (payment 'A7', when 86400)."""
    named = [f"{name} {shown(columns[name][place].as_py())}" for name in also if name in columns]
    return f"row {number + 1:,} of {split}" + (f" ({', '.join(named)})" if named else "")


def shown(value: object) -> str:
    """A value in one line: text in quotes, a number as short as float32 allows."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else str(np.float32(value))
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
