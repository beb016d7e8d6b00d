"""Checks, before anything is compiled, of what a cluster could not run, with what to change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.config import load
from pipeline.kubeflow.checks import cluster_settings
from trainer.errors import InputError

EXAMPLE = Path(__file__).resolve().parents[1] / "configs" / "kubeflow.yaml"


def refused(*overrides: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        cluster_settings(load(EXAMPLE, overrides))
    first, *faults = str(caught.value).split("\n  ")
    assert first == "this can't run on Kubeflow:"
    return faults


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["kubeflow=null"], "the config has no section kubeflow; begin with configs/kubeflow.yaml, which has one"),
        (["kubeflow.image=null"], "kubeflow.image is missing: the image that the components run in, as registry."),
        (
            ["columns=null"],
            "columns is missing: without the data at hand the roles can't be read from a data card; name",
        ),
        (
            ["workspace=workspace"],
            "workspace is workspace, but in a pod it must be a folder from / on; set workspace: /",
        ),
        (["workspace=/"], "workspace is /, but in a pod it must be a folder from / on; set workspace: /workspace"),
        (["data.path=auto"], "data.path is auto, which looks for data on this machine; name where the cluster finds "),
        (
            ["data.path=data.csv"],
            "data.path is data.csv, which ExampleGen's pod does not see; name gs:// or s3://, or a",
        ),
        (["data.path=/home/me/data.csv"], "data.path is /home/me/data.csv, which ExampleGen's pod does not see"),
        (["data.path=minio://a/b.csv"], "data.path is minio://a/b.csv, which Beam can't read; name the same place as "),
        (["kubeflow.serving_dir=null"], "kubeflow.serving_dir is missing: where models are served from, as s3://"),
        (["tuning.warm_start=last"], "tuning.warm_start is last, which looks into the workspace of this machine; name"),
        (
            ["tuning.external_workers=true", "kubeflow.components.Tuner.volumes=[]"],
            "tuning.external_workers is on, but the Tuner's pod shares no volume with other processes at /workspace; "
            "add {claim: NAME, path: /workspace} to kubeflow.pods.volumes",
        ),
        (
            ["distribution.strategy=multi_worker", "kubeflow.components.Trainer.volumes=[]"],
            "distribution.strategy is multi_worker, but the Trainer's pod shares no volume with other pods at "
            "/workspace; add {claim: NAME, path: /workspace} to kubeflow.pods.volumes",
        ),
        (
            ["distribution.strategy=mirrored"],
            "distribution.strategy is mirrored, but the Trainer's pod has 1 GPUs; set "
            "kubeflow.components.Trainer.gpus to 2 or more, or distribution.strategy: auto",
        ),
        (
            ["beam_args=['--runner=DataflowRunner']"],
            "beam_args names the runner DataflowRunner, whose workers can't see the launcher's local copies; set "
            "kubeflow.uris: remote",
        ),
        (
            ["kubeflow.pods.gpus=1", "kubeflow.image=fraud:1"],
            "kubeflow.pods.gpus is 1, which requests a GPU for every component; only Tuner and Trainer use "
            "one, so set it under kubeflow.components",
        ),
        (
            ["kubeflow.components.Evaluator={gpus: 1}"],
            "kubeflow.components.Evaluator.gpus is 1, but only Tuner and Trainer use one; leave it out",
        ),
        (
            ["kubeflow.components.Tuner.image=registry.example.com:5000/fraud:0.1.0-cpu"],
            "kubeflow.components.Tuner.gpus is 1, but by its tag registry.example.com:5000/fraud:0.1.0-cpu is an image "
            "for CPUs; name one for GPUs under kubeflow.components.Tuner.image, or set gpus: 0",
        ),
        (
            ["kubeflow.components.Trianer={cpu: 1}"],
            "kubeflow.components.Trianer: no component has that name; did you mean Trainer?",
        ),
        (
            ["kubeflow.components.xyz={cpu: 1}"],
            "kubeflow.components.xyz: no component has that name; there are ExampleG",
        ),
    ],
)
def test_what_a_cluster_could_not_run_is_refused_in_one_sentence(overrides: list[str], sentence: str) -> None:
    (fault,) = refused(*overrides)
    assert fault.startswith(sentence)


def test_a_folder_that_is_lost_with_the_pod_is_no_place_to_push_to() -> None:
    faults = refused("kubeflow.serving_dir=/serving")
    assert faults == [
        f"kubeflow.serving_dir is /serving, which is lost with the pod of {component}; name gs:// or s3://, or a "
        "folder of a volume in kubeflow.pods.volumes"
        for component in ("CurrentModel", "Pusher")
    ]
    (fault,) = refused("kubeflow.serving_dir=/workspace/serving", "kubeflow.components.Pusher={volumes: []}")
    assert "lost with the pod of Pusher" in fault


def test_all_faults_come_at_once() -> None:
    faults = refused("data.path=auto", "kubeflow.image=null", "workspace=w", "kubeflow.components.Tunr={}")
    assert len(faults) == 4


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["kubeflow.components.Tuner.image=fraud:0.1.0", "kubeflow.components.Trainer.image=cpu/fraud:0.1.0"],
        [f"kubeflow.components.Tuner.image=fraud@sha256:{'c' * 64}"],
        ["kubeflow.components.SchemaGen={cpu: 1}"],
        ["data.path=gs://fraud-data/*.parquet"],
        ["data.path=file:///workspace/data", "kubeflow.serving_dir=/workspace/serving"],
        ["tuning.external_workers=true", "distribution.strategy=multi_worker"],
        ["tuning={enabled: false, external_workers: true}", "kubeflow.pods.volumes=[]"],
        ["kubeflow.uris=remote", "beam_args=['--runner=DataflowRunner']"],
        ["beam_args=['--runner=DirectRunner']"],
    ],
)
def test_what_a_cluster_can_run_is_not_refused(overrides: list[str]) -> None:
    config = load(EXAMPLE, overrides)
    assert cluster_settings(config) is config.kubeflow


def test_a_fault_is_found_without_importing_what_compiling_takes() -> None:
    code = (
        "import sys, pipeline.kubeflow.checks\n"
        "print({'tfx', 'tensorflow', 'apache_beam', 'kfp'} & {name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=EXAMPLE.parents[1], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
