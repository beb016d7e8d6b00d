"""Roles by which a column loses values are warned of, with the count."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.data.losses import role_losses
from trainer.columns import Columns

CARDS = [4_000_000_000_177_735 + card for card in range(60)] * 3
FRAME = pd.DataFrame(
    {
        "fraud": [0, 1] * 90,
        "card": CARDS,
        "balance": [float(value) / 4 for value in range(180)],
        "large": [value * 2**25 for value in range(180)],
        "store": ["0012", "012", "12"] * 60,
        "mcc": [5411, 4111, 5999] * 60,
    }
)


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
def test_what_a_role_loses_is_counted(tmp_path, name):
    path = tmp_path / name
    FRAME.to_parquet(path) if name.endswith("parquet") else FRAME.to_csv(path, index=False)
    columns = Columns(
        label="fraud", numeric=("card", "balance", "large"), categorical={"store": "integer", "mcc": "integer"}
    )
    card, store = role_losses(str(path), columns)
    assert "of 60 different whole numbers in the first 180 rows, 59 become equal to another" in card
    assert card.startswith("card is numeric")
    assert "3 different values in the first 180 rows become 1" in store


def test_roles_that_lose_nothing_are_not_warned_of(tmp_path):
    path = tmp_path / "rows.csv"
    FRAME.to_csv(path, index=False)
    columns = Columns(
        label="fraud", entities=("card",), numeric=("balance",), categorical={"store": "string", "mcc": "integer"}
    )
    assert role_losses(str(path), columns) == []
