"""The lock by which one run at a time goes on in a workspace."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from trainer.errors import InputError
from trainer.places import usable

_ATTEMPTS = 5  # who looks whether a run is going on holds the lock for an instant
_PAUSE = 0.05  # seconds between them


@contextmanager
def exclusive(workspace: Path) -> Iterator[None]:
    """One run at a time in a workspace: two would find the metadata locked, or push over each other.

    Raises:
      InputError: another run is going on there.
    """
    with usable(workspace, "name a folder that can be written with --set workspace=PATH"):
        workspace.mkdir(parents=True, exist_ok=True)
        file = open(_path(workspace), "a")  # noqa: SIM115  an error inside of the block is none of this place
    with file as lock:
        if not any(_taken(lock, pause) for pause in (0.0, *[_PAUSE] * (_ATTEMPTS - 1))):
            raise InputError(
                f"another run is going on in {workspace}; wait for it, or use another with --set workspace=PATH"
            )
        now = time.time()
        os.utime(lock.fileno(), (now, now))
        yield


def running_since(workspace: Path) -> float | None:
    """When the run that is going on took the lock, in seconds since 1970; None where there is none."""
    try:
        with open(_path(workspace)) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return os.fstat(lock.fileno()).st_mtime
    except OSError:  # no lock yet, or one that is not for this user to see, or no locks on this file system
        pass
    return None


def _path(workspace: Path) -> Path:
    return workspace / ".lock"


def _taken(lock: IO[str], pause: float) -> bool:
    time.sleep(pause)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
