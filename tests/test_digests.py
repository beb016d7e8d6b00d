"""A folder's digest: equal for equal content wherever it lies, and for nothing else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from components.digests import folder_digest

names = st.from_regex(r"[a-c]{1,2}(/[x-z]{1,2})?", fullmatch=True)
# The separators of a careless digest, on purpose.
contents = st.one_of(st.binary(max_size=6), st.sampled_from([b"\0", b"\0b\0", b"x\0b\0y", b"a\01\0"]))


@st.composite
def folders(draw: st.DrawFn) -> dict[str, bytes]:
    """Content by relative path; no file is also a folder."""
    files = draw(st.dictionaries(names, contents, max_size=4))
    return {name: content for name, content in files.items() if not any(o.startswith(f"{name}/") for o in files)}


def write(files: dict[str, bytes], folder: Path) -> str:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return str(folder)


@given(first=folders(), second=folders())
@settings(deadline=None)
def test_equal_digests_mean_equal_files(first: dict[str, bytes], second: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        same = folder_digest(write(first, Path(here))) == folder_digest(write(second, Path(there)))
        assert same == (first == second)


def test_content_that_reads_like_another_file_is_not_that_file(tmp_path: Path) -> None:
    one = write({"a": b"x\0b\0y"}, tmp_path / "one")
    two = write({"a": b"x", "b": b"y"}, tmp_path / "two")
    assert folder_digest(one) != folder_digest(two)


def test_time_and_place_play_no_part(tmp_path: Path) -> None:
    files = {"saved_model.pb": b"graph", "variables/variables.index": b"weights"}
    here = write(files, tmp_path / "here")
    there = write(dict(reversed(files.items())), tmp_path / "deep" / "there")
    os.utime(tmp_path / "here" / "saved_model.pb", (0, 0))
    assert folder_digest(here) == folder_digest(there)
    assert folder_digest(here) == folder_digest(f"{there}/")
    assert len(folder_digest(here)) == 16
