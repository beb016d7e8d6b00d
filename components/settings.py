"""What the components can be told; plain values, cheap to import."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from trainer.frozen import Frozen


class SplitSettings(Frozen):
    """How rows are divided into three splits; the three shares add up to 1."""

    by: Literal["time", "random"] = Field(
        "time",
        description="time: the earliest rows train the model and the latest test it; random: by a hash of the row",
    )
    train: float = Field(0.65, gt=0, lt=1, description="share of the rows that the model is fitted to")
    eval: float = Field(
        0.15, gt=0, lt=1, description="share of the rows that end the training, calibrate it and choose the threshold"
    )
    test: float = Field(0.20, gt=0, lt=1, description="share of the rows that judge the finished model")
    seed: int = Field(0, ge=0, description="seed of the random split")

    @model_validator(mode="after")
    def _whole(self) -> SplitSettings:
        total = self.train + self.eval + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, eval and test must add up to 1, got {total:g}")
        return self


class EvaluationSettings(Frozen):
    """What a model must reach on the test split to be pushed, and how its figures are broken down."""

    min_average_precision: float = Field(
        0.5, ge=0, le=1, description="a model with a lower average precision is not blessed"
    )
    min_roc_auc: float = Field(0.9, ge=0, le=1, description="a model with a lower ROC-AUC is not blessed")
    min_savings: float | None = Field(
        0.0,
        description="a model that saves less money than this, compared with no model, is not blessed; in the currency "
        "of the amounts; null: no bar",
    )
    # With 75 test frauds the same network trained anew with another seed differs by up to 0.05.
    max_average_precision_loss: float = Field(
        0.05,
        ge=0,
        le=1,
        description="the margin against the model in service: the lower end of the 95 % interval of the difference in "
        "average precision may be this far below zero",
    )
    alerts_a_day: PositiveInt = Field(
        100, description="how many alerts a team can look at in a day; precision is reported among that many"
    )
    amount_bands: tuple[float, ...] = Field(
        (10, 100, 1000), description="the amounts that divide transactions into bands, in rising order"
    )

    @field_validator("amount_bands")
    @classmethod
    def _rising(cls, bands: tuple[float, ...]) -> tuple[float, ...]:
        if list(bands) != sorted(set(bands)):
            raise ValueError(f"amount_bands must rise, got {list(bands)}")
        return bands


class ChallengersSettings(Frozen):
    """The models that a new one is compared with besides the one in service; `off` is short for {enabled: false}."""

    enabled: bool = Field(True, description="whether each run fits challengers")
    names: tuple[Literal["tutorial", "boosted_trees"], ...] = Field(
        ("tutorial", "boosted_trees"),
        description="tutorial: the tutorial's network of 10, 5 and 1 neurons; boosted_trees: XGBoost with early "
        "stopping",
    )
    # With 75 test frauds the difference between models of different kinds is known to 0.04 either way, and the same
    # network trained anew with another seed differs by up to 0.05.
    max_average_precision_loss: float = Field(
        0.1,
        ge=0,
        le=1,
        description="the margin against each challenger: the lower end of the 95 % interval of the difference in "
        "average precision may be this far below zero",
    )
    rows: int = Field(
        1_000_000,
        ge=1000,
        description="the most rows that a challenger is fitted to; of a larger training split it gets all frauds (up "
        "to half of this number) and an even sample of the other rows, which weigh more in return",
    )

    @model_validator(mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        return {"enabled": value} if isinstance(value, bool) else value

    @field_validator("names")
    @classmethod
    def _some_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError(
                "names is empty; name tutorial, boosted_trees or both, or switch them off: challengers: off"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"each challenger is named once, got {', '.join(names)}")
        return names


class ModelCardSettings(Frozen):
    """What people say about the model in the report's model card; the card's figures and limits are computed."""

    owner: str = Field("", description="who is responsible for the model")
    contact: str = Field("", description="where to ask about the model")
    licence: str = Field("", description="licence of the model")
    intended_use: str = Field(
        "Scoring card transactions as they come in, so that probable frauds are stopped, on data that has the columns "
        "and comes from the source that it was trained on.",
        description="what the model is for",
    )
    users: str = Field(
        "Fraud analysts, and the systems that ask the model about each transaction.", description="who uses the model"
    )
    out_of_scope: tuple[str, ...] = Field(
        (
            "Judging people, as for credit, insurance or employment: it judges single transactions.",
            "Transactions of other kinds, countries or currencies than those it was trained on.",
        ),
        description="what the model is not for",
    )
    caveats: tuple[str, ...] = Field((), description="what else a reader of the model card must know")


# Custom properties of artifacts, read from the metadata without importing the components that write them.
ORIGIN_PROPERTY = "origin"  # of Examples: which data, in words
SPLITS_PROPERTY = "splits"  # of Examples: a JSON list with rows and frauds of each split
FEATURES_PROPERTY = "features"  # of Examples: a JSON object, kind (float, integer, string) of each feature
AVERAGE_PRECISION_PROPERTY = "average_precision"  # of ModelEvaluation: on the test split
URI_PROPERTY = "uri"  # of an input in a pod: where it lies in the object store, its artifact's being that of a copy
