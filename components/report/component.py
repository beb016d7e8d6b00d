"""Report: one self-contained page for people and one summary for programs."""
# No `from __future__ import annotations`: TFX reads the annotations of a component function as objects.

import datetime
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from markupsafe import Markup
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact, artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components.data_gate import Findings, read_findings
from components.digests import folder_digest
from components.evaluation.scores import CURRENT, SPLIT, TIME, Scores
from components.evaluation.verdict import Verdict
from components.findings import Finding
from components.model_folder import read_manifest
from components.properties import ORIGIN_PROPERTY, SPLITS_PROPERTY
from components.report import data, drift
from components.report.comparison import comparison_section
from components.report.curves import curves_section
from components.report.decision import decision_section
from components.report.learning_curves import learning_curves_section
from components.report.lineage import Graph, lineage_section, used
from components.report.mistakes import (
    attributions,
    costly_mistakes,
    identifiers,
    mistakes_section,
    serialized_examples,
)
from components.report.model_card import CardFacts, model_card
from components.report.over_time import over_time_section
from components.report.page import page
from components.report.search import search_section
from components.report.settings import ModelCardSettings
from components.report.slices import slices_section
from components.report.summary import SUMMARY, Summary, cards, where
from trainer.columns import Columns
from trainer.decision.costs import Costs
from trainer.search.trials import Record

REPORT = "report.html"


class FraudReport(artifact.Artifact):
    """`report.html` and `summary.json`."""

    TYPE_NAME = "FraudPipelineReport"


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
    run_id: Parameter[str] = "",
) -> None:
    """Gathers what the other components found.

    costs, card: `Costs` and `ModelCardSettings` as JSON. graph: a `Graph` as JSON. config: as YAML, without secrets.
    run_id: set by the executor, so that no cache key has it.
    """
    inputs = ReportInputs(
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
        run_id,
    )
    summary = inputs.summary
    with fileio.open(os.path.join(report.uri, SUMMARY), "w") as file:
        json.dump(vars(summary), file, indent=2)
    with fileio.open(os.path.join(report.uri, REPORT), "w") as file:
        file.write(as_html(summary, inputs.sections()))


class ReportExecutor(Report.EXECUTOR_SPEC.executor_class):  # type: ignore[name-defined]
    """Hands the run's id on, which TFX tells executors alone; Kubeflow does not tell it."""

    def Do(self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]) -> None:
        run_id = (self._context and self._context.pipeline_run_id) or ""
        super().Do(input_dict, output_dict, {**exec_properties, "run_id": run_id})


Report.EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ReportExecutor)


@dataclass(frozen=True)
class ReportInputs:
    """What the other components left, by the names of the report's inputs, and what the pipeline knows of itself.

    Of the artifacts, tuner_results is None without a search.
    """

    artifacts: Mapping[str, Any]
    costs: Costs
    card: ModelCardSettings
    graph: Graph
    config: str
    run_name: str
    run_id: str = ""

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

    @cached_property
    def columns(self) -> Columns:
        return Columns.model_validate(self.manifest["columns"])

    @property
    def decision(self) -> dict[str, Any]:
        decision: dict[str, Any] = self.manifest.get("decision", {})
        return decision

    @cached_property
    def verdict(self) -> Verdict:
        return Verdict.load(self._uri("evaluation"))

    @cached_property
    def scores(self) -> Scores:
        return Scores.open(self._uri("evaluation"))

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
            not_compared=verdict.not_compared,
            notes=[*([note] if note else []), *verdict.notes],
            currency=self.costs.currency,
            run_name=self.run_name,
            run_id=self.run_id,
            made=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            data_name=self.manifest["data"].get("name", ""),
            days=self.scores.days if TIME in self.scores else None,
        )

    def sections(self) -> dict[str, Markup]:
        """By heading: what everybody asks first, and what is for statisticians further down."""
        scores, verdict, threshold = self.scores, self.verdict, self.summary.threshold
        by = self.decision.get("by", "threshold")
        data, card = self._data_and_card()
        return {
            "What it decides, and what that costs": decision_section(scores, self.costs, threshold, by=by),
            "Over time": over_time_section(scores, self.costs, self.columns),
            "The most costly mistakes": self._mistakes(scores),
            "Against other models": comparison_section(
                verdict.metrics,
                {CURRENT: verdict.current_metrics, **verdict.challengers},
                verdict.comparisons,
                costs=self.costs,
                per_day=self.summary.per_day,
                current_version=verdict.current_version,
            ),
            "Parts of the transactions": slices_section(verdict.slices, self.summary.per_day),
            "Data": data,
            "Model card": card,
            "Curves": curves_section(scores, None if by == "amount" else threshold),
            "Learning curves": self._learning_curves(),
            **({} if self.record is None else {"Search": search_section(self.record)}),
            "Lineage": self._lineage(),
        }

    def _mistakes(self, scores: Scores) -> Markup:
        mistakes = costly_mistakes(scores, self.costs)
        split = artifact_utils.get_split_uri([self.artifacts["examples"]], SPLIT)
        serialized = serialized_examples([mistake.place for mistake in mistakes], split)
        transaction_ids = identifiers(serialized, self.columns.id)
        attributions_of_each = attributions(serialized, self.model_folder)
        return mistakes_section(mistakes, attributions_of_each, transaction_ids, self.manifest, self.costs)

    def _data_and_card(self) -> tuple[Markup, Markup]:
        """Both look at how far the columns moved."""
        splits, columns = self.summary.splits, self.columns
        statistics, schema = data.load(self.artifacts["statistics"], self.artifacts["schema"])
        drift_by_column = drift.moves(statistics, data.compared(columns))
        facts = CardFacts(
            self.manifest,
            self.verdict,
            splits,
            self.card,
            drift_by_column,
            data.new_categories(statistics, columns),
            len(self.record.trials) if self.record else 0,
            self.summary.pushed_version,
            self.summary.per_day,
        )
        section = data.data_section(splits, self.manifest, self.findings, statistics, schema, drift_by_column)
        return section, model_card(facts)

    def _learning_curves(self) -> Markup:
        with fileio.open(os.path.join(self._uri("model_run"), "history.json")) as file:
            return learning_curves_section(json.load(file))

    def _lineage(self) -> Markup:
        digests = {
            "input files (path and content of each)": self._property("examples", "input_fingerprint"),
            "model (path and content of every file)": folder_digest(self.model_folder),
        }
        made_from, seed = used(self.artifacts, self.graph), self.record.seed if self.record else None
        return lineage_section(self.graph, made_from, self.manifest, digests, self.config, seed)


def as_html(summary: Summary, sections: Mapping[str, Markup]) -> str:
    """A page that works offline and as an attachment: what it comes to, a list of contents, and the sections.

    sections: by heading.
    """
    return page(
        ", ".join([summary.title, *summary.identity]),
        template="report.html",
        plotly=True,
        summary=summary,
        cards=cards(summary),
        where=where(summary),
        sections=sections,
    )
