"""StatisticsGen against TFX's own on the same examples: equal statistics, equal anomalies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import json_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx.components.statistics_gen import executor as stock
from tfx.types import artifact_utils, standard_artifacts

from components import statistics_gen
from components.properties import FEATURES_PROPERTY
from tests.support.small_data import BEAM, SHOP_COLUMNS, shop_rows, write
from trainer import examples as example_files
from trainer.columns import EXAMPLE_WEIGHT

SPLITS = {"train": 90, "eval": 40}


@pytest.fixture(scope="module", autouse=True)
def _no_arguments() -> Iterator[None]:
    """TFX's Beam executors read the flags of the process: `-v` means another thing to them than to pytest."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.argv", ["test"])
        yield


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> standard_artifacts.Examples:
    """A shop's transactions with gaps, in two splits; train lies in two files."""
    folder = tmp_path_factory.mktemp("examples")
    for split, count in SPLITS.items():
        (folder / f"Split-{split}").mkdir()
        rows = shop_rows(count, seed=len(split))
        write(rows[:30], folder / f"Split-{split}" / "data_tfrecord-00000-of-00002.gz")
        write(rows[30:], folder / f"Split-{split}" / "data_tfrecord-00001-of-00002.gz")
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder)
    artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
    artifact.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    kinds = {**SHOP_COLUMNS.raw_kinds, SHOP_COLUMNS.label: "integer", EXAMPLE_WEIGHT: "float"}
    artifact.set_string_custom_property(FEATURES_PROPERTY, json.dumps(kinds))
    return artifact


def run(executor: Any, examples: standard_artifacts.Examples, folder: Path) -> dict[str, Any]:
    """The statistics of each split, as the executor writes them."""
    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(folder / "statistics")
    context = executor.Context(beam_pipeline_args=list(BEAM), tmp_dir=str(folder / "tmp"), unique_id="1")
    executor(context).Do({"examples": [examples]}, {"statistics": [statistics]}, {})
    assert artifact_utils.decode_split_names(statistics.split_names) == list(SPLITS)
    return {split: tfdv.load_stats_binary(f"{statistics.uri}/Split-{split}/FeatureStats.pb") for split in SPLITS}


@pytest.fixture(scope="module")
def both(
    examples: standard_artifacts.Examples, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    ours, theirs = (tmp_path_factory.mktemp(name) for name in ("ours", "stock"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(example_files, "batch_rows", lambda features: 25)  # several batches to merge
        own = run(statistics_gen.Executor, examples, ours)
    return own, run(stock.Executor, examples, theirs)


def by_feature(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> dict[str, Any]:
    (dataset,) = statistics.datasets
    return {feature.path.step[0]: json_format.MessageToDict(feature) for feature in dataset.features}


def assert_close(actual: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert set(actual) == set(expected)
        for key in expected:
            assert_close(actual[key], expected[key])
    elif isinstance(expected, list):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, float):
        assert actual == pytest.approx(expected, rel=1e-9, abs=1e-9)
    else:
        assert actual == expected


@pytest.mark.parametrize("split", SPLITS)
def test_statistics_equal_those_of_tfx(both: tuple[dict[str, Any], dict[str, Any]], split: str) -> None:
    ours, theirs = (by_feature(statistics[split]) for statistics in both)
    # TFX does not see a column that is empty in every example; we know that it should be there
    assert set(ours) - set(theirs) == {"limit"}
    assert "numNonMissing" not in ours["limit"]["numStats"]["commonStats"]
    assert len(theirs) == 9
    for name, feature in theirs.items():
        assert_close(ours[name], feature)
    assert both[0][split].datasets[0].num_examples == both[1][split].datasets[0].num_examples == SPLITS[split]


def test_anomalies_are_still_found(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    schema = tfdv.infer_schema(both[1]["train"])
    schema.feature.remove(next(feature for feature in schema.feature if feature.name == "terminal"))
    tfdv.get_feature(schema, "balance").presence.min_fraction = 1.0
    card = schema_pb2.StringDomain(name="cards", value=["gold", "blue"])
    tfdv.set_domain(schema, "card type", card)
    tfdv.get_feature(schema, "age").float_domain.CopyFrom(schema_pb2.FloatDomain(max=50.0))
    anomaly_types, kinds = {}, anomalies_pb2.AnomalyInfo.Type
    for name, statistics in zip(("ours", "theirs"), both, strict=True):
        anomalies = tfdv.validate_statistics(statistics["eval"], schema).anomaly_info
        anomaly_types[name] = {
            column: sorted(kinds.Name(reason.type) for reason in info.reason) for column, info in anomalies.items()
        }
    assert anomaly_types["ours"].pop("limit") == ["SCHEMA_NEW_COLUMN"]  # the column that TFX does not see
    assert set(anomaly_types["theirs"]) >= {"terminal", "balance", "card type", "age"}
    assert anomaly_types["ours"] == anomaly_types["theirs"]
