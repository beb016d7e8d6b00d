"""Finds what the backend of Kubeflow Pipelines refuses or runs wrongly in a compiled pipeline, though its SDK loads it.

The rules come from the source of kubeflow/pipelines 2.17, Argo Workflows 4.0.8 and Kubernetes 1.36; each says from
where. Nothing here needs KFP's packages or a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.kubeflow.lint import graph, pods  # noqa: F401 - importing them fills CHECKS
from pipeline.kubeflow.lint.schema import Fault, Reader
from pipeline.kubeflow.lint.spec import CHECKS, Spec

DOCUMENT_RULES = (
    "yaml",
    "no-pipeline",
    "document-ignored",
    "field-unknown",
    "field-ignored",
    "field-type",
    "field-twice",
)
RULES = (*DOCUMENT_RULES, *CHECKS)


@dataclass(frozen=True)
class Finding:
    """rule: the name of the rule; where: the place in the document, '' for all of it; text: what to change there."""

    rule: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


def lint(text: str) -> list[Finding]:
    """All findings in a compiled pipeline, in the order of their places; empty if all is well."""
    try:
        documents = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except yaml.YAMLError as error:
        return [Finding("yaml", "", f"cannot be read: {' '.join(str(error).split())}; correct the YAML")]
    findings = [Finding(*fault) for fault in _faults(documents)]
    return sorted(set(findings), key=lambda finding: (finding.where, finding.rule, finding.text))


def _faults(documents: list[Any]) -> Iterator[Fault]:
    """apiserver/template/v2_template.go NewV2SpecTemplate takes one document of either kind, in any order; a document
    that isn't quite of a kind is no error there but ignored, see template.go isPipelineSpec and
    IsPlatformSpecWithKubernetesConfig."""
    reader = Reader()
    pipeline: dict[str, Any] = {}
    kubernetes: dict[str, Any] = {}
    for document in documents:
        if not isinstance(document, dict):
            yield "document-ignored", "", f"a document must be a mapping, got {type(document).__name__}; leave it out"
        elif "platforms" in document:
            if kubernetes:
                yield "document-ignored", "platforms", "there are two platform documents; make one of them"
            platforms = reader.read("PlatformSpec", document, "").get("platforms") or {}
            if "kubernetes" not in platforms:
                text = "says nothing for kubernetes, the one platform that KFP reads; put the settings below that key"
                yield "document-ignored", "platforms", text
            kubernetes = platforms.get("kubernetes") or {}
        elif "pipelineSpec" in document or "pipeline_spec" in document:
            text = "is a PipelineJob; compile to a name that ends in .yaml, which gives the PipelineSpec itself"
            yield "no-pipeline", "pipelineSpec", text
            return
        elif "root" in document or "pipelineInfo" in document or "pipeline_info" in document:
            if pipeline:
                yield "document-ignored", "", "there are two pipelines in it; put each into a file of its own"
            pipeline = pipeline or reader.read("PipelineSpec", document, "")
        else:
            names = ", ".join(map(str, document)) or "nothing"
            yield "document-ignored", "", f"KFP ignores a document of {names}; write a pipeline spec, or nothing"
    yield from reader.faults
    if not pipeline.get("root") or not pipeline.get("pipelineInfo"):
        yield "no-pipeline", "", "there is no pipeline with a pipelineInfo and a root; compile one"
    elif not any(rule == "field-type" for rule, _, _ in reader.faults):
        spec = Spec(pipeline, kubernetes)
        for rule, check in CHECKS.items():
            for where, text in check(spec):
                yield rule, where, text


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses a key that occurs twice, as Go's yaml does (and PyYAML doesn't)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key, _ in node.value:
            if key.value in keys:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]
