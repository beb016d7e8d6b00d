"""YAML that people write: read as PyYAML reads it, but for keys that stand twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.yaml_text import DEEPEST, MOST_VALUES, has_comment, parse, read

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
        ("a: !!python/object:os.system x", "line 1, column 4: settings can't have the tag"),
        ("a:\n  \x07", 'line 2: the character \\x07 is not allowed as it is; write "\\x07" in double quotes'),
        ("a: \0", 'line 1: the character \\x00 is not allowed as it is; write "\\x00" in double quotes'),
        (b"a: 1\nb: \xff", "line 2: it is not utf-8 text; save it as UTF-8"),
        ("a: " + "9" * 5000, "line 1, column 4: '" + "9" * 40 + "...' can't be read as a whole number; put it in"),
        ("a: 2020-13-45", "line 1, column 4: '2020-13-45' can't be read as a date or time; put it in quotes if it is"),
        ("{[1]: 2}", "line 1, column 2: a key must be a single value, not a list or a mapping"),
        ("a: &a [*a]", "line 1, column 8: *a stands inside of what it stands for"),
    ],
)
def test_what_is_no_yaml_says_where(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the message is looked at below
        parse(text)
    assert message in str(refused.value)


@given(st.integers(2, 9), st.integers(5, 40), st.sampled_from(["[{}]", "{{x: 1, <<: [{}]}}"]))
def test_aliases_of_aliases_are_read_in_no_more_values_than_any_text(times: int, levels: int, form: str) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} " + form.format(", ".join([f"*a{n - 1}"] * times)) for n in range(1, levels)]
    size = sum(times**n for n in range(levels))
    if size > MOST_VALUES:
        with pytest.raises(ValueError, match=r"^line \d+, column \d+: it (holds more than|is nested too deeply)"):
            parse("\n".join(lines))


@pytest.mark.parametrize(
    "text",
    [
        "[" * DEEPEST * 20 + "]" * DEEPEST * 20,
        "\n".join(" " * n + "a:" for n in range(DEEPEST * 20)),
        "- " * DEEPEST * 20,
        "- &a0 [x]\n" + "".join(f"- &a{n + 1} [*a{n}]\n" for n in range(DEEPEST)),
    ],
    ids=["flow", "block", "list", "aliases"],
)
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(ValueError, match=rf"it is nested too deeply; at most {DEEPEST} mappings and lists inside each"):
        parse(text)
    assert parse("[" * DEEPEST + "]" * DEEPEST) is not None


def test_a_large_text_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^it has more than 1 MiB, which is too much for settings$"):
        read(Path("/dev/zero"))
    with pytest.raises(ValueError, match=f"it holds more than {MOST_VALUES:,} values"):
        parse("- a\n" * (MOST_VALUES + 1))


@pytest.mark.parametrize(
    ("text", "has"),
    [("5 # five", True), ("'#'", False), ("a.csv #2.csv", True), ("a#b", False), ("[1, #x\n 2]", True), ("", False)],
)
def test_a_comment_is_seen(text: str, has: bool) -> None:
    assert has_comment(text) is has
