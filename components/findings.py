"""What is wrong or doubtful in the data: findings, of which some stop the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainer.errors import InputError

Kind = Literal["anomaly", "drift", "empty column", "leakage", "repeated rows"]


@dataclass(frozen=True)
class Finding:
    """One finding: where it is, the problem in a few words, and a sentence with figures and what to do.

    kind: anomaly, that the data does not fit the schema; drift, that it moved; empty column, that one
    has no value in a whole split, which the schema allows; leakage, that a column tells the label;
    repeated rows, that rows of one split stand in another.
    """

    split: str
    column: str
    problem: str
    details: str
    stops: bool
    kind: Kind = "anomaly"


class BadData(InputError):
    """The data has faults that stop the run; `findings` has all findings, warnings among them."""

    def __init__(self, findings: list[Finding]):
        self.findings = findings
        stopping = [finding for finding in findings if finding.stops]
        lines = "; ".join(
            f"{finding.column} in {finding.split}: {finding.problem} ({finding.details})" for finding in stopping[:5]
        )
        more = f"; and {len(stopping) - 5} more" if len(stopping) > 5 else ""
        noun = ("leak" if all(finding.kind == "leakage" for finding in stopping) else "fault") + "s" * (
            len(stopping) != 1
        )
        super().__init__(
            f"the data has {len(stopping)} {noun}: {lines}{more}. "
            "Correct the data, or the schema or the configuration where it is that which is wrong"
        )
