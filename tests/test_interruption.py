"""Signals that ask a run to stop: in real processes, in places where Python's KeyboardInterrupt gets lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from tests.support.processes import PATIENCE, wait_until_ended
from trainer import interruption

ROOT = Path(__file__).resolve().parents[1]

# {step} is what the main thread does when the signals come; "ready" says that they may.
RUN = """
import ctypes, os, signal, sqlite3, subprocess, sys, threading, time
from trainer import interruption
interruption.GRACE = float(sys.argv[1])
def say(text):
    os.write(1, f"{{text}}\\n".encode())  # in one piece, beside what the other thread says
try:
    with interruption.handled(say):
        say("ready")
{step}
        say("went on")
except interruption.Interrupted as interrupted:
    say("interrupted")
    interruption.end_at_once(interrupted.exit_code)
"""
CHECKING = """
        while True:
            time.sleep(0.01)
            interruption.check()
"""
NOT_CHECKING = """
        threading.Event().wait()
"""
# SQLite counts without end, in C, so that no handler of Python can run.
IN_A_LIBRARY = """
        count = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
        sqlite3.connect(":memory:").execute(count).fetchall()
"""
IN_A_FINALIZER = (
    """
        class Freed:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGINT)
        Freed()
"""
    + CHECKING
)
IN_A_CALLBACK = (
    """
        def compare(one, other):
            os.kill(os.getpid(), signal.SIGINT)
            return 0
        numbers = (ctypes.c_int * 2)(2, 1)
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        ctypes.CDLL(None).qsort(numbers, 2, 4, kind(compare))
"""
    + CHECKING
)
IN_A_STEP_OF_BEAM = """
        import apache_beam as beam
        def stop(element):
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                interruption.check()
        with beam.Pipeline(runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner") as pipeline:
            _ = pipeline | beam.Create([1]) | beam.Map(stop)
"""
CLEANING_UP = """
        try:
{interrupted}
        finally:
            end = time.monotonic() + 2
            while (left := end - time.monotonic()) > 0:
                time.sleep(left)
            say("cleaned up")
"""
SWALLOWING = """
        interruption.UNWINDING = 0.5
        try:
            threading.Event().wait()
        except interruption.Interrupted:
            say("swallowed")
        threading.Event().wait()
"""
AT_THE_END = """
        os.kill(os.getpid(), signal.SIGINT)
"""
WITH_CHILDREN = """
        grandchild = "import subprocess; subprocess.Popen(['sleep', '600']); print(1, flush=True); input()"
        child = subprocess.Popen([sys.executable, "-c", grandchild], stdin=-1, stdout=-1)
        child.stdout.readline()
        say(child.pid)
        while True:
            time.sleep(0.01)
"""


def start(step: str, grace: float = 3600, ignored: str = "") -> subprocess.Popen[bytes]:
    """A process that has begun with the step; ignored: the signals that it inherits to be ignored."""
    trap = f"trap '' {ignored};" if ignored else ""
    process = subprocess.Popen(
        ["sh", "-c", f'{trap} exec "$@"', "sh", sys.executable, "-c", RUN.format(step=step), str(grace)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,  # or lines that came with one that was read would be missing from those of `communicate`
    )
    assert line(process) == "ready"
    return process


def end(process: subprocess.Popen[bytes]) -> list[str]:
    """The lines that it prints until it ends."""
    shown, _ = process.communicate(timeout=PATIENCE)
    return shown.decode().splitlines()


def line(process: subprocess.Popen[bytes]) -> str:
    """The next one that it prints."""
    assert process.stdout is not None
    return process.stdout.readline().decode().rstrip("\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_acknowledged_and_raised_at_the_next_check(number):
    process = start(CHECKING)
    process.send_signal(number)
    first, last = end(process)
    assert first.startswith("Stopping after this step")
    assert last == "interrupted"
    assert process.returncode == 128 + number


@pytest.mark.parametrize("step", [IN_A_FINALIZER, IN_A_CALLBACK], ids=["finalizer", "callback"])
def test_a_signal_is_not_lost_where_python_swallows_exceptions(step):
    process = start(step)
    assert end(process)[-1] == "interrupted"
    assert process.returncode == 130


def test_it_comes_out_of_beam_as_what_it_is():
    process = start(IN_A_STEP_OF_BEAM)
    assert end(process)[-1] == "interrupted"
    assert process.returncode == 130


def test_a_signal_is_not_lost_in_the_last_step():
    process = start(AT_THE_END)
    shown = end(process)
    assert "went on" in shown
    assert shown[-1] == "interrupted"
    assert process.returncode == 130


@pytest.mark.parametrize("step", [NOT_CHECKING, IN_A_LIBRARY], ids=["waiting", "in a library"])
def test_a_second_signal_ends_at_once(step):
    process = start(step)
    process.send_signal(signal.SIGINT)
    assert line(process) == "Stopping after this step; press Ctrl-C again to stop at once."
    process.send_signal(signal.SIGINT)
    assert end(process) == ["Stopped at once."]
    assert process.returncode == 130


def test_a_step_that_never_checks_is_interrupted_after_a_while():
    process = start(NOT_CHECKING, grace=0.1)
    process.send_signal(signal.SIGTERM)
    assert end(process)[-1] == "interrupted"
    assert process.returncode == 143


@pytest.mark.parametrize("interrupted", [NOT_CHECKING, CHECKING], ids=["by the alarm", "by a check"])
def test_what_cleans_up_is_not_interrupted_again(interrupted):
    process = start(CLEANING_UP.format(interrupted=textwrap.indent(interrupted, "    ")), grace=0.2)
    process.send_signal(signal.SIGINT)
    assert end(process)[-2:] == ["cleaned up", "interrupted"]
    assert process.returncode == 130


def test_where_it_was_swallowed_it_is_raised_again_later():
    process = start(SWALLOWING, grace=0.1)
    process.send_signal(signal.SIGINT)
    assert end(process)[-2:] == ["swallowed", "interrupted"]


def test_a_handler_that_python_does_not_know_is_no_obstacle():
    # which C code has installed before Python starts; here it is an earlier import's
    code = """
import signal, sys
del sys.modules["signal"], sys.modules["_signal"]
import signal
assert signal.getsignal(signal.SIGINT) is None
from trainer import interruption
with interruption.handled(print):
    print("inside")
assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
"""
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "inside\n"


def test_what_a_process_started_ends_with_it():
    process = start(WITH_CHILDREN)
    child = Path("/proc", line(process))
    grandchildren = [Path("/proc", pid) for pid in (child / "task" / child.name / "children").read_text().split()]
    assert len(grandchildren) == 1
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        line(process)
    end(process)
    wait_until_ended(child, *grandchildren)


def test_a_signal_that_is_ignored_from_the_start_stays_ignored():
    process = start(CHECKING, ignored="INT")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert end(process) == ["Stopping after this step, as SIGTERM asks; a second signal stops at once.", "interrupted"]
    assert process.returncode == 143


def test_only_the_main_thread_is_interrupted_and_all_is_as_before_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    raised: list[BaseException] = []

    def work() -> None:
        try:
            interruption.check()
        except BaseException as error:
            raised.append(error)

    def interrupt() -> None:
        said = threading.Event()
        with interruption.handled(lambda text: said.set()):
            os.kill(os.getpid(), signal.SIGTERM)
            assert said.wait(PATIENCE)
            worker = threading.Thread(target=work)
            worker.start()
            worker.join()
            assert raised == []
            interruption.check()

    with pytest.raises(interruption.Interrupted, match="stopped by SIGTERM"):
        interrupt()
    interruption.check()  # outside
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == before
    assert signal.set_wakeup_fd(-1) == -1
