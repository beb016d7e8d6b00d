"""Data through the real ExampleGen, StatisticsGen, ExampleValidator and DataGate, and what the gate says of it."""

from __future__ import annotations

import atexit
import functools
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.example_validator.executor import Executor as Validator
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import proto_utils

from components import example_gen, statistics_gen
from components.data_gate import DataGate, Findings, read_findings
from components.example_gen import TransactionsSettings
from components.findings import BadData, Finding
from components.reading.settings import SPLITS
from pipeline.config import Config
from tests.support.small_data import BEAM


def gate(path: Path | str, config: Config, schema: schema_pb2.Schema) -> list[Finding]:
    """The findings of a run, whether some of them stop it or not; the files that the gate writes are removed."""
    with tempfile.TemporaryDirectory(prefix="fraud-pipeline-test-") as folder:
        try:
            return run_gate(path, config, schema, Path(folder))
        except BadData as error:
            return error.findings


def run_gate(path: Path | str, config: Config, schema: schema_pb2.Schema, folder: Path) -> list[Finding]:
    """Runs ExampleValidator and the gate in `folder`, behind the components that make examples and statistics.

    Raises:
      BadData: some findings stop the run.
    """
    examples, statistics = _measured(Path(path).read_bytes(), Path(path).name, _settings(config).model_dump_json())
    made = {
        "schema": standard_artifacts.Schema(),
        "anomalies": standard_artifacts.ExampleAnomalies(),
        "findings": Findings(),
    }
    for name, artifact in made.items():
        artifact.uri = str(folder / name)
        (folder / name).mkdir(parents=True)
    tfdv.write_schema_text(schema, str(folder / "schema" / "schema.pbtxt"))
    inputs: dict[str, Any] = {"statistics": [statistics], "schema": [made["schema"]]}
    Validator().Do(inputs, {"anomalies": [made["anomalies"]]}, {"exclude_splits": "[]"})
    DataGate.EXECUTOR_SPEC.executor_class().Do(
        {**inputs, "examples": [examples], "anomalies": [made["anomalies"]]},
        {"findings": [made["findings"]]},
        {"columns": config.roles.model_dump_json(), "leakage": config.data.leakage.model_dump_json()},
    )
    return read_findings(made["findings"].uri)


def _settings(config: Config) -> TransactionsSettings:
    return TransactionsSettings(
        columns=config.roles, split=config.data.split, sampling_rates=config.sampling_rates, origin="Made by hand"
    )


@functools.cache
def _measured(content: bytes, name: str, settings: str) -> tuple[Any, Any]:
    """The examples of a file's content, and their statistics; for several schemas they are made once."""
    folder = Path(tempfile.mkdtemp(prefix="fraud-pipeline-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "data").mkdir()
    (folder / "data" / name).write_bytes(content)
    examples, statistics = standard_artifacts.Examples(), standard_artifacts.ExampleStatistics()
    examples.uri, statistics.uri = str(folder / "examples"), str(folder / "statistics")
    custom_config = proto_utils.proto_to_json(TransactionsSettings.model_validate_json(settings).to_proto())
    properties = {"input_base": str(folder / "data" / name), "custom_config": custom_config}
    # TFX's Beam executors read the flags of the process: `-v` means another thing to them than to pytest
    with mock.patch.object(sys, "argv", ["test"]):
        _beam(example_gen.Executor, folder).Do({}, {"examples": [examples]}, properties)
        _beam(statistics_gen.Executor, folder).Do({"examples": [examples]}, {"statistics": [statistics]}, {})
    assert artifact_utils.decode_split_names(statistics.split_names) == list(SPLITS)
    return examples, statistics


def _beam(executor: Any, folder: Path) -> Any:
    return executor(executor.Context(beam_pipeline_args=list(BEAM), tmp_dir=str(folder / ".tmp"), unique_id="1"))
