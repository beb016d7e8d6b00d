"""Checks a config for what a cluster could not run, before anything is compiled; cheap to import."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from components import engines
from components.reading.files import is_remote
from pipeline.config import Config
from pipeline.data.sources import AUTO
from pipeline.kubeflow.settings import KubeflowSettings
from pipeline.warm_start import LAST
from trainer.errors import InputError

# All components that there can be; a config may describe the pods even of those that it leaves out of the graph.
COMPONENTS = (
    *("ExampleGen", "StatisticsGen", "ImportSchemaGen", "SchemaGen", "ExampleValidator", "DataGate", "Transform"),
    *("Tuner", "Challengers", "Trainer", "CurrentModel", "Evaluator", "Pusher", "Report"),
)
ON_GPUS = ("Tuner", "Trainer")


def cluster_settings(config: Config) -> KubeflowSettings:
    """The config's section on the cluster, if the pipeline can run there.

    Raises:
      InputError: it can't run there; the message has each fault with what to change.
    """
    faults = list(_faults(config))
    if faults or config.kubeflow is None:
        raise InputError("this can't run on Kubeflow:\n  " + "\n  ".join(faults))
    return config.kubeflow


def _faults(config: Config) -> Iterator[str]:
    settings = config.kubeflow
    if settings is None:
        yield "the config has no section kubeflow; begin with configs/kubeflow.yaml, which has one"
        return
    if settings.image is None:
        yield "kubeflow.image is missing: the image that the components run in, as registry.example.com/fraud:0.1.0"
    if config.columns is None:
        yield (
            "columns is missing: without the data at hand the roles can't be read from a data card; name them, or let "
            "`fraud-pipeline init DATA` write a config where the data is"
        )
    if not config.workspace.is_absolute() or config.workspace == config.workspace.parent:
        yield f"workspace is {config.workspace}, but in a pod it must be a folder from / on; set workspace: /workspace"
    yield from _data_faults(config, settings)
    yield from _serving_faults(settings)
    if config.tuning.warm_start == LAST:
        yield (
            "tuning.warm_start is last, which looks into the workspace of this machine; name a best_hyperparameters "
            "file or the values themselves"
        )
    if config.tuning.enabled and config.tuning.external_workers and not settings.pod("Tuner").mounts(str(config.root)):
        yield (
            f"tuning.external_workers is on, but the Tuner's pod shares no volume with other processes at "
            f"{config.root}; add {{claim: NAME, path: {config.root}}} to kubeflow.pods.volumes"
        )
    if config.distribution.strategy == "multi_worker" and not settings.pod("Trainer").mounts(str(config.root)):
        yield (
            f"distribution.strategy is multi_worker, but the Trainer's pod shares no volume with other pods at "
            f"{config.root}; add {{claim: NAME, path: {config.root}}} to kubeflow.pods.volumes"
        )
    if config.distribution.strategy == "mirrored" and settings.pod("Trainer").gpus < 2:
        yield (
            f"distribution.strategy is mirrored, but the Trainer's pod has {settings.pod('Trainer').gpus} GPUs; set "
            "kubeflow.components.Trainer.gpus to 2 or more, or distribution.strategy: auto"
        )
    yield from _runner_faults(config, settings)
    yield from _component_faults(settings)


def _data_faults(config: Config, settings: KubeflowSettings) -> Iterator[str]:
    path = config.data.path
    if path == AUTO:
        yield (
            "data.path is auto, which looks for data on this machine; name where the cluster finds them, as "
            "s3://fraud-data/transactions/*.parquet"
        )
    elif is_remote(path):
        if not path.startswith(("gs://", "s3://")):
            yield f"data.path is {path}, which Beam can't read; name the same place as gs:// or s3://"
    elif not settings.pod("ExampleGen").mounts(path.removeprefix("file://")):
        yield (
            f"data.path is {path}, which ExampleGen's pod does not see; name gs:// or s3://, or a folder of a volume "
            "in kubeflow.pods.volumes"
        )


def _serving_faults(settings: KubeflowSettings) -> Iterator[str]:
    folder = settings.serving_dir
    if folder is None:
        yield "kubeflow.serving_dir is missing: where models are served from, as s3://fraud-models/serving"
    elif not is_remote(folder):
        for component in ("CurrentModel", "Pusher"):
            if not settings.pod(component).mounts(folder):
                yield (
                    f"kubeflow.serving_dir is {folder}, which is lost with the pod of {component}; name gs:// or "
                    "s3://, or a folder of a volume in kubeflow.pods.volumes"
                )


def _runner_faults(config: Config, settings: KubeflowSettings) -> Iterator[str]:
    if settings.uris == "local" and not engines.is_local(config.beam_args):
        yield (
            f"beam_args names the runner {engines.runner(config.beam_args)}, whose workers can't see the launcher's "
            "local copies; set kubeflow.uris: remote"
        )


def _component_faults(settings: KubeflowSettings) -> Iterator[str]:
    only = f"only {' and '.join(ON_GPUS)} use one"
    if settings.pods.gpus:
        yield (
            f"kubeflow.pods.gpus is {settings.pods.gpus}, which requests a GPU for every component; {only}, so set it "
            "under kubeflow.components"
        )
    for name, changes in settings.components.items():
        where = f"kubeflow.components.{name}"
        if name not in COMPONENTS:
            near = difflib.get_close_matches(name, COMPONENTS, 1, 0.5)
            yield (
                f"{where}: no component has that name; did you mean {near[0]}?"
                if near
                else (f"{where}: no component has that name; there are {', '.join(COMPONENTS)}")
            )
        elif changes.gpus and name not in ON_GPUS:
            yield f"{where}.gpus is {changes.gpus}, but {only}; leave it out"
    for name in ON_GPUS:
        pod = settings.pod(name)
        image = str(pod.image or settings.image)
        if pod.gpus and re.search(r":[^@/]*\bcpu\b", image):
            yield (
                f"kubeflow.components.{name}.gpus is {pod.gpus}, but by its tag {image} is an image for CPUs; name one "
                f"for GPUs under kubeflow.components.{name}.image, or set gpus: 0"
            )
