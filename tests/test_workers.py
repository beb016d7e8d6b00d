"""A search in several processes: what they say to each other, and what becomes of it when one of them is killed."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.src.distribute.oracle_client import OracleClient

from tests.support.small_search import heard, outcome, search, search_settings, unbroken
from trainer.errors import InputError
from trainer.search import worker, workers
from trainer.search.oracles import FOLD
from trainer.search.settings import Range, Space
from trainer.search.tuner import Search

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
PATIENCE = 120  # seconds, for what takes some


def eventually(probe: Callable[[], Any]) -> Any:
    """What it finds, once it does."""
    deadline = time.monotonic() + PATIENCE
    while not (value := probe()):
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)
    return value


def children(parent: int) -> dict[int, dict[str, str]]:
    """Processes of a search that this one started, by their number: what their environment says of them."""
    processes = {}
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):
            started_by = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            command = (process / "cmdline").read_bytes().split(b"\0")
            if started_by == parent and b"trainer.search.worker" in command:
                pairs = [pair.partition("=") for pair in (process / "environ").read_text().split("\0")]
                processes[int(process.name)] = {name: value for name, _, value in pairs}
    return processes


def state(folder: Path) -> dict[str, Any]:
    """What the oracle last saved."""
    file = folder / "search" / "oracle.json"
    return json.loads(file.read_text()) if file.exists() else {"ongoing_trials": {}, "end_order": []}


# What is said


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Search, OracleClient]]:
    """The chief's search and a worker's view of its oracle, over a real connection."""
    space = Space(
        units=(4, 8),
        optimizer=("adam", "sgd"),
        momentum=Range(low=0.1, high=0.9),
        learning_rate=Range(low=1e-3, high=1e-1),
        batch_normalization=(False, True),
        fraud_weight=(1.0, "balanced"),
    )
    chief = search(
        str(tmp_path), search_settings(space=space, trials=8, workers=2, folds=2, prune_trials=True, epochs=3)
    )
    thread = futures.ThreadPoolExecutor(max_workers=1)
    server, _, port = workers._server(chief.own_oracle, f"{workers.LOOPBACK}:0", thread)
    monkeypatch.setenv(workers.ORACLE_IP, workers.LOOPBACK)
    monkeypatch.setenv(workers.ORACLE_PORT, str(port))
    monkeypatch.setenv(workers.TUNER_ID, "worker-0")
    yield chief, search(str(tmp_path), chief.settings).oracle
    server.stop(grace=None).wait()


def test_values_come_through_exactly_and_scores_to_float32(served: tuple[Search, OracleClient]) -> None:
    chief, client = served
    assert isinstance(client, OracleClient)
    for number in range(8):
        trial = client.create_trial(f"worker-{number}")
        own = chief.own_oracle.trials[trial.trial_id]
        assert trial.hyperparameters.values == own.hyperparameters.values
        assert [type(value) for value in trial.hyperparameters.values.values()] == [
            type(own.hyperparameters.values[name]) for name in trial.hyperparameters.values
        ]
        score = float(np.float32(1 / (3 + number)))
        for fold in range(2):
            answer = client.update_trial(trial.trial_id, {FOLD.format(fold): score}, step=1)
            assert answer.status == TrialStatus.RUNNING
        trial.status = TrialStatus.COMPLETED
        client.end_trial(trial)
        assert chief.own_oracle.recorded()[number].score == score
        assert client.get_trial(trial.trial_id).score == score
    assert client.create_trial("worker-9").status == TrialStatus.STOPPED
    # momentum goes with sgd alone
    tried = [trial.values for trial in chief.own_oracle.recorded()]
    assert all(("momentum" in values) == (values["optimizer"] == "sgd") for values in tried)
    assert len({values["optimizer"] for values in tried}) == 2


def test_a_worker_hears_that_its_trial_is_hopeless_or_that_it_has_to_wait(served: tuple[Search, OracleClient]) -> None:
    chief, client = served

    def report(score: float) -> str:
        trial = client.create_trial("worker-0")
        for fold, epoch in itertools.product(range(2), range(1, 4)):
            if client.update_trial(trial.trial_id, {FOLD.format(fold): score}, step=epoch).status == "STOPPED":
                break
        trial.status = TrialStatus.COMPLETED
        client.end_trial(trial)
        return trial.trial_id

    for _ in range(4):
        report(0.9)
    hopeless = report(0.1)
    recorded = chief.own_oracle.recorded()[-1]
    assert (recorded.trial_id, recorded.status, recorded.curve) == (hopeless, "stopped", (pytest.approx(0.1),) * 2)
    assert recorded.reason.startswith("after 2 epochs")
    # with two at work, the third waits for the first
    assert [client.create_trial(f"worker-{number}").status for number in (1, 2, 3)] == ["RUNNING", "RUNNING", "IDLE"]


def test_a_reason_reaches_the_chief_by_a_file(served: tuple[Search, OracleClient]) -> None:
    chief, client = served
    trial = client.create_trial("worker-0")
    (Path(chief.get_trial_dir(trial.trial_id)) / "reason.txt").write_text("out of memory: 3 rows")
    trial.status, trial.message = TrialStatus.FAILED, "out of memory: 3 rows"
    client.end_trial(trial)
    assert [(ended.status, ended.reason) for ended in chief.own_oracle.recorded()] == [
        ("failed", "out of memory: 3 rows")
    ]


# Who has what


@given(things=st.lists(st.integers(), min_size=1, max_size=9, unique=True), count=st.integers(1, 12))
def test_cores_are_shared_out_evenly(things: list[int], count: int) -> None:
    shares = [workers.share(things, number, count) for number in range(count)]
    assert all(shares)
    assert {thing for part in shares for thing in part} == set(things)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    each = [sum(thing in part for part in shares) for thing in things]
    assert max(each) - min(each) <= 1
    if count <= len(things):
        assert set(each) == {1}


# Workers of this machine


def begun(folder: Path) -> int | None:
    """The process that a search started, once it has a trial."""
    names = {environment.get(workers.TUNER_ID): process for process, environment in children(os.getpid()).items()}
    return next((names[tuner] for tuner in state(folder)["ongoing_trials"] if tuner in names), None)


def waits_for(monkeypatch: pytest.MonkeyPatch, event: Callable[[], Any]) -> None:
    """Has this process leave the trials to others until then."""
    take_part = Search._take_part

    def later(own: Search, shared: workers.Shared) -> None:
        eventually(event)
        take_part(own, shared)

    monkeypatch.setattr(Search, "_take_part", later)


def test_a_worker_that_is_killed_costs_its_trial_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = search(str(tmp_path), search_settings(workers=2))
    waits_for(monkeypatch, lambda: begun(tmp_path))

    def kill() -> None:
        os.kill(eventually(lambda: begun(tmp_path)), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    several.search()
    killer.join()
    record, alone = several.record(), unbroken()
    assert record.workers == 2
    assert outcome(record)[1:] == outcome(alone)[1:]  # the same as in one process
    assert record.trials[0].values == alone.trials[0].values
    assert record.trials[0].status == "failed"
    assert record.trials[0].reason == "its process was killed, as the kernel does when memory runs out"
    assert not children(os.getpid())
    assert [path.name for path in tmp_path.glob("*.log") if path.stat().st_size] == ["worker-1.log"]


def test_who_runs_a_trial_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several = search(str(tmp_path), search_settings(workers=2))
    waits_for(monkeypatch, lambda: begun(tmp_path))
    ran: set[str] = set()
    guide = several.own_oracle
    with heard(lambda line: ran.update(guide.ongoing_trials)):
        several.search()
    assert ran == {several.tuner_id, "worker-1"}
    assert outcome(several.record()) == outcome(unbroken())


def test_a_worker_that_takes_too_long_to_start_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = ["-n", "1", "-r", "1", f"import time; time.sleep({10 * PATIENCE})"]
    make = workers._worker
    made = []

    def sleeping(*how: Any) -> workers._Worker:
        made.append(dataclasses.replace(make(*how), module="timeit", arguments=slow))
        return made[-1]

    monkeypatch.setattr(workers, "_worker", sleeping)
    several = search(str(tmp_path), search_settings(workers=3))
    several.search()
    assert outcome(several.record()) == outcome(unbroken())
    assert [worker.process.poll() for worker in made if worker.process] == [-signal.SIGKILL] * 2


def test_what_goes_wrong_here_ends_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(own: Search, shared: workers.Shared) -> None:
        eventually(lambda: children(os.getpid()))
        raise InputError("transactions.csv has gone")

    monkeypatch.setattr(Search, "_take_part", wrong)
    with pytest.raises(InputError, match="has gone"):
        search(str(tmp_path), search_settings(workers=2)).search()
    assert not children(os.getpid())


@pytest.mark.parametrize("gpus", [["0"], ["0", "1", "2"]])
def test_with_gpus_all_workers_are_other_processes(
    gpus: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_gpus", lambda: gpus)
    visible = set()

    def listen(line: str) -> None:
        visible.update(environment["CUDA_VISIBLE_DEVICES"] for environment in children(os.getpid()).values())

    several = search(str(tmp_path), search_settings(workers=2))
    with heard(listen):
        several.search()
    assert visible == ({"0"} if gpus == ["0"] else {"0,2", "1"})
    assert outcome(several.record()) == outcome(unbroken())
    assert {path.name for path in tmp_path.glob("*.log")} == {"worker-0.log", "worker-1.log"}


def test_workers_that_can_not_start_are_an_error_with_their_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # where Python looks for all that it needs
    with pytest.raises(RuntimeError, match=r"can't start, its process ended with exit code 1:\n(.*\n)*.*encodings"):
        search(str(tmp_path), search_settings(workers=2)).search()
    assert not children(os.getpid())


def test_a_search_that_is_interrupted_leaves_no_workers_behind(tmp_path: Path) -> None:
    def interrupt() -> None:
        eventually(lambda: children(os.getpid()))
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        search(str(tmp_path), search_settings(workers=2)).search()
    interrupter.join()
    assert not children(os.getpid())


def free_port() -> int:
    with socket.socket() as held:
        held.bind((workers.LOOPBACK, 0))
        port: int = held.getsockname()[1]
        return port


def test_a_job_without_a_plan_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["search_worker", str(tmp_path), "--wait", "0"])
    assert worker.main() == 2
    assert capsys.readouterr().err == f"{tmp_path} holds no plan of a search; is the folder shared?\n"


def test_a_worker_that_comes_when_all_is_done_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search(str(tmp_path), search_settings()).plan()
    unbroken().save(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["search_worker", str(tmp_path)])
    for name, value in {
        workers.ORACLE_IP: workers.LOOPBACK,
        workers.ORACLE_PORT: str(free_port()),
        workers.TUNER_ID: "worker-1",
    }.items():
        monkeypatch.setenv(name, value)
    assert worker.main() == 0


def test_a_chief_that_failed_elsewhere_is_heard_once(tmp_path: Path) -> None:
    (tmp_path / workers.FAILED).write_text("none of 2 trials of the search succeeded: out of memory")
    with pytest.raises(
        RuntimeError, match=f"the search that other processes ran in {tmp_path} failed: none of 2 trials"
    ):
        workers.wait(str(tmp_path))
    unbroken().save(str(tmp_path))
    workers.wait(str(tmp_path))
