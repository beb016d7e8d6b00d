"""Transform: TFX's, reading its examples in large batches."""

from __future__ import annotations

from typing import Any

from tfx.components.transform import component, executor
from tfx.dsl.components.base import executor_spec

from components.record_batches import BatchedExamples


class Executor(executor.Executor):
    """TFX's executor with our source of record batches."""

    def _CreateTFXIO(self, dataset: Any, schema: Any) -> Any:
        return BatchedExamples(
            dataset.file_pattern,
            schema=schema,
            telemetry_descriptors=["fraud-pipeline", "Transform"],
        )


class TransactionsTransform(component.Transform):
    """TFX's Transform over the examples of our ExampleGen."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
