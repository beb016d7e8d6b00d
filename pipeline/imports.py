"""Importing TFX, TensorFlow and Beam in less time."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Beam imports its BigQuery and Pub/Sub connectors where their clients are installed and does without where they are
# not; nothing here uses them, and gs:// paths work without. Kubernetes' client, which TFX imports, does the same with a
# validator of manifests, which takes more than a second. Not every optional import can go this way: without IPython,
# TFMA prints "Error importing" and goes on with half of its names.
_LEFT_OUT = ("apache_beam.io.gcp.bigquery", "kubernetes_validate")


@contextmanager
def lean() -> Iterator[None]:
    """Within it, imports take three quarters of their usual time; what is left out can be imported afterwards.

    The libraries make a million objects, nearly all of which stay, and the garbage collector would go through them
    again and again: it is off meanwhile. Then they are frozen, so that it passes them by in the run and when the
    interpreter ends, which takes it more than a second otherwise.
    """
    left_out = [name for name in _LEFT_OUT if name not in sys.modules]
    # documented: None makes an import raise ModuleNotFoundError, as if the module were not installed
    sys.modules.update(dict.fromkeys(left_out))  # type: ignore[arg-type]
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]
        gc.freeze()
        if collecting:
            gc.enable()
