"""Settings of calibration and decision."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    model_validator,
)

from trainer.columns import Columns
from trainer.frozen import Frozen


class CalibrationSettings(Frozen):
    """How scores become probabilities, fitted on eval; `off` is short for `{method: none}`."""

    method: Literal["auto", "platt", "isotonic", "none"] = Field(
        "auto",
        description="platt: a sigmoid of the score's log-odds; isotonic: a rising step function; none: the scores as "
        "they are; auto: whichever of the three has the lowest Brier score under cross-validation",
    )
    folds: int = Field(
        5, ge=2, le=100, description="number of stratified folds of that cross-validation; at most one for each fraud"
    )

    @model_validator(mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        return {"method": "auto" if value else "none"} if isinstance(value, bool) else value


class DecisionSettings(Frozen):
    """Which transactions are stopped."""

    by: Literal["threshold", "amount", "alerts"] = Field(
        "threshold",
        description="threshold: by one probability for all, the one of least cost on eval; amount: each transaction by "
        "its own break-even, from which stopping it costs no more than letting it pass; alerts: by one probability for "
        "all, the one of least cost among those that stop at most alerts_a_day",
    )
    alerts_a_day: int | None = Field(
        None,
        gt=0,
        le=1_000_000_000,
        description="how many transactions may be stopped in a day, as busy as a day of eval; needed by alerts",
    )
    threshold: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = Field(
        "auto",
        description="the probability from which a transaction is stopped, when by is threshold; auto: chosen on eval",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> DecisionSettings:
        if self.by == "alerts" and self.alerts_a_day is None:
            raise ValueError("by alerts needs alerts_a_day, how many transactions may be stopped a day; set it")
        if self.by != "threshold" and self.threshold != "auto":
            raise ValueError(
                f"threshold is {self.threshold:g}, but by {self.by} finds its own; leave threshold out, or set "
                "by: threshold"
            )
        return self


def check_decision(decision: DecisionSettings, columns: Columns) -> None:
    """Checks that the data has the column that the decision needs.

    Raises:
      ValueError: it does not have it.
    """
    needs = {"amount": ("amount", columns.amount), "alerts": ("time", columns.time)}
    role, column = needs.get(decision.by, ("", "none"))
    if column is None:
        raise ValueError(
            f"decision.by is {decision.by} but columns.{role} names no column; name it, or set decision.by: threshold"
        )
