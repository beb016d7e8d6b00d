"""What the trainer can be told, and how it travels."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from trainer.columns import Columns
from trainer.settings import Features, Network, SamplingRates, TrainerSettings, Training, Tuning, tapered

COLUMNS = Columns(label="fraud", numeric=("age",), categorical={"country": "string"})
SETTINGS = TrainerSettings(
    columns=COLUMNS,
    features=Features(scaling="unit_norm", clip=None),
    training=Training(network=Network(units=(8, 4)), epochs=3, threshold=0.25),
    tuning=Tuning(trials=2),
    manifest={"data": {"rows": 12}},
)
ALL_PARTS = ("features", "training", "tuning", "manifest")


def test_a_custom_config_is_json_and_gives_the_same_settings() -> None:
    config = json.loads(json.dumps(SETTINGS.to_custom_config("digest", *ALL_PARTS)))
    assert TrainerSettings.from_custom_config(config) == SETTINGS


def test_parts_left_out_are_defaults() -> None:
    told = TrainerSettings.from_custom_config(SETTINGS.to_custom_config("digest", "features"))
    assert told == TrainerSettings(columns=COLUMNS, features=SETTINGS.features)


@pytest.mark.parametrize(
    "changed",
    [
        SETTINGS.model_copy(update={"training": SETTINGS.training.model_copy(update={"epochs": 4})}),
        SETTINGS.model_copy(update={"tuning": Tuning(trials=9)}),
        SETTINGS.model_copy(update={"manifest": {"data": {"rows": 13}}}),
    ],
    ids=["training", "tuning", "manifest"],
)
def test_a_change_shows_only_in_the_parts_it_touches(changed: TrainerSettings) -> None:
    assert changed.to_custom_config("digest", "features") == SETTINGS.to_custom_config("digest", "features")
    assert changed.to_custom_config("digest", *ALL_PARTS) != SETTINGS.to_custom_config("digest", *ALL_PARTS)


@pytest.mark.parametrize(
    "change",
    [
        {"features": Features(scaling="unit_norm", clip=3.0)},
        {"columns": COLUMNS.model_copy(update={"numeric": ("age", "balance")})},
    ],
    ids=["features", "columns"],
)
def test_what_transform_sees_shows_in_its_custom_config(change: dict[str, Any]) -> None:
    changed = SETTINGS.model_copy(update=change)
    assert changed.to_custom_config("digest", "features") != SETTINGS.to_custom_config("digest", "features")


def test_an_edit_of_the_source_shows_in_the_custom_config() -> None:
    assert SETTINGS.to_custom_config("before", "features") != SETTINGS.to_custom_config("after", "features")


def test_a_time_alone_that_is_not_used_is_nothing_to_learn_from() -> None:
    columns = Columns(label="fraud", time="when")
    with pytest.raises(ValidationError, match=r"features\.use_time is off; turn it on"):
        TrainerSettings(columns=columns, features=Features(use_time=False))
    assert TrainerSettings(columns=columns).features.use_time


@pytest.mark.parametrize(
    ("rates", "fraud", "legitimate"),
    [
        (SamplingRates(), 1.0, 1.0),
        (SamplingRates(legitimate=0.1), 1.0, 10.0),
        (SamplingRates(fraud=0.5, legitimate=0.01), 2.0, 100.0),
    ],
)
def test_a_row_stands_for_the_inverse_of_its_sampling_rate(
    rates: SamplingRates, fraud: float, legitimate: float
) -> None:
    assert (rates.weight(1), rates.weight(0)) == (fraud, pytest.approx(legitimate))


@pytest.mark.parametrize(("units", "layers", "expected"), [(32, 1, (32,)), (32, 3, (32, 16, 8)), (2, 4, (2, 1, 1, 1))])
def test_layers_are_tapered(units: int, layers: int, expected: tuple[int, ...]) -> None:
    assert tapered(units, layers) == expected


@settings(deadline=None)
@given(st.integers(1, 4096), st.integers(1, 20))
def test_no_layer_is_empty_or_wider_than_the_one_before(units: int, layers: int) -> None:
    widths = tapered(units, layers)
    assert len(widths) == layers
    assert widths[0] == units
    assert min(widths) >= 1
    assert list(widths) == sorted(widths, reverse=True)


def test_hyperparameters_replace_what_the_search_varies_and_keep_the_rest() -> None:
    training = Training(network=Network(units=(10, 5), activation="relu", weight_decay=0.5), epochs=9, batch_size=7)
    found = training.with_hyperparameters({"layers": 3, "units": 16, "dropout": 0.1, "learning_rate": 0.02})
    assert found == Training(
        network=Network(units=(16, 8, 4), activation="relu", weight_decay=0.5, dropout=0.1),
        epochs=9,
        batch_size=7,
        learning_rate=0.02,
    )


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (SamplingRates, {"fraud": 0}),
        (SamplingRates, {"legitimate": 1.5}),
        (Features, {"clip": 0}),
        (Features, {"out_of_vocabulary": 0}),
        (Features, {"scaling": "minmax"}),
        (Network, {"units": ()}),
        (Network, {"units": (8, 0)}),
        (Network, {"dropout": 1}),
        (Network, {"activation": "sine"}),
        (Training, {"epochs": 0}),
        (Training, {"threshold": "best"}),
        (Training, {"epoch": 3}),
        (Tuning, {"layers": ()}),
    ],
)
def test_values_out_of_bounds_are_refused(kind: type[BaseModel], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(values)
    assert {error["loc"][0] for error in refused.value.errors()} == set(values)
