"""What `make run` takes and reaches: `python -m benchmarks.run`.

Runs the command line in new workspaces: the default configuration on synthesized transactions (as where there is no
network), again from the cache, the tutorial's configuration on the same, and, where FRAUD_PIPELINE_REAL_ROWS names a
folder with real ones, the default configuration on those with several seeds. Prints a table and writes
workspace/benchmarks/run.json; what the runs print goes to run.txt beside it. Takes about five minutes on two cores.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

REAL_ROWS = "FRAUD_PIPELINE_REAL_ROWS"
OUTPUT = Path("workspace/benchmarks/run.json")
SEEDS = (7, 1, 2)


def measure(name: str, workspace: Path, *overrides: str, config: str = "configs/local.yaml") -> dict[str, Any]:
    """One run: wall-clock seconds of the process, the test split's figures, and whether the model was blessed."""
    command = [sys.executable, "-m", "pipeline"]
    settings = ["--config", config]
    for override in (f"workspace={workspace}", *overrides):
        settings += ["--set", override]
    start = time.perf_counter()
    done = subprocess.run([*command, "run", *settings], stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 3):
        raise SystemExit(f"{name}: the run ended with {done.returncode}:\n{done.stdout}")
    with open(OUTPUT.with_suffix(".txt"), "a") as file:
        file.write(f"# {name}\n{done.stdout}\n")
    listed = subprocess.run([*command, "runs", "--json", *settings], stdout=subprocess.PIPE, check=True, text=True)
    newest = json.loads(listed.stdout)[0]
    summary = json.loads((Path(newest["report"]).parent / "summary.json").read_text())
    history = json.loads(next((workspace / "artifacts" / "Trainer" / "model_run").glob("*/history.json")).read_text())
    return {
        "name": name,
        "seconds": seconds,
        "data": newest["data"],
        "metrics": summary["metrics"],
        "blessed": newest["blessed"],
        "epochs": len(history["loss"]),
        "last_loss": history["loss"][-1],
        "last_accuracy": history["accuracy"][-1],
    }


def show(results: list[dict[str, Any]]) -> None:
    print(f"{'run':<34}{'s':>6}  {'average precision':<22}{'ROC-AUC':>8}{'recall@1%':>10}{'loss':>9}{'accuracy':>9}")
    for result in results:
        figures = result["metrics"]
        interval = f"({figures['average_precision_lower']:.3f} to {figures['average_precision_upper']:.3f})"
        print(
            f"{result['name']:<34}{result['seconds']:>6.0f}  {figures['average_precision']:.3f} {interval:<16}"
            f"{figures['roc_auc']:>8.3f}{figures['recall_at_1_percent_false_positives']:>10.3f}"
            f"{result['last_loss']:>9.4f}{result['last_accuracy']:>9.4f}"
        )


def main() -> None:
    results = []
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.with_suffix(".txt").unlink(missing_ok=True)
    # no proxy answers there: the same as no network, and it costs no download
    os.environ["https_proxy"] = os.environ["HTTPS_PROXY"] = "http://127.0.0.1:9"
    os.environ.pop("FRAUD_PIPELINE_DATA", None)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        root = Path(folder)
        results.append(measure("synthesized", root / "synthesized"))
        results.append(measure("synthesized, from the cache", root / "synthesized"))
        results.append(measure("synthesized, tutorial", root / "tutorial", config="configs/tutorial.yaml"))
        if os.environ.get(REAL_ROWS):
            path = f"data.path={os.environ[REAL_ROWS]}/transactions.csv.gz"
            for seed in SEEDS:
                results.append(measure(f"real, seed {seed}", root / f"real-{seed}", path, f"training.seed={seed}"))
    show(results)
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    versions = {name: version(name) for name in ("tfx", "tensorflow", "keras", "apache-beam")}
    versions["python"] = platform.python_version()
    OUTPUT.write_text(json.dumps({"machine": machine, "versions": versions, "results": results}, indent=2))
    print(f"{machine['cores']} cores, {versions}; written to {OUTPUT}")


if __name__ == "__main__":
    main()
