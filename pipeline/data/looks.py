"""What the values of a column show: numbers, times or categories, in which format, and with which exceptions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from components.reading.casts import MISSING, ValueFault
from components.reading.numbers import numbers, pattern_of
from components.reading.times import ZONES, fitting, seconds, times
from pipeline.data.names import vocabulary
from trainer.arrays import Array
from trainer.columns import TIME_UNITS, NumberFormat

# What other programs write for a missing value, beside those that every reader of numbers knows.
MARKS = (
    *(
        "?",
        "-",
        "--",
        "---",
        ".",
        "\\N",
        "(null)",
        "n.a.",
        "n.a",
        "N.A.",
        "N.A",
        "na",
        "Na",
        "nil",
        "NIL",
        "none",
        "NONE",
    ),
    *(
        "missing",
        "Missing",
        "MISSING",
        "unknown",
        "Unknown",
        "UNKNOWN",
        "undefined",
        "not available",
        "#REF!",
        "#VALUE!",
    ),
    *("#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "null.", "NaT", "Inf", "-Inf", "inf", "-inf", "∞", "—", "–", "*", "N\\A"),
)
# In a category a word such as "unknown" may be one of its values: these are values nowhere.
_NO_CATEGORIES = ("?", "\\N", "(null)", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "#N/A", "NaT")
_NEGATIVE_MARKS = (-1.0, -9.0, -99.0, -999.0, -9999.0)
_POSITIVE_MARKS = (999.0, 9999.0, 99999.0, 999999.0, 9999999.0)
_FEW_VALUES = 12

# From this share of numbers on a column is one of numbers, and the rest are exceptions.
MOSTLY = 0.95
_EXCEPTIONS = 20  # different ones; a column with more is not one of numbers
_PLAIN = r"^-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
_SYMBOLS = 4
_SAMPLE = 2_000  # values by which formats are tried; what fits is then judged by all

_DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%y/%m/%d", "%y-%m-%d", "%Y-%d-%m"),
    *(
        "%Y%m%d",
        "%d %b %Y",
        "%d-%b-%Y",
        "%d/%b/%Y",
        "%d-%b-%y",
        "%d%b%Y",
        "%d %b %y",
        "%b %d %Y",
        "%b %d, %Y",
        "%Y-%b-%d",
    ),
    *(
        "%d %B %Y",
        "%B %d, %Y",
        "%B %d %Y",
        "%a %d %b %Y",
        "%a, %d %b %Y",
        "%a %b %d %Y",
        "%A, %B %d, %Y",
        "%A %d %B %Y",
        "%d. %B %Y",
        "%d. %b %Y",
        "%d de %B de %Y",
        "%d-%B-%Y",
    ),
)
_CLOCKS = (
    *("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S.%f %p", "%I:%M%p", "%I:%M:%S%p"),
    *("%H.%M.%S", "%H.%M", "%H-%M-%S", "%H%M%S", "%H%M", "%H:%M:%S,%f", "%Hh%M", "%H:%M:%S:%f"),
    *("%I.%M.%S.%f %p", "%I.%M.%S %p", "%I.%M %p", "%H.%M.%S.%f"),  # as Oracle writes them
)
# As C's ctime and asctime, Java's Date and Twitter write them: the year comes after the clock.
_WHOLES = ("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %Z %Y", "%a %b %d %H:%M:%S %z %Y")
_DIGITS = {
    **dict.fromkeys((5, 6), ("%y%m%d", "%d%m%y", "%m%d%y")),
    **{7: ("%d%m%Y", "%m%d%Y"), 8: ("%Y%m%d", "%d%m%Y", "%m%d%Y"), 10: ("%Y%m%d%H", "%y%m%d%H%M")},
    **{12: ("%Y%m%d%H%M", "%y%m%d%H%M%S"), 14: ("%Y%m%d%H%M%S",)},
    **dict.fromkeys((17, 20), ("%Y%m%d%H%M%S%f",)),
}
_A_SECOND = {"epoch": 1.0, "epoch_fractional": 1.0, "epoch_ms": 1e3, "epoch_us": 1e6, "epoch_ns": 1e9}
_ZONE_AFTER = re.compile(
    rf"(?P<blank> ?)((?P<name>(?<= )({'|'.join(ZONES)}))|[Zz]|[+-]\d{{2}}:?\d{{2}})(?P<bracket>\[[\w/+-]+\])?$"
)
_SPREADSHEET_1970 = 25_569.0
_CLOCK = r"^\d{1,2}[:.h]\d{2}([:.]\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?$"

CURRENCIES = vocabulary(
    """
    USD EUR GBP INR JPY CNY CHF CAD AUD NZD SEK NOK DKK PLN CZK HUF RON BGN TRY RUB BRL MXN ARS CLP COP PEN
    ZAR NGN KES EGP AED SAR ILS KRW TWD HKD SGD MYR THB IDR PHP VND PKR BDT LKR UAH
    """
)
_UNITS = vocabulary(
    """
    rs kr zł kč ft lei tl dh rm rp r us can a hk nt s fr sfr dm din lv ден грн руб р k m km h min
    """
) - {
    *("k", "m")  # thousands and millions, which are no mere signs
}
_SIGN = r"[^\d\s.,()+\u2212'-]*"
_AROUND = re.compile(
    rf"[-+\u2212(]?\s*({_SIGN}\.?)\s*[-+\u2212(]?\s*\d[\d.,'\s\u00a0\u202f_]*?({_SIGN})\s*[-\u2212)]?\s*({_SIGN})"
)

_EMAIL = r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$"
_IP = r"^(\d{1,3}\.){3}\d{1,3}$|^[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){3,7}$"
_UUID = r"^\{?[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12}\}?$"
_HASH = r"^(0[xX])?[0-9A-Fa-f]*(\d[0-9A-Fa-f]*[A-Fa-f]|[A-Fa-f][0-9A-Fa-f]*\d)[0-9A-Fa-f]*$"
_PHONE = r"^(\+|00)\d[\d ()/-]{6,18}\d$"
_CODES = {"e-mail addresses": _EMAIL, "IP addresses": _IP, "UUIDs": _UUID, "telephone numbers": _PHONE}


@dataclass(frozen=True)
class Found:
    """How many of the values that are present are of a kind.

    share: of the rows with a value. exceptions: the most frequent other values with their counts.
    """

    share: float
    exceptions: tuple[tuple[str, int], ...] = ()

    @property
    def mostly(self) -> bool:
        return self.share >= MOSTLY and len(self.exceptions) <= _EXCEPTIONS


@dataclass(frozen=True)
class Numbers(Found):
    """Numbers, and how they are written (None: as 1234.5); rival: another format that fits them all."""

    written: NumberFormat | None = None
    rival: NumberFormat | None = None


@dataclass(frozen=True)
class Times(Found):
    """Times of one format; rival: another format that fits them as well; decided_by: what spoke against the rival."""

    time_format: str = "iso8601"
    rival: str | None = None
    decided_by: str | None = None


class Look:
    """A column by its different values and how often each occurs.

    name: of the column. rows: of the sample. missing: of these without a value. values: the different others, as text
    without blanks around it, or of the file's own type. counts: of each, int64. first: the row of the first of each.
    """

    def __init__(
        self, name: str, column: pa.ChunkedArray, sampled: int | None = None, *, comma_divides: bool = True
    ) -> None:
        """sampled: how many of the rows are compared with those of other columns; None for all.

        comma_divides: whether a comma before three digits rather divides thousands than is a decimal mark.
        """
        self.name = name
        self._comma_divides = comma_divides
        self.rows = len(column)
        self._sampled = self.rows if sampled is None else sampled
        array = _whole(column)
        self.type = array.type
        # neither numbers nor text nor times: lists, maps, durations, bytes
        self.is_other = _is_other(self.type)
        if self.is_other:
            present = pc.is_valid(array)
            self.values = pa.array([], pa.string())
            self.codes: Array = np.full(self._sampled, -1, np.int32)
            self.counts = np.zeros(0, np.int64)
            self.missing = self.rows - int(pc.sum(present).as_py() or 0)
            return
        array, self._missing_words = _without_missing(array)
        encoded = array.dictionary_encode()
        self.values = encoded.dictionary
        self.codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        self.counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))
        self.missing = self.rows - int(self.counts.sum())
        self._first = np.zeros(len(self.values), np.int64)
        present = np.flatnonzero(self.codes >= 0)[::-1]
        self._first[self.codes[present]] = present  # of several rows the last one written is the first
        self.codes = self.codes[: self._sampled]

    @property
    def present(self) -> int:
        return self.rows - self.missing

    @property
    def different(self) -> int:
        return len(self.values)

    @property
    def is_text(self) -> bool:
        return bool(pa.types.is_string(self.type))

    @property
    def is_temporal(self) -> bool:
        return bool(pa.types.is_timestamp(self.type) or pa.types.is_date(self.type))

    @property
    def is_boolean(self) -> bool:
        return bool(pa.types.is_boolean(self.type))

    def first_row(self, value: object) -> int:
        """The first row, from 0, with a value."""
        return int(self._first[self.values.index(pa.scalar(value, self.values.type)).as_py()])

    def holds(self, text: str) -> bool:
        """Whether a text is one of its values."""
        return self.is_text and self.values.index(pa.scalar(text, self.values.type)).as_py() >= 0

    def shown(self, most: int = 3) -> str:
        """The most frequent values: 'a', 'b'."""
        order = np.argsort(-self.counts, kind="stable")[:most]
        return ", ".join(_shown(self.values[int(place)].as_py()) for place in order)

    # Numbers

    @cached_property
    def numbers(self) -> Numbers | None:
        """How many values are numbers, in the format in which most are; None where hardly any is."""
        if self.is_other or self.is_temporal or not self.present:
            return None
        if not self.is_text:
            return Numbers(1.0)
        if self.has_leading_zeros:
            return None
        known = np.asarray(pc.is_in(self.values, value_set=pa.array([*MARKS])))
        judged = self.values.filter(pa.array(~known))
        if not len(judged):
            return None
        weights = self.counts[~known]
        best: tuple[float, NumberFormat | None] = (_share(judged, weights, _PLAIN), None)
        rival: NumberFormat | None = None
        if best[0] < 1.0 or _could_be_thousands(judged, "."):
            for written in self._formats(judged):
                share = _share(judged, weights, pattern_of(written))
                if share > best[0] + 1e-9 or (
                    share == best[0] and best[1] is None and share > 0 and written.thousands == "."
                ):
                    best, rival = (share, written), None
                elif share == best[0] and best[1] is not None and share > 0:
                    rival = rival or written
        share, chosen = best
        if share < 0.5:
            return None
        pattern = _PLAIN if chosen is None else pattern_of(chosen)
        fits = np.asarray(pc.match_substring_regex(self.values, pattern=pattern))
        return Numbers(share, self._exceptions(~fits), chosen, rival)

    def _exceptions(self, which: Array) -> tuple[tuple[str, int], ...]:
        places = np.flatnonzero(which)
        order = places[np.argsort(-self.counts[places], kind="stable")][: _EXCEPTIONS + 1]
        return tuple((self.values[int(place)].as_py(), int(self.counts[place])) for place in order)

    def _formats(self, judged: pa.Array) -> Iterator[NumberFormat]:
        """Formats that some values suggest, the usual ones first."""
        some = judged.slice(0, _SAMPLE)
        symbols = _symbols(some)
        texts = some.to_pylist()
        marks = {mark for mark in ".,' _" if any(mark in _digits_only(text) for text in texts)}
        blanks = any(re.search(r"\d[\s\u00a0\u202f]\d", text) for text in texts)
        options = [
            *([] if self._comma_divides else [(",", "")]),
            (".", ""),
            (".", ","),
            (",", ""),
            (",", "."),
            (",", " "),
            (".", " "),
            (".", "'"),
            (",", "'"),
            (".", "_"),
        ]
        if _could_be_thousands(judged, ".") and "," not in marks:
            options.insert(0, (",", "."))
        for decimal, thousands in options:
            needed = {thousands} - {"", " "} | ({","} if decimal == "," and not thousands else set())
            if needed - marks or (thousands == " " and not blanks):
                continue
            if (
                (decimal, thousands) == (".", "")
                and not symbols
                and not any("(" in text or text.startswith("+") or text.endswith("-") for text in texts)
            ):
                continue
            if decimal == "," and not thousands and self._comma_divides and _could_be_thousands(judged, ","):
                continue
            yield NumberFormat(decimal=decimal, thousands=thousands, symbols=symbols)

    def take_for_quantity(self) -> None:
        """Reads its values as numbers, although some have leading zeros."""
        if self.has_leading_zeros:
            self.__dict__["has_leading_zeros"] = False
            for name in ("numbers", "floats", "is_whole", "lowest", "highest"):
                self.__dict__.pop(name, None)

    @cached_property
    def has_leading_zeros(self) -> bool:
        """Whether some values are digits with a zero before them, so that 0012 and 12 are two."""
        return self.is_text and bool(pc.any(pc.match_substring_regex(self.values, pattern=r"^[-+]?0\d+$")).as_py())

    @cached_property
    def has_three_decimals(self) -> bool:
        """Whether every number has a dot before exactly three digits, as 2.570 and 11.300 have."""
        if not self.is_text or not _all_have_three_decimals(self.values.slice(0, 50)):
            return False  # without making texts of all
        return _all_have_three_decimals(self.values)

    @cached_property
    def floats(self) -> Array:
        """The different values as numbers, float64; NaN for the exceptions."""
        if self.is_other or self.numbers is None:
            return np.full(self.different, np.nan)
        values = self.values
        if self.is_text:
            pattern = _PLAIN if self.numbers.written is None else pattern_of(self.numbers.written)
            fits = pc.match_substring_regex(values, pattern=pattern)
            values = pc.if_else(fits, values, pa.scalar(None, pa.string()))
        try:
            return np.asarray(numbers(values, self.numbers.written).to_numpy(zero_copy_only=False), np.float64)
        except ValueFault:
            return np.asarray(pd.to_numeric(pd.Series(values.to_pylist()), errors="coerce"), np.float64)

    @cached_property
    def is_whole(self) -> bool:
        known = self.floats[np.isfinite(self.floats)]
        return bool(len(known)) and bool((known == np.floor(known)).all())

    @cached_property
    def lowest(self) -> float:
        return float(np.nanmin(self.floats)) if np.isfinite(self.floats).any() else np.nan

    @cached_property
    def highest(self) -> float:
        return float(np.nanmax(self.floats)) if np.isfinite(self.floats).any() else np.nan

    @cached_property
    def merged_by_float32(self) -> int:
        """How many different whole numbers float32 does not tell from another one."""
        if not self.is_whole or not (max(abs(self.lowest), abs(self.highest)) > 2**24):
            return 0
        if pa.types.is_uint64(self.type) or pa.types.is_int64(self.type) or self.is_text:
            exact = self.values.cast(pa.string()) if not self.is_text else self.values
            kept = np.isfinite(self.floats)
            return int(kept.sum()) - len(np.unique(self.floats[kept].astype(np.float32))) if len(exact) else 0
        known = self.floats[np.isfinite(self.floats)]
        return len(known) - len(np.unique(known.astype(np.float32)))

    @cached_property
    def beyond_int64(self) -> bool:
        return self.is_whole and not (self.lowest >= -(2.0**63) and self.highest < 2.0**63)

    @cached_property
    def mark_of_missing(self) -> float | None:
        """A frequent number that may mean a missing value: -1 as the only one below 0, or 9999 far above the others."""
        if not np.isfinite(self.floats).any():
            return None
        if self.highest in _POSITIVE_MARKS and len(self.floats) > _FEW_VALUES:
            top = self.floats == self.highest
            next_highest = float(np.nanmax(self.floats[~top]))
            if self.counts[top].sum() >= max(0.01 * self.rows, 2) and next_highest < self.highest / 3:
                return self.highest
        negative = np.flatnonzero(self.floats < 0)
        if len(negative) != 1 or float(self.floats[negative[0]]) not in _NEGATIVE_MARKS:
            return None
        others = self.floats[(self.floats >= 0)]
        often = self.counts[negative[0]] >= max(0.01 * self.rows, 2)
        return float(self.floats[negative[0]]) if often and len(others) > _FEW_VALUES else None

    @property
    def missing_categories(self) -> tuple[str, ...]:
        """Values that mean a missing one in any column of text."""
        if not self.is_text:
            return ()
        others = self.values.filter(pc.is_in(self.values, value_set=pa.array(_NO_CATEGORIES)))
        return (*self._missing_words, *others.to_pylist())

    # Codes

    @cached_property
    def kind_of_code(self) -> str | None:
        """What the values are where their form shows it: IP addresses, hashes, telephone numbers and so on."""
        if not self.is_text or not self.present:
            return None
        for kind, pattern in _CODES.items():
            if _share(self.values, self.counts, pattern) >= MOSTLY:
                return kind
        lengths = pc.utf8_length(self.values)
        long = pc.min(lengths).as_py() is not None and pc.min(lengths).as_py() >= 12
        return "hashes" if long and _share(self.values, self.counts, _HASH) >= MOSTLY else None

    # Times

    @cached_property
    def clock(self) -> bool:
        """Whether the values are times of day without a date."""
        if pa.types.is_time(self.type):
            return True
        return self.is_text and bool(self.present) and _share(self.values, self.counts, _CLOCK) >= MOSTLY

    @property
    def clock_patterns(self) -> list[str]:
        """Patterns of strptime's that the times of day have the shape of."""
        if not self.is_text:
            return ["%H:%M:%S", "%H:%M:%S.%f"]
        some = [text for text in self.values.slice(0, 50).to_pylist() if text not in MARKS]
        return [pattern for pattern, shape in _expressions()[1] if some and all(map(shape.fullmatch, some))]

    def times(self, formats: Iterable[str]) -> list[Times]:
        """In which of the formats most values are times, the best first."""
        found = []
        for time_format in formats:
            share, bad = self._fitting(time_format)
            if share >= MOSTLY:
                found.append(Times(share, self._exceptions(bad), time_format))
        return sorted(found, key=lambda one: -one.share)

    def _fitting(self, time_format: str) -> tuple[float, Array]:
        """The share of the values that are times of the format, and which of the different values are not."""
        some = self.values.slice(0, _SAMPLE)
        if fitting(some, time_format).mean() < 0.5:
            return 0.0, np.ones(self.different, bool)
        fits = fitting(self.values, time_format)
        marks = (
            np.asarray(pc.is_in(self.values, value_set=pa.array([*MARKS])))
            if self.is_text
            else np.zeros(len(fits), bool)
        )
        judged = self.counts[~marks].sum()
        return float(self.counts[fits].sum() / judged) if judged else 0.0, ~fits

    @cached_property
    def date_formats(self) -> list[Times]:
        """Formats of text, or of whole numbers that are digits of a date, in which most values are times."""
        if self.is_temporal:
            return [Times(1.0, time_format="iso8601")]
        if self.is_other or not self.present or self.is_boolean:
            return []
        digits = self._as_digits()
        if digits is not None:
            lengths = {len(text) for text in digits}
            if lengths == {5}:  # a spreadsheet's days; of six digits some may have lost a zero
                lengths = set()
            candidates = {pattern for length in lengths for pattern in _DIGITS.get(length, ())}
            found = [
                one for one in self.times(sorted(candidates)) if one.share >= MOSTLY and self._years_are_plausible(one)
            ]
            return self._rivals_apart(sorted(found, key=lambda one: (-one.share, one.time_format[:2].lower() != "%y")))
        if not self.is_text:
            return []
        iso = self.times(["iso8601"])
        return iso or self._rivals_apart(self.times(self._patterns()))

    def _as_digits(self) -> list[str] | None:
        """Some values where all are digits, as 20240131 is."""
        some = self.values.slice(0, 200)
        if not self.is_text and not (self.is_whole and not self.is_boolean):
            return None
        texts = [str(int(value)) if isinstance(value, float) else str(value) for value in some.to_pylist()]
        kept = [text for text in texts if re.fullmatch(r"\d+(\.0)?", text)]
        return [text.removesuffix(".0") for text in kept] if len(kept) >= MOSTLY * len(texts) and kept else None

    def _years_are_plausible(self, found: Times) -> bool:
        moments = self.seconds(found.time_format)
        known = moments[np.isfinite(moments)]
        return bool(len(known)) and bool(np.quantile(known, 0.01) > -2.2e9) and bool(np.quantile(known, 0.99) < 4.2e9)

    def _patterns(self) -> list[str]:
        """Patterns of strptime's that most of some values have the shape of."""
        some = [text for text in self.values.slice(0, 50).to_pylist() if text not in MARKS][:20]
        counts = Counter(pattern for text in some for pattern in _shaped(text))
        return [pattern for pattern, count in counts.items() if count > 0.5 * len(some)]

    def _rivals_apart(self, found: list[Times]) -> list[Times]:
        """Of formats that fit alike, such as day first and month first, the one that speaks for itself comes first."""
        if len(found) < 2 or found[1].share < found[0].share:
            return found
        best = [one for one in found if one.share == found[0].share]
        spans = {}
        for one in best:
            moments = self.seconds(one.time_format)[self.codes[self.codes >= 0]]
            moments = moments[np.isfinite(moments)]
            steps = np.diff(moments)
            in_order = float((steps >= 0).mean()) if len(steps) else 1.0
            spans[one.time_format] = (round(in_order, 2), -float(np.ptp(moments)) if len(moments) else 0.0)
        ranked = sorted(best, key=lambda one: spans[one.time_format], reverse=True)
        first, second = ranked[0], ranked[1]
        if spans[first.time_format] == spans[second.time_format]:
            same = np.array_equal(self.seconds(first.time_format), self.seconds(second.time_format))
            return [first if same else replace(first, rival=second.time_format), *ranked[1:]]
        ordered = spans[first.time_format][0] - spans[second.time_format][0] >= 0.02
        shorter = spans[second.time_format][1] < 1.5 * spans[first.time_format][1]
        if ordered:
            why = f"by it {100 * spans[first.time_format][0]:.0f} % of the rows are in order, by {second.time_format} "
            why += f"{100 * spans[second.time_format][0]:.0f} %"
        elif shorter:
            why = f"by it the rows span {-spans[first.time_format][1] / 86_400:,.0f} days, by {second.time_format} "
            why += f"{-spans[second.time_format][1] / 86_400:,.0f}"
        else:
            return [replace(first, rival=second.time_format), *ranked[1:]]
        return [replace(first, decided_by=why), *ranked[1:]]

    def seconds(self, time_format: str) -> Array:
        """The different values as seconds, float64; NaN for what is no time."""
        if time_format in TIME_UNITS:
            return self.floats * TIME_UNITS[time_format]
        if time_format == "spreadsheet":
            return (self.floats - _SPREADSHEET_1970) * 86_400.0
        if time_format in _A_SECOND:
            return self.floats / _A_SECOND[time_format]
        fits = fitting(self.values, time_format)
        values = self.values if fits.all() else self.values.filter(pa.array(fits))
        moments = np.full(self.different, np.nan)
        if fits.any():
            moments[fits] = seconds(times(values, time_format), "iso8601")
        return moments

    def in_order(self, values: Array) -> float:
        """The share of the steps from row to row that do not go down; values: one for each different value."""
        rows = values[self.codes[self.codes >= 0]]
        rows = rows[np.isfinite(rows)]
        return float((np.diff(rows) >= 0).mean()) if len(rows) > 1 else 1.0

    def rows_of(self, values: Array, default: float = np.nan) -> Array:
        """One value for each row, of one for each different value."""
        if not len(values):
            return np.full(self._sampled, default)
        return np.where(self.codes >= 0, values[self.codes], default)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.string()) if pa.types.is_large_string(array.type) else array


def _is_other(of: pa.DataType) -> bool:
    types = pa.types
    usable = (
        types.is_string(of) or types.is_integer(of) or types.is_floating(of) or types.is_decimal(of)
        or types.is_boolean(of) or types.is_timestamp(of) or types.is_date(of) or types.is_time(of)
    )  # fmt: skip
    return not usable


def _without_missing(array: pa.Array) -> tuple[pa.Array, list[str]]:
    """Null where a value is missing, text without blanks around it; and the words, such as N/A, that were missing."""
    if pa.types.is_string(array.type):
        trimmed = pc.utf8_trim_whitespace(array)
        missing = pc.is_in(trimmed, value_set=pa.array(MISSING))
        words: list[str] = [word for word in pc.unique(trimmed.filter(missing)).to_pylist() if word]
        return pc.if_else(missing, pa.scalar(None, pa.string()), trimmed), sorted(words)
    if pa.types.is_floating(array.type):
        array = array.cast(pa.float64())
        return pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array), []
    return (array.cast(pa.float64()) if pa.types.is_decimal(array.type) else array), []


def _share(values: pa.Array, weights: Array, pattern: str) -> float:
    total = weights.sum()
    fits = np.asarray(pc.match_substring_regex(values, pattern=pattern).fill_null(False))
    return float(weights[fits].sum() / total) if total else 0.0


@cache
def _whole_expressions() -> list[tuple[str, re.Pattern[str]]]:
    return [(pattern, _expression(pattern)) for pattern in _WHOLES]


@cache
def _expressions() -> tuple[list[tuple[str, re.Pattern[str]]], list[tuple[str, re.Pattern[str]]]]:
    """Regular expressions of the shapes of dates and of clocks."""
    return [(date, _expression(date)) for date in _DATES], [(clock, _expression(clock)) for clock in _CLOCKS]


@cache
def _shapes() -> dict[str, str]:
    """The regular expression of each directive."""
    digits = {
        "%Y": "4",
        "%y": "2",
        "%m": "1,2",
        "%d": "1,2",
        "%H": "1,2",
        "%I": "1,2",
        "%M": "2",
        "%S": "2",
        "%f": "1,9",
    }
    letters = {"%b": "3,5", "%a": "3", "%B": "3,10", "%A": "6,9"}
    shapes = {directive: rf"\d{{{count}}}" for directive, count in digits.items()}
    shapes |= {directive: rf"[^\W\d_]{{{count}}}" for directive, count in letters.items()} | {"%p": "[AaPp][Mm]"}
    shapes["%b"] += r"\.?"  # Sept.
    shapes |= {"%Z": f"({'|'.join(ZONES)})", "%z": r"[+-]\d{2}:?\d{2}"}
    return shapes


def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(_shapes().get(part, re.escape(part)) for part in re.split("(%.)", pattern)))


def _shaped(text: str) -> Iterator[str]:
    """The patterns of strptime's that a text has the shape of."""
    if not 6 <= len(text) <= 60 or not any(map(str.isdigit, text)):
        return
    dates, clocks = _expressions()
    whole, end = text, ""
    zone = _ZONE_AFTER.search(text)
    if zone and (zone["name"] or re.search(r"[:.]|\dT\d", text[: zone.start()])):
        whole = text[: zone.start()]
        end = f"{zone['blank']}{'%Z' if zone['name'] else '%z'}{zone['bracket'] or ''}"
    for pattern, expression in _whole_expressions():
        if expression.fullmatch(text):
            yield pattern
    for date, expression in dates:
        match = expression.match(whole)
        if not match:
            continue
        rest = whole[match.end() :]
        if not rest:
            if "%z" not in end or text.endswith(("Z", "z")):  # 2024.05.01-1030 has a clock and no offset
                yield f"{date}{end}"
            continue
        joint = re.match(r"[^\w%]*T?[^\w%]*|_", rest)
        assert joint is not None  # it may be empty
        for clock, clock_expression in clocks:
            if clock_expression.fullmatch(rest[joint.end() :]):
                yield f"{date}{joint[0]}{clock}{end}"


def _symbols(values: pa.Array) -> tuple[str, ...]:
    """Signs and codes of currencies, and other short signs, before or after the numbers of some of the values."""
    counts: Counter[str] = Counter()
    texts = values.to_pylist()
    for text in texts:
        match = _AROUND.fullmatch(text)
        counts.update(set(match.groups() if match else ()) - {""})
    frequent = [symbol for symbol, count in counts.most_common() if count >= 0.01 * len(texts) and _is_symbol(symbol)]
    return tuple(frequent[:_SYMBOLS])


def _is_symbol(text: str) -> bool:
    if not any(map(str.isalnum, text)):
        return len(text) <= 2
    return text.rstrip(".").upper() in CURRENCIES or text.rstrip(".").lower() in _UNITS or text.endswith("$")


def _all_have_three_decimals(values: pa.Array) -> bool:
    known = [text for text in values.to_pylist() if text not in MARKS]
    return len(known) > 4 and all(re.fullmatch(r"-?[1-9]\d{0,2}\.\d{3}", text) for text in known)


def _digits_only(text: str) -> str:
    """From the first digit to the last."""
    match = re.search(r"\d.*\d|\d", text)
    return match[0] if match else ""


def _could_be_thousands(values: pa.Array, mark: str) -> bool:
    """Whether the mark divides groups of three in every number that has it, and numbers without it are below 1000.

    Numbers with a fraction of three digits are all written with it, or lose zeros at the end.
    """
    texts = [_digits_only(text) for text in values.slice(0, _SAMPLE).to_pylist()]
    texts = [text for text in texts if text]
    marked = [text for text in texts if mark in text]
    grouped = all(re.fullmatch(rf"[1-9]\d{{0,2}}({re.escape(mark)}\d{{3}})+", text) for text in marked)
    plain = [text for text in texts if mark not in text]
    small = all(re.fullmatch(r"\d{1,3}", text) for text in plain)
    return len(marked) >= 5 and grouped and small and (bool(plain) or any(text.count(mark) > 1 for text in marked))


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
