"""The progress of a run on Kubeflow Pipelines: its components, their pods, and why one failed."""

from __future__ import annotations

import datetime
import itertools
import logging
import math
import re
import shutil
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol

from pipeline.kubeflow.api import Api, ApiError

_SUCCEEDED, _FAILED, _CANCELED, _SKIPPED = "SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"
_GOING = frozenset({"PENDING", "RUNNING", "PAUSED", "CANCELING", _SUCCEEDED})
_ENDED = frozenset({_SUCCEEDED, _FAILED, _CANCELED, _SKIPPED})

_SETTLED = 2.0  # seconds that the API takes to write the states of a run's components, after that of the run

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """A component of a run.

    state: waiting, running, done, cached, failed or canceled; seconds: since the start of its driver, None before that;
    pods: names of its container's pods, the last attempt first, or of its driver's where that failed; reason: the API's
    reason for a failure, mostly empty.
    """

    name: str
    state: str
    seconds: float | None = None
    pods: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """The components of a pipeline, each after those it depends on; retried: those that are tried several times."""

    names: tuple[str, ...] = ()
    retried: frozenset[str] = frozenset()

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any] | None) -> Plan:
        tasks = (spec or {}).get("root", {}).get("dag", {}).get("tasks", {})
        graph = {name: task.get("dependentTasks", ()) for name, task in tasks.items()}
        retried = frozenset(name for name, task in tasks.items() if task.get("retryPolicy"))
        try:
            return cls(tuple(name for name in TopologicalSorter(graph).static_order() if name in graph), retried)
        except CycleError:
            return cls(tuple(graph), retried)


def tasks(run: Any, plan: Plan | None = None, now: datetime.datetime | None = None) -> list[Task]:
    """The components of a run in the order in which they started, then those of the plan that have not started.

    The API's details are Argo's nodes: for each component a pod `NAME-driver`, and a node `NAME` with a pod that is
    called `executor` in all of them. Where an executor may be retried, it is a node with attempts, `executor(0)` and so
    on; Kubeflow Pipelines 2.17 has Argo retry every node. A component from the cache is a node that succeeded with an
    executor that was skipped.

    When the nodes take more than 1 MiB, Argo compresses them, and the API's details no longer change (2.17.0). If the
    run has succeeded all the same, the other components are done, after an unknown time.
    """
    plan = plan or Plan()
    details = (run.run_details.task_details if run.run_details else None) or ()
    nodes = {detail.display_name or "": detail for detail in details}
    drivers = {name for name in nodes if name.endswith("-driver")}
    # a server that shows components only has no drivers
    names = {name.removesuffix("-driver") for name in drivers} - {"root"} if drivers else set(nodes)
    names |= set(plan.names) & set(nodes)
    skipped = [detail for detail in details if detail.state == _SKIPPED and _is_executor(detail)]
    pods = _Pods(details, plan.retried)
    now = now or datetime.datetime.now(datetime.timezone.utc)
    shown = [_task(name, nodes, skipped, pods, now, run) for name in names]
    started = sorted((task for task in shown if task.state != "waiting"), key=lambda task: _began(nodes, task.name))
    rest = (*plan.names, *sorted(names - set(plan.names)))
    other = "done" if run.state == _SUCCEEDED else "waiting"
    return started + [Task(name, other) for name in rest if name not in {task.name for task in started}]


def _is_executor(detail: Any) -> bool:
    return (detail.display_name or "").partition("(")[0] == "executor"


def _began(nodes: Mapping[str, Any], name: str) -> tuple[float, str]:
    first = nodes.get(f"{name}-driver") or nodes[name]
    return (first.start_time.timestamp() if _is_time(first.start_time) else math.inf), name


def _task(
    name: str, nodes: Mapping[str, Any], skipped: list[Any], pods: _Pods, now: datetime.datetime, run: Any
) -> Task:
    driver, node = nodes.get(f"{name}-driver"), nodes.get(name)
    parts = [part for part in (driver, node) if part is not None]
    states = {part.state for part in parts}
    last, own_pods = parts[-1], pods.executors(name)
    if _FAILED in states:
        state = "failed"
        if driver is not None and driver.state == _FAILED:
            last, own_pods = driver, pods.driver(name)
    elif _CANCELED in states:
        state = "canceled"
    elif node is not None and node.state == _SKIPPED:
        state = "cached"
    elif node is not None and node.state == _SUCCEEDED:
        state = "cached" if any(_at_once(node, one) for one in skipped) else "done"
    elif not states & _GOING:
        return Task(name, "waiting")  # as where a component before it failed
    else:
        if run.state == _SUCCEEDED:
            return Task(name, "done", pods=own_pods)
        state = "canceled" if run.state in _ENDED else "running"
    start = min((part.start_time for part in parts if _is_time(part.start_time)), default=None)
    end = last.end_time if state != "running" and _is_time(last.end_time) else now
    seconds = max(0.0, (end - start).total_seconds()) if start else None
    return Task(name, state, seconds, () if state == "cached" else own_pods, _reason_in(last))


def _at_once(node: Any, executor: Any) -> bool:
    """Whether the node ended within a second, when the executor was skipped: a pod takes longer to start and end."""
    within = datetime.timedelta(seconds=1)
    return (
        all(map(_is_time, (node.start_time, node.end_time, executor.start_time)))
        and node.end_time - node.start_time <= within
        and abs(executor.start_time - node.start_time) <= within
    )


def _is_time(moment: Any) -> bool:
    """Whether the moment is a real time; Go's zero time, or 1970 in its place, means none."""
    return moment is not None and moment.year > 1970


def _reason_in(detail: Any) -> str:
    errors = [detail.error, *(status.error for status in reversed(detail.state_history or ()))]
    return next((" ".join(error.message.split()) for error in errors if error and error.message), "")


class _Pods:
    """Names of a run's pods, which the API does not return.

    Argo gives a node the ID `WORKFLOW-HASH`, with the FNV-1a hash of the node's name, and its pod the name
    `WORKFLOW-TEMPLATE-HASH`. A node's name is the name of the node that it is in, a dot, and its own name; an attempt
    adds its number, as in `(0)`. The workflow's name is that of the node whose children have such IDs.
    """

    def __init__(self, details: Iterable[Any], retried: Collection[str]):
        children = [(detail.display_name, _children(detail)) for detail in details]
        self._ids = {child for _, ids in children for child in ids}
        self._pod_names = {detail.display_name: detail.pod_name for detail in details if detail.pod_name}
        self._retried = retried
        self._workflow = next(
            (
                name
                for name, ids in children
                if name and {_id(name, f"{name}.root-driver"), _id(name, f"{name}(0)")} & set(ids)
            ),
            None,
        )

    def executors(self, component: str) -> tuple[str, ...]:
        """Pods of the component's executor, the last attempt first."""
        if component in self._pod_names:
            return (self._pod_names[component],)
        nodes = [f"{part}.executor" for root in self._roots() for part in self._attempts(f"{root}.{component}")]
        started = [node for node in nodes if _id(self._workflow, node) in self._ids]
        return tuple(
            self._pod(self._template(component, attempt != node), attempt)
            for node in started
            for attempt in self._attempts(node)
        )

    def driver(self, component: str) -> tuple[str, ...]:
        return tuple(
            self._pod("system-container-driver", attempt)
            for root in self._roots()
            for attempt in self._attempts(f"{root}.{component}-driver")
        )

    def _template(self, component: str, is_attempt: bool) -> str:
        """The template of an executor's pod; where every node is retried, its attempts do not show which one it is."""
        all_retried = _id(self._workflow, f"{self._workflow}(0)") in self._ids
        retried = component in self._retried if all_retried else is_attempt
        return "retry-system-container-impl" if retried else "system-container-impl"

    def _roots(self) -> list[str]:
        if self._workflow is None:
            return []
        return [root for whole in self._attempts(self._workflow) for root in self._attempts(f"{whole}.root")]

    def _attempts(self, node: str) -> list[str]:
        """Names of the attempts at a node, the last first, or its own name where it can't be retried."""
        names = (f"{node}({number})" for number in itertools.count())
        attempts = itertools.takewhile(lambda name: _id(self._workflow, name) in self._ids, names)
        return [*attempts][::-1] or [node]

    def _pod(self, template: str, node: str) -> str:
        return f"{self._workflow}-{template}-{_fnv1a(node)}"


def _id(workflow: str | None, node: str) -> str:
    return f"{workflow}-{_fnv1a(node)}"


def _children(detail: Any) -> list[str]:
    return [child.pod_name for child in detail.child_tasks or () if child.pod_name]


def _fnv1a(text: str) -> int:
    """The 32-bit FNV-1a hash, as in Go's hash/fnv."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def plan_of(api: Api, run: Any) -> Plan:
    """The plan of a run; empty where its pipeline does not exist any more."""
    spec = run.pipeline_spec
    reference = run.pipeline_version_reference
    if not spec and reference and reference.pipeline_id and reference.pipeline_version_id:
        try:
            spec = api.version(reference.pipeline_id, reference.pipeline_version_id).pipeline_spec
        except ApiError as error:
            _log.info("no pipeline of the run: %s", error)
    # next to a platform's document it is one level deeper
    return Plan.from_spec((spec or {}).get("pipeline_spec", spec))


def has_ended(run: Any) -> bool:
    return run.state in _ENDED


def has_succeeded(run: Any) -> bool:
    return bool(run.state == _SUCCEEDED)


class Display(Protocol):
    """Shows the progress of a run."""

    def started(self, component: str) -> None: ...

    def finished(self, component: str, seconds: float | None, *, cached: bool) -> None: ...

    def failed(self, component: str, seconds: float) -> None: ...


def follow(api: Api, run: Any, display: Display, *, every: float = 5.0) -> Any:
    """Shows a run until it has ended, and returns it as it is then; every: seconds between requests."""
    plan = plan_of(api, run)
    shown: dict[str, str] = {}
    while not has_ended(run):
        _show(tasks(run, plan), shown, display)
        time.sleep(every)
        run = api.run(run.run_id)
    time.sleep(min(every, _SETTLED))
    run = api.run(run.run_id)
    _show(tasks(run, plan), shown, display)
    return run


def _show(now: Iterable[Task], shown: dict[str, str], display: Display) -> None:
    """Shows the states that have changed."""
    for task in now:
        if shown.get(task.name) == task.state:
            continue
        shown[task.name] = task.state
        if task.state == "running":
            display.started(task.name)
        elif task.state in ("done", "cached"):
            display.finished(task.name, task.seconds, cached=task.state == "cached")
        elif task.state in ("failed", "canceled"):
            display.failed(task.name, task.seconds or 0.0)


# Why a component failed


def why(api: Api, run: Any, task: Task) -> str:
    """Why a component failed, in one line: the API's reason, or else the last line of its container's log."""
    if task.reason:
        return task.reason
    for pod in task.pods:
        log = api.log(run.run_id, pod)
        if log is not None:
            return last_words(log)
    return ""


# The launcher's own lines, and those of Argo around the container: of 3.x, of 4.x, and as JSON.
_AROUND = re.compile(r'[IWEF]\d{4} \d\d:|time="|time=\S+ level=.*\bargo=true|Error: exit status|\{.*"argo"\s*:\s*true')


def last_words(log: str) -> str:
    """The last line in a log that the component itself wrote."""
    lines = [" ".join(line.split()) for line in log.splitlines()]
    own = [line for line in lines if line and not _AROUND.match(line)]
    return (own or [line for line in lines if line] or [""])[-1][:500]


def kubectl(namespace: str | None, pod: str) -> list[str]:
    """The command that shows a pod's log."""
    return ["kubectl", *(["--namespace", namespace] if namespace else []), "logs", pod, "--container", "main"]


def read_by_kubectl(command: list[str]) -> str | None:
    """The output of that command; None where there is no kubectl, or it finds no such pod."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run([*command, "--request-timeout=20s"], capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
