"""Object stores of the emulated Kubeflow Pipelines: a folder, and real S3 endpoints."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Store(Protocol):
    """Objects by bucket and key; there are no folders."""

    def keys(self, bucket: str, prefix: str) -> list[str]: ...

    def download(self, bucket: str, key: str, path: Path) -> None: ...

    def upload(self, path: Path, bucket: str, key: str) -> None: ...


@dataclass(frozen=True)
class FolderStore:
    """A file for each object, below root/bucket."""

    root: Path

    def keys(self, bucket: str, prefix: str) -> list[str]:
        folder = self.root / bucket
        names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return sorted(name for name in names if name.startswith(prefix))

    def download(self, bucket: str, key: str, path: Path) -> None:
        shutil.copyfile(self.root / bucket / key, path)

    def upload(self, path: Path, bucket: str, key: str) -> None:
        target = self.root / bucket / key
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


@dataclass(frozen=True)
class S3Store:
    """Any S3 server at an endpoint; makes_buckets: whether writing to a bucket creates it."""

    endpoint: str
    access_key: str
    secret_key: str
    makes_buckets: bool = False

    @functools.cached_property
    def client(self) -> Any:
        """The client for all threads, which boto3 allows; it takes a tenth of a second to make."""
        import boto3

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
        )

    def keys(self, bucket: str, prefix: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def download(self, bucket: str, key: str, path: Path) -> None:
        self.client.download_file(bucket, key, str(path))

    def upload(self, path: Path, bucket: str, key: str) -> None:
        self.client.upload_file(str(path), bucket, key)


@contextmanager
def moto_server(*buckets: str) -> Iterator[S3Store]:
    """moto's S3 server on the loopback device, in a process of its own: in one process, all have the same buckets."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fraud-pipeline-moto-")))
        log = stack.enter_context(open(folder / "log", "w"))
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        store = S3Store(_address(process, folder / "log"), "access", "secret")
        for bucket in buckets:
            store.client.create_bucket(Bucket=bucket)
        yield store


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where moto says that it listens."""
    until = time.monotonic() + 60
    while not (address := re.search(r"Running on (http://[\d.]+:\d+)", log.read_text())):
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"moto does not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)
    return address[1]


WEED = shutil.which("weed")


@contextmanager
def seaweedfs_server(*buckets: str) -> Iterator[S3Store]:
    """SeaweedFS, the store that comes with Kubeflow Pipelines, in a process of its own on the loopback device."""
    assert WEED is not None
    parts = ("master", "volume", "filer", "s3")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fraud-pipeline-weed-")))
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2 * len(parts))]
        ports = [str(one.getsockname()[1]) for one in held]
        store = S3Store(f"http://127.0.0.1:{ports[3]}", "access", "secret", makes_buckets=True)
        who = {"accessKey": store.access_key, "secretKey": store.secret_key}
        rights = {"name": "tests", "credentials": [who], "actions": ["Admin", "Read", "Write", "List"]}
        (folder / "rights.json").write_text(json.dumps({"identities": [rights]}))
        command = [WEED, "-logtostderr=true", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        command += ["-filer", "-s3", f"-s3.config={folder / 'rights.json'}", "-volume.max=200"]
        command += ["-master.volumeSizeLimitMB=64", "-master.telemetry=false"]
        command += [f"-{part}.port={port}" for part, port in zip(parts, ports[:4], strict=True)]
        command += [f"-{part}.port.grpc={port}" for part, port in zip(parts, ports[4:], strict=True)]
        for one in held:
            one.close()
        log = stack.enter_context(open(folder / "log", "w"))
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        _wait_for(store, process, folder / "log")
        for bucket in buckets:
            store.client.create_bucket(Bucket=bucket)
        yield store


def _wait_for(store: S3Store, process: subprocess.Popen[bytes], log: Path) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    until = time.monotonic() + 60
    while True:
        try:
            store.client.list_buckets()
            return
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"weed does not start:\n{log.read_text()[-3000:]}") from error
            time.sleep(0.2)


def download_tree(store: Store, bucket: str, prefix: str, folder: Path) -> Path:
    """All objects whose key is the prefix, or begins with it and a slash, as files below the folder."""
    for key in store.keys(bucket, prefix):
        if key == prefix or key.startswith(prefix.rstrip("/") + "/"):
            path = folder / key[len(prefix) :].lstrip("/") if key != prefix else folder
            path.parent.mkdir(parents=True, exist_ok=True)
            store.download(bucket, key, path)
    return folder


def upload_tree(store: Store, path: Path, bucket: str, prefix: str) -> None:
    """A file, or a folder file by file: empty folders vanish.

    Raises:
      FileNotFoundError: there is neither.
    """
    if not path.is_dir():
        store.upload(path, bucket, prefix)
        return
    for inner in sorted(path.iterdir()):
        upload_tree(store, inner, bucket, f"{prefix}/{inner.name}")
