"""The review's notebook on the shared run: it runs from top to bottom, and its page shows what the run came to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from components.report.summary import figure_rows, read_summary
from pipeline.notebook import LOG

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "review.ipynb"
# In the ways of Python, of its warnings and of C++ code.
NOISY = """
import os, sys, warnings
print("WARNING: noise of a library", file=sys.stderr)
warnings.warn("noise of a warning")
os.write(2, b"E0000 00:00:1 noise of C++ code\\n")
print("for the reader")
"""


@pytest.fixture(scope="module")
def first(workspace) -> dict:
    assert workspace.first.code == 0, workspace.first.output
    return workspace.runs()[-1]


@pytest.fixture(scope="module")
def page_of_first(workspace, first, tmp_path_factory) -> Path:
    """The page that `make notebook` makes."""
    folder = tmp_path_factory.mktemp("notebook")
    # relative, as people type it
    done = convert(workspace.folder.name, workspace.folder.parent, folder, FRAUD_PIPELINE_RUN=first["run_id"])
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "review.html"


def convert(
    workspace: str, of: Path, folder: Path, notebook: Path = NOTEBOOK, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What `make notebook` does with a workspace, in the folder `of`."""
    # by which Jupyter's kernel knows a test, and leaves what C++ code writes where it is
    usual = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return subprocess.run(
        [
            *(sys.executable, "-m", "nbconvert", "--config", str(NOTEBOOK.with_name("nbconvert_config.py"))),
            *("--execute", "--to", "html", "--output-dir", str(folder), str(notebook)),
        ],
        cwd=of,
        env={**usual, "PYTHONPATH": str(ROOT), "FRAUD_PIPELINE_WORKSPACE": workspace, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_before_the_first_run_it_says_what_to_do(tmp_path):
    done = convert("workspace", tmp_path, tmp_path)
    assert done.returncode != 0
    assert f"no runs in {tmp_path / 'workspace'} yet; start one: fraud-pipeline run" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_notebook_is_kept_without_outputs():
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_its_page_has_every_view_of_the_run(page_of_first, first):
    page = page_of_first.read_text()
    assert first["run_id"] in page
    assert page.count("facets-overview") >= 2
    # of the schema, the anomalies, TFMA's table of slices, its validation and the search
    for shown in ("Valency", "No anomalies found", "amount:below 10", "validation: passed", "The Trainer takes: "):
        assert shown in page, shown
    assert "Traceback" not in page


def test_its_page_has_the_whole_verdict_and_nothing_cut(browser, page_of_first, first):
    summary = read_summary(str(Path(first["report"]).parent))
    assert summary.blessed
    with browser.page() as page:
        page.open(page_of_first)
        text = page.text()
        for sentence in (summary.origin, summary.weighting, f"{summary.verdict}.", *summary.remarks, summary.search):
            assert sentence in text
        for name, candidate, current in figure_rows(summary):
            assert f"{name}\t{candidate}\t{current}" in text
        assert "…" not in text
        assert " × " not in text  # how pandas says that there are more rows and columns than it shows


def test_its_page_is_light_or_dark_wide_or_narrow_and_asks_the_network_for_nothing(browser, page_of_first, tmp_path):
    with browser.page() as page:
        page.open(page_of_first)
        assert "Review of a run" in page.text("h1")
        brightness = {}
        for scheme in ("dark", "light"):
            page.scheme(scheme)
            for width in (390, 1400):
                page.resize(width)
                assert page.overflow == 0, (width, page.too_wide)
            for name in ("background-color", "color"):
                color = page.style("body", name)  # as rgb(13, 17, 23)
                brightness[scheme, name] = sum(map(int, re.findall(r"\d+", color)[:3]))
        assert brightness["dark", "background-color"] < 150 < 600 < brightness["light", "background-color"]
        assert page.texts("iframe") == []
        assert page.outside == []
        assert page.errors == []


def test_without_a_network_a_sentence_is_in_place_of_the_view_that_needs_one(browser, page_of_first):
    with browser.page() as page:
        page.open(page_of_first)
        page.click(".on-demand button")
        page.wait_for("/can't be reached.*table below/.test(document.querySelector('.on-demand').innerText)")
        assert page.texts("iframe") == []
        hosts = {urlsplit(address).hostname for address in page.outside}
        assert hosts == {"cdnjs.cloudflare.com", "raw.githubusercontent.com"}


def test_with_a_network_the_view_is_put_in_its_place(browser, page_of_first):
    with browser.page() as page:
        page.open(page_of_first)
        page.evaluate("window.fetch = () => Promise.resolve()")
        page.click(".on-demand button")
        page.wait_for("!!document.querySelector('iframe')?.contentDocument?.querySelector('facets-overview')")


def test_what_libraries_print_goes_to_the_log(workspace, tmp_path):
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [], "source": NOISY}
    noisy = {"cells": [cell], "metadata": json.loads(NOTEBOOK.read_text())["metadata"], "nbformat": 4}
    (tmp_path / "noisy.ipynb").write_text(json.dumps({**noisy, "nbformat_minor": 5}))
    done = convert(str(workspace.folder), tmp_path, tmp_path, tmp_path / "noisy.ipynb")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "noisy.html").read_text()
    assert "for the reader" in page
    log = (workspace.folder / "logs" / LOG).read_text()
    for noise in ("noise of a library", "noise of a warning", "noise of C++ code"):
        assert noise not in page
        assert noise in log
