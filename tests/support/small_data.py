"""Rows made by hand: through the real Transform, and into the files that the trainer reads."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import PipelineOptions
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer.arrays import Array
from trainer.columns import EXAMPLE_WEIGHT, Columns
from trainer.custom_config import TrainerSettings
from trainer.features import Features
from trainer.preprocessing import preprocessing_fn
from trainer.search.settings import Range, Space, Tuning
from trainer.settings import Network, Training

# As a run has it. Without an image, TFX packs up its source for each executor, which takes more than a second.
BEAM = ("--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner", "--sdk_container_image=none")

Row = dict[str, Any]  # None: the value is missing
_DTYPES = {"float": tf.float32, "integer": tf.int64, "string": tf.string}


def raw_spec(columns: Columns, gaps: Iterable[str] = ()) -> dict[str, Any]:
    """The schema as TFX gives it to Transform: dense columns, and sparse ones where values may be missing."""
    kinds = {**columns.raw_kinds, columns.label: "integer", EXAMPLE_WEIGHT: "float"}
    return {
        name: tf.io.VarLenFeature(_DTYPES[kind]) if name in gaps else tf.io.FixedLenFeature([1], _DTYPES[kind])
        for name, kind in kinds.items()
    }


def example(row: Row) -> bytes:
    """A serialized tf.Example without the values that are None."""
    features = {}
    for name, value in row.items():
        if isinstance(value, str):
            features[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        elif isinstance(value, int):
            features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        elif value is not None:
            features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    return serialized


def write(rows: Iterable[Row], path: Path) -> str:
    """Writes the rows as ExampleGen does, and returns the name of the file."""
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for row in rows:
            writer.write(example(row))
    return str(path)


def analyze(
    rows: Iterable[Row], spec: Mapping[str, Any], settings: TrainerSettings, folder: Path
) -> tft.TFTransformOutput:
    """Transform's output for these rows."""
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    instances = [
        {
            name: [] if row[name] is None else [row[name].encode() if isinstance(row[name], str) else row[name]]
            for name in spec
        }
        for row in rows
    ]
    config = settings.to_custom_config("features")
    options = PipelineOptions(list(BEAM))
    with (
        tempfile.TemporaryDirectory() as scratch,
        tft_beam.Context(temp_dir=scratch),
        beam.Pipeline(options=options) as pipeline,
    ):
        data = pipeline | beam.Create(instances, reshuffle=False)
        graph = (data, metadata) | tft_beam.AnalyzeDataset(functools.partial(preprocessing_fn, custom_config=config))
        _ = graph | tft_beam.WriteTransformFn(str(folder))
        _ = metadata | tft_beam.WriteMetadata(
            os.path.join(folder, tft.TFTransformOutput.RAW_METADATA_DIR), pipeline=pipeline
        )
    return tft.TFTransformOutput(str(folder))


def apply(transform: tft.TFTransformOutput, rows: Iterable[Row]) -> dict[str, Array]:
    """The features of these rows, by Transform's graph."""
    parsed = tf.io.parse_example([example(row) for row in rows], transform.raw_feature_spec())
    return {key: value.numpy() for key, value in transform.transform_features_layer()(parsed).items()}


@dataclass(frozen=True)
class Prepared:
    """Rows, their settings, and Transform's output for them."""

    rows: list[Row]
    settings: TrainerSettings
    transform: tft.TFTransformOutput
    folder: Path


SHOP_COLUMNS = Columns(
    label="fraud",
    time="when",
    time_format="iso8601",
    amount="euros",
    numeric=("age", "balance", "limit"),
    categorical={"card type": "string", "merchant": "integer", "terminal": "integer"},
)
SHOP_GAPS = ("when", "balance", "limit", "card type", "merchant")
SHOP_SETTINGS = TrainerSettings(
    columns=SHOP_COLUMNS,
    features=Features(clip=2.0, max_vocabulary=3, out_of_vocabulary=2),
    training=Training(
        network=Network(units=(6,), dropout=0.1), learning_rate=0.02, batch_size=32, epochs=4, patience=3
    ),
    tuning=Tuning(
        trials=2,
        epochs=2,
        space=Space(layers=(1, 2), units=(4, 6), dropout=(0.0, 0.1), learning_rate=Range(low=0.01, high=0.05)),
    ),
    manifest={"data": {"name": "shop"}},
)


def shop_rows(count: int, seed: int) -> list[Row]:
    """Transactions whose fraud shows in the balance and the card, with gaps where SHOP_GAPS allows them; no limit."""
    generator = np.random.default_rng(seed)

    def gap(value: Any, share: float = 0.2) -> Any:
        return None if generator.random() < share else value

    rows = []
    for index in range(count):
        fraud = index % 8 == 0
        card = generator.choice(["gold", "virtual"] if fraud else ["gold", "blue", "green", "blue"])
        rows.append(
            {
                "fraud": int(fraud),
                EXAMPLE_WEIGHT: 1.0 if fraud else 4.0,
                "when": gap(f"2024-03-{1 + index % 28:02d}T{generator.integers(24):02d}:30:00"),
                "euros": float(np.round(generator.gamma(2, 20), 2)),
                "age": float(generator.integers(18, 90)),
                "balance": gap(float(np.float32(generator.normal(-2.0 if fraud else 1.0)))),
                "limit": None,
                "card type": gap(str(card)),
                "merchant": gap(int(generator.integers(0, 6)) - 1),
                "terminal": int(generator.integers(0, 2)),
            }
        )
    return rows


@functools.cache
def shop() -> Prepared:
    """Transactions of a shop: every role, sparse and dense columns, vocabularies that are cut short."""
    return _prepared(shop_rows(160, seed=1), SHOP_SETTINGS, SHOP_GAPS)


def fn_args(folder: Path, rows: int, custom_config: dict[str, Any], **more: Any) -> FnArgs:
    """Arguments of the Trainer's `run_fn`: so many transactions of the shop, and folders in `folder` to write to."""
    for name in ("model", "run"):
        (folder / name).mkdir(parents=True)
    return FnArgs(
        train_files=[write(shop_rows(rows, seed=1), folder / "train.gz")],
        eval_files=[write(shop_rows(80, seed=2), folder / "eval.gz")],
        transform_output=str(shop().folder / "transform"),
        serving_model_dir=str(folder / "model"),
        model_run_dir=str(folder / "run"),
        custom_config=custom_config,
        **more,
    )


def _prepared(rows: list[Row], settings: TrainerSettings, gaps: Iterable[str]) -> Prepared:
    folder = Path(tempfile.mkdtemp(prefix="fraud-pipeline-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    transform = analyze(rows, raw_spec(settings.columns, gaps), settings, folder / "transform")
    return Prepared(rows, settings, transform, folder)
