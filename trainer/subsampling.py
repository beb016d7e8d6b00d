"""A part of the rows, for computations that need not see tens of millions of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.arrays import Array

if TYPE_CHECKING:
    from trainer.dataset import Transactions  # which loads TensorFlow

_AT_ONCE = 65_536


def subsample(labels: Array, weights: Array, rows: int) -> tuple[Array, Array]:
    """Which of more than `rows` rows to keep, bool [n], and the weights of those, float32 [rows].

    All frauds stay as long as they are at most half of `rows`. Of each class every k-th row is kept, and the rows that
    are kept weigh as much as the whole class: all times are represented, and nothing is random.

    Args:
      labels, weights: float32 [n].
    """
    fraud = labels > 0
    frauds = int(np.count_nonzero(fraud))
    legitimate = len(fraud) - frauds
    kept = np.zeros(len(fraud), bool)
    factors = {}
    fraud_rows = max(min(frauds, rows // 2), rows - legitimate)
    for of_fraud, count, most in ((True, frauds, fraud_rows), (False, legitimate, rows - fraud_rows)):
        numbers = np.flatnonzero(fraud == of_fraud)
        sample = numbers[np.arange(most) * count // most]
        kept[sample] = True
        total, part = (weights[chosen].sum(dtype=np.float64) for chosen in (numbers, sample))
        factors[of_fraud] = total / part if most else 1.0
    heavier = weights[kept] * np.where(fraud[kept], factors[True], factors[False])
    return kept, heavier.astype(np.float32)


def subsampled(transactions: Transactions, rows: int) -> Transactions:
    """At most `rows` of the transactions, in their order, see `subsample`."""
    if len(transactions) <= rows:
        return transactions
    from trainer.dataset import StoredArray, Transactions  # `init` needs `subsample` and no TensorFlow

    kept, weights = subsample(transactions.labels, transactions.weights, rows)
    inputs = {key: StoredArray(values.shape[1:], values.dtype) for key, values in transactions.inputs.items()}
    for number, part in enumerate(transactions.slices(_AT_ONCE)):
        mask = kept[number * _AT_ONCE :][:_AT_ONCE]
        for key, values in part.items():
            inputs[key].append(values[mask])
    return Transactions(inputs, transactions.labels[kept], weights)
