"""A process of a search: `python -m trainer.search.worker FOLDER`.

FOLDER is shared by all processes and holds the plan of a search, or folders with plans, of which the newest is run.
KerasTuner's environment variables give this process its role: KERASTUNER_TUNER_ID (chief, or any other name for a
worker), KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT. In a Kubernetes Job with indexed completions the role follows
from JOB_COMPLETION_INDEX: 0 is the chief. The chief writes best_hyperparameters.txt and trials.json into the search's
folder, for the process that planned the search and waits for it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time

from trainer.imports import NOT_IN_A_SEARCH, lean

WAIT_SECONDS = 600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--cores", help="numbers of the cores to use, separated by commas; all by default")
    parser.add_argument(
        "--wait", type=float, default=WAIT_SECONDS, metavar="S", help=f"seconds to wait for the plan, {WAIT_SECONDS}"
    )
    arguments = parser.parse_args()
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
    search = tuner.Search.from_plan(folder, __spec__.name if __spec__ else __name__)
    if not workers.is_chief():
        if not os.path.exists(os.path.join(folder, RECORD)):  # with a record the search is over, and the chief gone
            search.search()
        return 0
    try:
        search.search()
    except Exception as error:  # else the process that waits would wait for ever
        with open(os.path.join(folder, workers.FAILED), "w") as file:
            file.write(str(error))
        raise
    record = search.record()
    with open(os.path.join(folder, "best_hyperparameters.txt"), "w") as file:
        json.dump(search.get_best_hyperparameters()[0].get_config(), file)
    record.save(folder)  # last, since it is what the other process waits for
    print(record.conclusion)
    return 0


if __name__ == "__main__":
    sys.exit(main())
