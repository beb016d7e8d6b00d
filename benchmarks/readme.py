"""Writes what the documentation says of speed and quality: `python -m benchmarks.readme`.

The tables in docs/benchmarks.md are made from the JSON files in workspace/benchmarks, each benchmark's between two
markers of its own. A benchmark that has not run since keeps the tables it has, which is said on stderr. The headline
figures in README.md are then made from the tables. Running it twice changes nothing.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from benchmarks import growth, quality, results, run, scoring, search, stock, synthesis, tables, tutorial
from benchmarks.machine import ROOT, described
from benchmarks.tables import Table

PARTS: Sequence[ModuleType] = (run, quality, stock, tutorial, search, growth, scoring, synthesis)
HEADLINE = "headline"


def markers(name: str) -> tuple[str, str]:
    """The lines before and after what is written of a benchmark."""
    return f"<!-- {name}: written by `make bench-readme`; edits here are lost -->", f"<!-- {name}: end -->"


def part(module: ModuleType, folder: Path) -> str | None:
    """The machine, the tables and the command of a benchmark; None where it has no results in the folder."""
    report = results.load(module.NAME, folder)
    if report is None:
        return None
    machine = described(report["machine"], report["versions"])
    measured = f"Measured by `python -m benchmarks.{module.NAME}`."
    return "\n\n".join([machine, *(table.markdown() for table in module.tables(report)), measured])


def headline(page: str, path: Path) -> str:
    """What the README says, from the tables of the page with all benchmarks.

    Raises:
      SystemExit: the page does not have them.
    """
    written = {name: between(page, name, path) for name in (stock.NAME, quality.NAME)}
    (speed,) = tables.read(written[stock.NAME])
    (models,) = tables.read(written[quality.NAME])
    whole, cached = _row(speed, "whole process"), _row(speed, "again, all from the cache")
    first, by_amount = (_row(models, f"seed {run.SEEDS[0]}, {words}") for words in quality.DECISIONS.values())
    _, precision, difference, saved, lost = models.header
    machine = written[stock.NAME].partition("\n")[0]
    many = speed.caption.partition(" on ")[2].rstrip(":").partition(", seed")[0]
    few = models.caption.partition(" on ")[2].partition(", each")[0]
    bullets = [
        f"- **{whole['times as long']} times as fast as stock TFX.** A run on {many} "
        f"takes {whole[stock.OURS]} s; the same job made of stock TFX components takes {whole[stock.STOCK]} s. "
        f"Repeated from the cache, they take {cached[stock.OURS]} s and {cached[stock.STOCK]} s.",
        f"- **{_compared(first[difference])} boosted trees.** On {few} that the training has not seen, "
        f"average precision is {first[precision]}, and the difference from XGBoost is {first[difference]}.",
        f"- **Money saved: {first[saved]}** on those transactions, of the {first[lost]} that the frauds cost without a "
        f"model; {by_amount[saved]} when each transaction is decided by its own amount.",
    ]
    rest = (
        f"In brackets are 95 % intervals. Seconds are those of {machine} [Benchmarks](docs/benchmarks.md) has all the "
        "tables, and says how to repeat them."
    )
    return "\n".join([*(_wrapped(bullet, "  ") for bullet in bullets), "", _wrapped(rest)])


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _row(table: Table, name: str) -> Mapping[str, str]:
    """Cells by the header's names.

    Raises:
      SystemExit: the table has no such row.
    """
    for row in table.rows:
        if row[0] == name:
            return dict(zip(table.header, row, strict=True))
    raise SystemExit(
        f"the table below {table.caption!r} has no row {name!r}; the rows are {[row[0] for row in table.rows]}"
    )


def _compared(difference: str) -> str:
    """What an interval says, of `0.010 (-0.016 to 0.039)`."""
    lower, upper = map(float, difference.partition("(")[2].rstrip(")").split(" to "))
    return f"{'Better than' if lower > 0 else 'Worse than' if upper < 0 else 'Level with'}"


def between(page: str, name: str, path: Path) -> str:
    """What is between a benchmark's markers.

    Raises:
      SystemExit: the markers are not there once each, in their order.
    """
    return _divided(page, name, path)[1].strip()


def replaced(page: str, name: str, text: str, path: Path) -> str:
    """The page with the text between the benchmark's markers.

    Raises:
      SystemExit: as `between`.
    """
    before, _, after = _divided(page, name, path)
    return f"{before}\n\n{text}\n\n{after}" if text else f"{before}\n{after}"


def _divided(page: str, name: str, path: Path) -> tuple[str, str, str]:
    """Up to the start marker's end, between the markers, and from the end marker on."""
    start, end = markers(name)
    before, start_marker, rest = page.partition(start)
    inside, end_marker, after = rest.partition(end)
    if not start_marker or not end_marker or page.count(start) > 1 or page.count(end) > 1:
        raise SystemExit(
            f"{path} has the start marker {page.count(start)} times and the end marker {page.count(end)} times, "
            f"expected each once and in this order:\n{start}\n{end}"
        )
    return before + start, inside, end + after


def rewritten(page: str, path: Path, folder: Path) -> str:
    """The page with the tables of the benchmarks that have results in the folder."""
    for module in PARTS:
        text = part(module, folder)
        if text is None:
            print(
                f"no {folder / module.NAME}.json, so its tables stay as they are; python -m benchmarks.{module.NAME} "
                "makes it",
                file=sys.stderr,
            )
        else:
            page = replaced(page, module.NAME, text, path)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("--readme", ROOT / "README.md"), ("--page", ROOT / "docs" / "benchmarks.md")):
        parser.add_argument(
            option, type=Path, default=default, metavar="FILE", help="to rewrite (default: %(default)s)"
        )
    parser.add_argument(
        "--results", type=Path, default=results.FOLDER, metavar="FOLDER", help="JSON files (default: %(default)s)"
    )
    arguments = parser.parse_args()
    page = rewritten(arguments.page.read_text(), arguments.page, arguments.results)
    readme = replaced(arguments.readme.read_text(), HEADLINE, headline(page, arguments.page), arguments.readme)
    for path, text in ((arguments.page, page), (arguments.readme, readme)):
        if path.read_text() == text:
            print(f"{path} is up to date")
        else:
            path.write_text(text)
            print(f"rewrote {path}")


if __name__ == "__main__":
    main()
