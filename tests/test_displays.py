"""What long steps are at, on a terminal and in redirected output."""

from __future__ import annotations

import io
import logging
import re
import threading

import pytest

from pipeline.console import Terminal
from pipeline.displays import RunDisplay, working
from trainer.progress import Progress, report


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def terminal() -> Terminal:
    return Terminal(io.StringIO(), width=80)


def lines(terminal: Terminal) -> list[str]:
    return terminal.file.getvalue().splitlines()


def test_several_components_can_run_at_once(terminal, time):
    with RunDisplay(terminal, clock=time) as display:
        display.started("Trainer")
        time.now += 60
        display.started("Challengers")
        display.advance(3, 20, "boosted trees")
        time.now += 30
        display.steps.say()
        display.finished("Challengers", 2.0, cached=False)
        display.failed("Trainer", 1.0)
        display.steps.say()  # nothing is under way
        display.finished("Pusher", 0.0, cached=True)  # over before it was seen to run
    assert lines(terminal) == [
        "… Trainer: 90 s so far",
        "… Challengers: 30 s so far, 3 of 20, boosted trees",
        "✓ Challengers      2.0 s",
        "✗ Trainer          failed after 1.0 s",
        "✓ Pusher           cached",
    ]


def test_a_line_says_what_a_component_reports(terminal, time, caplog):
    caplog.set_level(logging.INFO)  # as in a run, whose log keeps it
    with RunDisplay(terminal, clock=time) as display, display.step("Trainer"):
        report(Progress("Trainer", 12, 30, "average precision 0.801 on eval"))
        time.now += 60
        display.steps.say()
        display.advance(30_000_000, 150_000_000, "fetching creditcard.csv")
        display.steps.say()
    assert lines(terminal) == [
        "… Trainer: 60 s so far, 12 of 30, average precision 0.801 on eval",
        "… Trainer: 60 s so far, 20 %, fetching creditcard.csv",
        "✓ Trainer          60.0 s",
    ]


def test_a_step_that_raises_is_shown_as_failed(terminal, time):
    def fetch(display: RunDisplay) -> None:
        with display.step("data"):
            time.now += 2.5
            raise KeyError

    with RunDisplay(terminal, clock=time) as display, pytest.raises(KeyError):
        fetch(display)
    assert lines(terminal) == ["✗ data             failed after 2.5 s"]


def test_a_step_that_is_interrupted_is_shown_as_stopped(terminal, time):
    def fetch(display: RunDisplay) -> None:
        with display.step("data"):
            time.now += 2.5
            raise KeyboardInterrupt

    with RunDisplay(terminal, clock=time) as display, pytest.raises(KeyboardInterrupt):
        fetch(display)
    assert lines(terminal) == ["✗ data             stopped after 2.5 s"]


class Waiting(io.StringIO):
    """Redirected output; `lines` is released for each line that comes."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = threading.Semaphore(0)

    def write(self, text: str) -> int:
        for _ in range(text.count("\n")):
            self.lines.release()
        return super().write(text)


def test_redirected_output_hears_of_a_long_step_again_and_again():
    output = Waiting()
    with working(Terminal(output, width=80), every=0.001) as on_progress:
        on_progress("fetching creditcard.csv", 15, 60)
        assert all(output.lines.acquire(timeout=60) for _ in range(3))
        on_progress("inferring the schema", 0, 0)
        lines = output.getvalue().count("\n")
        assert all(output.lines.acquire(timeout=60) for _ in range(lines))  # what was said before, and three lines more
    first, *_, last = output.getvalue().splitlines()
    assert re.fullmatch(r"… fetching creditcard\.csv: \d+ s so far, 15 of 60", first)
    assert re.fullmatch(r"… inferring the schema: \d+ s so far", last)


def test_a_short_step_says_nothing_in_redirected_output(terminal):
    with working(terminal) as on_progress:
        on_progress("fetching creditcard.csv", 15, 60)
    assert lines(terminal) == []
