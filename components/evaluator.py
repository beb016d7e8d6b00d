"""Evaluator: TFMA on the test split, against thresholds, the model in service and challengers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
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

from components.challengers import FraudChallengers, read_challengers
from components.current_model import SAVED_MODEL, VERSION_PROPERTY
from components.figures import FIGURES, MONEY, difference_name
from components.fraud_metrics import SLICE, TFMA_NAMES, FraudFigure, Slice, Told, slices
from components.page import figure_name, the_model
from components.record_batches import raw_features
from components.scores import CANDIDATE, CURRENT, SPLIT
from components.scoring import Score
from components.settings import AVERAGE_PRECISION_PROPERTY, EvaluationSettings
from components.slices import ordered, slice_names, slice_value
from trainer import examples as example_files
from trainer.columns import Columns
from trainer.costs import Costs

VERDICT = "verdict.json"


@dataclass(frozen=True)
class Comparison:
    """The candidate against another model on the same transactions, by a paired bootstrap.

    against: "current" or a challenger. difference: of average precision, the candidate's less the other's, with its
    95 % interval. passed: whether the interval's lower end is no further than `margin` below 0.
    """

    against: str
    difference: float | None
    lower: float | None
    upper: float | None
    margin: float
    passed: bool
    figure: str = "average_precision"


@dataclass(frozen=True)
class Verdict:
    """Blessed or not and why, with the figures of the candidate and of the models it was compared with.

    metrics, current_metrics: figures by name, as of `components.figures`; NaN is None. current_version: "" where
    nothing was in service. slices: by what the transactions were sliced, then by its value in rising order, the
    candidate's figures. challengers: by name. notes: sentences on what no threshold looks at.
    """

    blessed: bool
    reasons: tuple[str, ...]
    metrics: dict[str, float | None]
    current_metrics: dict[str, float | None]
    current_version: str
    slices: dict[str, dict[str, dict[str, float | None]]]
    challengers: dict[str, dict[str, float | None]] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, uri: str) -> Verdict:
        with fileio.open(os.path.join(uri, VERDICT)) as file:
            values = json.load(file)
        comparisons = tuple(Comparison(**each) for each in values.pop("comparisons"))
        reasons, notes = (tuple(values.pop(name)) for name in ("reasons", "notes"))
        return cls(**values, reasons=reasons, notes=notes, comparisons=comparisons)

    def save(self, uri: str) -> None:
        with fileio.open(os.path.join(uri, VERDICT), "w") as file:
            json.dump(asdict(self), file, indent=2)


class Asked(EvaluationSettings):
    """All that the Evaluator is told."""

    columns: Columns
    costs: Costs
    challenger_margin: float = 0.0
    share: float = 1.0  # of the transactions of its time that the test split holds

    @property
    def told(self) -> Told:
        return Told(self.costs, self.alerts_a_day, self.amount_bands)

    def margin(self, against: str) -> float:
        """How much worse than that model the candidate may be."""
        return self.max_average_precision_loss if against == CURRENT else self.challenger_margin


def eval_config(asked: Asked, others: tuple[str, ...]) -> tfma.EvalConfig:
    """TFMA's configuration: all figures for each model and slice, thresholds on the candidate's for all transactions.

    others: models that the candidate is compared with.
    """
    thresholds = {"average_precision": asked.min_average_precision, "roc_auc": asked.min_roc_auc}
    if asked.columns.amount and asked.min_savings is not None:
        thresholds["savings"] = asked.min_savings
    thresholds |= {f"{difference_name(other)}_lower": -asked.margin(other) for other in others}
    overall = [tfma.SlicingSpec()]
    names = [*FIGURES, *(MONEY if asked.columns.amount else ())]

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
        slicing_specs=overall + [tfma.SlicingSpec(feature_keys=[name]) for name in slice_names(asked.columns)],
        metrics_specs=specs,
    )


def tfma_name(model: str) -> str:
    """What TFMA calls it."""
    return TFMA_NAMES.get(model, model)


class Executor(base_beam_executor.BaseBeamExecutor):
    """Scores the test split by all models, has TFMA measure and judge, and puts the verdict into words.

    The scores are written once, and TFMA is given slices of them: its own extractors take every transaction apart, once
    for each slice and metric, and Beam would carry all scores from step to step several times.
    """

    def Do(self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]) -> None:
        """Writes the scores, TFMA's results, verdict.json and the blessing."""
        examples = artifact_utils.get_single_instance(input_dict[standard_component_specs.EXAMPLES_KEY])
        candidate = artifact_utils.get_single_instance(input_dict[standard_component_specs.MODEL_KEY])
        current = artifact_utils.get_single_instance(input_dict[standard_component_specs.BASELINE_MODEL_KEY])
        evaluation = artifact_utils.get_single_instance(output_dict[standard_component_specs.EVALUATION_KEY])
        blessing = artifact_utils.get_single_instance(output_dict[standard_component_specs.BLESSING_KEY])
        asked = Asked.model_validate_json(exec_properties[ASKED_KEY])

        in_service = fileio.exists(os.path.join(path_utils.serving_model_path(current.uri), SAVED_MODEL))
        models = {CANDIDATE: path_utils.serving_model_path(candidate.uri)}
        if in_service:
            models[CURRENT] = path_utils.serving_model_path(current.uri)
        given = artifact_utils.get_single_uri(input_dict[CHALLENGERS_KEY]) if input_dict.get(CHALLENGERS_KEY) else ""
        others = tuple(name for name in models if name != CANDIDATE) + (tuple(read_challengers(given)) if given else ())
        config = eval_config(asked, others)
        split = io_utils.all_files_pattern(artifact_utils.get_split_uri([examples], SPLIT))
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(example_files.matching([split]))
                | "Spread" >> beam.Reshuffle()
                | "Score"
                >> beam.ParDo(Score(evaluation.uri, raw_features(examples), asked.columns, models, asked.share, given))
                | "All" >> beam.combiners.ToList()
                | "Slices" >> beam.FlatMap(_slices, evaluation.uri, slice_names(asked.columns), asked.told)
                | "SpreadSlices" >> beam.Reshuffle()
                | "Extracts" >> beam.Map(_extracts, asked.columns).with_output_types(tfma.Extracts)
                | "Evaluate"
                >> tfma.ExtractEvaluateAndWriteResults(
                    eval_shared_model=[
                        tfma.types.EvalSharedModel(
                            model_path=models.get(name, given),
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
        version = current.get_string_custom_property(VERSION_PROPERTY) if in_service else ""
        verdict = read_verdict(evaluation.uri, version, asked, others)
        verdict.save(evaluation.uri)
        _bless(blessing, verdict, candidate, current if in_service else None)
        precision = verdict.metrics.get("average_precision")
        if precision is not None:
            evaluation.set_float_custom_property(AVERAGE_PRECISION_PROPERTY, precision)


def _slices(written: list[str], evaluation: str, names: tuple[str, ...], told: Told) -> Iterator[Slice]:
    """Once all are written."""
    if written:
        yield from slices(evaluation, names, told)


def _extracts(of: Slice, columns: Columns) -> dict[str, Any]:
    """What TFMA's extractors would leave, but for the rows."""
    key = ((of.name, slice_value(of.name, of.key, columns, of.told.bands)),) if of.name else ()
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


def read_verdict(uri: str, current_version: str, asked: Asked, others: tuple[str, ...]) -> Verdict:
    """TFMA's result and validation in the evaluation's folder, as figures and sentences."""
    validation = tfma.load_validation_result(uri)
    results = {name: tfma.load_eval_result(uri, model_name=_loaded_as(name, others)) for name in (CANDIDATE, *others)}
    overall = {name: _figures(result, ()) for name, result in results.items()}
    comparisons = tuple(_comparison(name, overall[CANDIDATE], asked.margin(name)) for name in others)
    by_value: dict[str, dict[str, dict[str, float | None]]] = {name: {} for name in slice_names(asked.columns)}
    for (name, value), *_ in filter(None, results[CANDIDATE].get_slice_names()):
        by_value[name][value] = _figures(results[CANDIDATE], ((name, value),))
    return Verdict(
        blessed=validation.validation_ok,
        reasons=tuple(_reasons(validation, overall[CANDIDATE], asked)),
        metrics={name: value for name, value in overall[CANDIDATE].items() if "_above_" not in name},
        current_metrics=overall.get(CURRENT, {}),
        current_version=current_version,
        slices={name: {value: values[value] for value in ordered(values)} for name, values in by_value.items()},
        challengers={name: overall[name] for name in others if name != CURRENT},
        comparisons=comparisons,
        notes=tuple(_notes(overall, asked.costs)),
    )


def _loaded_as(model: str, others: tuple[str, ...]) -> str:
    """TFMA names the models only where there are several."""
    return tfma_name(model) if others else ""


def _figures(result: Any, of: tuple[tuple[str, str], ...]) -> dict[str, float | None]:
    """of: a slice as TFMA names it."""
    figures: dict[str, float | None] = {}
    for name, value in result.get_metrics_for_slice(of).items():
        number = value.get("doubleValue") if isinstance(value, dict) else None
        if number is not None:
            number = float(number)
            figures[name] = None if math.isnan(number) else number
    return figures


def _comparison(against: str, figures: Mapping[str, float | None], margin: float) -> Comparison:
    name = difference_name(against)
    lower = figures.get(f"{name}_lower")
    return Comparison(
        against=against,
        difference=figures.get(name),
        lower=lower,
        upper=figures.get(f"{name}_upper"),
        margin=margin,
        passed=lower is not None and lower >= -margin,
    )


def _reasons(validation: Any, figures: Mapping[str, float | None], asked: Asked) -> list[str]:
    """Why not blessed, a sentence for each threshold that failed."""
    sentences = []
    for failed in validation.metric_validations_per_slice:
        for failure in failed.failures:
            name = failure.metric_key.name
            value = figures.get(name)
            if "_above_" in name:
                against = name.removesuffix("_lower").partition("_above_")[2]
                sentences.append(_worse(against, figures, asked.margin(against)))
                continue
            least = failure.metric_threshold.value_threshold.lower_bound.value
            if name == "savings":
                sentences.append(
                    f"savings are {'not defined' if value is None else asked.costs.money(value)} on the test split "
                    f"against no model, below the least that was set, {asked.costs.money(least)}"
                )
                continue
            got = "not defined" if value is None else f"{value:.3f}"
            sentences.append(f"{figure_name(name)} is {got} on the test split, below the least that was set, {least:g}")
    if not validation.validation_ok and not sentences:
        sentences.append("TFMA found metrics missing: " + (str(validation.missing_slices) or "no slice was evaluated"))
    return sentences


def _worse(against: str, figures: Mapping[str, float | None], margin: float) -> str:
    name, who = difference_name(against), the_model(against)
    difference, lower, upper = (figures.get(f"{name}{end}") for end in ("", "_lower", "_upper"))
    if difference is None or lower is None or upper is None:
        return f"average precision can't be compared with that of {who}: it is not defined on the test split"
    return (
        f"average precision may be {-lower:.3f} below that of {who} on the same transactions (difference "
        f"{difference:+.3f}, 95 % interval {lower:+.3f} to {upper:+.3f}), more than the margin of {margin:g}"
    )


def _notes(models: Mapping[str, Mapping[str, float | None]], costs: Costs) -> list[str]:
    """What the figures say that no threshold looks at."""
    figures = models[CANDIDATE]
    stopped = (figures.get("true_positives") or 0) + (figures.get("false_positives") or 0)
    savings, without = figures.get("savings"), figures.get("cost_without_model")
    notes = []
    if not stopped:
        passed = "" if without is None else f": all fraud passes, {costs.money(without)}"
        notes.append(f"The model stops nothing on the test split{passed}")
    elif stopped == figures.get("weighted_transactions"):
        notes.append("The model stops every transaction of the test split")
    if savings is None:
        return notes
    if savings < 0:
        notes.append(f"No model at all would cost {costs.money(-savings)} less on the test split")
    for name, others in models.items():
        more = (others.get("savings") or 0.0) - savings
        if name != CANDIDATE and more > 0:
            who = the_model(name)
            notes.append(
                f"{who[:1].upper()}{who[1:]} would save {costs.money(more)} more on the test split, "
                f"{costs.money(savings + more)} against {costs.money(savings)}"
            )
    return notes


ASKED_KEY = "asked"
CHALLENGERS_KEY = "challengers"


class FraudEvaluatorSpec(types.ComponentSpec):
    """As of TFX's Evaluator, but that TFMA's configuration is made when it is known which models there are."""

    PARAMETERS = {
        ASKED_KEY: component_spec.ExecutionParameter(type=str),
        "source": component_spec.ExecutionParameter(type=str),
    }
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

    An empty `current` artifact means that nothing is in service; without `challengers` there are none.

    source: digest of the code that evaluates.
    """

    SPEC_CLASS = FraudEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        model: channel.BaseChannel,
        current: channel.BaseChannel,
        asked: Asked,
        source: str,
        challengers: channel.BaseChannel | None = None,
    ):
        # not by Evaluator's own, which knows neither what is asked nor `source`
        base_beam_component.BaseBeamComponent.__init__(
            self,
            FraudEvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=current,
                challengers=challengers,
                asked=asked.model_dump_json(),
                source=source,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            ),
        )
