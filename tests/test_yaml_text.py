"""YAML that people write: read as PyYAML reads it, but for keys that stand twice."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.yaml_text import parse

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=9
)


@given(VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert parse(yaml.safe_dump(value)) == value


@given(st.dictionaries(st.text(max_size=5), SCALARS, min_size=1), st.data())
def test_a_key_that_stands_twice_is_a_fault_wherever_it_is(values: dict[str, Any], data: st.DataObject) -> None:
    again = data.draw(st.sampled_from(sorted(values)))
    inside = yaml.safe_dump(values, default_flow_style=True, width=10_000).rstrip().removesuffix("}")
    twice = f"{inside}, {yaml.safe_dump({again: 1}, default_flow_style=True).strip()[1:-1]}}}"
    for text in (twice, f"[{twice}]", f"outer: {twice}"):
        with pytest.raises(ValueError, match=r"^line \d+, column \d+: the key .* stands twice; remove one of them$"):
            parse(text)


def test_a_mapping_may_be_merged_into_another() -> None:
    assert parse("a: &base {x: 1, y: 2}\nb: {<<: *base, x: 3}") == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "line 1, column 6: expected ',' or ']', but got '<stream end>'"),
        ("a:\n\tb: 1", "line 2, column 1: found character '\\t' that cannot start any token; indent with spaces"),
        ("a: !!python/object:os.system x", "line 1, column 4: could not determine a constructor"),
        ("a: \x07", "unacceptable character"),
        ("[" * 3000, "it is nested too deeply"),
        ("a: " + "9" * 5000, "Exceeds the limit"),
    ],
)
def test_what_is_no_yaml_says_where(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the message is looked at below
        parse(text)
    assert message in str(refused.value)
