"""The HTML frame: escaped, and complete without a network."""

from __future__ import annotations

import base64
import gzip
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs

from components.report.page import page, table
from tests.support.small_page import EVIL, Section

# What XML and HTML allow in a text; a parser turns a carriage return into a line feed.
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
marked_up = st.one_of(texts, st.sampled_from([EVIL, "a & b", "&lt;", '"><img src=x>', "</table>"]))


@settings(deadline=None)
@given(header=st.lists(marked_up, min_size=1, max_size=3), data=st.data())
def test_a_table_shows_its_cells_letter_by_letter_and_adds_no_tag(header: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(marked_up, min_size=len(header), max_size=len(header)), max_size=3))
    read = Section([table(header, rows)])
    assert read.cells == [header, *rows]
    assert read.text == ""
    assert read.tags == {"div", "table", "thead", "tbody", "tr", "th"} | ({"td"} if rows else set())


def test_cells_that_are_no_text_are_shown_as_python_prints_them() -> None:
    assert Section([table(["n"], [[1], [None], [2.5]])]).cells == [["n"], ["1"], ["None"], ["2.5"]]


def test_a_page_is_a_whole_document_with_the_title_escaped() -> None:
    document = page("Fraud <b> & co", "<p>body</p>")
    assert document.startswith("<!doctype html>")
    assert document.rstrip().endswith("</html>")
    assert "<title>Fraud &lt;b&gt; &amp; co</title>" in document
    assert "<h1>Fraud &lt;b&gt; &amp; co</h1>\n<p>body</p>" in document
    assert "<b>" not in document


def test_the_plotting_library_is_inside_packed_and_only_where_it_is_wanted() -> None:
    assert "<script" not in page("t", "")
    packed = re.search(r'<script type="text/plain" id="plotly">(.*?)</script>', page("t", "", plotly=True))
    assert packed
    assert gzip.decompress(base64.b64decode(packed[1])).decode() == get_plotlyjs()
