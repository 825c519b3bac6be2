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

MAGIC, ENCRYPTED = b"PAR1", b"PARE"
MOST_BYTES = 16 << 20  # of a footer: about 80,000 columns, which take 15 s
MOST_NESTED = 64  # schema elements of one needed column; a list of numbers has three
MOST_DEPTH = 32  # structs within structs; parquet.thrift needs eight
BYTE, I32, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = 3, 5, 7, 8, 9, 10, 11, 12, 13  # types of the protocol
TRUE, FALSE = 1, 2  # as types of a field they hold its value


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
            self._fields = dict(_Reader(self._bytes).struct())
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
        root = _field(0, 4, BINARY, _varint(6) + b"schema") + _field(4, 5, I32, _varint(len(kept) << 1)) + b"\0"
        try:
            groups = [self._group(start, kept) for _, start, _ in self._list(4)]
        except (IndexError, KeyError, TypeError) as error:
            raise FooterError("its footer is damaged") from error
        fields = {
            1: (I32, _varint(4)),
            2: (LIST, _list_header(STRUCT, count + 1) + root + elements),
            3: self._raw(3),
            4: (LIST, _list_header(STRUCT, len(groups)) + b"".join(groups)),
            **({6: self._raw(6)} if 6 in self._fields else {}),  # the writer's name: what old ones did wrong is known
        }
        content = _struct(fields)
        file = MAGIC + content + len(content).to_bytes(4, "little") + MAGIC
        return pq.read_metadata(io.BytesIO(file))

    def _raw(self, number: int) -> tuple[int, bytes]:
        kind, start, stop = self._fields[number]
        return kind, self._bytes[start:stop]

    def _list(self, number: int) -> Iterator[tuple[int, int, int]]:
        kind, start, _ = self._fields[number]
        if kind != LIST:
            raise FooterError("its footer is damaged")
        return _Reader(self._bytes, start).items()

    def _schema(self) -> tuple[list[bytes], list[_Column]]:
        """The elements of the schema as bytes, without its root, and the columns that they make."""
        elements, names, children = [], [], []
        for _, start, stop in self._list(2):
            fields = dict(_Reader(self._bytes, start).struct())
            elements.append(self._bytes[start:stop])
            names.append(_Reader(self._bytes, fields[4][1]).binary())
            children.append(_Reader(self._bytes, fields[5][1]).integer() if 5 in fields else 0)
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
        """A row group with the chunks of some columns; how it is sorted is told by the numbers of all, and left out."""
        fields = dict(_Reader(self._bytes, start).struct())
        chunks = list(_Reader(self._bytes, fields[1][1]).items())
        wanted = [self._chunk(column, *chunk) for column in kept for chunk in chunks[column.leaves]]
        if len(wanted) != sum(column.leaves.stop - column.leaves.start for column in kept):
            raise FooterError("its footer is damaged")
        plain = {number: (kind, self._bytes[a:b]) for number, (kind, a, b) in fields.items() if number not in (1, 4)}
        return _struct({**plain, 1: (LIST, _list_header(STRUCT, len(wanted)) + b"".join(wanted))})

    def _chunk(self, column: _Column, _: int, start: int, stop: int) -> bytes:
        """A column's chunk of a row group; PyArrow ends the process where one is encrypted."""
        fields = dict(_Reader(self._bytes, start).struct())
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
                f"its footer takes {length >> 20} MiB, more than {MOST_BYTES >> 20}; write it with fewer columns"
            )
        stream.seek(size - 8 - length)
        return stream.read(length)


class _Reader:
    """The compact protocol of Thrift, as places in the bytes; IndexError where they end too early."""

    def __init__(self, content: bytes, at: int = 0) -> None:
        self._content, self._at = content, at

    def unsigned(self) -> int:
        value = shift = 0
        while (byte := self._content[self._at]) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            self._at += 1
            if shift > 63:
                raise IndexError
        self._at += 1
        return value | byte << shift

    def integer(self) -> int:
        number = self.unsigned()
        return (number >> 1) ^ -(number & 1)

    def binary(self) -> bytes:
        length = self.unsigned()
        self._at += length
        if self._at > len(self._content):
            raise IndexError
        return self._content[self._at - length : self._at]

    def struct(self, depth: int = 0) -> Iterator[tuple[int, tuple[int, int, int]]]:
        """Number of each field, with its type and where its value starts and stops."""
        number = 0
        while header := self._content[self._at]:
            self._at += 1
            number = number + (header >> 4) if header >> 4 else self.integer()
            kind, start = header & 15, self._at
            if kind not in (TRUE, FALSE):
                self._skip(kind, depth)
            yield number, (kind, start, self._at)
        self._at += 1

    def items(self, depth: int = 0) -> Iterator[tuple[int, int, int]]:
        """Type of each item of a list, and where it starts and stops."""
        header = self._content[self._at]
        self._at += 1
        count = header >> 4 if header >> 4 < 15 else self.unsigned()
        kind = header & 15
        for _ in range(count):
            start = self._at
            self._skip(BYTE if kind in (TRUE, FALSE) else kind, depth)
            yield kind, start, self._at

    def _skip(self, kind: int, depth: int) -> None:
        if depth > MOST_DEPTH:
            raise IndexError
        if kind in (4, I32, 6):
            while self._content[self._at] & 0x80:
                self._at += 1
            self._at += 1
        elif kind == BINARY:
            self.binary()
        elif kind == STRUCT:
            for _ in self.struct(depth + 1):
                pass
        elif kind in (LIST, SET):
            for _ in self.items(depth + 1):
                pass
        elif kind in (BYTE, DOUBLE, UUID):
            self._at += {BYTE: 1, DOUBLE: 8, UUID: 16}[kind]
        else:  # parquet.thrift has no maps
            raise IndexError
        if self._at > len(self._content):
            raise IndexError


def _struct(fields: dict[int, tuple[int, bytes]]) -> bytes:
    before, content = 0, b""
    for number, (kind, value) in sorted(fields.items()):
        content += _field(before, number, kind, value)
        before = number
    return content + b"\0"


def _field(before: int, number: int, kind: int, value: bytes) -> bytes:
    """A field as the next after the one with number `before`."""
    step = number - before
    header = bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _varint(number << 1)
    return header + value


def _list_header(kind: int, count: int) -> bytes:
    return bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + _varint(count)


def _varint(number: int) -> bytes:
    content = b""
    while number > 0x7F:
        content += bytes([number & 0x7F | 0x80])
        number >>= 7
    return content + bytes([number])
