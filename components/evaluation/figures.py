"""The figures of an evaluation, for any part of the transactions and for any model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.evaluation.scores import AMOUNT, DECISION, LABEL, PROBABILITY, SCORE, TIME, WEIGHT, Scores
from trainer.arrays import Array
from trainer.columns import SECONDS_A_DAY
from trainer.decision.costs import Costs
from trainer.decision.outcomes import CostedTransactions
from trainer.metrics import (
    RANKED,
    Interval,
    Ranking,
    bootstrap,
    bootstrap_difference,
    bootstrap_sum,
    brier,
    log_loss,
    precision_at_most_suspect,
)


@dataclass(frozen=True)
class Part:
    """A part of the rows of `scores`: those where `rows`, bool [n], is true, or without it all of them."""

    scores: Scores
    rows: Array | None = None

    def column(self, name: str) -> Array:
        """The part's rows of a column, [rows]."""
        values = self.scores.column(name)
        return values if self.rows is None else values[self.rows]

    def of(self, model: str, output: str) -> Array:
        """The part's rows of a model's score, probability or decision, [rows]."""
        return self.column(f"{model}.{output}")


def figures(part: Part, model: str, costs: Costs, alerts_a_day: int) -> dict[str, float]:
    """All figures of one model by name; NaN where one is not defined.

    Ranking figures depend on the scores; Brier score, log-loss and calibration on the probabilities; counts and money
    on the decisions. Rows count by their weights, except in `transactions` and `frauds`, which count rows.

    Args:
      alerts_a_day: the number k of `precision_at_k_a_day`.

    Returns:
      average_precision, roc_auc and recall_at_1_percent_false_positives, each with _lower and _upper;
      recall_at_80_percent_precision, precision_at_k_a_day, brier, log_loss, calibration, transactions, frauds,
      weighted_transactions, true_positives, false_positives, false_negatives, true_negatives, alerts_a_day; where there
      are amounts, in money: caught_amount, missed_amount, declined_amount, cost, cost_a_day, cost_without_model,
      savings, savings_lower, savings_upper.
    """
    labels, weights = part.column(LABEL), part.column(WEIGHT)
    scores = part.of(model, SCORE)
    ranking = Ranking.from_scores(labels, scores, weights)
    ranked = {
        "average_precision": ranking.average_precision(),
        "roc_auc": ranking.roc_auc(),
        "recall_at_1_percent_false_positives": ranking.recall_at_false_positive_rate(0.01),
        "recall_at_80_percent_precision": ranking.recall_at_precision(0.8),
    }
    for name, interval in bootstrap(labels, scores, weights).items():
        ranked[f"{name}_lower"], ranked[f"{name}_upper"] = interval
    days = _days(part)
    ranked["precision_at_k_a_day"] = precision_at_most_suspect(
        labels, scores, weights, days, alerts_a_day * part.scores.share
    )
    del scores
    probabilities = part.of(model, PROBABILITY)
    exact = weights.astype(np.float64)
    frauds = float(exact @ labels)
    calibrated = {
        "brier": brier(labels, probabilities, weights),
        "log_loss": log_loss(labels, probabilities, weights),
        "calibration": float(exact @ probabilities) / frauds if frauds else float("nan"),
    }
    del probabilities
    counts = {
        "transactions": float(len(labels)),
        "frauds": float(np.count_nonzero(labels > 0)),
        "weighted_transactions": float(exact.sum()),
    }
    return ranked | calibrated | counts | _decision_figures(part, model, costs)


def _decision_figures(part: Part, model: str, costs: Costs) -> dict[str, float]:
    stops, days = part.of(model, DECISION) > 0, part.scores.days
    in_money = AMOUNT in part.scores
    amounts = part.column(AMOUNT) if in_money else None
    transactions = CostedTransactions.from_arrays(part.column(LABEL), amounts, part.column(WEIGHT), costs)
    outcome = transactions.outcome(stops)
    counts = {
        "true_positives": outcome.true_positives,
        "false_positives": outcome.false_positives,
        "false_negatives": outcome.false_negatives,
        "true_negatives": outcome.true_negatives,
        "alerts_a_day": outcome.stopped / days,
    }
    if not in_money:
        return {name: float(value[0]) for name, value in counts.items()}
    money = {
        "caught_amount": outcome.caught_amount,
        "missed_amount": outcome.missed_amount,
        "declined_amount": outcome.declined_amount,
        "cost": outcome.cost,
        "cost_a_day": outcome.cost / days,
        "cost_without_model": np.array([transactions.cost_of_nothing]),
        # not `outcome.savings`, which rounding may leave a little off 0 where nothing is stopped
        "savings": transactions.cost_of_nothing - outcome.cost,
    }
    fraud, sizes = transactions.fraud, transactions.amounts
    saved = costs.of(np.array(False), fraud, sizes) - costs.of(stops, fraud, sizes)
    interval = bootstrap_sum(saved, transactions.weights)
    return {
        **{name: float(value[0]) for name, value in {**counts, **money}.items()},
        "savings_lower": interval.lower,
        "savings_upper": interval.upper,
    }


def _days(part: Part) -> Array:
    """The number of each row's day, int32 [rows]; all 0 where there are no times."""
    if TIME not in part.scores:
        return np.zeros(len(part.column(LABEL)), np.int32)
    days: Array = np.nan_to_num(part.column(TIME) // SECONDS_A_DAY, nan=-1).astype(np.int32)
    return days


def difference(part: Part, model: str, other: str) -> tuple[float, Interval]:
    """Average precision of one model minus that of another on the same transactions, and its 95 % interval."""
    labels, weights = part.column(LABEL), part.column(WEIGHT)
    return bootstrap_difference(labels, part.of(model, SCORE), part.of(other, SCORE), weights)


def difference_in_savings(part: Part, model: str, other: str, costs: Costs) -> tuple[float, Interval]:
    """Savings of one model minus those of another on the same transactions, and its 95 % interval.

    Each decides by its own rule, and each resample draws the same transactions for both (a paired bootstrap).
    """
    amounts = part.column(AMOUNT)
    transactions = CostedTransactions.from_arrays(part.column(LABEL), amounts, part.column(WEIGHT), costs)
    cost, cost_of_other = (
        costs.of(part.of(name, DECISION) > 0, transactions.fraud, transactions.amounts) for name in (model, other)
    )
    saved = cost_of_other - cost
    return float(transactions.weights @ saved), bootstrap_sum(saved, transactions.weights)


def difference_name(other: str, figure: str = "average_precision") -> str:
    """The name of the difference to another model among the candidate's figures."""
    return f"{figure}_above_{other}"


MONEY = (
    "caught_amount",
    "missed_amount",
    "declined_amount",
    "cost",
    "cost_a_day",
    "cost_without_model",
    "savings",
    "savings_lower",
    "savings_upper",
)
FIGURES = (
    *(f"{name}{end}" for name in RANKED for end in ("", "_lower", "_upper")),
    "recall_at_80_percent_precision",
    "precision_at_k_a_day",
    "brier",
    "log_loss",
    "calibration",
    "transactions",
    "frauds",
    "weighted_transactions",
    "true_positives",
    "false_positives",
    "false_negatives",
    "true_negatives",
    "alerts_a_day",
)
