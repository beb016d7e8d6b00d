"""Transactions in memory or in a file, and their batches."""

from __future__ import annotations

import gc
import queue
import threading
import weakref
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.support.small_fold import separable
from trainer import dataset
from trainer.dataset import StoredArray, Transactions, ahead, batches, portions, steps
from trainer.features import NUMERIC, categorical_key


@settings(max_examples=50)
@given(
    parts=st.lists(hnp.arrays(np.float32, st.tuples(st.integers(0, 9), st.just(3)), elements=st.floats(width=32))),
    start=st.integers(-2, 30),
    length=st.integers(0, 30),
)
def test_a_stored_array_is_sliced_as_an_array(parts: list[np.ndarray], start: int, length: int) -> None:
    stored = StoredArray((3,), np.dtype(np.float32))
    for part in parts:
        stored.append(part)
    whole = np.concatenate([np.zeros((0, 3), np.float32), *parts])
    assert stored.shape == whole.shape
    rows = slice(max(0, start), max(0, start) + length)
    np.testing.assert_array_equal(stored[rows], whole[rows])


def test_the_rate_of_fraud_is_that_of_the_population() -> None:
    sampled = Transactions({}, np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 1.0, 9.0, 9.0]))
    assert sampled.fraud_rate == pytest.approx(0.1)


@pytest.fixture
def numbered() -> Transactions:
    """Ten rows that carry their own number."""
    numbers = np.arange(10)
    inputs = {NUMERIC: numbers[:, None].astype(np.float32), categorical_key("c"): numbers[:, None]}
    return Transactions(inputs, (numbers % 2).astype(np.float32), np.linspace(1, 19, 10, dtype=np.float32))


def _epoch(transactions: Transactions, seed: int, number: int, batch_size: int = 4) -> list[Any]:
    """The batches of one epoch."""
    count = steps(transactions, batch_size)
    return list(batches(transactions, batch_size, seed).skip(number * count).take(count).as_numpy_iterator())


def _orders(transactions: Transactions, seed: int, epochs: int = 3) -> list[list[int]]:
    return [
        [int(number) for inputs, _, _ in _epoch(transactions, seed, epoch) for number in inputs[NUMERIC].ravel()]
        for epoch in range(epochs)
    ]


@pytest.fixture(params=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As data of some GiB is shuffled, or as little data is."""
    if request.param == "many blocks":
        monkeypatch.setattr(dataset, "CHUNK_BYTES", 36)  # three rows of `numbered`
        monkeypatch.setattr(dataset, "CHUNKS_A_BLOCK", 2)
    return request.param


@pytest.mark.usefixtures("blocks")
def test_each_epoch_has_every_row_once_in_another_order(numbered: Transactions) -> None:
    orders = _orders(numbered, seed=3)
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len(set(map(tuple, orders))) == 3
    assert list(range(10)) not in orders


@pytest.mark.usefixtures("blocks")
def test_the_order_depends_on_the_seed_alone(numbered: Transactions) -> None:
    orders = _orders(numbered, seed=3, epochs=2)
    assert orders == _orders(numbered, seed=3, epochs=2)
    assert orders != _orders(numbered, seed=4, epochs=2)


@pytest.mark.usefixtures("blocks")
def test_rows_in_a_file_come_in_the_order_of_those_in_memory(numbered: Transactions) -> None:
    filed = _stored(numbered)
    for epoch in range(2):
        for batch, expected in zip(_epoch(filed, 3, epoch), _epoch(numbered, 3, epoch), strict=True):
            tf.nest.map_structure(np.testing.assert_array_equal, batch, expected)


def test_a_block_mixes_chunks_from_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "CHUNK_BYTES", 40)
    monkeypatch.setattr(dataset, "CHUNKS_A_BLOCK", 4)
    numbers = np.arange(400, dtype=np.float32)
    rows = Transactions({NUMERIC: numbers[:, None]}, numbers % 2, np.ones(400, np.float32))
    (first, *_) = _epoch(rows, seed=5, number=0, batch_size=40)
    seen = np.sort(first[0][NUMERIC].ravel()) // 10
    assert len(np.unique(seen)) == 4  # chunks of ten rows each
    assert np.ptp(seen) > 3  # not neighbours, which may be alike


@pytest.mark.usefixtures("blocks")
def test_a_batch_keeps_rows_together_and_weighs_one_on_average(numbered: Transactions) -> None:
    epoch = _epoch(numbered, seed=1, number=0)
    assert [len(labels) for _, labels, _ in epoch] == [4, 4, 2]
    for inputs, labels, weights in epoch:
        numbers = inputs[NUMERIC].ravel()
        assert inputs[categorical_key("c")].ravel().tolist() == numbers.tolist()
        assert labels.ravel().tolist() == (numbers % 2).tolist()
        assert weights == pytest.approx((1 + 2 * numbers) / 10)
        assert labels.shape == (len(numbers), 1)
    assert np.concatenate([weights for _, _, weights in epoch]).mean() == pytest.approx(1)


def _same(actual: list[Any], expected: list[Any]) -> None:
    assert len(actual) == len(expected)
    tf.nest.map_structure(np.testing.assert_array_equal, actual, expected)


@settings(max_examples=6, deadline=None)
@given(factor=st.floats(0.01, 1000), seed=st.integers(0, 2**31 - 1), noise=st.floats(0.1, 3))
def test_frauds_are_weighed_anew_and_all_weights_still_have_a_mean_of_one(
    factor: float, seed: int, noise: float
) -> None:
    rows = separable(90, seed=4, noise=noise)
    (batch,) = batches(rows, 90, seed=seed, fraud_factor=factor).take(1).as_numpy_iterator()
    (plain,) = batches(rows, 90, seed=seed).take(1).as_numpy_iterator()
    _same(list(batch[:2]), list(plain[:2]))
    labels, weights = batch[1].ravel(), batch[2].ravel()
    expected = np.where(labels > 0, factor, 3)  # `separable` weighs the others 3
    assert weights == pytest.approx(expected / expected.mean(), rel=1e-5)
    assert weights.mean() == pytest.approx(1, rel=1e-5)


@settings(deadline=None)
@given(rows=st.integers(1, 1000), batch_size=st.integers(1, 1200))
def test_steps_of_an_epoch_take_every_row(rows: int, batch_size: int) -> None:
    transactions = Transactions({}, np.zeros(rows), np.ones(rows))
    count = steps(transactions, batch_size)
    assert (count - 1) * batch_size < rows <= count * batch_size


# Many batches at a time


def _stored(transactions: Transactions) -> Transactions:
    inputs = {}
    for key, value in transactions.inputs.items():
        inputs[key] = StoredArray(value.shape[1:], value.dtype)
        inputs[key].append(value[:])
    return Transactions(inputs, transactions.labels, transactions.weights)


def _cut(portion: Any, batch_size: int) -> list[Any]:
    """Its batches."""
    rows = [slice(start, start + batch_size) for start in range(0, len(portion[1]), batch_size)]
    return [tf.nest.map_structure(lambda column, batch=batch: column[batch].numpy(), portion) for batch in rows]


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(("batch_size", "first"), [(1, 0), (4, 0), (4, 5), (10, 5), (12, 0)])
def test_portions_have_the_same_batches(numbered: Transactions, batch_size: int, first: int) -> None:
    expected = [batch for epoch in (first, first + 1) for batch in _epoch(numbered, 3, epoch, batch_size)]
    for transactions in (numbered, _stored(numbered)):
        read = portions(transactions, batch_size, 3, range(first, first + 2))
        _same([batch for portion in read for batch in _cut(portion, batch_size)], expected)


def test_the_portion_of_data_of_a_block_is_an_epoch(numbered: Transactions) -> None:
    assert [len(portion[1]) for portion in portions(numbered, 4, 3, range(3))] == [10, 10, 10]


def test_a_portion_is_made_while_the_one_before_it_is_used() -> None:
    made: queue.Queue[tuple[int, int]] = queue.Queue()

    def numbers() -> Iterator[int]:
        for number in range(3):
            made.put((number, threading.get_ident()))
            yield number

    items = ahead(numbers())
    for number in range(3):
        assert made.get(timeout=10) == (number, mock.ANY)  # before it is asked for
        assert next(items) == number
    assert list(items) == []


def test_an_error_ahead_is_raised_where_its_item_is_used() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise MemoryError("no room")

    items = ahead(numbers())
    assert next(items) == 1
    with pytest.raises(MemoryError, match="no room"):
        next(items)


def test_nobody_reads_ahead_for_whoever_stopped_reading() -> None:
    threads = set(threading.enumerate())
    items = ahead(iter(range(10)))
    assert next(items) == 0
    (thread,) = set(threading.enumerate()) - threads
    del items
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_rows_go_with_the_data_set_that_reads_them() -> None:
    rows = separable(200, seed=1)
    seen = weakref.ref(rows)
    data = batches(rows, 64, seed=1)
    del rows
    assert len(list(data.take(4))) == 4
    del data
    gc.collect()
    assert seen() is None
