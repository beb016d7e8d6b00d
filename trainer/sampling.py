"""How many real transactions a row stands for."""

from __future__ import annotations

from pydantic import Field

from trainer.frozen import Frozen


class SamplingRates(Frozen):
    """Which share of the real transactions of each class the data holds; a row weighs the inverse of its class's."""

    fraud: float = Field(1.0, ge=1e-9, le=1, description="share of all frauds that the data holds; 1: every one")
    legitimate: float = Field(
        1.0, ge=1e-9, le=1, description="share of all legitimate transactions that the data holds; 1: every one"
    )

    def weight(self, label: int) -> float:
        """How many real transactions one row of this class (1 fraud, 0 legitimate) stands for."""
        return 1.0 / (self.fraud if label else self.legitimate)
