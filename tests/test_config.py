"""The configuration: presets, overrides, and errors that say what to change."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Config, load, preset
from trainer.errors import InputError
from trainer.settings import SamplingRates

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


def test_all_faults_are_told_at_once_with_what_was_got_and_the_nearest_key():
    overrides = ["training.epoch=1", "training.batch_size=-3", "data.split.train=1.5", "features.scaling=best"]
    with pytest.raises(InputError) as caught:
        load(CONFIGS / "local.yaml", overrides)
    message = str(caught.value)
    assert "has 4 faults" in message
    assert "training.epoch: unknown key; did you mean epochs?" in message
    assert "training.batch_size: Input should be greater than 0, got -3" in message
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
def test_what_is_wrong_is_said(overrides, message):
    with pytest.raises(InputError) as caught:
        load(CONFIGS / "local.yaml", overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("- a\n", "holds list"), ("a: [", "cannot be read as YAML")])
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
    with pytest.raises(InputError, match="fraud-pipeline init DATA"):
        Config().completed(SamplingRates(), None)
    with pytest.raises(InputError, match="the data card has 1 fault"):
        Config().completed(SamplingRates(), {"label": "a", "times": "b"})
