"""How time and memory grow with the data: `python -m benchmarks.growth --rows 284807 2848070 28480700`.

Synthesizes each number of rows, runs the pipeline on them in a fresh workspace with a search of 4 trials of 3 epochs
and 20 epochs of training, and records seconds of each component, peak memory, bytes read and written, and average
precision. Temporary data is deleted again; how much free space it takes is checked first.

Prints a table, writes workspace/benchmarks/growth.json and growth.svg. Sizes measured before on the same machine stay
in the file, so a large one can be run by itself. The third size takes hours.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import contest, fraud_pipeline, machine, pictures, results
from benchmarks.results import Figures
from benchmarks.tables import Table, seconds, times
from pipeline.runs import past_runs

NAME = "growth"
ROWS = (284_807, 2_848_070)
SEED = 7
# A row is 276 bytes of CSV and at most 540 as a tf.Example; the rest of a workspace hardly grows. Half as much again is
# added, since a disk that is full at the end would waste the hour.
BYTES_PER_ROW = 1250


def check_space(rows: int, folder: Path) -> None:
    """Raises:
    SystemExit: the folder's file system has too little room for so many rows.
    """
    needed, free = rows * BYTES_PER_ROW, shutil.disk_usage(folder).free
    print(f"{rows:,} rows need {needed / 2**30:.1f} GiB in {folder}, {free / 2**30:.1f} are free", file=sys.stderr)
    if free < needed:
        raise SystemExit(
            f"{rows:,} rows need {needed / 2**30:.1f} GiB of temporary data, {folder} has {free / 2**30:.1f} GiB free; "
            "name another place with --folder, or fewer --rows"
        )


def measure(rows: int, suffix: str, folder: Path, log: Path) -> Figures:
    """The figures of one run on so many synthesized rows, whose files are deleted."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        data = fraud_pipeline.synthesize(Path(made) / f"transactions.{suffix}", rows, SEED, log)
        workspace = Path(made) / "workspace"
        figures = fraud_pipeline.run(workspace, log, f"data.path={data}", *fraud_pipeline.BUDGET)
        written = sum(path.stat().st_size for path in workspace.rglob("*") if path.is_file())
        (run,) = past_runs(workspace / fraud_pipeline.METADATA)
        return {
            **figures,
            "input_bytes": data.stat().st_size,
            "workspace_bytes": written,
            "average_precision": run.average_precision,
        }


def earlier(settings: Figures) -> Figures:
    """Repeats and commits of the sizes that were measured before, by the number of rows as text.

    Raises:
      SystemExit: they were measured on another machine or with other settings, so they don't belong to one curve.
    """
    before = results.load(NAME)
    if before is None:
        return {"repeats": {}, "commits": {}}
    here = {"machine": machine.machine(), "versions": machine.versions(), "settings": settings}
    differing = [name for name, value in here.items() if before[name] != value]
    if differing:
        path = results.FOLDER / f"{NAME}.json"
        raise SystemExit(
            f"{path} was measured with other {' and '.join(differing)}: "
            f"{'; '.join(f'{before[name]}, here {here[name]}' for name in differing)}. Move it away to start anew."
        )
    return {"repeats": before["repeats"], "commits": before["commits"]}


def tables(report: Figures) -> list[Table]:
    sizes = [{"rows": int(rows), **figures} for rows, figures in report["medians"].items()]
    steps = [step for step in sizes[0]["steps"] if any(size["steps"].get(step, 0) >= 0.5 for size in sizes)]
    rows = [["seconds in all", *(seconds(size["seconds"]) for size in sizes)]]
    rows += [[step, *(seconds(size["steps"].get(step)) for size in sizes)] for step in steps]
    rows += [
        ["microseconds a row", *(f"{1e6 * size['seconds'] / size['rows']:,.0f}" for size in sizes)],
        ["peak memory, GiB", *(f"{size['peak_gib']:.2f}" for size in sizes)],
        ["read, MB", *(f"{size['input_bytes'] / 1e6:,.0f}" for size in sizes)],
        ["written, MB", *(f"{size['workspace_bytes'] / 1e6:,.0f}" for size in sizes)],
        ["average precision", *(_precision(size["average_precision"]) for size in sizes)],
    ]
    smallest = sizes[0]
    notes = [
        f"{size['rows'] / smallest['rows']:,.3g} times the rows: {times(ratio['seconds'])} times the seconds, "
        f"{times(ratio['peak_gib'])} times the memory."
        for size in sizes[1:]
        for ratio in [report["ratios"][f"{size['rows']} / {smallest['rows']}"]]
    ]
    repeats = sorted({len(repeats) for repeats in report["repeats"].values()})
    notes.append(
        f"{', '.join(report['settings']['budget'])}; medians of {' or '.join(map(str, repeats))} "
        f"fresh process{'es' if repeats != [1] else ''} a size."
    )
    caption = f"Growth with the data, on synthesized transactions in {report['settings']['format']}:"
    return [Table(caption, ["rows", *(f"{size['rows']:,}" for size in sizes)], rows, notes)]


def _precision(value: float | None) -> str:
    """An empty cell where the test split has no fraud."""
    return "" if value is None else f"{value:.3f}"


def summarized(settings: Figures, repeats: Figures, commits: Figures) -> Figures:
    """The report, with ratios to the smallest size."""
    report = results.report(NAME, settings, dict(sorted(repeats.items(), key=lambda item: int(item[0]))))
    report["commits"] = commits
    smallest, *others = report["medians"]
    report["ratios"] = {
        f"{size} / {smallest}": results.ratios(report["medians"][size], report["medians"][smallest]) for size in others
    }
    return report


def picture(report: Figures) -> str:
    medians = report["medians"].items()
    plots = [
        pictures.Curve("seconds of the whole run", {int(rows): figures["seconds"] for rows, figures in medians}),
        pictures.Curve("peak memory, GiB", {int(rows): figures["peak_gib"] for rows, figures in medians}),
    ]
    return pictures.curves("Growth with the data, medians", "rows", plots)


def main() -> None:
    parser = contest.parser(__doc__, repeats=1)
    parser.add_argument("--rows", type=contest.positive, nargs="+", default=ROWS, metavar="N", help=f"sizes, {ROWS}")
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv", help="of the data, csv")
    contest.add_folder(parser)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.gettempdir())
    settings = {"format": arguments.format, "seed": SEED, "budget": list(fraud_pipeline.BUDGET)}
    kept = earlier(settings)
    check_space(max(arguments.rows), folder)
    log = contest.new_log(NAME)
    for rows in arguments.rows:
        repeats = []
        for repeat in range(arguments.repeats):
            print(f"{rows:,} rows, repeat {repeat + 1} of {arguments.repeats}", file=sys.stderr)
            repeats.append(measure(rows, arguments.format, folder, log))
        kept["repeats"][str(rows)] = repeats
        kept["commits"][str(rows)] = machine.commit()
        # after each size: the next one may take long
        report = summarized(settings, kept["repeats"], kept["commits"])
        results.save(report)
    contest.conclude(report, tables(report), picture(report))


if __name__ == "__main__":
    main()
