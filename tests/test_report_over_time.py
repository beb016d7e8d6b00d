"""The test split over time: each span against counting its rows, and what the section says of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.report.over_time import ENOUGH_SPANS, MOST_SPANS, WIDTHS, over_time, over_time_section
from tests.support.small_page import EVIL, Section
from tests.support.small_scores import drawn, scores_of, some_costs, transactions
from trainer.columns import SECONDS_A_DAY, Columns
from trainer.decision.costs import Costs
from trainer.decision.outcomes import CostedTransactions

HOUR = 3600
COLUMNS = Columns(label="fraud", time="when", amount="paid", time_format="seconds")


def of_no_cost(number: int) -> CostedTransactions:
    return CostedTransactions.from_arrays(np.zeros(number), None, np.ones(number), Costs())


@settings(deadline=None, max_examples=60)
@given(
    rows=transactions(),
    costs=some_costs,
    seed=st.integers(0, 100),
    length=st.sampled_from([0.0, 90.0, 7.7 * HOUR, 3 * SECONDS_A_DAY, 40 * SECONDS_A_DAY, 900 * SECONDS_A_DAY]),
    from_1970=st.booleans(),
)
def test_each_span_has_what_its_rows_come_to(
    rows: dict[str, Any], costs: Costs, seed: int, length: float, from_1970: bool
) -> None:
    random = np.random.default_rng(seed)
    number = len(rows["labels"])
    times = np.where(random.random(number) < 0.1, np.nan, 1e9 + length * random.random(number))
    stops = random.random(number) < 0.5
    of_all = CostedTransactions.from_arrays(rows["labels"], rows["amount"], rows["weight"], costs)
    spans = over_time(of_all, times, stops, from_1970=from_1970)
    if spans is None:
        assert np.isnan(times).all()
        return
    assert spans.width in WIDTHS
    assert np.all(np.diff(spans.starts) == spans.width)
    assert spans.untimed == pytest.approx(rows["weight"][np.isnan(times)].sum())
    for at, start in enumerate(spans.starts):
        inside = (times >= start) & (times < start + spans.width)
        weights, labels = rows["weight"][inside], rows["labels"][inside]
        cost = float(weights @ costs.of(stops[inside], labels, rows["amount"][inside]))
        nothing = float(weights @ costs.of(np.zeros(len(labels), bool), labels, rows["amount"][inside]))
        of = spans.outcomes
        assert of.stopped[at] == pytest.approx(weights[stops[inside]].sum())
        assert of.true_positives[at] == pytest.approx(weights[stops[inside] & labels].sum())
        assert of.false_negatives[at] == pytest.approx(weights[~stops[inside] & labels].sum())
        assert of.cost[at] == pytest.approx(cost)
        assert of.savings[at] == pytest.approx(nothing - cost)
    timed = times[~np.isnan(times)]
    assert spans.starts[0] <= timed.min() < spans.starts[0] + spans.width
    assert spans.starts[-1] <= timed.max() < spans.starts[-1] + spans.width


@pytest.mark.parametrize(
    ("days", "unit", "number"),
    [
        (0.001, "a minute", 2),
        (0.32, "an hour", 8),
        (2, "an hour", 48),
        (10, "a day", 10),
        (80, "a week", 12),
        (400, "four weeks", 15),
    ],
)
def test_the_spans_are_the_longest_that_show_a_course(days: float, unit: str, number: int) -> None:
    times = np.linspace(0, days * SECONDS_A_DAY - 1, 500)
    one = CostedTransactions.from_arrays(np.zeros(500), None, np.ones(500), Costs())
    spans = over_time(one, times, np.zeros(500, bool), from_1970=False)
    assert spans is not None
    assert (WIDTHS[spans.width], len(spans.starts)) == (unit, number)
    assert len(spans.starts) >= ENOUGH_SPANS or spans.width == min(WIDTHS)


@pytest.mark.parametrize("wrong", [253402214400.0, -62135596800.0, 1e300, -1e300])  # the years 9999 and 1
def test_one_wrong_date_leaves_the_course_as_it_is_and_is_told(wrong: float) -> None:
    times = 1.7e9 + np.arange(480) * 1800.0
    right = over_time(of_no_cost(480), times, np.zeros(480, bool), from_1970=True)
    spans = over_time(of_no_cost(481), np.append(times, wrong), np.zeros(481, bool), from_1970=True)
    assert right is not None
    assert spans is not None
    assert spans.outlying == 1
    assert (spans.width, spans.starts.tolist()) == (right.width, right.starts.tolist())
    assert spans.outcomes.true_negatives.tolist() == right.outcomes.true_negatives.tolist()
    scores = scores_of([0] * 481, [0.2] * 481, time=np.append(times, wrong))
    section = Section(over_time_section(scores, Costs(), COLUMNS.model_copy(update={"time_format": "iso8601"})))
    assert "1 transaction has a time far from all others and is left out." in section.text


def test_no_times_make_more_spans_than_a_reader_can_tell_apart() -> None:
    times = np.linspace(0, 3000 * 365.0 * SECONDS_A_DAY, 5000)
    spans = over_time(of_no_cost(5000), times, np.zeros(5000, bool), from_1970=True)
    assert spans is not None
    assert len(spans.starts) <= MOST_SPANS
    assert spans.outlying + spans.outcomes.true_negatives.sum() == 5000


def test_dates_beyond_the_calendar_are_shown_as_days() -> None:
    columns = COLUMNS.model_copy(update={"time_format": "iso8601"})
    times = 253402300799.0 + np.arange(50) * 3600.0  # from the last second of the year 9999
    section = Section(over_time_section(scores_of([0] * 50, [0.2] * 50, time=times), Costs(), columns))
    assert section.plots[0]["layout"]["xaxis"]["title"]["text"] == "days since 1970"


def test_weeks_begin_on_mondays_where_the_dates_are_known() -> None:
    times = np.datetime64("2026-01-01", "s").astype(np.int64) + np.arange(60) * float(SECONDS_A_DAY)
    one = CostedTransactions.from_arrays(np.zeros(60), None, np.ones(60), Costs())
    spans = over_time(one, times, np.zeros(60, bool), from_1970=True)
    assert spans is not None
    days = np.array(spans.starts, "datetime64[s]").astype("datetime64[D]")
    assert days[0] == np.datetime64("2025-12-29")
    assert {day.item().isoweekday() for day in days} == {1}


def test_the_section_shows_counts_and_money() -> None:
    scores = drawn(2000, 40)
    section = Section(over_time_section(scores, Costs(), COLUMNS))
    counts, money = section.plots
    assert [trace["name"] for trace in counts["traces"]] == ["frauds caught", "frauds missed", "alerts"]
    assert [trace["name"] for trace in money["traces"]][-1] == "cost without a model"
    assert money["layout"]["yaxis"]["title"]["text"] == "EUR in an hour"
    frauds = sum(sum(trace["y"]) for trace in counts["traces"][:2])
    assert frauds == pytest.approx(float(scores.column("weight") @ scores.column("label")), rel=1e-4)
    header, *rows = section.rows
    assert header == [
        "from",
        "frauds",
        "alerts",
        "frauds caught",
        "false alarms",
        "cost",
        "cost without a model",
        "saved",
    ]
    assert rows[0][0] == "day 1, 00:00"
    assert len(rows) == 49  # the last row lies on the end of two days
    assert "decisions on the test split, in spans of an hour" in section.text


def test_without_times_or_amounts_it_says_what_is_there() -> None:
    assert "The data has no times" in Section(over_time_section(scores_of([1, 0], [0.9, 0.1]), Costs(), COLUMNS)).text
    times = np.array([0.0, 3 * HOUR, np.nan])
    section = Section(over_time_section(scores_of([1, 0, 0], [0.9, 0.1, 0.2], time=times), Costs(), COLUMNS))
    assert len(section.plots) == 1
    assert section.rows[0] == ["from", "frauds", "alerts", "frauds caught", "false alarms"]
    assert "1 transaction has no time and is left out." in section.text
    unknown = over_time_section(scores_of([1, 0], [0.9, 0.1], time=[np.nan, np.nan]), Costs(), COLUMNS)
    assert "The data has no times" in Section(unknown).text


def test_dates_are_shown_as_dates_and_names_are_not_run() -> None:
    columns = COLUMNS.model_copy(update={"time_format": "iso8601"})
    section = Section(over_time_section(drawn(2000, 40), Costs(currency=EVIL), columns))
    assert section.plots[0]["layout"]["xaxis"]["type"] == "date"
    assert section.rows[1][0] == "1970-01-01 00:00"
    assert "<script>alert" not in str(section.plots)
