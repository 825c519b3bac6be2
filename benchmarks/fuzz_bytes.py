"""Ways to damage bytes, and to mend the checksums behind which a format's real parsing lies.

A mutation that only breaks a checksum never reaches the code that reads what the checksum protects, so the mutators of
RAR, PNG and ZIP can put the right checksum over the wrong content.
"""

import io
import struct
import zipfile
import zlib
from random import Random

EDGES = (0, 1, *(2**bits + step for bits in (7, 8, 15, 16, 31, 32, 63, 64) for step in (-1, 0)))
RAR4, RAR5 = b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00"
PNG = b"\x89PNG\r\n\x1a\n"


def mutate(rng: Random, content: bytes, *, donors: list[bytes]) -> bytes:
    """`content` with one to eight small damages; `donors` give foreign pieces."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(found) + 1)
        length = min(len(found) - at, rng.choice((1, 2, 4, 16, 256, 4096)))
        match rng.randrange(9):
            case 0 if length:
                found[at] ^= 1 << rng.randrange(8)
            case 1 if length:
                found[at] = rng.randrange(256)
            case 2:
                width, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
                edge = (rng.choice(EDGES) % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]
                found[at : at + width] = edge
            case 3:
                del found[at : at + length]
            case 4:
                found[at:at] = found[at : at + length]
            case 5:
                found[at:at] = rng.randbytes(rng.choice((1, 4, 64)))
            case 6:
                del found[at:]
            case 7:
                found[at : at + length] = bytes(length)
            case 8:
                donor = rng.choice(donors)
                start = rng.randrange(len(donor) + 1)
                found[at : at + length] = donor[start : start + length]
    return bytes(found)


def near_start(rng: Random, content: bytes, *, donors: list[bytes], first: int = 128) -> bytes:
    """Damage the first bytes only, where headers are."""
    return mutate(rng, content[:first], donors=donors) + content[first:]


def mended(content: bytes) -> bytes:
    """`content` with right header checksums, as far as its blocks can be followed."""
    if content.startswith(RAR5):
        return _mended_rar5(bytearray(content))
    if content.startswith(RAR4):
        return _mended_rar4(bytearray(content))
    return _mended_png(bytearray(content)) if content.startswith(PNG) else content


def _vint(content: bytearray, at: int) -> tuple[int, int]:
    """The number at `at`, and where the next one begins."""
    number = shift = 0
    while at < len(content) and shift < 70:
        number |= (content[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if content[at - 1] < 0x80:
            return number, at
    return 0, len(content)


def _mended_rar5(content: bytearray) -> bytes:
    at = len(RAR5)
    while at + 7 < len(content):
        size, body = _vint(content, at + 4)
        if size == 0 or body + size > len(content):
            break
        content[at : at + 4] = struct.pack("<I", zlib.crc32(content[at + 4 : body + size]))
        kind, field = _vint(content, body)
        flags, field = _vint(content, field)
        if flags & 1:
            _, field = _vint(content, field)
        packed = _vint(content, field)[0] if flags & 2 else 0
        at = body + size + packed
        if kind == 5:
            break
    return bytes(content)


def _mended_rar4(content: bytearray) -> bytes:
    at = len(RAR4)
    while at + 7 <= len(content):
        flags, size = struct.unpack_from("<HH", content, at + 3)
        if size < 7 or at + size > len(content):
            break
        content[at : at + 2] = struct.pack("<H", zlib.crc32(content[at + 2 : at + size]) & 0xFFFF)
        packed = struct.unpack_from("<I", content, at + 7)[0] if flags & 0x8000 and size >= 11 else 0
        at += size + packed
    return bytes(content)


def _mended_png(content: bytearray) -> bytes:
    at = len(PNG)
    while at + 12 <= len(content):
        end = at + 8 + struct.unpack_from(">I", content, at)[0]
        if end + 4 > len(content):
            break
        content[end : end + 4] = struct.pack(">I", zlib.crc32(content[at + 4 : end]))
        at = end + 4
    return bytes(content)


def vint(number: int) -> bytes:
    """RAR5's numbers of any length."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def rar5_block(body: bytes) -> bytes:
    """A header of RAR5 with its size and checksum."""
    sized = vint(len(body)) + body
    return struct.pack("<I", zlib.crc32(sized)) + sized


def rar5_file(name: bytes, content: bytes, *, size: int, crc: int, flags: int, link: tuple[int, bytes] | None) -> bytes:
    """A stored member that lists `size`, `crc` and file `flags` (1 folder, 4 with checksum), true or not."""
    record = b""
    if link is not None:
        kind, goal = link
        inner = vint(5) + vint(kind) + vint(0) + vint(len(goal)) + goal
        record = vint(len(inner)) + inner
    fields = vint(flags) + vint(size) + vint(0x20) + (struct.pack("<I", crc) if flags & 4 else b"")
    extra = vint(len(record)) if record else b""
    head = vint(2) + vint(3 if record else 2) + extra + vint(len(content))
    return rar5_block(head + fields + vint(0) + vint(1) + vint(len(name)) + name + record) + content


def rar5(files: list[bytes]) -> bytes:
    """An archive of such members."""
    return RAR5 + rar5_block(vint(1) + vint(0) + vint(0)) + b"".join(files) + rar5_block(vint(5) + vint(0) + vint(0))


def members(content: bytes) -> dict[str, bytes]:
    """Names and contents of a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(contents: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip with right checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return buffer.getvalue()
