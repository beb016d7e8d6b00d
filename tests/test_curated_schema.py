"""A curated schema, from its file to the artifact that the other components read."""

from __future__ import annotations

from pathlib import Path

import pytest
from tfx.types import standard_artifacts
from tfx.utils import io_utils

from components.curated_schema import FILE, CuratedSchema, read
from trainer.errors import InputError

CURATED = Path(__file__).resolve().parents[1] / "configs" / "ulb.schema.pbtxt"


def test_what_people_wrote_is_what_other_components_read(tmp_path: Path) -> None:
    schema = standard_artifacts.Schema()
    schema.uri = str(tmp_path / "schema")
    text = read(CURATED)
    CuratedSchema.EXECUTOR_SPEC.executor_class().Do({}, {"schema": [schema]}, {"text": text})
    (path,) = (tmp_path / "schema").iterdir()
    assert (path.name, path.read_text()) == (FILE, text)
    written = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(schema.uri))
    assert [feature.name for feature in written.feature][:2] == ["Time", "V1"]


def test_a_schema_that_says_nothing_of_the_id_is_right_and_one_that_describes_it_is_refused() -> None:
    assert read(CURATED, "transaction_id") == read(CURATED)
    with pytest.raises(InputError, match="Remove the feature V1 from the schema, or give the column another role"):
        read(CURATED, "V1")
