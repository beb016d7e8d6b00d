"""The record of a search: the values of each trial, its scores, and the conclusion of the search."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import tensorflow as tf

from trainer.search import hyperband

RECORD = "trials.json"  # in the TunerResults artifact, beside TFX's own tuner_results.json

# completed: all epochs; stopped: by the median stopping rule or by the budget; failed: with a reason
Status = Literal["completed", "stopped", "failed"]


@dataclass(frozen=True)
class Trial:
    """One trial.

    values: the hyperparameters that were active. score: the objective of the best epoch, as the mean over the folds;
    None where the trial failed before an epoch was over. spread: standard deviation over the folds (n - 1), None
    without folds. folds: the objective of each fold at that epoch. curve: the objective after each epoch, as the mean
    over the folds that got so far. first_epoch: the epoch that the curve starts with, above 0 where Hyperband went on
    with an earlier trial. started, ended: seconds since the search began.
    """

    trial_id: str
    status: Status
    values: dict[str, Any]
    score: float | None = None
    spread: float | None = None
    folds: tuple[float, ...] = ()
    curve: tuple[float, ...] = ()
    first_epoch: int = 0
    started: float = 0.0
    ended: float = 0.0
    reason: str = ""

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The values without Hyperband's own, which give the number of epochs."""
        return hyperband.without_own_keys(self.values)


@dataclass(frozen=True)
class Record:
    """A search that is over.

    objective: as in the config, such as average_precision. greater_is_better: false for a loss. default: the id of the
    trial with the config's own values, "" where the budget did not reach it. warm_start: that of the trial with an
    earlier run's values, "" without one. best: that of the trial whose values the search chose. seconds: how long the
    search took, with the time before an interruption.
    """

    objective: str
    greater_is_better: bool
    oracle: str
    folds: int
    workers: int
    seed: int
    default: str
    best: str
    seconds: float
    warm_start: str = ""
    trials: tuple[Trial, ...] = field(default=())

    @classmethod
    def load(cls, folder: str) -> Record:
        """The record in a TunerResults artifact.

        Raises:
          tf.errors.NotFoundError: the artifact has no record.
        """
        with tf.io.gfile.GFile(os.path.join(folder, RECORD)) as file:
            values = json.load(file)
        trials = tuple(
            Trial(**{**trial, "folds": tuple(trial["folds"]), "curve": tuple(trial["curve"])})
            for trial in values.pop("trials")
        )
        return cls(**values, trials=trials)

    def save(self, folder: str) -> None:
        """Writes the record into a TunerResults artifact, whole or not at all."""
        path = os.path.join(folder, RECORD)
        with tf.io.gfile.GFile(f"{path}.part", "w") as file:
            json.dump(asdict(self), file, indent=2)
        tf.io.gfile.rename(f"{path}.part", path, overwrite=True)

    def trial(self, trial_id: str) -> Trial:
        """The trial of that id."""
        return next(trial for trial in self.trials if trial.trial_id == trial_id)

    @property
    def conclusion(self) -> str:
        """The result of the search in one sentence, without a full stop."""
        name = self.objective.replace("_", " ")
        best = self.trial(self.best)
        score = f"{name} {_with_spread(best)}"
        if not self.default:
            return f"Trial {best.trial_id} is the best, {score}; the budget was used up before the config's own values"
        default = self._longest(self.trial(self.default))
        if best.hyperparameters == default.hyperparameters:
            return f"The search found nothing better than the config's own values, {score}"
        if default.score is None or default.status == "failed":
            return f"Trial {best.trial_id} is the best, {score}; the config's own values failed: {default.reason}"
        if default.status == "stopped":
            return f"Trial {best.trial_id} is the best, {score}; the config's own values were stopped: {default.reason}"
        if best.score == default.score:
            return f"The search found nothing better than the config's own values, {name} {_with_spread(default)}"
        against = f"against {_with_spread(default)} with the config's own values"
        within = best.spread is not None and abs(best.score - default.score) < best.spread  # type: ignore[operator]
        doubt = ", a difference within the spread of the folds" if within else ""
        return f"Trial {best.trial_id} is the best, {score} {against}{doubt}"

    def _longest(self, trial: Trial) -> Trial:
        """The last trial with these values that has a score, which under Hyperband is the one that got furthest."""
        alike = [
            other for other in self.trials if other.hyperparameters == trial.hyperparameters and other.score is not None
        ]
        return alike[-1] if alike else trial


def _with_spread(trial: Trial) -> str:
    return f"{trial.score:.4f}" + (f" ± {trial.spread:.4f}" if trial.spread is not None else "")
