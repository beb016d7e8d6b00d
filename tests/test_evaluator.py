"""The Evaluator on two small SavedModels: TFMA judges, and the verdict says why in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from sklearn.metrics import average_precision_score, roc_auc_score
from tfx.types import artifact_utils, channel_utils, standard_artifacts

from components.evaluation.challengers import FraudChallengers
from components.evaluation.figures import Part, figures
from components.evaluation.in_service import Standing
from components.evaluation.scores import CANDIDATE, CURRENT, Scores, write
from components.evaluation.split_totals import SplitTotals
from components.evaluation.verdict import Comparison, EvaluatorSettings, Verdict, _notes, _worse, read_verdict
from components.evaluation.words import money
from components.evaluator import Executor, FraudEvaluator, eval_config
from components.model_folder import read_manifest
from components.properties import AVERAGE_PRECISION_PROPERTY, FEATURES_PROPERTY, SPLITS_PROPERTY
from components.record_batches import raw_features
from tests.support.small_data import BEAM
from trainer import examples as example_files
from trainer.columns import EXAMPLE_WEIGHT, Columns
from trainer.decision.costs import Costs
from trainer.manifest import MANIFEST

COLUMNS = Columns(label="fraud", numeric=("good", "worse", "poor"), amount="euros", time="when")
SETTINGS = EvaluatorSettings(
    columns=COLUMNS,
    costs=Costs(),
    min_average_precision=0.6,
    min_roc_auc=0.9,
    max_average_precision_loss=0.05,
    challenger_margin=0.05,
)
ROWS = 300
FILE = "data_tfrecord-00000-of-00001.gz"
Outcome = tuple[Verdict, standard_artifacts.ModelBlessing, standard_artifacts.ModelEvaluation]


class Scored(tf.Module):
    """A model that finds its answer in a column of the transaction."""

    def __init__(self, column: str):
        super().__init__()
        self._spec = {column: tf.io.FixedLenFeature([1], tf.float32)}
        self._column = column

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False)
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        score = tf.io.parse_example(examples, self._spec)[self._column][:, 0]
        probability = score**2
        return {"score": score, "probability": probability, "decision": tf.cast(probability >= 0.3, tf.int64)}


def scores(seed: int, labels: np.ndarray, spread: float) -> np.ndarray:
    noisy = labels + np.random.default_rng(seed).normal(0, spread, len(labels))
    return (1 / (1 + np.exp(-noisy))).astype(np.float32)


class Judged:
    """The test split, the models that read its columns, and the executor that TFX would start."""

    def __init__(self, folder: Path, labels: np.ndarray):
        self.labels = labels
        self.weights = np.where(labels, 1, 5).astype(np.float32)
        self.columns = {
            name: scores(3, labels, spread) for name, spread in (("good", 0.3), ("worse", 0.36), ("poor", 3.0))
        }
        self.columns["fraud_too"] = labels.astype(np.float32)
        self.columns["all"] = 0.6 + 0.4 * self.columns["good"]  # ranks as `good` does, and stops all
        generator = np.random.default_rng(4)
        self.amounts = generator.choice([5.0, 50.0, 500.0, 5000.0], len(labels)).astype(np.float32)
        self.times = generator.integers(0, 172_800, len(labels)).astype(np.float32)
        self._folder = folder
        self._runs = 0
        self._evaluated: dict[Any, Any] = {}
        self.examples = standard_artifacts.Examples()
        self.examples.uri = str(folder / "examples")
        self.examples.split_names = artifact_utils.encode_split_names(["train", "eval", "test"])
        self.examples.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
        split = folder / "examples" / "Split-test"  # there is no other: none may be looked for
        split.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(split / FILE), "GZIP") as writer:
            for row in range(len(labels)):
                floats = {EXAMPLE_WEIGHT: self.weights[row], "euros": self.amounts[row], "when": self.times[row]}
                floats |= {name: at[row] for name, at in self.columns.items()}
                feature = {n: tf.train.Feature(float_list=tf.train.FloatList(value=[v])) for n, v in floats.items()}
                feature["fraud"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[int(labels[row])]))
                writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
        kinds = {**dict.fromkeys([*self.columns, EXAMPLE_WEIGHT, "euros", "when"], "float"), "fraud": "integer"}
        self.examples.set_string_custom_property(FEATURES_PROPERTY, json.dumps(kinds))
        test = {"name": "test", "rows": len(labels), "frauds": int(labels.sum())}
        test |= {"first": float(self.times.min()), "last": float(self.times.max())}
        self.examples.set_string_custom_property(SPLITS_PROPERTY, json.dumps([test]))

    def model(self, column: str | None, version: str = "") -> standard_artifacts.Model:
        """A Model artifact; empty, as CurrentModel leaves it, for None."""
        artifact = standard_artifacts.Model()
        artifact.uri = str(self._folder / f"model_{column}")
        artifact.set_string_custom_property("version", version)
        if column and not Path(artifact.uri).exists():
            self.save(Scored(column), column)
        return artifact

    def save(self, module: Scored, name: str) -> None:
        """Where `model` finds it by that name."""
        folder = self._folder / f"model_{name}" / "Format-Serving"
        tf.saved_model.save(module, str(folder), signatures={"serving_default": module.score})
        self.describe(name)

    def describe(self, name: str, columns: Columns = COLUMNS, **manifest: Any) -> None:
        """Writes a manifest beside that model."""
        path = self._folder / f"model_{name}" / "Format-Serving" / MANIFEST
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"columns": columns.model_dump(mode="json"), **manifest}))

    def challengers(self, **columns: str) -> FraudChallengers:
        """Challengers that each find their answer in a column."""
        artifact = FraudChallengers()
        artifact.uri = str(self._folder / "_".join(["challengers", *columns, *columns.values()]))
        Path(artifact.uri).mkdir(exist_ok=True)
        (Path(artifact.uri) / "challengers.json").write_text(json.dumps({name: {} for name in columns}))
        names = [f"{name}.{what}" for name in columns for what in ("score", "probability", "decision")]
        found = [self.columns[column] for column in columns.values()]
        outputs = [output for scores in found for output in (scores, scores**2, scores**2 >= 0.3)]
        write(artifact.uri, f"{artifact.uri}/{FILE}.arrow", names, [outputs])
        return artifact

    def evaluate(
        self,
        candidate: str,
        current: str | None = None,
        version: str = "",
        settings: EvaluatorSettings = SETTINGS,
        challengers: FraudChallengers | None = None,
    ) -> Outcome:
        """Verdict, blessing and evaluation; of equal arguments those of before."""
        key = (candidate, current, version, settings.model_dump_json(), challengers and challengers.uri)
        if key not in self._evaluated:
            self._evaluated[key] = self._evaluate(candidate, current, version, settings, challengers)
        return self._evaluated[key]

    def _evaluate(
        self,
        candidate: str,
        current: str | None,
        version: str,
        settings: EvaluatorSettings,
        challengers: FraudChallengers | None,
    ) -> Outcome:
        model, baseline = self.model(candidate), self.model(current, version)
        inputs: dict[str, list[Any]] = {"examples": [self.examples], "model": [model], "baseline_model": [baseline]}
        if challengers is not None:
            inputs["challengers"] = [challengers]
        channels = {key: channel_utils.as_channel(artifacts) for key, artifacts in inputs.items()}
        component = FraudEvaluator(
            examples=channels["examples"],
            model=channels["model"],
            current=channels["baseline_model"],
            challengers=channels.get("challengers"),
            settings=settings,
        )
        self._runs += 1
        folder = self._folder / f"run_{self._runs}"
        evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
        evaluation.uri, blessing.uri = str(folder / "evaluation"), str(folder / "blessing")
        context = Executor.Context(beam_pipeline_args=list(BEAM), tmp_dir=str(folder / "tmp"), unique_id="1")
        properties = {key: value for key, value in component.exec_properties.items() if value is not None}
        Executor(context).Do(inputs, {"evaluation": [evaluation], "blessing": [blessing]}, properties)
        return Verdict.load(evaluation.uri), blessing, evaluation

    def judge_again(self, outcome: Outcome, settings: EvaluatorSettings, standing: Standing | None = None) -> Verdict:
        """The verdict on the same figures, by settings at which TFMA does not look."""
        verdict, _, evaluation = outcome
        others = Scores.open(evaluation.uri).models[1:]
        splits = json.loads(self.examples.get_string_custom_property(SPLITS_PROPERTY))
        return read_verdict(
            evaluation.uri,
            verdict.current_version,
            settings,
            others,
            manifest={},
            splits=splits,
            standing=standing or Standing(),
        )

    def average_precision(self, column: str) -> float:
        return average_precision_score(self.labels, self.columns[column], sample_weight=self.weights)

    def roc_auc(self, column: str) -> float:
        return roc_auc_score(self.labels, self.columns[column], sample_weight=self.weights)


@pytest.fixture(scope="module", autouse=True)
def _without_arguments_and_in_batches() -> Iterator[None]:
    """TFX's Beam executors read the flags of the process: `-v` means another thing to them than to pytest."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", sys.argv[:1])
        patched.setattr(example_files, "batch_rows", lambda features: 70)  # of the one file
        yield


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    labels = (np.arange(ROWS) % 10 == 0).astype(np.int64)
    return Judged(tmp_path_factory.mktemp("judged"), labels)


def days_of(judged: Judged) -> float:
    return float(np.ptp(judged.times)) / 86_400


def worse_than_all(judged: Judged, settings: EvaluatorSettings = SETTINGS) -> Outcome:
    """A candidate that the model in service and one of the challengers beat."""
    challengers = judged.challengers(tutorial="poor", boosted_trees="good")
    return judged.evaluate("worse", current="good", version="17", settings=settings, challengers=challengers)


def better_than_all(judged: Judged) -> Outcome:
    """A candidate as good as the model in service, which dates from before calibration, and above the challenger."""

    class Old(Scored):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")], autograph=False)
        def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
            probability = tf.io.parse_example(examples, self._spec)[self._column][:, 0]
            return {"probability": probability, "decision": tf.cast(probability >= 0.5, tf.int64)}

    judged.save(Old("good"), "old")
    return judged.evaluate("good", current="old", version="3", challengers=judged.challengers(tutorial="worse"))


def test_a_good_model_is_blessed_where_nothing_is_in_service(judged: Judged) -> None:
    verdict, blessing, evaluation = judged.evaluate("good")
    assert verdict.blessed
    assert verdict.reasons == ()
    assert blessing.get_int_custom_property("blessed") == 1
    assert (verdict.current_version, verdict.current_metrics) == ("", {})
    assert verdict.metrics["average_precision"] == pytest.approx(judged.average_precision("good"), abs=1e-6)
    assert verdict.metrics["roc_auc"] == pytest.approx(judged.roc_auc("good"), abs=1e-6)
    assert verdict.metrics["weighted_transactions"] == pytest.approx(judged.weights.sum())
    assert evaluation.get_float_custom_property(AVERAGE_PRECISION_PROPERTY) == verdict.metrics["average_precision"]


def test_each_model_and_slice_has_the_figures_of_its_rows(judged: Judged) -> None:
    verdict, _, evaluation = worse_than_all(judged)
    scores = Scores.open(evaluation.uri)
    assert scores.models == (CANDIDATE, CURRENT, "boosted_trees", "tutorial")
    for name, column in (("label", judged.labels), ("amount", judged.amounts), ("time", judged.times)):
        np.testing.assert_array_equal(scores.column(name), column)
    np.testing.assert_array_equal(scores.of(CANDIDATE, "score"), judged.columns["worse"])
    np.testing.assert_array_equal(scores.of("tutorial", "score"), judged.columns["poor"])
    parts = {
        ("amount", "below 10"): judged.amounts < 10,
        ("amount", "1,000 and more"): judged.amounts >= 1000,
        ("hour", "05"): judged.times % 86_400 // 3600 == 5,
        ("day", "day 2"): judged.times >= 86_400,
    }
    cases = [(verdict.metrics, CANDIDATE, None), (verdict.current_metrics, CURRENT, None)]
    cases += [(verdict.challengers[name], name, None) for name in ("tutorial", "boosted_trees")]
    cases += [(verdict.slices[name][value], CANDIDATE, rows) for (name, value), rows in parts.items()]
    for metrics, model, rows in cases:
        expected = figures(Part(scores, rows), model, SETTINGS.costs, SETTINGS.alerts_a_day)
        expected = {name: None if np.isnan(value) else value for name, value in expected.items()}
        assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert list(verdict.slices["amount"]) == ["below 10", "10 to 100", "100 to 1,000", "1,000 and more"]
    assert list(verdict.slices["hour"]) == sorted(verdict.slices["hour"])
    assert list(verdict.slices["day"]) == ["day 1", "day 2"]
    for values in verdict.slices.values():
        assert sum(slice_["transactions"] or 0 for slice_ in values.values()) == ROWS


def test_tfma_s_own_tools_open_the_result(judged: Judged) -> None:
    verdict, _, evaluation = better_than_all(judged)
    for model, metrics in ((tfma.CANDIDATE_KEY, verdict.metrics), ("tutorial", verdict.challengers["tutorial"])):
        result = tfma.load_eval_result(evaluation.uri, model_name=model)
        precision = result.get_metrics_for_slice(())["average_precision"]["doubleValue"]
        assert precision == metrics["average_precision"]
    assert tfma.load_validation_result(evaluation.uri).validation_ok


def test_a_model_from_before_calibration_gives_its_probability_for_the_score(judged: Judged) -> None:
    verdict, _, evaluation = better_than_all(judged)
    scores = Scores.open(evaluation.uri)
    np.testing.assert_array_equal(scores.of(CURRENT, "score"), scores.of(CURRENT, "probability"))
    assert verdict.current_metrics["average_precision"] == pytest.approx(verdict.metrics["average_precision"])


@pytest.mark.parametrize("rows", [299, 301])
def test_scores_of_other_rows_are_refused(judged: Judged, rows: int) -> None:
    challengers = judged.challengers(tutorial="good")
    challengers.uri += f"_{rows}"
    Path(challengers.uri).mkdir()
    (Path(challengers.uri) / "challengers.json").write_text('{"tutorial": {}}')
    names = [f"tutorial.{what}" for what in ("score", "probability", "decision")]
    write(challengers.uri, f"{challengers.uri}/{FILE}.arrow", names, [[np.zeros(rows)] * 3])
    with pytest.raises(Exception, match=rf"holds {rows} scores for .*, which has 300 transactions"):
        judged.evaluate("good", challengers=challengers)


def test_below_the_thresholds_each_one_is_a_sentence(judged: Judged) -> None:
    precision, area = judged.average_precision("poor"), judged.roc_auc("poor")
    assert precision < 0.6
    assert area < 0.9
    verdict, blessing, evaluation = judged.evaluate("poor")
    assert not verdict.blessed
    assert set(verdict.reasons) >= {
        f"average precision is {precision:.3f} on the test split, below the least that was set, 0.6",
        f"ROC-AUC is {area:.3f} on the test split, below the least that was set, 0.9",
    }
    assert blessing.get_int_custom_property("blessed") == 0
    assert evaluation.get_float_custom_property(AVERAGE_PRECISION_PROPERTY) == pytest.approx(precision, abs=1e-6)


def test_a_model_that_may_be_worse_by_more_than_the_margin_is_not_blessed(judged: Judged) -> None:
    worse, good = judged.average_precision("worse"), judged.average_precision("good")
    assert 0.6 < worse < good
    verdict, blessing, _ = worse_than_all(judged)
    assert not verdict.blessed
    comparison, *_ = verdict.comparisons
    assert (comparison.against, comparison.margin, comparison.passed) == ("current", 0.05, False)
    assert comparison.difference == pytest.approx(worse - good, abs=1e-6)
    assert comparison.lower is not None
    assert comparison.upper is not None
    assert (
        f"average precision may be {-comparison.lower:.3f} below that of the model in service on the same transactions "
        f"(difference {comparison.difference:+.3f}, 95 % interval {comparison.lower:+.3f} to {comparison.upper:+.3f}), "
        "more than the margin of 0.05"
    ) in verdict.reasons
    assert blessing.get_int_custom_property("blessed") == 0
    assert verdict.current_version == "17"
    assert verdict.metrics["average_precision"] == pytest.approx(worse, abs=1e-6)
    assert verdict.current_metrics["average_precision"] == pytest.approx(good, abs=1e-6)


def allowing(judged: Judged, **margins: float | None) -> EvaluatorSettings:
    """Settings by which the same candidate may be as much below the model in service as it may be, and save less."""
    lower = worse_than_all(judged)[0].comparisons[0].lower
    assert lower is not None
    allowed = {"max_average_precision_loss": 0.001 - lower, "max_savings_loss": None}
    return SETTINGS.model_copy(update=allowed | margins)


def within_what_is_allowed(judged: Judged, **margins: float | None) -> Outcome:
    return worse_than_all(judged, allowing(judged, **margins))


def test_a_challenger_can_refuse_the_blessing(judged: Judged) -> None:
    verdict, blessing, _ = within_what_is_allowed(judged)
    passed = [(comparison.against, comparison.passed) for comparison in verdict.comparisons]
    assert passed == [("current", True), ("tutorial", True), ("boosted_trees", False), ("current", True)]
    assert not verdict.blessed
    assert blessing.get_int_custom_property("blessed") == 0
    (reason,) = verdict.reasons
    assert "below that of the boosted trees on the same transactions" in reason


def test_a_loss_within_what_is_allowed_is_blessed(judged: Judged) -> None:
    verdict, blessing, _ = within_what_is_allowed(judged, challenger_margin=1.0)
    assert verdict.blessed
    assert verdict.reasons == ()
    assert all(comparison.passed for comparison in verdict.comparisons)
    assert blessing.get_int_custom_property("blessed") == 1
    assert verdict.current_metrics["roc_auc"] == pytest.approx(judged.roc_auc("good"), abs=1e-6)


def test_a_model_that_saves_less_beyond_noise_is_not_blessed(judged: Judged) -> None:
    outcome = within_what_is_allowed(judged, challenger_margin=1.0)
    verdict = judged.judge_again(outcome, allowing(judged, challenger_margin=1.0, max_savings_loss=0.0))
    scores = Scores.open(outcome[2].uri)
    (comparison,) = [one for one in verdict.comparisons if one.figure == "savings"]
    saved, of_other = verdict.metrics["savings"], verdict.current_metrics["savings"]
    assert saved is not None
    assert of_other is not None
    assert comparison.difference == pytest.approx(saved - of_other)
    # by hand: what each transaction costs by the decisions of both, drawn anew for both at once
    cost = [
        Costs().of(scores.of(model, "decision") > 0, judged.labels, judged.amounts) for model in (CANDIDATE, CURRENT)
    ]
    drawn = np.random.default_rng(7).poisson(1.0, (4000, ROWS)) @ (judged.weights * (cost[1] - cost[0]))
    assert (comparison.lower, comparison.upper) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), rel=0.1)
    assert comparison.upper is not None
    assert comparison.upper < 0
    assert not comparison.passed
    assert not verdict.blessed
    (reason,) = verdict.reasons
    assert reason.startswith(f"it saves {money(-comparison.difference / days_of(judged), 'EUR')} less a day than the ")
    assert reason.endswith("beyond noise and more than evaluation.max_savings_loss allows, 0 EUR a day")
    loss = (of_other - saved) / days_of(judged)
    more = allowing(judged, challenger_margin=1.0, max_savings_loss=loss + 1)
    assert judged.judge_again(outcome, more).blessed


def test_an_average_precision_of_1_is_never_just_blessed(judged: Judged) -> None:
    judged.save(Scored("fraud_too"), "leaking")
    outcome = judged.evaluate("leaking")
    verdict, blessing, _ = outcome
    assert verdict.metrics["average_precision"] == 1
    assert blessing.get_int_custom_property("blessed") == 0
    (reason,) = verdict.reasons
    assert reason.startswith("average precision is 1.000 on the test split, above the most that is believed")
    assert "a column that is known only after the fact" in reason
    settings = SETTINGS.model_copy(update={"max_average_precision": 1.0})
    assert judged.judge_again(outcome, settings).blessed


def test_a_model_of_other_columns_is_replaced_only_where_that_was_set(judged: Judged) -> None:
    judged.save(Scored("good"), "other")
    judged.describe("other", COLUMNS.model_copy(update={"numeric": ("good", "age")}))
    verdict, blessing, evaluation = judged.evaluate("good", current="other", version="5")
    assert Scores.open(evaluation.uri).models == (CANDIDATE,)
    assert (verdict.current_version, verdict.comparisons) == ("", ())
    (reason,) = verdict.reasons
    assert "version 5 in service reads other columns" in reason
    assert "added here: worse, poor; gone: age" in reason
    assert blessing.get_int_custom_property("blessed") == 0
    settings = SETTINGS.model_copy(update={"replace_other_columns": True})
    manifests = [read_manifest(f"{judged.model(name).uri}/Format-Serving") for name in ("good", "other")]
    standing = Standing.from_manifests(manifests[0], manifests[1], "5", raw_features(judged.examples), settings)
    verdict = judged.judge_again((verdict, blessing, evaluation), settings, standing)
    assert verdict.blessed
    assert verdict.not_compared.startswith("version 5 in service reads other columns")


def test_a_model_is_compared_with_one_that_reads_fewer_columns(judged: Judged) -> None:
    judged.save(Scored("good"), "fewer")
    judged.describe("fewer", COLUMNS.model_copy(update={"numeric": ("good",)}))
    verdict, _, _ = judged.evaluate("worse", current="fewer", version="5")
    of_current = [one for one in worse_than_all(judged)[0].comparisons if one.against == CURRENT]
    assert verdict.comparisons == tuple(of_current)
    assert "added here: worse, poor" in verdict.notes[0]


def test_data_that_makes_no_sense_is_not_blessed_unless_that_was_accepted(judged: Judged) -> None:
    settings = SETTINGS.model_copy(update={"alerts_a_day": 1, "min_savings": None})
    overrun = judged.challengers(tutorial="poor")
    judged.save(Scored("all"), "all")
    settings = settings.model_copy(update={"challenger_margin": 1.0})
    outcome = judged.evaluate("all", settings=settings, challengers=overrun)
    accepting = settings.model_copy(update={"accept_implausible": True})
    for accepted, verdict in ((False, outcome[0]), (True, judged.judge_again(outcome, accepting))):
        alerts = verdict.metrics["alerts_a_day"]
        assert alerts is not None
        assert alerts > 100
        sentence = f"the model raises {alerts:,.0f} alerts a day, where a team can look at 1"
        assert any(sentence in each for each in (verdict.notes if accepted else verdict.reasons))
        assert verdict.blessed is accepted


DEAR = SETTINGS.model_copy(update={"costs": Costs(review=100_000, currency="USD")})


def test_a_model_that_costs_more_than_none_is_not_blessed(judged: Judged) -> None:
    verdict, _, _ = judged.evaluate("good", settings=DEAR)
    savings = verdict.metrics["savings"]
    assert savings is not None
    assert savings < 0
    assert verdict.reasons == (
        f"savings are {money(savings / days_of(judged), 'USD')} a day ({money(savings, 'USD')} on the test split) "
        "against no model, below the least that was set, 0 USD a day (0 USD on the test split)",
    )
    (note,) = verdict.notes
    assert note.endswith(f"less a day ({money(-savings, 'USD')} on the test split)")


def test_a_random_split_stands_for_all_of_its_days_and_savings_need_not_be_looked_at(judged: Judged) -> None:
    whole, _, _ = judged.evaluate("good", settings=DEAR)
    settings = DEAR.model_copy(update={"share": 0.2, "min_savings": None})
    part, _, evaluation = judged.evaluate("good", settings=settings)
    assert part.blessed
    assert Scores.open(evaluation.uri).share == 0.2
    for name in ("cost_a_day", "alerts_a_day"):
        before, after = whole.metrics[name], part.metrics[name]
        assert before is not None
        assert after == pytest.approx(5 * before)


def test_another_model_that_saves_more_is_named(judged: Judged) -> None:
    verdict, _, _ = worse_than_all(judged)
    saved, more = verdict.metrics["savings"], verdict.challengers["boosted_trees"]["savings"]
    assert saved is not None
    assert more is not None
    (note,) = [note for note in verdict.notes if "boosted" in note]
    a_day = [money(total / days_of(judged), "EUR") for total in (more - saved, more, saved)]
    assert note == (
        f"The boosted trees would save {a_day[0]} more a day ({money(more - saved, 'EUR')} on the test split): "
        f"{a_day[1]} against {a_day[2]}"
    )
    assert better_than_all(judged)[0].notes == ()


def test_without_a_fraud_the_figures_are_none_and_nothing_is_blessed(tmp_path: Path) -> None:
    judged = Judged(tmp_path, np.zeros(40, np.int64))
    verdict, blessing, evaluation = judged.evaluate("good")
    assert not verdict.blessed
    assert blessing.get_int_custom_property("blessed") == 0
    assert {verdict.metrics[name] for name in ("average_precision", "average_precision_lower", "roc_auc")} == {None}
    assert verdict.metrics["weighted_transactions"] == 200
    stopped = judged.columns["good"] ** 2 >= np.float32(0.3)
    cost = float(judged.weights @ Costs().of(stopped, judged.labels, judged.amounts))
    lost, a_day = money(cost, "EUR"), money(cost / days_of(judged), "EUR")
    (note,) = verdict.notes
    assert note.endswith(f" less a day ({lost} on the test split)")
    assert set(verdict.reasons) == {
        "average precision is not defined on the test split, below the least that was set, 0.6",
        "ROC-AUC is not defined on the test split, below the least that was set, 0.9",
        f"savings are -{a_day} a day (-{lost} on the test split) against no model, below the least that was set, 0 EUR "
        "a day (0 EUR on the test split)",
    }
    assert not evaluation.has_custom_property(AVERAGE_PRECISION_PROPERTY)


def test_a_verdict_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    comparison = Comparison("current", 0.1, None, 0.3, 0.05, False)
    verdict = Verdict(
        blessed=False,
        reasons=("too low", "too late"),
        metrics={"average_precision": None, "roc_auc": 0.5},
        current_metrics={},
        current_version="",
        slices={"amount": {"below 10": {"frauds": 0.0}}},
        challengers={"tutorial": {"roc_auc": 0.4}},
        comparisons=(comparison,),
        notes=("nothing is stopped",),
    )
    verdict.save(str(tmp_path))
    assert Verdict.load(str(tmp_path)) == verdict


def test_the_models_have_the_names_that_tfma_knows() -> None:
    candidate, current, tutorial = eval_config(SETTINGS, (CURRENT, "tutorial")).model_specs
    assert (candidate.name, candidate.is_baseline) == ("candidate", False)
    assert (current.name, current.is_baseline) == ("baseline", True)
    assert (tutorial.name, tutorial.is_baseline) == ("tutorial", False)


STOPS_SOME = {"true_positives": 3.0, "false_positives": 1.0, "weighted_transactions": 9.0}


@pytest.mark.parametrize(
    ("figures", "notes"),
    [
        (STOPS_SOME, []),
        ({**STOPS_SOME, "savings": 0.0}, []),
        ({**STOPS_SOME, "savings": -7.0}, ["No model at all would cost 7.00 EUR less on the test split"]),
        ({**STOPS_SOME, "weighted_transactions": 4.0}, ["The model stops every transaction of the test split"]),
        (dict.fromkeys(STOPS_SOME, 0.0), ["The model stops nothing on the test split"]),
        (
            {**dict.fromkeys(STOPS_SOME, 0.0), "savings": 0.0, "cost_without_model": 90.0},
            ["The model stops nothing on the test split: all fraud passes, 90.00 EUR"],
        ),
    ],
)
def test_what_no_threshold_looks_at_is_noted(figures: dict[str, float], notes: list[str]) -> None:
    assert _notes({CANDIDATE: figures}, SplitTotals(None, "EUR")) == notes


def test_a_model_that_would_save_more_is_named_with_the_figures_a_day() -> None:
    models = {CANDIDATE: {**STOPS_SOME, "savings": -20.0}, "boosted_trees": {"savings": 980.0}}
    assert _notes(models, SplitTotals(2.0, "EUR")) == [
        "No model at all would cost 10.00 EUR less a day (20.00 EUR on the test split)",
        "The boosted trees would save 500 EUR more a day (1,000 EUR on the test split): 490 EUR against -10.00 EUR",
    ]
    assert _notes(models, SplitTotals(None, "EUR"))[1] == (
        "The boosted trees would save 1,000 EUR more on the test split: 980 EUR against -20.00 EUR"
    )


def test_a_note_on_less_than_half_a_unit_does_not_say_none() -> None:
    models = {CANDIDATE: {**STOPS_SOME, "savings": 1.0}, "boosted_trees": {"savings": 1.5}}
    assert _notes(models, SplitTotals(2.0, "EUR")) == [
        "The boosted trees would save 0.25 EUR more a day (0.50 EUR on the test split): 0.75 EUR against 0.50 EUR"
    ]


def test_a_comparison_that_is_not_defined_has_a_reason() -> None:
    assert _worse("boosted_trees", {}, 0.1) == (
        "average precision can't be compared with that of the boosted trees: it is not defined on the test split"
    )


def test_without_amounts_there_are_no_figures_in_money() -> None:
    poor = SETTINGS.model_copy(update={"columns": COLUMNS.model_copy(update={"amount": None})})
    for settings, has_money in ((SETTINGS, True), (poor, False)):
        (spec,) = eval_config(settings, ()).metrics_specs
        names = {json.loads(metric.config)["name"] for metric in spec.metrics}
        assert ("savings" in names) is has_money
