"""Settings of a training on several devices."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, field_validator

from trainer.frozen import Frozen
from trainer.settings import Minutes, Training


class Distribution(Frozen):
    """On how many devices the Trainer fits the network; the Tuner spreads its trials by `tuning.workers` instead."""

    strategy: Literal["auto", "mirrored", "multi_worker", "off"] = Field(
        "auto",
        description="auto: on all devices that the process sees, be it one; mirrored: the same, but at least two; "
        "multi_worker: on those of several pods that share the workspace, which kubeflow/manifests/training starts, "
        "while this process writes what they need and waits; off: on one device",
    )
    batch_per_replica: bool = Field(
        True,
        description="true: a step takes training.batch_size rows on each device, so that more devices need fewer steps "
        "an epoch; false: on all of them together, so that the model is the one that a single device fits",
    )
    learning_rate_scaling: Literal["none", "linear", "square_root"] = Field(
        "none",
        description="how the learning rate grows with the batch of a step; linear suits sgd, square_root the other "
        "optimizers",
    )
    wait_minutes: Minutes = Field(
        60, description="the training fails when the other pods show no sign of life for this many minutes"
    )

    @field_validator("strategy", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads off as false

    def of(self, training: Training, replicas: int) -> Training:
        """The training of a single device that does the same as `training` does on so many replicas.

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
