"""Reads transactions as typed Arrow record batches: CSV (also gzipped) or Parquet, from a disk or through Beam."""

from __future__ import annotations

import contextlib
import csv
import difflib
import glob
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from trainer.columns import Columns, TimeFormat
from trainer.errors import InputError

SUFFIXES = (".csv", ".csv.gz", ".parquet")
CARD_SUFFIX = ".card.yaml"

# What pandas takes for missing, and a blank. Only an empty text is missing in a category: "NA" may be a country.
MISSING = [
    *("", " ", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>", "#N/A", "#NA"),
    *("#N/A N/A", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
]

# A record (the header of 400 columns, a long description) has to fit in a block.
_BLOCK_BYTES = 4 << 20
# Enough that opening a file and starting a reader do not count, little enough that a few GB keep a cluster busy.
PART_BYTES = 128 << 20
_SCAN_BYTES = 8 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Kind = Literal["number", "integer", "string", "label", "seconds", "epoch", "epoch_ms", "iso8601", "raw"]

_ISO_8601 = (
    r"^(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?:[.,](?P<fraction>\d+))?"
    r"(?: ?(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?))?)?$"
)


@dataclass(frozen=True)
class DataFile:
    """A file of transactions; size in bytes, modified in seconds since 1970."""

    path: str
    size: int
    modified: float


@dataclass(frozen=True)
class Part:
    """A piece of a file that is read on its own.

    start, stop: bytes of a CSV file, row groups of a Parquet file; without a stop to the end of the file.
    """

    start: int = 0
    stop: int | None = None


WHOLE = Part()


class _Fault(Exception):
    """A value that cannot be used: its row in the array (None: all of them), what was got, what was expected."""

    def __init__(self, row: int | None, got: str, expected: str) -> None:
        super().__init__(f"{got}, expected {expected}")
        self.row = row


# Finding and opening files


def find_files(path: str) -> tuple[DataFile, ...]:
    """The data files that a file name, a folder or a glob stands for, sorted by path; local, or on what Beam knows.

    A folder stands for the CSV and Parquet files directly in it. Raises InputError where there is none, and for an
    empty file or one of another kind.
    """
    files, in_folder = listed(path)
    files = [file for file in files if not file.path.endswith(CARD_SUFFIX)]
    if in_folder:
        files = [file for file in files if suffix_of(file.path) and not _name(file.path).startswith((".", "_"))]
    if not files:
        raise InputError(f"{path}: no transactions there; expected a {', '.join(SUFFIXES)} file, a folder or a glob")
    for file in files:
        if not suffix_of(file.path):
            raise InputError(f"{file.path}: not a kind of file that is read; expected one of {', '.join(SUFFIXES)}")
        if file.size == 0:
            raise InputError(f"{file.path} is empty; remove it or write it again")
    return tuple(sorted(files, key=lambda file: file.path))


def listed(path: str) -> tuple[list[DataFile], bool]:
    """Every file, of any kind, that a file name, a folder or a glob stands for, and whether it is a folder."""
    return _remote_files(path) if is_remote(path) else _local_files(path)


def _local_files(path: str) -> tuple[list[DataFile], bool]:
    """The files at a local path, and whether it is a folder."""
    place = Path(_local(path)).expanduser()
    if place.is_dir():
        found = [entry for entry in place.iterdir() if entry.is_file()]
    elif place.exists():
        found = [place]
    else:
        found = [entry for entry in map(Path, glob.glob(str(place))) if entry.is_file()]
    return [DataFile(str(f), f.stat().st_size, f.stat().st_mtime) for f in found], place.is_dir()


def _remote_files(path: str) -> tuple[list[DataFile], bool]:
    """The files at a path that Beam knows, and whether it is a folder."""
    from apache_beam.io.filesystem import BeamIOError

    file_systems = _file_systems()

    def matching(pattern: str) -> list[DataFile]:
        # A glob of the file system also matches what looks like it in folders further down.
        return [
            DataFile(entry.path, entry.size_in_bytes, float(entry.last_updated_in_seconds or 0.0))
            for entry in file_systems.match([pattern])[0].metadata_list
            if entry.path.count("/") == pattern.count("/") and not entry.path.endswith("/")
        ]

    try:
        is_glob = any(character in path for character in "*?[")
        found = [] if path.endswith("/") else matching(path)
        if found or is_glob:
            return found, False
        return matching(f"{path.rstrip('/')}/*"), True
    except (BeamIOError, ValueError, OSError) as error:
        raise InputError(f"{path} cannot be listed: {error}") from error


def _file_systems() -> Any:
    """Beam's, which know s3:// only once there are options; a pipeline gives them its own."""
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    if FileSystems._pipeline_options is None:
        FileSystems.set_options(PipelineOptions([]))
    return FileSystems


def fingerprint(path: str) -> str:
    """Changes when a file below `path` comes, goes, or has another size or time of modification."""
    files = [(file.path, file.size, file.modified) for file in find_files(path)]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]


def is_remote(path: str) -> bool:
    """Whether Beam has to open it."""
    return "://" in path and not path.startswith("file://")


def _local(path: str) -> str:
    return path.removeprefix("file://")


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def suffix_of(path: str) -> str | None:
    """The one of `SUFFIXES` that a file name ends in."""
    return next((suffix for suffix in SUFFIXES if path.lower().endswith(suffix)), None)


def _is_parquet(path: str) -> bool:
    return suffix_of(path) == ".parquet"


@contextlib.contextmanager
def opened(path: str) -> Iterator[Any]:
    """The bytes of a file as they lie there, as a binary file object; faults of reading become InputError."""
    try:
        if is_remote(path):
            from apache_beam.io.filesystem import CompressionTypes

            stream = _file_systems().open(path, compression_type=CompressionTypes.UNCOMPRESSED)
        else:
            stream = open(Path(_local(path)).expanduser(), "rb")  # noqa: SIM115
        with contextlib.closing(stream):
            yield stream
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


@contextlib.contextmanager
def _csv_bytes(path: str, part: Part) -> Iterator[Any]:
    """The bytes of a part of a CSV file, the file's header first, so that a part reads like a file of its own."""
    with opened(path) as raw:
        if part == WHOLE:
            yield raw
            return
        head = _csv_header(path).text.encode("utf-8", "surrogateescape") if part.start else b""
        raw.seek(part.start)
        yield io.BufferedReader(_Raw(raw, head, None if part.stop is None else part.stop - part.start))


@contextlib.contextmanager
def _text(path: str, part: Part = WHOLE) -> Iterator[IO[str]]:
    """A CSV file as text, for what is done record by record: the header, and the search for a faulty line."""
    with _csv_bytes(path, part) as raw:
        stream = gzip.GzipFile(fileobj=raw) if path.lower().endswith(".gz") else raw
        # Bytes that are no UTF-8 become lone surrogates, so that the line that has them can be named.
        yield io.TextIOWrapper(io.BufferedReader(_Raw(stream)), "utf-8-sig", errors="surrogateescape", newline="")


class _Raw(io.RawIOBase):
    """Any readable object as a raw stream: Beam's have neither `readinto` nor `read1` everywhere.

    Gives `head` first, then at most `size` bytes of the stream.
    """

    def __init__(self, stream: Any, head: bytes = b"", size: int | None = None) -> None:
        self._stream = stream
        self._head = head
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted = len(buffer)
        if self._head:
            data, self._head = self._head[:wanted], self._head[wanted:]
        elif self._left is None:
            data = self._stream.read(wanted)
        else:
            data = self._stream.read(min(wanted, self._left))
            self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


# Parts


def parts(file: DataFile, part_bytes: int = PART_BYTES) -> list[Part]:
    """Pieces of `part_bytes` or a little more, whose rows, one piece after another, are those of the file.

    A gzipped file is one piece, and so is a CSV file of which the quotes do not tell where a record ends.
    """
    if file.size < 2 * part_bytes or file.path.lower().endswith(".gz"):
        return [WHOLE]
    if _is_parquet(file.path):
        ends = _row_group_ends(file.path, part_bytes)
    else:
        # pieces of one size, rather than a small one at the end
        ends = _record_ends(file.path, -(-file.size // (file.size // part_bytes)))
        ends = [end for end in ends if end < file.size]
    return [Part(start, stop) for start, stop in zip([0, *ends], [*ends, None], strict=True)]


def _record_ends(path: str, part_bytes: int) -> list[int]:
    """Where a CSV file may be cut: after the first line break outside quotes, every `part_bytes`.

    A line break is outside quotes where the number of quotes before it is even (RFC 4180, section 2). A quote in the
    middle of a field without quotes, which is text to every reader, would spoil the count: such a file is not cut.
    """
    delimiter = _csv_header(path).delimiter
    ends: list[int] = []
    wanted, inside, before = part_bytes, 0, b"\n"
    with opened(path) as raw:
        # a quote may stand right after the mark
        offset = len(_BYTE_ORDER_MARK) if raw.read(len(_BYTE_ORDER_MARK)) == _BYTE_ORDER_MARK else 0
        raw.seek(offset)
        while chunk := raw.read(_SCAN_BYTES):
            if b'"' in chunk and not _quotes_enclose_fields(before + chunk, inside, delimiter):
                return []
            place = 0
            while (found := chunk.find(b"\n", max(place, wanted - 1 - offset))) >= 0:
                inside ^= chunk.count(b'"', place, found) & 1
                place = found + 1
                if not inside:
                    ends.append(offset + place)
                    wanted = offset + place + part_bytes
            inside ^= chunk.count(b'"', place) & 1
            offset += len(chunk)
            before = chunk[-1:]
    return ends


def _quotes_enclose_fields(text: bytes, inside: int, delimiter: str) -> bool:
    """Whether every quote that opens stands at the start of a field, or doubles the one before it.

    inside: 1 if the first quote after the first byte is one that closes.
    """
    codes = np.frombuffer(text, np.uint8)
    opening = np.flatnonzero(codes[1:] == ord('"'))[inside::2]
    return bool(np.isin(codes[opening], [ord(before) for before in ("\n", "\r", '"', delimiter)]).all())


def _row_group_ends(path: str, part_bytes: int) -> list[int]:
    """Row groups after which a Parquet file is cut."""
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
    """Names of the columns; comma, semicolon or tab, whichever parts the header into most; and the lines it takes."""

    names: list[str]
    delimiter: str
    lines: list[str]

    @property
    def text(self) -> str:
        return "".join(self.lines)


def header(path: str) -> list[str]:
    """Names of the columns of one file, in its order."""
    if _is_parquet(path):
        with _parquet(path) as file:
            return _checked_header(path, file.schema_arrow.names)
    return _csv_header(path).names


def _csv_header(path: str) -> _CsvHeader:
    with _text(path) as text:
        # A quoted name may span lines: the csv module is handed as many as it asks for.
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
    found = max(options, key=lambda option: len(option.names))
    _checked_header(path, found.names)
    return found


def _checked_header(path: str, names: list[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: two columns or more are named {', '.join(map(repr, twice))}; rename them")
    return names


def _check_columns(path: str, names: Sequence[str], wanted: Iterable[str]) -> None:
    for name in wanted:
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

    Batches have `batch_rows` rows, the last one fewer; a file without rows gives none. Columns come as in
    `[*columns.raw_kinds, columns.label]`; time: float64 (seconds), int64 (epoch, epoch_ms) or string (iso8601), never
    null; numeric and amount: float64, finite or null; categorical: string or int64, or null; label: int64, 0 or 1.
    Raises InputError, naming the line (of a Parquet file the row), for what is none of these.
    """
    kinds = _kinds(columns)
    if names is not None:
        unknown = sorted(set(names) - set(kinds))
        if unknown or not names:
            raise ValueError(f"names must be columns with a role ({', '.join(kinds)}), got {unknown or 'none'}")
        kinds = {name: kind for name, kind in kinds.items() if name in names}
    return _rechunked(_batches(path, kinds, batch_rows, part), batch_rows)


def raw_batches(path: str, batch_rows: int = 65_536) -> Iterator[pa.RecordBatch]:
    """All columns of one file as they are: text where it is CSV, the file's own types where it is Parquet."""
    kinds: dict[str, Kind] = dict.fromkeys(header(path), "raw")
    return _rechunked(_batches(path, kinds, batch_rows, WHOLE), batch_rows)


def _batches(path: str, kinds: dict[str, Kind], batch_rows: int, part: Part) -> Iterator[pa.RecordBatch]:
    if _is_parquet(path):
        return _parquet_batches(path, kinds, batch_rows, part)
    return _csv_batches(path, kinds, part)


def _kinds(columns: Columns) -> dict[str, Kind]:
    of_role: dict[str, Kind] = {"float": "number", "integer": "integer", "string": "string"}
    kinds = {name: of_role[kind] for name, kind in columns.raw_kinds.items()}
    if columns.time:
        kinds[columns.time] = columns.time_format
    return kinds | {columns.label: "label"}


def _rechunked(batches: Iterable[pa.RecordBatch], rows: int) -> Generator[pa.RecordBatch, None, None]:
    """The same rows in batches of `rows` (the last one shorter), whatever the blocks of the file."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        if count >= rows:
            table = pa.Table.from_batches(held)
            whole = count - count % rows
            for start in range(0, whole, rows):
                yield from table.slice(start, rows).combine_chunks().to_batches()
            held = table.slice(whole).to_batches()
            count -= whole
    if count:
        yield from pa.Table.from_batches(held).combine_chunks().to_batches()


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
                    # Text stays as it is: only for numbers does an "NA" mean a missing value.
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
            # A header without a line break after it is an error to Arrow, and a file without rows to us.
            if rows or _has_records(path, head.delimiter, part):
                _explain_csv(path, kinds, head, part, rows, error)
        except _Fault as fault:
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
    """Raises InputError for the first fault after that many good rows of the part, with its line in the file."""
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
    """Each record and the line of the file on which it begins; a quoted field may go over several lines."""
    line = reader.line_num + 1
    for record in reader:
        yield line, record
        line = reader.line_num + 1


def _faults(
    chunk: list[tuple[int, list[str]]], places: dict[str, int], kinds: dict[str, Kind]
) -> list[tuple[str, int, _Fault]]:
    """The first of the faults in some records: name of the column, row in the chunk, the fault; empty if none."""
    found: list[tuple[str, int, _Fault]] = []
    for name, kind in kinds.items():
        cells = [record[places[name]] for _, record in chunk]
        try:
            garbled = next((i for i, cell in enumerate(cells) if not _is_utf8(cell)), None)
            if garbled is not None:
                raise _Fault(garbled, repr(cells[garbled].encode("utf-8", "surrogateescape"))[1:], "UTF-8 text")
            _TYPED[kind](pa.array(cells, pa.string()))
        except _Fault as fault:
            found.append((name, fault.row or 0, fault))
    return sorted(found, key=lambda item: item[1])[:1]


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


def _batch_faults(batch: pa.RecordBatch, kinds: dict[str, Kind]) -> list[tuple[str, int, _Fault]]:
    found: list[tuple[str, int, _Fault]] = []
    for name, kind in kinds.items():
        try:
            _TYPED[kind](batch.column(batch.schema.get_field_index(name)))
        except _Fault as fault:
            found.append((name, fault.row or 0, fault))
    return sorted(found, key=lambda item: item[1])[:1]


# Types


def _typed(batch: pa.RecordBatch, kinds: dict[str, Kind]) -> pa.RecordBatch:
    arrays = [_TYPED[kind](batch.column(batch.schema.get_field_index(name))) for name, kind in kinds.items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(kinds))


def _plain(values: pa.Array) -> pa.Array:
    """Without the dictionary or the large offsets that a Parquet file may bring."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(pa.string()) if pa.types.is_large_string(values.type) else values


def _text_or_missing(values: pa.Array) -> pa.Array:
    """Text of numbers: blanks off both ends, null for what means missing."""
    trimmed = pc.utf8_trim_whitespace(values)
    return pc.if_else(pc.is_in(trimmed, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), trimmed)


def _first(mask: pa.Array) -> int | None:
    """Place of the first True; a null counts as False."""
    places = np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False))
    return int(places[0]) if places.size else None


def _refuse(values: pa.Array, bad: pa.Array, expected: str) -> None:
    row = _first(bad)
    if row is not None:
        raise _Fault(row, _shown(values[row].as_py()), expected)


def _refuse_missing(values: pa.Array, expected: str) -> pa.Array:
    row = _first(values.is_null())
    if row is not None:
        raise _Fault(row, "missing", expected)
    return values


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool)) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _cast(values: pa.Array, to: pa.DataType, expected: str, got: pa.Array | None = None) -> pa.Array:
    """A safe cast that names the first value that does not fit."""
    try:
        return values.cast(to)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        if isinstance(error, pa.ArrowNotImplementedError):
            raise _Fault(None, f"of type {values.type}", expected) from error
    first, last = 0, len(values)
    while last - first > 1:
        middle = (first + last) // 2
        try:
            values.slice(first, middle - first).cast(to)
            first = middle
        except pa.ArrowInvalid:
            last = middle
    raise _Fault(first, _shown((values if got is None else got)[first].as_py()), expected)


def _number(values: pa.Array) -> pa.Array:
    expected = "a number"
    values = _plain(values)
    if pa.types.is_string(values.type):
        numbers = _cast(_text_or_missing(values), pa.float64(), expected)
    elif pa.types.is_integer(values.type):
        numbers = values.cast(pa.float64(), safe=False)  # beyond 2**53 the nearest float will do
    elif _is_numeric(values.type):
        numbers = _cast(values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values, pa.float64(), expected)
    else:
        raise _Fault(None, f"of type {values.type}", expected)
    # also what only float32, in which examples keep numbers, has no room for
    _refuse(values, pc.greater(pc.abs(numbers), float(np.finfo(np.float32).max)), "a finite number")
    not_a_number = pc.is_nan(numbers)
    if pc.any(not_a_number).as_py():
        numbers = pc.if_else(not_a_number, pa.scalar(None, pa.float64()), numbers)
    return numbers


def _is_numeric(of: pa.DataType) -> bool:
    types = pa.types
    return types.is_integer(of) or types.is_floating(of) or types.is_decimal(of) or types.is_boolean(of)


def _integer(values: pa.Array) -> pa.Array:
    expected = "a whole number"
    values = _plain(values)
    if pa.types.is_string(values.type):
        text = _text_or_missing(values)
        # 321.0 is what pandas prints for 321 where a column has gaps; as text, so that 2**53 + 1 stays itself.
        text = pc.replace_substring_regex(text, pattern=r"^\+?(-?\d+)(?:\.0*)?$", replacement=r"\1")
        plain = pc.match_substring_regex(text, pattern=r"^-?\d+$")
        if pc.all(plain).as_py():
            return _cast(text, pa.int64(), expected)
        nothing = pa.scalar(None, pa.string())
        numbers = _cast(pc.if_else(plain, nothing, text), pa.float64(), expected, got=text)
        others = _cast(_nan_to_null(numbers), pa.int64(), expected, got=text)
        return pc.coalesce(_cast(pc.if_else(plain, text, nothing), pa.int64(), expected, got=text), others)
    if not _is_numeric(values.type):
        raise _Fault(None, f"of type {values.type}", expected)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if pa.types.is_floating(values.type):
        values = _nan_to_null(values.cast(pa.float64()))
    return _cast(values, pa.int64(), expected)


def _nan_to_null(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


def _string(values: pa.Array) -> pa.Array:
    values = _plain(values)
    if pa.types.is_floating(values.type):
        # As Python and pandas print it, so that a CSV and a Parquet file of the same data agree: 150.0
        values = _nan_to_null(values.cast(pa.float64())).cast(pa.string())
        return pc.replace_substring_regex(values, pattern=r"^(-?\d+)$", replacement=r"\1.0")
    text = _cast(values, pa.string(), "text")
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _label(values: pa.Array) -> pa.Array:
    expected = "0 or 1"
    values = _plain(values)
    if pa.types.is_string(values.type):
        encoded = pc.utf8_lower(_text_or_missing(values)).dictionary_encode()
        known = {"true": 1, "false": 0}
        decoded = [known.get(value, 1 if re.fullmatch(r"1(\.0*)?", value) else 0 if re.fullmatch(r"0(\.0*)?", value)
                   else None) for value in encoded.dictionary.to_pylist()]  # fmt: skip
        labels = pa.array(decoded, pa.int64()).take(encoded.indices)
        _refuse_missing(encoded.indices, expected)
        _refuse(values, labels.is_null(), expected)
        return labels
    if not _is_numeric(values.type):
        raise _Fault(None, f"of type {values.type}", expected)
    numbers = values.cast(pa.int8() if pa.types.is_boolean(values.type) else pa.float64(), safe=False)
    numbers = numbers.cast(pa.float64())
    _refuse_missing(_nan_to_null(numbers), expected)
    _refuse(values, pc.invert(pc.or_(pc.equal(numbers, 0.0), pc.equal(numbers, 1.0))), expected)
    return numbers.cast(pa.int64())


def _seconds(values: pa.Array) -> pa.Array:
    expected = "a time in seconds"
    if pa.types.is_temporal(values.type):
        raise _Fault(None, f"of type {values.type}", f"{expected} (or set columns.time_format: iso8601)")
    return _refuse_missing(_number(values), expected)


def _epoch(unit: Literal["s", "ms"]) -> Callable[[pa.Array], pa.Array]:
    def typed(values: pa.Array) -> pa.Array:
        if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
            values = values.cast(pa.timestamp("ns"), safe=False).cast(pa.timestamp(unit), safe=False).cast(pa.int64())
        return _refuse_missing(
            _integer(values), f"a time in {'milliseconds' if unit == 'ms' else 'seconds'} since 1970"
        )

    return typed


def _iso8601(values: pa.Array) -> pa.Array:
    values = _plain(values)
    if pa.types.is_timestamp(values.type):
        # Arrow keeps a time with a zone as UTC; casting it to one without leaves its figures in UTC.
        zone = "Z" if values.type.tz else ""
        naive = values.cast(pa.int64()).cast(pa.timestamp(values.type.unit))
        text = pc.replace_substring(naive.cast(pa.string()), pattern=" ", replacement="T")
        values = pc.binary_join_element_wise(text, zone, "")
    elif pa.types.is_date(values.type):
        values = values.cast(pa.string())
    elif not pa.types.is_string(values.type):
        raise _Fault(None, f"of type {values.type}", "a time as ISO 8601; see columns.time_format")
    values = pc.utf8_trim_whitespace(values)
    _iso_seconds(values)
    return values


_TYPED: dict[Kind, Callable[[pa.Array], pa.Array]] = {
    "number": _number,
    "integer": _integer,
    "string": _string,
    "label": _label,
    "seconds": _seconds,
    "epoch": _epoch("s"),
    "epoch_ms": _epoch("ms"),
    "iso8601": _iso8601,
    "raw": lambda values: values,
}


def fitting(values: pa.Array, kind: Kind) -> pa.Array | None:
    """The values as `read_batches` would give them, or None where one of them is not of that kind."""
    try:
        return _TYPED[kind](values)
    except _Fault:
        return None


# Time


def seconds(times: pa.Array, time_format: TimeFormat) -> np.ndarray:
    """Times as seconds, for ordering: float64 [n]; since 1970 in UTC, or since the data's own start for `seconds`.

    `times` as `read_batches` gives them, of any length. Raises InputError for a missing or unreadable time; those that
    come from `read_batches` have been checked there, where the line in the file is known.
    """
    if isinstance(times, pa.ChunkedArray):
        times = times.combine_chunks() if times.num_chunks else pa.array([], times.type)
        if isinstance(times, pa.ChunkedArray):
            times = pa.concat_arrays(times.chunks)
    try:
        if time_format == "iso8601":
            return _iso_seconds(_plain(times))
        values = _TYPED[time_format](times).to_numpy(zero_copy_only=False).astype(np.float64)
        return values / 1000.0 if time_format == "epoch_ms" else values
    except _Fault as fault:
        where = "the time" if fault.row is None else f"the time in row {fault.row + 1:,}"
        raise InputError(f"{where} is {fault}; correct or drop the row") from fault


def _iso_seconds(times: pa.Array) -> np.ndarray:
    """Seconds since 1970 in UTC of ISO 8601 texts; without an offset they are taken for UTC. float64 [n]"""
    expected = "a time as ISO 8601, such as 2013-09-01T12:30:00Z"
    _refuse_missing(pc.if_else(pc.equal(times, ""), pa.scalar(None, pa.string()), times), expected)
    parts = pc.extract_regex(times, pattern=_ISO_8601)
    _refuse(times, parts.is_null(), expected)
    date, time, fraction, zone = (parts.field(i) for i in range(4))
    midnight = pc.equal(time, "")
    minutes_only = pc.equal(pc.utf8_length(time), 5)
    time = pc.if_else(
        midnight, "00:00:00", pc.if_else(minutes_only, pc.binary_join_element_wise(time, "00", ":"), time)
    )
    whole = _cast(pc.binary_join_element_wise(date, time, "T"), pa.timestamp("s"), expected, got=times).cast(pa.int64())
    result = whole.to_numpy(zero_copy_only=False).astype(np.float64)
    if pc.any(pc.not_equal(fraction, "")).as_py():
        result += pc.binary_join_element_wise("0.0", fraction, "").cast(pa.float64()).to_numpy() * 10.0
    if pc.any(pc.not_equal(zone, "")).as_py():
        result -= _offsets(zone)
    return result


def _offsets(zone: pa.Array) -> np.ndarray:
    """Seconds east of Greenwich of "", "Z", "+02", "+0200" or "+02:00". float64 [n]"""
    encoded = zone.dictionary_encode()
    offsets = []
    for text in encoded.dictionary.to_pylist():
        digits = re.sub(r"\D", "", text).ljust(4, "0")
        offsets.append((-60.0 if text.startswith("-") else 60.0) * (60 * int(digits[:2]) + int(digits[2:])))
    return np.array(offsets)[encoded.indices.to_numpy()]
