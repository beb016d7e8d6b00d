"""ExampleGen on real files, through TFX and Beam, with every written value read back."""

from __future__ import annotations

import csv
import itertools
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_metadata.proto import metadata_store_pb2
from tfx.components.example_gen.csv_example_gen import executor as csv_executor
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils
from tfx_bsl.coders import example_coder

from components import example_gen
from components.example_gen import (
    Driver,
    Executor,
    TransactionsExampleGen,
    TransactionsSettings,
    record_batches,
    to_examples,
)
from components.properties import FEATURES_PROPERTY, ORIGIN_PROPERTY, SPLITS_PROPERTY
from components.reading.files import fingerprint
from components.reading.readers import WHOLE
from components.reading.settings import SPLITS, SplitSettings
from components.record_batches import raw_features
from tests.support.small_data import BEAM
from trainer.columns import EXAMPLE_WEIGHT, Columns
from trainer.errors import InputError
from trainer.sampling import SamplingRates

COLUMNS = Columns(
    label="fraud",
    time="at",
    amount="euros",
    numeric=("score",),
    categorical={"country": "string", "terminal": "integer"},
    ignore=("note",),
)
HEADER = ("note", "at", "score", "euros", "country", "terminal", "fraud")
RATES = SamplingRates(fraud=0.5, legitimate=0.04)

Row = dict[str, Any]


def rows_between(start: int, stop: int) -> list[Row]:
    """Transactions with gaps of every kind, identified by their time; every third is a fraud."""
    return [
        {
            "note": f"ignored, {at}",
            "at": at + 0.25,
            "score": None if at % 4 == 0 else (-1) ** at * (at + 1 / 3) * 1e-3,
            "euros": at * 1234.567,
            "country": None if at % 5 == 0 else ("NL", "Côte d'Ivoire", "NA", 'the "old", one')[at % 4],
            "terminal": None if at % 7 == 0 else at * 10**15 + 1,
            "fraud": int(at % 3 == 0),
        }
        for at in range(start, stop)
    ]


def write_csv(path: Path, rows: Iterable[Row], header: Sequence[str] = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows({name: "" if row[name] is None else row[name] for name in header} for row in rows)
    return path


def settings_for(columns: Columns = COLUMNS, split: SplitSettings | None = None) -> TransactionsSettings:
    return TransactionsSettings(
        columns=columns,
        split=split or SplitSettings(train=0.5, eval=0.25, test=0.25),
        sampling_rates=RATES,
        origin="Made by hand",
    )


def execute(
    path: Path, folder: Path, settings: TransactionsSettings | None = None, beam_args: Sequence[str] = BEAM
) -> standard_artifacts.Examples:
    """What TFX's launcher does with the executor."""
    examples = standard_artifacts.Examples()
    examples.uri = str(folder)
    executor = Executor(
        Executor.Context(beam_pipeline_args=list(beam_args), tmp_dir=str(folder / ".tmp"), unique_id="1")
    )
    custom_config = proto_utils.proto_to_json((settings or settings_for()).to_proto())
    executor.Do({}, {"examples": [examples]}, {"input_base": str(path), "custom_config": custom_config})
    return examples


def features(example: tf.train.Example) -> Row:
    """The one value of each feature; a feature that is absent or empty is left out."""
    values = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        if kind is not None and getattr(feature, kind).value:
            (values[name],) = getattr(feature, kind).value
    return values


def read(uri: str, split: str) -> list[Row]:
    files = sorted(tf.io.gfile.glob(os.path.join(uri, f"Split-{split}", "*")))
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return [features(tf.train.Example.FromString(record)) for record in records]


def expected(row: Row) -> Row:
    """What a row has to come out as: float32, bytes, nothing for a gap, and its weight."""
    written: Row = {EXAMPLE_WEIGHT: 2.0 if row["fraud"] else 25.0}
    for name, value in row.items():
        if value is not None and name != "note":
            written[name] = (
                value.encode()
                if isinstance(value, str)
                else float(np.float32(value))
                if type(value) is float
                else value
            )
    return written


def by_time(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row["at"])


@pytest.fixture(scope="module", autouse=True)
def _no_arguments() -> Iterator[None]:
    """TFX's Beam executors read the flags of the process: `-v` means another thing to them than to pytest."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", sys.argv[:1])
        yield


@pytest.fixture(scope="module")
def two_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a later file and an earlier one, whose columns stand in another order."""
    folder = tmp_path_factory.mktemp("two_files")
    write_csv(folder / "a.csv", rows_between(24, 48))
    write_csv(folder / "b.csv", rows_between(0, 24), header=HEADER[::-1])
    return folder


@pytest.fixture(scope="module")
def examples(two_files: Path, tmp_path_factory: pytest.TempPathFactory) -> standard_artifacts.Examples:
    return execute(two_files, tmp_path_factory.mktemp("examples"))


@pytest.mark.parametrize(("split", "start", "stop"), [("train", 0, 24), ("eval", 24, 36), ("test", 36, 48)])
def test_every_value_comes_out_as_it_went_in_and_what_is_missing_is_absent(
    examples: standard_artifacts.Examples, split: str, start: int, stop: int
) -> None:
    assert by_time(read(examples.uri, split)) == [expected(row) for row in rows_between(start, stop)]


def test_the_artifact_says_what_it_holds(examples: standard_artifacts.Examples) -> None:
    assert json.loads(examples.split_names) == ["train", "eval", "test"]
    assert examples.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"
    assert examples.get_string_custom_property(ORIGIN_PROPERTY) == "Made by hand"
    assert json.loads(examples.get_string_custom_property(FEATURES_PROPERTY)) == {
        "at": "float", "score": "float", "euros": "float", "country": "string", "terminal": "integer",
        "fraud": "integer", EXAMPLE_WEIGHT: "float",
    }  # fmt: skip
    assert json.loads(examples.get_string_custom_property(SPLITS_PROPERTY)) == [
        {"name": "train", "rows": 24, "frauds": 8, "first": 0.25, "last": 23.25},
        {"name": "eval", "rows": 12, "frauds": 4, "first": 24.25, "last": 35.25},
        {"name": "test", "rows": 12, "frauds": 4, "first": 36.25, "last": 47.25},
    ]


def files_of(examples: standard_artifacts.Examples) -> dict[str, list[str]]:
    return {split: sorted(os.listdir(os.path.join(examples.uri, f"Split-{split}"))) for split in SPLITS}


def test_an_input_file_has_a_file_in_each_split_that_it_has_rows_for(examples: standard_artifacts.Examples) -> None:
    """a.csv holds the later rows, b.csv the earlier ones."""
    assert files_of(examples) == {
        "train": ["data_tfrecord-00001-of-00002.gz"],
        "eval": ["data_tfrecord-00000-of-00002.gz"],
        "test": ["data_tfrecord-00000-of-00002.gz"],
    }


def test_rows_stay_in_the_order_of_the_input_over_batches_threads_and_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_between(0, 300)
    np.random.default_rng(0).shuffle(rows)
    path = write_csv(tmp_path / "in.csv", rows)
    # one core has one thread, and then nothing could come out of order
    monkeypatch.setattr(example_gen, "_THREADS", 4)
    monkeypatch.setattr(example_gen, "ROWS_PER_BATCH", 5)
    for part_bytes in (settings_for().part_bytes, 2000):
        written = execute(
            path, tmp_path / str(part_bytes), settings_for().model_copy(update={"part_bytes": part_bytes})
        )
        for split, start, stop in (("train", 0, 150), ("eval", 150, 225), ("test", 225, 300)):
            assert read(written.uri, split) == [expected(row) for row in rows if start <= row["at"] < stop]
    files = files_of(written)
    assert all(len(names) == len(set(names)) > 3 for names in files.values())
    assert {name[-12:] for names in files.values() for name in names} == {f"-of-{len(files['train']):05d}.gz"}


@pytest.mark.parametrize("by", ["time", "random"])
def test_workers_on_other_machines_count_as_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The steps that such an engine would get, on the one in process; a file in parts, with rows that are left out."""
    rows = [{**row, "at": None if index % 50 == 7 else row["at"]} for index, row in enumerate(rows_between(0, 400))]
    path = write_csv(tmp_path / "in.csv", rows)
    columns = COLUMNS.model_copy(update={"leave_out_rows_without": ("time",)})
    split = SplitSettings(by=by, train=0.5, eval=0.25, test=0.25)
    settings = settings_for(columns, split).model_copy(update={"part_bytes": 2000})
    here = execute(path, tmp_path / "here", settings)
    monkeypatch.setattr(example_gen.engines, "is_local", lambda beam_args: False)
    there = execute(path, tmp_path / "there", settings)
    assert there.get_string_custom_property(ORIGIN_PROPERTY) == "Made by hand; 8 rows without a time are left out"
    for name in (ORIGIN_PROPERTY, SPLITS_PROPERTY):
        assert there.get_string_custom_property(name) == here.get_string_custom_property(name)
    for name in SPLITS:
        assert read(there.uri, name) == read(here.uri, name)
    assert [name for _, _, names in os.walk(tmp_path / "there" / ".tmp") for name in names] == []

    write_csv(path, [{**row, "at": "noon" if index == 300 else row["at"]} for index, row in enumerate(rows)])
    with pytest.raises(InputError, match=r"in\.csv line 302: at is 'noon', expected [^\[]*$"):
        execute(path, tmp_path / "there", settings)


@pytest.mark.parametrize("where", ["reading", "encoding", "writing"])
def test_a_fault_in_any_thread_comes_out_as_it_is_and_leaves_no_thread_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    rows = rows_between(0, 400)
    if where == "reading":
        rows[300]["euros"] = "much"
    path = write_csv(tmp_path / "in.csv", rows)
    monkeypatch.setattr(example_gen, "ROWS_PER_BATCH", 5)
    plan, _ = example_gen.plan_files([str(path)], settings_for())
    for split in SPLITS:
        (tmp_path / f"Split-{split}").mkdir()
    step = example_gen._WriteExamples(settings_for(), plan, str(tmp_path), 1)
    calls = itertools.count()

    def failing(*_: object) -> Any:
        if next(calls) == 3:
            raise InputError(f"fault in {threading.current_thread().name}")
        return np.zeros(1, np.int64), [b""]

    if where == "encoding":
        monkeypatch.setattr(step, "_encode", failing)
    if where == "writing":
        monkeypatch.setattr(example_gen._Files, "write", failing)
    before = threading.active_count()
    opened_before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(InputError, match="line 302: euros is 'much'" if where == "reading" else "fault in ThreadPool"):
        step.process((0, str(path), WHOLE))
    assert threading.active_count() == before
    assert len(os.listdir("/proc/self/fd")) == opened_before


def test_work_in_threads_keeps_its_order_and_does_not_run_ahead() -> None:
    started = []

    def items() -> Iterator[int]:
        for item in range(50):
            started.append(item)
            yield item

    def slow(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return -item

    with ThreadPoolExecutor(4) as threads:
        for place, made in enumerate(example_gen.in_order(slow, items(), threads, ahead=6)):
            assert made == -place
            assert len(started) <= place + 7


def test_a_parquet_file_is_written_by_row_groups(tmp_path: Path) -> None:
    rows = rows_between(0, 240)
    table = pa.table({name: pa.array([row[name] for row in rows]) for name in HEADER})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=40)
    written = execute(tmp_path / "in.parquet", tmp_path / "out", settings_for().model_copy(update={"part_bytes": 1}))
    assert {split: len(names) for split, names in files_of(written).items()} == {"train": 3, "eval": 2, "test": 2}
    assert [row for split in SPLITS for row in read(written.uri, split)] == [expected(row) for row in rows]


def test_values_are_those_that_csv_example_gen_would_write(tmp_path: Path) -> None:
    rows = rows_between(0, 500)
    path = write_csv(tmp_path / "in" / "a.csv", rows)
    stock = standard_artifacts.Examples()
    stock.uri = str(tmp_path / "stock")
    context = csv_executor.Executor.Context(
        beam_pipeline_args=list(BEAM), tmp_dir=str(tmp_path / "stock" / ".tmp"), unique_id="1"
    )
    only = example_gen_pb2.SplitConfig.Split(name="all", hash_buckets=1)
    csv_executor.Executor(context).Do(
        {},
        {"examples": [stock]},
        {
            "input_base": str(path.parent),
            "input_config": proto_utils.proto_to_json(
                example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="all", pattern="*")])
            ),
            "output_config": proto_utils.proto_to_json(
                example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=[only]))
            ),
            "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
        },
    )
    ours = execute(path, tmp_path / "ours")

    def shared(example: Row) -> str:
        kept = {name: value for name, value in example.items() if name not in ("note", EXAMPLE_WEIGHT)}
        return json.dumps(kept, sort_keys=True, default=bytes.decode)

    theirs = Counter(shared(example) for example in read(stock.uri, "all"))
    assert Counter(shared(example) for split in SPLITS for example in read(ours.uri, split)) == theirs
    assert theirs.total() == 500


def test_a_random_split_writes_every_row_once_as_the_plan_counted_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan sees larger batches than the writer, whose first one has none of the gaps among the integers."""
    monkeypatch.setattr(example_gen, "ROWS_PER_BATCH", 100)
    rows = [{**row, "terminal": None if row["at"] > 550 else 7} for row in rows_between(0, 600)]
    write_csv(tmp_path / "in" / "a.csv", rows)
    split = SplitSettings(by="random", train=0.6, eval=0.2, test=0.2)
    written = execute(tmp_path / "in", tmp_path / "out", settings_for(split=split))
    times = {split: [row["at"] for row in read(written.uri, split)] for split in SPLITS}
    assert sorted(at for split in SPLITS for at in times[split]) == [row["at"] for row in rows]
    counted = json.loads(written.get_string_custom_property(SPLITS_PROPERTY))
    assert [summary["rows"] for summary in counted] == [len(times[split]) for split in SPLITS]


NAMES = {
    "csv": ["0012", "12", "9007199254740993", "9223372036854775808", "NA", "<b>&", " 7 ", "1e5", None, "12"],
    "parquet": [2**24 + 1, 2**53 + 1, 2**63 - 1, -1, 0, None, 7, 7, 8, 9],
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("by", ["time", "random"])
def test_an_id_is_carried_exactly_and_changes_nothing_else(tmp_path: Path, kind: str, by: str) -> None:
    rows = [{**row, "note": NAMES[kind][row["fraud"] * 2 + index % 8]} for index, row in enumerate(rows_between(0, 48))]
    rows += [{**rows[at], "note": "twice" if kind == "csv" else 2} for at in range(20, 30)]
    path = tmp_path / f"in.{kind}"
    if kind == "csv":
        write_csv(path, rows)
    else:
        pq.write_table(pa.table({name: pa.array([row[name] for row in rows]) for name in HEADER}), path)
    split = SplitSettings(by=by, train=0.5, eval=0.25, test=0.25)
    plain = execute(path, tmp_path / "plain", settings_for(split=split))
    named = execute(
        path, tmp_path / "named", settings_for(COLUMNS.model_copy(update={"id": "note", "ignore": ()}), split)
    )
    written = [row for part in SPLITS for row in read(named.uri, part)]
    expected_names = Counter(None if row["note"] is None else str(row["note"]).encode() for row in rows)
    assert Counter(row.get("note") for row in written) == expected_names
    for part in SPLITS:
        without = [{name: row[name] for name in row if name != "note"} for row in read(named.uri, part)]
        assert without == read(plain.uri, part)
    for key in (SPLITS_PROPERTY, ORIGIN_PROPERTY):
        assert named.get_string_custom_property(key) == plain.get_string_custom_property(key)
    assert json.loads(named.get_string_custom_property(FEATURES_PROPERTY))["note"] == "identifier"
    assert raw_features(named) == raw_features(plain)


def test_a_time_as_text_stays_text_and_orders_the_splits(tmp_path: Path) -> None:
    columns = Columns(label="fraud", time="at", time_format="iso8601", numeric=("score",))
    rows = [
        {"at": f"2024-02-{day:02d} 10:00:00", "score": float(day), "fraud": fraud}
        for day in range(28, 0, -1)
        for fraud in (0, 1)
    ]
    write_csv(tmp_path / "in" / "a.csv", rows, header=("at", "score", "fraud"))
    written = execute(tmp_path / "in", tmp_path / "out", settings_for(columns))
    assert {row["at"] for row in read(written.uri, "test")} == {
        f"2024-02-{day} 10:00:00".encode() for day in range(22, 29)
    }
    assert max(row["score"] for row in read(written.uri, "train")) == 14.0


gaps = st.lists(
    st.tuples(
        st.floats(0, 1e9),
        st.one_of(st.none(), st.floats(-1e30, 1e30)),
        st.one_of(st.none(), st.floats(0, 1e9)),
        st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)),
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=20,
)


@settings(deadline=None)
@given(rows=gaps, start=st.integers(0, 5))
def test_encoding_keeps_each_value_in_its_row_wherever_the_gaps_are(rows: list[tuple[Any, ...]], start: int) -> None:
    names = ("at", "score", "euros", "country", "terminal", "fraud")
    kinds = (pa.float64(), pa.float64(), pa.float64(), pa.string(), pa.int64(), pa.int64())
    batch = pa.RecordBatch.from_arrays(
        [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), kinds, strict=True)], names=names
    ).slice(start)  # a slice has offsets of its own
    encoded = example_coder.RecordBatchToExamplesEncoder().encode(to_examples(batch, COLUMNS, RATES))
    assert [features(tf.train.Example.FromString(one)) for one in encoded] == [
        expected(dict(zip(names, row, strict=True))) for row in rows[start:]
    ]


def test_statistics_without_a_pipeline_see_the_rows_of_all_files(two_files: Path) -> None:
    batches = list(record_batches(str(two_files), COLUMNS, RATES))
    assert sum(batch.num_rows for batch in batches) == 48
    assert {name for batch in batches for name in batch.schema.names} == {
        *("at", "score", "euros", "country", "terminal", "fraud", EXAMPLE_WEIGHT)
    }


class Runs:
    """Runs of ExampleGen and what follows it in one workspace, by TFX's own runner."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._connection = metadata.sqlite_metadata_connection_config(str(folder / "metadata.db"))

    def run(self, path: Path, *, statistics: bool = False) -> None:
        example_gen = TransactionsExampleGen(str(path), settings_for())
        nodes: list[BaseNode] = [example_gen]
        if statistics:
            nodes.append(StatisticsGen(examples=example_gen.outputs["examples"]))
        LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="small",
                pipeline_root=str(self._folder / "artifacts"),
                components=nodes,
                enable_cache=True,
                metadata_connection_config=self._connection,
                beam_pipeline_args=list(BEAM),
            )
        )

    def states(self) -> list[str]:
        """How each execution of ExampleGen ended, in their order."""
        with metadata.Metadata(self._connection) as handle:
            executions = handle.store.get_executions_by_type("components.example_gen.TransactionsExampleGen")
        ordered = sorted(executions, key=lambda execution: execution.id)
        return [metadata_store_pb2.Execution.State.Name(execution.last_known_state) for execution in ordered]

    def artifacts(self, of_type: str) -> list[metadata_store_pb2.Artifact]:
        with metadata.Metadata(self._connection) as handle:
            return [
                artifact
                for artifact in handle.store.get_artifacts_by_type(of_type)
                if artifact.state == metadata_store_pb2.Artifact.LIVE
            ]


def test_a_file_of_which_splits_get_no_row_goes_through_and_changed_data_misses_the_cache(tmp_path: Path) -> None:
    """a.csv is all train, c.csv all test; then once more, and once with another file."""
    data = tmp_path / "data"
    for name, start, stop in (("a", 0, 12), ("b", 12, 36), ("c", 36, 48)):
        write_csv(data / f"{name}.csv", rows_between(start, stop))
    runs = Runs(tmp_path)
    runs.run(data, statistics=True)

    (examples,) = runs.artifacts("Examples")
    assert examples.custom_properties["input_fingerprint"].string_value == fingerprint(str(data))
    assert examples.custom_properties["span"].int_value == 0
    assert examples.custom_properties[ORIGIN_PROPERTY].string_value == "Made by hand"
    assert os.listdir(os.path.join(examples.uri, "Split-test")) == ["data_tfrecord-00002-of-00003.gz"]
    assert by_time(read(examples.uri, "test")) == [expected(row) for row in rows_between(36, 48)]
    (statistics,) = runs.artifacts("ExampleStatistics")
    counts = {
        split: tfdv.load_stats_binary(os.path.join(statistics.uri, f"Split-{split}", "FeatureStats.pb")).datasets[0]
        for split in SPLITS
    }
    assert {split: dataset.num_examples for split, dataset in counts.items()} == {"train": 24, "eval": 12, "test": 12}

    os.utime(data / "b.csv", (1000, 1000))
    runs.run(data)
    assert runs.states() == ["COMPLETE", "CACHED"]
    # labels corrected in place, the times kept, as `rsync -t` and `cp -p` do
    write_csv(data / "b.csv", [{**row, "fraud": 1 - row["fraud"]} for row in rows_between(12, 36)])
    os.utime(data / "b.csv", (1000, 1000))
    runs.run(data)
    assert runs.states() == ["COMPLETE", "CACHED", "COMPLETE"]
    frauds = [sum(row["fraud"] for row in read(artifact.uri, "eval")) for artifact in runs.artifacts("Examples")]
    assert frauds == [4, 8]


def test_data_that_changes_while_it_is_read_stops_the_run_and_the_next_one_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "data" / "a.csv", rows_between(0, 48))
    runs, parts = Runs(tmp_path), example_gen.parts

    def meanwhile(*arguments: Any) -> Any:
        write_csv(path, rows_between(0, 49))
        return parts(*arguments)

    with monkeypatch.context() as changing:
        changing.setattr(example_gen, "parts", meanwhile)
        with pytest.raises(InputError, match=rf"{path} changed during the run: .*; run again"):
            runs.run(path)
    assert runs.artifacts("Examples") == []
    runs.run(path)
    assert runs.states() == ["FAILED", "COMPLETE"]


def test_the_driver_refuses_data_that_changed_since_they_were_looked_at(two_files: Path) -> None:
    """On Kubeflow a task before ExampleGen gives it the fingerprint by which the cache knows it."""
    properties = {"input_base": str(two_files), "input_fingerprint": fingerprint(str(two_files))}
    assert Driver(None).resolve_exec_properties(dict(properties), None, None).items() >= properties.items()
    with pytest.raises(InputError, match="changed during the run: its fingerprint was 0123456789abcdef, and is "):
        Driver(None).resolve_exec_properties(properties | {"input_fingerprint": "0123456789abcdef"}, None, None)


def test_a_value_that_cannot_be_read_comes_out_of_beam_in_words_and_leaves_nothing(tmp_path: Path) -> None:
    """The plan reads time and label alone, so that it is a Beam worker that finds the fault, after good rows."""
    rows = rows_between(0, 48)
    rows[40]["euros"] = "N/A (see note)"
    path = write_csv(tmp_path / "data" / "a.csv", rows)
    runs = Runs(tmp_path)
    with pytest.raises(InputError) as raised:
        runs.run(path)
    assert str(raised.value) == (
        f"{path} line 42: euros is 'N/A (see note)', expected a number; correct or drop the row"
    )
    assert runs.states() == ["FAILED"]
    assert runs.artifacts("Examples") == []
    left = [name for _, _, names in os.walk(tmp_path / "artifacts") for name in names]
    assert [name for name in left if "tfrecord" in name] == []


def test_a_fault_that_a_worker_in_a_process_of_its_own_reports_comes_out_in_words(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [{**row, "euros": "much"} for row in rows_between(0, 48)])
    with pytest.raises(InputError) as raised:
        execute(path, tmp_path / "out", beam_args=[*BEAM, "--direct_running_mode=multi_processing"])
    assert str(raised.value) == f"{path} line 2: euros is 'much', expected a number; correct or drop the row"


def test_a_split_without_fraud_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    rows = [{**row, "fraud": int(at < 20)} for at, row in enumerate(rows_between(0, 48))]
    path = write_csv(tmp_path / "a.csv", [{**row, "fraud": row["fraud"] * (at % 2)} for at, row in enumerate(rows)])
    with pytest.raises(InputError, match=r"the eval split has no fraud .* these shares work: data\.split: "):
        execute(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_fault_of_the_machine_is_not_taken_for_one_of_the_data(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", rows_between(0, 48))
    # a folder where the file should go
    (tmp_path / "out" / "Split-eval" / "data_tfrecord-00000-of-00001.gz").mkdir(parents=True)
    with pytest.raises(RuntimeError, match=r"data_tfrecord-00000-of-00001\.gz"):
        execute(path, tmp_path / "out")


def test_the_settings_travel_through_tfx_unchanged() -> None:
    # in their order as well: the hashes of a random split depend on it
    columns = COLUMNS.model_copy(update={"categorical": {f"category {number}": "string" for number in range(20)}})
    for sent in (settings_for(), settings_for(columns)):
        properties = {"custom_config": proto_utils.proto_to_json(sent.to_proto())}
        assert TransactionsSettings.from_exec_properties(properties).model_dump_json() == sent.model_dump_json()


def test_the_origin_names_the_path_of_the_run(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "in.csv", rows_between(0, 48))
    settings = settings_for().model_copy(update={"origin": "Transactions from {path}, of unknown origin"})
    written = execute(path, tmp_path / "out", settings)
    assert written.get_string_custom_property(ORIGIN_PROPERTY) == f"Transactions from {path}, of unknown origin"


def test_attempts_at_one_part_do_not_mix_and_one_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at the same time, each waiting for the other before every batch; before them one that fails in the middle."""
    monkeypatch.setattr(example_gen, "ROWS_PER_BATCH", 6)
    path, settings = write_csv(tmp_path / "a.csv", rows_between(0, 48)), settings_for()
    undisturbed = execute(path, tmp_path / "undisturbed").uri
    plan, _ = example_gen.plan_files([str(path)], settings)
    uri = tmp_path / "out"
    for split in SPLITS:
        (uri / f"Split-{split}").mkdir(parents=True)
    encode, batches = example_gen._WriteExamples._encode, itertools.count()

    def attempt() -> None:
        example_gen._WriteExamples(settings, plan, str(uri), 1).process((0, str(path), WHOLE))

    def failing(self: Any, batch: pa.RecordBatch) -> Any:
        if next(batches) == 5:
            raise OSError("the disk is gone")
        return encode(self, batch)

    with monkeypatch.context() as broken:
        broken.setattr(example_gen._WriteExamples, "_encode", failing)
        with pytest.raises(OSError, match="the disk is gone"):
            attempt()
    assert [file for file in uri.rglob("*") if file.is_file()] == []

    barrier, write = threading.Barrier(2, timeout=60), example_gen._Files.write

    def in_turns(self: Any, rows: Any) -> None:
        barrier.wait()
        write(self, rows)

    with monkeypatch.context() as side_by_side, ThreadPoolExecutor(2) as pool:
        side_by_side.setattr(example_gen._Files, "write", in_turns)
        for future in [pool.submit(attempt) for _ in range(2)]:
            future.result()
    files = sorted(str(file.relative_to(uri)) for file in uri.rglob("*") if file.is_file())
    assert files == [f"Split-{split}/data_tfrecord-00000-of-00001.gz" for split in sorted(SPLITS)]
    for split in SPLITS:
        assert read(str(uri), split) == read(undisturbed, split)
