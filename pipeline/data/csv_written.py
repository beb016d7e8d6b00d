"""How a CSV file is written, as far as a reader does not find it by itself: encoding and header."""

from __future__ import annotations

import codecs
import gzip
import re
from collections.abc import Sequence

from components.reading.dialect import (
    DATE,
    are_data,
    dialect_of,
    is_data,
    is_gzipped,
    lines_before_header,
    unnamed_column,
)
from components.reading.files import is_parquet, opened
from trainer.columns import CsvFormat

# How much a text has to look like one of a language for its code page to be believed; charset-normalizer's measure.
_COHERENT = 0.6


def encoding_doubt(path: str, encoding: str) -> str:
    """What was taken for the encoding, with an example of what that makes of the bytes."""
    with opened(path) as raw:
        stream = gzip.GzipFile(fileobj=raw) if is_gzipped(path) else raw
        words = re.findall(rb"[^\s,;|\x00\"']*[\x80-\xff]+[^\s,;|\x00\"']*", stream.read(1 << 20))
    example = f", by which {words[0][:30]!r} is {words[0][:30].decode(encoding, 'replace')!r}" if words else ""
    return f"the file is not UTF-8; it is read as {encoding}{example}; --encoding says otherwise"


def csv_format(path: str, told: CsvFormat) -> CsvFormat:
    """How the file is written, as far as it is not told and not what a reader finds by itself."""
    if is_parquet(path):
        return told
    if told.encoding is None:
        encoding = _encoding(path)
        if encoding is not None:
            told = told.model_copy(update={"encoding": encoding})
    if not told.skip_lines:
        told = told.model_copy(update={"skip_lines": lines_before_header(path, told)})
    dialect = dialect_of(path, told)
    found = {"delimiter": dialect.delimiter, "quote": dialect.quote}
    if told.header and told.names is None and told.unnamed is None:
        found["unnamed"] = unnamed_column(len(dialect.names), dialect.rows)  # type: ignore[assignment]
    if "header" not in told.model_fields_set and told.names is None and not _has_header(dialect.names, dialect.rows):
        found["header"] = False  # type: ignore[assignment]
    usual = {"delimiter": ",", "quote": '"', "header": True, "unnamed": None}
    update = {key: value for key, value in found.items() if value != usual[key] and getattr(told, key) in (None, True)}
    return told.model_copy(update=update)


def _encoding(path: str) -> str | None:
    """The encoding of a file that is neither UTF-8 nor begins with a byte order mark."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with opened(path) as raw:
        stream = gzip.GzipFile(fileobj=raw) if is_gzipped(path) else raw
        start = stream.read(1 << 16)
        if start.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return None
        if start[1:200:2].count(0) > 90:
            return "utf-16-le"
        if start[0:200:2].count(0) > 90:
            return "utf-16-be"
        block, kept = start, b""
        while block:
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                # the lines with other bytes show most of what they mean
                kept = b"\n".join(line for line in block.split(b"\n") if not line.isascii())[: 1 << 16]
                break
            block = stream.read(1 << 20)
    return _guessed_encoding(kept) if kept else None


def _guessed_encoding(text: bytes) -> str:
    """The encoding of some lines; that of Western Europe where it is as likely as another."""
    from charset_normalizer import from_bytes

    best = from_bytes(text).best()
    if best is None:
        return "latin-1"
    if best.coherence < _COHERENT:  # a few words speak for no language, and so for no rare code page
        try:
            text.decode("cp1252")
        except UnicodeDecodeError:
            return "latin-1" if best.encoding.startswith(("cp", "mac", "iso", "latin", "hp")) else str(best.encoding)
        return "cp1252"
    likely = {best.encoding, *best.could_be_from_charset}
    for usual in ("cp1252", "latin_1"):
        if usual in likely:
            return {"latin_1": "latin-1"}.get(usual, usual)
    try:
        text.decode("cp1252")
    except UnicodeDecodeError:
        return str(best.encoding)
    western = {"cp1250", "cp1252", "cp1254", "cp1257", "cp1258", "mac_roman", "mac_latin2", "cp850", "cp858", "cp437"}
    return "cp1252" if best.encoding in western or best.encoding.startswith("cp8") else str(best.encoding)


def _has_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first record is names: it has data in at most half of the columns of numbers or dates, and no date.

    rows: some of the next records.
    """
    if not any(map(is_data, first)):
        return True
    columns = [[row[place] for row in rows if place < len(row)] for place in range(len(first))]
    places = [place for place, column in enumerate(columns) if are_data(column)]
    if any(DATE.fullmatch(first[place].strip()) for place in places):
        return False
    return bool(places) and sum(is_data(first[place]) for place in places) <= 0.5 * len(places)
