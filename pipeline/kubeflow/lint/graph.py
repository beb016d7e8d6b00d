"""Rules on a pipeline's name, components, tasks and inputs.

Each rule cites its source in kubeflow/pipelines 2.17 (backend/src) or in Argo Workflows 4.0.8, to which KFP compiles.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pipeline.kubeflow.lint.schema import strings
from pipeline.kubeflow.lint.spec import Body, Spec, Task, check, get

Faults = Iterator[tuple[str, str]]

NAME = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")
ARGO_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*")
ARGO_NAME_LENGTH = 128
PLACEHOLDER = re.compile(r"\{\{\$.*?\}\}")
INPUT_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)'\]\}\}")
# v2/driver/resolve.go resolveInputParameter replaces these where they are the whole of a constant.
RUN_PLACEHOLDERS = frozenset(
    f"{{{{$.{name}}}}}"
    for name in (
        "pipeline_job_name",
        "pipeline_job_resource_name",
        "pipeline_job_uuid",
        "pipeline_task_name",
        "pipeline_task_uuid",
        "pipeline_job_create_time_utc",
        "pipeline_job_schedule_time_utc",
    )
)
WORKSPACE = "{{$.workspace_path}}"
# v2/compiler/argocompiler names its own templates so.
TEMPLATES = re.compile(r"entrypoint|system-.*|retry-system-.*|metadata-\d+-\d+-.*|exit-hook-.*")
ARGUMENT_BYTES = 131_072
WORKFLOW_BYTES = 1_048_576

_JSON_KINDS: dict[str, tuple[type, ...]] = {
    "NUMBER_DOUBLE": (int, float),
    "NUMBER_INTEGER": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
    "TASK_FINAL_STATUS": (dict,),
    "TASK_CONFIG": (dict,),
}
_NUMBERS = ("NUMBER_DOUBLE", "NUMBER_INTEGER")


@check
def schema_version(spec: Spec) -> Faults:
    """apiserver/template/v2_template.go NewV2SpecTemplate: "KFP only supports schema version 2.1.0"."""
    version = spec.pipeline.get("schemaVersion")
    if version != "2.1.0":
        yield "schemaVersion", f"must be 2.1.0, got {version!r}; compile for that schema (TFX: use_pipeline_spec_2_1)"


@check
def pipeline_name(spec: Spec) -> Faults:
    """v2/compiler/argocompiler/argo.go Compile takes it for metadata.generateName, which the Kubernetes API holds to
    lower case; apiserver/model/pipeline.go keeps 128 characters."""
    name = get(spec.pipeline, "pipelineInfo").get("name", "")
    if not NAME.fullmatch(name) or len(name) > 128:
        text = f"must be at most 128 lower-case letters, digits, - and ., beginning and ending with no -, got {name!r}"
        yield "pipelineInfo.name", text


@check
def pipeline_root(spec: Spec) -> Faults:
    """v2/driver/root_dag.go RootDAG takes the root from the run's configuration; nothing reads this field."""
    if spec.pipeline.get("defaultPipelineRoot"):
        text = "KFP doesn't read it; leave it out and give the pipeline root when a run is created"
        yield "defaultPipelineRoot", text


@check
def component_missing(spec: Spec) -> Faults:
    """v2/compiler/visitor.go dfs: "component ref name is empty", "cannot find component ref name"; and root is
    visited once, as the pipeline itself."""
    for task in spec.tasks:
        name = get(task.body, "componentRef").get("name", "")
        if not name:
            yield f"{task.where}.componentRef", "name the component that the task runs"
        elif name not in spec.components:
            yield f"{task.where}.componentRef", f"there is no component {name!r}; define it below components"
        elif name == "root":
            yield f"{task.where}.componentRef", "a component cannot be called root; give it another name"


@check
def component_empty(spec: Spec) -> Faults:
    """v2/compiler/visitor.go dfs: "unknown component implementation"."""
    for place, component in spec.reached.items():
        if not component.get("executorLabel") and "dag" not in component:
            yield place, "has neither an executorLabel nor a dag; give it one of them"


@check
def executor_missing(spec: Spec) -> Faults:
    """v2/compiler/visitor.go dfs: "executor not found in deployment config"."""
    for place, component in spec.reached.items():
        label = component.get("executorLabel")
        if label and label not in spec.executors:
            yield f"{place}.executorLabel", f"there is no executor {label!r}; define it below deploymentSpec.executors"


@check
def executor_kind(spec: Spec) -> Faults:
    """v2/compiler/visitor.go dfs: "non-container and non-importer executor not implemented"; a custom job belongs to
    Google Cloud (argocompiler/dag.go task)."""
    for component in spec.reached.values():
        label = component.get("executorLabel", "")
        executor = spec.executors.get(label)
        if executor is not None and "container" not in executor and "importer" not in executor:
            kind = next(iter(executor), "empty")
            text = f"is {kind}, but KFP runs only container and importer; use a component that does the same"
            yield f"deploymentSpec.executors.{label}", text


@check
def graph_empty(spec: Spec) -> Faults:
    """v2/compiler/argocompiler/dag.go DAG: "must contain one or more non-exit tasks"."""
    for place, component in spec.reached.items():
        if "dag" in component and not any(task.parent is component and not task.runs_at_exit for task in spec.tasks):
            yield f"{place}.dag", "has no task that runs before its end; add one, or leave the component out"


@check
def task_name(spec: Spec) -> Faults:
    """Argo's workflow/validate/validate.go validateDAG and isValidWorkflowFieldName; each task has a second one for its
    driver, by the name with -driver."""
    for task in spec.tasks:
        if not ARGO_NAME.fullmatch(task.name) or len(task.name) + len("-driver") > ARGO_NAME_LENGTH:
            text = f"must be letters, digits and -, beginning with a letter, at most 121 of them, got {task.name!r}"
            yield task.where, text
        elif task.name.endswith("-driver") and task.name.removesuffix("-driver") in task.siblings:
            yield task.where, f"is what KFP calls the driver of {task.name.removesuffix('-driver')}; rename it"


@check
def component_name(spec: Spec) -> Faults:
    """v2/compiler/argocompiler/argo.go templateName: a graph's template has the component's name unchanged, next to
    KFP's own templates; Argo's isValidWorkflowFieldName."""
    for place, component in spec.reached.items():
        name = place.removeprefix("components.")
        if "dag" not in component or place == "root":
            continue
        if TEMPLATES.fullmatch(name):
            yield place, f"KFP has a template of its own called {name}; rename the component"
        elif not re.fullmatch(r"[a-zA-Z0-9][-a-zA-Z0-9]*", name) or len(name) > ARGO_NAME_LENGTH:
            yield place, f"must be at most 128 letters, digits and -, not beginning with -, got {name!r}"


@check
def task_info(spec: Spec) -> Faults:
    """v2/driver/driver.go validateNonRoot: "task spec is required" without a name; component/importer_launcher.go
    Execute records an importer under this name, and v2/driver/resolve.go looks for it under the task's."""
    for task in spec.tasks:
        name = get(task.body, "taskInfo").get("name", "")
        if not name:
            yield f"{task.where}.taskInfo", "has no name, which KFP's driver requires; give the task's"
        elif "importer" in spec.executor(task) and name != task.name:
            text = f"must be {task.name!r} for an importer, or tasks that take its artifact don't find it; got {name!r}"
            yield f"{task.where}.taskInfo.name", text


@check
def task_missing(spec: Spec) -> Faults:
    """v2/compiler/argocompiler/dag.go addImplicitDependencies: "unknown producer task"; for dependentTasks Argo's
    workflow/validate/validate.go validateDAG."""
    for task in spec.tasks:
        producers = dict(task.producers)
        for number, name in enumerate(task.body.get("dependentTasks", ())):
            producers[f"{task.where}.dependentTasks[{number}]"] = name
        for place, name in producers.items():
            if name not in task.siblings:
                yield place, f"there is no task {name!r} in the same graph; name one of {_listed(task.siblings)}"


@check
def cycle(spec: Spec) -> Faults:
    """Argo's workflow/validate/validate.go verifyNoCycles: "dependency cycle detected"."""
    for parent in spec.reached.values():
        tasks = {task.name: task for task in spec.tasks if task.parent is parent}
        after = {
            name: {*task.producers.values(), *task.body.get("dependentTasks", ())} & set(tasks)
            for name, task in tasks.items()
        }
        while free := [name for name in after if not after[name] & set(after)]:
            for name in free:
                del after[name]
        if after:
            yield tasks[min(after)].where, f"the tasks {_listed(after)} wait for each other; break the circle"


@check
def output_missing(spec: Spec) -> Faults:
    """v2/driver/resolve.go resolveUpstreamArtifacts and resolveUpstreamParameters take what isn't there for nil."""
    for task in spec.tasks:
        for kind, key, output in _producer_outputs(task):
            outputs = _outputs(spec, task.siblings.get(output.get("producerTask", ""), {}), kind)
            name = output.get(key, "")
            if outputs is not None and name not in outputs:
                text = f"{output['producerTask']} has no output {name!r}; name one of {_listed(outputs)}"
                yield f"{task.where}.inputs.{kind}", text
    for place, component in spec.reached.items():
        for kind, key, selector in _selectors(component):
            producer = selector.get("producerSubtask", "")
            outputs = _outputs(spec, get(component, "dag", "tasks").get(producer, {}), kind)
            if outputs is None or selector.get(key, "") not in outputs:
                yield f"{place}.dag.outputs.{kind}", f"task {producer!r} has no output {selector.get(key, '')!r}"


@check
def input_undefined(spec: Spec) -> Faults:
    """v2/driver/resolve.go resolveInputParameter: "parent DAG does not have input parameter", resolveInputArtifact: the
    same of artifacts; a run gives its root parameters alone."""
    for task in spec.tasks:
        defined = get(task.parent, "inputDefinitions")
        for name, source in task.parameters.items():
            outer = source.get("componentInputParameter")
            if outer is not None and outer not in get(defined, "parameters"):
                text = f"the graph around it has no input parameter {outer!r}; define it in inputDefinitions"
                yield f"{task.where}.inputs.parameters.{name}", text
        for name, source in task.artifacts.items():
            outer = source.get("componentInputArtifact")
            if outer is None:
                continue
            if task.parent is spec.root:
                text = f"a run cannot give the pipeline an artifact {outer!r}; import it, or take a task's output"
                yield f"{task.where}.inputs.artifacts.{name}", text
            elif outer not in get(defined, "artifacts"):
                text = f"the graph around it has no input artifact {outer!r}; define it in inputDefinitions"
                yield f"{task.where}.inputs.artifacts.{name}", text


@check
def constant(spec: Spec) -> Faults:
    """v2/driver/resolve.go resolveInputParameter: of runtime values it implements `constant` alone: "param runtime
    value spec of type ... not implemented"."""
    for place, _, _, source in _parameters(spec):
        value = source.get("runtimeValue")
        if value is not None and "constant" not in value:
            form = next(iter(value), "nothing")
            yield f"{place}.runtimeValue", f"must be given as constant, got {form}, which KFP's driver cannot read"


@check
def input_empty(spec: Spec) -> Faults:
    """v2/driver/resolve.go resolveInputParameter and resolveInputArtifact: "spec of type <nil> not implemented yet"."""
    for place, _, _, source in _parameters(spec):
        if not set(source) - {"parameterExpressionSelector"} or source.get("componentInputParameter") == "":
            yield place, "does not say where its value comes from; give a constant, an input or an output"
    for task in spec.tasks:
        for name, source in task.artifacts.items():
            if not source or source.get("componentInputArtifact") == "":
                place = f"{task.where}.inputs.artifacts.{name}"
                yield place, "does not say where the artifact comes from; give an output or an input"


@check
def parameter_type(spec: Spec) -> Faults:
    """apiserver/template/v2_template.go validatePipelineJobInputs: "has unspecified type"; v2/driver/resolve.go
    handleParamTypeValidationAndConversion: "type mismatch: expect PARAMETER_TYPE_ENUM_UNSPECIFIED"; for outputs
    v2/metadata/converter.go TextToPbValue. The older field `type` is not looked at."""
    for place, component in spec.reached.items():
        for side in ("inputDefinitions", "outputDefinitions"):
            for name, defined in get(component, side, "parameters").items():
                kind = defined.get("parameterType", "PARAMETER_TYPE_ENUM_UNSPECIFIED")
                if kind == "PARAMETER_TYPE_ENUM_UNSPECIFIED":
                    text = "has no parameterType, which KFP requires; give STRING, NUMBER_INTEGER, ... in place of type"
                    yield f"{place}.{side}.parameters.{name}", text
    for name, defined in get(spec.root, "inputDefinitions", "parameters").items():
        if defined.get("parameterType") == "TASK_FINAL_STATUS":
            yield f"root.inputDefinitions.parameters.{name}", "a run cannot give a TASK_FINAL_STATUS; take another type"


@check
def root_parameter(spec: Spec) -> Faults:
    """apiserver/template/v2_template.go validatePipelineJobInputs: "is not optional, yet has neither default value nor
    user provided value": TFX loses the defaults of its RuntimeParameters so."""
    for name, defined in get(spec.root, "inputDefinitions", "parameters").items():
        if "defaultValue" not in defined and not defined.get("isOptional"):
            text = "has no default, so every run that leaves it out is refused; give defaultValue, or isOptional: true"
            yield f"root.inputDefinitions.parameters.{name}", text


@check
def parameter_required(spec: Spec) -> Faults:
    """v2/driver/resolve.go handleParamTypeValidationAndConversion: "neither value nor default value provided for
    non-optional parameter"; with a default but not optional it goes on without either, and ends in "unknown
    protobuf.Value type" or in an empty string; null stands for an optional root parameter that wasn't given."""
    for task in spec.tasks:
        iterator = get(task.body, "parameterIterator")
        for name, defined in get(task.component, "inputDefinitions", "parameters").items():
            source = task.parameters.get(name)
            if defined.get("isOptional") or (source is None and iterator.get("itemInput") == name):
                continue
            place = f"{task.where}.inputs.parameters.{name}"
            if source is None and "defaultValue" not in defined:
                yield place, "the component requires it, and the task doesn't give it; give it, or make it optional"
            elif source is None:
                text = "has a default that KFP only uses for optional parameters; add isOptional: true to it"
                yield place, text
            elif _may_be_null(spec, task, source):
                text = f"is null in runs without {source['componentInputParameter']}; give that one a default"
                yield place, text


@check
def parameter_value(spec: Spec) -> Faults:
    """v2/driver/resolve.go handleParamTypeValidationAndConversion: "type mismatch", "got null for input parameter";
    STRING takes everything, as JSON."""
    for task in spec.tasks:
        defined = get(task.component, "inputDefinitions", "parameters")
        for name, source in task.parameters.items():
            kind = get(defined, name).get("parameterType", "")
            place = f"{task.where}.inputs.parameters.{name}"
            value = get(source, "runtimeValue")
            if "parameterExpressionSelector" in source:
                continue
            if "constant" in value and not _fits(value["constant"], kind):
                yield place, f"must be {kind}, as the component says, got the constant {value['constant']!r}"
            source_type = _source_type(spec, task, source)
            if source_type and not _passes(source_type, kind):
                yield place, f"must be {kind}, as the component says, and comes from a {source_type}"
    for place, component in spec.reached.items():
        for name, definition in get(component, "inputDefinitions", "parameters").items():
            default = definition.get("defaultValue")
            if default is not None and not _fits(default, definition.get("parameterType", "")):
                text = f"must have a default of its type {definition['parameterType']}, got {default!r}"
                yield f"{place}.inputDefinitions.parameters.{name}", text


@check
def literals(spec: Spec) -> Faults:
    """common/util/validate_literal.go ValidateLiteralParameter, for the API server and the driver: "does not match any
    of the allowed literal values"."""
    for task in spec.tasks:
        for name, definition in get(task.component, "inputDefinitions", "parameters").items():
            value = get(task.parameters, name, "runtimeValue")
            allowed = definition.get("literals")
            if allowed and "constant" in value and value["constant"] not in allowed:
                text = f"must be one of {_listed(allowed)}, got {value['constant']!r}"
                yield f"{task.where}.inputs.parameters.{name}", text


@check
def artifact_required(spec: Spec) -> Faults:
    """v2/driver/resolve.go resolveInputs looks at what the task gives, and not yet at what the component's inputs are:
    it starts without the artifact."""
    for task in spec.tasks:
        item = get(task.body, "artifactIterator").get("itemInput")
        for name, defined in get(task.component, "inputDefinitions", "artifacts").items():
            if name not in task.artifacts and not defined.get("isOptional") and name != item:
                text = "the component requires it, and the task doesn't give it; give it, or make it optional"
                yield f"{task.where}.inputs.artifacts.{name}", text


@check
def artifact_type(spec: Spec) -> Faults:
    """component/launcher_v2.go getArtifactSchema, after the component has run: "SchemaUri is unsupported", "unknown
    type in ArtifactTypeSchema"; v2/metadata/client.go SchemaToArtifactType: "No title specified"."""
    for place, component in spec.reached.items():
        if "dag" in component:
            continue
        for name, defined in get(component, "outputDefinitions", "artifacts").items():
            where = f"{place}.outputDefinitions.artifacts.{name}.artifactType"
            yield from _type_faults(where, get(defined, "artifactType"))
    for label, importer in _importers(spec):
        yield from _type_faults(f"deploymentSpec.executors.{label}.importer.typeSchema", get(importer, "typeSchema"))


@check
def artifact_properties(spec: Spec) -> Faults:
    """v2/driver/driver.go provisionOutputs and component/importer_launcher.go ImportSpecToMLMDArtifact read metadata;
    nothing reads the older properties."""
    for place, component in spec.reached.items():
        for name, defined in get(component, "outputDefinitions", "artifacts").items():
            for field in ("properties", "customProperties"):
                if defined.get(field):
                    text = "KFP doesn't read it; give the same as metadata"
                    yield f"{place}.outputDefinitions.artifacts.{name}.{field}", text
    for label, importer in _importers(spec):
        for field in ("properties", "customProperties"):
            if importer.get(field):
                place = f"deploymentSpec.executors.{label}.importer.{field}"
                yield place, "KFP doesn't read it; give the same as metadata"


@check
def executor_logs(spec: Spec) -> Faults:
    """v2/driver/driver.go provisionOutputs puts KFP's own executor-logs in the place of an output of that name."""
    for place, component in spec.reached.items():
        if "executor-logs" in get(component, "outputDefinitions", "artifacts"):
            where = f"{place}.outputDefinitions.artifacts.executor-logs"
            yield where, "KFP keeps the log under this name; rename the output"


@check
def importer(spec: Spec) -> Faults:
    """component/importer_launcher.go ImportSpecToMLMDArtifact: "artifact uri not provided", "empty Artifact URI
    constant value", "cannot find parameter in task input", "no provider scheme found"; getOutPutArtifactName wants one
    output."""
    for task in spec.tasks:
        body = spec.executor(task).get("importer")
        if body is None:
            continue
        place = f"deploymentSpec.executors.{task.component['executorLabel']}.importer"
        uri = get(body, "artifactUri")
        parameter = uri.get("runtimeParameter")
        if parameter and "componentInputParameter" not in get(task.parameters, parameter):
            text = f"the task has no input {parameter!r} taken from the pipeline's; give it as componentInputParameter"
            yield f"{place}.artifactUri", text
        elif not parameter and not re.match(r"(gs|s3|minio|oci)://.", str(uri.get("constant", ""))):
            text = f"must be given as constant, a gs://, s3://, minio:// or oci:// address, got {uri or 'nothing'}"
            yield f"{place}.artifactUri", text
        if len(get(task.component, "outputDefinitions", "artifacts")) != 1:
            yield task.where, "an importer has one output artifact; define exactly one"


@check
def condition(spec: Spec) -> Faults:
    """v2/compiler/argocompiler/dag.go task: "triggerPolicy.condition on importer task is not supported"."""
    for task in spec.tasks:
        if "importer" in spec.executor(task) and get(task.body, "triggerPolicy").get("condition"):
            where = f"{task.where}.triggerPolicy.condition"
            yield where, "KFP has no conditions on importers; put the condition on the task that takes the artifact"


@check
def exit_task(spec: Spec) -> Faults:
    """v2/compiler/argocompiler/dag.go DAG hangs such a task on the end of those it depends on, and on nothing else:
    the last of several on the same one replaces the others; iteratorTask and importerTask drop it; and it is no task
    of the graph for others to depend on."""
    owners: dict[tuple[int, str], str] = {}
    for task in sorted(spec.tasks, key=lambda task: task.where):
        before = {*task.producers.values(), *task.body.get("dependentTasks", ())}
        others = {name: other for other in spec.tasks if other.parent is task.parent for name in [other.name]}
        if not task.runs_at_exit:
            for name in sorted(before):
                if name in others and others[name].runs_at_exit:
                    yield task.where, f"cannot follow {name}, which runs at the end; leave that out"
            continue
        if not before:
            yield task.where, "runs at the end of nothing, so never; name the tasks that it follows in dependentTasks"
        for name in sorted(before & set(others)):
            other = others[name]
            first = owners.setdefault((id(task.parent), name), task.name)
            if first != task.name:
                yield task.where, f"{first} already runs at the end of {name}, and KFP keeps one; merge the two"
            elif "parameterIterator" in other.body or "importer" in spec.executor(other) or other.runs_at_exit:
                text = f"KFP runs nothing at the end of {name}; put it into a graph of its own and follow that"
                yield task.where, text


@check
def iterator(spec: Spec) -> Faults:
    """v2/compiler/argocompiler/dag.go DAG: "artifact iterator not implemented yet"; v2/driver/dag.go DAG: "cannot find
    parameter iterator", "error unmarshall raw string", "cannot find input parameter"."""
    for task in spec.tasks:
        if "artifactIterator" in task.body:
            yield f"{task.where}.artifactIterator", "KFP cannot iterate over artifacts; iterate over a parameter"
        body = task.body.get("parameterIterator")
        if body is None:
            continue
        place = f"{task.where}.parameterIterator"
        items = get(body, "items")
        if not body.get("itemInput"):
            yield place, "name the input that takes each item in itemInput"
        if "raw" in items and not _is_json_list(items["raw"]):
            yield f"{place}.items.raw", f"must be a list in JSON, got {items['raw']!r}"
        elif "raw" not in items and items.get("inputParameter") not in task.parameters:
            yield f"{place}.items", "must be raw, or inputParameter with the name of an input of the task"


@check
def final_status(spec: Spec) -> Faults:
    """v2/driver/resolve.go resolveInputParameter: "task has no dependent tasks"; it takes the first of them, whatever
    task the input names."""
    for task in spec.tasks:
        for name, source in task.parameters.items():
            if "taskFinalStatus" in source and not task.body.get("dependentTasks"):
                place = f"{task.where}.inputs.parameters.{name}"
                yield place, "KFP takes the status of the first of dependentTasks; name that task there"


@check
def retries(spec: Spec) -> Faults:
    """v2/compiler/argocompiler/container.go getTaskRetryParametersWithValues hands these to Argo as text, whose
    workflow/controller/operator.go processNodeRetries wants a whole factor, and takes a missing backoffMaxDuration,
    which is 0, for a time that is over: "Max duration limit exceeded". It counts from the first attempt's start."""
    for task in spec.tasks:
        policy = task.body.get("retryPolicy")
        if policy is None:
            continue
        place = f"{task.where}.retryPolicy"
        if int(policy.get("maxRetryCount", 0)) < 0:
            yield f"{place}.maxRetryCount", f"must be 0 or more, got {policy['maxRetryCount']}"
        factor = float(policy.get("backoffFactor", 0))
        if factor != int(factor) or factor < 0:
            yield f"{place}.backoffFactor", f"must be a whole number for Argo, got {policy['backoffFactor']}"
        longest = _seconds(policy.get("backoffMaxDuration", "0s"))
        if longest < 1:
            text = "must be longer than all attempts together: without it, or with 0s, Argo retries nothing"
            yield f"{place}.backoffMaxDuration", text
        elif _seconds(policy.get("backoffDuration", "0s")) >= longest:
            yield f"{place}.backoffDuration", "must be shorter than backoffMaxDuration, or Argo retries nothing"


@check
def constant_placeholder(spec: Spec) -> Faults:
    """v2/driver/resolve.go resolveInputParameter replaces the run's placeholders where they are the whole constant, and
    {{$.workspace_path}} within it, for which argo.go Compile wants a workspace; the launcher's getPlaceholders, where a
    component takes {{$}}, those of the task's parameters. Others reach the component as they are."""
    workspace = get(spec.kubernetes, "pipelineConfig").get("workspace")
    for place, task, _, source in _parameters(spec):
        value = get(source, "runtimeValue").get("constant")
        for where, text in strings(value, place):
            for placeholder in PLACEHOLDER.findall(text):
                parameter = INPUT_PARAMETER.fullmatch(placeholder)
                if placeholder == WORKSPACE and not workspace:
                    yield where, "needs platforms.kubernetes.pipelineConfig.workspace; give its size there"
                elif placeholder == WORKSPACE or (parameter and task and parameter[1] in task.parameters):
                    continue
                elif text not in RUN_PLACEHOLDERS or text != value:
                    yield where, f"KFP doesn't replace {placeholder} here; use only {_listed(sorted(RUN_PLACEHOLDERS))}"


@check
def braces(spec: Spec) -> Faults:
    """Argo's util/template/template.go NewTemplate and simple_template.go: the specs travel as parameters of the
    workflow, in which {{ begins a name of Argo's: {{workflow.name}} is replaced, {{=...}} evaluated, {{inputs.x}}
    refused, and one without an end spoils the whole."""
    for where, document in (("", spec.pipeline), ("platforms.kubernetes", spec.kubernetes)):
        for place, text in strings(document, where):
            if "{{" in PLACEHOLDER.sub("", text):
                yield place, "has {{ in it, which Argo takes for a variable of its own; write it in another way"


@check
def caching(spec: Spec) -> Faults:
    """v2/driver/container.go Container: on a hit no pod starts. What a driver of TFX's looks up (--driver_class_path)
    and where a model goes are not in the key of v2/cacheutils/cache.go GenerateCacheKey. What another task looked up
    and hands over as a parameter is."""
    for container in spec.containers:
        outputs = get(container.component, "outputDefinitions", "artifacts").values()
        kinds = " ".join(str(value) for defined in outputs for value in get(defined, "artifactType").values())
        looks = "--driver_class_path" in container.body.get("args", ())
        pushes = re.search(r"\btfx\.PushedModel\b", kinds)
        for task in container.tasks:
            has_lookup = any("taskOutputParameter" in source for source in task.parameters.values())
            if ((looks and not has_lookup) or pushes) and get(task.body, "cachingOptions").get("enableCache"):
                why = "what it looks up" if looks else "where it pushes to"
                text = f"must be off: {why} is not in KFP's cache key, so after a hit it would not be done"
                yield f"{task.where}.cachingOptions.enableCache", text


@check
def size(spec: Spec) -> Faults:
    """Linux takes 128 KiB for one argument, and v2/compiler/argocompiler hands the driver each spec as one, the driver
    the launcher the component's (v2/driver/driver.go initPodSpecPatch); Argo's workflow/packer/packer.go
    compressWorkflow: "workflow is longer than maximum allowed size", 1 MiB."""
    for place, component in spec.reached.items():
        if place != "root":
            yield from _too_long(place, component)
    for task in spec.tasks:
        yield from _too_long(task.where, task.body)
    for container in spec.containers:
        yield from _too_long(container.where, container.body)
    whole = _bytes([spec.pipeline, spec.kubernetes])
    if whole > WORKFLOW_BYTES:
        text = f"the pipeline is {whole:,} bytes long, and Argo takes 1 MiB; move long values into artifacts"
        yield "root", text


def _too_long(place: str, body: Any) -> Faults:
    if _bytes(body) >= ARGUMENT_BYTES:
        text = (
            f"is {_bytes(body):,} bytes long, and KFP passes it as one argument of at most 128 KiB; shorten its values"
        )
        yield place, text


def _bytes(body: Any) -> int:
    return len(json.dumps(body, separators=(",", ":"), ensure_ascii=False, default=str).encode())


def _parameters(spec: Spec) -> Iterator[tuple[str, Task | None, str, Body]]:
    """Every place that says where a value comes from: the place, the task, the parameter's name, the source."""
    for task in spec.tasks:
        for name, source in task.parameters.items():
            yield f"{task.where}.inputs.parameters.{name}", task, name, source
    for label, pod in spec.pods.items():
        for field, value in pod.items():
            for number, item in enumerate(value if isinstance(value, list) else [value]):
                for name, source in item.items() if isinstance(item, dict) else ():
                    if (
                        name.endswith(("Parameter", "Json"))
                        and isinstance(source, dict)
                        and name != "taskOutputParameter"
                    ):
                        place = f"platforms.kubernetes.deploymentSpec.executors.{label}.{field}"
                        yield (
                            f"{place}[{number}].{name}" if isinstance(value, list) else f"{place}.{name}",
                            None,
                            "",
                            source,
                        )


def _producer_outputs(task: Task) -> Iterator[tuple[str, str, Body]]:
    for source in task.parameters.values():
        if "taskOutputParameter" in source:
            yield "parameters", "outputParameterKey", source["taskOutputParameter"]
    for source in task.artifacts.values():
        if "taskOutputArtifact" in source:
            yield "artifacts", "outputArtifactKey", source["taskOutputArtifact"]


def _outputs(spec: Spec, task: Body, kind: str) -> Body | None:
    """The outputs of the task's component; None without a component, which other rules report."""
    component = spec.components.get(get(task, "componentRef").get("name", ""))
    return None if component is None else get(component, "outputDefinitions", kind)


def _selectors(component: Body) -> Iterator[tuple[str, str, Body]]:
    outputs = get(component, "dag", "outputs")
    for output in get(outputs, "artifacts").values():
        for selector in output.get("artifactSelectors", ()):
            yield "artifacts", "outputArtifactKey", selector
    for output in get(outputs, "parameters").values():
        several = get(output, "valueFromOneof").get("parameterSelectors", ())
        for selector in (*several, *filter(None, [output.get("valueFromParameter")])):
            yield "parameters", "outputParameterKey", selector


def _importers(spec: Spec) -> Iterator[tuple[str, Body]]:
    for component in spec.reached.values():
        label = component.get("executorLabel", "")
        if "importer" in get(spec.executors, label):
            yield label, spec.executors[label]["importer"]


def _type_faults(place: str, kind: Body) -> Faults:
    if kind.get("schemaUri"):
        yield place, "KFP doesn't take a schemaUri; give schemaTitle or instanceSchema"
    elif kind.get("instanceSchema"):
        if not re.search(r"^title:\s*\S", kind["instanceSchema"], re.MULTILINE):
            yield place, "its instanceSchema has no title, by which KFP identifies a type; add a line title: ..."
    elif not kind.get("schemaTitle"):
        yield place, "has neither schemaTitle nor instanceSchema, and KFP fails after the component has run; give one"


def _may_be_null(spec: Spec, task: Task, source: Body) -> bool:
    name = source.get("componentInputParameter", "")
    definition = get(task.parent, "inputDefinitions", "parameters", name)
    left_out = task.parent is spec.root or any(
        name not in other.parameters for other in spec.tasks if other.component is task.parent
    )
    return left_out and bool(definition.get("isOptional")) and definition.get("defaultValue") is None


def _source_type(spec: Spec, task: Task, source: Body) -> str:
    """The type of the parameter that the input comes from; '' where it isn't known."""
    if "componentInputParameter" in source:
        defined = get(task.parent, "inputDefinitions", "parameters", source["componentInputParameter"])
    elif "taskOutputParameter" in source:
        output = source["taskOutputParameter"]
        producer = task.siblings.get(output.get("producerTask", ""), {})
        if "parameterIterator" in producer:
            return "LIST"
        outputs = _outputs(spec, producer, "parameters") or {}
        defined = get(outputs, output.get("outputParameterKey", ""))
    else:
        return ""
    return str(defined.get("parameterType", ""))


def _fits(value: Any, kind: str) -> bool:
    if kind not in _JSON_KINDS:
        return True
    number = kind in _NUMBERS and isinstance(value, bool)
    return isinstance(value, _JSON_KINDS[kind]) and not number


def _passes(source: str, kind: str) -> bool:
    return kind not in _JSON_KINDS or _JSON_KINDS.get(source) == _JSON_KINDS[kind]


def _is_json_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except ValueError:
        return False


def _seconds(duration: str) -> int:
    """The whole seconds of a duration, which is all that Argo gets."""
    return int(float(duration.removesuffix("s")))


def _listed(names: Any) -> str:
    return ", ".join(str(name) for name in names) or "none, as there is none"
