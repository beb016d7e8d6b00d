"""CurrentModel: the model that is in service now, with which the Evaluator compares the new one.

It is a component and not TFX's Resolver, which Kubeflow Pipelines cannot run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_driver, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver as portable_base_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import artifact_utils, channel, component_spec, standard_artifacts
from tfx.utils import io_utils, path_utils

from components import object_store  # noqa: F401  s3:// may be where models are served from
from components.digests import folder_digest
from components.evaluation.in_service import same_inputs
from components.model_folder import SAVED_MODEL, read_manifest
from components.properties import VERSION_PROPERTY
from components.reading import stores


@dataclass(frozen=True)
class PushedVersion:
    """A pushed model: `folder` holds its SavedModel, and `number` is its name in serving."""

    number: int
    folder: str


def pushed_versions(serving_dir: str, *, complete: bool = True) -> list[PushedVersion]:
    """Models below the serving folder, the newest first.

    serving_dir: on this machine, on a volume, or in an object store (gs:// or s3://). complete: leaves out models whose
    push was interrupted.
    """
    stores.check(serving_dir)
    if not fileio.exists(serving_dir):
        return []
    names = [name.strip("/") for name in fileio.listdir(serving_dir)]
    folders = [(int(name), os.path.join(serving_dir, name)) for name in names if name.isascii() and name.isdigit()]
    return [
        PushedVersion(number, folder)
        for number, folder in sorted(folders, reverse=True)
        if not complete or fileio.exists(os.path.join(folder, SAVED_MODEL))
    ]


def version_to_beat(serving_dir: str, candidate: str) -> PushedVersion | None:
    """The newest model in service that is not the candidate itself; whether the two compare is the Evaluator's matter.

    A candidate that is in service already is compared with the model before it, so that a run that changes nothing is
    served from the cache; unless the newest reads other columns, above which nothing is pushed unseen.
    """
    versions = pushed_versions(serving_dir)
    if not versions:
        return None
    digest = folder_digest(candidate)
    place = next((at for at, version in enumerate(versions) if folder_digest(version.folder) == digest), None)
    if place is None:
        return versions[0]
    if place and not same_inputs(read_manifest(candidate), read_manifest(versions[0].folder)):
        return versions[0]
    return versions[place + 1] if place + 1 < len(versions) else None


class Driver(base_driver.BaseDriver, portable_base_driver.BaseDriver):
    """Puts the version to compare with into the cache key, since the model in service is no input artifact.

    Like ExampleGen's driver it has two bases: components require the one, the launcher runs the other.
    """

    def __init__(self, metadata_handle: metadata.Metadata):
        base_driver.BaseDriver.__init__(self, metadata_handle)
        portable_base_driver.BaseDriver.__init__(self, metadata_handle)

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        result = driver_output_pb2.DriverOutput()
        result.exec_properties[VERSION_PROPERTY].string_value = _version(
            execution_info.input_dict, execution_info.exec_properties
        )
        return result


def _version(input_dict: dict[str, Any], exec_properties: dict[str, Any]) -> str:
    """The name of the folder to compare with, which may have leading zeros; "" where there is none."""
    candidate = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))
    version = version_to_beat(exec_properties["serving_dir"], candidate)
    return os.path.basename(version.folder) if version else ""


class Executor(base_executor.BaseExecutor):
    """Copies the model in service into the output artifact, or leaves that empty."""

    def Do(self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]) -> None:
        current = artifact_utils.get_single_instance(output_dict["current"])
        version = exec_properties.get(VERSION_PROPERTY)
        if version is None:  # no driver ran, which means that nothing is cached
            version = _version(input_dict, exec_properties)
        current.set_string_custom_property(VERSION_PROPERTY, version)
        if version:
            folder = os.path.join(exec_properties["serving_dir"], version)
            io_utils.copy_dir(folder, path_utils.serving_model_dir(current.uri))


class _Spec(component_spec.ComponentSpec):
    PARAMETERS = {
        "serving_dir": component_spec.ExecutionParameter(type=str),
        VERSION_PROPERTY: component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}
    OUTPUTS = {"current": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class CurrentModel(base_component.BaseComponent):
    """Output `current`: a Model artifact, empty where nothing is in service."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, model: channel.BaseChannel, serving_dir: str):
        """model: the candidate."""
        super().__init__(
            _Spec(
                model=model,
                serving_dir=serving_dir,
                current=types.Channel(type=standard_artifacts.Model),
            )
        )
