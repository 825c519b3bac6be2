"""The compact protocol of Thrift, as far as a parquet footer needs it: structs, lists, numbers and bytes."""

from collections.abc import Iterator

MOST_DEPTH = 32  # structs within structs; parquet.thrift needs eight
BYTE, I32, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = 3, 5, 7, 8, 9, 10, 11, 12, 13  # types of the protocol
TRUE, FALSE = 1, 2  # as types of a field they hold its value


class Reader:
    """Reads structs as positions in the bytes; IndexError where they end too early."""

    def __init__(self, content: bytes, at: int = 0) -> None:
        self._content, self._at = content, at

    def unsigned(self) -> int:
        """A whole number of 7 bits a byte."""
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
        """A number with a sign, as zigzag."""
        number = self.unsigned()
        return (number >> 1) ^ -(number & 1)

    def binary(self) -> bytes:
        """Bytes after their length."""
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


def encode_struct(fields: dict[int, tuple[int, bytes]]) -> bytes:
    """A struct of fields: type and encoded value by number."""
    before, content = 0, b""
    for number, (kind, value) in sorted(fields.items()):
        content += encode_field(before, number, kind, value)
        before = number
    return content + b"\0"


def encode_field(before: int, number: int, kind: int, value: bytes) -> bytes:
    """A field as the next after the one with number `before`."""
    step = number - before
    header = bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + encode_varint(number << 1)
    return header + value


def encode_list_header(kind: int, count: int) -> bytes:
    """What comes before `count` items of one type."""
    return bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + encode_varint(count)


def encode_varint(number: int) -> bytes:
    """A whole number, 0 or more, in 7 bits a byte."""
    content = b""
    while number > 0x7F:
        content += bytes([number & 0x7F | 0x80])
        number >>= 7
    return content + bytes([number])
