"""What TensorBoard shows beyond Keras' own curves: hyperparameters and precision-recall."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.pr_curve import summary as pr_curve

from trainer.arrays import Array
from trainer.search.settings import hyperparameters
from trainer.search.trials import Record
from trainer.settings import Training


def log_hyperparameters(log_dir: str, training: Training, metrics: dict[str, float]) -> None:
    """One row of the HParams page: the settings and the metrics they led to."""
    values = {**hyperparameters(training), "units": " ".join(map(str, training.network.units))}
    with tf.summary.create_file_writer(os.path.join(log_dir, "hparams")).as_default():
        hparams.hparams(values)
        for name, value in metrics.items():
            tf.summary.scalar(name, value, step=0)


def log_trials(log_dir: str, record: Record, search: str = "") -> None:
    """One row of the HParams page, with a curve, for each trial of a search.

    search: a name that no other search in the same TensorBoard has; rows of equal names become one there.
    """
    metric = f"val_{record.objective}"
    for trial in record.trials:
        with tf.summary.create_file_writer(os.path.join(log_dir, f"trial_{trial.trial_id}")).as_default():
            # without values there is no row, and a trial whose every value is the config's has none
            hparams.hparams(
                {**trial.hyperparameters, "trial": f"{trial.trial_id}, {trial.status}"},
                trial_id=f"{search} {trial.trial_id}".strip(),
            )
            for epoch, value in enumerate(trial.curve, trial.first_epoch):
                tf.summary.scalar(metric, value, step=epoch)
            if trial.spread is not None:
                tf.summary.scalar(f"{metric}_spread", trial.spread, step=0)


def log_precision_recall(log_dir: str, labels: Array, scores: Array, weights: Array) -> None:
    """The precision-recall curve on eval: labels, scores and weights are float [n]."""
    summary = pr_curve.pb(
        "precision_recall",
        labels > 0,
        scores.astype(np.float64),
        num_thresholds=201,
        weights=weights.astype(np.float64),
    )
    with tf.summary.create_file_writer(os.path.join(log_dir, "validation")).as_default():
        tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=0)
