"""Progress through logging."""

from __future__ import annotations

import logging

import pytest

from trainer.progress import Progress, report


def test_a_report_is_a_line_of_the_log_with_the_value_beside_it(caplog: pytest.LogCaptureFixture) -> None:
    progress = Progress("Trainer", 3, 30, "average precision 0.800 on eval")
    with caplog.at_level(logging.INFO, logger="fraud_pipeline.progress"):
        report(progress)
    (record,) = caplog.records
    assert record.getMessage() == "Trainer 3/30 average precision 0.800 on eval"
    assert record.progress is progress  # type: ignore[attr-defined]


def test_a_report_says_nothing_where_the_log_wants_warnings_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="fraud_pipeline.progress"):
        report(Progress("Tuner", 1, 2))
    assert not caplog.records
