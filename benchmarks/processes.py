"""Runs one repeat as one fresh process, and measures its seconds and its peak memory."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.machine import ROOT

SAMPLING_INTERVAL = 0.1  # seconds; looking for children takes a millisecond or more


@dataclass(frozen=True)
class Finished:
    """A process that has ended.

    started, ended: seconds since 1970. peak_gib: the largest resident memory of it and its children together, in GiB.
    """

    code: int
    started: float
    ended: float
    peak_gib: float

    @property
    def seconds(self) -> float:
        return self.ended - self.started


def environment() -> dict[str, str]:
    """This process's environment, but with variables that would change a measurement removed or set.

    PYTHONDONTWRITEBYTECODE would make every process compile all imports anew, which takes 25 s in place of 10 for TFX.
    """
    settings = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "COLUMNS": "200"}
    for name in ("PYTHONDONTWRITEBYTECODE", "FRAUD_PIPELINE_DATA"):
        settings.pop(name, None)
    return settings


def run(command: Sequence[str | Path], log: Path, allowed: Collection[int] = (0,), **variables: str) -> Finished:
    """Runs the command in the project's folder; its output is added to `log`.

    Raises:
      SystemExit: it ended with a code that is not allowed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in command]
    with open(log, "ab") as file:
        file.write(f"\n$ {' '.join(words)}\n".encode())
        file.flush()
        start, started = time.perf_counter(), time.time()
        process = subprocess.Popen(
            words, cwd=ROOT, env={**environment(), **variables}, stdout=file, stderr=subprocess.STDOUT
        )
        memory = _Memory(process.pid)
        try:
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            peak = memory.stop()
        elapsed = time.perf_counter() - start
    if code not in allowed:
        last_lines = log.read_text(errors="replace").strip().splitlines()[-15:]
        raise SystemExit(f"{' '.join(words)}\nended with {code}; {log} says more:\n" + "\n".join(last_lines))
    return Finished(code, started, started + elapsed, peak / 2**30)


class _Memory(threading.Thread):
    """Samples the resident memory of a process and its children, in bytes."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self._peak = 0
        self.start()

    def run(self) -> None:
        while not self._ended.wait(SAMPLING_INTERVAL):
            self._peak = max(self._peak, self._now())

    def _now(self) -> int:
        total = 0
        try:
            for process in (self._root, *self._root.children(recursive=True)):
                total += process.memory_info().rss
        except psutil.Error:
            # a process ended meanwhile: the sample is too small, which does no harm to a maximum
            pass
        return total

    def stop(self) -> int:
        self._ended.set()
        self.join()
        return self._peak
