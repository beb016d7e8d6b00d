"""The manifest of a model: what it was made from, as JSON beside it."""

from __future__ import annotations

import json
import os
from typing import Any

import tensorflow as tf

MANIFEST = os.path.join("assets.extra", "manifest.json")


def write_manifest(folder: str, manifest: dict[str, Any]) -> None:
    """Writes the manifest to `assets.extra`, where a SavedModel keeps files that do not belong to the model itself."""
    path = os.path.join(folder, MANIFEST)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(manifest, indent=2, sort_keys=True))
