"""How similar synthesized rows are to real ones, and what a model learns from them: `python -m benchmarks.synthesis`.

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

import argparse
import os
import statistics
import sys
import time
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

from benchmarks import contest, results
from benchmarks.results import Figures
from benchmarks.tables import Table
from pipeline.data.synthesis import CLASSES, PARAMETERS, Generator
from pipeline.data.synthesis import fit as fitting
from trainer.arrays import Array

NAME = "synthesis"
REAL_ROWS = "FRAUD_PIPELINE_REAL_ROWS"
CUT = 145_247  # seconds: the 80 % quantile of Time in the full ULB data
ROWS = 284_807
ROWS_PER_CLASS = 50_000
SEEDS = (1, 2, 3)

Arrays = tuple[Array, Array]  # values [rows, columns], the time first; labels [rows]


def arrays(table: pa.Table, generator: Generator) -> Arrays:
    values = np.stack([table[name].to_numpy().astype(float) for name in generator.columns], axis=1)
    return values, table[generator.label].to_numpy()


def draw(generator: Generator, rows: int, seed: int, **rate: float) -> Arrays:
    return arrays(pa.Table.from_batches(generator.batches(rows, seed, **rate)), generator)


def likeness(real: Array, drawn: Array, columns: tuple[str, ...]) -> dict[str, Any]:
    distances = np.array([ks_2samp(a, b).statistic for a, b in zip(real.T, drawn.T, strict=True)])
    pairs = np.triu_indices(real.shape[1], 1)
    distances_by_name: dict[str, Any] = {
        "ks_max": distances.max(),
        "ks_max_column": columns[distances.argmax()],
        "ks_median": np.median(distances),
    }
    for name, prepare in (("pearson", np.asarray), ("spearman", lambda values: rankdata(values, axis=0))):
        differences = np.abs(np.corrcoef(prepare(real).T) - np.corrcoef(prepare(drawn).T))[pairs]
        distances_by_name |= {f"{name}_max": differences.max(), f"{name}_mean": differences.mean()}
    return distances_by_name | {"told_apart_roc_auc": discriminability(real, drawn)}


def discriminability(real: Array, drawn: Array) -> float:
    """ROC-AUC of a classifier that tells real rows from drawn ones, on a half that it was not fitted to."""
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


def average_precisions(train: Arrays, test: Arrays, test_weights: Array) -> dict[str, float]:
    """Weighted average precision of each model; the time is left out, since the test rows are all later."""
    precisions = {}
    for name, model in models().items():
        scores = model.fit(train[0][:, 1:], train[1]).predict_proba(test[0][:, 1:])[:, 1]
        precisions[name] = float(average_precision_score(test[1], scores, sample_weight=test_weights))
    return precisions


def learning(table: pa.Table, card: dict[str, Any], shipped: Generator) -> dict[str, dict[str, float]]:
    values, labels = arrays(table, shipped)
    early = values[:, 0] < CUT
    rates = card["sampling_rates"]
    test = values[~early], labels[~early]
    weights = np.where(test[1] == 1, 1 / rates["fraud"], 1 / rates["legitimate"])
    print(f"fitting to the training period: {early.sum():,} rows, {labels[early].sum()} frauds")
    honest = fitting.fit(table.filter(pa.array(early)), card)
    by_source = {"real rows before": average_precisions((values[early], labels[early]), test, weights)}
    for name, generator in (
        ("synthesized rows, generator fitted to the rows before only", honest),
        ("synthesized rows, the shipped generator", shipped),
    ):
        runs = [average_precisions(draw(generator, ROWS, seed), test, weights) for seed in SEEDS]
        by_source[name] = {model: statistics.mean(run[model] for run in runs) for model in runs[0]}
        by_source[name] |= {f"{model}, lowest of {len(SEEDS)}": min(run[model] for run in runs) for model in runs[0]}
    return by_source


def speed(folder: Path) -> dict[str, float]:
    generator = Generator.load(PARAMETERS)
    figures = {}
    start = time.perf_counter()
    for _ in generator.batches(ROWS, 7):
        pass
    figures["batches_rows_per_s"] = ROWS / (time.perf_counter() - start)
    for suffix in ("csv", "csv.gz", "parquet"):
        path = folder / f"benchmark.{suffix}"
        start = time.perf_counter()
        generator.write(path, ROWS, 7)
        figures[f"{suffix}_s"] = time.perf_counter() - start
        figures[f"{suffix}_mb"] = path.stat().st_size / 1e6
        path.unlink()
    (folder / "benchmark.card.yaml").unlink()
    return figures


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    folder = os.environ.get(REAL_ROWS)
    if not folder:
        print(f"set {REAL_ROWS} to the folder that holds transactions.csv.gz and its data card", file=sys.stderr)
        return 2
    table = fitting.read(Path(folder) / "transactions.csv.gz")
    card = fitting.read_card(Path(folder) / "transactions.card.yaml")
    generator = Generator.load(PARAMETERS)
    results.FOLDER.mkdir(parents=True, exist_ok=True)

    figures: dict[str, Any] = {
        "speed, 284,807 rows": speed(results.FOLDER),
        "parameters_bytes": PARAMETERS.stat().st_size,
    }
    values, labels = arrays(table, generator)
    drawn, drawn_labels = draw(generator, 2 * ROWS_PER_CLASS, 5, fraud_rate=0.5)
    figures["likeness"] = {
        name: likeness(values[labels == index], drawn[drawn_labels == index], generator.columns)
        for index, name in enumerate(CLASSES)
    }
    figures["weighted average precision on real rows"] = learning(table, card, generator)

    report = results.report(NAME, {}, {}, protocol=__doc__, figures=figures)
    contest.conclude(report, tables(report))
    return 0


def tables(report: Figures) -> list[Table]:
    by_class = report["figures"]["likeness"]
    speed = report["figures"]["speed, 284,807 rows"]
    figures = (
        ("Kolmogorov-Smirnov distance, largest of the columns", "ks_max", 4),
        ("Kolmogorov-Smirnov distance, median", "ks_median", 4),
        ("rank correlation, largest difference of a pair", "spearman_max", 3),
        ("rank correlation, mean difference", "spearman_mean", 3),
        ("Pearson correlation, largest difference of a pair", "pearson_max", 3),
        ("ROC-AUC of a classifier that tells them apart (0.5: it cannot)", "told_apart_roc_auc", 3),
    )
    likeness = Table(
        "Synthesized transactions (generator fitted to real rows; parameters are shipped, rows are not):",
        [f"{ROWS_PER_CLASS:,} drawn rows of a class against the real ones", *CLASSES],
        [[words, *(f"{by_class[name][key]:.{digits}f}" for name in CLASSES)] for words, key, digits in figures],
        [
            f"Drawing {ROWS:,} rows takes {ROWS / speed['batches_rows_per_s']:.1f} s, writing them too "
            f"{speed['csv_s']:.1f} s as CSV and {speed['parquet_s']:.1f} s as Parquet."
        ],
    )
    learned = report["figures"]["weighted average precision on real rows"]
    algorithms = ("boosting", "logistic regression")
    learning = Table(
        "What a model learns from them, as weighted average precision on the real rows of the last 20 % of the time:",
        ["trained on", *algorithms],
        [[source, *(f"{learned[source][name]:.3f}" for name in algorithms)] for source in learned],
        ["The shipped generator was fitted to all rows, so it has seen those it is tested on."],
    )
    return [likeness, learning]


if __name__ == "__main__":
    sys.exit(main())
