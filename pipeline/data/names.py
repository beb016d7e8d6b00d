"""What the name of a column says about its role: words of the field, of which none decides alone."""

from __future__ import annotations

import re


def vocabulary(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


_LABELS = {
    **dict.fromkeys(
        vocabulary(
            """
            isfraud fraud fraudulent isfraudulent fraudlabel labelfraud isfraudlabel fraudflag txfraud txnfraud
            transactionfraud fraudbool fraudind fraudindicator fraudfound fraudfoundp cardfraud fraudyn
            fraudtransaction isfraudtransaction betrug fraude
            """
        ),
        5.0,
    ),
    **dict.fromkeys(
        vocabulary(
            """
            chargeback ischargeback suspicious issuspicious laundering islaundering scam isscam anomaly
            isanomaly confirmedfraud fraudconfirmed moneylaundering abuse isabuse
            """
        ),
        4.0,
    ),
    **dict.fromkeys(("class", "label", "target", "y"), 3.0),
    **dict.fromkeys(
        ("default", "isdefault", "defaultpaymentnextmonth", "bad", "isbad", "outcome", "creditrisk", "goodbad"), 2.5
    ),
}
_LABEL_WORDS = {"fraud": 2.0, "fraudulent": 2.0, "label": 1.0, "target": 1.0, "class": 1.0}
PAST = vocabulary(
    """
    prior previous prev past history historical hist last ever earlier former since ago lag rolling
    """
)
_DERIVED = vocabulary(
    """
    count counts cnt num number rate ratio score scores prob probability avg average mean sum total max min
    std median days day hours amount amt value type kind category scenario reason code date time ring model
    predicted prediction pred risk source id
    """
)
_RULES = vocabulary(
    """
    flagged rule rules alert alerts alerted suspected
    """
)

_AMOUNTS = {
    **dict.fromkeys(("amount", "amt", "betrag", "montant", "importe", "monto", "valor", "kwota", "bedrag"), 3.0),
    **dict.fromkeys(("value", "price"), 2.0),
    **dict.fromkeys(("total", "cost", "sum"), 1.0),
}
_EVENT = vocabulary(
    """
    transaction transactions trans txn tx trx purchase payment pay paid order sale event auth authorization
    authorisation
    """
)
_NOT_AMOUNT = PAST | vocabulary(
    """
    avg average mean balance bal limit max min std median count diff difference ratio fee tax tip discount
    refund cashback fraud loss bill old new daily weekly monthly month day week hour credit per id rate
    deviation zscore score
    """
)

_TIME = vocabulary(
    """
    time date datetime timestamp ts dt step at on when day month year clock hour zeit datum fecha hora unix
    epoch seconds
    """
)
_TIME_ENDS = ("time", "date", "timestamp", "dt", "seconds")
_NOT_EVENT = vocabulary(
    """
    signup sign registration registered register opened open opening birth born dob posting posted post
    settle settlement settled booking booked value due expiry expires expiration exp updated update modified reported
    report last previous prev first processed clearing cleared chargeback end join joined effective valid
    until issue issued activation activated load loaded ingest ingested extract extracted
    """
)
# Of these no transaction takes its time: they were fixed long before it, or lie after it.
_NEVER_EVENT = vocabulary(
    """
    signup sign registration registered register opened open opening birth born birthday dob due expiry expires
    expiration exp end join joined effective valid until issue issued activation activated
    """
)
_DURATION = PAST | vocabulary(
    """
    since between elapsed gap delta diff age duration until tenure lag spent taken per avg mean count
    month_count
    """
)
UNIT_WORDS = {
    **dict.fromkeys(("second", "seconds", "sec", "secs"), "seconds"),
    **dict.fromkeys(("minute", "minutes", "mins"), "minutes"),
    **dict.fromkeys(("hour", "hours", "hrs", "stunde", "stunden"), "hours"),
    **dict.fromkeys(("day", "days", "tag", "tage"), "days"),
    **dict.fromkeys(("week", "weeks"), "weeks"),
    **dict.fromkeys(("month", "months"), "months"),
}

_ID_WORDS = ("id", "num", "number", "no", "nr", "ref", "reference", "uuid", "guid", "key")
_ID_NAMES = {
    "id",
    "uuid",
    "guid",
    "rowid",
    "recordid",
    "eventid",
    "orderid",
    "orderno",
    "ordernumber",
    "arn",
    "rrn",
} | {f"{what}{word}" for what in ("transaction", "trans", "txn", "tx", "trx", "payment") for word in _ID_WORDS}
_IDENTIFIERS = {*_ID_WORDS, "index", "unnamed", "column", "row"}

_PEOPLE = vocabulary(
    """
    card cards cc pan account acct acc iban customer cust client user member holder cardholder payer payee
    sender receiver recipient beneficiary device ip email mail phone mobile msisdn vpa upi wallet orig dest
    origin destination seller imei fingerprint cookie subscriber konto kunde karte nameorig namedest from to
    debtor creditor
    """
)
_PLACES = vocabulary(
    """
    merchant merch terminal pos vendor shop store atm haendler
    """
)
_NOT_ENTITY = vocabulary(
    """
    type age city state zip category cat code country lat long latitude longitude gender brand level tenure
    status score limit balance bal count currency domain os model browser since present distance dist time
    date entry expiry exp tier segment risk group kind network issuer scheme class amount amt value rate mcc
    os version language region area days months hours change old new is has flag bank source capability mode
    similarity valid
    """
)
_CODES = vocabulary(
    """
    id code cd card addr address zip zipcode postcode postal mcc bin type category bank merchant terminal device
    customer account country state store shop ori plz sic region issuer branch iin
    """
)


def words(name: str) -> list[str]:
    """merchantID -> merchant, id; addr1 -> addr; HTTPCode -> http, code."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", name))
    return [word for word in re.split(r"[\W\d_]+", spaced.lower()) if word]


def compact(name: str) -> str:
    """Is Fraud? -> isfraud."""
    return re.sub(r"[\W_]", "", name.lower())


def label_rank(name: str) -> float:
    """How much a name is that of a label, 0 to 5; 0 also for a flag of the past or of a rule."""
    exact = _LABELS.get(compact(name), 0.0)
    if exact:
        return exact
    of_name = set(words(name))
    if of_name & (PAST | _DERIVED | _RULES):
        return 0.0
    if not of_name & _LABEL_WORDS.keys() and "fraud" in compact(name):
        return 2.0
    return max((_LABEL_WORDS[word] for word in of_name & _LABEL_WORDS.keys()), default=0.0)


def says_fraud(name: str) -> str | None:
    """Why a column whose name speaks of fraud is no label; None where it does not speak of it."""
    of_name = set(words(name))
    if "fraud" not in compact(name) and not of_name & {"chargeback", "laundering", "dispute"}:
        return None
    if of_name & _RULES:
        return "a rule's flag"
    return "of the past" if of_name & PAST else "perhaps known only after the fact"


def is_rule(name: str) -> bool:
    """Whether the name is that of a rule's flag, such as isFlaggedFraud."""
    return bool(set(words(name)) & _RULES) and says_fraud(name) is not None


def amount_rank(name: str) -> float:
    """How much a name is that of the transaction's amount, 0 to 4."""
    of_name = words(name)
    if set(of_name) & _NOT_AMOUNT or re.search(r"\d+\s*[hdwm]$", name.lower()):
        return 0.0
    core = max((_AMOUNTS.get(word, 0.0) for word in of_name), default=0.0)
    if not core:
        joined = compact(name)
        core = 2.5 if joined.endswith(("amount", "amt")) else 0.0
    if not core:
        return 0.0
    if set(of_name) & _EVENT or len(of_name) == 1:
        return core + 1.0
    return core


def time_rank(name: str) -> float:
    """How much a name is that of the time of the event: 2 of the transaction, 1 of a time, -1 of another event."""
    of_name = set(words(name))
    joined = compact(name)
    is_time = bool(of_name & _TIME) or joined.endswith(_TIME_ENDS)
    if joined in ("day", "month", "year", "hour", "week", "minute", "second"):
        return 0.0
    if not is_time and not of_name & _NOT_EVENT:
        return 0.0
    if of_name & _NOT_EVENT:
        return -1.0
    if not is_time:
        return 0.0
    return 2.0 if of_name & _EVENT or joined in ("time", "timestamp", "datetime", "date", "step") else 1.0


def is_never_event(name: str) -> bool:
    """Whether a time of this name is never that of the transaction, such as a date of birth or an expiry."""
    of_name = {*words(name), compact(name)}
    return not of_name & _EVENT and (bool(of_name & _NEVER_EVENT) or compact(name).endswith(("birth", "expiry")))


def is_other_date(name: str) -> bool:
    """Whether the name is that of a date which is not the transaction's, such as one of birth."""
    return time_rank(name) < 0 or "date" in words(name)


def is_duration(name: str) -> bool:
    """Whether the name is that of a length of time, such as days_since_last_login."""
    return bool(set(words(name)) & _DURATION)


def unit(name: str) -> str | None:
    """The unit of time that a name holds, such as hours for time_hours; a mere `month` may be one of the calendar's."""
    if compact(name) in ("second", "minute", "hour", "day", "week", "month", "year"):
        return None
    return next((UNIT_WORDS[word] for word in words(name) if word in UNIT_WORDS), None)


def names_transactions(name: str) -> bool:
    """Whether the name is that of an identifier of transactions."""
    return compact(name) in _ID_NAMES


def is_identifier(name: str) -> bool:
    """Whether a word of the name says that its values identify something."""
    return bool(set(words(name)) & _IDENTIFIERS)


def is_person(name: str) -> bool:
    """Whether the name is that of a payer, a payee, or what they pay with."""
    return _entity(name, _PEOPLE)


def is_place(name: str) -> bool:
    """Whether the name is that of a merchant or a terminal."""
    return _entity(name, _PLACES)


def _entity(name: str, vocabulary: frozenset[str]) -> bool:
    of_name = words(name)
    joined = compact(name).replace("account", "")
    quantity = any(word in joined for word in ("balance", "amount", "count", "limit", "score"))
    return bool((set(of_name) | {compact(name)}) & vocabulary) and not (quantity or set(of_name) & _NOT_ENTITY)


def is_version(name: str) -> bool:
    """Whether values of this name are numbers of versions, of which 1.1 and 1.10 are two."""
    return bool(set(words(name)) & {"version", "ver", "release", "build", "firmware"})


def is_code(name: str) -> bool:
    """Whether whole numbers of this name are codes rather than quantities."""
    return bool(set(words(name)[-1:]) & _CODES)
