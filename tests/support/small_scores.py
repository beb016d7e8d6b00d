"""Scores made by hand, in the files that the Evaluator writes."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.evaluation.scores import AMOUNT, CANDIDATE, DAY_SECONDS, FOLDER, LABEL, TIME, WEIGHT, Scores, write


def written(folder: Path, *files: Mapping[str, Any]) -> Scores:
    """Of an evaluation's folder: `part-0.gz` and so on, with the columns of each."""
    (folder / FOLDER).mkdir()
    for number, columns in enumerate(files):
        rows = [np.asarray(values, np.float64) for values in columns.values()]
        write(str(folder / FOLDER / f"part-{number}.gz.arrow"), list(columns), [rows])
    return Scores.open(str(folder))


def table(columns: Mapping[str, Any]) -> Scores:
    """As `written`, in one file that goes with it."""
    folder = tempfile.mkdtemp()
    scores = written(Path(folder), columns)
    weakref.finalize(scores, shutil.rmtree, folder)
    return scores


def of_model(name: str, probabilities: Any, decision: Any = None) -> dict[str, Any]:
    """Columns of a model whose scores are probabilities, and which stops from 0.5 on unless it is told."""
    probabilities = np.asarray(probabilities, np.float32)
    return {
        f"{name}.score": probabilities,
        f"{name}.probability": probabilities,
        f"{name}.decision": probabilities >= 0.5 if decision is None else decision,
    }


def drawn(rows: int, frauds: int, models: Sequence[str] = (CANDIDATE,)) -> Scores:
    """Of two days, by models that mostly tell the frauds, which come first, from the others."""
    random = np.random.default_rng(1)
    labels = np.arange(rows) < frauds
    columns = {LABEL: labels, WEIGHT: np.where(labels, 1.2, 11.5)}
    for name in models:
        columns |= of_model(name, 1 / (1 + np.exp(-random.normal(np.where(labels, 1, -6), 2))))
    return table({**columns, AMOUNT: random.lognormal(4, 1.5, rows), TIME: np.linspace(0, 2 * DAY_SECONDS, rows)})
