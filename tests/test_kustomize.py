"""The overlays in kubeflow/manifests, as kubectl builds them: valid, closed, and in agreement with what they serve.

Kubernetes' own kinds are checked against its schemas; of other kinds, the fields in use against tests/support/schemas,
written by hand from the real definitions.
"""

from __future__ import annotations

import copy
import functools
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = ROOT / "kubeflow" / "manifests"
CONFIG = yaml.safe_load((ROOT / "configs" / "kubeflow.yaml").read_text(encoding="utf-8"))["kubeflow"]
OVERLAYS = {"minimal": "kubeflow", "cpu": "fraud", "gpu": "fraud", "platform": "fraud"}  # and their namespaces
SERVING = ("cpu", "gpu", "platform")

# What the overlays rely on and do not bring: secrets, made by hand, and what Kubeflow Pipelines has in every namespace.
GIVEN = {
    ("Secret", "fraud-s3"),
    ("Secret", "fraud-serving-s3"),
    ("Secret", "mlpipeline-minio-artifact"),
    ("ConfigMap", "kfp-launcher"),
}

# What TensorFlow Serving exports, and with which labels (tensorflow_serving/servables/tensorflow/util.cc and
# util/prometheus_exporter.cc); before that, the labels that Prometheus and the PodMonitor put to all.
SCRAPED = {"namespace", "pod", "job", "revision"}
EXPORTED = {
    ":tensorflow:serving:request_count": {"model_name", "status"},
    ":tensorflow:serving:request_latency_bucket": {"model_name", "API", "entrypoint", "le"},
    ":tensorflow:serving:request_latency_count": {"model_name", "API", "entrypoint"},
    ":tensorflow:serving:runtime_latency_bucket": {"model_name", "API", "runtime", "le"},
    "up": set(),
}

Document = dict[str, Any]


def kustomize(folder: Path) -> list[Document]:
    kubectl = shutil.which("kubectl")
    if not kubectl:
        pytest.skip("no kubectl here: make kubectl")
    built = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True)
    if "unknown field" in built.stderr and "components" in built.stderr:
        pytest.skip(f"{kubectl} is older than kustomize's components: install 1.22 or newer")
    assert built.returncode == 0, built.stderr
    return list(yaml.safe_load_all(built.stdout))


@functools.cache
def _overlay(name: str) -> str:
    return json.dumps(kustomize(MANIFESTS / "overlays" / name))


def overlay(name: str) -> list[Document]:
    """Anew for each test, which may change it."""
    return json.loads(_overlay(name))


def only(documents: list[Document], kind: str, name: str | None = None) -> Document:
    (match,) = [
        document for document in documents if document["kind"] == kind and name in (None, document["metadata"]["name"])
    ]
    return match


def strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of every text below."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield from strings(below, name)
    elif isinstance(value, list):
        for below in value:
            yield from strings(below, key)
    elif isinstance(value, str):
        yield key, value


def check(document: Document) -> None:
    """Raises where a field is unknown or has a wrong value."""
    schema = ROOT / "tests" / "support" / "schemas" / f"{document['kind']}.yaml"
    if schema.exists():
        jsonschema.validate(document, yaml.safe_load(schema.read_text(encoding="utf-8")))
    else:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


Refused = (jsonschema.ValidationError, kubernetes_validate.ValidationError)


def test_every_overlay_is_tested() -> None:
    assert {path.name for path in (MANIFESTS / "overlays").iterdir()} == set(OVERLAYS)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_is_valid(name: str) -> None:
    documents = overlay(name)
    assert len(documents) >= 6
    for document in documents:
        check(document)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == OVERLAYS[name]


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_wrong_field_is_noticed_in_every_object(name: str) -> None:
    for document in overlay(name):
        for place in (document, document["metadata"], document.get("spec", document)):
            place["surprise"] = "!"
            with pytest.raises(Refused, match="surprise"):
                check(document)
            del place["surprise"]
        check(document)


def test_a_wrong_value_is_noticed_in_other_kinds() -> None:
    documents = overlay("platform")
    service = only(documents, "InferenceService")
    wrong: list[tuple[Document, Callable[[Document], Any]]] = [
        (service, lambda it: it["spec"]["predictor"].update(canaryTrafficPercent=101)),
        (service, lambda it: it["spec"]["predictor"].update(scaleMetric="qps")),
        (service, lambda it: it["spec"]["predictor"]["model"].update(storageURI="s3://fraud-models/serving")),
        (service, lambda it: it["spec"]["predictor"]["model"]["securityContext"].update(fsGroup=1)),
        (only(documents, "Tensorboard"), lambda it: it["spec"].pop("logspath")),
        (only(documents, "PodMonitor"), lambda it: it["spec"]["podMetricsEndpoints"][0].update(portNumber="8080")),
        (only(documents, "PrometheusRule"), lambda it: it["spec"]["groups"][0]["rules"][0].pop("expr")),
    ]
    for document, spoil in wrong:
        check(document)
        spoilt = copy.deepcopy(document)
        spoil(spoilt)
        with pytest.raises(Refused):
            check(spoilt)


# ---- pod security -------------------------------------------------------------------------------------------

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """What becomes pods, as pod specifications."""
    for document in documents:
        spec = document.get("spec") or {}
        name = f"{document['kind']} {document['metadata']['name']}"
        if "template" in spec and "spec" in spec["template"]:
            yield name, spec["template"]["spec"]
        if document["kind"] == "InferenceService":
            predictor = spec["predictor"]
            yield name, {**predictor, "containers": [{"name": "kserve-container", **predictor["model"]}]}


def breaches(pod: Document) -> list[str]:
    """Of the restricted pod security standard (https://kubernetes.io/docs/concepts/security/pod-security-standards/)."""
    unsafe = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    for volume in pod.get("volumes", []):
        unsafe += [f"volume {kind}" for kind in volume.keys() - {"name"} - _VOLUMES]
    shared = pod.get("securityContext", {})
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        own = container.get("securityContext", {})
        both = {**shared, **own}
        if own.get("privileged"):
            unsafe.append("privileged")
        if own.get("allowPrivilegeEscalation") is not False:
            unsafe.append("allowPrivilegeEscalation")
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            unsafe.append("capabilities")
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            unsafe.append("runAsNonRoot")
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            unsafe.append("seccompProfile")
        unsafe += ["hostPort" for port in container.get("ports", []) if port.get("hostPort")]
    return unsafe


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_is_restricted_and_writes_to_volumes_alone(name: str) -> None:
    by_name = dict(pods(overlay(name)))
    assert by_name
    for pod in by_name.values():
        assert breaches(pod) == []
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("search/*.yaml")), ids=lambda path: path.name)
def test_so_is_every_pod_that_is_applied_by_itself(path: Path) -> None:
    assert [breaches(pod) for _, pod in pods(list(yaml.safe_load_all(path.read_text())))] == [[]]


@pytest.mark.parametrize(
    ("breach", "spoil"),
    [
        ("hostNetwork", lambda pod: pod.update(hostNetwork=True)),
        ("volume hostPath", lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}})),
        ("privileged", lambda pod: pod["containers"][0]["securityContext"].update(privileged=True)),
        (
            "allowPrivilegeEscalation",
            lambda pod: pod["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
        ),
        ("capabilities", lambda pod: pod["containers"][0]["securityContext"].update(capabilities={"drop": ["CHOWN"]})),
        ("capabilities", lambda pod: pod["containers"][0]["securityContext"]["capabilities"].update(add=["SYS_ADMIN"])),
        ("runAsNonRoot", lambda pod: pod["securityContext"].update(runAsUser=0)),
        ("runAsNonRoot", lambda pod: pod["securityContext"].pop("runAsNonRoot")),
        ("seccompProfile", lambda pod: pod["securityContext"].pop("seccompProfile")),
        ("hostPort", lambda pod: pod["containers"][0]["ports"][0].update(hostPort=6006)),
    ],
)
def test_a_pod_that_is_not_would_be_noticed(breach: str, spoil: Callable[[Document], Any]) -> None:
    pod = dict(pods(overlay("cpu")))["Deployment fraud-tensorboard"]
    spoil(pod)
    assert breaches(pod) == [breach]


@pytest.mark.parametrize(("name", "enforced"), [("cpu", "restricted"), ("gpu", "restricted"), ("platform", "baseline")])
def test_the_namespace_turns_other_pods_away(name: str, enforced: str) -> None:
    labels = only(overlay(name), "Namespace")["metadata"]["labels"]
    modes = [labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "warn", "audit")]
    assert modes == [enforced, "restricted", "restricted"]


# ---- rights, secrets, network -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_run_may_do_what_kubeflow_pipelines_needs_and_no_more(name: str) -> None:
    documents = overlay(name)
    granted = [
        (resource, *sorted(rule["verbs"]), *rule.get("resourceNames", []))
        for rule in only(documents, "Role")["rules"]
        for resource in rule["resources"]
    ]
    assert granted == [
        ("workflowtaskresults", "create", "patch"),
        ("pods", "get"),
        ("configmaps", "get", "kfp-launcher"),
        ("secrets", "get", "fraud-s3", "mlpipeline-minio-artifact"),
    ]
    assert only(documents, "RoleBinding")["subjects"] == [
        {"kind": "ServiceAccount", "name": "fraud-pipeline", "namespace": OVERLAYS[name]}
    ]
    assert not [document for document in documents if document["kind"].startswith("Cluster")]


def referred(documents: list[Document]) -> Iterator[tuple[str, str]]:
    """(kind, name) of what objects and pods need to be there."""
    for document in documents:
        if document["kind"] == "ServiceAccount":
            yield from (("Secret", secret["name"]) for secret in document.get("secrets", []))
        if document["kind"] == "RoleBinding":
            yield "Role", document["roleRef"]["name"]
            yield from ((subject["kind"], subject["name"]) for subject in document["subjects"])
        if document["kind"] == "Role":
            kinds = {"secrets": "Secret", "configmaps": "ConfigMap"}
            for rule in document["rules"]:
                for resource in rule["resources"]:
                    yield from ((kinds[resource], name) for name in rule.get("resourceNames", []))
        if document["kind"] == "Tensorboard":
            yield "PersistentVolumeClaim", re.match("pvc://([^/]+)/", document["spec"]["logspath"]).group(1)  # type: ignore[union-attr]
        if document["metadata"]["name"] == "kfp-launcher":
            for key, text in strings(yaml.safe_load(document["data"]["providers"])):
                if key == "secretName":
                    yield "Secret", text
    for _, pod in pods(documents):
        if "serviceAccountName" in pod:
            yield "ServiceAccount", pod["serviceAccountName"]
        for volume in pod.get("volumes", []):
            if "persistentVolumeClaim" in volume:
                yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
            if "configMap" in volume:
                yield "ConfigMap", volume["configMap"]["name"]
            if "secret" in volume:
                yield "Secret", volume["secret"]["secretName"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_an_object_refers_to_exists_or_is_made_by_hand(name: str) -> None:
    documents = overlay(name)
    there = {(document["kind"], document["metadata"]["name"]) for document in documents}
    names = set(referred(documents))
    assert ("PersistentVolumeClaim", "fraud-workspace") in names & there
    assert names - there <= GIVEN
    assert all(kind != "Secret" for kind, _ in there), "secrets have no place in the repository"


def test_a_comment_beside_their_use_shows_how_the_secrets_are_made() -> None:
    text = "\n".join(path.read_text() for path in MANIFESTS.rglob("kustomization.yaml"))
    assert set(re.findall(r"create secret generic (\S+)", text)) == {"fraud-s3", "fraud-serving-s3"}


@pytest.mark.parametrize("name", SERVING)
def test_nothing_goes_in_or_out_that_no_policy_names(name: str) -> None:
    policies = [document for document in overlay(name) if document["kind"] == "NetworkPolicy"]
    closed = only(policies, "NetworkPolicy", "default-deny")["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies:
        spec = policy["spec"]
        assert set(spec["policyTypes"]) >= {key.title() for key in ("ingress", "egress") if key in spec}
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            assert rule["ports"], policy["metadata"]["name"]
        for rule in spec.get("ingress", []):
            assert rule["from"], policy["metadata"]["name"]
    wide = {
        (policy["metadata"]["name"], port["port"])
        for policy in policies
        for rule in policy["spec"].get("egress", [])
        if "to" not in rule
        for port in rule["ports"]
    }
    assert wide == {("pipeline", 443), ("pipeline", 6443), ("serving", 443)}


def test_the_search_s_pods_reach_their_chief() -> None:
    service, job = yaml.safe_load_all((MANIFESTS / "search/search.yaml").read_text())
    policy = only(overlay("gpu"), "NetworkPolicy", "search")["spec"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    selector = policy["podSelector"]["matchLabels"]
    assert selector.items() <= labels.items()
    ports = [port["port"] for port in service["spec"]["ports"]]
    assert [[port["port"] for port in rule["ports"]] for rule in (*policy["ingress"], *policy["egress"])] == [ports] * 2


@pytest.mark.parametrize(("name", "gpus"), [("cpu", "0"), ("gpu", "8"), ("platform", "8")])
def test_the_quota_says_how_many_gpus_there_are(name: str, gpus: str) -> None:
    quota = only(overlay(name), "ResourceQuota")["spec"]["hard"]
    assert quota["requests.nvidia.com/gpu"] == gpus
    # A quota of these turns pods away that ask for none, unless the namespace has defaults.
    (limits,) = only(overlay(name), "LimitRange")["spec"]["limits"]
    assert {f"requests.{key}" for key in limits["defaultRequest"]} <= quota.keys()


@pytest.mark.parametrize("name", ["minimal", "cpu"])
def test_nothing_asks_for_a_gpu_where_there_is_none(name: str) -> None:
    limits = [resource for _, pod in pods(overlay(name)) for container in pod["containers"] for resource in
             container["resources"].get("limits", {})]  # fmt: skip
    assert limits
    assert not [resource for resource in limits if "/" in resource]


# ---- in agreement with the rest -----------------------------------------------------------------------------


def test_names_are_those_of_the_pipeline_s_configuration() -> None:
    documents = overlay("cpu")
    there = {(document["kind"], document["metadata"]["name"]) for document in documents}
    pod = CONFIG["pods"]
    assert only(documents, "Namespace")["metadata"]["name"] == CONFIG["namespace"]
    assert ("ServiceAccount", CONFIG["service_account"]) in there
    assert {("PersistentVolumeClaim", volume["claim"]) for volume in pod["volumes"]} <= there
    assert {("Secret", secret["secret"]) for secret in pod["secrets"]} <= GIVEN
    tensorboard = dict(pods(documents))["Deployment fraud-tensorboard"]
    assert tensorboard["containers"][0]["image"] == CONFIG["image"]
    assert only(documents, "InferenceService")["spec"]["predictor"]["model"]["storageUri"] == CONFIG["serving_dir"]


def test_launcher_and_components_use_one_object_store() -> None:
    data = only(overlay("cpu"), "ConfigMap", "kfp-launcher")["data"]
    assert data["defaultPipelineRoot"] == CONFIG["pipeline_root"]
    (provider,) = yaml.safe_load(data["providers"]).items()
    (secret,) = CONFIG["pods"]["secrets"]
    # All of S3ProviderDefault, kubeflow/pipelines backend/src/v2/config/s3.go: other keys are ignored there.
    assert provider == (
        "s3",
        {
            "default": {
                "endpoint": CONFIG["pods"]["env"]["AWS_ENDPOINT_URL_S3"],
                "region": CONFIG["pods"]["env"]["AWS_REGION"],
                "forcePathStyle": True,
                "disableSSL": True,
                "credentials": {
                    "fromEnv": False,
                    "secretRef": {
                        "secretName": secret["secret"],
                        "accessKeyKey": secret["env"]["AWS_ACCESS_KEY_ID"],
                        "secretKeyKey": secret["env"]["AWS_SECRET_ACCESS_KEY"],
                    },
                },
            }
        },
    )


def served() -> tuple[Document, Document]:
    """The predictor and its configuration files."""
    documents = overlay("cpu")
    predictor = only(documents, "InferenceService")["spec"]["predictor"]
    (volume,) = predictor["volumes"]
    return predictor, only(documents, "ConfigMap", volume["configMap"]["name"])["data"]


def test_tensorflow_serving_finds_its_configuration_and_the_model() -> None:
    predictor, files = served()
    model = predictor["model"]
    (mount,) = model["volumeMounts"]
    flags = dict(argument.split("=") for argument in model["args"])
    assert flags == {
        "--model_config_file": f"{mount['mountPath']}/models.config",
        "--monitoring_config_file": f"{mount['mountPath']}/monitoring.config",
    }
    (config,) = text_format.Parse(
        files["models.config"], model_server_config_pb2.ModelServerConfig()
    ).model_config_list.config
    assert (config.base_path, config.model_platform) == (
        "/mnt/models",
        "tensorflow",
    )  # where KServe's downloader puts it
    # KServe's address of a model has the service's name.
    assert config.name == only(overlay("cpu"), "InferenceService")["metadata"]["name"]
    assert model["readinessProbe"]["httpGet"]["path"] == f"/v1/models/{config.name}"
    pinned = re.search(r"#\s+(model_version_policy .*)", files["models.config"])
    assert pinned
    policy = text_format.Parse(pinned.group(1), model_server_config_pb2.ModelConfig()).model_version_policy
    assert policy.specific.versions


def test_a_changed_configuration_of_serving_is_a_new_revision(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    config = tmp_path / "manifests/components/serving/models.config"
    config.write_text(config.read_text().replace("latest { num_versions: 1 }", "specific { versions: 7 }"))
    documents = kustomize(tmp_path / "manifests/overlays/cpu")
    (volume,) = only(documents, "InferenceService")["spec"]["predictor"]["volumes"]
    (before,) = only(overlay("cpu"), "InferenceService")["spec"]["predictor"]["volumes"]
    assert volume["configMap"]["name"] != before["configMap"]["name"]
    assert "versions: 7" in only(documents, "ConfigMap", volume["configMap"]["name"])["data"]["models.config"]


def test_prometheus_scrapes_where_tensorflow_serving_exports() -> None:
    documents = overlay("cpu")
    predictor, files = served()
    (endpoint,) = only(documents, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert [endpoint["portNumber"]] == [port["containerPort"] for port in predictor["model"]["ports"]]
    assert re.search(r'path: "(.+?)"', files["monitoring.config"]).group(1) == endpoint["path"]  # type: ignore[union-attr]
    assert re.search(r"prometheus_config { enable: true ", files["monitoring.config"])
    let_in = only(documents, "NetworkPolicy", "monitoring")["spec"]
    assert let_in["podSelector"] == only(documents, "PodMonitor")["spec"]["selector"]
    assert let_in["ingress"][0]["ports"] == [{"protocol": "TCP", "port": endpoint["portNumber"]}]
    assert {relabeling["targetLabel"] for relabeling in endpoint["relabelings"]} <= SCRAPED


def expressions() -> list[str]:
    documents = overlay("cpu")
    rules = [rule for group in only(documents, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    board = json.loads(only(documents, "ConfigMap", "fraud-dashboard")["data"]["fraud.json"])
    return [rule["expr"] for rule in rules] + [
        target["expr"] for panel in board["panels"] for target in panel["targets"]
    ]


def test_alerts_and_dashboard_use_what_is_exported() -> None:
    documents = overlay("cpu")
    monitor = only(documents, "PodMonitor")["metadata"]
    queries = expressions()
    assert len(queries) > 10
    used = set()
    for expression in queries:
        for metric, matchers in re.findall(r"([a-zA-Z_:][\w:]*){(.*?)}", expression):
            used.add(metric)
            matched = dict(re.findall(r'(\w+)!?=~?"(.*?)"', matchers))
            assert matched.keys() <= EXPORTED[metric] | SCRAPED, expression
            assert matched["namespace"] == monitor["namespace"]
            assert matched.get("model_name", "fraud") == only(documents, "InferenceService")["metadata"]["name"]
            assert matched.get("job", "fraud/fraud") == f"{monitor['namespace']}/{monitor['name']}"
        for grouping in re.findall(r"by \((.*?)\)", expression):
            labels = {label.strip() for label in grouping.split(",")}
            assert any(labels <= EXPORTED[metric] | SCRAPED for metric in used), expression
        assert expression.count("(") == expression.count(")")
        assert set(re.findall(r":tensorflow:[\w:]+", expression)) <= EXPORTED.keys()
    assert used == EXPORTED.keys()


def test_every_alert_says_what_happened_and_how_bad_it_is() -> None:
    (group,) = only(overlay("cpu"), "PrometheusRule")["spec"]["groups"]
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"]) == 4
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description"} == rule["annotations"].keys()


def test_the_dashboard_is_found_and_its_panels_do_not_overlap() -> None:
    document = only(overlay("cpu"), "ConfigMap", "fraud-dashboard")
    assert document["metadata"]["labels"]["grafana_dashboard"] == "1"
    board = json.loads(document["data"]["fraud.json"])
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
