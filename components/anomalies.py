"""TFDV's anomalies as findings for people."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.findings import Finding, Kind
from components.reading.settings import SPLITS


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
                details = " ".join(reason.description.split())
                kind: Kind = "drift" if drift else "anomaly"
                findings.append(Finding(split, column, reason.short_description, details, not drift, kind))
    return findings


def drift_findings(
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList], schema: schema_pb2.Schema
) -> list[Finding]:
    """Columns of eval or test that differ from train by more than the schema's drift comparators allow."""
    findings = []
    for split in SPLITS[1:]:
        anomalies = tfdv.validate_statistics(statistics[split], schema, previous_statistics=statistics["train"])
        findings += to_findings(split, anomalies, drift=True)
    return findings
