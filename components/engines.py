"""Which engine runs Beam's steps, by Beam's arguments; cheap to import."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

_LOCAL = ("FnApiRunner", "DirectRunner")  # Beam's own; they are also named by their full path


def runner(beam_args: Sequence[str]) -> str | None:
    """The runner that the arguments name, the last one as Beam takes it; None where they name none."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runner")
    name: str | None = parser.parse_known_args(list(beam_args))[0].runner
    return name


def is_local(beam_args: Sequence[str]) -> bool:
    """Whether the steps run in processes that this one starts, on this machine."""
    name = runner(beam_args)
    return name is None or name.endswith(_LOCAL)
