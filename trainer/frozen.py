"""What all settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Values that do not change, each with a name that is known, and finite where it is a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
