"""What long steps are at: drawn on a terminal, and said in a line now and then where output goes elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TimeElapsedColumn
from rich.text import Text

from pipeline.console import Terminal
from pipeline.escaping import on_terminal
from trainer import progress

EVERY = 30.0  # seconds between two lines, where nothing is drawn

OnProgress = Callable[[str, int, int], None]  # what is being done, how much of it is, of how much (0: not known)
Clock = Callable[[], float]


class StepsUnderWay:
    """Named steps: a spinner, the elapsed time and a bar for each on a terminal, else a line every so many seconds."""

    def __init__(self, console: Terminal, *, every: float = EVERY, clock: Clock = time.monotonic) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            _Words(lambda task: f"{task.description:<16}"),
            TimeElapsedColumn(),
            BarColumn(bar_width=24),
            _Words(lambda task: task.fields["detail"]),
            console=console,
            transient=True,
            get_time=clock,
            # on a terminal, rich would take what libraries print back from the log and show it above the bar
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._steps: dict[str, TaskID] = {}  # the latest last; on a cluster several at once
        self._every, self._clock = every, clock
        self._last_line = clock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._say_now_and_then, name="steps under way", daemon=True)

    def __enter__(self) -> StepsUnderWay:
        if self._console.is_interactive:
            self._progress.start()
        else:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_interactive:
            self._progress.stop()
        else:
            self._ended.set()
            self._thread.join()

    def __contains__(self, name: object) -> bool:
        return name in self._steps

    def begin(self, name: str) -> None:
        self._steps[name] = self._progress.add_task(name, total=None, detail="")

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """Of the latest step; total: 0 where it is not known."""
        if self._steps:
            latest = next(reversed(self._steps.values()))
            self._progress.update(latest, completed=done, total=total or None, detail=detail)

    def end(self, name: str) -> None:
        if name in self._steps:
            self._progress.remove_task(self._steps.pop(name))

    def print(self, *parts: str | Text) -> None:
        """A line about a step that ended; the next one about those under way can wait."""
        self._last_line = self._clock()
        self._console.print(*parts)

    def say(self) -> None:
        """A line for each step that is under way."""
        self._last_line = self._clock()
        for task in self._progress.tasks:
            self._console.say(f"… {_in_words(task)}")

    def _say_now_and_then(self) -> None:
        while not self._ended.wait(max(0.0, self._last_line + self._every - self._clock())):
            if self._clock() >= self._last_line + self._every:
                self.say()


class _Words(ProgressColumn):
    """A column of plain text; rich's own takes brackets for markup."""

    def __init__(self, words: Callable[[Task], str]) -> None:
        super().__init__()
        self._words = words

    def render(self, task: Task) -> Text:
        return Text(on_terminal(self._words(task)))


def _in_words(task: Task) -> str:
    """Trainer: 60 s so far, 12 of 30, average precision 0.801 on eval"""
    if not task.total:
        how_much = ""
    elif task.total <= 1000:
        how_much = f"{task.completed:,.0f} of {task.total:,.0f}"
    else:  # bytes or rows
        how_much = f"{task.percentage:.0f} %"
    so_far = f"{task.elapsed or 0.0:.0f} s so far"
    return f"{task.description}: " + ", ".join(filter(None, (so_far, how_much, task.fields["detail"])))


class RunDisplay(logging.Handler):
    """The components of a run: a line for each that has ended, and what those under way are at."""

    def __init__(self, console: Terminal, *, every: float = EVERY, clock: Clock = time.monotonic):
        super().__init__()
        self.steps = StepsUnderWay(console, every=every, clock=clock)
        self._clock = clock
        self._start = clock()

    def __enter__(self) -> RunDisplay:
        progress.logger.addHandler(self)
        self.steps.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.steps.__exit__(kind, error, trace)
        progress.logger.removeHandler(self)

    @property
    def seconds(self) -> float:
        """Since the display was made."""
        return self._clock() - self._start

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Shows what happens within as a component of the run."""
        start = self._clock()
        self.started(name)
        try:
            yield
        except BaseException as error:
            end = self.stopped if isinstance(error, KeyboardInterrupt) else self.failed
            end(name, self._clock() - start)
            raise
        self.finished(name, self._clock() - start, cached=False)

    def started(self, component: str) -> None:
        self.steps.begin(component)

    def finished(self, component: str, seconds: float | None, *, cached: bool) -> None:
        """seconds: None where they are not known."""
        took = "done" if seconds is None else f"{seconds:.1f} s"
        self._end(Text("✓", style="green"), component, "cached" if cached else took)

    def failed(self, component: str, seconds: float) -> None:
        self._end(Text("✗", style="red"), component, f"failed after {seconds:.1f} s")

    def stopped(self, component: str, seconds: float) -> None:
        self._end(Text("✗", style="yellow"), component, f"stopped after {seconds:.1f} s")

    def _end(self, mark: Text, component: str, how: str) -> None:
        self.steps.end(component)
        self.steps.print(mark, f"{component:<16} {how}")

    def emit(self, record: logging.LogRecord) -> None:
        """Progress reports of the component that runs."""
        reported = getattr(record, "progress", None)
        if reported is not None:
            self.advance(reported.done, reported.total, reported.detail)

    def advance(self, done: int, total: int, detail: str) -> None:
        self.steps.advance(done, total, detail)


@contextmanager
def working(console: Terminal, *, every: float = EVERY) -> Iterator[OnProgress]:
    """Shows one step after the other, as `on_progress(what, done, total)` names them."""
    with StepsUnderWay(console, every=every) as steps:
        latest = ""

        def on_progress(what: str, done: int = 0, total: int = 0) -> None:
            nonlocal latest
            if what != latest:
                steps.end(latest)
                steps.begin(what)
                latest = what
            steps.advance(done, total)

        yield on_progress
