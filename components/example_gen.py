"""ExampleGen: CSV and Parquet transactions, read by Arrow, to tf.Examples in time-ordered or random splits."""

from __future__ import annotations

import io
import json
import os
import re
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor as Threads
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, TypeVar

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
from google.protobuf import any_pb2, json_format, struct_pb2
from pydantic import Field
from tfx.components.example_gen import component, driver, utils
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.orchestration import data_types
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx_bsl.coders import example_coder

from components import attempts, engines
from components.properties import FEATURES_PROPERTY, ORIGIN_PROPERTY, SPLITS_PROPERTY
from components.reading.files import find_files, fingerprint
from components.reading.readers import PART_BYTES, BadValue, Part, parts, read_batches
from components.reading.settings import SPLITS, SplitSettings
from components.reading.splits import SplitCounts, SplitPlan, SplitSummary, plan_splits
from trainer.arrays import Array
from trainer.columns import EXAMPLE_WEIGHT, Columns, FeatureKind
from trainer.errors import InputError
from trainer.frozen import Frozen
from trainer.sampling import SamplingRates

ROWS_PER_BATCH = 8192
# Encoding and compressing release the interpreter's lock; with more threads the one that writes can't keep up.
_THREADS = min(os.cpu_count() or 1, 4)
# 49 MB instead of 59 MB is not worth twice the time of the whole component.
_GZIP = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
_ARROW_TYPES: dict[FeatureKind, pa.DataType] = {
    "float": pa.float32(),
    "integer": pa.int64(),
    "string": pa.binary(),
    "identifier": pa.binary(),
}

T = TypeVar("T")
Made = TypeVar("Made")


class TransactionsSettings(Frozen):
    """Settings of ExampleGen, as JSON in its custom_config; the path of the transactions is not among them."""

    columns: Columns
    split: SplitSettings
    sampling_rates: SamplingRates
    origin: str = Field(description="which data this is, in words for people; {path} stands for the path")
    part_bytes: int = Field(
        PART_BYTES, ge=1, description="a file of at least twice as many bytes is read in parts of about this size"
    )

    def to_proto(self) -> example_gen_pb2.CustomConfig:
        # as one text: a Struct forgets the order of its keys, on which the hash of a row depends
        struct = struct_pb2.Struct()
        struct["settings"] = self.model_dump_json()
        packed = any_pb2.Any()
        packed.Pack(struct)
        return example_gen_pb2.CustomConfig(custom_config=packed)

    @classmethod
    def from_exec_properties(cls, exec_properties: dict[str, Any]) -> TransactionsSettings:
        config = json_format.Parse(
            exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], example_gen_pb2.CustomConfig()
        )
        struct = struct_pb2.Struct()
        config.custom_config.Unpack(struct)
        return cls.model_validate_json(struct["settings"])


class Driver(driver.FileBasedDriver):
    """Fingerprints the input files, wherever Beam can read them, so that changed data is not served from the cache."""

    def resolve_exec_properties(
        self,
        exec_properties: dict[str, Any],
        pipeline_info: data_types.PipelineInfo,
        component_info: data_types.ComponentInfo,
    ) -> dict[str, Any]:
        exec_properties[utils.SPAN_PROPERTY_NAME] = 0
        exec_properties[utils.VERSION_PROPERTY_NAME] = None
        path = exec_properties[standard_component_specs.INPUT_BASE_KEY]
        known = exec_properties.get(utils.FINGERPRINT_PROPERTY_NAME)
        exec_properties[utils.FINGERPRINT_PROPERTY_NAME] = fingerprint(path)
        if known is not None:  # on Kubeflow a task of its own has looked before
            _check_unchanged(path, known, exec_properties[utils.FINGERPRINT_PROPERTY_NAME])
        return exec_properties


class Executor(base_beam_executor.BaseBeamExecutor):
    """Plans the splits in a first pass over times and labels, then writes the files in parallel on Beam.

    Where Beam's workers are on other machines, they do both.
    """

    def Do(self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]) -> None:
        """Writes a TFRecord file for each part and split.

        The plan, the origin and the features become properties of the Examples artifact.

        Raises:
          InputError: the transactions can't be read, or changed while they were.
        """
        settings = TransactionsSettings.from_exec_properties(exec_properties)
        examples = artifact_utils.get_single_instance(output_dict[standard_component_specs.EXAMPLES_KEY])
        path = exec_properties[standard_component_specs.INPUT_BASE_KEY]
        # the driver's, by which the cache knows what is written here
        before = exec_properties.get(utils.FINGERPRINT_PROPERTY_NAME) or fingerprint(path)
        files = find_files(path)
        pieces = [
            (file.path, part) for file in files for part in parts(file, settings.part_bytes, settings.columns.csv)
        ]
        # An engine on this machine reads no faster, and takes a second to start, with several processes half a minute.
        here = engines.is_local(self._beam_pipeline_args)
        counts = (
            _merged((_count(piece, settings) for piece in pieces), settings)
            if here
            else self._counted(pieces, settings)
        )
        plan, summaries = counts.plan()
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
        origin = settings.origin.replace("{path}", path)
        examples.set_string_custom_property(ORIGIN_PROPERTY, "; ".join([origin, *words_on_left_out(counts.left_out)]))
        examples.set_string_custom_property(SPLITS_PROPERTY, json.dumps([summary.to_json() for summary in summaries]))
        examples.set_string_custom_property(FEATURES_PROPERTY, json.dumps(feature_kinds(settings.columns)))
        for split in SPLITS:
            tf.io.gfile.makedirs(artifact_utils.get_split_uri([examples], split))
        try:
            with attempts.clear(examples.uri), self._make_beam_pipeline() as pipeline:
                _ = (
                    pipeline
                    | "Parts" >> beam.Create([(index, *piece) for index, piece in enumerate(pieces)])
                    | "WriteExamples" >> beam.ParDo(_WriteExamples(settings, plan, examples.uri, len(pieces)))
                )
        except (InputError, RuntimeError) as error:
            raise _unwrapped(error) from error
        _check_unchanged(path, before, fingerprint(path))

    def _counted(self, pieces: list[tuple[str, Part]], settings: TransactionsSettings) -> SplitCounts:
        """The counts of all pieces, which workers read; merged, they come back through a file."""
        folder = self._get_tmp_dir()
        path = os.path.join(folder, "split_counts.npz")
        try:
            with attempts.clear(folder), self._make_beam_pipeline() as pipeline:
                _ = (
                    pipeline
                    | "Parts" >> beam.Create(pieces)
                    | "Spread" >> beam.Reshuffle()
                    | "Count" >> beam.Map(_count, settings)
                    | "Merge" >> beam.CombineGlobally(_MergeCounts(settings))
                    | "Write" >> beam.Map(_write_counts, folder, path)
                )
        except (InputError, RuntimeError) as error:
            raise _unwrapped(error) from error
        counts = SplitCounts(settings.columns, settings.split)
        with fileio.open(path, "rb") as file:
            counts.load(io.BytesIO(file.read()))
        fileio.remove(path)
        return counts


def _count(piece: tuple[str, Part], settings: TransactionsSettings) -> SplitCounts:
    path, part = piece
    counts = SplitCounts(settings.columns, settings.split)
    names = _deciding(settings)
    with closing(read_batches(path, settings.columns, names, part=part, left_out=counts.left_out)) as batches:
        for batch in batches:
            counts.add(batch)
    return counts


def _merged(parts: Iterable[SplitCounts], settings: TransactionsSettings) -> SplitCounts:
    counts = SplitCounts(settings.columns, settings.split)
    for part in parts:
        counts.merge(part)
    return counts


class _MergeCounts(beam.CombineFn):
    """One `SplitCounts` of many."""

    def __init__(self, settings: TransactionsSettings):
        super().__init__()
        self._settings = settings

    def create_accumulator(self) -> SplitCounts:
        return SplitCounts(self._settings.columns, self._settings.split)

    def add_input(self, accumulator: SplitCounts, element: SplitCounts) -> SplitCounts:
        accumulator.merge(element)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[SplitCounts]) -> SplitCounts:
        return _merged(accumulators, self._settings)

    def extract_output(self, accumulator: SplitCounts) -> SplitCounts:
        return accumulator


def _write_counts(counts: SplitCounts, folder: str, path: str) -> None:
    content = io.BytesIO()
    counts.save(content)
    with attempts.attempt(folder, path) as own, fileio.open(own, "wb") as file:
        file.write(content.getvalue())


def _deciding(settings: TransactionsSettings) -> list[str]:
    """The columns that the plan of the splits is made from: time and label, or for a random split all but carried."""
    columns = settings.columns
    keys = [columns.time] if settings.split.by == "time" and columns.time else columns.raw_kinds
    return [*keys, columns.label]


def _check_unchanged(path: str, before: str, now: str) -> None:
    """Sees that what was read is what the cache knows it by.

    Raises:
      InputError: it is not.
    """
    if now != before:
        raise InputError(
            f"{path} changed during the run: its fingerprint was {before}, and is {now} now; run again, once nothing "
            "writes there any more"
        )


def words_on_left_out(left_out: Counter[str]) -> list[str]:
    """For each role without which rows were left out: "3 rows without a time are left out"."""
    return [
        f"{count:,} row{'s' if count > 1 else ''} without a {role} {'are' if count > 1 else 'is'} left out"
        for role, count in left_out.items()
        if count
    ]


def plan_files(files: list[str], settings: TransactionsSettings) -> tuple[SplitPlan, tuple[SplitSummary, ...]]:
    """The plan of the splits over all files, in this process; a split by time reads two columns only."""
    names = _deciding(settings)
    batches = (batch for file in files for batch in read_batches(file, settings.columns, names))
    return plan_splits(batches, settings.columns, settings.split)


class _WriteExamples(beam.DoFn):
    """Writes a part of an input file to one TFRecord file in each split that has rows of it, in the order of the input.

    It reads in the calling thread, encodes in several others and writes in one more.
    """

    def __init__(self, settings: TransactionsSettings, plan: SplitPlan, uri: str, parts: int):
        self._settings = settings
        self._plan = plan
        self._uri = uri
        self._parts = parts

    def process(self, element: tuple[int, str, Part]) -> None:
        index, path, part = element
        name = f"data_tfrecord-{index:05d}-of-{self._parts:05d}.gz"
        # Closed from the last to the first: each step, then its threads, then the files.
        with (
            _Files(self._uri, name) as files,
            ThreadPoolExecutor(1) as writing,
            ThreadPoolExecutor(_THREADS) as encoding,
            closing(read_batches(path, self._settings.columns, batch_rows=ROWS_PER_BATCH, part=part)) as batches,
            closing(in_order(self._encode, batches, encoding, ahead=2 * _THREADS)) as encoded,
            closing(in_order(files.write, encoded, writing, ahead=2)) as written,
        ):
            deque(written, maxlen=0)

    def _encode(self, batch: pa.RecordBatch) -> tuple[Array, list[bytes]]:
        """The split of each row, and its tf.Example."""
        columns = self._settings.columns
        examples = to_examples(batch, columns, self._settings.sampling_rates)
        return self._plan.assign(batch, columns), example_coder.RecordBatchToExamplesEncoder().encode(examples)


def in_order(
    function: Callable[[T], Made], items: Iterable[T], threads: Threads, ahead: int
) -> Generator[Made, None, None]:
    """The results of the function for the items, in order, computed at most `ahead` items before they are used."""
    pending: deque[Future[Made]] = deque()
    try:
        for item in items:
            pending.append(threads.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


class _Files:
    """The TFRecord files of one name in the folders of the splits; each is begun with its first row.

    They get their names when all rows are written, so that no file is there in part, or twice.
    """

    def __init__(self, uri: str, name: str):
        self._uri = uri
        self._name = name
        self._stack = ExitStack()
        self._writers: dict[int, tf.io.TFRecordWriter] = {}

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, rows: tuple[Array, list[bytes]]) -> None:
        """Writes the split and tf.Example of each row to its file."""
        splits, examples = rows
        for index in np.unique(splits).tolist():
            if index not in self._writers:
                path = os.path.join(self._uri, f"Split-{SPLITS[index]}", self._name)
                own = self._stack.enter_context(attempts.attempt(self._uri, path))
                self._writers[index] = self._stack.enter_context(tf.io.TFRecordWriter(own, _GZIP))
        for index, example in zip(splits.tolist(), examples, strict=True):
            self._writers[index].write(example)


def feature_kinds(columns: Columns) -> dict[str, FeatureKind]:
    """The kind of each feature of the examples, in order; the weight is the last."""
    kinds: dict[str, FeatureKind] = {**columns.raw_kinds, columns.label: "integer"}
    kinds.update(dict.fromkeys(columns.carried, "identifier"))
    return {**kinds, EXAMPLE_WEIGHT: "float"}


def to_examples(batch: pa.RecordBatch, columns: Columns, rates: SamplingRates) -> pa.RecordBatch:
    """The batch as the encoder takes it: in each row a list of one value, or null where the value is missing.

    Adds the column `example_weight`, the inverse of the sampling rate of the row's class.
    """
    kinds = feature_kinds(columns)
    arrays = [
        _as_lists(batch.column(batch.schema.get_field_index(name)).cast(_ARROW_TYPES[kind], safe=False))
        for name, kind in kinds.items()
        if name != EXAMPLE_WEIGHT
    ]
    labels = batch.column(batch.schema.get_field_index(columns.label)).to_numpy(zero_copy_only=False)
    weights = np.where(labels == 1, rates.weight(1), rates.weight(0)).astype(np.float32)
    return pa.RecordBatch.from_arrays([*arrays, _as_lists(pa.array(weights))], list(kinds))


def _as_lists(array: pa.Array) -> pa.ListArray:
    present = np.asarray(array.is_valid())
    offsets = np.concatenate([[0], np.cumsum(present)]).astype(np.int32)
    missing = np.append(~present, False)
    return pa.ListArray.from_arrays(pa.array(offsets, mask=missing), array.drop_null())


def _unwrapped(error: Exception) -> Exception:
    """The InputError that a Beam worker raised, as it was.

    Beam adds the name of the step, and a worker in a process of its own passes a traceback on inside a RuntimeError.
    """
    if isinstance(error, InputError):
        return InputError(re.sub(r" \[while running '.*?'\]$", "", str(error)))
    kinds = "|".join(re.escape(f"{kind.__module__}.{kind.__name__}") for kind in (InputError, BadValue))
    match = re.search(rf"(?:{kinds}): (.*?)(?: \[while running|\n|$)", str(error))
    return InputError(match.group(1)) if match else error


class TransactionsExampleGen(component.FileBasedExampleGen):
    """TFX's file-based ExampleGen for transactions in columns with roles."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, path: str | data_types.RuntimeParameter, settings: TransactionsSettings):
        """path: a file, a folder or a glob of CSV or Parquet."""
        split = settings.split
        shares = {name: round(getattr(split, name) * 1000) for name in SPLITS}
        super().__init__(
            input_base=path,
            # For TFX to show; the plan in `custom_config` is what decides.
            output_config=example_gen_pb2.Output(
                split_config=example_gen_pb2.SplitConfig(
                    splits=[
                        example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=share)
                        for name, share in shares.items()
                    ]
                )
            ),
            custom_config=settings.to_proto(),
        )


def record_batches(path: str, columns: Columns, rates: SamplingRates) -> Iterator[pa.RecordBatch]:
    """All rows at `path` as `to_examples` makes them, for statistics without a pipeline."""
    for file in find_files(path):
        for batch in read_batches(file.path, columns):
            yield to_examples(batch, columns, rates)
