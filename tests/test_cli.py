"""The command line: help, exit codes and the commands that run no pipeline."""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer

from pipeline import cli
from pipeline.config import load
from pipeline.escaping import on_terminal
from pipeline.options import EXIT_CODES, ExitCode
from tests.support.command_line import Finished

ROOT = Path(__file__).resolve().parents[1]


def commands(group: Any, *words: str) -> Iterator[tuple[str, ...]]:
    """The words of all commands, and of the groups that they are in."""
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *words, name)


ROOT_COMMAND = typer.main.get_command(cli.app)
COMMANDS = list(commands(ROOT_COMMAND))


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of a command in this process."""
    monkeypatch.setattr(sys, "argv", ["fraud-pipeline", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_there_and_complete(words, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert called(monkeypatch, *words, "--help") == 0
    shown = capsys.readouterr().out
    assert called(monkeypatch, *words, "-h") == 0
    assert capsys.readouterr().out == shown
    assert f"Usage: {' '.join(['fraud-pipeline', *words])} " in shown
    # every option says what it is for
    options = [line for line in shown.splitlines() if line.lstrip("│ ").startswith("--")]
    assert all(line.strip("│ ").split("  ")[-1].strip().count(" ") >= 1 for line in options), options
    # and an example is a line that can be copied
    command = ROOT_COMMAND
    for word in words:
        command = command.commands[word]
    examples = [line for line in command.epilog.splitlines() if line.startswith("fraud-pipeline ")]
    assert examples or words in ((), ("kubeflow",))
    assert [line for line in examples if f" {line} " not in shown] == []


def test_the_examples_of_the_help_are_commands_that_there_are():
    examples = {
        line
        for words in COMMANDS
        for line in functools.reduce(lambda group, word: group.commands[word], words, ROOT_COMMAND).epilog.splitlines()
        if line.startswith("fraud-pipeline ")
    }
    for line in examples:
        command, (_, *arguments) = ROOT_COMMAND, shlex.split(line)
        while hasattr(command, "commands"):
            command, arguments = command.commands[arguments[0]], arguments[1:]
        context = command.make_context(command.name, list(arguments))  # raises where an option or argument is wrong
        load(overrides=context.params.get("overrides") or ())
    assert len(examples) > 20


def test_the_versions_are_said_without_importing_anything_heavy(monkeypatch, capsys):
    assert called(monkeypatch, "--version") == 0
    installed = {name: metadata.version(name) for name in ("fraud-pipeline", "tfx", "tensorflow")}
    python = platform.python_version()
    assert capsys.readouterr().out == (
        "fraud-pipeline {fraud-pipeline} (TFX {tfx}, TensorFlow {tensorflow}, ".format(**installed)
        + f"Python {python})\n"
    )


def test_bash_completes_commands_and_options_as_the_help_says(tmp_path):
    script = tmp_path / "fraud-pipeline"
    script.write_text(f"#!{sys.executable}\nfrom pipeline.cli import main\nmain()\n")
    script.chmod(0o755)
    words = {
        "ru": {"run", "runs"},
        "data s": {"synthesize"},
        "run --ver": {"--verbose"},
        "kubeflow schedule --e": {"--every", "--enable", "--endpoint"},
    }
    lines = [
        'eval "$(fraud-pipeline --show-completion)"',
        *(
            f"COMP_WORDS=(fraud-pipeline {typed}); COMP_CWORD={len(typed.split())}; "
            '_fraud_pipeline_completion fraud-pipeline; echo "${COMPREPLY[@]}"'
            for typed in words
        ),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash"], input="\n".join(lines), env=environment, capture_output=True, text=True, check=True)
    assert [set(line.split()) for line in done.stdout.splitlines()] == list(words.values()), done.stderr
    assert lines[0] in ROOT_COMMAND.epilog


def test_ctrl_c_ends_with_130_and_a_sentence(monkeypatch, capsys):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.config.load", interrupt)
    assert called(monkeypatch, "runs") == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "error: interrupted\n"
    assert called(monkeypatch, "run") == ExitCode.INTERRUPTED
    assert "the same command goes on" in capsys.readouterr().err


def test_the_help_tells_the_exit_codes():
    codes = dict(re.findall(r"(\d+) (\w[\w ]*)", EXIT_CODES))
    assert {int(code) for code in codes} == set(ExitCode)


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
        (("run", "--set", "workspace=/nowhere/[1]"), "has [ and ] in its path"),
        (("check", "--set", "data.split.by=day"), "'time' or 'random', got 'day'"),
        (
            ("check", "--set", f"workspace={__file__}"),
            f"a file where a folder is needed ({__file__}); set workspace to a folder that can be written",
        ),
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
    frame["time\t"] = np.arange(500) * 60
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
    (page,) = folder.glob("workspaces/*/describe.html")
    assert page.is_file()


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
    assert f"run --set workspace={tmp_path}" in review.output


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

    (tmp_path / "metadata.db").write_text("which the other run is still making")
    with open(tmp_path / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = fraud_pipeline("run", "--set", f"workspace={tmp_path}", "--set", f"data.path={transactions}")
    assert done.code == 2, done.output
    assert "another run is going on" in " ".join(done.output.split())
