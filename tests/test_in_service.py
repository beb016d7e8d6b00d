"""Which models compare, and which one may replace the other, by their manifests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.evaluation.in_service import Standing, can_read, column_differences, same_inputs
from components.evaluation.settings import EvaluationSettings
from trainer.columns import Columns

SHOP = Columns(label="fraud", time="when", amount="euros", numeric=("age",), categorical={"card": "string"})


def manifest(columns: Columns | None = SHOP, kind: str = "real", **changes: Any) -> dict[str, Any]:
    """Of a model; changes: of its columns."""
    described = {} if columns is None else {"columns": columns.model_copy(update=changes).model_dump(mode="json")}
    return {**described, "data": {"kind": kind, "name": "shop"}}


def standing(candidate: dict[str, Any], current: dict[str, Any], **settings: bool) -> Standing:
    features = {**Columns.model_validate(candidate["columns"]).raw_kinds, "fraud": "integer"}
    return Standing.from_manifests(candidate, current, "41", features, EvaluationSettings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{}, {"id": "number"}, {"ignore": ("note",)}])
def test_models_of_the_same_columns_compare(changes: dict[str, Any]) -> None:
    assert same_inputs(manifest(), manifest(**changes))
    assert standing(manifest(), manifest(**changes)) == Standing()


def test_a_column_that_was_added_does_not_end_the_comparison() -> None:
    more = manifest(numeric=("age", "balance"))
    (note,) = standing(more, manifest()).notes
    assert standing(more, manifest()).comparable
    assert note == (
        "This model does not read the same columns as version 41 in service (added here: balance); both scored the "
        "same transactions"
    )


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"numeric": ("age", "balance")}, "gone: balance"),
        ({"numeric": ("balance",)}, "added here: age; gone: balance"),
        ({"categorical": {"card": "integer"}}, "of another kind: card (integer there, string here)"),
        ({"label": "chargeback"}, "the label is fraud here and chargeback there"),
        (
            {"time_format": "epoch"},
            "of another kind: when (integer there, float here); times are seconds here and epoch",
        ),
        ({"numeric": tuple(f"n{at}" for at in range(12))}, "added here: age; gone: n0, n1, n2, n3, n4 and 7 more"),
    ],
)
def test_a_model_that_cannot_read_the_examples_is_not_replaced_unseen(changes: dict[str, Any], difference: str) -> None:
    refused = standing(manifest(), manifest(**changes))
    (reason,) = refused.refusals
    assert not refused.comparable
    assert reason.startswith("version 41 in service reads other columns, so the two can't be compared")
    assert difference in reason
    assert "a workspace of its own, or set evaluation.replace_other_columns: true" in reason
    allowed = standing(manifest(), manifest(**changes), replace_other_columns=True)
    assert (allowed.refusals, allowed.comparable) == ((), False)
    assert difference in allowed.not_compared


def test_milliseconds_are_not_read_as_seconds() -> None:
    # both are integers, so only the format tells them apart
    seconds, milliseconds = manifest(time_format="epoch"), manifest(time_format="epoch_ms")
    assert "times are epoch_ms here and epoch there" in standing(milliseconds, seconds).refusals[0]


def test_a_model_without_a_manifest_is_not_replaced_unseen() -> None:
    (reason,) = standing(manifest(), {}).refusals
    assert "which ones is not recorded in its manifest" in reason
    assert not same_inputs(manifest(), {})


@pytest.mark.parametrize("kind", ["real", "unknown"])
def test_synthesized_transactions_are_no_bar_for_others_and_replace_none(kind: str) -> None:
    synthesized, other = manifest(kind="synthesized"), manifest(kind=kind)
    first = standing(other, synthesized)
    assert (first.comparable, first.refusals) == (False, ())
    assert "version 41 in service was made from synthesized transactions, so it is no bar" in first.not_compared
    (reason,) = standing(synthesized, other).refusals
    assert "this model was made from synthesized transactions" in reason
    allowed = standing(synthesized, other, replace_real_data=True)
    assert (allowed.comparable, allowed.refusals) == (False, ())
    assert standing(synthesized, synthesized) == Standing()
    assert standing(other, other) == Standing()


def test_another_name_of_the_data_is_said() -> None:
    (note,) = standing(manifest(), {**manifest(), "data": {"name": "bank"}}).notes
    assert note == "Version 41 in service was made from other data: bank, and this model from shop"


_ROLES = st.builds(
    lambda numeric, categorical, time: Columns(
        label="y", amount="x", time=time, numeric=tuple(numeric), categorical=categorical
    ),
    st.sets(st.sampled_from("abc")),
    st.dictionaries(st.sampled_from("def"), st.sampled_from(["string", "integer"])),
    st.sampled_from([None, "t"]),
)


@given(_ROLES, _ROLES)
def test_a_model_is_read_where_its_columns_are_there_and_every_difference_is_named(new: Columns, old: Columns) -> None:
    candidate, current = manifest(new), manifest(old)
    readable = can_read(current, candidate, new.raw_kinds)
    assert readable == (old.raw_kinds.items() <= new.raw_kinds.items())
    assert same_inputs(candidate, current) == (new.raw_kinds == old.raw_kinds)
    differing = {name for name, _ in new.raw_kinds.items() ^ old.raw_kinds.items()}
    said = column_differences(candidate, current)
    named = [name for name in differing if name in said]
    assert len(named) == len(differing) or (len(named) >= 5 and " more" in said)  # of many, some stand for all
