"""Processes that end with the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import PATIENCE, wait_until_ended

ROOT = Path(__file__).resolve().parents[1]

# A process that starts another and says its number; the other one prints into the file.
PARENT = """
import sys, time
from trainer import processes
with open(sys.argv[1], "wb") as output:
    child = processes.start("timeit", ["-n", "1", "-r", "1", "import time; time.sleep(600)"], output)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_process_ends_with_its_parent_however_that_one_ends(tmp_path, number):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "output")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    child = Path("/proc", parent.stdout.readline().strip())
    os.kill(parent.pid, number)
    parent.communicate(timeout=PATIENCE)
    wait_until_ended(child)


def test_a_process_whose_parent_is_gone_already_ends(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    program = [sys.executable, "-m", "trainer.processes", str(gone.pid), "timeit", "1"]
    assert subprocess.run(program, cwd=ROOT, timeout=PATIENCE).returncode == 1
