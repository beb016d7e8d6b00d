"""Challengers as TFX starts them: from examples and a transform graph to scores of the test split."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from sklearn.ensemble import HistGradientBoostingClassifier
from tfx.types import artifact_utils, standard_artifacts

from components.challengers import PARTS, Challengers
from components.challengers_settings import ChallengersSettings
from components.evaluation import scores
from components.evaluation.challengers import CHALLENGERS, FraudChallengers, read_challengers
from components.reading.settings import SPLITS
from pipeline.config import load
from tests.support.small_data import shop, shop_rows, write
from tests.support.small_fold import separable
from trainer import boosted_trees, challengers, data
from trainer.boosted_trees import TREES, load_xgboost
from trainer.challengers import KINDS, TUTORIAL, Fitted, fit_challengers
from trainer.columns import identifier
from trainer.custom_config import TrainerSettings
from trainer.dataset import Transactions
from trainer.decision.settings import CalibrationSettings
from trainer.errors import InputError
from trainer.features import NUMERIC
from trainer.metrics import average_precision

pytestmark = pytest.mark.xdist_group("shop")

COUNTS = {"train": 240, "eval": 160, "test": 90}
NAMES = ("tutorial", "boosted_trees")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> standard_artifacts.Examples:
    """The shop's, as ExampleGen leaves them; the test split in two files."""
    folder = tmp_path_factory.mktemp("examples")
    for seed, (split, count) in enumerate(COUNTS.items()):
        (folder / f"Split-{split}").mkdir()
        rows = shop_rows(count, seed)
        if split == "test":
            write(rows[60:], folder / "Split-test" / "data_tfrecord-00001-of-00002.gz")
            del rows[60:]
        write(rows, folder / f"Split-{split}" / "data_tfrecord-00000-of-00002.gz")
    made = standard_artifacts.Examples()
    made.uri = str(folder)
    made.split_names = artifact_utils.encode_split_names(list(SPLITS))
    return made


def compete(examples: standard_artifacts.Examples, folder: Path, names: tuple[str, ...] = NAMES, **changed: Any) -> str:
    """The folder of the artifact that the component leaves."""
    graph, made = standard_artifacts.TransformGraph(), FraudChallengers()
    graph.uri, made.uri = str(shop().folder / "transform"), str(folder)
    settings = shop().settings.model_copy(update=changed)
    properties = {
        "custom_config": json.dumps(settings.to_custom_config(*PARTS)),
        "settings": ChallengersSettings(names=names).model_dump_json(include={"names", "rows"}),
        "seed": 7,
    }
    inputs = {"examples": [examples], "transform_graph": [graph]}
    Challengers.EXECUTOR_SPEC.executor_class().Do(inputs, {"challengers": [made]}, properties)
    return made.uri


@pytest.fixture(scope="module")
def results(examples: standard_artifacts.Examples, tmp_path_factory: pytest.TempPathFactory) -> str:
    return compete(examples, tmp_path_factory.mktemp("challengers"))


def tables(uri: str) -> dict[str, pa.Table]:
    names = sorted(name for name in os.listdir(uri) if name.endswith(".arrow"))
    return {name: pa.ipc.open_file(os.path.join(uri, name)).read_all() for name in names}


def column(uri: str, name: str) -> np.ndarray:
    return np.concatenate([table[name].to_numpy() for table in tables(uri).values()])


def loaded(examples: standard_artifacts.Examples, split: str) -> Transactions:
    return data.load([f"{examples.uri}/Split-{split}/*"], shop().transform, shop().settings.columns)


def test_each_file_of_the_test_split_has_one_of_scores_with_as_many_rows(results: str) -> None:
    by_file = tables(results)
    assert {name: table.num_rows for name, table in by_file.items()} == {
        "data_tfrecord-00000-of-00002.gz.arrow": 60,
        "data_tfrecord-00001-of-00002.gz.arrow": 30,
    }
    for table in by_file.values():
        assert table.column_names == [
            f"{name}.{what}" for name in NAMES for what in (scores.SCORE, scores.PROBABILITY, scores.DECISION)
        ]
        assert set(table.schema.types) == {pa.float32()}


def test_scores_are_in_the_order_of_the_rows(results: str, examples: standard_artifacts.Examples) -> None:
    """As those of the whole split at once, by challengers that are fitted anew to the same rows."""
    train, evaluation, test = (loaded(examples, split) for split in SPLITS)
    categories = {
        name: 1 + int(train.inputs[f"category_{identifier(name)}"][:].max())
        for name in shop().settings.columns.categorical
    }
    fitted = fit_challengers(["boosted_trees"], train, evaluation, categories, rows=10**6, seed=7)
    assert np.array_equal(column(results, "boosted_trees.score"), fitted["boosted_trees"].scores(test))
    assert len(np.unique(column(results, "boosted_trees.score"))) > 10
    assert average_precision(test.labels, column(results, "boosted_trees.score"), test.weights) > 0.2  # by chance: 0.03


def test_a_second_run_gives_equal_scores(
    results: str, examples: standard_artifacts.Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(challengers, "SCORING_BATCH", 50)  # nor does it matter how many rows are scored at once
    again = compete(examples, tmp_path)
    for name in ("boosted_trees.score", "tutorial.score", "boosted_trees.decision", "tutorial.probability"):
        np.testing.assert_allclose(column(again, name), column(results, name), rtol=1e-5, err_msg=name)


def test_the_record_says_what_each_challenger_was_made_of(results: str) -> None:
    manifests = read_challengers(results)
    assert list(manifests) == list(NAMES)
    assert (Path(results) / CHALLENGERS).is_file()
    for one in manifests.values():
        assert set(one) == {"settings", "versions", "rows", "seconds", "calibration", "decision", "threshold"}
        assert one["rows"] == COUNTS["train"]
        assert one["decision"]["costs"] == shop().settings.costs.model_dump(mode="json")
    assert manifests["boosted_trees"]["versions"] == {"xgboost": load_xgboost().__version__}
    assert manifests["boosted_trees"]["settings"]["max_delta_step"] == 1
    training = manifests["tutorial"]["settings"]["training"]
    assert (training["network"]["units"], training["epochs"], training["seed"]) == ([10, 5], 20, 7)


def test_probabilities_and_decisions_are_those_of_calibration_and_threshold(results: str) -> None:
    for name in NAMES:
        threshold = read_challengers(results)[name]["threshold"]
        probabilities = column(results, f"{name}.probability")
        assert ((probabilities >= 0) & (probabilities <= 1)).all()
        expected = probabilities >= np.float32(threshold)
        assert np.array_equal(column(results, f"{name}.decision") > 0, expected)


def test_without_calibration_probabilities_are_the_scores_and_one_challenger_is_enough(
    examples: standard_artifacts.Examples, tmp_path: Path
) -> None:
    uri = compete(examples, tmp_path, names=("boosted_trees",), calibration=CalibrationSettings(method="none"))
    assert list(read_challengers(uri)) == ["boosted_trees"]
    assert np.array_equal(column(uri, "boosted_trees.probability"), column(uri, "boosted_trees.score"))


def test_the_rows_are_left_for_the_trainer(
    examples: standard_artifacts.Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.forget()
    compete(examples, tmp_path, names=("boosted_trees",))
    monkeypatch.setattr(data, "load_parts", None)  # which would read them anew
    assert [len(loaded(examples, split)) for split in ("train", "eval")] == [COUNTS["train"], COUNTS["eval"]]


# The challengers themselves


@pytest.fixture(scope="module")
def splits() -> tuple[Transactions, Transactions, Transactions]:
    return separable(3000, seed=1), separable(800, seed=2), separable(1000, seed=3)


@pytest.fixture(scope="module")
def trees(splits: tuple[Transactions, ...]) -> Fitted:
    train, evaluation, _ = splits
    return fit_challengers(["boosted_trees"], train, evaluation, {}, rows=10**6, seed=3)["boosted_trees"]


def test_boosted_trees_are_as_good_as_a_plain_call_of_xgboost(splits: tuple[Transactions, ...], trees: Fitted) -> None:
    train, _, test = splits
    model = load_xgboost().XGBClassifier(
        n_estimators=trees.settings["trees"],
        random_state=3,
        scale_pos_weight=np.sqrt(1 / train.fraud_rate - 1),
        **{name: value for name, value in TREES.items() if name != "objective"},
    )
    model.fit(train.inputs[NUMERIC], train.labels, sample_weight=train.weights / train.weights.mean())
    plain = model.predict_proba(test.inputs[NUMERIC])[:, 1]
    np.testing.assert_allclose(trees.scores(test), plain, atol=1e-4)
    ours = average_precision(test.labels, trees.scores(test), test.weights)
    assert ours == pytest.approx(average_precision(test.labels, plain, test.weights), abs=1e-3)


def test_boosted_trees_tell_what_two_columns_do_together(splits: tuple[Transactions, ...]) -> None:
    """Fraud goes by the product of the two, of which trees of one split learn next to nothing."""

    def together(rows: Transactions) -> Transactions:
        numeric, noise = rows.inputs[NUMERIC], np.random.default_rng(len(rows)).normal(size=len(rows))
        labels = (numeric[:, 0] * numeric[:, 1] + 0.3 * noise > 1).astype(np.float32)
        return Transactions(rows.inputs, labels, np.ones(len(rows), np.float32))

    train, evaluation, test = (together(rows) for rows in splits)
    fitted = fit_challengers(["boosted_trees"], train, evaluation, {}, rows=10**6, seed=3)["boosted_trees"]
    other = HistGradientBoostingClassifier().fit(train.inputs[NUMERIC], train.labels)
    plain = other.predict_proba(test.inputs[NUMERIC])[:, 1]
    ours, theirs = (average_precision(test.labels, one, test.weights) for one in (fitted.scores(test), plain))
    assert ours >= 0.95 * theirs


def test_boosting_stops_when_eval_gets_no_better(trees: Fitted) -> None:
    assert 0 < trees.settings["trees"] < challengers.ROUNDS


def test_rows_in_slices_make_such_trees_too(
    splits: tuple[Transactions, ...], trees: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, evaluation, test = splits
    monkeypatch.setattr(challengers, "SCORING_BATCH", 700)
    sliced = fit_challengers(["boosted_trees"], train, evaluation, {}, rows=10**6, seed=3)["boosted_trees"]
    # the bins' edges may differ by a little
    assert np.corrcoef(trees.scores(test), sliced.scores(test))[0, 1] > 0.98


def test_a_category_is_no_number(splits: tuple[Transactions, ...]) -> None:
    """Fraud goes by whether the index is a multiple of 7: next to no tree of few splits by order tells that."""
    index = np.arange(2000) * 37 % 50

    def of(rows: slice) -> Transactions:
        labels = (index[rows] % 7 == 0).astype(np.float32)
        inputs = {NUMERIC: np.zeros((len(labels), 1), np.float32), "category_shop": index[rows, None]}
        return Transactions(inputs, labels, np.ones(len(labels), np.float32))

    train, evaluation = of(slice(1500)), of(slice(1500, None))
    fitted = fit_challengers(["boosted_trees"], train, evaluation, {"shop": 50}, rows=10**6, seed=3)["boosted_trees"]
    assert average_precision(evaluation.labels, fitted.scores(evaluation)) == 1
    unseen = {NUMERIC: np.zeros((2, 1), np.float32), "category_shop": np.array([[60], [1000]])}
    assert np.isfinite(fitted.score(unseen)).all()


def test_the_tutorials_network_is_the_tutorials_configuration() -> None:
    configs = Path(__file__).resolve().parents[1] / "configs"
    assert load(configs / "tutorial.yaml").training == TUTORIAL


def test_loading_xgboost_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def load_module(name: str) -> str:
        seen.append(os.environ["OMP_WAIT_POLICY"])
        return name

    monkeypatch.setattr(boosted_trees.importlib, "import_module", load_module)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert load_xgboost() == "xgboost"
    assert os.environ["OMP_WAIT_POLICY"] == "active"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    load_xgboost()
    assert "OMP_WAIT_POLICY" not in os.environ
    assert seen == ["active", "passive"]


# Their settings


def test_names_of_the_settings_are_those_that_can_be_fitted() -> None:
    choices = get_args(get_args(ChallengersSettings.model_fields["names"].annotation)[0])
    assert set(choices) == set(KINDS)
    assert ChallengersSettings().names == NAMES


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"names": []}, "names is empty; name tutorial, boosted_trees or both, or switch them off: challengers: off"),
        ({"names": ["tutorial", "tutorial"]}, "each challenger is named once, got tutorial, tutorial"),
        ({"names": ["catboost"]}, "Input should be 'tutorial' or 'boosted_trees'"),
        ({"rows": 10}, "greater than or equal to 1000"),
        ({"max_average_precision_loss": 1.5}, "less than or equal to 1"),
        ({"trees": 10}, "Extra inputs are not permitted"),
    ],
)
def test_bad_settings_give_sentences(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        ChallengersSettings.model_validate(settings)


def test_the_config_says_where_it_is_wrong_and_knows_off() -> None:
    assert not load(None, ["challengers=off"]).challengers.enabled
    with pytest.raises(InputError, match=r"challengers\.names.*'tutorial' or 'boosted_trees'.*got 'svm'"):
        load(None, ["challengers.names=[svm]"])


def test_its_settings_are_part_of_the_trainers() -> None:
    assert set(PARTS) < set(TrainerSettings.model_fields)
