"""What lies in TensorBoard's event files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG

from trainer.search.settings import Space
from trainer.search.tensorboard import log_trials
from trainer.search.trials import Record, Trial
from trainer.settings import Network, Training
from trainer.tensorboard import log_hyperparameters, log_precision_recall

TRAINING = Training(network=Network(units=(10, 5), activation="tanh", dropout=0.25), learning_rate=0.5, batch_size=2000)
EXPECTED = {
    "layers": 2,
    "units": "10 5",
    "shape": "tapered",
    "activation": "tanh",
    "dropout": 0.25,
    "batch_normalization": False,
    "weight_decay": 1e-4,
    "optimizer": "adam",
    "learning_rate": 0.5,
    "momentum": 0.9,
    "loss": "binary_crossentropy",
    "focal_gamma": 2.0,
    "batch_size": 2000,
    "epochs": 30,
    "fraud_weight": 1.0,
}


def _values(folder: Path) -> dict[str, tf.compat.v1.Summary.Value]:
    """The summaries of all event files in a folder, by tag."""
    return {
        value.tag: value
        for file in sorted(folder.glob("events*"))
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }


def _logged(content: bytes) -> dict[str, Any]:
    """The hyperparameters of a row of the HParams page."""
    logged = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in logged.items()}


def test_hyperparameters_and_metrics_stand_in_one_run(tmp_path: Path) -> None:
    log_hyperparameters(str(tmp_path), TRAINING, {"val_average_precision": 0.75})
    values = _values(tmp_path / "hparams")
    assert _logged(values[SESSION_START_INFO_TAG].metadata.plugin_data.content) == EXPECTED
    assert set(EXPECTED) == set(Space.model_fields)
    assert tf.make_ndarray(values["val_average_precision"].tensor) == pytest.approx(0.75)


def test_the_precision_recall_curve_is_weighted(tmp_path: Path) -> None:
    labels, scores, weights = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.6, 0.1]), np.array([1, 2, 1, 4])
    log_precision_recall(
        str(tmp_path), labels.astype(np.float32), scores.astype(np.float32), weights.astype(np.float32)
    )
    (value,) = _values(tmp_path / "validation").values()
    # true and false positives, true and false negatives, precision, recall, at 201 thresholds
    curve = tf.make_ndarray(value.tensor)
    assert curve.shape == (6, 201)
    assert curve[:, 0].tolist() == [2, 6, 0, 0, 0.25, 1]  # threshold 0: all are flagged
    assert curve[:, 100].tolist() == [2, 2, 4, 0, 0.5, 1]  # 0.5
    assert curve[:, 170].tolist() == [1, 0, 6, 1, 1, 0.5]  # 0.85


# The trials of a search

RECORD = Record(
    objective="average_precision",
    greater_is_better=True,
    oracle="hyperband",
    folds=2,
    workers=1,
    seed=7,
    default="0000",
    best="0001",
    seconds=5.0,
    trials=(
        Trial(
            "0000",
            "completed",
            {"units": 8, "batch_normalization": True, "tuner/epochs": 2},
            0.5,
            0.125,
            curve=(0.25, 0.5),
        ),
        Trial("0001", "stopped", {"learning_rate": 0.01, "optimizer": "sgd"}, 0.75, curve=(0.75, 0.625), first_epoch=2),
        Trial("0002", "failed", {"fraud_weight": "balanced"}, reason="out of memory"),
        Trial("0003", "completed", {}, 0.5, curve=(0.5,)),
    ),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, EventAccumulator]:
    """What TensorBoard reads of each trial, by the name of its run."""
    folder = tmp_path_factory.mktemp("trials")
    log_trials(str(folder), RECORD)
    return {path.name: EventAccumulator(str(path)).Reload() for path in folder.iterdir()}


def _curve(run: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, tf.make_ndarray(event.tensor_proto).item()) for event in run.Tensors(tag)]


def test_every_trial_is_a_run(runs: dict[str, EventAccumulator]) -> None:
    assert set(runs) == {"trial_0000", "trial_0001", "trial_0002", "trial_0003"}


def test_a_trial_has_a_row_with_its_values_its_number_and_how_it_ended(runs: dict[str, EventAccumulator]) -> None:
    rows = {name: _logged(run.PluginTagToContent("hparams")[SESSION_START_INFO_TAG]) for name, run in runs.items()}
    assert rows == {
        "trial_0000": {"units": 8, "batch_normalization": True, "trial": "0000, completed"},
        "trial_0001": {"learning_rate": 0.01, "optimizer": "sgd", "trial": "0001, stopped"},
        "trial_0002": {"fraud_weight": "balanced", "trial": "0002, failed"},
        "trial_0003": {"trial": "0003, completed"},
    }
    groups = {
        plugin_data_pb2.HParamsPluginData.FromString(
            run.PluginTagToContent("hparams")[SESSION_START_INFO_TAG]
        ).session_start_info.group_name
        for run in runs.values()
    }
    assert groups == {"0000", "0001", "0002", "0003"}  # rows that share a group are shown as one


def test_a_trial_has_its_curve(runs: dict[str, EventAccumulator]) -> None:
    assert _curve(runs["trial_0000"], "val_average_precision") == [(0, 0.25), (1, 0.5)]
    assert _curve(runs["trial_0000"], "val_average_precision_spread") == [(0, 0.125)]
    # Hyperband went on where an earlier trial had ended
    assert _curve(runs["trial_0001"], "val_average_precision") == [(2, 0.75), (3, 0.625)]
    assert "val_average_precision_spread" not in runs["trial_0001"].Tags()["tensors"]
    assert "val_average_precision" not in runs["trial_0002"].Tags()["tensors"]
