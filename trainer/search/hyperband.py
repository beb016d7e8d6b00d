"""The keys that KerasTuner's Hyperband adds to the values of a trial; cheap to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "tuner/"
EPOCHS = f"{PREFIX}epochs"  # epochs that the trial is fitted for in all
FIRST_EPOCH = f"{PREFIX}initial_epoch"  # epochs of the earlier trial that it goes on with
EARLIER_TRIAL = f"{PREFIX}trial_id"  # id of that trial


def own_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperband's own entries."""
    return {name: value for name, value in values.items() if name.startswith(PREFIX)}


def without_own_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters, without Hyperband's own entries."""
    return {name: value for name, value in values.items() if not name.startswith(PREFIX)}
