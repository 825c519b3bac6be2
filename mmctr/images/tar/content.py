"""The bytes of a tar archive from its beginning to its end, plain or as they are decompressed."""

from typing import BinaryIO, Protocol

import pyarrow

CHUNK_BYTES = 1 << 20
MAX_END_BYTES = 64 << 20  # of zeros behind the end mark; tar fills up its last record, 10 KiB by default


class CutOffError(Exception):
    """The archive has fewer bytes than its headers say."""

    def __init__(self) -> None:
        super().__init__("it ends too early")


class Content(Protocol):
    """Bytes that are read in one direction."""

    def exactly(self, size: int) -> bytes:
        """The next bytes, all of which are held in memory; raises CutOffError where there are fewer."""

    def skip(self, size: int) -> None:
        """Pass over the next bytes; raises CutOffError where there are fewer."""

    def up_to(self, size: int) -> bytes:
        """The next bytes, fewer at the end alone."""


class PlainBytes:
    """A file that is no more than the archive."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, 2)
        file.seek(0)

    def up_to(self, size: int) -> bytes:
        return self._file.read(size)

    def exactly(self, size: int) -> bytes:
        content = self._file.read(min(size, self._size))
        if len(content) != size:
            raise CutOffError
        return content

    def skip(self, size: int) -> None:
        if size > self._size - self._file.tell():
            raise CutOffError
        self._file.seek(size, 1)


class CompressedBytes:
    """A file whose bytes are the archive once they are decompressed; PyArrow checks what the format checks."""

    def __init__(self, file: BinaryIO, *, codec: str) -> None:
        self._stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), codec)

    def up_to(self, size: int) -> bytes:
        found = []
        while size:
            chunk = self._stream.read(min(size, CHUNK_BYTES))
            if not chunk:
                break
            found.append(chunk)
            size -= len(chunk)
        return b"".join(found)

    def exactly(self, size: int) -> bytes:
        content = self.up_to(size)
        if len(content) != size:
            raise CutOffError
        return content

    def skip(self, size: int) -> None:
        while size:
            chunk = self._stream.read(min(size, CHUNK_BYTES))
            if not chunk:
                raise CutOffError
            size -= len(chunk)


def check_end(content: Content) -> None:
    """Read to the end, where zeros alone may be left: a second archive behind the first would be lost in silence."""
    left = MAX_END_BYTES
    while chunk := content.up_to(min(left, CHUNK_BYTES)):
        left -= len(chunk)
        if chunk.count(0) != len(chunk) or left == 0:
            raise ValueError("it goes on behind its end mark")
