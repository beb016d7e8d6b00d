"""What lies in TensorBoard's event files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG

from trainer.settings import Network, Training
from trainer.tensorboard import hyperparameters, log_hyperparameters, log_precision_recall

TRAINING = Training(network=Network(units=(10, 5), activation="tanh", dropout=0.25), learning_rate=0.5, batch_size=2000)
EXPECTED = {
    "layers": 2,
    "units": "10 5",
    "activation": "tanh",
    "dropout": 0.25,
    "learning_rate": 0.5,
    "batch_size": 2000,
}


def _values(folder: Path) -> dict[str, tf.compat.v1.Summary.Value]:
    """The summaries of all event files in a folder, by tag."""
    return {
        value.tag: value
        for file in sorted(folder.glob("events*"))
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }


def test_settings_become_numbers_and_text() -> None:
    assert hyperparameters(TRAINING) == EXPECTED


def test_hyperparameters_and_metrics_stand_in_one_run(tmp_path: Path) -> None:
    log_hyperparameters(str(tmp_path), TRAINING, {"val_average_precision": 0.75})
    values = _values(tmp_path / "hparams")
    content = values[SESSION_START_INFO_TAG].metadata.plugin_data.content
    logged = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert {name: getattr(value, value.WhichOneof("kind")) for name, value in logged.items()} == EXPECTED
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
