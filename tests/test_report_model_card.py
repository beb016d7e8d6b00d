"""The model card: what it says of a model, and that each limit is there exactly when the facts call for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from components.report.drift import ColumnDrift
from components.report.model_card import CardFacts, decision, factors, features, figures, limits, model_card, training
from components.report.per_day import PerDay
from components.report.settings import ModelCardSettings
from tests.support.small_page import text
from trainer.columns import Columns

DAY = 86_400.0
MANIFEST = {
    "columns": Columns(label="fraud", time="time", amount="amount", numeric=("age of card",)).model_dump(),
    "data": {
        "name": "Cards of 2024",
        "kind": "real",
        "source": "the bank",
        "licence": "internal",
        "sampling_rates": {"fraud": 1.0, "legitimate": 1.0},
        "split": {"by": "time", "train": 0.65, "eval": 0.15, "test": 0.2, "seed": 0},
    },
    "features": {"scaling": "standard", "clip": 10.0, "use_time": True, "log_amount": True, "max_vocabulary": 1000},
    "training": {
        "network": {"units": [32, 16], "activation": "tanh", "dropout": 0.2, "weight_decay": 0.0001},
        "optimizer": "adam",
        "learning_rate": 0.001,
        "loss": "binary_crossentropy",
        "batch_size": 512,
        "epochs": 30,
        "patience": 5,
        "fraud_weight": 1.0,
        "seed": 7,
    },
    "epochs": 11,
    "parameters": 529,
    "threshold": 0.034,
    "calibration": {"method": "platt", "note": ""},
    "decision": {
        "by": "threshold",
        "version": "abc123",
        "costs": {"missed_fraud": 1.0, "review": 5.0, "declined": 0.02, "caught_fraud": 0.0, "currency": "EUR"},
        "note": "Stopping nothing costs least on eval.",
    },
}
SPLITS = [
    {"name": "train", "rows": 500_000, "frauds": 1000, "first": 0.0, "last": 60 * DAY},
    {"name": "eval", "rows": 150_000, "frauds": 300, "first": 60 * DAY, "last": 70 * DAY},
    {"name": "test", "rows": 200_000, "frauds": 400, "first": 70 * DAY, "last": 90 * DAY},
]
METRICS = {
    "average_precision": 0.81,
    "average_precision_lower": 0.78,
    "average_precision_upper": 0.84,
    "roc_auc": 0.98,
    "alerts_a_day": 12.0,
    "savings": 1000.0,
    "savings_lower": 500.0,
    "savings_upper": 1500.0,
}
SLICES = {"amount": {"below 10": {"frauds": 40.0, "average_precision": 0.8, "average_precision_upper": 0.9}}}
MOVED = ColumnDrift(0.2, 0.001, "up to 1.5", 0.5, 0.8, ((0.5, 0.8), (0.5, 0.2)))


def facts(manifest: dict[str, Any] | None = None, verdict: dict[str, Any] | None = None, **values: Any) -> CardFacts:
    """Facts that call for no limit, with some changed; a dotted key leads into the manifest."""
    changed: dict[str, Any] = {**MANIFEST}
    for key, value in (manifest or {}).items():
        *parents, last = key.split(".")
        inside = changed
        for parent in parents:
            inside[parent] = {**inside[parent]}
            inside = inside[parent]
        inside[last] = value
    result = SimpleNamespace(
        **{"blessed": True, "reasons": (), "metrics": METRICS, "slices": SLICES, **(verdict or {})}
    )
    return CardFacts(changed, result, **{"splits": SPLITS, **values})  # type: ignore[arg-type]


def test_facts_without_limits_have_none() -> None:
    assert limits(facts()) == []
    assert "None of the rules that look for limits found one." in text(model_card(facts()))


def of_test(frauds: int) -> list[dict[str, Any]]:
    return [*SPLITS[:2], {**SPLITS[2], "frauds": frauds, "rows": frauds * 500}]


def lasting(days: float) -> list[dict[str, Any]]:
    return [{**split, "first": 0.0, "last": days * DAY} for split in SPLITS]


LIMITS: dict[str, Callable[[], CardFacts]] = {
    "The model is not blessed: recall is low.": lambda: facts(
        verdict={"blessed": False, "reasons": ("recall is low",)}
    ),
    "The data is synthesized: no figure here": lambda: facts({"data.kind": "synthesized"}),
    "not recorded whether the data is real": lambda: facts({"data.kind": "unknown"}),
    "The licence of the data is not recorded.": lambda: facts({"data.licence": ""}),
    "3 of 4 columns have names that say nothing, such as V1 and V2": lambda: facts(
        {"columns": Columns(label="fraud", time="time", numeric=("V1", "V2", "id_03")).model_dump()}
    ),
    "The data covers only 2.0 days, less than a week": lambda: facts(splits=lasting(2)),
    "The data covers only 20.0 days, less than a month": lambda: facts(splits=lasting(20)),
    "The data has no times": lambda: facts(splits=[{**split, "first": None, "last": None} for split in SPLITS]),
    "The splits are random": lambda: facts({"data.split.by": "random"}),
    "a sample in which a row stands for up to 10 transactions": lambda: facts(
        {"data.sampling_rates": {"fraud": 1.0, "legitimate": 0.1}}
    ),
    "The test split has only 70 frauds, so any recall on it is uncertain by up to 12 percentage points": lambda: facts(
        splits=of_test(70)
    ),
    "average precision is 0.17 wide": lambda: facts(verdict={"metrics": {**METRICS, "average_precision_upper": 0.95}}),
    "It is not certain that the model saves money": lambda: facts(
        verdict={"metrics": {**METRICS, "savings_lower": -3.0}}
    ),
    "The test split has no fraud where hours is 0 to 6": lambda: facts(
        verdict={"slices": {"hours": {"0 to 6": {"frauds": 0.0}}}}
    ),
    "The test split has fewer than 10 frauds where hours is 0 to 6": lambda: facts(
        verdict={"slices": {"hours": {"0 to 6": {"frauds": 9.0}}}}
    ),
    "The model is worse where amount is below 10 than on the whole": lambda: facts(
        verdict={"slices": {"amount": {"below 10": {"frauds": 40.0, "average_precision_upper": 0.7}}}}
    ),
    "1 of 2 columns moved much": lambda: facts(drift_by_column={"amount": {"eval": MOVED, "test": MOVED}}),
    "6.0 % of later transactions have a value of shop": lambda: facts(new_categories={"shop": {"test": (2, 0.06)}}),
    "The share of fraud is 0.300 % in test and 0.200 % in train": lambda: facts(
        splits=[*SPLITS[:2], {**SPLITS[2], "frauds": 600}]
    ),
    "The probabilities are the network's own": lambda: facts({"calibration": {"method": "none"}}),
    "The loss bends the output": lambda: facts({"calibration": {}, "training.loss": "focal"}),
    "is not a probability": lambda: facts({"calibration": {}, "training.loss": "huber"}),
}


@pytest.mark.parametrize("limit", list(LIMITS))
def test_a_limit_is_named_only_where_the_facts_call_for_it(limit: str) -> None:
    (sentence,) = limits(LIMITS[limit]())
    assert limit in sentence


def test_it_says_what_the_model_is_and_what_people_add() -> None:
    settings = ModelCardSettings(owner="Risk <team>", contact="risk@example.org", caveats=("Mind the gap.",))
    words = text(model_card(facts(settings=settings, pushed_version="17")))
    assert "with 32 and 16 tanh neurons and 529 parameters" in words
    assert "Version 17." in words
    assert "Owner: Risk <team>. Questions to: risk@example.org." in words
    assert "Cards of 2024: real transactions. Source: the bank. Licence: internal." in words
    assert "test 200,000 with 400 frauds. They cover 90.0 days." in words
    assert "Caveats Mind the gap." in words
    assert "<team>" not in model_card(facts(settings=settings))
    assert "Owner" not in text(model_card(facts()))
    assert "Not pushed" in text(model_card(facts()))


def test_the_card_says_that_an_id_is_carried_and_not_read() -> None:
    columns = {**facts().manifest["columns"], "id": "payment", "ignore": ["note"]}
    first, *_ = features(facts({"columns": columns}))
    assert first == (
        "The model reads 1 number, the amount (amount) and the time (time). It ignores note. payment is carried along "
        "so that a transaction can be named; the model does not read it."
    )


def test_features_and_training_are_described_in_words() -> None:
    assert features(facts()) == [
        "The model reads 1 number, the amount (amount) and the time (time).",
        "Numbers are scaled to zero mean and unit variance, and cut off at 10 standard deviations. The amount is "
        "replaced by its logarithm. Of the time, only the hour of the day is used.",
    ]
    first, second = training(facts(trials=4))
    assert "It stopped after 11 of at most 30 epochs: eval had not improved for 5." in first
    assert "It used dropout 0.2 and weight decay 0.0001." in first
    assert "the best of 4 trials" in second
    assert "this run made no search" in training(facts())[1]


def test_the_decision_is_described_with_its_costs() -> None:
    rule, costs, note = decision(facts())
    assert rule.startswith("The network's output is calibrated by Platt's method")
    assert "stopped if its probability of fraud is at least 0.034." in rule
    assert "This rule has the version abc123." in rule
    assert costs == (
        "By the configuration, a missed fraud costs 1 times its amount, each stopped transaction costs 5.00 EUR and a "
        "declined customer costs 2.0 % of the amount."
    )
    assert note == "Stopping nothing costs least on eval."


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"decision": {"by": "amount"}}, "given its own amount"),
        ({"decision": {"by": "alerts"}}, "keep to the alerts a day"),
        ({"threshold": 2.0}, "No transaction is stopped"),
        ({"decision": {}, "calibration": {}, "training.threshold": "auto"}, "the best F1 on eval"),
        ({"decision": {}, "calibration": {}, "training.threshold": 0.5}, "The configuration sets this threshold."),
    ],
)
def test_each_kind_of_decision_has_its_words(manifest: dict[str, Any], words: str) -> None:
    assert words in decision(facts(manifest))[0]


def test_a_manifest_of_before_calibration_and_decisions_makes_a_card() -> None:
    old = {key: MANIFEST[key] for key in ("columns", "data", "threshold")}
    card = dataclasses.replace(facts(), manifest=old)
    assert "A network that gives each card transaction a probability of fraud." in text(model_card(card))
    assert "The probabilities are the network's own: no calibration" in text(model_card(card))


def test_figures_that_are_not_defined_are_left_out() -> None:
    assert figures(facts(per_day=PerDay(None, "EUR"))) == [
        ["average precision", "0.810 (0.780 to 0.840)"],
        ["ROC-AUC", "0.980"],
        ["alerts", "12"],
        ["saved, against no model", "1,000 EUR"],
    ]
    of_a_day = figures(facts(per_day=PerDay(20.0, "EUR")))[2:]
    assert [[name, text(value).strip()] for name, value in of_a_day] == [
        ["alerts a day", "12 240"],
        ["saved a day, against no model", "50.00 EUR 1,000 EUR"],
    ]


def test_the_card_says_that_groups_of_people_are_missing_from_the_evaluation() -> None:
    assert factors(facts()).startswith(
        "The evaluation is broken down by amount. It is not broken down by groups of people"
    )
    assert factors(facts(verdict={"slices": {}})).startswith("The evaluation is not broken down by groups of people")
