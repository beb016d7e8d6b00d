"""`fraud-pipeline kubeflow`: what the commands print, and the codes they end with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import cli
from pipeline.kubeflow import api as api_module
from pipeline.kubeflow import following
from tests.support.command_line import Finished
from tests.support.kfp_server import KfpServer, nothing_from_outside

ROOT = Path(__file__).resolve().parents[1]
STAGES = [
    {"ExampleGen": "running"},
    {"ExampleGen": "done", "Trainer": "running"},
    {"ExampleGen": "done", "Trainer": "done", "Pusher": "cached"},
]
FAILED = {"ExampleGen": "done", "Trainer": "failed"}


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch, tmp_path):
    nothing_from_outside(monkeypatch, tmp_path)
    monkeypatch.setattr(following, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def server():
    with KfpServer() as running:
        yield running


@pytest.fixture(scope="module")
def compiled(fraud_pipeline, tmp_path_factory) -> tuple[Path, Finished]:
    """The pipeline that configs/kubeflow.yaml compiles to, and the command that did it."""
    path = tmp_path_factory.mktemp("compiled") / "made" / "pipeline.yaml"
    return path, fraud_pipeline("kubeflow", "compile", "-o", str(path))


@pytest.fixture
def kubeflow(monkeypatch, capsys, server):
    """A command, run in this process against the server."""

    def call(*arguments: str, endpoint: str | None = None) -> Finished:
        where = [] if arguments[0] in ("compile", "lint") else ["--endpoint", endpoint or server.endpoint]
        monkeypatch.setattr(sys, "argv", ["fraud-pipeline", "kubeflow", *arguments, *where])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        return Finished(ended.value.code, shown.out + shown.err)

    return call


@pytest.fixture
def submitted(kubeflow, server, compiled):
    """`submit` of the compiled pipeline."""

    def call(*arguments: str) -> Finished:
        return kubeflow("submit", str(compiled[0]), *arguments)

    return call


def words(done: Finished) -> str:
    return " ".join(done.output.split())


# Compiling and checking


def broken_copy(path: Path, folder: Path) -> Path:
    copy = folder / "broken.yaml"
    text, times = re.subn(r"schemaVersion: .*", "schemaVersion: '2.0.0'", path.read_text())
    assert times == 1
    copy.write_text(text)
    return copy


def test_compile_writes_a_pipeline_that_is_in_order_and_says_what_comes_next(compiled, kubeflow):
    path, done = compiled
    assert done.code == 0, done.output
    assert f" kubeflow submit {path}\n" in done.output
    assert "registry.example.com/fraud-pipeline" in done.output
    assert "pipeline root s3://mlpipeline/fraud" in words(done)
    checked = kubeflow("lint", str(path))
    assert (checked.code, words(checked)) == (0, f"{path} is in order.")


def test_lint_says_where_and_what_and_ends_with_2(compiled, kubeflow, tmp_path):
    broken = broken_copy(compiled[0], tmp_path)
    done = kubeflow("lint", str(broken))
    assert done.code == 2
    assert "schemaVersion: " in done.output
    assert "Traceback" not in done.output


def test_what_lint_finds_is_not_submitted(compiled, kubeflow, server, tmp_path):
    broken = broken_copy(compiled[0], tmp_path)
    done = kubeflow("submit", str(broken))
    assert done.code == 2
    assert f"{broken} would not run as it is" in words(done)
    assert [request.method for request in server.requests] == ["GET"]


@pytest.mark.parametrize("command", [("lint", "nowhere.yaml"), ("submit", "nowhere.yaml")])
def test_a_pipeline_that_is_not_there_is_an_error(kubeflow, command):
    done = kubeflow(*command)
    assert done.code == 2
    assert "nowhere.yaml cannot be read" in words(done)


def test_all_that_a_cluster_could_not_run_is_refused_before_anything_is_uploaded(kubeflow, server):
    settings = {
        "kubeflow.image=null": "kubeflow.image is missing",
        "kubeflow.serving_dir=/models": "lost with the pod",
        "kubeflow.components.Trainer.image=fraud:0.1.0-cpu": "is an image for CPUs",
    }
    options = [part for setting in settings for part in ("--set", setting)]
    done = kubeflow("submit", *options)
    assert done.code == 2, done.output
    assert [message for message in settings.values() if message not in words(done)] == []
    assert "Traceback" not in done.output
    assert [request.path for request in server.requests] == ["/apis/v2beta1/healthz"]


def test_an_image_that_changes_is_refused_before_any_request(kubeflow, server):
    done = kubeflow("submit", "--set", "kubeflow.image=fraud:latest")
    assert done.code == 2
    assert "needs a tag other than latest" in words(done)
    assert server.requests == []


def test_a_config_without_the_section_is_refused(kubeflow):
    done = kubeflow("status", "--config", "configs/local.yaml")
    assert done.code == 2
    assert "configs/local.yaml has no section kubeflow" in words(done)


# Submitting


def test_submit_uploads_starts_and_follows(submitted, server, compiled):
    server.stages = STAGES
    done = submitted("--param", "tuner_trials=7", "--name", "first")
    assert done.code == 0, done.output
    (run,) = server.runs
    (version,) = server.versions
    assert server.texts[version.display_name] == compiled[0].read_text()
    assert done.components.items() > {"ExampleGen": "ran", "Trainer": "ran", "Pusher": "cached"}.items()
    assert "✓ Transform        done" in done.output  # of which the server showed nothing
    assert done.output.splitlines()[:2] == [
        f"Uploaded: version {version.display_name} of the pipeline fraud",
        f"Started: first, {server.endpoint}/#/runs/details/{run.run_id}",
    ]
    assert "✓ ExampleGen       46.0 s" in done.output
    assert f"Done: {server.endpoint}/#/runs/details/{run.run_id}" in done.output
    (request,) = server.requests_to("POST", "/runs")
    assert request.body["service_account"] == "fraud-pipeline"
    assert request.body["runtime_config"] == {
        "parameters": {"tuner_trials": 7},
        "pipeline_root": "s3://mlpipeline/fraud",
    }
    assert [one.display_name for one in server.experiments] == ["fraud"]


def test_the_same_pipeline_is_not_uploaded_again(submitted, server):
    assert submitted("--no-wait").code == 0
    again = submitted("--no-wait", "--param", "run_name=monthly")
    assert again.code == 0, again.output
    assert again.output.startswith("Already there: version fraud-")
    assert (len(server.versions), len(server.runs)) == (1, 2)
    assert server.runs[1].display_name.startswith("monthly 20")
    assert f" kubeflow status {server.runs[1].run_id} --wait --endpoint {server.endpoint}\n" in again.output


def test_a_run_that_fails_ends_with_1_and_the_reason(submitted, server, monkeypatch):
    server.stages, server.final = [STAGES[1], FAILED], "FAILED"
    real = api_module.Api.log
    monkeypatch.setattr(
        api_module.Api, "log", lambda *arguments: real(*arguments) or "reading\nValueError: no positives\n"
    )
    done = submitted()
    assert done.code == 1, done.output
    assert done.components == {"ExampleGen": "ran", "Trainer": "failed"}
    assert "Trainer: ValueError: no positives" in done.output
    assert f" kubeflow logs {server.runs[0].run_id} Trainer --endpoint {server.endpoint}\n" in done.output


def test_a_run_that_is_canceled_ends_with_1(submitted, server):
    server.stages, server.final = [STAGES[1]], "CANCELED"
    done = submitted()
    assert done.code == 1
    assert "The run has ended, canceled: " in words(done)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (("tuner_trials=-5",), "--param tuner_trials: a search needs a budget above 0, got -5"),
        (("tuner_trials=1000000000",), "--param tuner_trials: expected at most 100,000, got 1000000000"),
        (["tuner_trial=7"], "did you mean tuner_trials?"),
        (["tuner_trials=few"], "must be a whole number, got 'few'"),
        (["data_path=/home/me/x.csv"], "ExampleGen's pod can't see --param data_path=/home/me/x.csv"),
    ],
)
def test_parameters_are_checked_before_anything_is_uploaded(submitted, server, params, message):
    done = submitted(*(f"--param={param}" for param in params))
    assert done.code == 2
    assert message in words(done)
    assert [request.path for request in server.requests] == ["/apis/v2beta1/healthz"]


def test_an_endpoint_that_does_not_answer_ends_with_2_before_anything_else(kubeflow, compiled):
    done = kubeflow("submit", str(compiled[0]), endpoint="http://127.0.0.1:1")
    assert done.code == 2
    assert words(done).startswith("error: http://127.0.0.1:1 does not answer: ")
    assert "port-forward" in done.output


def test_an_endpoint_must_be_named_somewhere(monkeypatch, capsys, server):
    monkeypatch.setattr(sys, "argv", ["fraud-pipeline", "kubeflow", "status"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "KF_PIPELINES_ENDPOINT" in capsys.readouterr().err
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.endpoint)
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "no run yet in the experiment fraud" in " ".join(capsys.readouterr().err.split())


def test_a_refused_request_ends_with_2_and_how_to_authenticate(kubeflow, server, tmp_path):
    server.token = "secret"
    done = kubeflow("status")
    assert done.code == 2
    assert "answered 401" in done.output
    assert "--token-file" in done.output
    (tmp_path / "token").write_text("secret")
    assert "no run yet" in words(kubeflow("status", "--token-file", str(tmp_path / "token")))


def test_an_api_that_goes_away_meanwhile_leaves_the_run_and_says_how_to_follow_it(submitted, server):
    server.stages = STAGES
    server.fail("GET", "/runs/", 403, times=99)
    done = submitted()
    assert done.code == 2
    assert f" kubeflow status {server.runs[0].run_id} --wait --endpoint " in words(done)


def test_ctrl_c_leaves_the_run_going(server, compiled, tmp_path):
    server.stages, server.final = [{"ExampleGen": "running"}], "RUNNING"
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "kubeflow", "submit", str(compiled[0]), "--endpoint", server.endpoint],
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    patience = time.monotonic() + 60
    # it asks for the plan of the run, and then waits for some seconds
    while not server.requests_to("GET", "/versions/") and process.poll() is None and time.monotonic() < patience:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    (run,) = server.runs
    assert process.returncode == 130, shown
    assert f"The run goes on: {server.endpoint}/#/runs/details/{run.run_id}" in shown
    assert re.search(rf"To follow it: .* kubeflow status {run.run_id} --wait --endpoint {server.endpoint}\n", shown)
    assert "Traceback" not in shown
    assert server.requests_to("DELETE", "/") == []


# Looking


def test_status_shows_every_component_of_the_newest_run(submitted, kubeflow, server):
    submitted("--no-wait", "--name", "first")
    submitted("--no-wait", "--name", "second")
    server.stages, server.final = [{"ExampleGen": "done", "StatisticsGen": "cached", "Transform": "running"}], "RUNNING"
    done = kubeflow("status")
    assert done.code == 0, done.output
    assert "second: running" in done.output
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.output.splitlines() if "│" in line]
    shown = {name: (state, seconds) for name, state, seconds in rows}
    assert shown["ExampleGen"] == ("done", "46 s")
    assert shown["StatisticsGen"] == ("cached", "")
    assert shown["Transform"][0] == "running"
    assert shown["Pusher"] == ("waiting", "")
    assert f"/#/runs/details/{server.runs[1].run_id}" in done.output
    assert "first: running" in kubeflow("status", "first").output


def test_status_of_a_failed_run_ends_with_1_and_names_the_log(submitted, kubeflow, server):
    submitted("--no-wait", "--name", "first")
    server.stages, server.final = [FAILED], "FAILED"
    done = kubeflow("status")
    assert done.code == 1
    assert "Trainer: no reason known" in done.output
    status = json.loads(kubeflow("status", "--json").output)
    assert (status["name"], status["state"]) == ("first", "failed")
    states = {one["name"]: one["state"] for one in status["components"]}
    assert (states["Trainer"], states["Pusher"]) == ("failed", "waiting")
    (pod,) = next(one["pods"] for one in status["components"] if one["name"] == "Trainer")
    server.logs[pod] = b"ValueError: no positives\n"
    assert "Trainer: ValueError: no positives" in kubeflow("status").output


def test_status_can_follow(submitted, kubeflow, server):
    submitted("--no-wait")
    server.stages = STAGES
    done = kubeflow("status", "--wait")
    assert done.code == 0
    assert done.components.items() > {"ExampleGen": "ran", "Trainer": "ran", "Pusher": "cached"}.items()


def test_logs_are_those_of_what_failed_or_of_a_named_component(submitted, kubeflow, server, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # without kubectl
    submitted("--no-wait")
    server.stages, server.final = [{**FAILED, "Pusher": "cached"}], "FAILED"
    status = json.loads(kubeflow("status", "--json").output)
    pods = {one["name"]: one["pods"][0] for one in status["components"] if one["pods"]}
    server.logs = {pods["Trainer"]: b"epoch 1\nno [bold]positives\n", pods["ExampleGen"]: b"read 5 rows"}
    assert kubeflow("logs", "newest").output == "epoch 1\nno [bold]positives\n"
    assert kubeflow("logs", status["run_id"], "ExampleGen").output == "read 5 rows\n"
    server.logs.clear()
    gone = kubeflow("logs", "newest", "Trainer")
    assert gone.code == 2
    assert f"kubectl --namespace fraud logs {pods['Trainer']} --container main" in words(gone)
    for component, message in (
        ("Traner", "did you mean Trainer?"),
        ("Pusher", "came from the cache"),
        ("Report", "Report is waiting"),
    ):
        done = kubeflow("logs", "newest", component)
        assert done.code == 2
        assert message in words(done)


def test_logs_without_a_failure_need_a_name(submitted, kubeflow, server):
    submitted("--no-wait")
    server.stages = [STAGES[2]]
    done = kubeflow("logs", "newest")
    assert done.code == 2
    assert "name a component: ExampleGen, " in words(done)
    unseen = kubeflow("logs", "newest", "Transform")
    assert unseen.code == 2
    assert "Transform is done, but the API does not say in which pod" in words(unseen)


# Scheduling


def test_a_schedule_is_made_replaced_listed_and_switched(kubeflow, server, compiled):
    made = kubeflow("schedule", str(compiled[0]), "--cron", "0 3 * * *", "--param", "tuner_trials=5")
    assert made.code == 0, made.output
    assert "Made: the schedule fraud, at 0 0 3 * * *. See them all" in words(made)
    replaced = kubeflow("schedule", str(compiled[0]), "--every", "12h", "--max-concurrency", "2")
    assert "every 12h, in place of the one that was there" in words(replaced)
    (schedule,) = server.schedules
    assert (schedule.max_concurrency, schedule.no_catchup, schedule.status) == ("2", True, "ENABLED")
    assert kubeflow("schedule", "--disable").code == 0
    listed = kubeflow("schedule", "--list")
    assert listed.code == 0
    for cell in ("fraud", "every 12h", "disabled", schedule.recurring_run_id):
        assert cell in listed.output
    assert "Enabled: the schedule fraud, every 12h" in kubeflow("schedule", "--enable", "--name", "fraud").output
    assert server.schedules[0].status == "ENABLED"
    unknown = kubeflow("schedule", "--enable", "--name", "nightly")
    assert unknown.code == 2
    assert "no schedule nightly in the experiment fraud; there are: fraud" in words(unknown)


def test_a_schedule_can_be_made_disabled(kubeflow, server, compiled):
    done = kubeflow("schedule", str(compiled[0]), "--every", "1d", "--disable")
    assert done.code == 0
    assert "Made, but disabled" in done.output
    assert server.schedules[0].status == "DISABLED"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say when: --cron"),
        (("--cron", "0 3 * * *", "--every", "1d"), "one at a time"),
        (("--every", "1d", "--list"), "one at a time"),
        (("--enable", "--disable"), "one at a time"),
        (("--cron", "0 24 * * *"), "hour must be within 0 to 23"),
        (("--every", "daily"), "takes a number with s, m, h or d"),
        (("--every", "1d", "--max-concurrency", "11"), "Invalid value for '--max-concurrency'"),
    ],
)
def test_a_wrong_schedule_is_refused_before_any_request(kubeflow, server, arguments, message):
    done = kubeflow("schedule", *arguments)
    assert done.code == 2
    assert message in words(done)
    assert server.requests == []


def test_without_schedules_the_list_says_how_to_make_one(kubeflow):
    done = kubeflow("schedule", "--list")
    assert done.code == 0
    assert " kubeflow schedule --every 1d --endpoint " in words(done)


# Removing


def test_nothing_is_removed_without_yes(submitted, kubeflow, server):
    submitted("--no-wait", "--name", "first")
    done = kubeflow("delete", "--run", "first")
    assert done.code == 2
    assert f"Would remove the run first ({server.runs[0].run_id}, " in done.output
    assert "add --yes" in done.output
    assert len(server.runs) == 1


def test_a_run_and_a_schedule_are_removed_with_a_line_each(submitted, kubeflow, server, compiled):
    submitted("--no-wait", "--name", "first")
    run_id = server.runs[0].run_id
    assert f"Removed the run first ({run_id}, " in kubeflow("delete", "--run", run_id, "--yes").output
    kubeflow("schedule", str(compiled[0]), "--every", "1d", "--name", "daily")
    done = kubeflow("delete", "--schedule", "daily", "--yes")
    assert done.code == 0
    assert "Removed the schedule daily (" in done.output
    assert server.runs == server.schedules == []


def test_versions_are_removed_but_those_that_a_schedule_runs(submitted, kubeflow, server, compiled, tmp_path):
    submitted("--no-wait")
    changed = tmp_path / "changed.yaml"
    changed.write_text(compiled[0].read_text() + "\n")
    kubeflow("schedule", str(changed), "--every", "1d", "--name", "daily")
    free, used = (version.display_name for version in server.versions)
    done = kubeflow("delete", "--versions", "--yes")
    assert done.code == 0, done.output
    assert f"Kept: the version {used}, which the schedule daily runs" in done.output
    assert f"Removed the version {free} (" in done.output
    assert [version.display_name for version in server.versions] == [used]
    assert kubeflow("delete", "--versions", "--yes").code == 2


@pytest.mark.parametrize("arguments", [(), ("--run", "newest", "--versions"), ("--schedule", "x", "--run", "y")])
def test_one_thing_is_removed_at_a_time(kubeflow, server, arguments):
    done = kubeflow("delete", *arguments)
    assert done.code == 2
    assert "--run RUN, --schedule NAME, or --versions" in words(done)
    assert server.requests == []


# Help


def test_help_and_lint_import_neither_the_api_nor_tensorflow():
    code = (
        "import sys, pipeline.cli, pipeline.kubeflow.lint.linter\n"
        "print([name for name in ('kfp', 'kfp_server_api', 'kubernetes', 'tensorflow', 'tfx', 'tenacity')\n"
        "  if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_submitting_a_compiled_pipeline_imports_no_tensorflow(server, compiled):
    arguments = ["kubeflow", "submit", str(compiled[0]), "--no-wait", "--endpoint", server.endpoint]
    code = f"""
import sys
from pipeline.cli import main
sys.argv[1:] = {arguments}
try:
    main()
except SystemExit as ended:
    heavy = ("kfp", "kubernetes", "tensorflow", "tfx", "apache_beam")
    print(ended.code, [name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
