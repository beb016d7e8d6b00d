"""The fingerprint of the input files as a parameter: `python -m pipeline.kubeflow.fingerprint DATA FILE`.

Kubeflow's cache identifies a task by the values of its parameters and by its input artifacts, whatever their content
(kubeflow/pipelines, backend/src/v2/cacheutils/cache.go). So the digest of the files, which is written to FILE, is a
parameter of ExampleGen: when the files have changed, it runs; otherwise it and the components after it are taken from
the cache.
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
        digest = fingerprint(data)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(digest)
    print(f"{data}: {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
