"""Reads transactions as typed Arrow record batches, from CSV (also gzipped) or Parquet, from a disk or through Beam."""

from __future__ import annotations

import contextlib
import csv
import difflib
import io
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from components.reading.casts import MISSING, ValueFault
from components.reading.dialect import Dialect, RawStream, dialect_of, is_gzipped, text_of
from components.reading.files import DataFile, is_parquet, opened
from components.reading.values import ColumnType, column_types
from trainer import interruption
from trainer.columns import Columns, CsvFormat
from trainer.errors import InputError

# A record has to fit in a block, even the header of 400 columns, or a long description.
_BLOCK_BYTES = 4 << 20
# Large enough that opening a file and starting a reader take little of the time, and small enough that a few GB keep a
# cluster busy.
PART_BYTES = 128 << 20
_SCAN_BYTES = 8 << 20
_ROWS_TYPED_AT_ONCE = 16_384
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class BadValue(InputError):
    """A value that is not what its column is to hold; `column` is the name of that, "" where it came through Beam."""

    def __init__(self, message: str, column: str = "") -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True)
class Part:
    """A part of a file that is read on its own.

    start, stop: bytes of a CSV file, row groups of a Parquet file; without a stop the part ends with the file.
    """

    start: int = 0
    stop: int | None = None


WHOLE = Part()


@contextlib.contextmanager
def _csv_bytes(path: str, part: Part, head: bytes = b"") -> Iterator[Any]:
    """The bytes of a part of a CSV file, after `head`."""
    with opened(path) as raw:
        if part == WHOLE:
            yield raw
            return
        raw.seek(part.start)
        yield io.BufferedReader(RawStream(raw, head, None if part.stop is None else part.stop - part.start))


@contextlib.contextmanager
def _text(path: str, dialect: Dialect, part: Part = WHOLE) -> Iterator[IO[str]]:
    """A part of a CSV file as text, to read it record by record in search of a faulty line."""
    with _csv_bytes(path, part) as raw:
        yield text_of(path, raw, dialect.encoding, begins=part.start == 0)


# Parts


def parts(file: DataFile, part_bytes: int = PART_BYTES, written: CsvFormat | None = None) -> list[Part]:
    """Parts of `part_bytes` or a little more, whose rows, one part after another, are those of the file.

    A gzipped file is one part, and so is a CSV file whose bytes or quotes do not show where a record ends.

    written: as `columns.csv`.
    """
    if file.size < 2 * part_bytes or is_gzipped(file.path):
        return [WHOLE]
    if is_parquet(file.path):
        ends = _row_group_ends(file.path, part_bytes)
    else:
        dialect = dialect_of(file.path, written or CsvFormat())
        if not dialect.can_be_cut:
            return [WHOLE]
        # parts of equal size, rather than a small one at the end
        ends = _record_ends(file.path, dialect, -(-file.size // (file.size // part_bytes)))
        ends = [end for end in ends if end < file.size]
    return [Part(start, stop) for start, stop in zip([0, *ends], [*ends, None], strict=True)]


def _record_ends(path: str, dialect: Dialect, part_bytes: int) -> list[int]:
    """Where a CSV file may be cut: every `part_bytes`, after the next line break outside quotes.

    A line break is outside quotes where the number of quotes before it is even (RFC 4180, section 2). A quote in the
    middle of an unquoted field, which every reader takes for text, would spoil the count: such a file is not cut.
    """
    ends: list[int] = []
    target, inside, before = part_bytes, 0, b"\n"
    quote = dialect.quote.encode()
    with opened(path) as raw:
        # the first quote may come right after the byte order mark
        offset = len(_BYTE_ORDER_MARK) if raw.read(len(_BYTE_ORDER_MARK)) == _BYTE_ORDER_MARK else 0
        raw.seek(offset)
        while chunk := raw.read(_SCAN_BYTES):
            if quote and quote in chunk and not _quotes_enclose_fields(before + chunk, inside, dialect):
                return []
            place = 0
            while (line_break := chunk.find(b"\n", max(place, target - 1 - offset))) >= 0:
                inside ^= chunk.count(quote, place, line_break) & 1 if quote else 0
                place = line_break + 1
                if not inside:
                    ends.append(offset + place)
                    target = offset + place + part_bytes
            inside ^= chunk.count(quote, place) & 1 if quote else 0
            offset += len(chunk)
            before = chunk[-1:]
    return ends


def _quotes_enclose_fields(text: bytes, inside: int, dialect: Dialect) -> bool:
    """Whether every opening quote is at the start of a field, or doubles the quote before it.

    inside: 1 if the first quote after the first byte is a closing one.
    """
    codes = np.frombuffer(text, np.uint8)
    opening = np.flatnonzero(codes[1:] == ord(dialect.quote))[inside::2]
    return bool(
        np.isin(codes[opening], [ord(before) for before in ("\n", "\r", dialect.quote, dialect.delimiter)]).all()
    )


def _row_group_ends(path: str, part_bytes: int) -> list[int]:
    """The row groups after which a Parquet file is cut."""
    ends, size = [], 0
    with _parquet(path) as file:
        for group in range(file.metadata.num_row_groups - 1):
            size += file.metadata.row_group(group).total_byte_size
            if size >= part_bytes:
                ends.append(group + 1)
                size = 0
    return ends


# The header


def header(path: str, written: CsvFormat | None = None) -> list[str]:
    """Names of the columns of a file, in order; written: as `columns.csv`."""
    if is_parquet(path):
        with _parquet(path) as file:
            return _checked_header(path, file.schema_arrow.names)
    return _checked_header(path, list(dialect_of(path, written or CsvFormat()).names))


def _checked_header(path: str, names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{path}: two columns or more are named {', '.join(map(repr, twice))}; rename them, or name all columns "
            "under columns.csv.names"
        )
    return names


def _check_columns(path: str, names: Sequence[str], required: Iterable[str], dialect: Dialect | None = None) -> None:
    for name in required:
        if name not in names:
            some = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            lowered = {other.strip().lower(): other for other in names}
            near = difflib.get_close_matches(name.strip().lower(), lowered, n=1)
            nearest = f"; nearest: {lowered[near[0]]!r}" if near else ""
            read = f"; read with the delimiter {dialect.delimiter!r}" if dialect and len(names) == 1 else ""
            raise InputError(
                f"{path}: no column {name!r} (has {some}{nearest}{read}); name it under columns in the config"
            )


# Reading


def read_batches(
    path: str,
    columns: Columns,
    names: Collection[str] | None = None,
    batch_rows: int = 65_536,
    part: Part = WHOLE,
    left_out: Counter[str] | None = None,
) -> Generator[pa.RecordBatch, None, None]:
    """The rows of one file, or of one of its `parts`, with the columns that have a role (or those in `names`).

    Batches have `batch_rows` rows, the last one may have fewer; a file without rows gives no batch. The columns are in
    the order of `[*columns.raw_kinds, columns.label, *columns.carried]`. time: float64 (seconds), int64 (epoch,
    epoch_ms) or string (iso8601), as `columns.time_kind` says, never null; numeric and amount: float64, finite or null;
    categorical: string or int64, or null; label: int64, 0 or 1; id and entities: string, or null.

    left_out: gets the count of the rows that `columns.leave_out_rows_without` leaves out, by the role that they have no
    value of.

    Raises:
      InputError: a value is none of these; the message names its line, or its row in a Parquet file.
    """
    types = column_types(columns)
    if names is not None:
        unknown = sorted(set(names) - set(types))
        if unknown or not names:
            raise ValueError(f"names must be columns with a role ({', '.join(types)}), got {unknown or 'none'}")
    required = {"time": columns.time, "label": columns.label}
    required = {role: required[role] for role in columns.leave_out_rows_without if required[role] in types}
    wanted = [name for name in types if names is None or name in names]
    # a row without one of these is left out of every reading, whichever columns that is for
    read = {name: type_ for name, type_ in types.items() if name in wanted or name in required.values()}
    batches = _batches(path, read, batch_rows, part, columns.csv)
    if required:
        batches = _with_values(batches, required, wanted, Counter() if left_out is None else left_out)
    return _rechunked(batches, batch_rows)


def _with_values(
    batches: Iterable[pa.RecordBatch], required: Mapping[str, str | None], wanted: list[str], left_out: Counter[str]
) -> Iterator[pa.RecordBatch]:
    """The rows that have a value in each of the columns in `required`, by role."""
    for batch in batches:
        kept = np.ones(batch.num_rows, bool)
        for role, name in required.items():
            present = np.asarray(batch.column(batch.schema.get_field_index(name)).is_valid())
            left_out[role] += int((kept & ~present).sum())
            kept &= present
        batch = batch if kept.all() else batch.filter(pa.array(kept))
        arrays = [batch.column(batch.schema.get_field_index(name)) for name in wanted]
        yield pa.RecordBatch.from_arrays(arrays, names=wanted)


def raw_batches(
    path: str, batch_rows: int = 65_536, written: CsvFormat | None = None, names: Collection[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The columns of a file, or those in `names`, as they are: of CSV as text, of Parquet with the file's own types."""
    written = written or CsvFormat()
    types = {name: ColumnType("raw", (name,)) for name in header(path, written) if names is None or name in names}
    return _rechunked(_batches(path, types, batch_rows, WHOLE, written), batch_rows)


def _batches(
    path: str, types: dict[str, ColumnType], batch_rows: int, part: Part, written: CsvFormat
) -> Iterator[pa.RecordBatch]:
    if is_parquet(path):
        return _parquet_batches(path, types, batch_rows, part)
    return _csv_batches(path, types, batch_rows, part, written)


def _sources(types: Mapping[str, ColumnType]) -> list[str]:
    """The columns of the file that are read, each once."""
    return list(dict.fromkeys(source for type_ in types.values() for source in type_.sources))


def _rechunked(batches: Iterable[pa.RecordBatch], rows: int) -> Generator[pa.RecordBatch, None, None]:
    """The same rows in batches of `rows` (the last one may be shorter), whatever the blocks of the file."""
    pending: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        interruption.check()
        pending.append(batch)
        count += batch.num_rows
        if count >= rows:
            table = pa.Table.from_batches(pending)
            whole = count - count % rows
            for start in range(0, whole, rows):
                yield from table.slice(start, rows).combine_chunks().to_batches()
            pending = table.slice(whole).to_batches()
            count -= whole
    if count:
        yield from pa.Table.from_batches(pending).combine_chunks().to_batches()


def _csv_batches(
    path: str, types: dict[str, ColumnType], batch_rows: int, part: Part, written: CsvFormat
) -> Iterator[pa.RecordBatch]:
    dialect = dialect_of(path, written)
    _check_columns(path, _checked_header(path, list(dialect.names)), _sources(types), dialect)
    as_floats = {type_.sources[0] for type_ in types.values() if type_.is_plain_float}
    as_text = {source for type_ in types.values() if not type_.is_plain_float for source in type_.sources}
    rows = 0
    # Arrow would leave out what looks like a byte order mark at the begin of a part; empty lines it leaves out anyway.
    with _csv_bytes(path, part, b"\n" if part.start else b"") as raw:
        stream = pa.PythonFile(raw, mode="r")
        if is_gzipped(path):
            stream = pa.CompressedInputStream(stream, "gzip")
        try:
            reader = pyarrow.csv.open_csv(
                stream,
                read_options=pyarrow.csv.ReadOptions(
                    block_size=_BLOCK_BYTES,
                    column_names=list(dialect.names),
                    skip_rows=0 if part.start else dialect.header_lines,
                    encoding="utf8" if dialect.encoding == "utf-8" else dialect.encoding,
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=dialect.delimiter, quote_char=dialect.quote or False, newlines_in_values=True
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=_sources(types),
                    # Text stays as it is; "NA" means a missing value in numbers only.
                    column_types={
                        name: pa.float64() if name in as_floats - as_text else pa.string() for name in _sources(types)
                    },
                    null_values=MISSING,
                    strings_can_be_null=False,
                ),
            )
            for batch in _ahead(_merged(reader, min(batch_rows, _ROWS_TYPED_AT_ONCE))):
                typed = _typed(batch, types)
                yield typed
                rows += batch.num_rows
        except pa.ArrowInvalid as error:
            # A header without a line break is an error for Arrow, but here it is a file without rows.
            if rows or _has_records(path, dialect, part):
                _explain_csv(path, types, dialect, part, rows, error)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} is not {dialect.encoding} text: {error.reason} after about {rows:,} rows; set "
                "columns.csv.encoding"
            ) from error
        except ValueFault as fault:
            _explain_csv(path, types, dialect, part, rows, fault)


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, each of which is parsed in another thread while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = pool.submit(next, batches, None)
            yield batch


def _merged(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at least so many: a block of wide rows has few, and each column costs some calls."""
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        if not pending and batch.num_rows >= rows:
            yield batch
            continue
        pending.append(batch)
        if sum(one.num_rows for one in pending) >= rows:
            yield from pa.Table.from_batches(pending).combine_chunks().to_batches()
            pending = []
    if pending:
        yield from pa.Table.from_batches(pending).combine_chunks().to_batches()


def _has_records(path: str, dialect: Dialect, part: Part) -> bool:
    with _text(path, dialect, part) as text:
        records = dialect.records(_without_header(text, dialect, part))
        with contextlib.suppress(csv.Error):
            return any(records)
        return True


def _without_header(text: IO[str], dialect: Dialect, part: Part) -> Iterator[str]:
    return islice(text, 0 if part.start else dialect.header_lines, None)


def _explain_csv(
    path: str, types: dict[str, ColumnType], dialect: Dialect, part: Part, rows: int, error: Exception
) -> NoReturn:
    """Raises InputError for the first fault after `rows` good rows of the part, with its line in the file."""
    lines_before = _lines_before(path, dialect, part) if part.start else dialect.header_lines
    with _text(path, dialect, part) as text:
        reader = dialect.records(_without_header(text, dialect, part))
        names = dialect.names
        try:
            records = islice(
                ((lines_before + line, record) for line, record in _numbered(reader) if record), rows, None
            )
            while chunk := list(islice(records, 4096)):
                ragged = next((i for i, (_, record) in enumerate(chunk) if len(record) != len(names)), len(chunk))
                for name, row, fault in _faults(chunk[:ragged], names, types):
                    place = f"{path} line {chunk[row][0]:,}"
                    raise BadValue(f"{place}: {name} is {fault}; correct or drop the row", name)
                if ragged < len(chunk):
                    line, record = chunk[ragged]
                    fields = f"{len(record)} field{'s' * (len(record) != 1)}"
                    raise InputError(
                        f"{path} line {line:,}: {fields}, expected {len(names)}, divided by {dialect.delimiter!r}; "
                        "correct or drop the row"
                    )
        except csv.Error as fault:
            line = lines_before + reader.line_num
            raise InputError(f"{path} line {line:,}: {fault}; correct or drop the row") from error
    raise InputError(f"{path} cannot be read: {error}") from error


def _lines_before(path: str, dialect: Dialect, part: Part) -> int:
    with _text(path, dialect, Part(0, part.start)) as text:
        return sum(1 for _ in text)


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line of the file on which it begins; a quoted field may span several lines."""
    line = reader.line_num + 1
    for record in reader:
        yield line, record
        line = reader.line_num + 1


def _faults(
    chunk: list[tuple[int, list[str]]], names: Sequence[str], types: Mapping[str, ColumnType]
) -> list[tuple[str, int, ValueFault]]:
    """The first fault in some records as name of the column, row in the chunk and fault; empty where there is none."""
    faults: list[tuple[str, int, ValueFault]] = []
    places = {name: names.index(name) for name in _sources(types)}
    for name, type_ in types.items():
        texts = [[record[places[source]] for _, record in chunk] for source in type_.sources]
        try:
            for cells in texts:
                garbled = next((i for i, cell in enumerate(cells) if not _is_utf8(cell)), None)
                if garbled is not None:
                    shown = repr(cells[garbled].encode("utf-8", "surrogateescape"))[1:]
                    raise ValueFault(garbled, shown, "UTF-8 text (or set columns.csv.encoding, for example to cp1252)")
            type_.typed([pa.array(cells, pa.string()) for cells in texts])
        except ValueFault as fault:
            faults.append((name, fault.row or 0, fault))
    return sorted(faults, key=lambda item: item[1])[:1]


def _is_utf8(cell: str) -> bool:
    return cell.isascii() or not any("\udc80" <= character <= "\udcff" for character in cell)


@contextlib.contextmanager
def _parquet(path: str) -> Iterator[pyarrow.parquet.ParquetFile]:
    with opened(path) as raw:
        try:
            yield pyarrow.parquet.ParquetFile(pa.PythonFile(raw, mode="r"))
        except pa.ArrowInvalid as error:
            raise InputError(f"{path} cannot be read as Parquet: {error}") from error


def _parquet_batches(path: str, types: dict[str, ColumnType], batch_rows: int, part: Part) -> Iterator[pa.RecordBatch]:
    with _parquet(path) as file:
        _check_columns(path, _checked_header(path, file.schema_arrow.names), _sources(types))
        rows = sum(file.metadata.row_group(group).num_rows for group in range(part.start))
        groups = range(file.metadata.num_row_groups)[part.start : part.stop]
        for batch in _parquet_rows(path, file, batch_rows, groups, _sources(types)):
            for name, row, fault in _batch_faults(batch, types):
                place = f"{path} row {rows + row + 1:,}" if fault.row is not None else path
                way_out = "correct or drop the row" if fault.row is not None else "give the column another role"
                raise BadValue(f"{place}: {name} is {fault}; {way_out}", name)
            yield _typed(batch, types)
            rows += batch.num_rows


def _parquet_rows(
    path: str, file: pyarrow.parquet.ParquetFile, batch_rows: int, groups: Sequence[int], names: list[str]
) -> Iterator[pa.RecordBatch]:
    try:
        yield from file.iter_batches(batch_size=batch_rows, row_groups=groups, columns=names)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}; write it again") from error


def _batch_faults(batch: pa.RecordBatch, types: Mapping[str, ColumnType]) -> list[tuple[str, int, ValueFault]]:
    faults: list[tuple[str, int, ValueFault]] = []
    for name, type_ in types.items():
        try:
            type_.typed(_columns(batch, type_))
        except ValueFault as fault:
            faults.append((name, fault.row or 0, fault))
    return sorted(faults, key=lambda item: item[1])[:1]


# Types


def _columns(batch: pa.RecordBatch, type_: ColumnType) -> list[pa.Array]:
    return [batch.column(batch.schema.get_field_index(source)) for source in type_.sources]


def _typed(batch: pa.RecordBatch, types: Mapping[str, ColumnType]) -> pa.RecordBatch:
    arrays = [type_.typed(_columns(batch, type_)) for type_ in types.values()]
    return pa.RecordBatch.from_arrays(arrays, names=list(types))
