"""The roles of columns, and how their values are written: the only place where the code learns a column's name."""

from __future__ import annotations

import codecs
import re
import zoneinfo
from collections import Counter
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainer.frozen import Frozen

TimeKind = Literal["seconds", "epoch", "epoch_ms", "iso8601"]
CategoricalKind = Literal["string", "integer"]
RawKind = Literal["float", "integer", "string"]
FeatureKind = Literal[RawKind, "identifier"]  # identifier: text that is carried, never looked at

SECONDS_A_DAY = 86_400
EXAMPLE_WEIGHT = "example_weight"  # added by ExampleGen: the inverse sampling rate of the row's class

# How long the units are in which time may be counted from some start, in seconds.
TIME_UNITS = {
    "seconds": 1.0,
    "minutes": 60.0,
    "hours": 3600.0,
    "days": 86_400.0,
    "weeks": 7 * 86_400.0,
    "months": 30 * 86_400.0,  # as good as any length, and no hour of the day is made of it
}
# Each format of a time by its name, and as what ExampleGen keeps it. Any other is a pattern of strptime's.
TIME_FORMATS: dict[str, TimeKind] = {
    **dict.fromkeys(TIME_UNITS, "seconds"),
    "epoch": "epoch",
    "epoch_fractional": "epoch_ms",
    "epoch_ms": "epoch_ms",
    "epoch_us": "epoch_ms",
    "epoch_ns": "epoch_ms",
    "iso8601": "iso8601",
    "spreadsheet": "iso8601",
}
# https://docs.python.org/3/library/datetime.html#strftime-and-strptime-format-codes; without weeks
_DIRECTIVES = set("YymdbBaAHIMSfpzZj%")


def identifier(column: str) -> str:
    """The column's name in graphs and signatures, which take ASCII letters, digits and _: card_20_type."""
    escaped = re.sub(r"[^A-Za-z0-9_]", lambda character: f"_{ord(character[0]):x}_", column)
    return escaped if escaped[:1].isalpha() else f"column_{escaped}"


class CsvFormat(Frozen):
    """How CSV files are written; what is null is found in the first records of each file."""

    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="the character between two values; null: of comma, semicolon, tab, | and blank the one that "
        "divides the header and the rows after it alike",
    )
    quote: str | None = Field(
        None,
        max_length=1,
        description="the character around values that hold a delimiter; an empty text: none; null: \", or ' where "
        "values begin and end with it",
    )
    encoding: str | None = Field(
        None, description="the encoding of the text, such as cp1252; null: UTF-8, or UTF-16 where a file begins so"
    )
    skip_lines: int = Field(
        0, ge=0, le=1000, description="lines before the header, or before the first record, that are left out"
    )
    header: bool = Field(True, description="whether the first record holds the columns' names")
    unnamed: Literal["first", "last"] | None = Field(
        None,
        description="where rows have one value more than the header has names: whether it is the first one, as R "
        "writes the names of rows, or the last one, which is empty where a delimiter ends each row",
    )
    names: tuple[str, ...] | None = Field(
        None,
        description="the columns' names in order, in place of the header's; null: the header's, and column_1, column_2 "
        "and so on where there is none",
    )

    @field_validator("delimiter")
    @classmethod
    def _delimits(cls, delimiter: str | None) -> str | None:
        if delimiter is not None and (delimiter in "\r\n\"'" or ord(delimiter) > 127 or delimiter == "\0"):
            raise ValueError(f"expected one ASCII character that is no quote and no line break, got {delimiter!r}")
        return delimiter

    @field_validator("quote")
    @classmethod
    def _quotes(cls, quote: str | None) -> str | None:
        if quote and (quote in "\r\n\0" or ord(quote) > 127):
            raise ValueError(f"expected one ASCII character that is no line break, got {quote!r}")
        return quote

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str | None) -> str | None:
        if encoding is None:
            return None
        try:
            known = codecs.lookup(encoding)
            "".encode(encoding)
            if not getattr(known, "_is_text_encoding", True):
                raise LookupError
        except (LookupError, ValueError, UnicodeError) as error:
            raise ValueError(
                f"no such encoding: {encoding!r}; known are utf-8, utf-16, cp1252, latin-1 and others"
            ) from error
        return known.name


class NumberFormat(Frozen):
    """How the numbers of a column are written, where not as 1234.5.

    In parentheses, or before a minus, a number is negative: (12.50), 12.50-.
    """

    decimal: Literal[".", ","] = Field(".", description="the decimal mark")
    thousands: Literal["", ",", ".", " ", "'", "_"] = Field(
        "", description="the mark between groups of digits; a blank stands for blanks of any kind"
    )
    symbols: tuple[str, ...] = Field(
        (), description="texts before or after the number that do not change it, such as $, EUR or %"
    )
    sign: Literal["as_written", "flipped", "absolute"] = Field(
        "as_written",
        description="as_written: a negative amount is a refund; flipped: payments are written as negative numbers, and "
        "refunds as positive ones; absolute: the sign says nothing of that kind, only the size counts",
    )

    @field_validator("thousands", mode="before")
    @classmethod
    def _any_blank(cls, mark: object) -> object:
        return " " if isinstance(mark, str) and len(mark) == 1 and mark.isspace() else mark

    @property
    def is_of_text(self) -> bool:
        """Whether it says more than how the sign is meant, so that numbers have to be read as text."""
        return bool(self.decimal != "." or self.thousands or self.symbols) or self.sign == "as_written"

    @model_validator(mode="after")
    def _marks_differ(self) -> NumberFormat:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}")
        if any(re.search(r"[\d\s]", symbol) or not symbol for symbol in self.symbols):
            raise ValueError(f"symbols must be texts without digits and blanks, got {list(self.symbols)}")
        return self


class LabelValues(Frozen):
    """Which values of the label mean fraud, and which do not; upper and lower case count alike, and so do 1 and 1.0.

    An empty text stands for rows without a value.
    """

    fraud: tuple[str, ...] = Field(min_length=1, description="values that mean fraud")
    legitimate: tuple[str, ...] = Field(min_length=1, description="values that mean a legitimate transaction")

    @field_validator("fraud", "legitimate", mode="before")
    @classmethod
    def _texts(cls, values: object) -> object:
        """YAML reads an unquoted Yes as true, 1 as a number: both are meant as they are printed."""
        values = list(values) if isinstance(values, (list, tuple)) else [values]
        words = {True: "true", False: "false"}
        return [words[value] if isinstance(value, bool) else str(value) for value in values]

    @model_validator(mode="after")
    def _differ(self) -> LabelValues:
        both = {label_word(value) for value in self.fraud} & {label_word(value) for value in self.legitimate}
        if both:
            raise ValueError(f"label_values: {', '.join(sorted(both))} cannot mean both fraud and legitimate")
        return self


def label_word(value: str) -> str:
    """A value of the label as it is compared: without blanks and quotes around it, in lower case, 1.0 as 1."""
    word = value.strip()
    if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"":
        word = word[1:-1].strip()
    return re.sub(r"^([+-]?\d+)\.0*$", r"\1", word).removeprefix("+").casefold()


def check_time_format(value: str) -> str:
    """The format. Raises ValueError where it is none."""
    if value in TIME_FORMATS:
        return value
    directives = re.findall(r"%(.?)", value, re.S)
    unknown = [f"%{directive}" for directive in directives if directive not in _DIRECTIVES or not directive]
    if not directives or unknown:
        what = f"{', '.join(unknown)} in {value!r}" if unknown else repr(value)
        raise ValueError(
            f"expected {', '.join(TIME_FORMATS)} or a format of strptime's such as %d/%m/%Y %H:%M, got {what}"
        )
    if not {"Y", "y"} & set(directives) or not ("j" in directives or {"d"} <= set(directives)):
        raise ValueError(f"expected a format with year, month and day, got {value!r}")
    if directives.count("z") + directives.count("Z") > 1:
        raise ValueError(f"expected one %z or %Z, got {value!r}")
    return value


class Columns(BaseModel):
    """Which columns are the label, the time, the amount, numbers and categories, and which name transaction and payer.

    A column of the data that has no role is ignored, as if `ignore` listed it. ExampleGen carries the `id` and the
    `entities` along with each transaction, exactly as they are written, so that the report can name a transaction. The
    model does not learn from them or ask for them, no schema checks them, and they may be missing or occur twice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(description="the label: 1 for a fraud, 0 for a legitimate transaction")
    label_values: LabelValues | None = Field(
        None, description="which values of the label mean what; null: 1 and true mean fraud, 0 and false do not"
    )
    id: str | None = Field(
        None,
        description="what a transaction is called; it is carried along so that the report can name a transaction, and "
        "nothing is learned from it",
    )
    entities: tuple[str, ...] = Field(
        (),
        description="who takes part: cards, customers, accounts, terminals, devices; carried along as they are "
        "written, and nothing is learned from them as they are",
    )
    time: str | None = Field(None, description="when the transaction happened; a split by time needs it")
    time_format: str = Field(
        "seconds",
        description="`seconds`, `minutes`, `hours`, `days`, `weeks`, `months` (of 30 days): since some start; `epoch`, "
        "`epoch_ms`, `epoch_us`, `epoch_ns`: whole seconds and so on since 1970; `epoch_fractional`: seconds since "
        "1970 with a fraction; `iso8601`: date and time as text; `spreadsheet`: days since 1899-12-30; or a format of "
        "strptime's such as `%d/%m/%Y %H:%M`",
    )
    time_parts: tuple[str, ...] = Field(
        (),
        description="columns that together are the time, such as a date and a clock: `time` is then a name for the "
        "whole, and `time_format` is for their values with a blank between each two",
    )
    time_zone: str | None = Field(
        None,
        description="the zone whose clock the customers live by, such as Europe/Berlin: times without an offset are of "
        "this zone, and others are converted to it; null: times without an offset are taken for UTC",
    )
    amount: str | None = Field(None, description="the amount of the transaction; all amounts are in one currency")
    numeric: tuple[str, ...] = Field((), description="columns that hold numbers; values may be missing")
    categorical: dict[str, CategoricalKind] = Field(
        default_factory=dict,
        description="columns that hold categories: a list, where all are text, or a mapping of each name to string or "
        "integer; values may be missing",
    )
    numbers: dict[str, NumberFormat] = Field(
        default_factory=dict, description="how numbers are written, by column, where not as 1234.5"
    )
    missing: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="further values that mean a missing one, by column, such as ? or -1"
    )
    leave_out_rows_without: tuple[Literal["time", "label"], ...] = Field(
        (),
        description="rows without a time or a label are left out, and counted in every report, in place of an error",
    )
    csv: CsvFormat = Field(CsvFormat(), description="how CSV files are written")
    ignore: tuple[str, ...] = Field((), description="columns to leave out, as all columns that are not named are")

    @field_validator("categorical", mode="before")
    @classmethod
    def _list_means_strings(cls, value: object) -> object:
        if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
            return dict.fromkeys(value, "string")
        return value

    @field_validator("missing", mode="before")
    @classmethod
    def _marks_are_texts(cls, value: object) -> object:
        """-1 is a number in YAML, and the text that stands in the file."""
        if not isinstance(value, dict):
            return value
        return {
            name: [str(mark) if isinstance(mark, (int, float)) else mark for mark in marks]
            if isinstance(marks, (list, tuple))
            else [str(marks)]
            for name, marks in value.items()
        }

    @field_validator("time_format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        return check_time_format(value)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                zoneinfo.ZoneInfo(value)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise ValueError(f"no such time zone: {value!r}; an example is Europe/Berlin") from error
        return value

    @model_validator(mode="after")
    def _one_role_each(self) -> Columns:
        names = [*self.inputs, self.label, *self.ignore, *self.carried]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        parts = sorted(set(self.time_parts) & (set(names) - {self.time}))
        if twice or parts:
            raise ValueError(f"each column has one role, got two or more for {', '.join(twice or parts)}")
        if EXAMPLE_WEIGHT in set(names) - set(self.ignore):
            raise ValueError(f"{EXAMPLE_WEIGHT} is the pipeline's own column, rename yours or ignore it")
        if not self.inputs:
            raise ValueError("no column to learn from: name at least one of time, amount, numeric, categorical")
        return self

    @model_validator(mode="after")
    def _formats_are_of_columns(self) -> Columns:
        numbers = {*self.numeric, *([self.amount] if self.amount else [])}
        if set(self.numbers) - numbers:
            wrong = ", ".join(sorted(set(self.numbers) - numbers))
            raise ValueError(f"numbers: {wrong} is neither the amount nor numeric, so it holds no numbers to be read")
        unknown = sorted(set(self.missing) - {*self.inputs, self.label})
        if unknown:
            raise ValueError(f"missing: {', '.join(unknown)} is no column that is read for its values")
        if self.time_parts and not self.time:
            raise ValueError("time_parts name columns but time gives no name to the whole")
        if self.time_zone and self.time_format in TIME_UNITS:
            raise ValueError(f"time_zone is of no use for {self.time_format} since some start")
        return self

    @property
    def carried(self) -> tuple[str, ...]:
        """Columns that are carried along as exact text: the id, then the entities."""
        return (*([self.id] if self.id is not None else []), *self.entities)

    @property
    def time_kind(self) -> TimeKind:
        """As what ExampleGen keeps times, and everything behind it gets them."""
        kind = TIME_FORMATS.get(self.time_format, "iso8601")
        return "iso8601" if self.time_zone and kind != "seconds" else kind

    @property
    def raw_kinds(self) -> dict[str, RawKind]:
        """How the values of each raw input are kept, in the order of the roles; the label is not an input."""
        time_kinds: dict[TimeKind, RawKind] = {
            "seconds": "float",
            "epoch": "integer",
            "epoch_ms": "integer",
            "iso8601": "string",
        }
        kinds: dict[str, RawKind] = {}
        if self.time:
            kinds[self.time] = time_kinds[self.time_kind]
        kinds.update(dict.fromkeys(self.numeric, "float"))
        if self.amount:
            kinds[self.amount] = "float"
        kinds.update(self.categorical)
        return kinds

    @property
    def as_kept(self) -> Columns:
        """The roles of the columns as ExampleGen keeps them, without a word on how the files write them."""
        plain = Columns.model_fields
        written = ("label_values", "time_parts", "time_zone", "numbers", "missing", "leave_out_rows_without", "csv")
        update = {name: plain[name].get_default(call_default_factory=True) for name in written}
        return self.model_copy(update={**update, "time_format": self.time_kind})

    def without_carried(self) -> Columns:
        """The same roles of data whose transactions have neither names nor entities."""
        return self.model_copy(update={"id": None, "entities": ()})

    @property
    def inputs(self) -> tuple[str, ...]:
        """Raw inputs of the model, which the label is not."""
        return tuple(name for name in (self.time, *self.numeric, self.amount, *self.categorical) if name is not None)
