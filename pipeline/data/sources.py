"""Which transactions a run uses, and the sentence that says so wherever its figures appear."""

from __future__ import annotations

import contextlib
import csv
import difflib
import fcntl
import glob
import hashlib
import http.client
import os
import queue
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from components.reading.files import CARD_SUFFIX, find_files, is_remote, listed, opened, suffix_of
from components.reading.readers import header, read_batches
from pipeline import yaml_text
from trainer.columns import Columns
from trainer.errors import InputError, faults
from trainer.places import expanded, problem, usable
from trainer.sampling import SamplingRates

if TYPE_CHECKING:
    from pipeline.displays import OnProgress

AUTO = "auto"
DATA_VARIABLE = "FRAUD_PIPELINE_DATA"
URL = "https://storage.googleapis.com/download.tensorflow.org/data/creditcard.csv"

_CHUNK_BYTES = 1 << 16
_ATTEMPTS = 5


class DataCard(BaseModel):
    """What is known of some data: a YAML file beside it, `NAME.card.yaml`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    kind: Literal["real", "synthesized", "unknown"] = "unknown"
    source: str = ""
    licence: str = ""
    rows: int | None = None
    frauds: int | None = None
    sampling_rates: SamplingRates = SamplingRates()
    roles: dict[str, Any] | None = None


@dataclass(frozen=True)
class Checks:
    """What the file that is fetched must be; sha256: how the hexadecimal digest begins and ends."""

    header: tuple[str, ...]
    rows: int
    frauds: int
    sha256: tuple[str, str]

    def faults(self, path: Path) -> list[str]:
        """What a file is other than it should be, each fault in words; none if it is the right one."""
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        sha256 = digest.hexdigest()
        begin, end = self.sha256
        if sha256.startswith(begin) and sha256.endswith(end):
            return []
        # Only a wrong file is read again, to say in what it is wrong.
        faults = [f"SHA-256 {sha256}, expected {begin}...{end}"]
        try:
            names = header(str(path))
            if tuple(names) != self.header:
                return [f"columns {', '.join(names)[:200]}, expected {', '.join(self.header)}", *faults]
            rows = frauds = 0
            label = self.header[-1]
            roles = Columns(label=label, numeric=self.header[:-1])
            for batch in read_batches(str(path), roles, [label]):
                rows += batch.num_rows
                frauds += int(batch.column(0).to_numpy().sum())
            if (rows, frauds) != (self.rows, self.frauds):
                wrong = f"{rows:,} rows with {frauds:,} frauds, expected {self.rows:,} with {self.frauds:,}"
                faults.insert(0, wrong)
        except InputError as error:
            faults.insert(0, str(error))
        return faults


CREDIT_CARD = Checks(
    header=("Time", *(f"V{i}" for i in range(1, 29)), "Amount", "Class"),
    rows=284_807,
    frauds=492,
    sha256=("76274b69", "551a89"),
)

CREDIT_CARD_CARD = DataCard(
    name="ULB credit card transactions",
    kind="real",
    source="Machine Learning Group of ULB and Worldline, September 2013",
    licence="DbCL-1.0",
    rows=CREDIT_CARD.rows,
    frauds=CREDIT_CARD.frauds,
    roles={
        "time": CREDIT_CARD.header[0],
        "numeric": list(CREDIT_CARD.header[1:-2]),
        "amount": CREDIT_CARD.header[-2],
        "label": CREDIT_CARD.header[-1],
    },
)


@dataclass(frozen=True)
class Source:
    """The transactions of a run: where they lie, what is known of them, and that in one sentence for people.

    `{path}` in the sentence stands for where they lie, where that is not known before the run.
    `note` says why it is not something better; it may differ from run to run, so no cache key may hold it.
    """

    path: str
    card: DataCard
    origin: str
    note: str = ""


class FetchError(InputError):
    """The network did not give the file; what came of it is kept, and the next attempt goes on from there."""


_FROM_A_PLACE = re.compile(
    r"(?:(REAL|SYNTHESIZED) transactions(?: \(not real\))?|Transactions) from (.*?), (?:as its data card|of unknown)",
    re.S,
)
_OF_ITS_OWN = re.compile(r"(REAL|SYNTHESIZED) transactions(?: \(not real\))?: (?:the )?(.*? data|[\d,]+ rows)")


def short_name(origin: str) -> str:
    """The data in a few words for a table, from the sentence that says which they are: `REAL creditcard.csv`."""
    if match := _FROM_A_PLACE.match(origin):
        kind, path = match.groups()
        parts = path.rstrip("/").split("/")
        # of a pattern such as days/*.csv the folder says more
        name = "/".join(parts[-2 if any(character in parts[-1] for character in "*?[") else -1 :])
    elif match := _OF_ITS_OWN.match(origin):
        kind, name = match.groups()
    else:
        return re.split("[,;:]", origin)[0]
    return f"{kind} {name}" if kind else name


# Data cards


def read_card(path: str) -> DataCard | None:
    """The data card beside a file, or the only one in the folder of a folder or glob; None where there is none.

    Raises InputError for a card that cannot be understood.
    """
    place = _card_of(path)
    return None if place is None else _read_card(place)


def _read_card(place: str) -> DataCard:
    """The data card at a place. Raises InputError where there is none, or it cannot be understood."""
    with opened(place) as stream:
        text = stream.read(yaml_text.MOST_BYTES + 1)
    try:
        values = yaml_text.parse(text)
    except ValueError as error:
        raise InputError(f"{place} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{place} must have keys such as name, kind and roles, got {type(values).__name__}")
    # a card may have keys of its own, but none that looks as if one of these was meant
    for key in values.keys() - DataCard.model_fields.keys():
        near = difflib.get_close_matches(str(key), DataCard.model_fields, n=1, cutoff=0.8)
        if near:
            raise InputError(f"{place}: {key}: unknown key; did you mean {near[0]}?")
    try:
        return DataCard.model_validate(values)
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, fault.where))}: {fault.text}"[:300] for fault in faults(error, values))
        raise InputError(f"{place}: {places}; correct the data card") from error


def _card_of(path: str) -> str | None:
    """Where the card of this data is, if there is one."""
    suffix = suffix_of(path)
    if suffix and not _is_glob(path):
        beside = path[: -len(suffix)] + CARD_SUFFIX
        return beside if _exists(beside) else None
    if _is_glob(path):
        folder = path.rpartition("/")[0] or "."
    else:
        folder = path.rstrip("/") or "/"
    if is_remote(folder):
        cards = [file.path for file in listed(f"{folder}/*{CARD_SUFFIX}")[0]]
    else:
        cards = glob.glob(f"{glob.escape(str(_local(folder)))}/*{CARD_SUFFIX}")
    return cards[0] if len(cards) == 1 else None


def _is_glob(path: str) -> bool:
    return any(character in path for character in "*?[") and (is_remote(path) or not _local(path).exists())


def _exists(path: str) -> bool:
    return bool(listed(path)[0]) if is_remote(path) else _local(path).is_file()


def _local(path: str) -> Path:
    return expanded(path.removeprefix("file://")).absolute()


# Resolving


def resolve(
    path: str,
    *,
    synthesize_rows: int,
    synthesize_seed: int,
    cache: Path,
    card_path: Path | None = None,
    on_progress: OnProgress | None = None,
    offline_after: float = 5.0,
) -> Source:
    """The transactions that `path` stands for; cache: the folder for synthesized ones; offline_after: seconds.

    card_path: of the data card of a path that was named, if that is not beside the data.

    `auto` takes the file that the environment names in FRAUD_PIPELINE_DATA; else the real credit card data, fetched
    where they are not there yet; else, without a network, synthesized transactions. Raises InputError where the named
    data do not exist, or what was fetched is not what it should be.
    """
    if path != AUTO:
        return named(path, card_path)
    chosen = os.environ.get(DATA_VARIABLE)
    if chosen:
        try:
            return named(chosen)
        except InputError as error:
            raise InputError(f"{DATA_VARIABLE}={chosen}: {error}") from error
    try:
        return _real(fetch(URL, on_progress=on_progress, offline_after=offline_after))
    except FetchError as error:
        return _synthesized(synthesize_rows, synthesize_seed, cache, on_progress, str(error))


def _real(path: Path) -> Source:
    return Source(
        str(path.absolute()),
        CREDIT_CARD_CARD,
        f"REAL transactions: the ULB credit card data, {CREDIT_CARD.rows:,} rows",
    )


def named(path: str, card_path: Path | None = None) -> Source:
    """The data at a place that the user named; card_path: of a data card elsewhere than beside it.

    Raises InputError where there are no data, or no such card.
    """
    find_files(path)
    if not is_remote(path) and _local(path) == cached_file().absolute() and not CREDIT_CARD.faults(_local(path)):
        return _real(_local(path))
    card = read_card(path) if card_path is None else _read_card(str(card_path))
    place = path if is_remote(path) else str(_local(path))
    if card is None:
        name = path.rstrip("/").rpartition("/")[2]
        return Source(
            place, DataCard(name=name), f"Transactions from {path}, of unknown origin: no data card beside it"
        )
    origin = f"Transactions from {path}, as its data card says: {card.name}"
    if card.kind != "unknown":
        said = {"real": "REAL transactions", "synthesized": "SYNTHESIZED transactions (not real)"}[card.kind]
        origin = f"{said} from {path}, as its data card says: {card.name}"
    rates = card.sampling_rates
    if rates != SamplingRates():
        origin += (
            f"; a sample of {rates.fraud:.4g} of the frauds and {rates.legitimate:.4g} of the legitimate transactions"
        )
    return Source(place, card, origin)


def _synthesized(rows: int, seed: int, cache: Path, on_progress: OnProgress | None, reason: str) -> Source:
    from pipeline.data import synthesis

    path = cache / f"synthesized-{rows}-rows-seed-{seed}.parquet"
    card = read_card(str(path)) if path.is_file() else None
    if card is None:
        # Both are renamed into place when whole: a run that was stopped leaves no half of them.
        def report(done: int) -> None:
            if on_progress:
                on_progress("synthesizing transactions", done, rows)

        with usable(path, "set workspace to a folder that can be written"):
            synthesis.write(path, rows, seed, on_progress=report)
        card = read_card(str(path)) or DataCard(name="synthesized transactions", kind="synthesized")
    origin = (
        f"SYNTHESIZED transactions (not real): {rows:,} rows drawn from a generator fitted to the ULB sample, "
        f"seed {seed}; figures on them say nothing about real fraud"
    )
    return Source(str(path.absolute()), card, origin, f"No real ones, because {reason}")


# Fetching


def cached_file() -> Path:
    """Where the real creditcard.csv is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expanded(base) / "fraud-pipeline" / "creditcard.csv"


def fetch(
    url: str = URL,
    cache_file: Path | None = None,
    on_progress: OnProgress | None = None,
    *,
    checks: Checks | None = None,
    offline_after: float = 5.0,
    stalled_after: float = 15.0,
) -> Path:
    """The file from the cache, or from the network into the cache, resuming where an earlier attempt stopped.

    offline_after: seconds for name, connection and first byte together; stalled_after: seconds without a byte later
    on. Raises FetchError where the network fails, and InputError for a file that is not what `checks` say; that file
    is moved aside, to NAME.rejected.
    """
    target = cache_file or cached_file()
    checks = checks or CREDIT_CARD
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(target.name + ".lock"), on_progress):
            if not target.exists():
                part = target.with_name(target.name + ".part")
                _download(url, part, checks.header, on_progress, offline_after, stalled_after)
                _check(part, checks, target)
                os.replace(part, target)
            else:
                _check(target, checks, target)
    except OSError as error:
        raise FetchError(
            f"{target} cannot be kept: {problem(error)}; name another cache folder in XDG_CACHE_HOME"
        ) from error
    return target


def _check(path: Path, checks: Checks, target: Path) -> None:
    """Moves a wrong file aside and raises InputError."""
    faults = checks.faults(path)
    if faults:
        rejected = target.with_name(target.name + ".rejected")
        os.replace(path, rejected)
        raise InputError(
            f"{target.name} is not the file it should be: {'; '.join(faults)}. It was moved to {rejected}; run again "
            f"to fetch it anew, or name other data under data.path"
        )


@contextlib.contextmanager
def _locked(path: Path, on_progress: OnProgress | None) -> Iterator[None]:
    """Holds a lock file, so that of two processes that fetch the second one waits and finds the file."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if on_progress:
                    on_progress("waiting for another process that fetches the same", 0, 0)
                time.sleep(0.1)
        yield


def _download(
    url: str,
    part: Path,
    names: tuple[str, ...],
    on_progress: OnProgress | None,
    offline_after: float,
    stalled_after: float,
) -> None:
    """Appends to `part` until it is whole; goes on after an interruption as long as each attempt brings bytes."""
    for attempt in range(_ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            _download_once(url, part, names, on_progress, offline_after, stalled_after)
            return
        except FetchError:
            gained = part.exists() and part.stat().st_size > before
            if not gained or attempt == _ATTEMPTS - 1:
                raise


def _download_once(
    url: str,
    part: Path,
    names: tuple[str, ...],
    on_progress: OnProgress | None,
    offline_after: float,
    stalled_after: float,
) -> None:
    what = f"fetching {url.rpartition('/')[2]}"
    host = urllib.parse.urlsplit(url).netloc
    have = part.stat().st_size if part.exists() else 0
    stream = _Stream(url, have, host, timeout=max(offline_after, stalled_after))
    try:
        start, total = stream.begin(offline_after)
        if start > have:
            raise FetchError(f"{host} sent the file from byte {start:,} on, asked for {have:,}")
        if total and start >= total:
            return
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(start)
            file.seek(start)
            done = start
            head = None if start else b""
            for chunk in stream.chunks(offline_after, stalled_after):
                if head is not None:
                    head = _check_begin(head + chunk, names, host)
                file.write(chunk)
                done += len(chunk)
                if on_progress:
                    on_progress(what, done, total)
        if head is not None or done < total:
            raise FetchError(f"{host} ended the connection after {done:,} of {total:,} bytes")
    finally:
        stream.close()


def _check_begin(head: bytes, names: tuple[str, ...], host: str) -> bytes | None:
    """None once the header line is there and right: a login page of a hotel's network ends here, at its first line."""
    line, newline, _ = head.partition(b"\n")
    if not newline and len(head) < 1 << 14:
        return head
    header = next(csv.reader([line.decode("utf-8-sig", "replace").strip()]), [])
    if tuple(header) != names:
        raise FetchError(
            f"{host} answered with something else: its first line is {line[:60].decode('utf-8', 'replace')!r}"
        )
    return None


class _Stream:
    """A download in a thread of its own.

    Only so has everything a deadline: looking up a name may hang for minutes, and no socket time-out ends that.
    """

    def __init__(self, url: str, offset: int, host: str, timeout: float) -> None:
        self._host = host
        self._events: queue.Queue[Any] = queue.Queue(maxsize=64)
        self._closed = threading.Event()
        self._began = time.monotonic()
        arguments = (url, offset, timeout)
        threading.Thread(target=self._work, args=arguments, name="fetch", daemon=True).start()

    def begin(self, offline_after: float) -> tuple[int, int]:
        """First byte that comes, and size of the whole file (0: not known); waits for the answer's head."""
        start, total = self._next(self._began + offline_after, f"did not answer within {offline_after:g} s")
        return start, total

    def chunks(self, offline_after: float, stalled_after: float) -> Iterator[bytes]:
        chunk = self._next(self._began + offline_after, f"did not answer within {offline_after:g} s")
        while chunk:
            yield chunk
            chunk = self._next(time.monotonic() + stalled_after, f"sent nothing for {stalled_after:g} s")

    def close(self) -> None:
        self._closed.set()

    def _next(self, deadline: float, otherwise: str) -> Any:
        try:
            event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise FetchError(f"{self._host} {otherwise}") from None
        if isinstance(event, Exception):
            raise FetchError(f"{self._host} cannot be reached: {_in_words(event)}") from event
        return event

    def _put(self, event: Any) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._events.put(event, timeout=0.2)
                return

    def _work(self, url: str, offset: int, timeout: float) -> None:
        """Puts (start, total), then the chunks, then b"" at the end; or an exception in place of any of them."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "fraud-pipeline"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            request = urllib.request.Request(url, headers=headers)
            with urllib.request.urlopen(request, timeout=timeout) as response:
                self._put(_extent(response))
                while not self._closed.is_set():
                    chunk = response.read1(_CHUNK_BYTES)
                    self._put(chunk)
                    if not chunk:
                        return
        except urllib.error.HTTPError as error:
            with error:
                # The part that is there is already the whole file, or longer than it: begin at its end, or anew.
                total = error.headers.get("Content-Range", "").rpartition("/")[2]
                if error.code == 416 and total.isdigit() and int(total) == offset:
                    self._put((offset, offset))
                elif error.code == 416 and offset:
                    self._work(url, 0, timeout)
                else:
                    self._put(error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._put(error)


def _extent(response: Any) -> tuple[int, int]:
    """First byte and size of the whole from an answer's head; a server may ignore the Range and begin at 0."""
    if response.status == 206:
        # bytes 1000-4999/5000
        span, _, total = response.headers.get("Content-Range", "").partition("/")
        begin = span.removeprefix("bytes").strip().partition("-")[0]
        if not begin.isdigit():
            raise ValueError(f"Content-Range is {span!r}")
        return int(begin), int(total) if total.isdigit() else 0
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else 0


def _in_words(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "time-out"
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
