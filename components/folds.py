"""The folds of a cross-validation: which rows are in which fold, and a transform graph for each."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
import tensorflow_transform.beam as tft_beam

from components.reading.splits import split_keys
from components.reading.values import seconds
from components.record_batches import BatchedExamples, read
from components.transform_graph import write_graph
from trainer.arrays import Array
from trainer.columns import Columns, RawKind
from trainer.errors import InputError
from trainer.folds import BLOCKS, Blocks, blocks_at_random, blocks_by_time, graph_folder, why_not


def plan(
    files: Sequence[str], columns: Columns, by: str, folds: int, seed: int, kinds: Mapping[str, RawKind]
) -> Blocks:
    """Cuts the training examples into blocks.

    Args:
      by: time or random, as the splits were cut.
      kinds: of the raw features, by the property of their artifact.

    Raises:
      InputError: a block would have no fraud or no legitimate transaction; it says how many folds are possible.
    """
    keys, labels, counts = [], [], []
    for file in files:
        batches = _times(file, columns, kinds) if by == "time" else _hashes(file, columns, kinds, seed)
        rows = 0
        for key, label in batches:
            keys.append(key)
            labels.append(label)
            rows += len(label)
        counts.append(rows)
    all_keys, all_labels = np.concatenate(keys), np.concatenate(labels)

    def cut(count: int) -> Array:
        return blocks_by_time(all_keys, count) if by == "time" else blocks_at_random(all_labels, all_keys, count)

    fault = why_not(all_labels, cut, by, folds)
    if fault:
        raise InputError(fault)
    blocks = cut(folds)
    ends = np.cumsum(counts)[:-1]
    return Blocks(by, folds, dict(zip(files, np.split(blocks, ends), strict=True)))  # type: ignore[arg-type]


def _times(file: str, columns: Columns, kinds: Mapping[str, RawKind]) -> Iterator[tuple[Array, Array]]:
    """Times in seconds and labels, batch by batch."""
    time = columns.time
    assert time is not None  # the configuration refuses a split by time without one
    for batch in read(file, {time: kinds[time], columns.label: kinds[columns.label]}):
        times, labels = (batch.column(index).flatten() for index in range(2))
        if columns.time_kind == "iso8601":
            times = times.cast(pa.string())
        yield seconds(times, columns.time_kind), labels.to_numpy()


def _hashes(file: str, columns: Columns, kinds: Mapping[str, RawKind], seed: int) -> Iterator[tuple[Array, Array]]:
    """A hash of all values of each example, so that equal ones stay together, and labels, batch by batch.

    The serialized examples could not be hashed, since equal ones may have their features in different orders.
    """
    for batch in read(file, {name: kinds[name] for name in sorted(kinds)}):
        values = [pc.list_element(column, 0) for column in batch.columns]
        flat = pa.RecordBatch.from_arrays(values, batch.schema.names)
        labels = flat.column(flat.schema.get_field_index(columns.label))
        yield split_keys(flat, columns, "random", seed), labels.to_numpy()


def analyze(
    folder: str,
    blocks: Blocks,
    schema: Any,
    preprocessing_fn: Callable[..., Any],
    custom_config: Mapping[str, Any],
    make_pipeline: Callable[[], beam.Pipeline],
    temp_folder: str,
) -> None:
    """Writes the transform graph of each fold, from statistics of its training rows only."""
    function = functools.partial(preprocessing_fn, custom_config=dict(custom_config))
    with make_pipeline() as pipeline:
        for fold in range(blocks.folds):
            output = graph_folder(folder, fold)
            if tf.io.gfile.exists(output):
                tf.io.gfile.rmtree(output)  # left by a search that was killed; TFT does not overwrite it
            source = BatchedExamples(
                list(blocks.files), schema=schema, telemetry_descriptors=["fraud-pipeline", "Tuner"]
            )
            source.selection = functools.partial(_training_rows, folder, fold)
            # a folder for each: TFT names the file of a vocabulary by its name alone, and reads it once all are written
            with tft_beam.Context(temp_dir=os.path.join(temp_folder, str(fold)), force_tf_compat_v1=False):
                write_graph(pipeline, source, function, schema, output, prefix=f"Fold {fold}: ")


def _training_rows(folder: str, fold: int, file: str) -> Array:
    return Blocks.load(folder).trains(file, fold)


def is_there(folder: str) -> bool:
    """Whether the folder has complete folds, as after a search that was interrupted."""
    return bool(tf.io.gfile.exists(os.path.join(folder, f"{BLOCKS}.done")))


def finish(folder: str) -> None:
    """Marks the folds as complete."""
    with tf.io.gfile.GFile(os.path.join(folder, f"{BLOCKS}.done"), "w") as file:
        file.write("")
