"""The hyperparameters that an earlier run found, from wherever they are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import keras_tuner
import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline import warm_start
from pipeline.config import Config
from trainer.errors import InputError
from trainer.search.settings import Tuning

BEST_VALUES = {"units": 64, "learning_rate": 0.004}


def _config(workspace: Path, warm_start: Any) -> Config:
    return Config(workspace=workspace, tuning=Tuning(warm_start=warm_start))


def _written(folder: Path, values: dict[str, Any] = BEST_VALUES) -> Path:
    """A file as TFX's Tuner writes it."""
    space = keras_tuner.HyperParameters()
    space.Choice("units", [32, 64])
    space.values = {**values, "tuner/epochs": 3, "tuner/trial_id": "0001"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / warm_start.FILE).write_text(json.dumps(space.get_config()))
    return folder / warm_start.FILE


def _record_artifact(workspace: Path, uri: Path, kind: str = "HyperParameters") -> None:
    workspace.mkdir(exist_ok=True)
    connection = pb.ConnectionConfig()
    connection.sqlite.filename_uri = str(workspace / "metadata.db")
    store = ml_metadata.MetadataStore(connection)
    type_id = store.put_artifact_type(pb.ArtifactType(name=kind))
    store.put_artifacts([pb.Artifact(type_id=type_id, uri=str(uri), state=pb.Artifact.LIVE)])


def test_without_a_warm_start_nothing_changes(tmp_path: Path) -> None:
    assert warm_start.values(_config(tmp_path, None)) is None


def test_before_the_first_run_there_is_no_last_one(tmp_path: Path) -> None:
    assert warm_start.values(_config(tmp_path / "new", "last")) is None
    _record_artifact(tmp_path / "used", tmp_path / "model", kind="Model")
    assert warm_start.values(_config(tmp_path / "used", "last")) is None


def test_the_last_runs_are_taken(tmp_path: Path) -> None:
    for number, rate in enumerate((0.1, 0.004)):
        folder = tmp_path / "artifacts" / str(number)
        _written(folder, {**BEST_VALUES, "learning_rate": rate})
        _record_artifact(tmp_path, folder)
    assert warm_start.values(_config(tmp_path, "last")) == BEST_VALUES


def test_a_last_run_whose_files_are_gone_is_an_error(tmp_path: Path) -> None:
    _record_artifact(tmp_path, tmp_path / "gone")
    with pytest.raises(
        InputError, match=r"gone/best_hyperparameters\.txt can't be read \(there is no such file or folder\)"
    ):
        warm_start.values(_config(tmp_path, "last"))


def test_a_file_or_its_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _written(tmp_path / "earlier")
    assert warm_start.values(_config(tmp_path, str(file))) == BEST_VALUES
    assert warm_start.values(_config(tmp_path, str(tmp_path / "earlier"))) == BEST_VALUES
    plain = tmp_path / "values.json"
    plain.write_text(json.dumps(BEST_VALUES))
    assert warm_start.values(_config(tmp_path, str(plain))) == BEST_VALUES
    monkeypatch.setenv("HOME", str(tmp_path))
    assert warm_start.values(_config(tmp_path, "~/earlier")) == BEST_VALUES


def test_a_mapping_is_taken_without_hyperbands_keys(tmp_path: Path) -> None:
    values = {**BEST_VALUES, "tuner/epochs": 3, "tuner/bracket": 1}
    assert warm_start.values(_config(tmp_path, values)) == BEST_VALUES
    # as YAML reads 4e-3
    assert warm_start.values(_config(tmp_path, {**BEST_VALUES, "learning_rate": "4e-3"})) == BEST_VALUES
    assert warm_start.values(_config(tmp_path, {})) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"is not JSON \(Expecting property name .*\); expected a best_hyperparameters\.txt"),
        ("\udcff", r"is not JSON \(.*\); expected a best_hyperparameters\.txt"),
        ("[1, 2]", "holds list, expected names and values"),
        ('{"values": 3}', "holds int, expected names and values"),
        ('{"values": {"lr": 0.1}}', "has hyperparameters that can't be trained: no hyperparameter is called lr"),
        ('{"dropout": 2}', "dropout: expected less than 1, got 2"),
        ('{"units": "many"}', "units: expected a whole number"),
    ],
)
def test_a_file_that_holds_something_else_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "found.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{message}") as caught:
        warm_start.values(_config(tmp_path, str(path)))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    way_out = "give last, a best_hyperparameters.txt of an earlier run or its folder, or a mapping of values"
    with pytest.raises(InputError) as caught:
        warm_start.values(_config(tmp_path, str(tmp_path / "nowhere")))
    assert str(caught.value) == (
        f"tuning.warm_start: {tmp_path}/nowhere can't be read (there is no such file or folder); {way_out}"
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty/best_hyperparameters\.txt can't be read"):
        warm_start.values(_config(tmp_path, str(tmp_path / "empty")))
