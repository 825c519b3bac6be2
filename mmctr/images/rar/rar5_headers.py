"""The headers of an ordinary RAR5 archive, read in a quarter of the time that rarfile needs.

Ordinary is one volume of files and folders: nothing encrypted, no link, no comment, every header whole. Of such an
archive this gives what rarfile gives, member for member. Whatever is not ordinary, damage above all, is left to rarfile
without a word about it, so that rarfile alone says what is wrong with an archive: `listing` calls both.

A header is its CRC32, its size, a type, flags, and fields by type; a field is mostly a number of seven bits a byte, the
lowest first, whose last byte is below 0x80. Source: RAR 5.0 archive format, https://www.rarlab.com/technote.htm.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from zlib import crc32

from mmctr.images.rar.headers import MAX_HEADERS
from mmctr.images.rar.member import FILE, FOLDER, Member

SIGNATURE = b"Rar!\x1a\x07\x01\x00"
PIECE_BYTES = 1 << 15  # read at a time, as small members lie close together; a longer header is not ordinary
HEADER_BYTES = 1024  # of a piece must be left for the next header, or else a new piece begins there
SERVICE = b"\x03"
COMMENT = b"CMT"  # the one service record that rarfile reads on; others, as for recovery, say nothing of the members
HASH_BYTES = 32
HASH_START = bytes([HASH_BYTES + 2, 2, 0])  # an extra record: size, kind 2, BLAKE2sp

NUMBER = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
SHORT = rb"[\x80-\xff]{0,2}[\x00-\x7f]"  # below 2 MiB, where rarfile stops reading headers
# Each looks at the byte of flags that follows and holds it if its bit is set; (?(4)x) then is: x if group 4 holds.
BIT_0, BIT_1, BIT_2 = rb"(?=([\x01\x03\x05\x07])?)", rb"(?=([\x02\x03\x06\x07])?)", rb"(?=([\x04-\x07])?)"
START = rb"(.{4})(%b)" % SHORT  # 1: CRC32, 2: size of what follows

MAIN_HEADER = re.compile(
    START + rb"\x01(?:[\x00\x04]|[\x01\x05]%b)[\x00\x04\x08\x0c\x10\x14\x18\x1c]" % SHORT, re.DOTALL
)
END_HEADER = re.compile(START + rb"\x05[\x00\x04]\x00", re.DOTALL)
FILE_HEADER = re.compile(
    START
    + rb"([\x02\x03])"  # 3: a file's or a service's
    + (BIT_0 + BIT_1 + rb"[\x00-\x07]")
    + rb"(?(4)(%b))(?(5)(%b))" % (SHORT, NUMBER)  # 6: size of the extra records, 7: of the packed content
    + (BIT_0 + BIT_1 + BIT_2 + rb"[\x00-\x07]")  # 8: a folder
    + rb"(%b)%b" % (NUMBER, NUMBER)  # 11: unpacked size, then attributes
    + rb"(?(9).{4})(?(10)(.{4}))"  # the time, 12: CRC32 of the content
    + rb"%b%b(%b)" % (NUMBER, NUMBER, SHORT),  # compression, system, 13: size of the name
    re.DOTALL,
)


class _NotOrdinaryError(Exception):
    """To be left to rarfile."""


def ordinary_members(archive: Path) -> list[Member] | None:
    """The members of `archive` in the order in which they are stored; None for every archive that is not ordinary."""
    try:
        # Not mapped: to read a mapped file that somebody cuts off ends the process.
        descriptor = os.open(archive, os.O_RDONLY)
    except OSError:
        return None
    try:
        return _members(descriptor)
    except (OSError, UnicodeDecodeError, _NotOrdinaryError):
        return None
    finally:
        os.close(descriptor)


def _members(descriptor: int) -> list[Member]:
    file_bytes = os.fstat(descriptor).st_size
    piece, piece_at = os.pread(descriptor, PIECE_BYTES, 0), 0
    found = MAIN_HEADER.match(piece, len(SIGNATURE))
    if not piece.startswith(SIGNATURE) or found is None:
        raise _NotOrdinaryError
    members: list[Member] = []
    at = _header_end(piece, found)
    for _ in range(MAX_HEADERS):  # an archive with more is left to rarfile, and refused
        if at >= file_bytes:
            break
        if at - piece_at + HEADER_BYTES > len(piece):
            piece, piece_at = os.pread(descriptor, PIECE_BYTES, at), at
        found = FILE_HEADER.match(piece, at - piece_at)
        if found is None:
            end = END_HEADER.match(piece, at - piece_at)
            if end is None or _header_end(piece, end) != end.end():
                raise _NotOrdinaryError
            return members
        _, _, kind, _, _, extra, packed, folder, _, _, size, checksum, name_size = found.groups()
        header_end, name_end = _header_end(piece, found), found.end() + _number(name_size)
        if name_end + (0 if extra is None else _number(extra)) != header_end:
            raise _NotOrdinaryError
        name, blake2sp = piece[found.end() : name_end], _blake2sp(piece[name_end:header_end])
        if kind == SERVICE:
            if name == COMMENT or not name.isalnum():
                raise _NotOrdinaryError
        elif b"\x00" in name or name.endswith(b"/"):
            raise _NotOrdinaryError
        elif folder is not None:
            members.append(Member(name.decode() + "/", 0, None, None, FOLDER, False))
        elif checksum is not None:
            crc = int.from_bytes(checksum, "little")
            members.append(Member(name.decode(), _number(size), crc, None, FILE, False))
        else:
            members.append(Member(name.decode(), _number(size), None, blake2sp, FILE, False))
        at = piece_at + header_end + (0 if packed is None else _number(packed))
    raise _NotOrdinaryError


def _header_end(piece: bytes, found: "re.Match[bytes]") -> int:
    """Where the header in `piece` ends, all of which has the right checksum."""
    start = found.end(1)
    end = found.end(2) + _number(found[2])
    if end > len(piece) or crc32(piece[start:end]) != int.from_bytes(found[1], "little"):
        raise _NotOrdinaryError
    return end


@lru_cache(maxsize=1 << 14)  # most sizes come again
def _number(field: bytes) -> int:
    number = shift = 0
    for byte in field:
        number |= (byte & 0x7F) << shift
        shift += 7
    return number


def _blake2sp(records: bytes) -> bytes | None:
    """The hash among the extra `records`, of which only hashes, times and a service's own are ordinary."""
    if len(records) == len(HASH_START) + HASH_BYTES and records.startswith(HASH_START):
        return records[len(HASH_START) :]
    blake2sp = None
    while records:
        length = records[0]
        record, records = records[1 : 1 + length], records[1 + length :]
        if length > 0x7F or len(record) != length or length < 2:
            raise _NotOrdinaryError
        if record[0] == 2 and record[1] == 0 and length == 2 + HASH_BYTES:
            blake2sp = record[2:]
        elif not (record[0] == 7 or (record[0] == 3 and _is_time(record[1], record[2:]))):
            raise _NotOrdinaryError
    return blake2sp


def _is_time(flags: int, times: bytes) -> bool:
    """Whether `times` are those that `flags` announce, each one that a calendar knows."""
    count = (flags >> 1 & 7).bit_count()
    if flags & ~0x1F or (flags & 0x10 and not flags & 1):
        return False
    if not flags & 1:  # of Windows, from 1601 in steps of 100 ns: those from 1829 to 2057
        return len(times) == 8 * count and all(byte == 1 for byte in times[7::8])
    if not flags & 0x10:  # of Unix, in seconds
        return len(times) == 4 * count
    nanoseconds = (int.from_bytes(times[at : at + 4], "little") for at in range(4 * count, 8 * count, 4))
    return len(times) == 8 * count and all(number < 10**9 for number in nanoseconds)
