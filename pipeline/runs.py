"""Past runs, from the metadata."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ml_metadata
from ml_metadata.proto import metadata_store_pb2 as pb

from components.properties import AVERAGE_PRECISION_PROPERTY, ORIGIN_PROPERTY
from pipeline import metadata
from pipeline.workspace_lock import running_since

_RUN = "pipeline_run"  # TFX's type of context


@dataclass(frozen=True)
class Run:
    """A run in the metadata.

    state: done, failed, interrupted or, in a list of runs, running; started: seconds since 1970; seconds: from the
    first component's start to the last one's end; blessed, pushed and average_precision are None where the run did not
    get that far.
    """

    run_id: str
    pipeline: str
    started: float
    seconds: float
    state: str
    data: str
    average_precision: float | None
    blessed: bool | None
    pushed: bool | None
    model: str
    report: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def past_runs(metadata_path: Path) -> list[Run]:
    """All runs that the metadata knows, the newest first; none where there is no metadata yet."""
    since = running_since(metadata_path.parent)
    with metadata.opened(metadata_path) as store:
        if store is None:
            return []
        try:
            contexts = store.get_contexts_by_type(_RUN)
        except ml_metadata.errors.NotFoundError:
            return []
        runs = [_run(store, context) for context in contexts]
    newest_first = sorted((run for run in runs if run), key=lambda run: run.started, reverse=True)
    # the run that is going on may not have begun with its first component yet: the newest may be one before it
    newest = next(iter(newest_first), None)
    if newest and newest.state == "interrupted" and since is not None and newest.started >= since:
        newest_first[0] = replace(newest, state="running")
    return newest_first


def past_run(metadata_path: Path, run_id: str) -> Run:
    """The run of that name alone: looking at all of them takes the longer, the more there were.

    Raises:
      LookupError: the metadata knows no such run.
    """
    with metadata.opened(metadata_path) as store:
        context = store.get_context_by_type_and_name(_RUN, run_id) if store else None
        run = _run(store, context) if store and context else None
    if run is None:
        raise LookupError(f"{metadata_path} knows no run {run_id}")
    return run


def latest_artifact(metadata_path: Path, kind: str) -> str | None:
    """The URI of the newest artifact of that type that a run left, None where there is none."""
    with metadata.opened(metadata_path) as store:
        try:
            artifacts = store.get_artifacts_by_type(kind) if store else []
        except ml_metadata.errors.NotFoundError:
            return None
    live = [artifact for artifact in artifacts if artifact.state == pb.Artifact.LIVE]
    return max(live, key=lambda artifact: artifact.id).uri if live else None


def artifacts(metadata_path: Path, run_id: str) -> dict[str, str]:
    """What a run made or took from the cache: URIs by component and output, as `StatisticsGen.statistics`.

    Raises:
      LookupError: the metadata knows no such run.
    """
    with metadata.opened(metadata_path) as store:
        context = store.get_context_by_type_and_name(_RUN, run_id) if store else None
        if store is None or context is None:
            raise LookupError(f"{metadata_path} knows no run {run_id}")
        live = [one for one in store.get_artifacts_by_context(context.id) if one.state == pb.Artifact.LIVE]
    # TFX lays them out as ROOT/COMPONENT/OUTPUT/EXECUTION
    return {".".join(one.uri.split("/")[-3:-1]): one.uri for one in live}


def _run(store: ml_metadata.MetadataStore, context: pb.Context) -> Run | None:
    executions = store.get_executions_by_context(context.id)
    if not executions:
        return None
    artifacts = _outputs(store, executions)
    started = min(execution.create_time_since_epoch for execution in executions) / 1000
    ended = max(execution.last_update_time_since_epoch for execution in executions) / 1000
    examples = artifacts.get("Examples")
    evaluation = artifacts.get("ModelEvaluation")
    blessing = artifacts.get("ModelBlessing")
    pushed = artifacts.get("PushedModel")
    report = artifacts.get("FraudPipelineReport")
    return Run(
        run_id=context.name,
        pipeline=_pipeline_name(store, executions[0]),
        started=started,
        seconds=ended - started,
        state=_state(executions, finished=report is not None),
        data=_property(examples, ORIGIN_PROPERTY) or "",
        average_precision=_property(evaluation, AVERAGE_PRECISION_PROPERTY),
        blessed=None if blessing is None else bool(_property(blessing, "blessed")),
        pushed=None if pushed is None else bool(_property(pushed, "pushed")),
        model=_property(pushed, "pushed_destination") or "",
        report=f"{report.uri}/report.html" if report else "",
    )


def _pipeline_name(store: ml_metadata.MetadataStore, execution: pb.Execution) -> str:
    kinds = {context.type: context.name for context in store.get_contexts_by_execution(execution.id)}
    name: str = kinds.get("pipeline", "")
    return name


def _outputs(store: ml_metadata.MetadataStore, executions: Iterable[pb.Execution]) -> dict[str, pb.Artifact]:
    """The latest output artifact of each type."""
    events = store.get_events_by_execution_ids([execution.id for execution in executions])
    ids = {event.artifact_id for event in events if event.type == pb.Event.OUTPUT}
    artifacts = store.get_artifacts_by_id(sorted(ids))
    types = {artifact.type_id: "" for artifact in artifacts}
    names = {kind.id: kind.name for kind in store.get_artifact_types_by_id(list(types))}
    live = [artifact for artifact in artifacts if artifact.state == pb.Artifact.LIVE]
    return {names[artifact.type_id]: artifact for artifact in live}


def _state(executions: Iterable[pb.Execution], *, finished: bool) -> str:
    states = {execution.last_known_state for execution in executions}
    if pb.Execution.FAILED in states:
        return "failed"
    if finished and pb.Execution.RUNNING not in states:
        return "done"
    return "interrupted"


def _property(holder: Any, name: str) -> Any:
    if holder is None:
        return None
    value = holder.custom_properties.get(name) or holder.properties.get(name)
    if value is None:
        return None
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
