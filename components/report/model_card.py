"""The report's model card, from what is recorded alone (Mitchell et al., Model Cards for Model Reporting, 2019)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from components.evaluation.words import NOT_DEFINED, duration, money, percent, probability, with_interval
from components.report.data import compared, how_split, number_of, ranked, sampling, share
from components.report.drift import ColumnDrift
from components.report.page import render
from components.report.per_day import PerDay
from components.report.settings import ModelCardSettings
from components.report.slices import ENOUGH_FRAUDS
from trainer.columns import SECONDS_A_DAY, Columns

if TYPE_CHECKING:
    from components.evaluation.verdict import Verdict

_MOST_NAMED = 5
# V1, C12, id_03: what a column of that name holds was taken away, or is in another book
_TELLS_NOTHING = re.compile(r"[A-Za-z]{1,3}_?\d+")
_NO_PROBABILITY = ("huber", "mean_absolute_error")


@dataclass(frozen=True)
class CardFacts:
    """What a model card is made from.

    manifest: the model's; older ones lack `calibration` and `decision`. splits: a `SplitSummary` as JSON for each.
    drift_by_column: of `drift.moves`. new_categories: of `data.new_categories`. trials: how many the search
    had, 0 without one. pushed_version: "" where the model was not pushed. per_day: how counts and money are shown.
    """

    manifest: Mapping[str, Any]
    verdict: Verdict
    splits: Sequence[Mapping[str, Any]]
    settings: ModelCardSettings = field(default_factory=ModelCardSettings)
    drift_by_column: Mapping[str, Mapping[str, ColumnDrift]] = field(default_factory=dict)
    new_categories: Mapping[str, Mapping[str, tuple[int, float]]] = field(default_factory=dict)
    trials: int = 0
    pushed_version: str = ""
    per_day: PerDay = field(default_factory=lambda: PerDay(None))

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


def model_card(facts: CardFacts) -> Markup:
    """What goes below the heading."""
    return render("model_card.html", **card_values(facts))


def card_values(facts: CardFacts) -> dict[str, Any]:
    """What the card says, by the names of its template."""
    settings = facts.settings
    entries: dict[str, Sequence[str]] = {
        "Model": details(facts),
        "Intended use": [settings.intended_use],
        "Users": [settings.users],
        "Out of scope": settings.out_of_scope,
        "Training data": training_data(facts),
        "Features": features(facts),
        "Training and tuning": training(facts),
        "How it decides": decision(facts),
    }
    return {
        # a term with nothing to say is left out
        "entries": {term: list(filter(None, paragraphs)) for term, paragraphs in entries.items() if any(paragraphs)},
        "figures": figures(facts),
        "note": facts.per_day.note,
        "factors": factors(facts),
        "limits": limits(facts),
        "caveats": settings.caveats,
    }


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
        "standard": "Numbers are scaled to zero mean and unit variance"
        + (f", and cut off at {clip:g} standard deviations." if clip else "."),
        "unit_norm": "The numbers of a transaction are scaled to length 1 together.",
    }.get(settings.get("scaling", ""), "")
    done = [
        scaling,
        "The amount is replaced by its logarithm." if columns.amount and settings.get("log_amount") else "",
        "Of the time, only the hour of the day is used." if columns.time and settings.get("use_time") else "",
        f"Of a category, the {settings['max_vocabulary']:,} most frequent values are told apart."
        if columns.categorical and "max_vocabulary" in settings
        else "",
    ]
    others = [
        f"The model reads {_and(read)}.",
        f"It ignores {_and(columns.ignore)}." if columns.ignore else "",
        f"{columns.id} is carried along so that a transaction can be named; the model does not read it."
        if columns.id
        else "",
        f"It does not learn from {_and(columns.entities)} as they are: who takes part is carried along."
        if columns.entities
        else "",
    ]
    return [" ".join(filter(None, others)), " ".join(filter(None, done))]


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
        f" It stopped after {epochs} of at most {most} epochs: eval had not improved for {settings['patience']}."
        if epochs and most and epochs < most and settings.get("patience")
        else f" It took {epochs} epochs."
        if epochs
        else ""
    )
    first = (
        f"Training minimized the {str(settings.get('loss', '')).replace('_', ' ')} with {settings.get('optimizer')}, "
        f"at a learning rate of {settings.get('learning_rate', math.nan):.3g} and in batches of "
        f"{settings.get('batch_size')}, with seed {settings.get('seed')}.{stopped}"
    )
    extra = f" It used {_and(regular)}." if any(regular) else ""
    weighted = (
        ""
        if weight == 1
        else " In the loss, both classes have the same weight."
        if weight == "balanced"
        else f" In the loss, the weight of each fraud is multiplied by {weight:g}."
    )
    tuned = (
        f"The hyperparameters are the best of {facts.trials} trials; see the section on the search."
        if facts.trials
        else "The hyperparameters come from the configuration or from an earlier search; this run made no search."
    )
    return [f"{first}{extra}{weighted}", tuned]


def decision(facts: CardFacts) -> list[str]:
    """From score to decision: calibration, threshold and costs."""
    calibration, decided = facts.manifest.get("calibration") or {}, facts.manifest.get("decision") or {}
    method = calibration.get("method")
    scale = {
        None: "",
        "none": "The network's output is used as the probability as it is, without calibration.",
        "platt": "The network's output is calibrated by Platt's method, which is a logistic regression on it.",
        "isotonic": "The network's output is calibrated by isotonic regression.",
    }.get(method, f"The network's output is calibrated by {method}.")
    rule = _rule(facts.manifest)
    version = f"This rule has the version {decided['version']}." if decided.get("version") else ""
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
            "A transaction is stopped if that is expected to cost no more than letting it pass, given its own amount."
        )
    if threshold is None:
        return ""
    if threshold > 1:
        return "No transaction is stopped, because the threshold is above 1."
    stopped = f"A transaction is stopped if its probability of fraud is at least {probability(threshold)}."
    if by == "alerts":
        return f"{stopped} Of the thresholds that keep to the alerts a day that were set, it is the cheapest on eval."
    if by == "threshold":
        return f"{stopped} Unless the configuration sets this threshold, it is the cheapest on eval."
    if manifest.get("training", {}).get("threshold") == "auto":
        return f"{stopped} This is the threshold of the best F1 on eval."
    return f"{stopped} The configuration sets this threshold."


def _costs(costs: Mapping[str, Any]) -> str:
    if not costs:
        return ""
    currency = costs.get("currency", "")
    parts = [
        f"a missed fraud costs {costs['missed_fraud']:g} times its amount" if "missed_fraud" in costs else "",
        f"each stopped transaction costs {money(costs['review'], currency)}" if "review" in costs else "",
        f"a declined customer costs {percent(costs['declined'])} of the amount" if "declined" in costs else "",
        f"a caught fraud earns {money(costs['caught_fraud'], currency)}" if costs.get("caught_fraud") else "",
    ]
    return f"By the configuration, {_and(parts)}."


# ---- figures


def figures(facts: CardFacts) -> list[list[str]]:
    """Those that the evaluation has, with 95 % intervals where there are some."""
    metrics, per_day = facts.verdict.metrics, facts.per_day

    def of_split(name: str) -> float | None:
        """The split's total of a figure a day."""
        value = metrics.get(name)
        return None if value is None else value * (per_day.days or 1.0)

    shown = [
        ("average precision", with_interval(metrics, "average_precision")),
        ("recall at 1 % false positives", with_interval(metrics, "recall_at_1_percent_false_positives")),
        ("ROC-AUC", with_interval(metrics, "roc_auc")),
        ("Brier score, 0 is best", probability(metrics.get("brier"))),
        (f"alerts{per_day.unit}", per_day.count_and_split(of_split("alerts_a_day"))),
        (f"cost{per_day.unit}", per_day.money_and_split(of_split("cost_a_day"))),
        (f"saved{per_day.unit}, against no model", per_day.money_and_split(metrics.get("savings"))),
    ]
    return [[name, value] for name, value in shown if value != NOT_DEFINED]


def factors(facts: CardFacts) -> str:
    """By what the figures were broken down, and that people are not among it."""
    named = list(facts.verdict.slices)
    by = f"The evaluation is broken down by {_and(named)}. It is not" if named else "The evaluation is not"
    return f"{by} broken down by groups of people, so nothing here says whether the model treats them alike."


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
        yield f"The model is not blessed: {'; '.join(facts.verdict.reasons)}."


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
            f"{len(opaque):,} of {len(columns.inputs):,} columns have names that say nothing, such as "
            f"{_and(opaque[:2])}, so nobody can say in words of the trade why a score is high."
        )
    seconds = facts.seconds
    if seconds is None:
        yield "The data has no times, so it is not known how well the model judges transactions that come later."
    elif seconds < 28 * SECONDS_A_DAY:
        length = "week" if seconds < 7 * SECONDS_A_DAY else "month"
        yield (
            f"The data covers only {duration(seconds)}, less than a {length}, so it does not show what changes between "
            f"the days of a {length}."
        )
    if data.get("split", {}).get("by") == "random" and seconds is not None:
        yield (
            "The splits are random, so the test transactions are as old as those that the model has learned from. That "
            "flatters a model that is to judge later ones."
        )
    if facts.sampled:
        rate = min(data["sampling_rates"].values())
        yield (
            f"The data is a sample in which a row stands for up to {1 / rate:.3g} transactions, so a single row moves "
            "counts, costs and alerts by that much."
        )


def _of_the_test(facts: CardFacts) -> Iterator[str]:
    frauds = facts.split("test").get("frauds", 0)
    # The half width of a 95 % interval around a recall of one half, by the normal approximation of the binomial.
    half = 0.98 / math.sqrt(frauds) if frauds else math.inf
    if half > 0.05:
        yield (
            f"The test split has only {frauds:,} {'fraud' if frauds == 1 else 'frauds'}, so any recall on it is "
            f"uncertain by up to {100 * min(half, 1):.0f} percentage points either way (95 %)."
        )
    metrics = facts.verdict.metrics
    lower, upper = metrics.get("average_precision_lower"), metrics.get("average_precision_upper")
    if lower is not None and upper is not None and upper - lower > 0.1:
        yield (
            f"The 95 % interval of the average precision is {upper - lower:.2f} wide, so a model that is better or "
            "worse by less than about half of that cannot be told from this one."
        )
    if "savings_lower" in metrics and (metrics["savings_lower"] or 0) <= 0:
        yield "It is not certain that the model saves money: the 95 % interval of the savings reaches to 0 or below it."


def _of_slices(facts: CardFacts) -> Iterator[str]:
    overall = facts.verdict.metrics.get("average_precision_lower")
    for by, values in facts.verdict.slices.items():
        none = [value for value, has in values.items() if not has.get("frauds")]
        few = [value for value, has in values.items() if 0 < (has.get("frauds") or 0) < ENOUGH_FRAUDS]
        if none:
            yield (
                f"The test split has no fraud where {by} is {_named(none)}, so it is not known how well the model "
                "finds such frauds."
            )
        if few:
            yield (
                f"The test split has fewer than {ENOUGH_FRAUDS} frauds where {by} is {_named(few)}, so the figures of "
                "these parts are mostly chance."
            )
        worse = [
            value
            for value, has in values.items()
            if overall is not None
            and (has.get("frauds") or 0) >= ENOUGH_FRAUDS
            and (has.get("average_precision_upper") or math.inf) < overall
        ]
        if worse:
            yield (
                f"The model is worse where {by} is {_named(worse)} than on the whole: the 95 % intervals do not "
                "overlap."
            )


def _named(values: Sequence[str]) -> str:
    named = ", ".join(values[:_MOST_NAMED])
    return named + (f" and {len(values) - _MOST_NAMED:,} more" if len(values) > _MOST_NAMED else "")


def _of_drift(facts: CardFacts) -> Iterator[str]:
    drifts = facts.drift_by_column
    moved = [column for column, _ in ranked(drifts) if any(move.size == "much" for move in drifts[column].values())]
    if moved:
        yield (
            f"{len(moved):,} of {len(compared(facts.columns)):,} columns moved much between train and later "
            f"transactions, most of all {_named(moved)}. The model will need to be trained again as they move further."
        )
    unseen = {
        column: max(part for _, part in by_split.values())
        for column, by_split in facts.new_categories.items()
        if by_split and max(part for _, part in by_split.values()) > 0.05
    }
    if unseen:
        most = max(unseen, key=lambda column: unseen[column])
        yield f"{percent(unseen[most])} of later transactions have a value of {most} that the model has never seen."
    train, test = facts.split("train"), facts.split("test")
    if train.get("rows") and test.get("rows"):
        before, after = train["frauds"] / train["rows"], test["frauds"] / test["rows"]
        noise = 1.96 * math.sqrt(before * (1 - before) / train["rows"] + after * (1 - after) / test["rows"])
        if abs(after - before) > noise:
            yield (
                f"The share of fraud is {share(after)} in test and {share(before)} in train, further apart than by "
                "chance, so probabilities that were right in train are off by about that ratio."
            )


def _of_probabilities(facts: CardFacts) -> Iterator[str]:
    method = (facts.manifest.get("calibration") or {}).get("method", "none")
    settings = facts.manifest.get("training", {})
    loss = settings.get("loss")
    if method == "none" and loss in _NO_PROBABILITY:
        yield f"With the loss {str(loss).replace('_', ' ')}, the output ranks transactions but is not a probability."
    elif method == "none" and (loss == "focal" or settings.get("fraud_weight", 1) != 1):
        yield "The loss bends the output away from the probability of fraud, and no calibration corrects that."
    elif method == "none":
        yield "The probabilities are the network's own: no calibration on other data has corrected them."
