"""A second data set, the tutorial's configuration, broken data and a killed run."""

from __future__ import annotations

import datetime
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.support.command_line import ROOT, Finished
from trainer.columns import LabelValues


def write_shop_payments(path: Path, rows: int = 6000) -> None:
    """Merchant category, country, device, card and gaps; frauds are dearer, riskier and bought online.

    It is written as a European bank may: semicolons, decimal commas, the day first, and the label in words.
    """
    generator = np.random.default_rng(3)
    fraud = generator.random(rows) < 0.05
    start = datetime.datetime(2024, 3, 1, tzinfo=datetime.timezone.utc)
    seconds = np.sort(generator.uniform(0, 86_400 * 20, rows))
    usual, online = ["grocery", "travel", "online", "fuel"], ["travel", "online"]
    category = np.where(fraud, generator.choice(online, rows), generator.choice(usual, rows)).astype(object)
    frame = pd.DataFrame(
        {
            "payment_id": np.arange(rows),
            "is_fraud": np.where(fraud, "Yes", "No"),
            "timestamp": [(start + datetime.timedelta(seconds=s)).strftime("%d.%m.%Y %H:%M:%S") for s in seconds],
            "amount": np.round(np.exp(generator.normal(3 + 1.2 * fraud, 1)), 2),
            "merchant_category": category,
            "country": pd.Series(generator.choice(["DE", "FR", "US", "BR"], rows)).mask(generator.random(rows) < 0.1),
            "device_code": pd.Series(generator.integers(1, 40, rows))
            .astype("Int64")
            .mask(generator.random(rows) < 0.2),
            "risk": np.round(generator.normal(2.0 * fraud, 1), 4),
            "customer_age": pd.Series(generator.normal(40, 12, rows).round(1)).mask(generator.random(rows) < 0.3),
            "card_number": 4_000_000_000_000_000 + generator.integers(0, 400, rows),
        }
    )
    frame.to_csv(path, index=False, sep=";", decimal=",")


@pytest.fixture(scope="module")
def shop(fraud_pipeline, tmp_path_factory) -> tuple[Path, Path]:
    """The data and the config that `init` proposes for it."""
    folder = tmp_path_factory.mktemp("shop")
    write_shop_payments(folder / "payments.csv")
    proposed = fraud_pipeline("init", str(folder / "payments.csv"), "--output", str(folder / "shop.yaml"))
    assert proposed.code == 0, proposed.output
    return folder / "payments.csv", folder / "shop.yaml"


def test_init_proposes_roles_and_does_not_overwrite(shop, fraud_pipeline):
    from pipeline.config import load

    data, config = shop
    columns = load(config).roles
    assert (columns.label, columns.time, columns.time_format) == ("is_fraud", "timestamp", "%d.%m.%Y %H:%M:%S")
    assert columns.label_values == LabelValues(fraud=("Yes",), legitimate=("No",))
    assert columns.amount == "amount"
    assert {name: written.decimal for name, written in columns.numbers.items()} == dict.fromkeys(
        ("amount", "risk", "customer_age"), ","
    )
    assert set(columns.numeric) == {"risk", "customer_age"}
    assert set(columns.categorical) == {"merchant_category", "country", "device_code"}
    assert columns.categorical["device_code"] == "integer"
    assert columns.id == "payment_id"
    assert columns.entities == ("card_number",)
    assert yaml.safe_load(config.read_text())["workspace"] == "workspaces/shop"
    assert "currency: unknown" in config.with_suffix(".card.yaml").read_text()
    assert config.with_suffix(".schema.pbtxt").is_file()
    again = fraud_pipeline("init", str(data), "--output", str(config))
    assert again.code == 2
    assert "--force" in again.output


@pytest.fixture(scope="module")
def killed(shop: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The workspace of a run that was killed in the middle of Transform, and the arguments that go on with it."""
    workspace = tmp_path_factory.mktemp("shop") / "workspace"
    settings = [f"workspace={workspace}", "tuning.trials=1", "tuning.epochs=2", "training.epochs=12"]
    settings += ["evaluation.min_roc_auc=0.8", "evaluation.min_average_precision=0.2"]
    arguments = ["--config", str(shop[1]), *(word for setting in settings for word in ("--set", setting))]
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "DataGate" in line:
                time.sleep(0.5)
                os.killpg(process.pid, signal.SIGKILL)
                break
        process.wait(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not (workspace / "serving").exists()
    return workspace, arguments


@pytest.fixture(scope="module")
def finished(killed: tuple[Path, list[str]], fraud_pipeline: Callable[..., Finished]) -> Finished:
    return fraud_pipeline("run", *killed[1])


def test_a_killed_run_goes_on_from_the_last_finished_component(finished):
    assert finished.code == 0, finished.output
    for component in ("ExampleGen", "StatisticsGen", "ImportSchemaGen", "ExampleValidator", "DataGate"):
        assert finished.components[component] == "cached"
    assert finished.components["Transform"] == finished.components["Trainer"] == "ran"


def test_a_second_data_set_goes_through_by_configuration_alone(killed, finished, fraud_pipeline):
    workspace, arguments = killed
    checked = fraud_pipeline("check", *arguments)
    assert checked.code == 0, checked.output
    assert finished.code == 0, finished.output
    (report,) = workspace.glob("artifacts/Report/report/*/report.html")
    assert re.search(r'data-name="payment_id">\d{4}</td>', report.read_text())
    (model,) = (workspace / "serving").iterdir()
    code = (
        "import sys, tensorflow as tf\n"
        "call = tf.saved_model.load(sys.argv[1]).signatures['serving_raw']\n"
        "lowest = tf.int64.min\n"
        "result = call(timestamp=tf.constant(['2024-03-05T23:10:00+00:00', '2024-03-05T12:00:00+00:00', '']),\n"
        "  amount=tf.constant([900.0, 5.0, float('nan')]), risk=tf.constant([4.0, -2.0, 0.0]),\n"
        "  customer_age=tf.constant([float('nan'), 41.0, 30.0]), country=tf.constant(['', 'DE', 'unseen']),\n"
        "  merchant_category=tf.constant(['online', 'fuel', 'unseen']),\n"
        "  device_code=tf.constant([lowest, 7, 10**12], tf.int64))\n"
        "print(*result['probability'].numpy().tolist())"
    )
    scored = subprocess.run([sys.executable, "-c", code, str(model)], capture_output=True, text=True, timeout=120)
    assert scored.returncode == 0, scored.stderr
    suspect, harmless, unknown = map(float, scored.stdout.split())
    assert suspect > 0.5 > 0.05 > harmless
    assert 0 < unknown < 1


def test_the_tutorial_is_one_configuration(transactions, fraud_pipeline, tmp_path):
    done = fraud_pipeline(
        "run",
        "--config",
        "configs/tutorial.yaml",
        "--set",
        f"workspace={tmp_path}",
        "--set",
        f"data.path={transactions}",
    )
    assert done.code == 0, done.output
    assert "Tuner" not in done.components
    (log,) = (tmp_path / "logs").glob("run-*.log")
    text = log.read_text()
    assert "Total params: 361" in text
    assert "Trainer 20/20" in text


def test_bad_data_stops_the_run_in_words_and_pushes_nothing(fraud_pipeline, tmp_path):
    from pipeline.data import synthesis

    synthesis.write(tmp_path / "good.csv", rows=4000, seed=5, fraud_rate=0.05)
    frame = pd.read_csv(tmp_path / "good.csv")
    frame.loc[10, "V5"] = 1e6
    frame.loc[20:400, "V7"] = np.nan
    frame.to_csv(tmp_path / "bad.csv", index=False)
    workspace = tmp_path / "workspace"
    stopped = fraud_pipeline("run", "--set", f"workspace={workspace}", "--set", f"data.path={tmp_path / 'bad.csv'}")
    assert stopped.code == 2, stopped.output
    assert stopped.components["DataGate"] == "failed"
    assert "Transform" not in stopped.components
    table = next(part for part in stopped.output.split("What is wrong with the data")[1:])
    assert "V5" in table
    assert "V7" in table
    assert not (workspace / "serving").exists()
