"""The terminal and the log of a run."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from trainer import progress


@contextmanager
def quiet(log: Path, *, verbose: bool) -> Iterator[Console]:
    """Sends everything that libraries print to `log`, and gives the console that still reaches the terminal.

    TensorFlow's C++ code writes to the file descriptors, not to Python's streams, so those are what is turned round.
    With `verbose` nothing is hidden: messages go to the terminal and the log alike.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    root.setLevel(logging.INFO)
    root.handlers = [handler, logging.StreamHandler(sys.stderr)] if verbose else [handler]
    if verbose:
        try:
            yield Console()
        finally:
            root.setLevel(level)
            root.handlers = handlers
        return
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(log, "ab", buffering=0) as file, os.fdopen(os.dup(1), "w") as terminal:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield Console(file=terminal)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip((1, 2), kept, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
            root.setLevel(level)
            root.handlers = handlers


class RunDisplay(logging.Handler):
    """A line for each component: a spinner and the elapsed time while it runs, a bar where it reports progress."""

    def __init__(self, console: Console):
        super().__init__()
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<16}"),
            TimeElapsedColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            console=console,
            transient=True,
            # on a terminal, rich would take what libraries print back from the log and show it above the bar
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._running: dict[str, TaskID] = {}  # on a cluster several at once
        self._start = time.monotonic()

    def __enter__(self) -> RunDisplay:
        progress.logger.addHandler(self)
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        progress.logger.removeHandler(self)

    @property
    def seconds(self) -> float:
        """Since the display was made."""
        return time.monotonic() - self._start

    def started(self, component: str) -> None:
        self._running[component] = self._progress.add_task(component, total=None, detail="")

    def finished(self, component: str, seconds: float | None, *, cached: bool) -> None:
        """seconds: None where they are not known."""
        known = "done" if seconds is None else f"{seconds:.1f} s"
        self._end("[green]✓[/]", component, "cached" if cached else known)

    def failed(self, component: str, seconds: float) -> None:
        self._end("[red]✗[/]", component, f"failed after {seconds:.1f} s")

    def _end(self, mark: str, component: str, how: str) -> None:
        if component in self._running:
            self._progress.remove_task(self._running.pop(component))
        self._console.print(f"{mark} {component:<16} {how}", highlight=False)

    def emit(self, record: logging.LogRecord) -> None:
        """Progress reports of the component that runs."""
        reported = getattr(record, "progress", None)
        if reported is not None:
            self.advance(reported.done, reported.total, reported.detail)

    def advance(self, done: int, total: int, detail: str) -> None:
        if self._running:
            latest = next(reversed(self._running.values()))
            self._progress.update(latest, completed=done, total=total or None, detail=detail)
