"""The machine and the versions that a benchmark ran with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tfx", "tensorflow", "keras", "apache-beam", "numpy", "pyarrow", "pandas", "scikit-learn", "scipy")


def machine() -> dict[str, Any]:
    """Processor model, cores this process may use, memory in GiB, operating system."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        # ARM kernels do not name a model
        "processor": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "os": platform.freedesktop_os_release()["PRETTY_NAME"],
    }


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def commit() -> str:
    """The commit that was measured, with a + where files differ from it; "" outside a repository."""
    description = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty=+"], cwd=ROOT, capture_output=True, text=True
    )
    return description.stdout.strip()


def described(machine: dict[str, Any], versions: dict[str, str]) -> str:
    """Machine and versions of a result file, in one sentence for people."""
    short = {name: ".".join(number.split(".")[:2]) for name, number in versions.items()}
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']:.0f} GiB, {machine['os']}, "
        f"Python {versions['python']}, TFX {short['tfx']}, TensorFlow {short['tensorflow']}, Keras {short['keras']}."
    )
