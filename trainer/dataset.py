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

# Shuffling: chunks of this size are drawn in a random order, and so many of them are mixed row by row.
CHUNK_BYTES = 2 << 20
CHUNKS_A_BLOCK = 16


class Rows(Protocol):
    """What an array and a `StoredArray` have in common: rows by a slice."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, rows: slice, /) -> Array: ...


class StoredArray:
    """Rows of equal shape in an unnamed file, which goes away with the process; reading copies just those asked for.

    Not a memory map: its pages would count as the process's memory.
    """

    def __init__(self, row_shape: tuple[int, ...], dtype: np.dtype[Any]):
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

    def append(self, rows: Array) -> None:
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self._rows += len(rows)

    def __getitem__(self, rows: slice, /) -> Array:
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
    labels: Array
    weights: Array

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

    def slices(self, rows: int) -> Iterator[dict[str, Array]]:
        """Inputs in order, `rows` at a time."""
        for start in range(0, len(self), rows):
            yield {key: value[start : start + rows] for key, value in self.inputs.items()}


def steps(transactions: Transactions, batch_size: int) -> int:
    """Batches of an epoch."""
    return -(-len(transactions) // batch_size)


def batches(transactions: Transactions, batch_size: int, seed: int, fraud_factor: float = 1.0) -> tf.data.Dataset:
    """(inputs, label, weight) in batches, epoch after epoch without end; the orders depend on `seed` alone.

    A fraud weighs `fraud_factor` times its weight, and all weights are scaled to a mean of 1.

    Every epoch has each row once, and its last batch may be shorter. Chunks of the rows come in a random order, and
    those of a block are mixed row by row, so that shuffling needs the memory of a block whatever the size of the split;
    a split of up to a block is shuffled as a whole. The order is the same whether inputs are in memory or in a file.
    """
    shuffle, read = _Shuffle.from_transactions(transactions, seed), _reader(transactions, fraud_factor)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order = shuffle.chunks_in(number)

        def block(index: tf.Tensor) -> Any:
            return read(*shuffle.rows_in(order, number, index))

        # one block at a time and one ahead: each is under way as three copies
        blocks = tf.data.Dataset.range(shuffle.blocks).map(tf.autograph.experimental.do_not_convert(block)).prefetch(1)
        return blocks.rebatch(batch_size)

    options = tf.data.Options()
    # Nothing is left to tune, and the model it keeps grows with the epochs: after twenty, ending it takes 3 s.
    options.autotune.enabled = False
    epochs = tf.data.Dataset.range(1 << 31)
    endless = epochs.flat_map(tf.autograph.experimental.do_not_convert(epoch)).prefetch(4).with_options(options)
    endless.read_from = transactions
    return endless


def portions(
    transactions: Transactions, batch_size: int, seed: int, epochs: range, fraud_factor: float = 1.0
) -> Iterator[Any]:
    """What `batches` gives in these epochs, but in tensors of many batches each.

    Every portion but an epoch's last is of whole batches; of data of up to a block, an epoch is one portion.
    TensorFlow's data sets take longer to start, and to cut out batches, than a small network takes to learn from them.
    """
    shuffle, weighed = _Shuffle.from_transactions(transactions, seed), _weighing(transactions, fraud_factor)
    columns = _columns(transactions)
    for epoch in epochs:
        held: list[Array] = []  # rows that are no whole batch yet
        for block in range(shuffle.blocks):
            with tf.device("CPU"):
                number, index = tf.constant(epoch, tf.int64), tf.constant(block, tf.int64)
                drawn = shuffle.rows_in(shuffle.chunks_in(number), number, index)
            numbers, mixed = (each.numpy() for each in drawn)
            rows = [column.take(mixed, axis=0) for column in weighed(_rows(columns, numbers))]
            if held:
                rows = [np.concatenate(both) for both in zip(held, rows, strict=True)]
            count = len(rows[0])
            whole = count if block == shuffle.blocks - 1 else count // batch_size * batch_size
            held = [column[whole:] for column in rows]
            if whole:
                yield tf.nest.pack_sequence_as(columns, [tf.convert_to_tensor(column[:whole]) for column in rows])


_Item = TypeVar("_Item")
_END: Any = object()


def ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items, each made by a thread while the one before it is used, and the first at once."""
    thread = futures.ThreadPoolExecutor(max_workers=1)
    coming = thread.submit(next, items, _END)

    def given() -> Iterator[_Item]:
        nonlocal coming
        try:
            while (item := coming.result()) is not _END:
                coming = thread.submit(next, items, _END)
                yield item
                del item  # or there would be a third while the next is awaited
        finally:
            thread.shutdown()

    return given()


@dataclass(frozen=True)
class _Shuffle:
    """Which rows come when; in a graph or out of it. Epochs and blocks are numbers, int64 []."""

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
        """Numbers of a block's rows, rising within each chunk, int64 [k], and an order of them, int32 [k]."""
        drawn = chunks[block * CHUNKS_A_BLOCK : (block + 1) * CHUNKS_A_BLOCK]
        numbers = tf.reshape(drawn[:, None] * self.chunk + tf.range(self.chunk, dtype=tf.int64), [-1])
        numbers = tf.boolean_mask(numbers, numbers < self.rows)
        # 1: another draw than that of the chunks, for every block of every epoch
        seeds = [self.seed, 1 + epoch * self.blocks + block]
        return numbers, tf.random.experimental.stateless_shuffle(tf.range(tf.size(numbers)), seeds)


def _columns(transactions: Transactions) -> tuple[dict[str, Rows], Array, Array]:
    """Inputs, label, weight."""
    return dict(transactions.inputs), transactions.labels[:, None], transactions.weights


def _rows(columns: Any, numbers: Array) -> list[Array]:
    """Rows of these numbers [k], which rise within each chunk, column by column."""
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    runs = [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(numbers, breaks)]
    return [np.concatenate([column[run] for run in runs]) for column in tf.nest.flatten(columns)]


def _weighing(transactions: Transactions, fraud_factor: float) -> Callable[[list[Array]], list[Array]]:
    """A function of columns of rows, the label and the weight last, that gives them with weights as `batches` says."""
    labels, weights = transactions.labels, transactions.weights
    # without a weighted copy of all rows: of tens of millions it takes hundreds of megabytes
    total = weights.sum(dtype=np.float64) + (fraud_factor - 1) * weights[labels > 0].sum(dtype=np.float64)
    scale = len(weights) / total

    def weighed(columns: list[Array]) -> list[Array]:
        *inputs, label, weight = columns
        factor = np.where(label[:, 0] > 0, scale * fraud_factor, scale)
        return [*inputs, label, (weight * factor).astype(np.float32)]

    return weighed


def _reader(transactions: Transactions, fraud_factor: float) -> Callable[[tf.Tensor, tf.Tensor], Any]:
    """A function of row numbers [k], rising within each chunk, and of an order of them [k], that gives those rows.

    It does not keep the rows: TensorFlow lets go of no Python function that a graph of its calls.
    """
    kept, weighed = weakref.ref(transactions), _weighing(transactions, fraud_factor)
    columns = _columns(transactions)
    shapes = tf.nest.map_structure(lambda column: tf.TensorSpec((None, *column.shape[1:]), column.dtype), columns)
    del columns
    specs = tf.nest.flatten(shapes)

    def slices(numbers: Array) -> list[Array]:
        rows = kept()
        if rows is None:
            raise RuntimeError("the transactions of a data set are gone; keep it as long as its batches are read")
        return weighed(_rows(_columns(rows), numbers))

    def read(numbers: tf.Tensor, mixed: tf.Tensor) -> Any:
        # Python once for a block: TensorFlow would want a copy of all that is in memory
        found = tf.numpy_function(slices, [numbers], [spec.dtype for spec in specs], stateful=False)
        for tensor, spec in zip(found, specs, strict=True):
            tensor.set_shape(spec.shape)
        return tf.nest.pack_sequence_as(shapes, [tf.gather(tensor, mixed) for tensor in found])

    return read
