"""Splits: by time none looks ahead, by hash none shares a row, and each has both classes."""

from __future__ import annotations

import io
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from components.reading import splits
from components.reading.settings import SPLITS, SplitSettings
from components.reading.splits import SplitCounts, SplitPlan, plan_splits, split_keys
from trainer.columns import Columns
from trainer.errors import InputError

TIMED = Columns(label="fraud", time="at", amount="euros")
UNTIMED = Columns(label="fraud", numeric=("score",), categorical={"country": "string", "terminal": "integer"})
# The machine may be busy.
unhurried = hypothesis_settings(deadline=None)
HALVES = SplitSettings(train=0.5, eval=0.25, test=0.25)


def timed(times: Sequence[float], frauds: Sequence[int]) -> pa.RecordBatch:
    arrays = [pa.array(times, pa.float64()), pa.array([1.0] * len(times)), pa.array(frauds, pa.int64())]
    return pa.RecordBatch.from_arrays(arrays, names=["at", "euros", "fraud"])


def untimed(rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    """Rows of score, country, terminal, fraud; None: missing."""
    kinds = {"score": pa.float64(), "country": pa.string(), "terminal": pa.int64(), "fraud": pa.int64()}
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(kinds)
    arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds.values(), strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=list(kinds))


def chunks(batch: pa.RecordBatch, size: int) -> list[pa.RecordBatch]:
    return [batch.slice(start, size) for start in range(0, batch.num_rows, size)]


fractions = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)).map(
    lambda parts: SplitSettings(**{n: part / sum(parts) for n, part in zip(SPLITS, parts, strict=True)})
)
unordered_times = st.lists(st.one_of(st.integers(0, 20), st.floats(-1e9, 1e9)).map(float), min_size=12, max_size=120)


@unhurried
@given(times=unordered_times, settings=fractions, batch_rows=st.integers(1, 50))
def test_no_split_by_time_has_a_row_that_is_earlier_than_one_of_the_split_before(
    times: list[float], settings: SplitSettings, batch_rows: int
) -> None:
    # a fraud and a legitimate transaction at each time: only ties can leave a split without one of them
    both = [time for time in times for _ in range(2)]
    batch = timed(both, [0, 1] * len(times))
    try:
        plan, summaries = plan_splits(chunks(batch, batch_rows), TIMED, settings)
    except InputError:
        biggest_tie = max(Counter(both).values())
        # Only where one moment holds as much as a split does, or a split is smaller than a pair.
        assert biggest_tie + 1 >= len(both) * min(settings.train, settings.eval, settings.test)
        return
    split = np.concatenate([plan.assign(part, TIMED) for part in chunks(batch, batch_rows)])

    assert len(split) == len(both)
    at = np.array(both)
    spans = [(at[split == index].min(), at[split == index].max()) for index in range(len(SPLITS))]
    # strictly: what happens at the same time stays together
    assert spans[0][1] < spans[1][0]
    assert spans[1][1] < spans[2][0]
    assert [(summary.first, summary.last) for summary in summaries] == spans
    assert [summary.name for summary in summaries] == list(SPLITS)
    assert [summary.rows for summary in summaries] == np.bincount(split, minlength=3).tolist()
    assert [summary.frauds for summary in summaries] == [summary.rows // 2 for summary in summaries]


@unhurried
@given(times=unordered_times, settings=fractions)
def test_a_split_by_time_misses_its_fraction_by_less_than_one_tie(times: list[float], settings: SplitSettings) -> None:
    both = [time for time in times for _ in range(2)]
    try:
        _, summaries = plan_splits([timed(both, [0, 1] * len(times))], TIMED, settings)
    except InputError:
        assume(False)
    biggest_tie = max(Counter(both).values())
    before_eval = summaries[0].rows
    before_test = before_eval + summaries[1].rows
    for rows, share in ((before_eval, settings.train), (before_test, settings.train + settings.eval)):
        assert rows <= len(both) * share + 1e-9
        assert rows > len(both) * share - 1 - biggest_tie


def test_distinct_times_give_the_exact_fractions_in_whatever_order_they_come() -> None:
    order = np.random.default_rng(0).permutation(200)
    times = np.repeat(np.arange(100.0), 2)[order]
    frauds = np.tile([0, 1], 100)[order]
    plan, summaries = plan_splits(chunks(timed(times, frauds), 7), TIMED, HALVES)
    assert plan == SplitPlan("time", (50.0, 75.0))
    assert [summary.to_json() for summary in summaries] == [
        {"name": "train", "rows": 100, "frauds": 50, "first": 0.0, "last": 49.0},
        {"name": "eval", "rows": 50, "frauds": 25, "first": 50.0, "last": 74.0},
        {"name": "test", "rows": 50, "frauds": 25, "first": 75.0, "last": 99.0},
    ]


def test_times_with_an_offset_are_ordered_by_the_moment_and_not_by_the_text() -> None:
    columns = Columns(label="fraud", time="at", time_format="iso8601")
    hours = ["2024-01-01T02:00:00+02:00", "2024-01-01T01:00:00Z", "2024-01-01T00:00:00-02:00", "2024-01-01T03:00:00Z"]
    moments = [moment for moment in hours for _ in range(2)]
    batch = pa.RecordBatch.from_arrays(
        [pa.array(moments), pa.array([0, 1] * len(hours), pa.int64())], names=["at", "fraud"]
    )
    plan, summaries = plan_splits([batch], columns, HALVES)
    assert plan.assign(batch, columns).tolist() == [0, 0, 0, 0, 1, 1, 2, 2]
    assert [summary.rows for summary in summaries] == [4, 2, 2]


def plan_by_sorting(batch: pa.RecordBatch, settings: SplitSettings) -> SplitPlan:
    """The definition: eval and test begin at the rows that stand at their shares of all rows in order."""
    ordered = np.sort(batch.column(0).to_numpy())
    places = [int(len(ordered) * share) for share in (settings.train, settings.train + settings.eval)]
    first, second = (float(ordered[min(place, len(ordered) - 1)]) for place in places)
    return SplitPlan("time", (first, second))


def both_classes(times: Sequence[float]) -> pa.RecordBatch:
    return timed([time for time in times for _ in range(2)], [0, 1] * len(times))


@unhurried
@given(times=unordered_times, settings=fractions, batch_rows=st.integers(1, 50), pending=st.integers(1, 60))
def test_a_plan_from_counts_is_the_one_from_all_rows_in_order(
    times: list[float], settings: SplitSettings, batch_rows: int, pending: int
) -> None:
    batch = both_classes(times)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(splits, "_MOST_PENDING", pending)
        try:
            plan, _ = plan_splits(chunks(batch, batch_rows), TIMED, settings, most_bins=len(set(times)))
        except InputError:
            assume(False)
    assert plan == plan_by_sorting(batch, settings)


@unhurried
@given(
    times=unordered_times,
    settings=fractions,
    most_bins=st.integers(3, 60),
    batch_rows=st.integers(1, 50),
    pending=st.integers(1, 60),
)
def test_a_plan_from_few_bins_is_near_in_order_and_independent_of_the_batches(
    times: list[float], settings: SplitSettings, most_bins: int, batch_rows: int, pending: int
) -> None:
    batch = both_classes(times)
    try:
        plan, summaries = plan_splits([batch], TIMED, settings, most_bins)
    except InputError:
        assume(False)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(splits, "_MOST_PENDING", pending)
        assert plan_splits(chunks(batch, batch_rows)[::-1], TIMED, settings, most_bins) == (plan, summaries)

    split, at = plan.assign(batch, TIMED), batch.column(0).to_numpy()
    spans = [(at[split == index].min(), at[split == index].max()) for index in range(len(SPLITS))]
    assert [(summary.first, summary.last) for summary in summaries] == spans
    assert spans[0][1] < spans[1][0]
    assert spans[1][1] < spans[2][0]
    assert [summary.rows for summary in summaries] == np.bincount(split, minlength=3).tolist()
    # the length of a bin, as defined; what is cut off from a split is less than the rows in one of them
    lengths = (2.0**power for power in range(-30, 40))
    length = 0.0 if len(set(times)) <= most_bins else next(x for x in lengths if len(set(at // x)) <= most_bins)
    largest = max(Counter((at // length if length else at).tolist()).values())
    for start, share in zip(plan.starts, (settings.train, settings.train + settings.eval), strict=True):
        assert 0 <= int(len(at) * share) - (at < start).sum() < largest


def test_more_moments_than_bins_cost_a_split_less_than_a_thousandth_of_its_rows() -> None:
    generator = np.random.default_rng(0)
    times = generator.uniform(1.6e9, 1.7e9, 100_000)
    batch = timed(times.tolist(), (np.arange(len(times)) % 2).tolist())
    plan, summaries = plan_splits(chunks(batch, 7000), TIMED, HALVES, most_bins=5000)
    assert [summary.rows / len(times) for summary in summaries] == pytest.approx([0.5, 0.25, 0.25], abs=1e-3)
    assert plan.starts[0] in times
    assert plan.starts == pytest.approx(plan_by_sorting(batch, HALVES).starts, abs=2**15)


# Few different values, so that equal rows are common; gaps, so that pandas would change the type of a column.
rows_with_gaps = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from([0.0, 1.5]), st.floats(-1e6, 1e6).map(lambda value: value + 0.0)),
        st.one_of(st.none(), st.sampled_from(["NL", "DE", "Côte d'Ivoire"])),
        st.one_of(st.none(), st.integers(-2, 2), st.integers(-(2**63) + 1, 2**63 - 1)),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=40,
)


@unhurried
@given(rows=rows_with_gaps, batch_rows=st.integers(1, 40), seed=st.integers(0, 2**70), data=st.data())
def test_the_split_by_hash_depends_on_the_values_of_the_row_alone(
    rows: list[tuple[Any, ...]], batch_rows: int, seed: int, data: st.DataObject
) -> None:
    whole = split_keys(untimed(rows), UNTIMED, "random", seed)
    assert ((whole >= 0) & (whole <= 1)).all()
    by_row: dict[tuple[Any, ...], float] = {}
    for row, key in zip(rows, whole, strict=True):
        assert by_row.setdefault(row, key) == key

    # in other batches, and in another order, as another set of files would bring them
    in_parts = [split_keys(part, UNTIMED, "random", seed) for part in chunks(untimed(rows), batch_rows)]
    np.testing.assert_array_equal(np.concatenate(in_parts), whole)
    shuffled = data.draw(st.permutations(rows))
    keys = split_keys(untimed(shuffled), UNTIMED, "random", seed)
    assert [by_row[row] for row in shuffled] == keys.tolist()


def distinct_rows(count: int) -> list[tuple[Any, ...]]:
    return [(float(i), "NL" if i % 3 else None, i if i % 5 else None, i % 2) for i in range(count)]


def test_a_split_by_hash_has_its_fractions_and_every_row_once() -> None:
    batch = untimed(distinct_rows(6000))
    settings = SplitSettings(by="random", train=0.6, eval=0.1, test=0.3)
    plan, summaries = plan_splits(chunks(batch, 999), UNTIMED, settings)
    shares = [summary.rows / 6000 for summary in summaries]
    assert sum(summary.rows for summary in summaries) == 6000
    assert shares == pytest.approx([0.6, 0.1, 0.3], abs=0.02)
    assert np.bincount(plan.assign(batch, UNTIMED)).tolist() == [summary.rows for summary in summaries]
    assert [(summary.first, summary.last) for summary in summaries] == [(None, None)] * 3


def test_another_seed_moves_rows_and_the_same_one_does_not() -> None:
    batch = untimed(distinct_rows(3000))

    def split(seed: int) -> np.ndarray:
        settings = SplitSettings(by="random", train=0.5, eval=0.25, test=0.25, seed=seed)
        return plan_splits([batch], UNTIMED, settings)[0].assign(batch, UNTIMED)

    np.testing.assert_array_equal(split(1), split(1))
    # Two independent draws agree on 0.5² + 0.25² + 0.25² of the rows.
    assert (split(1) == split(2)).mean() == pytest.approx(0.375, abs=0.03)
    assert (split(0) == split(1)).mean() == pytest.approx(0.375, abs=0.03)


def refusal(times: Sequence[float], frauds: Sequence[int], settings: SplitSettings, columns: Columns = TIMED) -> str:
    """Why the rows can't be divided; "" where they can."""
    try:
        plan_splits([timed(times, frauds)], columns, settings)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize(("everywhere", "what"), [(0, "fraud"), (1, "legitimate transaction")])
def test_a_split_with_one_class_alone_is_refused_and_shares_that_work_are_named(
    name: str, everywhere: int, what: str
) -> None:
    split_of_row = [0] * 20 + [1] * 10 + [2] * 10
    frauds = [everywhere if SPLITS[split] == name else row % 2 for row, split in enumerate(split_of_row)]
    times = [float(row) for row in range(40)]
    message = refusal(times, frauds, HALVES)
    assert f"the {name} split has no {what} (frauds: " in message
    rows, count = split_of_row.count(SPLITS.index(name)), split_of_row.count(SPLITS.index(name)) * everywhere
    assert f"{name} {count} of {rows}" in message
    assert refusal(times, frauds, suggested(message)) == ""


def suggested(message: str) -> SplitSettings:
    (mapping,) = re.findall(r"these shares work: data\.split: (\{.*?\})", message)
    return SplitSettings.model_validate(yaml.safe_load(mapping))


def test_a_split_by_hash_with_one_class_alone_is_refused_too() -> None:
    rows = [(float(i), "NL", i, 0) for i in range(50)]
    by_hash = SplitSettings(by="random")
    with pytest.raises(InputError, match=r"^there is no fraud in the data: the label fraud says legitimate in all 50"):
        plan_splits([untimed(rows)], UNTIMED, by_hash)
    few = [(*row[:-1], int(i < 4)) for i, row in enumerate(rows)]
    causes = set()
    for seed in range(20):
        for shares in ({"train": 0.4, "eval": 0.3, "test": 0.3}, {"train": 0.7, "eval": 0.1, "test": 0.2}):
            settings = SplitSettings(by="random", seed=seed, **shares)
            try:
                plan_splits([untimed(few)], UNTIMED, settings)
            except InputError as error:
                causes.add(str(error).partition("): ")[2].replace(f"now {seed}", "now SEED"))
    assert {
        "which split a row is in goes by a hash of its values, equal rows stay together, and of 4 frauds none fell "
        "into a share of 0.3; try another data.split.seed, now SEED, raise data.split.eval, or name data with more",
        "its share of 0.1 of 4 frauds is less than one; raise data.split.eval, or name data with more",
    } <= causes


ties = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, 1e15, -1e9]), st.booleans(), st.integers(1, 30)),
    min_size=1,
    max_size=9,
)


@unhurried
@given(runs=ties, settings=fractions, relative=st.booleans())
def test_either_each_split_has_both_classes_or_the_cause_that_is_named_is_true(
    runs: list[tuple[float, bool, int]], settings: SplitSettings, relative: bool
) -> None:
    rows = sorted((time, int(fraud)) for time, fraud, count in runs for _ in range(count))
    times, frauds = [time for time, _ in rows], [fraud for _, fraud in rows]
    columns = TIMED.model_copy(update={"time_format": "seconds" if relative else "epoch"})
    message = refusal(times, frauds, settings, columns)
    count, moments = sum(frauds), len(set(times))

    def works(first: int, second: int) -> bool:
        """Whether each part has both classes where eval and test begin with these rows."""
        return all(len(set(part)) == 2 for part in (frauds[:first], frauds[first:second], frauds[second:]))

    borders = [row for row in range(1, len(rows)) if times[row] != times[row - 1]]
    if not message:
        _, summaries = plan_splits([timed(times, frauds)], columns, settings)
        assert all(0 < summary.frauds < summary.rows for summary in summaries)
    elif "there is no fraud in the data" in message:
        assert count == 0
    elif "there is no legitimate transaction in the data" in message:
        assert count == len(rows)
    elif "need at least one each" in message:
        assert 0 < min(count, len(rows) - count) < 3
    elif "rows have the same time" in message:
        assert moments == 1
    elif "different times, fewer than splits" in message:
        assert moments == 2
    elif "these shares work" in message:
        better = suggested(message)
        assert refusal(times, frauds, better, columns) == ""
    else:
        assert "no three parts in order of time hold both kinds each" in message
        assert not any(works(*pair) for pair in itertools.combinations(borders, 2))
    if match := re.search(r"([\d,]+) of [\d,]+ rows are at (.*?),? and rows of one time", message):
        crowds = {f"{times.count(time):,}" for time in times if times.count(time) > 0}
        assert match[1] in crowds
    if match := re.search(r"its share of (.*?) is less than one of", message):
        assert float(match[1]) * len(rows) < 1


def test_the_newest_rows_without_labels_are_named() -> None:
    message = refusal(
        [float(row) for row in range(100)], [int(row % 5 == 0 and row < 60) for row in range(100)], HALVES
    )
    assert (
        "the frauds lie between 0 s and 55 s, this split between 75 s and 99 s (the newest rows may have no" in message
    )


def test_one_moment_for_all_rows_is_named() -> None:
    message = refusal([5.0] * 6, [0, 1] * 3, HALVES)
    assert "all 6 rows have the same time, 5 s; check columns.time (at) and its format, or set data.split.by" in message
    message = refusal([0.0] * 60 + [float(row) for row in range(40)], [0, 1, 1, 0] * 25, HALVES)
    assert "61 of 100 rows are at 0 s, and rows of one time stay together; these shares work" in message


@pytest.mark.parametrize("batches", [[], [timed([], [])]], ids=["no batch", "an empty batch"])
def test_a_header_without_rows_is_refused(batches: list[pa.RecordBatch]) -> None:
    with pytest.raises(InputError, match=r"a header but no rows; name a file with transactions under data\.path"):
        plan_splits(batches, TIMED, HALVES)


@unhurried
@given(
    times=unordered_times,
    settings=fractions,
    by=st.sampled_from(["time", "random"]),
    most_bins=st.integers(2, 200),
    owners=st.lists(st.integers(0, 4), min_size=240, max_size=240),
    into=st.tuples(*[st.integers(0, 3)] * 4),
    most_pending=st.sampled_from([1, 20, splits._MOST_PENDING]),
)
def test_counts_of_parts_give_the_plan_of_one_pass(
    times: list[float],
    settings: SplitSettings,
    by: str,
    most_bins: int,
    owners: list[int],
    into: tuple[int, ...],
    most_pending: int,
) -> None:
    """Whichever part a row is in, whichever part is merged into which other, and after a way through a file."""
    settings = settings.model_copy(update={"by": by})
    batch = timed([time for time in times for _ in range(2)], [0, 1] * len(times))

    def outcome(counts: SplitCounts) -> Any:
        try:
            return counts.plan()
        except InputError as error:
            return str(error)

    whole = SplitCounts(TIMED, settings, most_bins)
    whole.add(batch)
    parts = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(splits, "_MOST_PENDING", most_pending)
        for part in range(len(into) + 1):
            counts = SplitCounts(TIMED, settings, most_bins)
            own = pa.array([owner == part for owner in owners[: batch.num_rows]])
            for chunk in chunks(batch.filter(own), 7):
                counts.add(chunk)
            counts.left_out["time"] += part
            parts.append(counts)
        for other in into:
            file = io.BytesIO()
            parts.pop().save(file)
            file.seek(0)
            parts[other % len(parts)].load(file)
        (merged,) = parts
        assert outcome(merged) == outcome(whole)
    assert merged.left_out == {"time": 10}
