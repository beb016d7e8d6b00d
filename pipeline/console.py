"""What is printed for people, and where the rest goes: the terminal and the log of a run."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Span, Text

from pipeline.escaping import on_terminal
from trainer.places import usable


class Terminal(Console):
    """rich's console for text from anywhere: no brackets are markup, and nothing that it prints is obeyed or hidden.

    Every string is one line, in `print` as in a table's cell; what a terminal would obey is shown as `on_terminal`
    writes it. Colours are given by `style`.
    """

    def __init__(self, file: IO[str] | None = None, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(file=file, stderr=stderr, width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """As rich's; it is asked for all strings, before they are measured and wrapped."""
        return super().render_str(on_terminal(text), **{**how, "markup": False, "emoji": False, "highlight": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's; of a Text as well, such as the bars of a progress display make, no character is obeyed."""
        return super().render(_written_out(renderable) if isinstance(renderable, Text) else renderable, options)

    def say(self, *lines: str) -> None:
        """Prints lines that are never broken, such as commands to copy."""
        for line in lines:
            self.print(line, soft_wrap=True)


def _written_out(text: Text) -> Text:
    if text.plain.isprintable():
        return text
    special = [place for place, character in enumerate(text.plain) if not character.isprintable()]
    parts = text.divide(sorted({*special, *(place + 1 for place in special)}))
    for part in parts:
        if not part.plain.isprintable():
            part.plain = on_terminal(part.plain)
            part.spans = [Span(0, len(part), span.style) for span in part.spans]
    whole = text.blank_copy()
    for part in parts:
        whole.append_text(part)
    return whole


def table(*headers: str, title: str | None = None) -> Table:
    """A table that breaks what does not fit, where rich's own cuts it off."""
    columns = (Column(header, overflow="fold") for header in headers)
    return Table(*columns, title=title, title_justify="left")


def say(*lines: str, stderr: bool = False) -> None:
    """Prints lines for people, none of them broken."""
    Terminal(stderr=stderr).say(*lines)


def complain(message: str) -> None:
    """Prints an error; its further lines are indented, so that none of them passes for a line of ours."""
    first, *rest = message.split("\n")
    terminal = Terminal(stderr=True)
    terminal.print(Text("error:", style="bold red"), first, soft_wrap=True)
    for line in rest:
        terminal.say(line if line.startswith("  ") else f"  {line}")


def say_json(value: Any) -> None:
    """Prints a value for programs."""
    print(json.dumps(value, indent=2))


def pass_on(text: str) -> None:
    """Prints lines that are not ours: as they are for programs and files, and harmless on a terminal."""
    for line in text.removesuffix("\n").split("\n"):
        print(on_terminal(line.expandtabs()) if sys.stdout.isatty() else line, flush=True)


@contextmanager
def quiet(log: Path, *, verbose: bool) -> Iterator[Terminal]:
    """Sends everything that libraries print to `log`, and gives the console that still reaches the terminal.

    TensorFlow's C++ code writes to the file descriptors, not to Python's streams, so those are what is turned round.
    With `verbose` nothing is hidden: messages go to the terminal and the log alike.
    """
    with usable(log, "set workspace to a folder that can be written"):
        log.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(log, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    with ExitStack() as stack:
        stack.callback(handler.close)
        stack.callback(setattr, root, "handlers", list(root.handlers))
        stack.callback(root.setLevel, root.level)
        root.setLevel(logging.INFO)
        root.handlers = [handler, logging.StreamHandler(sys.stderr)] if verbose else [handler]
        yield Terminal() if verbose else stack.enter_context(_redirected(log))


@contextmanager
def _redirected(log: Path) -> Iterator[Terminal]:
    """Turns the file descriptors of stdout and stderr round to `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    with ExitStack() as stack:
        file = stack.enter_context(open(log, "ab", buffering=0))
        terminal = stack.enter_context(
            os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding, errors="backslashreplace")
        )
        for descriptor in (1, 2):
            kept = os.dup(descriptor)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, descriptor)
            os.dup2(file.fileno(), descriptor)
        stack.callback(sys.stderr.flush)
        stack.callback(sys.stdout.flush)
        yield Terminal(terminal)


def announcer(terminal: Terminal) -> Callable[[str], None]:
    """A function that shows a sentence from any thread, also while a live display is drawn."""

    def announce(text: str) -> None:
        terminal.print(text, style="yellow")
        terminal.show_cursor()  # a live display hides it, and would not show it again if the process ended now

    return announce
