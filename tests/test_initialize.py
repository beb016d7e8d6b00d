"""What `init` writes works on all rows of the data: it was read by it, validated, and made into a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from components.reading.files import find_files
from components.reading.readers import read_batches
from pipeline.config import load
from pipeline.data import propose
from pipeline.data.draft import Choices
from pipeline.data.initialize import Initialized, Places, initialize
from tests.support.layouts import LAYOUTS, Layout
from trainer.errors import InputError

ROWS = 1500


def initialized(data: Path, folder: Path, choices: Choices | None = None) -> tuple[Initialized, Places]:
    places = Places.beside(folder / "fraud.yaml", str(data))
    proposed = initialize(str(data), choices or Choices(), places, lambda *_: None)
    proposed.write(places)
    return proposed, places


def frame(**columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    fraud = (np.arange(ROWS) % 15 == 0).astype(int)
    base = {
        "is_fraud": fraud,
        "when": pd.date_range("2024-01-01", periods=ROWS, freq="37min").strftime("%Y-%m-%dT%H:%M:%S"),
        "amount": np.round(rng.lognormal(3, 1, ROWS), 2),
        "risk": np.round(rng.normal(1.5 * fraud), 3),
        "shop": rng.choice(["north", "south", "east"], ROWS),
    }
    return pd.DataFrame(base | columns)


@pytest.fixture
def first_rows(monkeypatch: pytest.MonkeyPatch) -> int:
    """So few rows are looked at that the later ones can be others."""
    monkeypatch.setattr(propose, "ROWS", 500)
    return 500


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_each_layout_is_read_by_what_is_written(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = dict(zip(layout.answer[::2], layout.answer[1::2], strict=True))
    choices = Choices(label=options.get("--label"), time_format=options.get("--time-format"))
    (tmp_path / "data").mkdir()
    data = layout.write(tmp_path / "data")
    proposed, places = initialized(data, tmp_path, choices)
    config = load(places.config)
    assert config.roles == proposed.proposal.columns
    assert config.schema_path == places.schema
    assert config.data.card_path == places.card
    rows = sum(batch.num_rows for file in find_files(str(data)) for batch in read_batches(file.path, config.roles))
    assert rows == layout.rows
    assert not any(finding.stops for finding in proposed.findings)
    assert 0 <= config.evaluation.min_average_precision < 0.9


def test_a_mark_beyond_the_first_rows_means_missing(tmp_path, first_rows, monkeypatch):
    monkeypatch.chdir(tmp_path)
    amounts = frame()["amount"].astype(str)
    amounts[1200] = "-"
    frame(amount=amounts).to_csv(tmp_path / "a.csv", index=False)
    proposed, _ = initialized(tmp_path / "a.csv", tmp_path)
    assert proposed.proposal.columns.missing == {"amount": ("-",)}
    assert proposed.proposal.rows == first_rows
    assert "1 exception taken for missing, first line 1,202: '-'" in proposed.config


def test_a_time_that_is_missing_later_is_left_out_and_counted(tmp_path, first_rows, monkeypatch):
    monkeypatch.chdir(tmp_path)
    times = frame()["when"].astype(object)
    times[1300] = None
    frame(when=times).to_csv(tmp_path / "a.csv", index=False)
    proposed, places = initialized(tmp_path / "a.csv", tmp_path)
    assert proposed.proposal.columns.leave_out_rows_without == ("time",)
    assert "1 row without a time that can be read is left out" in " ".join(proposed.proposal.doubts)
    roles = load(places.config).roles
    assert sum(batch.num_rows for batch in read_batches(str(tmp_path / "a.csv"), roles)) == ROWS - 1


def test_a_column_that_is_text_later_becomes_a_category(tmp_path, first_rows, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = pd.Series(np.arange(ROWS) % 7 + 100).astype(str)
    codes[700:] = [f"A{row % 9}" for row in range(ROWS - 700)]
    frame(branch=codes).to_csv(tmp_path / "a.csv", index=False)
    proposed, _ = initialized(tmp_path / "a.csv", tmp_path)
    assert proposed.proposal.columns.categorical["branch"] == "string"


def test_a_leak_that_the_first_rows_are_too_few_for_is_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(propose, "ROWS", 100)
    drawn = frame()
    note = np.where(drawn["is_fraud"] == 1, "called the customer", "no call")
    frame(note=note).to_csv(tmp_path / "a.csv", index=False)
    proposed, places = initialized(tmp_path / "a.csv", tmp_path)
    assert proposed.proposal.columns.ignore == ("note",)
    assert "note is ignored" in proposed.config
    assert "note" not in places.schema.read_text()


def test_data_that_time_does_not_divide_is_split_at_random_with_a_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fraud = np.zeros(ROWS, int)
    fraud[np.arange(0, 600, 6)] = 1
    frame(is_fraud=fraud).to_csv(tmp_path / "a.csv", index=False)
    proposed, places = initialized(tmp_path / "a.csv", tmp_path)
    assert load(places.config).data.split.by == "random"
    assert "the split is random, since by time" in " ".join(proposed.config.split())


def test_each_data_set_has_a_name_and_a_workspace_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        frame().to_csv(tmp_path / folder / "Card payments.csv", index=False)
    first, _ = initialized(tmp_path / "one" / "Card payments.csv", tmp_path / "one")
    values = yaml.safe_load(first.config)
    assert (values["name"], values["workspace"]) == ("card-payments", "workspaces/card-payments")
    (tmp_path / values["workspace"]).mkdir(parents=True)
    second, _ = initialized(tmp_path / "two" / "Card payments.csv", tmp_path / "two")
    assert yaml.safe_load(second.config)["workspace"] == "workspaces/card-payments-2"
    again, _ = initialized(tmp_path / "one" / "Card payments.csv", tmp_path / "one")
    assert yaml.safe_load(again.config)["workspace"] == "workspaces/card-payments"


def test_the_currency_is_never_guessed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    amounts = frame()["amount"]
    frame().to_csv(tmp_path / "plain.csv", index=False)
    frame(amount=[f"£{amount:,.2f}" for amount in amounts]).to_csv(tmp_path / "pounds.csv", index=False)
    plain, places = initialized(tmp_path / "plain.csv", tmp_path)
    assert yaml.safe_load(plain.config)["costs"]["currency"] == "units"
    assert places.card is not None
    assert yaml.safe_load(places.card.read_text())["currency"] == "unknown"
    pounds, _ = initialized(tmp_path / "pounds.csv", tmp_path)
    assert yaml.safe_load(pounds.config)["costs"]["currency"] == "GBP"
    told, _ = initialized(tmp_path / "plain.csv", tmp_path, Choices(currency="USD"))
    assert yaml.safe_load(told.config)["costs"]["currency"] == "USD"


def test_a_data_card_beside_the_data_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame().to_csv(tmp_path / "a.csv", index=False)
    card = tmp_path / "a.card.yaml"
    card.write_text("name: Payments\nkind: real\nsampling_rates: {fraud: 1, legitimate: 0.1}\n")
    proposed, places = initialized(tmp_path / "a.csv", tmp_path)
    assert places.card is None
    assert "card_path" not in proposed.config
    assert card.read_text().startswith("name: Payments")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("data", ["days", "days/a.csv", "days/*.csv"])
def test_the_data_is_never_overwritten(tmp_path, monkeypatch, data, force):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "days").mkdir()
    frame().to_csv(tmp_path / "days" / "a.csv", index=False)
    places = Places.beside(tmp_path / "days" / "a.csv", data)
    with pytest.raises(InputError, match=r"a\.csv is a file of the data, which would be overwritten"):
        places.check(data, force=force)


def test_what_exists_is_kept_unless_a_person_forces_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame().to_csv(tmp_path / "a.csv", index=False)
    places = Places.beside(tmp_path / "fraud.yaml", "a.csv")
    places.check("a.csv", force=False)
    places.schema.write_text("mine")
    with pytest.raises(InputError, match=r"fraud.schema.pbtxt exist already; give --force"):
        places.check("a.csv", force=False)
    places.check("a.csv", force=True)
    assert places.schema.read_text() == "mine"
    with pytest.raises(InputError, match="names no file"):
        Places.beside(Path(""), "a.csv")
