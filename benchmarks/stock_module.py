"""User code for stock TFX components, like that of TFX's own template; `benchmarks.stock_graph` uses it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import DataAccessor, FnArgs
from tfx.components.tuner.component import TunerFnResult
from tfx_bsl.public import tfxio

from trainer.custom_config import TrainerSettings
from trainer.search.settings import with_hyperparameters
from trainer.search.space import search_space
from trainer.settings import Training

SHUFFLED = 10_000  # rows in the buffer, the default of tf_dataset_factory
_OBJECTIVE = "val_pr_auc"


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Scales each column to zero mean and unit variance, and leaves the label as it is."""
    columns = TrainerSettings.from_custom_config(custom_config).columns
    outputs = {name: tft.scale_to_z_score(inputs[name]) for name in columns.inputs}
    return {**outputs, columns.label: inputs[columns.label]}


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """KerasTuner's random search over the space that our own search has."""
    settings = TrainerSettings.from_custom_config(fn_args.custom_config)
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    return TunerFnResult(
        tuner=random_search(settings, fn_args.working_dir),
        fit_kwargs=_fit_arguments(fn_args, transform, settings, settings.tuning.epochs),
    )


def random_search(settings: TrainerSettings, folder: str) -> keras_tuner.RandomSearch:
    """A random search over `settings.tuning.space`; optimizer, loss, normalization and batch size have no effect."""

    def build(hyperparameters: keras_tuner.HyperParameters) -> keras.Model:
        return network(settings, with_hyperparameters(settings.training, hyperparameters.values))

    return keras_tuner.RandomSearch(
        build,
        objective=keras_tuner.Objective(_OBJECTIVE, "max"),
        max_trials=settings.tuning.trials,
        hyperparameters=search_space(settings),
        seed=settings.training.seed,
        directory=folder,
        project_name="search",
        overwrite=True,
    )


def run_fn(fn_args: FnArgs) -> None:
    """Fits the best network of the search for all epochs and exports it."""
    settings = TrainerSettings.from_custom_config(fn_args.custom_config)
    transform = tft.TFTransformOutput(fn_args.transform_output)
    model = network(settings, with_hyperparameters(settings.training, fn_args.hyperparameters["values"]))
    history = model.fit(
        **_fit_arguments(fn_args, transform, settings, settings.training.epochs),
        callbacks=[keras.callbacks.TensorBoard(fn_args.model_run_dir, update_freq="epoch")],
    ).history
    served = Served(model, transform, settings.columns.label)
    tf.saved_model.save(served, fn_args.serving_model_dir, signatures={"serving_default": served.serve})
    with open(os.path.join(fn_args.model_run_dir, "history.json"), "w") as file:
        json.dump({"parameters": model.count_params(), **history}, file, default=float)


def network(settings: TrainerSettings, training: Training) -> keras.Model:
    """Our network on a scalar input for each column, as the template has it; compiled."""
    inputs = {name: keras.Input((1,), name=name) for name in settings.columns.inputs}
    hidden = keras.layers.Concatenate()(list(inputs.values()))
    shape = training.network
    regularizer = keras.regularizers.L2(shape.weight_decay) if shape.weight_decay else None
    for units in shape.units:
        hidden = keras.layers.Dense(units, activation=shape.activation, kernel_regularizer=regularizer)(hidden)
        if shape.dropout:
            hidden = keras.layers.Dropout(shape.dropout)(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(
        optimizer=keras.optimizers.Adam(training.learning_rate),
        loss=keras.losses.BinaryCrossentropy(),
        metrics=[keras.metrics.AUC(curve="PR", name="pr_auc")],
    )
    return model


def _fit_arguments(
    fn_args: FnArgs, transform: tft.TFTransformOutput, settings: TrainerSettings, epochs: int
) -> dict[str, Any]:
    def read(files: Sequence[str]) -> tf.data.Dataset:
        return dataset(files, fn_args.data_accessor, transform, settings)

    return {
        "x": read(fn_args.train_files),
        "validation_data": read(fn_args.eval_files),
        "epochs": epochs,
        "verbose": 2,
    }


def dataset(
    files: Sequence[str], accessor: DataAccessor, transform: tft.TFTransformOutput, settings: TrainerSettings
) -> tf.data.Dataset:
    """(features, label) in shuffled batches, once through the materialized examples."""
    options = tfxio.TensorFlowDatasetOptions(
        batch_size=settings.training.batch_size,
        label_key=settings.columns.label,
        num_epochs=1,
        shuffle_buffer_size=SHUFFLED,
    )
    return accessor.tf_dataset_factory(files, options, transform.transformed_metadata.schema)


class Served(tf.Module):
    """Transform's graph and the network, behind serialized tf.Examples."""

    def __init__(self, model: keras.Model, transform: tft.TFTransformOutput, label: str):
        super().__init__()
        self.model = model
        self.transform_layer = transform.transform_features_layer()
        self._spec = {name: spec for name, spec in transform.raw_feature_spec().items() if name != label}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False)
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """examples: string [batch]; probability: float32 [batch]."""
        features = self.transform_layer(tf.io.parse_example(examples, self._spec))
        return {"probability": self.model(features, training=False)[:, 0]}
