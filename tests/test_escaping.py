"""Text from outside means nothing but itself, wherever it is shown."""

from __future__ import annotations

import subprocess

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.escaping import in_shell, in_yaml, on_terminal
from tests.support.hostile import HOSTILE, TEXTS


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe in €, 金額 😀", "Größe in €, 金額 😀"),
        ("[/]", "[/]"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("a\u202eb\u2028\x9b\x7f\x00", r"a\u202eb\u2028\x9b\x7f\x00"),
        ("a\xa0b\udc80", r"a\xa0b\udc80"),
    ],
)
def test_a_terminal_is_shown_what_it_would_obey_or_hide(text, shown):
    assert on_terminal(text) == shown


@given(TEXTS)
def test_what_a_terminal_gets_is_one_printable_line(text):
    shown = on_terminal(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


@settings(max_examples=20)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=20))
@example([text for text in HOSTILE if "\0" not in text and "\ud800" not in text])
@example(["\udcff and \udc80", "", "~", "-n", "a=b", "*", "!!", "'", "\\'\n"])
def test_bash_reads_a_word_as_it_was(words):
    command = " ".join(map(in_shell, words))
    assert command.isprintable()
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == [word.encode("utf-8", "surrogateescape") for word in words]


@given(TEXTS, TEXTS)
def test_yaml_reads_a_string_as_it_was_in_a_list_and_as_a_key(one, other):
    text = f"key: {in_yaml(one)}\nlist: [{in_yaml(one)}, {in_yaml(other)}]\nmapping:\n  {in_yaml(one)}: 1\n"
    assert yaml.safe_load(text) == {"key": one, "list": [one, other], "mapping": {one: 1}}


@pytest.mark.parametrize("text", ["plain", "/data/a_b.csv", "true", "12", "null", "a: b", "a #b", "- a", "", "[x]"])
def test_yaml_is_quoted_only_where_it_must_be(text):
    assert (in_yaml(text) == text) == (text in ("plain", "/data/a_b.csv"))
