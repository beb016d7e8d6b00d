"""What notebooks/review.ipynb shows, and what it keeps from view."""

from __future__ import annotations

import json
import logging
import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.imports import lean
from pipeline.runs import Run
from trainer.places import usable

if TYPE_CHECKING:
    from components.report.summary import Summary

LOG = "notebook.log"  # in the workspace's folder of logs


@contextmanager
def quiet_imports(log: Path) -> Iterator[None]:
    """Within it TensorFlow, TFX and Beam are imported in less time; what they print goes to the log.

    TensorFlow's C++ code writes to the file descriptor, and some of it before any level can be set. Afterwards the
    libraries' loggers say errors alone.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore")
    with usable(log, "set workspace to a folder that can be written"):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    stderr = os.dup(2)
    try:
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 2)
            with lean():
                yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    for name in ("absl", "apache_beam", "tensorflow", "tfx"):
        logging.getLogger(name).setLevel(logging.ERROR)


def facts(run: Run) -> dict[str, str]:
    """What is known of a run, for people: names and values."""
    answers = {None: "did not get that far", True: "yes", False: "no"}
    return {
        "run": run.run_id,
        "pipeline": run.pipeline,
        "started": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.started)),
        "duration": f"{run.seconds:.0f} s",
        "blessed": answers[run.blessed],
        "pushed": answers[run.pushed],
        "model": run.model,
        "report": run.report,
    }


def verdict(summary: Summary) -> str:
    """The data, the verdict with all its reasons, and the remarks, as HTML."""
    from components.report.summary import where

    reasons = summary.reasons if not summary.blessed else []
    headline = "Not blessed:" if reasons else f"{summary.verdict}."
    remarks = [
        *summary.remarks,
        *([f"{summary.search}."] if summary.search else []),
        *summary.warnings,
        where(summary),
    ]
    return "\n".join(
        [
            f"<p>{escape(summary.origin)}. {escape(summary.weighting)}</p>",
            f'<div class="verdict {"good" if summary.blessed else "bad"}"><strong>{escape(headline)}</strong>',
            _list(reasons),
            "</div>",
            _list(remarks),
        ]
    )


def _list(sentences: list[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


# TFDV's HTML is a frame and a script that fills it from the network. It is put in its place when it is asked for, and
# only if the network has the program; a script that is set as HTML does not run, so it is made anew.
_ON_DEMAND = """<div class="on-demand">
<button type="button">Show it</button> <span role="status">%(before)s</span>
<script>
(box => {
  const html = %(html)s, addresses = %(addresses)s;
  const [button, status] = [box.querySelector("button"), box.querySelector("span")];
  button.onclick = async () => {
    button.disabled = true;
    status.textContent = "Loading …";
    try {
      await Promise.all(addresses.map(address => fetch(address, {mode: "no-cors"})));
    } catch {
      status.textContent = %(failed)s;
      button.disabled = false;
      return;
    }
    box.innerHTML = html;
    for (const script of box.querySelectorAll("script")) {
      const running = document.createElement("script");
      running.textContent = script.textContent;
      script.replaceWith(running);
    }
  };
})(document.currentScript.parentElement);
</script>
</div>"""


def on_demand(html: str) -> str:
    """What loads a program from the network, behind a button, with a sentence where the network does not have it."""
    addresses = sorted(set(re.findall(r"https?://[^\s\"'<>\\]+", html)))
    if not addresses:
        return html
    hosts = sorted({address.split("/")[2] for address in addresses})
    return _ON_DEMAND % {
        "before": escape(f"The program that draws it is loaded from {' and '.join(hosts)}."),
        "html": _in_script(html),
        "addresses": _in_script(addresses),
        "failed": _in_script(
            f"{' or '.join(hosts)} can't be reached, so there is nothing to see here; the table below shows the same "
            "figures."
        ),
    }


def _in_script(value: object) -> str:
    """A value in JavaScript, in which nothing ends the script that it stands in."""
    return json.dumps(value).replace("<", "\\u003c")
