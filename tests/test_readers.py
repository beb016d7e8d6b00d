"""Transactions become typed batches, whatever file they come from; what is wrong is named with its line."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.reading import readers
from components.reading.files import find_files
from components.reading.readers import header, raw_batches, read_batches
from components.reading.values import seconds
from tests.support.in_memory import InMemory
from trainer.columns import Columns
from trainer.errors import InputError

COLUMNS = Columns(
    label="fraud", time="when", amount="paid", numeric=("x",), categorical={"shop": "string", "mcc": "integer"}
)
HEADER = "shop,when,x,paid,mcc,fraud,unused\n"


def written(folder: Path, text: str, name: str = "transactions.csv") -> str:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


def rows_of(path: str, columns: Columns = COLUMNS, **options: object) -> dict[str, list]:
    table = pa.Table.from_batches(list(read_batches(path, columns, **options)))
    return table.to_pydict()


def test_columns_come_in_the_order_of_their_roles_and_typed(tmp_path):
    path = written(tmp_path, HEADER + "007,5,1.5,9.99,5411.0,1,?\n,6,NA,,,false,?\n")
    (batch,) = read_batches(path, COLUMNS)
    assert batch.schema.names == ["when", "x", "paid", "shop", "mcc", "fraud"]
    assert [str(kind) for kind in batch.schema.types] == ["double", "double", "double", "string", "int64", "int64"]
    assert batch.to_pydict() == {
        "when": [5.0, 6.0],
        "x": [1.5, None],
        "paid": [9.99, None],
        "shop": ["007", None],
        "mcc": [5411, None],
        "fraud": [1, 0],
    }
    assert rows_of(path, names={"fraud", "when"}) == {"when": [5.0, 6.0], "fraud": [1, 0]}
    assert header(path) == ["shop", "when", "x", "paid", "mcc", "fraud", "unused"]


def test_a_batch_has_batch_rows_rows(tmp_path):
    path = written(tmp_path, HEADER + "a,1,1,1,1,0,?\n" * 25)
    assert [batch.num_rows for batch in read_batches(path, COLUMNS, batch_rows=10)] == [10, 10, 5]


def test_a_reader_that_stops_early_leaves_nothing_open(tmp_path):
    path = written(tmp_path, HEADER + "a,1,1,1,1,0,?\n" * 500_000)
    batches = read_batches(path, COLUMNS, batch_rows=10)
    assert next(batches).num_rows == 10
    batches.close()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_delimiter_byte_order_mark_quotes_and_compression(tmp_path, delimiter, name):
    text = '\ufeff"when","shop","fraud","x","paid","mcc"\r\n1,"a ""b""\nc",true,2,3,4\r\n\r\n2,d,0.0,2,3,4\r\n'
    rows = rows_of(written(tmp_path, text.replace(",", delimiter), name))
    assert rows["shop"] == ['a "b"\nc', "d"]
    assert rows["fraud"] == [1, 0]


def test_na_is_missing_as_a_number_and_a_country_as_a_category(tmp_path):
    assert rows_of(written(tmp_path, HEADER + "NA,1,NA,NaN,NA,0,?\n"))["shop"] == ["NA"]


def test_large_identifiers_keep_every_digit(tmp_path):
    path = written(tmp_path, HEADER + f"a,1,1,1,{2**53 + 1}.0,0,?\na,1,1,1,{2**62 + 1},0,?\na,1,1,1,3e2,0,?\n")
    assert rows_of(path)["mcc"] == [2**53 + 1, 2**62 + 1, 300]


@pytest.mark.parametrize("text", [HEADER, HEADER.strip(), HEADER + "\n\n"])
def test_a_header_alone_gives_no_batch(tmp_path, text):
    assert list(read_batches(written(tmp_path, text), COLUMNS)) == []


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a,1,N/A!,1,1,0,?", "line 3: x is 'N/A!', expected a number; correct or drop the row"),
        ("a,1,1,inf,1,0,?", "line 3: paid is 'inf', expected a finite number"),
        ("a,,1,1,1,0,?", "line 3: when is missing, expected a time in seconds"),
        ("a,1,1,1,4.5,0,?", "line 3: mcc is '4.5', expected a whole number"),
        ("a,1,1,1,1,2,?", "line 3: fraud is '2', expected 0 or 1"),
        ("a,1,1,1,1,,?", "line 3: fraud is missing, expected 0 or 1"),
        ("a,1,1", "line 3: 3 fields, expected 7, divided by ','; correct or drop the row"),
        ("a,1,1,1,1,0,?,8", "line 3: 8 fields, expected 7"),
        ('"a,1,1,1,1,0,?', "line 3: "),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path, row, fault):
    path = written(tmp_path, HEADER + "a,1,1,1,1,0,?\n" + row + "\na,1,1,1,1,0,?\n")
    with pytest.raises(InputError) as error:
        list(read_batches(path, COLUMNS))
    assert f"transactions.csv {fault}" in str(error.value)


def test_the_line_is_that_of_the_file_far_down_and_after_quoted_line_breaks(tmp_path):
    good = "a,1,1,1,1,0,?\n"
    path = written(tmp_path, HEADER + '"a\nb",1,1,1,1,0,?\n\n' + good * 400_000 + "a,1,1,oops,1,0,?\n" + good)
    with pytest.raises(InputError, match="line 400,005: paid is 'oops', expected a number"):
        list(read_batches(path, COLUMNS))


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes(HEADER.encode() + b"caf\xe9,1,1,1,1,0,?\n")
    with pytest.raises(InputError, match=r"line 2: shop is 'caf\\xe9', expected UTF-8 text"):
        list(read_batches(str(path), COLUMNS))


def test_a_missing_column_is_named_with_the_nearest(tmp_path):
    path = written(tmp_path, HEADER.replace("paid", "Paid"))
    with pytest.raises(InputError, match=r"no column 'paid' \(has shop, when, .*; nearest: 'Paid'\); name it under"):
        list(read_batches(path, COLUMNS))
    with pytest.raises(InputError, match="two columns or more are named 'x'"):
        header(written(tmp_path, "x,y,x\n"))


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv.gz", gzip.compress(HEADER.encode() * 999, mtime=0)[:-20], "cannot be read"),
        ("a.csv.gz", b"no gzip at all", "cannot be read"),
        ("a.parquet", b"PAR1 not really", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_is_none_is_an_input_error(tmp_path, name, content, fault):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=fault):
        list(read_batches(str(tmp_path / name), COLUMNS))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        header(str(tmp_path / "none.csv"))


# Parquet


def parquet(folder: Path, **columns: pa.Array) -> str:
    values = {"when": [1.0], "x": [1.0], "paid": [1.0], "shop": ["a"], "mcc": [1], "fraud": [0], **columns}
    path = folder / "transactions.parquet"
    pq.write_table(pa.table(values), path)
    return str(path)


def test_parquet_types_become_those_of_a_csv(tmp_path):
    path = parquet(
        tmp_path,
        when=pa.array([1], pa.int32()),
        x=pa.array([float("nan")], pa.float32()),
        paid=pa.array([None], pa.decimal128(10, 2)),
        shop=pa.array([150.0]),
        mcc=pa.array([5411.0]),
        fraud=pa.array([True]),
    )
    expected = {"when": [1.0], "x": [None], "paid": [None], "shop": ["150.0"], "mcc": [5411], "fraud": [1]}
    assert rows_of(path) == expected
    dictionary = parquet(tmp_path, shop=pa.array([""]).dictionary_encode(), mcc=pa.array(["7.0"]))
    assert rows_of(dictionary)["shop"] == [None]
    assert rows_of(dictionary)["mcc"] == [7]


def test_parquet_timestamps_are_times(tmp_path):
    moment = pd.Timestamp("2013-09-01 12:00:00.25")
    iso = COLUMNS.model_copy(update={"time_format": "iso8601"})
    path = parquet(tmp_path, when=pa.array([moment]))
    (text,) = rows_of(path, iso)["when"]
    assert text.startswith("2013-09-01T12:00:00.25")
    assert rows_of(path, COLUMNS.model_copy(update={"time_format": "epoch"}))["when"] == [1378036800]
    assert rows_of(path, COLUMNS.model_copy(update={"time_format": "epoch_ms"}))["when"] == [1378036800250]
    with pytest.raises(InputError, match=r"when is of type timestamp.*time_format: iso8601"):
        rows_of(path)
    zoned = parquet(tmp_path, when=pa.array([moment.tz_localize("Europe/Brussels")]))
    (batch,) = read_batches(zoned, iso, ["when"])
    assert batch.column(0)[0].as_py().endswith("Z")
    assert seconds(batch.column(0), "iso8601").tolist() == [1378029600.25]


def test_a_bad_parquet_row_is_named_by_number(tmp_path):
    path = parquet(
        tmp_path, **{name: pa.array([1.0, 1.0]) for name in ("when", "x", "mcc")}, paid=pa.array([1.0, np.inf]),
        shop=pa.array(["a", "b"]), fraud=pa.array([0, 1]),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"transactions.parquet row 2: paid is inf, expected a finite number"):
        rows_of(path)


# All formats agree

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "when": st.floats(0, 1e9),
            "x": st.none() | NUMBERS,
            "paid": st.none() | st.floats(0, 1e6),
            "shop": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=9),
            "mcc": st.none() | st.integers(-(2**63), 2**63 - 1),
            "fraud": st.integers(0, 1),
        }
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, batch_rows=st.integers(1, 40))
def test_csv_gzip_and_parquet_give_the_same_rows(tmp_path, rows, batch_rows):
    import csv

    expected = {name: [row[name] for row in rows] for name in COLUMNS.raw_kinds} | {
        "fraud": [row["fraud"] for row in rows]
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows([{name: "" if v is None else v for name, v in row.items()} for row in rows])
    types = {"shop": pa.string(), "mcc": pa.int64(), "fraud": pa.int64()}
    table = pa.table({name: pa.array(values, types.get(name, pa.float64())) for name, values in expected.items()})
    pq.write_table(table, tmp_path / "rows.parquet")
    paths = [written(tmp_path, text.getvalue(), name) for name in ("rows.csv", "rows.csv.gz")]
    for path in [*paths, str(tmp_path / "rows.parquet")]:
        assert rows_of(path, batch_rows=batch_rows) == expected


# Parts

# Cells with what a reader may stumble on: quotes, line breaks, delimiters, a byte order mark where none belongs.
CELLS = st.lists(st.sampled_from(["a", '"', "\n", "\r\n", ",", ";", " ", "é", "\ufeff"]), max_size=6).map("".join)


@st.composite
def csv_texts(draw: st.DrawFn) -> str:
    """A CSV file of shop, when, fraud, with quotes where they are needed and sometimes where they are not."""
    end = draw(st.sampled_from(["\n", "\r\n"]))
    lines = [draw(st.sampled_from(["", "\ufeff"])) + draw(st.sampled_from(["shop,when,fraud", '"shop","when",fraud']))]
    for when, cell in enumerate(draw(st.lists(CELLS, max_size=25))):
        quoted = draw(st.booleans()) or any(character in cell for character in '",\n\r')
        shop = '"{}"'.format(cell.replace('"', '""')) if quoted else cell
        lines += [""] * draw(st.integers(0, 1)) + [f"{shop},{when},{when % 2}"]
    return end.join(lines) + draw(st.sampled_from(["", end, end * 2]))


PARTED = Columns(label="fraud", time="when", categorical=["shop"])


def rows_of_parts(path: str, columns: Columns, pieces: list[readers.Part], batch_rows: int = 65_536) -> list[dict]:
    """The rows of one part after another."""
    read = (batch for piece in pieces for batch in read_batches(path, columns, batch_rows=batch_rows, part=piece))
    return [row for batch in read for row in batch.to_pylist()]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=csv_texts(), part_bytes=st.integers(1, 120), scan_bytes=st.integers(1, 50), batch_rows=st.integers(1, 9))
def test_the_parts_of_a_csv_file_have_its_rows(tmp_path, text, part_bytes, scan_bytes, batch_rows):
    path = written(tmp_path, text)
    (file,) = find_files(path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(readers, "_SCAN_BYTES", scan_bytes)
        pieces = readers.parts(file, part_bytes)
    assert [piece.start for piece in pieces[1:]] == [piece.stop for piece in pieces[:-1]]
    assert (pieces[0].start, pieces[-1].stop) == (0, None)
    assert all(len(text.encode()[p.start : p.stop]) >= part_bytes for p in pieces[:-1])

    rows = [row for batch in read_batches(path, PARTED) for row in batch.to_pylist()]
    assert rows_of_parts(path, PARTED, pieces, batch_rows) == rows


def parts_of(path: str, part_bytes: int) -> list[readers.Part]:
    (file,) = find_files(path)
    return readers.parts(file, part_bytes)


def test_a_large_file_has_parts_of_one_size_and_a_small_or_gzipped_one_is_whole(tmp_path):
    text = "a,1,1,1,1,0,?\n" * 1000
    path = written(tmp_path, HEADER + text)
    sizes = [(part.stop or len(HEADER + text)) - part.start for part in parts_of(path, 4000)]
    assert len(sizes) == 3
    assert max(sizes) - min(sizes) < 50
    assert parts_of(path, 7100) == [readers.WHOLE]
    assert parts_of(written(tmp_path, HEADER + text, "a.csv.gz"), 10) == [readers.WHOLE]


@pytest.mark.parametrize("row", ['5" pipe,1,1,1,1,0,"a\nb"', '"a"b"c,1,1,1,1,0,"a\nb"', ' "a",1,1,1,1,0,"a\nb"'])
def test_a_file_is_not_cut_where_a_quote_stands_within_a_field(tmp_path, row):
    """Such a quote is text to readers, and would make the line break after it look like one within quotes."""
    path = written(tmp_path, HEADER + f"{row}\n" * 100)
    assert parts_of(path, 100) == [readers.WHOLE]
    assert len(rows_of(path)["x"]) == 100


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a,1,1,oops,1,0,?", "line {}: paid is 'oops', expected a number; correct or drop the row"),
        ("a,1,1", "line {}: 3 fields, expected 7, divided by ','; correct or drop the row"),
        ("caf\udce9,1,1,1,1,0,?", "line {}: shop is 'caf\\xe9', expected UTF-8 text"),
    ],
)
def test_a_fault_in_a_part_is_named_with_its_line_in_the_file(tmp_path, row, fault, end):
    good = "a,1,1,1,1,0,?\n"
    text = 'shop,when,x,paid,mcc,fraud,"un\nused"\n' + '"a\nb",1,1,1,1,0,?\n\n' + good * 100 + row + "\n" + good * 100
    path = tmp_path / "transactions.csv"
    path.write_bytes(text.replace("\n", end).encode("utf-8", "surrogateescape"))
    pieces = parts_of(str(path), 200)
    assert len(pieces) > 10
    with pytest.raises(InputError) as error:
        rows_of_parts(str(path), COLUMNS, pieces)
    assert f"transactions.csv {fault.format(106)}" in str(error.value)


def test_a_quote_without_an_end_is_named_as_in_the_whole_file(tmp_path):
    path = written(tmp_path, HEADER + "a,1,1,1,1,0,?\n" * 50 + '"a,1,1,1,1,0,?\n' + "a,1,1,1,1,0,?\n" * 50)
    with pytest.raises(InputError) as whole:
        list(read_batches(path, COLUMNS))
    with pytest.raises(InputError) as parted:
        rows_of_parts(path, COLUMNS, parts_of(path, 100))
    assert str(parted.value) == str(whole.value)
    assert "line 52: " in str(whole.value)


def test_parquet_parts_are_row_groups_and_a_fault_is_named_with_its_row_in_the_file(tmp_path):
    names = ("when", "x", "paid", "mcc")
    table = pa.table({**dict.fromkeys(names, pa.array(range(100))), "shop": ["a"] * 100, "fraud": [0, 1] * 50})
    path = str(tmp_path / "transactions.parquet")
    pq.write_table(table, path, row_group_size=10)
    group = pq.ParquetFile(path).metadata.row_group(0).total_byte_size
    assert parts_of(path, 1) == [*(readers.Part(i, i + 1) for i in range(9)), readers.Part(9, None)]
    pieces = parts_of(path, group + 1)
    assert [piece.start for piece in pieces] == [0, 2, 4, 6, 8]
    assert [row["when"] for row in rows_of_parts(path, COLUMNS, pieces, 7)] == list(range(100))

    bad = table.set_column(5, "fraud", pa.array([0] * 57 + [2] + [0] * 42))
    pq.write_table(bad, path, row_group_size=10)
    with pytest.raises(InputError, match=r"transactions\.parquet row 58: fraud is 2, expected 0 or 1"):
        list(read_batches(path, COLUMNS, part=readers.Part(5, 6)))


# Remote files


@pytest.fixture
def bucket() -> Iterator[dict[str, bytes]]:
    InMemory.files.clear()
    yield InMemory.files
    InMemory.files.clear()


def test_a_remote_folder_reads_like_a_local_one(bucket, tmp_path):
    text = HEADER + "a,1,1,1,1,0,?\nb,2,2,2,2,1,?\n"
    local = written(tmp_path, text)
    bucket["memory://bucket/data/a.csv"] = text.encode()
    bucket["memory://bucket/data/b.csv.gz"] = gzip.compress(text.encode())
    bucket["memory://bucket/data/c.parquet"] = Path(parquet(tmp_path)).read_bytes()
    bucket["memory://bucket/data/deeper/d.csv"] = text.encode()
    bucket["memory://bucket/data/a.card.yaml"] = b"name: a"
    files = find_files("memory://bucket/data")
    assert [file.path[-9:] for file in files] == ["ata/a.csv", "/b.csv.gz", "c.parquet"]
    assert files[0] == readers.DataFile("memory://bucket/data/a.csv", len(text), 1.5e9)
    bucket["memory://bucket/large.csv"] = (HEADER + "".join(f"a,{i},1,1,1,0,?\n" for i in range(30))).encode()
    pieces = parts_of("memory://bucket/large.csv", 50)
    assert len(pieces) > 5
    rows = rows_of_parts("memory://bucket/large.csv", COLUMNS, pieces)
    assert [row["when"] for row in rows] == list(range(30))
    assert rows_of(files[0].path) == rows_of(files[1].path) == rows_of(local)
    assert rows_of(files[2].path)["shop"] == ["a"]
    assert len(find_files("memory://bucket/data/*.csv*")) == 2
    assert len(find_files("memory://bucket/data/a.csv")) == 1
    with pytest.raises(InputError, match="memory://bucket/nothing: no transactions there"):
        find_files("memory://bucket/nothing")
    with pytest.raises(InputError, match="cannot be read"):
        header("memory://bucket/none.csv")
    with pytest.raises(InputError, match="cannot be listed"):
        find_files("nosuchscheme://bucket/data")
    bucket["memory://bucket/bad.csv"] = (text + "c,1,1,x,1,0,?\n").encode()
    with pytest.raises(InputError, match=r"memory://bucket/bad\.csv line 4: paid is 'x'"):
        list(read_batches("memory://bucket/bad.csv", COLUMNS))


def test_raw_batches_leave_text_alone(tmp_path):
    (batch,) = raw_batches(written(tmp_path, "a,b\n007,NA\n"))
    assert batch.to_pydict() == {"a": ["007"], "b": ["NA"]}


def test_names_have_to_have_a_role(tmp_path):
    with pytest.raises(ValueError, match="unused"):
        read_batches(written(tmp_path, HEADER), COLUMNS, ["unused"])


def test_importing_brings_neither_tensorflow_nor_beam():
    code = textwrap.dedent(
        """
        import sys
        import components.reading.readers, pipeline.data.sources, pipeline.data.describe, pipeline.data.propose
        found = {"tensorflow", "tfx", "apache_beam", "plotly"} & set(sys.modules)
        assert not found, found
        """
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


def test_real_rows(real_rows):
    columns = Columns(label="Class", time="Time", amount="Amount", numeric=[f"V{i}" for i in range(1, 29)])
    table = pa.Table.from_batches(list(read_batches(str(real_rows), columns, batch_rows=1000)))
    frame = pd.read_csv(real_rows, float_precision="round_trip").astype({"Time": float})
    pd.testing.assert_frame_equal(table.to_pandas(), frame[list(table.column_names)], check_exact=True)


def test_a_number_beyond_float32_is_refused_where_its_line_is_known(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("amount,fraud\n3e38,0\n1e39,1\n")
    columns = Columns(label="fraud", amount="amount")
    with pytest.raises(InputError, match="line 3: amount is '1e39', expected a finite number"):
        list(read_batches(str(tmp_path / "data.csv"), columns))
