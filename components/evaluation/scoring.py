"""Scoring the test split on Beam: each file of examples becomes one of scores."""

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
_GIVEN = (scores.SCORE, scores.PROBABILITY, scores.DECISION)


class Score(beam.DoFn):
    """Writes the scores of a file of examples into `evaluation`, and gives its name.

    Args:
      features: kind of each feature of the examples.
      models: folder of each SavedModel by name, with the signature `serving_default`.
      share: see `Scores.share`.
      given: folder with other models' scores of the same files, as `components.challengers` writes them; "" for none.
    """

    def __init__(
        self,
        evaluation: str,
        features: Mapping[str, RawKind],
        columns: Columns,
        models: Mapping[str, str],
        share: float,
        given: str = "",
    ):
        super().__init__()
        self._evaluation = evaluation
        wanted = {columns.label, EXAMPLE_WEIGHT, columns.amount, columns.time}
        self._features = {name: kind for name, kind in features.items() if name in wanted}
        self._columns = columns
        self._models = dict(models)
        self._share = share
        self._given = given

    def setup(self) -> None:
        self._loaded = {name: tf.saved_model.load(folder) for name, folder in self._models.items()}

    def teardown(self) -> None:
        self._loaded.clear()
        memory.release()  # before all that was scored is measured

    def process(self, file: str) -> Iterator[str]:
        name = os.path.basename(file)
        given = scores.read(os.path.join(self._given, f"{name}.arrow")) if self._given else pa.table({})
        facts = [scores.LABEL, scores.WEIGHT]
        facts += [fact for fact, column in self._optional if column]
        own = [f"{model}.{what}" for model in self._models for what in _GIVEN]
        path = os.path.join(self._evaluation, scores.FOLDER, f"{name}.arrow")
        fileio.makedirs(os.path.dirname(path))
        scores.write(path, [*facts, *own, *given.column_names], self._batches(file, given), self._share)
        yield name

    @property
    def _optional(self) -> list[tuple[str, str | None]]:
        return [(scores.AMOUNT, self._columns.amount), (scores.TIME, self._columns.time)]

    def _batches(self, file: str, given: pa.Table) -> Iterator[list[Array]]:
        start = 0
        for batch in read(file, self._features, raw_records=_RAW):
            rows = batch.num_rows
            self._check(given, start + rows, file)
            found = [_values(batch, self._columns.label), _values(batch, EXAMPLE_WEIGHT)]
            if self._columns.amount:
                found.append(_values(batch, self._columns.amount))
            if self._columns.time:
                found.append(self._times(batch))
            serialized = tf.constant(_column(batch, _RAW).flatten().to_numpy(zero_copy_only=False))
            for model in self._loaded.values():
                outputs = model.signatures["serving_default"](examples=serialized)
                # a model that was trained before calibration gives its probability alone
                found += [outputs.get(what, outputs[scores.PROBABILITY]).numpy() for what in _GIVEN]
            found += [column.to_numpy() for column in given.slice(start, rows).columns]
            start += rows
            yield found
        self._check(given, start, file, whole=True)

    def _check(self, given: pa.Table, rows: int, file: str, *, whole: bool = False) -> None:
        """Sees that there is a score for each of so many rows and, where they are the whole file, for no more."""
        if given.num_columns and (given.num_rows < rows or (whole and given.num_rows > rows)):
            raise ValueError(
                f"{self._given} holds {given.num_rows:,} scores for {file}, of other transactions than its {rows:,}; "
                "delete them and run again"
            )

    def _times(self, batch: pa.RecordBatch) -> Array:
        """Seconds, float64 [n]; NaN where missing."""
        lists = _column(batch, self._columns.time)
        times = lists.flatten()
        if self._columns.time_format == "iso8601":
            times = times.cast(pa.string())
        found = np.full(batch.num_rows, np.nan)
        found[lists.is_valid().to_numpy(zero_copy_only=False)] = seconds(times, self._columns.time_format)
        return found


def _column(batch: pa.RecordBatch, name: Any) -> pa.LargeListArray:
    return batch.column(batch.schema.get_field_index(name))


def _values(batch: pa.RecordBatch, name: str) -> Array:
    """The single value of each row, float32 [n]; NaN where missing."""
    lists = _column(batch, name)
    found = np.full(batch.num_rows, np.nan, np.float32)
    found[lists.is_valid().to_numpy(zero_copy_only=False)] = lists.flatten().to_numpy(zero_copy_only=False)
    return found
