"""TFX Tuner's entry point."""

from __future__ import annotations

import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from trainer import data, examples
from trainer.custom_config import TrainerSettings
from trainer.folds import Blocks, Fold, graph_folder
from trainer.preprocessing import categories
from trainer.search import worker
from trainer.search.tuner import Search

SEARCH_FOLDER_KEY = "search_folder"  # key of `custom_config`: the folder of the search and of its folds


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """TFX Tuner's entry point: the config's search, judged on the folds in the search's folder, or on eval."""
    settings = TrainerSettings.from_custom_config(fn_args.custom_config)
    folder = fn_args.custom_config.get(SEARCH_FOLDER_KEY) or fn_args.working_dir
    folds = cross_validation(fn_args, settings, folder) if settings.tuning.folds else [_split(fn_args, settings)]
    return TunerFnResult(tuner=Search(settings, folds, folder, worker.__name__), fit_kwargs={})


def _split(fn_args: FnArgs, settings: TrainerSettings) -> Fold:
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    train, evaluation = data.load_splits(
        fn_args.train_files, fn_args.eval_files, transform, settings.columns, settings.resources.data_bytes
    )
    return Fold(train, evaluation, categories(transform, settings.columns, settings.features))


def cross_validation(fn_args: FnArgs, settings: TrainerSettings, folder: str) -> list[Fold]:
    """The folds of the training split, each preprocessed by the graph that was made from its own training rows."""
    blocks = Blocks.load(folder)
    files = examples.matching(fn_args.train_files)
    if list(blocks.files) != files:
        raise ValueError(f"{folder} has folds of other files: expected {files}, got {list(blocks.files)}")
    folds = []
    left = settings.resources.data_bytes
    for number in range(blocks.folds):
        transform = tft.TFTransformOutput(graph_folder(folder, number))
        train, validation = data.load_parts(files, transform, settings.columns, left, blocks.parts(number), count=2)
        left -= train.in_memory + validation.in_memory
        folds.append(Fold(train, validation, categories(transform, settings.columns, settings.features)))
    return folds
