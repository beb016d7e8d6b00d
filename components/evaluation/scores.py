"""Scored transactions of the test split, in Arrow files of which a column is read when it is asked for."""

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

from trainer.arrays import Array

SPLIT = "test"  # that models are judged by
FOLDER = "scores"  # in the ModelEvaluation artifact
CANDIDATE, CURRENT = "candidate", "current"
LABEL, WEIGHT, AMOUNT, TIME = "label", "weight", "amount", "time"
SCORE, PROBABILITY, DECISION = "score", "probability", "decision"
DAY_SECONDS = 86_400
_SHARE = b"share"
_LEAST_DAYS = 1 / 24


class Place(NamedTuple):
    """Where a transaction lies: in which file of the split, by name, and its row there, from 0."""

    file: str
    row: int


@dataclass(frozen=True)
class Scores:
    """Columns of all rows, in the order of the files' names and of the rows in each.

    label: float32 [n], 1 is fraud. weight: float32 [n], transactions that the row stands for. amount: float32 [n], NaN
    where it is missing. time: float64 [n], seconds, NaN where it is missing. Amount and time are there where the data
    has such a column. For each model, as `candidate.score`: score: float32 [n], what it ranks by; probability: float32
    [n], calibrated; decision: float32 [n], 1 where it stops the transaction.
    """

    files: tuple[str, ...]  # of the split
    _sources: tuple[str | pa.Buffer, ...]

    @classmethod
    def open(cls, evaluation: str) -> Scores:
        """Of an evaluation's folder.

        Raises:
          FileNotFoundError: it holds no scores.
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
        """Of each file."""
        return tuple(_read(source, [self._schema.names[0]]).num_rows for source in self._sources)

    def __len__(self) -> int:
        return sum(self._rows)

    def __contains__(self, column: str) -> bool:
        return column in self._schema.names

    @property
    def models(self) -> tuple[str, ...]:
        """The candidate first."""
        suffix = f".{SCORE}"
        names = [name.removesuffix(suffix) for name in self._schema.names if name.endswith(suffix)]
        return tuple(sorted(names, key=lambda name: (name != CANDIDATE, name != CURRENT, name)))

    def column(self, name: str) -> Array:
        """All rows of it, [n]; not to be written to.

        Raises:
          KeyError: there is none of that name.
        """
        parts = [part.to_numpy() for source in self._sources for part in _read(source, [name]).column(name).chunks]
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def of(self, model: str, what: str) -> Array:
        """A model's column: its score, probability or decision."""
        return self.column(f"{model}.{what}")

    def place(self, row: int) -> Place:
        """Where the row's transaction lies in the split."""
        for file, rows in zip(self.files, self._rows, strict=True):
            if row < rows:
                return Place(file, row)
            row -= rows
        raise IndexError(f"there are {len(self):,} rows, got row {row + len(self):,}")

    @property
    def share(self) -> float:
        """Which part of the transactions of its time the split holds: 1 but for a random one."""
        return float((self._schema.metadata or {}).get(_SHARE, 1))

    @functools.cached_property
    def days(self) -> float:
        """In how many days so many transactions come in, for figures a day; 1 where there are no times."""
        if TIME not in self:
            return 1.0
        times = self.column(TIME)
        known = times[~np.isnan(times)]
        span = float(known.max() - known.min()) / DAY_SECONDS if len(known) else 1.0
        return max(span, _LEAST_DAYS) * self.share  # as the trainer counts those of eval


def write(path: str, columns: Sequence[str], batches: Iterable[Sequence[Array]], share: float = 1.0) -> None:
    """One file of scores; whole, or not at all.

    Args:
      columns: names; float32, but for the time.
      batches: a value for each of them.
      share: see `Scores.share`.
    """
    fields = [(name, pa.float64() if name == TIME else pa.float32()) for name in columns]
    schema = pa.schema(fields, metadata={_SHARE: str(share)})
    part = f"{path}.part"
    # TFX's file is none to Arrow: it does not tell whether it is closed
    with FileSystems.create(part) as file, pa.ipc.new_file(file, schema) as writer:
        for arrays in batches:
            typed = [pa.array(values, field.type) for values, field in zip(arrays, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(typed, schema=schema))
    fileio.rename(part, path, overwrite=True)


def read(path: str) -> pa.Table:
    """What `write` wrote; from a file of this machine not a byte of it is read before it is needed."""
    return _read(_source(path))


def _source(path: str) -> str | pa.Buffer:
    """A file of this machine by its path, and the content of another."""
    if os.path.exists(path):
        return path
    with fileio.open(path, "rb") as file:
        return pa.py_buffer(file.read())


def _read(source: str | pa.Buffer, columns: Sequence[str] | None = None) -> pa.Table:
    """All columns or those of these names.

    Mapped anew each time: pages that have been looked at count as the process's memory as long as their map is there.

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
