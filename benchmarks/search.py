"""The tutorial's search by this project's Tuner and by scikit-learn: `python -m benchmarks.search`.

RandomizedSearchCV over Keras' own wrapper (benchmarks/sklearn_search.py) against KerasTuner's grid as the Tuner runs it
(benchmarks/keras_tuner_search.py), with the same 6 combinations of layers and neurons, 5 epochs, batches of 2000, and
the same 3 stratified folds of 80 % of the rows. Whole processes are timed, and the contenders take turns to go first.

Prints a table, writes workspace/benchmarks/search.json and search.svg.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import Normalizer

from benchmarks import contest, pictures, processes, results
from benchmarks.results import Figures
from benchmarks.tables import Table, seconds, times

NAME = "search"
LABEL, DROPPED, FOLDS, SEED = "Class", "Time", 3, 7
SKLEARN, OURS = "RandomizedSearchCV", "this Tuner"
IN_PARALLEL = f"{OURS}, a worker a core"


def arrays(data: Path, path: Path) -> None:
    """Writes what all contenders read: rows of unit norm, labels, and the fold in which each row is validated."""
    transactions = pd.read_csv(data).drop(columns=DROPPED)
    labels = transactions.pop(LABEL).to_numpy()
    features = Normalizer().fit_transform(transactions.to_numpy()).astype(np.float32)
    features, _, labels, _ = train_test_split(features, labels, test_size=0.2, random_state=SEED)
    folds = np.zeros(len(labels), np.int64)
    for number, (_, validated) in enumerate(StratifiedKFold(FOLDS).split(features, labels)):
        folds[validated] = number
    np.savez(path, features=features, labels=labels, folds=folds)


def contenders() -> dict[str, tuple[str, ...]]:
    """Modules and their options."""
    cores = len(os.sched_getaffinity(0))
    return {
        SKLEARN: ("benchmarks.sklearn_search",),
        OURS: ("benchmarks.keras_tuner_search",),
        IN_PARALLEL: ("benchmarks.keras_tuner_search", "--workers", str(cores)),
    }


def one(command: tuple[str, ...], data: Path, folder: Path, log: Path) -> Figures:
    """One search as a process."""
    module, *options = command
    path = folder / "figures.json"
    finished = processes.run([sys.executable, "-m", module, data, path, *options], log)
    report = json.loads(path.read_text())
    return {
        "seconds": finished.seconds,
        "peak_gib": finished.peak_gib,
        "steps": report["steps"],
        "best_score": report["best_score"],
        "scores": {named(candidate["params"]): candidate["mean"] for candidate in report["candidates"]},
    }


def named(params: dict[str, Any]) -> str:
    """A combination in words, the same for all contenders."""
    layers = params.get("hidden_layers", params.get("layers"))
    neurons = params.get("neurons", params.get("units"))
    return f"{layers} of {neurons}"


def tables(report: Figures) -> list[Table]:
    medians = report["medians"]
    theirs = medians[SKLEARN]

    def row(title: str, of: Any, form: Any) -> list[str]:
        return [title, *(form(of(medians[name])) for name in medians)]

    rows = [
        row("seconds, whole process", lambda figures: figures["seconds"], seconds),
        row("seconds of the search alone", lambda figures: figures["steps"]["search"], seconds),
        row("times as fast", lambda figures: theirs["seconds"] / figures["seconds"], times),
        row("peak memory, GiB", lambda figures: figures["peak_gib"], lambda value: f"{value:.2f}"),
    ]
    rows += [
        row(
            f"average precision, {name} neurons",
            lambda figures, name=name: figures["scores"][name],
            lambda x: f"{x:.3f}",
        )
        for name in theirs["scores"]
    ]
    caption = f"The tutorial's search, cross-validated, on {report['settings']['data']}:"
    notes = [
        f"6 combinations, {FOLDS} stratified folds, 5 epochs, batches of 2000, the same folds for all; medians of "
        f"{max(map(len, report['repeats'].values()))} fresh processes each. Scores are those after the last epoch."
    ]
    return [Table(caption, ["", *medians], rows, notes)]


def main() -> None:
    arguments = contest.arguments(__doc__)
    log = contest.new_log(NAME)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as made:
        folder = Path(made)
        data, description = contest.transactions(arguments, folder, log)
        arrays(data, folder / "arrays.npz")
        commands = contenders()
        repeats: dict[str, list[Figures]] = {name: [] for name in commands}
        for repeat in range(arguments.repeats):
            for name in contest.order(list(commands), repeat):
                print(f"repeat {repeat + 1} of {arguments.repeats}: {name}", file=sys.stderr)
                repeats[name].append(one(commands[name], folder / "arrays.npz", folder, log))
    report = results.report(NAME, {"data": description, "folds": FOLDS}, repeats)
    medians = report["medians"]
    report["ratios"] = {
        f"{name} / {SKLEARN}": results.ratios(medians[name], medians[SKLEARN]) for name in (OURS, IN_PARALLEL)
    }
    whole = {name: {"whole process": medians[name]["seconds"]} for name in commands}
    contest.conclude(report, tables(report), pictures.bars("The tutorial's search", "seconds, medians", whole))


if __name__ == "__main__":
    main()
