"""The metadata as killed runs, other programs and accidents leave it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipeline import metadata
from pipeline.review import finished_run
from pipeline.runs import artifacts, latest_artifact, past_run, past_runs
from tests.support.small_metadata import add_run
from trainer.errors import InputError

# Fills more pages than the cache holds, so that SQLite writes them to the file before the transaction is over.
WRITE = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("PRAGMA synchronous = FULL")
connection.execute("BEGIN")
connection.executemany("INSERT INTO Context(type_id, name) VALUES (1, ?)", [(f"{i}" * 1000,) for i in range(200)])
connection.execute("UPDATE Context SET name = name || 'changed'")
os.kill(os.getpid(), signal.SIGKILL)
"""


def write_and_die(path: Path) -> None:
    """What a run does that is killed while it writes its metadata."""
    assert subprocess.run([sys.executable, "-c", WRITE, str(path)]).returncode == -signal.SIGKILL


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Metadata of two runs."""
    for name in ("first", "second"):
        add_run(tmp_path / "metadata.db", name, "ExampleGen")
    return tmp_path / "metadata.db"


@pytest.fixture
def cut_short(path: Path) -> Path:
    """The same after a third run was killed in the middle of a transaction, which readers cannot undo."""
    write_and_die(path)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader, pytest.raises(sqlite3.OperationalError):
        reader.execute("SELECT name FROM Context").fetchall()
    return path


@pytest.fixture
def unwritable(cut_short: Path) -> Iterator[Path]:
    """The same for whom it belongs to somebody else."""
    cut_short.chmod(0o444)
    cut_short.parent.chmod(0o555)
    yield cut_short
    cut_short.parent.chmod(0o755)


def names(path: Path) -> list[str]:
    return sorted(run.run_id for run in past_runs(path))


def test_a_transaction_that_was_cut_short_is_undone_where_runs_are_listed(cut_short):
    assert names(cut_short) == ["first", "second"]
    assert not cut_short.with_name("metadata.db-journal").exists()
    assert past_run(cut_short, "second").pipeline == ""
    write_and_die(cut_short)
    assert latest_artifact(cut_short, "HyperParameters") is None
    write_and_die(cut_short)
    assert artifacts(cut_short, "first") == {}


def test_a_run_goes_on_after_a_transaction_that_was_cut_short(cut_short):
    metadata.check(cut_short)
    add_run(cut_short, "third", "ExampleGen")
    assert names(cut_short) == ["first", "second", "third"]


def test_where_nothing_can_be_written_the_runs_are_read_from_a_copy(unwritable):
    before = {file.name: file.read_bytes() for file in unwritable.parent.iterdir()}
    code = "import sys; from tests.test_metadata import Path, names; print(*names(Path(sys.argv[1])))"
    command = [sys.executable, "-c", code, str(unwritable)]
    if os.geteuid() == 0:  # who may write everywhere
        if not shutil.which("setpriv"):
            pytest.skip("root writes everywhere, and there is no setpriv to take that right away")
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    assert subprocess.check_output(command, text=True).split() == ["first", "second"]
    assert {file.name: file.read_bytes() for file in unwritable.parent.iterdir()} == before


def test_while_a_run_is_in_a_transaction_the_runs_before_it_are_read(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE Context SET name = name || 'changed'")
        assert path.with_name("metadata.db-journal").exists()
        assert names(path) == ["first", "second"]
        writer.execute("COMMIT")
    assert names(path) == ["firstchanged", "secondchanged"]


def empty(path: Path) -> None:
    path.write_bytes(b"")


def without_tables(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE a (b); DROP TABLE a")


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 40)


def text(path: Path) -> None:
    path.write_text("moved to the archive\n")


def garbage_with_a_journal(path: Path) -> None:
    garbage(path)
    path.with_name("metadata.db-journal").write_bytes(b"garbage")


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def cut_after_its_header(path: Path) -> None:
    os.truncate(path, 100)


def overwritten_within(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"A" * 4096)


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE cards (number); CREATE TABLE owners (name)")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("UPDATE MLMDEnv SET schema_version = 99")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGED = [
    (garbage, "is damaged or is no database of runs: file is not a database; restore it"),
    (text, "file is not a database; restore it"),
    (garbage_with_a_journal, "file is not a database; restore it"),
    (truncated, "is damaged or is no database of runs: database disk image is malformed; restore it"),
    (
        cut_after_its_header,
        "restore it from a backup, or move it and .*artifacts away, so that the next run starts anew",
    ),
    (overwritten_within, "is damaged or is no database of runs: .*; restore it"),
    (foreign, "is a database of something else, with the tables cards, owners; restore it"),
    (newer, "was written with another version of TFX; use that one, or choose another workspace .*99"),
    (folder, "is not a file; restore it"),
]


@pytest.mark.parametrize(("spoil", "sentence"), DAMAGED, ids=lambda value: getattr(value, "__name__", None))
def test_what_is_no_metadata_is_refused_by_all_who_read_and_write_it(path, spoil, sentence):
    spoil(path)
    read: list[Callable[[Path], object]] = [past_runs, finished_run, metadata.check]
    for use in read:
        with pytest.raises(InputError, match=f"^{path} {sentence}" if sentence[:3] == "is " else sentence) as refused:
            use(path)
        assert len(str(refused.value).splitlines()) == 1


def test_damage_elsewhere_stops_runs_alone_for_reading_does_not_look_at_all_of_the_file(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE padding (text); INSERT INTO padding VALUES (randomblob(40000))")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'padding'").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"A" * 4096)
    assert names(path) == ["first", "second"]
    with pytest.raises(InputError, match="is damaged or is no database of runs"):
        metadata.check(path)


@pytest.mark.parametrize("spoil", [empty, without_tables])
def test_empty_metadata_is_reported_to_readers_and_filled_by_a_run(path, spoil):
    spoil(path)
    with pytest.raises(InputError, match="is empty: no run has been recorded in it, or its contents were lost"):
        past_runs(path)
    metadata.check(path)
    add_run(path, "new", "ExampleGen")
    assert names(path) == ["new"]


@pytest.mark.parametrize("spoil", [empty, Path.unlink])
def test_a_run_does_not_mix_its_artifacts_with_those_of_runs_that_are_not_recorded(path, spoil):
    path.with_name("artifacts").mkdir()
    (path.with_name("artifacts") / "ExampleGen").mkdir()
    metadata.check(path)
    spoil(path)
    with pytest.raises(InputError, match=r"but .*artifacts holds the results of earlier runs.* move .*artifacts away"):
        metadata.check(path)
    (path.with_name("artifacts") / "ExampleGen").rmdir()
    metadata.check(path)


@pytest.mark.parametrize("command", ["runs", "review", "run"])
def test_the_commands_end_with_2_and_the_sentence(fraud_pipeline, path, transactions, command):
    garbage(path)
    settings = ("--set", f"workspace={path.parent}", "--set", f"data.path={transactions}")
    done = fraud_pipeline(command, *settings)
    assert done.code == 2, done.output
    assert f"error: {path} is damaged or is no database of runs: file is not a database; restore it" in done.output
    assert "Traceback" not in done.output
