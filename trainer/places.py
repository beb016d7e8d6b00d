"""Files and folders that a person named: `~` is the home folder, and what is wrong with one is said in words."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer.errors import InputError

# by the operating system's number of the error, whose own sentences are for programmers
_PROBLEMS = {
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EROFS: "its file system can only be read",
    errno.ENOSPC: "its disk is full",
    errno.EDQUOT: "your quota of its disk is used up",
    errno.EFBIG: "the file would be larger than is allowed here",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOTDIR: "there is a file where a folder is needed",
    errno.EEXIST: "there is a file where a folder is needed",
    errno.EISDIR: "it is a folder, not a file",
    errno.ELOOP: "its links lead in a circle",
    errno.ENOENT: "there is no such file or folder",
    errno.EBUSY: "it is in use",
    errno.EIO: "its disk has a fault",
    errno.ESTALE: "its disk is gone",
}

# of libraries in C++ that hand on no number: TensorFlow, and SQLite under the metadata
_SENTENCES = {
    **{os.strerror(number): number for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)},
    "database or disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "attempt to write a readonly database": errno.EACCES,
}


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with `~` and `~user` in the place of home folders; one of an unknown user stays as it is."""
    return Path(os.path.expanduser(path))


def problem(error: OSError) -> str:
    """What is wrong with a place, in words."""
    return _PROBLEMS.get(error.errno or 0) or error.strerror or str(error)


def is_of_a_place(error: OSError) -> bool:
    """Whether an error says that something is wrong with a file or folder, rather than with this program."""
    return error.errno in _PROBLEMS.keys() - {errno.ENOENT}


@contextmanager
def usable(place: str | os.PathLike[str], way_out: str, *, to: str = "written to") -> Iterator[None]:
    """Within it an error of the operating system is one of this place.

    Args:
      place: a file or folder that a person named.
      way_out: what to do, as the end of a sentence.
      to: what the place was to be used for.

    Raises:
      InputError: the place can't be used.
    """
    try:
        yield
    except OSError as error:
        elsewhere = _other_place(error, place)
        raise InputError(f"{os.fspath(place)} can't be {to}: {problem(error)}{elsewhere}; {way_out}") from error


def _other_place(error: OSError, place: str | os.PathLike[str]) -> str:
    """Where exactly it failed, if that is on the way to the place."""
    parents = Path(place).parents
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        file = next((folder for folder in parents if os.path.exists(folder) and not os.path.isdir(folder)), None)
        return f" ({file})" if file else ""
    other = error.filename
    is_on_the_way = isinstance(other, str) and (Path(other) in parents or Path(os.path.abspath(other)) in parents)
    return f" ({other})" if is_on_the_way and error.errno != errno.ENAMETOOLONG else ""


def place_fault(error: BaseException) -> str | None:
    """What is wrong with a place, where that is why something failed; None where it failed for another reason."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and is_of_a_place(seen):
            name = f"{os.fsdecode(seen.filename)}: " if isinstance(seen.filename, (str, bytes)) else ""
            return name + problem(seen)
        for sentence, number in _SENTENCES.items():
            if sentence in str(seen):
                return f"{_PROBLEMS[number]} ({' '.join(str(seen).split())[:300]})"
        seen = seen.__cause__ or seen.__context__
    return None


def check(place: Path, way_out: str) -> None:
    """Whether a file can be written, before there is anything to write: that may take minutes to make.

    Raises:
      InputError: it can't be.
    """
    with usable(place, way_out):
        if place.exists():
            os.close(os.open(place, os.O_WRONLY))
            return
        missing = [folder for folder in place.parents if not folder.exists()]  # the innermost first
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        place.unlink()
        for folder in missing:
            folder.rmdir()


def write(place: Path, content: bytes, way_out: str) -> None:
    """Writes a file whole or not at all, and the folders that it needs.

    Raises:
      InputError: it can't be written; what was there before still is.
    """
    with usable(place, way_out):
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and not place.is_file():  # a pipe, or a device such as /dev/stdout
            place.write_bytes(content)
            return
        # a link stays one
        target = place.resolve()
        partial = target.with_name(f".{secrets.token_hex(8)}.partial")
        if len(os.fsencode(target.name)) > os.pathconf(target.parent, "PC_NAME_MAX"):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(target))
        try:
            with partial.open("xb") as file:
                file.write(content)
            if target.exists():
                partial.chmod(target.stat().st_mode & 0o7777)
            partial.replace(target)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
