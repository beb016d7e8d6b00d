"""Challengers: models of other kinds, fitted to the same rows, that a new model is compared with."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer import examples, interruption, memory, progress
from trainer.arrays import Array
from trainer.boosted_trees import load_xgboost, tree_parameters, with_mean_one
from trainer.columns import Columns
from trainer.dataset import Transactions
from trainer.features import NUMERIC
from trainer.fitting import OBJECTIVE, SCORING_BATCH, build, fit, make_reproducible
from trainer.metrics import average_precision
from trainer.preprocessing import TransformGraph, dense
from trainer.settings import Network, Training
from trainer.subsampling import subsampled

Inputs = Mapping[str, Array]  # inputs of some rows, as `Transactions.slices` yields them

# Layers of 10, 5 and 1, tanh and a sigmoid, as in configs/tutorial.yaml; it trains for all epochs.
TUTORIAL = Training(
    network=Network(units=(10, 5), activation="tanh", dropout=0, weight_decay=0),
    optimizer="adam",
    learning_rate=1e-3,
    batch_size=2000,
    epochs=20,
    initial_bias=False,
    patience=None,
)

ROUNDS, PATIENCE = 300, 20


@dataclass(frozen=True)
class Fitted:
    """A challenger that has been fitted.

    score: takes the inputs of n rows and returns scores in [0, 1], float32 [n]. settings, versions: hyperparameters,
    and versions of the libraries, both fit for JSON. rows: how many it was fitted to. seconds: how long that took.
    """

    score: Callable[[Inputs], Array]
    settings: dict[str, Any]
    versions: dict[str, str]
    rows: int
    seconds: float

    def scores(self, transactions: Transactions) -> Array:
        """Scores of all rows of a split, float32 [n]."""
        return np.concatenate([self.score(inputs) for inputs in transactions.slices(SCORING_BATCH)])


def fit_challengers(
    names: Sequence[str],
    train: Transactions,
    evaluation: Transactions,
    categories: Mapping[str, int],
    *,
    rows: int,
    seed: int,
) -> dict[str, Fitted]:
    """Fits the challengers and returns each by its name; two calls give the same scores.

    Args:
      names: keys of `KINDS`.
      categories: for each categorical column, how many indices it has.
      rows: most rows of train to fit to, see `subsampled`; early stopping uses up to a quarter as many rows of eval.
    """
    train, evaluation = subsampled(train, rows), subsampled(evaluation, rows // 4)
    fitted = {}
    for name in names:
        began = time.monotonic()
        score, settings, versions = KINDS[name](train, evaluation, categories, seed)
        fitted[name] = Fitted(score, settings, versions, len(train), time.monotonic() - began)
        memory.release()
    return fitted


_Kind = tuple[Callable[[Inputs], Array], dict[str, Any], dict[str, str]]


def _tutorial(train: Transactions, evaluation: Transactions, categories: Mapping[str, int], seed: int) -> _Kind:
    training = TUTORIAL.model_copy(update={"seed": seed})
    make_reproducible(seed)
    network = build(categories, training, train)
    report = _reporter("tutorial", training.epochs)

    def on_epoch(epoch: int, measured: Mapping[str, float]) -> bool:
        report(epoch, measured[OBJECTIVE])
        return True

    # a few rows of eval are enough: they are only for the progress report
    fit(network, train, subsampled(evaluation, 10_000), training, task="Challengers", on_epoch=on_epoch)

    def score(inputs: Inputs) -> Array:
        return np.asarray(network(dict(inputs), training=False))[:, 0]

    settings = {"training": training.model_dump(mode="json"), "parameters": network.count_params()}
    return score, settings, {"keras": keras.__version__, "tensorflow": tf.__version__}


def _boosted_trees(train: Transactions, evaluation: Transactions, categories: Mapping[str, int], seed: int) -> _Kind:
    """Gradient-boosted trees; they stop by the exact average precision, since XGBoost's `aucpr` interpolates."""
    xgboost = load_xgboost()
    weights = with_mean_one(train.weights)
    parameters = tree_parameters(train.fraud_rate, seed)
    fitted_to = _matrix(xgboost, train, weights)
    watched = _matrix(xgboost, evaluation, evaluation.weights, fitted_to)
    report, measured = _reporter("boosted trees", ROUNDS), 0

    def measure(scores: Array, _: Any) -> tuple[str, float]:
        nonlocal measured
        measured += 1
        precision = average_precision(evaluation.labels, scores, evaluation.weights)
        report(measured, precision)
        return OBJECTIVE, precision

    stopping = xgboost.callback.EarlyStopping(rounds=PATIENCE, metric_name=OBJECTIVE, maximize=True, save_best=True)
    trees = xgboost.train(
        {**parameters, "disable_default_eval_metric": True},
        fitted_to,
        num_boost_round=ROUNDS,
        evals=[(watched, "eval")],
        custom_metric=measure,
        callbacks=[stopping],
        verbose_eval=False,
    )
    settings = {**parameters, "rounds": ROUNDS, "patience": PATIENCE, "trees": trees.num_boosted_rounds()}
    return lambda inputs: trees.inplace_predict(_stacked(inputs)), settings, {"xgboost": xgboost.__version__}


KINDS: Mapping[str, Callable[[Transactions, Transactions, Mapping[str, int], int], _Kind]] = {
    "tutorial": _tutorial,
    "boosted_trees": _boosted_trees,
}


def _reporter(name: str, total: int) -> Callable[[int, float], None]:
    best = 0.0

    def report(done: int, precision: float) -> None:
        nonlocal best
        interruption.check()
        best = max(best, precision)
        progress.report(progress.Progress("Challengers", done, total, f"{name}: average precision {best:.3f} on eval"))

    return report


def _stacked(inputs: Inputs) -> Array:
    """Numeric features and the index of each category side by side, float32 [n, width]."""
    return np.concatenate([rows.astype(np.float32, copy=False) for _, rows in _ordered(inputs)], axis=1)


def _ordered(inputs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(inputs.items(), key=lambda item: (item[0] != NUMERIC, item[0]))


def _matrix(xgboost: Any, rows: Transactions, weights: Array, reference: Any = None) -> Any:
    """A matrix with a byte for each value, made from slices of the rows; categories are split by sets of indices.

    reference: another matrix, whose bins are used.
    """
    kinds = ["q" if key == NUMERIC else "c" for key, values in _ordered(rows.inputs) for _ in range(values.shape[1])]

    class Slices(xgboost.DataIter):
        def reset(self) -> None:
            self._start = 0

        def next(self, input_data: Callable[..., Any]) -> bool:
            part = slice(self._start, self._start + SCORING_BATCH)
            if part.start >= len(rows):
                return False
            data = _stacked({key: values[part] for key, values in rows.inputs.items()})
            input_data(data=data, label=rows.labels[part], weight=weights[part], feature_types=kinds)
            self._start = part.stop
            return True

    slices = Slices()
    slices.reset()
    return xgboost.QuantileDMatrix(slices, ref=reference, enable_categorical="c" in kinds)


def read(
    file: str, transform: tft.TFTransformOutput, graph: TransformGraph, columns: Columns
) -> Iterator[tuple[dict[str, Array], Array | None]]:
    """A file's transformed features and raw amounts in batches, in the order of the rows.

    Amounts are float32 [batch], NaN where missing; None where the data has none.
    """

    def both(raw: Mapping[str, Any]) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        amounts = {columns.amount: dense(raw[columns.amount], math.nan)[:, 0]} if columns.amount else {}
        return graph(raw), amounts

    # without autograph, which would look for control flow in the libraries for seconds
    transformed = tf.autograph.experimental.do_not_convert(both)
    dataset = examples.parsed([file], transform.raw_feature_spec()).map(
        transformed, num_parallel_calls=2, deterministic=True
    )
    for features, amounts in dataset.prefetch(1).as_numpy_iterator():
        yield features, next(iter(amounts.values()), None)
