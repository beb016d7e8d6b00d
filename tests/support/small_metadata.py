"""Metadata of past runs, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ml_metadata
from ml_metadata.proto import metadata_store_pb2 as pb


def store(path: Path) -> ml_metadata.MetadataStore:
    """The metadata store of a file, which is created if it does not exist."""
    connection = pb.ConnectionConfig()
    connection.sqlite.filename_uri = str(path)
    return ml_metadata.MetadataStore(connection)


def add_run(
    path: Path,
    name: str,
    component: str,
    outputs: Sequence[pb.Artifact] = (),
    state: pb.Execution.State = pb.Execution.COMPLETE,
) -> None:
    """Adds a run in which one component ended in this state, with these artifacts."""
    metadata = store(path)
    kind = metadata.put_context_type(pb.ContextType(name="pipeline_run"))
    execution = pb.Execution(
        type_id=metadata.put_execution_type(pb.ExecutionType(name=component)), last_known_state=state
    )
    made = [(artifact, pb.Event(type=pb.Event.OUTPUT)) for artifact in outputs]
    metadata.put_execution(execution, made, [pb.Context(type_id=kind, name=name)])
