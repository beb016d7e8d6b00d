"""Finds and opens the files of transactions, on this machine's disks or through Beam."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import logging
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from components.reading import stores
from trainer.errors import InputError
from trainer.places import expanded, is_of_a_place, problem, usable

_ANY_TEXT = (".txt", ".txt.gz")  # in a folder such files may be anything
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", *_ANY_TEXT, ".parquet")
CARD_SUFFIX = ".card.yaml"
_BLOCK_BYTES = 1 << 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataFile:
    """A file of transactions; `size` is in bytes, `modified` in seconds since 1970."""

    path: str
    size: int
    modified: float


# Finding and opening files


def find_files(path: str) -> tuple[DataFile, ...]:
    """The data files that a file name, a folder or a glob stands for, sorted by path; local or remote.

    A folder stands for the CSV and Parquet files directly in it.

    Raises:
      InputError: there is no file, or a file is empty or of another kind.
    """
    files, in_folder = listed(path)
    files = [file for file in files if not file.path.endswith(CARD_SUFFIX)]
    if in_folder:
        files = [file for file in files if suffix_of(file.path) and not base_name(file.path).startswith((".", "_"))]
        files = [file for file in files if suffix_of(file.path) not in _ANY_TEXT]
    if not files:
        raise InputError(f"{path}: no transactions there; expected a {', '.join(SUFFIXES)} file, a folder or a glob")
    for file in files:
        if not suffix_of(file.path):
            raise InputError(f"{file.path}: this kind of file can't be read; expected one of {', '.join(SUFFIXES)}")
        if file.size == 0:
            raise InputError(f"{file.path} is empty; remove it or write it again")
    return tuple(sorted(files, key=lambda file: file.path))


def listed(path: str) -> tuple[list[DataFile], bool]:
    """Every file, of any kind, that a file name, a folder or a glob stands for, and whether `path` is a folder."""
    return _remote_files(path) if is_remote(path) else _local_files(path)


def _local_files(path: str) -> tuple[list[DataFile], bool]:
    """The files at a local path, and whether it is a folder."""
    place = expanded(local_path(path))
    with usable(path, "name another place under data.path", to="read"):
        if place.is_dir():
            files = [entry for entry in place.iterdir() if entry.is_file()]
        elif place.exists():
            files = [place]
        else:
            files = [entry for entry in map(Path, glob.glob(_pattern(place))) if entry.is_file()]
        return [DataFile(str(file), file.stat().st_size, file.stat().st_mtime) for file in files], place.is_dir()


def _pattern(place: Path) -> str:
    """The path as a pattern; folders that there are stand for themselves, whatever characters are in their names."""
    folder = next(folder for folder in place.parents if folder.exists())
    return os.path.join(glob.escape(str(folder)), str(place.relative_to(folder)))


def _remote_files(path: str) -> tuple[list[DataFile], bool]:
    """The files at a path that Beam reads, and whether it is a folder."""
    stores.check(path)
    from apache_beam.io.filesystem import BeamIOError

    file_systems = _file_systems()

    def matching(pattern: str) -> list[DataFile]:
        # Beam's globs also match files in folders further down.
        return [
            DataFile(entry.path, entry.size_in_bytes, float(entry.last_updated_in_seconds or 0.0))
            for entry in file_systems.match([pattern])[0].metadata_list
            if entry.path.count("/") == pattern.count("/") and not entry.path.endswith("/")
        ]

    try:
        is_glob = any(character in path for character in "*?[")
        files = [] if path.endswith("/") else matching(path)
        if files or is_glob:
            return files, False
        return matching(f"{path.rstrip('/')}/*"), True
    except (BeamIOError, ValueError, OSError) as error:
        raise InputError(f"{path} cannot be listed: {error}") from error


def _file_systems() -> Any:
    """Beam's file systems, which read s3:// only once they have options; a pipeline sets its own."""
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    if FileSystems._pipeline_options is None:
        FileSystems.set_options(PipelineOptions([]))
    return FileSystems


def fingerprint(path: str) -> str:
    """Changes when a file below `path` comes, goes or gets another content, whatever its size and time.

    Raises:
      InputError: as `find_files`, or a file can't be read.
    """
    contents = {file.path: _checksum(file) if is_remote(file.path) else _digest(file) for file in find_files(path)}
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:16]


def _digest(file: DataFile) -> str:
    """XXH3-128 of the bytes, compressed or not: it takes a hundredth of the time that parsing them takes."""
    digest = xxhash.xxh3_128()
    with opened(file.path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _checksum(file: DataFile) -> str:
    """The checksum that an object store has of a file, such as S3's ETag or Google's CRC32C; else its size and time."""
    from apache_beam.io.filesystem import BeamIOError

    try:
        checksum = _file_systems().checksum(file.path)
    except NotImplementedError:
        checksum = None
    except BeamIOError as error:
        raise InputError(f"{file.path} cannot be read: {error}") from error
    # Beam: "FileSystem implementations may return file size if a checksum isn't available"
    if checksum and checksum != str(file.size):
        return str(checksum)
    logger.warning(
        "%s: its store has no checksum of it, so that a change which keeps size and time is not noticed; give files "
        "with another content another name",
        file.path,
    )
    return f"{file.size} bytes, {file.modified}"


def is_remote(path: str) -> bool:
    """Whether Beam has to open the path."""
    return "://" in path and not path.startswith("file://")


def local_path(path: str) -> str:
    return path.removeprefix("file://")


def base_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def suffix_of(path: str) -> str | None:
    """The suffix of `SUFFIXES` that a file name ends in; None without any."""
    return next((suffix for suffix in SUFFIXES if path.lower().endswith(suffix)), None)


def is_parquet(path: str) -> bool:
    return suffix_of(path) == ".parquet"


@contextlib.contextmanager
def opened(path: str) -> Iterator[Any]:
    """The bytes of a file, not decompressed, as a binary file object.

    Raises:
      InputError: there is no such file, or reading it fails.
    """
    try:
        if is_remote(path):
            from apache_beam.io.filesystem import CompressionTypes

            stream = _file_systems().open(path, compression_type=CompressionTypes.UNCOMPRESSED)
        else:
            stream = open(expanded(local_path(path)), "rb")  # noqa: SIM115
        with contextlib.closing(stream):
            yield stream
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = problem(error) if isinstance(error, OSError) and is_of_a_place(error) else error
        raise InputError(f"{path} cannot be read: {reason}") from error
