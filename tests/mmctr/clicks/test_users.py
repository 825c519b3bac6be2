"""Rows of one user get one number, whatever their ids are written as."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from generated import item_table

from mmctr.clicks.split import load_split
from mmctr.clicks.users import has_column, numbered, user_keys
from mmctr.common.errors import InputError
from mmctr.inputs.layout import HeldOut

TABLE = item_table(np.random.default_rng(0), items=4)
USERS = [70, 3, 70, 2**62, 3, -5]
NUMBERS = [0, 1, 0, 2, 1, 3]


def keys(column):
    return user_keys(column, name="who", first_row=0)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(USERS),
        pa.array(USERS).dictionary_encode(),
        pa.array([str(user) for user in USERS]),
        pa.array([f"ü{user}" for user in USERS], pa.large_string()).dictionary_encode(),
        pa.array([str(user).encode() for user in USERS]),
        pa.array([7.5, 3.0, 7.5, 9.0, 3.0, 5.0]),
        pa.array([7, 3, 7, 2**63 + 1, 3, 5], pa.uint64()),
        pa.array([7, 3, 7, 9, 3, 5], pa.date32()),
    ],
    ids=["int64", "dictionary", "text", "dictionary of text", "bytes", "floats", "uint64", "dates"],
)
def test_equal_ids_are_one_user_in_the_order_in_which_they_appear(column):
    found = numbered(keys(column))
    assert found.tolist() == NUMBERS
    assert found.dtype == np.int32


@pytest.mark.parametrize(
    "column",
    [pa.array([4, None, 4, None]), pa.array(["4", None, "4", ""]), pa.array([4, None, 4, np.nan]), pa.nulls(4)],
)
def test_a_row_without_a_user_is_of_one_of_its_own(column):
    found = numbered(keys(column)).tolist()
    assert len(set(found)) == (4 if column.type == pa.null() else 3)
    shared = set(user_keys(column, name="who", first_row=10)) & set(keys(column))
    assert len(shared) == (0 if column.type == pa.null() else 1)


@pytest.mark.parametrize("column", [pa.array([[1]]), pa.array([{"a": 1}]), pa.array([b"\xff"])])
def test_what_is_no_id_is_refused_with_the_column(column):
    name = "who\n" + "x" * 100_000
    with pytest.raises(InputError, match=r"the column of users \(`user`\) must hold integers or texts") as error:
        user_keys(column, name=name, first_row=0)
    assert len(str(error.value)) < 1000
    assert "\n" not in str(error.value)


def test_numbers_span_chunks_and_files_and_follow_the_rows_that_are_kept(tmp_path):
    frame = pl.DataFrame(
        {
            "who": USERS,
            "item_seq": [[1]] * 6,
            "item_id": [1] * 6,
            "likes_level": [1] * 6,
            "views_level": [1] * 6,
            "label": [0, 1] * 3,
        }
    )
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    frame[:3].write_parquet(files[0], row_group_size=2)
    frame[3:].write_parquet(files[1])
    assert load_split(files, table=TABLE, with_label=True, user="who").user.tolist() == NUMBERS
    assert load_split(files, table=TABLE, with_label=True).user is None
    held = HeldOut(user="who", share=0.5, seed=1, part="valid")
    valid = load_split(files, table=TABLE, with_label=True, user="who", held_out=held)
    assert len(valid.user) == len(valid)
    assert valid.user.tolist() == numbered(valid.user.numpy().astype(np.int64)).tolist()


def test_a_column_that_is_not_there_is_none(tmp_path):
    pl.DataFrame({"who": [1]}).write_parquet(tmp_path / "a.parquet")
    assert [has_column(tmp_path / "a.parquet", name) for name in ("who", "user_id", "")] == [True, False, False]
