"""A curated schema, from its file to the artifact that the other components read."""

from __future__ import annotations

from pathlib import Path

from tfx.types import standard_artifacts
from tfx.utils import io_utils

from components.curated_schema import FILE, CuratedSchema, read

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
