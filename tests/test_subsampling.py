"""Fewer rows that stand for all, and what is decided by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.small_fold import separable
from trainer import operating_point
from trainer.columns import Columns
from trainer.custom_config import TrainerSettings
from trainer.dataset import Transactions
from trainer.decision.settings import CalibrationSettings
from trainer.features import NUMERIC
from trainer.subsampling import subsample, subsampled


@settings(deadline=None, max_examples=30)
@given(count=st.integers(40, 400), rows=st.integers(20, 300), seed=st.integers(0, 9))
def test_fewer_rows_weigh_as_much(count: int, rows: int, seed: int) -> None:
    whole = separable(count, seed)
    fewer = subsampled(whole, rows)
    if count <= rows:
        assert fewer is whole
        return
    assert len(fewer) == rows
    fraud, kept = whole.labels > 0, fewer.labels > 0
    if fraud.sum() <= rows // 2:
        assert kept.sum() == fraud.sum()
        assert np.array_equal(fewer.inputs[NUMERIC][:][kept], whole.inputs[NUMERIC][:][fraud])
    for before, after in ((fraud, kept), (~fraud, ~kept)):
        assert fewer.weights[after].sum() == pytest.approx(whole.weights[before].sum(), rel=1e-4)
    places = [np.flatnonzero((whole.inputs[NUMERIC][:] == row).all(axis=1))[0] for row in fewer.inputs[NUMERIC][:]]
    assert places == sorted(set(places))


def test_a_class_that_is_not_there_is_not_missed() -> None:
    weights = np.full(10, 3, np.float32)
    kept, heavier = subsample(np.zeros(10, np.float32), weights, 5)
    assert kept.sum() == len(heavier) == 5
    assert heavier.sum() == pytest.approx(30)


def test_calibration_and_decision_by_a_tenth_of_eval_are_nearly_those_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    rows = 100_000
    labels = (generator.random(rows) < 0.01).astype(np.float32)
    scores = (1 / (1 + np.exp(-generator.normal(labels * 4 - 3, 1.5)))).astype(np.float32)
    amounts = generator.gamma(1, 80, rows).astype(np.float32)
    evaluation = Transactions({}, labels, np.full(rows, 2, np.float32))
    columns = Columns(label="y", amount="a", numeric=("b",))
    # isotonic steps of so few frauds move by more
    settings = TrainerSettings(columns=columns, calibration=CalibrationSettings(method="platt"))
    both = []
    for most in (rows, rows // 10):
        monkeypatch.setattr(operating_point, "CALIBRATED_ROWS", most)
        both.append(operating_point.calibrate_and_choose(scores, evaluation, amounts, 1.0, settings, seed=1))
    (exact, by_all), (near, by_some) = both
    assert near != exact  # it was subsampled
    grid = np.linspace(0.01, 0.99, 99, dtype=np.float32)
    assert np.abs(near(grid) - exact(grid)).max() < 0.03
    assert by_some.expected["transactions"] == pytest.approx(by_all.expected["transactions"])
    assert by_some.expected["frauds"] == pytest.approx(by_all.expected["frauds"])
    assert by_some.expected["cost"] == pytest.approx(by_all.expected["cost"], rel=0.05)
