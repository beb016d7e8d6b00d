"""The report's section on the money: what each threshold costs, beside what the model decides."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from components.evaluation.scores import CANDIDATE, DECISION, Scores
from components.evaluation.words import count, money, percent, probability
from components.report.page import embedded, log_ticks, plot, table
from components.report.palette import BLUE, GREEN, GREY, ORANGE
from components.report.thresholds import NOT_REACHED, Split, Thresholds, thresholds
from trainer.arrays import Array
from trainer.decision.costs import Costs
from trainer.decision.outcomes import Outcomes
from trainer.decision.rule import Decision

if TYPE_CHECKING:
    import plotly.graph_objects as go

_PLOT, _DATA = "cost-plot", "decision-data"
_LEAST_DRAWN = 1e-6  # of the thresholds: further left all is stopped

_STYLE = """<style>
#decision { border: 1px solid var(--line); border-radius: 6px; padding: .2rem 1rem 1rem; margin: 1rem 0; }
#decision input { width: 100%; margin: .3rem 0; accent-color: var(--blue); }
#decision label { font-weight: 600; }
#decision button { font: inherit; padding: .2rem .7rem; margin: 0 .5rem .3rem 0; border-radius: 6px; cursor: pointer;
  color: inherit; background: var(--soft); border: 1px solid var(--line); }
#decision dl { display: grid; gap: .6rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); }
#decision dt { font-size: .85rem; } #decision dd { margin: 0; font-size: 1.25rem; font-weight: 600; }
#decision dd, #decision td, #decision output { font-variant-numeric: tabular-nums; }
#decision td.right { border-left: .3rem solid var(--green); }
#decision td.wrong { border-left: .3rem solid var(--red); }
#decision td div:first-child { font-weight: 600; }
.ways td:not(:first-child), .ways th:not(:first-child) { text-align: right; }
.ways td, .ways th { padding: .3rem .5rem; } .ways td:first-child { min-width: 9rem; }
.ways td:not(:first-child) { white-space: nowrap; }
</style>"""

# Shows what was worked out; works nothing out.
_SCRIPT = """<script>
(() => {
  const data = JSON.parse(document.getElementById("decision-data").textContent);
  const slider = document.getElementById("threshold");
  const shown = document.querySelectorAll("#decision [data-figure]");
  const plot = document.getElementById("cost-plot");
  let asked = false;
  const mark = () => {
    asked = false;
    if (!plot.data) return; // not drawn yet
    const at = slider.value;
    Plotly.restyle(plot, {x: [[data.x[at]]], y: [[data.y[at]]]}, [data.mark]);
  };
  const show = () => {
    const at = slider.value;
    for (const element of shown) element.textContent = data.figures[element.dataset.figure][at];
    slider.setAttribute("aria-valuetext", data.figures.threshold[at]);
    if (!asked) {
      asked = true;
      requestAnimationFrame(mark);
    }
  };
  slider.addEventListener("input", show);
  document.addEventListener("plots-drawn", show);
  for (const button of document.querySelectorAll("#decision button"))
    button.addEventListener("click", () => { slider.value = button.dataset.position; show(); });
  show();
})();
</script>"""


def decision_section(scores: Scores, costs: Costs, threshold: float, *, by: str = "threshold") -> list[str]:
    """What goes below the heading: HTML whose plot wants the plotting library in the page.

    Args:
      threshold: the model's own, on the calibrated probability.
      by: how the model decides, as of `Decision`: "amount" is by a threshold for each amount, all others by one.
    """
    if len(scores) == 0:
        return ["<p>The test split is empty.</p>"]
    split = Split.from_scores(scores, costs)
    found = thresholds(split, threshold)
    words = _Words(found.outcomes, split)
    figures = words.figures(found.texts)
    own = _Words(split.transactions.outcome(scores.of(CANDIDATE, DECISION) > 0), split)
    return [
        _STYLE,
        *(f"<p>{html.escape(sentence)}</p>" for sentence in _sentences(found, by, own, words)),
        f'<div class="ways">{_ways(found, by, own, words)}</div>',
        f"<h3>{'Cost' if split.in_money else 'Precision and recall'} by threshold</h3>",
        _plot(found, words),
        _slider(found, by, figures, words),
        embedded(
            _DATA,
            {
                "figures": figures,
                "x": [_drawable(value) for value in np.minimum(found.values, 1.0)],
                "y": [_rounded(value) for value in words.heights],
                "mark": _MARK,
            },
        ),
        _SCRIPT,
    ]


# ---- in words


class _Words:
    """Figures of outcomes as people read them; "a day" where the data has times."""

    def __init__(self, outcomes: Outcomes, split: Split):
        self.outcomes = outcomes
        self.split = split
        self.days = split.days
        self.a_day = " a day" if split.timed else ""
        self.in_money = split.in_money

    @property
    def heights(self) -> Array:
        """What is drawn over the thresholds."""
        return self.outcomes.cost / self.days if self.in_money else self.outcomes.recall

    def money(self, value: float) -> str:
        return money(value, self.split.costs.currency)

    def money_a_day(self, value: float) -> str:
        return self.money(value / self.days)

    def saved(self, at: int) -> float:
        """Against no model."""
        return float(self.split.transactions.cost_of_nothing - self.outcomes.cost[at])

    def figures(self, texts: Sequence[str]) -> dict[str, list[str]]:
        """By the names that elements of the page have as `data-figure`, a text for each outcome."""
        of = self.outcomes

        def each(form: Callable[[float], str], *names: str) -> dict[str, list[str]]:
            return {name: [form(value) for value in getattr(of, name).tolist()] for name in names}

        found = {
            "threshold": list(texts),
            "sentence": [self.sentence(at, text) for at, text in enumerate(texts)],
            "alerts": [count(value) for value in (of.stopped / self.days).tolist()],
            **each(percent, "precision", "recall"),
            **each(count, "true_positives", "false_positives", "false_negatives", "true_negatives"),
        }
        if self.in_money:
            found |= {
                "savings": [self.money_a_day(self.saved(at)) for at in range(len(texts))],
                **each(self.money_a_day, "cost"),
                **each(percent, "caught_share"),
                **each(self.money, "caught_amount", "declined_amount", "missed_amount", "accepted_amount"),
            }
        return found

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
        number = count(self.outcomes.stopped[at] / self.days)
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

    def row(self, at: int) -> list[str]:
        """Cells of the table of ways to decide."""
        of = self.outcomes
        cells = [count(of.stopped[at] / self.days), percent(of.precision[at]), percent(of.recall[at])]
        if self.in_money:
            values = (of.missed_amount[at], of.declined_amount[at], of.cost[at], self.saved(at))
            cells += [self.money_a_day(value) for value in values]
        return cells


def _of_ten(share: float) -> str:
    """How many are meant: "9 of 10 of them", "1 of 40 of them"."""
    if share == 1:
        return "all of them"
    if share >= 0.95:
        return f"{percent(share)} of them"
    if share >= 0.15:
        return f"{round(10 * share)} of 10 of them"
    return f"1 of {count(round(1 / share))} of them" if share > 0 else "none of them"


def _sentences(found: Thresholds, by: str, own: _Words, words: _Words) -> list[str]:
    how = ", by the amount of each" if by == "amount" else ""
    what = "nothing is stopped" if own.outcomes.stopped[0] == 0 else f"{own.stopped(0)}{how}, {own.comes_to(0)}"
    sentences = [f"As the model decides, {what}."]
    if not words.in_money:
        return [*sentences, "The data has no amounts: what follows counts transactions, not money."]
    terms = f"At these costs ({_terms(words)})"
    if words.outcomes.stopped[found.cheapest] == 0:
        sentences.append(
            f"{terms} stopping nothing is cheapest on the test split: no threshold saves as much as its reviews and "
            "declined customers cost."
        )
    elif found.cheapest == 0:
        sentences.append(
            f"{terms} stopping everything is cheapest on the test split: to review and decline all costs less than "
            "what any threshold lets pass. Are the costs right?"
        )
    else:
        sentences.append(
            f"{terms} the cheapest threshold on the test split is {found.texts[found.cheapest]}, saving "
            f"{words.money_a_day(words.saved(found.cheapest))}{words.a_day}. It was found on the very transactions "
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

    earned = f", each fraud caught earns {words.money(costs.caught_fraud)}" if costs.caught_fraud else ""
    return (
        f"a missed fraud {of_amount(costs.missed_fraud)}, each review {words.money(costs.review)}, a legitimate "
        f"transaction that is declined {of_amount(costs.declined)}{earned}"
    )


def _ways(found: Thresholds, by: str, own: _Words, words: _Words) -> str:
    """A table of ways to decide, the model's own first."""
    split, unit = words.split, words.a_day
    single = "by amount" if by == "amount" else found.texts[found.model]
    rows = [[f"as the model decides, {single}", *own.row(0)]]
    header = ["way to decide", f"stopped{unit}", "precision", "recall"]
    if words.in_money:
        if by != "amount":
            by_amount = Decision("amount", float(found.values[found.model]), split.costs)
            amounts = np.where(split.transactions.known, split.transactions.amounts, np.nan)
            outcome = split.transactions.outcome(by_amount.stops(split.probabilities, amounts))
            rows.append(["each where it pays for its amount", *_Words(outcome, split).row(0)])
        rows.append([f"cheapest threshold here, {found.texts[found.cheapest]}", *words.row(found.cheapest)])
        header += [f"fraud missed{unit}", f"legitimate declined{unit}", f"cost{unit}", f"saved{unit}"]
    rows += [["stop nothing", *words.row(len(found) - 1)], ["stop everything", *words.row(0)]]
    return table(header, rows)


# ---- drawn

_MARK = 1  # position among the traces of what follows the slider


def _drawable(value: float) -> float | None:
    """On a logarithmic axis."""
    return float(f"{value:.6g}") if value > 0 else None


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _plot(found: Thresholds, words: _Words) -> str:
    import plotly.graph_objects as go  # wanted by the report alone

    heights = words.heights
    x = [_drawable(value) for value in found.corners]
    figure = go.Figure()
    name = f"cost{words.a_day}" if words.in_money else "recall"
    alerts = [count(value / words.days) for value in found.outcomes.stopped]
    shown = [words.money(value) if words.in_money else percent(value) for value in heights]
    figure.add_scatter(
        x=x,
        y=[_rounded(value) for value in heights],
        name=name,
        mode="lines",
        # a threshold between two probabilities decides as the higher of them
        line={"shape": "vh", "color": BLUE, "width": 2.5},
        customdata=list(zip(found.texts, alerts, shown, strict=True)),
        hovertemplate=f"threshold %{{customdata[0]}}<br>{html.escape(name)} %{{customdata[2]}}<br>"
        f"%{{customdata[1]}} stopped{words.a_day}<extra></extra>",
    )
    start = found.model
    figure.add_scatter(
        x=[_drawable(min(found.values[start], 1.0))],
        y=[_rounded(heights[start])],
        name="at the slider",
        mode="markers",
        marker={"color": ORANGE, "size": 14, "line": {"color": "#fff", "width": 2}},
        hoverinfo="skip",
    )
    left = _draw_costs(figure, found, words) if words.in_money else _draw_precision(figure, found, x)
    left = min(max(left / 1.3, _LEAST_DRAWN), 0.1)  # at least a decade
    own = found.values[start]
    if left < own <= 1:
        figure.add_vline(x=own, line={"color": ORANGE, "dash": "dot", "width": 1.5})
        figure.add_annotation(
            text=f"the model's {found.texts[start]}",
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


def _draw_costs(figure: go.Figure, found: Thresholds, words: _Words) -> float:
    """The cheapest threshold, and what it costs to stop nothing or everything; the least threshold to be seen."""
    heights, at = words.heights, found.cheapest
    top, bottom = _frame(found, words)
    figure.add_scatter(
        x=[_drawable(min(found.values[at], 1.0))],
        y=[_rounded(heights[at])],
        name="cheapest here",
        mode="markers",
        marker={"color": GREEN, "size": 12, "symbol": "diamond"},
        hovertemplate=f"threshold {found.texts[at]}<br>{html.escape(words.money(heights[at]))}<extra></extra>",
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
    inside, own = found.corners[(heights <= top) & (found.corners > 0)], found.values[found.model]
    return float(min([*inside, *([own] if own > 0 else [])], default=_LEAST_DRAWN))


def _draw_precision(figure: go.Figure, found: Thresholds, x: list[float | None]) -> float:
    """Where there is no money; the least threshold to be seen."""
    figure.add_scatter(
        x=x,
        y=[_rounded(value) for value in found.outcomes.precision],
        name="precision",
        mode="lines",
        line={"shape": "vh", "color": GREEN, "dash": "dash"},
    )
    figure.update_yaxes(range=[0, 1.03], tickformat=".0%")
    return float(min(found.corners[found.corners > 0], default=_LEAST_DRAWN))


def _frame(found: Thresholds, words: _Words) -> tuple[float, float]:
    """Highest and lowest cost drawn: to stop everything may cost a hundred times what there is to choose from."""
    heights = words.heights
    nothing, everything, own = heights[-1], heights[0], heights[found.model]
    low, high = min(0.0, heights.min()), max(nothing, own, 0.0)
    room = (high - low) or 1.0
    high = everything if high < everything <= high + room else high
    return high + 0.35 * room, low - (0.1 * room if low < 0 else 0)


def _slider(found: Thresholds, by: str, figures: dict[str, list[str]], words: _Words) -> str:
    start = found.model

    def shown(name: str, tag: str, more: str = "") -> str:
        return f'<{tag} data-figure="{name}"{more}>{html.escape(figures[name][start])}</{tag}>'

    def cell(kind: str, number: str, amount: str) -> str:
        inside = shown(number, "div") + (shown(amount, "div") if words.in_money else "")
        return f'<td class="{kind}">{inside}</td>'

    titles = {
        "alerts": f"stopped{words.a_day}",
        "precision": "precision: frauds of those",
        "recall": "recall: of frauds",
    }
    if words.in_money:
        titles = {
            "cost": f"cost{words.a_day}",
            "savings": f"saved{words.a_day}, against no model",
            **titles,
            "caught_share": "recall: of their money",
        }
    buttons = {"the model's own" if by != "amount" else "the model's single threshold": found.model}
    if words.in_money:
        buttons["cheapest here"] = found.cheapest
    return "".join(
        [
            '<div id="decision">',
            '<p><label for="threshold">Threshold: stopped is what has at least this probability of fraud</label> ',
            shown("threshold", "output", ' for="threshold"'),
            "</p>",
            f'<input type="range" id="threshold" min="0" max="{len(found) - 1}" step="1" value="{start}" '
            f'autocomplete="off" aria-valuetext="{html.escape(found.texts[start])}">',
            *(
                f'<button type="button" data-position="{position}">{html.escape(label)}</button>'
                for label, position in buttons.items()
            ),
            shown("sentence", "p", ' aria-live="polite"'),
            "<dl>",
            *(f"<div><dt>{html.escape(title)}</dt>{shown(name, 'dd')}</div>" for name, title in titles.items()),
            "</dl>",
            '<div class="scroll"><table>',
            '<tr><td></td><th scope="col">stopped</th><th scope="col">let pass</th></tr>',
            '<tr><th scope="row">fraud</th>',
            cell("right", "true_positives", "caught_amount"),
            cell("wrong", "false_negatives", "missed_amount"),
            '</tr><tr><th scope="row">legitimate</th>',
            cell("wrong", "false_positives", "declined_amount"),
            cell("right", "true_negatives", "accepted_amount"),
            "</tr></table></div>",
            f"<p>The table has {_span(words)}.</p>",
            "</div>",
        ]
    )


def _span(words: _Words) -> str:
    where = "all transactions of the test split"
    return f"{where}, as many as come in within {words.days:.2g} days" if words.a_day else where
