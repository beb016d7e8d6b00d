"""The report's section on the data, from statistics that TFDV makes of small frames."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.evaluation.words import duration
from components.findings import Finding
from components.reading.settings import SPLITS
from components.report.data import (
    SHOWN,
    check_values,
    checks_in_words,
    compared,
    data_section,
    load,
    missing_shares,
    moment,
    new_categories,
)
from components.report.drift import Statistics, by_name, moves
from tests.support.small_page import text
from trainer.columns import Columns

COLUMNS = Columns(label="fraud", time="time", amount="amount", numeric=("V1", "gaps"), categorical=["shop", "<card>"])
ROWS = {"train": 1500, "eval": 600, "test": 800}
SUMMARIES = [
    {"name": "train", "rows": 1500, "frauds": 30, "first": 0.0, "last": 86_400.0},
    {"name": "eval", "rows": 600, "frauds": 12, "first": 86_400.0, "last": 129_600.0},
    {"name": "test", "rows": 800, "frauds": 16, "first": 129_600.0, "last": 172_800.0},
]


def manifest(**data: Any) -> dict[str, Any]:
    split = {"by": "time", "train": 0.65, "eval": 0.15, "test": 0.2, "seed": 3}
    rates = {"fraud": 1.0, "legitimate": 1.0}
    return {"columns": COLUMNS.model_dump(), "data": {"split": split, "sampling_rates": rates, **data}}


@pytest.fixture(scope="module")
def statistics() -> Statistics:
    random = np.random.default_rng(3)

    def frame(rows: int, later: bool) -> pd.DataFrame:
        shops = ["food", "fuel", "new shop"] if later else ["food", "fuel", "food"]
        return pd.DataFrame(
            {
                "time": random.random(rows),
                "amount": random.lognormal(3, 1, rows),
                "V1": random.normal(loc=later, size=rows),
                "gaps": np.where(random.random(rows) < (0.5 if later else 0.25), np.nan, random.normal(size=rows)),
                "shop": random.choice(shops, rows),
                "<card>": random.choice(["debit", "credit"], rows),
                "fraud": random.integers(0, 2, rows),
                "example_weight": 1.0,
            }
        )

    return {
        split: tfdv.generate_statistics_from_dataframe(frame(rows, split != "train"), n_jobs=1)
        for split, rows in ROWS.items()
    }


def section(statistics: Statistics, schema: schema_pb2.Schema | None = None, **data: Any) -> str:
    drift_by_column = moves(statistics, compared(COLUMNS))
    return data_section(SUMMARIES, manifest(**data), [], statistics, schema or schema_pb2.Schema(), drift_by_column)


def test_it_says_how_much_there_is_and_how_it_was_split(statistics: Statistics) -> None:
    words = text(section(statistics))
    assert "the first 65 % of the transactions are train, the next 15 % eval and the last 20 % test." in words
    assert "The data covers 2.0 days." in words
    assert "train 1,500 30 2.000 % day 1, 00:00 day 2, 00:00" in words


def test_a_sample_says_what_a_row_stands_for(statistics: Statistics) -> None:
    words = text(section(statistics, sampling_rates={"fraud": 1.0, "legitimate": 0.1}))
    assert "The data is a sample of 100 % of the frauds and 10 % of the legitimate transactions" in words
    assert "so a fraud counts once and a legitimate transaction 10 times." in words
    assert "train 1,500 30 2.000 % 14,730 0.204 %" in words  # 30 of 30 + 1,470 / 0.1


def test_a_random_split_names_its_seed_and_keeps_the_time_out_of_it(statistics: Statistics) -> None:
    split = {"by": "random", "train": 0.65, "eval": 0.15, "test": 0.2, "seed": 3}
    words = text(section(statistics, split=split))
    assert "by a hash with seed 3" in words
    assert "is left out" not in words


def test_it_says_what_moved_most_and_whether_it_matters(statistics: Statistics) -> None:
    words = text(section(statistics))
    assert re.search(
        r"(shop|V1) moved the most: its divergence from train is 0\.\d{3} on (eval|test), which counts as much\.", words
    )
    assert "Of 5 columns, 2 moved much, 3 moved little." in words
    assert "The time itself (time) is left out" in words
    assert "Eval covers 12.0 hours and test covers 12.0 hours, so part of what moved is the hour of the day." in words
    assert "The schema sets no limit on drift" in words


def test_columns_beyond_the_schemas_limits_are_named(statistics: Statistics) -> None:
    schema = schema_pb2.Schema()
    for name, limit in (("V1", 0.01), ("amount", 0.99)):
        feature = schema.feature.add(name=name, type=schema_pb2.FLOAT)
        feature.drift_comparator.jensen_shannon_divergence.threshold = limit
    words = text(section(statistics, schema))
    assert "these columns are beyond their limit in the schema: V1." in words
    assert re.search(r"0\.\d\d of 0\.01, beyond it", words)


def test_names_from_the_data_are_escaped(statistics: Statistics) -> None:
    page = section(statistics)
    assert "<card>" not in page
    assert "&lt;card&gt;" in page


def test_values_that_training_lacks_are_counted(statistics: Statistics) -> None:
    new = new_categories(statistics, COLUMNS)
    assert new["<card>"] == {"eval": (0, 0.0), "test": (0, 0.0)}
    count, share = new["shop"]["test"]
    assert (count, share) == (1, pytest.approx(1 / 3, abs=0.06))
    assert "shop 1 (3" in text(section(statistics))


def test_missing_values_are_shares_of_each_split(statistics: Statistics) -> None:
    shares = missing_shares(statistics, COLUMNS)
    assert list(shares) == ["gaps"]
    assert shares["gaps"]["train"] == pytest.approx(0.25, abs=0.04)
    assert shares["gaps"]["test"] == pytest.approx(0.5, abs=0.06)
    assert "1 of 6 columns has missing values. Their share changes most in gaps, from 2" in text(section(statistics))


def test_of_many_columns_few_are_shown_at_once(statistics: Statistics) -> None:
    names = [f"V{index}" for index in range(434)]
    columns = Columns(label="fraud", numeric=tuple(names))
    wide = {split: statistics_pb2.DatasetFeatureStatisticsList() for split in SPLITS}
    for split in SPLITS:
        amount = by_name(statistics[split])["amount"]
        features = wide[split].datasets.add(num_examples=ROWS[split]).features
        for name in names:
            feature = features.add()
            feature.CopyFrom(amount)
            feature.path.step[0] = name
    facts = {**manifest(), "columns": columns.model_dump()}
    drift_by_column = moves(wide, compared(columns))
    page = data_section(SUMMARIES, facts, [], wide, schema_pb2.Schema(), drift_by_column)
    assert page.count("<svg") == SHOWN
    assert "<details><summary>All 434 columns</summary>" in page
    assert "434 moved little" in page
    assert len(page) < 100_000


def test_drift_that_the_gate_found_is_one_sentence_with_the_details_folded_away() -> None:
    findings = [Finding("test", f"V{index}", "High divergence", "0.6", False, "drift") for index in range(40)]
    assert checks_in_words(findings, COLUMNS) == "DataGate found drift beyond the schema's limits in 40 columns."
    assert check_values(findings, COLUMNS)["folded"]
    assert not check_values(findings[:5], COLUMNS)["folded"]


def test_what_stops_the_run_stands_above_warnings_and_leaks_are_counted_apart_from_drift() -> None:
    findings = [
        Finding("test", "V1", "Moved", "0.6", False, "drift"),
        Finding("train", "V2", "Tells much of the label", "0.6", False, "leakage"),
        Finding("test", "(all)", "Rows that stand in train", "9 of 90", False, "repeated rows"),
        Finding("train", "V3", "Missing values", "1 of 600", True),
    ]
    assert checks_in_words(findings, COLUMNS) == (
        "DataGate found 1 anomaly, drift beyond the schema's limits in 1 column, 1 column that alone tells "
        "much of the label and rows of test that stand in train as well."
    )
    rows = check_values(findings, COLUMNS)["rows"]
    assert [row[:3] for row in rows[:2]] == [["stops the run", "train", "V3"], ["warning", "test", "V1"]]


def test_where_nothing_was_found_it_says_so_and_that_the_id_was_not_looked_at() -> None:
    nothing = "DataGate found no anomaly, no leak, and no drift beyond the schema's limits."
    assert checks_in_words([], COLUMNS) == nothing
    named = COLUMNS.model_copy(update={"id": "payment"})
    assert checks_in_words([], named) == (
        f"{nothing} Not checked, because it is carried along and the model does not read it: payment."
    )


@pytest.mark.parametrize(
    ("seconds", "time_format", "words"),
    [
        (97_260.0, "seconds", "day 2, 03:01"),
        (0.0, "seconds", "day 1, 00:00"),
        (2 * 86_400 - 1.0, "seconds", "day 2, 23:59"),
        (-60.0, "seconds", "day 0, 23:59"),
        (1.6e9, "epoch", "2020-09-13 12:26"),
        (1_709_294_459.9, "epoch_ms", "2024-03-01 12:00"),
        (-1.0, "iso8601", "1969-12-31 23:59"),
        (1e18, "epoch_ms", "1,000,000"),
    ],
)
def test_times_read_as_people_write_them(seconds: float, time_format: str, words: str) -> None:
    assert moment(seconds, time_format).startswith(words)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(36, "36 seconds"), (60, "1.0 minutes"), (7200, "2.0 hours"), (172_792, "2.0 days"), (1.6e9, "50.7 years")],
)
def test_durations_are_in_the_largest_unit_that_fits(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_it_reads_what_the_components_leave(statistics: Statistics, tmp_path: Path) -> None:
    made, schema = standard_artifacts.ExampleStatistics(), standard_artifacts.Schema()
    made.uri, schema.uri = str(tmp_path / "statistics"), str(tmp_path)
    made.split_names = artifact_utils.encode_split_names(list(SPLITS))
    for split in SPLITS:
        (tmp_path / "statistics" / f"Split-{split}").mkdir(parents=True)
        path = tmp_path / "statistics" / f"Split-{split}" / "FeatureStats.pb"
        path.write_bytes(statistics[split].SerializeToString())
    tfdv.write_schema_text(schema_pb2.Schema(), str(tmp_path / "schema.pbtxt"))
    loaded, read = load(made, schema)
    assert loaded == statistics
    assert read == schema_pb2.Schema()
