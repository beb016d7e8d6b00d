"""The rows that a search fits on and judges by: train and eval, or the folds of a cross-validation."""

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
    """Rows to fit on and rows to judge by, both preprocessed by statistics of the rows to fit on.

    categories: for each categorical column, how many indices it has.
    """

    train: Transactions
    validation: Transactions
    categories: Mapping[str, int]

    def save(self, folder: Path) -> None:
        """Writes the fold for other processes, over anything that a killed process left unfinished."""
        for name, rows in (("train", self.train), ("validation", self.validation)):
            (folder / name / _INPUTS).mkdir(parents=True, exist_ok=True)
            for key, values in rows.inputs.items():
                _store(folder / name / _INPUTS / f"{key}.npy", values)
            np.save(folder / name / "labels.npy", rows.labels)
            np.save(folder / name / "weights.npy", rows.weights)
        (folder / "categories.json").write_text(json.dumps(dict(self.categories)))

    @classmethod
    def load(cls, folder: Path) -> Fold:
        """The fold that `save` wrote; inputs are memory maps, so that processes of one machine share the memory."""

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
    """The blocks of training rows that folds are made of.

    by: with `time` there is one block more than folds, and each fold fits on all blocks before the one that judges it
    (forward chaining); with `random` each fold is judged by a block of its own and fits on the others. files: the block
    of each row by file, int32 [n], in the order in which the files are read.
    """

    by: Literal["time", "random"]
    folds: int
    files: Mapping[str, Array]

    def trains(self, file: str, fold: int) -> Array:
        """Whether the fold fits on each row of the file: bool [n]."""
        return self.files[file] <= fold if self.by == "time" else self.files[file] != fold

    def validates(self, file: str, fold: int) -> Array:
        """Whether the fold is judged by each row of the file: bool [n]."""
        judging: Array = self.files[file] == fold + (self.by == "time")
        return judging

    def parts(self, fold: int) -> Array:
        """For each row, in the order of the files: 0 to fit on, 1 to judge by, -1 not in the fold. int8 [n]"""
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
    """Block of each row, by time; blocks are about equal in size, and rows of the same time stay together. int32 [n]

    As scikit-learn's TimeSeriesSplit, except for rows of equal time. times: seconds, float64 [n].
    """
    count = folds + 1
    positions = [len(times) * block // count for block in range(1, count)]
    starts = np.partition(times, positions)[positions] if len(times) >= count else np.zeros(0)
    return np.searchsorted(starts, times, side="right").astype(np.int32)


def blocks_at_random(labels: Array, hashes: Array, folds: int) -> Array:
    """Block of each row, by a hash; blocks have equal shares of both classes, equal rows stay together. int32 [n]"""
    blocks = np.zeros(len(labels), np.int32)
    for label in (0, 1):
        (rows,) = np.nonzero(labels == label)
        _, place, counts = np.unique(hashes[rows], return_inverse=True, return_counts=True)
        # the middle one of equal rows decides for all of them
        middle = np.cumsum(counts) - counts / 2
        blocks[rows] = np.floor(middle * folds / max(1, len(rows))).astype(np.int32)[place]
    return blocks


def why_not(labels: Array, cut: Callable[[int], Array], by: str, folds: int) -> str:
    """Why so many folds make no cross-validation, and how many would; "" where they do.

    cut: returns the block of each row, int32 [n], for a number of folds.
    """
    frauds, rows = _counts(labels, cut(folds), folds + (by == "time"))
    if _can_judge(frauds, rows):
        return ""
    total, count = int(frauds.sum()), len(frauds)
    if total < count:
        reason = f"the training split has {total:,} fraud{'s' * (total != 1)} for {count:,} blocks"
    else:
        without = int((frauds == 0).sum())
        kind, blocks = ("fraud", without) if without else ("legitimate transaction", int((rows == frauds).sum()))
        reason = f"{blocks:,} of {count:,} blocks of the training split have no {kind}"
    possible = min(folds - 1, total)
    while possible >= 2 and not _can_judge(*_counts(labels, cut(possible), possible + (by == "time"))):
        possible = min(possible - 1, possible * 3 // 4)
    way_out = f"take tuning.folds={possible}" if possible >= 2 else "judge on eval with tuning.folds=null"
    return f"tuning.folds is {folds:,}, but {reason}; {way_out}, or give data with more frauds"


def _counts(labels: Array, blocks: Array, count: int) -> tuple[Array, Array]:
    """How many frauds and how many rows each block has."""
    return np.bincount(blocks[labels == 1], minlength=count), np.bincount(blocks, minlength=count)


def _can_judge(frauds: Array, rows: Array) -> bool:
    return bool((frauds > 0).all() and (rows > frauds).all())


def graph_folder(folder: str, fold: int) -> str:
    """Where the transform graph of a fold is, in the search's folder."""
    return os.path.join(folder, f"fold_{fold}")
