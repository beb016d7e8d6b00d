"""CurrentModel: which of the models in service a candidate is compared with, and what TFX hands on of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.types import standard_artifacts

from components.current_model import CurrentModel, PushedVersion, pushed_versions, version_to_beat
from components.model_folder import read_manifest

COLUMNS = {"label": "fraud", "time": "at", "id": "number"}


def save(folder: Path, weights: str, columns: dict[str, Any] | None = COLUMNS) -> Path:
    """A folder that looks like a SavedModel of the trainer; without a manifest where `columns` is None."""
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text("graph")
    (folder / "variables" / "variables.data-00000-of-00001").write_text(weights)
    if columns is not None:
        (folder / "assets.extra").mkdir()
        (folder / "assets.extra" / "manifest.json").write_text(json.dumps({"columns": columns}))
    return folder


@pytest.fixture
def candidate(tmp_path: Path) -> str:
    return str(save(tmp_path / "candidate", "new"))


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    return tmp_path / "serving"


def beaten(serving: Path, candidate: str) -> int | None:
    version = version_to_beat(str(serving), candidate)
    return version.number if version else None


def test_without_a_serving_folder_there_is_nothing_to_beat(serving: Path, candidate: str) -> None:
    assert pushed_versions(str(serving)) == []
    assert beaten(serving, candidate) is None


def test_an_empty_serving_folder_holds_nothing(serving: Path, candidate: str) -> None:
    serving.mkdir()
    assert beaten(serving, candidate) is None


def test_the_newest_is_found_by_number_and_not_by_text(serving: Path, candidate: str) -> None:
    for number in (9, 10, 8):
        save(serving / str(number), f"weights {number}")
    assert [version.number for version in pushed_versions(str(serving))] == [10, 9, 8]
    assert beaten(serving, candidate) == 10


def test_the_candidate_does_not_compete_with_itself(serving: Path, candidate: str) -> None:
    save(serving / "5", "new")
    assert beaten(serving, candidate) is None


def test_a_candidate_that_was_pushed_is_compared_with_what_was_there_before_it(serving: Path, candidate: str) -> None:
    save(serving / "4", "old")
    before = beaten(serving, candidate)
    save(serving / "5", "new")
    assert beaten(serving, candidate) == before == 4
    # and so it stays when a later one comes: a run on unchanged input finds all it needs in the cache
    save(serving / "6", "newer still")
    assert beaten(serving, candidate) == 4


@pytest.mark.parametrize("columns", [{**COLUMNS, "time": "when"}, None])
def test_a_model_of_other_columns_is_not_passed_over(
    serving: Path, candidate: str, columns: dict[str, Any] | None
) -> None:
    save(serving / "3", "comparable")
    save(serving / "4", "other", columns)
    assert beaten(serving, candidate) == 4
    assert read_manifest(str(serving / "4")) == ({} if columns is None else {"columns": columns})


def test_a_candidate_that_was_pushed_meets_a_newer_model_of_other_columns(serving: Path, candidate: str) -> None:
    save(serving / "4", "old")
    save(serving / "5", "new")
    save(serving / "6", "newer", {**COLUMNS, "id": "payment", "ignore": ["note"]})  # reads the same
    assert beaten(serving, candidate) == 4
    save(serving / "7", "other", {**COLUMNS, "numeric": ["age"]})
    assert beaten(serving, candidate) == 7


def test_half_a_model_is_none(serving: Path, candidate: str) -> None:
    save(serving / "3", "whole")
    half = save(serving / "4", "half")
    (half / "saved_model.pb").unlink()
    assert beaten(serving, candidate) == 3


@pytest.mark.parametrize("name", ["latest", ".incoming-7", "7.bak", "-7", "v7", "7²", "٧"])
def test_what_is_not_named_by_a_number_is_no_version(serving: Path, candidate: str, name: str) -> None:
    save(serving / name, "stray")
    (serving / "8").write_text("a file")
    assert pushed_versions(str(serving)) == []
    assert beaten(serving, candidate) is None
    save(serving / "3", "whole")
    assert pushed_versions(str(serving)) == [PushedVersion(3, os.path.join(str(serving), "3"))]


class Runs:
    """Runs of CurrentModel in one workspace, by TFX's own runner."""

    def __init__(self, folder: Path, serving: Path):
        self._folder = folder
        self._serving = serving
        self._connection = metadata.sqlite_metadata_connection_config(str(folder / "metadata.db"))

    def run(self, model: Path) -> None:
        imported = Importer(source_uri=str(model), artifact_type=standard_artifacts.Model).with_id("Imported")
        current = CurrentModel(imported.outputs["result"], str(self._serving))
        LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="small",
                pipeline_root=str(self._folder / "artifacts"),
                components=[imported, current],
                enable_cache=True,
                metadata_connection_config=self._connection,
            )
        )

    def last(self) -> tuple[str, str, list[str]]:
        """How the last execution ended, the version that it gave out, and the files of that."""
        with metadata.Metadata(self._connection) as handle:
            executions = handle.store.get_executions_by_type("components.current_model.CurrentModel")
            execution = max(executions, key=lambda each: each.id)
            events = handle.store.get_events_by_execution_ids([execution.id])
            (output,) = [event for event in events if event.type == metadata_store_pb2.Event.OUTPUT]
            (artifact,) = handle.store.get_artifacts_by_id([output.artifact_id])
        files = [
            os.path.relpath(os.path.join(parent, name), artifact.uri)
            for parent, _, names in os.walk(artifact.uri)
            for name in names
        ]
        state = metadata_store_pb2.Execution.State.Name(execution.last_known_state)
        return state, artifact.custom_properties["version"].string_value, sorted(files)


def test_through_tfx_the_model_in_service_is_copied_and_a_new_one_misses_the_cache(
    tmp_path: Path, serving: Path
) -> None:
    model = tmp_path / "model"
    save(model / "Format-Serving", "new")
    runs = Runs(tmp_path, serving)
    runs.run(model)
    assert runs.last() == ("COMPLETE", "", [])

    # with zeros in front, as older exporters name them
    save(serving / "0041", "old")
    runs.run(model)
    copied = [
        "Format-Serving/assets.extra/manifest.json",
        "Format-Serving/saved_model.pb",
        "Format-Serving/variables/variables.data-00000-of-00001",
    ]
    assert runs.last() == ("COMPLETE", "0041", copied)
    # the candidate's own push changes nothing for it
    save(serving / "42", "new")
    runs.run(model)
    assert runs.last() == ("CACHED", "0041", copied)
