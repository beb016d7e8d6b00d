"""Figures and models in words, for the terminal and the report."""

from __future__ import annotations

import math
from collections.abc import Mapping

from trainer.columns import SECONDS_A_DAY
from trainer.decision.costs import in_currency

_YEAR = 365.25 * SECONDS_A_DAY
NOT_DEFINED = "n/a"  # stands for None and NaN


def decimals(value: float | None, digits: int = 3) -> str:
    """The value with that many digits after the point: 0.812."""
    if value is None or not math.isfinite(value):
        return NOT_DEFINED
    return f"{round(value, digits) + 0.0:,.{digits}f}"  # + 0.0: never "-0.000"


def percent(value: float | None) -> str:
    """A share as in 81 %, with a digit after the point where it is below 10 % or above 99 %."""
    if value is None or not math.isfinite(value):
        return NOT_DEFINED
    return f"{decimals(100 * value, 0 if 0.1 <= value <= 0.99 or value in (0, 1) else 1)} %"


def count(value: float | None) -> str:
    """A number of transactions, which weights can make a fraction: 1,234 or 11.5."""
    if value is None or not math.isfinite(value):
        return NOT_DEFINED
    return decimals(value, 0 if abs(value) >= 99.95 or abs(value - round(value)) < 0.05 else 1)


def money(value: float | None, currency: str) -> str:
    """An amount of money as in 1,234 EUR; sums below 100 with their cents."""
    if value is None or not math.isfinite(value):
        return NOT_DEFINED
    return in_currency(value, currency)


def duration(seconds: float) -> str:
    """In the largest unit that fits, from seconds to years: "2.0 days"."""
    units = ((10, _YEAR, "years"), (1.5, SECONDS_A_DAY, "days"), (1.5, 3600, "hours"), (1, 60, "minutes"))
    for least, length, unit in units:
        if seconds >= least * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.0f} seconds"


def probability(value: float | None) -> str:
    """A probability with three significant digits and never an exponent: 0.00123."""
    if value is None or not math.isfinite(value):
        return NOT_DEFINED
    return format(float(f"{value:.3g}"), ".15f").rstrip("0").rstrip(".")


def with_interval(figures: Mapping[str, float | None], name: str) -> str:
    """A figure with its 95 % interval, if it has one: 0.812 (0.750 to 0.861)."""
    value = decimals(figures.get(name))
    lower, upper = (decimals(figures.get(f"{name}_{bound}")) for bound in ("lower", "upper"))
    return value if NOT_DEFINED in (value, lower, upper) else f"{value} ({lower} to {upper})"


_MODELS = {"candidate": "new model", "current": "in service", "tutorial": "tutorial network"}


def model_name(name: str) -> str:
    """A model of the scores in words: "new model", "in service", "boosted trees"."""
    return _MODELS.get(name, name.replace("_", " "))


def the_model(name: str) -> str:
    """A model within a sentence: "the model in service", "the boosted trees"."""
    return "the model in service" if name == "current" else f"the {model_name(name)}"


def figure_name(name: str) -> str:
    """A figure of an evaluation in words: "average precision", "ROC-AUC"."""
    return {"roc_auc": "ROC-AUC"}.get(name, name.replace("_", " "))
