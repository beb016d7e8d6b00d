"""Digests and dotted paths of the code that components run."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import trainer
import trainer.preprocessing
from pipeline.source_digest import dotted_path, source_digest
from trainer.columns import Columns
from trainer.preprocessing import preprocessing_fn


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `edited` with two modules, on the path of imports."""
    folder = tmp_path / "edited"
    (folder / "inner").mkdir(parents=True)
    for name, source in {"__init__": "", "one": "A = 1\n", "two": "B = 2\n", "inner/deep": "C = 3\n"}.items():
        (folder / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "edited"]:
        del sys.modules[name]


def test_a_digest_is_sixteen_hexadecimal_digits_of_module_or_name() -> None:
    digest = source_digest(trainer.preprocessing)
    assert len(digest) == 16
    assert int(digest, 16) >= 0
    assert source_digest("trainer.preprocessing") == digest


@pytest.mark.parametrize("edited", ["one.py", "inner/deep.py", "__init__.py"])
def test_an_edit_anywhere_in_a_package_changes_its_digest(package: Path, edited: str) -> None:
    before = source_digest("edited")
    assert source_digest("edited") == before
    (package / edited).write_text("A = 5\n")
    assert source_digest("edited") != before


def test_a_new_file_changes_the_digest_and_other_files_do_not(package: Path) -> None:
    before = source_digest("edited")
    (package / "notes.txt").write_text("hello")
    os.utime(package / "one.py", (0, 0))
    assert source_digest("edited") == before
    (package / "three.py").write_text("")
    assert source_digest("edited") != before


def test_a_modules_digest_is_of_that_module_alone(package: Path) -> None:
    one = source_digest("edited.one")
    both = source_digest("edited.one", "edited.two")
    (package / "two.py").write_text("B = 7\n")
    assert source_digest("edited.one") == one
    assert source_digest("edited.one", "edited.two") != both


def test_other_code_has_another_digest() -> None:
    assert len({source_digest(trainer), source_digest(trainer.preprocessing), source_digest("trainer.columns")}) == 3


@pytest.mark.parametrize("thing", [preprocessing_fn, Columns, source_digest])
def test_a_dotted_path_leads_back_to_what_it_names(thing: object) -> None:
    module, _, name = dotted_path(thing).rpartition(".")
    imported: ModuleType = importlib.import_module(module)
    assert getattr(imported, name) is thing


def test_the_path_of_transforms_entry_point() -> None:
    assert dotted_path(preprocessing_fn) == "trainer.preprocessing.preprocessing_fn"
