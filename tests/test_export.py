"""The SavedModel: what is served is what was trained, from any raw row."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.small_data import SHOP_SETTINGS, Row, apply, example, shop, shop_rows
from trainer import export, model
from trainer.columns import EXAMPLE_WEIGHT, identifier
from trainer.decision.calibration import Calibration
from trainer.decision.costs import Costs
from trainer.decision.rule import Decision
from trainer.features import LABEL, WEIGHT
from trainer.manifest import write_manifest
from trainer.preprocessing import categories
from trainer.settings import Training

pytestmark = pytest.mark.xdist_group("shop")

PLATT = Calibration("platt", slope=1.5, intercept=-0.2)
DECISION = Decision("threshold", 0.45, Costs(), version="0123456789ab")
KINDS = SHOP_SETTINGS.columns.raw_kinds
_MISSING = {"float": math.nan, "integer": -(2**63), "string": ""}
_DTYPES = {"float": tf.float32, "integer": tf.int64, "string": tf.string}


@dataclass(frozen=True)
class Served:
    """A network and the SavedModel that was made of it, far from where it was made."""

    network: keras.Model
    folder: Path
    loaded: Any

    def examples(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """Answers of serving_default to rows without label and weight."""
        serialized = [example({name: row[name] for name in KINDS}) for row in rows]
        return _numpy(self.loaded.signatures["serving_default"](tf.constant(serialized, tf.string)))

    def raw(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """Answers of serving_raw."""
        return _numpy(self.loaded.signatures["serving_raw"](**tensors(rows)))


def tensors(rows: Sequence[Row]) -> dict[str, tf.Tensor]:
    """[batch] for each column of the shop; what stands for "missing" where a row has None."""
    return {
        identifier(name): tf.constant(
            [_MISSING[kind] if row[name] is None else row[name] for row in rows], _DTYPES[kind], [len(rows)]
        )
        for name, kind in KINDS.items()
    }


def _numpy(answers: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in answers.items()}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    prepared = shop()
    keras.utils.set_random_seed(1)
    sizes = categories(prepared.transform, SHOP_SETTINGS.columns, SHOP_SETTINGS.features)
    network = model.build(8, sizes, Training(initial_bias=False), 0.1)
    made, moved = tmp_path_factory.mktemp("made") / "model", tmp_path_factory.mktemp("moved") / "1"
    export.save(network, prepared.transform, SHOP_SETTINGS.columns, PLATT, DECISION, str(made))
    shutil.move(made, moved)
    return Served(network, moved, tf.saved_model.load(str(moved)))


def scores(network: keras.Model, rows: Sequence[Row]) -> np.ndarray:
    """What the network makes of the rows, float32 [n]."""
    features = apply(shop().transform, rows)
    return network({key: value for key, value in features.items() if key not in (LABEL, WEIGHT)}).numpy()[:, 0]


def test_the_served_score_is_the_networks_on_transformed_rows(served: Served) -> None:
    rows = shop_rows(50, seed=3)
    expected, answers = scores(served.network, rows), served.examples(rows)
    assert answers["score"] == pytest.approx(expected, abs=1e-6)
    assert np.ptp(expected) > 0.05
    assert answers["probability"] == pytest.approx(PLATT(expected), abs=1e-6)
    assert answers["decision"].tolist() == DECISION.stops(answers["probability"], None).astype(int).tolist()
    assert set(answers["decision"].tolist()) == {0, 1}


def test_answers_have_the_promised_types(served: Served) -> None:
    rows = shop_rows(3, seed=3)
    for answers in (served.examples(rows), served.raw(rows)):
        assert {name: (answer.dtype.kind, answer.dtype.itemsize) for name, answer in answers.items()} == {
            "score": ("f", 4),
            "probability": ("f", 4),
            "decision": ("i", 8),
            "threshold_version": ("O", 8),
        }
        assert {answer.shape for answer in answers.values()} == {(3,)}
        assert answers["threshold_version"].tolist() == [DECISION.version.encode()] * 3


def test_serving_raw_takes_the_columns_by_name_without_label_and_weight(served: Served) -> None:
    signature = served.loaded.signatures["serving_raw"].structured_input_signature[1]
    assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in signature.items()} == {
        "when": (tf.string, [None]),
        "euros": (tf.float32, [None]),
        "age": (tf.float32, [None]),
        "balance": (tf.float32, [None]),
        "limit": (tf.float32, [None]),
        "card_20_type": (tf.string, [None]),
        "merchant": (tf.int64, [None]),
        "terminal": (tf.int64, [None]),
    }
    assert {SHOP_SETTINGS.columns.label, EXAMPLE_WEIGHT}.isdisjoint(signature)


def test_a_label_and_a_weight_that_come_along_change_nothing(served: Served) -> None:
    rows = shop_rows(10, seed=4)
    labelled = served.loaded.signatures["serving_default"](tf.constant([example(row) for row in rows]))
    np.testing.assert_array_equal(labelled["probability"].numpy(), served.examples(rows)["probability"])


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "age": st.floats(-1e6, 1e6, width=32),
            "euros": st.floats(width=32, allow_nan=False),
            "balance": st.none() | st.floats(width=32),
            "limit": st.none() | st.floats(width=32),
            "when": st.none() | st.datetimes().map(lambda moment: moment.isoformat()) | st.text(max_size=8),
            "card type": st.none() | st.sampled_from(["gold", "blue", "green", "virtual"]) | st.text(max_size=8),
            "merchant": st.none() | st.integers(-2, 9) | st.integers(-(2**63) + 1, 2**63 - 1),
            "terminal": st.integers(0, 3),
        }
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_both_signatures_give_the_same_answers(served: Served, rows: list[Row]) -> None:
    by_example, by_column = served.examples(rows), served.raw(rows)
    assert by_column["probability"] == pytest.approx(by_example["probability"], abs=1e-6)
    assert ((by_example["probability"] >= 0) & (by_example["probability"] <= 1)).all()


@pytest.mark.parametrize("column", ["when", "balance", "limit", "card type", "merchant"])
def test_nan_empty_text_and_the_lowest_integer_mean_missing(served: Served, column: str) -> None:
    present = {**shop_rows(1, seed=3)[0], "when": "2024-03-01T06:00", "balance": 0.9, "limit": 1.0}
    present |= {"card type": "blue", "merchant": 2}
    missing = {**present, column: None}
    by_column = served.raw([present, missing])["probability"]
    assert by_column == pytest.approx(served.examples([present, missing])["probability"], abs=1e-6)
    assert by_column[0] != by_column[1]
    assert served.raw([missing] * 2)["probability"] == pytest.approx([by_column[1]] * 2, abs=1e-6)


def test_a_batch_of_one_is_answered_as_in_a_batch_of_many(served: Served) -> None:
    rows = shop_rows(20, seed=6)
    for answer in (served.examples, served.raw):
        many = answer(rows)["probability"]
        assert [answer([row])["probability"].item() for row in rows] == pytest.approx(many.tolist(), abs=1e-6)


def test_a_batch_of_none_is_answered_with_nothing(served: Served) -> None:
    for answer in (served.examples, served.raw):
        answers = answer([])
        assert answers["probability"].shape == answers["decision"].shape == (0,)


def answers(served: Served, calibration: Calibration, decision: Decision, rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Of the same network with another calibration and decision."""
    module = export.ServingModule(served.network, shop().transform, SHOP_SETTINGS.columns, calibration, decision)
    return _numpy(module.score_examples(tf.constant([example(row) for row in rows])))


def test_a_probability_at_the_threshold_is_stopped(served: Served) -> None:
    rows = shop_rows(5, seed=3)
    middle = float(np.sort(answers(served, PLATT, DECISION, rows)["probability"])[2])
    for threshold, stopped in ((0.0, 5), (middle, 3), (2.0, 0)):
        decision = Decision("threshold", threshold, Costs())
        assert answers(served, PLATT, decision, rows)["decision"].sum() == stopped


@pytest.mark.parametrize(
    "calibration",
    [Calibration(), Calibration("isotonic", scores=(0.2, 0.4, 0.41, 0.6), probabilities=(0.01, 0.011, 0.3, 0.9))],
    ids=["none", "isotonic"],
)
def test_probabilities_and_decisions_by_amount_are_those_of_numpy(served: Served, calibration: Calibration) -> None:
    decision = Decision("amount", 0.35, Costs(review=5, declined=0.1), version="by amount")
    rows = [{**row, "euros": amount} for row in shop_rows(8, seed=3) for amount in (0.0, 7.0, 15.0, 40.0, -40.0, 1e6)]
    rows += [{**row, "euros": math.nan} for row in shop_rows(8, seed=3)]
    outputs = answers(served, calibration, decision, rows)
    amounts = np.array([row["euros"] for row in rows], np.float32)
    assert outputs["probability"] == pytest.approx(calibration(outputs["score"]), abs=1e-7)
    stopped = decision.stops(outputs["probability"], amounts)
    assert outputs["decision"].tolist() == stopped.astype(int).tolist()
    assert outputs["threshold_version"].tolist() == [b"by amount"] * len(rows)
    assert not stopped[amounts == 0].any()
    assert 0 < stopped[amounts == 15].sum() < 8
    assert stopped[np.isnan(amounts)].tolist() == (outputs["probability"][np.isnan(amounts)] >= 0.35).tolist()


_TENSORFLOW_ALONE = """
import json, sys
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
columns, examples = json.loads(sys.stdin.read())
raw = loaded.signatures["serving_raw"]
kinds = raw.structured_input_signature[1]
answers = raw(**{name: tf.constant(values, kinds[name].dtype) for name, values in columns.items()})
default = loaded.signatures["serving_default"](tf.constant([bytes.fromhex(text) for text in examples]))
print(json.dumps({
    "raw": answers["probability"].numpy().tolist(),
    "default": default["probability"].numpy().tolist(),
    "versions": [version.decode() for version in default["threshold_version"].numpy()],
    "decision": default["decision"].numpy().tolist(),
    "imported": [name for name in ("tensorflow_transform", "trainer", "tfx", "tensorflow_text") if name in sys.modules],
}))
"""


def test_tensorflow_alone_serves_the_model(served: Served, tmp_path: Path) -> None:
    rows = shop_rows(20, seed=7)
    columns = {
        name: [value.decode() if isinstance(value, bytes) else value for value in column.numpy().tolist()]
        for name, column in tensors(rows).items()
    }
    done = subprocess.run(
        [sys.executable, "-c", _TENSORFLOW_ALONE, str(served.folder)],
        input=json.dumps([columns, [example(row).hex() for row in rows]]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    expected = served.examples(rows)
    assert answers["imported"] == []
    assert answers["versions"] == [DECISION.version] * 20
    assert answers["raw"] == pytest.approx(expected["probability"].tolist(), abs=1e-6)
    assert answers["default"] == pytest.approx(expected["probability"].tolist(), abs=1e-6)
    assert answers["decision"] == expected["decision"].tolist()


def test_a_manifest_lies_where_saved_models_keep_what_is_not_theirs(tmp_path: Path) -> None:
    write_manifest(str(tmp_path / "model"), {"threshold": 0.25, "columns": {"label": "größe"}})
    text = (tmp_path / "model" / "assets.extra" / "manifest.json").read_text()
    assert json.loads(text) == {"threshold": 0.25, "columns": {"label": "größe"}}
