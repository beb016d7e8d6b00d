"""Processes that tests start, and what becomes of them."""

from __future__ import annotations

import time
from pathlib import Path

PATIENCE = 60  # seconds


def wait_until_ended(*processes: Path) -> None:
    """processes: their folders in /proc."""
    deadline = time.monotonic() + PATIENCE
    while running := [one for one in processes if is_running(one)]:
        assert time.monotonic() < deadline, running
        time.sleep(0.01)


def is_running(process: Path) -> bool:
    """process: its folder in /proc; one that nobody has waited for yet has ended all the same."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
