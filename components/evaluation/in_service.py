"""Whether a new model may be compared with the model in service, and may replace it, by the manifests of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from components.evaluation.settings import EvaluationSettings
from trainer.columns import Columns, RawKind

Manifest = Mapping[str, Any]

_MOST_NAMED = 5


@dataclass(frozen=True)
class Standing:
    """How a new model stands to the one in service.

    comparable: whether both can be judged on the same transactions. refusals: why the new model must not replace the
    one in service. not_compared: why there is no comparison although the new model may replace the other; "" where
    there is one. notes: what else differs.
    """

    comparable: bool = True
    refusals: tuple[str, ...] = ()
    not_compared: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def from_manifests(
        cls,
        candidate: Manifest,
        current: Manifest,
        version: str,
        features: Mapping[str, RawKind],
        settings: EvaluationSettings,
    ) -> Standing:
        """version: of the model in service; features: the kind of each feature of the test split's examples."""
        who = f"version {version} in service"
        refusals, reasons = [], []
        if not can_read(current, candidate, features):
            other = (
                f"{who} reads other columns, so the two can't be compared on the same transactions: "
                f"{column_differences(candidate, current)}"
            )
            if settings.replace_other_columns:
                reasons.append(f"{other}; evaluation.replace_other_columns lets this model replace it all the same")
            else:
                refusals.append(
                    f"{other}; give other data a workspace of its own, or set evaluation.replace_other_columns: true "
                    "to put this model in service all the same"
                )
        if _is_synthesized(candidate) and not _is_synthesized(current):
            synthesized = f"this model was made from synthesized transactions, and {who} {_origin(current)}"
            if settings.replace_real_data:
                reasons.append(f"{synthesized}; evaluation.replace_real_data lets it replace that all the same")
            else:
                refusals.append(
                    f"{synthesized}; give synthesized data a workspace of its own, or set "
                    "evaluation.replace_real_data: true to put this model in service all the same"
                )
        elif _is_synthesized(current) and not _is_synthesized(candidate):
            reasons.append(
                f"{who} was made from synthesized transactions, so it is no bar for this model, which "
                f"{_origin(candidate)}"
            )
        return cls(
            comparable=not refusals and not reasons,
            refusals=tuple(refusals),
            not_compared="; ".join(reasons),
            notes=() if refusals or reasons else tuple(_notes(candidate, current, who)),
        )


def same_inputs(candidate: Manifest, current: Manifest) -> bool:
    """Whether two models read the same columns; they read neither the id nor the columns to ignore."""
    new, old = _columns(candidate), _columns(current)
    return new is not None and old is not None and not _differences(new, old)


def can_read(current: Manifest, candidate: Manifest, features: Mapping[str, RawKind]) -> bool:
    """Whether the model in service can score the candidate's examples, and learned the same label.

    Examples may hold more columns than it reads: one that was added to the data does not end the comparison.
    """
    new, old = _columns(candidate), _columns(current)
    if new is None or old is None or new.label != old.label:
        return False
    if old.time and old.time_format != new.time_format:
        return False
    return all(features.get(name) == kind for name, kind in old.raw_kinds.items())


def column_differences(candidate: Manifest, current: Manifest) -> str:
    """Which columns the candidate reads and the model in service does not, and the other way round, in words."""
    new, old = _columns(candidate), _columns(current)
    if new is None or old is None:
        return "which ones is not recorded in its manifest" if old is None else "this model's are not recorded"
    return "; ".join(_differences(new, old)) or "both name the same columns, but not all of them are in the test split"


def _differences(new: Columns, old: Columns) -> list[str]:
    new_kinds, old_kinds = new.raw_kinds, old.raw_kinds
    added = [name for name in new_kinds if name not in old_kinds]
    gone = [name for name in old_kinds if name not in new_kinds]
    changed = [
        f"{name} ({old_kinds[name]} there, {kind} here)"
        for name, kind in new_kinds.items()
        if old_kinds.get(name, kind) != kind
    ]
    differences = [
        f"{what} {_named(names)}"
        for what, names in (("added here:", added), ("gone:", gone), ("of another kind:", changed))
        if names
    ]
    if new.label != old.label:
        differences.append(f"the label is {new.label} here and {old.label} there")
    if new.time and old.time and new.time_format != old.time_format:
        differences.append(f"times are {new.time_format} here and {old.time_format} there")
    if new.time != old.time and {new.time, old.time} <= {*new_kinds, *old_kinds, None}:
        differences.append(f"the time is {new.time or 'no column'} here and {old.time or 'no column'} there")
    if new.amount != old.amount:
        differences.append(f"the amount is {new.amount or 'no column'} here and {old.amount or 'no column'} there")
    return differences


def _notes(candidate: Manifest, current: Manifest, who: str) -> Iterable[str]:
    if not same_inputs(candidate, current):
        differences = column_differences(candidate, current)
        yield f"This model does not read the same columns as {who} ({differences}); both scored the same transactions"
    new, old = (manifest.get("data", {}).get("name") for manifest in (candidate, current))
    if new and old and new != old:
        yield f"{who[:1].upper()}{who[1:]} was made from other data: {old}, and this model from {new}"


def _columns(manifest: Manifest) -> Columns | None:
    """The roles of the columns; None where they are not recorded, or not in a way that is known here."""
    try:
        return Columns.model_validate(manifest["columns"])
    except (KeyError, ValidationError):
        return None


def _is_synthesized(manifest: Manifest) -> bool:
    return bool(manifest.get("data", {}).get("kind") == "synthesized")


def _origin(manifest: Manifest) -> str:
    """Of a model that was not made from synthesized transactions."""
    if manifest.get("data", {}).get("kind") == "real":
        return "was made from real ones"
    return "was made from data that is not said to be synthesized"


def _named(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
