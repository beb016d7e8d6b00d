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
from components.reading.values import seconds
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
