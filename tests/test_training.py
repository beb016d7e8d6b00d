"""Fitting, on a few hundred rows."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss
from small_data import SHOP_SETTINGS, separable, shop, shop_rows, write
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer import data, model, training
from trainer.data import Transactions
from trainer.metrics import Ranking, average_precision
from trainer.preprocessing import NUMERIC
from trainer.settings import Network, TrainerSettings, Training

TRAIN, EVAL = separable(400, seed=1), separable(200, seed=2)
SMALL = Training(
    network=Network(units=(4,), dropout=0.1), learning_rate=0.02, batch_size=64, epochs=3, patience=None, seed=5
)


def _built(told: Training, fraud_rate: float = 0.1) -> keras.Model:
    training.make_reproducible(told.seed)
    network = model.build(3, {}, told, fraud_rate)
    model.compile_model(network, told, -(-len(TRAIN) // told.batch_size))
    return network


def _fit(told: Training, train: Transactions = TRAIN, **how: Any) -> tuple[keras.Model, dict[str, list[float]]]:
    network = _built(told)
    return network, training.fit(network, train, EVAL, told, task="Trainer", **how)


def _same(one: keras.Model, other: keras.Model, tolerance: float = 0.0) -> bool:
    return all(
        np.allclose(a, b, rtol=0, atol=tolerance) for a, b in zip(one.get_weights(), other.get_weights(), strict=True)
    )


def test_two_fits_with_one_seed_give_the_same_weights_and_another_seed_others() -> None:
    first, history = _fit(SMALL)
    second, again = _fit(SMALL)
    assert _same(first, second)
    assert history == again
    other, _ = _fit(SMALL.model_copy(update={"seed": 6}))
    assert not _same(first, other)


def test_fitting_ranks_fraud_first_and_tells_so_each_epoch() -> None:
    told: list[tuple[int, float]] = []
    network, history = _fit(SMALL.model_copy(update={"epochs": 8}), on_epoch=lambda *epoch: told.append(epoch))
    scores = training.score(network, EVAL)
    assert history[training.OBJECTIVE][-1] == average_precision(EVAL.labels, scores, EVAL.weights)
    assert history["val_loss"][-1] == pytest.approx(log_loss(EVAL.labels, scores, sample_weight=EVAL.weights), rel=1e-5)
    assert history[training.OBJECTIVE][-1] > 2 * EVAL.fraud_rate
    assert history["loss"][-1] < history["loss"][0]
    best = np.maximum.accumulate(history[training.OBJECTIVE])
    assert told == list(zip(range(1, 9), best.tolist(), strict=True))
    assert {key: len(values) for key, values in history.items()} == dict.fromkeys(history, 8)


def test_progress_is_reported_where_nobody_else_listens(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="fraud_pipeline.progress"):
        _, history = _fit(SMALL, epochs=2)
    lines = [record.getMessage() for record in caplog.records if record.name == "fraud_pipeline.progress"]
    best = np.maximum.accumulate(history[training.OBJECTIVE])
    assert lines == [f"Trainer {epoch}/2 average precision {best[epoch - 1]:.3f} on eval" for epoch in (1, 2)]


def test_early_stopping_puts_the_best_epochs_weights_back() -> None:
    wild = SMALL.model_copy(update={"learning_rate": 0.5, "epochs": 30})
    stopped, history = _fit(wild, patience=3)
    epochs = len(history["loss"])
    best = int(np.argmax(history[training.OBJECTIVE])) + 1
    assert best == epochs - 3
    until_best, shorter = _fit(wild, epochs=best)
    assert shorter[training.OBJECTIVE] == history[training.OBJECTIVE][:best]
    assert _same(stopped, until_best)
    to_the_end, longer = _fit(wild, epochs=epochs)
    assert longer == history
    assert not _same(stopped, to_the_end)
    last = average_precision(EVAL.labels, training.score(to_the_end, EVAL), EVAL.weights)
    assert last == history[training.OBJECTIVE][-1] <= max(history[training.OBJECTIVE])


def test_a_fraud_counts_as_often_as_the_settings_say() -> None:
    times = np.where(TRAIN.labels > 0, 7, 1).astype(np.float32)
    heavier = Transactions(TRAIN.inputs, TRAIN.labels, times * TRAIN.weights)
    plain = SMALL.model_copy(update={"initial_bias": False})
    by_setting, _ = _fit(plain.model_copy(update={"fraud_weight": 7.0}))
    by_weight, _ = _fit(plain, heavier)
    unweighted, _ = _fit(plain)
    assert _same(by_setting, by_weight, tolerance=1e-5)
    assert not _same(by_setting, unweighted, tolerance=1e-2)
    assert training.score(by_setting, EVAL).mean() > training.score(unweighted, EVAL).mean()


@pytest.mark.parametrize("batch_size", [16, 4096], ids=["many steps an epoch", "one step an epoch"])
def test_a_network_that_diverges_is_an_error_that_names_the_learning_rate(batch_size: int) -> None:
    network = Network(units=(4, 4), activation="relu", dropout=0, weight_decay=0)
    diverging = SMALL.model_copy(update={"network": network, "learning_rate": 1e38, "batch_size": batch_size})
    with pytest.raises(FloatingPointError, match=r"Trainer: the loss is nan after 1 epochs; lower .* got 1e\+38"):
        _fit(diverging)


def test_scores_come_in_chunks_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _built(SMALL)
    whole = training.score(network, EVAL)
    assert whole.shape == (200,)
    assert whole.dtype == np.float32
    monkeypatch.setattr(training, "SCORING_BATCH", 64)
    assert training.score(network, EVAL) == pytest.approx(whole, abs=1e-6)


def test_the_network_fits_what_transform_gives() -> None:
    prepared = shop()
    rows = data.load([write(prepared.rows, prepared.folder / "all.gz")], prepared.transform, SHOP_SETTINGS.columns)
    network = training.build(prepared.transform, SHOP_SETTINGS, SHOP_SETTINGS.training, rows)
    assert network.input[NUMERIC].shape == (None, 8)
    assert network.get_layer("embedding_1").input_dim == 3 + 2 + 1
    assert network.get_layer("embedding_3").input_dim == 2 + 2 + 1
    (bias,) = network.get_layer("probability").get_weights()[1]
    # 20 frauds of weight 1 and 140 legitimate transactions of weight 4
    assert bias == pytest.approx(np.log(20 / 560), abs=1e-5)
    assert training.score(network, rows).shape == (160,)


# TFX's entry point


def _run(folder: Path, settings: TrainerSettings, hyperparameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """The manifest that `run_fn` leaves in `folder`/model."""
    for name in ("model", "run"):
        (folder / name).mkdir()
    training.run_fn(
        FnArgs(
            train_files=[write(shop_rows(160, seed=1), folder / "train.gz")],
            eval_files=[write(shop_rows(80, seed=2), folder / "eval.gz")],
            transform_output=str(shop().folder / "transform"),
            serving_model_dir=str(folder / "model"),
            model_run_dir=str(folder / "run"),
            hyperparameters=None if hyperparameters is None else {"values": hyperparameters},
            custom_config=settings.to_custom_config("source", "features", "training", "manifest"),
        )
    )
    return json.loads((folder / "model" / "assets.extra" / "manifest.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a run with the threshold left to it, and its manifest."""
    folder = tmp_path_factory.mktemp("run")
    return folder, _run(folder, SHOP_SETTINGS)


def test_a_run_exports_the_network_it_fitted_with_its_threshold(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, manifest = finished
    rows = [record.numpy() for record in tf.data.TFRecordDataset(str(folder / "eval.gz"), compression_type="GZIP")]
    served = tf.saved_model.load(str(folder / "model")).signatures["serving_default"](tf.constant(rows))
    labels = np.array([row["fraud"] for row in shop_rows(80, seed=2)])
    weights = np.array([row["example_weight"] for row in shop_rows(80, seed=2)])
    ranking = Ranking.of(labels, served["probability"].numpy(), weights)
    assert ranking.average_precision() == pytest.approx(manifest["eval_average_precision"], abs=1e-5)
    assert ranking.best_f1_threshold() == pytest.approx(manifest["threshold"], abs=1e-5)
    flagged = served["probability"].numpy() >= np.float32(manifest["threshold"])
    assert served["decision"].numpy().tolist() == flagged.astype(int).tolist()
    assert 0 < flagged.sum() < 80


def test_the_manifest_says_what_the_model_was_made_from(finished: tuple[Path, dict[str, Any]]) -> None:
    _, manifest = finished
    assert manifest["data"] == {"name": "shop"}
    assert TrainerSettings.model_validate(
        {key: manifest[key] for key in ("columns", "features", "training")}
    ) == TrainerSettings(
        columns=SHOP_SETTINGS.columns, features=SHOP_SETTINGS.features, training=SHOP_SETTINGS.training
    )
    assert 1 <= manifest["epochs"] <= 4
    # three embeddings of widths 5, 5 and 5 for 6, 6 and 5 values; 8 numbers and 15 dimensions to 6 units, and on to 1
    assert manifest["parameters"] == 5 * (6 + 6 + 5) + (8 + 15) * 6 + 6 + 6 + 1
    assert manifest["versions"]["tensorflow"] == tf.__version__


def test_a_run_leaves_curves_for_tensorboard_and_its_history(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, manifest = finished
    history = json.loads((folder / "run" / "history.json").read_text())
    assert len(history["loss"]) == len(history[training.OBJECTIVE]) == manifest["epochs"]
    assert max(history[training.OBJECTIVE]) == pytest.approx(manifest["eval_average_precision"], abs=1e-6)
    assert {path.parent.name for path in folder.glob("run/**/events*")} == {"train", "validation", "hparams"}


def test_what_the_search_found_and_a_fixed_threshold_are_obeyed(tmp_path: Path) -> None:
    fixed = SHOP_SETTINGS.model_copy(
        update={"training": SHOP_SETTINGS.training.model_copy(update={"threshold": 0.3, "epochs": 1})}
    )
    manifest = _run(tmp_path, fixed, {"layers": 2, "units": 8, "dropout": 0.0, "learning_rate": 0.125})
    assert manifest["threshold"] == 0.3
    assert manifest["epochs"] == 1
    assert manifest["training"]["network"]["units"] == [8, 4]
    assert manifest["training"]["learning_rate"] == 0.125
