"""TFX Trainer's entry point, on a few hundred rows."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.small_data import SHOP_SETTINGS, fn_args, shop, shop_rows, write
from trainer import data, fitting, training
from trainer.custom_config import TrainerSettings
from trainer.decision.calibration import Calibration
from trainer.decision.costs import Costs
from trainer.decision.rule import choose
from trainer.decision.settings import CalibrationSettings, DecisionSettings
from trainer.features import NUMERIC
from trainer.metrics import Ranking, bootstrap
from trainer.preprocessing import categories

pytestmark = pytest.mark.xdist_group("shop")


def test_the_network_fits_what_transform_gives() -> None:
    prepared = shop()
    rows = data.load([write(prepared.rows, prepared.folder / "all.gz")], prepared.transform, SHOP_SETTINGS.columns)
    sizes = categories(prepared.transform, SHOP_SETTINGS.columns, SHOP_SETTINGS.features)
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


PARTS = ("features", "training", "calibration", "costs", "decision", "eval_share", "manifest")


def _run(folder: Path, settings: TrainerSettings, hyperparameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """The manifest that `run_fn` leaves in `folder`/model."""
    best = None if hyperparameters is None else {"values": hyperparameters}
    training.run_fn(fn_args(folder, 160, settings.to_custom_config(*PARTS), hyperparameters=best))
    return json.loads((folder / "model" / "assets.extra" / "manifest.json").read_text())


SETTINGS = SHOP_SETTINGS.model_copy(
    update={"calibration": CalibrationSettings(method="platt", folds=4), "costs": Costs(review=1.5), "eval_share": 0.5}
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a run with the threshold left to it, and its manifest."""
    folder = tmp_path_factory.mktemp("run")
    return folder, _run(folder, SETTINGS)


def test_a_run_exports_the_network_it_fitted_with_what_it_decides_by(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, manifest = finished
    rows = [record.numpy() for record in tf.data.TFRecordDataset(str(folder / "eval.gz"), compression_type="GZIP")]
    served = tf.saved_model.load(str(folder / "model")).signatures["serving_default"](tf.constant(rows))
    score, probability = served["score"].numpy(), served["probability"].numpy()
    labels, weights, amounts = (
        np.array([row[name] for row in shop_rows(80, seed=2)]) for name in ("fraud", "example_weight", "euros")
    )
    ranking = Ranking.from_scores(labels, score, weights)
    assert ranking.average_precision() == pytest.approx(manifest["eval_average_precision"], abs=1e-5)
    ends = (manifest["eval_average_precision_lower"], manifest["eval_average_precision_upper"])
    assert ends == pytest.approx(bootstrap(labels, score, weights)["average_precision"], abs=1e-4)

    calibration = manifest["calibration"]
    assert (calibration["method"], calibration["folds"], set(calibration["brier"])) == (
        "platt",
        4,
        {"none", "platt", "isotonic"},
    )
    expected = Calibration(calibration["method"], slope=calibration["slope"], intercept=calibration["intercept"])
    assert probability == pytest.approx(expected(score), abs=1e-6)
    assert np.average(probability, weights=weights) == pytest.approx(np.average(labels, weights=weights), rel=0.02)

    again = choose(
        SETTINGS.decision,
        SETTINGS.costs,
        labels,
        probability,
        amounts,
        weights,
        manifest["decision"]["expected"]["days"],
    )
    assert manifest["threshold"] == manifest["decision"]["threshold"] == pytest.approx(again.threshold, abs=1e-5)
    assert manifest["decision"]["expected"] == pytest.approx(again.expected, rel=1e-5)
    assert served["decision"].numpy().tolist() == again.stops(probability, amounts).astype(int).tolist()
    assert set(served["threshold_version"].numpy()) == {manifest["decision"]["version"].encode()}
    assert 0 < served["decision"].numpy().sum() < 80


def test_an_id_changes_no_bit_of_the_model_and_is_no_input(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, manifest = finished
    named = SETTINGS.model_copy(update={"columns": SETTINGS.columns.model_copy(update={"id": "payment"})})
    arguments = fn_args(tmp_path, 160, named.to_custom_config(*PARTS))
    for name, count, seed in (("train", 160, 1), ("eval", 80, 2)):
        rows = [{**row, "payment": f"{place:06d}"} for place, row in enumerate(shop_rows(count, seed))]
        write(rows, tmp_path / f"{name}.gz")
    training.run_fn(arguments)
    with_id = json.loads((tmp_path / "model" / "assets.extra" / "manifest.json").read_text())
    assert with_id.pop("columns") == {**manifest["columns"], "id": "payment"}
    assert with_id == {key: value for key, value in manifest.items() if key != "columns"}

    plain, model = (tf.saved_model.load(str(each / "model")) for each in (folder, tmp_path))
    assert {name: call.structured_input_signature for name, call in model.signatures.items()} == {
        name: call.structured_input_signature for name, call in plain.signatures.items()
    }
    without, records = (
        [record.numpy() for record in tf.data.TFRecordDataset(str(each / "eval.gz"), compression_type="GZIP")]
        for each in (folder, tmp_path)
    )
    assert all(b"payment" in record for record in records)
    for signature in ("serving_default", "explain"):
        expected = plain.signatures[signature](tf.constant(without))
        for rows in (without, records):
            answers = model.signatures[signature](tf.constant(rows))
            assert {name: answer.numpy().tolist() for name, answer in answers.items()} == {
                name: answer.numpy().tolist() for name, answer in expected.items()
            }


def test_a_part_of_every_day_counts_as_so_many_days(finished: tuple[Path, dict[str, Any]]) -> None:
    _, manifest = finished
    # from the first to the last of March, at half past some hour; eval is half of that
    times = [datetime.fromisoformat(row["when"]) for row in shop_rows(80, seed=2) if row["when"]]
    assert manifest["decision"]["expected"]["days"] == pytest.approx((max(times) - min(times)) / timedelta(days=2))


def test_the_manifest_says_what_the_model_was_made_from(finished: tuple[Path, dict[str, Any]]) -> None:
    _, manifest = finished
    assert manifest["data"] == {"name": "shop"}
    settings = {key: manifest[key] for key in ("columns", "features", "training")}
    assert TrainerSettings.model_validate({**settings, "costs": manifest["decision"]["costs"]}) == TrainerSettings(
        **{key: getattr(SETTINGS, key) for key in ("columns", "features", "training", "costs")}
    )
    assert (manifest["decision"]["by"], manifest["decision"]["note"]) == ("threshold", "")
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
        update={
            "training": SHOP_SETTINGS.training.model_copy(update={"epochs": 1}),
            "calibration": CalibrationSettings(method="none"),
            "decision": DecisionSettings(threshold=0.3),
        }
    )
    manifest = _run(tmp_path, fixed, {"layers": 2, "units": 8, "dropout": 0.0, "learning_rate": 0.125})
    assert manifest["threshold"] == manifest["decision"]["threshold"] == 0.3
    assert manifest["calibration"] == {"method": "none", "brier": {}, "folds": 0, "note": ""}
    assert manifest["epochs"] == 1
    assert manifest["training"]["network"]["units"] == [8, 4]
    assert manifest["training"]["learning_rate"] == 0.125
