"""Rules on containers and on the Kubernetes platform document.

Each rule cites its source in kubeflow/pipelines 2.17 (backend/src), in Argo Workflows 4.0.8 or in Kubernetes 1.36
(pkg/apis/core/validation/validation.go, which makes its API refuse a pod).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal

from pipeline.kubeflow.lint.graph import INPUT_PARAMETER, PLACEHOLDER
from pipeline.kubeflow.lint.spec import Body, Container, Spec, check, get

Faults = Iterator[tuple[str, str]]

QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

_SUFFIXES = {"": 0, "n": -3, "u": -2, "m": -1, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}

# v2/compiler/argocompiler/container.go mounts these in every pod; Argo its own.
MOUNTS = frozenset(
    ("/kfp-launcher", "/gcs", "/s3", "/minio", "/.local", "/.cache", "/.config", "/kfp-workspace", "/var/run/argo")
)
ENVIRONMENT = frozenset(("KFP_POD_NAME", "KFP_POD_UID", "KFP_RETRY_INDEX"))
DUMMY_IMAGES = frozenset(("argostub/createpvc", "argostub/deletepvc"))


@check
def image(spec: Spec) -> Faults:
    """v2/driver/driver.go initPodSpecPatch puts an empty one into no pod, and what stays is
    gcr.io/ml-pipeline/should-be-overridden-during-runtime."""
    for container in spec.containers:
        name = container.body.get("image", "")
        if _parameter_of(name) is not None:
            yield from _text_parameter_faults(f"{container.where}.image", container, name)
        elif not name.strip():
            yield f"{container.where}.image", "name the image that the component runs in"


@check
def command(spec: Spec) -> Faults:
    """component/launcher_v2.go NewLauncherV2: "command and arguments are empty"; it starts the first of both, whatever
    the image's entry point is; and compileCmdAndArgs replaces no artifact's placeholder in that first one. Nothing is
    started for the images that stand for a claim (argocompiler/dag.go task)."""
    for container in spec.containers:
        words = container.body.get("command") or []
        if not words and container.body.get("image") not in DUMMY_IMAGES:
            text = "KFP doesn't use the image's entry point; say what to run, such as [python, -m, ...]"
            yield f"{container.where}.command", text
        elif words and not _is_if_present(words[0]) and "{{$" in INPUT_PARAMETER.sub("", words[0]):
            yield f"{container.where}.command[0]", "KFP doesn't replace this in the program's name; write it out"


@check
def lifecycle(spec: Spec) -> Faults:
    """Nothing in backend/src reads it: TFX has the drivers of its components there, which then never run."""
    for container in spec.containers:
        if container.body.get("lifecycle"):
            text = "KFP never runs it; do its work in the component's own command, and leave it out"
            yield f"{container.where}.lifecycle", text


@check
def placeholder(spec: Spec) -> Faults:
    """v2/driver/util.go resolveContainerArgs: "parameter not found in executor input"; component/launcher_v2.go
    getPlaceholders replaces what is listed there, and leaves all else as it is."""
    for container in spec.containers:
        known = {"{{$}}", *_placeholders(container.component)}
        known.update(f"{{{{$.inputs.parameters['{name}']}}}}" for task in container.tasks for name in task.parameters)
        for field in ("command", "args"):
            for number, text in enumerate(container.body.get(field) or ()):
                for token in PLACEHOLDER.findall(text):
                    if token not in known:
                        fault = f"KFP replaces no {token} here; it knows {', '.join(sorted(known))}"
                        yield f"{container.where}.{field}[{number}]", fault


@check
def placeholder_optional(spec: Spec) -> Faults:
    """v2/driver/util.go resolveSinglePlaceholder: "parameter not found in executor input", where a task leaves an
    optional parameter out: its default is put in later, by the launcher."""
    for container in spec.containers:
        defined = get(container.component, "inputDefinitions", "parameters")
        optional = {name for name, parameter in defined.items() if parameter.get("isOptional")}
        left_out = {name for name in optional for task in container.tasks if name not in task.parameters}
        for field in ("command", "args"):
            for number, text in enumerate(container.body.get(field) or ()):
                if _is_if_present(text):
                    continue
                for name in sorted(left_out & set(INPUT_PARAMETER.findall(text))):
                    fault = f"a task leaves {name} out, and KFP's driver fails on it here; give it, or use IfPresent"
                    yield f"{container.where}.{field}[{number}]", fault


@check
def conditional_argument(spec: Spec) -> Faults:
    """v2/driver/util.go resolveCondition: "failed to parse IfPresent JSON", "non-string item in IfPresent"; it looks
    for parameters alone, and nothing in backend/src puts a Concat together."""
    for container in spec.containers:
        artifacts = get(container.component, "inputDefinitions", "artifacts")
        for field in ("command", "args"):
            for number, text in enumerate(container.body.get(field) or ()):
                place = f"{container.where}.{field}[{number}]"
                if text.strip().startswith('{"Concat":'):
                    yield (
                        place,
                        "KFP passes a Concat to the component as it is; write placeholders into the text itself",
                    )
                elif _is_if_present(text) and not _if_present_fits(text):
                    form = '{"IfPresent": {"InputName": "x", "Then": ["a"], "Else": ["b"]}}'
                    yield place, f"must be JSON of the form {form}, with texts only"
                elif _is_if_present(text) and (name := json.loads(text)["IfPresent"]["InputName"]) in artifacts:
                    yield place, f"{name} is an artifact, which KFP takes for absent here; use a parameter"


@check
def environment(spec: Spec) -> Faults:
    """Kubernetes' ValidateEnv: "Required value", "must consist of"; component/constants.go: the launcher needs its own,
    and Argo's workflow/util/util.go ApplyPodSpecPatch merges variables by name."""
    for container in spec.containers:
        for number, variable in enumerate(container.body.get("env") or ()):
            yield from _variable_faults(f"{container.where}.env[{number}]", variable.get("name", ""))
        for field in ("secretAsEnv", "configMapAsEnv"):
            for number, source in enumerate(container.pod.get(field) or ()):
                for place, pair in enumerate(source.get("keyToEnv") or ()):
                    where = f"{container.pod_where}.{field}[{number}].keyToEnv[{place}]"
                    yield from _variable_faults(where, pair.get("envVar", ""))
        for number, variable in enumerate(container.pod.get("fieldPathAsEnv") or ()):
            yield from _variable_faults(f"{container.pod_where}.fieldPathAsEnv[{number}]", variable.get("name", ""))


@check
def resources(spec: Spec) -> Faults:
    """v2/driver/driver.go getPodResource: "quantities must match the regular expression"; the text field hides the
    number; Kubernetes' validateContainerResourceRequirements: "must be less than or equal to ... limit"."""
    for container in spec.containers:
        settings = get(container.body, "resources")
        amounts: dict[str, Decimal] = {}
        for number_field, text_field in (
            (f"{kind}{side}", f"resource{kind.capitalize()}{side}")
            for kind in ("cpu", "memory")
            for side in ("Limit", "Request")
        ):
            place = f"{container.where}.resources.{text_field}"
            text = settings.get(text_field) or ""
            older = Decimal(str(settings.get(number_field) or 0))
            if _parameter_of(text) is not None:
                yield from _text_parameter_faults(place, container, text)
                continue
            if text and not QUANTITY.fullmatch(text):
                yield place, f"must be a quantity such as 500m, 2 or 4Gi, got {text!r}"
                continue
            unit = 10**9 if number_field.startswith("memory") else 1
            amount = quantity(text) if text else older * unit
            if amount < 0:
                yield place, f"must not be negative, got {text or older}"
            elif text and older and older * unit != amount:
                yield place, f"is {text}, and {number_field} is {older}; KFP takes the first; leave the other out"
            amounts[number_field] = amount
        for kind in ("cpu", "memory"):
            limit, request = amounts.get(f"{kind}Limit", Decimal()), amounts.get(f"{kind}Request", Decimal())
            if 0 < limit < request:
                yield f"{container.where}.resources", f"asks for more {kind} than its limit; raise the limit"


@check
def accelerator(spec: Spec) -> Faults:
    """v2/driver/driver.go initPodSpecPatch leaves the accelerator out, silently, unless both type and count are given;
    the type becomes a resource's name, which Kubernetes' validateContainerResourceName wants with a domain."""
    for container in spec.containers:
        settings = get(container.body, "resources").get("accelerator")
        if settings is None:
            continue
        place = f"{container.where}.resources.accelerator"
        kind = settings.get("resourceType") or settings.get("type") or ""
        count = settings.get("resourceCount") or str(settings.get("count") or "")
        if _parameter_of(kind) is not None:
            yield from _text_parameter_faults(place, container, kind)
        elif not kind:
            yield place, "has no type, so the pod gets no accelerator; give one such as nvidia.com/gpu"
        elif not _qualified(kind, domain=True):
            yield place, f"must be of a type that a device plugin offers, such as nvidia.com/gpu, got {kind!r}"
        if _parameter_of(count) is not None:
            yield from _text_parameter_faults(place, container, count)
        elif not re.fullmatch(r"[1-9]\d*", count):
            text = f"must have a count of 1 or more, got {count or 'none'}: without one the pod gets no accelerator"
            yield place, text


@check
def containers_alike(spec: Spec) -> Faults:
    """v2/compiler/argocompiler/argo.go hashComponentContainer and saveProtoToArguments keep a component by its
    container, the first of equal ones for all."""
    kept: dict[str, Container] = {}
    for container in sorted(spec.containers, key=lambda container: container.component_name):
        first = kept.setdefault(json.dumps(container.body, sort_keys=True), container)
        if first is not container and _definitions(first.component) != _definitions(container.component):
            text = (
                f"runs the same container as {first.component_name} with other inputs or outputs, and KFP would use "
                "those of one for both; make their arguments differ"
            )
            yield f"components.{container.component_name}", text


@check
def platform_executor(spec: Spec) -> Faults:
    """v2/compiler/visitor.go dfs looks a component's executorLabel up and leaves all others; only containers get what
    is said there (argocompiler/dag.go task)."""
    labels = {component.get("executorLabel") for component in spec.reached.values()}
    for label in spec.pods:
        place = f"platforms.kubernetes.deploymentSpec.executors.{label}"
        if label not in labels:
            yield place, f"no component has the executor {label!r}, so this has no effect; correct the label"
        elif "container" not in get(spec.executors, label):
            yield place, "KFP only applies it to containers; leave it out"


@check
def platform_ignored(spec: Spec) -> Faults:
    """v2/driver/k8s.go extendPodSpecPatch reads neither podAffinity nor enabledSharedMemory."""
    for container in spec.containers:
        for field, instead in (
            ("podAffinity", "use nodeAffinity"),
            ("enabledSharedMemory", "mount an emptyDirMounts of medium Memory at /dev/shm"),
        ):
            if container.pod.get(field):
                yield f"{container.pod_where}.{field}", f"KFP's driver doesn't read it; {instead}"


@check
def secret(spec: Spec) -> Faults:
    """v2/driver/k8s.go extendPodSpecPatch: "missing either SecretName or SecretNameParameter", "missing either
    ConfigMapName"; resolveInputParameterStr: "Expected a non-empty string"; Kubernetes' validateSecretKeySelector."""
    for container in spec.containers:
        for field, name_field, key_field in (
            ("secretAsEnv", "secretName", "secretKey"),
            ("secretAsVolume", "secretName", None),
            ("imagePullSecret", "secretName", None),
            ("configMapAsEnv", "configMapName", "configMapKey"),
            ("configMapAsVolume", "configMapName", None),
        ):
            for number, source in enumerate(container.pod.get(field) or ()):
                place = f"{container.pod_where}.{field}[{number}]"
                name = _constant_name(source, name_field)
                if name == "":
                    yield place, f"names no {name_field.removesuffix('Name')}; give {name_field}Parameter"
                elif name is not None and not DNS_NAME.fullmatch(name):
                    yield place, f"must name one in lower-case letters, digits, - and ., got {name!r}"
                for at, pair in enumerate(source.get("keyToEnv") or () if key_field else ()):
                    if not pair.get(str(key_field)):
                        yield f"{place}.keyToEnv[{at}]", f"has no {key_field}; give the key of the value"


@check
def volumes(spec: Spec) -> Faults:
    """v2/driver/k8s.go makeVolumeMountPatch: "volume name not provided", "missing mountpath or pvc name"; it calls the
    volume by its claim, and Kubernetes' ValidateVolumes wants that without a dot and once ("must not contain dots",
    "Duplicate value"), ValidateVolumeMounts each path once, and Argo merges KFP's own mounts by their paths."""
    for container in spec.containers:
        names: set[str] = set()
        paths: set[str] = set()
        for place, name, path in _mounts(container):
            if name == "":
                yield place, "names no volume; give its name"
            elif name is not None and not DNS_LABEL.fullmatch(name):
                text = f"must have a name of at most 63 lower-case letters, digits and -, got {name!r}"
                yield place, f"{text}: KFP gives the pod's volume this name"
            elif name is not None and name in names:
                yield place, f"mounts {name} once more, and KFP would define the volume twice; mount it once"
            if not path.startswith("/") or ":" in path:
                yield place, f"must be mounted at an absolute path without a colon, got {path!r}"
            elif path.rstrip("/") in MOUNTS:
                yield place, f"KFP has something of its own at {path}; mount it elsewhere"
            elif path.rstrip("/") in paths:
                yield place, f"something is mounted at {path} already; mount it elsewhere"
            names.add(name or "")
            paths.add(path.rstrip("/"))


@check
def volume_size(spec: Spec) -> Faults:
    """v2/driver/k8s.go extendPodSpecPatch: "failed to parse generic ephemeral volume size", "failed to parse size
    limit"; Kubernetes' validatePersistentVolumeClaimSpec: "at least 1 access mode is required"."""
    for container in spec.containers:
        for number, volume in enumerate(container.pod.get("genericEphemeralVolume") or ()):
            place = f"{container.pod_where}.genericEphemeralVolume[{number}]"
            if not QUANTITY.fullmatch(volume.get("size", "")):
                yield f"{place}.size", f"must be a quantity such as 10Gi, got {volume.get('size', '')!r}"
            modes = volume.get("accessModes") or ["none"]
            for mode in modes:
                if mode not in ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"):
                    text = f"must be ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod, got {mode}"
                    yield f"{place}.accessModes", text
        for number, volume in enumerate(container.pod.get("emptyDirMounts") or ()):
            limit = volume.get("sizeLimit", "")
            place = f"{container.pod_where}.emptyDirMounts[{number}]"
            if limit and not QUANTITY.fullmatch(limit):
                yield f"{place}.sizeLimit", f"must be a quantity such as 10Gi, got {limit!r}"
            if volume.get("medium", "") not in ("", "Memory") and not volume["medium"].startswith("HugePages"):
                yield f"{place}.medium", f"must be Memory, or left out, got {volume['medium']!r}"


@check
def tolerations(spec: Spec) -> Faults:
    """Kubernetes' ValidateTolerations: "value must be empty when operator is Exists", "operator must be Exists when key
    is empty", "effect must be NoExecute when tolerationSeconds is set", "Unsupported value"."""
    for container in spec.containers:
        for number, toleration in enumerate(container.pod.get("tolerations") or ()):
            if "tolerationJson" in toleration:
                continue
            place = f"{container.pod_where}.tolerations[{number}]"
            key, operator, effect = (toleration.get(name, "") for name in ("key", "operator", "effect"))
            if key and not _qualified(key):
                yield f"{place}.key", f"must be the key of a taint such as nvidia.com/gpu, got {key!r}"
            if operator not in ("", "Equal", "Exists"):
                yield f"{place}.operator", f"must be Equal or Exists, got {operator!r}"
            elif operator == "Exists" and toleration.get("value"):
                yield f"{place}.value", "must be empty, as the operator is Exists; leave it out"
            elif not key and operator != "Exists":
                yield place, "names no key; name one, or use the operator Exists to tolerate everything"
            if effect not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
                yield f"{place}.effect", f"must be NoSchedule, PreferNoSchedule or NoExecute, got {effect!r}"
            elif "tolerationSeconds" in toleration and effect != "NoExecute":
                yield f"{place}.tolerationSeconds", "is only allowed with the effect NoExecute; leave it out"


@check
def labels(spec: Spec) -> Faults:
    """Kubernetes' ValidatePodSpec and ValidateObjectMeta by way of ValidateLabels: "name part must consist of", "a
    valid label must be an empty string or consist of"."""
    for container in spec.containers:
        for field in ("nodeSelector", "podMetadata"):
            for name, value in get(container.pod, field, "labels").items():
                place = f"{container.pod_where}.{field}.labels.{name}"
                if not _qualified(name):
                    yield place, f"must be a label's key such as cloud.example.com/pool, got {name!r}"
                elif value and not LABEL_PART.fullmatch(value):
                    yield place, f"must be at most 63 letters, digits, -, _ and ., got {value!r}"


@check
def pull_policy(spec: Spec) -> Faults:
    """v2/driver/k8s.go extendPodSpecPatch: "ImagePullPolicy should be one of 'Always', 'Never' or 'IfNotPresent'"."""
    for container in spec.containers:
        policy = container.pod.get("imagePullPolicy", "")
        if policy not in ("", "Always", "Never", "IfNotPresent"):
            yield f"{container.pod_where}.imagePullPolicy", f"must be Always, Never or IfNotPresent, got {policy!r}"


@check
def timeout(spec: Spec) -> Faults:
    """v2/driver/k8s.go extendPodSpecPatch and v2/compiler/argocompiler/argo.go buildActiveDeadlineSeconds leave out
    what isn't positive; Kubernetes' ValidatePodSpec takes at most 2147483647."""
    places = [(container.pod_where, container.pod) for container in spec.containers]
    for where, body in (*places, ("platforms.kubernetes.pipelineConfig", get(spec.kubernetes, "pipelineConfig"))):
        seconds = body.get("activeDeadlineSeconds")
        if seconds is not None and not 0 < int(seconds) <= 2**31 - 1:
            text = f"must be seconds, 1 or more, got {seconds}, which KFP takes for no limit at all"
            yield f"{where}.activeDeadlineSeconds", text


@check
def security_context(spec: Spec) -> Faults:
    """v2/compiler/argocompiler/spec_patch.go validateKubernetesSecurityContext: "runAsUser=0 (root) is not allowed";
    the workflow's own securityContext has runAsNonRoot: true (argo.go Compile), so a pod as root never starts."""
    for container in spec.containers:
        context = get(container.pod, "securityContext")
        if int(context.get("runAsUser", -1)) == 0:
            yield f"{container.pod_where}.securityContext.runAsUser", "must not be 0: KFP runs no pod as root"


@check
def init_containers(spec: Spec) -> Faults:
    """v2/driver/k8s.go extendPodSpecPatch: "init container name must not be empty", "conflicts with an existing
    container in the pod", "must specify an image", "restart policy must be", "invalid resource", "must use an absolute
    mount path"; Argo and KFP have init containers of their own."""
    for container in spec.containers:
        names = {"main", "wait", "init", "kfp-launcher"}
        for number, init_container in enumerate(container.pod.get("initContainers") or ()):
            place = f"{container.pod_where}.initContainers[{number}]"
            name = init_container.get("name", "")
            if not DNS_LABEL.fullmatch(name) or name in names:
                yield f"{place}.name", f"must be a name of its own in lower-case letters, digits and -, got {name!r}"
            names.add(name)
            if not init_container.get("image"):
                yield f"{place}.image", "name the image that it runs in"
            if init_container.get("restartPolicy", "Always") != "Always":
                yield f"{place}.restartPolicy", f"must be Always, or left out, got {init_container['restartPolicy']!r}"
            for variable in init_container.get("env") or ():
                yield from _variable_faults(f"{place}.env", variable.get("name", ""))
            for mount in init_container.get("volumeMounts") or ():
                if not mount.get("volumeName") or not mount.get("mountPath", "").startswith("/"):
                    yield f"{place}.volumeMounts", "must have a volumeName and an absolute mountPath"
            for side in ("requests", "limits"):
                for name, amount in get(init_container, "resources", side).items():
                    if not QUANTITY.fullmatch(amount):
                        yield f"{place}.resources.{side}.{name}", f"must be a quantity such as 500m, got {amount!r}"


@check
def workspace(spec: Spec) -> Faults:
    """v2/compiler/argocompiler/common.go GetWorkspacePVC: "workspace size is required", "invalid size value", "unknown
    fields in PVC spec patch", "storageClassName must be omitted or set to a non-empty value"; argo.go Compile makes no
    volume without `kubernetes`."""
    settings = get(spec.kubernetes, "pipelineConfig").get("workspace")
    if settings is None:
        return
    place = "platforms.kubernetes.pipelineConfig.workspace"
    size = settings.get("size", "")
    if not QUANTITY.fullmatch(size) or quantity(size) < 0:
        yield f"{place}.size", f"must be a quantity such as 50Gi, got {size!r}"
    if "kubernetes" not in settings:
        yield place, "KFP makes no volume without kubernetes: {}; add it"
    patch = get(settings, "kubernetes", "pvcSpecPatch")
    for name in set(patch) - {"accessModes", "storageClassName"}:
        yield f"{place}.kubernetes.pvcSpecPatch.{name}", "KFP only takes accessModes and storageClassName here"
    if patch.get("storageClassName") == "":
        yield f"{place}.kubernetes.pvcSpecPatch.storageClassName", "must not be empty; name a class or leave it out"


@check
def push_destination(spec: Spec) -> Faults:
    """v2/compiler/argocompiler/container.go addContainerExecutorTemplate gives a pod only folders of its own, which are
    lost with it: so is what TFX's Pusher leaves in one, though its task is green."""
    for container in spec.containers:
        paths = [path for _, _, path in _mounts(container, lasting=True)]
        for task in container.tasks:
            destination = get(task.parameters, "push_destination", "runtimeValue").get("constant")
            folder = _base_directory(destination) if isinstance(destination, str) else ""
            if folder and "://" not in folder and not any(_is_below(folder, path) for path in paths):
                text = f"{folder} ends with the pod; push to gs:// or s3://, or to a folder of a claim that is mounted"
                yield f"{task.where}.inputs.parameters.push_destination", text


def quantity(text: str) -> Decimal:
    """A Kubernetes quantity as a number: 500m is 0.5, 1Ki is 1024."""
    number = re.match(r"[+-]?[\d.]+", text)
    assert number is not None
    suffix = text[number.end() :]
    if suffix in _BINARY:
        return Decimal(number[0]) * Decimal(1024) ** _BINARY[suffix]
    if suffix in _SUFFIXES:
        return Decimal(number[0]).scaleb(3 * _SUFFIXES[suffix])
    return Decimal(text)


def _placeholders(component: Body) -> Iterator[str]:
    for name in get(component, "inputDefinitions", "parameters"):
        yield f"{{{{$.inputs.parameters['{name}']}}}}"
    for side, definitions in (("inputs", "inputDefinitions"), ("outputs", "outputDefinitions")):
        for name in get(component, definitions, "artifacts"):
            yield f"{{{{$.{side}.artifacts['{name}'].uri}}}}"
            yield f"{{{{$.{side}.artifacts['{name}'].path}}}}"
    for name in get(component, "outputDefinitions", "parameters"):
        yield f"{{{{$.outputs.parameters['{name}'].output_file}}}}"


def _is_if_present(text: str) -> bool:
    return text.strip().startswith('{"IfPresent":')


def _if_present_fits(text: str) -> bool:
    try:
        body = json.loads(text)["IfPresent"]
        branches = [body.get("Then"), body.get("Else")]
        values = [item for branch in branches for item in (branch if isinstance(branch, list) else [branch or ""])]
        return bool(body["InputName"]) and all(isinstance(value, str) for value in values)
    except (ValueError, KeyError, AttributeError, TypeError):
        return False


def _variable_faults(place: str, name: str) -> Faults:
    if not name or "=" in name or not name.isascii() or not name.isprintable():
        yield place, f"must have a name without =, got {name!r}"
    elif name in ENVIRONMENT:
        yield place, f"KFP's launcher needs {name} for itself; use another name"


def _parameter_of(text: str) -> str | None:
    """v2/driver/util.go isInputParameterChannel: the parameter of a placeholder that is the whole text."""
    match = re.search(r"\$.inputs.parameters\['(.+?)'\]", text)
    return match[1] if match else None


def _text_parameter_faults(place: str, container: Container, text: str) -> Faults:
    """v2/driver/resolve.go resolvePodSpecInputRuntimeParameter: "executorInput did not contain container Image input
    parameter", of whatever field; it takes the parameter's text, and '' of a number."""
    name = str(_parameter_of(text))
    kind = get(container.component, "inputDefinitions", "parameters", name).get("parameterType", "STRING")
    if any(name not in task.parameters for task in container.tasks):
        yield place, f"a task doesn't give the input parameter {name!r}; give it"
    elif kind != "STRING":
        yield place, f"takes a STRING parameter, and {name} is a {kind}; change its type"


def _qualified(name: str, domain: bool = False) -> bool:
    """Whether it is a name as of labels and taints, perhaps with the prefix of a domain."""
    prefix, slash, part = name.rpartition("/")
    if slash and not DNS_NAME.fullmatch(prefix):
        return False
    return bool(LABEL_PART.fullmatch(part)) and (bool(slash) or not domain)


def _constant_name(source: Body, field: str) -> str | None:
    """The name that the source gives as a constant; None where a run decides."""
    parameter = source.get(f"{field}Parameter")
    if parameter is None:
        return str(source.get(field, ""))
    value = get(parameter, "runtimeValue")
    return str(value["constant"] or "") if "constant" in value else None


def _claim(mount: Body) -> str | None:
    if "pvcNameParameter" in mount:
        return _constant_name({"nameParameter": mount["pvcNameParameter"]}, "name")
    if "taskOutputParameter" in mount or mount.get("componentInputParameter"):
        return None
    return str(mount.get("constant", ""))


def _base_directory(destination: str) -> str:
    """The folder that the JSON of TFX's PushDestination names; '' if there is none."""
    try:
        filesystem = json.loads(destination)["filesystem"]
        return str(filesystem.get("base_directory") or filesystem.get("baseDirectory") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _is_below(path: str, folder: str) -> bool:
    folder = folder.rstrip("/")
    return path == folder or path.startswith(f"{folder}/")


def _mounts(container: Container, lasting: bool = False) -> Iterator[tuple[str, str | None, str]]:
    """Each mount of the pod: its place, the volume's name (None where a run decides), its path.

    lasting: only mounts of claims.
    """
    names: dict[str, Callable[[Body], str | None]] = {
        "pvcMount": _claim,
        "secretAsVolume": lambda volume: _constant_name(volume, "secretName") or None,
        "configMapAsVolume": lambda volume: _constant_name(volume, "configMapName") or None,
        "genericEphemeralVolume": lambda volume: volume.get("volumeName", ""),
        "emptyDirMounts": lambda volume: volume.get("volumeName", ""),
    }
    for field, name_of in list(names.items())[: 1 if lasting else None]:
        for number, volume in enumerate(container.pod.get(field) or ()):
            yield f"{container.pod_where}.{field}[{number}]", name_of(volume), volume.get("mountPath", "")


def _definitions(component: Body) -> Body:
    return {side: component.get(side) for side in ("inputDefinitions", "outputDefinitions")}
