"""A TFX pipeline of two components that do next to nothing."""
# No `from __future__ import annotations`: TFX reads the annotations of a component function as objects.

from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.types import standard_artifacts


@component
def Writer(number: OutputArtifact[standard_artifacts.Integer]) -> None:
    number.value = 5


@component
def Reader(number: InputArtifact[standard_artifacts.Integer]) -> None:
    if number.value != 5:
        raise ValueError(f"expected 5, got {number.value}")


def run(folder: Path) -> Path:
    """Runs it once and returns the metadata."""
    path = folder / "metadata.db"
    writer = Writer()
    LocalDagRunner().run(
        pipeline.Pipeline(
            pipeline_name="small",
            pipeline_root=str(folder / "artifacts"),
            components=[writer, Reader(number=writer.outputs["number"]).with_id("Last")],
            enable_cache=True,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(str(path)),
        )
    )
    return path
