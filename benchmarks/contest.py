"""Shared by the benchmarks with several contenders: arguments, data, the order of runs, and the report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import fraud_pipeline, results
from benchmarks.machine import described
from benchmarks.results import Figures
from benchmarks.tables import Table

ROWS = 284_807  # of the ULB data


def parser(doc: str | None, repeats: int = 3) -> argparse.ArgumentParser:
    """A parser with the option `--repeats`."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--repeats", type=positive, default=repeats, metavar="N", help=f"fresh processes, {repeats}")
    return made


def positive(text: str) -> int:
    """For argparse: a count."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def add_rows(made: argparse.ArgumentParser) -> None:
    made.add_argument("--rows", type=positive, default=ROWS, metavar="N", help=f"how many to synthesize, {ROWS}")


def add_folder(made: argparse.ArgumentParser) -> None:
    made.add_argument("--folder", type=Path, help="where temporary data goes; the system's temporary folder")


def arguments(doc: str | None) -> argparse.Namespace:
    """`repeats`, `data` or `rows` and `seed`, and the `folder` for temporary data."""
    made = parser(doc)
    made.add_argument("--data", type=Path, metavar="FILE.csv", help="transactions; synthesized by default")
    add_rows(made)
    made.add_argument("--seed", type=int, default=7, metavar="S", help="of the synthesized ones, 7")
    add_folder(made)
    return made.parse_args()


def transactions(arguments: argparse.Namespace, folder: Path, log: Path) -> tuple[Path, str]:
    """The CSV that all contenders read, and its description."""
    if arguments.data:
        return arguments.data.absolute(), arguments.data.name
    path = fraud_pipeline.synthesize(folder / "synthesized.csv", arguments.rows, arguments.seed, log)
    return path, f"{arguments.rows:,} synthesized transactions, seed {arguments.seed}"


def order(contenders: Sequence[str], repeat: int) -> list[str]:
    """The order of the contenders; each goes first in turn, so that a warm cache or a hot processor favours nobody."""
    first = repeat % len(contenders)
    return [*contenders[first:], *contenders[:first]]


def protocol(report: Figures) -> str:
    """The settings and the number of repeats, in one sentence."""
    repeats = max(map(len, report["repeats"].values()))
    fresh = "one fresh process each" if repeats == 1 else f"medians of {repeats} fresh processes each"
    return f"{', '.join(report['settings']['budget'])}; {fresh}."


def new_log(name: str) -> Path:
    """An empty file for the output of the processes."""
    results.FOLDER.mkdir(parents=True, exist_ok=True)
    path = (results.FOLDER / f"{name}.log").absolute()
    path.write_bytes(b"")
    return path


def conclude(report: Figures, tables: Sequence[Table], picture: str | None = None) -> None:
    """Writes the JSON file with the picture beside it, and prints the tables."""
    path = results.save(report)
    written = [str(path)]
    if picture:
        path.with_suffix(".svg").write_text(picture)
        written.append(str(path.with_suffix(".svg")))
    print(described(report["machine"], report["versions"]))
    for table in tables:
        print(f"\n{table.plain()}")
    print(f"\nWritten: {', '.join(written)}")
