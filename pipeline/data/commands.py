"""The command line's part for data: `fraud-pipeline data`."""
# As in pipeline/cli.py, a command imports what it needs: `--help` must not wait for it.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.console import Terminal, announcer, say
from pipeline.escaping import in_yaml
from pipeline.invocation import command
from pipeline.options import ConfigPath, ExitCode, Overrides, examples
from trainer import places
from trainer.places import expanded, usable

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.data.sources import Source
    from pipeline.displays import OnProgress

data_app = typer.Typer(
    help="Get, make and look at transactions.",
    epilog=examples(
        "data fetch",
        "data synthesize --rows 50000 --output drawn.parquet",
        "data describe transactions.csv",
    ),
    no_args_is_help=True,
)


@data_app.command(epilog=examples("data fetch", "run --set data.path=auto"))
def fetch() -> int:
    """Get the real creditcard.csv (150 MB) into the cache folder, resuming where it stopped."""
    from pipeline.data import sources
    from pipeline.displays import working

    with working(Terminal(stderr=True)) as on_progress:
        path = sources.fetch(on_progress=on_progress)
    say(f"The real transactions are in {path}; from now on `data.path: auto` uses them.")
    return ExitCode.DONE


@data_app.command(
    epilog=examples(
        "data synthesize",
        "data synthesize --rows 50000 --seed 1 --output drawn.parquet",
        "run --set data.path=drawn.parquet",
    )
)
def synthesize(
    rows: Annotated[int, typer.Option(help="How many transactions.")] = 284_807,
    seed: Annotated[int, typer.Option(help="The same seed draws the same rows.")] = 7,
    fraud_rate: Annotated[
        float | None, typer.Option(help="The share of fraud; without it, the share in the real data.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .csv, .csv.gz or .parquet file.")] = Path(
        "workspace/data/synthesized.csv"
    ),
) -> int:
    """Draw transactions from the generator that was fitted to real ones."""
    from pipeline.data import synthesis
    from pipeline.displays import working
    from trainer import interruption

    output = expanded(output)
    rate = synthesis.DEFAULT_FRAUD_RATE if fraud_rate is None else fraud_rate
    terminal = Terminal(stderr=True)
    # a signal ends it between two batches, so that no part of a file stays
    with interruption.handled(announcer(terminal)), working(terminal) as on_progress:

        def report(done: int) -> None:
            interruption.check()
            on_progress("synthesizing transactions", done, rows)

        with usable(output, "name another file with --output"):
            synthesis.write(output, rows, seed, rate, on_progress=report)
    say(
        f"Wrote {rows:,} SYNTHESIZED transactions to {output}. Use them:",
        f"  {command('run', '--set', f'data.path={in_yaml(str(output))}')}",
    )
    return ExitCode.DONE


@data_app.command(
    epilog=examples(
        "data describe",
        "data describe transactions.csv --html transactions.html",
        "data describe --config configs/full.yaml",
    )
)
def describe(
    path: Annotated[
        str | None, typer.Argument(help="A file, a folder or a glob; without it, the data of the configuration.")
    ] = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
    html: Annotated[
        Path | None, typer.Option(help="Where the page goes; without it, describe.html in the workspace.")
    ] = None,
) -> int:
    """Print rows, frauds, time span, amounts, duplicates and missing values; write a page with plots."""
    from pipeline.config import load
    from pipeline.data.describe import as_html, as_text, describe
    from pipeline.displays import working

    loaded = load(config, overrides or (), data_path=path)
    page, elsewhere = expanded(html or loaded.root / "describe.html"), "name another file with --html"
    places.check(page, elsewhere)
    terminal = Terminal()
    with working(Terminal(stderr=True)) as on_progress:
        loaded, source = resolve(loaded, on_progress)
    announce(terminal, source)
    with working(Terminal(stderr=True)) as on_progress:
        on_progress("reading the transactions", 0, 0)
        description = describe(source.path, loaded.roles)
    terminal.print(as_text(description))
    places.write(page, as_html(description).encode(errors="backslashreplace"), elsewhere)
    terminal.say(f"A page with histograms, a box plot and correlations: {page}")
    return ExitCode.DONE


# What other commands need as well


def resolve(config: Config, on_progress: OnProgress) -> tuple[Config, Source]:
    """The configuration, completed by the data card, and which data it is."""
    from pipeline.data import sources

    source = sources.resolve(
        config.data.path,
        synthesize_rows=config.data.synthesize.rows,
        synthesize_seed=config.data.synthesize.seed,
        cache=config.synthesized,
        card_path=config.data.card_path,
        on_progress=on_progress,
    )
    return config.completed(source.card.sampling_rates, source.card.roles), source


def announce(terminal: Terminal, source: Source) -> None:
    """Says which data it is, and why it is not something better."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.styled import Styled

    lines = Group(Styled(source.origin, "bold"), *([source.note] if source.note else []))
    terminal.print(Panel(lines, border_style="yellow", title="data", title_align="left"))


def warn_of_roles(terminal: Terminal, source: Source, config: Config) -> None:
    """Says where a role loses values of its column."""
    from pipeline.data.losses import role_losses

    for sentence in role_losses(source.path, config.roles):
        terminal.print(f"Look at this: {sentence}.", style="yellow")
