"""Proposes what each column is, from its name and its first values: the config that `fraud-pipeline init` writes."""

from __future__ import annotations

import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from components.reading.files import find_files
from components.reading.readers import header, raw_batches
from components.reading.values import MISSING, fitting, seconds
from pipeline.escaping import in_yaml, on_terminal
from trainer.arrays import Array
from trainer.columns import CategoricalKind, Columns, TimeFormat
from trainer.decision.costs import Costs
from trainer.errors import InputError

ROWS = 200_000
# Of very wide data fewer rows do, so that an answer takes seconds.
CELLS = 30_000_000

# Whole numbers with at most as many different values are codes rather than quantities.
FEW = 12
# Columns of one name and a number (V1, V2, ...) from this many on are judged together.
FAMILY = 8

_COUNTED = 20_000  # different values of a column that are told apart
_MOSTLY = 0.95
_MISSING = pa.array([*MISSING, None], pa.string())
_LABEL_VALUES = {"0", "1", "0.0", "1.0", "true", "false"}
_LABEL_NAMES = ("class", "label", "target", "y")
_TIME_NAME = re.compile(r"time|date|(^|_)(ts|dt)($|_)|dt$|seconds|step$")
_CODES = {"id", "code", "cd", "card", "addr", "address", "zip", "zipcode", "postcode", "postal", "mcc", "bin", "type",
          "category", "bank", "merchant", "terminal", "device", "customer", "account", "country", "state"}  # fmt: skip

_ID_WORDS = ("id", "num", "number", "no", "ref", "reference", "uuid", "guid", "key")
# A column of such a name, but for _ and case, that has a value of its own in every row names the transaction.
_ID_NAMES = {"id", "uuid", "guid"} | {
    f"{what}{word}" for what in ("transaction", "trans", "txn", "tx", "trx", "payment") for word in _ID_WORDS
}
_IDENTIFIERS = {*_ID_WORDS, "index", "unnamed"}


@dataclass(frozen=True)
class Proposal:
    """Roles of all columns, and for each column in a few words why."""

    columns: Columns
    reasons: dict[str, str]
    rows: int

    def as_yaml(self, data_path: str, schema_path: str | None = None) -> str:
        """A commented config: the data, the schema if there is one, and the columns with the reasons."""
        columns = self.columns
        lines = [
            f"# Proposed from the first {self.rows:,} rows: review each role before you train on it.",
            "data:",
            f"  path: {in_yaml(data_path)}",
            "",
        ]
        if schema_path is not None:
            lines += [f"schema: {in_yaml(schema_path)}", ""]
        lines += ["columns:", f"  label: {in_yaml(columns.label)}  # {self._reason(columns.label)}"]
        if columns.id:
            lines += [f"  id: {in_yaml(columns.id)}  # {self._reason(columns.id)}"]
        if columns.time:
            lines += [f"  time: {in_yaml(columns.time)}  # {self._reason(columns.time)}"]
            lines += [f"  time_format: {columns.time_format}  # seconds, epoch, epoch_ms or iso8601"]
        else:
            lines += ["  # time: no column was found for it; without one, set data.split.by: random"]
        if columns.amount:
            lines += [f"  amount: {in_yaml(columns.amount)}  # {self._reason(columns.amount)}"]
        lines += ["  # numbers; missing values are allowed"]
        lines += _flow("  numeric: ", [in_yaml(name) for name in columns.numeric])
        lines += ["  # categories: string (as printed) or integer"]
        lines += ["  categorical:" + ("" if columns.categorical else " {}")]
        lines += [f"    {in_yaml(name)}: {kind}  # {self._reason(name)}" for name, kind in columns.categorical.items()]
        lines += ["  ignore:" + ("" if columns.ignore else " []")]
        lines += [f"    - {in_yaml(name)}  # {self._reason(name)}" for name in columns.ignore]
        if columns.amount:
            costs = yaml.safe_dump(Costs().model_dump(), default_flow_style=True, sort_keys=False, width=120)
            lines += [
                "",
                "# What the model weighs when it decides, in the currency of the amounts; see docs/decisions.md.",
            ]
            lines += [f"costs: {costs.rstrip()}"]
        return "\n".join(lines) + "\n"

    def _reason(self, name: str) -> str:
        """For a comment: in one line, and without what YAML does not take there."""
        return on_terminal(" ".join(self.reasons[name].split()))


def _flow(start: str, items: list[str]) -> list[str]:
    if any(" " in item for item in items):
        # Wrapping would break a name at its blank.
        return [start.rstrip(), *(f"    - {item}" for item in items)]
    return textwrap.wrap(
        f"{start}[{', '.join(items)}]", 116, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


@dataclass
class _Look:
    """What is known of a column after some rows."""

    name: str
    rows: int = 0
    present: int = 0
    is_number: bool = True
    is_whole: bool = True
    is_iso: bool = True
    lowest: float = np.inf
    highest: float = -np.inf
    steps: int = 0
    steps_up: int = 0
    last: float | None = None
    counts: Counter[object] = field(default_factory=Counter)
    counted: int = 0  # present values in `counts`; no longer all of them once these are too many
    counting: bool = True

    def add(self, values: pa.Array) -> None:
        self.rows += len(values)
        values = _without_missing(values)
        if not len(values):
            return
        self.present += len(values)
        if self.is_number:
            self._add_numbers(values)
        if self.is_iso and not self.is_number:
            moments = fitting(values, "iso8601")
            self.is_iso = moments is not None
            if moments is not None:
                self._add_order(seconds(moments, "iso8601"))
        if self.counting and _countable(values.type):
            limit = _COUNTED
            if self.is_number and not self.is_whole:
                # Of a measured quantity it is enough to know that it has many values.
                limit = 4 * FEW
                begin = values.slice(0, 1000)
                values = begin if len(begin.unique()) > limit else values
            counts = values.value_counts()
            pairs = zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True)
            self.counts.update(dict(pairs))
            self.counted += len(values)
            self.counting = len(self.counts) <= limit

    def _add_numbers(self, values: pa.Array) -> None:
        if pa.types.is_temporal(values.type):
            self.is_number = self.is_whole = False
            return
        numbers = fitting(values, "number")
        if numbers is None:
            # A column that is no number after all: its order as times, if it has one, begins here.
            self.is_number = self.is_whole = False
            self.steps = self.steps_up = 0
            self.last = None
            return
        array = numbers.to_numpy(zero_copy_only=False)
        self.lowest = min(self.lowest, float(array.min()))
        self.highest = max(self.highest, float(array.max()))
        self.is_whole = self.is_whole and bool((array == np.floor(array)).all())
        self._add_order(array)

    def _add_order(self, array: Array) -> None:
        steps = np.diff(array, prepend=array[0] if self.last is None else self.last)
        self.steps += len(steps)
        self.steps_up += int((steps >= 0).sum())
        self.last = float(array[-1])

    @property
    def missing(self) -> int:
        return self.rows - self.present

    @property
    def different(self) -> int:
        return len(self.counts)

    @property
    def in_order(self) -> bool:
        return self.steps_up >= _MOSTLY * self.steps

    @property
    def is_unique(self) -> bool:
        if not self.is_number:
            return self.counted > 20 and self.different >= 0.99 * self.counted
        # Quantities of a wide range hardly repeat either: an identifier never does, and counts up or is named so.
        named = bool(set(self.words) & _IDENTIFIERS)
        return self.counted > 20 and not self.missing and self.different == self.counted and (named or self.in_order)

    @property
    def names_transactions(self) -> bool:
        """Whether it is named like an identifier of transactions, and no two rows that were looked at have the same."""
        named = re.sub(r"[\W_]", "", self.name.lower()) in _ID_NAMES
        code = self.is_whole or not self.is_number
        return named and code and not self.missing and self.different == self.counted > 20

    @property
    def could_be_label(self) -> bool:
        texts = {str(value).lower() for value in self.counts}
        return self.counting and not self.missing and 0 < self.different <= 2 and texts <= _LABEL_VALUES

    @property
    def rarest(self) -> float:
        return min(self.counts.values()) / self.counted

    @property
    def gaps(self) -> str:
        return f", {100 * self.missing / self.rows:.0f} % missing" if self.missing else ""

    @property
    def words(self) -> list[str]:
        """merchantID -> merchant, id; addr1 -> addr"""
        spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", self.name)
        return [word for word in re.split(r"[^a-z]+", spaced.lower()) if word]


def _countable(of: pa.DataType) -> bool:
    return not pa.types.is_nested(of)


def _without_missing(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_large_string(values.type):
        values = values.cast(pa.string())
    if pa.types.is_string(values.type):
        values = pc.utf8_trim_whitespace(values)
        return values.filter(pc.invert(pc.is_in(values, value_set=_MISSING)))
    if pa.types.is_floating(values.type):
        return values.filter(pc.invert(pc.is_nan(values)))
    return values.drop_null() if hasattr(values, "drop_null") else values.filter(values.is_valid())


def propose(path: str) -> Proposal:
    """Roles for the columns of the data at `path`, by the first 200,000 rows, or fewer of very wide data.

    Raises InputError where there are no rows, or no column that could be the label.
    """
    files = find_files(path)
    looks = {name: _Look(name) for name in header(files[0].path)}
    for batch in _first_rows([file.path for file in files], min(ROWS, CELLS // len(looks))):
        for name, look in looks.items():
            index = batch.schema.get_field_index(name)
            if index >= 0:
                look.add(batch.column(index))
    rows = max((look.rows for look in looks.values()), default=0)
    if not rows:
        raise InputError(f"{path} has a header but no rows to propose roles from; name a file with transactions")
    reasons: dict[str, str] = {}
    label = _label(looks, path, reasons)
    rest = [look for look in looks.values() if look is not label and look.present and look.different != 1]
    identifier = _id(rest, reasons)
    rest = [look for look in rest if look is not identifier]
    time, time_format = _time(rest, reasons)
    rest = [look for look in rest if look is not time]
    amount = _amount(rest, reasons)
    families = _families(rest)
    numeric: list[str] = []
    categorical: dict[str, CategoricalKind] = {}
    ignore: list[str] = []
    chosen = {look.name for look in (label, identifier, time, amount) if look}
    for look in looks.values():
        if look.name in chosen:
            continue
        if look.name in reasons:
            ignore.append(look.name)
            continue
        role, reasons[look.name] = _role(look, families.get(look.name))
        if role == "numeric":
            numeric.append(look.name)
        elif role == "ignore":
            ignore.append(look.name)
        else:
            categorical[look.name] = role
    if not (time or amount or numeric or categorical):
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise InputError(f"{path} has no column to learn from besides the label {label.name!r} ({why})")
    columns = Columns(
        label=label.name,
        id=identifier.name if identifier else None,
        time=time.name if time else None,
        time_format=time_format,
        amount=amount.name if amount else None,
        numeric=tuple(numeric),
        categorical=categorical,
        ignore=tuple(ignore),
    )
    return Proposal(columns, {name: reasons[name] for name in looks}, rows)


def _first_rows(paths: list[str], left: int) -> Iterator[pa.RecordBatch]:
    for path in paths:
        for batch in raw_batches(path):
            yield batch.slice(0, left)
            left -= batch.num_rows
            if left <= 0:
                return


def _label(looks: dict[str, _Look], path: str, reasons: dict[str, str]) -> _Look:
    binary = [look for look in looks.values() if look.could_be_label]

    def by_name(look: _Look) -> int:
        words = look.words
        if "fraud" in look.name.lower():
            return 3
        return 2 if look.name.lower() in _LABEL_NAMES else 1 if set(words) & set(_LABEL_NAMES[:3]) else 0

    named = [look for look in binary if by_name(look)]
    two_values = [look for look in binary if look.different == 2]
    if named:
        label = max(named, key=lambda look: (look.different, by_name(look)))
        share = f"the rarer one in {100 * label.rarest:.2g} % of the rows"
        some = share if label.different == 2 else "of which only one is in these rows"
        reasons[label.name] = f"the values 0 and 1, {some}; named like a label"
    elif two_values:
        label = min(two_values, key=lambda look: look.rarest)
        reasons[label.name] = (
            f"the values 0 and 1, the rarer one in {100 * label.rarest:.2g} % of the rows, the least of all such "
            "columns; check that it means fraud"
        )
    else:
        named_so = [look for look in looks.values() if by_name(look)]
        hint = "".join(
            f"; {look.name!r} is named like a label but has {_some(look)}" + (f"{look.gaps}" if look.missing else "")
            for look in named_so
        )
        raise InputError(
            f"{path} has no column that could be the label, which is 0 or 1 (or true or false) in every row{hint}; "
            "add one that is 1 where the transaction was a fraud"
        )
    return label


def _some(look: _Look) -> str:
    if not look.present:
        return "no values"
    shown = ", ".join(repr(str(value)) for value in list(look.counts)[:3])
    return f"values such as {shown}"


def _time(looks: list[_Look], reasons: dict[str, str]) -> tuple[_Look | None, TimeFormat]:
    candidates: list[tuple[float, _Look, TimeFormat, str]] = []
    for look in looks:
        if look.missing:
            continue
        named = bool(_TIME_NAME.search(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", look.name).lower()))
        score = 2.0 * named + 2.0 * look.in_order
        if not score:
            continue
        if not look.is_number:
            if look.is_iso:
                candidates.append((score + 1.0, look, "iso8601", "dates and times in ISO 8601"))
        elif look.is_whole and look.lowest >= 1e11 and look.highest < 1e14:
            candidates.append((score + 0.5, look, "epoch_ms", "whole numbers as large as milliseconds since 1970"))
        elif look.is_whole and look.lowest >= 3e8 and look.highest < 1e11:
            candidates.append((score + 0.5, look, "epoch", "whole numbers as large as seconds since 1970"))
        elif named and look.in_order and look.lowest >= 0:
            candidates.append((score, look, "seconds", "named like a time, never negative, mostly increasing"))
    if not candidates:
        return None, "seconds"
    _, time, time_format, reason = max(candidates, key=lambda candidate: candidate[0])
    reasons[time.name] = reason
    for _, look, other, _ in candidates:
        if look is not time and other != "seconds" and look.name not in reasons:
            reasons[look.name] = "another date or time"
    return time, time_format


def _amount(looks: list[_Look], reasons: dict[str, str]) -> _Look | None:
    def by_name(look: _Look) -> int:
        name, words = look.name.lower(), set(look.words)
        if name in ("amount", "amt"):
            return 3
        if words & {"amount", "amt"} or name.endswith(("amount", "amt")):
            return 2
        return 1 if name == "value" or words & {"value", "price", "total"} else 0

    named = [
        look for look in looks if look.name not in reasons and look.is_number and look.different > 2 and by_name(look)
    ]
    if not named:
        return None
    amount = max(named, key=by_name)
    reasons[amount.name] = f"a number, and named like an amount{amount.gaps}"
    return amount


def _id(looks: list[_Look], reasons: dict[str, str]) -> _Look | None:
    """The column that names the transactions; of several the one whose name says most."""
    candidates = [look for look in looks if look.names_transactions]
    if not candidates:
        return None
    chosen = max(candidates, key=lambda look: len(look.name))
    reasons[chosen.name] = "a different value in every row, and named like an ID: carried along, never learned from"
    return chosen


def _families(looks: list[_Look]) -> dict[str, str]:
    """Members of large numbered families of numbers that are no codes, and what to call their family."""
    members: dict[str, list[_Look]] = defaultdict(list)
    for look in looks:
        match = re.fullmatch(r"(.*\D)\d+", look.name)
        if match and look.is_number:
            members[match[1]].append(look)
    roles: dict[str, str] = {}
    for family in members.values():
        quantity = any(not look.is_whole or look.different > FEW for look in family)
        if len(family) >= FAMILY and quantity and not set(family[0].words) & _CODES:
            roles |= {look.name: f"{family[0].name} to {family[-1].name}" for look in family}
    return roles


def _role(look: _Look, family: str | None) -> tuple[Literal["numeric", "ignore"] | CategoricalKind, str]:
    """numeric, string, integer or ignore, and why."""
    different = f"{look.different:,}{'' if look.counting else ' or more'} different values"
    if not look.present:
        return "ignore", "no values"
    if look.different == 1 and look.counting:
        return "ignore", f"always {str(next(iter(look.counts)))[:40]}{look.gaps}"
    if not look.different:
        return "ignore", "neither numbers nor text"
    if look.is_number and not look.is_whole:
        return "numeric", f"numbers{look.gaps}"
    if look.is_unique and family is None:
        return "ignore", "a different value in every row, so an identifier"
    if look.is_number:
        if family is not None:
            return "numeric", f"whole numbers, one of the columns {family}{look.gaps}"
        if set(look.words[-1:]) & _CODES:
            return "integer", f"whole numbers, {different}, named like a code{look.gaps}"
        if look.different <= FEW:
            return "integer", f"whole numbers, {different}{look.gaps}"
        return "numeric", f"whole numbers, {different}{look.gaps}"
    if look.is_iso:
        return "ignore", "another date or time"
    if look.different > look.counted / 2 or not look.counting:
        return "ignore", f"text, {different} in {look.counted:,} rows, too many to be categories"
    return "string", f"text, {different}{look.gaps}"
