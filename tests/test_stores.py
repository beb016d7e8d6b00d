"""Object stores that can't be used: the reason comes in a sentence, from real sockets that refuse or say nothing."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tfx.dsl.io import fileio

from components import object_store
from components.current_model import pushed_versions
from components.reading import stores
from components.reading.files import find_files
from trainer.errors import InputError


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An environment with the address of no store, and without credentials or proxies."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "STORAGE_", "CLOUDSDK_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    monkeypatch.setattr(stores, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(stores, "ANSWER_SECONDS", 0.2)
    object_store._client.cache_clear()
    yield
    object_store._client.cache_clear()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def full() -> Iterator[str]:
    """The address of a server that takes no connection, nor refuses one: its queue is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for one in waiting:
            one.close()


@pytest.fixture
def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def forbidding() -> Iterator[str]:
    """The address of a server that answers everything with 403."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def refusals(scheme: str) -> set[str]:
    """What each way to a store says."""
    said = set()
    for use in (find_files, pushed_versions):
        with pytest.raises(InputError) as refused:
            use(f"{scheme}bucket/folder")  # type: ignore[operator]
        said.add(str(refused.value).replace("bucket/folder", "bucket"))
    return said


def test_without_credentials_nobody_waits() -> None:
    assert refusals("s3://") == {"s3://bucket: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}


def test_half_of_the_credentials_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    (said,) = refusals("s3://")
    assert said.startswith("s3:// can't be used: Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY")


VARIABLES = {"s3://": "AWS_ENDPOINT_URL_S3", "gs://": "STORAGE_EMULATOR_HOST"}


@pytest.mark.parametrize("scheme", VARIABLES)
@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("silent", "answer in time"),
        ("full", "can't be reached: it does not answer in time"),
        ("closed", "can't be reached: Connection refused"),
    ],
)
def test_a_store_that_can_not_be_reached_is_told_in_time(
    scheme: str,
    server: str,
    reason: str,
    credentials: None,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setenv(VARIABLES[scheme], request.getfixturevalue(server))
    (said,) = refusals(scheme)
    assert said.startswith(f"{scheme}bucket: ")
    assert reason in said
    assert "check the network, and a proxy in HTTPS_PROXY, or " in said


@pytest.mark.parametrize("scheme", VARIABLES)
def test_a_name_that_nobody_knows_is_told(scheme: str, credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLES[scheme], "http://store.invalid")
    (said,) = refusals(scheme)
    assert f"{scheme}bucket: store.invalid:80 can't be reached: " in said


def test_a_look_up_that_hangs_is_not_waited_for(credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    def hang(*_: object, **__: object) -> None:
        asked.wait()

    monkeypatch.setattr(stores.socket, "getaddrinfo", hang)
    monkeypatch.setattr(stores, "LOOK_UP_SECONDS", 0.1)
    with pytest.raises(InputError, match=r"s3\.amazonaws\.com:443 can't be reached: it does not answer in time; check"):
        stores.check("s3://bucket/x")
    asked.set()


def test_a_bucket_of_googles_that_is_not_public_needs_credentials(
    forbidding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", forbidding)
    with pytest.raises(InputError, match=r"^gs://bucket: no credentials, and the bucket is not public; set GOOG"):
        stores.check("gs://bucket/x")
    # a login of gcloud's is tried
    folder = tmp_path / ".config" / "gcloud"
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").write_text("{}")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "another")  # nothing is remembered where the environment changed
    stores.check("gs://bucket/x")


def test_an_answer_is_an_answer_and_asked_for_once(
    forbidding: str, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", forbidding)
    stores.check("s3://bucket/x")
    with pytest.raises(InputError, match=r"s3://bucket/x: the store denies access \(403\)"):
        fileio.exists("s3://bucket/x")
    monkeypatch.setattr(stores, "s3_client", None)
    stores.check("s3://bucket/y")


@pytest.mark.parametrize("path", ["/local/file.csv", "file:///local/file.csv", "memory://bucket/x", "a:b", ""])
def test_other_places_are_not_asked(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: asked.append(address))
    monkeypatch.setattr(socket, "create_connection", lambda *address, **_: asked.append(address))
    stores.check(path)
    assert asked == []
