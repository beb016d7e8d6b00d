"""The review's notebook on the shared run: it runs from top to bottom, and its page shows what the run came to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "review.ipynb"
FACETS = (
    "https://cdnjs.cloudflare.com/ajax/libs/webcomponentsjs/",
    "https://raw.githubusercontent.com/PAIR-code/facets/",
)


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
    assert done.returncode == 0, done.stderr
    return folder / "review.html"


def convert(workspace: str, of: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `make notebook` does with a workspace, in the folder `of`."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "nbconvert", "--config", str(NOTEBOOK.with_name("nbconvert_config.py"))),
            *("--execute", "--to", "html", "--output-dir", str(folder), str(NOTEBOOK)),
        ],
        cwd=of,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FRAUD_PIPELINE_WORKSPACE": workspace, **environment},
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
    assert "Blessed: meets the thresholds" in page
    assert page.count("facets-overview") >= 2
    # of the schema, the anomalies, TFMA's table of slices, its validation and the search
    for shown in ("Valency", "No anomalies found", "amount:below 10", "validation: passed", "Learned: "):
        assert shown in page, shown
    assert "Traceback" not in page


def test_its_page_asks_the_network_for_facets_alone(browser, page_of_first):
    with browser.page() as page:
        page.open(page_of_first)
        assert page.overflow == 0, page.too_wide
        assert "Review of a run" in page.text("h1")
        assert [address for address in page.outside if not address.startswith(FACETS)] == []
