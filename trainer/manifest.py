"""The model's manifest: what it was made from, as JSON beside it."""

from __future__ import annotations

import json
import os
from typing import Any

import tensorflow as tf

MANIFEST = os.path.join("assets.extra", "manifest.json")


def write_manifest(folder: str, manifest: dict[str, Any]) -> None:
    """What the model was made from, where SavedModel keeps what is not the model's: `assets.extra`."""
    path = os.path.join(folder, MANIFEST)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(json.dumps(manifest, indent=2, sort_keys=True))
