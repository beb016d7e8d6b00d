"""The tutorial as one plain script, in Keras 3: `python -m benchmarks.tutorial_script FILE.csv FIGURES.json`.

pandas, an 80/20 split, rows to unit norm, a 29-10-5-1 network of 361 parameters fitted for 20 epochs with TensorBoard,
then a cross-validated search over layers and neurons. Writes the seconds of its steps and its figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

_STARTED = time.time()

# The imports are one of the steps that are timed.
import keras  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from sklearn.base import BaseEstimator, ClassifierMixin  # noqa: E402
from sklearn.model_selection import RandomizedSearchCV, train_test_split  # noqa: E402
from sklearn.preprocessing import Normalizer  # noqa: E402

_IMPORTED = time.time()

LABEL, DROPPED = "Class", "Time"
BATCH, EPOCHS, SEARCH_EPOCHS, FOLDS = 2000, 20, 5, 3
SPACE = {"hidden_layers": [1, 2, 3], "neurons": [20, 30]}
SEED = 7


def build(inputs: int, units: tuple[int, ...]) -> keras.Model:
    """Tanh layers and a sigmoid; compiled. 29 inputs and (10, 5) have 361 parameters."""
    layers = [keras.Input((inputs,))]
    layers += [keras.layers.Dense(width, activation="tanh") for width in units]
    model = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy", metrics=["accuracy"])
    return model


class Network(ClassifierMixin, BaseEstimator):
    """The network as an estimator for scikit-learn's searches."""

    def __init__(self, hidden_layers: int = 1, neurons: int = 20):
        self.hidden_layers = hidden_layers
        self.neurons = neurons

    def fit(self, features: NDArray[Any], labels: NDArray[Any]) -> Network:
        self.classes_ = np.unique(labels)
        self.model_ = build(features.shape[1], (self.neurons,) * self.hidden_layers)
        self.model_.fit(features, labels, batch_size=BATCH, epochs=SEARCH_EPOCHS, verbose=0)
        return self

    def predict(self, features: NDArray[Any]) -> NDArray[Any]:
        """Labels, [n]."""
        scores = self.model_.predict(features, batch_size=BATCH, verbose=0)[:, 0]
        predicted: NDArray[Any] = self.classes_[(scores > 0.5).astype(int)]
        return predicted


def run(data: Path, logs: Path) -> dict[str, Any]:
    """The whole script; seconds of each step, and its figures."""
    keras.utils.set_random_seed(SEED)
    marks = [_IMPORTED]
    transactions = pd.read_csv(data).drop(columns=DROPPED)
    features, labels = transactions.drop(columns=LABEL).to_numpy(), transactions[LABEL].to_numpy()
    parts = train_test_split(features, labels, test_size=0.2, random_state=SEED)
    train, test = (Normalizer().fit_transform(part) for part in parts[:2])
    train_labels, test_labels = parts[2:]
    marks.append(time.time())
    model = build(train.shape[1], (10, 5))
    history = model.fit(
        train, train_labels, batch_size=BATCH, epochs=EPOCHS, callbacks=[keras.callbacks.TensorBoard(logs)], verbose=0
    ).history
    marks.append(time.time())
    test_loss, test_accuracy = model.evaluate(test, test_labels, batch_size=BATCH, verbose=0)
    marks.append(time.time())
    combinations = len(SPACE["hidden_layers"]) * len(SPACE["neurons"])
    search = RandomizedSearchCV(
        Network(), SPACE, n_iter=combinations, cv=FOLDS, scoring="accuracy", random_state=SEED, error_score="raise"
    ).fit(train, train_labels)
    marks.append(time.time())
    names = ("reading", "training", "evaluation", "search")
    return {
        "started": _STARTED,
        "steps": {
            "imports": _IMPORTED - _STARTED,
            **{name: end - start for name, start, end in zip(names, marks, marks[1:], strict=False)},
        },
        "parameters": model.count_params(),
        "loss": history["loss"][-1],
        "accuracy": history["accuracy"][-1],
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        "found": search.best_params_,
        "found_accuracy": float(search.best_score_),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="FILE.csv")
    parser.add_argument("figures", type=Path, metavar="FIGURES.json", help="to write; TensorBoard's logs go beside it")
    arguments = parser.parse_args()
    figures = run(arguments.data, arguments.figures.with_suffix(".logs"))
    arguments.figures.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
