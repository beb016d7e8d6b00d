"""Times a pushed model in a process with TensorFlow alone: `python -m benchmarks.served MODEL FIGURES.json`.

A request is what a caller has, serialized tf.Examples or numpy arrays, and the answer is a numpy array; both
conversions are in the time. Values are random, since no operation of the model depends on them.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.arrays import Array
from trainer.columns import Columns, RawKind, identifier

MANIFEST = Path("assets.extra/manifest.json")
WARM_UP = 200
DISTINCT = 4096  # rows that are drawn; larger batches repeat them
AT_LEAST = 1.0  # seconds of calls for each batch size
SEED = 7

Answer = Callable[[], Array]


def columns(model: Path) -> Columns:
    """The model's raw columns, from its manifest.

    Raises:
      SystemExit: there is no manifest.
    """
    path = model / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise SystemExit(
            f"{path} is not there, so the columns of the model are not known; "
            "name a model that the pipeline pushed: --model workspace/serving/VERSION"
        ) from error
    return Columns.model_validate(manifest["columns"])


def draw(kinds: Mapping[str, RawKind], rows: int) -> dict[str, Array]:
    """Random values of each raw column, [rows]."""
    rng = np.random.default_rng(SEED)
    draws: dict[RawKind, Callable[[], Array]] = {
        "float": lambda: rng.standard_normal(rows).astype(np.float32),
        "integer": lambda: rng.integers(0, 10**9, rows),
        "string": lambda: rng.choice(np.array([b"a", b"b", b"c"], object), rows),
    }
    return {name: draws[kind]() for name, kind in kinds.items()}


def serialized(drawn: Mapping[str, Array]) -> Array:
    """A tf.Example for each row, object [rows] of bytes."""
    examples = []
    for row in zip(*drawn.values(), strict=True):
        features = {name: _feature(value) for name, value in zip(drawn, row, strict=True)}
        examples.append(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return np.array(examples, object)


def _feature(value: Any) -> tf.train.Feature:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, np.integer):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


def callers(model: Any, kinds: Mapping[str, RawKind]) -> dict[str, Callable[[int], Answer]]:
    """For each signature, a function from a batch size to a call, which returns probabilities, float32 [batch]."""
    drawn = draw(kinds, DISTINCT)
    examples = serialized(drawn)
    by_examples, by_columns = (model.signatures[name] for name in ("serving_default", "serving_raw"))

    def with_examples(batch: int) -> Answer:
        request = np.resize(examples, batch)
        return lambda: by_examples(examples=tf.constant(request))["probability"].numpy()

    def with_columns(batch: int) -> Answer:
        request = {identifier(name): np.resize(values, batch) for name, values in drawn.items()}
        return lambda: by_columns(**{name: tf.constant(values) for name, values in request.items()})[
            "probability"
        ].numpy()

    return {"serving_default": with_examples, "serving_raw": with_columns}


def throughput(answer: Answer, batch: int) -> float:
    """Rows a second, over calls for `AT_LEAST` seconds, after two calls to warm up."""
    answer(), answer()
    calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < AT_LEAST:
        answer()
        calls += 1
    return calls * batch / elapsed


def latency(answer: Answer, calls: int) -> dict[str, float]:
    """Milliseconds of a call: median, 95th and 99th percentile."""
    for _ in range(WARM_UP):
        answer()
    durations = np.empty(calls)
    for call in range(calls):
        start = time.perf_counter()
        answer()
        durations[call] = time.perf_counter() - start
    middle, p95, p99 = np.percentile(durations, [50, 95, 99]) * 1000
    return {"median": float(middle), "p95": float(p95), "p99": float(p99)}


def measure(folder: Path, batches: tuple[int, ...], calls: int) -> dict[str, Any]:
    """Seconds to load the model, rows a second and milliseconds a row for each signature, and peak memory in GiB."""
    kinds = columns(folder).raw_kinds
    start = time.perf_counter()
    model = tf.saved_model.load(str(folder))
    figures: dict[str, Any] = {"load_seconds": time.perf_counter() - start}
    for name, caller in callers(model, kinds).items():
        figures[name] = {
            "latency_ms": latency(caller(1), calls),
            "rows_per_second": {str(batch): throughput(caller(batch), batch) for batch in batches},
        }
    figures["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a folder with a SavedModel")
    parser.add_argument("figures", type=Path, metavar="FIGURES.json", help="to write")
    parser.add_argument("--batches", type=int, nargs="+", required=True, metavar="N", help="rows of a request")
    parser.add_argument("--calls", type=int, required=True, metavar="N", help="of a single row")
    arguments = parser.parse_args()
    figures = measure(arguments.model, tuple(arguments.batches), arguments.calls)
    arguments.figures.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
