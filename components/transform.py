"""Transform: analyzes the training split and writes the transform graph."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow_transform.beam as tft_beam
from tfx.components.transform import component
from tfx.components.util import udf_utils
from tfx.dsl.components.base import base_beam_executor, executor_spec
from tfx.types import artifact_utils, channel, standard_component_specs
from tfx.utils import io_utils, json_utils

from components.record_batches import BatchedExamples
from components.transform_graph import write_graph

SPLIT = "train"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Analyzes the training split in large batches and writes the transform graph; nothing is materialized.

    TFX's executor does the same where neither statistics nor transformed examples are wanted, but it reads one
    transaction at a time, and its source of data cannot be replaced from outside.
    """

    def Do(self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]) -> None:
        """Writes the transform graph, with the raw schema beside it."""
        examples = artifact_utils.get_single_instance(input_dict[standard_component_specs.EXAMPLES_KEY])
        schema = io_utils.SchemaReader().read(
            io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY]))
        )
        output = artifact_utils.get_single_uri(output_dict[standard_component_specs.TRANSFORM_GRAPH_KEY])
        preprocessing_fn = functools.partial(
            udf_utils.get_fn(exec_properties, standard_component_specs.PREPROCESSING_FN_KEY),
            custom_config=json_utils.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY]),
        )
        source = BatchedExamples(
            io_utils.all_files_pattern(artifact_utils.get_split_uri([examples], SPLIT)),
            schema=schema,
            telemetry_descriptors=["fraud-pipeline", "Transform"],
        )
        with (
            tft_beam.Context(temp_dir=self._get_tmp_dir(), force_tf_compat_v1=False),
            self._make_beam_pipeline() as pipeline,
        ):
            write_graph(pipeline, source, preprocessing_fn, schema, output)


class TransactionsTransform(component.Transform):
    """TFX's Transform over the examples of our ExampleGen, without materialization and statistics."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        schema: channel.BaseChannel,
        preprocessing_fn: str,
        custom_config: dict[str, Any],
    ):
        super().__init__(
            examples=examples,
            schema=schema,
            preprocessing_fn=preprocessing_fn,
            custom_config=custom_config,
            materialize=False,
            disable_statistics=True,
            disable_analyzer_cache=True,
        )
