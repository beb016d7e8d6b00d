"""The folder of an exported model."""

from __future__ import annotations

import json
import os
from typing import Any

from tfx.dsl.io import fileio

from trainer.manifest import MANIFEST

SAVED_MODEL = "saved_model.pb"


def read_manifest(folder: str) -> dict[str, Any]:
    """The manifest that the trainer wrote beside the model; empty where there is none."""
    path = os.path.join(folder, MANIFEST)
    if not fileio.exists(path):
        return {}
    with fileio.open(path) as file:
        manifest: dict[str, Any] = json.load(file)
        return manifest
