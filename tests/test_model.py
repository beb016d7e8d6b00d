"""The network's shape and where it starts."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer import model
from trainer.preprocessing import NUMERIC, categorical_key
from trainer.settings import Activation, Network, Training

TUTORIAL = Training(network=Network(units=(10, 5), activation="tanh", dropout=0, weight_decay=0), initial_bias=False)


def test_the_tutorials_network_has_361_parameters() -> None:
    network = model.build(29, {}, TUTORIAL, 0.0017)
    assert network.count_params() == 29 * 10 + 10 + 10 * 5 + 5 + 5 * 1 + 1 == 361
    dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    assert [(layer.units, layer.activation.__name__) for layer in dense] == [(10, "tanh"), (5, "tanh"), (1, "sigmoid")]
    assert len(network.layers) == 4


@settings(max_examples=5, deadline=None)
@given(st.floats(1e-4, 0.99), st.floats(0.1, 10))
def test_the_output_starts_at_the_log_odds_of_fraud(rate: float, fraud_weight: float) -> None:
    network = model.build(2, {}, Training(network=Network(units=(3,)), fraud_weight=fraud_weight), rate)
    (bias,) = network.get_layer("probability").get_weights()[1]
    assert bias == pytest.approx(np.log(fraud_weight * rate / (1 - rate)), rel=1e-5, abs=1e-5)


def test_without_features_the_first_probability_is_the_rate_of_fraud() -> None:
    network = model.build(2, {}, Training(), 0.0017)
    assert network({NUMERIC: np.zeros((1, 2), np.float32)}).numpy() == pytest.approx(0.0017, rel=1e-4)


def test_the_bias_starts_at_zero_where_that_is_wanted() -> None:
    network = model.build(2, {}, TUTORIAL, 0.0017)
    assert network({NUMERIC: np.zeros((1, 2), np.float32)}).numpy() == 0.5


@settings(deadline=None)
@given(st.integers(2, 10**6))
def test_an_embedding_has_two_to_sixteen_dimensions(values: int) -> None:
    assert 2 <= model.embedding_width(values) <= model.embedding_width(values + 1) <= 16


def test_embeddings_widen_with_the_fourth_root() -> None:
    assert [model.embedding_width(values) for values in (2, 16, 81, 1005)] == [4, 6, 10, 16]


def test_each_category_is_embedded_beside_the_numbers() -> None:
    network = model.build(3, {"card type": 16, "merchant": 81}, Training(network=Network(units=(4,))), 0.01)
    keys = {NUMERIC, categorical_key("card type"), categorical_key("merchant")}
    assert set(network.input) == keys
    assert {tensor.name for tensor in network.input.values()} == keys
    assert network.get_layer("embedding_1").embeddings.shape == (16, 6)
    assert network.get_layer("embedding_2").embeddings.shape == (81, 10)
    assert network.count_params() == 16 * 6 + 81 * 10 + (3 + 6 + 10) * 4 + 4 + 4 + 1
    inputs = {NUMERIC: np.zeros((2, 3), np.float32)}
    inputs |= {categorical_key("card type"): np.array([[0], [15]]), categorical_key("merchant"): np.array([[80], [80]])}
    first, second = network(inputs).numpy().ravel()
    assert first != second


def test_weight_decay_is_a_penalty_on_hidden_weights_alone() -> None:
    decayed = model.build(2, {}, Training(network=Network(units=(3, 2), weight_decay=0.5)), 0.01)
    kernels = [layer.get_weights()[0] for layer in decayed.layers if layer.name.startswith("dense")]
    assert len(kernels) == 2
    assert float(sum(decayed.losses)) == pytest.approx(0.5 * sum(float(np.sum(kernel**2)) for kernel in kernels))
    assert not model.build(2, {}, TUTORIAL, 0.01).losses


def test_dropout_acts_in_training_alone() -> None:
    network = model.build(2, {}, Training(network=Network(units=(64,), dropout=0.5)), 0.01)
    rows = {NUMERIC: np.ones((50, 2), np.float32)}
    assert np.ptp(network(rows, training=False).numpy()) < 1e-6
    assert np.ptp(network(rows, training=True).numpy()) > 1e-4
    rates = [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.5]


@pytest.mark.parametrize("activation", ["tanh", "relu", "selu", "gelu", "elu"])
def test_every_activation_of_the_settings_is_one_of_keras(activation: Activation) -> None:
    network = model.build(2, {}, Training(network=Network(units=(3,), activation=activation)), 0.01)
    assert network.layers[1].activation is keras.activations.get(activation)


@pytest.mark.parametrize("steps", [1, 7, 500])
def test_an_epoch_is_one_call(steps: int) -> None:
    network = model.build(2, {}, Training(learning_rate=0.25), 0.01)
    model.compile_model(network, Training(learning_rate=0.25), steps)
    assert network.steps_per_execution == steps
    assert float(network.optimizer.learning_rate) == 0.25
