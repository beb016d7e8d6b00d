"""The emulation of Kubeflow Pipelines itself: what its pods see, lose and keep, by commands of the shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import kfp_pods
from tests.support.kfp_emulation import Emulation, KfpError, Task
from tests.support.kfp_pods import FolderPods, NamespacePods
from tests.support.kfp_stores import FolderStore, moto_server

ROOT = "s3://bucket/artifacts"
# Where the launcher's folders lie, whatever the pods; {{...}} is replaced by the launcher.
PREFIX = "$FRAUD_PIPELINE_LAUNCHER_ROOT"


def shell(script: str, *arguments: str) -> dict[str, Any]:
    return {"image": "image:1", "command": ["sh", "-c"], "args": [script, "sh", *arguments]}


def pipeline(
    tasks: dict[str, dict[str, Any]],
    root: dict[str, Any] | None = None,
    kubernetes: dict[str, Any] | None = None,
) -> str:
    """Compiled text; a task: container, in (artifacts: (task, key)), out, parameters (name: (type, task's input)),
    values (output parameters: type), and whatever else goes into the task's own part."""
    components, executors, dag = {}, {}, {}
    for name, task in tasks.items():
        executors[f"{name}-executor"] = {"container": task.pop("container")}
        inputs, parameters = task.pop("in", {}), task.pop("parameters", {})
        title = {"artifactType": {"schemaTitle": "tfx.Model"}}
        components[name] = {
            "executorLabel": f"{name}-executor",
            "inputDefinitions": {
                "artifacts": dict.fromkeys(inputs, title),
                "parameters": {key: {"parameterType": kind} for key, (kind, _) in parameters.items()},
            },
            "outputDefinitions": {
                "artifacts": dict.fromkeys(task.pop("out", []), title),
                "parameters": {key: {"parameterType": kind} for key, kind in task.pop("values", {}).items()},
            },
        }
        dag[name] = {
            "taskInfo": {"name": name},
            "componentRef": {"name": name},
            "inputs": {
                "artifacts": {
                    key: {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": output}}
                    for key, (producer, output) in inputs.items()
                },
                "parameters": {key: source for key, (_, source) in parameters.items()},
            },
            **task,
        }
    documents: list[dict[str, Any]] = [
        {
            "pipelineInfo": {"name": "small"},
            "schemaVersion": "2.1.0",
            "root": {"dag": {"tasks": dag}, "inputDefinitions": {"parameters": root or {}}},
            "components": components,
            "deploymentSpec": {"executors": executors},
        }
    ]
    if kubernetes:
        labelled = {f"{name}-executor": config for name, config in kubernetes.items()}
        documents.append({"platforms": {"kubernetes": {"deploymentSpec": {"executors": labelled}}}})
    return yaml.safe_dump_all(documents, sort_keys=False)


def constant(value: Any) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}


@pytest.fixture(params=["folders", "namespaces"])
def pods(request: pytest.FixtureRequest) -> kfp_pods.Pods:
    if request.param == "folders":
        return FolderPods()
    if not isinstance(kfp_pods.pods(), NamespacePods):
        pytest.skip("this machine grants no user namespaces")
    return kfp_pods.pods()


@pytest.fixture
def emulation(tmp_path: Path) -> Emulation:
    return Emulation(tmp_path, FolderStore(tmp_path / "store"))


def states(tasks: dict[str, Task]) -> dict[str, str]:
    return {name: task.state for name, task in tasks.items()}


WRITE = shell(
    f'mkdir -p "{PREFIX}$1/inner/empty" && echo hello > "{PREFIX}$1/inner/file"', "{{$.outputs.artifacts['a'].path}}"
)


def writing(output: str, then: str = "true") -> dict[str, Any]:
    """A container that writes its executor's output, and then does something with the whole input, $1."""
    path = f'"{PREFIX}$(dirname "$2")/output_metadata.json"'
    return shell(f"echo '{output}' > {path} && {then}", "{{$}}", "{{$.outputs.artifacts['a'].path}}")


def test_only_declared_outputs_go_from_pod_to_pod_and_empty_folders_vanish(tmp_path, pods):
    emulation = Emulation(tmp_path, FolderStore(tmp_path / "store"), pods=pods)
    write = shell(
        f'mkdir -p "{PREFIX}$1/empty" && echo hello > "{PREFIX}$1/file" && touch "$HOME/left" "${{TMPDIR:-/tmp}}/left" '
        f'"{PREFIX}/s3/left" here',
        "{{$.outputs.artifacts['a'].path}}",
    )
    read = shell(
        f'cd "{PREFIX}$1" && find . | sort && cat file && find "$HOME" "${{TMPDIR:-/tmp}}" "{PREFIX}/s3" -name left',
        "{{$.inputs.artifacts['a'].path}}",
    )
    text = pipeline({"one": {"container": write, "out": ["a"]}, "two": {"container": read, "in": {"a": ("one", "a")}}})
    tasks = emulation.run(text, ROOT)
    assert states(tasks) == {"one": "done", "two": "done"}, tasks
    assert tasks["two"].log == ".\n./file\nhello\n"
    (uri,) = (artifact.uri for name, artifact in tasks["one"].outputs.artifacts.items() if name == "a")
    assert uri.startswith("s3://bucket/artifacts/small/run-1/one/")
    assert uri.endswith("/a")
    assert not list(tmp_path.glob("pod-*"))


def test_a_pod_in_a_namespace_sees_no_checkout_and_writes_nowhere_else(tmp_path):
    if not isinstance(kfp_pods.pods(), NamespacePods):
        pytest.skip("this machine grants no user namespaces")
    emulation = Emulation(tmp_path, FolderStore(tmp_path / "store"))
    script = f"""
        pwd
        test ! -e {kfp_pods.ROOT}/tests && test ! -e {tmp_path} || echo seen
        python -c 'import trainer.errors; print(trainer.errors.__file__)'
        for folder in / /usr /etc /opt/application/trainer; do (touch $folder/written) 2>/dev/null && echo $folder; done
        for folder in /s3 /gcs /minio /tmp; do touch $folder/written || echo not $folder; done
    """
    tasks = emulation.run(pipeline({"one": {"container": shell(script)}}), ROOT)
    assert tasks["one"].log == "/home/user\n/opt/application/trainer/errors.py\n"


def test_inputs_come_without_types_and_outputs_with_what_the_specification_says(emulation):
    output = {"artifacts": {"a": {"artifacts": [{"uri": "", "metadata": {"span": 3, "new": True, "list": [1]}}]}}}
    write = writing(json.dumps(output), 'echo "$1"')
    read = shell('echo "$1"', "{{$}}")
    text = pipeline({"one": {"container": write, "out": ["a"]}, "two": {"container": read, "in": {"a": ("one", "a")}}})
    tasks = emulation.run(text, ROOT)
    assert states(tasks) == {"one": "done", "two": "done"}, tasks
    executor_input = json.loads(tasks["one"].log)
    assert executor_input["inputs"] == {}
    assert set(executor_input["outputs"]["artifacts"]) == {"a", "executor-logs"}
    assert executor_input["outputs"]["artifacts"]["a"]["artifacts"][0]["type"] == {"schemaTitle": "tfx.Model"}
    logs = executor_input["outputs"]["artifacts"]["executor-logs"]["artifacts"][0]
    assert logs["type"] == {"schemaTitle": "system.Artifact"}
    assert logs["uri"].endswith("/executor-logs-0")
    assert executor_input["outputs"]["outputFile"].startswith("/s3/bucket/artifacts/small/run-1/one/")
    assert executor_input["outputs"]["outputFile"].endswith("/output_metadata.json")
    (artifact,) = json.loads(tasks["two"].log)["inputs"]["artifacts"]["a"]["artifacts"]
    assert artifact["type"] == {"instanceSchema": ""}
    assert artifact["name"] == str(tasks["one"].outputs.artifacts["a"].id)
    # what ML Metadata keeps: no booleans, no bare lists
    kept = {"span": 3, "new": 1, "list": {"list": [1]}, "display_name": "a"}
    assert {key: artifact["metadata"].get(key) for key in kept} == kept


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ('{"artifacts": {"a": {"artifacts": [{"metadata": {"x": null}}]}}}', "NullValue"),
        ('{"artifact": {}}', 'unknown field "artifact"'),
        ('{"artifacts": {"a": {"artifacts": [{"uri": "s3://other/a"}]}}}', "does not have expected bucket prefix"),
        ("{", "failed to unmarshall ExecutorOutput"),
    ],
)
def test_what_the_launcher_cannot_read_or_record_fails_the_task(emulation, written, reason):
    one = {"container": writing(written), "out": ["a"]}
    tasks = emulation.run(pipeline({"one": one}), ROOT)
    assert tasks["one"].state == "failed"
    assert tasks["one"].code == 0
    assert reason in tasks["one"].reason


def test_a_local_path_as_uri_is_recorded_and_cannot_be_had_by_the_next_task(emulation):
    written = '{"artifacts": {"a": {"artifacts": [{"uri": "/s3/bucket/a"}]}}}'
    one = {"container": writing(written), "out": ["a"]}
    two = {"container": shell("true"), "in": {"a": ("one", "a")}}
    tasks = emulation.run(pipeline({"one": one, "two": two}), ROOT)
    assert states(tasks) == {"one": "done", "two": "failed"}
    assert "unrecognized uri format" in tasks["two"].reason


@pytest.mark.parametrize("scratch", [{}, {"emptyDirMounts": [{"volumeName": "tmp", "mountPath": "/tmp"}]}])
def test_parameters_have_defaults_constants_and_the_outputs_of_tasks(tmp_path, pods, scratch):
    emulation = Emulation(tmp_path, FolderStore(tmp_path / "store"), pods=pods)
    parameters = {
        "rows": ("NUMBER_INTEGER", {"componentInputParameter": "rows"}),
        "minutes": ("NUMBER_DOUBLE", constant(0.5)),
        "text": ("STRING", constant(3)),
        "task": ("STRING", constant("{{$.pipeline_task_name}}")),
    }
    words = [f"{{{{$.inputs.parameters['{name}']}}}}" for name in parameters]
    script = 'printf "%s" "$3 $4 $5 $6" > "$2"; echo "$1"'
    one = {
        "container": shell(script, "{{$}}", "{{$.outputs.parameters['all'].output_file}}", *words),
        "parameters": parameters,
        "values": {"all": "STRING"},
    }
    source = {"taskOutputParameter": {"producerTask": "one", "outputParameterKey": "all"}}
    two = {
        "container": shell('echo "$1"', "{{$.inputs.parameters['all']}}"),
        "parameters": {"all": ("STRING", source)},
    }
    rows = {"parameterType": "NUMBER_INTEGER", "defaultValue": 7}
    text = pipeline({"one": one, "two": two}, {"rows": rows}, {"one": scratch})
    tasks = emulation.run(text, ROOT)
    assert states(tasks) == {"one": "done", "two": "done"}, tasks
    assert json.loads(tasks["one"].log)["inputs"]["parameterValues"] == {
        "rows": 7,
        "minutes": 0.5,
        "text": "3",
        "task": "one",
    }
    assert tasks["two"].log == "7 0.5 3 one\n"
    assert emulation.run(text, ROOT, {"rows": 8})["two"].log == "8 0.5 3 one\n"


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("NUMBER_INTEGER", constant("3"), "type mismatch: expect NUMBER_INTEGER, got string"),
        ("BOOLEAN", constant(1), "type mismatch: expect BOOLEAN, got number"),
        ("STRING", {"runtimeValue": {"runtimeParameter": "x"}}, "of type runtimeParameter not implemented"),
        ("STRING", {"runtimeValue": {"constantValue": {"stringValue": "x"}}}, "of type constantValue not implemented"),
        ("STRING", {"componentInputParameter": "nowhere"}, "parent DAG does not have input parameter nowhere"),
    ],
)
def test_parameters_that_the_driver_refuses_fail_the_task(emulation, kind, value, reason):
    one = {"container": shell("true"), "parameters": {"x": (kind, value)}}
    tasks = emulation.run(pipeline({"one": one}), ROOT)
    assert tasks["one"].state == "failed"
    assert tasks["one"].attempts == 0
    assert reason in tasks["one"].reason


def test_a_failure_has_its_code_and_last_line_and_nothing_further_starts(emulation, tmp_path):
    tasks = emulation.run(
        pipeline(
            {
                "bad": {"container": shell("echo first; echo the reason >&2; exit 2"), "out": ["a"]},
                "after": {"container": shell("true"), "in": {"a": ("bad", "a")}},
                "slow": {"container": shell("sleep 0.5")},
                "later": {"container": shell("true"), "dependentTasks": ["slow"]},
            }
        ),
        ROOT,
    )
    assert states(tasks) == {"bad": "failed", "after": "not run", "slow": "done", "later": "not run"}
    assert (tasks["bad"].code, tasks["bad"].last_line, tasks["bad"].reason) == (2, "the reason", "exit status 2")
    # of a failed task nothing but the log is kept
    (kept,) = (path for path in (tmp_path / "store").rglob("bad/*/*"))
    assert kept.name == "executor-logs-0"
    assert kept.read_text() == "first\nthe reason\n"


def test_retries_start_anew_and_keep_the_volume(tmp_path, pods):
    emulation = Emulation(tmp_path / "emulation", FolderStore(tmp_path / "store"), pods=pods)
    emulation.folder.mkdir()
    volume = tmp_path / "volume"
    script = f"""
        test ! -e "$HOME/tried" || exit 9
        touch "$HOME/tried"
        echo x >> {volume}/tries
        test $(wc -l < {volume}/tries) -ge 3
    """
    one = {"container": shell(script), "retryPolicy": {"maxRetryCount": 2, "backoffDuration": "30s"}}
    kubernetes = {"one": {"pvcMount": [{"constant": "claim", "mountPath": str(volume)}]}}
    tasks = emulation.run(pipeline({"one": one}, kubernetes=kubernetes), ROOT)
    assert (tasks["one"].state, tasks["one"].attempts) == ("done", 3), tasks
    assert (emulation.folder / "claims" / "claim" / "tries").read_text() == "x\n" * 3
    assert not volume.is_symlink()
    again = pipeline({"one": {"container": shell("exit 7")}}, kubernetes=kubernetes)
    assert emulation.run(again, ROOT)["one"].attempts == 1


def test_a_deadline_ends_the_pod(emulation):
    kubernetes = {"one": {"activeDeadlineSeconds": 1}}
    one = {"container": shell("echo started; sleep 60 & wait")}
    tasks = emulation.run(pipeline({"one": one}, kubernetes=kubernetes), ROOT)
    assert tasks["one"].state == "failed"
    assert "DeadlineExceeded" in tasks["one"].reason
    assert tasks["one"].last_line == "started"
    assert tasks["one"].seconds < 20


def test_the_environment_is_that_of_the_specification_and_its_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("OF_THIS_MACHINE", "x")
    emulation = Emulation(tmp_path, FolderStore(tmp_path / "store"), secrets={"keys": {"a-key": "hush"}})
    container = {**shell('echo "$PLAIN $KEY $OF_THIS_MACHINE"'), "env": [{"name": "PLAIN", "value": "plain"}]}
    secret = {"secretName": "keys", "keyToEnv": [{"secretKey": "a-key", "envVar": "KEY"}]}
    text = pipeline({"one": {"container": container}}, kubernetes={"one": {"secretAsEnv": [secret]}})
    assert emulation.run(text, ROOT)["one"].log == "plain hush \n"
    missing = Emulation(tmp_path, FolderStore(tmp_path / "store")).run(text, ROOT)["one"]
    assert missing.state == "failed"
    assert "couldn't find 'keys' in secret keys" in missing.reason


def cached(**changes: Any) -> str:
    """Two tasks that may be cached; changes: to the first."""
    one = {"container": WRITE, "out": ["a"], "cachingOptions": {"enableCache": True}, **changes}
    two = {
        "container": shell("true"),
        "in": {"a": ("one", "a")},
        "out": ["b"],
        "cachingOptions": {"enableCache": True},
    }
    return pipeline({"one": one, "two": two})


def test_a_second_run_comes_from_the_cache_where_image_command_and_parameters_are_the_same(emulation):
    first = emulation.run(cached(), ROOT)
    assert states(first) == {"one": "done", "two": "done"}
    again = emulation.run(cached(), ROOT)
    assert states(again) == {"one": "cached", "two": "cached"}
    assert again["two"].outputs == first["two"].outputs
    for container in ({**WRITE, "image": "image:2"}, {**WRITE, "args": [*WRITE["args"], "more"]}):
        assert emulation.run(cached(container=container), ROOT)["one"].state == "done"
    plain = {**WRITE, "env": [{"name": "NEW", "value": "1"}], "resources": {"cpuLimit": 2}}
    assert emulation.run(cached(container=plain), ROOT)["one"].state == "cached"
    valued = cached(parameters={"x": ("STRING", constant("1"))})
    assert [emulation.run(valued, ROOT)["one"].state for _ in range(2)] == ["done", "cached"]
    other = cached(parameters={"x": ("STRING", constant("2"))})
    assert emulation.run(other, ROOT)["one"].state == "done"


def test_the_key_of_the_cache_is_that_of_kubeflow_to_the_last_character(emulation):
    parameters = {"rows": ("NUMBER_INTEGER", constant(3)), "text": ("STRING", constant("<&>"))}
    emulation.run(cached(parameters=parameters), ROOT)
    # made by getFingerPrint of driver/cache.go from the same tasks
    assert [key for _, key in emulation.cache] == [
        "25009cb7d47ffc60835fb667fb88af5eb738d7b2f3e23d746d25003b8b7c954f",
        "3d9574631da7fe2a33a606cff26361f1c66f10d0efea35db706e3e062344f30d",
    ]


def test_what_follows_a_task_that_ran_again_runs_again_whatever_it_made(emulation):
    uncached = {"cachingOptions": {}}
    emulation.run(cached(**uncached), ROOT)
    assert states(emulation.run(cached(**uncached), ROOT)) == {"one": "done", "two": "done"}


def test_what_is_not_emulated_is_refused(emulation):
    one = {"container": shell("true")}
    with pytest.raises(NotImplementedError, match="triggerPolicy"):
        emulation.run(pipeline({"one": {**one, "triggerPolicy": {"condition": "false"}}}), ROOT)
    with pytest.raises(NotImplementedError, match="configMapAsEnv"):
        emulation.run(pipeline({"one": {**one}}, kubernetes={"one": {"configMapAsEnv": []}}), ROOT)
    with pytest.raises(KfpError, match='cannot find producer task "nowhere"'):
        emulation.run(pipeline({"one": {**one, "in": {"a": ("nowhere", "a")}}}), ROOT)


def test_an_s3_endpoint_is_a_store_as_a_folder_is(tmp_path):
    with moto_server("bucket") as store:
        emulation = Emulation(tmp_path, store)
        read = shell(f'cat "{PREFIX}$1/inner/file"', "{{$.inputs.artifacts['a'].path}}")
        one = {"container": WRITE, "out": ["a"]}
        text = pipeline({"one": one, "two": {"container": read, "in": {"a": ("one", "a")}}})
        tasks = emulation.run(text, ROOT)
        assert tasks["two"].log == "hello\n", tasks
        keys = store.keys("bucket", "artifacts/small/run-1/")
        assert [key.split("/", 3)[3].split("/", 2)[-1] for key in keys if "/one/" in key] == [
            "a/inner/file",
            "executor-logs-0",
        ]
