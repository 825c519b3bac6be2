"""What is known of one member of a source before its bytes are read."""

from typing import NamedTuple

# Kinds of members. Only a file can be an image; the others are named by their kind where they are reported.
FILE, FOLDER = "file", "folder"
SYMBOLIC_LINK, HARD_LINK, OLDER_VERSION = "symbolic link", "hard link", "older version of a file"
SPARSE, SPECIAL = "sparse file", "special file"  # the latter is a device, a pipe, or nothing that has a name


class Member(NamedTuple):
    """One entry of the listing: `size` is its number of bytes in the stream."""

    name: str
    size: int
    kind: str
    crc32: int | None = None
    blake2sp: bytes | None = None
    encrypted: bool = False
    unusable: str = ""  # why this member cannot be read, or nothing
