"""The oracles without networks: curves that are made up, workers of any speed, a kill at any write."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import json
import math
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_tuner.engine.trial import Trial, TrialStatus

from tests.support.small_search import outcome
from trainer.columns import Columns
from trainer.custom_config import TrainerSettings
from trainer.search import oracles
from trainer.search.oracles import ATTEMPTS, FOLD, KILLED
from trainer.search.settings import Range, Space, Tuning
from trainer.search.trials import Record
from trainer.search.trials import Trial as Recorded
from trainer.search.tuner import Search
from trainer.settings import Network, Training

SPACE = Space(units=(4, 8, 16), learning_rate=Range(low=1e-3, high=1e-1))
OWN = {"units": 8, "learning_rate": 0.02}
ORACLES = ("random", "grid", "bayesian", "hyperband")
LONGEST = 5000  # events of a made-up search; with more it hangs

Values = Mapping[str, Any]
Curve = Callable[[Values, int, int], float]  # values, fold, epoch


def search_settings(learning_rate: float = 0.02, **tuning: Any) -> TrainerSettings:
    return TrainerSettings(
        columns=Columns(label="y", numeric=("a",)),
        training=Training(network=Network(units=(8,)), learning_rate=learning_rate),
        tuning=Tuning(**{"space": SPACE, "trials": 6, "epochs": 3, "factor": 2, **tuning}),
    )


def quality(values: Values) -> float:
    """Best at a learning rate of 0.003 and 8 units, whatever else there is."""
    return math.exp(-((math.log10(values.get("learning_rate", 0.02)) + 2.5) ** 2)) - 0.1 * abs(
        math.log2(values.get("units", 8)) - 3
    )


def rising(values: Values, fold: int, epoch: int) -> float:
    return quality(values) * (1 - 0.5**epoch) + 0.01 * fold


class Broken(Exception):
    """What is the matter with a trial."""


def mostly_rising(values: Values, fold: int, epoch: int) -> float:
    if values["units"] == 16 and epoch == 2:
        raise Broken("16 units do not fit")
    return rising(values, fold, epoch)


class Worker:
    """Runs trials as a process would, a report at a time."""

    def __init__(self, name: str, search: Search, curve: Curve):
        self._name = name
        self._oracle = search.own_oracle
        self._curve = curve
        self._trial: Trial | None = None
        self._left: Iterator[tuple[int, int]] = iter(())
        self.done = False

    def act(self) -> tuple[str, int, int] | None:
        """Asks for a trial, or reports an epoch of one, which it returns, or ends it."""
        if self._trial is None:
            trial = self._oracle.create_trial(self._name)
            self.done = trial.status == TrialStatus.STOPPED
            if trial.status == TrialStatus.RUNNING:
                values = trial.hyperparameters.values
                epochs = range(values.get("tuner/initial_epoch", 0) + 1, self._oracle._tuning.epochs_of(values) + 1)
                self._trial, self._left = trial, iter([*itertools.product(range(self._oracle.folds), epochs)])
            return None
        trial = self._trial
        fold, epoch = next(self._left, (-1, 0))
        if epoch:
            try:
                value = self._curve(trial.hyperparameters.values, fold, epoch)
            except Broken as error:
                self._end(TrialStatus.FAILED, str(error))
                return None
            if self._oracle.update_trial(trial.trial_id, {FOLD.format(fold): value}, epoch).status == "STOPPED":
                self._end(TrialStatus.COMPLETED)
            return trial.trial_id, fold, epoch
        self._end(TrialStatus.COMPLETED)
        return None

    def _end(self, status: str, message: str | None = None) -> None:
        assert self._trial is not None
        ended, self._trial = self._trial, None
        ended.status, ended.message = status, message
        self._oracle.end_trial(ended)


def drive(search: Search, curve: Curve = rising, turns: Iterable[int] = ()) -> list[tuple[str, int, int]]:
    """Runs a search to its end, its workers taking these turns and then each its own; what was reported, in order."""
    search.save()
    workers = [Worker(f"worker-{number}", search, curve) for number in range(search.settings.tuning.workers)]
    reported = []
    for event, turn in enumerate(itertools.chain(turns, itertools.cycle(range(len(workers))))):
        assert event < LONGEST, "the search hangs"
        worker = workers[turn % len(workers)]
        if not worker.done and (report := worker.act()):
            reported.append(report)
        if all(worker.done for worker in workers):
            break
    return reported


def searched(settings: TrainerSettings, curve: Curve = rising, turns: Iterable[int] = ()) -> Record:
    with tempfile.TemporaryDirectory() as folder:
        search = Search(settings, [], folder)
        drive(search, curve, turns)
        return search.record()


def work(record: Record) -> Counter[tuple[Any, ...]]:
    """What was tried for how long and what came of it, in no order."""
    return Counter(
        (tuple(sorted(trial.hyperparameters.items())), trial.values["tuner/epochs"], trial.first_epoch, trial.score)
        for trial in record.trials
    )


def tried(record: Record) -> list[dict[str, Any]]:
    return [trial.hyperparameters for trial in record.trials]


# What is proposed


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize(
    ("warm_start", "first"),
    [
        (None, [OWN]),
        ({"units": 16}, [{**OWN, "units": 16}, OWN]),
        (OWN, [OWN]),
        ({"learning_rate": 0.5}, [{**OWN, "learning_rate": 0.5}, OWN]),
    ],
    ids=["the config's own", "those of a run before", "both the same", "outside of the space"],
)
def test_known_values_are_tried_first(oracle: str, warm_start: dict[str, Any], first: list[dict[str, Any]]) -> None:
    record = searched(search_settings(oracle=oracle, warm_start=warm_start, trials=4))
    assert tried(record)[: len(first)] == first
    assert all(values not in tried(record)[len(first) :] for values in first if oracle != "hyperband")
    assert record.trial(record.default).hyperparameters == OWN
    assert record.warm_start == ("0" if oracle != "hyperband" else "0000") * (warm_start is not None)


@pytest.mark.parametrize("oracle", ORACLES)
def test_the_seed_decides_what_is_tried(oracle: str) -> None:
    once, twice, other = (searched(search_settings(oracle=oracle, seed=seed, trials=4)) for seed in (3, 3, 4))
    assert outcome(once) == outcome(twice)
    assert (tried(once) == tried(other)) == (oracle == "grid")
    assert once.seed == 3


@pytest.mark.parametrize(("own", "training", "seed"), [(3, 5, 3), (None, 5, 5), (None, 0, 1)])
def test_without_a_seed_of_its_own_a_search_has_that_of_training(
    own: int | None, training: int, seed: int, tmp_path: Path
) -> None:
    settings = search_settings(seed=own)
    settings = settings.model_copy(update={"training": settings.training.model_copy(update={"seed": training})})
    assert Search(settings, [], str(tmp_path)).own_oracle.seed == seed  # 0 would be another one each time


@functools.cache
def _in_turns(oracle: str, workers: int, prune_trials: bool) -> Record:
    return searched(_several(oracle, workers, prune_trials), mostly_rising)


def _several(oracle: str, workers: int, prune_trials: bool) -> TrainerSettings:
    trials = 5 if oracle == "bayesian" else 8
    return search_settings(oracle=oracle, workers=workers, prune_trials=prune_trials, trials=trials, folds=2, epochs=4)


# one worker after the other has some turns: what one of them does takes the others long
TURNS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 25)), min_size=3, max_size=12).map(
    lambda stretches: [worker for worker, turns in stretches for _ in range(turns)]
)


@pytest.mark.parametrize("oracle", ["random", "grid"])
@settings(deadline=None, max_examples=8)
@given(workers=st.integers(1, 3), turns=TURNS)
def test_neither_the_number_of_workers_nor_their_speed_changes_a_blind_search(
    oracle: str, workers: int, turns: list[int]
) -> None:
    record = searched(_several(oracle, workers, False), mostly_rising, turns)
    assert outcome(record) == outcome(_in_turns(oracle, 1, False))


@pytest.mark.parametrize("oracle", ["random", "grid"])
@settings(deadline=None, max_examples=8)
@given(workers=st.integers(2, 3), turns=TURNS)
def test_which_worker_is_faster_does_not_decide_what_is_stopped(oracle: str, workers: int, turns: list[int]) -> None:
    record = searched(_several(oracle, workers, True), mostly_rising, turns)
    assert outcome(record) == outcome(_in_turns(oracle, workers, True))


@settings(deadline=None, max_examples=3)
@given(workers=st.integers(2, 3), turns=TURNS)
def test_which_worker_is_faster_does_not_decide_what_a_bayesian_search_proposes(workers: int, turns: list[int]) -> None:
    record = searched(_several("bayesian", workers, True), mostly_rising, turns)
    assert outcome(record) == outcome(_in_turns("bayesian", workers, True))


@settings(deadline=None, max_examples=8)
@given(workers=st.integers(1, 3), turns=TURNS)
def test_neither_the_number_of_workers_nor_their_speed_changes_what_hyperband_tries(
    workers: int, turns: list[int]
) -> None:
    record = searched(_several("hyperband", workers, True), mostly_rising, turns)
    assert work(record) == work(_in_turns("hyperband", 1, True))


def test_a_bayesian_search_learns_from_what_it_measured() -> None:
    rates = Space(learning_rate=Range(low=1e-4, high=1.0))

    def proposed(oracle: str, curve: Curve = rising, trials: int = 9) -> list[dict[str, Any]]:
        return tried(searched(search_settings(oracle=oracle, space=rates, trials=trials, epochs=1, seed=1), curve))

    learned, at_random = proposed("bayesian"), proposed("random")
    other = proposed("bayesian", lambda values, fold, epoch: values["learning_rate"], trials=6)
    # the config's own and two at random, then the process
    assert learned[:3] == other[:3] == at_random[:3]
    assert learned[3:6] != other[3:]
    assert min(map(quality, learned[6:])) > 0.9
    assert min(map(quality, at_random[6:])) < 0.9


def test_what_lies_outside_of_the_space_is_not_put_before_the_process() -> None:
    def proposed(score: float) -> list[dict[str, Any]]:
        record = searched(
            search_settings(oracle="bayesian", learning_rate=0.5, epochs=1, prune_trials=False),
            lambda values, fold, epoch: score if values["learning_rate"] == 0.5 else quality(values),
        )
        return tried(record)

    first, *others = proposed(0.0)
    assert first == {**OWN, "learning_rate": 0.5}
    assert all(1e-3 <= values["learning_rate"] <= 1e-1 for values in others)
    assert proposed(1.0) == [first, *others]


CHOICES = st.fixed_dictionaries(
    {"units": st.sets(st.sampled_from((4, 8, 16)), min_size=1, max_size=2)},
    optional={
        "optimizer": st.sets(st.sampled_from(("adam", "sgd")), max_size=1).map(lambda kinds: {"sgd", *kinds}),
        "batch_normalization": st.sets(st.booleans(), min_size=1),
        "loss": st.sets(st.sampled_from(("binary_crossentropy", "huber")), max_size=1).map(
            lambda kinds: {"focal", *kinds}
        ),
    },
)


@settings(deadline=None, max_examples=15)
@given(choices=CHOICES, momenta=st.sets(st.sampled_from((0.5, 0.9))), gammas=st.sets(st.sampled_from((1.0, 2.0))))
def test_a_grid_has_every_combination_once(
    choices: dict[str, set[Any]], momenta: set[float], gammas: set[float]
) -> None:
    domains = {name: sorted(values) for name, values in choices.items()}
    if "optimizer" in domains and momenta:
        domains["momentum"] = sorted(momenta)
    if "loss" in domains and gammas:
        domains["focal_gamma"] = sorted(gammas)
    expected = set()
    for combination in itertools.product(*domains.values()):
        values = dict(zip(domains, combination, strict=True))
        if values.get("optimizer") != "sgd":
            values.pop("momentum", None)
        if values.get("loss") != "focal":
            values.pop("focal_gamma", None)
        expected.add(frozenset(values.items()))
    settings = search_settings(oracle="grid", space=Space(**domains), trials=1000, epochs=1, prune_trials=False)
    first, *others = [frozenset(values.items()) for values in tried(searched(settings))]
    assert len({first, *others}) == 1 + len(others)
    assert {first, *others} == expected | {first}  # the config's own may be another


def test_a_grid_has_ten_values_of_a_range_and_ends_after_its_number_of_trials() -> None:
    space = Space(units=(4, 8), learning_rate=Range(low=1e-3, high=1e-1))
    everything = tried(searched(search_settings(oracle="grid", space=space, trials=100, epochs=1)))
    rates = sorted({values["learning_rate"] for values in everything} - {0.02})
    assert len(everything) == 2 * 10 + 1
    np.testing.assert_allclose(np.diff(np.log10(rates)), 0.2)  # on a log scale
    assert tried(searched(search_settings(oracle="grid", space=space, trials=7, epochs=1))) == everything[:7]


# Hyperband


def _rungs(record: Record) -> dict[int, list[list[Recorded]]]:
    """Trials by bracket and rung."""
    brackets: dict[int, list[list[Recorded]]] = defaultdict(list)
    for trial in record.trials:
        rungs, rung = brackets[trial.values["tuner/bracket"]], trial.values["tuner/round"]
        rungs.extend([] for _ in range(rung + 1 - len(rungs)))
        rungs[rung].append(trial)
    return brackets


@pytest.mark.parametrize(
    ("epochs", "factor", "shape"),
    [
        (1, 3, {0: [1]}),
        (3, 3, {1: [3, 1], 0: [2]}),
        (5, 3, {1: [5, 2], 0: [3]}),
        (9, 3, {2: [9, 3, 1], 1: [5, 2], 0: [3]}),
        (4, 2, {2: [4, 2, 1], 1: [3, 2], 0: [3]}),
    ],
)
def test_hyperband_lets_the_best_of_each_rung_go_on(epochs: int, factor: int, shape: dict[int, list[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        search = Search(search_settings(oracle="hyperband", epochs=epochs, factor=factor), [], folder)
        planned = search.own_oracle.planned
        drive(search)
        record = search.record()
    brackets = _rungs(record)
    assert {bracket: [len(rung) for rung in rungs] for bracket, rungs in brackets.items()} == shape
    assert len(record.trials) == planned
    for rungs in brackets.values():
        assert all(trial.first_epoch == 0 for trial in rungs[0])
        assert {trial.values["tuner/epochs"] for trial in rungs[-1]} == {epochs}
        for before, after in itertools.pairwise(rungs):
            best = sorted(before, key=lambda trial: -trial.score)[: len(after)]
            assert {trial.values["tuner/trial_id"] for trial in after} == {trial.trial_id for trial in best}
            for trial in after:
                earlier = record.trial(trial.values["tuner/trial_id"])
                assert trial.hyperparameters == earlier.hyperparameters
                assert trial.first_epoch == trial.values["tuner/initial_epoch"] == earlier.values["tuner/epochs"]
                assert len(trial.curve) == trial.values["tuner/epochs"] - trial.first_epoch


@settings(deadline=None, max_examples=8)
@given(workers=st.integers(1, 3), turns=TURNS)
def test_hyperband_goes_on_with_what_there_is_where_the_space_is_smaller_than_a_rung(
    workers: int, turns: list[int]
) -> None:
    space = Space(layers=(1, 2), units=(8, 16))
    settings = search_settings(oracle="hyperband", space=space, epochs=9, factor=3, workers=workers)
    record = searched(settings, lambda values, fold, epoch: values["layers"] * values["units"] * epoch / 1000, turns)
    begun = [trial for trial in record.trials if trial.first_epoch == 0]
    assert Counter(tuple(trial.hyperparameters.items()) for trial in begun) == Counter(
        (("layers", layers), ("units", units)) for layers in (1, 2) for units in (8, 16)
    )
    went_on = [trial for trial in record.trials if trial.first_epoch]
    assert [trial.values["tuner/epochs"] for trial in went_on] == [3, 3, 9]
    best = record.trial(record.best)
    assert best.hyperparameters == {"layers": 2, "units": 16}
    assert best.values["tuner/epochs"] == 9


# What ends a trial early

CURVES = st.lists(
    st.lists(st.lists(st.integers(0, 10), min_size=4, max_size=4), min_size=2, max_size=2), min_size=6, max_size=6
)


def _by_number(curves: Sequence[Sequence[Sequence[float]]]) -> tuple[Space, Curve]:
    """A space whose first values are numbers of trials, and the curve that each of them has."""
    numbers = tuple(range(8, 8 + len(curves)))  # the config's own 8 units come first in any case
    return Space(units=numbers), lambda values, fold, epoch: curves[values["units"] - 8][fold][epoch - 1]


def _stopped(curves: Sequence[Sequence[Sequence[float]]], folds: int, greater: bool) -> dict[int, tuple[int, int]]:
    """By the median rule which trials are stopped, in which fold after which epoch."""
    best_of, stopped = (max if greater else min), {}
    kept: list[list[Sequence[float]]] = []
    for number, trial in enumerate(curves):
        last = (folds - 1, 4)
        for fold, epoch in itertools.product(range(folds), range(1, 5)):
            alike = [[*other[:fold], other[fold][:epoch]] for other in kept if fold < len(other)]
            if (fold, epoch) == last or epoch == 1 or len(alike) < 3:
                continue
            median = np.median([np.mean([np.mean(curve) for curve in other]) for other in alike])
            best = np.mean([best_of(curve) for curve in [*trial[:fold], trial[fold][:epoch]]])
            if (best < median if greater else best > median) and not np.isclose(best, median):
                stopped[number] = last = (fold, epoch)
                break
        kept.append([*trial[: last[0]], trial[last[0]][: last[1]]])
    return stopped


@pytest.mark.parametrize("objective", ["average_precision", "loss"])
@settings(deadline=None, max_examples=15)
@given(tenths=CURVES, folds=st.sampled_from((None, 2)))
def test_the_median_rule_stops_what_is_hopeless_and_nothing_else(
    objective: str, tenths: list[list[list[int]]], folds: int | None
) -> None:
    curves = [[[value / 10 for value in fold] for fold in trial] for trial in tenths]
    space, curve = _by_number(curves)
    record = searched(
        search_settings(oracle="grid", objective=objective, space=space, epochs=4, trials=len(curves), folds=folds),
        curve,
    )
    expected = _stopped(curves, folds or 1, objective != "loss")
    stopped = {number: trial for number, trial in enumerate(record.trials) if trial.status == "stopped"}
    assert stopped.keys() == expected.keys()
    assert not stopped.keys() & {0, 1, 2}
    assert record.trial(record.best).status == "completed"
    best_of = min if objective == "loss" else max

    def reached(number: int, fold: int, epoch: int) -> float:
        so_far = [*curves[number][:fold], curves[number][fold][:epoch]]
        return float(np.mean([best_of(one) for one in so_far]))

    for number, (fold, epoch) in expected.items():
        own, others = reached(number, fold, epoch), [reached(earlier, fold, epoch) for earlier in range(number)]
        assert own != best_of(own, *others)  # the best so far never is
        where = f" of fold {fold + 1}" if fold else ""
        assert stopped[number].reason.startswith(f"after {epoch} epochs{where} its best was ")
        assert len(stopped[number].curve) == (4 if fold else epoch)
        assert stopped[number].spread is None


def test_the_reason_says_against_what_a_trial_was_hopeless() -> None:
    space, curve = _by_number([[[0.8] * 4]] * 3 + [[[0.2] * 4]])
    *_, last = searched(search_settings(oracle="grid", space=space, epochs=4, trials=4), curve).trials
    assert last.reason == "after 2 epochs its best was 0.2000, half of the earlier trials had 0.8000 on average"
    assert last.curve == (0.2, 0.2)
    switched_off = search_settings(oracle="grid", space=space, epochs=4, trials=4, prune_trials=False)
    assert searched(switched_off, curve).trials[-1].status == "completed"


def _passing(search: Search, minutes: float, number: int, epoch_of: int) -> Curve:
    """A curve in whose so many'th trial the clock goes on after an epoch."""

    def curve(values: Values, fold: int, epoch: int) -> float:
        if len(search.own_oracle.trials) == number and epoch == epoch_of:
            search.own_oracle._clock -= 60 * minutes
        return 0.1 * len(search.own_oracle.trials) + 0.01 * epoch

    return curve


@pytest.mark.parametrize("oracle", ORACLES)
def test_a_search_ends_with_its_budget(oracle: str, tmp_path: Path) -> None:
    search = Search(search_settings(oracle=oracle, budget_minutes=1.5, epochs=4), [], str(tmp_path))
    drive(search, _passing(search, 2, number=2, epoch_of=1))
    first, second = search.record().trials
    assert first.status == "completed"
    whole = oracle == "hyperband"  # whose first trials have one epoch
    assert second.status == ("completed" if whole else "stopped")
    assert second.reason == "" if whole else "the budget of 1.5 minutes was used up"
    assert second.curve == pytest.approx((0.21,))
    assert search.record().seconds > 120


def test_what_was_stopped_is_best_only_where_nothing_else_ended(tmp_path: Path) -> None:
    search = Search(search_settings(budget_minutes=1), [], str(tmp_path / "two"))
    drive(search, _passing(search, 2, number=2, epoch_of=2))
    first, second = search.record().trials
    assert second.status == "stopped"
    assert second.score > first.score
    assert search.record().best == first.trial_id
    assert [trial.trial_id for trial in search.own_oracle.get_best_trials(2)] == ["0", "1"]

    alone = Search(search_settings(budget_minutes=1e-9), [], str(tmp_path / "one"))
    drive(alone)
    (only,) = alone.record().trials
    assert (only.status, len(only.curve), alone.record().best) == ("stopped", 1, "0")


def test_all_workers_stop_after_the_epoch_in_which_the_budget_ends(tmp_path: Path) -> None:
    search = Search(search_settings(budget_minutes=1, workers=3, prune_trials=False), [], str(tmp_path))
    drive(search, _passing(search, 2, number=3, epoch_of=2))
    assert [(trial.status, len(trial.curve)) for trial in search.record().trials] == [("stopped", 2)] * 3


# Killed at any time


class Killed(BaseException):
    pass


@contextlib.contextmanager
def killed_at_write(number: int) -> Iterator[None]:
    """The process ends in the middle of its so many'th write, or not at all where there are fewer."""
    left = itertools.count(number - 1, -1)
    write = oracles._write

    def writes(path: str, state: Mapping[str, Any]) -> None:
        if next(left) == 0:
            Path(f"{path}.part").write_text(json.dumps(state)[:20])
            raise Killed
        write(path, state)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(oracles, "_write", writes)
        with contextlib.suppress(Killed):
            yield


def _resumed(oracle: str, workers: int = 1) -> TrainerSettings:
    trials = 4 if oracle == "bayesian" else 5  # of which the process proposes one
    return search_settings(oracle=oracle, workers=workers, trials=trials, folds=2 if oracle == "random" else None)


@functools.cache
def _unbroken(oracle: str, workers: int) -> Record:
    return searched(_resumed(oracle, workers))


def _kill_and_go_on(oracle: str, workers: int, write: int, turns: Sequence[int] = ()) -> Record:
    with tempfile.TemporaryDirectory() as folder:
        with killed_at_write(write):
            drive(Search(_resumed(oracle, workers), [], folder), turns=turns)
        saved = Path(folder, "search", "oracle.json")
        over = set(json.loads(saved.read_text())["end_order"]) if saved.exists() else set()
        search = Search(_resumed(oracle, workers), [], folder)
        assert {search.own_oracle.trials[trial_id].status for trial_id in over} <= {TrialStatus.COMPLETED}
        assert not {trial_id for trial_id, _, _ in drive(search)} & over
        return search.record()


@pytest.mark.parametrize("oracle", ["random", "grid", "hyperband"])
@settings(deadline=None, max_examples=15)
@given(write=st.integers(1, 55), workers=st.integers(1, 2), turns=TURNS)
def test_a_search_that_was_killed_ends_as_one_that_was_not(
    oracle: str, write: int, workers: int, turns: list[int]
) -> None:
    record, unbroken = _kill_and_go_on(oracle, workers, write, turns), _unbroken(oracle, workers)
    if oracle == "hyperband" and workers > 1:
        assert work(record) == work(unbroken)
    else:
        assert outcome(record) == outcome(unbroken)
        assert record.best == unbroken.best
    assert record.seed == unbroken.seed


@settings(deadline=None, max_examples=3)
@given(write=st.integers(1, 40), workers=st.integers(1, 2))
def test_a_bayesian_search_that_was_killed_ends_as_one_that_was_not(write: int, workers: int) -> None:
    assert outcome(_kill_and_go_on("bayesian", workers, write)) == outcome(_unbroken("bayesian", workers))


def test_a_search_over_a_small_space_that_was_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    settings = search_settings(oracle="hyperband", space=Space(layers=(1, 2), units=(8, 16)), epochs=9, factor=3)
    whole = searched(settings)
    for number in range(1, 80, 5):
        with killed_at_write(number):
            drive(Search(settings, [], str(tmp_path / str(number))))
        search = Search(settings, [], str(tmp_path / str(number)))
        drive(search)
        assert outcome(search.record()) == outcome(whole)


class Deadly:
    """A curve that takes its process with it whenever a trial comes to an epoch."""

    def __init__(self, trial: int, epoch: int):
        self._where = (trial, epoch)
        self.search: Search | None = None

    def __call__(self, values: Values, fold: int, epoch: int) -> float:
        assert self.search is not None
        if (len(self.search.own_oracle.trials), epoch) == self._where:
            raise Killed
        return rising(values, fold, epoch)

    def drive(self, folder: Path) -> Search:
        self.search = Search(search_settings(trials=4, prune_trials=False), [], str(folder))
        with contextlib.suppress(Killed):
            drive(self.search, self)
        return self.search


def test_what_kills_the_search_each_time_is_failed_with_that_reason(tmp_path: Path) -> None:
    curve = Deadly(trial=2, epoch=2)
    for _ in range(ATTEMPTS):
        assert len(curve.drive(tmp_path).own_oracle.trials) == 2
    trials = curve.drive(tmp_path).record().trials
    assert [trial.status for trial in trials] == ["completed", "failed", "completed", "completed"]
    assert trials[1].reason == KILLED
    whole = searched(search_settings(trials=4, prune_trials=False)).trials
    assert [trial.values for trial in trials] == [trial.values for trial in whole]
    assert [trial.curve for number, trial in enumerate(trials) if number != 1] == [
        trial.curve for number, trial in enumerate(whole) if number != 1
    ]
    # and once it is failed, it stays so
    assert [trial.status for trial in curve.drive(tmp_path).record().trials][1] == "failed"


def test_a_trial_that_was_under_way_is_measured_anew(tmp_path: Path) -> None:
    killed = Deadly(trial=2, epoch=3).drive(tmp_path).own_oracle.recorded()[1]
    assert len(killed.curve) == 2
    search = Search(search_settings(trials=4, prune_trials=False), [], str(tmp_path))
    trial = search.own_oracle.create_trial("worker-0")
    assert trial.trial_id == "1"
    assert dict(trial.hyperparameters.values) == killed.values
    assert search.own_oracle.recorded()[1].curve == ()


def test_the_clock_stands_still_while_a_search_is_interrupted(tmp_path: Path) -> None:
    search = Search(search_settings(), [], str(tmp_path))
    search.own_oracle._clock -= 100
    search.save()
    time.sleep(0.2)
    before = time.monotonic()
    resumed = Search(search_settings(), [], str(tmp_path)).own_oracle
    assert 100 <= resumed.seconds < 100.2 + time.monotonic() - before


def test_half_a_file_of_the_tuner_is_no_obstacle(tmp_path: Path) -> None:
    drive(Search(search_settings(), [], str(tmp_path)))
    (tmp_path / "search" / "tuner0.json").write_text("")  # KerasTuner does not write it in one go
    assert outcome(Search(search_settings(), [], str(tmp_path)).record()) == outcome(searched(search_settings()))


# Workers that are lost


def test_the_trial_of_a_worker_that_died_is_failed_and_what_it_still_says_is_not_heard(tmp_path: Path) -> None:
    oracle = Search(search_settings(), [], str(tmp_path)).own_oracle
    trial = oracle.create_trial("worker-0")
    oracle.update_trial(trial.trial_id, {FOLD.format(0): 0.5}, step=1)
    assert oracle.give_up("worker-0", "its process was killed")
    assert not oracle.give_up("worker-0", "its process was killed")
    assert not oracle.give_up("worker-1", "its process was killed")
    given_up = oracle.recorded()
    ended = copy.copy(trial)  # as it comes from another process
    ended.status = TrialStatus.COMPLETED
    assert oracle.update_trial(trial.trial_id, {FOLD.format(0): 0.9}, step=2).status == TrialStatus.STOPPED
    oracle.end_trial(ended)
    assert oracle.recorded() == given_up
    assert (given_up[0].status, given_up[0].reason, given_up[0].curve) == ("failed", "its process was killed", (0.5,))


def test_a_worker_that_was_started_anew_gets_its_trial_but_not_for_ever(tmp_path: Path) -> None:
    oracle = Search(search_settings(), [], str(tmp_path)).own_oracle
    for _ in range(ATTEMPTS):
        assert oracle.create_trial("worker-1").trial_id == "0"
        assert oracle.recorded()[0].curve == ()
        oracle.update_trial("0", {FOLD.format(0): 0.5}, step=1)
    assert oracle.create_trial("worker-1").trial_id == "1"
    assert [(trial.status, trial.reason) for trial in oracle.recorded()][:1] == [("failed", KILLED)]


def test_a_worker_that_outlives_its_chief_has_to_stop_and_its_trial_is_run_anew(tmp_path: Path) -> None:
    search = Search(search_settings(trials=1), [], str(tmp_path))
    search.save()
    trial = search.own_oracle.create_trial("worker-1")
    search.own_oracle.update_trial(trial.trial_id, {FOLD.format(0): 0.5}, step=1)
    anew = Search(search_settings(trials=1), [], str(tmp_path))
    assert anew.own_oracle.update_trial(trial.trial_id, {FOLD.format(0): 0.6}, step=2).status == TrialStatus.STOPPED
    trial.status = TrialStatus.COMPLETED
    anew.own_oracle.end_trial(trial)
    drive(anew)
    assert outcome(anew.record()) == outcome(searched(search_settings(trials=1)))


def test_a_failure_without_a_reason_says_so(tmp_path: Path) -> None:
    oracle = Search(search_settings(), [], str(tmp_path)).own_oracle
    trial = oracle.create_trial("worker-0")
    trial.status = TrialStatus.INVALID
    oracle.end_trial(trial)
    assert [(trial.status, trial.reason) for trial in oracle.recorded()] == [("failed", "no reason given")]
