"""A path stands for files with transactions, or for a fault that says what there is instead; and their content."""

from __future__ import annotations

import gzip
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.filesystem import BeamIOError
from hypothesis import given
from hypothesis import strategies as st

from components.reading.files import find_files, fingerprint
from tests.support.in_memory import InMemory
from trainer.errors import InputError


def test_a_folder_stands_for_its_data_files(tmp_path):
    for name in ("b.csv", "a.parquet", "c.csv.gz", "a.card.yaml", "notes.txt", ".hidden.csv", "_SUCCESS"):
        (tmp_path / name).write_text("x")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.csv").write_text("x")
    names = [Path(file.path).name for file in find_files(str(tmp_path))]
    assert names == ["a.parquet", "b.csv", "c.csv.gz"]
    assert [Path(file.path).name for file in find_files(str(tmp_path / "*.csv"))] == ["b.csv"]
    (only,) = find_files(str(tmp_path / "b.csv"))
    assert only.size == 1
    assert only.modified > 1e9


def test_what_cannot_be_found(tmp_path):
    with pytest.raises(InputError, match="no transactions there"):
        find_files(str(tmp_path))
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(InputError, match=r"a\.pdf: this kind of file can't be read; expected one of \.csv"):
        find_files(str(tmp_path / "*.pdf"))
    (tmp_path / "readme.txt").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no transactions there"):
        find_files(str(tmp_path))  # in a folder a text may be anything
    assert len(find_files(str(tmp_path / "readme.txt"))) == 1
    (tmp_path / "a.csv").touch()
    with pytest.raises(InputError, match=r"a\.csv is empty"):
        find_files(str(tmp_path))


# Fingerprints


def write(path: Path, content: bytes) -> Path:
    """A file of that content; all are of the same time."""
    path.write_bytes(content)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def stored(content: bytes) -> bytes:
    """As gzip, which is as long for every content of the same length."""
    return gzip.compress(content, compresslevel=0, mtime=0)


@pytest.mark.parametrize("name", ["labels.csv", "labels.csv.gz", "labels.parquet"])
def test_another_content_of_the_same_size_and_time_has_another_fingerprint(tmp_path: Path, name: str) -> None:
    contents = [f"at,fraud\n{time},{label}\n".encode() for time in (1, 2) for label in (0, 1)]
    contents = [stored(content) for content in contents] if name.endswith(".gz") else contents
    files = [write(tmp_path / name, content).stat() for content in contents]
    assert len({(file.st_size, file.st_mtime_ns) for file in files}) == 1
    prints = [fingerprint(str(write(tmp_path / name, content))) for content in contents]
    assert len(set(prints)) == len(contents)


@given(content=st.binary(min_size=1, max_size=50), place=st.integers(0, 49), change=st.integers(1, 255))
def test_every_byte_counts(tmp_path_factory: pytest.TempPathFactory, content: bytes, place: int, change: int) -> None:
    folder = tmp_path_factory.getbasetemp()
    place %= len(content)
    other = content[:place] + bytes([(content[place] + change) % 256]) + content[place + 1 :]
    one, two = (fingerprint(str(write(folder / "every_byte.csv", data))) for data in (content, other))
    assert one != two


def test_a_file_that_comes_or_goes_shows_and_the_time_alone_does_not(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", b"fraud\n0\n")
    alone = fingerprint(str(tmp_path))
    os.utime(first, (1_800_000_000, 1_800_000_000))
    assert fingerprint(str(tmp_path)) == alone
    second = write(tmp_path / "b.csv", b"fraud\n0\n")
    assert fingerprint(str(tmp_path)) != alone
    second.rename(tmp_path / "notes.txt")
    assert fingerprint(str(tmp_path)) == alone
    first.rename(tmp_path / "c.csv")
    assert fingerprint(str(tmp_path)) != alone


@pytest.fixture
def bucket() -> Iterator[dict[str, bytes]]:
    InMemory.files.clear()
    yield InMemory.files
    InMemory.files.clear()


@pytest.mark.parametrize("checksum", [None, lambda self, path: str(self.size(path))], ids=["none", "the size"])
def test_a_store_without_checksums_goes_by_size_and_time_and_says_so(
    bucket: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, checksum: Any
) -> None:
    if checksum:
        monkeypatch.setattr(InMemory, "checksum", checksum)
    prints = []
    for content in (b"fraud\n0\n", b"fraud\n1\n", b"fraud\n0\n1\n"):
        bucket["memory://bucket/a.csv"] = content
        with caplog.at_level(logging.WARNING):
            prints.append(fingerprint("memory://bucket"))
        assert "memory://bucket/a.csv: its store has no checksum of it" in caplog.text
        caplog.clear()
    assert prints[0] == prints[1] != prints[2]


def test_a_checksum_that_can_not_be_had_is_a_fault(bucket: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(self: InMemory, path: str) -> str:
        raise BeamIOError("checksum failed", {path: PermissionError("403")})

    monkeypatch.setattr(InMemory, "checksum", forbidden)
    bucket["memory://bucket/a.csv"] = b"fraud\n0\n"
    with pytest.raises(InputError, match=r"memory://bucket/a\.csv cannot be read: checksum failed .*403"):
        fingerprint("memory://bucket")
