"""What a reader sees: the report and TensorBoard of the shared run, in a real browser."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import load
from tests.support.browser import JavaScriptError

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("Report:", "TensorBoard:")


@pytest.fixture(scope="module")
def reviewed(workspace) -> Iterator[dict[str, str]]:
    """The addresses that `fraud-pipeline review` prints, while it serves; the port that it is given is taken."""
    assert workspace.first.code == 0, workspace.first.output
    with socket.create_server(("localhost", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "review", "--no-browser", "--port", port, *workspace.arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = list(itertools.takewhile(lambda line: line != "Ctrl-C ends it.\n", process.stdout))
        try:
            assert any(line.startswith(f"Port {port} is taken; TensorBoard listens on ") for line in lines)
            yield dict(line.split(maxsplit=1) for line in "".join(lines).splitlines() if line.startswith(NAMES))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
    assert process.returncode == 0


def test_tensorboard_answers_with_the_training_and_every_trial(reviewed):
    with urllib.request.urlopen(f"{reviewed['TensorBoard:']}data/runs", timeout=20) as answer:
        runs = json.load(answer)
    assert any(run.startswith("Trainer/") and run.endswith("validation") for run in runs)
    trials = load(ROOT / "configs" / "local.yaml").tuning.trials
    assert sum(run.startswith("Tuner/") for run in runs) == trials


# Numbers in boxes that hide what does not fit.
CUT = """[...document.querySelectorAll("main *")].filter(one =>
  getComputedStyle(one).overflowX === "hidden" && one.scrollWidth > one.clientWidth && /[0-9]/.test(one.textContent)
).map(one => one.textContent)"""
# Words of plots in another colour than the page's, but for Plotly's own on parallel axes.
FAINT = """[...document.querySelectorAll(".plot text")].filter(one =>
  one.textContent.trim() && !one.closest(".parcoords")
  && getComputedStyle(one).fill !== getComputedStyle(document.body).color).map(one => one.textContent)"""


def test_the_report_opens_wide_and_narrow_light_and_dark_and_needs_nothing_but_itself(browser, reviewed, tmp_path):
    with browser.page(width=390) as page:
        page.open(reviewed["Report:"])
        for width in (390, 1280, 1400):  # at 1280 the contents leave the text less room than its widest table has
            page.resize(width)
            brightness = {}
            for scheme in ("dark", "light"):
                page.scheme(scheme)
                page.drawn()
                assert page.overflow == 0, (width, scheme, page.too_wide)
                assert page.evaluate(CUT) == []
                page.wait_for(f"{FAINT}.length === 0")
                color = page.style("body", "background-color")  # as rgb(13, 17, 23)
                brightness[scheme] = sum(map(int, color.removeprefix("rgb(").rstrip(")").split(",")))
            assert brightness["dark"] < 150
            assert brightness["light"] > 700
        assert page.errors == []
        assert {address for address in page.requests if not address.startswith(("data:", "blob:"))} == {
            reviewed["Report:"]
        }
        assert page.text("h1")
        assert page.screenshot(tmp_path / "report.png").stat().st_size > 10_000


def test_the_report_is_small_enough_to_be_sent(workspace, reviewed):
    assert Path(workspace.runs()[0]["report"]).stat().st_size < 3_000_000


@pytest.mark.parametrize("width", [390, 1400])
def test_the_list_of_contents_stays_in_sight_and_says_where_one_is(browser, reviewed, width):
    with browser.page(width=width) as page:
        page.open(reviewed["Report:"])
        names = page.texts(".contents a")
        assert names[0] == "Summary"
        assert [name for name in names[1:] if name not in page.texts("h2")] == []
        assert page.text(".contents a[aria-current]") == "Summary"
        for name in (names[-1], names[3]):
            page.evaluate(f"[...document.querySelectorAll('.contents a')].find(a => a.innerText === '{name}').click()")
            page.wait_for(f"document.querySelector('.contents a[aria-current]').innerText === '{name}'")
            top, bottom, left, right = page.evaluate(
                "(box => [box.top, box.bottom, box.left, box.right])"
                "(document.querySelector('.contents a[aria-current]').getBoundingClientRect())"
            )
            assert 0 <= top < bottom <= 900
            assert 0 <= left < right <= width


def test_another_threshold_shows_other_money(browser, workspace, reviewed):
    report = Path(workspace.runs()[0]["report"])
    metrics = json.loads((report.parent / "summary.json").read_text())["metrics"]
    shown = ("alerts", "cost", "savings", "true_positives", "missed_amount")
    with browser.page() as page:
        page.open(reviewed["Report:"])
        own = {name: page.text(f'[data-figure="{name}"]') for name in shown}
        assert float(own["alerts"].replace(",", "")) == pytest.approx(metrics["alerts_a_day"], rel=0.01, abs=0.06)
        page.fill("#threshold", 0)  # where everything is stopped
        all_stopped = {name: page.text(f'[data-figure="{name}"]') for name in shown}
        assert all(own[name] != all_stopped[name] for name in shown)
        assert all_stopped["missed_amount"].startswith("0 ")
        assert page.errors == []
        assert page.outside == []


def test_tensorboard_shows_the_runs_and_asks_this_machine_alone(browser, reviewed):
    with browser.page() as page:
        page.open(reviewed["TensorBoard:"])
        page.wait_for("/Trainer.+validation[^]+Tuner.+trial_3/.test(document.body.innerText)")
        page.wait_for("document.body.innerText.includes('epoch_average_precision')")
        assert page.outside == []
        assert page.errors == []


def test_what_leaves_the_machine_and_what_goes_wrong_is_noticed(browser, tmp_path):
    (tmp_path / "page.html").write_text("""<meta name="viewport" content="width=device-width">
<div style="width: 500px">wide</div>
<input id="slider" type="range" min="0" max="10"><output></output>
<iframe srcdoc="<script>fetch('http://inner.invalid/frame')</script>"></iframe>
<script>
  slider.oninput = () => document.querySelector("output").textContent = slider.value;
  new Worker(URL.createObjectURL(new Blob(["fetch('http://inner.invalid/worker')"])));
  new WebSocket("ws://inner.invalid/socket");
  fetch("http://localhost:9/");
  setTimeout(() => { throw new Error("late") }, 1);
  console.error("said", 3);
</script>""")
    with browser.page(390) as page:
        page.open(tmp_path / "page.html")
        for kind in ("frame", "worker", "socket"):
            page.wait_until(lambda kind=kind: any(address.endswith(kind) for address in page.outside))
        assert len(page.outside) == 3
        assert "http://localhost:9/" in page.requests
        assert any("late" in error for error in page.errors)
        assert "said 3" in page.errors
        assert page.overflow > 0
        assert any("500px" in element for element in page.too_wide)
        page.fill("#slider", 7)
        assert page.text("output") == "7"
        page.evaluate("slider.focus()")
        page.press("ArrowRight")
        assert page.text("output") == "8"
        page.click("#slider")
        assert page.text("output") == "5"
        with pytest.raises(JavaScriptError, match="no element matches #none"):
            page.text("#none")
