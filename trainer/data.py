"""Examples of a split, transformed once: in memory where they fit the budget, else in a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer import examples
from trainer.columns import Columns
from trainer.preprocessing import LABEL, NUMERIC, WEIGHT, TransformGraph, categorical_key

# Shuffling: chunks of this size are drawn in a random order, and so many of them are mixed row by row.
CHUNK_BYTES = 2 << 20
CHUNKS_A_BLOCK = 16


class Rows(Protocol):
    """What an array and a `StoredArray` have in common: rows by a slice."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, rows: slice, /) -> np.ndarray: ...


class StoredArray:
    """Rows of equal shape in an unnamed file, which goes away with the process; reading copies just those asked for.

    Not a memory map: its pages would count as the process's memory.
    """

    def __init__(self, row_shape: tuple[int, ...], dtype: np.dtype):
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._row_shape = row_shape
        self._rows = 0
        self.dtype = dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (self._rows, *self._row_shape)

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self._row_shape)) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._rows * self._row_bytes

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self._rows += len(rows)

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        start, stop, step = rows.indices(self._rows)
        if step != 1:
            raise ValueError(f"a stored array is read in steps of 1, got {step}")
        self._file.flush()
        count = max(0, stop - start)
        wanted = count * self._row_bytes
        data = bytearray(wanted)
        view, position = memoryview(data), start * self._row_bytes
        while view:  # a single call reads 2 GiB at most
            got = os.preadv(self._file.fileno(), [view], position)
            if not got:
                raise EOFError(
                    f"a temporary file ends after {position:,} of {start * self._row_bytes + wanted:,} bytes"
                )
            view, position = view[got:], position + got
        return np.frombuffer(data, self.dtype).reshape(count, *self._row_shape)


@dataclass(frozen=True)
class Transactions:
    """A split as the network sees it.

    inputs: `numeric` float32 [n, width] and `category_<column>` int64 [n, 1]; labels, weights: float32 [n].
    """

    inputs: Mapping[str, Rows]
    labels: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def fraud_rate(self) -> float:
        """Weighted share of fraud: the prevalence where the rows come from, not in the sample."""
        return float(np.sum(self.weights * self.labels, dtype=np.float64) / np.sum(self.weights, dtype=np.float64))

    @property
    def row_bytes(self) -> int:
        """Bytes of one row's inputs."""
        return sum(int(np.prod(rows.shape[1:])) * rows.dtype.itemsize for rows in self.inputs.values())

    @property
    def in_memory(self) -> int:
        """Bytes of inputs that are held in memory."""
        return sum(rows.nbytes for rows in self.inputs.values() if isinstance(rows, np.ndarray))

    def slices(self, rows: int) -> Iterator[dict[str, np.ndarray]]:
        """Inputs in order, `rows` at a time."""
        for start in range(0, len(self), rows):
            yield {key: value[start : start + rows] for key, value in self.inputs.items()}


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
        _kept[key] = _read(files, transform, columns, memory_bytes)
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


def _read(files: Sequence[str], transform: tft.TFTransformOutput, columns: Columns, memory_bytes: int) -> Transactions:
    graph = TransformGraph(transform)
    keys = [NUMERIC, *(categorical_key(column) for column in columns.categorical)]
    # without autograph, which would look for control flow in the libraries for seconds
    transformed = tf.autograph.experimental.do_not_convert(graph.__call__)
    dataset = examples.parsed(files, transform.raw_feature_spec()).map(
        transformed, num_parallel_calls=2, deterministic=True
    )
    labels, weights = [], []
    inputs: dict[str, StoredArray] = {}
    for batch in dataset.prefetch(1).as_numpy_iterator():
        labels.append(batch[LABEL][:, 0])
        weights.append(batch[WEIGHT][:, 0])
        for key in keys:
            if key not in inputs:
                inputs[key] = StoredArray(batch[key].shape[1:], batch[key].dtype)
            inputs[key].append(batch[key])
    # By way of a file in any case: how many rows there are is known at the end, and parts that are put together in
    # memory need it twice.
    fits = sum(rows.nbytes for rows in inputs.values()) <= memory_bytes
    return Transactions(
        inputs={key: rows[: len(rows)] if fits else rows for key, rows in inputs.items()},
        labels=np.concatenate(labels),
        weights=np.concatenate(weights),
    )


def steps(transactions: Transactions, batch_size: int) -> int:
    """Batches of an epoch."""
    return -(-len(transactions) // batch_size)


def batches(transactions: Transactions, batch_size: int, seed: int) -> tf.data.Dataset:
    """(inputs, label, weight) in batches, epoch after epoch without end; the orders depend on `seed` alone.

    Every epoch has each row once, and its last batch may be shorter. Chunks of the rows come in a random order, and
    those of a block are mixed row by row, so that shuffling needs the memory of a block whatever the size of the split;
    a split of up to a block is shuffled as a whole. The order is the same whether inputs are in memory or in a file.
    """
    rows = len(transactions)
    chunk = max(1, CHUNK_BYTES // max(1, transactions.row_bytes))
    chunks = -(-rows // chunk)
    blocks = -(-chunks // CHUNKS_A_BLOCK)
    read = _reader(transactions)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.range(chunks, dtype=tf.int64), [seed, number])

        def block(index: tf.Tensor) -> Any:
            drawn = order[index * CHUNKS_A_BLOCK : (index + 1) * CHUNKS_A_BLOCK]
            numbers = tf.reshape(drawn[:, None] * chunk + tf.range(chunk, dtype=tf.int64), [-1])
            numbers = tf.boolean_mask(numbers, numbers < rows)
            # 1: another draw than that of the chunks, for every block of every epoch
            mixed = tf.random.experimental.stateless_shuffle(
                tf.range(tf.size(numbers)), [seed, 1 + number * blocks + index]
            )
            return read(numbers, mixed)

        # one block at a time and one ahead: each is under way as three copies
        mixed_blocks = tf.data.Dataset.range(blocks).map(tf.autograph.experimental.do_not_convert(block)).prefetch(1)
        return mixed_blocks.rebatch(batch_size)

    options = tf.data.Options()
    # Nothing is left to tune, and the model it keeps grows with the epochs: after twenty, ending it takes 3 s.
    options.autotune.enabled = False
    epochs = tf.data.Dataset.range(1 << 31)
    return epochs.flat_map(tf.autograph.experimental.do_not_convert(epoch)).prefetch(4).with_options(options)


def _reader(transactions: Transactions) -> Callable[[tf.Tensor, tf.Tensor], Any]:
    """A function of row numbers [k], rising within each chunk, and of an order of them [k], that gives those rows."""
    labels = transactions.labels[:, None].astype(np.float32)
    weights = (transactions.weights / transactions.weights.mean(dtype=np.float64)).astype(np.float32)
    columns = (dict(transactions.inputs), labels, weights)
    flat = tf.nest.flatten(columns)

    def slices(numbers: np.ndarray) -> list[np.ndarray]:
        breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
        runs = [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(numbers, breaks)]
        return [np.concatenate([column[run] for run in runs]) for column in flat]

    def read(numbers: tf.Tensor, mixed: tf.Tensor) -> Any:
        # Python once for a block: TensorFlow would want a copy of all that is in memory
        found = tf.numpy_function(slices, [numbers], [tf.as_dtype(column.dtype) for column in flat], stateful=False)
        for tensor, column in zip(found, flat, strict=True):
            tensor.set_shape((None, *column.shape[1:]))
        return tf.nest.pack_sequence_as(columns, [tf.gather(tensor, mixed) for tensor in found])

    return read
