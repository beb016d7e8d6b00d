"""The report's comparison with other models: figures, sentences and what is drawn."""

from __future__ import annotations

import math
from typing import Any

import pytest

from components.evaluation.verdict import Comparison
from components.report.comparison import comparison_section, in_words
from components.report.per_day import PerDay
from tests.support.small_page import EVIL, Section
from trainer.decision.costs import Costs

CANDIDATE = {
    "average_precision": 0.8123,
    "average_precision_lower": 0.7501,
    "average_precision_upper": 0.8613,
    "roc_auc": 0.97,
    "brier": 0.000754,
    "calibration": 1.04,
    "alerts_a_day": 12.34,
    "true_positives": 20.0,
    "false_positives": 4.68,
    "false_negatives": 10.0,
    "true_negatives": 900.0,
    "caught_amount": 2000.0,
    "declined_amount": 155.0,
    "missed_amount": 2343.0,
    "cost": 2469.5,
    "savings": 15000.0,
    "savings_lower": -100.4,
    "savings_upper": 31000.0,
}
CURRENT = {"average_precision": 0.79, "roc_auc": None, "savings": 99.5}
COSTS, PER_DAY = Costs(), PerDay(2.0, "EUR")


def compared(against: str = "boosted_trees", difference: float | None = 0.012, **changes: Any) -> Comparison:
    usual = {"lower": -0.02, "upper": 0.041, "margin": 0.05, "passed": True}
    return Comparison(against, difference, **{**usual, **changes})


def shown(others: dict[str, Any], *comparisons: Comparison, **changes: Any) -> Section:
    return Section(comparison_section(CANDIDATE, others, comparisons, costs=COSTS, **{"per_day": PER_DAY, **changes}))


def test_a_row_for_each_figure_that_some_model_has_and_a_column_for_each_model() -> None:
    section = shown({"current": CURRENT, "tutorial": {}, "boosted_trees": {"brier": 0.1}}, current_version="17")
    assert section.rows == [
        ["on the test split", "new model", "in service, version 17", "boosted trees"],
        ["average precision", "0.812 (0.750 to 0.861)", "0.790", "n/a"],
        ["ROC-AUC", "0.970", "n/a", "n/a"],
        ["Brier score, 0 is best", "0.000754", "n/a", "0.1"],
        ["frauds expected for each there was, 1 is best", "1.04", "n/a", "n/a"],
        ["alerts a day", "12.3 24.7", "n/a", "n/a"],
        ["missed fraud a day", "1,171 EUR 2,343 EUR", "n/a", "n/a"],
        ["review a day", "62 EUR 124 EUR", "n/a", "n/a"],
        ["declined customers a day", "2 EUR 3 EUR", "n/a", "n/a"],
        ["cost a day", "1,235 EUR 2,470 EUR", "n/a", "n/a"],
        ["saved a day, against no model", "7,500 EUR (-50 to 15,500) 15,000 EUR", "49.75 EUR 99.50 EUR", "n/a"],
    ]


def test_without_times_the_figures_are_those_of_the_split() -> None:
    section = shown({}, per_day=PerDay(None, "EUR"))
    rows = {name: cells for name, *cells in section.rows}
    assert rows["alerts"] == ["12.3"]
    assert rows["cost"] == ["2,470 EUR"]
    assert rows["saved, against no model"] == ["15,000 EUR (-100 to 31,000)"]
    assert "The data has no times: counts and money are those of the whole test split." in section.text


def test_what_caught_frauds_earn_is_a_row_where_it_counts() -> None:
    section = Section(comparison_section(CANDIDATE, {}, (), costs=Costs(caught_fraud=10), per_day=PER_DAY))
    assert ["caught fraud a day", "-100 EUR -200 EUR"] in section.rows


@pytest.mark.parametrize(
    ("comparison", "sentence"),
    [
        (
            compared(),
            "Average precision 0.012 above the boosted trees (-0.020 to 0.041): within noise; its lower end is within "
            "the margin of 0.05 below: passed.",
        ),
        (
            compared("current", difference=-0.0714, lower=-0.13, upper=-0.01, passed=False),
            "Average precision 0.071 below the model in service (-0.130 to -0.010): more than noise; its lower end is "
            "beyond the margin of 0.05 below: failed.",
        ),
        (
            compared("tutorial", 0.1, lower=0.05, upper=0.15, margin=0.0, figure="roc_auc"),
            "ROC-AUC 0.100 above the tutorial network (0.050 to 0.150): more than noise; its lower end is not "
            "below 0: passed.",
        ),
        (
            compared(difference=-0.00001, lower=-0.01, upper=0.01, margin=0.0, passed=False),
            "Average precision the same as of the boosted trees (-0.010 to 0.010): within noise; its lower end is "
            "below 0: failed.",
        ),
        (
            compared(lower=None, upper=math.nan),
            "Average precision 0.012 above the boosted trees; its lower end is within the margin of 0.05 below: "
            "passed.",
        ),
        (
            compared(difference=math.nan, lower=math.nan, upper=math.nan),
            "Average precision cannot be compared with the boosted trees: it is not defined on the test split.",
        ),
        (
            compared(difference=None, lower=None, upper=None),
            "Average precision cannot be compared with the boosted trees: it is not defined on the test split.",
        ),
        (
            compared(
                "current", difference=-500.0, lower=-900.0, upper=-100.0, margin=100.0, passed=False, figure="savings"
            ),
            "The new model saves 250 EUR less a day (95 % interval of the difference -450 EUR to -50.00 EUR a day), "
            "more than noise, against the model in service; beyond noise, at most 50.00 EUR a day may be lost: failed.",
        ),
        (
            compared("current", difference=5.0, lower=-9.0, upper=11.0, margin=None, figure="savings"),
            "The new model saves 2.50 EUR more a day (95 % interval of the difference -4.50 EUR to 5.50 EUR a day), "
            "within noise, against the model in service; no bar is set (evaluation.max_savings_loss).",
        ),
    ],
)
def test_a_comparison_in_words(comparison: Comparison, sentence: str) -> None:
    assert in_words(comparison, PER_DAY) == sentence
    assert sentence in shown({}, comparison).text


def test_the_forest_has_each_difference_with_its_interval_and_margin() -> None:
    section = shown(
        {"current": CURRENT},
        compared("current", difference=-0.07, lower=-0.13, upper=-0.01, passed=False),
        compared(),
        compared("tutorial", margin=0.0),
        compared("gone", difference=math.nan),
    )
    (plot,) = section.plots
    traces = {trace["name"]: trace for trace in plot["traces"]}
    passed, failed = traces["passed"], traces["failed"]
    assert (passed["x"], passed["y"]) == ([0.012, 0.012], ["boosted trees", "tutorial network"])
    assert passed["error_x"]["array"] == pytest.approx([0.029, 0.029])
    assert passed["error_x"]["arrayminus"] == pytest.approx([0.032, 0.032])
    assert (failed["x"], failed["y"]) == ([-0.07], ["in service"])
    assert failed["marker"]["symbol"] != passed["marker"]["symbol"]  # told apart without colour
    assert (traces["margin"]["x"], traces["margin"]["y"]) == (
        [-0.05, -0.05, 0],
        ["in service", "boosted trees", "tutorial network"],
    )
    # the first is on top
    assert plot["layout"]["yaxis"]["categoryarray"] == ["tutorial network", "boosted trees", "in service"]
    assert plot["layout"]["shapes"][0]["x0"] == 0
    assert "red mark" in section.text
    assert section.text.count("passed") == 2


def test_several_figures_are_named() -> None:
    (plot,) = shown({}, compared(), compared(figure="roc_auc")).plots
    assert plot["traces"][0]["y"] == ["average precision,<br>boosted trees", "ROC-AUC,<br>boosted trees"]


def test_nothing_to_compare_with() -> None:
    section = shown({"current": {}})
    assert section.rows[0] == ["on the test split", "new model"]
    assert "There is no other model to compare with." in section.text
    assert section.plots == []
    assert shown({}, compared(difference=None)).plots == []


def test_what_comes_from_outside_is_shown_and_not_run() -> None:
    parts = comparison_section(
        CANDIDATE,
        {EVIL: CURRENT},
        [compared(EVIL), compared(EVIL, figure=EVIL)],
        costs=COSTS,
        per_day=PerDay(1.0, EVIL),
        current_version=EVIL,
    )
    assert "<script>alert" not in parts
    section = Section(parts)
    assert section.rows[0][2] == EVIL
    assert EVIL in section.text
