"""Chooses the time: of the transaction rather than of something else, and in which format it is written."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from components.reading.numbers import exact_text
from components.reading.times import fitting, joined, seconds, times
from pipeline.data import names
from pipeline.data.draft import Draft, and_, or_, text_of
from pipeline.data.looks import Look, Times
from pipeline.escaping import in_shell
from trainer.arrays import Array
from trainer.columns import TIME_FORMATS, TIME_UNITS, check_time_format
from trainer.errors import InputError

_UNIT_NAMES = {
    "epoch": "seconds",
    "epoch_fractional": "seconds with a fraction",
    "epoch_ms": "milliseconds",
    "epoch_us": "microseconds",
    "epoch_ns": "nanoseconds",
}


_LONGEST = 50 * 31_556_952.0  # in which unit so long a time counts, nothing shows
_FAR_AWAY = 10 * 31_556_952.0
# What programs write where they know no time: the starts of their calendars, and days that never come.
_PLACEHOLDER_DAYS = [
    (datetime.date.fromisoformat(day) - datetime.date(1970, 1, 1)).days
    for day in (
        *("0001-01-01", "1753-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1901-01-01"),
        *("1970-01-01", "1980-01-01", "2099-12-31", "2100-01-01", "2199-12-31"),
    )
]
_CLOCK_WORDS = names.vocabulary("time tm clock hour hh hhmm hhmmss minute uhrzeit")


def _digit_patterns(look: Look) -> list[str]:
    """The pattern of a clock of digits, by the longest of them."""
    texts = [str(value).removesuffix(".0") for value in look.values.slice(0, 5000).to_pylist()]
    longest = max(map(len, texts), default=0)
    return ["%H%M%S"] if 4 < longest <= 6 else ["%H%M"] if 2 < longest <= 4 else []


@dataclass(frozen=True)
class TimeChoice:
    """Name, format and parts of the time, None without one, and the time of each row in seconds."""

    name: str | None = None
    time_format: str = "seconds"
    parts: tuple[str, ...] = ()
    rows: Array | None = None


@dataclass(frozen=True)
class _TimeCandidate:
    """A column that could be the time.

    score: how much speaks for it; rank: of its name. absolute: whether it says which day it was. unit_needed: nothing
    shows which unit it counts.
    """

    look: Look
    found: Times
    score: float
    rank: float
    reason: str
    absolute: bool
    guessed_unit: bool = False
    unit_needed: bool = False


def _without_midnight(date: _TimeCandidate) -> str:
    """The pattern of dates, with the text of the midnight that each may end with, such as T00:00:00."""
    iso = date.found.time_format == "iso8601"
    pattern = "%Y-%m-%d" if iso else re.split(r"[^%\w]*%[HI]", date.found.time_format)[0]
    midnight = re.search(r"(?<=\d)[T ]+(00?[0:.]*|12:00(:00)? ?AM)Z?$", str(exact_text(date.look.values)[0].as_py()))
    return pattern + (midnight[0] if midnight else "")


@dataclass
class TimeChooser:
    """Chooses the time by names and values, and asks where they leave a doubt."""

    draft: Draft

    def choose(self) -> TimeChoice:
        """Raises InputError where two formats fit alike, or nothing shows the unit."""
        if self.draft.choices.time:
            return self._chosen_time(self.draft.looks[self.draft.choices.time])
        candidates = [one for look in self.draft.open() for one in self._times_of(look)]
        candidates.sort(key=lambda one: one.score, reverse=True)
        split = self._date_and_clock(candidates)
        if split is not None:
            return split
        if not candidates:
            return self._no_time()
        best = candidates[0]
        rivals = [one for one in candidates[1:] if one.look is not best.look]
        wanted = self.draft.choices.time_format
        if wanted and wanted != best.found.time_format:
            found = self._by_format(best.look, wanted)
            best = replace(best, found=found, reason=f"read by {wanted}, as you said", unit_needed=False)
        chosen = self._taken_time(best, rivals)
        self._doubt_midnight(best, chosen)
        return chosen

    def _doubt_midnight(self, best: _TimeCandidate, chosen: TimeChoice) -> None:
        """Says where all times are at midnight and another column may be the clock."""
        if not best.absolute or chosen.rows is None or np.nan_to_num(np.mod(chosen.rows, 86_400)).any():
            return
        clocks = [look.name for look in self.draft.open() if look.clock or set(names.words(look.name)) & _CLOCK_WORDS]
        if clocks:
            self.draft.doubts.append(
                f"{best.look.name}: all times are at midnight, so that no hour is known and the order within a day is "
                f"lost; {and_(clocks)} may be the clock: see columns.time_parts"
            )

    def _no_time(self) -> TimeChoice:
        like = [
            look.name
            for look in self.draft.open()
            if names.time_rank(look.name) > 0 and not names.is_duration(look.name)
        ]
        hint = (
            f" ({and_(like)} {'are' if len(like) > 1 else 'is'} named like one, but cannot be read as one)"
            if like
            else ""
        )
        self.draft.doubts.append(
            f"no column is taken for the time{hint}, so the split is random, which flatters the figures; "
            "--time and --time-format name one"
        )
        return TimeChoice()

    def _taken_time(self, best: _TimeCandidate, rivals: list[_TimeCandidate]) -> TimeChoice:
        look, found = best.look, best.found
        if found.rival and not self.draft.choices.time_format:
            raise InputError(
                f"{self.draft.path}: the time {look.name!r} has values such as {look.shown()}, which both "
                f"{found.time_format!r} and {found.rival!r} fit; say which it is: --time {in_shell(look.name)} "
                f"--time-format {in_shell(found.time_format)}"
            )
        if best.unit_needed:
            span = look.highest - look.lowest
            lengths = ", ".join(
                f"{unit}: {span * TIME_UNITS[unit] / 86_400:,.3g} days" for unit in ("seconds", "hours", "days")
            )
            units, named = or_(TIME_UNITS), in_shell(look.name)
            raise InputError(
                f"{self.draft.path}: the time {look.name!r} counts from {look.lowest:g} to {look.highest:g} in a unit "
                f"that nothing shows ({lengths}); say which: --time {named} --time-format hours (or {units})"
            )
        moments = look.seconds(found.time_format)
        self._doubt_event(best)
        if best.absolute:
            moments = self._without_placeholders(look, moments)
            self._doubt_years(look, found, moments)
        reason = f"{best.reason}{self.draft.exceptions(look, found)}"
        if found.decided_by:
            reason += f"; {found.decided_by}"
            self.draft.doubts.append(
                f"{look.name}: read by {found.time_format}: {found.decided_by}; --time-format says otherwise"
            )
        if best.guessed_unit:
            self.draft.doubts.append(
                f"{look.name}: no unit is named, so it is taken for seconds; --time-format says otherwise"
            )
        others = list(dict.fromkeys(one.look.name for one in rivals if one.rank >= 0 or one.score > 0))
        if others:
            self.draft.doubts.append(f"{look.name} is the time; {and_(others)} could be it too: --time chooses")
        self._leave_out_without_time(look, moments)
        self.draft.take(look, "time", reason)
        for rival in rivals:
            if rival.look.name not in self.draft.roles and rival.absolute:
                self.draft.take(rival.look, "ignore", f"another date or time ({rival.found.time_format})")
        return TimeChoice(look.name, found.time_format, (), look.rows_of(moments))

    def _doubt_event(self, best: _TimeCandidate) -> None:
        """Says where the name is not that of the transaction's time, and which column has a better one but no times."""
        if self.draft.choices.time:
            return
        if best.rank < 0:
            self.draft.doubts.append(
                f"{best.look.name}: by its name not the time of the transaction, but the only one there is; --time "
                "chooses, and data.split.by: random does without"
            )
        better = [
            look.name for look in self.draft.open()
            if names.time_rank(look.name) > max(best.rank, 0) and look.is_text and not look.clock
            and not look.date_formats and look.numbers is None and not names.is_duration(look.name)
        ]  # fmt: skip
        if better:
            self.draft.doubts.append(
                f"{and_(better)} cannot be read as a time, and so {best.look.name} is taken: --time and --time-format "
                "say otherwise"
            )

    def _without_placeholders(self, look: Look, moments: Array) -> Array:
        """Times without such as 1970-01-01 and 2099-12-31, where years lie between them and all others."""
        known = np.isfinite(moments)
        odd = known & np.isin(np.floor(np.where(known, moments, 0.0) / 86_400), _PLACEHOLDER_DAYS)
        others = moments[known & ~odd]
        if not odd.any() or not len(others) or not look.is_text:
            return moments
        far = (others.min() - moments > _FAR_AWAY) | (moments - others.max() > _FAR_AWAY)
        return np.where(odd & far, np.nan, moments)

    def _doubt_years(self, look: Look, found: Times, moments: Array) -> None:
        known = moments[np.isfinite(moments)]
        if not len(known):
            return
        first, last = (1970 + float(end) / 31_556_952 for end in (known.min(), known.max()))
        if first < 1990 or last > datetime.date.today().year + 2:
            self.draft.doubts.append(
                f"{look.name}: read as {found.time_format} its times are of the years {first:.0f} to {last:.0f}; if "
                "that is not right, it counts from another day or in another unit: --time-format says otherwise"
            )

    def _leave_out_without_time(self, look: Look, moments: Array) -> None:
        odd = np.flatnonzero(~np.isfinite(moments))
        rows = int(look.counts[odd].sum()) + look.missing
        if not rows:
            return
        self.draft.without.append("time")
        marks = tuple(text_of(look.values[int(place)].as_py()) for place in odd)
        if marks:
            self.draft.missing[look.name] = marks
        such = f", such as {marks[0]!r}," if marks else ""
        self.draft.doubts.append(f"{look.name}: {rows:,} row{'s' * (rows > 1)} without a time that can be read{such} "
                           f"{'are' if rows > 1 else 'is'} left out")  # fmt: skip

    def _chosen_time(self, look: Look) -> TimeChoice:
        wanted = self.draft.choices.time_format
        candidates = list(self._times_of(look, chosen=True))
        if wanted is None:
            if not candidates:
                raise InputError(
                    f"{self.draft.path}: {look.name!r} has values such as {look.shown()}, which are in no known format "
                    "of a time; say which it is with --time-format, for example --time-format '%d/%m/%Y %H:%M'"
                )
            best = max(candidates, key=lambda one: one.score)
            return self._taken_time(replace(best, reason=f"as you said; {best.reason}"), [])
        found = self._by_format(look, wanted)
        return self._taken_time(_TimeCandidate(look, found, 0.0, 0.0, f"as you said, read by {wanted}", True), [])

    def _by_format(self, look: Look, wanted: str) -> Times:
        try:
            check_time_format(wanted)
        except ValueError as error:
            raise InputError(f"--time-format: {error}") from error
        if wanted not in TIME_FORMATS and "%" not in wanted:
            raise InputError(
                f"--time-format {wanted!r} is none of {', '.join(TIME_FORMATS)}, and no pattern such as %Y-%m-%d"
            )
        try:
            moments = look.seconds(wanted)
        except (InputError, ValueError) as error:
            raise InputError(
                f"{self.draft.path}: {look.name!r} has values such as {look.shown()}, which are not {wanted}"
            ) from error
        share = float(look.counts[np.isfinite(moments)].sum() / max(look.present, 1))
        if share < 0.5:
            raise InputError(
                f"{self.draft.path}: {look.name!r} has values such as {look.shown()}, which are not {wanted}"
            )
        return Times(share, (), wanted)

    def _times_of(self, look: Look, chosen: bool = False) -> Iterator[_TimeCandidate]:
        """As which times a column could be read."""
        rank = names.time_rank(look.name)
        if names.is_never_event(look.name) and not chosen:
            return
        if look.is_other or look.is_boolean or (look.missing > 0.05 * look.rows and not chosen):
            return
        duration = names.is_duration(look.name) and not chosen
        whole = look.numbers is not None and not look.is_temporal and look.is_whole
        if not duration and (look.is_text or look.is_temporal or whole):
            for found in look.date_formats[:1]:
                if look.numbers is not None and rank <= 0 and not chosen and not look.is_temporal:
                    continue  # eight digits may be anything
                moments = look.seconds(found.time_format)
                clock = float(np.mean(np.mod(moments[np.isfinite(moments)], 86_400) != 0)) if look.different else 0.0
                score = 2 * rank + 2 * (look.in_order(moments) >= 0.95) + 1.5 * (clock > 0.5) + 1
                words = f"{100 * found.share:.4g} % dates{' and times' if clock > 0 else ''} as {found.time_format}"
                yield _TimeCandidate(look, found, score, rank, words, True)
                return
        if look.numbers is None or look.is_temporal or duration:
            return
        yield from self._numeric_times(look, rank, chosen)

    def _numeric_times(self, look: Look, rank: float, chosen: bool) -> Iterator[_TimeCandidate]:
        lowest, highest = look.lowest, look.highest
        if not np.isfinite(lowest):
            return
        order = look.in_order(look.floats)
        increasing = order >= 0.95
        share = look.numbers.share if look.numbers else 1.0
        for time_format, per_second in (("epoch", 1.0), ("epoch_ms", 1e3), ("epoch_us", 1e6), ("epoch_ns", 1e9)):
            # from 1990 to 2100
            if not (lowest / per_second >= 6.3e8 and highest / per_second < 4.1e9):
                continue
            if not (rank > 0 or increasing or chosen) or names.is_code(look.name):
                continue
            if time_format == "epoch" and not look.is_whole:
                time_format = "epoch_fractional"
            elif not look.is_whole:
                continue
            score = 2 * rank + 2 * increasing + 1.5 + 0.5
            what = f"{100 * share:.4g} % numbers as large as {_UNIT_NAMES[time_format]} since 1970"
            yield _TimeCandidate(look, Times(share, (), time_format), score, rank, what, True)
            return
        if (
            rank > 0
            and lowest >= 20_000
            and highest < 80_000
            and (not look.is_whole or increasing)
            and not names.unit(look.name)
        ):
            spread = highest - lowest
            if not look.is_whole or spread < 15_000:
                what = f"{100 * share:.4g} % numbers as a spreadsheet counts days"
                yield _TimeCandidate(
                    look, Times(share, (), "spreadsheet"), 2 * rank + 2 * increasing + 1, rank, what, True
                )
                return
        unit = names.unit(look.name)
        if (rank > 0 or unit or chosen) and lowest >= 0 and (increasing or unit or chosen):
            yield self._since_start(look, rank, unit, order, share)

    def _since_start(self, look: Look, rank: float, unit: str | None, order: float, share: float) -> _TimeCandidate:
        what = f"{100 * share:.4g} % numbers, {100 * order:.0f} % of the steps do not go down"
        if unit:
            return _TimeCandidate(look, Times(share, (), unit), 2 * rank + order, rank, f"{what}, named {unit}", False)
        span = look.highest - look.lowest
        if 3600 <= span <= _LONGEST or self.draft.choices.time_format:
            found = Times(share, (), self.draft.choices.time_format or "seconds")
            what += f"; taken for seconds, by which the data spans {span / 86_400:,.3g} days"
            return _TimeCandidate(look, found, 2 * rank + 2 * (order >= 0.95), rank, what, False, guessed_unit=True)
        return _TimeCandidate(
            look, Times(share, (), "seconds"), 2 * rank + 2 * (order >= 0.95), rank, what, False, unit_needed=True
        )

    def _date_and_clock(self, candidates: list[_TimeCandidate]) -> TimeChoice | None:
        """A date in one column and the time of day in another, or year, month, day and clock in four."""
        best = candidates[0] if candidates else None
        clocks = [look for look in self.draft.open() if look.clock and not look.missing]
        dates = [
            one for one in candidates
            if one.absolute and ("%" in one.found.time_format or one.found.time_format == "iso8601")
            and not one.found.rival and not one.look.missing
            and not np.nan_to_num(np.mod(one.look.seconds(one.found.time_format), 86_400)).any()
        ]  # fmt: skip
        year_month_day = self._year_month_day()
        if dates and dates[0] is best:
            date = dates[0]
            pattern = _without_midnight(date)
            for clock in [*clocks, *self._digit_clocks()]:
                for clock_format in clock.clock_patterns if clock.clock else _digit_patterns(clock):
                    joined = self._joined([date.look, clock], f"{pattern} {clock_format}")
                    if joined is not None:
                        self._doubt_event(date)
                        return joined
        if year_month_day and (best is None or best.rank < 2 or not best.absolute):
            for clock in [*clocks, *self._hours()]:
                for clock_format in clock.clock_patterns if clock.clock else ("%H",):
                    joined = self._joined([*year_month_day, clock], f"%Y %m %d {clock_format}")
                    if joined is not None:
                        return joined
            return self._joined(year_month_day, "%Y %m %d")
        return None

    def _year_month_day(self) -> list[Look]:
        found = []
        for word, low, high in (("year", 1950, 2100), ("month", 1, 12), ("day", 1, 31)):
            fitting = [
                look for look in self._open_or_constant()
                if names.words(look.name)[-1:] == [word] and look.numbers is not None and look.is_whole
                and not look.missing and low <= look.lowest and look.highest <= high
            ]  # fmt: skip
            if not fitting:
                return []
            found.append(fitting[0])
        return found

    def _open_or_constant(self) -> list[Look]:
        """Of some days' transactions the year is always the same, and useless but for the time."""
        constant = [
            look for name, look in self.draft.looks.items()
            if self.draft.roles.get(name) == "ignore" and look.different == 1
        ]  # fmt: skip
        return [*self.draft.open(), *constant]

    def _digit_clocks(self) -> list[Look]:
        """Columns named like a clock whose values are digits, such as 73648 or 0736."""
        return [
            look for look in self.draft.open()
            if set(names.words(look.name)) & {"time", "tm", "clock", "hhmm", "hhmmss"} and not look.missing
            and not look.is_temporal and (look.has_leading_zeros or (look.numbers is not None and look.is_whole))
        ]  # fmt: skip

    def _hours(self) -> list[Look]:
        return [
            look for look in self.draft.open()
            if names.words(look.name)[-1:] == ["hour"] and look.numbers is not None and look.is_whole
            and not look.missing and look.lowest >= 0 and look.highest <= 23
        ]  # fmt: skip

    def _joined(self, looks: list[Look], pattern: str) -> TimeChoice | None:
        columns = [_rows(look) for look in looks]
        text = joined(columns, pattern)
        some = text.slice(0, 1000)
        if fitting(some, pattern).mean() < 0.95 or not fitting(text, pattern).all():
            return None
        moments = seconds(times(text, pattern), "iso8601")
        name = "date_time"
        while name in self.draft.looks:
            name += "_"
        for look in looks:
            self.draft.take(look, "time part", f"a part of the time {name}, which is read by {pattern}")
        return TimeChoice(name, pattern, tuple(look.name for look in looks), moments)


def _rows(look: Look) -> pa.Array:
    """The column again, row by row."""
    return look.values.take(pa.array(look.codes, mask=look.codes < 0))
