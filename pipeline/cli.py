"""The command line: `fraud-pipeline`."""
# What takes long to import (TensorFlow, TFX, pydantic) is imported by the command that needs it: `--help` and a usage
# error must not wait for it.

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from pipeline.console import Terminal, announcer, complain, quiet, say, say_json, table
from pipeline.data.commands import announce, data_app, resolve, warn_of_roles
from pipeline.invocation import NAME, command
from pipeline.kubeflow.commands import kubeflow_app
from pipeline.options import EXIT_CODES, ConfigPath, ExitCode, Overrides, Verbose, chosen, examples

if TYPE_CHECKING:
    from components.report.summary import Summary
    from pipeline.config import Config
    from pipeline.data.initialize import Initialized
    from pipeline.runs import Run
    from trainer.columns import CsvFormat


Port = Annotated[
    int,
    typer.Option(
        min=1, max=65535, help="Where TensorBoard listens, on this machine alone, if it is free; else near it."
    ),
]


class Interrupted(Exception):
    """Ctrl-C, which typer would swallow; the message says what becomes of the command."""


class _Group(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            goes_on = "; the same command goes on from the last finished component"
            raise Interrupted(f"interrupted{goes_on if ctx.invoked_subcommand == 'run' else ''}") from interrupt


app = typer.Typer(
    name=NAME,
    cls=_Group,
    help="Card transactions in; a validated, tuned fraud model and a report out.",
    epilog=f"""{EXIT_CODES}

Completion of commands and options: --install-completion for every new shell,
eval "$({NAME} --show-completion)" for this one.""",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")
app.add_typer(kubeflow_app, name="kubeflow")


def main() -> NoReturn:
    """Runs the command line and exits with its code."""
    from trainer.errors import InputError

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a stream of its own kind, such as a test's
            # a name that the terminal's encoding does not have is no reason to fail
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code: Any
    try:
        code = app(prog_name=NAME, standalone_mode=False)
    except InputError as error:
        complain(str(error))
        code = ExitCode.BAD_INPUT
    except (Interrupted, KeyboardInterrupt, typer.Abort) as error:
        complain(str(error) or "interrupted")
        from trainer import interruption

        reason = error.__cause__
        if isinstance(reason, interruption.Interrupted):
            sys.stdout.flush()
            interruption.end_at_once(reason.exit_code)  # threads of Beam and TensorFlow may still be at work
        code = ExitCode.INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and (fault := _place_fault(error)):
            complain(fault)
            sys.exit(ExitCode.BAD_INPUT)
        # typer's own: an unknown option, a missing argument
        if not hasattr(error, "format_message"):
            raise
        _complain_about_usage(error)
        code = getattr(error, "exit_code", ExitCode.BAD_INPUT)
    sys.stdout.flush()
    sys.exit(int(code) if isinstance(code, int) else 0)


def _place_fault(error: OSError) -> str | None:
    """What is wrong with a file or folder of which no command says it better."""
    from trainer.places import is_of_a_place, place_fault

    try:
        os.getcwd()
    except OSError:
        return "the current folder was deleted; go to another"
    return f"{place_fault(error)}; make room or name another place" if is_of_a_place(error) else None


def _complain_about_usage(error: Any) -> None:
    if type(error).__name__ == "NoArgsIsHelpError":  # it has shown the help
        return
    complain(error.format_message())
    if error.ctx is not None:
        words = error.ctx.command_path.split()[1:]
        say(f"Its help: {command(*words, '--help')}", stderr=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(_versions())
        raise typer.Exit()


def _versions() -> str:
    """Of this package, and of what it stands on; read from the installed packages' metadata, which is quick."""
    from importlib.metadata import PackageNotFoundError, version

    def of(package: str) -> str:
        try:
            return version(package)
        except PackageNotFoundError:
            return "not installed"

    python = ".".join(map(str, sys.version_info[:3]))
    return f"{NAME} {of(NAME)} (TFX {of('tfx')}, TensorFlow {of('tensorflow')}, Python {python})"


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_show_version,
            help="Show the versions of the program, TFX, TensorFlow and Python.",
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command(
    epilog=examples(
        "run",
        "run --config fraud.yaml",
        "run --set data.path=transactions.csv --set workspace=trial",
        "run --set training.epochs=5 --set tuning.enabled=off",
    )
)
def run(config: ConfigPath = None, overrides: Overrides = None, verbose: Verbose = False) -> int:
    """Run the pipeline: from transactions to a pushed model and a report."""
    from pipeline.config import load
    from trainer import interruption

    loaded = load(config, overrides or ())
    log = loaded.logs / f"run-{time.strftime('%Y%m%d-%H%M%S')}.log"
    with quiet(log, verbose=verbose) as terminal, interruption.handled(announcer(terminal)):
        return _run(loaded, terminal, log, verbose, chosen(config, overrides))


def _run(config: Config, terminal: Terminal, log: Path, verbose: bool, configuration: Sequence[str]) -> int:
    """configuration: the words of a command that say the same one again."""
    from pipeline import metadata
    from pipeline.displays import RunDisplay
    from pipeline.imports import lean
    from trainer import interruption
    from trainer.errors import InputError
    from trainer.memory import limit_arenas, share_gpus

    limit_arenas()
    share_gpus()
    with RunDisplay(terminal) as display:

        def on_progress(what: str, done: int, total: int) -> None:
            interruption.check()
            display.advance(done, total, what)

        with display.step("data"):
            config, source = resolve(config, on_progress)
        announce(terminal, source)
        warn_of_roles(terminal, source, config)
        with display.step("imports"), lean():
            _quiet_tensorflow(verbose)
            # TFX 1.21's Beam executors read sys.argv for absl's flags; ours are none of theirs.
            sys.argv = sys.argv[:1]
            from pipeline.graph import create_pipeline
            from pipeline.local_runner import LocalRunner
            from pipeline.workspace_lock import exclusive

        runner = LocalRunner(display)
        try:
            with exclusive(config.root):
                metadata.check(config.metadata_path)
                runner.run(create_pipeline(config, source))
        except InputError as error:
            print_findings(terminal, error)
            raise
        except Exception as error:
            import logging

            from trainer.places import place_fault

            logging.getLogger(__name__).exception("the run failed")
            if fault := place_fault(error):
                raise InputError(
                    f"the run stopped, since a place that it needs can't be used: {fault}; make room or grant the "
                    f"rights, or take another workspace with --set workspace=PATH. The log has more: {log}"
                ) from error
            print_failure(terminal, error)
            terminal.say(f"The log has more: {log}")
            terminal.print("The same command goes on from the last finished component.")
            return ExitCode.RUN_FAILED
    return _conclude(config, terminal, runner.run_id, display.seconds, log, configuration)


def _quiet_tensorflow(verbose: bool) -> None:
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import warnings

        warnings.filterwarnings("ignore")


def print_findings(terminal: Terminal, error: Exception) -> None:
    """The data gate's findings as a table, those that stop the run first, where the error has some."""
    findings = getattr(error, "findings", None)
    if not findings:
        return
    shown = table("", "split", "column", "finding", "details", title="What is wrong with the data")
    for finding in sorted(findings, key=lambda finding: not finding.stops):
        weight = "stops the run" if finding.stops else "warning"
        shown.add_row(weight, finding.split, finding.column, finding.problem, finding.details)
    terminal.print(shown)


def print_failure(terminal: Terminal, error: Exception) -> None:
    """Why a run failed, in a few lines."""
    from rich.text import Text

    reason = " ".join(str(error).split()) or "no message"
    terminal.print()
    terminal.print(Text("The run failed:", style="bold red"), f"{type(error).__name__}: {reason[:500]}")


def _conclude(
    config: Config, terminal: Terminal, run_id: str, seconds: float, log: Path, configuration: Sequence[str]
) -> int:
    """The summary and the next commands."""
    from components.report.summary import read_summary
    from pipeline.runs import past_run

    past = past_run(config.metadata_path, run_id)
    summary = read_summary(str(Path(past.report).parent))
    terminal.print()
    print_summary(terminal, summary)
    next_steps = {
        command("review", *configuration): "the report and TensorBoard, in the browser",
        command("tensorboard", *configuration): "learning curves, precision-recall, hyperparameters",
        command("runs", *configuration): "this run beside earlier ones",
        command("data", "describe", *configuration): "what the transactions look like",
    }
    if config.tuning.enabled:
        longer = command("run", *configuration, "--set", "tuning.trials=40")
        next_steps[longer] = "a longer search, " + (
            "compared with this model" if summary.blessed else "or lower the bar, under evaluation in the config"
        )
    terminal.print()
    terminal.say(
        f"Done in {seconds:.0f} s.",
        f"Report (open it in a browser): {past.report}",
        f"Log: {log}",
        "",
        "Next:",
        *_beside_each_other(next_steps),
    )
    return ExitCode.DONE if summary.blessed else ExitCode.NOT_BLESSED


def _beside_each_other(purposes: Mapping[str, str]) -> Iterator[str]:
    """Commands and what each is for; below each other where the commands are long."""
    width = max(map(len, purposes))
    for suggestion, purpose in purposes.items():
        if width <= 60:
            yield f"  {suggestion:<{width}}  {purpose}"
        else:
            yield from (f"  {purpose}:", f"    {suggestion}")


def print_summary(terminal: Terminal, summary: Summary) -> None:
    """What a run came to: data, figures, the verdict, and where the model is."""
    from components.report.summary import figure_rows, split_rows, where

    terminal.print(summary.origin, style="bold")
    splits = table("split", "transactions", "frauds", "share of fraud in the data")
    for row in split_rows(summary):
        splits.add_row(*row)
    figures = table("on the test split", "new model", "in service")
    for row in figure_rows(summary):
        figures.add_row(*row)
    terminal.print(splits, figures)
    terminal.print(summary.weighting)
    if summary.search:
        terminal.print(f"{summary.search}.")
    for warning in summary.warnings:
        terminal.print(warning)
    terminal.print(f"{summary.verdict}.", style=f"bold {'green' if summary.blessed else 'red'}")
    for remark in summary.remarks:
        terminal.print(remark)
    terminal.say(where(summary))


@app.command(epilog=examples("check --config fraud.yaml", "check --set data.path=transactions.csv --show"))
def check(
    config: ConfigPath = None,
    overrides: Overrides = None,
    show: Annotated[bool, typer.Option("--show", help="Print the whole configuration, defaults included.")] = False,
    verbose: Verbose = False,
) -> int:
    """Say whether configuration, data and graph are in order, without running anything."""
    from pipeline.config import load
    from pipeline.displays import working
    from pipeline.imports import lean
    from trainer.errors import InputError

    loaded = load(config, overrides or ())
    with quiet(loaded.logs / "check.log", verbose=verbose) as terminal:
        with working(terminal) as on_progress:
            loaded, source = resolve(loaded, on_progress)
        announce(terminal, source)
        warn_of_roles(terminal, source, loaded)
        if show:
            print_config(terminal, loaded)
        with working(terminal) as on_progress:
            on_progress("reading the first rows", 0, 0)
            from components.reading.files import find_files
            from components.reading.readers import read_batches

            if not any(True for _ in read_batches(find_files(source.path)[0].path, loaded.roles, batch_rows=1000)):
                raise InputError(
                    f"{source.path} has a header but no rows; name a file with transactions under data.path"
                )
            on_progress("importing TensorFlow and TFX", 0, 0)
            _quiet_tensorflow(verbose)
            with lean():
                from pipeline.graph import create_pipeline
            on_progress("making the graph", 0, 0)
            graph = create_pipeline(loaded, source)
        terminal.print(f"Components: {', '.join(node.id for node in graph.components)}")
        terminal.say(f"Run it: {command('run', *chosen(config, overrides))}")
        terminal.print("Fine: the configuration, the columns and the graph are in order.", style="green")
    return ExitCode.DONE


def print_config(terminal: Terminal, config: Config) -> None:
    """The whole configuration as YAML."""
    import yaml

    values = config.model_dump(mode="json", by_alias=True)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    if not all(map(str.isprintable, text.split("\n"))):  # what the terminal writes out would not be what is meant
        text = yaml.safe_dump(values, sort_keys=False)
    for line in text.splitlines():
        terminal.say(line)


@app.command(epilog=examples("runs", "runs --config fraud.yaml", "runs --json"))
def runs(
    config: ConfigPath = None,
    overrides: Overrides = None,
    json_: Annotated[bool, typer.Option("--json", help="Everything about them, for programs: a JSON list.")] = False,
) -> int:
    """List past runs, the newest first."""
    from pipeline.config import load
    from pipeline.runs import past_runs

    loaded = load(config, overrides or ())
    past = past_runs(loaded.metadata_path)
    if json_:
        say_json([one.to_json() for one in past])
    elif past:
        print_runs(Terminal(), past)
    else:
        say(f"No runs in {loaded.root} yet; start one: {command('run', *chosen(config, overrides))}")
    return ExitCode.DONE


def print_runs(terminal: Terminal, past: Sequence[Run]) -> None:
    """A table that fits 80 columns; times are local."""
    from pipeline.data.sources import short_name

    several = len({one.pipeline for one in past}) > 1
    shown = table("started", *(["pipeline"] if several else []), "data", "average precision", "result", "took")
    shown.columns[0].no_wrap = True
    for one in past:
        shown.add_row(
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one.started)),
            *([one.pipeline] if several else []),
            short_name(one.data),
            "" if one.average_precision is None else f"{one.average_precision:.3f}",
            _result(one),
            _duration(one.seconds),
        )
    terminal.print(shown)


def _result(run: Run) -> str:
    if run.state != "done":
        return f"{run.state}, pushed" if run.pushed else run.state
    return "pushed" if run.pushed else "blessed" if run.blessed else "not blessed"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@app.command(epilog=examples("review", "review --config fraud.yaml --no-browser --port 8000"))
def review(
    config: ConfigPath = None,
    overrides: Overrides = None,
    run_id: Annotated[
        str | None, typer.Option("--run", help="A run's name, from `runs --json`; the newest finished one otherwise.")
    ] = None,
    port: Port = 6006,
    browser: Annotated[bool, typer.Option(help="Open both in the browser, or print the addresses alone.")] = True,
) -> int:
    """Open a run's report and TensorBoard in the browser, and serve until Ctrl-C."""
    from pipeline.config import load
    from pipeline.review import finished_run, serve

    loaded = load(config, overrides or ())
    start = command("run", *chosen(config, overrides))
    chosen_run = finished_run(loaded.metadata_path, run_id, start=start)
    try:
        serve(loaded.artifacts, loaded.logs / "tensorboard.log", port=port, run=chosen_run, browser=browser)
    except KeyboardInterrupt:
        return ExitCode.DONE
    except RuntimeError as error:
        complain(str(error))
        return ExitCode.RUN_FAILED


@app.command(epilog=examples("tensorboard", "tensorboard --config fraud.yaml --port 8000"))
def tensorboard(
    config: ConfigPath = None,
    overrides: Overrides = None,
    port: Port = 6006,
) -> int:
    """Serve TensorBoard on the learning curves and the searches' trials of all runs."""
    from pipeline.config import load
    from pipeline.review import serve
    from trainer.errors import InputError

    loaded = load(config, overrides or ())
    if not (loaded.artifacts / "Trainer" / "model_run").exists():
        start = command("run", *chosen(config, overrides))
        raise InputError(f"no training in {loaded.root} yet; start a run: {start}")
    try:
        serve(loaded.artifacts, loaded.logs / "tensorboard.log", port=port)
    except KeyboardInterrupt:
        return ExitCode.DONE
    except RuntimeError as error:
        complain(str(error))
        return ExitCode.RUN_FAILED


@app.command(
    epilog=examples(
        "init transactions.csv",
        "init 'days/*.parquet' --output days.yaml",
        "init paysim.csv --time-format hours --currency USD",
        "init orders.csv --label status --fraud-value Fraud",
        "check --config fraud.yaml",
    )
)
def init(
    data: Annotated[str, typer.Argument(help="A file, folder or glob of CSV or Parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The config to write.")] = Path("fraud.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
    label: Annotated[str | None, typer.Option(help="The column that says what was a fraud.")] = None,
    fraud_value: Annotated[
        list[str] | None, typer.Option(help="A value of the label that means fraud; repeat it for more.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="The column that says when the transaction happened.")] = None,
    time_format: Annotated[
        str | None, typer.Option(help="How the time is written: seconds, hours, days, epoch_ms, '%d/%m/%Y %H:%M' ...")
    ] = None,
    amount: Annotated[str | None, typer.Option(help="The column of the amount.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="The column that names the transaction.")] = None,
    entity: Annotated[
        list[str] | None, typer.Option(help="A column of who takes part, such as the card; repeat it for more.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Of the amounts, such as USD.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between two values of a CSV file.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of the text of a CSV file, such as cp1252.")] = None,
) -> int:
    """Look at transactions, propose what each column is, and write a config, a schema and a data card to review.

    All rows are read by what is proposed before anything is written, so that the config works. What only you can know
    it asks for.
    """
    from pipeline.data.draft import Choices
    from pipeline.data.initialize import Places, initialize
    from pipeline.displays import working
    from pipeline.imports import lean
    from trainer.errors import InputError
    from trainer.places import expanded

    written = {key: value for key, value in (("delimiter", delimiter), ("encoding", encoding)) if value is not None}
    if currency is not None and not re.fullmatch(r"[A-Za-z]{3}|[^\w\s]{1,3}", currency):
        raise InputError(f"--currency takes a code such as USD, got {currency!r}")
    choices = Choices(
        label=label,
        fraud_values=tuple(fraud_value or ()),
        time=time,
        time_format=time_format,
        amount=amount,
        id=id_,
        entities=tuple(entity or ()),
        currency=currency,
        csv=_csv_format(written),
    )
    places = Places.beside(expanded(output), data)
    places.check(data, force=force)
    terminal = Terminal()
    _quiet_tensorflow(False)
    with quiet(Path(os.devnull), verbose=False) as other, working(other) as on_progress, lean():
        proposed = initialize(data, choices, places, on_progress)
    print_proposal(terminal, proposed)
    proposed.write(places)
    *most, last = map(str, places.all)
    terminal.say(f"Wrote {', '.join(most)} and {last}. Review them, then:")
    for next_step in ("check", "run"):
        terminal.say(f"  {command(next_step, *chosen(output, None))}")
    return ExitCode.DONE


def _csv_format(written: dict[str, str]) -> CsvFormat:
    from pydantic import ValidationError

    from trainer.columns import CsvFormat
    from trainer.errors import InputError, faults

    try:
        return CsvFormat(**{key: "\t" if value == "\\t" else value for key, value in written.items()})
    except ValidationError as error:
        said = "; ".join(f"--{fault.where[0]}: {fault.text}" for fault in faults(error, written))
        raise InputError(said) from error


def print_proposal(terminal: Terminal, proposed: Initialized) -> None:
    """What each column is taken for, and why; then what a person has to look at."""
    proposal = proposed.proposal
    shown = table("role", "column", "why")
    for column, reason in proposal.reasons.items():
        shown.add_row(proposal.role(column), column, reason)
    terminal.print(shown)
    for doubt in proposal.doubts:
        terminal.print(f"Look at this: {doubt}.", style="yellow")
    for finding in proposed.findings:
        terminal.print(f"{finding.column} in {finding.split}: {finding.problem}: {finding.details}", style="yellow")
    terminal.print(f"Bars for a model to be pushed: {proposed.bars.sentence}.")
    if proposal.columns.amount and not proposal.currency:
        terminal.print("In which currency the amounts are, nothing shows: set costs.currency, or give --currency.")
