"""Settings of the components, and the values that they refuse."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.evaluation.settings import EvaluationSettings
from components.reading.settings import SplitSettings


@settings(deadline=None)
@given(train=st.integers(1, 998), eval_=st.integers(1, 998))
def test_fractions_are_accepted_exactly_when_they_make_a_whole(train: int, eval_: int) -> None:
    rest = 1000 - train - eval_
    if rest > 0:
        split = SplitSettings(train=train / 1000, eval=eval_ / 1000, test=rest / 1000)
        assert split.train + split.eval + split.test == pytest.approx(1)
    with pytest.raises(ValidationError, match=r"train, eval and test must add up to 1, got "):
        SplitSettings(train=train / 1000, eval=eval_ / 1000, test=0.999 if rest <= 1 else (rest - 1) / 1000)


@pytest.mark.parametrize("fractions", [(1.0, 0.0, 0.0), (1.2, -0.1, -0.1), (0.5, 0.5, 0.0)])
def test_a_split_is_never_empty_by_its_fraction(fractions: tuple[float, float, float]) -> None:
    train, eval_, test = fractions
    with pytest.raises(ValidationError, match=r"greater than 0|less than 1"):
        SplitSettings(train=train, eval=eval_, test=test)


def test_the_defaults_split_by_time_and_make_a_whole() -> None:
    split = SplitSettings()
    assert (split.by, split.train, split.eval, split.test) == ("time", 0.65, 0.15, 0.20)


@pytest.mark.parametrize("name", ["min_average_precision", "min_roc_auc", "max_average_precision_loss"])
@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_thresholds_are_shares(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=name):
        EvaluationSettings(**{name: value})


def test_settings_cannot_be_changed_and_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SplitSettings().train = 0.1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        SplitSettings(validation=0.1)  # type: ignore[call-arg]


@pytest.mark.parametrize("bands", [(10, 10), (100, 10)])
def test_bands_of_amount_must_rise(bands):
    with pytest.raises(ValidationError, match="amount_bands must rise"):
        EvaluationSettings(amount_bands=bands)


def test_money_may_be_lost_where_the_settings_allow_it() -> None:
    assert EvaluationSettings(min_savings=-1000).min_savings == -1000
    assert EvaluationSettings(min_savings=None).min_savings is None
