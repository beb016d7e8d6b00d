"""Each anomaly that TFDV can report, provoked through TFDV itself, as a sentence with counts, row, value and advice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.anomalies import SplitData, shown, to_findings
from components.anomaly_words import Anomaly, Reason, in_words
from components.findings import Finding
from tests.support.hostile import HOSTILE
from trainer.columns import Columns

COLUMNS = Columns(label="fraud", id="payment", time="at", numeric=("x",))
FLOAT, INT, BYTES = pa.float32(), pa.int64(), pa.large_binary()
AT = list(range(100, 110))
NUMBERS = [1.5, 2.0, -3.25, 4.0, 5.0, 6.0, 7.0, -1.0, 9.0, 0.1]
TEXTS = ["NL", "DE", "NL", "XX", "DE", "NL", "YY", "XX", "NL", "DE"]


def statistics(columns: dict[str, tuple[Sequence[Any], pa.DataType]]) -> statistics_pb2.DatasetFeatureStatisticsList:
    arrays = [
        pa.array([None if value is None else [value] for value in values], pa.large_list(kind))
        for values, kind in columns.values()
    ]
    batch = pa.RecordBatch.from_arrays(arrays, list(columns))
    return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())


def findings(
    values: Sequence[Any], kind: pa.DataType, feature: str, rest: str = "", column: str = "x", **changes: Any
) -> list[Finding]:
    """What is said of a column that a schema describes by `feature`; `changes` change the statistics."""
    columns = {column: (values, kind), "at": (AT[: len(values)], INT)}
    schema = text_format.Parse(f'feature {{ name: "at" type: INT }} {feature} {rest}', schema_pb2.Schema())
    made = statistics(columns)
    for name, value in changes.items():
        stats = made.datasets[0].features[0].num_stats
        (setattr(stats, name, value) if name in ("min", "max") else setattr(stats.histograms[0], name, value))
    payments = pa.array([f"P{number}" for number in range(len(values))])

    def rows(names: Sequence[str]) -> Iterable[pa.RecordBatch]:
        arrays = {name: pa.array(own, dtype) for name, (own, dtype) in columns.items()} | {"payment": payments}
        read = [name for name in names if name in arrays]
        whole = pa.RecordBatch.from_arrays([arrays[name] for name in read], read)
        return [whole.slice(0, 4), whole.slice(4)]

    anomalies = tfdv.validate_statistics(made, schema)
    return to_findings(anomalies, SplitData("test", made, schema, COLUMNS, rows))


DOMAIN = 'string_domain { name: "countries" value: "NL" value: "DE" }'
# by name: the values, their type, the feature, the rest of the schema, and what is said of it
PROVOKED: dict[str, tuple[Sequence[Any], pa.DataType, str, str, str]] = {
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": (
        [*NUMBERS[:5], None, *NUMBERS[6:]],
        FLOAT,
        "type: FLOAT presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } }",
        "",
        "the value is missing in 1 of 10 rows of test, but the schema wants one in each row. The first is row 6 of "
        "test (payment 'P5', at 105). Fill in the values; or, to allow gaps, edit the feature \"x\" in the schema: "
        "remove `shape` and set `presence { min_count: 1 }` (drop `min_fraction`)",
    ),
    "FEATURE_TYPE_LOW_NUMBER_PRESENT": (
        [*NUMBERS[:5], *[None] * 5],
        FLOAT,
        "type: FLOAT presence { min_count: 8 }",
        "",
        "the value is missing in 5 of 10 rows of test, but the schema wants one in at least 8 rows. The first is "
        "row 6 of",
    ),
    "FEATURE_TYPE_NOT_PRESENT": (
        [None] * 10,
        FLOAT,
        "type: FLOAT presence { min_count: 1 }",
        "",
        "none of the 10 rows of test has a value, but the schema wants some. Fill in the values; or, to allow "
        'gaps, edit the feature "x" in the schema: set `presence { min_count: 0 }`',
    ),
    "FEATURE_TYPE_LOW_NUMBER_VALUES": (
        NUMBERS,
        FLOAT,
        "type: FLOAT value_count { min: 2 }",
        "",
        "a row of test holds one value of this column, which does not fit `value_count { min: 2 }` in the schema. Edit",
    ),
    "FEATURE_TYPE_HIGH_NUMBER_VALUES": (
        NUMBERS,
        FLOAT,
        "type: FLOAT value_count { max: 0 }",
        "",
        "a row of test holds one value of this column, which does not fit `value_count { max: 0 }` in the schema. Edit",
    ),
    "INVALID_FEATURE_SHAPE": (
        NUMBERS,
        FLOAT,
        "type: FLOAT shape { dim { size: 3 } }",
        "",
        "a row of test holds one value of this column, which does not fit `shape { dim { size: 3 } }` in the "
        "schema. Edit",
    ),
    "FEATURE_TYPE_HIGH_UNIQUE": (
        TEXTS,
        BYTES,
        "type: BYTES unique_constraints { min: 1 max: 3 }",
        "",
        "test has 4 different values in this column, but the schema wants at most 3 (`unique_constraints`). "
        "Correct the data, or set `unique_constraints { max: 4 }` in the feature",
    ),
    "FEATURE_TYPE_LOW_UNIQUE": (
        TEXTS,
        BYTES,
        "type: BYTES unique_constraints { min: 7 max: 9 }",
        "",
        "test has 4 different values in this column, but the schema wants at least 7 (`unique_constraints`)",
    ),
    "FEATURE_TYPE_NO_UNIQUE": (
        NUMBERS,
        FLOAT,
        "type: FLOAT unique_constraints { min: 1 max: 9 }",
        "",
        "the schema limits how many different values this column has (`unique_constraints`), which only works for text",
    ),
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": (
        TEXTS,
        BYTES,
        'type: BYTES domain: "countries" distribution_constraints { min_domain_mass: 0.95 }',
        DOMAIN,
        '3 of 10 rows of test hold a value that is none of the 2 in the schema\'s string_domain "countries" (at '
        "most 5 % may): 'XX' (2), 'YY' (1). The first is row 4 of test (payment 'P3', at 103), which holds 'XX'. "
        'Correct the values; or, if they are right, add each to the string_domain "countries" as `value: '
        '"..."`, or lower',
    ),
    "ENUM_TYPE_INVALID_UTF8": (
        [b"NL"] * 9 + [b"\xff\xfe"],
        BYTES,
        'type: BYTES domain: "countries"',
        DOMAIN,
        "1 of 10 rows of test hold text that is not UTF-8: '\\\\xff\\\\xfe' (1). The first is row 10 of test",
    ),
    "BOOL_TYPE_BIG_INT": (
        [0, 1, 2, 0, 1, 7, 0, 0, 0, 0],
        INT,
        "type: INT bool_domain {}",
        "",
        "2 of 10 rows of test hold a value other than 0 or 1, which the schema allows (`bool_domain`): 2 (1), 7 "
        "(1). The first is row 3 of test (payment 'P2', at 102), which holds 2. Correct the values; or, if they "
        'are right, remove `bool_domain` from the feature "x" in the schema',
    ),
    "BOOL_TYPE_SMALL_INT": (
        [0, 1, -1, 0, 1, 0, 0, 0, 0, 0],
        INT,
        "type: INT bool_domain {}",
        "",
        "1 of 10 rows of test hold a value other than 0 or 1, which the schema allows (`bool_domain`): -1 (1)",
    ),
    "BOOL_TYPE_UNEXPECTED_STRING": (
        TEXTS,
        BYTES,
        'type: BYTES bool_domain { true_value: "NL" false_value: "DE" }',
        "",
        "3 of 10 rows of test hold a value other than 'NL' or 'DE', which the schema allows (`bool_domain`): 'XX' (2)",
    ),
    "BOOL_TYPE_UNEXPECTED_FLOAT": (
        NUMBERS,
        FLOAT,
        "type: FLOAT bool_domain {}",
        "",
        "10 of 10 rows of test hold a value other than 0 or 1, which the schema allows (`bool_domain`): ",
    ),
    "FLOAT_TYPE_SMALL_FLOAT": (
        NUMBERS,
        FLOAT,
        "type: FLOAT float_domain { min: 0 }",
        "",
        "2 of 10 rows of test hold a value below 0, the minimum in the schema; the lowest is -3.25. The first is "
        "row 3 of test (payment 'P2', at 102), which holds -3.25. Correct the values; or, if they are right, set "
        '`float_domain { min: -3.25 }` in the feature "x" in the schema',
    ),
    "FLOAT_TYPE_BIG_FLOAT": (
        NUMBERS,
        FLOAT,
        "type: FLOAT float_domain { max: 8.5 }",
        "",
        "1 of 10 rows of test hold a value above 8.5, the maximum in the schema; the highest is 9. The first is "
        "row 9 of",
    ),
    "INT_TYPE_SMALL_INT": (
        list(range(10)),
        INT,
        "type: INT int_domain { min: 2 }",
        "",
        "2 of 10 rows of test hold a value below 2, the minimum in the schema; the lowest is 0. The first is row 1 "
        "of test",
    ),
    "INT_TYPE_BIG_INT": (
        list(range(10)),
        INT,
        "type: INT int_domain { max: 7 }",
        "",
        "2 of 10 rows of test hold a value above 7, the maximum in the schema; the highest is 9. The first is row 9 of",
    ),
    "FLOAT_TYPE_HAS_NAN": (
        [1.0, float("nan"), *NUMBERS[2:]],
        FLOAT,
        "type: FLOAT float_domain { disallow_nan: true }",
        "",
        "1 of 10 rows of test hold NaN, which the schema does not allow (`disallow_nan`). The first is row 2 of test",
    ),
    "FLOAT_TYPE_HAS_INF": (
        [1.0, float("-inf"), *NUMBERS[2:]],
        FLOAT,
        "type: FLOAT float_domain { disallow_inf: true }",
        "",
        "1 of 10 rows of test hold an infinite value, which the schema does not allow (`disallow_inf`). The first "
        "is row 2 of test",
    ),
    "FLOAT_TYPE_STRING_NOT_FLOAT": (
        ["1", "2.5", "-", *"3456789"],
        BYTES,
        "type: BYTES float_domain {}",
        "",
        "the schema takes the text of this column for numbers (`float_domain`), but 1 of 10 rows of test hold a "
        "text that is not a number: '-' (1). The first is row 3 of test (payment 'P2', at 102), which holds '-'. "
        "Correct the values",
    ),
    "INT_TYPE_NOT_INT_STRING": (
        ["1", "2", "A3", *"3456789"],
        BYTES,
        "type: BYTES int_domain {}",
        "",
        "the schema takes the text of this column for numbers (`int_domain`), but 1 of 10 rows of test hold a text "
        "that is not a whole number: 'A3' (1). The first is row 3",
    ),
    "UNEXPECTED_DATA_TYPE": (
        TEXTS,
        BYTES,
        "type: FLOAT",
        "",
        "the schema expects numbers (the roles numeric and amount), but the configuration reads this column as "
        "text (the role categorical, as string); the values are such as 'NL' (4), 'DE' (3), 'XX' (2) and 1 more. "
        "Name it under columns.numeric in the configuration, or set `type: BYTES` in the feature",
    ),
    "INVALID_SCHEMA_SPECIFICATION": (
        TEXTS,
        BYTES,
        "type: BYTES distribution_constraints { min_domain_mass: 0.9 }",
        "",
        "the schema is at odds with itself about this column: it sets `distribution_constraints` "
        '(`min_domain_mass`), but no domain whose values could be counted. Edit the feature "x" in the schema: '
        "remove `distribution_constraints`",
    ),
    "INVALID_DOMAIN_SPECIFICATION": (
        TEXTS,
        BYTES,
        'type: BYTES domain: "states"',
        DOMAIN,
        'the schema is at odds with itself about this column: it names the domain "states", but the schema has no '
        'string_domain of that name. Edit the feature "x" in the schema: add `string_domain { name: "states"',
    ),
    "DOMAIN_INVALID_FOR_TYPE": (
        NUMBERS,
        FLOAT,
        "type: FLOAT int_domain {}",
        "",
        "the schema sets `int_domain` for this column, which does not go with `type: FLOAT` (The domain does not match "
        'the type: The domain "int_domain" does not match the type: FLOAT). Edit',
    ),
    "FEATURE_MISSING_TYPE": (
        TEXTS,
        BYTES,
        'domain: "countries" distribution_constraints { min_domain_mass: 0.1 }',
        DOMAIN,
        "the schema says no type for this column. Add `type: BYTES` to the feature",
    ),
    "VALUE_NESTEDNESS_MISMATCH": (
        NUMBERS,
        FLOAT,
        "type: FLOAT value_counts { value_count { min: 1 } value_count { min: 1 } }",
        "",
        "the schema treats this column as lists of lists, but a column of transactions holds one number or text in "
        "each row (TFDV says: ",
    ),
}


@pytest.mark.parametrize("kind", PROVOKED)
def test_what_tfdv_reports_becomes_a_sentence(kind: str) -> None:
    values, dtype, feature, rest, sentence = PROVOKED[kind]
    encoded = [value.encode() if isinstance(value, str) else value for value in values]
    described = f'feature {{ name: "x" {feature} }}'
    schema = text_format.Parse(f"{described} {rest}", schema_pb2.Schema())
    reported = tfdv.validate_statistics(statistics({"x": (encoded, dtype)}), schema).anomaly_info["x"].reason
    assert kind in {anomalies_pb2.AnomalyInfo.Type.Name(reason.type) for reason in reported}
    said = findings(encoded, dtype, described, rest)
    assert {(one.split, one.column, one.stops) for one in said} == {("test", "x", True)}
    assert [one.details for one in said if one.details.startswith(sentence)], said
    assert not [one.details for one in said if "{" + "rows}" in one.details or "{" + "values}" in one.details]


def test_a_column_on_one_side_only() -> None:
    (missing,) = findings(
        NUMBERS, FLOAT, 'feature { name: "x" type: FLOAT } feature { name: "y" type: INT presence { min_count: 1 } }'
    )
    assert missing.column == "y"
    assert missing.details.startswith(
        "the schema describes this column, but the configuration does not read it from the"
    )
    (new,) = findings(TEXTS, pa.large_binary(), "", column="my.colour [/]\n")
    assert new.column == "my.colour [/]\n"
    assert 'Add `feature { name: "my.colour [/]\\n" type: BYTES }` to the schema' in new.details


def test_too_few_and_too_many_rows() -> None:
    x = 'feature { name: "x" type: FLOAT }'
    (few,) = findings(NUMBERS, FLOAT, x, "dataset_constraints { min_examples_count: 5000 }")
    assert (few.column, few.stops) == ("(all)", True)
    assert few.details.startswith(
        "test has 10 rows, but the schema wants at least 5,000 in each split (`dataset_constr"
    )


def test_no_rows_at_all_are_a_fault_too() -> None:
    data = SplitData("test", statistics_pb2.DatasetFeatureStatisticsList(), schema_pb2.Schema(), COLUMNS, lambda _: ())
    (finding,) = to_findings(anomalies_pb2.Anomalies(data_missing=True), data)
    assert (finding.problem, finding.stops) == ("No rows", True)


def test_every_kind_that_is_known_has_words_of_its_own() -> None:
    generic = {
        "UNKNOWN_TYPE",
        "MULTIPLE_REASONS",
        "CUSTOM_VALIDATION",
        "NO_DATA_IN_SPAN",
        "SCHEMA_TRAINING_SERVING_SKEW",
    }
    feature = schema_pb2.Feature(name="x", type=schema_pb2.BYTES)
    measured = statistics_pb2.FeatureNameStatistics(type=statistics_pb2.FeatureNameStatistics.STRING)
    measured.string_stats.common_stats.num_missing = 1
    measured.string_stats.rank_histogram.buckets.add(label="3")
    unknown = set()
    for kind in [*anomalies_pb2.AnomalyInfo.Type.keys(), "4711"]:
        anomaly = Anomaly("eval", "x", (Reason(kind, "Short", "Long."),), schema_pb2.Schema(), feature, measured, 10)
        (words,) = in_words(anomaly)
        assert words.problem
        assert words.advice
        if "TFDV says: Short: Long" in words.got and words.problem == "Short":
            unknown.add(kind)
    known_here = {name for name, number in anomalies_pb2.AnomalyInfo.Type.items() if number <= 88}
    assert unknown & known_here == generic & known_here
    assert "4711" in unknown


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_from_outside_stays_in_one_line(value: str) -> None:
    for written in (shown(value), shown(value.encode("utf-8", "surrogatepass"))):
        assert written.isprintable()
        assert len(written) <= 60
