"""Fitting on several devices at once: each takes its part of every batch, and all of them make the same step.

Keras' own way is not used, since it weighs all parts equally, but the last batch of an epoch is cut into uneven parts.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer import model
from trainer.distributed.settings import Distribution
from trainer.errors import InputError
from trainer.settings import Training


@dataclass(frozen=True)
class Replicas:
    """Copies of a network that are fitted as one, each on a device of its own.

    strategy: None for a single copy, which needs no strategy.
    """

    strategy: tf.distribute.Strategy | None = None

    @property
    def count(self) -> int:
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    @property
    def leads(self) -> bool:
        """Whether this process is the first or the only one, which measures and reports."""
        resolver = self.strategy.cluster_resolver if self.strategy else None
        return resolver is None or not resolver.task_id

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which networks are built and used."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def agreed(self, values: Sequence[float]) -> list[float]:
        """The first process's values, in every process; those of the others only have to be as many.

        Processes that decide by values of their own may decide differently, and would then wait for each other.
        """
        if self.strategy is None or self.strategy.cluster_resolver is None:
            return list(values)

        agreed: list[float] = _sender(self.strategy)(tf.constant(values, tf.float64)).numpy().tolist()
        return agreed

    def fit(
        self,
        network: keras.Model,
        examples: tf.data.Dataset,
        training: Training,
        *,
        steps: int,
        callbacks: Sequence[keras.callbacks.Callback],
        epochs: int,
    ) -> dict[str, list[float]]:
        """Keras' `fit`, or the same on several devices, which gives the weights and the history of a single device.

        Dropout is the exception: each device draws its own.
        """
        if self.strategy is None:
            fitted = network.fit(
                examples,
                steps_per_epoch=steps,
                epochs=epochs,
                callbacks=callbacks,
                verbose=0,
            )
            return dict(fitted.history)
        epoch = _Epoch(network, training, self)
        iterator = iter(self._shared(examples))
        listeners = keras.callbacks.CallbackList(callbacks, add_history=True, model=network, epochs=epochs, steps=steps)
        network.stop_training = False
        listeners.on_train_begin()
        for number in range(epochs):
            listeners.on_epoch_begin(number)
            listeners.on_epoch_end(number, epoch(iterator, steps))
            if network.stop_training:
                break
        listeners.on_train_end()
        return dict(network.history.history)

    def _shared(self, examples: tf.data.Dataset) -> tf.distribute.DistributedDataset:
        """For each replica its part of each batch, and how many rows the whole batch has; parts differ by one row.

        Every process reads all rows in the same order, so that a batch does not depend on the number of processes.
        """
        count = self.count

        def of_process(context: tf.distribute.InputContext) -> tf.data.Dataset:
            own = count // context.num_input_pipelines
            first = context.input_pipeline_id * own

            def parts(*batch: Any) -> tf.data.Dataset:
                rows = tf.shape(batch[-1])[0]

                def part(replica: tf.Tensor) -> tuple[Any, tf.Tensor]:
                    chosen = tf.range(replica, rows, count)
                    return tf.nest.map_structure(lambda column: tf.gather(column, chosen), batch), rows

                return tf.data.Dataset.range(first, first + own, output_type=tf.int32).map(_as_it_is(part))

            cut = examples.flat_map(_as_it_is(parts)).apply(
                # else the devices ask each other before every step whether there is a batch left
                tf.data.experimental.assert_cardinality(tf.data.experimental.INFINITE_CARDINALITY)
            )
            return cut.prefetch(2 * own).with_options(examples.options())

        assert self.strategy is not None
        return self.strategy.distribute_datasets_from_function(of_process)


@functools.cache
def _sender(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function that sends the first replica's numbers to all replicas."""

    def of_replica(values: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        first = context.replica_id_in_sync_group == 0
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, values, tf.zeros_like(values)))

    of_first: Callable[[tf.Tensor], tf.Tensor] = tf.function(
        lambda values: strategy.experimental_local_results(strategy.run(of_replica, args=(values,)))[0], autograph=False
    )
    return of_first


ONE = Replicas()
_as_it_is = tf.autograph.experimental.do_not_convert


def here(settings: Distribution) -> Replicas:
    """Replicas on the devices that this process sees, as the settings want them.

    Raises:
      InputError: the strategy is mirrored, but there is one device.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if settings.strategy == "mirrored" and len(devices) == 1:
        raise InputError(
            f"distribution.strategy is mirrored, but there is one device, {devices[0].name.removeprefix('/device:')}; "
            "give the Trainer several GPUs, or set distribution.strategy to auto"
        )
    if settings.strategy == "off" or len(devices) == 1:
        return ONE
    return Replicas(_mirrored(tuple(device.name for device in devices)))


@functools.cache  # with two strategies in a process, the messages of their devices get mixed up
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(devices)


def of_cluster() -> Replicas:
    """Replicas on all devices of all processes in TF_CONFIG; call it before anything else of TensorFlow."""
    return Replicas(tf.distribute.MultiWorkerMirroredStrategy())


class _Epoch:
    """An epoch on all replicas, in one call into TensorFlow."""

    def __init__(self, network: keras.Model, training: Training, replicas: Replicas):
        self._network = network
        self._row_losses = model.loss(training).call
        self._replicas = replicas
        self._loss, self._accuracy = keras.metrics.Mean(), keras.metrics.BinaryAccuracy()
        self._may_overflow = model.precision(training) == "mixed_float16"
        self._gradients_of = self._gradients
        # neither the whole step nor a normalization: XLA can't compile communication between devices
        if training.jit_compile and not training.network.batch_normalization:
            self._gradients_of = tf.function(self._gradients, autograph=False, jit_compile=True)
        self._run = tf.function(self._steps, autograph=False, reduce_retracing=True)
        strategy = replicas.strategy
        assert strategy is not None
        tf.function(lambda: strategy.run(self._draw_apart), autograph=False)()

    def __call__(self, iterator: Any, steps: int) -> dict[str, float]:
        for metric in (self._loss, self._accuracy):
            metric.reset_state()
        self._run(iterator, tf.constant(steps))
        return {"loss": float(self._loss.result()), "accuracy": float(self._accuracy.result())}

    def _draw_apart(self) -> None:
        """Gives each replica its own seeds for dropout; the first one's are those of a single device."""
        apart = tf.distribute.get_replica_context().replica_id_in_sync_group
        for layer in self._network.layers:
            if isinstance(layer, keras.layers.Dropout):
                state = layer.seed_generator.state
                state.assign(state + tf.cast([apart, 0], state.dtype))

    def _steps(self, iterator: Any, steps: tf.Tensor) -> None:
        strategy = self._replicas.strategy
        assert strategy is not None

        def step(done: tf.Tensor) -> tf.Tensor:
            strategy.run(self._step, args=iterator.get_next())
            return done + 1

        tf.while_loop(lambda done: done < steps, step, [tf.constant(0)], parallel_iterations=1)

    def _step(self, batch: Any, rows: tf.Tensor) -> None:
        inputs, labels, weights = batch
        count, total = float(self._replicas.count), tf.cast(rows, tf.float32)
        loss, scores, gradients = self._gradients_of(inputs, labels, weights, total)
        if self._may_overflow:
            gradients = _overflowing_together(gradients)
        # this also sums the gradients of all replicas
        self._network.optimizer.apply_gradients(zip(gradients, self._network.trainable_weights, strict=True))
        self._loss.update_state(count * loss, sample_weight=total / count)
        self._accuracy.update_state(labels, scores, sample_weight=weights)

    def _gradients(self, inputs: Any, labels: tf.Tensor, weights: tf.Tensor, total: tf.Tensor) -> Any:
        """This replica's part of the batch's loss, which is the sum of all parts; its scores; its gradients."""
        with tf.GradientTape() as tape:
            scores = self._network(inputs, training=True)
            loss = tf.reduce_sum(weights * self._row_losses(labels, scores)) / total
            if self._network.losses:
                loss += tf.add_n(self._network.losses) / float(self._replicas.count)
            scaled = self._network.optimizer.scale_loss(loss)
        return loss, scores, tape.gradient(scaled, self._network.trainable_weights)


def _overflowing_together(gradients: list[Any]) -> list[Any]:
    """Spoils all replicas' gradients where one's are not finite: Keras' loss scaling looks at the first one only."""
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(each))) for each in gradients])
    spoilt = tf.where(finite, 0.0, np.nan)
    spoilt = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, spoilt)
    return [tf.convert_to_tensor(each) + spoilt for each in gradients]
