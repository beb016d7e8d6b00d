"""How this program was called, for the commands that it suggests: they work from where one stands."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pipeline.escaping import in_shell

NAME = "fraud-pipeline"  # of the console script that installing the package makes


def command(*words: str | os.PathLike[str]) -> str:
    """A command of this program, to be copied into a shell that stands where this process does."""
    return " ".join(map(in_shell, (*program(), *words)))


def program() -> list[str]:
    """The words that call this program from here: its name where PATH has it, else its path, else Python's module."""
    script = shutil.which(sys.argv[0]) if Path(sys.argv[0]).name == NAME else None
    return [_shortest(script)] if script else [_shortest(sys.executable), "-m", "pipeline"]


def _shortest(executable: str) -> str:
    """The name where PATH leads to this very file, a relative path below the current folder, else the absolute one."""
    path = Path(os.path.abspath(executable))  # not resolved: a virtual environment's Python is a link
    on_path = shutil.which(path.name)
    if on_path and os.path.abspath(on_path) == str(path):
        return path.name
    here = Path.cwd()
    if not path.is_relative_to(here):
        return str(path)
    below = str(path.relative_to(here))
    return below if "/" in below else f"./{below}"  # without a slash a shell looks on PATH alone
