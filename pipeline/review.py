"""What a run left to look at: its report and TensorBoard, in the browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from pipeline.runs import Run, past_runs
from trainer.errors import InputError

_SLOWEST_START = 120.0  # seconds


def finished_run(metadata_path: Path, run_id: str | None = None) -> Run:
    """The newest run with a report that is still there, or the one of that name.

    Raises:
      InputError: there is none; it says what to do.
    """
    runs = past_runs(metadata_path)
    finished = [run for run in runs if run.report and Path(run.report).is_file()]
    chosen = next((run for run in finished if run_id in (None, run.run_id)), None)
    if chosen:
        return chosen
    where = metadata_path.parent
    if not runs:
        raise InputError(f"no runs in {where} yet; start one: fraud-pipeline run")
    if not finished:
        raise InputError(
            f"no finished run in {where}, the newest is {runs[0].state}; "
            "`fraud-pipeline run` goes on from the last finished component"
        )
    raise InputError(
        f"no finished run {run_id!r} in {where}; finished, the newest first: {_some([run.run_id for run in finished])}"
    )


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more (fraud-pipeline runs --json)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def schema(left: Mapping[str, str]) -> str:
    """Of the artifacts of a run, the URI of the schema that was given or, where none was, inferred."""
    return left.get("ImportSchemaGen.schema") or left["SchemaGen.schema"]


def serve(run: Run, logs: Path, log: Path, *, port: int, browser: bool) -> NoReturn:
    """Shows the run's report and TensorBoard on `logs`, until it is interrupted; TensorBoard's own words go to `log`.

    Raises:
      RuntimeError: TensorBoard does not start, or ends by itself.
    """
    report = Path(run.report).as_uri()
    print(f"Report:      {report}", flush=True)
    free = port_near(port)
    with _tensorboard(logs, free, log) as process:
        address = f"http://localhost:{free}/"
        _wait_until_it_answers(process, address, log)
        print(f"TensorBoard: {address}", flush=True)
        if free != port:
            print(f"Port {port} is taken, so it is another one.")
        if browser and not (_has_display() and webbrowser.open(report) and webbrowser.open(address)):
            print("No browser could be opened here; open the two addresses in yours.")
        print("Ctrl-C ends it.", flush=True)
        raise RuntimeError(f"TensorBoard ended with exit status {process.wait()}; {log} says more")


def _has_display() -> bool:
    """Without one, Python would open a browser for terminals, in this one."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def tensorboard_command(logs: Path, port: int) -> list[str]:
    """TensorBoard on all runs below `logs`, for this machine alone."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--port", str(port)]
    return [*command, "--host", "localhost", "--load_fast=false"]


def port_near(wanted: int) -> int:
    """`wanted` where nothing listens there yet, else a free port."""
    try:
        return _bindable(wanted)
    except OSError:
        return _bindable(0)


def _bindable(port: int) -> int:
    with socket.create_server(("localhost", port)) as server:
        return int(server.getsockname()[1])


@contextmanager
def _tensorboard(logs: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """TensorBoard's process, which does not outlive the block, however that ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    before = signal.signal(signal.SIGTERM, _interrupt)
    with log.open("wb") as output:
        process = subprocess.Popen(tensorboard_command(logs, port), stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _wait_until_it_answers(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + _SLOWEST_START
    while process.poll() is None and time.monotonic() < end:
        try:
            with direct.open(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"TensorBoard does not answer at {address}; {log} says more")
