"""A process of a training in several: `python -m trainer.distributed.worker FOLDER`.

FOLDER is shared by all processes and holds the plan of a training, or folders with plans, of which the newest is done.
TF_CONFIG says which process this one is and where the others are, or in a Kubernetes Job with indexed completions

  JOB_COMPLETION_INDEX  the number of this process; number 0 measures after each epoch and writes the result
  TRAINING_WORKERS      the number of processes
  TRAINING_HOST         the host name of each process, with {index} in place of its number
  TRAINING_PORT         the port of every process

Without any of these, this process does the training alone, on all devices of its machine.

Exit codes: 0 done; 1 another process was lost, and all should start again; 2 starting again would not help.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.distributed.handoff import TrainingHandoff

WAIT_SECONDS = 600
ATTEMPTS = 3  # the first, and `maxRestarts` of kubeflow/manifests/training


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument(
        "--wait", type=float, default=WAIT_SECONDS, metavar="S", help=f"seconds to wait for the plan, {WAIT_SECONDS}"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        config = cluster(os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if config:
        os.environ["TF_CONFIG"] = config

    gc.disable()  # during the imports it would take a fifth of their time and collect nothing
    from trainer.distributed.handoff import TrainingHandoff

    gc.enable()

    deadline = time.monotonic() + arguments.wait
    while (handoff := TrainingHandoff.newest(arguments.folder)) is None:
        if time.monotonic() > deadline:
            print(f"{arguments.folder} holds no plan of a training; is the folder shared?", file=sys.stderr)
            return 2
        time.sleep(1)
    return 0 if handoff.is_done else _work(handoff)


def cluster(environment: Mapping[str, str]) -> str | None:
    """TF_CONFIG as it is, or made from the variables of an indexed Job; None where neither is set.

    Raises:
      ValueError: a variable is missing, or the index is not below the number of processes.
    """
    index = environment.get("JOB_COMPLETION_INDEX")
    if "TF_CONFIG" in environment or index is None:
        return environment.get("TF_CONFIG")
    variables = {name: environment.get(name, "") for name in ("TRAINING_WORKERS", "TRAINING_HOST", "TRAINING_PORT")}
    missing = [name for name, value in variables.items() if not value]
    if missing:
        verb = "are" if missing[1:] else "is"
        raise ValueError(f"JOB_COMPLETION_INDEX is {index}, but {' and '.join(missing)} {verb} not set; see --help")
    workers, host, port = variables.values()
    if not workers.isdigit() or int(index) >= int(workers):
        raise ValueError(
            f"JOB_COMPLETION_INDEX is {index}, but TRAINING_WORKERS is {workers}; set it to the number of pods, which "
            "is numNodes of a TrainJob"
        )
    hosts = [f"{host.format(index=number)}:{port}" for number in range(int(workers))]
    return json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": int(index)}})


def _work(newest: TrainingHandoff) -> int:
    import tensorflow as tf

    from trainer import fitting
    from trainer.distributed import replicas
    from trainer.distributed.handoff import LOGS, Result
    from trainer.distributed.settings import Distribution

    devices = replicas.of_cluster() if "TF_CONFIG" in os.environ else replicas.here(Distribution())
    # the processes may have looked at different times, and another training may have been planned in between
    name = devices.agreed([float(ord(letter)) for letter in newest.name])
    handoff = newest.sibling("".join(chr(int(letter)) for letter in name))
    attempt = handoff.count_attempt() if devices.leads else 0
    try:
        with handoff.signs_of_life() if devices.leads else contextlib.nullcontext():
            fold, training, settings = handoff.read()
            scaled = settings.of(training, devices.count)
            logs = str(handoff.folder / LOGS)
            network, history = fitting.fit_anew(fold, scaled, devices, task="Trainer", log_dir=logs)
            if devices.leads:
                handoff.finish(Result(network.get_weights(), history, devices.count, scaled))
    except tf.errors.OpError as error:
        logging.exception("The training broke off")
        if attempt < ATTEMPTS:
            return 1
        handoff.fail(f"{ATTEMPTS} times, for the last time by {type(error).__name__}: {error.message}")
        return 2
    except Exception as error:
        logging.exception("The training failed")
        handoff.fail(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
