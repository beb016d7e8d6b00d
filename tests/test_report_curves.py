"""The report's curves, against scikit-learn on the same transactions, and thinned without losing their shape."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from components.evaluation.scores import Scores
from components.report.curves import (
    BINS,
    LEAST_FRAUDS,
    MOST_POINTS,
    Bins,
    Curve,
    curves_section,
    histograms,
    precision_recall,
    reliability,
    roc,
    thinned,
)
from components.report.page import page
from tests.support.browser import Browser
from tests.support.small_page import EVIL, Section
from tests.support.small_scores import drawn, of_model, table
from trainer.metrics import Ranking

MODELS = ("candidate", "current", "boosted_trees")


def scores_of(labels: Any, models: dict[str, Any]) -> Scores:
    columns = {"label": labels, "weight": np.ones(len(labels))}
    for name, probabilities in models.items():
        columns |= of_model(name, probabilities)
    return table(columns)


@st.composite
def rankings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of both classes, scores with equal ones among them, weights."""
    rows = draw(st.integers(2, 40))
    labels = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    assume(0 < labels.sum() < rows)
    scores = np.array(draw(st.lists(st.integers(0, 15), min_size=rows, max_size=rows))) / 16
    weights = np.array(draw(st.lists(st.sampled_from([1.0, 1.25, 11.5]), min_size=rows, max_size=rows)))
    return labels, scores, weights


@settings(deadline=None)
@given(rankings())
def test_precision_and_recall_are_those_of_sklearn_and_have_its_area(rows: tuple[np.ndarray, ...]) -> None:
    labels, scores, weights = rows
    curve = precision_recall(Ranking.from_scores(labels, scores, weights))
    precision, recall, _ = precision_recall_curve(labels, scores, sample_weight=weights)
    further = np.flatnonzero(np.diff(recall[::-1]) > 1e-12) + 1  # from the highest threshold down
    assert curve.x == pytest.approx(recall[::-1][further])
    assert curve.y == pytest.approx(precision[::-1][further])
    area = float(np.diff(curve.x, prepend=0.0) @ curve.y)
    assert area == pytest.approx(average_precision_score(labels, scores, sample_weight=weights))


@settings(deadline=None)
@given(rankings())
def test_roc_lies_on_sklearns_and_has_its_area(rows: tuple[np.ndarray, ...]) -> None:
    labels, scores, weights = rows
    curve = roc(Ranking.from_scores(labels, scores, weights))
    false, true, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    for x, y in zip(curve.x, curve.y, strict=True):
        assert np.hypot(false - x, true - y).min() == pytest.approx(0, abs=1e-9)
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == pytest.approx((0, 0, 1, 1))
    area = float(np.diff(curve.x) @ (curve.y[1:] + curve.y[:-1]) / 2)
    assert area == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))


def test_roc_of_few_frauds_has_few_points_at_any_number_of_transactions() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(50_000) < 20
    curve = roc(Ranking.from_scores(labels, random.random(50_000) + labels, random.random(50_000) + 1))
    assert len(curve.x) <= 42


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60), st.integers(2, 30))
def test_thinning_keeps_ends_order_and_number(points: list[tuple[float, float]], most: int) -> None:
    x, y = np.array(points).T
    curve = Curve(np.sort(x), y)
    few = thinned(curve, most)
    assert len(few.x) <= max(most, 2)
    if len(curve.x) <= most:
        assert few is curve
    assert np.all(np.diff(few.x) >= 0)
    assert (few.x[0], few.y[0], few.x[-1], few.y[-1]) == (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1])
    assert {*zip(few.x, few.y, strict=True)} <= {*zip(curve.x, curve.y, strict=True)}


def test_thinning_loses_no_shape() -> None:
    x = np.linspace(0, 1, 20_000)
    curve = Curve(x, np.where(x < 0.4, np.sqrt(x), 0.9 - 0.3 * x))
    few = thinned(curve)
    assert len(few.x) == MOST_POINTS
    assert np.abs(np.interp(x, few.x, few.y) - curve.y).max() < 1e-3
    straight = thinned(Curve(x, 2 * x))
    assert len(straight.x) < 50  # of which rounding makes more than two


def test_thinned_curves_of_many_frauds_have_nearly_the_area_of_all_points() -> None:
    scores = drawn(50_000, 5000, MODELS)
    ranking = Ranking.from_scores(scores.column("label"), scores.of("candidate", "score"), scores.column("weight"))
    few = thinned(precision_recall(ranking))
    assert len(few.x) == MOST_POINTS
    assert float(np.diff(few.x, prepend=0.0) @ few.y) == pytest.approx(ranking.average_precision(), abs=0.01)


# ---- calibration


def _in_bin(bins: Bins, at: int, probabilities: np.ndarray) -> np.ndarray:
    return (probabilities >= bins.low[at]) & (probabilities <= bins.high[at])


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000), rows=st.integers(50, 2000), levels=st.sampled_from([3, 20, 10**6]))
def test_bins_have_the_figures_of_their_transactions_and_enough_frauds(seed: int, rows: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.random(rows) < 0.2
    labels[:LEAST_FRAUDS] = True
    probabilities = np.float32(np.ceil(random.beta(1, 4, rows) * levels) / levels)
    weights = np.where(labels, 1.2, random.choice([5.0, 11.5], rows))
    bins = reliability(labels, probabilities, weights)
    assert 1 <= len(bins.low) <= BINS
    assert np.all(bins.frauds >= LEAST_FRAUDS)
    assert np.all(bins.low[1:] > bins.high[:-1])
    assert bins.frauds.sum() == labels.sum()
    assert bins.transactions.sum() == pytest.approx(weights.sum())
    for at in range(len(bins.low)):
        inside = _in_bin(bins, at, probabilities)
        assert bins.transactions[at] == pytest.approx(weights[inside].sum())
        assert bins.predicted[at] == pytest.approx(np.average(probabilities[inside], weights=weights[inside]))
        assert bins.observed[at] == pytest.approx(np.average(labels[inside], weights=weights[inside]))
        assert bins.lower[at] <= bins.observed[at]
        if bins.observed[at] < 1:
            assert bins.observed[at] <= bins.upper[at]


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held, drawn = 0, 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        probabilities = random.beta(0.3, 10, 4000)
        labels = random.random(4000) < probabilities
        kept = labels | (random.random(4000) < 0.25)  # a sample of the legitimate alone
        weights = np.where(labels, 1.0, 4.0)
        bins = reliability(labels[kept], probabilities[kept], weights[kept])
        held += int(((bins.lower <= bins.predicted) & (bins.predicted <= bins.upper)).sum())
        drawn += len(bins.low)
    assert 0.92 < held / drawn < 0.98


def test_a_calibrated_model_has_bins_with_equally_many_frauds() -> None:
    random = np.random.default_rng(3)
    probabilities = random.beta(0.3, 10, 50_000)
    bins = reliability(random.random(50_000) < probabilities, probabilities, np.ones(50_000))
    assert len(bins.low) == BINS
    assert bins.frauds.max() < 1.4 * bins.frauds.min()


# ---- histograms


def test_histograms_count_each_class_with_its_weights() -> None:
    labels = np.array([1, 1, 0, 0, 0])
    probabilities = np.array([0.0, 0.9, 0.5, 0.2, 1.0], np.float32)
    legitimate, frauds = histograms(labels, probabilities, np.array([1.0, 2, 3, 4, 5]), np.linspace(-16, 16, 5))
    assert legitimate.tolist() == [0, 4, 3, 5]  # log-odds -1.4, 0, and 1.0 at the end
    assert frauds.tolist() == [1, 0, 2, 0]


# ---- the section


def test_each_model_has_its_curves_and_figures() -> None:
    scores = drawn(5000, 60, MODELS)
    section = Section(curves_section(scores, 0.5))
    curves, rocs, calibration, bars = section.plots
    labels, weights = scores.column("label"), scores.column("weight")
    for plot, figure in ((curves, average_precision_score), (rocs, roc_auc_score)):
        names = [trace["name"] for trace in plot["traces"]]
        assert names[:4] == [
            *(
                f"{name}, {figure(labels, scores.of(model, 'score'), sample_weight=weights):.3f}"
                for name, model in zip(("new model", "in service", "boosted trees"), MODELS, strict=True)
            ),
            "chance",
        ]
        assert names[4:] == ["new model decides", "in service decides", "boosted trees decides"]
        dashes = [trace["line"]["dash"] for trace in plot["traces"][:3]]
        assert len(set(dashes)) == 3  # told apart without colour
    share = 60 * 1.2 / (60 * 1.2 + 4940 * 11.5)
    assert curves["traces"][3]["y"] == pytest.approx([share, share])
    assert rocs["layout"]["xaxis"]["type"] == "log"
    assert rocs["traces"][3]["x"] == rocs["traces"][3]["y"]
    stops = scores.of("candidate", "decision") > 0
    caught = weights[stops & (labels > 0)].sum()
    (decides,) = (trace for trace in curves["traces"] if trace["name"] == "new model decides")
    assert decides["x"] == pytest.approx([caught / weights[labels > 0].sum()])
    assert decides["y"] == pytest.approx([caught / weights[stops].sum()])
    assert [trace["name"] for trace in calibration["traces"]] == [
        *("calibrated", "new model", "in service", "boosted trees"),
    ]
    assert [trace.get("visible") for trace in calibration["traces"]] == [None, True, True, "legendonly"]
    for at in range(3):
        legitimate, frauds = bars["traces"][2 * at : 2 * at + 2]
        assert (legitimate["name"], frauds["name"]) == ("legitimate", "fraud")
        assert sum(legitimate["y"]) == pytest.approx(4940 * 11.5, rel=1e-5)
        assert sum(frauds["y"]) == pytest.approx(60 * 1.2, rel=1e-5)
    assert "chance has 0.1 %" in section.text
    assert "The dotted line is the new model's threshold." in section.text
    (bins,) = re.findall(r"<details>.*?</details>", curves_section(scores), flags=re.DOTALL)
    assert bins.count("<tr>") - 1 == len(calibration["traces"][1]["x"])


def test_a_candidate_alone_has_no_line_of_others() -> None:
    section = Section(curves_section(drawn(1000, 30, ("candidate",))))
    assert [[trace["name"].split(",")[0] for trace in plot["traces"]] for plot in section.plots] == [
        ["new model", "chance", "new model decides"],
        ["new model", "chance", "new model decides"],
        ["calibrated", "new model"],
        ["legitimate", "fraud"],
    ]
    assert "Click a name" not in section.text
    assert "dotted line is the new model's" not in section.text


def test_with_one_class_alone_or_few_frauds_it_says_so() -> None:
    section = Section(curves_section(scores_of([0, 0], {"candidate": [0.1, 0.9]})))
    assert section.text.strip() == "The test split has no fraud: there is nothing to tell apart, and no curve."
    section = Section(curves_section(scores_of([1, 1], {"candidate": [0.1, 0.9]})))
    assert "The test split has no legitimate transaction" in section.text
    section = Section(curves_section(scores_of([1, 0], {"candidate": [0.1, 0.1]})))
    assert "Not drawn: 1 fraud is too few, 10 are the least." in section.text
    assert len(section.plots) == 3


def test_probabilities_at_their_ends_are_drawn() -> None:
    labels = np.arange(100) < 20
    section = Section(curves_section(scores_of(labels, {"candidate": labels, "current": np.zeros(100)})))
    for plot in section.plots:
        for trace in plot["traces"]:
            assert all(np.isfinite([*trace["x"], *trace["y"]]))
    assert "nan" not in section.text


def test_names_of_models_are_shown_and_not_run() -> None:
    parts = curves_section(drawn(500, 20, ("candidate", EVIL)))
    assert "<script>alert" not in parts
    assert html.escape(EVIL) in str(Section(parts).plots)


def test_it_stays_small_at_any_number_of_rows() -> None:
    sizes = [len(curves_section(drawn(rows, rows // 20, MODELS))) for rows in (5000, 50_000)]
    assert max(sizes) < 250_000


@pytest.mark.parametrize(("width", "columns"), [(1400, 2), (390, 1)])
def test_plots_keep_to_their_places(browser: Browser, tmp_path: Path, width: int, columns: int) -> None:
    path = tmp_path / "report.html"
    path.write_text(page("Report", curves_section(drawn(2000, 60, MODELS)), plotly=True))
    with browser.page(width=width) as shown:
        shown.open(path)
        boxes = shown.evaluate(
            "['precision-recall-plot', 'roc-plot'].map(name => document.querySelector(`#${name} .main-svg`))"
            ".map(one => one.getBoundingClientRect()).map(box => [box.left, box.right])"
        )
        (_, first_end), (second, _) = boxes
        assert (second >= first_end) == (columns == 2)
        assert (shown.overflow, shown.too_wide, shown.errors, shown.outside) == (0, [], [], [])
