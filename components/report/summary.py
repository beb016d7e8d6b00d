"""What a run came to: one value for programs, the terminal and the first screen of the report."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfx.dsl.io import fileio

from components.evaluation.scores import CURRENT
from components.evaluation.verdict import SAVINGS, Comparison
from components.evaluation.words import NOT_DEFINED, count, decimals, money, percent, with_interval
from components.report.comparison import in_words, savings_in_words
from components.report.per_day import PerDay

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Summary:
    """What a run came to; the terminal, the page and `runs` all show this one value.

    splits: a `SplitSummary` as JSON for each. challengers, comparisons, slices, notes, not_compared: as of
    `Verdict`. pushed_to: ""
    where the model was not pushed. search: what the search over hyperparameters came to, without a full stop; ""
    without one. currency: of the figures in money. run_name: what the run is
    called; on this machine the pipeline's name. run_id: TFX's; "" where it is not known, as on Kubeflow.
    made: when, in UTC, as ISO 8601 has it. data_name: of the data card. days: in which as many transactions come in as
    the test split stands for; None without times.
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
    run_id: str = ""
    made: str = ""
    data_name: str = ""
    days: float | None = None
    not_compared: str = ""

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not self.blessed:
            return "Not blessed: " + "; ".join(self.reasons)
        if self.current_version:
            return f"Blessed: {self._against_current}"
        if self.not_compared:
            return f"Blessed: meets the thresholds; {self.not_compared}"
        return "Blessed: meets the thresholds; there was no model in service to compare with"

    @property
    def _against_current(self) -> str:
        """How a model that is blessed compares with the one in service, in average precision and in money."""
        version = f"version {self.current_version} in service"
        in_money = next((one for one in self._compared if one.figure == SAVINGS), self._savings_without_interval)
        if in_money.difference is None:
            return f"meets the thresholds and is no worse than {version}"
        saves = savings_in_words(in_money, self.per_day)
        if in_money.difference < 0:
            return (
                f"meets the thresholds, and its average precision is within the margin of that of {version}, but it "
                f"{saves}"
            )
        return f"meets the thresholds, is no worse than {version}, and {saves}"

    @property
    def _savings_without_interval(self) -> Comparison:
        """Of both models as they are, where nothing compared them on the same transactions."""
        saved, of_other = self.metrics.get(SAVINGS), self.current_metrics.get(SAVINGS)
        difference = None if saved is None or of_other is None else saved - of_other
        return Comparison(CURRENT, difference, None, None, None, True, SAVINGS)

    @property
    def _compared(self) -> list[Comparison]:
        return [Comparison(**comparison) for comparison in self.comparisons]

    @property
    def remarks(self) -> list[str]:
        """Sentences beside the verdict: how it compares with each other model, and what no threshold looks at."""
        compared = [in_words(comparison, self.per_day) for comparison in self._compared]
        not_compared = f"{self.not_compared[:1].upper()}{self.not_compared[1:]}"
        notes = [*([not_compared] if not_compared and not self.blessed else []), *self.notes]
        return [*compared, *(f"{note.rstrip('.')}" + ("" if note.endswith("?") else ".") for note in notes)]

    @property
    def warnings(self) -> list[str]:
        """Sentences on what DataGate warned of, with the columns."""
        columns: dict[str, set[str]] = {}
        for finding in self.findings:
            # a run of an earlier version knew of drift alone
            columns.setdefault(finding.get("kind", "drift"), set()).add(str(finding["column"]))
        return [
            f"{sentence}{_columns(columns[kind]) if kind in _OF_COLUMNS else ''}."
            for kind, sentence in {**_OF_COLUMNS, **_OF_ROWS}.items()
            if kind in columns
        ]

    @property
    def per_day(self) -> PerDay:
        return PerDay(self.days, self.currency)

    @property
    def title(self) -> str:
        """Of the report's page."""
        return f"Fraud model report: {self.run_name}" if self.run_name else "Fraud model report"

    @property
    def identity(self) -> list[str]:
        """What tells this report from others: the date, the run's id and the model's version, and the data."""
        return [
            *([f"{date(self.made)}, {self.made[11:16]} UTC"] if self.made else []),
            *([f"run {self.run_id}"] if self.run_id else []),
            *([f"model version {self.pushed_version}"] if self.pushed_version else []),
            *([self.data_name] if self.data_name else []),
        ]


_OF_COLUMNS = {
    "drift": "Drift against the training data: ",
    "empty column": "Without a value in a whole split: ",
    "leakage": "Each alone tells much of the label, so see that it is known when a transaction is decided on: ",
}
_OF_ROWS = {"repeated rows": "Rows of eval or test stand in train as well, so the figures are too good"}
_MOST_COLUMNS = 12


def _columns(names: set[str]) -> str:
    shown = sorted(names)[:_MOST_COLUMNS]
    return ", ".join(shown) + (f" and {len(names) - len(shown):,} more" if len(names) > len(shown) else "")


def date(moment: str) -> str:
    """Of a moment in ISO 8601, in words: "30 Nov 2026"."""
    day = datetime.date.fromisoformat(moment[:10])
    return f"{day.day} {day:%b %Y}"


def read_summary(uri: str) -> Summary:
    """Of a report's folder."""
    with fileio.open(os.path.join(uri, SUMMARY)) as file:
        return Summary(**json.load(file))


# ---- the terminal's tables


def where(summary: Summary) -> str:
    """Where the model is, for people."""
    if not summary.pushed_to:
        return "The model was not pushed; what is in service stays there."
    return f"The model is version {summary.pushed_version}, in {summary.pushed_to}."


def figure_rows(summary: Summary) -> list[list[str]]:
    """Name, candidate and model in service, formatted; 'n/a' where a figure is not defined."""
    both = (summary.metrics, summary.current_metrics)
    per_day = summary.per_day
    rows = [
        ["average precision", *(with_interval(figures, "average_precision") for figures in both)],
        [
            "recall at 1 % false positives",
            *(decimals(figures.get("recall_at_1_percent_false_positives")) for figures in both),
        ],
        ["ROC-AUC", *(decimals(figures.get("roc_auc")) for figures in both)],
        [f"alerts{per_day.unit}", *(decimals(figures.get("alerts_a_day"), 0) for figures in both)],
    ]
    if "savings" in summary.metrics:
        rows.append([f"saved{per_day.unit}, against no model", *(_saved(figures, per_day) for figures in both)])
    return rows


def _saved(figures: Mapping[str, float | None], per_day: PerDay) -> str:
    """A day, and on the test split in brackets."""
    savings = figures.get("savings")
    if savings is None or per_day.days is None:
        return per_day.money(savings)
    return f"{per_day.money(savings)}{per_day.on_split(savings)}"


def split_rows(summary: Summary) -> list[list[str]]:
    """Name, rows, frauds and raw share of fraud of each split, formatted."""
    return [
        [split["name"], f"{split['rows']:,}", f"{split['frauds']:,}", f"{split['frauds'] / split['rows']:.3%}"]
        for split in summary.splits
    ]


# ---- the first screen of the report


@dataclass(frozen=True)
class Card:
    """A figure of the first screen. kind: "good", "bad" or neither. notes: what makes it understood."""

    title: str
    value: str
    notes: tuple[str, ...] = ()
    kind: str = ""


def cards(summary: Summary) -> list[Card]:
    """What everybody asks first: the money, the alerts, how many frauds are caught, how good the ranking is."""
    return [
        *_money_cards(summary),
        _alerts_card(summary),
        _caught_card(summary),
        _precision_card(summary),
        _data_card(summary),
        *([_date_card(summary)] if summary.made else []),
    ]


def _money_cards(summary: Summary) -> list[Card]:
    metrics, per_day = summary.metrics, summary.per_day
    savings, lower, upper = (metrics.get(f"savings{end}") for end in ("", "_lower", "_upper"))
    if savings is None:
        return []
    lost = savings < 0
    if lost:
        savings, lower, upper = (None if one is None else -one for one in (savings, upper, lower))
    notes = []
    if per_day.days is not None:
        notes.append(f"{money(savings, summary.currency)} on the test split")
    if lower is not None and upper is not None:
        notes.append(f"95 % interval {decimals(per_day.of(lower), 0)} to {decimals(per_day.of(upper), 0)}")
    title = f"{'lost' if lost else 'saved'}{per_day.unit}, against no model"
    return [Card(title, per_day.money(savings), tuple(notes), "bad" if lost else "good")]


def _alerts_card(summary: Summary) -> Card:
    metrics, per_day = summary.metrics, summary.per_day
    caught, false_alarms = metrics.get("true_positives"), metrics.get("false_positives")
    notes = []
    if caught is not None and false_alarms is not None:
        alerts = caught + false_alarms
        if per_day.days is not None:
            notes.append(f"{count(alerts)} on the test split")
        if alerts:
            notes.append(f"{percent(caught / alerts)} of them fraud")
    # without times, the evaluation takes the whole split for a day
    return Card(f"alerts{per_day.unit}", count(metrics.get("alerts_a_day")), tuple(notes))


def _caught_card(summary: Summary) -> Card:
    metrics = summary.metrics
    caught, missed = metrics.get("true_positives"), metrics.get("false_negatives")
    caught_amount, missed_amount = (metrics.get(f"{kind}_amount") for kind in ("caught", "missed"))
    if caught is None or missed is None or not caught + missed:
        return Card(
            "frauds caught", NOT_DEFINED, ("there was none on the test split",) if caught == missed == 0 else ()
        )
    notes = [f"{count(caught)} of {count(caught + missed)} on the test split"]
    if caught_amount is not None and missed_amount is not None and caught_amount + missed_amount:
        notes.append(f"{percent(caught_amount / (caught_amount + missed_amount))} of their money")
    return Card("frauds caught", percent(caught / (caught + missed)), tuple(notes))


def _precision_card(summary: Summary) -> Card:
    figures, current = summary.metrics, summary.current_metrics.get("average_precision")
    value, lower, upper = (figures.get(f"average_precision{end}") for end in ("", "_lower", "_upper"))
    notes = []
    if lower is not None and upper is not None:
        notes.append(f"95 % interval {decimals(lower)} to {decimals(upper)}")
    if current is not None:
        notes.append(f"in service {decimals(current)}")
    return Card("average precision", decimals(value), tuple(notes))


def _data_card(summary: Summary) -> Card:
    test = next((split for split in summary.splits if split["name"] == "test"), None)
    rows = NOT_DEFINED if test is None else f"{test['rows']:,}"
    notes = [] if test is None else [f"{test['frauds']:,} of them fraud"]
    return Card("transactions tested", rows, (*notes, *([summary.data_name] if summary.data_name else [])))


def _date_card(summary: Summary) -> Card:
    version = f"model version {summary.pushed_version}" if summary.pushed_version else "the model was not pushed"
    return Card("date of this report", date(summary.made), (f"{summary.made[11:16]} UTC", version))
