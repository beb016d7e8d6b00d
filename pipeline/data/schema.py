"""A schema inferred from data, for a person to review."""

from __future__ import annotations

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2

from components.reading.files import find_files
from components.reading.readers import read_batches
from pipeline.data.statistics import Counts, SplitCounts, raw_kinds
from trainer.columns import Columns
from trainer.errors import InputError
from trainer.sampling import SamplingRates

# A text column of more different values has no domain: no list that a person could review, or that would stay complete.
DOMAIN_SIZE = 200
# New merchants and countries come every day: a tenth of the rows may hold values that were not seen here.
_DOMAIN_MASS = 0.9
_CELLS_AT_ONCE = 1 << 22


def rows_at_once(columns: Columns) -> int:
    """How many rows are read at a time: so many that their values take some 30 MB, however wide the rows."""
    return max(1024, min(65_536, _CELLS_AT_ONCE // len(raw_kinds(columns))))


def infer(path: str, columns: Columns) -> schema_pb2.Schema:
    """A schema for the rows at `path`, with room for unseen categories and for gaps where there are some.

    All rows are read, some at a time, and of a text column at most 200 different values are kept. It says nothing of
    the id, which is not validated.

    Raises:
      InputError: there are no rows.
    """
    counts = Counts(columns, SamplingRates(), columns.categorical, DOMAIN_SIZE)
    names = [*columns.raw_kinds, columns.label]
    for file in find_files(path):
        for batch in read_batches(file.path, columns, names, rows_at_once(columns)):
            counts.add("train", batch)
    whole = counts.whole()
    if not whole.rows:
        raise InputError(f"{path} has a header but no rows; name a file with transactions")
    return from_counts(whole, columns)


def from_counts(counts: SplitCounts, columns: Columns) -> schema_pb2.Schema:
    """The schema of rows that were counted."""
    schema = tfdv.infer_schema(counts.to_proto(), infer_feature_shape=True, max_string_domain_size=DOMAIN_SIZE)
    del schema.string_domain[:]
    for feature in schema.feature:
        of_column = counts.columns[feature.name]
        if of_column.missing:
            # Where there are gaps, a whole split may consist of them: a column that was added late, for example.
            feature.ClearField("shape")
            feature.ClearField("value_count")
            feature.presence.CopyFrom(schema_pb2.FeaturePresence(min_count=0))
        if feature.name == columns.label:
            continue
        # TFDV takes text such as "0" and "1" for truth values, and such as "12" for numbers: another value of the same
        # kind, such as "A3", would stop the next run.
        domain = feature.WhichOneof("domain_info")
        if domain:
            feature.ClearField(domain)
        if of_column.values and feature.name in columns.categorical:
            feature.domain = feature.name
            schema.string_domain.add(name=feature.name, value=sorted(of_column.values))
            feature.distribution_constraints.min_domain_mass = _DOMAIN_MASS
    return schema
