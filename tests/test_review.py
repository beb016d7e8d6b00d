"""The review of a run: which run it is, what is opened and printed, and that nothing of it is left running."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline.review import finished_run, port_near, tunnel_command
from tests.support.processes import wait_until_ended
from tests.support.small_metadata import add_run, store
from trainer.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def metadata_path(tmp_path: Path) -> Path:
    """Metadata of four runs, the last of which failed, and of which the third's report was deleted."""
    path = tmp_path / "metadata.db"
    report = store(path).put_artifact_type(pb.ArtifactType(name="FraudPipelineReport"))
    for number, name in enumerate(("first", "second", "deleted")):
        uri = tmp_path / "artifacts" / "Report" / "report" / str(number)
        if name != "deleted":
            uri.mkdir(parents=True)
            (uri / "report.html").write_text(name)
        add_run(path, name, "Report", [pb.Artifact(type_id=report, uri=str(uri), state=pb.Artifact.LIVE)])
    add_run(path, "failed", "Report", state=pb.Execution.FAILED)
    return path


def test_the_newest_run_with_a_report_is_taken_or_the_one_that_is_named(metadata_path):
    assert finished_run(metadata_path).run_id == "second"
    assert Path(finished_run(metadata_path, "first").report).read_text() == "first"


@pytest.mark.parametrize("name", ["third", "deleted", "failed"])
def test_a_run_without_a_report_cannot_be_named(metadata_path, name):
    with pytest.raises(InputError, match=f"no finished run '{name}' in .* finished, the newest first: second, first"):
        finished_run(metadata_path, name)


def test_without_a_finished_run_it_says_what_to_do(metadata_path, tmp_path):
    with pytest.raises(InputError, match=r"no runs in .* yet; start one: fraud-pipeline run"):
        finished_run(tmp_path / "nothing" / "metadata.db")
    for page in tmp_path.glob("artifacts/Report/report/*/report.html"):
        page.unlink()
    with pytest.raises(InputError, match=r"no finished run in .*; the newest is failed, .*: fraud-pipeline run -c a"):
        finished_run(metadata_path, start="fraud-pipeline run -c a")


def test_a_taken_port_is_replaced_by_a_free_one():
    with socket.create_server(("localhost", 0)) as server:
        taken = server.getsockname()[1]
        assert port_near(taken) != taken
    assert port_near(taken) == taken


# A small server in TensorBoard's place, which takes seconds to start; {module} is what runs.
SERVE = """
import sys
from pathlib import Path
from pipeline import review
review.TENSORBOARD = {module!r}
review.tensorboard_arguments = lambda logs, port: [str(port), "--bind", "localhost"]
metadata, port, browser, report = sys.argv[1:]
run = review.finished_run(Path(metadata)) if report == "report" else None
log = Path(metadata).parent / "logs" / "tensorboard.log"
review.serve(log.parent, log, port=int(port), run=run, browser=browser == "browser")
"""


def serve(
    metadata_path: Path, browser: str = "no-browser", module: str = "http.server", report: str = "report", **more: str
) -> subprocess.Popen[bytes]:
    """Serves in a process of its own; the browser notes what it is to open in a file."""
    note = metadata_path.with_name("browser")
    note.write_text(f'#!/bin/sh\necho "$1" >>"{metadata_path.with_name("opened")}"\n')
    note.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"}
    arguments = (str(metadata_path), str(port_near(6006)), browser, report)
    return subprocess.Popen(
        [sys.executable, "-c", SERVE.format(module=module), *arguments],
        cwd=ROOT,
        env={**environment, "BROWSER": f"{note} %s", **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    )


def shown(process: subprocess.Popen[bytes]) -> list[str]:
    """The lines that it prints until it serves."""
    lines: list[str] = []
    assert process.stdout is not None
    while not lines or lines[-1] != "Ctrl-C ends it.":
        line = process.stdout.readline().decode()
        assert line, lines
        lines.append(line.rstrip("\n"))
    return lines


def children(parent: int) -> list[Path]:
    """Their folders in /proc."""
    return [Path("/proc", child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def test_report_and_tensorboard_are_opened_and_printed(metadata_path):
    process = serve(metadata_path, "browser")
    lines = shown(process)
    links = [line.split()[-1] for line in lines if "http:" in line]
    report, board = links
    assert lines[0] == f"Report:      {report}"
    assert lines[1].strip() == Path(finished_run(metadata_path).report).as_uri()
    assert urllib.request.urlopen(report, timeout=20).read() == b"second"
    assert urllib.request.urlopen(board, timeout=20).status == 200
    assert metadata_path.with_name("opened").read_text().split() == links
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("report", ["report", "no-report"])
def test_nothing_goes_on_when_the_command_ends(metadata_path, end, report):
    process = serve(metadata_path, report=report)
    lines = shown(process)
    assert any("Report:" in line for line in lines) == (report == "report")
    started = children(process.pid)
    assert len(started) == 1
    process.send_signal(end)
    process.communicate(timeout=20)
    wait_until_ended(*started)
    for line in lines:
        if "http:" in line:
            port = int(line.rstrip("/").rpartition(":")[2])
            assert port_near(port) == port  # nothing listens there any more


def test_a_review_under_nohup_outlives_its_terminal(metadata_path):
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = subprocess.Popen(
        [sys.executable, "-c", SERVE.format(module="http.server"), str(metadata_path), "6006", "no-browser", "report"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        bufsize=0,
        preexec_fn=ignore,
    )
    lines = shown(process)
    process.send_signal(signal.SIGHUP)
    assert urllib.request.urlopen(lines[0].split()[-1], timeout=20).read() == b"second"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)


def test_who_is_logged_in_by_ssh_is_given_the_command_for_a_tunnel(metadata_path):
    process = serve(metadata_path, SSH_CONNECTION="192.0.2.7 51234 192.0.2.1 2222", LOGNAME="ada")
    lines = shown(process)
    report, board = (line.rstrip("/").rpartition(":")[2] for line in lines if "http:" in line)
    tunnel = f"  ssh -N -L {board}:localhost:{board} -L {report}:localhost:{report} -p 2222 ada@192.0.2.1"
    assert tunnel in lines
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


def test_without_ssh_there_is_no_tunnel():
    assert tunnel_command({}, [6006]) == ""
    assert tunnel_command({"SSH_CONNECTION": "UNKNOWN 65535 UNKNOWN"}, [6006]) == ""
    usual = tunnel_command({"SSH_CONNECTION": "2001:db8::7 51234 2001:db8::1 22"}, [6006])
    assert usual == f"ssh -N -L 6006:localhost:6006 {getpass.getuser()}@2001:db8::1"


def test_the_error_of_a_tensorboard_that_does_not_start_names_its_log(metadata_path):
    process = serve(metadata_path, module="no_such_module")
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    log = metadata_path.parent / "logs" / "tensorboard.log"
    last = output.decode().splitlines()[-1]
    assert last.startswith("RuntimeError: TensorBoard does not answer at http://localhost:")
    assert last.endswith(f"{log} says more")
    assert "no_such_module" in log.read_text()


@pytest.mark.parametrize("module", ["http.server", "no_such_module"])
def test_a_temporary_log_is_kept_for_an_error_alone(metadata_path, module):
    (metadata_path.parent / "logs").write_text("no folder, so that no log can be written into it")
    temporary = metadata_path.parent / "temporary"
    temporary.mkdir()
    process = serve(metadata_path, module=module, TMPDIR=str(temporary))
    if module == "http.server":
        shown(process)
        assert len(list(temporary.iterdir())) == 1
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert list(temporary.iterdir()) == []
    else:
        output, _ = process.communicate(timeout=20)
        (log,) = temporary.iterdir()
        assert output.decode().rstrip().endswith(f"{log} says more")
        assert "no_such_module" in log.read_text()
