"""What is known of one member of an archive before it is unpacked."""

from typing import NamedTuple


class Member(NamedTuple):
    """One entry of the listing: `size` is the number of bytes it gives to the stream."""

    name: str
    size: int
    crc32: int | None
    blake2sp: bytes | None
    is_folder: bool
    is_link: bool
    encrypted: bool
