"""The report's section on lineage: what the model was made from, by which steps, versions, seeds and settings.

It asks no metadata store, which Kubeflow Pipelines gives a component no access to: the artifacts that the Report
component takes carry type, id, URI and properties, and the pipeline tells it the graph.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import yaml
from markupsafe import Markup
from tfx.dsl.components.base.base_node import BaseNode
from tfx.types import Artifact, channel_utils
from tfx.types.channel import BaseChannel

from components.properties import URI_PROPERTY
from components.report.page import render

PACKAGES = (
    "tfx",
    "tensorflow",
    "tensorflow-data-validation",
    "tensorflow-transform",
    "tensorflow-model-analysis",
    "apache-beam",
    "keras",
    "keras-tuner",
    "ml-metadata",
    "pyarrow",
    "numpy",
    "scikit-learn",
)
_SECRET = re.compile(r"(--\w*(?:secret|token|password|credential|access_key)\w*=)\S+", re.IGNORECASE)
_MOST_IDS = 2**31  # TFX makes a larger one of a name where Kubeflow has names in place of numbers


@dataclass(frozen=True)
class Step:
    """A component of the pipeline.

    inputs: by name, what it takes: "ExampleGen.examples". waits_for: steps whose end it waits for, without taking
    anything from them.
    """

    name: str
    inputs: Mapping[str, str]
    waits_for: tuple[str, ...] = ()

    @property
    def after(self) -> list[str]:
        """The steps before it, each once."""
        return list(dict.fromkeys([*(_step(taken) for taken in self.inputs.values()), *self.waits_for]))


def _step(output: str) -> str:
    return output.rsplit(".", 1)[0]


@dataclass(frozen=True)
class Graph:
    """The steps of a pipeline, in the order in which they run."""

    steps: tuple[Step, ...]

    @classmethod
    def from_nodes(cls, nodes: Iterable[BaseNode], **coming: Mapping[str, BaseChannel]) -> Graph:
        """Of components that are made, in their order, and by name the inputs of those that are still to be made."""
        steps = [
            Step(node.id, _inputs(node.inputs), tuple(sorted(before.id for before in node.upstream_nodes)))
            for node in nodes
        ]
        return cls((*steps, *(Step(name, _inputs(channels)) for name, channels in coming.items())))

    def to_json(self) -> str:
        return json.dumps([asdict(step) for step in self.steps])

    @classmethod
    def from_json(cls, text: str) -> Graph:
        return cls(tuple(Step(**{**step, "waits_for": tuple(step["waits_for"])}) for step in json.loads(text)))

    def step(self, name: str) -> Step:
        """The step of that name; one without inputs where there is none."""
        return next((step for step in self.steps if step.name == name), Step(name, {}))


def _inputs(channels: Mapping[str, BaseChannel]) -> dict[str, str]:
    return {
        name: f"{single.producer_component_id}.{single.output_key}"
        for name, channel in channels.items()
        for single in channel_utils.get_individual_channels(channel)
    }


@dataclass(frozen=True)
class Used:
    """An artifact that the report was made from.

    made_by: "Trainer.model". made_from: what that step took, as "Transform.transform_graph". tfx: its version.
    """

    kind: str
    id: int
    uri: str
    made_by: str
    made_from: tuple[str, ...]
    tfx: str


def used(inputs: Mapping[str, Artifact | None], graph: Graph, step: str = "Report") -> list[Used]:
    """The artifacts that a step takes, by the names of its inputs, without those that are not there."""
    taken = graph.step(step).inputs
    return [
        Used(
            artifact.type_name,
            artifact.id,
            artifact.get_string_custom_property(URI_PROPERTY) or artifact.uri,
            taken.get(name, ""),
            tuple(dict.fromkeys(graph.step(_step(taken.get(name, ""))).inputs.values())),
            artifact.get_string_custom_property("tfx_version"),
        )
        for name, artifact in inputs.items()
        if artifact is not None
    ]


def config_text(values: Mapping[str, Any]) -> str:
    """A configuration as YAML, without the secrets that arguments for Beam may hold."""
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    return _SECRET.sub(r"\1(hidden)", text)


def versions() -> dict[str, str]:
    """Of this Python and of the packages that are installed."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def lineage_section(
    graph: Graph,
    artifacts: Sequence[Used],
    manifest: Mapping[str, Any],
    digests: Mapping[str, str],
    config: str = "",
    search_seed: int | None = None,
) -> Markup:
    """What goes below the heading.

    Args:
      manifest: the model's.
      digests: by what they are of, in words.
      config: as YAML; "" where it is not known.
    """
    folder = common_folder([one.uri for one in artifacts]) if artifacts else ""
    return render(
        "lineage.html",
        diagram=diagram(graph) if graph.steps else None,
        artifacts=artifact_rows(artifacts, folder),
        folder=folder,
        versions=version_values(versions(), manifest.get("versions", {}), {one.tfx for one in artifacts if one.tfx}),
        seeds=seeds(manifest, search_seed),
        digests=list(digests.items()),
        config=config,
        parameters=manifest.get("parameters"),
        manifest=json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) if manifest else "",
    )


# ---- steps


@dataclass(frozen=True)
class Line:
    """A curve from one step down to another, in pixels; waits: the lower step uses nothing of the upper one."""

    x: int
    start: int
    end: int
    bend: int
    waits: bool


@dataclass(frozen=True)
class Mark:
    """Where a step is in the diagram, in pixels; title: the steps that it comes after, in words."""

    name: str
    x: int
    y: int
    title: str


@dataclass(frozen=True)
class Diagram:
    """Steps below each other, and a line on their left for each pair of which one comes after the other."""

    width: int
    height: int
    lines: list[Line]
    steps: list[Mark]

    @property
    def waits(self) -> bool:
        return any(line.waits for line in self.lines)


_ROW, _TOP, _BEND = 28, 16, 11  # pixels: of a row, above the first, and how much further out a longer line bends


def diagram(graph: Graph) -> Diagram:
    """An arc diagram of the steps, as they run from top to bottom."""
    rows = {step.name: index for index, step in enumerate(graph.steps)}
    pairs = sorted(
        (rows[before], rows[step.name], before not in map(_step, step.inputs.values()))
        for step in graph.steps
        for before in step.after
        if before in rows
    )
    left = 14 + _BEND * max((below - above for above, below, _ in pairs), default=0)
    return Diagram(
        width=left + 12 + 9 * max(map(len, rows)),
        height=_TOP + _ROW * len(rows),
        lines=[
            # a cubic curve goes three quarters of the way to its handles
            Line(left, _y(above), _y(below), left - round(_BEND * (below - above) * 4 / 3), waits)
            for above, below, waits in pairs
        ],
        steps=[
            Mark(
                step.name,
                left,
                _y(rows[step.name]),
                f"after {', '.join(step.after)}" if step.after else "uses nothing of other steps",
            )
            for step in graph.steps
        ],
    )


def _y(row: int) -> int:
    return _TOP + _ROW * row


# ---- artifacts, versions and seeds


def artifact_rows(artifacts: Sequence[Used], folder: str) -> list[list[object]]:
    """Type, id, the step that made it, the steps it was made from, and its place below the folder."""
    return [
        [
            one.kind,
            one.id if 0 < one.id < _MOST_IDS else "–",
            _step(one.made_by) or "–",
            ", ".join(dict.fromkeys(map(_step, one.made_from))) or "–",
            one.uri[len(folder) :],
        ]
        for one in artifacts
    ]


def common_folder(uris: Sequence[str]) -> str:
    """The longest folder, with its slash, that all of them lie below; "" where there is none."""
    shortest = min(uris, key=len)
    same = next((end for end in range(len(shortest)) if len({uri[end] for uri in uris}) > 1), len(shortest))
    folder = shortest[: shortest.rfind("/", 0, same) + 1]
    return "" if folder.rstrip("/").endswith(":") or folder == "/" else folder


def version_values(here: Mapping[str, str], trained: Mapping[str, str], of_artifacts: set[str]) -> dict[str, list[Any]]:
    """Versions for this report and for the training, where they are recorded, and in sentences where they differ.

    of_artifacts: the versions of TFX that the artifacts name.
    """
    rows = [[name, version, trained.get(name, "–")] for name, version in here.items()]
    rows += [[name, "–", version] for name, version in trained.items() if name not in here]
    differing = [name for name, version in trained.items() if here.get(name, version) != version]
    sentences = [f"The model was trained with other versions of {', '.join(differing)}."] if differing else []
    if of_artifacts - {here.get("tfx", "")}:
        sentences.append(f"The artifacts were made by TFX {', '.join(sorted(of_artifacts))}.")
    return {"rows": rows, "sentences": sentences}


def seeds(manifest: Mapping[str, Any], search_seed: int | None) -> list[list[object]]:
    """Of all that chance has a part in, as far as it is recorded."""
    split = manifest.get("data", {}).get("split", {})
    seeds: list[list[object]] = []
    if split:
        seeds.append(["splits", split.get("seed") if split.get("by") == "random" else "none, they are by time"])
    if search_seed is not None:
        seeds.append(["search", search_seed])
    if "seed" in manifest.get("training", {}):
        seeds.append(["training", manifest["training"]["seed"]])
    return seeds
