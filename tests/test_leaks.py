"""How well a column alone tells fraud: what leaks is near 1, what tells nothing is at the share of fraud."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from components.leaks import column_average_precisions, known_after, out_of_fold
from trainer.arrays import Array


def labelled(rows: int, frauds: int, seed: int) -> tuple[Array, np.random.Generator]:
    generator = np.random.default_rng(seed)
    labels = np.zeros(rows, np.int64)
    labels[generator.choice(rows, frauds, replace=False)] = 1
    return labels, generator


@given(rows=st.integers(50, 2000), share=st.floats(0.02, 0.6), seed=st.integers(0, 99))
def test_a_column_that_is_the_label_in_whatever_form_tells_all(rows, share, seed):
    labels, generator = labelled(rows, max(10, int(rows * share)), seed)
    amount = generator.gamma(2, 50, rows)
    columns = {
        "label": labels,
        "reversed": 1.0 - labels,
        "truth": labels.astype(bool),
        "words": np.where(labels == 1, "stolen", "none"),
        "several words": np.where(labels == 1, generator.choice(["stolen", "phished"], rows), "none"),
        "loss": np.where(labels == 1, amount, 0.0),
        "gaps": np.where(labels == 1, amount, np.nan),
        "arrow": pa.array([None if label == 0 else "x" for label in labels]),
    }
    precisions = column_average_precisions(columns, labels)
    assert precisions == pytest.approx(dict.fromkeys(columns, 1.0), abs=0.02)


@given(rows=st.integers(500, 3000), share=st.floats(0.1, 0.6), seed=st.integers(0, 99))
def test_a_column_that_tells_nothing_is_at_the_share_of_fraud(rows, share, seed):
    labels, generator = labelled(rows, int(rows * share), seed)
    columns = {
        "noise": generator.normal(size=rows),
        "few values": generator.integers(0, 4, rows),
        "constant": np.ones(rows),
        "different in each row": np.array([f"payment {row}" for row in range(rows)]),
        "mostly different": generator.integers(0, rows, rows).astype(str),
        "all missing": np.full(rows, np.nan),
        "no text": pa.array([None] * rows, pa.string()),
    }
    precisions = column_average_precisions(columns, labels)
    assert precisions == pytest.approx(dict.fromkeys(columns, labels.mean()), abs=0.12)
    assert precisions["different in each row"] == pytest.approx(labels.mean())


@given(
    values=st.lists(st.integers(-50, 50), min_size=40, max_size=300),
    scale=st.floats(0.01, 100),
    seed=st.integers(0, 99),
)
def test_the_order_of_numbers_counts_and_nothing_else(values, scale, seed):
    numbers = np.array(values, np.float64)
    labels = np.random.default_rng(seed).random(len(values)) < 0.3
    transformed = {
        "as they are": numbers,
        "stretched": numbers * scale + 3,
        "cubed": numbers**3,
        "exponential": np.exp(numbers / 20),
        "float32": numbers.astype(np.float32),
        "integers": numbers.astype(np.int64),
        "arrow": pa.array(numbers),
    }
    precisions = list(column_average_precisions(transformed, labels).values())
    np.testing.assert_array_equal(precisions, precisions[0])


@given(repeats=st.lists(st.integers(1, 4), min_size=30, max_size=120), seed=st.integers(0, 99))
def test_a_row_of_weight_two_counts_as_two_rows(repeats, seed):
    generator = np.random.default_rng(seed)
    rows, weights = len(repeats), np.array(repeats, np.float64)
    labels = generator.random(rows) < 0.4
    fine = generator.integers(0, 12, rows)
    fold = generator.integers(0, 3, rows)
    weighted = out_of_fold([fine // 4, fine], labels, weights, fold)
    again = np.repeat(np.arange(rows), repeats)
    fine = fine[again]
    repeated = out_of_fold([fine // 4, fine], labels[again], np.ones(len(again)), fold[again])
    assert weighted == pytest.approx(repeated, nan_ok=True)


@given(seed=st.integers(0, 99))
def test_the_figure_is_the_average_precision_of_the_rates_of_the_other_folds(seed):
    generator = np.random.default_rng(seed)
    labels, shops, fold = generator.random(200) < 0.3, generator.integers(0, 5, 200), generator.integers(0, 4, 200)
    weights = generator.uniform(0.5, 3, 200)
    overall = np.average(labels, weights=weights)
    rates = np.empty(200)
    for row in range(200):
        others = (shops == shops[row]) & (fold != fold[row])
        rates[row] = (weights[others & labels].sum() + overall) / (weights[others].sum() + 1)
    expected = average_precision_score(labels, rates.round(12), sample_weight=weights)
    assert out_of_fold([shops], labels, weights, fold) == pytest.approx(expected, rel=1e-6)


def test_a_rare_leak_in_the_tail_or_in_the_middle_of_a_column_shows():
    labels, generator = labelled(20_000, 60, 1)
    columns = {
        "tail": np.where(labels == 1, generator.uniform(5, 6, 20_000), generator.normal(size=20_000)),
        "gap": np.where(labels == 1, generator.uniform(0.5, 0.6, 20_000), generator.integers(0, 2, 20_000)),
    }
    assert min(column_average_precisions(columns, labels).values()) > 0.9


def test_of_many_rows_some_are_sampled_which_then_weigh_more():
    labels, generator = labelled(40_000, 400, 2)
    columns = {"v": generator.normal(size=40_000) + 2.5 * labels, "noise": generator.normal(size=40_000)}
    whole = column_average_precisions(columns, labels)
    sampled = column_average_precisions(columns, labels, most_rows=8_000)
    assert sampled == pytest.approx(whole, abs=0.08)
    assert sampled["noise"] == pytest.approx(0.01, abs=0.01)


def test_without_fraud_there_is_no_figure():
    assert np.isnan(column_average_precisions({"v": np.arange(50.0)}, np.zeros(50))["v"])


@pytest.mark.parametrize(
    "name",
    [
        *("fraud_type", "TX_FRAUD_SCENARIO", "fraudAmount", "status", "tx_status", "CaseStatus", "outcome", "reported"),
        *("chargeback", "chargeBackDate", "charge_back", "is_disputed", "investigation-result", "ConfirmedBy"),
        *("resolution code", "isFlaggedFraud"),
    ],
)
def test_names_that_speak_of_what_is_known_afterwards(name):
    assert known_after(name)


@pytest.mark.parametrize(
    "name",
    [
        *("amount", "order_status", "AccountStatus", "marital_status", "state", "country", "prior_fraud_amount"),
        *("chargebacks_90d", "dispute_count", "type", "statusquo", "card4", "device_fraud_count", "lastDispute", "V17"),
        "",
    ],
)
def test_names_that_do_not(name):
    assert not known_after(name)
