"""Proposes what each column is, and how it is written, from names and values: what `fraud-pipeline init` writes."""

from __future__ import annotations

import codecs
import gzip
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pyarrow as pa

from components.leaks import column_average_precisions
from components.reading.dialect import dialect_of, is_gzipped
from components.reading.files import find_files, is_parquet, opened
from components.reading.readers import header, raw_batches
from pipeline.data import names
from pipeline.data.looks import CURRENCIES, MARKS, Look, Numbers, Times
from pipeline.data.proposal import Proposal
from trainer.arrays import Array
from trainer.columns import (
    TIME_FORMATS,
    TIME_UNITS,
    CategoricalKind,
    Columns,
    CsvFormat,
    LabelValues,
    NumberFormat,
    label_word,
)
from trainer.errors import InputError

ROWS = 200_000
# Of very wide data fewer rows do, so that an answer takes seconds.
CELLS = 16_000_000

# Whole numbers with at most as many different values are codes rather than quantities.
FEW = 12
# Columns of one name and a number (V1, V2, ...) from this many on are judged together.
FAMILY = 8
# A payer has at least so many different values, and a place where cards are used so many.
PEOPLE, PLACES = 30, 250
# A column by whose name nothing speaks for it is no label with fewer positives.
POSITIVES = 20
# Above this average precision of a column alone, and rows enough to say so, it is taken for a leak.
LEAK = 0.9
VOCABULARY = 1000  # as features.max_vocabulary
_TEXT_AS_CATEGORIES = 20_000

_FRAUD_WORDS = names.vocabulary(
    """
    1 yes y true t fraud fraudulent fraudster isfraud chargeback bad suspicious illegitimate scam positive
    anomaly anomalous laundering default confirmed confirmedfraud si oui ja sim betrug fraude
    """
)
_LEGITIMATE_WORDS = names.vocabulary(
    """
    0 no n false f legit legitimate genuine normal nonfraud notfraud nofraud notfraudulent nonfraudulent good
    ok valid clean negative regular real authentic non nein nao notsuspicious nothing
    """
)
_CURRENCIES = {
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "¥": "JPY",
    "₽": "RUB",
    "₩": "KRW",
    "₺": "TRY",
    "R$": "BRL",
    "zł": "PLN",
}


@dataclass(frozen=True)
class Choices:
    """What a person has said of the data; the rest is proposed.

    fraud_values: values of the label that mean fraud. time_format: as `columns.time_format`. currency: of the amounts.
    """

    label: str | None = None
    fraud_values: tuple[str, ...] = ()
    time: str | None = None
    time_format: str | None = None
    amount: str | None = None
    id: str | None = None
    entities: tuple[str, ...] = ()
    currency: str | None = None
    csv: CsvFormat = CsvFormat()

    @property
    def columns(self) -> list[str]:
        """All columns that they name."""
        return [name for name in (self.label, self.time, self.amount, self.id, *self.entities) if name is not None]


def propose(path: str, choices: Choices | None = None) -> Proposal:
    """Roles and formats of the columns of the data at `path`, by the first 200,000 rows, or fewer of very wide data.

    Raises:
      InputError: there are no rows; there is no label, or it cannot be understood; a choice names no column; or there is
        nothing to learn from. Where a choice of the person's would help, the message says which.
    """
    choices = choices or Choices()
    files = find_files(path)
    written = _written(files[0].path, choices.csv)
    columns = header(files[0].path, written)
    _check_choices(choices, columns, files[0].path)
    table = _first_rows([file.path for file in files], min(ROWS, CELLS // len(columns)), written)
    if not table.num_rows:
        raise InputError(f"{path} has a header but no rows to propose roles from; name a file with transactions")
    looks = {name: Look(name, table.column(name)) for name in columns}
    del table
    lines = 0 if is_parquet(files[0].path) else dialect_of(files[0].path, written).header_lines
    return _Proposer(path, looks, choices, written, lines).proposal()


def _check_choices(choices: Choices, columns: Sequence[str], path: str) -> None:
    import difflib

    for name in choices.columns:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=1, cutoff=0.4)
            nearest = f"; did you mean {near[0]!r}?" if near else ""
            some = ", ".join(columns[:12]) + (", ..." if len(columns) > 12 else "")
            raise InputError(f"{path}: no column {name!r} (has {some}){nearest}")
    twice = sorted({name for name in choices.columns if choices.columns.count(name) > 1})
    if twice:
        raise InputError(f"each column has one role, got two or more for {', '.join(twice)}")


def _first_rows(paths: list[str], left: int, written: CsvFormat) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    for path in paths:
        for batch in raw_batches(path, min(65_536, left), written):
            if batches and batch.schema != batches[0].schema:
                return pa.Table.from_batches(batches)  # the files differ, which reading them all will say
            batches.append(batch.slice(0, left))
            left -= batch.num_rows
            if left <= 0:
                return pa.Table.from_batches(batches)
    return pa.Table.from_batches(batches) if batches else pa.table({"": pa.array([], pa.null())})


# The file


def _written(path: str, told: CsvFormat) -> CsvFormat:
    """How the file is written, as far as it is not told and not what a reader finds by itself."""
    if is_parquet(path):
        return told
    if told.encoding is None:
        encoding = _encoding(path)
        if encoding is not None:
            told = told.model_copy(update={"encoding": encoding})
    dialect = dialect_of(path, told)
    found = {"delimiter": dialect.delimiter, "quote": dialect.quote}
    if "header" not in told.model_fields_set and told.names is None and not _has_header(path, told, dialect.names):
        found["header"] = False  # type: ignore[assignment]
    usual = {"delimiter": ",", "quote": '"', "header": True}
    update = {key: value for key, value in found.items() if value != usual[key] and getattr(told, key) in (None, True)}
    return told.model_copy(update=update)


def _encoding(path: str) -> str | None:
    """The encoding of a file that is neither UTF-8 nor begins with a byte order mark."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with opened(path) as raw:
        stream = gzip.GzipFile(fileobj=raw) if is_gzipped(path) else raw
        start = stream.read(1 << 16)
        if start.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return None
        if start[1:200:2].count(0) > 90:
            return "utf-16-le"
        if start[0:200:2].count(0) > 90:
            return "utf-16-be"
        block, kept = start, b""
        while block:
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                # the lines with other bytes show most of what they mean
                kept = b"\n".join(line for line in block.split(b"\n") if not line.isascii())[: 1 << 16]
                break
            block = stream.read(1 << 20)
    return _guessed_encoding(kept) if kept else None


def _guessed_encoding(text: bytes) -> str:
    """The encoding of some lines; that of Western Europe where it is as likely as another."""
    from charset_normalizer import from_bytes

    guesses = from_bytes(text)
    best = guesses.best()
    if best is None:
        return "latin-1"
    likely = {best.encoding, *best.could_be_from_charset}
    for usual in ("cp1252", "latin_1"):
        if usual in likely:
            return {"latin_1": "latin-1"}.get(usual, usual)
    try:
        text.decode("cp1252")
    except UnicodeDecodeError:
        return str(best.encoding)
    western = {"cp1250", "cp1252", "cp1254", "cp1257", "cp1258", "mac_roman", "mac_latin2", "cp850", "cp858", "cp437"}
    return "cp1252" if best.encoding in western or best.encoding.startswith("cp8") else str(best.encoding)


def _has_header(path: str, written: CsvFormat, first: Sequence[str]) -> bool:
    """Whether the first record is names: none of its values is a number or a date, or the values below are as well."""
    values = [value.strip() for value in first]
    number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
    date = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?")
    data_like = [bool(number.fullmatch(value) or date.fullmatch(value)) for value in values]
    return not any(data_like)


# The roles


@dataclass
class _Proposer:
    """Chooses the roles one after another: what has got one is no candidate for the next."""

    path: str
    looks: dict[str, Look]
    choices: Choices
    written: CsvFormat
    header_lines: int
    reasons: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    numbers: dict[str, NumberFormat] = field(default_factory=dict)
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    leaks: dict[str, float] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return next(iter(self.looks.values())).rows

    def proposal(self) -> Proposal:
        label, meanings, labels = self._label()
        if self.choices.id:
            self._take(self.looks[self.choices.id], "id", "as you said")
        for name in self.choices.entities:
            self._take(self.looks[name], "entity", "as you said")
        for name in (self.choices.time, self.choices.amount):
            if name:
                self.roles[name] = "chosen"  # for nothing else
        self._useless()
        self._id()
        time, time_format, parts, moments = self._time()
        amount = self._amount()
        families = self._families()
        self._leaks(label, labels)
        if moments is not None:
            self._repeats(moments)
        for look in self._open():
            self._rest(look, families.get(look.name))
        return self._concluded(label, meanings, time, time_format, parts, amount)

    def _open(self) -> list[Look]:
        return [look for look in self.looks.values() if look.name not in self.roles]

    def _take(self, look: Look, role: str, reason: str) -> None:
        self.roles[look.name] = role
        self.reasons[look.name] = reason

    def _concluded(
        self,
        label: Look,
        meanings: LabelValues | None,
        time: str | None,
        time_format: str,
        parts: tuple[str, ...],
        amount: Look | None,
    ) -> Proposal:
        of_role: dict[str, list[str]] = defaultdict(list)
        for name in self.looks:
            of_role[self.roles[name]].append(name)
        kinds: dict[str, CategoricalKind] = {"category": "string", "code": "integer"}  # type: ignore[dict-item]
        categorical = {name: kinds[self.roles[name]] for name in self.looks if self.roles[name] in kinds}
        if not (time or amount or of_role["numeric"] or categorical):
            why = "; ".join(f"{name}: {reason}" for name, reason in self.reasons.items())
            raise InputError(f"{self.path} has no column to learn from besides the label {label.name!r} ({why})")
        columns = Columns(
            label=label.name,
            label_values=meanings,
            id=of_role["id"][0] if of_role["id"] else None,
            entities=tuple(of_role["entity"]),
            time=time,
            time_format=time_format,
            time_parts=parts,
            amount=amount.name if amount else None,
            numeric=tuple(of_role["numeric"]),
            categorical=categorical,
            numbers=self.numbers,
            missing=self.missing,
            leave_out_rows_without=tuple(self.without),  # type: ignore[arg-type]
            csv=self.written,
            ignore=tuple(of_role["ignore"]),
        )
        return Proposal(
            columns=columns,
            reasons={name: self.reasons[name] for name in self.looks},
            roles={name: self.roles[name] for name in self.looks},
            rows=self.rows,
            doubts=tuple(self.doubts),
            currency=self._currency(amount),
            leaks=dict(self.leaks),
        )

    # Label

    def _label(self) -> tuple[Look, LabelValues | None, Array]:
        label = self._chosen_label()
        meanings, ones = self._meanings(label)
        labels = np.where(label.codes >= 0, ones[label.codes] if len(ones) else np.nan, np.nan)
        known = labels[np.isfinite(labels)]
        if not len(known):
            raise InputError(
                f"{self.path}: {label.name!r}, the label, has no value in these rows; name another, --label"
            )
        frauds = int(known.sum())
        share = f"{frauds:,} frauds in {len(known):,} rows ({100 * frauds / len(known):.2g} %)"
        if frauds == 0:
            share = f"no fraud in the first {len(known):,} rows"
        how = "as you said" if self.choices.label else "named like a label"
        meant = "" if meanings is None else f"; {_or(meanings.fraud)} means fraud, {_or(meanings.legitimate)} does not"
        self._take(label, "label", f"{share}; {how}{meant}{self._exceptions_of_label(label, ones)}")
        if frauds > 0.5 * len(known):
            self.doubts.append(
                f"{label.name}: {100 * frauds / len(known):.0f} % of the rows are fraud by this label; if it is the other "
                "way round, say so with --fraud-value"
            )
        return label, meanings, labels

    def _chosen_label(self) -> Look:
        if self.choices.label:
            return self.looks[self.choices.label]
        ranked = sorted(
            ((names.label_rank(look.name), look) for look in self.looks.values() if names.label_rank(look.name) > 0),
            key=lambda pair: -pair[0],
        )
        usable = [(rank, look) for rank, look in ranked if self._could_be_label(look, rank)]
        if not usable:
            raise InputError(self._no_label([look for _, look in ranked]))
        best = [look for rank, look in usable if rank == usable[0][0]]
        if ranked[0][0] > usable[0][0] and ranked[0][0] >= 3:
            # what is named most like a label cannot be read as one
            raise InputError(self._unreadable(ranked[0][1]))
        if len(best) > 1:
            raise InputError(
                f"{self.path}: {_and([repr(look.name) for look in best])} could each be the label; say which with "
                f"--label, for example --label {best[0].name!r}"
            )
        rivals = [look.name for _, look in usable[1:]]
        if rivals:
            self.doubts.append(f"{best[0].name} is the label; {_and(rivals)} could be one too: --label chooses")
        return best[0]

    def _could_be_label(self, look: Look, rank: float) -> bool:
        if look.is_other or not look.present:
            return False
        try:
            _, ones = self._meanings(look)
        except InputError:
            return False
        positives = int(look.counts[ones == 1].sum())
        return rank >= 3 or (positives > 0 and POSITIVES <= positives < 0.5 * look.present)

    def _no_label(self, named: list[Look]) -> str:
        if named:
            return self._unreadable(named[0])
        two = [look for look in self.looks.values() if not look.is_other and look.different == 2 and not look.missing]
        few = ", ".join(f"{look.name!r} ({look.shown()})" for look in two[:6])
        hint = f"; these have two values: {few}" if two else ""
        flags = [look.name for look in self.looks.values() if names.says_fraud(look.name)]
        about = (
            f"; {_and(flags)} speak{'s' * (len(flags) == 1)} of fraud, but of the past or of a rule" if flags else ""
        )
        example = repr(two[0].name) if two else "NAME"
        return (
            f"{self.path} has no column that could be the label by its name{about}{hint}; say which column is 1 where the "
            f"transaction was a fraud: --label {example}"
        )

    def _unreadable(self, look: Look) -> str:
        if look.is_other:
            held = f"is of type {look.type}"
        elif not look.present:
            held = "has no values"
        else:
            gaps = f"{_gaps(look)}" if look.missing else ""
            held = f"has {look.different:,} different value{'s' * (look.different != 1)} such as {look.shown(5)}{gaps}"
        way = "name another column with --label"
        if look.present and 1 < look.different <= 20:
            most = look.values[int(np.argmin(look.counts))].as_py()
            way = f"say which of its values mean fraud, for example --fraud-value {str(most)!r}, or {way}"
        return f"{self.path}: {look.name!r} is named like a label but {held}; {way}"

    def _meanings(self, label: Look) -> tuple[LabelValues | None, Array]:
        """What the values mean, None for 0 and 1, and for each of them 1 for fraud, 0 for none, NaN for no value.

        Raises:
          InputError: that cannot be told.
        """
        words = [label_word(_text(value)) for value in label.values.to_pylist()]
        told = {label_word(value) for value in self.choices.fraud_values}
        if told and (not self.choices.label or self.choices.label == label.name):
            unknown = [value for value in self.choices.fraud_values if label_word(value) not in words]
            if unknown:
                raise InputError(
                    f"{self.path}: no value of {label.name!r} is {_or(unknown)}, as --fraud-value says; it has "
                    f"{label.shown(5)}"
                )
            rest = [word for word in dict.fromkeys(words) if word not in told and word not in _marks()]
            if len(rest) > 20 or not rest:
                raise InputError(f"{self.path}: {self._unreadable(label)}")
            return LabelValues(fraud=tuple(told), legitimate=tuple(rest)), self._ones(words, told, set(rest))
        fraud = {word for word in words if re.sub(r"[\W_]", "", word) in _FRAUD_WORDS}
        legitimate = {word for word in words if re.sub(r"[\W_]", "", word) in _LEGITIMATE_WORDS}
        plain = {"0", "1", "true", "false"}
        others = [word for word in dict.fromkeys(words) if word not in fraud | legitimate]
        counts = {word: int(label.counts[[w == word for w in words]].sum()) for word in dict.fromkeys(words)}
        if set(words) in ({"-1", "1"}, {"1", "2"}):
            rarer, usual = sorted(set(words), key=lambda word: counts[word])
            doubt = (
                f"{label.name}: {rarer} is taken for fraud, since it is the rarer value; --fraud-value says otherwise"
            )
            if doubt not in self.doubts:
                self.doubts.append(doubt)
            return LabelValues(fraud=(rarer,), legitimate=(usual,)), self._ones(words, {rarer}, {usual})
        odd = sum(counts[word] for word in others)
        if not (fraud or legitimate) or odd > 0.05 * label.present or len(others) > 20 or not (fraud | legitimate):
            raise InputError(self._unreadable(label))
        if not fraud and not (legitimate <= plain) and label.different > 1:
            raise InputError(self._unreadable(label))
        ones = self._ones(words, fraud, legitimate)
        if (fraud | legitimate) <= plain:
            return None, ones
        # both sides are named in the config, also where these rows hold one of them alone
        if not fraud or not legitimate:
            raise InputError(self._unreadable(label))
        originals = {label_word(_text(value)): _text(value) for value in label.values.to_pylist()}
        return (
            LabelValues(
                fraud=tuple(originals[word] for word in words if word in fraud),
                legitimate=tuple(originals[word] for word in words if word in legitimate),
            ),
            ones,
        )

    @staticmethod
    def _ones(words: list[str], fraud: set[str], legitimate: set[str]) -> Array:
        return np.array([1.0 if word in fraud else 0.0 if word in legitimate else np.nan for word in words])

    def _exceptions_of_label(self, label: Look, ones: Array) -> str:
        odd = np.flatnonzero(~np.isfinite(ones))
        rows = int(label.counts[odd].sum()) + label.missing
        if not rows:
            return ""
        self.without.append("label")
        marks = tuple(_text(label.values[int(place)].as_py()) for place in odd)
        if marks:
            self.missing[label.name] = marks
        said = f"; {rows:,} rows without a label are left out"
        if marks:
            said += f", first exception {self._place(label, label.values[int(odd[0])].as_py())}"
        self.doubts.append(f"{label.name}: {rows:,} rows have no label that can be read, and are left out")
        return said

    # What is useless

    def _useless(self) -> None:
        for look in self._open():
            if look.is_other:
                self._take(look, "ignore", f"neither numbers nor text but {look.type}")
            elif not look.present:
                self._take(look, "ignore", "no values")
            elif look.different == 1 and look.missing < 0.005 * look.rows:  # else the gaps may say something
                self._take(look, "ignore", f"always {_text(look.values[0].as_py())[:40]}{_gaps(look)}")
            elif names.is_rule(look.name):
                self._take(look, "ignore", "a rule's flag by its name: what a rule says of fraud is no news to a model")

    # The name of a transaction

    def _id(self) -> None:
        """The column that names the transactions; of several the one whose name says most."""
        if self.choices.id:
            return
        candidates = [
            look
            for look in self._open()
            if names.names_transactions(look.name) and not look.missing and look.different == look.rows > 20
            and (look.numbers is None or look.is_whole or not look.is_text)
        ]  # fmt: skip
        if candidates:
            chosen = max(candidates, key=lambda look: len(look.name))
            self._take(
                chosen, "id", "a different value in every row, and named like an ID: carried along, never learned from"
            )

    # Time

    def _time(self) -> tuple[str | None, str, tuple[str, ...], Array | None]:
        """Name, format and parts of the time, and the time of each row in seconds."""
        if self.choices.time:
            return self._chosen_time(self.looks[self.choices.time])
        candidates = [one for look in self._open() for one in self._times_of(look)]
        candidates.sort(key=lambda one: one.score, reverse=True)
        split = self._date_and_clock(candidates)
        if split is not None:
            return split
        if not candidates:
            return self._no_time()
        best = candidates[0]
        rivals = [one for one in candidates[1:] if one.look is not best.look]
        return self._taken_time(best, rivals)

    def _no_time(self) -> tuple[None, str, tuple[str, ...], None]:
        like = [
            look.name for look in self._open() if names.time_rank(look.name) > 0 and not names.is_duration(look.name)
        ]
        hint = (
            f" ({_and(like)} {'are' if len(like) > 1 else 'is'} named like one, but cannot be read as one)"
            if like
            else ""
        )
        self.doubts.append(
            f"no column is taken for the time{hint}, so the split is random, which flatters the figures; --time names one"
        )
        return None, "seconds", (), None

    def _taken_time(
        self, best: _TimeCandidate, rivals: list[_TimeCandidate]
    ) -> tuple[str, str, tuple[str, ...], Array]:
        look, found = best.look, best.found
        if found.rival and not self.choices.time_format:
            raise InputError(
                f"{self.path}: the time {look.name!r} has values such as {look.shown()}, which both {found.time_format!r} "
                f"and {found.rival!r} fit; say which it is: --time {look.name!r} --time-format {found.time_format!r}"
            )
        if best.unit_needed:
            span = look.highest - look.lowest
            lengths = ", ".join(
                f"{unit}: {span * TIME_UNITS[unit] / 86_400:,.3g} days" for unit in ("seconds", "hours", "days")
            )
            raise InputError(
                f"{self.path}: the time {look.name!r} counts from {look.lowest:g} to {look.highest:g} in a unit that nothing "
                f"shows ({lengths}); say which: --time {look.name!r} --time-format hours (or {_or(TIME_UNITS)})"
            )
        moments = look.seconds(found.time_format)
        reason = f"{best.reason}{self._exceptions(look, found)}"
        if found.decided_by:
            reason += f"; {found.decided_by}"
            self.doubts.append(
                f"{look.name}: read by {found.time_format}: {found.decided_by}; --time-format says otherwise"
            )
        if best.guessed_unit:
            self.doubts.append(
                f"{look.name}: no unit is named, so it is taken for seconds; --time-format says otherwise"
            )
        others = list(dict.fromkeys(one.look.name for one in rivals if one.rank >= 0 or one.score > 0))
        if others:
            self.doubts.append(f"{look.name} is the time; {_and(others)} could be it too: --time chooses")
        self._leave_out_without_time(look, moments)
        self._take(look, "time", reason)
        for rival in rivals:
            if rival.look.name not in self.roles and rival.absolute:
                self._take(rival.look, "ignore", f"another date or time ({rival.found.time_format})")
        return look.name, found.time_format, (), look.rows_of(moments)

    def _leave_out_without_time(self, look: Look, moments: Array) -> None:
        odd = np.flatnonzero(~np.isfinite(moments))
        rows = int(look.counts[odd].sum()) + look.missing
        if not rows:
            return
        self.without.append("time")
        marks = tuple(_text(look.values[int(place)].as_py()) for place in odd)
        if marks:
            self.missing[look.name] = marks
        self.doubts.append(f"{look.name}: {rows:,} row{'s' * (rows > 1)} without a time that can be read "
                           f"{'are' if rows > 1 else 'is'} left out")  # fmt: skip

    def _chosen_time(self, look: Look) -> tuple[str, str, tuple[str, ...], Array]:
        self.roles.pop(look.name)
        wanted = self.choices.time_format
        candidates = list(self._times_of(look, chosen=True))
        if wanted is None:
            if not candidates:
                raise InputError(
                    f"{self.path}: {look.name!r} has values such as {look.shown()}, which are in no known format of a "
                    "time; say which it is with --time-format, for example --time-format '%d/%m/%Y %H:%M'"
                )
            best = max(candidates, key=lambda one: one.score)
            return self._taken_time(replace(best, reason=f"as you said; {best.reason}"), [])
        found = self._by_format(look, wanted)
        return self._taken_time(_TimeCandidate(look, found, 0.0, 0.0, f"as you said, read by {wanted}", True), [])

    def _by_format(self, look: Look, wanted: str) -> Times:
        if wanted not in TIME_FORMATS and "%" not in wanted:
            raise InputError(
                f"--time-format {wanted!r} is none of {', '.join(TIME_FORMATS)}, and no pattern such as %Y-%m-%d"
            )
        try:
            moments = look.seconds(wanted)
        except (InputError, ValueError) as error:
            raise InputError(
                f"{self.path}: {look.name!r} has values such as {look.shown()}, which are not {wanted}"
            ) from error
        share = float(look.counts[np.isfinite(moments)].sum() / max(look.present, 1))
        if share < 0.5:
            raise InputError(f"{self.path}: {look.name!r} has values such as {look.shown()}, which are not {wanted}")
        return Times(share, (), wanted)

    def _times_of(self, look: Look, chosen: bool = False) -> Iterator[_TimeCandidate]:
        """As which times a column could be read."""
        rank = names.time_rank(look.name)
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
        if span >= 3600 or self.choices.time_format:
            found = Times(share, (), self.choices.time_format or "seconds")
            what += f"; taken for seconds, by which the data spans {span / 86_400:,.3g} days"
            return _TimeCandidate(look, found, 2 * rank + 2 * (order >= 0.95), rank, what, False, guessed_unit=True)
        return _TimeCandidate(
            look, Times(share, (), "seconds"), 2 * rank + 2 * (order >= 0.95), rank, what, False, unit_needed=True
        )

    def _date_and_clock(self, candidates: list[_TimeCandidate]) -> tuple[str, str, tuple[str, ...], Array] | None:
        """A date in one column and the time of day in another, or year, month, day and clock in four."""
        best = candidates[0] if candidates else None
        if best is not None and best.look.is_temporal:
            return None
        clocks = [look for look in self._open() if look.clock and not look.missing]
        dates = [
            one for one in candidates
            if one.absolute and ("%" in one.found.time_format or one.found.time_format == "iso8601")
            and not one.found.rival and not one.look.missing
            and not np.mod(one.look.seconds(one.found.time_format)[np.isfinite(one.look.seconds(one.found.time_format))], 86_400).any()
        ]  # fmt: skip
        year_month_day = self._year_month_day()
        if dates and dates[0] is best and clocks:
            date = dates[0]
            pattern = "%Y-%m-%d" if date.found.time_format == "iso8601" else date.found.time_format
            for clock in clocks:
                for clock_format in ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p"):
                    joined = self._joined([date.look, clock], f"{pattern} {clock_format}")
                    if joined is not None:
                        return joined
        if year_month_day and (best is None or best.rank < 2 or not best.absolute):
            for clock in [*clocks, *self._hours()]:
                for clock_format in ("%H:%M:%S", "%H:%M", "%H"):
                    joined = self._joined([*year_month_day, clock], f"%Y %m %d {clock_format}")
                    if joined is not None:
                        return joined
            return self._joined(year_month_day, "%Y %m %d")
        return None

    def _year_month_day(self) -> list[Look]:
        found = []
        for word, low, high in (("year", 1950, 2100), ("month", 1, 12), ("day", 1, 31)):
            fitting = [
                look for look in self._open()
                if names.words(look.name)[-1:] == [word] and look.numbers is not None and look.is_whole
                and not look.missing and low <= look.lowest and look.highest <= high
            ]  # fmt: skip
            if not fitting:
                return []
            found.append(fitting[0])
        return found

    def _hours(self) -> list[Look]:
        return [
            look for look in self._open()
            if names.words(look.name)[-1:] == ["hour"] and look.numbers is not None and look.is_whole and not look.missing
            and look.lowest >= 0 and look.highest <= 23
        ]  # fmt: skip

    def _joined(self, looks: list[Look], pattern: str) -> tuple[str, str, tuple[str, ...], Array] | None:
        from components.reading.times import fitting, joined, seconds, times

        columns = [_rows(look) for look in looks]
        text = joined(columns, pattern)
        some = text.slice(0, 1000)
        if fitting(some, pattern).mean() < 0.95 or not fitting(text, pattern).all():
            return None
        moments = seconds(times(text, pattern), "iso8601")
        name = "date_time"
        while name in self.looks:
            name += "_"
        for look in looks:
            self._take(look, "time part", f"a part of the time {name}, which is read by {pattern}")
        return name, pattern, tuple(look.name for look in looks), moments

    # Amount

    def _amount(self) -> Look | None:
        if self.choices.amount:
            look = self.looks[self.choices.amount]
            self.roles.pop(look.name)
            if look.numbers is None or not np.isfinite(look.floats).any():
                raise InputError(f"{self.path}: {look.name!r} has values such as {look.shown()}, which are no numbers")
            self._take_number(look, "amount", "as you said; ")
            return look
        families = self._numbered(3)
        ranked = sorted(
            (
                (names.amount_rank(look.name), look)
                for look in self._open()
                if names.amount_rank(look.name) > 0 and look.name not in families
            ),
            key=lambda pair: -pair[0],
        )
        usable = [
            (rank, look)
            for rank, look in ranked
            if look.numbers is not None and look.numbers.mostly and look.different > 2
        ]
        if not usable:
            like = [
                look.name
                for look in self._open()
                if names.words(look.name) and set(names.words(look.name)) & {"amount", "amt"}
            ]
            unread = f"{_and([look.name for _, look in ranked])} cannot be read as numbers" if ranked else ""
            rather = (
                f"{_and(like)} {'are' if len(like) > 1 else 'is'} of the past or of a sum"
                if like and not ranked
                else ""
            )
            because = f" ({unread or rather})" if unread or rather else ""
            self.doubts.append(
                f"no column is taken for the amount{because}, so nothing is said in money; --amount names one"
            )
            return None
        if ranked[0][0] > usable[0][0]:
            worse = ranked[0][1]
            self.doubts.append(
                f"{worse.name} is named like the amount, but cannot be read as numbers ({worse.shown()})"
            )
        amount = usable[0][1]
        rivals = [look.name for _, look in usable[1:]]
        if rivals:
            self.doubts.append(f"{amount.name} is the amount; {_and(rivals)} could be it too: --amount chooses")
        self._take_number(amount, "amount", "named like an amount; ")
        if amount.lowest < 0:
            below = int(amount.counts[amount.floats < 0].sum())
            self.doubts.append(
                f"{amount.name}: {below:,} amounts are negative, and taken for refunds; columns.numbers.{amount.name}.sign: "
                "flipped or absolute says otherwise"
            )
            if below > 0.5 * amount.present:
                self.numbers[amount.name] = (self.numbers.get(amount.name) or NumberFormat()).model_copy(
                    update={"sign": "flipped"}
                )
                self.doubts[-1] = (
                    f"{amount.name}: {100 * below / amount.present:.0f} % of the amounts are negative, so payments are taken "
                    "to be written as negative numbers (sign: flipped)"
                )
        return amount

    def _take_number(self, look: Look, role: str, before: str = "", after: str = "") -> None:
        """A column of numbers, with its format, exceptions and marks of missing values."""
        found = look.numbers or Numbers(1.0)
        if found.written is not None:
            self.numbers[look.name] = found.written
        marks = [value for value, _ in found.exceptions]
        mark = look.negative_mark if role == "numeric" else None
        said = ""
        if mark is not None:
            marks.append(f"{mark:g}")
            count = int(look.counts[look.floats == mark].sum())
            said = f"; {mark:g}, the only negative value, in {100 * count / look.rows:.2g} % of the rows, means missing"
            self.doubts.append(f"{look.name}: {mark:g} is taken for a missing value")
        if marks:
            self.missing[look.name] = tuple(marks)
        how = f" written as {_format_words(found.written)}" if found.written is not None else ""
        if found.written is not None and found.rival is not None:
            self.doubts.append(
                f"{look.name}: read as {_format_words(found.written)}; its values would also fit {_format_words(found.rival)}"
            )
        share = f"{100 * found.share:.4g} % numbers{how}"
        self._take(look, role, f"{before}{share}{self._exceptions(look, found)}{_gaps(look)}{said}{after}")

    def _exceptions(self, look: Look, found: Numbers | Times) -> str:
        """The exceptions in words: 3 exceptions, first line 302: '-'."""
        if not found.exceptions:
            return ""
        count = sum(count for _, count in found.exceptions)
        values = [value for value, _ in found.exceptions]
        first = min(values, key=look.first_row)
        others = (
            f", also {_and([repr(str(value)) for value in values if value != first][:3])}" if len(values) > 1 else ""
        )
        kind = "taken for missing" if isinstance(found, Numbers) else "without a time"
        if len(values) and not all(str(value) in MARKS for value in values):
            self.doubts.append(
                f"{look.name}: {count:,} value{'s' * (count > 1)} {kind}: first {self._place(look, first)}{others}"
            )
        return f", {count:,} exception{'s' * (count > 1)} {kind}, first {self._place(look, first)}{others}"

    def _place(self, look: Look, value: object) -> str:
        row = look.first_row(value)
        shown = repr(_text(value))
        if self.header_lines == 0 and not self.written.header:
            return f"line {row + 1:,}: {shown}"
        return f"line {row + 1 + self.header_lines:,}: {shown}" if self.header_lines else f"row {row + 1:,}: {shown}"

    def _currency(self, amount: Look | None) -> str | None:
        """As the amounts or their name say it."""
        if self.choices.currency or amount is None:
            return self.choices.currency
        written = self.numbers.get(amount.name)
        for symbol in written.symbols if written else ():
            if symbol.upper() in CURRENCIES:
                return symbol.upper()
            if symbol in _CURRENCIES:
                return _CURRENCIES[symbol]
        for word in re.split(r"[\W_]+", amount.name):
            if word.upper() in CURRENCIES and word.upper() != "TRY":
                return word.upper()
        for look in self.looks.values():
            if names.compact(look.name) in ("currency", "currencycode", "ccy", "currencyid") and look.is_text:
                if look.different == 1 and str(look.values[0].as_py()).upper() in CURRENCIES:
                    return str(look.values[0].as_py()).upper()
                if look.different > 1:
                    self.doubts.append(
                        f"{look.name}: the amounts are in {look.different} currencies ({look.shown()}), but money is added "
                        "up as if they were in one: convert them first"
                    )
        return None

    # Leaks

    def _leaks(self, label: Look, labels: Array) -> None:
        """Ignores columns that nearly tell the label alone, or whose name says that they come after the fact."""
        from components.leaks import known_after

        known = np.isfinite(labels)
        frauds = int((labels == 1).sum())
        open_ = {look.name: look for look in self._open()}
        if frauds < 10 or frauds == known.sum():
            return
        values = {name: _for_leaks(look)[known] for name, look in open_.items()}
        alone = column_average_precisions(values, labels[known])
        base = frauds / known.sum()
        for name, precision in alone.items():
            look = open_[name]
            if precision > max(LEAK, 1 - (1 - base) / 2):
                self.leaks[name] = precision
                self._take(look, "ignore", f"a leak: alone it tells fraud with an average precision of {precision:.3f}")
                self.doubts.append(
                    f"{name} alone tells fraud with an average precision of {precision:.3f}, so it is taken for known only "
                    "after the fact and ignored; if it is known when the transaction is decided, give it a role and name it "
                    "under data.leakage.known_before"
                )
            elif known_after(name) or (names.says_fraud(name) and not set(names.words(name)) & names.PAST):
                self._take(
                    look, "ignore",
                    f"by its name perhaps known only after the fact (alone: average precision {precision:.2f})",
                )  # fmt: skip
                self.doubts.append(f"{name} is ignored, since by its name it may be known only after the fact")
            elif names.says_fraud(name):
                self.doubts.append(f"{name} speaks of fraud, of the past by its name: check that it is known in time")

    # What repeats the time

    def _repeats(self, moments: Array) -> None:
        """Ignores numbers that rise with the time: they repeat it, and no later transaction has such a value."""
        order = np.argsort(moments, kind="stable")
        for look in self._open():
            if look.numbers is None or not look.different > FEW or look.missing > 0.5 * look.rows:
                continue
            values = look.rows_of(look.floats)[order]
            values = values[np.isfinite(values)]
            if len(values) > 20 and float((np.diff(values) >= 0).mean()) >= 0.999:
                self._take(look, "ignore", "rises with the time, so it repeats it")

    # The rest

    def _numbered(self, least: int) -> dict[str, str]:
        """Members of numbered families (V1, V2, ...) of at least so many numbers, and what to call their family."""
        members: dict[str, list[Look]] = defaultdict(list)
        for look in self.looks.values():
            match = re.fullmatch(r"(.*\D)\d+", look.name)
            if match and look.numbers is not None and look.numbers.mostly:
                members[match[1]].append(look)
        return {
            look.name: f"{family[0].name} to {family[-1].name}"
            for family in members.values()
            for look in family
            if len(family) >= least
        }

    def _families(self) -> dict[str, str]:
        """Members of large numbered families of numbers that are no codes."""
        large = self._numbered(FAMILY)
        by_family: dict[str, list[Look]] = defaultdict(list)
        for name, family in large.items():
            by_family[family].append(self.looks[name])
        return {
            look.name: family
            for family, looks in by_family.items()
            if any(not look.is_whole or look.different > FEW for look in looks) and not names.is_code(looks[0].name)
            for look in looks
        }

    def _rest(self, look: Look, family: str | None) -> None:
        different = f"{look.different:,} different values"
        numbers = look.numbers if look.numbers is not None and look.numbers.mostly and not look.is_temporal else None
        if look.is_temporal or (numbers is None and look.date_formats):
            self._take(look, "ignore", "another date or time")
        elif look.clock:
            self._take(look, "ignore", "a time of day without a date")
        elif self._is_entity(look):
            self._take(
                look, "entity", f"{different}, named like who takes part; carried along, not learned from as it is"
            )
        elif numbers is None or look.beyond_int64 or look.is_boolean:
            self._rest_of_text(look, different)
        elif not look.is_whole:
            self._take_number(look, "numeric")
        elif family is not None:
            self._take_number(look, "numeric", after=f"; whole, one of the columns {family}")
        elif (
            look.different >= 0.99 * look.present and not look.missing and look.present > 20 and self._is_counter(look)
        ):
            self._take(look, "ignore", "a different value in every row, so an identifier")
        else:
            self._rest_of_whole(look, different)

    def _is_counter(self, look: Look) -> bool:
        """Quantities of a wide range hardly repeat either: an identifier never does, and counts up or is named so."""
        unique = look.different == look.present
        return unique and (names.is_identifier(look.name) or look.in_order(look.floats) >= 0.95)

    def _is_entity(self, look: Look) -> bool:
        if re.fullmatch(r".*\D\d{1,2}", look.name) and look.name in self._numbered(3):
            return False  # card1, card2, card3: codes of something about the card
        code = look.is_text or look.is_whole or "ip" in names.words(look.name)
        if look.numbers is not None and not code:
            return False
        if look.kind_of_code in ("e-mail addresses", "telephone numbers", "IP addresses"):
            return look.different > PEOPLE
        if names.is_person(look.name):
            return look.different > PEOPLE
        return (names.is_place(look.name) and look.different > PLACES) or (
            look.kind_of_code in ("hashes", "UUIDs") and PEOPLE < look.different < 0.99 * look.present
        )

    def _rest_of_whole(self, look: Look, different: str) -> None:
        merged = look.merged_by_float32
        huge = max(abs(look.lowest), abs(look.highest)) > 2**53
        if merged or huge or (look.highest > 2**24 and names.is_identifier(look.name)):
            what = f"whole numbers of up to {_digits(look)} digits, {different}"
            what += f", of which float32 would merge {merged:,}" if merged else ""
            if look.different > 0.5 * look.present:
                self._take(look, "ignore", f"{what}: identifiers that hardly repeat")
            else:
                self._take_code(look, f"{what}, so a code")
        elif names.is_code(look.name):
            self._take_code(look, f"whole numbers, {different}, named like a code")
        elif look.different <= FEW:
            self._take_code(look, f"whole numbers, {different}")
        else:
            self._take_number(look, "numeric", after=f"; whole, {different}")

    def _take_code(self, look: Look, reason: str) -> None:
        written = look.numbers.written if look.numbers is not None else None
        if written is not None:  # 1,234 is the text of a code
            self._take(look, "category", f"{reason}{self._coverage(look)}{_gaps(look)}")
            return
        marks = tuple(value for value, _ in look.numbers.exceptions) if look.numbers is not None else ()
        if marks:
            self.missing[look.name] = marks
        exceptions = self._exceptions(look, look.numbers) if look.numbers is not None else ""
        self._take(look, "code", f"{reason}{exceptions}{self._coverage(look)}{_gaps(look)}")

    def _rest_of_text(self, look: Look, different: str) -> None:
        what = look.kind_of_code or ("codes with leading zeros" if look.has_leading_zeros else "text")
        if look.beyond_int64:
            what = "whole numbers beyond 64 bits"
        if look.is_boolean:
            what = "true or false"
        almost = ""
        if look.numbers is not None and not look.beyond_int64 and not look.is_boolean:
            almost = f" ({100 * look.numbers.share:.3g} % numbers, too few to be a column of numbers)"
            self.doubts.append(
                f"{look.name}: {100 * look.numbers.share:.3g} % of the values are numbers; the others, such as "
                f"{_and([repr(str(value)) for value, _ in look.numbers.exceptions[:3]])}, make categories of it"
            )
        if look.different > 0.5 * look.present and look.different > FEW:
            self._take(look, "ignore", f"{what}, {different} in {look.present:,} rows, too many to be categories")
            return
        if look.different > _TEXT_AS_CATEGORIES:
            self._take(look, "ignore", f"{what}, {different}, too many to be categories")
            return
        marks = look.missing_categories
        if marks:
            self.missing[look.name] = marks
        said = f"; {_or([repr(mark) for mark in marks])} means missing" if marks else ""
        self._take(look, "category", f"{what}, {different}{almost}{self._coverage(look)}{_gaps(look)}{said}")

    def _coverage(self, look: Look) -> str:
        """How much of the rows a bounded vocabulary covers, where it does not hold all values."""
        if look.different <= VOCABULARY:
            return ""
        covered = np.sort(look.counts)[::-1][:VOCABULARY].sum() / look.present
        return f"; the {VOCABULARY:,} most frequent cover {100 * covered:.3g} % of the rows, the others share buckets"


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


_UNIT_NAMES = {
    "epoch": "seconds",
    "epoch_fractional": "seconds with a fraction",
    "epoch_ms": "milliseconds",
    "epoch_us": "microseconds",
    "epoch_ns": "nanoseconds",
}


def _marks() -> set[str]:
    return {label_word(mark) for mark in MARKS}


def _rows(look: Look) -> pa.Array:
    """The column again, row by row."""
    return look.values.take(pa.array(look.codes, mask=look.codes < 0))


def _for_leaks(look: Look) -> Array:
    """Numbers as they are, and everything else as codes of categories, text so that it is one."""
    if look.numbers is not None and look.numbers.mostly and not look.is_temporal:
        return look.rows_of(look.floats)
    return np.array([f"{code}" for code in range(-1, look.different)], object)[look.codes + 1]


def _text(value: object) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _digits(look: Look) -> int:
    return len(str(int(max(abs(look.lowest), abs(look.highest)))))


def _gaps(look: Look) -> str:
    return f", {100 * look.missing / look.rows:.2g} % missing" if look.missing else ""


def _format_words(written: NumberFormat) -> str:
    parts = [f"1{written.thousands}234{written.decimal}5"]
    if written.symbols:
        parts.append(f"with {_and(written.symbols)}")
    return " ".join(parts)


def _and(parts: Iterable[str]) -> str:
    *most, last = list(parts) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _or(parts: Iterable[str]) -> str:
    *most, last = [str(part) for part in parts] or [""]
    return f"{', '.join(most)} or {last}" if most else last


Role = Literal["label", "time", "time part", "amount", "id", "entity", "numeric", "category", "code", "ignore"]
