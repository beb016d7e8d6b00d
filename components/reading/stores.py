"""Whether an object store answers, asked before libraries that would wait for it for minutes.

Beam tries again for 405 s where S3 has no credentials, and boto3 for 5 minutes where a store takes connections and says
nothing. After this check has passed they may take their time: then there is somebody to wait for.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from trainer.errors import InputError
from trainer.places import expanded

# All together, at their worst: less than 20 s.
LOOK_UP_SECONDS = 6.0
CONNECT_SECONDS = 2.5  # to each of a store's addresses
ANSWER_SECONDS = 4.0  # each attempt
_ADDRESSES = 2
_ATTEMPTS = 2

S3 = "s3://"
_GCS = "gs://"
_GCS_ADDRESS = "https://storage.googleapis.com"
_VARIABLES = ("AWS_", "GOOGLE_", "STORAGE_", "GCE_", "CLOUDSDK_", "HOME")  # that decide whether a store answers
_METADATA_ADDRESS = "http://169.254.169.254"
_GCS_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
_NETWORK = "check the network, and a proxy in HTTPS_PROXY"


def check(path: str) -> None:
    """Whether the store of this path answers within 20 s; a path elsewhere is fine.

    Raises:
      InputError: it does not, or there are no credentials for it.
    """
    scheme, _, rest = path.partition("://")
    bucket = rest.partition("/")[0]
    # what decides whether it answers may differ later in a process
    environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith(_VARIABLES)))
    if f"{scheme}://" == S3:
        _check_s3(bucket, environment)
    elif f"{scheme}://" == _GCS:
        _check_gcs(bucket, environment)


def s3_client(**settings: Any) -> Any:
    """A client of S3 by boto3.

    settings: of botocore's Config, beyond those that stores other than Amazon's need.

    Raises:
      InputError: boto3 is not installed, or its environment makes no sense.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ModuleNotFoundError as error:
        raise InputError("s3:// needs boto3, which is not installed: pip install 'fraud-pipeline[aws]'") from error
    # As in Kubeflow Pipelines: stores other than Amazon's may not know the newer checksums.
    checksums = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    try:
        return boto3.session.Session().client("s3", config=Config(**checksums, **settings))
    except (BotoCoreError, ValueError) as error:
        raise InputError(f"s3:// can't be used: {error}; correct the AWS_ variables or ~/.aws/config") from error


@contextlib.contextmanager
def s3_in_words(path: str) -> Iterator[None]:
    """Within it errors of boto3 that say that the store can't be used are said in words; others stay as they are.

    Raises:
      InputError: there are no credentials, or the store can't be reached.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ConnectTimeoutError,
        EndpointConnectionError,
        HTTPClientError,
        NoCredentialsError,
        NoRegionError,
        ReadTimeoutError,
    )

    address = "set AWS_ENDPOINT_URL_S3 to the store's address"
    try:
        yield
    except NoCredentialsError as error:
        raise InputError(f"{path}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        raise InputError(f"{path}: the store does not answer in time ({error}); {_NETWORK}, or {address}") from error
    except (EndpointConnectionError, HTTPClientError) as error:
        raise InputError(f"{path}: {error}; {_NETWORK}, or {address}") from error
    except NoRegionError as error:
        raise InputError(f"{path}: no region; set AWS_REGION") from error
    except BotoCoreError as error:
        # such as credentials of which a half is missing
        if "redential" in type(error).__name__:
            raise InputError(f"{path}: {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
        raise


@functools.lru_cache(maxsize=64)
def _check_s3(bucket: str, _: tuple[tuple[str, str], ...]) -> None:
    place = f"{S3}{bucket}"
    client = s3_client(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )
    import boto3
    from botocore.exceptions import ClientError, ParamValidationError

    with s3_in_words(place):
        if boto3.session.Session().get_credentials() is None:
            raise InputError(f"{place}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        _reach(place, client.meta.endpoint_url, "set AWS_ENDPOINT_URL_S3 to the store's address")
        # an answer, whatever it says: what it refuses is told by what asks for it
        with contextlib.suppress(ClientError, ParamValidationError):
            client.head_bucket(Bucket=bucket)


@functools.lru_cache(maxsize=64)
def _check_gcs(bucket: str, _: tuple[tuple[str, str], ...]) -> None:
    place, address = f"{_GCS}{bucket}", os.environ.get("STORAGE_EMULATOR_HOST") or _GCS_ADDRESS
    address = address if "://" in address else f"http://{address}"
    _reach(place, address, "name other data")
    status = _status(place, f"{address.rstrip('/')}/storage/v1/b/{urllib.parse.quote(bucket, safe='')}/o?maxResults=1")
    if status in (401, 403) and not _has_google_credentials():
        raise InputError(
            f"{place}: no credentials, and the bucket is not public; set {_GCS_CREDENTIALS} to a key file, or give "
            "`gcloud auth application-default login`"
        )


def _reach(place: str, address: str, way_out: str) -> None:
    """Looks the store up and connects to it, not where a proxy does that.

    Libraries have no limit of time for a name, and one for each of a store's addresses, of which there are many.

    Raises:
      InputError: it has no address, or none that takes connections in time.
    """
    parts = urllib.parse.urlsplit(address)
    host, port = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    if urllib.request.getproxies().get(parts.scheme) and not urllib.request.proxy_bypass(host):
        return
    try:
        places = _addresses(host, port)
        for number, (family, kind, protocol, _, there) in enumerate(places[:_ADDRESSES], start=1):
            with socket.socket(family, kind, protocol) as connection:
                connection.settimeout(CONNECT_SECONDS)
                try:
                    connection.connect(there)
                    return
                except OSError:
                    if number == len(places[:_ADDRESSES]):
                        raise
    except (OSError, UnicodeError) as error:
        why = "it does not answer in time" if isinstance(error, TimeoutError) else getattr(error, "strerror", None)
        raise InputError(
            f"{place}: {host}:{port} can't be reached: {why or error}; {_NETWORK}, or {way_out}"
        ) from error


def _addresses(host: str, port: int) -> list[Any]:
    """The addresses of a host; the look-up ends by itself, but is waited for no longer than `LOOK_UP_SECONDS`."""
    outcome: list[Any] = []

    def look_up() -> None:
        try:
            outcome.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            outcome.append(error)

    thread = threading.Thread(target=look_up, name="look up", daemon=True)
    thread.start()
    thread.join(LOOK_UP_SECONDS)
    result = outcome[0] if outcome else TimeoutError()
    if isinstance(result, Exception):
        raise result
    addresses: list[Any] = result
    return addresses


def _status(place: str, url: str) -> int:
    """The HTTP status of the answer.

    Raises:
      InputError: there is no answer in time.
    """
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        why = "no answer in time" if isinstance(reason, TimeoutError) else getattr(reason, "strerror", None) or reason
        raise InputError(
            f"{place}: {urllib.parse.urlsplit(url).netloc} can't be reached: {why}; {_NETWORK}, or name other data"
        ) from error


def _has_google_credentials() -> bool:
    """Whether a key file, a login of gcloud's or the machine's own account may be used."""
    folder = os.environ.get("CLOUDSDK_CONFIG") or "~/.config/gcloud"
    if os.environ.get(_GCS_CREDENTIALS) or (expanded(folder) / "application_default_credentials.json").is_file():
        return True
    host = os.environ.get("GCE_METADATA_HOST")
    address = f"http://{host}" if host else _METADATA_ADDRESS
    request = urllib.request.Request(address, headers={"Metadata-Flavor": "Google"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=2) as answer:
            return str(answer.headers.get("Metadata-Flavor")) == "Google"
    except OSError:
        return False
