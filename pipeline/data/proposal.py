"""What `fraud-pipeline init` proposes for some data, and its configuration as commented YAML."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from pipeline.escaping import in_yaml, on_terminal
from trainer.columns import Columns, CsvFormat, NumberFormat
from trainer.decision.costs import Costs

UNKNOWN_CURRENCY = "units"
COARSE_UNITS = ("days", "weeks", "months")
_ROLES = {
    "label": "label",
    "time": "time",
    "time part": "part of the time",
    "amount": "amount",
    "id": "id",
    "entity": "entity",
    "numeric": "numeric",
    "category": "category (text)",
    "code": "category (whole number)",
    "ignore": "ignored",
}


@dataclass(frozen=True)
class Proposal:
    """Roles and formats of all columns, and for each column in a few words why.

    roles: of each column of the files. doubts: sentences on what a person has to look at, rivals among it. currency: of
    the amounts, None where nothing shows it. leaks: average precision of the columns that tell the label alone.
    """

    columns: Columns
    reasons: dict[str, str]
    rows: int
    roles: dict[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    currency: str | None = None
    by_time: bool = True
    leaks: dict[str, float] = field(default_factory=dict)

    def role(self, name: str) -> str:
        """The role of a column of the files, for people."""
        return _ROLES.get(self.roles.get(name, ""), self.roles.get(name, ""))

    def as_yaml(
        self,
        data_path: str,
        schema_path: str | None = None,
        *,
        name: str | None = None,
        workspace: str | None = None,
        card_path: str | None = None,
        bars: Mapping[str, float] | None = None,
        bars_reason: str = "",
    ) -> str:
        """A commented config: the data, the schema if there is one, the columns with the reasons, costs and bars."""
        columns = self.columns
        lines = [
            f"# Proposed from the first {self.rows:,} rows: review each role before you train on it.",
            *(_comment(f"Look at this: {doubt}.") for doubt in self.doubts),
        ]
        if name is not None:
            lines += [f"name: {in_yaml(name)}"]
        if workspace is not None:
            lines += [f"workspace: {in_yaml(workspace)}  # of this data alone"]
        lines += ["", "data:", f"  path: {in_yaml(data_path)}"]
        if card_path is not None:
            lines += [f"  card_path: {in_yaml(card_path)}  # what is known of the data: fill it in"]
        if not columns.time or not self.by_time:
            lines += ["  split: {by: random}  # figures look better by it than they will be in service"]
        lines += [""]
        if schema_path is not None:
            lines += [f"schema: {in_yaml(schema_path)}", ""]
        lines += ["columns:", *self._columns()]
        if columns.time_format in COARSE_UNITS and len(columns.inputs) > 1:
            lines += ["", f"features: {{use_time: false}}  # a time in {columns.time_format} has no hour of the day"]
        if columns.amount:
            lines += ["", *self._costs()]
        if bars:
            lines += ["", _comment(bars_reason), f"evaluation: {_flow_map(bars)}"]
        return "\n".join(line for line in lines if line is not None) + "\n"

    def _columns(self) -> list[str]:
        columns = self.columns
        lines = [f"  label: {in_yaml(columns.label)}  # {self._reason(columns.label)}"]
        if columns.label_values:
            values = {key: list(value) for key, value in columns.label_values.model_dump().items()}
            lines += [f"  label_values: {_flow_map(values)}"]
        if columns.id:
            lines += [f"  id: {in_yaml(columns.id)}  # {self._reason(columns.id)}"]
        if columns.entities:
            lines += ["  # who takes part: carried along, not learned from as they are", "  entities:"]
            lines += [f"    - {in_yaml(name)}  # {self._reason(name)}" for name in columns.entities]
        if columns.time:
            reason = self._reason(columns.time) if columns.time in self.reasons else "of several columns"
            lines += [f"  time: {in_yaml(columns.time)}  # {reason}"]
            lines += [f"  time_format: {in_yaml(columns.time_format)}"]
            if columns.time_parts:
                lines += _flow("  time_parts: ", [in_yaml(name) for name in columns.time_parts])
            lines += ["  # time_zone: Europe/Berlin  # whose clock the hours are by, if times have no offset"]
        if columns.amount:
            lines += [f"  amount: {in_yaml(columns.amount)}  # {self._reason(columns.amount)}"]
        lines += ["  # numbers; missing values are allowed", *self._numeric()]
        lines += ["  # categories: string (as printed) or integer"]
        lines += ["  categorical:" + ("" if columns.categorical else " {}")]
        lines += [f"    {in_yaml(name)}: {kind}  # {self._reason(name)}" for name, kind in columns.categorical.items()]
        if columns.numbers:
            lines += ["  numbers:  # how they are written"]
            lines += [f"    {in_yaml(name)}: {_flow_map(_set(written))}" for name, written in columns.numbers.items()]
        if columns.missing:
            lines += ["  missing:  # further values that mean a missing one"]
            lines += [f"    {in_yaml(name)}: {_flow_list(marks)}" for name, marks in columns.missing.items()]
        if columns.leave_out_rows_without:
            lines += [f"  leave_out_rows_without: {_flow_list(columns.leave_out_rows_without)}  # they are counted"]
        if columns.csv != CsvFormat():
            lines += [f"  csv: {_flow_map(_set(columns.csv))}"]
        lines += ["  ignore:" + ("" if columns.ignore else " []")]
        lines += [f"    - {in_yaml(name)}  # {self._reason(name)}" for name in columns.ignore]
        return lines

    def _numeric(self) -> list[str]:
        """Each with its reason, or in few lines where they are many and plain."""
        plain = [name for name in self.columns.numeric if self.reasons.get(name, "").startswith("100 % numbers")]
        if len(plain) == len(self.columns.numeric) or len(self.columns.numeric) > 60:
            lines = _flow("  numeric: ", [in_yaml(name) for name in self.columns.numeric])
            odd = [
                name for name in self.columns.numeric if name not in plain and "exception" in self.reasons.get(name, "")
            ]
            return lines + [_comment(f"{name}: {self._reason(name)}", "    ") for name in odd]
        return ["  numeric:", *(f"    - {in_yaml(name)}  # {self._reason(name)}" for name in self.columns.numeric)]

    def _costs(self) -> list[str]:
        currency = self.currency or UNKNOWN_CURRENCY
        costs = {**Costs().model_dump(), "currency": currency}
        unknown = [] if self.currency else ["# Which currency that is, nothing shows: set it."]
        return [
            "# What the model weighs when it decides, in the currency of the amounts; see docs/decisions.md.",
            *unknown,
            f"costs: {_flow_map(costs)}",
        ]

    def _reason(self, name: str) -> str:
        """For a comment: in one line, and without what YAML does not take there."""
        return on_terminal(" ".join(self.reasons[name].split()))


def card(name: str, origin: str, currency: str | None) -> str:
    """A data card to be filled in."""
    return "\n".join(
        [
            "# What is known of the data; reports and models repeat it. Fill in what is empty.",
            f"name: {in_yaml(name)}",
            "kind: unknown  # real or synthesized",
            f"source: {in_yaml(origin)}  # where it comes from",
            'licence: ""  # who may use it for what',
            f"currency: {in_yaml(currency or 'unknown')}  # of the amounts, such as USD",
            "# sampling_rates: {fraud: 1, legitimate: 0.1}  # the share of each class that it holds, if it is a sample",
            "",
        ]
    )


def _comment(text: str, before: str = "") -> str:
    lines = textwrap.wrap(on_terminal(" ".join(text.split())), 112 - len(before), break_long_words=False)
    return "\n".join(f"{before}# {line}" for line in lines)


def _set(settings: NumberFormat | CsvFormat) -> dict[str, Any]:
    plain = type(settings)()
    values = settings.model_dump(mode="json")
    return {key: value for key, value in values.items() if value != getattr(plain, key) and value != []}


def _flow_map(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_flow_value(value)}" for key, value in values.items()) + "}"


def _flow_list(values: Any) -> str:
    return "[" + ", ".join(_flow_value(value) for value in values) + "]"


def _flow_value(value: Any) -> str:
    if isinstance(value, str):
        return in_yaml(value)
    if isinstance(value, (list, tuple)):
        return _flow_list(value)
    return yaml.safe_dump(value, default_flow_style=True).partition("\n")[0]


def _flow(start: str, items: list[str]) -> list[str]:
    if any(" " in item for item in items):
        # Wrapping would break a name at its blank.
        return [start.rstrip(), *(f"    - {item}" for item in items)]
    return textwrap.wrap(
        f"{start}[{', '.join(items)}]", 116, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
