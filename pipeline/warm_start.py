"""The hyperparameters that an earlier run found, for `tuning.warm_start`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.runs import latest_artifact
from trainer.errors import InputError
from trainer.places import expanded, problem
from trainer.search.settings import checked

LAST = "last"
FILE = "best_hyperparameters.txt"  # as TFX's Tuner names it
_KIND = "HyperParameters"  # TFX's type of artifact


def values(config: Config) -> dict[str, Any] | None:
    """Hyperparameters by name; None where the config asks for none, or for the last ones and there were none yet.

    Raises:
      InputError: the file is not there, or holds no hyperparameters, or some that can't be trained.
    """
    warm_start = config.tuning.warm_start
    if warm_start is None or isinstance(warm_start, dict):
        return warm_start
    if warm_start == LAST:
        folder = latest_artifact(config.metadata_path, _KIND)
        if folder is None:
            return None
        values, source = _read(Path(folder) / FILE), f"{folder}/{FILE}"
    else:
        path = expanded(warm_start)
        path = path / FILE if os.path.isdir(path) else path
        values, source = _read(path), str(path)
    try:
        return checked(values)
    except ValueError as error:
        raise InputError(f"{source} has hyperparameters that can't be trained: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text())
    except OSError as error:
        raise InputError(
            f"tuning.warm_start: {path} can't be read ({problem(error)}); give last, a {FILE} of an earlier run or its "
            "folder, or a mapping of values"
        ) from error
    except ValueError as error:
        raise InputError(f"tuning.warm_start: {path} is not JSON ({error}); expected a {FILE}") from error
    values = stored.get("values", stored) if isinstance(stored, dict) else stored
    if not isinstance(values, dict):
        raise InputError(f"tuning.warm_start: {path} holds {type(values).__name__}, expected names and values")
    return values
