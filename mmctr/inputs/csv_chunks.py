"""Wanted columns of one CSV file, a few megabytes at a time; every value is text, and an empty one is missing.

A separator between the values, which is a comma in a data set, a header as the first line, UTF-8; values may be quoted,
and hold line ends then. A file whose name ends in .gz is unpacked on the way.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.text import first_line, shown_value

BLOCK_BYTES = 4 << 20  # that are read at a time; no row may be longer
HEADER_BYTES = 1 << 20  # in which the header must end
UTF16 = (b"\xff\xfe", b"\xfe\xff")
SEPARATORS = ";\t|"  # that other programs put where a comma must be
_NAMES = {",": "commas", "\t": "tabs"}


def csv_names(path: Path, *, separator: str = ",") -> list[str]:
    """Names of all columns; none where the file is empty.

    Raises:
        InputError: the file begins with no header that can be read.
    """
    with _readable(path), pa.input_stream(str(path), compression="detect") as stream:
        start = stream.read(HEADER_BYTES)
    if start.startswith(UTF16) or b"\0" in start[:1000]:
        raise InputError(f"{path} must be CSV in UTF-8, and it is none; write it as UTF-8")
    if start.startswith(b"PAR1"):
        raise InputError(f"{path} must be CSV, and it is parquet; rename it to end in .parquet")
    text = start.decode("utf-8-sig", errors="replace")
    try:
        names = next(
            (row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True) if row), []
        )
    except csv.Error as error:
        raise InputError(
            f"{path} must begin with a line of column names: {first_line(error)}; add one, with commas between"
        ) from error
    if any("\ufffd" in name for name in names):
        raise InputError(f"{path} must be CSV in UTF-8; its first line is {shown_value(','.join(names))}; write it so")
    if len(names) == 1 and any(other in names[0] for other in SEPARATORS):
        between = _NAMES.get(separator, repr(separator))
        raise InputError(
            f"{path} must have {between} between its values; its first line is {shown_value(names[0])}; write it so"
        )
    return names


def csv_rows(path: Path) -> int:
    """How many rows a CSV file has, its header left out.

    Raises:
        InputError: the file cannot be read to its end.
    """
    names = csv_names(path)
    return sum(len(chunk) for chunk in csv_chunks(path, columns=names[:1])) if names else 0


def csv_schema(columns: Sequence[str]) -> pa.Schema:
    """All columns are text."""
    return pa.schema([(name, pa.string()) for name in columns])


def csv_chunks(
    path: Path, *, columns: Sequence[str], separator: str = ",", nulls: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Some columns, each of which is there once; beside an empty value, `nulls` are missing ones.

    Raises:
        InputError: the file cannot be read to its end.
    """
    with _readable(path), _Quotes(path) as file:
        reader = pa.csv.open_csv(
            file,
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
            parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=csv_schema(columns),
                include_columns=list(columns),
                strings_can_be_null=True,
                null_values=["", *nulls],
            ),
        )
        yield from reader
        if file.count % 2:
            _check_last_quote(path, separator=separator)


class _Quotes(io.RawIOBase):
    """The bytes of a file, unpacked, with the number of quotes among those that were read."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._stream = pa.input_stream(str(path), compression="detect")
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        content: bytes = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        self.count += content.count(b'"')
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _check_last_quote(path: Path, *, separator: str) -> None:
    """Refuse a file whose last value is a quote that nobody closes: Arrow would return all rows after it as a text.

    A quote within a value that does not begin with one is a letter, as in `a 5" screen`.
    """
    with io.TextIOWrapper(
        io.BufferedReader(_Quotes(path)), encoding="utf-8-sig", errors="replace", newline=""
    ) as lines:
        rows = csv.reader(lines, delimiter=separator, strict=True)
        try:
            for _ in rows:
                pass
        except csv.Error as error:
            raise InputError(
                f"{path}: a quote must be closed; one that opens before line {rows.line_num:,} is not "
                f"({first_line(error)}); close it, or double a quote within a value"
            ) from error


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what PyArrow says of a file that is damaged into an InputError."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path} must be a CSV file; there is none") from error
    except (pa.ArrowException, OSError) as error:
        raise_if_of_the_machine(error, path=path)
        if "straddling" in str(error):
            raise InputError(
                f"{path}: a row of a CSV file must have at most {BLOCK_BYTES >> 20} MiB, one has more; is a quote left "
                "open, or a line end missing?"
            ) from error
        raise InputError(
            f"{path} must be CSV with as many values in each row as in its first, in UTF-8: {first_line(error)} "
            "(the header is row #1); fix that row, or quote its commas"
        ) from error
