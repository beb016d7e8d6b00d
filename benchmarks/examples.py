"""Whether two ExampleGens wrote the same rows: `python -m benchmarks.examples FOLDER FOLDER`, as JSON.

Each folder holds `Split-*` with TFRecords of tf.Examples. Rows are compared as a multiset over all splits, every value
as float32, so the order and the splits may differ; columns that one of the two adds are left out and named.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

BATCH = 8192
GZIP = b"\x1f\x8b"  # the first two bytes of a gzip file (RFC 1952)


def read(folder: Path) -> dict[str, NDArray[Any]]:
    """Every column as float32 [rows], over all splits.

    Raises:
      SystemExit: the folder holds no examples.
    """
    files = sorted(str(path) for path in folder.glob("Split-*/*"))
    if not files:
        raise SystemExit(f"{folder} holds no Split-*/ with examples; name the folder that an ExampleGen wrote")
    parts = list(_batches(files))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _batches(files: list[str]) -> Iterator[dict[str, NDArray[Any]]]:
    for file in files:
        with open(file, "rb") as opened:
            compression = "GZIP" if opened.read(2) == GZIP else ""
        records = tf.data.TFRecordDataset(file, compression)
        first = next(records.take(1).as_numpy_iterator(), None)
        if first is None:
            continue
        spec = {
            name: tf.io.FixedLenFeature([], tf.int64 if feature.HasField("int64_list") else tf.float32)
            for name, feature in tf.train.Example.FromString(first).features.feature.items()
        }
        for serialized in records.batch(BATCH):
            parsed = tf.io.parse_example(serialized, spec)
            yield {name: tf.cast(value, tf.float32).numpy() for name, value in parsed.items()}


def compare(one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """rows of each, columns compared and left out, and how many rows of `one` the other has not."""
    names = sorted(one.keys() & other.keys())
    left, right = (_rows(columns, names) for columns in (one, other))
    kinds, inverse = np.unique(np.concatenate([left, right]), return_inverse=True)
    inverse = inverse.reshape(-1)
    have, want = (np.bincount(part, minlength=len(kinds)) for part in (inverse[len(left) :], inverse[: len(left)]))
    return {
        "rows": [len(left), len(right)],
        "columns": len(names),
        "columns_left_out": sorted(one.keys() ^ other.keys()),
        "rows_missing": int(np.maximum(want - have, 0).sum()),
        "rows_extra": int(np.maximum(have - want, 0).sum()),
    }


def _rows(columns: dict[str, NDArray[Any]], names: list[str]) -> NDArray[Any]:
    """One opaque value a row, so that rows can be sorted; 0.0 and -0.0 are the same."""
    stacked = np.ascontiguousarray(np.stack([columns[name] + np.float32(0) for name in names], axis=1))
    return stacked.view(f"V{stacked.shape[1] * stacked.itemsize}").reshape(-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs=2, type=Path, metavar="FOLDER")
    one, other = parser.parse_args().folders
    print(json.dumps(compare(read(one), read(other))))


if __name__ == "__main__":
    main()
