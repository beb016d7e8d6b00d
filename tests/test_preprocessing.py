"""Raw transactions to the network's input, by the real Transform."""

from __future__ import annotations

import datetime
import math
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import normalize

from tests.support.small_data import SHOP_SETTINGS, Row, analyze, apply, raw_spec, shop
from trainer.columns import EXAMPLE_WEIGHT, Columns, TimeKind
from trainer.custom_config import TrainerSettings
from trainer.features import LABEL, NUMERIC, WEIGHT, Features, categorical_key
from trainer.preprocessing import categories, hour_of_day, numeric_features

pytestmark = pytest.mark.xdist_group("shop")

VARIED = settings(max_examples=30, deadline=None)

# Where the numeric features of the shop stand.
AGE, BALANCE, LIMIT, EUROS, BALANCE_MISSING, LIMIT_MISSING, SINE, COSINE = range(8)

USUAL: Row = {
    "fraud": 1,
    EXAMPLE_WEIGHT: 4.0,
    "when": "2024-03-01T06:00:00Z",
    "euros": 20.0,
    "age": 50.0,
    "balance": 0.5,
    "limit": None,
    "card type": "gold",
    "merchant": 2,
    "terminal": 1,
}


def features(*changes: Row) -> dict[str, np.ndarray]:
    """What Transform makes of USUAL with these changes, a row each."""
    return apply(shop().transform, [{**USUAL, **change} for change in changes])


def _vocabulary(column: str) -> list[str]:
    return [word.decode() for word in shop().transform.vocabulary_by_name(f"vocabulary_{column.replace(' ', '_20_')}")]


# Numbers


def _scaled(column: str, value: float) -> float:
    present = np.array([row[column] for row in shop().rows if row[column] is not None], np.float64)
    if column == "euros":
        present, value = np.log1p(present), math.log1p(value)
    return float(np.clip((value - present.mean()) / present.std(), -2, 2))


def test_numbers_are_standardized_by_what_is_known_of_each_column() -> None:
    numeric = features({})[NUMERIC]
    assert numeric.dtype == np.float32
    assert numeric.shape == (1, 8)
    expected = [_scaled("age", 50), _scaled("balance", 0.5), _scaled("euros", 20)]
    assert numeric[0, [AGE, BALANCE, EUROS]] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_a_missing_value_is_the_mean_and_says_so_where_the_schema_allows_gaps(missing: float | None) -> None:
    numeric = features({"balance": missing}, {})[NUMERIC]
    assert numeric[0, BALANCE] == 0
    assert numeric[:, BALANCE_MISSING].tolist() == [1, 0]
    assert numeric[1, BALANCE] != 0


def test_a_missing_value_of_a_dense_column_is_the_mean_without_an_indicator() -> None:
    numeric = features({"age": math.nan}, {})[NUMERIC]
    assert numeric[0, AGE] == 0
    assert numeric[0, BALANCE:].tolist() == numeric[1, BALANCE:].tolist()


def test_a_column_that_was_missing_in_all_of_training_still_takes_values() -> None:
    numeric = features({"limit": 3000.0}, {"limit": None})[NUMERIC]
    assert numeric[:, LIMIT].tolist() == [0, 0]
    assert numeric[:, LIMIT_MISSING].tolist() == [0, 1]


def test_values_are_clipped() -> None:
    numeric = features({"age": 1e9, "euros": 1e30}, {"age": -1e9})[NUMERIC]
    assert numeric[:, AGE].tolist() == [2, -2]
    assert numeric[0, EUROS] == 2


def test_a_refund_keeps_its_sign() -> None:
    settings = TrainerSettings(columns=Columns(label="y", amount="euros"), features=Features(scaling="unit_norm"))
    euros = tf.constant([[-9.0], [0.0], [9.0]])
    assert numeric_features({"euros": euros}, settings).numpy().ravel().tolist() == pytest.approx([-1, 0, 1])
    unscaled = [value / math.log1p(99) for value in (-math.log1p(9), math.log1p(9))]
    both = TrainerSettings(
        columns=Columns(label="y", amount="euros", numeric=("n",)), features=Features(scaling="unit_norm")
    )
    big = 1e3 * math.log1p(99)
    features = numeric_features({"euros": tf.constant([[-9.0], [9.0]]), "n": tf.constant([[big], [big]])}, both).numpy()
    assert features[:, 1] * 1e3 == pytest.approx(unscaled, rel=1e-4)


@VARIED
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "age": st.floats(width=32),
                "euros": st.floats(width=32),
                "balance": st.none() | st.floats(width=32),
                "limit": st.none() | st.floats(width=32),
                "when": st.none() | st.text(max_size=12),
                "card type": st.none() | st.text(max_size=12),
                "merchant": st.none() | st.integers(-(2**63), 2**63 - 1),
                "terminal": st.integers(-(2**63), 2**63 - 1),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_comes_in_the_network_gets_finite_numbers_and_known_indices(rows: list[Row]) -> None:
    drawn = features(*rows)
    assert np.isfinite(drawn[NUMERIC]).all()
    assert np.abs(drawn[NUMERIC]).max() <= 2
    for column in SHOP_SETTINGS.columns.categorical:
        limit = categories(shop().transform, SHOP_SETTINGS.columns, SHOP_SETTINGS.features)[column]
        assert ((drawn[categorical_key(column)] >= 0) & (drawn[categorical_key(column)] < limit)).all()


def test_label_and_weight_go_through_as_numbers() -> None:
    out = features({}, {"fraud": 0, EXAMPLE_WEIGHT: 2.5})
    assert out[LABEL].tolist() == [[1.0], [0.0]]
    assert out[WEIGHT].tolist() == [[4.0], [2.5]]
    assert out[LABEL].dtype == out[WEIGHT].dtype == np.float32


# Categories


@pytest.mark.parametrize(
    ("column", "words"), [("card type", ["blue", "gold", "green"]), ("terminal", None), ("merchant", None)]
)
def test_the_most_frequent_values_have_the_first_indices(column: str, words: list[str] | None) -> None:
    values = [row[column] for row in shop().rows if row[column] is not None]
    vocabulary = _vocabulary(column)
    counts = [sum(str(value) == word for value in values) for word in vocabulary]
    assert counts == sorted(counts, reverse=True)
    assert len(vocabulary) == min(3, len(set(values)))
    assert words is None or vocabulary == words
    kind = SHOP_SETTINGS.columns.categorical[column]
    drawn = features(*({column: int(word) if kind == "integer" else word} for word in vocabulary))
    assert drawn[categorical_key(column)].ravel().tolist() == list(range(len(vocabulary)))
    assert drawn[categorical_key(column)].dtype == np.int64


@pytest.mark.parametrize("column", ["card type", "merchant", "terminal"])
def test_unseen_values_share_the_buckets_after_the_vocabulary(column: str) -> None:
    size = len(_vocabulary(column))
    unseen = range(1000, 1040) if SHOP_SETTINGS.columns.categorical[column] == "integer" else string.ascii_letters
    drawn = features(*({column: value} for value in unseen))[categorical_key(column)]
    assert set(drawn.ravel().tolist()) == {size, size + 1}


@pytest.mark.parametrize(("column", "missing"), [("card type", None), ("card type", ""), ("merchant", None)])
def test_a_missing_category_has_the_last_index_to_itself(column: str, missing: str | None) -> None:
    drawn = features({column: missing}, {column: USUAL[column]})[categorical_key(column)].ravel()
    last = categories(shop().transform, SHOP_SETTINGS.columns, SHOP_SETTINGS.features)[column] - 1
    assert drawn[0] == last == len(_vocabulary(column)) + 2
    assert drawn[1] < last


def test_zero_and_a_negative_integer_are_values_like_others() -> None:
    words = [*_vocabulary("merchant")]
    drawn = features(*({"merchant": value} for value in (-1, 0, 1)))[categorical_key("merchant")].ravel()
    for value, index in zip((-1, 0, 1), drawn.tolist(), strict=True):
        assert index == words.index(str(value)) if str(value) in words else index in (3, 4)


# Time


def _circle(hours: float) -> list[float]:
    return [math.sin(hours * math.pi / 12), math.cos(hours * math.pi / 12)]


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("2024-03-01T00:00:00", 0.0),
        ("2024-03-01T06:00", 6.0),
        ("2024-03-01 12:30:00", 12.5),
        ("2024-03-01T18:00:00.999999Z", 18.0),
        ("2024-03-01T18:15:36+02:00", 18.26),
        ("2024-03-01T18:15:36-0230", 18.26),
        ("2024-03-01T23:59:59 +02", 23 + 3599 / 3600),
        ("2024-03-01t09:00:00,5z", 9.0),
    ],
)
def test_a_date_with_a_time_is_its_local_hour(text: str, hours: float) -> None:
    assert features({"when": text})[NUMERIC][0, [SINE, COSINE]] == pytest.approx(_circle(hours), abs=1e-5)


@pytest.mark.parametrize(
    "text", [None, "", "soon", "2024-03-01", "12:30:00", "2024-03-01T25:00:00", "2024-03-01T12:60", "01.03.2024 12:30"]
)
def test_a_time_that_cannot_be_read_is_the_middle_of_the_circle(text: str | None) -> None:
    assert features({"when": text})[NUMERIC][0, [SINE, COSINE]].tolist() == [0, 0]


@VARIED
@given(st.datetimes(timezones=st.none() | st.just(datetime.timezone.utc)), st.sampled_from("T "))
def test_every_date_that_python_writes_is_read(moment: datetime.datetime, separator: str) -> None:
    (circle,) = hour_of_day(tf.constant([[moment.isoformat(separator)]]), "iso8601").numpy()
    assert circle == pytest.approx(_circle(moment.hour + moment.minute / 60 + moment.second / 3600), abs=1e-5)


@pytest.mark.parametrize(("time_kind", "scale"), [("seconds", 1), ("epoch", 1), ("epoch_ms", 1000)])
@pytest.mark.parametrize(("hour", "days"), [(0.0, 0), (6.0, 1), (23.5, 3), (22.0, -1)])
def test_numbers_of_seconds_have_an_hour_too(time_kind: TimeKind, scale: int, hour: float, days: int) -> None:
    value = (days * 86_400 + hour * 3600) * scale
    dtype = tf.float32 if time_kind == "seconds" else tf.int64
    circle = hour_of_day(tf.constant([[int(value)]], dtype), time_kind).numpy()
    assert circle.dtype == np.float32
    assert circle[0] == pytest.approx(_circle(hour), abs=1e-5)


@VARIED
@given(st.integers(-(10**9), 4 * 10**9))
def test_an_epoch_is_exact_to_the_second(epoch: int) -> None:
    expected = pytest.approx(_circle(epoch % 86_400 / 3600), abs=1e-5)
    assert hour_of_day(tf.constant([[epoch]], tf.int64), "epoch").numpy()[0] == expected
    assert hour_of_day(tf.constant([[epoch * 1000 + 999]], tf.int64), "epoch_ms").numpy()[0] == expected


@pytest.mark.parametrize(
    ("time_kind", "present"),
    [("seconds", np.float32(0)), ("epoch", np.int64(0)), ("epoch_ms", np.int64(999)), ("iso8601", b"2024-03-01T00:00")],
)
def test_a_gap_in_any_kind_of_time_is_zeros(time_kind: TimeKind, present: Any) -> None:
    times = tf.SparseTensor([[1, 0]], np.array([present]), [3, 1])
    assert hour_of_day(times, time_kind).numpy().tolist() == [[0, 0], [0, 1], [0, 0]]


def test_seconds_that_are_no_number_are_zeros() -> None:
    assert hour_of_day(tf.constant([[math.nan], [math.inf]]), "seconds").numpy().tolist() == [[0, 0], [0, 0]]


# Other shapes of data


def test_unit_norm_is_sklearns_normalize_and_gaps_are_zero(tmp_path: Path) -> None:
    """The tutorial's 29 columns, and its 361 parameters."""
    names = tuple(f"V{index}" for index in range(1, 29))
    settings = TrainerSettings(
        columns=Columns(label="Class", time="Time", numeric=names, amount="Amount"),
        features=Features(scaling="unit_norm", log_amount=False, use_time=False),
    )
    values = np.random.default_rng(0).normal(size=(4, 29)).astype(np.float32) * [*[1.0] * 28, 100.0]
    rows: list[Row] = [
        {"Class": 0, EXAMPLE_WEIGHT: 1.0, "Time": 3.0, **dict(zip((*names, "Amount"), row, strict=True))}
        for row in values.tolist()
    ]
    transform = analyze(rows, raw_spec(settings.columns), settings, tmp_path / "transform")
    assert apply(transform, rows)[NUMERIC] == pytest.approx(normalize(values), abs=1e-6)
    zeros = apply(transform, [{**rows[0], **dict.fromkeys((*names, "Amount"), 0.0)}])[NUMERIC]
    assert zeros.tolist() == [[0.0] * 29]
    gap = apply(transform, [{**rows[0], "V3": math.nan}])[NUMERIC]
    without = values[:1].copy()
    without[0, 2] = 0
    assert gap == pytest.approx(normalize(without), abs=1e-6)


def test_a_category_alone_is_data_enough(tmp_path: Path) -> None:
    """Even without a single value, and with a name that graphs do not take."""
    name = "größe/farbe"
    settings = TrainerSettings(columns=Columns(label="y", categorical={name: "integer"}))
    rows: list[Row] = [{"y": 0, EXAMPLE_WEIGHT: 1.0, name: None}] * 3
    transform = analyze(rows, raw_spec(settings.columns, gaps=(name,)), settings, tmp_path / "transform")
    out = apply(transform, [*rows, {**rows[0], name: 7}])
    assert out[NUMERIC].tolist() == [[0.0]] * 4
    *missing, new = out[categorical_key(name)].ravel().tolist()
    assert set(missing) == {categories(transform, settings.columns, settings.features)[name] - 1}
    assert 0 <= new < missing[0]
