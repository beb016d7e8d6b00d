"""The challengers' artifact, which the Evaluator reads: their scores of the test split, and what they were made of."""

from __future__ import annotations

import json
import os
from typing import Any

from tfx.dsl.io import fileio
from tfx.types import artifact

CHALLENGERS = "challengers.json"


class FraudChallengers(artifact.Artifact):
    """`challengers.json`, and for each file of the test split its scores, `<its name>.arrow`.

    The columns are those of `components.evaluation.scores`.
    """

    TYPE_NAME = "FraudPipelineChallengers"


def read_challengers(uri: str) -> dict[str, dict[str, Any]]:
    """Each challenger by name, as `Challenger.to_json` describes it."""
    with fileio.open(os.path.join(uri, CHALLENGERS)) as file:
        challengers: dict[str, dict[str, Any]] = json.load(file)
        return challengers
