"""Bars that are proposed from boosted trees on the data itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from components.evaluation.bars import ProposedBars, proposed_bars
from trainer.arrays import Array

ROWS = 4000
TRAIN = np.arange(ROWS) < 3000


def rows(strength: float, seed: int = 0) -> dict[str, Any]:
    """Transactions of which 5 % are fraud; of the numbers and categories, one each tells fraud apart."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(ROWS) < 0.05).astype(np.float32)
    numeric = generator.normal(size=(ROWS, 4))
    numeric[:, 1] += strength * labels
    numeric[generator.random((ROWS, 4)) < 0.1] = np.nan
    categorical = generator.integers(0, 6, (ROWS, 2)).astype(float)
    categorical[(labels > 0) & (generator.random(ROWS) < strength / 4), 0] = 1e9  # a code may be any number
    categorical[generator.random((ROWS, 2)) < 0.1] = np.nan
    return {"numeric": numeric, "categorical": categorical, "labels": labels, "weights": np.ones(ROWS), "train": TRAIN}


@pytest.fixture(scope="module")
def bars() -> ProposedBars:
    return proposed_bars(**rows(2))


def test_each_bar_is_half_way_from_chance_to_the_lower_end(bars: ProposedBars) -> None:
    assert bars.prevalence == pytest.approx(rows(2)["labels"][~TRAIN].mean())
    assert bars.average_precision_interval.lower < bars.average_precision < bars.average_precision_interval.upper
    assert bars.prevalence < bars.min_average_precision < bars.average_precision_interval.lower
    middle = (bars.prevalence + bars.average_precision_interval.lower) / 2
    assert bars.min_average_precision == pytest.approx(middle, rel=0.005)
    assert bars.min_roc_auc == pytest.approx((0.5 + bars.roc_auc_interval.lower) / 2, rel=0.005)
    assert "fitted to 3,000 of the rows" in bars.sentence
    assert f"average precision of {bars.average_precision:.3f}" in bars.sentence


def test_two_calls_agree_and_categories_are_read(bars: ProposedBars) -> None:
    assert proposed_bars(**rows(2)) == bars
    without = proposed_bars(**rows(2) | {"categorical": np.zeros((ROWS, 0))})
    assert bars.average_precision > without.average_precision > bars.prevalence
    swapped = rows(2)
    swapped["categorical"] = swapped["categorical"] * 7 + 3  # other codes for the same categories
    assert proposed_bars(**swapped) == bars


def test_weights_count_as_transactions(bars: ProposedBars) -> None:
    doubled = rows(2)
    doubled["weights"] = np.where(doubled["labels"] > 0, 1.0, 10.0)
    heavier = proposed_bars(**doubled)
    fraud = doubled["labels"][~TRAIN]
    assert heavier.prevalence == pytest.approx(fraud.sum() / (fraud.sum() + 10 * (1 - fraud).sum()))
    assert heavier.average_precision < bars.average_precision


def test_where_nothing_tells_fraud_apart_the_bars_are_those_of_chance() -> None:
    noise = proposed_bars(**rows(0))
    assert noise.min_average_precision <= noise.average_precision
    assert noise.min_roc_auc == 0.5
    assert noise.sentence.endswith("hardly anything in this data tells fraud apart")


def test_a_leak_is_named() -> None:
    leaking = rows(2)
    leaking["numeric"][:, 0] = leaking["labels"]
    bars = proposed_bars(**leaking)
    assert bars.average_precision == 1
    assert "known only after the fact" in bars.sentence
    assert "known only after the fact" not in proposed_bars(**rows(2)).sentence


@pytest.mark.parametrize("part", [TRAIN, ~TRAIN, np.ones(ROWS, bool)])
@pytest.mark.parametrize("label", [0, 1])
def test_a_part_without_both_classes_has_no_baseline(part: Array, label: int) -> None:
    one_class = rows(2)
    one_class["labels"][part] = label
    bars = proposed_bars(**one_class)
    assert np.isnan([bars.average_precision, bars.roc_auc]).all()
    assert (bars.min_average_precision, bars.min_roc_auc) == (pytest.approx(bars.prevalence, rel=0.005), 0.5)
    assert bars.sentence.startswith("There is no baseline to take the bars from")


def test_many_columns_are_fitted_on_an_even_sample_with_all_frauds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.evaluation.bars._MOST_VALUES", 6 * 1500)
    bars = proposed_bars(**rows(2))
    assert (bars.fitted_rows, bars.test_rows) == (1500, 1000)


def test_figures_are_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def keep(labels: Array, scores: Array, weights: Array) -> dict[str, Any]:
        seen.append((labels, scores))
        return {}

    monkeypatch.setattr("components.evaluation.bars.bootstrap", keep)
    bars = proposed_bars(**rows(2))
    ((labels, scores),) = seen
    assert bars.average_precision == pytest.approx(average_precision_score(labels, scores))
    assert bars.roc_auc == pytest.approx(roc_auc_score(labels, scores))


def test_it_loads_no_tensorflow() -> None:
    code = (
        "import sys, numpy as np; from components.evaluation.bars import proposed_bars;"
        "x = np.arange(40.)[:, None]; y = (x[:, 0] % 3 == 0); "
        "proposed_bars(x, x[:, :0], y, np.ones(40), np.arange(40) < 30);"
        "assert 'xgboost' in sys.modules; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"tensorflow", "tfx", "keras", "tensorflow_model_analysis", "apache_beam"} & {*done.stdout.split()} == set()
