"""The components' command on Kubeflow: what it makes of the driver's JSON, and what it hands back to the launcher."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import standard_artifacts
from tfx.utils import json_utils

from components import current_model, example_gen, object_store, pusher, statistics_gen
from components.evaluation.verdict import Verdict
from components.evaluator import _bless
from components.example_gen import TransactionsExampleGen, TransactionsSettings
from components.reading.files import fingerprint
from components.reading.settings import SplitSettings
from pipeline.kubeflow import entrypoint
from pipeline.kubeflow.entrypoint import EMPTY, artifact_class, local_path, main, parse, properties
from tests.support.entrypoint_executors import Notes
from tests.support.kfp_stores import moto_server
from tests.support.small_data import BEAM
from trainer.columns import Columns
from trainer.errors import InputError
from trainer.sampling import SamplingRates

ROOT = Path(__file__).resolve().parents[1]
NOTES = "tests.support.entrypoint_executors.Notes"


@dataclass(frozen=True)
class Handed:
    """An artifact as ML Metadata gives it to the next task: without a type, and of numbers only doubles."""

    id: int
    uri: str
    metadata: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"name": str(self.id), "uri": self.uri, "type": {"instanceSchema": ""}, "metadata": self.metadata}


def kept(value: Any) -> Any:
    """What is left of a property after ML Metadata, as Go writes it: a whole double without a point."""
    if isinstance(value, list):
        return {"list": value}
    if isinstance(value, dict):
        return {"struct": value}
    assert value is not None
    return int(value) if isinstance(value, (bool, float)) and value == int(value) else value


@dataclass
class Launcher:
    """KFP's: each task on an empty file system, from which what it was to write is uploaded file by file."""

    folder: Path
    ids: itertools.count = field(default_factory=lambda: itertools.count(1))

    @property
    def pod(self) -> Path:
        return self.folder / "pod"

    def command(
        self,
        executor: str,
        *,
        inputs: Mapping[str, tuple[str, Handed]] | None = None,
        outputs: Mapping[str, str] | None = None,
        parameters: Mapping[str, tuple[str, Any]] | None = None,
        values: Sequence[str] = (),
        options: Sequence[str] = (),
        root: str = "s3://bucket/root",
    ) -> tuple[list[str], dict[str, Any]]:
        """The arguments, and the executor's input; inputs and outputs by title of their type, parameters by kind."""
        task = f"{root}/Task/salt-{next(self.ids)}"
        logs = {"executor-logs": "system.Artifact"}
        executor_input = {
            "inputs": {
                "parameterValues": {name: value for name, (_, value) in (parameters or {}).items()},
                "artifacts": {name: {"artifacts": [one.to_json()]} for name, (_, one) in (inputs or {}).items()},
            },
            "outputs": {
                "artifacts": {
                    name: {"artifacts": [{"name": name, "uri": f"{task}/{name}", "type": {"schemaTitle": title}}]}
                    for name, title in {**(outputs or {}), **logs}.items()
                },
                "parameters": {name: {"outputFile": f"/tmp/kfp/outputs/{name}"} for name in values},
                "outputFile": re.sub("^s3:/|^gs:/", "/s3", task) + "/output_metadata.json",
            },
        }
        spec = {
            "artifacts": {
                name: {"artifactType": {"schemaTitle": title}} for name, (title, _) in (inputs or {}).items()
            },
            "parameters": {name: {"parameterType": kind} for name, (kind, _) in (parameters or {}).items()},
        }
        schemas = {
            name: {"artifactType": {"instanceSchema": f"title: {title}\ntype: object\n"}}
            for name, title in (outputs or {}).items()
        }
        arguments = ["--executor_class_path", executor, "--json_serialized_invocation_args", json.dumps(executor_input)]
        arguments += ["--json_serialized_inputs_spec_args", json.dumps(spec)]
        arguments += ["--json_serialized_outputs_spec_args", json.dumps({"artifacts": schemas}), *options]
        return arguments, executor_input

    def download(self, executor_input: Mapping[str, Any]) -> None:
        shutil.rmtree(self.pod, ignore_errors=True)
        for listed in executor_input["inputs"]["artifacts"].values():
            for one in listed["artifacts"]:
                _copy(self._stored(one["uri"]), Path(local_path(one["uri"])))
        for listed in executor_input["outputs"]["artifacts"].values():
            Path(local_path(listed["artifacts"][0]["uri"])).parent.mkdir(parents=True, exist_ok=True)

    def _stored(self, uri: str) -> Path:
        return self.folder / "store" / uri.replace("://", "/")

    def collect(self, executor_input: Mapping[str, Any]) -> tuple[dict[str, Handed], dict[str, Any]]:
        """Outputs by name, and the output parameters."""
        written = json.loads(Path(f"{self.pod}{executor_input['outputs']['outputFile']}").read_text())
        assert written.keys() == {"artifacts", "parameterValues"}
        handed = {}
        for name, listed in written["artifacts"].items():
            (one,) = listed["artifacts"]
            assert one.keys() == {"uri", "metadata"}
            assert one["uri"] == executor_input["outputs"]["artifacts"][name]["artifacts"][0]["uri"]
            _copy(Path(local_path(one["uri"])), self._stored(one["uri"]))
            metadata = {key: kept(value) for key, value in one["metadata"].items()}
            handed[name] = Handed(next(self.ids), one["uri"], {**metadata, "display_name": name})
        return handed, written["parameterValues"]

    def run(self, executor: str, **how: Any) -> dict[str, Handed]:
        """Runs a task in this process, which must end with 0."""
        return self.run_with_values(executor, **how)[0]

    def run_with_values(self, executor: str, **how: Any) -> tuple[dict[str, Handed], dict[str, Any]]:
        arguments, executor_input = self.command(executor, **how)
        self.download(executor_input)
        assert main(arguments) == 0
        return self.collect(executor_input)

    def report(self, handed: Mapping[str, Handed]) -> dict[str, Any]:
        """What a reader wrote."""
        return json.loads((self._stored(handed["report"].uri) / "report.json").read_text())

    def start(self, executor: str, **how: Any) -> subprocess.Popen[str]:
        """A task in a process of its own; stdout and stderr are one, as the launcher has them."""
        arguments, executor_input = self.command(executor, **how)
        self.download(executor_input)
        (self.folder / "tmp").mkdir(exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TMPDIR": str(self.folder / "tmp")}
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.kubeflow.entrypoint", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def _copy(source: Path, target: Path) -> None:
    """A file, or the files of a folder: what has none is not copied."""
    for file in [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]:
        copied = target / file.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copied)


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    monkeypatch.setenv(entrypoint.LAUNCHER_ROOT, str(tmp_path / "pod"))
    monkeypatch.setattr(sys, "argv", ["entrypoint"])  # which TFX's Beam executors read
    return Launcher(tmp_path)


@pytest.fixture
def notes(launcher: Launcher) -> Handed:
    return launcher.run("tests.support.entrypoint_executors.Writer", outputs={"notes": NOTES})["notes"]


# Artifacts


def test_what_one_task_writes_the_next_one_reads(launcher: Launcher, notes: Handed) -> None:
    read = launcher.run(
        "tests.support.entrypoint_executors.Reader", inputs={"notes": (NOTES, notes)}, outputs={"report": NOTES}
    )
    report = launcher.report(read)
    assert report["outputs"] == ["report"]  # and no executor-logs, which has a type that TFX does not know
    assert report["inputs"]["notes"] == [
        {
            "type": "EntrypointNotes",
            "id": notes.id,
            "uri": local_path(notes.uri),
            "properties": [3, 2.0, "Ada", ["money", {"time": 1}]],
            # a path in a property is the object store's, for it outlives the pod
            "strings": ["of another kind", "", f"{notes.uri}/full/file"],
            "numbers": [1, 1.0],
            "json": [[1, "two"], {"train": 1}],
            "undefined": False,
            # also folders that no object store has, and nothing of what keeps them
            "files": ["full", "full/file", "hollow", "hollow/inner"],
            "times": [0],
        }
    ]


def test_a_mark_in_each_empty_folder_is_all_that_is_uploaded_besides(launcher: Launcher, notes: Handed) -> None:
    stored = launcher._stored(notes.uri)
    files = sorted(str(path.relative_to(stored)) for path in stored.rglob("*") if path.is_file())
    assert files == ["full/file", f"hollow/inner/{EMPTY}"]


def test_numbers_and_texts_alone_go_to_the_metadata_as_they_are(notes: Handed) -> None:
    assert notes.metadata["pages"] == 3
    assert notes.metadata["custom:pages"] == "of another kind"
    assert notes.metadata["tfx_version"]
    assert "undefined" not in notes.metadata  # NaN has no form in JSON


def test_a_download_again_has_the_same_times(launcher: Launcher, notes: Handed) -> None:
    """By which a search that a new pod goes on with knows its files."""
    stamps = []
    for _ in range(2):
        read = launcher.run(
            "tests.support.entrypoint_executors.Reader", inputs={"notes": (NOTES, notes)}, outputs={"report": NOTES}
        )
        stamps.append(launcher.report(read)["inputs"]["notes"][0]["times"])
        time.sleep(0.01)
    assert stamps[0] == stamps[1]


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"schemaTitle": "tfx.Model", "schemaVersion": "0.0.1"}, standard_artifacts.Model),
        ({"instanceSchema": "title: tfx.Examples\ntype: object\nproperties:\n  span: {type: int}\n"}, "Examples"),
        ({"instanceSchema": "title: tfx.Dataset\ntype: object\n"}, "Dataset"),
        ({"instanceSchema": f"title: {NOTES}\ntype: object\n"}, Notes),
    ],
)
def test_types_are_tfx_own_or_by_their_path(schema: dict[str, str], kind: Any) -> None:
    imported = artifact_class(schema, "name")
    assert kind in (imported, imported.__name__)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "the type of input is '', which TFX does not know"),
        ({"instanceSchema": ""}, "the type of input is ''"),
        (
            {"schemaTitle": "system.Artifact"},
            "system.Artifact, which this image can't import: No module named 'system'",
        ),
        ({"schemaTitle": "tfx.Modell"}, "'tfx.Modell', which TFX does not know"),
        ({"schemaTitle": "Findings"}, "'Findings', which TFX does not know"),
    ],
)
def test_a_type_that_there_is_not_is_named(schema: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        artifact_class(schema, "input")


# Places


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("gs://bucket/root/model", "/gcs/bucket/root/model"),
        ("s3://bucket/root/model", "/s3/bucket/root/model"),
        ("minio://bucket/root/model", "/minio/bucket/root/model"),
        # as the launcher has it, who looks at nothing but the scheme
        (
            "s3://bucket/root?endpoint=minio:9000&region=us-east-1/model",
            "/s3/bucket/root?endpoint=minio:9000&region=us-east-1/model",
        ),
    ],
)
def test_the_launchers_folders_are_found_by_its_rule(monkeypatch: pytest.MonkeyPatch, uri: str, path: str) -> None:
    monkeypatch.delenv(entrypoint.LAUNCHER_ROOT, raising=False)
    assert local_path(uri) == path
    monkeypatch.setenv(entrypoint.LAUNCHER_ROOT, "/somewhere/")
    assert local_path(uri) == f"/somewhere{path}"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("oci://registry/model:1", "is an image, which KFP mounts"),
        ("file:///tmp/model", "must begin with gs://, s3://, minio://"),
        ("/tmp/model", "the launcher can't copy from there"),
    ],
)
def test_what_the_launcher_does_not_copy_is_refused(uri: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        local_path(uri)


def test_a_path_of_its_own_goes_before_the_uri(launcher: Launcher, notes: Handed, tmp_path: Path) -> None:
    arguments, executor_input = launcher.command(
        "tests.support.entrypoint_executors.Reader", inputs={"notes": (NOTES, notes)}, outputs={"report": NOTES}
    )
    launcher.download(executor_input)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(local_path(notes.uri), elsewhere)
    executor_input["inputs"]["artifacts"]["notes"]["artifacts"][0]["customPath"] = str(elsewhere)
    arguments[3] = json.dumps(executor_input)
    assert main(arguments) == 0
    assert launcher.report(launcher.collect(executor_input)[0])["inputs"]["notes"][0]["uri"] == str(elsewhere)


# Remote URIs


@pytest.fixture
def tensorflow_knows_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    known = tf.io.gfile.get_registered_schemes()
    monkeypatch.setattr(tf.io.gfile, "get_registered_schemes", lambda: [*known, "s3"])


def test_with_remote_uris_executors_on_beam_work_in_the_store(
    launcher: Launcher, tensorflow_knows_s3: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with moto_server("bucket") as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", store.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", store.secret_key)
        object_store._client.cache_clear()
        data = Handed(7, "s3://bucket/root/other/examples", {})
        arguments, executor_input = launcher.command(
            "tests.support.entrypoint_executors.BeamReader",
            inputs={"examples": ("tfx.Examples", data)},
            outputs={"report": NOTES},
            options=["--uris", "remote", *BEAM],
        )
        launcher.download(executor_input)
        assert main(arguments) == 0
        handed, _ = launcher.collect(executor_input)
        report = json.loads(fileio.open(f"{handed['report'].uri}/report.json").read())
        assert report["examples"] == [data.uri]
        assert report["report"] == [handed["report"].uri] == ["s3://bucket/root/Task/salt-1/report"]
        # the folder for temporary files can be seen from other pods, is no output, and goes
        assert report["scratch"] == "s3://bucket/root/Task/salt-1/.temp/salt-1/file"
        assert store.keys("bucket", "") == ["root/Task/salt-1/report/report.json"]
        assert not Path(local_path(handed["report"].uri)).exists()
        assert report["arguments"][:2] == [*BEAM]
        object_store._client.cache_clear()


def test_with_remote_uris_what_is_not_on_beam_works_on_the_copies(launcher: Launcher, notes: Handed) -> None:
    read = launcher.run(
        "tests.support.entrypoint_executors.Reader",
        inputs={"notes": (NOTES, notes)},
        outputs={"report": NOTES},
        options=["--uris", "remote"],
    )
    assert launcher.report(read)["inputs"]["notes"][0]["uri"] == local_path(notes.uri)


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("minio://bucket/root", "needs a pipeline root that Beam and TensorFlow read from every pod, gs:// or s3://"),
        ("s3://bucket/root", "needs a TensorFlow that reads s3://, and this one does not; use a gs:// pipeline root"),
        ("gs://bucket/root?endpoint=x", "a URI can't have a query; instead set AWS_ENDPOINT_URL_S3"),
    ],
)
def test_what_workers_in_other_pods_could_not_read_is_refused(
    launcher: Launcher, capfd: pytest.CaptureFixture[str], root: str, words: str
) -> None:
    arguments, _ = launcher.command(
        "tests.support.entrypoint_executors.BeamReader",
        outputs={"report": NOTES},
        options=["--uris", "remote", *BEAM],
        root=root,
    )
    assert main(arguments) == 2
    assert words in capfd.readouterr().err.splitlines()[-1]


# Execution properties


@pytest.mark.parametrize(
    ("kind", "number", "property"),
    [
        ("NUMBER_INTEGER", 3, 3),
        ("NUMBER_INTEGER", 3.0, 3),
        ("NUMBER_DOUBLE", 3, 3.0),
        ("NUMBER_DOUBLE", 0.5, 0.5),
        ("STRING", "3", "3"),
        ("STRING", "", ""),
        ("BOOLEAN", True, True),
        ("LIST", [1, "a"], [1, "a"]),
        ("STRUCT", {"a": 1}, {"a": 1}),
    ],
)
def test_properties_have_the_types_of_the_specification(
    launcher: Launcher, kind: str, number: Any, property: Any
) -> None:
    arguments, _ = launcher.command("an.Executor", parameters={"name": (kind, number)})
    value = properties(parse(arguments))["name"]
    assert value == property
    assert type(value) is type(property)


def test_a_property_without_a_value_is_left_to_its_default(launcher: Launcher) -> None:
    arguments, _ = launcher.command("an.Executor", parameters={"none": ("STRING", None), "zero": ("NUMBER_INTEGER", 0)})
    assert properties(parse(arguments)) == {"zero": 0}


@pytest.mark.parametrize(
    ("kind", "number", "words"),
    [
        ("NUMBER_INTEGER", 2.5, "trials must be a whole number, got 2.5"),
        ("NUMBER_INTEGER", "4", "trials must be a number, got '4'"),
        ("NUMBER_DOUBLE", True, "trials must be a number, got True"),
    ],
)
def test_a_number_that_is_none_is_refused(launcher: Launcher, kind: str, number: Any, words: str) -> None:
    arguments, _ = launcher.command("an.Executor", parameters={"trials": (kind, number)})
    with pytest.raises(InputError, match=re.escape(words)):
        properties(parse(arguments))


def test_the_driver_finds_out_before_the_executor_runs(launcher: Launcher) -> None:
    read = launcher.run(
        "tests.support.entrypoint_executors.Reader",
        outputs={"report": NOTES},
        parameters={"count": ("NUMBER_INTEGER", 3)},
        options=["--driver_class_path", "tests.support.entrypoint_executors.Driver", "--flag=1"],
    )
    report = launcher.report(read)
    assert report["properties"] == {"count": 3, "next": 4}
    assert read["report"].metadata["drawn"] == "by the driver"
    assert report["flags"] == ["--flag=1"]
    # a folder for temporary files is of this pod, and goes with the task
    assert report["scratch is there"]
    assert not os.path.exists(report["scratch"])
    assert not report["scratch"].startswith(str(launcher.pod))


# Components that are functions


def test_functions_take_artifacts_and_parameters_and_keep_their_defaults(launcher: Launcher, notes: Handed) -> None:
    def count(parameters: Mapping[str, tuple[str, Any]], **more: Handed) -> Any:
        artifacts = {name: (NOTES, one) for name, one in {"notes": notes, **more}.items()}
        executor, kinds = "tests.support.entrypoint_executors.Count_Executor", {"number": "tfx.Integer"}
        _, values = launcher.run_with_values(
            executor, inputs=artifacts, outputs=kinds, parameters=parameters, values=["number"]
        )
        return values["number"]

    assert count({}) == 1
    assert count({"of": ("STRING", ""), "more": ("NUMBER_INTEGER", 40)}) == 42
    assert count({"of": ("STRING", None)}, other=notes) == 101


def test_a_value_is_read_by_the_next_task(launcher: Launcher, notes: Handed) -> None:
    number = launcher.run(
        "tests.support.entrypoint_executors.Count_Executor",
        inputs={"notes": (NOTES, notes)},
        outputs={"number": "tfx.Integer"},
    )["number"]
    _, values = launcher.run_with_values(
        "tests.support.entrypoint_executors.Double_Executor",
        inputs={"number": ("tfx.Integer", number)},
        outputs={"result": "tfx.Float"},
        values=["result"],
    )
    assert values == {"result": 2.0}


def test_a_parameter_that_no_output_gives_is_refused(
    launcher: Launcher, notes: Handed, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, executor_input = launcher.command(
        "tests.support.entrypoint_executors.Reader",
        inputs={"notes": (NOTES, notes)},
        outputs={"report": NOTES},
        values=["report"],
    )
    launcher.download(executor_input)
    assert main(arguments) == 2
    assert "the output parameter report has no artifact with a value" in capfd.readouterr().err.splitlines()[-1]


# How it ends


@pytest.mark.parametrize(
    ("how", "code", "last"),
    [
        ("failure", 1, "error: ValueError: two lines"),
        ("silent", 1, "error: KeyError"),
        ("exit", 1, "error: SystemExit: 0"),
        ("worker", 1, "error: RuntimeError: OSError: no space left"),
        ("input", 2, "error: row 3: amount is 'N/A', expected a number"),
        ("interrupt", 130, "error: interrupted"),
    ],
)
def test_the_last_line_after_the_traceback_is_the_reason_of_a_failure(
    launcher: Launcher, capfd: pytest.CaptureFixture[str], how: str, code: int, last: str
) -> None:
    arguments, executor_input = launcher.command(
        "tests.support.entrypoint_executors.Fails", parameters={"how": ("STRING", how)}
    )
    assert main(arguments) == code
    lines = capfd.readouterr().err.splitlines()
    assert lines[-1] == last
    assert "tests/support/entrypoint_executors.py" in "\n".join(lines)
    assert not Path(f"{launcher.pod}{executor_input['outputs']['outputFile']}").exists()


def test_a_process_ends_with_the_reason_and_leaves_nothing(launcher: Launcher) -> None:
    process = launcher.start("tests.support.entrypoint_executors.Fails", parameters={"how": ("STRING", "input")})
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 2, output
    assert output.splitlines()[-1] == "error: row 3: amount is 'N/A', expected a number"
    assert not [path for path in (launcher.folder / "tmp").iterdir() if path.name.startswith("fraud-pipeline")]


def test_a_pod_that_is_deleted_says_so_and_cleans_up(launcher: Launcher) -> None:
    parameters = {"how": ("STRING", "wait")}
    with launcher.start("tests.support.entrypoint_executors.Fails", parameters=parameters) as process:
        assert process.stdout
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("waiting"):
                break
        assert lines[-1].startswith("waiting"), lines
        folder = Path(lines[-1].split()[1])
        assert folder.exists()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(timeout=60) == 143
        assert rest.splitlines()[-1] == "error: stopped by SIGTERM, as Kubernetes does when a pod is deleted or evicted"
    assert not folder.exists()


def test_a_task_that_works_logs_its_progress_and_imports_nothing_of_kfp(launcher: Launcher) -> None:
    process = launcher.start("tests.support.entrypoint_executors.Chatters")
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    stamp = r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2},\d{3} INFO "
    assert re.search(
        rf"^{stamp}fraud_pipeline\.progress: Trainer 2/3 average precision 0\.8 on eval$", output, re.MULTILINE
    )
    assert re.fullmatch(rf"{stamp}fraud_pipeline\.entrypoint: done in [\d.]+ s", output.splitlines()[-1])
    assert "apache_beam.typehints" not in output


def test_what_it_imports() -> None:
    """The protos of KFP take two seconds, and so do other things that `lean` leaves out."""
    code = """
import sys
import pipeline.kubeflow.entrypoint as entrypoint
print([name for name in ("tensorflow", "tfx", "apache_beam", "kfp", "yaml") if name in sys.modules])
entrypoint.main(["--executor_class_path", "components.pusher.Executor", *(word for name in
    ("invocation_args", "inputs_spec_args", "outputs_spec_args")
    for word in (f"--json_serialized_{name}", '{"outputs": {"outputFile": "/dev/null/x"}}'))])
unwanted = ("kfp", "kubernetes_validate", "apache_beam.io.gcp.bigquery", "google.cloud.bigquery")
print("tfx" in sys.modules, [name for name in unwanted if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "True []"], done.stderr


ANY = {
    "--executor_class_path": "tests.support.entrypoint_executors.Reader",
    "--json_serialized_invocation_args": '{"outputs": {"outputFile": "/s3/b/t/output_metadata.json"}}',
    "--json_serialized_inputs_spec_args": "{}",
    "--json_serialized_outputs_spec_args": "{}",
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"--executor_class_path": None},
            "the following arguments are required: --executor_class_path; the command line",
        ),
        ({"--executor_class_path": "no.such.Executor"}, "the executor no.such.Executor can't be imported: No module"),
        (
            {"--executor_class_path": "tests.support.entrypoint_executors.No"},
            "the executor tests.support.entrypoint_executors.No can't be imported",
        ),
        (
            {"--driver_class_path": "no.such.Driver"},
            "the driver no.such.Driver can't be imported: No module named 'no'",
        ),
        ({"--json_serialized_invocation_args": "{{$}}"}, "args is still {{$}}, which KFP's launcher replaces"),
        (
            {"--json_serialized_invocation_args": "{"},
            "--json_serialized_invocation_args is not JSON: Expecting property",
        ),
        ({"--json_serialized_invocation_args": "[]"}, "args must be a JSON object, got []"),
        ({"--json_serialized_invocation_args": "{}"}, "args has no outputs.outputFile, although KFP's launcher"),
        (
            {"--json_serialized_outputs_spec_args": '{"artifacts": {"model": {}}}'},
            "gives no place for the outputs model",
        ),
        ({"--uris": "both"}, "argument --uris: invalid choice: 'both'"),
        (
            {
                "--json_serialized_invocation_args": json.dumps(
                    {
                        "inputs": {"artifacts": {"model": {"artifacts": [{"uri": "s3://b/m"}]}}},
                        "outputs": {"outputFile": "/s3/b/t/output_metadata.json"},
                    }
                )
            },
            "KFP gives an input model that the component does not have",
        ),
    ],
)
def test_a_wrong_command_line_is_explained_in_words(
    launcher: Launcher, capfd: pytest.CaptureFixture[str], changes: dict[str, str | None], words: str
) -> None:
    options = {**ANY, **changes}
    assert main([word for name, value in options.items() if value is not None for word in (name, value)]) == 2
    assert words in capfd.readouterr().err.splitlines()[-1]


def test_what_is_none_of_its_own_arguments_goes_to_beam() -> None:
    words = [word for pair in ANY.items() for word in pair]
    task = parse([*words, "--uris", "remote", *BEAM, "--temp_location=gs://b/t", "--no_auth"])
    assert task.beam_args == (*BEAM, "--temp_location=gs://b/t", "--no_auth")
    assert task.remote


# Components of the pipeline


def test_example_gen_and_statistics_gen(launcher: Launcher, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=400)
    data = tmp_path / "transactions.csv"
    data.write_text("fraud,at,score\n" + "".join(f"{i % 5 // 4},{i},{x:.3f}\n" for i, x in enumerate(rows)))
    settings = TransactionsSettings(
        columns=Columns(label="fraud", time="at", numeric=("score",)),
        split=SplitSettings(),
        sampling_rates=SamplingRates(),
        origin="of a test",
    )
    node = TransactionsExampleGen(str(data), settings)
    kinds = {str: "STRING", int: "NUMBER_INTEGER"}
    parameters = {name: (kinds[type(v)], v) for name, v in node.exec_properties.items() if v is not None}
    example_path = f"{example_gen.__name__}.Executor"
    examples = launcher.run(
        example_path,
        outputs={"examples": "tfx.Examples"},
        parameters=parameters,
        options=["--driver_class_path", f"{example_gen.__name__}.Driver", *BEAM],
    )["examples"]
    assert examples.metadata["input_fingerprint"] == fingerprint(str(data))
    assert examples.metadata["custom:span"] == 0
    assert examples.metadata["split_names"] == '["train", "eval", "test"]'
    assert examples.metadata["payload_format"] == "FORMAT_TF_EXAMPLE"
    assert examples.metadata["origin"] == "of a test"
    assert [split["rows"] for split in json.loads(examples.metadata["splits"])] == [260, 60, 80]

    statistics = launcher.run(
        f"{statistics_gen.__name__}.Executor",
        inputs={"examples": ("tfx.Examples", examples)},
        outputs={"statistics": "tfx.ExampleStatistics"},
        parameters={"source_digest": ("STRING", "digest")},
        options=[*BEAM],
    )["statistics"]
    assert statistics.metadata["split_names"] == '["train", "eval", "test"]'
    assert statistics.metadata["span"] == 0
    counted = [
        tfdv.load_stats_binary(str(launcher._stored(statistics.uri) / f"Split-{split}" / "FeatureStats.pb"))
        for split in ("train", "eval", "test")
    ]
    assert [each.datasets[0].num_examples for each in counted] == [260, 60, 80]


@dataclass(frozen=True)
class Serving:
    """A model in service, and a task that compares with it."""

    launcher: Launcher
    folder: Path
    model: Handed

    def current(self, *options: str) -> tuple[Handed, list[str]]:
        """The output, and its files."""
        handed = self.launcher.run(
            f"{current_model.__name__}.Executor",
            inputs={"model": ("tfx.Model", self.model)},
            outputs={"current": "tfx.Model"},
            parameters={"serving_dir": ("STRING", str(self.folder)), "columns": ("STRING", '{"label": "fraud"}')},
            options=options,
        )["current"]
        stored = self.launcher._stored(handed.uri)
        return handed, sorted(str(path.relative_to(stored)) for path in stored.rglob("*") if path.is_file())


def saved_model(folder: Path, weights: str) -> None:
    (folder / "variables").mkdir(parents=True)
    (folder / "assets.extra").mkdir()
    (folder / "saved_model.pb").write_text("graph")
    (folder / "variables" / "variables.index").write_text(weights)
    (folder / "assets.extra" / "manifest.json").write_text('{"columns": {"label": "fraud"}}')


@pytest.fixture
def serving(launcher: Launcher, tmp_path: Path) -> Serving:
    model = Handed(5, "s3://bucket/root/Trainer/salt/model", {"tfx_version": "1.16.0"})
    saved_model(launcher._stored(model.uri) / "Format-Serving", "new")
    return Serving(launcher, tmp_path / "serving", model)


@pytest.mark.parametrize("options", [(), ("--driver_class_path", f"{current_model.__name__}.Driver")])
def test_the_model_in_service_is_found_with_and_without_a_driver(serving: Serving, options: Sequence[str]) -> None:
    handed, files = serving.current(*options)
    assert handed.metadata["version"] == ""
    assert files == [EMPTY]
    saved_model(serving.folder / "0017", "old")
    handed, files = serving.current(*options)
    assert handed.metadata["version"] == "0017"
    assert "Format-Serving/variables/variables.index" in files


class Blesses(base_executor.BaseExecutor):
    """The Evaluator's way to bless."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        verdict = Verdict(bool(exec_properties["blessed"]), (), {}, {}, "", {})
        _bless(output_dict["blessing"][0], verdict, input_dict["model"][0], None)


@pytest.mark.parametrize("blessed", [True, False])
def test_a_verdict_reaches_the_pusher(serving: Serving, blessed: bool) -> None:
    launcher, model = serving.launcher, ("tfx.Model", serving.model)
    blessing = launcher.run(
        "test_kubeflow_entrypoint.Blesses",
        inputs={"model": model},
        outputs={"blessing": "tfx.ModelBlessing"},
        parameters={"blessed": ("NUMBER_INTEGER", int(blessed))},
    )["blessing"]
    assert blessing.metadata["current_model"] == serving.model.uri
    assert blessing.metadata["current_model_id"] == serving.model.id
    pushed = launcher.run(
        f"{pusher.__name__}.Executor",
        inputs={"model": model, "model_blessing": ("tfx.ModelBlessing", blessing)},
        outputs={"pushed_model": "tfx.PushedModel"},
        parameters={
            "push_destination": (
                "STRING",
                json_utils.dumps({"filesystem": {"base_directory": str(serving.folder)}}),
            )
        },
    )["pushed_model"]
    assert pushed.metadata["pushed"] == int(blessed)
    assert serving.folder.exists() == blessed
    if blessed:
        (version,) = serving.folder.iterdir()
        assert pushed.metadata["pushed_destination"] == str(version)
        assert pushed.metadata["pushed_version"] == version.name
        assert sorted(path.name for path in version.iterdir()) == ["assets.extra", "saved_model.pb", "variables"]
