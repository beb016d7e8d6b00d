"""TFX Trainer's entry point."""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer import data, export
from trainer.custom_config import TrainerSettings
from trainer.distributed import replicas, worker
from trainer.distributed.handoff import LOGS, TrainingHandoff
from trainer.distributed.settings import Distribution
from trainer.explanations import IntegratedGradients
from trainer.fitting import OBJECTIVE, fit_anew, make_reproducible, restored, score
from trainer.folds import Fold
from trainer.manifest import write_manifest
from trainer.metrics import average_precision, bootstrap
from trainer.operating_point import calibrate_and_choose
from trainer.preprocessing import categories
from trainer.search.settings import with_hyperparameters
from trainer.settings import Training
from trainer.tensorboard import log_hyperparameters, log_precision_recall

# Keys of `custom_config`, where other processes fit the network: the folder of their trainings, the digest of the code
TRAINING_FOLDER_KEY = "training_folder"
SOURCE_DIGEST_KEY = "source_digest"


def run_fn(fn_args: FnArgs) -> None:
    """TFX Trainer's entry point: load, build, fit, calibrate, decide, export."""
    settings = TrainerSettings.from_custom_config(fn_args.custom_config)
    training = settings.training
    if fn_args.hyperparameters:
        training = with_hyperparameters(training, fn_args.hyperparameters["values"])
    transform = tft.TFTransformOutput(fn_args.transform_output)
    train, evaluation = data.load_splits(
        fn_args.train_files, fn_args.eval_files, transform, settings.columns, settings.resources.data_bytes
    )

    fold = Fold(train, evaluation, categories(transform, settings.columns, settings.features))
    fitted = fit(fold, training, settings.distribution, fn_args)
    network, history = fitted.network, fitted.history
    scores, labels, weights = score(network, evaluation), evaluation.labels, evaluation.weights
    precision = average_precision(labels, scores, weights)
    interval = bootstrap(labels, scores, weights)["average_precision"]
    amounts, days = data.amounts_and_days(fn_args.eval_files, transform, settings.columns)
    calibration, decision = calibrate_and_choose(scores, evaluation, amounts, days, settings, training.seed)
    explanation = IntegratedGradients(network, settings.columns, settings.features, transform.raw_feature_spec())
    export.save(network, transform, settings.columns, calibration, decision, fn_args.serving_model_dir, explanation)
    write_manifest(
        fn_args.serving_model_dir,
        {
            **settings.manifest,
            "features": settings.features.model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
            "distribution": fitted.distribution,
            "parameters": network.count_params(),
            "calibration": calibration.to_manifest(),
            "decision": decision.to_manifest(),
            "threshold": decision.threshold,
            "explained_features": explanation.features,
            "explained_by": explanation.method,
            "epochs": len(history["loss"]),
            "eval_average_precision": precision,
            "eval_average_precision_lower": interval.lower,
            "eval_average_precision_upper": interval.upper,
            "columns": settings.columns.model_dump(mode="json"),
            "versions": {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__},
        },
    )
    log_hyperparameters(fn_args.model_run_dir, training, {OBJECTIVE: precision})
    log_precision_recall(fn_args.model_run_dir, labels, scores, weights)
    with open(os.path.join(fn_args.model_run_dir, "history.json"), "w") as file:
        json.dump(history, file)
    data.forget()
    if fitted.handoff:
        fitted.handoff.forget()


@dataclass(frozen=True)
class Fitted:
    """A fitted network, in float32 on one device.

    history: Keras' history. distribution: for the manifest, the devices that it was fitted on. handoff: where other
    processes fitted it, the handoff to them.
    """

    network: keras.Model
    history: dict[str, list[float]]
    distribution: dict[str, Any]
    handoff: TrainingHandoff | None = None


def fit(fold: Fold, training: Training, settings: Distribution, fn_args: FnArgs) -> Fitted:
    """Fits the network in this process, or has other processes fit it."""
    handoff = None
    if settings.strategy == "multi_worker":
        trainings = Path(fn_args.custom_config[TRAINING_FOLDER_KEY])
        handoff = TrainingHandoff.plan(trainings, fold, training, settings, fn_args.custom_config[SOURCE_DIGEST_KEY])
        result = handoff.result(settings.wait_minutes, worker.__name__)
        shutil.copytree(handoff.folder / LOGS, fn_args.model_run_dir, dirs_exist_ok=True)
        make_reproducible(training.seed)
        network, history = restored(fold, training, result.weights), result.history
        scaled, count = result.training, result.replicas
    else:
        devices = replicas.here(settings)
        scaled, count = settings.of(training, devices.count), devices.count
        network, history = fit_anew(fold, scaled, devices, task="Trainer", log_dir=fn_args.model_run_dir)
    distribution = {
        "strategy": settings.strategy,
        "replicas": count,
        "global_batch_size": scaled.batch_size,
        "learning_rate": scaled.learning_rate,
    }
    return Fitted(network, history, distribution, handoff)
