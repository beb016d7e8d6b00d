"""The configuration: presets, overrides, and errors that say what to change."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.config import Config, load, preset
from pipeline.escaping import in_yaml
from trainer.errors import InputError
from trainer.sampling import SamplingRates
from trainer.search.settings import SPACES, Range, Tuning

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_is_valid_and_its_schema_is_there(path):
    config = load(path)
    assert config.roles.label == "Class"
    assert config.schema_path is not None
    assert config.schema_path.is_file()


def test_a_preset_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert preset("local").read_text() == (CONFIGS / "local.yaml").read_text()
    with pytest.raises(InputError, match=r"no preset nothing\.yaml"):
        preset("nothing")


def test_extends_merges_key_by_key(tmp_path):
    (tmp_path / "child.yaml").write_text(f"extends: {CONFIGS / 'local.yaml'}\ntraining: {{epochs: 3}}\n")
    config = load(tmp_path / "child.yaml")
    assert config.training.epochs == 3
    assert config.training.batch_size == load(CONFIGS / "local.yaml").training.batch_size


def test_extends_in_a_circle_is_an_error(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(InputError, match="extends itself"):
        load(tmp_path / "a.yaml")


@given(epochs=st.integers(1, 10_000), rate=st.floats(1e-6, 1.0), name=st.from_regex(r"\A[a-z][a-z0-9-]{0,20}\Z"))
def test_set_overrides_any_key_with_its_type(epochs, rate, name):
    config = load(
        CONFIGS / "local.yaml",
        [f"training.epochs={epochs}", f"training.learning_rate={rate!r}", f"name='{name}'", "tuning.enabled=false"],
    )
    assert (config.training.epochs, config.training.learning_rate) == (epochs, rate)
    assert (config.name, config.tuning.enabled) == (name, False)


def test_set_leaves_a_section_alone_that_is_an_alias_of_the_one_that_it_changes():
    overrides = ["kubeflow.components.Tuner.gpus=2", "kubeflow.components.Tuner.env.A=x"]
    components = load(CONFIGS / "kubeflow.yaml", overrides).kubeflow.components
    assert (components["Tuner"].gpus, components["Trainer"].gpus) == (2, 1)
    assert (components["Tuner"].env, components["Trainer"].env) == ({"A": "x"}, {})


def test_all_faults_come_at_once_with_the_value_and_the_nearest_key():
    overrides = ["training.epoch=1", "training.batch_size=-3", "data.split.train=1.5", "features.scaling=best"]
    with pytest.raises(InputError) as caught:
        load(CONFIGS / "local.yaml", overrides)
    message = str(caught.value)
    assert "has 4 faults" in message
    assert "training.epoch: unknown key; did you mean epochs?" in message
    assert "training.batch_size: expected more than 0, got -3" in message
    assert "data.split.train" in message
    assert "got 1.5" in message
    assert "'standard' or 'unit_norm', got 'best'" in message


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.epochs"], "--set takes key=value, got 'training.epochs'"),
        (["name.x=1"], "name is a value, not a section"),
        (["data.split.train=0.7"], "must add up to 1, got 1.05"),
        (["columns.time=null"], "columns.time names no column; name it, or split by random"),
        (["columns.amount=V1"], "each column has one role, got two or more for V1"),
        (["training.epochs=[1"], "is not YAML"),
    ],
)
def test_an_error_says_what_is_wrong(overrides, message):
    with pytest.raises(InputError) as caught:
        load(CONFIGS / "local.yaml", overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "holds a list, expected keys and values"),
        ("a: [", "cannot be read as YAML: line 1, column 5: "),
        ("costs: {review: 1}\ntraining: {epochs: 1}\ncosts: {}\n", "line 3, column 1: the key 'costs' stands twice"),
    ],
)
def test_a_file_that_is_no_config_is_an_error(tmp_path, text, message):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load(tmp_path / "config.yaml")


def test_a_missing_file_is_an_error():
    with pytest.raises(InputError, match=r"no configuration nowhere\.yaml"):
        load("nowhere.yaml")


def test_a_data_card_fills_what_the_config_leaves_open_and_no_more():
    roles = {"label": "fraud", "time": "when", "numeric": ["a"]}
    rates = SamplingRates(fraud=0.5, legitimate=0.1)
    filled = Config().completed(rates, roles)
    assert filled.roles.label == "fraud"
    assert filled.sampling_rates == rates
    own = load(CONFIGS / "local.yaml", ["data.sampling_rates={fraud: 1, legitimate: 0.2}"]).completed(rates, roles)
    assert own.roles.label == "Class"
    assert own.sampling_rates == SamplingRates(fraud=1, legitimate=0.2)


def test_without_roles_the_way_out_is_named():
    with pytest.raises(InputError, match=r"have them proposed: .* init DATA"):
        Config().completed(SamplingRates(), None)
    with pytest.raises(InputError, match="the data card has 1 fault"):
        Config().completed(SamplingRates(), {"label": "a", "times": "b"})


# What a user reads: the file, then for each fault the key, the value and what to do


def faults_of(*overrides: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(CONFIGS / "local.yaml", overrides)
    first, *faults = str(caught.value).splitlines()
    # a fault of several keys is one of the file and the options together
    sources = ("--set", f"{CONFIGS / 'local.yaml'} together with --set")
    assert first in [f"{source} has {len(faults)} fault{'s' * (len(faults) > 1)}:" for source in sources]
    return [fault.strip() for fault in faults]


@pytest.mark.parametrize(
    ("override", "fault_text"),
    [
        (
            "tuning.objective=auc",
            "tuning.objective: expected 'average_precision', 'roc_auc', 'recall_at_1_percent_false_positives' "
            "or 'loss', got 'auc'",
        ),
        ("tuning.oracle=tpe", "tuning.oracle: expected 'random', 'hyperband', 'bayesian' or 'grid', got 'tpe'"),
        (
            "tuning.space={}",
            "tuning.space: the space is empty; name at least one hyperparameter to search, such as learning_rate: "
            "{low: 0.0003, high: 0.01}, or switch the search off with tuning: off",
        ),
        (
            "tuning.space=large",
            "tuning.space: no preset is called 'large'; there are default, tutorial, wide, or give a mapping",
        ),
        (
            "tuning.space.units=[]",
            "tuning.space.units: expected at least one choice, got []; null keeps the value of training",
        ),
        ("tuning.space.units=8", "tuning.space.units: expected a list of choices, got 8; for a single one give [8]"),
        (
            "tuning.space.learning_rate=[0.1, 0]",
            "tuning.space.learning_rate.1: expected more than 0, got 0",
        ),
        (
            "tuning.space.learning_rate={low: 1e-2, high: 1e-4}",
            "tuning.space.learning_rate: low must be below high, got 0.01 and 0.0001; for one value give [value]",
        ),
        ("tuning.space.learning_rate={low: 0.1}", "tuning.space.learning_rate.high: missing; set it in the config"),
        (
            "tuning.space.learning_rate={low: 0.1, hihg: 1, high: 1}",
            "tuning.space.learning_rate.hihg: unknown key; did you mean high?",
        ),
        (
            "tuning.space.dropout={low: -1, high: 0.5}",
            "tuning.space.dropout.low: expected at least 0, got -1",
        ),
        ("tuning.space.dropout={low: 0, high: 1}", "tuning.space: dropout must stay below 1, got 1"),
        (
            "tuning.space.learning_rate={low: 0, high: 1}",
            "tuning.space: learning_rate is searched on a log scale, so its low must be above 0",
        ),
        (
            "tuning.space.fraud_weight=[heavy, 3]",
            "tuning.space.fraud_weight.0: expected a number or 'balanced', got 'heavy'",
        ),
        ("tuning.space.unit=[8]", "tuning.space.unit: unknown key; did you mean units?"),
        ("tuning.layers=[1]", "tuning.layers: unknown key; did you mean space.layers?"),
        ("training.units=[8]", "training.units: unknown key; did you mean network.units?"),
        ("tuning.trials=0", "tuning.trials: a search needs a budget above 0, got 0; to train without one: tuning: off"),
        ("tuning.epochs=0", "tuning.epochs: a search needs a budget above 0, got 0; to train without one: tuning: off"),
        (
            "tuning.budget_minutes=-0.5",
            "tuning.budget_minutes: a search needs a budget above 0, got -0.5; to train without one: tuning: off",
        ),
        ("tuning.folds=1", "tuning.folds: expected at least 2, got 1"),
        ("tuning={warm_start: 5}", "tuning.warm_start: expected a text or a mapping, got 5"),
        ("tuning.warm_start={1: 5}", "tuning.warm_start.1: expected a text, got 1"),
        (
            "tuning.warm_start={unit: 5}",
            "tuning.warm_start: no hyperparameter is called unit; there are layers, units, shape, activation, "
            "dropout, batch_normalization, weight_decay, optimizer, learning_rate, momentum, batch_size, epochs, loss, "
            "focal_gamma, fraud_weight",
        ),
        (
            "tuning.warm_start={units: many, layers: 0}",
            "tuning.warm_start: layers: expected more than 0, got 0; units: expected a whole number, got 'many'",
        ),
        (
            "tuning={oracle: hyperband, space: {epochs: [2, 4]}}",
            "tuning: oracle hyperband sets the epochs of each trial itself, got space.epochs [2, 4]; leave "
            "space.epochs out, or take another oracle, such as random",
        ),
        (
            "tuning={objective: loss, space: {loss: [focal, huber], units: [8]}}",
            "tuning: objective loss can't compare losses of different kinds or weights, got loss in the space; leave "
            "them out of it, or take another objective, such as average_precision",
        ),
        (
            "tuning.space.momentum=[0.5, 0.9]",
            "tuning.space.momentum is tried with optimizer sgd only, but training.optimizer is adam; add sgd to "
            "tuning.space.optimizer, or leave tuning.space.momentum out",
        ),
        (
            "tuning.space={focal_gamma: [1, 2], loss: [huber]}",
            "tuning.space.focal_gamma is tried with loss focal only, but tuning.space.loss is [huber]; add focal to "
            "tuning.space.loss, or leave tuning.space.focal_gamma out",
        ),
        (
            "training.fraud_weight=heavy",
            "training.fraud_weight: expected a number or 'balanced', got 'heavy'",
        ),
        ("training.optimizer=adamax", "got 'adamax'"),
        ("training.learning_rate=.nan", "training.learning_rate: expected a finite number, got nan"),
        ("data.sampling_rates.frauds=1", "data.sampling_rates.frauds: unknown key; did you mean fraud?"),
        ("data.sampling_rates=5", "data.sampling_rates: "),
        ("training.threshold=0.4", "training.threshold: unknown key; it is decision.threshold now"),
        ("decision.threshold=2", "decision.threshold: expected at most 1 or 'auto', got 2"),
        (
            "decision={by: alerts}",
            "decision: by alerts needs alerts_a_day, how many transactions may be stopped a day; set it",
        ),
        ("decision.by=cost", "decision.by: expected 'threshold', 'amount' or 'alerts', got 'cost'"),
        ("costs.review=-5", "costs.review: expected at least 0, got -5"),
        ("costs.reviews=5", "costs.reviews: unknown key; did you mean review?"),
        (
            "calibration.method=beta",
            "calibration.method: expected 'auto', 'platt', 'isotonic' or 'none', got 'beta'",
        ),
    ],
)
def test_a_fault_is_reported_once_by_its_key(override: str, fault_text: str) -> None:
    (fault,) = faults_of(override)
    assert fault.startswith(fault_text) or (
        fault.startswith(override.split("=")[0] + ": ") and fault.endswith(fault_text)
    )


def test_what_a_decision_goes_by_must_be_in_the_data() -> None:
    assert faults_of("decision.by=amount", "columns.amount=null") == [
        "decision.by is amount but columns.amount names no column; name it, or set decision.by: threshold"
    ]
    random = ("data.split.by=random", "columns.time=null", "decision={by: alerts, alerts_a_day: 20}")
    assert faults_of(*random) == [
        "decision.by is alerts but columns.time names no column; name it, or set decision.by: threshold"
    ]
    # also where the roles come from the data card
    with pytest.raises(InputError, match=r"the data card has 1 fault:\n  decision\.by is amount but columns\.amount"):
        Config(decision={"by": "amount"}).completed(SamplingRates(), {"label": "fraud", "time": "when"})


def test_something_must_be_left_to_learn_from() -> None:
    roles = {"label": "fraud", "time": "when"}
    fault = "the time is the only column to learn from and features.use_time is off; turn it on"
    with pytest.raises(InputError, match=f"has 1 fault:\n  {fault}"):
        Config(features={"use_time": False}).completed(SamplingRates(), roles)
    with pytest.raises(ValidationError, match=fault):
        Config(features={"use_time": False}, columns=roles)


def test_calibration_can_be_switched_off_in_a_word() -> None:
    assert load(CONFIGS / "local.yaml", ["calibration=off"]).calibration.method == "none"


def test_the_tutorial_decides_by_the_networks_own_scores() -> None:
    config = load(CONFIGS / "tutorial.yaml")
    assert (config.calibration.method, config.decision.threshold) == ("none", 0.5)


def test_faults_of_a_search_are_reported_together() -> None:
    overrides = ("tuning.trials=0", "tuning.space.units=[]", "tuning.space.dropout=[2]", "tuning.objectve=loss")
    keys = [fault.split(":")[0] for fault in faults_of(*overrides)]
    assert sorted(keys) == ["tuning.objectve", "tuning.space.dropout.0", "tuning.space.units", "tuning.trials"]


@pytest.mark.parametrize("switch", ["off", "false", "{enabled: false}"])
def test_the_search_can_be_switched_off_in_a_word(switch: str) -> None:
    assert load(CONFIGS / "local.yaml", [f"tuning={switch}"]).tuning == Tuning(enabled=False)


def test_overrides_define_a_search() -> None:
    overrides = ["tuning.space=wide", "tuning.oracle=bayesian", "tuning.folds=3", "tuning.workers=2"]
    tuning = load(CONFIGS / "local.yaml", overrides).tuning
    assert (tuning.space, tuning.oracle, tuning.folds, tuning.workers) == (SPACES["wide"], "bayesian", 3, 2)
    tuning = load(
        CONFIGS / "local.yaml",
        ["tuning.space={units: [8], learning_rate: {low: 1e-4, high: 1e-2}, fraud_weight: [1, balanced]}"],
    ).tuning
    assert tuning.space.domains == {
        "units": (8,),
        "learning_rate": Range(low=0.0001, high=0.01),
        "fraud_weight": (1.0, "balanced"),
    }


def test_a_searchs_folder_is_in_the_workspace(tmp_path: Path) -> None:
    assert load(CONFIGS / "local.yaml", [f"workspace={tmp_path}"]).searches == tmp_path / "searches"


@pytest.mark.parametrize(("old", "new"), [("elsewhere", "external_workers"), ("stop_hopeless", "prune_trials")])
def test_a_key_of_an_earlier_version_works_and_is_named(
    old: str, new: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fraud.yaml"
    for value in (True, False):
        path.write_text(f"tuning:\n  {old}: {str(value).lower()}\n")
        assert getattr(load(path).tuning, new) is value
        warning = f"tuning.{old} is called tuning.{new} now; it still works, please rename it in {path}\n"
        assert capsys.readouterr().err == warning

    path.write_text("name: mine\n")
    for override in (f"tuning={{{old}: true}}", f"tuning.{old}=true"):
        assert getattr(load(path, [override]).tuning, new) is True
        warning = f"tuning.{old} is called tuning.{new} now; it still works, please rename it in --set {override}\n"
        assert capsys.readouterr().err == warning


def test_a_key_of_an_earlier_version_overrides_and_is_overridden_like_its_name_of_today(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, path = tmp_path / "base.yaml", tmp_path / "fraud.yaml"
    for in_base, in_file, in_override in itertools.product(("stop_hopeless", "prune_trials"), repeat=3):
        base.write_text(f"tuning: {{{in_base}: true}}")
        path.write_text(f"extends: base.yaml\ntuning: {{{in_file}: false}}")
        assert load(path).tuning.prune_trials is False
        assert load(path, [f"tuning.{in_override}=true"]).tuning.prune_trials is True
    capsys.readouterr()
    base.write_text("tuning: {stop_hopeless: true}")
    path.write_text("extends: base.yaml\n")
    load(path)
    assert capsys.readouterr().err.endswith(f"please rename it in {base}\n")


def test_both_names_of_a_key_are_one_too_many(tmp_path: Path) -> None:
    path = tmp_path / "fraud.yaml"
    path.write_text("tuning: {elsewhere: true, external_workers: false}")
    with pytest.raises(InputError, match=r"sets tuning.external_workers and tuning.elsewhere, its earlier name"):
        load(path)
    with pytest.raises(InputError, match=r"--set tuning=.* sets tuning.external_workers and tuning.elsewhere"):
        load(None, ["tuning={elsewhere: true, external_workers: false}"])


# Where a value is from, and paths


def test_each_fault_is_told_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("costs: {review: -1}\ntraining: {epochs: 0, seed: 3}\n")
    (tmp_path / "own.yaml").write_text("extends: base.yaml\ntraining: {seed: -3}\nnamee: x\n")
    with pytest.raises(InputError) as caught:
        load(tmp_path / "own.yaml", ["training.batch_size=-3", "data.split.train=0.9", "training.epochs=-2"])
    blocks = {block.split("\n")[0]: set(block.split("\n  ")[1:]) for block in re.split(r"\n(?=\S)", str(caught.value))}
    assert blocks == {
        "--set has 2 faults:": {
            "training.batch_size: expected more than 0, got -3",
            "training.epochs: expected more than 0, got -2",
        },
        f"{tmp_path / 'own.yaml'} together with --set has 1 fault:": {
            "data.split: train, eval and test must add up to 1, got 1.25",
        },
        f"{tmp_path / 'own.yaml'} has 2 faults:": {
            "training.seed: expected at least 0, got -3",
            "namee: unknown key; did you mean name?",
        },
        f"{tmp_path / 'base.yaml'} has 1 fault:": {"costs.review: expected at least 0, got -1"},
    }


path_texts = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.sampled_from("#*:?[]{}'\"~%@!&|>- \n\t/"),
    min_size=1,
    max_size=20,
)


@given(text=path_texts)
def test_a_path_from_the_command_line_is_never_another_one(text: str) -> None:
    assert load(CONFIGS / "local.yaml", data_path=text).data.path == text
    # as commands that are suggested have it
    assert load(CONFIGS / "local.yaml", [f"data.path={in_yaml(text)}"]).data.path == text
    is_quoted = len(text.strip()) > 1 and text.strip()[0] == text.strip()[-1] and text.strip()[0] in "\"'"
    if text.strip() and not is_quoted:
        assert load(CONFIGS / "local.yaml", [f"data.path={text}"]).data.path == text.strip()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs=5 # five", "what follows # is a comment, and would be lost; put the value in quotes"),
        ("data={path: tx.csv #2.csv}", "is not YAML: line 1"),
        ("data.path=", "data.path: expected a path, got an empty text"),
        ('data.path="a\\0b"', "data.path: no path has a NUL character in it"),
        ('workspace="a\\0b"', "workspace: no path has a NUL character in it"),
        ('data.path="\\udcff.csv"', "data.path: the metadata of runs can't hold a path that is not UTF-8"),
        ("workspace=s3://bucket/ws", "workspace: expected a path on this machine, got s3://bucket/ws; copy it here"),
        ("schema=gs://bucket/a.pbtxt", "schema: expected a path on this machine, got gs://bucket/a.pbtxt"),
        ("name=Fraud", "name: expected at most 100 lower-case letters, digits and hyphens, beginning with a letter"),
        (".".join("a" * 60) + "=1", "no key has so many parts"),
        ("training.epochs=" + "[" * 99, "it is nested too deeply"),
    ],
)
def test_a_setting_that_can_not_be_meant_is_refused(override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(CONFIGS / "local.yaml", [override])
    assert message in str(caught.value)


def test_paths_begin_where_the_docs_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "base.yaml").write_text("schema: s.pbtxt\nworkspace: ~/ws\n")
    (tmp_path / "own.yaml").write_text("extends: base.yaml\n")
    config = load(tmp_path / "own.yaml")
    assert (config.root, config.schema_path) == (tmp_path / "home" / "ws", tmp_path / "s.pbtxt")
    (tmp_path / "own.yaml").write_text("schema: ~/s.pbtxt\n")
    assert load(tmp_path / "own.yaml").schema_path == tmp_path / "home" / "s.pbtxt"
    monkeypatch.chdir(tmp_path)
    assert load("own.yaml", ["workspace=file:///srv/ws", "schema=a.pbtxt"]).root == Path("/srv/ws")
    assert load("own.yaml", ["workspace=~nobody-of-that-name/ws"]).root == tmp_path / "~nobody-of-that-name" / "ws"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "c.yaml").write_text("name: there\n")
    (tmp_path / "own.yaml").write_text("extends: ~/c.yaml\n")
    assert load("own.yaml").name == load("~/c.yaml").name == "there"


@given(folder=st.text(st.sampled_from("ab?*[]\\"), min_size=1, max_size=6))
def test_a_workspace_that_stands_for_others_too_is_refused(folder: str) -> None:
    if set(folder) & set("?*[]\\"):
        with pytest.raises(InputError, match=r"in its path, by which TFX and Beam would find other folders as well"):
            load(CONFIGS / "local.yaml", [f"workspace={folder}"])
    else:
        assert load(CONFIGS / "local.yaml", [f"workspace={folder}"]).root.name == folder


def test_an_odd_current_folder_is_an_odd_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run[1]").mkdir()
    monkeypatch.chdir(tmp_path / "run[1]")
    with pytest.raises(InputError, match=r"workspace has \[ and \] in its path"):
        load(CONFIGS / "local.yaml")
    assert load(CONFIGS / "local.yaml", [f"workspace={tmp_path}"]).root == tmp_path
