"""Examples of a split, transformed once: in memory where they fit the budget, else in a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer import examples, interruption
from trainer.arrays import Array
from trainer.columns import SECONDS_A_DAY, Columns, TimeKind
from trainer.dataset import StoredArray, Transactions
from trainer.features import LABEL, NUMERIC, WEIGHT, categorical_key
from trainer.preprocessing import TransformGraph, dense


def load(
    file_patterns: Iterable[str], transform: tft.TFTransformOutput, columns: Columns, memory_bytes: int = 1 << 30
) -> Transactions:
    """Reads tf.Example files and applies the transform graph in batches, once in a process for the same files.

    Transform does not materialize: applying its graph to a whole split takes a tenth of a second, writing and parsing
    the transformed rows takes ten. Inputs of more than `memory_bytes` go to a file in the folder for temporary files
    (TMPDIR); a model learns the same from them.
    """
    files = examples.matching(list(file_patterns))
    key = _Key(tuple((file, *_stamp(file)) for file in files), transform.transform_savedmodel_dir, columns)
    if key not in _kept:
        while len(_kept) > 1:  # training and eval are all that one run needs
            del _kept[next(iter(_kept))]
        (_kept[key],) = load_parts(files, transform, columns, memory_bytes)
    return _kept[key]


def forget() -> None:
    """Drops the splits that `load` keeps; the last reader of a run calls it."""
    _kept.clear()


def load_splits(
    train_files: Iterable[str],
    eval_files: Iterable[str],
    transform: tft.TFTransformOutput,
    columns: Columns,
    memory_bytes: int,
) -> tuple[Transactions, Transactions]:
    """Training and eval split, as `load` returns them, within one budget."""
    train = load(train_files, transform, columns, memory_bytes)
    return train, load(eval_files, transform, columns, memory_bytes - train.in_memory)


@dataclass(frozen=True)
class _Key:
    """The files, the transform graph and the columns that a loaded split was made from."""

    files: tuple[tuple[str, int, int], ...]
    transform: str
    columns: Columns = field(hash=False)


# The Tuner and the Trainer of a local run read the same rows in one process.
_kept: dict[_Key, Transactions] = {}


def _stamp(file: str) -> tuple[int, int]:
    status = tf.io.gfile.stat(file)
    return status.length, status.mtime_nsec


def amounts_and_days(
    file_patterns: Iterable[str], transform: tft.TFTransformOutput, columns: Columns
) -> tuple[Array | None, float]:
    """Raw amounts of a split in the order of `load`, and how many days it spans; the transformed rows have neither.

    Returns:
      Amounts, float32 [n], NaN where missing, or None where the data has none; and the days between the first and the
      last time, at least an hour, or 1 where the data has no times.
    """
    names = [name for name in (columns.amount, columns.time) if name]
    if not names:
        return None, 1.0
    spec = transform.raw_feature_spec()
    amounts: list[Array] = []
    first = last = None
    files = examples.matching(list(file_patterns))
    for batch in examples.parsed(files, {name: spec[name] for name in names}):
        if columns.amount:
            amounts.append(dense(batch[columns.amount], math.nan).numpy()[:, 0])
        if columns.time:
            times = _present(batch[columns.time])
            if len(times):
                first = times.min() if first is None else min(first, times.min())
                last = times.max() if last is None else max(last, times.max())
    days = 1.0 if first is None else _days(first, last, columns.time_kind)
    return np.concatenate(amounts) if columns.amount else None, max(days, 1 / 24)


def _present(column: Any) -> Array:
    """The values of a parsed column, [batch, 1] or sparse, that are not missing: [k]."""
    values: Array = column.values.numpy() if isinstance(column, tf.SparseTensor) else column.numpy()[:, 0]
    return values if values.dtype == object else values[np.isfinite(values)]


def _days(first: Any, last: Any, time_kind: TimeKind) -> float:
    if time_kind == "iso8601":
        # to the minute and without offsets, which is exact enough for a number of days
        start, end = (np.datetime64(time[:16].decode().replace(" ", "T").upper()) for time in (first, last))
        return float((end - start) / np.timedelta64(1, "D"))
    return float(last - first) / (SECONDS_A_DAY * (1000 if time_kind == "epoch_ms" else 1))


def load_parts(
    files: Sequence[str],
    transform: tft.TFTransformOutput,
    columns: Columns,
    memory_bytes: int,
    parts: Array | None = None,
    count: int = 1,
) -> list[Transactions]:
    """As `load`, but cut into `count` parts in one pass, and not kept.

    parts: int8 [n], the part that each row belongs to, in the order of the files, or -1 for none; without it all rows
    are in one part.
    """
    graph = TransformGraph(transform)
    # without autograph, which would look for control flow in the libraries for seconds
    transformed = tf.autograph.experimental.do_not_convert(graph.__call__)
    dataset = examples.parsed(files, transform.raw_feature_spec()).map(
        transformed, num_parallel_calls=2, deterministic=True
    )
    keys = [NUMERIC, *(categorical_key(column) for column in columns.categorical)]
    collected = [_Part(keys) for _ in range(count)]
    start = 0
    for batch in dataset.prefetch(1).as_numpy_iterator():
        interruption.check()
        rows = len(batch[LABEL])
        for number, part in enumerate(collected):
            part.append(batch, None if parts is None else parts[start : start + rows] == number)
        start += rows
    # Through a file in any case: the number of rows is known at the end only, and joining parts in memory takes twice
    # their size.
    fits = sum(part.nbytes for part in collected) <= memory_bytes
    return [part.finished(in_memory=fits) for part in collected]


class _Part:
    """Transformed rows, collected batch by batch for one `Transactions`."""

    def __init__(self, keys: Sequence[str]):
        self._keys = keys
        self._inputs: dict[str, StoredArray] = {}
        self._labels: list[Array] = []
        self._weights: list[Array] = []

    def append(self, batch: Mapping[str, Array], mask: Array | None) -> None:
        chosen = slice(None) if mask is None else mask
        self._labels.append(batch[LABEL][chosen, 0])
        self._weights.append(batch[WEIGHT][chosen, 0])
        for key in self._keys:
            if key not in self._inputs:
                self._inputs[key] = StoredArray(batch[key].shape[1:], batch[key].dtype)
            self._inputs[key].append(batch[key][chosen])

    @property
    def nbytes(self) -> int:
        return sum(rows.nbytes for rows in self._inputs.values())

    def finished(self, *, in_memory: bool) -> Transactions:
        return Transactions(
            inputs={key: rows[: len(rows)] if in_memory else rows for key, rows in self._inputs.items()},
            labels=np.concatenate(self._labels),
            weights=np.concatenate(self._weights),
        )
