"""A process of a search: `python -m trainer.search.worker FOLDER`.

FOLDER holds a search's plan, or searches of which the newest is taken, and is shared by all processes. KerasTuner's
environment variables say which part this one plays: KERASTUNER_TUNER_ID (chief, or any other name for a worker),
KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT. In a Kubernetes Job with indexed completions the id follows from
JOB_COMPLETION_INDEX: 0 is the chief. The chief writes best_hyperparameters.txt and trials.json into the search's
folder, for whoever planned it and waits.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import signal
import sys
import time

from trainer.imports import NOT_IN_A_SEARCH, lean

WAIT_SECONDS = 600
_PR_SET_PDEATHSIG = 1  # prctl.h


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--cores", help="numbers of the cores to use, with commas; all where not given")
    parser.add_argument(
        "--of-parent", type=int, metavar="PID", help="number of the process that started this one, to end with it"
    )
    parser.add_argument(
        "--wait", type=float, default=WAIT_SECONDS, metavar="S", help=f"seconds to wait for the plan, {WAIT_SECONDS}"
    )
    arguments = parser.parse_args()
    if arguments.of_parent:
        _end_with(arguments.of_parent)
    if arguments.cores:
        # before TensorFlow counts them
        os.sched_setaffinity(0, {int(core) for core in arguments.cores.split(",")})
    index = os.environ.get("JOB_COMPLETION_INDEX")
    if index is not None:
        os.environ.setdefault("KERASTUNER_TUNER_ID", "chief" if index == "0" else f"worker-{index}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    with lean(*NOT_IN_A_SEARCH):
        from trainer.search import tuner, workers
        from trainer.search.trials import RECORD

    deadline = time.monotonic() + arguments.wait
    while (folder := tuner.newest_plan(arguments.folder)) is None:
        if time.monotonic() > deadline:
            print(f"{arguments.folder} holds no plan of a search; is the folder shared?", file=sys.stderr)
            return 2
        time.sleep(1)
    planned = tuner.Search.planned(folder)
    if not workers.is_chief():
        if not os.path.exists(os.path.join(folder, RECORD)):  # else the others did it all: there is no chief to ask
            planned.search()
        return 0
    try:
        planned.search()
    except Exception as error:  # whoever waits would wait for ever
        with open(os.path.join(folder, workers.FAILED), "w") as file:
            file.write(str(error))
        raise
    record = planned.record()
    with open(os.path.join(folder, "best_hyperparameters.txt"), "w") as file:
        json.dump(planned.get_best_hyperparameters()[0].get_config(), file)
    record.save(folder)  # the last: whoever waits looks for it
    print(record.conclusion)
    return 0


def _end_with(parent: int) -> None:
    """Has the kernel end this process with its parent, which might be killed without a word to anyone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)  # it is gone already


if __name__ == "__main__":
    sys.exit(main())
