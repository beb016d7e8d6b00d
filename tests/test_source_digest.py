"""Digests of the code that components run: an edit of it misses the cache, and no other edit does."""

from __future__ import annotations

import ast
import functools
import importlib
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tfx.dsl.components.base.base_node import BaseNode

from components.properties import SOURCE_DIGEST
from pipeline.config import load
from pipeline.data.sources import DataCard, Source
from pipeline.graph import create_pipeline
from pipeline.source_digest import PACKAGES, SourceCode, dotted_path, project
from trainer.columns import Columns
from trainer.preprocessing import preprocessing_fn
from trainer.sampling import SamplingRates

ROOT = Path(__file__).resolve().parents[1]
# TFX's own, without code of ours
STOCK = {"ExampleValidator", "SchemaGen"}


# The project's components


@pytest.fixture(scope="module")
def nodes() -> dict[str, BaseNode]:
    """Every component that there is, by its name."""
    source = Source("data.csv", DataCard(name="test"), "TEST transactions")
    found = {}
    for schema in ("null", "configs/ulb.schema.pbtxt"):
        config = load(ROOT / "configs" / "local.yaml", [f"schema={schema}"])
        graph = create_pipeline(config.completed(SamplingRates(), None), source)
        found |= {node.id: node for node in graph.components}
    return found


@pytest.fixture(scope="module")
def entry_points(nodes: dict[str, BaseNode]) -> dict[str, list[str]]:
    """The modules that each component with code of ours begins in."""
    return {name: project().entry_points(node) for name, node in nodes.items() if name not in STOCK}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree."""
    folder = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def reached(tree: Path, entry_points: dict[str, list[str]]) -> dict[str, set[str]]:
    """By file, the components whose digest an edit of it changes; "pipeline": all files of that package at once."""
    code = """
import json, pathlib, sys
from pipeline.source_digest import PACKAGES, SourceCode
entry_points = json.loads(sys.argv[1])
source = SourceCode(*PACKAGES)  # once: a remark at the end changes no import
digests = lambda: {name: source.digest(modules) for name, modules in entry_points.items()}
before, reached = digests(), {}
files = {package: [file for file in pathlib.Path(package).rglob("*") if file.is_file()] for package in PACKAGES}
edits = {str(file): [file] for package in PACKAGES[1:] for file in files[package]}
for name, edited in {"pipeline": files["pipeline"], **edits}.items():
    contents = [file.read_bytes() for file in edited]
    for file, content in zip(edited, contents):
        file.write_bytes(content + b"\\n# an edit\\n")
    reached[name] = [name for name, digest in digests().items() if digest != before[name]]
    for file, content in zip(edited, contents):
        file.write_bytes(content)
assert digests() == before
print(json.dumps(reached))
"""
    command = [sys.executable, "-B", "-c", code, json.dumps(entry_points)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {file: set(names) for file, names in json.loads(done.stdout).items()}


@functools.cache
def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def read_imports(tree: Path) -> dict[str, set[str]]:
    """What each module of a tree imports of it, by a look at its syntax: the independent way to the same graph."""
    found = [file for package in PACKAGES for file in (tree / package).rglob("*.py")]
    files = {".".join(file.relative_to(tree).with_suffix("").parts).removesuffix(".__init__"): file for file in found}
    imports = {}
    for name, file in files.items():
        parsed = parse(file)
        for_types = {
            id(inner)
            for node in ast.walk(parsed)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        named = set()
        for node in ast.walk(parsed):
            if isinstance(node, ast.Import) and id(node) not in for_types:
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and id(node) not in for_types:
                named |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
        imports[name] = named & files.keys()
    return imports


def files_behind(tree: Path, imports: dict[str, set[str]], modules: list[str]) -> set[str]:
    """The files that modules are made of, by their imports."""
    pending, seen = list(modules), set()
    while pending:
        name = pending.pop()
        if name and name not in seen:
            seen.add(name)
            pending += [*imports[name], name.rpartition(".")[0]]
    files = set()
    for name in seen:
        folder = tree.joinpath(*name.split("."))
        if not folder.is_dir():
            files.add(folder.with_suffix(".py"))
            continue
        files.add(folder / "__init__.py")
        data = (file for file in folder.rglob("*") if file.is_file() and file.suffix != ".py")
        files |= {file for file in data if next(up for up in file.parents if (up / "__init__.py").exists()) == folder}
    return {str(file.relative_to(tree)) for file in files if "__pycache__" not in file.parts}


def test_every_component_with_code_of_ours_has_the_digest_of_it(
    nodes: dict[str, BaseNode], entry_points: dict[str, list[str]]
) -> None:
    assert {name for name, node in nodes.items() if SOURCE_DIGEST not in node.exec_properties} == STOCK
    for name, modules in entry_points.items():
        assert nodes[name].exec_properties[SOURCE_DIGEST] == project().digest(modules)
    assert entry_points["Transform"] == ["components.transform", "trainer.preprocessing"]
    assert entry_points["Tuner"] == ["components.tuner", "trainer.search.tuning"]
    assert entry_points["Trainer"] == ["trainer.training"]


def test_an_edit_changes_the_digests_of_just_the_components_that_run_the_file(
    tree: Path, entry_points: dict[str, list[str]], reached: dict[str, set[str]]
) -> None:
    imports = read_imports(tree)
    behind = {name: files_behind(tree, imports, modules) for name, modules in entry_points.items()}
    assert set().union(*behind.values()) <= reached.keys()
    assert not reached.pop("pipeline")
    for file, names in reached.items():
        assert names == {name for name, files in behind.items() if file in files}, file


@pytest.mark.parametrize(
    ("edited", "rerun"),
    [
        ("trainer/sampling.py", {"ExampleGen"}),
        ("trainer/search/oracles.py", {"Tuner"}),
        ("trainer/search/worker.py", {"Tuner"}),  # run as `python -m`
        ("trainer/distributed/worker.py", {"Trainer"}),
        ("trainer/training.py", {"Trainer"}),
        ("trainer/export.py", {"Trainer"}),
        ("trainer/settings.py", {"Tuner", "Trainer", "Challengers"}),
        ("trainer/preprocessing.py", {"Transform", "Tuner", "Trainer", "Challengers"}),
        ("components/object_store.py", {"CurrentModel", "Pusher"}),
        ("components/reading/readers.py", {"ExampleGen"}),
        ("components/evaluation/settings.py", {"CurrentModel", "Evaluator", "Pusher", "Report"}),
        ("components/report/thresholds.py", {"Report"}),
        ("components/report/templates/page.css", {"Report"}),
    ],
)
def test_what_an_edit_runs_again(reached: dict[str, set[str]], edited: str, rerun: set[str]) -> None:
    assert reached[edited] == rerun


def test_no_module_is_named_in_text_alone() -> None:
    """The import graph can't see `python -m trainer.search.worker`: a module is imported, and gives its name itself."""
    modules = {name for name in read_imports(ROOT) if "." in name}
    dotted = re.compile(rf"\b(?:{'|'.join(PACKAGES)})(?:\.\w+)+")
    for name in modules:
        path = ROOT.joinpath(*name.split("."))
        parsed = parse(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))
        docstrings = {id(node.value) for node in ast.walk(parsed) if isinstance(node, ast.Expr)}
        for node in ast.walk(parsed):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                for text in dotted.findall(node.value):
                    # a module, or something in it; its own name is no secret
                    named = max(
                        (module for module in modules if f"{text}.".startswith(f"{module}.")), key=len, default=name
                    )
                    assert named == name, f"{name}, line {node.lineno}: {node.value}"


# A package made for the test


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `edited`, on the path of imports."""
    folder = tmp_path / "edited"
    files = {
        "__init__.py": "",
        "one.py": "import edited.two\n\n\ndef late():\n    from edited.inner import deep\n",
        "two.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from edited import three\n",
        "three.py": "",
        "inner/__init__.py": "import edited.four\n",
        "inner/deep.py": "",
        "inner/page.html": "<p>",
        "inner/pictures/dot.svg": "<svg/>",
        "four.py": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "edited"]:
        del sys.modules[name]


def test_the_closure_has_lazy_imports_and_packages_on_the_way_but_none_for_types(package: Path) -> None:
    source = SourceCode("edited")
    assert source.closure(["edited.one"]) == {
        *("edited", "edited.one", "edited.two", "edited.inner", "edited.inner.deep", "edited.four"),
    }
    assert source.closure(["edited.two"]) == {"edited", "edited.two"}
    assert set(source.files(["edited.inner"])) == {
        *("edited/__init__.py", "edited/four.py", "edited/inner/__init__.py"),
        *("edited/inner/page.html", "edited/inner/pictures/dot.svg"),
    }


def test_a_new_import_and_a_new_file_of_data_change_the_digest(package: Path) -> None:
    def digests() -> list[str]:
        return [SourceCode("edited").digest([f"edited.{name}"]) for name in ("three", "inner")]

    seen = [digests()]
    assert all(len(digest) == 16 and int(digest, 16) >= 0 for digest in seen[0])
    for name, text in (
        ("three.py", "def late():\n    import edited.four\n"),
        ("four.py", "FOUR = 4\n"),
        ("inner/pictures/line.svg", "<svg/>"),
    ):
        (package / name).write_text(text)
        seen.append(digests())
    changes = [[one != other for one, other in zip(*pair, strict=True)] for pair in itertools.pairwise(seen)]
    assert changes == [[True, False], [True, True], [False, True]]


@pytest.mark.parametrize("name", ["page.html~", ".page.html.swp", "__pycache__/deep.cpython-310.pyc"])
def test_what_editors_and_python_leave_behind_changes_nothing(package: Path, name: str) -> None:
    before = SourceCode("edited").digest(["edited.inner"])
    (package / "inner" / name).parent.mkdir(exist_ok=True)
    (package / "inner" / name).write_text("left behind")
    assert SourceCode("edited").digest(["edited.inner"]) == before


# Dotted paths


@pytest.mark.parametrize("thing", [preprocessing_fn, Columns, dotted_path])
def test_a_dotted_path_leads_back_to_what_it_names(thing: object) -> None:
    module, _, name = dotted_path(thing).rpartition(".")
    imported: ModuleType = importlib.import_module(module)
    assert getattr(imported, name) is thing


def test_the_path_of_transforms_entry_point() -> None:
    assert dotted_path(preprocessing_fn) == "trainer.preprocessing.preprocessing_fn"
