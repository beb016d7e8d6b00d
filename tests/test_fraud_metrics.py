"""The metrics inside a real run of TFMA, against scikit-learn on the same rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow_model_analysis as tfma
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from tensorflow_model_analysis.metrics import metric_types

from components.fraud_metrics import METRICS, _Figures
from trainer.metrics import bootstrap_average_precision

# Each slice is a case: how its labels, scores and weights are drawn.
Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray, np.ndarray]]
CASES: dict[str, Draw] = {
    "typical": lambda g: ((y := g.integers(0, 2, 400)), g.beta(2 + y, 4), np.where(y, 1.0, 40.0)),
    "rare": lambda g: ((y := (g.random(600) < 0.02).astype(int)), g.beta(1 + 3 * y, 9), np.where(y, 1.0, 12.5)),
    "tied": lambda g: (g.integers(0, 2, 200), g.integers(0, 4, 200) / 4, g.uniform(0.1, 3, 200)),
    "all alike": lambda g: (g.integers(0, 2, 50), np.full(50, 0.25), np.ones(50)),
    "perfect": lambda g: ((y := g.integers(0, 2, 60)), y * 0.5 + 0.25, np.ones(60)),
    "upside down": lambda g: ((y := g.integers(0, 2, 60)), 0.9 - y * 0.8, np.ones(60)),
    "saturated": lambda g: (g.integers(0, 2, 80), g.integers(0, 2, 80).astype(float), np.ones(80)),
    "one of each": lambda g: (np.array([1, 0]), np.array([0.3, 0.6]), np.array([2.0, 7.0])),
}
ONE_CLASS: dict[str, Draw] = {
    "no fraud": lambda g: (np.zeros(30, int), g.random(30), np.ones(30)),
    "all fraud": lambda g: (np.ones(30, int), g.random(30), np.ones(30)),
}


def drawn(cases: dict[str, Draw]) -> pd.DataFrame:
    frames = []
    for seed, (name, draw) in enumerate(cases.items()):
        label, score, weight = draw(np.random.default_rng(seed))
        values = {"label": label.astype(np.float32), "score": score.astype(np.float32)}
        frames.append(pd.DataFrame({**values, "weight": weight.astype(np.float32), "case": name}))
    return pd.concat(frames, ignore_index=True)


FRAME = drawn({**CASES, **ONE_CLASS})


def analyzed(frame: pd.DataFrame, *, weighted: bool) -> dict[str, dict[str, float]]:
    """Every metric by the name of the case, "" for all rows, as TFMA computes it."""
    config = tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(label_key="label", prediction_key="score", example_weight_key="weight" if weighted else "")
        ],
        slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=["case"])],
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[tfma.MetricConfig(class_name=metric.__name__, module=metric.__module__) for metric in METRICS]
            )
        ],
    )
    result = tfma.analyze_raw_data(frame, config)
    figures = {}
    for slice_key, metrics in result.slicing_metrics:
        named: dict[str, Any] = metrics[""][""]
        figures[slice_key[0][1] if slice_key else ""] = {name: float(v["doubleValue"]) for name, v in named.items()}
    return figures


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, float]]:
    return analyzed(FRAME, weighted=True)


def rows(case: str) -> pd.DataFrame:
    return FRAME[FRAME.case == case] if case else FRAME


@pytest.mark.parametrize("case", ["", *CASES])
def test_ranking_equals_sklearn_on_the_same_weighted_rows(figures: dict[str, dict[str, float]], case: str) -> None:
    of = rows(case)
    assert figures[case]["average_precision"] == pytest.approx(
        average_precision_score(of.label, of.score, sample_weight=of.weight), abs=1e-6, rel=0
    )
    assert figures[case]["roc_auc"] == pytest.approx(
        roc_auc_score(of.label, of.score, sample_weight=of.weight), abs=1e-6, rel=0
    )
    false_alarms, caught, _ = roc_curve(
        of.label, of.score, sample_weight=of.weight.astype(np.float64), drop_intermediate=False
    )
    assert figures[case]["recall_at_1_percent_false_positives"] == pytest.approx(
        caught[false_alarms <= 0.01 * (1 + 1e-9)].max(), abs=1e-6, rel=0
    )


@pytest.mark.parametrize("case", ["", *CASES])
def test_counts_and_calibration_are_those_of_the_rows(figures: dict[str, dict[str, float]], case: str) -> None:
    of = rows(case)
    assert figures[case]["transactions"] == len(of)
    assert figures[case]["frauds"] == of.label.sum()
    expected = np.average(of.score, weights=of.weight) / np.average(of.label, weights=of.weight)
    assert figures[case]["calibration"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("case", ["typical", "rare"])
def test_the_interval_is_the_bootstrap_s_and_encloses_the_figure(
    figures: dict[str, dict[str, float]], case: str
) -> None:
    of = rows(case)
    assert of.score.is_unique  # among ties the order of the rows would decide which of them a resample takes
    lower, upper = bootstrap_average_precision(of.label.to_numpy(), of.score.to_numpy(), of.weight.to_numpy())
    found = figures[case]
    assert (found["average_precision_lower"], found["average_precision_upper"]) == pytest.approx(
        (lower, upper), abs=1e-6
    )
    assert lower < found["average_precision"] < upper


def test_without_a_fraud_nothing_is_defined(figures: dict[str, dict[str, float]]) -> None:
    assert set(figures["no fraud"]) == {metric.NAME for metric in METRICS}
    found = dict(figures["no fraud"])
    assert (found.pop("transactions"), found.pop("frauds")) == (30, 0)
    assert all(math.isnan(value) for value in found.values())


def test_with_frauds_alone_precision_is_perfect_and_false_alarms_are_not_defined(
    figures: dict[str, dict[str, float]],
) -> None:
    found = figures["all fraud"]
    assert found["average_precision"] == 1.0
    assert (found["average_precision_lower"], found["average_precision_upper"]) == (1.0, 1.0)
    assert math.isnan(found["roc_auc"])
    assert math.isnan(found["recall_at_1_percent_false_positives"])


def test_without_a_weight_key_each_row_counts_once(figures: dict[str, dict[str, float]]) -> None:
    found = analyzed(FRAME, weighted=False)
    for case in ("", "typical", "rare", "tied"):
        of = rows(case)
        precision = average_precision_score(of.label, of.score)
        assert found[case]["average_precision"] == pytest.approx(precision, abs=1e-6)
        assert found[case]["average_precision"] != pytest.approx(figures[case]["average_precision"], abs=1e-4)


def test_a_batch_is_kept_as_one_array_and_leaves_figures_alone() -> None:
    """Taken apart, each transaction is an array of its own: half a kilobyte in place of 12 bytes."""
    config = tfma.EvalConfig(model_specs=[tfma.ModelSpec(label_key="label", example_weight_key="weight")])
    combine = _Figures(metric_types.MetricKey("", example_weighted=True), config)
    generator = np.random.default_rng(3)
    labels, scores, weights = generator.integers(0, 2, 100), generator.random(100), generator.random(100)
    batch = metric_types.StandardMetricInputs(labels=labels, predictions=scores, example_weights=weights)
    accumulator = combine.add_input(combine.create_accumulator(), batch)
    assert [rows.shape for rows in accumulator] == [(100, 3)]
    np.testing.assert_array_equal(accumulator[0], np.stack([labels, scores, weights], axis=1).astype(np.float32))
    found = combine.extract_output(combine.compact(accumulator))
    assert {key.name for key in found} == {metric.NAME for metric in METRICS}
    assert all(isinstance(value, float) for value in found.values())
    assert {key.name: value for key, value in found.items()}["transactions"] == 100
