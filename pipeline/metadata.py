"""The metadata of runs, opened to be read, in whatever state a run that was killed left it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import ml_metadata
from ml_metadata.proto import metadata_store_pb2 as pb

from trainer.errors import InputError
from trainer.places import usable

ARTIFACTS = "artifacts"  # the folder beside the metadata
_VERSION_TABLE = "MLMDEnv"  # which every database of ML Metadata has
_PATIENCE = 30.0  # seconds for a run to end its transaction, as ML Metadata itself waits
_COPIES = 5  # attempts
_FIRST_READ = "SELECT count(*) FROM sqlite_master"  # SQLite opens a file only when it is first read


@contextmanager
def opened(path: Path) -> Iterator[ml_metadata.MetadataStore | None]:
    """The metadata to read from; None where there is none yet.

    Raises:
      InputError: the file holds something else, or nothing, or is damaged; it says what to do. Damage shows where it is
        read: looking for it everywhere would take the longer, the more runs there were.
    """
    with usable(path.parent, "name a folder with --set workspace=PATH", to="read as a workspace"):
        is_there = path.exists()
        file = next((folder for folder in path.parents if folder.exists() and not folder.is_dir()), None)
        if file is not None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(file))
    if not is_there:
        yield None
        return
    with _settled(path) as settled:
        if not _tables(path, settled):
            raise InputError(
                f"{path} is empty: no run has been recorded in it, or its contents were lost; "
                "restore it from a backup, or start a run, which fills it"
            )
        try:
            yield _store(path, settled)
        except (RuntimeError, ml_metadata.errors.StatusError):
            _refuse_damaged(path, settled)
            raise


def check(path: Path) -> None:
    """Whether a run can write to the metadata.

    Raises:
      InputError: it cannot, since the file holds something else or is damaged; or it should not, since the earlier runs
        whose artifacts are beside it are not recorded there: new artifacts would mix with theirs in the same folders.
    """
    is_new = True
    if path.exists():
        with _settled(path) as settled:
            is_new = not _tables(path, settled)
            _refuse_damaged(path, settled)
            if not is_new:
                _store(path, settled)
    artifacts = path.with_name(ARTIFACTS)
    if is_new and artifacts.is_dir() and any(artifacts.iterdir()):
        raise InputError(
            f"{path} {'is empty' if path.exists() else 'does not exist'}, but {artifacts} holds the results of earlier "
            f"runs, with which new ones would mix; restore {path.name} from a backup, move {artifacts} away, or choose "
            "another workspace with --set workspace=PATH"
        )


def _store(path: Path, settled: Path) -> ml_metadata.MetadataStore:
    """settled: the file itself or its copy, as `_settled` gives it."""
    connection = pb.ConnectionConfig()
    connection.sqlite.filename_uri = str(settled)
    connection.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READONLY
    try:
        return ml_metadata.MetadataStore(connection)
    except (RuntimeError, ml_metadata.errors.StatusError) as error:
        reason = " ".join(str(error).split())
        if " version " in reason:
            raise InputError(
                f"{path} was written with another version of TFX; use that one, or choose another workspace with "
                f"--set workspace=PATH ({reason.split('. ')[0]})"
            ) from error
        _refuse_damaged(path, settled)
        raise InputError(f"{path} cannot be read: {reason[:300]}; {_way_out(path)}") from error


@contextmanager
def _settled(path: Path) -> Iterator[Path]:
    """The file once no transaction is left in it that a killed run did not finish; a copy where it can't be written to.

    SQLite undoes such a transaction as it opens the file to write. It refuses to open it only to read meanwhile, as
    readers of the metadata do.
    """
    if not _journal(path).exists():
        yield path
        return
    try:
        _query(path, "rw", _FIRST_READ)
    except sqlite3.OperationalError:
        with TemporaryDirectory(prefix="metadata-") as folder:
            copy = _copied(path, Path(folder))
            _query(copy, "rw", _FIRST_READ)
            yield copy
        return
    except sqlite3.DatabaseError:
        pass  # not a database: `_tables` says so
    yield path


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


def _copied(path: Path, folder: Path) -> Path:
    """The file with its journal in another folder, both as they were at one moment."""
    copy = folder / path.name
    for _ in range(_COPIES):
        before = _stamps(path)
        for source in (path, _journal(path)):
            if source.exists():
                shutil.copyfile(source, folder / source.name)
        if _stamps(path) == before:
            return copy
    raise InputError(f"{path} is being written to; try again when the run that does is over")


def _stamps(path: Path) -> list[tuple[int, int] | None]:
    stamps: list[tuple[int, int] | None] = []
    for one in (path, _journal(path)):
        try:
            status = one.stat()
        except FileNotFoundError:
            stamps.append(None)
        else:
            stamps.append((status.st_size, status.st_mtime_ns))
    return stamps


def _tables(path: Path, settled: Path) -> set[str]:
    """The tables of metadata, none where the file is empty.

    Raises:
      InputError: it is no metadata, or damaged.
    """
    if not settled.is_file():
        raise InputError(f"{path} is not a file; {_way_out(path)}")
    rows = _read(path, settled, "SELECT name FROM sqlite_master WHERE type = 'table'")
    tables = {name for (name,) in rows}
    if tables and _VERSION_TABLE not in tables:
        some = ", ".join(sorted(tables)[:3])
        raise InputError(f"{path} is a database of something else, with the tables {some}; {_way_out(path)}")
    return tables


def _refuse_damaged(path: Path, settled: Path) -> None:
    """Reads all of the file.

    Raises:
      InputError: it is damaged.
    """
    for (text,) in _read(path, settled, "PRAGMA quick_check(1)"):
        if text != "ok":
            raise _damaged(path, text)


def _read(path: Path, settled: Path, statement: str) -> list[tuple[Any, ...]]:
    try:
        return _query(settled, "ro", statement)
    except sqlite3.OperationalError as error:
        raise InputError(f"{path} cannot be read: {error}; {_way_out(path)}") from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, fault: str) -> InputError:
    return InputError(f"{path} is damaged or is no database of runs: {' '.join(fault.split())}; {_way_out(path)}")


def _query(path: Path, mode: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", timeout=_PATIENCE, uri=True)) as connection:
        return connection.execute(statement).fetchall()


def _way_out(path: Path) -> str:
    artifacts = path.with_name(ARTIFACTS)
    return f"restore it from a backup, or move it and {artifacts} away, so that the next run starts anew"
