"""Settings of the search for leaks; cheap to import."""

from __future__ import annotations

from pydantic import Field

from trainer.frozen import Frozen


class LeakageSettings(Frozen):
    """When a column that nearly tells the label by itself stops the run.

    Of the real ULB transactions, whose best columns were made to tell fraud, none reaches 0.7; what is only written
    down once a fraud is known is near 1.
    """

    max_average_precision: float = Field(
        0.9,
        gt=0,
        le=1,
        description="the run stops where one column alone tells fraud with a higher average precision than this, "
        "out of fold on the training split; from half of the way on there is a warning; 1: never",
    )
    known_before: tuple[str, ...] = Field(
        (),
        description="columns that are known when a transaction is decided on, however well they tell fraud: they do "
        "not stop the run",
    )
