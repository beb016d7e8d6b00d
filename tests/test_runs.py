"""Past runs, read from the metadata."""

from __future__ import annotations

from pathlib import Path

import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline.runs import past_run, past_runs


@pytest.fixture
def metadata_path(tmp_path: Path) -> Path:
    """Metadata of two runs that ended after their first component."""
    connection = pb.ConnectionConfig()
    connection.sqlite.filename_uri = str(tmp_path / "metadata.db")
    store = ml_metadata.MetadataStore(connection)
    kind = store.put_context_type(pb.ContextType(name="pipeline_run"))
    component = store.put_execution_type(pb.ExecutionType(name="ExampleGen"))
    for name in ("first", "second"):
        (context,) = store.put_contexts([pb.Context(type_id=kind, name=name)])
        (execution,) = store.put_executions([pb.Execution(type_id=component, last_known_state=pb.Execution.COMPLETE)])
        store.put_attributions_and_associations([], [pb.Association(context_id=context, execution_id=execution)])
    return tmp_path / "metadata.db"


def test_all_runs_are_listed(metadata_path, tmp_path):
    assert {run.run_id for run in past_runs(metadata_path)} == {"first", "second"}
    assert {run.state for run in past_runs(metadata_path)} == {"interrupted"}
    assert past_runs(tmp_path / "nowhere.db") == []


def test_one_run_is_found_by_its_name(metadata_path, tmp_path):
    (second,) = (run for run in past_runs(metadata_path) if run.run_id == "second")
    assert past_run(metadata_path, "second") == second
    for path, name in ((metadata_path, "third"), (tmp_path / "nowhere.db", "second")):
        with pytest.raises(LookupError, match=f"no run {name}"):
            past_run(path, name)
