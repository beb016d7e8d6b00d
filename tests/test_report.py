"""The report: one page that shows what was found and asks the network for nothing, and a summary for programs."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from tfx.types import artifact_utils, standard_artifacts

from components.data_gate import Findings
from components.evaluation.scores import write
from components.evaluation.verdict import Comparison, Verdict
from components.findings import Finding
from components.report.component import FraudReport, Report, as_html
from components.report.data import sampling
from components.report.lineage import Graph, Step
from components.report.settings import ModelCardSettings
from components.report.summary import Summary, cards, figure_rows, read_summary, split_rows, where
from trainer.decision.costs import Costs
from trainer.search.trials import Record, Trial

EVIL = "<script>alert('x')</script>"
MANIFEST: dict[str, Any] = {
    "parameters": 1234567,
    "threshold": 0.375,
    "columns": {"label": EVIL, "amount": "euros"},
    "data": {
        "sampling_rates": {"fraud": 1.0, "legitimate": 0.02},
        "split": {"by": "time", "train": 0.65, "eval": 0.15, "test": 0.2},
    },
    "decision": {"by": "threshold", "note": "The cap decides."},
}
SUMMARY = Summary(
    origin=f"Transactions of {EVIL}",
    weighting="Every transaction counts once.",
    splits=[
        {"name": "train", "rows": 12000, "frauds": 24, "first": 0.0, "last": 9.0},
        {"name": "test", "rows": 3000, "frauds": 9, "first": 10.0, "last": 19.0},
    ],
    metrics={
        "average_precision": 0.81249,
        "average_precision_lower": 0.7,
        "average_precision_upper": 0.9,
        "roc_auc": None,
        "recall_at_1_percent_false_positives": 0.875,
    },
    current_metrics={"average_precision": None, "roc_auc": 0.5},
    current_version="41",
    blessed=True,
    reasons=[],
    pushed_to="/serving/42",
    pushed_version="42",
    threshold=0.375,
    findings=[],
    slices={"amount": {"10 to 100": {"transactions": 1000.0, "frauds": 3.0, "average_precision": None}}},
    comparisons=[
        {
            "against": "current",
            "difference": 0.3,
            "lower": 0.2,
            "upper": 0.4,
            "margin": 0.05,
            "passed": True,
            "figure": "average_precision",
        }
    ],
    notes=["The cap decides."],
    currency="EUR",
)
SECTIONS = {"What <it> decides": Markup("<p>figures</p>"), "Curves": Markup("<p>lines</p><p>more</p>")}
HISTORY = {"loss": [0.5, 0.25], "val_loss": [0.6, 0.3], "val_average_precision": [0.4, 0.7]}
RECORD = Record(
    objective="average_precision",
    greater_is_better=True,
    oracle="random",
    folds=0,
    workers=1,
    seed=7,
    default="trial-0",
    best="trial-7",
    seconds=12.0,
    trials=(
        Trial("trial-0", "completed", {"units": 32, "learning_rate": 0.00123456}, 0.71, curve=(0.7, 0.71), ended=6.0),
        Trial("trial-7", "completed", {"units": 64, "learning_rate": 0.01}, 0.75, curve=(0.7, 0.75), ended=12.0),
    ),
)
DRIFT = Finding("test", EVIL, "High divergence", f"{EVIL} differs", False)


class Document(HTMLParser):
    """What a browser would see: text, scripts, styles, and the attributes by which a page loads something."""

    LOADING = ("src", "href", "srcset", "data", "action", "formaction", "poster", "background", "xlink:href", "ping")

    def __init__(self, document: str):
        super().__init__()
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "": []}
        self._inside = ""
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loads += [
            f"{tag} {name}={value}"
            for name, value in attributes
            if name in self.LOADING and not (tag == "a" and (value or "").startswith("#"))
        ]
        self.loads += [tag for one in [tag] if one in ("iframe", "object", "embed", "link", "base")]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        if tag in ("script", "style"):
            self._inside = tag
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[self._inside][-1] += data
        else:
            self.texts[""].append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts[""])


@pytest.fixture(scope="module")
def document() -> Document:
    return Document(as_html(SUMMARY, SECTIONS))


def test_the_page_says_which_data_the_verdict_and_the_figures(document: Document) -> None:
    for words in (
        f"Transactions of {EVIL}",
        "Blessed: meets the thresholds and is no worse than version 41 in service.",
        "The model is version 42, in /serving/42.",
        "The cap decides.",
        "What <it> decides",
        "figures",
        "more",
    ):
        assert words in document.text
    assert any("above the model in service" in text for text in document.texts[""])


def test_each_section_can_be_jumped_to() -> None:
    page = as_html(SUMMARY, SECTIONS)
    for number, heading in enumerate(("What &lt;it&gt; decides", "Curves"), 1):
        assert f'<a href="#section-{number}">{heading}</a>' in page
    assert '<a href="#summary">Summary</a>' in page
    for number, heading in enumerate(("What &lt;it&gt; decides", "Curves"), 1):
        assert f'<h2 id="section-{number}">{heading}</h2>' in page


def test_names_from_the_data_are_shown_and_not_run(document: Document) -> None:
    assert document.text.count("<script>alert") == 1
    assert not any("alert(" in script for script in document.texts["script"] if not packed(script))
    assert document.handlers == []


def packed(script: str) -> bool:
    """Whether it is the plotting library."""
    return script.startswith("H4sI")  # gzip's first bytes in base64


def assert_loads_nothing(document: Document) -> None:
    assert document.loads == []
    unpacked = [gzip.decompress(base64.b64decode(script)) for script in document.texts["script"] if packed(script)]
    assert unpacked == [get_plotlyjs().encode()]
    for script in document.texts["script"]:
        if not packed(script):
            asks = r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|import|importScripts|sendBeacon)\b|\.src\s*=|cdn"
            assert not re.search(asks, script)
    for style in document.texts["style"]:
        assert not re.search(r"@import|url\s*\(", style)


def test_a_figure_that_is_not_defined_is_na() -> None:
    assert figure_rows(SUMMARY) == [
        ["average precision", "0.812 (0.700 to 0.900)", "n/a"],
        ["recall at 1 % false positives", "0.875", "n/a"],
        ["ROC-AUC", "n/a", "0.500"],
        ["alerts", "n/a", "n/a"],
    ]


def test_money_is_said_a_day_with_that_of_the_split_beside_it() -> None:
    priced = dataclasses.replace(SUMMARY, metrics={"savings": 1234.0, "alerts_a_day": 20.4}, current_metrics={}, days=2)
    assert figure_rows(priced)[-2:] == [
        ["alerts a day", "20", "n/a"],
        ["saved a day, against no model", "617 EUR (1,234 EUR on the test split)", "n/a"],
    ]
    untimed = dataclasses.replace(priced, days=None)
    assert figure_rows(untimed)[-2:] == [["alerts", "20", "n/a"], ["saved, against no model", "1,234 EUR", "n/a"]]


DECIDED = {
    **SUMMARY.metrics,
    "savings": 1234.0,
    "savings_lower": -10.0,
    "savings_upper": 2000.0,
    "alerts_a_day": 20.4,
    "true_positives": 30.6,
    "false_positives": 10.2,
    "false_negatives": 10.2,
    "caught_amount": 3000.0,
    "missed_amount": 1000.0,
}


def test_the_first_screen_has_a_card_for_each_question() -> None:
    summary = dataclasses.replace(SUMMARY, metrics=DECIDED, days=2.0, data_name=EVIL, made="2026-02-03T04:05:06+00:00")
    shown = {card.title: (card.value, card.notes) for card in cards(summary)}
    assert shown == {
        "saved a day, against no model": ("617 EUR", ("1,234 EUR on the test split", "95 % interval -5 to 1,000")),
        "alerts a day": ("20.4", ("40.8 on the test split", "75 % of them fraud")),
        "frauds caught": ("75 %", ("30.6 of 40.8 on the test split", "75 % of their money")),
        "average precision": ("0.812", ("95 % interval 0.700 to 0.900",)),
        "transactions tested": ("3,000", ("9 of them fraud", EVIL)),
        "date of this report": ("3 Feb 2026", ("04:05 UTC", "model version 42")),
    }
    page = Document(as_html(summary, {}))
    for value, notes in shown.values():
        assert all(words in page.text for words in (value, *notes))
    assert f"Fraud model report, 3 Feb 2026, 04:05 UTC, model version 42, {EVIL}" in page.text
    lost = dataclasses.replace(summary, metrics={**DECIDED, "savings": -50.0}, days=None)
    first = cards(lost)[0]
    assert (first.title, first.value, first.kind) == ("lost, against no model", "50.00 EUR", "bad")
    assert first.notes == ("95 % interval -2,000 to 10",)


def test_where_little_is_known_the_cards_say_so() -> None:
    bare = dataclasses.replace(SUMMARY, metrics={}, current_metrics={}, splits=[], made="")
    assert [(card.title, card.value, card.notes) for card in cards(bare)] == [
        ("alerts", "n/a", ()),
        ("frauds caught", "n/a", ()),
        ("average precision", "n/a", ()),
        ("transactions tested", "n/a", ()),
    ]
    none = dict.fromkeys(("true_positives", "false_positives", "false_negatives", "alerts_a_day"), 0.0)
    assert cards(dataclasses.replace(bare, metrics=none))[1].notes == ("there was none on the test split",)


def test_splits_show_their_share_of_fraud() -> None:
    assert split_rows(SUMMARY) == [["train", "12,000", "24", "0.200%"], ["test", "3,000", "9", "0.300%"]]


def in_money(difference: float, lower: float, upper: float) -> dict[str, Any]:
    """Changes of a summary that is compared in money as well, on a test split of two days."""
    compared = {"difference": difference, "lower": lower, "upper": upper, "margin": 0.0, "figure": "savings"}
    return {"comparisons": [*SUMMARY.comparisons, {**SUMMARY.comparisons[0], **compared}], "days": 2.0}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "Blessed: meets the thresholds and is no worse than version 41 in service"),
        ({"current_version": ""}, "Blessed: meets the thresholds; there was no model in service to compare with"),
        ({"blessed": False, "reasons": ["too low", "too late"]}, "Not blessed: too low; too late"),
        (
            in_money(-400.0, -900.0, 100.0),
            "Blessed: meets the thresholds, and its average precision is within the margin of that of version 41 in "
            "service, but it saves 200 EUR less a day (95 % interval of the difference -450 EUR to 50.00 EUR a day), "
            "within noise",
        ),
        (
            in_money(400.0, 200.0, 900.0),
            "Blessed: meets the thresholds, is no worse than version 41 in service, and saves 200 EUR more a day (95 % "
            "interval of the difference 100 EUR to 450 EUR a day), more than noise",
        ),
        (
            {"metrics": {"savings": 10.0}, "current_metrics": {"savings": 30.0}},
            "Blessed: meets the thresholds, and its average precision is within the margin of that of version 41 in "
            "service, but it saves 20.00 EUR less",
        ),
        (
            {"current_version": "", "not_compared": "version 41 in service was made from synthesized transactions"},
            "Blessed: meets the thresholds; version 41 in service was made from synthesized transactions",
        ),
    ],
)
def test_the_verdict_is_one_sentence(changes: dict[str, Any], verdict: str) -> None:
    summary = dataclasses.replace(SUMMARY, **changes)
    assert summary.verdict == verdict
    colour = "good" if summary.blessed else "bad"
    assert f'<p class="verdict {colour}">{verdict}.</p>' in as_html(summary, {})


def test_money_that_got_worse_is_never_no_worse() -> None:
    summary = dataclasses.replace(SUMMARY, **in_money(-400.0, -900.0, 100.0))
    page = Document(as_html(summary, {})).text
    assert "no worse" not in page
    assert (
        "The new model saves 200 EUR less a day (95 % interval of the difference -450 EUR to 50.00 EUR a day), within "
        "noise, against the model in service; beyond noise, at most 0 EUR a day may be lost: passed."
    ) in summary.remarks
    assert all(remark in page for remark in summary.remarks)


def test_why_there_is_no_comparison_is_said_beside_a_refusal() -> None:
    summary = dataclasses.replace(SUMMARY, blessed=False, reasons=["too low"], not_compared="version 41 is synthetic")
    assert "Version 41 is synthetic." in summary.remarks


def test_the_report_says_that_a_model_was_not_pushed() -> None:
    summary = dataclasses.replace(SUMMARY, pushed_to="", pushed_version="")
    assert where(summary) == "The model was not pushed; what is in service stays there."


class Half(tf.Module):
    """A model without explanations."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probability": tf.fill(tf.shape(examples), 0.5)}


def left_by_the_others(folder: Path) -> dict[str, Any]:
    """Artifacts as the other components write them, of a test split of 200 transactions."""
    kinds: dict[str, Any] = {
        "examples": standard_artifacts.Examples,
        "statistics": standard_artifacts.ExampleStatistics,
        "schema": standard_artifacts.Schema,
        "findings": Findings,
        "model": standard_artifacts.Model,
        "model_run": standard_artifacts.ModelRun,
        "evaluation": standard_artifacts.ModelEvaluation,
        "pushed_model": standard_artifacts.PushedModel,
        "report": FraudReport,
        "tuner_results": standard_artifacts.TunerResults,
    }
    artifacts = {name: kind() for name, kind in kinds.items()}
    for name, artifact in artifacts.items():
        artifact.uri = str(folder / name)
        (folder / name).mkdir()
    for name in ("examples", "statistics"):
        artifacts[name].split_names = artifact_utils.encode_split_names(["train", "eval", "test"])
    artifacts["examples"].set_string_custom_property("origin", SUMMARY.origin)
    artifacts["examples"].set_string_custom_property("splits", json.dumps(SUMMARY.splits))
    artifacts["examples"].set_string_custom_property("input_fingerprint", "split:single,num_files:1")
    generator = np.random.default_rng(0)
    amounts = generator.lognormal(3, 1, 200)
    measured = tfdv.generate_statistics_from_dataframe(pd.DataFrame({"euros": amounts}))
    for split in ("train", "eval", "test"):
        (folder / "statistics" / f"Split-{split}").mkdir()
        (folder / "statistics" / f"Split-{split}" / "FeatureStats.pb").write_bytes(measured.SerializeToString())
    tfdv.write_schema_text(tfdv.infer_schema(measured), str(folder / "schema" / "schema.pbtxt"))
    (folder / "examples" / "Split-test").mkdir()
    with tf.io.TFRecordWriter(str(folder / "examples" / "Split-test" / "data.gz"), "GZIP") as writer:
        for amount in amounts:
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=[amount]))
            writer.write(tf.train.Example(features=tf.train.Features(feature={"euros": feature})).SerializeToString())
    labels = (np.arange(200) % 10 == 0).astype(float)
    score = np.clip(labels * 0.4 + generator.uniform(0, 0.55, 200), 0, 1)
    (folder / "evaluation" / "scores").mkdir()
    columns = {"label": labels, "weight": np.ones(200), "amount": amounts}
    columns |= {"candidate.score": score, "candidate.probability": score, "candidate.decision": score >= 0.375}
    write(
        str(folder / "evaluation"),
        str(folder / "evaluation" / "scores" / "data.gz.arrow"),
        list(columns),
        [list(columns.values())],
    )
    (folder / "findings" / "findings.json").write_text(json.dumps([vars(DRIFT)]))
    module = Half()
    served = folder / "model" / "Format-Serving"
    tf.saved_model.save(module, str(served), signatures={"serving_default": module.score})
    (served / "assets.extra").mkdir()
    (served / "assets.extra" / "manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "model_run" / "history.json").write_text(json.dumps(HISTORY))
    Verdict(
        blessed=True,
        reasons=(),
        metrics=SUMMARY.metrics,
        current_metrics=SUMMARY.current_metrics,
        current_version="41",
        slices=SUMMARY.slices,
        comparisons=(Comparison(**SUMMARY.comparisons[0]),),
    ).save(artifacts["evaluation"].uri)
    artifacts["pushed_model"].set_string_custom_property("pushed_destination", "/serving/42")
    artifacts["pushed_model"].set_string_custom_property("pushed_version", "42")
    RECORD.save(artifacts["tuner_results"].uri)
    return artifacts


@pytest.mark.parametrize("tuned", [True, False])
def test_the_component_gathers_what_the_others_left(tmp_path: Path, tuned: bool) -> None:
    """The executor as TFX starts it."""
    artifacts = left_by_the_others(tmp_path)
    inputs = {name: [artifact] for name, artifact in artifacts.items() if name != "report"}
    if not tuned:
        del inputs["tuner_results"]
    properties = {
        "costs": Costs(currency="EUR").model_dump_json(),
        "card": ModelCardSettings(owner=EVIL).model_dump_json(),
        "graph": Graph((Step("ExampleGen", {}), Step("Report", {"examples": "ExampleGen.examples"}))).to_json(),
        "config": f"name: {EVIL}",
        "run_name": f"friday {EVIL}",
    }
    Report.EXECUTOR_SPEC.executor_class().Do(inputs, {"report": [artifacts["report"]]}, properties)

    expected = dataclasses.replace(
        SUMMARY,
        weighting=sampling(MANIFEST["data"]["sampling_rates"]),
        findings=[vars(DRIFT)],
        search=RECORD.conclusion if tuned else "",
        run_name=f"friday {EVIL}",
    )
    summary = read_summary(artifacts["report"].uri)
    made = datetime.datetime.fromisoformat(summary.made)
    assert abs(datetime.datetime.now(datetime.timezone.utc) - made) < datetime.timedelta(hours=1)
    assert summary == dataclasses.replace(expected, made=summary.made)
    page = (tmp_path / "report" / "report.html").read_text()
    document = Document(page)
    assert_loads_nothing(document)
    assert document.handlers == []
    for script in document.texts["script"]:
        assert EVIL not in script
    for words in (
        f"Fraud model report: friday {EVIL}",
        "Blessed: meets the thresholds",
        "0.812 (0.700 to 0.900)",
        "12,000",
        "0.200 %",
        "1,234,567 parameters",
        "name: <script>",
        "ExampleGen",
        "missed fraud",
    ):
        assert words in document.text, words
    assert ("trial-7" in page) == tuned
    assert (">Search</h2>" in page) == tuned
    drawings = {
        name: json.loads(drawing)
        for name, drawing in re.findall(r'<div id="([^"]*)" class="drawing".*?json">(.*?)</script>', page, re.DOTALL)
    }
    for name, lines in (
        ("loss-plot", {"train": [0.5, 0.25], "eval": [0.6, 0.3]}),
        ("average-precision-plot", {"eval": [0.4, 0.7]}),
    ):
        assert {trace["name"]: trace["y"] for trace in drawings[name]["data"]} == lines
