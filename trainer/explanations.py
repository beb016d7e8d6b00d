"""How much each raw column contributes to a score: integrated gradients over the network's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.columns import Columns
from trainer.features import NUMERIC, Features, categorical_key

# Where units saturate, or have a kink as relu's do, 50 steps miss up to a sixth of the difference; 500 take 30 ms.
STEPS = 500


class IntegratedGradients:
    """The contribution of each raw column to the difference in log-odds between a score and the baseline's score.

    Sundararajan, Taly and Yan (2017, "Axiomatic attribution for deep networks"), equation 3 by the midpoint rule. The
    log-odds are explained, not the score: near 0 and 1, where the costly mistakes are, the score is flat, and
    contributions to it would say next to nothing. The path of a category goes through its embedding.
    """

    def __init__(
        self, network: keras.Model, columns: Columns, features: Features, spec: Mapping[str, Any], steps: int = STEPS
    ):
        """spec: Transform's raw feature spec, in which a `VarLenFeature` has an indicator of missing values."""
        last = network.get_layer("probability")
        joined = next(
            (layer.output for layer in network.layers if isinstance(layer, keras.layers.Concatenate)),
            network.input[NUMERIC],
        )
        self._joined = keras.Model(network.input, joined)
        self._hidden = keras.Model(joined, last.input)
        self._last, self._steps = last, steps
        self._categories = tuple(columns.categorical)

        owners = _numeric_owners(columns, features, spec, network.input[NUMERIC].shape[1])
        # a missing category has the last index, see `category_ids`
        self._baseline = {NUMERIC: np.zeros([1, len(owners)], np.float32)}
        embeddings = [layer for layer in network.layers if isinstance(layer, keras.layers.Embedding)]
        for column, embedding in zip(self._categories, embeddings, strict=True):
            self._baseline[categorical_key(column)] = np.array([[embedding.input_dim - 1]])
            owners += [column] * embedding.output_dim
        self.features = tuple(name for name in columns.inputs if name in owners)
        self.method = _in_words(columns, features, steps)
        self._belongs = np.array([[owner == name for name in self.features] for owner in owners], np.float32)

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Contributions, float32 [batch, features], in the order of `features`.

        inputs: the network's, as Transform makes them.
        """
        rows = self._joined(dict(inputs), training=False)
        start = self._joined(self._baseline, training=False)
        way = rows - start

        def step(done: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            point = start + (tf.cast(done, tf.float32) + 0.5) / self._steps * way
            with tf.GradientTape() as tape:
                tape.watch(point)
                log_odds = self._log_odds(point)
            return done + 1, total + tape.gradient(log_odds, point)

        # one step after the other: so the memory needed does not depend on the number of steps
        _, total = tf.while_loop(
            lambda done, _: done < self._steps, step, [tf.constant(0), tf.zeros_like(rows)], parallel_iterations=1
        )
        return (way * total / self._steps) @ self._belongs

    def _log_odds(self, joined: tf.Tensor) -> tf.Tensor:
        """The output of the last layer before its sigmoid, float32 [batch, 1]."""
        hidden = self._hidden(joined, training=False)
        return hidden @ tf.convert_to_tensor(self._last.kernel) + tf.convert_to_tensor(self._last.bias)


def _numeric_owners(columns: Columns, features: Features, spec: Mapping[str, Any], width: int) -> list[str | None]:
    """The raw column behind each of `numeric_features`; None for the zeros of a data set with categories only."""
    names = [*columns.numeric, *([columns.amount] if columns.amount else [])]
    owners: list[str | None] = [*names, *(name for name in names if isinstance(spec[name], tf.io.VarLenFeature))]
    if columns.time and features.use_time:
        owners += [columns.time, columns.time]
    owners = owners or [None]
    if len(owners) != width:
        raise ValueError(f"the columns give {len(owners)} numeric features, the network takes {width}")
    return owners


def _in_words(columns: Columns, features: Features, steps: int) -> str:
    """A sentence that names the method and the baseline."""
    baseline = []
    if features.scaling == "unit_norm":
        # every value depends on the length of its whole row
        baseline.append("every number is zero, which no row of length 1 is")
    elif columns.numeric or columns.amount:
        amount = ", of the amount in its logarithm" if columns.amount and features.log_amount else ""
        baseline.append(f"every number is at its mean (zero once standardized{amount})")
    if columns.time and features.use_time:
        baseline.append("the hour is unknown")
    if columns.categorical:
        baseline.append("every category is missing")
    return (
        f"Integrated gradients (Sundararajan, Taly and Yan, 2017) of the log-odds of the score before calibration, in "
        f"{steps} steps from a transaction in which {_listed(baseline)}."
    )


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)
