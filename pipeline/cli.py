"""The command line: `fraud-pipeline`."""
# What takes long to import (TensorFlow, TFX, pydantic) is imported by the command that needs it: `--help` and a usage
# error must not wait for it.

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from pipeline.kubeflow.commands import kubeflow_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from components.report.component import Summary
    from pipeline.config import Config
    from pipeline.data.sources import Source

RUN_FAILED, BAD_INPUT, NOT_BLESSED = 1, 2, 3

app = typer.Typer(
    name="fraud-pipeline",
    help="Card transactions in; a validated, tuned fraud model and a report out.",
    epilog="Exit codes: 0 done, 1 run failed, 2 bad configuration or input, 3 not blessed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
data_app = typer.Typer(help="Get, make and look at transactions.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(kubeflow_app, name="kubeflow")

ConfigPath = Annotated[
    Path | None, typer.Option("--config", "-c", help="A YAML file; configs/local.yaml where not given.")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Overrides a key: --set training.epochs=1; repeat for more.")
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show what TensorFlow, Beam and TFX print.")]


def main() -> NoReturn:
    """Runs the command line and exits with its code."""
    from trainer.errors import InputError

    try:
        code = app(standalone_mode=False)
    except InputError as error:
        _complain(str(error))
        code = BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted; the same command goes on from the last finished component")
        code = 130
    except Exception as error:
        # typer's own: an unknown option, a missing argument
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        code = getattr(error, "exit_code", BAD_INPUT)
    sys.stdout.flush()
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)


@app.command()
def run(config: ConfigPath = None, set_: Set = None, verbose: Verbose = False) -> int:
    """Run the pipeline: from transactions to a pushed model and a report."""
    from pipeline.config import load
    from pipeline.console import quiet

    loaded = load(config, set_ or ())
    log = loaded.logs / f"run-{time.strftime('%Y%m%d-%H%M%S')}.log"
    with quiet(log, verbose=verbose) as console:
        given = "".join(
            [
                f" --config {shlex.quote(str(config))}" if config else "",
                *(f" --set {shlex.quote(s)}" for s in set_ or ()),
            ]
        )
        return _run(loaded, console, log, verbose, given)


def _run(config: Config, console: Console, log: Path, verbose: bool, given: str) -> int:
    """`given` is what followed `run` on the command line, for the commands to try next."""
    from pipeline import metadata
    from pipeline.console import RunDisplay
    from pipeline.imports import lean
    from trainer.errors import InputError
    from trainer.memory import limit_arenas, share_gpus

    metadata.check(config.metadata_path)
    limit_arenas()
    share_gpus()
    with RunDisplay(console) as display:
        with _step(display, "data"):
            config, source = _resolve(config, lambda what, done, total: display.advance(done, total, what))
        _announce(console, source)
        with _step(display, "imports"), lean():
            _quiet_tensorflow(verbose)
            # TFX 1.21's Beam executors read sys.argv for absl's flags; ours are none of theirs.
            sys.argv = sys.argv[:1]
            from pipeline.graph import create_pipeline
            from pipeline.local_runner import LocalRunner, exclusive

        runner = LocalRunner(display)
        try:
            with exclusive(config.root):
                runner.run(create_pipeline(config, source))
        except InputError as error:
            _findings_table(console, error)
            raise
        except Exception as error:
            import logging

            logging.getLogger(__name__).exception("the run failed")
            reason = " ".join(str(error).split()) or "no message"
            console.print(f"\n[bold red]The run failed:[/] {type(error).__name__}: {reason[:500]}", highlight=False)
            console.print(f"The log says more: {log}\nThe same command goes on from the last finished component.")
            return RUN_FAILED
    return _conclude(config, console, runner.run_id, display.seconds, log, given)


def _step(display: Any, name: str) -> Any:
    """A context that shows `name` as a component of the run."""
    from contextlib import contextmanager

    @contextmanager
    def step() -> Any:
        start = time.monotonic()
        display.started(name)
        try:
            yield
        except BaseException:
            display.failed(name, time.monotonic() - start)
            raise
        display.finished(name, time.monotonic() - start, cached=False)

    return step()


def _quiet_tensorflow(verbose: bool) -> None:
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import warnings

        warnings.filterwarnings("ignore")


def _resolve(config: Config, on_progress: Callable[[str, int, int], None]) -> tuple[Config, Source]:
    """The config, completed by the data card, and which data it is."""
    from pipeline.data import sources

    source = sources.resolve(
        config.data.path,
        synthesize_rows=config.data.synthesize.rows,
        synthesize_seed=config.data.synthesize.seed,
        cache=config.synthesized,
        on_progress=on_progress,
    )
    return config.completed(source.card.sampling_rates, source.card.roles), source


def _announce(console: Console, source: Source) -> None:
    from rich.panel import Panel
    from rich.text import Text

    said = Text(source.origin, style="bold")
    if source.note:
        said.append(f"\n{source.note}", style="not bold")
    console.print(Panel(said, border_style="yellow", title="data", title_align="left"))


def _command() -> str:
    """How this command line is called from here: by its name where the PATH has it, else by its path."""
    called = Path(sys.argv[0])
    if called.name != "fraud-pipeline":
        return f"{sys.executable} -m pipeline"
    if shutil.which("fraud-pipeline"):
        return "fraud-pipeline"
    return os.path.relpath(called)


def _findings_table(console: Console, error: Exception) -> None:
    """The gate's findings as a table, where the error has some."""
    findings = getattr(error, "findings", None)
    if not findings:
        return
    from rich.table import Table

    table = Table("split", "column", "finding", "details", title="What is wrong with the data", title_justify="left")
    for finding in findings:
        if finding.stops:
            table.add_row(finding.split, finding.column, finding.problem, finding.details)
    console.print(table)


def _conclude(config: Config, console: Console, run_id: str, seconds: float, log: Path, given: str) -> int:
    """The summary and the next commands."""
    from components.report.component import read_summary
    from pipeline.runs import past_run

    past = past_run(config.metadata_path, run_id)
    summary = read_summary(str(Path(past.report).parent))
    console.print()
    _print_summary(console, summary)
    command = _command()
    steps = {
        f"{command} review{given}": "the report and TensorBoard, in the browser",
        f"{command} tensorboard{given}": "learning curves, precision-recall, hyperparameters",
        f"{command} runs{given}": "this run beside earlier ones",
        f"{command} data describe{given}": "what the transactions look like",
    }
    if config.tuning.enabled:
        compared = "compared with this model" if summary.blessed else "or lower the bar, under evaluation in the config"
        steps[f"{command} run{given} --set tuning.trials=40"] = f"a longer search, {compared}"
    width = max(map(len, steps))
    lines = "\n".join(f"  {command:<{width}}  {why}" for command, why in steps.items())
    console.print(
        f"\nDone in {seconds:.0f} s.\nReport (open it in a browser): {past.report}\nLog: {log}\n\nNext:\n{lines}",
        highlight=False,
        soft_wrap=True,
    )
    return 0 if summary.blessed else NOT_BLESSED


def _print_summary(console: Console, summary: Summary) -> None:
    from rich.markup import escape
    from rich.table import Table

    from components.report.component import figure_rows, split_rows, where

    console.print(f"[bold]{escape(summary.origin)}[/]", highlight=False)
    splits = Table("split", "transactions", "frauds", "share of fraud in the data")
    for row in split_rows(summary):
        splits.add_row(*row)
    figures = Table("on the test split", "new model", "in service")
    for row in figure_rows(summary):
        figures.add_row(*row)
    console.print(splits, figures)
    console.print(summary.weighting, highlight=False)
    if summary.search:
        console.print(f"{summary.search}.", highlight=False)
    drifted = sorted({finding["column"] for finding in summary.findings})
    if drifted:
        console.print(f"Drift against the training data, see the report: {', '.join(drifted)}.", highlight=False)
    console.print(f"[bold {'green' if summary.blessed else 'red'}]{summary.verdict}.[/]", highlight=False)
    for remark in summary.remarks:
        console.print(remark, highlight=False)
    console.print(where(summary), highlight=False, soft_wrap=True)


@app.command()
def check(config: ConfigPath = None, set_: Set = None, verbose: Verbose = False) -> int:
    """Validate config, data and graph without running anything."""
    from pipeline.config import load
    from pipeline.console import quiet

    loaded = load(config, set_ or ())
    with _bar() as on_progress:
        loaded, source = _resolve(loaded, on_progress)
    with quiet(loaded.logs / "check.log", verbose=verbose) as console:
        from components.reading.files import find_files
        from components.reading.readers import read_batches
        from pipeline.imports import lean

        first = next(iter(read_batches(find_files(source.path)[0].path, loaded.roles, batch_rows=1000)), None)
        _quiet_tensorflow(verbose)
        with lean():
            from pipeline.graph import create_pipeline

        graph = create_pipeline(loaded, source)
        _announce(console, source)
        import yaml

        console.print(
            yaml.safe_dump(json.loads(loaded.model_dump_json(by_alias=True)), sort_keys=False), highlight=False
        )
        console.print(f"Components: {', '.join(node.id for node in graph.components)}", highlight=False)
        if first is None:
            from trainer.errors import InputError

            raise InputError(f"{source.path} has a header but no rows; name a file with transactions under data.path")
        console.print("[green]The configuration, the columns and the graph are in order.[/]")
    return 0


@app.command()
def runs(
    config: ConfigPath = None,
    set_: Set = None,
    json_: Annotated[bool, typer.Option("--json", help="The same for programs, as a JSON list.")] = False,
) -> int:
    """List past runs, the newest first."""
    from pipeline.config import load
    from pipeline.runs import past_runs

    loaded = load(config, set_ or ())
    past = past_runs(loaded.metadata_path)
    if json_:
        print(json.dumps([one.to_json() for one in past], indent=2))
        return 0
    from rich.console import Console
    from rich.table import Table

    if not past:
        Console().print(f"No runs in {loaded.root} yet; start one: fraud-pipeline run")
        return 0
    table = Table("time", "pipeline", "data", "average precision", "blessed", "pushed", "duration", "state")
    for one in past:
        precision = "" if one.average_precision is None else f"{one.average_precision:.3f}"
        table.add_row(
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.started)),
            one.pipeline,
            one.data,
            precision,
            _yes(one.blessed),
            _yes(one.pushed),
            f"{one.seconds:.0f} s",
            one.state,
        )
    Console().print(table)
    return 0


def _yes(answer: bool | None) -> str:
    return "" if answer is None else "yes" if answer else "no"


@app.command()
def review(
    config: ConfigPath = None,
    set_: Set = None,
    run_id: Annotated[
        str | None, typer.Option("--run", help="A run's name, from `runs --json`; the newest finished one otherwise.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where TensorBoard listens, on this machine alone, if it is free.")
    ] = 6006,
    browser: Annotated[bool, typer.Option(help="Open both in the browser, or print the addresses alone.")] = True,
) -> int:
    """Open a run's report and TensorBoard in the browser, and serve until Ctrl-C."""
    from pipeline.config import load
    from pipeline.review import finished_run, serve

    loaded = load(config, set_ or ())
    chosen = finished_run(loaded.metadata_path, run_id)
    try:
        serve(chosen, loaded.artifacts, loaded.logs / "tensorboard.log", port=port, browser=browser)
    except KeyboardInterrupt:
        return 0
    except RuntimeError as error:
        _complain(str(error))
        return RUN_FAILED


@app.command()
def tensorboard(
    config: ConfigPath = None,
    set_: Set = None,
    port: Annotated[int, typer.Option(help="Where TensorBoard listens, on this machine alone.")] = 6006,
) -> int:
    """Open TensorBoard on the learning curves and the searches' trials of all runs."""
    from pipeline.config import load
    from pipeline.review import tensorboard_command
    from trainer.errors import InputError

    loaded = load(config, set_ or ())
    if not (loaded.artifacts / "Trainer" / "model_run").exists():
        raise InputError(f"no training in {loaded.root} yet; start a run: fraud-pipeline run")
    print(f"TensorBoard: http://localhost:{port}/ (Ctrl-C ends it)", flush=True)
    return subprocess.call(tensorboard_command(loaded.artifacts, port))


@app.command()
def init(
    data: Annotated[str, typer.Argument(help="A file, folder or glob of CSV or Parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The config to write.")] = Path("fraud.yaml"),
    force: Annotated[bool, typer.Option(help="Overwrite files that exist.")] = False,
) -> int:
    """Look at transactions, propose what each column is, and write a config and a schema to review."""
    from pipeline.data.propose import propose
    from trainer.errors import InputError

    schema_path = output.with_suffix(".schema.pbtxt")
    existing = [str(path) for path in (output, schema_path) if path.exists()]
    if existing and not force:
        raise InputError(f"{' and '.join(existing)} exist already; give --force to overwrite, or another --output")
    proposal = propose(data)
    from rich.console import Console
    from rich.table import Table

    table = Table("column", "why")
    for column, reason in proposal.reasons.items():
        table.add_row(column, reason)
    console = Console()
    console.print(table)
    _quiet_tensorflow(False)
    from pipeline.console import quiet
    from pipeline.imports import lean

    with quiet(Path(os.devnull), verbose=False):
        with lean():
            from google.protobuf import text_format

            from pipeline.data import schema

        inferred = schema.infer(data, proposal.columns)
    output.parent.mkdir(parents=True, exist_ok=True)
    absolute = data if "://" in data else str(Path(data).absolute())
    output.write_text(proposal.as_yaml(absolute, schema_path.name))
    schema_path.write_text(text_format.MessageToString(inferred))
    console.print(
        f"Wrote {output} and {schema_path}. Review both, then:\n"
        f"  fraud-pipeline check --config {output}\n  fraud-pipeline run --config {output}",
        highlight=False,
    )
    return 0


@data_app.command("fetch")
def data_fetch() -> int:
    """Get the real creditcard.csv (150 MB) into the cache folder, resuming where it stopped."""
    from pipeline.data import sources

    with _bar() as on_progress:
        path = sources.fetch(on_progress=on_progress)
    print(f"The real transactions are in {path}; `data.path: auto` uses them from now on.")
    return 0


@data_app.command("synthesize")
def data_synthesize(
    rows: Annotated[int, typer.Option(help="How many transactions.")] = 284_807,
    seed: Annotated[int, typer.Option(help="Of the draw: the same seed gives the same rows.")] = 7,
    fraud_rate: Annotated[float | None, typer.Option(help="Share of fraud; the real data's where not given.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help=".csv, .csv.gz or .parquet.")] = Path(
        "workspace/data/synthesized.csv"
    ),
) -> int:
    """Draw transactions from the generator that was fitted to real ones."""
    from pipeline.data import synthesis

    output.parent.mkdir(parents=True, exist_ok=True)
    rate = synthesis.DEFAULT_FRAUD_RATE if fraud_rate is None else fraud_rate
    with _bar() as on_progress:
        synthesis.write(
            output, rows, seed, rate, on_progress=lambda done: on_progress("synthesizing transactions", done, rows)
        )
    print(f"Wrote {rows:,} SYNTHESIZED transactions to {output}. Use them: fraud-pipeline run --set data.path={output}")
    return 0


@data_app.command("describe")
def data_describe(
    path: Annotated[
        str | None, typer.Argument(help="A file, folder or glob; the config's data where not given.")
    ] = None,
    config: ConfigPath = None,
    set_: Set = None,
    html: Annotated[Path | None, typer.Option(help="The page; workspace/describe.html where not given.")] = None,
) -> int:
    """Print rows, frauds, time span, amounts, duplicates and missing values; write a page with plots."""
    from rich.console import Console

    from pipeline.config import load
    from pipeline.data import describe

    overrides = [*(set_ or ()), *([f"data.path={path}"] if path else [])]
    loaded = load(config, overrides)
    with _bar() as on_progress:
        loaded, source = _resolve(loaded, on_progress)
    console = Console()
    _announce(console, source)
    description = describe.describe(source.path, loaded.roles)
    console.print(describe.as_text(description))
    page = html or loaded.root / "describe.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(describe.as_html(description))
    console.print(f"With histograms, box plot and correlations: {page}", highlight=False, soft_wrap=True)
    return 0


def _bar() -> Any:
    """A context that gives `on_progress(what, done, total)`, drawn as a bar."""
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    @contextmanager
    def bar() -> Any:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as shown:
            task = None

            def on_progress(what: str, done: int, total: int) -> None:
                nonlocal task
                if task is None:
                    task = shown.add_task(what)
                shown.update(task, description=what, completed=done, total=total or None)

            yield on_progress

    return bar()
