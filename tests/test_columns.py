"""Roles of columns."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trainer.columns import Columns, identifier

SHOP: dict[str, Any] = {
    "label": "fraud",
    "time": "when",
    "time_format": "iso8601",
    "amount": "euros",
    "numeric": ["age", "balance"],
    "categorical": {"country": "string", "merchant": "integer"},
}


def test_inputs_stand_in_the_order_of_the_roles_without_the_label() -> None:
    columns = Columns(**SHOP, ignore=("id",))
    assert columns.inputs == ("when", "age", "balance", "euros", "country", "merchant")
    assert columns.raw_kinds == {
        "when": "string",
        "age": "float",
        "balance": "float",
        "euros": "float",
        "country": "string",
        "merchant": "integer",
    }
    assert tuple(columns.raw_kinds) == columns.inputs


def test_the_id_is_no_input() -> None:
    columns = Columns(**SHOP, id="payment")
    assert columns.inputs == Columns(**SHOP).inputs
    assert columns.raw_kinds == Columns(**SHOP).raw_kinds
    assert columns.without_carried() == Columns(**SHOP)


@pytest.mark.parametrize(
    ("time_format", "kind"),
    [
        ("seconds", "float"),
        ("hours", "float"),
        ("epoch", "integer"),
        ("epoch_ms", "integer"),
        ("epoch_ns", "integer"),
        ("iso8601", "string"),
        ("spreadsheet", "string"),
        ("%d/%m/%Y %H:%M", "string"),
    ],
)
def test_a_time_is_kept_as_its_format_needs(time_format: str, kind: str) -> None:
    columns = Columns(label="y", time="t", time_format=time_format)
    assert columns.raw_kinds == columns.as_kept.raw_kinds == {"t": kind}
    assert columns.as_kept.time_kind == columns.as_kept.time_format == columns.time_kind


def test_a_zone_makes_text_of_an_epoch() -> None:
    columns = Columns(label="y", time="t", time_format="epoch", time_zone="Europe/Berlin")
    assert columns.raw_kinds == columns.as_kept.raw_kinds == {"t": "string"}
    assert columns.as_kept.time_zone is None


def test_what_is_kept_says_nothing_of_how_it_was_written() -> None:
    written = {
        "label_values": {"fraud": [True], "legitimate": ["No"]},
        "time_parts": ["date", "clock"],
        "entities": ["card"],
        "numbers": {"euros": {"decimal": ","}},
        "missing": {"age": [-1, "?"]},
        "leave_out_rows_without": ["time"],
        "csv": {"delimiter": ";"},
    }
    columns = Columns.model_validate({**SHOP, **written})
    assert columns.label_values is not None
    assert columns.label_values.fraud == ("true",)
    assert columns.missing == {"age": ("-1", "?")}
    assert columns.as_kept == Columns(**SHOP, entities=("card",))
    assert Columns(**SHOP).as_kept == Columns(**SHOP)


def test_a_list_of_categories_means_strings() -> None:
    columns = Columns.model_validate({"label": "y", "categorical": ["country", "channel"]})
    assert columns.categorical == {"country": "string", "channel": "string"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount": "age"}, "two or more for age"),
        ({"label": "when"}, "two or more for when"),
        ({"id": "age"}, "two or more for age"),
        ({"id": "example_weight"}, "example_weight is the pipeline's own column"),
        ({"ignore": ["country", "balance"]}, "two or more for balance, country"),
        ({"numeric": ["age", "age"]}, "two or more for age"),
        ({"entities": ["age"]}, "two or more for age"),
        ({"time_parts": ["age", "clock"]}, "two or more for age"),
        ({"numbers": {"country": {"decimal": ","}}}, "country is neither the amount nor numeric"),
        ({"numbers": {"euros": {"decimal": ",", "thousands": ","}}}, "decimal and thousands are both ','"),
        ({"numbers": {"euros": {"symbols": ["1 "]}}}, "texts without digits and blanks"),
        ({"missing": {"id": ["?"]}}, "id is no column that is read for its values"),
        ({"label_values": {"fraud": ["1.0"], "legitimate": [1]}}, "1 cannot mean both fraud and legitimate"),
        ({"time_format": "%H:%M"}, "a format with year, month and day"),
        ({"time_format": "%Y-%m-%d %Q"}, "got %Q in '%Y-%m-%d %Q'"),
        ({"time_format": "%Z %Y-%m-%d %z"}, "expected one %z or %Z"),
        ({"time_zone": "Europe/Atlantis"}, "no such time zone: 'Europe/Atlantis'"),
        ({"time_zone": "Europe/Berlin", "time_format": "hours"}, "of no use for hours"),
        ({"csv": {"delimiter": "\n"}}, "expected one ASCII character"),
        ({"csv": {"encoding": "utf-99"}}, "no such encoding: 'utf-99'"),
        ({"label": "example_weight"}, "example_weight is the pipeline's own column"),
        ({"categorical": {"country": "text"}}, "'string' or 'integer'"),
        ({"time_format": "iso"}, "got 'iso'"),
        ({"numerical": ["age"]}, "Extra inputs"),
    ],
)
def test_roles_that_cannot_be_are_refused_in_words(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        Columns.model_validate({**SHOP, **change})


def test_something_is_to_be_learned_from() -> None:
    with pytest.raises(ValidationError, match="name at least one of time, amount, numeric, categorical"):
        Columns(label="y", id="name", ignore=("id",))


def test_the_pipelines_own_column_may_be_ignored() -> None:
    assert Columns(**SHOP, ignore=("example_weight",)).ignore == ("example_weight",)


def test_columns_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Columns(**SHOP).label = "other"  # type: ignore[misc]


def test_columns_travel_as_json() -> None:
    columns = Columns(**SHOP)
    assert Columns.model_validate_json(columns.model_dump_json()) == columns


@settings(deadline=None)
@given(st.text())
def test_an_identifier_is_one_to_tensorflow(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", identifier(name))


def test_a_plain_name_is_its_own_identifier_and_others_stay_apart() -> None:
    assert [identifier(name) for name in ("V1", "card_type")] == ["V1", "card_type"]
    others = ("card type", "card-type", "card/type", "1st", "_1st", "größe")
    assert len({identifier(name) for name in (*others, "card_type")}) == 7
