"""TFMA metrics that TFMA lacks: exact average precision with its bootstrap interval, and recall at 1 % false alarms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

from trainer.metrics import Ranking, bootstrap_average_precision

# TFMA drops keys that begin with an underscore from what it writes.
_SCORED = "_scored_transactions"

Scored = tuple[np.ndarray, np.ndarray, np.ndarray]  # labels, scores, weights: float32 [n] each


class _CollectScored(beam.CombineFn):
    """Gathers label, score and weight of every transaction: 12 bytes each, so that nothing is rounded to bins.

    Equal for equal keys: TFMA then collects once for all the metrics here.
    """

    def __init__(self, key: metric_types.MetricKey, eval_config: Any):
        super().__init__()
        self._key = key
        self._eval_config = eval_config

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _CollectScored) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def create_accumulator(self) -> list[np.ndarray]:
        return []

    def add_input(self, accumulator: list[Any], element: metric_types.StandardMetricInputs) -> list[Any]:
        for label, prediction, weight in metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._key.model_name,
            output_name=self._key.output_name,
            sub_key=self._key.sub_key,
            flatten=True,
            example_weighted=True,
        ):
            accumulator.append((float(label[0]), float(prediction[0]), float(weight[0])))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:
        return [self._packed([row for accumulator in accumulators for row in accumulator])]

    def compact(self, accumulator: list[Any]) -> list[Any]:
        return [self._packed(accumulator)]

    def extract_output(self, accumulator: list[Any]) -> dict[metric_types.MetricKey, Scored]:
        scored = self._packed(accumulator)
        return {self._key: (scored[:, 0], scored[:, 1], scored[:, 2])}

    @staticmethod
    def _packed(rows: list[Any]) -> np.ndarray:
        """Tuples and arrays of [k, 3] as one float32 [n, 3]."""
        arrays = [row for row in rows if isinstance(row, np.ndarray)]
        loose = [row for row in rows if not isinstance(row, np.ndarray)]
        if loose:
            arrays.append(np.array(loose, np.float32))
        return np.concatenate(arrays) if arrays else np.zeros((0, 3), np.float32)


def _computations(name: str, figure: Callable[..., float]) -> Callable[..., metric_types.MetricComputations]:
    def computations(
        eval_config: Any = None,
        model_name: str = "",
        output_name: str = "",
        sub_key: Any = None,
        example_weighted: bool = False,
        **_: Any,
    ) -> metric_types.MetricComputations:
        where = {"model_name": model_name, "output_name": output_name, "sub_key": sub_key}
        scored = metric_types.MetricKey(name=_SCORED, example_weighted=example_weighted, **where)
        key = metric_types.MetricKey(name=name, example_weighted=example_weighted, **where)
        collect = _CollectScored(scored, eval_config)
        return [
            metric_types.MetricComputation(keys=[scored], preprocessors=None, combiner=collect),
            metric_types.DerivedMetricComputation(keys=[key], result=partial(_derived, key, scored, figure)),
        ]

    # once for each model: a candidate and the model in service each need a figure of their own
    return metric_util.merge_per_key_computations(computations)


def _derived(
    key: metric_types.MetricKey,
    scored: metric_types.MetricKey,
    figure: Callable[..., float],
    metrics: dict[metric_types.MetricKey, Any],
) -> dict[metric_types.MetricKey, float]:
    return {key: figure(*metrics[scored])}


class _FraudMetric(metric_types.Metric):
    """A figure of labels, scores and weights."""

    NAME = ""

    def __init__(self, name: str = ""):
        name = name or self.NAME
        super().__init__(_computations(name, self.figure), name=name)

    @staticmethod
    def figure(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
        raise NotImplementedError


class AveragePrecision(_FraudMetric):
    """Average precision, as sklearn computes it: TFMA's own AUCPrecisionRecall interpolates over fixed thresholds."""

    NAME = "average_precision"

    @staticmethod
    def figure(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
        return Ranking.of(labels, scores, weights).average_precision()


class AveragePrecisionLower(_FraudMetric):
    """Lower end of the 95 % bootstrap interval of the average precision."""

    NAME = "average_precision_lower"

    @staticmethod
    def figure(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
        return bootstrap_average_precision(labels, scores, weights)[0]


class AveragePrecisionUpper(_FraudMetric):
    """Upper end of the 95 % bootstrap interval of the average precision."""

    NAME = "average_precision_upper"

    @staticmethod
    def figure(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
        return bootstrap_average_precision(labels, scores, weights)[1]


class RocAuc(_FraudMetric):
    """Area under the ROC curve, exact: TFMA's AUC is a Riemann sum."""

    NAME = "roc_auc"

    @staticmethod
    def figure(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
        return Ranking.of(labels, scores, weights).roc_auc()


class RecallAtOnePercentFalsePositives(_FraudMetric):
    """Share of fraud caught when 1 % of the legitimate transactions are stopped."""

    NAME = "recall_at_1_percent_false_positives"

    @staticmethod
    def figure(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
        return Ranking.of(labels, scores, weights).recall_at_false_positive_rate(0.01)


METRICS = (AveragePrecision, AveragePrecisionLower, AveragePrecisionUpper, RocAuc, RecallAtOnePercentFalsePositives)
for _metric in METRICS:
    metric_types.register_metric(_metric)
