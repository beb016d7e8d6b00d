"""DataGate: stops the run on bad data, and says in words what is wrong with it."""
# No `from __future__ import annotations`: TFX reads the annotations of a component function as objects.

import json
import os
from dataclasses import asdict

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import artifact, artifact_utils, standard_artifacts

from components.anomalies import drift_findings, to_findings
from components.findings import BadData, Finding
from components.reading.settings import SPLITS

FINDINGS = "findings.json"


class Findings(artifact.Artifact):
    """The gate's findings, as `findings.json`: a list of `Finding`."""

    TYPE_NAME = "FraudPipelineFindings"


def read_findings(uri: str) -> list[Finding]:
    with fileio.open(os.path.join(uri, FINDINGS)) as file:
        return [Finding(**values) for values in json.load(file)]


@component
def DataGate(
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    schema: InputArtifact[standard_artifacts.Schema],
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    findings: OutputArtifact[Findings],
) -> None:
    """Reads ExampleValidator's anomalies and raises BadData if there are any; drift is recorded as a warning."""
    results = []
    for split in artifact_utils.decode_split_names(anomalies.split_names):
        diff = anomalies_pb2.Anomalies()
        with fileio.open(os.path.join(anomalies.uri, f"Split-{split}", "SchemaDiff.pb"), "rb") as file:
            diff.ParseFromString(file.read())
        results += to_findings(split, diff)
    loaded = {
        split: tfdv.load_stats_binary(os.path.join(statistics.uri, f"Split-{split}", "FeatureStats.pb"))
        for split in SPLITS
    }
    results += drift_findings(loaded, tfdv.load_schema_text(os.path.join(schema.uri, "schema.pbtxt")))
    if any(finding.stops for finding in results):
        raise BadData(results)
    with fileio.open(os.path.join(findings.uri, FINDINGS), "w") as file:
        json.dump([asdict(finding) for finding in results], file, indent=2)
