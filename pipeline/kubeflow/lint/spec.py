"""A compiled pipeline as its rules look at it: tasks, containers and the pods' settings, with their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Body = dict[str, Any]
Check = Callable[["Spec"], Iterator[tuple[str, str]]]  # where, and what to change

CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Makes a rule of the function, by the function's name."""
    CHECKS[function.__name__.replace("_", "-")] = function
    return function


@dataclass(frozen=True)
class Task:
    """A task and what surrounds it; parent: the component whose graph it is in; component: what it runs, {} if none."""

    where: str
    name: str
    body: Body
    parent: Body
    component: Body

    @property
    def siblings(self) -> Body:
        return get(self.parent, "dag", "tasks")

    @property
    def parameters(self) -> Body:
        return get(self.body, "inputs", "parameters")

    @property
    def artifacts(self) -> Body:
        return get(self.body, "inputs", "artifacts")

    @property
    def runs_at_exit(self) -> bool:
        return bool(get(self.body, "triggerPolicy").get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED")

    @property
    def producers(self) -> dict[str, str]:
        """Tasks whose outputs it takes, by the place where it says so."""
        found = {}
        for kind, inputs in (("parameters", self.parameters), ("artifacts", self.artifacts)):
            for name, given in inputs.items():
                output = given.get("taskOutputParameter") or given.get("taskOutputArtifact")
                if output is not None:
                    found[f"{self.where}.inputs.{kind}.{name}"] = output.get("producerTask", "")
        return found


@dataclass(frozen=True)
class Container:
    """A component that runs in a pod; pod: its part of the platform document, pod_where: where that is."""

    where: str
    component_name: str
    component: Body
    body: Body
    pod: Body
    pod_where: str
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Spec:
    """pipeline: the first document; kubernetes: the second's part for that platform, {} if there is none."""

    pipeline: Body
    kubernetes: Body

    @property
    def components(self) -> Body:
        return get(self.pipeline, "components")

    @property
    def root(self) -> Body:
        return get(self.pipeline, "root")

    @property
    def executors(self) -> Body:
        return get(self.pipeline, "deploymentSpec", "executors")

    @property
    def pods(self) -> Body:
        return get(self.kubernetes, "deploymentSpec", "executors")

    @cached_property
    def reached(self) -> dict[str, Body]:
        """Components that root leads to, by place: what it doesn't lead to, the backend never looks at."""
        found = {"root": self.root}
        waiting = [self.root]
        while waiting:
            for task in get(waiting.pop(), "dag", "tasks").values():
                name = get(task, "componentRef").get("name", "")
                place = f"components.{name}"
                if name in self.components and place not in found:
                    found[place] = self.components[name]
                    waiting.append(self.components[name])
        return found

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(
            Task(
                where=f"{place}.dag.tasks.{name}",
                name=name,
                body=body,
                parent=parent,
                component=get(self.components, get(body, "componentRef").get("name", "")),
            )
            for place, parent in self.reached.items()
            for name, body in get(parent, "dag", "tasks").items()
        )

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        found = []
        for place, component in self.reached.items():
            label = component.get("executorLabel", "")
            if "container" in get(self.executors, label):
                found.append(
                    Container(
                        where=f"deploymentSpec.executors.{label}.container",
                        component_name=place.removeprefix("components."),
                        component=component,
                        body=self.executors[label]["container"],
                        pod=get(self.pods, label),
                        pod_where=f"platforms.kubernetes.deploymentSpec.executors.{label}",
                        tasks=tuple(task for task in self.tasks if task.component is component),
                    )
                )
        return tuple(found)

    def executor(self, task: Task) -> Body:
        """Of what the task runs, its executor; {} for a graph and where there is none."""
        return get(self.executors, task.component.get("executorLabel", ""))


def get(body: Body, *names: str) -> Body:
    """The mapping below these names; {} where there is none."""
    for name in names:
        body = body.get(name) or {}
    return body
