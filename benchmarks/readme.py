"""Rewrites what the README says of speed and quality: `python -m benchmarks.readme`.

Everything between the two markers in the README is made from the JSON files in workspace/benchmarks. A benchmark that
has not run leaves its part out, which is said on stderr. Running it twice changes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from benchmarks import growth, results, run, scoring, search, stock, synthesis, tutorial
from benchmarks.machine import ROOT, described
from benchmarks.results import Figures

START = "<!-- benchmarks: made by `make bench-readme` from the results of `make bench`; edits here are lost -->"
END = "<!-- benchmarks: end -->"
PARTS: Sequence[ModuleType] = (run, stock, tutorial, search, growth, scoring, synthesis)


def section(folder: Path) -> str:
    """The part of the README between the markers, from the results in a folder."""
    found = [(part, report) for part in PARTS if (report := _report(part, folder)) is not None]
    machines = {described(report["machine"], report["versions"]) for _, report in found}
    # one sentence where all ran on the same machine, else one above each part
    lines = sorted(machines) if len(machines) == 1 else []
    for part, report in found:
        if len(machines) > 1:
            lines.append(described(report["machine"], report["versions"]))
        lines += [table.markdown() for table in part.tables(report)]
        lines.append(f"Measured by `python -m benchmarks.{part.NAME}`.")
    return "\n\n".join(lines)


def _report(part: ModuleType, folder: Path) -> Figures | None:
    report = results.load(part.NAME, folder)
    if report is None:
        print(
            f"no {folder / part.NAME}.json, so its part is left out; python -m benchmarks.{part.NAME} makes it",
            file=sys.stderr,
        )
    return report


def replaced(text: str, section: str, path: Path) -> str:
    """The text with the section between its markers.

    Raises:
      SystemExit: the markers are not there once each, in their order.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end or START in rest or END in before + after:
        raise SystemExit(
            f"{path} has the start marker {text.count(START)} times and the end marker {text.count(END)} times, "
            f"expected each once and in this order:\n{START}\n{END}"
        )
    return f"{before}{START}\n\n{section}\n\n{END}{after}" if section else f"{before}{START}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", metavar="FILE", help="to rewrite, README.md")
    parser.add_argument("--results", type=Path, default=results.FOLDER, metavar="FOLDER", help=f"{results.FOLDER}")
    arguments = parser.parse_args()
    text = arguments.readme.read_text()
    rewritten = replaced(text, section(arguments.results), arguments.readme)
    if rewritten == text:
        print(f"{arguments.readme} is up to date")
    else:
        arguments.readme.write_text(rewritten)
        print(f"rewrote {arguments.readme}")


if __name__ == "__main__":
    main()
