"""Scores made by hand, in the files that the Evaluator writes."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from components.evaluation.scores import AMOUNT, CANDIDATE, FOLDER, LABEL, TIME, WEIGHT, Scores, write
from trainer.arrays import Array
from trainer.columns import SECONDS_A_DAY
from trainer.decision.costs import Costs


def written(folder: Path, *files: Mapping[str, Any]) -> Scores:
    """Scores in the folder of an evaluation, with a file of these columns for each mapping."""
    (folder / FOLDER).mkdir()
    for number, columns in enumerate(files):
        rows = [np.asarray(values, np.float64) for values in columns.values()]
        write(str(folder), str(folder / FOLDER / f"part-{number}.gz.arrow"), list(columns), [rows])
    return Scores.open(str(folder))


def table(columns: Mapping[str, Any]) -> Scores:
    """Scores with these columns in one file, which is deleted with them."""
    folder = tempfile.mkdtemp()
    scores = written(Path(folder), columns)
    weakref.finalize(scores, shutil.rmtree, folder)
    return scores


def of_model(name: str, probabilities: Any, decision: Any = None) -> dict[str, Any]:
    """Columns of a model whose scores are probabilities, and which stops from 0.5 on by default."""
    probabilities = np.asarray(probabilities, np.float32)
    return {
        f"{name}.score": probabilities,
        f"{name}.probability": probabilities,
        f"{name}.decision": probabilities >= 0.5 if decision is None else decision,
    }


def scores_of(labels: Any, probabilities: Any, decision: Any = None, **columns: Any) -> Scores:
    """Scores of a candidate; each row has the weight 1 by default."""
    usual = {LABEL: labels, WEIGHT: np.ones(len(labels))}
    return table({**usual, **columns, **of_model(CANDIDATE, probabilities, decision)})


def drawn(rows: int, frauds: int, models: Sequence[str] = (CANDIDATE,)) -> Scores:
    """Scores of two days, by models that mostly recognize the frauds, which come first."""
    random = np.random.default_rng(1)
    labels = np.arange(rows) < frauds
    columns = {LABEL: labels, WEIGHT: np.where(labels, 1.2, 11.5)}
    for name in models:
        columns |= of_model(name, 1 / (1 + np.exp(-random.normal(np.where(labels, 1, -6), 2))))
    return table({**columns, AMOUNT: random.lognormal(4, 1.5, rows), TIME: np.linspace(0, 2 * SECONDS_A_DAY, rows)})


@st.composite
def transactions(draw: st.DrawFn) -> dict[str, Array]:
    """Columns `labels`, `probabilities`, `amount` and `weight` of so few rows that every threshold can be tried.

    Among the probabilities are equal ones, among the amounts missing ones and refunds.
    """
    rows = draw(st.integers(1, 30))
    each = {
        "labels": st.booleans(),
        "probabilities": st.sampled_from([0.0, 1e-6, 0.001, 0.0012345678, 0.03, 0.3, 0.99999994, 1.0]),
        "amount": st.sampled_from([0.0, 0.5, 7.25, 80.0, 1234.5, float("nan"), -30.0]),
        "weight": st.sampled_from([1.0, 1.25, 11.5]),
    }
    return {name: np.array(draw(st.lists(kind, min_size=rows, max_size=rows))) for name, kind in each.items()}


some_costs = st.builds(
    Costs,
    missed_fraud=st.sampled_from([0.0, 1.0, 2.0]),
    review=st.sampled_from([0.0, 5.0, 1000.0]),
    declined=st.sampled_from([0.0, 0.02, 1.0]),
    caught_fraud=st.sampled_from([0.0, 50.0]),
)
