"""Settings of the challengers; cheap to import."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from trainer.frozen import Frozen


class ChallengersSettings(Frozen):
    """The models that a new one is compared with besides the one in service; `off` is short for `{enabled: false}`."""

    enabled: bool = Field(True, description="whether each run fits challengers")
    names: tuple[Literal["tutorial", "boosted_trees"], ...] = Field(
        ("tutorial", "boosted_trees"),
        description="tutorial: the tutorial's network of 10, 5 and 1 neurons; boosted_trees: XGBoost with early "
        "stopping",
    )
    # With 75 test frauds the difference between models of different kinds is uncertain by 0.04 either way, and the same
    # network trained with another seed differs by up to 0.05.
    max_average_precision_loss: float = Field(
        0.1,
        ge=0,
        le=1,
        description="the margin against each challenger: the lower end of the 95 % interval of the difference in "
        "average precision may be this far below zero",
    )
    rows: int = Field(
        1_000_000,
        ge=1000,
        le=1_000_000_000,
        description="the most rows that a challenger is fitted to; of a larger training split it gets all frauds (up "
        "to half of this number) and an even sample of the other rows, which weigh more in return",
    )

    @model_validator(mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        return {"enabled": value} if isinstance(value, bool) else value

    @field_validator("names")
    @classmethod
    def _some_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError(
                "names is empty; name tutorial, boosted_trees or both, or switch them off: challengers: off"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"each challenger is named once, got {', '.join(names)}")
        return names
