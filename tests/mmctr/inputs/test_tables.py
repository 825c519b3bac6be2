"""Tables in one or many files, parquet or CSV."""

import polars as pl
import pyarrow as pa
import pytest
from layouts import write_table

import mmctr.inputs.csv_chunks
from mmctr.common.errors import InputError
from mmctr.inputs.files import find_table
from mmctr.inputs.tables import column_names, column_types, count_rows, read_chunks


def rows_of(files, columns):
    return [row for chunk in read_chunks(files, columns=columns) for row in chunk.select(columns).to_pylist()]


def parts(folder, *tables, suffix=".parquet"):
    for number, table in enumerate(tables):
        write_table(table, folder / f"part-{number:05}{suffix}")
    return sorted(folder.glob(f"*{suffix}"))


def frame(*numbers, **columns):
    return pl.DataFrame({"number": list(numbers), "text": [f"t{number}" for number in numbers], **columns})


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_folder_of_parts_is_one_table(tmp_path, suffix):
    """As Spark writes it: parts by their names, one of them empty, and files beside them that are none."""
    parts(tmp_path / "clicks", frame(3, 1), frame().cast({"number": pl.Null}), frame(2), suffix=suffix)
    for name in ("_SUCCESS", f".part-00000{suffix}.crc", "_metadata", f"_temporary/part-9{suffix}", "readme.txt"):
        (tmp_path / "clicks" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "clicks" / name).write_bytes(b"no table")
    files, problem = find_table(tmp_path, "clicks")
    assert (problem, len(files)) == (None, 3)
    number = str if suffix == ".csv" else int
    assert [row["number"] for row in rows_of(files, ["text", "number"])] == [number(one) for one in (3, 1, 2)]
    assert count_rows(files) == 3
    assert find_table(tmp_path, f"clicks/part-*{suffix}") == (files, None)
    assert find_table(tmp_path, f"clicks/part-00000{suffix}") == (files[:1], None)


def test_which_files_a_name_means(tmp_path):
    assert find_table(tmp_path, "clicks") == ([], "clicks is missing")
    (tmp_path / "clicks").mkdir()
    assert find_table(tmp_path, "clicks") == ([], "clicks has no file that ends in .parquet or .csv")
    assert find_table(tmp_path, "*.csv") == ([], "*.csv has no file that ends in .parquet or .csv")
    write_table(frame(1), tmp_path / "clicks/a.parquet")
    write_table(frame(1), tmp_path / "clicks/b.csv")
    assert "must be of one kind, found .csv and .parquet" in find_table(tmp_path, "clicks")[1]
    write_table(frame(1), tmp_path / "x[1].parquet")
    assert find_table(tmp_path, "x[1].parquet") == ([tmp_path / "x[1].parquet"], None)


def test_an_empty_csv_part_is_no_problem_and_an_empty_table_has_no_columns(tmp_path):
    files = parts(tmp_path, frame(1), suffix=".csv")
    (tmp_path / "part-1.csv").touch()
    assert rows_of([*files, tmp_path / "part-1.csv"], ["number"]) == [{"number": "1"}]
    assert count_rows(tmp_path / "part-1.csv") == 0
    with pytest.raises(InputError, match="column number is missing; its first line names none"):
        rows_of(tmp_path / "part-1.csv", ["number"])


def test_parts_may_have_integers_of_any_width_and_lists_that_are_empty(tmp_path):
    files = parts(
        tmp_path,
        pa.table({"id": pa.array([1, 2], pa.int8()), "seen": pa.array([[], []], pa.list_(pa.null()))}),
        pa.table({"seen": pa.array([[1.0]], pa.large_list(pa.float64())), "id": pa.array([3], pa.uint64())}),
    )
    assert [row["id"] for row in rows_of(files, ["id", "seen"])] == [1, 2, 3]
    assert str(column_types(files, columns=["seen"])["seen"]) == "list<element: double>"


def test_a_part_that_differs_is_named(tmp_path):
    files = parts(tmp_path, frame(1), frame(2), pl.DataFrame({"number": ["x"], "text": ["y"]}))
    with pytest.raises(InputError) as error:
        column_types(files, columns=["number", "text"])
    assert str(error.value) == (
        f"{files[2]}: column number must be of one kind in all files of the table; it is "
        "dictionary<values=string, indices=int32, ordered=0> here and int64 in part-00000.parquet; write both alike"
    )
    files = parts(tmp_path, frame(1), frame(2).drop("text"))
    with pytest.raises(InputError, match=r"part-00001\.parquet: column text is missing; it has number"):
        rows_of(files[:2], ["number", "text"])


def test_columns_in_the_names_of_folders(tmp_path):
    """As Hive and Spark write a table in partitions."""
    for day, number in (("2024-01-01", 1), ("a%2Fb", 2), ("__HIVE_DEFAULT_PARTITION__", 3)):
        write_table(frame(number), tmp_path / f"clicks/day={day}/hour=7/part-0.parquet")
    files, _ = find_table(tmp_path, "clicks")
    assert column_names(files) == ["number", "text", "day", "hour"]
    found = rows_of(files, ["day", "number", "hour"])
    assert {row["number"]: (row["day"], row["hour"]) for row in found} == {
        1: ("2024-01-01", "7"),
        2: ("a/b", "7"),
        3: (None, "7"),
    }
    assert [row["day"] for row in rows_of(files[:1], ["day"])] == ["2024-01-01"]
    own = write_table(frame(1, day=["own"]), tmp_path / "day=other/own.parquet")
    assert own is None
    assert rows_of(tmp_path / "day=other/own.parquet", ["day"]) == [{"day": "own"}]


CSV = {
    "windows": (b"a,b\r\n1,x\r\n2,\r\n", [("1", "x"), ("2", None)]),
    "a mark of the byte order": (b"\xef\xbb\xbfa,b\n1,x\n", [("1", "x")]),
    "quotes": (b'"a","b"\n"1","x, ""y""\nz"\n', [("1", 'x, "y"\nz')]),
    "a quote as a letter": (b'a,b\n1,5" long\n2,x\n', [("1", '5" long'), ("2", "x")]),
    "no last line end": (b"a,b\n1,x", [("1", "x")]),
    "zeros in front": (b"b,a\nx,007\n", [("007", "x")]),
    "empty lines": (b"\na,b\n\n1,x\n\n", [("1", "x")]),
    "more columns": (b"c,b,d,a\n9,x,8,1\n", [("1", "x")]),
    "only a header": (b"a,b\n", []),
}


@pytest.mark.parametrize("name", CSV)
def test_csv_is_text_as_it_is_written(tmp_path, name):
    content, expected = CSV[name]
    (tmp_path / "t.csv").write_bytes(content)
    assert [(row["a"], row["b"]) for row in rows_of(tmp_path / "t.csv", ["a", "b"])] == expected
    assert count_rows(tmp_path / "t.csv") == len(expected)


BAD_CSV = {
    "a short row": (b"a,b\n1,2\n3\n", r"as many values in each row.*Row #3: Expected 2 columns, got 1.*fix that row"),
    "a long row": (b"a,b\n1,2,3\n", "Row #2: Expected 2 columns, got 3"),
    "no header": (b"1,2\n3,4\n", "column a is missing; its first line names 1, 2"),
    "a column twice": (b"a,b,a\n1,2,3\n", "column names must be unique, a is there more than once"),
    "semicolons": (b"a;b\n1;2\n", "must have commas between its values; its first line is 'a;b'"),
    "tabs": (b"a\tb\n1\t2\n", "must have commas between its values"),
    "utf-16": ("a,b\n1,2\n".encode("utf-16"), "must be CSV in UTF-8"),
    "latin-1": (b"a,b\n1,\xe9\n", "in UTF-8.*invalid UTF8 data"),
    "latin-1 in the header": (b"a,\xe9,b\n1,2,3\n", "must be CSV in UTF-8; its first line is"),
    "parquet": (b"PAR1" + bytes(100), "must be CSV"),
    "an open quote": (b'a,b\n1,"2\n' + b"3,4\n" * 2_000_000, "a quote must be closed|must have at most 4 MiB"),
    "an open quote at the end": (b'a,b\n1,2\n3,"4\n5,6\n', "a quote must be closed"),
    "an open quote in another column": (b'a,b,c\n1,2,3\n3,4,"5\n6,7,8\n', "a quote must be closed"),
    "a name of megabytes": (b"a" * 2_000_000, "must begin with a line of column names"),
    "zeros": (bytes(1000), "must be CSV in UTF-8"),
    "nothing": (b"", "its first line names none"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", BAD_CSV)
def test_bad_csv_is_one_short_message(tmp_path, name):
    content, message = BAD_CSV[name]
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"(?s){message}") as error:
        rows_of(tmp_path / "t.csv", ["a", "b"])
    assert str(error.value).startswith(str(tmp_path / "t.csv"))
    assert len(str(error.value)) < 500


def test_csv_is_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(mmctr.inputs.csv_chunks, "BLOCK_BYTES", 1000)
    write_table(frame(*range(2000)), tmp_path / "t.csv")
    chunks = list(read_chunks(tmp_path / "t.csv", columns=["number"]))
    assert len(chunks) > 10
    assert [int(one) for chunk in chunks for one in chunk.column("number").to_pylist()] == list(range(2000))
