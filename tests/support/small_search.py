"""A search over small networks on rows made by hand, in this process or in another."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.small_fold import separable
from trainer.columns import Columns
from trainer.custom_config import TrainerSettings
from trainer.folds import Fold
from trainer.search import worker
from trainer.search.settings import Range, Space, Tuning
from trainer.search.trials import Record, Trial
from trainer.search.tuner import Search
from trainer.settings import Network, Training

SPACE = Space(layers=(1, 2), units=(4, 8), learning_rate=Range(low=0.001, high=0.1))
OWN = {"layers": 1, "units": 4, "learning_rate": 0.03}  # what `search_settings` trains without a search


def search_settings(training: dict[str, Any] | None = None, **tuning: Any) -> TrainerSettings:
    """Settings for three trials of two epochs on two folds, with changes."""
    return TrainerSettings(
        columns=Columns(label="y", numeric=("a", "b", "c")),
        training=Training(
            **{"network": Network(units=(4,), dropout=0.2), "learning_rate": 0.03, "batch_size": 100} | (training or {})
        ),
        tuning=Tuning(**{"space": SPACE, "trials": 3, "epochs": 2, "folds": 2, "prune_trials": False} | tuning),
    )


@functools.cache
def rows(count: int) -> list[Fold]:
    """Folds of unrelated rows, so that their scores differ."""
    return [Fold(separable(300, seed=number), separable(150, seed=number + 50), {}) for number in range(count)]


def search(folder: str, settings: TrainerSettings) -> Search:
    return Search(settings, rows(settings.tuning.folds or 1), folder, worker.__name__)


@functools.cache
def unbroken() -> Record:
    """The record of the search of `search_settings()`, in one process and without an interruption."""
    with tempfile.TemporaryDirectory() as folder:
        whole = search(folder, search_settings())
        whole.search()
        return whole.record()


def outcome(record: Record) -> list[Trial]:
    """The trials without their times."""
    return [dataclasses.replace(trial, started=0.0, ended=0.0) for trial in record.trials]


@contextlib.contextmanager
def heard(listener: Callable[[str], None]) -> Iterator[None]:
    """Calls the function with each line of progress."""
    handler = logging.Handler()
    handler.emit = lambda record: listener(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("fraud_pipeline.progress")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


if __name__ == "__main__":
    # FOLDER WORKERS: the search of `search_settings()`, its progress line by line
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    search(sys.argv[1], search_settings(workers=int(sys.argv[2]))).search()
