"""The compiled pipeline, each task in an emulated pod, with artifacts, data and models behind a real S3 endpoint.

The emulation is that of tests/support/kfp_emulation.py, which says what it is written after and what it leaves out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.config import load
from pipeline.kubeflow.compiling import compile_pipeline
from tests.support import kfp_pods
from tests.support.command_line import ROOT, Workspace
from tests.support.kfp_emulation import Emulation, Task, with_module
from tests.support.kfp_stores import WEED, FolderStore, S3Store, download_tree, moto_server, seaweedfs_server

IMAGE = "FRAUD_PIPELINE_IMAGE"
PIPELINE_ROOT = "s3://mlpipeline/fraud"
SECRETS = {"fraud-s3": {"access-key": "access", "secret-key": "secret"}}
STOCK = "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"


@dataclass(frozen=True)
class Cluster:
    """What runs share: the emulation, the store behind it, and the compiled pipeline."""

    emulation: Emulation
    store: S3Store
    text: str
    data: str  # the key of the transactions

    def run(self, *until: str) -> dict[str, Task]:
        return self.emulation.run(self.text, PIPELINE_ROOT, until=until)


def read(store: S3Store, uri: str, folder: Path) -> Path:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return download_tree(store, bucket, key, folder)


def all_done(tasks: dict[str, Task]) -> None:
    for name, task in tasks.items():
        assert task.state != "failed", f"{name}: {task.reason}: {task.log[-3000:]}"
    assert {task.state for task in tasks.values()} == {"done"}


def rates(workspace: Workspace) -> dict[str, float]:
    """As the data card says, of which a pod sees nothing."""
    manifest = json.loads((workspace.pushed[0] / "assets.extra" / "manifest.json").read_text())
    return manifest["data"]["sampling_rates"]


def cluster(store: S3Store, folder: Path, transactions: Path, workspace: Workspace, **options: Any) -> Cluster:
    volume = folder / "volume"
    settings = {
        "workspace": str(volume),
        "data.path": f"s3://fraud-data/{transactions.name}",
        "data.sampling_rates": rates(workspace),
        "kubeflow.pods.volumes": [{"claim": "fraud-workspace", "path": str(volume)}],
        "kubeflow.pods.env": {"AWS_ENDPOINT_URL_S3": store.endpoint, "AWS_REGION": "us-east-1"},
        "kubeflow.pods.retries": 0,
    }
    overrides = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
    text = compile_pipeline(load(ROOT / "configs" / "kubeflow.yaml", overrides))
    assert not volume.exists()  # compiling makes nothing of what is the pods'
    store.upload(transactions, "fraud-data", transactions.name)
    return Cluster(Emulation(folder, store, SECRETS, **options), store, text, transactions.name)


@pytest.fixture(scope="module")
def kubeflow(
    workspace: Workspace, transactions: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Cluster, dict[str, Task]]]:
    """The first run, with the settings and on the rows of the run on this machine."""
    assert workspace.first.code == 0, workspace.first.output
    with moto_server("fraud-data", "mlpipeline", "fraud-models") as store:
        made = cluster(store, tmp_path_factory.mktemp("kubeflow"), transactions, workspace)
        tasks = made.run()
        all_done(tasks)
        yield made, tasks


@pytest.fixture(scope="module")
def summaries(kubeflow, workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict]:
    """The reports' figures: of the run in pods, and of that on this machine."""
    made, tasks = kubeflow
    report = read(made.store, tasks["Report"].outputs.artifacts["report"].uri, tmp_path_factory.mktemp("report"))
    local = Path(workspace.runs()[-1]["report"])
    return tuple(json.loads((folder / "summary.json").read_text()) for folder in (report, local.parent))


def weights(model: Path) -> dict[str, Any]:
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(model / "variables" / "variables"))
    names = [name for name in reader.get_variable_to_shape_map() if name != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    return {name: reader.get_tensor(name) for name in names}


def test_the_model_in_service_is_that_of_the_run_on_this_machine_to_the_last_bit(
    kubeflow, summaries, workspace, tmp_path
):
    made, _ = kubeflow
    pushed, local = summaries[0]["pushed_to"], workspace.pushed[0]
    assert pushed.startswith("s3://fraud-models/serving/")
    model = read(made.store, pushed, tmp_path / "model")
    of_pods, of_machine = weights(model), weights(local)
    assert of_pods.keys() == of_machine.keys()
    assert len(of_pods) > 5
    for name, values in of_pods.items():
        np.testing.assert_array_equal(values, of_machine[name], err_msg=name)
    manifests = [json.loads((folder / "assets.extra" / "manifest.json").read_text()) for folder in (model, local)]
    for manifest in manifests:
        # a pod sees no data card
        for name in ("name", "kind", "source", "licence", "origin"):
            del manifest["data"][name]
    assert manifests[0] == manifests[1]


def test_the_reports_hold_the_same_figures(summaries):
    # where the data and the model lie, which run it was and when; a card is read where a run starts, not in a pod
    differing = {"origin", "data_name", "pushed_to", "pushed_version", "run_id", "made"}
    of_pods, of_machine = ({key: summary[key] for key in summary.keys() - differing} for summary in summaries)
    assert of_pods == of_machine
    assert of_pods["blessed"]
    assert of_pods["metrics"]["average_precision"] > 0.5


@pytest.mark.skipif(WEED is None, reason="no weed here: SeaweedFS, the store that Kubeflow Pipelines bring")
def test_behind_seaweedfs_the_model_is_the_same(kubeflow, workspace, transactions, tmp_path):
    made, tasks = kubeflow
    with seaweedfs_server("fraud-data", "mlpipeline", "fraud-models") as store:
        other = cluster(store, tmp_path, transactions, workspace)
        again = other.run("Pusher")
        assert {task.state for name, task in again.items() if name != "Report"} == {"done"}, again
        both = [
            weights(read(one.store, f"{ran['Trainer'].outputs.artifacts['model'].uri}/Format-Serving", tmp_path / name))
            for name, one, ran in (("moto", made, tasks), ("seaweedfs", other, again))
        ]
    assert both[0].keys() == both[1].keys()
    for name, values in both[0].items():
        np.testing.assert_array_equal(values, both[1][name], err_msg=name)


def test_inputs_came_without_types_and_only_declared_outputs_were_kept(kubeflow):
    made, tasks = kubeflow
    inputs = tasks["Trainer"].executor_input["inputs"]["artifacts"]
    assert {listed["artifacts"][0]["type"]["instanceSchema"] for listed in inputs.values()} == {""}
    kept = {key.split("/")[5] for key in made.store.keys("mlpipeline", "fraud/fraud/run-1/Tuner/")}
    assert kept == {"best_hyperparameters", "tuner_results", "executor-logs-0"}
    assert not list(made.emulation.folder.glob("pod-*"))
    # the search is over: nothing of it stays on the volume
    assert not list((made.emulation.folder / "claims" / "fraud-workspace").rglob("oracle.json"))


def test_a_second_run_takes_from_the_cache_what_depends_on_the_data_alone(kubeflow):
    made, first = kubeflow
    tasks = made.run("Challengers", "CurrentModel")
    ran = {name for name, task in tasks.items() if task.state == "done"}
    assert ran == {"DataFingerprint", "CurrentModel"}  # each looked at what no key of the cache holds
    cached = {name for name, task in tasks.items() if task.state == "cached"}
    assert cached == first.keys() - ran - {"Evaluator", "Pusher", "Report"}
    assert tasks["Trainer"].outputs == first["Trainer"].outputs


def test_a_further_run_sees_that_the_data_have_changed_and_says_what_is_wrong_with_them(
    kubeflow, transactions, tmp_path
):
    made, first = kubeflow
    frame = pd.read_csv(transactions)
    frame.loc[7, "Class"] = 7
    bad = tmp_path / transactions.name
    frame.to_csv(bad, index=False)
    # by the same name, of which alone Kubeflow's cache knows
    made.store.upload(bad, "fraud-data", made.data)
    tasks = made.run("StatisticsGen", "ImportSchemaGen")
    assert {name: task.state for name, task in tasks.items() if task.state != "not run"} == {
        "DataFingerprint": "done",
        "ImportSchemaGen": "cached",
        "ExampleGen": "failed",
    }
    assert tasks["ImportSchemaGen"].outputs == first["ImportSchemaGen"].outputs
    failed = tasks["ExampleGen"]
    assert failed.code == 2, failed.log
    assert failed.last_line == (
        f"error: s3://fraud-data/{made.data} line 9: Class is '7', expected 0 or 1; correct or drop the row"
    )


def test_the_entry_point_that_tfx_has_fails_at_the_first_component(kubeflow, tmp_path):
    made, _ = kubeflow
    options = ("executor_class_path", "json_serialized_invocation_args", "json_serialized_inputs_spec_args")
    stock = with_module(made.text, STOCK, [f"--{name}" for name in options])
    emulation = Emulation(tmp_path, FolderStore(tmp_path / "store"), SECRETS)
    task = emulation.run(stock, PIPELINE_ROOT, until=["ImportSchemaGen"])["ImportSchemaGen"]
    assert task.state == "failed"
    assert "ImportError: Could not import system.Artifact" in task.log


@pytest.fixture(scope="module")
def image() -> str:
    """Of this project, as `make image` builds it."""
    if shutil.which("podman") is None:
        pytest.skip("no podman here to run the image with")
    name = os.environ.get(IMAGE)
    if not name:
        pytest.skip(f"{IMAGE} names no image of this project")
    if subprocess.run(["podman", "image", "exists", name]).returncode:
        pytest.skip(f"podman has no image {name}, which {IMAGE} names")
    return name


def test_the_same_in_containers_of_the_real_image(image, summaries, transactions, workspace, tmp_path):
    pods = kfp_pods.ContainerPods(image)
    with moto_server("fraud-data", "mlpipeline", "fraud-models") as store:
        made = cluster(store, tmp_path, transactions, workspace, pods=pods)
        tasks = made.run()
        all_done(tasks)
        report = read(store, tasks["Report"].outputs.artifacts["report"].uri, tmp_path / "report")
        figures = json.loads((report / "summary.json").read_text())
        # by other versions of the libraries, perhaps: weights have differed in their last bits
        precision = summaries[1]["metrics"]["average_precision"]
        assert figures["metrics"]["average_precision"] == pytest.approx(precision, abs=0.001)
        assert figures["pushed_to"].startswith("s3://fraud-models/serving/")
