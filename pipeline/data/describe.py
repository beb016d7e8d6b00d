"""What is in the transactions: counts, amounts, duplicates, missing values; as tables and as a page with plots."""

from __future__ import annotations

import html
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from markupsafe import Markup

from components.reading.files import find_files
from components.reading.readers import read_batches
from components.reading.splits import row_hashes
from components.reading.values import seconds
from components.report.page import page, plot, render
from components.report.palette import BLUE, GREY, ORANGE, faint
from pipeline.data.sources import named
from trainer.arrays import Array, Floats
from trainer.columns import Columns
from trainer.errors import InputError
from trainer.sampling import SamplingRates

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Group

CLASSES = ("legitimate", "fraud")  # in the order of their labels, 0 and 1
BINS = 50
# Beyond this a page takes a browser too long; the columns that go with fraud most are shown.
PLOTTED = 60

_CELLS = 2_500_000

_COLOURS = (BLUE, ORANGE)


@dataclass(frozen=True)
class Histogram:
    """How the values of a column are spread; edges: float64 [bins + 1], counts: int64 [2, bins], by label."""

    edges: Floats
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Description:
    """What one pass for counts and one for histograms found.

    start, end: seconds, as `components.reading.values.seconds` counts them, None without a time column;
    amounts: rows count, mean, std, min, 25%, 50%, 75%, max, columns all, legitimate, fraud; None without an amount;
    duplicates: rows that repeat an earlier one in every column with a role; correlation: NaN where undefined.
    """

    origin: str
    rows: int
    frauds: int
    rates: SamplingRates
    columns: Columns
    start: float | None
    end: float | None
    amounts: pd.DataFrame | None
    duplicates: int
    missing: dict[str, int]
    histograms: dict[str, Histogram]
    correlation: pd.DataFrame

    @property
    def fraud_rate(self) -> float:
        return self.frauds / self.rows

    @property
    def weighted(self) -> str | None:
        """What the rows stand for where the data are a sample with known rates; None where they are not."""
        if self.rates == SamplingRates():
            return None
        frauds = self.frauds * self.rates.weight(1)
        legitimate = (self.rows - self.frauds) * self.rates.weight(0)
        line = (
            f"weighted by the inverse sampling rates, the rows stand for {frauds + legitimate:,.0f} transactions with "
            f"{frauds:,.0f} frauds ({_percent(frauds / (frauds + legitimate))})"
        )
        if self.amounts is not None:
            means = self.amounts.loc["mean"].fillna(0.0)
            mean = (means["legitimate"] * legitimate + means["fraud"] * frauds) / (frauds + legitimate)
            line += f", mean {self.columns.amount} {mean:,.2f}"
        return line


def describe(path: str, columns: Columns) -> Description:
    """Reads the transactions twice; keeps no more of them than amount, label and a hash of each row.

    Id and entities are not looked at: two transactions that differ in nothing else are duplicates.
    """
    columns = columns.without_carried()
    source = named(path)
    numbers = [*columns.numeric, *([columns.amount] if columns.amount else [])]
    correlated = [*numbers, columns.label]
    moments = _Moments(len(correlated))
    span = [np.inf, -np.inf]
    missing = dict.fromkeys(columns.raw_kinds, 0)
    labels: list[Array] = []
    amounts: list[Array] = []
    hashes: list[Array] = []
    lowest = np.full(len(numbers), np.inf)
    highest = np.full(len(numbers), -np.inf)
    for batch in _batches(path, columns):
        labels.append(_values(batch, columns.label).astype(np.int8))
        for name in missing:
            missing[name] += batch.column(batch.schema.get_field_index(name)).null_count
        if columns.time:
            times = seconds(batch.column(batch.schema.get_field_index(columns.time)), columns.time_kind)
            span = [min(span[0], float(times.min())), max(span[1], float(times.max()))]
        if columns.amount:
            amounts.append(_values(batch, columns.amount))
        hashes.append(row_hashes(batch, columns))
        matrix = np.column_stack([_values(batch, name) for name in correlated])
        moments.add(matrix)
        if numbers:
            lowest = np.fmin(lowest, np.fmin.reduce(matrix[:, :-1], axis=0))
            highest = np.fmax(highest, np.fmax.reduce(matrix[:, :-1], axis=0))
    if not labels:
        raise InputError(f"{path} has a header but no rows, nothing to describe; name a file with transactions")
    label = np.concatenate(labels)
    hashed = np.concatenate(hashes)
    return Description(
        origin=source.origin,
        rows=len(label),
        frauds=int(label.sum()),
        rates=source.card.sampling_rates,
        columns=columns,
        start=span[0] if columns.time else None,
        end=span[1] if columns.time else None,
        amounts=_amount_table(np.concatenate(amounts), label) if columns.amount else None,
        duplicates=len(hashed) - len(np.unique(hashed)),
        missing=missing,
        histograms=_histograms(path, columns, numbers, lowest, highest),
        correlation=pd.DataFrame(moments.correlation(), index=correlated, columns=correlated),
    )


def _batches(path: str, columns: Columns, names: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    # Wide data in smaller batches: a batch is held several times over while it is looked at.
    rows = max(1024, min(65_536, _CELLS // len(names or columns.raw_kinds)))
    for file in find_files(path):
        yield from read_batches(file.path, columns, names, rows)


def _values(batch: pa.RecordBatch, name: str) -> Floats:
    """A number's column, NaN where missing. float64 [n]"""
    column = batch.column(batch.schema.get_field_index(name))
    values: Floats = column.to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _amount_table(amounts: Floats, labels: Array) -> pd.DataFrame:
    parts = {"all": amounts, CLASSES[0]: amounts[labels == 0], CLASSES[1]: amounts[labels == 1]}
    return pd.DataFrame({name: pd.Series(values, dtype=np.float64).describe() for name, values in parts.items()})


def _histograms(
    path: str, columns: Columns, numbers: list[str], lowest: Floats, highest: Floats
) -> dict[str, Histogram]:
    bounded = {name: (low, high) for name, low, high in zip(numbers, lowest, highest, strict=True) if low <= high}
    edges = {name: bin_edges(*bounds) for name, bounds in bounded.items()}
    counts = {name: np.zeros((2, BINS), np.int64) for name in bounded}
    if not bounded:
        return {}
    for batch in _batches(path, columns, [*bounded, columns.label]):
        label = _values(batch, columns.label)
        for name in bounded:
            values = _values(batch, name)
            for index in (0, 1):
                counts[name][index] += np.histogram(values[label == index], edges[name])[0]
    return {name: Histogram(edges[name], counts[name]) for name in bounded}


def bin_edges(low: float, high: float, bins: int = BINS) -> Floats:
    """Edges of bins of equal width that hold all values from low to high, both finite: float64 [bins + 1], rising.

    Where low and high are nearer to each other than floats that far from zero tell apart, the edges reach beyond them.
    """
    low, high, most = float(low), float(high), sys.float_info.max
    width = high / bins - low / bins  # in this order, since the whole range may be larger than any float
    narrowest = 4 * max(2 * math.ulp(low / 2), 2 * math.ulp(high / 2), sys.float_info.min)
    if low == high or width < narrowest:
        beyond = bins / 2 * max(narrowest, 1 / bins if low == high else 0.0)
        low, high = max(low - beyond, -most), min(high + beyond, most)
    share = np.linspace(0.0, 1.0, bins + 1)
    edges: Floats = low * (1 - share) + high * share
    return edges


class _Moments:
    """Sums from which the correlation of each pair of columns follows, over the rows that have both, as in pandas."""

    def __init__(self, columns: int) -> None:
        shape = (columns, columns)
        self._shift: Floats | None = None
        self._count, self._sum, self._square, self._product = (np.zeros(shape) for _ in range(4))

    def add(self, matrix: Floats) -> None:
        """matrix: float64 [rows, columns], NaN where missing."""
        present = ~np.isnan(matrix)
        counts = present.sum(axis=0)
        if self._shift is None:
            # Near the mean, sums of squares lose no digits.
            self._shift = np.where(present, matrix, 0.0).sum(axis=0) / np.maximum(counts, 1)
        values = np.where(present, matrix - self._shift, 0.0)
        if present.all():
            self._count += len(matrix)
            self._sum += values.sum(axis=0)[:, None]
            self._square += (values**2).sum(axis=0)[:, None]
        else:
            mask = present.astype(np.float64)
            self._count += mask.T @ mask
            self._sum += values.T @ mask
            self._square += (values**2).T @ mask
        self._product += values.T @ values

    def correlation(self) -> Floats:
        """[columns, columns]; NaN where a column is constant or fewer than two rows have both."""
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = self._square - self._sum**2 / self._count
            # Of a constant column rounding leaves a little more than nothing.
            spread = np.where(spread > 1e-12 * self._square, spread, np.nan)
            both = self._product - self._sum * self._sum.T / self._count
            correlation: Floats = np.clip(both / np.sqrt(spread * spread.T), -1.0, 1.0)
            return correlation


# Text


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _facts(description: Description) -> list[tuple[str, str]]:
    facts = [
        ("transactions", f"{description.rows:,}"),
        ("frauds", f"{description.frauds:,} ({_percent(description.fraud_rate)})"),
        ("exact duplicates", f"{description.duplicates:,}"),
    ]
    if description.start is not None and description.end is not None:
        facts.insert(2, ("time", _span(description.start, description.end, description.columns)))
    if description.weighted:
        facts.append(("sample", description.weighted))
    return facts


def _span(start: float, end: float, columns: Columns) -> str:
    hours = (end - start) / 3600
    length = f"{hours:,.1f} hours" if hours < 96 else f"{hours / 24:,.1f} days"
    if columns.time_kind == "seconds":
        return f"{start:,.0f} s to {end:,.0f} s, {length}"
    first, last = (np.datetime64(int(moment), "s").item().isoformat(" ") for moment in (start, end))
    return f"{first} to {last} UTC, {length}"


def _amount_rows(amounts: pd.DataFrame) -> list[list[str]]:
    return [[str(name), *(f"{value:.6f}" for value in row)] for name, row in amounts.iterrows()]


def _missing_rows(description: Description) -> list[list[str]]:
    return [
        [name, f"{count:,}", _percent(count / description.rows)] for name, count in description.missing.items() if count
    ]


def as_text(description: Description) -> Group:
    """Tables for the terminal, to print with rich."""
    from rich.console import Group
    from rich.table import Column, Table

    def grid(title: str, header: list[str], rows: list[list[str]]) -> Table:
        shown = Table(title=title, title_justify="left")
        for index, name in enumerate(header):
            shown.add_column(name, justify="right" if index else "left", overflow="fold")
        for row in rows:
            shown.add_row(*row)
        return shown

    facts = Table(Column(), Column(overflow="fold"), show_header=False)
    for fact in _facts(description):
        facts.add_row(*fact)
    parts: list[Any] = [facts]
    if description.amounts is not None:
        title = str(description.columns.amount)
        parts.append(grid(title, ["", *description.amounts.columns], _amount_rows(description.amounts)))
    missing = _missing_rows(description)
    parts.append(grid("missing values", ["column", "rows", "share"], missing) if missing else "No missing values.")
    return Group(*parts)


# The page


def as_html(description: Description) -> str:
    """One page that holds all it shows, the plotting library too; it asks the network for nothing."""
    return page(description.origin.split("; ")[0], render("describe.html", **page_values(description)), plotly=True)


def page_values(description: Description) -> dict[str, Any]:
    """What the page shows, by the names of its template."""
    names = _most_telling(description)
    correlated = [*names, description.columns.label]
    return {
        "origin": description.origin,
        "facts": _facts(description),
        "amounts": _amount_values(description),
        "missing": _missing_rows(description),
        "most": PLOTTED,
        "bins": BINS,
        "chosen": len(names) if len(names) < len(description.histograms) else 0,
        "histograms": [_histogram_plot(name, description.histograms[name]) for name in names],
        "correlation": _heat_map(description.correlation.loc[correlated, correlated]) if names else None,
    }


def _amount_values(description: Description) -> dict[str, Any] | None:
    amounts = description.amounts
    if amounts is None:
        return None
    name = str(description.columns.amount)
    return {
        "name": name,
        "header": ["", *amounts.columns],
        "rows": _amount_rows(amounts),
        "plot": _box_plot(amounts, name),
    }


def _most_telling(description: Description) -> list[str]:
    """The columns to plot, in their own order: all, or those whose correlation with the label is strongest."""
    names = list(description.histograms)
    if len(names) <= PLOTTED:
        return names
    strength = description.correlation[description.columns.label].abs().fillna(0.0)
    chosen = set(sorted(names, key=lambda name: -strength[name])[:PLOTTED])
    return [name for name in names if name in chosen]


def _figure(traces: list[dict[str, Any]], height: int, **layout: Any) -> Markup:
    import plotly.graph_objects as go

    usual = {"margin": {"l": 48, "r": 8, "t": 32, "b": 32}, "font": {"size": 12}, "showlegend": False}
    return plot(go.Figure(traces), height, **{**usual, **layout})


def _histogram_plot(name: str, histogram: Histogram) -> Markup:
    middles = histogram.edges[:-1] + np.diff(histogram.edges) / 2
    traces = []
    for label, counts in enumerate(histogram.counts):
        share = counts / max(int(counts.sum()), 1)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "line": {"shape": "hvh", "color": _COLOURS[label]},
                "name": CLASSES[label],
                # A logarithm has no zero: an empty bin is a gap.
                "x": middles.tolist(),
                "y": [float(value) if value else None for value in share],
            }
        )
    return _figure(
        traces,
        220,
        title={"text": html.escape(name), "font": {"size": 14}},
        yaxis={"type": "log", "tickformat": ".0e", "nticks": 4},
        xaxis={"nticks": 5},
        hovermode="x unified",
    )


def _box_plot(amounts: pd.DataFrame, name: str) -> Markup:
    traces = []
    for label, part in enumerate(CLASSES):
        values = amounts[part]
        if not values["count"]:
            continue
        reach = 1.5 * (values["75%"] - values["25%"])
        traces.append(
            {
                "type": "box",
                "orientation": "h",
                "name": part,
                "y": [part],
                "marker": {"color": _COLOURS[label]},
                "q1": [float(values["25%"])],
                "median": [float(values["50%"])],
                "q3": [float(values["75%"])],
                "mean": [float(values["mean"])],
                "lowerfence": [float(max(values["min"], values["25%"] - reach))],
                "upperfence": [float(min(values["max"], values["75%"] + reach))],
            }
        )
    return _figure(
        traces,
        240,
        margin={"l": 80, "r": 16, "t": 8, "b": 48},
        xaxis={"title": {"text": html.escape(name)}},
    )


def _heat_map(correlation: pd.DataFrame) -> Markup:
    names = [html.escape(str(name)) for name in correlation.columns]
    values = [[None if np.isnan(value) else round(float(value), 3) for value in row] for row in correlation.to_numpy()]
    trace = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": values,
        "zmin": -1,
        "zmax": 1,
        "colorscale": [[0, _COLOURS[0]], [0.5, faint(GREY, 0.08)], [1, _COLOURS[1]]],
        "colorbar": {"thickness": 12},
        "hovertemplate": "%{x}, %{y}: %{z}<extra></extra>",
    }
    height = 200 + 16 * len(names)
    return _figure(
        [trace],
        height,
        margin={"l": 96, "r": 8, "t": 16, "b": 80},
        xaxis={"type": "category", "dtick": 1, "tickangle": -90, "showgrid": False},
        yaxis={"type": "category", "dtick": 1, "autorange": "reversed", "showgrid": False},
    )
