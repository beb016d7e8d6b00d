"""The requests to Kubeflow Pipelines, and how its answers are understood."""

from __future__ import annotations

import datetime
import importlib
import itertools
import json
import socket
import stat
import sys
from types import SimpleNamespace

import pytest

from pipeline.kubeflow import api as api_module
from pipeline.kubeflow import client, following
from pipeline.kubeflow.api import Api, ApiError
from pipeline.kubeflow.settings import KubeflowSettings
from tests.support import kfp_server
from tests.support.kfp_server import BEGIN, WORKFLOW, KfpServer, node_id, nothing_from_outside
from trainer.errors import InputError

SETTINGS = KubeflowSettings(pipeline_root="s3://mlpipeline/fraud", experiment="tries", service_account="robot")

PIPELINE = """
schemaVersion: 2.1.0
pipelineInfo: {name: fraud}
root:
  inputDefinitions:
    parameters:
      data_path: {parameterType: STRING, defaultValue: s3://data, isOptional: true}
      tuner_trials: {parameterType: NUMBER_INTEGER, defaultValue: 20, isOptional: true}
      tuner_budget_minutes: {parameterType: NUMBER_DOUBLE, defaultValue: 0.0, isOptional: true}
      deep: {parameterType: BOOLEAN, isOptional: true}
      layers: {parameterType: LIST, isOptional: true}
      costs: {parameterType: STRUCT, isOptional: true}
  dag:
    tasks:
      Trainer: {dependentTasks: [ExampleGen]}
      ExampleGen: {}
      Pusher: {dependentTasks: [Trainer]}
---
platforms: {kubernetes: {}}
"""


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch, tmp_path):
    nothing_from_outside(monkeypatch, tmp_path)


@pytest.fixture
def server():
    with KfpServer() as running:
        yield running


def api_of(server: KfpServer, **options) -> Api:
    return Api(server.endpoint, **{"timeout": (5, 20), "attempts": 3, "wait": 0.01, **options})


HASTY = {"timeout": (5, 0.4)}  # a slow answer takes 1 s


def uploaded(api: Api, settings: KubeflowSettings = SETTINGS, *params: str):
    return client.upload(api, client.Upload.from_text(PIPELINE, params), settings)


# Uploading and starting


def test_a_run_is_of_what_was_uploaded_with_what_was_set(server):
    api = api_of(server)
    common, new = uploaded(api, SETTINGS, "tuner_trials=7", "data_path=s3://other/x.csv")
    run = client.start(api, "first", common)
    assert new
    (pipeline,), (version,), (experiment,) = server.pipelines, server.versions, server.experiments
    assert (pipeline.display_name, experiment.display_name) == ("fraud", "tries")
    assert server.texts[version.display_name] == PIPELINE
    (request,) = server.requests_to("POST", "/runs")
    assert request.body == {
        "display_name": "first",
        "experiment_id": experiment.experiment_id,
        "pipeline_version_reference": {
            "pipeline_id": pipeline.pipeline_id,
            "pipeline_version_id": version.pipeline_version_id,
        },
        "runtime_config": {
            "parameters": {"tuner_trials": 7, "data_path": "s3://other/x.csv"},
            "pipeline_root": "s3://mlpipeline/fraud",
        },
        "service_account": "robot",
    }
    assert api.run_url(run.run_id) == f"{server.endpoint}/#/runs/details/{run.run_id}"


def test_the_same_pipeline_is_uploaded_once_and_a_changed_one_as_a_further_version(server):
    api = api_of(server)
    uploaded(api)
    _, again = uploaded(api)
    assert not again
    changed = client.Upload.from_text(PIPELINE.replace("20", "30"))
    client.upload(api, changed, SETTINGS)
    assert len(server.pipelines) == len(server.experiments) == 1
    first, second = (version.display_name for version in server.versions)
    assert first != second == changed.version
    assert len(server.requests_to("POST", "/upload_version")) == 2


def test_others_pipelines_versions_and_experiments_are_left_alone(server):
    api = api_of(server)
    other = api.make_pipeline("fraud-2")
    api.make_version(other, client.Upload.from_text(PIPELINE).version, PIPELINE)
    api.make_experiment("tries-2")
    common, new = uploaded(api)
    assert new
    assert common["pipeline_version_reference"].pipeline_id != other.pipeline_id
    assert len(server.experiments) == 2


@pytest.mark.parametrize("multi_user", [True, False])
def test_a_namespace_is_named_where_users_are_kept_apart(multi_user):
    with KfpServer(multi_user=multi_user) as server:
        api = api_of(server, namespace="team-a")
        api.reach()
        common, _ = uploaded(api)
        client.start(api, "first", common)
        spaces = {one.namespace for one in (*server.pipelines, *server.experiments)}
        assert spaces == {"team-a" if multi_user else None}
        assert len(server.runs) == 1


def test_a_namespace_is_required_where_users_are_kept_apart():
    with KfpServer(multi_user=True) as server, pytest.raises(InputError, match=r"kubeflow\.namespace"):
        api_of(server).reach()


def test_lists_are_read_to_their_end():
    with KfpServer(page=2) as server:
        api = api_of(server)
        pipeline = api.make_pipeline("fraud")
        for number in range(5):
            api.make_version(pipeline, f"fraud-{number}", PIPELINE)
        names = [version.display_name for version in api.versions(pipeline.pipeline_id)]
        assert names == [f"fraud-{number}" for number in (4, 3, 2, 1, 0)]


# What goes wrong


def test_transient_failures_are_waited_out_longer_and_longer(server):
    server.fail("GET", "/pipelines", 503, times=3)
    assert api_of(server, attempts=5, wait=0.1).pipeline("fraud") is None
    times = [request.at for request in server.requests]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(gaps) == 3
    assert gaps[0] >= 0.1
    assert gaps[1] >= 0.2
    assert gaps[2] >= 0.4


@pytest.mark.parametrize("how", [429, 500, 502, 503, "drop"])
def test_requests_of_every_kind_get_through_transient_failures(server, how):
    api = api_of(server)
    for method, path in (("GET", "/pipelines"), ("POST", "/upload_version"), ("POST", "/runs"), ("DELETE", "/runs")):
        server.fail(method, path, how)
    common, _ = uploaded(api)
    run = client.start(api, "first", common)
    api.delete_run(run.run_id)
    assert server.runs == []
    assert (len(server.pipelines), len(server.versions)) == (1, 1)
    assert sum(fault.times for fault in server.faults) == 0


def test_what_was_made_although_the_answer_was_lost_is_not_made_again(server):
    api = api_of(server)
    for path in ("/pipelines", "/upload_version", "/experiments", "/recurringruns", "/runs"):
        server.fail("POST", path, "lost")
    common, _ = uploaded(api)
    made, _ = client.make_schedule(api, "nightly", common, client.trigger(None, "1d"), max_concurrency=1, enabled=True)
    run = client.start(api, "first", common)
    assert [one.run_id for one in server.runs] == [run.run_id]
    assert [one.recurring_run_id for one in server.schedules] == [made.recurring_run_id]
    assert len(server.pipelines) == len(server.versions) == len(server.experiments) == 1
    assert sum(fault.times for fault in server.faults) == 0


@pytest.mark.parametrize("how", [504, "slow"])
def test_a_request_that_may_still_succeed_is_looked_for_and_not_repeated(server, how):
    common, _ = uploaded(api_of(server))
    api = api_of(server, **HASTY)
    server.fail("POST", "/runs", how)
    with pytest.raises(ApiError, match="look before you try again"):
        client.start(api, "first", common)
    assert len(server.requests_to("POST", "/runs")) == 1
    patient = api_of(server, attempts=8, wait=0.1, **HASTY)
    server.fail("POST", "/runs", "slow")
    run = client.start(patient, "second", common)
    assert [one.run_id for one in server.runs if one.display_name == "second"] == [run.run_id]
    assert len(server.requests_to("POST", "/runs")) == 2


def test_a_request_with_a_unique_name_is_repeated_after_no_answer(server):
    server.fail("POST", "/upload_version", "slow")
    server.fail("POST", "/pipelines", 504)
    uploaded(api_of(server, attempts=5, **HASTY))
    assert (len(server.pipelines), len(server.versions)) == (1, 1)


def test_an_earlier_run_of_that_name_is_not_taken_for_one_whose_answer_was_lost(server):
    api = api_of(server)
    common, _ = uploaded(api)
    first = client.start(api, "same", common)
    server.fail("POST", "/runs", "drop")
    second = client.start(api, "same", common)
    assert [one.run_id for one in server.runs] == [first.run_id, second.run_id]


@pytest.mark.parametrize("path", ["/pipelines", "/upload_version"])
def test_what_somebody_else_made_meanwhile_is_used(server, path):
    server.fail("POST", path, "conflict")
    common, _ = uploaded(api_of(server))
    reference = common["pipeline_version_reference"]
    assert reference.pipeline_id == server.pipelines[0].pipeline_id
    assert reference.pipeline_version_id == server.versions[0].pipeline_version_id


def test_a_conflict_with_something_else_is_an_error(server):
    server.fail("POST", "/experiments", 409)
    with pytest.raises(ApiError, match="409") as raised:
        uploaded(api_of(server))
    assert raised.value.status == 409
    assert len(server.requests_to("POST", "/experiments")) == 1


def test_failures_that_stay_end_with_the_servers_message(server):
    server.fail("POST", "/runs", 503, times=99)
    api = api_of(server)
    common, _ = uploaded(api)
    with pytest.raises(ApiError, match="answered 503, again and again: 503 upstream said no") as raised:
        client.start(api, "first", common)
    assert "kubectl -n kubeflow logs deployment/ml-pipeline" in str(raised.value)
    assert len(server.requests_to("POST", "/runs")) == 3


def test_looking_before_making_does_not_multiply_the_attempts(server):
    server.fail("GET", "/pipelines", 503, times=99)
    with pytest.raises(ApiError, match="answered 503"):
        uploaded(api_of(server))
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 403, 404])
def test_failures_that_no_waiting_helps_are_raised_at_once(server, status):
    server.fail("POST", "/experiments", status, times=99)
    with pytest.raises(ApiError, match=f"answered {status}") as raised:
        uploaded(api_of(server))
    assert raised.value.status == status
    assert len(server.requests_to("POST", "/experiments")) == 1


def test_no_answer_in_time_is_an_error_and_nothing_is_uploaded(server):
    server.fail("GET", "/healthz", "slow", times=99)
    with pytest.raises(ApiError, match="does not answer: no answer in time"):
        api_of(server, **HASTY).reach()
    assert [request.method for request in server.requests] == ["GET", "GET"]


def test_an_unreachable_endpoint_is_named_with_the_way_out():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ApiError, match=r"does not answer: .*Connection refused") as raised:
        Api(endpoint, wait=0.01).reach()
    assert str(raised.value).startswith(endpoint)
    assert "port-forward" in str(raised.value)


def test_a_host_that_does_not_exist_is_named():
    with pytest.raises(ApiError, match=r"^http://nowhere\.invalid:8888 does not answer: "):
        Api("http://nowhere.invalid:8888", wait=0.01).reach()


def test_an_endpoint_without_tls_that_is_called_https_is_no_traceback(server):
    with pytest.raises(ApiError, match=r"cannot be trusted: .*SSL.* http://"):
        Api(server.endpoint.replace("http:", "https:"), wait=0.01).reach()


def test_a_file_of_authorities_that_is_not_there_is_named(server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(InputError, match=r"SSL_CERT_FILE names /nowhere/ca\.pem"):
        api_of(server)


@pytest.mark.parametrize("endpoint", ["localhost:8888", "ftp://x", "http://"])
def test_an_endpoint_must_be_an_address(endpoint):
    with pytest.raises(InputError, match="the endpoint must be http"):
        Api(endpoint)


def test_a_login_page_is_not_taken_for_an_answer(server):
    server.fail("GET", "/healthz", "page")
    with pytest.raises(ApiError, match=r"answered with a page \('Log in Log in'\).*--token-file"):
        api_of(server).reach()


def test_the_address_of_something_else_is_an_error(server):
    server.fail("GET", "/healthz", 404)
    with pytest.raises(ApiError, match=r"has no Kubeflow Pipelines API .*https://kubeflow\.example\.com/pipeline"):
        api_of(server).reach()


def test_a_proxy_is_used_but_not_for_a_forwarded_port(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "inside.example.com")
    assert api_module._proxy("http://kubeflow.example.com/pipeline") == "http://proxy:3128"
    assert api_module._proxy("http://inside.example.com") is None
    assert api_module._proxy("http://localhost:8888") is None
    assert api_module._proxy("https://kubeflow.example.com") is None


# Who asks


def test_without_a_token_the_ways_to_one_are_named():
    with KfpServer(token="secret") as server, pytest.raises(ApiError, match=r"answered 401: .*--token-file") as raised:
        api_of(server).reach()
    assert raised.value.status == 401
    assert "no user identity" in str(raised.value)


def test_a_token_is_sent_and_read_anew_for_each_request(tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    with KfpServer(token="first") as server:
        api = api_of(server, token_file=file)
        api.reach()
        server.token = "second"
        with pytest.raises(ApiError, match="the token was refused"):
            api.reach()
        file.write_text("second\n")
        api.reach()
        assert [request.headers["authorization"] for request in server.requests] == [
            *("Bearer first", "Bearer first"),
            "Bearer second",
        ]


def test_a_pods_own_token_is_used(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("of-the-pod")
    monkeypatch.setattr(api_module, "POD_TOKEN", tmp_path / "token")
    with KfpServer(token="of-the-pod") as server:
        api_of(server).reach()
        assert [request.headers["authorization"] for request in server.requests] == ["Bearer of-the-pod"]


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), ("", "one token"), ("a b", "one token")])
def test_a_token_file_without_a_token_is_named(server, tmp_path, content, message):
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match=message) as raised:
        api_of(server, token_file=file)
    assert str(file) in str(raised.value)
    assert server.requests == []


def test_the_cookie_that_kfp_keeps_is_sent(server):
    api_module._KFP_CONTEXT.write_text(json.dumps({"client_authentication_cookie": "authservice_session=abc"}))
    api_of(server).reach()
    assert server.requests[0].headers["cookie"] == "authservice_session=abc"


# Parameters and times


def test_parameters_get_the_types_that_the_pipeline_says():
    assignments = [
        *("data_path=s3://a=b", "tuner_trials=7", "tuner_budget_minutes=1.5", "deep=True"),
        *("layers=[16, 8]", 'costs={"review": 5}'),
    ]
    assert client.parameters(client.spec_of(PIPELINE), assignments) == {
        "data_path": "s3://a=b",
        "tuner_trials": 7,
        "tuner_budget_minutes": 1.5,
        "deep": True,
        "layers": [16, 8],
        "costs": {"review": 5},
    }


def test_all_faults_of_parameters_come_at_once():
    assignments = [
        "tuner_trial=7",
        "tuner_trials=few",
        "tuner_budget_minutes=nan",
        "deep=maybe",
        "layers={}",
        "x",
        "zzz=1",
    ]
    with pytest.raises(InputError) as raised:
        client.parameters(client.spec_of(PIPELINE), assignments)
    assert str(raised.value).splitlines() == [
        "--param tuner_trial: the pipeline has no such parameter; did you mean tuner_trials?",
        "--param tuner_trials must be a whole number, got 'few'",
        "--param tuner_budget_minutes must be a number, got 'nan'",
        "--param deep must be true or false, got 'maybe'",
        "--param layers must be a list in JSON, got '{}'",
        "--param takes name=value, got 'x'",
        "--param zzz: the pipeline has no such parameter; known are costs, data_path, deep, layers, "
        "tuner_budget_minutes, tuner_trials",
    ]


def test_a_parameter_without_a_default_is_required():
    spec = {"root": {"inputDefinitions": {"parameters": {"data_path": {"parameterType": "STRING"}}}}}
    assert client.parameters(spec, ["data_path=x"]) == {"data_path": "x"}
    with pytest.raises(InputError, match="--param data_path=VALUE"):
        client.parameters(spec, [])


@pytest.mark.parametrize(("text", "message"), [("a: [", "not YAML"), ("a: 1", "no key 'root'"), ("", "no key 'root'")])
def test_a_text_that_is_no_pipeline_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        client.spec_of(text)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("*/5 8-17 1,15 * 1-5", "0 */5 8-17 1,15 * 1-5"),
        ("0 30 8 ? * MON-FRI", "0 30 8 ? * MON-FRI"),
        ("@daily", "@daily"),
    ],
)
def test_cron_gets_the_seconds_that_kubeflow_counts_first(text, sent):
    assert client.trigger(text, None).cron_schedule.cron == sent
    assert client.cron(sent) == sent


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 3 * *", "five fields"),
        ("0 25 * * *", "hour must be within 0 to 23, got '25'"),
        ("0 3 * * 7", "day of the week must be within 0 to 6"),
        ("0 3 32 * *", "day of the month"),
        ("0 3 ; * *", "day of the month"),
        ("@noon", "@daily"),
    ],
)
def test_a_wrong_cron_expression_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        client.cron(text)


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("6h", 21600), ("1d", 86400), ("30s", 30)])
def test_an_interval_is_in_seconds_and_back(text, seconds):
    trigger = client.trigger(None, text)
    assert trigger.periodic_schedule.interval_second == str(seconds)
    assert client.when(SimpleNamespace(trigger=trigger)) == f"every {text}"


@pytest.mark.parametrize("text", ["0h", "6", "h", "1.5h", "-1h", ""])
def test_a_wrong_interval_is_refused(text):
    with pytest.raises(InputError, match="--every takes a number with s, m, h or d"):
        client.interval(text)


# Schedules


def make_schedule(api: Api, name: str = "nightly", every: str = "1d", **options):
    common, _ = uploaded(api)
    return client.make_schedule(
        api, name, common, client.trigger(None, every), **{"max_concurrency": 2, "enabled": True, **options}
    )


def test_a_schedule_does_not_catch_up_and_takes_the_place_of_that_name(server):
    api = api_of(server)
    other, _ = make_schedule(api, "weekly")
    old, none = make_schedule(api)
    new, replaced = make_schedule(api, every="6h", enabled=False)
    assert none == []
    assert [one.recurring_run_id for one in replaced] == [old.recurring_run_id]
    assert [one.recurring_run_id for one in server.schedules] == [other.recurring_run_id, new.recurring_run_id]
    body = server.requests_to("POST", "/recurringruns")[-1].body
    assert (body["no_catchup"], body["max_concurrency"], body["mode"]) == (True, "2", "DISABLE")
    assert body["trigger"] == {"periodic_schedule": {"interval_second": "21600"}}
    assert body["runtime_config"]["pipeline_root"] == "s3://mlpipeline/fraud"
    kept = api.schedules(new.experiment_id)
    assert {(one.display_name, client.is_disabled(one)) for one in kept} == {("weekly", False), ("nightly", True)}


def test_the_old_schedule_stays_where_the_new_one_cannot_be_made(server):
    api = api_of(server)
    old, _ = make_schedule(api)
    server.fail("POST", "/recurringruns", 400)
    with pytest.raises(ApiError, match="400"):
        make_schedule(api)
    assert [one.recurring_run_id for one in server.schedules] == [old.recurring_run_id]


def test_a_schedule_that_could_not_be_replaced_is_named(server):
    api = api_of(server)
    old, _ = make_schedule(api)
    server.fail("DELETE", "/recurringruns", 403)
    with pytest.raises(ApiError, match=rf"the one that it replaces, {old.recurring_run_id}, could not be deleted"):
        make_schedule(api)


def test_a_schedule_is_disabled_and_enabled(server):
    api = api_of(server)
    made, _ = make_schedule(api)
    for enabled in (False, True):
        api.enable_schedule(made.recurring_run_id, enabled)
        (shown,) = api.schedules(made.experiment_id, "nightly")
        assert client.is_disabled(shown) is not enabled


def test_removing_what_is_gone_already_is_no_failure(server):
    api = api_of(server)
    made, _ = make_schedule(api)
    server.fail("DELETE", "/recurringruns", "lost")
    api.delete_schedule(made.recurring_run_id)
    assert server.schedules == []
    assert len(server.requests_to("DELETE", "/recurringruns")) == 2


# How a run goes


def started(server: KfpServer, *stages: dict[str, str]):
    server.stages = list(stages) or [{}]
    api = api_of(server)
    common, _ = uploaded(api)
    return api, client.start(api, "first", common)


def states(tasks) -> dict[str, str]:
    return {task.name: task.state for task in tasks}


STAGES = (
    {},
    {"ExampleGen": "driving"},
    {"ExampleGen": "running"},
    {"ExampleGen": "done", "Trainer": "driving"},
    {"ExampleGen": "done", "Trainer": "running"},
    {"ExampleGen": "done", "Trainer": "done", "Pusher": "cached"},
)


def test_the_components_of_a_run_are_read_from_argos_nodes(server):
    api, run = started(server, *STAGES)
    plan = following.plan_of(api, run)
    assert plan.names == ("ExampleGen", "Trainer", "Pusher")
    seen = [states(following.tasks(api.run(run.run_id), plan)) for _ in STAGES]
    assert seen == [
        {"ExampleGen": "waiting", "Trainer": "waiting", "Pusher": "waiting"},
        {"ExampleGen": "running", "Trainer": "waiting", "Pusher": "waiting"},
        {"ExampleGen": "running", "Trainer": "waiting", "Pusher": "waiting"},
        {"ExampleGen": "done", "Trainer": "running", "Pusher": "waiting"},
        {"ExampleGen": "done", "Trainer": "running", "Pusher": "waiting"},
        {"ExampleGen": "done", "Trainer": "done", "Pusher": "cached"},
    ]


def test_seconds_are_from_the_drivers_start_to_the_containers_end(server):
    api, run = started(server, {"ExampleGen": "done", "Trainer": "running", "Pusher": "cached"})
    server.final = "RUNNING"
    now = BEGIN + datetime.timedelta(seconds=120 + 17)
    done, running, cached = following.tasks(api.run(run.run_id), now=now)
    assert done.seconds == kfp_server.DRIVER_SECONDS + kfp_server.POD_SECONDS
    assert running.seconds == 17
    assert cached.seconds == kfp_server.DRIVER_SECONDS


def test_a_failure_leaves_what_comes_after_it_waiting(server):
    api, run = started(server, {"ExampleGen": "done", "Trainer": "failed", "Pusher": "omitted"})
    server.final = "FAILED"
    tasks = following.tasks(api.run(run.run_id))
    assert states(tasks) == {"ExampleGen": "done", "Trainer": "failed", "Pusher": "waiting"}
    assert tasks[2].seconds is None


def test_what_was_under_way_when_the_run_was_ended_is_canceled(server):
    api, run = started(server, {"ExampleGen": "done", "Trainer": "running"})
    server.final = "CANCELED"
    assert states(following.tasks(api.run(run.run_id))) == {"ExampleGen": "done", "Trainer": "canceled"}


def test_two_at_once_are_kept_apart_though_one_is_cached(server):
    api, run = started(server, {"Challengers": "cached", "Trainer": "done"})
    current = api.run(run.run_id)
    begin = {one.start_time for one in current.run_details.task_details if one.display_name == "Challengers"}
    for detail in current.run_details.task_details:
        if detail.display_name == "Trainer":
            detail.start_time = begin.copy().pop()
    assert states(following.tasks(current)) == {"Challengers": "cached", "Trainer": "done"}


def test_what_ended_at_once_is_not_cached_for_an_executor_that_was_skipped_earlier(server):
    api, run = started(server, {"Challengers": "cached", "Trainer": "done"})
    current = api.run(run.run_id)
    for detail in current.run_details.task_details:
        if detail.display_name == "Trainer":
            detail.end_time = detail.start_time
    assert states(following.tasks(current)) == {"Challengers": "cached", "Trainer": "done"}


def test_a_server_that_shows_components_alone_is_understood(server):
    api, run = started(server, {"ExampleGen": "done", "Trainer": "done"})
    current = api.run(run.run_id)
    first, second = (one for one in current.run_details.task_details if one.display_name in ("ExampleGen", "Trainer"))
    first.state, second.pod_name = "SKIPPED", "some-pod"
    current.run_details.task_details = [first, second]
    tasks = following.tasks(current)
    assert [(task.name, task.state, task.pods) for task in tasks] == [
        ("ExampleGen", "cached", ()),
        ("Trainer", "done", ("some-pod",)),
    ]


def test_a_run_without_details_has_components_that_wait(server):
    api, run = started(server)
    server.final = "RUNNING"
    current = api.run(run.run_id)
    current.run_details = None
    assert states(following.tasks(current, following.Plan(("ExampleGen",)))) == {"ExampleGen": "waiting"}


def test_a_run_whose_version_was_removed_shows_what_it_has(server):
    api, run = started(server, {"ExampleGen": "done"})
    server.versions.clear()
    plan = following.plan_of(api, run)
    assert states(following.tasks(api.run(run.run_id), plan)) == {"ExampleGen": "done"}


def test_of_a_run_that_succeeded_all_is_done_though_the_details_stopped(server):
    api, run = started(server, {"ExampleGen": "done", "Trainer": "running"})
    server.final = "RUNNING"
    plan = following.plan_of(api, run)
    assert states(following.tasks(api.run(run.run_id), plan)) == {
        "ExampleGen": "done",
        "Trainer": "running",
        "Pusher": "waiting",
    }
    server.final = "SUCCEEDED"
    tasks = following.tasks(api.run(run.run_id), plan)
    assert states(tasks) == {"ExampleGen": "done", "Trainer": "done", "Pusher": "done"}
    assert [task.seconds for task in tasks] == [46, None, None]
    recorder = Recorder()
    following.follow(api, api.run(run.run_id), recorder)
    assert recorder.lines == ["ExampleGen 46", "Trainer unknown", "Pusher unknown"]


class Recorder:
    def __init__(self):
        self.lines = []

    def started(self, component):
        self.lines.append(f"{component}...")

    def finished(self, component, seconds, *, cached):
        self.lines.append(f"{component} {'cached' if cached else 'unknown' if seconds is None else f'{seconds:g}'}")

    def failed(self, component, seconds):
        self.lines.append(f"{component} failed after {seconds:g}")


def test_a_run_is_followed_to_its_end_and_each_change_is_shown_once(server, monkeypatch):
    api, run = started(server, *STAGES)
    server.fail("GET", "/runs/", 503, times=2)
    waits: list[float] = []
    monkeypatch.setattr(following, "time", SimpleNamespace(sleep=waits.append))
    recorder = Recorder()
    ended = following.follow(api, run, recorder, every=7)
    assert recorder.lines == ["ExampleGen...", "ExampleGen 46", "Trainer...", "Trainer 46", "Pusher cached"]
    assert following.has_succeeded(ended)
    assert waits == [7] * len(STAGES) + [2]  # and once more, for what the API writes after the run's state


def test_a_run_that_fails_is_followed_to_its_end(server):
    api, run = started(server, {"ExampleGen": "running"}, {"ExampleGen": "failed"})
    server.final = "FAILED"
    recorder = Recorder()
    ended = following.follow(api, run, recorder, every=0)
    assert recorder.lines == ["ExampleGen...", "ExampleGen failed after 13"]
    assert following.has_ended(ended)
    assert not following.has_succeeded(ended)


def test_components_whose_states_come_after_the_runs_are_waited_for(server):
    api, run = started(server, {"ExampleGen": "running"}, {"ExampleGen": "failed"})
    server.final = "FAILED"
    early = api.run(run.run_id)
    early.state = "FAILED"
    assert states(following.tasks(early)) == {"ExampleGen": "canceled"}
    recorder = Recorder()
    following.follow(api, early, recorder, every=0)
    assert recorder.lines == ["ExampleGen failed after 13"]


# Pods and logs


@pytest.mark.parametrize(
    ("name", "number"),
    [
        # of a run on a cluster: https://github.com/kubeflow/pipelines/issues/10036#issuecomment-2340653170
        ("tutorial-control-flows-gbjpn.root-driver", 1941995042),
        ("tutorial-control-flows-gbjpn.root.flip-coin-op-driver", 3821465773),
        ("tutorial-control-flows-gbjpn.root.print-op-driver", 1781539373),
        ("tutorial-control-flows-gbjpn.root.print-op.executor", 1647980155),
        ("tutorial-control-flows-gbjpn.root.exit-handler-1.fail-op.executor", 2018360503),
        # of this pipeline under Kubeflow Pipelines 2.17.0 and its Argo 4.0.5
        ("fraud-l4mdn(0)", 4286296336),
        ("fraud-l4mdn(0).root(0).Trainer-driver(0)", 409967278),
        ("fraud-l4mdn(0).root(0).Trainer(0).executor(0)", 2394138931),
    ],
)
def test_nodes_are_numbered_as_argo_does(name, number):
    workflow = name.partition(".")[0].removesuffix("(0)")
    assert following._id(workflow, name) == node_id(workflow, name) == f"{workflow}-{number}"


def pod(template: str, name: str) -> str:
    return node_id(WORKFLOW, name).replace(WORKFLOW, f"{WORKFLOW}-{template}")


def test_the_pods_of_components_are_named(server):
    server.attempts = {"Tuner": 3}
    stage = {"ExampleGen": "done", "Tuner": "failed", "Trainer": "driver failed", "Pusher": "cached"}
    api, run = started(server, stage)
    pods = {task.name: task.pods for task in following.tasks(api.run(run.run_id))}
    assert pods["ExampleGen"] == (pod("system-container-impl", f"{WORKFLOW}.root.ExampleGen.executor"),)
    assert pods["Tuner"] == tuple(
        pod("retry-system-container-impl", f"{WORKFLOW}.root.Tuner.executor({number})") for number in (2, 1, 0)
    )
    assert pods["Trainer"] == (pod("system-container-driver", f"{WORKFLOW}.root.Trainer-driver"),)


def test_the_pods_are_named_where_every_node_is_retried(server):
    server.attempts, server.all_retried = {"Tuner": 2}, True
    stage = {"ExampleGen": "done", "Tuner": "failed", "Trainer": "driver failed", "Pusher": "cached"}
    api, run = started(server, stage)
    tasks = following.tasks(api.run(run.run_id), following.Plan(retried=frozenset({"Tuner"})))
    assert states(tasks) == {"ExampleGen": "done", "Tuner": "failed", "Trainer": "failed", "Pusher": "cached"}
    pods = {task.name: task.pods for task in tasks}
    root = f"{WORKFLOW}(0).root(0)"
    assert pods["ExampleGen"] == (pod("system-container-impl", f"{root}.ExampleGen(0).executor(0)"),)
    assert pods["Tuner"] == tuple(
        pod("retry-system-container-impl", f"{root}.Tuner(0).executor({number})") for number in (1, 0)
    )
    assert pods["Trainer"] == (pod("system-container-driver", f"{root}.Trainer-driver(0)"),)
    assert pods["Pusher"] == ()


LOG = b"""I0101 03:00:00.000000       1 launcher_v2.go:98] launching
reading transactions
InputError: transactions.csv line 84,211: Amount is 'N/A', expected a number
E0101 03:00:09.000000       1 launcher_v2.go:449] Component failed to execute successfully: exit status 2
F0101 03:00:09.100000       1 main.go:54] failed to execute component: exit status 2
time="2026-01-01T03:00:09Z" level=info msg="sub-process exited" argo=true error="<nil>"
time=2026-01-01T03:00:09.230Z level=INFO msg="sub-process exited" argo=true error="<nil>"
Error: exit status 1
"""


def test_a_failure_is_explained_by_the_last_line_of_the_component(server):
    api, run = started(server, {"ExampleGen": "failed"})
    (task,) = following.tasks(api.run(run.run_id))
    server.logs[task.pods[0]] = LOG + b"\xff\n"
    assert following.why(api, run, task) == "\ufffd"
    server.logs[task.pods[0]] = LOG
    assert following.why(api, run, task).startswith("InputError: transactions.csv line 84,211")


def test_a_log_of_the_launcher_alone_is_explained_by_its_last_line():
    assert following.last_words("I0101 03:00:00.0 1 a.go:1] on it\nF0101 03:00:01.0 1 a.go:2] no image\n") == (
        "F0101 03:00:01.0 1 a.go:2] no image"
    )
    assert following.last_words("") == ""


def test_what_the_api_says_of_a_failure_comes_first(server):
    api, run = started(server, {"ExampleGen": "failed"})
    current = api.run(run.run_id)
    for detail in current.run_details.task_details:
        if detail.display_name == "ExampleGen":
            detail.error = SimpleNamespace(message="OOMKilled\n")
    (task,) = following.tasks(current)
    assert following.why(api, current, task) == "OOMKilled"


def test_a_log_is_read_where_it_can_be_had(server):
    api, run = started(server, {"ExampleGen": "done"})
    (task,) = following.tasks(api.run(run.run_id))
    name = task.pods[0]
    # the API server's failure comes with 200, the page's with 500
    assert api.log(run.run_id, name) is None
    server.logs_on_page[name] = "of the page\n"
    assert api.log(run.run_id, name) == "of the page\n"
    server.logs[name] = LOG
    assert api.log(run.run_id, name) == LOG.decode()
    server.fail("GET", "/log", "page", times=2)
    server.logs_on_page.clear()
    assert api.log(run.run_id, name) is None


def test_kubectl_is_used_where_there_is_one(tmp_path, monkeypatch):
    command = following.kubectl("team-a", "some-pod")
    assert command == ["kubectl", "--namespace", "team-a", "logs", "some-pod", "--container", "main"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert following.read_by_kubectl(command) is None
    program = tmp_path / "kubectl"
    program.write_text('#!/bin/sh\n[ "$4" = some-pod ] && echo "of kubectl: $2"\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    assert following.read_by_kubectl(command) == "of kubectl: team-a\n"
    assert following.read_by_kubectl(following.kubectl("team-a", "gone")) is None


def test_a_run_is_found_by_id_by_name_and_as_the_newest(server):
    api, first = started(server)
    common, _ = uploaded(api)
    second = client.start(api, "second", common)
    for named, run in ((first.run_id, first), ("first", first), ("newest", second)):
        assert api.find_run(named, "tries").run_id == run.run_id
    for named in ("third", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(InputError, match=named):
            api.find_run(named, "tries")
    with pytest.raises(InputError, match="no run yet in the experiment elsewhere"):
        api.find_run("newest", "elsewhere")


def test_a_missing_package_is_named_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "kfp_server_api", None)
    monkeypatch.delitem(sys.modules, "pipeline.kubeflow.api")
    with pytest.raises(InputError, match=r"kfp_server_api is not installed.*fraud-pipeline\[kubeflow\]"):
        importlib.import_module("pipeline.kubeflow.api")


def test_a_broken_context_of_kfp_is_named(server):
    api_module._KFP_CONTEXT.write_text("{")
    with pytest.raises(InputError, match=r"context\.json cannot be read"):
        api_of(server)
