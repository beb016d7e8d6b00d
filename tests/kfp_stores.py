"""Object stores of the emulated Kubeflow Pipelines: a folder, and a real S3 endpoint."""

from __future__ import annotations

import functools
import logging
import shutil
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
    """Whatever answers as S3 at an endpoint."""

    endpoint: str
    access_key: str
    secret_key: str

    @functools.cached_property
    def client(self) -> Any:
        """One for all threads, as boto3 allows; it takes a tenth of a second to make."""
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
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def download(self, bucket: str, key: str, path: Path) -> None:
        self.client.download_file(bucket, key, str(path))

    def upload(self, path: Path, bucket: str, key: str) -> None:
        self.client.upload_file(str(path), bucket, key)


@contextmanager
def moto_server(*buckets: str) -> Iterator[S3Store]:
    """moto's S3 server in this process, at a free port of the loopback device."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # which tells of every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        store = S3Store(f"http://{host}:{port}", "access", "secret")
        for bucket in buckets:
            store.client.create_bucket(Bucket=bucket)
        yield store
    finally:
        server.stop()


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
