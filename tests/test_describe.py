"""A description agrees with what pandas says of the same transactions, and its page is complete in itself."""

from __future__ import annotations

import functools
import html
import io
import math
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from rich.console import Console

from pipeline.data import describe
from tests.support.small_page import EVIL, Section
from trainer.columns import Columns
from trainer.errors import InputError

COLUMNS = Columns(label="fraud", time="when", amount="paid", numeric=("x", "y", "same"), categorical={"shop": "string"})


def frame_of(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(1e6, 1.0, rows)
    frame = pd.DataFrame(
        {
            "when": np.arange(rows) * 60.0,
            "x": x,
            "y": np.where(rng.random(rows) < 0.3, np.nan, x + rng.normal(0, 1, rows)),
            "same": 0.1,
            "paid": rng.lognormal(3, 1, rows).round(2),
            "shop": rng.choice(["a", "b", None], rows),
            "fraud": (rng.random(rows) < 0.05).astype(int),
        }
    )
    frame.loc[rng.random(rows) < 0.02, "paid"] = np.nan
    return frame


@pytest.fixture
def frame() -> pd.DataFrame:
    frame = frame_of(70_000, 1)
    return pd.concat([frame, frame.iloc[:25], frame.iloc[:5]])


@pytest.fixture
def path(frame, tmp_path) -> str:
    place = tmp_path / "transactions.csv"
    frame.to_csv(place, index=False)
    return str(place)


@pytest.fixture
def description(path) -> describe.Description:
    return describe.describe(path, COLUMNS)


def test_counts_agree_with_pandas(description, frame):
    assert description.rows == len(frame)
    assert description.frauds == frame.fraud.sum()
    assert description.duplicates == frame.duplicated().sum() == 30
    assert description.missing == frame[list(COLUMNS.raw_kinds)].isna().sum().to_dict()
    assert (description.start, description.end) == (0.0, 69_999 * 60.0)


def test_an_id_of_its_own_makes_no_transaction_another_one(frame, description, tmp_path):
    frame.assign(payment=range(len(frame))).to_csv(tmp_path / "named.csv", index=False)
    named = describe.describe(str(tmp_path / "named.csv"), COLUMNS.model_copy(update={"id": "payment"}))
    assert named.duplicates == description.duplicates == 30
    assert named.missing == description.missing


def test_amounts_are_those_that_pandas_prints(description, frame):
    expected = frame.paid.describe()
    pd.testing.assert_series_equal(description.amounts["all"], expected, check_names=False)
    pd.testing.assert_series_equal(
        description.amounts["fraud"], frame.paid[frame.fraud == 1].describe(), check_names=False
    )
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(describe.as_text(description))
    text = console.export_text()
    for line in expected.to_string().splitlines():
        assert line.split()[1] in text


def test_correlations_are_pairwise_as_in_pandas(description, frame):
    names = ["x", "y", "paid", "fraud"]
    pd.testing.assert_frame_equal(description.correlation.loc[names, names], frame[names].corr(), rtol=1e-6, atol=1e-9)
    assert description.correlation["same"].isna().all()


def test_histograms_hold_every_value(description, frame):
    histogram = description.histograms["y"]
    assert histogram.counts.sum(axis=1).tolist() == frame.groupby("fraud").y.count().tolist()
    assert histogram.edges[[0, -1]] == pytest.approx([frame.y.min(), frame.y.max()])


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(finite, st.one_of(finite, st.integers(0, 200)))
@example(1e17, 0)
@example(1e17, 1)
@example(5e-324, 0)
@example(-sys.float_info.max, sys.float_info.max)
@example(sys.float_info.max, 0)
def test_the_bins_of_any_range_are_distinct_and_hold_it(low: float, high: float) -> None:
    """high: a number, or how many floats lie between the two."""
    if isinstance(high, int):
        high = functools.reduce(math.nextafter, [math.inf] * high, low)
        assume(math.isfinite(high))
    low, high = sorted((low, high))
    with np.errstate(over="raise", invalid="raise"):
        edges = describe.bin_edges(low, high)
        counts, _ = np.histogram([low, high], edges)
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()
    assert counts.sum() == 2


def test_a_range_that_floats_tell_apart_is_divided_as_numpy_does() -> None:
    for low, high in ((0.0, 1.0), (-3.0, 7.5), (2.0, 2.0)):
        assert describe.bin_edges(low, high) == pytest.approx(
            np.histogram_bin_edges(np.array([]), describe.BINS, (low, high))
        )


def test_constants_and_neighbours_are_described(tmp_path: Path) -> None:
    values = {"large": [1e17, 1e17], "near": [1e17, 1e17 + 16], "tiny": [5e-324, 0.0], "wide": [-3e38, 3e38]}
    pd.DataFrame({**values, "paid": [3e38, 3e38], "fraud": [0, 1]}).to_csv(tmp_path / "odd.csv", index=False)
    odd = describe.describe(str(tmp_path / "odd.csv"), Columns(label="fraud", numeric=tuple(values), amount="paid"))
    assert {name: int(histogram.counts.sum()) for name, histogram in odd.histograms.items()} == dict.fromkeys(
        [*values, "paid"], 2
    )
    assert len(describe.page_values(odd)["histograms"]) == len(values) + 1


def test_a_folder_is_described_as_a_whole(tmp_path):
    parts = [frame_of(50, 1), frame_of(70, 2)]
    parts[0].to_csv(tmp_path / "a.csv", index=False)
    parts[1].to_parquet(tmp_path / "b.parquet")
    assert describe.describe(str(tmp_path), COLUMNS).rows == 120


def test_a_duplicate_is_found_in_another_file_with_gaps(tmp_path):
    (tmp_path / "a.csv").write_text("code,shop,fraud\n7,,0\n,a,0\n")
    (tmp_path / "b.csv").write_text("code,shop,fraud\n7,,0\n8,a,0\n")
    columns = Columns(label="fraud", categorical={"code": "integer", "shop": "string"})
    assert describe.describe(str(tmp_path), columns).duplicates == 1


def test_a_sample_is_weighted_by_its_card(path, frame):
    Path(path).with_name("transactions.card.yaml").write_text(
        "name: mine <script>\nsampling_rates: {fraud: 0.5, legitimate: 0.1}\n"
    )
    described = describe.describe(path, COLUMNS)
    frauds = int(frame.fraud.sum())
    everyone = frauds * 2 + (len(frame) - frauds) * 10
    weights = np.where(frame.fraud == 1, 2, 10)
    means = frame.groupby("fraud").paid.mean()
    mean = (means[1] * frauds * 2 + means[0] * (len(frame) - frauds) * 10) / weights.sum()
    assert f"stand for {everyone:,} transactions with {2 * frauds:,} frauds" in described.weighted
    assert f"mean paid {mean:,.2f}" in described.weighted
    page = describe.as_html(described)
    assert "mine <script>" not in page
    assert "mine &lt;script&gt;" in page


def test_no_rows_or_only_legitimate_ones(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("when,x,y,same,paid,shop,fraud\n")
    with pytest.raises(InputError, match="a header but no rows"):
        describe.describe(str(path), COLUMNS)
    path.write_text("when,x,y,same,paid,shop,fraud\n1,1,,1,2,a,0\n")
    described = describe.describe(str(path), COLUMNS)
    assert described.frauds == 0
    assert "y" not in described.histograms
    assert "0 (0 %)" in describe.as_html(described)


def test_roles_without_time_amount_and_numbers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("shop,fraud\na,0\na,1\n")
    described = describe.describe(str(path), Columns(label="fraud", categorical={"shop": "string"}))
    assert described.amounts is None
    assert described.weighted is None
    assert "Histograms" not in describe.as_html(described)
    Console(file=io.StringIO()).print(describe.as_text(described))


def test_dates_are_shown_as_dates(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("when,fraud\n2013-09-01T00:00:00Z,0\n2013-09-03T12:00:00Z,1\n")
    described = describe.describe(str(path), Columns(label="fraud", time="when", time_format="iso8601"))
    assert "2013-09-01 00:00:00 to 2013-09-03 12:00:00 UTC, 60.0 hours" in describe.as_html(described)


def test_the_page_asks_the_network_for_nothing(description):
    page = describe.as_html(description)
    assert not re.search(r"<(script|img|iframe)[^>]*\ssrc=|<link\b|@import|MathJax\.js", page)
    assert page.count('<div class="plot">') == len(description.histograms) + 2
    assert "prefers-color-scheme" in page
    assert "width=device-width" in page
    assert f"<title>{description.origin}</title>" in page


def test_of_very_many_columns_those_are_plotted_that_go_with_fraud(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"n{i}" for i in range(describe.PLOTTED + 20)]
    frame = pd.DataFrame(rng.normal(size=(200, len(names))), columns=names)
    frame["fraud"] = (frame["n70"] > 1).astype(int)
    frame.to_csv(tmp_path / "a.csv", index=False)
    described = describe.describe(str(tmp_path), Columns(label="fraud", numeric=tuple(names)))
    page = describe.as_html(described)
    assert page.count('<div class="plot">') == describe.PLOTTED + 1
    assert '"text":"n70"' in page
    assert f"Of the {describe.PLOTTED} columns that correlate most with fraud, the share" in page


def test_names_of_the_data_are_text(tmp_path):
    frame = frame_of(60, 3).rename(columns={"x": EVIL, "paid": f"{EVIL}amount"})
    frame.to_csv(tmp_path / "a.csv", index=False)
    columns = Columns(label="fraud", amount=f"{EVIL}amount", numeric=(EVIL,))
    page = describe.as_html(describe.describe(str(tmp_path), columns))
    assert "<script>alert" not in page
    drawn = Section(page.partition("<body>")[2]).plots
    titles = [plot["layout"]["title"]["text"] for plot in drawn if "title" in plot["layout"]]
    assert titles == [html.escape(EVIL), html.escape(f"{EVIL}amount")]
    (heat,) = (trace for plot in drawn for trace in plot["traces"] if trace["type"] == "heatmap")
    assert heat["x"] == heat["y"] == [*titles, "fraud"]


def test_the_real_rows(real_rows):
    columns = Columns(label="Class", time="Time", amount="Amount", numeric=[f"V{i}" for i in range(1, 29)])
    described = describe.describe(str(real_rows), columns)
    assert (described.rows, described.frauds, described.duplicates) == (24_946, 402, 0)
    assert "stand for 283,727 transactions with 473 frauds (0.167 %), mean Amount 88.14" in described.weighted
