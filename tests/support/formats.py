"""One plain table in every dialect of CSV and every way of writing times, numbers, labels, gaps and identifiers.

Each way of writing gives the texts to write and the values that they mean; `tables()` combines them for hypothesis.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from trainer.arrays import Array

HOUR, DAY = 3_600, 86_400
START = 1_704_067_200  # 2024-01-01 in UTC
TIME, AMOUNT, BALANCE, CUSTOMER, MERCHANT, LABEL = "time", "amount", "balance", "customer", "Händler", "is_fraud"


def base_table(rows: int, seed: int) -> Any:
    """A plain table, in order of time: whole seconds since 1970, amounts with cents, some below 0, and labels 0 and 1.

    It spans 100 days or more, so that days and months can be told apart, and a year at most. Its amounts go to
    millions, so that they have marks of thousands. Its balance is never below 0. The merchants have umlauts.
    """
    rng = np.random.default_rng(seed)
    time = START + rng.integers(DAY, 300 * DAY, rows)
    time[:2] = START + np.array([rng.integers(0, DAY), rng.integers(100 * DAY, 300 * DAY)])
    time.sort()
    amount = np.round(rng.lognormal(6, 3, rows) + 0.01, 2) * np.where(rng.random(rows) < 0.1, -1, 1)
    amount[: min(rows, 4)] = np.array([1_234.5, 1_234_567.89, 0.07, 12_345.6])[:rows]
    labels = (rng.random(rows) < 0.1).astype(np.int64)
    labels[:2] = [1, 0]
    return pd.DataFrame(
        {
            TIME: time,
            AMOUNT: np.clip(amount, -9_999_999.99, 9_999_999.99),
            BALANCE: rng.gamma(2, 50, rows).round(3),
            CUSTOMER: rng.integers(0, 20, rows),
            MERCHANT: rng.choice(["Müller & Söhne", "Café Zoë", "Großmarkt, Köln", 'The "Old" Shop', "Kiosk"], rows),
            LABEL: labels,
        }
    )


@dataclass(frozen=True)
class Written:
    """Texts of one column, or of those that take its place, and the values that they mean.

    values: a time in seconds, a number (NaN: missing), 0 or 1, or text, for each row.
    """

    texts: Mapping[str, list[str]]
    values: Array


@dataclass(frozen=True)
class Format:
    """A way of writing a column: its texts, their meaning, and what a config says of it.

    `settings` are the keys below `columns`; `told` says that the values alone do not tell, so that a person has to.
    `foreign`: it has words that Python's strptime does not know.
    """

    name: str
    column: str
    apply: Callable[[Any], Written]
    settings: Mapping[str, Any] = field(default_factory=dict)
    told: bool = False
    foreign: bool = False

    def __repr__(self) -> str:
        return f"<{self.name}>"


# Times


def _time(
    name: str,
    write: Callable[[Any], Any],
    form: str,
    unit: int = 1,
    relative: bool = False,
    told: bool = False,
    foreign: bool = False,
) -> Format:
    """write: of datetimes; unit: seconds that the format can tell apart."""

    def apply(frame: Any) -> Written:
        seconds = frame[TIME].to_numpy()
        values = (seconds - (START if relative else 0)) // unit * unit
        texts = write(pd.to_datetime(seconds, unit="s"))
        return Written({TIME: [str(text) for text in texts]}, values.astype(np.float64))

    return Format(f"time as {name}", TIME, apply, {"time": TIME, "time_format": form}, told, foreign)


def _strftime(name: str, pattern: str, unit: int = 1, form: str | None = None) -> Format:
    return _time(name, lambda moments: moments.strftime(pattern), form or pattern, unit)


def _integers(name: str, form: str, of: Callable[[Array], Array], unit: int = 1, relative: bool = False) -> Format:
    def write(moments: Any) -> Any:
        return of(moments.astype("datetime64[s]").astype(np.int64).to_numpy())

    return _time(name, write, form, unit, relative, told=form in ("hours", "days", "minutes"))


def _named(language: str, pattern: str, form: str, months: str) -> Format:
    """With the name of the month in another language in place of the braces."""
    names = months.split()

    def write(moments: Any) -> Any:
        texts = moments.strftime(pattern)
        return [text.format(names[moment.month - 1]) for text, moment in zip(texts, moments, strict=True)]

    return _time(f"with the month's name in {language}", write, form, 60, foreign=True)


def _in_parts(*patterns: str) -> Callable[[Any], Written]:
    def apply(frame: Any) -> Written:
        seconds = frame[TIME].to_numpy()
        moments = pd.to_datetime(seconds, unit="s")
        names = ("Date", "Time") if len(patterns) == 2 else ("Year", "Month", "Day", "Time")
        texts = {
            name: [text.lstrip("0") if pattern in ("%m", "%d") else text for text in moments.strftime(pattern)]
            for name, pattern in zip(names, patterns, strict=True)
        }
        unit = 1 if patterns[-1].endswith("%S") else 60
        return Written(texts, (seconds // unit * unit).astype(np.float64))

    return apply


TIMES = (
    _strftime("ISO 8601", "%Y-%m-%dT%H:%M:%S", form="iso8601"),
    _strftime("ISO 8601 in UTC", "%Y-%m-%dT%H:%M:%SZ", form="iso8601"),
    _strftime("ISO 8601 with milliseconds", "%Y-%m-%d %H:%M:%S.000", form="iso8601"),
    _time("ISO 8601 two hours east",
          lambda moments: (moments + pd.Timedelta(hours=2)).strftime("%Y-%m-%d %H:%M:%S+02:00"), "iso8601"),
    _strftime("date and clock", "%Y-%m-%d %H:%M:%S", form="iso8601"),
    _strftime("date alone", "%Y-%m-%d", DAY, form="iso8601"),
    _strftime("UTC by name", "%Y-%m-%d %H:%M:%S UTC", form="%Y-%m-%d %H:%M:%S %Z"),
    _time("summer time by name", lambda moments: (moments + pd.Timedelta(hours=2)).strftime("%d.%m.%Y %H:%M:%S CEST"),
          "%d.%m.%Y %H:%M:%S %Z", foreign=True),
    _time("Java's ZonedDateTime",
          lambda moments: (moments + pd.Timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S+01:00[Europe/Paris]"),
          "%Y-%m-%dT%H:%M:%S%z[Europe/Paris]"),
    _strftime("Java's Date", "%a %b %d %H:%M:%S GMT %Y", form="%a %b %d %H:%M:%S %Z %Y"),
    _strftime("C's ctime", "%a %b %d %H:%M:%S %Y"),
    _time("Oracle's timestamp", lambda moments: [text.upper() for text in moments.strftime("%d-%b-%Y %I.%M.%S.%f %p")],
          "%d-%b-%Y %I.%M.%S.%f %p"),
    _named("German", "%d. {} %Y %H:%M", "%d. %B %Y %H:%M",
           "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"),
    _named("Spanish", "%d de {} de %Y %H:%M", "%d de %B de %Y %H:%M",
           "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"),
    _named("French", "%d {} %Y %H:%M", "%d %B %Y %H:%M",
           "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
    _strftime("day first", "%d/%m/%Y %H:%M", 60),
    _strftime("day first, date alone", "%d/%m/%Y", DAY),
    _strftime("month first", "%m/%d/%Y %H:%M:%S"),
    _strftime("month first, AM and PM", "%m/%d/%Y %I:%M:%S %p"),
    _strftime("day first, two digits of the year", "%d/%m/%y %H:%M", 60),
    _strftime("month first, two digits of the year", "%m/%d/%y %H:%M", 60),
    _time("month first without leading zeros",
          lambda moments: [f"{m.month}/{m.day}/{m.year} {m.hour}:{m.minute:02d}" for m in moments],
          "%m/%d/%Y %H:%M", 60),
    _strftime("with dots", "%d.%m.%Y %H:%M:%S"),
    _strftime("with dashes, day first", "%d-%m-%Y %H:%M", 60),
    _strftime("with slashes, year first", "%Y/%m/%d %H:%M:%S"),
    _strftime("with the month's name", "%d-%b-%Y %H:%M:%S"),
    _time("with a dot after the month's name", lambda moments: moments.strftime("%d %b. %Y %H:%M"), "%d %b %Y %H:%M",
          60, foreign=True),
    _strftime("compact date", "%Y%m%d", DAY),
    _strftime("compact date of six digits", "%y%m%d", DAY),
    _strftime("compact ISO 8601", "%Y%m%dT%H%M%SZ", form="%Y%m%dT%H%M%S%z"),
    _strftime("compact date and clock with milliseconds", "%Y%m%d%H%M%S000", form="%Y%m%d%H%M%S%f"),
    _strftime("compact date and clock", "%Y%m%d%H%M%S"),
    _integers("epoch", "epoch", lambda seconds: seconds),
    _integers("epoch in ms", "epoch_ms", lambda seconds: seconds * 1_000),
    _integers("epoch in us", "epoch_us", lambda seconds: seconds * 1_000_000),
    _integers("epoch in ns", "epoch_ns", lambda seconds: seconds * 1_000_000_000),
    _integers("seconds from the start", "seconds", lambda seconds: seconds - START, relative=True),
    _integers("hours from the start", "hours", lambda seconds: (seconds - START) // HOUR, HOUR, relative=True),
    _integers("days from the start", "days", lambda seconds: (seconds - START) // DAY, DAY, relative=True),
    _time("whole serial of a spreadsheet",
          lambda moments: [f"{m.timestamp() // DAY + 25_569:.0f}" for m in moments], "spreadsheet", DAY),
    _time("serial of a spreadsheet",
          lambda moments: [f"{m.timestamp() / DAY + 25_569:.9f}" for m in moments], "spreadsheet"),
    Format("time as date and clock in two columns", TIME, _in_parts("%Y-%m-%d", "%H:%M:%S"),
           {"time": "when", "time_parts": ["Date", "Time"], "time_format": "%Y-%m-%d %H:%M:%S"}),
    Format("time as date, day first, and clock in two columns", TIME, _in_parts("%d/%m/%Y", "%H:%M"),
           {"time": "when", "time_parts": ["Date", "Time"], "time_format": "%d/%m/%Y %H:%M"}),
    Format("time as midnights and clock in two columns", TIME, _in_parts("%Y-%m-%d 00:00:00", "%H:%M:%S"),
           {"time": "when", "time_parts": ["Date", "Time"], "time_format": "%Y-%m-%d 00:00:00 %H:%M:%S"}),
    Format("time as date and clock of digits in two columns", TIME, _in_parts("%d.%m.%Y", "%H%M%S"),
           {"time": "when", "time_parts": ["Date", "Time"], "time_format": "%d.%m.%Y %H%M%S"}),
    Format("time in four columns", TIME, _in_parts("%Y", "%m", "%d", "%H:%M"),
           {"time": "when", "time_parts": ["Year", "Month", "Day", "Time"], "time_format": "%Y %m %d %H:%M"}),
)  # fmt: skip


# Numbers


def _grouped(number: float, thousands: str = ",", decimal: str = ".") -> str:
    return f"{number:,.2f}".replace(",", "_").replace(".", decimal).replace("_", thousands)


def _indian(number: float) -> str:
    """1,23,45,678.90: the last three digits, then groups of two."""
    whole, cents = f"{abs(number):.2f}".split(".")
    groups = [whole[-3:]]
    rest = whole[:-3]
    while rest:
        groups.insert(0, rest[-2:])
        rest = rest[:-2]
    return f"{'-' if number < 0 else ''}{','.join(groups)}.{cents}"


def _number(name: str, write: Callable[[float], str], **settings: Any) -> Format:
    """settings: as the config says it."""

    def apply(frame: Any) -> Written:
        values = frame[AMOUNT].to_numpy()
        return Written({AMOUNT: [write(float(value)) for value in values]}, values)

    numbers = {"numbers": {AMOUNT: settings}} if settings else {}
    return Format(f"amount as {name}", AMOUNT, apply, {"amount": AMOUNT, **numbers})


def _positive(write: Callable[[float], str], before: str, after: str) -> Callable[[float], str]:
    return lambda number: f"{before}{write(-number)}{after}" if number < 0 else write(number)


NUMBERS = (
    _number("plain", lambda x: f"{x:.2f}", decimal="."),
    _number("with a decimal comma", lambda x: f"{x:.2f}".replace(".", ","), decimal=","),
    _number("with marks of thousands", _grouped, decimal=".", thousands=","),
    _number("in German", lambda x: _grouped(x, ".", ","), decimal=",", thousands="."),
    _number("in French", lambda x: _grouped(x, " ", ","), decimal=",", thousands=" "),
    _number("with blanks that do not break", lambda x: _grouped(x, "\xa0", ","), decimal=",", thousands="\xa0"),
    _number("in Swiss German", lambda x: _grouped(x, "'"), decimal=".", thousands="'"),
    _number("in Indian groups", _indian, decimal=".", thousands=","),
    _number("with $ before", lambda x: f"${x:.2f}", decimal=".", symbols=["$"]),
    _number("with -$ before", _positive(lambda x: f"${_grouped(x)}", "-", ""), thousands=",", symbols=["$"]),
    _number("with € after", lambda x: f"{_grouped(x, '.', ',')} €", decimal=",", thousands=".", symbols=["€"]),
    _number("with £ before", lambda x: f"£{_grouped(x)}", decimal=".", thousands=",", symbols=["£"]),
    _number("with ₹ before", lambda x: f"₹{_indian(x)}", decimal=".", thousands=",", symbols=["₹"]),
    _number("with USD before", lambda x: f"USD {x:.2f}", decimal=".", symbols=["USD"]),
    _number("with EUR after", lambda x: f"{x:.2f} EUR", decimal=".", symbols=["EUR"]),
    _number("with parentheses below 0", _positive(_grouped, "(", ")"), decimal=".", thousands=","),
    _number("with $ in parentheses below 0", _positive(lambda x: f"${x:.2f}", "(", ")"), decimal=".", symbols=["$"]),
    _number("with a minus after", _positive(lambda x: f"{x:.2f}", "", "-"), decimal="."),
    _number("with a plus before", lambda x: f"{x:+.2f}", decimal="."),
)  # fmt: skip


# Labels


def _label(fraud: str, legitimate: str, told: bool = False, *, plain: bool = False) -> Format:
    def apply(frame: Any) -> Written:
        labels = frame[LABEL].to_numpy()
        return Written({LABEL: [fraud if label else legitimate for label in labels]}, labels)

    words = {} if plain else {"label_values": {"fraud": [fraud], "legitimate": [legitimate]}}
    return Format(f"label as {fraud} and {legitimate}", LABEL, apply, {"label": LABEL, **words}, told)


LABELS = (
    _label("1", "0", plain=True),
    _label("true", "false", plain=True),
    _label("1.0", "0.0", plain=True),
    _label("Yes", "No"),
    _label("Y", "N"),
    _label("T", "F"),
    _label("'1'", "'0'"),
    _label("fraud", "legit"),
    _label("Fraud", "Genuine"),
    _label("FRAUD", "NON-FRAUD"),
    _label("1", "-1", told=True),
    _label("2", "1", told=True),
)


# Gaps


def _missing(mark: str, told: bool = False) -> Format:
    """In the balance, in one row of 20 and in the second."""

    def apply(frame: Any) -> Written:
        values = frame[BALANCE].to_numpy()
        gaps = np.arange(len(values)) % 20 == 1
        texts = [mark if gap else f"{value:.3f}" for gap, value in zip(gaps, values, strict=True)]
        return Written({BALANCE: texts}, np.where(gaps, np.nan, values))

    marks = {} if mark in ("", "NA", "NULL") else {"missing": {BALANCE: [mark]}}
    return Format(f"gaps as {mark or 'nothing'}", BALANCE, apply, marks, told)


def _percent(frame: Any) -> Written:
    values = frame[BALANCE].to_numpy()
    return Written({BALANCE: [f"{value:.3f}%" for value in values]}, values)


GAPS = (
    *(_missing(mark) for mark in ("", "NA", "NULL", "?", "-", "\\N", "#REF!", "n.a.")),
    _missing("-1", told=True),
    # the number as it is written: what it is a share of, no file says
    Format("balance in percent", BALANCE, _percent, {"numbers": {BALANCE: {"symbols": ["%"]}}}),
)


# Identifiers


def _identifier(name: str, write: Callable[[int], str]) -> Format:
    """One for each customer, none of which may be changed by a digit."""

    def apply(frame: Any) -> Written:
        texts = [write(int(customer)) for customer in frame[CUSTOMER]]
        return Written({CUSTOMER: texts}, np.array(texts, object))

    return Format(f"customer as {name}", CUSTOMER, apply)


IDENTIFIERS = (
    _identifier("a name", lambda n: f"customer {n}"),
    _identifier("a card number of 16 digits", lambda n: str(4_000_000_000_001_000 + n)),
    _identifier("an unsigned number of 64 bits", lambda n: str(2**64 - 1 - n)),
    _identifier("a signed number of 64 bits", lambda n: str((-1) ** n * (2**63 - 1 - n))),
    _identifier("a hexadecimal hash", lambda n: f"{(n + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"),
    _identifier("codes of which some look like powers of ten", lambda n: f"{n + 10}{'ea'[n % 2]}{n:04d}"),
    _identifier("a phone number", lambda n: f"+49170{1_000_000 + n}"),
    _identifier("an IP address", lambda n: f"10.0.{n // 7}.{n}"),
    _identifier("a code with leading zeros", lambda n: f"{n:04d}" if n % 2 else f"{n:03d}"),
)


# Dialects


@dataclass(frozen=True)
class Dialect:
    """How a table becomes a file."""

    delimiter: str = ","
    quote: str = '"'
    quote_all: bool = False
    encoding: str = "utf-8"
    header: bool = True
    line_break: str = "\n"
    before: tuple[str, ...] = ()  # lines before the header
    ends_with_delimiter: bool = False  # each row, and not the header
    names_rows: bool = False  # as R does, without a name in the header

    @property
    def settings(self) -> dict[str, Any]:
        """What a config says below `data.csv`."""
        encoding = {"utf-8-sig": "utf-8"}.get(self.encoding, self.encoding)
        lines = len(self.before)
        written = {"delimiter": self.delimiter, "quote": self.quote, "encoding": encoding, "header": self.header}
        unnamed = "first" if self.names_rows else "last" if self.ends_with_delimiter else None
        return {**written, "skip_lines": lines, "unnamed": unnamed}

    def written(self, texts: Mapping[str, list[str]]) -> bytes:
        """The bytes of the file."""
        text = io.StringIO(newline="")
        writer = csv.writer(
            text,
            delimiter=self.delimiter,
            quotechar=self.quote,
            quoting=csv.QUOTE_ALL if self.quote_all else csv.QUOTE_MINIMAL,
            lineterminator=self.line_break,
        )
        for line in self.before:
            text.write(line + self.line_break)
        if self.header:
            writer.writerow(texts)
        rows = zip(*texts.values(), strict=True)
        for number, row in enumerate(rows, 1):
            writer.writerow([*([f"r{number}"] * self.names_rows), *row, *([""] * self.ends_with_delimiter)])
        return text.getvalue().encode(self.encoding)


DELIMITERS = (",", ";", "\t", "|")
BEFORE: tuple[tuple[str, ...], ...] = (
    (),
    ("",),
    ("# exported by the bank, 2024-05-01",),
    ("Report: card transactions", "Period;2024", "", "made by 'hand'"),
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252")


@dataclass(frozen=True)
class Table:
    """The plain table in one dialect, with one way of writing for each column."""

    frame: Any
    dialect: Dialect = field(default_factory=Dialect)
    time: Format = TIMES[0]
    amount: Format = NUMBERS[0]
    balance: Format = GAPS[0]
    customer: Format = IDENTIFIERS[0]
    label: Format = LABELS[0]

    def __repr__(self) -> str:
        """What is not as in the first table."""
        formats = [form.name for form, usual in zip(self.formats, _USUAL, strict=True) if form is not usual]
        dialect = [f"{key}={value!r}" for key, value in vars(self.dialect).items() if value != getattr(Dialect, key)]
        return f"Table({', '.join([f'{len(self.frame)} rows', *formats, *dialect])})"

    @property
    def formats(self) -> tuple[Format, ...]:
        return self.time, self.amount, self.balance, self.customer, self.label

    @property
    def texts(self) -> dict[str, list[str]]:
        """All columns as they are written, in order."""
        parts = [dict(form.apply(self.frame).texts) for form in self.formats]
        merchants = {MERCHANT: list(self.frame[MERCHANT])}
        return {name: texts for part in (*parts[:4], merchants, parts[4]) for name, texts in part.items()}

    @property
    def values(self) -> dict[str, Array]:
        """What the columns mean; a time in several columns is called as one in one column is."""
        values = {form.column: form.apply(self.frame).values for form in self.formats}
        return values | {MERCHANT: self.frame[MERCHANT].to_numpy()}

    @property
    def can_be_written(self) -> bool:
        """Whether the encoding has all signs."""
        try:
            self.dialect.written(self.texts)
        except UnicodeEncodeError:
            return False
        return True

    @property
    def quotes_its_own_marks(self) -> bool:
        """Whether single quotes enclose fields and stand in numbers or labels, too, which no program would write."""
        return self.dialect.quote == "'" and any("'" in text for texts in self.texts.values() for text in texts)

    @property
    def must_be_told(self) -> bool:
        """Whether some column cannot be read right by looking at it alone."""
        return any(form.told for form in self.formats) or not self.dialect.header

    @property
    def config(self) -> dict[str, Any]:
        """All that a config can say of it: `data.csv` and `columns`; for columns without names, by their place."""
        settings: dict[str, Any] = {"entities": [CUSTOMER], "numeric": [BALANCE], "categorical": {MERCHANT: "string"}}
        for form in self.formats:
            for key, value in form.settings.items():
                settings[key] = (
                    {**settings[key], **value} if key in ("numbers", "missing") and key in settings else value
                )
        return {"data": {"csv": self.dialect.settings}, "columns": settings}

    def write(self, folder: Path) -> Path:
        path = folder / "table.csv"
        path.write_bytes(self.dialect.written(self.texts))
        return path


_USUAL = (TIMES[0], NUMBERS[0], GAPS[0], IDENTIFIERS[0], LABELS[0])


def each(rows: int = 120, seed: int = 0) -> list[Table]:
    """The plain table with one thing changed at a time: every way of writing, and every dialect."""
    frame = base_table(rows, seed)
    tables = [Table(frame)]
    tables += [Table(frame, time=form) for form in TIMES[1:]]
    tables += [Table(frame, amount=form) for form in NUMBERS[1:]]
    tables += [Table(frame, balance=form) for form in GAPS[1:]]
    tables += [Table(frame, customer=form) for form in IDENTIFIERS[1:]]
    tables += [Table(frame, label=form) for form in LABELS[1:]]
    dialects = [Dialect(delimiter=delimiter) for delimiter in DELIMITERS[1:]]
    dialects += [Dialect(encoding=encoding) for encoding in ENCODINGS[1:]]
    dialects += [Dialect(quote_all=True), Dialect(quote="'"), Dialect(quote="'", quote_all=True)]
    dialects += [Dialect(line_break="\r\n"), Dialect(header=False)]
    dialects += [Dialect(before=lines) for lines in BEFORE[1:]]
    dialects += [Dialect(ends_with_delimiter=True), Dialect(names_rows=True)]
    return tables + [Table(frame, dialect) for dialect in dialects]


def dialects(header: st.SearchStrategy[bool] | None = None) -> st.SearchStrategy[Dialect]:
    """Any dialect; with a header, unless told otherwise."""
    return st.builds(
        Dialect,
        delimiter=st.sampled_from(DELIMITERS),
        quote=st.sampled_from(["\"", "'"]),
        quote_all=st.booleans(),
        encoding=st.sampled_from(ENCODINGS),
        header=header if header is not None else st.just(True),
        line_break=st.sampled_from(["\n", "\r\n"]),
        before=st.sampled_from(BEFORE),
        ends_with_delimiter=st.booleans() if header is None else st.just(False),
    )  # fmt: skip


def tables(*, told: bool = False, header: st.SearchStrategy[bool] | None = None) -> st.SearchStrategy[Table]:
    """The plain table in any dialect and any ways of writing; `told`: also those that the values alone do not tell."""

    def some(formats: tuple[Format, ...]) -> st.SearchStrategy[Format]:
        return st.sampled_from([form for form in formats if told or not form.told])

    return st.builds(
        Table,
        frame=st.builds(base_table, rows=st.integers(100, 300), seed=st.integers(0, 2**32 - 1)),
        dialect=dialects(header),
        time=some(TIMES),
        amount=some(NUMBERS),
        balance=some(GAPS),
        customer=some(IDENTIFIERS),
        label=some(LABELS),
    ).filter(lambda table: table.can_be_written and not table.quotes_its_own_marks)
