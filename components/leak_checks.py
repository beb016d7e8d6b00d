"""What the figures of single columns, and rows that stand in two splits, say about leaks: findings for people.

The rows are a sample of each split, the same for DataGate and for `check`, which reads the data itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from components.findings import Finding
from components.leakage_settings import LeakageSettings
from components.leaks import column_average_precisions, known_after
from components.reading.settings import SPLITS
from components.reading.splits import split_keys
from trainer.arrays import Array
from trainer.columns import EXAMPLE_WEIGHT, SECONDS_A_DAY, Columns

MOST_ROWS = 100_000
_MOST_CELLS = 8_000_000
# How far from the share of fraud to 1 a column has to come to be worth a look, and one whose name speaks of what is
# only known after the fact.
_NOTABLE, _HINTED = 0.25, 0.1
# Equal rows up to this share of a split do not move its figures by much.
_REPEATED_SHARE = 0.01
# As columns are not independent of each other, equal rows are more frequent by chance than if they were.
_TIMES_CHANCE = 3
_NO_INTEGER = np.iinfo(np.int64).min


def most_rows(columns: Columns) -> int:
    """How many rows of a split are looked at: 100,000, or fewer where the rows are wide."""
    return min(MOST_ROWS, _MOST_CELLS // (len(columns.inputs) + 2))


def step(rows: int, most: int) -> int:
    """Every so many-th of the rows is looked at: the lowest power of two by which there are not too many."""
    result = 1
    while -(-rows // result) > most:
        result *= 2
    return result


@dataclass
class Sample:
    """Every `step`-th row of a split, in order, from the first on.

    prepare: makes of some rows what is kept of them. rows: how many there are in the split. step: doubled whenever
    there would be more than `most` rows.
    """

    most: int
    prepare: Callable[[pa.RecordBatch], pa.RecordBatch] = lambda batch: batch
    rows: int = 0
    step: int = 1
    _batches: list[pa.RecordBatch] = field(default_factory=list)
    _kept: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        kept = (
            batch
            if self.step == 1
            else batch.take(pa.array(np.arange(-self.rows % self.step, batch.num_rows, self.step)))
        )
        self.rows += batch.num_rows
        if kept.num_rows:
            self._batches.append(self.prepare(kept))
            self._kept += kept.num_rows
        while self._kept > self.most:
            whole = self.batch
            halved = whole.take(pa.array(np.arange(0, whole.num_rows, 2)))
            self._batches, self._kept = [halved], halved.num_rows
            self.step *= 2

    @classmethod
    def from_thinned(cls, most: int, batches: list[pa.RecordBatch], rows: int, step: int) -> Sample:
        """Of the `step`-th rows alone of a split that has so many rows."""
        return cls(most, rows=rows, step=step, _batches=batches, _kept=sum(batch.num_rows for batch in batches))

    @property
    def batch(self) -> pa.RecordBatch:
        """The rows that were kept; there is at least one."""
        table = pa.Table.from_batches(self._batches).combine_chunks()
        (whole,) = table.to_batches()
        return whole

    def number(self, place: int) -> int:
        """The number within the split, from 1 on, of a row of the batch."""
        return place * self.step + 1


def of_column(batch: pa.RecordBatch, name: str) -> pa.Array:
    return batch.column(batch.schema.get_field_index(name))


def leak_findings(samples: Mapping[str, Sample], columns: Columns, settings: LeakageSettings) -> list[Finding]:
    """Columns that tell fraud by themselves, the worst first, and rows that stand in two splits.

    samples: of each split that has rows, with the inputs of `columns`, the label and `example_weight`.
    """
    sample = samples.get("train")
    if sample is None or not sample.rows:
        return []
    return [*_single_columns(sample, columns, settings), *_repeated(samples, columns)]


def _single_columns(sample: Sample, columns: Columns, settings: LeakageSettings) -> list[Finding]:
    batch = sample.batch
    labels: Array = of_column(batch, columns.label).to_numpy(zero_copy_only=False)
    weights = of_column(batch, EXAMPLE_WEIGHT).to_numpy(zero_copy_only=False).astype(np.float64)
    values = {name: _as_learned_from(batch, name, columns) for name in columns.inputs}
    precisions = column_average_precisions(values, labels, weights)
    share = float(np.average(labels, weights=weights))
    looked_at = (
        f"all {sample.rows:,} rows of train"
        if sample.step == 1
        else f"{batch.num_rows:,} rows, evenly spread over the {sample.rows:,} of train"
    )
    findings = []
    for name, precision in sorted(precisions.items(), key=lambda item: -item[1]):
        reached = (precision - share) / (1 - share) if share < 1 else 0.0
        limit = settings.max_average_precision
        # where most rows are fraud, any column has a high average precision
        over = reached > limit
        named = name in settings.known_before
        half = limit < 1 and precision - share > (limit - share) / 2 and reached > _NOTABLE
        if over and not named:
            findings.append(_leak(name, precision, share, looked_at, limit))
        elif over or (not named and (half or (known_after(name) and reached > _HINTED))):
            findings.append(_strong(name, precision, share, looked_at, limit, named))
    return findings


def _as_learned_from(batch: pa.RecordBatch, name: str, columns: Columns) -> Array | pa.Array:
    """Of the time the hour of the day, which is all that the network sees of it; whole numbers may be categories."""
    if name in columns.categorical:
        return of_column(batch, name).dictionary_encode()
    if name != columns.time:
        return of_column(batch, name)
    column = of_column(batch, name)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        column = column.cast(pa.string())
    timed = pa.RecordBatch.from_arrays([column], [name])
    return split_keys(timed, columns, "time", 0) % SECONDS_A_DAY


def _tells(precision: float, share: float, looked_at: str) -> str:
    return (
        f"alone, this column tells fraud with an average precision of {precision:.3f} out of fold, where {share:.3g} "
        f"would be chance ({looked_at})"
    )


def _leak(name: str, precision: float, share: float, looked_at: str, limit: float) -> Finding:
    reason = (
        "Its name suggests that it is only known once the fraud came out"
        if known_after(name)
        else "Such a column is mostly written once the fraud came out, or made from the label"
    )
    return Finding(
        "train",
        name,
        "Tells the label",
        f"{_tells(precision, share, looked_at)}; the limit is {limit:g} (data.leakage.max_average_precision). "
        f"{reason}. If it is not known when a transaction is decided on, move it to columns.ignore, and remove its "
        "feature from the schema; if it is, name it under data.leakage.known_before",
        True,
        "leakage",
    )


def _strong(name: str, precision: float, share: float, looked_at: str, limit: float, named: bool) -> Finding:
    if named:
        advice = f"above the limit of {limit:g}, but data.leakage.known_before names it, so the run goes on"
    elif known_after(name):
        advice = (
            "its name suggests that it is only known once the fraud came out, though a status or a decision may also "
            "be one from before. If it is not known when a transaction is decided on, move it to columns.ignore"
        )
    else:
        advice = (
            f"that is more than half of the way to the limit of {limit:g} (data.leakage.max_average_precision): see "
            "that it is known when a transaction is decided on"
        )
    return Finding(
        "train", name, "Tells much of the label", f"{_tells(precision, share, looked_at)}; {advice}", False, "leakage"
    )


@dataclass(frozen=True)
class RepeatedRows:
    """Rows of a later split that are equal to a row of train, by their places in the two samples: int64 [k] each."""

    places: Array
    in_train: Array


class RowsOfTrain:
    """The rows of train by a hash of their values in columns of these names."""

    def __init__(self, train: pa.RecordBatch, names: Sequence[str]) -> None:
        self._names = names
        self._train = train
        hashes = _hashes(train, names)
        self._order = np.argsort(hashes, kind="stable")  # of equal rows the first one
        self._ordered = hashes[self._order]

    def repeated(self, later: pa.RecordBatch) -> RepeatedRows:
        hashes = _hashes(later, self._names)
        at = np.minimum(np.searchsorted(self._ordered, hashes), len(self._ordered) - 1)
        (places,) = np.nonzero(self._ordered[at] == hashes)
        return RepeatedRows(places, self._order[at[places]])

    def chance(self) -> float:
        """The share of rows that would be equal to one of these if the columns were independent of each other."""
        rows, equal = self._train.num_rows, 1.0
        for name in self._names:
            counts = pc.value_counts(of_column(self._train, name)).field(1).to_numpy().astype(np.float64)
            # the share of pairs of rows that have the same value
            equal *= float((counts * (counts - 1)).sum()) / max(1, rows * (rows - 1))
        return min(1.0, equal * float(rows))


def _hashes(batch: pa.RecordBatch, names: Iterable[str]) -> Array:
    """A hash of each row's values, uint64 [n]; it is the same for equal rows of any batch."""
    arrays = {}
    for name in names:
        column = of_column(batch, name)
        # with a missing value pandas would turn all whole numbers into floats, which hash differently
        arrays[name] = (column.fill_null(_NO_INTEGER) if pa.types.is_integer(column.type) else column).to_pandas()
    hashes: Array = pd.util.hash_pandas_object(pd.DataFrame(arrays), index=False).to_numpy(np.uint64)
    return hashes


def _repeated(samples: Mapping[str, Sample], columns: Columns) -> list[Finding]:
    names = [name for name in [*columns.inputs, columns.label] if name != columns.time]
    train, findings = samples["train"], []
    rows_of_train = RowsOfTrain(train.batch, names)
    for split in SPLITS[1:]:
        sample = samples.get(split)
        if sample is None or not sample.rows:
            continue
        batch = sample.batch
        repeated = rows_of_train.repeated(batch)
        share = len(repeated.places) / batch.num_rows
        if share <= _REPEATED_SHARE or share <= _TIMES_CHANCE * rows_of_train.chance():
            continue
        frauds = int((of_column(batch, columns.label).to_numpy(zero_copy_only=False)[repeated.places] == 1).sum())
        first = int(repeated.places[0])
        findings.append(
            Finding(
                split,
                "(all)",
                "Rows that stand in train",
                f"{len(repeated.places):,} of {batch.num_rows:,} rows looked at ({share:.1%}), {frauds:,} of them "
                "frauds, are equal in all columns but id and time to one of the "
                f"{train.batch.num_rows:,} looked at in train; if the columns were independent of each other, chance "
                f"would make it {rows_of_train.chance():.2%}. The first is row {sample.number(first):,} of {split}, "
                f"equal to row {train.number(int(repeated.in_train[0])):,} of train. The figures of {split} are too "
                "good then: remove copies from the data, or see why transactions repeat",
                False,
                "repeated rows",
            )
        )
    return findings
