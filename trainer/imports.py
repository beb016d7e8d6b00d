"""Importing TensorFlow and what is built on it in less time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Keras, KerasTuner and TensorFlow do without where these are not installed, and a search has no use for them: a wrapper
# for scikit-learn, data frames, notebooks, Google's own cluster.
NOT_IN_A_SEARCH = ("IPython", "googleapiclient", "pandas", "sklearn")


@contextmanager
def lean(*left_out: str) -> Iterator[None]:
    """Makes imports within it take three quarters of their usual time.

    The libraries make a million objects, nearly all of which stay, and the garbage collector would go through them
    again and again, so it is off meanwhile. Then they are frozen, so that it skips them during the run and at the end
    of the interpreter, where it would need more than a second for them.

    Args:
      left_out: modules that look as if they were not installed meanwhile; they can be imported afterwards.
    """
    missing = [name for name in left_out if name not in sys.modules]
    # documented: None makes an import raise ModuleNotFoundError, as if the module were not installed
    sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type]
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
        gc.freeze()
        if collecting:
            gc.enable()
