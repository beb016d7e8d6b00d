"""s3://: TFX's file operations, pushing and comparing models, and reading transactions, at a real S3 endpoint."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from components import object_store, pusher
from components.current_model import pushed_versions, version_to_beat
from components.digests import folder_digest
from components.model_folder import read_manifest
from components.pusher import push
from components.reading.files import find_files, fingerprint
from components.reading.readers import read_batches
from tests.support.kfp_stores import WEED, S3Store, moto_server, seaweedfs_server
from trainer.columns import Columns
from trainer.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


# How many files an answer names at most: moto is told, SeaweedFS is not.
FILES_OF_AN_ANSWER = {moto_server: 10, seaweedfs_server: 1000}
SEAWEEDFS = pytest.param(
    seaweedfs_server,
    marks=pytest.mark.skipif(WEED is None, reason="no weed here: SeaweedFS, the store that Kubeflow Pipelines bring"),
    id="seaweedfs",
)


@pytest.fixture(scope="module", params=[pytest.param(moto_server, id="moto"), SEAWEEDFS])
def endpoint(request: pytest.FixtureRequest) -> Iterator[S3Store]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MOTO_S3_DEFAULT_MAX_KEYS", str(FILES_OF_AN_ANSWER[moto_server]))
        with request.param() as store:
            yield store


@pytest.fixture
def forget_client() -> Iterator[None]:
    """The process's one client is made anew, from the test's environment."""
    object_store._client.cache_clear()
    yield
    object_store._client.cache_clear()


@pytest.fixture
def bucket(
    endpoint: S3Store, forget_client: None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> str:
    """A fresh one, as s3://..."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", endpoint.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", endpoint.secret_key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    name = f"bucket-{abs(hash(request.node.nodeid)):x}"
    endpoint.client.create_bucket(Bucket=name)
    return f"s3://{name}"


def write(path: str, content: str = "content") -> str:
    io_utils.write_string_file(path, content)
    return path


def test_text_and_bytes_come_back_as_they_were(bucket: str) -> None:
    with fileio.open(f"{bucket}/a/text", "w") as file:
        file.write("grün\n")
        file.write("zwei")
    with fileio.open(f"{bucket}/a/bytes", "wb") as file:
        file.write(b"\x00\xff")
    with fileio.open(f"{bucket}/a/text") as file:
        assert list(file) == ["grün\n", "zwei"]
    assert fileio.open(f"{bucket}/a/bytes", "rb").read() == b"\x00\xff"
    assert fileio.open(f"{bucket}/a/text", "rb").read() == "grün\nzwei".encode()
    assert fileio.stat(f"{bucket}/a/text").length == len("grün\nzwei".encode())
    assert abs(fileio.stat(f"{bucket}/a/text").mtime_nsec / 1e9 - time.time()) < 60


def test_a_file_is_there_when_it_is_closed_and_not_when_writing_it_failed(bucket: str) -> None:
    with fileio.open(f"{bucket}/file", "w") as file:
        file.write("half")
        assert not fileio.exists(f"{bucket}/file")
    assert fileio.exists(f"{bucket}/file")

    def broken() -> None:
        with fileio.open(f"{bucket}/other", "w") as file:
            file.write("half")
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert not fileio.exists(f"{bucket}/other")


def test_other_modes_are_refused(bucket: str) -> None:
    with pytest.raises(ValueError, match=r"one of r, rb, w, wb .* got a"):
        fileio.open(f"{bucket}/file", "a")


def test_a_folder_is_what_has_files_in_it(bucket: str) -> None:
    write(f"{bucket}/a/b-2/file")
    write(f"{bucket}/a/b/c/file")
    write(f"{bucket}/a/top")
    assert [fileio.exists(f"{bucket}/{path}") for path in ("a", "a/", "a/b", "a/b/c/file", "a/top", "")] == [True] * 6
    assert [fileio.exists(f"{bucket}/{path}") for path in ("a/to", "a/b/c/fil", "a/b-", "x")] == [False] * 4
    assert [fileio.isdir(f"{bucket}/{path}") for path in ("a", "a/b/", "a/top", "a/to", "")] == [
        *(True, True, False, False),
        True,
    ]
    assert fileio.listdir(f"{bucket}/a") == ["b", "b-2", "top"]
    assert fileio.listdir(bucket) == ["a"]
    assert fileio.stat(f"{bucket}/a").is_directory
    fileio.makedirs(f"{bucket}/empty")
    fileio.mkdir(f"{bucket}/empty")
    assert not fileio.exists(f"{bucket}/empty")


def test_marks_that_consoles_make_for_folders_are_no_files(bucket: str, endpoint: S3Store) -> None:
    name = bucket.removeprefix("s3://")
    endpoint.client.put_object(Bucket=name, Key="models/", Body=b"")
    endpoint.client.put_object(Bucket=name, Key="models/1/", Body=b"")
    write(f"{bucket}/models/1/file")
    assert fileio.listdir(f"{bucket}/models") == ["1"]
    assert list(fileio.walk(f"{bucket}/models")) == [
        (f"{bucket}/models", ["1"], []),
        (f"{bucket}/models/1", [], ["file"]),
    ]
    fileio.rmtree(f"{bucket}/models")
    assert endpoint.keys(name, "") == []


def tree(folder: Path) -> Path:
    for path in ("saved_model.pb", "variables/variables.index", "variables/a/deep", "assets-2/x", "assets/words.txt"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"content of {path}")
    return folder


def walked(top: str, **how: Any) -> list[tuple[str, list[str], list[str]]]:
    """By relative paths, sorted within a folder."""
    return [
        (os.path.relpath(parent, top), sorted(name.strip("/") for name in folders), sorted(files))
        for parent, folders, files in fileio.walk(top, **how)
    ]


def test_a_tree_goes_there_and_back_and_is_walked_as_on_a_disk(bucket: str, tmp_path: Path) -> None:
    local = str(tree(tmp_path / "model"))
    io_utils.copy_dir(local, f"{bucket}/deep/model")
    assert sorted(walked(f"{bucket}/deep/model")) == sorted(walked(local))
    for topdown in (True, False):
        order = [parent for parent, _, _ in walked(f"{bucket}/deep/model", topdown=topdown)]
        pairs = [(order.index(outer), order.index(inner)) for outer in order for inner in order if _holds(outer, inner)]
        assert pairs
        assert all((outer < inner) == topdown for outer, inner in pairs)
    assert folder_digest(f"{bucket}/deep/model") == folder_digest(local)
    io_utils.copy_dir(f"{bucket}/deep/model", str(tmp_path / "back"))
    assert folder_digest(str(tmp_path / "back")) == folder_digest(local)
    # what was there before goes, as on a disk
    (tmp_path / "model" / "saved_model.pb").unlink()
    io_utils.copy_dir(local, f"{bucket}/deep/model")
    assert folder_digest(f"{bucket}/deep/model") == folder_digest(local)
    assert list(fileio.walk(f"{bucket}/nothing")) == []


def _holds(outer: str, inner: str) -> bool:
    return inner != outer and (outer == "." or inner.startswith(f"{outer}/"))


@pytest.mark.parametrize("pattern", ["*", "*/*", "a*/x", "variables/*.index", "assets/words.txt", "v*/?/deep", "no/*"])
def test_a_glob_finds_what_it_finds_on_a_disk(bucket: str, tmp_path: Path, pattern: str) -> None:
    local = tree(tmp_path / "model")
    io_utils.copy_dir(str(local), f"{bucket}/model")
    matches = fileio.glob(f"{bucket}/model/{pattern}")
    assert matches == sorted(f"{bucket}/model/{path.relative_to(local)}" for path in local.glob(pattern))


def test_more_files_than_one_answer_holds(bucket: str, endpoint: S3Store, request: pytest.FixtureRequest) -> None:
    name, client = bucket.removeprefix("s3://"), endpoint.client
    count = FILES_OF_AN_ANSWER[request.node.callspec.params["endpoint"]] + 3
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: client.put_object(Bucket=name, Key=f"many/{n:04d}", Body=b""), range(count)))
    assert client.list_objects_v2(Bucket=name)["KeyCount"] == count - 3
    assert fileio.listdir(f"{bucket}/many") == [f"{n:04d}" for n in range(count)]
    ((_, _, files),) = fileio.walk(f"{bucket}/many")
    assert len(files) == count


def test_a_folder_is_renamed_with_all_that_is_in_it(bucket: str) -> None:
    for path in ("old/a", "old/b/c", "old-2/d"):
        write(f"{bucket}/{path}", path)
    fileio.rename(f"{bucket}/old", f"{bucket}/new")
    assert fileio.open(f"{bucket}/new/b/c").read() == "old/b/c"
    assert fileio.listdir(bucket) == ["new", "old-2"]
    fileio.rename(f"{bucket}/new/a", f"{bucket}/file")
    assert fileio.open(f"{bucket}/file").read() == "old/a"
    assert not fileio.exists(f"{bucket}/new/a")


def test_nothing_is_overwritten_by_default(bucket: str) -> None:
    for name in ("one", "two"):
        write(f"{bucket}/{name}", name)
    for operation in (fileio.rename, fileio.copy):
        with pytest.raises(OSError, match="two exists already; pass overwrite=True"):
            operation(f"{bucket}/one", f"{bucket}/two")
    fileio.copy(f"{bucket}/one", f"{bucket}/two", overwrite=True)
    assert fileio.open(f"{bucket}/two").read() == "one"
    fileio.remove(f"{bucket}/two")
    assert fileio.listdir(bucket) == ["one"]


@pytest.mark.parametrize(
    "operation",
    [
        lambda path: fileio.open(path),
        lambda path: fileio.open(path, "rb"),
        lambda path: fileio.listdir(path),
        lambda path: fileio.remove(path),
        lambda path: fileio.rmtree(path),
        lambda path: fileio.stat(path),
        lambda path: fileio.copy(path, f"{path}-2"),
        lambda path: fileio.rename(path, f"{path}-2"),
    ],
)
def test_what_is_not_there_is_not_found(bucket: str, operation: Callable[[str], Any]) -> None:
    with pytest.raises(fileio.NotFoundError):
        operation(f"{bucket}/nothing")


# What is wrong, in words


def test_a_bucket_that_is_not_there_is_named(bucket: str, endpoint: S3Store) -> None:
    with pytest.raises(InputError, match="s3://no-such/models: the store has no bucket no-such; make it"):
        fileio.exists("s3://no-such/models")
    if not endpoint.makes_buckets:
        with pytest.raises(InputError, match="the store has no bucket no-such"):
            write("s3://no-such/models/file")


def test_without_credentials_it_says_how_to_give_them(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    with pytest.raises(InputError, match="no credentials; set AWS_ACCESS_KEY_ID"):
        fileio.exists(f"{bucket}/file")


def test_a_store_that_does_not_answer_is_named_by_its_address(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9.*set AWS_ENDPOINT_URL_S3 to the store's address"):
        fileio.exists(f"{bucket}/file")


@pytest.mark.parametrize(("code", "kind"), [("AccessDenied", InputError), ("SlowDown", OSError)])
def test_a_denial_is_bad_input_and_a_fault_of_the_store_is_not(
    bucket: str, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[Exception]
) -> None:
    from botocore.exceptions import ClientError

    class Client:
        def get_object(self, **what: Any) -> None:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetObject")

    monkeypatch.setattr(object_store, "_client", Client)
    with pytest.raises(kind, match=code):
        fileio.open(f"{bucket}/file")


def test_without_boto3_it_says_what_to_install(forget_client: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(InputError, match=r"pip install 'fraud-pipeline\[aws\]'"):
        fileio.exists("s3://bucket/file")


def test_importing_it_needs_no_boto3_and_leaves_other_paths_alone() -> None:
    code = """
import sys
import components.object_store
from tfx.dsl.io import fileio, filesystem_registry
get = filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.get_filesystem_for_path
print([name for name in ("boto3", "botocore") if name in sys.modules], fileio.exists("/"),
      *(get(path).__name__ for path in ("s3://a/b", "gs://a/b", "/a/b")))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["[]", "True", "S3Filesystem", *["TensorflowFilesystem"] * 2], done.stderr


# Models in service


COLUMNS = {"label": "fraud"}


def model(folder: Path, weights: str) -> str:
    """What looks like a SavedModel of the trainer, with an empty folder in it."""
    for path, content in {
        "saved_model.pb": "graph",
        "fingerprint.pb": "print",
        "variables/variables.index": weights,
        "assets.extra/manifest.json": '{"columns": {"label": "fraud"}}',
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    (folder / "assets").mkdir()
    return str(folder)


def test_a_model_is_pushed_once_and_then_recognized(bucket: str, tmp_path: Path) -> None:
    first = model(tmp_path / "first", "1")
    before = int(time.time())
    version, folder = push(first, f"{bucket}/serving")
    assert before <= version <= int(time.time())
    assert folder == f"{bucket}/serving/{version}"
    assert folder_digest(folder) == folder_digest(first)
    assert fileio.listdir(f"{bucket}/serving") == [str(version)]
    assert push(model(tmp_path / "same", "1"), f"{bucket}/serving") == (version, folder)
    second, _ = push(model(tmp_path / "second", "2"), f"{bucket}/serving")
    assert [pushed.number for pushed in pushed_versions(f"{bucket}/serving")] == [second, version]
    assert read_manifest(folder) == {"columns": COLUMNS}


def test_the_model_in_service_is_found_to_compare_with(bucket: str, tmp_path: Path) -> None:
    candidate = model(tmp_path / "candidate", "2")
    assert version_to_beat(f"{bucket}/serving", candidate) is None
    version, _ = push(model(tmp_path / "old", "1"), f"{bucket}/serving")
    push(candidate, f"{bucket}/serving")
    to_beat = version_to_beat(f"{bucket}/serving", candidate)
    assert to_beat is not None
    assert to_beat.number == version


class Watched:
    """`fileio` that does something before each copy within the store."""

    def __init__(self, before: Callable[[str], None]):
        self._before = before

    def __getattr__(self, name: str) -> Any:
        return getattr(fileio, name)

    def copy(self, src: str, dst: str, overwrite: bool = False) -> None:
        self._before(dst)
        fileio.copy(src, dst, overwrite=overwrite)


def test_serving_never_sees_half_a_model(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = f"{bucket}/serving"
    seen: list[str] = []

    def look(target: str) -> None:
        assert pushed_versions(served) == []
        seen.append(os.path.basename(target))

    monkeypatch.setattr(pusher, "fileio", Watched(look))
    push(model(tmp_path / "model", "1"), served)
    assert len(seen) == 4
    assert seen[-1] == "saved_model.pb"
    assert len(pushed_versions(served)) == 1


@pytest.mark.parametrize(("error", "at"), [(OSError("lost"), 2), (KeyboardInterrupt(), 0)])
def test_of_a_push_that_breaks_off_nothing_stays_that_serving_looks_at(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, at: int
) -> None:
    served, copies = f"{bucket}/serving", []

    def fail(target: str) -> None:
        if len(copies) == at:
            raise error
        copies.append(target)

    with monkeypatch.context() as broken:
        broken.setattr(pusher, "fileio", Watched(fail))
        with pytest.raises(type(error)):
            push(model(tmp_path / "model", "1"), served)
    assert not any(name.isdigit() for name in fileio.listdir(served))
    version, _ = push(str(tmp_path / "model"), served)
    assert fileio.listdir(served) == [str(version)]


def test_what_a_killed_push_left_is_passed_over_and_its_number_not_taken_again(bucket: str, tmp_path: Path) -> None:
    served, late = f"{bucket}/serving", 10**12  # by a clock that is far ahead
    write(f"{served}/{late}/variables/variables.index", "half")
    write(f"{served}/.incoming-{late}/saved_model.pb", "half")
    assert pushed_versions(served) == []
    version, folder = push(model(tmp_path / "model", "1"), served)
    assert version == late + 1
    assert folder_digest(folder) == folder_digest(str(tmp_path / "model"))
    assert sorted(fileio.listdir(served)) == [str(late), str(late + 1)]


# Transactions


def test_transactions_are_found_and_read_there(bucket: str) -> None:
    write(f"{bucket}/data/a.csv", "fraud,euros\n0,1.5\n1,20\n")
    write(f"{bucket}/data/b.csv", "fraud,euros\n0,7\n")
    write(f"{bucket}/data/notes.txt", "none")
    columns = Columns(label="fraud", numeric=("euros",))
    for path in (f"{bucket}/data", f"{bucket}/data/*.csv"):
        files = find_files(path)
        assert [file.path for file in files] == [f"{bucket}/data/a.csv", f"{bucket}/data/b.csv"]
        rows = [row for file in files for batch in read_batches(file.path, columns) for row in batch.to_pylist()]
        assert [row["euros"] for row in rows] == [1.5, 20, 7]
    with pytest.raises(InputError, match="no transactions there"):
        find_files(f"{bucket}/nothing")


def test_another_content_of_the_same_size_has_another_fingerprint(bucket: str) -> None:
    """By its ETag: nothing of it is read."""
    prints = []
    for content in ("fraud\n0\n", "fraud\n1\n", "fraud\n0\n"):
        write(f"{bucket}/data/a.csv", content)
        prints.append(fingerprint(f"{bucket}/data"))
    assert prints[0] != prints[1]
    assert prints[0] == prints[2]
