import hashlib
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmctr.inputs.vocabulary
from mmctr.clicks.feature_encoding import Encoded
from mmctr.clicks.item_table import ItemTable, build_item_table, load_item_table, save_item_table
from mmctr.inputs.vocabulary import DENSE_LOOKUP_LIMIT, Vocabulary, from_bytes, texts, to_bytes

IDS = st.lists(st.integers(1, 200), min_size=1, max_size=30, unique=True)


def table_of(item_ids):
    weights = np.zeros((len(item_ids) + 1, 2), dtype=np.float32)
    is_text = bool(item_ids) and isinstance(item_ids[0], str)
    return ItemTable(Vocabulary(texts(item_ids) if is_text else np.array(item_ids, dtype=np.int64)), weights)


@given(IDS, st.lists(st.integers(-5, 500), max_size=20))
def test_an_item_owns_its_position_plus_one_and_other_ids_are_padding(item_ids, asked):
    table = table_of(item_ids)
    expected = [item_ids.index(item_id) + 1 if item_id in item_ids else 0 for item_id in asked]
    assert table.lookup(np.array(asked, dtype=np.int64)).tolist() == expected
    assert table.id_to_idx == {item_id: position + 1 for position, item_id in enumerate(item_ids)}


@given(IDS)
def test_huge_ids_are_found_as_small_ones_are(item_ids):
    shift = DENSE_LOOKUP_LIMIT
    table = table_of([item_id + shift for item_id in item_ids])
    asked = np.arange(0, 300) + shift
    assert table.lookup(asked).tolist() == table_of(item_ids).lookup(np.arange(0, 300)).tolist()
    assert table.lookup(np.array([2**62, 0, -1])).tolist() == [0, 0, 0]


def test_build_puts_zeros_before_the_items_and_keeps_their_order():
    frame = pl.DataFrame({"item_id": [7, 3], "item_emb_d2": [[1.0, 2.0], [3.0, 4.0]]})
    table = build_item_table(frame, column="item_emb_d2")
    assert table.weights.dtype == np.float32
    assert table.weights.tolist() == [[0, 0], [1, 2], [3, 4]]
    assert table.ids.values.tolist() == [7, 3]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"item_id": [1, 1], "e": [[1.0], [2.0]]}, "unique"),
        ({"item_id": [1, 2], "e": [[1.0], [2.0, 3.0]]}, "one width"),
    ],
)
def test_build_refuses_what_cannot_be_joined(frame, message):
    with pytest.raises(ValueError, match=message):
        build_item_table(pl.DataFrame(frame), column="e")


def test_round_trip_gives_the_same_table_and_the_same_bytes(tmp_path):
    table = build_item_table(pl.DataFrame({"item_id": [7, 3], "e": [[1.0, 2.0], [3.0, 4.0]]}), column="e")
    for name in ("a", "b"):
        save_item_table(table, tmp_path / name)
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a", "b")}
    assert len(digests) == 1
    loaded = load_item_table(tmp_path / "a")
    assert np.array_equal(loaded.weights, table.weights)
    assert loaded.digest == table.digest
    assert table_of([3, 7]).digest != table.digest


TEXTS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), min_size=1, max_size=20, unique=True)


@pytest.mark.parametrize("share", [0, float("inf")], ids=["by Arrow", "by hashes"])
@given(TEXTS, st.lists(st.text(max_size=3), max_size=20))
def test_text_ids_are_found_as_integers_are(share, item_ids, asked):
    table = table_of(item_ids)
    expected = [item_ids.index(item_id) + 1 if item_id in item_ids else 0 for item_id in [*item_ids, *asked]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmctr.inputs.vocabulary, "ARROW_SHARE", share)
        assert table.lookup(texts([*item_ids, *asked])).tolist() == expected
    assert table.id_to_idx == {item_id: position + 1 for position, item_id in enumerate(item_ids)}
    assert not table.lookup(np.array([0, 1])).any(), "of another kind"


@given(TEXTS)
def test_texts_come_back_from_their_bytes_also_of_a_part(values):
    whole = texts(values)
    for part in (whole, whole.slice(1), whole.slice(0, 1), whole.slice(0, 0)):
        assert from_bytes(*to_bytes(part)).to_pylist() == part.to_pylist()


def test_text_ids_and_features_come_back_without_pickle(tmp_path):
    frame = pl.DataFrame({"item_id": ["b/7", "é", "a" * 256], "e": [[1.0], [2.0], [3.0]]})
    features = Encoded(np.arange(8, dtype=np.int32).reshape(4, 2), np.ones((4, 2), np.float32))
    table = replace(build_item_table(frame, column="e"), features=features)
    save_item_table(table, tmp_path / "t.npz")
    loaded = load_item_table(tmp_path / "t.npz")
    assert loaded.ids.values.to_pylist() == ["b/7", "é", "a" * 256]
    assert loaded.digest == table.digest
    assert loaded.weights.tolist() == [[0], [1], [2], [3]]
    assert np.array_equal(loaded.feature_ids, features.ids)
    assert np.array_equal(loaded.feature_numbers, features.numbers)
    with np.load(tmp_path / "t.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays)
