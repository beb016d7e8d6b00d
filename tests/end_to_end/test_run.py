"""The whole job on real rows where there are some: what a run prints, pushes, records and leaves in the cache."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from trainer.decision.costs import Costs

COMPONENTS = (
    *("ExampleGen", "StatisticsGen", "ImportSchemaGen", "ExampleValidator", "DataGate", "Transform"),
    *("Challengers", "Tuner", "Trainer", "CurrentModel", "Evaluator", "Pusher", "Report"),
)

# Scores a CSV by a SavedModel with TensorFlow alone; with "examples", by way of serialized tf.Examples.
SCORE = """
import sys
import numpy as np, pandas as pd, tensorflow as tf
model, rows, signature, out = sys.argv[1:]
frame = pd.read_csv(rows).drop(columns="Class")
call = tf.saved_model.load(model).signatures[signature]
if signature == "serving_raw":
    result = call(**{name: tf.constant(frame[name].to_numpy(), tf.float32) for name in frame})
else:
    def example(row):
        feature = {
            name: tf.train.Feature(float_list=tf.train.FloatList(value=[value])) for name, value in row.items()
        }
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    result = call(examples=tf.constant([example(row) for row in frame.to_dict("records")]))
assert not {name for name in sys.modules if name.split(".")[0] in ("tfx", "tensorflow_transform", "keras_tuner")}
texts = {name: value.numpy().astype(str) for name, value in result.items() if value.dtype == tf.string}
np.savez(out, **{name: value.numpy() for name, value in result.items() if name not in texts}, **texts)
"""


def score(model: Path, rows: pd.DataFrame, signature: str, folder: Path) -> dict[str, np.ndarray]:
    rows.to_csv(folder / "rows.csv", index=False)
    command = [sys.executable, "-c", SCORE, str(model), str(folder / "rows.csv"), signature, str(folder / "scores.npz")]
    subprocess.run(command, check=True, timeout=120)
    with np.load(folder / "scores.npz") as scores:
        return dict(scores)


def summary(workspace) -> dict:
    report = Path(workspace.runs()[-1]["report"])
    return json.loads((report.parent / "summary.json").read_text())


def weights(manifest: dict, labels: pd.Series) -> np.ndarray:
    rates = manifest["data"]["sampling_rates"]
    return np.where(labels == 1, 1 / rates["fraud"], 1 / rates["legitimate"])


@pytest.fixture(scope="module")
def manifest(workspace) -> dict:
    return json.loads((workspace.pushed[0] / "assets.extra" / "manifest.json").read_text())


@pytest.fixture(scope="module")
def held_back(workspace, transactions) -> pd.DataFrame:
    """The rows of the test split, found again by time."""
    frame = pd.read_csv(transactions)
    start = summary(workspace)["splits"][2]["first"]
    return frame[frame["Time"] >= start]


@pytest.fixture(scope="module")
def scored(workspace, held_back, tmp_path_factory) -> dict[str, np.ndarray]:
    return score(workspace.pushed[0], held_back, "serving_raw", tmp_path_factory.mktemp("scored"))


def test_the_first_run_pushes_a_blessed_model_and_says_so(workspace):
    assert workspace.first.code == 0, workspace.first.output
    assert {name: workspace.first.components.get(name) for name in COMPONENTS} == dict.fromkeys(COMPONENTS, "ran")
    assert "Blessed: meets the thresholds; there was no model in service" in workspace.first.output
    assert len(workspace.pushed) == 1
    assert (workspace.pushed[0] / "saved_model.pb").is_file()
    assert str(workspace.pushed[0]) in workspace.first.output
    assert f"pipeline runs --set workspace={workspace.folder}" in workspace.first.output


def test_the_terminal_the_report_and_the_manifest_say_which_data_it_was(workspace, manifest):
    origin = manifest["data"]["origin"]
    assert origin
    assert origin in summary(workspace)["origin"]
    page = Path(workspace.runs()[-1]["report"]).read_text()
    assert f'<p class="origin">{origin}</p>' in page
    # the terminal may wrap it
    assert "".join(origin.split())[:40] in "".join(workspace.first.output.replace("│", "").split())


def test_noise_of_the_libraries_goes_to_the_log_and_not_to_the_terminal(workspace):
    for noise in ("WARNING", "absl", "tensorflow/", "apache_beam", "Traceback", "oneDNN"):
        assert noise not in workspace.first.output
    (log,) = (workspace.folder / "logs").glob("run-*.log")
    text = log.read_text()
    assert "Total params" in text
    assert "Trainer 1/" in text


def test_splits_follow_time_and_lose_no_row(workspace, transactions):
    frame = pd.read_csv(transactions)
    train, evaluation, test = summary(workspace)["splits"]
    assert train["last"] < evaluation["first"] <= evaluation["last"] < test["first"]
    assert train["rows"] + evaluation["rows"] + test["rows"] == len(frame)
    assert train["frauds"] + evaluation["frauds"] + test["frauds"] == frame["Class"].sum()
    for split, share in ((train, 0.65), (evaluation, 0.15), (test, 0.20)):
        assert split["rows"] / len(frame) == pytest.approx(share, abs=0.01)


def test_the_pushed_model_scores_raw_rows_as_the_evaluator_did(workspace, manifest, held_back, scored):
    labels = held_back["Class"]
    metrics = summary(workspace)["metrics"]
    weight = weights(manifest, labels)
    precision = average_precision_score(labels, scored["score"], sample_weight=weight)
    assert precision == pytest.approx(metrics["average_precision"], abs=1e-6)
    area = roc_auc_score(labels, scored["score"], sample_weight=weight)
    assert area == pytest.approx(metrics["roc_auc"], abs=1e-6)
    assert metrics["average_precision_lower"] < precision < metrics["average_precision_upper"]
    assert metrics["weighted_transactions"] == pytest.approx(weight.sum(), rel=1e-4)
    brier = brier_score_loss(labels, scored["probability"], sample_weight=weight)
    assert metrics["brier"] == pytest.approx(brier, abs=1e-6)
    costs = Costs(**manifest["decision"]["costs"])
    spent = weight @ costs.of(scored["decision"] == 1, labels, held_back["Amount"])
    assert metrics["cost"] == pytest.approx(spent, rel=1e-4)


def test_both_signatures_agree_and_have_the_promised_types(workspace, manifest, held_back, scored, tmp_path):
    few = held_back.head(200)
    by_example = score(workspace.pushed[0], few, "serving_default", tmp_path)
    for result, rows in ((scored, len(held_back)), (by_example, 200)):
        assert set(result) == {"score", "probability", "decision", "threshold_version"}
        kinds = [result[name].dtype for name in ("score", "probability", "decision")]
        assert kinds == [np.float32, np.float32, np.int64]
        assert set(result["threshold_version"]) == {manifest["decision"]["version"]}
        assert result["probability"].shape == result["decision"].shape == (rows,)
    np.testing.assert_allclose(by_example["probability"], scored["probability"][:200], rtol=1e-4, atol=1e-6)
    stopped = scored["probability"] >= np.float32(manifest["threshold"])
    np.testing.assert_array_equal(scored["decision"], stopped.astype(np.int64))
    assert 0 < stopped.sum() < len(stopped) / 2


def test_tensorboard_has_curves_hyperparameters_and_precision_recall(workspace):
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

    events = EventMultiplexer().AddRunsFromDirectory(str(workspace.folder / "artifacts" / "Trainer" / "model_run"))
    events.Reload()
    assert set(events.ActivePlugins()) >= {"scalars", "pr_curves", "hparams"}


def test_an_unchanged_second_run_comes_from_the_cache_and_pushes_nothing(workspace, fraud_pipeline):
    again = fraud_pipeline("run", *workspace.arguments)
    assert again.code == 0, again.output
    assert {name: again.components.get(name) for name in COMPONENTS} == dict.fromkeys(COMPONENTS, "cached")
    assert len(workspace.pushed) == 1
    newest, oldest = workspace.runs()[0], workspace.runs()[-1]
    assert newest["state"] == oldest["state"] == "done"
    assert newest["blessed"]
    assert newest["pushed"]
    assert newest["average_precision"] == oldest["average_precision"]
    assert newest["model"] == str(workspace.pushed[0])


def test_a_bar_too_high_reruns_the_evaluation_alone_and_keeps_the_model_out(workspace, fraud_pipeline):
    before = [path.name for path in workspace.pushed]
    refused = fraud_pipeline("run", *workspace.arguments, "--set", "evaluation.min_average_precision=0.999")
    assert refused.code == 3, refused.output
    rerun = {name for name, state in refused.components.items() if state == "ran" and name in COMPONENTS}
    assert rerun == {"Evaluator", "Pusher", "Report"}
    assert "below the least that was set, 0.999" in " ".join(refused.output.split())
    assert [path.name for path in workspace.pushed] == before
    newest = workspace.runs()[0]
    assert newest["blessed"] is False
    assert newest["pushed"] is False


def test_a_failed_run_says_why_and_where_to_read_on(workspace, fraud_pipeline):
    before = [path.name for path in workspace.pushed]
    diverging = ("--set", "tuning.enabled=false", "--set", "training.learning_rate=1e30")
    failed = fraud_pipeline("run", *workspace.arguments, *diverging)
    assert failed.code == 1, failed.output
    assert failed.components["Trainer"] == "failed"
    output = " ".join(failed.output.split())
    assert "lower the learning rate, got 1e+30" in output
    assert "goes on from the last finished component" in output
    assert "Traceback" not in output
    assert [path.name for path in workspace.pushed] == before
    assert workspace.runs()[0]["state"] == "failed"


def test_a_new_model_is_compared_with_the_one_in_service_and_training_is_reproducible(
    workspace, fraud_pipeline, held_back, scored, tmp_path
):
    first = workspace.pushed[0]
    # without a search what the last one found is trained, and not the config's own values
    settings = ("tuning={enabled: off, warm_start: last}", "training.learning_rate=0.5", "decision.threshold=0.4")
    changes = (word for setting in settings for word in ("--set", setting))
    other = fraud_pipeline("run", *workspace.arguments, *changes)
    assert other.code == 0, other.output
    rerun = {name for name, state in other.components.items() if state == "ran" and name in COMPONENTS}
    assert rerun == {"Challengers", "Trainer", "CurrentModel", "Evaluator", "Pusher", "Report"}
    assert "Tuner" not in other.components
    assert f"no worse than version {first.name} in service" in " ".join(other.output.split())
    assert len(workspace.pushed) == 2
    again = score(workspace.pushed[-1], held_back, "serving_raw", tmp_path)
    # another threshold, but the same data, hyperparameters and seeds: the weights must be the same to the last bit
    np.testing.assert_array_equal(again["probability"], scored["probability"])
    np.testing.assert_array_equal(again["decision"], (again["probability"] >= np.float32(0.4)).astype(np.int64))


def test_real_rows_reach_the_quality_that_is_promised(workspace, real_rows):
    metrics = summary(workspace)["metrics"]
    assert metrics["average_precision"] >= 0.78
    assert metrics["roc_auc"] >= 0.97
