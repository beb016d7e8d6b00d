"""How far a long job is, reported through logging: the log file keeps it, and a terminal may draw it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

logger = logging.getLogger("fraud_pipeline.progress")


@dataclass(frozen=True)
class Progress:
    """`done` of `total` steps of `task`; `detail` is a short text such as the best score so far."""

    task: str
    done: int
    total: int
    detail: str = ""


def report(progress: Progress) -> None:
    logger.info(
        "%s %d/%d %s", progress.task, progress.done, progress.total, progress.detail, extra={"progress": progress}
    )
