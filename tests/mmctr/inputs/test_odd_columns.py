"""Columns stored in every way that exporters use: text and whole numbers are read, and no other column is looked at."""

import io
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from project import FIXTURES, PROJECT

import mmctr.inputs.parquet_footer
from mmctr.clicks.item_table import ItemTable
from mmctr.clicks.split import load_split
from mmctr.common.errors import InputError
from mmctr.inputs.columns import read_ids, read_items
from mmctr.inputs.parquet_footer import Footer
from mmctr.inputs.rules import check_inputs
from mmctr.inputs.vocabulary import Vocabulary
from mmctr.report.dataset import report_dataset

TITLES = ["a cat", None, "", "a\x00dog", "שלום 😀"]
ARCHIVE = FIXTURES / "rar" / "plain_store_py.rar"
LISTS = [[0, 0, 1], [2, 3], [], [5, 0]]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "MicroLens_1M_x1").mkdir()
    (tmp_path / "item_images_2.rar").write_bytes(ARCHIVE.read_bytes())
    pq.write_table(items(pa.array(TITLES)), path_of(tmp_path, "items"))
    for role in ("train", "valid", "test"):
        pq.write_table(clicks(role), path_of(tmp_path, role))
    return tmp_path


def path_of(base: Path, role: str) -> Path:
    return base / "item_feature.parquet" if role == "items" else base / "MicroLens_1M_x1" / f"{role}.parquet"


def items(titles: pa.Array) -> pa.Table:
    return pa.table({"item_id": [1, 2, 3, 4, 5], "item_title": titles})


def clicks(role: str = "train", **columns: object) -> pa.Table:
    good = {
        "item_seq": pa.array(LISTS, pa.list_(pa.int64())),
        "item_id": pa.array([3, 2, 1, 9]),
        "likes_level": pa.array([1, 10, 0, 19]),
        "views_level": pa.array([5, 5, 5, 5]),
    }
    good |= {"ID": pa.array([7, 8, 9, 10])} if role == "test" else {"label": pa.array([0, 1, 1, 0])}
    return pa.table(good | columns)


def refusal(base: Path) -> str:
    with pytest.raises(InputError) as error:
        check_inputs(base)
    return str(error.value)


def polars_titles(dtype: pl.DataType) -> pl.DataFrame:
    return pl.DataFrame({"item_id": [1, 2, 3, 4, 5], "item_title": pl.Series(TITLES).cast(dtype)})


def encoded() -> pa.Array:
    return pa.array([None if title is None else title.encode() for title in TITLES])


TEXTS = {
    "large string": items(pa.array(TITLES, pa.large_string())),
    "string view": items(pa.array(TITLES, pa.string_view())),
    "dictionary": items(pa.array(TITLES).dictionary_encode()),
    "dictionary of bytes": items(encoded().dictionary_encode()),
    "bytes": items(encoded()),
    "byte view": items(encoded().cast(pa.binary_view())),
    "Polars category": polars_titles(pl.Categorical()),
    "Polars enum": polars_titles(pl.Enum([title for title in TITLES if title is not None])),
    "pandas category": items(pa.array(pl.Series(TITLES).to_pandas().astype("category"))),
}


@pytest.mark.parametrize("way", TEXTS)
def test_titles_are_read_however_text_is_stored(base: Path, way: str) -> None:
    table = TEXTS[way]
    path = path_of(base, "items")
    table.write_parquet(path) if isinstance(table, pl.DataFrame) else pq.write_table(table, path)
    assert check_inputs(base).rows["items"] == 5
    assert read_items(path).to_dict(as_series=False) == {
        "item_id": [1, 2, 3, 4, 5],
        "title": TITLES,
        "image": list("12345"),
    }
    assert report_dataset(base).coverage.with_title == 3


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_titles_are_read_however_they_are_encoded(base: Path, encoding: str) -> None:
    """As Spark, DuckDB and others write them in the second version of parquet."""
    path = path_of(base, "items")
    pq.write_table(items(pa.array(TITLES)), path, use_dictionary=False, column_encoding={"item_title": encoding})
    check_inputs(base)
    assert read_items(path)["title"].to_list() == TITLES
    bad = pa.array([b"a", b"\xff", b"c", b"d", None])
    pq.write_table(items(bad), path, use_dictionary=False, column_encoding={"item_title": encoding})
    assert "item_title must be text in UTF-8, 1 rows are not; the first is row 2" in refusal(base)


def test_titles_that_are_all_missing_are_none(base: Path) -> None:
    pq.write_table(items(pa.nulls(5)), path_of(base, "items"))
    check_inputs(base)
    assert read_items(path_of(base, "items"))["title"].to_list() == [None] * 5


NUMBERS = {
    "doubles": pa.float64(),
    "floats": pa.float32(),
    "half floats": pa.float16(),
    "decimals": pa.decimal128(20, 0),
    "decimals with zeros behind the point": pa.decimal128(25, 2),
    "wide decimals": pa.decimal256(60, 0),
    "dictionary": pa.dictionary(pa.int8(), pa.int64()),
    "bytes": pa.uint8(),
}


def stored(numbers: list[int], kind: pa.DataType) -> pa.Array:
    if pa.types.is_decimal(kind):
        return pa.array([Decimal(number) for number in numbers], kind)
    return pa.array(numbers).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(numbers).cast(kind)


@pytest.mark.parametrize("way", NUMBERS)
def test_whole_numbers_are_read_however_they_are_stored(base: Path, way: str) -> None:
    kind = NUMBERS[way]
    for role in ("train", "test"):
        good = clicks(role)
        names = [name for name in good.column_names if name != "item_seq"]
        columns = {name: stored(good[name].to_pylist(), kind) for name in names}
        flat = stored([entry for row in LISTS for entry in row], kind)
        lists = pa.ListArray.from_arrays(np.cumsum([0, *map(len, LISTS)]), flat)
        pq.write_table(pa.table({**columns, "item_seq": lists}), path_of(base, role))
    before = report_dataset(base)
    table = ItemTable(Vocabulary(np.arange(1, 6)), np.zeros((6, 2), np.float32))
    for role in ("train", "test"):
        split = load_split(path_of(base, role), table=table, with_label=role == "train")
        pq.write_table(clicks(role), path_of(base, role))
        plain = load_split(path_of(base, role), table=table, with_label=role == "train")
        for name in ("history", "offsets", "target", "feature_ids", "feature_numbers", "label"):
            found, expected = getattr(split, name), getattr(plain, name)
            assert found is expected or found.tolist() == expected.tolist(), name
    assert read_ids(path_of(base, "test"), row_id="ID").to_list() == [7, 8, 9, 10]
    after = report_dataset(base)
    assert before.splits == after.splits


def test_lists_of_every_kind_are_read(base: Path) -> None:
    table = ItemTable(Vocabulary(np.arange(1, 6)), np.zeros((6, 2), np.float32))
    for kind in (pa.list_view(pa.int64()), pa.large_list(pa.float64()), pa.large_list_view(pa.int32())):
        pq.write_table(clicks(item_seq=pa.array(LISTS, kind)), path_of(base, "train"))
        check_inputs(base)
        split = load_split(path_of(base, "train"), table=table, with_label=True)
        assert (split.history.tolist(), split.offsets.tolist()) == ([1, 2, 3, 5], [0, 1, 3, 3, 4]), kind
    pq.write_table(clicks(item_seq=pa.array([[0, 1]] * 4, pa.list_(pa.float32(), 2))), path_of(base, "train"))
    check_inputs(base)
    assert load_split(path_of(base, "train"), table=table, with_label=True).history.tolist() == [1] * 4


FIRST = {
    "labels": (
        {"label": pa.array([0, 1, 7, -3])},
        "label must be 0 or 1, 2 rows are not; the first is row 3 with 7",
    ),
    "levels": (
        {"likes_level": pa.array([1, 1, 1, 99])},
        "likes_level must be in 0..19, 1 rows are not; the first is row 4 with 99",
    ),
    "nulls": ({"item_id": pa.array([1, None, None, 2])}, "item_id must not be null, 2 rows are; the first is row 2"),
    "behind a null": (
        {"item_id": pa.array([1, None, -4, 2])},
        "item_id must be 1 or more (0 is padding), 1 rows are not; the first is row 3 with -4",
    ),
    "fractions": (
        {"item_id": pa.array([1, 2.5, 3, 4.5])},
        "item_id must be a whole number, 2 rows are not; the first is row 2 with 2.5",
    ),
    "infinite": (
        {"views_level": pa.array([1.0, 2, 3, np.inf])},
        "views_level must be a whole number, 1 rows are not; the first is row 4 with inf",
    ),
    "rounded": (
        {"item_id": pa.array([1.0, 2, 2.0**53 + 2, 3])},
        "item_id must be a whole number, 1 rows are not; the first is row 3 with 9007199254740994.0",
    ),
    "entries": (
        {"item_seq": pa.array([[1], [], [2, -3], [-4]])},
        "item_seq must not hold negative ids, 2 entries are; the first is row 3 with -3",
    ),
    "NaN entries": (
        {"item_seq": pa.array([[1.0, 2], [], [3, np.nan], [1]])},
        "item_seq must hold whole numbers, 1 entries are not; the first is row 3 with nan",
    ),
}


@pytest.mark.parametrize("name", FIRST)
def test_a_broken_rule_names_a_row_and_its_value(base: Path, name: str) -> None:
    columns, message = FIRST[name]
    pq.write_table(clicks(**columns), path_of(base, "train"))
    assert message in refusal(base)


def test_rows_are_counted_through_all_chunks(base: Path) -> None:
    rows = 700_000
    frame = pl.DataFrame({"item_id": range(1, rows + 1), "item_title": "x"})
    late = pl.when(pl.col("item_id") == rows).then(5).otherwise(pl.col("item_id"))
    frame.with_columns(item_id=late).write_parquet(path_of(base, "items"))
    assert f"item_id must be unique, 1 rows repeat an earlier one; the first is row {rows:d} with 5" in refusal(base)


def test_titles_that_are_no_text_or_endless_name_their_row(base: Path) -> None:
    pq.write_table(items(pa.array([b"x", b"\xed\xa0\x80", b"x", None, b"\xff"])), path_of(base, "items"))
    message = refusal(base)
    assert "item_title must be text in UTF-8, 2 rows are not; the first is row 2 with b'\\xed\\xa0\\x80'" in message
    pq.write_table(items(pa.array(["x", "y" * 100_001, "x", None, "x"])), path_of(base, "items"))
    message = refusal(base)
    assert "item_title must have at most 100,000 bytes, 1 rows do not; the first is row 2 with b'yyy" in message
    assert len(message) < 500


ODD = {
    "a time zone that Polars does not know": pa.table({"odd": pa.nulls(5, pa.timestamp("us", tz="Asia/Beijing"))}),
    "another": pa.table({"odd": pa.nulls(5, pa.timestamp("us", tz="-03:30"))}),
    "integers of 128 bits": pl.DataFrame({"odd": pl.Series([1] * 5, dtype=pl.Int128)}),
    "a map": pa.table({"odd": pa.array([[(1, 2)]] * 5, pa.map_(pa.int64(), pa.int64()))}),
    "a wide decimal": pa.table({"odd": pa.nulls(5, pa.decimal256(70, 3))}),
    "an extension": pa.table({"odd": pa.array(["{}"] * 5, pa.json_())}),
    "its name twice": pa.table([pa.array([1] * 5), pa.array(["x"] * 5)], names=["odd", "odd"]),
    "a name with a point": pa.table({"item_id.odd": [1] * 5, "label.x": ["y"] * 5}),
    "text that is none": pa.table({"odd": pa.Array.from_buffers(pa.string(), 5, pa.array([b"\xff"] * 5).buffers())}),
}


def with_odd(table: pa.Table, odd: pa.Table | pl.DataFrame) -> bytes:
    """A parquet file with more columns, before and behind those that are needed, as the writer of `odd` writes it."""
    buffer = io.BytesIO()
    if isinstance(odd, pl.DataFrame):
        pl.concat([odd.head(len(table)), pl.DataFrame(pl.from_arrow(table))], how="horizontal").write_parquet(buffer)
        return buffer.getvalue()
    odd = odd.slice(0, len(table))
    arrays = [*odd.columns, *table.columns, *odd.columns]
    names = [*odd.column_names, *table.column_names, *(f"{name}2" for name in odd.column_names)]
    pq.write_table(pa.table(arrays, names=names), buffer, use_deprecated_int96_timestamps="zone" in str(odd.schema))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ODD)
def test_a_column_that_is_not_needed_does_no_harm(base: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    plain = report_dataset(base)
    for role in ("items", "train", "valid", "test"):
        path_of(base, role).write_bytes(with_odd(pq.read_table(path_of(base, role)), ODD[kind]))
    report = report_dataset(base)
    assert (report.coverage, report.splits) == (plain.coverage, plain.splits)
    assert read_items(path_of(base, "items"))["title"].to_list() == TITLES
    assert read_ids(path_of(base, "test"), row_id="ID").to_list() == [7, 8, 9, 10]
    assert capfd.readouterr().err == ""


def test_a_damaged_column_that_is_not_needed_does_no_harm(base: Path) -> None:
    """Users among them, of whom `check` reports where it can."""
    plain = report_dataset(base)
    table = clicks().add_column(0, "user_id", pa.array(np.arange(4) + 10**12))
    pq.write_table(table, path_of(base, "train"), use_dictionary=False, compression="none")
    assert report_dataset(base).splits["train"].users == 4
    content = path_of(base, "train").read_bytes()
    at = content.index((10**12).to_bytes(8, "little"))
    path_of(base, "train").write_bytes(content[: at - 20] + bytes([255]) * 40 + content[at + 20 :])
    assert report_dataset(base).splits == plain.splits


def test_a_type_that_no_library_knows_in_a_column_that_is_not_needed(base: Path) -> None:
    """An annotation that contradicts its column, as one of a later version may: PyArrow opens no file with it."""
    path = path_of(base, "train")
    pq.write_table(clicks(odd=pa.array(["x"] * 4)), path)
    content = path.read_bytes()
    at = content.index(b"\x18\x03odd", content.index(b"label"))  # the schema's element; its annotations stand behind
    broken = content[:at] + content[at:].replace(b"\x25\x00\x4c\x1c", b"\x25\x00\x4c\x5c", 1)  # text becomes a decimal
    assert broken != content
    path.write_bytes(broken)
    with pytest.raises((pa.ArrowException, OSError)):
        pq.read_table(path)
    assert check_inputs(base).rows["train"] == 4


def test_ten_thousand_columns_and_names_with_escapes_are_shown_in_few_lines(base: Path) -> None:
    names = ["\x1b[31mred\x1b[0m\n\u202e", *(f"column_{index}" * 3 for index in range(10_000))]
    pq.write_table(pa.table([pa.array([1])] * len(names), names=names), path_of(base, "items"))
    message = refusal(base)
    assert "column item_id is missing; it has \\x1b[31mred\\x1b[0m\\n\\u202e, column_0" in message
    assert "and 9,989 more" in message
    assert len(message) < 2500
    assert len(message.splitlines()) <= 24
    assert message.replace("\n", "").isprintable()


def test_an_enum_of_thousands_does_not_fill_the_screen(base: Path) -> None:
    names = [f"number {index} of many" for index in range(20_000)]
    frame = pl.DataFrame({"item_id": pl.Series(names[:5], dtype=pl.Enum(names)), "item_title": ["x"] * 5})
    frame.write_parquet(path_of(base, "items"))
    message = refusal(base)
    assert "item_id must be text as the ids of the items are, found int64" in message
    assert len(message) < 1_000
    assert len(message.splitlines()) == 7  # three splits, two columns each


def footer_file(footer: bytes) -> bytes:
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


HOSTILE = {
    "no end of lists": b"\x19" * 1_000_000,
    "no end of structs": b"\x1c" * 1_000_000,
    "two billion schema elements": b"\x15\x02\x19\xfc\xff\xff\xff\xff\x07" + b"\x00" * 100,
    "elements nested by the hundred thousand": b"\x15\x02\x19\xfc\xa0\x8d\x06" + b"\x48\x01a\x15\x02\x00" * 100_000,
    "more children than there are": b"\x15\x02\x19\x2c\x48\x01a\x15\xfe\xff\xff\xff\x0f\x00"
    b"\x48\x01b\x00\x16\x00\x19\x0c\x00",
    "nothing": b"",
    "zeros": bytes(500_000),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_footer_is_answered(base: Path, kind: str) -> None:
    path_of(base, "train").write_bytes(footer_file(HOSTILE[kind]))
    assert "train.parquet: not a readable parquet file" in refusal(base)


def test_a_footer_that_is_too_long_is_refused_unread(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmctr.inputs.parquet_footer, "MOST_BYTES", 200)
    assert "its footer has" in refusal(base)


def test_a_needed_column_that_is_nested_without_end_is_refused(base: Path) -> None:
    kind, value = pa.int64(), 1
    for _ in range(40):
        kind, value = pa.list_(kind), [value]
    pq.write_table(clicks(item_seq=pa.array([value] * 4, kind)), path_of(base, "train"))
    assert "column item_seq is nested, it must be plain or a list" in refusal(base)


BOMB = """
import resource, sys, time
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
from mmctr.inputs.columns import read_items
from mmctr.inputs.layout import MICROLENS_1M
from mmctr.inputs.table_rules import check_table
from mmctr.inputs.wanted import of_items
rows, path = 100_000, Path(sys.argv[1])
titles = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * 90_000]))
pq.write_table(pa.table({"item_id": range(1, rows + 1), "item_title": titles}), path)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(path.stat().st_size < 2_000_000, check_table(path, wanted=of_items(MICROLENS_1M), name="items") == (rows, []))
found = read_items(path)["title"]
print(len(found), found.str.len_bytes().cast(int).sum() == rows * 90_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000)
"""


def test_nine_gigabytes_of_one_title_take_no_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BOMB, tmp_path / "items.parquet"],
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    assert done.stdout.split() == ["True", "True", "100000", "True", "True"], done


HISTORIES = """
import resource, sys
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
from mmctr.inputs.columns import history_ids
from mmctr.inputs.tables import read_chunks
rows, path = 5_000, Path(sys.argv[1])
history = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["12345 " * 15_000]))
ids = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * 90_000]))
pq.write_table(pa.table({"item_seq": history, "item_id": ids}), path)
from mmctr.inputs.layout import MICROLENS_1M
from mmctr.inputs.table_rules import check_table
from mmctr.inputs.wanted import of_clicks
wanted = of_clicks(MICROLENS_1M, text_ids=False, with_label=False, with_row_id=False, with_user=False)[:2]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(path.stat().st_size < 2_000_000, check_table(path, wanted=wanted, name="x")[1][0][:60])
found = (len(history_ids(chunk.column(0), padding="zero", text=False)[0])
         for number, chunk in enumerate(read_chunks(path, columns=["item_seq"])) if number < 2)
print(sum(found) > 9_000_000, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000)
"""


def test_gigabytes_of_one_history_or_id_take_no_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HISTORIES, tmp_path / "clicks.parquet"],
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    first = "x: item_id must have at most 256 bytes, 5000 rows do not; th"
    assert done.stdout.splitlines() == [f"True {first}", "True True"], done


def test_the_footer_is_read_as_pyarrow_reads_it(base: Path) -> None:
    for role in ("items", "train", "valid", "test"):
        path = path_of(base, role)
        names = pq.read_schema(path).names
        assert Footer(path).names == names
        cut, whole = Footer(path).only(names), pq.read_metadata(path)
        assert (cut.num_rows, cut.num_columns, cut.num_row_groups) == (
            whole.num_rows,
            whole.num_columns,
            whole.num_row_groups,
        )
        for index in range(whole.num_columns):
            found, expected = (footer.row_group(0).column(index).to_dict() for footer in (cut, whole))
            assert found | {"statistics": None} == expected | {"statistics": None}  # they need the order of all columns
