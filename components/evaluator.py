"""Evaluator: TFMA on the test split, against thresholds and against the model in service."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2
from tfx.components.evaluator import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, channel, standard_component_specs
from tfx.utils import path_utils

from components import fraud_metrics
from components.current_model import SAVED_MODEL, VERSION_PROPERTY
from components.settings import AVERAGE_PRECISION_PROPERTY, EvaluationSettings
from trainer.columns import EXAMPLE_WEIGHT, Columns

VERDICT = "verdict.json"


@dataclass(frozen=True)
class Verdict:
    """Blessed or not and why, with the figures of the candidate and of the model it was compared with.

    metrics, current_metrics: figures by name; NaN is None. current_version: "" where nothing was in service.
    """

    blessed: bool
    reasons: tuple[str, ...]
    metrics: dict[str, float | None]
    current_metrics: dict[str, float | None]
    current_version: str

    @classmethod
    def load(cls, uri: str) -> Verdict:
        with fileio.open(os.path.join(uri, VERDICT)) as file:
            values = json.load(file)
        return cls(**{**values, "reasons": tuple(values["reasons"])})

    def save(self, uri: str) -> None:
        with fileio.open(os.path.join(uri, VERDICT), "w") as file:
            json.dump(asdict(self), file, indent=2)


def eval_config(columns: Columns, settings: EvaluationSettings) -> tfma.EvalConfig:
    """TFMA's configuration: weighted by the inverse sampling rates, thresholds on the overall slice."""
    loss = tfma.GenericChangeThreshold(
        absolute={"value": -settings.max_average_precision_loss}, direction=tfma.MetricDirection.HIGHER_IS_BETTER
    )
    thresholds = {
        fraud_metrics.AveragePrecision: tfma.MetricThreshold(
            value_threshold=tfma.GenericValueThreshold(lower_bound={"value": settings.min_average_precision}),
            change_threshold=loss,
        ),
        fraud_metrics.RocAuc: tfma.MetricThreshold(
            value_threshold=tfma.GenericValueThreshold(lower_bound={"value": settings.min_roc_auc})
        ),
    }
    overall = [tfma.SlicingSpec()]
    metrics = [
        tfma.MetricConfig(
            class_name=metric.__name__,
            module=metric.__module__,
            per_slice_thresholds=[
                config_pb2.PerSliceMetricThreshold(slicing_specs=overall, threshold=thresholds[metric])
            ]
            if metric in thresholds
            else [],
        )
        for metric in fraud_metrics.METRICS
    ]
    metrics += [
        tfma.MetricConfig(class_name=name)
        for name in ("ExampleCount", "WeightedExampleCount", "AUC", "AUCPrecisionRecall", "Calibration")
    ]
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(
                signature_name="serving_default",
                label_key=columns.label,
                prediction_key="probability",
                example_weight_key=EXAMPLE_WEIGHT,
            )
        ],
        slicing_specs=overall,
        metrics_specs=[tfma.MetricsSpec(metrics=metrics)],
    )


class Executor(executor.Executor):
    """TFX's executor, without a baseline where nothing is in service; writes the verdict in words."""

    def Do(self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]) -> None:
        baseline = input_dict.get(standard_component_specs.BASELINE_MODEL_KEY)
        version = ""
        if baseline:
            folder = path_utils.serving_model_path(baseline[0].uri)
            if fileio.exists(os.path.join(folder, SAVED_MODEL)):
                version = baseline[0].get_string_custom_property(VERSION_PROPERTY)
            else:
                input_dict = {
                    key: value
                    for key, value in input_dict.items()
                    if key != standard_component_specs.BASELINE_MODEL_KEY
                }
        super().Do(input_dict, output_dict, exec_properties)
        evaluation = artifact_utils.get_single_instance(output_dict[standard_component_specs.EVALUATION_KEY])
        verdict = read_verdict(evaluation.uri, version)
        verdict.save(evaluation.uri)
        precision = verdict.metrics.get("average_precision")
        if precision is not None:
            evaluation.set_float_custom_property(AVERAGE_PRECISION_PROPERTY, precision)


def read_verdict(uri: str, current_version: str) -> Verdict:
    """TFMA's result and validation in the evaluation's folder, as figures and sentences."""
    validation = tfma.load_validation_result(uri)
    # TFMA names the models only where there are two.
    candidate = _figures(tfma.load_eval_result(uri, model_name=tfma.CANDIDATE_KEY if current_version else None))
    current = _figures(tfma.load_eval_result(uri, model_name=tfma.BASELINE_KEY)) if current_version else {}
    return Verdict(
        blessed=validation.validation_ok,
        reasons=tuple(_reasons(validation, candidate, current)),
        metrics=candidate,
        current_metrics=current,
        current_version=current_version,
    )


def _figures(result: Any) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for name, value in result.get_metrics_for_slice(()).items():
        number = value.get("doubleValue") if isinstance(value, dict) else None
        if number is not None:
            number = float(number)
            figures[name] = None if math.isnan(number) else number
    return figures


def _reasons(validation: Any, candidate: dict[str, float | None], current: dict[str, float | None]) -> list[str]:
    """Why not blessed, a sentence for each threshold that failed."""
    sentences = []
    for failed in validation.metric_validations_per_slice:
        for failure in failed.failures:
            name = failure.metric_key.name
            words = name.replace("_", " ")
            value = candidate.get(name)
            got = "not defined" if value is None else f"{value:.3f}"
            threshold = failure.metric_threshold
            least = threshold.value_threshold.lower_bound.value
            if failure.metric_key.is_diff:
                before = current.get(name)
                allowed = -threshold.change_threshold.absolute.value
                sentences.append(
                    f"{words} is {got} on the test split, more than {allowed:g} below the "
                    f"{'undefined figure' if before is None else format(before, '.3f')} of the model in service"
                )
            else:
                sentences.append(f"{words} is {got} on the test split, below the least that was set, {least:g}")
    if not validation.validation_ok and not sentences:
        sentences.append("TFMA found metrics missing: " + (str(validation.missing_slices) or "no slice was evaluated"))
    return sentences


class FraudEvaluator(component.Evaluator):
    """TFX's Evaluator on the test split; an empty baseline artifact means that nothing is in service."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        model: channel.BaseChannel,
        current: channel.BaseChannel,
        schema: channel.BaseChannel,
        columns: Columns,
        settings: EvaluationSettings,
    ):
        super().__init__(
            examples=examples,
            model=model,
            baseline_model=current,
            schema=schema,
            example_splits=["test"],
            eval_config=eval_config(columns, settings),
        )
