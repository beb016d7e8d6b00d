"""The Job of a search: its manifest against Kubernetes' own schemas, its commands run as processes of this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.support.small_fold import separable
from trainer.columns import Columns
from trainer.custom_config import TrainerSettings
from trainer.folds import Fold
from trainer.search.settings import Space, Tuning
from trainer.search.trials import Record
from trainer.search.tuner import Search
from trainer.search.workers import FAILED
from trainer.settings import Network, Training

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = sorted((ROOT / "kubeflow" / "manifests" / "search").glob("*.yaml"))  # the overlays: test_kustomize.py
SETTINGS = TrainerSettings(
    columns=Columns(label="y", numeric=("a", "b", "c")),
    training=Training(network=Network(units=(4,), dropout=0.0), learning_rate=0.02, batch_size=64),
    tuning=Tuning(
        trials=3, epochs=2, workers=2, external_workers=True, space=Space(units=(2, 4, 8), learning_rate=(0.02, 0.05))
    ),
)


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_manifest_is_valid(path: Path) -> None:
    version = kubernetes_validate.latest_version()
    results = [kubernetes_validate.validate(document, version, strict=True) for document in documents(path)]
    assert results == [version.rpartition(".")[0]] * len(results) != []  # it raises where one is wrong


def test_a_wrong_manifest_would_be_noticed() -> None:
    (_, job) = documents(ROOT / "kubeflow/manifests/search/search.yaml")
    job["spec"]["completion"] = 5
    with pytest.raises(kubernetes_validate.ValidationError, match="completion"):
        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


def pod(job: dict[str, Any], index: int, workspace: Path, port: int) -> subprocess.Popen[str]:
    """The Job's container of that index as a process: its command, with the volume's place and the service's name."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "workspace"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert variables["KERASTUNER_ORACLE_IP"] == "fraud-search-0.fraud-search"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("KERASTUNER")},
        **variables,
        "KERASTUNER_ORACLE_IP": "localhost",
        "KERASTUNER_ORACLE_PORT": str(port),
        "JOB_COMPLETION_INDEX": str(index),
        "PYTHONPATH": str(ROOT),
    }
    words = [*container["command"], *(word.replace(mount["mountPath"], str(workspace)) for word in container["args"])]
    assert words[0] == "python"
    return subprocess.Popen(
        [sys.executable, *words[1:]], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_chief_and_workers_of_the_job_run_the_search_that_the_tuner_planned(tmp_path: Path) -> None:
    _, job = documents(ROOT / "kubeflow/manifests/search/search.yaml")
    folds = [Fold(separable(300, seed=1), separable(150, seed=2), {})]
    planner = Search(SETTINGS, folds, str(tmp_path / "searches" / "0123"))
    planner.plan()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    pods = [pod(job, index, tmp_path, port) for index in range(3)]

    def watch() -> None:
        """A Job starts a chief that failed again, for which nobody waits here."""
        if pods[0].wait() != 0:
            (tmp_path / "searches" / "0123" / FAILED).write_text("the chief ended")

    threading.Thread(target=watch).start()
    try:
        planner.search()  # waits for them
        outputs = [process.communicate(timeout=60)[0] for process in pods]
    finally:
        for process in pods:
            process.kill()
    assert [process.returncode for process in pods] == [0, 0, 0], outputs
    record = planner.record()
    assert record.conclusion in outputs[0]
    assert record.trials == Record.load(str(tmp_path / "searches" / "0123")).trials
    best = json.loads((tmp_path / "searches" / "0123" / "best_hyperparameters.txt").read_text())
    assert best["values"] == planner.get_best_hyperparameters()[0].values == record.trial(record.best).values

    here = SETTINGS.model_copy(
        update={"tuning": SETTINGS.tuning.model_copy(update={"workers": 1, "external_workers": False})}
    )
    alone = Search(here, folds, str(tmp_path / "alone"))
    alone.search()
    trials = [(trial.values, trial.score, trial.curve) for trial in record.trials]
    assert trials == [(trial.values, trial.score, trial.curve) for trial in alone.record().trials]
