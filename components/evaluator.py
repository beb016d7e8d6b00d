"""Evaluator: TFMA on the test split, with thresholds, and comparisons with the model in service and challengers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import component, constants
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, channel, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils, path_utils

from components import attempts
from components.evaluation.challengers import FraudChallengers, read_challengers
from components.evaluation.figures import FIGURES, MONEY, difference_name
from components.evaluation.fraud_metrics import SLICE, FraudFigure, MetricSettings, Slice, slices
from components.evaluation.in_service import Standing
from components.evaluation.scores import CANDIDATE, CURRENT, SPLIT
from components.evaluation.scoring import Score
from components.evaluation.slices import slice_names, slice_value
from components.evaluation.verdict import EvaluatorSettings, Verdict, read_verdict, tfma_name
from components.model_folder import SAVED_MODEL, read_manifest
from components.properties import AVERAGE_PRECISION_PROPERTY, SPLITS_PROPERTY, VERSION_PROPERTY
from components.record_batches import raw_features
from trainer import examples as example_files
from trainer.columns import Columns


def eval_config(settings: EvaluatorSettings, others: tuple[str, ...]) -> tfma.EvalConfig:
    """TFMA's configuration: all figures for each model and slice, and thresholds for the candidate on the whole split.

    others: models that the candidate is compared with.
    """
    thresholds = {"average_precision": settings.min_average_precision, "roc_auc": settings.min_roc_auc}
    if settings.columns.amount and settings.min_savings is not None:
        thresholds["savings"] = settings.min_savings
    thresholds |= {f"{difference_name(other)}_lower": -settings.margin(other) for other in others}
    overall = [tfma.SlicingSpec()]
    names = [*FIGURES, *(MONEY if settings.columns.amount else ())]

    def metric(name: str, least: float | None) -> tfma.MetricConfig:
        config = tfma.MetricConfig(
            class_name=FraudFigure.__name__, module=FraudFigure.__module__, config=json.dumps({"name": name})
        )
        if least is not None:
            threshold = tfma.MetricThreshold(value_threshold=tfma.GenericValueThreshold(lower_bound={"value": least}))
            config.per_slice_thresholds.append(
                config_pb2.PerSliceMetricThreshold(slicing_specs=overall, threshold=threshold)
            )
        return config

    models = [tfma_name(model) for model in (CANDIDATE, *others)]
    candidate = [metric(name, thresholds.get(name)) for name in dict.fromkeys([*names, *thresholds])]
    specs = [tfma.MetricsSpec(metrics=candidate, model_names=models[:1])]
    if others:
        specs.append(tfma.MetricsSpec(metrics=[metric(name, None) for name in names], model_names=models[1:]))
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(name=name, is_baseline=name == tfma.BASELINE_KEY) for name in models],
        slicing_specs=overall + [tfma.SlicingSpec(feature_keys=[name]) for name in slice_names(settings.columns)],
        metrics_specs=specs,
    )


class Executor(base_beam_executor.BaseBeamExecutor):
    """Scores the test split by all models, has TFMA compute the figures, and puts the verdict into words.

    The scores are written once, and TFMA works on slices of them. Its own extractors would process every transaction
    once for each slice and metric, and Beam would move all scores from step to step several times.
    """

    def Do(self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]) -> None:
        """Writes the scores, TFMA's results, verdict.json and the blessing."""
        examples = artifact_utils.get_single_instance(input_dict[standard_component_specs.EXAMPLES_KEY])
        candidate = artifact_utils.get_single_instance(input_dict[standard_component_specs.MODEL_KEY])
        current = artifact_utils.get_single_instance(input_dict[standard_component_specs.BASELINE_MODEL_KEY])
        evaluation = artifact_utils.get_single_instance(output_dict[standard_component_specs.EVALUATION_KEY])
        blessing = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
        settings = EvaluatorSettings.model_validate_json(exec_properties[SETTINGS_KEY])

        in_service = fileio.exists(os.path.join(path_utils.serving_model_path(current.uri), SAVED_MODEL))
        version = current.get_string_custom_property(VERSION_PROPERTY) if in_service else ""
        models = {CANDIDATE: path_utils.serving_model_path(candidate.uri)}
        manifest, standing = read_manifest(models[CANDIDATE]), Standing()
        if in_service:
            folder = path_utils.serving_model_path(current.uri)
            standing = Standing.from_manifests(
                manifest, read_manifest(folder), version, raw_features(examples), settings
            )
            if standing.comparable:
                models[CURRENT] = folder
        challengers = ""
        others = tuple(name for name in models if name != CANDIDATE)
        if input_dict.get(CHALLENGERS_KEY):
            challengers = artifact_utils.get_single_uri(input_dict[CHALLENGERS_KEY])
            others += tuple(read_challengers(challengers))
        config = eval_config(settings, others)
        split = io_utils.all_files_pattern(artifact_utils.get_split_uri([examples], SPLIT))
        with attempts.clear(evaluation.uri), self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(example_files.matching([split]))
                | "Spread" >> beam.Reshuffle()
                | "Score"
                >> beam.ParDo(
                    Score(evaluation.uri, raw_features(examples), settings.columns, models, settings.share, challengers)
                )
                | "Written" >> beam.combiners.Count.Globally()
                | "Slices"
                >> beam.FlatMap(_slices, evaluation.uri, slice_names(settings.columns), settings.metric_settings)
                | "SpreadSlices" >> beam.Reshuffle()
                | "Extracts" >> beam.Map(_extracts, settings.columns).with_output_types(tfma.Extracts)
                | "Evaluate"
                >> tfma.ExtractEvaluateAndWriteResults(
                    eval_shared_model=[
                        tfma.types.EvalSharedModel(
                            model_path=models.get(name, challengers),
                            model_name=tfma_name(name),
                            model_type=tfma.TF_GENERIC,
                            is_baseline=name == CURRENT,
                        )
                        for name in (CANDIDATE, *others)
                    ],
                    eval_config=config,
                    output_path=evaluation.uri,
                    extractors=[
                        tfma.extractors.Extractor(
                            stage_name=tfma.extractors.SLICE_KEY_EXTRACTOR_STAGE_NAME,
                            ptransform=beam.Map(lambda extracts: extracts).with_output_types(tfma.Extracts),
                        )
                    ],
                )
            )
        verdict = read_verdict(
            evaluation.uri,
            version if CURRENT in models else "",
            settings,
            others,
            manifest=manifest,
            splits=json.loads(examples.get_string_custom_property(SPLITS_PROPERTY)),
            standing=standing,
        )
        verdict.save(evaluation.uri)
        _bless(blessing, verdict, candidate, current if CURRENT in models else None)
        precision = verdict.metrics.get("average_precision")
        if precision is not None:
            evaluation.set_float_custom_property(AVERAGE_PRECISION_PROPERTY, precision)


def _slices(written: int, evaluation: str, names: tuple[str, ...], settings: MetricSettings) -> Iterator[Slice]:
    """The slices of the scores, once all files are written."""
    if written:
        yield from slices(evaluation, names, settings)


def _extracts(of: Slice, columns: Columns) -> dict[str, Any]:
    """TFMA's extracts of a slice, without its rows."""
    key = ((of.name, slice_value(of.name, of.key, columns, of.settings.bands)),) if of.name else ()
    return {tfma.SLICE_KEY_TYPES_KEY: [key], SLICE: of}


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


SETTINGS_KEY = "settings"
CHALLENGERS_KEY = "challengers"


class FraudEvaluatorSpec(types.ComponentSpec):
    """As TFX's Evaluator, but without TFMA's configuration, which is made once it is known which models there are."""

    PARAMETERS = {SETTINGS_KEY: component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        standard_component_specs.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
        standard_component_specs.MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model),
        standard_component_specs.BASELINE_MODEL_KEY: component_spec.ChannelParameter(type=standard_artifacts.Model),
        CHALLENGERS_KEY: component_spec.ChannelParameter(type=FraudChallengers, optional=True),
    }
    OUTPUTS = {
        standard_component_specs.EVALUATION_KEY: component_spec.ChannelParameter(
            type=standard_artifacts.ModelEvaluation
        ),
        standard_component_specs.BLESSING_KEY: component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class FraudEvaluator(component.Evaluator):
    """TFX's Evaluator with another executor.

    An empty `current` artifact means that nothing is in service; `challengers` may be left out.
    """

    SPEC_CLASS = FraudEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        model: channel.BaseChannel,
        current: channel.BaseChannel,
        settings: EvaluatorSettings,
        challengers: channel.BaseChannel | None = None,
    ):
        # not Evaluator's own __init__, which does not know `settings`
        base_beam_component.BaseBeamComponent.__init__(
            self,
            FraudEvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=current,
                challengers=challengers,
                settings=settings.model_dump_json(),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            ),
        )
