"""Which columns drove a score: complete, exact where the network is linear, and served with the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.small_data import SHOP_SETTINGS, apply, example, raw_spec, shop, shop_rows
from trainer import export, model
from trainer.columns import Columns
from trainer.decision.calibration import Calibration
from trainer.decision.costs import Costs
from trainer.decision.rule import Decision
from trainer.explanations import IntegratedGradients
from trainer.features import LABEL, NUMERIC, WEIGHT, Features, categorical_key
from trainer.preprocessing import categories
from trainer.settings import Network, Training

pytestmark = pytest.mark.xdist_group("shop")

COLUMNS = Columns(label="fraud", time="when", amount="euros", numeric=("age", "balance"))
CATEGORIES = {"card": 5, "merchant": 9}
WITH_CATEGORIES = COLUMNS.model_copy(update={"categorical": {"card": "string", "merchant": "integer"}})
GAPS = ("balance",)
WIDTH = 3 + 1 + 2  # age, balance, euros; whether the balance is missing; sine and cosine


def _network(width: int = WIDTH, sizes: Mapping[str, int] | None = None, scale: float = 1.5, **layers: Any) -> Any:
    keras.utils.set_random_seed(3)
    network = model.build(width, sizes or {}, Training(network=Network(**layers), initial_bias=False), 0.1)
    for variable in network.trainable_variables:
        variable.assign(scale * np.array(variable))
    return network


def _inputs(rows: int, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    inputs = {NUMERIC: generator.normal(size=(rows, WIDTH)).astype(np.float32)}
    return inputs | {categorical_key(name): generator.integers(0, values, (rows, 1)) for name, values in sizes.items()}


def _log_odds(network: keras.Model, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    probability = network(dict(inputs), training=False).numpy()[:, 0].astype(np.float64)
    return np.log(probability / (1 - probability))


def _baseline(sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    zeros = {NUMERIC: np.zeros((1, WIDTH), np.float32)}
    return zeros | {categorical_key(name): np.array([[values - 1]]) for name, values in sizes.items()}


def _traced(explanation: IntegratedGradients, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """As in the SavedModel: step by step in Python it would take seconds."""
    return tf.function(explanation, autograph=False)(inputs).numpy()


@pytest.mark.parametrize("batch_normalization", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_contributions_add_up_to_the_log_odds_less_the_baselines(activation: str, batch_normalization: bool) -> None:
    network = _network(
        sizes=CATEGORIES, units=(8, 5), activation=activation, batch_normalization=batch_normalization, dropout=0.3
    )
    inputs = _inputs(20, CATEGORIES)
    explanation = IntegratedGradients(network, WITH_CATEGORIES, Features(), raw_spec(WITH_CATEGORIES, GAPS))
    assert explanation.features == ("when", "age", "balance", "euros", "card", "merchant")
    shares = _traced(explanation, inputs)
    assert (shares.dtype, shares.shape) == (np.float32, (20, 6))
    expected = _log_odds(network, inputs) - _log_odds(network, _baseline(CATEGORIES))
    assert np.ptp(expected) > 1
    assert shares.sum(axis=1) == pytest.approx(expected, rel=1e-2, abs=1e-2)
    # every column has its part
    assert (np.abs(shares).max(axis=0) > 0.01).all()


def test_of_a_linear_network_a_share_is_weight_times_value() -> None:
    network = _network(units=(4,), activation="tanh")
    network.layers[1].activation = keras.activations.linear
    inputs = _inputs(10, {})
    (first, _), (last, _) = (layer.get_weights() for layer in network.layers if isinstance(layer, keras.layers.Dense))
    parts = inputs[NUMERIC] * (first @ last)[:, 0]
    explanation = IntegratedGradients(network, COLUMNS, Features(), raw_spec(COLUMNS, GAPS), steps=2)
    age, balance, euros, no_balance, sine, cosine = parts.T
    expected = np.stack([sine + cosine, age, balance + no_balance, euros], axis=1)
    assert explanation.features == ("when", "age", "balance", "euros")
    assert _traced(explanation, inputs) == pytest.approx(expected, abs=1e-5)


def test_a_transaction_like_the_baseline_has_no_contributions() -> None:
    network = _network(sizes=CATEGORIES, units=(8,))
    explanation = IntegratedGradients(network, WITH_CATEGORIES, Features(), raw_spec(WITH_CATEGORIES, GAPS))
    assert not _traced(explanation, _baseline(CATEGORIES)).any()
    # nor of the one category that it has in common with it
    alike = {**_inputs(4, CATEGORIES), categorical_key("card"): np.full((4, 1), CATEGORIES["card"] - 1)}
    shares = _traced(explanation, alike)
    assert [name for name, column in zip(explanation.features, shares.T, strict=True) if not column.any()] == ["card"]


def test_categories_alone_are_explained() -> None:
    columns = Columns(label="fraud", categorical={"card": "string"})
    network = _network(1, {"card": 5}, units=(4,), scale=5)
    inputs = {NUMERIC: np.zeros((5, 1), np.float32), categorical_key("card"): np.arange(5)[:, None]}
    explanation = IntegratedGradients(network, columns, Features(), raw_spec(columns))
    assert explanation.features == ("card",)
    log_odds = _log_odds(network, inputs)
    assert _traced(explanation, inputs)[:, 0] == pytest.approx(log_odds - log_odds[-1], rel=1e-2, abs=1e-3)


def test_a_time_that_is_not_used_is_not_explained() -> None:
    features = Features(use_time=False)
    explanation = IntegratedGradients(_network(4, units=(3,)), COLUMNS, features, raw_spec(COLUMNS, GAPS))
    assert explanation.features == ("age", "balance", "euros")
    assert "hour" not in explanation.method


def test_a_network_for_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="the columns give 6 numeric features, the network takes 5"):
        IntegratedGradients(_network(5, units=(3,)), COLUMNS, Features(), raw_spec(COLUMNS, GAPS))


def test_the_method_names_itself_and_where_it_starts() -> None:
    def method(columns: Columns, sizes: Mapping[str, int], width: int, **features: Any) -> str:
        network = _network(width, sizes, units=(3,))
        return IntegratedGradients(network, columns, Features(**features), raw_spec(columns, GAPS), steps=50).method

    assert method(WITH_CATEGORIES, CATEGORIES, WIDTH) == (
        "Integrated gradients (Sundararajan, Taly and Yan, 2017) of the log-odds of the score before calibration, in "
        "50 steps from a transaction in which every number is at its mean (zero once standardized, of the amount in "
        "its logarithm), the hour is unknown and every category is missing."
    )
    assert method(COLUMNS, {}, 4, scaling="unit_norm", use_time=False).endswith(
        "from a transaction in which every number is zero, which no row of length 1 is."
    )


# Served


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, IntegratedGradients, Any]:
    """A network, what explains it, and the SavedModel of both, loaded."""
    settings, transform = SHOP_SETTINGS, shop().transform
    sizes = categories(transform, settings.columns, settings.features)
    network = _network(8, sizes, units=(6,), dropout=0.1)
    explanation = IntegratedGradients(network, settings.columns, settings.features, transform.raw_feature_spec())
    folder = tmp_path_factory.mktemp("explained") / "1"
    decision = Decision("threshold", 0.5, Costs())
    export.save(network, transform, settings.columns, Calibration(), decision, str(folder), explanation)
    return network, explanation, tf.saved_model.load(str(folder))


def test_the_saved_model_explains_serialized_examples(saved: tuple[keras.Model, IntegratedGradients, Any]) -> None:
    network, explanation, loaded = saved
    rows = shop_rows(30, seed=3)
    examples = [example({name: row[name] for name in SHOP_SETTINGS.columns.raw_kinds}) for row in rows]
    answers = loaded.signatures["explain"](tf.constant(examples))
    assert list(answers) == ["attributions"]
    shares = answers["attributions"].numpy()
    assert explanation.features == (
        *("when", "age", "balance", "limit", "euros"),
        *("card type", "merchant", "terminal"),
    )
    inputs = {key: value for key, value in apply(shop().transform, rows).items() if key not in (LABEL, WEIGHT)}
    assert shares == pytest.approx(_traced(explanation, inputs), abs=1e-5)
    # one baseline for all: what is left of the log-odds is the same
    left = _log_odds(network, inputs) - shares.sum(axis=1)
    assert np.ptp(left) < 1e-2 < np.ptp(_log_odds(network, inputs))
    of = dict(zip(explanation.features, shares.T, strict=True))
    missing = [row["card type"] is None for row in rows]
    assert any(missing)
    assert (of["card type"] == 0).tolist() == missing
    assert (of["when"] == 0).tolist() == [row["when"] is None for row in rows]
    # no limit is known: what its indicator says is the same for all of them
    assert of["limit"].any()


def test_no_transaction_has_no_explanation(saved: tuple[keras.Model, IntegratedGradients, Any]) -> None:
    answers = saved[2].signatures["explain"](tf.constant([], tf.string))
    assert answers["attributions"].shape == (0, 8)


def test_a_model_without_an_explanation_has_no_signature_for_one(tmp_path: Path) -> None:
    columns = SHOP_SETTINGS.columns
    network = _network(8, categories(shop().transform, columns, SHOP_SETTINGS.features), units=(2,))
    module = export.ServingModule(
        network, shop().transform, columns, Calibration(), Decision("threshold", 0.5, Costs())
    )
    assert sorted(module.entry_points()) == ["serving_default", "serving_raw"]
