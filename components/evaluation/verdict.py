"""Blessed or not, and why: TFMA's results as figures and sentences."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import tensorflow_model_analysis as tfma
from tfx.dsl.io import fileio

from components.evaluation.figures import difference_name
from components.evaluation.fraud_metrics import TFMA_NAMES, MetricSettings
from components.evaluation.scores import CANDIDATE, CURRENT, Scores
from components.evaluation.settings import EvaluationSettings
from components.evaluation.slices import ordered, slice_names
from components.evaluation.split_totals import SplitTotals
from components.evaluation.words import figure_name, the_model
from trainer.columns import Columns
from trainer.decision.costs import Costs

VERDICT = "verdict.json"


@dataclass(frozen=True)
class Comparison:
    """The candidate compared with another model on the same transactions, by a paired bootstrap.

    against: "current" or a challenger. difference, lower, upper: average precision of the candidate minus that of the
    other, and its 95 % interval. passed: whether `lower` is at most `margin` below 0.
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
    """Whether the candidate is blessed, and why, with its figures and those of the models it was compared with.

    metrics, current_metrics: figures by name, see `components.evaluation.figures`; None where not defined.
    current_version: "" where nothing was in service.
    slices: the candidate's figures, by what the transactions are sliced by, then by slice in rising order.
    challengers: their figures by name.
    notes: sentences on figures that have no threshold.
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


class EvaluatorSettings(EvaluationSettings):
    """All settings of the Evaluator."""

    columns: Columns
    costs: Costs
    challenger_margin: float = 0.0
    share: float = 1.0  # share of its period's transactions that the test split holds

    @property
    def metric_settings(self) -> MetricSettings:
        return MetricSettings(self.costs, self.alerts_a_day, self.amount_bands)

    def margin(self, against: str) -> float:
        """By how much the candidate's average precision may be lower than that model's."""
        return self.max_average_precision_loss if against == CURRENT else self.challenger_margin


def tfma_name(model: str) -> str:
    """TFMA's name of a model."""
    name: str = TFMA_NAMES.get(model, model)
    return name


def read_verdict(uri: str, current_version: str, settings: EvaluatorSettings, others: tuple[str, ...]) -> Verdict:
    """The verdict by TFMA's results and validation in the evaluation's folder."""
    validation = tfma.load_validation_result(uri)
    results = {name: tfma.load_eval_result(uri, model_name=_loaded_as(name, others)) for name in (CANDIDATE, *others)}
    overall = {name: _figures(result, ()) for name, result in results.items()}
    comparisons = tuple(_comparison(name, overall[CANDIDATE], settings.margin(name)) for name in others)
    by_value: dict[str, dict[str, dict[str, float | None]]] = {name: {} for name in slice_names(settings.columns)}
    for (name, value), *_ in filter(None, results[CANDIDATE].get_slice_names()):
        by_value[name][value] = _figures(results[CANDIDATE], ((name, value),))
    totals = SplitTotals.from_scores(Scores.open(uri), settings.costs.currency)
    return Verdict(
        blessed=validation.validation_ok,
        reasons=tuple(_reasons(validation, overall[CANDIDATE], settings, totals)),
        metrics={name: value for name, value in overall[CANDIDATE].items() if "_above_" not in name},
        current_metrics=overall.get(CURRENT, {}),
        current_version=current_version,
        slices={name: {value: values[value] for value in ordered(values)} for name, values in by_value.items()},
        challengers={name: overall[name] for name in others if name != CURRENT},
        comparisons=comparisons,
        notes=tuple(_notes(overall, totals)),
    )


def _loaded_as(model: str, others: tuple[str, ...]) -> str:
    """The name under which TFMA loads a model's results, which is "" where there is one model."""
    return tfma_name(model) if others else ""


def _figures(result: Any, of: tuple[tuple[str, str], ...]) -> dict[str, float | None]:
    """Figures by name; None where not defined. of: a slice as TFMA names it."""
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


def _reasons(
    validation: Any, figures: Mapping[str, float | None], settings: EvaluatorSettings, totals: SplitTotals
) -> list[str]:
    """Why the candidate is not blessed, with a sentence for each threshold that failed."""
    sentences = []
    for failed in validation.metric_validations_per_slice:
        for failure in failed.failures:
            name = failure.metric_key.name
            value = figures.get(name)
            if "_above_" in name:
                against = name.removesuffix("_lower").partition("_above_")[2]
                sentences.append(_worse(against, figures, settings.margin(against)))
                continue
            least = failure.metric_threshold.value_threshold.lower_bound.value
            if name == "savings":
                saved = "not defined on the test split"
                if value is not None:
                    saved = f"{totals.money(value)}{totals.unit}{totals.on_split(value)}"
                limit = f"{totals.money(least)}{totals.unit}{totals.on_split(least)}"
                sentences.append(f"savings are {saved} against no model, below the least that was set, {limit}")
                continue
            text = "not defined" if value is None else f"{value:.3f}"
            sentences.append(
                f"{figure_name(name)} is {text} on the test split, below the least that was set, {least:g}"
            )
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


def _notes(models: Mapping[str, Mapping[str, float | None]], totals: SplitTotals) -> list[str]:
    """Notes on figures that have no threshold."""
    money, a_day, on_split = totals.money, totals.unit, totals.on_split
    figures = models[CANDIDATE]
    stopped = (figures.get("true_positives") or 0) + (figures.get("false_positives") or 0)
    savings, without = figures.get("savings"), figures.get("cost_without_model")
    notes = []
    if not stopped:
        passed = "" if without is None else f": all fraud passes, {money(without)}{a_day}"
        notes.append(f"The model stops nothing on the test split{passed}")
    elif stopped == figures.get("weighted_transactions"):
        notes.append("The model stops every transaction of the test split")
    if savings is None:
        return notes
    if savings < 0:
        notes.append(f"No model at all would cost {money(-savings)} less{a_day}{on_split(-savings)}")
    for name, others in models.items():
        more = (others.get("savings") or 0.0) - savings
        if name != CANDIDATE and more > 0:
            who = the_model(name)
            notes.append(
                f"{who[:1].upper()}{who[1:]} would save {money(more)} more{a_day}{on_split(more)}: "
                f"{money(savings + more)} against {money(savings)}"
            )
    return notes
