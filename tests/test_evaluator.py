"""The Evaluator on two small SavedModels: TFMA judges, and the verdict says why in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from sklearn.metrics import average_precision_score, roc_auc_score
from tfx.types import artifact_utils, channel_utils, standard_artifacts

from components.evaluator import Executor, FraudEvaluator, Verdict, eval_config
from components.fraud_metrics import METRICS
from components.settings import AVERAGE_PRECISION_PROPERTY, FEATURES_PROPERTY, EvaluationSettings
from trainer import examples as example_files
from trainer.columns import EXAMPLE_WEIGHT, Columns

BEAM = ["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"]
COLUMNS = Columns(label="fraud", numeric=("good", "worse", "poor"), amount="euros", time="when")
SETTINGS = EvaluationSettings(min_average_precision=0.6, min_roc_auc=0.9, max_average_precision_loss=0.05)
ROWS = 300


class Scored(tf.Module):
    """A model that finds its answer in a column of the transaction."""

    def __init__(self, column: str):
        super().__init__()
        self._spec = {column: tf.io.FixedLenFeature([1], tf.float32)}
        self._column = column

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False)
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        probability = tf.io.parse_example(examples, self._spec)[self._column][:, 0]
        return {"probability": probability, "decision": tf.cast(probability >= 0.5, tf.int64)}


def scores(seed: int, labels: np.ndarray, spread: float) -> np.ndarray:
    noisy = labels + np.random.default_rng(seed).normal(0, spread, len(labels))
    return (1 / (1 + np.exp(-noisy))).astype(np.float32)


class Judged:
    """The test split, the models that read its columns, and the executor that TFX would start."""

    def __init__(self, folder: Path, labels: np.ndarray):
        self.labels = labels
        self.weights = np.where(labels, 1, 5).astype(np.float32)
        self.columns = {
            name: scores(3, labels, spread) for name, spread in (("good", 0.3), ("worse", 0.36), ("poor", 3.0))
        }
        generator = np.random.default_rng(4)
        self.amounts = generator.choice([5.0, 50.0, 500.0, 5000.0], len(labels)).astype(np.float32)
        self.times = generator.integers(0, 172_800, len(labels)).astype(np.float32)
        self._folder = folder
        self._runs = 0
        self.examples = standard_artifacts.Examples()
        self.examples.uri = str(folder / "examples")
        self.examples.split_names = artifact_utils.encode_split_names(["train", "eval", "test"])
        self.examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
        split = folder / "examples" / "Split-test"  # there is no other: none may be looked for
        split.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(split / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
            for row in range(len(labels)):
                floats = {EXAMPLE_WEIGHT: self.weights[row], "euros": self.amounts[row], "when": self.times[row]}
                floats |= {name: at[row] for name, at in self.columns.items()}
                feature = {n: tf.train.Feature(float_list=tf.train.FloatList(value=[v])) for n, v in floats.items()}
                feature["fraud"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[int(labels[row])]))
                writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
        kinds = {**dict.fromkeys([*self.columns, EXAMPLE_WEIGHT, "euros", "when"], "float"), "fraud": "integer"}
        self.examples.set_string_custom_property(FEATURES_PROPERTY, json.dumps(kinds))

    def model(self, column: str | None, version: str = "") -> standard_artifacts.Model:
        """A Model artifact; empty, as CurrentModel leaves it, for None."""
        artifact = standard_artifacts.Model()
        artifact.uri = str(self._folder / f"model_{column}")
        artifact.set_string_custom_property("version", version)
        if column and not Path(artifact.uri).exists():
            module = Scored(column)
            tf.saved_model.save(module, f"{artifact.uri}/Format-Serving", signatures={"serving_default": module.score})
        return artifact

    def evaluate(
        self, candidate: str, current: str | None = None, version: str = "", settings: EvaluationSettings = SETTINGS
    ) -> tuple[Verdict, standard_artifacts.ModelBlessing, standard_artifacts.ModelEvaluation]:
        model, baseline = self.model(candidate), self.model(current, version)
        inputs: dict[str, list[Any]] = {
            "examples": [self.examples],
            "model": [model],
            "baseline_model": [baseline],
        }
        channels = {key: channel_utils.as_channel(artifacts) for key, artifacts in inputs.items()}
        component = FraudEvaluator(
            examples=channels["examples"],
            model=channels["model"],
            current=channels["baseline_model"],
            columns=COLUMNS,
            settings=settings,
            source="",
        )
        self._runs += 1
        folder = self._folder / f"run_{self._runs}"
        evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
        evaluation.uri, blessing.uri = str(folder / "evaluation"), str(folder / "blessing")
        context = Executor.Context(beam_pipeline_args=BEAM, tmp_dir=str(folder / "tmp"), unique_id="1")
        properties = {key: value for key, value in component.exec_properties.items() if value is not None}
        Executor(context).Do(inputs, {"evaluation": [evaluation], "blessing": [blessing]}, properties)
        assert list(inputs) == ["examples", "model", "baseline_model"]  # the caller's, as it was
        return Verdict.load(evaluation.uri), blessing, evaluation

    def average_precision(self, column: str) -> float:
        return average_precision_score(self.labels, self.columns[column], sample_weight=self.weights)

    def roc_auc(self, column: str) -> float:
        return roc_auc_score(self.labels, self.columns[column], sample_weight=self.weights)


@pytest.fixture(scope="module", autouse=True)
def _no_arguments() -> Iterator[None]:
    """TFX's Beam executors read the flags of the process: `-v` means another thing to them than to pytest."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", sys.argv[:1])
        yield


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    labels = (np.arange(ROWS) % 10 == 0).astype(np.int64)
    return Judged(tmp_path_factory.mktemp("judged"), labels)


def test_a_good_model_is_blessed_where_nothing_is_in_service(judged: Judged) -> None:
    verdict, blessing, evaluation = judged.evaluate("good")
    assert verdict.blessed
    assert verdict.reasons == ()
    assert blessing.get_int_custom_property("blessed") == 1
    assert (verdict.current_version, verdict.current_metrics) == ("", {})
    assert verdict.metrics["average_precision"] == pytest.approx(judged.average_precision("good"), abs=1e-6)
    assert verdict.metrics["roc_auc"] == pytest.approx(judged.roc_auc("good"), abs=1e-6)
    assert verdict.metrics["weighted_example_count"] == pytest.approx(judged.weights.sum())
    assert evaluation.get_float_custom_property(AVERAGE_PRECISION_PROPERTY) == verdict.metrics["average_precision"]


def test_each_slice_has_the_figures_that_tfma_finds_row_by_row(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example_files, "batch_rows", lambda features: 70)  # slices go through several batches
    verdict, _, _ = judged.evaluate("worse", current="good", version="17")
    frame = pd.DataFrame({"label": judged.labels, "score": judged.columns["worse"], "weight": judged.weights})
    frame["amount"] = [f"{amount:g}" for amount in judged.amounts]
    frame["hours"] = [f"{int(time % 86_400 // 21_600)}" for time in judged.times]
    config = tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(label_key="label", prediction_key="score", example_weight_key="weight")],
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[key]) for key in ("amount", "hours"))],
        metrics_specs=[
            tfma.MetricsSpec(metrics=[tfma.MetricConfig(class_name=m.__name__, module=m.__module__) for m in METRICS])
        ],
    )
    named = {
        **{"5": "below 10", "50": "10 to 100", "500": "100 to 1,000", "5000": "1,000 and more"},
        **{"0": "00 to 06", "1": "06 to 12", "2": "12 to 18", "3": "18 to 24"},
    }
    expected: dict[str, dict[str, dict[str, float]]] = {}
    for slice_key, metrics in tfma.analyze_raw_data(frame, config).slicing_metrics:
        figures = {name: value["doubleValue"] for name, value in metrics[""][""].items()}
        if slice_key:
            ((name, value),) = slice_key
            expected.setdefault(name, {})[named[value]] = figures
        else:
            overall = figures
    assert {name: set(values) for name, values in verdict.slices.items()} == {
        name: set(values) for name, values in expected.items()
    }
    for found, wanted in [
        (verdict.metrics, overall),
        *((verdict.slices[name][value], expected[name][value]) for name in expected for value in expected[name]),
    ]:
        for name, figure in wanted.items():
            assert found[name] == pytest.approx(figure, abs=1e-6), name
    counts = [values["transactions"] for values in verdict.slices["amount"].values()]
    assert sum(counts) == ROWS


def test_below_the_thresholds_each_one_is_a_sentence(judged: Judged) -> None:
    precision, area = judged.average_precision("poor"), judged.roc_auc("poor")
    assert precision < 0.6
    assert area < 0.9
    verdict, blessing, evaluation = judged.evaluate("poor")
    assert not verdict.blessed
    assert sorted(verdict.reasons) == [
        f"average precision is {precision:.3f} on the test split, below the least that was set, 0.6",
        f"roc auc is {area:.3f} on the test split, below the least that was set, 0.9",
    ]
    assert blessing.get_int_custom_property("blessed") == 0
    assert evaluation.get_float_custom_property(AVERAGE_PRECISION_PROPERTY) == pytest.approx(precision, abs=1e-6)


def test_a_model_that_loses_too_much_against_the_one_in_service_is_not_blessed(judged: Judged) -> None:
    worse, good = judged.average_precision("worse"), judged.average_precision("good")
    assert 0.6 < worse < good - 0.05
    verdict, blessing, _ = judged.evaluate("worse", current="good", version="17")
    assert not verdict.blessed
    assert verdict.reasons == (
        f"average precision is {worse:.3f} on the test split, more than 0.05 below the {good:.3f} "
        "of the model in service",
    )
    assert blessing.get_int_custom_property("blessed") == 0
    assert verdict.current_version == "17"
    assert verdict.metrics["average_precision"] == pytest.approx(worse, abs=1e-6)
    assert verdict.current_metrics["average_precision"] == pytest.approx(good, abs=1e-6)


def test_a_loss_within_what_is_allowed_is_blessed(judged: Judged) -> None:
    loss = judged.average_precision("good") - judged.average_precision("worse")
    allowed = SETTINGS.model_copy(update={"max_average_precision_loss": loss + 0.001})
    verdict, blessing, _ = judged.evaluate("worse", current="good", version="17", settings=allowed)
    assert verdict.blessed
    assert verdict.reasons == ()
    assert blessing.get_int_custom_property("blessed") == 1
    assert verdict.current_metrics["roc_auc"] == pytest.approx(judged.roc_auc("good"), abs=1e-6)


def test_without_a_fraud_the_figures_are_none_and_nothing_is_blessed(tmp_path: Path) -> None:
    verdict, blessing, evaluation = Judged(tmp_path, np.zeros(40, np.int64)).evaluate("good")
    assert not verdict.blessed
    assert blessing.get_int_custom_property("blessed") == 0
    assert {verdict.metrics[name] for name in ("average_precision", "average_precision_lower", "roc_auc")} == {None}
    assert verdict.metrics["weighted_example_count"] == 200
    assert sorted(verdict.reasons) == [
        "average precision is not defined on the test split, below the least that was set, 0.6",
        "roc auc is not defined on the test split, below the least that was set, 0.9",
    ]
    assert not evaluation.has_custom_property(AVERAGE_PRECISION_PROPERTY)


def test_a_verdict_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    verdict = Verdict(False, ("too low", "too late"), {"average_precision": None, "roc_auc": 0.5}, {}, "", {})
    verdict.save(str(tmp_path))
    assert Verdict.load(str(tmp_path)) == verdict


def test_the_configuration_weighs_examples_and_reads_the_signature_that_serving_calls() -> None:
    (spec,) = eval_config(COLUMNS, SETTINGS).model_specs
    assert (spec.signature_name, spec.label_key) == ("serving_default", "fraud")
    assert (spec.prediction_key, spec.example_weight_key) == ("probability", EXAMPLE_WEIGHT)
