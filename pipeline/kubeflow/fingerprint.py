"""What the input files are, as a parameter: `python -m pipeline.kubeflow.fingerprint DATA FILE`.

Kubeflow's cache knows a component by the values of its parameters and by which artifacts it is given, whatever is in
them (kubeflow/pipelines, backend/src/v2/cacheutils/cache.go). So the digest of the files' names, sizes and times of
change, which FILE gets, is a parameter of ExampleGen: it runs when they changed, and else it and what comes after it
are taken from the cache.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from components.reading.files import fingerprint
from trainer.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0, or 2 where the data can't be found, with the reason on stderr."""
    data, output = arguments
    try:
        found = fingerprint(data)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(found)
    print(f"{data}: {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
