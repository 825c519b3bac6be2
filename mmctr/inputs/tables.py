"""Tables in one or several files, parquet or CSV: the wanted columns of all rows, a few rows at a time.

A column that is in no file may be in the folders' names, as Hive and Spark write it: `dt=2024-01-01/part-0.parquet`.
It is text then, the same in all rows of a file.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from mmctr.common.errors import InputError
from mmctr.common.text import shown, shown_names
from mmctr.inputs.csv_chunks import csv_chunks, csv_names, csv_rows, csv_schema
from mmctr.inputs.files import Files, listed
from mmctr.inputs.numbers import is_list, is_number, is_text
from mmctr.inputs.parquet_chunks import parquet_chunks, parquet_names, parquet_rows, parquet_schema

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def read_chunks(files: Files, *, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of a table, in as many rows at a time as fit into a few megabytes.

    Raises:
        InputError: a column is missing or there twice, or a file cannot be read to its end.
    """
    for _, chunk in located_chunks(files, columns=columns):
        yield chunk


def located_chunks(files: Files, *, columns: Sequence[str]) -> Iterator[tuple[Path, pa.RecordBatch]]:
    """The chunks of `read_chunks`, each with its file."""
    for path in _with_rows(files):
        names = _names(path)
        _check_names(path, names=names, columns=columns)
        own = [name for name in columns if name in names]
        read = csv_chunks if is_csv(path) else parquet_chunks
        added = {name: value for name, value in partition(path).items() if name in columns and name not in own}
        for chunk in read(path, columns=own or names[:1]):  # one column at least, to know the number of rows
            for name, value in added.items():
                chunk = chunk.append_column(name, pa.array([value] * len(chunk), pa.string()))
            yield path, chunk


def column_names(files: Files) -> list[str]:
    """Names of all columns of a table, those in the names of its folders included.

    Raises:
        InputError: its first file cannot be read.
    """
    path = _with_rows(files)[0]
    names = _names(path)
    return [*names, *(name for name in partition(path) if name not in names)]


def column_types(files: Files, *, columns: Sequence[str]) -> dict[str, pa.DataType]:
    """Type of each of some columns, as the first file has it in which not all values are missing.

    Raises:
        InputError: a column is missing or there twice, files have it as values of different kinds, or one cannot be
            read.
    """
    found: dict[str, tuple[Path, pa.DataType]] = {}
    for path in _with_rows(files):
        for name, kind in _types(path, columns=columns).items():
            known = found.setdefault(name, (path, kind))
            if _family(known[1]) == "nothing":
                found[name] = (path, kind)
            elif _family(kind) not in ("nothing", _family(known[1])):
                raise InputError(
                    f"{path}: column {name} must be of one kind in all files of the table; it is "
                    f"{shown(str(kind), limit=80)} here and {shown(str(known[1]), limit=80)} in {known[0].name}; "
                    "write both alike"
                )
    return {name: kind for name, (_, kind) in found.items()}


def count_rows(files: Files) -> int:
    """How many rows a table has.

    Raises:
        InputError: a file cannot be read.
    """
    return sum(_rows(path) for path in listed(files))


def is_csv(path: Path) -> bool:
    """Whether a file is read as CSV."""
    return path.suffix.lower() == ".csv"


def partition(path: Path) -> dict[str, str | None]:
    """Columns in the names of the folders right above a file, with their value."""
    found = {}
    for folder in path.parents:
        name, equals, value = folder.name.partition("=")
        if not (name and equals):
            break
        found[unquote(name)] = None if value == NULL_PARTITION else unquote(value)
    return dict(reversed(found.items()))


def _with_rows(files: Files) -> list[Path]:
    """The files of a table; of several those that have rows, as an empty part may have no columns, or others."""
    paths = listed(files)
    if len(paths) == 1:
        return paths
    return [path for path in paths if not _is_empty(path)] or paths[:1]


def _is_empty(path: Path) -> bool:
    if not is_csv(path):
        return parquet_rows(path) == 0
    names = csv_names(path)
    return not names or not any(len(chunk) for chunk in csv_chunks(path, columns=names[:1]))


def _names(path: Path) -> list[str]:
    return csv_names(path) if is_csv(path) else parquet_names(path)


def _rows(path: Path) -> int:
    return csv_rows(path) if is_csv(path) else parquet_rows(path)


def _types(path: Path, *, columns: Sequence[str]) -> dict[str, pa.DataType]:
    names = _names(path)
    _check_names(path, names=names, columns=columns)
    own = [name for name in columns if name in names]
    schema = csv_schema(own) if is_csv(path) else parquet_schema(path, columns=own)
    types = {field.name: field.type for field in schema}
    return {name: types.get(name, pa.string()) for name in columns}


def _check_names(path: Path, *, names: Sequence[str], columns: Sequence[str]) -> None:
    inner = partition(path)
    for name in columns:
        if name not in names and name not in inner:
            has = "its first line names" if is_csv(path) else "it has"
            raise InputError(f"{path}: column {shown(name)} is missing; {has} {shown_names(names)}")
        if names.count(name) > 1:
            raise InputError(f"{path}: column names must be unique, {shown(name)} is there more than once; rename one")


def _family(kind: pa.DataType) -> str:
    """What of a type must be the same in all files of a table."""
    if pa.types.is_null(kind):
        return "nothing"
    if pa.types.is_dictionary(kind):
        return _family(kind.value_type)
    if is_list(kind):
        inner = _family(kind.value_type)
        return inner if inner == "nothing" else f"list of {inner}"
    if is_number(kind) or pa.types.is_boolean(kind):
        return "number"
    return "text" if is_text(kind) else str(kind)
