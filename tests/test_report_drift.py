"""Drift from TFDV's statistics, against the rows they were made of and against TFDV's own figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2

from components.anomalies import SplitData, drift_findings
from components.report.drift import MUCH, SOME, ColumnDrift, Statistics, measured, moves
from trainer.columns import Columns

ROWS = {"train": 6000, "eval": 3000, "test": 3000}


def statistics(make: Any) -> Statistics:
    """Of frames that `make` draws: it is given a generator, a number of rows and whether they come later."""
    random = np.random.default_rng(7)
    return {
        split: tfdv.generate_statistics_from_dataframe(pd.DataFrame(make(random, rows, split != "train")), n_jobs=1)
        for split, rows in ROWS.items()
    }


def column(random: np.random.Generator, rows: int, later: bool) -> dict[str, Any]:
    """Columns by what they are, each with what is known of it."""
    fraud = {False: 0.03, True: 0.08}[later]
    country = {False: [0.6, 0.3, 0.1, 0.0], True: [0.35, 0.4, 0.1, 0.15]}[later]
    return {
        "same": random.normal(size=rows),
        "shifted": random.normal(loc=0.4 * later, size=rows),
        "heavy tail": random.standard_cauchy(rows),
        "amount": random.lognormal(3, 2, rows),
        "apart": random.random(rows) + 5 * later,
        "constant": np.full(rows, 1.0 + later),
        "flag": (random.random(rows) < fraud).astype(np.int64),
        "many zeros": np.where(random.random(rows) < (0.12 - 0.03 * later), 0, random.lognormal(size=rows)),
        "infinite": np.where(random.random(rows) < 0.1, np.inf, random.random(rows)),
        "gone": [None if later else 1.0] * rows,
        "country": random.choice(["NL", "BE", "DE", "FR"], rows, p=country),
        "merchant": [f"merchant {number}" for number in random.integers(0, 2500, rows)],
    }


@pytest.fixture(scope="module")
def made() -> Statistics:
    return statistics(column)


@pytest.fixture(scope="module")
def moved(made: Statistics) -> dict[str, ColumnDrift]:
    names = list(column(np.random.default_rng(0), 1, False))
    return {name: by_split["test"] for name, by_split in moves(made, names).items() if by_split}


def limits(**of: tuple[str, float]) -> schema_pb2.Schema:
    """A schema whose drift comparators are (kind, threshold), by column."""
    schema = schema_pb2.Schema()
    for name, (kind, threshold) in of.items():
        kinds = {"country": schema_pb2.BYTES, "flag": schema_pb2.INT}
        feature = schema.feature.add(name=name.replace("_", " "), type=kinds.get(name, schema_pb2.FLOAT))
        getattr(feature.drift_comparator, kind).threshold = threshold
    return schema


def from_rows(name: str) -> float:
    """The divergence over twentieths of the training rows."""
    random = np.random.default_rng(7)
    rows = {split: np.asarray(column(random, count, split != "train")[name]) for split, count in ROWS.items()}
    edges = np.unique(np.quantile(rows["train"], np.linspace(0, 1, 21)[1:-1]))
    first, second = (
        np.bincount(np.searchsorted(edges, rows[split]), minlength=len(edges) + 1) / ROWS[split]
        for split in ("train", "test")
    )
    middle = (first + second) / 2
    return sum(float(np.sum(p[p > 0] * np.log2(p[p > 0] / middle[p > 0]))) for p in (first, second)) / 2


def test_a_categorys_largest_change_is_tfdvs_l_infinity_distance(
    made: Statistics, moved: dict[str, ColumnDrift]
) -> None:
    own = measured(made, limits(country=("infinity_norm", 0.1)))["country"]["test"]
    move = moved["country"]
    assert abs(move.after - move.before) == pytest.approx(own.value, abs=1e-9)
    assert move.where == "NL"
    assert (own.limit, own.passed) == (0.1, False)


def test_a_categorys_divergence_is_tfdvs(made: Statistics, moved: dict[str, ColumnDrift]) -> None:
    own = measured(made, limits(country=("jensen_shannon_divergence", 0.1)))["country"]["test"]
    assert moved["country"].divergence == pytest.approx(own.value, abs=1e-9)


@pytest.mark.parametrize("name", ["flag", "apart", "constant"])
def test_a_numbers_divergence_is_tfdvs_where_equal_buckets_do_it_justice(
    name: str, made: Statistics, moved: dict[str, ColumnDrift]
) -> None:
    own = measured(made, limits(**{name: ("jensen_shannon_divergence", 0.1)}))[name]["test"]
    assert moved[name].divergence == pytest.approx(own.value, abs=0.002)


@pytest.mark.parametrize("name", ["heavy tail", "amount"])
def test_a_heavy_tail_that_stays_has_not_moved_though_tfdvs_figure_is_high(
    name: str, made: Statistics, moved: dict[str, ColumnDrift]
) -> None:
    own = measured(made, limits(**{name.replace(" ", "_"): ("jensen_shannon_divergence", 0.1)}))[name]["test"]
    assert own.value > 0.1
    assert moved[name].divergence < 0.005
    assert moved[name].size == "little"


@pytest.mark.parametrize("name", ["same", "shifted", "heavy tail", "amount", "many zeros"])
def test_a_numbers_divergence_is_that_of_its_rows(name: str, moved: dict[str, ColumnDrift]) -> None:
    assert moved[name].divergence == pytest.approx(from_rows(name), abs=0.004)


def test_what_changed_most_is_named_with_its_shares(moved: dict[str, ColumnDrift]) -> None:
    move = moved["shifted"]
    assert move.where.startswith("up to 0.")
    assert move.before - move.after == pytest.approx(0.159, abs=0.03)  # of two unit normals, 0.4 apart
    assert move.size == "some"
    assert len(move.bars) == 10
    assert sum(before for before, _ in move.bars) == pytest.approx(1)
    assert sum(after for _, after in move.bars) == pytest.approx(1)


def test_values_that_are_all_others_have_nothing_in_common(moved: dict[str, ColumnDrift]) -> None:
    assert moved["constant"].divergence == moved["apart"].divergence == 1
    assert moved["constant"].size == "much"


def test_a_column_without_values_or_with_infinite_ones_is_left_out(moved: dict[str, ColumnDrift]) -> None:
    assert not {"gone", "infinite"} & set(moved)


def test_more_values_than_are_counted_are_no_drift(moved: dict[str, ColumnDrift]) -> None:
    assert moved["merchant"].size == "little"


def test_by_chance_two_samples_differ_by_the_expected_amount() -> None:
    small = {"train": 300, "eval": 60, "test": 60}
    random = np.random.default_rng(1)
    drawn = {
        split: tfdv.generate_statistics_from_dataframe(
            pd.DataFrame({f"column {index}": random.normal(size=rows) for index in range(12)}), n_jobs=1
        )
        for split, rows in small.items()
    }
    column_drifts = [by_split["test"] for by_split in moves(drawn, [f"column {index}" for index in range(12)]).values()]
    assert np.mean([move.divergence for move in column_drifts]) == pytest.approx(column_drifts[0].chance, rel=0.6)
    assert column_drifts[0].chance > SOME  # so that a fixed limit alone would call it drift
    assert {move.size for move in column_drifts} == {"little"}


def test_nothing_is_measured_without_limits_in_the_schema(made: Statistics) -> None:
    assert measured(made, limits()) == {}


def test_what_is_measured_is_what_the_gate_warns_of(made: Statistics) -> None:
    schema = limits(shifted=("jensen_shannon_divergence", 0.01), same=("jensen_shannon_divergence", 0.9))
    columns = Columns(label="fraud", numeric=("shifted", "same"))
    data = {split: SplitData(split, made[split], schema, columns, lambda _: ()) for split in made}
    warned = {(finding.column, finding.split) for finding in drift_findings(data) if finding.kind == "drift"}
    beyond = {
        (name, split)
        for name, by_split in measured(made, schema).items()
        for split, measure in by_split.items()
        if not measure.passed
    }
    assert warned == beyond == {("shifted", "eval"), ("shifted", "test")}


def test_the_sizes_are_those_of_a_population_stability_index() -> None:
    before, after = np.full(10, 0.1), np.full(10, 0.1) + np.tile([0.004, -0.004], 5)
    index = float(np.sum((after - before) * np.log(after / before)))
    middle = (before + after) / 2
    divergence = sum(float(np.sum(p * np.log2(p / middle))) for p in (before, after)) / 2
    assert divergence / index == pytest.approx(SOME / 0.1, rel=1e-3)
    assert divergence / index == pytest.approx(MUCH / 0.25, rel=1e-3)
