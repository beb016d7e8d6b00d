"""Leaks: how well each column alone tells fraud, and which names speak of what is only known afterwards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from trainer.arrays import Array
from trainer.metrics import average_precision

MOST_ROWS = 50_000  # that each column is looked at on
# Each bin is divided into so many; its rate of fraud is smoothed towards that of the bin that it is a part of.
_BRANCHES = 8
_MOST_BINS = 4096
_PRIOR_ROWS = 1.0  # how many rows the smoothing counts as


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Whole words of a column's name. A status may be that of an order or of an account, known all along, so a name is a
# hint and no proof: only the figure of a column stops a run.
_OUTCOMES = _words_of(
    """
    fraudulent outcome outcomes resolution resolved reported chargeback chargebacks chargedback dispute disputed
    disputes investigation investigated investigator confirmed verdict adjudicated adjudication reversal
    reversed refunded recovered recovery writeoff scenario disposition flagged sanctioned
    """
)
_STATES = frozenset({"status", "decision", "review", "reviewed", "result"})
# These have a status of their own before the transaction.
_KNOWN_THINGS = _words_of(
    """
    account acct address agreement billing birth card citizenship civil client contract country credit cust
    customer device email employment family home housing job kyc loan marital marriage member membership
    merchant order origin party payee person phone pin promo residence session ship shipping store subscription
    terminal user
    """
)
_OF_FRAUDS = _words_of(
    """
    amount amt case category class code date kind label loss losses method pattern reason report ring scenario
    status time timestamp type
    """
)
_PAST = _words_of(
    """
    count counts hist historic historical history last num number past prev previous prior rate
    """
)


def known_after(name: str) -> bool:
    """Whether the name of a column suggests that its value is only known once fraud came out: a hint, and no proof.

    Whole words count, in snake_case and CamelCase alike: `fraud_type`, `CaseStatus` and `chargebackDate` suggest it,
    `account_status`, `prior_disputes` and `chargebacks_90d` do not.
    """
    words = set(_words(name))
    if words & _PAST or re.search(r"\d+ ?_?(d|day|days|h|hours|m|months|w|weeks|y)(?![a-z])", name.lower()):
        return False  # what earlier transactions came to is known by now
    if words & _OUTCOMES or {"charge", "back"} <= words or {"write", "off"} <= words:
        return True
    if words & {"fraud", "frauds", "scam"} and words & _OF_FRAUDS:
        return True
    return bool(words & _STATES) and not words & _KNOWN_THINGS


def _words(name: str) -> list[str]:
    """The words of a name, in lower case: TXFraudType and tx_fraud_type have the same."""
    return re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).lower())


def column_average_precisions(
    columns: Mapping[str, Any],
    labels: Array,
    weights: Array | None = None,
    folds: int = 5,
    seed: int = 0,
    most_rows: int = MOST_ROWS,
) -> dict[str, float]:
    """The average precision of each column alone, out of fold; of one that tells nothing it is the share of fraud.

    A number counts by its rank, in bins of bins, a category by its value, and missing values count as a value of their
    own. The rate of fraud of each is learned on the other folds, smoothed towards the overall rate, and ranks the rows
    of the fold. So a category that is different in each row tells nothing.

    Args:
      columns: numpy or Arrow arrays by name, [n] each; numbers and booleans are numbers, all else is categories.
      labels: 0 or 1, [n].
      weights: how many transactions a row stands for, [n]; 1 by default.
      folds: how many parts the rows are divided into, the frauds evenly.
      most_rows: of more rows, legitimate ones are sampled, which then weigh more; frauds only beyond half of these.

    Returns:
      By name; NaN where there is no fraud.
    """
    labels = np.asarray(labels) > 0
    weights = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    generator = np.random.default_rng(seed)
    rows, weights = _sampled(labels, weights, most_rows, generator)
    labels = labels[rows]
    fold = _folds(labels, folds, generator)
    precisions = {}
    for name, values in columns.items():
        kept = values if len(values) == len(rows) else _take(values, rows)
        precisions[name] = out_of_fold(_levels(kept, weights), labels, weights, fold)
    return precisions


def _take(values: Any, rows: Array) -> Any:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values.take(pa.array(rows))
    return np.asarray(values)[rows]


def _sampled(labels: Array, weights: Array, most: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Which rows are kept, in order, and their weights: all frauds up to half of `most`, and the rest legitimate."""
    if len(labels) <= most:
        return np.arange(len(labels)), weights
    frauds, others = np.flatnonzero(labels), np.flatnonzero(~labels)
    parts = []
    weights = weights.copy()
    kept = min(len(frauds), max(most // 2, most - len(others)))
    for place, count in ((frauds, kept), (others, most - kept)):
        if len(place) > count:
            weights[place] *= len(place) / count
            place = generator.choice(place, count, replace=False, shuffle=False)
        parts.append(place)
    rows = np.sort(np.concatenate(parts))
    return rows, weights[rows]


def _folds(labels: Array, folds: int, generator: np.random.Generator) -> Array:
    """The fold of each row at random, of each class as many in every fold: int64 [n]."""
    fold = np.empty(len(labels), np.int64)
    for place in (np.flatnonzero(labels), np.flatnonzero(~labels)):
        fold[generator.permutation(place)] = np.arange(len(place)) % folds
    return fold


def _levels(values: Any, weights: Array) -> list[Array]:
    """The bin of each row, from coarse divisions of the values to fine ones: int64 [n] each, numbered from 0."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            if pa.types.is_boolean(values.type):
                values = values.cast(pa.int8())
            else:
                encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
                indices = encoded.indices.cast(pa.int64()).fill_null(len(encoded.dictionary))
                return [indices.to_numpy(zero_copy_only=False)]
        missing = np.asarray(values.is_null())
        numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
        return _numeric_levels(numbers, missing | np.isnan(numbers), weights)
    values = np.asarray(values)
    if values.dtype.kind in "biuf":
        return _numeric_levels(values, np.isnan(values) if values.dtype.kind == "f" else np.zeros(0, bool), weights)
    codes, uniques = pd.factorize(values)
    return [np.where(codes < 0, len(uniques), codes).astype(np.int64)]


def _numeric_levels(values: Array, missing: Array, weights: Array) -> list[Array]:
    """Bins by the share of the weight that has lower values, with half of that of equal ones; missing ones are last."""
    gaps = np.flatnonzero(missing)
    if len(gaps):
        there = np.flatnonzero(~missing)
        values, own = values[there], weights[there]
    else:
        there, own = np.arange(len(values)), weights
    bins = min(_MOST_BINS, _BRANCHES ** int(np.log(max(len(values), _BRANCHES)) / np.log(_BRANCHES)))
    codes = np.zeros(len(weights), np.int64)
    codes[there] = np.minimum((_middles(values, own) * bins).astype(np.int64), bins - 1)
    levels = []
    while bins > 1:
        level = codes.copy()
        level[gaps] = bins
        levels.append(level)
        codes, bins = codes // _BRANCHES, bins // _BRANCHES
    return levels[::-1]


def _middles(values: Array, weights: Array) -> Array:
    """The share of the weight below each value, half of that of equal ones included: float64 [n], in (0, 1)."""
    if not len(values):
        return np.zeros(0)
    order = np.argsort(values)
    ordered = values[order]
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    group = np.cumsum(begins) - 1
    weight_of_group = np.bincount(group, weights[order])
    ends = np.cumsum(weight_of_group)
    middle = (ends - weight_of_group / 2) / ends[-1]
    shares = np.empty(len(values))
    shares[order] = middle[group]
    return shares


def out_of_fold(levels: list[Array], labels: Array, weights: Array, fold: Array) -> float:
    """The average precision of the rates of fraud that the other folds have for each row's bin.

    Args:
      levels: the bin of each row, from coarse to fine, each a division of the one before: int64 [n], from 0 on.
      labels: bool [n]. weights: float64 [n]. fold: int64 [n], from 0 on.
    """
    fraud_weights = weights[labels]
    total, frauds = float(weights.sum()), float(fraud_weights.sum())
    if not frauds:
        return float("nan")
    folds = int(fold.max()) + 1
    rates: Array = np.full(1, frauds / total)
    parents = np.zeros(1, np.int64)
    for level, codes in enumerate(levels):
        bins = int(codes.max()) + 1
        cells = fold * bins + codes
        of_all = np.bincount(cells, weights, folds * bins).reshape(folds, bins)
        of_frauds = np.bincount(cells[labels], fraud_weights, folds * bins).reshape(folds, bins)
        if level:
            parents = np.zeros(bins, np.int64)
            parents[codes] = levels[level - 1]
            prior = rates[:, parents]
        else:
            prior = rates
        seen, seen_frauds = of_all.sum(axis=0) - of_all, of_frauds.sum(axis=0) - of_frauds
        # a sum less one of its parts may be a little below 0
        rates = (np.maximum(seen_frauds, 0) + _PRIOR_ROWS * prior) / (np.maximum(seen, 0) + _PRIOR_ROWS)
    scores, of_frauds, others = rates.ravel(), of_frauds.ravel(), (of_all - of_frauds).ravel()
    with_frauds, with_others = of_frauds > 0, others > 0
    return average_precision(
        np.repeat([1, 0], [with_frauds.sum(), with_others.sum()]),
        np.concatenate([scores[with_frauds], scores[with_others]]),
        np.concatenate([of_frauds[with_frauds], others[with_others]]),
    )
