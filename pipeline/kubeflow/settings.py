"""Settings of the pipeline on a cluster: plain values, cheap to import."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from trainer.errors import faults
from trainer.frozen import Frozen
from trainer.settings import Minutes

_STORES = ("gs://", "s3://", "minio://")
_SERVED = ("gs://", "s3://")


def _form(pattern: str, what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{what}, got {value!r}")
        return value

    return AfterValidator(check)


def _unquoted(value: Any) -> Any:
    """YAML reads `cpu: 2` as a number."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


_QUANTITY = "a Kubernetes quantity above 0, such as"
Cpu = Annotated[
    str, BeforeValidator(_unquoted), _form(r"(?=.*[1-9])(\d{1,9}(\.\d{1,9})?|\d{1,9}m)", f"{_QUANTITY} 500m or 2")
]
Memory = Annotated[
    str,
    BeforeValidator(_unquoted),
    _form(r"(?=.*[1-9])\d{1,15}(\.\d{1,9})?([kMGTP]|[KMGTP]i)?", f"{_QUANTITY} 512Mi or 4Gi, without a space"),
]
# Of a Secret, a PersistentVolumeClaim, a namespace: what the API server would refuse later is refused here.
_LETTERS = "lower-case letters, digits and -, beginning and ending with none of the last"
Name = Annotated[str, _form(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9.]*[a-z0-9])?", f"a name of {_LETTERS}, or . between them")]
Label = Annotated[str, _form(r"(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?", f"a name of at most 63 {_LETTERS}")]
Variable = Annotated[str, _form(r"[A-Za-z_][A-Za-z0-9_]*", "a variable's name of letters, digits and _")]
Url = Annotated[str, _form(r"https?://[^/\s]+\S*", "a URL such as http://localhost:8888")]


class Toleration(Frozen):
    """A toleration of a node's taint, by Kubernetes' own keys."""

    key: str = Field("", description="key of the taint; empty: any key, with the operator Exists")
    operator: Literal["Equal", "Exists"] = Field("Equal", description="whether the taint's value counts")
    value: str = Field("", description="value of the taint, with the operator Equal")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="effect of the taint; null: any"
    )
    toleration_seconds: int | None = Field(
        None, ge=0, le=2_147_483_647, description="how long a pod stays after a taint NoExecute appears; null: for good"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Toleration:
        if self.operator == "Exists" and self.value:
            raise ValueError(
                f"operator Exists takes no value, got {self.value!r}; leave it out, or set operator: Equal"
            )
        if self.operator == "Equal" and not self.key:
            raise ValueError("a toleration without a key tolerates every taint and needs operator: Exists")
        return self


class Volume(Frozen):
    """An existing PersistentVolumeClaim, and where a pod sees it."""

    # Kubeflow Pipelines names the pod's volume after it.
    claim: Label = Field(description="name of the claim")
    path: str = Field(description="where the pod mounts it: a folder, from / on")

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        parts = path.split("/")[1:]
        if not path.startswith("/") or not parts[0] or {".", ".."} & set(parts) or ":" in path:
            raise ValueError(f"a folder in the pod from / on, such as /workspace, got {path!r}")
        return path.rstrip("/")


class SecretEnv(Frozen):
    """Keys of an existing Secret as environment variables."""

    secret: Name = Field(description="name of the Secret")
    env: dict[Variable, str] = Field(min_length=1, description="the variable's name and the key of the Secret")


class Pod(Frozen):
    """What the pod of a component gets."""

    image: str | None = Field(None, description="image that the component runs in; null: kubeflow.image")
    cpu: Cpu = Field("1", description="CPUs, as request and as limit, such as 500m or 2")
    memory: Memory = Field("4Gi", description="memory, as request and as limit, such as 512Mi or 4Gi")
    gpus: int = Field(0, ge=0, le=1_000, description="number of GPUs; Tuner and Trainer use them")
    gpu_type: str = Field("nvidia.com/gpu", description="the resource that the cluster's device plug-in offers")
    node_selector: dict[str, str] = Field(default_factory=dict, description="labels that the node must have")
    tolerations: tuple[Toleration, ...] = Field((), description="taints of nodes that the pod tolerates")
    volumes: tuple[Volume, ...] = Field((), description="existing PersistentVolumeClaims to mount")
    secrets: tuple[SecretEnv, ...] = Field((), description="existing Secrets whose keys become environment variables")
    env: dict[Variable, str] = Field(
        default_factory=dict, description="environment variables; everyone who sees the pipeline can read them"
    )
    run_as: int | None = Field(
        None,
        gt=0,
        le=2_147_483_647,
        description="number of the container's user and group, which a namespace with restricted pod security asks "
        "for; Kubeflow Pipelines older than 2.16 drop it; null: the image's own user",
    )
    retries: int = Field(0, ge=0, le=100, description="how often a failed task is started again")
    # Argo takes whole numbers here, and fails a run with others when it comes to the first retry.
    retry_backoff_seconds: int = Field(30, gt=0, le=86_400, description="seconds to wait before the first retry")
    retry_backoff_factor: int = Field(2, gt=0, le=100, description="each further wait is this many times as long")
    timeout_minutes: Minutes | None = Field(None, description="the pod is ended after this many minutes; null: never")
    cache: bool = Field(True, description="whether the outputs of an equal earlier task may be used again")

    @field_validator("image")
    @classmethod
    def _pinned(cls, image: str | None) -> str | None:
        return image if image is None else pinned(image)

    @model_validator(mode="after")
    def _fits_together(self) -> Pod:
        paths = [volume.path for volume in self.volumes]
        for path in paths:
            if paths.count(path) > 1:
                claims = ", ".join(volume.claim for volume in self.volumes if volume.path == path)
                raise ValueError(f"volumes mounts {claims} at {path}; give each volume a path of its own")
        variables = [*self.env, *(variable for secret in self.secrets for variable in secret.env)]
        for variable in variables:
            if variables.count(variable) > 1:
                raise ValueError(f"{variable} is set {variables.count(variable)} times in env and secrets; set it once")
        if self.gpus and "/" not in self.gpu_type:
            raise ValueError(
                f"gpus is {self.gpus} but gpu_type is {self.gpu_type!r}; name the cluster's resource, such as "
                "nvidia.com/gpu or amd.com/gpu, or set gpus: 0"
            )
        return self

    def mounts(self, path: str) -> bool:
        """Whether a file or folder is in one of the volumes."""
        return any(is_below(path, volume.path) for volume in self.volumes)


def _one_folder(path: str) -> str:
    if patterns := sorted(set("?*[]\\") & set(path)):
        raise ValueError(
            f"{path} has {' and '.join(patterns)} in it, by which TFX and Beam would find other folders as well; name "
            "another folder"
        )
    return path


def is_below(path: str, folder: str) -> bool:
    """Whether a path is the folder itself, or inside it."""
    return f"{path}/".startswith(f"{folder}/")


def pinned(image: str) -> str:
    """The name of an image, if it will mean the same image tomorrow.

    Raises:
      ValueError: it has no tag and no digest, or the tag `latest`.
    """
    name, _, digest = image.partition("@")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    if not image or re.search(r"\s", image):
        raise ValueError(f"the name of an image, such as registry.example.com/fraud-pipeline:0.1.0, got {image!r}")
    if not digest and (not colon or not tag or tag == "latest"):
        raise ValueError(
            f"an image needs a tag other than latest, or a digest, got {image!r}: retries and cached tasks must mean "
            f"the same code; write {name.removesuffix(':latest').rstrip(':')}:0.1.0, say"
        )
    return image


class PodChanges(Pod):
    """What the pod of one component gets instead of `kubeflow.pods`; only the keys that are set count."""

    @model_serializer(mode="wrap")
    def _set_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if name in self.model_fields_set}


class KubeflowSettings(Frozen):
    """How the pipeline runs on a cluster."""

    image: str | None = Field(
        None,
        description="image that the components run in, with a tag other than latest or with a digest; needed to "
        "compile",
    )
    pipeline_root: str | None = Field(
        None, description="where artifacts go: gs://, s3:// or minio://; null: the cluster's default"
    )
    serving_dir: str | None = Field(
        None,
        description="where models are pushed to: gs://, s3://, or a folder of a mounted volume; needed to compile",
    )
    uris: Literal["local", "remote"] = Field(
        "local",
        description="local: components work on copies of the artifacts that the launcher makes; remote: on gs:// and "
        "s3:// themselves, which Beam workers in other pods need",
    )
    endpoint: Url | None = Field(None, description="address of the Kubeflow Pipelines API; or --endpoint")
    namespace: Name | None = Field(None, description="namespace of the runs; null: the API's own")
    experiment: str = Field("fraud", min_length=1, description="experiment that the runs belong to")
    service_account: Name | None = Field(None, description="service account of the runs; null: the cluster's default")
    pods: Pod = Field(Pod(), description="what the pod of every component gets")
    components: dict[str, PodChanges] = Field(
        default_factory=dict,
        description="what differs for single components, by their names, key by key; a list replaces the list in pods",
    )

    @field_validator("image")
    @classmethod
    def _pinned(cls, image: str | None) -> str | None:
        return image if image is None else pinned(image)

    @field_validator("pipeline_root")
    @classmethod
    def _in_a_store(cls, root: str | None) -> str | None:
        if root is not None and not root.startswith(_STORES):
            raise ValueError(
                f"an object store's folder, as s3://mlpipeline/fraud, got {root!r}; it must begin with "
                f"{', '.join(_STORES[:-1])} or {_STORES[-1]}"
            )
        return root if root is None else _one_folder(root)

    @model_validator(mode="after")
    def _readable(self) -> KubeflowSettings:
        if self.uris == "remote" and self.pipeline_root and self.pipeline_root.startswith("minio://"):
            raise ValueError(
                f"uris is remote, but neither Beam nor TensorFlow reads pipeline_root {self.pipeline_root}; name the "
                "same bucket as s3://, or set uris: local"
            )
        return self

    @field_validator("serving_dir")
    @classmethod
    def _beyond_a_pod(cls, folder: str | None) -> str | None:
        if folder is not None and not folder.startswith((*_SERVED, "/")):
            raise ValueError(
                f"gs://, s3://, or a folder of a mounted volume from / on, got {folder!r}; as s3://fraud-models/serving"
            )
        return _one_folder(folder.rstrip("/")) if folder else folder

    @model_validator(mode="after")
    def _every_pod_fits_together(self) -> KubeflowSettings:
        for name in self.components:
            try:
                self.pod(name)
            except ValidationError as error:
                texts = "; ".join(fault.text for fault in faults(error, {}))
                raise ValueError(f"pods and components.{name} together: {texts}") from error
        return self

    def pod(self, component: str) -> Pod:
        """The settings of a component's pod: `pods` with the component's own changes, key by key."""
        changes = self.components.get(component)
        if changes is None:
            return self.pods
        return Pod.model_validate(_merged(self.pods.model_dump(), changes.model_dump()))


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {name for name in over if isinstance(over[name], Mapping) and isinstance(base.get(name), Mapping)}
    return {**base, **over, **{name: {**base[name], **over[name]} for name in both}}
