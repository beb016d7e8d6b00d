"""Settings of network, training and resources: plain values that travel as JSON."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainer.frozen import Frozen, Seed

Activation = Literal["tanh", "relu", "selu", "gelu", "elu"]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop", "adagrad", "adadelta"]
Loss = Literal["binary_crossentropy", "focal", "huber", "mean_absolute_error"]
Shape = Literal["tapered", "equal"]
Objective = Literal["average_precision", "roc_auc", "recall_at_1_percent_false_positives", "loss"]

# Bounds far beyond what anybody has use for: a slip of the finger is refused before hours of work, not after.
Layers = Annotated[int, Field(gt=0, le=64)]
Units = Annotated[int, Field(gt=0, le=65_536)]
Penalty = Annotated[float, Field(ge=0, le=1_000)]
LearningRate = Annotated[float, Field(gt=0, le=1e38)]  # what diverges is said by the training itself
FocalGamma = Annotated[float, Field(ge=0, le=100)]
BatchSize = Annotated[int, Field(gt=0, le=16_777_216)]
Epochs = Annotated[int, Field(gt=0, le=100_000)]
FraudWeight = Annotated[float, Field(gt=0, le=1_000_000)]
Minutes = Annotated[float, Field(gt=0, le=527_040)]  # a year
_MOST_WEIGHTS = 100_000_000


def check_size(units: Sequence[int]) -> None:
    """Checks that a network of these hidden layers is not out of all reason.

    Raises:
      ValueError: it is.
    """
    weights = sum(before * after for before, after in itertools.pairwise(units))
    if weights > _MOST_WEIGHTS:
        layers = f"{len(units)} hidden layers of up to {max(units):,} neurons"
        raise ValueError(
            f"{layers} have {weights:,} weights between them; at most {_MOST_WEIGHTS:,} are possible, so take fewer "
            "or smaller layers"
        )


class Network(Frozen):
    """A multi-layer perceptron with a sigmoid output."""

    units: tuple[Units, ...] = Field(
        (32, 16), description="number of neurons of each hidden layer", min_length=1, max_length=64
    )
    # Features have heavy tails: under tanh, unlike relu, no single one of them can carry the score away.
    activation: Activation = Field("tanh", description="activation function of the hidden layers")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of each hidden layer's outputs that training drops")
    batch_normalization: bool = Field(
        False, description="whether each hidden layer is normalized by batch, before its activation"
    )
    weight_decay: Penalty = Field(
        1e-4, description="L2 penalty on the hidden layers' weights; with adamw decoupled from the gradient"
    )

    @property
    def shape(self) -> Shape:
        """`equal` where all of several hidden layers have the same width, else `tapered`."""
        return "equal" if len(self.units) > 1 and len(set(self.units)) == 1 else "tapered"

    @model_validator(mode="after")
    def _of_a_size(self) -> Network:
        check_size(self.units)
        return self


class Training(Frozen):
    """How the network is fitted."""

    network: Network = Field(Network(), description="the network's layers")
    optimizer: Optimizer = Field("adam", description="optimizer, of Keras")
    learning_rate: LearningRate = Field(1e-3, description="learning rate of the optimizer")
    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum of sgd; the other optimizers ignore it")
    loss: Loss = Field(
        "binary_crossentropy",
        description="loss function; huber and mean_absolute_error regress on the label and give no probabilities, so "
        "leave calibration on",
    )
    focal_gamma: FocalGamma = Field(2.0, description="how much less the focal loss weighs rows that are easy")
    batch_size: BatchSize = Field(512, description="rows of a training step")
    epochs: Epochs = Field(30, description="largest number of passes over the training split")
    initial_bias: bool = Field(
        True, description="whether the output starts at the log-odds of fraud, so that no epoch is spent on them"
    )
    fraud_weight: FraudWeight | Literal["balanced"] = Field(
        1.0,
        description="weight of a fraud in the loss, times its sampling weight; balanced: both classes weigh the same",
    )
    patience: Epochs | None = Field(
        5,
        description="training stops after this many epochs without a better average precision on eval; null: it "
        "runs through all epochs",
    )
    mixed_precision: bool | Literal["float16", "bfloat16"] = Field(
        False,
        description="whether hidden layers compute in 16 bits; true: in float16 on GPUs of capability 7 and more, "
        "where it is faster, and in 32 bits elsewhere",
    )
    jit_compile: bool = Field(
        False,
        description="whether XLA compiles the training step; compiling takes time, and a network as small as the "
        "default gains nothing by it",
    )
    seed: Seed = Field(7, description="seed of the initial weights, the order of the rows and dropout")

    def fraud_factor(self, fraud_rate: float) -> float:
        """`fraud_weight` as a number, for transactions of which a share `fraud_rate` is fraud."""
        return (1 - fraud_rate) / fraud_rate if self.fraud_weight == "balanced" else self.fraud_weight


class Resources(Frozen):
    """What a run may use of the machine."""

    memory_mb: int = Field(
        2048,
        ge=1024,
        le=16_777_216,
        description="MiB of memory that a local run aims at; transformed data larger than a sixteenth of it goes to a "
        "file in TMPDIR",
    )

    @property
    def data_bytes(self) -> int:
        """How many bytes of transformed data are held in memory; libraries and buffers need most of the budget."""
        return (self.memory_mb << 20) // 16
