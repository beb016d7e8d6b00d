"""Evaluator: TFMA on the test split, against thresholds and against the model in service."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import component, constants
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, channel, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils, path_utils, proto_utils

from components import fraud_metrics
from components.current_model import SAVED_MODEL, VERSION_PROPERTY
from components.record_batches import raw_features, read
from components.settings import AVERAGE_PRECISION_PROPERTY, EvaluationSettings
from components.slices import slice_names, slice_values
from trainer import examples as example_files
from trainer.columns import EXAMPLE_WEIGHT, Columns

VERDICT = "verdict.json"
SPLIT = "test"
_SLICES = "slices"  # of the extracts, until they are taken apart

Slice = tuple[tuple[str, str], ...]  # as TFMA names one: (("amount", "10 to 100"),); () is all transactions


@dataclass(frozen=True)
class Verdict:
    """Blessed or not and why, with the figures of the candidate and of the model it was compared with.

    metrics, current_metrics: figures by name; NaN is None. current_version: "" where nothing was in service.
    slices: by what the transactions were sliced, then by its value, the candidate's figures.
    """

    blessed: bool
    reasons: tuple[str, ...]
    metrics: dict[str, float | None]
    current_metrics: dict[str, float | None]
    current_version: str
    slices: dict[str, dict[str, dict[str, float | None]]]

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
    metrics.append(tfma.MetricConfig(class_name="WeightedExampleCount"))
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(
                signature_name="serving_default",
                label_key=columns.label,
                prediction_key="probability",
                example_weight_key=EXAMPLE_WEIGHT,
            )
        ],
        slicing_specs=overall + [tfma.SlicingSpec(feature_keys=[name]) for name in slice_names(columns)],
        metrics_specs=[tfma.MetricsSpec(metrics=metrics)],
    )


class Executor(base_beam_executor.BaseBeamExecutor):
    """TFMA on the test split: candidate and, where there is one, the model in service; the verdict in words.

    As TFX's executor, but that examples are read and sliced batch by batch: TFMA's own extractors take every
    transaction apart, once for each slice and metric.
    """

    def Do(self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]) -> None:
        """Writes TFMA's results, verdict.json and the blessing."""
        examples = artifact_utils.get_single_instance(input_dict[standard_component_specs.EXAMPLES_KEY])
        candidate = artifact_utils.get_single_instance(input_dict[standard_component_specs.MODEL_KEY])
        current = artifact_utils.get_single_instance(input_dict[standard_component_specs.BASELINE_MODEL_KEY])
        evaluation = artifact_utils.get_single_instance(output_dict[standard_component_specs.EVALUATION_KEY])
        blessing = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
        columns = Columns.model_validate_json(exec_properties[COLUMNS_KEY])
        bands = tuple(json.loads(exec_properties[AMOUNT_BANDS_KEY]))

        in_service = fileio.exists(os.path.join(path_utils.serving_model_path(current.uri), SAVED_MODEL))
        version = current.get_string_custom_property(VERSION_PROPERTY) if in_service else ""
        config = tfma.EvalConfig()
        proto_utils.json_to_proto(exec_properties[standard_component_specs.EVAL_CONFIG_KEY], config)
        config = tfma.utils.update_eval_config_with_defaults(config, has_baseline=in_service, rubber_stamp=True)
        models = [
            tfma.default_eval_shared_model(
                eval_saved_model_path=path_utils.serving_model_path((current if spec.is_baseline else candidate).uri),
                model_name=spec.name,
                eval_config=config,
            )
            for spec in config.model_specs
        ]
        features = raw_features(examples)
        wanted = {columns.label, EXAMPLE_WEIGHT, columns.amount, columns.time}
        split = io_utils.all_files_pattern(artifact_utils.get_split_uri([examples], SPLIT))
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(example_files.matching([split]))
                | "Read"
                >> beam.FlatMap(
                    _extracts, {name: kind for name, kind in features.items() if name in wanted}, columns, bands
                ).with_output_types(tfma.Extracts)
                | "Evaluate"
                >> tfma.ExtractEvaluateAndWriteResults(
                    eval_shared_model=models if in_service else models[0],
                    eval_config=config,
                    output_path=evaluation.uri,
                    extractors=[
                        tfma.extractors.PredictionsExtractor(eval_config=config, eval_shared_model=models),
                        tfma.extractors.Extractor(
                            stage_name=tfma.extractors.SLICE_KEY_EXTRACTOR_STAGE_NAME,
                            ptransform=beam.FlatMap(_sliced).with_output_types(tfma.Extracts),
                        ),
                    ],
                )
            )
        verdict = read_verdict(evaluation.uri, version)
        verdict.save(evaluation.uri)
        _bless(blessing, verdict, candidate, current if in_service else None)
        precision = verdict.metrics.get("average_precision")
        if precision is not None:
            evaluation.set_float_custom_property(AVERAGE_PRECISION_PROPERTY, precision)


def _extracts(
    file: str, features: dict[str, Any], columns: Columns, bands: tuple[float, ...]
) -> Iterator[dict[str, Any]]:
    """A file's examples in batches, as TFMA's extractors would leave them."""
    for batch in read(file, features, raw_records=tfma.INPUT_KEY):

        def flat(name: str, batch: Any = batch) -> np.ndarray:
            return batch.column(batch.schema.get_field_index(name)).flatten().to_numpy(zero_copy_only=False)

        yield {
            tfma.INPUT_KEY: flat(tfma.INPUT_KEY),
            tfma.LABELS_KEY: flat(columns.label),
            tfma.EXAMPLE_WEIGHTS_KEY: flat(EXAMPLE_WEIGHT),
            _SLICES: slice_values(batch, columns, bands),
        }


def _sliced(extracts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A batch as a whole, and the part of it that falls into each slice, each with its slice key."""
    kept = {key: extracts[key] for key in (tfma.LABELS_KEY, tfma.PREDICTIONS_KEY, tfma.EXAMPLE_WEIGHTS_KEY)}
    yield {**kept, tfma.SLICE_KEY_TYPES_KEY: [()]}
    for name, values in extracts[_SLICES].items():
        for value in np.unique(values):
            yield {**_rows(kept, values == value), tfma.SLICE_KEY_TYPES_KEY: [((name, str(value)),)]}


def _rows(value: Any, rows: np.ndarray) -> Any:
    """Those rows of arrays in dictionaries in dictionaries."""
    return {key: _rows(part, rows) for key, part in value.items()} if isinstance(value, dict) else value[rows]


def _bless(
    blessing: types.Artifact, verdict: Verdict, candidate: types.Artifact, current: types.Artifact | None
) -> None:
    """Marks the blessing artifact as TFX's Evaluator does."""
    blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, candidate.uri)
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, candidate.id)
    if current is not None:
        blessing.set_string_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY, current.uri)
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY, current.id)
    name, value = (
        (constants.BLESSED_FILE_NAME, constants.BLESSED_VALUE)
        if verdict.blessed
        else (constants.NOT_BLESSED_FILE_NAME, constants.NOT_BLESSED_VALUE)
    )
    io_utils.write_string_file(os.path.join(blessing.uri, name), "")
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, value)


def read_verdict(uri: str, current_version: str) -> Verdict:
    """TFMA's result and validation in the evaluation's folder, as figures and sentences."""
    validation = tfma.load_validation_result(uri)
    # TFMA names the models only where there are two.
    result = tfma.load_eval_result(uri, model_name=tfma.CANDIDATE_KEY if current_version else None)
    candidate = _figures(result, ())
    current = _figures(tfma.load_eval_result(uri, model_name=tfma.BASELINE_KEY), ()) if current_version else {}
    slices: dict[str, dict[str, dict[str, float | None]]] = {}
    for (name, value), *_ in filter(None, sorted(result.get_slice_names())):
        slices.setdefault(name, {})[value] = _figures(result, ((name, value),))
    return Verdict(
        blessed=validation.validation_ok,
        reasons=tuple(_reasons(validation, candidate, current)),
        metrics=candidate,
        current_metrics=current,
        current_version=current_version,
        slices=slices,
    )


def _figures(result: Any, of: Slice) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for name, value in result.get_metrics_for_slice(of).items():
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


COLUMNS_KEY = "columns"
AMOUNT_BANDS_KEY = "amount_bands"


class FraudEvaluatorSpec(types.ComponentSpec):
    """As of TFX's Evaluator, and what slices are made of."""

    PARAMETERS = {
        standard_component_specs.EVAL_CONFIG_KEY: component_spec.ExecutionParameter(type=tfma.EvalConfig),
        COLUMNS_KEY: component_spec.ExecutionParameter(type=str),
        AMOUNT_BANDS_KEY: component_spec.ExecutionParameter(type=str),
        "source": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        standard_component_specs.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
        standard_component_specs.MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model),
        standard_component_specs.BASELINE_MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {
        standard_component_specs.EVALUATION_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.ModelEvaluation
        ),
        standard_component_specs.BLESSING_KEY: component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class FraudEvaluator(component.Evaluator):
    """TFX's Evaluator with another executor; an empty `current` artifact means that nothing is in service.

    source: digest of the code that evaluates.
    """

    SPEC_CLASS = FraudEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        model: channel.BaseChannel,
        current: channel.BaseChannel,
        columns: Columns,
        settings: EvaluationSettings,
        source: str,
    ):
        # not by Evaluator's own, which knows neither columns nor `source`
        base_beam_component.BaseBeamComponent.__init__(
            self,
            FraudEvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=current,
                eval_config=eval_config(columns, settings),
                columns=columns.model_dump_json(),
                amount_bands=json.dumps(settings.amount_bands),
                source=source,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            ),
        )
