"""Pusher: copies a blessed model to the serving folder, whole or not at all, and never twice.

That folder may be on this machine, on a volume, or in an object store: gs:// or s3://.
"""

from __future__ import annotations

import os
import time
from typing import Any

from tfx.components.pusher import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

from components import object_store  # noqa: F401  s3:// may be where models are served from
from components.current_model import pushed_versions
from components.digests import folder_digest
from components.model_folder import SAVED_MODEL

# Serving looks for folders whose name is a number and ignores this one.
_INCOMING = ".incoming-"


def push(model: str, serving_dir: str) -> tuple[int, str]:
    """Copies a SavedModel to `serving_dir/<version>`, unless the same model is in service already.

    The copy gets its name once it is complete, so that serving never loads half a model and a killed push leaves
    nothing that looks like one.

    Returns:
      The version (seconds since 1970, or one more than the newest) and its folder.
    """
    versions = pushed_versions(serving_dir)
    if versions and folder_digest(versions[0].folder) == folder_digest(model):
        return versions[0].number, versions[0].folder
    if fileio.exists(serving_dir):
        for name in fileio.listdir(serving_dir):
            if name.startswith(_INCOMING):
                fileio.rmtree(os.path.join(serving_dir, name.strip("/")))
    existing = pushed_versions(serving_dir, complete=False)
    version = max(int(time.time()), existing[0].number + 1 if existing else 0)
    incoming = os.path.join(serving_dir, f"{_INCOMING}{version}")
    folder = os.path.join(serving_dir, str(version))
    io_utils.copy_dir(model, incoming)
    if "://" in serving_dir:
        _rename_in_store(incoming, folder)
    else:
        fileio.rename(incoming, folder)
    return version, folder


def _rename_in_store(incoming: str, folder: str) -> None:
    """Renames the copy in an object store, where renaming copies each file.

    The file that makes a SavedModel of the folder comes last, since without it the folder is ignored. A copy that
    breaks off is deleted, except after a SIGKILL.
    """
    files = [os.path.join(parent, name) for parent, _, names in fileio.walk(incoming) for name in names]
    last = os.path.join(incoming, SAVED_MODEL)
    try:
        for file in sorted(files, key=lambda file: (file == last, file)):
            fileio.copy(file, os.path.join(folder, os.path.relpath(file, incoming)))
    except BaseException:
        if fileio.exists(folder):
            fileio.rmtree(folder)
        raise
    fileio.rmtree(incoming)


class Executor(executor.Executor):
    """TFX's executor, but with an atomic push that recognizes a model that is in service already."""

    def Do(self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]) -> None:
        pushed = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination)
        model = self.GetModelPath(input_dict)
        version, folder = push(model, destination.filesystem.base_directory)
        io_utils.copy_dir(model, pushed.uri)
        self._MarkPushed(pushed, pushed_destination=folder, pushed_version=str(version))


class FraudPusher(component.Pusher):
    """TFX's Pusher to a folder of numbered versions."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
