"""What the notebook shows of a run, and what it keeps from view."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from components.report.summary import Summary
from pipeline import notebook
from pipeline.runs import Run

ROOT = Path(__file__).resolve().parents[1]

SUMMARY = Summary(
    origin="Transactions from <b>cards</b>.csv",
    weighting="Each counts once.",
    splits=[],
    metrics={},
    current_metrics={},
    current_version="7",
    blessed=False,
    reasons=["average precision 0.1 is below 0.5", "it costs 5 EUR & more", "ROC-AUC 0.4 is below 0.8"],
    pushed_to="",
    pushed_version="",
    threshold=0.5,
    findings=[{"column": "V<2>"}, {"column": "V1"}, {"column": "V1"}],
    search="Trial 3 is the best",
    notes=["The costs make it cheapest to stop nothing"],
)


def test_the_verdict_has_every_reason_and_remark():
    html = notebook.verdict(SUMMARY)
    for sentence in (
        *("Transactions from &lt;b&gt;cards&lt;/b&gt;.csv", "Not blessed:", *SUMMARY.reasons[::2]),
        *("it costs 5 EUR &amp; more", "The costs make it cheapest to stop nothing.", "Trial 3 is the best."),
        *("Drift against the training data: V1, V&lt;2&gt;.", "The model was not pushed"),
    ):
        assert sentence in html
    assert html.count("<li>") == 7
    assert 'class="verdict bad"' in html
    blessed = notebook.verdict(replace(SUMMARY, blessed=True, reasons=[], findings=[], search=""))
    assert "Blessed: meets the thresholds and is no worse than version 7 in service." in blessed
    assert 'class="verdict good"' in blessed


def test_what_is_known_of_a_run_is_in_words():
    run = Run("r1", "fraud", 0.0, 61.4, "done", "cards.csv", 0.8, False, None, "", "report.html")
    facts = notebook.facts(run)
    assert (facts["run"], facts["duration"], facts["blessed"]) == ("r1", "61 s", "no")
    assert facts["pushed"] == "did not get that far"


def test_what_the_network_has_is_shown_when_it_is_asked_for(browser, tmp_path):
    html = """<p>It ends here: </script><!-- <script> --></p><script>
      // http://example.invalid/program.js
      document.body.insertAdjacentHTML("beforeend", '<p id="ran"><\\/p>');
    </script>"""
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><body>{notebook.on_demand(html)}</body>")
    with browser.page() as page:
        page.open(tmp_path / "page.html")
        assert page.outside == []
        page.click("button")
        page.wait_for("document.body.innerText.includes('example.invalid can\\'t be reached')")
        assert page.outside == ["http://example.invalid/program.js"]
        page.evaluate("window.fetch = () => Promise.resolve()")
        page.click("button")
        page.wait_for("document.querySelectorAll('#ran').length === 1")
        assert "It ends here:" in page.text()


def test_what_needs_no_network_is_shown_at_once():
    assert notebook.on_demand("<p>Empty dataset.</p>") == "<p>Empty dataset.</p>"


def test_what_libraries_print_while_they_are_imported_goes_to_the_log(tmp_path):
    code = """
import logging, os, sys
from pathlib import Path
from pipeline.notebook import quiet_imports
with quiet_imports(Path(sys.argv[1])):
    os.write(2, b"noise of C++ code\\n")
    print("noise of Python", file=sys.stderr, flush=True)
print("after", file=sys.stderr, flush=True)
logging.getLogger("apache_beam.io").warning("noise of Beam")
logging.getLogger("mine").warning("a warning")
"""
    log = tmp_path / "logs" / "notebook.log"
    done = subprocess.run([sys.executable, "-c", code, str(log)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["after", "a warning"]
    assert log.read_text().splitlines() == ["noise of C++ code", "noise of Python"]
