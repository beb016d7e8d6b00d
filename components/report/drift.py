"""How far the later splits moved away from the training split, from TFDV's statistics alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.reading.settings import SPLITS
from trainer.arrays import Array

# A divergence of so many bits is what scorecard teams call a population stability index of 0.1 ("some change") and of
# 0.25 ("a significant shift"; Siddiqi, Credit Risk Scorecards, 2006): to second order, either is a multiple of the
# same sum of (p - q)² / m.
SOME, MUCH = 0.1 / (8 * math.log(2)), 0.25 / (8 * math.log(2))
_MOST_BARS = 10
_WELL_KNOWN = 0.02  # of the rows, between the least and the most there can be up to a value

Statistics = Mapping[str, statistics_pb2.DatasetFeatureStatisticsList]
_Measurement = anomalies_pb2.DriftSkewInfo.Measurement


@dataclass(frozen=True)
class ColumnDrift:
    """A column in a later split beside the same column in the training split; missing values do not count.

    divergence: Jensen-Shannon's, in bits: 0 the same, 1 nothing in common. chance: the mean of it for two samples of
    that size from one distribution. where: the values whose share changed most, "up to 1.5" or "NL"; before and after:
    their share in the training split and in the later one; for categories, the difference is TFDV's L-infinity
    distance. bars: shares in tenths of the training split, or of the most frequent values, in either split.
    """

    divergence: float
    chance: float
    where: str
    before: float
    after: float
    bars: tuple[tuple[float, float], ...]

    @property
    def size(self) -> str:
        """little, some or much; no more than chance is little."""
        if self.divergence < max(SOME, 2 * self.chance):
            return "little"
        return "some" if self.divergence < MUCH else "much"


@dataclass(frozen=True)
class DriftMeasurement:
    """What TFDV measured where the schema sets a limit."""

    value: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.value <= self.limit


def moves(statistics: Statistics, columns: list[str]) -> dict[str, dict[str, ColumnDrift]]:
    """Of each column in eval and test; without those that have no values, or infinite ones, in either split."""
    features = {split: by_name(statistics[split]) for split in SPLITS}
    drifts: dict[str, dict[str, ColumnDrift]] = {column: {} for column in columns}
    for column in columns:
        for split in SPLITS[1:]:
            if column in features["train"] and column in features[split]:
                move = _move(features["train"][column], features[split][column])
                if move is not None:
                    drifts[column][split] = move
    return drifts


def measured(statistics: Statistics, schema: schema_pb2.Schema) -> dict[str, dict[str, DriftMeasurement]]:
    """What DataGate holds against the limits of the schema's drift comparators, by column and split.

    TFDV's figure for numbers is a Jensen-Shannon divergence over ten buckets of equal width. Two samples of one heavy
    tail differ by 0.2 and more there: their buckets are as wide as the greatest value makes them, and TFDV takes the
    values within one for spread evenly. It is shown as what the gate goes by, not as how far a column moved.
    """
    measures: dict[str, dict[str, DriftMeasurement]] = {}
    for split in SPLITS[1:]:
        anomalies = tfdv.validate_statistics(statistics[split], schema, previous_statistics=statistics["train"])
        for info in anomalies.drift_skew_info:
            for measure in info.drift_measurements:
                new = DriftMeasurement(measure.value, measure.threshold)
                old = measures.setdefault(".".join(info.path.step), {}).get(split)
                if old is None or _excess(new) > _excess(old):
                    measures[".".join(info.path.step)][split] = new
    return measures


def _excess(measure: DriftMeasurement) -> float:
    return measure.value / measure.limit if measure.limit else math.inf * measure.value


def by_name(
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    """The features of one split."""
    return {".".join(feature.path.step) or feature.name: feature for feature in statistics.datasets[0].features}


def values_counted(feature: statistics_pb2.FeatureNameStatistics) -> dict[str, float] | None:
    """How often each value of a category occurs; None where there are more values than TFDV counts one by one."""
    counts = {bucket.label: bucket.sample_count for bucket in feature.string_stats.rank_histogram.buckets}
    return counts if feature.string_stats.unique <= len(counts) else None


def _move(
    train: statistics_pb2.FeatureNameStatistics, later: statistics_pb2.FeatureNameStatistics
) -> ColumnDrift | None:
    if train.HasField("string_stats") and later.HasField("string_stats"):
        return _category_move(train, later)
    if train.HasField("num_stats") and later.HasField("num_stats"):
        first, second = (_Distribution.from_statistics(feature.num_stats) for feature in (train, later))
        return None if first is None or second is None else _number_move(first, second)
    return None


# ---- categories


def _category_move(
    train: statistics_pb2.FeatureNameStatistics, later: statistics_pb2.FeatureNameStatistics
) -> ColumnDrift | None:
    counts = [
        {bucket.label: bucket.sample_count for bucket in feature.string_stats.rank_histogram.buckets}
        for feature in (train, later)
    ]
    totals = [float(feature.string_stats.common_stats.tot_num_values) for feature in (train, later)]
    if not all(totals) or not all(counts):
        return None
    complete = [values_counted(feature) is not None for feature in (train, later)]
    # A value that the other split has beyond those that are counted one by one is of unknown share there.
    values = [
        value
        for value in dict.fromkeys([*counts[0], *counts[1]])
        if all(value in own or whole for own, whole in zip(counts, complete, strict=True))
    ]
    shares = np.array([[counts[side].get(value, 0) / totals[side] for value in values] for side in (0, 1)])
    others = np.clip(1 - shares.sum(axis=1, keepdims=True), 0, 1)
    most = int(np.abs(shares[1] - shares[0]).argmax()) if values else 0
    frequent = np.argsort(-shares.sum(axis=0), kind="stable")[: _MOST_BARS - 1]
    bars = [(float(shares[0, index]), float(shares[1, index])) for index in frequent]
    rest = 1 - np.sum(bars, axis=0) if bars else np.ones(2)
    if rest.max() > 1e-9:
        bars.append((float(rest[0]), float(rest[1])))
    divergence, chance = _divergence(np.hstack([shares, others]), totals)
    return ColumnDrift(
        divergence,
        chance,
        values[most] if values else "",
        float(shares[0, most]) if values else 1.0,
        float(shares[1, most]) if values else 1.0,
        tuple(bars),
    )


# ---- numbers


@dataclass(frozen=True)
class _Distribution:
    """What TFDV's two histograms of a number say of its distribution function.

    The one has buckets of equal width, the other as many values in each; where the one is coarse the other is fine.

    values: rising, float64 [n], each once. below and up_to: the shares of the rows that are less than, and at most,
    that value, float64 [n]; they differ where many rows have it. tenths: the edges of the second histogram.
    """

    values: Array
    below: Array
    up_to: Array
    tenths: Array
    rows: float

    @classmethod
    def from_statistics(cls, statistics: statistics_pb2.NumericStatistics) -> _Distribution | None:
        edges, shares, tenths = [], [], np.zeros(0)
        for histogram in statistics.histograms:
            counts = np.array([bucket.sample_count for bucket in histogram.buckets])
            if not counts.sum() > 0:
                return None
            own = [histogram.buckets[0].low_value, *(bucket.high_value for bucket in histogram.buckets)]
            edges += own
            shares += [0.0, *np.minimum(counts.cumsum() / counts.sum(), 1.0)]
            if histogram.type == statistics_pb2.Histogram.QUANTILES:
                tenths = np.unique(own)
        if not edges or not np.isfinite(edges).all():
            return None
        order = np.lexsort((shares, edges))
        sorted_edges, sorted_shares = np.array(edges)[order], np.maximum.accumulate(np.array(shares)[order])
        values, first = np.unique(sorted_edges, return_index=True)
        last = np.append(first[1:], len(sorted_edges)) - 1
        return cls(
            values, sorted_shares[first], sorted_shares[last], tenths, float(statistics.common_stats.tot_num_values)
        )

    def at(self, values: Array) -> tuple[Array, Array, Array]:
        """The share of rows up to each value, float64 [n]: the least and the most it can be, and between them what it
        is where values are spread evenly."""
        place = np.searchsorted(self.values, values, side="right") - 1
        here, following = np.clip(place, 0, None), np.clip(place + 1, None, len(self.values) - 1)
        least = np.where(place < 0, 0.0, self.up_to[here])
        most = np.where(place < 0, 0.0, np.where(following == here, 1.0, self.below[following]))
        width = self.values[following] - self.values[here]
        into = np.divide(values - self.values[here], width, out=np.zeros(len(values)), where=width > 0)
        return least, most, np.clip(least + into * (most - least), least, most)

    def shared(self, values: Array) -> Array:
        """Whether so many rows have the value that edges of the histograms fall on it more than once: bool [n]"""
        place = np.clip(np.searchsorted(self.values, values), 0, len(self.values) - 1)
        shared: Array = (self.values[place] == values) & (self.up_to[place] > self.below[place])
        return shared


def _number_move(train: _Distribution, later: _Distribution) -> ColumnDrift:
    edges = _edges(train, later)
    before, after = _shares_up_to(edges, train, later)
    most = int(np.abs(after - before).argmax())
    divergence, chance = _divergence(_between(np.stack([before, after])), [train.rows, later.rows])
    tenths = np.isin(edges, train.tenths[1:-1])
    bars = _between(np.stack([before[tenths], after[tenths]]))
    return ColumnDrift(
        divergence,
        chance,
        f"up to {float(format(edges[most], '.3g')):,.12g}",
        float(before[most]),
        float(after[most]),
        tuple((float(one), float(other)) for one, other in bars.T),
    )


def _edges(train: _Distribution, later: _Distribution) -> Array:
    """The training split's tenths, and further edges where both splits are known well, as between few values."""
    known = np.ones(len(train.values), bool)
    for distribution in (train, later):
        least, most, _ = distribution.at(train.values)
        known &= most - least <= _WELL_KNOWN
    return np.union1d(train.tenths, train.values[known])


def _shares_up_to(edges: Array, train: _Distribution, later: _Distribution) -> tuple[Array, Array]:
    """The share of rows up to each edge in both splits; where many rows have that value, by the benefit of the doubt.

    There a histogram tells the share to no more than a tenth, and an even spread would make a difference out of that.
    """
    least, most, even = zip(train.at(edges), later.at(edges), strict=True)
    shared = train.shared(edges) | later.shared(edges)
    closest = [np.clip(np.maximum(*least), least[side], np.maximum(least[side], most[side])) for side in (0, 1)]
    before, after = (np.where(shared, closest[side], even[side]) for side in (0, 1))
    return np.maximum.accumulate(before), np.maximum.accumulate(after)


def _between(up_to: Array) -> Array:
    """Shares up to each edge as shares below the first, between each two and above the last: [2, edges + 1]."""
    return np.clip(np.diff(up_to, axis=1, prepend=0, append=1), 0, 1)


def _divergence(shares: Array, rows: list[float]) -> tuple[float, float]:
    """Jensen-Shannon divergence of two distributions over the same cells, in bits, and its mean by chance.

    Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 37 (1991). By chance:
    the mean of its second-order expansion, chi-square over (8 ln 2), with one degree of freedom less than cells.

    Args:
      shares: float64 [2, cells].
    """
    middle = shares.mean(axis=0)
    part = np.zeros_like(shares)
    np.divide(shares, middle, out=part, where=shares > 0)
    logarithms = np.log2(part, out=np.zeros_like(part), where=part > 0)
    cells = int(np.count_nonzero(middle))
    chance = (cells - 1) / (8 * math.log(2)) * sum(1 / count for count in rows)
    return min(max(float((shares * logarithms).sum() / 2), 0.0), 1.0), chance
