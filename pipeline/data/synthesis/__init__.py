"""Synthesized transactions, drawn from a generator fitted to real ones (`python -m pipeline.data.synthesis.fit`).

For each class a Gaussian mixture over the normal scores of every column, the time among them, and for each column a
monotone table from score to value. What a class looks like at an hour is the mixture conditional on the time, so the
times can be drawn first: rows come out in the order of time, one slice of the period after the other, and 100 million
of them need no more memory than one slice.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import operator
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from pipeline.config import MOST_ROWS
from trainer.arrays import Array, Floats
from trainer.errors import InputError

DEFAULT_FRAUD_RATE = 492 / 284_807
SUFFIXES = (".csv", ".csv.gz", ".parquet")
PARAMETERS = Path(__file__).with_name("ulb.npz")
CLASSES = ("legitimate", "fraud")  # in the order of their labels, 0 and 1

_ROWS_PER_SLICE = 16_384
# Readers of Parquet pay for every row group; eight slices of 31 columns are 33 MB.
_SLICES_PER_ROW_GROUP = 8


@dataclass(frozen=True)
class Table:
    """A column's distribution as knots of a monotone, piecewise linear map.

    probability, score, value: float64 [knots], none of them falling; a value that many rows share spans two knots.
    """

    probability: Floats
    score: Floats
    value: Floats


@dataclass(frozen=True)
class Mixture:
    """One class: a Gaussian mixture over scores, and the table of each column; the time is column 0.

    weights: [components], sums to 1; means: [components, columns];
    factors: [components, columns, columns], lower Cholesky factors of the covariances.
    """

    weights: Floats
    means: Floats
    factors: Floats
    tables: tuple[Table, ...]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], name: str) -> Mixture:
        """The mixture under `name` in what `arrays` of it gave."""
        means = arrays[f"{name}.means"].astype(float)
        count, columns = means.shape
        factors = np.zeros((count, columns, columns))
        lower = (slice(None), *np.tril_indices(columns))
        factors[lower] = arrays[f"{name}.factors"]
        ends = np.cumsum(arrays[f"{name}.table_sizes"])[:-1]
        tables = (Table(*table.astype(float)) for table in np.split(arrays[f"{name}.tables"], ends, axis=1))
        weights = arrays[f"{name}.weights"].astype(float)
        return cls(weights / weights.sum(), means, factors, tuple(tables))

    def arrays(self, name: str) -> dict[str, Array]:
        """What the parameter file holds of this mixture, float32."""
        lower = (slice(None), *np.tril_indices(self.means.shape[1]))
        tables = [np.stack([table.probability, table.score, table.value]) for table in self.tables]
        return {
            f"{name}.weights": self.weights.astype(np.float32),
            f"{name}.means": self.means.astype(np.float32),
            f"{name}.factors": self.factors[lower].astype(np.float32),
            f"{name}.tables": np.concatenate(tables, axis=1).astype(np.float32),
            f"{name}.table_sizes": np.array([table.shape[1] for table in tables], np.int32),
        }

    def draw(self, time_probabilities: Floats, rng: np.random.Generator) -> Floats:
        """Every column of rows whose times are given, as probabilities: [rows] in, [columns, rows] out, not rounded."""
        times = self.tables[0]
        time_scores = np.interp(time_probabilities, times.probability, times.score)
        # Distance from each component's mean time, in its standard deviations: [rows, components].
        spread = self.factors[:, 0, 0]
        distance = (time_scores[:, None] - self.means[:, 0]) / spread
        chances = np.exp(-0.5 * distance**2) * (self.weights / spread)
        upper = np.cumsum(chances, axis=1)
        pick = rng.random(len(distance)) * upper[:, -1]
        component = np.minimum((upper <= pick[:, None]).sum(axis=1), len(self.weights) - 1)

        noise = rng.standard_normal((len(distance), self.means.shape[1]))
        # The time is the first column, so its part of the Cholesky factor is all there is to conditioning on it.
        noise[:, 0] = distance[np.arange(len(distance)), component]
        scores = np.empty_like(noise)
        for index in np.unique(component):
            rows = np.flatnonzero(component == index)
            scores[rows] = self.means[index] + noise[rows] @ self.factors[index].T
        values = np.empty((self.means.shape[1], len(distance)))
        values[0] = np.interp(time_probabilities, times.probability, times.value)
        for column, table in enumerate(self.tables[1:], start=1):
            values[column] = np.interp(scores[:, column], table.score, table.value)
        return values


@dataclass(frozen=True)
class Generator:
    """Both classes, and what their columns are called: time, numbers, amount, in this order.

    decimals: how many each column is rounded to.
    """

    columns: tuple[str, ...]
    label: str
    decimals: tuple[int, ...]
    source: str
    licence: str
    legitimate: Mixture
    fraud: Mixture

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Generator:
        """The generator that `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(
                columns=tuple(map(str, arrays["columns"])),
                label=str(arrays["label"]),
                decimals=tuple(map(int, arrays["decimals"])),
                source=str(arrays["source"]),
                licence=str(arrays["licence"]),
                legitimate=Mixture.from_arrays(arrays, "legitimate"),
                fraud=Mixture.from_arrays(arrays, "fraud"),
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the parameters, and nothing else of the data, as a compressed .npz."""
        arrays: dict[str, Any] = {
            "columns": np.array(self.columns),
            "label": np.array(self.label),
            "decimals": np.array(self.decimals, np.int32),
            "source": np.array(self.source),
            "licence": np.array(self.licence),
            **self.legitimate.arrays("legitimate"),
            **self.fraud.arrays("fraud"),
        }
        np.savez_compressed(path, **arrays)

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([*((name, pa.float64()) for name in self.columns), (self.label, pa.int64())])

    @property
    def roles(self) -> dict[str, Any]:
        """Which column is what, as a data card says it."""
        time, *numeric, amount = self.columns
        return {"label": self.label, "time": time, "amount": amount, "numeric": numeric}

    def batches(self, rows: int, seed: int, fraud_rate: float = DEFAULT_FRAUD_RATE) -> Iterator[pa.RecordBatch]:
        """As the module's `batches`."""
        rows, seed = _whole("rows", rows, 1), _whole("seed", seed, 0)
        if rows > MOST_ROWS:
            raise InputError(f"rows must be at most {MOST_ROWS:,}, got {rows:,}")
        frauds = _frauds(rows, fraud_rate)
        return self._slices(rows, frauds, seed)

    def _slices(self, rows: int, frauds: int, seed: int) -> Iterator[pa.RecordBatch]:
        mixtures = (self.legitimate, self.fraud)
        times = [mixture.tables[0] for mixture in mixtures]
        slices = math.ceil(rows / _ROWS_PER_SLICE)
        # The period is cut where equal shares of the rows are due.
        knots = np.union1d(times[0].value, times[1].value)
        parts = [np.interp(knots, table.value, table.probability, left=0.0, right=1.0) for table in times]
        due = parts[0] + (parts[1] - parts[0]) * (frauds / rows)
        cuts = np.interp(np.linspace(0, 1, slices + 1), due, knots)
        cuts[0], cuts[-1] = knots[0], knots[-1]
        limits = [np.interp(cuts, knots, part) for part in parts]
        # How many independent draws fall into each slice is multinomial: slices can be drawn one by one, each from
        # a random stream of its own, and the rows are still as if drawn all at once and sorted.
        rng = _random(seed, 0)
        counts = [
            rng.multinomial(total, np.diff(limit)) for total, limit in zip((rows - frauds, frauds), limits, strict=True)
        ]
        for index in range(slices):
            rng = _random(seed, 1, index)
            drawn = []
            for mixture, count, limit in zip(mixtures, counts, limits, strict=True):
                drawn.append(mixture.draw(rng.uniform(limit[index], limit[index + 1], count[index]), rng))
            values = np.concatenate(drawn, axis=1)
            # Not even by a rounding error may a row be earlier than the slice before.
            np.clip(values[0], cuts[index], cuts[index + 1], out=values[0])
            order = np.argsort(values[0], kind="stable")
            labels = np.repeat(np.arange(len(CLASSES)), [count[index] for count in counts])[order]
            # The 0.0 turns a negative zero, printed "-0", into a zero.
            columns = [
                pa.array(column[order].round(decimals) + 0.0)
                for column, decimals in zip(values, self.decimals, strict=True)
            ]
            if len(order):
                yield pa.RecordBatch.from_arrays([*columns, pa.array(labels)], schema=self.schema)

    def write(
        self,
        path: str | os.PathLike[str],
        rows: int,
        seed: int,
        fraud_rate: float = DEFAULT_FRAUD_RATE,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        """As the module's `write`."""
        target = Path(path)
        suffix = _suffix(path)
        batches = self.batches(rows, seed, fraud_rate)
        card = target.with_name(target.name.removesuffix(suffix) + ".card.yaml")
        target.parent.mkdir(parents=True, exist_ok=True)
        if card.is_dir():
            raise InputError(f"{card}, where the data card belongs, is a folder; name another file")
        with _renamed_at_the_end(target) as data_file:
            _write_batches(_reporting(batches, on_progress), data_file, suffix, self.schema)
            with _renamed_at_the_end(card) as card_file:
                card_file.write(self._card(rows, _frauds(rows, fraud_rate), seed).encode())

    def _card(self, rows: int, frauds: int, seed: int) -> str:
        import yaml

        card = {
            "name": "SYNTHESIZED transactions, drawn from a generator fitted to the ULB sample",
            "kind": "synthesized",
            "source": f"{__name__}, fitted to: {self.source}",
            "licence": self.licence,
            "rows": int(rows),
            "frauds": frauds,
            "seed": int(seed),
            "sampling_rates": {"fraud": 1.0, "legitimate": 1.0},
            "roles": self.roles,
        }
        text: str = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
        return "# No row here is a real transaction.\n" + text


def batches(rows: int, seed: int, fraud_rate: float = DEFAULT_FRAUD_RATE) -> Iterator[pa.RecordBatch]:
    """Draws transactions in the order of time: columns and label float64 and int64, about 16,384 rows a batch.

    `round(rows * fraud_rate)` rows are frauds, but at least one unless the rate is 0. The same rows, seed and rate
    give the same transactions. Raises InputError for a number out of range, before anything is drawn.
    """
    return _fitted().batches(rows, seed, fraud_rate)


def write(
    path: str | os.PathLike[str],
    rows: int,
    seed: int,
    fraud_rate: float = DEFAULT_FRAUD_RATE,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Writes `batches` to a .csv, .csv.gz or .parquet file, and a data card (`NAME.card.yaml`) beside it.

    Either both are there in the end, whole, or the path is as it was. on_progress is told the rows done so far.
    Raises InputError for another suffix, a path that is not local, and numbers out of range.
    """
    _fitted().write(path, rows, seed, fraud_rate, on_progress)


@lru_cache(maxsize=1)
def _fitted() -> Generator:
    return Generator.load(PARAMETERS)


def _random(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _whole(name: str, value: int, least: int) -> int:
    try:
        whole = operator.index(value)
    except TypeError:
        whole = least - 1
    if isinstance(value, bool) or whole < least:
        raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return whole


def _frauds(rows: int, fraud_rate: float) -> int:
    if not 0 <= fraud_rate < 1:
        raise InputError(f"fraud_rate must be at least 0 and less than 1, got {fraud_rate!r}")
    return max(round(rows * fraud_rate), 1 if fraud_rate > 0 else 0)


def _suffix(path: str | os.PathLike[str]) -> str:
    name = os.fspath(path)
    if "://" in name:
        raise InputError(f"{name} is not on this machine; synthesize to a local path and copy the file there")
    for suffix in SUFFIXES:
        if Path(name).name.removesuffix(suffix) not in ("", Path(name).name):
            if os.path.isdir(name):
                raise InputError(f"{name} is a folder; name a file in it")
            return suffix
    raise InputError(f"{name}: the name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


@contextlib.contextmanager
def _renamed_at_the_end(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name, in one step, when the block ends well, and is removed when not."""
    # Readers of a folder pass over names that begin with a dot.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _reporting(
    batches: Iterator[pa.RecordBatch], on_progress: Callable[[int], None] | None
) -> Iterator[pa.RecordBatch]:
    done = 0
    for batch in batches:
        yield batch
        done += batch.num_rows
        if on_progress:
            on_progress(done)


def _write_batches(batches: Iterator[pa.RecordBatch], file: IO[bytes], suffix: str, schema: pa.Schema) -> None:
    if suffix == ".parquet":
        _write_parquet(batches, file, schema)
    elif suffix == ".csv":
        _write_csv(batches, file, schema)
    else:
        # No name and no time in the header: the same rows are the same bytes. Level 1, since digits hardly compress.
        with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed:
            _write_csv(batches, packed, schema)


def _write_csv(batches: Iterator[pa.RecordBatch], file: Any, schema: pa.Schema) -> None:
    import pyarrow.csv

    with pyarrow.csv.CSVWriter(file, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _write_parquet(batches: Iterator[pa.RecordBatch], file: Any, schema: pa.Schema) -> None:
    import pyarrow.parquet

    # Hardly a value comes twice: dictionaries would only be built to be given up.
    with pyarrow.parquet.ParquetWriter(file, schema, use_dictionary=False) as writer:
        group: list[pa.RecordBatch] = []
        for batch in batches:
            group.append(batch)
            if len(group) == _SLICES_PER_ROW_GROUP:
                writer.write_table(pa.Table.from_batches(group, schema))
                group.clear()
        if group:
            writer.write_table(pa.Table.from_batches(group, schema))
