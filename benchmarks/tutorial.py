"""This pipeline against the tutorial as one plain script: `python -m benchmarks.tutorial`.

The script (benchmarks/tutorial_script.py) reads, scales, fits 20 epochs and searches 6 combinations by 3 folds of 5
epochs. The pipeline does that with 4 trials of 3 epochs and 20 epochs, and besides checks the data, evaluates by slices
of TFMA, compares with the model in service, exports, pushes and reports. Whole processes on the same CSV are timed, and
the two take turns to go first.

Prints a table, writes workspace/benchmarks/tutorial.json and tutorial.svg.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import contest, fraud_pipeline, pictures, processes, results
from benchmarks.results import Figures
from benchmarks.tables import Table, seconds, times

NAME = "tutorial"
OURS, SCRIPT = "this pipeline", "tutorial script"


def script(data: Path, folder: Path, log: Path) -> Figures:
    """One run of the script as a process."""
    folder.mkdir()
    path = folder / "figures.json"
    finished = processes.run([sys.executable, "-m", "benchmarks.tutorial_script", data, path], log)
    report = json.loads(path.read_text())
    started = report.pop("started")
    steps = {"start-up": started - finished.started, **report["steps"]}
    steps["exit"] = finished.seconds - sum(steps.values())
    return {"seconds": finished.seconds, "peak_gib": finished.peak_gib, **report, "steps": steps}


def pipeline(data: Path, folder: Path, log: Path) -> Figures:
    return fraud_pipeline.run(folder, log, f"data.path={data}", *fraud_pipeline.BUDGET)


CONTENDERS = {OURS: pipeline, SCRIPT: script}


def measure(data: Path, folder: Path, repeats: int, log: Path) -> dict[str, list[Figures]]:
    """Every repeat's figures of both."""
    all_figures: dict[str, list[Figures]] = {name: [] for name in CONTENDERS}
    for repeat in range(repeats):
        for name in contest.order(list(CONTENDERS), repeat):
            print(f"repeat {repeat + 1} of {repeats}: {name}", file=sys.stderr)
            workspace = folder / "workspace"
            all_figures[name].append(CONTENDERS[name](data, workspace, log))
            shutil.rmtree(workspace)
    return all_figures


def tables(report: Figures) -> list[Table]:
    ours, theirs = (report["medians"][name] for name in (OURS, SCRIPT))
    ratio = report["ratios"][f"{OURS} / {SCRIPT}"]
    rows = [
        ["seconds, whole process", seconds(ours["seconds"]), seconds(theirs["seconds"]), times(ratio["seconds"])],
        ["peak memory, GiB", f"{ours['peak_gib']:.2f}", f"{theirs['peak_gib']:.2f}", times(ratio["peak_gib"])],
    ]
    steps = ", ".join(f"{name} {seconds(value)}" for name, value in theirs["steps"].items() if value >= 0.05)
    caption = f"This pipeline and the tutorial as one plain script, on {report['settings']['data']}:"
    notes = [contest.protocol(report), f"The script's seconds: {steps}."]
    return [Table(caption, ["", OURS, SCRIPT, "times as much"], rows, notes)]


def main() -> None:
    arguments = contest.arguments(__doc__)
    log = contest.new_log(NAME)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        data, description = contest.transactions(arguments, Path(folder), log)
        repeats = measure(data, Path(folder), arguments.repeats, log)
    report = results.report(NAME, {"data": description, "budget": list(fraud_pipeline.BUDGET)}, repeats)
    medians = report["medians"]
    report["ratios"] = {f"{OURS} / {SCRIPT}": results.ratios(medians[OURS], medians[SCRIPT])}
    whole = {name: {"whole process": medians[name]["seconds"]} for name in CONTENDERS}
    contest.conclude(report, tables(report), pictures.bars("Pipeline and plain script", "seconds, medians", whole))


if __name__ == "__main__":
    main()
