"""A server on loopback that speaks Kubeflow Pipelines' v2beta1 API, with runs that go by a script and faults on demand.

What it answers is made of the models of kfp-server-api. Paths, filters, error bodies and the details of a run are those
of the API server's source: backend/src/apiserver of kubeflow/pipelines 2.17.
"""

from __future__ import annotations

import dataclasses
import datetime
import email.parser
import email.policy
import json
import os
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kfp_server_api as kfp
import pytest

from pipeline.kubeflow import api

BEGIN = datetime.datetime(2026, 1, 1, 3, tzinfo=datetime.timezone.utc)
DRIVER_SECONDS, POD_SECONDS = 4, 42
GO_ZERO = "0001-01-01T00:00:00Z"  # how the API gives the end of what has none yet
WORKFLOW = "fraud-x7k2p"

_GRPC_CODES = {400: 3, 403: 7, 404: 5, 409: 6, 401: 16}


@dataclasses.dataclass(frozen=True)
class Request:
    """A request; body: parsed JSON, or the file of an upload as text."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: float


@dataclasses.dataclass
class Fault:
    """A fault of the next requests of a method whose path contains some text.

    how: an HTTP status; `drop`: the connection ends before the request is heeded; `lost`: it ends afterwards;
    `conflict`: the answer is 409 afterwards; `slow`: it takes longer than anybody waits; `page`: it is a login page.
    """

    method: str
    path: str
    how: int | str
    times: int = 1


def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Removes proxies, certificates, tokens and cookies of whoever runs the tests."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("KF_PIPELINES_", "SSL_CERT")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(api, "_KFP_CONTEXT", folder / "context.json")


def node_id(workflow: str, name: str) -> str:
    """Argo's Workflow.NodeID: 32 bits of FNV-1a over the node's name."""
    value = 2166136261
    for byte in name.encode():
        value = ((value ^ byte) * 16777619) % 2**32
    return f"{workflow}-{value}"


def details(
    states: Mapping[str, str], *, attempts: Mapping[str, int] | None = None, all_retried: bool = False
) -> list[Any]:
    """task_details of a run whose components are in these states, as the API server makes them of Argo's nodes.

    States: driving, running, done, cached, failed, driver failed, omitted. attempts: of components that may be retried.
    all_retried: every node may be, as Kubeflow Pipelines 2.17 configures Argo.
    """
    attempts, nodes = attempts or {}, _Nodes(all_retried)
    names = list(states)
    going = any(state in ("driving", "running") for state in states.values())
    failed = any(state.endswith("failed") for state in states.values())
    whole = "RUNNING" if going else "FAILED" if failed else "SUCCEEDED"
    begin = BEGIN
    nodes.add("", whole, begin, None, ["root-driver"])
    nodes.add("root-driver", "SUCCEEDED", begin, DRIVER_SECONDS, ["root"])
    nodes.add("root", whole, begin, None, [f"root.{names[0]}-driver"] if names else [])
    for name, state in states.items():
        begin += datetime.timedelta(seconds=60)
        _component(nodes, name, state, begin, attempts.get(name, 0))
    return nodes.made


_CONTAINERS = {"running": ("RUNNING", None), "done": ("SUCCEEDED", POD_SECONDS), "failed": ("FAILED", 9)}


def _component(nodes: _Nodes, name: str, state: str, begin: datetime.datetime, attempts: int) -> None:
    after = begin + datetime.timedelta(seconds=DRIVER_SECONDS)
    node, driver = f"root.{name}", f"root.{name}-driver"
    executor = f"{node}.executor"
    if state == "omitted":
        nodes.add(driver, "RUNTIME_STATE_UNSPECIFIED", begin, 0, [])
    elif state == "driving":
        nodes.add(driver, "RUNNING", begin, None, [])
    elif state == "driver failed":
        nodes.add(driver, "FAILED", begin, DRIVER_SECONDS, [node])
        nodes.add(node, "RUNTIME_STATE_UNSPECIFIED", after, 0, [])
    elif state == "cached":
        nodes.add(driver, "SUCCEEDED", begin, DRIVER_SECONDS, [node])
        nodes.add(node, "SUCCEEDED", after, 0, [executor])
        nodes.add(executor, "SKIPPED", after, 0, [], attempts=0)
    else:
        argo, seconds = _CONTAINERS[state]
        nodes.add(driver, "SUCCEEDED", begin, DRIVER_SECONDS, [node])
        nodes.add(node, argo, after, seconds, [executor])
        nodes.add(executor, argo, after, seconds, [], attempts=attempts or nodes.all_retried)


@dataclasses.dataclass
class _Nodes:
    all_retried: bool
    made: list[Any] = dataclasses.field(default_factory=list)

    def add(
        self,
        path: str,
        state: str,
        begin: datetime.datetime,
        seconds: int | None,
        children: Iterable[str],
        attempts: int | None = None,
    ) -> None:
        """children: their paths, from the workflow on. attempts: at the node, of which all but the last failed."""
        count = int(self.all_retried) if attempts is None else attempts
        name, below = self._name(path), [self._name(child) for child in children]
        shown = path.rpartition(".")[2] or WORKFLOW
        tries = [f"({number})" for number in range(count)]
        self._add(shown, state, begin, seconds, [name + number for number in tries] or below)
        for number in tries:
            last = number == tries[-1]
            self._add(shown + number, state if last else "FAILED", begin, seconds, below if last else [])

    def _name(self, path: str) -> str:
        steps = [WORKFLOW, *path.split(".")] if path else [WORKFLOW]
        return ("(0)." if self.all_retried else ".").join(steps)

    def _add(
        self, shown: str, state: str, begin: datetime.datetime, seconds: int | None, children: Iterable[str]
    ) -> None:
        end = GO_ZERO if seconds is None else _text(begin + datetime.timedelta(seconds=seconds))
        self.made.append(
            kfp.V2beta1PipelineTaskDetail(
                run_id="",
                task_id=str(uuid.uuid4()),
                display_name=shown,
                create_time=_text(BEGIN),
                start_time=_text(begin),
                end_time=end,
                state=state,
                child_tasks=[kfp.PipelineTaskDetailChildTask(pod_name=node_id(WORKFLOW, child)) for child in children],
            )
        )


def _text(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class KfpServer:
    """The server, as `with KfpServer() as server:`; it records requests, and its faults can be set.

    stages: states of the components of a run, one mapping for each request for the run; the last one stays.
    """

    def __init__(self, *, multi_user: bool = False, token: str | None = None, page: int = 100):
        self.multi_user, self.token, self.page = multi_user, token, page
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.stages: list[dict[str, str]] = [{}]
        self.final = "SUCCEEDED"  # state of the run after its stages; RUNNING: it never ends
        self.attempts: dict[str, int] = {}
        self.all_retried = False
        self.logs: dict[str, bytes] = {}
        self.logs_on_page: dict[str, str] = {}
        self.pipelines: list[Any] = []
        self.versions: list[Any] = []
        self.texts: dict[str, str] = {}  # uploaded files by version
        self.experiments: list[Any] = []
        self.runs: list[Any] = []
        self.schedules: list[Any] = []
        self._looks: dict[str, int] = {}
        self._made = 0
        self._lock = threading.RLock()
        outer = self

        class Handler(_Handler):
            server_ = outer

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> KfpServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def fail(self, method: str, path: str, how: int | str, times: int = 1) -> None:
        self.faults.append(Fault(method, path, how, times))

    def requests_to(self, method: str, path: str) -> list[Request]:
        """The requests of that method to paths that contain that text, in order."""
        return [request for request in self.requests if request.method == method and path in request.path]

    # what the handler calls

    def fault_of(self, method: str, path: str) -> int | str | None:
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and fault.path in path:
                    fault.times -= 1
                    return fault.how
        return None

    def answer(self, request: Request) -> tuple[int, Any]:
        """Status, and a model, JSON or text."""
        with self._lock:
            for method, pattern, function in _ROUTES:
                match = re.fullmatch(pattern, request.path)
                if method == request.method and match:
                    return function(self, request, *match.groups())
        return 404, "404 page not found\n"

    def now(self) -> str:
        self._made += 1
        return _text(BEGIN + datetime.timedelta(seconds=self._made))

    def listed(self, request: Request, kind: str, field: str, entries: Iterable[Any]) -> tuple[int, Any]:
        """A page of a list, filtered and sorted as the query wants it."""
        entries = list(entries)
        if "filter" in request.query:
            (predicate,) = json.loads(request.query["filter"])["predicates"]
            assert predicate["operation"] == "EQUALS"
            entries = [one for one in entries if getattr(one, predicate["key"]) == predicate["string_value"]]
        if "sort_by" in request.query:
            key, _, order = request.query["sort_by"].partition(" ")
            entries.sort(key=lambda one: getattr(one, key), reverse=order == "desc")
        start = int(request.query.get("page_token") or 0)
        end = start + min(int(request.query.get("page_size", 10)), self.page)
        page = {field: entries[start:end], "total_size": len(entries)}
        return 200, getattr(kfp, kind)(**page, next_page_token=str(end) if end < len(entries) else "")

    def looked_at(self, run: Any) -> Any:
        """The run, one stage later."""
        look = self._looks.get(run.run_id, 0)
        self._looks[run.run_id] = look + 1
        states = self.stages[min(look, len(self.stages) - 1)]
        ended = look >= len(self.stages) - 1 and self.final != "RUNNING"
        run.state = self.final if ended else "RUNNING"
        run.finished_at = _text(BEGIN + datetime.timedelta(hours=1)) if ended else "1970-01-01T00:00:00Z"
        run.run_details = kfp.V2beta1RunDetails(
            task_details=details(states, attempts=self.attempts, all_retried=self.all_retried)
        )
        return run


def _error(status: int, message: str) -> tuple[int, Any]:
    """As grpc-gateway."""
    return status, {"error": message, "code": _GRPC_CODES[status], "message": message, "details": []}


def _health(server: KfpServer, request: Request) -> tuple[int, Any]:
    return 200, kfp.V2beta1GetHealthzResponse(multi_user=server.multi_user)


def _list_pipelines(server: KfpServer, request: Request) -> tuple[int, Any]:
    return server.listed(request, "V2beta1ListPipelinesResponse", "pipelines", server.pipelines)


def _create_pipeline(server: KfpServer, request: Request) -> tuple[int, Any]:
    name = request.body["display_name"]
    if any(one.display_name == name for one in server.pipelines):
        return _error(409, f"Failed to create a pipeline with name {name}. The pipeline already exists")
    made = kfp.V2beta1Pipeline(pipeline_id=str(uuid.uuid4()), created_at=server.now(), **request.body)
    server.pipelines.append(made)
    return 200, made


def _versions_of(server: KfpServer, pipeline_id: str) -> list[Any]:
    return [one for one in server.versions if one.pipeline_id == pipeline_id]


def _list_versions(server: KfpServer, request: Request, pipeline_id: str) -> tuple[int, Any]:
    versions = _versions_of(server, pipeline_id)
    return server.listed(request, "V2beta1ListPipelineVersionsResponse", "pipeline_versions", versions)


def _upload_version(server: KfpServer, request: Request) -> tuple[int, Any]:
    import yaml

    pipeline_id, name = request.query["pipelineid"], request.query["name"]
    if any(one.display_name == name for one in _versions_of(server, pipeline_id)):
        return 409, {"error_message": "Failed to create a pipeline version", "error_details": "already exists"}
    # the one in C takes a tenth of the time
    spec, *platform = yaml.load_all(request.body, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    made = kfp.V2beta1PipelineVersion(
        pipeline_id=pipeline_id,
        pipeline_version_id=str(uuid.uuid4()),
        display_name=name,
        created_at=server.now(),
        pipeline_spec={"pipeline_spec": spec, "platform_spec": platform[0]} if platform else spec,
    )
    server.versions.append(made)
    server.texts[name] = request.body
    return 200, made


def _one(entries: Iterable[Any], key: str, value: str) -> tuple[int, Any]:
    for one in entries:
        if getattr(one, key) == value:
            return 200, one
    return _error(404, f"{value} not found")


def _get_version(server: KfpServer, request: Request, pipeline_id: str, version_id: str) -> tuple[int, Any]:
    return _one(_versions_of(server, pipeline_id), "pipeline_version_id", version_id)


def _removed(entries: list[Any], key: str, value: str) -> tuple[int, Any]:
    status, one = _one(entries, key, value)
    if status == 200:
        entries.remove(one)
        return 200, {}
    return status, one


def _delete_version(server: KfpServer, request: Request, pipeline_id: str, version_id: str) -> tuple[int, Any]:
    return _removed(server.versions, "pipeline_version_id", version_id)


def _list_experiments(server: KfpServer, request: Request) -> tuple[int, Any]:
    experiments = [one for one in server.experiments if one.namespace == request.query.get("namespace")]
    return server.listed(request, "V2beta1ListExperimentsResponse", "experiments", experiments)


def _create_experiment(server: KfpServer, request: Request) -> tuple[int, Any]:
    made = kfp.V2beta1Experiment(experiment_id=str(uuid.uuid4()), created_at=server.now(), **request.body)
    server.experiments.append(made)
    return 200, made


def _inside(server: KfpServer, request: Request, entries: Iterable[Any]) -> list[Any] | None:
    """The entries in the query's experiment or namespace; None where users are kept apart and it names neither."""
    experiment_id = request.query.get("experiment_id")
    if experiment_id:
        return [one for one in entries if one.experiment_id == experiment_id]
    return None if server.multi_user and "namespace" not in request.query else list(entries)


def _list_runs(server: KfpServer, request: Request) -> tuple[int, Any]:
    runs = _inside(server, request, server.runs)
    if runs is None:
        return _error(400, "Invalid input error: ListRuns must filter by resource reference in multi-user mode.")
    return server.listed(request, "V2beta1ListRunsResponse", "runs", runs)


def _create_run(server: KfpServer, request: Request) -> tuple[int, Any]:
    made = kfp.V2beta1Run(run_id=str(uuid.uuid4()), created_at=server.now(), state="PENDING", **request.body)
    server.runs.append(made)
    return 200, made


def _get_run(server: KfpServer, request: Request, run_id: str) -> tuple[int, Any]:
    status, run = _one(server.runs, "run_id", run_id)
    return status, server.looked_at(run) if status == 200 else run


def _delete_run(server: KfpServer, request: Request, run_id: str) -> tuple[int, Any]:
    return _removed(server.runs, "run_id", run_id)


def _list_schedules(server: KfpServer, request: Request) -> tuple[int, Any]:
    schedules = _inside(server, request, server.schedules)
    if schedules is None:
        return _error(400, "Invalid input error: ListRecurringRuns must filter by resource reference")
    return server.listed(request, "V2beta1ListRecurringRunsResponse", "recurring_runs", schedules)


def _create_schedule(server: KfpServer, request: Request) -> tuple[int, Any]:
    made = kfp.V2beta1RecurringRun(recurring_run_id=str(uuid.uuid4()), created_at=server.now(), **request.body)
    made.status = f"{request.body['mode']}D"
    made.mode = "MODE_UNSPECIFIED"
    made.trigger = kfp.ApiClient().deserialize(_Data(json.dumps(request.body["trigger"])), "V2beta1Trigger")
    server.schedules.append(made)
    return 200, made


def _switch_schedule(server: KfpServer, request: Request, schedule_id: str, verb: str) -> tuple[int, Any]:
    status, one = _one(server.schedules, "recurring_run_id", schedule_id)
    if status == 200:
        one.status = f"{verb.upper()}D"
        return 200, {}
    return status, one


def _delete_schedule(server: KfpServer, request: Request, schedule_id: str) -> tuple[int, Any]:
    return _removed(server.schedules, "recurring_run_id", schedule_id)


def _read_log(server: KfpServer, request: Request, run_id: str, pod: str) -> tuple[int, Any]:
    """Always answers 200, since ReadRunLogV1 writes the status before it looks for the log."""
    missing = {"error_message": f"Failed to read logs from pod {pod}", "error_details": "not found"}
    return 200, server.logs.get(pod, json.dumps(missing))


def _page_log(server: KfpServer, request: Request) -> tuple[int, Any]:
    """The log from the page's own path, where the endpoint is the page."""
    pod = request.query["podname"]
    log = server.logs_on_page.get(pod)
    return (200, log) if log is not None else (500, "Could not get main container logs: Error: pod not found")


@dataclasses.dataclass
class _Data:
    data: str


_API, _ID = "/apis/v2beta1", "([^/:]+)"
_ROUTES: list[tuple[str, str, Callable[..., tuple[int, Any]]]] = [
    ("GET", f"{_API}/healthz", _health),
    ("GET", f"{_API}/pipelines", _list_pipelines),
    ("POST", f"{_API}/pipelines", _create_pipeline),
    ("POST", f"{_API}/pipelines/upload_version", _upload_version),
    ("GET", f"{_API}/pipelines/{_ID}/versions", _list_versions),
    ("GET", f"{_API}/pipelines/{_ID}/versions/{_ID}", _get_version),
    ("DELETE", f"{_API}/pipelines/{_ID}/versions/{_ID}", _delete_version),
    ("GET", f"{_API}/experiments", _list_experiments),
    ("POST", f"{_API}/experiments", _create_experiment),
    ("GET", f"{_API}/runs", _list_runs),
    ("POST", f"{_API}/runs", _create_run),
    ("GET", f"{_API}/runs/{_ID}", _get_run),
    ("DELETE", f"{_API}/runs/{_ID}", _delete_run),
    ("GET", f"{_API}/recurringruns", _list_schedules),
    ("POST", f"{_API}/recurringruns", _create_schedule),
    ("POST", f"{_API}/recurringruns/{_ID}:(enable|disable)", _switch_schedule),
    ("DELETE", f"{_API}/recurringruns/{_ID}", _delete_schedule),
    ("GET", f"/apis/v1alpha1/runs/{_ID}/nodes/{_ID}/log", _read_log),
    ("GET", "/k8s/pod/logs", _page_log),
]


class _Handler(BaseHTTPRequestHandler):
    server_: KfpServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body go out together, or each answer waits 40 ms for the client's kernel

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        server = self.server_
        address = urllib.parse.urlsplit(self.path)
        path, query = urllib.parse.unquote(address.path), dict(urllib.parse.parse_qsl(address.query))
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, query, headers, _body(headers, content), time.monotonic())
        server.requests.append(request)
        how = server.fault_of(self.command, path)
        if how == "slow":
            time.sleep(1.0)
        if how == "drop":
            self.close_connection = True
            return
        if how == "page":
            self._send(200, "text/html; charset=utf-8", b"<html><title>Log in</title><body>Log in</body></html>")
            return
        if isinstance(how, int):
            self._send(how, "text/html", f"<html><h1>{how}</h1>upstream said no</html>".encode())
            return
        if server.token is not None and headers.get("authorization") != f"Bearer {server.token}":
            status, answer = _error(401, "Request header error: there is no user identity header.")
        else:
            status, answer = server.answer(request)
        if how == "lost":
            self.close_connection = True
            return
        if how == "conflict":
            status, answer = _error(409, "already exists")
        if isinstance(answer, (str, bytes)):
            self._send(status, "text/plain", answer if isinstance(answer, bytes) else answer.encode())
        else:
            text = json.dumps(kfp.ApiClient().sanitize_for_serialization(answer))
            self._send(status, "application/json", text.encode())

    do_GET = do_POST = do_DELETE = _handle

    def _send(self, status: int, kind: str, content: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            pass  # nobody waited for a slow answer


def _body(headers: Mapping[str, str], content: bytes) -> Any:
    kind = headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        parser = email.parser.BytesParser(policy=email.policy.HTTP)
        message = parser.parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + content)
        (part,) = message.iter_parts()
        # the API server reads the field uploadfile, and goes by the file's suffix
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        assert str(part.get_filename()).endswith(".yaml")
        uploaded = part.get_payload(decode=True)
        assert isinstance(uploaded, bytes)
        return uploaded.decode()
    return json.loads(content) if content else None
