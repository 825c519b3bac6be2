"""The files of a log: parquet or CSV, one or many, and their columns a few hundred thousand rows at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.files import is_file
from mmctr.common.text import first_line, shown, shown_names
from mmctr.inputs.csv_chunks import csv_chunks, csv_names
from mmctr.inputs.files import find_table
from mmctr.inputs.from_logs.options import LogFormat
from mmctr.inputs.numbers import is_text, texts_of, value_type
from mmctr.inputs.tables import column_names, read_chunks

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".txt", ".inter", ".item", ".gz")


def find_logs(places: Sequence[Path]) -> list[Path]:
    """The files that `places` name: files, folders of part files, or patterns; sorted, each once.

    Raises:
        InputError: a place names nothing, or the files are of both kinds.
    """
    found: set[Path] = set()
    for place in places:
        files, problem = ([place], None) if is_file(place) else find_table(*_split_at_pattern(place))
        if problem is not None:
            raise InputError(f"LOGS must be files, folders of part files, or patterns of them: {shown(problem)}")
        found |= set(files)
    if len({is_parquet(path) for path in found}) > 1:
        raise InputError(
            "the files of a log must be all parquet or all CSV; "
            f"{shown_names(sorted(path.name for path in found))} are both; name those of one kind"
        )
    return sorted(found)


def _split_at_pattern(place: Path) -> tuple[Path, str]:
    """A folder, and below it the name or the pattern."""
    parts = place.parts
    plain = next((at for at, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts) - 1)
    return Path(*parts[:plain]), str(Path(*parts[plain:]))


def is_parquet(path: Path) -> bool:
    """By its name, or where that says nothing by its first bytes."""
    if path.name.lower().endswith(PARQUET):
        return True
    if path.name.lower().endswith(TEXT):
        return False
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def names_of(path: Path, log: LogFormat) -> list[str]:
    """Names of the columns of a file, those in the names of its folders included."""
    if is_parquet(path):
        return column_names([path])
    try:
        return csv_names(path, separator=_separator(path, log))
    except InputError as error:
        raise InputError(f"{error}; or say with --separator what is between its values") from error


def read_log(path: Path, log: LogFormat, *, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """These columns, some rows at a time, texts as String; those of CSV are all text, null where nothing is written.

    Raises:
        InputError: the file cannot be read to its end, or a column is missing or there twice.
    """
    if is_parquet(path):
        chunks = read_chunks([path], columns=columns)
    else:
        names = names_of(path, log)
        if any(names.count(name) > 1 for name in columns):
            raise InputError(f"{path}: names of columns must be unique; it has {shown_names(names)}; rename one")
        chunks = csv_chunks(path, columns=columns, separator=_separator(path, log), nulls=log.nulls)
    for chunk in chunks:
        try:
            yield pl.DataFrame([_column(chunk.column(name), name) for name in columns])
        except pa.ArrowInvalid as error:  # Polars would not see it
            raise InputError(f"{path} must have text in UTF-8: {first_line(error)}; write it anew") from error


def _column(column: pa.Array, name: str) -> pl.Series:
    if is_text(value_type(column.type)):
        column = texts_of(column)
    column.validate(full=True)
    return pl.Series(name, column)


def _separator(path: Path, log: LogFormat) -> str:
    """What the user says, or a tab where the line of names has one, else a comma."""
    if log.separator:
        return log.separator
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            return "\t" if b"\t" in stream.read(1 << 16).partition(b"\n")[0] else ","
    except OSError as error:
        raise_if_of_the_machine(error, path=path)
        raise InputError(f"{path} must be CSV: {first_line(error)}; copy or download it again") from error
