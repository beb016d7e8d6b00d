"""A compiled pipeline as the rules see it: tasks, containers and the pods' settings, with their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Body = dict[str, Any]
Check = Callable[["Spec"], Iterator[tuple[str, str]]]  # where, and what to change

CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Registers the function as a rule of its name."""
    CHECKS[function.__name__.replace("_", "-")] = function
    return function


@dataclass(frozen=True)
class Task:
    """A task; parent: the component whose graph it is in; component: the one that it runs, {} if there is none."""

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
        """Names of the tasks whose outputs it takes, by the place that names them."""
        places = {}
        for kind, inputs in (("parameters", self.parameters), ("artifacts", self.artifacts)):
            for name, source in inputs.items():
                output = source.get("taskOutputParameter") or source.get("taskOutputArtifact")
                if output is not None:
                    places[f"{self.where}.inputs.{kind}.{name}"] = output.get("producerTask", "")
        return places


@dataclass(frozen=True)
class Container:
    """A component that runs in a pod; pod: its part of the platform document; pod_where: the place of that part."""

    where: str
    component_name: str
    component: Body
    body: Body
    pod: Body
    pod_where: str
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Spec:
    """A compiled pipeline. pipeline: the first document; kubernetes: that part of the second, {} if there is none."""

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
        """Components that can be reached from root, by place; the backend ignores all others."""
        by_place = {"root": self.root}
        waiting = [self.root]
        while waiting:
            for task in get(waiting.pop(), "dag", "tasks").values():
                name = get(task, "componentRef").get("name", "")
                place = f"components.{name}"
                if name in self.components and place not in by_place:
                    by_place[place] = self.components[name]
                    waiting.append(self.components[name])
        return by_place

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
        in_pods = []
        for place, component in self.reached.items():
            label = component.get("executorLabel", "")
            if "container" in get(self.executors, label):
                in_pods.append(
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
        return tuple(in_pods)

    def executor(self, task: Task) -> Body:
        """The executor of the component that the task runs; {} for a graph and where there is none."""
        return get(self.executors, task.component.get("executorLabel", ""))


def get(body: Body, *names: str) -> Body:
    """The mapping below these names; {} where there is none."""
    for name in names:
        body = body.get(name) or {}
    return body
