"""The Tuner as TFX starts it: from artifacts to artifacts, with and without folds, interrupted or not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorflow_transform.tf_metadata import schema_utils
from tfx.types import artifact_utils, channel_utils, standard_artifacts

from components.properties import FEATURES_PROPERTY
from components.tuner import TENSORBOARD, Executor, FraudTuner, digest
from pipeline.source_digest import dotted_path
from tests.support.small_data import BEAM, Row, analyze, raw_spec, write
from tests.support.small_search import heard
from trainer.columns import EXAMPLE_WEIGHT, Columns
from trainer.custom_config import TrainerSettings
from trainer.errors import InputError
from trainer.features import Features
from trainer.search.settings import Range, Space, Tuning
from trainer.search.trials import Record
from trainer.search.tuning import SEARCH_FOLDER_KEY, tuner_fn
from trainer.settings import Network, Resources, Training

COLUMNS = Columns(label="fraud", time="when", time_format="epoch", numeric=("balance",), categorical={"card": "string"})
PARTS = ("features", "training", "tuning", "resources", "split_by")
SPACE = Space(units=(2, 4), learning_rate=Range(low=0.01, high=0.1))


def search_settings(**tuning: Any) -> TrainerSettings:
    return TrainerSettings(
        columns=COLUMNS,
        features=Features(max_vocabulary=10, out_of_vocabulary=2),
        training=Training(network=Network(units=(2,)), learning_rate=0.05, batch_size=40),
        tuning=Tuning(**{"space": SPACE, "trials": 2, "epochs": 1, **tuning}),
    )


def transactions(count: int) -> list[Row]:
    return [
        {
            "fraud": int(number % 4 == 0),
            EXAMPLE_WEIGHT: 1.0,
            "when": 1_700_000_000 + 60 * number,
            "balance": float(number % 4 + number % 7),
            "card": "gold" if number % 5 < 2 else "blue",
        }
        for number in range(count)
    ]


@pytest.fixture(scope="module", autouse=True)
def _no_arguments() -> Iterator[None]:
    """TFX's Beam executors read the flags of the process: `-v` means another thing to them than to pytest."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", sys.argv[:1])
        yield


class Shop:
    """Artifacts as the components before leave them."""

    def __init__(self, folder: Path):
        rows = transactions(120)
        self.searches = folder / "searches"
        self._folder = folder
        self._runs = 0
        self.examples, schema, graph = standard_artifacts.Examples(), standard_artifacts.Schema(), None
        for split, part in {"train": rows[:80], "eval": rows[80:]}.items():
            (folder / "examples" / f"Split-{split}").mkdir(parents=True)
            write(part, folder / "examples" / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz")
        self.examples.uri = str(folder / "examples")
        self.examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
        self.examples.set_string_custom_property(
            FEATURES_PROPERTY, json.dumps({**COLUMNS.raw_kinds, "fraud": "integer", EXAMPLE_WEIGHT: "float"})
        )
        (folder / "schema").mkdir()
        spec = raw_spec(COLUMNS)
        tfdv.write_schema_text(schema_utils.schema_from_feature_spec(spec), str(folder / "schema" / "schema.pbtxt"))
        schema.uri = str(folder / "schema")
        graph = standard_artifacts.TransformGraph()
        graph.uri = str(folder / "graph")
        analyze(rows[:80], spec, search_settings(), folder / "graph")
        self._inputs = {"examples": [self.examples], "schema": [schema], "transform_graph": [graph]}

    def tune(self, settings: TrainerSettings, **budget: Any) -> Path:
        """The folder of the results: what each output artifact holds, by the output's name.

        budget: trials and minutes of the run, which replace those of the settings.
        """
        channels = {key: channel_utils.as_channel(artifacts) for key, artifacts in self._inputs.items()}
        component = FraudTuner(
            **channels,
            tuner_fn=dotted_path(tuner_fn),
            custom_config=settings.to_custom_config(*PARTS),
            search_folder=str(self.searches),
            **{"trials": settings.tuning.trials, "budget_minutes": settings.tuning.budget_minutes or 0.0, **budget},
        )
        self._runs += 1
        folder = self._folder / f"run_{self._runs}"
        outputs = {}
        for key, channel in component.outputs.items():
            artifact = channel.type()
            artifact.uri = str(folder / key)
            Path(artifact.uri).mkdir(parents=True)
            outputs[key] = [artifact]
        context = Executor.Context(beam_pipeline_args=list(BEAM), tmp_dir=str(folder / "tmp"), unique_id="1")
        properties = {key: value for key, value in component.exec_properties.items() if value is not None}
        Executor(context).Do(self._inputs, outputs, properties)
        return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def results(shop: Shop) -> Path:
    return shop.tune(search_settings())


def test_it_writes_what_tfx_s_does_and_a_record_beside_it(shop: Shop, results: Path) -> None:
    record = Record.load(str(results / "tuner_results"))
    assert [(trial.status, len(trial.curve)) for trial in record.trials] == [("completed", 1)] * 2
    assert record.trials[0].values == {"units": 2, "learning_rate": 0.05}
    assert record.folds == 0
    best = json.loads((results / "best_hyperparameters" / "best_hyperparameters.txt").read_text())
    assert best["values"] == record.trial(record.best).values
    listed = json.loads((results / "tuner_results" / "tuner_results.json").read_text())
    assert {trial["trial_id"]: trial["score"] for trial in listed} == {
        trial.trial_id: trial.score for trial in record.trials
    }
    assert list(shop.searches.iterdir()) == []


def test_tensorboard_shows_each_trial(results: Path) -> None:
    record = Record.load(str(results / "tuner_results"))
    folders = sorted((results / "tuner_results" / TENSORBOARD).iterdir())
    assert len(folders) == len(record.trials)
    for folder, trial in zip(folders, record.trials, strict=True):
        events = EventAccumulator(str(folder))
        events.Reload()
        shown = [tf.make_ndarray(event.tensor_proto).item() for event in events.Tensors("val_average_precision")]
        assert shown == pytest.approx(trial.curve)


def test_a_search_over_folds_that_was_interrupted_goes_on_with_the_same_folds(shop: Shop) -> None:
    settings = search_settings(folds=2, prune_trials=False).model_copy(update={"split_by": "random"})
    lines: list[str] = []

    def interrupt(line: str) -> None:
        lines.append(line)
        if "trial 2 of 2" in line:
            raise KeyboardInterrupt

    with heard(interrupt), pytest.raises(KeyboardInterrupt):
        shop.tune(settings)
    (folder,) = shop.searches.iterdir()
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("fold_*/transform_fn/saved_model.pb")}
    assert len(stamps) == 2
    first = (folder / "search" / "trial_0" / "trial.json").read_text()

    def look(line: str) -> None:
        lines.append(line)
        assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
        assert (folder / "search" / "trial_0" / "trial.json").read_text() == first

    del lines[:]
    with heard(look):
        results = shop.tune(settings)
    assert all("trial 2 of 2" in line for line in lines)
    record = Record.load(str(results / "tuner_results"))
    assert record.folds == 2
    assert all(len(trial.folds) == 2 and trial.spread is not None for trial in record.trials)
    assert not folder.exists()


def test_too_many_folds_are_an_error_in_words(shop: Shop) -> None:
    with pytest.raises(InputError, match=r"the training split has 20 frauds for 31 blocks; take tuning.folds=\d+"):
        shop.tune(search_settings(folds=30))
    (left,) = shop.searches.iterdir()
    left.rmdir()  # there is nothing in it


def test_a_run_searches_with_its_own_trials_and_minutes(shop: Shop, results: Path) -> None:
    fewer = shop.tune(search_settings(), trials=1)
    assert len(Record.load(str(fewer / "tuner_results")).trials) == 1
    stopped = shop.tune(search_settings(), budget_minutes=1e-9)
    assert len(Record.load(str(stopped / "tuner_results")).trials) < len(
        Record.load(str(results / "tuner_results")).trials
    )


@pytest.mark.parametrize(
    ("budget", "fault"),
    [
        ({"trials": 0}, "trials: a search needs a budget above 0, got 0"),
        ({"budget_minutes": -1.0}, "budget_minutes: a search needs a budget above 0, got -1"),
    ],
)
def test_a_run_without_a_budget_is_refused(shop: Shop, budget: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=f"the search can't run with this run's parameters: {fault}"):
        shop.tune(search_settings(), **budget)
    assert list(shop.searches.iterdir()) == []


# Which search it is


def files(folder: Path) -> list[str]:
    return [write(transactions(3), folder / name) for name in ("a.gz", "b.gz")]


def named(settings: TrainerSettings, files: list[str], graph: str = "graph", source: str = "source") -> str:
    config = settings.to_custom_config(*PARTS)
    return digest({**config, SEARCH_FOLDER_KEY: "anywhere"}, source, files, graph)


def test_a_search_has_a_name_by_all_that_its_scores_depend_on(tmp_path: Path) -> None:
    examples = files(tmp_path)
    name = named(search_settings(), examples)
    assert named(search_settings(), examples) == name
    changed: list[Callable[[], str]] = [
        lambda: named(search_settings(trials=3), examples),
        lambda: named(search_settings(folds=2), examples),
        lambda: named(search_settings(seed=5), examples),
        lambda: named(search_settings(space=Space(units=(2,))), examples),
        lambda: named(search_settings().model_copy(update={"training": Training()}), examples),
        lambda: named(search_settings().model_copy(update={"features": Features()}), examples),
        lambda: named(search_settings().model_copy(update={"split_by": "random"}), examples),
        lambda: named(search_settings(), examples, graph="another"),
        lambda: named(search_settings(), examples, source="another"),
        lambda: named(search_settings(), examples[:1]),
    ]
    names = {change() for change in changed}
    assert len({name, *names}) == 1 + len(changed)
    os.utime(examples[1], (1, 1))
    assert named(search_settings(), examples) not in {name, *names}


@given(workers=st.integers(1, 9), minutes=st.none() | st.floats(0.1, 99), external=st.booleans())
def test_who_runs_it_and_for_how_long_does_not_matter(workers: int, minutes: float | None, external: bool) -> None:
    other = search_settings(workers=workers, budget_minutes=minutes, external_workers=external).model_copy(
        update={"resources": Resources(memory_mb=1024 * workers)}
    )
    assert named(other, []) == named(search_settings(), [])


def test_the_folder_is_a_property_of_the_component(shop: Shop) -> None:
    settings = search_settings().to_custom_config(*PARTS)
    component = FraudTuner(
        examples=channel_utils.as_channel([shop.examples]),
        schema=channel_utils.as_channel([standard_artifacts.Schema()]),
        transform_graph=channel_utils.as_channel([standard_artifacts.TransformGraph()]),
        tuner_fn=dotted_path(tuner_fn),
        custom_config=settings,
        search_folder="here",
        trials=3,
        budget_minutes=0.0,
    )
    assert (component.exec_properties["trials"], component.exec_properties["budget_minutes"]) == (3, 0.0)
    assert json.loads(component.exec_properties["custom_config"]) == {**settings, SEARCH_FOLDER_KEY: "here"}
