"""The network: a multi-layer perceptron over numeric features and embedded categories."""

from __future__ import annotations

import math
from collections.abc import Mapping

import keras

from trainer.preprocessing import NUMERIC, categorical_key
from trainer.settings import Training


def embedding_width(values: int) -> int:
    """Dimensions for a category of so many values: its fourth root, times 3.2 (fastai's rule is kin), 2 to 16."""
    return max(2, min(16, round(1.6 * values**0.25 * 2)))


def build(width: int, categories: Mapping[str, int], training: Training, fraud_rate: float) -> keras.Model:
    """An uncompiled functional model from transformed features to the probability of fraud.

    Args:
      width: columns of the `numeric` input.
      categories: for each categorical column, how many indices it has.
      training: network and initial bias.
      fraud_rate: weighted share of fraud in training; the output starts there with `initial_bias`.

    Returns:
      Inputs `numeric` float32 [batch, width] and `category_<column>` int64 [batch, 1]; output float32 [batch, 1].
    """
    network = training.network
    inputs = {NUMERIC: keras.Input((width,), name=NUMERIC)}
    parts = [inputs[NUMERIC]]
    for column, values in categories.items():
        key = categorical_key(column)
        inputs[key] = keras.Input((1,), dtype="int64", name=key)
        embedding = keras.layers.Embedding(values, embedding_width(values), name=f"embedding_{len(inputs) - 1}")
        parts.append(keras.layers.Flatten()(embedding(inputs[key])))
    hidden = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    regularizer = keras.regularizers.L2(network.weight_decay) if network.weight_decay else None
    for units in network.units:
        hidden = keras.layers.Dense(units, activation=network.activation, kernel_regularizer=regularizer)(hidden)
        if network.dropout:
            hidden = keras.layers.Dropout(network.dropout)(hidden)
    # 0.17 % of transactions are fraud: from a bias of zero, the first epochs learn nothing but that.
    odds = training.fraud_weight * fraud_rate / (1 - fraud_rate)
    bias = keras.initializers.Constant(math.log(odds)) if training.initial_bias else "zeros"
    output = keras.layers.Dense(1, activation="sigmoid", bias_initializer=bias, name="probability")(hidden)
    return keras.Model(inputs, output, name="fraud_network")


def compile_model(model: keras.Model, training: Training, steps_per_epoch: int) -> None:
    """Adam and binary cross-entropy; an epoch is one call into TensorFlow, so that Python is not the brake."""
    model.compile(
        optimizer=keras.optimizers.Adam(training.learning_rate),
        loss=keras.losses.BinaryCrossentropy(),
        weighted_metrics=[keras.metrics.BinaryAccuracy(name="accuracy")],
        steps_per_execution=steps_per_epoch,
        # XLA makes an epoch of so small a network no shorter, and takes its time to compile
        jit_compile=False,
    )
