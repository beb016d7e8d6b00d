"""What ExampleValidator and DataGate would say about data, from the data itself, without a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.anomalies import SplitData, drift_findings, empty_column_findings, to_findings
from components.example_gen import TransactionsSettings, plan_files, to_examples
from components.findings import Finding
from components.leak_checks import Sample, leak_findings, most_rows
from components.reading.files import find_files
from components.reading.readers import read_batches
from components.reading.settings import SPLITS
from components.reading.split_faults import Division
from components.reading.splits import SplitPlan
from components.statistics_gen import Statistics
from pipeline.config import Config
from pipeline.data.schema import DOMAIN_SIZE, from_counts, rows_at_once
from pipeline.data.statistics import Counts
from trainer.arrays import Array
from trainer.columns import EXAMPLE_WEIGHT
from trainer.errors import InputError

# What the counts answer for; a feature of a schema that says more is measured by TFDV itself.
_COUNTED_FIELDS = {
    *("name", "type", "presence", "group_presence", "shape", "value_count", "value_counts", "annotation"),
    *("domain", "string_domain", "int_domain", "float_domain", "bool_domain", "distribution_constraints"),
    *("in_environment", "not_in_environment", "lifecycle_stage", "deprecated"),
}


def validate(path: str, config: Config, schema: schema_pb2.Schema) -> list[Finding]:
    """The findings that a run of this configuration would have on the data at `path`, before it learns anything.

    All rows are read, in batches: for a split by time first their times and labels, then all columns.

    Raises:
      InputError: the data can't be read or split.
    """
    return Inspection.from_data(path, config, schema).findings(schema)


@dataclass(frozen=True)
class Inspection:
    """What one pass over the data keeps of it: counts, samples of the splits, and where each split begins.

    measured: TFDV's own statistics of the columns for which a schema asks more than counts tell, by split.
    """

    path: str
    config: Config
    plan: SplitPlan
    counts: Counts
    samples: dict[str, Sample]
    measured: dict[str, statistics_pb2.DatasetFeatureStatisticsList]

    @classmethod
    def from_data(cls, path: str, config: Config, schema: schema_pb2.Schema | None = None) -> Inspection:
        """Reads the data at `path` for this schema, or for one that is yet to be inferred from it.

        Raises:
          InputError: the data can't be read or split.
        """
        columns, split = config.roles, config.data.split
        files = [file.path for file in find_files(path)]
        if split.by == "time":
            settings = TransactionsSettings(
                columns=columns, split=split, sampling_rates=config.sampling_rates, origin="{path}"
            )
            plan, _ = plan_files(files, settings)
        else:
            plan = SplitPlan("random", (split.train, split.train + split.eval), split.seed)
        counted = columns.categorical if schema is None else _with_domain(schema)
        counts = Counts(columns, config.sampling_rates, counted, DOMAIN_SIZE if schema is None else None)
        samples = {name: Sample(most_rows(columns), partial(with_weights, config=config)) for name in SPLITS}
        measurements = _Measurements(config, _measured_columns(schema) if schema is not None else [])
        described = [*columns.raw_kinds, columns.label]
        for batch in _batches(files, config, described if plan.by == "time" else None):
            for name, rows in _by_split(batch, plan, config):
                rows = _selected(rows, described)
                counts.add(name, rows)
                samples[name].add(rows)
                measurements.add(name, rows)
        if plan.by == "random":
            _check_random_split(counts, config)
        return cls(path, config, plan, counts, samples, measurements.statistics())

    def schema(self) -> schema_pb2.Schema:
        """The schema that `pipeline.data.schema.infer` makes of the same data."""
        return from_counts(self.counts.whole(), self.config.roles)

    def findings(self, schema: schema_pb2.Schema) -> list[Finding]:
        """All findings; `schema` is the one that the data was read for, or `schema()`."""
        data = {
            split: SplitData(
                split, self._with_measured(split, counted), schema, self.config.roles, partial(self._rows, split)
            )
            for split, counted in self.counts.to_protos().items()
        }
        findings = []
        for of_split in data.values():
            findings += to_findings(tfdv.validate_statistics(of_split.statistics, schema), of_split)
        findings += empty_column_findings(data, findings)
        findings += drift_findings(data)
        return findings + leak_findings(self.samples, self.config.roles, self.config.data.leakage)

    def _rows(self, split: str, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of a split, read once more, with numbers as the examples have them."""
        columns = self.config.roles
        # a random split is by all values of a row
        read = None if self.plan.by == "random" else list(dict.fromkeys([*names, str(columns.time)]))
        if read:
            carried = [columns.id] if columns.id else []
            read = [name for name in read if name in [*columns.raw_kinds, columns.label, *carried]]
        for batch in _batches([file.path for file in find_files(self.path)], self.config, read):
            for name, rows in _by_split(batch, self.plan, self.config):
                if name == split:
                    yield as_examples_have_it(rows, self.config)

    def _with_measured(
        self, split: str, counted: statistics_pb2.DatasetFeatureStatisticsList
    ) -> statistics_pb2.DatasetFeatureStatisticsList:
        if split not in self.measured:
            return counted
        measured = {feature.path.step[0]: feature for feature in self.measured[split].datasets[0].features}
        for feature in counted.datasets[0].features:
            if feature.path.step[0] in measured:
                feature.CopyFrom(measured[feature.path.step[0]])
        return counted


def _check_random_split(counts: Counts, config: Config) -> None:
    """As `plan_splits` does, which would read and hash all rows once more.

    Raises:
      InputError: there are no rows, or a split has no fraud or no legitimate transaction.
    """
    rows = np.array([each.rows for each in counts.splits.values()])
    frauds = np.array([each.frauds for each in counts.splits.values()])
    if not rows.any():
        raise InputError("the data has a header but no rows; name a file with transactions under data.path")
    if fault := Division(config.roles, config.data.split, rows, frauds).fault():
        raise InputError(fault)


def _batches(files: Iterable[str], config: Config, names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """All rows, with the columns of these names, or with all that have a role."""
    for file in files:
        yield from read_batches(file, config.roles, names, rows_at_once(config.roles))


def _selected(batch: pa.RecordBatch, names: list[str]) -> pa.RecordBatch:
    arrays = [batch.column(batch.schema.get_field_index(name)) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names)


def _by_split(batch: pa.RecordBatch, plan: SplitPlan, config: Config) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each split, in their order; a split without rows is left out."""
    split: Array = plan.assign(batch, config.roles)
    present = np.unique(split).tolist()
    for index in present:
        rows = batch if len(present) == 1 else batch.take(pa.array(np.flatnonzero(split == index)))
        yield SPLITS[index], rows


def _with_domain(schema: schema_pb2.Schema) -> list[str]:
    """The features whose values TFDV looks at one by one."""
    return [feature.name for feature in schema.feature if feature.WhichOneof("domain_info")]


def _measured_columns(schema: schema_pb2.Schema) -> list[str]:
    """The features of which the schema says more than counts tell: comparators, unique values, images and so on."""
    return [
        feature.name
        for feature in schema.feature
        if {described.name for described, _ in feature.ListFields()} - _COUNTED_FIELDS
        or (feature.HasField("bool_domain") and feature.type == schema_pb2.FLOAT)
    ]


class _Measurements:
    """TFDV's own statistics of some columns of each split, as StatisticsGen has them."""

    def __init__(self, config: Config, names: Sequence[str]) -> None:
        columns = config.roles
        self._config = config
        self._names = [name for name in [*columns.raw_kinds, columns.label, EXAMPLE_WEIGHT] if name in names]
        self._combiner = Statistics(tfdv.StatsOptions())
        self._partial: dict[str, Any] = {}

    def add(self, split: str, batch: pa.RecordBatch) -> None:
        if self._names:
            examples = to_examples(batch, self._config.roles.without_carried(), self._config.sampling_rates)
            arrays = [examples.column(examples.schema.get_field_index(name)) for name in self._names]
            accumulator = self._partial.get(split) or self._combiner.create_accumulator()
            batch = pa.RecordBatch.from_arrays(arrays, self._names)
            self._partial[split] = self._combiner.add_input(accumulator, batch)

    def statistics(self) -> dict[str, statistics_pb2.DatasetFeatureStatisticsList]:
        return {split: self._combiner.extract_output(each) for split, each in self._partial.items()}


def as_examples_have_it(batch: pa.RecordBatch, config: Config) -> pa.RecordBatch:
    """Numbers as the examples keep them, in float32."""
    kinds = config.roles.raw_kinds
    arrays = [
        column.cast(pa.float32(), safe=False) if kinds.get(name) == "float" else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, batch.schema.names)


def with_weights(batch: pa.RecordBatch, config: Config) -> pa.RecordBatch:
    """What a sample keeps of its rows: values as the examples have them, and the weight of each row."""
    batch, rates = as_examples_have_it(batch, config), config.sampling_rates
    labels: Array = batch.column(batch.schema.get_field_index(config.roles.label)).to_numpy(zero_copy_only=False)
    weights = np.where(labels == 1, rates.weight(1), rates.weight(0)).astype(np.float32)
    return pa.RecordBatch.from_arrays([*batch.columns, pa.array(weights)], [*batch.schema.names, EXAMPLE_WEIGHT])
