"""What the components can be told; plain values, cheap to import."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

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
    """When a model may be pushed."""

    min_average_precision: float = Field(0.5, ge=0, le=1, description="on the test split; below it, not blessed")
    min_roc_auc: float = Field(0.9, ge=0, le=1, description="on the test split; below it, not blessed")
    # With 75 test frauds, a difference under about 0.03 is noise.
    max_average_precision_loss: float = Field(
        0.03, ge=0, le=1, description="how much worse than the model in service a new one may be"
    )


# Custom properties of artifacts, read from the metadata without importing the components that write them.
ORIGIN_PROPERTY = "origin"  # of Examples: which data, in words
SPLITS_PROPERTY = "splits"  # of Examples: a JSON list with rows and frauds of each split
FEATURES_PROPERTY = "features"  # of Examples: a JSON object, kind (float, integer, string) of each feature
AVERAGE_PRECISION_PROPERTY = "average_precision"  # of ModelEvaluation: on the test split
