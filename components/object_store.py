"""s3:// for TFX's file operations, by boto3, since TensorFlow, which TFX relies on, has no file system for it.

Importing this module registers it, as TFX's own plug-ins do. boto3 reads the store's address and the credentials from
its usual environment: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION.
"""

from __future__ import annotations

import fnmatch
import functools
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tfx.dsl.io import filesystem, filesystem_registry

from components.reading import stores
from trainer.errors import InputError

SCHEME = stores.S3

_ABSENT = {"404", "NoSuchKey", "NotFound"}
_DENIED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


@functools.cache
def _client() -> Any:
    """The client of this process; it is safe to share between threads, and takes a tenth of a second to make."""
    return stores.s3_client(connect_timeout=stores.CONNECT_SECONDS)


@contextmanager
def _in_words(path: str) -> Iterator[None]:
    """Turns errors of the store into messages: an InputError where the user can mend the cause, else an OSError."""
    stores.check(os.fsdecode(path))
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        with stores.s3_in_words(path):
            yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _ABSENT:
            raise filesystem.NotFoundError(f"{path}: no such file or folder") from error
        if code == "NoSuchBucket":
            raise InputError(
                f"{path}: the store has no bucket {_split(path).bucket}; make it, or name another"
            ) from error
        if code in _DENIED:
            raise InputError(f"{path}: the store denies access ({code}); check the credentials' rights") from error
        raise OSError(f"{path}: {error}") from error
    except BotoCoreError as error:
        raise OSError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _Place:
    """A file or folder; the key is "" for a whole bucket, and does not end in a slash."""

    bucket: str
    key: str

    @property
    def inside(self) -> str:
        """The prefix of the keys of all files in this folder."""
        return f"{self.key}/" if self.key else ""


def _split(path: str | bytes) -> _Place:
    bucket, _, key = os.fsdecode(path).removeprefix(SCHEME).partition("/")
    return _Place(bucket, key.rstrip("/"))


def _listed(place: _Place, **limits: Any) -> Iterator[dict[str, Any]]:
    """Pages of the store's listing of a folder, and of the folders below it."""
    paginator = _client().get_paginator("list_objects_v2")
    return iter(paginator.paginate(Bucket=place.bucket, Prefix=place.inside, **limits))


def _is_folder(place: _Place) -> bool:
    """Whether the folder has any file; there are no empty folders, except for a bucket."""
    first = _client().list_objects_v2(Bucket=place.bucket, Prefix=place.inside, MaxKeys=1)
    return not place.key or first["KeyCount"] > 0


def _head(place: _Place) -> dict[str, Any] | None:
    """The store's metadata of a file; None where there is no such file."""
    from botocore.exceptions import ClientError

    if not place.key:
        return None
    try:
        head: dict[str, Any] = _client().head_object(Bucket=place.bucket, Key=place.key)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _ABSENT:
            return None
        raise
    return head


def _below(place: _Place) -> list[str]:
    """Keys of the files in a folder and below it, relative to the folder, sorted."""
    keys = [entry["Key"][len(place.inside) :] for page in _listed(place) for entry in page.get("Contents", ())]
    return sorted(key for key in keys if key and not key.endswith("/"))  # some tools mark folders by keys with a /


def _delete(place: _Place, keys: Iterable[str]) -> None:
    """Deletes files by their whole keys, and the folders that they were in, up to the one at `place`.

    SeaweedFS keeps folders that have become empty, and deletes one by its key with a /. Keys are deleted one by one,
    since deleting many at once needs a checksum that stores disagree about.
    """
    files = list(keys)
    for key in files:
        _client().delete_object(Bucket=place.bucket, Key=key)
    folders = {key[: index + 1] for key in files for index, letter in enumerate(key) if letter == "/"}
    inside = [folder for folder in folders if place.key and folder.startswith(place.inside)]
    for folder in sorted(inside, reverse=True):  # inner folders first
        _client().delete_object(Bucket=place.bucket, Key=folder)


class _Upload(io.BytesIO):
    """A file that is uploaded as a whole when it is closed, and not at all when an exception ends the writing."""

    def __init__(self, path: str, place: _Place):
        super().__init__()
        self._path = path
        self._place = place

    def write(self, data: Any) -> int:
        return super().write(data.encode() if isinstance(data, str) else data)

    def close(self) -> None:
        if not self.closed:
            content = self.getvalue()
            super().close()
            with _in_words(self._path):
                _client().put_object(Bucket=self._place.bucket, Key=self._place.key, Body=content)

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is None:
            self.close()
        else:
            super().close()


@dataclass(frozen=True)
class Status:
    """Status of a file or folder, with the names of `tf.io.gfile.stat`."""

    length: int
    mtime_nsec: int
    is_directory: bool


class S3Filesystem(filesystem.Filesystem):
    """Keys as files; a folder exists as long as there is a file in it."""

    SUPPORTED_SCHEMES = [SCHEME]

    @staticmethod
    def open(name: str, mode: str = "r") -> Any:
        """The whole content in memory, since models are small; modes r, rb, w and wb."""
        place = _split(name)
        if mode in ("w", "wb"):
            return _Upload(name, place)
        if mode not in ("r", "rb"):
            raise ValueError(f"mode must be one of r, rb, w, wb on an object store, got {mode}")
        with _in_words(name):
            content: bytes = _client().get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
        return io.BytesIO(content) if mode == "rb" else io.StringIO(content.decode())

    @staticmethod
    def copy(src: str, dst: str, overwrite: bool = False) -> None:
        """Copies within the store, so that the data does not pass through this machine."""
        _refuse_existing(dst, overwrite)
        _copy(src, _split(src), _split(dst))

    @staticmethod
    def exists(path: str) -> bool:
        place = _split(path)
        with _in_words(path):
            return _head(place) is not None or _is_folder(place)

    @staticmethod
    def glob(pattern: str) -> list[str]:
        place = _split(pattern)
        parts = place.key.split("/")
        literal = next((index for index, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts) - 1)
        folder = _Place(place.bucket, "/".join(parts[:literal]))
        with _in_words(pattern):
            keys = [folder.inside + key for key in _below(folder)]
        # a pattern with fewer parts than the key may match a folder of it
        candidates = {"/".join(key.split("/")[: len(parts)]) for key in keys if key.count("/") >= len(parts) - 1}
        return [
            f"{SCHEME}{place.bucket}/{key}"
            for key in sorted(candidates)
            if all(map(fnmatch.fnmatchcase, key.split("/"), parts))
        ]

    @staticmethod
    def isdir(path: str) -> bool:
        with _in_words(path):
            return _is_folder(_split(path))

    @staticmethod
    def listdir(path: str) -> list[str]:
        place = _split(path)
        names = []
        exists = not place.key
        with _in_words(path):
            for page in _listed(place, Delimiter="/"):
                exists |= page["KeyCount"] > 0
                names += [entry["Prefix"] for entry in page.get("CommonPrefixes", ())]
                names += [entry["Key"] for entry in page.get("Contents", ())]
        if not exists:
            raise filesystem.NotFoundError(f"{path}: no such folder")
        return sorted(filter(None, (name[len(place.inside) :].rstrip("/") for name in names)))

    @staticmethod
    def makedirs(path: str) -> None:
        """Does nothing, since a folder comes with the first file in it."""

    @staticmethod
    def mkdir(path: str) -> None:
        """Does nothing, as `makedirs`."""

    @staticmethod
    def remove(path: str) -> None:
        place = _split(path)
        with _in_words(path):
            if _head(place) is None:
                raise filesystem.NotFoundError(f"{path}: no such file")
            _client().delete_object(Bucket=place.bucket, Key=place.key)

    @staticmethod
    def rename(src: str, dst: str, overwrite: bool = False) -> None:
        """Renames a file, or a folder file by file, which is not atomic."""
        _refuse_existing(dst, overwrite)
        source, target = _split(src), _split(dst)
        with _in_words(src):
            if _head(source) is not None:
                pairs = [(source.key, target.key)]
            else:
                pairs = [(source.inside + key, target.inside + key) for key in _below(source)]
        if not pairs:
            raise filesystem.NotFoundError(f"{src}: no such file or folder")
        for old, new in pairs:
            _copy(src, _Place(source.bucket, old), _Place(target.bucket, new))
        with _in_words(src):
            _delete(source, [old for old, _ in pairs])

    @staticmethod
    def rmtree(path: str) -> None:
        place = _split(path)
        with _in_words(path):
            keys = [entry["Key"] for page in _listed(place) for entry in page.get("Contents", ())]
            if not keys:
                raise filesystem.NotFoundError(f"{path}: no such folder")
            _delete(place, keys)

    @staticmethod
    def stat(path: str) -> Status:
        place = _split(path)
        with _in_words(path):
            head = _head(place)
            if head is not None:
                return Status(head["ContentLength"], int(head["LastModified"].timestamp() * 1e9), False)
            if _is_folder(place):
                return Status(0, 0, True)
        raise filesystem.NotFoundError(f"{path}: no such file or folder")

    @staticmethod
    def walk(
        top: str, topdown: bool = True, onerror: Callable[..., None] | None = None
    ) -> Iterable[tuple[str, list[str], list[str]]]:
        """Walks the folders by one listing of all keys; yields nothing where there is no such folder."""
        with _in_words(top):
            keys = _below(_split(top))
        tree: dict[str, tuple[set[str], list[str]]] = {}
        for key in keys:
            *folders, name = key.split("/")
            for depth in range(len(folders) + 1):
                below, files = tree.setdefault("/".join(folders[:depth]), (set(), []))
                if depth < len(folders):
                    below.add(folders[depth])
                else:
                    files.append(name)
        for folder in sorted(tree, reverse=not topdown):
            below, files = tree[folder]
            yield (os.path.join(top, folder) if folder else top), sorted(below), files


def _refuse_existing(path: str, overwrite: bool) -> None:
    if not overwrite and S3Filesystem.exists(path):
        raise OSError(f"{path} exists already; pass overwrite=True to replace it")


def _copy(path: str, source: _Place, target: _Place) -> None:
    with _in_words(path):
        _client().copy({"Bucket": source.bucket, "Key": source.key}, target.bucket, target.key)


# before TensorFlow's, which claims to support s3:// but does not
filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(S3Filesystem, priority=5)
