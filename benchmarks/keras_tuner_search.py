"""The tutorial's search by this project's Tuner: `python -m benchmarks.keras_tuner_search ARRAYS.npz FIGURES.json`.

Every combination of 1 to 3 hidden layers of 20 or 30 neurons, 5 epochs, batches of 2000, on given folds. ARRAYS.npz
holds `features` float32 [n, width], `labels` [n] and `folds` [n], the fold in which a row is validated. Writes the
seconds of its steps and each combination's score as JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

_STARTED = time.time()

from trainer.imports import NOT_IN_A_SEARCH, lean  # noqa: E402

# The imports are one of the steps that are timed, so they happen as in a process of a search.
with lean(*NOT_IN_A_SEARCH):
    import numpy as np

    from trainer.arrays import Array
    from trainer.columns import Columns
    from trainer.custom_config import TrainerSettings
    from trainer.dataset import Transactions
    from trainer.features import NUMERIC
    from trainer.folds import Fold
    from trainer.search import worker
    from trainer.search.settings import SPACES, Tuning
    from trainer.search.tuner import Search
    from trainer.settings import Network, Training

_IMPORTED = time.time()


def settings(folds: int, workers: int) -> TrainerSettings:
    """The tutorial's network and space."""
    return TrainerSettings(
        columns=Columns(label="Class", numeric=("unused",)),
        training=Training(
            network=Network(units=(20,), dropout=0.0, weight_decay=0.0), batch_size=2000, initial_bias=False, seed=7
        ),
        tuning=Tuning(
            oracle="grid",
            space=SPACES["tutorial"],
            trials=6,
            epochs=5,
            folds=folds,
            workers=workers,
            prune_trials=False,
        ),
    )


def run(data: Path, workers: int) -> dict[str, Any]:
    """The whole search; seconds of each step, and its figures."""
    with np.load(data) as arrays:
        features, labels, folds = (arrays[name] for name in ("features", "labels", "folds"))
    labels = labels.astype(np.float32)

    def rows(chosen: Array) -> Transactions:
        return Transactions({NUMERIC: features[chosen]}, labels[chosen], np.ones(int(chosen.sum()), np.float32))

    numbers = range(int(folds.max()) + 1)
    cut = [Fold(rows(folds != number), rows(folds == number), {}) for number in numbers]
    read = time.time()
    with tempfile.TemporaryDirectory() as folder:
        search = Search(settings(len(cut), workers), cut, folder, worker.__name__)
        search.search()
        record = search.record()
    ended = time.time()
    best = record.trial(record.best)
    return {
        "started": _STARTED,
        "steps": {"imports": _IMPORTED - _STARTED, "reading": read - _IMPORTED, "search": ended - read},
        "workers": workers,
        # after the last epoch, as scikit-learn scores; the Tuner itself scores by the best epoch
        "candidates": [{"params": trial.values, "mean": trial.curve[-1]} for trial in record.trials],
        "best_params": best.values,
        "best_score": max(trial.curve[-1] for trial in record.trials),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="ARRAYS.npz")
    parser.add_argument("figures", type=Path, metavar="FIGURES.json", help="to write")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes, 1")
    arguments = parser.parse_args()
    arguments.figures.write_text(json.dumps(run(arguments.data, arguments.workers), indent=2))


if __name__ == "__main__":
    main()
