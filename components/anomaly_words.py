"""What each kind of TFDV's anomalies means for a column of transactions, in words: what was got, and what to change.

The kinds are those of `AnomalyInfo.Type` in tensorflow_metadata/proto/v0/anomalies.proto; what they say is read in
TFDV's validator (tensorflow_data_validation/anomalies, versions 1.16 and 1.21).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from trainer.arrays import Array

Mask = Callable[[pa.Array], Array]  # which values are at fault: bool [n]


@dataclass(frozen=True)
class Words:
    """An anomaly in words.

    problem: a few words. got: half a sentence on the data or the schema, in which `{rows}` stands for how many rows are
    at fault and `{values}` for their most frequent values. advice: what to change. fault: which values are at fault;
    None where it is not in the values.
    """

    problem: str
    got: str
    advice: str
    fault: Mask | None = None


@dataclass(frozen=True)
class Reason:
    """One of the reasons of an anomaly, by the name of its kind."""

    kind: str
    short_description: str
    description: str


@dataclass(frozen=True)
class Anomaly:
    """A column of a split with TFDV's reasons; feature and measured are None where the schema or the data lack it."""

    split: str
    column: str
    reasons: tuple[Reason, ...]
    schema: schema_pb2.Schema
    feature: schema_pb2.Feature | None
    measured: statistics_pb2.FeatureNameStatistics | None
    rows: int

    @cached_property
    def kinds(self) -> frozenset[str]:
        return frozenset(reason.kind for reason in self.reasons)

    @property
    def common(self) -> statistics_pb2.CommonStatistics:
        if self.measured is None or self.measured.WhichOneof("stats") is None:
            return statistics_pb2.CommonStatistics(num_missing=self.rows)
        common: statistics_pb2.CommonStatistics = getattr(self.measured, self.measured.WhichOneof("stats")).common_stats
        return common

    @property
    def missing(self) -> int:
        return int(self.common.num_missing)

    @property
    def in_schema(self) -> str:
        return f"the feature {json.dumps(self.column, ensure_ascii=False)} in the schema"

    def described(self) -> schema_pb2.Feature:
        return self.feature if self.feature is not None else schema_pb2.Feature()

    def domain(self) -> list[str]:
        """The values that the schema allows."""
        feature = self.described()
        if feature.HasField("string_domain"):
            return list(feature.string_domain.value)
        return [value for one in self.schema.string_domain if one.name == feature.domain for value in one.value]


def in_words(anomaly: Anomaly) -> list[Words]:
    """One or more for the anomaly: reasons that say the same in other words are one."""
    words, said = [], set()
    for reason in anomaly.reasons:
        function = _FUNCTIONS.get(reason.kind, _own_words)
        one = function(anomaly, reason)
        # the presence, the shape and the count of values all complain of the same gaps
        key = (one.problem, one.got)
        if key not in said:
            said.add(key)
            words.append(one)
    return words


# ---- gaps, and the number of values in a row


def _gaps(anomaly: Anomaly, reason: Reason) -> Words:
    feature = anomaly.described()
    if not anomaly.missing:
        return _values_in_a_row(anomaly, reason)
    everything = anomaly.missing >= anomaly.rows
    edits = [f"remove `{name}`" for name in ("shape", "value_count", "value_counts") if feature.HasField(name)]
    if feature.HasField("presence"):
        count = 0 if everything or anomaly.rows - anomaly.missing < 1 else 1
        dropped = " (drop `min_fraction`)" if feature.presence.HasField("min_fraction") else ""
        edits.append(f"set `presence {{ min_count: {count} }}`{dropped}")
    if everything:
        got = f"none of the {anomaly.rows:,} rows of {anomaly.split} has a value"
    else:
        got = f"the value is missing in {{rows}} of {anomaly.split}"
    got += f", but {_asked_for(feature)}"
    return Words(
        "Missing values" if not everything else "No value at all",
        got,
        f"Fill in the values; or, to allow gaps, edit {anomaly.in_schema}: {_listed(edits)}",
        _is_missing,
    )


def _asked_for(feature: schema_pb2.Feature) -> str:
    if feature.HasField("shape") or feature.presence.min_fraction >= 1:
        return "the schema wants one in each row"
    if feature.presence.min_fraction > 0:
        return f"the schema wants one in at least {100 * feature.presence.min_fraction:.4g} % of the rows"
    if feature.presence.min_count > 1:
        return f"the schema wants one in at least {feature.presence.min_count:,} rows"
    return "the schema wants some"


def _values_in_a_row(anomaly: Anomaly, _: Reason) -> Words:
    feature = anomaly.described()
    fields = [name for name in ("shape", "value_count", "value_counts") if feature.HasField(name)]
    wanted = " and ".join(f"`{name} {{ {_short(getattr(feature, name))} }}`" for name in fields) or "its shape"
    return Words(
        "Other number of values in a row",
        f"a row of {anomaly.split} holds {_one_or(anomaly.common)} of this column, which does not fit {wanted} in the "
        "schema",
        f"Edit {anomaly.in_schema}: remove {_listed([f'`{name}`' for name in fields])}; a column without gaps has "
        "`shape { dim { size: 1 } }`",
    )


def _one_or(common: statistics_pb2.CommonStatistics) -> str:
    if common.max_num_values == 1:
        return "one value"
    return f"{common.min_num_values:,} to {common.max_num_values:,} values"


def _is_missing(column: pa.Array) -> Array:
    return np.asarray(column.is_null())


# ---- values


def _unknown_values(anomaly: Anomaly, _: Reason) -> Words:
    feature, allowed = anomaly.described(), anomaly.domain()
    mass = feature.distribution_constraints.min_domain_mass if feature.HasField("distribution_constraints") else 1.0
    known = pa.array(allowed, pa.string())

    def unknown(column: pa.Array) -> Array:
        return np.asarray(pc.invert(pc.is_in(_text(column), value_set=known))) & _present(column)

    at_most = "none may" if mass >= 1 else f"at most {100 * (1 - mass):.4g} % may"
    name = f"string_domain {json.dumps(feature.domain, ensure_ascii=False)}" if feature.domain else "`string_domain`"
    lower = "set" if mass >= 1 else "lower"
    return Words(
        "Values that the schema does not know",
        f"{{rows}} of {anomaly.split} hold a value that is none of the {len(allowed):,} in the schema's {name} "
        f"({at_most}): {{values}}",
        f'Correct the values; or, if they are right, add each to the {name} as `value: "..."`, or {lower} '
        f"`min_domain_mass` below the share of known values in `distribution_constraints` of {anomaly.in_schema}, or "
        "remove `domain` (or `string_domain`) together with `distribution_constraints` there",
        unknown,
    )


def _not_utf8(anomaly: Anomaly, _: Reason) -> Words:
    def garbled(column: pa.Array) -> Array:
        values = column.to_pylist()
        return np.array([isinstance(value, bytes) and not _decodes(value) for value in values], bool)

    return Words(
        "Text that is not UTF-8",
        f"{{rows}} of {anomaly.split} hold text that is not UTF-8: {{values}}",
        "Save the data as UTF-8, or say its encoding in the configuration",
        garbled,
    )


def _decodes(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _not_boolean(anomaly: Anomaly, _: Reason) -> Words:
    domain = anomaly.described().bool_domain
    texts = [value for value in (domain.true_value, domain.false_value) if value]
    if anomaly.measured is not None and anomaly.measured.HasField("string_stats"):
        known = pa.array(texts, pa.string())

        def fault(column: pa.Array) -> Array:
            return np.asarray(pc.invert(pc.is_in(_text(column), value_set=known))) & _present(column)

        expected = " or ".join(map(repr, texts)) or "none, for `bool_domain` names no value"
    else:
        texts = []

        def fault(column: pa.Array) -> Array:
            return ~np.isin(_numbers(column), (0, 1)) & _present(column)

        expected = "0 or 1"
    return Words(
        "Neither of two values",
        f"{{rows}} of {anomaly.split} hold a value other than {expected}, which the schema allows (`bool_domain`): "
        "{values}",
        f"Correct the values; or, if they are right, remove `bool_domain` from {anomaly.in_schema}",
        fault,
    )


def _beyond(side: str, domain: str) -> Callable[[Anomaly, Reason], Words]:
    def words(anomaly: Anomaly, _: Reason) -> Words:
        limit = getattr(getattr(anomaly.described(), domain), "min" if side == "below" else "max")
        compared = np.less if side == "below" else np.greater

        def fault(column: pa.Array) -> Array:
            return compared(_numbers(column), limit) & _present(column)

        name = "min" if side == "below" else "max"
        reached = _extreme(anomaly, side)
        return Words(
            f"Values {side} the schema's {name}imum",
            f"{{rows}} of {anomaly.split} hold a value {side} {_figure(limit)}, the {name}imum in the schema; the "
            f"{'lowest' if side == 'below' else 'highest'} is {reached}",
            f"Correct the values; or, if they are right, set `{domain} {{ {name}: {reached} }}` in "
            f"{anomaly.in_schema}, or remove `{name}` there",
            fault,
        )

    return words


def _extreme(anomaly: Anomaly, side: str) -> str:
    if anomaly.measured is None:
        return "unknown"
    if anomaly.measured.HasField("num_stats"):
        stats = anomaly.measured.num_stats
        return _figure(stats.min if side == "below" else stats.max)
    numbers = [float(bucket.label) for bucket in anomaly.measured.string_stats.rank_histogram.buckets]
    return _figure(min(numbers) if side == "below" else max(numbers))


def _not_finite(what: str, field: str) -> Callable[[Anomaly, Reason], Words]:
    def words(anomaly: Anomaly, _: Reason) -> Words:
        test = np.isnan if what == "NaN" else np.isinf

        def fault(column: pa.Array) -> Array:
            return test(_numbers(column, missing=0.0)) & _present(column)

        return Words(
            "Values that are no finite numbers",
            f"{{rows}} of {anomaly.split} hold {what}, which the schema does not allow (`{field}`)",
            f"Correct the values, or remove `{field}` from `float_domain` of {anomaly.in_schema}",
            fault,
        )

    return words


def _not_a_number(kind: str) -> Callable[[Anomaly, Reason], Words]:
    def words(anomaly: Anomaly, _: Reason) -> Words:
        convert: Callable[[str], float] = float if kind == "float" else int

        def fault(column: pa.Array) -> Array:
            return np.array(
                [value is not None and not _converts(value, convert) for value in _text(column).to_pylist()]
            )

        what, role = ("a number", "numeric") if kind == "float" else ("a whole number", "categorical, as integer")
        return Words(
            f"Text that is not {what}",
            f"the schema takes the text of this column for numbers (`{kind}_domain`), but {{rows}} of {anomaly.split} "
            f"hold a text that is not {what}: {{values}}",
            f"Correct the values and give the column the role {role} in the configuration; or, if it is text, remove "
            f"`{kind}_domain` from {anomaly.in_schema}",
            fault,
        )

    return words


def _converts(value: str, convert: Callable[[str], float]) -> bool:
    try:
        convert(value)
    except ValueError:
        return False
    return True


# ---- types, and what is there on one side only

_TYPES = {
    "FLOAT": "numbers (the roles numeric and amount)",
    "INT": "whole numbers (the role categorical, as integer)",
    "BYTES": "text (the role categorical, as string)",
}
_ROLES = {
    "FLOAT": "columns.numeric",
    "INT": "columns.categorical, as integer",
    "BYTES": "columns.categorical, as string",
}


def _other_type(anomaly: Anomaly, _: Reason) -> Words:
    expected = schema_pb2.FeatureType.Name(anomaly.described().type)
    measured = statistics_pb2.FeatureNameStatistics.Type.Name(anomaly.measured.type) if anomaly.measured else ""
    got = "BYTES" if measured in ("STRING", "BYTES") else measured
    role = _ROLES.get(expected)
    return Words(
        "Not of the schema's type",
        f"the schema expects {_TYPES.get(expected, expected)}, but the configuration reads this column as "
        f"{_TYPES.get(got, got or 'something else')}; the values are such as {{values}}",
        (f"Name it under {role} in the configuration, or s" if role else "S")
        + f"et `type: {got or 'BYTES'}` in {anomaly.in_schema}, and remove what it says of a domain",
        _present,
    )


def _not_in_schema(anomaly: Anomaly, _: Reason) -> Words:
    name = statistics_pb2.FeatureNameStatistics.Type.Name(anomaly.measured.type) if anomaly.measured else "BYTES"
    kind = "BYTES" if name == "STRING" else name
    quoted = json.dumps(anomaly.column, ensure_ascii=False)
    return Words(
        "Not in the schema",
        "the configuration reads this column, but the schema does not describe it",
        f"Add `feature {{ name: {quoted} type: {kind} }}` to the schema, or move the column to columns.ignore in the "
        "configuration",
    )


def _not_in_data(anomaly: Anomaly, _: Reason) -> Words:
    return Words(
        "Not in the data",
        "the schema describes this column, but the configuration does not read it from the data",
        f"Give the column a role in the configuration, or remove {anomaly.in_schema}",
    )


# ---- different values


def _different_values(anomaly: Anomaly, reason: Reason) -> Words:
    constraints = anomaly.described().unique_constraints
    count = int(anomaly.measured.string_stats.unique) if anomaly.measured is not None else 0
    low = reason.kind.endswith("LOW_UNIQUE")
    limit = constraints.min if low else constraints.max
    return Words(
        f"Too {'few' if low else 'many'} different values",
        f"{anomaly.split} has {count:,} different values in this column, but the schema wants at "
        f"{'least' if low else 'most'} {limit:,} (`unique_constraints`)",
        f"Correct the data, or set `unique_constraints {{ {'min' if low else 'max'}: {count} }}` in "
        f"{anomaly.in_schema}, or remove it there",
    )


def _no_different_values(anomaly: Anomaly, _: Reason) -> Words:
    return Words(
        "Different values are not counted",
        "the schema limits how many different values this column has (`unique_constraints`), which only works for text",
        f"Remove `unique_constraints` from {anomaly.in_schema}",
    )


# ---- faults of the schema itself


def _invalid(anomaly: Anomaly, reason: Reason) -> Words:
    got, advice = next(
        (words for beginning, words in _INVALID.items() if reason.short_description.startswith(beginning)),
        (f"it is not valid ({_own(reason)})", "correct it"),
    )
    return Words(
        "Fault of the schema",
        f"the schema is at odds with itself about this column: {got}",
        f"Edit {anomaly.in_schema}: {advice}",
    )


# by the first words of TFDV's short description, as far as they tell one from another
_INVALID = {
    "distribution constraints require": (
        "it sets `distribution_constraints` (`min_domain_mass`), but no domain whose values could be counted",
        "remove `distribution_constraints`, or name a `domain` with a `string_domain` of the same name",
    ),
    "distribution constraints not supported": (
        "`distribution_constraints` only works with a `domain` or a `string_domain`, but it sets another kind",
        "remove `distribution_constraints`, or the domain",
    ),
    "min_fraction should not be negative": (
        "`min_fraction` is negative",
        "set a `min_fraction` from 0 to 1, or remove it",
    ),
    "min_fraction should not greater": ("`min_fraction` is above 1", "set a `min_fraction` from 0 to 1, or remove it"),
    "ValueCount.min should": ("`min` in `value_count` is negative", "remove `value_count`"),
    "ValueCount.max should": ("`max` in `value_count` is below `min`", "remove `value_count`"),
    "ValueCounts.min should": ("a `min` in `value_counts` is negative", "remove `value_counts`"),
    "ValueCounts.max should": ("a `max` in `value_counts` is below its `min`", "remove `value_counts`"),
    "Shape.dim.size": ("a size in `shape` is not positive", "set `shape { dim { size: 1 } }`, or remove `shape`"),
}


def _invalid_domain(anomaly: Anomaly, reason: Reason) -> Words:
    domain = anomaly.described().domain
    name = json.dumps(domain, ensure_ascii=False)
    if "missing domain" in reason.short_description or (domain and not anomaly.domain()):
        got = f"it names the domain {name}, but the schema has no string_domain of that name"
        advice = f"add `string_domain {{ name: {name} value: ... }}` to the schema, or remove `domain`"
    elif "Malformed BoolDomain" in reason.short_description:
        got, advice = "`true_value` and `false_value` are equal", "set two different values, or remove `bool_domain`"
    elif "Repeated values" in reason.description:
        got, advice = f"its domain lists values twice ({_own(reason)})", "remove the copies from the string_domain"
    elif "too many values" in reason.short_description:
        got = f"TFDV does not take a domain of so many values ({_own(reason)})"
        advice = "remove `domain` (or `string_domain`) and `distribution_constraints`"
    else:
        got, advice = f"its domain is not valid ({_own(reason)})", "correct the domain, or remove it"
    return Words(
        "Fault of the schema",
        f"the schema is at odds with itself about this column: {got}",
        f"Edit {anomaly.in_schema}: {advice}",
    )


def _domain_of_other_type(anomaly: Anomaly, reason: Reason) -> Words:
    feature = anomaly.described()
    domain = feature.WhichOneof("domain_info") or "domain"
    kind = schema_pb2.FeatureType.Name(feature.type)
    return Words(
        "Fault of the schema",
        f"the schema sets `{domain}` for this column, which does not go with `type: {kind}` ({_own(reason)})",
        f"Edit {anomaly.in_schema}: remove `{domain}`, or set the type that goes with it",
    )


def _without_type(anomaly: Anomaly, _: Reason) -> Words:
    name = statistics_pb2.FeatureNameStatistics.Type.Name(anomaly.measured.type) if anomaly.measured else "BYTES"
    kind = "BYTES" if name == "STRING" else name
    return Words(
        "Fault of the schema",
        "the schema says no type for this column",
        f"Add `type: {kind}` to {anomaly.in_schema}",
    )


def _without_name(anomaly: Anomaly, _: Reason) -> Words:
    return Words(
        "Fault of the schema",
        "a feature of the schema has no name",
        "Add the column's name to it as `name`, or remove it",
    )


def _does_not_apply(what: str, *fields: str) -> Callable[[Anomaly, Reason], Words]:
    """Of what a schema can ask for that no column of transactions has."""

    def words(anomaly: Anomaly, reason: Reason) -> Words:
        present = [name for name in fields if name in {field.name for field, _ in anomaly.described().ListFields()}]
        named = _listed([f"`{name}`" for name in present or fields])
        return Words(
            "The schema asks for something else",
            f"the schema treats this column as {what}, but a column of transactions holds one number or text in each "
            f"row (TFDV says: {_own(reason)})",
            f"Remove {named} of this column from the schema",
        )

    return words


# ---- the split as a whole


def _rows_of_split(anomaly: Anomaly, reason: Reason) -> Words:
    low = "LOW" in reason.kind
    constraints = anomaly.schema.dataset_constraints
    limit = constraints.min_examples_count if low else constraints.max_examples_count
    field = "min_examples_count" if low else "max_examples_count"
    return Words(
        f"Too {'few' if low else 'many'} rows",
        f"{anomaly.split} has {anomaly.rows:,} rows, but the schema wants at {'least' if low else 'most'} {limit:,} in "
        f"each split (`dataset_constraints {{ {field} }}`)",
        f"Give {'more' if low else 'less'} data or another share under data.split, or change `{field}` in the schema",
    )


def _rows_against_train(anomaly: Anomaly, reason: Reason) -> Words:
    low = "LOW" in reason.kind
    comparator = anomaly.schema.dataset_constraints.num_examples_drift_comparator
    field = "min_fraction_threshold" if low else "max_fraction_threshold"
    return Words(
        f"{'Fewer' if low else 'More'} rows than train",
        f"{anomaly.split} has {anomaly.rows:,} rows, {'less' if low else 'more'} than {getattr(comparator, field):g} "
        f"times as many as train (`num_examples_drift_comparator {{ {field} }}` in the schema)",
        f"Where the splits have other shares by intent, change `{field}` or remove it",
    )


# ---- drift


def _drifted(measure: str) -> Callable[[Anomaly, Reason], Words]:
    def words(anomaly: Anomaly, reason: Reason) -> Words:
        figures = " ".join(reason.description.replace("(up to six significant digits)", "").split())
        _, _, after = figures.partition(" is ")
        value, _, rest = after.partition(", above the threshold ")
        threshold, _, where = rest.partition(". The feature value with maximum difference is: ")
        most = f"; its share changed most for {where.strip()!r}" if where.strip() else ""
        return Words(
            "Moved since train",
            f"the {measure} between {anomaly.split} and train is {value.strip() or 'high'}, above the threshold of "
            f"{threshold.strip(' .') or 'the schema'} in the schema (`drift_comparator`){most}",
            "The figures of this split include what that costs; the report shows how the column moved",
        )

    return words


def _nothing_to_compare(anomaly: Anomaly, _: Reason) -> Words:
    return Words(
        "Nothing to compare with",
        "the schema limits how far this column may move (`drift_comparator`), but train has no values of it",
        f"Remove `drift_comparator` from {anomaly.in_schema}, or give the column values in train",
    )


def _own_words(anomaly: Anomaly, reason: Reason) -> Words:
    """For kinds of which nothing is known here: what TFDV says, and where to look."""
    where = anomaly.in_schema if anomaly.feature is not None else "the schema"
    return Words(
        reason.short_description or "Not as the schema has it",
        f"TFDV says: {_own(reason)}",
        f"Compare {where} with the data of {anomaly.split}: what the schema says of it must hold for each split",
    )


# ---- helpers


def _own(reason: Reason) -> str:
    """TFDV's own words, in one line."""
    words = [part for part in (reason.short_description, reason.description) if part]
    return " ".join(": ".join(dict.fromkeys(words)).split()).rstrip(".") or reason.kind


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def _short(message: object) -> str:
    return " ".join(str(message).split())


def _present(column: pa.Array) -> Array:
    return np.asarray(column.is_valid())


def _text(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())


def _numbers(column: pa.Array, missing: float = np.nan) -> Array:
    if pa.types.is_integer(column.type):
        numbers: Array = column.fill_null(0).to_numpy(zero_copy_only=False)
        return numbers
    if not pa.types.is_floating(column.type):
        texts = _text(column).to_pylist()
        return np.array([float(text) if text is not None and _converts(text, float) else missing for text in texts])
    numbers = column.fill_null(missing).to_numpy(zero_copy_only=False)
    return numbers


def _figure(value: float) -> str:
    """As it is kept, in float32: 0.1, not 0.10000000149."""
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(np.float32(value))


_TEXT = _does_not_apply("a text in sentences or a sequence of tokens", "natural_language_domain")
_IMAGE = _does_not_apply("an image", "image_domain")
_NESTED = _does_not_apply("lists of lists", "value_counts", "value_count")
_SPARSE = _does_not_apply("a part of a sparse feature", "sparse_feature")
_WEIGHTED = _does_not_apply("a part of a weighted feature", "weighted_feature")
_DERIVED = _does_not_apply("derived from another one", "validation_derived_source")

_FUNCTIONS: Mapping[str, Callable[[Anomaly, Reason], Words]] = {
    **dict.fromkeys(
        (
            "FEATURE_TYPE_LOW_FRACTION_PRESENT",
            "FEATURE_TYPE_LOW_NUMBER_PRESENT",
            "FEATURE_TYPE_NOT_PRESENT",
            "FEATURE_TYPE_LOW_NUMBER_VALUES",
            "FEATURE_TYPE_NO_VALUES",
            "INVALID_FEATURE_SHAPE",
        ),
        _gaps,
    ),
    "FEATURE_TYPE_HIGH_NUMBER_VALUES": _values_in_a_row,
    "FEATURE_TYPE_UNEXPECTED_REPEATED": _values_in_a_row,
    "FEATURE_TYPE_HIGH_UNIQUE": _different_values,
    "FEATURE_TYPE_LOW_UNIQUE": _different_values,
    "FEATURE_TYPE_NO_UNIQUE": _no_different_values,
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": _unknown_values,
    "ENUM_TYPE_INVALID_UTF8": _not_utf8,
    "BOOL_TYPE_BIG_INT": _not_boolean,
    "BOOL_TYPE_SMALL_INT": _not_boolean,
    "BOOL_TYPE_UNEXPECTED_STRING": _not_boolean,
    "BOOL_TYPE_UNEXPECTED_FLOAT": _not_boolean,
    "FLOAT_TYPE_SMALL_FLOAT": _beyond("below", "float_domain"),
    "FLOAT_TYPE_BIG_FLOAT": _beyond("above", "float_domain"),
    "INT_TYPE_SMALL_INT": _beyond("below", "int_domain"),
    "INT_TYPE_BIG_INT": _beyond("above", "int_domain"),
    "FLOAT_TYPE_HAS_NAN": _not_finite("NaN", "disallow_nan"),
    "FLOAT_TYPE_HAS_INF": _not_finite("an infinite value", "disallow_inf"),
    "FLOAT_TYPE_STRING_NOT_FLOAT": _not_a_number("float"),
    "INT_TYPE_NOT_INT_STRING": _not_a_number("int"),
    **dict.fromkeys(
        (
            "UNEXPECTED_DATA_TYPE",
            # TFDV has no code that reports the following ones any more
            *("BOOL_TYPE_BYTES_NOT_INT", "BOOL_TYPE_BYTES_NOT_STRING", "BOOL_TYPE_FLOAT_NOT_INT"),
            *("BOOL_TYPE_FLOAT_NOT_STRING", "BOOL_TYPE_INT_NOT_STRING", "BOOL_TYPE_STRING_NOT_INT"),
            *("ENUM_TYPE_BYTES_NOT_STRING", "ENUM_TYPE_FLOAT_NOT_STRING", "ENUM_TYPE_INT_NOT_STRING"),
            *("FLOAT_TYPE_NOT_FLOAT", "FLOAT_TYPE_NON_STRING", "FLOAT_TYPE_UNKNOWN_TYPE_NUMBER"),
            *("INT_TYPE_INT_EXPECTED", "INT_TYPE_NOT_STRING", "INT_TYPE_STRING_EXPECTED"),
            *("INT_TYPE_UNKNOWN_TYPE_NUMBER", "STRING_TYPE_NOW_FLOAT", "STRING_TYPE_NOW_INT"),
        ),
        _other_type,
    ),
    "SCHEMA_NEW_COLUMN": _not_in_schema,
    "SCHEMA_MISSING_COLUMN": _not_in_data,
    "INVALID_SCHEMA_SPECIFICATION": _invalid,
    "BOOL_TYPE_INVALID_CONFIG": _invalid,
    "INVALID_DOMAIN_SPECIFICATION": _invalid_domain,
    "DOMAIN_INVALID_FOR_TYPE": _domain_of_other_type,
    "FEATURE_MISSING_TYPE": _without_type,
    "FEATURE_MISSING_NAME": _without_name,
    "VALUE_NESTEDNESS_MISMATCH": _NESTED,
    "LOW_SUPPORTED_IMAGE_FRACTION": _IMAGE,
    "MAX_IMAGE_BYTE_SIZE_EXCEEDED": _IMAGE,
    "EMBEDDING_SHAPE_INVALID": _does_not_apply("an embedding", "float_domain", "shape"),
    **dict.fromkeys(
        (
            *("SEQUENCE_VALUE_TOO_FEW_OCCURRENCES", "SEQUENCE_VALUE_TOO_MANY_OCCURRENCES"),
            *("SEQUENCE_VALUE_TOO_SMALL_FRACTION", "SEQUENCE_VALUE_TOO_LARGE_FRACTION", "FEATURE_COVERAGE_TOO_LOW"),
            *("FEATURE_COVERAGE_TOO_SHORT_AVG_TOKEN_LENGTH", "NLP_WRONG_LOCATION", "STATS_NOT_AVAILABLE"),
        ),
        _TEXT,
    ),
    "SEMANTIC_DOMAIN_UPDATE": _does_not_apply("of a meaning that TFDV made out", "domain_info"),
    "SPARSE_FEATURE_MISSING_VALUE": _SPARSE,
    "SPARSE_FEATURE_MISSING_INDEX": _SPARSE,
    "SPARSE_FEATURE_LENGTH_MISMATCH": _SPARSE,
    "SPARSE_FEATURE_NAME_COLLISION": _SPARSE,
    "WEIGHTED_FEATURE_NAME_COLLISION": _WEIGHTED,
    "WEIGHTED_FEATURE_MISSING_VALUE": _WEIGHTED,
    "WEIGHTED_FEATURE_MISSING_WEIGHT": _WEIGHTED,
    "WEIGHTED_FEATURE_LENGTH_MISMATCH": _WEIGHTED,
    "DERIVED_FEATURE_BAD_LIFECYCLE": _DERIVED,
    "DERIVED_FEATURE_INVALID_SOURCE": _DERIVED,
    "DATASET_LOW_NUM_EXAMPLES": _rows_of_split,
    "DATASET_HIGH_NUM_EXAMPLES": _rows_of_split,
    "COMPARATOR_LOW_NUM_EXAMPLES": _rows_against_train,
    "COMPARATOR_HIGH_NUM_EXAMPLES": _rows_against_train,
    "COMPARATOR_L_INFTY_HIGH": _drifted("L-infinity distance"),
    "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH": _drifted("Jensen-Shannon divergence"),
    "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH": _drifted("normalized absolute difference"),
    "COMPARATOR_CONTROL_DATA_MISSING": _nothing_to_compare,
    "COMPARATOR_TREATMENT_DATA_MISSING": _nothing_to_compare,
}
