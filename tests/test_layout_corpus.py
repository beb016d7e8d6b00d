"""The corpus of layouts is as it says: columns, ways of writing, frauds enough, and something to learn from them."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from xgboost import XGBClassifier

from tests.support import formats
from tests.support.formats import Table, tables
from tests.support.layouts import FURTHER, LAYOUTS, Drawn, Layout

EVERY = LAYOUTS + FURTHER
HEADERS = {
    "paysim": "step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,newbalanceDest,isFraud,"
    "isFlaggedFraud",
    "sparkov": ",trans_date_trans_time,cc_num,merchant,category,amt,first,last,gender,street,city,state,zip,lat,long,"
    "city_pop,job,dob,trans_num,unix_time,merch_lat,merch_long,is_fraud",
    "banksim": "step,customer,age,gender,zipcodeOri,merchant,zipMerchant,category,amount,fraud",
    "tabformer": "User,Card,Year,Month,Day,Time,Amount,Use Chip,Merchant Name,Merchant City,Merchant State,Zip,MCC,"
    "Errors?,Is Fraud?",
    "handbook": "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_TIME_SECONDS,TX_TIME_DAYS,TX_FRAUD,"
    "TX_FRAUD_SCENARIO",
    "upi": "transaction id,timestamp,transaction type,merchant_category,amount (INR),transaction_status,"
    "sender_age_group,receiver_age_group,sender_state,sender_bank,receiver_bank,device_type,network_type,fraud_flag,"
    "hour_of_day,day_of_week,is_weekend",
    "ecommerce": "user_id,signup_time,purchase_time,purchase_value,device_id,source,browser,sex,age,ip_address,class",
}


def by_layout(layouts: tuple[Layout, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("layout", layouts, ids=lambda layout: layout.name)


def lines(layout: Layout, folder) -> list[list[str]]:
    """The file by the csv module alone."""
    path = layout.write(folder)
    return list(csv.reader(path.read_text().splitlines(), delimiter=layout.dialect.get("sep", ",")))


def features(layout: Layout, drawn: Drawn) -> np.ndarray:
    """What a model may learn from."""
    columns = {}
    for name in drawn.frame:
        values, roles = drawn.frame[name], layout.acceptable(name)
        if "numeric" in roles:
            columns[name] = pd.to_numeric(values, errors="coerce")
        elif roles & {"string", "integer"} and values.nunique() < 200:
            columns[name] = pd.factorize(values)[0]
    if drawn.amount is not None:
        columns["amount"] = drawn.amount
    if drawn.time is not None:
        columns["hour"] = drawn.time // formats.HOUR % 24
    return pd.DataFrame(columns).to_numpy(np.float64)


def test_there_are_eleven_layouts():
    assert len(LAYOUTS) == 11
    assert len({layout.name for layout in EVERY}) == len(EVERY)


@by_layout(EVERY)
def test_every_column_has_right_roles(layout):
    drawn = layout.draw(300, 1)
    columns = list(drawn.frame)
    roles = {column: layout.acceptable(column) for column in columns}
    for role, column in (("label", layout.label), ("time", layout.time), ("amount", layout.amount), ("id", layout.id)):
        assert [name for name, right in roles.items() if right == {role}] == [column] * (column is not None)
    assert tuple(name for name, right in roles.items() if right == {"time_part"}) == layout.time_parts
    assert bool(layout.time_formats) == (layout.time is not None)
    assert set(layout.missing) <= set(columns)
    assert not {layout.label, *layout.time_parts} - set(layout.never_numeric(columns))


@by_layout(EVERY)
def test_the_file_holds_what_was_drawn(layout, tmp_path):
    drawn = layout.draw(layout.rows, 0)
    header, *rows = lines(layout, tmp_path) if layout.dialect.get("header", True) else [[], *lines(layout, tmp_path)]
    assert header == (list(drawn.frame) if header else [])
    assert ",".join(header) == HEADERS.get(layout.name, ",".join(header))
    assert {len(row) for row in rows} == {drawn.frame.shape[1]}
    assert len(rows) == layout.rows
    labels = [row[list(drawn.frame).index(layout.label)] for row in rows]
    fraud = layout.fraud or ("1",)
    assert [word in fraud for word in labels] == list(drawn.label == 1)
    assert set(labels) <= {*fraud, *(layout.legitimate or ("0",))}


@by_layout(EVERY)
def test_another_seed_draws_other_values(layout):
    one, same, other = (layout.draw(200, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one.frame, same.frame)
    assert not one.frame.equals(other.frame)


@by_layout(EVERY)
def test_frauds_can_be_learned_but_not_perfectly(layout):
    drawn = layout.draw(layout.rows, 0)
    assert 0.02 <= drawn.label.mean() <= 0.35
    order = np.arange(layout.rows) if drawn.time is None else np.argsort(drawn.time, kind="stable")
    for part in np.split(drawn.label[order], [layout.rows * 7 // 10, layout.rows * 85 // 100]):
        assert part.sum() >= 10
    scores = np.zeros(layout.rows)
    inputs = features(layout, drawn)
    for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(inputs, drawn.label):
        model = XGBClassifier(n_estimators=40, max_depth=4, n_jobs=1, random_state=0)
        scores[test] = model.fit(inputs[train], drawn.label[train]).predict_proba(inputs[test])[:, 1]
    assert 0.3 <= average_precision_score(drawn.label, scores) <= 0.9


@by_layout(tuple(layout for layout in EVERY if layout.parquet))
def test_parquet_holds_the_same(layout, tmp_path):
    table = pd.read_parquet(layout.write(tmp_path, 200, 3, parquet=True))
    drawn = layout.draw(200, 3).frame
    for name in drawn.select_dtypes(object):  # a missing text is None in the one and NaN in the other
        drawn[name] = [None if pd.isna(value) else value for value in drawn[name]]
        table[name] = [None if pd.isna(value) else value for value in table[name]]
    pd.testing.assert_frame_equal(table, drawn)


# What makes the public files hard


def drawn_as_text(name: str, folder, rows: int = 3_000) -> pd.DataFrame:
    layout = next(layout for layout in EVERY if layout.name == name)
    return pd.read_csv(
        layout.write(folder, rows, 5), dtype=str, sep=layout.dialect.get("sep", ","), keep_default_na=False
    )


def test_traps_of_the_public_files(tmp_path):
    paysim = drawn_as_text("paysim", tmp_path)
    flagged = paysim["isFlaggedFraud"] == "1"
    assert 0 < flagged.sum() < (paysim["isFraud"] == "1").sum()
    assert (paysim["isFraud"][flagged] == "1").all()
    handbook = drawn_as_text("handbook", tmp_path)
    assert ((handbook["TX_FRAUD_SCENARIO"] != "0") == (handbook["TX_FRAUD"] == "1")).all()
    sparkov = drawn_as_text("sparkov", tmp_path)
    assert sparkov["merchant"].str.startswith("fraud_").all()
    assert sparkov["cc_num"].astype(np.int64).max() > 2**53
    assert pd.to_datetime(sparkov["unix_time"].astype(int), unit="s").dt.year.max() < 2015
    banksim = drawn_as_text("banksim", tmp_path)
    assert banksim["customer"].str.fullmatch(r"'C\d+'").all()
    assert "'U'" in set(banksim["age"])
    tabformer = drawn_as_text("tabformer", tmp_path)
    assert tabformer["Amount"].str.fullmatch(r"\$-?\d+\.\d\d").all()
    assert tabformer["Amount"].str.startswith("$-").any()
    assert tabformer["Merchant Name"].str.startswith("-").any()
    assert not tabformer["Year"].astype(int).is_monotonic_increasing
    baf = drawn_as_text("baf", tmp_path)
    assert set(baf["device_fraud_count"]) == {"0"}
    assert (baf["bank_months_count"] == "-1").mean() > 0.1
    shop = drawn_as_text("ecommerce", tmp_path)
    assert (shop["signup_time"] < shop["purchase_time"]).all()
    assert shop["ip_address"].str.contains(".", regex=False).all()
    spreadsheet = drawn_as_text("sparkov_spreadsheet", tmp_path)
    assert spreadsheet["trans_date_trans_time"].str.fullmatch(r"4\d{4}\.\d{9}").all()
    assert spreadsheet["cc_num"].str.contains("E+", regex=False).all()
    assert drawn_as_text("ieee_cis_wide", tmp_path, 50).shape == (50, 434)
    assert b'"Class"' in LAYOUTS[-1].write(tmp_path, 50).read_bytes().splitlines()[0]


# Ways of writing


def read_back(table: Table, folder) -> list[list[str]]:
    dialect = table.dialect
    text = table.write(folder).read_bytes().decode(dialect.encoding)
    for line in dialect.before:
        text = text.removeprefix(line + dialect.line_break)
    records = list(csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter, quotechar=dialect.quote))
    width = len(table.texts)
    if dialect.names_rows:
        return [records[0], *(record[1:] for record in records[1:])]
    return [record[:width] if record[width:] == [""] * dialect.ends_with_delimiter else record for record in records]


@pytest.mark.parametrize("table", formats.each(), ids=repr)
def test_each_way_of_writing_means_what_it_says(table, tmp_path):
    assert table.can_be_written or "€" in repr(table)
    rows = read_back(table, tmp_path)
    assert rows == [
        *([list(table.texts)] if table.dialect.header else []),
        *map(list, zip(*table.texts.values(), strict=True)),
    ]
    assert {len(values) for values in table.values.values()} == {len(table.frame)}
    seconds, usual = table.values[formats.TIME], table.frame[formats.TIME]
    start = formats.START if seconds[0] < formats.START - formats.DAY else 0
    assert 0 <= np.min(usual - start - seconds) <= np.max(usual - start - seconds) < formats.DAY
    form = table.config["columns"].get("time_format", "")
    if "%" in form and formats.TIME in table.texts and not table.time.foreign:  # Python reads the same
        moments = pd.to_datetime(table.texts[formats.TIME], format=form, utc=True)
        np.testing.assert_array_equal(moments.map(pd.Timestamp.timestamp), seconds)


@pytest.mark.parametrize("form", formats.NUMBERS, ids=repr)
def test_numbers_are_written_with_the_marks_that_the_config_names(form):
    frame = formats.base_table(200, 1)
    written = form.apply(frame)
    marks = form.settings.get("numbers", {}).get(formats.AMOUNT, {})
    for text, value in zip(written.texts[formats.AMOUNT], written.values, strict=True):
        plain = text.replace(marks.get("thousands", ""), "") if "thousands" in marks else text
        digits = "".join(c for c in plain.replace(marks.get("decimal", "."), ".") if c in "0123456789.")
        assert float(digits) == abs(value)
        assert (value < 0) == (text.startswith("(") or "-" in text)
    assert (written.values < 0).any()


@given(tables(told=True))
def test_tables_have_what_tells_them_apart(table):
    frame = table.frame
    assert table.can_be_written
    assert frame[formats.TIME].is_monotonic_increasing
    days = pd.to_datetime(frame[formats.TIME], unit="s").dt.day
    assert days.max() > 12
    assert set(frame[formats.LABEL]) == {0, 1}
    assert frame[formats.AMOUNT].abs().max() > 1e6
    assert frame[formats.BALANCE].min() >= 0
    assert set(table.config["columns"]) >= {"label", "time", "amount", "numeric", "entities"}


@given(tables())
def test_what_is_told_by_its_values_alone_is_drawn_unless_asked_for(table):
    assert not table.must_be_told
