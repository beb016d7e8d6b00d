"""What a search fits on and judges by: train and eval, or the folds of a cross-validation."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trainer.arrays import Array
from trainer.dataset import Rows, Transactions

BLOCKS = "blocks.npz"
_INPUTS = "inputs"
_STEP = 1 << 18  # rows


@dataclass(frozen=True)
class Fold:
    """Rows to fit on and rows to judge by, preprocessed by statistics of the former alone.

    categories: for each categorical column, how many indices it has.
    """

    train: Transactions
    validation: Transactions
    categories: Mapping[str, int]

    def save(self, folder: Path) -> None:
        """Writes the fold for other processes; what a killed process left unfinished is written anew."""
        for name, rows in (("train", self.train), ("validation", self.validation)):
            (folder / name / _INPUTS).mkdir(parents=True, exist_ok=True)
            for key, values in rows.inputs.items():
                _store(folder / name / _INPUTS / f"{key}.npy", values)
            np.save(folder / name / "labels.npy", rows.labels)
            np.save(folder / name / "weights.npy", rows.weights)
        (folder / "categories.json").write_text(json.dumps(dict(self.categories)))

    @classmethod
    def load(cls, folder: Path) -> Fold:
        """The fold that `save` wrote; inputs are mapped, so that processes of one machine share the memory."""

        def rows(name: str) -> Transactions:
            return Transactions(
                {path.stem: np.load(path, mmap_mode="r") for path in sorted((folder / name / _INPUTS).glob("*.npy"))},
                np.load(folder / name / "labels.npy"),
                np.load(folder / name / "weights.npy"),
            )

        return cls(rows("train"), rows("validation"), json.loads((folder / "categories.json").read_text()))


def _store(path: Path, values: Rows) -> None:
    stored = np.lib.format.open_memmap(path, "w+", values.dtype, values.shape)
    for start in range(0, values.shape[0], _STEP):
        stored[start : start + _STEP] = values[start : start + _STEP]
    stored.flush()


@dataclass(frozen=True)
class Blocks:
    """Which block of the training rows each row is in, file by file: int32 [n]; folds are made of blocks.

    by: time has one block more than folds, the first n of which come before the block that judges them (forward
    chaining); random has a block for each fold.
    """

    by: Literal["time", "random"]
    folds: int
    files: Mapping[str, Array]  # in the order in which they are read

    def trains(self, file: str, fold: int) -> Array:
        """Whether each row of the file is fitted on in the fold: bool [n]."""
        return self.files[file] <= fold if self.by == "time" else self.files[file] != fold

    def validates(self, file: str, fold: int) -> Array:
        """Whether each row of the file judges the fold: bool [n]."""
        judging: Array = self.files[file] == fold + (self.by == "time")
        return judging

    def parts(self, fold: int) -> Array:
        """Of all rows in the order of the files: 0 fitted on, 1 judged by, -1 neither in the fold. int8 [n]"""
        trained, validated = (
            np.concatenate([chosen(file, fold) for file in self.files]) for chosen in (self.trains, self.validates)
        )
        return np.where(trained, 0, np.where(validated, 1, -1)).astype(np.int8)

    def save(self, folder: str) -> None:
        arrays: dict[str, Any] = {"names": np.array(list(self.files)), "by": self.by, "folds": self.folds}
        arrays |= {f"file_{number}": rows for number, rows in enumerate(self.files.values())}
        part = os.path.join(folder, f"part-{BLOCKS}")
        np.savez(part, **arrays)
        os.replace(part, os.path.join(folder, BLOCKS))

    @classmethod
    def load(cls, folder: str) -> Blocks:
        with np.load(os.path.join(folder, BLOCKS)) as stored:
            files = {str(name): stored[f"file_{number}"] for number, name in enumerate(stored["names"])}
            return cls(str(stored["by"]), int(stored["folds"]), files)  # type: ignore[arg-type]


def blocks_by_time(times: Array, folds: int) -> Array:
    """Blocks of about equal size in the order of time; rows of the same time stay together. int32 [n]

    times: float64 [n], seconds. As scikit-learn's TimeSeriesSplit, but for rows of equal time.
    """
    count = folds + 1
    positions = [len(times) * block // count for block in range(1, count)]
    starts = np.partition(times, positions)[positions] if len(times) >= count else np.zeros(0)
    return np.searchsorted(starts, times, side="right").astype(np.int32)


def blocks_at_random(labels: Array, hashes: Array, folds: int) -> Array:
    """Blocks with equal shares of both classes, by the order of a hash; equal rows stay together. int32 [n]"""
    blocks = np.zeros(len(labels), np.int32)
    for label in (0, 1):
        (rows,) = np.nonzero(labels == label)
        _, place, counts = np.unique(hashes[rows], return_inverse=True, return_counts=True)
        # the middle of equal rows says where all of them go
        middle = np.cumsum(counts) - counts / 2
        blocks[rows] = np.floor(middle * folds / max(1, len(rows))).astype(np.int32)[place]
    return blocks


def why_not(labels: Array, cut: Callable[[int], Array], by: str, folds: int) -> str:
    """What keeps so many folds from being a cross-validation, and how many would be one; "" where nothing does.

    cut: the block of each row, int32 [n], for a number of folds.
    """
    frauds, rows = _counts(labels, cut(folds), folds + (by == "time"))
    if _can_judge(frauds, rows):
        return ""
    total, count = int(frauds.sum()), len(frauds)
    if total < count:
        reason = f"the training split has {total:,} fraud{'s' * (total != 1)} for {count:,} blocks"
    else:
        without = int((frauds == 0).sum())
        kind, lacking = ("fraud", without) if without else ("legitimate transaction", int((rows == frauds).sum()))
        reason = f"{lacking:,} of {count:,} blocks of the training split have no {kind}"
    possible = min(folds - 1, total)
    while possible >= 2 and not _can_judge(*_counts(labels, cut(possible), possible + (by == "time"))):
        possible = min(possible - 1, possible * 3 // 4)
    way_out = f"take tuning.folds={possible}" if possible >= 2 else "judge on eval with tuning.folds=null"
    return f"tuning.folds is {folds:,}, but {reason}; {way_out}, or give data with more frauds"


def _counts(labels: Array, blocks: Array, count: int) -> tuple[Array, Array]:
    """Frauds and rows of each block."""
    return np.bincount(blocks[labels == 1], minlength=count), np.bincount(blocks, minlength=count)


def _can_judge(frauds: Array, rows: Array) -> bool:
    return bool((frauds > 0).all() and (rows > frauds).all())


def graph_folder(folder: str, fold: int) -> str:
    """Where the transform graph of a fold is, in the search's folder."""
    return os.path.join(folder, f"fold_{fold}")
