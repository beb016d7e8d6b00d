"""The search: what a trial is, what is recorded of it, and that nothing of it depends on how it was run."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from tests.support.small_data import SHOP_SETTINGS, shop, shop_rows, write
from tests.support.small_fold import separable
from tests.support.small_search import OWN, heard, outcome, rows, search, search_settings
from trainer import fitting
from trainer.dataset import Transactions
from trainer.errors import InputError
from trainer.features import NUMERIC
from trainer.folds import Blocks, Fold
from trainer.search import tuning
from trainer.search.settings import Space, with_hyperparameters
from trainer.search.trials import RECORD, Record, Trial
from trainer.search.tuner import Search, in_words, newest_plan

pytestmark = pytest.mark.xdist_group("shop")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, list[str]]:
    """A search that is over, and what it reported."""
    lines: list[str] = []
    over = search(str(tmp_path_factory.mktemp("searched")), search_settings())
    with heard(lines.append):
        over.search()
    return over, lines


def fitted(fold: Fold, values: dict[str, Any], epochs: int, objective: str = "average_precision") -> list[float]:
    """The objective after each epoch of a fit that no search has to do with."""
    tried = with_hyperparameters(search_settings().training, values)
    fitting.make_reproducible(tried.seed)
    network = fitting.build({}, tried, fold.train)
    history = fitting.fit(network, fold.train, fold.validation, tried, task="Again", epochs=epochs)
    return history[f"val_{objective}"]


def test_the_first_trial_is_the_config_s_and_the_others_are_not(searched: tuple[Search, list[str]]) -> None:
    record = searched[0].record()
    first, *others = [trial.values for trial in record.trials]
    assert first == OWN
    assert record.default == "0"
    assert len(others) == 2
    for values in others:
        assert values["layers"] in (1, 2)
        assert values["units"] in (4, 8)
        assert 0.001 <= values["learning_rate"] <= 0.1


def test_a_trial_is_a_fit_on_each_fold_and_its_score_the_best_epoch_of_the_mean(
    searched: tuple[Search, list[str]],
) -> None:
    trial = searched[0].record().trials[-1]
    alone = np.array([fitted(fold, trial.values, epochs=2) for fold in rows(2)])
    np.testing.assert_allclose(trial.curve, alone.mean(axis=0), atol=1e-6)
    best = int(np.argmax(alone.mean(axis=0)))
    assert trial.score == pytest.approx(alone.mean(axis=0)[best], abs=1e-6)
    assert trial.folds == pytest.approx(alone[:, best], abs=1e-6)
    assert trial.spread == pytest.approx(np.std(alone[:, best], ddof=1), abs=1e-6)


def test_the_best_trial_has_the_best_score(searched: tuple[Search, list[str]]) -> None:
    over, _ = searched
    record = over.record()
    best = max(record.trials, key=lambda trial: trial.score)
    assert record.best == best.trial_id
    assert over.get_best_hyperparameters()[0].values == best.values
    assert all(trial.started < trial.ended <= record.seconds for trial in record.trials)
    assert all(one.ended <= other.started for one, other in itertools.pairwise(record.trials))


def test_progress_counts_the_epochs_of_all_trials_and_folds(searched: tuple[Search, list[str]]) -> None:
    over, lines = searched
    counts = [line.split(", ")[0] for line in lines]
    # the end of a trial is reported too
    assert list(dict.fromkeys(counts)) == [f"Tuner {done}/12 trial {-(-done // 4)} of 3" for done in range(1, 13)]
    best = max(trial.score for trial in over.record().trials)
    assert lines[-1].endswith(f"best average precision {best:.3f} over 2 folds")


def test_a_found_network_can_be_built_anew(searched: tuple[Search, list[str]]) -> None:
    over, _ = searched
    (network,) = over.get_best_models(1)
    values = over.get_best_hyperparameters()[0].values
    assert sum(layer.name.startswith("dense") for layer in network.layers) == values["layers"]
    assert network.input[NUMERIC].shape == (None, 3)


def test_a_search_that_is_over_is_not_run_again(searched: tuple[Search, list[str]], tmp_path: Path) -> None:
    over, _ = searched
    shutil.copytree(Path(over.project_dir), tmp_path / "search")
    again = search(str(tmp_path), search_settings())
    again.search()
    assert again.record().trials == over.record().trials


@pytest.mark.parametrize(("objective", "best_of"), [("loss", min), ("recall_at_1_percent_false_positives", max)])
def test_the_objective_is_the_configs(objective: str, best_of: Callable[..., float], tmp_path: Path) -> None:
    judged = search(str(tmp_path), search_settings(oracle="grid", trials=2, objective=objective, folds=None))
    judged.search()
    record = judged.record()
    alone = fitted(rows(1)[0], record.trials[1].values, epochs=2, objective=objective)
    assert record.trials[1].curve == pytest.approx(alone, abs=1e-6)
    assert record.trials[1].score == pytest.approx(best_of(alone), abs=1e-6)
    assert record.trial(record.best).score == best_of(trial.score for trial in record.trials)
    assert record.trials[1].spread is None


def test_how_long_to_fit_may_be_searched_too(tmp_path: Path) -> None:
    longer = search(
        str(tmp_path), search_settings({"epochs": 3}, oracle="grid", space=Space(epochs=(1, 3)), epochs=2, folds=None)
    )
    longer.search()
    assert [(trial.values["epochs"], len(trial.curve)) for trial in longer.record().trials] == [(3, 3), (1, 1)]


# Hyperband


def halving(folder: Path) -> Search:
    """Rungs of two trials and one trial, and then of two."""
    return search(str(folder), search_settings(oracle="hyperband", epochs=2, factor=2, folds=None))


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Record:
    over = halving(tmp_path_factory.mktemp("halved"))
    over.search()
    return over.record()


def went_on(record: Record) -> Trial:
    (trial,) = [trial for trial in record.trials if trial.first_epoch]
    return trial


def test_a_trial_that_goes_on_comes_to_what_it_would_have_come_to_in_one_go(halved: Record) -> None:
    assert [trial.values["tuner/epochs"] for trial in halved.trials] == [1, 1, 2, 2, 2]
    trial = went_on(halved)
    earlier = halved.trial(trial.values["tuner/trial_id"])
    assert trial.first_epoch == 1
    whole = fitted(rows(1)[0], trial.values, epochs=2)
    assert earlier.curve == pytest.approx(whole[:1], abs=1e-6)
    assert trial.curve == pytest.approx(whole[1:], abs=1e-6)


def test_what_a_trial_learned_is_learned_again_where_its_file_is_gone(
    halved: Record, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(line: str) -> None:
        if "trial 3 of" in line:
            raise KeyboardInterrupt

    with heard(interrupt), pytest.raises(KeyboardInterrupt):
        halving(tmp_path).search()
    states = list(tmp_path.rglob("state_*.npz"))
    assert len(states) == 3  # what is under way has learned, too, before its last epoch is judged
    for state in states:
        state.unlink()
    again = halving(tmp_path)
    again.search()
    assert f"The state of trial {went_on(halved).values['tuner/trial_id']} is missing" in caplog.text
    assert outcome(again.record()) == outcome(halved)


# Trials that fail


def test_a_trial_that_diverges_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    space = Space(learning_rate=(0.03, 1e37, 0.01))
    broken = search(str(tmp_path), search_settings(oracle="grid", space=space, folds=None, epochs=1))
    broken.search()
    record = broken.record()
    assert [(trial.status, trial.values["learning_rate"]) for trial in record.trials] == [
        ("completed", 0.03),
        ("failed", 1e37),
        ("completed", 0.01),
    ]
    failed = record.trials[1]
    assert failed.score is None
    assert failed.reason.endswith("the loss is nan after 1 epochs; lower the learning rate, got 1e+37")
    assert (Path(broken.get_trial_dir("1")) / "reason.txt").read_text() == failed.reason


def test_a_search_in_which_every_trial_fails_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    space = Space(learning_rate=(1e37, 2e37))
    hopeless = search_settings({"learning_rate": 1e37}, oracle="grid", space=space, folds=None, epochs=1)
    with pytest.raises(RuntimeError, match=r"none of 2 trials .* got 1e\+37; .* got 2e\+37"):
        search(str(tmp_path), hopeless).search()


class Scarce:
    """Rows that can't be had when they are first asked for."""

    def __init__(self, values: np.ndarray, error: Callable[[], Any]):
        self._values = values
        self._error: Callable[[], Any] | None = error
        self.shape, self.dtype, self.nbytes = values.shape, values.dtype, values.nbytes

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        error, self._error = self._error, None
        if error:
            error()
        return self._values[rows]


def scarce(whole: Transactions, error: Callable[[], Any]) -> Transactions:
    return Transactions({NUMERIC: Scarce(whole.inputs[NUMERIC][:], error)}, whole.labels, whole.weights)


def too_much() -> None:
    np.empty(1 << 58)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_trial_that_runs_out_of_memory_says_so_and_the_others_go_on(split: str, tmp_path: Path) -> None:
    splits = {"train": separable(300, seed=1), "validation": separable(150, seed=2)}
    splits[split] = scarce(splits[split], too_much)
    short = Search(search_settings(trials=2, epochs=1, folds=None), [Fold(**splits, categories={})], str(tmp_path))
    short.search()
    first, second = short.record().trials
    assert (first.status, second.status) == ("failed", "completed")
    assert first.reason.startswith("out of memory: ")
    assert "2.00 EiB" in first.reason


def test_a_search_in_which_every_trial_failed_is_tried_again(tmp_path: Path) -> None:
    settings, train = search_settings(trials=1, epochs=1, folds=None), scarce(separable(300, seed=1), too_much)
    fold = Fold(train, separable(150, seed=2), {})
    with pytest.raises(RuntimeError, match=r"none of 1 trials of the search succeeded: out of memory: .* 2.00 EiB"):
        Search(settings, [fold], str(tmp_path)).search()
    again = Search(settings, [fold], str(tmp_path))
    again.search()
    assert [trial.status for trial in again.record().trials] == ["completed"]


def test_what_the_user_has_to_put_right_ends_the_search(tmp_path: Path) -> None:
    def wrong() -> None:
        raise InputError("transactions.csv has gone")

    fold = Fold(separable(300, seed=1), scarce(separable(150, seed=2), wrong), {})
    with pytest.raises(InputError, match="has gone"):
        Search(search_settings(folds=None), [fold], str(tmp_path)).search()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory"),
        (MemoryError("no room for\n  3 rows"), "out of memory: no room for 3 rows"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), "out of memory: OOM"),
        (FloatingPointError("the loss is nan"), "the loss is nan"),
        (ValueError("1\n\n2"), "ValueError: 1 2"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 500),
    ],
)
def test_a_reason_is_a_line(error: Exception, words: str) -> None:
    assert in_words(error) == words


def test_values_of_a_run_before_must_have_been_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names last, whose values have not been read"):
        search(str(tmp_path), search_settings(warm_start="last"))


# What other processes are given


def test_a_plan_is_the_whole_search(searched: tuple[Search, list[str]], tmp_path: Path) -> None:
    folder = str(tmp_path / "one")
    assert newest_plan(str(tmp_path)) is newest_plan(folder) is None
    with pytest.raises(FileNotFoundError):
        Search.from_plan(folder)
    planned = search(folder, search_settings(trials=1))
    planned.plan()
    assert newest_plan(folder) == newest_plan(str(tmp_path)) == folder
    from_plan = Search.from_plan(folder)
    assert from_plan.settings == planned.settings
    from_plan.search()
    assert outcome(from_plan.record()) == outcome(searched[0].record())[:1]


def test_a_search_that_is_over_is_taken_where_there_is_no_other(tmp_path: Path) -> None:
    over, other = str(tmp_path / "over"), str(tmp_path / "other")
    search(other, search_settings(trials=1)).plan()
    search(over, search_settings(trials=1)).plan()
    assert newest_plan(str(tmp_path)) == over
    (tmp_path / "over" / RECORD).write_text("{}")
    assert newest_plan(str(tmp_path)) == other
    (tmp_path / "other" / RECORD).write_text("{}")
    assert newest_plan(str(tmp_path)) == over


def test_a_plan_that_is_there_is_not_written_again_but_for_its_settings(tmp_path: Path) -> None:
    search(str(tmp_path), search_settings()).plan()
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "plan").rglob("*.npy")}
    assert len(stamps) == 2 * 2 * 3
    search(str(tmp_path), search_settings(workers=2)).plan()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "plan").rglob("*.npy")} == stamps
    assert Search.from_plan(str(tmp_path)).settings.tuning.workers == 2


# TFX's entry point


def arguments(folder: Path, **tuned: Any) -> FnArgs:
    settings = SHOP_SETTINGS.model_copy(update={"tuning": SHOP_SETTINGS.tuning.model_copy(update=tuned)})
    return FnArgs(
        train_files=[write(shop_rows(160, seed=1), folder / "train.gz")],
        eval_files=[write(shop_rows(80, seed=2), folder / "eval.gz")],
        transform_graph_path=str(shop().folder / "transform"),
        working_dir=str(folder / "search"),
        custom_config=settings.to_custom_config("features", "training", "tuning"),
    )


def test_folds_of_other_files_are_refused(tmp_path: Path) -> None:
    fn_args = arguments(tmp_path, folds=2)
    Blocks("random", 2, {"another.gz": np.zeros(160, np.int32)}).save(str(tmp_path))
    fn_args.custom_config[tuning.SEARCH_FOLDER_KEY] = str(tmp_path)
    with pytest.raises(ValueError, match=r"has folds of other files: expected \['.*train.gz'\], got \['another.gz'\]"):
        tuning.tuner_fn(fn_args)
