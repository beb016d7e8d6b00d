"""A schema inferred from data leaves room for what comes later."""

from __future__ import annotations

import pytest
from tensorflow_metadata.proto.v0 import schema_pb2

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


def test_a_text_column_has_a_domain_up_to_200_values_and_no_mass_without_one(tmp_path):
    for size in (200, 201):
        rows = [f"{t},{t},{t},shop {t % size},{t % 5},{int(t % 10 == 0)}" for t in range(600)]
        (tmp_path / "data.csv").write_text("t,a,b,country,shop,fraud\n" + "\n".join(rows) + "\n")
        inferred = schema.infer(str(tmp_path / "data.csv"), COLUMNS)
        (country,) = [feature for feature in inferred.feature if feature.name == "country"]
        assert [len(domain.value) for domain in inferred.string_domain] == ([200] if size == 200 else [])
        assert country.HasField("distribution_constraints") == (size == 200)


@pytest.mark.parametrize("values", [("0", "1"), ("true", "false"), ("0012", "17")])
def test_text_that_could_be_a_number_or_a_truth_value_stays_text(tmp_path, values):
    rows = [f"{t},{t},{t},{values[t % 2]},{t % 2},{int(t % 10 == 0)}" for t in range(60)]
    (tmp_path / "data.csv").write_text("t,a,b,country,shop,fraud\n" + "\n".join(rows) + "\n")
    inferred = {feature.name: feature for feature in schema.infer(str(tmp_path / "data.csv"), COLUMNS).feature}
    assert inferred["country"].domain == "country"
    assert inferred["country"].distribution_constraints.min_domain_mass == pytest.approx(0.9)
    assert inferred["shop"].WhichOneof("domain_info") is None  # a third shop may open
    assert inferred["fraud"].WhichOneof("domain_info") == "bool_domain"


def test_times_as_text_have_no_domain_for_each_day_is_new(tmp_path):
    rows = [f"2024-01-{1 + t // 3:02d},{t},{t},DE,{t % 5},{int(t % 10 == 0)}" for t in range(60)]
    (tmp_path / "data.csv").write_text("t,a,b,country,shop,fraud\n" + "\n".join(rows) + "\n")
    by_date = Columns.model_validate({**COLUMNS.model_dump(), "time_format": "iso8601"})
    inferred = {feature.name: feature for feature in schema.infer(str(tmp_path / "data.csv"), by_date).feature}
    assert inferred["t"].type == schema_pb2.BYTES
    assert inferred["t"].WhichOneof("domain_info") is None


def test_a_gap_in_the_last_of_many_batches_counts_too(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "_CELLS_AT_ONCE", 1)
    rows = [f"{t},{t / 2},{'' if t == 9_999 else t},DE,{t % 5},{int(t % 10 == 0)}" for t in range(10_000)]
    (tmp_path / "data.csv").write_text("t,a,b,country,shop,fraud\n" + "\n".join(rows) + "\n")
    inferred = {feature.name: feature for feature in schema.infer(str(tmp_path / "data.csv"), COLUMNS).feature}
    assert inferred["a"].presence.min_fraction == 1
    assert inferred["b"].presence.min_fraction == 0
    assert not inferred["b"].HasField("shape")
