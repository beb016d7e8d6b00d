"""Places that a person named: what is wrong with one ends in a sentence and exit code 2, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.reading.files import find_files
from pipeline import cli
from tests.support.command_line import ROOT
from trainer import places
from trainer.errors import InputError

LONG = "x" * 300


def ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code of a command in this process, and what it complained of."""
    monkeypatch.setattr(sys, "argv", ["fraud-pipeline", *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return int(exit_.value.code or 0), capsys.readouterr().err


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transactions: Path) -> Path:
    """A current folder with a file, a folder and transactions in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "file/cache")
    (tmp_path / "file").write_text("there")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    pd.read_csv(transactions, nrows=49).to_csv(tmp_path / "few.csv", index=False)
    return tmp_path


OUTPUTS = {
    "data synthesize --rows 100 -o {}.csv": "--output",
    "data synthesize --rows 100 -o {}.parquet": "--output",
    "data describe few.csv --html {}": "--html",
    "kubeflow compile --output {}": "--output",
    "check --set data.path=few.csv --set workspace={}": "workspace",
    "run --set data.path=few.csv --set workspace={}": "workspace",
    "check --config {}": "--config",
    "runs --set workspace={}": "workspace",
    "review --set workspace={}": "workspace",
    "data describe {}": "",
    "kubeflow lint {}": "compile",
    "data fetch": "XDG_CACHE_HOME",
}


@pytest.mark.parametrize("place", ["file/x", LONG])
@pytest.mark.parametrize("line", OUTPUTS)
def test_a_place_that_can_not_be_ends_in_a_sentence_and_leaves_nothing(
    line: str, place: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(here)
    code, complaint = ended(monkeypatch, capsys, *line.format(place).split(" "))
    assert code == 2
    assert complaint.startswith("error: ")
    assert OUTPUTS[line] in complaint
    assert "Errno" not in complaint
    assert contents(here) == before


@pytest.mark.parametrize("name", ["--html", "--output"])
def test_a_folder_is_no_file(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "describe", "few.csv"] if name == "--html" else ["kubeflow", "compile"]
    code, complaint = ended(monkeypatch, capsys, *command, name, "folder.csv")
    assert (code, complaint) == (
        2,
        f"error: folder.csv can't be written to: it is a folder, not a file; name another file with {name}\n",
    )


def test_the_home_folder_may_be_written_as_a_tilde(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(here / "home"))
    assert ended(monkeypatch, capsys, "data", "synthesize", "--rows", "900", "-o", "~/drawn.csv")[0] == 0
    assert (here / "home" / "drawn.csv").is_file()
    monkeypatch.setenv("FRAUD_PIPELINE_DATA", "~/drawn.csv")
    workspace = ("--set", "workspace=~/ws")
    assert ended(monkeypatch, capsys, "data", "describe", *workspace, "--html", "~/new/page.html")[0] == 0
    assert (here / "home" / "new" / "page.html").is_file()
    assert ended(monkeypatch, capsys, "data", "describe", "~/drawn.csv", *workspace)[0] == 0
    assert (here / "home" / "ws" / "describe.html").is_file()
    assert not (here / "~").exists()


def test_a_file_of_any_name_is_described_and_no_other(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (here / "few.csv").read_text().splitlines(keepends=True)
    names = [
        "tx.csv #2.csv",
        "a: b.csv",
        "[1].csv",
        "*.csv",
        "'q'.csv",
        "{x}.csv",
        "null.csv",
        "~x.csv",
        "two\nlines.csv",
    ]
    for number, name in enumerate(names):
        folder = here / f"days [{number}]"
        folder.mkdir()
        (folder / name).write_text("".join(text[: 20 + number]))
        (folder / "tx.csv").write_text("".join(text[:40]))
        (folder / "1.csv").write_text("".join(text[:41]))
        page = here / "page.html"
        code, complaint = ended(monkeypatch, capsys, "data", "describe", f"{folder}/{name}", "--html", str(page))
        assert code == 0, complaint
        assert f">{19 + number}<" in page.read_text(), name
    # a pattern in a folder whose name has brackets
    assert len(find_files(f"{here}/days [0]/t*.csv")) == 2


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_a_full_disk_leaves_no_half_of_a_file(suffix: str, tmp_path: Path) -> None:
    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    arguments = ["-m", "pipeline", "data", "synthesize", "--rows", "5000", "-o", f"{tmp_path}/drawn{suffix}"]
    done = subprocess.run([sys.executable, "-B", *arguments], cwd=ROOT, preexec_fn=full, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert f"drawn{suffix} can't be written to: the file would be larger than is allowed here; name" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_signal_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    arguments = ["-m", "pipeline", "data", "synthesize", "--rows", "50000000", "-o", f"{tmp_path}/drawn.csv"]
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stderr=subprocess.PIPE)
    while not any(path.stat().st_size > 100_000 for path in tmp_path.iterdir()):
        assert process.poll() is None
        os.sched_yield()
    process.terminate()
    process.communicate()
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == []


@given(before=st.none() | st.binary(), content=st.binary())
def test_a_file_is_written_whole_with_its_rights_and_through_links(before: bytes | None, content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        target, link = Path(name, "deep", "file"), Path(name, "link")
        if before is not None:
            target.parent.mkdir()
            target.write_bytes(before)
            target.chmod(0o640)
            link.symlink_to(target)
        places.write(target if before is None else link, content, "choose another")
        assert target.read_bytes() == content
        assert before is None or (target.stat().st_mode & 0o777 == 0o640 and link.is_symlink())
        assert [path.name for path in target.parent.iterdir()] == ["file"]
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe:
        places.write(Path(f"/dev/fd/{write}"), content[:1000], "choose another")
        os.close(write)
        assert pipe.read() == content[:1000]


def test_a_full_disk_in_the_middle_of_a_run_is_told_from_a_fault_of_the_program() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/ws/artifacts/x")
    of_beam = RuntimeError("of Beam")
    of_beam.__cause__ = full
    assert places.place_fault(of_beam) == "/ws/artifacts/x: its disk is full"
    assert places.place_fault(RuntimeError("RESOURCE_EXHAUSTED: x; No space left on device")) is not None
    assert "its disk has a fault" in str(places.place_fault(RuntimeError("Error when executing: disk I/O error")))
    assert places.place_fault(RuntimeError("unknown")) is None
    assert places.place_fault(FileNotFoundError(errno.ENOENT, "", "of the program")) is None


def test_a_circle_of_links_is_named(here: Path) -> None:
    with pytest.raises(InputError, match=r"circle: no transactions there|its links lead in a circle"):
        find_files(str(here / "circle"))
    with pytest.raises(InputError, match=r"x can't be written to: .*; name another$"):
        places.check(here / "circle" / "x", "name another")
