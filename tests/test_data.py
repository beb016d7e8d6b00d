"""Examples read from files, in memory or in a file, whole or in parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.small_data import Row, apply, raw_spec, shop, shop_rows, write
from trainer import data, examples
from trainer.columns import Columns
from trainer.dataset import StoredArray, Transactions
from trainer.features import LABEL, NUMERIC, WEIGHT, categorical_key

pytestmark = pytest.mark.xdist_group("shop")


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


def _files(split: Path) -> list[str]:
    return sorted(str(path) for path in split.iterdir())


@settings(max_examples=4, deadline=None)
@given(numbers=st.lists(st.integers(-1, 2), min_size=120, max_size=120), batch=st.integers(1, 150))
def test_parts_are_what_the_whole_is_cut_into(
    split: Path, loaded: Transactions, numbers: list[int], batch: int
) -> None:
    parts, files = np.array(numbers, np.int8), _files(split)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "batch_rows", lambda features: batch)
        cut = data.load_parts(files, shop().transform, shop().settings.columns, 1 << 20, parts, count=3)
    assert len(cut) == 3
    for number, part in enumerate(cut):
        rows = parts == number
        np.testing.assert_array_equal(part.labels, loaded.labels[rows])
        np.testing.assert_array_equal(part.weights, loaded.weights[rows])
        assert set(part.inputs) == set(loaded.inputs)
        for key, value in loaded.inputs.items():
            np.testing.assert_allclose(part.inputs[key], value[rows], atol=1e-5)


def test_parts_share_one_budget_and_are_not_kept(
    split: Path, loaded: Transactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "_kept", {})
    parts = np.arange(120) % 3 - 1
    whole = sum(rows.nbytes for rows in loaded.inputs.values()) * 2 // 3
    for budget, in_memory in ((whole, True), (whole - 1, False)):
        cut = data.load_parts(_files(split), shop().transform, shop().settings.columns, budget, parts, count=2)
        assert [len(part) for part in cut] == [40, 40]
        assert sum(part.in_memory for part in cut) == (whole if in_memory else 0)
        for key, value in loaded.inputs.items():
            np.testing.assert_allclose(cut[1].inputs[key][0:40], value[parts == 1], atol=1e-5)
    assert data._kept == {}


# Amounts and days


def test_amounts_are_those_of_the_rows_in_their_order(split: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "batch_rows", lambda features: 7)
    amounts, days = data.amounts_and_days([str(split / "*")], shop().transform, shop().settings.columns)
    rows = shop_rows(120, seed=5)
    assert amounts is not None
    assert amounts.dtype == np.float32
    assert amounts.tolist() == np.array([row["euros"] for row in rows], np.float32).tolist()
    times = [datetime.fromisoformat(row["when"]) for row in rows if row["when"]]
    assert days == pytest.approx((max(times) - min(times)) / timedelta(days=1))


@dataclass(frozen=True)
class Spec:
    """The part of Transform's output that `load` uses."""

    spec: dict[str, Any]

    def raw_feature_spec(self) -> dict[str, Any]:
        return self.spec


def _facts(folder: Path, columns: Columns, rows: list[Row], gaps: tuple[str, ...] = ()) -> tuple[Any, float]:
    every = [{**dict.fromkeys(columns.raw_kinds), **row} for row in rows]
    files = [write(every[:2], folder / "0.gz"), write(every[2:], folder / "1.gz")]
    return data.amounts_and_days(files, Spec(raw_spec(columns, gaps)), columns)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("time_format", "times", "days"),
    [
        ("seconds", [43_200.0, 0.0, 129_600.0, 86_400.0], 1.5),
        ("seconds", [5.0, 5.0, 5.0], 1 / 24),  # an hour at least
        ("seconds", [np.nan, 86_400.0, np.nan, 0.0, np.inf], 1.0),
        ("epoch", [1_700_086_400, 1_700_000_000, 1_700_043_200], 1.0),
        ("epoch_ms", [1_700_216_000_000, 1_700_000_000_000, 1_700_043_200_000], 2.5),
        ("iso8601", ["2024-03-02T12:30", "2024-02-28 12:30:00.5", "2024-02-29"], 3.0),
        ("iso8601", ["2024-03-02t18:30:00+02:00", "2024-03-01T06:30:00Z", "2024-03-02"], 1.5),
    ],
)
def test_days_are_those_from_the_first_to_the_last_time(
    tmp_path: Path, time_format: Any, times: list[Any], days: float
) -> None:
    columns = Columns(label="fraud", time="at", time_format=time_format)
    assert _facts(tmp_path, columns, [{"at": time} for time in times]) == (None, pytest.approx(days))


def test_what_is_missing_is_no_amount_and_no_time(tmp_path: Path) -> None:
    columns = Columns(label="fraud", time="at", time_format="epoch", amount="euros")
    rows = [{"at": None, "euros": 5.0}, {"at": 0, "euros": None}, {"at": 43_200, "euros": -2.5}, {}]
    amounts, days = _facts(tmp_path, columns, rows, gaps=("at", "euros"))
    assert np.array_equal(amounts, [5, np.nan, -2.5, np.nan], equal_nan=True)
    assert days == 0.5
    assert _facts(tmp_path, columns, [{}, {}, {}], gaps=("at", "euros"))[1] == 1.0


def test_data_without_amounts_and_times_has_none(tmp_path: Path) -> None:
    columns = Columns(label="fraud", numeric=("age",))
    assert _facts(tmp_path, columns, [{"age": 3.0}] * 3) == (None, 1.0)
