"""tf.Examples on Beam as large Arrow record batches, which StatisticsGen, Transform and Evaluator read.

It needs TFX, TensorFlow and Beam; `components.reading`, which turns files of any kind into batches, needs none of them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx_bsl.tfxio import tf_example_record

from components.properties import FEATURES_PROPERTY
from trainer import examples, interruption
from trainer.arrays import Array
from trainer.columns import FeatureKind, RawKind

_TENSORFLOW = {"float": tf.float32, "integer": tf.int64, "string": tf.string}
_ARROW = {"float": pa.float32(), "integer": pa.int64(), "string": pa.large_binary()}
_KINDS: dict[Any, RawKind] = {schema_pb2.FLOAT: "float", schema_pb2.INT: "integer", schema_pb2.BYTES: "string"}


def raw_features(artifact: types.Artifact) -> dict[str, RawKind]:
    """The kind of each feature of an Examples artifact that our ExampleGen wrote, but for the id.

    Nothing looks at the id. No schema has to describe it, then, and a schema that was written before the id had its
    role stays right; and TFDV does not have to keep all values of a column in which no two are equal.
    """
    kinds: dict[str, FeatureKind] = json.loads(artifact.get_string_custom_property(FEATURES_PROPERTY))
    return {name: kind for name, kind in kinds.items() if kind != "identifier"}


def read(file: str, features: Mapping[str, RawKind], raw_records: str | None = None) -> Iterator[pa.RecordBatch]:
    """The examples of a file as tfx-bsl's decoder would return them, in a fifth of the time.

    Args:
      file: a TFRecord file, gzipped if its name ends in .gz.
      features: the features to read; one that an example lacks is null.
      raw_records: the name of a further column with the serialized examples; without it there is none.

    Yields:
      Columns large_list<float>, large_list<int64> and large_list<large_binary>.
    """
    spec = _spec(features)
    parse = tf.autograph.experimental.do_not_convert(lambda records: (tf.io.parse_example(records, spec), records))
    dataset = examples.serialized([file], examples.batch_rows(len(features)))
    for values, records in dataset.map(parse, num_parallel_calls=2).prefetch(2):
        interruption.check()
        arrays = [_as_lists(values[name], _ARROW[kind]) for name, kind in features.items()]
        names = list(features)
        if raw_records is not None:
            serialized = pa.array(records.numpy(), pa.large_binary())
            offsets = pa.array(np.arange(len(serialized) + 1))
            arrays.append(pa.LargeListArray.from_arrays(offsets, serialized))
            names.append(raw_records)
        yield pa.RecordBatch.from_arrays(arrays, names)


def read_plain(files: Sequence[str], features: Mapping[str, RawKind], step: int = 1) -> Iterator[pa.RecordBatch]:
    """The first value of each feature of every `step`-th example of some files, from the first example on.

    Examples that are passed over are not parsed. A feature that an example lacks is null.

    Yields:
      Columns float, int64 and large_binary.
    """
    rows = examples.batch_rows(len(features))

    def thinned(number: tf.Tensor, records: tf.Tensor) -> tf.Tensor:
        return records[-number * rows % step :: step]

    dataset = examples.serialized(files, rows)
    if step > 1:
        dataset = dataset.enumerate().map(tf.autograph.experimental.do_not_convert(thinned)).unbatch().batch(rows)
    parse = _parser(tuple(features.items()))
    for records in dataset:
        interruption.check()
        values = parse(records)
        arrays = [pc.list_element(_as_lists(values[name], _ARROW[kind]), 0) for name, kind in features.items()]
        yield pa.RecordBatch.from_arrays(arrays, list(features))


@functools.lru_cache(maxsize=4)
def _parser(features: tuple[tuple[str, RawKind], ...]) -> Callable[[tf.Tensor], dict[str, tf.RaggedTensor]]:
    """Parses serialized examples; for a few batches, tracing it once for all takes less time than a data set's map."""
    spec = _spec(dict(features))
    signature = [tf.TensorSpec([None], tf.string)]
    parse: Callable[[tf.Tensor], dict[str, tf.RaggedTensor]] = tf.function(
        lambda records: tf.io.parse_example(records, spec), input_signature=signature, autograph=False
    )
    return parse


def _spec(features: Mapping[str, RawKind]) -> dict[str, tf.io.RaggedFeature]:
    return {name: tf.io.RaggedFeature(_TENSORFLOW[kind], row_splits_dtype=tf.int64) for name, kind in features.items()}


def _as_lists(ragged: tf.RaggedTensor, kind: pa.DataType) -> pa.LargeListArray:
    values, splits = pa.array(ragged.values.numpy(), kind), ragged.row_splits.numpy()
    empty = splits[1:] == splits[:-1]
    # an example that lacks the feature is null, not an empty list
    mask = np.append(empty, False) if empty.any() else None
    return pa.LargeListArray.from_arrays(pa.array(splits, mask=mask), values)


def _read_selected(
    file: str,
    features: Mapping[str, RawKind],
    raw_records: str | None,
    selection: Callable[[str], Array] | None,
) -> Iterator[pa.RecordBatch]:
    batches = read(file, features, raw_records)
    if selection is None:
        yield from batches
        return
    rows, start = selection(file), 0
    for batch in batches:
        yield batch.filter(pa.array(rows[start : start + batch.num_rows]))
        start += batch.num_rows


class BatchedExamples(tf_example_record.TFExampleRecord):
    """TFXIO for tf.Examples whose Beam source reads by `read`, so that no Beam element is a single example.

    selection: returns which rows of a file are read, bool [n]; without it all rows are.
    """

    selection: Callable[[str], Array] | None = None

    def BeamSource(self, batch_size: int | None = None) -> beam.PTransform:
        """Record batches of the files, of the size that `read` makes; `batch_size` is ignored."""
        patterns, raw_records = self._file_pattern, self.raw_record_column_name
        features = {feature.name: _KINDS[feature.type] for feature in self._schema.feature}
        selection = self.selection

        @beam.typehints.with_input_types(beam.Pipeline)
        @beam.typehints.with_output_types(pa.RecordBatch)
        def source(pipeline: beam.Pipeline) -> beam.PCollection:
            return (
                pipeline
                | "Files" >> beam.Create(examples.matching(patterns))
                | "Read"
                >> beam.FlatMap(_read_selected, features, raw_records, selection).with_output_types(pa.RecordBatch)
            )

        return beam.ptransform_fn(source)()

    def _ProjectImpl(self, tensor_names: list[str]) -> tf_example_record.TFExampleRecord:
        projected = super()._ProjectImpl(tensor_names)
        copied = BatchedExamples(
            self._file_pattern,
            schema=projected._schema,
            raw_record_column_name=self.raw_record_column_name,
            telemetry_descriptors=self.telemetry_descriptors,
        )
        copied.selection = self.selection
        return copied
