"""The files of a log: parquet or CSV, one or many, and their columns a few hundred thousand rows at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.files import is_file
from mmctr.common.text import first_line, shown, shown_names
from mmctr.inputs.columns import column_names, read_chunks
from mmctr.inputs.files import find_table
from mmctr.inputs.from_logs.options import LogFormat

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".txt", ".inter", ".item", ".gz")
BLOCK_BYTES = 8 << 20  # of CSV at a time; the header and each row must fit


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
    """Names of the columns of a file."""
    if is_parquet(path):
        return column_names(path)
    with _open_csv(path, log) as reader:
        return list(reader.schema.names)


def read_log(path: Path, log: LogFormat, *, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """These columns, some rows at a time; those of CSV are all text, with null where nothing is written.

    Raises:
        InputError: the file cannot be read to its end, or a column is missing or there twice.
    """
    if is_parquet(path):
        for chunk in read_chunks(path, columns=columns):
            try:
                chunk.validate(full=True)  # a text that is no UTF-8 would reach Polars unseen
            except pa.ArrowInvalid as error:
                raise InputError(f"{path} must have text in UTF-8: {first_line(error)}; write it anew") from error
            yield chunk
        return
    names = names_of(path, log)
    for name in columns:
        if names.count(name) != 1:
            fault = "is missing" if name not in names else "is there more than once"
            raise InputError(f"{path}: column {shown(name)} {fault}; it has {shown_names(names)}")
    with _open_csv(path, log, columns=columns) as reader:
        yield from reader


@contextmanager
def _open_csv(path: Path, log: LogFormat, *, columns: Sequence[str] = ()) -> Iterator[pc.CSVStreamingReader]:
    separator = log.separator or _separator_of(path)
    try:
        with pc.open_csv(
            path,
            read_options=pc.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
            parse_options=pc.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pc.ConvertOptions(
                include_columns=list(columns),
                column_types=dict.fromkeys(columns, pa.string()),
                strings_can_be_null=True,
                null_values=["", *log.nulls],
            ),
        ) as reader:
            yield reader
    except (pa.ArrowException, OSError) as error:
        raise_if_of_the_machine(error, path=path)
        raise InputError(
            f"{path} must be CSV in UTF-8 with a line of column names, its columns separated by {separator!r}: "
            f"{first_line(error)}; correct that line, or say what separates columns with --separator"
        ) from error


def _separator_of(path: Path) -> str:
    """A tab where the line of names has one, else a comma."""
    with pa.input_stream(str(path), compression="detect") as stream:
        return "\t" if b"\t" in stream.read(1 << 16).partition(b"\n")[0] else ","
