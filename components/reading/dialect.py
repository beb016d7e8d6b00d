"""How a CSV file is written: what the configuration says of it, and for the rest what its first records show."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, Literal

from components.reading.files import opened
from trainer.columns import CsvFormat
from trainer.errors import InputError

# What a file begins with that is no text, or no table.
_OTHER_FILES = {
    "PK\x03\x04": "a spreadsheet or a zip archive: save its table as CSV",
    "PAR1": "a Parquet file: give it a name that ends in .parquet",
    "\x1f": "gzipped: give it a name that ends in .csv.gz",
    '{"': "JSON: convert it to CSV or Parquet",
    '[{"': "JSON: convert it to CSV or Parquet",
    "<?xml": "XML: convert it to CSV or Parquet",
}
# The blank comes last: it divides text of any kind.
DELIMITERS = (",", ";", "\t", "|", "^", "~", "\x01", " ")  # \x01: Hive's
_SAMPLE_RECORDS = 200
_SAMPLE_CHARACTERS = 1 << 20
_MOST_LINES_BEFORE = 50
_FEW_LINES = 30
_LEAST_ROWS = 5  # that show that a header lacks a name
_NUMBER = re.compile(r"[-+(]?[^\w\s.,]?\s?(\d[\d.,' ]*|\.\d+)([eE][-+]?\d+)?[-)]?(\s?[^\w\s.,])?")
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?")
# Where fewer of the first records are divided as the header is, a delimiter is not the one.
_ALIKE = 0.8
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Python's limit of 131,072 characters is there for no reason that holds here; Arrow has none.
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    quote: "" where there is none. names: of the columns. header_lines: how many lines of text come before the first
    row: those that are left out, and those of the header. rows: the first ones.
    """

    delimiter: str
    quote: str
    encoding: str
    names: tuple[str, ...]
    header_lines: int
    rows: tuple[tuple[str, ...], ...] = ()

    @property
    def can_be_cut(self) -> bool:
        """Whether bytes show where a line ends and a quote is."""
        try:
            ascii_alike = bytes(range(128)).decode(self.encoding) == bytes(range(128)).decode("ascii")
            single_byte = len(b"\xe9\xe9".decode(self.encoding, "replace")) == 2
        except (LookupError, UnicodeError):
            return False
        return ascii_alike and (single_byte or self.encoding == "utf-8")

    def records(self, lines: Iterable[str]) -> Any:
        """A reader of the csv module's; NUL, at which it stops, is read as a character like others."""
        return _records(lines, self.delimiter, self.quote)


def _records(lines: Iterable[str], delimiter: str, quote: str) -> Any:
    clean = (line.replace("\0", "\ufffd") for line in lines)
    if not quote:
        return csv.reader(clean, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(clean, delimiter=delimiter, quotechar=quote)


def dialect_of(path: str, written: CsvFormat) -> Dialect:
    """How the file is written.

    Raises:
      InputError: it is empty, or not text of its encoding.
    """
    encoding, lines = _first_lines(path, written)
    skipped = min(written.skip_lines, len(lines))
    del lines[:skipped]
    while lines and not lines[0].strip():
        del lines[0]
        skipped += 1
    if not lines:
        raise InputError(f"{path} is empty, expected a header line with the columns' names")
    for start, kind in _OTHER_FILES.items():
        if lines[0].startswith(start):
            raise InputError(f"{path} is named like CSV, but it is {kind}")
    if any("\udc80" <= character <= "\udcff" for character in lines[0]):
        shown = lines[0].rstrip("\r\n").encode("utf-8", "surrogateescape")[:100]
        raise InputError(
            f"{path} line {skipped + 1}: {repr(shown)[1:]}, expected UTF-8 text; set columns.csv.encoding, for example "
            "to cp1252"
        )
    if "\0" in lines[0]:
        raise InputError(
            f"{path} holds NUL characters, as UTF-16 text does where it is read as {encoding}; set "
            "columns.csv.encoding, for example to utf-16-le, or save it as UTF-8"
        )
    try:
        delimiter, quote = _best(lines, *_options(written))
        reader = _records(lines, delimiter, quote)
        first = next(reader)
        header_lines = skipped + (reader.line_num if written.header else 0)
        rows = list(_readable(lines, delimiter, quote))[1 if written.header else 0 :]
    except UnicodeError as error:
        raise InputError(f"{path} is not {encoding} text: {error}; set columns.csv.encoding") from error
    except csv.Error as error:
        raise InputError(f"{path} line {skipped + 1}: {error}") from error
    if written.header and written.unnamed is not None:
        first.insert(0 if written.unnamed == "first" else len(first), "")
    names = first if written.header else [f"column_{number}" for number in range(1, len(first) + 1)]
    if written.names is not None:
        if len(written.names) != len(first):
            raise InputError(
                f"{path} has {len(first)} columns in line {skipped + 1}, but columns.csv.names has "
                f"{len(written.names)}; name each"
            )
        names = list(written.names)
    # A column without a name is known by its place.
    names = [name if name.strip() else _unnamed(number, names) for number, name in enumerate(names, 1)]
    return Dialect(delimiter, quote, encoding, tuple(names), header_lines, tuple(map(tuple, rows)))


def _first_lines(path: str, written: CsvFormat) -> tuple[str, list[str]]:
    """The encoding of a file and its first lines as text."""
    encoding = written.encoding or _encoding(path)
    with opened(path) as raw, text_of(path, raw, encoding) as text:
        try:
            return encoding, list(_sample(text))
        except UnicodeError as error:
            raise InputError(f"{path} is not {encoding} text: {error}; set columns.csv.encoding") from error


def lines_before_header(path: str, written: CsvFormat) -> int:
    """How many lines, such as a title, come before the columns' names, or before the first record; 0 if none do.

    The names are in the first line that is divided into the most columns as the lines after it are, and that has
    neither numbers nor dates. A title may be divided by chance: by a comma, where rows have a decimal comma.

    Raises:
      InputError: as `dialect_of`.
    """
    _, lines = _first_lines(path, written)
    options = _options(written)
    places = [place for place, line in enumerate(lines[:_MOST_LINES_BEFORE]) if line.strip()]
    if len(places) < 3:
        return 0
    usual = _scored(lines[places[0] :], *options)
    if usual[0] and not any(lines[place].count(mark) >= usual[1] for place in places[1:5] for mark in options[0]):
        return 0
    named: list[tuple[int, int]] = []
    unnamed: list[tuple[int, int]] = []
    for place in places[1:-1]:
        divides, width, _, _, delimiter, quote = _scored(lines[place : place + _FEW_LINES], *options)
        names, *rows = list(_readable(lines[place : place + _FEW_LINES], delimiter, quote)) or [[]]
        if not divides or not any(map(are_data, zip(*rows, strict=False))):
            continue  # texts have commas and blanks, too
        (unnamed if any(map(is_data, names)) else named).append((-place, width))
    if named:
        before, width = max(named, key=lambda pair: (pair[1], pair[0]))
        return -before if width > usual[1] else 0
    first = next(_records(lines[places[0] :], usual[4], usual[5]))
    if usual[0] or not unnamed or (len(first) > 1 and not any(map(is_data, first))):
        return 0  # what looks like names, above rows of another length, is for a person to see
    return -max(unnamed)[0]


def are_data(column: Sequence[str]) -> bool:
    """Whether most of the values are there, and nearly all of them are numbers or dates."""
    there = [value for value in column if value.strip()]
    return len(there) > len(column) / 2 and sum(map(is_data, there)) >= _ALIKE * len(there)


def is_data(value: str) -> bool:
    """Whether a text is a number, in whatever way it is written, or a date."""
    return bool(_NUMBER.fullmatch(value.strip()) or DATE.fullmatch(value.strip()))


def _options(written: CsvFormat) -> tuple[list[str], list[str]]:
    """The delimiters and the quotes that a file may be written with."""
    quotes = [written.quote] if written.quote is not None else ['"', "'"]
    return [written.delimiter] if written.delimiter is not None else list(DELIMITERS), quotes


def unnamed_column(width: int, rows: Sequence[Sequence[str]]) -> Literal["first", "last"] | None:
    """Which column has no name where every row has one value more than a header of this width; None where none has.

    It is the last one where that is always empty, since a delimiter ends each row; and the first one where that looks
    like names of rows, as R's `write.table` writes them: 1, 2, 3, or texts of which each is another.
    """
    if width < 2 or not rows or any(len(row) != width + 1 for row in rows):
        return None
    if not any(row[-1].strip() for row in rows):
        return "last"
    first = [row[0].strip() for row in rows]
    counted = first == [str(number) for number in range(1, len(rows) + 1)]
    texts = len(set(first)) == len(rows) and not any(map(is_data, first))
    data_below = any(all(map(is_data, column)) for column in zip(*rows, strict=True))
    return "first" if len(rows) >= _LEAST_ROWS and data_below and (counted or texts) else None


def _unnamed(number: int, names: list[str]) -> str:
    name = f"column_{number}"
    while name in names:
        name += "_"
    return name


def _encoding(path: str) -> str:
    """By the byte order mark; without one UTF-8."""
    with opened(path) as raw:
        stream = gzip.GzipFile(fileobj=raw) if is_gzipped(path) else raw
        start = stream.read(4)
    return next((encoding for mark, encoding in _BYTE_ORDER_MARKS if start.startswith(mark)), "utf-8")


def is_gzipped(path: str) -> bool:
    return path.lower().endswith(".gz")


def text_of(path: str, raw: Any, encoding: str, *, begins: bool = True) -> IO[str]:
    """The text of a file whose bytes are `raw`, gzipped by its name or not.

    begins: whether they are those of the file's begin, where a byte order mark is left out.

    A byte that is no UTF-8 becomes a lone surrogate, so that an error can name its line; of another encoding it becomes
    the replacement character.
    """
    stream = gzip.GzipFile(fileobj=raw) if is_gzipped(path) else raw
    is_utf8 = encoding in ("utf-8", "ascii")
    return io.TextIOWrapper(
        io.BufferedReader(RawStream(stream)),
        ("utf-8-sig" if begins else "utf-8") if is_utf8 else encoding,
        errors="surrogateescape" if is_utf8 else "replace",
        newline="",
    )


def _sample(text: IO[str]) -> Iterator[str]:
    """The first lines; a quoted value may span several of them."""
    left = _SAMPLE_CHARACTERS
    for line in islice(text, 4 * _SAMPLE_RECORDS):
        yield line
        left -= len(line)
        if left <= 0:
            return


def _best(lines: list[str], delimiters: list[str], quotes: list[str]) -> tuple[str, str]:
    """The delimiter and the quote that divide the header and the rows alike, into the most columns.

    Single quotes are quotes only where some value begins with one, and all that do also end with one.
    """
    if len(delimiters) == 1 and len(quotes) == 1:
        return delimiters[0], quotes[0]
    best = _scored(lines, delimiters, quotes)
    if not best[0]:
        # The rows are of no use: the one that divides the header into the most.
        widths = [
            (len(next(iter(_readable(lines[:1], delimiter, quotes[0])), [])) * (delimiter != " "), -rank, delimiter)
            for rank, delimiter in enumerate(delimiters)
        ]
        return max(widths)[2], quotes[0]
    return best[4], best[5]


def _scored(lines: list[str], delimiters: list[str], quotes: list[str]) -> tuple[float, int, int, int, str, str]:
    """Whether the best delimiter and quote divide the lines alike, into how many columns, and which ones they are."""
    scored: list[tuple[float, int, int, int, str, str]] = []
    for rank, delimiter in enumerate(delimiters):
        for quote in quotes:
            if quote == "'" and len(quotes) > 1 and not _enclosed_in_single_quotes(lines, delimiter):
                continue
            first, *rows = list(_readable(lines, delimiter, quote)) or [[]]
            width = len(first)
            alike = (1 + sum(len(row) == width for row in rows)) / (1 + len(rows))
            if unnamed_column(width, rows) is not None:
                width, alike = width + 1, 1.0
            divides = width > 1 and alike >= _ALIKE and (delimiter != " " or alike == 1.0)
            # a header of one column is divided by no delimiter
            scored.append((float(divides), width if divides else 0, int(quote == "'"), -rank, delimiter, quote))
    return max(scored)


def _readable(lines: list[str], delimiter: str, quote: str) -> Iterator[list[str]]:
    """The records of a sample, without blank lines and without the last record, which may be cut off."""
    reader = _records(lines, delimiter, quote)
    last: list[str] | None = None
    try:
        for count, record in enumerate(reader):
            if last:
                yield last
            last = record
            if count > _SAMPLE_RECORDS:
                return
    except csv.Error:
        return
    if last and (len(lines) < _SAMPLE_RECORDS or lines[-1].endswith(("\n", "\r"))):
        yield last


def _enclosed_in_single_quotes(lines: list[str], delimiter: str) -> bool:
    if not any("'" in line for line in lines):
        return False
    begun = ended = 0
    for line in lines[1 : _SAMPLE_RECORDS + 1]:
        for value in line.rstrip("\r\n").split(delimiter):
            if value.startswith('"'):
                return False
            begun += value.startswith("'")
            ended += value.endswith("'") and value != "'"
    # in a value that holds the delimiter, the first part begins and the last part ends with one
    return begun > 0 and abs(begun - ended) <= 0.1 * begun


class RawStream(io.RawIOBase):
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
