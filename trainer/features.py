"""How raw columns become features: the settings of Transform, and the names of the features."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from trainer.columns import Columns, identifier
from trainer.frozen import Frozen

NUMERIC = "numeric"  # float32 [batch, width]
LABEL = "label"  # float32 [batch, 1]
WEIGHT = "weight"  # float32 [batch, 1]


class Features(Frozen):
    """How raw columns become the network's input."""

    scaling: Literal["standard", "unit_norm"] = Field(
        "standard",
        description="standard: each column gets zero mean and unit variance; unit_norm: each row gets length 1",
    )
    clip: float | None = Field(
        10.0,
        gt=0,
        le=1_000_000,
        description="standardized values are clipped at this many standard deviations on either side; null: not at all",
    )
    use_time: bool = Field(
        True, description="whether the network sees the hour of the day, as sine and cosine; false: the time is dropped"
    )
    log_amount: bool = Field(True, description="whether the network sees log(1 + amount) in place of the amount")
    max_vocabulary: int = Field(
        1000,
        gt=0,
        le=10_000_000,
        description="how many values of a categorical column are kept, the most frequent first",
    )
    out_of_vocabulary: int = Field(
        4, gt=0, le=1_000_000, description="number of buckets that all other values of a categorical column share"
    )


class PreprocessingSettings(Frozen):
    """The part of a `custom_config` that preprocessing needs."""

    columns: Columns
    features: Features = Features()

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> PreprocessingSettings:
        check_features(self.features, self.columns)
        return self

    @classmethod
    def from_custom_config(cls, custom_config: dict[str, Any]) -> PreprocessingSettings:
        """The settings in a `custom_config`, which may hold settings of other kinds too, as the Tuner's does."""
        settings = custom_config["settings"]
        return cls.model_validate({name: settings[name] for name in cls.model_fields if name in settings})


def check_features(features: Features, columns: Columns) -> None:
    """Checks that the columns leave something to learn from.

    Raises:
      ValueError: they do not.
    """
    if not features.use_time and columns.inputs == (columns.time,):
        raise ValueError("the time is the only column to learn from and features.use_time is off; turn it on")


def vocabulary_name(column: str) -> str:
    """The name under which Transform keeps the vocabulary of a categorical column."""
    return f"vocabulary_{identifier(column)}"


def categorical_key(column: str) -> str:
    """The transformed feature of a categorical column: int64 [batch, 1]."""
    return f"category_{identifier(column)}"
