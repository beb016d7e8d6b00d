"""Challengers: the tutorial's network and boosted trees on the run's own rows, for the new model to be compared with.

They are fitted to the Trainer's rows with the Trainer's weights, and calibrated on eval with the new model's decision
rule, so that only the models differ on the test split.
"""
# No `from __future__ import annotations`: TFX reads the annotations of a component function as objects.

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow_transform as tft
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils

from components import attempts
from components.challengers_settings import ChallengersSettings
from components.evaluation import scores
from components.evaluation.challengers import CHALLENGERS, FraudChallengers
from components.reading.settings import SPLITS
from trainer import data
from trainer import examples as example_files
from trainer.arrays import Array
from trainer.challengers import Fitted, fit_challengers, read
from trainer.columns import Columns
from trainer.custom_config import TrainerSettings
from trainer.decision.calibration import Calibration
from trainer.decision.rule import Decision
from trainer.features import LABEL, WEIGHT
from trainer.operating_point import calibrate_and_choose
from trainer.preprocessing import TransformGraph, categories

PARTS = ("features", "calibration", "costs", "decision", "eval_share", "resources")  # fields of `TrainerSettings`


@dataclass(frozen=True)
class Challenger:
    """A fitted challenger with its calibration and its decision rule."""

    fitted: Fitted
    calibration: Calibration
    decision: Decision

    def decide(self, inputs: Mapping[str, Array], amounts: Array | None) -> tuple[Array, ...]:
        """Score, probability and decision of n rows, [n] each."""
        raw = self.fitted.score(inputs)
        probabilities = self.calibration(raw)
        return raw, probabilities, self.decision.stops(probabilities, amounts)

    def to_json(self) -> dict[str, Any]:
        return {
            "settings": self.fitted.settings,
            "versions": self.fitted.versions,
            "rows": self.fitted.rows,
            "seconds": round(self.fitted.seconds, 3),
            "calibration": self.calibration.to_manifest(),
            "decision": self.decision.to_manifest(),
            "threshold": self.decision.threshold,
        }


def challenge(
    train_files: Sequence[str],
    eval_files: Sequence[str],
    transform: tft.TFTransformOutput,
    trainer_settings: TrainerSettings,
    settings: ChallengersSettings,
    seed: int,
) -> dict[str, Challenger]:
    """Fits and calibrates the challengers, and returns each by its name.

    Rows are read by `data.load_splits`, which keeps them for the Trainer.
    """
    columns = trainer_settings.columns
    train, evaluation = data.load_splits(
        train_files, eval_files, transform, columns, trainer_settings.resources.data_bytes
    )
    fitted = fit_challengers(
        settings.names,
        train,
        evaluation,
        categories(transform, columns, trainer_settings.features),
        rows=settings.rows,
        seed=seed,
    )
    amounts, days = data.amounts_and_days(eval_files, transform, columns)

    def with_decision(model: Fitted) -> Challenger:
        scores = model.scores(evaluation)
        return Challenger(model, *calibrate_and_choose(scores, evaluation, amounts, days, trainer_settings, seed))

    return {name: with_decision(model) for name, model in fitted.items()}


def score_files(
    files: Sequence[str],
    transform: tft.TFTransformOutput,
    columns: Columns,
    challengers: Mapping[str, Challenger],
    folder: str,
) -> None:
    """Writes `<name>.arrow` for each file: score, probability and decision of each challenger, row by row."""
    graph = TransformGraph(transform)
    names = [f"{name}.{output}" for name in challengers for output in scores.OUTPUTS]

    def batches(file: str) -> Iterator[list[Array]]:
        for features, amounts in read(file, transform, graph, columns):
            inputs = {key: rows for key, rows in features.items() if key not in (LABEL, WEIGHT)}
            yield [column for model in challengers.values() for column in model.decide(inputs, amounts)]

    for file in files:
        scores.write(folder, os.path.join(folder, f"{os.path.basename(file)}.arrow"), names, batches(file))


@component
def Challengers(
    examples: InputArtifact[standard_artifacts.Examples],
    transform_graph: InputArtifact[standard_artifacts.TransformGraph],
    challengers: OutputArtifact[FraudChallengers],
    custom_config: Parameter[str],
    settings: Parameter[str],
    seed: Parameter[int],
) -> None:
    """Fits the challengers, and scores the test split by them.

    custom_config: `PARTS` of a `TrainerSettings` by `to_custom_config`; settings: `names` and `rows` of a
    `ChallengersSettings`; both as JSON.
    """
    trainer_settings = TrainerSettings.from_custom_config(json.loads(custom_config))
    transform = tft.TFTransformOutput(transform_graph.uri)
    train, evaluation, test = (
        example_files.matching([io_utils.all_files_pattern(artifact_utils.get_split_uri([examples], split))])
        for split in SPLITS
    )
    by_name = challenge(
        train, evaluation, transform, trainer_settings, ChallengersSettings.model_validate_json(settings), seed
    )
    with attempts.clear(challengers.uri):
        score_files(test, transform, trainer_settings.columns, by_name, challengers.uri)
    with fileio.open(os.path.join(challengers.uri, CHALLENGERS), "w") as file:
        json.dump({name: challenger.to_json() for name, challenger in by_name.items()}, file, indent=2)
