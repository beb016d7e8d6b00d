"""The benchmarks: what is kept of repeats, what the README gets of it, and that each part does what it says."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from benchmarks import (
    contest,
    examples,
    executions,
    growth,
    keras_tuner_search,
    pictures,
    processes,
    quality,
    readme,
    results,
    scoring,
    search,
    served,
    sklearn_search,
    stock,
    stock_module,
    tables,
    tutorial,
    tutorial_script,
)
from benchmarks.tables import Table
from pipeline.data import synthesis
from tests.support import small_graph
from tests.support.small_data import example
from trainer import model
from trainer.columns import Columns
from trainer.custom_config import TrainerSettings
from trainer.search.settings import Range, Space, Tuning
from trainer.settings import Network, Training

ROOT = Path(__file__).resolve().parents[1]
# those that people call; the others are processes of these, and import TensorFlow before they say anything
MODULES = ("run", "quality", "stock", "tutorial", "search", "growth", "scoring", "synthesis", "readme", "picture")
COLUMNS = {"label": "is_fraud", "amount": "paid", "categorical": {"card type": "string", "shop": "integer"}}


def _call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=processes.environment(), capture_output=True, text=True, timeout=60, check=False
    )


# --- medians, ratios, files


def test_medians_are_of_each_number_however_deep() -> None:
    repeats = [
        {"seconds": 3.0, "steps": {"Trainer": 1}},
        {"seconds": 9.0, "steps": {"Trainer": 5}},
        {"seconds": 4.0, "steps": {"Trainer": 2}},
    ]
    assert results.medians(repeats) == {"seconds": 4.0, "steps": {"Trainer": 2}}


def test_medians_of_two_lie_between_them() -> None:
    assert results.medians([{"seconds": 1.0}, {"seconds": 2.0}]) == {"seconds": 1.5}


def test_medians_keep_words_that_all_repeats_agree_on_and_names_that_all_have() -> None:
    repeats = [{"data": "a", "found": "x", "blessed": True, "only": 1}, {"data": "a", "found": "y", "blessed": True}]
    assert results.medians(repeats) == {"data": "a", "blessed": True}


def test_medians_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one repeat, got none"):
        results.medians([])


def test_ratios_are_of_what_both_have() -> None:
    of = {"seconds": 9.0, "steps": {"Trainer": 4.0, "Tuner": 1.0, "Pusher": 1.0}, "blessed": True, "data": "a"}
    to = {"seconds": 3.0, "steps": {"Trainer": 8.0, "Report": 1.0, "Pusher": 0.0}, "blessed": True, "data": "a"}
    assert results.ratios(of, to) == {"seconds": 3.0, "steps": {"Trainer": 0.5}}


def test_a_report_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    report = results.report("stock", {"rows": np.int64(5)}, {"ours": [{"seconds": 1.0}, {"seconds": 4.0}]})
    path = results.save(report, tmp_path / "new")
    assert [file.name for file in path.parent.iterdir()] == ["stock.json"]
    read = results.load("stock", path.parent)
    assert read == {**report, "settings": {"rows": 5}}
    assert read["repeats"]["ours"] == [{"seconds": 1.0}, {"seconds": 4.0}]
    assert read["medians"] == {"ours": {"seconds": 2.5}}


def test_a_report_names_the_machine_and_the_versions() -> None:
    report = results.report("stock", {}, {})
    assert report["versions"]["tensorflow"] == tf.__version__
    assert f"model name\t: {report['machine']['processor']}\n" in Path("/proc/cpuinfo").read_text()
    assert report["machine"]["cores"] >= 1


def test_results_that_are_not_there_are_none(tmp_path: Path) -> None:
    assert results.load("stock", tmp_path) is None


@pytest.mark.parametrize(
    ("text", "fault"), [("{", "is not JSON"), ("[]", "no results of stock"), ('{"benchmark": "run"}', "no results of")]
)
def test_other_files_are_refused(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "stock.json").write_text(text)
    with pytest.raises(SystemExit, match=f"{fault}.*delete it and run: python -m benchmarks.stock"):
        results.load("stock", tmp_path)


def test_each_contender_goes_first_in_its_turn() -> None:
    assert [contest.order(["a", "b"], repeat) for repeat in range(3)] == [["a", "b"], ["b", "a"], ["a", "b"]]


def test_a_table_is_aligned_in_the_terminal_and_markdown_in_the_readme() -> None:
    table = Table("Seconds:", ["run", "s"], [["first", "1.25"], ["b", "10"]], ["A note."])
    assert table.plain() == "Seconds:\n\nrun       s\nfirst  1.25\nb        10\n\nA note."
    assert table.markdown() == "Seconds:\n\n| run | s |\n|---|---|\n| first | 1.25 |\n| b | 10 |\n\nA note."


# --- processes


def test_peak_memory_is_that_of_the_process_and_its_children(tmp_path: Path) -> None:
    child = "block = bytearray(150 << 20); import time; time.sleep(0.6)"
    parent = f"import subprocess, sys; block = bytearray(100 << 20); subprocess.run([sys.executable, '-c', {child!r}])"
    finished = processes.run([sys.executable, "-c", parent], tmp_path / "log")
    assert 250 / 1024 < finished.peak_gib < 350 / 1024
    assert finished.seconds > 0.6
    assert finished.started <= finished.ended <= time.time()


def test_a_process_that_fails_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('before'); raise SystemExit('no such column')"]
    with pytest.raises(SystemExit, match=r"(?s)ended with 1; .*log says more:.*no such column"):
        processes.run(command, tmp_path / "log")
    assert "before" in (tmp_path / "log").read_text()
    assert processes.run(command, tmp_path / "log", allowed=(1,)).code == 1


def test_processes_may_keep_their_byte_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in processes.environment()


@pytest.mark.parametrize("module", MODULES)
def test_help_says_how_it_is_called(module: str) -> None:
    done = _call(f"benchmarks.{module}", "--help")
    assert done.returncode == 0, done.stderr
    assert f"`python -m benchmarks.{module}" in done.stdout


def test_repeats_are_a_number_above_0() -> None:
    done = _call("benchmarks.stock", "--repeats", "0")
    assert done.returncode == 2
    assert "expected a whole number above 0, got '0'" in done.stderr


def test_all_benchmarks_refuse_a_name_that_is_none_of_theirs() -> None:
    done = _call("benchmarks", "stocks")
    assert done.returncode == 2
    assert "no benchmark is called stocks; there are run, quality, stock, tutorial" in done.stderr


# --- components


def test_steps_of_the_newest_run_add_up_to_the_process(tmp_path: Path) -> None:
    first = processes.Finished(0, time.time(), 0, 0)
    small_graph.run(tmp_path)
    metadata = small_graph.run(tmp_path)
    finished = processes.Finished(0, first.started, time.time(), 1.5)
    figures = executions.figures(finished, metadata)
    assert list(figures["steps"]) == ["start-up", "Writer", "Last", "between components", "conclusion"]
    assert sum(figures["steps"].values()) == pytest.approx(figures["seconds"])
    assert min(figures["steps"].values()) >= 0
    assert figures["peak_gib"] == 1.5
    # the whole first run came before the newest one
    store = executions.Timeline.from_metadata(metadata)
    assert first.started < store.started < store.ended < finished.ended
    assert figures["steps"]["start-up"] > figures["steps"]["Writer"] + figures["steps"]["Last"]


def test_the_stock_graph_trains_our_network() -> None:
    columns = Columns(label="Class", time="Time", amount="Amount", numeric=("V1", "V2"))
    training = Training(network=Network(units=(32, 16)))
    theirs = stock_module.network(TrainerSettings(columns=columns), training)
    assert sorted(tensor.name for tensor in theirs.inputs) == ["Amount", "Time", "V1", "V2"]
    ours = model.build(len(columns.inputs), {}, training, fraud_rate=0.1)
    assert theirs.count_params() == ours.count_params() == 4 * 32 + 32 + 32 * 16 + 16 + 16 + 1


def test_the_stock_graph_searches_the_space_that_ours_does(tmp_path: Path) -> None:
    space = Space(units=(8, 16), layers=(1, 2, 3), learning_rate=Range(low=1e-3, high=1e-1), dropout=(0.0, 0.2))
    settings = TrainerSettings(
        columns=Columns(label="Class", amount="Amount", numeric=("V1",)), tuning=Tuning(space=space, trials=5)
    )
    tuner = stock_module.random_search(settings, str(tmp_path))
    tried = [tuner.oracle.create_trial(f"tuner{number}").hyperparameters for number in range(settings.tuning.trials)]
    assert len({json.dumps(hyperparameters.values) for hyperparameters in tried}) == 5
    for hyperparameters in tried:
        values = hyperparameters.values
        assert set(values) == {"units", "layers", "learning_rate", "dropout"}
        assert values["units"] in (8, 16)
        assert 1e-3 <= values["learning_rate"] <= 1e-1
        network = tuner.hypermodel.build(hyperparameters)
        dense = [layer.units for layer in network.layers if hasattr(layer, "units")]
        assert dense == [*(values["units"] >> layer for layer in range(values["layers"])), 1]
        assert float(network.optimizer.learning_rate) == pytest.approx(values["learning_rate"])
        dropped = [layer.rate for layer in network.layers if hasattr(layer, "rate")]
        assert dropped == [values["dropout"]] * (values["layers"] if values["dropout"] else 0)


def test_names_in_the_header_lose_their_quotes_and_nothing_else_changes(tmp_path: Path) -> None:
    source = tmp_path / "ulb.csv"
    source.write_bytes(b'"Time","V1","Class"\n0,1.5,"0"\n')
    source.with_suffix(".card.yaml").write_text("rows: 1")
    (tmp_path / "new").mkdir()
    copy = stock.unquoted(source, tmp_path / "new")
    assert copy.read_bytes() == b'Time,V1,Class\n0,1.5,"0"\n'
    assert (tmp_path / "new/transactions.card.yaml").read_text() == "rows: 1"


def _examples(folder: Path, splits: dict[str, list[dict[str, Any]]], compression: str) -> Path:
    for split, rows in splits.items():
        (folder / f"Split-{split}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(folder / f"Split-{split}/data"), compression) as writer:
            for row in rows:
                writer.write(example(row))
    return folder


ROWS = [{"Time": 0.0, "V1": 0.1}, {"Time": 1.0, "V1": -0.0}, {"Time": 1.0, "V1": 0.0}]


def test_examples_are_the_same_in_other_splits_order_types_and_files(tmp_path: Path) -> None:
    one = _examples(tmp_path / "one", {"train": ROWS[:2], "eval": [], "test": ROWS[2:]}, "GZIP")
    counted = [{**row, "Time": int(row["Time"]), "example_weight": 1.0} for row in reversed(ROWS)]
    other = _examples(tmp_path / "other", {"train": counted}, "")
    assert examples.compare(examples.read(one), examples.read(other)) == {
        "rows": [3, 3],
        "columns": 2,
        "columns_left_out": ["example_weight"],
        "rows_missing": 0,
        "rows_extra": 0,
    }


def test_a_value_a_hair_off_and_a_row_too_many_are_found(tmp_path: Path) -> None:
    off = [{**ROWS[0], "V1": float(np.nextafter(np.float32(0.1), np.float32(1)))}, *ROWS[1:], ROWS[1]]
    one, other = (_examples(tmp_path / str(len(rows)), {"train": rows}, "GZIP") for rows in (ROWS, off))
    comparison = examples.compare(examples.read(one), examples.read(other))
    assert (comparison["rows"], comparison["rows_missing"], comparison["rows_extra"]) == ([3, 4], 1, 2)


def test_a_folder_without_examples_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no Split-"):
        examples.read(tmp_path)


# --- the tutorial


def test_the_tutorials_network_has_361_parameters() -> None:
    assert tutorial_script.build(29, (10, 5)).count_params() == 361


def test_the_search_tries_layers_of_equal_width() -> None:
    fitted = clone(tutorial_script.Network(hidden_layers=3, neurons=2)).fit(np.zeros((4, 5)), np.array([0, 1, 0, 0]))
    assert [layer.units for layer in fitted.model_.layers] == [2, 2, 2, 1]
    assert set(fitted.predict(np.zeros((3, 5)))) <= {0, 1}


def test_the_tutorial_script_goes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthesis.write(tmp_path / "transactions.csv", rows=600, seed=1, fraud_rate=0.1)
    for name, value in {"SPACE": {"hidden_layers": [2], "neurons": [3]}, "FOLDS": 2, "EPOCHS": 2}.items():
        monkeypatch.setattr(tutorial_script, name, value)
    figures = tutorial_script.run(tmp_path / "transactions.csv", tmp_path / "logs")
    assert list(figures["steps"]) == ["imports", "reading", "training", "evaluation", "search"]
    assert figures["parameters"] == 361
    assert figures["found"] == {"hidden_layers": 2, "neurons": 3}
    assert 0 <= figures["test_accuracy"] <= 1
    assert list((tmp_path / "logs").rglob("events*"))


# --- scoring


class Sum(tf.Module):
    """Scores a row by its numbers, through both signatures that a pushed model has."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {"paid": tf.float32, "card type": tf.string, "shop": tf.int64}
        parsed = tf.io.parse_example(serialized, {name: tf.io.FixedLenFeature([], kind) for name, kind in spec.items()})
        return self._score(parsed["paid"], parsed["card type"], parsed["shop"])

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="paid"),
            tf.TensorSpec([None], tf.string, name="card_20_type"),
            tf.TensorSpec([None], tf.int64, name="shop"),
        ]
    )
    def from_columns(self, paid: tf.Tensor, card_20_type: tf.Tensor, shop: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._score(paid, card_20_type, shop)

    def _score(self, paid: tf.Tensor, card: tf.Tensor, shop: tf.Tensor) -> dict[str, tf.Tensor]:
        is_a = tf.cast(tf.equal(card, "a"), tf.float32)
        return {"probability": tf.sigmoid(paid) * tf.cast(shop % 7, tf.float32) + is_a}


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pushed versions, the newest with a model."""
    serving = tmp_path_factory.mktemp("serving")
    module = Sum()
    for name in ("9", "new"):
        (serving / name).mkdir()
    signatures = {"serving_default": module.from_examples, "serving_raw": module.from_columns}
    tf.saved_model.save(module, str(serving / "10"), signatures=signatures)
    manifest = serving / "10" / served.MANIFEST
    manifest.parent.mkdir(exist_ok=True)
    manifest.write_text(json.dumps({"columns": COLUMNS}))
    return serving


def test_the_newest_version_is_scored(pushed: Path) -> None:
    assert scoring.newest(pushed) == pushed / "10"


def test_without_a_model_it_says_which_command_makes_one(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="make one with `make run`"):
        scoring.newest(tmp_path / "serving")


def test_both_signatures_score_the_same_rows(pushed: Path) -> None:
    loaded = tf.saved_model.load(str(pushed / "10"))
    callers = served.callers(loaded, served.columns(pushed / "10").raw_kinds)
    by_examples, by_columns = (callers[name](served.DISTINCT + 3)() for name in scoring.SIGNATURES)
    assert by_examples.shape == (served.DISTINCT + 3,)
    np.testing.assert_allclose(by_examples, by_columns)
    np.testing.assert_allclose(by_examples[-3:], by_examples[:3])
    assert len(np.unique(by_examples)) > served.DISTINCT / 2


def test_a_model_without_a_manifest_is_an_error(pushed: Path) -> None:
    with pytest.raises(SystemExit, match="columns of the model are not known; name a model that the pipeline pushed"):
        served.columns(pushed / "9")


def test_scoring_times_each_signature_and_batch_in_a_process_of_its_own(pushed: Path, tmp_path: Path) -> None:
    (figures,) = scoring.measure(pushed / "10", [3], calls=5, repeats=1, log=tmp_path / "log")
    report = results.report("scoring", {"calls": 5}, {"model": [figures]})
    (table,) = scoring.tables(report)
    assert [row[0] for row in table.rows[3:]] == ["rows a second, batches of 3"]
    for signature in scoring.SIGNATURES:
        latency = figures[signature]["latency_ms"]
        assert 0 < latency["median"] <= latency["p95"] <= latency["p99"]
        assert min(figures[signature]["rows_per_second"].values()) > 0


# --- growth


def test_too_little_space_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"1,000,000,000,000 rows need .* GiB free; name another place with --folder"):
        growth.check_space(10**12, tmp_path)
    assert list(tmp_path.iterdir()) == []


def _size(rows: int, seconds: float) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "peak_gib": 1.0,
        "steps": {"start-up": 4.0, "Trainer": seconds - 4, "Pusher": 0.01},
        "input_bytes": 565 * rows,
        "workspace_bytes": 600 * rows,
        "average_precision": None if rows < 100 else 0.75,
    }


GROWTH = {"format": "csv", "seed": 7, "budget": ["training.epochs=20"]}


def test_sizes_measured_before_stay_and_the_curve_is_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert growth.earlier(GROWTH) == {"repeats": {}, "commits": {}}
    results.save(growth.summarized(GROWTH, {"1000": [_size(1000, 50.0)]}, {"1000": "abc"}))
    kept = growth.earlier(GROWTH)
    report = growth.summarized(GROWTH, {**kept["repeats"], "10": [_size(10, 10.0), _size(10, 20.0)]}, kept["commits"])
    assert list(report["medians"]) == ["10", "1000"]
    assert report["ratios"]["1000 / 10"]["seconds"] == 50 / 15
    (table,) = growth.tables(report)
    assert table.header == ["rows", "10", "1,000"]
    assert ["Trainer", "11.0", "46.0"] in table.rows
    assert ["average precision", "", "0.750"] in table.rows
    assert "Pusher" not in {row[0] for row in table.rows}
    assert table.notes[0] == "100 times the rows: 3.3 times the seconds, 1.0 times the memory."


def test_sizes_measured_otherwise_are_not_drawn_into_one_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = growth.summarized(GROWTH, {"1000": [_size(1000, 50.0)]}, {})
    results.save({**report, "machine": {**report["machine"], "cores": 1024}})
    with pytest.raises(SystemExit, match=r"other machine and settings: .*1024.*Move it away to start anew"):
        growth.earlier({**GROWTH, "format": "parquet"})


# --- pictures


def _shapes(picture: str, tag: str) -> list[dict[str, str]]:
    return [shape.attrib for shape in ElementTree.fromstring(picture).iter(f"{{http://www.w3.org/2000/svg}}{tag}")]


def test_bars_are_as_long_as_their_values() -> None:
    picture = pictures.bars("A & B", "seconds", {"a": {"x": 2.0, "y": 4.0}, "b": {"x": 1.0}})
    _, _, _, *drawn = _shapes(picture, "rect")
    widths = np.array([float(bar["width"]) for bar in drawn])
    assert widths / widths.max() == pytest.approx([0.5, 0.25, 1.0], abs=0.01)


def test_what_grows_in_proportion_is_a_straight_line_in_the_plot() -> None:
    picture = pictures.curves("Growth", "rows", [pictures.Curve("s", {10: 5.0, 100: 50.0, 1000: 500.0})])
    points = [(float(dot["cx"]), float(dot["cy"])) for dot in _shapes(picture, "circle")]
    steps = np.diff(points, axis=0)
    assert steps[0] == pytest.approx(steps[1], abs=0.2)
    assert steps[0][0] > 0 > steps[0][1]


# --- the two searches


def test_both_searches_try_the_same_on_the_same_folds(
    tmp_path: Path, transactions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search.arrays(transactions, tmp_path / "all.npz")
    with np.load(tmp_path / "all.npz") as arrays:
        features, labels, folds = (arrays[name] for name in ("features", "labels", "folds"))
    assert features.shape[1] == 29
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    frauds = np.bincount(folds[labels == 1], minlength=3)
    assert len(frauds) == 3
    assert np.ptp(frauds) <= 1
    assert np.ptp(np.bincount(folds)) <= 2

    few = np.flatnonzero(folds < 2)[::4]
    np.savez(tmp_path / "few.npz", features=features[few], labels=labels[few], folds=folds[few])
    monkeypatch.setattr(sklearn_search, "SPACE", {"hidden_layers": [1, 2], "neurons": [20]})
    monkeypatch.setitem(keras_tuner_search.SPACES, "tutorial", Space(layers=(1, 2), units=(20,), shape=("equal",)))
    theirs = sklearn_search.run(tmp_path / "few.npz", jobs=1)
    ours = keras_tuner_search.run(tmp_path / "few.npz", workers=1)
    for figures in (theirs, ours):
        assert [search.named(candidate["params"]) for candidate in figures["candidates"]] == ["1 of 20", "2 of 20"]
        means = [candidate["mean"] for candidate in figures["candidates"]]
        assert all(0 < mean < 1 for mean in means)
        assert figures["best_score"] == max(means)
        assert figures["steps"]["search"] > 0


# --- the documentation


def _likeness() -> dict[str, float]:
    names = ("ks_max", "ks_median", "spearman_max", "spearman_mean", "pearson_max", "told_apart_roc_auc")
    return dict.fromkeys(names, 0.12345)


@functools.cache
def _reports() -> list[dict[str, Any]]:
    """Results of every benchmark, small."""
    steps = {"start-up": 4.0, "Trainer": 6.0}
    whole = {"seconds": 10.0, "peak_gib": 1.25, "steps": steps}
    other = {"seconds": 40.0, "peak_gib": 2.5, "steps": {**steps, "Trainer": 36.0}}
    settings = {"data": "5 rows", "budget": ["training.epochs=20"]}
    reports = [
        results.report(
            "stock",
            settings,
            {
                stock.OURS: [{**whole, "cached_seconds": 4.0, "parameters": 361}],
                stock.STOCK: [{**other, "cached_seconds": 8.0, "parameters": 1500}],
            },
            examples={"rows": [5, 5], "columns": 31, "rows_missing": 0, "rows_extra": 0},
        ),
        results.report("tutorial", settings, {tutorial.OURS: [whole], tutorial.SCRIPT: [other]}),
        results.report(
            "search",
            settings,
            {
                search.SKLEARN: [{**other, "steps": {"search": 36.0}, "scores": {"1 of 20": 0.5}}],
                search.OURS: [{**whole, "steps": {"search": 6.0}, "scores": {"1 of 20": 0.75}}],
            },
        ),
        growth.summarized(GROWTH, {"1000": [_size(1000, 50.0)], "100": [_size(100, 10.0)]}, {}),
        results.report(
            "scoring",
            {"calls": 2000},
            {
                "model": [
                    {
                        "load_seconds": 1.0,
                        "peak_gib": 0.5,
                        **{
                            signature: {
                                "latency_ms": {"median": 0.5, "p95": 0.75, "p99": 1.5},
                                "rows_per_second": {"1": 2000.0, "1024": 400_000.0},
                            }
                            for signature in scoring.SIGNATURES
                        },
                    }
                ]
            },
        ),
        results.report(
            "run",
            {},
            {
                "a run": [
                    {
                        "rows": 284_807,
                        "seconds": 39.6,
                        "metrics": {
                            "average_precision": 0.887,
                            "average_precision_lower": 0.818,
                            "average_precision_upper": 0.946,
                            "roc_auc": 0.982,
                            "recall_at_1_percent_false_positives": 0.925,
                        },
                        "challengers": {"boosted_trees": 0.901},
                        "last_loss": 0.0034,
                        "last_accuracy": 0.9996,
                    }
                ]
            },
        ),
        results.report(
            "quality",
            {},
            {
                f"seed {seed}, {words}": [
                    {
                        **{"average_precision": 0.8, "average_precision_lower": 0.7, "average_precision_upper": 0.9},
                        **{"difference": 0.02, "difference_lower": -0.01, "difference_upper": 0.05},
                        **{"savings": 4000.4, "savings_lower": -10.0, "savings_upper": 8000.0},
                        **{"cost_without_model": 9000.0, "rows": 4990, "frauds": 70, "hours": 7.72, "currency": "EUR"},
                    }
                ]
                for seed in (7, 1)
                for words in quality.DECISIONS.values()
            },
        ),
        results.report(
            "synthesis",
            {},
            {},
            figures={
                "speed, 284,807 rows": {"batches_rows_per_s": 284_807.0, "csv_s": 2.0, "parquet_s": 1.5},
                "likeness": {name: _likeness() for name in synthesis.CLASSES},
                "weighted average precision on real rows": {
                    "real rows before": {"boosting": 0.829, "logistic regression": 0.815}
                },
            },
        ),
    ]
    medians = reports[1]["medians"]
    reports[1]["ratios"] = {
        f"{tutorial.OURS} / {tutorial.SCRIPT}": results.ratios(medians[tutorial.OURS], medians[tutorial.SCRIPT])
    }
    return reports


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A folder with results of every benchmark, beside a README and a page with tables."""
    for report in _reports():
        results.save(report, tmp_path / "results")
    empty = {part.NAME: "\nold\n".join(readme.markers(part.NAME)) for part in readme.PARTS}
    (tmp_path / "page.md").write_text("# Benchmarks\n\n" + "\n\n## Next\n\n".join(empty.values()) + "\n\nThe end.\n")
    (tmp_path / "README.md").write_text("# Fraud\n\n" + "\nold\n".join(readme.markers("headline")) + "\n\n## Limits\n")
    return tmp_path / "results"


def _rewrite(measured: Path) -> subprocess.CompletedProcess[str]:
    files = {"--readme": "README.md", "--page": "page.md", "--results": "results"}
    return _call("benchmarks.readme", *(word for k, v in files.items() for word in (k, measured.parent / v)))


def test_the_page_gets_every_table_and_the_readme_its_headline_and_a_second_time_changes_nothing(
    measured: Path,
) -> None:
    first = _rewrite(measured)
    assert (first.returncode, first.stderr) == (0, "")
    page, text = ((measured.parent / name).read_text() for name in ("page.md", "README.md"))
    assert page.startswith(f"# Benchmarks\n\n{readme.markers('run')[0]}\n\n")
    assert page.endswith(f"\n\n{readme.markers('synthesis')[1]}\n\nThe end.\n")
    assert "\nold\n" not in page + text
    for row in (
        "| a run | 284,807 | 39.6 | 0.887 (0.818 to 0.946) | 0.982 | 0.925 | 0.901 |  | 0.0034, 0.9996 |",
        "| seed 1, one threshold | 0.800 (0.700 to 0.900) | 0.020 (-0.010 to 0.050) "
        "| 4,000 EUR (-10 to 8,000) | 9,000 EUR |",
        "| Trainer | 6.0 | 36.0 | 6.0 |",
        "| whole process | 10.0 | 40.0 | 4.0 |",
        "| seconds, whole process | 10.0 | 40.0 | 0.25 |",
        "| seconds in all | 10.0 | 50.0 |",
        "| times as fast | 1.0 | 4.0 |",
        "| average precision, 1 of 20 neurons | 0.500 | 0.750 |",
        "| rows a second, batches of 1,024 | 400,000 | 400,000 |",
        "| Kolmogorov-Smirnov distance, median | 0.1235 | 0.1235 |",
        "| real rows before | 0.829 | 0.815 |",
    ):
        assert f"\n{row}\n" in page
    headline = " ".join(readme.between(text, "headline", Path("README.md")).split())
    for sentence in (
        "**4.0 times as fast as stock TFX.** A run on 5 rows takes 10.0 s",
        "made of stock TFX components takes 40.0 s",
        "**Level with boosted trees.** On the last 7.7 hours of real transactions (4,990 rows, 70 of them frauds) that",
        "average precision is 0.800 (0.700 to 0.900), and the difference from XGBoost is 0.020 (-0.010 to 0.050).",
        "**Money saved: 4,000 EUR (-10 to 8,000)** on those transactions, of the 9,000 EUR",
        f"TensorFlow {'.'.join(tf.__version__.split('.')[:2])}",
    ):
        assert sentence in headline
    assert _rewrite(measured).stdout.count("is up to date") == 2
    assert (measured.parent / "page.md").read_text() == page


def test_a_benchmark_that_has_not_run_again_keeps_its_tables_with_a_note(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = measured.parent / "page.md"
    (measured / "scoring.json").unlink()
    page = readme.rewritten(path.read_text(), path, measured)
    assert readme.between(page, "scoring", path) == "old"
    assert "benchmarks.synthesis" in readme.between(page, "synthesis", path)
    assert capsys.readouterr().err.startswith(f"no {measured}/scoring.json, so its tables stay as they are; python -m")


def test_each_part_names_the_machine_that_it_was_measured_on(measured: Path) -> None:
    report = results.load("stock", measured)
    assert report is not None
    results.save({**report, "machine": {**report["machine"], "cores": 1024}}, measured)
    path = measured.parent / "page.md"
    page = readme.rewritten(path.read_text(), path, measured)
    assert page.count("1024 cores (") == 1
    assert readme.between(page, "stock", path).startswith("1024 cores (")
    assert page.count(" cores (") == len(readme.PARTS)
    assert "Seconds are those of 1024 cores (" in " ".join(readme.headline(page, path).split())


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ("0.010 (-0.016 to 0.039)", "Level with"),
        ("0.1 (0.01 to 0.2)", "Better than"),
        ("-0.1 (-0.2 to -0.01)", "Worse than"),
    ],
)
def test_a_difference_is_one_where_its_interval_is_on_one_side_of_zero(
    measured: Path, difference: str, words: str
) -> None:
    path = measured.parent / "page.md"
    page = readme.rewritten(path.read_text(), path, measured).replace("0.020 (-0.010 to 0.050)", difference)
    assert f"- **{words} boosted trees.**" in readme.headline(page, path)


def test_a_note_says_where_examples_differ(measured: Path) -> None:
    report = results.load("stock", measured)
    assert report is not None
    results.save({**report, "examples": {**report["examples"], "rows_missing": 3, "rows_extra": 2}}, measured)
    part = readme.part(stock, measured)
    assert part is not None
    assert "The examples differ: 3 rows of this pipeline are not in stock TFX's, 2 the other way round." in part


_CELLS = st.text(st.characters(exclude_characters="|\n\r", exclude_categories=("Z", "C")), max_size=8)


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(_CELLS, min_size=width, max_size=width), min_size=2)))
def test_tables_are_read_as_they_were_written(cells: list[list[str]]) -> None:
    header, *rows = cells
    table = Table("Seconds:", header, rows, ["A note.", "And one more."])
    text = f"A machine.\n\n{table.markdown()}\n\n{table.markdown()}\n\nMeasured."
    assert tables.read(text) == [Table("Seconds:", header, rows)] * 2


@pytest.mark.parametrize(
    "lines", [(), (0,), (1, 0), (0, 1, 1), (0, 0, 1)], ids=["none", "start", "reversed", "two ends", "two starts"]
)
def test_markers_that_are_not_there_once_each_are_an_error(lines: tuple[int, ...]) -> None:
    page = "\n".join(readme.markers("run")[line] for line in lines)
    with pytest.raises(SystemExit, match="expected each once and in this order:\n<!-- run"):
        readme.replaced(page, "run", "new", Path("page.md"))


def test_our_page_has_the_tables_and_the_readme_the_headline_made_of_them() -> None:
    page, text = ((ROOT / name).read_text() for name in ("docs/benchmarks.md", "README.md"))
    for part in readme.PARTS:
        written = readme.between(page, part.NAME, ROOT / "docs/benchmarks.md")
        assert re.match(r"\d+ cores \(", written)
        assert written.endswith(f"Measured by `python -m benchmarks.{part.NAME}`.")
        assert tables.read(written)
    expected = readme.headline(page, ROOT / "docs/benchmarks.md")
    assert readme.between(text, "headline", ROOT / "README.md") == expected, "run: make bench-readme"


def test_a_run_s_summary_becomes_the_figures_of_quality() -> None:
    figures = {"average_precision": 0.8, "savings": 5.0}
    summary = {
        "splits": [
            {"name": "train", "rows": 9, "frauds": 3, "first": 0.0, "last": 1.0},
            {"name": "test", "rows": 5, "frauds": 2, "first": 1000.0, "last": 8200.0},
        ],
        "metrics": {f"{name}{end}": value for name, value in figures.items() for end in ("", "_lower", "_upper")}
        | {"cost_without_model": 9.0},
        "comparisons": [
            {"against": "tutorial", "difference": 0.5, "lower": 0.4, "upper": 0.6},
            {"against": "boosted_trees", "difference": 0.1, "lower": -0.1, "upper": 0.3},
        ],
        "currency": "EUR",
    }
    kept = quality.figures(summary)
    assert (kept["difference"], kept["difference_lower"], kept["difference_upper"]) == (0.1, -0.1, 0.3)
    assert (kept["rows"], kept["frauds"], kept["hours"], kept["currency"]) == (5, 2, 2.0, "EUR")
    (table,) = quality.tables(results.report("quality", {}, {"a model": [kept]}))
    assert list(table.rows) == [
        ["a model", "0.800 (0.800 to 0.800)", "0.100 (-0.100 to 0.300)", "5 EUR (5 to 5)", "9 EUR"]
    ]
