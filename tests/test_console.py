"""The terminal and the log of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

NOISY = """
import logging, os, sys
from pathlib import Path
from pipeline.console import quiet
from pipeline.displays import RunDisplay
from trainer.progress import Progress, report
with quiet(Path(sys.argv[1]), verbose=sys.argv[2] == "verbose") as console:
    with RunDisplay(console) as display:
        display.started("Trainer")
        os.write(2, b"noise of C++ code\\n")
        print("noise of a library", flush=True)
        logging.getLogger("some.library").info("a logged message")
        report(Progress("Trainer", 3, 20, "average precision 0.8"))
        display.finished("Trainer", 1.25, cached=False)
        display.started("Pusher")
        display.finished("Pusher", 0.01, cached=True)
    console.print("for the user")
print("after")
"""


# Two signals while a component runs, the second once the first was answered.
STOPPED = """
import os, signal, sys, time
from pathlib import Path
from pipeline.console import announcer, quiet
from pipeline.displays import RunDisplay
from trainer import interruption
with quiet(Path(sys.argv[1]), verbose=False) as console, interruption.handled(announcer(console)):
    with RunDisplay(console) as display:
        display.started("Trainer")
        os.kill(os.getpid(), signal.SIGINT)
        while not interruption.requested():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
"""


def show_on_a_terminal(log: Path, code: str = NOISY, exit_code: int = 0) -> str:
    """What a real terminal (a pseudo one) receives."""
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(log), "quiet"],
        cwd=ROOT,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(slave)
    received = b""
    try:
        while part := os.read(master, 4096):
            received += part
    except OSError:
        pass  # how Linux says that the other end is closed
    os.close(master)
    assert process.wait(timeout=30) == exit_code
    return received.decode()


def show(log: Path, how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", NOISY, str(log), how],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def test_noise_goes_to_the_log_and_the_components_to_the_terminal(tmp_path):
    shown = show(tmp_path / "logs" / "run.log", "quiet")
    assert "noise" not in shown
    assert [line.split() for line in shown.splitlines() if line] == [
        ["✓", "Trainer", "1.2", "s"],
        ["✓", "Pusher", "cached"],
        ["for", "the", "user"],
        ["after"],
    ]
    log = (tmp_path / "logs" / "run.log").read_text()
    assert "noise of C++ code" in log
    assert "noise of a library" in log
    assert "INFO some.library: a logged message" in log
    assert "Trainer 3/20 average precision 0.8" in log


def test_on_a_terminal_the_bar_is_drawn_and_the_noise_still_goes_to_the_log(tmp_path):
    shown = show_on_a_terminal(tmp_path / "run.log")
    assert "noise" not in shown
    assert "for the user" in shown
    assert "━" in shown
    log = (tmp_path / "run.log").read_text()
    assert "noise of C++ code" in log
    assert "noise of a library" in log


def test_a_run_that_is_stopped_at_once_says_so_and_gives_the_cursor_back(tmp_path):
    shown = show_on_a_terminal(tmp_path / "run.log", STOPPED, exit_code=130)
    assert "Stopping after this step; press Ctrl-C again to stop at once." in shown
    assert "Stopped at once." in shown
    hidden, shown_again = "\x1b[?25l", "\x1b[?25h"
    assert shown.rfind(hidden) < shown.rfind(shown_again)


def test_verbose_hides_nothing(tmp_path):
    shown = show(tmp_path / "run.log", "verbose")
    for text in ("noise of C++ code", "noise of a library", "a logged message", "for the user"):
        assert text in shown


CLOSING = """
import os, resource, sys
from pathlib import Path
from pipeline.console import quiet
def descriptors():
    return len(os.listdir("/proc/self/fd"))
log = Path(sys.argv[1])
before = descriptors()
for verbose in (True, False):
    with quiet(log, verbose=verbose):
        pass
assert descriptors() == before
# allows some of the files that are opened, one more each time
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
failures = 0
for room in range(1, 6):
    resource.setrlimit(resource.RLIMIT_NOFILE, (before - 1 + room, most))
    try:
        with quiet(log, verbose=False):
            pass
    except OSError:
        failures += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    assert descriptors() == before, room
assert failures == 4, failures
print("closed")
"""


def test_the_log_is_closed_also_where_opening_one_of_its_files_fails(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CLOSING, str(tmp_path / "run.log")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("closed\n", "")
