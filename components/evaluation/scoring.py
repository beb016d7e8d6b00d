"""Scoring of the test split on Beam: each file of examples becomes a file of scores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx.dsl.io import fileio

from components.evaluation import scores
from components.reading.values import seconds
from components.record_batches import read
from trainer import memory
from trainer.arrays import Array
from trainer.columns import EXAMPLE_WEIGHT, Columns, RawKind

_RAW = "serialized"


class Score(beam.DoFn):
    """Writes the scores of a file of examples into `evaluation`, and yields its name.

    Args:
      features: the kind of each feature of the examples.
      models: the folder of each SavedModel by name; each has the signature `serving_default`.
      share: see `Scores.share`.
      challengers: the folder with challengers' scores of the same files, as `components.challengers` writes them; ""
        for none.
    """

    def __init__(
        self,
        evaluation: str,
        features: Mapping[str, RawKind],
        columns: Columns,
        models: Mapping[str, str],
        share: float,
        challengers: str = "",
    ):
        super().__init__()
        self._evaluation = evaluation
        names = {columns.label, EXAMPLE_WEIGHT, columns.amount, columns.time}
        self._features = {name: kind for name, kind in features.items() if name in names}
        self._columns = columns
        self._models = dict(models)
        self._share = share
        self._challengers = challengers

    def setup(self) -> None:
        self._loaded = {name: tf.saved_model.load(folder) for name, folder in self._models.items()}

    def teardown(self) -> None:
        self._loaded.clear()
        memory.release()  # before the figures are computed

    def process(self, file: str) -> Iterator[str]:
        name = os.path.basename(file)
        path = os.path.join(self._challengers, f"{name}.arrow")
        challengers = scores.read(path) if self._challengers else pa.table({})
        facts = [scores.LABEL, scores.WEIGHT]
        facts += [fact for fact, column in self._optional if column]
        own = [f"{model}.{output}" for model in self._models for output in scores.OUTPUTS]
        path = os.path.join(self._evaluation, scores.FOLDER, f"{name}.arrow")
        fileio.makedirs(os.path.dirname(path))
        names = [*facts, *own, *challengers.column_names]
        scores.write(self._evaluation, path, names, self._batches(file, challengers), self._share)
        yield name

    @property
    def _optional(self) -> list[tuple[str, str | None]]:
        return [(scores.AMOUNT, self._columns.amount), (scores.TIME, self._columns.time)]

    def _batches(self, file: str, challengers: pa.Table) -> Iterator[list[Array]]:
        start = 0
        for batch in read(file, self._features, raw_records=_RAW):
            rows = batch.num_rows
            self._check(challengers, start + rows, file)
            values = [_values(batch, self._columns.label), _values(batch, EXAMPLE_WEIGHT)]
            if self._columns.amount:
                values.append(_values(batch, self._columns.amount))
            if self._columns.time:
                values.append(self._times(batch))
            serialized = tf.constant(_column(batch, _RAW).flatten().to_numpy(zero_copy_only=False))
            for model in self._loaded.values():
                outputs = model.signatures["serving_default"](examples=serialized)
                # a model from before calibration was added returns its probability only
                values += [outputs.get(output, outputs[scores.PROBABILITY]).numpy() for output in scores.OUTPUTS]
            values += [column.to_numpy() for column in challengers.slice(start, rows).columns]
            start += rows
            yield values
        self._check(challengers, start, file, whole=True)

    def _check(self, challengers: pa.Table, rows: int, file: str, *, whole: bool = False) -> None:
        """Checks that there is a score for each of so many rows and, where they are the whole file, for no more."""
        count = challengers.num_rows
        if challengers.num_columns and (count < rows or (whole and count > rows)):
            raise ValueError(
                f"{self._challengers} holds {count:,} scores for {file}, which has {rows:,} transactions, so they are "
                "of other transactions; delete them and run again"
            )

    def _times(self, batch: pa.RecordBatch) -> Array:
        """Seconds, float64 [n]; NaN where missing."""
        lists = _column(batch, self._columns.time)
        times = lists.flatten()
        if self._columns.time_kind == "iso8601":
            times = times.cast(pa.string())
        all_times = np.full(batch.num_rows, np.nan)
        all_times[lists.is_valid().to_numpy(zero_copy_only=False)] = seconds(times, self._columns.time_kind)
        return all_times


def _column(batch: pa.RecordBatch, name: Any) -> pa.LargeListArray:
    return batch.column(batch.schema.get_field_index(name))


def _values(batch: pa.RecordBatch, name: str) -> Array:
    """The single value of each row, float32 [n]; NaN where missing."""
    lists = _column(batch, name)
    values = np.full(batch.num_rows, np.nan, np.float32)
    values[lists.is_valid().to_numpy(zero_copy_only=False)] = lists.flatten().to_numpy(zero_copy_only=False)
    return values
