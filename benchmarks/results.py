"""The repeats of a benchmark, their medians and ratios, and the JSON file with all of them."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine

FOLDER = Path("workspace/benchmarks")
Figures = dict[str, Any]  # from names to numbers, words or further Figures


def medians(repeats: Sequence[Mapping[str, Any]]) -> Figures:
    """The median of each number; words stay where all repeats agree, and names that a repeat lacks are left out.

    Raises:
      ValueError: there are no repeats.
    """
    if not repeats:
        raise ValueError("medians need at least one repeat, got none")
    middle: Figures = {}
    for name, first in repeats[0].items():
        if not all(name in repeat for repeat in repeats):
            continue
        values = [repeat[name] for repeat in repeats]
        if isinstance(first, Mapping):
            middle[name] = medians(values)
        elif all(_is_number(value) for value in values):
            middle[name] = statistics.median(values)
        elif all(value == first for value in values):
            middle[name] = first
    return middle


def ratios(of: Mapping[str, Any], to: Mapping[str, Any]) -> Figures:
    """`of` / `to` for each number that both have, except where `to` is 0."""
    quotients: Figures = {}
    for name, value in of.items():
        other = to.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            quotients[name] = ratios(value, other)
        elif _is_number(value) and _is_number(other) and other:
            quotients[name] = value / other
    return quotients


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def report(name: str, settings: Figures, repeats: Mapping[str, Sequence[Figures]], **more: Any) -> Figures:
    """The content of the JSON file: machine, versions, commit, settings, each contender's repeats, their medians."""
    return {
        "benchmark": name,
        "machine": machine.machine(),
        "versions": machine.versions(),
        "commit": machine.commit(),
        "settings": settings,
        "repeats": {contender: list(figures) for contender, figures in repeats.items()},
        "medians": {contender: medians(figures) for contender, figures in repeats.items()},
        **more,
    }


def save(report: Figures, folder: Path = FOLDER) -> Path:
    """Writes `<benchmark>.json`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report['benchmark']}.json"
    part = path.with_suffix(".json.part")
    # numpy's numbers have `item`, and nothing else here needs a default
    part.write_text(json.dumps(report, indent=2, default=lambda value: value.item()) + "\n")
    os.replace(part, path)
    return path


def load(name: str, folder: Path = FOLDER) -> Figures | None:
    """The results of a benchmark; None where it has not run.

    Raises:
      SystemExit: the file has no results of that benchmark.
    """
    path = folder / f"{name}.json"
    try:
        report = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SystemExit(f"{path} is not JSON ({error}); delete it and run: python -m benchmarks.{name}") from error
    if not isinstance(report, dict) or report.get("benchmark") != name:
        raise SystemExit(f"{path} holds no results of {name}; delete it and run: python -m benchmarks.{name}")
    return report
