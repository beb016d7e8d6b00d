"""The review of a run: which run it is, what is opened and printed, and that nothing of it is left running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline.review import finished_run, port_near
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
    with pytest.raises(InputError, match=f"no finished run '{name}' in .*; finished, the newest first: second, first"):
        finished_run(metadata_path, name)


def test_without_a_finished_run_it_says_what_to_do(metadata_path, tmp_path):
    with pytest.raises(InputError, match=r"no runs in .* yet; start one: fraud-pipeline run"):
        finished_run(tmp_path / "nothing" / "metadata.db")
    for page in tmp_path.glob("artifacts/Report/report/*/report.html"):
        page.unlink()
    with pytest.raises(InputError, match=r"no finished run in .*, the newest is failed; .* goes on from the last"):
        finished_run(metadata_path)


def test_a_taken_port_is_replaced_by_a_free_one():
    with socket.create_server(("localhost", 0)) as server:
        taken = server.getsockname()[1]
        assert port_near(taken) != taken
    assert port_near(taken) == taken


# A small server in TensorBoard's place, which takes seconds to start; {command} is what it runs.
SERVE = """
import sys
from pathlib import Path
from pipeline import review
review.tensorboard_command = lambda logs, port: [sys.executable, {command}, str(port), "--bind", "localhost"]
run = review.finished_run(Path(sys.argv[1]))
log = Path(sys.argv[1]).parent / "logs" / "tensorboard.log"
review.serve(run, log.parent, log, port=int(sys.argv[2]), browser=sys.argv[3] == "browser")
"""


def serve(metadata_path: Path, browser: str, command: str = "'-m', 'http.server'") -> subprocess.Popen[str]:
    """Serves in a process of its own; the browser notes what it is to open in a file."""
    note = metadata_path.with_name("browser")
    note.write_text(f'#!/bin/sh\necho "$1" >>"{metadata_path.with_name("opened")}"\n')
    note.chmod(0o755)
    return subprocess.Popen(
        [sys.executable, "-c", SERVE.format(command=command), str(metadata_path), str(port_near(6006)), browser],
        cwd=ROOT,
        env={**os.environ, "BROWSER": f"{note} %s"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("browser", "end"), [("browser", signal.SIGINT), ("no-browser", signal.SIGTERM)])
def test_report_and_tensorboard_are_opened_and_printed_and_end_with_the_command(metadata_path, browser, end):
    process = serve(metadata_path, browser)
    printed = [process.stdout.readline().strip() for _ in range(3)]
    report, board = (line.split()[-1] for line in printed[:2])
    process.send_signal(end)
    process.communicate(timeout=20)
    assert report == Path(finished_run(metadata_path).report).as_uri()
    assert printed[2] == "Ctrl-C ends it."
    opened = metadata_path.with_name("opened")
    assert (opened.read_text().split() if opened.exists() else []) == ([report, board] if browser == "browser" else [])
    port = int(board.rstrip("/").rpartition(":")[2])
    assert port_near(port) == port  # nothing listens there any more


def test_the_error_of_a_tensorboard_that_does_not_start_names_its_log(metadata_path):
    process = serve(metadata_path, "no-browser", command="'-c', 'raise SystemExit(\"no such option\")'")
    _, output = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "RuntimeError: TensorBoard does not answer at http://localhost:" in output
    log = metadata_path.parent / "logs" / "tensorboard.log"
    assert f"{log} says more" in output
    assert log.read_text().strip() == "no such option"
