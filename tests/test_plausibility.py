"""Figures that make no sense are found, and those of real data are not."""

from __future__ import annotations

from typing import Any

import pytest

from components.evaluation.plausibility import DataFacts, far_below_eval, implausible, remarks, too_good
from trainer.columns import SECONDS_A_DAY, Columns

YEAR = 365 * SECONDS_A_DAY


def facts(
    days: float | None,
    rows: int = 50_000,
    frauds: int = 500,
    time_format: Any = "seconds",
    start: float = 0,
    **more: Any,
) -> DataFacts:
    """Of data that covers so many days, of which the last fifth is the test split; without times for None."""
    columns = Columns(label="y", time=None if days is None else "t", time_format=time_format, numeric=("x",))
    splits, begin = [], 0.0
    for name, share in (("train", 0.6), ("eval", 0.2), ("test", 0.2)):
        split = {"name": name, "rows": int(rows * share), "frauds": int(frauds * share), "first": None, "last": None}
        if days is not None:
            split["first"] = start + begin * days * SECONDS_A_DAY
            begin += share
            split["last"] = start + begin * days * SECONDS_A_DAY
        splits.append(split)
    return DataFacts(columns, time_format, tuple(splits), **{"rates": {}, **more})


@pytest.mark.parametrize(
    "data",
    [
        facts(2, 284_807, 492, alerts_a_day=60),  # ULB
        facts(3 / 24, 600, 12, alerts_a_day=300),  # a demonstration of three hours
        facts(31, 6_362_620, 8213, alerts_a_day=400),  # PaySim
        facts(30 * 365, 24_386_900, 29_757, "iso8601", start=21 * YEAR, alerts_a_day=10),  # TabFormer, from 1991 on
        facts(182, 590_540, 20_663, "epoch", start=1.5e9, alerts_a_day=200),  # IEEE-CIS
        facts(None, 30_000, 6636),  # UCI's credit file
        facts(2, 1000, 900, rates={"fraud": 1.0, "legitimate": 0.01}),  # a sample
    ],
)
def test_data_as_it_is_passes(data: DataFacts) -> None:
    assert implausible(data, 100) == []


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        # days, then hours, read as seconds
        (facts(180 / 86_400), "the test split covers 36 seconds by the column t, read as seconds"),
        (facts(8760 / 86_400), "the test split covers 29.2 minutes by the column t, read as seconds"),
        # times that are all equal
        (facts(0), "the test split covers 0 seconds"),
        # milliseconds, microseconds and nanoseconds read as seconds
        (facts(2000, 4000), "the data covers 2,000.0 days with 2 transactions a day"),
        (facts(200_000), "the data covers 547.6 years"),
        (facts(2.9e14), "the data covers 793,"),
        # milliseconds since 1970 read as seconds since then, and the other way round
        (facts(3000, 10**8, time_format="epoch", start=1.7e12), "the data is of the years 55840 to "),
        (facts(1.5, 10**5, time_format="epoch_ms", start=1.7e6), "the data is of the years 1970 to 1970"),
        # a stream of ten billion a day
        (facts(0.5, 5 * 10**9), "the data has 10,000,000,000 transactions a day"),
        (facts(2, alerts_a_day=10_944), "the model raises 10,944 alerts a day, where a team can look at 100"),
        (facts(2, 50_000, 45_000), "90 % of the transactions are fraud: are the label's values the wrong way round"),
        (facts(2, 1000, 400, rates={"fraud": 0.5}), "57 % of the transactions are fraud"),
    ],
)
def test_what_makes_no_sense_is_named(data: DataFacts, sentence: str) -> None:
    sentences = implausible(data, 100)
    assert any(sentence in each for each in sentences), sentences
    if "fraud" not in sentence:
        assert "is columns.time_format right" in sentences[0]


def test_a_test_split_of_less_than_an_hour_is_a_remark() -> None:
    assert remarks(facts(3 / 24)) == ["The test split covers only 36.0 minutes, which says little of a day"]
    assert remarks(facts(6 / 24)) == remarks(facts(None)) == remarks(facts(1 / 24)) == []


def test_a_figure_that_is_too_good_is_a_leak_until_somebody_looked() -> None:
    (sentence,) = too_good({"average_precision": 0.9997}, 0.9995)
    assert sentence.startswith("average precision is 1.000 on the test split")
    assert sentence.endswith("evaluation.max_average_precision: 1 lets it pass")
    for value, most in ((0.9994, 0.9995), (1.0, 1.0), (None, 0.9995)):
        assert list(too_good({"average_precision": value}, most)) == []


def test_test_far_below_eval_is_a_remark_where_the_intervals_lie_apart() -> None:
    manifest = {
        f"eval_average_precision{end}": value for end, value in (("", 0.95), ("_lower", 0.93), ("_upper", 0.97))
    }
    figures = {"average_precision": 0.6, "average_precision_lower": 0.5, "average_precision_upper": 0.7}
    (sentence,) = far_below_eval(figures, manifest)
    assert sentence.startswith("Average precision is 0.950 (0.930 to 0.970) on eval and 0.600 (0.500 to 0.700) on test")
    for other in ({**figures, "average_precision_upper": 0.94}, {}):
        assert list(far_below_eval(other, manifest)) == []
    assert list(far_below_eval(figures, {"eval_average_precision": 0.95})) == []  # of an older model
