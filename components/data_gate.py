"""DataGate: stops the run on bad data, and says in words what is wrong with it."""
# No `from __future__ import annotations`: TFX reads the annotations of a component function as objects.

import json
import os
from dataclasses import asdict, dataclass

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import artifact, artifact_utils, standard_artifacts

from components.reading.settings import SPLITS
from trainer.errors import InputError

FINDINGS = "findings.json"


class Findings(artifact.Artifact):
    """The gate's findings, as `findings.json`: a list of `Finding`."""

    TYPE_NAME = "FraudPipelineFindings"


@dataclass(frozen=True)
class Finding:
    """One anomaly: where it is, the problem in a few words, and details with figures; some stop the run."""

    split: str
    column: str
    problem: str
    details: str
    stops: bool


class BadData(InputError):
    """The data has anomalies that stop the run; `findings` has all of them."""

    def __init__(self, findings: list[Finding]):
        self.findings = findings
        stopping = [finding for finding in findings if finding.stops]
        lines = "; ".join(
            f"{finding.column} in {finding.split}: {finding.problem} ({finding.details})" for finding in stopping[:5]
        )
        more = f"; and {len(stopping) - 5} more" if len(stopping) > 5 else ""
        super().__init__(
            f"the data has {len(stopping)} {'anomaly' if len(stopping) == 1 else 'anomalies'}: {lines}{more}. "
            "Correct the data, or the schema where it is the schema that is wrong"
        )


def to_findings(split: str, anomalies: anomalies_pb2.Anomalies, *, drift: bool = False) -> list[Finding]:
    """TFDV's anomalies of a split; with `drift` only those of the drift comparators, which do not stop the run.

    Fraudsters change their ways, so drift within the data is news and not a fault.
    """
    findings = []
    if anomalies.HasField("dataset_anomaly_info") and not drift:
        info = anomalies.dataset_anomaly_info
        findings.append(Finding(split, "(all)", info.short_description, info.description, True))
    for column, info in sorted(anomalies.anomaly_info.items()):
        for reason in info.reason:
            name = anomalies_pb2.AnomalyInfo.Type.Name(reason.type)
            if ("COMPARATOR" in name) == drift:
                findings.append(
                    Finding(split, column, reason.short_description, " ".join(reason.description.split()), not drift)
                )
    return findings


def drift_findings(
    statistics: dict[str, statistics_pb2.DatasetFeatureStatisticsList], schema: schema_pb2.Schema
) -> list[Finding]:
    """Columns of eval or test that differ from train by more than the schema's drift comparators allow."""
    findings = []
    for split in SPLITS[1:]:
        anomalies = tfdv.validate_statistics(statistics[split], schema, previous_statistics=statistics["train"])
        findings += to_findings(split, anomalies, drift=True)
    return findings


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
