"""Keeping the memory of a long run near what it uses."""

from __future__ import annotations

import ctypes
import gc
import os
from typing import Any

_M_ARENA_MAX = -8  # malloc.h
# With two, threads wait for each other and reading takes half as long again; with glibc's eight a core, the free memory
# that each keeps comes to a quarter of a run over millions of rows.
_ARENAS = 4


# What TensorFlow takes of a GPU's memory grows with what it needs; it takes all of it at once otherwise.
GROWING = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}


def _c_library() -> Any:
    return ctypes.CDLL(None)


def limit_arenas() -> None:
    """Has the threads of this process share a few of malloc's arenas, where the C library is glibc; call it early."""
    mallopt = getattr(_c_library(), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)


def share_gpus() -> None:
    """Leaves memory of the GPUs to other processes, such as those of a search; call it before TensorFlow starts.

    TF_FORCE_GPU_ALLOW_GROWTH stays as it is where the environment sets it.
    """
    for name, value in GROWING.items():
        os.environ.setdefault(name, value)


def release() -> None:
    """Gives back the memory that a component, or a part of one, left: graphs in cycles, and glibc's free arenas."""
    gc.collect()
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)
