"""A search in several processes by KerasTuner's protocol: a chief that holds the oracle, and workers that query it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import tensorflow as tf
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer, exit_chief
from keras_tuner.src.distribute.utils import is_chief_oracle
from keras_tuner.src.engine.trial import Trial

from trainer import interruption, memory, processes
from trainer.search.oracles import ResumableOracle
from trainer.search.trials import RECORD

# KerasTuner's environment variables: the role of a process, and the address of the chief
TUNER_ID, ORACLE_IP, ORACLE_PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.1
FAILED = "failed.txt"  # in the search's folder: why the chief in another process failed
FRUITLESS = 2  # a worker that dies so many times in a row without a trial will never start

T = TypeVar("T")

logger = logging.getLogger(__name__)


def is_chief() -> bool:
    """Whether the environment makes this process the chief of workers that are started elsewhere."""
    return bool(is_chief_oracle())


def serve(oracle: ResumableOracle) -> None:
    """Serves the oracle to workers that were started elsewhere, until the search is over."""
    advertised = os.environ[ORACLE_IP]
    # the workers may know the chief by the name of a service, which need not be an address of this machine
    host = advertised if advertised in (LOOPBACK, "localhost") else "0.0.0.0"
    address = f"{host}:{os.environ[ORACLE_PORT]}"
    server, servicer, port = _server(oracle, address, futures.ThreadPoolExecutor(max_workers=1))
    logger.info("The chief of the search waits for workers on %s:%d", host, port)
    try:
        while not (servicer.stop_triggered and exit_chief(oracle)):
            interruption.check()
            time.sleep(POLL_SECONDS)
    finally:
        server.stop(grace=1).wait()


def wait(folder: str) -> None:
    """Waits until a chief and workers in other processes have run the search that is planned in `folder`.

    Raises:
      RuntimeError: the search failed, with the chief's error.
    """
    logger.info("Waiting for a chief and workers to run the search in %s", folder)
    while not Path(folder, RECORD).exists():
        failed = Path(folder, FAILED)
        if failed.exists():
            error = failed.read_text()
            failed.unlink()  # so that the next run tries again
            raise RuntimeError(f"the search that other processes ran in {folder} failed: {error}")
        interruption.check()
        time.sleep(POLL_SECONDS)


def _server(
    oracle: ResumableOracle, address: str, thread: futures.ThreadPoolExecutor
) -> tuple[grpc.Server, OracleServicer, int]:
    """Starts a server of the oracle, and returns it with its port; thread: a single one, which answers requests."""
    server = grpc.server(thread)
    servicer = OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    port = server.add_insecure_port(address)
    server.start()
    return server, servicer, port


@dataclass
class _Worker:
    """A process that runs trials.

    fruitless: how many times it has died without a trial since it last had one.
    """

    name: str
    module: str
    arguments: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    fruitless: int = 0

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = processes.start(self.module, self.arguments, log, self.environment)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class _Thread(futures.ThreadPoolExecutor):
    """The only thread that calls the oracle, which it does not do while `drawing` is held.

    KerasTuner draws from Python's random generator, and so does Keras for a network's seeds.
    """

    def __init__(self, drawing: threading.Lock):
        super().__init__(max_workers=1)
        self._drawing = drawing

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        def alone() -> Any:
            with self._drawing:
                return call(*args, **kwargs)

        return super().submit(alone)


class Shared:
    """The oracle for the threads of this process; its methods run in the thread that answers the workers.

    An exception, Ctrl-C included, leaves KerasTuner's lock with the thread that raised it, and any other thread would
    then wait for it for ever.

    watch: the task that replaces workers that die; once it has failed, there are no more trials, only its error.
    """

    watch: futures.Future[None] | None = None

    def __init__(self, oracle: ResumableOracle, thread: futures.ThreadPoolExecutor):
        self._oracle = oracle
        self._thread = thread

    def create_trial(self, tuner_id: str) -> Trial:
        if self.watch and self.watch.done():
            self.watch.result()
        # a copy, as in other processes: only the oracle's thread may change the oracle's own
        return copy(self._thread.submit(self._oracle.create_trial, tuner_id).result())

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._oracle, name)
        return lambda *args, **kwargs: self._thread.submit(method, *args, **kwargs).result()


def run(
    oracle: ResumableOracle,
    folder: str,
    count: int,
    module: str,
    work: Callable[[Shared], None],
    drawing: threading.Lock,
) -> None:
    """Runs the search that is planned in `folder` with `count` processes of this machine.

    This process is one of them, and each has its share of the cores. Where there are GPUs, TensorFlow has claimed all
    of them for this process, so it only serves the oracle, and all workers are other processes with a share of the
    GPUs. A worker that dies is replaced; its trial is recorded as failed, with the reason.

    Args:
      module: name of the module that the other processes run.
      work: runs trials of the oracle that it is passed, until there are no more.
      drawing: a lock that `work` holds while the weights of a network are drawn.

    Raises:
      RuntimeError: a worker can't start.
    """
    takes_part = not _gpus()
    thread, watcher = _Thread(drawing), futures.ThreadPoolExecutor(max_workers=1)
    shared, over = Shared(oracle, thread), threading.Event()
    server, _, port = _server(oracle, f"{LOOPBACK}:0", thread)
    workers = [_worker(number, count, folder, port, module) for number in range(takes_part, count)]
    try:
        shared.watch = watcher.submit(_watch, workers, shared, over)
        if takes_part:
            work(shared)
            while oracle.ongoing_trials and not shared.watch.done():
                interruption.check()
                time.sleep(POLL_SECONDS)
            over.set()  # a worker may still be starting
        while not shared.watch.done():
            interruption.check()
            time.sleep(POLL_SECONDS)
        shared.watch.result()
    finally:
        over.set()
        # before the workers: it may be about to start one, and the kernel ends a worker with the thread that started it
        watcher.shutdown()
        for worker in workers:
            worker.stop()
        server.stop(grace=1).wait()
        thread.shutdown()


def _watch(workers: Sequence[_Worker], oracle: Shared, over: threading.Event) -> None:
    for worker in workers:
        worker.start()
    while workers and not over.wait(POLL_SECONDS):
        workers = [worker for worker in workers if not _is_done(worker, oracle)]


def _is_done(worker: _Worker, oracle: Shared) -> bool:
    assert worker.process is not None
    code = worker.process.poll()
    if code is None:
        return False
    if code == 0:
        return True
    reason = f"its process {_how_it_ended(code)}"
    logger.warning("%s: %s; see %s", worker.name, reason, worker.log)
    worker.fruitless = 0 if oracle.give_up(worker.name, reason) else worker.fruitless + 1
    oracle.release(worker.name)
    if worker.fruitless >= FRUITLESS:
        log = worker.log.read_text(errors="replace").strip().splitlines()[-10:]
        raise RuntimeError(f"a worker of the search can't start, {reason}:\n" + "\n".join(log))
    worker.start()
    return False


def _how_it_ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed, as the kernel does when memory runs out"
    if code < 0:
        return f"was ended by signal {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _worker(number: int, count: int, folder: str, port: int, module: str) -> _Worker:
    cores = share(sorted(os.sched_getaffinity(0)), number, count)
    name = f"worker-{number}"
    environment = {
        TUNER_ID: name,
        ORACLE_IP: LOOPBACK,
        ORACLE_PORT: str(port),
        **memory.GROWING,  # a worker that shares a GPU must leave memory for the others
    }
    gpus = _gpus()
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(share(gpus, number, count))
    arguments = [folder, "--cores", ",".join(map(str, cores))]
    return _Worker(name, module, arguments, environment, Path(folder, f"{name}.log"))


def share(things: list[T], number: int, count: int) -> list[T]:
    """The things for worker `number` of `count`, or one that it shares where there are fewer things than workers."""
    return things[number::count] or [things[number % len(things)]]


def _gpus() -> list[str]:
    """Names of the GPUs as CUDA_VISIBLE_DEVICES takes them."""
    count = len(tf.config.list_physical_devices("GPU"))
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return visible[:count] or [str(number) for number in range(count)]
