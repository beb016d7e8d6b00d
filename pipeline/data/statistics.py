"""The statistics that TFDV's validator looks at, counted in one pass over rows of any number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.reading.settings import SPLITS
from trainer.arrays import Array
from trainer.columns import EXAMPLE_WEIGHT, Columns, RawKind
from trainer.sampling import SamplingRates

_TYPES = {
    "float": statistics_pb2.FeatureNameStatistics.FLOAT,
    "integer": statistics_pb2.FeatureNameStatistics.INT,
    "string": statistics_pb2.FeatureNameStatistics.STRING,
}
_RANKED = 1000  # values that TFDV's rank histogram holds, the most frequent
# Beyond so many different values of a column in a split, the rare ones are forgotten: TFDV looks at the first 1,000.
_MOST_VALUES = 1 << 17


def raw_kinds(columns: Columns) -> dict[str, RawKind]:
    """The kind of each feature that a schema describes, in the order of the examples; the weight is the last."""
    return {**columns.raw_kinds, columns.label: "integer", EXAMPLE_WEIGHT: "float"}


@dataclass
class ColumnCounts:
    """Counts of a column in a split.

    values: how often each text occurs; None where texts are not counted, or are too many to be a domain.
    """

    kind: RawKind
    present: int = 0
    missing: int = 0
    lowest: float = 0.0
    highest: float = 0.0
    values: Counter[str] | None = None

    def add(self, column: pa.Array) -> None:
        missing = column.null_count
        present = len(column) - missing
        if present and self.kind != "string":
            lowest, highest = _ends(column)
            self.lowest = min(self.lowest, lowest) if self.present else lowest
            self.highest = max(self.highest, highest) if self.present else highest
        if self.values is not None and present:
            for counted in pc.value_counts(column.drop_null()).to_pylist():
                self.values[counted["values"]] += counted["counts"]
            if len(self.values) > _MOST_VALUES:
                self.values = Counter(dict(self.values.most_common(_MOST_VALUES // 2)))
        self.present += present
        self.missing += missing

    def to_proto(self, name: str) -> statistics_pb2.FeatureNameStatistics:
        """As far as TFDV's validator and its inference of schemas look at them."""
        feature = statistics_pb2.FeatureNameStatistics(type=_TYPES[self.kind])
        feature.path.step.append(name)
        stats = feature.string_stats if self.kind == "string" else feature.num_stats
        common = stats.common_stats
        common.num_missing = self.missing
        if self.present:
            common.num_non_missing = common.tot_num_values = self.present
            common.min_num_values = common.max_num_values = 1
            common.avg_num_values = 1.0
        if self.kind != "string":
            # examples hold numbers as float32
            as_kept = np.float32 if self.kind == "float" else float
            feature.num_stats.min, feature.num_stats.max = float(as_kept(self.lowest)), float(as_kept(self.highest))
        elif self.values is not None:
            # of equally frequent values TFDV takes the last ones of the alphabet
            ranked = sorted(self.values.items(), key=lambda item: (item[1], item[0]), reverse=True)[:_RANKED]
            feature.string_stats.unique = len(self.values)
            for rank, (value, count) in enumerate(ranked):
                feature.string_stats.rank_histogram.buckets.add(
                    low_rank=rank, high_rank=rank, label=value, sample_count=count
                )
        return feature


def _ends(column: pa.Array) -> tuple[float, float]:
    """The lowest and the highest of the values, of which there is one."""
    if pa.types.is_floating(column.type):
        values = column.to_numpy(zero_copy_only=False)  # NaN for a missing value; takes half of the time of Arrow's own
        return float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
    ends = pc.min_max(column).as_py()
    return float(ends["min"]), float(ends["max"])


@dataclass
class SplitCounts:
    """Counts of the columns of one split."""

    columns: dict[str, ColumnCounts]
    rows: int = 0
    frauds: int = 0

    def to_proto(self) -> statistics_pb2.DatasetFeatureStatisticsList:
        dataset = statistics_pb2.DatasetFeatureStatistics(num_examples=self.rows)
        dataset.features.extend(counts.to_proto(name) for name, counts in self.columns.items())
        return statistics_pb2.DatasetFeatureStatisticsList(datasets=[dataset])


@dataclass
class Counts:
    """Counts of each split.

    domain_size: texts are counted until a column has more different ones than this in a split; None: all are.
    counted: columns of text whose values are counted.
    """

    columns: Columns
    rates: SamplingRates
    counted: Iterable[str]
    domain_size: int | None = None
    splits: dict[str, SplitCounts] = field(init=False)

    def __post_init__(self) -> None:
        counted = set(self.counted)
        self.splits = {
            split: SplitCounts(
                {
                    name: ColumnCounts(kind, values=Counter() if kind == "string" and name in counted else None)
                    for name, kind in raw_kinds(self.columns).items()
                }
            )
            for split in SPLITS
        }

    def add(self, split: str, batch: pa.RecordBatch) -> None:
        """Adds rows of a split as `read_batches` returns them."""
        counts = self.splits[split]
        arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
        labels: Array = arrays[self.columns.label].to_numpy(zero_copy_only=False)
        counts.rows += batch.num_rows
        counts.frauds += int((labels == 1).sum())
        for name, of_column in counts.columns.items():
            if name == EXAMPLE_WEIGHT:
                self._add_weights(of_column, labels)
                continue
            of_column.add(arrays[name])
            if self.domain_size is not None and of_column.values and len(of_column.values) > self.domain_size:
                for each in self.splits.values():
                    each.columns[name].values = None

    def _add_weights(self, counts: ColumnCounts, labels: Array) -> None:
        weights = [self.rates.weight(label) for label in np.unique(labels).tolist()]
        counts.add(pa.array([min(weights), max(weights), *([max(weights)] * max(0, len(labels) - 2))][: len(labels)]))

    def whole(self) -> SplitCounts:
        """The counts of all splits together."""
        parts = list(self.splits.values())
        return SplitCounts(
            {
                name: _together([part.columns[name] for part in parts], self.domain_size)
                for name in raw_kinds(self.columns)
            },
            sum(part.rows for part in parts),
            sum(part.frauds for part in parts),
        )

    def to_protos(self) -> Mapping[str, statistics_pb2.DatasetFeatureStatisticsList]:
        return {split: counts.to_proto() for split, counts in self.splits.items()}


def _together(parts: list[ColumnCounts], domain_size: int | None) -> ColumnCounts:
    having = [part for part in parts if part.present]
    values: Counter[str] | None = Counter()
    for part in parts:
        values = None if values is None or part.values is None else values + part.values
    return ColumnCounts(
        parts[0].kind,
        sum(part.present for part in parts),
        sum(part.missing for part in parts),
        min((part.lowest for part in having), default=0.0),
        max((part.highest for part in having), default=0.0),
        None if values is None or (domain_size is not None and len(values) > domain_size) else values,
    )
