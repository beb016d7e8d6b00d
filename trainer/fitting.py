"""Fitting the network: what the Trainer and every trial of the Tuner do."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer import model, progress
from trainer.dataset import Transactions, batches, steps
from trainer.distribution import ONE, Replicas
from trainer.features import NUMERIC
from trainer.folds import Fold
from trainer.metrics import Ranking
from trainer.settings import Training

OBJECTIVE = "val_average_precision"
MEASURED = ("val_loss", OBJECTIVE, "val_roc_auc", "val_recall_at_1_percent_false_positives")  # after each epoch
SCORING_BATCH = 65_536

logger = logging.getLogger(__name__)


def make_reproducible(seed: int) -> None:
    """Seeds Python, numpy and TensorFlow and makes its operations deterministic: two runs give the same model."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def build(categories: Mapping[str, int], training: Training, train: Transactions) -> model.FraudNetwork:
    """The network for the features that Transform gives, compiled; its output starts at `train`'s rate of fraud.

    categories: for each categorical column, how many indices it has.
    """
    network = model.build(train.inputs[NUMERIC].shape[1], categories, training, train.fraud_rate)
    model.compile_model(network, training, steps(train, training.batch_size))
    return network


def fit_anew(
    fold: Fold, training: Training, replicas: Replicas, *, task: str, log_dir: str | None = None
) -> tuple[keras.Model, dict[str, list[float]]]:
    """The network that `training` asks for, fitted, and Keras' history.

    Whatever it was fitted on, the network is one of float32 on one device, which serves as any other.
    """
    make_reproducible(training.seed)
    with replicas.scope():
        network = build(fold.categories, training, fold.train)
    network.summary(print_fn=logger.info, line_length=100)
    patience = training.patience
    history = fit(
        network, fold.train, fold.validation, training, task=task, replicas=replicas, log_dir=log_dir, patience=patience
    )
    if replicas.strategy or model.precision(training) != "float32":
        network = restored(fold, training, network.get_weights())
    return network, history


def restored(fold: Fold, training: Training, weights: Sequence[np.ndarray]) -> keras.Model:
    """The network with these weights, in float32."""
    network = build(fold.categories, training.model_copy(update={"mixed_precision": False}), fold.train)
    network.set_weights(weights)
    return network


def build_optimizer(network: keras.Model) -> None:
    """Makes its variables, else it makes them while the first step is traced, which is then traced again."""
    if not network.optimizer.built:
        network.optimizer.build(network.trainable_variables)


class Networks:
    """Networks for one fit after the other; one of equal structure is taken again, since tracing it took longest.

    What comes of a fit is the same as with a network of its own.
    """

    def __init__(self, most: int = 8):
        self._most = most
        self._kept: dict[Any, tuple[model.FraudNetwork, list[Any]]] = {}

    def fresh(self, categories: Mapping[str, int], training: Training, train: Transactions) -> model.FraudNetwork:
        """As `build`, after `make_reproducible`."""
        width = train.inputs[NUMERIC].shape[1]
        structure = training.model_copy(update=_NOT_IN_THE_GRAPH)
        key = (width, *categories.items(), structure.model_dump_json())
        if key in self._kept:
            network, optimizer = self._kept[key] = self._kept.pop(key)  # the latest is the last to go
            # A network of its own would draw these values. Not by TensorFlow's seed, of which the layers draw nothing:
            # setting it makes TensorFlow forget its functions, and optimize them anew.
            random.seed(training.seed)
            np.random.seed(training.seed)
            drawn = model.build(width, categories, training, train.fraud_rate)
            for variable, value in zip(state(network), [*drawn.variables, *optimizer], strict=True):
                variable.assign(value)
            network.optimizer.learning_rate.assign(training.learning_rate)
            network.take(steps(train, training.batch_size))
            return network
        while len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        make_reproducible(training.seed)
        network = build(categories, training, train)
        build_optimizer(network)
        self._kept[key] = (network, [np.array(variable) for variable in network.optimizer.variables])
        return network


_NOT_IN_THE_GRAPH = {
    name: Training.model_fields[name].get_default()
    for name in ("learning_rate", "batch_size", "epochs", "initial_bias", "fraud_weight", "patience", "seed")
}


def state(network: keras.Model) -> list[Any]:
    """Variables that the course of a fit depends on: weights, generators of dropout, the optimizer's moments."""
    measured = {id(variable) for variable in network.metrics_variables}
    own = [variable for variable in network.variables if id(variable) not in measured]
    return [*own, *network.optimizer.variables]


def batched(train: Transactions, training: Training, first_epoch: int = 0) -> tf.data.Dataset:
    """What a fit reads: the rows in batches, weighted as `training` says."""
    factor = training.fraud_factor(train.fraud_rate)
    return batches(train, training.batch_size, training.seed, first_epoch, factor)


def fit(
    network: keras.Model,
    train: Transactions,
    evaluation: Transactions,
    training: Training,
    *,
    task: str,
    replicas: Replicas = ONE,
    first_epoch: int = 0,
    epochs: int | None = None,
    patience: int | None = None,
    log_dir: str | None = None,
    examples: tf.data.Dataset | None = None,
    on_epoch: Callable[[int, Mapping[str, float]], bool] | None = None,
) -> dict[str, list[float]]:
    """Fits in place and returns Keras' history; with `patience` the best epoch's weights are put back.

    Args:
      task: the name that progress is reported under.
      replicas: what the network was built for.
      first_epoch: epochs that the network has been fitted for already, with these rows.
      epochs: how many in all; those of `training` where not given.
      log_dir: TensorBoard's folder, none where not given.
      examples: `train` as `batched` gives it, where that has been made before.
      on_epoch: called in place of a report of progress with the number of epochs done and what was measured; false
        ends the fit.

    Raises:
      FloatingPointError: the loss, on `train` or on `evaluation`, is not a number any more.
    """
    epochs = epochs or training.epochs
    callbacks: list[keras.callbacks.Callback] = [
        _Evaluation(evaluation, model.loss(training), replicas, on_epoch or _reported(task, epochs))
    ]
    if patience:
        callbacks.append(
            keras.callbacks.EarlyStopping(OBJECTIVE, mode="max", patience=patience, restore_best_weights=True)
        )
    if log_dir and replicas.leads:
        callbacks.append(keras.callbacks.TensorBoard(log_dir, write_graph=False))
    examples = examples or batched(train, training, first_epoch)
    with replicas.scope():
        build_optimizer(network)
        history = replicas.fit(
            network,
            examples,
            training,
            steps=steps(train, training.batch_size),
            callbacks=callbacks,
            first_epoch=first_epoch,
            epochs=epochs,
        )
    # on eval too: the last step of an epoch may break the weights after the loss of training was taken
    loss = history["loss"][-1] + history["val_loss"][-1]
    if not np.isfinite(loss):
        raise FloatingPointError(
            f"{task}: the loss is {loss} after {first_epoch + len(history['loss'])} epochs; lower the learning rate, "
            f"got {training.learning_rate:g}"
        )
    return {key: [float(value) for value in values] for key, values in history.items()}


def _reported(task: str, epochs: int) -> Callable[[int, Mapping[str, float]], bool]:
    best = 0.0

    def report(epoch: int, measured: Mapping[str, float]) -> bool:
        nonlocal best
        best = max(best, measured[OBJECTIVE])
        progress.report(progress.Progress(task, epoch, epochs, f"average precision {best:.3f} on eval"))
        return True

    return report


def score(network: keras.Model, transactions: Transactions) -> np.ndarray:
    """Probability of fraud, float32 [n]."""
    return np.concatenate(
        [np.asarray(network(batch, training=False))[:, 0] for batch in transactions.slices(SCORING_BATCH)]
    )


class _Evaluation(keras.callbacks.Callback):
    """Adds weighted loss and exact ranking metrics on eval to each epoch's logs, and tells them.

    Keras' own AUC metric is a sum over 200 fixed thresholds, on which models that differ can tie.
    """

    def __init__(
        self,
        transactions: Transactions,
        loss: keras.losses.Loss,
        replicas: Replicas,
        on_epoch: Callable[[int, Mapping[str, float]], bool],
    ):
        super().__init__()
        self._transactions = transactions
        self._loss = loss
        self._replicas = replicas
        self._on_epoch = on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        own = self._measured() if self._replicas.leads else [0.0] * len(MEASURED)
        measured = dict(zip(MEASURED, self._replicas.agreed(own), strict=True))
        if logs is not None:
            logs.update(measured)
        # a network that diverged ranks nothing: stop, and let `fit` say why
        if not np.isfinite(measured["val_loss"]) or not self._on_epoch(epoch + 1, measured):
            self.model.stop_training = True

    def _measured(self) -> list[float]:
        labels, weights = self._transactions.labels, self._transactions.weights
        scores = score(self.model, self._transactions)
        losses = np.asarray(self._loss.call(labels[:, None], scores[:, None]), np.float64)
        ranking = Ranking.of(labels, np.nan_to_num(scores), weights)
        loss = float(np.average(losses, weights=weights))
        recall = ranking.recall_at_false_positive_rate(0.01)
        return [loss, ranking.average_precision(), ranking.roc_auc(), recall]
