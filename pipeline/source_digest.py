"""Digests of the code that components run, derived from how the project's modules import each other."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import grimp

from components.properties import SOURCE_DIGEST

if TYPE_CHECKING:
    from tfx.dsl.components.base.base_node import BaseNode

PACKAGES = ("pipeline", "components", "trainer")


class SourceCode:
    """The modules of some packages, as they import each other, and the files that they are made of."""

    def __init__(self, *packages: str):
        """packages: names of top-level packages, as Python finds them, installed or in the current folder."""
        self._imports = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
        self._roots = {package: _folder(package).parent for package in packages}

    def closure(self, modules: Iterable[str]) -> frozenset[str]:
        """The modules, all that they import, directly or not, at the top or inside a function, and their packages.

        What is named in text alone, as `python -m MODULE`, is not seen: import it, and take its `__name__`.
        """
        reached: set[str] = set()
        pending = list(modules)
        while pending:
            module = pending.pop()
            if module not in reached:
                reached.add(module)
                pending += self._imports.find_modules_directly_imported_by(module)
                # Python runs the `__init__` of each package on the way to a module
                pending += [package] if (package := module.rpartition(".")[0]) else []
        return frozenset(reached)

    def files(self, modules: Iterable[str]) -> dict[str, Path]:
        """The files of the closure by their paths in the source tree: the modules', and the data of their packages."""
        files: dict[str, Path] = {}
        for module in self.closure(modules):
            root = self._roots[module.partition(".")[0]]
            path = root.joinpath(*module.split("."))
            own = [path / "__init__.py", *_data_files(path)] if path.is_dir() else [path.with_suffix(".py")]
            files |= {file.relative_to(root).as_posix(): file for file in own}
        return files

    def digest(self, modules: Iterable[str]) -> str:
        """SHA-256 over path and content of each file of the closure, the first 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, file in sorted(self.files(modules).items()):
            content = file.read_bytes()
            # with its length, so that no content reads like the next file
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:16]

    def entry_points(self, node: BaseNode) -> list[str]:
        """The modules that a component begins in, of these packages: executor, driver, `..._fn` by dotted path."""
        paths = [path for name, path in node.exec_properties.items() if name.endswith("_fn") and path]
        modules = {path.rpartition(".")[0] for path in paths}
        modules |= {node.executor_spec.executor_class.__module__, node.driver_class.__module__}
        return sorted(modules & self._imports.modules)


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None  # grimp has found it
    assert spec.origin is not None
    return Path(spec.origin).parent


def _data_files(package: Path) -> Iterator[Path]:
    """What lies in a package besides modules: templates, arrays; not what caches and editors leave there."""
    for entry in package.iterdir():
        if entry.name.startswith((".", "__pycache__")) or entry.name.endswith("~"):
            continue
        if entry.is_dir():
            # a folder with an `__init__` is a package of its own
            if not (entry / "__init__.py").exists():
                yield from _data_files(entry)
        elif entry.suffix != ".py":
            yield entry


@cache
def project() -> SourceCode:
    """The project's own code."""
    return SourceCode(*PACKAGES)


def add_source_digests(nodes: Iterable[BaseNode]) -> None:
    """Gives each component an execution property with the digest of the project's code that it runs.

    The cache knows a component by its execution properties: without the digest it would serve what the code made before
    an edit. A component that runs nothing but TFX's code has none.
    """
    for node in nodes:
        if modules := project().entry_points(node):
            node.exec_properties[SOURCE_DIGEST] = project().digest(modules)


def dotted_path(function: object) -> str:
    """`package.module.name` of a function or class, for TFX's `..._fn` arguments."""
    return f"{function.__module__}.{function.__qualname__}"  # type: ignore[attr-defined]
