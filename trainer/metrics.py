"""Ranking metrics on weighted examples, exact, with ties as sklearn treats them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trainer.arrays import Array

RESAMPLES, COVERAGE = 1000, 0.95
_DRAWS = 1 << 20  # random numbers drawn at a time
_AT_ONCE = 1 << 18  # rows counted at a time
# Relative slack of a cap or a rate: the rounding of a sum of weights must not lose one that is met exactly.
SLACK = 1e-12
_MOST_STEPS = 200  # thresholds of a paired bootstrap, whose cost grows with their square


class _Sums(NamedTuple):
    """Sums of rows, weights and squared weights, of legitimate transactions and of frauds: float64 [2, 2 k + 1].

    The k distinct scores of frauds divide all scores: column 2 i + 1 is for the i-th of them, from the lowest on, and
    column 2 i for the scores between it and the one before.
    """

    rows: Array
    weights: Array
    squares: Array

    @classmethod
    def from_scores(cls, labels: Array, scores: Array, weights: Array | None) -> _Sums:
        fraud = np.asarray(labels) > 0
        scores = np.asarray(scores)
        thresholds = np.unique(scores[fraud])
        columns = 2 * len(thresholds) + 1
        sums = cls(*np.zeros((3, 2, columns)))
        for part in _parts(len(scores)):
            above = np.searchsorted(thresholds, scores[part], side="right")
            tied = (above > 0) & (thresholds[above - 1] == scores[part]) if len(thresholds) else 0
            group = 2 * above - tied + columns * fraud[part]
            weight = np.ones(len(group)) if weights is None else np.asarray(weights[part], np.float64)
            for total, values in zip(sums, (None, weight, weight * weight), strict=True):
                total += np.bincount(group, values, 2 * columns).reshape(2, columns)
        return sums


def _parts(rows: int) -> Iterator[slice]:
    """Slices of the rows; with millions of transactions every further array of all rows would be felt."""
    return (slice(start, start + _AT_ONCE) for start in range(0, rows, _AT_ONCE))


@dataclass(frozen=True)
class Ranking:
    """Weights of frauds and of legitimate transactions by score, from the most suspect score on.

    positives, negatives: float64 [k], by how much the weights of true and of false positives grow at each score of
    frauds, and between two of them. Legitimate transactions between two scores of frauds are one step: no figure
    depends on their order, and no curve has a bend there.
    """

    positives: Array
    negatives: Array

    @classmethod
    def from_scores(cls, labels: Array, scores: Array, weights: Array | None = None) -> Ranking:
        """labels: 0 or 1 [n]; scores: float [n], higher is more suspect; weights: float [n], all 1 by default."""
        sums = _Sums.from_scores(labels, scores, weights)
        (there,) = np.nonzero(sums.rows.sum(axis=0))
        negatives, positives = sums.weights[:, there[::-1]]
        return cls(positives, negatives)

    def average_precision(self) -> float:
        """Average precision: the sum over the thresholds of precision times gain in recall; NaN without frauds.

        As sklearn.metrics.average_precision_score, without interpolation, which would be too optimistic (Davis and
        Goadrich 2006).
        """
        caught, false_alarms = np.cumsum(self.positives), np.cumsum(self.negatives)
        if not len(caught) or caught[-1] == 0:
            return float("nan")
        flagged = caught + false_alarms
        precision = np.divide(caught, flagged, out=np.zeros_like(caught), where=flagged > 0)
        return float(np.sum(precision * self.positives) / caught[-1])

    def roc_auc(self) -> float:
        """Chance that a fraud scores above a legitimate transaction, where ties count half; NaN with one class only."""
        total_positive, total_negative = self.positives.sum(), self.negatives.sum()
        if total_positive == 0 or total_negative == 0:
            return float("nan")
        above = np.cumsum(self.positives) - self.positives / 2
        return float(np.sum(self.negatives * above) / (total_positive * total_negative))

    def recall_at_false_positive_rate(self, rate: float) -> float:
        """Recall at the lowest threshold with at most this false-positive rate; NaN with one class only."""
        total_positive, total_negative = self.positives.sum(), self.negatives.sum()
        if total_positive == 0 or total_negative == 0:
            return float("nan")
        within = np.cumsum(self.negatives) <= rate * total_negative * (1 + SLACK)
        return float(self.positives[within].sum() / total_positive) if within.any() else 0.0

    def recall_at_precision(self, precision: float) -> float:
        """The largest recall of any threshold with at least this precision; 0 where there is none."""
        caught, false_alarms = np.cumsum(self.positives), np.cumsum(self.negatives)
        if not len(caught) or caught[-1] == 0:
            return float("nan")
        enough = caught >= precision * (caught + false_alarms) * (1 - SLACK)
        return float(caught[enough & (caught > 0)].max(initial=0.0) / caught[-1])


def average_precision(labels: Array, scores: Array, weights: Array | None = None) -> float:
    """Average precision of scores [n] for labels [n] under weights [n]."""
    return Ranking.from_scores(labels, scores, weights).average_precision()


def precision_at_most_suspect(labels: Array, scores: Array, weights: Array, days: Array, alerts: float) -> float:
    """Share of fraud among the `alerts` most suspect transactions of each day, over all days.

    Precision at k a day (Dal Pozzolo et al. 2018, "Credit card fraud detection: a realistic modeling", who count cards
    and call it "card precision"), for transactions. Of equal scores the earlier row comes first. NaN without rows.

    Args:
      labels, scores, weights: float [n]; a row of weight w counts as w transactions.
      days: the number of each row's day, [n].
      alerts: transactions that are looked at in a day.
    """
    caught = flagged = 0.0
    for day in np.unique(days):
        (rows,) = np.nonzero(days == day)
        of_day = weights[rows].astype(np.float64)
        most = int(min(len(rows), alerts / of_day.min() + 1)) if len(rows) else 0
        if most < len(rows):  # no need to sort the others
            limit = np.partition(scores[rows], len(rows) - most)[len(rows) - most]
            kept = scores[rows] >= limit
            rows, of_day = rows[kept], of_day[kept]
        order = np.argsort(-scores[rows], kind="stable")
        rows, of_day = rows[order], of_day[order]
        # the row that exceeds the number counts as far as it fits
        within = np.clip(alerts - (np.cumsum(of_day) - of_day), 0, of_day)
        caught += float(within @ (labels[rows] > 0))
        flagged += float(within.sum())
    return caught / flagged if flagged else float("nan")


def brier(labels: Array, probabilities: Array, weights: Array) -> float:
    """Weighted mean squared difference of probability and label (Brier 1950); NaN without rows."""
    if not len(labels):
        return float("nan")
    return float(np.average((probabilities.astype(np.float64) - (labels > 0)) ** 2, weights=weights))


def log_loss(labels: Array, probabilities: Array, weights: Array) -> float:
    """Weighted mean cross-entropy in nats; NaN without rows.

    Probabilities stay away from 0 and 1 by float32's epsilon, as in sklearn.
    """
    if not len(labels):
        return float("nan")
    smallest = float(np.finfo(np.float32).eps)
    sure = np.clip(probabilities.astype(np.float64), smallest, 1 - smallest)
    return float(-np.average(np.log(np.where(labels > 0, sure, 1 - sure)), weights=weights))


class Interval(NamedTuple):
    """Percentile interval of a bootstrap (Efron 1979)."""

    lower: float
    upper: float

    @classmethod
    def from_draws(cls, drawn: Array, shift: float = 0.0) -> Interval:
        """The interval of a figure, moved by `shift`; NaN where the figure is defined in no resample.

        drawn: the figure in each resample, [resamples]; NaN where it is not defined, which leaves that one out.
        """
        defined = drawn[~np.isnan(drawn)]
        if not len(defined):
            return cls(float("nan"), float("nan"))
        lower, upper = np.quantile(defined, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]) + shift
        return cls(float(lower), float(upper))


def _resampled(weights: Array, squares: Array, seed: int) -> Iterator[Array]:
    """Weights of the groups in RESAMPLES resamples, some resamples at a time: float64 [resamples, groups].

    Each row is drawn a Poisson(1) number of times, the limit of drawing with replacement (Chamandy et al. 2012). The
    weight of a group is a multiple of a Poisson number with the same mean and variance: where the rows of a group have
    equal weights, this is exactly the distribution of drawing each row by itself.

    Args:
      weights, squares: sums of the rows' weights and of their squares, float64 [groups].
    """
    scale = np.divide(squares, weights, out=np.ones_like(weights), where=weights > 0)
    generator = np.random.default_rng(seed)
    at_once = max(1, _DRAWS // max(1, len(weights)))
    for start in range(0, RESAMPLES, at_once):
        yield scale * generator.poisson(weights / scale, (min(at_once, RESAMPLES - start), len(weights)))


def _steps(scores: Array, thresholds: Array) -> Array:
    """The first of the falling thresholds that stops each row, int64 [n]: 0 is the highest, their number means none.

    thresholds: rising, distinct.
    """
    return len(thresholds) - np.searchsorted(thresholds, scores, side="right")


def _evenly_spaced(thresholds: Array) -> Array:
    """At most `_MOST_STEPS` of the thresholds, evenly spaced by rank."""
    if len(thresholds) <= _MOST_STEPS:
        return thresholds
    some: Array = thresholds[np.linspace(0, len(thresholds) - 1, _MOST_STEPS).round().astype(int)]
    return some


def _figures(fraud: Array, tied: Array, others: Array) -> dict[str, Array]:
    """Ranking figures of resamples, by name, [resamples] each; NaN where a class is missing.

    Args:
      fraud, tied, others: weights at each step and, in the last column, below all steps, float64
        [resamples, steps + 1]: of frauds, of legitimate transactions that score as a fraud does, and of the others.
    """
    legitimate = tied + others
    caught, passed = np.cumsum(fraud, axis=1), np.cumsum(legitimate, axis=1)
    frauds, legitimates = caught[:, -1], passed[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.divide(caught, caught + passed, out=np.zeros_like(caught), where=caught > 0)
        above = tied * (caught - fraud / 2) + others * (caught - fraud)
        within = passed <= 0.01 * legitimates[:, None] * (1 + SLACK)
        return {
            "average_precision": np.sum(precision * fraud, axis=1) / frauds,
            "roc_auc": np.sum(above, axis=1) / (frauds * legitimates),
            "recall_at_1_percent_false_positives": np.where(
                legitimates > 0, np.max(np.where(within, caught, 0.0), axis=1) / frauds, np.nan
            ),
        }


RANKED = ("average_precision", "roc_auc", "recall_at_1_percent_false_positives")


def bootstrap(labels: Array, scores: Array, weights: Array, *, seed: int = 0) -> dict[str, Interval]:
    """95 % intervals of the figures named in RANKED under resampling of transactions; NaN without frauds.

    Of the legitimate transactions only their weight between two scores of frauds matters, so the cost depends on the
    number of frauds, not on that of transactions.
    """
    of_rows = _Sums.from_scores(labels, scores, weights)

    def steps(values: Array) -> Array:
        """Frauds, legitimate ones that score as a fraud does, and the others: float64 [3 (k + 1)], highest first."""
        legitimate, fraud = values[:, ::-1]
        return np.concatenate([fraud[1::2], [0.0], legitimate[1::2], [0.0], legitimate[::2]])

    sums, squares = steps(of_rows.weights), steps(of_rows.squares)
    drawn = [_figures(*np.split(part, 3, axis=1)) for part in _resampled(sums, squares, seed)]
    return {name: Interval.from_draws(np.concatenate([part[name] for part in drawn])) for name in RANKED}


def bootstrap_difference(
    labels: Array, scores: Array, others: Array, weights: Array, *, seed: int = 0
) -> tuple[float, Interval]:
    """Average precision of `scores` minus that of `others` on the same transactions, and its 95 % interval.

    Each resample draws the same transactions for both (a paired bootstrap), so what makes a transaction hard for both
    cancels out. Where frauds have more than 200 different scores, the resamples use 200 of them, and the interval is
    moved by what that changes in the difference itself.

    Args:
      labels, scores, others, weights: [n].
    """
    is_fraud = np.asarray(labels) > 0
    both = (np.asarray(scores), np.asarray(others))
    thresholds = [_evenly_spaced(np.unique(each[is_fraud])) for each in both]
    counts = [len(each) + 1 for each in thresholds]
    # rows of equal class and equal steps count alike for both
    kinds = np.zeros((3, 2 * counts[0] * counts[1]))
    for part in _parts(len(is_fraud)):
        steps = [_steps(each[part], falling) for each, falling in zip(both, thresholds, strict=True)]
        which = (steps[0] * counts[1] + steps[1]) * 2 + is_fraud[part]
        weight = np.asarray(weights[part], np.float64)
        for kind, values in zip(kinds, (None, weight, weight * weight), strict=True):
            kind += np.bincount(which, values, len(kind))
    (groups,) = np.nonzero(kinds[0])
    sums, squares = kinds[1:, groups]
    at = groups // 2 // counts[1], groups // 2 % counts[1]

    def precisions(drawn: Array, of: int) -> Array:
        """Average precision of one of the two in each resample, [resamples]."""
        by_step = _added(drawn, at[of] * 2 + groups % 2, counts[of] * 2)
        legitimate, fraud = by_step[:, ::2], by_step[:, 1::2]
        return _figures(fraud, np.zeros_like(fraud), legitimate)["average_precision"]

    drawn = np.concatenate([precisions(part, 0) - precisions(part, 1) for part in _resampled(sums, squares, seed)])
    by_steps = float((precisions(sums[None], 0) - precisions(sums[None], 1))[0])
    exact = average_precision(labels, scores, weights) - average_precision(labels, others, weights)
    return exact, Interval.from_draws(drawn, exact - by_steps)


def _added(drawn: Array, groups: Array, count: int) -> Array:
    """The sums of the columns of each group: from [resamples, n] to [resamples, count]."""
    order = np.argsort(groups, kind="stable")
    present, begins = np.unique(groups[order], return_index=True)
    added = np.zeros((len(drawn), count))
    added[:, present] = np.add.reduceat(drawn[:, order], begins, axis=1)
    return added


def bootstrap_sum(values: Array, weights: Array, *, seed: int = 0) -> Interval:
    """95 % interval of the weighted sum of values, float [n], under resampling of transactions."""
    (nonzero,) = np.nonzero(values)
    values, weights = np.asarray(values, np.float64)[nonzero], np.asarray(weights, np.float64)[nonzero]
    drawn = [part @ values for part in _resampled(weights, weights * weights, seed)]
    return Interval.from_draws(np.concatenate(drawn))
