"""The figures inside a real run of TFMA."""

from __future__ import annotations

import json

import apache_beam as beam
import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tensorflow_model_analysis.metrics import metric_types

from components.evaluation.figures import FIGURES, MONEY, Part, difference, figures
from components.evaluation.fraud_metrics import SLICE, FraudFigure, MetricSettings, Slice, _Figures, slices
from components.evaluation.scores import AMOUNT, LABEL, TIME, WEIGHT, Scores
from tests.support.small_scores import of_model, written
from trainer.decision.costs import Costs

SETTINGS = MetricSettings(Costs(), 20, (50.0,))
MODELS = ("candidate", "current", "tutorial")
BEAM = FnApiRunner()


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two files of scores by three models."""
    folder, generator = tmp_path_factory.mktemp("evaluation"), np.random.default_rng(1)

    def columns() -> dict[str, np.ndarray]:
        labels = (generator.random(150) < 0.1).astype(float)
        made = {LABEL: labels, WEIGHT: np.ones(150), AMOUNT: generator.choice([20.0, 80.0], 150)}
        made[TIME] = generator.uniform(0, 5 * 3600, 150)
        for model in MODELS:
            score = 1 / (1 + np.exp(-labels * 2 - generator.normal(0, 1, 150)))
            made |= of_model(model, score, score > 0.8)
        return made

    written(folder, columns(), columns())
    return str(folder)


def analyzed(evaluation: str, names: list[str]) -> dict[tuple[str, str], dict[str, float]]:
    """Figures by TFMA's model and slice."""
    output = f"{evaluation}/tfma"
    config = tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(name="candidate"),
            tfma.ModelSpec(name="baseline", is_baseline=True),
            tfma.ModelSpec(name="tutorial"),
        ],
        slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=["amount"])],
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[
                    tfma.MetricConfig(
                        class_name=FraudFigure.__name__,
                        module=FraudFigure.__module__,
                        config=json.dumps({"name": name}),
                    )
                    for name in names
                ],
                model_names=["candidate", "baseline", "tutorial"],
            )
        ],
    )
    with beam.Pipeline(BEAM) as pipeline:
        _ = (
            pipeline
            | beam.Create(list(slices(evaluation, ["amount"], SETTINGS)))
            | beam.Map(
                lambda of: {
                    tfma.SLICE_KEY_TYPES_KEY: [((of.name, str(of.key)),) if of.name else ()],
                    SLICE: of,
                }
            ).with_output_types(tfma.Extracts)
            | tfma.ExtractEvaluateAndWriteResults(
                eval_config=config,
                output_path=output,
                extractors=[
                    tfma.extractors.Extractor(
                        tfma.extractors.SLICE_KEY_EXTRACTOR_STAGE_NAME,
                        beam.Map(lambda extracts: extracts).with_output_types(tfma.Extracts),
                    )
                ],
            )
        )
    results = {}
    for metrics in tfma.load_metrics(output):
        key = "".join(each.bytes_value.decode() for each in metrics.slice_key.single_slice_keys)
        for each in metrics.metric_keys_and_values:
            if not each.key.is_diff:
                results.setdefault((each.key.model_name, key), {})[each.key.name] = each.value.double_value.value
    return results


def test_each_model_and_slice_has_the_figures_of_its_rows(evaluation: str) -> None:
    results = analyzed(evaluation, [*FIGURES, *MONEY])
    scores = Scores.open(evaluation)
    high = scores.column(AMOUNT) >= 50
    parts = {"": Part(scores), "0": Part(scores, ~high), "1": Part(scores, high)}
    names = {"candidate": "candidate", "baseline": "current", "tutorial": "tutorial"}
    assert set(results) == {(model, key) for model in names for key in parts}
    for (model, key), actual in results.items():
        expected = figures(parts[key], names[model], SETTINGS.costs, SETTINGS.alerts_a_day)
        assert {name: actual[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    for other in ("current", "tutorial"):
        value, interval = difference(Part(scores), "candidate", other)
        name = f"average_precision_above_{other}"
        differences = [results["candidate", ""][f"{name}{end}"] for end in ("", "_lower", "_upper")]
        assert differences == pytest.approx([value, *interval])
        assert np.isnan(results["candidate", "0"][name])  # of all transactions alone
        assert name not in results["baseline", ""]


def test_what_travels_between_workers_is_no_more_than_a_name(evaluation: str) -> None:
    elements = list(slices(evaluation, ["amount"], SETTINGS))
    assert elements == [
        Slice(evaluation, SETTINGS),
        Slice(evaluation, SETTINGS, "amount", 0),
        Slice(evaluation, SETTINGS, "amount", 1),
    ]
    combine = _Figures(metric_types.MetricKey("", model_name="candidate"))
    accumulator = combine.add_input(combine.create_accumulator(), elements[1])
    assert all(isinstance(value, float) for value in accumulator.values())
    merged = combine.merge_accumulators([combine.create_accumulator(), accumulator])
    output = combine.extract_output(combine.compact(merged))
    assert {key.name: value for key, value in output.items()} == pytest.approx(accumulator, nan_ok=True)
