"""The graph: which components, in which order, and what an edit of the source does to the cache keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.config import load
from pipeline.data.sources import DataCard, Source
from pipeline.graph import Arguments, create_pipeline
from trainer.custom_config import TrainerSettings
from trainer.errors import InputError
from trainer.sampling import SamplingRates
from trainer.search.settings import Range, Space, Tuning, with_hyperparameters
from trainer.settings import Training


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
        *("ExampleGen", "StatisticsGen", "ImportSchemaGen", "ExampleValidator", "DataGate", "Transform"),
        *("Challengers", "Tuner", "Trainer", "CurrentModel", "Evaluator", "Pusher", "Report"),
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


def test_without_challengers_nothing_is_compared_with_them(source):
    named = nodes(graph(source, "challengers=off"))
    assert "Challengers" not in named
    assert "challengers" not in named["Evaluator"].inputs
    with_them = nodes(graph(source))
    assert with_them["Evaluator"].inputs["challengers"] is with_them["Challengers"].outputs["challengers"]
    assert with_them["Challengers"] in with_them["Trainer"].upstream_nodes  # which lets go of the rows


def test_the_curated_schema_travels_as_text(source, tmp_path):
    path = tmp_path / "own.pbtxt"
    path.write_text('feature { name: "fraud" type: INT }  # 1 is fraud\n')
    properties = nodes(graph(source, f"schema={path}"))["ImportSchemaGen"].exec_properties
    assert properties["text"] == path.read_text()
    # and the report shows it as a file beside the configuration, wherever that is
    assert "\nschema: own.pbtxt\n" in nodes(graph(source, f"schema={path}"))["Report"].exec_properties["config"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            None,
            r"schema: .*own.pbtxt can't be read \(there is no such file or folder\); name a schema as .pbtxt, or ",
        ),
        (
            "feature { nam: 1 }",
            r"schema: .*own.pbtxt is not a schema: 1:11 : .*nam.*; see configs/ulb.schema.pbtxt for one",
        ),
        (b"\xff\xfe", r"schema: .*own.pbtxt can't be read \(it is not UTF-8 text\)"),
    ],
)
def test_a_schema_that_can_not_be_used_stops_the_run_before_it_starts(source, tmp_path, text, message):
    path = tmp_path / "own.pbtxt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        graph(source, f"schema={path}")


def test_arguments_of_a_run_reach_the_components_that_need_them(source, tmp_path):
    overrides = [f"workspace={tmp_path}", "name=friday", "tuning.budget_minutes=3"]
    named = nodes(graph(source, *overrides))
    assert named["ExampleGen"].exec_properties["input_base"] == source.path
    assert named["Report"].exec_properties["run_name"] == "friday"
    assert {name: named["Tuner"].exec_properties[name] for name in ("trials", "budget_minutes")} == {
        "trials": 4,
        "budget_minutes": 3.0,
    }
    config = load(Path(__file__).resolve().parents[1] / "configs" / "local.yaml", overrides)
    other = Arguments("s3://data", "monday", 7, 0.5, "s3://models")
    named = nodes(create_pipeline(config.completed(SamplingRates(), None), source, other))
    assert named["ExampleGen"].exec_properties["input_base"] == "s3://data"
    assert named["Report"].exec_properties["run_name"] == "monday"
    assert [named["Tuner"].exec_properties[name] for name in ("trials", "budget_minutes")] == [7, 0.5]
    assert named["CurrentModel"].exec_properties["serving_dir"] == "s3://models"
    assert "s3://models" in named["Pusher"].exec_properties["push_destination"]
    assert str(tmp_path / "serving") not in named["Pusher"].exec_properties["push_destination"]


def exec_properties(source: Source, *overrides: str) -> dict[str, dict]:
    return {name: dict(node.exec_properties) for name, node in nodes(graph(source, *overrides)).items()}


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("training.epochs=3", {"Tuner", "Trainer"}),
        ("training.seed=1", {"Challengers", "Tuner", "Trainer"}),
        ("tuning.trials=3", {"Tuner"}),
        ("tuning.space.units=[8, 16]", {"Tuner"}),
        ("tuning.warm_start={units: 16}", {"Tuner"}),
        ("tuning={oracle: bayesian, folds: 3, workers: 2, prune_trials: false}", {"Tuner"}),
        ("features.clip=5", {"Transform", "Challengers", "Tuner", "Trainer"}),
        ("calibration=off", {"Challengers", "Trainer"}),
        ("costs.review=3", {"Challengers", "Trainer", "Evaluator"}),
        ("decision.by=amount", {"Challengers", "Trainer"}),
        ("challengers.names=[tutorial]", {"Challengers"}),
        ("challengers.rows=5000", {"Challengers"}),
        ("challengers.max_average_precision_loss=0.2", {"Evaluator"}),
        ("model_card.owner=Risk", set()),
        ("evaluation.min_roc_auc=0.1", {"Evaluator"}),
        # the trainer writes card and split into the manifest
        ("data.card.name=other", {"Trainer"}),
        ("data.split.seed=1", {"ExampleGen", "Trainer"}),
        # folds are cut as the splits were
        ("data.split.by=random", {"ExampleGen", "Challengers", "Tuner", "Trainer", "Evaluator"}),
    ],
)
def test_a_change_of_the_config_reaches_just_what_depends_on_it(source, override, changed):
    before, after = exec_properties(source), exec_properties(source, override)
    # the report shows the whole config
    assert {name for name in before if before[name] != after[name]} == {*changed, "Report"}


def settings_of(source: Source, component: str, *overrides: str) -> dict:
    """The settings in a component's custom_config."""
    return json.loads(exec_properties(source, *overrides)[component]["custom_config"])["settings"]


def test_the_tuner_gets_the_search_and_how_the_splits_were_cut(source, tmp_path):
    overrides = ["tuning={space: {units: [8, 16], learning_rate: {low: 1e-4, high: 1e-2}}, folds: 3, objective: loss}"]
    settings = TrainerSettings.model_validate(settings_of(source, "Tuner", *overrides, "data.split.by=random"))
    assert settings.tuning == Tuning(
        space=Space(units=(8, 16), learning_rate=Range(low=1e-4, high=1e-2)),
        # of the preset below
        **{"trials": 4, "epochs": 5, "folds": 3, "objective": "loss"},
    )
    assert settings.split_by == "random"
    assert settings_of(source, "Tuner")["split_by"] == "time"
    assert set(settings_of(source, "Tuner")) == {"columns", "features", "training", "tuning", "resources", "split_by"}
    assert set(settings_of(source, "Trainer")) == {
        *("columns", "features", "training", "calibration", "costs", "decision", "eval_share", "resources", "manifest"),
        "distribution",
    }
    assert set(settings_of(source, "Transform")) == {"columns", "features"}
    config = json.loads(exec_properties(source, f"workspace={tmp_path}")["Tuner"]["custom_config"])
    assert config["search_folder"] == str(tmp_path / "searches")


def test_the_trainer_gets_the_folder_where_other_processes_fit_the_network(source, tmp_path):
    def config(*overrides):
        return json.loads(exec_properties(source, f"workspace={tmp_path}", *overrides)["Trainer"]["custom_config"])

    assert config("distribution.strategy=multi_worker")["training_folder"] == str(tmp_path / "trainings")
    assert "training_folder" not in config()


def test_the_trainer_gets_the_decision_and_the_share_of_a_day_that_eval_holds(source):
    overrides = ["costs.review=3", "decision={by: alerts, alerts_a_day: 50}", "calibration.method=platt"]
    settings = TrainerSettings.model_validate(settings_of(source, "Trainer", *overrides))
    assert (settings.costs.review, settings.decision.alerts_a_day, settings.calibration.method) == (3, 50, "platt")
    assert settings.eval_share == 1.0
    assert settings_of(source, "Trainer", "data.split.by=random")["eval_share"] == 0.15


WARM = "warm_start: {units: 64, layers: 3, dropout: 0, learning_rate: 4e-3, tuner/epochs: 3}"


def test_what_was_found_before_is_trained_where_nothing_is_searched(source):
    overrides = [f"tuning={{enabled: false, {WARM}}}"]
    named = nodes(graph(source, *overrides))
    assert "Tuner" not in named
    assert "hyperparameters" not in named["Trainer"].inputs
    training = Training.model_validate(settings_of(source, "Trainer", *overrides)["training"])
    plain = Training.model_validate(settings_of(source, "Trainer", "tuning=off")["training"])
    assert training == with_hyperparameters(plain, {"units": 64, "layers": 3, "dropout": 0, "learning_rate": 0.004})
    assert training.network.units == (64, 32, 16)
    assert training != plain


def test_what_was_found_before_is_tried_first_where_there_is_a_search(source):
    overrides = [f"tuning={{{WARM}}}"]
    named = nodes(graph(source, *overrides))
    assert named["Trainer"].inputs["hyperparameters"] is named["Tuner"].outputs["best_hyperparameters"]
    warm = settings_of(source, "Tuner", *overrides)["tuning"]["warm_start"]
    assert warm == {"units": 64, "layers": 3, "dropout": 0, "learning_rate": 0.004}
    assert settings_of(source, "Trainer", *overrides) == settings_of(source, "Trainer")


def test_the_tuner_gets_the_values_of_a_file_and_not_its_name(source, tmp_path):
    (tmp_path / "best_hyperparameters.txt").write_text('{"space": [], "values": {"units": 64}}')
    override = f"tuning.warm_start={tmp_path}"
    assert settings_of(source, "Tuner", override)["tuning"]["warm_start"] == {"units": 64}
    before = exec_properties(source, override)["Tuner"]
    (tmp_path / "best_hyperparameters.txt").write_text('{"space": [], "values": {"units": 32}}')
    assert exec_properties(source, override)["Tuner"] != before


def test_values_that_can_not_be_trained_stop_the_run_before_it_starts(source, tmp_path):
    (tmp_path / "best_hyperparameters.txt").write_text('{"space": [], "values": {"unit": 64}}')
    for switch in ("true", "false"):
        with pytest.raises(InputError, match="can't be trained: no hyperparameter is called unit; there are layers, "):
            graph(source, f"tuning={{enabled: {switch}, warm_start: {tmp_path}}}")


def test_the_last_run_of_a_new_workspace_is_none(source, tmp_path):
    overrides = [f"workspace={tmp_path / 'new'}", "tuning.warm_start=last"]
    assert settings_of(source, "Tuner", *overrides)["tuning"]["warm_start"] is None
    assert settings_of(source, "Trainer", *overrides) == settings_of(source, "Trainer")


def test_the_report_gets_the_search_where_there_is_one(source):
    named = nodes(graph(source))
    assert named["Report"].inputs["tuner_results"] is named["Tuner"].outputs["tuner_results"]
    assert "tuner_results" not in nodes(graph(source, "tuning=off"))["Report"].inputs


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


@pytest.mark.parametrize("runner", ["[--runner=FlinkRunner]", "[--environment_type=LOOPBACK, --runner, FlinkRunner]"])
def test_processes_of_this_machine_beside_another_runner_are_refused(source, runner):
    with pytest.raises(
        InputError, match=r"beam_processes is 3, but beam_args names another runner \(FlinkRunner\).*leave"
    ):
        graph(source, "beam_processes=3", f"beam_args={runner}")
