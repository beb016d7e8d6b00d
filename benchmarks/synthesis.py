"""How like the real rows the synthesized ones are, and what a model learns from them: `python -m benchmarks.synthesis`.

Reads transactions.csv.gz and its data card in the folder that FRAUD_PIPELINE_REAL_ROWS names; writes
workspace/benchmarks/synthesis.json. Takes about a minute and a half on two cores.

Likeness: 50,000 rows of each class from the shipped generator against all real rows of the class: Kolmogorov-Smirnov
distance of each column, absolute difference of each pair's correlation (Pearson's and, since single extreme rows
decide that one, Spearman's), and the ROC-AUC of a classifier that tells real rows from synthesized ones (0.5: it
cannot).

Learning: trained on 284,807 synthesized rows or on the real rows of the first 80 % of the period, tested on the real
rows of the last 20 %, average precision weighted with the inverse sampling rates. The shipped generator was fitted to
the test rows too, so a second one is fitted to the training period alone; its figure is the one to trust.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import ks_2samp, rankdata
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.synthesis import CLASSES, PARAMETERS, Generator
from pipeline.synthesis import fit as fitting

REAL_ROWS = "FRAUD_PIPELINE_REAL_ROWS"
OUTPUT = Path("workspace/benchmarks/synthesis.json")
CUT = 145_247  # seconds: the 80 % quantile of Time in the full data set, as in data NOTES.md
ROWS = 284_807
ROWS_PER_CLASS = 50_000
SEEDS = (1, 2, 3)

Arrays = tuple[np.ndarray, np.ndarray]  # values [rows, columns], the time first; labels [rows]


def arrays(table: pa.Table, generator: Generator) -> Arrays:
    values = np.stack([table[name].to_numpy().astype(float) for name in generator.columns], axis=1)
    return values, table[generator.label].to_numpy()


def draw(generator: Generator, rows: int, seed: int, **rate: float) -> Arrays:
    return arrays(pa.Table.from_batches(generator.batches(rows, seed, **rate)), generator)


def likeness(real: np.ndarray, drawn: np.ndarray, columns: tuple[str, ...]) -> dict[str, Any]:
    distances = np.array([ks_2samp(a, b).statistic for a, b in zip(real.T, drawn.T, strict=True)])
    pairs = np.triu_indices(real.shape[1], 1)
    found: dict[str, Any] = {
        "ks_max": distances.max(),
        "ks_max_column": columns[distances.argmax()],
        "ks_median": np.median(distances),
    }
    for name, prepare in (("pearson", np.asarray), ("spearman", lambda values: rankdata(values, axis=0))):
        differences = np.abs(np.corrcoef(prepare(real).T) - np.corrcoef(prepare(drawn).T))[pairs]
        found |= {f"{name}_max": differences.max(), f"{name}_mean": differences.mean()}
    return found | {"told_apart_roc_auc": told_apart(real, drawn)}


def told_apart(real: np.ndarray, drawn: np.ndarray) -> float:
    """ROC-AUC on the other half of as many rows of each."""
    rng = np.random.default_rng(0)
    values = np.concatenate([real, drawn[rng.permutation(len(drawn))[: len(real)]]])
    order = rng.permutation(len(values))
    values, labels = values[order], (order >= len(real)).astype(int)
    half = len(values) // 2
    model = HistGradientBoostingClassifier(random_state=0).fit(values[:half], labels[:half])
    return float(roc_auc_score(labels[half:], model.predict_proba(values[half:])[:, 1]))


def models() -> dict[str, Any]:
    # Without balanced classes, boosting at 0.17 % of frauds diverges: 0.05 on real rows with their weights too.
    boosting = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=15, l2_regularization=1, class_weight="balanced", early_stopping=False
    )
    return {
        "boosting": boosting.set_params(random_state=0),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    }


def average_precisions(train: Arrays, test: Arrays, test_weights: np.ndarray) -> dict[str, float]:
    """Weighted average precision of each model; the time is left out, since the test rows are all later."""
    found = {}
    for name, model in models().items():
        scores = model.fit(train[0][:, 1:], train[1]).predict_proba(test[0][:, 1:])[:, 1]
        found[name] = float(average_precision_score(test[1], scores, sample_weight=test_weights))
    return found


def learning(table: pa.Table, card: dict[str, Any], shipped: Generator) -> dict[str, dict[str, float]]:
    values, labels = arrays(table, shipped)
    early = values[:, 0] < CUT
    rates = card["sampling_rates"]
    test = values[~early], labels[~early]
    weights = np.where(test[1] == 1, 1 / rates["fraud"], 1 / rates["legitimate"])
    print(f"fitting to the training period: {early.sum():,} rows, {labels[early].sum()} frauds")
    honest = fitting.fit(table.filter(pa.array(early)), card)
    found = {"real rows": average_precisions((values[early], labels[early]), test, weights)}
    for name, generator in (
        ("synthesized, fitted to the training period", honest),
        ("synthesized, fitted to all rows", shipped),
    ):
        runs = [average_precisions(draw(generator, ROWS, seed), test, weights) for seed in SEEDS]
        found[name] = {model: statistics.mean(run[model] for run in runs) for model in runs[0]}
        found[name] |= {f"{model}, lowest of {len(SEEDS)}": min(run[model] for run in runs) for model in runs[0]}
    return found


def speed(folder: Path) -> dict[str, float]:
    generator = Generator.load(PARAMETERS)
    found = {}
    start = time.perf_counter()
    for _ in generator.batches(ROWS, 7):
        pass
    found["batches_rows_per_s"] = ROWS / (time.perf_counter() - start)
    for suffix in ("csv", "csv.gz", "parquet"):
        path = folder / f"benchmark.{suffix}"
        start = time.perf_counter()
        generator.write(path, ROWS, 7)
        found[f"{suffix}_s"] = time.perf_counter() - start
        found[f"{suffix}_mb"] = path.stat().st_size / 1e6
        path.unlink()
    (folder / "benchmark.card.yaml").unlink()
    return found


def machine() -> dict[str, Any]:
    models_of_cpu = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models_of_cpu[0] if models_of_cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy", "scikit-learn", "pyarrow")},
    }


def main() -> int:
    folder = os.environ.get(REAL_ROWS)
    if not folder:
        print(f"set {REAL_ROWS} to the folder that holds transactions.csv.gz and its data card", file=sys.stderr)
        return 2
    table = fitting.read(Path(folder) / "transactions.csv.gz")
    card = fitting.read_card(Path(folder) / "transactions.card.yaml")
    generator = Generator.load(PARAMETERS)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)

    figures: dict[str, Any] = {
        "speed, 284,807 rows": speed(OUTPUT.parent),
        "parameters_bytes": PARAMETERS.stat().st_size,
    }
    values, labels = arrays(table, generator)
    drawn, drawn_labels = draw(generator, 2 * ROWS_PER_CLASS, 5, fraud_rate=0.5)
    figures["likeness"] = {
        name: likeness(values[labels == index], drawn[drawn_labels == index], generator.columns)
        for index, name in enumerate(CLASSES)
    }
    figures["weighted average precision on real rows"] = learning(table, card, generator)

    report = {"machine": machine(), "protocol": __doc__, "figures": figures}
    OUTPUT.write_text(json.dumps(report, indent=2, default=float) + "\n")
    show(report["machine"] | figures)
    print(f"\nwritten to {OUTPUT}")
    return 0


def show(figures: dict[str, Any], depth: int = 0) -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{'  ' * depth}{name}")
            show(value, depth + 1)
        else:
            shown = value if isinstance(value, (str, int)) else f"{value:,.0f}" if value >= 1000 else f"{value:.4f}"
            print(f"{'  ' * depth}{name:<{60 - 2 * depth}}{shown}")


if __name__ == "__main__":
    sys.exit(main())
