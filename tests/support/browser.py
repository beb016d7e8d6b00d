"""A real Chromium without a window, driven by its DevTools protocol over two pipes.

The protocol needs no driver that has to fit the browser's version, no port and no package:
https://chromedevtools.github.io/devtools-protocol/.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_WAIT = 30.0  # seconds; a machine with other work on it starts Chromium slowly
_TALLEST = 8000  # pixels; what is below that in a picture of a whole page repeats what is above it
_PHONE = 600  # CSS pixels; narrower pages are shown as a phone shows them, which follows the page's viewport tag
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}
_INSIDE = {"about", "blob", "chrome-error", "data", "file"}

# Chromium reads commands from descriptor 3 and answers on 4.
_START = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_ARGUMENTS = (
    *("--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-extensions", "--disable-dev-shm-usage"),
    "--no-sandbox",  # which root and most containers lack; the pages are this project's own
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"),
    # no name but this machine's is known: what a page asks of others is recorded, and fails
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    # WebGL without a graphics card, for Plotly's parallel coordinates
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--force-color-profile=srgb"),
)


class JavaScriptError(Exception):
    """An expression that a test evaluated in a page threw something."""


def executable() -> str | None:
    """The Chromium on the PATH, or None; one from a snap does not count, since it can't see the tests' files."""
    for path in filter(None, map(shutil.which, NAMES)):
        version = subprocess.run([path, "--version"], capture_output=True, timeout=_WAIT)
        if version.returncode == 0 and "/snap" not in os.path.realpath(path):
            return path
    return None


class Browser:
    """A running Chromium; `with browser.page(width=390, scheme="dark") as page:` opens a page in it."""

    def __init__(self, path: str):
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        read_commands, self._commands = os.pipe()
        self._answers, write_answers = os.pipe()
        start = (sys.executable, "-I", "-c", _START, str(read_commands), str(write_answers))
        self._process = subprocess.Popen(
            [*start, path, *_ARGUMENTS, f"--user-data-dir={self._profile}"],
            pass_fds=(read_commands, write_answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_commands)
        os.close(write_answers)
        self._last = 0
        self._rest = b""
        self._results: dict[int, dict[str, Any]] = {}
        self._pages: dict[str, Page] = {}  # by the sessions of the page, its frames and its workers
        try:
            self.version = str(self.send("Browser.getVersion")["product"])
        except BaseException:
            self.close()
            raise

    @contextmanager
    def page(self, width: int = 1400, height: int = 900, scheme: str = "light") -> Iterator[Page]:
        """An empty page with no history and no cookies; `width` and `height` in CSS pixels, `scheme` light or dark."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        try:
            target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
            session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            yield Page(self, session, width, height, scheme)
        finally:
            self.send("Target.disposeBrowserContext", browserContextId=context)

    def close(self) -> None:
        try:
            self.post("Browser.close")
            self._process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        finally:
            os.close(self._commands)
            os.close(self._answers)
            shutil.rmtree(self._profile, ignore_errors=True)

    def send(
        self, method: str, session: str | None = None, seconds: float = _WAIT, **parameters: Any
    ) -> dict[str, Any]:
        """Sends a command of the protocol and returns its result.

        Raises:
          RuntimeError: Chromium refuses it; TimeoutError: no answer within `seconds`.
        """
        number = self.post(method, session, **parameters)
        end = time.monotonic() + seconds
        while number not in self._results:
            if time.monotonic() > end:
                raise TimeoutError(f"Chromium gave no answer to {method} within {seconds:.0f} s")
            self.listen(end)
        answer = self._results.pop(number)
        if "error" in answer:
            raise RuntimeError(f"Chromium refuses {method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def post(self, method: str, session: str | None = None, **parameters: Any) -> int:
        """Sends a command without waiting for its answer, whose number it returns."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        unsent = memoryview(json.dumps(message).encode() + b"\0")
        while unsent:
            unsent = unsent[os.write(self._commands, unsent) :]
        return self._last

    def listen(self, end: float) -> None:
        """Handles messages from Chromium, and waits for them until `end` at the latest."""
        if not select.select([self._answers], [], [], max(0.0, end - time.monotonic()))[0]:
            return
        read = os.read(self._answers, 1 << 20)
        if not read:
            raise RuntimeError(f"Chromium ended by itself, with exit status {self._process.wait()}")
        *whole, self._rest = (self._rest + read).split(b"\0")
        for text in whole:
            message = json.loads(text)
            if "id" in message:
                self._results[message["id"]] = message
            elif page := self._pages.get(message.get("sessionId", "")):
                page.handle_event(message["sessionId"], message["method"], message["params"])

    def tell(self, session: str, page: Page) -> None:
        """Sends the events of `session` to `page` from now on."""
        self._pages[session] = page


class Page:
    """A page: what it asked of the network and what went wrong in it is in `requests` and `errors`.

    requests: the addresses asked for, in order, those of frames and workers too; errors: exceptions that nothing
    caught, `console.error`, and what Chromium itself logs as an error, such as a file that did not load.
    """

    def __init__(self, browser: Browser, session: str, width: int, height: int, scheme: str):
        self._browser = browser
        self._session = session
        self._loaded: set[str] = set()
        self.requests: list[str] = []
        self.errors: list[str] = []
        browser.tell(session, self)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")
        self._send("Page.setLifecycleEventsEnabled", enabled=True)
        self._follow(session)
        self.resize(width, height)
        self.scheme(scheme)

    def open(self, where: str | Path) -> Page:
        """Loads a file, or an address, and waits until it is loaded and drawn, a report with all its plots."""
        address = where.resolve().as_uri() if isinstance(where, Path) else where
        answer = self._send("Page.navigate", url=address)
        if answer.get("errorText"):
            raise RuntimeError(f"Chromium cannot open {address}: {answer['errorText']}")
        if loader := answer.get("loaderId"):
            self.wait_until(lambda: loader in self._loaded, f"{address} is loaded")
        self.wait_for("!document.querySelector('.plot .drawing') || document.documentElement.dataset.plots")
        self.drawn()
        return self

    def resize(self, width: int, height: int = 900) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < _PHONE}
        self._send("Emulation.setDeviceMetricsOverride", **size)

    def scheme(self, scheme: str) -> None:
        """light or dark, as the reader's system prefers it."""
        self._send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited, and values that JSON lacks become None or {}."""
        answer = self._send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if details := answer.get("exceptionDetails"):
            raise JavaScriptError(_thrown(details))
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = _WAIT) -> Any:
        """The value of the expression as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds:.0f} s: {expression}")
            self._browser.listen(min(end, time.monotonic() + 0.05))
        return value

    def wait_until(self, reached: Callable[[], bool], what: str = "what is waited for", seconds: float = _WAIT) -> None:
        """Waits until `reached` finds what it looks for in `requests` or `errors`."""
        end = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds:.0f} s: {what}")
            self._browser.listen(end)

    def drawn(self) -> None:
        """Waits for two frames, so that changes show."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def text(self, selector: str = "body") -> str:
        """The visible text of the first element that matches."""
        return str(self.evaluate(f"{_element(selector)}.innerText"))

    def texts(self, selector: str) -> list[str]:
        """The visible texts of all elements that match, of which there may be none."""
        texts = f"[...document.querySelectorAll({json.dumps(selector)})].map(one => one.innerText)"
        return list(self.evaluate(texts))

    def style(self, selector: str, name: str) -> str:
        """A computed property, such as `background-color`."""
        return str(self.evaluate(f"getComputedStyle({_element(selector)})[{json.dumps(name)}]"))

    def fill(self, selector: str, value: object) -> None:
        """Gives a slider, a field or a list a value, as a reader does: the page hears `input` and `change`."""
        self.evaluate(
            f"(() => {{ const one = {_element(selector)}; one.value = {json.dumps(str(value))};"
            " for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind, {bubbles: true})); })()"
        )
        self.drawn()

    def click(self, selector: str) -> None:
        """A click of the mouse at the middle of the element, scrolled into sight."""
        where = self.evaluate(
            f"(() => {{ const one = {_element(selector)}; one.scrollIntoView({{block: 'center'}});"
            " const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        spot = {"x": where[0], "y": where[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self._send("Input.dispatchMouseEvent", type=kind, **spot)
        self.drawn()

    def press(self, key: str) -> None:
        """A key, such as `Tab`, `ArrowRight` or `a`, on what has the focus."""
        known = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39}
        known |= {"ArrowDown": 40, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36}
        typed = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        both = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": known.get(key, 0)}
        self._send("Input.dispatchKeyEvent", type="keyDown", text=typed, **both)
        self._send("Input.dispatchKeyEvent", type="keyUp", **both)
        self.drawn()

    def screenshot(self, path: Path, *, whole: bool = False) -> Path:
        """A PNG of what is in sight, or of the whole page, down to 8000 pixels."""
        answer = self._send("Page.captureScreenshot", captureBeyondViewport=whole, **self._extent(whole))
        path.write_bytes(base64.b64decode(answer["data"]))
        return path

    def _extent(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self._send("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {**size, "height": min(size["height"], _TALLEST), "scale": 1}}

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than its window; 0 where all fits."""
        return int(
            self.evaluate(
                "(root => Math.max(root.scrollWidth, document.body.scrollWidth) - root.clientWidth)"
                "(document.documentElement)"
            )
        )

    @property
    def too_wide(self) -> list[str]:
        """The innermost elements that reach out of the window, not within one that scrolls, for a message."""
        tags: list[str] = self.evaluate(
            "(all => all.filter(one => !all.some(other => other !== one && one.contains(other)))"
            "  .map(one => one.outerHTML.slice(0, 120)))"
            "([...document.body.querySelectorAll('*')].filter(one => {"
            " const box = one.getBoundingClientRect();"
            " const right = Math.max(box.right, box.left + one.scrollWidth);"
            " if (right <= document.documentElement.clientWidth + 1) return false;"
            " for (let up = one; up !== document.body; up = up.parentElement)"
            "  if (getComputedStyle(up).overflowX !== 'visible') return false;"
            " return true; }))"
        )
        return tags

    @property
    def outside(self) -> list[str]:
        """The requests that go to another machine; none of them gets there."""
        return [address for address in self.requests if not _stays(address)]

    def handle_event(self, session: str, event: str, details: dict[str, Any]) -> None:
        """Records an event of the protocol."""
        if event == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"])
        elif event == "Network.webSocketCreated":
            self.requests.append(details["url"])
        elif event == "Runtime.exceptionThrown":
            self.errors.append(_thrown(details["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and details["type"] in ("error", "assert"):
            texts = [str(one.get("value", one.get("description", ""))) for one in details["args"]]
            self.errors.append(" ".join(texts))
        elif event == "Log.entryAdded" and details["entry"]["level"] == "error":
            self.errors.append(f"{details['entry']['text']} {details['entry'].get('url', '')}".strip())
        elif event == "Page.lifecycleEvent" and details["name"] == "load":
            self._loaded.add(details["loaderId"])
        elif event == "Target.attachedToTarget":
            # a frame or a worker, which waits until it is let go, so that nothing of it is missed
            inner = details["sessionId"]
            self._browser.tell(inner, self)
            for domain in ("Runtime", "Log", "Network"):
                self._browser.post(f"{domain}.enable", inner)
            self._follow(inner)
            self._browser.post("Runtime.runIfWaitingForDebugger", inner)

    def _follow(self, session: str) -> None:
        options = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self._browser.post("Target.setAutoAttach", session, **options)

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.send(method, self._session, **parameters)


def _element(selector: str) -> str:
    """JavaScript for the first element that matches; it throws a sentence where none does."""
    literal = json.dumps(selector)
    return f"(document.querySelector({literal}) ?? (() => {{ throw new Error('no element matches ' + {literal}) }})())"


def _thrown(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description", details["text"]))


def _stays(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme in _INSIDE or parts.hostname in _THIS_MACHINE
