import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch
from generated import click_split, din, item_table
from hypothesis import given
from hypothesis import strategies as st

import mmctr.inputs.parquet_chunks
from mmctr.clicks.split import load_split, pack_histories, split_from_lists
from mmctr.common.errors import InputError
from mmctr.evaluation.prediction import predict_probabilities
from mmctr.inputs.columns import history_ids
from mmctr.inputs.tables import read_chunks
from mmctr.inputs.vocabulary import Vocabulary

IDS = [4, 9, 2, 7]
TABLE = item_table(np.random.default_rng(0), items=4)
TABLE = type(TABLE)(Vocabulary(np.array(IDS, dtype=np.int64)), TABLE.weights)
HISTORIES = st.lists(st.lists(st.sampled_from([0, 0, *IDS, 999]), max_size=12), min_size=1, max_size=8)


def packed_by_hand(history, max_len):
    real = [item for item in history if item != 0][-max_len:]
    return [IDS.index(item) + 1 for item in real if item in IDS]


@given(HISTORIES, st.integers(1, 6))
def test_packing_keeps_the_most_recent_real_items_in_order(histories, max_len):
    column = pa.array(histories, pa.list_(pa.int64()))
    packed, kept = pack_histories(*history_ids(column, padding="zero"), table=TABLE, max_len=max_len)
    expected = [packed_by_hand(history, max_len) for history in histories]
    assert packed.tolist() == [item for history in expected for item in history]
    assert kept.tolist() == [len(history) for history in expected]


def write_split(path, histories, *, dtype, **extra):
    rows = len(histories)
    frame = pl.DataFrame(
        {
            "label": pl.Series([row % 2 for row in range(rows)], dtype=pl.Int64),
            "unused": pl.Series(["x"] * rows),
            "item_seq": pl.Series(histories, dtype=dtype),
            "item_id": pl.Series([[9, 7, 1234][row % 3] for row in range(rows)], dtype=pl.Int64),
            "views_level": pl.Series([row % 10 + 1 for row in range(rows)], dtype=pl.Int64),
            "likes_level": pl.Series([3] * rows, dtype=pl.Int64),
        }
    )
    frame.write_parquet(path)


@pytest.mark.parametrize("dtype", [pl.Array(pl.Int64, 5), pl.List(pl.Int64), pl.List(pl.Int32)], ids=str)
def test_reading_in_chunks_from_any_nested_type(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(mmctr.inputs.parquet_chunks, "READ_VALUES", 27)  # 3 rows of 9 values
    monkeypatch.setattr(mmctr.inputs.parquet_chunks, "READ_ROWS_AT_LEAST", 1)
    histories = [[0, 0, 4, 999, 2], [0, 0, 0, 0, 0], [4, 9, 2, 7, 4], [0, 0, 0, 0, 9], [7, 7, 7, 7, 7]]
    write_split(tmp_path / "s.parquet", histories, dtype=dtype)
    split = load_split(tmp_path / "s.parquet", table=TABLE, max_len=4, with_label=True)
    assert split.offsets.diff().tolist() == [2, 0, 4, 1, 4]
    assert split.history.tolist() == [1, 3, 2, 3, 4, 1, 2, 4, 4, 4, 4]
    assert split.target.tolist() == [2, 4, 0, 2, 4]
    assert split.label.tolist() == [0, 1, 0, 1, 0]
    assert split.feature_ids.tolist() == [[3, 1], [3, 2], [3, 3], [3, 4], [3, 5]]
    assert split.feature_numbers.shape == (5, 0)
    assert load_split(tmp_path / "s.parquet", table=TABLE, with_label=False).label is None


def test_ragged_lists_are_read_as_they_are(tmp_path):
    histories = [[], [4], [0, 9, 2], list(IDS) * 30]
    write_split(tmp_path / "s.parquet", histories, dtype=pl.List(pl.Int64))
    split = load_split(tmp_path / "s.parquet", table=TABLE, max_len=64, with_label=True)
    assert split.offsets.diff().tolist() == [0, 1, 2, 64]


@given(st.integers(0, 2**31 - 1), st.integers(1, 70))
def test_batches_in_any_order_hold_the_rows_they_name(seed, batch_size):
    rng = np.random.default_rng(seed)
    table = item_table(rng)
    split = click_split(rng, table, rows=20)
    order = torch.from_numpy(rng.permutation(20))
    straight = [split.history[split.offsets[row] : split.offsets[row + 1]].tolist() for row in range(20)]
    for permutation in (None, order):
        rows = list(range(20)) if permutation is None else order.tolist()
        seen = []
        for batch in split.batches(batch_size, order=permutation):
            histories = [[] for _ in range(len(batch.target))]
            for row, item in zip(batch.row.tolist(), batch.history.tolist(), strict=True):
                histories[row].append(item)
            seen += list(zip(histories, batch.target.tolist(), batch.label.tolist(), strict=True))
        expected = [(straight[row], split.target[row].item(), split.label[row].item()) for row in rows]
        assert seen == expected


def test_rows_in_memory_are_packed_as_rows_in_a_file_are(tmp_path):
    histories = [[0, 4, 9], [0, 0, 0], [2, 999, 7]]
    write_split(tmp_path / "s.parquet", histories, dtype=pl.List(pl.Int64))
    read = load_split(tmp_path / "s.parquet", table=TABLE, with_label=False)
    columns = {"item_seq": histories, "item_id": [9, 7, 1234], "likes_level": [3, 3, 3], "views_level": [1, 2, 3]}
    made = split_from_lists(columns, table=TABLE, max_len=64)
    assert all(torch.equal(vars(read)[name], vars(made)[name]) for name in vars(read) if name not in ("label", "user"))


def rows_of(histories, **columns):
    good = {name: np.ones(len(histories), dtype=np.int64) for name in ("item_id", "likes_level", "views_level")}
    return split_from_lists({"item_seq": histories, **good, **columns}, table=TABLE, max_len=64)


@pytest.mark.parametrize("dtype", [np.int64, object], ids=str)
def test_no_rows_in_memory_are_an_empty_split_without_predictions(dtype):
    nothing = np.zeros(0, dtype=dtype)
    split = rows_of([], item_id=nothing, likes_level=nothing, views_level=nothing)
    assert (len(split), split.offsets.tolist(), split.history.tolist()) == (0, [0], [])
    probabilities = predict_probabilities(din(TABLE), split, batch_size=4)
    assert (probabilities.shape, probabilities.dtype) == ((0,), np.float32)


@pytest.mark.parametrize("level", [-1, 20, 2**40, float("nan")])
@pytest.mark.parametrize("name", ["likes_level", "views_level"])
def test_a_level_that_the_model_has_no_row_for_is_named(name, level):
    with pytest.raises(InputError) as error:
        rows_of([[4], [9]], **{name: np.array([19, level])})
    assert f"{name} must be in 0..19, row 2 has {level}; leave out" in str(error.value)


def test_longer_lists_are_read_fewer_rows_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(mmctr.inputs.parquet_chunks, "READ_VALUES", 1000)
    monkeypatch.setattr(mmctr.inputs.parquet_chunks, "READ_ROWS_AT_LEAST", 2)
    read = {}
    for length in (4, 96, 5000):
        write_split(tmp_path / "s.parquet", [[1] * length] * 300, dtype=pl.Array(pl.Int64, length))
        chunks = list(read_chunks(tmp_path / "s.parquet", columns=["item_seq", "item_id"]))
        assert sum(map(len, chunks)) == 300
        read[length] = max(map(len, chunks))
    assert read == {4: 200, 96: 10, 5000: 2}
