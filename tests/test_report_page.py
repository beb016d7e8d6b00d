"""The HTML frame: escaped, and complete without a network."""

from __future__ import annotations

import base64
import gzip
import html
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs

from components.report.page import page, plot, table
from components.report.palette import LIGHT
from tests.support.browser import Browser
from tests.support.small_page import EVIL, Section

# What XML and HTML allow in a text; a parser turns a carriage return into a line feed.
texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]), max_size=20)
marked_up = st.one_of(texts, st.sampled_from([EVIL, "a & b", "&lt;", '"><img src=x>', "</table>"]))


@settings(deadline=None)
@given(header=st.lists(marked_up, min_size=1, max_size=3), data=st.data())
def test_a_table_shows_its_cells_letter_by_letter_and_adds_no_tag(header: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(marked_up, min_size=len(header), max_size=len(header)), max_size=3))
    read = Section([table(header, rows)])
    assert read.cells == [header, *rows]
    assert read.text == ""
    assert read.tags == {"div", "table", "thead", "tbody", "tr", "th"} | ({"td"} if rows else set())


@pytest.mark.parametrize(
    ("text", "shown"),
    [("\x1b[31mcard", r"\x1b[31mcard"), ("a\x00b\x9f", r"a\x00b\x9f"), ("\u202edrac", r"\u202edrac"), ("a\tb", "a\tb")],
)
def test_what_a_browser_would_hide_or_obey_is_written_out(text: str, shown: str) -> None:
    assert Section([table([text], [])]).cells == [[shown]]


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


# ---- in a browser


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with a plot, whose colours are those of the page."""
    import plotly.graph_objects as go

    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name="<b>line</b>"))
    figure.update_xaxes(title_text="x")
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page("Page", plot(figure, 300, name="some-plot"), plotly=True))
    return path


INK = "getComputedStyle(document.body).color"
TEXTS = "[...document.querySelectorAll('#some-plot text')].map(text => getComputedStyle(text).fill)"


def test_a_plot_is_drawn_in_the_colours_of_the_page_also_when_they_change(browser: Browser, document: Path) -> None:
    with browser.page(scheme="dark") as shown:
        shown.open(document)
        for scheme in ("dark", "light", "dark"):
            shown.scheme(scheme)
            shown.wait_for(f"({TEXTS}).every(fill => fill === {INK})")
            assert len(shown.evaluate(TEXTS)) > 4
        assert shown.errors == []
        assert shown.outside == []


def test_on_paper_a_plot_is_dark_on_white_and_no_wider_than_the_paper(browser: Browser, document: Path) -> None:
    with browser.page(scheme="dark") as shown:
        shown.open(document)
        shown.evaluate("dispatchEvent(new Event('beforeprint'))")
        shown.wait_for("document.querySelector('#some-plot svg').clientWidth === 680")
        light = tuple(int(LIGHT.ink[start : start + 2], 16) for start in (1, 3, 5))
        assert set(shown.evaluate(TEXTS)) == {f"rgb{light}"}
        shown.evaluate("dispatchEvent(new Event('afterprint'))")
        shown.wait_for("document.querySelector('#some-plot svg').clientWidth > 900")
        shown.wait_for(f"({TEXTS}).every(fill => fill === {INK})")


def test_a_plot_is_drawn_in_a_frame_that_may_run_scripts_and_nothing_else(
    browser: Browser, document: Path, tmp_path: Path
) -> None:
    """As Kubeflow Pipelines shows it."""
    listen = "document.addEventListener('plots-drawn', () => parent.postMessage(document.title, '*'))"
    inner = html.escape(document.read_text().replace("<body>", f"<body><script>{listen}</script>"))
    outer = tmp_path / "outer.html"
    outer.write_text(
        "<script>addEventListener('message', event => { window.heard = event.data })</script>"
        f'<iframe sandbox="allow-scripts" srcdoc="{inner}"></iframe>'
    )
    with browser.page() as shown:
        shown.open(outer)
        assert shown.wait_for("window.heard") == "Page"
        assert shown.errors == []


def test_a_browser_that_cannot_unpack_the_library_says_so(browser: Browser, document: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.html"
    old.write_text(document.read_text().replace("<body>", "<body><script>delete window.DecompressionStream</script>"))
    with browser.page() as shown:
        shown.open(old)
        assert "This browser cannot unpack the library that draws it" in shown.text("#some-plot")
        assert shown.errors == []


def test_a_plot_that_fails_says_so_and_leaves_the_others_alone(browser: Browser, tmp_path: Path) -> None:
    import plotly.graph_objects as go

    broken, whole = (plot(go.Figure(go.Scatter(y=[1, 2])), 200, name=name) for name in ("broken", "whole"))
    path = tmp_path / "page.html"
    path.write_text(page("Page", str(broken).replace('"data":[', '"data":[null,') + str(whole), plotly=True))
    with browser.page() as shown:
        shown.open(path)
        assert shown.evaluate("document.documentElement.dataset.plots") == "drawn"
        assert shown.text("#broken").startswith("This plot cannot be drawn: ")
        assert shown.evaluate("!!document.querySelector('#whole svg')")
        shown.scheme("dark")
        shown.wait_for(f"({TEXTS}).every(fill => fill === {INK})".replace("#some-plot", "#whole"))
        assert shown.errors == []


def test_a_damaged_library_is_told_in_place_of_each_plot(browser: Browser, document: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.html"
    damaged.write_text(document.read_text().replace('id="plotly">', 'id="plotly">AAAA'))
    with browser.page() as shown:
        shown.open(damaged)
        assert shown.evaluate("document.documentElement.dataset.plots") == "drawn"
        assert shown.text("#some-plot").startswith("This plot cannot be drawn: ")


def test_without_scripts_there_is_a_sentence_in_place_of_a_plot(document: Path) -> None:
    (sentence,) = re.findall(r"<noscript>(.*?)</noscript>", document.read_text())
    assert sentence == "This is a plot, which needs JavaScript."
