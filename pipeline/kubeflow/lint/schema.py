"""The fields that KFP's backend knows in a pipeline spec and in a Kubernetes platform spec, and how it parses them.

They are those of kubeflow/pipelines 2.17: api/v2alpha1/pipeline_spec.proto and
kubernetes_platform/proto/kubernetes_executor_config.proto. The parser is Go's protojson, which accepts a field by its
JSON name or by its proto name and refuses any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

# The fields of each message and their kinds; `[]` before a kind means a list of it, `{}` a map from names to it.
FIELDS: dict[str, dict[str, str]] = {
    # The first document.
    "PipelineSpec": {
        "pipelineInfo": "PipelineInfo",
        "deploymentSpec": "PipelineDeploymentConfig",
        "sdkVersion": "string",
        "schemaVersion": "string",
        "components": "{}ComponentSpec",
        "root": "ComponentSpec",
        "defaultPipelineRoot": "string",
    },
    "PipelineInfo": {"name": "string", "displayName": "string", "description": "string"},
    "ComponentSpec": {
        "inputDefinitions": "ComponentInputsSpec",
        "outputDefinitions": "ComponentOutputsSpec",
        "dag": "DagSpec",
        "executorLabel": "string",
        "singlePlatformSpecs": "[]SinglePlatformSpec",
        "taskConfigPassthroughs": "[]TaskConfigPassthrough",
    },
    "ComponentInputsSpec": {"artifacts": "{}InputArtifact", "parameters": "{}InputParameter"},
    "InputArtifact": {
        "artifactType": "ArtifactTypeSchema",
        "isArtifactList": "bool",
        "isOptional": "bool",
        "description": "string",
    },
    "InputParameter": {
        "type": "PrimitiveType",
        "parameterType": "ParameterType",
        "defaultValue": "any",
        "isOptional": "bool",
        "description": "string",
        "literals": "[]any",
    },
    "ComponentOutputsSpec": {"artifacts": "{}OutputArtifact", "parameters": "{}OutputParameter"},
    "OutputArtifact": {
        "artifactType": "ArtifactTypeSchema",
        "properties": "{}ValueOrRuntimeParameter",
        "customProperties": "{}ValueOrRuntimeParameter",
        "metadata": "struct",
        "isArtifactList": "bool",
        "description": "string",
    },
    "OutputParameter": {"type": "PrimitiveType", "parameterType": "ParameterType", "description": "string"},
    "ArtifactTypeSchema": {
        "schemaTitle": "string",
        "schemaUri": "string",
        "instanceSchema": "string",
        "schemaVersion": "string",
    },
    "TaskConfigPassthrough": {"field": "TaskConfigField", "applyToTask": "bool"},
    "DagSpec": {"tasks": "{}PipelineTaskSpec", "outputs": "DagOutputsSpec"},
    "DagOutputsSpec": {"artifacts": "{}DagOutputArtifact", "parameters": "{}DagOutputParameter"},
    "DagOutputArtifact": {"artifactSelectors": "[]ArtifactSelector"},
    "ArtifactSelector": {"producerSubtask": "string", "outputArtifactKey": "string"},
    "DagOutputParameter": {"valueFromParameter": "ParameterSelector", "valueFromOneof": "ParameterSelectors"},
    "ParameterSelector": {"producerSubtask": "string", "outputParameterKey": "string"},
    "ParameterSelectors": {"parameterSelectors": "[]ParameterSelector"},
    "PipelineTaskSpec": {
        "taskInfo": "PipelineTaskInfo",
        "inputs": "TaskInputsSpec",
        "dependentTasks": "[]string",
        "cachingOptions": "CachingOptions",
        "componentRef": "ComponentRef",
        "triggerPolicy": "TriggerPolicy",
        "artifactIterator": "ArtifactIteratorSpec",
        "parameterIterator": "ParameterIteratorSpec",
        "retryPolicy": "RetryPolicy",
        "iteratorPolicy": "IteratorPolicy",
    },
    "PipelineTaskInfo": {"name": "string"},
    "ComponentRef": {"name": "string"},
    "CachingOptions": {"enableCache": "bool", "cacheKey": "string"},
    "TriggerPolicy": {"condition": "string", "strategy": "TriggerStrategy"},
    "RetryPolicy": {
        "maxRetryCount": "integer",
        "backoffDuration": "duration",
        "backoffFactor": "number",
        "backoffMaxDuration": "duration",
    },
    "IteratorPolicy": {"parallelismLimit": "integer"},
    "ArtifactIteratorSpec": {"items": "ArtifactItems", "itemInput": "string"},
    "ArtifactItems": {"inputArtifact": "string"},
    "ParameterIteratorSpec": {"items": "ParameterItems", "itemInput": "string"},
    "ParameterItems": {"raw": "string", "inputParameter": "string"},
    "TaskInputsSpec": {"parameters": "{}InputParameterSpec", "artifacts": "{}InputArtifactSpec"},
    "InputArtifactSpec": {"taskOutputArtifact": "TaskOutputArtifact", "componentInputArtifact": "string"},
    "TaskOutputArtifact": {"producerTask": "string", "outputArtifactKey": "string"},
    "InputParameterSpec": {
        "taskOutputParameter": "TaskOutputParameter",
        "runtimeValue": "ValueOrRuntimeParameter",
        "componentInputParameter": "string",
        "taskFinalStatus": "TaskFinalStatus",
        "parameterExpressionSelector": "string",
    },
    "TaskOutputParameter": {"producerTask": "string", "outputParameterKey": "string"},
    "TaskFinalStatus": {"producerTask": "string"},
    "ValueOrRuntimeParameter": {"constantValue": "Value", "runtimeParameter": "string", "constant": "any"},
    "Value": {"intValue": "integer", "doubleValue": "number", "stringValue": "string"},
    # Its deployment spec, which is parsed a second time, by itself.
    "PipelineDeploymentConfig": {"executors": "{}ExecutorSpec"},
    "ExecutorSpec": {
        "container": "PipelineContainerSpec",
        "importer": "ImporterSpec",
        "resolver": "ResolverSpec",
        "customJob": "AIPlatformCustomJobSpec",
    },
    "PipelineContainerSpec": {
        "image": "string",
        "command": "[]string",
        "args": "[]string",
        "lifecycle": "Lifecycle",
        "resources": "ResourceSpec",
        "env": "[]EnvVar",
    },
    "Lifecycle": {"preCacheCheck": "Exec"},
    "Exec": {"command": "[]string", "args": "[]string"},
    "ResourceSpec": {
        "cpuLimit": "number",
        "memoryLimit": "number",
        "cpuRequest": "number",
        "memoryRequest": "number",
        "resourceCpuLimit": "string",
        "resourceMemoryLimit": "string",
        "resourceCpuRequest": "string",
        "resourceMemoryRequest": "string",
        "accelerator": "AcceleratorConfig",
    },
    "AcceleratorConfig": {
        "type": "string",
        "count": "integer",
        "resourceType": "string",
        "resourceCount": "string",
    },
    "EnvVar": {"name": "string", "value": "string"},
    "ImporterSpec": {
        "artifactUri": "ValueOrRuntimeParameter",
        "typeSchema": "ArtifactTypeSchema",
        "properties": "{}ValueOrRuntimeParameter",
        "customProperties": "{}ValueOrRuntimeParameter",
        "reimport": "bool",
        "metadata": "struct",
        "downloadToWorkspace": "bool",
    },
    "ResolverSpec": {"outputArtifactQueries": "{}ArtifactQuery"},
    "ArtifactQuery": {"filter": "string", "limit": "integer"},
    "AIPlatformCustomJobSpec": {"customJob": "struct"},
    # The second document.
    "PlatformSpec": {"platforms": "{}SinglePlatformSpec"},
    "SinglePlatformSpec": {
        "deploymentSpec": "PlatformDeploymentConfig",
        "platform": "string",
        "config": "struct",
        "pipelineConfig": "PipelineConfig",
    },
    "PlatformDeploymentConfig": {"executors": "{}KubernetesExecutorConfig"},
    "PipelineConfig": {
        "resourceTtlOnCompletion": "integer",
        "resourceTtlOnSuccess": "integer",
        "resourceTtlOnFailure": "integer",
        "workspace": "WorkspaceConfig",
        "activeDeadlineSeconds": "integer",
    },
    "WorkspaceConfig": {"size": "string", "kubernetes": "KubernetesWorkspaceConfig"},
    "KubernetesWorkspaceConfig": {"pvcSpecPatch": "struct"},
    "KubernetesExecutorConfig": {
        "secretAsVolume": "[]SecretAsVolume",
        "secretAsEnv": "[]SecretAsEnv",
        "pvcMount": "[]PvcMount",
        "nodeSelector": "NodeSelector",
        "podMetadata": "PodMetadata",
        "imagePullSecret": "[]ImagePullSecret",
        "imagePullPolicy": "string",
        "configMapAsVolume": "[]ConfigMapAsVolume",
        "configMapAsEnv": "[]ConfigMapAsEnv",
        "activeDeadlineSeconds": "integer",
        "fieldPathAsEnv": "[]FieldPathAsEnv",
        "tolerations": "[]Toleration",
        "genericEphemeralVolume": "[]GenericEphemeralVolume",
        "nodeAffinity": "[]NodeAffinityTerm",
        "podAffinity": "[]PodAffinityTerm",
        "enabledSharedMemory": "EnabledSharedMemory",
        "emptyDirMounts": "[]EmptyDirMount",
        "securityContext": "SecurityContext",
        "initContainers": "[]InitContainer",
    },
    "SecretAsVolume": {
        "secretName": "string",
        "mountPath": "string",
        "optional": "bool",
        "secretNameParameter": "InputParameterSpec",
    },
    "SecretAsEnv": {
        "secretName": "string",
        "keyToEnv": "[]SecretKeyToEnv",
        "optional": "bool",
        "secretNameParameter": "InputParameterSpec",
    },
    "SecretKeyToEnv": {"secretKey": "string", "envVar": "string"},
    "PvcMount": {
        "taskOutputParameter": "TaskOutputParameter",
        "constant": "string",
        "componentInputParameter": "string",
        "mountPath": "string",
        "pvcNameParameter": "InputParameterSpec",
        "subPath": "string",
    },
    "NodeSelector": {"labels": "{}string", "nodeSelectorJson": "InputParameterSpec"},
    "PodMetadata": {"labels": "{}string", "annotations": "{}string"},
    "ImagePullSecret": {"secretName": "string", "secretNameParameter": "InputParameterSpec"},
    "ConfigMapAsVolume": {
        "configMapName": "string",
        "mountPath": "string",
        "optional": "bool",
        "configMapNameParameter": "InputParameterSpec",
    },
    "ConfigMapAsEnv": {
        "configMapName": "string",
        "keyToEnv": "[]ConfigMapKeyToEnv",
        "configMapNameParameter": "InputParameterSpec",
        "optional": "bool",
    },
    "ConfigMapKeyToEnv": {"configMapKey": "string", "envVar": "string"},
    "FieldPathAsEnv": {"name": "string", "fieldPath": "string"},
    "Toleration": {
        "key": "string",
        "operator": "string",
        "value": "string",
        "effect": "string",
        "tolerationSeconds": "integer",
        "tolerationJson": "InputParameterSpec",
    },
    "GenericEphemeralVolume": {
        "volumeName": "string",
        "mountPath": "string",
        "accessModes": "[]string",
        "size": "string",
        "defaultStorageClass": "bool",
        "storageClassName": "string",
        "metadata": "PodMetadata",
    },
    "NodeAffinityTerm": {
        "matchExpressions": "[]SelectorRequirement",
        "matchFields": "[]SelectorRequirement",
        "weight": "integer",
        "nodeAffinityJson": "InputParameterSpec",
    },
    "PodAffinityTerm": {
        "matchPodExpressions": "[]SelectorRequirement",
        "matchPodLabels": "{}string",
        "topologyKey": "string",
        "namespaces": "[]string",
        "matchNamespaceExpressions": "[]SelectorRequirement",
        "matchNamespaceLabels": "{}string",
        "weight": "integer",
        "anti": "bool",
    },
    "SelectorRequirement": {"key": "string", "operator": "string", "values": "[]string"},
    "EnabledSharedMemory": {"volumeName": "string", "size": "string"},
    "EmptyDirMount": {"volumeName": "string", "mountPath": "string", "medium": "string", "sizeLimit": "string"},
    "SecurityContext": {"runAsUser": "integer", "runAsGroup": "integer", "runAsNonRoot": "bool"},
    "InitContainer": {
        "name": "string",
        "image": "string",
        "command": "[]string",
        "args": "[]string",
        "env": "[]EnvVar",
        "volumeMounts": "[]InitVolumeMount",
        "restartPolicy": "string",
        "resources": "ResourceRequirements",
    },
    "InitVolumeMount": {"volumeName": "string", "mountPath": "string"},
    "ResourceRequirements": {"requests": "{}string", "limits": "{}string"},
}

ENUMS: dict[str, tuple[str, ...]] = {
    "PrimitiveType": ("PRIMITIVE_TYPE_UNSPECIFIED", "INT", "DOUBLE", "STRING"),
    "ParameterType": (
        "PARAMETER_TYPE_ENUM_UNSPECIFIED",
        "NUMBER_DOUBLE",
        "NUMBER_INTEGER",
        "STRING",
        "BOOLEAN",
        "LIST",
        "STRUCT",
        "TASK_FINAL_STATUS",
        "TASK_CONFIG",
    ),
    "TriggerStrategy": (
        "TRIGGER_STRATEGY_UNSPECIFIED",
        "ALL_UPSTREAM_TASKS_SUCCEEDED",
        "ALL_UPSTREAM_TASKS_COMPLETED",
    ),
    "TaskConfigField": (
        "NONE",
        "RESOURCES",
        "ENV",
        "KUBERNETES_AFFINITY",
        "KUBERNETES_TOLERATIONS",
        "KUBERNETES_NODE_SELECTOR",
        "KUBERNETES_VOLUMES",
    ),
}

# A message may have at most one of these fields.
ONEOFS: dict[str, tuple[str, ...]] = {
    "ComponentSpec": ("dag", "executorLabel"),
    "ArtifactTypeSchema": ("schemaTitle", "schemaUri", "instanceSchema"),
    "DagOutputParameter": ("valueFromParameter", "valueFromOneof"),
    "PipelineTaskSpec": ("artifactIterator", "parameterIterator"),
    "ParameterItems": ("raw", "inputParameter"),
    "InputArtifactSpec": ("taskOutputArtifact", "componentInputArtifact"),
    "InputParameterSpec": ("taskOutputParameter", "runtimeValue", "componentInputParameter", "taskFinalStatus"),
    "ValueOrRuntimeParameter": ("constantValue", "runtimeParameter", "constant"),
    "Value": ("intValue", "doubleValue", "stringValue"),
    "ExecutorSpec": ("container", "importer", "resolver", "customJob"),
    "PvcMount": ("taskOutputParameter", "constant", "componentInputParameter"),
}

# compiler/visitor.go GetDeploymentConfig parses these with DiscardUnknown: an unknown field has no effect.
LENIENT = frozenset(
    {
        "PipelineDeploymentConfig",
        "ExecutorSpec",
        "PipelineContainerSpec",
        "Lifecycle",
        "Exec",
        "ResourceSpec",
        "AcceleratorConfig",
        "EnvVar",
        "ImporterSpec",
    }
)

Fault = tuple[str, str, str]  # rule, where, text

_SCALARS: dict[str, tuple[str, re.Pattern[str] | None]] = {
    "string": ("text", None),
    "bool": ("true or false", None),
    "integer": ("a whole number", re.compile(r"-?\d+")),
    "number": ("a number", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|-?Infinity|NaN")),
    "duration": ('a duration in seconds such as "30s"', re.compile(r"-?\d+(\.\d{1,9})?s")),
}


class Reader:
    """Reads a document as the backend does, with fields by their JSON names and without unset ones; collects faults."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def read(self, kind: str, value: Any, where: str) -> Any:
        """The value as a `kind`; None where it cannot be one."""
        if kind == "any":
            return value
        if kind.startswith("[]"):
            return self._list(kind[2:], value, where)
        if kind.startswith("{}"):
            return self._map(kind[2:], value, where)
        if kind == "struct":
            return value if isinstance(value, dict) else self._wrong(where, "a mapping", value)
        if kind in FIELDS:
            return self._message(kind, value, where)
        return self._scalar(kind, value, where)

    def _list(self, kind: str, value: Any, where: str) -> Any:
        if not isinstance(value, list):
            return self._wrong(where, "a list", value)
        return [self.read(kind, item, f"{where}[{place}]") for place, item in enumerate(value)]

    def _map(self, kind: str, value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            return self._wrong(where, "a mapping", value)
        for name in value:
            if not isinstance(name, str):
                self._wrong(where, "a mapping from text", name)
        return {name: self.read(kind, item, f"{where}.{name}") for name, item in value.items()}

    def _message(self, kind: str, value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            return self._wrong(where, "a mapping", value)
        fields: dict[str, Any] = {}
        for key, item in value.items():
            name = _json_name(str(key))
            place = f"{where}.{key}" if where else str(key)
            if name not in FIELDS[kind]:
                self._unknown(kind, place, str(key))
            elif name in fields:
                self.faults.append(("field-twice", place, f"{name} is given twice; keep one of them"))
            elif item is not None or FIELDS[kind][name] == "any":
                fields[name] = self.read(FIELDS[kind][name], item, place)
        chosen = [name for name in ONEOFS.get(kind, ()) if name in fields]
        if len(chosen) > 1:
            text = f"{' and '.join(chosen)} exclude each other; keep one of them"
            self.faults.append(("field-twice", where, text))
        return fields

    def _scalar(self, kind: str, value: Any, where: str) -> Any:
        if kind in ENUMS:
            known = value in ENUMS[kind] if isinstance(value, str) else _number_of(ENUMS[kind], value)
            if not known:
                return self._wrong(where, f"one of {', '.join(ENUMS[kind])}", value)
            return value if isinstance(value, str) else ENUMS[kind][value]
        expected, pattern = _SCALARS[kind]
        if kind == "bool":
            fits = isinstance(value, bool)
        elif isinstance(value, str):
            fits = pattern is None or pattern.fullmatch(value) is not None
        else:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            fits = number and (kind == "number" or (kind == "integer" and value == int(value)))
        return value if fits else self._wrong(where, expected, value)

    def _unknown(self, kind: str, where: str, name: str) -> None:
        if kind not in LENIENT:
            self.faults.append(("field-unknown", where, f"KFP knows no field {name} here{_nearest(kind, name)}"))
        elif not name.startswith("@"):
            text = f"KFP reads no field {name} here, so it has no effect{_nearest(kind, name)}"
            self.faults.append(("field-ignored", where, text))

    def _wrong(self, where: str, expected: str, value: Any) -> None:
        self.faults.append(("field-type", where, f"must be {expected}, got {value!r}"))


def strings(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Every text in a document, keys included, with its place."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for name, item in value.items():
            place = f"{where}.{name}" if where else str(name)
            yield from strings(name, place)
            yield from strings(item, place)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from strings(item, f"{where}[{number}]")


def _json_name(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


def _number_of(names: tuple[str, ...], value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names)


def _nearest(kind: str, name: str) -> str:
    near = get_close_matches(_json_name(name), list(FIELDS[kind]), n=1)
    return f"; did you mean {near[0]}?" if near else f"; it knows {', '.join(FIELDS[kind])}"
