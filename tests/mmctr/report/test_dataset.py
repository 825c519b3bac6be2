"""Every figure of the report against data whose answer is known, and against slow loops."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from project import FIXTURES

from flows.cli.check_report import as_json, as_text
from mmctr.common.errors import InputError
from mmctr.report.dataset import report_dataset
from mmctr.report.row_hash import count_distinct, hash_lists, is_among
from mmctr.report.splits import Lengths

ARCHIVE = FIXTURES / "rar" / "plain_store_py.rar"  # images 1, 2 and 3 of items


def frame(rows, *, role, users=None):
    """Rows of (history, target, likes, views, label)."""
    columns = {
        "user_id": users,
        "item_seq": pl.Series([row[0] for row in rows], dtype=pl.List(pl.Int64)),
        **{name: [row[at] for row in rows] for at, name in enumerate(("item_id", "likes_level", "views_level"), 1)},
    }
    columns |= {"ID": list(range(len(rows)))} if role == "test" else {"label": [row[4] for row in rows]}
    return pl.DataFrame({name: values for name, values in columns.items() if values is not None})


TRAIN = [
    ([0, 0, 1, 2], 3, 1, 1, 1),
    ([1, 2], 3, 1, 1, 1),
    ([2, 1], 3, 1, 1, 0),
    ([], 9, 0, 19, 0),
    ([9, 9, 1], 1, 5, 5, 0),
]
VALID = [([1, 2], 3, 7, 7, 0), ([1], 2, 1, 1, 1), ([0], 2, 1, 1, 1), ([1], 4, 11, 1, 0)]
TEST = [([1, 2], 3, 1, 1), ([1], 2, 1, 1), ([3], 8, 1, 1)]


@pytest.fixture
def base(tmp_path):
    (tmp_path / "MicroLens_1M_x1").mkdir()
    shutil.copy(ARCHIVE, tmp_path / "item_images_2.rar")
    titles = ["one", None, " \t", "four", None]
    pl.DataFrame({"item_id": [1, 2, 3, 1000, 1001], "item_title": titles}).write_parquet(
        tmp_path / "item_feature.parquet"
    )
    put(tmp_path, "train", frame(TRAIN, role="train", users=[1, 1, 2, 3, 4]))
    put(tmp_path, "valid", frame(VALID, role="valid", users=[5, 5, 1, None]))
    put(tmp_path, "test", frame(TEST, role="test", users=[6, 5, 3]))
    return tmp_path


def put(base, role, table):
    table.write_parquet(base / f"MicroLens_1M_x1/{role}.parquet")


def test_every_figure(base):
    report = report_dataset(base)
    images = report.files["images"].rows
    assert {role: file.rows for role, file in report.files.items()} == {
        "items": 5,
        "images": images,
        "train": 5,
        "valid": 4,
        "test": 3,
    }
    assert report.files["train"].bytes == (base / "MicroLens_1M_x1/train.parquet").stat().st_size
    found = report.coverage
    assert (found.items, found.with_image, found.with_title, found.with_both, found.with_neither) == (5, 3, 2, 1, 1)
    assert (found.images_of_unknown_items, found.members_that_are_no_image) == (images - 3, 0)

    train, valid, test = (report.splits[name] for name in ("train", "valid", "test"))
    assert (train.rows, train.label_rate, valid.label_rate, test.label_rate) == (5, 0.4, 0.5, None)
    assert train.history_length == Lengths(min=0, q25=2, median=2, q75=2, max=3, mean=1.8, empty=1)
    assert valid.history_length.empty == 1
    assert train.unknown_history_share == pytest.approx(2 / 9)
    assert (train.unknown_target_share, valid.unknown_target_share) == (0.2, 0.25)
    assert (train.cold_target_rows, train.cold_target_items) == (None, None)
    assert (valid.cold_target_rows, valid.cold_target_items) == (3, 2)
    assert (test.cold_target_rows, test.cold_target_items) == (2, 2)
    likes, views = (train.features[name] for name in ("likes_level", "views_level"))
    assert (likes.smallest, likes.largest, likes.distinct, likes.unknown_share) == (0, 5, 3, None)
    assert (views.smallest, views.largest, views.distinct, views.missing_share) == (1, 19, 3, 0)
    assert valid.features["likes_level"].unknown_share == 0.5  # of 7, 1, 1 and 11
    assert (valid.features["views_level"].smallest, valid.features["views_level"].largest) == (1, 7)
    assert train.duplicate_rows == 1  # the first two rows differ in padding only
    assert valid.duplicate_rows == 0
    assert (train.rows_also_in, valid.rows_also_in) == ({}, {"train": 1})
    assert test.rows_also_in == {"train": 1, "valid": 2}
    assert (train.users, valid.users, test.users) == (4, 2, 3)
    assert (valid.users_also_in, test.users_also_in) == ({"train": 1}, {"train": 1, "valid": 1})


def test_rows_that_differ_in_one_column_are_no_repetition(base):
    row = ([1, 2], 3, 1, 1, 1)
    rows = [row, ([2, 1], *row[1:]), (row[0], 2, 1, 1, 1), (row[0], 3, 2, 1, 1), (row[0], 3, 1, 2, 1), (*row[:4], 0)]
    put(base, "train", frame(rows, role="train"))
    assert report_dataset(base).splits["train"].duplicate_rows == 0
    put(base, "train", frame([*rows, row], role="train"))
    assert report_dataset(base).splits["train"].duplicate_rows == 1
    put(base, "train", frame([*rows, row], role="train", users=[*range(7)]))
    assert report_dataset(base).splits["train"].duplicate_rows == 0


@pytest.mark.parametrize("kind", [pl.Array(pl.Int32, 2), pl.List(pl.UInt8), pl.List(pl.Int64)], ids=str)
def test_the_kind_of_list_and_integer_changes_nothing(base, kind):
    wide = [([0, 1], 3, 1, 1, 1), ([1, 2], 1, 1, 1, 0), ([0, 1], 3, 1, 1, 1)]
    put(base, "train", frame(wide, role="train"))
    expected = report_dataset(base).splits
    put(base, "train", frame(wide, role="train").with_columns(pl.col("item_seq").cast(kind)))
    assert report_dataset(base).splits == expected
    assert expected["train"].duplicate_rows == 1


def test_users_may_be_absent_or_of_kinds_that_cannot_be_compared(base):
    put(base, "valid", frame(VALID, role="valid"))
    put(base, "test", frame(TEST, role="test", users=["a", "b", "a"]))
    splits = report_dataset(base).splits
    assert (splits["valid"].users, splits["valid"].users_also_in) == (None, {"train": None})
    assert (splits["test"].users, splits["test"].users_also_in) == (2, {"train": None, "valid": None})
    put(base, "test", frame(TEST, role="test", users=[[1], [2], [3]]))
    assert report_dataset(base).splits["test"].users is None


def test_more_rows_than_are_read_at_a_time(base, monkeypatch):
    monkeypatch.setattr("mmctr.inputs.parquet_chunks.READ_VALUES", 1000)
    rows = pl.concat([frame(TRAIN, role="train")] * 1000)
    put(base, "train", rows)
    train = report_dataset(base).splits["train"]
    assert (train.rows, train.duplicate_rows) == (len(rows), len(rows) - 4)
    assert train.history_length.mean == pytest.approx(1.8)


def test_what_is_wrong_comes_before_any_report(base):
    put(base, "valid", frame(VALID, role="valid").drop("label"))
    with pytest.raises(InputError, match="column label is missing"):
        report_dataset(base)
    put(base, "valid", frame(VALID, role="valid"))
    with pytest.raises(InputError, match="at least 6 items"):
        report_dataset(base, min_items=6)
    (base / "item_images_2.rar").write_bytes(ARCHIVE.read_bytes()[:2000])
    with pytest.raises(InputError, match="cut off or damaged"):
        report_dataset(base)


def test_text_and_json_say_the_same(base):
    report = report_dataset(base)
    lines = as_text(report).splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line[:30].strip(): line[30:].split() for line in lines if line.startswith("  ")}
    assert rows["label is 1"] == ["40.0%", "50.0%", "-"]
    assert rows["rows with such a target"] == ["-", "3", "2"]
    assert rows["unknown target items"] == ["20.0%", "25.0%", "33.3%"]
    assert rows["rows also in valid *"] == ["-", "-", "2"]
    found = json.loads(as_json(report))
    assert found["splits"]["test"]["label_rate"] is None
    assert found["splits"]["valid"]["cold_target_rows"] == 3
    assert found["files"]["train"]["path"].endswith("train.parquet")


@given(st.lists(st.lists(st.integers(1, 4), max_size=4), max_size=30))
def test_lists_have_one_hash_exactly_when_they_are_equal(lists):
    lengths = np.array([len(one) for one in lists], dtype=np.int64)
    hashes = hash_lists(np.array([entry for one in lists for entry in one], dtype=np.int64), lengths)
    assert len(hashes) == len(lists)
    assert count_distinct(np.sort(hashes)) == len({tuple(one) for one in lists})


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9), min_size=1))
def test_is_among(numbers, others):
    assert is_among(np.array(numbers, int), np.sort(others)).tolist() == [number in others for number in numbers]
