"""Ranking metrics on weighted examples, exact, with ties as sklearn treats them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """Scores in falling order, with what each distinct score adds to true and false positives.

    scores: float64 [k], distinct, falling; positives, negatives: float64 [k], weights at each score.
    """

    scores: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> Ranking:
        """labels: 0 or 1 [n]; scores: float [n], higher is more suspect; weights: float [n], 1 where not given."""
        scores, labels = np.asarray(scores), np.asarray(labels)
        order = np.argsort(scores)
        ordered = scores[order]
        begins = np.flatnonzero(np.concatenate([np.ones(len(scores[:1]), bool), ordered[1:] != ordered[:-1]]))
        del ordered  # of millions of transactions each array counts
        positive = labels[order] > 0
        weight = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)[order]
        positives = np.add.reduceat(np.where(positive, weight, 0.0), begins) if len(begins) else np.zeros(0)
        negatives = np.add.reduceat(np.where(positive, 0.0, weight), begins) if len(begins) else np.zeros(0)
        distinct = scores[order[begins]].astype(np.float64)
        return cls(distinct[::-1], positives[::-1], negatives[::-1])

    def average_precision(self) -> float:
        """Sum of precision times gain in recall over the thresholds; NaN without positives.

        As sklearn.metrics.average_precision_score: no interpolation, which would be too optimistic
        (Davis and Goadrich 2006).
        """
        caught, false_alarms = np.cumsum(self.positives), np.cumsum(self.negatives)
        if not len(caught) or caught[-1] == 0:
            return float("nan")
        flagged = caught + false_alarms
        precision = np.divide(caught, flagged, out=np.zeros_like(caught), where=flagged > 0)
        return float(np.sum(precision * self.positives) / caught[-1])

    def roc_auc(self) -> float:
        """Chance that a fraud scores above a legitimate transaction, ties count half; NaN with one class alone."""
        total_positive, total_negative = self.positives.sum(), self.negatives.sum()
        if total_positive == 0 or total_negative == 0:
            return float("nan")
        above = np.cumsum(self.positives) - self.positives / 2
        return float(np.sum(self.negatives * above) / (total_positive * total_negative))

    def recall_at_false_positive_rate(self, rate: float) -> float:
        """Share of fraud caught at the lowest threshold whose false positives stay within `rate` of the legitimate."""
        total_positive, total_negative = self.positives.sum(), self.negatives.sum()
        if total_positive == 0 or total_negative == 0:
            return float("nan")
        # a hair of slack: a rate that is met exactly must not be lost to rounding of the weights' sum
        within = np.cumsum(self.negatives) <= rate * total_negative * (1 + 1e-12)
        return float(self.positives[within].sum() / total_positive) if within.any() else 0.0

    def best_f1_threshold(self) -> float:
        """The score from which flagging gives the highest F1; 0.5 without positives.

        Half-way to the next lower score, so that rounding of a score at serving time changes no decision.
        """
        caught, false_alarms = np.cumsum(self.positives), np.cumsum(self.negatives)
        if not len(caught) or caught[-1] == 0:
            return 0.5
        f1 = 2 * caught / (caught[-1] + caught + false_alarms)
        best = int(np.argmax(f1))
        score = self.scores[best]
        below = self.scores[best + 1] if best + 1 < len(self.scores) else score
        middle = (score + below) / 2
        # the model keeps its threshold in float32: between neighbours there, the middle rounds to either
        return float(middle if below < np.float32(middle) <= score else score)


def average_precision(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Average precision of scores [n] for labels [n] under weights [n]."""
    return Ranking.of(labels, scores, weights).average_precision()


def bootstrap_average_precision(
    labels: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    resamples: int = 1000,
    coverage: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the average precision under resampling of transactions (Efron 1979).

    Each transaction is drawn a Poisson(1) number of times, the limit of drawing with replacement (Chamandy et al.
    2012). Of the legitimate ones only their number between two scores of frauds matters, and n of them together are
    drawn a Poisson(n) number of times: so the cost depends on the number of frauds, not of transactions, and the
    distribution is that of drawing each by itself.

    Returns:
      Lower and upper bound; NaN twice without positives.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    is_fraud = labels > 0
    if not is_fraud.any():
        return float("nan"), float("nan")
    thresholds = np.unique(scores[is_fraud])  # precision counts at these alone
    # transactions below every fraud change nothing, and are nearly all: the rest is made of the others alone
    (matters,) = np.nonzero(scores >= thresholds[0])
    # the threshold at which a transaction is first stopped, the highest being 0
    step = len(thresholds) - np.searchsorted(thresholds, scores[matters], side="right")
    # equal in class, step and weight: drawn together
    drawn_weights = np.ones(len(matters)) if weights is None else np.asarray(weights)[matters].astype(np.float64)
    distinct, which = np.unique(drawn_weights, return_inverse=True)
    groups, counts = np.unique((step * len(distinct) + which) * 2 + is_fraud[matters], return_counts=True)
    fraud, weight, at = groups % 2 > 0, distinct[groups // 2 % len(distinct)], groups // 2 // len(distinct)
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        resampled = weight * generator.poisson(counts)
        caught = np.bincount(at[fraud], resampled[fraud], len(thresholds))
        total = caught.sum()
        if total == 0:
            continue
        flagged = np.cumsum(np.bincount(at, resampled, len(thresholds)))
        precision = np.divide(np.cumsum(caught), flagged, out=np.zeros_like(caught), where=flagged > 0)
        drawn.append(float(precision @ caught) / total)
    if not drawn:
        return float("nan"), float("nan")
    lower, upper = np.quantile(drawn, [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(lower), float(upper)
