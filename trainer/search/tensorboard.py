"""What TensorBoard shows of a search."""

from __future__ import annotations

import os

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from trainer.search.trials import Record


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
