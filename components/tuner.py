"""Tuner: TFX's, with the folds of a cross-validation before it and a record of the search after it."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from pydantic import ValidationError
from tfx import types
from tfx.components.tuner import component, executor
from tfx.dsl.components.base import base_beam_executor, base_component, executor_spec
from tfx.dsl.io import fileio
from tfx.orchestration import data_types
from tfx.proto import trainer_pb2
from tfx.types import artifact_utils, channel, component_spec, standard_artifacts, standard_component_specs
from tfx.utils import io_utils, json_utils

from components import folds
from components.properties import SOURCE_DIGEST
from components.record_batches import raw_features
from trainer import examples
from trainer.custom_config import TrainerSettings
from trainer.errors import InputError, faults
from trainer.preprocessing import preprocessing_fn
from trainer.search.tensorboard import log_trials
from trainer.search.tuning import SEARCH_FOLDER_KEY

_SPLIT = "train"
TENSORBOARD = "tensorboard"  # in the TunerResults artifact
# Execution properties of their own, since a run on a cluster may set them, but cannot reach into `custom_config`.
TRIALS = "trials"
BUDGET = "budget_minutes"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Searches in a folder that survives the process, so that a search that was killed continues where it was.

    The folder is named by a digest of all that the search depends on. It is deleted once the results are in their
    artifacts.
    """

    def Do(self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]) -> None:
        """Writes best_hyperparameters.txt and tuner_results.json as TFX does, and trials.json beside the latter."""
        custom_config = with_budget(exec_properties)
        settings = TrainerSettings.from_custom_config(custom_config)
        data = artifact_utils.get_single_instance(input_dict[standard_component_specs.EXAMPLES_KEY])
        graph = artifact_utils.get_single_uri(input_dict[standard_component_specs.TRANSFORM_GRAPH_KEY])
        uris = [artifact_utils.get_split_uri([data], split) for split in (_SPLIT, "eval")]
        files = examples.matching([io_utils.all_files_pattern(uri) for uri in uris])
        folder = os.path.join(
            custom_config[SEARCH_FOLDER_KEY] or self._get_tmp_dir(),
            digest(custom_config, exec_properties.get(SOURCE_DIGEST, ""), files, graph),
        )
        fileio.makedirs(folder)
        if settings.tuning.folds and not folds.is_there(folder):
            self._make_folds(folder, settings, custom_config, data, input_dict)
        search_properties = {
            **exec_properties,
            standard_component_specs.CUSTOM_CONFIG_KEY: json_utils.dumps({**custom_config, SEARCH_FOLDER_KEY: folder}),
        }
        tuner = executor.search(input_dict, search_properties, folder, print_tuning_summary=False)
        executor.write_best_hyperparameters(tuner, output_dict)
        results = artifact_utils.get_single_uri(output_dict[standard_component_specs.TUNER_RESULTS_KEY])
        record = tuner.record()
        record.save(results)
        log_trials(os.path.join(results, TENSORBOARD), record, os.path.basename(results))
        fileio.rmtree(folder)

    def _make_folds(
        self,
        folder: str,
        settings: TrainerSettings,
        custom_config: dict[str, Any],
        data: Any,
        input_dict: dict[str, Any],
    ) -> None:
        assert settings.tuning.folds is not None
        schema = io_utils.SchemaReader().read(
            io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY]))
        )
        files = examples.matching([io_utils.all_files_pattern(artifact_utils.get_split_uri([data], _SPLIT))])
        blocks = folds.plan(
            files,
            settings.columns,
            settings.split_by,
            settings.tuning.folds,
            settings.tuning.seed or settings.training.seed,
            raw_features(data),
        )
        blocks.save(folder)
        folds.analyze(
            folder, blocks, schema, preprocessing_fn, custom_config, self._make_beam_pipeline, self._get_tmp_dir()
        )
        folds.finish(folder)


def with_budget(exec_properties: dict[str, Any]) -> dict[str, Any]:
    """The custom_config with this run's own number of trials and minutes.

    Raises:
      InputError: they are not allowed.
    """
    custom_config: dict[str, Any] = json_utils.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
    budget = {TRIALS: exec_properties[TRIALS], BUDGET: exec_properties[BUDGET] or None}
    custom_config["settings"]["tuning"].update(budget)
    try:
        TrainerSettings.from_custom_config(custom_config)
    except ValidationError as error:
        texts = "; ".join(
            ": ".join([*map(str, fault.where[-1:]), fault.text]) for fault in faults(error, custom_config["settings"])
        )
        raise InputError(f"the search can't run with this run's parameters: {texts}") from error
    return custom_config


def digest(custom_config: dict[str, Any], source: str, files: Sequence[str], graph: str) -> str:
    """A name for the search, which is equal where the same trials would give the same scores.

    It does not depend on the workers or on the time limit, so that a search that ran out of memory can continue with
    fewer workers.

    source: digest of the code of the search.
    """
    own = copy.deepcopy({name: value for name, value in custom_config.items() if name != SEARCH_FOLDER_KEY})
    own["settings"].pop("resources", None)
    for name in ("workers", "external_workers", "budget_minutes"):
        own["settings"].get("tuning", {}).pop(name, None)
    stamps = [(file, status.length, status.mtime_nsec) for file in files for status in [tf.io.gfile.stat(file)]]
    return hashlib.sha256(json.dumps([own, source, stamps, graph], sort_keys=True).encode()).hexdigest()[:16]


class _Spec(standard_component_specs.TunerSpec):
    PARAMETERS = {
        **standard_component_specs.TunerSpec.PARAMETERS,
        TRIALS: component_spec.ExecutionParameter(type=int),
        BUDGET: component_spec.ExecutionParameter(type=float),
    }


class FraudTuner(component.Tuner):
    """TFX's Tuner, but resumable and with cross-validation, whose folds Beam makes."""

    SPEC_CLASS = _Spec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: channel.BaseChannel,
        schema: channel.BaseChannel,
        transform_graph: channel.BaseChannel,
        tuner_fn: str,
        custom_config: dict[str, Any],
        search_folder: str,
        trials: int | data_types.RuntimeParameter,
        budget_minutes: float | data_types.RuntimeParameter,
        train_args: trainer_pb2.TrainArgs | None = None,
        eval_args: trainer_pb2.EvalArgs | None = None,
    ):
        """trials, budget_minutes: replace those in the custom_config; 0 minutes means no limit."""
        # not Tuner's own __init__, which makes a specification without trials and minutes
        base_component.BaseComponent.__init__(
            self,
            _Spec(
                examples=examples,
                schema=schema,
                transform_graph=transform_graph,
                tuner_fn=tuner_fn,
                train_args=train_args or trainer_pb2.TrainArgs(),
                eval_args=eval_args or trainer_pb2.EvalArgs(),
                custom_config=json_utils.dumps({**custom_config, SEARCH_FOLDER_KEY: search_folder}),
                trials=trials,
                budget_minutes=budget_minutes,
                best_hyperparameters=types.Channel(type=standard_artifacts.HyperParameters),
                tuner_results=types.Channel(type=standard_artifacts.TunerResults),
            ),
        )
