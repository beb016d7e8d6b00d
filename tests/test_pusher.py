"""Pusher: a blessed model goes into service whole, once, under a number that only grows."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tfx.dsl.io import fileio
from tfx.types import standard_artifacts
from tfx.utils import json_utils

from components.current_model import pushed_versions
from components.digests import folder_digest
from components.pusher import Executor, push


def save(folder: Path, weights: str) -> str:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text("graph")
    (folder / "variables" / "variables.index").write_text(weights)
    return str(folder)


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    return tmp_path / "serving"


def test_a_push_copies_every_file_under_the_time_of_day(tmp_path: Path, serving: Path) -> None:
    model = save(tmp_path / "model", "first")
    before = int(time.time())
    version, folder = push(model, str(serving))
    assert before <= version <= int(time.time())
    assert folder == str(serving / str(version))
    assert os.listdir(serving) == [str(version)]
    assert folder_digest(folder) == folder_digest(model)


def test_what_is_in_service_is_not_pushed_again(tmp_path: Path, serving: Path) -> None:
    first = push(save(tmp_path / "one", "same"), str(serving))
    stamp = os.stat(first[1]).st_mtime_ns
    assert push(save(tmp_path / "two", "same"), str(serving)) == first
    assert os.listdir(serving) == [str(first[0])]
    assert os.stat(first[1]).st_mtime_ns == stamp


def test_each_push_has_a_larger_number_even_within_a_second_or_with_the_clock_behind(
    tmp_path: Path, serving: Path
) -> None:
    future = int(time.time()) + 10**6
    save(serving / str(future), "from a machine whose clock is ahead")
    versions = [push(save(tmp_path / name, name), str(serving))[0] for name in ("a", "b", "c")]
    assert versions == [future + 1, future + 2, future + 3]


def test_going_back_to_an_earlier_model_is_a_push_of_its_own(tmp_path: Path, serving: Path) -> None:
    good, bad = save(tmp_path / "good", "good"), save(tmp_path / "bad", "bad")
    pushed = [push(model, str(serving))[0] for model in (good, bad, good)]
    assert pushed == sorted(set(pushed))
    assert folder_digest(pushed_versions(str(serving))[0].folder) == folder_digest(good)


def test_a_copy_that_breaks_off_leaves_nothing_that_looks_like_a_version(tmp_path: Path, serving: Path) -> None:
    model = save(tmp_path / "model", "weights")
    broken = tmp_path / "model" / "variables" / "variables.data-00000-of-00001"
    broken.symlink_to(tmp_path / "lost")  # the copy finds out after saved_model.pb is there
    with pytest.raises(fileio.NotFoundError):
        push(model, str(serving))
    (left,) = os.listdir(serving)
    assert (serving / left / "saved_model.pb").exists()
    assert not left.isdigit()
    assert pushed_versions(str(serving)) == []

    broken.unlink()
    version, _ = push(model, str(serving))
    assert os.listdir(serving) == [str(version)]


def test_leftovers_of_a_killed_push_go_and_other_folders_stay(tmp_path: Path, serving: Path) -> None:
    save(serving / ".incoming-17", "half")
    save(serving / "notes", "of the operator")
    version, _ = push(save(tmp_path / "model", "whole"), str(serving))
    assert sorted(os.listdir(serving)) == sorted([str(version), "notes"])


def execute(tmp_path: Path, model: Path, serving: Path, *, blessed: bool) -> standard_artifacts.PushedModel:
    """What TFX's launcher does with the executor."""
    artifact, blessing, pushed = (
        standard_artifacts.Model(),
        standard_artifacts.ModelBlessing(),
        standard_artifacts.PushedModel(),
    )
    artifact.uri, blessing.uri, pushed.uri = str(model), str(tmp_path / "blessing"), str(tmp_path / "pushed")
    blessing.set_int_custom_property("blessed", int(blessed))
    destination = json_utils.dumps({"filesystem": {"base_directory": str(serving)}})
    Executor().Do(
        {"model": [artifact], "model_blessing": [blessing]},
        {"pushed_model": [pushed]},
        {"push_destination": destination},
    )
    return pushed


def test_a_blessed_model_is_pushed_and_the_artifact_says_where(tmp_path: Path, serving: Path) -> None:
    model = save(tmp_path / "model" / "Format-Serving", "blessed")
    pushed = execute(tmp_path, tmp_path / "model", serving, blessed=True)
    (version,) = pushed_versions(str(serving))
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_destination") == version.folder
    assert pushed.get_string_custom_property("pushed_version") == str(version.number)
    assert folder_digest(version.folder) == folder_digest(pushed.uri) == folder_digest(model)


def test_a_model_that_is_not_blessed_touches_nothing(tmp_path: Path, serving: Path) -> None:
    save(tmp_path / "model" / "Format-Serving", "not blessed")
    save(serving / ".incoming-17", "half")
    pushed = execute(tmp_path, tmp_path / "model", serving, blessed=False)
    assert pushed.get_int_custom_property("pushed") == 0
    assert pushed.get_string_custom_property("pushed_destination") == ""
    assert os.listdir(serving) == [".incoming-17"]
    assert not (tmp_path / "pushed").exists()
