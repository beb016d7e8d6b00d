"""A process of a training in several: `python -m trainer.distributed.worker FOLDER`.

FOLDER holds a training's plan, or trainings of which the newest is taken, and is shared by all processes. Which of them
this one is, and where the others are, is said by TF_CONFIG, or in a Kubernetes Job with indexed completions by

  JOB_COMPLETION_INDEX  its number; number 0 measures after each epoch, and writes the result
  TRAINING_WORKERS      how many there are
  TRAINING_HOST         the name of each, with {index} in place of its number
  TRAINING_PORT         on all of them

Without any of these it does the training alone, on all devices of its machine.

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

    gc.disable()  # it takes a fifth of the time of the imports, and finds nothing
    from trainer.distributed.handoff import TrainingHandoff

    gc.enable()

    deadline = time.monotonic() + arguments.wait
    while (planned := TrainingHandoff.newest(arguments.folder)) is None:
        if time.monotonic() > deadline:
            print(f"{arguments.folder} holds no plan of a training; is the folder shared?", file=sys.stderr)
            return 2
        time.sleep(1)
    return 0 if planned.is_done else _work(planned)


def cluster(environment: Mapping[str, str]) -> str | None:
    """TF_CONFIG as it is, or of what an indexed Job says; None where nothing does.

    Raises:
      ValueError: something is missing, or does not go together.
    """
    index = environment.get("JOB_COMPLETION_INDEX")
    if "TF_CONFIG" in environment or index is None:
        return environment.get("TF_CONFIG")
    given = {name: environment.get(name, "") for name in ("TRAINING_WORKERS", "TRAINING_HOST", "TRAINING_PORT")}
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise ValueError(f"JOB_COMPLETION_INDEX is {index}, but {' and '.join(missing)} not set; see --help")
    workers, host, port = given.values()
    if not workers.isdigit() or int(index) >= int(workers):
        raise ValueError(
            f"JOB_COMPLETION_INDEX is {index}, but TRAINING_WORKERS is {workers}; set it to the number of pods, which "
            "is numNodes of a TrainJob"
        )
    hosts = [f"{host.format(index=number)}:{port}" for number in range(int(workers))]
    return json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": int(index)}})


def _work(found: TrainingHandoff) -> int:
    import tensorflow as tf

    from trainer import fitting
    from trainer.distributed import replicas
    from trainer.distributed.handoff import LOGS, Result
    from trainer.distributed.settings import Distribution

    devices = replicas.of_cluster() if "TF_CONFIG" in os.environ else replicas.here(Distribution())
    # another may have been planned meanwhile
    name = devices.agreed([float(ord(letter)) for letter in found.name])
    planned = found.called("".join(chr(int(letter)) for letter in name))
    attempt = planned.begun() if devices.leads else 0
    try:
        with planned.alive() if devices.leads else contextlib.nullcontext():
            fold, training, settings = planned.read()
            told = settings.of(training, devices.count)
            network, history = fitting.fit_anew(fold, told, devices, task="Trainer", log_dir=str(planned.folder / LOGS))
            if devices.leads:
                planned.finish(Result(network.get_weights(), history, devices.count, told))
    except tf.errors.OpError as error:
        logging.exception("The training broke off")
        if attempt < ATTEMPTS:
            return 1
        planned.fail(f"{ATTEMPTS} times, for the last time by {type(error).__name__}: {error.message}")
        return 2
    except Exception as error:
        logging.exception("The training failed")
        planned.fail(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
