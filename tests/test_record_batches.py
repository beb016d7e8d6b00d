"""Reading examples in large batches gives what tfx-bsl's decoder gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import standard_artifacts
from tfx_bsl.coders import example_coder

from components.properties import FEATURES_PROPERTY
from components.record_batches import BatchedExamples, raw_features, read, read_plain
from tests.support.small_data import Row, example, write
from trainer import examples

FEATURES = {"amount": "float", "when": "integer", "card": "string"}
TYPES = {"float": schema_pb2.FLOAT, "integer": schema_pb2.INT, "string": schema_pb2.BYTES}
SCHEMA = schema_pb2.Schema(feature=[schema_pb2.Feature(name=name, type=TYPES[kind]) for name, kind in FEATURES.items()])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "amount": st.none() | st.floats(width=32, allow_nan=False),
            "when": st.none() | st.integers(-(2**63), 2**63 - 1),
            "card": st.none() | st.text(max_size=5),
        }
    ),
    min_size=1,
    max_size=20,
)


def decoded(rows: list[Row]) -> dict[str, list[Any]]:
    batch = example_coder.ExamplesToRecordBatchDecoder(SCHEMA.SerializeToString()).DecodeBatch(
        [example(row) for row in rows]
    )
    return pa.Table.from_batches([batch]).to_pydict()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(rows=ROWS)
def test_values_and_gaps_are_those_of_tfx_bsl(tmp_path: Path, rows: list[Row]) -> None:
    (batch,) = read(write(rows, tmp_path / "examples.gz"), FEATURES)
    assert pa.Table.from_batches([batch]).to_pydict() == decoded(rows)
    assert [str(field.type) for field in batch.schema] == [
        "large_list<item: float>",
        "large_list<item: int64>",
        "large_list<item: large_binary>",
    ]


def numbered(count: int) -> list[Row]:
    return [{"amount": float(number), "when": number, "card": None} for number in range(count)]


def test_batches_keep_the_order_and_carry_the_serialized_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "batch_rows", lambda features: 4)
    file = write(numbered(10), tmp_path / "examples.gz")
    batches = list(read(file, FEATURES, raw_records="raw"))
    assert [batch.num_rows for batch in batches] == [4, 4, 2]
    table = pa.Table.from_batches(batches).to_pydict()
    assert table["when"] == [[number] for number in range(10)]
    assert table["raw"] == [[record] for record in tf.data.TFRecordDataset(file, "GZIP").as_numpy_iterator()]
    assert table["card"] == [None] * 10


def test_the_source_gives_the_arrow_schema_that_it_promises(tmp_path: Path) -> None:
    source = BatchedExamples(
        write(numbered(3), tmp_path / "examples.gz"), schema=SCHEMA, telemetry_descriptors=["test"]
    )
    (batch,) = read(write(numbered(3), tmp_path / "examples.gz"), FEATURES)
    assert batch.schema.names == source.ArrowSchema().names
    assert [field.type for field in batch.schema] == [field.type for field in source.ArrowSchema()]
    projected = source.Project(["when"]).projected
    assert isinstance(projected, BatchedExamples)
    assert projected.ArrowSchema().names == ["when"]


def test_features_are_read_off_the_artifact_but_for_the_id() -> None:
    artifact = standard_artifacts.Examples()
    artifact.set_string_custom_property(FEATURES_PROPERTY, '{"amount": "float", "payment": "identifier"}')
    assert raw_features(artifact) == {"amount": "float"}


@pytest.mark.parametrize(("features", "rows"), [(1, 16_384), (32, 16_384), (64, 8192), (5000, 1024)])
def test_wide_examples_come_in_shorter_batches(features: int, rows: int) -> None:
    assert examples.batch_rows(features) == rows


def test_files_of_two_kinds_are_refused(tmp_path: Path) -> None:
    files = [write(numbered(1), tmp_path / "a.gz"), str(tmp_path / "b")]
    with pytest.raises(ValueError, match="all files or none must be gzipped"):
        examples.serialized(files, 1)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64])
def test_every_so_many_th_row_is_read_across_batches_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(examples, "batch_rows", lambda features: 10)
    rows = numbered(57)
    files = [write(rows[:23], tmp_path / "a.gz"), write(rows[23:], tmp_path / "b.gz")]
    batches = list(read_plain(files, FEATURES, step))
    assert [str(field.type) for field in batches[0].schema] == ["float", "int64", "large_binary"]
    assert pa.Table.from_batches(batches).to_pydict() == {
        name: [row[name] for row in rows[::step]] for name in FEATURES
    }
