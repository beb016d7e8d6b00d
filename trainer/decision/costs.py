"""The costs of decisions, which is the money that a model is judged by."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from trainer.arrays import Array
from trainer.frozen import Frozen


class Costs(Frozen):
    """Costs of decisions, in the currency of the amounts; letting a legitimate transaction pass costs nothing.

    The cost matrix is that of Bahnsen et al. (2014, "Example-dependent cost-sensitive logistic regression for credit
    scoring"), plus a share of the amount for a customer who is declined. scikit-learn's example on the ULB data
    ("Post-tuning the decision threshold for cost-sensitive learning"), where a refused fraud earns 50 plus its amount,
    corresponds to missed_fraud 2, review 5, declined 0.02 and caught_fraud 55: its gain is a constant minus the costs
    here. Where a refused fraud earns only 50, missed_fraud is 1.
    """

    missed_fraud: float = Field(
        1.0, ge=0, le=1_000_000, description="cost of a fraud that passes, as a multiple of its amount"
    )
    review: float = Field(5.0, ge=0, le=1e9, description="cost of each transaction that is stopped, fraud or not")
    declined: float = Field(
        0.02,
        ge=0,
        le=1_000,
        description="further cost of a legitimate transaction that is stopped, as a share of its amount",
    )
    caught_fraud: float = Field(
        0.0, ge=0, le=1e9, description="what each stopped fraud earns, in addition to its amount"
    )
    currency: str = Field("EUR", max_length=40, description="currency of the amounts, as it is shown to people")

    def of(self, stopped: Array, labels: Array, amounts: Array) -> Array:
        """The cost of each decision, float64 [n]; negative where it earns money.

        Args:
          stopped: bool [n].
          labels: 1 where fraud, [n].
          amounts: float [n]; a missing one (NaN) counts as 0, and a negative one, which is a refund, by its size.
        """
        stopped, fraud, size = np.asarray(stopped, bool), np.asarray(labels) > 0, _size(amounts)
        if_stopped = self.review + np.where(fraud, -self.caught_fraud, self.declined * size)
        return np.where(stopped, if_stopped, np.where(fraud, self.missed_fraud * size, 0.0))

    def break_even(self, amounts: Array) -> Array:
        """Probability of fraud from which stopping costs no more than letting pass, float64 [n]; above 1 means never.

        Elkan (2001, "The foundations of cost-sensitive learning"), equation 2, for each amount. Infinite where stopping
        gains nothing even if the fraud is certain.
        """
        gain, least = self._balance(_size(amounts))
        break_even: Array = np.divide(least, gain, out=np.full(np.shape(gain), np.inf), where=gain > 0)
        return break_even

    def worth_stopping(self, probabilities: Any, amounts: Any) -> Any:
        """Whether each probability reaches the break-even of its amount, bool [n].

        probabilities, amounts: float64 [n], arrays or tensors; no amount is missing.
        """
        gain, least = self._balance(abs(amounts))
        return (gain > 0) & (probabilities * gain >= least)

    def _balance(self, size: Any) -> tuple[Any, Any]:
        """The gain of stopping, and the least that this gain times the probability of fraud must come to."""
        return (self.missed_fraud + self.declined) * size + self.caught_fraud, self.review + self.declined * size

    def money(self, value: float) -> str:
        """The value as in 1,234 EUR; sums below 100 with their cents."""
        return in_currency(value, self.currency)


def in_currency(value: float, currency: str) -> str:
    """A finite amount of money as in 1,234 EUR; sums below 100 with their cents."""
    digits = 0 if abs(value) >= 99.995 or value == 0 else 2
    return f"{round(value, digits) + 0.0:,.{digits}f} {currency}"  # + 0.0: never "-0.00"


def _size(amounts: Array) -> Array:
    return np.abs(np.nan_to_num(np.asarray(amounts, np.float64), posinf=0.0, neginf=0.0))
