"""How fast a pushed model scores: `python -m benchmarks.scoring [--model workspace/serving/VERSION]`.

In fresh processes with TensorFlow alone: rows a second at several batch sizes, and the latency of single rows (2,000
calls after a warm-up), through both signatures. Without --model, the newest version under workspace/serving.

Prints a table, writes workspace/benchmarks/scoring.json and scoring.svg. About half a minute a repeat.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks import contest, pictures, processes, results
from benchmarks.results import Figures
from benchmarks.tables import Table

NAME = "scoring"
SIGNATURES = ("serving_default", "serving_raw")
SERVING = Path("workspace/serving")
BATCHES = (1, 32, 1024, 16_384, 131_072)
CALLS = 2000


def newest(serving: Path = SERVING) -> Path:
    """The newest version that was pushed.

    Raises:
      SystemExit: there is none.
    """
    versions = [path for path in serving.glob("*") if path.name.isdigit()]
    if not versions:
        raise SystemExit(f"no model in {serving} yet; make one with `make run`, or name one with --model FOLDER")
    return max(versions, key=lambda path: int(path.name))


def measure(model: Path, batches: list[int], calls: int, repeats: int, log: Path) -> list[Figures]:
    """Every repeat's figures, see `benchmarks.served`."""
    figures = []
    for repeat in range(repeats):
        print(f"repeat {repeat + 1} of {repeats}: {model}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "figures.json"
            sizes = ["--batches", *map(str, batches), "--calls", str(calls)]
            processes.run([sys.executable, "-m", "benchmarks.served", model.absolute(), path, *sizes], log)
            figures.append(json.loads(path.read_text()))
    return figures


def tables(report: Figures) -> list[Table]:
    medians = report["medians"]["model"]
    rows = [
        [f"single row, {name}, ms", *(f"{medians[signature]['latency_ms'][key]:.2f}" for signature in SIGNATURES)]
        for name, key in (("median", "median"), ("95th percentile", "p95"), ("99th percentile", "p99"))
    ]
    rows += [
        [f"rows a second, batches of {int(batch):,}"]
        + [f"{medians[signature]['rows_per_second'][batch]:,.0f}" for signature in SIGNATURES]
        for batch in medians[SIGNATURES[0]]["rows_per_second"]
    ]
    repeats = len(report["repeats"]["model"])
    notes = [
        f"{report['settings']['calls']:,} calls of a single row; {repeats} fresh process{'es' if repeats > 1 else ''}; "
        f"loading the model takes {medians['load_seconds']:.1f} s; peak memory {medians['peak_gib']:.2f} GiB with "
        "the requests."
    ]
    caption = "The pushed model in a process with TensorFlow alone, numpy or tf.Examples in, numpy out:"
    header = ["", *(f"`{signature}`" for signature in SIGNATURES)]
    return [Table(caption, header, rows, notes)]


def main() -> None:
    parser = contest.parser(__doc__)
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="a SavedModel; the newest under workspace/serving")
    parser.add_argument(
        "--batches", type=contest.positive, nargs="+", default=BATCHES, metavar="N", help="rows of a request"
    )
    parser.add_argument("--calls", type=contest.positive, default=CALLS, metavar="N", help=f"of a single row, {CALLS}")
    arguments = parser.parse_args()
    model = arguments.model or newest()
    repeats = measure(model, arguments.batches, arguments.calls, arguments.repeats, contest.new_log(NAME))
    settings = {"model": str(model), "batches": list(arguments.batches), "calls": arguments.calls}
    report = results.report(NAME, settings, {"model": repeats})
    medians = report["medians"]["model"]
    default, raw = (medians[signature] for signature in SIGNATURES)
    report["ratios"] = {"serving_raw / serving_default": results.ratios(raw, default)}
    rows = {
        name: {f"batches of {int(batch):,}": value for batch, value in medians[name]["rows_per_second"].items()}
        for name in SIGNATURES
    }
    contest.conclude(report, tables(report), pictures.bars("Scoring", "rows a second, medians", rows))


if __name__ == "__main__":
    main()
