"""The search space in KerasTuner's terms."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import keras_tuner

from trainer.custom_config import TrainerSettings
from trainer.errors import InputError
from trainer.search.settings import CONDITIONS, Range, checked, hyperparameters, with_hyperparameters
from trainer.settings import Training

LOGARITHMIC = ("learning_rate", "fraud_weight")

logger = logging.getLogger(__name__)


def search_space(settings: TrainerSettings) -> keras_tuner.HyperParameters:
    """The config's space, whose defaults are the values of `training`, or the nearest that the space has."""
    space = keras_tuner.HyperParameters()
    own = hyperparameters(settings.training)
    domains = settings.tuning.space.domains
    parents = {name: (parent, value) for name, parent, value in CONDITIONS if parent in domains}
    # children after their parents, so that one pass in order can tell which ones are active
    for name in sorted(domains, key=lambda name: name in parents):
        _add(space, name, domains[name], own[name], *parents.get(name, (None, None)))
    return space


def _add(
    space: keras_tuner.HyperParameters, name: str, domain: Any, own: Any, parent: str | None, parent_value: Any
) -> None:
    condition = {"parent_name": parent, "parent_values": [parent_value]} if parent else {}
    if isinstance(domain, Range):
        sampling = "log" if name in LOGARITHMIC else "linear"
        number = own if isinstance(own, (int, float)) else domain.low
        default = float(min(max(number, domain.low), domain.high))
        space.Float(name, float(domain.low), float(domain.high), sampling=sampling, default=default, **condition)
        return
    choices = list(domain)
    if isinstance(choices[0], bool):
        # KerasTuner's Choice would turn them into numbers
        if len(set(choices)) > 1:
            space.Boolean(name, default=own, **condition)
        else:
            space.Fixed(name, choices[0], **condition)
        return
    if len({type(choice) for choice in choices}) > 1:
        choices, own = [str(choice) for choice in choices], str(own)  # KerasTuner takes choices of one type
    space.Choice(name, choices, default=own if own in choices else choices[0], **condition)


def active(space: keras_tuner.HyperParameters, values: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each hyperparameter that is active under `values`, which is the default where they have none."""
    chosen = space.copy()
    chosen.values = {}
    # parents first: KerasTuner's protocol gives a space back in another order
    for hyperparameter in sorted(space.space, key=lambda hyperparameter: len(hyperparameter.conditions)):
        if chosen.is_active(hyperparameter):
            chosen.values[hyperparameter.name] = values.get(hyperparameter.name, hyperparameter.default)
    return dict(chosen.values)


def configured(space: keras_tuner.HyperParameters, training: Training) -> dict[str, Any]:
    """The config's own values of the hyperparameters that are searched, inside the space or not.

    Where the space cannot express the config, such as hidden layers of 10, 30 and 10 neurons, the nearest values.
    """
    nearest = active(space, {})
    values = active(space, _typed(space, hyperparameters(training)))
    if "shape" in values and len(training.network.units) == 1:
        values["shape"] = nearest["shape"]  # a single layer has every shape
    if with_hyperparameters(training, values) != training:
        logger.warning("The space cannot express the config's network; the search starts from %s", nearest)
        return nearest
    return values


def warm_start(space: keras_tuner.HyperParameters, values: Mapping[str, Any], training: Training) -> dict[str, Any]:
    """The values of an earlier run for the hyperparameters that are searched now.

    Raises:
      InputError: no such hyperparameter, or a value that it can't have.
    """
    try:
        earlier = checked(values)
    except ValueError as error:
        raise InputError(f"tuning.warm_start has values that can't be trained: {error}") from error
    return active(space, {**configured(space, training), **_typed(space, earlier)})


def _typed(space: keras_tuner.HyperParameters, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the hyperparameters that are searched, as text where the choices are (numbers beside words)."""
    text = {hyperparameter.name: isinstance(hyperparameter.default, str) for hyperparameter in space.space}
    return {name: str(value) if text[name] else value for name, value in values.items() if name in text}


def is_inside(space: keras_tuner.HyperParameters, values: Mapping[str, Any]) -> bool:
    """Whether the values could have been drawn from the space."""
    for hyperparameter in space.space:
        value = values.get(hyperparameter.name, hyperparameter.default)
        if isinstance(hyperparameter, keras_tuner.engine.hyperparameters.Float):
            # fraud_weight may be "balanced"
            if isinstance(value, str) or not hyperparameter.min_value <= value <= hyperparameter.max_value:
                return False
        elif value not in hyperparameter.values:
            return False
    return True


def combinations(space: keras_tuner.HyperParameters) -> Iterator[dict[str, Any]]:
    """Every combination, with ten values of a range; one comes again where only inactive hyperparameters differ."""
    names = [hyperparameter.name for hyperparameter in space.space]
    domains = [
        sorted(domain.values) if isinstance(domain, keras_tuner.engine.hyperparameters.Float) else domain.values
        for domain in space.space
    ]
    for values in itertools.product(*domains):
        yield active(space, dict(zip(names, values, strict=True)))
