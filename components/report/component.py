"""Report: one self-contained page for people and one summary for programs."""
# No `from __future__ import annotations`: TFX reads the annotations of a component function as objects.

import html
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from markupsafe import Markup
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import artifact, artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components.data_gate import Finding, Findings, read_findings
from components.digests import folder_digest
from components.evaluation.scores import CURRENT, SPLIT, Scores
from components.evaluation.verdict import Comparison, Verdict
from components.evaluation.words import decimals, money, with_interval
from components.model_folder import read_manifest
from components.properties import ORIGIN_PROPERTY, SPLITS_PROPERTY
from components.report import data, drift
from components.report.comparison import comparison_section, in_words
from components.report.curves import curves_section
from components.report.decision import decision_section
from components.report.lineage import Graph, lineage_section, used
from components.report.mistakes import (
    attributions,
    costly_mistakes,
    identifiers,
    mistakes_section,
    serialized_examples,
)
from components.report.model_card import CardFacts, model_card
from components.report.page import epochs_axis, page, plot
from components.report.search import search_section
from components.report.settings import ModelCardSettings
from components.report.slices import slices_section
from trainer.columns import Columns
from trainer.decision.costs import Costs
from trainer.search.trials import Record

SUMMARY = "summary.json"
REPORT = "report.html"


class FraudReport(artifact.Artifact):
    """`report.html` and `summary.json`."""

    TYPE_NAME = "FraudPipelineReport"


@dataclass(frozen=True)
class Summary:
    """What a run came to; the terminal, the page and `runs` all show this one value.

    splits: a `SplitSummary` as JSON for each. challengers, comparisons, slices, notes: as of `Verdict`. pushed_to: ""
    where the model was not pushed. search: what the search over hyperparameters came to, without a full stop; ""
    without one. currency: of the figures in money. run_name: what the run was told that
    it is called; on this machine the pipeline's name.
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
    challengers: dict[str, dict[str, float | None]] = field(default_factory=dict)
    comparisons: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    currency: str = ""
    run_name: str = ""

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not self.blessed:
            return "Not blessed: " + "; ".join(self.reasons)
        if self.current_version:
            return f"Blessed: meets the thresholds and is no worse than version {self.current_version} in service"
        return "Blessed: meets the thresholds; there was no model in service to compare with"

    @property
    def remarks(self) -> list[str]:
        """Sentences beside the verdict: how it compares with each other model, and what no threshold looks at."""
        compared = [in_words(Comparison(**comparison)) for comparison in self.comparisons]
        return [*compared, *(f"{note.rstrip('.')}." for note in self.notes)]


def read_summary(uri: str) -> Summary:
    with fileio.open(os.path.join(uri, SUMMARY)) as file:
        return Summary(**json.load(file))


@component
def Report(
    examples: InputArtifact[standard_artifacts.Examples],
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    schema: InputArtifact[standard_artifacts.Schema],
    findings: InputArtifact[Findings],
    model: InputArtifact[standard_artifacts.Model],
    model_run: InputArtifact[standard_artifacts.ModelRun],
    evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    pushed_model: InputArtifact[standard_artifacts.PushedModel],
    report: OutputArtifact[FraudReport],
    costs: Parameter[str],
    card: Parameter[str],
    graph: Parameter[str],
    config: Parameter[str],
    run_name: Parameter[str],
    tuner_results: InputArtifact[standard_artifacts.TunerResults] = None,
) -> None:
    """Gathers what the other components found.

    costs, card: `Costs` and `ModelCardSettings` as JSON. graph: a `Graph` as JSON. config: as YAML, without secrets.
    """
    gathered = Gathered(
        {
            "examples": examples,
            "statistics": statistics,
            "schema": schema,
            "findings": findings,
            "model": model,
            "model_run": model_run,
            "evaluation": evaluation,
            "pushed_model": pushed_model,
            "tuner_results": tuner_results,
        },
        Costs.model_validate_json(costs),
        ModelCardSettings.model_validate_json(card),
        Graph.from_json(graph),
        config,
        run_name,
    )
    summary = gathered.summary
    with fileio.open(os.path.join(report.uri, SUMMARY), "w") as file:
        json.dump(vars(summary), file, indent=2)
    with fileio.open(os.path.join(report.uri, REPORT), "w") as file:
        file.write(as_html(summary, gathered.sections()))


@dataclass(frozen=True)
class Gathered:
    """What the other components left, by the names of the report's inputs, and what the pipeline told.

    Of the artifacts, tuner_results is None without a search.
    """

    artifacts: Mapping[str, Any]
    costs: Costs
    card: ModelCardSettings
    graph: Graph
    config: str
    run_name: str

    def _uri(self, name: str) -> str:
        uri: str = self.artifacts[name].uri
        return uri

    def _property(self, name: str, key: str) -> str:
        value: str = self.artifacts[name].get_string_custom_property(key)
        return value

    @cached_property
    def model_folder(self) -> str:
        folder: str = path_utils.serving_model_path(self._uri("model"))
        return folder

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return read_manifest(self.model_folder)

    @property
    def decision(self) -> dict[str, Any]:
        decision: dict[str, Any] = self.manifest.get("decision", {})
        return decision

    @cached_property
    def verdict(self) -> Verdict:
        return Verdict.load(self._uri("evaluation"))

    @cached_property
    def findings(self) -> list[Finding]:
        return read_findings(self._uri("findings"))

    @cached_property
    def record(self) -> Record | None:
        """Of the search; None without one."""
        return None if self.artifacts["tuner_results"] is None else Record.load(self._uri("tuner_results"))

    @cached_property
    def summary(self) -> Summary:
        verdict, note = self.verdict, self.decision.get("note")
        return Summary(
            origin=self._property("examples", ORIGIN_PROPERTY),
            weighting=data.sampling(self.manifest["data"]["sampling_rates"]),
            splits=json.loads(self._property("examples", SPLITS_PROPERTY)),
            metrics=verdict.metrics,
            current_metrics=verdict.current_metrics,
            current_version=verdict.current_version,
            blessed=verdict.blessed,
            reasons=list(verdict.reasons),
            pushed_to=self._property("pushed_model", "pushed_destination"),
            pushed_version=self._property("pushed_model", "pushed_version"),
            threshold=self.manifest["threshold"],
            findings=[vars(finding) for finding in self.findings],
            slices=verdict.slices,
            search="" if self.record is None else self.record.conclusion,
            challengers=verdict.challengers,
            comparisons=[vars(comparison) for comparison in verdict.comparisons],
            notes=[*([note] if note else []), *verdict.notes],
            currency=self.costs.currency,
            run_name=self.run_name,
        )

    def sections(self) -> dict[str, Sequence[str]]:
        """By heading, HTML or parts of it."""
        scores, verdict, threshold = Scores.open(self._uri("evaluation")), self.verdict, self.summary.threshold
        by = self.decision.get("by", "threshold")
        data, card = self._data_and_card()
        return {
            "What it decides, and what that costs": decision_section(scores, self.costs, threshold, by=by),
            "Against other models": comparison_section(
                verdict.metrics,
                {CURRENT: verdict.current_metrics, **verdict.challengers},
                verdict.comparisons,
                currency=self.costs.currency,
                current_version=verdict.current_version,
            ),
            "Curves": curves_section(scores, None if by == "amount" else threshold),
            "Parts of the transactions": slices_section(verdict.slices, currency=self.costs.currency),
            "The most costly mistakes": self._mistakes(scores),
            "Data": data,
            "Learning curves": self._learning_curves(),
            **({} if self.record is None else {"Search": search_section(self.record)}),
            "Model card": card,
            "Lineage": self._lineage(),
        }

    def _mistakes(self, scores: Scores) -> Markup:
        mistakes = costly_mistakes(scores, self.costs)
        split = artifact_utils.get_split_uri([self.artifacts["examples"]], SPLIT)
        serialized = serialized_examples([mistake.place for mistake in mistakes], split)
        named = identifiers(serialized, self.manifest["columns"].get("id"))
        explained = attributions(serialized, self.model_folder)
        return mistakes_section(mistakes, explained, named, self.manifest, self.costs)

    def _data_and_card(self) -> tuple[Markup, list[str]]:
        """Both look at how far the columns moved."""
        splits, columns = self.summary.splits, Columns.model_validate(self.manifest["columns"])
        statistics, schema = data.load(self.artifacts["statistics"], self.artifacts["schema"])
        moved = drift.moves(statistics, data.compared(columns))
        facts = CardFacts(
            self.manifest,
            self.verdict,
            splits,
            self.card,
            moved,
            data.new_categories(statistics, columns),
            len(self.record.trials) if self.record else 0,
            self.summary.pushed_version,
        )
        section = data.data_section(splits, self.manifest, self.findings, statistics, schema, moved)
        return section, model_card(facts)

    def _learning_curves(self) -> list[str]:
        with fileio.open(os.path.join(self._uri("model_run"), "history.json")) as file:
            return [_curves(json.load(file))]

    def _lineage(self) -> Markup:
        digests = {
            "input files (path and content of each)": self._property("examples", "input_fingerprint"),
            "model (path and content of every file)": folder_digest(self.model_folder),
        }
        made_from, seed = used(self.artifacts, self.graph), self.record.seed if self.record else None
        return lineage_section(self.graph, made_from, self.manifest, digests, self.config, seed)


def as_html(summary: Summary, sections: Mapping[str, Sequence[str]]) -> str:
    """A page that works offline and as an attachment: what it comes to, a table of contents, and the sections.

    sections: by heading, HTML or parts of it.
    """
    blessed = "good" if summary.blessed else "bad"
    names = {heading: f"section-{number}" for number, heading in enumerate(sections, 1)}
    body = [
        f'<p class="origin">{html.escape(summary.origin)}</p>',
        f'<p class="verdict {blessed}">{html.escape(summary.verdict)}.</p>',
        *(f"<p>{html.escape(remark)}</p>" for remark in summary.remarks),
        f"<p>{html.escape(where(summary))}</p>",
        "<nav><ul>",
        *(f'<li><a href="#{name}">{html.escape(heading)}</a></li>' for heading, name in names.items()),
        "</ul></nav>",
    ]
    for heading, section in sections.items():
        parts = [section] if isinstance(section, str) else section
        body += [f'<h2 id="{names[heading]}">{html.escape(heading)}</h2>', *parts]
    title = f"Fraud model report: {summary.run_name}" if summary.run_name else "Fraud model report"
    return page(title, "\n".join(body), plotly=True)


def where(summary: Summary) -> str:
    """Where the model is, for people."""
    if not summary.pushed_to:
        return "The model was not pushed; what is in service stays there."
    return f"The model is version {summary.pushed_version}, in {summary.pushed_to}."


def figure_rows(summary: Summary) -> list[list[str]]:
    """Name, candidate and model in service, formatted; 'n/a' where a figure is not defined."""
    both = (summary.metrics, summary.current_metrics)
    rows = [
        ["average precision", *(with_interval(figures, "average_precision") for figures in both)],
        [
            "recall at 1 % false positives",
            *(decimals(figures.get("recall_at_1_percent_false_positives")) for figures in both),
        ],
        ["ROC-AUC", *(decimals(figures.get("roc_auc")) for figures in both)],
        ["alerts a day", *(decimals(figures.get("alerts_a_day"), 0) for figures in both)],
    ]
    if "savings" in summary.metrics:
        rows.append(["saved against no model", *(money(figures.get("savings"), summary.currency) for figures in both)])
    return rows


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
