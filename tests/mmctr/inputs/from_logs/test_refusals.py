"""What cannot be prepared is refused with the rule, the value and the remedy, and leaves nothing."""

import polars as pl
import pytest
from raw_logs import prepared, random_log

from mmctr.common.errors import InputError
from mmctr.inputs.from_logs.options import Column, ItemFormat, LogFormat, Request, Rules
from mmctr.inputs.from_logs.prepare import prepare_logs

LABELLED = LogFormat(label="label")
OPTIONS = [
    (LogFormat(), {}, "name the column of labels with --label, or, where each event is a positive, have negatives"),
    (LABELLED, {"negatives": 3}, "this one has labels (label); leave out either --negatives or --label"),
    (LogFormat(), {"negatives": -1}, "--negatives must be a whole number from 0 to 100; found -1"),
    (LABELLED, {"max_len": 0}, "--max-len must be a whole number from 1 to 10000; found 0"),
    (LABELLED, {"max_len": 3, "min_history": 4}, "--min-history must be a whole number from 0 to 3; found 4"),
    (LABELLED, {"last": -1}, "--last must be a whole number from 0"),
    (LABELLED, {"seed": 2**63}, "--seed must be a whole number from 0"),
    (LABELLED, {"valid": 0.0}, "--valid and --test are shares above 0 that leave some for train"),
    (LABELLED, {"valid": 0.5, "test": 0.5}, "such as 0.1; found 0.5 and 0.5"),
    (LABELLED, {"valid_from": "2024-05-01"}, "--valid-from and --test-from, go together; found --split time"),
    (LABELLED, {"split": "users", "valid_from": "1", "test_from": "2"}, "go together; found --split users"),
    (LABELLED, {"valid_from": "soon", "test_from": "later"}, "--valid-from must be a time such as 2024-05-31"),
    (LABELLED, {"valid_from": "2024-05-02", "test_from": "2024-05-01"}, "test begins after valid; found --valid-from"),
    (LABELLED, {"valid_from": "1", "test_from": "9" * 19}, "each split needs events; train has none"),
    (LABELLED, {"valid_from": "2024-05-02", "test_from": "2024-05-03"}, "each split needs events; valid has none"),
    (LABELLED, {"min_history": 60}, "each split needs rows of both classes; train has 0 rows"),
    (LogFormat(label="label", positive_from=9), {}, "train has negatives alone in"),
    (LogFormat(label="label", positive_from=float("nan")), {}, "--positive-from must be a number; found nan"),
    (LogFormat(positive_from=4), {"negatives": 1}, "name that column with --label"),
    (LogFormat(user="item_id"), {"negatives": 1}, "item_id is named more than once"),
    (LogFormat(separator=";;"), {"negatives": 1}, "--separator must be one ASCII character, such as ';'; found ';;'"),
    (LogFormat(tag_separator=""), {"negatives": 1}, "--tag-separator must be a text"),
    (LogFormat(context=(Column("history"),)), {"negatives": 1}, "the output has a column history of its own"),
]


@pytest.mark.parametrize(("log_format", "rules", "message"), OPTIONS, ids=[message[:50] for *_, message in OPTIONS])
def test_options_that_cannot_be_used(tmp_path, log_format, rules, message):
    with pytest.raises(InputError) as refusal:
        prepared(tmp_path, random_log(), log_format=log_format, **rules)
    assert message in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]


def test_too_few_users_for_a_split_by_users(tmp_path):
    with pytest.raises(InputError, match="each split needs users; valid has none of 2; choose other shares"):
        prepared(tmp_path, random_log(users=2).drop("label", "device"), split="users")


def test_more_negatives_than_there_are_items(tmp_path):
    log = random_log(items=5).drop("label", "device")
    with pytest.raises(InputError, match="--negatives must be less than the number of items in train; found 5 with 5"):
        prepared(tmp_path, log, negatives=5)
    with pytest.raises(InputError, match="each positive needs 2 different items that its user has no event with; in"):
        prepared(tmp_path, log, negatives=2)


def test_a_log_without_one_whole_event(tmp_path):
    log = random_log().drop("label", "device").with_columns(user_id=pl.lit(None, pl.Int64))
    with pytest.raises(InputError, match="user, item and time; none of its 600 rows has all three"):
        prepared(tmp_path, log)
    with pytest.raises(InputError, match="none of its 0 rows"):
        prepared(tmp_path, log[:0])


def test_the_output_goes_to_a_folder_that_is_new_or_empty(tmp_path):
    log = random_log()
    (tmp_path / "out").mkdir()
    prepared(tmp_path, log, log_format=LABELLED)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"--out must be a new or an empty folder; .*out is neither"):
        prepared(tmp_path, log, log_format=LABELLED)
    with pytest.raises(InputError, match=r"--out must be below folders; .*log.parquet is a file"):
        prepare_logs([tmp_path / "log.parquet"], tmp_path / "log.parquet/a/b", Request(LABELLED))
    assert sorted(tmp_path.rglob("*")) == before


def with_items(folder, log, table: pl.DataFrame | str, **items: object):
    folder.mkdir(exist_ok=True)
    log.write_parquet(folder / "log.parquet")
    path = folder / ("table.csv" if isinstance(table, str) else "table.parquet")
    if isinstance(table, str):
        path.write_text(table)
    else:
        table.write_parquet(path)
    request = Request(LABELLED, ItemFormat(path, **items), Rules())
    prepare_logs([folder / "log.parquet"], folder / "out", request, progress=False)
    return path


def test_an_item_table_of_parquet_is_copied_as_it_is_and_decides_what_ids_are(tmp_path):
    log = random_log()
    table = pl.DataFrame({"sku": [str(5 * item) for item in range(39)], "name": "a", "vector": [[1.0, 2.0]] * 39})
    path = with_items(tmp_path, log, table, item_id="sku", title="name")
    assert (tmp_path / "out/items.parquet").read_bytes() == path.read_bytes()
    assert pl.read_parquet(tmp_path / "out/train.parquet").schema["history"] == pl.List(pl.String)
    assert '"unknown_items": 1,' in (tmp_path / "out/prepare.json").read_text()


def test_an_item_table_of_csv_becomes_parquet_with_what_was_declared(tmp_path):
    log = random_log().with_columns(pl.col("item_id").cast(pl.String))
    lines = ["item_id,year,genres", *(f"{5 * item},{1990 + item if item else ''},drama war" for item in range(40))]
    features = (Column("year", "number"), Column("genres", "tags"))
    with_items(tmp_path, log, "\n".join(lines), features=features)
    table = pl.read_parquet(tmp_path / "out/items.parquet")
    assert table.schema == {"item_id": pl.String, "year": pl.Float64, "genres": pl.List(pl.String)}
    assert table.row(0) == ("0", None, ["drama", "war"])


ITEMS = pl.DataFrame({"item_id": range(0, 200, 5)})
TABLES = [
    (ITEMS.with_columns(item_id=pl.col("item_id") + 1), {}, "must have the items of the log; it has none of 40"),
    (ITEMS, {"item_id": "sku"}, "column sku is missing; it has item_id; name the right one with --items-id"),
    (ITEMS, {"title": "name"}, "name the right one with --title"),
    (ITEMS, {"features": (Column("year", "number"),)}, "name the right one with --item-feature"),
    (pl.concat([ITEMS, ITEMS[:1]]), {}, "item_id must name an item in one row alone; 1 of the 41 rows"),
    (ITEMS.with_columns(item_id=None), {}, "item_id must not be null; 40 of the 40 rows"),
    (ITEMS[:0], {}, "--items must have rows"),
    ("item_id,year\n5,long ago\n", {"features": (Column("year", "number"),)}, "year must hold numbers; 1 of the 1"),
]


@pytest.mark.parametrize(("table", "items", "message"), TABLES, ids=[message[:50] for *_, message in TABLES])
def test_item_tables_that_cannot_be_used(tmp_path, table, items, message):
    with pytest.raises(InputError) as refusal:
        with_items(tmp_path, random_log(), table, **items)
    assert message in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_ids_of_a_log_that_are_no_integers_as_the_table_has(tmp_path):
    log = random_log().with_columns(item_id=pl.format("i{}", "item_id"))
    with pytest.raises(InputError, match=r"item_id must hold integers, as the item table does; .* 'i"):
        with_items(tmp_path, log, ITEMS)
    request = Request(LABELLED, ItemFormat(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"--items must be a parquet or CSV file; .*absent is none"):
        prepare_logs([tmp_path / "log.parquet"], tmp_path / "out", request)
