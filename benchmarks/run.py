"""How long `make run` takes and how good its model is: `python -m benchmarks.run`.

Runs the command line in new workspaces: the default configuration on synthesized transactions (as where there is no
network), again from the cache, the tutorial's configuration on the same, and, where FRAUD_PIPELINE_REAL_ROWS names a
folder with real ones, the default configuration on those with several seeds. Prints a table and writes
workspace/benchmarks/run.json; what the runs print goes to run.log beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import contest, fraud_pipeline, results
from benchmarks.results import Figures
from benchmarks.tables import Table, seconds
from pipeline.runs import past_runs

NAME = "run"
REAL_ROWS = "FRAUD_PIPELINE_REAL_ROWS"
SEEDS = (7, 1, 2)
CHALLENGERS = {"boosted_trees": "boosted trees", "tutorial": "tutorial network"}
DEFAULT, TUTORIAL = "configs/local.yaml", "configs/tutorial.yaml"


def measure(name: str, workspace: Path, log: Path, *overrides: str, config: str, cache: Path) -> Figures:
    """One run: seconds of the process and its steps, figures of the test split, and whether the model was blessed."""
    print(name, file=sys.stderr)
    # no proxy answers there, which is the same as no network, so nothing is downloaded
    nowhere = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "XDG_CACHE_HOME": str(cache)}
    figures = fraud_pipeline.run(workspace, log, *overrides, config=config, **nowhere)
    newest, *_ = past_runs(workspace / fraud_pipeline.METADATA)
    summary = json.loads((Path(newest.report).parent / "summary.json").read_text())
    history = json.loads(next((workspace / "artifacts/Trainer/model_run").glob("*/history.json")).read_text())
    return {
        **figures,
        "data": newest.data,
        "rows": sum(split["rows"] for split in summary["splits"]),
        "metrics": summary["metrics"],
        "challengers": {name: challenger["average_precision"] for name, challenger in summary["challengers"].items()},
        "blessed": newest.blessed,
        "epochs": len(history["loss"]),
        "last_loss": history["loss"][-1],
        "last_accuracy": history["accuracy"][-1],
    }


def repeat(folder: Path, log: Path, rows: int) -> dict[str, Figures]:
    """Figures of each run once, by the run's name."""
    synthesized = (f"data.synthesize.rows={rows}",)
    runs: list[tuple[str, str, str, tuple[str, ...]]] = [
        ("synthesized, default", "synthesized", DEFAULT, synthesized),
        ("the same again, from the cache", "synthesized", DEFAULT, synthesized),
        ("synthesized, tutorial", "tutorial", TUTORIAL, synthesized),
    ]
    if os.environ.get(REAL_ROWS):
        real = f"data.path={os.environ[REAL_ROWS]}/transactions.csv.gz"
        runs += [
            (f"real, default, seed {seed}", f"real-{seed}", DEFAULT, (real, f"training.seed={seed}")) for seed in SEEDS
        ]
    by_run = {
        name: measure(name, folder / workspace, log, *overrides, config=config, cache=folder / "cache")
        for name, workspace, config, overrides in runs
    }
    for path in folder.iterdir():
        shutil.rmtree(path)
    return by_run


def tables(report: Figures) -> list[Table]:
    rows = []
    for name, medians in report["medians"].items():
        figures = medians["metrics"]
        lower, upper = figures["average_precision_lower"], figures["average_precision_upper"]
        rows.append(
            [
                name,
                f"{medians['rows']:,.0f}",
                seconds(medians["seconds"]),
                f"{figures['average_precision']:.3f} ({lower:.3f} to {upper:.3f})",
                f"{figures['roc_auc']:.3f}",
                f"{figures['recall_at_1_percent_false_positives']:.3f}",
                *(_precision(medians["challengers"].get(name)) for name in CHALLENGERS),
                f"{medians['last_loss']:.4f}, {medians['last_accuracy']:.4f}",
            ]
        )
    header = ["run", "rows", "seconds in all", "average precision (95 % interval)", "ROC-AUC"]
    header += ["recall at 1 % false positives", *(f"{title}: average precision" for title in CHALLENGERS.values())]
    header += ["loss, accuracy in training"]
    return [Table("What a run takes and reaches:", header, rows)]


def _precision(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def main() -> None:
    parser = contest.parser(__doc__, repeats=1)
    contest.add_rows(parser)
    arguments = parser.parse_args()
    log = contest.new_log(NAME)
    with tempfile.TemporaryDirectory() as folder:
        repeats = [repeat(Path(folder), log, arguments.rows) for _ in range(arguments.repeats)]
    by_run = {name: [by_name[name] for by_name in repeats] for name in repeats[0]}
    report = results.report(NAME, {"seeds": list(SEEDS)}, by_run)
    contest.conclude(report, tables(report))


if __name__ == "__main__":
    main()
