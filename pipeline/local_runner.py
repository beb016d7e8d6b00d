"""The local DAG runner, telling which component runs and how it ended."""

from __future__ import annotations

import datetime
import time
from typing import Any, Protocol

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner, runner_utils
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2
from tfx.utils import telemetry_utils

from trainer import interruption, memory


class Display(Protocol):
    """Where a run shows what it does."""

    def started(self, component: str) -> None: ...

    def finished(self, component: str, seconds: float, *, cached: bool) -> None: ...

    def failed(self, component: str, seconds: float) -> None: ...

    def stopped(self, component: str, seconds: float) -> None: ...


class LocalRunner(local_dag_runner.LocalDagRunner):
    """TFX's LocalDagRunner with a display; after a run, `run_id` names it in the metadata."""

    def __init__(self, display: Display):
        super().__init__()
        self._display = display
        self.run_id = ""

    def run_with_ir(self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None) -> None:
        """As LocalDagRunner's, one component after the other in topological order; partial runs are not supported.

        Raises:
          Interrupted: a signal asked the run to stop, which it did after the step that it was at.
        """
        if run_options:
            raise NotImplementedError("partial runs are left to the cache")
        self.run_id = datetime.datetime.now().isoformat()
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: self.run_id}
        )
        deployment = runner_utils.extract_local_deployment_config(pipeline)
        connection = getattr(
            deployment.metadata_connection_config,
            deployment.metadata_connection_config.WhichOneof("connection_config"),
        )
        with telemetry_utils.scoped_labels({telemetry_utils.LABEL_TFX_RUNNER: "local"}):
            for node in pipeline.nodes:
                interruption.check()
                self._launch(node.pipeline_node, pipeline, deployment, connection)
            interruption.check()

    def _launch(
        self,
        node: pipeline_pb2.PipelineNode,
        pipeline: pipeline_pb2.Pipeline,
        deployment: Any,
        connection: metadata_store_pb2.ConnectionConfig,
    ) -> None:
        name = node.node_info.id
        component_launcher = launcher.Launcher(
            pipeline_node=node,
            mlmd_connection=metadata.Metadata(connection),
            pipeline_info=pipeline.pipeline_info,
            pipeline_runtime_spec=pipeline.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, name),
            custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
        )
        self._display.started(name)
        start = time.monotonic()
        try:
            execution = component_launcher.launch()
        except BaseException:
            seconds = time.monotonic() - start
            if interruption.requested():
                self._display.stopped(name, seconds)
                interruption.check()  # whatever became of the component by it
            self._display.failed(name, seconds)
            raise
        finally:
            memory.release()
        self._display.finished(name, time.monotonic() - start, cached=_is_cached(connection, execution))


def _is_cached(connection: Any, execution: Any) -> bool:
    if execution is None or execution.execution_id is None:
        return False
    with metadata.Metadata(connection) as handle:
        (stored,) = handle.store.get_executions_by_id([execution.execution_id])
    return bool(stored.last_known_state == metadata_store_pb2.Execution.CACHED)
