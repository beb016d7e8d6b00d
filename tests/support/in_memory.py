"""Files in memory, for code that reads remote files."""

from __future__ import annotations

import io
from collections.abc import Iterator

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem


class InMemory(FileSystem):
    """A file system for the scheme `memory://`, which Beam finds as it finds all others: as a subclass."""

    files: dict[str, bytes] = {}  # noqa: RUF012 - one for all instances, as a bucket is

    @classmethod
    def scheme(cls) -> str:
        return "memory"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath, *paths])

    def split(self, path: str) -> tuple[str, ...]:
        return tuple(path.rsplit("/", 1))

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for name, data in self.files.items():
            if name.startswith(dir_or_prefix):
                yield FileMetadata(name, len(data), 1.5e9)

    def open(
        self, path: str, mime_type: str = "application/octet-stream", compression_type: str = "auto"
    ) -> io.BytesIO:
        if path not in self.files:
            raise BeamIOError("not found", {path: FileNotFoundError(path)})
        return io.BytesIO(self.files[path])

    def exists(self, path: str) -> bool:
        return path in self.files

    def mkdirs(self, path: str) -> None:
        raise NotImplementedError

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, self.size(path), self.last_updated(path))

    def size(self, path: str) -> int:
        return len(self.files[path])

    def last_updated(self, path: str) -> float:
        return 1.5e9

    create = copy = rename = checksum = delete = mkdirs
