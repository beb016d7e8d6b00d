"""CuratedSchema: a schema that people wrote, passed to the component as text.

It replaces TFX's ImportSchemaGen, which reads a file: a pod on a cluster has no file beside the configuration.
"""
# No `from __future__ import annotations`: TFX reads the annotations of a component function as objects.

import os
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import io_utils

from trainer.errors import InputError
from trainer.places import problem

FILE = "schema.pbtxt"  # as TFX names it


@component
def CuratedSchema(schema: OutputArtifact[standard_artifacts.Schema], text: Parameter[str]) -> None:
    """Writes the text of a schema that `read` returned."""
    io_utils.write_string_file(os.path.join(schema.uri, FILE), text)


def read(path: Path, carried: Sequence[str] = ()) -> str:
    """The text of a schema.

    carried: the id and the entities.

    Raises:
      InputError: the file can't be read, it is not a schema, or it describes the id or an entity, which nothing checks.
    """
    try:
        text = path.read_text()
        schema = text_format.Parse(text, schema_pb2.Schema())
    except (OSError, UnicodeDecodeError) as error:
        reason = problem(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(
            f"schema: {path} can't be read ({reason}); name a schema as .pbtxt, or leave it out to have one inferred"
        ) from error
    except text_format.ParseError as error:
        raise InputError(f"schema: {path} is not a schema: {error}; see configs/ulb.schema.pbtxt for one") from error
    described = [feature.name for feature in schema.feature if feature.name in carried]
    if described:
        names = ", ".join(described)
        raise InputError(
            f"schema: {path} describes {names}, but columns.id and columns.entities are carried along, and nothing "
            f"checks their values. Remove the feature {names} from the schema, or give the column another role"
        )
    return text
