"""What is left of attempts that end, fail, or are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components.attempts import FOLDER, attempt, clear

# writes a part of a file, says so, and waits
_HANGING = """
import sys, time
from components.attempts import attempt
with attempt(sys.argv[1], sys.argv[2]) as own, open(own, "w") as file:
    file.write("half")
    file.flush()
    print("begun", flush=True)
    time.sleep(600)
"""


def test_a_file_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "Split-train" / "rows"
    path.parent.mkdir()
    with clear(str(tmp_path)):
        with attempt(str(tmp_path), str(path)) as own:
            Path(own).write_text("all")
            assert os.listdir(path.parent) == []
        assert path.read_text() == "all"
    assert os.listdir(tmp_path) == ["Split-train"]


def test_an_attempt_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text("of another attempt")

    def fails() -> None:
        with attempt(str(tmp_path), str(path)) as own:
            Path(own).write_text("half")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        fails()
    assert path.read_text() == "of another attempt"
    assert os.listdir(tmp_path / FOLDER) == []


def test_what_a_killed_worker_left_is_in_nobodys_way_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "Split-train" / "rows"
    path.parent.mkdir()
    with clear(str(tmp_path)):
        with subprocess.Popen(
            [sys.executable, "-c", _HANGING, str(tmp_path), str(path)], stdout=subprocess.PIPE, text=True
        ) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "begun\n"
            worker.send_signal(signal.SIGKILL)
        assert os.listdir(path.parent) == []
        assert len(os.listdir(tmp_path / FOLDER)) == 1
        with attempt(str(tmp_path), str(path)) as own:
            Path(own).write_text("all")
        assert path.read_text() == "all"
    assert os.listdir(tmp_path) == ["Split-train"]


def test_leftovers_are_removed_when_the_work_fails_too(tmp_path: Path) -> None:
    def fails() -> None:
        with clear(str(tmp_path)):
            (tmp_path / FOLDER).mkdir()
            (tmp_path / FOLDER / "left").write_text("half")
            raise RuntimeError("the engine is gone")

    with pytest.raises(RuntimeError, match="engine"):
        fails()
    assert os.listdir(tmp_path) == []
