"""Times in every format become seconds; what is none is named."""

from __future__ import annotations

import re
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.reading.readers import read_batches
from components.reading.times import times
from components.reading.values import ValueFault, seconds
from trainer.columns import Columns
from trainer.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2013-09-01T00:00:00Z", 1377993600.0),
        ("2013-09-01 00:00:00", 1377993600.0),
        ("2013-09-01", 1377993600.0),
        ("2013-09-01T02:00:00.125+02:00", 1377993600.125),
        ("2013-08-31T22:30-0130", 1377993600.0),
        ("1969-12-31T23:59:59.5Z", -0.5),
        ("2013-09-01T00:00:00.123456789Z", 1377993600.1234567),
    ],
)
def test_iso_8601(text, expected):
    assert seconds(pa.array([text, text]), "iso8601") == pytest.approx([expected] * 2, abs=1e-6)


def test_numbers_as_times():
    assert seconds(pa.array([1, 2]), "epoch").tolist() == [1.0, 2.0]
    assert seconds(pa.array([1500]), "epoch_ms").tolist() == [1.5]
    assert seconds(pa.array([0.5]), "seconds").dtype == np.float64
    assert seconds(pa.chunked_array([["2013-09-01"], ["2013-09-02"]]), "iso8601")[1] == 1378080000.0
    assert seconds(pa.array([], pa.string()), "iso8601").tolist() == []


@pytest.mark.parametrize("text", ["2013-13-01", "01.09.2013", "2013-09-01T25:00:00", "yesterday", "", None])
def test_an_unreadable_time(tmp_path, text):
    with pytest.raises(InputError, match=r"row 2 is .*, expected a time as ISO 8601"):
        seconds(pa.array(["2013-09-01", text]), "iso8601")
    path = tmp_path / "transactions.csv"
    path.write_text(f'when,fraud\n2013-09-01,0\n"{text or ""}",0\n')
    columns = Columns(label="fraud", time="when", time_format="iso8601")
    with pytest.raises(InputError, match=r"line 3: when is .*, expected a time as ISO 8601"):
        list(read_batches(str(path), columns))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.timezones()), min_size=1, max_size=9))
def test_any_date_with_an_offset(moments):
    # Local mean times, of before the zones, have an offset with seconds, which ISO 8601 does not know.
    texts = {moment.isoformat(): moment.timestamp() for moment in moments}
    texts = {text: moment for text, moment in texts.items() if re.search(r":\d\d(\.\d+)?[+-]\d\d:\d\d$", text)}
    times = seconds(pa.array(list(texts), pa.string()), "iso8601")
    assert times == pytest.approx(list(texts.values()), abs=1e-4)


@pytest.mark.parametrize(
    ("values", "time_format", "zone", "expected"),
    [
        (["2024-07-01T10:00:00"], "iso8601", "Europe/Berlin", ["2024-07-01T10:00:00+02:00"]),
        (["2024-07-01T10:00:00Z"], "iso8601", "Europe/Berlin", ["2024-07-01T12:00:00+02:00"]),
        (["2024-03-31T02:30:00"], "iso8601", "Europe/Berlin", ["2024-03-31T03:00:00+02:00"]),
        (["2024-10-27T02:30:00"], "iso8601", "Europe/Berlin", ["2024-10-27T02:30:00+02:00"]),
        ([1704071267], "epoch", "America/New_York", ["2023-12-31T20:07:47-05:00"]),
        ([1704071267500], "epoch_ms", "Asia/Kolkata", ["2024-01-01T06:37:47.500+05:30"]),
        (["45292.5"], "spreadsheet", None, ["2024-01-01T12:00:00"]),
        (["31.01.2024 10:00 +0200"], "%d.%m.%Y %H:%M %z", None, ["2024-01-31T10:00:00+0200"]),
        (["1012024", "31122024"], "%d%m%Y", None, ["2024-01-01T00:00:00", "2024-12-31T00:00:00"]),
        ([-1], "epoch_us", None, [-1]),
        (["1.5"], "epoch_fractional", None, [1500]),
        (["2", None], "hours", None, [7200.0, None]),
    ],
)
def test_times_of_every_format(values, time_format, zone, expected):
    assert times(pa.array(values), time_format, zone).to_pylist() == expected


@pytest.mark.parametrize(
    ("values", "time_format", "fault"),
    [
        (["31/01/2024", "x"], "%d/%m/%Y", "'x', expected a time such as 31/03/2024"),
        (["-3"], "spreadsheet", "expected a spreadsheet's serial number"),
        (["noon"], "spreadsheet", "expected a spreadsheet's serial number"),
        (["noon"], "hours", "expected a time in hours"),
        (["1.5"], "epoch_ns", "expected a time in nanoseconds since 1970"),
        (["3000-01-01"], "iso8601", "between the years 1678 and 2262"),
    ],
)
def test_a_fault_says_what_was_expected(values, time_format, fault):
    zone = "Europe/Berlin" if time_format == "iso8601" else None
    with pytest.raises(ValueFault, match=fault):
        times(pa.array(values), time_format, zone)
