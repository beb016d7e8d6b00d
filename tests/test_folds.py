"""The folds of a cross-validation: which row is in which, and that none learns from the rows that judge it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from apache_beam.options.pipeline_options import PipelineOptions
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.model_selection import TimeSeriesSplit
from tensorflow_transform.tf_metadata import schema_utils

from components import folds
from tests.support.small_data import BEAM, Row, analyze, apply, raw_spec, write
from trainer import data
from trainer import examples as example_files
from trainer.columns import EXAMPLE_WEIGHT, Columns
from trainer.custom_config import TrainerSettings
from trainer.dataset import StoredArray, Transactions
from trainer.errors import InputError
from trainer.features import NUMERIC, Features, categorical_key, vocabulary_name
from trainer.folds import Blocks, Fold, blocks_at_random, blocks_by_time, graph_folder, why_not
from trainer.preprocessing import hour_of_day, preprocessing_fn

FOLDS = st.integers(2, 6)

# Which row is in which block


@given(times=st.lists(st.integers(0, 40), min_size=1, max_size=80), folds=FOLDS)
def test_blocks_by_time_are_in_the_order_of_time(times: list[int], folds: int) -> None:
    blocks = blocks_by_time(np.array(times, np.float64), folds)
    order = np.argsort(times, kind="stable")
    assert (np.diff(blocks[order]) >= 0).all()
    by_time: dict[int, set[int]] = {}
    for time, block in zip(times, blocks, strict=True):
        by_time.setdefault(time, set()).add(int(block))
    assert all(len(together) == 1 for together in by_time.values())
    assert set(blocks) <= set(range(folds + 1))


@given(times=st.lists(st.floats(-1e9, 1e9), min_size=7, max_size=80, unique=True), folds=FOLDS)
def test_blocks_by_time_are_scikit_learns_where_no_times_are_equal(times: list[float], folds: int) -> None:
    count = folds + 1
    blocks = blocks_by_time(np.array(times), folds)
    sizes = np.bincount(blocks, minlength=count)
    assert sizes.max() - sizes.min() <= 1
    ranks = np.argsort(np.argsort(times))
    for fold, (_, test) in enumerate(TimeSeriesSplit(folds).split(np.zeros(len(times)))):
        # scikit-learn leaves all of the rest to the first block, here it is spread
        assert 0 <= test[0] - ranks[blocks == fold + 1].min() <= len(times) % count
        if len(times) % count == 0:
            np.testing.assert_array_equal(np.sort(ranks[blocks == fold + 1]), test)


@given(
    labels=arrays.arrays(np.int64, st.integers(1, 80), elements=st.integers(0, 1)), folds=FOLDS, seed=st.integers(0, 99)
)
def test_blocks_at_random_have_equal_shares_of_both_classes(labels: np.ndarray, folds: int, seed: int) -> None:
    hashes = np.random.default_rng(seed).permutation(len(labels))
    blocks = blocks_at_random(labels, hashes, folds)
    for label in (0, 1):
        counts = np.bincount(blocks[labels == label], minlength=folds)
        assert len(counts) == folds
        assert counts.max() - counts.min() <= 1
    # by the hash alone, not by the place
    order = np.random.default_rng(seed + 1).permutation(len(labels))
    np.testing.assert_array_equal(blocks_at_random(labels[order], hashes[order], folds), blocks[order])


@given(rows=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1)), min_size=1, max_size=80), folds=FOLDS)
def test_equal_rows_are_in_one_block(rows: list[tuple[int, int]], folds: int) -> None:
    hashes, labels = np.array(rows).T
    blocks = blocks_at_random(labels, hashes, folds)
    assert set(blocks) <= set(range(folds))
    assert len(set(zip(hashes, labels, blocks, strict=True))) == len(set(zip(hashes, labels, strict=True)))


# Whether that is a cross-validation


@pytest.mark.parametrize(
    ("by", "folds", "labels", "message"),
    [
        (
            "random",
            5,
            [1, 1, 1] + [0] * 30,
            "tuning.folds is 5, but the training split has 3 frauds for 5 blocks; take tuning.folds=3, or give data "
            "with more frauds",
        ),
        (
            "time",
            2,
            [1] + [0] * 30,
            "tuning.folds is 2, but the training split has 1 fraud for 3 blocks; judge on eval with tuning.folds=null, "
            "or give data with more frauds",
        ),
        (
            "time",
            3,
            [1] * 4 + [0] * 12,
            "tuning.folds is 3, but 3 of 4 blocks of the training split have no fraud; judge on eval with "
            "tuning.folds=null, or give data with more frauds",
        ),
        (
            "time",
            3,
            [0, 1, 0, 1, 1, 1, 0, 1],
            "tuning.folds is 3, but 1 of 4 blocks of the training split have no legitimate transaction; take "
            "tuning.folds=2, or give data with more frauds",
        ),
    ],
)
def test_the_reason_says_what_is_missing_and_what_works(by: str, folds: int, labels: list[int], message: str) -> None:
    assert why_not(np.array(labels), _cut(np.array(labels), by), by, folds) == message


def _cut(labels: np.ndarray, by: str) -> Callable[[int], np.ndarray]:
    places = np.arange(len(labels))
    return lambda count: (
        blocks_by_time(places.astype(np.float64), count) if by == "time" else blocks_at_random(labels, places, count)
    )


@settings(deadline=None)
@given(
    labels=arrays.arrays(np.int64, st.integers(1, 60), elements=st.sampled_from((0, 0, 0, 1))),
    by=st.sampled_from(("time", "random")),
    folds=st.integers(2, 12),
)
def test_what_is_suggested_works_and_what_passes_can_judge(labels: np.ndarray, by: str, folds: int) -> None:
    cut = _cut(labels, by)
    reason = why_not(labels, cut, by, folds)
    suggested = re.search(r"take tuning.folds=(\d+)", reason)
    if suggested:
        assert 2 <= int(suggested[1]) < folds
        assert why_not(labels, cut, by, int(suggested[1])) == ""
    if by == "random":
        possible = min(labels.sum(), (1 - labels).sum())
        assert (reason == "") == (folds <= possible)
        if reason and not suggested:
            assert possible < 2
    if not reason:
        blocks = Blocks(by, folds, {"file": cut(folds)})  # type: ignore[arg-type]
        for fold in range(folds):
            for part in (0, 1):
                assert set(labels[blocks.parts(fold) == part]) == {0, 1}


# What a fold is made of


def test_under_time_what_was_before_trains_and_the_next_block_judges() -> None:
    blocks = Blocks("time", 2, {"a": np.array([2, 0, 1], np.int32), "b": np.array([1, 0], np.int32)})
    assert blocks.parts(0).tolist() == [-1, 0, 1, 1, 0]
    assert blocks.parts(1).tolist() == [1, 0, 0, 0, 0]


def test_at_random_each_block_judges_what_the_others_train() -> None:
    blocks = Blocks("random", 3, {"a": np.array([2, 0], np.int32), "b": np.array([1], np.int32)})
    assert [blocks.parts(fold).tolist() for fold in range(3)] == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_blocks_are_read_as_they_were_written(tmp_path: Path) -> None:
    blocks = Blocks("time", 300, {"b.gz": np.array([300, 0, 1], np.int32), "a.gz": np.zeros(0, np.int32)})
    blocks.save(str(tmp_path))
    read = Blocks.load(str(tmp_path))
    assert (read.by, read.folds, list(read.files)) == ("time", 300, ["b.gz", "a.gz"])
    for file, rows in blocks.files.items():
        np.testing.assert_array_equal(read.files[file], rows)


def test_a_fold_is_read_as_it_was_written_from_memory_or_from_a_file(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    stored = StoredArray((2,), np.dtype(np.float32))
    stored.append(generator.normal(size=(5, 2)))
    category = categorical_key("card type")

    def split(numeric: Any, rows: int) -> Transactions:
        inputs = {NUMERIC: numeric, category: generator.integers(0, 9, (rows, 1))}
        return Transactions(inputs, generator.random(rows).round().astype(np.float32), generator.random(rows))

    fold = Fold(split(stored, 5), split(np.zeros((0, 2), np.float32), 0), {"card type": 9})
    # what a process that was killed had begun
    (tmp_path / "train" / "inputs").mkdir(parents=True)
    (tmp_path / "train" / "inputs" / f"{NUMERIC}.npy").write_bytes(b"half")
    fold.save(tmp_path)
    read = Fold.load(tmp_path)
    assert read.categories == {"card type": 9}
    for own, other in ((fold.train, read.train), (fold.validation, read.validation)):
        assert own.inputs.keys() == other.inputs.keys()
        for key, values in own.inputs.items():
            np.testing.assert_array_equal(other.inputs[key][:], values[: len(own)])
            assert other.inputs[key].dtype == values.dtype
        np.testing.assert_array_equal(other.labels, own.labels)
        np.testing.assert_array_equal(other.weights, own.weights)


# From files

COLUMNS = Columns(label="fraud", time="when", time_format="epoch", numeric=("balance",), categorical={"card": "string"})
FOLD_SETTINGS = TrainerSettings(columns=COLUMNS, features=Features(max_vocabulary=10, out_of_vocabulary=2, clip=None))


def transactions(count: int) -> list[Row]:
    """In no order of time; every fourth is fraud."""
    generator = np.random.default_rng(3)
    times = 1_700_000_000 + 3600 * generator.permutation(count)
    return [
        {
            "fraud": int(number % 4 == 0),
            EXAMPLE_WEIGHT: 1.0,
            "when": int(time),
            "balance": float(np.float32(generator.normal(5, 2))),
            "card": "blue" if number % 7 < 4 else "gold" if number % 7 < 6 else "green",
        }
        for number, time in enumerate(times)
    ]


def planned(files: list[str], by: str, count: int, columns: Columns = COLUMNS, seed: int = 7) -> Blocks:
    return folds.plan(files, columns, by, count, seed, {**columns.raw_kinds, "fraud": "integer"})


ISO = COLUMNS.model_copy(update={"time_format": "iso8601"})
MILLISECONDS = COLUMNS.model_copy(update={"time_format": "epoch_ms"})
SECONDS = COLUMNS.model_copy(update={"time_format": "seconds"})


@pytest.mark.parametrize(
    ("columns", "written"),
    [
        (COLUMNS, int),
        (MILLISECONDS, lambda time: time * 1000 + 1),
        (SECONDS, lambda time: float(time - 1_700_000_000)),
        (ISO, lambda time: f"{np.datetime64(int(time), 's')}Z"),
    ],
    ids=["epoch", "epoch_ms", "seconds", "iso8601"],
)
def test_blocks_by_time_go_through_all_files(
    columns: Columns, written: Callable[[int], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example_files, "batch_rows", lambda features: 7)  # several batches a file
    rows = transactions(60)
    times = np.array([row["when"] for row in rows], np.float64)
    dated = [{**row, "when": written(row["when"])} for row in rows]
    files = [write(dated[:25], tmp_path / "a.gz"), write(dated[25:], tmp_path / "b.gz")]
    blocks = planned(files, "time", 3, columns)
    assert {file: len(of_rows) for file, of_rows in blocks.files.items()} == {files[0]: 25, files[1]: 35}
    np.testing.assert_array_equal(np.concatenate([*blocks.files.values()]), blocks_by_time(times, 3))
    for fold in range(3):
        parts = blocks.parts(fold)
        assert times[parts == 0].max() < times[parts == 1].min()
        assert (parts == 1).sum() == 15


def test_equal_transactions_stay_together_at_random_whatever_the_file(tmp_path: Path) -> None:
    columns = COLUMNS.model_copy(update={"categorical": {"card": "string", "shop": "integer"}})
    rows: list[Row] = [
        {**row, "shop": None if number % 5 == 0 else 1 << 60, "card": None if number % 3 == 0 else row["card"]}
        for number, row in enumerate(transactions(40))
    ]
    files = [write(rows, tmp_path / "a.gz"), write(rows[::-1], tmp_path / "b.gz")]
    blocks = planned(files, "random", 4, columns)
    first, second = blocks.files.values()
    np.testing.assert_array_equal(first, second[::-1])
    labels = np.array([row["fraud"] for row in rows])
    counts = np.array([np.bincount(first[labels == label], minlength=4) for label in (0, 1)])
    assert (np.ptp(counts, axis=1) <= 1).all()
    # the same from the same transactions, however they were serialized
    again = planned([write(rows, tmp_path / "c.gz"), files[1]], "random", 4, columns)
    np.testing.assert_array_equal(again.parts(0), blocks.parts(0))
    assert (planned(files, "random", 4, columns, seed=8).parts(0) != blocks.parts(0)).any()


def test_too_many_folds_are_refused_with_what_works(tmp_path: Path) -> None:
    file = write(transactions(40), tmp_path / "a.gz")  # 10 frauds
    with pytest.raises(InputError, match=r"has 10 frauds for 11 blocks; take tuning.folds=10"):
        planned([file], "random", 11)
    assert planned([file], "random", 10).folds == 10


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row], Blocks]:
    """Two folds by time with their graphs; from the second block on balances are huge and cards unknown before."""
    folder = tmp_path_factory.mktemp("leaky")
    rows = transactions(66)
    times = np.array([row["when"] for row in rows], np.float64)
    for row, block in zip(rows, blocks_by_time(times, 2), strict=True):
        if block:
            row["balance"] += 1e6 * block
            row["card"] = f"new in {block}"
    files = [write(rows[:40], folder / "a.gz"), write(rows[40:], folder / "b.gz")]
    blocks = planned(files, "time", 2)
    blocks.save(str(folder))
    # a search that was killed here had made half of its folds
    half = Path(graph_folder(str(folder), 0), "transform_fn")
    half.mkdir(parents=True)
    (half / "saved_model.pb").write_text("half")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(example_files, "batch_rows", lambda features: 7)
        folds.analyze(
            str(folder),
            blocks,
            schema_utils.schema_from_feature_spec(raw_spec(COLUMNS)),
            preprocessing_fn,
            FOLD_SETTINGS.to_custom_config("features"),
            lambda: beam.Pipeline(options=PipelineOptions(list(BEAM))),
            str(folder / "tmp"),
        )
    return folder, rows, blocks


@pytest.mark.parametrize("fold", [0, 1])
def test_statistics_are_those_of_the_training_rows_alone(fold: int, leaky: tuple[Path, list[Row], Blocks]) -> None:
    folder, rows, blocks = leaky
    balances = np.array([row["balance"] for row in rows])
    cards = np.array([row["card"] for row in rows])
    trained = blocks.parts(fold) == 0
    transform = tft.TFTransformOutput(graph_folder(str(folder), fold))
    features = apply(transform, rows)
    mean, deviation = balances[trained].mean(), balances[trained].std()
    np.testing.assert_allclose(features[NUMERIC][:, 0], (balances - mean) / deviation, rtol=1e-4, atol=1e-4)
    times = tf.constant([[row["when"]] for row in rows], tf.int64)
    np.testing.assert_allclose(features[NUMERIC][:, 1:], hour_of_day(times, "epoch"), atol=1e-6)
    vocabulary = [word.decode() for word in transform.vocabulary_by_name(vocabulary_name("card"))]
    assert vocabulary == [card for card, _ in Counter(sorted(cards[trained], reverse=True)).most_common()]
    judged = blocks.parts(fold) == 1
    assert not set(vocabulary) & set(cards[judged])
    ids = features[categorical_key("card")][:, 0]
    assert (ids[trained] < len(vocabulary)).all()
    assert (ids[judged] >= len(vocabulary)).all()


def test_a_fold_s_graph_is_that_of_a_transform_which_has_seen_its_training_rows_alone(
    leaky: tuple[Path, list[Row], Blocks], tmp_path: Path
) -> None:
    folder, rows, blocks = leaky
    seen = [row for row, part in zip(rows, blocks.parts(1), strict=True) if part == 0]
    expected = apply(analyze(seen, raw_spec(COLUMNS), FOLD_SETTINGS, tmp_path / "alone"), rows)
    features = apply(tft.TFTransformOutput(graph_folder(str(folder), 1)), rows)
    assert features.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(features[key], values, rtol=1e-5, atol=1e-5)


def test_parts_of_the_files_are_loaded_as_the_blocks_say(leaky: tuple[Path, list[Row], Blocks]) -> None:
    folder, rows, blocks = leaky
    transform = tft.TFTransformOutput(graph_folder(str(folder), 0))
    expected = apply(transform, rows)
    loaded = data.load_parts(list(blocks.files), transform, COLUMNS, 1 << 20, blocks.parts(0), count=2)
    for part, transactions_ in enumerate(loaded):
        chosen = blocks.parts(0) == part
        assert len(transactions_) == chosen.sum() == 22
        for key, values in transactions_.inputs.items():
            np.testing.assert_allclose(values[:], expected[key][chosen], rtol=1e-6)


def test_folds_are_there_once_they_are_whole(tmp_path: Path) -> None:
    Blocks("random", 2, {"a.gz": np.zeros(3, np.int32)}).save(str(tmp_path))
    assert not folds.is_there(str(tmp_path))
    folds.finish(str(tmp_path))
    assert folds.is_there(str(tmp_path))
