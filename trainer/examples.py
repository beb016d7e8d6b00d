"""tf.Examples from TFRecord files, parsed in large batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

_BATCH_BYTES = 2 << 20


def batch_rows(features: int) -> int:
    """How many examples to parse at once, by the number of their scalar features: 1,024 to 16,384.

    That is about 2 MiB of values. Serialized they take five times as much, and half a dozen batches are in flight.
    """
    return max(1024, min(16_384, _BATCH_BYTES // (4 * max(1, features))))


def matching(patterns: Sequence[str]) -> list[str]:
    """The files that match the patterns, sorted."""
    return sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern))


def serialized(files: Sequence[str], rows: int) -> tf.data.Dataset:
    """Serialized tf.Examples in batches, string [rows], in the order of the files; the last batch may be shorter."""
    compression = {".gz": "GZIP"}
    kinds = {compression.get(file[-3:], "") for file in files}
    if len(kinds) > 1:
        raise ValueError(f"either all files or none must be gzipped, got {', '.join(files)}")
    return tf.data.TFRecordDataset(
        list(files), compression_type=kinds.pop() if kinds else "", buffer_size=8 << 20
    ).batch(rows)


def parsed(files: Sequence[str], features: Mapping[str, Any]) -> tf.data.Dataset:
    """Examples parsed by `tf.io.parse_example`, in batches, in the order of the files.

    Parsing a batch in TensorFlow takes a fifth of the time of tfx-bsl's decoder.
    """
    dataset = serialized(files, batch_rows(len(features)))
    parse = tf.autograph.experimental.do_not_convert(lambda examples: tf.io.parse_example(examples, dict(features)))
    return dataset.map(parse, num_parallel_calls=2, deterministic=True).prefetch(2)
