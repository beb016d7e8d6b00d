"""What the components can be told; plain values, cheap to import."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from trainer.settings import Frozen


class SplitSettings(Frozen):
    """Fractions of the rows for each split."""

    by: Literal["time", "random"] = Field(
        "time", description="time: no row of a later split is earlier than one of an earlier split; random: by hash"
    )
    train: float = Field(0.65, gt=0, lt=1)
    eval: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.20, gt=0, lt=1)
    seed: int = Field(0, ge=0, description="of the random split")

    @model_validator(mode="after")
    def _whole(self) -> SplitSettings:
        total = self.train + self.eval + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, eval and test must add up to 1, got {total:g}")
        return self


class EvaluationSettings(Frozen):
    """When a model may be pushed, and by what its figures are told apart."""

    min_average_precision: float = Field(0.5, ge=0, le=1, description="on the test split; below it, not blessed")
    min_roc_auc: float = Field(0.9, ge=0, le=1, description="on the test split; below it, not blessed")
    min_savings: float | None = Field(
        0.0, description="money saved on the test split against no model, by costs; below it, not blessed; null: any"
    )
    # With 75 test frauds the same network trained anew with another seed differs by up to 0.05.
    max_average_precision_loss: float = Field(
        0.05,
        ge=0,
        le=1,
        description="margin: how far below the model in service the lower end of the difference's interval may be",
    )
    alerts_a_day: PositiveInt = Field(100, description="k of precision at k a day: what a team can look at")
    amount_bands: tuple[float, ...] = Field(
        (10, 100, 1000), description="amounts at which the next slice of the evaluation begins, rising"
    )

    @field_validator("amount_bands")
    @classmethod
    def _rising(cls, bands: tuple[float, ...]) -> tuple[float, ...]:
        if list(bands) != sorted(set(bands)):
            raise ValueError(f"amount_bands must rise, got {list(bands)}")
        return bands


class ChallengersSettings(Frozen):
    """What a new model is compared with besides the one in service; `off` is short for {enabled: false}."""

    enabled: bool = True
    names: tuple[Literal["tutorial", "boosted_trees"], ...] = Field(
        ("tutorial", "boosted_trees"),
        description="tutorial: the tutorial's network, 10-5-1; boosted_trees: XGBoost with early stopping",
    )
    # With 75 test frauds the difference between models of different kinds is known to 0.04 either way, and the same
    # network trained anew with another seed differs by up to 0.05.
    max_average_precision_loss: float = Field(
        0.1,
        ge=0,
        le=1,
        description="margin: how far below a challenger the lower end of the difference's interval may be",
    )
    rows: int = Field(
        1_000_000,
        ge=1000,
        description="most that a challenger is fitted to; of more, all frauds up to half of them, and of the others "
        "every so many-th, which weigh for the rest",
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
    """What people say of the model in the report's model card; figures and limits are found out."""

    owner: str = Field("", description="who answers for the model")
    contact: str = Field("", description="where to ask about it")
    licence: str = Field("", description="of the model")
    intended_use: str = Field(
        "Scoring card transactions as they come in, so that probable frauds are stopped, on data that has the columns "
        "and comes from the source that it was trained on.",
        description="what the model is for",
    )
    users: str = Field(
        "Fraud analysts, and the systems that ask the model about each transaction.", description="who uses it"
    )
    out_of_scope: tuple[str, ...] = Field(
        (
            "Judging people, as for credit, insurance or employment: it judges single transactions.",
            "Transactions of other kinds, countries or currencies than those it was trained on.",
        ),
        description="what the model is not for",
    )
    caveats: tuple[str, ...] = Field((), description="what else a reader must know")


# Custom properties of artifacts, read from the metadata without importing the components that write them.
ORIGIN_PROPERTY = "origin"  # of Examples: which data, in words
SPLITS_PROPERTY = "splits"  # of Examples: a JSON list with rows and frauds of each split
FEATURES_PROPERTY = "features"  # of Examples: a JSON object, kind (float, integer, string) of each feature
AVERAGE_PRECISION_PROPERTY = "average_precision"  # of ModelEvaluation: on the test split
URI_PROPERTY = "uri"  # of an input in a pod: where it lies in the object store, its artifact's being that of a copy
