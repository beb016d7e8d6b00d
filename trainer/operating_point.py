"""The operating point of a model: its calibration and its decision, both chosen on eval."""

from __future__ import annotations

from trainer.arrays import Array
from trainer.custom_config import TrainerSettings
from trainer.dataset import Transactions
from trainer.decision.calibration import Calibration, calibrate
from trainer.decision.rule import Decision, choose
from trainer.subsampling import subsample

# Most rows of eval that calibration and decision use, frauds first: both take a few hundred bytes a row.
CALIBRATED_ROWS = 1_000_000


def calibrate_and_choose(
    scores: Array,
    evaluation: Transactions,
    amounts: Array | None,
    days: float,
    settings: TrainerSettings,
    seed: int,
) -> tuple[Calibration, Decision]:
    """Calibrates a model's scores and chooses its decision rule, for every kind of model in the same way.

    Args:
      scores: the model's scores on eval, float [n].
      amounts, days: those of eval, as `data.amounts_and_days` returns them.
      seed: of the cross-validation.
    """
    labels, weights = evaluation.labels, evaluation.weights
    if len(labels) > CALIBRATED_ROWS:
        kept, weights = subsample(labels, weights, CALIBRATED_ROWS)
        scores, labels = scores[kept], labels[kept]
        amounts = None if amounts is None else amounts[kept]
    calibration = calibrate(scores, labels, weights, settings.calibration, seed)
    in_days = days * settings.eval_share
    decision = choose(
        settings.decision, settings.costs, labels, calibration(scores), amounts, weights, in_days, calibration
    )
    return calibration, decision
