"""Examples in memory, read from files and in batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_data import apply, shop, shop_rows, write

from trainer import data
from trainer.data import Transactions
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
    monkeypatch.setattr(data, "READ_BATCH", 7)
    again = data.load([str(split / "*")], shop().transform, shop().settings.columns)
    np.testing.assert_allclose(again.inputs[NUMERIC], loaded.inputs[NUMERIC], atol=1e-5)
    np.testing.assert_array_equal(again.labels, loaded.labels)


def test_the_rate_of_fraud_is_that_of_the_population() -> None:
    sampled = Transactions({}, np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 1.0, 9.0, 9.0]))
    assert sampled.fraud_rate == pytest.approx(0.1)


@pytest.fixture
def numbered() -> Transactions:
    """Ten rows that carry their own number."""
    numbers = np.arange(10)
    inputs = {NUMERIC: numbers[:, None].astype(np.float32), categorical_key("c"): numbers[:, None]}
    return Transactions(inputs, (numbers % 2).astype(np.float32), np.linspace(1, 19, 10, dtype=np.float32))


def _orders(transactions: Transactions, seed: int, epochs: int = 3) -> list[list[int]]:
    dataset = data.batches(transactions, 4, seed)
    return [
        [int(number) for inputs, _, _ in dataset for number in inputs[NUMERIC].numpy().ravel()] for _ in range(epochs)
    ]


def test_each_epoch_has_every_row_once_in_another_order(numbered: Transactions) -> None:
    orders = _orders(numbered, seed=3)
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len(set(map(tuple, orders))) == 3
    assert list(range(10)) not in orders


def test_the_order_depends_on_the_seed_alone(numbered: Transactions) -> None:
    assert _orders(numbered, seed=3) == _orders(numbered, seed=3)
    assert _orders(numbered, seed=3) != _orders(numbered, seed=4)


def test_a_batch_keeps_rows_together_and_weighs_one_on_average(numbered: Transactions) -> None:
    got = list(data.batches(numbered, 4, seed=1).as_numpy_iterator())
    assert [len(labels) for _, labels, _ in got] == [4, 4, 2]
    for inputs, labels, weights in got:
        numbers = inputs[NUMERIC].ravel()
        assert inputs[categorical_key("c")].ravel().tolist() == numbers.tolist()
        assert labels.ravel().tolist() == (numbers % 2).tolist()
        assert weights == pytest.approx((1 + 2 * numbers) / 10)
        assert labels.shape == (len(numbers), 1)
    assert np.concatenate([weights for _, _, weights in got]).mean() == pytest.approx(1)
