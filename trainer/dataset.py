"""Transformed transactions, in memory or in a file, and their batches."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Protocol

import numpy as np
import tensorflow as tf

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


def steps(transactions: Transactions, batch_size: int) -> int:
    """Batches of an epoch."""
    return -(-len(transactions) // batch_size)


def batches(
    transactions: Transactions, batch_size: int, seed: int, first_epoch: int = 0, fraud_factor: float = 1.0
) -> tf.data.Dataset:
    """(inputs, label, weight) in batches, epoch after epoch without end; the orders depend on `seed` alone.

    A fraud weighs `fraud_factor` times its weight, and all weights are scaled to a mean of 1.

    Every epoch has each row once, and its last batch may be shorter. Chunks of the rows come in a random order, and
    those of a block are mixed row by row, so that shuffling needs the memory of a block whatever the size of the split;
    a split of up to a block is shuffled as a whole. The order is the same whether inputs are in memory or in a file.
    """
    rows = len(transactions)
    chunk = max(1, CHUNK_BYTES // max(1, transactions.row_bytes))
    chunks = -(-rows // chunk)
    blocks = -(-chunks // CHUNKS_A_BLOCK)
    read = _reader(transactions, fraud_factor)

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
    epochs = tf.data.Dataset.range(first_epoch, 1 << 31)
    endless = epochs.flat_map(tf.autograph.experimental.do_not_convert(epoch)).prefetch(4).with_options(options)
    endless.read_from = transactions
    return endless


def _reader(transactions: Transactions, fraud_factor: float) -> Callable[[tf.Tensor, tf.Tensor], Any]:
    """A function of row numbers [k], rising within each chunk, and of an order of them [k], that gives those rows.

    It does not keep the rows: TensorFlow lets go of no Python function that a graph of its calls.
    """
    labels, weights = transactions.labels, transactions.weights
    # without a weighted copy of all rows: of tens of millions it takes hundreds of megabytes
    total = weights.sum(dtype=np.float64) + (fraud_factor - 1) * weights[labels > 0].sum(dtype=np.float64)
    scale = len(weights) / total
    rows = weakref.ref(transactions)

    def columns() -> tuple[dict[str, Rows], np.ndarray, np.ndarray]:
        kept = rows()
        if kept is None:
            raise RuntimeError("the transactions of a data set are gone; keep it as long as its batches are read")
        return dict(kept.inputs), kept.labels[:, None], kept.weights

    shapes = tf.nest.map_structure(lambda column: tf.TensorSpec((None, *column.shape[1:]), column.dtype), columns())
    specs = tf.nest.flatten(shapes)

    def slices(numbers: np.ndarray) -> list[np.ndarray]:
        breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
        runs = [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(numbers, breaks)]
        *found, label, weight = [np.concatenate([column[run] for run in runs]) for column in tf.nest.flatten(columns())]
        factor = np.where(label[:, 0] > 0, scale * fraud_factor, scale)
        return [*found, label, (weight * factor).astype(np.float32)]

    def read(numbers: tf.Tensor, mixed: tf.Tensor) -> Any:
        # Python once for a block: TensorFlow would want a copy of all that is in memory
        found = tf.numpy_function(slices, [numbers], [spec.dtype for spec in specs], stateful=False)
        for tensor, spec in zip(found, specs, strict=True):
            tensor.set_shape(spec.shape)
        return tf.nest.pack_sequence_as(shapes, [tf.gather(tensor, mixed) for tensor in found])

    return read
