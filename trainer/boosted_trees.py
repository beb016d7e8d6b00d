"""XGBoost as all boosted trees here use it; cheap to import, since XGBoost itself is loaded when it is needed."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.arrays import Array

# XGBoost, and not Yggdrasil (ydf 0.16), whose protobuf 6 conflicts with TFX 1.16's 3. Both are under Apache 2.0.
# xgboost-cpu is the same without CUDA: a wheel of 6 MB in place of 58 (3.4) or 132 (3.2), and no NCCL. Its GPU code is
# not missed: a fit takes seconds. Importing it takes half a second, so it is imported when it is needed.
TREES: Mapping[str, Any] = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 6,
    "learning_rate": 0.2,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    # A leaf that holds frauds only has next to no curvature, so its step would have no bound; XGBoost's notes on
    # parameter tuning advise 1 for an imbalanced data set.
    "max_delta_step": 1,
}
_WAIT_POLICY = "OMP_WAIT_POLICY"


def tree_parameters(fraud_rate: float, seed: int) -> dict[str, Any]:
    """XGBoost's parameters; fraud_rate: the weighted share of fraud in the rows to fit to, between 0 and 1."""
    # The square root of the ratio of the classes: with the ratio itself, the trees learn the few frauds by heart.
    return {**TREES, "seed": seed, "scale_pos_weight": math.sqrt((1 - fraud_rate) / fraud_rate)}


def with_mean_one(weights: Array) -> Array:
    """The weights with a mean of 1, float32 [n]: the least weight of a leaf then does not depend on sampling rates."""
    scaled: Array = (weights * (len(weights) / weights.sum(dtype=np.float64))).astype(np.float32)
    return scaled


def load_xgboost() -> Any:
    """The XGBoost module, whose waiting threads sleep unless the environment sets OMP_WAIT_POLICY.

    By default they spin, and a fit takes five times as long on a machine that is busy with something else. OpenMP reads
    the variable when it is loaded.
    """
    policy = os.environ.get(_WAIT_POLICY)
    os.environ[_WAIT_POLICY] = policy or "passive"
    try:
        return importlib.import_module("xgboost")
    finally:
        if policy is None:
            del os.environ[_WAIT_POLICY]
