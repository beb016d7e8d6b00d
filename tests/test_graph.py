"""The graph: which components, in which order, and what an edit of the source does to the cache keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.config import load
from pipeline.graph import create_pipeline
from pipeline.sources import DataCard, Source
from trainer.settings import SamplingRates


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(str(tmp_path / "data.csv"), DataCard(name="test"), "TEST transactions")


def graph(source: Source, *overrides: str):
    config = load(Path(__file__).resolve().parents[1] / "configs" / "local.yaml", overrides)
    return create_pipeline(config.completed(SamplingRates(), None), source)


def nodes(pipeline) -> dict:
    return {node.id: node for node in pipeline.components}


def test_every_component_is_there_and_the_gate_comes_before_training(source):
    named = nodes(graph(source))
    assert set(named) == {
        *("ExampleGen", "StatisticsGen", "ImportSchemaGen", "ExampleValidator", "DataGate", "Transform", "Tuner"),
        *("Trainer", "CurrentModel", "Evaluator", "Pusher", "Report"),
    }
    assert named["DataGate"] in named["Transform"].upstream_nodes
    assert "Resolver" not in {type(node).__name__ for node in named.values()}


def test_the_cards_seven_are_tfx_components(source):
    from tfx.components.evaluator.component import Evaluator
    from tfx.components.example_gen.component import FileBasedExampleGen
    from tfx.components.pusher.component import Pusher
    from tfx.components.statistics_gen.component import StatisticsGen
    from tfx.components.trainer.component import Trainer
    from tfx.components.transform.component import Transform
    from tfx.components.tuner.component import Tuner

    named = nodes(graph(source))
    for name, kind in {
        "ExampleGen": FileBasedExampleGen,
        "StatisticsGen": StatisticsGen,
        "Transform": Transform,
        "Tuner": Tuner,
        "Trainer": Trainer,
        "Evaluator": Evaluator,
        "Pusher": Pusher,
    }.items():
        assert isinstance(named[name], kind)


def test_without_a_schema_it_is_inferred_and_without_tuning_there_is_no_tuner(source):
    named = nodes(graph(source, "schema=null", "tuning.enabled=false"))
    assert "SchemaGen" in named
    assert not {"ImportSchemaGen", "Tuner"} & set(named)


def exec_properties(source: Source, *overrides: str) -> dict[str, dict]:
    return {name: dict(node.exec_properties) for name, node in nodes(graph(source, *overrides)).items()}


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("training.epochs=3", {"Tuner", "Trainer"}),
        ("tuning.trials=3", {"Tuner"}),
        ("features.clip=5", {"Transform", "Tuner", "Trainer"}),
        ("evaluation.min_roc_auc=0.1", {"Evaluator"}),
        ("data.split.seed=1", {"ExampleGen", "Trainer"}),  # the trainer writes the split into the manifest
    ],
)
def test_a_change_of_the_config_reaches_just_what_depends_on_it(source, override, changed):
    before, after = exec_properties(source), exec_properties(source, override)
    assert {name for name in before if before[name] != after[name]} == changed


def test_an_edit_of_the_trainers_source_reaches_its_cache_keys(source, tmp_path, monkeypatch):
    import trainer

    before = exec_properties(source)
    package = Path(trainer.__file__).parent
    copy = tmp_path / "trainer"
    copy.mkdir()
    for file in package.glob("*.py"):
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "training.py").write_text((package / "training.py").read_text() + "\n# an edit\n")
    monkeypatch.setattr(trainer, "__file__", str(copy / "__init__.py"))
    after = exec_properties(source)
    assert {name for name in before if before[name] != after[name]} == {"Tuner", "Trainer"}


def test_what_a_component_is_told_holds_a_digest_of_its_source(source):
    for name in ("Transform", "Tuner", "Trainer"):
        told = json.loads(exec_properties(source)[name]["custom_config"])
        assert len(told["source"]) == 16


def test_beam_spreads_over_processes_where_the_config_says_so(source):
    arguments = graph(source, "beam_processes=3").beam_pipeline_args
    assert arguments[-2:] == ["--direct_running_mode=multi_processing", "--direct_num_workers=3"]


def test_beam_runs_in_this_process_unless_the_config_names_a_runner(source):
    runner = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    assert graph(source, "beam_args=[--direct_num_workers=2]").beam_pipeline_args == [
        runner,
        "--sdk_container_image=none",
        "--direct_num_workers=2",
    ]
    assert graph(source, "beam_args=[--runner=DataflowRunner]").beam_pipeline_args == ["--runner=DataflowRunner"]
