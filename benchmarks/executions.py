"""How long each component of a TFX run took, by ML Metadata, in the same way for any pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ml_metadata
from ml_metadata.proto import metadata_store_pb2 as pb

from benchmarks.processes import Finished
from benchmarks.results import Figures


@dataclass(frozen=True)
class Timeline:
    """The newest run in the metadata.

    components: how many seconds each took, by its id, in the order of their start; started, ended: seconds since 1970.
    """

    components: dict[str, float]
    started: float
    ended: float

    @classmethod
    def from_metadata(cls, metadata: Path) -> Timeline:
        """Reads a sqlite file.

        Raises:
          SystemExit: the file has no run.
        """
        connection = pb.ConnectionConfig()
        connection.sqlite.filename_uri = str(metadata)
        connection.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READONLY
        store = ml_metadata.MetadataStore(connection)
        runs = store.get_contexts_by_type("pipeline_run")
        if not runs:
            raise SystemExit(f"{metadata} holds no run")
        newest = max(runs, key=lambda run: run.create_time_since_epoch)
        executions = sorted(
            store.get_executions_by_context(newest.id), key=lambda execution: execution.create_time_since_epoch
        )
        return cls(
            {
                _node(store, execution): (execution.last_update_time_since_epoch - execution.create_time_since_epoch)
                / 1000
                for execution in executions
            },
            executions[0].create_time_since_epoch / 1000,
            max(execution.last_update_time_since_epoch for execution in executions) / 1000,
        )


def _node(store: ml_metadata.MetadataStore, execution: pb.Execution) -> str:
    names: dict[str, str] = {context.type: context.name for context in store.get_contexts_by_execution(execution.id)}
    return names["node"].removeprefix(f"{names['pipeline']}.")


def figures(finished: Finished, metadata: Path) -> Figures:
    """Seconds of the whole process and of its steps, which add up to them, and its peak memory in GiB."""
    timeline = Timeline.from_metadata(metadata)
    return {
        "seconds": finished.seconds,
        "peak_gib": finished.peak_gib,
        "steps": {
            "start-up": timeline.started - finished.started,
            **timeline.components,
            # TFX's drivers, and writing metadata before and after an execution
            "between components": timeline.ended - timeline.started - sum(timeline.components.values()),
            "conclusion": finished.ended - timeline.ended,
        },
    }
