"""Bars for average precision and ROC-AUC from a quick baseline on the data itself, without TensorFlow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.evaluation.settings import LEAK_HINT, TOO_GOOD
from components.evaluation.words import decimals, probability
from trainer.arrays import Array
from trainer.boosted_trees import load_xgboost, tree_parameters, with_mean_one
from trainer.metrics import Interval, Ranking, bootstrap
from trainer.subsampling import subsample

# Fewer trees and bins than the challenger has: a bar needs no more, and `init` is to be quick. 50,000 rows of 434
# columns take 4 s of one core; the time grows with the number of values, which is what is bounded.
_ROUNDS, _BINS, _COLUMNS_PER_TREE = 60, 64, 0.3
_MOST_VALUES = 6_000_000
_MOST_CATEGORIES = 250  # of a column; the others count as missing


@dataclass(frozen=True)
class ProposedBars:
    """The baseline's figures on rows that it was not fitted to, and the bars that follow from them.

    average_precision, roc_auc: NaN where train or test lacks a class. prevalence: the weighted share of fraud in the
    test rows, which is the average precision of chance. fitted_rows, test_rows, test_frauds: counts of rows.
    """

    average_precision: float
    average_precision_interval: Interval
    roc_auc: float
    roc_auc_interval: Interval
    prevalence: float
    fitted_rows: int
    test_rows: int
    test_frauds: int

    @property
    def min_average_precision(self) -> float:
        """For `evaluation.min_average_precision`."""
        return _half_way(self.prevalence, self.average_precision_interval.lower)

    @property
    def min_roc_auc(self) -> float:
        """For `evaluation.min_roc_auc`."""
        return _half_way(0.5, self.roc_auc_interval.lower)

    @property
    def sentence(self) -> str:
        """Where the bars come from."""
        if math.isnan(self.average_precision):
            return (
                "There is no baseline to take the bars from, since the rows to fit it to or the rows to test it on "
                "hold no fraud or nothing else; the bars are those of chance: a share of fraud of "
                f"{probability(self.prevalence)}, and 0.5"
            )
        figures = (
            f"Boosted trees, fitted to {self.fitted_rows:,} of the rows, reach an average precision of "
            f"{_with_interval(self.average_precision, self.average_precision_interval)} and a ROC-AUC of "
            f"{_with_interval(self.roc_auc, self.roc_auc_interval)} on {self.test_rows:,} others with "
            f"{self.test_frauds:,} {'fraud' if self.test_frauds == 1 else 'frauds'}; chance reaches "
            f"{probability(self.prevalence)} and 0.5"
        )
        rule = "each bar is half-way from chance to the lower end of the 95 % interval"
        if self.min_average_precision <= self.prevalence or self.min_roc_auc <= 0.5:
            rule += ", or chance itself where that is no lower: hardly anything in this data tells fraud apart"
        hint = ""
        if self.average_precision > TOO_GOOD:
            hint = f". So high a figure is a leak more often than a good model: {LEAK_HINT}"
        return f"{figures}; {rule}{hint}"


def proposed_bars(
    numeric: Array, categorical: Array, labels: Array, weights: Array, train: Array, *, seed: int = 0, threads: int = 0
) -> ProposedBars:
    """Fits boosted trees to the train rows, judges them on the other rows, and proposes bars; deterministic.

    Of many rows and columns an even sample is fitted to, which keeps the frauds.

    Args:
      numeric: float [n, k], NaN where missing.
      categorical: codes of categories, int or float [n, m]; NaN or a negative code where missing.
      labels: 1 where fraud, [n].
      weights: transactions that each row stands for, [n].
      train: which rows to fit to, bool [n]; with times, those before the others.
      threads: 0 for one on each core.
    """
    labels, weights = np.asarray(labels, np.float32), np.asarray(weights, np.float32)
    train = np.asarray(train, bool)
    width = max(1, numeric.shape[1] + categorical.shape[1])
    rows, fit_weights = np.flatnonzero(train), weights[train]
    most = max(1000, _MOST_VALUES // width)
    if len(rows) > most:
        kept, fit_weights = subsample(labels[rows], fit_weights, most)
        rows = rows[kept]
    test = np.flatnonzero(~train)
    scores = np.zeros(len(test), np.float32)
    if _has_both(labels[rows]):
        vocabularies = [_vocabulary(categorical[rows, column]) for column in range(categorical.shape[1])]
        fitted_to = _inputs(numeric[rows], categorical[rows], vocabularies)
        trees = _fit(fitted_to, labels[rows], fit_weights, numeric.shape[1], seed, threads)
        scores = np.asarray(trees.inplace_predict(_inputs(numeric[test], categorical[test], vocabularies)))
    return _judged(labels[test], scores, weights[test], len(rows), fitted=_has_both(labels[rows]))


def _judged(labels: Array, scores: Array, weights: Array, fitted_rows: int, *, fitted: bool) -> ProposedBars:
    """The baseline's figures on the test rows, which are not defined where it could not be fitted."""
    total = float(weights.sum(dtype=np.float64))
    defined = fitted and _has_both(labels)
    ranking, nothing = Ranking.from_scores(labels, scores, weights), Interval(math.nan, math.nan)
    intervals = bootstrap(labels, scores, weights) if defined else {}
    return ProposedBars(
        average_precision=ranking.average_precision() if defined else math.nan,
        average_precision_interval=intervals.get("average_precision", nothing),
        roc_auc=ranking.roc_auc() if defined else math.nan,
        roc_auc_interval=intervals.get("roc_auc", nothing),
        prevalence=float(weights.astype(np.float64) @ (labels > 0)) / total if total else 0.0,
        fitted_rows=fitted_rows if fitted else 0,
        test_rows=len(labels),
        test_frauds=int(np.count_nonzero(labels > 0)),
    )


def _has_both(labels: Array) -> bool:
    return 0 < np.count_nonzero(labels > 0) < len(labels)


def _fit(inputs: Array, labels: Array, weights: Array, numeric: int, seed: int, threads: int) -> Any:
    """XGBoost's trees; numeric: how many of the inputs, from the left, are numbers."""
    xgboost = load_xgboost()
    fraud_rate = float(np.average(labels > 0, weights=weights))
    kinds = ["q"] * numeric + ["c"] * (inputs.shape[1] - numeric)
    matrix = xgboost.QuantileDMatrix(
        inputs,
        label=labels,
        weight=with_mean_one(weights),
        feature_types=kinds,
        enable_categorical="c" in kinds,
        max_bin=_BINS,
        nthread=threads,
    )
    parameters = {
        **tree_parameters(fraud_rate, seed),
        "colsample_bytree": max(_COLUMNS_PER_TREE, min(1.0, 10 / inputs.shape[1])),
        "max_bin": _BINS,
        "nthread": threads,
    }
    return xgboost.train(parameters, matrix, num_boost_round=_ROUNDS, verbose_eval=False)


def _vocabulary(codes: Array) -> Array:
    """The most frequent codes of a column, rising."""
    known = codes[~np.isnan(codes) & (codes >= 0)]
    values, counts = np.unique(known, return_counts=True)
    frequent: Array = np.sort(values[np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]])
    return frequent


def _inputs(numeric: Array, categorical: Array, vocabularies: list[Array]) -> Array:
    """Numbers and the index of each category in its vocabulary side by side, float32 [n, k + m]; NaN where missing."""
    inputs = np.full((len(numeric), numeric.shape[1] + len(vocabularies)), np.nan, np.float32)
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, and then missing
        inputs[:, : numeric.shape[1]] = numeric
    inputs[np.isinf(inputs)] = np.nan  # which XGBoost refuses
    for column, vocabulary in enumerate(vocabularies):
        codes = categorical[:, column]
        if len(vocabulary):
            index = np.minimum(np.searchsorted(vocabulary, np.nan_to_num(codes, nan=-1.0)), len(vocabulary) - 1)
            inputs[:, numeric.shape[1] + column] = np.where(vocabulary[index] == codes, index, np.nan)
    return inputs


def _half_way(chance: float, lower: float) -> float:
    """Half-way from the figure of chance to the lower end of an interval, never below chance; three digits."""
    bar = chance if math.isnan(lower) else max(chance, (chance + lower) / 2)
    return float(f"{bar:.3g}")


def _with_interval(value: float, interval: Interval) -> str:
    return f"{decimals(value)} ({decimals(interval.lower)} to {decimals(interval.upper)})"
