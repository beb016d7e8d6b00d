"""Lineage: the graph of real components, and the artifacts that they leave."""

from __future__ import annotations

import platform
import re
import xml.etree.ElementTree as ElementTree

import pytest
from tfx.types import standard_artifacts

from components.properties import URI_PROPERTY
from components.report.lineage import (
    Graph,
    Step,
    Used,
    common_folder,
    config_text,
    lineage_section,
    seeds,
    used,
    versions,
)
from tests.support.small_graph import Reader, Writer
from tests.support.small_page import EVIL, Section

GRAPH = Graph(
    (
        Step("ExampleGen", {}),
        Step("StatisticsGen", {"examples": "ExampleGen.examples"}),
        Step("Gate", {"statistics": "StatisticsGen.statistics"}),
        Step("Trainer", {"examples": "ExampleGen.examples"}, ("ExampleGen", "Gate")),
        Step("Report", {"examples": "ExampleGen.examples", "model": "Trainer.model"}),
    )
)
MANIFEST = {
    "data": {"split": {"by": "time", "seed": 0}},
    "training": {"seed": 7},
    "versions": {"python": platform.python_version(), "keras": "0.1"},
}


def diagram(graph: Graph) -> ElementTree.Element:
    page = lineage_section(graph, [], MANIFEST, {})
    match = re.search(r"<svg.*?</svg>", page, re.DOTALL)
    assert match
    return ElementTree.fromstring(match[0])


def test_the_graph_is_that_of_the_components() -> None:
    writer = Writer()
    reader = Reader(number=writer.outputs["number"]).with_id("Last")
    reader.add_upstream_node(writer)
    graph = Graph.from_nodes([writer, reader], Report={"number": writer.outputs["number"]})
    assert graph.steps == (
        Step("Writer", {}),
        Step("Last", {"number": "Writer.number"}, ("Writer",)),
        Step("Report", {"number": "Writer.number"}),
    )
    assert Graph.from_json(graph.to_json()) == graph


def test_the_diagram_has_a_line_for_each_step_that_another_comes_after() -> None:
    drawn = diagram(GRAPH)
    assert [text.text for text in drawn.iter("text")] == [step.name for step in GRAPH.steps]
    assert len(list(drawn.iter("path"))) == sum(len(step.after) for step in GRAPH.steps) == 6
    assert [path.get("class") for path in drawn.iter("path") if path.get("class")] == ["waits"]  # Trainer for Gate


def test_the_lines_lie_within_the_picture() -> None:
    for size in (2, 14, 30):
        steps = [Step(f"Step{index}", {"input": "Step0.output"} if index else {}) for index in range(size)]
        for path in diagram(Graph(tuple(steps))).iter("path"):
            start, _, out, *_ = map(float, re.findall(r"-?\d+(?:\.\d+)?", path.get("d") or ""))
            assert start - 0.75 * (start - out) > 0


def test_artifacts_tell_their_type_place_and_makers() -> None:
    model = standard_artifacts.Model()
    model.uri, model.id = "/root/Trainer/model/8", 8
    model.set_string_custom_property("tfx_version", "1.16.0")
    assert used({"model": model, "tuner_results": None}, GRAPH) == [
        Used("Model", 8, "/root/Trainer/model/8", "Trainer.model", ("ExampleGen.examples",), "1.16.0")
    ]


def test_of_a_pods_copy_the_original_is_named() -> None:
    model = standard_artifacts.Model()
    model.uri = "/s3/bucket/model"
    model.set_string_custom_property(URI_PROPERTY, "s3://bucket/model")
    (row,) = used({"model": model}, GRAPH)
    assert row.uri == "s3://bucket/model"


def test_an_artifact_of_kubeflow_has_no_number_and_a_remote_place() -> None:
    uris = ["gs://bucket/runs/7/trainer/model", "gs://bucket/runs/7/examplegen/examples"]
    artifacts = [Used("Model", 2**62, uri, "Trainer.model", (), "") for uri in uris]
    page = lineage_section(GRAPH, artifacts, MANIFEST, {})
    assert "The places are in gs://bucket/runs/7/." in page
    assert ["Model", "–", "Trainer", "–", "trainer/model"] in Section(page).rows


@pytest.mark.parametrize(
    ("uris", "folder"),
    [
        (["/a/b/c/1", "/a/b/d/2"], "/a/b/"),
        (["/a/bc/1", "/a/bd/1"], "/a/"),
        (["/a/1"], "/a/"),
        (["/a/1", "/b/1"], ""),
        (["gs://one/x", "gs://two/x"], ""),
        (["gs://one/x", "s3://one/x"], ""),
    ],
)
def test_places_are_shown_below_their_common_folder(uris: list[str], folder: str) -> None:
    assert common_folder(uris) == folder


def test_other_versions_than_in_training_are_shown() -> None:
    page = lineage_section(GRAPH, [], MANIFEST, {})
    assert "The model was trained with other versions of keras." in page
    assert versions()["python"] == platform.python_version()
    assert "tfx" in versions()


def test_the_configuration_comes_without_secrets_and_escaped() -> None:
    text = config_text({"name": "<fraud>", "beam_args": ["--runner=X", "--s3_secret_access_key=abc", "--token=d"]})
    assert "abc" not in text
    assert "--s3_secret_access_key=(hidden)" in text
    assert "--runner=X" in text
    page = lineage_section(GRAPH, [], MANIFEST, {}, text)
    assert "&lt;fraud&gt;" in page
    assert "<fraud>" not in page


def test_names_and_places_and_the_manifest_are_text() -> None:
    graph = Graph((Step(EVIL, {}), Step("Report", {"model": f"{EVIL}.model"})))
    artifacts = [Used(EVIL, 1, f"/{EVIL}", f"{EVIL}.model", (f"{EVIL}.examples",), EVIL)]
    page = lineage_section(graph, artifacts, {**MANIFEST, EVIL: EVIL, "versions": {EVIL: EVIL}}, {EVIL: EVIL}, EVIL)
    assert "<script>alert" not in page
    section = Section(page)
    assert section.rows[1][0] == section.rows[-1][0] == EVIL
    assert f"The artifacts were made by TFX {EVIL}." in section.text


def test_seeds_are_of_what_chance_has_a_part_in() -> None:
    assert seeds(MANIFEST, None) == [["splits", "none, they are by time"], ["training", 7]]
    random = {"data": {"split": {"by": "random", "seed": 3}}, "training": {"seed": 7}}
    assert seeds(random, 5) == [["splits", 3], ["search", 5], ["training", 7]]
    assert seeds({}, None) == []


def test_an_old_manifest_without_versions_makes_a_section_too() -> None:
    assert "<h3>Versions</h3>" in (lineage_section(Graph(()), [], {}, {"model": "0123456789abcdef"}))
