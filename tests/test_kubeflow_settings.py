"""Settings for a cluster: defaults, those of a component, and values that no cluster would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Config, load
from pipeline.kubeflow.settings import KubeflowSettings, Pod, is_below, pinned
from trainer.errors import InputError
from trainer.sampling import SamplingRates

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def settings(**values: Any) -> KubeflowSettings:
    return KubeflowSettings.model_validate(values)


def test_a_component_has_what_all_have_but_for_its_own() -> None:
    cluster = settings(
        pods={
            "cpu": 2,
            "env": {"A": "1", "B": "2"},
            "node_selector": {"disk": "ssd"},
            "volumes": [{"claim": "one", "path": "/one/"}],
            "tolerations": [{"key": "spot", "operator": "Exists"}],
            "retries": 2,
        },
        components={"Tuner": {"gpus": 1, "env": {"B": "3"}, "volumes": [{"claim": "two", "path": "/two"}]}},
    )
    tuner = cluster.pod("Tuner")
    assert (tuner.cpu, tuner.memory, tuner.gpus, tuner.gpu_type, tuner.retries) == ("2", "4Gi", 1, "nvidia.com/gpu", 2)
    assert tuner.env == {"A": "1", "B": "3"}
    assert tuner.node_selector == {"disk": "ssd"}
    assert [(volume.claim, volume.path) for volume in tuner.volumes] == [("two", "/two")]
    assert tuner.tolerations == cluster.pods.tolerations
    assert cluster.pod("Trainer") is cluster.pods
    assert cluster.pods.volumes[0].path == "/one"


def test_what_a_component_leaves_to_all_survives_a_copy_of_the_config() -> None:
    config = load(CONFIGS / "kubeflow.yaml", ["kubeflow.pods.memory=6Gi", "kubeflow.components.Trainer={gpus: 2}"])
    copy = config.completed(SamplingRates(), None)
    assert copy.kubeflow is not None
    assert copy.kubeflow == config.kubeflow
    assert (copy.kubeflow.pod("Trainer").memory, copy.kubeflow.pod("Trainer").gpus) == ("6Gi", 2)
    shown = config.model_dump(mode="json", by_alias=True)["kubeflow"]["components"]
    assert shown["ExampleGen"] == {"cpu": "2"}


def test_a_local_config_says_nothing_of_a_cluster() -> None:
    assert load(CONFIGS / "local.yaml").kubeflow is None


@pytest.mark.parametrize("cpu", ["1", "0.5", "500m", 2, 0.25])
def test_quantities_of_cpus(cpu: Any) -> None:
    assert Pod(cpu=cpu).cpu == str(cpu)


@given(number=st.integers(1, 999), unit=st.sampled_from(["Ki", "Mi", "Gi", "Ti", "k", "M", "G", ""]))
def test_quantities_of_memory(number: int, unit: str) -> None:
    assert Pod(memory=f"{number}{unit}").memory == f"{number}{unit}"


@pytest.mark.parametrize(
    "image",
    [
        "fraud:1",
        "localhost:5000/fraud-pipeline:0.1.0-gpu",
        "registry.example.com/fraud@sha256:" + "0" * 64,
        "registry.example.com/fraud:latest@sha256:" + "0" * 64,
    ],
)
def test_images_that_mean_the_same_tomorrow(image: str) -> None:
    assert pinned(image) == image


@pytest.mark.parametrize(
    ("path", "folder", "is_there"),
    [
        ("/workspace", "/workspace", True),
        ("/workspace/searches", "/workspace", True),
        ("/workspaces", "/workspace", False),
        ("/", "/workspace", False),
    ],
)
def test_what_lies_in_a_folder(path: str, folder: str, is_there: bool) -> None:
    assert is_below(path, folder) == is_there
    assert Pod.model_validate({"volumes": [{"claim": "a", "path": folder}]}).mounts(path) == is_there


VOLUME = {"claim": "a", "path": "/data"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"pods": {"memory": "4 GB"}},
            "kubeflow.pods.memory: a Kubernetes quantity above 0, such as 512Mi or 4Gi, without a ",
        ),
        ({"pods": {"memory": "4GB"}}, "got '4GB'"),
        ({"pods": {"memory": "0Gi"}}, "kubeflow.pods.memory: a Kubernetes quantity above 0, such as 512Mi"),
        ({"pods": {"cpu": "two"}}, "kubeflow.pods.cpu: a Kubernetes quantity above 0, such as 500m or 2, got 'two'"),
        ({"components": {"Tuner": {"cpu": "1.5m"}}}, "kubeflow.components.Tuner.cpu: a Kubernetes quantity"),
        ({"image": "fraud"}, "kubeflow.image: an image needs a tag other than latest, or a digest, got 'fraud'"),
        ({"image": "localhost:5000/fraud:latest"}, "write localhost:5000/fraud:0.1.0, say"),
        ({"image": ""}, "kubeflow.image: the name of an image, such as registry.example.com/fraud-pipeline:0.1.0, got"),
        ({"components": {"Tuner": {"image": "fraud"}}}, "kubeflow.components.Tuner.image: an image needs a tag"),
        ({"components": {"Tuner": {"gpu": 1}}}, "kubeflow.components.Tuner.gpu: unknown key; did you mean gpus?"),
        ({"pods": {"gpus": -1}}, "kubeflow.pods.gpus: expected at least 0, got -1"),
        ({"components": {"Tuner": {"gpus": 1, "gpu_type": ""}}}, "gpus is 1 but gpu_type is ''; name the cluster's"),
        (
            {"pods": {"gpu_type": "gpu"}, "components": {"Tuner": {"gpus": 1}}},
            "kubeflow: pods and components.Tuner together: gpus is 1 but gpu_type is 'gpu'; name the cluster's "
            "resource, such as nvidia.com/gpu or amd.com/gpu, or set gpus: 0",
        ),
        (
            {"pods": {"volumes": [VOLUME, {"claim": "b", "path": "/data/"}]}},
            "kubeflow.pods: volumes mounts a, b at /data; give each volume a path of its own",
        ),
        ({"pods": {"volumes": [{**VOLUME, "path": "data"}]}}, "a folder in the pod from / on, such as /workspace, got"),
        ({"pods": {"volumes": [{**VOLUME, "path": "/a/../b"}]}}, "got '/a/../b'"),
        ({"pods": {"volumes": [{**VOLUME, "path": "/"}]}}, "got '/'"),
        (
            {"pods": {"volumes": [{**VOLUME, "claim": "My Claim"}]}},
            "kubeflow.pods.volumes.0.claim: a name of at most 63 lower-case letters",
        ),
        (
            {"pods": {"volumes": [{**VOLUME, "claim": "a.b"}]}},
            "kubeflow.pods.volumes.0.claim: a name of at most 63 lower-case letters",
        ),
        ({"pods": {"volumes": [{**VOLUME, "read_only": True}]}}, "kubeflow.pods.volumes.0.read_only: unknown key"),
        (
            {"pods": {"env": {"A": "1"}}, "components": {"Tuner": {"secrets": [{"secret": "s", "env": {"A": "key"}}]}}},
            "kubeflow: pods and components.Tuner together: A is set 2 times in env and secrets; set it once",
        ),
        (
            {"pods": {"env": {"A-B": "1"}}},
            "kubeflow.pods.env.A-B: a variable's name of letters, digits and _, got 'A-B'",
        ),
        (
            {"pods": {"secrets": [{"secret": "s", "env": {}}]}},
            "kubeflow.pods.secrets.0.env: expected 1 or more entries, got {}",
        ),
        (
            {"pods": {"tolerations": [{"key": "a", "effect": "No"}]}},
            "expected 'NoSchedule', 'PreferNoSchedule' ",
        ),
        ({"pods": {"tolerations": [{"operator": "Equal"}]}}, "a toleration without a key tolerates every taint and "),
        (
            {"pods": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}},
            "operator Exists takes no value, got 'b'; leave it out, or set operator: Equal",
        ),
        ({"pods": {"retries": -1}}, "kubeflow.pods.retries: expected at least 0, got -1"),
        (
            {"pods": {"retry_backoff_factor": 1.5}},
            "kubeflow.pods.retry_backoff_factor: expected a whole number",
        ),
        ({"pods": {"timeout_minutes": 0}}, "kubeflow.pods.timeout_minutes: expected more than 0, got 0"),
        ({"pipeline_root": "/artifacts"}, "an object store's folder, as s3://mlpipeline/fraud, got '/artifacts'; it "),
        ({"pipeline_root": "s3n://a"}, "it must begin with gs://, s3:// or minio://"),
        (
            {"serving_dir": "models"},
            "kubeflow.serving_dir: gs://, s3://, or a folder of a mounted volume from / on, got",
        ),
        ({"serving_dir": "minio://models"}, "kubeflow.serving_dir: gs://, s3://, or a folder"),
        (
            {"uris": "remote", "pipeline_root": "minio://mlpipeline/fraud"},
            "neither Beam nor TensorFlow reads pipeline_root minio://mlpipeline/fraud; name the same bucket as s3://",
        ),
        ({"uris": "both"}, "kubeflow.uris: expected 'local' or 'remote', got 'both'"),
        (
            {"endpoint": "localhost:8888"},
            "kubeflow.endpoint: a URL such as http://localhost:8888, got 'localhost:8888'",
        ),
        ({"namespace": "My namespace"}, "kubeflow.namespace: a name of lower-case letters, digits and -"),
        ({"experiment": ""}, "kubeflow.experiment: expected a text of 1 or more characters"),
        ({"zzz": 3}, "kubeflow.zzz: unknown key; known are components, endpoint, experiment, image"),
    ],
)
def test_values_that_no_cluster_would_take_are_refused(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"kubeflow": values}))
    with pytest.raises(InputError) as caught:
        load(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path} has 1 fault:\n")


def test_the_example_describes_every_key() -> None:
    """A key that is not in the example would have no explanation."""
    section = yaml.safe_load((CONFIGS / "kubeflow.yaml").read_text())["kubeflow"]
    assert set(KubeflowSettings.model_fields) == set(section)
    of_all, of_one = set(section["pods"]), set(section["components"]["Tuner"])
    assert set(Pod.model_fields) == of_all | of_one
    assert Config.model_validate({"kubeflow": section}).kubeflow is not None
