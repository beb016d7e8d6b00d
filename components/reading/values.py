"""Values of a column as an Arrow array of one type (number, text, label, time), or the fault of the first bad one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from components.reading.casts import MISSING, ValueFault, is_numeric, nan_to_null, plain, refuse, refuse_missing
from components.reading.numbers import exact_text, integers, numbers, text
from components.reading.times import expected_time, joined, seconds, times
from trainer.columns import TIME_UNITS, Columns, LabelValues, NumberFormat, label_word

Kind = Literal["number", "integer", "string", "identifier", "label", "time", "raw"]

_ZERO_AND_ONE = LabelValues(fraud=("1", "true"), legitimate=("0", "false"))


@dataclass(frozen=True)
class ColumnType:
    """As what a column is read.

    sources: its columns in the file, of which a time may have several. may_be_missing: of a time or a label.
    """

    kind: Kind
    sources: tuple[str, ...]
    number: NumberFormat | None = None
    missing: tuple[str, ...] = ()
    labels: LabelValues | None = None
    time_format: str = "seconds"
    time_zone: str | None = None
    may_be_missing: bool = False

    @property
    def is_plain_float(self) -> bool:
        """Whether a CSV reader's own numbers will do."""
        plain_number = self.kind == "number" and not self.missing and not (self.number and self.number.is_of_text)
        plain_time = (
            self.kind == "time" and self.time_format in TIME_UNITS and len(self.sources) == 1 and not self.missing
        )
        return plain_number or plain_time

    def typed(self, columns: Sequence[pa.Array]) -> pa.Array:
        """The values, of one type whatever the file's: float64, int64 or string.

        Args:
          columns: those of `sources`.

        Raises:
          ValueFault: for the first value that does not fit.
        """
        values = columns[0]
        if self.kind == "number":
            return numbers(values, self.number, self.missing)
        if self.kind == "integer":
            return integers(values, self.missing)
        if self.kind == "string":
            return _without_marks(text(values), self.missing)
        if self.kind == "identifier":
            return exact_text(values)
        if self.kind == "label":
            labels = _labels(plain(values), self.labels, self.missing)
            return labels if self.may_be_missing else refuse_missing(labels, _expected_label(self.labels))
        if self.kind == "time":
            if len(columns) > 1:
                values = joined(list(columns), self.time_format)
            moments = times(_without_marks(plain(values), self.missing), self.time_format, self.time_zone)
            return moments if self.may_be_missing else refuse_missing(moments, expected_time(self.time_format))
        return values


def column_types(columns: Columns) -> dict[str, ColumnType]:
    """As what each column with a role is read, in the order of `[*raw_kinds, label, id, *entities]`."""
    kinds: dict[str, Kind] = {"float": "number", "integer": "integer", "string": "string"}
    types = {
        name: ColumnType(kinds[kind], (name,), number=columns.numbers.get(name), missing=columns.missing.get(name, ()))
        for name, kind in columns.raw_kinds.items()
    }
    if columns.time:
        types[columns.time] = ColumnType(
            "time",
            columns.time_parts or (columns.time,),
            time_format=columns.time_format,
            time_zone=columns.time_zone,
            missing=columns.missing.get(columns.time, ()),
            may_be_missing="time" in columns.leave_out_rows_without,
        )
    types[columns.label] = ColumnType(
        "label",
        (columns.label,),
        labels=columns.label_values,
        missing=columns.missing.get(columns.label, ()),
        may_be_missing="label" in columns.leave_out_rows_without,
    )
    return types | {name: ColumnType("identifier", (name,)) for name in columns.carried}


def _without_marks(values: pa.Array, marks: Sequence[str]) -> pa.Array:
    if not marks or not pa.types.is_string(values.type):
        return values
    is_mark = pc.is_in(pc.utf8_trim_whitespace(values), value_set=pa.array([mark.strip() for mark in marks]))
    return pc.if_else(is_mark, pa.scalar(None, pa.string()), values)


def _expected_label(meanings: LabelValues | None) -> str:
    if meanings is None:
        return "0 or 1"
    return f"{' or '.join((*meanings.fraud, *meanings.legitimate))}; columns.label_values says which mean fraud"


def _labels(values: pa.Array, meanings: LabelValues | None, marks: Sequence[str] = ()) -> pa.Array:
    """int64, 1 where the value means fraud, 0 where it means a legitimate transaction, null where it is missing.

    marks: further values that mean a missing one, also where no value means a legitimate transaction.
    """
    values = plain(values)
    if pa.types.is_boolean(values.type):
        printed = pc.if_else(values, "true", "false")
        if meanings is None:
            return values.cast(pa.int64())
    elif pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        printed = nan_to_null(values.cast(pa.float64())).cast(pa.string())
    elif is_numeric(values.type) or pa.types.is_string(values.type):
        printed = values.cast(pa.string())
    else:
        raise ValueFault(None, f"of type {values.type}", _expected_label(meanings))
    known = meanings or _ZERO_AND_ONE
    meaning = {label_word(word): 1 for word in known.fraud} | {label_word(word): 0 for word in known.legitimate}
    encoded = (printed.fill_null("") if "" in meaning else printed).dictionary_encode()
    words = [label_word(word) for word in encoded.dictionary.to_pylist()]
    missing = {*(mark.strip().casefold() for mark in MISSING)} - set(meaning)
    if "" in meaning:  # no value means something, however that is written
        meaning |= dict.fromkeys(missing, meaning[""])
        missing = set()
    words_for_missing = {label_word(mark) for mark in marks}
    missing |= words_for_missing
    labels = pa.array([None if word in words_for_missing else meaning.get(word) for word in words], pa.int64()).take(
        encoded.indices
    )
    is_missing = pa.array([word in missing for word in words], pa.bool_()).take(encoded.indices).fill_null(True)
    refuse(values, pc.and_(labels.is_null(), pc.invert(is_missing)), _expected_label(meanings))
    return labels


__all__ = ["ColumnType", "Kind", "ValueFault", "column_types", "seconds"]
