"""Settings of Transform, Tuner and Trainer, which travel in their `custom_config`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from trainer.columns import Columns
from trainer.decision.costs import Costs
from trainer.decision.settings import CalibrationSettings, DecisionSettings, check_decision
from trainer.distributed.settings import Distribution
from trainer.features import Features, check_features
from trainer.frozen import Frozen
from trainer.search.settings import Tuning, check_conditions
from trainer.settings import Resources, Training


class ModelSettings(Frozen):
    """How a model is made: what the configuration and the settings of the trainer have in common."""

    columns: Columns | None = Field(
        None, description="the role of each column; null: as the data card beside the data says"
    )
    features: Features = Field(Features(), description="how raw columns become the network's input")
    training: Training = Field(Training(), description="how the network is fitted")
    tuning: Tuning = Field(Tuning(), description="the search for hyperparameters; off: none")
    calibration: CalibrationSettings = Field(
        CalibrationSettings(), description="how scores become probabilities; off: they stay as they are"
    )
    costs: Costs = Field(Costs(), description="what each decision costs")
    decision: DecisionSettings = Field(DecisionSettings(), description="which transactions are stopped")
    resources: Resources = Field(Resources(), description="what a run may use of the machine")
    distribution: Distribution = Field(Distribution(), description="training on several devices")

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> ModelSettings:
        if self.columns:
            check_features(self.features, self.columns)
        return self

    @model_validator(mode="after")
    def _something_under_each_condition(self) -> ModelSettings:
        check_conditions(self.training, self.tuning)
        return self

    @model_validator(mode="after")
    def _something_to_decide_by(self) -> ModelSettings:
        if self.columns:
            check_decision(self.decision, self.columns)
        return self


class TrainerSettings(ModelSettings):
    """All settings of Transform, Tuner and Trainer, as one value in their `custom_config`."""

    columns: Columns
    eval_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of its days' transactions that eval holds, above 0 up to 1; 1 under a split by time",
    )
    split_by: Literal["time", "random"] = Field("time", description="folds are cut in the same way as the splits were")
    manifest: dict[str, Any] = Field(
        default_factory=dict, description="facts about the data, for the manifest beside the model"
    )

    def to_custom_config(self, *parts: str) -> dict[str, Any]:
        """A `custom_config` with the columns and these parts, so that a change elsewhere leaves the cache valid."""
        return {"settings": self.model_dump(mode="json", include={"columns", *parts})}

    @classmethod
    def from_custom_config(cls, custom_config: dict[str, Any]) -> TrainerSettings:
        return cls.model_validate(custom_config["settings"])
