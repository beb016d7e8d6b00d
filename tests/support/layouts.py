"""The layouts of transactions that people in this field have, drawn anew, and the right role of each column.

Names, order, types and ways of writing are those of the public files; no value is from one of them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from trainer.arrays import Array

# string and integer are the kinds of categories
Role = Literal["label", "time", "time_part", "amount", "id", "entities", "numeric", "string", "integer", "ignore"]

HOUR, DAY = 3_600.0, 86_400.0

NUMBER = frozenset[Role]({"numeric"})
WORD = frozenset[Role]({"string"})
SMALL = frozenset[Role]({"numeric", "integer"})  # a count, or a flag of 0 and 1: both are fine
CODE = frozenset[Role]({"string", "integer", "entities", "ignore"})  # digits that are no quantity
ENTITY = frozenset[Role]({"entities", "ignore"})  # never learned from as a raw value
PLACE = frozenset[Role]({"string", "entities", "ignore"})  # merchants: an entity, or a category
PERSONAL = frozenset[Role]({"string", "ignore"})  # names and streets: bounded, or left out
AFTERWARDS = frozenset[Role]({"ignore"})  # repeats the time or tells the label
COARSE = frozenset[Role](
    {"numeric", "integer", "string", "ignore"}
)  # what a time holds already, or a code of few values


@dataclass(frozen=True)
class Drawn:
    """A table as it is to be written, and what it means.

    time: seconds since 1970 in UTC, or since the data's own start [n]; amount: as a number [n]; label: 0 or 1 [n].
    """

    frame: Any  # pd.DataFrame
    label: Array
    time: Array | None
    amount: Array | None


@dataclass(frozen=True)
class Layout:
    """A layout: how it is drawn and written, and what each column is.

    `roles` are the sets of right roles by a regular expression for whole names; the label, time, its parts, amount
    and id have one right role each, the others those that `roles` names.
    """

    name: str
    file: str
    draw: Callable[[int, int], Drawn]  # (rows, seed)
    label: str
    roles: Mapping[str, frozenset[Role]]
    fraud: tuple[str, ...] = ()  # words of the label; without them 1 is a fraud
    legitimate: tuple[str, ...] = ()
    time: str | None = None
    time_formats: frozenset[str] = (
        frozenset()
    )  # what `time_format` may be: two that read the same values are both right
    time_parts: tuple[str, ...] = ()
    amount: str | None = None
    id: str | None = None
    rows: int = 4_000
    dialect: Mapping[str, Any] = field(default_factory=dict)  # pandas.DataFrame.to_csv
    parquet: bool = True  # whether people have this one as Parquet, too
    missing: Mapping[str, str] = field(default_factory=dict)  # what stands for a missing value in a column
    answer: tuple[str, ...] = ()  # what a person who knows the data answers, if `init` asks
    runs: bool = True  # whether a run should reach a model

    def acceptable(self, column: str) -> frozenset[Role]:
        """The right roles of a column."""
        if column == self.label:
            return frozenset({"label"})
        for pattern, roles in self.roles.items():
            if re.fullmatch(pattern, column):
                return roles
        certain: dict[str | None, Role] = dict.fromkeys(self.time_parts, "time_part")
        certain |= {self.time: "time", self.amount: "amount", self.id: "id"}
        return frozenset({certain[column]})

    def never_numeric(self, columns: Sequence[str]) -> list[str]:
        """Those of the columns that are no quantities."""
        return [column for column in columns if not self.acceptable(column) & {"numeric", "amount", "time"}]

    def write(self, folder: Path, rows: int | None = None, seed: int = 0, *, parquet: bool = False) -> Path:
        """Writes the table in its own dialect, or as Parquet, and returns the path."""
        frame = self.draw(rows or self.rows, seed).frame
        path = folder / self.file
        if parquet:
            path = path.with_suffix(".parquet")
            frame.to_parquet(path, index=False)
        else:
            frame.to_csv(path, index=False, **self.dialect)
        return path


# Parts of tables


def _labels(rng: np.random.Generator, rows: int, share: float) -> Array:
    labels = np.zeros(rows, np.int64)
    labels[rng.permutation(rows)[: round(share * rows)]] = 1
    return labels


def _suspicious(rng: np.random.Generator, labels: Array, seen: float = 0.85, alike: float = 0.01) -> Array:
    """Which rows look like frauds: most frauds, and some legitimate ones, so that no model can be perfect."""
    return rng.random(len(labels)) < np.where(labels == 1, seen, alike)


def _amounts(rng: np.random.Generator, high: Array, usual: float, raised: float, spread: float = 0.8) -> Array:
    amounts: Array = np.round(np.exp(rng.normal(np.log(np.where(high, raised, usual)), spread)) + 0.01, 2)
    return amounts


def _either(rng: np.random.Generator, where: Array, one: Any, other: Any) -> Array:
    """A value of `one` where it is true, else of `other`."""
    chosen: Array = np.where(where, rng.choice(np.array(one), len(where)), rng.choice(np.array(other), len(where)))
    return chosen


def _seconds(rng: np.random.Generator, rows: int, start: str, days: float) -> Array:
    """Whole seconds since 1970 in order of time, from the start on."""
    return (_epoch(start) + np.sort(rng.integers(0, int(days * DAY), rows))).astype(np.float64)


def _epoch(moment: str) -> int:
    return int(pd.Timestamp(moment).timestamp())


def _as_text(seconds: Array, how: str = "%Y-%m-%d %H:%M:%S") -> Array:
    texts: Array = np.array(pd.to_datetime(seconds, unit="s").strftime(how))
    return texts


def _some(values: Any, where: Array) -> Any:
    """The values where it is true, else nothing."""
    return pd.Series(values).where(where)


def _numbered(numbers: Array, form: str) -> list[str]:
    return [form.format(number) for number in numbers]


def _gaps(rng: np.random.Generator, values: Any, share: float) -> Any:
    """The values as pandas has them with gaps, where whole numbers have become floats."""
    return pd.Series(values).where(rng.random(len(values)) >= share)


# The layouts


def _paysim(rows: int, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.05)
    looks = _suspicious(rng, labels, 0.8, 0.015)
    step = np.sort(rng.integers(1, 744, rows))
    kinds = _either(
        rng, looks, ["TRANSFER", "CASH_OUT"],
        ["PAYMENT", "PAYMENT", "CASH_IN", "CASH_OUT", "CASH_OUT", "TRANSFER", "DEBIT"]
    )  # fmt: skip
    before = np.round(rng.lognormal(11, 1.4, rows) * (rng.random(rows) < 0.75) + looks * rng.lognormal(11, 1, rows), 2)
    # a fraud empties the account
    amount = np.where(looks & (rng.random(rows) < 0.9), before, np.round(rng.lognormal(10.5, 1.3, rows), 2))
    amount = np.maximum(amount, 0.01)
    after = np.where(kinds == "CASH_IN", before + amount, np.maximum(before - amount, 0)).round(2)
    to_merchant = kinds == "PAYMENT"
    dest_before = np.where(to_merchant, 0.0, np.round(rng.lognormal(12, 1.5, rows) * (rng.random(rows) < 0.7), 2))
    dest_after = np.where(to_merchant | (looks & (rng.random(rows) < 0.4)), 0.0, np.round(dest_before + amount, 2))
    senders = rng.integers(10_000, 2_147_483_647, rows)
    receivers = rng.integers(100_000_000, 2_147_483_647, max(rows // 4, 1))[rng.integers(0, max(rows // 4, 1), rows)]
    frame = pd.DataFrame(
        {
            "step": step,
            "type": kinds,
            "amount": amount,
            "nameOrig": _numbered(senders, "C{}"),
            "oldbalanceOrg": before,
            "newbalanceOrig": after,
            "nameDest": [f"{'M' if shop else 'C'}{name}" for shop, name in zip(to_merchant, receivers, strict=True)],
            "oldbalanceDest": dest_before,
            "newbalanceDest": dest_after,
            "isFraud": labels,
            "isFlaggedFraud": ((labels == 1) & (kinds == "TRANSFER") & (amount > 200_000)).astype(int),
        }
    )
    return Drawn(frame, labels, step * HOUR, amount)


_FIRST = ("Jennifer", "Stephanie", "Edward", "Jeremy", "Tyler", "Ann", "Misty", "Kathryn", "Samuel", "José")
_LAST = ("Banks", "Gill", "Sanchez", "White", "Garcia", "Williams", "O'Connor", "Harmon", "Le", "Nguyen")
_STATES = ("NC", "WA", "ID", "MT", "VA", "PA", "KS", "TN", "IA", "WV", "FL", "CA", "NM", "NJ", "OK", "TX")


def _sparkov(rows: int, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.05)
    looks = _suspicious(rng, labels)
    time = _seconds(rng, rows, "2019-01-01", 536)
    people = 200
    who = rng.integers(0, people, rows)
    # cards of 12 to 19 digits, as whole numbers
    digits = rng.choice([11, 12, 14, 15, 15, 15, 18], people)
    cards = rng.choice([3, 4, 5, 6], people) * 10**digits + rng.integers(0, 10**digits)
    of_person = {
        "first": rng.choice(_FIRST, people),
        "last": rng.choice(_LAST, people),
        "gender": rng.choice(["F", "M"], people),
        "street": np.array([f"{n} {s} {k}" for n, s, k in zip(rng.integers(10, 99999, people),
                            rng.choice(["Perry", "Joseph", "Nicole", "Tyler"], people),
                            rng.choice(["Cove", "Plaza Suite 084", "Ways", "Springs"], people), strict=True)]),
        "city": np.array([f"{n}{s}" for n, s in zip(rng.choice(["Moravian ", "Malad ", "Boulder ", "Dublin "], people),
                          rng.choice(["Falls", "City", "Springs", "Creek"], people), strict=True)]),
        "state": rng.choice(_STATES, people),
        "zip": rng.integers(1_257, 99_784, people),
        "lat": rng.uniform(20.03, 66.7, people).round(4),
        "long": rng.uniform(-165.67, -67.95, people).round(4),
        "city_pop": rng.lognormal(8.5, 2, people).astype(int) + 23,
        "job": rng.choice(["Psychologist, counselling", "Special educational needs teacher", "Patent attorney",
                           "Nature conservation officer", "Dance movement psychotherapist", "Film/video editor",
                           "Naval architect", "Systems developer"], people),
        "dob": np.array([f"{y}-{m:02d}-{d:02d}" for y, m, d in zip(rng.integers(1926, 2005, people),
                         rng.integers(1, 13, people), rng.integers(1, 29, people), strict=True)]),
    }  # fmt: skip
    frame = pd.DataFrame(
        {
            "": np.arange(rows),  # a row number that pandas wrote without a name
            "trans_date_trans_time": _as_text(time),
            "cc_num": cards[who],
            "merchant": [f"fraud_{a}{j}{b}" for a, j, b in zip(
                rng.choice(["Rippin", "Heller", "Lind", "Kutch", "Keeling", "Stroman", "Rowe", "Corwin"], rows),
                rng.choice([", Kub and ", "-", " and ", " LLC "], rows),
                rng.choice(["Mann", "Gutmann", "Zieme", "Hermiston", "Crist", "Hudson"], rows), strict=True)],
            "category": _either(
                rng, looks & (rng.random(rows) < 0.8), ["shopping_net", "misc_net", "grocery_pos"],
                ["gas_transport", "grocery_pos", "home", "shopping_pos", "kids_pets", "shopping_net", "entertainment",
                 "personal_care", "food_dining", "health_fitness", "misc_pos", "misc_net", "grocery_net", "travel"],
            ),
            "amt": _amounts(rng, looks, 35, 500, 0.7),
            **{name: values[who] for name, values in of_person.items()},
            "trans_num": ["".join(digits) for digits in rng.choice(list("0123456789abcdef"), (rows, 32))],
            "unix_time": (time - 220_924_800).astype(np.int64),  # seven years before, as in the public file
        }
    )  # fmt: skip
    names = ["lat", "long", "city_pop", "job", "dob"]
    order = [n for n in frame.columns if n not in (*names, "trans_num", "unix_time")]
    frame = frame[[*order, *names, "trans_num", "unix_time"]]
    frame["merch_lat"] = (frame["lat"] + rng.uniform(-1, 1, rows)).round(6)
    frame["merch_long"] = (frame["long"] + rng.uniform(-1, 1, rows)).round(6)
    frame["is_fraud"] = labels
    return Drawn(frame, labels, time, frame["amt"].to_numpy())


def _sparkov_spreadsheet(rows: int, seed: int) -> Drawn:
    """As a spreadsheet saves it: times as serial numbers, and card numbers of which only six digits are left."""
    drawn = _sparkov(rows, seed)
    assert drawn.time is not None
    frame = drawn.frame.rename(columns={"": "Column1"})
    frame["trans_date_trans_time"] = _numbered(drawn.time / DAY + 25_569, "{:.9f}")
    frame["dob"] = [f"{pd.Timestamp(day).timestamp() / DAY + 25_569:.0f}" for day in frame["dob"]]
    frame["cc_num"] = [f"{number:.5E}" for number in frame["cc_num"]]
    return Drawn(frame, drawn.label, drawn.time, drawn.amount)


def _banksim(rows: int, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.05)
    looks = _suspicious(rng, labels)
    step = np.sort(rng.integers(0, 180, rows))
    customers, merchants = rng.integers(10_000_000, 2_100_000_000, 800), rng.integers(3_697_346, 2_122_776_122, 50)
    categories = ["es_transportation"] * 8 + [
        *("es_food", "es_health", "es_wellnessandbeauty", "es_fashion", "es_barsandrestaurants", "es_hyper", "es_tech"),
        *("es_sportsandtoys", "es_home", "es_hotelservices", "es_otherservices", "es_contents", "es_travel"),
    ]
    amount = _amounts(rng, looks, 25, 250)
    frame = pd.DataFrame(
        {
            "step": step,
            "customer": _numbered(rng.choice(customers, rows), "'C{}'"),
            "age": _numbered(
                rng.choice(list("0123456U"), rows, p=[0.01, 0.1, 0.3, 0.25, 0.18, 0.1, 0.04, 0.02]), "'{}'"
            ),
            "gender": _numbered(rng.choice(list("FMEU"), rows, p=[0.54, 0.44, 0.015, 0.005]), "'{}'"),
            "zipcodeOri": "'28007'",
            "merchant": _numbered(rng.choice(merchants, rows), "'M{}'"),
            "zipMerchant": "'28007'",
            "category": _numbered(
                _either(
                    rng, looks & (rng.random(rows) < 0.8), ["es_travel", "es_sportsandtoys", "es_health"], categories
                ),
                "'{}'",
            ),
            "amount": amount,
            "fraud": labels,
        }
    )
    return Drawn(frame, labels, step * DAY, amount)


def _tabformer(rows: int, seed: int) -> Drawn:
    """In order of user, card and time, not of time alone."""
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.05)
    looks = _suspicious(rng, labels)
    time = (_epoch("2018-01-01") + rng.integers(0, 26 * 30 * 1440, rows) * 60).astype(np.float64)
    user, card = rng.integers(0, 40, rows), rng.integers(0, 4, rows)
    online = rng.random(rows) < np.where(looks, 0.8, 0.12)
    amount = _amounts(rng, looks, 30, 140)
    amount = np.where(rng.random(rows) < 0.05, -np.round(amount), amount)  # a refund
    parts = pd.to_datetime(time, unit="s")
    merchants = rng.integers(-(2**63), 2**63 - 1, 300)
    cities = ["La Verne", "Monterey Park", "Mira Loma", "Carmel-by-the-Sea", "Rome", "St. Louis"]
    city = rng.integers(0, len(cities), rows)
    frame = pd.DataFrame(
        {
            "User": user,
            "Card": card,
            "Year": parts.year,
            "Month": parts.month,
            "Day": parts.day,
            "Time": parts.strftime("%H:%M"),
            "Amount": _numbered(amount, "${:.2f}"),
            "Use Chip": np.where(
                online, "Online Transaction", rng.choice(["Swipe Transaction", "Chip Transaction"], rows)
            ),
            "Merchant Name": rng.choice(merchants, rows),
            "Merchant City": np.where(online, "ONLINE", np.array(cities)[city]),
            "Merchant State": _some(np.array(["CA", "CA", "CA", "CA", "Italy", "MO"])[city], ~online),
            "Zip": _some(np.array([91_750, 91_754, 91_752, 93_921, 0, 63_101.0])[city], ~online & (city != 4)),
            "MCC": _either(rng, looks, [5732, 5045, 5311, 5300], [5411, 5499, 5541, 5812, 4829, 5300, 5311]),
            "Errors?": _some(
                rng.choice(["Insufficient Balance,", "Bad PIN,", "Technical Glitch,", "Bad CVV,Bad Zipcode,"], rows),
                rng.random(rows) < 0.02,
            ),
            "Is Fraud?": np.where(labels == 1, "Yes", "No"),
        }
    )
    order = np.lexsort((time, card, user))
    return Drawn(frame.iloc[order].reset_index(drop=True), labels[order], time[order], amount[order])


def _handbook(rows: int, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.04)
    looks = _suspicious(rng, labels, 0.8, 0.008)
    time = _seconds(rng, rows, "2018-04-01", 60)
    start = _epoch("2018-04-01")
    amount = np.where(looks, rng.uniform(150, 600, rows), np.minimum(np.abs(rng.normal(55, 35, rows)), 219) + 0.01)
    scenario = np.where(labels == 1, rng.choice([1, 2, 3], rows, p=[0.1, 0.6, 0.3]), 0)
    frame = pd.DataFrame(
        {
            "TRANSACTION_ID": np.arange(rows),
            "TX_DATETIME": _as_text(time),
            "CUSTOMER_ID": rng.integers(0, 500, rows),
            "TERMINAL_ID": rng.integers(0, 1_000, rows),
            "TX_AMOUNT": amount.round(2),
            "TX_TIME_SECONDS": (time - start).astype(np.int64),
            "TX_TIME_DAYS": ((time - start) // DAY).astype(np.int64),
            "TX_FRAUD": labels,
            "TX_FRAUD_SCENARIO": scenario,  # the reason of the fraud, which tells the label
        }
    )
    return Drawn(frame, labels, time, frame["TX_AMOUNT"].to_numpy())


def _ieee(rows: int, seed: int, *, counts: tuple[int, int, int, int], identity: bool) -> Drawn:
    """counts: of the columns C, D, M and V."""
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.06)
    looks = _suspicious(rng, labels)
    time = 86_400 + np.cumsum(rng.integers(0, 400, rows))
    mails = ["gmail.com", "yahoo.com", "hotmail.com", "anonymous.com", "aol.com"]
    amount = np.round(np.exp(rng.normal(np.where(looks, 5.0, 4.2), 0.9)), 3)
    one, two = _suspicious(rng, labels, 0.5, 0.05), _suspicious(rng, labels, 0.6, 0.1)
    columns: dict[str, Any] = {
        "TransactionID": 2_987_000 + np.arange(rows),
        "isFraud": labels,
        "TransactionDT": time,
        "TransactionAmt": amount,
        "ProductCD": _either(rng, looks, list("CCHW"), list("WWWWWHCSR")),
        "card1": rng.integers(1_000, 18_397, rows),
        "card2": _gaps(rng, rng.integers(100, 601, rows), 0.02),
        "card3": _gaps(rng, rng.choice([150, 150, 150, 185, 117], rows), 0.005),
        "card4": _gaps(rng, rng.choice(["visa", "visa", "mastercard", "american express", "discover"], rows), 0.005),
        "card5": _gaps(rng, rng.choice([226, 166, 102, 117, 224, 198, 219, 195, 138], rows), 0.01),
        "card6": _gaps(rng, _either(rng, one, ["credit"], ["debit", "debit", "credit"]), 0.005),
        "addr1": _gaps(rng, rng.integers(100, 541, rows), 0.1),
        "addr2": _gaps(rng, rng.choice([87, 87, 87, 87, 60, 96], rows), 0.1),
        "dist1": _gaps(rng, rng.geometric(0.01, rows), 0.6),
        "dist2": _gaps(rng, rng.geometric(0.005, rows), 0.9),
        "P_emaildomain": _gaps(rng, _either(rng, one, mails[2:4], mails), 0.15),
        "R_emaildomain": _gaps(rng, _either(rng, two, mails[:1], mails), 0.75),
    }
    counted, elapsed, matched, vesta = counts
    columns |= {
        f"C{i}": (rng.geometric(np.where(two, 0.15, 0.4), rows) - (i != 1)).astype(float) for i in range(1, counted + 1)
    }
    columns |= {f"D{i}": _gaps(rng, rng.geometric(0.01, rows) - 1, 0.05 * i) for i in range(1, elapsed + 1)}
    columns |= {
        f"M{i}": _gaps(rng, rng.choice(["M0", "M1", "M2"] if i == 4 else ["T", "F"], rows), 0.3 + 0.03 * i)
        for i in range(1, matched + 1)
    }
    block = np.zeros(rows, bool)
    for i in range(1, vesta + 1):
        if i % 11 == 1:  # columns of V have their gaps in common
            block = rng.random(rows) < rng.choice([0.0, 0.13, 0.5, 0.85])
        values = rng.poisson(np.where(two, 2.0, 1.0)) if i % 3 else rng.exponential(np.where(looks, 200, 100)).round(4)
        columns[f"V{i}"] = pd.Series(values).where(~block)
    if identity:
        known = rng.random(rows) < 0.25
        codes = {13, 14, *range(17, 23), 24, 25, 26, 32}
        words = {23: ["IP_PROXY:TRANSPARENT", "IP_PROXY:ANONYMOUS"], 30: ["Windows 10", "iOS 11.1.2", "Android 7.0"],
                 31: ["chrome 62.0", "mobile safari 11.0", "ie 11.0 for desktop"], 33: ["1920x1080", "1334x750"],
                 34: ["match_status:1", "match_status:2"]}  # fmt: skip
        for i in range(1, 39):
            if i <= 11:
                values = (
                    (-rng.integers(0, 100, rows) * (5.0 if i == 1 else 1.0)) if i != 2 else rng.integers(1, 10**6, rows)
                )
            elif i in codes:
                values = rng.integers(100, 700, rows)
            elif i >= 35:
                values = rng.choice(["T", "F"], rows)
            else:
                values = rng.choice(words.get(i, ["Found", "NotFound", "New"]), rows)
            columns[f"id_{i:02d}"] = pd.Series(values).where(known & (rng.random(rows) < 0.8))
        columns["DeviceType"] = pd.Series(rng.choice(["desktop", "mobile"], rows)).where(known)
        columns["DeviceInfo"] = pd.Series(
            rng.choice(["Windows", "iOS Device", "MacOS", "SM-G930V Build/NRD90M"], rows)
        ).where(known)
    return Drawn(pd.DataFrame(columns), labels, time.astype(np.float64), amount)


def _ieee_small(rows: int, seed: int) -> Drawn:
    return _ieee(rows, seed, counts=(5, 4, 4, 12), identity=False)


def _ieee_wide(rows: int, seed: int) -> Drawn:
    """All 434 columns: train_transaction joined with train_identity."""
    return _ieee(rows, seed, counts=(14, 15, 9, 339), identity=True)


def _baf(rows: int, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.05)
    looks = _suspicious(rng, labels)
    other = _suspicious(rng, labels, 0.6, 0.1)

    def months(highest: int, unknown: float) -> Array:
        return np.where(rng.random(rows) < unknown, -1, rng.geometric(0.012, rows) % highest)

    limit = _either(rng, looks, [1500.0, 1900.0, 2000.0], [190.0, 200.0, 200.0, 500.0, 1000.0, 1500.0])
    frame = pd.DataFrame(
        {
            "fraud_bool": labels,
            "income": _either(rng, other, [0.8, 0.9], np.arange(1, 10) / 10),
            "name_email_similarity": np.where(looks, rng.beta(1, 3, rows), rng.beta(2, 2, rows)),
            "prev_address_months_count": months(380, 0.7),
            "current_address_months_count": months(429, 0.005),
            "customer_age": _either(rng, other, [40, 50, 60], [20, 20, 30, 30, 40, 50]),
            "days_since_request": rng.exponential(1.0, rows),
            "intended_balcon_amount": np.where(
                rng.random(rows) < 0.75, -rng.gamma(2, 0.5, rows), rng.uniform(5, 113, rows)
            ),
            "payment_type": rng.choice(["AA", "AB", "AB", "AC", "AD", "AE"], rows),
            "zip_count_4w": rng.integers(1, 6_700, rows),
            "velocity_6h": rng.normal(5_600, 3_000, rows),
            "velocity_24h": rng.normal(4_700, 1_400, rows),
            "velocity_4w": rng.normal(4_800, 900, rows),
            "bank_branch_count_8w": rng.geometric(0.05, rows) - 1,
            "date_of_birth_distinct_emails_4w": rng.poisson(9, rows),
            "employment_status": rng.choice(["CA", "CA", "CA", "CB", "CC", "CD", "CE", "CF", "CG"], rows),
            "credit_risk_score": np.where(looks, rng.normal(210, 60, rows), rng.normal(125, 65, rows)).astype(int),
            "email_is_free": (rng.random(rows) < np.where(other, 0.7, 0.5)).astype(int),
            "housing_status": _either(rng, looks, ["BA", "BA", "BC"], ["BA", "BB", "BC", "BC", "BD", "BE", "BF", "BG"]),
            "phone_home_valid": (rng.random(rows) < np.where(looks, 0.2, 0.45)).astype(int),
            "phone_mobile_valid": (rng.random(rows) < 0.89).astype(int),
            "bank_months_count": months(32, 0.25),
            "has_other_cards": (rng.random(rows) < np.where(looks, 0.05, 0.23)).astype(int),
            "proposed_credit_limit": limit,
            "foreign_request": (rng.random(rows) < 0.03).astype(int),
            "source": rng.choice(["INTERNET", "TELEAPP"], rows, p=[0.99, 0.01]),
            "session_length_in_minutes": np.where(rng.random(rows) < 0.002, -1.0, rng.lognormal(1.7, 0.7, rows)),
            "device_os": _either(rng, looks, ["windows"], ["linux", "other", "windows", "macintosh", "x11"]),
            "keep_alive_session": (rng.random(rows) < np.where(looks, 0.25, 0.6)).astype(int),
            "device_distinct_emails_8w": rng.choice([1, 1, 1, 1, 1, 1, 1, 1, 1, 2, -1, 0], rows),
            "device_fraud_count": 0,  # named like a label, and always 0, as in the public file
            "month": np.sort(rng.integers(0, 8, rows)),
        }
    )
    return Drawn(frame, labels, None, None)


_BANKS = ("SBI", "HDFC", "ICICI", "Axis", "PNB", "Kotak", "IndusInd", "Yes Bank")


def _upi(rows: int, seed: int) -> Drawn:
    """Not in order of time."""
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.05)
    looks = _suspicious(rng, labels)
    time = (_epoch("2024-01-01") + rng.integers(0, int(365 * DAY), rows)).astype(np.float64)
    moments = pd.to_datetime(time, unit="s")
    amount = np.round(np.exp(rng.normal(np.where(looks, 8.6, 6.4), 0.8)) + 10).astype(np.int64)
    ages = ["18-25", "26-35", "36-45", "46-55", "56+"]
    frame = pd.DataFrame(
        {
            "transaction id": _numbered(np.arange(1, rows + 1), "TXN{:010d}"),
            "timestamp": _as_text(time),
            "transaction type": rng.choice(["P2P", "P2P", "P2M", "P2M", "Bill Payment", "Recharge"], rows),
            "merchant_category": _either(
                rng, looks & (rng.random(rows) < 0.6), ["Shopping", "Other"],
                ["Entertainment", "Grocery", "Fuel", "Food", "Utilities", "Transport", "Healthcare", "Education",
                 "Shopping", "Other"],
            ),
            "amount (INR)": amount,
            "transaction_status": rng.choice(["SUCCESS", "FAILED"], rows, p=[0.95, 0.05]),
            "sender_age_group": rng.choice(ages, rows),
            "receiver_age_group": rng.choice(ages, rows),
            "sender_state": rng.choice(["Delhi", "Uttar Pradesh", "Karnataka", "Maharashtra", "Tamil Nadu"], rows),
            "sender_bank": rng.choice(_BANKS, rows),
            "receiver_bank": rng.choice(_BANKS, rows),
            "device_type": _either(rng, looks, ["Web", "Android"], ["Android", "Android", "Android", "iOS", "Web"]),
            "network_type": _either(rng, looks, ["WiFi", "3G"], ["4G", "4G", "5G", "WiFi", "3G"]),
            "fraud_flag": labels,
            "hour_of_day": moments.hour,
            "day_of_week": moments.strftime("%A"),
            "is_weekend": (moments.dayofweek >= 5).astype(int),
        }
    )  # fmt: skip
    return Drawn(frame, labels, time, amount.astype(np.float64))


def _upi_status(rows: int, seed: int) -> Drawn:
    """No column is named like a label: one of the states of a transaction is "Fraud"."""
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.06)
    looks = _suspicious(rng, labels)
    time = _epoch("2024-01-01") + np.arange(rows) * 60.0
    amount = _amounts(rng, looks, 700, 6_000)
    shops = rng.integers(1000, 2000, rows)
    people = rng.integers(6_000_000_000, 9_999_999_999, 300)
    who = rng.integers(0, 300, rows)
    frame = pd.DataFrame(
        {
            "Transaction ID": [f"{a:08x}-{b:04x}-4{c:03x}-8{d:03x}-{e:012x}" for a, b, c, d, e in zip(
                *(rng.integers(0, 16**n, rows) for n in (8, 4, 3, 3, 12)), strict=True)],
            "Timestamp": _as_text(time),
            "Sender Name": np.array(["Tiya Mall", "Amit Rao", "Neha Iyer", "Ravi Sheth", "Priya Dâs"])[who % 5],
            "Sender UPI ID": _numbered(people[who], "{}@okaxis"),
            "Receiver Name": rng.choice(["Flipkart", "Amazon", "Zomato", "Swiggy", "Paytm", "IRCTC"], rows),
            "Receiver UPI ID": _numbered(shops, "merchant{}@oksbi"),
            "Amount (INR)": amount,
            "Status": np.where(labels == 1, "Fraud", rng.choice(["Success"] * 22 + ["Failed"], rows)),
        }
    )  # fmt: skip
    return Drawn(frame, labels, time, amount)


def _ecommerce(rows: int, seed: int) -> Drawn:
    """Not in order of time; frauds buy right after they sign up."""
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.09)
    looks = _suspicious(rng, labels)
    signup = _epoch("2015-01-01") + rng.integers(0, int(228 * DAY), rows)
    purchase = signup + np.where(looks & (rng.random(rows) < 0.6), 1, rng.integers(60, int(119 * DAY), rows))
    devices = np.array(["".join(letters) for letters in rng.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), (rows, 13))])
    device = np.where(looks, rng.integers(0, 20, rows), np.arange(rows) * 9 // 10)
    value = np.where(looks, rng.integers(45, 154, rows), 9 + rng.geometric(0.035, rows) % 140)
    frame = pd.DataFrame(
        {
            "user_id": rng.permutation(400_000)[:rows] + 2,
            "signup_time": _as_text(signup),
            "purchase_time": _as_text(purchase),
            "purchase_value": value,
            "device_id": devices[device],
            "source": _either(rng, looks, ["Direct", "Direct", "Ads"], ["SEO", "SEO", "Ads", "Ads", "Direct"]),
            "browser": _either(
                rng, looks, ["Chrome", "Opera"], ["Chrome", "Chrome", "IE", "Safari", "FireFox", "Opera"]
            ),
            "sex": rng.choice(["M", "M", "F"], rows),
            "age": np.clip(rng.normal(np.where(looks, 24, 34), 7, rows), 18, 76).astype(int),
            "ip_address": rng.uniform(5e4, 4.29e9, rows).round(5),  # a number with decimals, as in the public file
            "class": labels,
        }
    )
    return Drawn(frame, labels, purchase.astype(np.float64), value.astype(np.float64))


def _credit_default(rows: int, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.221)
    looks = _suspicious(rng, labels, 0.65, 0.08)
    limit = _either(rng, looks, [20_000, 30_000, 50_000, 80_000], np.arange(1, 51) * 10_000)
    columns: dict[str, Any] = {
        "ID": np.arange(1, rows + 1),
        "LIMIT_BAL": limit,
        "SEX": rng.choice([1, 2, 2], rows),
        "EDUCATION": rng.choice([1, 1, 2, 2, 2, 3, 4, 5, 6, 0], rows),
        "MARRIAGE": rng.choice([1, 1, 2, 2, 3], rows),
        "AGE": np.clip(rng.normal(35, 9, rows), 21, 79).astype(int),
    }
    columns |= {
        f"PAY_{i}": _either(rng, looks & (rng.random(rows) < 0.8), [1, 2, 2, 3], [-2, -1, 0, 0, 0, 0, 1])
        for i in (0, 2, 3, 4, 5, 6)
    }
    owed = (limit * rng.uniform(-0.02, 1.0, rows)).astype(int)
    columns |= {f"BILL_AMT{i}": (owed * rng.uniform(0.6, 1.1, rows)).astype(int) for i in range(1, 7)}
    columns |= {
        f"PAY_AMT{i}": (
            np.abs(owed) * rng.uniform(0, 0.2, rows) * (rng.random(rows) < np.where(looks, 0.5, 0.85))
        ).astype(int)
        for i in range(1, 7)
    }
    columns["default payment next month"] = labels
    return Drawn(pd.DataFrame(columns), labels, None, None)


def _german(rows: int, seed: int) -> Drawn:
    """Blanks between the fields, no header, and 1 for good, 2 for bad in the last column."""
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.3)
    looks = _suspicious(rng, labels, 0.7, 0.1)

    def coded(attribute: int, last: int, first: int = 1) -> Array:
        return np.array(_numbered(rng.integers(first, last + 1, rows), f"A{attribute}{{}}"))

    columns: list[Any] = [
        _either(rng, looks, ["A11", "A12"], ["A11", "A12", "A13", "A14", "A14"]),
        rng.choice([6, 12, 18, 24, 36, 48], rows),
        coded(3, 4, 0),
        coded(4, 9, 0),
        _amounts(rng, looks, 2_200, 4_500, 0.6).astype(int),
        coded(6, 5),
        coded(7, 5),
        rng.integers(1, 5, rows),
        coded(9, 4),
        coded(10, 3),
        rng.integers(1, 5, rows),
        coded(12, 4),
        rng.integers(19, 76, rows),
        coded(14, 3),
        coded(15, 3),
        rng.integers(1, 5, rows),
        coded(17, 4),
        rng.integers(1, 3, rows),
        coded(19, 2),
        coded(20, 2),
        labels + 1,
    ]
    return Drawn(pd.DataFrame({f"{i + 1}": values for i, values in enumerate(columns)}), labels, None, None)


def _ulb(rows: int, seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.03)
    looks = _suspicious(rng, labels, 0.8, 0.008)
    time = np.sort(rng.integers(0, 172_793, rows))
    time[0] = 0
    shift = rng.normal(0, 1, 28) * (np.arange(28) < 18)
    values = rng.normal(0, np.linspace(1.9, 0.3, 28), (rows, 28)) + looks[:, None] * shift
    amount = _amounts(rng, looks, 22, 40, 1.4)
    frame = pd.DataFrame({"Time": time} | {f"V{i + 1}": values[:, i] for i in range(28)})
    frame["Amount"] = amount
    frame["Class"] = labels.astype(str)  # quoted in the public file, as its header is
    return Drawn(frame, labels, time.astype(np.float64), amount)


def _amazon(rows: int, seed: int) -> Drawn:
    """Registrations as the documentation of Amazon Fraud Detector has them."""
    rng = np.random.default_rng(seed)
    labels = _labels(rng, rows, 0.06)
    looks = _suspicious(rng, labels)
    time = (_epoch("2019-01-01") + np.sort(rng.integers(0, 120 * 1440, rows)) * 60).astype(np.float64)
    moments = pd.to_datetime(time, unit="s")
    frame = pd.DataFrame(
        {
            "EVENT_TIMESTAMP": [f"{m.month}/{m.day}/{m.year} {m.hour}:{m.minute:02d}" for m in moments],
            "EVENT_LABEL": np.where(labels == 1, "fraud", "legit"),
            "ip_address": [".".join(map(str, quad)) for quad in rng.integers(1, 255, (rows, 4))],
            "email_address": [f"fake_{name.lower()}{n}@example.{end}" for name, n, end in zip(
                rng.choice(_LAST, rows), rng.integers(1, 9999, rows), rng.choice(["net", "org", "com"], rows),
                strict=True)],
            "session_seconds": np.round(rng.gamma(2, np.where(looks, 8, 45)), 1),
            "attempts": rng.poisson(np.where(looks, 4, 0.7)),
        }
    )  # fmt: skip
    return Drawn(frame, labels, time, None)


_ISO = frozenset({"iso8601", "%Y-%m-%d %H:%M:%S"})

LAYOUTS = (
    Layout(
        "paysim", "PS_20174392719_1491204439457_log.csv", _paysim, "isFraud",
        {"type": WORD, "(old|new)balance.*": NUMBER, "name(Orig|Dest)": ENTITY, "isFlaggedFraud": AFTERWARDS},
        time="step", time_formats=frozenset({"hours"}), amount="amount", answer=("--time-format", "hours"),
    ),
    Layout(
        "sparkov", "fraudTrain.csv", _sparkov, "is_fraud",
        {"(column_1)?": AFTERWARDS, "cc_num": ENTITY, "merchant": PLACE, "category|gender|state|job": WORD, "zip": CODE,
         "first|last|street|city": PERSONAL, "dob|unix_time": AFTERWARDS, "(merch_)?(lat|long)|city_pop": NUMBER},
        time="trans_date_trans_time", time_formats=_ISO, amount="amt", id="trans_num",
    ),
    Layout(
        "banksim", "bs140513_032310.csv", _banksim, "fraud",
        {"customer": ENTITY, "merchant": PLACE, "zip.*": AFTERWARDS, "age": frozenset({"string", "integer"}),
         "gender|category": WORD},
        time="step", time_formats=frozenset({"days"}), amount="amount", parquet=False, missing={"age": "U"},
        answer=("--time-format", "days"),
    ),
    Layout(
        "tabformer", "card_transaction.v1.csv", _tabformer, "Is Fraud?",
        {"User": ENTITY, "Card": CODE, "Use Chip|Merchant State|Errors\\?": WORD, "Merchant City": PLACE,
         "Merchant Name": CODE, "Zip": CODE, "MCC": frozenset({"integer", "string"})},
        fraud=("Yes",), legitimate=("No",), time_parts=("Year", "Month", "Day", "Time"), amount="Amount",
        rows=5_000, parquet=False,
    ),
    Layout(
        "handbook", "transactions.csv", _handbook, "TX_FRAUD",
        {"(CUSTOMER|TERMINAL)_ID": ENTITY, "TX_TIME_(SECONDS|DAYS)|TX_FRAUD_SCENARIO": AFTERWARDS},
        time="TX_DATETIME", time_formats=_ISO, amount="TX_AMOUNT", id="TRANSACTION_ID", rows=5_000,
    ),
    Layout(
        "ieee_cis", "train_transaction.csv", _ieee_small, "isFraud",
        {"ProductCD|card[46]|M\\d": WORD, "card[1235]|addr[12]": CODE, "[PR]_emaildomain": WORD, "dist[12]": NUMBER,
         "[CDV]\\d+": SMALL},
        time="TransactionDT", time_formats=frozenset({"seconds"}), amount="TransactionAmt", id="TransactionID",
    ),
    Layout(
        "baf", "Base.csv", _baf, "fraud_bool",
        {"payment_type|employment_status|housing_status|source|device_os": WORD, "device_fraud_count": AFTERWARDS,
         "month": COARSE, "(intended_balcon_amount|proposed_credit_limit)": SMALL | {"amount"}, ".*_.*|income": SMALL},
        missing={"prev_address_months_count": "-1", "current_address_months_count": "-1", "bank_months_count": "-1",
                 "session_length_in_minutes": "-1", "device_distinct_emails_8w": "-1"},
    ),
    Layout(
        "upi", "upi_transactions_2024.csv", _upi, "fraud_flag",
        {"transaction type|merchant_category|.*_age_group|.*_state|.*_bank|device_type|network_type": WORD,
         "transaction_status": PERSONAL, "hour_of_day|day_of_week|is_weekend": COARSE},
        time="timestamp", time_formats=_ISO, amount="amount (INR)", id="transaction id",
    ),
    Layout(
        "ecommerce", "Fraud_Data.csv", _ecommerce, "class",
        {"user_id": frozenset({"id", "entities", "ignore"}), "signup_time": AFTERWARDS, "device_id": PLACE,
         "source|browser|sex": WORD, "age": NUMBER, "ip_address": PLACE},
        time="purchase_time", time_formats=_ISO, amount="purchase_value",
    ),
    Layout(
        "credit_default", "default of credit card clients.csv", _credit_default, "default payment next month",
        {"ID": frozenset({"id", "ignore"}), "LIMIT_BAL": NUMBER | {"amount"}, "AGE": NUMBER,
         "SEX|EDUCATION|MARRIAGE": SMALL | {"string"}, "PAY_\\d": SMALL, "(BILL|PAY)_AMT\\d": NUMBER},
        answer=("--label", "default payment next month"),
    ),
    Layout(
        "ulb", "creditcard.csv", _ulb, "Class", {"V\\d+": NUMBER}, time="Time", time_formats=frozenset({"seconds"}),
        amount="Amount", rows=6_000, dialect={"quoting": csv.QUOTE_NONNUMERIC},
    ),
)  # fmt: skip
"""The eleven layouts that `init` is to get right, with one answer at most."""

_BY_NAME = {layout.name: layout for layout in LAYOUTS}

FURTHER = (
    Layout(
        "ieee_cis_wide", "train_joined.csv", _ieee_wide, "isFraud",
        {**_BY_NAME["ieee_cis"].roles, "id_(0\\d|10|11)": SMALL,
         "id_(13|14|17|18|19|20|21|22|24|25|26|32)": COARSE, "id_\\d+|Device(Type|Info)": WORD},
        time="TransactionDT", time_formats=frozenset({"seconds"}), amount="TransactionAmt", id="TransactionID",
        rows=1_500,
    ),
    Layout(
        "sparkov_spreadsheet", "fraudTrain from a spreadsheet.csv", _sparkov_spreadsheet, "is_fraud",
        {"Column1": AFTERWARDS, **_BY_NAME["sparkov"].roles, "cc_num": CODE},
        time="trans_date_trans_time", time_formats=frozenset({"spreadsheet"}), amount="amt", id="trans_num",
        dialect={"sep": ";"}, parquet=False,
    ),
    Layout(
        "upi_status", "upi_payments.csv", _upi_status, "Status",
        {"(Sender|Receiver) UPI ID": ENTITY, "Sender Name": PERSONAL, "Receiver Name": PLACE},
        fraud=("Fraud",), legitimate=("Success", "Failed"), time="Timestamp", time_formats=_ISO, amount="Amount (INR)",
        id="Transaction ID", answer=("--label", "Status"),
    ),
    Layout(
        "amazon", "registrations.csv", _amazon, "EVENT_LABEL",
        {"ip_address|email_address": ENTITY, "session_seconds": NUMBER, "attempts": SMALL},
        fraud=("fraud",), legitimate=("legit",), time="EVENT_TIMESTAMP", time_formats=frozenset({"%m/%d/%Y %H:%M"}),
        parquet=False,
    ),
    Layout(
        # blanks divide it, which is none of the delimiters: `init` may refuse it, but not misread it
        "german", "german.csv", _german, "21", {"\\d+": COARSE},
        fraud=("2",), legitimate=("1",), dialect={"sep": " ", "header": False}, parquet=False, rows=3_000, runs=False,
    ),
)  # fmt: skip
"""Variants of them, and what stands beside them: without the promise of one answer at most."""
