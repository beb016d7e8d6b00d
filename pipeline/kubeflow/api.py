"""The API of Kubeflow Pipelines at one endpoint: its requests, and what goes wrong with them in words."""
# kfp's own Client has no timeouts, waits for 25 s where nothing answers, prints links, keeps a file in the home folder,
# and takes seconds to import. So this stands on what that is made of, kfp-server-api: its ApiClient and its models. The
# requests are those of the documented v2beta1 REST API: the generated methods have other names in each version of it.

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

try:
    import kfp_server_api
    import tenacity
    import urllib3
except ModuleNotFoundError as error:
    raise InputError(
        f"{error.name} is not installed, by which Kubeflow Pipelines is reached: pip install 'fraud-pipeline[kubeflow]'"
    ) from error

NEWEST = "newest"  # in place of a run's name
V2 = "/apis/v2beta1"
POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")  # where the documentation mounts a pod's own token
_KFP_CONTEXT = Path("~/.config/kfp/context.json")  # where kfp keeps the cookie or header of a gateway

# Worth another attempt: too many requests, and what a server or a gateway says while it is being restarted.
_PASSING = frozenset({429, 500, 502, 503, 504})
_PAGE = 100

_log = logging.getLogger(__name__)


class ApiError(InputError):
    """What the API could not or would not do, in words; status: of HTTP, None where no answer came.

    passing: whether the same request may go well later; late: whether the server may still be at it.
    """

    def __init__(self, message: str, status: int | None = None, *, passing: bool = False, late: bool = False):
        super().__init__(message)
        self.status = status
        self.passing = passing
        self.late = late


# Requests


class _Http(kfp_server_api.ApiClient):
    """ApiClient, of which every failure is an `ApiError`."""

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Any:
        try:
            response = super().request(method, url, *args, **options)
        except kfp_server_api.ApiException as error:
            # of a TLS failure, ApiClient would try to decode the body that it has not
            if error.body is None:
                raise self._untrusted(str(error.reason)) from error
            raise self._refused(error.status, error.reason, error.body) from error
        except urllib3.exceptions.HTTPError as error:
            raise self._unanswered(error) from error
        # ApiClient decodes strictly; a log may hold anything
        response.data = response.data.decode("utf-8", "replace").encode()
        return response

    def _untrusted(self, why: str) -> ApiError:
        return ApiError(
            f"{self.configuration.host} cannot be trusted: {' '.join(why.split())}; name a file with its certificate "
            "authority in SSL_CERT_FILE, or, where it speaks no TLS at all, give it as http://"
        )

    def _unanswered(self, error: urllib3.exceptions.HTTPError) -> ApiError:
        return ApiError(
            f"{self.configuration.host} does not answer: {_cause(error)}; correct kubeflow.endpoint or --endpoint, or "
            "forward the API's port (kubectl -n kubeflow port-forward service/ml-pipeline 8888) and use --endpoint "
            "http://localhost:8888",
            passing=True,
            late=isinstance(error, urllib3.exceptions.ReadTimeoutError),
        )

    def _refused(self, status: int, reason: str, body: bytes) -> ApiError:
        host, said = self.configuration.host, _said(body) or reason or "nothing more"
        if status == 401:
            token = self.configuration.api_key.get("authorization")
            return ApiError(f"{host} answered 401: {_how_to_authenticate(bool(token))} (it said: {said})", 401)
        if status == 403:
            return ApiError(
                f"{host} answered 403: {said}; ask for the role kubeflow-edit in the namespace of the runs, or "
                "authenticate: some gateways answer so to a request without a token (--token-file FILE)",
                403,
            )
        if status in _PASSING:
            return ApiError(
                f"{host} answered {status}, again and again: {said}; the API server's log says why: "
                "kubectl -n kubeflow logs deployment/ml-pipeline",
                status,
                passing=True,
                late=status == 504,
            )
        return ApiError(f"{host} answered {status}: {said}", status)


def _cause(error: urllib3.exceptions.HTTPError) -> str:
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # in urllib3 1 a kind of timeout
    if isinstance(error, urllib3.exceptions.TimeoutError) and not refused:
        return "no answer in time"
    inner = error.__cause__ or (error.args[-1] if error.args and isinstance(error.args[-1], Exception) else None)
    return " ".join(str(inner or error).rpartition(": ")[2].split()) or type(error).__name__


def _said(body: bytes) -> str:
    """What an error's body says: JSON of the API or of its upload handler, or a gateway's page."""
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
        "it wants to know who asks; put a token into a file and give --token-file FILE (KF_PIPELINES_SA_TOKEN_PATH), "
        "in a pod mount a service account's token for the audience pipelines.kubeflow.org at "
        f"{POD_TOKEN}, or go round the gateway: kubectl -n kubeflow port-forward service/ml-pipeline 8888 and "
        "--endpoint http://localhost:8888"
    )


class Api:
    """The API at one endpoint, for runs in one namespace.

    Requests that fail for a passing reason are made again, after longer and longer waits; `wait` is the first, in
    seconds. What may have been made although no answer came is looked for before it is made again.
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
        """Sees that the API is there, before anything is asked of it.

        Raises:
          ApiError: it is not, or it lets nobody in.
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
        """The page of a run."""
        page = os.environ.get("KF_PIPELINES_UI_ENDPOINT", self.endpoint).rstrip("/")
        return f"{page}/#/runs/details/{run_id}"

    # Pipelines and their versions

    def pipeline(self, name: str) -> Any | None:
        """The pipeline of that name, None where there is none."""
        found = self._list(f"{V2}/pipelines", "V2beta1ListPipelinesResponse", "pipelines", name=name)
        return next(found, None)

    def make_pipeline(self, name: str) -> Any:
        """The pipeline of that name, made where it is not there."""
        body = kfp_server_api.V2beta1Pipeline(display_name=name, namespace=self._space)
        return self._make(f"{V2}/pipelines", "V2beta1Pipeline", lambda: self.pipeline(name), unique=True, body=body)

    def versions(self, pipeline_id: str, name: str | None = None) -> list[Any]:
        """A pipeline's versions, the newest first; of that name alone where one is given."""
        path = f"{V2}/pipelines/{_quoted(pipeline_id)}/versions"
        found = self._list(path, "V2beta1ListPipelineVersionsResponse", "pipeline_versions", name=name)
        return list(found)

    def make_version(self, pipeline: Any, name: str, text: str) -> tuple[Any, bool]:
        """The version of that name, and whether it was uploaded for it: the name stands for the text."""
        there = self.versions(pipeline.pipeline_id, name)
        made = self._make(
            f"{V2}/pipelines/upload_version",
            "V2beta1PipelineVersion",
            lambda: next(iter(self.versions(pipeline.pipeline_id, name)), None),
            unique=True,
            query_params=[("name", name), ("pipelineid", pipeline.pipeline_id)],
            header_params={"Content-Type": "multipart/form-data", "Accept": "application/json"},
            post_params=[("uploadfile", ("pipeline.yaml", text.encode(), "application/yaml"))],
        )
        return made, not there

    def version(self, pipeline_id: str, version_id: str) -> Any:
        path = f"{V2}/pipelines/{_quoted(pipeline_id)}/versions/{_quoted(version_id)}"
        return self._get(path, "V2beta1PipelineVersion")

    def delete_version(self, pipeline_id: str, version_id: str) -> None:
        self._delete(f"{V2}/pipelines/{_quoted(pipeline_id)}/versions/{_quoted(version_id)}")

    # Experiments

    def experiment(self, name: str) -> Any | None:
        """The experiment of that name, None where there is none."""
        found = self._list(f"{V2}/experiments", "V2beta1ListExperimentsResponse", "experiments", name=name)
        return next(found, None)

    def make_experiment(self, name: str) -> Any:
        """The experiment of that name, made where it is not there."""
        body = kfp_server_api.V2beta1Experiment(display_name=name, namespace=self._space)
        path = f"{V2}/experiments"
        return self._make(path, "V2beta1Experiment", lambda: self.experiment(name), unique=True, body=body)

    # Runs

    def start(self, run: Any) -> Any:
        """Starts a V2beta1Run, once: another of its name is not taken for it."""
        before = {one.run_id for one in self._runs(name=run.display_name)}

        def started() -> Any | None:
            return next((one for one in self._runs(name=run.display_name) if one.run_id not in before), None)

        return self._make(f"{V2}/runs", "V2beta1Run", started, unique=False, body=run)

    def run(self, run_id: str) -> Any:
        return self._get(f"{V2}/runs/{_quoted(run_id)}", "V2beta1Run")

    def find_run(self, named: str, experiment: str) -> Any:
        """The run of that ID or name; `newest`: the one of the experiment that was started last.

        Raises:
          InputError: there is none.
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
        found = self._runs(experiment=kept, name=None if newest else named, size=1) if kept else iter(())
        run = next(found, None)
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
        """The recurring runs of an experiment, else of all, the newest first; of that name alone where one is given."""
        inside = [("experiment_id", experiment_id)] if experiment_id else []
        path = f"{V2}/recurringruns"
        found = self._list(path, "V2beta1ListRecurringRunsResponse", "recurring_runs", name=name, query=inside)
        return list(found)

    def make_schedule(self, schedule: Any) -> tuple[Any, list[Any]]:
        """Makes a V2beta1RecurringRun in place of those of its name, and gives it and those.

        The API changes none; the new one comes first, so that there is no moment without one.
        """
        name = schedule.display_name
        old = self.schedules(schedule.experiment_id, name)
        before = {one.recurring_run_id for one in old}

        def made() -> Any | None:
            found = self.schedules(schedule.experiment_id, name)
            return next((one for one in found if one.recurring_run_id not in before), None)

        new = self._make(f"{V2}/recurringruns", "V2beta1RecurringRun", made, unique=False, body=schedule)
        for one in old:
            try:
                self.delete_schedule(one.recurring_run_id)
            except ApiError as error:
                raise ApiError(
                    f"the schedule {new.recurring_run_id} was made, but the one that it takes the place of, "
                    f"{one.recurring_run_id}, is still there: {error}",
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
        """A pod's log, by the API server or by its page; None where neither has it."""
        asked = {"podname": pod, "runid": run_id, **({"podnamespace": self.namespace} if self.namespace else {})}
        for path, query in (
            (f"/apis/v1alpha1/runs/{_quoted(run_id)}/nodes/{_quoted(pod)}/log", {}),
            ("/k8s/pod/logs", asked),
        ):
            try:
                self._ask("GET", path, kind=None, query_params=list(query.items()))
            except ApiError as error:
                _log.info("no log of %s at %s: %s", pod, path, error)
                continue
            answer = self._http.last_response
            text = str(answer.data)
            page = "html" in (answer.getheader("content-type") or "")
            # the API server says 200 first and then, as JSON at the end, that it could not
            if text.strip() and not page and not re.search(r'\{"error_message":.*\}\s*$', text, re.S):
                return text
        return None

    # One request

    @property
    def _space(self) -> str | None:
        """Where users share one namespace, older servers refuse to be told it."""
        return self.namespace if self._multi_user else None

    def _ask(self, method: str, path: str, kind: str | None = "object", **parts: Any) -> Any:
        """One attempt; kind: the model of the answer."""
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
            said = _said(str(answer).encode())[:80]
            raise ApiError(
                f"{self.endpoint} answered with a page ({said!r}), not with the API's JSON: a login page, for which "
                f"{_how_to_authenticate(False)}; or the address of something else"
            )
        return self._http.deserialize(self._http.last_response, kind) if kind else None

    def _again(self, attempts: int, *request: Any, **parts: Any) -> Any:
        """The same request until it is answered, which must not matter if it was heard before."""
        return self._retrying(attempts)(self._ask, *request, **parts)

    def _retrying(self, attempts: int) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, ApiError) and error.passing),
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
            if error.status != 404:  # gone already, or by an attempt whose answer got lost
                raise

    def _make(self, path: str, kind: str, find: Callable[[], Any | None], *, unique: bool, **request: Any) -> Any:
        """Makes something once; find: what was made, if it was; unique: whether the server sees to that by its name."""
        looked_for = unique
        late: ApiError | None = None

        def found() -> Any | None:
            try:
                return find()
            except ApiError as error:
                error.passing = False  # it was tried often enough
                raise

        def attempt() -> Any:
            nonlocal looked_for, late
            made = found() if looked_for else None
            looked_for = True
            if made is not None:
                return made
            if late:
                raise late
            try:
                return self._ask("POST", path, kind, **request)
            except ApiError as error:
                if error.late and not unique:
                    late = ApiError(f"{error}; it may be made all the same, so look before you try again", passing=True)
                # somebody else made it meanwhile, or an attempt whose answer got lost
                made = found() if error.status == 409 else None
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
        """All there are, page by page, the newest first."""
        asked = [*query, ("page_size", str(size)), ("sort_by", "created_at desc")]
        if self._space and not any(key == "experiment_id" for key, _ in asked) and not path.endswith("/versions"):
            asked.append(("namespace", self._space))
        if name is not None:
            predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
            asked.append(("filter", json.dumps({"predicates": [predicate]})))
        token = ""
        while True:
            page = self._get(path, kind, query_params=[*asked, *([("page_token", token)] if token else [])])
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
        raise InputError(f"SSL_CERT_FILE names {file}, which is no file; correct or unset it")
    return file


def _proxy(endpoint: str) -> str | None:
    """As other programs find it, but never for a forwarded port."""
    address = urllib.parse.urlsplit(endpoint)
    if address.hostname in ("localhost", "127.0.0.1", "::1") or urllib.request.proxy_bypass(address.netloc):
        return None
    return urllib.request.getproxies().get(address.scheme)


def _authenticate(configuration: Any, token_file: Path | None) -> None:
    """By the token in a file, read for each request anew: the kubelet replaces a pod's own every hour."""
    file = token_file or (POD_TOKEN if POD_TOKEN.is_file() else None)
    if file is None:
        return

    def read(configuration: Any) -> None:
        try:
            token = file.expanduser().read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the token file {file} cannot be read: {error}") from error
        if not token or re.search(r"\s", token):
            raise InputError(f"the token file {file} must hold one token and nothing else")
        configuration.api_key["authorization"] = token

    configuration.api_key_prefix["authorization"] = "Bearer"
    configuration.refresh_api_key_hook = read
    read(configuration)


def _gateway_credentials() -> dict[str, Any]:
    """The cookie or header that kfp's Client sends, if its file has one."""
    try:
        values = json.loads(_KFP_CONTEXT.expanduser().read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{_KFP_CONTEXT} cannot be read: {error}; correct or remove it") from error
    prefix = "client_authentication_"
    names = ("cookie", "header_name", "header_value")
    return {name: values[prefix + name] for name in names if values.get(prefix + name)}
