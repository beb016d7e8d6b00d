"""What the validation of data says without a run: the counts that it hands TFDV are those that TFDV makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.findings import Finding
from pipeline.config import Config
from pipeline.data import schema, validation
from tests.support.gated_data import gate

ROLES = {
    "label": "fraud",
    "time": "when",
    "amount": "amount",
    "numeric": ["balance", "age"],
    "categorical": {"country": "string", "shop": "integer", "merchant": "string"},
}
ROWS = 600


def config(**data: Any) -> Config:
    return Config.model_validate({"columns": ROLES, "data": data})


def write(folder: Path, rows: int = ROWS, **columns: Any) -> str:
    """Transactions in order of time, with other values for some columns: functions of the row's number."""
    generator = np.random.default_rng(3)
    amounts, ages, coin = (
        generator.gamma(2, 30, rows).round(2),
        generator.integers(18, 90, rows),
        generator.random(rows),
    )
    made = {
        "when": lambda row: row * 60,
        "amount": lambda row: amounts[row],
        "balance": lambda row: "" if coin[row] < 0.2 else ages[row] * 2.5 + coin[row],
        "age": lambda row: ages[row],
        "country": lambda row: ("NL", "DE", "FR", "")[int(coin[row] * 4)],
        "shop": lambda row: int(coin[row] * 1000) % 7,
        "merchant": lambda row: f"shop {int(coin[row] * 1e6) % 250}",
        "fraud": lambda row: int(row % 9 == 0),
        **columns,
    }
    lines = [",".join(made), *(",".join(str(value(row)) for value in made.values()) for row in range(rows))]
    path = folder / "transactions.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def summary(findings: list[Finding]) -> list[tuple[str, str, bool, str]]:
    return [(finding.split, finding.column, finding.stops, finding.kind) for finding in findings]


@pytest.mark.parametrize("by", ["time", "random"])
def test_an_inferred_schema_fits_the_data_that_it_was_inferred_from(by, tmp_path):
    path = write(tmp_path)
    inspection = validation.Inspection.from_data(path, config(split={"by": by}))
    inferred = schema.infer(path, config().roles)
    assert inspection.schema() == inferred
    assert inspection.findings(inferred) == validation.validate(path, config(split={"by": by}), inferred) == []


def test_a_column_that_is_empty_in_a_whole_split_fits_the_schema_with_gaps(tmp_path):
    path = write(
        tmp_path, balance=lambda row: row if row > ROWS * 0.9 else "", country=lambda row: "" if row < 420 else "NL"
    )
    inferred = schema.infer(path, config().roles)
    findings = validation.validate(path, config(), inferred)
    assert findings == gate(path, config(), inferred)
    assert [(one.split, one.column, one.stops, one.kind) for one in findings] == [
        ("train", "balance", False, "empty column"),
        ("eval", "balance", False, "empty column"),
        ("train", "country", False, "empty column"),
    ]
    assert findings[0].details.startswith(
        "none of the 390 rows of train has a value, but 59 of test do: nothing is learned"
    )


def test_a_domain_of_500_values_works(tmp_path):
    path = write(tmp_path)
    curated = schema.infer(path, config().roles)
    (merchant,) = [feature for feature in curated.feature if feature.name == "merchant"]
    merchant.domain = "merchants"
    curated.string_domain.add(name="merchants", value=[f"shop {number}" for number in range(500)])
    assert validation.validate(path, config(), curated) == gate(path, config(), curated) == []
    del curated.string_domain[-1].value[100:]
    findings = validation.validate(path, config(), curated)
    assert findings == gate(path, config(), curated)
    assert summary(findings) == [(split, "merchant", True, "anomaly") for split in ("train", "eval", "test")]
