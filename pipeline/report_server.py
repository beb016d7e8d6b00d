"""The folder of a report over HTTP, for this machine alone: a browser at the other end of a tunnel opens no files."""

from __future__ import annotations

import contextlib
import http.server
import mimetypes
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LOOPBACK = "127.0.0.1"
# A page of somebody else's that has its own name lead to this machine asks under that name.
_NAMES = ("localhost", LOOPBACK, "[::1]")
# The report has all it needs in itself: scripts and styles in the page, images that it draws. It asks nobody for more.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src data:; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # the next review may serve another run at the same address
}


@contextlib.contextmanager
def serving(page: Path, ports: range) -> Iterator[int]:
    """Serves the page as / and the files of its folder by their names, and nothing else; gives the port.

    ports: to try, one after the other, before any other that is free.
    """
    with _listening(page, ports) as server:
        thread = threading.Thread(target=server.serve_forever, name="report", daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _listening(page: Path, ports: range) -> _Server:
    for port in (*ports, 0):
        with contextlib.suppress(OSError, OverflowError):  # taken, or beyond the last one
            return _Server(page, port)
    raise OSError("no port is free to serve the report")


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self, page: Path, port: int):
        self.page = page.resolve()
        super().__init__((LOOPBACK, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a browser that went away, wherever in the exchange it did."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = 60  # seconds without a word from the browser

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if not self._asks_this_machine():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "Ask localhost")
            return
        file = self._file()
        content = None
        if file is not None:
            with contextlib.suppress(OSError):  # it was deleted meanwhile, or is not for this user to read
                content = file.read_bytes()
        if file is None or content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _asks_this_machine(self) -> bool:
        hosts = self.headers.get_all("Host") or []
        name, colon, port = hosts[0].rpartition(":") if len(hosts) == 1 else ("", "", "")
        if not colon or not port.isdigit():  # no port: the name is all of it
            name = f"{name}{colon}{port}"
        return name.lower() in _NAMES

    def _file(self) -> Path | None:
        """The file that is asked for, None where there is none in the page's folder."""
        page = self.server.page
        try:
            name = unquote(urlsplit(self.path).path).lstrip("/")
            file = (page.parent / name).resolve() if name else page
            return file if file.is_relative_to(page.parent) and file.is_file() else None
        except (OSError, ValueError):  # such as a name with a NUL, one that is too long, or an address that is none
            return None

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        return "fraud-pipeline"

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the terminal shows the addresses."""
