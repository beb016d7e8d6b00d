"""This pipeline's own command line, as a contender."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import executions, processes
from benchmarks.results import Figures

NOT_BLESSED = 3
# Stock components and the tutorial get the same: without early stopping, so that all do the same work.
BUDGET = (
    "tuning.trials=4",
    "tuning.epochs=3",
    "training.epochs=20",
    "training.patience=null",
    "tuning.prune_trials=false",
)
METADATA = "metadata.db"
EXAMPLES = Path("artifacts/ExampleGen/examples")


def synthesize(path: Path, rows: int, seed: int, log: Path) -> Path:
    """Writes synthesized transactions to `path`, as CSV or Parquet by its name."""
    command = [sys.executable, "-m", "pipeline", "data", "synthesize", "--rows", rows, "--seed", seed, "-o", path]
    processes.run([str(word) for word in command], log)
    return path


def settings(workspace: Path, *overrides: str) -> list[str]:
    return [word for override in (f"workspace={workspace}", *overrides) for word in ("--set", override)]


def run(workspace: Path, log: Path, *overrides: str, config: str = "configs/local.yaml", **variables: str) -> Figures:
    """One run of the whole pipeline as a process; a model that is not blessed counts as a result too."""
    command = [sys.executable, "-m", "pipeline", "run", "--config", config, *settings(workspace, *overrides)]
    finished = processes.run(command, log, allowed=(0, NOT_BLESSED), **variables)
    return executions.figures(finished, workspace / METADATA)
