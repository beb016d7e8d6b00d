"""The report's section on lineage: what the model was made from, by which steps, versions, seeds and settings.

It asks no metadata store, which Kubeflow Pipelines gives a component no access to: the artifacts that the Report
component takes carry type, id, URI and properties, and the pipeline tells it the graph.
"""

from __future__ import annotations

import html
import importlib.metadata
import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import yaml
from tfx.dsl.components.base.base_node import BaseNode
from tfx.types import Artifact, channel_utils
from tfx.types.channel import BaseChannel

from components.properties import URI_PROPERTY
from components.report.page import table
from components.report.palette import BLUE

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

_STYLE = f"""<style>
.graph text {{ fill: var(--ink); font: 14px system-ui, sans-serif; }}
.graph path {{ fill: none; stroke: {BLUE}; stroke-opacity: .55; stroke-width: 1.3; }}
.graph path.waits {{ stroke-dasharray: 4 3; }}
.graph circle {{ fill: {BLUE}; }}
.lineage td {{ white-space: nowrap; }} .lineage td:nth-child(4) {{ white-space: normal; min-width: 14rem; }}
</style>"""


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
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def lineage_section(
    graph: Graph,
    artifacts: Sequence[Used],
    manifest: Mapping[str, Any],
    digests: Mapping[str, str],
    config: str = "",
    search_seed: int | None = None,
) -> list[str]:
    """What goes below the heading, as HTML.

    Args:
      manifest: the model's.
      digests: by what they are of, in words.
      config: as YAML; "" where it is not told.
    """
    return [
        _STYLE,
        *_steps(graph),
        *_artifacts(artifacts),
        "<h3>Versions</h3>",
        *_versions(versions(), manifest.get("versions", {}), {one.tfx for one in artifacts if one.tfx}),
        "<h3>Seeds</h3>",
        _wrapped(table(["of", "seed"], seeds(manifest, search_seed))),
        *(["<h3>Digests</h3>", _wrapped(table(["of", "digest"], digests.items()))] if digests else []),
        *(
            [
                "<h3>Configuration</h3>",
                f"<details><summary>All of it, as YAML</summary><pre>{html.escape(config)}</pre></details>",
            ]
            if config
            else []
        ),
    ]


def _wrapped(table_html: str) -> str:
    return f'<div class="lineage">{table_html}</div>'


def _steps(graph: Graph) -> list[str]:
    if not graph.steps:
        return []
    waits = " A broken line: it waits for that step, and takes nothing from it." if _waiting(graph) else ""
    return [
        "<h3>Steps</h3>",
        "<p>From top to bottom, as they run. A line leads from a step down to one that takes what it has left."
        f"{waits}</p>",
        f'<div class="scroll">{_diagram(graph)}</div>',
    ]


def _waiting(graph: Graph) -> set[tuple[str, str]]:
    return {
        (before, step.name)
        for step in graph.steps
        for before in step.waits_for
        if before not in map(_step, step.inputs.values())
    }


_ROW, _TOP, _BEND = 28, 16, 11  # pixels: of a row, above the first, and how much further out a longer line bends


def _diagram(graph: Graph) -> str:
    """An arc diagram: steps below each other, and a line on the left for each that one takes something from."""
    rows = {step.name: index for index, step in enumerate(graph.steps)}
    waiting = _waiting(graph)
    lines = [(rows[before], rows[step.name]) for step in graph.steps for before in step.after if before in rows]
    left = 14 + _BEND * max((below - above for above, below in lines), default=0)
    broken = {(rows[before], rows[name]) for before, name in waiting if before in rows}
    paths, marks = [], []
    for above, below in sorted(lines):
        start, end = _TOP + _ROW * above, _TOP + _ROW * below
        out = left - _BEND * (below - above) * 4 / 3  # a cubic curve goes three quarters of the way to its handles
        kind = ' class="waits"' if (above, below) in broken else ""
        paths.append(f'<path{kind} d="M{left} {start} C{out:.0f} {start} {out:.0f} {end} {left} {end}"/>')
    for name, index in rows.items():
        y = _TOP + _ROW * index
        after = graph.steps[index].after
        told = f"after {', '.join(after)}" if after else "takes nothing from other steps"
        marks.append(
            f'<g><title>{html.escape(told)}</title><circle cx="{left}" cy="{y}" r="4"/>'
            f'<text x="{left + 12}" y="{y + 5}">{html.escape(name)}</text></g>'
        )
    width, height = left + 12 + 9 * max(map(len, rows)), _TOP + _ROW * len(rows)
    return (
        f'<svg class="graph" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="The steps of the pipeline">{"".join(paths)}{"".join(marks)}</svg>'
    )


def _artifacts(artifacts: Sequence[Used]) -> list[str]:
    if not artifacts:
        return []
    root = common_folder([one.uri for one in artifacts])
    rows = [
        [
            one.kind,
            one.id if 0 < one.id < _MOST_IDS else "–",
            _step(one.made_by) or "–",
            ", ".join(dict.fromkeys(map(_step, one.made_from))) or "–",
            one.uri[len(root) :],
        ]
        for one in artifacts
    ]
    below = f" Places are below {root}." if root else ""
    return [
        "<h3>Artifacts</h3>",
        "<p>Those that this report was made from, and the steps whose artifacts each of them was made from."
        f"{html.escape(below)}</p>",
        _wrapped(table(["type", "id", "made by", "from", "place"], rows)),
    ]


def common_folder(uris: Sequence[str]) -> str:
    """The longest folder, with its slash, that all of them lie below; "" where there is none."""
    shortest = min(uris, key=len)
    same = next((end for end in range(len(shortest)) if len({uri[end] for uri in uris}) > 1), len(shortest))
    folder = shortest[: shortest.rfind("/", 0, same) + 1]
    return "" if folder.rstrip("/").endswith(":") or folder == "/" else folder


def _versions(here: Mapping[str, str], trained: Mapping[str, str], of_artifacts: set[str]) -> list[str]:
    """Those of this report's environment, and those that the model was trained with where they are recorded."""
    rows = [[name, version, trained.get(name, "–")] for name, version in here.items()]
    rows += [[name, "–", version] for name, version in trained.items() if name not in here]
    differing = [name for name, version in trained.items() if here.get(name, version) != version]
    notes = [f"The model was trained with other versions of {', '.join(differing)}."] if differing else []
    if of_artifacts - {here.get("tfx", "")}:
        notes.append(f"Artifacts were made by TFX {', '.join(sorted(of_artifacts))}.")
    return [
        *(f"<p>{html.escape(note)}</p>" for note in notes),
        table(["package", "when this report was made", "when the model was trained"], rows),
    ]


def seeds(manifest: Mapping[str, Any], search_seed: int | None) -> list[list[object]]:
    """Of all that chance has a part in, as far as it is recorded."""
    split = manifest.get("data", {}).get("split", {})
    found: list[list[object]] = []
    if split:
        found.append(["splits", split.get("seed") if split.get("by") == "random" else "none: split by time"])
    if search_seed is not None:
        found.append(["search", search_seed])
    if "seed" in manifest.get("training", {}):
        found.append(["training", manifest["training"]["seed"]])
    return found
