"""Files that Beam's workers write: each attempt under a name of its own, given the final name once it is whole.

A runner tries a part again when a worker is lost, and may run two attempts at the same time. Readers take every file of
a split's folder for examples, so that what an attempt leaves behind must not lie there.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator

from tfx.dsl.io import fileio

FOLDER = "attempts"  # in the artifact's own folder, so that a rename stays in one file system


@contextlib.contextmanager
def attempt(artifact: str, path: str) -> Iterator[str]:
    """A path for this attempt alone; the file there becomes `path` at the end, and is removed on an error.

    Args:
      artifact: the folder of the artifact that `path` is in. Whoever waits for the workers calls `clear` for it.
    """
    folder = os.path.join(artifact, FOLDER)
    own = os.path.join(folder, f"{uuid.uuid4().hex}-{os.path.basename(path)}")
    fileio.makedirs(folder)
    try:
        yield own
        fileio.rename(own, path, overwrite=True)
    except BaseException:
        if fileio.exists(own):
            fileio.remove(own)
        raise


@contextlib.contextmanager
def clear(artifact: str) -> Iterator[None]:
    """Removes at the end what killed workers left in the artifact's folder."""
    try:
        yield
    finally:
        folder = os.path.join(artifact, FOLDER)
        if fileio.exists(folder):
            fileio.rmtree(folder)
