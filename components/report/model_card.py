"""The report's model card, from what is recorded alone (Mitchell et al., Model Cards for Model Reporting, 2019)."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.evaluation.words import NOT_DEFINED, count, money, percent, probability, with_interval
from components.report.data import compared, duration, how_split, number_of, ranked, sampling, share
from components.report.drift import ColumnDrift
from components.report.page import table
from components.report.settings import ModelCardSettings
from components.report.slices import ENOUGH_FRAUDS
from trainer.columns import SECONDS_A_DAY, Columns

if TYPE_CHECKING:
    from components.evaluation.verdict import Verdict

_MOST_NAMED = 5
# V1, C12, id_03: what a column of that name holds was taken away, or is in another book
_TELLS_NOTHING = re.compile(r"[A-Za-z]{1,3}_?\d+")
_NO_PROBABILITY = ("huber", "mean_absolute_error")

_STYLE = """<style>
.card { display: grid; grid-template-columns: minmax(8rem, 13rem) 1fr; gap: .5rem 1.2rem; }
.card dt { font-weight: 600; } .card dd { margin: 0; overflow-wrap: anywhere; } .card dd p { margin: 0 0 .4rem; }
@media (max-width: 40rem) { .card { grid-template-columns: 1fr; gap: 0; } .card dd { margin-bottom: .6rem; } }
.limits li { margin-bottom: .35rem; }
</style>"""


@dataclass(frozen=True)
class CardFacts:
    """What a model card is made from.

    manifest: the model's; older ones lack `calibration` and `decision`. splits: a `SplitSummary` as JSON for each.
    moved: of `drift.moves`. new_categories: of `data_section.new_categories`. trials: how many the search had, 0
    without one. pushed_version: "" where the model was not pushed.
    """

    manifest: Mapping[str, Any]
    verdict: Verdict
    splits: Sequence[Mapping[str, Any]]
    settings: ModelCardSettings = field(default_factory=ModelCardSettings)
    moved: Mapping[str, Mapping[str, ColumnDrift]] = field(default_factory=dict)
    new_categories: Mapping[str, Mapping[str, tuple[int, float]]] = field(default_factory=dict)
    trials: int = 0
    pushed_version: str = ""

    @property
    def data(self) -> Mapping[str, Any]:
        data: Mapping[str, Any] = self.manifest.get("data", {})
        return data

    @property
    def columns(self) -> Columns:
        return Columns.model_validate(self.manifest["columns"])

    @property
    def sampled(self) -> bool:
        rates = self.data.get("sampling_rates", {})
        return any(rate != 1 for rate in rates.values())

    @property
    def seconds(self) -> float | None:
        """What the data covers; None without times."""
        ends = [split.get(end) for split in self.splits for end in ("first", "last")]
        known = [float(end) for end in ends if end is not None]
        return max(known) - min(known) if known else None

    def split(self, name: str) -> Mapping[str, Any]:
        return next((split for split in self.splits if split["name"] == name), {})


def model_card(facts: CardFacts) -> list[str]:
    """What goes below the heading, as HTML."""
    return [
        _STYLE,
        _definitions(
            {
                "Model": details(facts),
                "Intended use": [facts.settings.intended_use],
                "Users": [facts.settings.users],
                "Out of scope": list(facts.settings.out_of_scope),
                "Training data": training_data(facts),
                "Features": features(facts),
                "Training and tuning": training(facts),
                "How it decides": decision(facts),
            }
        ),
        "<h3>Figures, on the test split</h3>",
        table(["figure", "value"], figures(facts)),
        f"<p>{html.escape(factors(facts))}</p>",
        "<h3>Limits</h3>",
        _listed(limits(facts), "No rule that looks for limits found one."),
        *(["<h3>Caveats</h3>", _listed(facts.settings.caveats, "")] if facts.settings.caveats else []),
    ]


def _definitions(entries: Mapping[str, Sequence[str]]) -> str:
    """Terms and their paragraphs; a term with nothing to say is left out."""
    parts = []
    for term, paragraphs in entries.items():
        said = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs if paragraph)
        if said:
            parts.append(f"<dt>{html.escape(term)}</dt><dd>{said}</dd>")
    return f'<dl class="card">{"".join(parts)}</dl>'


def _listed(sentences: Sequence[str] | Iterator[str], none: str) -> str:
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="limits">{items}</ul>' if items else f"<p>{html.escape(none)}</p>"


# ---- what it is


def details(facts: CardFacts) -> list[str]:
    """Kind, size, version, owner and licence."""
    network = facts.manifest.get("training", {}).get("network", {})
    units = " and ".join(map(str, network.get("units", [])))
    kind = (
        f"A feed-forward neural network with {units} {network.get('activation', '')} neurons" if units else "A network"
    )
    parameters = facts.manifest.get("parameters")
    size = f" and {parameters:,} parameters" if parameters else ""
    version = f"Version {facts.pushed_version}." if facts.pushed_version else "Not pushed, so it has no version."
    settings = facts.settings
    return [
        f"{kind}{size} that gives each card transaction a probability of fraud. {version}",
        f"Owner: {settings.owner}." if settings.owner else "",
        f"Questions to: {settings.contact}." if settings.contact else "",
        f"Licence of the model: {settings.licence}." if settings.licence else "",
    ]


def training_data(facts: CardFacts) -> list[str]:
    """Name, kind, source and licence as the data card has them; the splits."""
    data = facts.data
    kinds = {"real": "real transactions", "synthesized": "SYNTHESIZED transactions, not real ones"}
    kind = kinds.get(data.get("kind", ""), "it is not recorded whether they are real")
    named = f"{data.get('name') or 'Transactions without a name'}: {kind}."
    source = f"Source: {data['source']}." if data.get("source") else ""
    licence = f"Licence: {data['licence']}." if data.get("licence") else ""
    counted = "; ".join(
        f"{split['name']} {split['rows']:,} with {split['frauds']:,} {'fraud' if split['frauds'] == 1 else 'frauds'}"
        for split in facts.splits
    )
    seconds = facts.seconds
    covered = f" They cover {duration(seconds)}." if seconds is not None else ""
    rates, split_settings = data.get("sampling_rates"), data.get("split")
    return [
        " ".join(filter(None, (named, source, licence))),
        f"Transactions: {counted}.{covered}",
        sampling(rates) if rates else "",
        how_split(split_settings) if split_settings else "",
    ]


def features(facts: CardFacts) -> list[str]:
    """Which columns it reads and what becomes of them."""
    columns, settings = facts.columns, facts.manifest.get("features", {})
    read = [
        number_of(len(columns.numeric), "number") if columns.numeric else "",
        number_of(len(columns.categorical), "category") if columns.categorical else "",
        f"the amount ({columns.amount})" if columns.amount else "",
        f"the time ({columns.time})" if columns.time and settings.get("use_time") else "",
    ]
    clip = settings.get("clip")
    scaling = {
        "standard": "Numbers are brought to zero mean and unit variance"
        + (f", and cut off at {clip:g} standard deviations" if clip else ""),
        "unit_norm": "The numbers of a transaction are brought to length 1 together",
    }.get(settings.get("scaling", ""), "")
    done = [
        scaling,
        "of the amount the logarithm is taken" if columns.amount and settings.get("log_amount") else "",
        "of the time the hour of the day counts alone" if columns.time and settings.get("use_time") else "",
        f"of a category the {settings['max_vocabulary']:,} most frequent values are told apart"
        if columns.categorical and "max_vocabulary" in settings
        else "",
    ]
    left = f" Left out: {', '.join(columns.ignore)}." if columns.ignore else ""
    if columns.id:
        left += f" Carried along so that a transaction can be named, but not read: {columns.id}."
    return [f"It reads {_and(read)}.{left}", f"{'; '.join(filter(None, done))}." if any(done) else ""]


def _and(parts: Sequence[str]) -> str:
    *most, last = [part for part in parts if part] or ["nothing"]
    return f"{', '.join(most)} and {last}" if most else last


def training(facts: CardFacts) -> list[str]:
    """How the weights came to be, and the values that steer it."""
    settings = facts.manifest.get("training", {})
    if not settings:
        return []
    weight = settings.get("fraud_weight", 1)
    regular = [
        f"dropout {settings['network']['dropout']:g}" if settings.get("network", {}).get("dropout") else "",
        f"weight decay {settings['network']['weight_decay']:g}"
        if settings.get("network", {}).get("weight_decay")
        else "",
        "batch normalization" if settings.get("network", {}).get("batch_normalization") else "",
    ]
    epochs, most = facts.manifest.get("epochs"), settings.get("epochs")
    stopped = (
        f", stopped after {epochs} of at most {most} epochs when eval got no better for {settings['patience']}"
        if epochs and most and epochs < most and settings.get("patience")
        else f", {epochs} epochs"
        if epochs
        else ""
    )
    first = (
        f"Trained by {settings.get('optimizer')} at a learning rate of {settings.get('learning_rate', math.nan):.3g} "
        f"on {str(settings.get('loss', '')).replace('_', ' ')}, in batches of {settings.get('batch_size')}{stopped}; "
        f"seed {settings.get('seed')}."
    )
    extra = f" With {_and(regular)}." if any(regular) else ""
    weighted = (
        ""
        if weight == 1
        else " In the loss both classes weigh the same."
        if weight == "balanced"
        else f" In the loss a fraud weighs {weight:g} times."
    )
    tuned = (
        f"Its hyperparameters are the best of {facts.trials} trials of a search, see there."
        if facts.trials
        else "Its hyperparameters are those of the configuration or of an earlier search; none was made in this run."
    )
    return [f"{first}{extra}{weighted}", tuned]


def decision(facts: CardFacts) -> list[str]:
    """From score to decision: calibration, threshold and costs."""
    calibration, decided = facts.manifest.get("calibration") or {}, facts.manifest.get("decision") or {}
    method = calibration.get("method")
    scale = {
        None: "",
        "none": "The network's output is taken for the probability as it is.",
        "platt": "The network's output is calibrated by Platt's method (a logistic regression on it).",
        "isotonic": "The network's output is calibrated by isotonic regression.",
    }.get(method, f"The network's output is calibrated by {method}.")
    rule = _rule(facts.manifest)
    version = f"The rule has version {decided['version']}." if decided.get("version") else ""
    return [
        " ".join(filter(None, (scale, calibration.get("note"), rule, version))),
        _costs(decided.get("costs") or {}),
        decided.get("note") or "",
    ]


def _rule(manifest: Mapping[str, Any]) -> str:
    threshold = manifest.get("threshold")
    by = (manifest.get("decision") or {}).get("by")
    if by == "amount":
        return (
            "A transaction is stopped where that is expected to cost no more than letting it pass, at its own amount."
        )
    if threshold is None:
        return ""
    if threshold > 1:
        return "No transaction is stopped: its threshold is above 1."
    stopped = f"A transaction is stopped from a probability of {probability(threshold)} on"
    if by == "alerts":
        return f"{stopped}: of the thresholds that keep to the alerts a day that were set, the cheapest on eval."
    if by == "threshold":
        return f"{stopped}: where the configuration does not set the threshold, it is the cheapest on eval."
    best = manifest.get("training", {}).get("threshold") == "auto"
    return f"{stopped}, {'the best F1 on eval' if best else 'as the configuration says'}."


def _costs(costs: Mapping[str, Any]) -> str:
    if not costs:
        return ""
    currency = costs.get("currency", "")
    said = [
        f"a missed fraud {costs['missed_fraud']:g} times its amount" if "missed_fraud" in costs else "",
        f"each stopped transaction {money(costs['review'], currency)}" if "review" in costs else "",
        f"a declined customer {percent(costs['declined'])} of the amount" if "declined" in costs else "",
        f"and a caught fraud earns {money(costs['caught_fraud'], currency)}" if costs.get("caught_fraud") else "",
    ]
    return f"Costs, as set: {', '.join(filter(None, said))}."


# ---- figures


def figures(facts: CardFacts) -> list[list[str]]:
    """Those that the evaluation has, with 95 % intervals where there are some."""
    metrics = facts.verdict.metrics
    currency = (facts.manifest.get("decision") or {}).get("costs", {}).get("currency", "")
    shown = [
        ("average precision", with_interval(metrics, "average_precision")),
        ("recall at 1 % false positives", with_interval(metrics, "recall_at_1_percent_false_positives")),
        ("ROC-AUC", with_interval(metrics, "roc_auc")),
        ("Brier score", probability(metrics.get("brier"))),
        ("alerts a day", count(metrics.get("alerts_a_day"))),
        ("cost a day", money(metrics.get("cost_a_day"), currency).strip()),
        ("saved, against stopping nothing", money(metrics.get("savings"), currency).strip()),
    ]
    return [[name, value] for name, value in shown if value != NOT_DEFINED]


def factors(facts: CardFacts) -> str:
    """By what the figures were broken down, and that people are not among it."""
    named = list(facts.verdict.slices)
    by = f"The evaluation is broken down by {_and(named)}" if named else "The evaluation is not broken down"
    return f"{by}; by groups of people it is not, so nothing here says whether the model treats them alike."


# ---- limits: each a rule that looks at the facts


def limits(facts: CardFacts) -> list[str]:
    """What these facts say against relying on the model; each sentence has a condition, and its figures."""
    return [
        *_of_the_verdict(facts),
        *_of_the_data(facts),
        *_of_the_test(facts),
        *_of_slices(facts),
        *_of_drift(facts),
        *_of_probabilities(facts),
    ]


def _of_the_verdict(facts: CardFacts) -> Iterator[str]:
    if not facts.verdict.blessed:
        yield f"It is not blessed: {'; '.join(facts.verdict.reasons)}."


def _of_the_data(facts: CardFacts) -> Iterator[str]:
    data, columns = facts.data, facts.columns
    if data.get("kind") == "synthesized":
        yield "The data is synthesized: no figure here says anything about real fraud."
    elif data.get("kind") != "real":
        yield "It is not recorded whether the data is real (kind, in its data card)."
    if not data.get("licence"):
        yield "The licence of the data is not recorded."
    names = [*columns.numeric, *columns.categorical]
    opaque = [name for name in names if _TELLS_NOTHING.fullmatch(name)]
    if names and len(opaque) > len(names) / 2:
        yield (
            f"{len(opaque):,} of {len(columns.inputs):,} columns have names that say nothing ({', '.join(opaque[:2])}, "
            "...): why a score is high cannot be told in words of the trade."
        )
    seconds = facts.seconds
    if seconds is None:
        yield "The data has no times: it is not known whether the model holds for transactions that come later."
    elif seconds < 28 * SECONDS_A_DAY:
        week = "does not cover a week" if seconds < 7 * SECONDS_A_DAY else "does not cover a month"
        yield f"The data {week}, with {duration(seconds)}: what changes between days of the week or month is not in it."
    if data.get("split", {}).get("by") == "random" and seconds is not None:
        yield (
            "The splits are random: test transactions are as old as those it has learned from, which flatters a model "
            "that is to judge later ones."
        )
    if facts.sampled:
        rate = min(data["sampling_rates"].values())
        yield (
            f"The data is a sample: a row stands for up to {1 / rate:.3g} transactions, so that a single one moves "
            "counts, costs and alerts a day by that much."
        )


def _of_the_test(facts: CardFacts) -> Iterator[str]:
    frauds = facts.split("test").get("frauds", 0)
    # The half width of a 95 % interval around a recall of one half, by the normal approximation of the binomial.
    half = 0.98 / math.sqrt(frauds) if frauds else math.inf
    if half > 0.05:
        yield (
            f"The test split has {frauds:,} {'fraud' if frauds == 1 else 'frauds'}: any recall on it is uncertain by "
            f"up to {100 * min(half, 1):.0f} points either way (95 %)."
        )
    metrics = facts.verdict.metrics
    lower, upper = metrics.get("average_precision_lower"), metrics.get("average_precision_upper")
    if lower is not None and upper is not None and upper - lower > 0.1:
        yield (
            f"The 95 % interval of the average precision is {upper - lower:.2f} wide: a model that is better or worse "
            "by less than about half of that cannot be told from this one."
        )
    if "savings_lower" in metrics and (metrics["savings_lower"] or 0) <= 0:
        yield "Whether it saves money is not certain: the 95 % interval of the savings reaches down to 0 or below it."


def _of_slices(facts: CardFacts) -> Iterator[str]:
    overall = facts.verdict.metrics.get("average_precision_lower")
    for by, values in facts.verdict.slices.items():
        none = [value for value, has in values.items() if not has.get("frauds")]
        few = [value for value, has in values.items() if 0 < (has.get("frauds") or 0) < ENOUGH_FRAUDS]
        if none:
            yield f"No fraud in the test split with {by} {_named(none)}: how well it finds those is not known."
        if few:
            yield (
                f"Fewer than {ENOUGH_FRAUDS} frauds in the test split with {by} {_named(few)}: their figures are "
                "mostly chance."
            )
        worse = [
            value
            for value, has in values.items()
            if overall is not None
            and (has.get("frauds") or 0) >= ENOUGH_FRAUDS
            and (has.get("average_precision_upper") or math.inf) < overall
        ]
        if worse:
            yield f"It is worse than on the whole where {by} is {_named(worse)}: the 95 % intervals do not overlap."


def _named(values: Sequence[str]) -> str:
    named = ", ".join(values[:_MOST_NAMED])
    return named + (f" and {len(values) - _MOST_NAMED:,} more" if len(values) > _MOST_NAMED else "")


def _of_drift(facts: CardFacts) -> Iterator[str]:
    moved = [
        column for column, _ in ranked(facts.moved) if any(move.size == "much" for move in facts.moved[column].values())
    ]
    if moved:
        yield (
            f"{len(moved):,} of {len(compared(facts.columns)):,} columns moved much between training and later "
            f"transactions, first of all {_named(moved)}: it will need training again as they move on."
        )
    unseen = {
        column: max(part for _, part in by_split.values())
        for column, by_split in facts.new_categories.items()
        if by_split and max(part for _, part in by_split.values()) > 0.05
    }
    if unseen:
        most = max(unseen, key=lambda column: unseen[column])
        yield f"{percent(unseen[most])} of later transactions have a {most} that it has never seen."
    train, test = facts.split("train"), facts.split("test")
    if train.get("rows") and test.get("rows"):
        before, after = train["frauds"] / train["rows"], test["frauds"] / test["rows"]
        noise = 1.96 * math.sqrt(before * (1 - before) / train["rows"] + after * (1 - after) / test["rows"])
        if abs(after - before) > noise:
            yield (
                f"The share of fraud is {share(after)} in test and {share(before)} in train, further apart than by "
                "chance: probabilities that were right in training are off by about that ratio."
            )


def _of_probabilities(facts: CardFacts) -> Iterator[str]:
    method = (facts.manifest.get("calibration") or {}).get("method", "none")
    settings = facts.manifest.get("training", {})
    loss = settings.get("loss")
    if method == "none" and loss in _NO_PROBABILITY:
        yield f"Under the loss {str(loss).replace('_', ' ')} its output ranks transactions but is no probability."
    elif method == "none" and (loss == "focal" or settings.get("fraud_weight", 1) != 1):
        yield "Its loss bends the output away from the probability of fraud, and no calibration mends that."
    elif method == "none":
        yield "Its probabilities are those of the network; no calibration on other data has corrected them."
