"""The command line in processes of its own, and the workspace that it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_STATES = {"✓": "ran", "✗": "failed"}


@dataclass(frozen=True)
class Finished:
    """A `fraud-pipeline` command that ended: its exit code and all it printed."""

    code: int
    output: str

    @property
    def components(self) -> dict[str, str]:
        """`ran`, `cached` or `failed` for each component that the run showed."""
        states = {}
        for line in self.output.splitlines():
            mark, *words = line.split()[:3] or [""]
            if mark in _STATES and len(words) == 2:
                states[words[0]] = "cached" if words[1] == "cached" else _STATES[mark]
        return states


def run_command(
    *arguments: str, environment: dict[str, str] | None = None, folder: Path = ROOT, timeout: float = 400
) -> Finished:
    """Runs the command line in a process of its own, as a user would who stands in that folder."""
    settings = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    settings.pop("FRAUD_PIPELINE_DATA", None)
    settings.update(environment or {})
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        env=settings,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    return Finished(done.returncode, done.stdout)


@dataclass(frozen=True)
class Workspace:
    """A workspace after a run on `transactions`, and the arguments that run it again."""

    folder: Path
    first: Finished
    arguments: tuple[str, ...]

    @property
    def pushed(self) -> list[Path]:
        """Folders of the pushed models, oldest first."""
        serving = self.folder / "serving"
        return sorted(path for path in serving.iterdir() if path.name.isdigit()) if serving.exists() else []

    def runs(self) -> list[dict[str, Any]]:
        listed = run_command("runs", "--json", *self.arguments)
        runs: list[dict[str, Any]] = json.loads(listed.output)
        return runs
