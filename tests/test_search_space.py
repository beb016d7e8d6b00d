"""What a search may try: drawn, counted, known before, and by KerasTuner's protocol."""

from __future__ import annotations

import logging
from typing import Any, get_args

import keras_tuner
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from trainer.columns import Columns
from trainer.custom_config import TrainerSettings
from trainer.errors import InputError
from trainer.search import space as search_space
from trainer.search.oracles import RandomSearch
from trainer.search.settings import CONDITIONS, SPACES, Range, Space, Tuning, hyperparameters, with_hyperparameters
from trainer.settings import Activation, Loss, Network, Optimizer, Training

COLUMNS = Columns(label="y", numeric=("a",))
VARIED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


def settings_of(space: Space, training: Training | None = None, **tuning: Any) -> TrainerSettings:
    return TrainerSettings(columns=COLUMNS, training=training or Training(), tuning=Tuning(space=space, **tuning))


def _choices(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, min_size=1, max_size=3, unique=True).map(tuple)


def _numbers(low: float, high: float) -> st.SearchStrategy[Any]:
    # not so near to each other that ten numbers have no room between them, as subnormal ones may be
    numbers = st.floats(low, high, allow_subnormal=False)
    pairs = st.tuples(numbers, numbers).filter(lambda pair: pair[0] * 1.01 < pair[1])
    return _choices(numbers) | pairs.map(lambda pair: Range(low=pair[0], high=pair[1]))


WHOLE = _choices(st.integers(1, 256))
DOMAINS: dict[str, st.SearchStrategy[Any]] = {
    "layers": _choices(st.integers(1, 4)),
    "units": WHOLE,
    "shape": _choices(st.sampled_from(["tapered", "equal"])),
    "activation": _choices(st.sampled_from(get_args(Activation))),
    "dropout": _numbers(0, 0.9),
    "batch_normalization": _choices(st.booleans()),
    "weight_decay": _numbers(0, 1),
    "optimizer": _choices(st.sampled_from(get_args(Optimizer))),
    "learning_rate": _numbers(1e-5, 1),
    "momentum": _numbers(0, 0.95),
    "batch_size": WHOLE,
    "epochs": WHOLE,
    "loss": _choices(st.sampled_from(get_args(Loss))),
    "focal_gamma": _numbers(0, 5),
    "fraud_weight": _numbers(0.1, 100) | _choices(st.floats(0.1, 100) | st.just("balanced")),
}
NETWORKS = st.builds(
    Network,
    units=st.lists(st.integers(1, 64), min_size=1, max_size=4).map(tuple),
    dropout=st.floats(0, 0.9),
    batch_normalization=st.booleans(),
)
TRAININGS = st.builds(
    Training,
    network=NETWORKS,
    optimizer=st.sampled_from(get_args(Optimizer)),
    loss=st.sampled_from(get_args(Loss)),
    learning_rate=st.floats(1e-5, 1),
    fraud_weight=st.floats(0.1, 100) | st.just("balanced"),
)


@st.composite
def any_settings(draw: st.DrawFn) -> TrainerSettings:
    """Any space that the settings take, over any training."""
    domains = draw(st.fixed_dictionaries({}, optional=DOMAINS).filter(bool))
    training = draw(TRAININGS)
    for name, parent, value in CONDITIONS:
        if value not in domains.get(parent, (getattr(training, parent),)):
            domains.pop(name, None)
    assume(domains)
    return settings_of(Space(**domains), training)


def _drawn(settings: TrainerSettings, count: int, seed: int) -> list[dict[str, Any]]:
    oracle = RandomSearch(settings.tuning, search_space.search_space(settings), [], seed)
    proposed = [oracle.propose(str(number)) for number in range(count)]
    return [values["values"] for values in proposed if "values" in values]


@VARIED
@given(any_settings(), st.integers(1, 10**6))
def test_what_is_drawn_is_inside_and_can_be_trained(settings: TrainerSettings, seed: int) -> None:
    space = search_space.search_space(settings)
    drawn = _drawn(settings, 4, seed)
    assert drawn
    for values in drawn:
        assert search_space.is_inside(space, values)
        trained = with_hyperparameters(settings.training, values)
        for name, value in values.items():
            domain = settings.tuning.space.domains[name]
            if isinstance(domain, Range):
                assert domain.low <= value <= domain.high
            else:
                assert value in domain or value in map(str, domain)
            if name != "shape":  # a single layer has any
                assert hyperparameters(trained)[name] == value or str(hyperparameters(trained)[name]) == value
        inactive = settings.tuning.space.domains.keys() - values.keys()
        assert inactive == {
            name
            for name, parent, needed in CONDITIONS
            if name in settings.tuning.space.domains and values.get(parent, needed) != needed
        }


@VARIED
@given(any_settings())
def test_the_defaults_are_inside_and_are_the_configs_own_where_the_space_has_them(settings: TrainerSettings) -> None:
    space = search_space.search_space(settings)
    own = hyperparameters(settings.training)
    assert search_space.is_inside(space, space.values)
    assert search_space.active(space, {}) == space.values
    for name, value in space.values.items():
        domain = settings.tuning.space.domains[name]
        if isinstance(domain, Range):
            nearest = domain.low if own[name] == "balanced" else min(max(own[name], domain.low), domain.high)
            assert value == nearest
        else:
            assert value in ((own[name], str(own[name])) if own[name] in domain else (domain[0], str(domain[0])))


@VARIED
@given(any_settings())
def test_a_space_survives_keras_tuners_protocol(settings: TrainerSettings) -> None:
    space = search_space.search_space(settings)
    space.values = _drawn(settings, 1, seed=3)[0]
    received = keras_tuner.HyperParameters.from_proto(space.to_proto())
    # what is inactive may come back with its default
    assert _with_types({name: received.values[name] for name in space.values}) == _with_types(space.values)
    assert {hyperparameter.name for hyperparameter in received.space} == set(settings.tuning.space.domains)
    assert _with_types(search_space.active(received, received.values)) == _with_types(space.values)
    assert search_space.active(received, {}) == search_space.active(space, {})
    assert search_space.is_inside(received, received.values)
    again = keras_tuner.HyperParameters.from_config(space.get_config())
    assert again.values == space.values
    assert search_space.active(again, {}) == search_space.active(space, {})


def _with_types(values: dict[str, Any]) -> dict[str, tuple[type, Any]]:
    return {name: (type(value), value) for name, value in values.items()}


@VARIED
@given(any_settings())
def test_the_configs_own_values_train_as_the_config_does(settings: TrainerSettings) -> None:
    space = search_space.search_space(settings)
    values = search_space.configured(space, settings.training)
    assert values.keys() <= settings.tuning.space.domains.keys()
    trained = with_hyperparameters(settings.training, values)
    representable = with_hyperparameters(settings.training, hyperparameters(settings.training)) == settings.training
    if representable or not {"layers", "units", "shape"} & values.keys():
        assert trained == settings.training
    elif trained != settings.training:
        assert values == search_space.active(space, {})
    # whoever looks for it among what can be drawn does not fail on it
    search_space.is_inside(space, values)


OWN = Training(network=Network(units=(8, 4), dropout=0.2), learning_rate=0.02)
OWN_VALUES = {"layers": 2, "units": 8, "dropout": 0.2, "learning_rate": 0.02}
SMALL = Space(layers=(1, 2), units=(4, 8), dropout=(0.0, 0.2), learning_rate=Range(low=0.001, high=0.05))


@pytest.mark.parametrize(
    ("training", "default"),
    [
        (OWN, {"layers": 2, "units": 8, "dropout": 0.2, "learning_rate": 0.02}),
        (
            OWN.model_copy(update={"learning_rate": 1.0}),
            {"layers": 2, "units": 8, "dropout": 0.2, "learning_rate": 0.05},
        ),
        (
            OWN.model_copy(update={"learning_rate": 1e-9}),
            {"layers": 2, "units": 8, "dropout": 0.2, "learning_rate": 0.001},
        ),
        (
            OWN.model_copy(update={"network": Network(units=(10, 5, 3), dropout=0.5)}),
            {"layers": 1, "units": 4, "dropout": 0.0, "learning_rate": 0.02},
        ),
    ],
    ids=["inside", "too fast", "too slow", "another network"],
)
def test_the_defaults_are_the_nearest(training: Training, default: dict[str, Any]) -> None:
    assert search_space.search_space(settings_of(SMALL, training)).values == default


def test_the_configs_own_values_may_be_outside() -> None:
    training = OWN.model_copy(update={"learning_rate": 1.0, "network": Network(units=(32, 16), dropout=0.5)})
    space = search_space.search_space(settings_of(SMALL, training))
    values = search_space.configured(space, training)
    assert values == {"layers": 2, "units": 32, "dropout": 0.5, "learning_rate": 1.0}
    assert not search_space.is_inside(space, values)
    for name in ("units", "dropout", "learning_rate"):
        assert not search_space.is_inside(space, {**space.values, name: values[name]})
    assert search_space.is_inside(space, space.values)


def test_a_network_that_no_values_say_starts_from_the_default(caplog: pytest.LogCaptureFixture) -> None:
    training = OWN.model_copy(update={"network": Network(units=(10, 30, 10), dropout=0.2)})
    space = search_space.search_space(settings_of(SMALL, training))
    with caplog.at_level(logging.WARNING):
        values = search_space.configured(space, training)
    assert values == space.values == {"layers": 1, "units": 4, "dropout": 0.2, "learning_rate": 0.02}
    assert "cannot express the config's network" in caplog.text
    # what has nothing to do with layers is searched all the same
    rates = search_space.search_space(settings_of(Space(learning_rate=(0.1, 0.2)), training))
    assert search_space.configured(rates, training) == {"learning_rate": 0.02}


@pytest.mark.parametrize("shapes", [("equal",), ("tapered", "equal"), ("equal", "tapered")])
def test_a_single_layer_has_the_shape_that_the_space_has(shapes: Any) -> None:
    training = Training(network=Network(units=(20,)))
    space = search_space.search_space(settings_of(Space(layers=(1, 2), units=(20, 30), shape=shapes), training))
    values = search_space.configured(space, training)
    assert search_space.is_inside(space, values)
    assert with_hyperparameters(training, values) == training


def test_numbers_beside_words_are_kept_apart() -> None:
    space = search_space.search_space(settings_of(Space(fraud_weight=(1.0, 10.0, "balanced"))))
    assert [values["fraud_weight"] for values in search_space.combinations(space)] == ["1.0", "10.0", "balanced"]
    assert [with_hyperparameters(Training(), values).fraud_weight for values in search_space.combinations(space)] == [
        1.0,
        10.0,
        "balanced",
    ]
    balanced = Training(fraud_weight="balanced")
    assert search_space.configured(space, balanced) == {"fraud_weight": "balanced"}
    assert search_space.configured(space, Training()) == {"fraud_weight": "1.0"}
    numbers = search_space.search_space(settings_of(Space(fraud_weight=Range(low=2, high=50)), balanced))
    assert numbers.values == {"fraud_weight": 2.0}
    assert search_space.configured(numbers, balanced) == {"fraud_weight": "balanced"}
    assert not search_space.is_inside(numbers, {"fraud_weight": "balanced"})


def test_yes_and_no_stay_what_they_are() -> None:
    space = search_space.search_space(settings_of(Space(batch_normalization=(False, True))))
    assert [values["batch_normalization"] for values in search_space.combinations(space)] == [True, False]
    assert space.values["batch_normalization"] is False
    always = search_space.search_space(settings_of(Space(batch_normalization=(True,), units=(8,))))
    (values,) = search_space.combinations(always)
    assert values == {"batch_normalization": True, "units": 8}
    assert values["batch_normalization"] is True
    assert not search_space.is_inside(always, {"batch_normalization": False})


CONDITIONAL = Space(
    momentum=Range(low=0.5, high=0.9), optimizer=("adam", "sgd"), focal_gamma=(1.0, 2.0), loss=("focal", "huber")
)


@pytest.mark.parametrize(
    ("values", "active"),
    [
        ({"optimizer": "adam", "loss": "huber"}, {"optimizer", "loss"}),
        ({"optimizer": "sgd", "loss": "huber"}, {"optimizer", "loss", "momentum"}),
        ({"optimizer": "adam", "loss": "focal"}, {"optimizer", "loss", "focal_gamma"}),
        ({"optimizer": "sgd", "loss": "focal"}, {"optimizer", "loss", "momentum", "focal_gamma"}),
    ],
)
def test_what_depends_on_a_choice_is_active_with_it_alone(values: dict[str, Any], active: set[str]) -> None:
    space = search_space.search_space(settings_of(CONDITIONAL))
    everything = {**values, "momentum": 0.75, "focal_gamma": 2.0}
    assert search_space.active(space, everything) == {name: everything[name] for name in active}
    received = keras_tuner.HyperParameters.from_proto(space.to_proto())
    assert search_space.active(received, everything) == {name: everything[name] for name in active}


def test_without_the_choice_what_depends_on_it_is_always_active() -> None:
    training = Training(optimizer="sgd", momentum=0.75)
    space = search_space.search_space(settings_of(Space(momentum=Range(low=0.5, high=0.9)), training))
    assert space.values == search_space.configured(space, training) == {"momentum": 0.75}
    assert all(set(values) == {"momentum"} for values in search_space.combinations(space))


# What an earlier run found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, OWN_VALUES),
        ({"units": 4}, {**OWN_VALUES, "units": 4}),
        # outside of the space, as an earlier one may have been; and as YAML reads 1e-1
        ({"units": 64, "learning_rate": "1e-1"}, {**OWN_VALUES, "units": 64, "learning_rate": 0.1}),
        # what is not searched any more stays as the config has it
        ({"optimizer": "sgd", "momentum": 0.5}, OWN_VALUES),
        ({"layers": 1, "tuner/epochs": 3}, {**OWN_VALUES, "layers": 1}),
    ],
)
def test_known_values_are_taken_for_what_is_searched(values: dict[str, Any], expected: dict[str, Any]) -> None:
    assert search_space.warm_start(search_space.search_space(settings_of(SMALL, OWN)), values, OWN) == expected


def test_known_values_obey_the_conditions() -> None:
    space = search_space.search_space(settings_of(CONDITIONAL))
    values = {"optimizer": "sgd", "momentum": 0.25, "loss": "huber", "focal_gamma": 1.0}
    assert search_space.warm_start(space, values, Training()) == {"optimizer": "sgd", "momentum": 0.25, "loss": "huber"}


def test_a_known_weight_is_text_among_words() -> None:
    space = search_space.search_space(settings_of(Space(fraud_weight=(1.0, "balanced"))))
    assert search_space.warm_start(space, {"fraud_weight": 25}, Training()) == {"fraud_weight": "25.0"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": 0.1}, "no hyperparameter is called lr"),
        ({"units": "many"}, "units: expected a whole number"),
        ({"dropout": 3}, "dropout: expected less than 1, got 3"),
    ],
)
def test_known_values_that_can_not_be_trained_are_an_error(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=r"tuning\.warm_start has values that can't be trained") as caught:
        search_space.warm_start(search_space.search_space(settings_of(SMALL, OWN)), values, OWN)
    assert message in str(caught.value)


# Every combination


@pytest.mark.parametrize(("name", "count"), [("tutorial", 6), ("default", 3 * 3 * 10 * 2)])
def test_the_combinations_of_a_preset(name: str, count: int) -> None:
    space = search_space.search_space(settings_of(SPACES[name]))
    combinations = [tuple(sorted(values.items())) for values in search_space.combinations(space)]
    assert len(combinations) == len(set(combinations)) == count


@settings(max_examples=30, deadline=None)
@given(any_settings())
def test_combinations_are_inside_and_have_every_choice(settings: TrainerSettings) -> None:
    space = search_space.search_space(settings)
    sizes = [10 if isinstance(domain, Range) else len(domain) for domain in settings.tuning.space.domains.values()]
    assume(np.prod(sizes) <= 2000)
    combinations = list(search_space.combinations(space))
    assert len(combinations) == np.prod(sizes)
    for values in combinations[:: max(1, len(combinations) // 50)]:
        assert search_space.is_inside(space, values)
        with_hyperparameters(settings.training, values)
    for name, domain in settings.tuning.space.domains.items():
        seen = {values[name] for values in combinations if name in values}
        if isinstance(domain, Range):
            assert len(seen) == 10
        else:
            assert seen in (set(domain), set(map(str, domain)))


def test_a_range_is_spread_over_its_scale() -> None:
    space = search_space.search_space(settings_of(Space(learning_rate=Range(low=1e-4, high=1e-2))))
    rates = [values["learning_rate"] for values in search_space.combinations(space)]
    assert rates == sorted(rates)
    ratios = np.array(rates[1:]) / np.array(rates[:-1])
    assert ratios == pytest.approx(np.full(9, ratios[0]))
    linear = search_space.search_space(settings_of(Space(dropout=Range(low=0, high=0.5))))
    steps = np.diff([values["dropout"] for values in search_space.combinations(linear)])
    assert steps == pytest.approx(np.full(9, steps[0]))


def test_learning_rates_are_drawn_on_a_log_scale() -> None:
    drawn = _drawn(settings_of(Space(learning_rate=Range(low=1e-4, high=1e-2)), trials=400), 400, seed=5)
    rates = np.array([values["learning_rate"] for values in drawn])
    assert np.median(rates) == pytest.approx(1e-3, rel=0.35)  # on a linear scale it would be 5e-3
