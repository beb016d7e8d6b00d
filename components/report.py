"""Report: one self-contained page for people and one summary for programs."""
# No `from __future__ import annotations`: TFX reads the annotations of a component function as objects.

import html
import json
import math
import os
from dataclasses import dataclass, field
from typing import Any

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import artifact, standard_artifacts
from tfx.utils import path_utils

from components.current_model import read_manifest
from components.data_gate import Finding, Findings, read_findings
from components.evaluator import Verdict
from components.page import epochs_axis, page, plot, table
from components.search_section import search_section
from components.settings import ORIGIN_PROPERTY, SPLITS_PROPERTY
from trainer.trials import Record

SUMMARY = "summary.json"
REPORT = "report.html"


class FraudReport(artifact.Artifact):
    """`report.html` and `summary.json`."""

    TYPE_NAME = "FraudPipelineReport"


@dataclass(frozen=True)
class Summary:
    """What a run came to; the terminal, the page and `runs` all show this one value.

    splits: a `SplitSummary` as JSON for each. pushed_to: "" where the model was not pushed. slices: as of `Verdict`.
    search: what the search over hyperparameters came to, without a full stop; "" without one.
    """

    origin: str
    weighting: str
    splits: list[dict[str, Any]]
    metrics: dict[str, float | None]
    current_metrics: dict[str, float | None]
    current_version: str
    blessed: bool
    reasons: list[str]
    pushed_to: str
    pushed_version: str
    threshold: float
    findings: list[dict[str, Any]]
    slices: dict[str, dict[str, dict[str, float | None]]] = field(default_factory=dict)
    search: str = ""

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not self.blessed:
            return "Not blessed: " + "; ".join(self.reasons)
        if self.current_version:
            return f"Blessed: meets the thresholds and is no worse than version {self.current_version} in service"
        return "Blessed: meets the thresholds; there was no model in service to compare with"


def read_summary(uri: str) -> Summary:
    with fileio.open(os.path.join(uri, SUMMARY)) as file:
        return Summary(**json.load(file))


def weighting_in_words(rates: dict[str, float]) -> str:
    """What the example weights do to the figures."""
    if rates["fraud"] == rates["legitimate"] == 1:
        return "Every transaction counts once: the data is said to hold all of them."
    return (
        f"The data is a sample (fraud {rates['fraud']:.4g}, legitimate {rates['legitimate']:.4g} of all): figures "
        f"weigh a fraud {1 / rates['fraud']:.4g} and a legitimate transaction {1 / rates['legitimate']:.4g} times."
    )


@component
def Report(
    examples: InputArtifact[standard_artifacts.Examples],
    findings: InputArtifact[Findings],
    model: InputArtifact[standard_artifacts.Model],
    model_run: InputArtifact[standard_artifacts.ModelRun],
    evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    pushed_model: InputArtifact[standard_artifacts.PushedModel],
    report: OutputArtifact[FraudReport],
    source: Parameter[str],
    tuner_results: InputArtifact[standard_artifacts.TunerResults] = None,  # type: ignore[assignment]
) -> None:
    """Gathers what the other components found; `source` is a digest of this code, for the cache key."""
    del source
    manifest = read_manifest(path_utils.serving_model_path(model.uri))
    verdict = Verdict.load(evaluation.uri)
    found = read_findings(findings.uri)
    record = None if tuner_results is None else Record.load(tuner_results.uri)
    summary = Summary(
        origin=examples.get_string_custom_property(ORIGIN_PROPERTY),
        weighting=weighting_in_words(manifest["data"]["sampling_rates"]),
        splits=json.loads(examples.get_string_custom_property(SPLITS_PROPERTY)),
        metrics=verdict.metrics,
        current_metrics=verdict.current_metrics,
        current_version=verdict.current_version,
        blessed=verdict.blessed,
        reasons=list(verdict.reasons),
        pushed_to=pushed_model.get_string_custom_property("pushed_destination"),
        pushed_version=pushed_model.get_string_custom_property("pushed_version"),
        threshold=manifest["threshold"],
        findings=[vars(finding) for finding in found],
        slices=verdict.slices,
        search="" if record is None else record.conclusion,
    )
    with fileio.open(os.path.join(model_run.uri, "history.json")) as file:
        history = json.load(file)
    with fileio.open(os.path.join(report.uri, SUMMARY), "w") as file:
        json.dump(vars(summary), file, indent=2)
    with fileio.open(os.path.join(report.uri, REPORT), "w") as file:
        file.write(as_html(summary, found, history, record, manifest))


def as_html(
    summary: Summary,
    findings: list[Finding],
    history: dict[str, list[float]],
    record: Record | None,
    manifest: dict[str, Any],
) -> str:
    """A page that works offline and as an attachment."""
    blessed = "good" if summary.blessed else "bad"
    sections = [
        f'<p class="origin">{html.escape(summary.origin)}</p>',
        f'<p class="verdict {blessed}">{html.escape(summary.verdict)}.</p>',
        f"<p>{html.escape(summary.weighting)}</p>",
        f"<p>{html.escape(where(summary))}</p>",
        "<h2>How good, on the test split</h2>",
        table(["figure", "new model", "in service"], figure_rows(summary)),
        "<h2>By amount and hour, on the test split</h2>",
        table(["slice", "", "transactions", "frauds", "average precision"], slice_rows(summary))
        if summary.slices
        else "<p>The data has neither amounts nor times.</p>",
        "<h2>Splits</h2>",
        table(["split", "transactions", "frauds", "share of fraud in the data"], split_rows(summary)),
        "<h2>Checks of the data</h2>",
        table(
            ["split", "column", "finding", "details"],
            [[finding.split, finding.column, finding.problem, finding.details] for finding in findings],
        )
        if findings
        else "<p>No anomaly, and no drift beyond the schema's limits.</p>",
        "<h2>Learning curves</h2>",
        _curves(history),
    ]
    if record is not None:
        sections += ["<h2>Search</h2>", *search_section(record)]
    sections += [
        "<h2>Model</h2>",
        f"<details><summary>{manifest['parameters']:,} parameters; everything it was made from</summary>"
        f"<pre>{html.escape(json.dumps(manifest, indent=2, sort_keys=True))}</pre></details>",
    ]
    return page("Fraud model report", "\n".join(sections), plotly=True)


def where(summary: Summary) -> str:
    """Where the model is, for people."""
    if not summary.pushed_to:
        return "The model was not pushed; what is in service stays there."
    return f"The model is version {summary.pushed_version}, in {summary.pushed_to}."


def figure_rows(summary: Summary) -> list[list[str]]:
    """Name, candidate and model in service, formatted; 'n/a' where a figure is not defined."""

    rows = [["average precision", _with_interval(summary.metrics), _with_interval(summary.current_metrics)]]
    for title, name in (
        ("recall at 1 % false positives", "recall_at_1_percent_false_positives"),
        ("ROC-AUC", "roc_auc"),
    ):
        rows.append([title, _text(summary.metrics, name), _text(summary.current_metrics, name)])
    return rows


def _text(metrics: dict[str, float | None], name: str) -> str:
    value = metrics.get(name)
    return "n/a" if value is None else f"{value:.3f}"


def _with_interval(metrics: dict[str, float | None]) -> str:
    precision = _text(metrics, "average_precision")
    lower, upper = _text(metrics, "average_precision_lower"), _text(metrics, "average_precision_upper")
    return precision if precision == "n/a" else f"{precision} (95 % interval {lower} to {upper})"


def slice_rows(summary: Summary) -> list[list[str]]:
    """By what, its value, transactions, frauds and average precision; values rise, "missing" is the last."""

    def rank(value: str) -> float:
        first = value.split()[0].replace(",", "")
        return float(first) if first.replace(".", "").isdigit() else -math.inf if first == "below" else math.inf

    return [
        [
            name,
            value,
            *(f"{values[value][count] or 0:,.0f}" for count in ("transactions", "frauds")),
            _with_interval(values[value]),
        ]
        for name, values in summary.slices.items()
        for value in sorted(values, key=rank)
    ]


def split_rows(summary: Summary) -> list[list[str]]:
    """Name, rows, frauds and raw share of fraud of each split, formatted."""
    return [
        [split["name"], f"{split['rows']:,}", f"{split['frauds']:,}", f"{split['frauds'] / split['rows']:.3%}"]
        for split in summary.splits
    ]


def _curves(history: dict[str, list[float]]) -> str:
    from plotly.subplots import make_subplots  # two tenths of a second, wanted here alone

    figure = make_subplots(rows=1, cols=2, subplot_titles=("loss, log scale", "average precision on eval"))
    epochs = list(range(1, len(history["loss"]) + 1))
    for column, names in ((1, ("loss", "val_loss")), (2, ("val_average_precision",))):
        for name in names:
            label = {"loss": "train", "val_loss": "eval"}.get(name, "eval, average precision")
            figure.add_scatter(x=epochs, y=history[name], name=label, mode="lines+markers", row=1, col=column)
    figure.update_yaxes(type="log", row=1, col=1)
    epochs_axis(figure, len(epochs))
    return plot(figure, 340, margin={"l": 50, "r": 20, "t": 40, "b": 45})  # above are the titles
