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

import components.challengers
import components.curated_schema
import components.data_gate
import components.evaluation.figures
import components.evaluation.fraud_metrics
import components.evaluation.scores
import components.evaluation.scoring
import components.evaluation.slices
import components.evaluator
import components.example_gen
import components.folds
import components.reading.readers
import components.reading.splits
import components.record_batches
import components.report.comparison
import components.report.component
import components.report.curves
import components.report.data
import components.report.decision
import components.report.drift
import components.report.lineage
import components.report.mistakes
import components.report.model_card
import components.report.page
import components.report.search
import components.report.slices
import components.statistics_gen
import components.transform
import components.tuner
import trainer
import trainer.columns
import trainer.decision.costs
import trainer.examples
import trainer.features
import trainer.metrics
import trainer.preprocessing
import trainer.search.trials
import trainer.settings
from components.challengers import Challengers
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
from pipeline.source_digest import dotted_path, source_digest
from trainer.custom_config import TrainerSettings
from trainer.preprocessing import preprocessing_fn
from trainer.search.settings import with_hyperparameters
from trainer.search.tuning import tuner_fn
from trainer.training import TRAINING_FOLDER_KEY, run_fn

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
    given = arguments or Arguments.from_config(config, source)
    example_gen = _example_gen(config, source, given)
    examples = example_gen.outputs["examples"]
    statistics_gen = TransactionsStatisticsGen(
        examples=examples, source=source_digest(components.statistics_gen, components.record_batches, trainer.examples)
    ).with_id("StatisticsGen")
    statistics = statistics_gen.outputs["statistics"]
    schema_gen = (
        # by the name of TFX's component, in whose place it is
        CuratedSchema(text=components.curated_schema.read(config.schema_path, config.roles.id)).with_id(
            "ImportSchemaGen"
        )
        if config.schema_path
        else SchemaGen(statistics=statistics, infer_feature_shape=True)
    )
    schema = schema_gen.outputs["schema"]
    validator = ExampleValidator(statistics=statistics, schema=schema)
    gate = DataGate(
        statistics=statistics,
        schema=schema,
        anomalies=validator.outputs["anomalies"],
        source=source_digest(components.data_gate),
    )

    settings = trainer_settings(config, source)
    transform = _transform(settings, examples, schema)
    transform.add_upstream_node(gate)
    shared: dict[str, Any] = {
        "examples": examples,
        "schema": schema,
        "transform_graph": transform.outputs["transform_graph"],
        "train_args": trainer_pb2.TrainArgs(splits=["train"]),
        "eval_args": trainer_pb2.EvalArgs(splits=["eval"]),
    }
    nodes: list[BaseNode] = [example_gen, statistics_gen, schema_gen, validator, gate, transform]
    found: dict[str, Any] = {}
    tuner_results: dict[str, Any] = {}
    if config.tuning.enabled:
        tuner = _tuner(config, settings, given, shared)
        nodes.append(tuner)
        found = {"hyperparameters": tuner.outputs["best_hyperparameters"]}
        tuner_results = {"tuner_results": tuner.outputs["tuner_results"]}
    model_trainer = Trainer(
        run_fn=dotted_path(run_fn),
        custom_config=settings.to_custom_config(
            source_digest(trainer),
            *("features", "training", "calibration", "costs", "decision", "eval_share", "resources", "manifest"),
            "distribution",
        )
        | _shared_folder(config),
        **shared,
        **found,
    )
    scored: BaseChannel | None = None
    if config.challengers.enabled:
        challengers = _challengers(config, settings, examples, transform.outputs["transform_graph"])
        # the Trainer is the last to read the rows, and lets go of them
        model_trainer.add_upstream_node(challengers)
        nodes.append(challengers)
        scored = challengers.outputs["challengers"]
    model = model_trainer.outputs["model"]
    current = CurrentModel(model=model, serving_dir=given.serving_dir, columns=config.roles.model_dump(mode="json"))
    evaluator = _evaluator(config, examples, model, current.outputs["current"], scored)
    pusher = FraudPusher(
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=given.serving_dir)
        ),
    ).with_id("Pusher")
    nodes += [model_trainer, current, evaluator, pusher]
    nodes.append(
        _report(
            config,
            given,
            nodes,
            examples=examples,
            statistics=statistics,
            schema=schema,
            findings=gate.outputs["findings"],
            model=model,
            model_run=model_trainer.outputs["model_run"],
            evaluation=evaluator.outputs["evaluation"],
            pushed_model=pusher.outputs["pushed_model"],
            **tuner_results,
        )
    )
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


def _example_gen(config: Config, source: Source, given: Arguments) -> BaseNode:
    return TransactionsExampleGen(
        given.data_path,
        TransactionsSettings(
            columns=config.roles,
            split=config.data.split,
            sampling_rates=config.sampling_rates,
            origin=source.origin,
            source=source_digest(
                components.example_gen, components.reading.splits, components.reading.readers, trainer.columns
            ),
        ),
    ).with_id("ExampleGen")


def _transform(settings: TrainerSettings, examples: BaseChannel, schema: BaseChannel) -> BaseNode:
    source = source_digest(
        trainer.preprocessing,
        trainer.features,
        trainer.columns,
        trainer.settings,
        trainer.examples,
        components.transform,
        components.record_batches,
    )
    return TransactionsTransform(
        examples=examples,
        schema=schema,
        preprocessing_fn=dotted_path(preprocessing_fn),
        custom_config=settings.to_custom_config(source, "features"),
    ).with_id("Transform")


def _tuner(config: Config, settings: TrainerSettings, given: Arguments, shared: dict[str, Any]) -> BaseNode:
    source = source_digest(
        trainer,
        components.tuner,
        components.folds,
        components.record_batches,
        components.reading.splits,
        components.reading.readers,
    )
    return FraudTuner(
        tuner_fn=dotted_path(tuner_fn),
        custom_config=settings.to_custom_config(source, "features", "training", "tuning", "resources", "split_by"),
        search_folder=str(config.searches),
        trials=given.tuner_trials,
        budget_minutes=given.tuner_budget_minutes,
        **shared,
    ).with_id("Tuner")


def _challengers(
    config: Config, settings: TrainerSettings, examples: BaseChannel, transform_graph: BaseChannel
) -> BaseNode:
    source = source_digest(trainer, components.challengers, components.evaluation.scores)
    return Challengers(
        examples=examples,
        transform_graph=transform_graph,
        custom_config=json.dumps(settings.to_custom_config(source, *components.challengers.PARTS)),
        # what they are fitted by, and not what the verdict makes of them
        settings=config.challengers.model_dump_json(include={"names", "rows"}),
        seed=config.training.seed,
    ).with_id("Challengers")


def _evaluator(
    config: Config, examples: BaseChannel, model: BaseChannel, current: BaseChannel, challengers: BaseChannel | None
) -> BaseNode:
    return FraudEvaluator(
        examples=examples,
        model=model,
        current=current,
        challengers=challengers,
        settings=EvaluatorSettings(
            **config.evaluation.model_dump(),
            columns=config.roles,
            costs=config.costs,
            challenger_margin=config.challengers.max_average_precision_loss,
            share=_share_of_each_day(config, "test"),
        ),
        source=source_digest(
            components.evaluator,
            components.evaluation.figures,
            components.evaluation.fraud_metrics,
            components.record_batches,
            components.evaluation.scores,
            components.evaluation.scoring,
            components.evaluation.slices,
            trainer.decision.costs,
            trainer.examples,
            trainer.metrics,
        ),
    ).with_id("Evaluator")


def _report(config: Config, given: Arguments, nodes: list[BaseNode], **inputs: BaseChannel) -> BaseNode:
    """nodes: all other components."""
    # the schema as a file beside the configuration, wherever that was read from
    told = {**config.model_dump(mode="json", by_alias=True), "schema": config.schema_path and config.schema_path.name}
    return Report(
        **inputs,
        costs=config.costs.model_dump_json(),
        card=config.model_card.model_dump_json(),
        graph=Graph.from_nodes(nodes, Report=inputs).to_json(),
        config=config_text(told),
        run_name=given.run_name,
        source=source_digest(
            components.report.component,
            components.report.page,
            components.report.comparison,
            components.report.curves,
            components.report.data,
            components.report.decision,
            components.report.drift,
            components.report.lineage,
            components.report.mistakes,
            components.report.model_card,
            components.evaluation.scores,
            components.report.search,
            components.report.slices,
            trainer.decision.costs,
            trainer.metrics,
            trainer.search.trials,
        ),
    )


def trainer_settings(config: Config, source: Source) -> TrainerSettings:
    """What Transform, Tuner and Trainer are told; without a search, values of an earlier one go into the training."""
    warm = warm_start.values(config)
    search = config.tuning.enabled
    return TrainerSettings(
        columns=config.roles,
        features=config.features,
        training=config.training if search or not warm else with_hyperparameters(config.training, warm),
        tuning=config.tuning.model_copy(update={"warm_start": warm}),
        calibration=config.calibration,
        costs=config.costs,
        decision=config.decision,
        eval_share=_share_of_each_day(config, "eval"),
        resources=config.resources,
        distribution=config.distribution,
        split_by=config.data.split.by,
        manifest={"data": data_manifest(config, source)},
    )


def _shared_folder(config: Config) -> dict[str, str]:
    """Where the Trainer and other processes meet, if it has any: else a workspace that moved would end the cache."""
    return {TRAINING_FOLDER_KEY: str(config.trainings)} if config.distribution.strategy == "multi_worker" else {}


def _share_of_each_day(config: Config, split: Literal["eval", "test"]) -> float:
    """A random split takes its part of every day, one by time whole days."""
    settings = config.data.split
    return getattr(settings, split) if settings.by == "random" else 1.0


def _beam_args(config: Config) -> list[str]:
    """On this machine, unless the config names another runner, which then needs a real image or package."""
    if any(argument.startswith("--runner") for argument in config.beam_args):
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
