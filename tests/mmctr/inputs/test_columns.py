"""Ids, histories, values and numbers of every type that holds them."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmctr.common.errors import InputError
from mmctr.inputs.columns import history_ids, ids_of, labels_of, numbers_of, read_ids, read_items, values_of
from mmctr.inputs.layout import ItemColumns
from mmctr.inputs.vocabulary import Vocabulary, texts


def plain(values):
    return values.tolist() if isinstance(values, np.ndarray) else values.to_pylist()


INTEGERS = {
    **{str(kind): pa.array([7, 1, 7], kind) for kind in (pa.int8(), pa.uint16(), pa.int32(), pa.int64(), pa.uint64())},
    "floats": pa.array([7.0, 1, 7], pa.float32()),
    "decimals": pa.array([Decimal(7), Decimal(1), Decimal(7)], pa.decimal128(10, 2)),
    "dictionary": pa.array([7, 1, 7]).dictionary_encode(),
}
TEXTS = {
    **{
        str(kind): pa.array(["é", "b 2", "é"], kind)
        for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary())
    },
    "dictionary": pa.array(["é", "b 2", "é"]).dictionary_encode(),
    "dictionary of bytes": pa.array(["é".encode(), b"b 2", "é".encode()]).dictionary_encode(),
}


@pytest.mark.parametrize("way", INTEGERS)
def test_integer_ids(way):
    assert plain(ids_of(INTEGERS[way])) == [7, 1, 7]
    with pytest.raises(InputError, match="ids must be text in all files"):
        ids_of(INTEGERS[way], text=True)


@pytest.mark.parametrize("way", TEXTS)
def test_text_ids(way):
    assert plain(ids_of(TEXTS[way])) == ["é", "b 2", "é"]
    assert plain(ids_of(TEXTS[way], text=True)) == ["é", "b 2", "é"]
    with pytest.raises(InputError, match=r"ids must be integers in all files, .* found 'é'"):
        ids_of(TEXTS[way], text=False)


def test_texts_are_read_as_integers_where_the_items_have_such():
    assert plain(ids_of(pa.array(["7", "007", "7.0", "-1", "9223372036854775807"]), text=False)) == [
        7,
        7,
        7,
        -1,
        2**63 - 1,
    ]
    for wrong in ("7.5", "", "1e400", "nan", "9007199254740995.0"):
        with pytest.raises(InputError, match="ids must be integers"):
            ids_of(pa.array(["1", wrong]), text=False)


LISTS = [[0, 5, 7], [], None, [7, None, 0], [0, 0, 0]]
REAL, LENGTHS = [5, 7, 7], [2, 0, 0, 1, 0]
KINDS = {
    "list": pa.list_(pa.int64()),
    "large list": pa.large_list(pa.int32()),
    "list view": pa.list_view(pa.int16()),
    "large list view": pa.large_list_view(pa.uint8()),
    "list of floats": pa.list_(pa.float64()),
    "list of text": pa.list_(pa.string()),
    "list of bytes": pa.large_list(pa.binary()),
    "list of categories": pa.list_(pa.dictionary(pa.int32(), pa.string())),
}


def lists(kind):
    if "string" not in str(kind) and "binary" not in str(kind):
        return pa.array(LISTS, kind)
    return pa.array([row and [one if one is None else str(one) for one in row] for row in LISTS], kind)


@pytest.mark.parametrize("way", KINDS)
def test_histories_of_every_list(way):
    values, lengths = history_ids(lists(KINDS[way]), padding="zero", text=False)
    assert (plain(values), lengths.tolist()) == (REAL, LENGTHS)
    values, lengths = history_ids(lists(KINDS[way]), padding="none", text=False)
    assert (plain(values), lengths.tolist()) == ([0, 5, 7, 7, 0, 0, 0, 0], [3, 0, 0, 2, 3])


def test_histories_of_fixed_length_and_of_text():
    fixed = pa.array([[0, 5], None, [7, 0]], pa.list_(pa.int64(), 2))
    values, lengths = history_ids(fixed, padding="zero")
    assert (plain(values), lengths.tolist()) == ([5, 7], [1, 0, 1])
    written = pa.array(["0 5  7", "", None, "7"])
    values, lengths = history_ids(written, padding="zero", text=False)
    assert (plain(values), lengths.tolist()) == ([5, 7, 7], [2, 0, 0, 1])
    values, lengths = history_ids(pa.array(["a-1|b 2", "é|", "|"]), padding="zero", separator="|")
    assert (plain(values), lengths.tolist()) == (["a-1", "b 2", "é"], [2, 1, 0])
    values, lengths = history_ids(pa.array([[], []], pa.list_(pa.null())), padding="zero", text=True)
    assert (plain(values), lengths.tolist()) == ([], [0, 0])


ENTRY = st.one_of(st.none(), st.integers(0, 3))
ROWS = st.lists(st.one_of(st.none(), st.lists(ENTRY, max_size=5)), max_size=8)


@given(ROWS, st.sampled_from(["zero", "none"]), st.booleans(), st.integers(0, 8))
def test_histories_are_what_a_slow_loop_finds(rows, padding, as_text, start):
    kind = pa.list_(pa.string() if as_text else pa.int64())
    written = [row and [one if one is None or not as_text else str(one) for one in row] for row in rows]
    column = pa.array(written, kind).slice(min(start, len(rows)))
    values, lengths = history_ids(column, padding=padding, text=False)
    real = [
        [one for one in row or [] if one is not None and (one != 0 or padding == "none")]
        for row in rows[min(start, len(rows)) :]
    ]
    assert plain(values) == [one for row in real for one in row]
    assert lengths.tolist() == list(map(len, real))


def test_values_of_a_category():
    values, present = values_of(pa.array(["x", None, "", "y"]))
    assert (plain(values), present.tolist()) == (["x", "y"], [True, False, False, True])
    values, present = values_of(pa.array([3, None, 0]))
    assert (plain(values), present.tolist()) == ([3, 0], [True, False, True])
    values, present = values_of(pa.array(["3", None, ""]), text=False)
    assert (plain(values), present.tolist()) == ([3], [True, False, False])
    values, present = values_of(pa.nulls(2), text=True)
    assert (plain(values), present.tolist()) == ([], [False, False])
    assert plain(values_of(pa.array([True, False, None]))[0]) == [1, 0]


def test_numbers_and_labels():
    assert np.array_equal(numbers_of(pa.array([1, None, 3])), [1, np.nan, 3], equal_nan=True)
    assert np.array_equal(numbers_of(pa.array(["1.5", "", "true", None])), [1.5, np.nan, 1, np.nan], equal_nan=True)
    assert numbers_of(pa.array([Decimal("1.25")])).tolist() == [1.25]
    with pytest.raises(InputError, match="numbers must be written as such; found 'x'"):
        numbers_of(pa.array(["1", "x"]))
    for column in ([True, False], [1, 0], [1.0, 0.0], ["1", "0"], ["True", "FALSE"], ["1.0", "0.0"]):
        assert labels_of(pa.array(column)).tolist() == [1, 0]


def test_items_have_three_columns_whatever_the_file_has(tmp_path):
    import pyarrow.parquet as pq

    path = tmp_path / "items.parquet"
    pq.write_table(pa.table({"sku": ["a", "b"], "picture": ["p/1.jpg", None], "number": [3, 4]}), path)
    found = read_items(path, columns=ItemColumns(item_id="sku", title="", image="picture"))
    assert found.to_dict(as_series=False) == {"item_id": ["a", "b"], "title": [None, None], "image": ["p/1.jpg", None]}
    found = read_items(path, columns=ItemColumns(item_id="number", title="sku", image=""))
    assert found.to_dict(as_series=False) == {"item_id": [3, 4], "title": ["a", "b"], "image": ["3", "4"]}


def test_rows_without_ids_are_numbered(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,\n,\n3,\n")
    (tmp_path / "b.csv").write_text("x,y\n5,é\n")
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    assert read_ids(files, row_id="").to_list() == [0, 1, 2, 3]
    assert read_ids(files[1], row_id="y").to_list() == ["é"]


@given(st.lists(st.text(max_size=5), unique=True, max_size=20), st.lists(st.text(max_size=5), max_size=20))
def test_texts_are_looked_up(values, asked):
    found = Vocabulary(texts(values)).lookup(texts(asked))
    assert found.tolist() == [values.index(one) + 1 if one in values else 0 for one in asked]
