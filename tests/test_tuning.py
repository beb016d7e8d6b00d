"""The search over hyperparameters."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from small_data import SHOP_SETTINGS, separable, shop, shop_rows, write
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer import training, tuning
from trainer.columns import Columns
from trainer.preprocessing import NUMERIC
from trainer.settings import Network, TrainerSettings, Training, Tuning

SETTINGS = TrainerSettings(
    columns=Columns(label="y", numeric=("a", "b", "c")),
    training=Training(network=Network(units=(8, 4), dropout=0.2), learning_rate=0.02, batch_size=64),
    tuning=Tuning(trials=3, epochs=2, layers=(1, 2), units=(4, 8), dropout=(0.0, 0.2), learning_rate=(0.001, 0.05)),
)
DEFAULT = {"layers": 2, "units": 8, "dropout": 0.2, "learning_rate": 0.02}


def _changed(part: str, **changes: Any) -> TrainerSettings:
    return SETTINGS.model_copy(update={part: getattr(SETTINGS, part).model_copy(update=changes)})


def _search(settings: TrainerSettings, folder: Path) -> tuning.Search:
    # without categories the network asks nothing of Transform
    return tuning.Search(settings, shop().transform, separable(300, seed=1), separable(150, seed=2), str(folder))


def _tried(search: tuning.Search) -> list[dict[str, Any]]:
    return [search.oracle.trials[trial].hyperparameters.values for trial in search.oracle.start_order]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuning.Search, list[str]]:
    """A search that is over, and what it reported."""
    search = _search(SETTINGS, tmp_path_factory.mktemp("search"))
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("fraud_pipeline.progress")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    search.search()
    logger.removeHandler(handler)
    logger.setLevel(level)
    return search, lines


@pytest.mark.parametrize(
    ("settings", "default"),
    [
        (SETTINGS, DEFAULT),
        (_changed("training", learning_rate=1.0), {**DEFAULT, "learning_rate": 0.05}),
        (_changed("training", learning_rate=1e-9), {**DEFAULT, "learning_rate": 0.001}),
        (
            _changed("training", network=Network(units=(10, 5, 3), dropout=0.5)),
            {**DEFAULT, "layers": 1, "units": 4, "dropout": 0.0},
        ),
    ],
    ids=["inside", "too fast", "too slow", "another network"],
)
def test_the_space_starts_from_what_is_trained_without_a_search(
    settings: TrainerSettings, default: dict[str, Any]
) -> None:
    assert tuning.search_space(settings).values == default


def test_the_first_trial_is_the_default_and_the_others_are_not(searched: tuple[tuning.Search, list[str]]) -> None:
    search, _ = searched
    first, *others = _tried(search)
    assert first == DEFAULT
    assert len(others) == 2
    assert DEFAULT not in others
    assert others[0] != others[1]
    for values in others:
        assert values["layers"] in (1, 2)
        assert values["units"] in (4, 8)
        assert values["dropout"] in (0.0, 0.2)
        assert 0.001 <= values["learning_rate"] <= 0.05


def test_the_best_trial_has_the_best_score(searched: tuple[tuning.Search, list[str]]) -> None:
    search, _ = searched
    scores = {trial.trial_id: trial.score for trial in search.oracle.trials.values()}
    best = max(scores, key=lambda trial: scores[trial])
    assert search.oracle.get_best_trials(1)[0].trial_id == best
    assert search.get_best_hyperparameters()[0].values == search.oracle.trials[best].hyperparameters.values
    assert all(0 < score <= 1 for score in scores.values())


def test_a_trials_score_is_that_of_a_fit_with_its_values(searched: tuple[tuning.Search, list[str]]) -> None:
    search, _ = searched
    trial = search.oracle.get_best_trials(1)[0]
    told = SETTINGS.training.with_hyperparameters(trial.hyperparameters.values)
    training.make_reproducible(told.seed)
    train, evaluation = separable(300, seed=1), separable(150, seed=2)
    network = training.build(shop().transform, SETTINGS, told, train)
    history = training.fit(network, train, evaluation, told, task="Again", epochs=2)
    assert trial.score == pytest.approx(max(history[training.OBJECTIVE]), abs=1e-6)


def test_progress_counts_epochs_of_all_trials(searched: tuple[tuning.Search, list[str]]) -> None:
    search, lines = searched
    best = max(trial.score for trial in search.oracle.trials.values())
    assert [line.split(", ")[0] for line in lines] == [
        f"Tuner {done}/6 trial {(done + 1) // 2} of 3" for done in range(1, 7)
    ]
    assert lines[-1].endswith(f"best average precision {best:.3f} on eval")


def test_a_found_network_can_be_built_anew(searched: tuple[tuning.Search, list[str]]) -> None:
    search, _ = searched
    network = search.load_model(search.oracle.trials[search.oracle.start_order[0]])
    assert [layer.units for layer in network.layers if layer.name.startswith("dense")] == [8, 4]
    assert network.input[NUMERIC].shape == (None, 3)


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_tries_the_same_values(seed: int, tmp_path: Path) -> None:
    settings = _changed("training", seed=seed)
    twice = []
    for name in ("one", "two"):
        search = _search(settings, tmp_path / name)
        twice.append([search.oracle.create_trial(f"tuner{number}").hyperparameters.values for number in range(3)])
    assert twice[0] == twice[1]
    assert twice[0][0] == DEFAULT


@pytest.mark.parametrize("trials", [2, 4])
def test_a_search_without_a_trial_that_ends_well_is_an_error_with_the_reason(trials: int, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(
        update={
            "training": SETTINGS.training.model_copy(update={"network": Network(units=(8, 4), activation="relu")}),
            "tuning": Tuning(
                trials=trials, epochs=1, layers=(2,), units=(8,), dropout=(0.0,), learning_rate=(1e37, 1e38)
            ),
        }
    )
    with pytest.raises(RuntimeError, match="the loss is nan after 1 epochs; lower the learning rate"):
        _search(settings, tmp_path).search()


def test_tfxs_entry_point_searches_the_files_it_is_given(tmp_path: Path) -> None:
    result = tuning.tuner_fn(
        FnArgs(
            train_files=[write(shop_rows(160, seed=1), tmp_path / "train.gz")],
            eval_files=[write(shop_rows(80, seed=2), tmp_path / "eval.gz")],
            transform_graph_path=str(shop().folder / "transform"),
            working_dir=str(tmp_path / "search"),
            custom_config=SHOP_SETTINGS.to_custom_config("source", "features", "training", "tuning"),
        )
    )
    assert result.fit_kwargs == {}
    result.tuner.search(**result.fit_kwargs)
    # 6 units in one layer: the shop's default
    first, second = _tried(result.tuner)
    assert first == {"layers": 1, "units": 6, "dropout": 0.1, "learning_rate": 0.02}
    assert second != first
    assert (tmp_path / "search" / "search" / "oracle.json").is_file()
