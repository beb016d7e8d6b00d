"""Fitting the network, as the Trainer and every trial of the Tuner do."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer import interruption, model, progress
from trainer.arrays import Array
from trainer.dataset import Transactions, batches, portions, steps
from trainer.distributed.replicas import ONE, Replicas
from trainer.features import NUMERIC
from trainer.folds import Fold
from trainer.metrics import Ranking
from trainer.settings import Objective, Training

OBJECTIVE = "val_average_precision"
MEASURED = ("val_loss", OBJECTIVE, "val_roc_auc", "val_recall_at_1_percent_false_positives")  # after each epoch
SCORING_BATCH = 65_536

logger = logging.getLogger(__name__)


def make_reproducible(seed: int) -> None:
    """Seeds Python, numpy and TensorFlow and makes its operations deterministic: two runs give the same model."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def build(
    categories: Mapping[str, int], training: Training, train: Transactions, *, measured: bool = True
) -> model.FraudNetwork:
    """The compiled network for the features that Transform makes; its output starts at the fraud rate of `train`.

    Args:
      categories: for each categorical column, how many indices it has.
      measured: whether fitting measures more than the loss.
    """
    network = model.build(train.inputs[NUMERIC].shape[1], categories, training, train.fraud_rate)
    model.compile_model(network, training, steps(train, training.batch_size), measured=measured)
    return network


def fit_anew(
    fold: Fold, training: Training, replicas: Replicas, *, task: str, log_dir: str | None = None
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Builds and fits the network, and returns it with Keras' history.

    The network that is returned computes in float32 on one device, whatever it was fitted on.
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


def restored(fold: Fold, training: Training, weights: Sequence[Array]) -> keras.Model:
    """The network with these weights, computing in float32."""
    network = build(fold.categories, training.model_copy(update={"mixed_precision": False}), fold.train)
    network.set_weights(weights)
    return network


def build_optimizer(network: keras.Model) -> None:
    """Makes the optimizer's variables; otherwise the first step makes them while it is traced, and is traced again."""
    if not network.optimizer.built:
        network.optimizer.build(network.trainable_variables)


class NetworkCache:
    """Networks for one fit after the other; one of equal structure is used again, since tracing takes longest.

    A fit gives the same result as with a network of its own.
    """

    def __init__(self, most: int = 8):
        self._most = most
        self._kept: dict[Any, tuple[model.FraudNetwork, list[tf.Tensor]]] = {}

    def fresh(self, categories: Mapping[str, int], training: Training, train: Transactions) -> model.FraudNetwork:
        """The network that `build` returns after `make_reproducible`, new or as good as new."""
        width = train.inputs[NUMERIC].shape[1]
        structure = training.model_copy(update=_NOT_IN_THE_GRAPH)
        key = (width, *categories.items(), structure.model_dump_json())
        if key in self._kept:
            network, initial = self._kept[key] = self._kept.pop(key)  # the latest is the last to be dropped
            for variable, value in zip(state(network), initial, strict=True):
                variable.value.assign(value)
            # what depends on the rows and on settings that are not in the key
            network.get_layer(model.OUTPUT).bias.assign([model.initial_bias(training, train.fraud_rate)])
            network.optimizer.learning_rate.assign(training.learning_rate)
            network.set_epoch_steps(steps(train, training.batch_size))
            return network
        while len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        make_reproducible(training.seed)
        network = build(categories, training, train, measured=False)
        build_optimizer(network)
        self._kept[key] = (network, [variable.value.read_value() for variable in state(network)])
        return network


_NOT_IN_THE_GRAPH = {
    name: Training.model_fields[name].get_default()
    for name in ("learning_rate", "batch_size", "epochs", "initial_bias", "fraud_weight", "patience")
}


def state(network: keras.Model) -> list[Any]:
    """The variables that a fit depends on: weights, dropout's random generators, the optimizer's moments."""
    of_metrics = {id(variable) for variable in network.metrics_variables}
    own = [variable for variable in network.variables if id(variable) not in of_metrics]
    return [*own, *network.optimizer.variables]


def fit(
    network: keras.Model,
    train: Transactions,
    evaluation: Transactions,
    training: Training,
    *,
    task: str,
    replicas: Replicas = ONE,
    epochs: int | None = None,
    patience: int | None = None,
    log_dir: str | None = None,
    on_epoch: Callable[[int, Mapping[str, float]], bool] | None = None,
) -> dict[str, list[float]]:
    """Fits the network in place and returns Keras' history; with `patience` it ends with the best epoch's weights.

    Args:
      task: the name under which progress is reported.
      replicas: the replicas that the network was built for.
      epochs: how many epochs, those of `training` by default.
      patience: epochs without a better average precision on `evaluation` after which the fit ends.
      log_dir: TensorBoard's folder; without it nothing is written.
      on_epoch: called after each epoch with the number of epochs done and the measures, in place of a report of
        progress; where it returns false, the fit ends.

    Raises:
      FloatingPointError: the loss, on `train` or on `evaluation`, is not a number any more.
    """
    epochs = epochs or training.epochs
    callbacks: list[keras.callbacks.Callback] = [
        _Evaluation(evaluation, model.loss(training), replicas, on_epoch or _progress_reporter(task, epochs))
    ]
    if patience:
        callbacks.append(
            keras.callbacks.EarlyStopping(OBJECTIVE, mode="max", patience=patience, restore_best_weights=True)
        )
    if log_dir and replicas.leads:
        callbacks.append(keras.callbacks.TensorBoard(log_dir, write_graph=False))
    factor = training.fraud_factor(train.fraud_rate)
    examples = batches(train, training.batch_size, training.seed, factor)
    with replicas.scope():
        build_optimizer(network)
        history = replicas.fit(
            network,
            examples,
            training,
            steps=steps(train, training.batch_size),
            callbacks=callbacks,
            epochs=epochs,
        )
    # on eval too: the last step of an epoch may break the weights after the training loss was measured
    loss = history["loss"][-1] + history["val_loss"][-1]
    _check(loss, len(history["loss"]), task, training)
    return {key: [float(value) for value in values] for key, values in history.items()}


@dataclass(frozen=True)
class EpochCheckpoint:
    """A network's weights after an epoch, which can be judged while the network goes on learning.

    loss: of the last epoch, on the training rows.
    """

    network: model.FraudNetwork
    weights: list[tf.Tensor]
    loss: tf.Tensor
    epochs: int

    def judged(self, evaluation: Transactions, training: Training, objective: Objective, task: str) -> float:
        """The objective on `evaluation`.

        Raises:
          FloatingPointError: as in `fit`.
        """
        score = self.network.make_score_function()
        scores = _concatenated(score(self.weights, rows) for rows in evaluation.slices(SCORING_BATCH))
        _check(float(self.loss) if np.isfinite(scores).all() else math.nan, self.epochs, task, training)
        return measures(evaluation, scores, model.loss(training))[objective]()


def read(train: Transactions, training: Training, epochs: range) -> Iterator[Any]:
    """The rows that `fit_epochs` learns from in these epochs."""
    factor = training.fraud_factor(train.fraud_rate)
    return portions(train, training.batch_size, training.seed, epochs, factor)


def fit_epochs(
    network: model.FraudNetwork, rows: Iterator[Any], train: Transactions, training: Training, epochs: range
) -> Iterator[EpochCheckpoint]:
    """Fits in place as `fit` does, epoch by epoch, but without Keras' loop.

    The overhead of Keras' loop is as long as a small network takes to learn, and a search has thousands of epochs.

    Args:
      rows: of `train`, as `read` yields them.
      epochs: from the number of epochs that the network has been fitted for already up to all of them.
    """
    build_optimizer(network)
    learn = network.make_learn_function()
    for epoch in epochs:
        network.reset_metrics()
        remaining = len(train)
        while remaining:
            interruption.check()
            portion = next(rows)
            loss = learn(portion, training.batch_size)
            remaining -= len(portion[1])
        yield EpochCheckpoint(network, network.snapshot(), loss, epoch + 1)


def _check(loss: float, epochs: int, task: str, training: Training) -> None:
    if not np.isfinite(loss):
        raise FloatingPointError(
            f"{task}: the loss is {loss} after {epochs} epochs; lower the learning rate, got {training.learning_rate:g}"
        )


def measures(transactions: Transactions, scores: Array, loss: keras.losses.Loss) -> dict[str, Callable[[], float]]:
    """The measures that a network may be judged by, weighted loss and exact ranking metrics, each computed when called.

    Keras' own AUC metric is a sum over 200 fixed thresholds, by which different models can tie.
    """
    labels, weights = transactions.labels, transactions.weights

    @functools.cache
    def ranking() -> Ranking:
        return Ranking.from_scores(labels, np.nan_to_num(scores), weights)

    def mean_loss() -> float:
        losses = np.asarray(loss.call(labels[:, None], scores[:, None]), np.float64)
        return float(np.average(losses, weights=weights))

    return {
        "loss": mean_loss,
        "average_precision": lambda: ranking().average_precision(),
        "roc_auc": lambda: ranking().roc_auc(),
        "recall_at_1_percent_false_positives": lambda: ranking().recall_at_false_positive_rate(0.01),
    }


def _progress_reporter(task: str, epochs: int) -> Callable[[int, Mapping[str, float]], bool]:
    best = 0.0

    def report(epoch: int, measured: Mapping[str, float]) -> bool:
        nonlocal best
        best = max(best, measured[OBJECTIVE])
        progress.report(progress.Progress(task, epoch, epochs, f"average precision {best:.3f} on eval"))
        return True

    return report


def score(network: keras.Model, transactions: Transactions) -> Array:
    """The network's output for all rows, float32 [n]."""
    return _concatenated(network(rows, training=False) for rows in transactions.slices(SCORING_BATCH))


def _concatenated(outputs: Iterable[tf.Tensor]) -> Array:
    return np.concatenate([np.asarray(output)[:, 0] for output in outputs])


class _Evaluation(keras.callbacks.Callback):
    """Measures each epoch on eval, adds the measures to its logs, and calls `on_epoch` with them."""

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
        interruption.check()
        own = self._measures() if self._replicas.leads else [0.0] * len(MEASURED)
        measured = dict(zip(MEASURED, self._replicas.agreed(own), strict=True))
        if logs is not None:
            logs.update(measured)
        # a network that diverged ranks nothing: stop, and let `fit` raise the error
        if not np.isfinite(measured["val_loss"]) or not self._on_epoch(epoch + 1, measured):
            self.model.stop_training = True

    def _measures(self) -> list[float]:
        scores = score(self.model, self._transactions)
        by_name = measures(self._transactions, scores, self._loss)
        return [by_name[name.removeprefix("val_")]() for name in MEASURED]
