"""TFMA metrics that are exact and take batches whole: TFMA's own go row by row in Python, some by fixed thresholds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

from trainer.metrics import Ranking, bootstrap_average_precision


@dataclass(frozen=True)
class Scored:
    """What a slice's figures are made of; float32 [n] each."""

    labels: np.ndarray
    scores: np.ndarray
    weights: np.ndarray


class Interval(NamedTuple):
    """Of the average precision."""

    lower: float
    upper: float


class _Figures(beam.CombineFn):
    """Gathers label, score and weight of every transaction, 12 bytes each, so that nothing is rounded to bins.

    An element holds one transaction, as TFMA's own extractors give it, or all of a batch that fall into the slice.
    All figures are made here and the transactions let go of: what a metric hands on, Beam copies from step to step.
    Equal for equal keys: TFMA then collects once for all the metrics here.

    key: of a figure, whatever its name.
    """

    def __init__(self, key: metric_types.MetricKey, eval_config: Any):
        super().__init__()
        self._key = key
        self._eval_config = eval_config

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Figures) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def create_accumulator(self) -> list[np.ndarray]:
        return []

    def add_input(self, accumulator: list[np.ndarray], element: metric_types.StandardMetricInputs) -> list[np.ndarray]:
        for label, prediction, weight in metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._key.model_name,
            output_name=self._key.output_name,
            sub_key=self._key.sub_key,
            example_weighted=True,
            flatten=False,  # which would take a batch apart into its transactions
        ):
            labels = np.ravel(label)
            rows = np.empty((len(labels), 3), np.float32)
            rows[:, 0], rows[:, 1], rows[:, 2] = labels, np.ravel(prediction), np.ravel(weight)
            accumulator.append(rows)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[list[np.ndarray]]) -> list[np.ndarray]:
        return [rows for accumulator in accumulators for rows in accumulator]

    def compact(self, accumulator: list[np.ndarray]) -> list[np.ndarray]:
        return [np.concatenate(accumulator)] if accumulator else []

    def extract_output(self, accumulator: list[np.ndarray]) -> dict[metric_types.MetricKey, float]:
        rows = accumulator[0] if len(accumulator) == 1 else np.concatenate([np.zeros((0, 3), np.float32), *accumulator])
        scored = Scored(rows[:, 0], rows[:, 1], rows[:, 2])
        sources: dict[type, Any] = {
            Scored: scored,
            Ranking: Ranking.of(scored.labels, scored.scores, scored.weights),
            Interval: Interval(*bootstrap_average_precision(scored.labels, scored.scores, scored.weights)),
        }
        return {self._key._replace(name=metric.NAME): metric.figure(sources[metric.OF]) for metric in METRICS}


def _computations(
    eval_config: Any = None,
    model_name: str = "",
    output_name: str = "",
    sub_key: Any = None,
    example_weighted: bool = False,
    **_: Any,
) -> metric_types.MetricComputations:
    """How TFMA gets to all the figures here; the same for each of them, so that it is done once."""
    key = metric_types.MetricKey(
        name="", model_name=model_name, output_name=output_name, sub_key=sub_key, example_weighted=example_weighted
    )
    keys = [key._replace(name=metric.NAME) for metric in METRICS]
    return [metric_types.MetricComputation(keys=keys, preprocessors=None, combiner=_Figures(key, eval_config))]


class _FraudMetric(metric_types.Metric):
    """A figure of a slice's transactions."""

    NAME = ""
    OF: type = Ranking  # what the figure is made of

    def __init__(self) -> None:
        # once for each model: a candidate and the model in service each need figures of their own
        super().__init__(metric_util.merge_per_key_computations(_computations), name=self.NAME)

    @staticmethod
    def figure(of: Any) -> float:
        raise NotImplementedError


class AveragePrecision(_FraudMetric):
    """Average precision, as sklearn computes it: TFMA's own AUCPrecisionRecall interpolates over fixed thresholds."""

    NAME = "average_precision"

    @staticmethod
    def figure(of: Ranking) -> float:
        return of.average_precision()


class AveragePrecisionLower(_FraudMetric):
    """Lower end of the 95 % bootstrap interval of the average precision."""

    NAME = "average_precision_lower"
    OF = Interval

    @staticmethod
    def figure(of: Interval) -> float:
        return of.lower


class AveragePrecisionUpper(_FraudMetric):
    """Upper end of the 95 % bootstrap interval of the average precision."""

    NAME = "average_precision_upper"
    OF = Interval

    @staticmethod
    def figure(of: Interval) -> float:
        return of.upper


class RocAuc(_FraudMetric):
    """Area under the ROC curve, exact: TFMA's AUC is a Riemann sum."""

    NAME = "roc_auc"

    @staticmethod
    def figure(of: Ranking) -> float:
        return of.roc_auc()


class RecallAtOnePercentFalsePositives(_FraudMetric):
    """Share of fraud caught when 1 % of the legitimate transactions are stopped."""

    NAME = "recall_at_1_percent_false_positives"

    @staticmethod
    def figure(of: Ranking) -> float:
        return of.recall_at_false_positive_rate(0.01)


class Calibration(_FraudMetric):
    """Fraud that the scores foretell over fraud that there was, both weighted; NaN without fraud."""

    NAME = "calibration"
    OF = Scored

    @staticmethod
    def figure(of: Scored) -> float:
        weights = of.weights.astype(np.float64)
        fraud = float(weights @ of.labels)
        return float(weights @ of.scores) / fraud if fraud else float("nan")


class TransactionCount(_FraudMetric):
    """Rows of the slice, each counted once."""

    NAME = "transactions"
    OF = Scored

    @staticmethod
    def figure(of: Scored) -> float:
        return float(len(of.labels))


class FraudCount(_FraudMetric):
    """Frauds of the slice, each counted once."""

    NAME = "frauds"
    OF = Scored

    @staticmethod
    def figure(of: Scored) -> float:
        return float(np.count_nonzero(of.labels > 0))


METRICS: tuple[type[_FraudMetric], ...] = (
    AveragePrecision,
    AveragePrecisionLower,
    AveragePrecisionUpper,
    RocAuc,
    RecallAtOnePercentFalsePositives,
    Calibration,
    TransactionCount,
    FraudCount,
)
for _metric in METRICS:
    metric_types.register_metric(_metric)
