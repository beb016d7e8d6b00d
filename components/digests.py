"""Digest of a folder on any file system that TFX reads."""

from __future__ import annotations

import hashlib
import os

from tfx.dsl.io import fileio


def folder_digest(folder: str) -> str:
    """SHA-256 over every file's relative path and content, the first 16 hexadecimal digits."""
    digest = hashlib.sha256()
    paths = sorted(os.path.join(parent, name) for parent, _, names in fileio.walk(folder) for name in names)
    for path in paths:
        with fileio.open(path, "rb") as file:
            content = file.read()
        # with its length, so that the end of one file can't be taken for the start of the next
        digest.update(f"{os.path.relpath(path, folder)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]
