"""Transformed transactions, in memory or in a file, and their batches."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass
from typing import IO, Any, Protocol, TypeVar

import numpy as np
import tensorflow as tf

from trainer.arrays import Array

# Shuffling draws chunks of this size in a random order, and mixes so many of them at a time row by row.
CHUNK_BYTES = 2 << 20
CHUNKS_A_BLOCK = 16


class Rows(Protocol):
    """What an array and a `StoredArray` have in common: a slice gives rows."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, rows: slice, /) -> Array: ...


class StoredArray:
    """Rows of equal shape in an unnamed file, which goes away with the process; a slice reads its own rows only.

    It is not a memory map, whose pages would count as the process's memory.
    """

    def __init__(self, row_shape: tuple[int, ...], dtype: np.dtype[Any]):
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._file.close)
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

    def append(self, rows: Array) -> None:
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self._rows += len(rows)

    def __getitem__(self, rows: slice, /) -> Array:
        start, stop, step = rows.indices(self._rows)
        if step != 1:
            raise ValueError(f"a stored array is read in steps of 1, got {step}")
        self._file.flush()
        count = max(0, stop - start)
        size = count * self._row_bytes
        data = bytearray(size)
        view, position = memoryview(data), start * self._row_bytes
        while view:  # a single call reads 2 GiB at most
            length = os.preadv(self._file.fileno(), [view], position)
            if not length:
                raise EOFError(f"a temporary file ends after {position:,} of {start * self._row_bytes + size:,} bytes")
            view, position = view[length:], position + length
        return np.frombuffer(data, self.dtype).reshape(count, *self._row_shape)


@dataclass(frozen=True)
class Transactions:
    """A split as the network sees it.

    inputs: `numeric` float32 [n, width] and `category_<column>` int64 [n, 1]; labels, weights: float32 [n].
    """

    inputs: Mapping[str, Rows]
    labels: Array
    weights: Array

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def fraud_rate(self) -> float:
        """Weighted share of fraud, which is the prevalence in all transactions, not in the sample."""
        return float(np.sum(self.weights * self.labels, dtype=np.float64) / np.sum(self.weights, dtype=np.float64))

    @property
    def row_bytes(self) -> int:
        """Bytes of one row's inputs."""
        return sum(int(np.prod(rows.shape[1:])) * rows.dtype.itemsize for rows in self.inputs.values())

    @property
    def in_memory(self) -> int:
        """How many bytes of inputs are held in memory."""
        return sum(rows.nbytes for rows in self.inputs.values() if isinstance(rows, np.ndarray))

    def slices(self, rows: int) -> Iterator[dict[str, Array]]:
        """Inputs in order, `rows` at a time."""
        for start in range(0, len(self), rows):
            yield {key: value[start : start + rows] for key, value in self.inputs.items()}


def steps(transactions: Transactions, batch_size: int) -> int:
    """How many batches an epoch has."""
    return -(-len(transactions) // batch_size)


def batches(transactions: Transactions, batch_size: int, seed: int, fraud_factor: float = 1.0) -> tf.data.Dataset:
    """(inputs, label, weight) in batches, epoch after epoch without end, in an order that depends on `seed` alone.

    A fraud weighs `fraud_factor` times its weight, and all weights are scaled to a mean of 1.

    Every epoch has each row once, and its last batch may be shorter. Chunks of rows come in a random order, and those
    of a block are mixed row by row, so that shuffling takes the memory of one block whatever the size of the split. A
    split of up to one block is shuffled as a whole. The order is the same whether inputs are in memory or in a file.
    """
    shuffle, read = _Shuffle.from_transactions(transactions, seed), _reader(transactions, fraud_factor)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order = shuffle.chunks_in(number)

        def block(index: tf.Tensor) -> Any:
            return read(*shuffle.rows_in(order, number, index))

        # one block at a time and one ahead: three copies of each are in memory
        blocks = tf.data.Dataset.range(shuffle.blocks).map(tf.autograph.experimental.do_not_convert(block)).prefetch(1)
        return blocks.rebatch(batch_size)

    options = tf.data.Options()
    # There is nothing to tune, and autotune's model grows with the epochs: after twenty, ending it takes 3 s.
    options.autotune.enabled = False
    epochs = tf.data.Dataset.range(1 << 31)
    endless = epochs.flat_map(tf.autograph.experimental.do_not_convert(epoch)).prefetch(4).with_options(options)
    endless.read_from = transactions
    return endless


def portions(
    transactions: Transactions, batch_size: int, seed: int, epochs: range, fraud_factor: float = 1.0
) -> Iterator[Any]:
    """The rows of `batches` in these epochs, but in tensors that hold many batches each.

    Every portion except an epoch's last has whole batches only; where the split has up to one block, an epoch is one
    portion. TensorFlow's data sets take longer to start and to cut out batches than a small network takes to learn.
    """
    shuffle, weighed = _Shuffle.from_transactions(transactions, seed), _weighing(transactions, fraud_factor)
    columns = _columns(transactions)
    for epoch in epochs:
        remainder: list[Array] = []  # rows that do not fill a batch yet
        for block in range(shuffle.blocks):
            with tf.device("CPU"):
                number, index = tf.constant(epoch, tf.int64), tf.constant(block, tf.int64)
                drawn = shuffle.rows_in(shuffle.chunks_in(number), number, index)
            numbers, mixed = (each.numpy() for each in drawn)
            rows = [column.take(mixed, axis=0) for column in weighed(_rows(columns, numbers))]
            if remainder:
                rows = [np.concatenate(both) for both in zip(remainder, rows, strict=True)]
            count = len(rows[0])
            whole = count if block == shuffle.blocks - 1 else count // batch_size * batch_size
            remainder = [column[whole:] for column in rows]
            if whole:
                yield tf.nest.pack_sequence_as(columns, [tf.convert_to_tensor(column[:whole]) for column in rows])


_Item = TypeVar("_Item")
_END: Any = object()


def ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items, each made by a thread while the one before it is in use; the first one is begun at once."""
    thread = futures.ThreadPoolExecutor(max_workers=1)
    upcoming = thread.submit(next, items, _END)

    def prefetched() -> Iterator[_Item]:
        nonlocal upcoming
        try:
            while (item := upcoming.result()) is not _END:
                upcoming = thread.submit(next, items, _END)
                yield item
                del item  # or there would be a third while the next is awaited
        finally:
            thread.shutdown()

    return prefetched()


@dataclass(frozen=True)
class _Shuffle:
    """The order of the rows, computed in a graph or outside of one; epochs and blocks are numbers, int64 []."""

    rows: int
    chunk: int
    seed: int

    @classmethod
    def from_transactions(cls, transactions: Transactions, seed: int) -> _Shuffle:
        return cls(len(transactions), max(1, CHUNK_BYTES // max(1, transactions.row_bytes)), seed)

    @property
    def chunks(self) -> int:
        return -(-self.rows // self.chunk)

    @property
    def blocks(self) -> int:
        return -(-self.chunks // CHUNKS_A_BLOCK)

    def chunks_in(self, epoch: tf.Tensor) -> tf.Tensor:
        """The order of the chunks, int64 [chunks]."""
        return tf.random.experimental.stateless_shuffle(tf.range(self.chunks, dtype=tf.int64), [self.seed, epoch])

    def rows_in(self, chunks: tf.Tensor, epoch: tf.Tensor, block: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Numbers of a block's rows, rising within each chunk, int64 [k], and a random order of them, int32 [k]."""
        drawn = chunks[block * CHUNKS_A_BLOCK : (block + 1) * CHUNKS_A_BLOCK]
        numbers = tf.reshape(drawn[:, None] * self.chunk + tf.range(self.chunk, dtype=tf.int64), [-1])
        numbers = tf.boolean_mask(numbers, numbers < self.rows)
        # 1 + ...: every block of every epoch has a draw of its own, which is not that of the chunks
        seeds = [self.seed, 1 + epoch * self.blocks + block]
        return numbers, tf.random.experimental.stateless_shuffle(tf.range(tf.size(numbers)), seeds)


def _columns(transactions: Transactions) -> tuple[dict[str, Rows], Array, Array]:
    """Inputs, label and weight of all rows."""
    return dict(transactions.inputs), transactions.labels[:, None], transactions.weights


def _rows(columns: Any, numbers: Array) -> list[Array]:
    """The rows of these numbers [k], which rise within each chunk, column by column."""
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    runs = [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(numbers, breaks)]
    return [np.concatenate([column[run] for run in runs]) for column in tf.nest.flatten(columns)]


def _weighing(transactions: Transactions, fraud_factor: float) -> Callable[[list[Array]], list[Array]]:
    """A function that takes columns, the label and the weight last, and replaces the weights as `batches` describes."""
    labels, weights = transactions.labels, transactions.weights
    # without a weighted copy of all rows, which takes hundreds of megabytes for tens of millions
    total = weights.sum(dtype=np.float64) + (fraud_factor - 1) * weights[labels > 0].sum(dtype=np.float64)
    scale = len(weights) / total

    def weighed(columns: list[Array]) -> list[Array]:
        *inputs, label, weight = columns
        factor = np.where(label[:, 0] > 0, scale * fraud_factor, scale)
        return [*inputs, label, (weight * factor).astype(np.float32)]

    return weighed


def _reader(transactions: Transactions, fraud_factor: float) -> Callable[[tf.Tensor, tf.Tensor], Any]:
    """A function that takes row numbers [k], rising within each chunk, and an order of them [k], and returns the rows.

    It holds the transactions by a weak reference: TensorFlow never drops a Python function that one of its graphs
    calls.
    """
    reference, weighed = weakref.ref(transactions), _weighing(transactions, fraud_factor)
    columns = _columns(transactions)
    shapes = tf.nest.map_structure(lambda column: tf.TensorSpec((None, *column.shape[1:]), column.dtype), columns)
    del columns
    specs = tf.nest.flatten(shapes)

    def slices(numbers: Array) -> list[Array]:
        rows = reference()
        if rows is None:
            raise RuntimeError("the transactions of a data set are gone; keep them as long as its batches are read")
        return weighed(_rows(_columns(rows), numbers))

    def read(numbers: tf.Tensor, mixed: tf.Tensor) -> Any:
        # Python is called once for each block: TensorFlow alone would need a copy of all that is in memory
        tensors = tf.numpy_function(slices, [numbers], [spec.dtype for spec in specs], stateful=False)
        for tensor, spec in zip(tensors, specs, strict=True):
            tensor.set_shape(spec.shape)
        return tf.nest.pack_sequence_as(shapes, [tf.gather(tensor, mixed) for tensor in tensors])

    return read
