"""DataGate on statistics and anomalies that TFDV and ExampleValidator make of broken data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.components.example_validator.executor import Executor as Validator
from tfx.types import artifact_utils, standard_artifacts

from components.anomalies import to_findings
from components.data_gate import DataGate, Findings, read_findings
from components.findings import BadData, Finding
from components.reading.settings import SPLITS
from trainer.errors import InputError

SCHEMA = text_format.Parse(
    """
    feature { name: "amount" type: FLOAT float_domain { min: 0 } presence { min_fraction: 1 min_count: 1 }
              shape { dim { size: 1 } }
              drift_comparator { jensen_shannon_divergence { threshold: 0.1 } } }
    feature { name: "country" type: BYTES domain: "countries" presence { min_count: 1 }
              distribution_constraints { min_domain_mass: 0.9 } }
    feature { name: "fraud" type: INT int_domain { min: 0 max: 1 } presence { min_fraction: 1 min_count: 1 }
              shape { dim { size: 1 } } }
    string_domain { name: "countries" value: "DE" value: "NL" }
    """,
    schema_pb2.Schema(),
)
ROWS = 100


def good() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "amount": np.linspace(1, 500, ROWS).astype(np.float32),
            "country": ["NL", "DE"] * (ROWS // 2),
            "fraud": np.arange(ROWS) % 10 == 0,
        }
    ).astype({"fraud": np.int64})


def gate(frames: dict[str, pd.DataFrame], folder: Path) -> list[Finding]:
    """Runs ExampleValidator's executor and the gate's on the statistics of these splits."""
    statistics, schema, anomalies, findings = (
        standard_artifacts.ExampleStatistics(),
        standard_artifacts.Schema(),
        standard_artifacts.ExampleAnomalies(),
        Findings(),
    )
    for name, artifact in (
        ("statistics", statistics),
        ("schema", schema),
        ("anomalies", anomalies),
        ("found", findings),
    ):
        artifact.uri = str(folder / name)
        (folder / name).mkdir()
    statistics.split_names = artifact_utils.encode_split_names(list(SPLITS))
    statistics.span = 0
    tfdv.write_schema_text(SCHEMA, str(folder / "schema" / "schema.pbtxt"))
    for split in SPLITS:
        (folder / "statistics" / f"Split-{split}").mkdir()
        made = tfdv.generate_statistics_from_dataframe(frames.get(split, good()), n_jobs=1)
        (folder / "statistics" / f"Split-{split}" / "FeatureStats.pb").write_bytes(made.SerializeToString())
    inputs: dict[str, Any] = {"statistics": [statistics], "schema": [schema]}
    Validator().Do(inputs, {"anomalies": [anomalies]}, {"exclude_splits": "[]"})
    executor = DataGate.EXECUTOR_SPEC.executor_class()
    executor.Do({**inputs, "anomalies": [anomalies]}, {"findings": [findings]}, {})
    return read_findings(findings.uri)


def test_good_data_passes_and_leaves_an_empty_list(tmp_path: Path) -> None:
    assert gate({}, tmp_path) == []
    assert json.loads((tmp_path / "found" / "findings.json").read_text()) == []


def out_of_range(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(amount=frame.amount.where(frame.index != 3, np.float32(-12.5)))


def with_unseen(frame: pd.DataFrame, share: float) -> pd.DataFrame:
    return frame.assign(country=frame.country.where(frame.index >= share * ROWS, "Atlantis"))


BROKEN = {
    "missing column": (lambda frame: frame.drop(columns="amount"), "amount", "Column dropped", "Column is completely"),
    "value out of range": (out_of_range, "amount", "Out-of-range values", "-12.5"),
    "too many unseen categories": (
        lambda frame: with_unseen(frame, 0.3),
        "country",
        "Unexpected string values",
        "Atlantis",
    ),
    "text for a number": (
        lambda frame: frame.assign(amount=frame.amount.map("{:.2f} EUR".format)),
        "amount",
        "Expected data of type: FLOAT but got",
        "",
    ),
    "a label that is none": (lambda frame: frame.assign(fraud=frame.fraud * 2), "fraud", "Out-of-range values", "2"),
    "a column that the schema does not know": (
        lambda frame: frame.assign(colour="red"),
        "colour",
        "New column",
        "not in schema",
    ),
    "gaps where there may be none": (
        lambda frame: frame.assign(amount=frame.amount.where(frame.index > 40)),
        "amount",
        "Column dropped",
        "minimum fraction = 1.000000, actual = 0.590000",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("split", ["train", "test"])
def test_broken_data_stops_the_run_in_words(fault: str, split: str, tmp_path: Path) -> None:
    break_it, column, problem, detail = BROKEN[fault]
    with pytest.raises(BadData) as raised:
        gate({split: break_it(good())}, tmp_path)
    assert isinstance(raised.value, InputError)
    stopping = [finding for finding in raised.value.findings if finding.stops]
    assert {(finding.split, finding.column) for finding in stopping} == {(split, column)}
    message = str(raised.value)
    assert f"{column} in {split}: " in message
    assert problem in message
    assert detail in message
    assert message.endswith("Correct the data, or the schema or the configuration where it is that which is wrong")
    assert not (tmp_path / "found" / "findings.json").exists()


def test_a_few_unseen_categories_are_everyday_life(tmp_path: Path) -> None:
    assert gate({"test": with_unseen(good(), 0.05)}, tmp_path) == []


def test_drift_is_a_warning_and_the_run_goes_on(tmp_path: Path) -> None:
    shifted = good().assign(amount=lambda frame: frame.amount + np.float32(2000))
    (finding,) = gate({"test": shifted}, tmp_path)
    assert (finding.split, finding.column, finding.stops) == ("test", "amount", False)
    assert "Jensen-Shannon divergence" in finding.details
    assert "threshold" in finding.details


def test_drift_beside_a_fault_does_not_hide_it_nor_count_as_one(tmp_path: Path) -> None:
    shifted = good().assign(amount=lambda frame: frame.amount + np.float32(2000))
    with pytest.raises(BadData, match=r"^the data has 1 fault: amount in eval: Out-of-range values") as raised:
        gate({"test": shifted, "eval": out_of_range(good())}, tmp_path)
    assert [(finding.split, finding.stops) for finding in raised.value.findings] == [("eval", True), ("test", False)]


def test_an_anomaly_of_the_data_as_a_whole_stops_the_run_too() -> None:
    schema = schema_pb2.Schema()
    schema.CopyFrom(SCHEMA)
    schema.dataset_constraints.min_examples_count = 5000
    statistics = tfdv.generate_statistics_from_dataframe(good(), n_jobs=1)
    anomalies = tfdv.validate_statistics(statistics, schema)
    (finding,) = to_findings("eval", anomalies)
    assert (finding.split, finding.column, finding.stops) == ("eval", "(all)", True)
    assert finding.problem == "Low num examples in dataset."
    assert "100 examples, which is fewer than expected" in finding.details
    assert to_findings("eval", anomalies, drift=True) == []


def test_the_message_names_five_and_counts_the_rest() -> None:
    findings = [Finding("train", f"V{i}", "Column dropped", "gone", True) for i in range(7)]
    warning = Finding("test", "V9", "drift", "far", False)
    message = str(BadData([warning, *findings]))
    assert message.startswith("the data has 7 faults: V0 in train: Column dropped (gone); V1 in train")
    assert "V4 in train: Column dropped (gone); and 2 more. Correct the data" in message
    assert "V5" not in message
    assert "V9" not in message


def test_an_anomaly_with_several_reasons_gives_a_finding_for_each() -> None:
    anomalies = text_format.Parse(
        """
        anomaly_info { key: "amount" value {
          reason { type: FLOAT_TYPE_SMALL_FLOAT short_description: "Out-of-range values" description: "low:\\n  -1" }
          reason { type: COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH short_description: "High" description: "0.4" } } }
        """,
        anomalies_pb2.Anomalies(),
    )
    assert to_findings("train", anomalies) == [Finding("train", "amount", "Out-of-range values", "low: -1", True)]
    assert to_findings("test", anomalies, drift=True) == [Finding("test", "amount", "High", "0.4", False, "drift")]
