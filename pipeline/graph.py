"""The graph: one definition for every runner."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from ml_metadata.proto import metadata_store_pb2
from tfx.components.example_validator.component import ExampleValidator
from tfx.components.schema_gen.component import SchemaGen
from tfx.components.trainer.component import Trainer
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration import data_types, pipeline
from tfx.proto import pusher_pb2, trainer_pb2
from tfx.types.channel import BaseChannel

from components import curated_schema, engines
from components.challengers import PARTS, Challengers
from components.curated_schema import CuratedSchema
from components.current_model import CurrentModel
from components.data_gate import DataGate
from components.evaluation.verdict import EvaluatorSettings
from components.evaluator import FraudEvaluator
from components.example_gen import TransactionsExampleGen, TransactionsSettings
from components.pusher import FraudPusher
from components.report.component import Report
from components.report.lineage import Graph, config_text
from components.statistics_gen import TransactionsStatisticsGen
from components.transform import TransactionsTransform
from components.tuner import FraudTuner
from pipeline import warm_start
from pipeline.config import Config
from pipeline.data.sources import Source
from pipeline.source_digest import add_source_digests, dotted_path, project
from trainer.custom_config import ModelSettings, TrainerSettings
from trainer.preprocessing import preprocessing_fn
from trainer.search.settings import with_hyperparameters
from trainer.search.tuning import tuner_fn
from trainer.training import SOURCE_DIGEST_KEY, TRAINING_FOLDER_KEY, run_fn

# In process: the default runner looks for a binary to download first, and is another engine when it finds one. Its
# workers are this process, whatever image they are said to run in; without one TFX packs up its source for each
# component, which takes more than a second every time.
_BEAM = (
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "--sdk_container_image=none",
)


@dataclass(frozen=True)
class Arguments:
    """What a run is given: values, or where it is yet to be given them TFX's placeholders.

    tuner_budget_minutes: 0 for no limit. serving_dir: a folder on any file system that TFX can write.
    """

    data_path: str | data_types.RuntimeParameter
    run_name: str | data_types.RuntimeParameter
    tuner_trials: int | data_types.RuntimeParameter
    tuner_budget_minutes: float | data_types.RuntimeParameter
    serving_dir: str

    @classmethod
    def from_config(cls, config: Config, source: Source) -> Arguments:
        """Those of a run on this machine."""
        return cls(
            data_path=source.path,
            run_name=config.name,
            tuner_trials=config.tuning.trials,
            tuner_budget_minutes=config.tuning.budget_minutes or 0.0,
            serving_dir=str(config.serving_dir),
        )


def create_pipeline(config: Config, source: Source, arguments: Arguments | None = None) -> pipeline.Pipeline:
    """The whole job as a TFX pipeline.

    Args:
      config: complete, as `Config.completed` gives it.
      source: which data it is.
      arguments: by default those of a run on this machine.
    """
    arguments = arguments or Arguments.from_config(config, source)
    settings = trainer_settings(config, source)

    example_gen = _example_gen(config, source, arguments)
    examples = example_gen.outputs["examples"]
    statistics_gen = TransactionsStatisticsGen(examples).with_id("StatisticsGen")
    statistics = statistics_gen.outputs["statistics"]
    schema_gen = _schema_gen(config, statistics)
    schema = schema_gen.outputs["schema"]
    validator = ExampleValidator(statistics=statistics, schema=schema)
    gate = DataGate(
        examples=examples,
        statistics=statistics,
        schema=schema,
        anomalies=validator.outputs["anomalies"],
        columns=config.roles.model_dump_json(),
        leakage=config.data.leakage.model_dump_json(),
    )

    transform = _transform(settings, examples, schema)
    transform.add_upstream_node(gate)  # data that it stops is not learned from
    transform_graph = transform.outputs["transform_graph"]
    training_data = _training_data(examples, schema, transform_graph)
    tuner = _tuner(config, settings, arguments, training_data) if config.tuning.enabled else None
    challengers = _challengers(config, settings, examples, transform_graph) if config.challengers.enabled else None
    trainer = _trainer(config, settings, training_data, tuner, after=challengers)
    model = trainer.outputs["model"]

    current_model = CurrentModel(model, arguments.serving_dir)
    evaluator = _evaluator(config, examples, model, current_model, challengers)
    pusher = _pusher(model, evaluator.outputs["blessing"], arguments.serving_dir)

    nodes = [example_gen, statistics_gen, schema_gen, validator, gate, transform]
    nodes += [node for node in (tuner, challengers, trainer, current_model, evaluator, pusher) if node]
    to_report = {
        "examples": examples,
        "statistics": statistics,
        "schema": schema,
        "findings": gate.outputs["findings"],
        "model": model,
        "model_run": trainer.outputs["model_run"],
        "evaluation": evaluator.outputs["evaluation"],
        "pushed_model": pusher.outputs["pushed_model"],
        **({"tuner_results": tuner.outputs["tuner_results"]} if tuner else {}),
    }
    return _pipeline(config, [*nodes, _report(config, arguments, nodes, to_report)])


def _example_gen(config: Config, source: Source, arguments: Arguments) -> BaseNode:
    settings = TransactionsSettings(
        columns=config.roles,
        split=config.data.split,
        sampling_rates=config.sampling_rates,
        origin=source.origin,
    )
    return TransactionsExampleGen(arguments.data_path, settings).with_id("ExampleGen")


def _schema_gen(config: Config, statistics: BaseChannel) -> BaseNode:
    """The schema that people wrote, by the name of TFX's component in whose place it is, or one inferred."""
    if config.schema_path:
        return CuratedSchema(text=curated_schema.read(config.schema_path, config.roles.carried)).with_id(
            "ImportSchemaGen"
        )
    return SchemaGen(statistics=statistics, infer_feature_shape=True)


def _transform(settings: TrainerSettings, examples: BaseChannel, schema: BaseChannel) -> BaseNode:
    return TransactionsTransform(
        examples=examples,
        schema=schema,
        preprocessing_fn=dotted_path(preprocessing_fn),
        custom_config=settings.to_custom_config("features"),
    ).with_id("Transform")


def _training_data(examples: BaseChannel, schema: BaseChannel, transform_graph: BaseChannel) -> dict[str, Any]:
    """What Tuner and Trainer learn from, by the names of their arguments."""
    return {
        "examples": examples,
        "schema": schema,
        "transform_graph": transform_graph,
        "train_args": trainer_pb2.TrainArgs(splits=["train"]),
        "eval_args": trainer_pb2.EvalArgs(splits=["eval"]),
    }


def _tuner(config: Config, settings: TrainerSettings, arguments: Arguments, training_data: dict[str, Any]) -> BaseNode:
    return FraudTuner(
        tuner_fn=dotted_path(tuner_fn),
        custom_config=settings.to_custom_config("features", "training", "tuning", "resources", "split_by"),
        search_folder=str(config.searches),
        trials=arguments.tuner_trials,
        budget_minutes=arguments.tuner_budget_minutes,
        **training_data,
    ).with_id("Tuner")


def _challengers(
    config: Config, settings: TrainerSettings, examples: BaseChannel, transform_graph: BaseChannel
) -> BaseNode:
    return Challengers(
        examples=examples,
        transform_graph=transform_graph,
        custom_config=json.dumps(settings.to_custom_config(*PARTS)),
        # what they are fitted by, and not what the verdict makes of them
        settings=config.challengers.model_dump_json(include={"names", "rows"}),
        seed=config.training.seed,
    ).with_id("Challengers")


def _trainer(
    config: Config,
    settings: TrainerSettings,
    training_data: dict[str, Any],
    tuner: BaseNode | None,
    after: BaseNode | None,
) -> BaseNode:
    """after: a component that reads the same rows; the Trainer is the last to do so, and lets go of them."""
    parts = ("features", "training", "calibration", "costs", "decision", "eval_share", "resources", "manifest")
    trainer = Trainer(
        run_fn=dotted_path(run_fn),
        custom_config=settings.to_custom_config(*parts, "distribution") | _handoff(config),
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
        **training_data,
    )
    if after:
        trainer.add_upstream_node(after)
    return trainer


def _handoff(config: Config) -> dict[str, str]:
    """Where the Trainer and other processes meet, if it has any: else a workspace that moved would end the cache."""
    if config.distribution.strategy != "multi_worker":
        return {}
    return {TRAINING_FOLDER_KEY: str(config.trainings), SOURCE_DIGEST_KEY: project().digest([run_fn.__module__])}


def _evaluator(
    config: Config,
    examples: BaseChannel,
    model: BaseChannel,
    current_model: BaseNode,
    challengers: BaseNode | None,
) -> BaseNode:
    return FraudEvaluator(
        examples=examples,
        model=model,
        current=current_model.outputs["current"],
        challengers=challengers.outputs["challengers"] if challengers else None,
        settings=EvaluatorSettings(
            **config.evaluation.model_dump(),
            columns=config.roles.as_kept,
            time_format=config.roles.time_format,
            costs=config.costs,
            challenger_margin=config.challengers.max_average_precision_loss,
            share=_share_of_each_day(config, "test"),
        ),
    ).with_id("Evaluator")


def _pusher(model: BaseChannel, blessing: BaseChannel, serving_dir: str) -> BaseNode:
    return FraudPusher(
        model=model,
        model_blessing=blessing,
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=serving_dir)
        ),
    ).with_id("Pusher")


def _report(config: Config, arguments: Arguments, nodes: list[BaseNode], inputs: dict[str, BaseChannel]) -> BaseNode:
    """nodes: all other components."""
    # the schema as a file beside the configuration, wherever that was read from
    shown = {**config.model_dump(mode="json", by_alias=True), "schema": config.schema_path and config.schema_path.name}
    return Report(
        **inputs,
        costs=config.costs.model_dump_json(),
        card=config.model_card.model_dump_json(),
        graph=Graph.from_nodes(nodes, Report=inputs).to_json(),
        config=config_text(shown),
        run_name=arguments.run_name,
    )


def _pipeline(config: Config, nodes: list[BaseNode]) -> pipeline.Pipeline:
    """nodes: all components."""
    add_source_digests(nodes)
    return pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(config.artifacts),
        components=nodes,
        enable_cache=True,
        metadata_connection_config=_metadata(config),
        beam_pipeline_args=_beam_args(config),
    )


def _metadata(config: Config) -> metadata_store_pb2.ConnectionConfig:
    """A file of SQLite's; TFX's own function would also make its folder, on a machine that may only compile."""
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(config.metadata_path)
    connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return connection


def trainer_settings(config: Config, source: Source) -> TrainerSettings:
    """The settings of Transform, Tuner and Trainer; without a search, an earlier one's values go into the training."""
    warm = warm_start.values(config)
    shared = {name: getattr(config, name) for name in ModelSettings.model_fields}
    if warm and not config.tuning.enabled:
        shared["training"] = with_hyperparameters(config.training, warm)
    return TrainerSettings(
        **shared | {"columns": config.roles.as_kept, "tuning": config.tuning.model_copy(update={"warm_start": warm})},
        eval_share=_share_of_each_day(config, "eval"),
        split_by=config.data.split.by,
        manifest={"data": data_manifest(config, source)},
    )


def _share_of_each_day(config: Config, split: Literal["eval", "test"]) -> float:
    """A random split takes its part of every day, one by time whole days."""
    settings = config.data.split
    return getattr(settings, split) if settings.by == "random" else 1.0


def _beam_args(config: Config) -> list[str]:
    """On this machine, unless the config names another runner, which then needs a real image or package."""
    if engines.runner(config.beam_args):
        return list(config.beam_args)
    processes = config.beam_processes
    spread = ["--direct_running_mode=multi_processing", f"--direct_num_workers={processes}"] if processes > 1 else []
    return [*_BEAM, *spread, *config.beam_args]


def data_manifest(config: Config, source: Source) -> dict[str, Any]:
    """What the model's manifest says of its data."""
    override = {key: value for key, value in config.data.card.model_dump().items() if value}
    card = source.card.model_dump(mode="json", include={"name", "kind", "source", "licence"})
    return {
        **card,
        **override,
        "origin": source.origin.replace("{path}", "the path that the run was given"),
        "sampling_rates": config.sampling_rates.model_dump(),
        "split": config.data.split.model_dump(),
    }
