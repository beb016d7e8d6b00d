"""Proposes what each column is, and how it is written, from names and values: what `fraud-pipeline init` writes."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from components.leaks import column_average_precisions, known_after
from components.reading.dialect import dialect_of
from components.reading.files import find_files, is_parquet
from components.reading.readers import header, raw_batches
from pipeline.data import names
from pipeline.data.csv_written import csv_format, encoding_doubt
from pipeline.data.draft import Choices, Draft, Role, and_, check, gaps, or_, text_of
from pipeline.data.label_choice import LabelChoice, LabelChooser
from pipeline.data.looks import CURRENCIES, Look, Numbers
from pipeline.data.proposal import Proposal
from pipeline.data.time_choice import TimeChoice, TimeChooser
from trainer.arrays import Array
from trainer.columns import EXAMPLE_WEIGHT, CategoricalKind, Columns, CsvFormat, NumberFormat
from trainer.errors import InputError, faults

ROWS = 200_000
# Of very wide data fewer rows do, so that an answer takes seconds.
CELLS = 10_000_000

# Whole numbers with at most as many different values are codes rather than quantities.
FEW = 12
# Columns of one name and a number (V1, V2, ...) from this many on are judged together.
FAMILY = 8
# A payer has at least so many different values, and a place where cards are used so many.
PEOPLE, PLACES = 30, 250
# Above this average precision of a column alone, and rows enough to say so, it is taken for a leak.
LEAK = 0.9
VOCABULARY = 1000  # as features.max_vocabulary
_TEXT_AS_CATEGORIES = 20_000

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


def propose(path: str, choices: Choices | None = None) -> Proposal:
    """Roles and formats of the columns of the data at `path`, by the first 200,000 rows, or fewer of very wide data.

    Raises:
      InputError: there are no rows; there is no label, or it cannot be understood; a choice names no column; or
        there is nothing to learn from. Where a choice of the person's would help, the message says which.
    """
    return Sampled.from_data(path, choices or Choices()).proposal()


@dataclass
class Sampled:
    """The columns of some data by their first rows, or by all rows where a later one was not like the first ones.

    known: roles that are no longer open, and why.
    """

    path: str
    files: list[str]
    choices: Choices
    written: CsvFormat
    looks: dict[str, Look]
    known: dict[str, tuple[Role, str]] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    looked_again: set[str] = field(default_factory=set)
    _precisions: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_data(cls, path: str, choices: Choices) -> Sampled:
        """Raises InputError where there are no rows, or a choice names no column."""
        files = [file.path for file in find_files(path)]
        written = csv_format(files[0], choices.csv)
        columns = header(files[0], written)
        check(choices, columns, files[0])
        table = _first_rows(files, min(ROWS, CELLS // len(columns)), written)
        if not table.num_rows:
            raise InputError(f"{path} has a header but no rows to propose roles from; name a file with transactions")
        sampled = cls(
            path,
            files,
            choices,
            written,
            {name: Look(name, table.column(name), comma_divides=written.delimiter != ";") for name in columns},
        )
        if written.encoding and not choices.csv.encoding:
            sampled.doubts.append(encoding_doubt(files[0], written.encoding))
        if written.skip_lines and not choices.csv.skip_lines:
            before = f"the first {written.skip_lines} lines are" if written.skip_lines > 1 else "line 1 is"
            sampled.doubts.append(
                f"{before} left out, since the columns' names or the first row come after; columns.csv.skip_lines says "
                "otherwise"
            )
        if written.unnamed and not choices.csv.unnamed:
            place = 0 if written.unnamed == "first" else -1
            sampled.doubts.append(
                f"each row has one value more than the header has names: the {written.unnamed} column is called "
                f"{columns[place]}; if that is wrong, give all names under columns.csv.names"
            )
        if not written.header and choices.csv.header:
            sampled.doubts.append(
                f"line {written.skip_lines + 1} is taken for data and not for names, so the columns are named by their "
                "places"
            )
        return sampled

    @property
    def rows(self) -> int:
        """How many rows were looked at."""
        return min(look.rows for look in self.looks.values())

    def proposal(self) -> Proposal:
        """Raises InputError as `propose`."""
        lines = None if is_parquet(self.files[0]) else dialect_of(self.files[0], self.written).header_lines
        draft = Draft(self.path, self.looks, self.choices, self.written, lines, doubts=list(self.doubts))
        draft.precisions = self._precisions
        for name, (role, reason) in self.known.items():
            draft.take(self.looks[name], role, reason)
        return _Proposer(draft).proposal(self.rows)

    def look_again(self, name: str) -> None:
        """Looks at all rows of a column."""
        self.looked_again.add(name)
        rows = self.rows
        batches = [batch for file in self.files for batch in raw_batches(file, written=self.written, names=[name])]
        column = pa.Table.from_batches(batches).column(0)
        self.looks[name] = Look(name, column, rows, comma_divides=self.written.delimiter != ";")
        if self._precisions.pop(name, None) is None:
            self._precisions.clear()  # it may be the label, by which the others were judged

    def leave_out(self, name: str, reason: str, doubt: str) -> None:
        """Ignores a column."""
        self.known[name] = ("ignore", reason)
        self.doubts.append(doubt)


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


# The roles


@dataclass
class _Proposer:
    """Chooses the roles one after another: what has got one is no candidate for the next."""

    draft: Draft

    def proposal(self, rows: int) -> Proposal:
        """rows: how many were looked at."""
        draft = self.draft
        self._refuse_repeated_header()
        label = LabelChooser(draft).choose()
        if draft.choices.id:
            look = draft.looks[draft.choices.id]
            draft.take(look, "id", "as you said")
            if look.different < look.present:
                draft.doubts.append(
                    f"{look.name}: {look.different:,} different values in {look.present:,} rows name no transaction; "
                    "nothing is learned from an id"
                )
        for name in draft.choices.entities:
            draft.take(draft.looks[name], "entity", "as you said")
        self._useless()
        self._id()
        time = TimeChooser(draft).choose()
        amount = self._amount()
        families = self._families()
        self._leaks(label)
        if time.rows is not None:
            self._repeats(time.rows)
        for look in draft.open():
            self._rest(look, families.get(look.name))
        return self._concluded(rows, label, time, amount)

    def _refuse_repeated_header(self) -> None:
        """Raises InputError where a row holds the columns' names, as it does where files were put one after another."""
        rows = [look.first_row(look.name) for look in self.draft.looks.values() if look.holds(look.name)]
        row = max(rows, key=rows.count, default=0)
        # a category may be called as its column is, and two may be so in one row
        if rows.count(row) > max(1, 0.8 * len(self.draft.looks) - 1):
            line = self.draft.line(row)
            raise InputError(
                f"{self.draft.path} {line} holds the columns' names once more, as where files were put one after "
                "another; remove such lines, or name the files' folder"
            )

    def _concluded(self, rows: int, label: LabelChoice, time: TimeChoice, amount: Look | None) -> Proposal:
        of_role: dict[str, list[str]] = defaultdict(list)
        for name in self.draft.looks:
            of_role[self.draft.roles[name]].append(name)
        kinds: dict[str, CategoricalKind] = {"category": "string", "code": "integer"}
        categorical = {
            name: kinds[self.draft.roles[name]] for name in self.draft.looks if self.draft.roles[name] in kinds
        }
        if not (time.name or amount or of_role["numeric"] or categorical):
            why = "; ".join(f"{name}: {reason}" for name, reason in self.draft.reasons.items())
            raise InputError(
                f"{self.draft.path} has no column to learn from besides the label {label.look.name!r} ({why})"
            )
        try:
            columns = Columns(
                label=label.look.name,
                label_values=label.meanings,
                id=of_role["id"][0] if of_role["id"] else None,
                entities=tuple(of_role["entity"]),
                time=time.name,
                time_format=time.time_format,
                time_parts=time.parts,
                amount=amount.name if amount else None,
                numeric=tuple(of_role["numeric"]),
                categorical=categorical,
                numbers=self.draft.numbers,
                missing=self.draft.missing,
                leave_out_rows_without=tuple(self.draft.without),
                csv=self.draft.written,
                ignore=tuple(of_role["ignore"]),
            )
        except ValidationError as error:
            said = "; ".join(fault.text for fault in faults(error, {}))
            raise InputError(f"{self.draft.path}: {said}") from error
        currency = self._currency(amount)
        return Proposal(
            columns=columns,
            reasons={name: self.draft.reasons[name] for name in self.draft.looks},
            roles={name: self.draft.roles[name] for name in self.draft.looks},
            rows=rows,
            doubts=tuple(self.draft.doubts),
            currency=currency,
            leaks=dict(self.draft.leaks),
        )

    # What is useless

    def _useless(self) -> None:
        for look in self.draft.open():
            if look.is_other:
                self.draft.take(look, "ignore", f"neither numbers nor text but {look.type}")
            elif not look.present:
                self.draft.take(look, "ignore", "no values")
            elif look.different == 1 and look.missing < 0.005 * look.rows:  # else the gaps may say something
                self.draft.take(look, "ignore", f"always {text_of(look.values[0].as_py())[:40]}{gaps(look)}")
            elif look.name == EXAMPLE_WEIGHT:
                self.draft.take(look, "ignore", "its name is the pipeline's own; rename it to have it learned from")
                self.draft.doubts.append(f"{look.name} is ignored, since its name is the pipeline's own: rename it")
            elif names.is_rule(look.name):
                self.draft.take(
                    look, "ignore", "a rule's flag by its name: what a rule says of fraud is no news to a model"
                )

    # The name of a transaction

    def _id(self) -> None:
        """The column that names the transactions; of several the one whose name says most."""
        if self.draft.choices.id:
            return
        candidates = [
            look
            for look in self.draft.open()
            if names.names_transactions(look.name) and not look.missing and look.different == look.rows > 20
            and (look.numbers is None or look.is_whole or not look.is_text)
        ]  # fmt: skip
        if candidates:
            chosen = max(candidates, key=lambda look: len(look.name))
            self.draft.take(
                chosen, "id", "a different value in every row, and named like an ID: carried along, never learned from"
            )

    # Amount

    def _amount(self) -> Look | None:
        if self.draft.choices.amount:
            return self._chosen_amount(self.draft.looks[self.draft.choices.amount])
        families = self._numbered(3)
        for look in self.draft.open():
            if names.amount_rank(look.name) > 0 and look.has_leading_zeros:
                look.take_for_quantity()
                self.draft.doubts.append(
                    f"{look.name}: its values have leading zeros, such as {look.shown(2)}; they are taken for numbers, "
                    "which may be hundredths"
                )
        ranked = sorted(
            (
                (names.amount_rank(look.name), look)
                for look in self.draft.open()
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
            self._doubt_no_amount([look.name for _, look in ranked])
            return None
        if ranked[0][0] > usable[0][0]:
            worse = ranked[0][1]
            self.draft.doubts.append(
                f"{worse.name} is named like the amount, but cannot be read as numbers ({worse.shown()})"
            )
        amount = usable[0][1]
        rivals = [look.name for _, look in usable[1:]]
        if rivals:
            self.draft.doubts.append(f"{amount.name} is the amount; {and_(rivals)} could be it too: --amount chooses")
        self._take_number(amount, "amount", "named like an amount; ")
        self._doubt_unit_and_sign(amount)
        return amount

    def _chosen_amount(self, look: Look) -> Look:
        look.take_for_quantity()
        if look.numbers is None or not np.isfinite(look.floats).any():
            raise InputError(
                f"{self.draft.path}: {look.name!r} has values such as {look.shown()}, which are no numbers"
            )
        self._take_number(look, "amount", "as you said; ")
        self._doubt_unit_and_sign(look)
        return look

    def _doubt_no_amount(self, unreadable: list[str]) -> None:
        """unreadable: columns that are named like an amount."""
        like = [look.name for look in self.draft.open() if {"amount", "amt"} & {*names.words(look.name)}]
        because = ""
        if unreadable:
            because = f" ({and_(unreadable)} cannot be read as numbers)"
        elif like:
            because = f" ({and_(like)} {'are' if len(like) > 1 else 'is'} of the past or of a sum)"
        self.draft.doubts.append(
            f"no column is taken for the amount{because}, so nothing is said in money; --amount names one"
        )

    def _doubt_unit_and_sign(self, amount: Look) -> None:
        if set(names.words(amount.name)) & {"cents", "cent", "minor", "pence", "paise", "kopecks", "subunits"}:
            self.draft.doubts.append(
                f"{amount.name}: by its name the amounts are in hundredths; costs.review and what is shown in "
                "money are in the same unit"
            )
        below = int(amount.counts[amount.floats < 0].sum())
        if below > 0.5 * amount.present:
            written = self.draft.numbers.get(amount.name) or NumberFormat()
            self.draft.numbers[amount.name] = written.model_copy(update={"sign": "flipped"})
            self.draft.doubts.append(
                f"{amount.name}: {100 * below / amount.present:.0f} % of the amounts are negative, so payments are "
                "taken to be written as negative numbers (sign: flipped)"
            )
        elif not below:
            self._doubt_credits(amount)
        else:
            self.draft.doubts.append(
                f"{amount.name}: {below:,} amounts are negative, and taken for refunds; "
                f"columns.numbers.{amount.name}.sign: flipped or absolute says otherwise"
            )

    def _doubt_credits(self, amount: Look) -> None:
        """Says where another column tells debits from credits, since amounts without a sign do not."""
        words = names.vocabulary("c d cr dr credit debit")
        for look in self.draft.open():
            values = {str(value).casefold() for value in look.values.slice(0, 3).to_pylist()}
            if look.is_text and 1 < look.different <= 3 and len(values & words) >= 2:
                self.draft.doubts.append(
                    f"{look.name} seems to tell credits from debits, and {amount.name} has no sign: a credit counts as "
                    "a payment unless the amounts are made negative before"
                )

    def _doubt_three_decimals(self, look: Look) -> None:
        """Numbers such as 2.570 alone may have a dot for thousands; nothing in them says which it is."""
        self.draft.doubts.append(
            f"{look.name}: each number has a dot before three digits, such as {look.shown(2)}; it is taken for a "
            f"decimal point. If it divides thousands, set columns.numbers.{look.name}: {{decimal: ',', thousands: '.'}}"
        )

    def _take_number(self, look: Look, role: Role, before: str = "", after: str = "") -> None:
        """A column of numbers, with its format, exceptions and marks of missing values."""
        found = look.numbers or Numbers(1.0)
        if found.written is not None:
            self.draft.numbers[look.name] = found.written
        marks = [value for value, _ in found.exceptions]
        mark = look.mark_of_missing if role == "numeric" else None
        said = ""
        if mark is not None:
            marks.append(f"{mark:g}")
            count = int(look.counts[look.floats == mark].sum())
            apart = "the only negative value" if mark < 0 else "far above all other values"
            said = f"; {mark:g}, {apart}, in {100 * count / look.rows:.2g} % of the rows, means missing"
            self.draft.doubts.append(f"{look.name}: {mark:g} is taken for a missing value")
        if marks:
            self.draft.missing[look.name] = tuple(marks)
        how = f" written as {_format_words(found.written)}" if found.written is not None else ""
        if found.written is None and look.has_three_decimals:
            self._doubt_three_decimals(look)
        same = (
            found.rival is None or found.written is None or (_format_words(found.written) == _format_words(found.rival))
        )
        if found.written is not None and found.rival is not None and not same:
            self.draft.doubts.append(
                f"{look.name}: read as {_format_words(found.written)}; its values would also fit "
                f"{_format_words(found.rival)}"
            )
        share = f"{100 * found.share:.4g} % numbers{how}"
        self.draft.take(look, role, f"{before}{share}{self.draft.exceptions(look, found)}{gaps(look)}{said}{after}")

    def _currency(self, amount: Look | None) -> str | None:
        """As the amounts or their name say it."""
        if self.draft.choices.currency or amount is None:
            return self.draft.choices.currency
        written = self.draft.numbers.get(amount.name)
        symbols = [symbol for symbol in (written.symbols if written else ()) if symbol != "%"]
        if len(symbols) > 1:
            raise InputError(
                f"{self.draft.path}: the amounts of {amount.name!r} are in several currencies ({and_(symbols)}), which "
                "are not to be added up: convert them first, or say with --currency in which one they all are"
            )
        for symbol in symbols:
            if symbol.upper() in CURRENCIES:
                return symbol.upper()
            if symbol in _CURRENCIES:
                return _CURRENCIES[symbol]
        for word in re.split(r"[\W_]+", amount.name):
            if word.upper() in CURRENCIES and word.upper() != "TRY":
                return word.upper()
        for look in self.draft.looks.values():
            if names.compact(look.name) in ("currency", "currencycode", "ccy", "currencyid") and look.is_text:
                if look.different == 1 and str(look.values[0].as_py()).upper() in CURRENCIES:
                    return str(look.values[0].as_py()).upper()
                if look.different > 1:
                    self.draft.doubts.append(
                        f"{look.name}: the amounts are in {look.different} currencies ({look.shown()}), but money is "
                        "added up as if they were in one: convert them first"
                    )
        return None

    # Leaks

    def _leaks(self, label: LabelChoice) -> None:
        """Ignores columns that nearly tell the label alone, or whose name says that they come after the fact."""
        labels = label.rows
        known = np.isfinite(labels)
        frauds = int((labels == 1).sum())
        open_ = {look.name: look for look in self.draft.open()}
        if frauds < 10 or frauds == known.sum():
            return
        values = {name: _for_leaks(look)[known] for name, look in open_.items() if name not in self.draft.precisions}
        self.draft.precisions |= column_average_precisions(values, labels[known])
        alone = {name: self.draft.precisions[name] for name in open_ if name in self.draft.precisions}
        base = frauds / known.sum()
        for name, precision in alone.items():
            look = open_[name]
            if (precision - base) / (1 - base) > LEAK:
                self.draft.leaks[name] = precision
                self.draft.take(
                    look, "ignore", f"a leak: alone it tells fraud with an average precision of {precision:.3f}"
                )
                self.draft.doubts.append(
                    f"{name} alone tells fraud with an average precision of {precision:.3f}, so it is taken for known "
                    "only after the fact and ignored; if it is known when the transaction is decided, give it a role "
                    "and name it under data.leakage.known_before"
                )
            elif known_after(name) or (names.says_fraud(name) and not set(names.words(name)) & names.PAST):
                self.draft.take(
                    look, "ignore",
                    f"by its name perhaps known only after the fact (alone: average precision {precision:.2f})",
                )  # fmt: skip
                self.draft.doubts.append(f"{name} is ignored, since by its name it may be known only after the fact")
            elif names.says_fraud(name):
                self.draft.doubts.append(
                    f"{name} speaks of fraud, of the past by its name: check that it is known in time"
                )

    # What repeats the time

    def _repeats(self, moments: Array) -> None:
        """Ignores numbers that rise with the time: they repeat it, and no later transaction has such a value."""
        order = np.argsort(moments, kind="stable")
        for look in self.draft.open():
            if look.numbers is None or not look.different > FEW or look.missing > 0.5 * look.rows:
                continue
            values = look.rows_of(look.floats)[order]
            values = values[np.isfinite(values)]
            if len(values) > 20 and float((np.diff(values) >= 0).mean()) >= 0.999:
                self.draft.take(look, "ignore", "rises with the time, so it repeats it")

    # The rest

    def _numbered(self, least: int) -> dict[str, str]:
        """Members of numbered families (V1, V2, ...) of at least so many numbers, and what to call their family."""
        return {
            look.name: f"{family[0].name} to {family[-1].name}"
            for family in self._numbered_families
            for look in family
            if len(family) >= least
        }

    @cached_property
    def _numbered_families(self) -> list[list[Look]]:
        members: dict[str, list[Look]] = defaultdict(list)
        for look in self.draft.looks.values():
            match = re.fullmatch(r"(.*\D)\d+", look.name)
            if match and look.numbers is not None and look.numbers.mostly:
                members[match[1]].append(look)
        return list(members.values())

    def _families(self) -> dict[str, str]:
        """Members of large numbered families of numbers that are no codes."""
        large = self._numbered(FAMILY)
        by_family: dict[str, list[Look]] = defaultdict(list)
        for name, family in large.items():
            by_family[family].append(self.draft.looks[name])
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
            self.draft.take(look, "ignore", "another date or time")
        elif look.clock:
            self.draft.take(look, "ignore", "a time of day without a date")
        elif self._is_entity(look):
            self.draft.take(
                look, "entity", f"{different}, named like who takes part; carried along, not learned from as it is"
            )
        elif numbers is None or look.beyond_int64 or look.is_boolean or (look.is_text and names.is_version(look.name)):
            self._rest_of_text(look, different)
        elif names.is_other_date(look.name) and not names.is_duration(look.name) and self._as_days(look):
            self.draft.take(look, "ignore", "another date, as a spreadsheet counts days")
        elif look.present > 100 and look.different > 0.5 * look.present and look.in_order(look.floats) >= 0.999:
            self.draft.take(look, "ignore", "rises from row to row: a counter, or a time")
            self.draft.doubts.append(
                f"{look.name} rises from row to row and is ignored; if it is the time, say so: --time and --time-format"
            )
        elif not look.is_whole:
            self._take_number(look, "numeric")
        elif family is not None:
            self._take_number(look, "numeric", after=f"; whole, one of the columns {family}")
        elif (
            look.different >= 0.99 * look.present and not look.missing and look.present > 20 and self._is_counter(look)
        ):
            self.draft.take(look, "ignore", "a different value in every row, so an identifier")
        else:
            self._rest_of_whole(look, different)

    @staticmethod
    def _as_days(look: Look) -> bool:
        """Whether the numbers could be a spreadsheet's days, from 1905 to 2119."""
        return bool(look.lowest >= 2_000 and look.highest < 80_000)

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
                self.draft.take(look, "ignore", f"{what}: identifiers that hardly repeat")
            else:
                self._take_code(look, f"{what}, so a code")
        elif names.is_code(look.name) and look.different == look.rows > 20:
            self.draft.take(look, "ignore", f"whole numbers, {different}, named like a code: none occurs twice")
        elif names.is_code(look.name):
            self._take_code(look, f"whole numbers, {different}, named like a code")
        elif look.different <= FEW:
            self._take_code(look, f"whole numbers, {different}")
        else:
            self._take_number(look, "numeric", after=f"; whole, {different}")

    def _take_code(self, look: Look, reason: str) -> None:
        written = look.numbers.written if look.numbers is not None else None
        if written is not None:  # 1,234 is the text of a code
            self.draft.take(look, "category", f"{reason}{self._coverage(look)}{gaps(look)}")
            return
        marks = tuple(value for value, _ in look.numbers.exceptions) if look.numbers is not None else ()
        if marks:
            self.draft.missing[look.name] = marks
        exceptions = self.draft.exceptions(look, look.numbers) if look.numbers is not None else ""
        self.draft.take(look, "code", f"{reason}{exceptions}{self._coverage(look)}{gaps(look)}")

    def _rest_of_text(self, look: Look, different: str) -> None:
        what = look.kind_of_code or ("codes with leading zeros" if look.has_leading_zeros else "text")
        if look.beyond_int64:
            what = "whole numbers beyond 64 bits"
        if look.is_boolean:
            what = "true or false"
        almost = ""
        if look.numbers is not None and not look.numbers.mostly and not look.beyond_int64 and not look.is_boolean:
            almost = f" ({100 * look.numbers.share:.3g} % numbers, too few to be a column of numbers)"
            self.draft.doubts.append(
                f"{look.name}: {100 * look.numbers.share:.3g} % of the values are numbers; the others, such as "
                f"{and_([repr(str(value)) for value, _ in look.numbers.exceptions[:3]])}, make categories of it"
            )
        if look.different > 0.5 * look.present and look.different > FEW:
            self.draft.take(look, "ignore", f"{what}, {different} in {look.present:,} rows, too many to be categories")
            return
        if look.different > _TEXT_AS_CATEGORIES:
            self.draft.take(look, "ignore", f"{what}, {different}, too many to be categories")
            return
        marks = look.missing_categories
        if marks:
            self.draft.missing[look.name] = marks
        said = f"; {or_([repr(mark) for mark in marks])} means missing" if marks else ""
        self.draft.take(look, "category", f"{what}, {different}{almost}{self._coverage(look)}{gaps(look)}{said}")

    def _coverage(self, look: Look) -> str:
        """How much of the rows a bounded vocabulary covers, where it does not hold all values."""
        if look.different <= VOCABULARY:
            return ""
        covered = np.sort(look.counts)[::-1][:VOCABULARY].sum() / look.present
        return f"; the {VOCABULARY:,} most frequent cover {100 * covered:.3g} % of the rows, the others share buckets"


def _for_leaks(look: Look) -> Array:
    """Numbers as they are, and everything else as codes of categories, text so that it is one."""
    if look.numbers is not None and look.numbers.mostly and not look.is_temporal:
        return look.rows_of(look.floats)
    codes: Array = np.array([f"{code}" for code in range(-1, look.different)], object)[look.codes + 1]
    return codes


def _digits(look: Look) -> int:
    return len(str(int(max(abs(look.lowest), abs(look.highest)))))


def _format_words(written: NumberFormat) -> str:
    parts = [f"1{written.thousands}234{written.decimal}5"]
    if written.symbols:
        parts.append(f"with {and_(written.symbols)}")
    return " ".join(parts)
