"""Settings of the search, and the space that it searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from trainer.errors import faults, shown
from trainer.frozen import Frozen, Seed
from trainer.search import hyperband
from trainer.settings import (
    Activation,
    BatchSize,
    Epochs,
    FocalGamma,
    FraudWeight,
    Layers,
    LearningRate,
    Loss,
    Minutes,
    Network,
    Objective,
    Optimizer,
    Penalty,
    Shape,
    Training,
    Units,
    check_size,
)


def tapered(units: int, layers: int) -> tuple[int, ...]:
    """Neurons of each hidden layer, halved from one to the next: 32 and 3 give 32, 16, 8."""
    return tuple(max(1, units >> layer) for layer in range(layers))


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters by name, each converted to its type (YAML reads 1e-3 as text), without Hyperband's own keys.

    Raises:
      ValueError: a name that no hyperparameter has, or a value that is not allowed.
    """
    own = hyperband.without_own_keys(values)
    unknown = sorted(own.keys() - Space.model_fields.keys())
    if unknown:
        raise ValueError(f"no hyperparameter is called {', '.join(unknown)}; there are {', '.join(Space.model_fields)}")
    if not own:
        return {}
    single = {name: [value] for name, value in own.items()}
    try:
        space = Space.model_validate(single)
    except ValidationError as error:
        raise ValueError("; ".join(f"{fault.where[0]}: {fault.text}" for fault in faults(error, single))) from None
    return {name: choices[0] for name, choices in space.domains.items() if isinstance(choices, tuple)}


class Range(Frozen):
    """All values from `low` to `high`."""

    low: float = Field(ge=0, le=1_000_000, description="lowest value")
    high: float = Field(gt=0, le=1_000_000, description="highest value")

    @model_validator(mode="after")
    def _rising(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low:g} and {self.high:g}; for one value give [value]")
        return self


def _listed(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        if not value:
            raise ValueError(f"expected at least one choice, got {value!r}; null keeps the value of training")
        return value
    single = isinstance(value, (bool, int, float, str))
    way_out = f"; for a single one give [{value}]" if single else ""
    raise ValueError(f"expected a list of choices, got {value!r}{way_out}")


def _listed_or_range(value: Any) -> str:
    return "range" if isinstance(value, (Mapping, Range)) else "choices"


Share = Annotated[float, Field(ge=0, lt=1)]
_Value = TypeVar("_Value")
Choices = Annotated[tuple[_Value, ...], Field(max_length=1_000), BeforeValidator(_listed)]
# Told apart by their form, so that a fault is reported for the one that was meant.
Domain = Annotated[
    Annotated[Choices[_Value], Tag("choices")] | Annotated[Range, Tag("range")], Discriminator(_listed_or_range)
]

# of hyperparameters that may be searched over a range, what each single value of it must be
_RANGED: Mapping[str, TypeAdapter[Any]] = {
    "weight_decay": TypeAdapter(Penalty),
    "learning_rate": TypeAdapter(LearningRate),
    "focal_gamma": TypeAdapter(FocalGamma),
    "fraud_weight": TypeAdapter(FraudWeight),
}


class Space(Frozen):
    """What a search tries: a list of choices or a range `{low, high}`; a null hyperparameter stays as in `training`."""

    layers: Choices[Layers] | None = Field(None, description="number of hidden layers")
    units: Choices[Units] | None = Field(None, description="number of neurons of the first hidden layer")
    shape: Choices[Shape] | None = Field(
        None, description="of the further layers: tapered halves the neurons from layer to layer, equal keeps them"
    )
    activation: Choices[Activation] | None = Field(None, description="as training.network.activation")
    dropout: Domain[Share] | None = Field(None, description="as training.network.dropout")
    batch_normalization: Choices[bool] | None = Field(None, description="as training.network.batch_normalization")
    weight_decay: Domain[Penalty] | None = Field(None, description="as training.network.weight_decay")
    optimizer: Choices[Optimizer] | None = Field(None, description="as training.optimizer")
    learning_rate: Domain[LearningRate] | None = Field(
        None, description="as training.learning_rate; a range is searched on a log scale"
    )
    momentum: Domain[Share] | None = Field(None, description="as training.momentum; tried with sgd only")
    batch_size: Choices[BatchSize] | None = Field(None, description="as training.batch_size")
    epochs: Choices[Epochs] | None = Field(
        None, description="epochs of a trial, and then of the model; null: a trial's are tuning.epochs"
    )
    loss: Choices[Loss] | None = Field(None, description="as training.loss")
    focal_gamma: Domain[FocalGamma] | None = Field(
        None, description="as training.focal_gamma; tried with the focal loss only"
    )
    fraud_weight: Domain[FraudWeight | Literal["balanced"]] | None = Field(
        None, description="as training.fraud_weight; a range is searched on a log scale"
    )

    @property
    def domains(self) -> dict[str, tuple[Any, ...] | Range]:
        """The hyperparameters that are searched, and the choices or the range of each."""
        return {name: getattr(self, name) for name in Space.model_fields if getattr(self, name) is not None}

    @model_validator(mode="after")
    def _bounded(self) -> Space:
        if not self.domains:
            raise ValueError(
                "the space is empty; name at least one hyperparameter to search, such as learning_rate: "
                "{low: 0.0003, high: 0.01}, or switch the search off with tuning: off"
            )
        for name in ("dropout", "momentum"):
            domain = getattr(self, name)
            if isinstance(domain, Range) and domain.high >= 1:
                raise ValueError(f"{name} must stay below 1, got {domain.high:g}")
        for name in ("learning_rate", "fraud_weight"):
            domain = getattr(self, name)
            if isinstance(domain, Range) and domain.low == 0:
                raise ValueError(f"{name} is searched on a log scale, so its low must be above 0")
        for name, kind in _RANGED.items():
            domain = getattr(self, name)
            if isinstance(domain, Range):
                try:
                    kind.validate_python(domain.high)
                except ValidationError as error:
                    (fault,) = faults(error, domain.high)
                    raise ValueError(f"{name}.high: {fault.text}") from None
        layers, units = max(self.layers or (1,)), max(self.units or (1,))
        shapes = self.shape or ("tapered",)
        check_size((units,) * layers if "equal" in shapes else tapered(units, layers))
        return self


# By name, for `tuning.space`.
SPACES = {
    "default": Space(
        layers=(1, 2, 3), units=(16, 32, 64), learning_rate=Range(low=3e-4, high=1e-2), dropout=(0.0, 0.2)
    ),
    # the tutorial's own: 6 combinations
    "tutorial": Space(layers=(1, 2, 3), units=(20, 30), shape=("equal",)),
    # what the tutorial says should be searched too, and what others search
    "wide": Space(
        layers=(1, 2, 3),
        units=(16, 32, 64, 128),
        shape=("tapered", "equal"),
        activation=("tanh", "relu", "selu"),
        dropout=Range(low=0.0, high=0.5),
        batch_normalization=(False, True),
        optimizer=("adam", "adamw", "sgd", "rmsprop", "adagrad", "adadelta"),
        learning_rate=Range(low=1e-4, high=3e-2),
        momentum=Range(low=0.5, high=0.99),
        batch_size=(256, 512, 1024, 2048),
        loss=("binary_crossentropy", "focal"),
        focal_gamma=Range(low=0.5, high=4.0),
        fraud_weight=Range(low=1.0, high=100.0),
    ),
}


# (hyperparameter, the one it depends on, that one's value)
CONDITIONS = (("momentum", "optimizer", "sgd"), ("focal_gamma", "loss", "focal"))


class Tuning(Frozen):
    """The search for hyperparameters; `off` is short for `{enabled: false}`."""

    enabled: bool = Field(True, description="whether a run searches")
    oracle: Literal["random", "hyperband", "bayesian", "grid"] = Field(
        "random", description="what proposes the next trial"
    )
    objective: Objective = Field(
        "average_precision", description="the figure that trials are compared by, on eval or as the mean over the folds"
    )
    space: Space = Field(
        SPACES["default"], description=f"what to search: a mapping, or the name of a preset: {', '.join(SPACES)}"
    )
    trials: int = Field(
        4,
        gt=0,
        le=100_000,
        description="most trials; hyperband plans its own number, from tuning.epochs and tuning.factor",
    )
    epochs: Epochs = Field(5, description="epochs of a trial; with hyperband those of the trials that get furthest")
    factor: int = Field(
        3, ge=2, le=1_000, description="hyperband keeps one trial in this many from one rung to the next"
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=10_000,
        description="number of folds of a cross-validation on train, forward in time where data.split.by is time and "
        "stratified where it is random; null: each trial is fitted on train and judged on eval",
    )
    workers: int = Field(
        1,
        gt=0,
        le=1_000,
        description="number of processes that fit trials at the same time, the pipeline's own among them",
    )
    external_workers: bool = Field(
        False,
        description="whether other processes that share the workspace do the search, such as those of "
        "kubeflow/manifests/search, while this one writes what they need and waits",
    )
    prune_trials: bool = Field(
        True, description="whether a trial ends early when it is worse than half of the earlier ones were on average"
    )
    budget_minutes: Minutes | None = Field(None, description="the search ends after this many minutes; null: no limit")
    seed: Annotated[Seed, Field(ge=1)] | None = Field(None, description="seed of what is tried; null: training.seed")
    warm_start: str | dict[str, Any] | None = Field(
        None,
        description="the first trial, or without a search the values to train with: last (the best values of the run "
        "before), a best_hyperparameters file or its folder, or a mapping of values",
    )

    def epochs_of(self, values: Mapping[str, Any]) -> int:
        """How many epochs a trial with these hyperparameters is fitted for in all; Hyperband's own key comes first."""
        return values.get(hyperband.EPOCHS) or values.get("epochs") or self.epochs

    @model_validator(mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        return {"enabled": value} if isinstance(value, bool) else value

    @field_validator("space", mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in SPACES:
            raise ValueError(f"no preset is called {value!r}; there are {', '.join(SPACES)}, or give a mapping")
        return SPACES[value]

    @field_validator("warm_start")
    @classmethod
    def _hyperparameters(cls, value: Any) -> Any:
        return checked(value) if isinstance(value, dict) else value

    @field_validator("trials", "epochs", "budget_minutes", mode="before")
    @classmethod
    def _some_budget(cls, value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 0:
            raise ValueError(f"a search needs a budget above 0, got {shown(value)}; to train without one: tuning: off")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Tuning:
        if self.oracle == "hyperband" and self.space.epochs:
            raise ValueError(
                f"oracle hyperband sets the epochs of each trial itself, got space.epochs {list(self.space.epochs)}; "
                "leave space.epochs out, or take another oracle, such as random"
            )
        losses = [name for name in ("loss", "focal_gamma", "fraud_weight") if name in self.space.domains]
        if self.objective == "loss" and losses:
            raise ValueError(
                f"objective loss can't compare losses of different kinds or weights, got {', '.join(losses)} in the "
                "space; leave them out of it, or take another objective, such as average_precision"
            )
        return self


def check_conditions(training: Training, tuning: Tuning) -> None:
    """Checks that every hyperparameter with a condition can be tried.

    Raises:
      ValueError: its condition never holds.
    """
    for name, parent, value in CONDITIONS:
        searched, own = getattr(tuning.space, parent), getattr(training, parent)
        if tuning.enabled and getattr(tuning.space, name) is not None and value not in (searched or (own,)):
            actual = f"tuning.space.{parent} is [{', '.join(searched)}]" if searched else f"training.{parent} is {own}"
            raise ValueError(
                f"tuning.space.{name} is tried with {parent} {value} only, but {actual}; add {value} to "
                f"tuning.space.{parent}, or leave tuning.space.{name} out"
            )


def hyperparameters(training: Training) -> dict[str, Any]:
    """The values of `training` under the names of a `Space`, as `with_hyperparameters` takes them."""
    network = training.network
    return {
        "layers": len(network.units),
        "units": network.units[0],
        "shape": network.shape,
        **network.model_dump(exclude={"units"}),
        **training.model_dump(include=set(Space.model_fields)),
    }


def with_hyperparameters(training: Training, values: Mapping[str, Any]) -> Training:
    """`training` with the values that a search chose; the others stay, and Hyperband's own keys are left out.

    Raises:
      ValueError: a name that no hyperparameter has, or a value that is not allowed.
    """
    chosen, own = checked(values), hyperparameters(training)
    network = {name: value for name, value in chosen.items() if name in Network.model_fields}
    if {"layers", "units", "shape"} & chosen.keys():
        layers, units, shape = (chosen.get(name, own[name]) for name in ("layers", "units", "shape"))
        network["units"] = (units,) * layers if shape == "equal" else tapered(units, layers)
    changed = {name: value for name, value in chosen.items() if name in Training.model_fields}
    merged = {**training.model_dump(), **changed}
    return Training.model_validate({**merged, "network": {**training.network.model_dump(), **network}})
