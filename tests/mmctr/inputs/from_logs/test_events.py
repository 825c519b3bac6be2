"""Logs of every type and form are read as the same events, or refused with what to do."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmctr.common.errors import InputError
from mmctr.inputs.from_logs.events import Reading, read_events
from mmctr.inputs.from_logs.log_files import find_logs
from mmctr.inputs.from_logs.options import Column, LogFormat

MOMENT = datetime(2024, 5, 1, 12, 0, 1)
MICROSECONDS = int(MOMENT.replace(tzinfo=UTC).timestamp()) * 10**6


def read(path, log=None, **options):
    seen = Reading()
    parts = list(read_events(find_logs([path]), log or LogFormat(**options), seen))
    return pl.concat(parts), seen


def table(path, **columns):
    good = {"user_id": [1, 2], "item_id": [3, 4], "timestamp": [5, 6]}
    pq.write_table(pa.table({**good, **columns}), path)
    return path


IDS = {
    "int8": pa.array([1, 2], pa.int8()),
    "uint64": pa.array([1, 2], pa.uint64()),
    "float": pa.array([1.0, 2.0]),
    "decimal": pa.array([Decimal(1), Decimal(2)]),
}
TEXTS = {
    "string": pa.array(["1", "2"]),
    "large_string": pa.array(["1", "2"], pa.large_string()),
    "string_view": pa.array(["1", "2"], pa.string_view()),
    "dictionary": pa.array(["1", "2"]).dictionary_encode(),
    "binary": pa.array([b"1", b"2"]),
    "large_binary": pa.array([b"1", b"2"], pa.large_binary()),
}


@pytest.mark.parametrize("kind", [*IDS, *TEXTS])
def test_ids_are_numbers_or_text_of_any_type(tmp_path, kind):
    column = {**IDS, **TEXTS}[kind]
    events, _ = read(table(tmp_path / "log.parquet", user_id=column, item_id=column))
    expected = ["1", "2"] if kind in TEXTS else [1, 2]
    assert events["user"].to_list() == events["item"].to_list() == expected


def test_an_enum_of_polars_is_text(tmp_path):
    ids = pl.Series(["b", "a"], dtype=pl.Enum(["a", "b"]))
    pl.DataFrame({"user_id": ids, "item_id": ids, "timestamp": [1, 2]}).write_parquet(tmp_path / "log.parquet")
    assert read(tmp_path / "log.parquet")[0]["item"].to_list() == ["b", "a"]


TIMES = [
    (pa.array([MOMENT], pa.timestamp("ms")), MICROSECONDS // 1000, "ms"),
    (pa.array([MOMENT], pa.timestamp("us")), MICROSECONDS, "us"),
    (pa.array([MOMENT], pa.timestamp("ns")), MICROSECONDS * 1000, "ns"),
    (pa.array([MOMENT.replace(tzinfo=timezone(timedelta(hours=2)))], pa.timestamp("us", "Europe/Berlin")),
     MICROSECONDS - 7200 * 10**6, "us"),
    (pa.array([date(2024, 5, 1)]), 1_714_521_600_000, "ms"),
    (pa.array([1_714_564_801], pa.int32()), 1_714_564_801, "s"),
    (pa.array([1_714_564_801.25]), 1_714_564_801_250_000, "us"),
    (pa.array(["2024-05-01T12:00:01"]), MICROSECONDS, "us"),
    (pa.array(["2024-05-01 12:00:01.5"]), MICROSECONDS + 500_000, "us"),
    (pa.array(["2024-05-01T14:00:01+02:00"]), MICROSECONDS, "us"),
    (pa.array(["2024-05-01T12:00:01Z"]), MICROSECONDS, "us"),
    (pa.array(["2024-05-01 12:00:01 UTC"]), MICROSECONDS, "us"),
    (pa.array(["2024-05-01"]), 1_714_521_600_000_000, "us"),
    (pa.array(["2024-05-01 12:00"]), MICROSECONDS - 10**6, "us"),
    (pa.array(["1714564801"]), 1_714_564_801, "s"),
    (pa.array(["1714564801.25"]), 1_714_564_801_250_000, "us"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "ticks", "unit"), TIMES, ids=lambda value: str(value)[:40] if value else "")
def test_times_of_any_type_count_from_1970(tmp_path, column, ticks, unit):
    events, seen = read(table(tmp_path / "log.parquet", user_id=[1], item_id=[1], timestamp=column))
    assert events["time"].to_list() == [ticks]
    assert seen.clock.unit == unit
    assert "2024-05-01" in seen.clock.shown(ticks)
    assert seen.clock.column(events["time"].to_numpy()).dtype == (
        pl.Int64 if seen.clock.form == "integer" else pl.Datetime(unit, "UTC" if seen.clock.zone else None)
    )


def test_numbers_of_another_unit_and_text_of_another_form(tmp_path):
    events, seen = read(table(tmp_path / "a.parquet", timestamp=[1_714_564_801_250] * 2), time_unit="ms")
    assert seen.clock.shown(events["time"][0]) == "1714564801250 (2024-05-01 12:00:01 UTC)"
    events, _ = read(table(tmp_path / "b.parquet", timestamp=["01.05.2024 12:00"] * 2), time_format="%d.%m.%Y %H:%M")
    assert events["time"].to_list() == [MICROSECONDS - 10**6] * 2


LABELS = [
    (pa.array([True, False]), None),
    (pa.array([1, 0], pa.int8()), None),
    (pa.array([1.0, 0.0]), None),
    (pa.array(["1", "0"]), None),
    (pa.array([4.5, 3.9]), 4.0),
    (pa.array(["5", "3"]), 4.0),
]


@pytest.mark.parametrize(("column", "threshold"), LABELS, ids=str)
def test_labels_of_any_type_and_ratings_are_zero_and_one(tmp_path, column, threshold):
    path = table(tmp_path / "log.parquet", clicked=column)
    events, _ = read(path, label="clicked", positive_from=threshold)
    assert events["label"].to_list() == [1, 0]


@pytest.mark.parametrize(
    ("name", "separator"), [("log.csv", ","), ("log.tsv", "\t"), ("log.inter", "\t"), ("log.csv", ";")]
)
def test_csv_is_text_with_ids_as_written(tmp_path, name, separator):
    lines = ["user,item,when,tags,n", "007,a b,2024-05-01,x y,1.5", '8,"c;d",2024-05-02,,']
    rows = [line.replace(",", separator) for line in lines]
    (tmp_path / name).write_text("\n".join(rows) + "\n")
    context = (Column("tags", "tags"), Column("n", "number"))
    asked = separator if separator == ";" else ""
    events, _ = read(tmp_path / name, user="user", item="item", time="when", context=context, separator=asked)
    assert events["user"].to_list() == ["007", "8"]
    assert events["item"].to_list() == ["a b", "c;d"]
    assert events["context.tags"].to_list() == [["x", "y"], None]
    assert events["context.n"].to_list() == [1.5, None]


def test_a_compressed_csv_and_what_means_nothing(tmp_path):
    with pa.output_stream(str(tmp_path / "log.csv.gz"), compression="gzip") as stream:
        stream.write(b"user_id,item_id,timestamp\nNA,1,5\n2,3,6\n")
    events, seen = read(tmp_path / "log.csv.gz", nulls=("NA",))
    assert events["user"].to_list() == ["2"]
    assert seen.dropped["without user"] == 1


def test_a_log_in_a_folder_a_pattern_and_several_files(tmp_path):
    parts = tmp_path / "part [1]"
    for name in ("day=1/b.parquet", "day=2/a.parquet", "_temporary/c.parquet", ".hidden.parquet"):
        (parts / name).parent.mkdir(parents=True, exist_ok=True)
        table(parts / name)
    (parts / "_SUCCESS").touch()
    found = [parts / "day=1/b.parquet", parts / "day=2/a.parquet"]
    assert find_logs([parts]) == find_logs([parts / "day=1", found[1]]) == found
    assert find_logs([tmp_path / "part*/day=*/*.parquet"]) == found
    assert read(parts)[1].rows == 4


UNREADABLE = pa.StringArray.from_buffers(2, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"\xffa"))
REFUSED = [
    ({"user_id": [1.5, 2]}, {}, "user_id must hold whole numbers below 2^63; 1 of the 2"),
    ({"user_id": pa.array([2**63, 1], pa.uint64())}, {}, "user_id must hold whole numbers below 2"),
    ({"item_id": pa.array([[1], [2]])}, {}, "item_id must hold ids, integers or text; found List"),
    ({"item_id": pa.array([b"\xff", b"a"])}, {}, "must have text in UTF-8"),
    ({"item_id": ["a", "x" * 300]}, {}, "item_id must have ids of at most 256 bytes; 1 of the 2 rows"),
    ({"item_id": UNREADABLE}, {}, "must have text in UTF-8"),
    ({"timestamp": ["2024-05-01", "soon"]}, {}, "timestamp must hold times as %Y-%m-%d, as its first row does; 1 of"),
    ({"timestamp": ["soon", "later"]}, {}, "the first is 'soon'; say its format with --time-format"),
    ({"timestamp": [True, False]}, {}, "must hold times: numbers, dates, or text; found Boolean"),
    ({"timestamp": [1_714_564_801_000] * 2}, {}, "in the unit 's'; say the unit of numbers with --time-unit"),
    ({}, {"user": "visitor"}, "visitor is missing; it has user_id, item_id, timestamp; name the right one with --user"),
    ({}, {"item": "sku"}, "column sku is missing; it has user_id, item_id, timestamp; name the right one with --item"),
    ({}, {"time": "ts"}, "name the right one with --time"),
    ({}, {"label": "click"}, "name the right one with --label"),
    ({}, {"context": (Column("device"),)}, "name the right one with --context"),
    ({"click": [5, 1]}, {"label": "click"}, "row 1 with 5; where it holds ratings, say which are positive"),
    ({"click": [None, 1]}, {"label": "click"}, "click must not be null; 1 of"),
    ({"click": ["yes", "1"]}, {"label": "click"}, "click must hold numbers; 1 of the 2 rows from 1"),
    ({"click": pa.array([[1], [0]])}, {"label": "click"}, "click must hold 0 and 1, or ratings; found List"),
    ({"n": [{"a": 1}] * 2}, {"context": (Column("n"),)}, "n must hold values, or lists of them; found Struct"),
    ({"n": ["1", "\x00many" * 9999]}, {"context": (Column("n", "number"),)}, "n must hold numbers; 1 of the 2 rows"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "options", "message"), REFUSED, ids=[message[:50] for *_, message in REFUSED])
def test_what_cannot_be_used_is_refused_with_where_it_is(tmp_path, columns, options, message):
    path = table(tmp_path / "log.parquet", **columns)
    with pytest.raises(InputError) as refusal:
        read(path, **options)
    assert message in str(refusal.value)
    assert len(str(refusal.value)) < 600


def test_files_of_one_log_have_one_type(tmp_path):
    table(tmp_path / "a.parquet")
    table(tmp_path / "b.parquet", user_id=["1", "2"])
    with pytest.raises(
        InputError, match="user_id must have one type in all files of a log, Int64 before; found String"
    ):
        read(tmp_path)
    table(tmp_path / "b.parquet", timestamp=[MOMENT] * 2)
    with pytest.raises(InputError, match="timestamp must hold whole numbers in all files of a log; found Datetime"):
        read(tmp_path)
    table(tmp_path / "b.parquet", user_id=pa.nulls(2), timestamp=pa.nulls(2))
    assert read(tmp_path)[1].dropped == {"without user": 2, "without item": 0, "without time": 0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"user_id,item_id,timestamp\n1,2\n", "must be CSV with as many values in each row as in its first"),
        (b"user_id,item_id,timestamp\n1,\xff,3\n", "in UTF-8"),
        (b"user_id;item_id;timestamp\n1;2;3\n", "must have commas between its values"),
        (b"user_id;item_id;timestamp\n1;2;3\n", "or say with --separator what is between"),
        (b"", "column user_id is missing; it has none"),
        (b"user_id,item_id,item_id,timestamp\n1,2,3,4\n", "names of columns must be unique"),
        (b"PAR1 and no more", "is not a readable parquet file"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, content, message):
    path = tmp_path / ("log.parquet" if content.startswith(b"PAR1") else "log.csv")
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read(path)
    assert message in str(refusal.value)


def test_places_without_logs_are_named(tmp_path):
    with pytest.raises(InputError, match="absent is missing"):
        find_logs([tmp_path / "absent"])
    with pytest.raises(InputError, match="has no file that ends in"):
        find_logs([tmp_path])
    table(tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("user_id\n")
    with pytest.raises(InputError, match="all parquet or all CSV"):
        find_logs([tmp_path / "a.parquet", tmp_path / "b.csv"])
