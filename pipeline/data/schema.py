"""A schema inferred from data, for a person to review."""

from __future__ import annotations

from itertools import chain

import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import schema_pb2

from components.example_gen import record_batches
from trainer.columns import Columns
from trainer.errors import InputError
from trainer.sampling import SamplingRates

ROWS_TO_LOOK_AT = 200_000
# New merchants and countries come every day: a tenth of the rows may hold values that were not seen here.
_DOMAIN_MASS = 0.9


def infer(path: str, columns: Columns) -> schema_pb2.Schema:
    """A schema for the rows below `path`, with room for unseen categories and for gaps where there are some.

    It says nothing of the id, which is not validated.

    Raises:
      InputError: there are no rows.
    """
    batches, rows = [], 0
    gaps: set[str] = set()
    for batch in record_batches(path, columns.without_id(), SamplingRates()):
        # A column may have its first gap in the last of the rows: those are looked for in all of them.
        gaps.update(name for name, column in zip(batch.schema.names, batch.columns, strict=True) if column.null_count)
        if rows < ROWS_TO_LOOK_AT:
            batches.append(batch)
            rows += batch.num_rows
    if not rows:
        raise InputError(f"{path} has a header but no rows; name a file with transactions")
    table = pa.Table.from_batches(batches).combine_chunks()
    whole = pa.RecordBatch.from_arrays(
        list(chain.from_iterable(column.chunks for column in table.columns)), names=table.column_names
    )
    statistics = stats_impl.generate_statistics_in_memory(whole, tfdv.StatsOptions())
    schema = tfdv.infer_schema(statistics, infer_feature_shape=True, max_string_domain_size=200)
    for feature in schema.feature:
        if feature.name in gaps:
            feature.ClearField("shape")
            feature.presence.CopyFrom(schema_pb2.FeaturePresence(min_count=1))
        if feature.name in columns.categorical and columns.categorical[feature.name] == "string":
            feature.distribution_constraints.min_domain_mass = _DOMAIN_MASS
    return schema
