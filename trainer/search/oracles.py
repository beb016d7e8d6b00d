"""The oracles that propose trials: KerasTuner's, made reproducible, resumable and able to stop hopeless trials."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
import tensorflow as tf
from keras_tuner.engine.trial import Trial, TrialStatus

from trainer import progress
from trainer.search import hyperband
from trainer.search import space as search_space
from trainer.search.settings import Tuning
from trainer.search.trials import Status
from trainer.search.trials import Trial as Recorded

FOLD = "fold_{}"  # metric: the objective of a fold after each epoch
REASON = "reason.txt"  # in the trial's folder, since KerasTuner's protocol sends no text back
ATTEMPTS = 2  # a trial that was running each of so many times that its process was killed is taken for the cause
KILLED = f"it was running each of the {ATTEMPTS} times that its process was killed; out of memory, perhaps"
FEWEST_TO_COMPARE = 3  # trials that the median stopping rule needs
GRACE_EPOCHS = 1  # a trial is never stopped during so many epochs of a fold


class ResumableOracle(keras_tuner.Oracle):
    """An oracle that starts from known values, records every epoch, stops hopeless trials, and resumes after a kill.

    Its proposals depend on the seed and on the number of workers, not on which worker is faster: where a proposal or a
    decision to stop looks at earlier trials, it looks at all those begun at least `workers` trials before, once they
    are over, and at no others.
    """

    trials: dict[str, Trial]
    ongoing_trials: dict[str, Trial]
    _retry_queue: list[str]

    def __init__(
        self,
        tuning: Tuning,
        space: keras_tuner.HyperParameters,
        starts: Sequence[Mapping[str, Any]],
        seed: int,
        **kwargs: Any,
    ):
        self._tuning = tuning
        self._starts = [dict(start) for start in starts]
        self._begun: dict[str, int] = {}
        self._stopped: dict[str, str] = {}
        self._times: dict[str, list[float]] = {}
        self._resumed_at = 0.0
        self._clock = time.monotonic()
        self.planned = tuning.trials  # number of trials, as far as is known
        super().__init__(
            objective=keras_tuner.Objective(tuning.objective, "min" if tuning.objective == "loss" else "max"),
            hyperparameters=space,
            tune_new_entries=False,
            allow_new_entries=False,
            seed=seed,
            max_consecutive_failed_trials=1 << 30,  # each failure is recorded; if all fail, the end reports it
            **kwargs,
        )
        self.verbose = 0

    # What to try

    @property
    def seconds(self) -> float:
        """How long the search has run, not counting interruptions."""
        return self._resumed_at + time.monotonic() - self._clock

    @property
    def _out_of_time(self) -> bool:
        return self._tuning.budget_minutes is not None and self.seconds >= 60 * self._tuning.budget_minutes

    @property
    def _looks_back(self) -> bool:
        """Whether proposals or decisions to stop depend on earlier trials."""
        return self._tuning.prune_trials

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Status and values of the next trial; status STOPPED where there is none, IDLE where there is none yet."""
        number = len(self.start_order)
        if number and self._out_of_time:
            return {"status": TrialStatus.STOPPED}
        if self._looks_back and not self._over(self._visible_to(number)):
            return {"status": TrialStatus.IDLE}
        if number < len(self._starts):
            return {"status": TrialStatus.RUNNING, "values": dict(self._starts[number])}
        return self.propose(trial_id)

    def propose(self, trial_id: str) -> dict[str, Any]:
        """As KerasTuner's `populate_space`, for the trials after those with known values."""
        proposed: dict[str, Any] = super().populate_space(trial_id)
        return proposed

    def _visible_to(self, number: int) -> list[Trial]:
        """The earlier trials that trial `number` may look at."""
        return [self.trials[trial_id] for trial_id in self.start_order[: max(0, number - self._tuning.workers + 1)]]

    def _over(self, trials: Sequence[Trial]) -> bool:
        return {trial.trial_id for trial in trials} <= set(self.end_order)

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial; a worker that was restarted gets the one that it had, up to ATTEMPTS times."""
        lost = self.ongoing_trials.get(tuner_id)
        if lost and self._begun.get(lost.trial_id, 0) >= ATTEMPTS:
            self.give_up(tuner_id, KILLED)
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.RUNNING:
            # an interrupted trial starts over, so its measures start over
            trial.metrics = Trial(trial.hyperparameters).metrics
            self._stopped.pop(trial.trial_id, None)
            self._begun[trial.trial_id] = self._begun.get(trial.trial_id, 0) + 1
            self._times[trial.trial_id] = [self.seconds, self.seconds]
            self._save_trial(trial)
            self.save()
        return trial

    # What comes of it

    @property
    def folds(self) -> int:
        return self._tuning.folds or 1

    @keras_tuner.synchronized
    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Trial:
        """Records the objective of a fold after an epoch; the trial ends where the status returned is STOPPED."""
        trial = self.trials[trial_id]
        answer = copy.copy(trial)
        if not self._is_running(trial_id):
            answer.status = TrialStatus.STOPPED
            return answer
        for name, value in metrics.items():
            if not trial.metrics.exists(name):
                trial.metrics.register(name, self.objective.direction)
            trial.metrics.update(name, value, step=step)
        self._times[trial_id][1] = self.seconds
        self._save_trial(trial)
        self._report()
        reason = self._why_to_stop(trial)
        if reason and not self._is_complete(trial):
            self._stopped[trial_id] = reason
            self.save()
            answer.status = TrialStatus.STOPPED
        return answer

    def _why_to_stop(self, trial: Trial) -> str:
        if self._out_of_time:
            return f"the budget of {self._tuning.budget_minutes:g} minutes was used up"
        return self._why_pruned(trial) if self._tuning.prune_trials else ""

    def _why_pruned(self, trial: Trial) -> str:
        """Why the median stopping rule (Golovin et al. 2017, Google Vizier) stops the trial; "" where it does not.

        A trial is hopeless when its best objective so far is worse than the median of the earlier trials' averages up
        to the same epoch; both are means over the folds begun.
        """
        curves = _curves(trial)
        fold, last = len(curves) - 1, max(curves[-1])
        if len(curves[-1]) <= GRACE_EPOCHS:
            return ""
        averages = []
        for earlier in self._visible_to(self.start_order.index(trial.trial_id)):
            before = _curves(earlier)[: fold + 1]
            if earlier.status == TrialStatus.COMPLETED and len(before) == len(curves):
                before[-1] = {epoch: value for epoch, value in before[-1].items() if epoch <= last}
                averages.append(float(np.mean([np.mean([*curve.values()]) for curve in before])))
        if len(averages) < FEWEST_TO_COMPARE:
            return ""
        median, best = float(np.median(averages)), float(np.mean([self._best(curve.values()) for curve in curves]))
        if np.isclose(best, median) or self._best((best, median)) == best:
            return ""
        where = f" of fold {fold + 1}" if fold else ""
        others = f"half of the earlier trials had {median:.4f} on average"
        return f"after {last} epochs{where} its best was {best:.4f}, {others}"

    def _best(self, values: Any) -> float:
        best: float = max(values) if self.objective.direction == "max" else min(values)
        return best

    def _is_complete(self, trial: Trial) -> bool:
        curves = _curves(trial)
        last = max(curves[-1], default=0) if curves else 0
        return len(curves) == self.folds and last >= self._tuning.epochs_of(trial.hyperparameters.values)

    def score_trial(self, trial: Trial) -> None:
        """Scores the trial by the best epoch of the mean over the folds: one epoch for all, as the model has one."""
        curve = mean_curve(trial)
        trial.best_step, trial.score = next(
            (epoch, value) for epoch, value in curve.items() if value == self._best(curve.values())
        )

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Records how the trial ended."""
        own = self.trials[trial.trial_id]
        if not self._is_running(trial.trial_id):
            return
        # KerasTuner's protocol sends no message, and returns the space in another order
        trial.hyperparameters = own.hyperparameters
        if trial.status != TrialStatus.COMPLETED:
            trial.status = TrialStatus.FAILED
            trial.message = trial.message or self._read_reason(trial.trial_id)
        self._times[trial.trial_id][1] = self.seconds
        super().end_trial(trial)
        self._report()

    def _is_running(self, trial_id: str) -> bool:
        """Whether the trial runs; it does not once it failed with a worker that seemed dead, or the chief restarted."""
        return any(trial.trial_id == trial_id for trial in self.ongoing_trials.values())

    def _read_reason(self, trial_id: str) -> str:
        path = os.path.join(self._get_trial_dir(trial_id), REASON)
        if not tf.io.gfile.exists(path):
            return "no reason given"
        with tf.io.gfile.GFile(path) as file:
            reason: str = file.read()
            return reason

    @keras_tuner.synchronized
    def give_up(self, tuner_id: str, reason: str) -> bool:
        """Fails the trial of a worker that died, and returns whether it had one."""
        trial = self.ongoing_trials.get(tuner_id)
        if trial is None:
            return False
        failed = copy.copy(trial)
        failed.status, failed.message = TrialStatus.FAILED, reason
        self.end_trial(failed)
        return True

    @keras_tuner.synchronized
    def release(self, tuner_id: str) -> None:
        """Stops waiting for that worker."""
        self.tuner_ids.discard(tuner_id)

    def get_best_trials(self, num_trials: int | None = 1) -> list[Trial]:
        """Completed trials, the best first, then those that were stopped, whose scores can't be compared."""
        begun = [self.trials[trial_id] for trial_id in self.start_order]  # `trials` read from files are in any order
        ended = [trial for trial in begun if trial.status == TrialStatus.COMPLETED]
        sign = -1 if self.objective.direction == "max" else 1
        ended.sort(key=lambda trial: (trial.trial_id in self._stopped, sign * trial.score))
        return ended[:num_trials]

    # What is kept

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        own = {"begun": self._begun, "stopped": self._stopped, "times": self._times, "seconds": self.seconds}
        return {**state, **own}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._begun, self._stopped, self._times = state["begun"], state["stopped"], state["times"]
        self._resumed_at, self._clock = state["seconds"], time.monotonic()

    def save(self) -> None:
        _write(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial: Trial) -> None:
        _write(os.path.join(self._get_trial_dir(trial.trial_id), "trial.json"), trial.get_state())

    def reload(self) -> None:
        """Continues from the saved state; a trial that was running is tried again, up to ATTEMPTS times in all."""
        super().reload()
        # KerasTuner saves the end of a trial before it takes the trial off the list
        self._retry_queue = [trial_id for trial_id in self._retry_queue if trial_id not in self.end_order]
        for trial_id in list(self._retry_queue):
            trial = self.trials[trial_id]
            trial.metrics = Trial(trial.hyperparameters).metrics
            if self._begun.get(trial_id, 0) >= ATTEMPTS:
                self._retry_queue.remove(trial_id)
                trial.status = TrialStatus.FAILED
                trial.message = KILLED
                self.end_order.append(trial_id)
                self._save_trial(trial)
        # a trial with a file of its own that the oracle's file does not list was never begun
        for trial_id in self.trials.keys() - set(self.start_order):
            del self.trials[trial_id]
        self.save()

    def recorded(self) -> tuple[Recorded, ...]:
        """The record of every trial, in the order in which they began."""
        return tuple(self._recorded(self.trials[trial_id]) for trial_id in self.start_order)

    def _recorded(self, trial: Trial) -> Recorded:
        completed = trial.status == TrialStatus.COMPLETED
        status: Status = "failed" if not completed else "stopped" if trial.trial_id in self._stopped else "completed"
        curve = mean_curve(trial)
        at_best = [fold[trial.best_step] for fold in _curves(trial) if trial.best_step in fold] if completed else []
        started, ended = self._times[trial.trial_id]
        whole = status == "completed" and self._tuning.folds
        return Recorded(
            trial_id=trial.trial_id,
            status=status,
            values=dict(trial.hyperparameters.values),
            score=trial.score if completed else None,
            spread=float(np.std(at_best, ddof=1)) if whole else None,
            folds=tuple(at_best) if self._tuning.folds else (),
            curve=tuple(curve.values()),
            first_epoch=min(curve, default=1) - 1,
            started=started,
            ended=ended,
            reason=trial.message or "" if status == "failed" else self._stopped.get(trial.trial_id, ""),
        )

    def _report(self) -> None:
        def done(trial: Trial) -> int:
            whole = self._work(trial.hyperparameters.values)
            return whole if trial.trial_id in self.end_order else sum(len(curve) for curve in _curves(trial))

        planned = max(self.planned, len(self.trials))
        begun = [self._work(trial.hyperparameters.values) for trial in self.trials.values()]
        total = sum(begun) + (planned - len(begun)) * self.folds * self._tuning.epochs
        best = self.get_best_trials()
        name = self.objective.name.replace("_", " ")
        where = f"over {self._tuning.folds} folds" if self._tuning.folds else "on eval"
        progress.report(
            progress.Progress(
                "Tuner",
                sum(map(done, self.trials.values())),
                total,
                f"trial {len(self.trials)} of {planned}"
                + (f", best {name} {best[0].score:.3f} {where}" if best else ""),
            )
        )

    def _work(self, values: Mapping[str, Any]) -> int:
        """How many epochs a trial has, over all folds."""
        fitted_before: int = values.get(hyperband.FIRST_EPOCH, 0)
        return self.folds * (self._tuning.epochs_of(values) - fitted_before)


def _write(path: str, state: Mapping[str, Any]) -> None:
    """Writes the state as JSON, whole or not at all, since a search may be killed at any time."""
    part = f"{path}.part"
    with tf.io.gfile.GFile(part, "w") as file:
        file.write(json.dumps(state))
    tf.io.gfile.rename(part, path, overwrite=True)


def _curves(trial: Trial) -> list[dict[int, float]]:
    """The objective by the number of epochs done, for each fold that was begun."""
    curves: list[dict[int, float]] = []
    while trial.metrics.exists(FOLD.format(len(curves))):
        history = trial.metrics.get_history(FOLD.format(len(curves)))
        curves.append({int(observation.step): float(observation.mean()) for observation in history})
    return curves


def mean_curve(trial: Trial) -> dict[int, float]:
    """The objective by the number of epochs done, as the mean over the folds that got so far."""
    curves = _curves(trial)
    epochs = sorted({epoch for curve in curves for epoch in curve})
    return {epoch: float(np.mean([curve[epoch] for curve in curves if epoch in curve])) for epoch in epochs}


class RandomSearch(ResumableOracle, keras_tuner.oracles.RandomSearchOracle):
    """Random values, none twice (Bergstra and Bengio 2012)."""

    def __init__(self, tuning: Tuning, *args: Any):
        super().__init__(tuning, *args, max_trials=tuning.trials)


class GridSearch(ResumableOracle, keras_tuner.oracles.GridSearchOracle):
    """Every combination in order, with ten values of a range.

    KerasTuner's own waits for trials to end, in case they add hyperparameters, which ours never do.
    """

    def __init__(self, tuning: Tuning, *args: Any):
        super().__init__(tuning, *args, max_trials=tuning.trials)

    def propose(self, trial_id: str) -> dict[str, Any]:
        for values in search_space.combinations(self.hyperparameters):
            if not self._duplicate(values):
                return {"status": TrialStatus.RUNNING, "values": values}
        return {"status": TrialStatus.STOPPED}


class BayesianOptimization(ResumableOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process over the trials so far, by its upper confidence bound (Srinivas et al. 2010)."""

    def __init__(self, tuning: Tuning, space: keras_tuner.HyperParameters, *args: Any):
        # KerasTuner's default, three for each hyperparameter, may well be more than there are trials
        initial = min(3 * len(space.space), max(3, tuning.trials // 3))
        super().__init__(tuning, space, *args, max_trials=tuning.trials, num_initial_points=initial)

    @property
    def _looks_back(self) -> bool:
        return True

    def propose(self, trial_id: str) -> dict[str, Any]:
        number = len(self.start_order)
        with self._visible_only(number):
            # not from the state after earlier proposals, or a resumed search would propose other values
            self._random_state = np.random.RandomState(self.seed + number)
            self.gpr = self._make_gpr()
            self._fit_to_ended()
            proposed: dict[str, Any] = super().propose(trial_id)
        if proposed["status"] == TrialStatus.RUNNING and self._duplicate(proposed["values"]):
            proposed = self._random_populate_space()
        return proposed

    def _fit_to_ended(self) -> None:
        """Fits the process to the trials that are over, so that it can predict those that run."""
        everything = self.trials
        self.trials = {key: trial for key, trial in everything.items() if trial.status == TrialStatus.COMPLETED}
        if self.trials:
            self.gpr.fit(*self._vectorize_trials())
        self.trials = everything

    @contextlib.contextmanager
    def _visible_only(self, number: int) -> Iterator[None]:
        """Lets the process see the results of those trials that it may look at, and no others.

        The other trials count as running, whether they are over or not. Trials outside the space, as the config's own
        values may be, are hidden, since the process can't represent them.
        """
        trials, ongoing = self.trials, self.ongoing_trials
        status: dict[str, str] = {}
        visible = {trial.trial_id for trial in self._visible_to(number)}
        inside = [
            trial
            for trial_id in self.start_order
            if search_space.is_inside(self.hyperparameters, (trial := trials[trial_id]).hyperparameters.values)
        ]
        running = [trial for trial in inside if trial.trial_id not in visible]
        try:
            self.trials = {trial.trial_id: trial for trial in inside}
            self.ongoing_trials = {f"pending {trial.trial_id}": trial for trial in running}
            for trial in running:
                status[trial.trial_id], trial.status = trial.status, TrialStatus.RUNNING
            yield
        finally:
            for trial in running:
                trial.status = status[trial.trial_id]
            self.trials, self.ongoing_trials = trials, ongoing


class Hyperband(ResumableOracle, keras_tuner.oracles.HyperbandOracle):
    """Many trials of few epochs, of which the best go on (Li et al. 2018).

    The config's own values and those of an earlier run take the first places of the first bracket.
    """

    def __init__(self, tuning: Tuning, *args: Any):
        self._exhausted = False
        # Hyperband stops trials in its own way, by halving
        super().__init__(
            tuning.model_copy(update={"prune_trials": False}), *args, max_epochs=tuning.epochs, factor=tuning.factor
        )
        self.planned = sum(
            self._get_size(bracket, rung)
            for bracket in range(self._get_num_brackets())
            for rung in range(self._get_num_rounds(bracket))
        )

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        number = len(self.start_order)
        if number and self._out_of_time:
            return {"status": TrialStatus.STOPPED}
        exhausted = self._exhausted
        with self._whole_rungs():
            proposed: dict[str, Any] = keras_tuner.oracles.HyperbandOracle.populate_space(self, trial_id)
            if self._exhausted and not exhausted:
                proposed = keras_tuner.oracles.HyperbandOracle.populate_space(self, trial_id)
        if number < len(self._starts) and proposed["status"] == TrialStatus.RUNNING:
            proposed["values"] = {**self._starts[number], **hyperband.own_keys(proposed["values"])}
        return proposed

    def _random_values(self) -> dict[str, Any] | None:
        values = None if self._exhausted else super()._random_values()
        self._exhausted = values is None
        return values

    def _get_size(self, bracket_num: int, round_num: int) -> int:
        """Places of a rung, fewer where the space has fewer combinations; KerasTuner's own search would end there."""
        size: int = super()._get_size(bracket_num, round_num)
        if not self._exhausted:
            return size
        begun: int = sum(
            len(bracket["rounds"][0]) for bracket in self._brackets if bracket["bracket_num"] == bracket_num
        )
        return min(size, math.ceil(begun / float(self.factor) ** round_num))

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "exhausted": self._exhausted}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._exhausted = state["exhausted"]

    @contextlib.contextmanager
    def _whole_rungs(self) -> Iterator[None]:
        """Lets trials go on only once their whole rung is over: which one is best must not depend on which is first."""
        hidden = []
        for bracket in self._brackets:
            for rung in bracket["rounds"]:
                trials = [self.trials[place["id"]] for place in rung if place["id"] in self.trials]
                if not self._over(trials):
                    hidden += [trial for trial in trials if trial.status == TrialStatus.COMPLETED]
        try:
            for trial in hidden:
                trial.status = TrialStatus.RUNNING
            yield
        finally:
            for trial in hidden:
                trial.status = TrialStatus.COMPLETED


ORACLES = {
    "random": RandomSearch,
    "hyperband": Hyperband,
    "bayesian": BayesianOptimization,
    "grid": GridSearch,
}
