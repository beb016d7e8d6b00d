"""Warns of roles by which a column loses values: whole numbers that float32 merges, codes that lose leading zeros."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from components.reading.casts import ValueFault, plain
from components.reading.files import find_files
from components.reading.numbers import numbers
from components.reading.readers import header, raw_batches
from pipeline.data.looks import Look
from trainer.columns import Columns

_ROWS, _CELLS = 50_000, 3_000_000


def role_losses(path: str, columns: Columns) -> list[str]:
    """A sentence for each column whose role loses values, by the first rows of the data at `path`.

    Raises:
      InputError: the file cannot be read.
    """
    file = find_files(path)[0].path
    present = set(header(file, columns.csv))
    integers = [name for name, kind in columns.categorical.items() if kind == "integer" and name in present]
    quantities = [name for name in columns.numeric if name in present]
    if not (integers or quantities):
        return []
    rows = max(1000, min(_ROWS, _CELLS // len([*integers, *quantities])))
    batch = next(raw_batches(file, rows, columns.csv, [*integers, *quantities]), None)
    if batch is None:
        return []
    by_name = {name: batch.column(index) for index, name in enumerate(batch.schema.names)}
    sentences = []
    for name in quantities:
        if not _has_large(by_name[name], columns, name):
            continue
        look = Look(name, pa.chunked_array([by_name[name]]))
        if look.merged_by_float32:
            sentences.append(
                f"{name} is numeric, and numbers are kept in float32: of {look.different:,} different whole "
                f"numbers in the first {batch.num_rows:,} rows, {look.merged_by_float32:,} become equal to another; if "
                "they are codes, make them a category or an entity"
            )
    for name in integers:
        look = Look(name, pa.chunked_array([by_name[name]]))
        if look.has_leading_zeros:
            numbers_left = len({text.lstrip("0") or "0" for text in look.values.to_pylist()})
            sentences.append(
                f"{name} is an integer category, but some values have leading zeros: {look.different:,} different "
                f"values in the first {batch.num_rows:,} rows become {numbers_left:,}; as `string` they stay apart"
            )
    return sentences


def _has_large(values: pa.Array, columns: Columns, name: str) -> bool:
    """Whether some value is beyond the whole numbers that float32 tells apart."""
    values = plain(values)
    if pa.types.is_floating(values.type):
        return False  # what was a float before is no exact code any more
    try:
        extremes = pc.min_max(pc.abs(numbers(values, columns.numbers.get(name), columns.missing.get(name, ()))))
    except ValueFault:
        return False  # the reader will say so, with its line
    largest = extremes["max"].as_py()
    return largest is not None and largest > 2**24
