"""What the trainer can be told: features, network, training and tuning; plain values that travel as JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from trainer.columns import Columns

Activation = Literal["tanh", "relu", "selu", "gelu", "elu"]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SamplingRates(Frozen):
    """Share of each class that the data holds of all there were, in (0, 1]; its inverse weighs an example."""

    fraud: float = Field(1.0, gt=0, le=1)
    legitimate: float = Field(1.0, gt=0, le=1)

    def weight(self, label: int) -> float:
        """How many real transactions one row of this class (1 fraud, 0 legitimate) stands for."""
        return 1.0 / (self.fraud if label else self.legitimate)


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
    weight_decay: float = Field(1e-4, ge=0, description="L2 penalty on the hidden layers' weights")


class Training(Frozen):
    """How the network is fitted."""

    network: Network = Network()
    learning_rate: PositiveFloat = 1e-3
    batch_size: PositiveInt = 512
    epochs: PositiveInt = 30
    initial_bias: bool = Field(True, description="start at the log-odds of fraud, so that no epoch is spent on them")
    fraud_weight: PositiveFloat = Field(1.0, description="weight of a fraud in the loss, beyond its sampling weight")
    patience: PositiveInt | None = Field(
        5, description="epochs without a better average precision on eval before training stops; null: never"
    )
    threshold: float | Literal["auto"] = Field(
        "auto", description="probability from which a transaction is stopped; auto: the best F1 on eval"
    )
    seed: int = Field(7, ge=0)

    def with_hyperparameters(self, values: dict[str, Any]) -> Training:
        """These settings with what the search found: `layers`, `units`, `dropout` and `learning_rate`."""
        network = self.network.model_copy(
            update={"units": tapered(values["units"], values["layers"]), "dropout": values["dropout"]}
        )
        return self.model_copy(update={"network": network, "learning_rate": values["learning_rate"]})


def tapered(units: int, layers: int) -> tuple[int, ...]:
    """Neurons of each hidden layer, halved from one to the next: 32 and 3 give 32, 16, 8."""
    return tuple(max(1, units >> layer) for layer in range(layers))


class Tuning(Frozen):
    """The random search over hyperparameters."""

    enabled: bool = True
    trials: PositiveInt = 4
    epochs: PositiveInt = 5
    layers: tuple[PositiveInt, ...] = Field((1, 2, 3), min_length=1)
    units: tuple[PositiveInt, ...] = Field((16, 32, 64), min_length=1)
    learning_rate: tuple[PositiveFloat, PositiveFloat] = Field(
        (3e-4, 1e-2), description="lowest and highest, log scale"
    )
    dropout: tuple[float, ...] = Field((0.0, 0.2), min_length=1)


class Resources(Frozen):
    """What a run may take of the machine."""

    memory_mb: int = Field(
        2048, ge=1024, description="MiB that a local run aims at; transformed data beyond a sixteenth goes to a file"
    )

    @property
    def data_bytes(self) -> int:
        """Transformed data that is held in memory: libraries and what is under way need most of the budget."""
        return (self.memory_mb << 20) // 16


class TrainerSettings(Frozen):
    """All that Transform, Tuner and Trainer are told, as one value in their `custom_config`."""

    columns: Columns
    features: Features = Features()
    training: Training = Training()
    tuning: Tuning = Tuning()
    resources: Resources = Resources()
    manifest: dict[str, Any] = Field(default_factory=dict, description="what to write beside the model about its data")

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> TrainerSettings:
        if not self.features.use_time and self.columns.inputs == (self.columns.time,):
            raise ValueError("the time is the only column to learn from and features.use_time is off; turn it on")
        return self

    def to_custom_config(self, source: str, *parts: str) -> dict[str, Any]:
        """A `custom_config` with the columns and these parts, so that a change elsewhere leaves the cache valid.

        `source` is a digest of the code that will run: a dotted path alone would not notice an edit.
        """
        return {"settings": self.model_dump(mode="json", include={"columns", *parts}), "source": source}

    @classmethod
    def from_custom_config(cls, custom_config: dict[str, Any]) -> TrainerSettings:
        return cls.model_validate(custom_config["settings"])
