"""The report over HTTP: its own folder's files, for browsers of this machine alone."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.report_server import serving

ROOT = Path(__file__).resolve().parents[1]
PAGE = "<!DOCTYPE html><p id=said></p><script>document.getElementById('said').innerText = 'run'</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report's folder, with what must not be seen beside it and linked from it."""
    above = tmp_path_factory.mktemp("report")
    (above / "secret.txt").write_text("secret")
    folder = above / "1"
    (folder / "parts").mkdir(parents=True)
    (folder / "report.html").write_text(PAGE)
    (folder / "summary.json").write_text("{}")
    (folder / "parts" / "a name.txt").write_text("part")
    (folder / "link.txt").symlink_to(above / "secret.txt")
    (above / "1secret").mkdir()
    (above / "1secret" / "secret.txt").write_text("secret")
    return folder


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    with serving(folder / "report.html", range(0)) as port:
        yield port


def ask(port: int, path: str, method: str = "GET", hosts: tuple[str, ...] = ("localhost",)) -> tuple[int, bytes, dict]:
    """Status, content and headers of the answer to exactly this request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for host in hosts:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, dict(answer.getheaders())


def test_the_page_and_the_files_of_its_folder_are_served(port):
    for path in ("/", "/report.html", "/?theme=dark"):
        status, content, headers = ask(port, path)
        assert (status, content.decode()) == (200, PAGE)
        assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert ask(port, "/summary.json")[:2] == (200, b"{}")
    assert ask(port, "/parts/a%20name.txt")[:2] == (200, b"part")
    status, content, headers = ask(port, "/summary.json", "HEAD")
    assert (status, content, headers["Content-Length"]) == (200, b"", "2")


@pytest.mark.parametrize(
    "path",
    [
        *("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/parts/../../secret.txt", "//secret.txt"),
        *("/link.txt", "/../1secret/secret.txt", "/etc/passwd", "//etc/passwd", "/%2fetc/passwd", "/..%5csecret.txt"),
        *("/parts", "/parts/", "/.", "/nowhere", "/report.html%00.txt", "/%ff", "http://[/", f"/{'long' * 1000}"),
    ],
)
def test_nothing_else_is_served(port, path):
    status, content, headers = ask(port, path)
    assert status == 404
    assert b"secret" not in content
    assert "Content-Security-Policy" in headers


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:6007", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:6007"])
def test_it_answers_to_the_names_of_this_machine_at_any_port_as_a_tunnel_has_its_own(port, host):
    assert ask(port, "/summary.json", hosts=(host,))[0] == 200


@pytest.mark.parametrize(
    "hosts",
    [
        *((), ("",), ("evil.example",), ("evil.example:6007",), ("localhost.evil.example",), ("127.0.0.1.example",)),
        *(("localhost:6007.evil.example",), ("evil.example", "localhost"), ("localhost", "localhost"), ("0.0.0.0",)),
    ],
)
def test_it_does_not_answer_to_a_name_that_somebody_else_has_lead_here(port, hosts):
    status, content, _ = ask(port, "/summary.json", hosts=hosts)
    assert (status, b"{}" in content) == (421, False)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "get"])
def test_there_is_nothing_to_change(port, method):
    assert ask(port, "/", method)[0] == 501


def test_its_headers_let_the_report_run_and_reach_nothing(port):
    headers = ask(port, "/")[2]
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'unsafe-inline'"
    assert "connect-src" not in policy  # so it is default-src's
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Python" not in headers["Server"]


def test_it_listens_on_loopback_at_the_first_free_port(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        with serving(folder / "report.html", range(first, first + 10)) as port:
            assert first < port < first + 10
            assert ask(port, "/")[0] == 200
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.2", port), timeout=20)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=20)


RESETTING = """
import socket, struct, sys, threading
from pathlib import Path
from pipeline.report_server import serving
page = Path(sys.argv[1])
(page.parent / "large.bin").write_bytes(bytes(50_000_000))
with serving(page, range(0)) as port:
    for request in (b"", b"GET / HT", *(
        f"GET {path} HTTP/1.0\\r\\nHost: {host}\\r\\n\\r\\n".encode()
        for path in ("/", "/large.bin", "/nowhere") for host in ("localhost", "evil.example")
    )):
        for wait_for_answer in (False, True):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(request)
                if wait_for_answer and request.endswith(b"\\n"):
                    connection.recv(1)
                # closing it resets it
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join(20)
"""


def test_a_browser_that_goes_away_is_not_worth_a_word(tmp_path):
    page = tmp_path / "report.html"
    page.write_text(PAGE)
    done = subprocess.run([sys.executable, "-c", RESETTING, page], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_file_that_cannot_be_read_is_not_found():
    # Linux has files that exist and cannot be read by anybody
    with serving(Path("/proc/self/mem"), range(0)) as port:
        assert ask(port, "/")[0] == 404


def test_scripts_of_the_page_run_and_what_they_ask_for_is_refused(browser, folder, port):
    (folder / "asks.html").write_text(
        "<script>window.ran = true; fetch('/summary.json').catch(() => { window.refused = true })</script>"
    )
    with browser.page() as page:
        page.open(f"http://localhost:{port}/")
        assert page.text("#said") == "run"
        assert page.errors == []
        page.open(f"http://localhost:{port}/asks.html")
        page.wait_for("window.ran && window.refused")
