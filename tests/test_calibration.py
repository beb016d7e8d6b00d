"""From a network's score to the probability of fraud."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from trainer.decision.calibration import LEAST, METHODS, Calibration, calibrate
from trainer.decision.settings import CalibrationSettings


def biased(count: int, seed: int, slope: float, intercept: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores float32 [count], and labels of which the probability is sigmoid(slope * logit(score) + intercept)."""
    generator = np.random.default_rng(seed)
    raw = generator.normal(0, 2.5, count)
    labels = generator.random(count) < expit(slope * raw + intercept)
    return expit(raw).astype(np.float32), labels.astype(np.float32)


def fitted(method: str, *rows: np.ndarray, folds: int = 5, seed: int = 3) -> Calibration:
    """rows: scores, labels and, where they are not 1, weights."""
    scores, labels, *weights = rows
    settings = CalibrationSettings(method=method, folds=folds)
    return calibrate(scores, labels, weights[0] if weights else np.ones(len(scores)), settings, seed)


def test_platt_finds_how_the_scores_were_biased() -> None:
    calibration = fitted("platt", *biased(50_000, 1, slope=0.7, intercept=-3.0))
    assert (calibration.slope, calibration.intercept) == (pytest.approx(0.7, abs=0.03), pytest.approx(-3.0, abs=0.1))


def test_platt_is_a_weighted_logistic_regression_on_the_logit() -> None:
    scores, labels = biased(3_000, 2, slope=1.4, intercept=-1.0)
    weights = np.where(labels > 0, 1.0, 7.5)
    expected = LogisticRegression(penalty=None, tol=1e-8).fit(
        logit(scores.astype(float))[:, None], labels, sample_weight=weights
    )
    calibration = fitted("platt", scores, labels, weights)
    # Platt's targets are a hair off 0 and 1
    assert (calibration.slope, calibration.intercept) == (
        pytest.approx(expected.coef_.item(), rel=0.01),
        pytest.approx(expected.intercept_.item(), rel=0.01),
    )


def test_isotonic_is_scikit_learns_but_keeps_the_order_of_the_scores() -> None:
    scores, labels = biased(2_000, 3, slope=1.0, intercept=-2.0)
    weights = np.where(labels > 0, 1.2, 11.5)
    exact = scores.astype(float)  # in float32 scikit-learn pools other blocks
    regression = IsotonicRegression(out_of_bounds="clip").fit(exact, labels.astype(float), sample_weight=weights)
    expected, actual = regression.predict(exact), fitted("isotonic", scores, labels, weights)(scores)
    # off 0 and 1, as one more fraud and one less would have it
    frauds = weights[labels > 0].sum()
    np.testing.assert_allclose(actual, expected.clip(0, (frauds + 1) / (frauds + 2)), rtol=2e-3, atol=1e-4)
    assert len(np.unique(expected)) < 100
    assert len(np.unique(actual)) > 1_000
    order = np.argsort(scores, kind="stable")
    assert (np.diff(actual[order]) >= 0).all()


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_weights_mend_what_undersampling_did(method: str) -> None:
    """Dal Pozzolo et al. 2015: of the legitimate transactions one in 20 is kept, and the scores are fitted to that."""
    scores, labels = biased(30_000, 4, slope=1.0, intercept=0.0)
    truth = scores / (scores + 20 * (1 - scores))  # where there are 20 times as many legitimate ones
    calibrated = fitted(method, scores, labels, np.where(labels > 0, 1.0, 20.0))(scores)
    assert np.abs(calibrated - truth).mean() < 0.02
    assert np.abs(scores - truth).mean() > 0.2


def test_equal_weights_are_equal_to_repeated_rows() -> None:
    scores, labels = biased(400, 5, slope=1.0, intercept=-1.0)
    for method in ("platt", "isotonic"):
        once, thrice = (
            fitted(method, scores, labels, np.full(400, 3.0)),
            fitted(method, *np.repeat([scores, labels], 3, axis=1)),
        )
        np.testing.assert_allclose(once(scores), thrice(scores), atol=1e-6)


def test_the_least_brier_score_is_taken() -> None:
    scores, labels = biased(20_000, 6, slope=1.0, intercept=0.0)
    right = fitted("auto", scores, labels)
    assert set(right.brier) == set(METHODS)
    assert right.brier["none"] == pytest.approx(brier_score_loss(labels, scores), rel=1e-5)
    assert right.brier[right.method] == min(right.brier.values())
    # within noise of the truth
    np.testing.assert_allclose(right(scores), scores, atol=0.03)

    biased_so = fitted("auto", *biased(20_000, 6, slope=0.5, intercept=-2.0))
    assert biased_so.method == "platt"
    assert biased_so.brier["platt"] < biased_so.brier["isotonic"] < biased_so.brier["none"]

    generator = np.random.default_rng(7)
    scores = generator.random(20_000).astype(np.float32)
    steps = fitted("auto", scores, (generator.random(20_000) < np.where(scores > 0.4, 0.9, 0.02)).astype(float))
    assert steps.method == "isotonic"
    assert steps(np.array([0.2, 0.39, 0.42, 0.9])) == pytest.approx([0.02, 0.02, 0.9, 0.9], abs=0.04)


def test_the_same_seed_gives_the_same_calibration() -> None:
    rows = biased(500, 8, slope=0.6, intercept=-2.0)
    assert fitted("auto", *rows, seed=1) == fitted("auto", *rows, seed=1)
    assert fitted("auto", *rows, seed=1).brier != fitted("auto", *rows, seed=2).brier


def test_off_leaves_the_scores_as_they_are() -> None:
    scores, labels = biased(100, 9, slope=0.5, intercept=-1.0)
    calibration = fitted("none", scores, labels)
    assert calibration == Calibration()
    np.testing.assert_array_equal(calibration(scores), scores)


@pytest.mark.parametrize("method", ["auto", "platt", "isotonic"])
@pytest.mark.parametrize(("frauds", "legitimate"), [(0, 50), (LEAST - 1, 50), (50, LEAST - 1)])
def test_too_few_of_a_class_fit_nothing_and_a_note_says_so(method: str, frauds: int, legitimate: int) -> None:
    labels = np.array([1] * frauds + [0] * legitimate)
    calibration = fitted(method, np.linspace(0, 1, len(labels)), labels)
    assert calibration.method == "none"
    assert f"{frauds} fraudulent and {legitimate} legitimate transactions" in calibration.note
    assert calibration.to_manifest() == {"method": "none", "brier": {}, "folds": 0, "note": calibration.note}


@pytest.mark.parametrize(("frauds", "folds", "expected"), [(LEAST, 5, 5), (LEAST + 2, 10, LEAST + 2), (60, 10, 10)])
def test_there_are_no_more_folds_than_frauds(frauds: int, folds: int, expected: int) -> None:
    labels = np.array([1] * frauds + [0] * 60)
    calibration = fitted("auto", np.random.default_rng(1).random(len(labels)), labels, folds=folds)
    assert calibration.folds == expected
    assert all(np.isfinite(value) for value in calibration.brier.values())


def test_scores_that_are_all_alike_give_the_rate_of_fraud() -> None:
    scores, labels = np.full(100, 0.25, np.float32), np.arange(100) < 10
    for method in ("platt", "isotonic"):
        calibration = fitted(method, scores, labels)
        assert calibration(scores)[0] == pytest.approx(0.1, abs=0.01)
        assert calibration.tensor(tf.constant(scores)).numpy() == pytest.approx(calibration(scores))


def test_scores_that_are_upside_down_are_not_turned_round() -> None:
    scores, labels = biased(2_000, 10, slope=1.0, intercept=-1.0)
    for method in ("platt", "isotonic"):
        probabilities = fitted(method, 1 - scores, labels)(np.array([0.1, 0.5, 0.9], np.float32))
        assert probabilities == pytest.approx([labels.mean()] * 3, abs=0.01)


# Whatever the scores are

# TensorFlow takes numbers below the smallest normal one for 0, numpy does not; no network's score is one
SCORES = st.floats(0, 1, width=32, allow_subnormal=False) | st.sampled_from([0.0, 1.0, 1e-30, 1 - 2.0**-24, 0.5])
ROWS = st.lists(st.tuples(SCORES, st.booleans(), st.sampled_from([1.0, 11.54, 0.5])), min_size=2 * LEAST, max_size=60)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.sampled_from(["auto", "platt", "isotonic"]), st.lists(SCORES, min_size=1, max_size=20))
def test_a_calibration_rises_within_0_and_1_and_is_the_same_in_tensorflow(
    rows: list[tuple[float, bool, float]], method: str, others: list[float]
) -> None:
    scores, labels, weights = np.array(rows, np.float64).T
    labels[:LEAST], labels[-LEAST:] = 1, 0
    calibration = fitted(method, scores, labels, weights)
    inputs = np.sort(np.concatenate([scores, others])).astype(np.float32)
    outputs = calibration(inputs)
    assert outputs.dtype == np.float32
    assert ((outputs >= 0) & (outputs <= 1)).all()
    assert (np.diff(outputs) >= -1e-7).all()
    in_graph = tf.function(calibration.tensor)(tf.constant(inputs))
    assert in_graph.dtype == tf.float32
    np.testing.assert_allclose(in_graph.numpy(), outputs, rtol=3e-7, atol=1e-12)
    if calibration.method != "none":  # never quite sure
        assert ((outputs > 0) & (outputs < 1)).all()
    assert json.loads(json.dumps(calibration.to_manifest()))["method"] == calibration.method
