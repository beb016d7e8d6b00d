"""Processes that end with the one that started them, however that one ends.

As a program it runs another: `python -m trainer.processes PID MODULE ARGUMENT...` runs the module and ends with process
PID.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1  # prctl.h
_PROCESSES = Path("/proc")


def start(
    module: str, arguments: Sequence[str], output: IO[bytes], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts `python -m MODULE ARGUMENTS`, which ends with this process, or on Linux with the calling thread.

    It has a session of its own, so that a terminal's Ctrl-C reaches this process alone, which knows what to do.

    Args:
      output: where it prints to.
      environment: beyond this process' own.
    """
    package = str(Path(__file__).resolve().parents[1])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(os.getpid()), module, *arguments],
        env={**os.environ, "PYTHONPATH": paths, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end_with(parent: int) -> None:
    """Has the kernel end this process with its parent, which might be killed without a word to anyone; Linux only."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)  # it is gone already


def end_descendants() -> None:
    """Kills all processes that this one started, and those that they did, where /proc tells them."""
    children: dict[int, list[int]] = {}
    for folder in _PROCESSES.glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):  # it may have ended meanwhile
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    ending = children.get(os.getpid(), [])
    while ending:
        process = ending.pop()
        ending += children.get(process, [])
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def main() -> None:
    parent, module, *arguments = sys.argv[1:]
    end_with(int(parent))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
