"""The search for hyperparameters: what a trial does, and which processes run the trials."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus

from trainer import fitting, interruption
from trainer.custom_config import TrainerSettings
from trainer.dataset import ahead
from trainer.errors import InputError
from trainer.folds import Fold
from trainer.model import FraudNetwork
from trainer.search import hyperband, workers
from trainer.search import space as search_space
from trainer.search.oracles import FOLD, ORACLES, REASON, ResumableOracle
from trainer.search.settings import with_hyperparameters
from trainer.search.trials import RECORD, Record
from trainer.settings import Training

PROJECT = "search"
PLAN = "plan"
SETTINGS = "settings.json"
IDLE_SECONDS = 0.05

logger = logging.getLogger(__name__)


class Search(BaseTuner):
    """Fits a network for each fold of a trial, and scores the trial by the mean over the folds.

    With KerasTuner's environment variables (KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT) it is
    the chief or a worker of a search in several processes; without them it runs all trials itself, or with
    `tuning.workers` starts further processes on this machine.
    """

    def __init__(self, settings: TrainerSettings, folds: Sequence[Fold], folder: str, worker: str = ""):
        """worker: name of the module that further processes run, see `tuning.workers`."""
        self.settings = settings
        self._folds = folds
        self._folder = folder
        self._worker = worker
        self._networks = fitting.NetworkCache()
        self._drawing = threading.Lock()
        tuning = settings.tuning
        self._space = search_space.search_space(settings)
        self._default = search_space.configured(self._space, settings.training)
        self._warm = _warm(self._space, settings)
        # the best of the earlier run first, since a short budget may allow no second trial
        starts = [values for values in (self._warm, self._default) if values is not None]
        if self._warm == self._default:
            starts = [self._default]
        oracle = ORACLES[tuning.oracle](tuning, self._space, starts, tuning.seed or settings.training.seed or 1)
        super().__init__(oracle, directory=folder, project_name=PROJECT)
        self._source: ResumableOracle | workers.Shared = self.oracle

    @classmethod
    def from_plan(cls, folder: str, worker: str = "") -> Search:
        """The search that another process planned by `plan`.

        Raises:
          FileNotFoundError: there is no plan, or it is not complete yet.
        """
        plan = Path(folder, PLAN)
        settings = TrainerSettings.model_validate_json((plan / SETTINGS).read_text())
        folds = [Fold.load(plan / str(number)) for number in range(settings.tuning.folds or 1)]
        return cls(settings, folds, folder, worker)

    def plan(self) -> None:
        """Writes settings and transformed rows for other processes, which need neither TFX nor Beam to use them."""
        plan = Path(self._folder, PLAN)
        if not (plan / SETTINGS).exists():
            for number, fold in enumerate(self._folds):
                fold.save(plan / str(number))
        # the last file, so that whoever finds it finds everything
        part = plan / f"{SETTINGS}.part"
        part.write_text(self.settings.model_dump_json())
        os.replace(part, plan / SETTINGS)

    @property
    def own_oracle(self) -> ResumableOracle:
        """The oracle itself, in the process that holds it; in others `oracle` is a client of it."""
        oracle: ResumableOracle = self.oracle
        return oracle

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Runs the trials, and continues a search in the same folder that was interrupted.

        Raises:
          RuntimeError: no trial succeeded; KerasTuner itself would return in silence, with values that nobody tried.
        """
        if self._is_worker():
            self.work()
            return
        self.save()
        if workers.is_chief():
            workers.serve(self.own_oracle)
        elif self.settings.tuning.external_workers:
            self.plan()
            workers.wait(self._folder)
            self.own_oracle.reload()
        elif self.settings.tuning.workers > 1:
            self.plan()
            count = self.settings.tuning.workers
            workers.run(self.own_oracle, self._folder, count, self._worker, self._take_part, self._drawing)
        else:
            self.work()
        self.save()
        self._check()
        logger.info("%s", self.record().conclusion)

    def reload(self) -> None:
        """Continues from the oracle's file; the tuner's own is empty, and KerasTuner may have left half of it."""
        self.own_oracle.reload()

    def _take_part(self, shared: workers.Shared) -> None:
        """Runs trials of an oracle that other processes use too."""
        self._source = shared
        try:
            self.work()
        finally:
            self._source = self.oracle

    def work(self) -> None:
        """Runs one trial after the other, until the oracle has no more."""
        while True:
            interruption.check()
            trial = self._source.create_trial(self.tuner_id)
            if trial.status == TrialStatus.STOPPED:
                return
            if trial.status == TrialStatus.IDLE:
                time.sleep(IDLE_SECONDS)
                continue
            trial.status = self._outcome(trial)
            self._source.end_trial(trial)

    def _outcome(self, trial: Trial) -> str:
        """Runs the trial and returns its status; a failure is recorded with its reason and does not end the search."""
        try:
            self.run_trial(trial)
        except InputError:
            raise
        except Exception as error:
            logger.warning("Trial %s failed:\n%s", trial.trial_id, traceback.format_exc())
            trial.message = in_words(error)
            with tf.io.gfile.GFile(os.path.join(self.get_trial_dir(trial.trial_id), REASON), "w") as file:
                file.write(trial.message)
            return str(TrialStatus.FAILED)
        return str(TrialStatus.COMPLETED)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> None:
        """Fits a network for each fold and reports the objective after each epoch, until the oracle stops the trial."""
        training = with_hyperparameters(self.settings.training, trial.hyperparameters.values)
        objective, task = self.settings.tuning.objective, f"trial {trial.trial_id}"
        pending: tuple[int, int, futures.Future[float]] | None = None
        with futures.ThreadPoolExecutor(max_workers=1) as judge:
            for number, checkpoint in self._checkpoints(trial, training):
                judging = judge.submit(checkpoint.judged, self._folds[number].validation, training, objective, task)
                # an epoch is judged while the next one is learned
                if pending and not self._goes_on(trial.trial_id, *pending):
                    return
                pending = number, checkpoint.epochs, judging
            if pending:
                self._goes_on(trial.trial_id, *pending)

    def _checkpoints(self, trial: Trial, training: Training) -> Iterator[tuple[int, fitting.EpochCheckpoint]]:
        """Fold number and checkpoint of each epoch, fold by fold, except for epochs that an earlier trial reported."""
        values = trial.hyperparameters.values
        first, last = values.get(hyperband.FIRST_EPOCH, 0), self.settings.tuning.epochs_of(values)
        earlier = values.get(hyperband.EARLIER_TRIAL)
        folds = list(enumerate(self._folds))
        epochs = [range(self._epochs_kept(earlier, number) if first else 0, last) for number, _ in folds]
        network = self._network(0, training)
        # a portion is read while the one before is learned, across folds too
        rows = ahead(
            itertools.chain.from_iterable(fitting.read(fold.train, training, epochs[number]) for number, fold in folds)
        )
        for number, fold in folds:
            if number:
                network = self._network(number, training)
            if epochs[number].start:
                self._restore(network, earlier, number)
            for checkpoint in fitting.fit_epochs(network, rows, fold.train, training, epochs[number]):
                if checkpoint.epochs > first:
                    yield number, checkpoint
            if self.settings.tuning.oracle == "hyperband":
                np.savez(self._state(trial.trial_id, number), *map(np.asarray, fitting.state(network)))

    def _network(self, number: int, training: Training) -> FraudNetwork:
        fold = self._folds[number]
        with self._drawing:
            return self._networks.fresh(fold.categories, training, fold.train)

    def _goes_on(self, trial_id: str, fold: int, epoch: int, judging: futures.Future[float]) -> bool:
        """Reports the objective of an epoch, and returns whether the oracle lets the trial go on."""
        # float32, as in KerasTuner's protocol: a score must not depend on which process runs the trial
        value = float(np.float32(judging.result()))
        answer = self._source.update_trial(trial_id, {FOLD.format(fold): value}, step=epoch)
        return bool(answer.status != TrialStatus.STOPPED)

    def _state(self, trial_id: str, fold: int) -> str:
        return os.path.join(self.get_trial_dir(trial_id), f"state_{fold}.npz")

    def _epochs_kept(self, trial_id: str | None, fold: int) -> int:
        """How many epochs an earlier trial had learned when its state was saved; 0 where there is no such file."""
        if trial_id is None or not os.path.exists(self._state(trial_id, fold)):
            logger.warning("The state of trial %s is missing; its epochs are fitted again", trial_id)
            return 0
        epochs: int = self._source.get_trial(trial_id).hyperparameters.values[hyperband.EPOCHS]
        return epochs

    def _restore(self, network: FraudNetwork, trial_id: str, fold: int) -> None:
        """Restores the state of an earlier trial."""
        with np.load(self._state(trial_id, fold)) as state:
            for variable, name in zip(fitting.state(network), state.files, strict=True):
                variable.assign(state[name])

    def _check(self) -> None:
        trials = list(self.own_oracle.trials.values())
        if not any(trial.status == TrialStatus.COMPLETED for trial in trials):
            reasons = {trial.message or "no reason given" for trial in trials}
            tf.io.gfile.rmtree(self.project_dir)  # else the next run would see no trial left to run
            raise RuntimeError(f"none of {len(trials)} trials of the search succeeded: {'; '.join(sorted(reasons))}")

    def record(self) -> Record:
        """The record of the search, once it is over."""
        tuning = self.settings.tuning
        trials = self.own_oracle.recorded()

        def first_with(values: Mapping[str, Any] | None) -> str:
            return next((trial.trial_id for trial in trials if trial.hyperparameters == values), "")

        return Record(
            objective=tuning.objective,
            greater_is_better=tuning.objective != "loss",
            oracle=tuning.oracle,
            folds=tuning.folds or 0,
            workers=tuning.workers,
            seed=self.own_oracle.seed,
            default=first_with(self._default),
            warm_start=first_with(self._warm),
            best=self.own_oracle.get_best_trials(1)[0].trial_id,
            seconds=self.own_oracle.seconds,
            trials=trials,
        )

    def load_model(self, trial: Trial) -> keras.Model:
        """An untrained network of the trial; weights are not kept, since the Trainer fits the best one anew."""
        fold = self._folds[0]
        training = with_hyperparameters(self.settings.training, trial.hyperparameters.values)
        return fitting.build(fold.categories, training, fold.train)


def _warm(space: keras_tuner.HyperParameters, settings: TrainerSettings) -> dict[str, Any] | None:
    values = settings.tuning.warm_start
    if not values:
        return None
    if isinstance(values, str):
        raise InputError(f"tuning.warm_start names {values}, whose values have not been read; run by `fraud-pipeline`")
    return search_space.warm_start(space, values, settings.training)


def in_words(error: BaseException) -> str:
    """Why a trial failed, in one line."""
    message = " ".join(str(error).split())[:500]
    if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        return f"out of memory: {message}" if message else "out of memory"
    return message if isinstance(error, FloatingPointError) else f"{type(error).__name__}: {message}"


def newest_plan(folder: str) -> str | None:
    """The folder itself if it holds a plan of a search, else the folder in it with the newest one; None without any.

    A search that is over counts only where there is no other.
    """
    plans = [*Path(folder).glob(f"{PLAN}/{SETTINGS}"), *Path(folder).glob(f"*/{PLAN}/{SETTINGS}")]
    searches = [(not (plan.parents[1] / RECORD).exists(), plan.stat().st_mtime, str(plan.parents[1])) for plan in plans]
    return max(searches)[2] if searches else None
