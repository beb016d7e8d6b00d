"""The command line: help, exit codes and the commands that run no pipeline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Finished

from pipeline.escaping import on_terminal

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "arguments", [[], ["run"], ["check"], ["runs"], ["data"], ["data", "describe"], ["init"], ["review"]]
)
def test_help_tells_every_command(fraud_pipeline, arguments):
    shown = fraud_pipeline(*arguments, "--help")
    assert shown.code == 0
    assert "Usage" in shown.output


def test_help_and_the_configuration_import_nothing_heavy():
    code = (
        "import sys, pipeline.cli, pipeline.config, components.properties\n"
        "pipeline.config.load()\n"
        "print([name for name in ('tensorflow', 'tfx', 'apache_beam', 'keras', 'pandas', 'pyarrow', 'plotly')\n"
        "  if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--set", "training.epoch=1"), "did you mean epochs?"),
        (("run", "--set", "data.path=/nowhere/x.csv"), "/nowhere/x.csv"),
        (("run", "--config", "nowhere.yaml"), "no configuration nowhere.yaml"),
        (("run", "--unknown"), "No such option"),
        (("run", "--set", "workspace=/nowhere/[1]"), "has one of * ? [ \\ in its path"),
        (("check", "--set", "data.split.by=day"), "'time' or 'random', got 'day'"),
        (("init", "/nowhere/x.csv"), "/nowhere/x.csv"),
        (("data", "synthesize", "--rows", "0"), "rows"),
    ],
)
def test_bad_input_ends_with_2_and_a_sentence(fraud_pipeline, tmp_path, arguments, message):
    if arguments[0] in ("run", "check") and "workspace" not in arguments[-1]:
        arguments = (*arguments, "--set", f"workspace={tmp_path}")
    done = fraud_pipeline(*arguments)
    assert done.code == 2, done.output
    assert message in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_data_that_the_environment_names_must_exist(fraud_pipeline, tmp_path):
    done = fraud_pipeline(
        "data", "describe", "--set", f"workspace={tmp_path}", environment={"FRAUD_PIPELINE_DATA": "/nowhere/a.csv"}
    )
    assert done.code == 2
    assert "FRAUD_PIPELINE_DATA" in done.output


def test_check_shows_the_whole_configuration_and_runs_nothing(fraud_pipeline, transactions, tmp_path):
    arguments = ("--set", f"workspace={tmp_path}", "--set", f"data.path={transactions}")
    done = fraud_pipeline("check", "--show", *arguments)
    assert done.code == 0, done.output
    assert "max_average_precision_loss" in done.output
    assert "Transform, Challengers, Tuner, Trainer, CurrentModel, Evaluator, Pusher, Report" in done.output
    assert not (tmp_path / "metadata.db").exists()


def test_check_finds_a_column_that_is_not_there(fraud_pipeline, transactions, tmp_path):
    settings = ("--set", f"workspace={tmp_path}", "--set", f"data.path={transactions}")
    done = fraud_pipeline("check", *settings, "--set", "columns.amount=Amout")
    assert done.code == 2
    output = " ".join(done.output.split())
    assert "no column 'Amout'" in output
    assert "nearest: 'Amount'" in output


def test_columns_and_files_may_be_called_anything_and_the_commands_that_are_suggested_work(fraud_pipeline, tmp_path):
    folder = tmp_path / "it's $HOME; (x)"
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = [
        "[/]",
        "[bold]a[/bold]",
        ":warning:",
        "c\x1b[31m",
        "two\nlines",
        "\u202eltr",
        "Größe 金額",
        "a: \"b\" 'c' #",
    ]
    frame = pd.DataFrame({name: rng.normal(size=500) for name in names})
    frame["[amount]"] = rng.exponential(50, 500).round(2)
    frame["shop\x1b]0;title\x07"] = rng.choice(["[/]", "\x1b[2J", "b"], 500)
    frame["only\x9b"] = "\x1b[2J"
    frame["time\t"] = np.arange(500)
    frame["is_fraud"] = (rng.random(500) < 0.1).astype(int)
    frame.to_csv(folder / "pay [1] & 'x'.csv", index=False)

    def printed(done: Finished) -> str:
        assert done.code == 0, done.output
        assert [line for line in done.output.split("\n") if not line.isprintable()] == []
        return done.output

    proposed = printed(fraud_pipeline("init", "pay [1] & 'x'.csv", "-o", "my [b] config's.yaml", folder=folder))
    assert [name for name in names if on_terminal(name) not in proposed] == []
    check, run = (line.strip() for line in proposed.splitlines()[-2:])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(["bash", "-c", check], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        f"Run it: {run}",
        "Fine: the configuration, the columns and the graph are in order.",
    ]
    printed(fraud_pipeline("data", "describe", "--config", "my [b] config's.yaml", folder=folder))
    assert (folder / "workspace" / "describe.html").is_file()


def test_runs_is_empty_before_the_first(fraud_pipeline, tmp_path):
    settings = ("--set", f"workspace={tmp_path}")
    assert json.loads(fraud_pipeline("runs", "--json", *settings).output) == []
    assert f" run --set workspace={tmp_path}\n" in fraud_pipeline("runs", *settings).output
    tensorboard = fraud_pipeline("tensorboard", *settings)
    assert tensorboard.code == 2
    assert "start a run" in tensorboard.output
    review = fraud_pipeline("review", *settings)
    assert review.code == 2
    assert "no runs in" in review.output
    assert "start one: fraud-pipeline run" in review.output


def test_synthesize_then_describe(fraud_pipeline, tmp_path):
    data, page = tmp_path / "drawn.csv", tmp_path / "page.html"
    assert fraud_pipeline("data", "synthesize", "--rows", "2000", "--fraud-rate", "0.02", "-o", str(data)).code == 0
    frame = pd.read_csv(data)
    assert (len(frame), frame["Class"].sum()) == (2000, 40)
    shown = fraud_pipeline("data", "describe", str(data), "--html", str(page))
    assert shown.code == 0, shown.output
    assert "SYNTHESIZED" in shown.output
    # the tutorial's table, as pandas prints it
    for figure in frame["Amount"].describe()[["mean", "std", "max"]]:
        assert f"{figure:.6f}" in shown.output
    assert "SYNTHESIZED" in page.read_text()


def test_an_interrupted_and_a_second_run_do_not_share_a_workspace(fraud_pipeline, transactions, tmp_path):
    import fcntl

    with open(tmp_path / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = fraud_pipeline("run", "--set", f"workspace={tmp_path}", "--set", f"data.path={transactions}")
    assert done.code == 2, done.output
    assert "another run is going on" in " ".join(done.output.split())
