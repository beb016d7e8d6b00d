"""Configuration, schema and data card for data that nobody has seen, checked on the data before they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from components.evaluation.bars import ProposedBars, proposed_bars
from components.findings import BadData, Finding
from components.reading.files import base_name, find_files, is_remote, local_path, suffix_of
from components.reading.readers import BadValue
from components.reading.splits import NotDivisible
from pipeline import yaml_text
from pipeline.config import Config
from pipeline.data import sources
from pipeline.data.draft import Choices
from pipeline.data.proposal import Proposal, card
from pipeline.data.propose import Sampled
from trainer import memory
from trainer.columns import EXAMPLE_WEIGHT
from trainer.errors import InputError
from trainer.places import check, write

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

    from components.leak_checks import Sample
    from pipeline.displays import OnProgress

# How many columns may prove to be other than their first rows show, before a person has to look.
_MOST_CORRECTIONS = 40
WORKSPACES = "workspaces"
_WAY_OUT = "name another --output"
# So good a baseline is a leak more often than data that is so easy.
_TOO_GOOD = 0.98


@dataclass(frozen=True)
class Places:
    """Where the files go: the configuration, and beside it schema and data card (None: there is one already)."""

    config: Path
    schema: Path
    card: Path | None

    @classmethod
    def beside(cls, config: Path, data: str) -> Places:
        """Those of a configuration for the data at a path. Raises InputError where it has no name."""
        if not config.name:
            raise InputError("--output names no file; name one such as fraud.yaml")
        has_card = sources.read_card(data) is not None
        return cls(config, config.with_suffix(".schema.pbtxt"), None if has_card else config.with_suffix(".card.yaml"))

    @property
    def all(self) -> list[Path]:
        """The configuration first."""
        return [place for place in (self.config, self.schema, self.card) if place is not None]

    def check(self, data: str, *, force: bool) -> None:
        """Sees that they can be written; force: although they exist.

        Raises:
          InputError: they cannot be, they exist, or one of them is a file of the data.
        """
        existing = [place for place in self.all if place.exists()]
        files = [Path(local_path(file.path)) for file in find_files(data) if not is_remote(file.path)]
        for place in existing:
            if any(place.samefile(file) for file in files):
                raise InputError(f"{place} is a file of the data, which would be overwritten; {_WAY_OUT}")
        if existing and not force:
            named = " and ".join(map(str, existing))
            raise InputError(f"{named} exist already; give --force to overwrite, or another --output")
        for place in self.all:
            check(place, _WAY_OUT)


@dataclass(frozen=True)
class Initialized:
    """What is proposed for some data: all that is to be written, and what a person is to be told.

    findings: warnings on the data, of which none stops a run.
    """

    proposal: Proposal
    config: str
    schema: str
    card: str
    findings: tuple[Finding, ...]
    bars: ProposedBars

    def write(self, places: Places) -> None:
        """Writes each file whole or not at all, the configuration last.

        Raises:
          InputError: one of the places cannot be written to.
        """
        if places.card is not None:
            write(places.card, self.card.encode(), _WAY_OUT)
        write(places.schema, self.schema.encode(), _WAY_OUT)
        # last, since it names the others
        write(places.config, self.config.encode(), _WAY_OUT)


def initialize(data: str, choices: Choices, places: Places, on_progress: OnProgress) -> Initialized:
    """Proposes, reads all rows by what is proposed, and corrects the proposal until a run would take data and config.

    Raises:
      InputError: the data cannot be used, or a person has to say something first; the message says what.
    """
    memory.limit_arenas()
    on_progress("looking at the columns", 0, 0)
    sampled = Sampled.from_data(data, choices)
    proposal = sampled.proposal()  # what a person has to say comes before the slow imports
    from pipeline.data.validation import Inspection
    from pipeline.graph import create_pipeline

    name = _name(places.config, data)
    workspace = _workspace(name, places.config, data)
    for _ in range(_MOST_CORRECTIONS):
        config = _config(_as_yaml(proposal, data, places, name, workspace, None), data)
        on_progress("reading all rows by this proposal", 0, 0)
        memory.release()
        try:
            inspection = Inspection.from_data(data, config)
        except BadValue as fault:
            _look_again(sampled, proposal, fault)
            proposal = replace(sampled.proposal(), by_time=proposal.by_time)
            continue
        except NotDivisible as fault:
            if not (proposal.by_time and proposal.columns.time):
                raise
            sampled.doubts.append(f"the split is random, since by time {fault}")
            proposal = replace(sampled.proposal(), by_time=False)
            continue
        schema = inspection.schema()
        findings = inspection.findings(schema)
        leaks = [one for one in findings if one.stops and one.kind == "leakage"]
        if leaks:
            # what is left out needs no further reading
            for leak in leaks:
                _leave_out(sampled, proposal, leak)
            proposal = replace(sampled.proposal(), by_time=proposal.by_time)
            config = _config(_as_yaml(proposal, data, places, name, workspace, None), data)
            names = {leak.column for leak in leaks}
            for described in (schema.feature, schema.string_domain):
                kept = [one for one in described if one.name not in names]
                del described[:]
                described.extend(kept)
            findings = [one for one in findings if one.column not in names]
        if any(finding.stops for finding in findings):
            raise BadData(findings)
        samples = inspection.samples
        del inspection, sampled
        memory.release()
        on_progress("fitting boosted trees for the bars", 0, 0)
        bars = _bars(samples, config)
        if bars.average_precision > _TOO_GOOD:
            doubt = (
                f"boosted trees reach an average precision of {bars.average_precision:.3f} on rows that they have not "
                "seen: look for columns that are known only after the fact before you believe any model of this data"
            )
            proposal = replace(proposal, doubts=(doubt, *proposal.doubts))
        text = _as_yaml(proposal, data, places, name, workspace, bars)
        # the graph is the last thing that could refuse it
        create_pipeline(_config(text, data), sources.named(data))
        return Initialized(proposal, text, _schema_text(schema), _card_text(proposal, data), tuple(findings), bars)
    raise InputError(
        f"{data}: more than {_MOST_CORRECTIONS} columns hold other values later on than in their first rows; name "
        "roles and formats under columns in a configuration of your own"
    )


def _look_again(sampled: Sampled, proposal: Proposal, fault: BadValue) -> None:
    """Looks at all rows of the column whose first rows were not all that it holds."""
    columns = proposal.columns
    again = list(columns.time_parts) if fault.column == columns.time and columns.time_parts else [fault.column]
    if all(name in sampled.looked_again for name in again) or fault.column not in [*again, columns.time]:
        raise fault
    for name in again:
        sampled.look_again(name)


def _leave_out(sampled: Sampled, proposal: Proposal, leak: Finding) -> None:
    if leak.column == proposal.columns.time:
        raise BadData([leak])
    sampled.leave_out(
        leak.column,
        f"a leak over all rows: {leak.problem}",
        f"{leak.column} is ignored: {leak.problem}; if it is known when the transaction is decided, give it a role and "
        "name it under data.leakage.known_before",
    )


def _as_yaml(
    proposal: Proposal, data: str, places: Places, name: str, workspace: str, bars: ProposedBars | None
) -> str:
    figures = {"min_average_precision": bars.min_average_precision, "min_roc_auc": bars.min_roc_auc} if bars else None
    return proposal.as_yaml(
        data if is_remote(data) else str(Path(local_path(data)).expanduser().absolute()),
        places.schema.name,
        name=name,
        workspace=workspace,
        card_path=places.card.name if places.card else None,
        bars={key: float(f"{value:.3g}") for key, value in figures.items()} if figures else None,
        bars_reason=bars.sentence if bars else "",
    )


def _config(text: str, data: str) -> Config:
    """The configuration as `run` would have it from this text."""
    values: Any = yaml_text.parse(text)
    values.pop("schema", None)
    values["data"].pop("card_path", None)  # both are written with the configuration
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise AssertionError(f"init proposes what no configuration is: {error}") from error
    source = sources.named(data)
    return config.completed(source.card.sampling_rates, None)


def _schema_text(schema: schema_pb2.Schema) -> str:
    from google.protobuf import text_format

    text: str = text_format.MessageToString(schema)
    return text


def _card_text(proposal: Proposal, data: str) -> str:
    return card(base_name(data) or data, data, proposal.currency)


def _name(config: Path, data: str) -> str:
    """The name of the pipeline: of the configuration's file, or if that is the usual one, of the data's."""
    stem = config.name.partition(".")[0]
    if stem == "fraud":
        last = base_name(data)
        stem = last.removesuffix(suffix_of(last) or "")
    slug = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    return slug if re.match("[a-z]", slug) else f"fraud-{slug}".strip("-")


def _workspace(name: str, config: Path, data: str) -> str:
    """A folder that no other data has: the one of the configuration that is there already, if it is of this data."""
    wanted = f"{WORKSPACES}/{name}"
    if config.exists():
        try:
            values = yaml_text.parse(config.read_text(encoding="utf-8"))
            before = Path(str(values["data"]["path"])).expanduser().absolute()
            if before == Path(data).expanduser().absolute() and isinstance(values.get("workspace"), str):
                return str(values["workspace"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # it is to be overwritten
    number, free = 1, wanted
    while Path(free).exists():
        number += 1
        free = f"{wanted}-{number}"
    return free


# Bars


def _bars(samples: dict[str, Sample], config: Config) -> ProposedBars:
    """Bars by boosted trees that are fitted to a sample of train and judged on one of test."""
    batches = {split: sample.batch for split, sample in samples.items() if sample.rows and split != "eval"}
    columns = config.roles
    numeric_names = [*columns.numeric, *([columns.amount] if columns.amount else [])]
    numeric, categorical, labels, weights, train = [], [], [], [], []
    codes: dict[str, dict[Any, int]] = {name: {} for name in columns.categorical}
    for split, batch in batches.items():
        rows = batch.num_rows
        by_name = {name: batch.column(index) for index, name in enumerate(batch.schema.names)}
        numeric.append(
            np.column_stack(
                [by_name[name].to_numpy(zero_copy_only=False).astype(np.float32) for name in numeric_names]
                or [np.zeros((rows, 0), np.float32)]
            )
        )
        categorical.append(
            np.column_stack(
                [_codes(by_name[name], codes[name]) for name in columns.categorical]
                or [np.zeros((rows, 0), np.float32)]
            )
        )
        labels.append(by_name[columns.label].to_numpy(zero_copy_only=False))
        weights.append(by_name[EXAMPLE_WEIGHT].to_numpy(zero_copy_only=False) * samples[split].step)
        train.append(np.full(rows, split == "train"))
    return proposed_bars(
        np.concatenate(numeric),
        np.concatenate(categorical),
        np.concatenate(labels),
        np.concatenate(weights),
        np.concatenate(train),
    )


def _codes(column: Any, known: dict[Any, int]) -> Any:
    """A number for each value, the same for equal values of all splits; NaN where missing."""
    encoded = column.dictionary_encode()
    numbers = np.array([known.setdefault(value, len(known)) for value in encoded.dictionary.to_pylist()] + [np.nan])
    return numbers[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)].astype(np.float32)
