"""DataGate on real files, by way of the real components before it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components import leak_checks
from components.findings import BadData, Finding
from pipeline.config import Config
from pipeline.data import validation
from tests.support.gated_data import gate, run_gate
from trainer.errors import InputError

SCHEMA = """
    feature { name: "at" type: FLOAT }
    feature { name: "amount" type: FLOAT float_domain { min: 0 } presence { min_fraction: 1 min_count: 1 }
              shape { dim { size: 1 } }
              drift_comparator { jensen_shannon_divergence { threshold: 0.1 } } }
    feature { name: "country" type: BYTES domain: "countries" presence { min_count: 1 }
              distribution_constraints { min_domain_mass: 0.9 } }
    feature { name: "fraud" type: INT bool_domain {} presence { min_fraction: 1 min_count: 1 }
              shape { dim { size: 1 } } }
    feature { name: "example_weight" type: FLOAT }
    string_domain { name: "countries" value: "DE" value: "NL" }
"""
ROWS = 200  # 130, 30 and 40 in the splits
ROLES = {"label": "fraud", "id": "payment", "time": "at", "amount": "amount", "categorical": ["country"]}


def schema(*replacements: tuple[str, str]) -> schema_pb2.Schema:
    text = SCHEMA
    for before, after in replacements:
        assert before in text
        text = text.replace(before, after)
    return text_format.Parse(text, schema_pb2.Schema())


def config(roles: dict[str, Any] | None = None, **data: Any) -> Config:
    return Config.model_validate({"columns": ROLES | (roles or {}), "data": data})


def good() -> pd.DataFrame:
    generator = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "payment": [f"P{row:03d}" for row in range(ROWS)],
            "at": np.arange(ROWS) * 60,
            "amount": generator.uniform(1, 500, ROWS).round(2),
            "country": generator.choice(["NL", "DE"], ROWS),
            "fraud": (np.arange(ROWS) % 10 == 0).astype(int),
        }
    )


def write(folder: Path, frame: pd.DataFrame) -> Path:
    path = folder / "transactions.csv"
    frame.to_csv(path, index=False)
    return path


def test_good_data_passes_and_leaves_an_empty_list(tmp_path: Path) -> None:
    assert run_gate(write(tmp_path, good()), config(), schema(), tmp_path / "run") == []
    assert json.loads((tmp_path / "run" / "findings" / "findings.json").read_text()) == []


def test_bad_data_stops_the_run_in_words(tmp_path: Path) -> None:
    frame = good()
    frame.loc[[165, 190], "amount"] = [-12.5, -0.1]  # one in test, one in eval would be 130 to 159
    path = write(tmp_path, frame)
    with pytest.raises(BadData) as raised:
        run_gate(path, config(), schema(), tmp_path / "run")
    assert isinstance(raised.value, InputError)
    assert str(raised.value) == (
        "the data has 1 fault: amount in test: Values below the schema's minimum (2 of 40 rows of test hold a "
        "value below 0, the minimum in the schema; the lowest is -12.5. The first is row 6 of test (payment "
        "'P165', at 9900), which holds -12.5. Correct the values; or, if they are right, set "
        '`float_domain { min: -12.5 }` in the feature "amount" in the schema, or remove `min` there). Correct the '
        "data, or the schema or the configuration where it is that which is wrong"
    )
    assert not (tmp_path / "run" / "findings" / "findings.json").exists()


def gaps(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(amount=frame.amount.where(frame.index != 180))


def unseen(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(country=frame.country.where(frame.index % 4 != 0, "Atlantis"))


CASES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], schema_pb2.Schema, dict[str, Any]]] = {
    "one gap": (gaps, schema(), {}),
    "a whole split of gaps": (lambda frame: frame.assign(amount=frame.amount.where(frame["at"] < 9600)), schema(), {}),
    "unseen categories": (unseen, schema(), {}),
    "a few unseen categories": (
        lambda frame: frame.assign(country=frame.country.where(frame.index % 20 != 3, "Atlantis")),
        schema(),
        {},
    ),
    "a column that the schema lacks": (
        lambda frame: frame.assign(colour="red"),
        schema(),
        {"categorical": ["country", "colour"]},
    ),
    "a column that the schema alone has": (lambda frame: frame, schema(), {"categorical": []}),
    "text for a number": (lambda frame: frame, schema(), {"amount": None, "categorical": ["country", "amount"]}),
    "drift": (lambda frame: frame.assign(amount=frame.amount + 2000 * (frame.index >= 160)), schema(), {}),
    "a domain that is not there": (lambda frame: frame, schema(('name: "countries"', 'name: "states"')), {}),
    "a mass without a domain": (lambda frame: frame, schema(('domain: "countries"', "")), {}),
    "too few rows": (
        lambda frame: frame,
        schema(("string_domain {", "dataset_constraints { min_examples_count: 35 } string_domain {")),
        {},
    ),
    "few different values": (
        lambda frame: frame,
        schema(('domain: "countries"', 'domain: "countries" unique_constraints { min: 3 max: 9 }')),
        {},
    ),
    "the label as text": (
        lambda frame: frame.assign(kind=np.where(frame.fraud, "stolen", "none")),
        schema(("string_domain {", 'feature { name: "kind" type: BYTES } string_domain {')),
        {"categorical": ["country", "kind"]},
    ),
    "rows of train in test": (
        lambda frame: pd.concat([frame[:160], frame[20:60].assign(at=frame["at"][160:].to_numpy())]),
        schema(),
        {},
    ),
}
EXPECTED = {
    "one gap": [
        "test amount Missing values: the value is missing in 1 of 40 rows of test, but the schema wants one in "
        "each row. The first is row 21 of test (payment 'P180', at 10800). Fill in the values; or, to allow gaps, "
        'edit the feature "amount" in the schema: remove `shape` and set `presence { min_count: 1 }` (drop '
        "`min_fraction`)"
    ],
    "a whole split of gaps": [
        "test amount No value at all: none of the 40 rows of test has a value, but the schema wants"
    ],
    "unseen categories": [
        "train country Values that the schema does not know: 33 of 130 rows of train hold a value that is none of the "
        "2 in the schema's string_domain \"countries\" (at most 10 % may): 'Atlantis' (33). The first is row 1 of "
        "train (payment 'P000', at 0), which holds 'Atlantis'. Correct the values; or, if they are right, add each to",
        "eval country Values that the schema does not know: 7 of 30 rows of eval",
        "test country Values that the schema does not know: 10 of 40 rows of test",
    ],
    "a few unseen categories": [],
    "a column that the schema lacks": [
        f"{split} colour Not in the schema: the configuration reads this column, but the schema does not describe it. "
        'Add `feature { name: "colour" type: BYTES }` to the schema'
        for split in ("train", "eval", "test")
    ],
    "a column that the schema alone has": [
        f"{split} country Not in the data: the schema describes this column" for split in ("train", "eval", "test")
    ],
    "text for a number": [
        f"{split} amount Not of the schema's type: the schema expects numbers (the roles numeric and amount), but the "
        "configuration reads this column as text (the role categorical, as string); the values are such as '"
        for split in ("train", "eval", "test")
    ]
    + ["eval amount Moved since train: ", "test amount Moved since train: "],
    "drift": ["test amount Moved since train: the Jensen-Shannon divergence between test and train is "],
    "a domain that is not there": [
        f"{split} country Fault of the schema: the schema is at odds with itself about this column: it names the "
        'domain "countries", but the schema has no string_domain of that name. Edit'
        for split in ("train", "eval", "test")
    ],
    "a mass without a domain": [
        f"{split} country Fault of the schema: the schema is at odds with itself about this column: it sets "
        "`distribution_constraints` (`min_domain_mass`), but no domain whose values could be counted. Edit the feature "
        '"country" in the schema: remove `distribution_constraints`, or name'
        for split in ("train", "eval", "test")
    ],
    "too few rows": ["eval (all) Too few rows: eval has 30 rows, but the schema wants at least 35 in each split"],
    "few different values": [
        f"{split} country Too few different values: {split} has 2 different values in this column, but the schema "
        "wants at least 3 (`unique_constraints`). Correct the data, or set `unique_constraints { min: 2 }`"
        for split in ("train", "eval", "test")
    ],
    "the label as text": [
        "train kind Tells the label: alone, this column tells fraud with an average precision of 1.000 out of "
        "fold, where 0.1 would be chance (all 130 rows of train); the limit is 0.9 "
        "(data.leakage.max_average_precision). Such a "
    ],
    "rows of train in test": [
        "test (all) Rows that stand in train: 40 of 40 rows looked at (100.0%), 4 of them frauds, are equal in all "
        "columns but id and time to one of the 130 looked at in train; if the columns were independent of each "
        "other, chance would make it 0.00%. The first is row 1 of test, equal to row 21 of train. The figures of "
        "test are too good then"
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_the_gate_says_what_is_wrong_and_the_validation_without_a_run_says_the_same(case: str, tmp_path: Path) -> None:
    change, curated, roles = CASES[case]
    path, configured = write(tmp_path, change(good())), config(roles)
    findings = gate(path, configured, curated)
    lines = [f"{one.split} {one.column} {one.problem}: {one.details}" for one in findings]
    assert [line[: len(expected)] for line, expected in zip(lines, EXPECTED[case], strict=True)] == EXPECTED[case]
    assert validation.validate(str(path), configured, curated) == findings
    assert [finding.stops for finding in findings] == [
        finding.kind == "anomaly" or finding.problem == "Tells the label" for finding in findings
    ]


def leaking(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(kind=np.where(frame.fraud, "stolen", "none"), status=np.where(frame.fraud, "closed", "settled"))


def test_a_leak_passes_if_its_limit_is_raised_or_it_is_named_as_known_before(tmp_path: Path) -> None:
    path = write(tmp_path, leaking(good()))
    roles = {"categorical": ["country", "kind", "status"]}
    described = 'feature { name: "kind" type: BYTES } feature { name: "status" type: BYTES } string_domain {'
    curated = schema(("string_domain {", described))
    stopped = gate(path, config(roles), curated)
    assert [(one.column, one.stops, one.kind) for one in stopped] == [
        ("kind", True, "leakage"),
        ("status", True, "leakage"),
    ]
    assert "Its name suggests that it is only known once the fraud came out" in stopped[1].details
    assert "columns.ignore" in stopped[0].details
    assert "data.leakage.known_before" in stopped[0].details
    named = gate(path, config(roles, leakage={"known_before": ["kind", "status"]}), curated)
    assert [(one.column, one.stops) for one in named] == [("kind", False), ("status", False)]
    assert "data.leakage.known_before names it" in named[0].details
    off = gate(path, config(roles, leakage={"max_average_precision": 1}), curated)
    assert [(one.column, one.stops) for one in off] == [("status", False)]  # its name remains


def test_of_many_rows_every_second_fourth_or_eighth_is_looked_at_by_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leak_checks, "MOST_ROWS", 40)
    frame = leaking(good())[["payment", "at", "amount", "country", "kind", "fraud"]]
    path, roles = write(tmp_path, frame), {"categorical": ["country", "kind"]}
    curated = schema(("string_domain {", 'feature { name: "kind" type: BYTES } string_domain {'))
    (finding,) = gate(path, config(roles), curated)
    assert "(33 rows, evenly spread over the 130 of train)" in finding.details
    assert validation.validate(str(path), config(roles), curated) == [finding]


def test_drift_beside_a_fault_does_not_hide_it_nor_count_as_one(tmp_path: Path) -> None:
    frame = CASES["drift"][0](good())
    frame.loc[140, "amount"] = -1
    with pytest.raises(BadData, match=r"^the data has 1 fault: amount in eval: Values below") as raised:
        run_gate(write(tmp_path, frame), config(), schema(), tmp_path / "run")
    assert [(one.split, one.stops, one.kind) for one in raised.value.findings] == [
        ("eval", True, "anomaly"),
        ("test", False, "drift"),
    ]


def test_the_message_names_five_and_counts_the_rest() -> None:
    findings = [Finding("train", f"V{i}", "Column dropped", "gone", True) for i in range(7)]
    warning = Finding("test", "V9", "drift", "far", False, "drift")
    message = str(BadData([warning, *findings]))
    assert message.startswith("the data has 7 faults: V0 in train: Column dropped (gone); V1 in train")
    assert "V4 in train: Column dropped (gone); and 2 more. Correct the data" in message
    assert "V5" not in message
    assert "V9" not in message
