"""`init` and the reader on layouts that are out there: right roles, right values, nothing wrong in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.reading.readers import header, read_batches
from components.reading.values import seconds
from pipeline.data.proposal import Proposal
from pipeline.data.propose import Choices, propose
from tests.support import formats
from tests.support.formats import Table, tables
from tests.support.layouts import FURTHER, LAYOUTS, Layout, Role
from trainer.columns import Columns
from trainer.errors import InputError

EVERY = tuple(layout for layout in LAYOUTS + FURTHER if layout.runs)


def by_layout(layouts: tuple[Layout, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("layout", layouts, ids=lambda layout: layout.name)


def answered(path: Path, answer: tuple[str, ...] = ()) -> Proposal:
    """What `init` proposes with the answer: ("--time-format", "hours") as on the command line."""
    options: dict[str, Any] = {}
    for option, value in zip(answer[::2], answer[1::2], strict=True):
        name = option.removeprefix("--").replace("-", "_")
        if name in ("entity", "fraud_value"):
            several = {"entity": "entities", "fraud_value": "fraud_values"}[name]
            options[several] = (*options.get(several, ()), value)
        else:
            options[name] = value
    return propose(str(path), Choices(**options))


def proposed_or_asked(path: Path) -> tuple[Proposal | None, str]:
    """The proposal, or the question that it stops with."""
    try:
        return propose(str(path)), ""
    except InputError as error:
        return None, str(error)


def role(columns: Columns, name: str) -> Role:
    """What the config has a column for; one that it does not name is left out."""
    single: dict[str | None, Role] = {columns.label: "label", columns.amount: "amount", columns.id: "id"}
    if columns.time is not None and not columns.time_parts:
        single[columns.time] = "time"
    if name in single:
        return single[name]
    if name in columns.time_parts:
        return "time_part"
    if name in columns.entities:
        return "entities"
    if name in columns.numeric:
        return "numeric"
    return columns.categorical.get(name, "ignore")


def wrong_roles(layout: Layout, names: list[str], columns: Columns) -> dict[str, tuple[str, list[str]]]:
    """Columns with a role that is not right: the role and the right ones."""
    return {
        name: (role(columns, name), sorted(layout.acceptable(name)))
        for name in names
        if role(columns, name) not in layout.acceptable(name)
    }


def read(path: Path, columns: Columns) -> pa.Table:
    return pa.Table.from_batches(list(read_batches(str(path), columns)))


def times(table: pa.Table, columns: Columns) -> np.ndarray:
    """In seconds, from the canonical kind that the reader gives."""
    kind = columns.time_kind
    return seconds(table[columns.time], kind)


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.to_numpy().astype(np.float64)


# The layouts


@by_layout(EVERY)
def test_roles_and_values(layout, tmp_path):
    path = layout.write(tmp_path)
    drawn = layout.draw(layout.rows, 0)
    proposal = answered(path, layout.answer)
    columns, names = proposal.columns, header(str(path))
    assert wrong_roles(layout, names, columns) == {}
    assert set(proposal.reasons) == set(names)
    assert not set(columns.numeric) & set(layout.never_numeric(names))
    table = read(path, columns)
    np.testing.assert_array_equal(table[columns.label].to_numpy(), drawn.label)
    if layout.amount:
        np.testing.assert_allclose(numbers(table[columns.amount]), drawn.amount, rtol=1e-12)
    if layout.time:
        assert columns.time_format in layout.time_formats
    if drawn.time is not None:
        np.testing.assert_allclose(times(table, columns), drawn.time, atol=1e-3, rtol=0)
    if layout.id:
        assert table[columns.id].to_pylist() == [str(value) for value in drawn.frame[layout.id]]


@by_layout(tuple(layout for layout in EVERY if layout.parquet))
def test_roles_by_parquet(layout, tmp_path):
    path = layout.write(tmp_path, parquet=True)
    assert wrong_roles(layout, header(str(path)), answered(path, layout.answer).columns) == {}


@by_layout(tuple(layout for layout in EVERY if layout.answer))
def test_without_an_answer_no_role_is_wrong_in_silence(layout, tmp_path):
    path = layout.write(tmp_path)
    proposal, question = proposed_or_asked(path)
    if proposal is None:
        assert layout.answer[0] in question  # it says how to answer
        return
    assert wrong_roles(layout, header(str(path)), proposal.columns) == {}
    columns = proposal.columns
    if layout.time:
        # a unit that nothing tells may be taken for one, but not without a word
        right = columns.time_format in layout.time_formats
        assert right or layout.answer[:1] == ("--time-format",)
        assert right or "--time-format" in proposal.as_yaml("x")


# Any dialect, any way of writing


def assert_read_back(table: Table, path: Path, columns: Columns) -> None:
    rows, values = read(path, columns), table.values
    np.testing.assert_array_equal(rows[columns.label].to_numpy(), values[formats.LABEL])
    np.testing.assert_allclose(numbers(rows[columns.amount]), values[formats.AMOUNT], rtol=1e-12)
    np.testing.assert_allclose(times(rows, columns), values[formats.TIME], atol=1e-3, rtol=0)
    for name in (formats.CUSTOMER, formats.MERCHANT):
        if name in rows.column_names and role(columns, name) in ("string", "entities"):
            assert rows[name].to_pylist() == list(values[name])
    np.testing.assert_allclose(numbers(rows[formats.BALANCE]), values[formats.BALANCE], rtol=1e-12)


def assert_roles(columns: Columns, table: Table) -> None:
    assert columns.label == formats.LABEL
    assert columns.amount == formats.AMOUNT
    time = table.time.settings
    assert list(columns.time_parts) == time.get("time_parts", [])
    if "time_format" in time:
        assert columns.time_format == time["time_format"]
        assert columns.time == formats.TIME or columns.time_parts
    assert role(columns, formats.BALANCE) == "numeric"
    assert role(columns, formats.CUSTOMER) in ("string", "integer", "entities", "ignore")
    assert role(columns, formats.MERCHANT) in ("string", "entities", "ignore")


@pytest.mark.parametrize("table", [table for table in formats.each() if table.can_be_written], ids=repr)
def test_init_finds_each_way_of_writing(table, tmp_path):
    path = table.write(tmp_path)
    if table.must_be_told:
        proposal, question = proposed_or_asked(path)
        assert proposal is not None or "--" in question  # it says how to tell
        return
    columns = propose(str(path)).columns
    assert_roles(columns, table)
    assert_read_back(table, path, columns)


@settings(max_examples=25)
@given(table=tables())
def test_init_finds_any_combination(table, tmp_path_factory):
    path = table.write(tmp_path_factory.mktemp("table"))
    columns = propose(str(path)).columns
    assert_roles(columns, table)
    assert_read_back(table, path, columns)


@settings(max_examples=25)
@given(table=tables(told=True))
def test_what_is_told_is_read(table, tmp_path_factory):
    path = table.write(tmp_path_factory.mktemp("table"))
    config = table.config
    columns = Columns.model_validate({**config["columns"], "csv": config["data"].get("csv", {})})
    assert_read_back(table, path, columns)


@settings(max_examples=30)
@given(table=tables(header=st.just(False)))
def test_a_file_without_a_header_is_not_read_with_its_first_row_as_names(table, tmp_path_factory):
    path = table.write(tmp_path_factory.mktemp("table"))
    first_row = {texts[0] for texts in table.texts.values()}
    try:
        proposal = propose(str(path))
    except InputError:
        return
    assert not set(proposal.reasons) & first_row
