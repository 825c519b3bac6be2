"""The footer of a parquet file, cut down to the columns that are needed, before any library reads it.

Libraries type all columns when they open a file, so that one odd column that nobody asked for makes the whole file
unreadable: a time zone that Polars does not know (it panics), integers of 128 bits, annotations of a later version.
Here the names are read, and the footer is written anew with the needed columns alone. The notes that a writer adds of
its own types (`ARROW:schema`, pandas' index) are left out too: a category, a dictionary or a list view is then read
as the text or the list that is stored. What a footer may claim is bounded by its length, which is bounded.

The footer is a Thrift struct in the compact protocol; the field numbers are those of parquet.thrift.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from mmctr.inputs.thrift import (
    BINARY,
    I32,
    LIST,
    STRUCT,
    Reader,
    encode_list_header,
    encode_struct,
    encode_varint,
)

MAGIC, ENCRYPTED = b"PAR1", b"PARE"
MOST_BYTES = 16 << 20  # of a footer: about 80,000 columns, in 15 s
MOST_NESTED = 64  # schema elements of one needed column; a list of numbers has three


class FooterError(ValueError):
    """There is no parquet footer that can be read; the message says why."""


@dataclass(frozen=True)
class _Column:
    """A column at the top of the schema: its elements there, and its chunks in each row group."""

    name: str
    elements: slice
    leaves: slice


class Footer:
    """The footer of one file."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            FooterError: it is none.
            OSError: the file cannot be read.
        """
        self._bytes = _footer_bytes(path)
        try:
            self._fields = dict(Reader(self._bytes).struct())
            self._elements, self._columns = self._schema()
        except (IndexError, KeyError, RecursionError, TypeError) as error:
            raise FooterError("its footer is damaged") from error

    @property
    def names(self) -> list[str]:
        """Names of all columns, in their order."""
        return [column.name for column in self._columns]

    def only(self, columns: Sequence[str]) -> pq.FileMetaData:
        """The footer of a file that holds only `columns`, each of which must be there once.

        Raises:
            FooterError: it is damaged.
            pyarrow.ArrowException: PyArrow cannot read it.
        """
        kept = [column for column in self._columns if column.name in columns]
        for column in kept:
            if column.elements.stop - column.elements.start > MOST_NESTED:
                raise FooterError(f"column {column.name} is nested, it must be plain or a list")
        elements = b"".join(b"".join(self._elements[column.elements]) for column in kept)
        count = sum(column.elements.stop - column.elements.start for column in kept)
        name, children = encode_varint(6) + b"schema", encode_varint(len(kept) << 1)
        root = encode_struct({4: (BINARY, name), 5: (I32, children)})
        try:
            groups = [self._group(start, kept) for _, start, _ in self._list(4)]
        except (IndexError, KeyError, TypeError) as error:
            raise FooterError("its footer is damaged") from error
        fields = {
            1: (I32, encode_varint(4)),
            2: (LIST, encode_list_header(STRUCT, count + 1) + root + elements),
            3: self._raw(3),
            4: (LIST, encode_list_header(STRUCT, len(groups)) + b"".join(groups)),
            **({6: self._raw(6)} if 6 in self._fields else {}),  # the writer's name: what old ones did wrong is known
        }
        content = encode_struct(fields)
        file = MAGIC + content + len(content).to_bytes(4, "little") + MAGIC
        return pq.read_metadata(io.BytesIO(file))

    def _raw(self, number: int) -> tuple[int, bytes]:
        kind, start, stop = self._fields[number]
        return kind, self._bytes[start:stop]

    def _list(self, number: int) -> Iterator[tuple[int, int, int]]:
        kind, start, _ = self._fields[number]
        if kind != LIST:
            raise FooterError("its footer is damaged")
        return Reader(self._bytes, start).items()

    def _schema(self) -> tuple[list[bytes], list[_Column]]:
        """The elements of the schema as bytes, without its root, and the columns that they make."""
        elements, names, children = [], [], []
        for _, start, stop in self._list(2):
            fields = dict(Reader(self._bytes, start).struct())
            elements.append(self._bytes[start:stop])
            names.append(Reader(self._bytes, fields[4][1]).binary())
            children.append(Reader(self._bytes, fields[5][1]).integer() if 5 in fields else 0)
        columns = []
        at = leaf = 0
        for _ in range(children[0]):
            begin, first_leaf, open_elements = at, leaf, 1
            while open_elements:
                inner = children[at + 1]
                open_elements += inner - 1
                leaf += inner == 0
                at += 1
                if inner < 0:
                    raise FooterError("its footer is damaged")
            columns.append(
                _Column(names[begin + 1].decode(errors="replace"), slice(begin, at), slice(first_leaf, leaf))
            )
        return elements[1:], columns

    def _group(self, start: int, kept: Sequence[_Column]) -> bytes:
        """A row group with the chunks of some columns; how it is sorted is left out: that counts all columns."""
        fields = dict(Reader(self._bytes, start).struct())
        chunks = list(Reader(self._bytes, fields[1][1]).items())
        wanted = [self._chunk(column, *chunk) for column in kept for chunk in chunks[column.leaves]]
        if len(wanted) != sum(column.leaves.stop - column.leaves.start for column in kept):
            raise FooterError("its footer is damaged")
        plain = {number: (kind, self._bytes[a:b]) for number, (kind, a, b) in fields.items() if number not in (1, 4)}
        return encode_struct({**plain, 1: (LIST, encode_list_header(STRUCT, len(wanted)) + b"".join(wanted))})

    def _chunk(self, column: _Column, _: int, start: int, stop: int) -> bytes:
        """A column's chunk of a row group; PyArrow ends the process where one is encrypted."""
        fields = dict(Reader(self._bytes, start).struct())
        if 3 not in fields or 8 in fields:
            raise FooterError(f"column {column.name} is encrypted; write it without encryption")
        return self._bytes[start:stop]


def _footer_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        if size < 12:
            raise FooterError(f"it has {size} bytes")
        stream.seek(size - 8)
        length, magic = int.from_bytes(stream.read(4), "little"), stream.read(4)
        if magic == ENCRYPTED:
            raise FooterError("it is encrypted; write it without encryption")
        if magic != MAGIC:
            raise FooterError("it does not end as parquet files do")
        if length > size - 12:
            raise FooterError("its footer is longer than the file")
        if length > MOST_BYTES:
            raise FooterError(
                f"its footer has {length >> 20} MiB, more than {MOST_BYTES >> 20}; write it with fewer columns"
            )
        stream.seek(size - 8 - length)
        return stream.read(length)
