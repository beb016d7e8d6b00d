"""Transform against TFX's own executor on the same examples: the same graph comes out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_data_validation as tfdv
import tensorflow_transform as tft
from tensorflow_transform.tf_metadata import schema_utils
from tfx.components.transform import executor as stock
from tfx.types import artifact_utils, channel_utils, standard_artifacts

from components.transform import Executor, TransactionsTransform
from pipeline.source_digest import dotted_path
from tests.support.small_data import BEAM, SHOP_COLUMNS, SHOP_GAPS, SHOP_SETTINGS, apply, raw_spec, shop_rows, write
from trainer import examples as example_files
from trainer.custom_config import TrainerSettings
from trainer.preprocessing import preprocessing_fn

ROWS = shop_rows(120, seed=8)


@pytest.fixture(scope="module", autouse=True)
def _no_arguments() -> Iterator[None]:
    """TFX's Beam executors read the flags of the process: `-v` means another thing to them than to pytest."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", sys.argv[:1])
        yield


def transformed(executor: Any, settings: TrainerSettings, folder: Path) -> dict[str, np.ndarray]:
    """What the graph that the executor leaves makes of all rows; it has seen two thirds of them."""
    for split, rows in {"train": ROWS[:80], "eval": ROWS[80:]}.items():
        (folder / f"Split-{split}").mkdir(parents=True)
        write(rows, folder / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz")
    examples, schema, graph = standard_artifacts.Examples(), standard_artifacts.Schema(), None
    examples.uri, schema.uri = str(folder), str(folder / "schema")
    examples.split_names = artifact_utils.encode_split_names(["train", "eval"])
    examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
    (folder / "schema").mkdir()
    proto = schema_utils.schema_from_feature_spec(raw_spec(SHOP_COLUMNS, SHOP_GAPS))
    tfdv.write_schema_text(proto, str(folder / "schema" / "schema.pbtxt"))
    component = TransactionsTransform(
        examples=channel_utils.as_channel([examples]),
        schema=channel_utils.as_channel([schema]),
        preprocessing_fn=dotted_path(preprocessing_fn),
        custom_config=settings.to_custom_config("features"),
    )
    outputs = {}
    for key, channel in component.outputs.items():
        artifact = channel.type()
        artifact.uri = str(folder / key)
        outputs[key] = [artifact]
    graph = outputs["transform_graph"][0]
    context = executor.Context(beam_pipeline_args=list(BEAM), tmp_dir=str(folder / "tmp"), unique_id="1")
    properties = {key: value for key, value in component.exec_properties.items() if value is not None}
    if executor is stock.Executor:
        properties["splits_config"] = '{"analyze": ["train"], "transform": ["train"]}'
    executor(context).Do({"examples": [examples], "schema": [schema]}, outputs, properties)
    return apply(tft.TFTransformOutput(graph.uri), ROWS)


@pytest.mark.no_cover  # most of it is TFX's own code, which the tracer slows down
def test_features_are_those_of_tfx_s_own_executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example_files, "batch_rows", lambda count: 25)  # several batches to merge
    ours = transformed(Executor, SHOP_SETTINGS, tmp_path / "ours")
    theirs = transformed(stock.Executor, SHOP_SETTINGS, tmp_path / "stock")
    assert set(ours) == set(theirs)
    for key, values in theirs.items():
        np.testing.assert_allclose(ours[key], values, atol=1e-5)
