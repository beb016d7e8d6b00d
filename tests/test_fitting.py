"""Fitting, on a few hundred rows."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss, roc_auc_score, roc_curve

from tests.support.small_fold import separable
from trainer import dataset, fitting, model
from trainer.dataset import Transactions
from trainer.metrics import average_precision
from trainer.settings import Loss, Network, Objective, Optimizer, Training

TRAIN, EVAL = separable(400, seed=1), separable(200, seed=2)
SMALL = Training(
    network=Network(units=(4,), dropout=0.1), learning_rate=0.02, batch_size=64, epochs=3, patience=None, seed=5
)


def _built(training: Training, train: Transactions = TRAIN) -> keras.Model:
    fitting.make_reproducible(training.seed)
    return fitting.build({}, training, train)


def _fit(training: Training, train: Transactions = TRAIN, **how: Any) -> tuple[keras.Model, dict[str, list[float]]]:
    network = _built(training, train)
    return network, fitting.fit(network, train, EVAL, training, task="Trainer", **how)


@functools.cache
def _fitted(training: Training) -> tuple[keras.Model, dict[str, list[float]]]:
    """A fit that several tests look at."""
    return _fit(training)


def _same(one: keras.Model, other: keras.Model, tolerance: float = 0.0) -> bool:
    return all(
        np.allclose(a, b, rtol=0, atol=tolerance) for a, b in zip(one.get_weights(), other.get_weights(), strict=True)
    )


def test_two_fits_with_one_seed_give_the_same_weights_and_another_seed_others() -> None:
    first, history = _fitted(SMALL)
    second, again = _fit(SMALL)
    assert _same(first, second)
    assert history == again
    other, _ = _fit(SMALL.model_copy(update={"seed": 6}))
    assert not _same(first, other)


def test_fitting_ranks_fraud_first_and_tells_so_each_epoch() -> None:
    reported: list[tuple[int, Mapping[str, float]]] = []

    def listen(epoch: int, measured: Mapping[str, float]) -> bool:
        reported.append((epoch, dict(measured)))
        return True

    network, history = _fit(SMALL.model_copy(update={"epochs": 8}), on_epoch=listen)
    scores = fitting.score(network, EVAL)
    assert history[fitting.OBJECTIVE][-1] == average_precision(EVAL.labels, scores, EVAL.weights)
    assert history["val_loss"][-1] == pytest.approx(log_loss(EVAL.labels, scores, sample_weight=EVAL.weights), rel=1e-5)
    assert history[fitting.OBJECTIVE][-1] > 2 * EVAL.fraud_rate
    assert history["loss"][-1] < history["loss"][0]
    names = {fitting.OBJECTIVE, "val_loss", "val_roc_auc", "val_recall_at_1_percent_false_positives"}
    assert [epoch for epoch, _ in reported] == list(range(1, 9))
    assert [measured for _, measured in reported] == [
        {name: history[name][epoch] for name in names} for epoch in range(8)
    ]
    assert {key: len(values) for key, values in history.items()} == dict.fromkeys(history, 8)


def test_ranking_metrics_are_those_of_sklearn() -> None:
    network, history = _fitted(SMALL)
    scores = fitting.score(network, EVAL)
    exact = {"y_true": EVAL.labels, "y_score": scores, "sample_weight": EVAL.weights}
    assert history["val_roc_auc"][-1] == pytest.approx(roc_auc_score(**exact), abs=1e-9)
    false_positives, recall, _ = roc_curve(**exact, drop_intermediate=False)
    expected = recall[false_positives <= 0.01].max()
    assert history["val_recall_at_1_percent_false_positives"][-1] == pytest.approx(expected, abs=1e-9)
    assert 0 < expected < 1


def test_whoever_listens_can_end_the_fit() -> None:
    ended, history = _fit(SMALL, on_epoch=lambda epoch, measured: epoch < 2)
    assert len(history["loss"]) == 2
    shorter, _ = _fit(SMALL, epochs=2)
    assert _same(ended, shorter)


def test_progress_is_reported_where_nobody_else_listens(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="fraud_pipeline.progress"):
        _, history = _fit(SMALL, epochs=2)
    lines = [record.getMessage() for record in caplog.records if record.name == "fraud_pipeline.progress"]
    best = np.maximum.accumulate(history[fitting.OBJECTIVE])
    assert lines == [f"Trainer {epoch}/2 average precision {best[epoch - 1]:.3f} on eval" for epoch in (1, 2)]


def test_early_stopping_puts_the_best_epochs_weights_back() -> None:
    wild = SMALL.model_copy(update={"learning_rate": 0.5, "epochs": 30})
    network, after_each = _built(wild), []

    def listen(epoch: int, measured: Mapping[str, float]) -> bool:
        after_each.append(network.get_weights())
        return True

    history = fitting.fit(network, TRAIN, EVAL, wild, task="Trainer", patience=3, on_epoch=listen)
    best = int(np.argmax(history[fitting.OBJECTIVE]))
    assert len(history["loss"]) == len(after_each) == best + 1 + 3
    last, kept = after_each[-1], after_each[best]
    np.testing.assert_equal(network.get_weights(), kept)
    assert any((one != other).any() for one, other in zip(kept, last, strict=True))


def test_a_fraud_counts_as_often_as_the_settings_say() -> None:
    times = np.where(TRAIN.labels > 0, 7, 1).astype(np.float32)
    heavier = Transactions(TRAIN.inputs, TRAIN.labels, times * TRAIN.weights)
    plain = SMALL.model_copy(update={"initial_bias": False})
    by_setting, _ = _fit(plain.model_copy(update={"fraud_weight": 7.0}))
    by_weight, _ = _fit(plain, heavier)
    assert _same(by_setting, by_weight, tolerance=1e-5)
    unweighted, _ = _fit(plain)
    assert not _same(by_setting, unweighted, tolerance=1e-2)
    assert fitting.score(by_setting, EVAL).mean() > fitting.score(unweighted, EVAL).mean()


def test_balanced_is_the_ratio_of_the_classes_in_the_population() -> None:
    ratio = float((TRAIN.weights * (1 - TRAIN.labels)).sum() / (TRAIN.weights * TRAIN.labels).sum())
    assert ratio > 5
    by_name, history = _fit(SMALL.model_copy(update={"fraud_weight": "balanced"}))
    by_number, same = _fit(SMALL.model_copy(update={"fraud_weight": ratio}))
    assert _same(by_name, by_number, tolerance=1e-5)
    assert history["loss"] == pytest.approx(same["loss"], rel=1e-5)
    # where both classes weigh the same, the first probability is a half
    (bias,) = _built(SMALL.model_copy(update={"fraud_weight": "balanced"})).get_layer("probability").get_weights()[1]
    assert bias == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("batch_size", [16, 4096], ids=["many steps an epoch", "one step an epoch"])
def test_a_network_that_diverges_is_an_error_that_names_the_learning_rate(batch_size: int) -> None:
    network = Network(units=(4, 4), activation="relu", dropout=0, weight_decay=0)
    diverging = SMALL.model_copy(update={"network": network, "learning_rate": 1e38, "batch_size": batch_size})
    with pytest.raises(FloatingPointError, match=r"Trainer: the loss is nan after 1 epochs; lower .* got 1e\+38"):
        _fit(diverging)


def test_scores_come_in_chunks_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _built(SMALL)
    whole = fitting.score(network, EVAL)
    assert whole.shape == (200,)
    assert whole.dtype == np.float32
    monkeypatch.setattr(fitting, "SCORING_BATCH", 64)
    assert fitting.score(network, EVAL) == pytest.approx(whole, abs=1e-6)


# Optimizers and losses

CLEAR, CLEAR_EVAL = separable(400, seed=1, noise=0.3), separable(200, seed=2, noise=0.3)
# adadelta's steps are as large as those of earlier updates, which are small at first
RATES = {"adadelta": 5.0, "sgd": 0.1, "adagrad": 0.1}


@functools.cache
def _learned(optimizer: Optimizer, loss: Loss) -> tuple[keras.Model, dict[str, list[float]]]:
    training = Training(
        network=Network(units=(8,), dropout=0),
        optimizer=optimizer,
        loss=loss,
        learning_rate=RATES.get(optimizer, 0.02),
        batch_size=32,
        epochs=10,
        fraud_weight="balanced",
        seed=3,
    )
    fitting.make_reproducible(training.seed)
    network = fitting.build({}, training, CLEAR)
    return network, fitting.fit(network, CLEAR, CLEAR_EVAL, training, task="Trainer")


KINDS = [(optimizer, "binary_crossentropy") for optimizer in get_args(Optimizer)]
KINDS += [("adam", loss) for loss in get_args(Loss)[1:]]


@pytest.mark.parametrize(("optimizer", "loss"), KINDS)
def test_every_optimizer_and_every_loss_learns_what_fraud_is(optimizer: Optimizer, loss: Loss) -> None:
    network, history = _learned(optimizer, loss)
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert history[fitting.OBJECTIVE][-1] > 0.8 > 5 * CLEAR_EVAL.fraud_rate
    scores = fitting.score(network, CLEAR_EVAL)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert np.ptp(scores) > 0.3


def _losses(loss: Loss, scores: np.ndarray) -> np.ndarray:
    labels, scores = CLEAR_EVAL.labels.astype(np.float64), scores.astype(np.float64)
    apart = np.abs(labels - scores)
    entropy = -np.log(1 - apart)
    return {
        "binary_crossentropy": entropy,
        "focal": apart**2 * entropy,
        "huber": np.where(apart <= 0.5, apart**2 / 2, apart / 2 - 0.125),
        "mean_absolute_error": apart,
    }[loss]


@pytest.mark.parametrize("loss", get_args(Loss))
def test_the_loss_on_eval_is_the_weighted_mean_of_the_one_that_is_trained(loss: Loss) -> None:
    network, history = _learned("adam", loss)
    expected = np.average(_losses(loss, fitting.score(network, CLEAR_EVAL)), weights=CLEAR_EVAL.weights)
    assert history["val_loss"][-1] == pytest.approx(expected, rel=1e-4)


# Epoch by epoch

DEEP = Network(units=(4, 3), dropout=0.4)
COURSES = {
    "adam and focal loss": {"fraud_weight": "balanced", "loss": "focal"},
    "sgd": {"optimizer": "sgd", "momentum": 0.5},
    "batch normalization and one batch an epoch": {
        "network": DEEP.model_copy(update={"batch_normalization": True}),
        "optimizer": "adamw",
        "batch_size": 4096,
    },
}
COURSE = pytest.mark.parametrize("name", COURSES)


def changed_training(name: str) -> Training:
    return SMALL.model_copy(update={"network": DEEP, "epochs": 4, **COURSES[name]})


def _course(network: Any, training: Training, epochs: range) -> list[fitting.EpochCheckpoint]:
    return list(fitting.fit_epochs(network, fitting.read(TRAIN, training, epochs), TRAIN, training, epochs))


def _judged(learned: fitting.EpochCheckpoint, training: Training, objective: Objective = "average_precision") -> float:
    return learned.judged(EVAL, training, objective, "trial 1")


@functools.cache
def _whole_course(name: str) -> tuple[keras.Model, list[fitting.EpochCheckpoint]]:
    training = changed_training(name)
    network = _built(training)
    return network, _course(network, training, range(4))


@COURSE
def test_a_course_comes_to_what_a_fit_comes_to(name: str) -> None:
    training = changed_training(name)
    network, history = _fit(training)
    other, course = _whole_course(name)
    assert _same(network, other, tolerance=1e-6)
    assert [learned.epochs for learned in course] == [1, 2, 3, 4]
    assert [float(learned.loss) for learned in course] == pytest.approx(history["loss"], rel=1e-5)
    # all of them are judged now: what was learned since makes no difference
    for objective in get_args(Objective):
        judged = [_judged(learned, training, objective) for learned in course]
        assert judged == pytest.approx(history[f"val_{objective}"], abs=1e-6)


@functools.cache
def _first_half(name: str) -> tuple[keras.Model, list[fitting.EpochCheckpoint]]:
    training = changed_training(name)
    network = _built(training)
    return network, _course(network, training, range(2))


@COURSE
def test_two_epochs_and_two_more_are_four(name: str) -> None:
    training = changed_training(name)
    begun, first = _first_half(name)
    network = _built(training.model_copy(update={"seed": 99}))
    fitting.build_optimizer(network)
    for variable, value in zip(fitting.state(network), fitting.state(begun), strict=True):
        variable.assign(value)
    rest = _course(network, training, range(2, 4))
    whole, course = _whole_course(name)
    assert [learned.epochs for learned in first + rest] == [1, 2, 3, 4]
    assert [_judged(learned, training) for learned in first + rest] == [
        _judged(learned, training) for learned in course
    ]
    assert _same(network, whole)
    assert not _same(network, begun)


def test_with_the_weights_alone_it_goes_on_as_another_course() -> None:
    """Without the generators of dropout and the optimizer's moments."""
    name = "adam and focal loss"
    training = changed_training(name)
    begun, _ = _first_half(name)
    careless = _built(training)
    careless.set_weights(begun.get_weights())
    other = _course(careless, training, range(2, 4))
    _, course = _whole_course(name)
    assert float(other[-1].loss) != float(course[-1].loss)


def test_many_portions_are_learned_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, training = _built(SMALL), SMALL
    monkeypatch.setattr(dataset, "CHUNKS_A_BLOCK", 10_000)
    monkeypatch.setattr(dataset, "CHUNK_BYTES", 12)  # a row
    _course(whole, training, range(2))
    monkeypatch.setattr(fitting, "read", functools.partial(_by_the_batch, fitting.read))
    parted = _built(SMALL)
    _course(parted, training, range(2))
    assert _same(whole, parted)


def _by_the_batch(read: Any, train: Transactions, training: Training, epochs: range) -> Iterator[Any]:
    for portion in read(train, training, epochs):
        for start in range(0, len(portion[1]), training.batch_size):
            rows = slice(start, start + training.batch_size)
            yield tf.nest.map_structure(lambda column, rows=rows: column[rows], portion)


def test_what_a_course_that_diverges_came_to_can_not_be_judged() -> None:
    network = Network(units=(4, 4), activation="relu", dropout=0, weight_decay=0)
    diverging = SMALL.model_copy(update={"network": network, "learning_rate": 1e38})
    learned, _ = _course(_built(diverging), diverging, range(2))
    with pytest.raises(FloatingPointError, match=r"trial 1: the loss is nan after 1 epochs; lower .* got 1e\+38"):
        _judged(learned, diverging)


@pytest.mark.parametrize("sparse", [False, True])
def test_adam_is_keras_own(sparse: bool) -> None:
    values, rows = tf.reshape(tf.range(12.0), (4, 3)), tf.constant([2, 0])
    learned = []
    for kind in (keras.optimizers.Adam, model.Adam):
        variable = keras.Variable(values)
        optimizer = kind(0.1)
        for step in range(1, 6):
            gradient = tf.sin(float(step) + values)
            if sparse:  # as an embedding's is
                gradient = tf.IndexedSlices(tf.gather(gradient, rows), rows, tf.constant([4, 3]))
            optimizer.apply([gradient], [variable])
        learned.append([np.array(each) for each in (variable, *optimizer.variables)])
    for own, keras_own in zip(*learned, strict=True):
        np.testing.assert_allclose(own, keras_own, rtol=1e-5, atol=1e-6)


# Networks that are taken again

OTHER_TRAIN = separable(150, seed=4)


def test_a_network_that_is_taken_again_learns_as_one_of_its_own() -> None:
    deep = Network(units=(4, 3), dropout=0.4, batch_normalization=True)
    base = SMALL.model_copy(update={"network": deep, "optimizer": "adamw", "epochs": 2})
    networks = fitting.NetworkCache()

    def taken_again(training: Training, train: Transactions) -> tuple[keras.Model, dict[str, list[float]]]:
        network = networks.fresh({}, training, train)
        return network, fitting.fit(network, train, EVAL, training, task="trial")

    first, begun = taken_again(base, TRAIN)
    changes = {"learning_rate": 0.1, "fraud_weight": "balanced", "batch_size": 32, "initial_bias": False}
    changed = base.model_copy(update=changes)
    # on a fold of another size
    network, history = taken_again(changed, OTHER_TRAIN)
    own, expected = _fit(changed, OTHER_TRAIN)
    assert network is first
    assert history == {name: expected[name] for name in history}
    assert expected.keys() - history.keys() == {"accuracy"}
    assert _same(network, own)
    assert np.array_equal(*(np.array(one.optimizer.learning_rate) for one in (network, own)))
    assert taken_again(base, TRAIN) == (first, begun)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": Network(units=(4,), dropout=0.2)},
        {"network": Network(units=(5,), dropout=0.1)},
        {"optimizer": "sgd"},
        {"loss": "focal"},
        {"momentum": 0.5},
        {"seed": 6},
    ],
    ids=["dropout", "units", "optimizer", "loss", "momentum", "seed"],
)
def test_a_network_of_another_structure_or_seed_is_made_anew(changes: dict[str, Any]) -> None:
    networks, training = fitting.NetworkCache(), SMALL.model_copy(update=changes)
    first = networks.fresh({}, SMALL, TRAIN)
    assert networks.fresh({}, training, TRAIN) is not first
    assert networks.fresh({}, SMALL, TRAIN) is first


def test_the_cache_keeps_no_more_networks_than_its_limit() -> None:
    networks = fitting.NetworkCache(most=2)
    shapes = [SMALL.model_copy(update={"network": Network(units=(units,))}) for units in (2, 3, 4)]
    first, second = (networks.fresh({}, training, TRAIN) for training in shapes[:2])
    assert networks.fresh({}, shapes[0], TRAIN) is first
    networks.fresh({}, shapes[2], TRAIN)
    # the one that was not used for longest was let go
    assert networks.fresh({}, shapes[0], TRAIN) is first
    assert networks.fresh({}, shapes[1], TRAIN) is not second
