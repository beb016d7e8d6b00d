"""A training that processes of other machines do: its plan, signs of life and its result, in a folder they share."""

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

from trainer import progress
from trainer.arrays import Array
from trainer.dataset import Transactions
from trainer.distributed.settings import Distribution
from trainer.folds import Fold
from trainer.settings import Training

PLAN, RESULT, LIFE = "plan.json", "result.json", "life.json"
FAILED = "failed.txt"  # why those who tried gave up
WEIGHTS, ROWS, LOGS = "weights.npz", "rows", "logs"
POLL_SECONDS = 0.1
BEAT_SECONDS = 5.0
_STEP = 1 << 18  # rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What came of a training.

    history: as Keras gives it. told: what one device would have been told, to do what all of them did.
    """

    weights: list[Array]
    history: dict[str, list[float]]
    replicas: int
    told: Training


@dataclass(frozen=True)
class TrainingHandoff:
    """A training in a folder of its own, for whoever plans it and for those who do it."""

    folder: Path

    @classmethod
    def planned(
        cls, trainings: Path, fold: Fold, training: Training, distribution: Distribution, source: str
    ) -> TrainingHandoff:
        """Writes what others need: settings and transformed rows, so that they need neither TFX nor Beam.

        The folder is named by a digest of all of it: a training that is there already is gone on waiting for.

        Args:
          trainings: the folder that those others watch.
          source: digest of the code.
        """
        told = {"training": training.model_dump(mode="json"), "distribution": distribution.model_dump(mode="json")}
        told["distribution"].pop("wait_minutes")
        name = _digest([told, dict(fold.categories), source], fold.train, fold.validation)
        planned = cls(trainings / name)
        if not (planned.folder / PLAN).exists():
            fold.save(planned.folder / ROWS)
            planned._write(PLAN, told)  # the last: whoever finds it finds all
        return planned

    @classmethod
    def newest(cls, folder: str) -> TrainingHandoff | None:
        """The folder itself where it has a plan, else the one in it with the newest; None without any.

        One that is done is taken where there is no other.
        """
        plans = [*Path(folder).glob(PLAN), *Path(folder).glob(f"*/{PLAN}")]
        trainings = [(not (plan.parent / RESULT).exists(), plan.stat().st_mtime, str(plan.parent)) for plan in plans]
        return cls(Path(max(trainings)[2])) if trainings else None

    @property
    def name(self) -> str:
        return self.folder.name

    def called(self, name: str) -> TrainingHandoff:
        """The training of that name beside this one."""
        return TrainingHandoff(self.folder.parent / name)

    @property
    def is_done(self) -> bool:
        return (self.folder / RESULT).exists()

    def read(self) -> tuple[Fold, Training, Distribution]:
        told = json.loads((self.folder / PLAN).read_text())
        fold = Fold.load(self.folder / ROWS)
        return fold, Training.model_validate(told["training"]), Distribution.model_validate(told["distribution"])

    def result(self, wait_minutes: float) -> Result:
        """What it came to, once it did; progress is reported as it comes in.

        Raises:
          RuntimeError: it failed, with the words of those who tried; or nobody has shown a sign of life for so long.
            The folder is gone then, and the next call plans anew.
        """
        logger.info("Waiting for the processes that fit the network planned in %s", self.folder)
        seen: dict[str, Any] = {}
        since = time.monotonic()
        while not self.is_done:
            failed = self.folder / FAILED
            if failed.exists():
                self._give_up(f"failed: {failed.read_text()}")
            life = self._life()
            if life != seen:
                since = time.monotonic()
                if life.get("progress") not in (None, seen.get("progress")):
                    progress.report(progress.Progress(**life["progress"]))
                seen = life
            elif time.monotonic() - since > wait_minutes * 60:
                state = "no more" if seen else "not one"
                self._give_up(
                    f"has shown {state} sign of life for {wait_minutes:g} minutes; are its pods running, and do they "
                    f"share {self.folder.parent}? distribution.wait_minutes says how long to wait"
                )
            time.sleep(POLL_SECONDS)
        found = json.loads((self.folder / RESULT).read_text())
        with np.load(self.folder / WEIGHTS) as stored:
            weights = [stored[name] for name in stored.files]
        return Result(weights, found["history"], found["replicas"], Training.model_validate(found["told"]))

    def forget(self) -> None:
        """Deletes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _give_up(self, why: str) -> None:
        self.forget()
        raise RuntimeError(f"the training in {self.folder}, run elsewhere, {why}")

    def _life(self) -> dict[str, Any]:
        try:
            life: dict[str, Any] = json.loads((self.folder / LIFE).read_text())
            return life
        except FileNotFoundError:
            return {}

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Shows signs of life meanwhile, and hands on the progress that is reported."""
        started, told, over = time.time(), _Told(), threading.Event()

        def beat() -> None:
            number = 0
            while not over.is_set() and self.folder.exists():  # else whoever waited has given up
                # a new start begins another series
                self._write(LIFE, {"started": started, "beat": number, "progress": told.latest})
                number += 1
                told.news.wait(BEAT_SECONDS)
                told.news.clear()

        thread = threading.Thread(target=beat, daemon=True)
        progress.logger.addHandler(told)
        thread.start()
        try:
            yield
        finally:
            over.set()
            told.news.set()
            thread.join()
            progress.logger.removeHandler(told)

    def finish(self, result: Result) -> None:
        np.savez(self.folder / WEIGHTS, *result.weights)
        found = {"history": result.history, "replicas": result.replicas, "told": result.told.model_dump(mode="json")}
        self._write(RESULT, found)  # the last: whoever waits looks for it

    def fail(self, why: str) -> None:
        if self.folder.exists():  # else whoever waited has given up
            self._put(FAILED, why)

    def begun(self) -> int:
        """Notes that it begins; how often it has, this time included."""
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


class _Told(logging.Handler):
    """The latest progress that was reported."""

    def __init__(self) -> None:
        super().__init__()
        self.latest: dict[str, Any] | None = None
        self.news = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.latest = asdict(record.progress)  # type: ignore[attr-defined]
        self.news.set()


def _digest(told: Sequence[Any], *splits: Transactions) -> str:
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for rows in splits:
        digest.update(rows.labels.tobytes())
        digest.update(rows.weights.tobytes())
        for inputs in rows.slices(_STEP):
            for values in inputs.values():
                digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]
