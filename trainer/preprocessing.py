"""From raw transactions to the network's input, by the same graph in training, evaluation and serving."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.saved import saved_transform_io_v2

from trainer.columns import EXAMPLE_WEIGHT, SECONDS_A_DAY, Columns, TimeKind
from trainer.features import (
    LABEL,
    NUMERIC,
    WEIGHT,
    Features,
    PreprocessingSettings,
    categorical_key,
    vocabulary_name,
)

# What ExampleGen accepts: YYYY-MM-DD, T or a blank, HH:MM, and perhaps seconds, their fraction and an offset.
_ISO_8601 = (
    r"^\d{4}-\d{2}-\d{2}[Tt ]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:[.,]\d+)?)?"
    r"(?: ?(?:[Zz]|[+-]\d{2}(?::?\d{2})?))?$"
)


class TransformGraph(tf.Module):
    """Transform's graph: from raw columns to features, and to label and weight where it gets those columns.

    Without the tf_keras layer in which TFT wraps it: tracing and saving that one takes five seconds.
    """

    def __init__(self, transform: tft.TFTransformOutput):
        super().__init__()
        self._loader = saved_transform_io_v2.SavedModelLoader(transform.transform_savedmodel_dir)
        self.tracked = vars(self._loader)  # so that vocabularies are saved with whatever holds this

    def __call__(self, raw: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """The outputs of `preprocessing_fn` for columns as `tf.io.parse_example` returns them."""
        transformed: dict[str, tf.Tensor] = self._loader.apply_transform_model(raw)
        return transformed


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """TFX Transform's entry point.

    Args:
      inputs: each raw column by its name: [batch, 1], or a SparseTensor where values may be missing.
      custom_config: of `TrainerSettings.to_custom_config`, of which `PreprocessingSettings` are read.

    Returns:
      `numeric` float32 [batch, width], `category_<column>` int64 [batch, 1] for each categorical column, `label` and
      `weight` float32 [batch, 1].
    """
    settings = PreprocessingSettings.from_custom_config(custom_config)
    columns = settings.columns
    outputs = {NUMERIC: numeric_features(inputs, settings)}
    for column in columns.categorical:
        outputs[categorical_key(column)] = category_ids(inputs[column], column, settings)
    # Each from a single input, so that the graph gives the features even where it is fed no label and no weight.
    outputs[LABEL] = tf.cast(dense(inputs[columns.label], 0), tf.float32)
    outputs[WEIGHT] = tf.cast(dense(inputs[EXAMPLE_WEIGHT], 1.0), tf.float32)
    return outputs


def dense(value: Any, default: Any) -> tf.Tensor:
    """The column as a dense tensor, [batch, 1], with `default` where a SparseTensor has no value."""
    if isinstance(value, tf.SparseTensor):
        return tft.sparse_tensor_to_dense_with_shape(value, [None, 1], default_value=default)
    return value


def numeric_features(inputs: dict[str, Any], settings: PreprocessingSettings) -> tf.Tensor:
    """Numeric columns, amount and hour of day as one float32 [batch, width], without missing values.

    A missing value becomes the column's mean. Every column that may have missing values by the schema gets an
    indicator, 1 where the value was missing; the indicators follow the numbers.
    """
    columns, features = settings.columns, settings.features
    names = [*columns.numeric, *([columns.amount] if columns.amount else [])]
    values = [dense(inputs[name], math.nan) for name in names]
    if columns.amount and features.log_amount:
        # a refund is a negative amount: keep its sign
        values[-1] = tf.sign(values[-1]) * tf.math.log1p(tf.abs(values[-1]))
    parts: list[tf.Tensor] = []
    if values:
        raw = tf.concat(values, axis=1)
        missing = tf.math.logical_not(tf.math.is_finite(raw))
        if features.scaling == "standard":
            # One stacked vector: a scale_to_z_score for each column takes Transform twice as long. It leaves NaN out of
            # mean and variance, and zero is the mean after scaling.
            scaled = tft.scale_to_z_score(tf.where(missing, math.nan, raw), elementwise=True)
            if features.clip:
                scaled = tf.clip_by_value(scaled, -features.clip, features.clip)
            # not where(missing, ...): a column without any value in training has no mean either
            parts.append(tf.where(tf.math.is_finite(scaled), scaled, 0.0))
        else:
            parts.append(tf.math.l2_normalize(tf.where(missing, 0.0, raw), axis=1))
        gaps = [index for index, name in enumerate(names) if isinstance(inputs[name], tf.SparseTensor)]
        if gaps:
            parts.append(tf.gather(tf.cast(missing, tf.float32), gaps, axis=1))
    if columns.time and features.use_time:
        parts.append(hour_of_day(inputs[columns.time], columns.time_kind))
    if not parts:
        # data with categories only still need a numeric input
        first, kind = next(iter(columns.categorical.items()))
        parts.append(tf.zeros([tf.shape(dense(inputs[first], "" if kind == "string" else 0))[0], 1]))
    return tf.concat(parts, axis=1)


def hour_of_day(time: Any, time_kind: TimeKind) -> tf.Tensor:
    """Sine and cosine of the time of day, float32 [batch, 2]; zeros where the time is missing.

    On the circle 23:59 and 00:01 are neighbours. Of an ISO 8601 time the local hour counts, as written; the offset is
    not applied, since people's habits follow their own clocks.
    """
    if time_kind == "iso8601":
        seconds, known = _iso_seconds_of_day(dense(time, ""))
    elif time_kind == "seconds":
        raw = dense(time, math.nan)
        known = tf.math.is_finite(raw)
        seconds = tf.where(known, tf.math.floormod(raw, SECONDS_A_DAY), 0.0)
    else:
        unknown = tf.int64.min
        raw = dense(time, unknown)
        known = tf.not_equal(raw, unknown)
        whole = tf.where(known, raw, 0)
        if time_kind == "epoch_ms":
            whole = tf.math.floordiv(whole, 1000)
        # in int64, since float32 rounds an epoch to two minutes
        seconds = tf.cast(tf.math.floormod(whole, SECONDS_A_DAY), tf.float32)
    angle = seconds * (2 * math.pi / SECONDS_A_DAY)
    present = tf.cast(known, tf.float32)
    return tf.concat([tf.sin(angle) * present, tf.cos(angle) * present], axis=1)


def _iso_seconds_of_day(text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds since local midnight, float32 [batch, 1], and whether the text is a date with a time, bool [batch, 1]."""
    known = tf.strings.regex_full_match(text, _ISO_8601)
    clock = tf.where(
        known, tf.strings.regex_replace(text, _ISO_8601, r"0\1:0\2:0\3", replace_global=False), "000:000:00"
    )
    parts = tf.strings.split(tf.reshape(clock, [-1]), ":").to_tensor(default_value="0", shape=[None, 3])
    numbers = tf.strings.to_number(parts, tf.float32)
    return numbers @ tf.constant([[3600.0], [60.0], [1.0]]), known


def category_ids(value: Any, column: str, settings: PreprocessingSettings) -> tf.Tensor:
    """Index of each value, int64 [batch, 1]: the vocabulary, the out-of-vocabulary buckets, and one for "missing"."""
    features = settings.features
    if settings.columns.categorical[column] == "integer":
        # as text, in which a missing value differs from 0
        if isinstance(value, tf.SparseTensor):
            value = tf.SparseTensor(value.indices, tf.strings.as_string(value.values), value.dense_shape)
        else:
            value = tf.strings.as_string(value)
    text = dense(value, "")
    ids = tft.compute_and_apply_vocabulary(
        text,
        top_k=features.max_vocabulary,
        num_oov_buckets=features.out_of_vocabulary,
        vocab_filename=vocabulary_name(column),
    )
    size = tft.experimental.get_vocabulary_size_by_name(vocabulary_name(column)) + features.out_of_vocabulary
    return tf.where(tf.equal(text, ""), tf.cast(size, tf.int64), ids)


def categories(transform: tft.TFTransformOutput, columns: Columns, features: Features) -> dict[str, int]:
    """How many indices each categorical column has: vocabulary, out-of-vocabulary buckets, and one for "missing"."""
    return {
        column: transform.vocabulary_size_by_name(vocabulary_name(column)) + features.out_of_vocabulary + 1
        for column in columns.categorical
    }
