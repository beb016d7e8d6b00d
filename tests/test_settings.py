"""The settings of the trainer, and how they travel."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from trainer.columns import Columns
from trainer.custom_config import TrainerSettings
from trainer.decision.costs import Costs
from trainer.decision.settings import CalibrationSettings, DecisionSettings
from trainer.features import Features
from trainer.sampling import SamplingRates
from trainer.search.settings import (
    SPACES,
    Range,
    Space,
    Tuning,
    checked,
    hyperparameters,
    tapered,
    with_hyperparameters,
)
from trainer.settings import Activation, Loss, Network, Objective, Optimizer, Training

COLUMNS = Columns(label="fraud", numeric=("age",), categorical={"country": "string"})
SETTINGS = TrainerSettings(
    columns=COLUMNS,
    features=Features(scaling="unit_norm", clip=None),
    training=Training(network=Network(units=(8, 4)), epochs=3),
    tuning=Tuning(trials=2, space="wide", oracle="bayesian", folds=3, warm_start={"units": 16}),
    calibration=CalibrationSettings(method="isotonic", folds=7),
    costs=Costs(review=2.5, currency="GBP"),
    decision=DecisionSettings(threshold=0.25),
    eval_share=0.1,
    split_by="random",
    manifest={"data": {"rows": 12}},
)
ALL_PARTS = (
    *("features", "training", "tuning", "calibration", "costs", "decision", "eval_share", "split_by", "manifest"),
)


def test_a_custom_config_is_json_and_gives_the_same_settings() -> None:
    config = json.loads(json.dumps(SETTINGS.to_custom_config(*ALL_PARTS)))
    assert TrainerSettings.from_custom_config(config) == SETTINGS


def test_parts_left_out_are_defaults() -> None:
    settings = TrainerSettings.from_custom_config(SETTINGS.to_custom_config("features"))
    assert settings == TrainerSettings(columns=COLUMNS, features=SETTINGS.features)


@pytest.mark.parametrize(
    "changed",
    [
        SETTINGS.model_copy(update={"training": SETTINGS.training.model_copy(update={"epochs": 4})}),
        SETTINGS.model_copy(update={"tuning": Tuning(trials=9)}),
        SETTINGS.model_copy(update={"tuning": SETTINGS.tuning.model_copy(update={"space": SPACES["tutorial"]})}),
        SETTINGS.model_copy(update={"calibration": CalibrationSettings()}),
        SETTINGS.model_copy(update={"costs": Costs(review=2.5)}),
        SETTINGS.model_copy(update={"decision": DecisionSettings()}),
        SETTINGS.model_copy(update={"eval_share": 1.0}),
        SETTINGS.model_copy(update={"split_by": "time"}),
        SETTINGS.model_copy(update={"manifest": {"data": {"rows": 13}}}),
    ],
    ids=["training", "tuning", "space", "calibration", "costs", "decision", "share", "split", "manifest"],
)
def test_a_change_shows_only_in_the_parts_it_touches(changed: TrainerSettings) -> None:
    assert changed.to_custom_config("features") == SETTINGS.to_custom_config("features")
    assert changed.to_custom_config(*ALL_PARTS) != SETTINGS.to_custom_config(*ALL_PARTS)


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
    assert changed.to_custom_config("features") != SETTINGS.to_custom_config("features")


def test_a_time_alone_that_is_not_used_is_nothing_to_learn_from() -> None:
    columns = Columns(label="fraud", time="when")
    with pytest.raises(ValidationError, match=r"features\.use_time is off; turn it on"):
        TrainerSettings(columns=columns, features=Features(use_time=False))
    assert TrainerSettings(columns=columns).features.use_time


# Calibration and decision


@pytest.mark.parametrize(("switch", "method"), [(False, "none"), (True, "auto")])
def test_off_is_short_for_no_calibration(switch: bool, method: str) -> None:
    settings = TrainerSettings.model_validate({"columns": COLUMNS, "calibration": switch})
    assert settings.calibration == CalibrationSettings(method=method)


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        ({"by": "alerts"}, "by alerts needs alerts_a_day, how many transactions may be stopped a day; set it"),
        ({"by": "amount", "threshold": 0.25}, "threshold is 0.25, but by amount finds its own; leave threshold out"),
        ({"by": "amount"}, "decision.by is amount but columns.amount names no column; name it, or set decision.by"),
        ({"by": "alerts", "alerts_a_day": 9}, "decision.by is alerts but columns.time names no column; name it, or"),
    ],
)
def test_a_decision_that_lacks_something_is_refused_with_the_way_out(decision: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)) as refused:
        TrainerSettings.model_validate({"columns": COLUMNS, "decision": decision})
    assert refused.value.error_count() == 1


def test_a_decision_has_what_it_goes_by() -> None:
    columns = Columns(label="fraud", time="when", amount="euros")
    for decision in ({"by": "amount"}, {"by": "alerts", "alerts_a_day": 9}, {"threshold": 0}, {"threshold": 1}):
        settings = TrainerSettings.model_validate({"columns": columns, "decision": decision}).decision
        assert settings.model_dump(include=set(decision)) == decision


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
    changed = with_hyperparameters(training, {"layers": 3, "units": 16, "dropout": 0.1, "learning_rate": 0.02})
    assert changed == Training(
        network=Network(units=(16, 8, 4), activation="relu", weight_decay=0.5, dropout=0.1),
        epochs=9,
        batch_size=7,
        learning_rate=0.02,
    )


# Any settings of the network and its training that a search could vary

WHOLE = st.integers(1, 512)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "layers": st.integers(1, 5),
    "units": WHOLE,
    "shape": st.sampled_from(["tapered", "equal"]),
    "activation": st.sampled_from(get_args(Activation)),
    "dropout": st.floats(0, 0.99),
    "batch_normalization": st.booleans(),
    "weight_decay": st.floats(0, 10),
    "optimizer": st.sampled_from(get_args(Optimizer)),
    "learning_rate": st.floats(1e-6, 10),
    "momentum": st.floats(0, 0.99),
    "batch_size": WHOLE,
    "epochs": WHOLE,
    "loss": st.sampled_from(get_args(Loss)),
    "focal_gamma": st.floats(0, 10),
    "fraud_weight": st.floats(0.01, 100) | st.just("balanced"),
}
SOME_VALUES = st.fixed_dictionaries({}, optional=VALUES)
TRAININGS = SOME_VALUES.map(lambda values: with_hyperparameters(Training(patience=3, seed=11), values))


def test_every_hyperparameter_of_a_space_can_be_set() -> None:
    assert set(hyperparameters(Training())) == set(Space.model_fields) == set(VALUES)


@settings(deadline=None)
@given(TRAININGS, SOME_VALUES)
def test_hyperparameters_change_what_they_name_and_nothing_else(training: Training, values: dict[str, Any]) -> None:
    changed = with_hyperparameters(training, values)
    for name, value in hyperparameters(changed).items():
        if name == "shape":
            continue  # a single layer, and one of a single neuron, has both
        assert value == values.get(name, hyperparameters(training)[name])
    units, layers = hyperparameters(changed)["units"], hyperparameters(changed)["layers"]
    shape = values.get("shape", training.network.shape)
    if {"units", "layers", "shape"} & set(values):
        assert changed.network.units == ((units,) * layers if shape == "equal" else tapered(units, layers))
    else:
        assert changed.network.units == training.network.units
    assert (changed.patience, changed.seed) == (3, 11)


@settings(deadline=None)
@given(TRAININGS)
def test_its_own_hyperparameters_change_nothing_and_travel_as_json(training: Training) -> None:
    values = json.loads(json.dumps(hyperparameters(training)))
    assert with_hyperparameters(training, values) == training
    assert with_hyperparameters(Training(), values).network == training.network
    assert with_hyperparameters(training, {"tuner/epochs": 3, "tuner/bracket": 1, "tuner/trial_id": "0001"}) == training


@pytest.mark.parametrize(
    ("units", "shape"),
    [((32, 16), "tapered"), ((8, 8), "equal"), ((8,), "tapered"), ((8, 9, 8), "tapered"), ((1, 1), "equal")],
)
def test_a_network_has_a_shape(units: tuple[int, ...], shape: str) -> None:
    assert Network(units=units).shape == shape


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"learning_rate": "1e-3", "units": "16"}, {"learning_rate": 0.001, "units": 16}),  # as YAML reads 1e-3
        ({"fraud_weight": "balanced"}, {"fraud_weight": "balanced"}),
        ({"fraud_weight": "10.0"}, {"fraud_weight": 10.0}),  # as a search among numbers and words has it
        ({"batch_normalization": True}, {"batch_normalization": True}),
        ({"tuner/epochs": 3}, {}),
        ({}, {}),
    ],
)
def test_values_get_their_own_type(values: dict[str, Any], expected: dict[str, Any]) -> None:
    assert checked(values) == expected
    assert {name: type(value) for name, value in checked(values).items()} == {
        name: type(value) for name, value in expected.items()
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": 1}, "no hyperparameter is called lr; there are layers, units, shape, "),
        ({"units": "many"}, "units: expected a whole number, got 'many'"),
        ({"units": [10, 5]}, "units: expected a whole number, got [10, 5]"),
        ({"layers": 0}, "layers: expected more than 0, got 0"),
        ({"dropout": 1}, "dropout: expected less than 1, got 1"),
        ({"learning_rate": None}, "learning_rate: expected a number, got None"),
        ({"fraud_weight": "heavy"}, "a number or 'balanced', got 'heavy'"),
        ({"layers": 0, "dropout": 2}, "layers: expected more than 0, got 0; dropout: "),
    ],
)
def test_hyperparameters_that_can_not_be_set_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        with_hyperparameters(Training(), values)
    assert "pydantic" not in str(refused.value)
    assert "\n" not in str(refused.value)


@settings(deadline=None)
@given(st.floats(1e-5, 0.99), st.floats(0.01, 100))
def test_balanced_gives_both_classes_the_same_weight(rate: float, weight: float) -> None:
    assert rate * Training(fraud_weight="balanced").fraud_factor(rate) == pytest.approx(1 - rate)
    assert Training(fraud_weight=weight).fraud_factor(rate) == weight


# The search

CHOICES = {name: st.lists(values, min_size=1, max_size=3).map(tuple) for name, values in VALUES.items()}


def _range(low: float, high: float) -> st.SearchStrategy[Range]:
    pairs = st.lists(st.floats(low, high), min_size=2, max_size=2, unique=True).map(sorted)
    return pairs.map(lambda pair: Range(low=pair[0], high=pair[1]))


RANGES = {
    "dropout": _range(0, 0.99),
    "weight_decay": _range(0, 10),
    "learning_rate": _range(1e-6, 10),
    "momentum": _range(0, 0.99),
    "focal_gamma": _range(0, 10),
    "fraud_weight": _range(0.01, 100),
}
DOMAINS = st.fixed_dictionaries({}, optional={name: CHOICES[name] | RANGES.get(name, st.nothing()) for name in CHOICES})


@settings(deadline=None)
@given(DOMAINS.filter(bool))
def test_a_space_keeps_its_domains_and_travels_as_json(domains: dict[str, Any]) -> None:
    space = Space(**domains)
    assert space.domains == domains
    tuning = Tuning(space=space)
    assert Tuning.model_validate(json.loads(json.dumps(tuning.model_dump(mode="json")))) == tuning
    assert Tuning.model_validate(tuning.model_dump()) == tuning


@pytest.mark.parametrize("name", SPACES)
def test_a_preset_goes_by_its_name(name: str) -> None:
    assert Tuning(space=name).space is SPACES[name]
    # each can be searched as it is
    TrainerSettings(columns=COLUMNS, tuning=Tuning(space=name))


@pytest.mark.parametrize(("switch", "enabled"), [(False, False), (True, True)])
def test_off_is_short_for_not_enabled(switch: bool, enabled: bool) -> None:
    settings = TrainerSettings.model_validate({"columns": COLUMNS, "tuning": switch})
    assert settings.tuning == Tuning(enabled=enabled)


@pytest.mark.parametrize("objective", get_args(Objective))
@pytest.mark.parametrize("oracle", ["random", "hyperband", "bayesian", "grid"])
def test_every_oracle_takes_every_objective(oracle: str, objective: str) -> None:
    tuning = Tuning.model_validate({"oracle": oracle, "objective": objective})
    assert (tuning.oracle, tuning.objective) == (oracle, objective)


BAD_TUNING = [
    ({"space": {}}, "the space is empty; name at least one hyperparameter to search"),
    ({"space": {"layers": None}}, "or switch the search off with tuning: off"),
    ({"space": {"units": []}}, "expected at least one choice, got []; null keeps the value of training"),
    ({"space": {"units": 8}}, "expected a list of choices, got 8; for a single one give [8]"),
    ({"space": {"units": {"low": 1, "high": 9}}}, "expected a list of choices, got {'low': 1, 'high': 9}"),
    ({"space": "huge"}, "no preset is called 'huge'; there are default, tutorial, wide, or give a mapping"),
    ({"space": {"dropout": {"low": 0.3, "high": 0.1}}}, "low must be below high, got 0.3 and 0.1; for one value give"),
    ({"space": {"dropout": {"low": 0.3, "high": 0.3}}}, "low must be below high, got 0.3 and 0.3"),
    ({"space": {"dropout": {"low": 0.3, "high": 1}}}, "dropout must stay below 1, got 1"),
    ({"space": {"momentum": {"low": 0.3, "high": 1.5}}}, "momentum must stay below 1, got 1.5"),
    ({"space": {"learning_rate": {"low": 0, "high": 1}}}, "learning_rate is searched on a log scale, so its low must"),
    ({"space": {"fraud_weight": {"low": 0, "high": 1}}}, "fraud_weight is searched on a log scale, so its low must"),
    ({"trials": 0}, "a search needs a budget above 0, got 0; to train without one: tuning: off"),
    ({"epochs": -2}, "a search needs a budget above 0, got -2"),
    ({"budget_minutes": 0.0}, "a search needs a budget above 0, got 0"),
    ({"oracle": "hyperband", "space": {"epochs": [2, 4]}}, "got space.epochs [2, 4]; leave space.epochs out"),
    ({"objective": "loss", "space": {"loss": ["focal"]}}, "got loss in the space; leave them out of it"),
    ({"objective": "loss", "space": "wide"}, "got loss, focal_gamma, fraud_weight in the space"),
]


@pytest.mark.parametrize(("values", "message"), BAD_TUNING)
def test_a_search_that_can_not_be_is_refused_with_the_way_out(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)) as refused:
        Tuning.model_validate(values)
    assert refused.value.error_count() == 1


@pytest.mark.parametrize(
    ("training", "space", "message"),
    [
        (
            Training(),
            {"momentum": [0.5, 0.9]},
            "tuning.space.momentum is tried with optimizer sgd only, but training.optimizer is adam; "
            "add sgd to tuning.space.optimizer, or leave tuning.space.momentum out",
        ),
        (
            Training(optimizer="sgd"),
            {"momentum": [0.5, 0.9], "optimizer": ["adam", "rmsprop"]},
            "but tuning.space.optimizer is [adam, rmsprop]",
        ),
        (Training(), {"focal_gamma": {"low": 1, "high": 2}}, "but training.loss is binary_crossentropy; add focal to"),
    ],
)
def test_what_is_tried_under_a_condition_needs_it(training: Training, space: dict[str, Any], message: str) -> None:
    settings = {"columns": COLUMNS, "training": training, "tuning": {"space": space}}
    with pytest.raises(ValidationError, match=re.escape(message)):
        TrainerSettings.model_validate(settings)
    # nobody searches
    TrainerSettings.model_validate({**settings, "tuning": {"space": space, "enabled": False}})


@pytest.mark.parametrize(
    ("training", "space"),
    [
        (Training(optimizer="sgd"), {"momentum": [0.5, 0.9]}),
        (Training(), {"momentum": [0.5, 0.9], "optimizer": ["adam", "sgd"]}),
        (Training(loss="focal"), {"focal_gamma": [1, 2]}),
        (Training(), {"focal_gamma": [1, 2], "loss": ["focal"]}),
    ],
)
def test_a_condition_is_met_by_the_training_or_by_the_space(training: Training, space: dict[str, Any]) -> None:
    settings = TrainerSettings.model_validate({"columns": COLUMNS, "training": training, "tuning": {"space": space}})
    assert set(settings.tuning.space.domains) == set(space)


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
        (Training, {"threshold": 0.5}),  # decision.threshold
        (CalibrationSettings, {"method": "beta"}),
        (CalibrationSettings, {"folds": 1}),
        (DecisionSettings, {"by": "score"}),
        (DecisionSettings, {"threshold": "best"}),
        (DecisionSettings, {"threshold": 1.5}),
        (DecisionSettings, {"by": "alerts", "alerts_a_day": 0}),
        (Training, {"epoch": 3}),
        (Training, {"optimizer": "adamax"}),
        (Training, {"momentum": 1}),
        (Training, {"loss": "hinge"}),
        (Training, {"focal_gamma": -0.1}),
        (Training, {"learning_rate": float("inf")}),
        (Training, {"learning_rate": float("nan")}),
        (Training, {"fraud_weight": "heavy"}),
        (Tuning, {"oracle": "genetic"}),
        (Tuning, {"objective": "val_loss"}),
        (Tuning, {"folds": 1}),
        (Tuning, {"factor": 1}),
        (Tuning, {"workers": 0}),
        (Tuning, {"seed": 0}),
        (Space, {"layers": ()}),
        (Space, {"shape": ("round",)}),
        (Space, {"dropout": (0.5, 1.0)}),
        (Space, {"weight_decay": Range(low=0, high=1), "batch_size": (0,)}),
    ],
)
def test_values_out_of_bounds_are_refused(kind: type[BaseModel], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(values)
    assert {error["loc"][0] for error in refused.value.errors()} == set(list(values)[-1:])
