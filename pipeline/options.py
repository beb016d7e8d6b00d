"""What the commands have in common: the options that say which configuration, the exit codes, and their help."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.invocation import NAME


class ExitCode(IntEnum):
    """How a command ended, for scripts."""

    DONE = 0
    RUN_FAILED = 1
    BAD_INPUT = 2
    NOT_BLESSED = 3
    # as shells have it, 128 and the number of the signal: SIGINT, which is Ctrl-C, and SIGTERM
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_CODES = """Exit codes: 0 done, 1 run failed, 2 bad configuration or input, 3 not blessed,
130 interrupted by Ctrl-C, 143 by SIGTERM."""

ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The configuration, a YAML file. Without it configs/local.yaml; for kubeflow commands "
        "configs/kubeflow.yaml.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key of the configuration: --set training.epochs=1. Repeat it for more."),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show what TensorFlow, Beam and TFX print.")]


def chosen(config: Path | None, overrides: list[str] | None) -> list[str]:
    """The words of a command that say the same configuration again."""
    return [
        *(["--config", str(config)] if config else []),
        *(word for override in overrides or () for word in ("--set", override)),
    ]


def examples(*commands: str) -> str:
    """The end of a command's help; each of the commands is what follows `fraud-pipeline`."""
    return "\n".join(["Examples:", *(f"{NAME} {command}" for command in commands)])
