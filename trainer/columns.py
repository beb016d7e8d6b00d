"""The roles that columns play: the only place where the code learns the name of a column."""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

TimeFormat = Literal["seconds", "epoch", "epoch_ms", "iso8601"]
CategoricalKind = Literal["string", "integer"]
RawKind = Literal["float", "integer", "string"]
FeatureKind = Literal[RawKind, "identifier"]  # identifier: text that is carried, never looked at

SECONDS_A_DAY = 86_400
EXAMPLE_WEIGHT = "example_weight"  # added by ExampleGen: the inverse sampling rate of the row's class


def identifier(column: str) -> str:
    """The column's name in graphs and signatures, which take ASCII letters, digits and _: card_20_type."""
    escaped = re.sub(r"[^A-Za-z0-9_]", lambda character: f"_{ord(character[0]):x}_", column)
    return escaped if escaped[:1].isalpha() else f"column_{escaped}"


class Columns(BaseModel):
    """Which columns are the label, the time, the amount, numbers and categories, and which one names a transaction.

    A column of the data that has no role is ignored, as if `ignore` listed it. ExampleGen carries the `id` along with
    each transaction, exactly as it is written, so that the report can name a transaction. The model does not learn from
    it or ask for it, no schema checks it, and it may be missing or occur twice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(description="the label: 1 for a fraud, 0 for a legitimate transaction")
    id: str | None = Field(
        None,
        description="what a transaction is called; it is carried along so that the report can name a transaction, and "
        "nothing is learned from it",
    )
    time: str | None = Field(None, description="when the transaction happened; a split by time needs it")
    time_format: TimeFormat = Field(
        "seconds",
        description="seconds: since some start, such as the first row; epoch: seconds since 1970; epoch_ms: "
        "milliseconds since 1970; iso8601: date and time as text",
    )
    amount: str | None = Field(None, description="the amount of the transaction; all amounts are in one currency")
    numeric: tuple[str, ...] = Field((), description="columns that hold numbers; values may be missing")
    categorical: dict[str, CategoricalKind] = Field(
        default_factory=dict,
        description="columns that hold categories: a list, where all are text, or a mapping of each name to string or "
        "integer; values may be missing",
    )
    ignore: tuple[str, ...] = Field((), description="columns to leave out, as all columns that are not named are")

    @field_validator("categorical", mode="before")
    @classmethod
    def _list_means_strings(cls, value: object) -> object:
        if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
            return dict.fromkeys(value, "string")
        return value

    @model_validator(mode="after")
    def _one_role_each(self) -> Columns:
        names = [*self.inputs, self.label, *self.ignore, *([self.id] if self.id is not None else [])]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ValueError(f"each column has one role, got two or more for {', '.join(twice)}")
        if EXAMPLE_WEIGHT in names:
            raise ValueError(f"{EXAMPLE_WEIGHT} is the pipeline's own column, rename yours")
        if not self.inputs:
            raise ValueError("no column to learn from: name at least one of time, amount, numeric, categorical")
        return self

    @property
    def raw_kinds(self) -> dict[str, RawKind]:
        """How the values of each raw input are kept, in the order of the roles; the label is not an input."""
        time_kind: RawKind = {"seconds": "float", "epoch": "integer", "epoch_ms": "integer", "iso8601": "string"}[
            self.time_format
        ]  # type: ignore[assignment]
        kinds: dict[str, RawKind] = {}
        if self.time:
            kinds[self.time] = time_kind
        kinds.update(dict.fromkeys(self.numeric, "float"))
        if self.amount:
            kinds[self.amount] = "float"
        kinds.update(self.categorical)
        return kinds

    def without_id(self) -> Columns:
        """The same roles of data whose transactions have no names."""
        return self.model_copy(update={"id": None})

    @property
    def inputs(self) -> tuple[str, ...]:
        """Raw inputs of the model, which the label is not."""
        return tuple(name for name in (self.time, *self.numeric, self.amount, *self.categorical) if name is not None)
