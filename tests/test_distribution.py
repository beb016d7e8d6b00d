"""Fitting on several devices, of one machine and of several, learns what one device learns with scaled settings."""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import keras
import kubernetes_validate
import numpy as np
import pytest
import tensorflow as tf
import yaml

from tests.support.small_data import SHOP_SETTINGS, fn_args
from tests.support.small_fold import FOLD, SMALL, apart
from tests.support.small_search import heard
from trainer import fitting, model, progress, training
from trainer.custom_config import TrainerSettings
from trainer.distributed import handoff, replicas, worker
from trainer.distributed.handoff import TrainingHandoff
from trainer.distributed.settings import Distribution
from trainer.errors import InputError
from trainer.settings import Network, Training

pytestmark = pytest.mark.xdist_group("shop")

ROOT = Path(__file__).resolve().parents[1]
GPUS = tf.config.list_physical_devices("GPU")

# On two devices of one machine

NORMALIZED = Network(units=(4, 3), dropout=0.0, batch_normalization=True)
MIRRORED = {
    "normalized": (
        SMALL.model_copy(
            update={
                "network": NORMALIZED,
                "optimizer": "adamw",
                "fraud_weight": "balanced",
                # of 401 rows, the last batch has one, and leaves nothing for the second device
                "batch_size": 20,
                "learning_rate": 0.05,
                "epochs": 12,
                "patience": 2,
            }
        ),
        Distribution(strategy="mirrored"),
    ),
    "compiled": (
        SMALL.model_copy(
            update={
                "network": Network(units=(4,), dropout=0.3),
                "mixed_precision": "float16",
                "jit_compile": True,
                "epochs": 2,
            }
        ),
        Distribution(learning_rate_scaling="linear"),
    ),
}


@pytest.fixture(scope="module")
def on_two_devices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainingHandoff]:
    folder = tmp_path_factory.mktemp("mirrored")
    planned = {name: TrainingHandoff.plan(folder, FOLD, *settings, name) for name, settings in MIRRORED.items()}
    command = [sys.executable, str(ROOT / "tests" / "support" / "two_devices.py"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return planned


def test_two_devices_learn_what_one_does_from_the_same_batches(on_two_devices: dict[str, TrainingHandoff]) -> None:
    training, _ = MIRRORED["normalized"]
    result = on_two_devices["normalized"].result(1, "tests.x")
    assert (result.replicas, result.training.batch_size) == (2, 2 * training.batch_size)
    network, history = fitting.fit_anew(FOLD, result.training, replicas.ONE, task="Trainer")
    assert apart(history, result.history) < 1e-4
    assert training.patience is not None
    assert training.patience < len(history["loss"]) < training.epochs
    for weights, expected in zip(result.weights, network.get_weights(), strict=True):
        assert weights == pytest.approx(expected, abs=1e-4)
    # that much is no matter of course
    _, other = fitting.fit_anew(FOLD, training.model_copy(update={"epochs": 1}), replicas.ONE, task="Trainer")
    assert abs(other["loss"][0] - history["loss"][0]) > 1e-2


def test_a_compiled_step_in_float16_learns_on_two_devices(on_two_devices: dict[str, TrainingHandoff]) -> None:
    training, _ = MIRRORED["compiled"]
    result = on_two_devices["compiled"].result(1, "tests.x")
    assert result.training.learning_rate == 2 * training.learning_rate
    first, second = result.history["loss"]
    assert np.isfinite([first, second]).all()
    assert second < first
    assert [*on_two_devices["compiled"].folder.glob("logs/train/events*")] != []


# On several machines


def a_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


RUNTIME, JOB, POLICY = yaml.safe_load_all((ROOT / "kubeflow/manifests/training/training.yaml").read_text())
(NODE,) = RUNTIME["spec"]["template"]["spec"]["replicatedJobs"]
(CONTAINER,) = NODE["template"]["spec"]["template"]["spec"]["containers"]


def pods(workspace: Path, log: Path) -> list[subprocess.Popen[str]]:
    """The TrainJob's containers as processes: their command, with the volume's place, and a port for each pod."""
    (mount,) = [mount for mount in CONTAINER["volumeMounts"] if mount["name"] == "workspace"]
    variables = {each["name"]: each["value"] for each in [*CONTAINER["env"], *JOB["spec"]["trainer"]["env"]]}
    count = JOB["spec"]["trainer"]["numNodes"]
    ports = [a_port() for _ in range(count)]
    processes = []
    for index in range(count):
        config = json.loads(worker.cluster({**variables, "JOB_COMPLETION_INDEX": str(index)}) or "")
        # the first pod of the first replica of the job `node`, in the subdomain that JobSet names like the TrainJob
        name = JOB["metadata"]["name"]
        assert config["cluster"]["worker"] == [f"{name}-node-0-{pod}.{name}:2222" for pod in range(count)]
        config["cluster"]["worker"] = [f"localhost:{port}" for port in ports]
        environment = {**os.environ, **variables, "TF_CONFIG": json.dumps(config), "PYTHONPATH": str(ROOT)}
        words = [word.replace(mount["mountPath"], str(workspace)) for word in CONTAINER["command"] + CONTAINER["args"]]
        assert words[0] == "python"
        with open(log.with_suffix(f".{index}"), "w") as file:
            processes.append(
                subprocess.Popen(
                    [sys.executable, *words[1:]], env=environment, stdout=file, stderr=subprocess.STDOUT, text=True
                )
            )
    return processes


def test_the_trainjob_has_the_pods_that_it_tells_them_of() -> None:
    env = {each["name"]: each["value"] for each in JOB["spec"]["trainer"]["env"]}
    assert int(env["TRAINING_WORKERS"]) == JOB["spec"]["trainer"]["numNodes"] == RUNTIME["spec"]["mlPolicy"]["numNodes"]
    assert JOB["spec"]["runtimeRef"]["name"] == RUNTIME["metadata"]["name"]
    # what Kubeflow Trainer goes by, to find the job that numNodes and env are meant for
    assert NODE["template"]["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    assert (NODE["name"], CONTAINER["name"]) == ("node", "node")
    restarts = RUNTIME["spec"]["template"]["spec"]["failurePolicy"]["maxRestarts"]
    assert restarts == worker.ATTEMPTS - 1


def test_the_pods_of_the_trainjob_are_valid() -> None:
    count = JOB["spec"]["trainer"]["numNodes"]
    job = copy.deepcopy(NODE["template"])  # as JobSet makes it
    job |= {"apiVersion": "batch/v1", "kind": "Job"}
    job["metadata"]["name"] = f"{JOB['metadata']['name']}-node-0"
    job["spec"] |= {"completionMode": "Indexed", "completions": count, "parallelism": count}
    job["spec"]["template"]["spec"]["containers"][0]["env"] += JOB["spec"]["trainer"]["env"]
    for document in (job, POLICY):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)  # it raises
    chosen = POLICY["spec"]["podSelector"]["matchLabels"]
    assert chosen.items() <= job["spec"]["template"]["metadata"]["labels"].items()


PARTS = ("features", "training", "calibration", "costs", "decision", "eval_share", "distribution", "manifest")
PER_REPLICA = SHOP_SETTINGS.training.model_copy(
    update={"network": Network(units=(6,), dropout=0.0), "batch_size": 16, "patience": 1, "epochs": 6}
)


def run(folder: Path, settings: TrainerSettings) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The Trainer's manifest of the model, and its history; `folder` is the workspace."""
    own = folder / settings.distribution.strategy
    handoff_keys = {training.TRAINING_FOLDER_KEY: str(folder / "trainings"), training.SOURCE_DIGEST_KEY: "digest"}
    config = settings.to_custom_config(*PARTS) | handoff_keys
    training.run_fn(fn_args(own, 161, config))
    manifest = json.loads((own / "model" / "assets.extra" / "manifest.json").read_text())
    return manifest, json.loads((own / "run" / "history.json").read_text())


def trainer_settings(strategy: str, **how: Any) -> TrainerSettings:
    spread = Distribution(strategy=strategy, wait_minutes=5)  # type: ignore[arg-type]
    update = {"training": PER_REPLICA.model_copy(update=how), "distribution": spread}
    return SHOP_SETTINGS.model_copy(update=update)


@pytest.mark.no_cover  # most of it is TensorFlow's own code, which the tracer slows down
def test_pods_of_the_trainjob_fit_what_the_trainer_planned(tmp_path: Path) -> None:
    (tmp_path / "trainings").mkdir()
    first = pods(tmp_path, tmp_path / "first")
    second: list[subprocess.Popen[str]] = []

    def lose_one() -> None:
        """Once the training has begun. It takes the others with it, and a TrainJob starts all of them again."""
        while first[0].poll() is None and not [*(tmp_path / "trainings").glob(f"*/{handoff.LIFE}")]:
            time.sleep(0.05)
        first[1].kill()
        first[0].wait(180)
        second.extend(pods(tmp_path, tmp_path / "second"))

    again = threading.Thread(target=lose_one, daemon=True)
    again.start()
    try:
        manifest, history = run(tmp_path, trainer_settings("multi_worker"))
        again.join()
        assert first[0].returncode == 1, (tmp_path / "first.0").read_text()
        assert [process.wait(60) for process in second] == [0, 0], (tmp_path / "second.0").read_text()
    finally:
        for process in first + second:
            process.kill()
    assert manifest["distribution"] == {
        "strategy": "multi_worker",
        "replicas": 2,
        "global_batch_size": 32,
        "learning_rate": 0.02,
    }
    assert [*(tmp_path / "trainings").iterdir()] == []
    events = {path.parent.name for path in (tmp_path / "multi_worker").glob("run/**/events*")}
    assert events == {"train", "validation", "hparams"}

    alone, expected = run(tmp_path, trainer_settings("off", batch_size=32))
    assert apart(history, expected) < 1e-4
    assert alone["distribution"]["global_batch_size"] == 32
    assert manifest["eval_average_precision"] == pytest.approx(alone["eval_average_precision"], abs=1e-4)
    rows = [
        record.numpy() for record in tf.data.TFRecordDataset(str(tmp_path / "off/eval.gz"), compression_type="GZIP")
    ]
    scored = []
    for strategy in ("multi_worker", "off"):
        served = tf.saved_model.load(str(tmp_path / strategy / "model")).signatures["serving_default"](
            tf.constant(rows)
        )
        scored.append(served["score"])
    assert scored[0].dtype == tf.float32
    assert scored[0].numpy() == pytest.approx(scored[1].numpy(), abs=1e-4)


def test_an_indexed_job_says_who_is_who() -> None:
    environment = {"TRAINING_WORKERS": "3", "TRAINING_HOST": "train-{index}.jobs", "TRAINING_PORT": "99"}
    config = worker.cluster({**environment, "JOB_COMPLETION_INDEX": "2"})
    assert json.loads(config or "") == {
        "cluster": {"worker": ["train-0.jobs:99", "train-1.jobs:99", "train-2.jobs:99"]},
        "task": {"type": "worker", "index": 2},
    }
    assert worker.cluster(environment) is None
    assert worker.cluster({"TF_CONFIG": "as it is", "JOB_COMPLETION_INDEX": "2"}) == "as it is"
    with pytest.raises(ValueError, match="INDEX is 3, but TRAINING_WORKERS is 3; set it to the number of pods"):
        worker.cluster({**environment, "JOB_COMPLETION_INDEX": "3"})
    with pytest.raises(ValueError, match="INDEX is 0, but TRAINING_HOST and TRAINING_PORT are not set"):
        worker.cluster({"TRAINING_WORKERS": "3", "JOB_COMPLETION_INDEX": "0"})


def plan(folder: Path, source: str = "source", **how: Any) -> TrainingHandoff:
    return TrainingHandoff.plan(
        folder, FOLD, SMALL.model_copy(update=how), Distribution(strategy="multi_worker"), source
    )


def test_a_plan_that_is_there_is_taken_again(tmp_path: Path) -> None:
    planned = plan(tmp_path)
    stamp = (planned.folder / handoff.PLAN).stat().st_mtime_ns
    assert plan(tmp_path) == planned
    assert (planned.folder / handoff.PLAN).stat().st_mtime_ns == stamp
    assert len({planned, plan(tmp_path, source="other"), plan(tmp_path, seed=6)}) == 3
    fold, training, settings = planned.read()
    assert (training, settings.strategy) == (SMALL, "multi_worker")
    assert fold.categories == FOLD.categories
    assert np.array_equal(fold.train.inputs["numeric"][:], FOLD.train.inputs["numeric"][:])


def test_workers_take_the_newest_plan_that_is_not_done(tmp_path: Path) -> None:
    assert TrainingHandoff.newest(str(tmp_path)) is None
    done, older, newer = (plan(tmp_path, seed=seed) for seed in range(3))
    done.finish(handoff.Result([], {}, 1, SMALL))
    for planned, when in ((older, 1), (newer, 2), (done, 3)):
        os.utime(planned.folder / handoff.PLAN, (when, when))
    assert TrainingHandoff.newest(str(tmp_path)) == newer
    assert TrainingHandoff.newest(str(done.folder)) == done


def test_who_waits_for_nobody_says_so(tmp_path: Path) -> None:
    planned = plan(tmp_path)
    with pytest.raises(RuntimeError, match=r"no sign of life for 0.001 minutes; are .* running \(python -m tests.x\)"):
        planned.result(0.001, "tests.x")
    assert not planned.folder.exists()


def test_signs_of_life_and_progress_reach_who_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(tmp_path)
    monkeypatch.setattr(handoff, "BEAT_SECONDS", 0.05)

    def work() -> None:
        with planned.signs_of_life():
            progress.report(progress.Progress("Trainer", 1, 3, "well"))
            time.sleep(1.5)

    worker = threading.Thread(target=work)
    details: list[str] = []
    with heard(details.append):
        worker.start()
        with pytest.raises(RuntimeError, match=r"shown no further sign of life for 0.015 minutes"):
            planned.result(0.015, "tests.x")  # less than it works, more than a beat
    worker.join()
    assert details.count("Trainer 1/3 well") == 2  # of the worker, and of who waits; two processes otherwise


def work(folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> int:
    """The exit code of a worker, alone on its machine, whose fit ends with that."""

    def fit(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(fitting, "fit_anew", fit)
    monkeypatch.setattr(sys, "argv", ["training_worker", str(folder), "--wait", "0"])
    return worker.main()


def test_a_training_that_breaks_off_is_tried_three_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(tmp_path)
    lost = tf.errors.UnavailableError(None, None, "Socket closed")
    assert [work(tmp_path, monkeypatch, lost) for _ in range(3)] == [1, 1, 2]
    with pytest.raises(
        RuntimeError, match=r"other processes do in .* failed: 3 times, .* by UnavailableError: Socket closed"
    ):
        planned.result(1, "tests.x")
    # which begins anew
    assert work(tmp_path, monkeypatch, lost) == 2  # no plan
    assert plan(tmp_path) == planned
    assert work(tmp_path, monkeypatch, lost) == 1


def test_what_would_fail_again_fails_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(tmp_path)
    assert work(tmp_path, monkeypatch, FloatingPointError("the loss is nan")) == 2
    with pytest.raises(RuntimeError, match="failed: the loss is nan"):
        planned.result(1, "tests.x")


# Settings


def test_one_device_is_not_several() -> None:
    assert replicas.here(Distribution()).count == len(GPUS or [0])
    assert replicas.here(Distribution(strategy="off")) == replicas.ONE
    if len(GPUS) < 2:
        with pytest.raises(InputError, match=r"strategy is mirrored, but there is one device, .PU:0; give the Trainer"):
            replicas.here(Distribution(strategy="mirrored"))


def test_the_batch_and_with_it_the_learning_rate_grow_with_the_devices() -> None:
    training = Training(batch_size=100, learning_rate=0.01)

    def of(**how: Any) -> tuple[int, float]:
        scaled = Distribution(**how).of(training, 4)
        return scaled.batch_size, scaled.learning_rate

    assert of() == (400, 0.01)
    assert of(learning_rate_scaling="linear") == (400, 0.04)
    assert of(learning_rate_scaling="square_root") == (400, 0.02)
    assert of(learning_rate_scaling="linear", batch_per_replica=False) == (100, 0.01)
    assert Distribution.model_validate({"strategy": False}).strategy == "off"  # YAML's off


# Precision and XLA


@pytest.mark.parametrize("mixed_precision", ["float16", "bfloat16"])
def test_probabilities_are_float32_whatever_the_network_learns_in(mixed_precision: Any) -> None:
    training = SMALL.model_copy(update={"mixed_precision": mixed_precision, "epochs": 2})
    network = fitting.build(FOLD.categories, training, FOLD.train)
    kinds = {layer.compute_dtype for layer in network.layers if layer.weights and layer.name != "probability"}
    assert kinds == {mixed_precision}
    assert {variable.dtype for variable in network.trainable_variables} == {"float32"}
    assert network.output.dtype == "float32"
    assert isinstance(network.optimizer, keras.optimizers.LossScaleOptimizer) == (mixed_precision == "float16")
    fitted, history = fitting.fit_anew(FOLD, training, replicas.ONE, task="Trainer")
    assert np.isfinite([*history["loss"], *history["val_loss"]]).all()
    assert history["loss"][-1] < history["loss"][0]
    # what is served has learned so, but computes in float32
    assert {layer.compute_dtype for layer in fitted.layers} == {"float32"}
    exact = fitting.score(fitted, FOLD.validation)
    assert exact.dtype == np.float32
    network.set_weights(fitted.get_weights())
    assert fitting.score(network, FOLD.validation) == pytest.approx(exact, abs=0.02)
    assert not np.array_equal(fitting.score(network, FOLD.validation), exact)


@pytest.mark.skipif(bool(GPUS), reason="there is a GPU, which may gain by float16")
def test_without_a_gpu_to_gain_by_it_precision_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    model._gains_by_float16.cache_clear()
    for _ in range(2):
        assert model.precision(SMALL.model_copy(update={"mixed_precision": True})) == "float32"
    assert [record.getMessage() for record in caplog.records] == [
        "training.mixed_precision is true, but there is no GPU: it trains in float32, which is as fast"
    ]


def test_xla_computes_the_same() -> None:
    training = SMALL.model_copy(update={"epochs": 2})
    plain, history = fitting.fit_anew(FOLD, training, replicas.ONE, task="Trainer")
    compiled, same = fitting.fit_anew(
        FOLD, training.model_copy(update={"jit_compile": True}), replicas.ONE, task="Trainer"
    )
    assert apart(history, same) < 1e-4
    for weights, expected in zip(compiled.get_weights(), plain.get_weights(), strict=True):
        assert weights == pytest.approx(expected, abs=1e-4)
    assert compiled.by_xla
    assert not plain.by_xla
