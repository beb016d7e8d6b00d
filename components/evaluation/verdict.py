"""Blessed or not, and why: TFMA's results as figures and sentences."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import tensorflow_model_analysis as tfma
from tfx.dsl.io import fileio

from components.evaluation.figures import difference_name
from components.evaluation.fraud_metrics import TFMA_NAMES, MetricSettings
from components.evaluation.in_service import Standing
from components.evaluation.plausibility import DataFacts, far_below_eval, implausible, remarks, too_good, way_out
from components.evaluation.scores import CANDIDATE, CURRENT, Scores
from components.evaluation.settings import EvaluationSettings
from components.evaluation.slices import ordered, slice_names
from components.evaluation.split_totals import SplitTotals
from components.evaluation.words import decimals, figure_name, the_model
from trainer.columns import Columns
from trainer.decision.costs import Costs

VERDICT = "verdict.json"
SAVINGS = "savings"  # figure of a `Comparison`


@dataclass(frozen=True)
class Comparison:
    """The candidate compared with another model on the same transactions, by a paired bootstrap.

    against: "current" or a challenger. difference, lower, upper: average precision of the candidate minus that of the
    other, and its 95 % interval. passed: whether `lower` is at most `margin` below 0.

    Where `figure` is "savings", they are in money on the whole test split, and the comparison fails where the loss is
    more than `margin` and beyond noise, which means that `upper` is below 0; without a margin it can't fail.
    """

    against: str
    difference: float | None
    lower: float | None
    upper: float | None
    margin: float | None
    passed: bool
    figure: str = "average_precision"


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate is blessed, and why, with its figures and those of the models it was compared with.

    metrics, current_metrics: figures by name, see `components.evaluation.figures`; None where not defined.
    current_version: "" where nothing was in service, or nothing that it was compared with.
    slices: the candidate's figures, by what the transactions are sliced by, then by slice in rising order.
    challengers: their figures by name.
    notes: sentences on figures that have no threshold.
    not_compared: why it may replace the model in service without a comparison; "" where that is not so.
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
    not_compared: str = ""

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
    time_format: str = "seconds"  # as the files have it; `columns` has what ExampleGen made of it
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


def read_verdict(
    uri: str,
    current_version: str,
    settings: EvaluatorSettings,
    others: tuple[str, ...],
    *,
    manifest: Mapping[str, Any],
    splits: Sequence[Mapping[str, Any]],
    standing: Standing,
) -> Verdict:
    """The verdict by TFMA's results and validation in the evaluation's folder, and by what no threshold looks at.

    Args:
      manifest: the candidate's.
      splits: a `SplitSummary` as JSON for each.
      standing: of the candidate beside the model in service.
    """
    validation = tfma.load_validation_result(uri)
    results = {name: tfma.load_eval_result(uri, model_name=_loaded_as(name, others)) for name in (CANDIDATE, *others)}
    overall = {name: _figures(result, ()) for name, result in results.items()}
    comparisons = tuple(_comparison(name, overall[CANDIDATE], settings.margin(name)) for name in others)
    by_value: dict[str, dict[str, dict[str, float | None]]] = {name: {} for name in slice_names(settings.columns)}
    for (name, value), *_ in filter(None, results[CANDIDATE].get_slice_names()):
        by_value[name][value] = _figures(results[CANDIDATE], ((name, value),))
    figures = overall[CANDIDATE]
    totals = SplitTotals.from_scores(Scores.open(uri), settings.costs.currency)
    if CURRENT in others and settings.columns.amount:
        comparisons += (_comparison_in_money(figures, settings.max_savings_loss, totals),)
    rates = manifest.get("data", {}).get("sampling_rates", {})
    alerts = None if totals.days is None else figures.get("alerts_a_day")
    facts = DataFacts(settings.columns, settings.time_format, tuple(splits), rates, alerts)
    strange = implausible(facts, settings.alerts_a_day)
    refusals = [
        *([] if settings.accept_implausible else way_out(strange)),
        *too_good(figures, settings.max_average_precision),
        *standing.refusals,
        *(_saves_less(one, totals) for one in comparisons if one.figure == SAVINGS and not one.passed),
    ]
    notes = [
        *(f"evaluation.accept_implausible accepts that {each}" for each in strange if settings.accept_implausible),
        *remarks(facts),
        *far_below_eval(figures, manifest),
        *standing.notes,
        *_notes(overall, totals),
    ]
    return Verdict(
        blessed=validation.validation_ok and not refusals,
        reasons=(*refusals, *_reasons(validation, figures, settings, totals)),
        metrics={name: value for name, value in overall[CANDIDATE].items() if "_above_" not in name},
        current_metrics=overall.get(CURRENT, {}),
        current_version=current_version,
        slices={name: {value: values[value] for value in ordered(values)} for name, values in by_value.items()},
        challengers={name: overall[name] for name in others if name != CURRENT},
        comparisons=comparisons,
        notes=tuple(notes),
        not_compared=standing.not_compared,
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


def _comparison_in_money(
    figures: Mapping[str, float | None], most_lost: float | None, totals: SplitTotals
) -> Comparison:
    """With the model in service, on the whole test split; most_lost: a day, None for no bar."""
    name = difference_name(CURRENT, SAVINGS)
    difference, lower, upper = (figures.get(f"{name}{end}") for end in ("", "_lower", "_upper"))
    margin = None if most_lost is None else most_lost * (totals.days or 1.0)
    beyond_noise = difference is not None and upper is not None and upper < 0
    lost = beyond_noise and margin is not None and -(difference or 0.0) > margin
    return Comparison(CURRENT, difference, lower, upper, margin, not lost, SAVINGS)


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


def _saves_less(comparison: Comparison, totals: SplitTotals) -> str:
    """Of a comparison in money that failed."""
    loss = -(comparison.difference or 0.0)
    bounds = (comparison.lower, comparison.upper)
    lower, upper = (decimals(None if bound is None else totals.of(bound), 0) for bound in bounds)
    return (
        f"it saves {totals.money(loss)} less{totals.unit} than {the_model(comparison.against)} on the same transactions"
        f" (95 % interval {lower} to {upper}), beyond noise and more than evaluation.max_savings_loss allows, "
        f"{totals.money(comparison.margin)}{totals.unit}"
    )


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
        if name not in (CANDIDATE, CURRENT) and more > 0:  # the comparison with that in service says it
            who = the_model(name)
            notes.append(
                f"{who[:1].upper()}{who[1:]} would save {money(more)} more{a_day}{on_split(more)}: "
                f"{money(savings + more)} against {money(savings)}"
            )
    return notes
