"""Pods for tasks of the emulated Kubeflow Pipelines, each with an empty file system of its own."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = tuple(ROOT / name for name in ("pipeline", "components", "trainer"))
# That the launcher, or the image, gives a pod to write to; in a container they are at /, here below the pod's root.
WRITABLE = ("s3", "gcs", "minio", "tmp", "home/user")
_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "dev", "proc")
_APPLICATION = "/opt/application"

# Makes the root read-only but for what is mounted on it: KIND SOURCE PATH ... -- COMMAND ...
_ENTER = """
set -eu
root=$1
shift
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
  [ -e "$root$3" ] || mkdir -p "$root$3"
  mount --rbind "$2" "$root$3"
  [ "$1" != ro ] || mount -o remount,bind,ro "$root$3"
  shift 3
done
shift
mount -o remount,bind,ro "$root"
exec chroot "$root" env -C /home/user "$@"
"""


@dataclass(frozen=True)
class Mount:
    """A folder of this machine that a pod sees at a path and can write to; scratch: whether only this pod sees it."""

    source: Path
    path: str
    scratch: bool = False


class Pods(Protocol):
    """A way to start a command in a pod; root is empty except for `WRITABLE`, and is deleted when the pod ends."""

    def start(
        self, root: Path, command: Sequence[str], environment: Mapping[str, str], mounts: Sequence[Mount], log: Any
    ) -> subprocess.Popen[bytes]: ...

    def path(self, root: Path, mounts: Iterable[Mount], path: str) -> Path:
        """The path on this machine of a path in the pod."""

    def argument(self, root: Path, path: str) -> str:
        """The argument that a command gets for a path of the pod."""

    def end(self, mounts: Iterable[Mount]) -> None: ...


class _Mounting:
    """Pods in which every path is at its place."""

    def path(self, root: Path, mounts: Iterable[Mount], path: str) -> Path:
        for mount in sorted(mounts, key=lambda mount: mount.path, reverse=True):
            if path.startswith(f"{mount.path}/"):
                return mount.source / path.removeprefix(f"{mount.path}/")
        return root / path.lstrip("/")

    def argument(self, root: Path, path: str) -> str:
        return path

    def end(self, mounts: Iterable[Mount]) -> None:
        pass


@dataclass(frozen=True)
class NamespacePods(_Mounting):
    """Pods in a user and mount namespace: /s3 is /s3, the root is read-only, and of this machine there are only the
    system, the Python environment and the packages. Needs no rights where user namespaces are allowed."""

    packages: tuple[Path, ...] = PACKAGES

    def start(
        self, root: Path, command: Sequence[str], environment: Mapping[str, str], mounts: Sequence[Mount], log: Any
    ) -> subprocess.Popen[bytes]:
        places: list[tuple[str, Path, str]] = []
        for name in _SYSTEM:
            path = Path("/", name)
            if path.is_symlink():
                (root / name).symlink_to(os.readlink(path))
            elif path.exists():
                places.append(("rw" if name in ("dev", "proc") else "ro", path, str(path)))
        for prefix in {sys.base_prefix, sys.prefix}:
            if not prefix.startswith("/usr"):
                places.append(("ro", Path(prefix), prefix))
        places += [("ro", path, f"{_APPLICATION}/{path.name}") for path in self.packages]
        places += [("rw", root / name, f"/{name}") for name in WRITABLE]
        for _, source, inside in places:
            inner = root / inside.lstrip("/")
            (inner if source.is_dir() else inner.parent).mkdir(parents=True, exist_ok=True)
            if not source.is_dir():
                inner.touch()
        places += [("rw", mount.source, mount.path) for mount in mounts]
        # one may lie in another: this project in /tmp, for one
        places.sort(key=lambda place: place[2])
        words = [word for kind, source, inside in places for word in (kind, str(source), inside)]
        enter = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _ENTER, "sh", str(root))
        return _start(
            [*enter, *words, "--", *command],
            {"HOME": "/home/user", "PYTHONPATH": _APPLICATION, **environment},
            root,
            log,
        )


@dataclass(frozen=True)
class FolderPods:
    """Pods in a folder: home, working directory and temporary files are fresh, and the entrypoint looks for the
    launcher's folders there. Volumes are symbolic links at their paths, which must be writable on this machine; scratch
    volumes are folders there that the pods of a run share, except /tmp. The rest of this machine can be read and
    written. Works everywhere."""

    packages: tuple[Path, ...] = PACKAGES

    def start(
        self, root: Path, command: Sequence[str], environment: Mapping[str, str], mounts: Sequence[Mount], log: Any
    ) -> subprocess.Popen[bytes]:
        image = root / "application"
        image.mkdir()
        for path in self.packages:
            (image / path.name).symlink_to(path)
        for mount in mounts:
            if mount.path != "/tmp":
                _put(mount)
        own = {
            "HOME": str(root / "home/user"),
            "TMPDIR": str(root / "tmp"),
            "PYTHONPATH": str(image),
            "FRAUD_PIPELINE_LAUNCHER_ROOT": str(root),
        }
        own |= {name: str(root / "tmp") if value == "/tmp" else value for name, value in environment.items()}
        return _start(command, own, root / "home/user", log)

    def path(self, root: Path, mounts: Iterable[Mount], path: str) -> Path:
        return root / path.lstrip("/")

    def argument(self, root: Path, path: str) -> str:
        return f"{root}{path}"

    def end(self, mounts: Iterable[Mount]) -> None:
        for mount in mounts:
            path = Path(mount.path)
            if path.is_symlink():
                path.unlink()
            elif mount.scratch and mount.path != "/tmp":
                shutil.rmtree(path, ignore_errors=True)


def _put(mount: Mount) -> None:
    path = Path(mount.path)
    if mount.scratch:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):  # another pod's doing
        path.symlink_to(mount.source)
    if path.resolve() != mount.source.resolve():
        raise NotImplementedError(f"another volume at {path}, and no namespaces to keep them apart")


@dataclass(frozen=True)
class ContainerPods(_Mounting):
    """Pods in a container of an image, by podman: with the image's user, a read-only root and this machine's network.
    Needs root, to read and delete files that another user wrote."""

    image: str
    # crun asks for more than nested machines grant; their limits on files and processes are also too low for podman.
    options: tuple[str, ...] = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")

    @functools.cached_property
    def user(self) -> str:
        """The image's user by its numbers, as clusters that forbid root want it."""
        command = ["podman", "image", "inspect", "--format", "{{.Config.User}}", self.image]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def start(
        self, root: Path, command: Sequence[str], environment: Mapping[str, str], mounts: Sequence[Mount], log: Any
    ) -> subprocess.Popen[bytes]:
        taken = {mount.path for mount in mounts}
        shared = [Mount(root / name, f"/{name}") for name in ("s3", "gcs", "minio", "tmp") if f"/{name}" not in taken]
        # the launcher, which made what is there, is the image's user itself
        own = [root, *(mount.source for mount in mounts if mount.scratch)]
        subprocess.run(["chown", "-R", self.user, *map(str, own)], check=True)
        subprocess.run(["chmod", "a+rwX", *(str(mount.source) for mount in mounts)], check=True)
        words = [word for mount in (*shared, *mounts) for word in ("--volume", f"{mount.source}:{mount.path}")]
        words += [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        run = ("podman", "--runtime", "runc", "run", "--rm", "--read-only", "--network", "host", "--cap-drop", "all")
        return _start(
            [*run, *self.options, *words, "--entrypoint", command[0], self.image, *command[1:]],
            {name: os.environ[name] for name in ("HOME", "XDG_RUNTIME_DIR") if name in os.environ},
            root,
            log,
        )


@functools.cache
def pods(*more_packages: Path) -> Pods:
    """Pods in namespaces where this machine allows them, else pods in folders."""
    namespaces = NamespacePods(PACKAGES + more_packages)
    root = empty_root(Path(tempfile.mkdtemp(prefix="kfp-pod-")))
    try:
        with open(root / "log", "wb") as log:
            works = namespaces.start(root, ["true"], {}, [Mount(root / "s3", "/workspace/volume")], log).wait() == 0
    except OSError:  # no `unshare` here
        works = False
    shutil.rmtree(root)
    return namespaces if works else FolderPods(PACKAGES + more_packages)


def empty_root(folder: Path) -> Path:
    for name in WRITABLE:
        (folder / name).mkdir(parents=True)
    return folder


def _start(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Any) -> subprocess.Popen[bytes]:
    path = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    return subprocess.Popen(
        list(command),
        env={"PATH": path, "LANG": "C.UTF-8", **environment},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
