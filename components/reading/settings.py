"""Settings of the splits; cheap to import."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from trainer.frozen import Frozen, Seed

SPLITS = ("train", "eval", "test")


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
    seed: Seed = Field(0, description="seed of the random split")

    @model_validator(mode="after")
    def _whole(self) -> SplitSettings:
        total = self.train + self.eval + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, eval and test must add up to 1, got {total:g}")
        return self
