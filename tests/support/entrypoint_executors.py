"""Executors, a driver and an artifact type for a pod to run, which do next to nothing."""
# No `from __future__ import annotations`: TFX reads the annotations of a component function as objects.

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base import base_beam_executor, base_executor
from tfx.dsl.io import fileio
from tfx.orchestration.portable import base_driver, data_types
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import artifact, standard_artifacts

from trainer import progress
from trainer.errors import InputError

Artifacts = dict[str, list[types.Artifact]]


class Notes(artifact.Artifact):
    TYPE_NAME = "EntrypointNotes"
    PROPERTIES = {  # noqa: RUF012  as TFX wants it
        "pages": artifact.Property(type=artifact.PropertyType.INT),
        "weight": artifact.Property(type=artifact.PropertyType.FLOAT),
        "author": artifact.Property(type=artifact.PropertyType.STRING),
        "topics": artifact.Property(type=artifact.PropertyType.JSON_VALUE),
    }


class Writer(base_executor.BaseExecutor):
    """Every kind of property, a file, and folders with and without one."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        (notes,) = output_dict["notes"]
        notes.pages, notes.weight, notes.author = 3, 2.0, "Ada"
        notes.topics = ["money", {"time": 1}]
        notes.set_string_custom_property("pages", "of another kind")
        notes.set_string_custom_property("empty", "")
        notes.set_string_custom_property("file", f"{notes.uri}/full/file")
        notes.set_int_custom_property("blessed", 1)
        notes.set_float_custom_property("precision", 1.0)
        notes.set_float_custom_property("undefined", float("nan"))
        notes.set_json_value_custom_property("list", [1, "two"])
        notes.set_json_value_custom_property("nested", {"train": 1})
        for folder in ("full", "hollow/inner"):
            os.makedirs(os.path.join(notes.uri, folder))
        Path(notes.uri, "full", "file").write_text("content")


def seen(notes: types.Artifact) -> dict[str, Any]:
    """What a reader of the notes sees."""
    return {
        "type": notes.type_name,
        "id": notes.id,
        "uri": notes.uri,
        "properties": [notes.pages, notes.weight, notes.author, notes.topics],
        "strings": [notes.get_string_custom_property(name) for name in ("pages", "empty", "file")],
        "numbers": [notes.get_int_custom_property("blessed"), notes.get_float_custom_property("precision")],
        "json": [notes.get_json_value_custom_property(name) for name in ("list", "nested")],
        "undefined": notes.has_custom_property("undefined"),
        "files": sorted(str(path.relative_to(notes.uri)) for path in Path(notes.uri).rglob("*")),
        "times": sorted({path.stat().st_mtime for path in Path(notes.uri).rglob("*") if path.is_file()}),
    }


class Reader(base_executor.BaseExecutor):
    """Writes a report of its inputs."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        report = {
            "inputs": {name: [seen(one) for one in several] for name, several in input_dict.items()},
            "outputs": sorted(output_dict),
            "properties": exec_properties,
            "flags": self._extra_flags,
            "scratch": self._get_tmp_dir(),
            "scratch is there": os.path.isdir(self._get_tmp_dir()),
        }
        Path(output_dict["report"][0].uri, "report.json").write_text(json.dumps(report))


class BeamReader(base_beam_executor.BaseBeamExecutor):
    """Writes a report of its artifacts, and leaves a file in its folder for temporary files."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        scratch = os.path.join(self._get_tmp_dir(), "file")
        with fileio.open(scratch, "w") as file:
            file.write("temporary")
        uris = {name: [one.uri for one in several] for name, several in {**input_dict, **output_dict}.items()}
        with fileio.open(os.path.join(output_dict["report"][0].uri, "report.json"), "w") as file:
            json.dump({**uris, "scratch": scratch, "arguments": self._beam_pipeline_args}, file)


class Driver(base_driver.BaseDriver):
    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        result = driver_output_pb2.DriverOutput()
        result.exec_properties["next"].int_value = execution_info.exec_properties["count"] + 1
        (report,) = execution_info.output_dict["report"]
        report.set_string_custom_property("drawn", "by the driver")
        result.output_artifacts["report"].artifacts.add().CopyFrom(report.mlmd_artifact)
        return result


class Fails(base_executor.BaseExecutor):
    """Fails in the way that its property `how` names."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        how = exec_properties["how"]
        Path(self._get_tmp_dir(), "file").write_text("temporary")
        if how == "input":
            raise InputError("row 3: amount is 'N/A',\nexpected a number")
        if how == "failure":
            raise ValueError("two\nlines")
        if how == "silent":
            raise KeyError
        if how == "exit":
            raise SystemExit(0)
        if how == "worker":
            raise RuntimeError("Traceback (most recent call last):\n  File x\nOSError: no space left\n")
        if how == "interrupt":
            signal.raise_signal(signal.SIGINT)
        print("waiting", self._get_tmp_dir(), flush=True)
        time.sleep(60)


class Chatters(base_executor.BaseExecutor):
    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        progress.report(progress.Progress("Trainer", 2, 3, "average precision 0.8 on eval"))


@component
def Count(
    notes: InputArtifact[Notes],
    number: OutputArtifact[standard_artifacts.Integer],
    of: Parameter[str] = "full",
    more: Parameter[int] = 0,
    other: InputArtifact[Notes] = None,
) -> None:
    number.value = len(os.listdir(os.path.join(notes.uri, of))) + more + (100 if other else 0)


@component
def Double(number: InputArtifact[standard_artifacts.Integer], result: OutputArtifact[standard_artifacts.Float]) -> None:
    result.value = 2.0 * number.value
