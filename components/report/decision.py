"""The report's section on the money: what each threshold costs, beside what the model decides."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from components.evaluation.scores import CANDIDATE, DECISION, Scores
from components.evaluation.words import count, money, percent, probability
from components.report.page import embedded, log_ticks, plot, render
from components.report.palette import BLUE, GREEN, GREY, ORANGE
from components.report.per_day import EQUATION, PerDay, beside
from components.report.thresholds import NOT_REACHED, Split, Thresholds, thresholds
from trainer.arrays import Array, Floats
from trainer.decision.costs import Costs
from trainer.decision.outcomes import Outcomes
from trainer.decision.rule import Decision

if TYPE_CHECKING:
    import plotly.graph_objects as go

_PLOT, _DATA = "cost-plot", "decision-data"
_LEAST_DRAWN = 1e-6  # of the thresholds: further left all is stopped
_COUNTS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
_AMOUNTS = ("caught_amount", "declined_amount", "missed_amount", "accepted_amount")


def decision_section(scores: Scores, costs: Costs, threshold: float, *, by: str = "threshold") -> Markup:
    """What goes below the heading.

    Args:
      threshold: the model's own, on the calibrated probability.
      by: how the model decides, as of `Decision`: "amount" is by a threshold for each amount, all others by one.
    """
    if len(scores) == 0:
        return render("decision.html", empty=True)
    split = Split.from_scores(scores, costs)
    choice = thresholds(split, threshold)
    per_day = PerDay.from_scores(scores, costs.currency)
    words = _Words(choice.outcomes, split, per_day)
    own = _Words(split.transactions.outcome(scores.of(CANDIDATE, DECISION) > 0), split, per_day)
    figures = words.figures(choice.texts)
    header, rows = _ways(choice, by, own, words)
    buttons = {"the model's own" if by != "amount" else "the model's single threshold": choice.model}
    if split.in_money:
        buttons["cheapest here"] = choice.cheapest
    return render(
        "decision.html",
        empty=False,
        in_money=split.in_money,
        earns=costs.caught_fraud > 0,
        sentences=_sentences(choice, by, own, words),
        note=per_day.note,
        unit=per_day.unit,
        header=header,
        rows=rows,
        plot=_plot(choice, words),
        last=len(choice) - 1,
        start=choice.model,
        buttons=buttons,
        figures=figures,
        data=embedded(
            _DATA,
            {
                "figures": figures,
                "x": [_drawable(value) for value in np.minimum(choice.values, 1.0)],
                "y": [_rounded(value) for value in words.heights],
                "mark": _MARK,
            },
        ),
    )


# ---- in words


class _Words:
    """Figures of outcomes as people read them."""

    def __init__(self, outcomes: Outcomes, split: Split, per_day: PerDay):
        self.outcomes = outcomes
        self.split = split
        self.per_day = per_day
        self.a_day = per_day.unit
        self.in_money = split.in_money

    @property
    def heights(self) -> Floats:
        """What is drawn over the thresholds."""
        return self.outcomes.cost / (self.per_day.days or 1.0) if self.in_money else self.outcomes.recall

    def money_a_day(self, total: float) -> str:
        return self.per_day.money(total)

    def saved(self, at: int) -> float:
        """Against no model."""
        return float(self.outcomes.savings[at])

    def figures(self, texts: Sequence[str]) -> dict[str, list[str]]:
        """By the names that elements of the page have as `data-figure`, a text for each outcome.

        Those with "_split" behind the name are the split's own, where the others are a day.
        """
        of, per_day = self.outcomes, self.per_day

        def each(form: Callable[[float], str], values: Array) -> list[str]:
            return [form(value) for value in values.tolist()]

        def with_split(form: str, name: str, values: Array) -> dict[str, list[str]]:
            a_day = {name: each(getattr(per_day, form), values)}
            return {**a_day, f"{name}_split": each(getattr(per_day, f"split_{form}"), values)}

        shown = {
            "threshold": list(texts),
            "sentence": [self.sentence(at, text) for at, text in enumerate(texts)],
            "precision": each(percent, of.precision),
            "recall": each(percent, of.recall),
            **with_split("count", "alerts", of.stopped),
        }
        for name in _COUNTS:
            shown |= with_split("count", name, getattr(of, name))
        if not self.in_money:
            return shown
        shown["caught_share"] = each(percent, of.caught_share)
        for name in _AMOUNTS:
            shown |= with_split("money", name, getattr(of, name))
        shown |= with_split("money", "savings", of.savings)
        equations = [per_day.equation(of, at) for at in range(len(texts))]
        for number, name in enumerate(EQUATION):
            shown[name] = [equation[number][0] for equation in equations]
            shown[f"{name}_split"] = [equation[number][1] for equation in equations]
        return shown

    def sentence(self, at: int, text: str) -> str:
        """What happens at a threshold."""
        of = self.outcomes
        if of.stopped[at] == 0:
            lost = f": frauds cost {self.money_a_day(of.cost[at])}{self.a_day}, as without a model"
            at_it = "Above 1" if text == NOT_REACHED else f"At {text}"
            return f"{at_it}, nothing is stopped{lost if self.in_money else ''}."
        all_stopped = of.true_negatives[at] + of.false_negatives[at] == 0
        what = "everything is stopped" if all_stopped else self.stopped(at)
        return f"At {text}, {what}, {self.comes_to(at)}."

    def stopped(self, at: int) -> str:
        number = self.per_day.count(self.outcomes.stopped[at])
        return f"{number} {'transaction is' if number == '1' else 'transactions are'} stopped{self.a_day}"

    def comes_to(self, at: int) -> str:
        """How many of those that are stopped are frauds, and what that is worth."""
        of = self.outcomes
        words = f"{_of_ten(of.precision[at])} fraud; "
        if not of.true_positives[at] + of.false_negatives[at]:
            words += "there was none to catch"
        else:
            words += f"{percent(of.recall[at])} of the frauds"
            words += f" and {percent(of.caught_share[at])} of their money are" if self.in_money else " are"
            words += " caught"
        if not self.in_money:
            return words
        saved = self.saved(at)
        kind = "saving" if saved >= 0 else "losing"
        return f"{words}, {kind} {self.money_a_day(abs(saved))}{self.a_day} against no model"

    def row(self, at: int) -> list[Markup]:
        """Cells of the table of ways to decide."""
        of, per_day = self.outcomes, self.per_day
        counted = [
            per_day.count_and_split(of.stopped[at]),
            Markup.escape(percent(of.precision[at])),
            Markup.escape(percent(of.recall[at])),
        ]
        if not self.in_money:
            return counted
        equation = dict(zip(EQUATION, per_day.equation(of, at), strict=True))
        if not of.costs.caught_fraud:
            del equation["caught_gain"]
        return [*counted, *(beside(*texts) for texts in equation.values()), per_day.money_and_split(self.saved(at))]


def _of_ten(share: float) -> str:
    """How many are meant: "9 of 10 of them", "1 of 40 of them"."""
    if share == 1:
        return "all of them"
    if share >= 0.95:
        return f"{percent(share)} of them"
    if share >= 0.15:
        return f"{round(10 * share)} of 10 of them"
    return f"1 of {count(round(1 / share))} of them" if share > 0 else "none of them"


def _sentences(choice: Thresholds, by: str, own: _Words, words: _Words) -> list[str]:
    how = ", by the amount of each" if by == "amount" else ""
    what = "nothing is stopped" if own.outcomes.stopped[0] == 0 else f"{own.stopped(0)}{how}, {own.comes_to(0)}"
    sentences = [f"As the model decides, {what}."]
    if not words.in_money:
        return [*sentences, "The data has no amounts: what follows counts transactions, not money."]
    terms = f"At these costs ({_terms(words)})"
    if words.outcomes.stopped[choice.cheapest] == 0:
        sentences.append(
            f"{terms} stopping nothing is cheapest on the test split: no threshold saves as much as its reviews and "
            "declined customers cost."
        )
    elif choice.cheapest == 0:
        sentences.append(
            f"{terms} stopping everything is cheapest on the test split: to review and decline all costs less than "
            "what any threshold lets pass. Are the costs right?"
        )
    else:
        sentences.append(
            f"{terms} the cheapest threshold on the test split is {choice.texts[choice.cheapest]}, saving "
            f"{words.money_a_day(words.saved(choice.cheapest))}{words.a_day}. It was found on the very transactions "
            "that it is judged by: expect a little less."
        )
    missing = int(np.count_nonzero(~words.split.transactions.known))
    if missing:
        sentences.append(
            f"{missing:,} transaction{' has' if missing == 1 else 's have'} no amount and count{'s' * (missing == 1)} "
            f"as 0 {words.split.costs.currency}."
        )
    return sentences


def _terms(words: _Words) -> str:
    costs = words.split.costs

    def of_amount(share: float) -> str:
        return "its amount" if share == 1 else f"{100 * share:g} % of its amount"

    review, earned = (money(value, costs.currency) for value in (costs.review, costs.caught_fraud))
    return (
        f"a missed fraud {of_amount(costs.missed_fraud)}, each review {review}, a legitimate transaction that is "
        f"declined {of_amount(costs.declined)}{f', each fraud caught earns {earned}' if costs.caught_fraud else ''}"
    )


def _ways(choice: Thresholds, by: str, own: _Words, words: _Words) -> tuple[list[str], list[list[str | Markup]]]:
    """Header and rows of a table of ways to decide, the model's own first."""
    split, unit = words.split, words.a_day
    single = "by amount" if by == "amount" else choice.texts[choice.model]
    rows: list[list[str | Markup]] = [[f"as the model decides, {single}", *own.row(0)]]
    header = ["way to decide", f"alerts{unit}", "precision", "recall"]
    if words.in_money:
        if by != "amount":
            by_amount = Decision("amount", float(choice.values[choice.model]), split.costs)
            amounts = np.where(split.transactions.known, split.transactions.amounts, np.nan)
            outcome = split.transactions.outcome(by_amount.stops(split.probabilities, amounts))
            other = _Words(outcome, split, words.per_day)
            rows.append(["each where it pays for its amount", *other.row(0)])
        rows.append([f"cheapest threshold here, {choice.texts[choice.cheapest]}", *words.row(choice.cheapest)])
        shown = [title for name, title in EQUATION.items() if name != "caught_gain" or split.costs.caught_fraud]
        header += [f"{title}{unit}" for title in (*shown, "saved")]
    rows += [["stop nothing", *words.row(len(choice) - 1)], ["stop everything", *words.row(0)]]
    return header, rows


# ---- drawn

_MARK = 1  # position among the traces of what follows the slider


def _drawable(value: float) -> float | None:
    """On a logarithmic axis."""
    return float(f"{value:.6g}") if value > 0 else None


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _plot(choice: Thresholds, words: _Words) -> str:
    import plotly.graph_objects as go  # wanted by the report alone

    heights = words.heights
    x = [_drawable(value) for value in choice.corners]
    figure = go.Figure()
    name = f"cost{words.a_day}" if words.in_money else "recall"
    alerts = [count(words.per_day.of(value)) for value in choice.outcomes.stopped]
    shown = [
        html.escape(money(value, words.per_day.currency)) if words.in_money else percent(value) for value in heights
    ]
    figure.add_scatter(
        x=x,
        y=[_rounded(value) for value in heights],
        name=name,
        mode="lines",
        # a threshold between two probabilities decides as the higher of them
        line={"shape": "vh", "color": BLUE, "width": 2.5},
        customdata=list(zip(choice.texts, alerts, shown, strict=True)),
        hovertemplate=f"threshold %{{customdata[0]}}<br>{html.escape(name)} %{{customdata[2]}}<br>"
        f"%{{customdata[1]}} stopped{words.a_day}<extra></extra>",
    )
    start = choice.model
    figure.add_scatter(
        x=[_drawable(min(choice.values[start], 1.0))],
        y=[_rounded(heights[start])],
        name="at the slider",
        mode="markers",
        marker={"color": ORANGE, "size": 14},
        hoverinfo="skip",
    )
    left = _draw_costs(figure, choice, words) if words.in_money else _draw_precision(figure, choice, x)
    left = min(max(left / 1.3, _LEAST_DRAWN), 0.1)  # at least a decade
    own = choice.values[start]
    if left < own <= 1:
        figure.add_vline(x=own, line={"color": ORANGE, "dash": "dot", "width": 1.5})
        figure.add_annotation(
            text=f"the model's {choice.texts[start]}",
            x=float(np.log10(own)),  # which Plotly wants of annotations alone
            xanchor="right" if own > 0.1 else "left",
            y=1,
            yref="paper",
            showarrow=False,
        )
    ticks = log_ticks(left, 1)
    figure.update_xaxes(
        type="log",
        range=[float(np.log10(left)), float(np.log10(1.15))],
        tickvals=ticks,
        ticktext=[probability(tick) for tick in ticks],
        title_text="threshold, log scale",
    )
    return plot(figure, 380, name=_PLOT)


def _draw_costs(figure: go.Figure, choice: Thresholds, words: _Words) -> float:
    """The cheapest threshold, and what it costs to stop nothing or everything; the least threshold to be seen."""
    heights, at = words.heights, choice.cheapest
    top, bottom = _frame(choice, words)
    shown = words.money_a_day(choice.outcomes.cost[at])
    figure.add_scatter(
        x=[_drawable(min(choice.values[at], 1.0))],
        y=[_rounded(heights[at])],
        name="cheapest here",
        mode="markers",
        marker={"color": GREEN, "size": 12, "symbol": "diamond"},
        hovertemplate=f"threshold {choice.texts[at]}<br>{html.escape(shown)}<extra></extra>",
    )
    for label, height in {"stop nothing": heights[-1], "stop everything": heights[0]}.items():
        if bottom <= height <= top:
            figure.add_hline(
                y=_rounded(height),
                line={"color": GREY, "dash": "dash", "width": 1.5},
                annotation_text=label,
                annotation_position="top" if label == "stop nothing" else "bottom",
            )
    figure.update_yaxes(
        range=[bottom, top], tickformat=",", title_text=f"{html.escape(words.split.costs.currency)}{words.a_day}"
    )
    inside, own = choice.corners[(heights <= top) & (choice.corners > 0)], choice.values[choice.model]
    return float(min([*inside, *([own] if own > 0 else [])], default=_LEAST_DRAWN))


def _draw_precision(figure: go.Figure, choice: Thresholds, x: list[float | None]) -> float:
    """Where there is no money; the least threshold to be seen."""
    figure.add_scatter(
        x=x,
        y=[_rounded(value) for value in choice.outcomes.precision],
        name="precision",
        mode="lines",
        line={"shape": "vh", "color": GREEN, "dash": "dash"},
    )
    figure.update_yaxes(range=[0, 1.03], tickformat=".0%")
    return float(min(choice.corners[choice.corners > 0], default=_LEAST_DRAWN))


def _frame(choice: Thresholds, words: _Words) -> tuple[float, float]:
    """Highest and lowest cost drawn: to stop everything may cost a hundred times what there is to choose from."""
    heights = words.heights
    nothing, everything, own = heights[-1], heights[0], heights[choice.model]
    low, high = min(0.0, heights.min()), max(nothing, own, 0.0)
    room = (high - low) or 1.0
    high = everything if high < everything <= high + room else high
    return high + 0.35 * room, low - (0.1 * room if low < 0 else 0)
