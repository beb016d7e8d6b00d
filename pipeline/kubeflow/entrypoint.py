"""The components' command on Kubeflow Pipelines: runs a TFX executor between KFP's driver and its launcher.

KFP's driver describes, as JSON, where the inputs are and where the outputs go. Its launcher downloads the inputs to
/gcs, /s3 or /minio, runs this command and, if that ends with 0, uploads the outputs from there (kubeflow/pipelines,
backend/src/v2/component/launcher_v2.go). TFX's own command for pods, kubeflow_v2_run_executor, was made for Vertex AI
and fails at the first component here. For each task, this command

- gives artifacts the types of the component's specification, since the driver leaves the types of inputs out, and adds
  an output for logs whose type TFX does not know;
- has the executor work on the launcher's folders, and writes the object store's URIs into the output. With
  `--uris remote` executors on Beam work on the URIs themselves, which workers in other pods can see;
- runs the component's driver, if it has one, since TFX's launcher, which usually does so, needs a metadata store;
- keeps empty folders, which object stores don't have, by a file in each, which the next task deletes;
- ends with 0, with 1 for a failure, with 2 for data or a configuration that cannot be used, and with 128 plus the
  signal's number when it is stopped. The last line that it logs is the reason.

Progress is logged as "... INFO fraud_pipeline.progress: TASK DONE/TOTAL DETAIL".
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from components.properties import URI_PROPERTY
from pipeline.imports import lean
from trainer.errors import InputError
from trainer.memory import limit_arenas, share_gpus

if TYPE_CHECKING:
    from tfx.types import Artifact

DONE, FAILED, BAD_INPUT = 0, 1, 2

# A prefix of the launcher's folders, for tests, which may not write to the root of the file system. It is not set in a
# pod.
LAUNCHER_ROOT = "FRAUD_PIPELINE_LAUNCHER_ROOT"
_FOLDERS = {"gs://": "/gcs/", "s3://": "/s3/", "minio://": "/minio/"}

EMPTY = ".fraud-pipeline-empty-folder"
_LONG = 300  # characters of an execution property that are logged, since some are whole configurations

logger = logging.getLogger("fraud_pipeline.entrypoint")

Artifacts = dict[str, "list[Artifact]"]


class Stopped(BaseException):
    """A signal has arrived; a BaseException, so that no `except Exception` of a library swallows it."""


@dataclass(frozen=True)
class Task:
    """The task that the command line describes.

    executor_input: KFP's ExecutorInput. inputs, outputs: the component's ComponentInputsSpec and ComponentOutputsSpec.
    All three are JSON, since importing their protos takes two seconds.
    """

    executor: str
    driver: str | None
    remote: bool
    executor_input: Mapping[str, Any]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    beam_args: tuple[str, ...]

    @property
    def output_file(self) -> Path:
        """The file in which the launcher expects the task's ExecutorOutput."""
        try:
            return Path(_below_root(self.executor_input["outputs"]["outputFile"]))
        except KeyError:
            raise InputError(
                "--json_serialized_invocation_args has no outputs.outputFile, although KFP's launcher puts it in place "
                "of {{$}}"
            ) from None

    def artifacts(self, side: str) -> Mapping[str, list[Mapping[str, Any]]]:
        """RuntimeArtifacts of the `inputs` or `outputs` by name, except outputs that the component does not declare."""
        by_name = {name: of["artifacts"] for name, of in self._of(side, "artifacts").items() if of.get("artifacts")}
        if side == "inputs":
            return by_name
        declared = self.outputs.get("artifacts", {})
        missing = sorted(declared.keys() - by_name.keys())
        if missing:
            raise InputError(f"KFP gives no place for the outputs {', '.join(missing)}; compile the pipeline again")
        return {name: by_name[name] for name in declared}

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self._of("inputs", "parameterValues")

    @property
    def output_parameters(self) -> Sequence[str]:
        return list(self._of("outputs", "parameters"))

    def _of(self, side: str, kind: str) -> Mapping[str, Any]:
        values: Mapping[str, Any] = (self.executor_input.get(side) or {}).get(kind) or {}
        return values


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; the command line comes from the pipeline's specification: compile it again")


def parse(arguments: Sequence[str]) -> Task:
    """The task of a command line, whose unknown arguments go to Beam.

    Raises:
      InputError: an argument is missing, or is not JSON.
    """
    parser = _Parser(prog="python -m pipeline.kubeflow.entrypoint", allow_abbrev=False, add_help=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", required=True)
    parser.add_argument("--json_serialized_outputs_spec_args", required=True)
    parser.add_argument("--driver_class_path")
    parser.add_argument("--uris", choices=("local", "remote"), default="local")
    options, beam_args = parser.parse_known_args(arguments)
    return Task(
        executor=options.executor_class_path,
        driver=options.driver_class_path,
        remote=options.uris == "remote",
        executor_input=_json("--json_serialized_invocation_args", options.json_serialized_invocation_args),
        inputs=_json("--json_serialized_inputs_spec_args", options.json_serialized_inputs_spec_args),
        outputs=_json("--json_serialized_outputs_spec_args", options.json_serialized_outputs_spec_args),
        beam_args=tuple(beam_args),
    )


def _json(argument: str, text: str) -> Mapping[str, Any]:
    if text == "{{$}}":
        raise InputError(f"{argument} is still {{{{$}}}}, which KFP's launcher replaces; only it can run this command")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{argument} is not JSON: {error}; got {_short(text)}") from error
    if not isinstance(value, dict):
        raise InputError(f"{argument} must be a JSON object, got {_short(text)}")
    return value


def _short(value: Any) -> str:
    """The value in one line of at most `_LONG` characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= _LONG else f"{text[:_LONG]}... ({len(text):,} characters)"


# Where things are


def local_path(uri: str) -> str:
    """The path of the launcher's copy of a URI, by the launcher's own rule, which keeps even a query string.

    Raises:
      InputError: the launcher makes no copy of such a URI.
    """
    for scheme, folder in _FOLDERS.items():
        if uri.startswith(scheme):
            return _root() + folder + uri.removeprefix(scheme)
    if uri.startswith("oci://"):
        raise InputError(f"{uri} is an image, which KFP mounts as a model; artifacts here are files in an object store")
    raise InputError(
        f"{uri}: the launcher can't copy from there; the pipeline root must begin with {', '.join(_FOLDERS)}"
    )


def _root() -> str:
    return os.environ.get(LAUNCHER_ROOT, "").rstrip("/")


def _below_root(path: str) -> str:
    """One of the launcher's paths, with the prefix for tests."""
    return _root() + path if path.startswith(tuple(_FOLDERS.values())) else path


def _place(artifact: Mapping[str, Any], remote: bool) -> str:
    """The URI or path that the executor works on."""
    uri: str = artifact["uri"]
    if remote:
        _check_remote(uri)
        return uri
    own = artifact.get("customPath")
    return _below_root(own) if own else local_path(uri)


def _check_remote(uri: str) -> None:
    """Checks that TensorFlow and Beam can work on the URI from any pod."""
    import tensorflow as tf

    if "?" in uri:
        raise InputError(
            f"{uri}: with uris: remote a URI can't have a query; instead set AWS_ENDPOINT_URL_S3 and AWS_REGION for "
            "the pods and Beam's workers"
        )
    scheme = uri.partition("://")[0]
    if scheme not in ("gs", "s3"):
        raise InputError(
            f"{uri}: uris: remote needs a pipeline root that Beam and TensorFlow read from every pod, gs:// or s3://; "
            "change it, or set uris: local, and Beam to run in the pod"
        )
    if scheme not in tf.io.gfile.get_registered_schemes():
        raise InputError(
            f"{uri}: uris: remote needs a TensorFlow that reads {scheme}://, and this one does not; use a gs:// "
            "pipeline root, or an image in which tensorflow-io is imported at every start of Python, or set uris: local"
        )


# Artifacts


def artifact_class(schema: Mapping[str, Any], name: str) -> Any:
    """The class of an ArtifactTypeSchema, such as `tfx.Model`, or one that a dotted path names.

    Raises:
      InputError: there is no such class.
    """
    import yaml
    from tfx.types import standard_artifacts
    from tfx.types.experimental import simple_artifacts
    from tfx.utils import import_utils

    title = schema.get("schemaTitle") or (yaml.safe_load(schema.get("instanceSchema") or "") or {}).get("title") or ""
    package, _, kind = title.rpartition(".")
    if package == "tfx":
        for module in (standard_artifacts, simple_artifacts):
            if hasattr(module, kind):
                return getattr(module, kind)
    elif package:
        try:
            return import_utils.import_class_by_path(title)
        except ImportError as error:
            raise InputError(
                f"the type of {name} is {title}, which this image can't import: {error.__cause__}"
            ) from error
    raise InputError(f"the type of {name} is {title!r}, which TFX does not know; compile the pipeline again")


def _to_artifacts(task: Task, side: str, remote: bool) -> Artifacts:
    specs = (task.inputs if side == "inputs" else task.outputs).get("artifacts", {})
    artifacts: Artifacts = {}
    for name, runtime_artifacts in task.artifacts(side).items():
        if name not in specs:
            raise InputError(f"KFP gives an input {name} that the component does not have; compile the pipeline again")
        kind = artifact_class(specs[name].get("artifactType", {}), name)
        artifacts[name] = [_to_artifact(kind, one, _place(one, remote)) for one in runtime_artifacts]
        if side == "inputs":
            for artifact, one in zip(artifacts[name], runtime_artifacts, strict=True):
                artifact.set_string_custom_property(URI_PROPERTY, one["uri"])
    return artifacts


def _to_artifact(kind: Any, runtime_artifact: Mapping[str, Any], place: str) -> Artifact:
    """The artifact of a RuntimeArtifact, whose name is the id in KFP's metadata, if it is in there."""
    artifact: Artifact = kind()
    artifact.uri = place
    if str(runtime_artifact.get("name", "")).isdigit():
        artifact.id = int(runtime_artifact["name"])
    for key, value in (runtime_artifact.get("metadata") or {}).items():
        _set_property(artifact, key, _unpacked(value))
    # Go writes 1.0 as 1, and TFX's getters refuse an integer for a double; reading it back makes doubles of them
    artifact.set_mlmd_artifact(artifact.mlmd_artifact)
    return artifact


def _unpacked(value: Any) -> Any:
    """The value of a property; KFP wraps a list or a mapping in a mapping with one entry."""
    for name, kind in (("list", list), ("struct", dict)):
        if isinstance(value, dict) and value.keys() == {name} and isinstance(value[name], kind):
            return value[name]
    return value


def _set_property(artifact: Artifact, key: str, value: Any) -> None:
    """Sets a property if the artifact's type has one of that name and kind, else a custom property.

    All numbers come as doubles, so custom properties are kept as JSON, which TFX converts when they are read.
    """
    from ml_metadata.proto import metadata_store_pb2 as pb
    from tfx.types.artifact import CUSTOM_PROPERTIES_PREFIX

    kinds: dict[Any, tuple[Any, Any]] = {
        pb.INT: (int, (int, float)),
        pb.DOUBLE: (float, (int, float)),
        pb.STRING: (str, str),
        pb.BOOLEAN: (bool, (bool, int, float)),
    }
    declared = artifact.artifact_type.properties
    if key in declared:
        convert, accepted = kinds.get(declared[key], (lambda number: number, object))
        if isinstance(value, accepted):
            setattr(artifact, key, convert(value))
            return
    if value is not None:
        artifact.set_json_value_custom_property(key.removeprefix(CUSTOM_PROPERTIES_PREFIX), value)


def _metadata(artifact: Artifact, uris: Mapping[str, str]) -> dict[str, Any]:
    """An artifact's properties for KFP, with URIs in place of the launcher's paths.

    KFP has no form for a property that is empty or not finite, so it is left out.

    Args:
      uris: the URI by path.
    """
    from tfx.types.artifact import CUSTOM_PROPERTIES_PREFIX

    stored = artifact.mlmd_artifact
    by_name = {name: _plain(value) for name, value in stored.properties.items()}
    for name, value in stored.custom_properties.items():
        key = f"{CUSTOM_PROPERTIES_PREFIX}{name}" if name in artifact.artifact_type.properties else name
        by_name[key] = _plain(value)
    return {
        name: _as_uri(value, uris) if isinstance(value, str) else value
        for name, value in by_name.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }


def _plain(value: Any) -> Any:
    """The Python value of a Value of ML Metadata."""
    from google.protobuf import json_format

    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    if kind != "struct_value":
        return content
    decoded = json_format.MessageToDict(content)
    return decoded.get("__value__", decoded)  # TFX wraps values that are not mappings


def _as_uri(text: str, uris: Mapping[str, str]) -> str:
    for path, uri in uris.items():
        if text == path or text.startswith(f"{path}/"):
            return uri + text.removeprefix(path)
    return text


# Folders


def _files(artifacts: Artifacts) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each folder in the artifacts on this machine, with its folders and files, as `os.walk` has them."""
    for single in (one for several in artifacts.values() for one in several):
        for parent, folders, names in os.walk(single.uri):
            yield Path(parent), folders, names


def _mark_empty_folders(artifacts: Artifacts) -> None:
    for folder, folders, names in _files(artifacts):
        if not folders and not names:
            (folder / EMPTY).write_text("Keeps this folder, since an object store has no empty folders.\n")


def _restore(artifacts: Artifacts) -> None:
    """Deletes the marks, and resets the files' times, by which a search that continues recognizes its files."""
    for folder, _, names in _files(artifacts):
        for name in names:
            if name == EMPTY:
                (folder / name).unlink()
            else:
                os.utime(folder / name, (0, 0))


# Running


def properties(task: Task) -> dict[str, Any]:
    """The execution properties; one without a value is left out, so that its default counts.

    Parameters that the component does not declare are left out too; they are for Kubeflow's cache only.

    Raises:
      InputError: a value has the wrong type.
    """
    kinds = {name: spec.get("parameterType") for name, spec in task.inputs.get("parameters", {}).items()}
    values = {name: value for name, value in task.parameters.items() if value is not None and name in kinds}
    return {name: _typed(name, value, kinds[name]) for name, value in values.items()}


def _typed(name: str, value: Any, kind: str | None) -> Any:
    """The value with the type of its parameter; KFP passes all numbers as doubles."""
    if kind not in ("NUMBER_INTEGER", "NUMBER_DOUBLE"):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{name} must be a number, got {value!r}")
    if kind == "NUMBER_DOUBLE":
        return float(value)
    if value != int(value):
        raise InputError(f"{name} must be a whole number, got {value:g}")
    return int(value)


def run(task: Task) -> None:
    """Runs the task's driver and executor, and writes the ExecutorOutput for the launcher."""
    start = time.monotonic()
    output_file = task.output_file
    with lean():
        from tfx.dsl.components.base import base_beam_executor
        from tfx.orchestration.portable import outputs_utils
        from tfx.types.value_artifact import ValueArtifact

        from components import object_store  # noqa: F401  registers s3://

        executor_class = _imported("executor", task.executor)
        driver_class = _imported("driver", task.driver) if task.driver else None
        on_beam = issubclass(executor_class, base_beam_executor.BaseBeamExecutor)
        # without Beam the executor runs in this pod, and can use the launcher's copies
        remote = task.remote and on_beam
        inputs, outputs = (_to_artifacts(task, side, remote) for side in ("inputs", "outputs"))
    exec_properties = properties(task)
    uris = _by_path(task, remote)
    if not remote:
        _restore(inputs)
    outputs_utils.make_output_dirs(outputs)
    for single in (one for several in inputs.values() for one in several):
        if isinstance(single, ValueArtifact):
            single.read()  # once, as TFX's launcher does
    logger.info("%s, after %.1f s of imports", task.executor, time.monotonic() - start)
    _log("input", inputs, task.artifacts("inputs"))
    _log("output", outputs, task.artifacts("outputs"))
    for name, value in exec_properties.items():
        logger.info("property %s: %s", name, _short(value))

    if driver_class is not None:
        _drive(driver_class, inputs, outputs, exec_properties)
    with _scratch(outputs, remote) as folder:
        context_class: Any = (base_beam_executor.BaseBeamExecutor if on_beam else executor_class).Context
        arguments = {"beam_pipeline_args" if on_beam else "extra_flags": list(task.beam_args)}
        context = context_class(tmp_dir=folder, unique_id=output_file.parent.name, **arguments)
        executor_class(context).Do(inputs, outputs, exec_properties)
    outputs_utils.tag_output_artifacts_with_version(outputs)
    if not remote:
        _mark_empty_folders(outputs)

    executor_output = {
        "artifacts": {
            name: {
                "artifacts": [
                    {"uri": runtime_artifact["uri"], "metadata": _metadata(one, uris)}
                    for one, runtime_artifact in zip(outputs[name], task.artifacts("outputs")[name], strict=True)
                ]
            }
            for name in task.artifacts("outputs")
        },
        "parameterValues": {name: _output_value(name, outputs) for name in task.output_parameters},
    }
    output_file.parent.mkdir(parents=True, exist_ok=True)
    output_file.write_text(json.dumps(executor_output, indent=2, allow_nan=False))
    logger.info("done in %.1f s", time.monotonic() - start)


def _imported(what: str, path: str) -> Any:
    from tfx.utils import import_utils

    try:
        return import_utils.import_class_by_path(path)
    except ImportError as error:
        raise InputError(
            f"the {what} {path} can't be imported: {error.__cause__}; is this the image that the pipeline was compiled "
            "for?"
        ) from error


def _by_path(task: Task, remote: bool) -> dict[str, str]:
    """The URI of each artifact by the path or URI that the executor works on."""
    return {
        _place(one, remote): one["uri"]
        for side in ("inputs", "outputs")
        for several in task.artifacts(side).values()
        for one in several
    }


def _log(what: str, artifacts: Artifacts, runtime_artifacts: Mapping[str, list[Mapping[str, Any]]]) -> None:
    for name, several in artifacts.items():
        for one, runtime_artifact in zip(several, runtime_artifacts[name], strict=True):
            logger.info("%s %s: %s, %s", what, name, one.type_name, runtime_artifact["uri"])


def _drive(driver_class: Any, inputs: Artifacts, outputs: Artifacts, exec_properties: dict[str, Any]) -> None:
    """Runs the component's driver and adopts its results, as TFX's launcher does."""
    from tfx.orchestration.portable import data_types

    driver_output = driver_class(None).run(
        data_types.ExecutionInfo(input_dict=inputs, output_dict=outputs, exec_properties=exec_properties)
    )
    for name, made in driver_output.output_artifacts.items():
        for one, stored in zip(outputs[name], made.artifacts, strict=True):
            one.set_mlmd_artifact(stored)
    for name, value in driver_output.exec_properties.items():
        exec_properties[name] = getattr(value, value.WhichOneof("value"))


@contextmanager
def _scratch(outputs: Artifacts, remote: bool) -> Iterator[str]:
    """A folder for temporary files, in this pod or, for Beam's workers in other pods, beside the outputs."""
    if not remote:
        with tempfile.TemporaryDirectory(prefix="fraud-pipeline-") as folder:
            yield folder
        return
    from tfx.dsl.io import fileio

    folder = os.path.join(os.path.dirname(next(iter(outputs.values()))[0].uri), ".temp")
    try:
        yield folder
    finally:
        if fileio.exists(folder):
            fileio.rmtree(folder)


def _output_value(name: str, outputs: Artifacts) -> Any:
    from tfx.types.value_artifact import ValueArtifact

    (artifact,) = outputs.get(name) or [None]
    if not isinstance(artifact, ValueArtifact):
        raise InputError(f"the output parameter {name} has no artifact with a value; compile the pipeline again")
    return artifact.read()


# Ending


def _reason(error: BaseException) -> str:
    """Why the task failed, in one line."""
    words = str(error)
    if isinstance(error, InputError):
        return " ".join(words.split())
    if (
        "Traceback (most recent call last)" in words
    ):  # Beam passes on a worker's traceback, whose last line is the error
        words = words.strip().splitlines()[-1]
    words = _short(words)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def main(arguments: Sequence[str]) -> int:
    """Runs a task and returns the exit code; after a failure the last line on stderr is the reason."""
    try:
        run(parse(arguments))
    except InputError as error:
        return _fail(error, _reason(error), BAD_INPUT)
    except KeyboardInterrupt as error:
        return _fail(error, "interrupted", 128 + signal.SIGINT)
    except Stopped as error:
        return _fail(
            error, "stopped by SIGTERM, as Kubernetes does when a pod is deleted or evicted", 128 + signal.SIGTERM
        )
    except (Exception, SystemExit) as error:
        return _fail(error, _reason(error), FAILED)
    return DONE


def _fail(error: BaseException, reason: str, code: int) -> int:
    traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)
    sys.stdout.flush()
    print(f"error: {reason}", file=sys.stderr, flush=True)
    return code


def _stop(number: int, frame: Any) -> NoReturn:
    raise Stopped


def _command() -> NoReturn:
    """Runs `main` as this process."""
    arguments = sys.argv[1:]
    # TFX's Beam executors parse sys.argv for absl's flags, which ours are not.
    sys.argv = sys.argv[:1]
    limit_arenas()
    share_gpus()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    warnings.filterwarnings("ignore")
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("apache_beam.typehints").setLevel(logging.WARNING)  # hundreds of lines at every import
    signal.signal(signal.SIGTERM, _stop)
    code = main(arguments)
    logging.shutdown()
    if code:
        # at once, since libraries print more when the interpreter ends, which would come after the reason
        os._exit(code)
    sys.exit()


if __name__ == "__main__":
    _command()
