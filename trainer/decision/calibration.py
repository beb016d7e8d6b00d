"""From a network's score to the probability of fraud, in numpy and inside the SavedModel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit

from trainer.arrays import Array
from trainer.decision.settings import CalibrationSettings

Method = Literal["none", "platt", "isotonic"]
METHODS: tuple[Method, ...] = ("none", "platt", "isotonic")  # of equal Brier scores the first is taken
LEAST = 5  # rows of each class that calibration needs
# A score of 0 or 1 has no logit, so scores stay this far from them, which is as near to 1 as float32 comes.
_EDGE = 2.0**-23
# The probabilities of one isotonic block differ by at most this share, so that the order of its scores is kept.
_TILT = 1e-3


@dataclass(frozen=True)
class Calibration:
    """A rising function from scores to probabilities.

    Platt (1999): sigmoid(slope * logit(score) + intercept). Isotonic (Zadrozny and Elkan 2002): linear between the
    points (`scores`, `probabilities`), both rising, and constant outside of them.
    """

    method: Method = "none"
    slope: float = 1.0
    intercept: float = 0.0
    scores: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    brier: Mapping[str, float] = field(default_factory=dict)  # of each method, under cross-validation
    folds: int = 0
    note: str = ""

    def __call__(self, scores: Array) -> Array:
        """Calibrated probabilities, float32 [n], of scores in [0, 1], float [n]."""
        exact = np.asarray(scores, np.float32).astype(np.float64)
        if self.method == "platt":
            exact = expit(self.slope * _logit(exact) + self.intercept)
        elif self.method == "isotonic":
            exact = np.interp(exact, self.scores, self.probabilities)
        return exact.astype(np.float32)

    def tensor(self, scores: tf.Tensor) -> tf.Tensor:
        """The same in TensorFlow: float32 [n] of float32 [n]."""
        if self.method == "none":
            return scores
        exact = tf.cast(scores, tf.float64)  # in float32 the two forms would differ
        if self.method == "platt":
            sure = tf.clip_by_value(exact, _EDGE, 1 - _EDGE)
            logit = tf.math.log(sure) - tf.math.log1p(-sure)
            return tf.cast(tf.sigmoid(self.slope * logit + self.intercept), tf.float32)
        knots, values = tf.constant(self.scores, tf.float64), tf.constant(self.probabilities, tf.float64)
        inside = tf.clip_by_value(exact, self.scores[0], self.scores[-1])
        above = tf.minimum(tf.searchsorted(knots, inside, side="right"), len(self.scores) - 1)
        below = tf.maximum(above - 1, 0)
        start, low = tf.gather(knots, below), tf.gather(values, below)
        share = tf.math.divide_no_nan(inside - start, tf.gather(knots, above) - start)
        return tf.cast(low + share * (tf.gather(values, above) - low), tf.float32)

    def to_manifest(self) -> dict[str, Any]:
        """Method, parameters, the Brier score of each method, and a note for people, as JSON has it."""
        of_method = {"platt": ("slope", "intercept"), "isotonic": ("scores", "probabilities")}
        names = ("method", *of_method.get(self.method, ()), "brier", "folds", "note")
        return {name: value for name, value in asdict(self).items() if name in names}


def calibrate(scores: Array, labels: Array, weights: Array, settings: CalibrationSettings, seed: int) -> Calibration:
    """Fits a calibration to scores of transactions that the model was not fitted to.

    Under `auto` it takes the method with the lowest Brier score under stratified cross-validation. A sample in which
    one class is rarer than in reality gives wrong probabilities (Dal Pozzolo et al. 2015, "Calibrating probability with
    undersampling for unbalanced classification"); the weights correct that, and calibration corrects what the loss does
    to the scores.

    Args:
      scores: in [0, 1], float [n].
      labels: 1 where fraud, [n].
      weights: transactions that each row stands for, float [n].
      seed: of the folds.
    """
    if settings.method == "none":
        return Calibration()
    scores, fraud, weights = np.asarray(scores, np.float32), np.asarray(labels) > 0, np.asarray(weights, np.float64)
    frauds = int(np.count_nonzero(fraud))
    rarer = min(frauds, len(fraud) - frauds)
    if rarer < LEAST:
        return Calibration(
            note=f"Not calibrated: eval has {frauds:,} fraudulent and {len(fraud) - frauds:,} legitimate transactions, "
            f"and calibration needs {LEAST} of each. Probabilities are the network's scores."
        )
    folds = min(settings.folds, rarer)
    held_out = _cross_validated(scores, fraud, weights, folds, seed)
    brier: dict[str, float] = {
        method: float(np.average((held_out[method] - fraud) ** 2, weights=weights)) for method in METHODS
    }
    method = min(METHODS, key=brier.__getitem__) if settings.method == "auto" else settings.method
    return replace(_fitted(method, _Distinct.from_scores(fraud, scores, weights)), brier=brier, folds=folds)


def _cross_validated(scores: Array, fraud: Array, weights: Array, folds: int, seed: int) -> dict[str, Array]:
    """Probabilities by method, float32 [n], each from a fit to the other folds; folds are stratified by class."""
    fold = np.empty(len(fraud), np.int8)
    generator = np.random.default_rng(seed)
    for chosen in (fraud, ~fraud):
        fold[chosen] = generator.permutation(np.count_nonzero(chosen)) % folds
    held_out: dict[str, Array] = {method: np.empty(len(fraud), np.float32) for method in METHODS}
    for number in range(folds):
        here, others = fold == number, fold != number
        distinct = _Distinct.from_scores(fraud[others], scores[others], weights[others])
        for method in METHODS:
            held_out[method][here] = _fitted(method, distinct)(scores[here])
    return held_out


@dataclass(frozen=True)
class _Distinct:
    """Distinct scores, rising, and the weights of frauds and of legitimate transactions at each: float64 [k]."""

    scores: Array
    frauds: Array
    legitimate: Array

    @classmethod
    def from_scores(cls, fraud: Array, scores: Array, weights: Array) -> _Distinct:
        """fraud: bool [n]; scores: float32 [n]; weights: float64 [n]."""
        order = np.argsort(scores)
        ordered, fraud, weights = scores[order], fraud[order], weights[order]
        begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        sums = (np.add.reduceat(np.where(of_class, weights, 0.0), begins) for of_class in (fraud, ~fraud))
        return cls(ordered[begins].astype(np.float64), *sums)


def _fitted(method: Method, distinct: _Distinct) -> Calibration:
    """Fits one method; probabilities stay within Platt's targets, off 0 and 1 as if each class had one row more."""
    scores, positives, negatives = distinct.scores, distinct.frauds, distinct.legitimate
    frauds, legitimate = positives.sum(), negatives.sum()
    lowest, highest = 1 / (legitimate + 2), (frauds + 1) / (frauds + 2)
    if method == "platt":
        return _platt(scores, positives + negatives, highest * positives + lowest * negatives)
    if method == "isotonic":
        rates = isotonic_regression(positives / (positives + negatives), weights=positives + negatives).x
        return _isotonic(scores, np.clip(rates, lowest, highest))
    return Calibration()


def _platt(scores: Array, weights: Array, targets: Array) -> Calibration:
    """Platt's sigmoid by maximum likelihood; its slope is at least 0, since a lower one would reverse the ranking.

    scores, weights, and weighted targets: float64 [k].
    """
    logits, total = _logit(scores), weights.sum()
    middle = np.average(logits, weights=weights)
    spread = max(np.sqrt(np.average((logits - middle) ** 2, weights=weights)), 1e-6)  # scores may be all alike
    scaled = (logits - middle) / spread

    def loss(parameters: Array) -> tuple[float, Array]:
        raw = parameters[0] * scaled + parameters[1]
        excess = (weights * expit(raw) - targets) / total
        mean = float((weights @ np.logaddexp(0, raw) - targets @ raw) / total)
        return mean, np.array([excess @ scaled, excess.sum()])

    fit = minimize(
        loss,
        (spread, middle),  # start from the scores as they are
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None), (None, None)],
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 500},
    )
    slope = float(fit.x[0] / spread)
    return Calibration("platt", slope=slope, intercept=float(fit.x[1] - slope * middle))


def _isotonic(scores: Array, values: Array) -> Calibration:
    """The calibration through these points; a block of equal values keeps its two ends only, slightly tilted.

    scores, values: float64 [k], rising.
    """
    begins = np.flatnonzero(np.diff(values, prepend=-1.0))
    ends = np.append(begins[1:], len(values)) - 1
    levels = values[begins]
    between = (levels[1:] + levels[:-1]) / 2
    low = np.maximum(levels * (1 - _TILT), np.append(levels[:1], between))
    high = np.minimum(levels * (1 + _TILT), np.append(between, levels[-1:]))
    single = begins == ends
    kept = np.stack([np.full(len(levels), True), ~single], axis=1)
    knots = np.stack([scores[begins], scores[ends]], axis=1)[kept]
    points = np.where(single[:, None], levels[:, None], np.stack([low, high], axis=1))[kept]
    return Calibration("isotonic", scores=tuple(knots.tolist()), probabilities=tuple(points.tolist()))


def _logit(scores: Array) -> Array:
    sure = np.clip(scores, _EDGE, 1 - _EDGE)
    logits: Array = np.log(sure) - np.log1p(-sure)
    return logits
