"""The analysis that makes a transform graph from examples, for Transform and for the folds of the Tuner."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import dataset_metadata

from components.record_batches import BatchedExamples


def write_graph(
    pipeline: beam.Pipeline,
    source: BatchedExamples,
    preprocessing_fn: Callable[..., Any],
    schema: schema_pb2.Schema,
    folder: str,
    prefix: str = "",
) -> None:
    """Analyzes the examples and writes the transform graph, with the raw schema beside it; in a `tft_beam.Context`.

    prefix: of the steps' names, which have to differ where a pipeline makes several graphs.
    """
    columns = tft.get_analyze_input_columns(preprocessing_fn, source.TensorAdapter().OriginalTypeSpecs())
    projected = source.Project(columns)
    # a preprocessing function may need no statistics: then there is nothing to read
    rows = projected.BeamSource() if columns else beam.Create([]).with_output_types(pa.RecordBatch)
    data = pipeline | f"{prefix}Read" >> rows
    graph = (data, projected.TensorAdapterConfig()) | f"{prefix}Analyze" >> tft_beam.AnalyzeDataset(preprocessing_fn)
    _ = graph | f"{prefix}WriteGraph" >> tft_beam.WriteTransformFn(folder)
    _ = dataset_metadata.DatasetMetadata(schema) | f"{prefix}WriteRawSchema" >> tft_beam.WriteMetadata(
        os.path.join(folder, tft.TFTransformOutput.RAW_METADATA_DIR), pipeline
    )
