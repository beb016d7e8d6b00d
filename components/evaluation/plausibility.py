"""Figures of the data that make no sense, each in a sentence that names the likely cause."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.evaluation.settings import LEAK_HINT
from components.evaluation.words import count, decimals, duration, percent
from trainer.columns import SECONDS_A_DAY, Columns

_HOUR = 3600.0
_SHORTEST = _HOUR / 2  # a year that is counted in hours and read in seconds has a test split of 29 minutes
_LONGEST = 50 * 365.25 * SECONDS_A_DAY
# The card networks of the world together handle about two billion transactions a day.
_MOST_A_DAY = 1e9
# Two days that are counted in milliseconds and read in seconds are five years; so long a time has more transactions.
# Of dates that is no sign: a sample may be small.
_FEW_A_DAY, _LONG = 10.0, 2 * 365.25 * SECONDS_A_DAY
_MOST_ALERTS = 100  # as a multiple of the alerts that a team can look at
# Electronic payments are younger than 1970, the year in which seconds and milliseconds since 1970 begin.
_FIRST_YEAR, _LAST_YEAR = 1971, 2100

_UNIT = "is columns.time_format right (seconds, hours, days, milliseconds)?"


@dataclass(frozen=True)
class DataFacts:
    """What is known of the data that a model was made from and judged on.

    time_format: as the files have it. splits: a `SplitSummary` as JSON for each. rates: the share of each class that
    the data holds, by `SamplingRates`. alerts_a_day: of the model on the test split; None without times.
    """

    columns: Columns
    time_format: str
    splits: tuple[Mapping[str, Any], ...]
    rates: Mapping[str, float]
    alerts_a_day: float | None = None

    @property
    def frauds(self) -> float:
        """Of all splits, by their weights."""
        return float(sum(split["frauds"] for split in self.splits)) / self.rates.get("fraud", 1.0)

    @property
    def transactions(self) -> float:
        """Of all splits, by their weights."""
        legitimate = float(sum(split["rows"] - split["frauds"] for split in self.splits))
        return self.frauds + legitimate / self.rates.get("legitimate", 1.0)

    def ends(self, *names: str) -> tuple[float, float] | None:
        """First and last time of these splits, or of all; None without times."""
        splits = [split for split in self.splits if not names or split["name"] in names]
        first = [split["first"] for split in splits if split.get("first") is not None]
        last = [split["last"] for split in splits if split.get("last") is not None]
        return (min(first), max(last)) if first and last else None


def implausible(facts: DataFacts, team_alerts: int) -> list[str]:
    """What makes no sense, with the likely cause of each; team_alerts: how many a team can look at in a day."""
    return [*_times(facts), *_alerts(facts, team_alerts), *_fraud(facts)]


def remarks(facts: DataFacts) -> list[str]:
    """What is odd and no reason to stop."""
    ends = facts.ends("test")
    if ends is None or not _SHORTEST <= ends[1] - ends[0] < _HOUR:
        return []
    return [f"The test split covers only {duration(ends[1] - ends[0])}, which says little of a day"]


def _times(facts: DataFacts) -> Iterator[str]:
    whole, test = facts.ends(), facts.ends("test")
    column = f"the column {facts.columns.time}, read as {facts.time_format}"
    if test is not None and test[1] - test[0] < _SHORTEST:
        yield (
            f"the test split covers {duration(test[1] - test[0])} by {column}, too little for figures a day: {_UNIT}"
        )
    if whole is None:
        return
    span = whole[1] - whole[0]
    a_day = facts.transactions / (span / SECONDS_A_DAY) if span > 0 else 0.0
    if span > _LONGEST:
        yield f"the data covers {duration(span)} by {column}: {_UNIT}"
    elif facts.columns.time_kind == "seconds" and span > _LONG and a_day < _FEW_A_DAY:
        yield f"the data covers {duration(span)} with {count(a_day)} transactions a day by {column}: {_UNIT}"
    if a_day > _MOST_A_DAY:
        yield f"the data has {count(a_day)} transactions a day by {column}, more than all cards of the world: {_UNIT}"
    if facts.columns.time_kind != "seconds":  # since some start, so nothing is known of the year
        years = [_year(end) for end in whole]
        if years[0] < _FIRST_YEAR or years[1] > _LAST_YEAR:
            yield f"the data is of the years {years[0]} to {years[1]} by {column}: {_UNIT}"


def _alerts(facts: DataFacts, team_alerts: int) -> Iterator[str]:
    if facts.alerts_a_day is not None and facts.alerts_a_day > _MOST_ALERTS * team_alerts:
        yield (
            f"the model raises {count(facts.alerts_a_day)} alerts a day, where a team can look at {team_alerts:,} "
            f"(evaluation.alerts_a_day): {_UNIT} Do the costs make it stop too much?"
        )


def _fraud(facts: DataFacts) -> Iterator[str]:
    share = facts.frauds / facts.transactions if facts.transactions else 0.0
    if share > 0.5:
        yield (
            f"{percent(share)} of the transactions are fraud: are the label's values the wrong way round "
            f"(columns.label_values, for the column {facts.columns.label})?"
        )


def _year(seconds: float) -> int:
    """Of a time in seconds since 1970, also far outside of what a calendar has."""
    try:
        return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)).year
    except OverflowError:
        return round(1970 + seconds / (365.25 * SECONDS_A_DAY))


# ---- leaks


def too_good(figures: Mapping[str, float | None], most: float) -> Iterator[str]:
    """Why an average precision above `most` on test is not to be believed."""
    precision = figures.get("average_precision")
    if precision is not None and precision > most:
        yield (
            f"average precision is {decimals(precision)} on the test split, above the most that is believed without a "
            f"look, {most:g}: {LEAK_HINT}; once a person has looked, evaluation.max_average_precision: 1 lets it pass"
        )


def far_below_eval(figures: Mapping[str, float | None], manifest: Mapping[str, Any]) -> Iterator[str]:
    """What to look for where test is worse than eval beyond what the intervals of both allow."""
    on_eval = {end: manifest.get(f"eval_average_precision{end}") for end in ("", "_lower", "_upper")}
    on_test = {end: figures.get(f"average_precision{end}") for end in ("", "_lower", "_upper")}
    lower, upper = on_eval["_lower"], on_test["_upper"]
    if lower is not None and upper is not None and lower > upper:
        yield (
            f"Average precision is {_with_ends(on_eval)} on eval and {_with_ends(on_test)} on test, farther apart than "
            "chance explains: look for transactions that stand in train and in eval, and for columns that mean "
            "something else in later transactions"
        )


def _with_ends(values: Mapping[str, float | None]) -> str:
    return f"{decimals(values[''])} ({decimals(values['_lower'])} to {decimals(values['_upper'])})"


def way_out(sentences: Iterable[str]) -> list[str]:
    """The sentences as reasons not to bless, with the setting that accepts what they say."""
    return [
        f"{sentence} If it is right all the same, set evaluation.accept_implausible: true" for sentence in sentences
    ]
