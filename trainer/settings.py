"""What the trainer can be told, from features to decisions: plain values that travel as JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
)

from trainer.frozen import Frozen

Activation = Literal["tanh", "relu", "selu", "gelu", "elu"]
Optimizer = Literal["adam", "adamw", "sgd", "rmsprop", "adagrad", "adadelta"]
Loss = Literal["binary_crossentropy", "focal", "huber", "mean_absolute_error"]
Shape = Literal["tapered", "equal"]
Objective = Literal["average_precision", "roc_auc", "recall_at_1_percent_false_positives", "loss"]


class Features(Frozen):
    """How raw columns become the network's input."""

    scaling: Literal["standard", "unit_norm"] = Field(
        "standard", description="standard: zero mean, unit variance a column; unit_norm: each row to length 1"
    )
    clip: PositiveFloat | None = Field(10.0, description="bound of a standardized value, in standard deviations")
    use_time: bool = Field(True, description="hour of day as sine and cosine; off: the time column is dropped")
    log_amount: bool = Field(True, description="log(1 + amount) in place of the amount")
    max_vocabulary: PositiveInt = Field(1000, description="most frequent values kept of a categorical column")
    out_of_vocabulary: PositiveInt = Field(4, description="buckets that unseen values share")


class Network(Frozen):
    """A multi-layer perceptron with a sigmoid."""

    units: tuple[PositiveInt, ...] = Field((32, 16), description="neurons of each hidden layer", min_length=1)
    # Features have heavy tails: under tanh, unlike relu, no single one of them can carry the score away.
    activation: Activation = "tanh"
    dropout: float = Field(0.2, ge=0, lt=1)
    batch_normalization: bool = Field(False, description="of each hidden layer, before its activation")
    weight_decay: float = Field(
        1e-4, ge=0, description="L2 penalty on the hidden layers' weights; under adamw decoupled from the gradient"
    )

    @property
    def shape(self) -> Shape:
        """equal: all hidden layers have the same width."""
        return "equal" if len(self.units) > 1 and len(set(self.units)) == 1 else "tapered"


class Training(Frozen):
    """How the network is fitted."""

    network: Network = Network()
    optimizer: Optimizer = "adam"
    learning_rate: PositiveFloat = 1e-3
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd, Nesterov's; the others have none to set")
    loss: Loss = Field(
        "binary_crossentropy", description="huber and mean_absolute_error regress on the label: no probabilities"
    )
    focal_gamma: float = Field(2.0, ge=0, description="how much less the focal loss minds what is easy")
    batch_size: PositiveInt = 512
    epochs: PositiveInt = 30
    initial_bias: bool = Field(True, description="start at the log-odds of fraud, so that no epoch is spent on them")
    fraud_weight: PositiveFloat | Literal["balanced"] = Field(
        1.0,
        description="weight of a fraud in the loss, beyond its sampling weight; balanced: both classes weigh the same",
    )
    patience: PositiveInt | None = Field(
        5, description="epochs without a better average precision on eval before training stops; null: never"
    )
    mixed_precision: bool | Literal["float16", "bfloat16"] = Field(
        False,
        description="hidden layers compute in 16 bits; true: in float16 on GPUs of capability 7 and more, where it is "
        "faster, and not at all elsewhere",
    )
    jit_compile: bool = Field(
        False,
        description="compile a step by XLA, which takes its time and gains nothing for a network as small as this",
    )
    seed: int = Field(7, ge=0)

    def fraud_factor(self, fraud_rate: float) -> float:
        """`fraud_weight` as a number, where that share of the transactions is fraud."""
        return (1 - fraud_rate) / fraud_rate if self.fraud_weight == "balanced" else self.fraud_weight


class Resources(Frozen):
    """What a run may take of the machine."""

    memory_mb: int = Field(
        2048, ge=1024, description="MiB that a local run aims at; transformed data beyond a sixteenth goes to a file"
    )

    @property
    def data_bytes(self) -> int:
        """Transformed data that is held in memory: libraries and what is under way need most of the budget."""
        return (self.memory_mb << 20) // 16
