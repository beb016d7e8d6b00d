"""The specification for Kubeflow Pipelines: what is in it, that it is always the same, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils
from tfx.types import standard_artifacts
from tfx.utils import import_utils

from components.reading.files import fingerprint
from components.report.component import FraudReport
from pipeline.config import Config, load
from pipeline.kubeflow.checks import COMPONENTS
from pipeline.kubeflow.compiling import FINGERPRINT, compile_pipeline
from trainer.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "configs" / "kubeflow.yaml"
NODES = {*COMPONENTS} - {"SchemaGen"}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Compiled:
    """Both documents, by the names of the components."""

    def __init__(self, *overrides: str, config: Config | None = None):
        self.text = compile_pipeline(config or load(EXAMPLE, overrides))
        self.spec, platforms = yaml.load_all(self.text, LOADER)
        self.root = self.spec["root"]
        self.tasks = self.root["dag"]["tasks"]
        self._pods = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    def _label(self, component: str) -> str:
        return self.spec["components"][component]["executorLabel"]

    def container(self, component: str) -> dict[str, Any]:
        return self.spec["deploymentSpec"]["executors"][self._label(component)]["container"]

    def kubernetes(self, component: str) -> dict[str, Any]:
        return self._pods[self._label(component)]

    def argument(self, component: str, name: str) -> str:
        arguments = self.container(component)["args"]
        return arguments[arguments.index(f"--{name}") + 1]

    def env(self, component: str) -> dict[str, str]:
        return {one["name"]: one["value"] for one in self.container(component)["env"]}

    def constants(self, component: str) -> dict[str, Any]:
        parameters = self.tasks[component]["inputs"]["parameters"]
        return {name: one["runtimeValue"]["constant"] for name, one in parameters.items() if "runtimeValue" in one}


@pytest.fixture(scope="module")
def example() -> Compiled:
    return Compiled()


@pytest.fixture(scope="module")
def smallest() -> Compiled:
    """Without what can be left out, and with the schema that is inferred."""
    return Compiled("tuning=off", "challengers=off", "schema=null")


# What is in it


def test_it_is_a_specification_of_the_schema_that_the_backend_takes(example: Compiled) -> None:
    assert example.spec["schemaVersion"] == "2.1.0"
    assert example.spec["pipelineInfo"] == {"name": "fraud"}
    assert example.spec["sdkVersion"] == "fraud-pipeline-0.1.0"
    assert set(example.tasks) == {*NODES, FINGERPRINT}
    for name, task in example.tasks.items():
        assert task["componentRef"] == {"name": name}
        assert task["taskInfo"] == {"name": name}
    # TFX's would be refused, or dropped
    assert not {"lifecycle", "constantValue", "importer", "resolver", "defaultPipelineRoot"} & keys(example.spec)


def keys(value: Any) -> set[str]:
    """All keys, however deep."""
    if isinstance(value, dict):
        return {*value, *(key for one in value.values() for key in keys(one))}
    return {key for one in value for key in keys(one)} if isinstance(value, list) else set()


def test_kfp_loads_it_with_no_field_unknown(example: Compiled) -> None:
    from kfp import components
    from kfp.pipeline_spec import pipeline_spec_pb2

    message = pipeline_spec_pb2.PipelineSpec()
    json_format.ParseDict(example.spec, message, ignore_unknown_fields=False)
    assert set(message.root.dag.tasks) == {*NODES, FINGERPRINT}
    loaded = components.load_component_from_text(example.text)
    assert {name: one.default for name, one in loaded.component_spec.inputs.items()} == {
        "data_path": "s3://fraud-data/creditcard.csv",
        "run_name": "fraud",
        "tuner_trials": 4,
        "tuner_budget_minutes": 0.0,
    }


def test_kfp_s_own_messages_take_each_executor_with_no_field_unknown(example: Compiled) -> None:
    pb = pytest.importorskip(
        "kfp.kubernetes.kubernetes_executor_config_pb2", reason="kfp-kubernetes is not installed beside this kfp"
    )
    from kfp.pipeline_spec import pipeline_spec_pb2

    for name in [*NODES, FINGERPRINT]:
        container = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec()
        json_format.ParseDict(example.container(name), container, ignore_unknown_fields=False)
        limits = {"Tuner": "8Gi", "Trainer": "8Gi", FINGERPRINT: "1Gi"}
        assert container.resources.resource_memory_limit == limits.get(name, "4Gi")
        pod = pb.KubernetesExecutorConfig()
        json_format.ParseDict(example.kubernetes(name), pod, ignore_unknown_fields=False)
        assert pod.pvc_mount[0].constant == "fraud-workspace"
        assert [(one.secret_key, one.env_var) for one in pod.secret_as_env[0].key_to_env] == [
            ("access-key", "AWS_ACCESS_KEY_ID"),
            ("secret-key", "AWS_SECRET_ACCESS_KEY"),
        ]


def test_parameters_of_a_run_have_defaults() -> None:
    compiled = Compiled("name=friday", "tuning.trials=7", "tuning.budget_minutes=2.5")
    parameters = compiled.root["inputDefinitions"]["parameters"]
    assert {name: (one["parameterType"], one["defaultValue"]) for name, one in parameters.items()} == {
        "data_path": ("STRING", "s3://fraud-data/creditcard.csv"),
        "run_name": ("STRING", "friday"),
        "tuner_trials": ("NUMBER_INTEGER", 7),
        "tuner_budget_minutes": ("NUMBER_DOUBLE", 2.5),
    }
    assert all(one["isOptional"] for one in parameters.values())
    taken = {
        (task, name): one["componentInputParameter"]
        for task, body in compiled.tasks.items()
        for name, one in body["inputs"]["parameters"].items()
        if "componentInputParameter" in one
    }
    assert taken == {
        (FINGERPRINT, "data_path"): "data_path",
        ("ExampleGen", "input_base"): "data_path",
        ("Report", "run_name"): "run_name",
        ("Tuner", "trials"): "tuner_trials",
        ("Tuner", "budget_minutes"): "tuner_budget_minutes",
    }
    types = compiled.spec["components"]["Tuner"]["inputDefinitions"]["parameters"]
    assert (types["trials"], types["budget_minutes"]) == (
        {"parameterType": "NUMBER_INTEGER"},
        {"parameterType": "NUMBER_DOUBLE"},
    )


def test_without_a_search_there_are_no_parameters_of_it(smallest: Compiled) -> None:
    assert set(smallest.tasks) == {*NODES, FINGERPRINT, "SchemaGen"} - {"Tuner", "Challengers", "ImportSchemaGen"}
    assert set(smallest.root["inputDefinitions"]["parameters"]) == {"data_path", "run_name"}


def test_the_names_of_components_are_those_of_the_graph(example: Compiled, smallest: Compiled) -> None:
    assert set(example.tasks) | set(smallest.tasks) == {*COMPONENTS, FINGERPRINT}


def test_a_task_waits_for_all_that_come_before_it(example: Compiled) -> None:
    assert example.tasks["ExampleGen"]["dependentTasks"] == [FINGERPRINT]
    # the gate gives it nothing
    assert example.tasks["Transform"]["dependentTasks"] == ["DataGate", "ExampleGen", "ImportSchemaGen"]
    for task in (example.tasks[name] for name in NODES):
        producers = {one["taskOutputArtifact"]["producerTask"] for one in task["inputs"]["artifacts"].values()}
        assert producers <= set(task["dependentTasks"])
        assert task["dependentTasks"] == sorted(task["dependentTasks"])
    assert example.tasks["Pusher"]["inputs"]["artifacts"] == {
        "model": {"taskOutputArtifact": {"producerTask": "Trainer", "outputArtifactKey": "model"}},
        "model_blessing": {"taskOutputArtifact": {"producerTask": "Evaluator", "outputArtifactKey": "blessing"}},
    }


def test_the_command_is_the_entry_point_s(example: Compiled) -> None:
    container = example.container("ExampleGen")
    assert container["command"] == ["python", "-m", "pipeline.kubeflow.entrypoint"]
    assert container["args"][::2][:6] == [
        "--executor_class_path",
        "--json_serialized_invocation_args",
        "--json_serialized_inputs_spec_args",
        "--json_serialized_outputs_spec_args",
        "--driver_class_path",
        "--uris",
    ]
    assert example.argument("ExampleGen", "json_serialized_invocation_args") == "{{$}}"
    assert example.argument("ExampleGen", "uris") == "local"
    assert container["args"][12:] == [
        "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
        "--sdk_container_image=none",
    ]
    # a driver of its own has what looks at more than its inputs; the others' arguments end without Beam's
    drivers = {name for name in NODES if "--driver_class_path" in example.container(name)["args"]}
    assert drivers == {"ExampleGen", "CurrentModel"}
    assert example.container("Pusher")["args"][8:] == ["--uris", "local"]


def test_every_class_in_a_pods_arguments_can_be_imported(example: Compiled) -> None:
    for name in NODES:
        assert import_utils.import_class_by_path(example.argument(name, "executor_class_path")).Do
        for argument in ("inputs", "outputs"):
            spec = json.loads(example.argument(name, f"json_serialized_{argument}_spec_args"))
            definitions = example.spec["components"][name][f"{argument[:-1]}Definitions"]
            assert spec == definitions
            for one in spec["artifacts"].values():
                title = yaml.safe_load(one["artifactType"]["instanceSchema"])["title"]
                path = kubeflow_v2_entrypoint_utils._retrieve_class_path(schema_of(title))
                assert import_utils.import_class_by_path(path).TYPE_NAME
    assert import_utils.import_class_by_path(example.argument("ExampleGen", "driver_class_path")).run


def schema_of(title: str) -> Any:
    from kfp.pipeline_spec import pipeline_spec_pb2

    return pipeline_spec_pb2.ArtifactTypeSchema(schema_title=title)


def test_types_are_written_as_tfx_reads_them(example: Compiled) -> None:
    outputs = example.spec["components"]["Report"]["outputDefinitions"]["artifacts"]
    assert yaml.safe_load(outputs["report"]["artifactType"]["instanceSchema"])["title"] == (
        f"{FraudReport.__module__}.FraudReport"
    )
    inputs = example.spec["components"]["Report"]["inputDefinitions"]["artifacts"]
    schema = yaml.safe_load(inputs["examples"]["artifactType"]["instanceSchema"])
    assert schema["title"] == "tfx.Examples"
    assert set(standard_artifacts.Examples.PROPERTIES or {}) <= set(schema["properties"])


def test_each_pod_gets_its_settings(example: Compiled) -> None:
    assert example.container("ExampleGen")["image"] == "registry.example.com/fraud-pipeline:0.1.0-cpu"
    assert example.container("ExampleGen")["resources"] == {"resourceCpuLimit": "2", "resourceMemoryLimit": "4Gi"}
    for name in ("Tuner", "Trainer"):
        assert example.container(name)["image"] == "registry.example.com/fraud-pipeline:0.1.0-gpu"
        assert example.container(name)["resources"] == {
            "resourceCpuLimit": "4",
            "resourceMemoryLimit": "8Gi",
            "accelerator": {"resourceType": "nvidia.com/gpu", "resourceCount": "1"},
        }
        assert example.kubernetes(name)["tolerations"] == [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        ]
    assert {name for name in NODES if "accelerator" in example.container(name)["resources"]} == {"Tuner", "Trainer"}
    assert "tolerations" not in example.kubernetes("ExampleGen")
    assert [one["mountPath"] for one in example.kubernetes("ExampleGen")["emptyDirMounts"]] == ["/tmp"]
    assert example.kubernetes("Tuner")["activeDeadlineSeconds"] == 4 * 3600
    assert example.kubernetes("ExampleGen")["activeDeadlineSeconds"] == 3600
    assert example.kubernetes("ExampleGen")["pvcMount"] == [{"constant": "fraud-workspace", "mountPath": "/workspace"}]
    assert example.env("Report") == {
        "AWS_ENDPOINT_URL_S3": "http://seaweedfs.kubeflow.svc:9000",
        "AWS_REGION": "us-east-1",
        "HOME": "/tmp",
    }


def test_resources_of_example_gen_are_not_dropped_and_others_go_where_they_belong() -> None:
    compiled = Compiled(
        "kubeflow.components.ExampleGen={memory: 16Gi, node_selector: {disk: ssd}, image: 'other:2', env: {HOME: /h}}",
        "kubeflow.components.Tuner.gpu_type=amd.com/gpu",
        "kubeflow.components.Tuner.gpus=2",
        "kubeflow.components.Tuner.tolerations=[{key: spot, value: y, effect: NoExecute, toleration_seconds: 60}]",
        "kubeflow.pods.timeout_minutes=null",
        "kubeflow.pods.volumes=[]",
        "kubeflow.pods.secrets=[]",
    )
    assert compiled.container("ExampleGen")["resources"]["resourceMemoryLimit"] == "16Gi"
    assert compiled.container("ExampleGen")["image"] == "other:2"
    assert compiled.env("ExampleGen")["HOME"] == "/h"
    assert compiled.kubernetes("ExampleGen")["nodeSelector"] == {"labels": {"disk": "ssd"}}
    assert compiled.container("Tuner")["resources"]["accelerator"] == {
        "resourceType": "amd.com/gpu",
        "resourceCount": "2",
    }
    assert compiled.kubernetes("Tuner")["tolerations"] == [
        {"key": "spot", "operator": "Equal", "value": "y", "effect": "NoExecute", "tolerationSeconds": 60}
    ]
    assert set(compiled.kubernetes("Report")) == {"emptyDirMounts", "securityContext"}


@pytest.mark.parametrize(
    ("workspace", "volumes", "mounted"),
    [
        ("/workspace/fraud", "[{claim: a, path: /workspace}]", {"/tmp"}),
        ("/workspace", "[]", {"/tmp", "/workspace"}),
        ("/workspace", "[{claim: a, path: /tmp}]", {"/workspace"}),
        ("/tmp/fraud", "[]", {"/tmp"}),
        ("/workspaces", "[{claim: a, path: /workspace}]", {"/tmp", "/workspaces"}),
    ],
)
def test_a_component_can_write_where_it_has_to_on_a_root_that_is_read_only(
    workspace: str, volumes: str, mounted: set[str]
) -> None:
    compiled = Compiled(f"workspace={workspace}", f"kubeflow.pods.volumes={volumes}")
    mounts = compiled.kubernetes("Tuner").get("emptyDirMounts", [])
    assert {mount["mountPath"] for mount in mounts} == mounted
    assert len({mount["volumeName"] for mount in mounts}) == len(mounts)
    assert json.loads(compiled.constants("Tuner")["custom_config"])["search_folder"] == f"{workspace}/searches"


def test_retries_end_after_a_week_and_not_at_once(example: Compiled) -> None:
    """Kubeflow writes 0 where none is given, and Argo then never tries again."""
    assert example.tasks["Trainer"]["retryPolicy"] == {
        "maxRetryCount": 2,
        "backoffDuration": "30s",
        "backoffFactor": 2,
        "backoffMaxDuration": "604800s",
    }
    assert "retryPolicy" not in example.tasks["DataGate"]


def test_what_reads_more_than_its_inputs_is_never_cached(example: Compiled) -> None:
    cached = {name for name, task in example.tasks.items() if task["cachingOptions"]["enableCache"]}
    assert {*NODES, FINGERPRINT} - cached == {FINGERPRINT, "CurrentModel", "Pusher"}
    off = Compiled("kubeflow.pods.cache=false", "kubeflow.components.Report={cache: true}")
    assert {name for name, task in off.tasks.items() if task["cachingOptions"]["enableCache"]} == {"Report"}


def test_example_gen_gets_the_fingerprint_of_the_files(example: Compiled, tmp_path: Path) -> None:
    """By a parameter, since that is what Kubeflow's cache looks at."""
    assert example.tasks["ExampleGen"]["inputs"]["parameters"]["input_fingerprint"] == {
        "taskOutputParameter": {"producerTask": FINGERPRINT, "outputParameterKey": "fingerprint"}
    }
    container = example.container(FINGERPRINT)
    assert container["args"] == [
        "{{$.inputs.parameters['data_path']}}",
        "{{$.outputs.parameters['fingerprint'].output_file}}",
    ]
    # it sees what ExampleGen sees
    assert example.kubernetes(FINGERPRINT) == example.kubernetes("ExampleGen")
    assert container["env"] == example.container("ExampleGen")["env"]
    data, output = tmp_path / "data.csv", tmp_path / "outputs" / "fingerprint"
    data.write_text("a,b\n")
    command = [sys.executable, *container["command"][1:], str(data), str(output)]
    assert subprocess.run(command, cwd=ROOT).returncode == 0
    assert output.read_text() == fingerprint(str(data))
    data.unlink()
    output.unlink()
    missing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: ")
    assert str(data) in missing.stderr
    assert not output.exists()


def test_a_container_runs_as_the_user_of_its_settings(example: Compiled) -> None:
    assert example.kubernetes("Report")["securityContext"] == {
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "runAsNonRoot": True,
    }
    assert "securityContext" not in Compiled("kubeflow.pods.run_as=null").kubernetes("Report")


def test_several_gpus_of_a_pod_have_memory_to_share() -> None:
    several = Compiled("kubeflow.components.Trainer.gpus=2")
    assert {"volumeName": "shared-memory", "mountPath": "/dev/shm", "medium": "Memory"} in several.kubernetes(
        "Trainer"
    )["emptyDirMounts"]
    assert "/dev/shm" not in str(several.kubernetes("Tuner"))


def test_models_are_served_from_where_the_section_says(example: Compiled) -> None:
    assert example.constants("CurrentModel")["serving_dir"] == "s3://fraud-models/serving"
    assert json.loads(example.constants("Pusher")["push_destination"]) == {
        "filesystem": {"base_directory": "s3://fraud-models/serving"}
    }
    mounted = Compiled("kubeflow.serving_dir=/workspace/serving/")
    assert mounted.constants("CurrentModel")["serving_dir"] == "/workspace/serving"


def test_the_curated_schema_travels_with_it(example: Compiled) -> None:
    assert example.constants("ImportSchemaGen")["text"] == (ROOT / "configs" / "ulb.schema.pbtxt").read_text()


def test_the_origin_of_the_data_is_the_path_of_the_run(example: Compiled) -> None:
    """None were looked at, and a run may be given others."""
    custom_config = example.constants("ExampleGen")["custom_config"]
    assert "Transactions from {path}, of unknown origin: no data card was looked at" in custom_config
    manifest = json.loads(example.constants("Trainer")["custom_config"])["settings"]["manifest"]["data"]
    assert manifest["origin"].startswith("Transactions from the path that the run was given, of unknown origin")
    named = Compiled("data.card={name: Card payments of May, source: the bank}")
    assert "as the configuration says: Card payments of May" in named.constants("ExampleGen")["custom_config"]
    manifest = json.loads(named.constants("Trainer")["custom_config"])["settings"]["manifest"]["data"]
    assert (manifest["name"], manifest["source"]) == ("Card payments of May", "the bank")


def test_executors_may_keep_the_store_s_uris_for_a_runner_whose_workers_are_elsewhere() -> None:
    runner = "--runner=DataflowRunner"
    compiled = Compiled("kubeflow.uris=remote", f"beam_args=['{runner}', '--region=europe-west4']")
    assert compiled.argument("Transform", "uris") == "remote"
    assert compiled.container("Transform")["args"][-2:] == [runner, "--region=europe-west4"]


def test_a_pod_s_data_may_lie_in_a_volume() -> None:
    compiled = Compiled("data.path=/workspace/data/*.parquet")
    assert compiled.root["inputDefinitions"]["parameters"]["data_path"]["defaultValue"] == "/workspace/data/*.parquet"


def test_text_that_other_parsers_take_for_something_else_is_quoted() -> None:
    values = {"A": "1e3", "B": "y", "C": "0o7", "D": "2026-08-21", "E": "null", "F": "no", "G": "1_000", "H": ""}
    env = json.dumps(values)
    compiled = Compiled(f"kubeflow.pods.env={env}")
    assert compiled.env("Report") == {**values, "HOME": "/tmp"}
    for value in values.values():
        quoted = [f'value: "{value}"', f"value: '{value}'"]
        assert any(f"{form}\n" in compiled.text for form in quoted), value


# It is always the same


def test_it_depends_on_nothing_but_the_config(example: Compiled, tmp_path: Path) -> None:
    """Another process, folder, home, seed of hashes and time zone, and another way to name the config."""
    code = (
        "from pipeline.config import load\n"
        "from pipeline.imports import lean\n"
        "with lean():\n"
        "    from pipeline.kubeflow.compiling import compile_pipeline\n"
        f"text = compile_pipeline(load({os.path.relpath(EXAMPLE, tmp_path)!r}))\n"
        "open('out.yaml', 'w', encoding='utf-8').write(text)\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": "12345",
        "HOME": str(tmp_path),
        "TZ": "Asia/Tokyo",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "FRAUD_PIPELINE_DATA": "/nowhere.csv",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.yaml").read_text() == example.text
    assert str(ROOT) not in example.text
    assert str(Path.home()) + "/" not in example.text


# What is refused


def test_what_a_cluster_could_not_run_is_not_compiled() -> None:
    with pytest.raises(InputError, match=r"this can't run on Kubeflow:\n  data\.path is auto, which looks for data on"):
        Compiled("data.path=auto")


def test_parameters_too_large_for_a_process_are_refused(tmp_path: Path) -> None:
    schema = tmp_path / "large.pbtxt"
    schema.write_text('feature { name: "Class" type: INT }\n' + "# a comment\n" * 10_000)
    with pytest.raises(
        InputError, match=r"parameters of ImportSchemaGen take 13\d,\d{3} bytes, 13\d,\d{3} of them its text, but"
    ):
        compile_pipeline(load(EXAMPLE, [f"schema={schema}"]))


@pytest.mark.parametrize(
    ("tuner", "trainer"),
    [("fraud:0.1.0", "cpu/fraud:0.1.0"), ("fraud-cpu:0.1.0-gpu", f"fraud@sha256:{'c' * 64}")],
    ids=["a tag", "a variant or a digest"],
)
def test_a_gpu_s_image_need_not_say_so(tuner: str, trainer: str) -> None:
    compiled = Compiled(f"kubeflow.components.Tuner.image={tuner}", f"kubeflow.components.Trainer.image={trainer}")
    assert compiled.container("Tuner")["image"] == tuner
    assert compiled.container("Trainer")["image"] == trainer
