"""Past runs, read from the metadata."""

from __future__ import annotations

from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline.review import finished_run
from pipeline.runs import artifacts, latest_artifact, past_run, past_runs
from pipeline.workspace_lock import exclusive, running_since
from tests.support.small_metadata import add_run, store
from trainer.errors import InputError


@pytest.fixture
def metadata_path(tmp_path: Path) -> Path:
    """Metadata of two runs that ended after their first component."""
    for name in ("first", "second"):
        add_run(tmp_path / "metadata.db", name, "ExampleGen")
    return tmp_path / "metadata.db"


def test_all_runs_are_listed(metadata_path, tmp_path):
    assert {run.run_id for run in past_runs(metadata_path)} == {"first", "second"}
    assert {run.state for run in past_runs(metadata_path)} == {"interrupted"}
    assert past_runs(tmp_path / "nowhere.db") == []


def test_the_run_that_holds_the_lock_is_running_and_none_before_it(metadata_path, tmp_path):
    def states() -> list[str]:
        return [run.state for run in past_runs(metadata_path)]

    with exclusive(tmp_path):
        assert states() == ["interrupted", "interrupted"]
        add_run(metadata_path, "third", "ExampleGen")
        with pytest.raises(InputError, match="another run is going on"), exclusive(tmp_path):
            pass
        assert states() == ["running", "interrupted", "interrupted"]
        assert running_since(tmp_path) is not None
        with pytest.raises(InputError, match=r"no finished run in .* yet; the newest is running, wait for it"):
            finished_run(metadata_path)
    assert states() == ["interrupted"] * 3
    with exclusive(tmp_path):
        assert states() == ["interrupted"] * 3
        add_run(metadata_path, "fourth", "Trainer", state=pb.Execution.FAILED)
        assert states()[0] == "failed"


def test_looking_for_a_run_that_is_going_on_makes_nothing(tmp_path):
    assert running_since(tmp_path / "nowhere") is None
    assert running_since(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_one_run_is_found_by_its_name(metadata_path, tmp_path):
    (second,) = (run for run in past_runs(metadata_path) if run.run_id == "second")
    assert past_run(metadata_path, "second") == second
    for path, name in ((metadata_path, "third"), (tmp_path / "nowhere.db", "second")):
        with pytest.raises(LookupError, match=f"no run {name}"):
            past_run(path, name)


def test_the_newest_artifact_is_the_last_that_was_finished(metadata_path, tmp_path):
    metadata = store(metadata_path)
    assert latest_artifact(metadata_path, "HyperParameters") is None
    kinds = {name: metadata.put_artifact_type(pb.ArtifactType(name=name)) for name in ("HyperParameters", "Model")}
    assert latest_artifact(metadata_path, "HyperParameters") is None
    for kind, uri, state in (
        ("HyperParameters", "/artifacts/1", pb.Artifact.LIVE),
        ("HyperParameters", "/artifacts/2", pb.Artifact.LIVE),
        ("HyperParameters", "/artifacts/3", pb.Artifact.PENDING),
        ("HyperParameters", "/artifacts/4", pb.Artifact.DELETED),
        ("Model", "/artifacts/5", pb.Artifact.LIVE),
    ):
        metadata.put_artifacts([pb.Artifact(type_id=kinds[kind], uri=uri, state=state)])
    assert latest_artifact(metadata_path, "HyperParameters") == "/artifacts/2"
    assert latest_artifact(metadata_path, "Model") == "/artifacts/5"
    assert latest_artifact(metadata_path, "Schema") is None
    assert latest_artifact(tmp_path / "nowhere.db", "Model") is None


def test_what_a_run_made_is_known_by_component_and_output(tmp_path):
    path = tmp_path / "metadata.db"
    report = store(path).put_artifact_type(pb.ArtifactType(name="FraudPipelineReport"))
    made = [
        pb.Artifact(type_id=report, uri=f"/artifacts/Report/{output}/{number}", state=state)
        for number, (output, state) in enumerate((("report", pb.Artifact.LIVE), ("older", pb.Artifact.DELETED)))
    ]
    add_run(path, "first", "Report", made)
    assert artifacts(path, "first") == {"Report.report": "/artifacts/Report/report/0"}
    with pytest.raises(LookupError, match="no run third"):
        artifacts(path, "third")
