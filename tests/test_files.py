"""A path stands for files with transactions, or for a fault that says what there is instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.reading.files import find_files
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
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"a\.txt: this kind of file can't be read; expected one of \.csv"):
        find_files(str(tmp_path / "*.txt"))
    (tmp_path / "a.csv").touch()
    with pytest.raises(InputError, match=r"a\.csv is empty"):
        find_files(str(tmp_path))
