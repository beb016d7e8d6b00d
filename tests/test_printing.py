"""Whatever a column, a file, a model or an error is called, the terminal shows it and obeys none of it."""

from __future__ import annotations

import contextlib
import io
import re
import time
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from components.evaluation.bars import ProposedBars
from components.findings import BadData, Finding
from components.report.summary import Summary
from pipeline import cli
from pipeline.config import Config
from pipeline.console import Terminal, complain, pass_on
from pipeline.data.commands import announce
from pipeline.data.describe import Description, as_text
from pipeline.data.initialize import Initialized
from pipeline.data.proposal import Proposal
from pipeline.data.sources import DataCard, Source, short_name
from pipeline.displays import RunDisplay, working
from pipeline.escaping import on_terminal
from pipeline.kubeflow.commands import print_tasks
from pipeline.kubeflow.following import Task
from pipeline.runs import Run
from tests.support.hostile import HOSTILE, TEXTS
from trainer.columns import Columns
from trainer.metrics import Interval
from trainer.progress import Progress, report
from trainer.sampling import SamplingRates


def table(terminal: Terminal, text: str) -> None:
    shown = Table(text, title=text, caption=text)
    shown.add_row(text)
    terminal.print(shown)


def findings(terminal: Terminal, text: str) -> None:
    cli.print_findings(terminal, BadData([Finding(text, text, text, text, stops=True)]))


def summary(terminal: Terminal, text: str) -> None:
    figures = {"average_precision": 0.5, "savings": 10.0}
    cli.print_summary(
        terminal,
        Summary(
            origin=text,
            weighting=text,
            splits=[{"name": text, "rows": 10, "frauds": 1}],
            metrics=figures,
            current_metrics=figures,
            current_version=text,
            blessed=False,
            reasons=[text],
            pushed_to=text,
            pushed_version=text,
            threshold=0.5,
            findings=[{"column": text}],
            search=text,
            notes=[text],
            currency=text,
        ),
    )


def config(terminal: Terminal, text: str) -> None:
    card = {"name": text, "source": text}
    path = "a" + text.encode("utf-8", "ignore").decode().replace("\0", "")
    cli.print_config(terminal, Config.model_validate({"data": {"path": path, "card": card}, "workspace": "w"}))


def proposal(terminal: Terminal, text: str) -> None:
    nothing = Interval(0.5, 0.5)
    proposed = Proposal(Columns(label=text or "label", amount=f"a {text}"), {text: text}, 1, {text: "label"}, (text,))
    finding = Finding("train", text, text, text, stops=False)
    bars = ProposedBars(0.5, nothing, 0.5, nothing, 0.5, 1, 1, 1)
    cli.print_proposal(terminal, Initialized(proposed, text, text, text, (finding,), bars))


def runs(terminal: Terminal, text: str) -> None:
    cli.print_runs(terminal, [Run(text, text, 0.0, 1.0, text, text, 0.5, True, True, text, text)])
    cli.print_runs(terminal, [Run(text, name, 0.0, 1.0, text, text, 0.5, True, True, text, text) for name in "ab"])


def description(terminal: Terminal, text: str) -> None:
    amounts = pd.DataFrame({"all": [1.0]}, index=[text])
    columns = Columns(label=f"label {text}", amount=text or "amount")
    missing, correlation = {text: 1}, pd.DataFrame()
    terminal.print(
        as_text(
            Description(text, 2, 1, SamplingRates(), columns, None, None, amounts, 0, missing, {}, correlation),
        )
    )


def display(terminal: Terminal, text: str) -> None:
    with RunDisplay(terminal) as run:
        run.started(text)
        run.advance(1, 2, text)
        report(Progress(text, 1, 2, text))
        run.steps.say()
        run.finished(text, 1.0, cached=False)
        run.failed(text, 1.0)


def steps(terminal: Terminal, text: str) -> None:
    with working(terminal, every=1000.0) as on_progress:
        on_progress(text, 1, 2)
        terminal.say(text)


def errors(terminal: Terminal, text: str) -> None:
    with contextlib.redirect_stderr(terminal.file):
        complain(text)


PRINTED: list[Callable[[Terminal, str], None]] = [
    Terminal.say,
    lambda terminal, text: terminal.print(text, style="bold"),
    lambda terminal, text: terminal.print(Text(f"a {text}", style="red"), text),
    lambda terminal, text: announce(terminal, Source(text, DataCard(name=text), text, text)),
    lambda terminal, text: cli.print_failure(terminal, ValueError(text)),
    proposal,
    lambda terminal, text: print_tasks(terminal, text, [Task(text, text, 1.0)]),
    table,
    findings,
    summary,
    config,
    runs,
    description,
    display,
    steps,
    errors,
]


@pytest.mark.parametrize("printed", PRINTED)
@settings(max_examples=40)
@given(text=TEXTS, width=st.sampled_from([12, 80, 10_000]))
def test_nothing_that_is_printed_is_obeyed(printed, text, width):
    terminal = Terminal(io.StringIO(), width=width)
    printed(terminal, text)
    assert [line for line in terminal.file.getvalue().split("\n") if not line.isprintable()] == []


@pytest.mark.parametrize("printed", PRINTED)
def test_on_a_colourful_terminal_there_are_its_own_colours_alone(printed, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    for text in HOSTILE:
        terminal = Terminal(io.StringIO(), width=200)
        assert terminal.is_terminal
        printed(terminal, text.replace("\x1b[", "\x1b]"))
        # colours; a cursor hidden and shown, lines erased and gone up, for what is drawn anew
        left = re.sub(r"\x1b\[(\d+(;\d+)*m|\?25[lh]|2K|1A)|\r", "", terminal.file.getvalue())
        assert [line for line in left.split("\n") if not line.isprintable()] == []


@pytest.mark.parametrize("printed", [one for one in PRINTED if one not in (config, errors, summary)])
@pytest.mark.parametrize(
    "text", ["[/]", "[bold red]urgent[/bold red]", ":warning:", "a\x1b[31mb", "a\x07b", "a\u202eb"]
)
def test_nothing_vanishes(printed, text):
    terminal = Terminal(io.StringIO(), width=10_000)
    printed(terminal, text)
    assert on_terminal(text) in terminal.file.getvalue()


def test_an_error_has_further_lines_of_its_own_that_pass_for_no_other(capsys):
    complain("fraud.yaml has 2 faults:\n  a: missing\n  b: missing\nFine: all in order")
    assert capsys.readouterr().err == (
        "error: fraud.yaml has 2 faults:\n  a: missing\n  b: missing\n  Fine: all in order\n"
    )


def test_a_log_is_passed_on_as_it_is_but_to_a_terminal(capsys, monkeypatch):
    log = "epoch 1\t[bold]\x1b[31m\nepoch 2"
    pass_on(log)
    assert capsys.readouterr().out == f"{log}\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    pass_on(f"{log}\n")
    assert capsys.readouterr().out == "epoch 1 [bold]\\x1b[31m\nepoch 2\n"


def run(**values: object) -> Run:
    known = {
        "run_id": "2026-11-30T14:05:11.501234",
        "pipeline": "fraud",
        "started": time.mktime((2026, 11, 30, 14, 5, 11, 0, 0, -1)),
        "seconds": 27.4,
        "state": "done",
        "data": "REAL transactions: the ULB credit card data, 284,807 rows",
        "average_precision": 0.8123,
        "blessed": True,
        "pushed": True,
        "model": "/serving/1",
        "report": "/report.html",
    }
    return Run(**{**known, **values})


def test_a_list_of_runs_fits_80_columns_and_cuts_nothing():
    origin = (
        "SYNTHESIZED transactions (not real) from /a/b/c/a long name of a file with transactions.csv.gz, as its data"
    )
    past = [
        run(),
        run(data=f"{origin} card says: drawn", pushed=False, seconds=2700.0, average_precision=None),
        run(blessed=False, pushed=False, seconds=20_000.0),
        run(state="interrupted", blessed=None, pushed=True),
        run(state="failed", blessed=None, pushed=None, pipeline="shop-with-a-long-name"),
    ]
    terminal = Terminal(io.StringIO(), width=80)
    cli.print_runs(terminal, past)
    shown = terminal.file.getvalue()
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    wide = Terminal(io.StringIO(), width=200)
    cli.print_runs(wide, past[:4])
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in wide.file.getvalue().splitlines() if "│" in line
    ]
    assert rows == [
        ["2026-11-30 14:05", "REAL ULB credit card data", "0.812", "pushed", "27 s"],
        [
            "2026-11-30 14:05",
            "SYNTHESIZED a long name of a file with transactions.csv.gz",
            "",
            "blessed",
            "45 min",
        ],
        ["2026-11-30 14:05", "REAL ULB credit card data", "0.812", "not blessed", "5.6 h"],
        ["2026-11-30 14:05", "REAL ULB credit card data", "0.812", "interrupted, pushed", "27 s"],
    ]


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("Transactions from /data/payments.csv, of unknown origin: no data card beside it", "payments.csv"),
        ("Transactions from gs://bucket/days/*.parquet, of unknown origin: no data card beside it", "days/*.parquet"),
        ("REAL transactions from days/, as its data card says: mine; a sample of 1 of the frauds", "REAL days"),
        ("SYNTHESIZED transactions (not real): 25,000 rows drawn from a generator", "SYNTHESIZED 25,000 rows"),
        ("something else: of an earlier version, and so on", "something else"),
        ("", ""),
    ],
)
def test_data_have_a_short_name(origin, name):
    assert short_name(origin) == name
