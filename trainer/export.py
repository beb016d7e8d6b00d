"""The SavedModel: everything between a raw transaction and a decision."""

from __future__ import annotations

import functools
import math
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from trainer.columns import EXAMPLE_WEIGHT, Columns, RawKind, identifier
from trainer.decision.calibration import Calibration
from trainer.decision.rule import Decision
from trainer.explanations import IntegratedGradients
from trainer.features import LABEL, WEIGHT
from trainer.preprocessing import TransformGraph, dense

# An int64 tensor has no value for "missing": in `serving_raw`, the lowest integer stands for a missing category.
MISSING_INTEGER = tf.int64.min
_DTYPES: dict[RawKind, tf.DType] = {"float": tf.float32, "integer": tf.int64, "string": tf.string}


class ServingModule(tf.Module):
    """Preprocessing, network, calibration and decision, with the signatures that serving calls."""

    def __init__(
        self,
        network: keras.Model,
        transform: tft.TFTransformOutput,
        columns: Columns,
        calibration: Calibration,
        decision: Decision,
        explanation: IntegratedGradients | None = None,
    ):
        super().__init__()
        self.network = network
        self.preprocessing = TransformGraph(transform)
        self._calibration = calibration
        self._decision = decision
        self._explanation = explanation
        self._amount = columns.amount
        not_served = (columns.label, EXAMPLE_WEIGHT)
        self._spec = {name: spec for name, spec in transform.raw_feature_spec().items() if name not in not_served}
        self._kinds = {name: kind for name, kind in columns.raw_kinds.items() if name in self._spec}

    def entry_points(self) -> dict[str, Any]:
        """The signatures, as `tf.saved_model.save` takes them."""
        raw = {
            identifier(name): tf.TensorSpec([None], _DTYPES[kind], name=identifier(name))
            for name, kind in self._kinds.items()
        }
        examples = tf.TensorSpec([None], tf.string, name="examples")
        signatures = {
            "serving_default": tf.function(self.score_examples, input_signature=[examples], autograph=False),
            "serving_raw": tf.function(self.score_raw, input_signature=[raw], autograph=False),
        }
        if self._explanation is not None:
            explain = functools.partial(self.explain, self._explanation)
            signatures["explain"] = tf.function(explain, input_signature=[examples], autograph=False)
        return signatures

    def score_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores serialized tf.Examples, string [batch]; they need no label."""
        return self._score(tf.io.parse_example(examples, self._spec))

    def score_raw(self, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Scores raw columns, each [batch] by its `identifier`; NaN, "" and the lowest int64 mean missing."""
        return self._score({name: self._as_parsed(name, columns[identifier(name)]) for name in self._kinds})

    def explain(self, explanation: IntegratedGradients, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """How much each column adds to the log-odds of the score, for `examples` as in `score_examples`."""
        inputs = self._inputs(tf.io.parse_example(examples, self._spec))
        return {"attributions": explanation(inputs)}  # float32 [batch, features]

    def _as_parsed(self, name: str, value: tf.Tensor) -> tf.Tensor | tf.SparseTensor:
        """A raw column [batch] as `parse_example` returns it: [batch, 1], or sparse if values may be missing."""
        if isinstance(self._spec[name], tf.io.FixedLenFeature):
            return tf.expand_dims(value, 1)
        kind = self._kinds[name]
        if kind == "float":
            present = tf.logical_not(tf.math.is_nan(value))
        else:
            present = tf.not_equal(value, "" if kind == "string" else MISSING_INTEGER)
        rows = tf.where(present)
        indices = tf.concat([rows, tf.zeros_like(rows)], axis=1)
        shape = tf.stack([tf.shape(value, out_type=tf.int64)[0], tf.constant(1, tf.int64)])
        return tf.SparseTensor(indices, tf.gather(value, rows[:, 0]), shape)

    def _inputs(self, raw: dict[str, Any]) -> dict[str, tf.Tensor]:
        features = self.preprocessing(raw)
        return {key: value for key, value in features.items() if key not in (LABEL, WEIGHT)}

    def _score(self, raw: dict[str, Any]) -> dict[str, tf.Tensor]:
        score = self.network(self._inputs(raw), training=False)[:, 0]
        probability = self._calibration.tensor(score)
        amount = dense(raw[self._amount], math.nan)[:, 0] if self._amount else None
        return {
            "score": score,  # float32 [batch], what ranks
            "probability": probability,  # float32 [batch], of fraud
            "decision": tf.cast(self._decision.tensor(probability, amount), tf.int64),  # int64 [batch], 1: stop it
            "threshold_version": tf.fill(tf.shape(score), self._decision.version),  # string [batch]
        }


def save(
    network: keras.Model,
    transform: tft.TFTransformOutput,
    columns: Columns,
    calibration: Calibration,
    decision: Decision,
    folder: str,
    explanation: IntegratedGradients | None = None,
) -> None:
    """Writes a SavedModel that needs nothing but TensorFlow.

    Its signatures are `serving_default`, `serving_raw` and, where an explanation is passed, `explain`.
    """
    module = ServingModule(network, transform, columns, calibration, decision, explanation)
    options = tf.saved_model.SaveOptions(save_debug_info=False)
    tf.saved_model.save(module, folder, signatures=module.entry_points(), options=options)
