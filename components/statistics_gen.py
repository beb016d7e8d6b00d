"""StatisticsGen: TFDV's statistics of each split, computed from large batches in one small Beam graph."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.statistics_gen import component, executor
from tfx.dsl.components.base import base_beam_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, channel, standard_component_specs
from tfx.utils import io_utils

from components import attempts
from components.record_batches import raw_features, read
from trainer import examples as example_files


class Statistics(beam.CombineFn):
    """TFDV's default statistics of record batches.

    The generators are those of `tfdv.generate_statistics_in_memory`, which returns the same statistics as
    `tfdv.GenerateStatistics`. The latter is a graph of thirty steps for each split, which takes longer to build than
    these generators take to run.
    """

    def __init__(self, options: tfdv.StatsOptions):
        super().__init__()
        self._options = options.to_json()
        self._made: list[Any] = []  # the generators, made where they run since they can't be pickled

    @property
    def _generators(self) -> list[Any]:
        if not self._made:
            self._made = stats_impl.get_generators(tfdv.StatsOptions.from_json(self._options), in_memory=True)
        return self._made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made": []}

    def create_accumulator(self) -> list[Any]:
        return [generator.create_accumulator() for generator in self._generators]

    def add_input(self, accumulator: list[Any], element: pa.RecordBatch) -> list[Any]:
        return [
            generator.add_input(partial, element)
            for generator, partial in zip(self._generators, accumulator, strict=True)
        ]

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:
        return [
            generator.merge_accumulators(partials)
            for generator, partials in zip(self._generators, zip(*accumulators, strict=True), strict=True)
        ]

    def compact(self, accumulator: list[Any]) -> list[Any]:
        return [generator.compact(partial) for generator, partial in zip(self._generators, accumulator, strict=True)]

    def extract_output(self, accumulator: list[Any]) -> statistics_pb2.DatasetFeatureStatisticsList:
        return stats_impl.extract_statistics_output(accumulator, self._generators)


class Executor(base_beam_executor.BaseBeamExecutor):
    """Computes statistics of each split of our ExampleGen's examples, and writes them as TFX's executor does."""

    def Do(self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]) -> None:
        """Writes FeatureStats.pb for each split."""
        examples = artifact_utils.get_single_instance(input_dict[standard_component_specs.EXAMPLES_KEY])
        statistics = artifact_utils.get_single_instance(output_dict[standard_component_specs.STATISTICS_KEY])
        splits = artifact_utils.decode_split_names(examples.split_names)
        statistics.split_names = artifact_utils.encode_split_names(splits)
        statistics.span = examples.span
        files = [
            (split, file)
            for split in splits
            for file in example_files.matching([io_utils.all_files_pattern(_folder(examples, split))])
        ]
        features = raw_features(examples)
        with attempts.clear(statistics.uri), self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(files)
                | "Read" >> beam.FlatMap(_keyed, features)
                | "Statistics" >> beam.CombinePerKey(Statistics(tfdv.StatsOptions()))
                | "Write" >> beam.Map(_write, statistics.uri, {split: _folder(statistics, split) for split in splits})
            )


def _folder(artifact: Any, split: str) -> str:
    folder: str = artifact_utils.get_split_uri([artifact], split)
    return folder


def _keyed(element: tuple[str, str], features: dict[str, Any]) -> Iterable[tuple[str, pa.RecordBatch]]:
    split, file = element
    return ((split, batch) for batch in read(file, features))


def _write(
    element: tuple[str, statistics_pb2.DatasetFeatureStatisticsList], artifact: str, folders: dict[str, str]
) -> None:
    split, statistics = element
    fileio.makedirs(folders[split])
    path = os.path.join(folders[split], executor.DEFAULT_FILE_NAME)
    with attempts.attempt(artifact, path) as own, fileio.open(own, "wb") as file:
        file.write(statistics.SerializeToString())


class TransactionsStatisticsGen(component.StatisticsGen):
    """TFX's StatisticsGen over the examples of our ExampleGen."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, examples: channel.BaseChannel):
        super().__init__(examples=examples)
