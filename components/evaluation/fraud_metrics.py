"""The project's figures as TFMA metrics, exact and computed on whole slices; TFMA's own go row by row in Python."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluation.figures import (
    FIGURES,
    MONEY,
    Part,
    difference,
    difference_in_savings,
    difference_name,
    figures,
)
from components.evaluation.scores import AMOUNT, CANDIDATE, CURRENT, Scores
from components.evaluation.slices import slice_keys
from trainer.decision.costs import Costs
from trainer.metrics import Interval

SLICE = "slice"  # key of the extracts
_NO_DIFFERENCE = float("nan"), Interval(float("nan"), float("nan"))

# TFMA has a name of its own for the model in service.
TFMA_NAMES = {CURRENT: tfma.BASELINE_KEY}


class MetricSettings(NamedTuple):
    """Settings of the figures: costs, alerts a day, and the bands of amount."""

    costs: Costs
    alerts_a_day: int
    bands: tuple[float, ...]


class Slice(NamedTuple):
    """A slice of the scores in `evaluation`, or all of them where `name` is "".

    Beam's workers pass it on in place of the rows, which each worker maps from the files.
    """

    evaluation: str
    settings: MetricSettings
    name: str = ""
    key: int = 0

    def part(self) -> Part:
        scores = _opened(self.evaluation)
        if not self.name:
            return Part(scores)
        return Part(scores, slice_keys(self.name, scores, self.settings.bands) == self.key)


@functools.lru_cache(maxsize=1)
def _opened(evaluation: str) -> Scores:
    return Scores.open(evaluation)


def slices(evaluation: str, names: Iterable[str], settings: MetricSettings) -> Iterator[Slice]:
    """The slice of all transactions, and each slice that is not empty."""
    yield Slice(evaluation, settings)
    scores = _opened(evaluation)
    for name in names:
        for key in np.unique(slice_keys(name, scores, settings.bands)):
            yield Slice(evaluation, settings, name, int(key))


class _Rows(metric_types.Preprocessor):
    """Passes on the slice; the extracts have no labels, predictions and weights."""

    def process(self, extracts: dict[str, Any]) -> Iterator[Slice]:
        yield extracts[SLICE]


class _Figures(beam.CombineFn):
    """Computes all figures of a model for a slice, which comes as one element.

    Two of them are equal where their keys are, so that TFMA computes the figures once for all metrics here.

    key: the key of a figure, whatever its name.
    """

    def __init__(self, key: metric_types.MetricKey):
        super().__init__()
        self._key = key
        self._model = next((name for name, tfmas in TFMA_NAMES.items() if tfmas == key.model_name), key.model_name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Figures) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def create_accumulator(self) -> dict[str, float]:
        return {}

    def add_input(self, accumulator: dict[str, float], element: Slice) -> dict[str, float]:
        part = element.part()
        model = self._model or CANDIDATE
        by_name = figures(part, model, element.settings.costs, element.settings.alerts_a_day)
        if model == CANDIDATE:
            for other in part.scores.models[1:]:
                # for all transactions only; slices get NaN, since TFMA counts a missing figure as failed
                of_all = not element.name
                value, interval = difference(part, model, other) if of_all else _NO_DIFFERENCE
                by_name |= _with_ends(difference_name(other), value, interval)
            if not element.name and CURRENT in part.scores.models and AMOUNT in part.scores:
                in_money = difference_in_savings(part, model, CURRENT, element.settings.costs)
                by_name |= _with_ends(difference_name(CURRENT, "savings"), *in_money)
        return {**accumulator, **by_name}

    def merge_accumulators(self, accumulators: Iterable[dict[str, float]]) -> dict[str, float]:
        return {name: value for accumulator in accumulators for name, value in accumulator.items()}

    def extract_output(self, accumulator: dict[str, float]) -> dict[metric_types.MetricKey, float]:
        return {self._key._replace(name=name): value for name, value in accumulator.items()}


def _with_ends(name: str, value: float, interval: Interval) -> dict[str, float]:
    return {name: value, f"{name}_lower": interval.lower, f"{name}_upper": interval.upper}


def _computations(
    model_name: str = "", output_name: str = "", sub_key: Any = None, example_weighted: bool = False, **_: Any
) -> metric_types.MetricComputations:
    """TFMA's computation of all figures here, which is the same for each of them, so that TFMA does it once."""
    key = metric_types.MetricKey(
        name="", model_name=model_name, output_name=output_name, sub_key=sub_key, example_weighted=example_weighted
    )
    names = (*FIGURES, *MONEY)
    return [
        metric_types.MetricComputation(
            keys=[key._replace(name=name) for name in names], preprocessors=[_Rows()], combiner=_Figures(key)
        )
    ]


class FraudFigure(metric_types.Metric):
    """One of the figures by its name; all figures are computed together, once for each model."""

    def __init__(self, name: str):
        super().__init__(metric_util.merge_per_key_computations(_computations), name=name)


metric_types.register_metric(FraudFigure)
