"""Fitting the network: TFX Trainer's entry point and what it shares with the Tuner."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer import data, export, model, progress
from trainer.metrics import Ranking, average_precision
from trainer.preprocessing import NUMERIC, vocabulary_name
from trainer.settings import Features, TrainerSettings, Training
from trainer.tensorboard import log_hyperparameters, log_precision_recall

OBJECTIVE = "val_average_precision"
SCORING_BATCH = 65_536

logger = logging.getLogger(__name__)


def run_fn(fn_args: FnArgs) -> None:
    """TFX Trainer's entry point: load, build, fit, choose the threshold, export."""
    settings = TrainerSettings.from_custom_config(fn_args.custom_config)
    training = settings.training
    if fn_args.hyperparameters:
        training = training.with_hyperparameters(fn_args.hyperparameters["values"])
    transform = tft.TFTransformOutput(fn_args.transform_output)
    train, evaluation = data.load_splits(
        fn_args.train_files, fn_args.eval_files, transform, settings.columns, settings.resources.data_bytes
    )

    make_reproducible(training.seed)
    network = build(transform, settings, training, train)
    network.summary(print_fn=logger.info, line_length=100)
    history = fit(
        network, train, evaluation, training, task="Trainer", log_dir=fn_args.model_run_dir, patience=training.patience
    )
    scores = score(network, evaluation)
    ranking = Ranking.of(evaluation.labels, scores, evaluation.weights)
    threshold = ranking.best_f1_threshold() if training.threshold == "auto" else training.threshold
    export.save(network, transform, settings.columns, threshold, fn_args.serving_model_dir)
    export.write_manifest(
        fn_args.serving_model_dir,
        {
            **settings.manifest,
            "features": settings.features.model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
            "parameters": network.count_params(),
            "threshold": threshold,
            "epochs": len(history["loss"]),
            "eval_average_precision": ranking.average_precision(),
            "columns": settings.columns.model_dump(mode="json"),
            "versions": {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__},
        },
    )
    log_hyperparameters(fn_args.model_run_dir, training, {OBJECTIVE: ranking.average_precision()})
    log_precision_recall(fn_args.model_run_dir, evaluation.labels, scores, evaluation.weights)
    with open(os.path.join(fn_args.model_run_dir, "history.json"), "w") as file:
        json.dump(history, file)
    data.forget()


def make_reproducible(seed: int) -> None:
    """Seeds Python, numpy and TensorFlow and makes its operations deterministic: two runs give the same model."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def build(
    transform: tft.TFTransformOutput, settings: TrainerSettings, training: Training, train: data.Transactions
) -> keras.Model:
    """The network for the features that Transform gives, compiled; its output starts at `train`'s rate of fraud."""
    network = model.build(
        train.inputs[NUMERIC].shape[1],
        {column: categories(transform, column, settings.features) for column in settings.columns.categorical},
        training,
        train.fraud_rate,
    )
    model.compile_model(network, training, data.steps(train, training.batch_size))
    return network


def categories(transform: tft.TFTransformOutput, column: str, features: Features) -> int:
    """How many indices the column's values take: vocabulary, out-of-vocabulary buckets and one for "missing"."""
    return transform.vocabulary_size_by_name(vocabulary_name(column)) + features.out_of_vocabulary + 1


def fit(
    network: keras.Model,
    train: data.Transactions,
    evaluation: data.Transactions,
    training: Training,
    *,
    task: str,
    epochs: int | None = None,
    patience: int | None = None,
    log_dir: str | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> dict[str, list[float]]:
    """Fits in place and returns Keras' history; with `patience` the best epoch's weights are put back.

    Args:
      task: the name that progress is reported under.
      epochs: those of `training` where not given.
      log_dir: TensorBoard's folder, none where not given.
      on_epoch: called with the number of epochs done and the average precision on `evaluation`.
    """
    epochs = epochs or training.epochs
    callbacks: list[keras.callbacks.Callback] = [_Evaluation(evaluation, task, epochs, on_epoch)]
    if patience:
        callbacks.append(
            keras.callbacks.EarlyStopping(OBJECTIVE, mode="max", patience=patience, restore_best_weights=True)
        )
    if log_dir:
        callbacks.append(keras.callbacks.TensorBoard(log_dir, write_graph=False))
    weighted = data.Transactions(
        train.inputs, train.labels, np.where(train.labels > 0, train.weights * training.fraud_weight, train.weights)
    )
    history = network.fit(
        data.batches(weighted, training.batch_size, training.seed),
        steps_per_epoch=data.steps(weighted, training.batch_size),
        epochs=epochs,
        callbacks=callbacks,
        verbose=0,
    ).history
    # on eval too: the last step of an epoch may break the weights after the loss of training was taken
    loss = history["loss"][-1] + history["val_loss"][-1]
    if not np.isfinite(loss):
        raise FloatingPointError(
            f"{task}: the loss is {loss} after {len(history['loss'])} epochs; lower the learning rate, "
            f"got {training.learning_rate:g}"
        )
    return {key: [float(value) for value in values] for key, values in history.items()}


def score(network: keras.Model, transactions: data.Transactions) -> np.ndarray:
    """Probability of fraud, float32 [n]."""
    return np.concatenate(
        [np.asarray(network(batch, training=False))[:, 0] for batch in transactions.slices(SCORING_BATCH)]
    )


class _Evaluation(keras.callbacks.Callback):
    """Adds weighted loss and exact average precision on eval to each epoch's logs, and reports progress.

    Keras' own AUC metric is a sum over 200 fixed thresholds, on which models that differ can tie.
    """

    def __init__(
        self, transactions: data.Transactions, task: str, epochs: int, on_epoch: Callable[[int, float], None] | None
    ):
        super().__init__()
        self._transactions = transactions
        self._task = task
        self._epochs = epochs
        self._on_epoch = on_epoch
        self._best = 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        labels, weights = self._transactions.labels, self._transactions.weights
        scores = score(self.model, self._transactions)
        clipped = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
        losses = -np.where(labels > 0, np.log(clipped), np.log1p(-clipped))
        if not np.isfinite(scores).all():
            # a network that diverged ranks nothing: stop, and let `fit` say why
            self.model.stop_training = True
            scores = np.nan_to_num(scores)
        precision = average_precision(labels, scores, weights)
        if logs is not None:
            logs["val_loss"] = float(np.average(losses, weights=weights))
            logs[OBJECTIVE] = precision
        self._best = max(self._best, precision)
        if self._on_epoch:
            self._on_epoch(epoch + 1, self._best)
        else:
            progress.report(
                progress.Progress(self._task, epoch + 1, self._epochs, f"average precision {self._best:.3f} on eval")
            )
