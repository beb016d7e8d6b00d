"""The record of a search: what each trial tried, what came of it, and what the search concludes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import tensorflow as tf

RECORD = "trials.json"  # in the TunerResults artifact, beside TFX's own tuner_results.json

# completed: all its epochs; stopped: by the rule against hopeless trials or by the budget; failed: with a reason
Status = Literal["completed", "stopped", "failed"]


@dataclass(frozen=True)
class Trial:
    """One trial.

    values: the hyperparameters that were active. score: the objective of the best epoch, the mean over the folds, None
    where it failed before an epoch was over. spread: standard deviation over the folds (n - 1), None without folds.
    folds: the objective of each fold at that epoch. curve: the objective after each epoch, the mean over the folds;
    with folds that were not all reached, over those that were. first_epoch: which epoch the curve starts with; above 0
    where Hyperband went on with an earlier trial. started, ended: seconds since the search began.
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
        """The values without Hyperband's own, which say for how long they were tried."""
        return {name: value for name, value in self.values.items() if not name.startswith("tuner/")}


@dataclass(frozen=True)
class Record:
    """A search that is over.

    objective: as in the config, such as average_precision; greater_is_better: false for a loss. default: the trial with
    the config's own values, "" where the budget did not reach it; warm_start: the one with the values that an earlier
    run found, "" without one. best: the trial whose values were taken. seconds: in all, what came before an
    interruption included.
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
          tf.errors.NotFoundError: there is none.
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
        """One sentence, without a full stop."""
        name = self.objective.replace("_", " ")
        best = self.trial(self.best)
        said = f"{name} {_with_spread(best)}"
        if not self.default:
            return f"Trial {best.trial_id} is the best, {said}; the budget was used up before the config's own values"
        default = self._longest(self.trial(self.default))
        if best.hyperparameters == default.hyperparameters:
            return f"The search found nothing better than the config's own values, {said}"
        if default.score is None or default.status == "failed":
            return f"Trial {best.trial_id} is the best, {said}; the config's own values failed: {default.reason}"
        if default.status == "stopped":
            return f"Trial {best.trial_id} is the best, {said}; the config's own values were stopped: {default.reason}"
        if best.score == default.score:
            return f"The search found nothing better than the config's own values, {name} {_with_spread(default)}"
        against = f"against {_with_spread(default)} with the config's own values"
        within = best.spread is not None and abs(best.score - default.score) < best.spread  # type: ignore[operator]
        doubt = ", a difference within the spread of the folds" if within else ""
        return f"Trial {best.trial_id} is the best, {said} {against}{doubt}"

    def _longest(self, trial: Trial) -> Trial:
        """The last trial with these values that has a score: under Hyperband the one that got furthest with them."""
        alike = [
            other for other in self.trials if other.hyperparameters == trial.hyperparameters and other.score is not None
        ]
        return alike[-1] if alike else trial


def _with_spread(trial: Trial) -> str:
    return f"{trial.score:.4f}" + (f" ± {trial.spread:.4f}" if trial.spread is not None else "")
