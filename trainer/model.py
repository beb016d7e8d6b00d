"""The network: a multi-layer perceptron over numeric features and embedded categories."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from trainer.arrays import Array
from trainer.features import NUMERIC, categorical_key
from trainer.settings import Training

OUTPUT = "probability"  # name of the last layer
TENSOR_CORES = (7, 0)  # compute capability of NVIDIA's GPUs from which on they multiply in float16: Volta

logger = logging.getLogger(__name__)


def embedding_width(values: int) -> int:
    """Dimensions of the embedding of so many values: 3.2 times their fourth root, from 2 to 16.

    fastai's rule of thumb is similar: 1.6 times the power 0.56.
    """
    return max(2, min(16, round(float(3.2 * values**0.25))))


def build(width: int, categories: Mapping[str, int], training: Training, fraud_rate: float) -> FraudNetwork:
    """An uncompiled functional model from transformed features to the probability of fraud.

    Args:
      width: columns of the `numeric` input.
      categories: for each categorical column, how many indices it has.
      training: network and initial bias.
      fraud_rate: weighted share of fraud in training; the output starts there with `initial_bias`.

    Returns:
      Inputs `numeric` float32 [batch, width] and `category_<column>` int64 [batch, 1]; output float32 [batch, 1].
    """
    network = training.network
    policy = precision(training)
    # over the whole batch, not over a replica's part of it: else the model depends on the number of replicas
    normalization = {"synchronized": tf.distribute.get_strategy().num_replicas_in_sync > 1, "dtype": policy}
    inputs = {NUMERIC: keras.Input((width,), name=NUMERIC)}
    parts = [inputs[NUMERIC]]
    for column, values in categories.items():
        key = categorical_key(column)
        inputs[key] = keras.Input((1,), dtype="int64", name=key)
        name = f"embedding_{len(inputs) - 1}"
        embedding = keras.layers.Embedding(values, embedding_width(values), name=name, dtype=policy)
        parts.append(keras.layers.Flatten(dtype=policy)(embedding(inputs[key])))
    hidden = keras.layers.Concatenate(dtype=policy)(parts) if len(parts) > 1 else parts[0]
    # adamw decays weights itself
    penalized = network.weight_decay and training.optimizer != "adamw"
    regularizer = keras.regularizers.L2(network.weight_decay) if penalized else None
    dense = functools.partial(keras.layers.Dense, kernel_regularizer=regularizer, dtype=policy)
    for units in network.units:
        if network.batch_normalization:
            hidden = keras.layers.BatchNormalization(**normalization)(dense(units, use_bias=False)(hidden))
            hidden = keras.layers.Activation(network.activation, dtype=policy)(hidden)
        else:
            hidden = dense(units, activation=network.activation)(hidden)
        if network.dropout:
            hidden = keras.layers.Dropout(network.dropout, dtype=policy)(hidden)
    bias = keras.initializers.Constant(initial_bias(training, fraud_rate))
    # In float32 whatever the rest computes in: float16 has no number between 0 and 6e-8, nor between 0.9995 and 1.
    last = keras.layers.Dense(1, activation="sigmoid", bias_initializer=bias, name=OUTPUT, dtype="float32")
    return FraudNetwork(inputs, last(hidden), name="fraud_network")


def initial_bias(training: Training, fraud_rate: float) -> float:
    """The initial bias of the output, before its sigmoid: the log-odds of fraud in the weighted loss, or 0."""
    if not training.initial_bias:
        return 0.0
    # 0.17 % of transactions are fraud: starting from a bias of zero, the first epochs learn only that.
    return math.log(training.fraud_factor(fraud_rate) * fraud_rate / (1 - fraud_rate))


def precision(training: Training) -> str:
    """Keras' dtype policy of the hidden layers: float32, mixed_float16 or mixed_bfloat16.

    Weights are float32 in any case (Micikevicius et al. 2018). `mixed_precision: true` means float16 where a GPU is
    faster in it, and float32 elsewhere.
    """
    setting = training.mixed_precision
    if isinstance(setting, str):
        return f"mixed_{setting}"
    return "mixed_float16" if setting and _gains_by_float16() else "float32"


@functools.cache
def _gains_by_float16() -> bool:
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    slow = [gpu for gpu in details if gpu.get("compute_capability", (0, 0)) < TENSOR_CORES]
    if gpus and not slow:
        return True
    reason = f"{slow[0].get('device_name', 'the GPU')} has no tensor cores" if slow else "there is no GPU"
    logger.warning("training.mixed_precision is true, but %s: it trains in float32, which is as fast", reason)
    return False


class FraudNetwork(keras.Model):
    """A functional model that runs an epoch in one call into TensorFlow, so that Python does not slow it down.

    This is Keras' own `steps_per_execution`, except that the number of steps is not part of the traced graph, and that
    a training step is traced once, not twice: tracing takes longer than an epoch, and a search fits the same network
    to folds of different sizes.
    """

    train_function: Callable[[Any], Any] | None
    learn_function: Callable[[Any, int], tf.Tensor] | None = None
    score_function: Callable[[Sequence[tf.Tensor], Mapping[str, Array]], tf.Tensor] | None = None
    # not Keras' own `jit_compile`, which Keras switches off where operations must be deterministic
    by_xla: bool = False

    def set_epoch_steps(self, steps: int) -> None:
        """Sets how many steps an epoch has."""
        self.steps_per_execution = steps

    def make_train_function(self, force: bool = False) -> Callable[[Any], Any]:
        if self.train_function is None or force:
            train_step = self._compiled_step()

            @tf.function(reduce_retracing=True, autograph=False)
            def epoch(iterator: Any, steps: tf.Tensor) -> dict[str, tf.Tensor]:
                def step(done: tf.Tensor) -> tf.Tensor:
                    self.distribute_strategy.run(train_step, args=(iterator.get_next(),))
                    return done + 1

                tf.while_loop(lambda done: done < steps, step, [tf.constant(0)], parallel_iterations=1)
                metrics: dict[str, tf.Tensor] = self.get_metrics_result()
                return metrics

            self.train_function = lambda iterator: epoch(iterator, tf.constant(self.steps_per_execution))
        return self.train_function

    def _compiled_step(self) -> Callable[[Any], dict[str, tf.Tensor]]:
        step: Callable[[Any], dict[str, tf.Tensor]] = self.train_step
        if self.by_xla:
            step = tf.function(step, jit_compile=True, autograph=False)
        return step

    def make_learn_function(self) -> Callable[[Any, int], tf.Tensor]:
        """A function that learns from a portion of the rows, (inputs, label, weight), in batches of so many rows.

        It returns the mean loss since metrics were last reset. Like Keras' train function, it is made once, and it is
        not exported since it is a lambda.
        """
        if self.learn_function is None:
            train_step = self._compiled_step()
            portion = self._input_signature(), tf.TensorSpec((None, 1)), tf.TensorSpec((None,))

            @tf.function(input_signature=[portion, tf.TensorSpec((), tf.int32)], autograph=False)
            def learn(portion: Any, batch_size: tf.Tensor) -> tf.Tensor:
                rows = tf.shape(portion[1])[0]

                def step(start: tf.Tensor) -> tf.Tensor:
                    batch = tf.nest.map_structure(lambda column: column[start : start + batch_size], portion)
                    self.distribute_strategy.run(train_step, args=(batch,))
                    return start + batch_size

                tf.while_loop(lambda start: start < rows, step, [tf.constant(0)], parallel_iterations=1)
                return self.get_metrics_result()["loss"]

            learn.get_concrete_function()  # traced now, while its rows may still be read
            self.learn_function = lambda portion, batch_size: learn(portion, tf.constant(batch_size))
        return self.learn_function

    def make_score_function(self) -> Callable[[Sequence[tf.Tensor], Mapping[str, Array]], tf.Tensor]:
        """A function that returns the output with the weights of a `snapshot`, for inputs of any number of rows."""
        if self.score_function is None:
            weights = [tf.TensorSpec(weight.shape, weight.dtype) for weight in self.weights]

            @tf.function(input_signature=[weights, self._input_signature()], autograph=False)
            def score(weights: Sequence[tf.Tensor], inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
                with keras.StatelessScope(state_mapping=list(zip(self.weights, weights, strict=True))):
                    return self(inputs, training=False)

            score.get_concrete_function()
            self.score_function = lambda weights, inputs: score(weights, inputs)
        return self.score_function

    def _input_signature(self) -> dict[str, tf.TensorSpec]:
        return {name: tf.TensorSpec(tensor.shape, tensor.dtype) for name, tensor in self.input.items()}

    def snapshot(self) -> list[tf.Tensor]:
        """A copy of the weights, which further training does not change."""
        return [weight.value.read_value() for weight in self.weights]


def compile_model(model: FraudNetwork, training: Training, steps_per_epoch: int, *, measured: bool = True) -> None:
    """Gives the model its optimizer, its loss and, if `measured`, a metric; an epoch has `steps_per_epoch` steps."""
    own = optimizer(training)
    # adamw too decays the weights of the hidden layers only: the last bias holds the rate of fraud
    decayed = [id(layer.kernel) for layer in model.layers if isinstance(layer, keras.layers.Dense)][:-1]
    own.exclude_from_weight_decay([weight for weight in model.trainable_weights if id(weight) not in decayed])
    if precision(training) == "mixed_float16":
        # float16 has no gradient below 6e-8
        own = keras.optimizers.LossScaleOptimizer(own)
    model.compile(
        optimizer=own,
        loss=loss(training),
        weighted_metrics=[keras.metrics.BinaryAccuracy(name="accuracy")] if measured else None,
        jit_compile=False,
    )
    model.by_xla = training.jit_compile
    model.set_epoch_steps(steps_per_epoch)


def optimizer(training: Training) -> keras.optimizers.Optimizer:
    """Keras' optimizer, with Keras' defaults except for learning rate, momentum and weight decay."""
    rate = training.learning_rate
    if training.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=training.momentum, nesterov=training.momentum > 0)
    if training.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=training.network.weight_decay)
    kinds = {
        "adam": Adam,
        "rmsprop": keras.optimizers.RMSprop,
        "adagrad": keras.optimizers.Adagrad,
        "adadelta": keras.optimizers.Adadelta,
    }
    return kinds[training.optimizer](rate)


class Adam(keras.optimizers.Adam):
    """Keras' Adam, but with one operation for each variable: Keras' dozen take half of the time of tracing a step."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        number = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].value.handle,
            v=self._velocities[number].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), variable.dtype),  # dense: an embedding's is not
        )


def loss(training: Training) -> keras.losses.Loss:
    """The loss between label and output; its `call` returns the loss of each row.

    focal: (1 - p)^gamma times the cross-entropy (Lin et al. 2017). huber: quadratic up to 0.5, half-way between the
    classes, and linear beyond.
    """
    kinds = {
        "binary_crossentropy": keras.losses.BinaryCrossentropy,
        "focal": functools.partial(keras.losses.BinaryFocalCrossentropy, gamma=training.focal_gamma),
        "huber": functools.partial(keras.losses.Huber, delta=0.5),
        "mean_absolute_error": keras.losses.MeanAbsoluteError,
    }
    return kinds[training.loss]()
