"""Settings of calibration and decision."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PositiveInt,
    model_validator,
)

from trainer.columns import Columns
from trainer.frozen import Frozen


class CalibrationSettings(Frozen):
    """How scores become probabilities, on eval; `off` is short for {method: none}."""

    method: Literal["auto", "platt", "isotonic", "none"] = Field(
        "auto", description="auto: that of the least Brier score under cross-validation; none: the scores as they are"
    )
    folds: int = Field(5, ge=2, le=100, description="of the cross-validation, stratified; at most one for each fraud")

    @model_validator(mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        return {"method": "auto" if value else "none"} if isinstance(value, bool) else value


class DecisionSettings(Frozen):
    """From which probability on a transaction is stopped."""

    by: Literal["threshold", "amount", "alerts"] = Field(
        "threshold",
        description="threshold: one for all, of least cost on eval; amount: each transaction's own, where stopping it "
        "costs as much as letting it pass; alerts: one for all, of least cost among those that keep alerts_a_day",
    )
    alerts_a_day: PositiveInt | None = Field(
        None, description="transactions that may be stopped a day, by alerts, at the pace of eval"
    )
    threshold: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = Field(
        "auto", description="probability from which a transaction is stopped; auto: found on eval"
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
    """Sees that the data has what the decision goes by.

    Raises:
      ValueError: it has not.
    """
    needs = {"amount": ("amount", columns.amount), "alerts": ("time", columns.time)}
    role, column = needs.get(decision.by, ("", "none"))
    if column is None:
        raise ValueError(
            f"decision.by is {decision.by} but columns.{role} names no column; name it, or set decision.by: threshold"
        )
