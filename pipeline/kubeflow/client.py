"""What Kubeflow Pipelines gets: a pipeline, its parameters, runs and schedules."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import kfp_server_api
import yaml

from pipeline.kubeflow.api import Api
from pipeline.kubeflow.settings import KubeflowSettings
from trainer.errors import InputError


@dataclass(frozen=True)
class Upload:
    """A compiled pipeline, and values for its parameters."""

    name: str
    text: str
    values: Mapping[str, Any]

    @classmethod
    def from_text(cls, text: str, assignments: Iterable[str] = ()) -> Upload:
        """assignments: `name=value` for each parameter that is not to have its default.

        Raises:
          InputError: the text is not a pipeline, or does not have these parameters.
        """
        spec = spec_of(text)
        return cls(spec["pipelineInfo"]["name"], text, parameters(spec, assignments))

    @property
    def version(self) -> str:
        """A name for the text, equal for equal texts, that Kubernetes accepts too."""
        return f"{self.name}-{hashlib.sha256(self.text.encode()).hexdigest()[:12]}"


def upload(api: Api, what: Upload, settings: KubeflowSettings) -> tuple[dict[str, Any], bool]:
    """Uploads the pipeline unless the same text is there, and returns what its runs and schedules have in common.

    The second value says whether it had to be uploaded.
    """
    pipeline = api.make_pipeline(what.name)
    version, new = api.make_version(pipeline, what.version, what.text)
    experiment = api.make_experiment(settings.experiment)
    common = {
        "experiment_id": experiment.experiment_id,
        "pipeline_version_reference": kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=pipeline.pipeline_id, pipeline_version_id=version.pipeline_version_id
        ),
        "runtime_config": kfp_server_api.V2beta1RuntimeConfig(
            parameters=dict(what.values), pipeline_root=settings.pipeline_root
        ),
        "service_account": settings.service_account,
    }
    return common, new


def start(api: Api, name: str, common: Mapping[str, Any]) -> Any:
    """Starts a run, with `common` from `upload`."""
    return api.start(kfp_server_api.V2beta1Run(display_name=name, **common))


def make_schedule(
    api: Api, name: str, common: Mapping[str, Any], trigger: Any, *, max_concurrency: int, enabled: bool
) -> tuple[Any, list[Any]]:
    """Replaces the schedules of that name, with `common` from `upload`; returns the new one and the old ones."""
    modes = kfp_server_api.RecurringRunMode
    schedule = kfp_server_api.V2beta1RecurringRun(
        display_name=name,
        trigger=trigger,
        mode=modes.ENABLE if enabled else modes.DISABLE,
        max_concurrency=str(max_concurrency),
        no_catchup=True,  # missed runs would all train on the same data
        **common,
    )
    return api.make_schedule(schedule)


def trigger(cron_expression: str | None, every: str | None) -> Any:
    """The trigger of a schedule, by a cron expression or by an interval."""
    if cron_expression is not None:
        schedule = kfp_server_api.V2beta1CronSchedule(cron=cron(cron_expression))
        return kfp_server_api.V2beta1Trigger(cron_schedule=schedule)
    periodic = kfp_server_api.V2beta1PeriodicSchedule(interval_second=str(interval(every or "")))
    return kfp_server_api.V2beta1Trigger(periodic_schedule=periodic)


def when(schedule: Any) -> str:
    """When a recurring run starts runs, in words."""
    trigger = schedule.trigger
    if trigger and trigger.cron_schedule and trigger.cron_schedule.cron:
        return f"at {trigger.cron_schedule.cron}"
    if trigger and trigger.periodic_schedule and trigger.periodic_schedule.interval_second:
        seconds = int(trigger.periodic_schedule.interval_second)
        unit = next(unit for unit in reversed(_SECONDS) if seconds % _SECONDS[unit] == 0)
        return f"every {seconds // _SECONDS[unit]}{unit}"
    return "never"


def is_disabled(schedule: Any) -> bool:
    return "DISABLED" in (schedule.status, f"{schedule.mode}D")


def spec_of(text: str) -> dict[str, Any]:
    """The pipeline's document in a compiled YAML.

    Raises:
      InputError: the text is not YAML, or not a pipeline.
    """
    try:
        document = next(iter(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))), None)
    except yaml.YAMLError as error:
        raise InputError(f"the pipeline is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict) or "root" not in document:
        raise InputError("the pipeline has no key 'root'; `kubeflow compile` writes one that has it")
    return document


def parameters(spec: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """The values in `name=value` assignments, converted to the types of the pipeline's parameters.

    Raises:
      InputError: all faults at once: an unknown name, a value of another type, a missing parameter.
    """
    definitions = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    values: dict[str, Any] = {}
    wrong = []
    named = set()
    for one in assignments:
        name, equals, text = one.partition("=")
        named.add(name)
        if not equals:
            wrong.append(f"--param takes name=value, got {one!r}")
        elif name not in definitions:
            near = difflib.get_close_matches(name, definitions, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(definitions)) or 'none'}"
            wrong.append(f"--param {name}: the pipeline has no such parameter; {hint}")
        else:
            read, expected = _READ[definitions[name].get("parameterType", "STRING")]
            try:
                values[name] = read(text)
            except ValueError:
                wrong.append(f"--param {name} must be {expected}, got {text!r}")
    for name, definition in definitions.items():
        if name not in named and "defaultValue" not in definition and not definition.get("isOptional"):
            wrong.append(f"the parameter {name} has no default: set it by --param {name}=VALUE")
    if wrong:
        raise InputError("\n".join(wrong))
    return values


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):  # JSON has no other
        raise ValueError(text)
    return value


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _json_of(kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = json.loads(text)
        if not isinstance(value, kind):
            raise ValueError(text)
        return value

    return read


_READ: dict[str, tuple[Callable[[str], Any], str]] = {
    "STRING": (str, "text"),
    "NUMBER_INTEGER": (int, "a whole number"),
    "NUMBER_DOUBLE": (_number, "a number"),
    "BOOLEAN": (_boolean, "true or false"),
    "LIST": (_json_of(list), "a list in JSON"),
    "STRUCT": (_json_of(dict), "an object in JSON"),
}


_CRON_FIELDS = (
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 6),
)
_CRON_NAMES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


def cron(text: str) -> str:
    """A cron expression for Kubeflow, which has the seconds before the usual five fields.

    Kubeflow accepts five fields too, but takes them for seconds to month: what means three in the morning elsewhere
    would run at three minutes past every hour. So five fields get a second 0 here.

    Raises:
      InputError: it is not a cron expression.
    """
    example = "as '0 3 * * *' for three in the morning, or '0 30 8 * * 1-5' with the seconds first"
    if text.startswith("@"):
        if text not in _CRON_NAMES:
            raise InputError(f"--cron {text}: known are {', '.join(_CRON_NAMES)}; or write five fields, {example}")
        return text
    fields = text.split()
    if len(fields) not in (5, 6):
        raise InputError(f"--cron takes five fields, or six with the seconds first, got {text!r}; {example}")
    fields = ["0", *fields][-6:]
    for field, (name, low, high) in zip(fields, _CRON_FIELDS, strict=True):
        numbers = [int(number) for number in re.findall(r"(?<![/\d])\d+", field)]
        if not re.fullmatch(r"[\dA-Za-z*?,/-]+", field) or any(not low <= number <= high for number in numbers):
            raise InputError(f"--cron {text!r}: the {name} must be within {low} to {high}, got {field!r}; {example}")
    return " ".join(fields)


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def interval(text: str) -> int:
    """An interval such as `90m`, `6h` or `1d` in seconds.

    Raises:
      InputError: it has another form.
    """
    match = re.fullmatch(r"([1-9]\d*)([smhd])", text)
    if match is None:
        raise InputError(f"--every takes a number with s, m, h or d, as 6h, got {text!r}")
    return int(match[1]) * _SECONDS[match[2]]
