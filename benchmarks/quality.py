"""What the default model reaches and saves on real transactions: `python -m benchmarks.quality`.

FRAUD_PIPELINE_REAL_ROWS names a folder with `transactions.csv.gz` and its data card. Runs the default configuration on
them with several seeds, each deciding first by one threshold and then by each transaction's own amount, and takes the
figures of the test split, which no part of the training sees. Only figures that do not depend on how busy the machine
is are kept. Prints a table and writes workspace/benchmarks/quality.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import contest, fraud_pipeline, results, run
from benchmarks.results import Figures
from benchmarks.tables import Table
from pipeline.runs import past_runs

NAME = "quality"
RIVAL = "boosted_trees"
DECISIONS = {"threshold": "one threshold", "amount": "each transaction's own amount"}


def measure(workspace: Path, log: Path, data: str, seed: int, by: str) -> Figures:
    """The test split's figures of one run, and the difference from the boosted trees on the same transactions."""
    print(f"seed {seed}, decided by {by}", file=sys.stderr)
    overrides = (f"data.path={data}", f"training.seed={seed}", f"decision.by={by}")
    fraud_pipeline.run(workspace, log, *overrides)
    newest, *_ = past_runs(workspace / fraud_pipeline.METADATA)
    return figures(json.loads((Path(newest.report).parent / "summary.json").read_text()))


def figures(summary: Figures) -> Figures:
    """What this benchmark keeps of a run's summary."""
    test = next(split for split in summary["splits"] if split["name"] == "test")
    difference = next(each for each in summary["comparisons"] if each["against"] == RIVAL)
    kept = ("average_precision", "savings")
    ends = ("", "_lower", "_upper")
    return {
        **{name + end: summary["metrics"][name + end] for name in kept for end in ends},
        **{f"difference{end}": difference[end.lstrip("_") or "difference"] for end in ends},
        "cost_without_model": summary["metrics"]["cost_without_model"],
        "rows": test["rows"],
        "frauds": test["frauds"],
        "hours": (test["last"] - test["first"]) / 3600,
        "currency": summary["currency"],
    }


def tables(report: Figures) -> list[Table]:
    header = [
        "model and its decision",
        "average precision (95 % interval)",
        "above the boosted trees (95 % interval of the difference)",
        "saved (95 % interval)",
        "lost without a model",
    ]
    rows = []
    for name, medians in report["medians"].items():
        currency = f" {medians['currency']}"
        rows.append(
            [
                name,
                _interval(medians, "average_precision", ".3f"),
                _interval(medians, "difference", ".3f"),
                _interval(medians, "savings", ",.0f", currency),
                f"{medians['cost_without_model']:,.0f}{currency}",
            ]
        )
    first = next(iter(report["medians"].values()))
    caption = (
        f"The default model on the last {first['hours']:.1f} hours of real transactions ({first['rows']:,.0f} rows, "
        f"{first['frauds']:,.0f} of them frauds), each row counted as often as its sampling rate says:"
    )
    return [Table(caption, header, rows)]


def _interval(figures: Figures, name: str, form: str, unit: str = "") -> str:
    value, lower, upper = (figures[name + end] for end in ("", "_lower", "_upper"))
    return f"{value:{form}}{unit} ({lower:{form}} to {upper:{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    folder = os.environ.get(run.REAL_ROWS)
    if not folder:
        sys.exit(f"{run.REAL_ROWS} names no folder with real transactions")
    log = contest.new_log(NAME)
    repeats = {}
    for seed in run.SEEDS:
        # one workspace: the second decision takes the search of the first from the cache
        with tempfile.TemporaryDirectory() as workspace:
            for by, words in DECISIONS.items():
                repeats[f"seed {seed}, {words}"] = [
                    measure(Path(workspace), log, f"{folder}/transactions.csv.gz", seed, by)
                ]
    report = results.report(NAME, {"seeds": list(run.SEEDS)}, repeats)
    contest.conclude(report, tables(report))


if __name__ == "__main__":
    main()
