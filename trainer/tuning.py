"""The search over hyperparameters: TFX Tuner's entry point."""

from __future__ import annotations

import logging
from typing import Any

import keras
import keras_tuner
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from trainer import data, progress, training
from trainer.settings import TrainerSettings, Tuning

logger = logging.getLogger(__name__)


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """TFX Tuner's entry point: a random search for the best average precision on eval."""
    settings = TrainerSettings.from_custom_config(fn_args.custom_config)
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    train, evaluation = data.load_splits(
        fn_args.train_files, fn_args.eval_files, transform, settings.columns, settings.resources.data_bytes
    )
    return TunerFnResult(tuner=Search(settings, transform, train, evaluation, fn_args.working_dir), fit_kwargs={})


def search_space(settings: TrainerSettings) -> keras_tuner.HyperParameters:
    """Layers, units, dropout and learning rate; their defaults are what the config trains without a search."""
    tuning, default = settings.tuning, settings.training
    space = keras_tuner.HyperParameters()
    network = default.network
    space.Choice("layers", list(tuning.layers), default=_default(len(network.units), tuning.layers))
    space.Choice("units", list(tuning.units), default=_default(network.units[0], tuning.units))
    space.Choice("dropout", list(tuning.dropout), default=_default(network.dropout, tuning.dropout))
    low, high = tuning.learning_rate
    rate = min(max(default.learning_rate, low), high)
    space.Float("learning_rate", low, high, sampling="log", default=rate)
    return space


def _default(wanted: Any, choices: tuple[Any, ...]) -> Any:
    return wanted if wanted in choices else choices[0]


class DefaultFirst(keras_tuner.oracles.RandomSearchOracle):
    """Random search whose first trial is the default, so that a search can be no worse than none."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        if not self.start_order:
            values = dict(self.hyperparameters.values)
            self._tried_so_far.add(self._compute_values_hash(values))
            return {"status": keras_tuner.engine.trial.TrialStatus.RUNNING, "values": values}
        return super().populate_space(trial_id)


class Search(keras_tuner.Tuner):
    """Fits one network a trial and scores it by exact average precision on eval."""

    def __init__(
        self,
        settings: TrainerSettings,
        transform: tft.TFTransformOutput,
        train: data.Transactions,
        evaluation: data.Transactions,
        directory: str,
    ):
        self._settings = settings
        self._transform = transform
        self._train = train
        self._evaluation = evaluation
        self._done = 0
        self._best = 0.0
        tuning = settings.tuning
        super().__init__(
            DefaultFirst(
                objective=keras_tuner.Objective(training.OBJECTIVE, "max"),
                max_trials=tuning.trials,
                hyperparameters=search_space(settings),
                tune_new_entries=False,
                allow_new_entries=False,
                seed=settings.training.seed or 1,  # KerasTuner takes 0 for "draw one"
            ),
            hypermodel=self._build,
            directory=directory,
            project_name="search",
            overwrite=True,
        )

    @property
    def _tuning(self) -> Tuning:
        return self._settings.tuning

    def _build(self, hyperparameters: keras_tuner.HyperParameters) -> keras.Model:
        tried = self._settings.training.with_hyperparameters(hyperparameters.values)
        return training.build(self._transform, self._settings, tried, self._train)

    def run_trial(self, trial: keras_tuner.engine.trial.Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Fits the trial's network; the best epoch's average precision is its score."""
        tried = self._settings.training.with_hyperparameters(trial.hyperparameters.values)
        training.make_reproducible(tried.seed)
        history = training.fit(
            self._build(trial.hyperparameters),
            self._train,
            self._evaluation,
            tried,
            task="Tuner",
            epochs=self._tuning.epochs,
            on_epoch=self._report,
        )
        self._done += 1
        score = max(history[training.OBJECTIVE])
        self._best = max(self._best, score)
        logger.info("Trial %s: %s gave %.4f", trial.trial_id, trial.hyperparameters.values, score)
        return {training.OBJECTIVE: score}

    def _report(self, epoch: int, best_of_trial: float) -> None:
        epochs = self._tuning.epochs
        best = max(self._best, best_of_trial)
        trial = f"trial {self._done + 1} of {self._tuning.trials}"
        progress.report(
            progress.Progress(
                "Tuner",
                self._done * epochs + epoch,
                self._tuning.trials * epochs,
                f"{trial}, best average precision {best:.3f} on eval",
            )
        )

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Runs the trials.

        Raises:
          RuntimeError: no trial ended well. KerasTuner itself would return in silence, with untrained values.
        """
        super().search(*args, **kwargs)
        trials = self.oracle.trials.values()
        if not any(trial.status == keras_tuner.engine.trial.TrialStatus.COMPLETED for trial in trials):
            reasons = {(trial.message or "no reason given").strip().splitlines()[-1] for trial in trials}
            raise RuntimeError(f"none of {len(trials)} trials of the search ended well: {'; '.join(sorted(reasons))}")

    def load_model(self, trial: keras_tuner.engine.trial.Trial) -> keras.Model:
        """An untrained network of the trial: weights are not kept, the Trainer fits the best one anew."""
        return self._build(trial.hyperparameters)
