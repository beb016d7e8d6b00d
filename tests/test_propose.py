"""What `fraud-pipeline init` proposes for layouts that are out there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.reading.readers import read_batches
from pipeline.data.csv_written import csv_format
from pipeline.data.proposal import Proposal
from pipeline.data.propose import Choices, propose
from tests.support.hostile import TEXTS
from trainer.columns import Columns, CsvFormat
from trainer.decision.costs import Costs
from trainer.errors import InputError

ROWS = 2_000


def proposed(folder: Path, frame: pd.DataFrame, name: str = "transactions.csv") -> Proposal:
    path = folder / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_csv(path, index=False)
    return propose(str(path))


def ieee_cis(rows: int) -> pd.DataFrame:
    """Random values in the layout of the IEEE-CIS data: 394 columns, most with gaps."""
    rng = np.random.default_rng(0)

    def gaps(values: np.ndarray, share: float) -> pd.Series:
        return pd.Series(values).where(rng.random(rows) >= share)

    def some(values: list[str]) -> np.ndarray:
        return rng.choice(values, rows)

    columns: dict[str, object] = {
        "TransactionID": 2_987_000 + np.arange(rows),
        "isFraud": (rng.random(rows) < 0.035).astype(int),
        "TransactionDT": 86_400 + np.cumsum(rng.integers(0, 30, rows)),
        "TransactionAmt": rng.lognormal(4, 1, rows).round(3),
        "ProductCD": some(list("WHCSR")),
        "card1": rng.integers(1000, 18_000, rows),
        "card2": gaps(rng.integers(100, 600, rows), 0.02),
        "card3": gaps(rng.integers(100, 220, rows), 0.01),
        "card4": gaps(some(["visa", "mastercard", "discover"]), 0.01),
        "card5": gaps(rng.integers(100, 230, rows), 0.01),
        "card6": gaps(some(["debit", "credit"]), 0.01),
        "addr1": gaps(rng.integers(100, 540, rows), 0.1),
        "addr2": gaps(rng.integers(10, 100, rows), 0.1),
        "dist1": gaps(rng.integers(0, 9000, rows), 0.6),
        "dist2": gaps(rng.integers(0, 9000, rows), 0.9),
        "P_emaildomain": gaps(some(["gmail.com", "yahoo.com"]), 0.15),
        "R_emaildomain": gaps(some(["gmail.com", "yahoo.com"]), 0.75),
    }
    columns |= {f"C{i}": rng.geometric(0.1, rows) - 1 if i != 3 else rng.poisson(0.01, rows) for i in range(1, 15)}
    columns |= {f"D{i}": gaps(rng.integers(0, 640, rows), 0.5) for i in range(1, 16)}
    columns |= {f"M{i}": gaps(some(["T", "F"] if i != 4 else ["M0", "M1", "M2"]), 0.5) for i in range(1, 10)}
    columns |= {
        f"V{i}": gaps(rng.poisson(1.0, rows) if i % 3 else rng.exponential(100, rows).round(4), 0.5)
        for i in range(1, 340)
    }
    return pd.DataFrame(columns)


@pytest.mark.parametrize("name", ["train_transaction.csv", "train_transaction.parquet"])
def test_ieee_cis(tmp_path, name):
    columns = proposed(tmp_path, ieee_cis(ROWS), name).columns
    assert columns.label == "isFraud"
    assert (columns.time, columns.time_format) == ("TransactionDT", "seconds")
    assert columns.amount == "TransactionAmt"
    assert (columns.id, columns.ignore) == ("TransactionID", ())
    strings = {"ProductCD", "card4", "card6", "P_emaildomain", "R_emaildomain", *(f"M{i}" for i in range(1, 10))}
    integers = {"card1", "card2", "card3", "card5", "addr1", "addr2"}
    assert {name for name, kind in columns.categorical.items() if kind == "string"} == strings
    assert {name for name, kind in columns.categorical.items() if kind == "integer"} == integers
    families = [("C", 14), ("D", 15), ("V", 339)]
    assert set(columns.numeric) == {
        "dist1",
        "dist2",
        *(f"{n}{i}" for n, count in families for i in range(1, count + 1)),
    }


def test_the_yaml_is_the_proposal_with_its_reasons(tmp_path):
    frame = ieee_cis(400).rename(columns={"dist1": "dist, 1", "M1": "true", "M2": "a: b #c"})
    proposal = proposed(tmp_path, frame)
    text = proposal.as_yaml("/data/my transactions.csv", "fraud.schema.pbtxt")
    values = yaml.safe_load(text)
    assert list(values) == ["data", "schema", "columns", "costs"]
    assert Costs.model_validate(values["costs"]) == Costs(currency="units")
    assert values["data"] == {"path": "/data/my transactions.csv"}
    assert values["schema"] == "fraud.schema.pbtxt"
    assert Columns.model_validate(values["columns"]) == proposal.columns
    assert set(proposal.reasons) == set(frame.columns)
    assert "  id: TransactionID  # a different value in every row, and named like an ID" in text
    assert max(len(line.partition("  #")[0]) for line in text.splitlines()) <= 120
    assert "schema" not in yaml.safe_load(proposal.as_yaml("a.csv"))


@given(st.lists(TEXTS.filter(bool), min_size=5, max_size=12, unique=True), TEXTS)
def test_the_yaml_holds_any_name_and_any_reason(names, reason):
    label, time, amount, *rest = names
    half = len(rest) // 2
    columns = Columns(
        label=label,
        time=time,
        amount=amount,
        numeric=tuple(rest[:half]),
        categorical=dict.fromkeys(rest[half:-1], "string"),
        ignore=tuple(rest[-1:]),
    )
    values = yaml.safe_load(Proposal(columns, dict.fromkeys(names, reason), 1).as_yaml(reason, label))
    assert values["data"] == {"path": reason}
    assert values["schema"] == label
    assert Columns(**values["columns"]) == columns


def other(**columns: object) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    base = {"is_fraud": (rng.random(ROWS) < 0.1).astype(int), "z": rng.normal(size=ROWS)}
    return pd.DataFrame(base | columns)


@pytest.mark.parametrize(
    ("name", "values", "time_format"),
    [
        ("trans_date_trans_time", pd.date_range("2019-01-01", periods=ROWS, freq="min").astype(str), "iso8601"),
        ("timestamp", pd.date_range("2019-01-01", periods=ROWS, freq="min", tz="UTC"), "iso8601"),
        ("unix_time", 1_325_376_018 + np.arange(ROWS) * 60, "epoch"),
        ("created", 1_325_376_018_000 + np.arange(ROWS) * 60_000, "epoch_ms"),
        ("Time", np.repeat(np.arange(ROWS / 2) * 60, 2), "seconds"),
    ],
)
@pytest.mark.parametrize("file", ["a.csv", "a.parquet"])
def test_times(tmp_path, name, values, time_format, file):
    columns = proposed(tmp_path, other(**{name: values}), file).columns
    assert (columns.time, columns.time_format) == (name, time_format)


def test_a_second_time_and_a_date_of_birth_are_left_out(tmp_path):
    rng = np.random.default_rng(2)
    days = pd.date_range("1950-01-01", periods=300).astype(str)
    proposal = proposed(
        tmp_path,
        other(
            trans_time=pd.date_range("2019-01-01", periods=ROWS, freq="min").astype(str),
            unix_time=1_325_376_018 + np.arange(ROWS) * 60,
            dob=rng.choice(days, ROWS),
        ),
    )
    assert proposal.columns.time == "trans_time"
    assert set(proposal.columns.ignore) == {"unix_time", "dob"}


def test_other_roles(tmp_path):
    rng = np.random.default_rng(3)
    frame = other(
        amt=rng.exponential(50, ROWS).round(2),
        merchant=rng.choice(["m1", "m2", "m3"], ROWS),
        zip=rng.integers(10_000, 99_999, ROWS),
        city_pop=rng.integers(100, 99_999, ROWS),
        hands=rng.integers(1, 5, ROWS).astype(float),
        trans_num=[f"{rng.integers(2**62):x}" for _ in range(ROWS)],
        remark=[f"free text {i % (ROWS * 3 // 4)}" for i in range(ROWS)],
        currency="EUR",
        empty=np.nan,
    )
    proposal = proposed(tmp_path, frame)
    columns = proposal.columns
    assert columns.amount == "amt"
    assert columns.time is None
    assert columns.numeric == ("z", "city_pop")
    assert columns.categorical == {"merchant": "string", "zip": "integer", "hands": "integer"}
    assert columns.id == "trans_num"
    assert columns.ignore == ("remark", "currency", "empty")
    assert proposal.reasons["currency"] == "always EUR"
    assert proposal.reasons["empty"] == "no values"
    assert "too many to be categories" in proposal.reasons["remark"]
    assert yaml.safe_load(proposal.as_yaml("a.csv"))["data"]["split"] == {"by": "random"}


@pytest.mark.parametrize(
    ("columns", "chosen", "ignored"),
    [
        ({"ID": np.arange(ROWS)}, "ID", ()),
        ({"id": np.arange(ROWS), "txn_id": np.arange(ROWS)}, "txn_id", ("id",)),
        # of the size of seconds since 1970, and rising
        ({"transaction_id": 2_987_000_000 + np.arange(ROWS)}, "transaction_id", ()),
        ({"Transaction Number": [f"{row:06d}" for row in range(ROWS)]}, "Transaction Number", ()),
        # of one value in two rows, of a gap, and of another name
        ({"transaction_id": [f"t{max(row, 1)}" for row in range(ROWS)]}, None, ("transaction_id",)),
        ({"transaction_id": [f"t{row}" if row else None for row in range(ROWS)]}, None, ("transaction_id",)),
        ({"street_id": [f"c{row}" for row in range(ROWS)]}, None, ("street_id",)),
    ],
)
def test_a_column_that_names_each_transaction_is_its_id(tmp_path, columns, chosen, ignored):
    proposal = proposed(tmp_path, other(**columns))
    assert (proposal.columns.id, proposal.columns.ignore) == (chosen, ignored)
    assert yaml.safe_load(proposal.as_yaml("a.csv"))["columns"].get("id") == chosen


def test_without_a_name_no_column_is_the_label_until_a_person_says_so(tmp_path):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {"z": rng.normal(size=ROWS), "weekend": rng.integers(0, 2, ROWS), "stopped": (rng.random(ROWS) < 0.01)}
    )
    with pytest.raises(InputError, match=r"these have two values: 'weekend' .*, 'stopped' .*: --label"):
        proposed(tmp_path, frame)
    columns = propose(str(tmp_path / "transactions.csv"), Choices(label="stopped")).columns
    assert (columns.label, columns.categorical) == ("stopped", {"weekend": "integer"})


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        (pd.DataFrame({"z": [1.5, 2.5]}), "no column that could be the label by its name"),
        (
            pd.DataFrame({"z": [1.5, 2.5], "fraud": ["red", "blue"]}),
            "'fraud' is named like a label but has 2 different values such as 'red', 'blue'; say which .*--fraud-value",
        ),
        (pd.DataFrame({"fraud": [0, 1], "same": [1, 1]}), "no column to learn from .*same: always 1"),
        (pd.DataFrame({"fraud": [], "z": []}), "a header but no rows"),
    ],
)
def test_what_no_roles_can_be_proposed_for(tmp_path, frame, fault):
    with pytest.raises(InputError, match=fault):
        proposed(tmp_path, frame)


def test_the_real_rows(real_rows):
    columns = propose(str(real_rows)).columns
    assert columns == Columns(label="Class", time="Time", amount="Amount", numeric=[f"V{i}" for i in range(1, 29)])


def test_the_pipelines_own_name_is_ignored_with_a_word(tmp_path):
    proposal = proposed(tmp_path, other(example_weight=np.ones(ROWS) + np.arange(ROWS) % 3))
    assert proposal.columns.ignore == ("example_weight",)
    assert "example_weight is ignored, since its name is the pipeline's own: rename it" in proposal.doubts
    with pytest.raises(InputError, match="rename yours or ignore it"):
        propose(str(tmp_path / "transactions.csv"), Choices(amount="example_weight"))


@pytest.mark.parametrize(
    ("date", "clock", "pattern"),
    [
        ("%Y%m%d", lambda moment: str(moment.hour * 100 + moment.minute), "%Y%m%d %H%M"),
        ("%Y-%m-%d", lambda moment: f"{moment:%H%M%S}", "%Y-%m-%d %H%M%S"),
        ("%d/%m/%Y", lambda moment: f"{moment:%H:%M}", "%d/%m/%Y %H:%M"),
    ],
)
def test_a_clock_beside_the_date_is_a_part_of_the_time(tmp_path, date, clock, pattern):
    moments = pd.date_range("2024-01-01", periods=ROWS, freq="17min")
    frame = other(tran_date=moments.strftime(date), tran_time=[clock(moment) for moment in moments])
    columns = proposed(tmp_path, frame).columns
    assert (columns.time_format, columns.time_parts) == (pattern, ("tran_date", "tran_time"))


def test_amounts_in_several_currencies_are_not_added_up(tmp_path):
    amounts = [f"{amount:.2f} {'USD' if amount % 2 else 'EUR'}" for amount in range(ROWS)]
    frame = other(amount=amounts)
    with pytest.raises(InputError, match=r"in several currencies .*--currency"):
        proposed(tmp_path, frame)
    path = str(tmp_path / "transactions.csv")
    assert propose(path, Choices(currency="USD")).currency == "USD"
    mixed = proposed(tmp_path, other(amount=np.arange(ROWS) / 7, currency=["USD", "EUR"] * (ROWS // 2)))
    assert any("in 2 currencies" in doubt for doubt in mixed.doubts)


@pytest.mark.parametrize(("text", "encoding"), [("März", "cp1252"), ("São Paulo", "cp1252"), ("5 €", "cp1252")])
def test_a_few_words_are_western_and_the_encoding_is_said(tmp_path, text, encoding):
    frame = other(branch=[text if row % 3 else "Ulm" for row in range(ROWS)])
    path = tmp_path / "a.csv"
    frame.to_csv(path, index=False, encoding=encoding)
    proposal = propose(str(path))
    assert proposal.columns.csv.encoding == encoding
    assert any(f"read as {encoding}" in doubt and "--encoding" in doubt for doubt in proposal.doubts)


def test_names_may_be_numbers_and_no_names_are_said(tmp_path):
    frame = other(**{"0": np.arange(ROWS) % 97 / 7, "1": np.arange(ROWS) % 89 / 7})
    assert set(proposed(tmp_path, frame).columns.numeric) == {"z", "0", "1"}
    frame.to_csv(tmp_path / "b.csv", index=False, header=False)
    proposal = propose(str(tmp_path / "b.csv"), Choices(label="column_1"))
    assert any("line 1 is taken for data" in doubt for doubt in proposal.doubts)


FRAUD = (np.arange(ROWS) % 20 == 0).astype(int)


def labelled(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"z": np.random.default_rng(5).normal(size=ROWS), **columns})


@pytest.mark.parametrize(
    ("name", "fraud", "legitimate", "meanings"),
    [
        ("is_fraud", "Y", "N", (("Y",), ("N",))),
        ("Is Fraud?", "fraud", "legit", (("fraud",), ("legit",))),
        ("class", "1", "-1", (("1",), ("-1",))),
        ("class", "2", "1", (("2",), ("1",))),
        ("is_fraud", "TRUE", "FALSE", None),
        ("fraud_flag", "1.0", "0.0", None),
    ],
)
def test_words_of_the_label(tmp_path, name, fraud, legitimate, meanings):
    columns = proposed(tmp_path, labelled(**{name: np.where(FRAUD == 1, fraud, legitimate)})).columns
    assert columns.label == name
    told = columns.label_values
    assert (told and (told.fraud, told.legitimate)) == meanings


@pytest.mark.parametrize(
    ("values", "choices", "question"),
    [
        ({"is_fraud": np.where(FRAUD == 1, "A", "B")}, {}, "--fraud-value"),
        ({"is_fraud": np.arange(ROWS) % 5}, {}, "--label"),
        ({"is_fraud": FRAUD, "fraud": FRAUD}, {}, "could each be the label.*--label"),
        ({"prior_fraud": FRAUD, "isFlaggedFraud": FRAUD}, {}, "of the past or of a rule.*--label"),
        ({"kind": np.where(FRAUD == 1, "x", "y")}, {"label": "nothing"}, "no column 'nothing'"),
        ({"kind": np.where(FRAUD == 1, "p", "q")}, {"label": "kind"}, "--fraud-value"),
        (
            {"kind": np.where(FRAUD == 1, "x", "y")},
            {"label": "kind", "fraud_values": ("q",)},
            "no value of 'kind' is q",
        ),
        ({"is_fraud": FRAUD, "when": np.arange(ROWS) % 9}, {"time": "when", "time_format": "sometimes"}, "time-format"),
        ({"is_fraud": FRAUD, "when": ["noon"] * ROWS}, {"time": "when"}, "in no known format"),
        ({"is_fraud": FRAUD, "when": ["noon"] * ROWS}, {"time": "when", "time_format": "%Y-%m-%d"}, "which are not"),
        ({"is_fraud": FRAUD, "step": np.arange(ROWS) // 3}, {}, "--time step --time-format hours"),
        ({"is_fraud": FRAUD, "note": ["a", "b"] * (ROWS // 2)}, {"amount": "note"}, "which are no numbers"),
        ({"is_fraud": FRAUD, "a": 1}, {"id": "a", "entities": ("a",)}, "two or more for a"),
    ],
)
def test_what_init_asks_or_refuses(tmp_path, values, choices, question):
    path = tmp_path / "a.csv"
    labelled(**values).to_csv(path, index=False)
    with pytest.raises(InputError, match=question):
        propose(str(path), Choices(**choices))


def test_days_and_months_that_fit_both_ways_are_asked_for(tmp_path):
    rng = np.random.default_rng(6)
    days, months = rng.integers(1, 13, ROWS), rng.integers(1, 13, ROWS)
    frame = labelled(is_fraud=FRAUD, when=[f"{d:02d}/{m:02d}/2024" for d, m in zip(days, months, strict=True)])
    with pytest.raises(InputError, match=r"both .* and .* fit; say which it is: .*--time-format"):
        proposed(tmp_path, frame)
    told = propose(str(tmp_path / "transactions.csv"), Choices(time="when", time_format="%m/%d/%Y"))
    assert told.columns.time_format == "%m/%d/%Y"


def test_what_a_person_chose_is_taken(tmp_path):
    frame = labelled(
        state=np.select([FRAUD == 1, np.arange(ROWS) % 3 == 0], ["Fraud", "Failed"], "Success"),
        posted=pd.date_range("2024-01-01", periods=ROWS, freq="h").astype(str),
        paid=np.arange(ROWS) / 7,
        who=[f"c{row % 40}" for row in range(ROWS)],
        number=[f"n{row % 30}" for row in range(ROWS)],
    )
    path = tmp_path / "a.csv"
    frame.to_csv(path, index=False)
    choices = Choices(label="state", time="posted", amount="paid", id="number", entities=("who",))
    proposal = propose(str(path), choices)
    columns = proposal.columns
    assert columns.label_values is not None
    assert columns.label_values.fraud == ("Fraud",)
    assert set(columns.label_values.legitimate) == {"failed", "success"} or set(columns.label_values.legitimate) == {
        "Failed",
        "Success",
    }
    assert (columns.time, columns.amount, columns.id, columns.entities) == ("posted", "paid", "number", ("who",))
    assert any("30 different values" in doubt for doubt in proposal.doubts)


def test_a_label_that_means_legitimate_is_turned_round(tmp_path):
    path = tmp_path / "a.csv"
    labelled(is_legit=1 - FRAUD).to_csv(path, index=False)
    values = propose(str(path), Choices(label="is_legit")).columns.label_values
    assert values is not None
    assert (values.fraud, values.legitimate) == (("0",), ("1",))


def test_rows_without_a_label_are_left_out_with_a_word(tmp_path):
    labels = FRAUD.astype(object)
    labels[7], labels[9] = "?", None
    proposal = proposed(tmp_path, labelled(is_fraud=labels))
    assert proposal.columns.leave_out_rows_without == ("label",)
    assert proposal.columns.missing == {"is_fraud": ("?",)}
    assert any("2 rows have no label" in doubt for doubt in proposal.doubts)


@pytest.mark.parametrize("file", ["blank.csv", "blank.parquet"])
@pytest.mark.parametrize("blank", ["", "NULL"])
def test_a_label_without_a_value_means_legitimate_only_where_a_person_says_so(tmp_path, file, blank):
    frame = labelled(is_fraud=np.where(FRAUD == 1, "X1", blank))
    with pytest.raises(InputError, match=r"has 1 different value such as 'X1', 95 % missing; .*--fraud-value X1"):
        proposed(tmp_path, frame, file)
    path = str(tmp_path / file)
    proposal = propose(path, Choices(fraud_values=("X1",)))
    assert any("a row without a value is taken for legitimate" in doubt for doubt in proposal.doubts)
    values = yaml.safe_load(proposal.as_yaml(path))["columns"]
    assert values["label_values"] == {"fraud": ["X1"], "legitimate": [""]}
    (batch,) = read_batches(path, Columns.model_validate(values))
    assert batch.column(batch.schema.get_field_index("is_fraud")).to_pylist() == FRAUD.tolist()


def test_words_for_a_missing_category_are_missing_in_the_table_and_in_the_config(tmp_path):
    rng = np.random.default_rng(6)
    frame = labelled(is_fraud=FRAUD, kind=rng.choice(["a", "b", "N/A", "null", "?"], ROWS))
    columns = proposed(tmp_path, frame).columns
    assert sorted(columns.missing["kind"]) == ["?", "N/A", "null"]
    (batch,) = read_batches(str(tmp_path / "transactions.csv"), columns)
    assert batch.column(batch.schema.get_field_index("kind")).null_count == sum(
        kind in ("N/A", "null", "?") for kind in frame.kind
    )


@pytest.mark.parametrize("before", ["Report of 2024-05-01\n", "\n\n", "# a, b\n# c\n\n"])
def test_lines_before_the_header_are_left_out_and_counted(tmp_path, before):
    frame = labelled(is_fraud=FRAUD, amount=(np.arange(ROWS) + 0.25).astype(str))
    frame.loc[1200, "amount"] = "oops"
    path = tmp_path / "report.csv"
    path.write_text(before + frame.to_csv(index=False))
    proposal = propose(str(path))
    line = 1200 + 2 + before.count("\n")
    assert f"first line {line:,}: 'oops'" in proposal.reasons["amount"]
    assert any("left out, since" in doubt for doubt in proposal.doubts) == bool(before.strip())
    with pytest.raises(InputError, match=f"line {line:,}: amount is 'oops'"):
        list(read_batches(str(path), proposal.columns.model_copy(update={"missing": {}})))


def test_names_of_rows_and_a_delimiter_at_the_end_are_no_columns_of_their_own(tmp_path):
    frame = labelled(is_fraud=FRAUD)
    header, *rows = frame.to_csv(index=False).splitlines()
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([header, *(f'"r{number}",{row}' for number, row in enumerate(rows))]))
    named = propose(str(path))
    assert named.roles == {"column_1": "ignore", "z": "numeric", "is_fraud": "label"}
    assert any("each row has one value more than the header" in doubt for doubt in named.doubts)
    path.write_text("\n".join([header, *(f"{row}," for row in rows)]))
    ended = propose(str(path))
    assert ended.roles == {"z": "numeric", "is_fraud": "label", "column_3": "ignore"}
    assert ended.reasons["column_3"] == "no values"
    for proposal in (named, ended):
        header_alone = proposal.columns.csv.model_copy(update={"unnamed": None})
        columns = proposal.columns.model_copy(update={"csv": header_alone, "ignore": ()})
        with pytest.raises(InputError, match="line 2: 3 fields, expected 2"):  # only where the config says so
            list(read_batches(str(path), columns))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("id,path,amount,is_fraud", "{n},Retail|Food|Meat|Fresh|A,{n}.25,{y}"),
        ("time,amount,tags,is_fraud", "{n},{n}.5,pos;chip;eu;new;x,{y}"),
        ("amount,description,is_fraud", "{n}.5,POS PURCHASE TESCO LONDON,{y}"),
        ("amount,merchant,is_fraud", "{n}.5,a;b|c d,{y}"),
    ],
)
@pytest.mark.parametrize("rows", [3, 30, 300])
def test_the_first_line_of_a_regular_file_is_its_header(tmp_path, header, row, rows):
    path = tmp_path / "a.csv"
    path.write_text("\n".join([header, *(row.format(n=n, y=int(n % 3 == 0)) for n in range(rows))]))
    written = csv_format(str(path), CsvFormat())
    assert (written.delimiter, written.skip_lines, written.unnamed) == (None, 0, None)


@given(
    st.lists(st.text(st.characters(codec="ascii", exclude_characters='\0\r\n"'), max_size=30), min_size=5, max_size=40),
    st.integers(0, 5),
)
def test_no_free_text_hides_the_header(tmp_path_factory, texts, more):
    frame = pd.DataFrame({"amount": np.arange(len(texts)) + 0.25, "note": texts, "is_fraud": 0})
    path = tmp_path_factory.mktemp("text") / "a.csv"
    frame.to_csv(path, index=False)
    assert csv_format(str(path), CsvFormat()).skip_lines == 0
    # and rows with fields too many are for a person to see
    path.write_text("time,amount,is_fraud\n" + "\n".join(f"{n},0.25,1{',x' * more}" for n in range(20)))
    written = csv_format(str(path), CsvFormat())
    assert (written.skip_lines, written.unnamed) == (0, None)


def test_a_field_too_many_in_each_row_moves_no_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,amount,is_fraud\n" + "\n".join(f"{7 * n},{n},42,{int(n % 9 == 0)}" for n in range(50)))
    with pytest.raises(InputError, match="line 2: 4 fields, expected 3"):
        propose(str(path))


def test_a_mark_in_the_label_is_no_value_even_where_no_value_means_something(tmp_path):
    labels = np.where(FRAUD == 1, "X1", "").astype(object)
    labels[5:9] = "?"
    path = tmp_path / "a.csv"
    labelled(is_fraud=labels).to_csv(path, index=False)
    columns = propose(str(path), Choices(fraud_values=("X1",))).columns
    assert columns.missing["is_fraud"] == ("?",)
    (batch,) = read_batches(str(path), columns)
    assert batch.num_rows == ROWS - 4


@pytest.mark.parametrize("value", ["2024.05.01-1030", "01.05.2024-1030"])
def test_a_clock_after_a_dash_is_no_offset(tmp_path, value):
    proposal = proposed(tmp_path, labelled(is_fraud=FRAUD, time=[value] * (ROWS - 1) + [value.replace("05", "06")]))
    assert proposal.columns.time is None or not proposal.columns.time_format.endswith("%z")


DAYS = pd.date_range("2024-01-01", periods=ROWS, freq="37min")


@pytest.mark.parametrize("name", ["dob", "birth_date", "dateOfBirth", "card_expiry", "valid_until", "signup_time"])
def test_a_date_that_is_never_the_transaction_s_is_not_its_time(tmp_path, name):
    proposal = proposed(tmp_path, labelled(is_fraud=FRAUD, **{name: DAYS.strftime("%Y-%m-%d")}))
    assert proposal.columns.time is None
    assert any("the split is random" in doubt for doubt in proposal.doubts)


def test_the_only_time_is_taken_with_a_word_where_it_is_another_event_s(tmp_path):
    clock = {"settle_date": DAYS.strftime("%Y-%m-%d"), "clock": DAYS.strftime("%H:%M:%S")}
    posting = {"posting_time": DAYS.astype(str)}
    due = {"payment_due_date": DAYS.astype(str)}
    for name, columns in (("posting_time", posting), ("settle_date", clock), ("payment_due_date", due)):
        proposal = proposed(tmp_path, labelled(is_fraud=FRAUD, **columns))
        assert proposal.columns.time
        assert any(doubt.startswith(f"{name}: by its name not the time") for doubt in proposal.doubts)
    garbled = {"tx_time": [f"/Date({row})/" for row in range(ROWS)], "posting_time": DAYS.astype(str)}
    proposal = proposed(tmp_path, labelled(is_fraud=FRAUD, **garbled))
    assert any(doubt.startswith("tx_time cannot be read as a time") for doubt in proposal.doubts)


@pytest.mark.parametrize("place", [5, 1_500])
def test_a_header_among_the_rows_is_named_with_its_line(tmp_path, place):
    frame = labelled(is_fraud=np.where(FRAUD == 1, "yes", "no"), kind="a")
    header, *rows = frame.to_csv(index=False).splitlines()
    path = tmp_path / "a.csv"
    path.write_text("\n".join([header, *rows[:place], header, *rows[place:]]))
    with pytest.raises(InputError, match=f"line {place + 2:,} holds the columns' names once more"):
        propose(str(path))


def test_categories_called_as_their_columns_are_no_header(tmp_path):
    named = {name: [name, "other"] * (ROWS // 2) for name in ("mobile", "online")}
    frame = labelled(is_fraud=FRAUD, **named, amount=np.arange(ROWS) + 0.5, kind=["a", "b"] * (ROWS // 2))
    assert {"mobile", "online"} <= set(proposed(tmp_path, frame).columns.categorical)


@pytest.mark.parametrize("mark", ["1970-01-01 00:00:00", "1900-01-01 00:00:00", "2099-12-31 00:00:00"])
def test_a_placeholder_is_no_time(tmp_path, mark):
    times = DAYS.astype(str).to_numpy(object)
    times[7:40] = mark
    proposal = proposed(tmp_path, labelled(is_fraud=FRAUD, time=times))
    assert proposal.columns.missing == {"time": (mark,)}
    assert any(f"33 rows without a time that can be read, such as '{mark}'" in doubt for doubt in proposal.doubts)


@pytest.mark.parametrize(
    ("values", "years"),
    [
        (23_376 + np.arange(ROWS) // 50, "1964 to 1964"),  # days since 1960
        (2_020_000_000_000 + np.arange(ROWS) * 60_000, "2034 to 2034"),
        (3_913_000_000 + np.arange(ROWS), "2094 to 2094"),  # seconds since 1900
    ],
)
def test_a_time_of_other_years_is_said(tmp_path, values, years):
    proposal = proposed(tmp_path, labelled(is_fraud=FRAUD, trans_date=values))
    assert any(f"its times are of the years {years}" in doubt for doubt in proposal.doubts)


def test_year_month_day_and_hour_are_one_time(tmp_path):
    parts = {"year": DAYS.year, "month": DAYS.month, "day": DAYS.day, "hour": DAYS.hour}
    columns = proposed(tmp_path, labelled(is_fraud=FRAUD, **parts)).columns
    assert (columns.time_format, columns.time_parts) == ("%Y %m %d %H", tuple(parts))


def test_versions_and_codes_that_hardly_repeat_are_no_quantities(tmp_path):
    rng = np.random.default_rng(8)
    frame = labelled(
        is_fraud=FRAUD,
        app_version=rng.choice(["1.1", "1.10", "2.0"], ROWS),
        account=rng.permutation(ROWS) + 10_000,
        zip=rng.permutation(ROWS) + 10_000,
    )
    columns = proposed(tmp_path, frame).columns
    assert columns.categorical == {"app_version": "string"}
    assert (columns.entities, columns.ignore) == (("account",), ("zip",))


def test_amounts_with_leading_zeros_and_credits_are_said(tmp_path):
    amounts = [f"{amount:012d}" for amount in np.random.default_rng(9).integers(1, 10**6, ROWS)]
    proposal = proposed(tmp_path, labelled(is_fraud=FRAUD, amount=amounts, drcr=["C", "D"] * (ROWS // 2)))
    assert proposal.columns.amount == "amount"
    assert any("leading zeros" in doubt for doubt in proposal.doubts)
    assert any(doubt.startswith("drcr seems to tell credits") for doubt in proposal.doubts)


@pytest.mark.parametrize("values", [[0, 1, -1], [0, 1, 2, 3]])
def test_a_label_of_other_numbers_is_asked_for(tmp_path, values):
    labels = np.where(np.arange(ROWS) % 50 == 3, np.arange(ROWS) // 50 % len(values), 0)
    with pytest.raises(InputError, match="--fraud-value"):
        proposed(tmp_path, labelled(is_fraud=np.array(values)[labels]))


def test_9999_far_above_all_others_is_missing(tmp_path):
    score = np.random.default_rng(10).integers(300, 800, ROWS)
    score[::9] = 9999
    proposal = proposed(tmp_path, labelled(is_fraud=FRAUD, score=score))
    assert proposal.columns.missing == {"score": ("9999",)}


def test_three_decimals_after_a_comma_beside_semicolons_are_decimals(tmp_path):
    rng = np.random.default_rng(11)
    amounts = [f"{amount:.3f}".replace(".", ",") for amount in rng.uniform(1, 99, ROWS)]
    path = tmp_path / "a.csv"
    labelled(is_fraud=FRAUD, amount=amounts).to_csv(path, index=False, sep=";")
    written = propose(str(path)).columns.numbers["amount"]
    assert (written.decimal, written.thousands) == (",", "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04\0\0", "a spreadsheet or a zip archive"),
        (b"PAR1\x15\x04", "ends in .parquet"),
        (b"\x1f\x8b\x08\0", "ends in .csv.gz"),
        (b'{"a": 1}\n{"a": 2}\n', "JSON"),
    ],
)
def test_another_file_that_is_named_like_csv_is_called_what_it_is(tmp_path, content, words):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"is named like CSV, but it is .*{words}"):
        propose(str(tmp_path / "a.csv"))


@pytest.mark.parametrize(("name", "delimiter"), [("a.tsv", "\t"), ("a.txt", ";"), ("a.csv", "\x01")])
def test_text_of_other_names_and_delimiters(tmp_path, name, delimiter):
    labelled(is_fraud=FRAUD, kind=["a", "b"] * (ROWS // 2)).to_csv(tmp_path / name, index=False, sep=delimiter)
    assert propose(str(tmp_path / name)).columns.csv.delimiter == delimiter
