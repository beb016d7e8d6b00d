"""All benchmarks with their defaults, one after the other: `python -m benchmarks [NAME ...]`.

A benchmark that can't run here, or fails, does not stop the others. The machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from benchmarks import processes, run, scoring
from benchmarks.machine import ROOT

NAMES = ("run", "quality", "stock", "tutorial", "search", "growth", "scoring", "synthesis")


def missing(name: str) -> str:
    """Why a benchmark can't run here; "" where it can."""
    if name in ("quality", "synthesis") and not os.environ.get(run.REAL_ROWS):
        return f"{run.REAL_ROWS} names no folder with real transactions"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default")
    names = parser.parse_args().names or NAMES
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {' or '.join(unknown)}; there are {', '.join(NAMES)}")
    failed = []
    for name in names:
        why = missing(name)
        if why:
            print(f"{name} is left out: {why}", file=sys.stderr)
            continue
        print(f"\n{name}", flush=True)
        if name == "scoring" and not any((ROOT / scoring.SERVING).glob("*")):
            print("there is no model in service yet, so the pipeline runs first", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "pipeline", "run"], cwd=ROOT, env=processes.environment())
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        if subprocess.run(command, cwd=ROOT, env=processes.environment()).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
