"""Memory that a run gives back."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from trainer.memory import share_gpus

ROOT = Path(__file__).resolve().parents[1]

# Sixteen threads, each of which allocates something: glibc gives each an arena of its own while it may.
COUNT_ARENAS = """
import ctypes, re, sys, threading
from trainer.memory import limit_arenas
if sys.argv[1] == "limited":
    limit_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(16)
def allocate():
    together.wait()
    libc.malloc(100)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_stats()
"""


def arenas(limited: str) -> int:
    done = subprocess.run([sys.executable, "-c", COUNT_ARENAS, limited], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr.count("Arena ")


def test_threads_share_a_few_arenas() -> None:
    # what is not limited may have as many as eight a core, so the comparison can fail
    assert arenas("limited") <= 4 < arenas("free")


def test_tensorflow_takes_all_of_a_gpu_s_memory_only_where_set_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    share_gpus()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "false"
    del os.environ["TF_FORCE_GPU_ALLOW_GROWTH"]
    share_gpus()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


def test_graphs_in_cycles_go_when_memory_is_released() -> None:
    from trainer.memory import release

    class Node:
        pass

    gc.disable()
    try:
        node = Node()
        node.itself = node
        seen = weakref.ref(node)
        del node
        assert seen() is not None
        release()
        assert seen() is None
    finally:
        gc.enable()
