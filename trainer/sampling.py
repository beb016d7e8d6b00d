"""How many real transactions a row stands for."""

from __future__ import annotations

from pydantic import (
    Field,
)

from trainer.frozen import Frozen


class SamplingRates(Frozen):
    """Share of each class that the data holds of all there were, in (0, 1]; its inverse weighs an example."""

    fraud: float = Field(1.0, gt=0, le=1)
    legitimate: float = Field(1.0, gt=0, le=1)

    def weight(self, label: int) -> float:
        """How many real transactions one row of this class (1 fraud, 0 legitimate) stands for."""
        return 1.0 / (self.fraud if label else self.legitimate)
