"""The picture of the report in the README: `python -m benchmarks.picture`.

Takes the first screen of the newest finished run's report in Chromium, from the verdict to what the data are, and
writes docs/images/report.png. The run should be one of the default configuration: `make run`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.machine import ROOT
from pipeline.config import load
from pipeline.review import finished_run
from tests.support.browser import Browser, executable

PICTURE = ROOT / "docs" / "images" / "report.png"
WIDTH, HEIGHT = 1280, 960  # CSS pixels; the height at most
MOST_BYTES = 300_000  # a README should open at once


def take(report: Path, picture: Path) -> None:
    """Writes a PNG of what a reader sees first.

    Raises:
      SystemExit: there is no Chromium, or the picture is too large.
    """
    path = executable()
    if path is None:
        sys.exit("no Chromium on the PATH; `make browser` installs it")
    browser = Browser(path)
    try:
        with browser.page(width=WIDTH, height=HEIGHT, scheme="light") as page:
            page.open(report)
            # the line after what the data are names a folder of this machine
            end = page.evaluate("Math.floor(document.querySelector('main > .origin').getBoundingClientRect().bottom)")
            page.resize(WIDTH, min(end + 8, HEIGHT))
            picture.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(picture)
    finally:
        browser.close()
    if picture.stat().st_size > MOST_BYTES:
        sys.exit(
            f"{picture} has {picture.stat().st_size:,} bytes, at most {MOST_BYTES:,} are wanted; take a smaller one"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of the run: workspace=PATH")
    parser.add_argument("--output", type=Path, default=PICTURE, metavar="FILE", help="%(default)s")
    arguments = parser.parse_args()
    run = finished_run(load(overrides=arguments.set).metadata_path)
    take(Path(run.report), arguments.output)
    print(f"wrote {arguments.output}, of {run.report}")


if __name__ == "__main__":
    main()
