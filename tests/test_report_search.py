"""The report's section on the search: what is drawn and said, for every kind of trial."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import random
from typing import Any

import numpy as np
import pytest

from components.report.search import ENOUGH_FOR_IMPORTANCE, importance, search_section
from tests.support.small_page import EVIL, Section
from trainer.search.trials import Record, Trial


def trial(number: int, score: float | None = 0.5, **fields: Any) -> Trial:
    values = {"learning_rate": 10.0 ** -(number % 4 + 1), "optimizer": "adam"}
    usual = {"curve": () if score is None else (score,), "started": float(number), "ended": number + 2.0}
    return Trial(
        f"t{number}", fields.pop("status", "completed"), fields.pop("values", values), score, **{**usual, **fields}
    )


def record(*trials: Trial, **fields: Any) -> Record:
    usual: dict[str, Any] = {
        "objective": "average_precision",
        "greater_is_better": True,
        "oracle": "bayesian",
        "folds": 0,
        "workers": 1,
        "seed": 7,
        "default": trials[0].trial_id,
        "best": trials[0].trial_id,
        "seconds": 12.0,
        "trials": trials,
    }
    return Record(**{**usual, **fields})


def shown(*trials: Trial, **fields: Any) -> Section:
    return Section(search_section(record(*trials, **fields)))


def test_it_says_what_was_found_and_how() -> None:
    section = shown(
        trial(0, 0.7, spread=0.02),
        trial(1, 0.75, spread=0.01),
        trial(2, 0.6, status="stopped", reason="hopeless"),
        trial(3, None, status="failed", reason="out of memory"),
        best="t1",
        folds=3,
        workers=2,
        seconds=1234.5,
    )
    assert "Trial t1 is the best, average precision 0.7500 ± 0.0100 against 0.7000 ± 0.0200" in section.text
    assert (
        "Bayesian search: 4 trials (2 completed, 1 stopped, 1 failed), each on 3 folds, by 2 workers in 1,234 seconds, "
        "seed 7."
    ) in section.text


def test_the_table_has_all_trials_best_first_with_what_they_are_in_words() -> None:
    section = shown(
        trial(0, 0.7, values={"learning_rate": 0.00123456, "units": 32}),
        trial(1, None, status="failed", reason="out of memory", values={"units": 64}),
        trial(2, 0.9, status="stopped", reason="after 1 epoch", curve=(0.9,)),
        trial(3, 0.8, spread=0.01, curve=(0.5, 0.8), values={"learning_rate": 0.1, "batch_normalization": True}),
        trial(4, 0.75),
        best="t3",
        warm_start="t4",
    )
    assert section.rows == [
        [
            *("trial", "status", "average precision", "epochs run", "seconds"),
            *("learning rate", "units", "optimizer", "batch normalization", "reason"),
        ],
        ["t3, best", "completed", "0.8000 ± 0.0100", "2", "2.0", "0.1", "–", "–", "true", ""],
        ["t4, warm start", "completed", "0.7500", "1", "2.0", "0.1", "–", "adam", "–", ""],
        ["t0, default", "completed", "0.7000", "1", "2.0", "0.001235", "32", "–", "–", ""],
        ["t2", "stopped", "0.9000", "1", "2.0", "0.001", "–", "adam", "–", "after 1 epoch"],
        ["t1", "failed", "–", "0", "2.0", "–", "64", "–", "–", "out of memory"],
    ]


def test_what_comes_from_the_record_is_shown_and_not_run() -> None:
    values = [{EVIL: word, "optimizer": word} for word in ("adam", EVIL)]
    section = shown(
        trial(0, None, status="failed", reason=EVIL, values=values[0]),
        trial(1, 0.6, values=values[1]),
        *(dataclasses.replace(trial(n, n / 20, values=values[n % 2]), trial_id=f"{EVIL}{n}") for n in range(2, 14)),
        best="t1",
        objective=EVIL,
        oracle=EVIL,
    )
    tables = {"table", "thead", "tbody", "tr", "td", "th"}
    assert section.tags == {"p", "strong", "h3", "div", "script", "noscript"} | tables
    # in the conclusion, with the oracle, and in what is said of importance and curves; the cells are apart
    assert section.text.count("<script>alert") == 4
    assert EVIL in section.rows[0]
    assert section.rows[-1][0] == "t0, default"
    assert section.rows[-1][-1] == EVIL
    escaped = html.escape(EVIL)
    assert escaped in section.axes
    # Plotly draws the ticks of these axes as they are, letter by letter; all other text is its own mark-up
    assert EVIL in section.axes["optimizer"]["ticktext"]
    assert escaped in section.traces("bar")[0]["y"]
    drawn = json.dumps([*section.traces("scatter"), *section.traces("bar")])
    assert f"trial {escaped}5 (completed)<br>{escaped} 0.2500<br>{escaped} " in drawn
    assert "<script" not in drawn
    layouts = json.dumps([{**plot["layout"], "template": None} for plot in section.plots])
    assert escaped in layouts
    assert "<script" not in layouts


def test_an_axis_for_each_hyperparameter_that_varies_and_one_for_the_score() -> None:
    section = shown(
        trial(0, 0.5, values={"learning_rate": 0.001, "units": 16, "activation": "relu", "momentum": 0.9, "same": 3}),
        trial(1, 0.7, values={"learning_rate": 0.01, "units": 512, "activation": "gelu", "same": 3}),
        trial(2, 0.6, values={"learning_rate": 0.002, "units": 16, "activation": "tanh", "momentum": 0.5, "same": 3}),
        trial(3, None, status="failed", values={"learning_rate": 9.0, "units": 1}),
        best="t1",
    )
    axes = section.axes
    assert list(axes) == ["learning rate", "units", "activation", "momentum", "average<br>precision"]
    assert axes["learning rate"]["values"] == pytest.approx([-3, -2, math.log10(0.002)])
    assert axes["learning rate"]["ticktext"] == ["0.001", "0.002", "0.01"]
    assert axes["units"]["values"] == pytest.approx([math.log10(16), math.log10(512), math.log10(16)])
    assert axes["units"]["ticktext"] == ["16", "512"]
    assert axes["activation"]["values"] == [1, 0, 2]
    assert axes["activation"]["ticktext"] == ["gelu", "relu", "tanh"]
    below = axes["momentum"]["values"][1]
    assert axes["momentum"]["values"] == [0.9, below, 0.5]
    assert below < 0.5
    assert dict(zip(axes["momentum"]["tickvals"], axes["momentum"]["ticktext"], strict=True))[below] == "–"
    assert axes["average<br>precision"]["values"] == [0.5, 0.7, 0.6]
    for axis in axes.values():
        low, high = axis["range"]
        assert all(low < place < high for place in [*axis["values"], *axis["tickvals"]])
    assert "“–” stands for a hyperparameter that the trial does not use" in section.text


def test_choices_that_are_numbers_and_words_lie_in_their_order() -> None:
    weights = ["balanced", "2.0", "100.0", "10.0"]
    section = shown(*(trial(n, values={"fraud_weight": weight}) for n, weight in enumerate(weights)))
    assert section.axes["fraud weight"]["ticktext"] == ["2.0", "10.0", "100.0", "balanced"]
    section = shown(trial(0, values={"b": False}), trial(1, values={}), trial(2, values={"b": True}))
    assert section.axes["b"]["ticktext"] == ["–", "false", "true"]
    assert section.axes["b"]["values"] == [1, 0, 2]


def test_many_numbers_have_their_ends_and_round_numbers_as_ticks() -> None:
    rates = [0.00035, 0.0006, 0.0011, 0.0019, 0.0042, 0.0077, 0.0123]
    section = shown(*(trial(n, 0.7 + n / 100, values={"learning_rate": rate}) for n, rate in enumerate(rates)))
    assert section.axes["learning rate"]["ticktext"] == ["0.00035", "0.001", "0.003", "0.0123"]
    assert section.axes["average<br>precision"]["ticktext"] == ["0.7", "0.72", "0.74", "0.76"]


def test_scores_that_differ_in_the_sixth_digit_have_ticks_that_do() -> None:
    section = shown(trial(0, 0.812341), trial(1, 0.812349))
    assert section.axes["average<br>precision"]["ticktext"] == ["0.812341", "0.812349"]


def test_a_long_name_takes_two_lines() -> None:
    section = shown(trial(0), trial(1, 0.6), objective="recall_at_1_percent_false_positives")
    assert "recall at 1 percent<br>false positives" in section.axes


def test_the_best_so_far_rises_over_completed_trials_alone() -> None:
    section = shown(
        trial(0, 0.5, ended=3.0),
        trial(1, 0.6, ended=1.0),
        trial(2, 0.9, ended=2.0, status="stopped"),
        trial(3, 0.8, ended=4.0, spread=0.01),
        trial(4, 0.7, ended=5.0),
        best="t3",
        warm_start="t4",
    )
    (line,) = section.named("best so far")
    assert (line["x"], line["y"]) == ([1, 3, 4, 5, 5], [0.6, 0.6, 0.8, 0.8, 0.8])
    assert line["line"]["shape"] == "hv"
    marks = {trace["name"]: trace["x"] for trace in section.traces("scatter") if trace["mode"] == "markers"}
    assert marks == {"completed": [1, 4], "stopped": [2], "config's own values": [3], "warm start": [5]}
    hover = next(trace["text"] for trace in section.named("completed"))[1]
    assert hover == (
        "trial t3 (completed, best)<br>average precision 0.8000 ± 0.0100<br>learning rate 0.0001<br>optimizer adam"
    )


def test_a_loss_is_better_the_lower_it_is() -> None:
    trials = [trial(0, 0.5), trial(1, 0.2), trial(2, 0.3), trial(3, math.nan)]
    section = shown(*trials, best="t1", objective="loss", greater_is_better=False)
    (line,) = section.named("best so far")
    assert line["y"] == [0.5, 0.2, 0.2, 0.2]
    assert [row[0] for row in section.rows[1:]] == ["t1, best", "t2", "t0, default", "t3"]
    bottom, top = section.axes["loss"]["range"]
    assert bottom > 0.5
    assert top < 0.2
    (coordinates,) = section.traces("parcoords")
    colours = coordinates["line"]["color"]
    assert max(colours) == colours[1] == coordinates["line"]["cmax"]
    assert min(colours) == colours[0]
    assert "turned over so that up is better" in section.text


def test_losses_far_apart_are_on_a_log_axis() -> None:
    section = shown(trial(0, 0.1), trial(1, 100.0), objective="loss", greater_is_better=False)
    assert [plot["layout"]["yaxis"]["type"] for plot in section.plots[1:]] == ["log", "log"]
    assert section.axes["loss"]["values"] == pytest.approx([-1, 2])


def test_the_curves_start_at_the_first_epoch_of_the_trial_and_show_the_best_last() -> None:
    section = shown(
        trial(0, 0.5, curve=(0.4, 0.5)),
        trial(1, 0.7, curve=(0.6, 0.7), first_epoch=3),
        trial(2, 0.6, curve=(0.6,)),
        trial(3, 0.3, curve=(0.2, 0.3), status="stopped"),
        trial(4, None, status="failed"),
        best="t1",
    )
    curves = section.plots[-1]["traces"]
    assert [(curve["name"], curve["x"], curve["y"]) for curve in curves] == [
        ("other trials", [1, None, 1, 2, None, None], [0.6, None, 0.2, 0.3, None, None]),
        ("config's own values", [1, 2, None], [0.4, 0.5, None]),
        ("best", [4, 5, None], [0.6, 0.7, None]),
    ]
    assert curves[-1]["line"]["width"] > curves[0]["line"]["width"]
    assert [row[3] for row in section.rows if row[0] == "t1, best"] == ["4 to 5"]


def test_of_hyperbands_own_values_the_epochs_are_shown_where_they_vary() -> None:
    def values(epochs: int) -> dict[str, Any]:
        return {"units": 8 * epochs, "tuner/epochs": epochs, "tuner/bracket": epochs, "tuner/trial_id": "t0"}

    section = shown(trial(0, values=values(2)), trial(1, values=values(6)), oracle="hyperband")
    assert list(section.axes) == ["units", "epochs", "average<br>precision"]
    assert section.axes["epochs"]["values"] == [2, 6]
    assert section.rows[0] == ["trial", "status", "average precision", "epochs run", "seconds", "units"]
    assert "tuner/" not in json.dumps(section.plots)
    section = shown(trial(0, values=values(2)), trial(1, values={**values(2), "units": 1}))
    assert list(section.axes) == ["units", "average<br>precision"]


def test_one_trial_alone_has_nothing_to_be_compared_with() -> None:
    section = shown(trial(0))
    assert section.traces("parcoords") == []
    assert "Bayesian search: 1 trial (1 completed), without folds, by 1 worker in 12 seconds, seed 7." in section.text
    assert "Not estimated from 1 completed trial: with fewer than 10" in section.text
    assert len(section.plots) == 2
    assert [row[0] for row in section.rows] == ["trial", "t0, best, default"]


def searched(count: int, score: Any) -> list[Trial]:
    """Trials with values drawn at random; `score` makes one of them and of noise."""
    draw = random.Random(1)
    trials = []
    for number in range(count):
        values = {
            "learning_rate": 10 ** draw.uniform(-4, -1),
            "units": draw.choice([16, 32, 64]),
            "optimizer": draw.choice(["adam", "sgd"]),
        }
        if values["optimizer"] == "sgd":
            values["momentum"] = draw.uniform(0.5, 0.99)
        trials.append(trial(number, score(values, draw.gauss(0, 0.01)), values=values))
    return trials


def test_what_the_score_depends_on_is_important() -> None:
    def score(values: dict[str, Any], noise: float) -> float:
        return 0.8 - 0.1 * abs(math.log10(values["learning_rate"]) + 2)

    trials = searched(30, score)
    importances = importance(trials)
    rises = {name: float(rise.mean()) for name, rise in importances.rise.items()}
    assert set(rises) == {"learning rate", "units", "optimizer", "momentum"}
    assert rises["learning rate"] > 10 * max(rise for name, rise in rises.items() if name != "learning rate")
    # in units of the score: who takes one trial for another is wrong by the difference of their scores
    scores = np.array([one.score for one in trials])
    differences = np.abs(scores[:, None] - scores).mean()
    assert differences / 2 < rises["learning rate"] < differences
    assert importances.explained > 0.8
    again = importance(trials)
    assert all(np.array_equal(rise, again.rise[name]) for name, rise in importances.rise.items())


def test_a_note_says_where_bars_mean_nothing() -> None:
    section = shown(*searched(20, lambda values, noise: 0.7 + noise))
    assert "predicts no better than their mean: do not trust the bars" in section.text


def test_importance_is_of_completed_trials_and_has_error_bars_and_its_method() -> None:
    trials = searched(ENOUGH_FOR_IMPORTANCE, lambda values, noise: values["units"] / 100 + noise)
    stopped = [dataclasses.replace(one, trial_id=f"s{one.trial_id}", status="stopped", score=0.0) for one in trials]
    section = shown(*trials, *stopped)
    (bar,) = section.traces("bar")
    assert bar["y"][-1] == "units"
    assert bar["x"] == sorted(bar["x"])
    assert len(bar["error_x"]["array"]) == len(bar["x"])
    assert "shuffled among the 10 completed trials" in section.text
    assert "Breiman, Random Forests, Machine Learning 45, 2001" in section.text
    section = shown(*trials[1:], *stopped)
    assert section.traces("bar") == []
    assert "Not estimated from 9 completed trials: with fewer than 10" in section.text


def test_trials_that_all_scored_the_same_tell_nothing_of_importance() -> None:
    section = shown(*searched(12, lambda values, noise: 0.5))
    assert "the 12 completed trials have the same values or the same score" in section.text
    low, high = section.axes["average<br>precision"]["range"]
    assert low < 0.5 < high
