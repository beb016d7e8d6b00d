"""A training by processes of other machines: its plan, its signs of life and its result, in a folder they share."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer import interruption, progress
from trainer.arrays import Array
from trainer.dataset import Transactions
from trainer.distributed.settings import Distribution
from trainer.folds import Fold
from trainer.settings import Training

PLAN, RESULT, LIFE = "plan.json", "result.json", "life.json"
FAILED = "failed.txt"  # why the training failed
WEIGHTS, ROWS, LOGS = "weights.npz", "rows", "logs"
POLL_SECONDS = 0.1
BEAT_SECONDS = 5.0
_STEP = 1 << 18  # rows that are hashed at a time

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """The result of a training.

    history: Keras' history. training: the settings with which a single device does the same as all of them did.
    """

    weights: list[Array]
    history: dict[str, list[float]]
    replicas: int
    training: Training


@dataclass(frozen=True)
class TrainingHandoff:
    """A training in a folder of its own, for the process that plans it and for those that do it."""

    folder: Path

    @classmethod
    def plan(
        cls, trainings: Path, fold: Fold, training: Training, distribution: Distribution, source: str
    ) -> TrainingHandoff:
        """Writes settings and transformed rows for the other processes, which need neither TFX nor Beam to use them.

        The folder is named by a digest of all of it, so that a training that is planned already is not planned twice.

        Args:
          trainings: the folder that the other processes watch.
          source: digest of the code.
        """
        settings = {"training": training.model_dump(mode="json"), "distribution": distribution.model_dump(mode="json")}
        settings["distribution"].pop("wait_minutes")
        name = _digest([settings, dict(fold.categories), source], fold.train, fold.validation)
        handoff = cls(trainings / name)
        if not (handoff.folder / PLAN).exists():
            fold.save(handoff.folder / ROWS)
            handoff._write(PLAN, settings)  # last, so that whoever finds the plan finds everything
        return handoff

    @classmethod
    def newest(cls, folder: str) -> TrainingHandoff | None:
        """The training planned in the folder itself, or the newest planned in a folder inside it; None without any.

        A training that is done counts only where there is no other.
        """
        plans = [*Path(folder).glob(PLAN), *Path(folder).glob(f"*/{PLAN}")]
        trainings = [(not (plan.parent / RESULT).exists(), plan.stat().st_mtime, str(plan.parent)) for plan in plans]
        return cls(Path(max(trainings)[2])) if trainings else None

    @property
    def name(self) -> str:
        return self.folder.name

    def sibling(self, name: str) -> TrainingHandoff:
        """The training of that name in the folder next to this one."""
        return TrainingHandoff(self.folder.parent / name)

    @property
    def is_done(self) -> bool:
        return (self.folder / RESULT).exists()

    def read(self) -> tuple[Fold, Training, Distribution]:
        """The plan: rows, training and distribution."""
        plan = json.loads((self.folder / PLAN).read_text())
        fold = Fold.load(self.folder / ROWS)
        return fold, Training.model_validate(plan["training"]), Distribution.model_validate(plan["distribution"])

    def result(self, wait_minutes: float, worker: str) -> Result:
        """Waits for the result, and reports progress meanwhile.

        Args:
          worker: name of the module that the other processes run.

        Raises:
          RuntimeError: the training failed, with the error of the process that tried; or no process has shown a sign of
            life for `wait_minutes`. The folder is gone then, so that the next run plans anew.
        """
        logger.info("Waiting for the processes that fit the network planned in %s", self.folder)
        latest: dict[str, Any] = {}
        since = time.monotonic()
        while not self.is_done:
            failed = self.folder / FAILED
            if failed.exists():
                self._give_up(f"failed: {failed.read_text()}")
            life = self._life()
            if life != latest:
                since = time.monotonic()
                if life.get("progress") not in (None, latest.get("progress")):
                    progress.report(progress.Progress(**life["progress"]))
                latest = life
            elif time.monotonic() - since > wait_minutes * 60:
                what = "no further sign" if latest else "no sign"
                self._give_up(
                    f"has shown {what} of life for {wait_minutes:g} minutes; are its pods running (python -m "
                    f"{worker}), and do they share {self.folder.parent}? distribution.wait_minutes sets how long to "
                    "wait"
                )
            interruption.check()
            time.sleep(POLL_SECONDS)
        result = json.loads((self.folder / RESULT).read_text())
        with np.load(self.folder / WEIGHTS) as stored:
            weights = [stored[name] for name in stored.files]
        return Result(weights, result["history"], result["replicas"], Training.model_validate(result["training"]))

    def forget(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _give_up(self, why: str) -> None:
        self.forget()
        raise RuntimeError(f"the training that other processes do in {self.folder} {why}")

    def _life(self) -> dict[str, Any]:
        try:
            life: dict[str, Any] = json.loads((self.folder / LIFE).read_text())
            return life
        except FileNotFoundError:
            return {}

    @contextmanager
    def signs_of_life(self) -> Iterator[None]:
        """Shows signs of life within the context, and passes on the progress that is reported."""
        started, handler, over = time.time(), _ProgressHandler(), threading.Event()

        def beat() -> None:
            number = 0
            while not over.is_set() and self.folder.exists():  # without the folder, nobody waits any more
                # `started` tells the beats of a restarted process from those before
                self._write(LIFE, {"started": started, "beat": number, "progress": handler.latest})
                number += 1
                handler.news.wait(BEAT_SECONDS)
                handler.news.clear()

        thread = threading.Thread(target=beat, daemon=True)
        progress.logger.addHandler(handler)
        thread.start()
        try:
            yield
        finally:
            over.set()
            handler.news.set()
            thread.join()
            progress.logger.removeHandler(handler)

    def finish(self, result: Result) -> None:
        """Writes the result for the process that waits."""
        np.savez(self.folder / WEIGHTS, *result.weights)
        training = result.training.model_dump(mode="json")
        # last, since it is what the other process waits for
        self._write(RESULT, {"history": result.history, "replicas": result.replicas, "training": training})

    def fail(self, why: str) -> None:
        """Writes why the training failed for the process that waits."""
        if self.folder.exists():  # without the folder, nobody waits any more
            self._put(FAILED, why)

    def count_attempt(self) -> int:
        """Counts another attempt, and returns how many there were, this one included."""
        path = self.folder / "attempts.txt"
        count = (int(path.read_text()) if path.exists() else 0) + 1
        self._put(path.name, str(count))
        return count

    def _write(self, name: str, value: Any) -> None:
        self._put(name, json.dumps(value))

    def _put(self, name: str, text: str) -> None:
        part = self.folder / f"{name}.{os.getpid()}.part"
        part.write_text(text)
        os.replace(part, self.folder / name)


class _ProgressHandler(logging.Handler):
    """Keeps the latest progress that was reported; `news` is set at each report."""

    def __init__(self) -> None:
        super().__init__()
        self.latest: dict[str, Any] | None = None
        self.news = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.latest = asdict(record.progress)  # type: ignore[attr-defined]
        self.news.set()


def _digest(settings: Sequence[Any], *splits: Transactions) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for rows in splits:
        digest.update(rows.labels.tobytes())
        digest.update(rows.weights.tobytes())
        for inputs in rows.slices(_STEP):
            for values in inputs.values():
                digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]
