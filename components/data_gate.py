"""DataGate: stops the run on bad data, and says in words what is wrong with it."""
# No `from __future__ import annotations`: TFX reads the annotations of a component function as objects.

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import artifact, artifact_utils, standard_artifacts
from tfx.utils import io_utils

from components.anomalies import SplitData, drift_findings, empty_column_findings, to_findings
from components.findings import BadData, Finding
from components.leak_checks import Sample, leak_findings, most_rows, step
from components.leakage_settings import LeakageSettings
from components.properties import FEATURES_PROPERTY, SPLITS_PROPERTY
from components.reading.settings import SPLITS
from components.record_batches import read_plain
from trainer import examples as example_files
from trainer.columns import EXAMPLE_WEIGHT, Columns, FeatureKind, RawKind

FINDINGS = "findings.json"


class Findings(artifact.Artifact):
    """The gate's findings, as `findings.json`: a list of `Finding`."""

    TYPE_NAME = "FraudPipelineFindings"


def read_findings(uri: str) -> list[Finding]:
    with fileio.open(os.path.join(uri, FINDINGS)) as file:
        return [Finding(**values) for values in json.load(file)]


@component
def DataGate(
    examples: InputArtifact[standard_artifacts.Examples],
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    schema: InputArtifact[standard_artifacts.Schema],
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    findings: OutputArtifact[Findings],
    columns: Parameter[str],
    leakage: Parameter[str],
) -> None:
    """Raises BadData if ExampleValidator has anomalies or a column tells the label; all else is recorded as a warning.

    columns, leakage: `Columns` and `LeakageSettings` as JSON.
    """
    roles = Columns.model_validate_json(columns)
    gated = GatedData(examples, statistics, tfdv.load_schema_text(os.path.join(schema.uri, "schema.pbtxt")), roles)
    results = []
    for split in artifact_utils.decode_split_names(anomalies.split_names):
        diff = anomalies_pb2.Anomalies()
        with fileio.open(os.path.join(anomalies.uri, f"Split-{split}", "SchemaDiff.pb"), "rb") as file:
            diff.ParseFromString(file.read())
        results += to_findings(diff, gated.split_data(split))
    data = {split: gated.split_data(split) for split in SPLITS}
    results += empty_column_findings(data, results)
    results += drift_findings(data)
    results += leak_findings(gated.samples(), roles, LeakageSettings.model_validate_json(leakage))
    if any(finding.stops for finding in results):
        raise BadData(results)
    with fileio.open(os.path.join(findings.uri, FINDINGS), "w") as file:
        json.dump([asdict(finding) for finding in results], file, indent=2)


class GatedData:
    """The examples and statistics that the gate looks at, by split."""

    def __init__(self, examples: Any, statistics: Any, schema: schema_pb2.Schema, columns: Columns) -> None:
        self._columns = columns
        self._schema = schema
        self._files = {
            split: example_files.matching([io_utils.all_files_pattern(artifact_utils.get_split_uri([examples], split))])
            for split in SPLITS
        }
        self._rows = {
            split["name"]: split["rows"] for split in json.loads(examples.get_string_custom_property(SPLITS_PROPERTY))
        }
        kinds: dict[str, FeatureKind] = json.loads(examples.get_string_custom_property(FEATURES_PROPERTY))
        self._kinds: dict[str, RawKind] = {
            name: "string" if kind == "identifier" else kind for name, kind in kinds.items()
        }
        self._statistics = {
            split: tfdv.load_stats_binary(
                os.path.join(artifact_utils.get_split_uri([statistics], split), "FeatureStats.pb")
            )
            for split in SPLITS
        }

    def split_data(self, split: str) -> SplitData:
        """What the sentences on anomalies need."""
        return SplitData(
            split, self._statistics[split], self._schema, self._columns, lambda names: self._read(split, names)
        )

    def samples(self) -> dict[str, Sample]:
        """The rows of each split that are looked at for leaks."""
        names = [*self._columns.inputs, self._columns.label, EXAMPLE_WEIGHT]
        most, samples = most_rows(self._columns), {}
        for split in SPLITS:
            rows = self._rows[split]
            every = step(rows, most)
            batches = list(self._read(split, names, every))
            samples[split] = Sample.from_thinned(most, batches, rows, every)
        return samples

    def _read(self, split: str, names: Sequence[str], every: int = 1) -> Iterator[pa.RecordBatch]:
        return read_plain(self._files[split], {name: self._kinds[name] for name in names if name in self._kinds}, every)
