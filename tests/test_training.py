"""TFX Trainer's entry point, on a few hundred rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from small_data import SHOP_SETTINGS, shop, shop_rows, write
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer import data, fitting, training
from trainer.features import NUMERIC
from trainer.metrics import Ranking
from trainer.settings import TrainerSettings


def test_the_network_fits_what_transform_gives() -> None:
    prepared = shop()
    rows = data.load([write(prepared.rows, prepared.folder / "all.gz")], prepared.transform, SHOP_SETTINGS.columns)
    sizes = training.categories(prepared.transform, SHOP_SETTINGS.columns, SHOP_SETTINGS.features)
    # a vocabulary cut at 3, or of 2 values; buckets for others; one index for "missing"
    assert sizes == {"card type": 3 + 2 + 1, "merchant": 3 + 2 + 1, "terminal": 2 + 2 + 1}
    network = fitting.build(sizes, SHOP_SETTINGS.training, rows)
    assert network.input[NUMERIC].shape == (None, 8)
    assert network.get_layer("embedding_1").input_dim == 3 + 2 + 1
    assert network.get_layer("embedding_3").input_dim == 2 + 2 + 1
    (bias,) = network.get_layer("probability").get_weights()[1]
    # 20 frauds of weight 1 and 140 legitimate transactions of weight 4
    assert bias == pytest.approx(np.log(20 / 560), abs=1e-5)
    assert fitting.score(network, rows).shape == (160,)


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
    assert len(history["loss"]) == len(history[fitting.OBJECTIVE]) == manifest["epochs"]
    assert max(history[fitting.OBJECTIVE]) == pytest.approx(manifest["eval_average_precision"], abs=1e-6)
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
