"""Reads transactions as typed Arrow record batches, from CSV (also gzipped) or Parquet, from a disk or through Beam."""

from __future__ import annotations

import contextlib
import csv
import difflib
import gzip
import io
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from components.reading.files import DataFile, is_parquet, opened
from components.reading.values import MISSING, TYPED, Kind, ValueFault
from trainer import interruption
from trainer.columns import Columns
from trainer.errors import InputError

# A record has to fit in a block, even the header of 400 columns, or a long description.
_BLOCK_BYTES = 4 << 20
# Large enough that opening a file and starting a reader take little of the time, and small enough that a few GB keep a
# cluster busy.
PART_BYTES = 128 << 20
_SCAN_BYTES = 8 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Part:
    """A part of a file that is read on its own.

    start, stop: bytes of a CSV file, row groups of a Parquet file; without a stop the part ends with the file.
    """

    start: int = 0
    stop: int | None = None


WHOLE = Part()


@contextlib.contextmanager
def _csv_bytes(path: str, part: Part) -> Iterator[Any]:
    """The bytes of a part of a CSV file after the file's header, so that a part reads like a file of its own."""
    with opened(path) as raw:
        if part == WHOLE:
            yield raw
            return
        head = _csv_header(path).text.encode("utf-8", "surrogateescape") if part.start else b""
        raw.seek(part.start)
        yield io.BufferedReader(_Raw(raw, head, None if part.stop is None else part.stop - part.start))


@contextlib.contextmanager
def _text(path: str, part: Part = WHOLE) -> Iterator[IO[str]]:
    """A CSV file as text, to read it record by record: the header, and the search for a faulty line."""
    with _csv_bytes(path, part) as raw:
        stream = gzip.GzipFile(fileobj=raw) if path.lower().endswith(".gz") else raw
        # Bytes that are not UTF-8 become lone surrogates, so that an error can name their line.
        yield io.TextIOWrapper(io.BufferedReader(_Raw(stream)), "utf-8-sig", errors="surrogateescape", newline="")


class _Raw(io.RawIOBase):
    """Any readable object as a raw stream, since not all of Beam's have `readinto` and `read1`.

    It reads `head` first, then at most `size` bytes of the stream.
    """

    def __init__(self, stream: Any, head: bytes = b"", size: int | None = None) -> None:
        self._stream = stream
        self._head = head
        self._remaining = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
        elif self._remaining is None:
            data = self._stream.read(size)
        else:
            data = self._stream.read(min(size, self._remaining))
            self._remaining -= len(data)
        buffer[: len(data)] = data
        return len(data)


# Parts


def parts(file: DataFile, part_bytes: int = PART_BYTES) -> list[Part]:
    """Parts of `part_bytes` or a little more, whose rows, one part after another, are those of the file.

    A gzipped file is one part, and so is a CSV file whose quotes do not show where a record ends.
    """
    if file.size < 2 * part_bytes or file.path.lower().endswith(".gz"):
        return [WHOLE]
    if is_parquet(file.path):
        ends = _row_group_ends(file.path, part_bytes)
    else:
        # parts of equal size, rather than a small one at the end
        ends = _record_ends(file.path, -(-file.size // (file.size // part_bytes)))
        ends = [end for end in ends if end < file.size]
    return [Part(start, stop) for start, stop in zip([0, *ends], [*ends, None], strict=True)]


def _record_ends(path: str, part_bytes: int) -> list[int]:
    """Where a CSV file may be cut: every `part_bytes`, after the next line break outside quotes.

    A line break is outside quotes where the number of quotes before it is even (RFC 4180, section 2). A quote in the
    middle of an unquoted field, which every reader takes for text, would spoil the count: such a file is not cut.
    """
    delimiter = _csv_header(path).delimiter
    ends: list[int] = []
    target, inside, before = part_bytes, 0, b"\n"
    with opened(path) as raw:
        # the first quote may come right after the byte order mark
        offset = len(_BYTE_ORDER_MARK) if raw.read(len(_BYTE_ORDER_MARK)) == _BYTE_ORDER_MARK else 0
        raw.seek(offset)
        while chunk := raw.read(_SCAN_BYTES):
            if b'"' in chunk and not _quotes_enclose_fields(before + chunk, inside, delimiter):
                return []
            place = 0
            while (line_break := chunk.find(b"\n", max(place, target - 1 - offset))) >= 0:
                inside ^= chunk.count(b'"', place, line_break) & 1
                place = line_break + 1
                if not inside:
                    ends.append(offset + place)
                    target = offset + place + part_bytes
            inside ^= chunk.count(b'"', place) & 1
            offset += len(chunk)
            before = chunk[-1:]
    return ends


def _quotes_enclose_fields(text: bytes, inside: int, delimiter: str) -> bool:
    """Whether every opening quote is at the start of a field, or doubles the quote before it.

    inside: 1 if the first quote after the first byte is a closing one.
    """
    codes = np.frombuffer(text, np.uint8)
    opening = np.flatnonzero(codes[1:] == ord('"'))[inside::2]
    return bool(np.isin(codes[opening], [ord(before) for before in ("\n", "\r", '"', delimiter)]).all())


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


@dataclass(frozen=True)
class _CsvHeader:
    """The header: names of the columns, its delimiter (comma, semicolon or tab), and the lines of text it takes.

    The delimiter is the one that divides the header into the most names.
    """

    names: list[str]
    delimiter: str
    lines: list[str]

    @property
    def text(self) -> str:
        return "".join(self.lines)


def header(path: str) -> list[str]:
    """Names of the columns of a file, in order."""
    if is_parquet(path):
        with _parquet(path) as file:
            return _checked_header(path, file.schema_arrow.names)
    return _csv_header(path).names


def _csv_header(path: str) -> _CsvHeader:
    with _text(path) as text:
        # A quoted name may span lines; the csv module takes as many as it needs.
        lines = list(islice(text, 100))
    if not lines or not lines[0].strip():
        raise InputError(f"{path} is empty, expected a header line with the columns' names")
    if "\0" in lines[0]:
        raise InputError(f"{path} is not UTF-8 text (perhaps UTF-16); save it as UTF-8")
    options = []
    try:
        for delimiter in ",;\t":
            reader = csv.reader(lines, delimiter=delimiter)
            options.append(_CsvHeader(next(reader), delimiter, lines[: reader.line_num]))
    except csv.Error as error:
        raise InputError(f"{path} line 1: {error}") from error
    best = max(options, key=lambda option: len(option.names))
    _checked_header(path, best.names)
    return best


def _checked_header(path: str, names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: two columns or more are named {', '.join(map(repr, twice))}; rename them")
    return names


def _check_columns(path: str, names: Sequence[str], required: Iterable[str]) -> None:
    for name in required:
        if name not in names:
            some = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            lowered = {other.strip().lower(): other for other in names}
            near = difflib.get_close_matches(name.strip().lower(), lowered, n=1)
            nearest = f"; nearest: {lowered[near[0]]!r}" if near else ""
            raise InputError(f"{path}: no column {name!r} (has {some}{nearest}); name it under columns in the config")


# Reading


def read_batches(
    path: str,
    columns: Columns,
    names: Collection[str] | None = None,
    batch_rows: int = 65_536,
    part: Part = WHOLE,
) -> Generator[pa.RecordBatch, None, None]:
    """The rows of one file, or of one of its `parts`, with the columns that have a role (or those in `names`).

    Batches have `batch_rows` rows, the last one may have fewer; a file without rows gives no batch. The columns are in
    the order of `[*columns.raw_kinds, columns.label, columns.id]`. time: float64 (seconds), int64 (epoch, epoch_ms) or
    string (iso8601), never null; numeric and amount: float64, finite or null; categorical: string or int64, or null;
    label: int64, 0 or 1; id: string, or null.

    Raises:
      InputError: a value is none of these; the message names its line, or its row in a Parquet file.
    """
    kinds = _kinds(columns)
    if names is not None:
        unknown = sorted(set(names) - set(kinds))
        if unknown or not names:
            raise ValueError(f"names must be columns with a role ({', '.join(kinds)}), got {unknown or 'none'}")
        kinds = {name: kind for name, kind in kinds.items() if name in names}
    return _rechunked(_batches(path, kinds, batch_rows, part), batch_rows)


def raw_batches(path: str, batch_rows: int = 65_536) -> Iterator[pa.RecordBatch]:
    """All columns of a file as they are: of CSV as text, of Parquet with the file's own types."""
    kinds: dict[str, Kind] = dict.fromkeys(header(path), "raw")
    return _rechunked(_batches(path, kinds, batch_rows, WHOLE), batch_rows)


def _batches(path: str, kinds: dict[str, Kind], batch_rows: int, part: Part) -> Iterator[pa.RecordBatch]:
    if is_parquet(path):
        return _parquet_batches(path, kinds, batch_rows, part)
    return _csv_batches(path, kinds, part)


def _kinds(columns: Columns) -> dict[str, Kind]:
    of_role: dict[str, Kind] = {"float": "number", "integer": "integer", "string": "string"}
    kinds = {name: of_role[kind] for name, kind in columns.raw_kinds.items()}
    if columns.time:
        kinds[columns.time] = columns.time_format
    kinds[columns.label] = "label"
    if columns.id:
        kinds[columns.id] = "identifier"
    return kinds


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


def _csv_batches(path: str, kinds: dict[str, Kind], part: Part) -> Iterator[pa.RecordBatch]:
    head = _csv_header(path)
    _check_columns(path, head.names, kinds)
    rows = 0
    with _csv_bytes(path, part) as raw:
        stream = pa.PythonFile(raw, mode="r")
        if path.lower().endswith(".gz"):
            stream = pa.CompressedInputStream(stream, "gzip")
        try:
            reader = pyarrow.csv.open_csv(
                stream,
                read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES),
                parse_options=pyarrow.csv.ParseOptions(delimiter=head.delimiter, newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=list(kinds),
                    # Text stays as it is; "NA" means a missing value in numbers only.
                    column_types={
                        name: pa.float64() if _is_float(kind) else pa.string() for name, kind in kinds.items()
                    },
                    null_values=MISSING,
                    strings_can_be_null=False,
                ),
            )
            for batch in reader:
                typed = _typed(batch, kinds)
                yield typed
                rows += batch.num_rows
        except pa.ArrowInvalid as error:
            # A header without a line break is an error for Arrow, but here it is a file without rows.
            if rows or _has_records(path, head.delimiter, part):
                _explain_csv(path, kinds, head, part, rows, error)
        except ValueFault as fault:
            _explain_csv(path, kinds, head, part, rows, fault)


def _has_records(path: str, delimiter: str, part: Part) -> bool:
    with _text(path, part) as text:
        reader = csv.reader(text, delimiter=delimiter)
        next(reader)
        with contextlib.suppress(csv.Error):
            return any(reader)
        return True


def _is_float(kind: Kind) -> bool:
    return kind in ("number", "seconds")


def _explain_csv(
    path: str, kinds: dict[str, Kind], head: _CsvHeader, part: Part, rows: int, error: Exception
) -> NoReturn:
    """Raises InputError for the first fault after `rows` good rows of the part, with its line in the file."""
    lines_before = _lines_before(path, part) - len(head.lines) if part.start else 0
    with _text(path, part) as text:
        reader = csv.reader(text, delimiter=head.delimiter)
        try:
            names = next(reader)
            places = {name: names.index(name) for name in kinds}
            records = islice(
                ((lines_before + line, record) for line, record in _numbered(reader) if record), rows, None
            )
            while chunk := list(islice(records, 4096)):
                ragged = next((i for i, (_, record) in enumerate(chunk) if len(record) != len(names)), len(chunk))
                for name, row, fault in _faults(chunk[:ragged], places, kinds):
                    raise InputError(f"{path} line {chunk[row][0]:,}: {name} is {fault}; correct or drop the row")
                if ragged < len(chunk):
                    line, record = chunk[ragged]
                    fields = f"{len(record)} field{'s' * (len(record) != 1)}"
                    raise InputError(f"{path} line {line:,}: {fields}, expected {len(names)}; correct or drop the row")
        except csv.Error as fault:
            line = lines_before + reader.line_num
            raise InputError(f"{path} line {line:,}: {fault}; correct or drop the row") from error
    raise InputError(f"{path} cannot be read: {error}") from error


def _lines_before(path: str, part: Part) -> int:
    with _text(path, Part(0, part.start)) as text:
        return sum(1 for _ in text)


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line of the file on which it begins; a quoted field may span several lines."""
    line = reader.line_num + 1
    for record in reader:
        yield line, record
        line = reader.line_num + 1


def _faults(
    chunk: list[tuple[int, list[str]]], places: dict[str, int], kinds: dict[str, Kind]
) -> list[tuple[str, int, ValueFault]]:
    """The first fault in some records as name of the column, row in the chunk and fault; empty where there is none."""
    faults: list[tuple[str, int, ValueFault]] = []
    for name, kind in kinds.items():
        cells = [record[places[name]] for _, record in chunk]
        try:
            garbled = next((i for i, cell in enumerate(cells) if not _is_utf8(cell)), None)
            if garbled is not None:
                raise ValueFault(garbled, repr(cells[garbled].encode("utf-8", "surrogateescape"))[1:], "UTF-8 text")
            TYPED[kind](pa.array(cells, pa.string()))
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


def _parquet_batches(path: str, kinds: dict[str, Kind], batch_rows: int, part: Part) -> Iterator[pa.RecordBatch]:
    with _parquet(path) as file:
        _check_columns(path, _checked_header(path, file.schema_arrow.names), kinds)
        rows = sum(file.metadata.row_group(group).num_rows for group in range(part.start))
        groups = range(file.metadata.num_row_groups)[part.start : part.stop]
        for batch in file.iter_batches(batch_size=batch_rows, row_groups=groups, columns=list(kinds)):
            for name, row, fault in _batch_faults(batch, kinds):
                place = f"{path} row {rows + row + 1:,}" if fault.row is not None else path
                way_out = "correct or drop the row" if fault.row is not None else "give the column another role"
                raise InputError(f"{place}: {name} is {fault}; {way_out}")
            yield _typed(batch, kinds)
            rows += batch.num_rows


def _batch_faults(batch: pa.RecordBatch, kinds: dict[str, Kind]) -> list[tuple[str, int, ValueFault]]:
    faults: list[tuple[str, int, ValueFault]] = []
    for name, kind in kinds.items():
        try:
            TYPED[kind](batch.column(batch.schema.get_field_index(name)))
        except ValueFault as fault:
            faults.append((name, fault.row or 0, fault))
    return sorted(faults, key=lambda item: item[1])[:1]


# Types


def _typed(batch: pa.RecordBatch, kinds: dict[str, Kind]) -> pa.RecordBatch:
    arrays = [TYPED[kind](batch.column(batch.schema.get_field_index(name))) for name, kind in kinds.items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(kinds))
