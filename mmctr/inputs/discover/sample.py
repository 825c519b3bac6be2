"""Some thousand rows of a table, and what they say of each column. Nothing is read beyond bounds.

Legend: R rows that were looked at.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from mmctr.common.errors import InputError
from mmctr.common.text import first_line
from mmctr.inputs.discover.find import TableFiles
from mmctr.inputs.numbers import is_list, is_number, is_text, value_type, without_dictionary
from mmctr.inputs.tables import column_names, read_chunks

MOST_ROWS = 4096
MOST_BYTES = 64 << 20  # of a sample, unpacked
MOST_COLUMNS = 200
LONGEST_NAME = 500  # characters, as in a setting
LONGEST_TEXT = 10_000  # characters of a value that are looked at
SPARSEST_VECTOR = 8  # numbers in a list that may be a vector
Shape = Literal["flag", "integer", "number", "text", "time", "ids", "vector", "other"]
_INTEGER, _NUMBER = re.compile(r"-?\d{1,19}"), re.compile(r"-?\d+(\.\d*)?([eE][-+]?\d+)?|-?\.\d+")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T].*)?")
_FLAGS = {"0", "1", "0.0", "1.0", "true", "false", "True", "False"}


@dataclass(frozen=True)
class Column:
    """What a sample says of a column.

    Attributes:
        name: its name.
        shape: `flag`: 0 and 1, and both are there; `integer`, `number`, `text`, `time`; `ids`: lists of whole numbers
            or texts; `vector`: lists of floats of one length; `other`: what none of these is.
        is_text: whether its values, or the entries of its lists, are stored as text.
        rows: that were looked at.
        nulls: of these, without a value.
        texts: its values as text, in their order; of lists their entries; none of vectors.
        width: length of a list where all have the same.
        longest: of the lists.
    """

    name: str
    shape: Shape
    is_text: bool
    rows: int
    nulls: int
    texts: tuple[str, ...] = ()
    width: int = 0
    longest: int = 0

    @property
    def values(self) -> frozenset[str]:
        """Different values."""
        return frozenset(self.texts)

    @property
    def is_unique(self) -> bool:
        """Whether no value is there twice and none is missing, as for an id."""
        scalar = self.shape in ("flag", "integer", "text")
        return scalar and not self.nulls and self.rows > 1 and len(self.values) == self.rows


@dataclass(frozen=True)
class Sample:
    """The beginning of a table.

    Attributes:
        name: of the table, as a layout has it.
        table: its files.
        rows: that were looked at.
        is_whole: whether that was all.
        columns: that can be a part of a layout.
        left_out: names of others, as they can be shown.
    """

    table: TableFiles
    rows: int
    is_whole: bool
    columns: tuple[Column, ...]
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the table, as a layout has it."""
        return self.table.name

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)


def sample_table(table: TableFiles) -> Sample:
    """Look at the first rows of the first file of a table.

    Raises:
        InputError: it cannot be read.
    """
    first = table.files[0]
    names = column_names(first)
    good = [name for name in names if name and len(name) <= LONGEST_NAME and names.count(name) == 1][:MOST_COLUMNS]
    chunks, rows, size, is_whole = [], 0, 0, True
    for chunk in read_chunks(first, columns=good) if good else ():
        chunks.append(chunk.slice(0, MOST_ROWS - rows))
        rows, size = rows + len(chunks[-1]), size + chunk.nbytes
        if rows == MOST_ROWS or size > MOST_BYTES:  # another chunk is not fetched to see whether there is one
            is_whole = False
            break
    columns = [_column(name, [chunk.column(name) for chunk in chunks], rows=rows) for name in good]
    usable = tuple(column for column in columns if column.shape != "other")
    left_out = tuple(dict.fromkeys(name for name in names if all(name != column.name for column in usable)))
    return Sample(table, rows, is_whole and len(table.files) == 1, usable, left_out)


def all_ids(table: TableFiles, column: str, *, most: int) -> tuple[frozenset[str], bool]:
    """Values of a column of whole numbers or texts, as text, of the first `most` rows, and whether these are all.

    Raises:
        InputError: the table cannot be read to its end.
    """
    found: set[str] = set()
    rows = 0
    for chunk in read_chunks(table.files, columns=[column]):
        if rows + len(chunk) > most:
            return frozenset(found), False
        rows += len(chunk)
        found.update(_texts(chunk.column(column)))
    return frozenset(found), True


def _column(name: str, parts: Sequence[pa.Array], *, rows: int) -> Column:
    """What the parts of a column say, of types that PyArrow reads in many ways and nobody has asked for."""
    try:
        return _described(name, parts, rows=rows)
    except (pa.ArrowException, InputError, ValueError, TypeError, OverflowError):
        return Column(name, "other", is_text=False, rows=rows, nulls=0)


def _described(name: str, parts: Sequence[pa.Array], *, rows: int) -> Column:
    nulls = sum(part.null_count for part in parts)
    parts = [without_dictionary(part) for part in parts]
    kind = parts[0].type if parts else pa.null()
    if is_list(kind):
        return _of_lists(name, parts, rows=rows, nulls=nulls)
    if pa.types.is_temporal(kind):
        return Column(name, "time", is_text=False, rows=rows, nulls=nulls)
    texts = [text for part in parts for text in _texts(part)]
    if pa.types.is_boolean(kind):
        return Column(name, _shape(texts, text=False), is_text=False, rows=rows, nulls=nulls, texts=tuple(texts))
    if not (is_number(kind) or is_text(kind)):
        return Column(name, "other", is_text=False, rows=rows, nulls=nulls)
    if is_text(kind):  # an empty text of CSV is no value
        nulls += texts.count("")
        texts = [text for text in texts if text]
    shape = _shape(texts, text=is_text(kind))
    return Column(name, shape, is_text=is_text(kind), rows=rows, nulls=nulls, texts=tuple(texts))


def _of_lists(name: str, parts: Sequence[pa.Array], *, rows: int, nulls: int) -> Column:
    lengths = {length for part in parts for length in part.value_lengths().drop_null().to_pylist()}
    width = lengths.copy().pop() if len(lengths) == 1 else 0
    entries = [without_dictionary(part.flatten()) for part in parts]
    kind = value_type(parts[0].type.value_type)
    if pa.types.is_floating(kind) and width >= SPARSEST_VECTOR:
        return Column(name, "vector", is_text=False, rows=rows, nulls=nulls, width=width, longest=width)
    if not (is_number(kind) or is_text(kind)):
        return Column(name, "other", is_text=False, rows=rows, nulls=nulls)
    texts = tuple(text for part in entries for text in _texts(part.drop_null()))
    longest = max(lengths, default=0)
    return Column(name, "ids", is_text(kind), rows=rows, nulls=nulls, texts=texts, width=width, longest=longest)


def _texts(column: pa.Array) -> list[str]:
    """Values of a column of numbers, booleans or texts that are no null, as text.

    Raises:
        ValueError: bytes are no UTF-8.
    """
    return [_text(value) for value in without_dictionary(column).drop_null().to_pylist()]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()[:LONGEST_TEXT]
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():  # as pandas writes whole numbers where one was missing
        return str(int(value))
    return str(value)[:LONGEST_TEXT]


def _shape(texts: Sequence[str], *, text: bool) -> Shape:
    different = set(texts)
    if len(different) > 1 and different <= _FLAGS:
        return "flag"
    if different and all(_INTEGER.fullmatch(one) for one in different):
        return "integer"
    if different and all(_NUMBER.fullmatch(one) or (not text and one == "nan") for one in different):
        return "number"
    if different and all(_TIME.fullmatch(one) for one in different):
        return "time"
    return "text" if text else "number"


def problem_of(error: InputError, table: TableFiles) -> str:
    """Why a table cannot be read, in a line without its path."""
    return first_line(error).removeprefix(str(table.files[0])).lstrip(": ").removeprefix("is ")
