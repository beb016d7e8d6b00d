"""Each rule by a pipeline that breaks it in one place, and by one that breaks none."""

from __future__ import annotations

import copy
import functools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import yaml

from pipeline.kubeflow.lint import schema
from pipeline.kubeflow.lint.linter import DOCUMENT_RULES, RULES, Finding, lint
from pipeline.kubeflow.lint.pods import quantity
from tests.support.command_line import ROOT

GOOD = """
pipelineInfo: {name: fraud}
schemaVersion: 2.1.0
sdkVersion: tfx-1.21.0
root:
  inputDefinitions:
    parameters:
      data_path: {parameterType: STRING, defaultValue: s3://fraud/creditcard.csv}
      trials: {parameterType: NUMBER_INTEGER, defaultValue: 8, isOptional: true}
  dag:
    tasks:
      Ingest:
        taskInfo: {name: Ingest}
        componentRef: {name: Ingest}
        inputs: {parameters: {data_path: {componentInputParameter: data_path}}}
        retryPolicy: {maxRetryCount: 2, backoffDuration: 30s, backoffFactor: 2, backoffMaxDuration: 86400s}
      ImportSchema:
        taskInfo: {name: ImportSchema}
        componentRef: {name: ImportSchema}
        inputs: {parameters: {data_path: {componentInputParameter: data_path}}}
      Train:
        taskInfo: {name: Train}
        componentRef: {name: Train}
        cachingOptions: {enableCache: true}
        dependentTasks: [Folds]
        inputs:
          artifacts:
            examples: {taskOutputArtifact: {producerTask: Ingest, outputArtifactKey: examples}}
            schema: {taskOutputArtifact: {producerTask: ImportSchema, outputArtifactKey: schema}}
          parameters:
            rows: {taskOutputParameter: {producerTask: Ingest, outputParameterKey: rows}}
            trials: {componentInputParameter: trials}
            mode: {runtimeValue: {constant: fast}}
            run: {runtimeValue: {constant: "{{$.pipeline_job_uuid}}"}}
      Folds:
        taskInfo: {name: Folds}
        componentRef: {name: folds}
        parameterIterator: {items: {raw: "[1, 2]"}, itemInput: fold}
        inputs:
          artifacts: {examples: {taskOutputArtifact: {producerTask: Ingest, outputArtifactKey: examples}}}
      Notify:
        taskInfo: {name: Notify}
        componentRef: {name: Notify}
        dependentTasks: [Train]
        triggerPolicy: {strategy: ALL_UPSTREAM_TASKS_COMPLETED}
        inputs: {parameters: {status: {taskFinalStatus: {producerTask: Train}}}}
components:
  Ingest:
    executorLabel: Ingest
    inputDefinitions: {parameters: {data_path: {parameterType: STRING}}}
    outputDefinitions:
      artifacts: {examples: {artifactType: {instanceSchema: "title: tfx.Examples\\ntype: object\\n"}}}
      parameters: {rows: {parameterType: NUMBER_INTEGER}}
  ImportSchema:
    executorLabel: ImportSchema
    inputDefinitions: {parameters: {data_path: {parameterType: STRING}}}
    outputDefinitions: {artifacts: {schema: {artifactType: {schemaTitle: tfx.Schema}}}}
  Train:
    executorLabel: Train
    inputDefinitions:
      artifacts:
        examples: {artifactType: {schemaTitle: tfx.Examples}}
        schema: {artifactType: {schemaTitle: tfx.Schema}}
        base_model: {artifactType: {schemaTitle: tfx.Model}, isOptional: true}
      parameters:
        rows: {parameterType: NUMBER_INTEGER}
        trials: {parameterType: NUMBER_INTEGER}
        mode: {parameterType: STRING, literals: [fast, thorough]}
        run: {parameterType: STRING}
        patience: {parameterType: NUMBER_DOUBLE, defaultValue: 2.5, isOptional: true}
    outputDefinitions: {artifacts: {model: {artifactType: {schemaTitle: tfx.Model}}}}
  folds:
    inputDefinitions:
      artifacts: {examples: {artifactType: {schemaTitle: tfx.Examples}}}
      parameters: {fold: {parameterType: NUMBER_INTEGER}}
    outputDefinitions: {artifacts: {scores: {artifactType: {schemaTitle: tfx.Metrics}}}}
    dag:
      outputs: {artifacts: {scores: {artifactSelectors: [{producerSubtask: Fold, outputArtifactKey: scores}]}}}
      tasks:
        Fold:
          taskInfo: {name: Fold}
          componentRef: {name: Fold}
          inputs:
            artifacts: {examples: {componentInputArtifact: examples}}
            parameters: {fold: {componentInputParameter: fold}}
  Fold:
    executorLabel: Fold
    inputDefinitions:
      artifacts: {examples: {artifactType: {schemaTitle: tfx.Examples}}}
      parameters: {fold: {parameterType: NUMBER_INTEGER}}
    outputDefinitions: {artifacts: {scores: {artifactType: {schemaTitle: tfx.Metrics}}}}
  Notify:
    executorLabel: Notify
    inputDefinitions: {parameters: {status: {parameterType: TASK_FINAL_STATUS, isOptional: true}}}
deploymentSpec:
  executors:
    Ingest:
      container:
        image: &image registry.example.com/fraud:1
        command: &command [python, -m, entrypoint]
        args: [--driver_class_path, drivers.Ingest, "{{$}}", --rows, "{{$.outputs.parameters['rows'].output_file}}"]
    ImportSchema:
      importer:
        artifactUri: {constant: s3://fraud/schema.pbtxt}
        typeSchema: {schemaTitle: tfx.Schema}
    Train:
      container:
        image: *image
        command: *command
        args: ["{{$}}", --examples, "{{$.inputs.artifacts['examples'].uri}}", --mode, "{{$.inputs.parameters['mode']}}"]
        env: [{name: AWS_REGION, value: us-east-1}]
        resources:
          resourceCpuLimit: "4"
          resourceCpuRequest: 500m
          resourceMemoryLimit: 8Gi
          accelerator: {resourceType: nvidia.com/gpu, resourceCount: "1"}
    Fold:
      container:
        image: *image
        command: *command
        args: ["{{$}}", --fold, '{"IfPresent": {"InputName": "fold", "Then": ["{{$.inputs.parameters[''fold'']}}"]}}']
    Notify:
      container: {image: *image, command: *command, args: ["{{$}}"]}
---
platforms:
  kubernetes:
    deploymentSpec:
      executors:
        Train:
          activeDeadlineSeconds: "3600"
          imagePullPolicy: IfNotPresent
          nodeSelector: {labels: {cloud.example.com/pool: gpu}}
          tolerations:
            - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
            - {key: spot, operator: Equal, value: "true", effect: NoExecute, tolerationSeconds: "60"}
          pvcMount:
            - {pvcNameParameter: {runtimeValue: {constant: fraud-workspace}}, mountPath: /workspace}
          secretAsEnv:
            - secretNameParameter: {runtimeValue: {constant: fraud-s3}}
              keyToEnv: [{secretKey: access-key, envVar: AWS_ACCESS_KEY_ID}]
          secretAsVolume:
            - {secretName: signing-key, mountPath: /keys}
          emptyDirMounts:
            - {volumeName: shm, mountPath: /dev/shm, medium: Memory, sizeLimit: 1Gi}
          genericEphemeralVolume:
            - {volumeName: scratch, mountPath: /scratch, size: 10Gi, accessModes: [ReadWriteOnce]}
          securityContext: {runAsUser: "1000", runAsNonRoot: true}
          initContainers:
            - {name: warm-up, image: busybox:1.36, command: ["true"], resources: {limits: {cpu: 100m}}}
    pipelineConfig:
      workspace: {size: 50Gi, kubernetes: {pvcSpecPatch: {accessModes: [ReadWriteMany]}}}
"""


@dataclass(frozen=True)
class Copy:
    """What is at another place of the good pipeline."""

    path: str


DELETE = object()
TASKS = "root dag tasks"
TRAIN_INPUTS = f"{TASKS} Train inputs"
CONTAINER = "deploymentSpec executors Train container"
POD = "platforms kubernetes deploymentSpec executors Train"
WORKSPACE = "platforms kubernetes pipelineConfig workspace"

# Tasks that end up where they cannot be.
AGAIN = {
    "taskInfo": {"name": "Again"},
    "componentRef": {"name": "ImportSchema"},
    "dependentTasks": ["Notify"],
    "inputs": {"parameters": {"data_path": {"componentInputParameter": "data_path"}}},
}
NEVER = {
    "taskInfo": {"name": "Notify"},
    "componentRef": {"name": "Notify"},
    "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
}
STATUS = {
    "taskInfo": {"name": "Notify"},
    "componentRef": {"name": "Notify"},
    "inputs": {"parameters": {"status": {"taskFinalStatus": {"producerTask": "Train"}}}},
}
PUSH = {"runtimeValue": {"constant": '{"filesystem": {"base_directory": "/serving"}}'}}

# rule, path (a number: a place in a list, + after its end), what is put there, a piece of what is said of it
CASES: list[tuple[str, str, Any, str]] = [
    ("schema-version", "schemaVersion", "2.0.0", "must be 2.1.0, got '2.0.0'"),
    ("schema-version", "schemaVersion", DELETE, "got None"),
    ("pipeline-name", "pipelineInfo name", "Fraud", "lower-case"),
    ("pipeline-name", "pipelineInfo name", "fraud_pipeline", "got 'fraud_pipeline'"),
    ("pipeline-name", "pipelineInfo name", "f" * 129, "at most 128"),
    ("pipeline-root", "defaultPipelineRoot", "s3://fraud/root", "when a run is created"),
    ("field-unknown", "pipeline_information", {}, "did you mean pipelineInfo?"),
    ("field-unknown", f"{TASKS} Train cachingOptions enabled", True, "did you mean enableCache?"),
    ("field-unknown", f"{POD} pvcMounts", [], "did you mean pvcMount?"),
    ("field-unknown", f"{POD} securityContext privileged", True, "runAsNonRoot"),
    ("field-ignored", f"{CONTAINER} resources gpuLimit", 1, "has no effect"),
    ("field-type", f"{POD} activeDeadlineSeconds", "1h", "must be a whole number, got '1h'"),
    ("field-type", f"{TASKS} Train retryPolicy", {"backoffDuration": "30"}, 'such as "30s"'),
    ("field-type", f"{CONTAINER} args", "{{$}}", "must be a list"),
    ("field-type", f"{CONTAINER} env", [{"name": "ROWS", "value": 3}], "must be text, got 3"),
    ("field-type", "components Train inputDefinitions parameters rows parameterType", "INT", "NUMBER_INTEGER"),
    ("field-type", f"{TASKS} Train cachingOptions enableCache", "yes", "true or false"),
    ("field-type", "components", [], "a mapping"),
    ("field-twice", f"{TRAIN_INPUTS} parameters mode componentInputParameter", "trials", "exclude each other"),
    ("field-twice", "root input_definitions", {}, "inputDefinitions is given twice"),
    ("component-missing", f"{TASKS} Notify componentRef name", "Mail", "no component 'Mail'"),
    ("component-missing", f"{TASKS} Notify componentRef", DELETE, "name the component"),
    ("component-empty", "components Notify executorLabel", DELETE, "neither an executorLabel nor a dag"),
    ("executor-missing", "components Notify executorLabel", "Mail", "no executor 'Mail'"),
    ("executor-kind", "deploymentSpec executors Notify", {"resolver": {"outputArtifactQueries": {}}}, "is resolver"),
    ("executor-kind", "deploymentSpec executors Notify", {"customJob": {"customJob": {}}}, "is customJob"),
    ("executor-kind", "deploymentSpec executors Notify", {}, "is empty"),
    ("graph-empty", "components folds dag", {}, "no task that runs before its end"),
    (
        "task-name",
        "components folds dag tasks Fold_1",
        Copy("components folds dag tasks Fold"),
        "letters, digits and -",
    ),
    ("task-name", "components folds dag tasks 2nd", Copy("components folds dag tasks Fold"), "beginning with a letter"),
    (
        "task-name",
        "components folds dag tasks Fold-driver",
        Copy("components folds dag tasks Fold"),
        "the driver of Fold",
    ),
    ("component-name", "components system-dag-driver", Copy("components folds"), "a template of its own"),
    ("component-name", "components fold_s", Copy("components folds"), "letters, digits and -"),
    ("task-info", f"{TASKS} Train taskInfo", DELETE, "has no name"),
    ("task-info", f"{TASKS} ImportSchema taskInfo name", "Import the schema", "must be 'ImportSchema'"),
    ("task-missing", f"{TASKS} Train dependentTasks", ["Fold"], "no task 'Fold'"),
    ("task-missing", f"{TRAIN_INPUTS} artifacts examples taskOutputArtifact producerTask", "ingest", "'ingest'"),
    ("cycle", f"{TASKS} Ingest dependentTasks", ["Train"], "wait for each other"),
    ("output-missing", f"{TRAIN_INPUTS} artifacts examples taskOutputArtifact outputArtifactKey", "data", "'data'"),
    ("output-missing", f"{TRAIN_INPUTS} parameters rows taskOutputParameter outputParameterKey", "n", "no output 'n'"),
    ("output-missing", "components folds dag outputs artifacts scores artifactSelectors 0 producerSubtask", "F", "'F'"),
    ("input-undefined", f"{TRAIN_INPUTS} parameters trials componentInputParameter", "n", "no input parameter 'n'"),
    ("input-undefined", f"{TRAIN_INPUTS} artifacts examples", {"componentInputArtifact": "x"}, "a run cannot give"),
    ("input-undefined", "components folds inputDefinitions artifacts", {}, "no input artifact 'examples'"),
    (
        "constant",
        f"{TRAIN_INPUTS} parameters mode runtimeValue",
        {"constantValue": {"stringValue": "fast"}},
        "as constant",
    ),
    ("constant", f"{TRAIN_INPUTS} parameters mode runtimeValue", {"runtimeParameter": "x"}, "got runtimeParameter"),
    ("constant", f"{POD} pvcMount 0 pvcNameParameter runtimeValue", {"runtimeParameter": "x"}, "runtimeParameter"),
    ("input-empty", f"{TRAIN_INPUTS} parameters mode", {}, "does not say where"),
    ("input-empty", f"{TRAIN_INPUTS} artifacts examples", {}, "give an output or an input"),
    ("parameter-type", "components Train inputDefinitions parameters rows", {"type": "INT"}, "no parameterType"),
    ("parameter-type", "components Ingest outputDefinitions parameters rows", {}, "no parameterType"),
    (
        "parameter-type",
        "root inputDefinitions parameters s",
        {"parameterType": "TASK_FINAL_STATUS", "isOptional": True},
        "run",
    ),
    ("root-parameter", "root inputDefinitions parameters data_path defaultValue", DELETE, "every run"),
    ("parameter-required", f"{TRAIN_INPUTS} parameters mode", DELETE, "requires it"),
    (
        "parameter-required",
        "components Train inputDefinitions parameters patience isOptional",
        False,
        "isOptional: true",
    ),
    ("parameter-required", "root inputDefinitions parameters trials defaultValue", DELETE, "is null in runs without"),
    ("parameter-value", f"{TRAIN_INPUTS} parameters patience", {"runtimeValue": {"constant": "2.5"}}, "NUMBER_DOUBLE"),
    ("parameter-value", f"{TRAIN_INPUTS} parameters patience", {"runtimeValue": {"constant": None}}, "constant None"),
    (
        "parameter-value",
        f"{TRAIN_INPUTS} parameters trials componentInputParameter",
        "data_path",
        "comes from a STRING",
    ),
    ("parameter-value", "root inputDefinitions parameters trials defaultValue", "8", "NUMBER_INTEGER, got '8'"),
    ("parameter-value", "root inputDefinitions parameters trials defaultValue", True, "got True"),
    ("literals", f"{TRAIN_INPUTS} parameters mode runtimeValue constant", "slow", "one of fast, thorough"),
    ("artifact-required", f"{TRAIN_INPUTS} artifacts schema", DELETE, "requires it"),
    ("artifact-type", "components Train outputDefinitions artifacts model artifactType", {}, "neither schemaTitle"),
    (
        "artifact-type",
        "components Train outputDefinitions artifacts model artifactType",
        {"schemaUri": "x"},
        "schemaUri",
    ),
    (
        "artifact-type",
        "components Train outputDefinitions artifacts model artifactType",
        {"instanceSchema": "type: object"},
        "title",
    ),
    ("artifact-type", "deploymentSpec executors ImportSchema importer typeSchema", DELETE, "neither schemaTitle"),
    ("artifact-properties", "components Train outputDefinitions artifacts model properties", {"v": {}}, "as metadata"),
    ("artifact-properties", "deploymentSpec executors ImportSchema importer properties", {"v": {}}, "as metadata"),
    (
        "executor-logs",
        "components Train outputDefinitions artifacts executor-logs",
        Copy("components Train outputDefinitions artifacts model"),
        "rename",
    ),
    ("importer", "deploymentSpec executors ImportSchema importer artifactUri", DELETE, "got nothing"),
    ("importer", "deploymentSpec executors ImportSchema importer artifactUri constant", "/schema.pbtxt", "s3://"),
    (
        "importer",
        "deploymentSpec executors ImportSchema importer artifactUri",
        {"runtimeParameter": "uri"},
        "no input 'uri'",
    ),
    (
        "importer",
        "components ImportSchema outputDefinitions artifacts two",
        {"artifactType": {"schemaTitle": "tfx.Schema"}},
        "one output",
    ),
    ("condition", f"{TASKS} ImportSchema triggerPolicy", {"condition": "true"}, "no conditions on importers"),
    ("exit-task", f"{TASKS} Notify", NEVER, "so never"),
    ("exit-task", f"{TASKS} Notify dependentTasks", ["Folds"], "nothing at the end of Folds"),
    ("exit-task", f"{TASKS} Page", Copy(f"{TASKS} Notify"), "KFP keeps one"),
    ("exit-task", f"{TASKS} Again", AGAIN, "cannot follow Notify"),
    ("iterator", f"{TASKS} Folds parameterIterator items raw", "1, 2", "a list in JSON"),
    ("iterator", f"{TASKS} Folds parameterIterator items", {"inputParameter": "x"}, "name of an input"),
    ("iterator", f"{TASKS} Folds parameterIterator items", {}, "must be raw"),
    ("iterator", f"{TASKS} Ingest artifactIterator", {"itemInput": "x"}, "cannot iterate over artifacts"),
    ("final-status", f"{TASKS} Notify", STATUS, "first of dependentTasks"),
    ("retries", f"{TASKS} Ingest retryPolicy backoffFactor", 1.5, "a whole number"),
    ("retries", f"{TASKS} Ingest retryPolicy backoffMaxDuration", DELETE, "retries nothing"),
    ("retries", f"{TASKS} Ingest retryPolicy backoffDuration", "86400s", "shorter than backoffMaxDuration"),
    ("retries", f"{TASKS} Ingest retryPolicy maxRetryCount", -1, "0 or more"),
    (
        "constant-placeholder",
        f"{TRAIN_INPUTS} parameters run runtimeValue constant",
        "{{$.pipeline_job_id}}",
        "doesn't replace",
    ),
    (
        "constant-placeholder",
        f"{TRAIN_INPUTS} parameters run runtimeValue constant",
        "run {{$.pipeline_job_uuid}}",
        "here",
    ),
    ("braces", f"{CONTAINER} args 0", "{{workflow.name}}", "Argo"),
    ("braces", f"{TRAIN_INPUTS} parameters run runtimeValue constant", "{{", "Argo"),
    ("braces", "components Train inputDefinitions parameters run description", "{{=1+1}}", "Argo"),
    ("caching", f"{TASKS} Ingest cachingOptions", {"enableCache": True}, "what it looks up"),
    (
        "caching",
        "components Train outputDefinitions artifacts model artifactType schemaTitle",
        "tfx.PushedModel",
        "pushes to",
    ),
    ("size", f"{CONTAINER} args +", "x" * 131_072, "at most 128 KiB"),
    ("size", "sdkVersion", "x" * 1_048_576, "1 MiB"),
    ("image", f"{CONTAINER} image", "", "name the image"),
    ("image", f"{CONTAINER} image", DELETE, "name the image"),
    ("image", f"{CONTAINER} image", "{{$.inputs.parameters['image']}}", "doesn't give the input parameter 'image'"),
    ("command", f"{CONTAINER} command", DELETE, "entry point"),
    ("command", f"{CONTAINER} command 0", "{{$.inputs.artifacts['examples'].path}}", "program's name"),
    ("lifecycle", f"{CONTAINER} lifecycle", {"preCacheCheck": {"command": ["driver"]}}, "never runs it"),
    ("placeholder", f"{CONTAINER} args 0", "{{$.outputs.output_file}}", "replaces no {{$.outputs.output_file}}"),
    ("placeholder", f"{CONTAINER} args 0", "{{$.inputs.parameters['modes']}}", "it knows"),
    ("placeholder", f"{CONTAINER} args 0", "{{$.inputs.artifacts['examples']}}", "it knows"),
    ("placeholder-optional", f"{CONTAINER} args 0", "{{$.inputs.parameters['patience']}}", "leaves patience out"),
    ("conditional-argument", f"{CONTAINER} args 0", '{"IfPresent": {"Then": "x"}}', "of the form"),
    ("conditional-argument", f"{CONTAINER} args 0", '{"Concat": ["a", "b"]}', "into the text itself"),
    ("conditional-argument", f"{CONTAINER} args 0", '{"IfPresent": {"InputName": "schema", "Then": ["x"]}}', "absent"),
    ("environment", f"{CONTAINER} env 0 name", "", "must have a name"),
    ("environment", f"{CONTAINER} env 0 name", "KFP_POD_NAME", "needs KFP_POD_NAME"),
    ("environment", f"{POD} secretAsEnv 0 keyToEnv 0 envVar", "A=B", "without ="),
    ("resources", f"{CONTAINER} resources resourceMemoryLimit", "8 GB", "4Gi, got '8 GB'"),
    ("resources", f"{CONTAINER} resources resourceCpuRequest", "5", "more cpu than its limit"),
    ("resources", f"{CONTAINER} resources cpuLimit", 2, "KFP takes the first"),
    ("resources", f"{CONTAINER} resources resourceCpuLimit", "-1", "must not be negative"),
    ("resources", f"{CONTAINER} resources resourceCpuLimit", "{{$.inputs.parameters['rows']}}", "STRING parameter"),
    ("accelerator", f"{CONTAINER} resources accelerator", {"resourceType": "nvidia.com/gpu"}, "got none"),
    ("accelerator", f"{CONTAINER} resources accelerator", {"count": 1}, "has no type"),
    ("accelerator", f"{CONTAINER} resources accelerator resourceCount", "0", "1 or more, got 0"),
    ("accelerator", f"{CONTAINER} resources accelerator resourceType", "NVIDIA_TESLA_T4", "nvidia.com/gpu, got"),
    ("containers-alike", "deploymentSpec executors Fold container args", ["{{$}}"], "make their arguments differ"),
    ("platform-executor", "platforms kubernetes deploymentSpec executors Trainer", {}, "no component has"),
    ("platform-executor", "platforms kubernetes deploymentSpec executors ImportSchema", {}, "only applies it to"),
    ("platform-ignored", f"{POD} podAffinity", [{"topologyKey": "zone"}], "nodeAffinity"),
    ("platform-ignored", f"{POD} enabledSharedMemory", {"volumeName": "s"}, "/dev/shm"),
    ("secret", f"{POD} secretAsEnv 0 secretNameParameter", DELETE, "names no secret"),
    ("secret", f"{POD} secretAsEnv 0 secretNameParameter runtimeValue constant", "", "names no secret"),
    ("secret", f"{POD} secretAsEnv 0 secretNameParameter runtimeValue constant", "Fraud_S3", "lower-case"),
    ("secret", f"{POD} secretAsEnv 0 keyToEnv 0 secretKey", "", "has no secretKey"),
    ("secret", f"{POD} configMapAsEnv", [{"keyToEnv": []}], "names no configMap"),
    ("volumes", f"{POD} pvcMount 0 pvcNameParameter", DELETE, "names no volume"),
    ("volumes", f"{POD} pvcMount 0 pvcNameParameter runtimeValue constant", "fraud.workspace", "at most 63"),
    ("volumes", f"{POD} pvcMount 0 mountPath", "workspace", "absolute path"),
    ("volumes", f"{POD} pvcMount 0 mountPath", "/s3", "of its own at /s3"),
    ("volumes", f"{POD} pvcMount 0 mountPath", "/keys/", "mounted at /keys already"),
    (
        "volumes",
        f"{POD} pvcMount +",
        {"constant": "fraud-workspace", "mountPath": "/models"},
        "mounts fraud-workspace once more",
    ),
    ("volume-size", f"{POD} genericEphemeralVolume 0 size", "10 GB", "such as 10Gi"),
    ("volume-size", f"{POD} genericEphemeralVolume 0 accessModes", [], "got none"),
    ("volume-size", f"{POD} emptyDirMounts 0 sizeLimit", "big", "such as 10Gi"),
    ("volume-size", f"{POD} emptyDirMounts 0 medium", "RAM", "must be Memory"),
    ("tolerations", f"{POD} tolerations 0 operator", "Exist", "Equal or Exists"),
    ("tolerations", f"{POD} tolerations 0 value", "present", "must be empty"),
    ("tolerations", f"{POD} tolerations 0", {"effect": "NoSchedule"}, "names no key"),
    ("tolerations", f"{POD} tolerations 0 effect", "NoSchedul", "NoExecute, got"),
    ("tolerations", f"{POD} tolerations 0 tolerationSeconds", 60, "only allowed with the effect NoExecute"),
    ("tolerations", f"{POD} tolerations 0 key", "nvidia/com/gpu", "key of a taint"),
    ("labels", f"{POD} nodeSelector labels", {"gpu pool": "a"}, "a label's key"),
    ("labels", f"{POD} nodeSelector labels", {"pool": "a b"}, "at most 63"),
    ("pull-policy", f"{POD} imagePullPolicy", "Missing", "got 'Missing'"),
    ("timeout", f"{POD} activeDeadlineSeconds", 0, "no limit at all"),
    ("security-context", f"{POD} securityContext runAsUser", 0, "must not be 0"),
    ("init-containers", f"{POD} initContainers 0 name", "kfp-launcher", "a name of its own"),
    ("init-containers", f"{POD} initContainers 0 image", DELETE, "name the image"),
    ("init-containers", f"{POD} initContainers 0 restartPolicy", "Never", "Always"),
    ("init-containers", f"{POD} initContainers 0 volumeMounts", [{"volumeName": "shm"}], "absolute mountPath"),
    ("init-containers", f"{POD} initContainers 0 resources limits cpu", "lots", "such as 500m"),
    ("push-destination", f"{TRAIN_INPUTS} parameters push_destination", PUSH, "/serving ends with the pod"),
    ("workspace", f"{WORKSPACE} size", DELETE, "such as 50Gi"),
    ("workspace", f"{WORKSPACE} kubernetes", DELETE, "makes no volume"),
    ("workspace", f"{WORKSPACE} kubernetes pvcSpecPatch volumeMode", "Block", "accessModes and storageClassName"),
    ("workspace", f"{WORKSPACE} kubernetes pvcSpecPatch storageClassName", "", "must not be empty"),
]

OTHER_CASES: list[tuple[str, str, str]] = [  # rule, text, a piece of what is said of it
    ("yaml", "a: [", "cannot be read"),
    ("yaml", f"schemaVersion: 2.1.0\n{GOOD}", "schemaVersion is there twice"),
    ("no-pipeline", "", "compile one"),
    ("no-pipeline", '{"pipelineSpec": {}, "runtimeConfig": {}}', "is a PipelineJob"),
    ("no-pipeline", GOOD.replace("pipelineInfo: {name: fraud}", ""), "a pipelineInfo and a root"),
    ("document-ignored", f"{GOOD}\n---\n{GOOD.split('---')[0]}", "two pipelines"),
    ("document-ignored", f"{GOOD}\n---\n{GOOD.split('---')[1]}", "two platform documents"),
    ("document-ignored", f"{GOOD}\n---\nnotes: for us", "ignores a document of notes"),
    ("document-ignored", f"{GOOD}\n---\n- notes", "must be a mapping, got list"),
    ("document-ignored", GOOD.replace("  kubernetes:\n    dep", "  k8s:\n    dep"), "says nothing for kubernetes"),
]


def edited(path: str, value: Any, text: str = GOOD) -> str:
    """The pipeline with one thing in it put, replaced or deleted."""
    documents = json.loads(_as_json(text))
    *names, last = path.split()
    node = whole = documents[1] if names and names[0] == "platforms" else documents[0]
    if isinstance(value, Copy):
        value = copy.deepcopy(at(documents[0], value.path))
    for name in names:
        node = node[int(name)] if isinstance(node, list) else node.setdefault(name, {})
    if value is DELETE:
        del node[last]
    elif last == "+":
        node.append(value)
    elif isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value
    if path.startswith("components ") and isinstance(value, dict) and "dag" in value and len(names) == 1:
        at(documents[0], f"{TASKS} Folds componentRef")["name"] = last  # what nothing leads to has no rules
    assert whole in documents
    return "\n---\n".join(map(json.dumps, documents))  # which is YAML too, and written at once


@functools.cache
def _as_json(text: str) -> str:
    """Its documents, without YAML's aliases."""
    return json.dumps(list(yaml.safe_load_all(text)))


def at(node: Any, path: str) -> Any:
    for name in path.split():
        node = node[int(name)] if isinstance(node, list) else node[name]
    return node


def test_a_pipeline_in_order_has_no_findings() -> None:
    assert lint(GOOD) == []


@pytest.mark.parametrize(
    ("rule", "path", "value", "text"), CASES, ids=[f"{rule}-{n}" for n, (rule, *_) in enumerate(CASES)]
)
def test_finds_what_one_edit_breaks(rule: str, path: str, value: Any, text: str) -> None:
    findings = lint(edited(path, value))

    assert {finding.rule for finding in findings} == {rule}, findings
    assert any(text in finding.text for finding in findings), findings


@pytest.mark.parametrize(("rule", "text", "piece"), OTHER_CASES, ids=[piece for *_, piece in OTHER_CASES])
def test_finds_what_is_wrong_with_documents(rule: str, text: str, piece: str) -> None:
    findings = lint(text)

    assert {finding.rule for finding in findings} == {rule}, findings
    assert any(piece in finding.text for finding in findings), findings


def test_each_rule_is_broken_above() -> None:
    broken = {rule for rule, *_ in CASES} | {rule for rule, *_ in OTHER_CASES}

    assert broken == set(RULES)
    assert len(set(RULES)) == len(RULES)
    assert set(DOCUMENT_RULES) < set(RULES)


def test_says_where_in_the_document() -> None:
    findings = lint(edited(f"{TASKS} Ingest retryPolicy backoffFactor", 1.5))

    assert [str(finding) for finding in findings] == [
        "root.dag.tasks.Ingest.retryPolicy.backoffFactor: must be a whole number for Argo, got 1.5"
    ]


def test_finds_several_at_once_in_the_order_of_their_places() -> None:
    text = edited(f"{TASKS} Ingest retryPolicy backoffFactor", 1.5).replace("2.1.0", "2.0.0").replace("8Gi", "8 Gi")

    assert [finding.rule for finding in lint(text)] == ["resources", "retries", "schema-version"]


def test_takes_fields_by_their_names_in_the_proto_as_the_backend_does() -> None:
    text = GOOD.replace("pipelineInfo:", "pipeline_info:").replace("retryPolicy:", "retry_policy:")
    text = text.replace("pvcMount:", "pvc_mount:").replace("backoffMaxDuration:", "backoff_max_duration:")

    assert lint(text) == []


def test_a_place_in_the_workspace_needs_a_workspace() -> None:
    path = f"{TRAIN_INPUTS} parameters run runtimeValue constant"
    text = edited(path, "{{$.workspace_path}}/models")

    assert lint(text) == []
    documents = list(yaml.safe_load_all(text))
    del documents[1]["platforms"]["kubernetes"]["pipelineConfig"]
    assert [finding.rule for finding in lint(yaml.safe_dump_all(documents))] == ["constant-placeholder"]


@pytest.mark.parametrize("folder", ["s3://fraud-models/serving", "/workspace/serving", "/workspace"])
def test_a_model_may_be_pushed_to_what_outlives_the_pod(folder: str) -> None:
    destination = {"runtimeValue": {"constant": json.dumps({"filesystem": {"base_directory": folder}})}}

    assert lint(edited(f"{TRAIN_INPUTS} parameters push_destination", destination)) == []


def test_what_root_does_not_lead_to_is_not_looked_at() -> None:
    assert lint(edited("components Left", {"executorLabel": "nowhere"})) == []


def test_without_a_platform_document_pods_have_no_rules() -> None:
    assert lint(GOOD.split("---")[0]) == []


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        ("1.5", "1.5"),
        ("4Gi", "4294967296"),
        ("4G", "4000000000"),
        ("1e3", "1000"),
        ("1E", "1e18"),
    ],
)
def test_quantities_are_as_kubernetes_counts(text: str, amount: str) -> None:
    assert quantity(text) == Decimal(amount)


@pytest.mark.parametrize("value", [None, "x", 3, [], {}, [None]], ids=repr)
def test_no_shape_of_a_document_stops_it(value: Any) -> None:
    paths = random.Random(7).sample(sorted(paths_in(list(yaml.safe_load_all(GOOD)))), 30)

    for path in paths:
        assert all(isinstance(finding, Finding) for finding in lint(edited(path, value)))


def paths_in(node: Any, path: str = "") -> Iterator[str]:
    """Of the documents, the places that `edited` can reach."""
    if isinstance(node, (dict, list)):
        for name, item in node.items() if isinstance(node, dict) else enumerate(node):
            place = f"{path} {name}".strip() if path or isinstance(node, dict) else ""
            if place:
                yield place
            yield from paths_in(item, place)


def test_knows_every_field_that_the_sdk_can_write() -> None:
    pipeline_spec_pb2 = pytest.importorskip("kfp.pipeline_spec.pipeline_spec_pb2", reason="needs kfp-pipeline-spec")

    unknown = list(unknown_fields(pipeline_spec_pb2.PipelineSpec.DESCRIPTOR, "PipelineSpec"))
    unknown += unknown_fields(pipeline_spec_pb2.PipelineDeploymentConfig.DESCRIPTOR, "PipelineDeploymentConfig")
    assert unknown == []


def test_knows_every_field_of_the_platform_document() -> None:
    config = pytest.importorskip("kfp.kubernetes.kubernetes_executor_config_pb2", reason="needs kfp-kubernetes")
    pipeline_spec_pb2 = pytest.importorskip("kfp.pipeline_spec.pipeline_spec_pb2")

    unknown = list(unknown_fields(pipeline_spec_pb2.PlatformSpec.DESCRIPTOR, "PlatformSpec"))
    unknown += unknown_fields(config.KubernetesExecutorConfig.DESCRIPTOR, "KubernetesExecutorConfig")
    assert unknown == []


def unknown_fields(descriptor: Any, message: str) -> Iterator[str]:
    """Fields of a proto, and of the protos in it, that the table has not, or has otherwise."""
    kinds = {"string": "TYPE_STRING", "bool": "TYPE_BOOL", "number": "TYPE_DOUBLE"}
    for field in descriptor.fields:
        kind = schema.FIELDS[message].get(field.json_name, "nothing")
        base = kind.removeprefix("[]").removeprefix("{}")
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            field = inner.fields_by_name["value"]
            inner = field.message_type
        if base in schema.FIELDS and inner is not None:
            if inner.full_name != "google.protobuf.Struct":  # what is parsed a second time, by itself
                yield from unknown_fields(inner, base)
        elif base in schema.ENUMS:
            names = tuple(value.name for value in field.enum_type.values) if field.enum_type else ()
            if names != schema.ENUMS[base][: len(names)]:
                yield f"{message}.{field.json_name}: {names}"
        elif base == "integer":
            if field.type not in (field.TYPE_INT32, field.TYPE_INT64):
                yield f"{message}.{field.json_name}: {kind}"
        elif base in kinds:
            if field.type != getattr(field, kinds[base]):
                yield f"{message}.{field.json_name}: {kind}"
        elif base not in ("any", "struct", "duration"):
            yield f"{message}.{field.json_name}: {kind}"


def test_findings_are_values() -> None:
    assert Finding("size", "root", "too long") == Finding("size", "root", "too long")
    assert str(Finding("yaml", "", "cannot be read")) == "cannot be read"


@pytest.fixture(scope="module")
def compiled() -> str:
    from pipeline.config import load
    from pipeline.kubeflow.compiling import compile_pipeline

    return compile_pipeline(load(ROOT / "configs" / "kubeflow.yaml"))


def test_what_another_task_looked_up_is_in_the_cache_s_key() -> None:
    source = {"taskOutputParameter": {"producerTask": "ImportSchema", "outputParameterKey": "found"}}
    text = edited(
        f"{TASKS} Ingest inputs parameters found",
        source,
        edited(f"{TASKS} Ingest cachingOptions", {"enableCache": True}),
    )
    assert "caching" not in {finding.rule for finding in lint(text)}


def test_what_is_compiled_here_has_no_findings(compiled: str) -> None:
    assert lint(compiled) == []


@pytest.mark.parametrize(
    ("rule", "path", "value"),
    [
        ("retries", f"{TASKS} Trainer retryPolicy backoffMaxDuration", DELETE),
        ("caching", f"{TASKS} Pusher cachingOptions enableCache", True),
        ("artifact-required", f"{TASKS} Trainer inputs artifacts schema", DELETE),
        ("accelerator", "deploymentSpec executors Trainer_executor container resources accelerator resourceCount", "0"),
        ("secret", "platforms kubernetes deploymentSpec executors Trainer_executor secretAsEnv 0 secretName", ""),
        ("volumes", "platforms kubernetes deploymentSpec executors Trainer_executor pvcMount 0 mountPath", "/s3"),
        ("platform-executor", "platforms kubernetes deploymentSpec executors Trainer", {}),
    ],
)
def test_finds_what_is_broken_in_what_is_compiled_here(compiled: str, rule: str, path: str, value: Any) -> None:
    assert {finding.rule for finding in lint(edited(path, value, compiled))} == {rule}
