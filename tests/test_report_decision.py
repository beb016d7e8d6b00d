"""The report's section on the money: sentences, tables, and the slider in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from components.evaluation.words import count, money, percent
from components.report.decision import decision_section
from components.report.page import page
from components.report.thresholds import Split, thresholds
from tests.support.browser import Browser
from tests.support.small_page import EVIL, Section, text
from tests.support.small_scores import drawn, scores_of
from trainer.decision.costs import Costs

COSTS = Costs()


def rows_of(section: str) -> list[list[str]]:
    """Of the table of ways to decide."""
    ways = re.search(r'<div class="ways">.*?</table>', section, flags=re.DOTALL)
    assert ways
    return Section(ways[0]).rows


def data_of(section: str) -> dict[str, Any]:
    """What the slider shows, by name, for each of its positions."""
    data = re.search(r'id="decision-data">(.*?)</script>', section)
    assert data
    return json.loads(data[1])


def both(name: str, a_day: str, of_split: str) -> dict[str, str]:
    return {name: a_day, f"{name}_split": of_split}


def test_sentences_say_what_the_decisions_are_worth() -> None:
    labels = [1, 1, 1, 0, 0, 0]
    scores = scores_of(
        labels,
        [0.9, 0.8, 0.01, 0.7, 0.2, 0.001],
        amount=[100, 400, 500, 50, 20, 10],
        time=np.arange(6) * 86_400 / 2.5,
    )
    parts = decision_section(scores, COSTS, 0.5)
    words = text(parts)
    # 2 days: 3 reviews and 2 % of 50 against 500 of the 1,000 lost without a model
    assert (
        "As the model decides, 1.5 transactions are stopped a day, 7 of 10 of them fraud; 67 % of the frauds" in words
    )
    assert "50 % of their money are caught, saving 242 EUR a day against no model." in words
    assert (
        "At these costs (a missed fraud its amount, each review 5.00 EUR, a legitimate transaction that is declined "
        "2 % of its amount) the cheapest threshold on the test split is 0.01, saving 487 EUR a day."
    ) in words
    assert "Counts and money are a day; the smaller figures are those of the whole test split." in words
    assert rows_of(parts) == [
        [
            *("way to decide", "alerts a day", "precision", "recall", "missed fraud a day", "review a day"),
            *("declined customers a day", "cost a day", "saved a day"),
        ],
        [
            *("as the model decides, 0.5", "1.5 3", "67 %", "67 %", "250 EUR 500 EUR", "8 EUR 15 EUR"),
            *("0 EUR 1 EUR", "258 EUR 516 EUR", "242 EUR 484 EUR"),
        ],
        [
            *("each where it pays for its amount", "1.5 3", "67 %", "67 %", "250 EUR 500 EUR", "8 EUR 15 EUR"),
            *("0 EUR 1 EUR", "258 EUR 516 EUR", "242 EUR 484 EUR"),
        ],
        [
            *("cheapest threshold here, 0.01", "2.5 5", "60 %", "100 %", "0 EUR 0 EUR", "12.50 EUR 25.00 EUR"),
            *("0.70 EUR 1.40 EUR", "13.20 EUR 26.40 EUR", "487 EUR 974 EUR"),
        ],
        [
            *("stop nothing", "0 0", "n/a", "0 %", "500 EUR 1,000 EUR", "0 EUR 0 EUR"),
            *("0 EUR 0 EUR", "500 EUR 1,000 EUR", "0 EUR 0 EUR"),
        ],
        [
            *("stop everything", "3 6", "50 %", "100 %", "0 EUR 0 EUR", "15.00 EUR 30.00 EUR"),
            *("0.80 EUR 1.60 EUR", "15.80 EUR 31.60 EUR", "484 EUR 968 EUR"),
        ],
    ]
    data = data_of(parts)["figures"]
    at = data["threshold"].index("0.5")
    assert {name: values[at] for name, values in data.items()} == {
        "threshold": "0.5",
        "sentence": "At 0.5, 1.5 transactions are stopped a day, 7 of 10 of them fraud; 67 % of the frauds and 50 % of "
        "their money are caught, saving 242 EUR a day against no model.",
        "precision": "67 %",
        "recall": "67 %",
        "caught_share": "50 %",
        **both("alerts", "1.5", "3"),
        **both("true_positives", "1", "2"),
        **both("false_positives", "0.5", "1"),
        **both("false_negatives", "0.5", "1"),
        **both("true_negatives", "1", "2"),
        **both("caught_amount", "250 EUR", "500 EUR"),
        **both("missed_amount", "250 EUR", "500 EUR"),
        **both("declined_amount", "25.00 EUR", "50.00 EUR"),
        **both("accepted_amount", "15.00 EUR", "30.00 EUR"),
        **both("missed_cost", "250 EUR", "500 EUR"),
        **both("review_cost", "8 EUR", "15 EUR"),
        **both("declined_cost", "0 EUR", "1 EUR"),
        **both("caught_gain", "0 EUR", "0 EUR"),
        **both("cost", "258 EUR", "516 EUR"),
        **both("savings", "242 EUR", "484 EUR"),
    }
    assert data["sentence"][-1] == "At 1, nothing is stopped: frauds cost 500 EUR a day, as without a model."
    assert data["sentence"][0].startswith("At 0, everything is stopped, 5 of 10 of them fraud; 100 % of the frauds")


def test_it_says_so_where_stopping_nothing_or_everything_is_cheapest() -> None:
    scores = drawn(2000, 20)
    nothing = decision_section(scores, Costs(review=1e6), 0.5)
    assert "stopping nothing is cheapest on the test split" in text(nothing)
    assert "losing" in text(nothing)
    never = text(decision_section(scores, Costs(review=1e6), 2.0))
    assert "Above 1, nothing is stopped: frauds cost " in never
    # the least suspect is a fraud, and worth more than all reviews
    scores = scores_of([1, 0, 1], [0.9, 0.5, 0.1], amount=[10, 10, 1000])
    everything = decision_section(scores, COSTS, 0.5)
    assert "stopping everything is cheapest on the test split" in text(everything)
    assert "Are the costs right?" in text(everything)


def test_by_amount_the_models_own_way_stands_beside_single_thresholds() -> None:
    scores = drawn(2000, 50)
    stops = COSTS.worth_stopping(
        scores.of("candidate", "probability").astype(np.float64), scores.column("amount").astype(np.float64)
    )
    columns = {name: scores.column(name) for name in ("weight", "amount", "time")}
    scores = scores_of(scores.column("label"), scores.of("candidate", "probability"), **columns, decision=stops)
    parts = decision_section(scores, COSTS, 0.25, by="amount")
    ways = rows_of(parts)
    assert [row[0].split(",")[0] for row in ways[1:]] == [
        "as the model decides",
        "cheapest threshold here",
        "stop nothing",
        "stop everything",
    ]
    weights = scores.column("weight").astype(np.float64)
    cost = float(weights @ COSTS.of(stops, scores.column("label"), scores.column("amount")))
    assert ways[1][0] == "as the model decides, by amount"
    assert ways[1][7] == f"{money(cost / scores.days, 'EUR')} {money(cost, 'EUR')}"
    assert ", by the amount of each, " in text(parts)
    assert "the model's single threshold" in text(parts)
    # where the model decides by one threshold, the other way stands beside it, with the same figures
    beside = rows_of(decision_section(scores, COSTS, 0.25))
    assert beside[2][0] == "each where it pays for its amount"
    assert beside[2][1:] == ways[1][1:]


def test_without_amounts_it_counts() -> None:
    labels, probabilities = [1, 1, 0, 0], [0.9, 0.2, 0.6, 0.1]
    parts = decision_section(scores_of(labels, probabilities), COSTS, 0.5)
    words = text(parts)
    assert "The data has no amounts: what follows counts transactions, not money." in words
    assert "EUR" not in parts
    assert "a day" not in words  # nor are there times
    assert "The data has no times: counts and money are those of the whole test split." in words
    counted = ("alerts", "true_positives", "false_positives", "false_negatives", "true_negatives")
    figures = data_of(parts)["figures"]
    assert set(figures) == {
        *("threshold", "sentence", "precision", "recall", *counted, *(f"{name}_split" for name in counted))
    }
    assert set(figures["alerts_split"]) == {""}
    assert [row[0] for row in rows_of(parts)] == [
        "way to decide",
        "as the model decides, 0.5",
        "stop nothing",
        "stop everything",
    ]
    assert "Precision and recall by threshold" in words


def test_missing_amounts_are_counted_and_mentioned() -> None:
    words = text(decision_section(scores_of([1, 0], [0.9, 0.1], amount=[np.nan, 3]), COSTS, 0.5))
    assert "1 transaction has no amount and counts as 0 EUR." in words
    words = text(decision_section(scores_of([1, 0], [0.9, 0.1], amount=[np.nan, np.nan]), COSTS, 0.5))
    assert "2 transactions have no amount and count as 0 EUR." in words


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [([0, 0, 0], [0.1, 0.2, 0.9]), ([1, 1], [0.1, 0.9]), ([1, 0, 0], [0, 0, 0]), ([1, 0], [1, 1]), ([], [])],
)
@pytest.mark.parametrize("threshold", [0.0, 1e-9, 0.5, 1.0, 2.0])
def test_splits_with_little_in_them_have_a_section(labels: list, probabilities: list, threshold: float) -> None:
    stops = np.asarray(probabilities, np.float32) >= np.float32(threshold)
    scores = scores_of(labels, probabilities, amount=np.full(len(labels), 10.0), decision=stops)
    words = text(decision_section(scores, COSTS, threshold))
    assert ("The test split is empty." in words) == (not labels)
    assert "nan" not in words
    if labels and not any(labels) and stops.any():
        assert "none of them fraud; there was none to catch, losing" in words


def test_what_comes_from_the_config_is_shown_and_not_run() -> None:
    parts = decision_section(drawn(100, 10), Costs(currency=EVIL), 0.5)
    assert EVIL in text(parts)
    assert EVIL not in parts
    assert EVIL in data_of(parts)["figures"]["cost"][0]
    assert parts.count("<script") == parts.count("</script>") == 3


def test_it_stays_small_at_any_number_of_rows() -> None:
    sizes = [len(decision_section(drawn(rows, rows // 100), COSTS, 0.3)) for rows in (5000, 50_000)]
    assert max(sizes) < 300_000


# ---- in a browser


def _shown(name: str) -> str:
    return f'#decision [data-figure="{name}"]'


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    parts = decision_section(drawn(3000, 60), COSTS, 0.3)
    path.write_text(page("Report", parts, plotly=True))
    return path


def test_the_slider_starts_at_the_models_threshold_and_shows_what_another_comes_to(
    browser: Browser, report: Path
) -> None:
    scores = drawn(3000, 60)
    split = Split.from_scores(scores, COSTS)
    cutoffs = thresholds(split, 0.3)
    with browser.page() as shown:
        shown.open(report)
        assert shown.evaluate("document.querySelector('#threshold').labels.length") == 1
        assert int(shown.evaluate("document.querySelector('#threshold').value")) == cutoffs.model
        assert shown.text(_shown("threshold")) == "0.3"
        for at in (cutoffs.model, 0, 17, len(cutoffs) - 1):
            shown.fill("#threshold", at)
            stops = split.probabilities >= np.float32(cutoffs.values[at])
            weights, labels = split.transactions.weights, split.transactions.fraud
            cost = float(weights @ COSTS.of(stops, labels, split.transactions.amounts))
            (_, declined), (missed, caught) = confusion_matrix(labels, stops, sample_weight=weights)
            assert shown.text(_shown("cost")) == money(cost / scores.days, "EUR")
            for name, number in (
                ("true_positives", caught),
                ("false_negatives", missed),
                ("false_positives", declined),
            ):
                assert shown.text(_shown(name)) == count(number / scores.days)
                assert shown.text(_shown(f"{name}_split")) == count(number)
            assert shown.text(_shown("alerts")) == count((caught + declined) / scores.days)
            assert shown.text(_shown("recall")) == percent(caught / (caught + missed))
            assert shown.text(_shown("sentence")).startswith(f"At {cutoffs.texts[at]}, ")
            assert shown.evaluate("document.querySelector('#threshold').ariaValueText") in (None, cutoffs.texts[at])
            assert (
                shown.evaluate("document.querySelector('#threshold').getAttribute('aria-valuetext')")
                == (cutoffs.texts[at])
            )
            (height,) = shown.evaluate("document.querySelector('#cost-plot').data[1].y")
            assert height == pytest.approx(cost / scores.days, rel=1e-5)
        assert shown.errors == []
        assert shown.outside == []


def test_the_slider_moves_by_key_and_by_button(browser: Browser, report: Path) -> None:
    cutoffs = thresholds(Split.from_scores(drawn(3000, 60), COSTS), 0.3)
    with browser.page() as shown:
        shown.open(report)
        shown.evaluate("document.querySelector('#threshold').focus()")
        shown.press("ArrowRight")
        assert shown.text(_shown("threshold")) == cutoffs.texts[cutoffs.model + 1]
        shown.press("Home")
        assert shown.text(_shown("sentence")).startswith("At 0, everything is stopped, ")
        shown.press("End")
        assert shown.text(_shown("sentence")).startswith("At 1, nothing is stopped: ")
        shown.click(f"#decision button[data-position='{cutoffs.cheapest}']")
        assert shown.text(_shown("threshold")) == cutoffs.texts[cutoffs.cheapest]
        shown.click(f"#decision button[data-position='{cutoffs.model}']")
        assert shown.text(_shown("threshold")) == "0.3"
        assert shown.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_it_fits(browser: Browser, report: Path, scheme: str) -> None:
    with browser.page(width=390, scheme=scheme) as shown:
        shown.open(report)
        assert (shown.overflow, shown.too_wide) == (0, [])
        ink = shown.style("body", "color")
        assert shown.style("#cost-plot .xtick text", "fill") == ink
