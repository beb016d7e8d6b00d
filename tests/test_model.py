"""The network's shape, where it starts, its optimizers and losses."""

from __future__ import annotations

from typing import Any, get_args

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer import model
from trainer.features import NUMERIC, categorical_key
from trainer.settings import Activation, Loss, Network, Optimizer, Training

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


@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation_of_the_settings_is_one_of_keras(activation: Activation) -> None:
    network = model.build(2, {}, Training(network=Network(units=(3,), activation=activation)), 0.01)
    assert network.layers[1].activation is keras.activations.get(activation)


@pytest.mark.parametrize("steps", [1, 7, 500])
def test_an_epoch_is_one_call(steps: int) -> None:
    network = model.build(2, {}, Training(learning_rate=0.25), 0.01)
    model.compile_model(network, Training(learning_rate=0.25), steps)
    assert network.steps_per_execution == steps
    assert float(network.optimizer.learning_rate) == 0.25


def test_each_hidden_layer_is_normalized_before_its_activation() -> None:
    training = Training(network=Network(units=(4, 3), activation="relu", dropout=0.1, batch_normalization=True))
    network = model.build(2, {}, training, 0.01)
    kinds = [type(layer).__name__ for layer in network.layers[1:]]
    assert kinds == ["Dense", "BatchNormalization", "Activation", "Dropout"] * 2 + ["Dense"]
    # a bias before the normalization would be taken out by it
    assert [layer.use_bias for layer in network.layers if isinstance(layer, keras.layers.Dense)] == [False, False, True]
    plain = model.build(2, {}, Training(network=Network(units=(4, 3))), 0.01)
    assert not [layer for layer in plain.layers if isinstance(layer, keras.layers.BatchNormalization)]
    # in training a batch is normalized by itself, so that a shift of all rows changes nothing
    still = model.build(2, {}, Training(network=Network(units=(4,), dropout=0, batch_normalization=True)), 0.01)
    rows = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
    there, moved = (still({NUMERIC: rows + shift}, training=True).numpy() for shift in (0, 5))
    assert moved == pytest.approx(there, abs=1e-4)
    assert np.abs(still({NUMERIC: rows + 5}).numpy() - still({NUMERIC: rows}).numpy()).max() > 1e-4


# Optimizers


@pytest.mark.parametrize("kind", get_args(Optimizer))
def test_momentum_matters_for_sgd_alone(kind: Optimizer) -> None:
    def optimizer_config(momentum: float) -> dict[str, Any]:
        optimizer = model.optimizer(Training(optimizer=kind, learning_rate=0.125, momentum=momentum))
        assert type(optimizer).__name__.lower() == kind
        config = optimizer.get_config()
        del config["name"]  # newer Keras counts them
        return config

    assert optimizer_config(0.5)["learning_rate"] == pytest.approx(0.125)
    assert (optimizer_config(0.5) == optimizer_config(0.9)) == (kind != "sgd")


def test_the_momentum_of_sgd_is_nesterovs() -> None:
    plain = model.optimizer(Training(optimizer="sgd", momentum=0))
    moving = model.optimizer(Training(optimizer="sgd", momentum=0.75))
    assert (plain.momentum, plain.nesterov) == (0, False)
    assert (moving.momentum, moving.nesterov) == (0.75, True)


@pytest.mark.parametrize("kind", get_args(Optimizer))
@pytest.mark.parametrize("batch_normalization", [False, True])
def test_adamw_alone_decays_hidden_weights_apart_from_the_gradient(kind: Optimizer, batch_normalization: bool) -> None:
    shape = Network(units=(3, 2), weight_decay=0.5, batch_normalization=batch_normalization)
    training = Training(network=shape, optimizer=kind, learning_rate=0.5)
    network = model.build(2, {"card": 5}, training, 0.01)
    model.compile_model(network, training, 1)
    assert bool(network.losses) == (kind != "adamw")
    weights = network.trainable_weights
    before = [np.array(weight) for weight in weights]
    network.optimizer.apply([keras.ops.zeros(weight.shape) for weight in weights], weights)
    shrunk = {
        weight.path
        for weight, old in zip(weights, before, strict=True)
        if not np.array_equal(np.array(weight), old) and np.allclose(np.array(weight), 0.75 * old)
    }
    hidden = {layer.kernel.path for layer in network.layers[:-1] if isinstance(layer, keras.layers.Dense)}
    assert len(hidden) == 2
    assert shrunk == (hidden if kind == "adamw" else set())
    untouched = [np.array_equal(np.array(weight), old) for weight, old in zip(weights, before, strict=True)]
    assert untouched.count(False) == len(shrunk)


def test_without_decay_adamw_takes_the_steps_of_adam() -> None:
    rows = np.random.default_rng(2).normal(size=(40, 2)).astype(np.float32)
    labels = (rows[:, :1] > 0).astype(np.float32)
    fitted = []
    for kind, decay in (("adam", 0.0), ("adamw", 0.0), ("adamw", 0.5)):
        keras.utils.set_random_seed(4)
        training = Training(
            network=Network(units=(3,), dropout=0, weight_decay=decay), optimizer=kind, learning_rate=0.1
        )
        network = model.build(2, {}, training, 0.3)
        model.compile_model(network, training, 1)
        network.fit({NUMERIC: rows}, labels, epochs=2, verbose=0)
        fitted.append(np.concatenate([weight.ravel() for weight in network.get_weights()]))
    # both round along the way, and not alike on every processor
    assert fitted[0] == pytest.approx(fitted[1], abs=1e-4)
    assert np.abs(fitted[0] - fitted[2]).max() > 1e-3


# Losses

PAIRS = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.floats(0.001, 0.999)), min_size=1, max_size=20)


def _of_each_row(loss: Loss, pairs: list[tuple[float, float]], **parameters: float) -> np.ndarray:
    labels, scores = np.array(pairs, np.float32).T[:, :, None]
    return np.asarray(model.loss(Training(loss=loss, **parameters)).call(labels, scores))


@settings(max_examples=30, deadline=None)
@given(PAIRS, st.floats(0, 5))
def test_the_focal_loss_is_the_papers(pairs: list[tuple[float, float]], gamma: float) -> None:
    labels, scores = np.array(pairs).T
    of_the_label = np.where(labels > 0, scores, 1 - scores)  # p_t of Lin et al. 2017, equation 4
    expected = -((1 - of_the_label) ** gamma) * np.log(of_the_label)
    losses = _of_each_row("focal", pairs, focal_gamma=gamma)
    assert losses == pytest.approx(expected, rel=1e-3, abs=1e-6)
    if gamma == 0:
        assert losses == pytest.approx(_of_each_row("binary_crossentropy", pairs), rel=1e-3, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(PAIRS)
def test_huber_is_quadratic_for_half_of_the_way_and_then_linear(pairs: list[tuple[float, float]]) -> None:
    labels, scores = np.array(pairs).T
    apart = np.abs(labels - scores)
    expected = np.where(apart <= 0.5, 0.5 * apart**2, 0.5 * (apart - 0.25))
    assert _of_each_row("huber", pairs) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(PAIRS)
def test_absolute_error_and_cross_entropy_are_what_they_are_called(pairs: list[tuple[float, float]]) -> None:
    labels, scores = np.array(pairs).T
    assert _of_each_row("mean_absolute_error", pairs) == pytest.approx(np.abs(labels - scores), rel=1e-4, abs=1e-6)
    entropy = -(labels * np.log(scores) + (1 - labels) * np.log(1 - scores))
    assert _of_each_row("binary_crossentropy", pairs) == pytest.approx(entropy, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("loss", get_args(Loss))
def test_focal_gamma_matters_for_the_focal_loss_alone(loss: Loss) -> None:
    pairs = [(1.0, 0.75), (0.0, 0.25)]
    less, more = (_of_each_row(loss, pairs, focal_gamma=gamma) for gamma in (1.0, 3.0))
    assert (less == more).all() == (loss != "focal")
