"""Ctrl-C and SIGTERM during a run: remembered at once, raised where nothing swallows them.

Python raises KeyboardInterrupt wherever the main thread happens to be. In a finalizer, or in a callback of a C library,
it is lost there or becomes another error. So a first signal is only noted; the loops of a run `check` for it between
two steps. A second one ends the process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from trainer import processes

GRACE = 3.0  # seconds: in what takes longer and does not check, it is raised wherever the main thread then is
UNWINDING = 30.0  # seconds: what cleans up after it was raised has that long before it is raised there again
_FIRST = {
    signal.SIGINT: "Stopping after this step; press Ctrl-C again to stop at once.",
    signal.SIGTERM: "Stopping after this step, as SIGTERM asks; a second signal stops at once.",
}
_SECOND = "Stopped at once."
_OVER = b"\0"  # no signal has this number
_LAST_WORDS = 1.0  # seconds


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to stop.

    Args:
      message: comes first, as Beam makes an exception anew with the step's name added to it.
      number: of the signal.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message, number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As shells report a process that the signal ended."""
        return 128 + self.number


class _Watch:
    """Reads the numbers of signals that C code writes into a pipe, also while Python can't run a handler.

    The main thread may be in a library's code for minutes.
    """

    def __init__(self, say: Callable[[str], None]):
        self._say = say
        self._speaker: threading.Thread | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._due = 0.0  # when it is raised wherever the main thread then is, by time.monotonic()
        self.number: int | None = None

    def __enter__(self) -> _Watch:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        # who is started by nohup, or in the background by a script, inherits which signals are to be ignored
        heeded = [number for number in _FIRST if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, _note) for number in heeded}
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._raise)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        os.write(self._writing, _OVER)
        self._thread.join()
        for number, handler in self._before.items():
            # Python knows none where C code had installed one, and does not take None back
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._wakeup_before)
        with contextlib.suppress(BlockingIOError):
            self._take(os.read(self._reading, 64))  # what came after the thread had ended
        self._wait_for_the_speaker()
        os.close(self._writing)
        os.close(self._reading)

    def check(self) -> None:
        if self.number is not None:
            # or it would be raised in the `finally` blocks that it comes to, too
            self._due = time.monotonic() + UNWINDING
            raise Interrupted(f"stopped by {signal.Signals(self.number).name}", self.number)

    def _raise(self, *_: object) -> None:
        if not self._is_over and time.monotonic() >= self._due:  # it may have been raised since the alarm was sent
            self.check()

    def _listen(self) -> None:
        while True:
            grace = None if self.number is None else GRACE
            if not select.select([self._reading], [], [], grace)[0]:
                if time.monotonic() >= self._due:
                    # a signal, and not an exception set from here, so that system calls that wait return too
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
            elif not self._take(os.read(self._reading, 64)):
                return

    def _take(self, numbers: bytes) -> bool:
        """Heeds signals; false when it is over."""
        for number in numbers:
            if number in self._before and number != signal.SIGALRM:
                if self.number is not None:
                    self._speak(_SECOND)
                    self._wait_for_the_speaker()
                    end_at_once(128 + number)
                self._due = time.monotonic() + GRACE
                self.number = number
                self._speak(_FIRST[signal.Signals(number)])
        return _OVER[0] not in numbers

    def _speak(self, text: str) -> None:
        """In a thread of its own: whoever holds the terminal's lock may hold it for long."""
        self._speaker = threading.Thread(target=self._say, args=(text,), daemon=True)
        self._speaker.start()

    def _wait_for_the_speaker(self) -> None:
        if self._speaker is not None:
            self._speaker.join(_LAST_WORDS)


_watch: _Watch | None = None


@contextlib.contextmanager
def handled(say: Callable[[str], None]) -> Iterator[None]:
    """Within it, in the main thread, the first signal is noted and the second one ends the process.

    Args:
      say: shows a sentence; it is called in another thread.

    Raises:
      Interrupted: a signal came, at the latest when the block is over.
    """
    global _watch
    before = _watch
    _watch = watch = _Watch(say)
    try:
        with watch:
            yield
    finally:
        _watch = before
    watch.check()


def requested() -> bool:
    """Whether a signal came; false outside `handled`."""
    return _watch is not None and _watch.number is not None


def check() -> None:
    """To be called between two steps of what may take long; outside `handled`, and in other threads, it does nothing.

    Raises:
      Interrupted: a signal came.
    """
    if _watch is not None and threading.current_thread() is threading.main_thread():
        _watch.check()


def end_at_once(code: int) -> NoReturn:
    """Ends this process and those it started, and waits for no thread."""
    processes.end_descendants()
    os._exit(code)


def _note(*_: object) -> None:
    """In place of a handler that raises: Python writes the number into the pipe only of signals that have one."""
