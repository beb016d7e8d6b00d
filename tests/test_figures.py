"""The evaluation's figures against scikit-learn and against counting by hand, on the same rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from components.evaluation.figures import FIGURES, MONEY, Part, difference, figures
from components.evaluation.scores import AMOUNT, LABEL, TIME, WEIGHT, Scores
from tests.support.small_scores import table
from trainer.decision.costs import Costs

COSTS = Costs(missed_fraud=1.5, review=4.0, declined=0.1, caught_fraud=2.0)
MODELS = ("candidate", "current")


def made(seed: int, rows: int = 400, *, fraud: float = 0.08, amounts: bool = True) -> dict[str, np.ndarray]:
    """Columns of two models, of which the second is worse; some amounts and times are missing, frauds count less."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(rows) < fraud).astype(float)
    columns = {LABEL: labels, WEIGHT: np.where(labels > 0, 1.0, 7.0)}
    if amounts:
        columns[AMOUNT] = np.where(generator.random(rows) < 0.05, np.nan, generator.lognormal(3, 1.5, rows).round(2))
        columns[TIME] = np.where(generator.random(rows) < 0.02, np.nan, generator.uniform(0, 3 * 86_400, rows))
    for model, noise in zip(MODELS, (1.0, 2.0), strict=True):
        score = 1 / (1 + np.exp(-np.round(labels * 3 - 4 + generator.normal(0, noise, rows), 1)))
        probability = score**1.5
        values = {"score": score, "probability": probability, "decision": probability > 0.15}
        columns |= {f"{model}.{what}": value for what, value in values.items()}
    return columns


@pytest.fixture(scope="module")
def scores() -> Scores:
    return table(made(3))


def test_all_that_sklearn_has_is_as_there(scores: Scores) -> None:
    labels, weights = scores.column(LABEL), scores.column(WEIGHT).astype(float)
    for model in MODELS:
        by_name = figures(Part(scores), model, COSTS, 10)
        score, probability = scores.of(model, "score"), scores.of(model, "probability").astype(float)
        decision = scores.of(model, "decision")
        precisions, recalls, _ = precision_recall_curve(labels, score, sample_weight=weights)
        false_alarms, caught, _ = roc_curve(labels, score, sample_weight=weights, drop_intermediate=False)
        (true_negatives, false_positives), (false_negatives, true_positives) = confusion_matrix(
            labels, decision, sample_weight=weights
        )
        expected = {
            "average_precision": average_precision_score(labels, score, sample_weight=weights),
            "roc_auc": roc_auc_score(labels, score, sample_weight=weights),
            "recall_at_1_percent_false_positives": caught[false_alarms <= 0.01].max(),
            "recall_at_80_percent_precision": recalls[:-1][precisions[:-1] >= 0.8].max(initial=0),
            "brier": brier_score_loss(labels, probability, sample_weight=weights),
            "log_loss": log_loss(labels, probability, sample_weight=weights),
            "calibration": np.average(probability, weights=weights) / np.average(labels, weights=weights),
            "true_positives": true_positives,
            "false_positives": false_positives,
            "false_negatives": false_negatives,
            "true_negatives": true_negatives,
            "transactions": len(labels),
            "frauds": labels.sum(),
            "weighted_transactions": weights.sum(),
        }
        for name, value in expected.items():
            assert by_name[name] == pytest.approx(value, abs=1e-6, rel=1e-6), name
        assert set(by_name) == {*FIGURES, *MONEY}
        for name in ("average_precision", "roc_auc", "recall_at_1_percent_false_positives", "savings"):
            assert by_name[f"{name}_lower"] < by_name[name] < by_name[f"{name}_upper"], name


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_money_is_what_counting_row_by_row_gives(seed: int) -> None:
    scores = table(made(seed, rows=60, fraud=0.3))
    by_name = figures(Part(scores), "candidate", COSTS, 10)
    caught = missed = declined = cost = without = 0.0
    columns = (scores.column(LABEL), scores.column(WEIGHT), scores.column(AMOUNT), scores.of("candidate", "decision"))
    for label, weight, amount, stopped in zip(*(column.tolist() for column in columns), strict=True):
        amount = 0.0 if math.isnan(amount) else amount
        without += weight * label * 1.5 * amount
        if stopped and label:
            caught, cost = caught + weight * amount, cost + weight * (4.0 - 2.0)
        elif stopped:
            declined, cost = declined + weight * amount, cost + weight * (4.0 + 0.1 * amount)
        elif label:
            missed, cost = missed + weight * amount, cost + weight * 1.5 * amount
    expected = {"caught_amount": caught, "missed_amount": missed, "declined_amount": declined, "cost": cost}
    expected |= {"cost_without_model": without, "savings": without - cost, "cost_a_day": cost / scores.days}
    for name, value in expected.items():
        assert by_name[name] == pytest.approx(value, rel=1e-5, abs=1e-3), name
    assert by_name["alerts_a_day"] * scores.days == pytest.approx(
        by_name["true_positives"] + by_name["false_positives"]
    )


def test_an_infinite_amount_counts_as_a_missing_one() -> None:
    columns = made(5, rows=60, fraud=0.3)
    infinite = {**columns, AMOUNT: np.where(np.isnan(columns[AMOUNT]), np.inf, columns[AMOUNT])}
    assert np.isinf(infinite[AMOUNT]).any()
    expected = figures(Part(table(columns)), "candidate", COSTS, 10)
    assert figures(Part(table(infinite)), "candidate", COSTS, 10) == expected


def test_a_part_has_the_figures_of_its_rows_alone(scores: Scores) -> None:
    rows = np.arange(len(scores)) % 2 == 0
    alone = table({name: values[rows] for name, values in made(3).items()})
    expected = figures(Part(alone), "candidate", COSTS, 10)
    by_name = figures(Part(scores, rows), "candidate", COSTS, 10)
    a_day = {"alerts_a_day", "cost_a_day"}  # by the days of all the data
    assert {name: by_name[name] for name in by_name.keys() - a_day} == pytest.approx(
        {name: expected[name] for name in expected.keys() - a_day}
    )


def test_without_amounts_there_is_no_money_and_without_times_one_day() -> None:
    by_name = figures(Part(table(made(5, amounts=False))), "candidate", COSTS, 10)
    assert set(by_name) == set(FIGURES)
    assert by_name["alerts_a_day"] == by_name["true_positives"] + by_name["false_positives"]


def test_without_a_fraud_nothing_that_needs_one_is_defined() -> None:
    by_name = figures(Part(table(made(5, fraud=0.0))), "candidate", COSTS, 10)
    not_defined = {name for name, value in by_name.items() if math.isnan(value)}
    ranked = ("average_precision", "roc_auc", "recall_at_1_percent_false_positives")
    assert not_defined == {
        *(f"{name}{end}" for name in ranked for end in ("", "_lower", "_upper")),
        "recall_at_80_percent_precision",
        "calibration",
    }
    assert (by_name["frauds"], by_name["precision_at_k_a_day"], by_name["cost_without_model"]) == (0, 0, 0)


def test_a_part_without_rows_has_no_figures(scores: Scores) -> None:
    by_name = figures(Part(scores, np.zeros(len(scores), bool)), "candidate", COSTS, 10)
    assert by_name["transactions"] == by_name["cost"] == 0
    assert all(math.isnan(by_name[name]) for name in ("brier", "log_loss", "average_precision", "precision_at_k_a_day"))


def test_a_model_is_compared_on_the_same_rows(scores: Scores) -> None:
    value, interval = difference(Part(scores), "candidate", "current")
    candidate, current = (figures(Part(scores), model, COSTS, 10)["average_precision"] for model in MODELS)
    assert value == pytest.approx(candidate - current)
    assert interval.lower < value < interval.upper
    assert difference(Part(scores), "candidate", "candidate") == (0.0, (0.0, 0.0))
