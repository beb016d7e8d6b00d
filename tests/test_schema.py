"""A schema inferred from data leaves room for what comes later."""

from __future__ import annotations

import pytest

from pipeline.data import schema
from trainer.columns import Columns
from trainer.errors import InputError

COLUMNS = Columns(label="fraud", time="t", numeric=("a", "b"), categorical={"country": "string", "shop": "integer"})


def test_gaps_stay_allowed_where_there_are_some_and_new_categories_may_come(tmp_path):
    rows = [
        f"{t},{t * 0.5},{'' if t % 3 == 0 else t},{'DE' if t % 2 else 'FR'},{t % 5},{int(t % 10 == 0)}"
        for t in range(60)
    ]
    (tmp_path / "data.csv").write_text("t,a,b,country,shop,fraud\n" + "\n".join(rows) + "\n")
    inferred = {feature.name: feature for feature in schema.infer(str(tmp_path / "data.csv"), COLUMNS).feature}
    assert set(inferred) == {"t", "a", "b", "country", "shop", "fraud", "example_weight"}
    assert inferred["a"].presence.min_fraction == 1
    assert inferred["b"].presence.min_fraction < 1
    assert not inferred["b"].HasField("shape")
    assert inferred["country"].distribution_constraints.min_domain_mass == pytest.approx(0.9)


def test_the_schema_has_nothing_on_the_id(tmp_path):
    rows = [f"{t},{t},{t},DE,{t % 5},{int(t % 10 == 0)},{t:09d}" for t in range(60)]
    (tmp_path / "data.csv").write_text("t,a,b,country,shop,fraud,payment\n" + "\n".join(rows) + "\n")
    named = COLUMNS.model_copy(update={"id": "payment"})
    assert schema.infer(str(tmp_path / "data.csv"), named) == schema.infer(str(tmp_path / "data.csv"), COLUMNS)


def test_a_file_without_rows_is_an_error(tmp_path):
    (tmp_path / "data.csv").write_text("t,a,b,country,shop,fraud\n")
    with pytest.raises(InputError, match="no rows"):
        schema.infer(str(tmp_path / "data.csv"), COLUMNS)


def test_a_gap_beyond_the_rows_that_are_looked_at_closely_counts_too(tmp_path, monkeypatch):
    rows = [f"{t},{t / 2},{'' if t == 9_999 else t},DE,{t % 5},{int(t % 10 == 0)}" for t in range(10_000)]
    (tmp_path / "data.csv").write_text("t,a,b,country,shop,fraud\n" + "\n".join(rows) + "\n")
    monkeypatch.setattr(schema, "ROWS_TO_LOOK_AT", 50)
    inferred = {feature.name: feature for feature in schema.infer(str(tmp_path / "data.csv"), COLUMNS).feature}
    assert inferred["a"].presence.min_fraction == 1
    assert inferred["b"].presence.min_fraction == 0
    assert not inferred["b"].HasField("shape")
