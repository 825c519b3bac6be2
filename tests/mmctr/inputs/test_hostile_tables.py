"""Parquet files of every odd kind: each is either read right or refused with one message that says what to fix.

`loads_right` holds for all of them that what `check_inputs` accepts is what `load_split` reads, row by row.
"""

import io
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmctr.clicks.item_table import ItemTable
from mmctr.clicks.split import load_split
from mmctr.common.errors import InputError
from mmctr.inputs.rules import check_inputs
from mmctr.inputs.vocabulary import Vocabulary

KNOWN = (1, 2, 3, 5, 300)
SPLIT_COLUMNS = ("item_seq", "item_id", "likes_level", "views_level", "label")
LISTS = pa.list_(pa.int64())


def items() -> pa.Table:
    return pa.table({"item_id": list(KNOWN), "item_title": ["a", None, "", "\U0001f600 שלום", "x" * 10_000]})


def clicks(role: str = "train", **columns: object) -> pa.Table:
    """Four good rows, with some columns in the place of theirs."""
    good = {
        "item_seq": pa.array([[0, 0, 1], [2, 3], [], [0, 0]], LISTS),
        "item_id": pa.array([3, 2, 1, 4]),
        "likes_level": pa.array([1, 10, 0, 19]),
        "views_level": pa.array([5, 5, 5, 5]),
    }
    good |= {"ID": pa.array([7, 8, 9, 10])} if role == "test" else {"label": pa.array([0, 1, 1, 0])}
    return pa.table(good | columns)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return good_base(tmp_path / "base")


def good_base(folder: Path) -> Path:
    (folder / "MicroLens_1M_x1").mkdir(parents=True)
    (folder / "item_images_2.rar").write_bytes(b"Rar!")
    pq.write_table(items(), folder / "item_feature.parquet")
    for role in ("train", "valid", "test"):
        pq.write_table(clicks(role), place(folder, role))
    return folder


def place(base: Path, role: str) -> Path:
    return base / "item_feature.parquet" if role == "items" else base / "MicroLens_1M_x1" / f"{role}.parquet"


def refusal(base: Path) -> str:
    with pytest.raises(InputError) as error:
        check_inputs(base)
    message = str(error.value)
    assert len(message.splitlines()) <= 3, message
    return message


def loads_right(base: Path, role: str, *, max_len: int = 64) -> None:
    """`load_split` returns what a slow loop over the rows returns."""
    ids = np.array(KNOWN)
    table = ItemTable(Vocabulary(ids), np.zeros((len(ids) + 1, 2), np.float32))
    split = load_split(place(base, role), table=table, max_len=max_len, with_label=role != "test")
    row_of = {item_id: position + 1 for position, item_id in enumerate(KNOWN)}
    wanted = [name for name in SPLIT_COLUMNS if name != "label" or role != "test"]
    rows = pq.read_table(place(base, role), columns=wanted).to_pylist()
    offsets = split.offsets.tolist()
    assert len(split) == len(rows) == len(offsets) - 1
    for index, (row, (start, stop)) in enumerate(zip(rows, pairwise(offsets), strict=True)):
        recent = real_items(row["item_seq"])[-max_len:]
        assert split.history[start:stop].tolist() == [row_of[item] for item in recent if item in row_of]
        assert int(split.target[index]) == row_of.get(number(row["item_id"]), 0)
        assert split.feature_ids[index].tolist() == [number(row["likes_level"]), row["views_level"]]
        assert split.label is None or float(split.label[index]) == number(row["label"])


def number(value: object) -> float:
    """A number, or what a text says."""
    word = str(value).lower()
    return float(word == "true") if word in ("true", "false") else float(word)


def real_items(history: list[object] | str | None) -> list[float]:
    """Ids of a history without its padding."""
    entries = history.split() if isinstance(history, str) else history or []
    return [number(item) for item in entries if item not in (None, "") and number(item) != 0]


READABLE = {
    "extra columns": (clicks(user_id=pa.array([None] * 4, pa.null()), a=pa.array([{"b": 1}] * 4)), {}),
    "columns in another order": (clicks().select(sorted(clicks().column_names)), {}),
    "row groups of one row": (clicks(), {"row_group_size": 1}),
    "no compression, plain pages of version 2": (
        clicks(),
        {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"},
    ),
    "brotli": (clicks(), {"compression": "brotli"}),
    "no Arrow schema": (clicks(), {"store_schema": False}),
    "small integers": (
        clicks(**{name: clicks()[name].cast(pa.int8()) for name in ("item_id", "likes_level", "views_level", "label")}),
        {},
    ),
    "unsigned targets": (clicks(item_id=pa.array([1, 300, 2**63 - 1, 5], pa.uint64())), {}),
    "unsigned history": (clicks(item_seq=pa.array([[1, 2**64 - 1], [], [0], [300]], pa.list_(pa.uint64()))), {}),
    "history of int8": (clicks(item_seq=pa.array([[1, 2], [], [0], [127]], pa.list_(pa.int8()))), {}),
    "large lists": (clicks(item_seq=clicks()["item_seq"].cast(pa.large_list(pa.int64()))), {}),
    "fixed lists": (clicks(item_seq=pa.array([[0, 1], [2, 3], [0, 0], [9, 5]], pa.list_(pa.int32(), 2))), {}),
    "only padding": (clicks(item_seq=pa.array([[0, 0]] * 4, LISTS)), {}),
    "only empty histories": (clicks(item_seq=pa.array([[]] * 4, LISTS)), {}),
    "a history of 10,000": (clicks(item_seq=pa.array([[1, 2, 3, 9] * 2500, [], [1], [0] * 10_000], LISTS)), {}),
    "padding in the middle and at the end": (clicks(item_seq=pa.array([[1, 0, 2], [3, 0, 0], [0], [5]], LISTS)), {}),
    "null histories": (clicks(item_seq=pa.array([[1], None, [2], []], LISTS)), {}),
    "null entries": (clicks(item_seq=pa.array([[1], [None], [2, None, 3], []], LISTS)), {}),
    "text in lists": (clicks(item_seq=pa.array([["0", "1"], ["2", "", None, "007"], None, ["300"]])), {}),
    "histories as text": (clicks(item_seq=pa.array(["0 0 1", "2  3", "", None])), {}),
    "ids as text": (clicks(item_id=pa.array(["1", "2.0", "007", "300"])), {}),
    "ids as categories of text": (clicks(item_id=pa.array(["1", "2", "1", "2"]).dictionary_encode()), {}),
    "labels as text": (clicks(label=pa.array(["1", "0.0", "true", "False"])), {}),
    "levels as text": (clicks(likes_level=pa.array(["1", "0", "19", "2.0"])), {}),
    "boolean labels": (clicks(label=pa.array([True, False, True, True])), {}),
    "dictionary encoded": (clicks(item_id=pa.array([1, 1, 300, 2]).dictionary_encode()), {}),
    "a billion as target": (clicks(item_id=pa.array([10**9, 1, 2**62, 3])), {}),
}


@pytest.mark.parametrize("name", READABLE)
def test_what_is_odd_but_right_is_read_right(base: Path, name: str) -> None:
    table, options = READABLE[name]
    pq.write_table(table, place(base, "train"), **options)
    assert check_inputs(base).rows["train"] == 4
    loads_right(base, "train")
    loads_right(base, "train", max_len=2)


def test_ids_far_apart_are_looked_up_right(base: Path) -> None:
    """Unsigned ones too, which NumPy compares with signed ones as floats: these three would be one."""
    table = ItemTable(Vocabulary(np.array([7, 2**62 + 1, 2**62, 3])), np.zeros((5, 2), np.float32))
    targets = [3, 2**62, 2**62 + 2, 2**62 + 1]
    pq.write_table(clicks(item_id=pa.array(targets, pa.uint64())), place(base, "train"))
    assert load_split(place(base, "train"), table=table, with_label=True).target.tolist() == [4, 3, 0, 2]


MANY = pa.array([1, 2, 3, 4])
REFUSED = {
    "text ids": (
        "train",
        clicks(item_id=pa.array(list("1x3y"))),
        "item_id must be a whole number as the ids of the items are, 2 rows are not; the first is row 2 with 'x'",
    ),
    "floats with NaN": (
        "train",
        clicks(item_id=pa.array([1.0, np.nan, 2, 3])),
        "must be a whole number, 1 rows",
    ),
    "decimals": (
        "train",
        clicks(item_id=pa.array([Decimal(f"{i}.50") for i in range(4)])),
        "item_id must be a whole number, 4 rows are not; the first is row 1 with 0.5",
    ),
    "dates": (
        "test",
        clicks("test", ID=pa.array([date(2025, 1, i) for i in range(1, 5)])),
        "must be an integer or a string, found date32",
    ),
    "structs": ("train", clicks(label=pa.array([{"a": 1}] * 4)), "label must be an integer, found struct"),
    "categories": (
        "train",
        clicks(item_id=pa.array(list("abab")).dictionary_encode()),
        "item_id must be a whole number as the ids of the items are, 4 rows are not; the first is row 1 with 'a'",
    ),
    "lists of lists": (
        "train",
        clicks(item_seq=pa.array([[[1]]] * 4)),
        "item_seq must be a list or an array of integers",
    ),
    "lists of text": (
        "train",
        clicks(item_seq=pa.array([["1"], ["2", "x"], ["0"], [""]])),
        "item_seq must hold whole numbers as the ids of the items are, 1 entries are not; the first is row 2 with 'x'",
    ),
    "null typed lists": ("train", clicks(item_seq=pa.array([[]] * 4, pa.list_(pa.null()))), "item_seq must be a list"),
    "u64 targets": (
        "train",
        clicks(item_id=pa.array([1, 2, 3, 2**63], pa.uint64())),
        "item_id must be below 2^63, 1 rows",
    ),
    "u64 labels": (
        "train",
        clicks(label=pa.array([0, 1, 2**63, 1], pa.uint64())),
        "label must be 0 or 1, 1 rows are not",
    ),
    "null typed levels": ("train", clicks(likes_level=pa.nulls(4)), "likes_level must be an integer, found null"),
    "null targets": ("train", clicks(item_id=pa.array([1, None, 2, None])), "item_id must not be null, 2 rows are"),
    "null levels": ("valid", clicks(views_level=pa.array([1, None, 2, 3])), "views_level must not be null, 1 rows are"),
    "null labels": ("valid", clicks(label=pa.array([0, 1, None, 0])), "label must not be null, 1 rows are"),
    "null IDs": ("test", clicks("test", ID=pa.array([0, 1, None, 2])), "ID must not be null, 1 rows are"),
    "null items": (
        "items",
        pa.table({"item_id": [1, None], "item_title": ["a", "b"]}),
        "item_id must not be null, 1 rows",
    ),
    "negative targets": ("valid", clicks(item_id=pa.array([-1, 1, 2, 3])), "item_id must be 1 or more"),
    "negative entries": ("valid", clicks(item_seq=pa.array([[-5], [], [], []], LISTS)), "negative ids, 1 entries are"),
    "an item twice": (
        "items",
        pa.table({"item_id": [1, 1], "item_title": ["a", "b"]}),
        "item_id must be unique, 1 rows",
    ),
    "a test ID twice": ("test", clicks("test", ID=pa.array([1, 2, 1, 1])), "ID must be unique, 2 rows repeat"),
    "one class in valid": ("valid", clicks(label=pa.array([1, 1, 1, 1])), "label must have both classes, 1 class"),
    "a label of 2": ("valid", clicks(label=pa.array([0, 1, 2, 1])), "label must be 0 or 1, 1 rows are not"),
    "a level of 20": ("test", clicks("test", likes_level=pa.array([0, 20, 19, 1])), "must be in 0..19, 1 rows are not"),
    "a level below 0": (
        "test",
        clicks("test", views_level=pa.array([0, -1, 19, 1])),
        "must be in 0..19, 1 rows are not",
    ),
    "no rows": ("train", clicks().slice(0, 0), "it has no rows"),
    "no title": ("items", pa.table({"item_id": [1]}), "column item_title is missing; it has item_id"),
    "a column twice": (
        "train",
        clicks().append_column("label", MANY),
        "column names must be unique, label is there more than once",
    ),
    "bytes as titles": (
        "items",
        pa.table({"item_id": [1], "item_title": [b"\xff"]}),
        "item_title must be text in UTF-8, 1 rows",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused_with_its_rule(base: Path, name: str) -> None:
    role, table, message = REFUSED[name]
    pq.write_table(table, place(base, role))
    text = refusal(base)
    assert message in text
    assert place(base, role).name in text


def whole(base: Path, role: str) -> bytes:
    return place(base, role).read_bytes()


@pytest.mark.parametrize("role", ["items", "train", "test"])
@pytest.mark.parametrize("kind", ["empty", "csv", "half", "no end", "zeroed pages", "folder", "link to nothing"])
def test_what_is_no_whole_parquet_file_is_named(base: Path, role: str, kind: str) -> None:
    path, content = place(base, role), whole(base, role)
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "link to nothing":
        path.symlink_to(base / "nothing")
    else:
        path.write_bytes(
            {
                "empty": b"",
                "csv": b"ID,label\n1,0\n",
                "half": content[: len(content) // 2],
                "no end": content[:-1],
                "zeroed pages": content[:4] + bytes(len(content) // 3) + content[4 + len(content) // 3 :],
            }[kind]
        )
    text = refusal(base)
    assert path.name in text
    expected = {
        "folder": "has no file that ends in .parquet or .csv",
        "link to nothing": "is missing",
        "zeroed pages": "copy or download it again",
    }
    assert expected.get(kind, "not a readable parquet file") in text


def test_text_that_is_no_utf8_is_refused(base: Path) -> None:
    """A lone surrogate, as a broken exporter writes it."""
    raw = pa.array([b"good", b"\xed\xa0\x80"]).buffers()
    titles = pa.Array.from_buffers(pa.string(), 2, raw)
    pq.write_table(pa.table({"item_id": [1, 2], "item_title": titles}), place(base, "items"))
    text = refusal(base)
    assert "item_feature.parquet" in text
    assert "utf" in text.lower()


def test_a_footer_that_lists_other_rows_than_its_parts_have_is_refused(base: Path) -> None:
    """Found by fuzzing: Arrow reads the rows of the parts, here 4 of 5, and says nothing."""
    content = whole(base, "train")
    footer_at = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    at = content.index(bytes([0x16, 4 << 1]), content.index(b"label", footer_at))  # the first i64 of 4 after the schema
    path = place(base, "train")
    path.write_bytes(content[: at + 1] + bytes([5 << 1]) + content[at + 2 :])
    assert pq.read_metadata(path).num_rows == 5
    assert "lists 5 rows, and its parts have others" in refusal(base)


class Keys(pe.KmsClient):
    """A key store that hides nothing."""

    def __init__(self, _: object) -> None:
        super().__init__()

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return key

    def unwrap_key(self, key: bytes, _: str) -> bytes:
        return key


@pytest.mark.parametrize("plain_footer", [False, True])
def test_an_encrypted_file_is_refused(base: Path, plain_footer: bool) -> None:
    """Whole, or with a readable footer and one column that is not."""
    settings_ = pe.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["item_id"]}, plaintext_footer=plain_footer, double_wrapping=False
    )
    properties = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), settings_)
    with pq.ParquetWriter(place(base, "train"), clicks().schema, encryption_properties=properties) as writer:
        writer.write_table(clicks())
    text = refusal(base)
    assert "train.parquet" in text
    assert "copy or download it again" in text


def test_a_file_that_breaks_between_the_check_and_the_reading_is_an_input_error(base: Path) -> None:
    content = whole(base, "train")
    place(base, "train").write_bytes(content[:4] + bytes(200) + content[204:])
    table = ItemTable(Vocabulary(np.array(KNOWN)), np.zeros((6, 2), np.float32))
    with pytest.raises(InputError, match="must be a whole parquet file"):
        load_split(place(base, "train"), table=table, with_label=True)


INTEGERS = st.sampled_from([pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()])


@st.composite
def splits(draw: st.DrawFn) -> pa.Table:
    """A train split of any shape, a little of it broken."""
    rows = draw(st.integers(0, 6))
    entry, item, level, label = (draw(INTEGERS) for _ in range(4))
    width = draw(st.integers(1, 4))
    container = draw(st.sampled_from([pa.list_(entry), pa.large_list(entry), pa.list_(entry, width)]))
    sizes = {"min_size": width, "max_size": width} if pa.types.is_fixed_size_list(container) else {"max_size": 6}
    number = st.sampled_from([0, 0, 1, 2, 3, 4, 5, 100])
    odd = st.sampled_from([0] * 30 + [1])  # rarely something that must be refused

    def column(values: st.SearchStrategy[object], kind: pa.DataType, wrong: object) -> pa.Array:
        return pa.array([wrong if draw(odd) else draw(values) for _ in range(rows)], kind)

    return pa.table(
        {
            "item_seq": column(
                st.lists(number, **sizes), container, [0] * width if pa.types.is_fixed_size_list(container) else None
            ),
            "item_id": column(st.integers(1, 100), item, 0),
            "likes_level": column(st.integers(0, 19), level, 20),
            "views_level": column(st.integers(0, 19), level, None),
            "label": column(st.integers(0, 1), label, 2),
        }
    )


@settings(max_examples=150)
@given(table=splits(), group=st.integers(1, 6), dictionary=st.booleans(), max_len=st.integers(1, 5))
def test_whatever_the_check_accepts_loads_right(
    tmp_path_factory: pytest.TempPathFactory, table: pa.Table, group: int, dictionary: bool, max_len: int
) -> None:
    base = good_base(tmp_path_factory.mktemp("any") / "base")
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=group, use_dictionary=dictionary)
    place(base, "train").write_bytes(buffer.getvalue())
    rows = table.to_pylist()
    labels = {row["label"] for row in rows}
    good = labels == {0, 1} and all(
        row["item_id"] >= 1 and row["likes_level"] < 20 and row["views_level"] is not None for row in rows
    )
    if good:
        check_inputs(base)
        loads_right(base, "train", max_len=max_len)
    else:
        with pytest.raises(InputError, match=r"train\.parquet"):
            check_inputs(base)
