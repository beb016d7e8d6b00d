"""Settings of a training on several devices."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import (
    Field,
    PositiveFloat,
    field_validator,
)

from trainer.frozen import Frozen
from trainer.settings import Training


class Distribution(Frozen):
    """On how many devices the Trainer fits the network. The Tuner shares out trials, see `tuning.workers`."""

    strategy: Literal["auto", "mirrored", "multi_worker", "off"] = Field(
        "auto",
        description="mirrored: all devices that the process sees, at least two; auto: the same, or the one there is; "
        "multi_worker: those of pods that share the workspace, as of kubeflow/manifests/training: this process writes "
        "what they need, and waits; off: one device",
    )
    batch_per_replica: bool = Field(
        True,
        description="a step takes training.batch_size transactions on each device, so that more devices make an epoch "
        "of fewer steps; false: on all of them together, so that the model is that of one device",
    )
    learning_rate_scaling: Literal["none", "linear", "square_root"] = Field(
        "none", description="with how much larger a step's batch is by that; linear for sgd, square_root for the others"
    )
    wait_minutes: PositiveFloat = Field(
        60, description="that other pods may show no sign of life, be it that they have not started, before it fails"
    )

    @field_validator("strategy", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return "off" if value is False else value  # what YAML makes of it

    def of(self, training: Training, replicas: int) -> Training:
        """What one device is told, to do what so many together do.

        linear: Goyal et al. 2017. square_root: Malladi et al. 2022, for optimizers that adapt their steps.
        """
        if not self.batch_per_replica:
            return training
        rate = {"none": 1.0, "linear": float(replicas), "square_root": math.sqrt(replicas)}[self.learning_rate_scaling]
        return training.model_copy(
            update={
                "batch_size": training.batch_size * replicas,
                "learning_rate": training.learning_rate * rate,
            }
        )
