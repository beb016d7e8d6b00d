"""Data and runs that several tests look at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.browser import Browser, executable
from trainer.memory import share_gpus

ROOT = Path(__file__).resolve().parents[1]
REAL_ROWS = "FRAUD_PIPELINE_REAL_ROWS"
_STATES = {"✓": "ran", "✗": "failed"}


share_gpus()  # between the processes that the tests run in
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # as a shell starts what runs in the background of a script; processes that tests start, and interrupt, would
    # inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before xdist looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process runs all tests of a file, which share what they make, and one all that look at the shared run."""
    for item in items:
        shared = "workspace" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("workspace" if shared else item.path.name))


@dataclass(frozen=True)
class Finished:
    """A `fraud-pipeline` command that ended: its exit code and all it printed."""

    code: int
    output: str

    @property
    def components(self) -> dict[str, str]:
        """`ran`, `cached` or `failed` for each component that the run showed."""
        states = {}
        for line in self.output.splitlines():
            mark, *words = line.split()[:3] or [""]
            if mark in _STATES and len(words) == 2:
                states[words[0]] = "cached" if words[1] == "cached" else _STATES[mark]
        return states


def _call(
    *arguments: str, environment: dict[str, str] | None = None, folder: Path = ROOT, timeout: float = 400
) -> Finished:
    """Runs the command line in a process of its own, as a user would who stands in that folder."""
    settings = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT), **(environment or {})}
    settings.pop("FRAUD_PIPELINE_DATA", None)
    settings.update(environment or {})
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        env=settings,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    return Finished(done.returncode, done.stdout)


@pytest.fixture(scope="session")
def fraud_pipeline() -> Callable[..., Finished]:
    """The command line: `fraud_pipeline("run", "--set", "training.epochs=1")`."""
    return _call


@pytest.fixture(scope="session")
def real_rows() -> Path:
    """Real transactions with their data card beside them."""
    folder = os.environ.get(REAL_ROWS)
    if not folder:
        pytest.skip(f"{REAL_ROWS} names no folder with real transactions")
    return Path(folder) / "transactions.csv.gz"


@pytest.fixture(scope="session")
def transactions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real transactions where there are some, else synthesized ones."""
    folder = os.environ.get(REAL_ROWS)
    if folder:
        return Path(folder) / "transactions.csv.gz"
    from pipeline.data import synthesis

    path = tmp_path_factory.mktemp("synthesized") / "transactions.csv"
    synthesis.write(path, rows=25_000, seed=3, fraud_rate=0.016)
    return path


@dataclass(frozen=True)
class Workspace:
    """A workspace after a run on `transactions`, and the arguments that run it again."""

    folder: Path
    first: Finished
    arguments: tuple[str, ...]

    @property
    def pushed(self) -> list[Path]:
        """Folders of the pushed models, oldest first."""
        serving = self.folder / "serving"
        return sorted(path for path in serving.iterdir() if path.name.isdigit()) if serving.exists() else []

    def runs(self) -> list[dict]:
        listed = _call("runs", "--json", *self.arguments)
        return json.loads(listed.output)


@pytest.fixture(scope="session")
def workspace(transactions: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The one run of the default configuration that the end-to-end tests share."""
    folder = tmp_path_factory.mktemp("workspace")
    arguments = ("--set", f"workspace={folder}", "--set", f"data.path={transactions}")
    return Workspace(folder, _call("run", *arguments), arguments)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real browser: `with browser.page(width=390, scheme="dark") as page: page.open(path)`."""
    path = executable()
    if path is None:
        pytest.skip("no Chromium on the PATH; `make browser` installs it")
    running = Browser(path)
    yield running
    running.close()
