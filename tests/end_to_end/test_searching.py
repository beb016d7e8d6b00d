"""The search in a run: killed and gone on with, cross-validated in several processes, warm, off, and impossible."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.command_line import ROOT, Finished, Workspace
from trainer.search.settings import with_hyperparameters
from trainer.search.trials import Record
from trainer.settings import Training

SEARCH = (
    *("tuning.trials=6", "tuning.epochs=3", "tuning.folds=2", "tuning.workers=2", "tuning.prune_trials=false"),
    *("training.epochs=2", "evaluation.min_average_precision=0", "evaluation.max_average_precision_loss=1"),
    "challengers.max_average_precision_loss=1",  # of two epochs no good network comes
)


@pytest.fixture(scope="module")
def copy(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared run's workspace again: all before the Tuner comes from its cache, and nobody sees what is done."""
    folder = tmp_path_factory.mktemp("search") / "workspace"
    shutil.copytree(workspace.folder, folder)
    return folder


@pytest.fixture(scope="module")
def arguments(workspace: Workspace, copy: Path) -> list[str]:
    settings = (f"workspace={copy}", *workspace.arguments[3:4], *SEARCH)
    return [word for setting in settings for word in ("--set", setting)]


def ended(copy: Path) -> dict[str, list[float]]:
    """Begin and end of the trials that were over when the search was killed."""
    (folder,) = (copy / "searches").iterdir()
    state = json.loads((folder / "search" / "oracle.json").read_text())
    return {trial: state["times"][trial] for trial in state["end_order"]}


def stopped(copy: Path, arguments: list[str], number: signal.Signals, over: Callable[[list[str]], bool]) -> Finished:
    """A run that was sent a signal, as a terminal sends it to all in its foreground.

    over: whether the trials that have ended are enough.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    children: list[psutil.Process] = []
    deadline = time.monotonic() + 180
    try:
        while time.monotonic() < deadline:
            states = list((copy / "searches").glob("*/search/oracle.json"))
            if states and over(json.loads(states[0].read_text())["end_order"]):
                break
            assert process.poll() is None, "the run ended before it could be stopped"
            time.sleep(0.02)
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        os.killpg(process.pid, number)
        shown, _ = process.communicate(timeout=60)
    assert len(children) == 1  # a worker beside the run itself
    psutil.wait_procs(children, timeout=20)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    return Finished(process.returncode, shown)


@pytest.fixture(scope="module")
def interrupted(copy: Path, arguments: list[str]) -> Finished:
    """A run that was interrupted by Ctrl-C once a trial was over."""
    return stopped(copy, arguments, signal.SIGINT, over=bool)


@pytest.fixture(scope="module")
def killed(interrupted: Finished, copy: Path, arguments: list[str]) -> dict[str, list[float]]:
    """The same run again, killed once those trials were over that may have been interrupted; the times of all.

    A trial that was under way each time that its process was killed would be given up.
    """
    first = {"0", "1", "2"}
    assert stopped(copy, arguments, signal.SIGKILL, over=first.issubset).code == -signal.SIGKILL
    return ended(copy)


@pytest.fixture(scope="module")
def finished(killed: dict[str, list[float]], arguments: list[str], fraud_pipeline: Callable[..., Finished]) -> Finished:
    return fraud_pipeline("run", *arguments)


@pytest.fixture(scope="module")
def results(finished: Finished, copy: Path) -> Path:
    """The artifact of the search that was gone on with."""
    assert finished.code == 0, finished.output
    return max((copy / "artifacts/Tuner/tuner_results").iterdir(), key=lambda path: int(path.name))


def test_a_search_that_is_interrupted_says_so_and_leaves_nothing_running(interrupted):
    assert interrupted.code == 130, interrupted.output
    assert "Stopping after this step; press Ctrl-C again to stop at once." in interrupted.output
    last = interrupted.output.strip().splitlines()[-1]
    assert last == "error: interrupted; the same command goes on from the last finished component"
    assert re.search(r"✗ Tuner +stopped after", interrupted.output)


def test_a_killed_search_goes_on_with_the_trials_it_has(finished, killed, results, copy):
    assert finished.components["Transform"] == "cached"
    assert finished.components["Tuner"] == "ran"
    record = Record.load(str(results))
    assert [trial.status for trial in record.trials] == ["completed"] * 6
    for trial_id, (started, over) in killed.items():
        assert (record.trial(trial_id).started, record.trial(trial_id).ended) == (started, over)
    assert all(trial.started >= max(over for _, over in killed.values()) - 60 for trial in record.trials[3:])
    assert list((copy / "searches").iterdir()) == []


def test_every_trial_is_cross_validated(results):
    record = Record.load(str(results))
    for trial in record.trials:
        assert len(trial.folds) == 2
        assert trial.spread is not None
        assert trial.score == pytest.approx(sum(trial.folds) / 2)


def test_the_best_values_are_printed_and_trained(finished, results, copy):
    record = Record.load(str(results))
    assert record.conclusion in " ".join(finished.output.split())
    best = json.loads(
        (results.parents[1] / "best_hyperparameters" / results.name / "best_hyperparameters.txt").read_text()
    )
    assert best["values"] == record.trial(record.best).values
    (manifest,) = sorted(copy.glob("serving/*/assets.extra/manifest.json"))[-1:]
    trained = Training.model_validate(json.loads(manifest.read_text())["training"])
    assert with_hyperparameters(trained, best["values"]) == trained
    tfx_own = json.loads((results / "tuner_results.json").read_text())
    assert {trial["trial_id"]: trial["score"] for trial in tfx_own} == {
        trial.trial_id: trial.score for trial in record.trials
    }


def test_trials_are_in_tensorboard_and_in_the_report(finished, results, copy):
    record = Record.load(str(results))
    logged = {path.parent.name for path in results.glob("tensorboard/*/events.*")}
    assert logged == {f"trial_{trial.trial_id}" for trial in record.trials}
    report = max(copy.glob("artifacts/Report/report/*/report.html"), key=lambda path: path.stat().st_mtime)
    page = report.read_text()
    assert record.conclusion.split(",")[0].replace("'", "&#x27;") in page
    assert "parcoords" in page


def test_more_folds_than_frauds_are_refused_before_any_training(finished, arguments, fraud_pipeline):
    done = fraud_pipeline("run", *arguments, "--set", "tuning.folds=5000")
    assert done.code == 2
    output = " ".join(done.output.replace("│", " ").split())
    assert "tuning.folds is 5,000" in output
    assert "take tuning.folds=" in output
    assert done.components["Tuner"] == "failed"
    assert "Trainer" not in done.components
