"""Kubeflow Pipelines without a cluster: an emulation of its driver and launcher that runs a compiled pipeline.

Written after kubeflow/pipelines at commit 7b70c7b95f6832772efd6fd0029a4024491a0f44 (August 2026, past 2.17.0), the
files of backend/src/v2 that are named below. A sentence here is what the Go code does, not what it should do.

Emulated: the root's defaults (compiler/argocompiler/argo.go); resolution and checking of parameters and artifacts
(driver/resolve.go), URIs and the output file (driver/driver.go), what ML Metadata makes of an artifact on its way
(metadata/converter.go), the cache and its key (driver/cache.go, cacheutils/cache.go), placeholders, downloads, uploads,
logs and the merging of the executor's output (component/launcher_v2.go, objectstore/object_store.go); of Kubernetes
and Argo Workflows: claims, scratch volumes, secrets and plain variables, deadlines, retries, and that after a failure
nothing further starts.

Compared with the Go functions themselves, on all tasks of this project's pipeline, and found equal: provisionOutputs,
resolveContainerArgs, addDefaultParams and compileCmdAndArgs, getFingerPrint, toMLMDArtifact and toRuntimeArtifact.

Not emulated, and refused where a pipeline has it: conditions, loops, pipelines in pipelines, importers, other volumes.
Not emulated, and passed over: images, CPU, memory, GPUs, node selectors, tolerations, service accounts, security
contexts, the waits before retries, credentials of the launcher, the limits of ML Metadata, Argo and Kubernetes on size.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import posixpath
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from tests.support import kfp_pods
from tests.support.kfp_pods import Mount, Pods
from tests.support.kfp_stores import Store, download_tree, upload_tree

_LOCAL = {"gs://": "/gcs/", "s3://": "/s3/", "minio://": "/minio/"}
_BUCKET = re.compile(r"(^[a-z][a-z0-9]+:///?)([^/?]+)(/[^?]*)?(\?.+)?$")
_INPUT = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)']}}")
_KINDS: dict[str, Any] = {
    "STRING": str,
    "NUMBER_DOUBLE": float,
    "NUMBER_INTEGER": float,
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
}
_EMULATED_FOR_KUBERNETES = {"pvcMount", "secretAsEnv", "emptyDirMounts", "activeDeadlineSeconds"}
_PASSED_OVER_FOR_KUBERNETES = {
    *("nodeSelector", "tolerations", "imagePullPolicy", "imagePullSecret", "podMetadata", "securityContext"),
    *("nodeAffinity", "podAffinity"),
}


class KfpError(Exception):
    """An error that would stop the driver or the launcher."""


@dataclass(frozen=True)
class Artifact:
    """An artifact as ML Metadata keeps it, without a type and with metadata of few kinds."""

    id: int
    uri: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Outputs:
    artifacts: dict[str, Artifact]
    parameters: dict[str, Any]


@dataclass
class Task:
    """The outcome of a task."""

    name: str
    state: Literal["done", "cached", "failed", "not run"] = "not run"
    code: int | None = None  # of the command; the pod ends with 1 whatever it was
    reason: str = ""  # why it failed, as the driver or the launcher has it
    attempts: int = 0
    log: str = ""  # of the last attempt's command
    seconds: float = 0
    executor_input: dict[str, Any] = field(default_factory=dict)  # of the last attempt
    outputs: Outputs = field(default_factory=lambda: Outputs({}, {}))

    @property
    def last_line(self) -> str:
        lines = self.log.strip().splitlines()
        return lines[-1] if lines else ""


@dataclass(frozen=True)
class Spec:
    """A compiled pipeline: both documents."""

    pipeline: dict[str, Any]
    platform: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> Spec:
        pipeline, *platforms = (document for document in yaml.safe_load_all(text) if document)
        return cls(pipeline, platforms[0]["platforms"]["kubernetes"] if platforms else {})

    @property
    def name(self) -> str:
        name: str = self.pipeline["pipelineInfo"]["name"]
        return name

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        tasks: dict[str, dict[str, Any]] = self.pipeline["root"]["dag"]["tasks"]
        return tasks

    def component(self, task: str) -> dict[str, Any]:
        component: dict[str, Any] = self.pipeline["components"][self.tasks[task]["componentRef"]["name"]]
        return component

    def container(self, task: str) -> dict[str, Any]:
        label = self.component(task).get("executorLabel")
        executor = self.pipeline["deploymentSpec"]["executors"].get(label, {})
        if "container" not in executor:
            raise NotImplementedError(f"task {task!r} is no container")
        container: dict[str, Any] = executor["container"]
        return container

    def kubernetes(self, task: str) -> dict[str, Any]:
        executors = self.platform.get("deploymentSpec", {}).get("executors", {})
        config: dict[str, Any] = executors.get(self.component(task)["executorLabel"], {})
        unknown = set(config) - _EMULATED_FOR_KUBERNETES - _PASSED_OVER_FOR_KUBERNETES
        if unknown:
            raise NotImplementedError(f"task {task!r} asks for {', '.join(sorted(unknown))}")
        return config

    def upstream(self, task: str) -> set[str]:
        spec = self.tasks[task]
        inputs = spec.get("inputs", {})
        return {
            *spec.get("dependentTasks", []),
            *(source["taskOutputArtifact"]["producerTask"] for source in inputs.get("artifacts", {}).values()),
            *(
                source["taskOutputParameter"]["producerTask"]
                for source in inputs.get("parameters", {}).values()
                if "taskOutputParameter" in source
            ),
        }

    def check(self) -> None:
        """Refuses features that are not emulated, before anything runs."""
        for task, spec in self.tasks.items():
            unknown = set(spec) & {"triggerPolicy", "parameterIterator", "artifactIterator"}
            if unknown:
                raise NotImplementedError(f"task {task!r} has {', '.join(sorted(unknown))}")
            missing = self.upstream(task) - set(self.tasks)
            if missing:
                raise KfpError(f'cannot find producer task "{sorted(missing)[0]}" of task "{task}"')
            self.container(task)
            self.kubernetes(task)


@dataclass
class Emulation:
    """An installation of Kubeflow Pipelines: its cache, metadata, claims and secrets last from run to run.

    secrets: name of a Secret: key: value.
    """

    folder: Path
    store: Store
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pods: Pods = field(default_factory=kfp_pods.pods)
    publish_logs: bool = True  # the installation's PUBLISH_LOGS
    at_once: int = 2  # pods

    def __post_init__(self) -> None:
        self.artifacts: list[Artifact] = []
        self.cache: dict[tuple[str, str], Outputs] = {}
        self._lock = threading.Lock()
        self._runs = itertools.count(1)

    def run(
        self,
        text: str,
        root: str,
        parameters: Mapping[str, Any] | None = None,
        until: Sequence[str] = (),
    ) -> dict[str, Task]:
        """Runs a compiled pipeline as a run of its own.

        Args:
          root: the pipeline root.
          parameters: of the pipeline, over its defaults.
          until: tasks beyond which nothing runs; none: all run.
        """
        spec = Spec.parse(text)
        spec.check()
        run = _Run(self, spec, root, f"run-{next(self._runs)}", _root_parameters(spec, parameters or {}))
        names = set(spec.tasks) if not until else _with_upstream(spec, until)
        try:
            return run.all(names)
        finally:
            self.pods.end(run.mounted)

    def record(self, uri: str, metadata: Mapping[str, Any]) -> Artifact:
        with self._lock:
            artifact = Artifact(len(self.artifacts) + 1, uri, dict(metadata))
            self.artifacts.append(artifact)
        return artifact


def _root_parameters(spec: Spec, arguments: Mapping[str, Any]) -> dict[str, Any]:
    defined = spec.pipeline["root"].get("inputDefinitions", {}).get("parameters", {})
    values = {name: _value(value) for name, value in arguments.items()}
    for name, definition in defined.items():
        if name not in values and "defaultValue" in definition:
            values[name] = _value(definition["defaultValue"])
        elif name not in values and definition.get("isOptional"):
            values[name] = None
    return values


def _with_upstream(spec: Spec, tasks: Sequence[str]) -> set[str]:
    upstream: set[str] = set()
    todo = list(tasks)
    while todo:
        task = todo.pop()
        if task not in upstream:
            upstream.add(task)
            todo += spec.upstream(task)
    return upstream


@dataclass
class _Run:
    emulation: Emulation
    spec: Spec
    root: str
    id: str
    parameters: dict[str, Any]

    def __post_init__(self) -> None:
        self.tasks = {name: Task(name) for name in self.spec.tasks}
        self.mounted: set[Mount] = set()
        self.bucket = _Bucket.from_uri(_output_uri(self.root, self.spec.name, self.id))

    def all(self, names: set[str]) -> dict[str, Task]:
        """As Argo does by default, nothing further starts once a task has failed."""
        todo = {name: self.spec.upstream(name) for name in self.spec.tasks if name in names}
        running: dict[Future[None], str] = {}
        with ThreadPoolExecutor(self.emulation.at_once) as pool:
            while True:
                if not any(task.state == "failed" for task in self.tasks.values()):
                    ready = [name for name, upstream in todo.items() if self._are_over(upstream)]
                    for name in ready[: self.emulation.at_once - len(running)]:
                        del todo[name]
                        running[pool.submit(self._run, self.tasks[name])] = name
                if not running:
                    return self.tasks
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    future.result()

    def _are_over(self, tasks: set[str]) -> bool:
        return all(self.tasks[name].state in ("done", "cached") for name in tasks)

    def _run(self, task: Task) -> None:
        start = time.monotonic()
        try:
            self._drive(task)
        except KfpError as error:
            task.state, task.reason = "failed", str(error)
        finally:
            task.seconds = time.monotonic() - start

    # The driver

    def _drive(self, task: Task) -> None:
        """driver/container.go, Container."""
        spec, component = self.spec.tasks[task.name], self.spec.component(task.name)
        task.executor_input = {"inputs": self._inputs(task.name)}
        task.executor_input["outputs"] = self._outputs(task.name, component.get("outputDefinitions", {}))
        claims = [self._claim(mount) for mount in self.spec.kubernetes(task.name).get("pvcMount", [])]
        key = ""
        if spec.get("cachingOptions", {}).get("enableCache"):
            key = self._fingerprint(task, sorted(set(claims)))
            cached = self.emulation.cache.get((self.spec.name, key))
            if cached:
                task.state, task.outputs = "cached", cached
                return
        container = self.spec.container(task.name)
        values = task.executor_input["inputs"]["parameterValues"]
        command = [
            _resolved_by_driver(word, values) for word in (*container.get("command", []), *container.get("args", []))
        ]
        limit = int(spec.get("retryPolicy", {}).get("maxRetryCount", 0))
        while True:
            # each attempt is a new pod with the same input, the same URIs among it
            pod = _Pod(self, task, json.loads(json.dumps(task.executor_input)), task.attempts)
            task.attempts += 1
            try:
                task.outputs = pod.launch(command)
                break
            except KfpError:
                if task.attempts > limit:
                    raise
        if key:
            self.emulation.cache[self.spec.name, key] = task.outputs
        task.state = "done"

    def _inputs(self, name: str) -> dict[str, Any]:
        """driver/resolve.go, resolveInputs."""
        sources = self.spec.tasks[name].get("inputs", {})
        defined = self.spec.component(name).get("inputDefinitions", {}).get("parameters", {})
        values = {}
        for key, parameter in sources.get("parameters", {}).items():
            value = self._parameter(name, parameter)
            if value is None:
                if not defined.get(key, {}).get("isOptional"):
                    raise KfpError(f"the resolved input parameter is null: {key}")
                continue
            values[key] = value
        for key, definition in defined.items():
            if key not in values:
                if not definition.get("isOptional") and "defaultValue" not in definition:
                    raise KfpError(f'neither value nor default value provided for non-optional parameter "{key}"')
                continue
            kind = definition["parameterType"]
            if kind == "STRING":
                values[key] = _text(values[key])
            elif type(values[key]) is not _KINDS[kind]:
                actual = {str: "string", float: "number", bool: "bool", list: "list", dict: "struct"}[type(values[key])]
                raise KfpError(f'input parameter "{key}" type mismatch: expect {kind}, got {actual}')
        artifacts = {
            key: {"artifacts": [self._artifact(artifact["taskOutputArtifact"])]}
            for key, artifact in sources.get("artifacts", {}).items()
        }
        return {"parameterValues": values, "artifacts": artifacts}

    def _parameter(self, name: str, parameter: Mapping[str, Any]) -> Any:
        """driver/resolve.go, resolveInputParameter."""
        if "componentInputParameter" in parameter:
            key = parameter["componentInputParameter"]
            if key not in self.parameters:
                raise KfpError(f"parent DAG does not have input parameter {key}")
            return self.parameters[key]
        if "taskOutputParameter" in parameter:
            source = parameter["taskOutputParameter"]
            return self.tasks[source["producerTask"]].outputs.parameters.get(source["outputParameterKey"])
        runtime = parameter.get("runtimeValue", {})
        if "constant" not in runtime:
            kinds = ", ".join(runtime or parameter)
            raise KfpError(f"param runtime value spec of type {kinds} not implemented")
        value = _value(runtime["constant"])
        known = {
            "{{$.pipeline_job_name}}": self.id,
            "{{$.pipeline_job_resource_name}}": self.id,
            "{{$.pipeline_job_uuid}}": self.id,
            "{{$.pipeline_task_name}}": name,
            "{{$.pipeline_task_uuid}}": "1",
        }
        return known.get(value, value) if isinstance(value, str) else value

    def _artifact(self, source: Mapping[str, str]) -> dict[str, Any]:
        """metadata/client.go, ToRuntimeArtifact: the name is the id, and the type is lost."""
        producer, key = source["producerTask"], source["outputArtifactKey"]
        artifact = self.tasks[producer].outputs.artifacts.get(key)
        if artifact is None:
            raise KfpError(f'cannot find output artifact key "{key}" in producer task "{producer}"')
        return {
            "name": str(artifact.id),
            "type": {"instanceSchema": ""},
            "uri": artifact.uri,
            "metadata": artifact.metadata,
        }

    def _outputs(self, name: str, defined: Mapping[str, Any]) -> dict[str, Any]:
        """driver/driver.go, provisionOutputs."""
        root = _output_uri(self.bucket.root, name, str(uuid.uuid4()))
        artifacts = dict(defined.get("artifacts", {}))
        if self.emulation.publish_logs:
            artifacts["executor-logs"] = {"artifactType": {"schemaTitle": "system.Artifact"}}
        return {
            "artifacts": {
                key: {
                    "artifacts": [
                        {
                            "name": key,
                            "type": artifact["artifactType"],
                            "uri": _output_uri(root, key),
                            **({"metadata": _value(artifact["metadata"])} if "metadata" in artifact else {}),
                        }
                    ]
                }
                for key, artifact in artifacts.items()
            },
            "parameters": {key: {"outputFile": f"/tmp/kfp/outputs/{key}"} for key in defined.get("parameters", {})},
            "outputFile": posixpath.join(local_path(root), "output_metadata.json"),
        }

    def _claim(self, mount: Mapping[str, Any]) -> str:
        """driver/k8s.go, makeVolumeMountPatch."""
        name: str = mount.get("constant") or self._parameter("", mount.get("pvcNameParameter", {}))
        if not name or not mount.get("mountPath"):
            raise KfpError("failed to mount volume, missing mountpath or pvc name")
        return name

    def _fingerprint(self, task: Task, claims: Sequence[str]) -> str:
        """cacheutils/cache.go, GenerateCacheKey: inputs by the ids that ML Metadata gave them, not by their content."""
        caching = self.spec.tasks[task.name]["cachingOptions"]
        if caching.get("cacheKey"):
            name = self.spec.tasks[task.name]["componentRef"]["name"]
            return hashlib.sha256(f"{name}\0{caching['cacheKey']}".encode()).hexdigest()
        inputs, outputs = task.executor_input["inputs"], task.executor_input["outputs"]
        definitions = self.spec.component(task.name).get("outputDefinitions", {}).get("parameters", {})
        container = self.spec.container(task.name)
        key = {
            "inputArtifactNames": {
                name: {"artifactNames": [artifact["name"] for artifact in listed["artifacts"]]}
                for name, listed in inputs["artifacts"].items()
            },
            "inputParameterValues": inputs["parameterValues"],
            "outputArtifactsSpec": {
                name: {key: value for key, value in listed["artifacts"][0].items() if key != "uri"}
                for name, listed in outputs["artifacts"].items()
            },
            "outputParametersSpec": {name: definition["parameterType"] for name, definition in definitions.items()},
            "containerSpec": {
                "image": container["image"],
                "cmdArgs": [*container.get("command", []), *container.get("args", [])],
                **({"pvcNames": list(claims)} if claims else {}),
            },
        }
        written = _json({name: value for name, value in key.items() if value}, sort_keys=True)
        for character in "&<>\u2028\u2029":  # as Go has JSON be safe in HTML
            written = written.replace(character, f"\\u{ord(character):04x}")
        return hashlib.sha256(written.encode()).hexdigest()


@dataclass
class _Pod:
    """An attempt at a task: the launcher, and the command that it starts."""

    run: _Run
    task: Task
    executor_input: dict[str, Any]
    attempt: int

    def launch(self, command: Sequence[str]) -> Outputs:
        """component/launcher_v2.go, Execute and executeV2.

        Raises:
          KfpError: the command or the launcher failed; all but the log is lost then.
        """
        kubernetes = self.run.spec.kubernetes(self.task.name)
        environment, self.mounts = self._environment(kubernetes), self._mounts(kubernetes)
        self.run.mounted.update(self.mounts)
        self.root = kfp_pods.empty_root(Path(tempfile.mkdtemp(prefix="pod-", dir=self.run.emulation.folder)))
        try:
            logs = self._outputs.get("executor-logs")
            if logs:
                logs["artifacts"][0]["uri"] += f"-{self.attempt}"
            self._prepare_folders()
            words = self._compiled(command)
            self._download()
            self._execute(words, environment, kubernetes.get("activeDeadlineSeconds"))
            return self._collect()
        finally:
            for folder in (self.root, *(mount.source for mount in self.mounts if mount.scratch)):
                shutil.rmtree(folder)

    @property
    def _outputs(self) -> dict[str, Any]:
        outputs: dict[str, Any] = self.executor_input["outputs"]["artifacts"]
        return outputs

    def _local(self, path: str) -> Path:
        return self.run.emulation.pods.path(self.root, self.mounts, path)

    def _environment(self, kubernetes: Mapping[str, Any]) -> dict[str, str]:
        container = self.run.spec.container(self.task.name)
        environment = {"KFP_POD_NAME": f"{self.run.id}-{self.task.name}-{self.attempt}".lower()}
        environment |= {variable["name"]: str(variable["value"]) for variable in container.get("env", [])}
        for secret in kubernetes.get("secretAsEnv", []):
            name = secret.get("secretName") or self.run._parameter("", secret["secretNameParameter"])
            for variable in secret["keyToEnv"]:
                try:
                    environment[variable["envVar"]] = self.run.emulation.secrets[name][variable["secretKey"]]
                except KeyError as missing:
                    if not secret.get("optional"):
                        raise KfpError(
                            f"CreateContainerConfigError: couldn't find {missing} in secret {name}"
                        ) from None
        return environment

    def _mounts(self, kubernetes: Mapping[str, Any]) -> list[Mount]:
        mounts = []
        for mount in kubernetes.get("pvcMount", []):
            folder = self.run.emulation.folder / "claims" / self.run._claim(mount) / mount.get("subPath", "")
            folder.mkdir(parents=True, exist_ok=True)
            mounts.append(Mount(folder, mount["mountPath"]))
        for empty in kubernetes.get("emptyDirMounts", []):
            folder = Path(tempfile.mkdtemp(prefix="empty-", dir=self.run.emulation.folder))
            mounts.append(Mount(folder, empty["mountPath"], scratch=True))
        return mounts

    def _prepare_folders(self) -> None:
        for parameter in self.executor_input["outputs"]["parameters"].values():
            self._local(parameter["outputFile"]).parent.mkdir(parents=True, exist_ok=True)
        for listed in self._outputs.values():
            self._local(local_path(listed["artifacts"][0]["uri"])).parent.mkdir(parents=True, exist_ok=True)

    def _compiled(self, command: Sequence[str]) -> list[str]:
        """compileCmdAndArgs: in the command itself, nothing but `{{$}}` is replaced."""
        filled = json.loads(json.dumps(self.executor_input))
        definitions = self.run.spec.component(self.task.name).get("inputDefinitions", {}).get("parameters", {})
        for name, definition in definitions.items():
            if "defaultValue" in definition:
                filled["inputs"]["parameterValues"].setdefault(name, _value(definition["defaultValue"]))
        whole = _json(_without_defaults(filled))
        first, *rest = (word.replace("{{$}}", whole) for word in command)
        placeholders = {}
        for kind in ("inputs", "outputs"):
            for name, listed in filled[kind]["artifacts"].items():
                uri = listed["artifacts"][0]["uri"]
                placeholders[f"{{{{$.{kind}.artifacts['{name}'].uri}}}}"] = uri
                if kind == "outputs" or uri.startswith(tuple(_LOCAL)):
                    placeholders[f"{{{{$.{kind}.artifacts['{name}'].path}}}}"] = local_path(uri)
        for name, value in filled["inputs"]["parameterValues"].items():
            placeholders[f"{{{{$.inputs.parameters['{name}']}}}}"] = _text(value)
        for name, parameter in filled["outputs"]["parameters"].items():
            placeholders[f"{{{{$.outputs.parameters['{name}'].output_file}}}}"] = self.run.emulation.pods.argument(
                self.root, parameter["outputFile"]
            )
        for placeholder, value in placeholders.items():
            rest = [word.replace(placeholder, value) for word in rest]
        return [first, *rest]

    def _download(self) -> None:
        for name, listed in self.executor_input["inputs"]["artifacts"].items():
            uri = listed["artifacts"][0]["uri"]
            try:
                bucket = _Bucket.from_uri(uri)
            except KfpError as error:
                raise KfpError(f'failed to parse bucketConfig for output artifact "{name}": {error}') from None
            key = uri.removeprefix(bucket.scheme + bucket.name).lstrip("/")
            download_tree(self.run.emulation.store, bucket.name, key, self._local(local_path(uri)))

    def _execute(self, words: Sequence[str], environment: Mapping[str, str], deadline: Any) -> None:
        listed = self._outputs.get("executor-logs")
        path = self._local(local_path(listed["artifacts"][0]["uri"])) if listed else self.root / "log"
        with open(path, "wb") as log:
            process = self.run.emulation.pods.start(self.root, words, environment, self.mounts, log)
            try:
                self.task.code = process.wait(timeout=float(deadline) if deadline else None)
                reason = f"exit status {self.task.code}"
            except subprocess.TimeoutExpired:
                reason = f"DeadlineExceeded: pod was active on the node longer than {deadline} seconds"
                self.task.code = _end(process)
            finally:
                _end(process)
        self.task.log = path.read_text(errors="replace")
        if self.task.code or reason.startswith("Deadline"):
            if listed and not reason.startswith("Deadline"):
                self._upload({"executor-logs": listed})
            raise KfpError(reason)

    def _collect(self) -> Outputs:
        """getExecutorOutputFile, collectOutputParameters and uploadOutputArtifacts."""
        written = self._written()
        values = {name: _value(value) for name, value in written.get("parameterValues", {}).items()}
        definitions = self.run.spec.component(self.task.name).get("outputDefinitions", {}).get("parameters", {})
        for name, parameter in self.executor_input["outputs"]["parameters"].items():
            if name not in values:
                try:
                    text = self._local(parameter["outputFile"]).read_text()
                except OSError as error:
                    raise KfpError(f'failed to read output parameter name="{name}": {error.strerror}') from error
                values[name] = _parsed(text, definitions[name]["parameterType"])
        for name, listed in self._outputs.items():
            if name != "executor-logs" and written.get("artifacts", {}).get(name, {}).get("artifacts"):
                _merge(written["artifacts"][name]["artifacts"][0], listed["artifacts"][0])
        return Outputs(self._upload(self._outputs), values)

    def _written(self) -> dict[str, Any]:
        """By protojson, which knows no other fields."""
        try:
            written: dict[str, Any] = json.loads(self._local(self.executor_input["outputs"]["outputFile"]).read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise KfpError(f"failed to unmarshall ExecutorOutput: {error}") from error
        _check_fields(written, {"parameters", "artifacts", "parameterValues", "parameter_values"})
        if "parameter_values" in written:
            written["parameterValues"] = written.pop("parameter_values")
        for listed in written.get("artifacts", {}).values():
            _check_fields(listed, {"artifacts"})
            for artifact in listed.get("artifacts", []):
                _check_fields(
                    artifact,
                    {"name", "type", "uri", "properties", "customProperties", "custom_properties", "metadata"}
                    | {"customPath", "custom_path"},
                )
        return written

    def _upload(self, outputs: Mapping[str, Any]) -> dict[str, Artifact]:
        recorded = {}
        for name, listed in outputs.items():
            artifact = listed["artifacts"][0]
            try:
                path = artifact.get("customPath") or local_path(artifact["uri"])
            except KfpError:
                path = ""  # it is in the log of the launcher, and not uploaded
            if path:
                bucket = self.run.bucket
                if not artifact["uri"].startswith(bucket.root):
                    raise KfpError(
                        f'failed to upload output artifact "{name}": URI "{artifact["uri"]}" does not have expected '
                        f'bucket prefix "{bucket.root}"'
                    )
                key = artifact["uri"].removeprefix(bucket.scheme + bucket.name).lstrip("/")
                try:
                    upload_tree(self.run.emulation.store, self._local(path), bucket.name, key)
                except FileNotFoundError:
                    if name == "executor-logs":
                        continue  # components need not write their outputs, and then it is recorded all the same
            schema = artifact["type"]
            if not schema.get("schemaTitle") and "title:" not in schema.get("instanceSchema", ""):
                raise KfpError("No title specified")
            metadata = {key: _kept(value) for key, value in artifact.get("metadata", {}).items()}
            metadata.setdefault("display_name", name)
            metadata.setdefault("store_session_info", _json({"Provider": self.run.bucket.scheme[:-3], "Params": {}}))
            recorded[name] = self.run.emulation.record(artifact["uri"], metadata)
        return recorded


@dataclass(frozen=True)
class _Bucket:
    """objectstore/config.go, Config."""

    scheme: str
    name: str
    prefix: str

    @classmethod
    def from_uri(cls, uri: str) -> _Bucket:
        match = _BUCKET.match(uri)
        if not match:
            raise KfpError(f'parse bucket config failed: unrecognized uri format: "{uri}"')
        if match[1] not in _LOCAL:
            raise KfpError(f'parse bucket config failed: unsupported Cloud bucket: "{uri}"')
        return cls(match[1], match[2], (match[3] or "").strip("/"))

    @property
    def root(self) -> str:
        return self.scheme + posixpath.join(self.name, self.prefix)


def local_path(uri: str) -> str:
    """component/launcher_v2.go, LocalPathForURI."""
    for scheme, folder in _LOCAL.items():
        if uri.startswith(scheme):
            return folder + uri.removeprefix(scheme)
    raise KfpError(f"failed to generate local path for URI {uri}: unsupported storage scheme")


def _output_uri(root: str, *parts: str) -> str:
    return f"{root.split('?')[0].rstrip('/')}/{posixpath.join(*parts)}"


def _resolved_by_driver(word: str, values: Mapping[str, Any]) -> str:
    """driver/util.go, resolveContainerArgs."""
    if word.lstrip().startswith('{"IfPresent":'):
        raise NotImplementedError("IfPresent")
    if "$.outputs" in word:
        return word

    def replaced(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise KfpError(f'parameter "{match[1]}" not found in executor input')
        return _text(values[match[1]])

    return _INPUT.sub(replaced, word)


def _merge(source: Mapping[str, Any], target: dict[str, Any]) -> None:
    """mergeRuntimeArtifacts: the executor's URI and metadata count, not its type."""
    if source.get("uri"):
        target["uri"] = source["uri"]
    if "metadata" in source:
        target["metadata"] = {**target.get("metadata", {}), **_value(source["metadata"])}
    path = source.get("customPath", source.get("custom_path"))
    if path:
        target["customPath"] = path


def _check_fields(message: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(message) - known)
    if unknown:
        raise KfpError(f'failed to unmarshall ExecutorOutput: unknown field "{unknown[0]}"')


def _value(value: Any) -> Any:
    """A protobuf Value: its numbers are doubles."""
    if isinstance(value, Mapping):
        return {str(key): _value(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_value(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _kept(value: Any) -> Any:
    """metadata/converter.go: the value that comes back from ML Metadata."""
    if value is None:
        raise KfpError("unable to produce MLMD artifact: unknown/unsupported value type *structpb.Value_NullValue")
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, list):
        return {"list": value}
    if isinstance(value, dict):
        return {"struct": value}
    return value


def _as_written(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_written(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_written(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e21 else value


def _json(value: Any, **options: Any) -> str:
    """As Go writes it: a double that is whole has no point."""
    return json.dumps(_as_written(value), separators=(",", ":"), ensure_ascii=False, **options)


def _without_defaults(executor_input: dict[str, Any]) -> dict[str, Any]:
    """protojson leaves empty maps out."""
    return {
        side: {key: value for key, value in fields.items() if value not in ({}, "")}
        for side, fields in executor_input.items()
    }


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not value.is_integer():
        return format(value, "f").rstrip("0") if "e" in repr(value) else repr(value)
    return "" if value is None else _json(value)


def _parsed(text: str, kind: str) -> Any:
    """metadata/converter.go, TextToPbValue."""
    if kind == "STRING":
        return text
    try:
        value: Any = _value(json.loads(text.strip()))
    except ValueError as error:
        raise KfpError(f"TextToPbValue(text={text!r}, type={kind!r}) failed: {error}") from error
    if type(value) is not _KINDS[kind] or (kind == "NUMBER_INTEGER" and not value.is_integer()):
        raise KfpError(f"TextToPbValue(text={text!r}, type={kind!r}) failed: unexpected type")
    return value


def _end(process: subprocess.Popen[bytes]) -> int:
    """Ends all processes that are left of a pod, first by a request, then by force."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
            process.wait(timeout=2)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
    return process.wait()


def with_module(text: str, module: str, keep: Sequence[str]) -> str:
    """The compiled pipeline with another Python module as the command of TFX's executors, with options to keep."""
    documents = list(yaml.safe_load_all(text))
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        container = executor["container"]
        pairs = [pair for pair in itertools.pairwise(container.get("args", [])) if pair[0] in keep]
        if pairs:
            container["command"] = ["python", "-m", module]
            container["args"] = [word for pair in pairs for word in pair]
    return yaml.safe_dump_all(documents, sort_keys=False)
