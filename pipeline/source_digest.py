"""Names and digests of the code that components run by dotted path."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from types import ModuleType


def source_digest(*modules: ModuleType | str) -> str:
    """SHA-256 of the modules' source (of every file for a package), the first 16 hexadecimal digits.

    A dotted path in an execution property carries no hash of the code behind it: without this digest beside it, the
    cache would serve what the code made before an edit.
    """
    digest = hashlib.sha256()
    for module in modules:
        loaded = importlib.import_module(module) if isinstance(module, str) else module
        origin = Path(str(loaded.__file__))
        files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
        for file in files:
            digest.update(f"{loaded.__name__}/{file.name}".encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def dotted_path(function: object) -> str:
    """`package.module.name` of a function or class, for TFX's `..._fn` arguments."""
    return f"{function.__module__}.{function.__qualname__}"  # type: ignore[attr-defined]
