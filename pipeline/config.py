"""The configuration: one typed, frozen value from a YAML file and `--set` overrides."""

from __future__ import annotations

import difflib
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from components.challengers_settings import ChallengersSettings
from components.evaluation.settings import EvaluationSettings
from components.leakage_settings import LeakageSettings
from components.reading.settings import SplitSettings
from components.report.settings import ModelCardSettings
from pipeline import yaml_text
from pipeline.invocation import command
from pipeline.kubeflow.settings import KubeflowSettings
from trainer.columns import Columns
from trainer.custom_config import ModelSettings
from trainer.errors import InputError, faults
from trainer.frozen import Frozen
from trainer.sampling import SamplingRates


class CardOverride(Frozen):
    """What the configuration says about the data, in place of the data card."""

    name: str | None = Field(None, description="name of the data; null: as the data card says")
    source: str | None = Field(None, description="where the data comes from; null: as the data card says")
    licence: str | None = Field(None, description="licence of the data; null: as the data card says")


class Synthesize(Frozen):
    """The transactions that `data.path: auto` synthesizes when it cannot get real ones."""

    rows: PositiveInt = Field(284_807, description="number of transactions")
    seed: int = Field(7, ge=0, description="seed of the generator: the same seed gives the same rows")


class Data(Frozen):
    """Which transactions to read, and how to split them."""

    path: str = Field(
        "auto",
        description="a file, a folder or a glob of CSV or Parquet files, local or remote; auto: the file that "
        "FRAUD_PIPELINE_DATA names, else the real ULB transactions, else synthesized ones",
    )
    sampling_rates: SamplingRates | None = Field(
        None,
        description="the share of each class that the data holds, if it is a sample; null: as the data card says, and "
        "without a data card everything",
    )
    card: CardOverride = Field(CardOverride(), description="what to say about the data instead of its data card")
    synthesize: Synthesize = Field(Synthesize(), description="the transactions to synthesize where data.path is auto")
    split: SplitSettings = Field(SplitSettings(), description="how rows are divided into train, eval and test")
    leakage: LeakageSettings = Field(
        LeakageSettings(), description="when a column that nearly tells the label by itself stops the run"
    )


class _Below:
    """A path in the workspace, as an attribute of the configuration."""

    def __init__(self, name: str):
        self._name = name

    def __get__(self, config: RunSettings, _: type[RunSettings]) -> Path:
        return config.root / self._name


class _Paths:
    """Where a run keeps what it makes."""

    metadata_path = _Below("metadata.db")
    artifacts = _Below("artifacts")
    serving_dir = _Below("serving")
    searches = _Below("searches")  # under way, or as they were when they were killed
    trainings = _Below("trainings")  # under way in other processes
    logs = _Below("logs")
    synthesized = _Below("data")


class RunSettings(_Paths, Frozen):
    """What a run is of: its name, its folder and its data."""

    name: str = Field(
        "fraud",
        pattern=r"^[a-z][a-z0-9-]*$",
        description="name of the pipeline in the metadata: lower-case letters, digits and hyphens, beginning with a "
        "letter",
    )
    workspace: Path = Field(
        Path("workspace"), description="the folder for everything that a run makes: metadata, artifacts, models, logs"
    )
    data: Data = Field(Data(), description="which transactions to read, and how to split them")
    schema_path: Path | None = Field(
        None,
        alias="schema",
        description="a curated schema (.pbtxt), by a path relative to the configuration file; null: inferred from the "
        "data, which is fine for a first look",
    )

    @property
    def root(self) -> Path:
        return self.workspace.expanduser().absolute()


class Config(ModelSettings, RunSettings):
    """Everything that a run depends on."""

    model_config = ConfigDict(populate_by_name=True)

    challengers: ChallengersSettings = Field(
        ChallengersSettings(), description="other models that each run fits for comparison; off: none"
    )
    evaluation: EvaluationSettings = Field(EvaluationSettings(), description="what a model must reach to be pushed")
    model_card: ModelCardSettings = Field(ModelCardSettings(), description="what people say about the model")
    beam_processes: PositiveInt = Field(
        1, description="number of processes on this machine that share Beam's steps; 1: the pipeline's own process"
    )
    beam_args: tuple[str, ...] = Field((), description="further arguments for Beam, such as --runner=FlinkRunner")
    kubeflow: KubeflowSettings | None = Field(
        None, description="how the pipeline runs on a cluster; null: on this machine only"
    )

    @model_validator(mode="after")
    def _time_for_time_split(self) -> Config:
        if self.columns and self.data.split.by == "time" and not self.columns.time:
            raise ValueError("data.split.by is time but columns.time names no column; name it, or split by random")
        return self

    @model_validator(mode="after")
    def _known_columns(self) -> Config:
        unknown = [name for name in self.data.leakage.known_before if self.columns and name not in self.columns.inputs]
        if unknown:
            raise ValueError(
                f"data.leakage.known_before names {', '.join(map(repr, unknown))}, which the model does not learn "
                "from: name a column that has the role time, amount, numeric or categorical, or remove it there"
            )
        return self

    @property
    def roles(self) -> Columns:
        """The columns, once the config is complete."""
        if self.columns is None:
            raise InputError(
                "which column is what is not known: name the roles under columns, put a data card with roles beside "
                f"the data, or have them proposed: {command('init', 'DATA')}"
            )
        return self.columns

    @property
    def sampling_rates(self) -> SamplingRates:
        return self.data.sampling_rates or SamplingRates()

    def completed(self, rates: SamplingRates, roles: dict[str, Any] | None) -> Config:
        """This config with what a data card says where it says nothing itself."""
        values = self.model_dump(by_alias=True)
        values["columns"] = values["columns"] or roles
        values["data"]["sampling_rates"] = values["data"]["sampling_rates"] or rates
        try:
            complete = Config.model_validate(values)
        except ValidationError as error:
            raise InputError(_in_words(error, "the data card", values)) from error
        complete.roles  # noqa: B018 - raises where neither names them
        return complete


def preset(name: str) -> Path:
    """`configs/NAME.yaml` of the current folder, of the source tree, or of the installation."""
    folders = (
        Path("configs"),
        Path(__file__).resolve().parents[1] / "configs",
        Path(sysconfig.get_path("data")) / "share" / "fraud-pipeline" / "configs",
        Path(sys.prefix) / "share" / "fraud-pipeline" / "configs",
    )
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    raise InputError(f"no preset {name}.yaml in {', '.join(str(folder) for folder in folders)}; give --config PATH")


def load(path: Path | str | None = None, overrides: Iterable[str] = ()) -> Config:
    """The config in a YAML file, or the preset `local`, with `key.key=value` overrides.

    Raises:
      InputError: all faults at once, each with what was got, what is allowed, and the nearest known key.
    """
    source = Path(path) if path else preset("local")
    values = _read(source)
    for override in overrides:
        _apply(values, override)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise InputError(_in_words(error, source, values)) from error


def _read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A YAML file over the one that its `extends` names; paths in it are relative to the file."""
    if path in seen:
        raise InputError(f"{path} extends itself, by way of {', '.join(map(str, seen))}")
    try:
        values = yaml_text.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"no configuration {path}; see configs/ for examples, or make one: {command('init', 'DATA')}"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # what is not UTF-8 among it
        raise InputError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds {type(values).__name__}, expected keys and values such as 'columns:'")
    _rename(values, str(path))
    if isinstance(values.get("schema"), str):
        values["schema"] = str(path.parent / values["schema"])
    base = values.pop("extends", None)
    if base is None:
        return values
    return _merged(_read(path.parent / str(base), (*seen, path)), values)


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on `base`: mappings are merged key by key, except for roles, which replace each other whole."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both and key != "categorical" else value
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    """One `--set`, in place."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set takes key=value, got {override!r}; for example --set training.epochs=1")
    path = key.strip().split(".")
    try:
        value = yaml_text.parse(text)
    except ValueError as error:
        raise InputError(f"--set {override[:200]}: {text[:200]!r} is not YAML: {error}") from error
    for part in reversed(path):
        value = {part: value}
    _rename(value, f"--set {override}")
    for depth in range(len(path)):
        ((path[depth], value),) = value.items()
    *parents, last = path
    target = values
    for parent in parents:
        step = target.get(parent, {})
        if not isinstance(step, dict):
            raise InputError(f"--set {override}: {parent} is a value, not a section")
        # a copy: another section may be the same one, by an alias in the YAML
        target[parent] = dict(step)
        target = target[parent]
    target[last] = value


def _in_words(error: ValidationError, source: Path | str, values: dict[str, Any]) -> str:
    lines = []
    for fault in faults(error, values):
        where = ".".join(map(str, fault.where))
        if fault.kind == "extra_forbidden":
            lines.append(f"{where}: unknown key; {_hint(fault.where)}")
        elif fault.kind == "missing":
            lines.append(f"{where}: missing; set it in the config")
        else:
            # what concerns several keys names them
            lines.append(f"{where}: {fault.text}" if where else fault.text)
    return f"{source} has {len(lines)} fault{'s' * (len(lines) > 1)}:\n  " + "\n  ".join(lines)


# Keys of earlier versions, which go on working: section, key, its name now.
RENAMED = (("tuning", "elsewhere", "external_workers"), ("tuning", "stop_hopeless", "prune_trials"))


def _rename(values: dict[str, Any], source: str) -> None:
    """Gives each key of an earlier version its name of today, in place, and says so.

    It is done in each source before they are merged: what overrides a key may use either name.

    Args:
      source: the file or the override that the values are from.

    Raises:
      InputError: the source sets both names.
    """
    hints = []
    for section, old, new in RENAMED:
        inside = values.get(section)
        if not isinstance(inside, dict) or old not in inside:
            continue
        if new in inside:
            raise InputError(f"{source} sets {section}.{new} and {section}.{old}, its earlier name; remove the latter")
        values[section] = {new if key == old else key: value for key, value in inside.items()}
        hints.append(f"{section}.{old} is called {section}.{new} now; it still works, please rename it in {source}")
    if hints:
        from pipeline.console import say

        say(*hints, stderr=True)


MOVED: dict[tuple[int | str, ...], str] = {("training", "threshold"): "decision.threshold"}


def _hint(location: tuple[int | str, ...]) -> str:
    """The key that was meant: of that name one level down, or of nearly that name."""
    if location in MOVED:
        return f"it is {MOVED[location]} now"
    *section, key = location
    model: type[BaseModel] = Config
    for part in section:
        model = _sections(model).get(str(part), model)  # a place in a list leads no deeper
    deeper = [f"{name}.{key}" for name, inside in _sections(model).items() if key in _keys(inside)]
    near = deeper or difflib.get_close_matches(str(key), _keys(model), 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(_keys(model)))}"


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _sections(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    inner = {field.alias or name: _model_in(field.annotation) for name, field in model.model_fields.items()}
    return {name: section for name, section in inner.items() if section}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a value of this type may be, such as that of `SamplingRates | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
