"""The API of Kubeflow Pipelines at one endpoint: its requests, and their failures in words."""
# kfp's own Client has no timeouts, waits for 25 s where nothing answers, prints links, keeps a file in the home folder,
# and takes seconds to import. So this module uses what that Client is built on, kfp-server-api: its ApiClient and its
# models. The requests are those of the documented v2beta1 REST API, since the generated methods have other names in
# each version.

from __future__ import annotations

import html
import json
import logging
import os
import re
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from trainer.errors import InputError
from trainer.places import expanded, problem

try:
    import kfp_server_api
    import tenacity
    import urllib3
except ModuleNotFoundError as error:
    raise InputError(
        f"{error.name} is not installed, which Kubeflow Pipelines is reached with: pip install "
        "'fraud-pipeline[kubeflow]'"
    ) from error

NEWEST = "newest"  # in place of a run's name
V2 = "/apis/v2beta1"
POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")  # where the documentation mounts a pod's own token
_KFP_CONTEXT = Path("~/.config/kfp/context.json")  # where kfp keeps the cookie or header of a gateway

# Worth another attempt: too many requests, and the answers of a server or a gateway that is being restarted.
_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_PAGE = 100

_log = logging.getLogger(__name__)


class ApiError(InputError):
    """A request that failed, in words.

    status: the HTTP status, None where no answer came; transient: whether the same request may succeed later; late:
    whether the server may still be working on it.
    """

    def __init__(self, message: str, status: int | None = None, *, transient: bool = False, late: bool = False):
        super().__init__(message)
        self.status = status
        self.transient = transient
        self.late = late


# Requests


class _Http(kfp_server_api.ApiClient):
    """ApiClient, but every failure is an `ApiError`."""

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        try:
            response = super().request(method, url, *args, **options)
        except kfp_server_api.ApiException as error:
            # a TLS failure has no body, which ApiClient would try to decode
            if error.body is None:
                raise self._untrusted(str(error.reason)) from error
            raise self._refused(error.status, error.reason, error.body) from error
        except urllib3.exceptions.HTTPError as error:
            raise self._unanswered(error) from error
        # ApiClient decodes strictly, but a log may contain any bytes
        response.data = response.data.decode("utf-8", "replace").encode()
        return response

    def _untrusted(self, why: str) -> ApiError:
        return ApiError(
            f"{self.configuration.host} cannot be trusted: {' '.join(why.split())}; name a file with its certificate "
            "authority in SSL_CERT_FILE, or, if it does not use TLS, write it as http://"
        )

    def _unanswered(self, error: urllib3.exceptions.HTTPError) -> ApiError:
        return ApiError(
            f"{self.configuration.host} does not answer: {_cause(error)}; correct kubeflow.endpoint or --endpoint, or "
            "forward the API's port (kubectl -n kubeflow port-forward service/ml-pipeline 8888) and use --endpoint "
            "http://localhost:8888",
            transient=True,
            late=isinstance(error, urllib3.exceptions.ReadTimeoutError),
        )

    def _refused(self, status: int, reason: str, body: bytes) -> ApiError:
        host, message = self.configuration.host, _message_in(body) or reason or "nothing more"
        if status == 401:
            token = self.configuration.api_key.get("authorization")
            return ApiError(f"{host} answered 401: {_how_to_authenticate(bool(token))} (it said: {message})", 401)
        if status == 403:
            return ApiError(
                f"{host} answered 403: {message}; ask for the role kubeflow-edit in the namespace of the runs, or "
                "authenticate: some gateways answer so to a request without a token (--token-file FILE)",
                403,
            )
        if status in _TRANSIENT:
            return ApiError(
                f"{host} answered {status}, again and again: {message}; the API server's log says why: "
                "kubectl -n kubeflow logs deployment/ml-pipeline",
                status,
                transient=True,
                late=status == 504,
            )
        return ApiError(f"{host} answered {status}: {message}", status)


def _cause(error: urllib3.exceptions.HTTPError) -> str:
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # which counts as a timeout in urllib3 1
    if isinstance(error, urllib3.exceptions.TimeoutError) and not refused:
        return "no answer in time"
    inner = error.__cause__ or (error.args[-1] if error.args and isinstance(error.args[-1], Exception) else None)
    return " ".join(str(inner or error).rpartition(": ")[2].split()) or type(error).__name__


def _message_in(body: bytes) -> str:
    """The message in an error's body: JSON of the API or of its upload handler, or a gateway's page."""
    text = body.decode("utf-8", "replace")
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if isinstance(values, dict):
        keys = ("message", "error_message", "error", "error_details")
        text = next((str(values[key]) for key in keys if values.get(key)), text)
    else:
        text = html.unescape(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", text, flags=re.S))
    return " ".join(text.split())[:400]


def _how_to_authenticate(had_token: bool) -> str:
    if had_token:
        return "the token was refused: it may have expired, or be for another audience; get a new one"
    return (
        "it needs authentication; put a token into a file and pass --token-file FILE (KF_PIPELINES_SA_TOKEN_PATH), "
        "in a pod mount a service account's token for the audience pipelines.kubeflow.org at "
        f"{POD_TOKEN}, or bypass the gateway: kubectl -n kubeflow port-forward service/ml-pipeline 8888 and "
        "--endpoint http://localhost:8888"
    )


class Api:
    """The API at one endpoint, for runs in one namespace.

    Requests with a transient failure are repeated, after longer and longer waits; `wait` is the first, in seconds. A
    request to create something that got no answer is only repeated if the thing does not exist.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        namespace: str | None = None,
        token_file: Path | None = None,
        timeout: tuple[float, float] = (5, 30),
        attempts: int = 5,
        wait: float = 0.5,
    ):
        self.endpoint = endpoint.rstrip("/")
        if not re.match(r"https?://[^/\s]+", self.endpoint):
            raise InputError(f"the endpoint must be http:// or https:// and a host, got {endpoint!r}")
        self.namespace = namespace
        self._timeout = timeout
        self._attempts = attempts
        self._wait = wait
        self._multi_user = False
        configuration = kfp_server_api.Configuration(host=self.endpoint)
        configuration.retries = False
        configuration.ssl_ca_cert = _authorities()
        configuration.proxy = _proxy(self.endpoint)
        _authenticate(configuration, token_file)
        self._http = _Http(configuration, **_gateway_credentials())

    def reach(self) -> None:
        """Checks that the API answers, before any other request.

        Raises:
          ApiError: it does not, or it refuses access.
        """
        try:
            health = self._get(f"{V2}/healthz", "V2beta1GetHealthzResponse", attempts=2)
        except ApiError as error:
            if error.status != 404:
                raise
            raise ApiError(
                f"{self.endpoint} has no Kubeflow Pipelines API (404 for {V2}/healthz); the endpoint is the address of "
                "the API or of its page, with the path before '#', as https://kubeflow.example.com/pipeline",
                404,
            ) from error
        self._multi_user = bool(health.multi_user)
        if self._multi_user and not self.namespace:
            raise InputError(
                f"{self.endpoint} keeps users apart by namespace; name yours: kubeflow.namespace in the config, or "
                "--set kubeflow.namespace=NAME"
            )

    def run_url(self, run_id: str) -> str:
        """The address of a run's page."""
        page = os.environ.get("KF_PIPELINES_UI_ENDPOINT", self.endpoint).rstrip("/")
        return f"{page}/#/runs/details/{run_id}"

    # Pipelines and their versions

    def pipeline(self, name: str) -> Any | None:
        """The pipeline of that name; None where there is none."""
        matches = self._list(f"{V2}/pipelines", "V2beta1ListPipelinesResponse", "pipelines", name=name)
        return next(matches, None)

    def make_pipeline(self, name: str) -> Any:
        """The pipeline of that name, which is created if it does not exist."""
        body = kfp_server_api.V2beta1Pipeline(display_name=name, namespace=self._space)
        return self._make(f"{V2}/pipelines", "V2beta1Pipeline", lambda: self.pipeline(name), unique=True, body=body)

    def versions(self, pipeline_id: str, name: str | None = None) -> list[Any]:
        """A pipeline's versions, or those of that name only, the newest first."""
        path = f"{V2}/pipelines/{_quoted(pipeline_id)}/versions"
        matches = self._list(path, "V2beta1ListPipelineVersionsResponse", "pipeline_versions", name=name)
        return list(matches)

    def make_version(self, pipeline: Any, name: str, text: str) -> tuple[Any, bool]:
        """The version of that name, which identifies the text, and whether it had to be uploaded."""
        existing = self.versions(pipeline.pipeline_id, name)
        made = self._make(
            f"{V2}/pipelines/upload_version",
            "V2beta1PipelineVersion",
            lambda: next(iter(self.versions(pipeline.pipeline_id, name)), None),
            unique=True,
            query_params=[("name", name), ("pipelineid", pipeline.pipeline_id)],
            header_params={"Content-Type": "multipart/form-data", "Accept": "application/json"},
            post_params=[("uploadfile", ("pipeline.yaml", text.encode(), "application/yaml"))],
        )
        return made, not existing

    def version(self, pipeline_id: str, version_id: str) -> Any:
        path = f"{V2}/pipelines/{_quoted(pipeline_id)}/versions/{_quoted(version_id)}"
        return self._get(path, "V2beta1PipelineVersion")

    def delete_version(self, pipeline_id: str, version_id: str) -> None:
        self._delete(f"{V2}/pipelines/{_quoted(pipeline_id)}/versions/{_quoted(version_id)}")

    # Experiments

    def experiment(self, name: str) -> Any | None:
        """The experiment of that name; None where there is none."""
        matches = self._list(f"{V2}/experiments", "V2beta1ListExperimentsResponse", "experiments", name=name)
        return next(matches, None)

    def make_experiment(self, name: str) -> Any:
        """The experiment of that name, which is created if it does not exist."""
        body = kfp_server_api.V2beta1Experiment(display_name=name, namespace=self._space)
        path = f"{V2}/experiments"
        return self._make(path, "V2beta1Experiment", lambda: self.experiment(name), unique=True, body=body)

    # Runs

    def start(self, run: Any) -> Any:
        """Starts a V2beta1Run exactly once; another run of the same name is not taken for it."""
        before = {one.run_id for one in self._runs(name=run.display_name)}

        def started() -> Any | None:
            return next((one for one in self._runs(name=run.display_name) if one.run_id not in before), None)

        return self._make(f"{V2}/runs", "V2beta1Run", started, unique=False, body=run)

    def run(self, run_id: str) -> Any:
        return self._get(f"{V2}/runs/{_quoted(run_id)}", "V2beta1Run")

    def find_run(self, named: str, experiment: str) -> Any:
        """The run of that ID or name; for `newest` the run of the experiment that was started last.

        Raises:
          InputError: there is no such run.
        """
        if _is_id(named):
            try:
                return self.run(named)
            except ApiError as error:
                if error.status != 404:
                    raise
                raise InputError(f"{self.endpoint} knows no run {named}; `kubeflow status` shows the newest") from error
        newest = named == NEWEST
        kept = self.experiment(experiment)
        matches = self._runs(experiment=kept, name=None if newest else named, size=1) if kept else iter(())
        run = next(matches, None)
        if run is None:
            what = "no run yet" if newest else f"no run named {named!r}"
            raise InputError(f"{self.endpoint} has {what} in the experiment {experiment}; `kubeflow submit` starts one")
        return self.run(run.run_id)  # a list's entries may lack details

    def delete_run(self, run_id: str) -> None:
        self._delete(f"{V2}/runs/{_quoted(run_id)}")

    def _runs(self, *, experiment: Any = None, name: str | None = None, size: int = _PAGE) -> Iterator[Any]:
        inside = [("experiment_id", experiment.experiment_id)] if experiment else []
        return self._list(f"{V2}/runs", "V2beta1ListRunsResponse", "runs", name=name, query=inside, size=size)

    # Schedules

    def schedules(self, experiment_id: str | None = None, name: str | None = None) -> list[Any]:
        """The recurring runs, the newest first; of that experiment and of that name only, where they are passed."""
        inside = [("experiment_id", experiment_id)] if experiment_id else []
        path = f"{V2}/recurringruns"
        matches = self._list(path, "V2beta1ListRecurringRunsResponse", "recurring_runs", name=name, query=inside)
        return list(matches)

    def make_schedule(self, schedule: Any) -> tuple[Any, list[Any]]:
        """Creates a V2beta1RecurringRun, deletes the others of its name, and returns the new one and the old ones.

        The API can't change one. The new one is created first, so that there is always one.
        """
        name = schedule.display_name
        old = self.schedules(schedule.experiment_id, name)
        before = {one.recurring_run_id for one in old}

        def made() -> Any | None:
            schedules = self.schedules(schedule.experiment_id, name)
            return next((one for one in schedules if one.recurring_run_id not in before), None)

        new = self._make(f"{V2}/recurringruns", "V2beta1RecurringRun", made, unique=False, body=schedule)
        for one in old:
            try:
                self.delete_schedule(one.recurring_run_id)
            except ApiError as error:
                raise ApiError(
                    f"the schedule {new.recurring_run_id} was created, but the one that it replaces, "
                    f"{one.recurring_run_id}, could not be deleted: {error}",
                    error.status,
                ) from error
        return new, old

    def enable_schedule(self, recurring_run_id: str, enabled: bool) -> None:
        verb = "enable" if enabled else "disable"
        self._again(self._attempts, "POST", f"{V2}/recurringruns/{_quoted(recurring_run_id)}:{verb}")

    def delete_schedule(self, recurring_run_id: str) -> None:
        self._delete(f"{V2}/recurringruns/{_quoted(recurring_run_id)}")

    # Logs

    def log(self, run_id: str, pod: str) -> str | None:
        """A pod's log, from the API server or from its page; None where neither has it."""
        page_query = {"podname": pod, "runid": run_id, **({"podnamespace": self.namespace} if self.namespace else {})}
        for path, query in (
            (f"/apis/v1alpha1/runs/{_quoted(run_id)}/nodes/{_quoted(pod)}/log", {}),
            ("/k8s/pod/logs", page_query),
        ):
            try:
                self._ask("GET", path, kind=None, query_params=list(query.items()))
            except ApiError as error:
                _log.info("no log of %s at %s: %s", pod, path, error)
                continue
            answer = self._http.last_response
            text = str(answer.data)
            page = "html" in (answer.getheader("content-type") or "")
            # the API server answers 200 and may then fail, which it says as JSON at the end
            if text.strip() and not page and not re.search(r'\{"error_message":.*\}\s*$', text, re.S):
                return text
        return None

    # One request

    @property
    def _space(self) -> str | None:
        """The namespace, if users have their own; older servers refuse it where users share one."""
        return self.namespace if self._multi_user else None

    def _ask(self, method: str, path: str, kind: str | None = "object", **parts: Any) -> Any:
        """Makes one attempt; kind: the model of the answer."""
        answer = self._http.call_api(
            path,
            method,
            response_type="object" if kind else None,
            auth_settings=["Bearer"],
            _return_http_data_only=True,
            _request_timeout=self._timeout,
            **parts,
        )
        if kind and not isinstance(answer, dict):
            text = _message_in(str(answer).encode())[:80]
            raise ApiError(
                f"{self.endpoint} answered with a page ({text!r}), not with the API's JSON: if it is a login page, "
                f"{_how_to_authenticate(False)}; or this is the address of something else"
            )
        return self._http.deserialize(self._http.last_response, kind) if kind else None

    def _again(self, attempts: int, *request: Any, **parts: Any) -> Any:
        """Repeats a request until it is answered; the request must do no harm if it arrives twice."""
        return self._retrying(attempts)(self._ask, *request, **parts)

    def _retrying(self, attempts: int) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, ApiError) and error.transient),
            stop=tenacity.stop_after_attempt(attempts),
            wait=tenacity.wait_exponential(self._wait, max=10),
            before_sleep=tenacity.before_sleep_log(_log, logging.INFO),
            reraise=True,
        )

    def _get(self, path: str, kind: str, *, attempts: int | None = None, **parts: Any) -> Any:
        return self._again(attempts or self._attempts, "GET", path, kind, **parts)

    def _delete(self, path: str) -> None:
        try:
            self._again(self._attempts, "DELETE", path)
        except ApiError as error:
            if error.status != 404:  # deleted already, perhaps by an attempt whose answer got lost
                raise

    def _make(self, path: str, kind: str, find: Callable[[], Any | None], *, unique: bool, **request: Any) -> Any:
        """Creates something exactly once.

        find: returns what was created, if it was; unique: whether the server keeps names unique.
        """
        looked_for = unique
        late: ApiError | None = None

        def existing() -> Any | None:
            try:
                return find()
            except ApiError as error:
                error.transient = False  # it has been repeated often enough
                raise

        def attempt() -> Any:
            nonlocal looked_for, late
            made = existing() if looked_for else None
            looked_for = True
            if made is not None:
                return made
            if late:
                raise late
            try:
                return self._ask("POST", path, kind, **request)
            except ApiError as error:
                if error.late and not unique:
                    late = ApiError(f"{error}; it may still be created, so look before you try again", transient=True)
                # another client created it meanwhile, or an attempt whose answer got lost
                made = existing() if error.status == 409 else None
                if made is None:
                    raise
                return made

        return self._retrying(self._attempts)(attempt)

    def _list(
        self,
        path: str,
        kind: str,
        field: str,
        *,
        name: str | None = None,
        query: Iterable[tuple[str, str]] = (),
        size: int = _PAGE,
    ) -> Iterator[Any]:
        """All entries of a list, which is read page by page, the newest first."""
        parameters = [*query, ("page_size", str(size)), ("sort_by", "created_at desc")]
        if self._space and not any(key == "experiment_id" for key, _ in parameters) and not path.endswith("/versions"):
            parameters.append(("namespace", self._space))
        if name is not None:
            predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
            parameters.append(("filter", json.dumps({"predicates": [predicate]})))
        token = ""
        while True:
            page = self._get(path, kind, query_params=[*parameters, *([("page_token", token)] if token else [])])
            yield from getattr(page, field) or ()
            token = page.next_page_token
            if not token:
                return


def _quoted(part: str) -> str:
    return urllib.parse.quote(part, safe="")


def _is_id(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text))


def _authorities() -> str | None:
    file = os.environ.get("SSL_CERT_FILE")
    if file and not Path(file).is_file():
        raise InputError(f"SSL_CERT_FILE names {file}, which is not a file; correct or unset it")
    return file


def _proxy(endpoint: str) -> str | None:
    """The proxy from the environment, as other programs use it; None for a forwarded port."""
    address = urllib.parse.urlsplit(endpoint)
    if address.hostname in ("localhost", "127.0.0.1", "::1") or urllib.request.proxy_bypass(address.netloc):
        return None
    return urllib.request.getproxies().get(address.scheme)


def _authenticate(configuration: Any, token_file: Path | None) -> None:
    """Authenticates by the token in a file, which is read for each request, since a pod's own changes every hour."""
    file = token_file or (POD_TOKEN if POD_TOKEN.is_file() else None)
    if file is None:
        return

    def read(configuration: Any) -> None:
        try:
            token = expanded(file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = problem(error) if isinstance(error, OSError) else "it is not text"
            raise InputError(f"the token file {file} cannot be read: {reason}; name another one") from error
        if not token or re.search(r"\s", token):
            raise InputError(f"the token file {file} must hold one token and nothing else")
        configuration.api_key["authorization"] = token

    configuration.api_key_prefix["authorization"] = "Bearer"
    configuration.refresh_api_key_hook = read
    read(configuration)


def _gateway_credentials() -> dict[str, Any]:
    """The cookie or header that kfp's Client would send, if its file has one."""
    try:
        values = json.loads(expanded(_KFP_CONTEXT).read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = problem(error) if isinstance(error, OSError) else f"it is not JSON ({error})"
        raise InputError(f"{_KFP_CONTEXT} cannot be read: {reason}; correct or remove it") from error
    prefix = "client_authentication_"
    names = ("cookie", "header_name", "header_value")
    return {name: values[prefix + name] for name in names if values.get(prefix + name)}
