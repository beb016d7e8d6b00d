"""Values out of all reason: every number has limits, and every refusal names the key in plain words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.config import Config, load
from trainer.errors import InputError, faults

SCHEMA = Config.model_json_schema(by_alias=True)
# what pydantic says to programmers
JARGON = re.compile(r"should|valid|instance|parse|String|Dictionary|Tuple|Unable|pattern|type=|model_|constrained")


def keys(schema: Mapping[str, Any], *above: str) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """All keys of the configuration that lead to a value, with what JSON Schema says of it."""
    for name, value in schema.get("properties", {}).items():
        models = [SCHEMA["$defs"][one["$ref"].rpartition("/")[2]] for one in parts(value) if "$ref" in one]
        for model in models:
            yield from keys(model, *above, name)
        yield (*above, name), value


def parts(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The alternatives of a value, and what its lists and mappings hold."""
    yield value
    for one in (*value.get("anyOf", ()), *value.get("oneOf", ())):
        yield from parts(one)
    for inside in (value.get("items"), value.get("additionalProperties")):
        if isinstance(inside, Mapping):
            yield from parts(inside)


KEYS = dict(keys(SCHEMA))
NUMBERS = {
    key: [part for part in parts(value) if part.get("type") in ("integer", "number")] for key, value in KEYS.items()
}
SINGLE_NUMBERS = [
    key
    for key, value in KEYS.items()
    if any(one.get("type") in ("integer", "number") for one in (value, *value.get("anyOf", ())))
    and not {"components", "pods"} & set(key[:-1])
]


def faults_of(key: tuple[str, ...], value: Any) -> dict[str, str]:
    """By key, what is wrong with a configuration that has this one value; none if nothing is."""
    values: Any = value
    for name in reversed(key):
        values = {name: values}
    try:
        Config.model_validate(values)
    except ValidationError as error:
        return {".".join(map(str, fault.where)): fault.text for fault in faults(error, values)}
    return {}


def test_every_number_has_a_lower_and_an_upper_limit() -> None:
    unlimited = [
        ".".join(key)
        for key, numbers in NUMBERS.items()
        for number in numbers
        if not {"minimum", "exclusiveMinimum"} & number.keys() or not {"maximum", "exclusiveMaximum"} & number.keys()
    ]
    assert unlimited == []
    assert len(SINGLE_NUMBERS) > 45


absurd = st.one_of(
    st.sampled_from([1e30, -1e30, math.nan, math.inf, -math.inf, True, False, 10**400, -(10**400), 10**6000, 1e-320]),
    st.integers(10**16),
    st.floats(1e16),
    st.floats(max_value=-1e16),
    st.text(max_size=5),
    st.lists(st.none(), max_size=2),
)


@settings(max_examples=500, deadline=None)
@given(key=st.sampled_from(SINGLE_NUMBERS), value=absurd)
def test_an_absurd_number_is_refused_by_its_key_or_within_the_limits(key: tuple[str, ...], value: Any) -> None:
    wrong = faults_of(key, value)
    if wrong:
        assert any(place.startswith(key[0]) for place in wrong), wrong
        assert all(len(text) < 500 and not JARGON.search(text) for text in wrong.values()), wrong
        return
    assert not isinstance(value, bool)
    assert any(
        number.get("minimum", number.get("exclusiveMinimum")) <= float(value)
        and float(value) <= number.get("maximum", number.get("exclusiveMaximum"))
        for number in NUMBERS[key]
    ) or value in (word for part in parts(KEYS[key]) for word in (part.get("const"), *part.get("enum", ())))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@given(key=st.sampled_from(list(KEYS)), value=values)
def test_no_refusal_is_in_the_words_of_programmers(key: tuple[str, ...], value: Any) -> None:
    for text in faults_of(key, value).values():
        # but for what the value itself is
        assert not JARGON.search(text.partition(", got ")[0].replace(repr(value)[1:-1], "")), text


def test_layers_make_no_network_out_of_all_reason() -> None:
    for values in (["training.network.units=[65536, 65536]"], ["tuning.space={layers: [64], units: [60000]}"]):
        with pytest.raises(InputError, match=r"weights between them; at most 100,000,000 are possible, so take fewer"):
            load(overrides=values)
    assert load(overrides=["training.network.units=[4096, 4096, 4096]"])


@pytest.mark.parametrize("name", ["epochs", "patience", "batch_size", "seed", "learning_rate"])
def test_switches_are_no_numbers_and_numbers_no_switches(name: str) -> None:
    (text,) = faults_of(("training", name), True).values()
    assert text == "expected a number, got true"
    (text,) = faults_of(("training", "initial_bias"), 1).values()
    assert text == "expected true or false, got 1"
    (text,) = faults_of(("tuning", "space", "batch_normalization"), [0, 1]).values()
    assert text == "expected true or false, got 0"
