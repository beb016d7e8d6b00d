"""Summaries for TensorBoard beyond Keras' own curves: hyperparameters and precision-recall."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.pr_curve import summary as pr_curve

from trainer.arrays import Array
from trainer.search.settings import hyperparameters
from trainer.settings import Training


def log_hyperparameters(log_dir: str, training: Training, metrics: dict[str, float]) -> None:
    """Writes one row of the HParams page: the hyperparameters and the metrics that they led to."""
    values = {**hyperparameters(training), "units": " ".join(map(str, training.network.units))}
    with tf.summary.create_file_writer(os.path.join(log_dir, "hparams")).as_default():
        hparams.hparams(values)
        for name, value in metrics.items():
            tf.summary.scalar(name, value, step=0)


def log_precision_recall(log_dir: str, labels: Array, scores: Array, weights: Array) -> None:
    """Writes the precision-recall curve on eval; labels, scores and weights are float [n]."""
    summary = pr_curve.pb(
        "precision_recall",
        labels > 0,
        scores.astype(np.float64),
        num_thresholds=201,
        weights=weights.astype(np.float64),
    )
    with tf.summary.create_file_writer(os.path.join(log_dir, "validation")).as_default():
        tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=0)
