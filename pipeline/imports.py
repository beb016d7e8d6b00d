"""Importing TFX, TensorFlow and Beam in less time."""

from __future__ import annotations

from contextlib import AbstractContextManager

from trainer import imports

# Beam imports its BigQuery and Pub/Sub connectors where their clients are installed and does without where they are
# not; nothing here uses them, and gs:// paths work without. Kubernetes' client, which TFX imports, does the same with a
# validator of manifests, which takes more than a second. Not every optional import can go this way: without IPython,
# TFMA prints "Error importing" and goes on with half of its names.
_LEFT_OUT = ("apache_beam.io.gcp.bigquery", "kubernetes_validate")


def lean() -> AbstractContextManager[None]:
    """Within it, imports take three quarters of their usual time; what is left out can be imported afterwards."""
    return imports.lean(*_LEFT_OUT)
