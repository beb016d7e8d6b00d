"""Data and runs that several tests use."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.browser import Browser, executable
from tests.support.command_line import Finished, Workspace, run_command
from trainer.imports import lean
from trainer.memory import share_gpus

REAL_ROWS = "FRAUD_PIPELINE_REAL_ROWS"


share_gpus()  # between the processes that the tests run in
# as a shell starts what runs in the background of a script; processes that tests start, and interrupt, would inherit it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# under `nohup`: goes on being ignored here, but a process that is started has the default instead of a handler
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


# how long an example takes depends on what else the machine does
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Imports what all tests import, TensorFlow and TFX among it, in less time; the garbage collector passes it by."""
    with lean():
        # the coverage of these is not asked for, and following each of their lines takes as long as the import itself
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            for name in ("pandas", "sklearn.ensemble", "tensorflow_model_analysis", "tfx.components", "keras_tuner"):
                importlib.import_module(name)
        finally:
            sys.settrace(tracer)
        return (yield)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: for an eighth of their time, tests wait for processes, ports and signals."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)  # before xdist looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process runs all tests of a file, which share what they make, and one all that look at the shared run.

    A file that shares with others what takes long to make says so itself, by the mark of a group.
    """
    for item in items:
        if "workspace" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("workspace"))
        elif not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.fixture(scope="session")
def fraud_pipeline() -> Callable[..., Finished]:
    """The command line: `fraud_pipeline("run", "--set", "training.epochs=1")`."""
    return run_command


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


@pytest.fixture(scope="session")
def workspace(transactions: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The one run of the default configuration that the end-to-end tests share."""
    folder = tmp_path_factory.mktemp("workspace")
    arguments = ("--set", f"workspace={folder}", "--set", f"data.path={transactions}")
    return Workspace(folder, run_command("run", *arguments), arguments)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real browser: `with browser.page(width=390, scheme="dark") as page: page.open(path)`."""
    path = executable()
    if path is None:
        pytest.skip("no Chromium on the PATH; `make browser` installs it")
    running = Browser(path)
    yield running
    running.close()
