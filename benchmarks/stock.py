"""This pipeline against the same job made of stock TFX components, component by component.

`python -m benchmarks.stock` gives both the same CSV file, the same shares of the splits, a search of 4 trials of 3
epochs, 20 epochs of training at the same batch size, and TFMA on the test split; the stock graph is
benchmarks/stock_graph.py. Each repeat is a fresh process in a fresh workspace, and another one that finds everything in
the cache; the two take turns to go first. A component's seconds are those between start and end of its execution in ML
Metadata. After that, untimed, the examples of both ExampleGens are compared row by row.

Prints a table, writes workspace/benchmarks/stock.json and stock.svg.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import contest, executions, fraud_pipeline, pictures, processes, results
from benchmarks.machine import ROOT
from benchmarks.results import Figures
from benchmarks.tables import Table, seconds, times

NAME = "stock"
OURS, STOCK = "this pipeline", "stock TFX"


def stock(workspace: Path, log: Path, *overrides: str) -> Figures:
    """One run of the stock graph as a process."""
    command = [sys.executable, "-m", "benchmarks.stock_graph", *fraud_pipeline.settings(workspace, *overrides)]
    finished = processes.run(command, log)
    return executions.figures(finished, workspace / fraud_pipeline.METADATA)


CONTENDERS = {OURS: fraud_pipeline.run, STOCK: stock}


def unquoted(source: Path, folder: Path) -> Path:
    """A copy of the file, with its data card, but without quotes in the header.

    The ULB file has quotes there, which CsvExampleGen takes for parts of the columns' names.
    """
    target = folder / "transactions.csv"
    with open(source, "rb") as original, open(target, "wb") as written:
        written.write(original.readline().replace(b'"', b""))
        shutil.copyfileobj(original, written, 1 << 20)
    card = source.with_suffix(".card.yaml")
    if card.exists():
        shutil.copy(card, target.with_suffix(".card.yaml"))
    return target


def compare_examples(folders: dict[str, Path], log: Path) -> Figures:
    """The comparison of the rows that both wrote, see `benchmarks.examples`."""
    (one,), (other,) = (sorted((folder / fraud_pipeline.EXAMPLES).iterdir()) for folder in folders.values())
    command = [sys.executable, "-m", "benchmarks.examples", str(one), str(other)]
    with open(log, "ab") as file:
        finished = subprocess.run(
            command, cwd=ROOT, env=processes.environment(), stdout=subprocess.PIPE, stderr=file, text=True
        )
    if finished.returncode:
        raise SystemExit(f"the examples could not be compared; see {log}")
    comparison: Figures = json.loads(finished.stdout)
    return comparison


def parameters(workspace: Path) -> int:
    """How many parameters the best network of a run's search has; each contender's search draws its own networks."""
    (history,) = (workspace / "artifacts/Trainer").glob("model_run/*/history.json")
    manifests = [*(workspace / "artifacts/Trainer").glob("model/*/*/assets.extra/manifest.json"), history]
    return int(json.loads(manifests[0].read_text())["parameters"])


def tables(report: Figures) -> list[Table]:
    ours, theirs = (report["medians"][name] for name in (OURS, STOCK))
    steps = dict.fromkeys([*ours["steps"], *theirs["steps"]])
    lines = [(step, ours["steps"].get(step), theirs["steps"].get(step)) for step in steps]
    lines += [
        ("whole process", ours["seconds"], theirs["seconds"]),
        ("again, all from the cache", ours["cached_seconds"], theirs["cached_seconds"]),
    ]
    rows = [[name, seconds(mine), seconds(other), _ratio(mine, other)] for name, mine, other in lines]
    peaks = ours["peak_gib"], theirs["peak_gib"]
    rows.append(["peak memory, GiB", *(f"{peak:.2f}" for peak in peaks), times(peaks[1] / peaks[0])])
    same = report["examples"]
    if same["rows_missing"] or same["rows_extra"]:
        verdict = (
            f"The examples differ: {same['rows_missing']:,} rows of {OURS} are not in {STOCK}'s, "
            f"{same['rows_extra']:,} the other way round."
        )
    else:
        verdict = (
            f"Both ExampleGens wrote the same {same['rows'][0]:,} rows: all {same['columns']} columns are equal as "
            "float32."
        )
    caption = f"This pipeline and the same job made of stock TFX components, on {report['settings']['data']}:"
    sizes = (
        f"The best network that the search found has {ours['parameters']:,.0f} parameters here and "
        f"{theirs['parameters']:,.0f} there."
    )
    notes = [contest.protocol(report), sizes, verdict]
    return [Table(caption, ["seconds", OURS, STOCK, "times as long"], rows, notes)]


def _ratio(mine: float | None, other: float | None) -> str:
    """How many times as long the other took; empty where one has no such step, or both took too little to compare."""
    return times(other / mine) if mine and other and max(mine, other) >= 0.2 else ""


def measure(data: Path, folder: Path, repeats: int, log: Path) -> dict[str, Any]:
    """Every repeat's figures of both contenders, and the comparison of their examples."""
    all_figures: dict[str, list[Figures]] = {name: [] for name in CONTENDERS}
    overrides = (f"data.path={data}", *fraud_pipeline.BUDGET)
    examples: Figures = {}
    for repeat in range(repeats):
        workspaces = {name: folder / f"{index}-{repeat}" for index, name in enumerate(CONTENDERS)}
        for name in contest.order(list(CONTENDERS), repeat):
            print(f"repeat {repeat + 1} of {repeats}: {name}", file=sys.stderr)
            figures = CONTENDERS[name](workspaces[name], log, *overrides)
            cached = CONTENDERS[name](workspaces[name], log, *overrides)
            all_figures[name].append(
                {
                    **figures,
                    "parameters": parameters(workspaces[name]),
                    "cached_seconds": cached["seconds"],
                    "cached_steps": cached["steps"],
                }
            )
        if not repeat:
            examples = compare_examples(workspaces, log)
        for workspace in workspaces.values():
            shutil.rmtree(workspace)
    return {"repeats": all_figures, "examples": examples}


def main() -> None:
    arguments = contest.arguments(__doc__)
    log = contest.new_log(NAME)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        source, description = contest.transactions(arguments, Path(folder), log)
        measured = measure(unquoted(source, Path(folder)), Path(folder), arguments.repeats, log)
    report = results.report(
        NAME,
        {"data": description, "budget": list(fraud_pipeline.BUDGET)},
        measured["repeats"],
        examples=measured["examples"],
    )
    medians = report["medians"]
    report["ratios"] = {f"{STOCK} / {OURS}": results.ratios(medians[STOCK], medians[OURS])}
    steps = {name: {**medians[name]["steps"], "whole process": medians[name]["seconds"]} for name in CONTENDERS}
    contest.conclude(report, tables(report), pictures.bars("Components", "seconds, medians", steps))


if __name__ == "__main__":
    main()
