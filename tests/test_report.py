"""The report: one page that shows what was found and asks the network for nothing, and a summary for programs."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs
from tfx.types import standard_artifacts

from components.data_gate import Finding, Findings
from components.evaluator import Verdict
from components.report import (
    FraudReport,
    Report,
    Summary,
    as_html,
    figure_rows,
    read_summary,
    slice_rows,
    split_rows,
    weighting_in_words,
    where,
)
from trainer.trials import Record, Trial

EVIL = "<script>alert('x')</script>"
MANIFEST: dict[str, Any] = {
    "parameters": 1234567,
    "threshold": 0.375,
    "columns": {"label": EVIL, "amount": "euros"},
    "data": {"sampling_rates": {"fraud": 1.0, "legitimate": 0.02}},
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
    slices={
        "amount": {
            "10 to 100": {"transactions": 1000.0, "frauds": 3.0, "average_precision": None},
            "missing": {"transactions": 1.0, "frauds": 0.0, "average_precision": None},
            "1,000 and more": {"transactions": 40.0, "frauds": 2.0, "average_precision": 0.5},
            "below 10": {"transactions": 1959.0, "frauds": 4.0, "average_precision": 0.25},
        }
    },
)
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
        self.loads += [f"{tag} {name}={value}" for name, value in attributes if name in self.LOADING]
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
    return Document(as_html(SUMMARY, [DRIFT], HISTORY, RECORD, MANIFEST))


def test_the_page_says_which_data_the_verdict_and_the_figures(document: Document) -> None:
    for words in (
        f"Transactions of {EVIL}",
        "Blessed: meets the thresholds and is no worse than version 41 in service.",
        "The model is version 42, in /serving/42.",
        "0.812 (95 % interval 0.700 to 0.900)",
        "12,000",
        "0.200%",
        "1,234,567 parameters",
        "Trial trial-7 is the best, average precision 0.7500 against 0.7100 with the config's own values.",
        "0.001235",
        "learning rate",
    ):
        assert words in document.text


def test_names_from_the_data_are_shown_and_not_run(document: Document) -> None:
    # in the origin, the finding's column, its details, and the manifest
    assert document.text.count("<script>alert") == 4
    assert not any("alert(" in script for script in document.texts["script"] if script != get_plotlyjs())
    assert document.handlers == []


def test_the_page_loads_nothing(document: Document) -> None:
    assert document.loads == []
    assert document.texts["script"].count(get_plotlyjs()) == 1
    ours = [script for script in document.texts["script"] if script != get_plotlyjs()]
    assert any("Plotly.newPlot" in script for script in ours)
    for script in ours:
        assert not re.search(
            r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|import|importScripts|sendBeacon)\b", script
        )
        assert not re.search(r"\.src\s*=|cdn", script)
    for style in document.texts["style"]:
        assert not re.search(r"@import|url\s*\(", style)


def test_the_curves_hold_the_history(document: Document) -> None:
    plot = next(script for script in document.texts["script"] if "Plotly.newPlot" in script and len(script) < 10**5)
    for name, values in (("train", [0.5, 0.25]), ("eval", [0.6, 0.3]), ("eval, average precision", [0.4, 0.7])):
        trace = re.search(rf'"name":"{name}"[^{{]*?"y":(\[[^\]]*\])', plot)
        assert trace, name
        assert json.loads(trace.group(1)) == values


def test_without_findings_the_page_says_so_and_without_a_search_it_has_no_section() -> None:
    page = Document(as_html(SUMMARY, [], HISTORY, None, MANIFEST))
    assert "No anomaly, and no drift beyond the schema's limits." in page.text
    assert "Search" not in page.text


def test_a_figure_that_is_not_defined_is_na() -> None:
    assert figure_rows(SUMMARY) == [
        ["average precision", "0.812 (95 % interval 0.700 to 0.900)", "n/a"],
        ["recall at 1 % false positives", "0.875", "n/a"],
        ["ROC-AUC", "n/a", "0.500"],
    ]


def test_splits_show_their_share_of_fraud() -> None:
    assert split_rows(SUMMARY) == [["train", "12,000", "24", "0.200%"], ["test", "3,000", "9", "0.300%"]]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "Blessed: meets the thresholds and is no worse than version 41 in service"),
        ({"current_version": ""}, "Blessed: meets the thresholds; there was no model in service to compare with"),
        ({"blessed": False, "reasons": ["too low", "too late"]}, "Not blessed: too low; too late"),
    ],
)
def test_the_verdict_is_one_sentence(changes: dict[str, Any], verdict: str) -> None:
    summary = dataclasses.replace(SUMMARY, **changes)
    assert summary.verdict == verdict
    colour = "good" if summary.blessed else "bad"
    assert f'<p class="verdict {colour}">{verdict}.</p>' in as_html(summary, [], HISTORY, None, MANIFEST)


def test_a_model_that_was_not_pushed_is_said_to_be_nowhere() -> None:
    summary = dataclasses.replace(SUMMARY, pushed_to="", pushed_version="")
    assert where(summary) == "The model was not pushed; what is in service stays there."


def test_weights_are_explained() -> None:
    assert weighting_in_words({"fraud": 1.0, "legitimate": 1.0}).startswith("Every transaction counts once")
    assert weighting_in_words({"fraud": 1.0, "legitimate": 0.02}) == (
        "The data is a sample (fraud 1, legitimate 0.02 of all): figures weigh a fraud 1 and a legitimate transaction "
        "50 times."
    )


@pytest.mark.parametrize("tuned", [True, False])
def test_the_component_gathers_what_the_others_left(tmp_path: Path, tuned: bool) -> None:
    """The executor as TFX starts it, on artifacts as the other components write them."""
    kinds: dict[str, Any] = {
        "examples": standard_artifacts.Examples,
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
        artifact.uri = str(tmp_path / name)
        (tmp_path / name).mkdir()
    artifacts["examples"].set_string_custom_property("origin", SUMMARY.origin)
    artifacts["examples"].set_string_custom_property("splits", json.dumps(SUMMARY.splits))
    (tmp_path / "findings" / "findings.json").write_text(json.dumps([vars(DRIFT)]))
    extra = tmp_path / "model" / "Format-Serving" / "assets.extra"
    extra.mkdir(parents=True)
    (extra / "manifest.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "model_run" / "history.json").write_text(json.dumps(HISTORY))
    Verdict(True, (), SUMMARY.metrics, SUMMARY.current_metrics, "41", SUMMARY.slices).save(artifacts["evaluation"].uri)
    artifacts["pushed_model"].set_string_custom_property("pushed_destination", "/serving/42")
    artifacts["pushed_model"].set_string_custom_property("pushed_version", "42")
    RECORD.save(artifacts["tuner_results"].uri)

    inputs = {name: [artifact] for name, artifact in artifacts.items() if name != "report"}
    if not tuned:
        del inputs["tuner_results"]
    Report.EXECUTOR_SPEC.executor_class().Do(inputs, {"report": [artifacts["report"]]}, {"source": "0123456789abcdef"})

    weighting = weighting_in_words(MANIFEST["data"]["sampling_rates"])
    search = RECORD.conclusion if tuned else ""
    expected = dataclasses.replace(SUMMARY, weighting=weighting, findings=[vars(DRIFT)], search=search)
    assert read_summary(artifacts["report"].uri) == expected
    page = (tmp_path / "report" / "report.html").read_text()
    assert ("trial-7" in page) == tuned
    assert "Blessed: meets the thresholds" in page


def test_slices_rise_and_those_without_a_fraud_have_no_precision() -> None:
    assert slice_rows(SUMMARY) == [
        ["amount", "below 10", "1,959", "4", "0.250 (95 % interval n/a to n/a)"],
        ["amount", "10 to 100", "1,000", "3", "n/a"],
        ["amount", "1,000 and more", "40", "2", "0.500 (95 % interval n/a to n/a)"],
        ["amount", "missing", "1", "0", "n/a"],
    ]
    assert "By amount and hour" in as_html(SUMMARY, [], HISTORY, None, MANIFEST)
