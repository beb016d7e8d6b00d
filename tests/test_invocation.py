"""The commands that are suggested work from where one stands, however the program was called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Says how it is called, which is a command that says so again.
SCRIPT = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT)!r})
from pipeline.invocation import command
print(command(*sys.argv[1:]))
"""


def bash(command: str, folder: Path, *path: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment["PATH"] = os.pathsep.join([*map(str, path), os.environ["PATH"]])
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with an installed `fraud-pipeline` and a folder to stand in."""
    script = tmp_path / "it's home" / "bin" / "fraud-pipeline"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    script.chmod(0o755)
    (tmp_path / "it's home" / "data").mkdir()
    return tmp_path / "it's home"


@pytest.mark.parametrize(
    ("called", "folder", "on_path", "program"),
    [
        ("fraud-pipeline", "data", True, "fraud-pipeline"),
        ("../bin/fraud-pipeline", "data", True, "fraud-pipeline"),
        ("bin/fraud-pipeline", "", False, "bin/fraud-pipeline"),
        ('"$PWD"/bin/fraud-pipeline', "", False, "bin/fraud-pipeline"),
        ("./fraud-pipeline", "bin", False, "./fraud-pipeline"),
        ("../bin/fraud-pipeline", "data", False, None),  # its absolute path
    ],
)
def test_a_suggested_command_calls_what_was_called(home, called, folder, on_path, program):
    path = [home / "bin"] if on_path else []
    shown = bash(f"{called} --config 'my [b] \"c\".yaml' $'a\\nb'", home / folder, *path)
    words = "--config 'my [b] \"c\".yaml' $'a\\x0ab'"
    absolute = "'" + f"{home}/bin/fraud-pipeline".replace("'", "'\"'\"'") + "'"
    assert shown == f"{program or absolute} {words}"
    assert bash(shown, home / folder, *path) == shown


def test_a_link_to_another_program_of_that_name_on_the_path_is_not_it(home, tmp_path):
    other = tmp_path / "other" / "fraud-pipeline"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\necho another\n")
    other.chmod(0o755)
    assert bash("bin/fraud-pipeline runs", home, other.parent) == "bin/fraud-pipeline runs"


def test_without_a_script_it_is_python_s_module(home):
    """As of a source tree that is not installed."""
    called = f"{sys.executable} -m pipeline run --unknown 2>&1 || true"
    error, suggestion = bash(called, home / "data").split("\n")
    assert error == "error: No such option: --unknown"
    command = suggestion.removeprefix("Its help: ")
    assert command.endswith(" -m pipeline run --help")
    assert "Usage: fraud-pipeline run" in bash(command, home / "data")
