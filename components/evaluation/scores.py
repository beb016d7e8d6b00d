"""Scored transactions of the test split, in Arrow files whose columns are read when they are needed."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems
from tfx.dsl.io import fileio

from components import attempts
from trainer.arrays import Array
from trainer.columns import SECONDS_A_DAY

SPLIT = "test"  # the split that models are judged by
FOLDER = "scores"  # in the ModelEvaluation artifact
CANDIDATE, CURRENT = "candidate", "current"
LABEL, WEIGHT, AMOUNT, TIME = "label", "weight", "amount", "time"
SCORE, PROBABILITY, DECISION = "score", "probability", "decision"
OUTPUTS = (SCORE, PROBABILITY, DECISION)  # columns of each model
_SHARE = b"share"
_LEAST_DAYS = 1 / 24


class Place(NamedTuple):
    """Where a transaction is: the name of a file of the split, and the number of the row in it, from 0."""

    file: str
    row: int


@dataclass(frozen=True)
class Scores:
    """Columns of all rows, in the order of the files' names and of the rows in each file.

    label: float32 [n], 1 for a fraud. weight: float32 [n], transactions that the row stands for. amount: float32 [n],
    NaN where missing. time: float64 [n], seconds, NaN where missing. Amount and time are only there where the data has
    such a column. For each model, named as in `candidate.score`: score: float32 [n], by which the model ranks;
    probability: float32 [n], calibrated; decision: float32 [n], 1 where the model stops the transaction.
    """

    files: tuple[str, ...]  # of the split
    _sources: tuple[str | pa.Buffer, ...]

    @classmethod
    def open(cls, evaluation: str) -> Scores:
        """Opens the scores in the folder of an evaluation.

        Raises:
          FileNotFoundError: the folder holds no scores.
        """
        folder = os.path.join(evaluation, FOLDER)
        names = sorted(fileio.listdir(folder)) if fileio.exists(folder) else []
        if not names:
            raise FileNotFoundError(f"{folder} holds no scores; the Evaluator writes them")
        sources = tuple(_source(os.path.join(folder, name)) for name in names)
        return cls(tuple(name.removesuffix(".arrow") for name in names), sources)

    @functools.cached_property
    def _schema(self) -> pa.Schema:
        return _read(self._sources[0]).schema

    @functools.cached_property
    def _rows(self) -> tuple[int, ...]:
        """The number of rows of each file."""
        return tuple(_read(source, [self._schema.names[0]]).num_rows for source in self._sources)

    def __len__(self) -> int:
        return sum(self._rows)

    def __contains__(self, column: str) -> bool:
        return column in self._schema.names

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, the candidate first."""
        suffix = f".{SCORE}"
        names = [name.removesuffix(suffix) for name in self._schema.names if name.endswith(suffix)]
        return tuple(sorted(names, key=lambda name: (name != CANDIDATE, name != CURRENT, name)))

    def column(self, name: str) -> Array:
        """All rows of a column, [n], read-only.

        Raises:
          KeyError: there is no column of that name.
        """
        parts = [part.to_numpy() for source in self._sources for part in _read(source, [name]).column(name).chunks]
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def of(self, model: str, output: str) -> Array:
        """A model's score, probability or decision, [n]."""
        return self.column(f"{model}.{output}")

    def place(self, row: int) -> Place:
        """Where in the split the transaction of the row is."""
        for file, rows in zip(self.files, self._rows, strict=True):
            if row < rows:
                return Place(file, row)
            row -= rows
        raise IndexError(f"there are {len(self):,} rows, got row {row + len(self):,}")

    @property
    def share(self) -> float:
        """The share of its period's transactions that the split holds, which is 1 unless splits are random."""
        return float((self._schema.metadata or {}).get(_SHARE, 1))

    @functools.cached_property
    def days(self) -> float:
        """How many days these transactions take to come in, for figures a day; 1 where there are no times."""
        if TIME not in self:
            return 1.0
        times = self.column(TIME)
        present = times[~np.isnan(times)]
        span = float(present.max() - present.min()) / SECONDS_A_DAY if len(present) else 1.0
        return max(span, _LEAST_DAYS) * self.share  # the trainer counts the days of eval in the same way


def write(
    artifact: str, path: str, columns: Sequence[str], batches: Iterable[Sequence[Array]], share: float = 1.0
) -> None:
    """Writes one file of scores, whole or not at all.

    Args:
      artifact: the folder of the artifact that `path` is in, see `attempts.attempt`.
      columns: names of the columns, which are float32, except for the time.
      batches: the values of each column.
      share: see `Scores.share`.
    """
    fields = [(name, pa.float64() if name == TIME else pa.float32()) for name in columns]
    schema = pa.schema(fields, metadata={_SHARE: str(share)})
    # Beam's file, since Arrow can't write to TFX's, which does not say whether it is closed
    with (
        attempts.attempt(artifact, path) as own,
        FileSystems.create(own) as file,
        pa.ipc.new_file(file, schema) as writer,
    ):
        for arrays in batches:
            typed = [pa.array(values, field.type) for values, field in zip(arrays, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(typed, schema=schema))


def read(path: str) -> pa.Table:
    """The table that `write` wrote; a file on this machine is not read before its values are needed."""
    return _read(_source(path))


def _source(path: str) -> str | pa.Buffer:
    """The path of a file on this machine, or the content of a file elsewhere."""
    if os.path.exists(path):
        return path
    with fileio.open(path, "rb") as file:
        return pa.py_buffer(file.read())


def _read(source: str | pa.Buffer, columns: Sequence[str] | None = None) -> pa.Table:
    """The columns of these names, or all of them.

    The file is mapped anew each time, since pages that were read count as the process's memory as long as their map
    exists.

    Raises:
      KeyError: there is no such column.
    """

    def opened(options: pa.ipc.IpcReadOptions) -> pa.RecordBatchFileReader:
        return pa.ipc.open_file(pa.memory_map(source) if isinstance(source, str) else source, options=options)

    options = pa.ipc.IpcReadOptions()
    if columns is not None:
        names = opened(options).schema.names
        missing = set(columns) - set(names)
        if missing:
            raise KeyError(*sorted(missing))
        options.included_fields = [names.index(name) for name in columns]
    return opened(options).read_all()
