"""The report's figures of parts of the transactions: in order, and never a figure where there was no fraud."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.evaluation.slices import band_names, ordered
from components.report.per_day import PerDay
from components.report.slices import slices_section
from tests.support.small_page import EVIL, Section


def figures(frauds: float, average_precision: float | None = 0.8, **changes: float | None) -> dict[str, float | None]:
    return {
        "transactions": 1234.0,
        "frauds": float(frauds),
        "average_precision": average_precision,
        "average_precision_lower": 0.7,
        "average_precision_upper": 0.85,
        "recall_at_1_percent_false_positives": 0.9,
        "cost": 321.5,
        **changes,
    }


def shown(slices: dict[str, Any]) -> Section:
    return Section(slices_section(slices, PerDay(2.0, "EUR")))


def test_each_slice_has_a_row() -> None:
    section = shown({"amount": {"below 10": figures(50), "10 to 100": figures(0, None), "100 and more": figures(9)}})
    assert section.rows == [
        [
            *("amount", "transactions", "frauds"),
            *("average precision (95 % interval)", "recall at 1 % false positives", "cost a day"),
        ],
        ["below 10", "1,234", "50", "0.800 (0.700 to 0.850)", "0.900", "161 EUR 322 EUR"],
        ["10 to 100 *", "1,234", "0", "n/a", "n/a", "161 EUR 322 EUR"],
        ["100 and more *", "1,234", "9", "0.800 (0.700 to 0.850)", "0.900", "161 EUR 322 EUR"],
    ]
    assert "* These parts have fewer than 10 frauds: one more or less would change their figures" in section.text


@given(
    st.lists(st.floats(0.5, 1e6).map(lambda band: float(f"{band:.3g}")), min_size=1, max_size=6, unique=True),
    st.integers(0, 1000),
)
def test_bands_of_amount_rise_and_what_is_missing_is_last(bands: list[float], seed: int) -> None:
    names = [*band_names(sorted(bands)), "missing"]
    assert ordered(random.Random(seed).sample(names, len(names))) == names


@pytest.mark.parametrize(
    "order",
    [
        ["00", "01", "09", "10", "23", "missing"],
        ["day 1", "day 2", "day 10", "missing"],
        ["2013-09-02", "2013-09-10", "2013-10-01", "2014-01-01", "missing"],
        ["below 10", "10 to 100", "100 to 1,000", "1,000 and more", "missing"],
        ["below 1,000", "1,000 to 1,000,000", "1,000,000 and more"],
        ["all"],
    ],
)
def test_hours_and_days_are_in_order(order: list[str]) -> None:
    assert ordered(order[::-1]) == order


@given(st.sampled_from([0.0, 1.0, None, math.nan]), st.sampled_from([0.0, None]))
def test_without_a_fraud_a_slice_has_no_figure(made: float | None, frauds: float | None) -> None:
    slices = {"hour": {"00": figures(20), "01": figures(30), "02": {**figures(0, made), "frauds": frauds}}}
    section = shown(slices)
    assert section.rows[3][3:5] == ["n/a", "n/a"]
    (plot,) = section.plots
    assert plot["traces"][0]["x"] == ["00", "01"]
    assert plot["layout"]["xaxis"]["categoryarray"] == ["00", "01", "02"]  # a gap is left


def test_small_slices_are_drawn_apart() -> None:
    section = shown({"day": {"day 2": figures(9, 0.3), "day 1": figures(10), "day 3": figures(40, 0.75)}})
    (plot,) = section.plots
    enough, few = plot["traces"]
    assert (enough["name"], enough["x"], enough["y"]) == ("10 frauds or more", ["day 1", "day 3"], [0.8, 0.75])
    assert (few["name"], few["x"], few["y"]) == ("fewer than 10 frauds", ["day 2"], [0.3])
    assert enough["error_y"]["array"] == pytest.approx([0.05, 0.1])
    assert enough["error_y"]["arrayminus"] == pytest.approx([0.1, 0.05])
    assert enough["marker"]["symbol"] != few["marker"]["symbol"]


def test_there_is_no_note_where_all_slices_are_large_or_there_is_no_money() -> None:
    slices = {"hour": {"00": figures(20, cost=None), "01": figures(30, cost=None)}}
    section = shown(slices)
    assert section.text.strip() == "By hour of the day"
    assert [len(row) for row in section.rows] == [5, 5, 5]
    assert "*" not in str(section.rows)


def test_one_slice_with_a_figure_is_not_drawn() -> None:
    assert shown({"day": {"day 1": figures(20), "day 2": figures(0, None)}}).plots == []


def test_many_rows_are_folded_away() -> None:
    day = PerDay(2.0, "EUR")
    many = slices_section({"hour": {f"{hour:02d}": figures(20) for hour in range(24)}}, day)
    assert "<summary>The figures, in 24 rows</summary>" in many
    assert "<details>" not in slices_section({"day": {"day 1": figures(20)}}, day)


@pytest.mark.parametrize(("name", "value"), [("day", "day 1"), ("hour", "09")])
def test_of_days_and_hours_the_cost_is_the_splits_own(name: str, value: str) -> None:
    section = shown({name: {value: figures(20)}})
    assert [row[5] for row in section.rows] == ["cost on the test split", "322 EUR"]


def test_of_data_without_times_the_cost_is_the_splits_own() -> None:
    section = Section(slices_section({"amount": {"below 10": figures(20)}}, PerDay(None, "EUR")))
    assert [row[5] for row in section.rows] == ["cost", "322 EUR"]


def test_data_without_amounts_and_times() -> None:
    assert shown({}).text == "The data has neither amounts nor times by which to divide the transactions."


def test_what_comes_from_outside_is_shown_and_not_run() -> None:
    section = slices_section({EVIL: {EVIL: figures(20), "b": figures(20)}}, PerDay(2.0, EVIL))
    assert "<script>alert" not in section
    assert Section(section).rows[1][0] == EVIL
