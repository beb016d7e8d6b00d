"""What a run left to look at: its report and TensorBoard, in the browser."""

from __future__ import annotations

import getpass
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NoReturn

from pipeline.console import say
from pipeline.invocation import NAME
from pipeline.report_server import serving
from pipeline.runs import Run, past_runs
from trainer import processes
from trainer.errors import InputError

TENSORBOARD = "tensorboard.main"  # the module
_PORTS = 10  # to try near the one that is wanted
_SLOWEST_START = 120.0  # seconds


def finished_run(metadata_path: Path, run_id: str | None = None, *, start: str = f"{NAME} run") -> Run:
    """The newest run with a report that is still there, or the one of that name.

    Args:
      start: the command that starts a run there, for messages.

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
        raise InputError(f"no runs in {where} yet; start one: {start}")
    if not finished and runs[0].state == "running":
        raise InputError(f"no finished run in {where} yet; the newest is running, wait for it")
    if not finished:
        raise InputError(
            f"no finished run in {where}; the newest is {runs[0].state}, and this goes on from its last finished "
            f"component: {start}"
        )
    names = _some([run.run_id for run in finished])
    raise InputError(f"no finished run {run_id!r} in {where}; those that are finished, the newest first: {names}")


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more, which `{NAME} runs --json` lists" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def schema(left: Mapping[str, str]) -> str:
    """Of the artifacts of a run, the URI of the schema that was given or, where none was, inferred."""
    return left.get("ImportSchemaGen.schema") or left["SchemaGen.schema"]


def serve(logs: Path, log: Path, *, port: int, run: Run | None = None, browser: bool = False) -> NoReturn:
    """Shows TensorBoard on `logs`, and the report of a run if there is one, until a signal ends it.

    Args:
      log: what TensorBoard itself prints goes there.
      port: where TensorBoard listens if it is free; the report is at the next one that is.

    Raises:
      KeyboardInterrupt: by Ctrl-C, SIGTERM or SIGHUP.
      RuntimeError: TensorBoard does not start, or ends by itself.
    """
    with _ended_by_signals(), ExitStack() as shown:
        board_port = port_near(port)
        log, process = shown.enter_context(_tensorboard(logs, board_port, log))
        ports = [board_port]
        links = []
        if run is not None:
            report = Path(run.report)
            ports.append(shown.enter_context(serving(report, ports_from(board_port + 1))))
            links.append(f"http://localhost:{ports[-1]}/")
            say(f"Report:      {links[-1]}", f"             {report.as_uri()}")
        address = f"http://localhost:{board_port}/"
        _wait_until_it_answers(process, address, log)
        say(f"TensorBoard: {address}")
        if board_port != port:
            say(f"Port {port} is taken; TensorBoard listens on {board_port}.")
        if tunnel := tunnel_command(os.environ, ports):
            say("These addresses work on your own machine while this runs there:", f"  {tunnel}")
        links.append(address)
        if browser and not (_has_display() and all(map(webbrowser.open, links))):
            say("No browser could be opened here; open the addresses in yours.")
        say("Ctrl-C ends it.")
        raise RuntimeError(f"TensorBoard ended with exit status {process.wait()}; {log} says more")


def _has_display() -> bool:
    """Without one, Python would open a browser for terminals, in this one."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def tunnel_command(environment: Mapping[str, str], ports: Sequence[int]) -> str:
    """What makes ports of this machine those of the machine that is logged in from by SSH; "" where there is none."""
    # the client's address and port, then those by which it reached this machine
    connection = environment.get("SSH_CONNECTION", "").split()
    if len(connection) != 4:
        return ""
    host, ssh_port = connection[2:]
    words = ["ssh", "-N", *(word for port in ports for word in ("-L", f"{port}:localhost:{port}"))]
    if ssh_port != "22":
        words += ["-p", ssh_port]
    return shlex.join([*words, f"{getpass.getuser()}@{host}"])


def tensorboard_arguments(logs: Path, port: int) -> list[str]:
    """TensorBoard on all runs below `logs`, for this machine alone."""
    return ["--logdir", str(logs), "--port", str(port), "--host", "localhost", "--load_fast=false"]


def ports_from(wanted: int) -> range:
    """The ports to try where one is wanted."""
    return range(wanted, wanted + _PORTS)


def port_near(wanted: int) -> int:
    """The first port from `wanted` on where nothing listens yet, else any that is free."""
    for port in ports_from(wanted):
        with suppress(OSError, OverflowError):
            return _bindable(port)
    return _bindable(0)


def _bindable(port: int) -> int:
    with socket.create_server(("localhost", port)) as server:
        return int(server.getsockname()[1])


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Within it SIGTERM and SIGHUP raise KeyboardInterrupt, but for one that is ignored, as SIGHUP is under nohup."""
    before = {
        number: signal.signal(number, _interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            # Python knows none where C code had installed one
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@contextmanager
def _tensorboard(logs: Path, port: int, log: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """TensorBoard's log and its process, which does not outlive the block, nor this process, however they end.

    A temporary log is deleted when somebody ends it; an error names the log.
    """
    with _writable(log) as output:
        process = processes.start(TENSORBOARD, tensorboard_arguments(logs, port), output)
    written = Path(output.name)
    is_of_use = True
    try:
        yield written, process
    except KeyboardInterrupt:
        is_of_use = written == log
        raise
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if not is_of_use:
            written.unlink(missing_ok=True)


def _writable(log: Path) -> IO[bytes]:
    """The log, or a temporary one where the workspace can't be written to."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("wb")
    except OSError:
        descriptor, name = tempfile.mkstemp(prefix="tensorboard-", suffix=".log")
        os.close(descriptor)
        return open(name, "wb")


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
