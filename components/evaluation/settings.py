"""Settings of the Evaluator; cheap to import."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from trainer.frozen import Frozen

# An average precision above this, which shows as 1.000, is a leak more often than a good model.
TOO_GOOD = 0.9995
LEAK_HINT = (
    "look for a column that is known only after the fact, such as a status or the outcome of a review, and for "
    "transactions that stand in train and in test"
)


class EvaluationSettings(Frozen):
    """What a model must reach on the test split to be pushed, and how its figures are broken down."""

    min_average_precision: float = Field(
        0.5, ge=0, le=1, description="a model with a lower average precision is not blessed"
    )
    min_roc_auc: float = Field(0.9, ge=0, le=1, description="a model with a lower ROC-AUC is not blessed")
    min_savings: float | None = Field(
        0.0,
        ge=-1e15,
        le=1e15,
        description="a model that saves less money than this, compared with no model, is not blessed; in the currency "
        "of the amounts; null: no bar",
    )
    max_average_precision: float = Field(
        TOO_GOOD,
        ge=0,
        le=1,
        description="a model with a higher average precision is not blessed, since a leak is likelier than so good a "
        "model; 1 once a person has looked and found none",
    )
    # With 75 test frauds the same network trained with another seed differs by up to 0.05.
    max_average_precision_loss: float = Field(
        0.05,
        ge=0,
        le=1,
        description="the margin against the model in service: the lower end of the 95 % interval of the difference in "
        "average precision may be this far below zero",
    )
    # Half of all trainings anew come out a little below, by chance; what lies beyond noise is a loss, however small.
    max_savings_loss: float | None = Field(
        0.0,
        ge=0,
        le=1e15,
        description="a model that saves this much less money a day than the model in service is not blessed, where the "
        "loss is beyond noise: the 95 % interval of the difference lies below zero; in the currency of the amounts, "
        "without times for the whole test split; null: no bar",
    )
    replace_other_columns: bool = Field(
        False,
        description="whether a model may replace one in service that reads other columns, with which it can't be "
        "compared",
    )
    replace_real_data: bool = Field(
        False,
        description="whether a model made from synthesized transactions may replace one in service that was not",
    )
    accept_implausible: bool = Field(
        False,
        description="whether a model is blessed although its data has figures that make no sense, such as a test "
        "split of seconds, or more fraud than legitimate transactions",
    )
    alerts_a_day: int = Field(
        100,
        gt=0,
        le=1_000_000_000,
        description="how many alerts a team can look at in a day; precision is reported among that many",
    )
    amount_bands: tuple[Annotated[float, Field(ge=-1e15, le=1e15)], ...] = Field(
        (10, 100, 1000), max_length=100, description="the amounts that divide transactions into bands, in rising order"
    )

    @field_validator("amount_bands")
    @classmethod
    def _rising(cls, bands: tuple[float, ...]) -> tuple[float, ...]:
        if list(bands) != sorted(set(bands)):
            raise ValueError(f"amount_bands must rise, got {list(bands)}")
        return bands
