"""Names of what Transform makes of the raw columns."""

from __future__ import annotations

from trainer.columns import identifier

NUMERIC = "numeric"  # float32 [batch, width]
LABEL = "label"  # float32 [batch, 1]
WEIGHT = "weight"  # float32 [batch, 1]


def vocabulary_name(column: str) -> str:
    """The name under which Transform keeps the vocabulary of a categorical column."""
    return f"vocabulary_{identifier(column)}"


def categorical_key(column: str) -> str:
    """The transformed feature of a categorical column: int64 [batch, 1]."""
    return f"category_{identifier(column)}"
