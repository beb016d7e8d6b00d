"""Settings of Transform, Tuner and Trainer, which travel in their `custom_config`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    Field,
    model_validator,
)

from trainer.decision.costs import Costs
from trainer.decision.settings import CalibrationSettings, DecisionSettings, check_decision
from trainer.distributed.settings import Distribution
from trainer.features import PreprocessingSettings
from trainer.search.settings import Tuning, check_conditions
from trainer.settings import Resources, Training


class TrainerSettings(PreprocessingSettings):
    """All settings of Transform, Tuner and Trainer, as one value in their `custom_config`."""

    training: Training = Training()
    tuning: Tuning = Tuning()
    calibration: CalibrationSettings = CalibrationSettings()
    costs: Costs = Costs()
    decision: DecisionSettings = DecisionSettings()
    eval_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of its days' transactions that eval holds, above 0 up to 1; 1 under a split by time",
    )
    resources: Resources = Resources()
    distribution: Distribution = Distribution()
    split_by: Literal["time", "random"] = Field("time", description="folds are cut in the same way as the splits were")
    manifest: dict[str, Any] = Field(
        default_factory=dict, description="facts about the data, for the manifest beside the model"
    )

    @model_validator(mode="after")
    def _something_under_each_condition(self) -> TrainerSettings:
        check_conditions(self.training, self.tuning)
        return self

    @model_validator(mode="after")
    def _something_to_decide_by(self) -> TrainerSettings:
        check_decision(self.decision, self.columns)
        return self

    def to_custom_config(self, *parts: str) -> dict[str, Any]:
        """A `custom_config` with the columns and these parts, so that a change elsewhere leaves the cache valid."""
        return {"settings": self.model_dump(mode="json", include={"columns", *parts})}

    @classmethod
    def from_custom_config(cls, custom_config: dict[str, Any]) -> TrainerSettings:
        return cls.model_validate(custom_config["settings"])
