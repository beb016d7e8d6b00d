"""What only a GPU can show. Needs pytest, TensorFlow, pydantic and SciPy alone, so that it runs where TFX is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.support.small_fold import FOLD, SMALL, apart
from trainer import fitting, model
from trainer.distributed import replicas
from trainer.distributed.settings import Distribution
from trainer.settings import Network

GPUS = tf.config.list_physical_devices("GPU")
pytestmark = pytest.mark.skipif(not GPUS, reason="there is no GPU")
FAST = SMALL.model_copy(update={"mixed_precision": True, "jit_compile": True})


def placed(network: tf.Module) -> set[str]:
    """Kinds of devices that the weights lie on."""
    return {weight.value.device.rpartition(":")[0].rpartition(":")[2] for weight in network.weights}


@pytest.mark.parametrize(
    "network", [Network(units=(4, 3), dropout=0.0, batch_normalization=on) for on in (False, True)]
)
def test_it_learns_what_a_cpu_does(network: Network) -> None:
    training = SMALL.model_copy(update={"network": network})
    with tf.device("CPU:0"):
        cpu, expected = fitting.fit_anew(FOLD, training, replicas.ONE, task="Trainer")
    devices = replicas.here(Distribution(batch_per_replica=False))
    assert devices.count == len(GPUS)
    gpu, history = fitting.fit_anew(FOLD, training, devices, task="Trainer")
    assert apart(history, expected) < 1e-3
    assert (placed(cpu), placed(gpu)) == ({"CPU"}, {"GPU"})


def test_float16_and_xla_learn_and_serve_float32_to_a_machine_without_one(tmp_path: Path) -> None:
    assert model.precision(FAST) == "mixed_float16"
    fitted, history = fitting.fit_anew(FOLD, FAST, replicas.here(Distribution()), task="Trainer")
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0]
    assert {layer.compute_dtype for layer in fitted.layers} == {"float32"}

    fitted.export(str(tmp_path / "model"), verbose=False)
    np.savez(tmp_path / "rows.npz", **{name: values[:] for name, values in FOLD.validation.inputs.items()})
    code = """
import sys
import numpy as np, tensorflow as tf
assert not tf.config.list_physical_devices("GPU")
served = tf.saved_model.load(sys.argv[1] + "/model")
rows = {name: tf.constant(values) for name, values in np.load(sys.argv[1] + "/rows.npz").items()}
np.save(sys.argv[1] + "/scores.npy", served.serve(rows))
"""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=True)
    served = np.load(tmp_path / "scores.npy").ravel()
    assert served == pytest.approx(fitting.score(fitted, FOLD.validation), abs=1e-3)
