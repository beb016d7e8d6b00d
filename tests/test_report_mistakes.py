"""The most costly mistakes: which they are, what drove them, and what a reader sees of it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from components.evaluation.scores import Place, Scores
from components.report.mistakes import (
    DECLINED,
    MISSED,
    SHOWN_FEATURES,
    SIGNATURE,
    Attributions,
    Mistake,
    attributions,
    costly_mistakes,
    identifiers,
    mistakes_section,
    serialized_examples,
    thresholds,
)
from tests.support.small_data import example, write
from tests.support.small_page import EVIL, Section
from tests.support.small_scores import of_model, table, written
from trainer.columns import Columns
from trainer.decision.costs import Costs
from trainer.manifest import write_manifest

COSTS = Costs(missed_fraud=1.0, review=5.0, declined=0.1)
COLUMNS = Columns(label="fraud", time="when", amount="euros", numeric=("age",), categorical={"card": "string"})
MANIFEST: dict[str, Any] = {
    "threshold": 0.4,
    "decision": {"by": "threshold"},
    "columns": COLUMNS.model_dump(mode="json"),
    "explained_features": ["when", "age", "euros", "card"],
    "explained_by": "By a method that names itself.",
}

# label, amount, time, score, whether it was stopped
Told = tuple[int, float, float, float, int]


def _scores(folder: Path, *files: Sequence[Told], without: Sequence[str] = ()) -> Scores:
    def columns(rows: Sequence[Told]) -> dict[str, Any]:
        labels, amounts, times, scores, stopped = (list(column) for column in zip(*rows, strict=True))
        places = {
            "label": labels,
            "weight": [1.0] * len(rows),
            "amount": amounts,
            "time": times,
            "candidate.score": scores,
            "candidate.probability": [score / 2 for score in scores],
            "candidate.decision": stopped,
        }
        return {name: values for name, values in places.items() if name not in without}

    return written(folder, *(columns(rows) for rows in files))


def test_mistakes_come_by_what_they_cost_beyond_the_better_decision(tmp_path: Path) -> None:
    mistakes = costly_mistakes(
        _scores(
            tmp_path,
            [
                (1, 100.0, 3600.0, 0.25, 0),  # a fraud that passed: 100, not 5
                (0, 50.0, 7200.0, 0.75, 1),  # a customer who was declined: 10, not 0
                (1, 80.0, 0.0, 0.75, 1),  # caught
                (0, 70.0, 0.0, 0.25, 0),  # passed, rightly
            ],
            [
                (1, 4.0, 0.0, 0.25, 0),  # a fraud not worth its review
                (1, 2.0, 0.0, 0.75, 1),  # one that was stopped all the same
                (1, 1000.0, math.nan, 0.0, 0),
                (0, math.nan, 1.0, 1.0, 1),  # of an amount that is not known: the review alone
            ],
        ),
        COSTS,
    )
    assert [(mistake.place, mistake.kind, round(mistake.cost, 4)) for mistake in mistakes] == [
        (Place("part-1.gz", 2), MISSED, 995.0),
        (Place("part-0.gz", 0), MISSED, 95.0),
        (Place("part-0.gz", 1), DECLINED, 10.0),
        (Place("part-1.gz", 3), DECLINED, 5.0),
    ]
    assert mistakes[1] == Mistake(Place("part-0.gz", 0), 1, 100.0, 3600.0, 0.25, 0.125, 95.0)
    assert math.isnan(mistakes[0].time)
    assert math.isnan(mistakes[3].amount)


def test_there_are_no_more_than_are_wanted_and_equals_keep_their_order(tmp_path: Path) -> None:
    scores = _scores(tmp_path, [(1, 50.0, float(row), 0.1, 0) for row in range(30)])
    assert [mistake.place.row for mistake in costly_mistakes(scores, COSTS)] == list(range(20))
    assert [mistake.place.row for mistake in costly_mistakes(scores, COSTS, count=3)] == [0, 1, 2]


def test_data_without_amounts_and_times_has_declined_customers_alone(tmp_path: Path) -> None:
    rows = [(1, 9e9, 0.0, 0.1, 0), (0, 0.0, 0.0, 0.9, 1)]
    (mistake,) = costly_mistakes(_scores(tmp_path, rows, without=("amount", "time")), COSTS)
    assert (mistake.kind, mistake.cost) == (DECLINED, 5.0)
    assert math.isnan(mistake.amount)
    assert math.isnan(mistake.time)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_no_mistake_left_out_costs_more_than_one_that_is_shown(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    labels, stopped = (data.draw(arrays.arrays(bool, count)) for _ in range(2))
    amounts = data.draw(arrays.arrays(np.float32, count, elements=st.floats(-100, 1000, width=32) | st.just(math.nan)))
    scores = table({"label": labels, "amount": amounts, **of_model("candidate", np.zeros(count), stopped)})
    mistakes = costly_mistakes(scores, COSTS, count=3)
    paid, else_paid = (COSTS.of(decisions, labels, amounts) for decisions in (stopped, ~stopped))
    regret = np.where(labels != stopped, np.maximum(paid - else_paid, 0), 0)
    assert [mistake.cost for mistake in mistakes] == sorted(regret[regret > 0], reverse=True)[:3]
    assert [regret[mistake.place.row] for mistake in mistakes] == [mistake.cost for mistake in mistakes]


# What drove their scores


class _Model(tf.Module):
    """The length of each serialized example, and twice that."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def explain(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        length = tf.cast(tf.strings.length(examples), tf.float32)
        return {"attributions": tf.stack([length, 2 * length, -length, 0 * length], axis=1)}


def _saved(folder: Path, signature: str = SIGNATURE, manifest: dict[str, Any] = MANIFEST) -> str:
    module = _Model()
    tf.saved_model.save(module, str(folder), signatures={signature: module.explain})
    write_manifest(str(folder), manifest)
    return str(folder)


def _row(age: float | None, **changes: Any) -> dict[str, Any]:
    return {"when": 60.0, "age": age, "euros": 2.5, "card": "gold", "fraud": 1, **changes}


def test_a_transaction_is_found_where_it_lies_and_explained_by_the_model(tmp_path: Path) -> None:
    files = {name: [_row(float(age)) for age in ages] for name, ages in (("a.gz", range(5)), ("b.gz", range(10, 14)))}
    files["b.gz"][2] = _row(None, card="", euros=math.nan)
    for name, rows in files.items():
        write(rows, tmp_path / name)
    places = [Place("b.gz", 2), Place("a.gz", 4), Place("a.gz", 0)]
    serialized = serialized_examples(places, str(tmp_path))
    explained = attributions(serialized, _saved(tmp_path / "model"))
    assert explained is not None
    assert [row.values for row in explained] == [
        {"when": 60.0, "age": None, "euros": None, "card": None},
        {"when": 60.0, "age": 4.0, "euros": 2.5, "card": "gold"},
        {"when": 60.0, "age": 0.0, "euros": 2.5, "card": "gold"},
    ]
    length = len(serialized[1])
    assert explained[1].contributions == {"when": length, "age": 2 * length, "euros": -length, "card": 0}
    assert explained[1].strongest_first == ["age", "when", "euros", "card"]


def test_places_beyond_the_first_batch_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.report.mistakes._ROWS", 3)
    write([_row(float(age)) for age in range(10)], tmp_path / "a.gz")
    places = [Place("a.gz", row) for row in (9, 0, 3, 2, 3)]
    explained = [
        tf.train.Example.FromString(serialized).features.feature["age"]
        for serialized in serialized_examples(places, str(tmp_path))
    ]
    assert [age.float_list.value[0] for age in explained] == [row for _, row in places]


def test_an_id_is_read_as_it_was_written_and_may_be_missing(tmp_path: Path) -> None:
    rows = [{**_row(1.0), "payment": name} for name in ("0012", None, "0012", "")]
    write(rows, tmp_path / "a.gz")
    serialized = serialized_examples([Place("a.gz", row) for row in (3, 0, 1, 2)], str(tmp_path))
    assert identifiers(serialized, "payment") == [None, "0012", None, "0012"]
    assert identifiers(serialized, None) == [None] * 4
    assert identifiers([], "payment") == []


def test_a_model_that_cannot_explain_itself_says_nothing(tmp_path: Path) -> None:
    places = [example(_row(1.0))]
    assert attributions(places, _saved(tmp_path / "old", signature="serving_default")) is None
    unnamed = {name: value for name, value in MANIFEST.items() if not name.startswith("explained")}
    assert attributions(places, _saved(tmp_path / "unnamed", manifest=unnamed)) is None
    assert attributions([], str(tmp_path / "none")) == []


# What a reader sees


def _mistake(label: int = 1, **changes: Any) -> Mistake:
    usual = {"amount": 1200.5, "time": 90_000.0, "score": 0.25, "probability": 0.125, "cost": 1195.5}
    return Mistake(Place("a.gz", 0), label, **{**usual, **changes})


def _attributions(**changes: float) -> Attributions:
    values: dict[str, float | str | None] = {"when": 90_000.0, "age": -41.25, "euros": 1200.5, "card": "gold"}
    shares = {"when": 0.25, "age": -2.0, "euros": 1.0, "card": -0.5, **changes}
    return Attributions({**values, **{name: None for name in changes if name not in values}}, shares)


def _shown(
    mistakes: Sequence[Mistake],
    explained: Sequence[Attributions] | None,
    manifest: dict[str, Any] = MANIFEST,
    named: Sequence[str | None] | None = None,
) -> Section:
    return Section(mistakes_section(mistakes, explained, named or [None] * len(mistakes), manifest, COSTS))


def test_each_mistake_is_a_row_with_what_drove_it() -> None:
    mistakes = [_mistake(), _mistake(label=0, amount=20.0, cost=7.0, probability=0.9)]
    shown = _shown(mistakes, [_attributions(), _attributions(age=4.0)])
    assert shown.rows[0] == [
        *("cost, EUR", "mistake", "amount", "time", "probability", "threshold", "what drove the score")
    ]
    assert shown.rows[1][:6] == ["1,195.50", "missed fraud", "1,200.50", "day 2, 01:00", "0.125", "0.4"]
    assert shown.rows[1][6].split() == [
        *("age", "−41.25", "−2.00"),
        *("euros", "1200", "+1.00"),
        *("card", "gold", "−0.50"),
        *("when", "01:00", "+0.25"),
    ]
    assert shown.rows[2][:6] == ["7.00", "declined customer", "20.00", "day 2, 01:00", "0.9", "0.4"]
    # the longest bar of all takes half of the width: towards fraud from the middle to the right
    assert [bar["style"] for bar in shown.bars[:2]] == ["width: 25.0%", "width: 12.5%"]
    assert [bar.get("class") for bar in shown.bars[:2]] == ["down", None]
    assert shown.bars[4]["style"] == "width: 50.0%"
    assert "mistakes on the test split are 1 missed fraud and 1 declined customer." in shown.text
    assert "Together they cost 1,202 EUR more than the right decisions would have." in " ".join(shown.text.split())
    assert MANIFEST["explained_by"] in shown.text
    assert "not what makes a fraud" in shown.text


def test_the_weaker_columns_are_summed_up() -> None:
    more = {f"V{number}": 0.125 for number in range(4)}
    (row,) = _shown([_mistake()], [_attributions(**more)]).rows[1:]
    assert len(re.findall(r"[+−]\d\.\d\d", row[6])) == SHOWN_FEATURES + 1
    assert row[6].split()[-4:] == ["3", "others", "together", "+0.38"]
    (row,) = _shown([_mistake()], [_attributions(V1=0.0, V2=-0.001)]).rows[1:]
    assert row[6].split()[-6:] == ["V2", "missing", "0.00", "1", "other", "+0.00"]


def test_a_plot_shows_what_moved_either_kind_of_mistake() -> None:
    mistakes = [_mistake(), _mistake(label=0), _mistake(label=0)]
    (plot,) = _shown(mistakes, [_attributions(), _attributions(), _attributions(age=4.0)]).plots
    bars = {trace["name"]: dict(zip(trace["y"], trace["x"], strict=True)) for trace in plot["traces"]}
    assert bars == {
        "missed frauds (1)": {"age": 2.0, "euros": 1.0, "card": 0.5, "when": 0.25},
        "declined customers (2)": {"age": 3.0, "euros": 1.0, "card": 0.5, "when": 0.25},
    }
    (plot,) = _shown([_mistake()], [_attributions()]).plots
    assert [trace["name"] for trace in plot["traces"]] == ["missed frauds (1)"]


def test_without_a_mistake_there_is_a_sentence() -> None:
    shown = _shown([], [])
    assert "No decision on the test split was a mistake" in shown.text
    assert not shown.rows
    assert not shown.plots


def test_without_an_explanation_there_is_the_table_and_a_sentence() -> None:
    shown = _shown([_mistake()], None, {"threshold": 0.4, "columns": MANIFEST["columns"]})
    assert [len(row) for row in shown.rows] == [6, 6]
    assert "no signature that explains them" in shown.text
    assert not shown.plots


def test_what_is_missing_is_called_missing() -> None:
    shown = _shown([_mistake(amount=math.nan, time=math.nan)], None)
    assert shown.rows[1][2:4] == ["missing", "missing"]


def test_columns_that_the_data_lacks_are_not_shown() -> None:
    bare = Columns(label="fraud", numeric=("age",))
    shown = _shown([_mistake()], None, {**MANIFEST, "columns": bare.model_dump(mode="json")})
    assert shown.rows[0] == ["cost, EUR", "mistake", "probability", "threshold"]


def test_a_mistake_is_called_what_the_data_calls_it() -> None:
    named = {**MANIFEST, "columns": COLUMNS.model_copy(update={"id": "payment"}).model_dump(mode="json")}
    mistakes = [_mistake(), _mistake(), _mistake(label=0)]
    shown = _shown(mistakes, None, named, ["0012", None, EVIL])
    assert [row[2] for row in shown.rows] == ["payment", "0012", "missing", EVIL]


def test_names_and_values_of_the_data_are_text() -> None:
    shown = _shown([_mistake()], [Attributions({EVIL: EVIL}, {EVIL: 1.0})], {**MANIFEST, "explained_by": EVIL})
    assert EVIL in shown.text
    assert shown.rows[1][6].count(EVIL) == 2
    assert "<script>alert" not in mistakes_section([_mistake()], None, [None], MANIFEST, Costs(currency=EVIL))


def test_the_threshold_is_the_one_of_the_amount_where_that_decides() -> None:
    mistakes = [_mistake(amount=45.0), _mistake(amount=0.5), _mistake(amount=math.nan)]
    by_amount = {**MANIFEST, "decision": {"by": "amount"}}
    # (5 + 0.1 * 45) / (1.1 * 45); from where stopping is never worth it; and, amount unknown, the one for all
    assert thresholds(mistakes, by_amount, COSTS).round(4).tolist() == [0.1919, 9.1818, 0.4]
    assert [row[5] for row in _shown(mistakes, None, by_amount).rows] == ["threshold", "0.192", "none", "0.4"]
    assert thresholds(mistakes, MANIFEST, COSTS).tolist() == [0.4] * 3


def test_the_time_that_a_network_sees_is_the_hour() -> None:
    def value(time_format: str, time: float | str) -> str:
        columns = COLUMNS.model_copy(update={"time_format": time_format}).model_dump(mode="json")
        (row,) = _shown(
            [_mistake()], [Attributions({"when": time}, {"when": 1.0})], {**MANIFEST, "columns": columns}
        ).rows[1:]
        return row[6].split()[1]

    assert value("epoch", 1_709_294_400) == "12:00"
    assert value("epoch_ms", 1_709_294_400_000) == "12:00"
    assert value("iso8601", "2024-03-01T06:30") == "2024-03-01T06:30"
