"""s3:// for TFX's file operations, by boto3: TensorFlow, whom TFX asks for it, has no file system for it.

Importing this module registers it, as TFX's own plug-ins do. Where the store is and who asks, boto3 reads from its
usual environment: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION.
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

from trainer.errors import InputError

SCHEME = "s3://"

_ABSENT = {"404", "NoSuchKey", "NotFound"}
_DENIED = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


@functools.cache
def _client() -> Any:
    """One for the process: they are safe to share between threads, and take a tenth of a second to make."""
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError as error:
        raise InputError("s3:// needs boto3, which is not installed: pip install 'fraud-pipeline[aws]'") from error
    # As Kubeflow Pipelines asks its stores: those that are not Amazon's need not know the newer checksums.
    return boto3.session.Session().client(
        "s3",
        config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"),
    )


@contextmanager
def _in_words(path: str) -> Iterator[None]:
    """What the store or the way there is at fault for, as an InputError where it can be put right from outside."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, NoCredentialsError

    try:
        yield
    except NoCredentialsError as error:
        raise InputError(f"{path}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
    except ConnectionError as error:
        raise InputError(f"{path}: {error}; AWS_ENDPOINT_URL_S3 says where the store is") from error
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
    """A file or folder; the key is "" for a whole bucket, and ends in no slash."""

    bucket: str
    key: str

    @property
    def inside(self) -> str:
        """What the keys of the files in this folder begin with."""
        return f"{self.key}/" if self.key else ""


def _split(path: str | bytes) -> _Place:
    bucket, _, key = os.fsdecode(path).removeprefix(SCHEME).partition("/")
    return _Place(bucket, key.rstrip("/"))


def _listed(place: _Place, **limits: Any) -> Iterator[dict[str, Any]]:
    """Pages of what is in a folder, and below it."""
    paginator = _client().get_paginator("list_objects_v2")
    return iter(paginator.paginate(Bucket=place.bucket, Prefix=place.inside, **limits))


def _is_folder(place: _Place) -> bool:
    """Whether anything is in it; there are no empty folders, but for a bucket."""
    first = _client().list_objects_v2(Bucket=place.bucket, Prefix=place.inside, MaxKeys=1)
    return not place.key or first["KeyCount"] > 0


def _head(place: _Place) -> dict[str, Any] | None:
    """What the store says of a file; None where there is none."""
    from botocore.exceptions import ClientError

    if not place.key:
        return None
    try:
        found: dict[str, Any] = _client().head_object(Bucket=place.bucket, Key=place.key)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _ABSENT:
            return None
        raise
    return found


def _below(place: _Place) -> list[str]:
    """Keys of the files in a folder and below it, relative to it, sorted; some tools mark folders by keys with a /."""
    keys = [found["Key"][len(place.inside) :] for page in _listed(place) for found in page.get("Contents", ())]
    return sorted(key for key in keys if key and not key.endswith("/"))


def _delete(place: _Place, keys: Iterable[str]) -> None:
    """Files by their whole keys, and the folders that they were in, as far as the one at `place`.

    SeaweedFS keeps folders that have become empty; it, too, takes a key with a / for one. One by one: deleting many at
    once needs a checksum that stores disagree about.
    """
    files = list(keys)
    for key in files:
        _client().delete_object(Bucket=place.bucket, Key=key)
    folders = {key[: index + 1] for key in files for index, letter in enumerate(key) if letter == "/"}
    inside = [folder for folder in folders if place.key and folder.startswith(place.inside)]
    for folder in sorted(inside, reverse=True):  # what is in another one comes first
        _client().delete_object(Bucket=place.bucket, Key=folder)


class _Upload(io.BytesIO):
    """A file that is in the store, whole, once it is closed; left by an exception, it never is."""

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
    """Of a file or folder, by the names of `tf.io.gfile.stat`."""

    length: int
    mtime_nsec: int
    is_directory: bool


class S3Filesystem(filesystem.Filesystem):
    """Keys as files; a folder is there as long as something is in it."""

    SUPPORTED_SCHEMES = [SCHEME]

    @staticmethod
    def open(name: str, mode: str = "r") -> Any:
        """The whole content, in memory, for models are small; modes r, rb, w and wb."""
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
        """Within the store, without a way through this machine."""
        _refuse_existing(dst, overwrite)
        _copy(src, _split(src), _split(dst))

    @staticmethod
    def exists(path: str) -> bool:
        place = _split(path)
        with _in_words(path):
            return _head(place) is not None or _is_folder(place)

    @staticmethod
    def glob(pattern: str) -> list[str]:
        wanted = _split(pattern)
        parts = wanted.key.split("/")
        literal = next((index for index, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts) - 1)
        folder = _Place(wanted.bucket, "/".join(parts[:literal]))
        with _in_words(pattern):
            keys = [folder.inside + key for key in _below(folder)]
        # a pattern that ends before the key does stands for a folder of it
        found = {"/".join(key.split("/")[: len(parts)]) for key in keys if key.count("/") >= len(parts) - 1}
        return [
            f"{SCHEME}{wanted.bucket}/{key}"
            for key in sorted(found)
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
        there = not place.key
        with _in_words(path):
            for page in _listed(place, Delimiter="/"):
                there |= page["KeyCount"] > 0
                names += [found["Prefix"] for found in page.get("CommonPrefixes", ())]
                names += [found["Key"] for found in page.get("Contents", ())]
        if not there:
            raise filesystem.NotFoundError(f"{path}: no such folder")
        return sorted(filter(None, (name[len(place.inside) :].rstrip("/") for name in names)))

    @staticmethod
    def makedirs(path: str) -> None:
        """Nothing: a folder comes with the first file in it."""

    @staticmethod
    def mkdir(path: str) -> None:
        """Nothing, as `makedirs`."""

    @staticmethod
    def remove(path: str) -> None:
        place = _split(path)
        with _in_words(path):
            if _head(place) is None:
                raise filesystem.NotFoundError(f"{path}: no such file")
            _client().delete_object(Bucket=place.bucket, Key=place.key)

    @staticmethod
    def rename(src: str, dst: str, overwrite: bool = False) -> None:
        """A file, or a folder file by file: others see it half way through."""
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
            keys = [found["Key"] for page in _listed(place) for found in page.get("Contents", ())]
            if not keys:
                raise filesystem.NotFoundError(f"{path}: no such folder")
            _delete(place, keys)

    @staticmethod
    def stat(path: str) -> Status:
        place = _split(path)
        with _in_words(path):
            found = _head(place)
            if found is not None:
                return Status(found["ContentLength"], int(found["LastModified"].timestamp() * 1e9), False)
            if _is_folder(place):
                return Status(0, 0, True)
        raise filesystem.NotFoundError(f"{path}: no such file or folder")

    @staticmethod
    def walk(
        top: str, topdown: bool = True, onerror: Callable[..., None] | None = None
    ) -> Iterable[tuple[str, list[str], list[str]]]:
        """By one listing of all keys; nothing where there is no such folder."""
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
        raise OSError(f"{path} is there already; give overwrite=True to put another in its place")


def _copy(path: str, source: _Place, target: _Place) -> None:
    with _in_words(path):
        _client().copy({"Bucket": source.bucket, "Key": source.key}, target.bucket, target.key)


# before TensorFlow's, which says that it knows s3:// and does not
filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(S3Filesystem, priority=5)
