"""What is known of one member of an archive before it is unpacked."""

from typing import NamedTuple

# Kinds of members. Only a file can be an image; the others are named by their kind where they are reported.
FILE, FOLDER = "file", "folder"
SYMBOLIC_LINK, HARD_LINK, OLDER_VERSION = "symbolic link", "hard link", "older version of a file"


class Member(NamedTuple):
    """One entry of the listing: `size` is its number of bytes in the stream."""

    name: str
    size: int
    crc32: int | None
    blake2sp: bytes | None
    kind: str
    encrypted: bool
    unusable: str = ""  # why no tool can unpack this member, or nothing
