"""The graph as a specification for open-source Kubeflow Pipelines 2.x.

TFX has a compiler for Vertex AI. Kubeflow's backend refuses or drops much of what that writes: lifecycle hooks,
defaults of parameters, resolvers, resources of ExampleGen, and everything that Kubernetes has but Vertex has not. Its
entry point does not run there either. So the specification is built here from TFX's components; only artifact types are
written by TFX's code.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
from dataclasses import asdict
from typing import Any

import yaml
from tfx.components.example_gen.utils import FINGERPRINT_PROPERTY_NAME
from tfx.components.pusher.component import Pusher
from tfx.dsl.components.base import base_driver
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.types import Artifact, channel_utils
from tfx.utils import name_utils

from pipeline.config import Config
from pipeline.data.sources import DataCard, Source
from pipeline.graph import Arguments, create_pipeline
from pipeline.kubeflow import entrypoint, fingerprint
from pipeline.kubeflow.checks import cluster_settings
from pipeline.kubeflow.settings import KubeflowSettings, Pod, is_below
from trainer.errors import InputError
from trainer.sampling import SamplingRates

COMMAND = ("python", "-m", entrypoint.__name__)

# A task before ExampleGen, without which neither ExampleGen nor its successors could be cached, see
# pipeline.kubeflow.fingerprint.
FINGERPRINT, _DIGEST = "DataFingerprint", "fingerprint"
_DATA_PATH, _EXAMPLE_GEN = "data_path", "ExampleGen"

_HELP = {
    "data_path": "Where the transactions are: a file, a folder or a glob of CSV or Parquet",
    "run_name": "The name of the run in the report",
    "tuner_trials": "The most trials of hyperparameters",
    "tuner_budget_minutes": "The search ends after this many minutes; 0: no limit",
}
_TYPES = {str: "STRING", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE"}
_TEMPORARY = "/tmp"
# Argo counts from the start of the first attempt, and ends its pod after this time too; without a value it is 0.
_LAST_RETRY_SECONDS = 7 * 24 * 3600
# The launcher passes all parameters of a component to its process as one argument, which Linux limits to 128 KiB.
_MOST_BYTES = 96 * 1024


def compile_pipeline(config: Config) -> str:
    """The pipeline as YAML: its specification, and a second document with the pods' settings for Kubernetes.

    It needs neither a cluster nor data, and depends on nothing but the config and this code.

    Raises:
      InputError: a cluster could not run the pipeline; the message has each fault with what to change.
    """
    settings = cluster_settings(config)
    complete = config.completed(SamplingRates(), None)
    source = _source(complete)
    arguments = _placeholders(Arguments.from_config(complete, source), str(settings.serving_dir))
    graph = create_pipeline(complete, source, arguments)
    return f"{_yaml(_specification(graph, settings))}---\n{_yaml(_platforms(graph, settings, str(config.root)))}"


# The graph for a cluster


def _source(config: Config) -> Source:
    """The description of the data without looking at them, since a run may use other data."""
    name = config.data.card.name
    origin = f"as the configuration says: {name}" if name else "of unknown origin: no data card was looked at"
    return Source(config.data.path, DataCard(name=name or "transactions"), f"Transactions from {{path}}, {origin}")


def _placeholders(values: Arguments, serving_dir: str) -> Arguments:
    """Arguments that are parameters of the compiled pipeline, with the values as their defaults."""
    parameters = {
        name: RuntimeParameter(name=name, ptype=type(value), default=value)
        for name, value in asdict(values).items()
        if name in _HELP
    }
    return Arguments(**parameters, serving_dir=serving_dir)


# The specification


def _specification(graph: Pipeline, settings: KubeflowSettings) -> dict[str, Any]:
    nodes = graph.components
    parameters = {
        value.name: {
            "parameterType": _TYPES[value.ptype],
            "defaultValue": value.default,
            "isOptional": True,
            "description": _HELP[value.name],
        }
        for node in nodes
        for value in node.exec_properties.values()
        if isinstance(value, RuntimeParameter)
    }
    specification = {
        "schemaVersion": "2.1.0",
        "sdkVersion": f"fraud-pipeline-{importlib.metadata.version('fraud-pipeline')}",
        "pipelineInfo": {"name": graph.pipeline_info.pipeline_name},
        "root": {
            "inputDefinitions": {"parameters": parameters},
            "dag": {"tasks": {node.id: _task(node, settings.pod(node.id)) for node in nodes}},
        },
        "components": {node.id: {"executorLabel": _label(node), **_definitions(node)} for node in nodes},
        "deploymentSpec": {"executors": {_label(node): {"container": _container(node, settings)} for node in nodes}},
    }
    _look_at_the_data(specification, settings)
    return specification


def _look_at_the_data(specification: dict[str, Any], settings: KubeflowSettings) -> None:
    """Adds the task whose output tells ExampleGen whether the files have changed."""
    tasks, components = specification["root"]["dag"]["tasks"], specification["components"]
    pod = _fingerprint_pod(settings)
    tasks[FINGERPRINT] = {
        "taskInfo": {"name": FINGERPRINT},
        "componentRef": {"name": FINGERPRINT},
        "inputs": {"parameters": {_DATA_PATH: {"componentInputParameter": _DATA_PATH}}},
        "cachingOptions": {"enableCache": False},
        **_retries(pod),
    }
    components[FINGERPRINT] = {
        "executorLabel": f"{FINGERPRINT}_executor",
        "inputDefinitions": {"parameters": {_DATA_PATH: {"parameterType": "STRING"}}},
        "outputDefinitions": {"parameters": {_DIGEST: {"parameterType": "STRING"}}},
    }
    specification["deploymentSpec"]["executors"][f"{FINGERPRINT}_executor"] = {
        "container": {
            "image": pod.image or settings.image,
            "command": ["python", "-m", fingerprint.__name__],
            "args": [
                f"{{{{$.inputs.parameters['{_DATA_PATH}']}}}}",
                f"{{{{$.outputs.parameters['{_DIGEST}'].output_file}}}}",
            ],
            **_environment_and_resources(pod),
        }
    }
    example_gen = tasks[_EXAMPLE_GEN]
    example_gen["dependentTasks"] = sorted([*example_gen["dependentTasks"], FINGERPRINT])
    example_gen["inputs"]["parameters"][FINGERPRINT_PROPERTY_NAME] = {
        "taskOutputParameter": {"producerTask": FINGERPRINT, "outputParameterKey": _DIGEST}
    }


def _fingerprint_pod(settings: KubeflowSettings) -> Pod:
    """The pod of the fingerprint, which sees the same files as ExampleGen's and needs less."""
    return settings.pod(_EXAMPLE_GEN).model_copy(update={"cpu": "500m", "memory": "1Gi"})


def _label(node: BaseNode) -> str:
    return f"{node.id}_executor"


def _properties(node: BaseNode) -> dict[str, Any]:
    """The execution properties that have a value."""
    return {name: value for name, value in node.exec_properties.items() if value is not None}


def _definitions(node: BaseNode) -> dict[str, Any]:
    """Definitions of a component's inputs and outputs."""
    parameters = {name: {"parameterType": _type(value)} for name, value in _properties(node).items()}
    if node.id == _EXAMPLE_GEN:  # its driver compares it with the files as it sees them
        parameters[FINGERPRINT_PROPERTY_NAME] = {"parameterType": "STRING"}
    return {
        "inputDefinitions": {
            "artifacts": {name: {"artifactType": _schema(channel.type)} for name, channel in node.inputs.items()},
            "parameters": parameters,
        },
        "outputDefinitions": {
            "artifacts": {name: {"artifactType": _schema(channel.type)} for name, channel in node.outputs.items()}
        },
    }


def _type(value: Any) -> str:
    return _TYPES[value.ptype if isinstance(value, RuntimeParameter) else type(value)]


def _schema(kind: type[Artifact]) -> dict[str, str]:
    """The schema of an artifact type: TFX's types as TFX writes them, our own by their import path, which TFX reads."""
    path = name_utils.get_full_name(kind)
    if path in compiler_utils.TITLE_TO_CLASS_PATH.values():
        text = compiler_utils.get_artifact_schema(kind)
        return {"instanceSchema": text.decode() if isinstance(text, bytes) else text}
    return {"instanceSchema": f"title: {path}\ntype: object\n"}


def _task(node: BaseNode, pod: Pod) -> dict[str, Any]:
    task: dict[str, Any] = {
        "taskInfo": {"name": node.id},
        "componentRef": {"name": node.id},
        # All upstream tasks, since Kubeflow does not derive an order from the inputs.
        "dependentTasks": sorted(before.id for before in node.upstream_nodes),
        "inputs": {
            "artifacts": {name: _artifact_source(channel) for name, channel in node.inputs.items()},
            "parameters": {name: _parameter_source(value) for name, value in _parameters(node).items()},
        },
        "cachingOptions": {"enableCache": pod.cache and not _reads_elsewhere(node)},
    }
    return task | _retries(pod)


def _retries(pod: Pod) -> dict[str, Any]:
    if not pod.retries:
        return {}
    return {
        "retryPolicy": {
            "maxRetryCount": pod.retries,
            "backoffDuration": f"{pod.retry_backoff_seconds}s",
            "backoffFactor": pod.retry_backoff_factor,
            "backoffMaxDuration": f"{_LAST_RETRY_SECONDS}s",
        }
    }


def _artifact_source(channel: Any) -> dict[str, Any]:
    (single,) = channel_utils.get_individual_channels(channel)
    return {
        "taskOutputArtifact": {"producerTask": single.producer_component_id, "outputArtifactKey": single.output_key}
    }


def _parameters(node: BaseNode) -> dict[str, Any]:
    """The execution properties of a component.

    Raises:
      InputError: they are too large for a pod.
    """
    properties = _properties(node)
    sizes = {name: len(json.dumps(value)) for name, value in properties.items() if isinstance(value, str)}
    if sum(sizes.values()) > _MOST_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        raise InputError(
            f"the parameters of {node.id} take {sum(sizes.values()):,} bytes, {sizes[largest]:,} of them its "
            f"{largest}, but a pod accepts {_MOST_BYTES:,}; shorten their source, such as the curated schema or lists "
            "in the config"
        )
    return properties


def _parameter_source(value: Any) -> dict[str, Any]:
    if isinstance(value, RuntimeParameter):
        return {"componentInputParameter": value.name}
    return {"runtimeValue": {"constant": value}}


def _driver(node: BaseNode) -> type | None:
    """The component's own driver; None where it has TFX's."""
    return None if node.driver_class is base_driver.BaseDriver else node.driver_class


def _reads_elsewhere(node: BaseNode) -> bool:
    """Whether a component reads, besides its inputs, something that is not in Kubeflow's cache key."""
    return (_driver(node) is not None and node.id != _EXAMPLE_GEN) or isinstance(node, Pusher)


def _container(node: BaseNode, settings: KubeflowSettings) -> dict[str, Any]:
    pod = settings.pod(node.id)
    return {
        "image": pod.image or settings.image,
        "command": list(COMMAND),
        "args": _arguments(node, settings),
        **_environment_and_resources(pod),
    }


def _environment_and_resources(pod: Pod) -> dict[str, Any]:
    resources: dict[str, Any] = {"resourceCpuLimit": pod.cpu, "resourceMemoryLimit": pod.memory}
    if pod.gpus:
        resources["accelerator"] = {"resourceType": pod.gpu_type, "resourceCount": str(pod.gpus)}
    # the image's user may have no home folder, or one that is read-only
    variables = {"HOME": _TEMPORARY, **pod.env}
    return {"env": [{"name": name, "value": variables[name]} for name in sorted(variables)], "resources": resources}


def _arguments(node: BaseNode, settings: KubeflowSettings) -> list[str]:
    definitions, driver = _definitions(node), _driver(node)
    is_beam = isinstance(node.executor_spec, BeamExecutorSpec)
    return [
        *("--executor_class_path", name_utils.get_full_name(node.executor_spec.executor_class)),
        *("--json_serialized_invocation_args", "{{$}}"),
        # Kubeflow's driver passes artifacts on without their types
        *("--json_serialized_inputs_spec_args", json.dumps(definitions["inputDefinitions"], sort_keys=True)),
        *("--json_serialized_outputs_spec_args", json.dumps(definitions["outputDefinitions"], sort_keys=True)),
        *(["--driver_class_path", name_utils.get_full_name(driver)] if driver else []),
        *("--uris", settings.uris),
        *(node.executor_spec.beam_pipeline_args if is_beam else []),
    ]


# Settings for Kubernetes


def _platforms(graph: Pipeline, settings: KubeflowSettings, workspace: str) -> dict[str, Any]:
    executors = {_label(node): _kubernetes(settings.pod(node.id), workspace) for node in graph.components}
    executors[f"{FINGERPRINT}_executor"] = _kubernetes(_fingerprint_pod(settings), workspace)
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _kubernetes(pod: Pod, workspace: str) -> dict[str, Any]:
    """A KubernetesExecutorConfig; claims and secrets use the older of two fields, which every 2.x backend reads."""
    config: dict[str, Any] = {
        "pvcMount": [{"constant": volume.claim, "mountPath": volume.path} for volume in pod.volumes],
        "secretAsEnv": [
            {
                "secretName": secret.secret,
                "keyToEnv": [{"secretKey": key, "envVar": variable} for variable, key in sorted(secret.env.items())],
            }
            for secret in pod.secrets
        ],
        "nodeSelector": {"labels": pod.node_selector} if pod.node_selector else {},
        "tolerations": [_toleration(toleration.model_dump()) for toleration in pod.tolerations],
        "emptyDirMounts": _writable(pod, workspace),
    }
    if pod.run_as:
        config["securityContext"] = {"runAsUser": pod.run_as, "runAsGroup": pod.run_as, "runAsNonRoot": True}
    if pod.timeout_minutes:
        config["activeDeadlineSeconds"] = max(1, round(60 * pod.timeout_minutes))
    return {key: value for key, value in config.items() if value}


def _toleration(values: dict[str, Any]) -> dict[str, Any]:
    values["tolerationSeconds"] = values.pop("toleration_seconds")
    return {key: value for key, value in values.items() if value not in (None, "")}


def _writable(pod: Pod, workspace: str) -> list[dict[str, str]]:
    """Mounts for the folders that a component writes to and no volume has; its root file system may be read-only."""
    folders: dict[str, str] = {}
    for name, path in (("writable-tmp", _TEMPORARY), ("writable-workspace", workspace)):
        if not pod.mounts(path) and not any(is_below(path, other) for other in folders.values()):
            folders[name] = path
    mounts = [{"volumeName": name, "mountPath": path} for name, path in folders.items()]
    if pod.gpus > 1:  # GPUs communicate through it, and a container has only 64 MiB by default
        mounts.append({"volumeName": "shared-memory", "mountPath": "/dev/shm", "medium": "Memory"})
    return mounts


# The text


class _Dumper(yaml.SafeDumper):
    """Quotes text that Kubeflow's parser, unlike PyYAML, would take for a number or truth value, such as 1e3 and y."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    quoted = re.match(r"[-+]?\.?\d|[yYnN]$", value)
    style = "|" if "\n" in value else '"' if quoted else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _yaml(document: dict[str, Any]) -> str:
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=10**9)
    return text
