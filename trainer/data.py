"""Examples of a split, transformed once: in memory where they fit the budget, else in a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer import examples
from trainer.arrays import Array
from trainer.columns import Columns, TimeFormat
from trainer.dataset import StoredArray, Transactions
from trainer.features import LABEL, NUMERIC, WEIGHT, categorical_key
from trainer.preprocessing import SECONDS_A_DAY, TransformGraph, dense


def load(
    file_patterns: Iterable[str], transform: tft.TFTransformOutput, columns: Columns, memory_bytes: int = 1 << 30
) -> Transactions:
    """Reads tf.Example files and applies the transform graph in batches, once in a process for the same files.

    Transform does not materialize: applying its graph to a whole split takes a tenth of a second, writing and parsing
    what it gave takes ten. Inputs of more than `memory_bytes` go to a file in the folder for temporary files (TMPDIR);
    what a model learns from them is the same.
    """
    files = examples.matching(list(file_patterns))
    key = _Key(tuple((file, *_stamp(file)) for file in files), transform.transform_savedmodel_dir, columns)
    if key not in _kept:
        while len(_kept) > 1:  # training and eval are all that one run needs
            del _kept[next(iter(_kept))]
        (_kept[key],) = load_parts(files, transform, columns, memory_bytes)
    return _kept[key]


def forget() -> None:
    """Lets go of what `load` keeps; the last reader of a run calls it."""
    _kept.clear()


def load_splits(
    train_files: Iterable[str],
    eval_files: Iterable[str],
    transform: tft.TFTransformOutput,
    columns: Columns,
    memory_bytes: int,
) -> tuple[Transactions, Transactions]:
    """Training and eval split, as `load` gives them, within one budget."""
    train = load(train_files, transform, columns, memory_bytes)
    return train, load(eval_files, transform, columns, memory_bytes - train.in_memory)


@dataclass(frozen=True)
class _Key:
    """What a loaded split was made from."""

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
    """Raw amounts of a split in the order of `load`, float32 [n], NaN where missing; and how many days it spans.

    Neither is in the transformed rows. No amounts where the data has none. Days: between the first and the last time,
    at least an hour; 1 where there are no times.
    """
    wanted = [name for name in (columns.amount, columns.time) if name]
    if not wanted:
        return None, 1.0
    spec = transform.raw_feature_spec()
    amounts: list[Array] = []
    first = last = None
    files = examples.matching(list(file_patterns))
    for batch in examples.parsed(files, {name: spec[name] for name in wanted}):
        if columns.amount:
            amounts.append(dense(batch[columns.amount], math.nan).numpy()[:, 0])
        if columns.time:
            times = _present(batch[columns.time])
            if len(times):
                first = times.min() if first is None else min(first, times.min())
                last = times.max() if last is None else max(last, times.max())
    days = 1.0 if first is None else _days(first, last, columns.time_format)
    return np.concatenate(amounts) if columns.amount else None, max(days, 1 / 24)


def _present(column: Any) -> Array:
    """Values that are not missing, of a parsed column: [batch, 1], or sparse."""
    values: Array = column.values.numpy() if isinstance(column, tf.SparseTensor) else column.numpy()[:, 0]
    return values if values.dtype == object else values[np.isfinite(values)]


def _days(first: Any, last: Any, time_format: TimeFormat) -> float:
    if time_format == "iso8601":
        # to the minute, and as if all had the same offset: it is days that are counted
        start, end = (np.datetime64(time[:16].decode().replace(" ", "T").upper()) for time in (first, last))
        return float((end - start) / np.timedelta64(1, "D"))
    return float(last - first) / (SECONDS_A_DAY * (1000 if time_format == "epoch_ms" else 1))


def load_parts(
    files: Sequence[str],
    transform: tft.TFTransformOutput,
    columns: Columns,
    memory_bytes: int,
    parts: Array | None = None,
    count: int = 1,
) -> list[Transactions]:
    """As `load`, but cut into so many parts in one reading, and not kept.

    parts: of each row in the order of the files, which part it is in, or -1 for none, int8 [n]; all in one without it.
    """
    graph = TransformGraph(transform)
    # without autograph, which would look for control flow in the libraries for seconds
    transformed = tf.autograph.experimental.do_not_convert(graph.__call__)
    dataset = examples.parsed(files, transform.raw_feature_spec()).map(
        transformed, num_parallel_calls=2, deterministic=True
    )
    under_way = [_Part([NUMERIC, *(categorical_key(column) for column in columns.categorical)]) for _ in range(count)]
    start = 0
    for batch in dataset.prefetch(1).as_numpy_iterator():
        rows = len(batch[LABEL])
        for number, part in enumerate(under_way):
            part.append(batch, None if parts is None else parts[start : start + rows] == number)
        start += rows
    # By way of a file in any case: how many rows there are is known at the end, and parts that are put together in
    # memory need it twice.
    fits = sum(part.nbytes for part in under_way) <= memory_bytes
    return [part.finished(in_memory=fits) for part in under_way]


class _Part:
    """Transformed rows on their way into one `Transactions`."""

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
