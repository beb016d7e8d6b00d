"""The record of a search, and what it concludes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.search.trials import RECORD, Record, Trial

OWN, OTHER = {"units": 8, "learning_rate": 0.01}, {"units": 16, "learning_rate": 0.02}


def _record(*trials: Trial, default: str = "0", best: str = "1", **changes: Any) -> Record:
    fields: dict[str, Any] = {
        "objective": "average_precision",
        "greater_is_better": True,
        "oracle": "random",
        "folds": 0,
        "workers": 1,
        "seed": 7,
        "seconds": 12.5,
        **changes,
    }
    return Record(default=default, best=best, trials=trials, **fields)


# What is kept

NAMES = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBERS = st.floats(allow_nan=False)
VALUES = st.dictionaries(NAMES, st.integers() | NUMBERS | st.booleans() | NAMES, max_size=4)
CURVES = st.lists(NUMBERS, max_size=4).map(tuple)
TRIALS = st.builds(
    Trial,
    trial_id=NAMES,
    status=st.sampled_from(["completed", "stopped", "failed"]),
    values=VALUES,
    score=st.none() | NUMBERS,
    spread=st.none() | NUMBERS,
    folds=CURVES,
    curve=CURVES,
    first_epoch=st.integers(0, 99),
    started=NUMBERS,
    ended=NUMBERS,
    reason=NAMES,
)


@settings(deadline=None)
@given(st.lists(TRIALS, max_size=4), NAMES, NAMES, NAMES, st.booleans())
def test_a_record_reads_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, trials: list[Trial], default: str, best: str, warm: str, greater: bool
) -> None:
    folder = str(tmp_path_factory.mktemp("record"))
    record = _record(*trials, default=default, best=best, warm_start=warm, greater_is_better=greater)
    record.save(folder)
    assert Record.load(folder) == record


def test_a_record_is_json_with_a_trial_each(tmp_path: Path) -> None:
    _record(Trial("0", "completed", OWN, 0.5, curve=(0.25, 0.5)), best="0").save(str(tmp_path))
    stored = json.loads((tmp_path / RECORD).read_text())
    assert stored["objective"] == "average_precision"
    assert [(trial["trial_id"], trial["values"], trial["curve"]) for trial in stored["trials"]] == [
        ("0", OWN, [0.25, 0.5])
    ]


def test_a_folder_without_a_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(tf.errors.NotFoundError, match=r"trials\.json"):
        Record.load(str(tmp_path))


def test_a_trial_is_found_by_its_id_and_knows_hyperbands_keys_from_its_values() -> None:
    second = Trial("1", "completed", {**OTHER, "tuner/epochs": 3, "tuner/trial_id": "0"}, 0.5)
    record = _record(Trial("0", "completed", OWN, 0.25), second)
    assert record.trial("1") is second
    assert second.hyperparameters == OTHER


# What it concludes


def _default(**changes: Any) -> Trial:
    return dataclasses.replace(Trial("0", "completed", OWN, 0.70), **changes)


def _best(**changes: Any) -> Trial:
    return dataclasses.replace(Trial("1", "completed", OTHER, 0.75), **changes)


SAID = "Trial 1 is the best, average precision 0.7500"
NOTHING = "The search found nothing better than the config's own values, average precision"


@pytest.mark.parametrize(
    ("record", "conclusion"),
    [
        (_record(_default(), _best()), f"{SAID} against 0.7000 with the config's own values"),
        (
            _record(_default(spread=0.02), _best(spread=0.01), folds=3),
            "Trial 1 is the best, average precision 0.7500 ± 0.0100 against 0.7000 ± 0.0200 with the config's own "
            "values",
        ),
        (
            _record(_default(spread=0.02), _best(spread=0.06), folds=3),
            "Trial 1 is the best, average precision 0.7500 ± 0.0600 against 0.7000 ± 0.0200 with the config's own "
            "values, a difference within the spread of the folds",
        ),
        (_record(_default(), _best(score=0.65), best="0"), f"{NOTHING} 0.7000"),
        (_record(_default(spread=0.02), best="0", folds=3), f"{NOTHING} 0.7000 ± 0.0200"),
        (_record(_default(), _best(score=0.70)), f"{NOTHING} 0.7000"),
        (
            _record(_best(), default="", best="1"),
            f"{SAID}; the budget was used up before the config's own values",
        ),
        (
            _record(_default(status="failed", score=None, reason="out of memory"), _best()),
            f"{SAID}; the config's own values failed: out of memory",
        ),
        # a trial that was stopped was not measured by all of its epochs and folds: no comparison
        (
            _record(_default(status="stopped", score=0.8, reason="the budget of 2 minutes was used up"), _best()),
            f"{SAID}; the config's own values were stopped: the budget of 2 minutes was used up",
        ),
        (_record(_default(status="stopped", reason="the budget was used up"), best="0"), f"{NOTHING} 0.7000"),
    ],
    ids=[
        "better",
        "better on folds",
        "within the spread",
        "the default is best",
        "the default alone, on folds",
        "a tie",
        "no default",
        "the default failed",
        "the default was stopped",
        "nothing but a default that was stopped",
    ],
)
def test_the_conclusion_is_a_sentence(record: Record, conclusion: str) -> None:
    assert record.conclusion == conclusion


def test_a_loss_is_called_a_loss() -> None:
    record = _record(
        _default(score=0.5), _best(score=0.25), objective="recall_at_1_percent_false_positives", greater_is_better=True
    )
    assert "recall at 1 percent false positives 0.2500 against 0.5000" in record.conclusion
    record = dataclasses.replace(record, objective="loss", greater_is_better=False)
    assert record.conclusion == "Trial 1 is the best, loss 0.2500 against 0.5000 with the config's own values"


def _after(epochs: int, **values: Any) -> dict[str, Any]:
    return {**values, "tuner/epochs": epochs, "tuner/bracket": 1, "tuner/round": int(epochs > 1)}


def test_under_hyperband_the_configs_values_may_win_under_another_number() -> None:
    begun = _default(values=_after(1, **OWN), score=0.5)
    record = _record(begun, _best(values=_after(3, **OWN), first_epoch=1))
    assert record.conclusion == f"{NOTHING} 0.7500"


def test_under_hyperband_the_config_is_judged_by_where_it_got() -> None:
    begun = _default(values=_after(1, **OWN), score=0.5)
    further = Trial("2", "completed", _after(3, **OWN), 0.7)
    best = _best(values=_after(3, **OTHER))
    assert "against 0.7000" in _record(begun, best, further).conclusion
    # what went on and failed has no score
    failed = dataclasses.replace(further, status="failed", score=None)
    assert "against 0.5000" in _record(begun, best, failed).conclusion
