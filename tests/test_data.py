"""Examples in memory, read from files and in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small_data import apply, shop, shop_rows, write

from trainer import data, examples
from trainer.data import StoredArray, Transactions
from trainer.preprocessing import LABEL, NUMERIC, WEIGHT, categorical_key


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 rows in two files."""
    folder = tmp_path_factory.mktemp("split")
    rows = shop_rows(120, seed=5)
    write(rows[100:], folder / "data_tfrecord-00001-of-00002.gz")
    write(rows[:100], folder / "data_tfrecord-00000-of-00002.gz")
    return folder


@pytest.fixture(scope="module")
def loaded(split: Path) -> Transactions:
    return data.load([str(split / "*")], shop().transform, shop().settings.columns)


def test_a_split_is_read_in_the_order_of_its_files(loaded: Transactions) -> None:
    rows = shop_rows(120, seed=5)
    expected = apply(shop().transform, rows)
    assert len(loaded) == 120
    assert loaded.labels.tolist() == [row["fraud"] for row in rows]
    assert loaded.weights.tolist() == [row["example_weight"] for row in rows]
    assert set(loaded.inputs) == set(expected) - {LABEL, WEIGHT}
    for key, value in loaded.inputs.items():
        np.testing.assert_allclose(value, expected[key], atol=1e-5)


def test_inputs_have_the_networks_types(loaded: Transactions) -> None:
    assert loaded.inputs[NUMERIC].dtype == np.float32
    assert loaded.inputs[NUMERIC].shape == (120, 8)
    assert loaded.inputs[categorical_key("merchant")].dtype == np.int64
    assert loaded.inputs[categorical_key("merchant")].shape == (120, 1)
    assert loaded.labels.dtype == loaded.weights.dtype == np.float32


def test_more_rows_than_a_batch_of_reading_are_all_there(
    split: Path, loaded: Transactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "batch_rows", lambda features: 7)
    again = _load_anew(split, monkeypatch)
    np.testing.assert_allclose(again.inputs[NUMERIC], loaded.inputs[NUMERIC], atol=1e-5)
    np.testing.assert_array_equal(again.labels, loaded.labels)


def _load_anew(split: Path, monkeypatch: pytest.MonkeyPatch, memory_bytes: int = 1 << 20) -> Transactions:
    monkeypatch.setattr(data, "_kept", {})
    return data.load([str(split / "*")], shop().transform, shop().settings.columns, memory_bytes)


@pytest.mark.parametrize("memory_bytes", [0, 2_000, 1 << 20])
def test_inputs_beyond_the_budget_lie_in_a_file_and_read_the_same(
    split: Path, loaded: Transactions, monkeypatch: pytest.MonkeyPatch, memory_bytes: int
) -> None:
    monkeypatch.setattr(examples, "batch_rows", lambda features: 50)
    again = _load_anew(split, monkeypatch, memory_bytes)
    stored = [isinstance(rows, StoredArray) for rows in again.inputs.values()]
    assert stored == [memory_bytes < 1 << 20] * len(again.inputs)
    assert again.in_memory == (0 if stored[0] else sum(rows.nbytes for rows in again.inputs.values()))
    assert again.row_bytes == loaded.row_bytes
    for key, value in loaded.inputs.items():
        np.testing.assert_allclose(again.inputs[key][0:120], value, atol=1e-5)
        np.testing.assert_allclose(again.inputs[key][17:23], value[17:23], atol=1e-5)


def test_two_splits_share_the_budget(split: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_kept", {})
    first, second = (str(split / f"data_tfrecord-0000{number}-of-00002.gz") for number in (0, 1))
    prepared = shop()
    rows = data.load([first], prepared.transform, prepared.settings.columns)
    monkeypatch.setattr(data, "_kept", {})
    train, evaluation = data.load_splits(
        [first], [second], prepared.transform, prepared.settings.columns, rows.in_memory + 8
    )
    assert train.in_memory == rows.in_memory
    assert evaluation.in_memory == 0


def test_the_same_files_are_read_once_and_changed_ones_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_kept", {})
    prepared, rows = shop(), shop_rows(30, seed=5)
    file = write(rows[:10], tmp_path / "examples.gz")
    loaded = data.load([file], prepared.transform, prepared.settings.columns)
    assert data.load([file], prepared.transform, prepared.settings.columns) is loaded
    data.forget()
    assert data.load([file], prepared.transform, prepared.settings.columns) is not loaded
    write(rows, tmp_path / "examples.gz")
    assert len(data.load([file], prepared.transform, prepared.settings.columns)) == 30


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
    count = data.steps(transactions, batch_size)
    dataset = data.batches(transactions, batch_size, seed).skip(number * count).take(count)
    return list(dataset.as_numpy_iterator())


def _orders(transactions: Transactions, seed: int, epochs: int = 3) -> list[list[int]]:
    return [
        [int(number) for inputs, _, _ in _epoch(transactions, seed, epoch) for number in inputs[NUMERIC].ravel()]
        for epoch in range(epochs)
    ]


@pytest.fixture(params=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As data of some GiB is shuffled, or as little data is."""
    if request.param == "many blocks":
        monkeypatch.setattr(data, "CHUNK_BYTES", 36)  # three rows of `numbered`
        monkeypatch.setattr(data, "CHUNKS_A_BLOCK", 2)
    return request.param


@pytest.mark.usefixtures("blocks")
def test_each_epoch_has_every_row_once_in_another_order(numbered: Transactions) -> None:
    orders = _orders(numbered, seed=3)
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len(set(map(tuple, orders))) == 3
    assert list(range(10)) not in orders


@pytest.mark.usefixtures("blocks")
def test_the_order_depends_on_the_seed_alone(numbered: Transactions) -> None:
    assert _orders(numbered, seed=3) == _orders(numbered, seed=3)
    assert _orders(numbered, seed=3) != _orders(numbered, seed=4)


@pytest.mark.usefixtures("blocks")
def test_rows_in_a_file_come_in_the_order_of_those_in_memory(numbered: Transactions) -> None:
    stored = {}
    for key, value in numbered.inputs.items():
        stored[key] = StoredArray(value.shape[1:], value.dtype)
        stored[key].append(value)
    filed = Transactions(stored, numbered.labels, numbered.weights)
    for epoch in range(2):
        for got, expected in zip(_epoch(filed, 3, epoch), _epoch(numbered, 3, epoch), strict=True):
            tf.nest.map_structure(np.testing.assert_array_equal, got, expected)


def test_a_block_mixes_chunks_from_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "CHUNK_BYTES", 40)
    monkeypatch.setattr(data, "CHUNKS_A_BLOCK", 4)
    numbers = np.arange(400, dtype=np.float32)
    rows = Transactions({NUMERIC: numbers[:, None]}, numbers % 2, np.ones(400, np.float32))
    (first, *_) = _epoch(rows, seed=5, number=0, batch_size=40)
    seen = np.sort(first[0][NUMERIC].ravel()) // 10
    assert len(np.unique(seen)) == 4  # chunks of ten rows each
    assert np.ptp(seen) > 3  # not neighbours, which may be alike


@pytest.mark.usefixtures("blocks")
def test_a_batch_keeps_rows_together_and_weighs_one_on_average(numbered: Transactions) -> None:
    got = _epoch(numbered, seed=1, number=0)
    assert [len(labels) for _, labels, _ in got] == [4, 4, 2]
    for inputs, labels, weights in got:
        numbers = inputs[NUMERIC].ravel()
        assert inputs[categorical_key("c")].ravel().tolist() == numbers.tolist()
        assert labels.ravel().tolist() == (numbers % 2).tolist()
        assert weights == pytest.approx((1 + 2 * numbers) / 10)
        assert labels.shape == (len(numbers), 1)
    assert np.concatenate([weights for _, _, weights in got]).mean() == pytest.approx(1)
