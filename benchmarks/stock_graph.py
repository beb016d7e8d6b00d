"""The same job made of stock TFX components: `python -m benchmarks.stock_graph --set data.path=FILE.csv`.

It takes this pipeline's own configuration, so that both do the same work: columns, shares of the splits, search,
network, batch size and epochs. It is written like TFX's templates: `tfx.v1`, CsvExampleGen, one `scale_to_z_score` for
each column, materialized, read by `tf_dataset_factory`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import v1 as tfx

from benchmarks import stock_module
from benchmarks.fraud_pipeline import METADATA
from components.reading.settings import SPLITS
from pipeline.config import Config, load
from pipeline.source_digest import PACKAGES, SourceCode, dotted_path
from trainer.custom_config import TrainerSettings

BEAM = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def create_pipeline(config: Config, schema: Path) -> tfx.dsl.Pipeline:
    """ExampleGen to Pusher.

    Args:
      config: complete; `data.path` is one CSV file.
      schema: a .pbtxt as `write_schema` makes it.
    """
    data = Path(config.data.path)
    shares = {name: round(getattr(config.data.split, name) * 1000) for name in SPLITS}
    example_gen = tfx.components.CsvExampleGen(
        input_base=str(data.parent),
        input_config=tfx.proto.Input(splits=[tfx.proto.Input.Split(name="all", pattern=data.name)]),
        output_config=tfx.proto.Output(
            split_config=tfx.proto.SplitConfig(
                splits=[tfx.proto.SplitConfig.Split(name=name, hash_buckets=share) for name, share in shares.items()]
            )
        ),
    ).with_id("ExampleGen")
    statistics_gen = tfx.components.StatisticsGen(examples=example_gen.outputs["examples"])
    schema_gen = tfx.components.ImportSchemaGen(schema_file=str(schema))
    validator = tfx.components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema_gen.outputs["schema"]
    )
    settings = TrainerSettings(columns=config.roles, training=config.training, tuning=config.tuning)
    digest = SourceCode(*PACKAGES, "benchmarks").digest([stock_module.__name__])
    custom_config = settings.to_custom_config("training", "tuning") | {"source_digest": digest}
    transform = tfx.components.Transform(
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        preprocessing_fn=dotted_path(stock_module.preprocessing_fn),
        custom_config=custom_config,
    )
    shared = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "schema": schema_gen.outputs["schema"],
        "train_args": tfx.proto.TrainArgs(splits=["train"]),
        "eval_args": tfx.proto.EvalArgs(splits=["eval"]),
        "custom_config": custom_config,
    }
    tuner = tfx.components.Tuner(tuner_fn=dotted_path(stock_module.tuner_fn), **shared)
    trainer = tfx.components.Trainer(
        run_fn=dotted_path(stock_module.run_fn), hyperparameters=tuner.outputs["best_hyperparameters"], **shared
    )
    evaluator = tfx.components.Evaluator(
        examples=example_gen.outputs["examples"],
        example_splits=["test"],
        model=trainer.outputs["model"],
        eval_config=eval_config(config.roles.label),
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(config.serving_dir))
        ),
    )
    return tfx.dsl.Pipeline(
        pipeline_name="stock",
        pipeline_root=str(config.artifacts),
        components=[
            example_gen, statistics_gen, schema_gen, validator, transform, tuner, trainer, evaluator, pusher,
        ],
        enable_cache=True,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(config.root / METADATA)
        ),
        beam_pipeline_args=[BEAM],
    )  # fmt: skip


def eval_config(label: str) -> tfma.EvalConfig:
    """Four figures over the whole test split; any model better than chance is blessed."""
    better_than_chance = tfma.MetricThreshold(value_threshold=tfma.GenericValueThreshold(lower_bound={"value": 0.5}))
    metrics = [tfma.MetricConfig(class_name="AUC", threshold=better_than_chance)]
    metrics += [tfma.MetricConfig(class_name=name) for name in ("AUCPrecisionRecall", "Calibration", "ExampleCount")]
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name="serving_default", label_key=label, prediction_key="probability")],
        slicing_specs=[tfma.SlicingSpec()],
        metrics_specs=[tfma.MetricsSpec(metrics=metrics)],
    )


def write_schema(config: Config, path: Path) -> Path:
    """Writes the project's curated schema as CsvExampleGen's examples need it.

    CsvExampleGen adds no weights, and does not know the kinds of columns: where all values look like integers, it
    writes integers.
    """
    if config.schema_path is None:
        raise SystemExit("the stock graph imports a curated schema, got none; name it under schema in the config")
    schema = text_format.Parse(config.schema_path.read_text(), schema_pb2.Schema())
    csv_schema = pa.csv.read_csv(config.data.path).schema
    columns = [feature for feature in schema.feature if feature.name in csv_schema.names]
    for feature in columns:
        if pa.types.is_integer(csv_schema.field(feature.name).type) and feature.type == schema_pb2.FLOAT:
            feature.type = schema_pb2.INT
            feature.ClearField("float_domain")
    written = schema_pb2.Schema(feature=columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_format.MessageToString(written))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of `fraud-pipeline run`")
    config = load(None, parser.parse_args().set)
    # TFX 1.21's Beam executors parse sys.argv for absl's flags, which ours are not.
    sys.argv = sys.argv[:1]
    schema = write_schema(config, config.root / "schema.pbtxt")
    tfx.orchestration.LocalDagRunner().run(create_pipeline(config, schema))


if __name__ == "__main__":
    main()
