"""Rows to fit a small network on, and its settings; nothing here imports TFX, so that importing it takes a moment."""

from __future__ import annotations

import numpy as np

from trainer.dataset import Transactions
from trainer.features import NUMERIC, categorical_key
from trainer.folds import Fold
from trainer.settings import Network, Training

SMALL = Training(
    network=Network(units=(4, 3), dropout=0.0), learning_rate=0.02, batch_size=32, epochs=3, patience=None, seed=5
)


def separable(count: int, seed: int, noise: float = 1.0) -> Transactions:
    """Numbers [count, 3], of which one shows fraud, with some noise; a fifth is fraud, and weights are 1 and 3."""
    generator = np.random.default_rng(seed)
    numeric = generator.normal(size=(count, 3)).astype(np.float32)
    labels = (numeric[:, 0] + noise * generator.normal(size=count) > 0.85 * np.hypot(1, noise)).astype(np.float32)
    return Transactions({NUMERIC: numeric}, labels, np.where(labels > 0, 1, 3).astype(np.float32))


def with_cards(rows: Transactions) -> Transactions:
    """The rows with a category that shows some of the frauds."""
    cards = (np.arange(len(rows)) % 3 + (rows.labels > 0))[:, None].astype(np.int64)
    return Transactions({**rows.inputs, categorical_key("card"): cards}, rows.labels, rows.weights)


# 401: the last batch of an epoch is cut into uneven parts
FOLD = Fold(with_cards(separable(401, seed=1)), with_cards(separable(200, seed=2)), {"card": 4})


def apart(one: dict[str, list[float]], other: dict[str, list[float]]) -> float:
    """The largest difference between two histories."""
    assert one.keys() == other.keys()
    return max(float(np.abs(np.subtract(one[name], other[name])).max()) for name in one)
