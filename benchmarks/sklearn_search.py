"""The tutorial's search by scikit-learn, in Keras 3: `python -m benchmarks.sklearn_search ARRAYS.npz FIGURES.json`.

RandomizedSearchCV over Keras's own wrapper: 1 to 3 tanh layers of 20 or 30 neurons, 5 epochs in batches of 2,000,
3 folds, scored by average precision. Writes the seconds of its steps and every candidate's scores as JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

_STARTED = time.time()

# The imports are one of the steps that are timed.
import keras  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from sklearn.model_selection import PredefinedSplit, RandomizedSearchCV  # noqa: E402

_IMPORTED = time.time()

BATCH, EPOCHS, FOLDS = 2000, 5, 3
SPACE = {"hidden_layers": [1, 2, 3], "neurons": [20, 30]}
SEED = 7


def build(X: NDArray[Any], y: NDArray[Any], hidden_layers: int, neurons: int) -> keras.Model:
    """Tanh layers and a sigmoid; compiled. The wrapper fixes the first two names."""
    layers = [keras.Input((X.shape[1],))]
    layers += [keras.layers.Dense(neurons, activation="tanh") for _ in range(hidden_layers)]
    model = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy")
    return model


class Classifier(keras.wrappers.SKLearnClassifier):
    """Keras's wrapper for one sigmoid output, with the scores that average precision ranks."""

    def _process_target(self, y: NDArray[Any], reset: bool = False) -> NDArray[Any]:
        # The wrapper makes the labels one-hot, [n, 2], which the loss of one sigmoid refuses.
        if reset:
            self.classes_ = np.unique(y)
        return y

    def decision_function(self, X: NDArray[Any]) -> NDArray[Any]:
        """Probability of fraud, [n]."""
        # Keras 3.12 has no such method; that of 3.15 predicts in batches of 32 and prints a progress bar.
        scores: NDArray[Any] = self.model_.predict(X, batch_size=BATCH, verbose=0)[:, 0]
        return scores


def run(arrays: Path, jobs: int) -> dict[str, Any]:
    """The whole search; seconds of each step, and every candidate's scores."""
    keras.utils.set_random_seed(SEED)
    marks = [_IMPORTED]
    with np.load(arrays) as stored:
        features, labels = stored["features"], stored["labels"]
        folds = PredefinedSplit(stored["folds"]) if "folds" in stored else FOLDS
    marks.append(time.time())
    combinations = [dict(zip(SPACE, values, strict=True)) for values in itertools.product(*SPACE.values())]
    search = RandomizedSearchCV(
        Classifier(build),
        {"model_kwargs": combinations},
        n_iter=len(combinations),
        cv=folds,
        scoring="average_precision",
        refit=False,
        n_jobs=jobs,
        random_state=SEED,
        error_score="raise",
    )
    # Not as the wrapper's fit_kwargs, which get lost in the clones that the search fits.
    search.fit(features, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    marks.append(time.time())
    cv_results = search.cv_results_
    scores = np.stack([cv_results[f"split{fold}_test_score"] for fold in range(search.n_splits_)], axis=1)
    return {
        "started": _STARTED,
        "steps": {
            "imports": _IMPORTED - _STARTED,
            **{name: end - start for name, start, end in zip(("reading", "search"), marks, marks[1:], strict=False)},
        },
        "wrapper": {"name": "keras.wrappers.SKLearnClassifier", "version": keras.__version__},
        "jobs": jobs,
        "candidates": [
            {"params": params["model_kwargs"], "mean": float(mean), "std": float(std), "scores": each.tolist()}
            for params, mean, std, each in zip(
                cv_results["params"], cv_results["mean_test_score"], cv_results["std_test_score"], scores, strict=True
            )
        ],
        "best_params": search.best_params_["model_kwargs"],
        "best_score": float(search.best_score_),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "arrays", type=Path, metavar="ARRAYS.npz", help="features [n, 29], labels [n] and, if any, folds [n]"
    )
    parser.add_argument("figures", type=Path, metavar="FIGURES.json", help="to write")
    parser.add_argument("--jobs", type=int, default=1, help="scikit-learn's n_jobs; above 1, weights are not seeded")
    arguments = parser.parse_args()
    figures = run(arguments.arrays, arguments.jobs)
    arguments.figures.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
