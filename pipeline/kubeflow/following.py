"""How a run on Kubeflow Pipelines goes: its components, their pods, and why one failed."""

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

_SETTLED = 2.0  # seconds in which the API writes the states of a run's components, after that of the run

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """A component of a run.

    state: waiting, running, done, cached, failed or canceled; seconds: from its driver's start, None before it;
    pods: names of its container's pods, the last attempt first, or its driver's where that failed; reason: what the API
    says of a failure, mostly nothing.
    """

    name: str
    state: str
    seconds: float | None = None
    pods: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """The components of a pipeline, each after those it depends on; retried: those that have several attempts."""

    names: tuple[str, ...] = ()
    retried: frozenset[str] = frozenset()

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any] | None) -> Plan:
        found = (spec or {}).get("root", {}).get("dag", {}).get("tasks", {})
        graph = {name: task.get("dependentTasks", ()) for name, task in found.items()}
        retried = frozenset(name for name, task in found.items() if task.get("retryPolicy"))
        try:
            return cls(tuple(name for name in TopologicalSorter(graph).static_order() if name in graph), retried)
        except CycleError:
            return cls(tuple(graph), retried)


def tasks(run: Any, plan: Plan | None = None, now: datetime.datetime | None = None) -> list[Task]:
    """The components of a run in the order they started, then those of the plan that have not.

    The details that the API gives are Argo's nodes: for each component a pod `NAME-driver`, a node `NAME`, and within
    that a pod that is called `executor` for all of them. Where one may be retried it is a node that holds attempts,
    `executor(0)` and so on; Kubeflow Pipelines 2.17 has Argo retry every node. One that came from the cache is a node
    that succeeded with an executor that was skipped.

    Once all of that is more than 1 MiB, Argo compresses it, and the API's details stay as they were (2.17.0). Of a run
    that has succeeded the rest is done, in a time that is not known.
    """
    plan = plan or Plan()
    details = (run.run_details.task_details if run.run_details else None) or ()
    nodes = {detail.display_name or "": detail for detail in details}
    drivers = {name for name in nodes if name.endswith("-driver")}
    # a server that shows nothing but components has no drivers
    found = {name.removesuffix("-driver") for name in drivers} - {"root"} if drivers else set(nodes)
    found |= set(plan.names) & set(nodes)
    skipped = [detail for detail in details if detail.state == _SKIPPED and _is_executor(detail)]
    pods = _Pods(details, plan.retried)
    now = now or datetime.datetime.now(datetime.timezone.utc)
    shown = [_task(name, nodes, skipped, pods, now, run) for name in found]
    started = sorted((task for task in shown if task.state != "waiting"), key=lambda task: _began(nodes, task.name))
    rest = (*plan.names, *sorted(found - set(plan.names)))
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
        return Task(name, "waiting")  # what came before it failed, for one
    else:
        if run.state == _SUCCEEDED:
            return Task(name, "done", pods=own_pods)
        state = "canceled" if run.state in _ENDED else "running"
    start = min((part.start_time for part in parts if _is_time(part.start_time)), default=None)
    end = last.end_time if state != "running" and _is_time(last.end_time) else now
    seconds = max(0.0, (end - start).total_seconds()) if start else None
    return Task(name, state, seconds, () if state == "cached" else own_pods, _reason_in(last))


def _at_once(node: Any, executor: Any) -> bool:
    """Whether that node ended as it began, when that executor was skipped: no pod starts and ends within a second."""
    within = datetime.timedelta(seconds=1)
    return (
        all(map(_is_time, (node.start_time, node.end_time, executor.start_time)))
        and node.end_time - node.start_time <= within
        and abs(executor.start_time - node.start_time) <= within
    )


def _is_time(moment: Any) -> bool:
    """Go's zero time, and 1970 for it, stand for none."""
    return moment is not None and moment.year > 1970


def _reason_in(detail: Any) -> str:
    errors = [detail.error, *(status.error for status in reversed(detail.state_history or ()))]
    return next((" ".join(error.message.split()) for error in errors if error and error.message), "")


class _Pods:
    """Names of a run's pods, which the API does not give.

    Argo names a node's ID `WORKFLOW-HASH`, by the FNV-1a hash of the node's name, and its pod `WORKFLOW-TEMPLATE-HASH`.
    A node's name is that of the node it is in, a dot, and its own; of an attempt at it with its number: `(0)`. The
    workflow's name is that of the node whose children have such IDs.
    """

    def __init__(self, details: Iterable[Any], retried: Collection[str]):
        children = [(detail.display_name, _children(detail)) for detail in details]
        self._ids = {child for _, found in children for child in found}
        self._given = {detail.display_name: detail.pod_name for detail in details if detail.pod_name}
        self._retried = retried
        self._workflow = next(
            (
                name
                for name, found in children
                if name and {_id(name, f"{name}.root-driver"), _id(name, f"{name}(0)")} & set(found)
            ),
            None,
        )

    def executors(self, component: str) -> tuple[str, ...]:
        """The last attempt first."""
        if component in self._given:
            return (self._given[component],)
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
        """Where every node is retried, that one is an attempt does not tell whose template it is."""
        all_retried = _id(self._workflow, f"{self._workflow}(0)") in self._ids
        retried = component in self._retried if all_retried else is_attempt
        return "retry-system-container-impl" if retried else "system-container-impl"

    def _roots(self) -> list[str]:
        if self._workflow is None:
            return []
        return [root for whole in self._attempts(self._workflow) for root in self._attempts(f"{whole}.root")]

    def _attempts(self, node: str) -> list[str]:
        """Names of the attempts at a node, the last first; its own where it can't be retried."""
        names = (f"{node}({number})" for number in itertools.count())
        found = itertools.takewhile(lambda name: _id(self._workflow, name) in self._ids, names)
        return [*found][::-1] or [node]

    def _pod(self, template: str, node: str) -> str:
        return f"{self._workflow}-{template}-{_fnv1a(node)}"


def _id(workflow: str | None, node: str) -> str:
    return f"{workflow}-{_fnv1a(node)}"


def _children(detail: Any) -> list[str]:
    return [child.pod_name for child in detail.child_tasks or () if child.pod_name]


def _fnv1a(text: str) -> int:
    """32 bits, as Go's hash/fnv."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def plan_of(api: Api, run: Any) -> Plan:
    """What a run is to do; empty where its pipeline cannot be had any more."""
    spec = run.pipeline_spec
    reference = run.pipeline_version_reference
    if not spec and reference and reference.pipeline_id and reference.pipeline_version_id:
        try:
            spec = api.version(reference.pipeline_id, reference.pipeline_version_id).pipeline_spec
        except ApiError as error:
            _log.info("no pipeline of the run: %s", error)
    # with a platform's document beside it, it is one level down
    return Plan.from_spec((spec or {}).get("pipeline_spec", spec))


def has_ended(run: Any) -> bool:
    return run.state in _ENDED


def has_succeeded(run: Any) -> bool:
    return bool(run.state == _SUCCEEDED)


class Display(Protocol):
    """Where a run shows how it goes."""

    def started(self, component: str) -> None: ...

    def finished(self, component: str, seconds: float | None, *, cached: bool) -> None: ...

    def failed(self, component: str, seconds: float) -> None: ...


def follow(api: Api, run: Any, display: Display, *, every: float = 5.0) -> Any:
    """Shows a run until it has ended, and gives it as it is then; every: seconds between looks."""
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
    """What is not shown yet."""
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
    """Why a component failed, in a line: as the API says, else the last that its container said."""
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
    """The last line of a log that the component itself wrote."""
    lines = [" ".join(line.split()) for line in log.splitlines()]
    own = [line for line in lines if line and not _AROUND.match(line)]
    return (own or [line for line in lines if line] or [""])[-1][:500]


def kubectl(namespace: str | None, pod: str) -> list[str]:
    """The command that shows a pod's log."""
    return ["kubectl", *(["--namespace", namespace] if namespace else []), "logs", pod, "--container", "main"]


def read_by_kubectl(command: list[str]) -> str | None:
    """What that command prints; None where there is no kubectl, or it finds no such pod."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run([*command, "--request-timeout=20s"], capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
