"""The base class of all settings, and a kind of number that several of them have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

MOST_SEED = 2_147_483_647

Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]


class Frozen(BaseModel):
    """Settings that do not change once made; an unknown key is a fault, and so is a number that is not finite.

    Nor are `true` and `false` numbers, or numbers one of these: pydantic would take `epochs: true` as 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_own_kind(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = set(_scalars(cls.model_fields[info.field_name or ""].annotation))
        for single in _singles(value):
            if isinstance(single, bool) and bool not in kinds and kinds & {int, float}:
                raise ValueError(f"expected a number, got {str(single).lower()}")
            is_number = isinstance(single, (int, float)) and not isinstance(single, bool)
            if is_number and bool in kinds and not kinds & {int, float}:
                raise ValueError(f"expected true or false, got {single!r}")
        return value


def _singles(value: Any) -> Iterator[Any]:
    """The value, or those in a list or mapping; what is deeper is of a model of its own."""
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, (list, tuple)):
        yield from value
    else:
        yield value


def _scalars(annotation: Any) -> Iterator[Any]:
    """The types of single values in an annotation; of a choice those of its values, and none inside a model."""
    if get_origin(annotation) is Literal:
        yield from map(type, get_args(annotation))
    elif parts := get_args(annotation):
        for part in parts:
            yield from _scalars(part)
    else:
        yield annotation
