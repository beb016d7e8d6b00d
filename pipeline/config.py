"""The configuration: one typed, frozen value from a YAML file and `--set` overrides."""

from __future__ import annotations

import difflib
import re
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from components import engines
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
from trainer.frozen import Frozen, Seed
from trainer.places import expanded, problem
from trainer.sampling import SamplingRates

MOST_ROWS = 1_000_000_000  # to synthesize
_PATTERNS = "?*[]\\"


def _path(value: str) -> str:
    """A path that files can have.

    Raises:
      ValueError: it is empty, or has characters that no path has.
    """
    if not value:
        raise ValueError("expected a path, got an empty text")
    if "\0" in value:
        raise ValueError(f"no path has a NUL character in it, got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"the metadata of runs can't hold a path that is not UTF-8, got {value!r}; rename the file or folder"
        ) from None
    return value


def _pipeline_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,99}", name):
        raise ValueError(
            f"expected at most 100 lower-case letters, digits and hyphens, beginning with a letter, got {name[:200]!r}"
        )
    return name


def _local_path(value: Any) -> Any:
    """A path on this machine, from the home folder where it begins with `~`."""
    if not isinstance(value, (str, Path)):
        return value
    path = _path(str(value)).removeprefix("file://")
    if "://" in path or (isinstance(value, Path) and ":/" in path.partition("/")[0] + "/"):
        raise ValueError(f"expected a path on this machine, got {value!s}; copy it here, or name another")
    return expanded(path)


LocalPath = Annotated[Path, BeforeValidator(_local_path)]


class CardOverride(Frozen):
    """What the configuration says about the data, in place of the data card."""

    name: str | None = Field(None, description="name of the data; null: as the data card says")
    source: str | None = Field(None, description="where the data comes from; null: as the data card says")
    licence: str | None = Field(None, description="licence of the data; null: as the data card says")


class Synthesize(Frozen):
    """The transactions that `data.path: auto` synthesizes when it cannot get real ones."""

    rows: int = Field(284_807, gt=0, le=MOST_ROWS, description="number of transactions")
    seed: Seed = Field(7, description="seed of the generator: the same seed gives the same rows")


class Data(Frozen):
    """Which transactions to read, and how to split them."""

    path: Annotated[str, AfterValidator(_path)] = Field(
        "auto",
        description="a file, a folder or a glob of CSV or Parquet files, local or remote; a relative path begins at "
        "the current folder; auto: the file that FRAUD_PIPELINE_DATA names, else the real ULB transactions, else "
        "synthesized ones",
    )
    sampling_rates: SamplingRates | None = Field(
        None,
        description="the share of each class that the data holds, if it is a sample; null: as the data card says, and "
        "without a data card everything",
    )
    card_path: Path | None = Field(
        None,
        description="a data card elsewhere than beside the data, by a path relative to the configuration file; null: "
        "the one beside the data, if there is one",
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

    name: Annotated[str, AfterValidator(_pipeline_name)] = Field(
        "fraud",
        description="name of the pipeline in the metadata: lower-case letters, digits and hyphens, beginning with a "
        "letter",
    )
    workspace: LocalPath = Field(
        Path("workspace"),
        description="the folder for everything that a run makes: metadata, artifacts, models, logs; it is on this "
        "machine, and a relative path begins at the current folder",
    )
    data: Data = Field(Data(), description="which transactions to read, and how to split them")
    schema_path: LocalPath | None = Field(
        None,
        alias="schema",
        description="a curated schema (.pbtxt) on this machine, by a path relative to the configuration file, and with "
        "--set to the current folder; null: inferred from the "
        "data, which is fine for a first look",
    )

    @property
    def root(self) -> Path:
        return self.workspace.absolute()

    @model_validator(mode="after")
    def _one_folder(self) -> RunSettings:
        # TFX and Beam take paths below it as patterns: a run in `run?` read and deleted files of `runA`.
        if patterns := sorted(set(_PATTERNS) & set(str(self.root))):
            raise ValueError(
                f"the workspace {self.root} has {' and '.join(patterns)} in its path, by which TFX and Beam would find "
                "other folders as well; name another one with --set workspace=PATH"
            )
        return self


class Config(ModelSettings, RunSettings):
    """Everything that a run depends on."""

    model_config = ConfigDict(populate_by_name=True)

    challengers: ChallengersSettings = Field(
        ChallengersSettings(), description="other models that each run fits for comparison; off: none"
    )
    evaluation: EvaluationSettings = Field(EvaluationSettings(), description="what a model must reach to be pushed")
    model_card: ModelCardSettings = Field(ModelCardSettings(), description="what people say about the model")
    beam_processes: int = Field(
        1,
        gt=0,
        le=1_000,
        description="number of processes on this machine that share Beam's steps; 1: the pipeline's own process, or "
        "the workers of the runner that beam_args names",
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
    def _one_engine(self) -> Config:
        runner = engines.runner(self.beam_args)
        if runner and self.beam_processes > 1:
            raise ValueError(
                f"beam_processes is {self.beam_processes}, but beam_args names another runner ({runner}), which "
                "has workers of its own: leave beam_processes out, and set their number as that runner expects it"
            )
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
            raise InputError(_in_words(error, {(): "the data card"}, values)) from error
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


def load(path: Path | str | None = None, overrides: Iterable[str] = (), *, data_path: str | None = None) -> Config:
    """The config in a YAML file, or the preset `local`, with `key.key=value` overrides.

    Args:
      data_path: in place of `data.path`, exactly as it is.

    Raises:
      InputError: all faults at once, each with what was got, what is allowed, and the nearest known key.
    """
    source = expanded(path) if path else preset("local")
    values, origins = _read(source)
    overrides = list(overrides)
    for override in overrides:
        _apply(values, origins, override)
    if data_path is not None:
        _put(values, origins, ("data", "path"), data_path, _COMMAND_LINE)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise InputError(_in_words(error, origins, values)) from error


# Which source each key's value is from: a file, or --set; by the keys that lead to it.
Origins = dict[tuple[Any, ...], str]
_OVERRIDE = "--set"
_COMMAND_LINE = "the command line"


def _read(path: Path, seen: tuple[Path, ...] = ()) -> tuple[dict[str, Any], Origins]:
    """A YAML file over the one that its `extends` names; paths in it are relative to the file."""
    if path in seen:
        raise InputError(f"{path} extends itself, by way of {', '.join(map(str, seen))}")
    try:
        values = yaml_text.read(path)
    except FileNotFoundError as error:
        raise InputError(
            f"no configuration {path}; see configs/ for examples, or make one: {command('init', 'DATA')}"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {problem(error)}; name a YAML file with --config") from error
    except ValueError as error:  # what is not UTF-8 among it
        raise InputError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(values, dict):
        kind = {list: "a list", type(None): "nothing"}.get(type(values), "a single value")
        raise InputError(f"{path} holds {kind}, expected keys and values such as 'columns:'")
    _rename(values, str(path))
    data = values.get("data")
    if isinstance(data, dict) and isinstance(data.get("card_path"), str):
        values["data"] = {**data, "card_path": str(path.parent / expanded(data["card_path"]))}
    if isinstance(values.get("schema"), str) and "://" not in values["schema"].removeprefix("file://"):
        values["schema"] = str(path.parent / expanded(values["schema"].removeprefix("file://")))
    base = values.pop("extends", None)
    origins = _origins(values, str(path))
    if base is None:
        return values, origins
    if not isinstance(base, str) or not base or "\0" in base:
        raise InputError(f"{path}: extends: expected the path of a configuration, got {base!r}")
    base_values, base_origins = _read(path.parent / expanded(base), (*seen, path))
    return _merged(base_values, values), base_origins | origins


def _origins(values: Any, source: str, where: tuple[Any, ...] = ()) -> Origins:
    origins = {where: source}
    if isinstance(values, dict):
        for key, value in values.items():
            origins |= _origins(value, source, (*where, key))
    return origins


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` on `base`: mappings are merged key by key, except for roles, which replace each other whole."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both and key != "categorical" else value
    return merged


def _apply(values: dict[str, Any], origins: Origins, override: str) -> None:
    """One `--set`, in place."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set takes key=value, got {override[:200]!r}; for example --set training.epochs=1")
    path = key.strip().split(".")
    if len(path) > yaml_text.DEEPEST:
        raise InputError(f"--set {override[:200]}: no key has so many parts")
    value = _value(path, text, override)
    for part in reversed(path):
        value = {part: value}
    _rename(value, f"--set {override}")
    for depth in range(len(path)):
        ((path[depth], value),) = value.items()
    _put(values, origins, tuple(path), value, _OVERRIDE)


def _value(path: list[str], text: str, override: str) -> Any:
    """What a `--set` gives its key: YAML, but where the key takes a text the text itself, if it is not in quotes.

    In YAML the path `a.csv #2.csv` is another one with a comment, and `*.csv` none at all.
    """
    kinds = _kinds_at(path)
    takes_text = any(kind in (str, Path) for kind in kinds)
    stripped = text.strip()
    if takes_text and type(None) in kinds and stripped in ("", "null", "~"):
        return None
    is_mapping = stripped.startswith("{") and any(get_origin(kind) is dict for kind in kinds)
    is_quoted = len(stripped) > 1 and stripped[0] == stripped[-1] and stripped[0] in "\"'"
    try:
        if not takes_text or is_mapping or is_quoted:
            value = yaml_text.parse(text)
            if yaml_text.has_comment(text):
                raise ValueError("what follows # is a comment, and would be lost; put the value in quotes")
            return value
    except ValueError as error:
        if not takes_text or is_mapping:
            raise InputError(f"--set {override[:200]}: {text[:200]!r} is not YAML: {error}") from error
    return stripped


def _kinds_at(path: list[str]) -> list[Any]:
    """The types that the value of a key may have, none where the key is unknown."""
    kinds: list[Any] = [Config]
    for part in path:
        inside = []
        for kind in kinds:
            if get_origin(kind) is dict:
                inside += _alternatives(get_args(kind)[1])
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
                inside += _alternatives(fields[part]) if part in fields else []
        kinds = inside
    return kinds


def _alternatives(annotation: Any) -> list[Any]:
    """The types of a union, also of one inside `Annotated`."""
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in _alternatives(part)]
    return [annotation]


def _put(values: dict[str, Any], origins: Origins, path: tuple[str, ...], value: Any, source: str) -> None:
    """Sets one key, in place."""
    *parents, last = path
    target = values
    for parent in parents:
        step = target.get(parent, {})
        if not isinstance(step, dict):
            raise InputError(f"{source} {'.'.join(path)}: {parent} is a value, not a section")
        # a copy: another section may be the same one, by an alias in the YAML
        target[parent] = dict(step)
        target = target[parent]
    target[last] = value
    for where in [where for where in origins if where[: len(path)] == path]:
        del origins[where]
    origins[path] = source


def _in_words(error: ValidationError, origins: Origins, values: dict[str, Any]) -> str:
    """All faults, under the file or option that each is from."""
    lines: dict[str, list[str]] = {}
    for fault in faults(error, values):
        where = ".".join(map(str, fault.where))
        if fault.kind == "extra_forbidden":
            line = f"{where}: unknown key; {_hint(fault.where)}"
        elif fault.kind == "missing":
            line = f"{where}: missing; set it in the config"
        else:
            # what concerns several keys names them
            line = f"{where}: {fault.text}" if where else fault.text
        lines.setdefault(_source(fault.where, origins), []).append(line)
    return "\n".join(
        f"{source} has {len(own)} fault{'s' * (len(own) > 1)}:\n  " + "\n  ".join(own) for source, own in lines.items()
    )


def _source(where: tuple[Any, ...], origins: Origins) -> str:
    """Where the value at this place is from; a section may be from a file and from `--set`."""
    upwards = (where[:length] for length in range(len(where), -1, -1))
    own = next(origins[place] for place in upwards if place in origins)
    inside = {source for place, source in origins.items() if place[: len(where)] == where}
    return f"{own} together with {_OVERRIDE}" if _OVERRIDE in inside - {own} else own


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
