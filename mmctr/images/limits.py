"""Bounds on the work of decoding an image, found in its bytes before a decoder sees them. Imports nothing but Python.

A file of a megabyte can keep a decoder busy for hours: a JPEG whose scans repeat, a GIF of comments, a TIFF whose
strips are all the same bytes. What is refused here depends on the bytes and on `max_pixels` alone, never on a clock, so
the same image has the same fate everywhere. The unit is one pass over one pixel, one to five nanoseconds.
"""

import re
import struct
from collections.abc import Sequence

MAX_PIXELS = 100_000_000  # of an image, unless the caller says otherwise
PASSES = 20  # over `max_pixels` pixels, in all; progressive JPEGs have about ten scans
SCAN_COST = 256  # of a JPEG's scan beside its pixels
RUN_LENGTH_COSTS = 20, 300  # of a pixel and of a byte of a BMP with runs, which Pillow decodes in Python
MAX_SEGMENTS = 100_000  # of a JPEG's markers, a PNG's chunks, a TIFF's strips or tiles
MAX_PREAMBLE = 1 << 20  # bytes of a GIF before its first picture

_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # 00 and D0 to D7 are within a scan, FF fills up
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOFn: the frame's height and width
_METADATA = {*range(0xE1, 0xF0), 0xFE} - {0xEE}  # APPn and comments; APP0 and APP14 have the colours
_TIFF_OFFSETS = (273, 324)  # tags of where strips and tiles begin
_TIFF_RAW, _TIFF_JPEG = 1, (6, 7)  # values of the tag `compression`


class UnreadableImage(Exception):  # noqa: N818 - it is about the image, not a fault
    """The bytes are no image that can be used. `reason` is short and the same whenever the bytes are the same."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def bounded(content: bytes, *, max_pixels: int) -> bytes:
    """The bytes to decode in place of `content`: the same, but for a JPEG's metadata, which Pillow adds up slowly.

    Raises UnreadableImage where decoding could take more than PASSES passes over `max_pixels` pixels, or over a million
    where that is more.
    """
    max_work = PASSES * max(max_pixels, 1_000_000)
    if content.startswith(b"\xff\xd8\xff"):
        return _bounded_jpeg(content, max_work=max_work)
    if content.startswith(b"\x89PNG"):
        _check_png(content)
    elif content.startswith(b"GIF8"):
        _check_gif(content)
    elif content.startswith(b"BM"):
        _check_bmp(content, max_work=max_work)
    elif content[:2] in (b"II", b"MM"):
        _check_tiff(content)
    return content


def _bounded_jpeg(content: bytes, *, max_work: int) -> bytes:
    header, pixels, scans, position = [content[:2]], 0, 0, 2
    first_scan = len(content)
    for _ in range(MAX_SEGMENTS):
        marker = _JPEG_MARKER.search(content, position)
        if marker is None:
            break
        kind, begin, position = marker[1][0], marker.start(), marker.end()
        if kind == _EOI and scans:
            break
        if kind < 0xC0 or kind in (_SOI, _EOI):
            continue  # nothing belongs to it
        position += max(2, int.from_bytes(content[position : position + 2]))
        if kind in _SIZES:
            height, width = struct.unpack(">HH", content[begin + 5 : begin + 9].ljust(4, b"\0"))
            pixels = max(pixels, width * height)
        elif kind == _SOS:
            scans += 1
            first_scan = min(first_scan, begin)
            if scans * (pixels + SCAN_COST) > max_work and scans > 1:  # one scan is what `max_pixels` allows
                raise UnreadableImage("too many scans for its size")
        if not scans and kind not in _METADATA:
            header.append(content[begin:position])
        if position > len(content):
            if not scans:
                raise UnreadableImage("truncated")
            break
    else:
        raise UnreadableImage("too many segments")
    return b"".join(header) + content[first_scan:]


def _check_png(content: bytes) -> None:
    position = 8
    for _ in range(MAX_SEGMENTS):
        if position + 8 > len(content):
            return
        position += 12 + int.from_bytes(content[position : position + 4])
    raise UnreadableImage("too many chunks")


def _check_gif(content: bytes) -> None:
    """Pillow reads what is before the first picture block by block, in Python."""
    flags = content[10] if len(content) > 10 else 0
    begin = position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while position < len(content) and content[position] not in b"\x2c\x3b":  # a picture, the end
        if content[position] == 0x21:  # an extension: its label, then blocks up to an empty one
            position += 2
            while position < len(content) and content[position] and position - begin <= MAX_PREAMBLE:
                position += 1 + content[position]
        position += 1
        if position - begin > MAX_PREAMBLE:
            raise UnreadableImage("more than 1 MiB before its first picture")


def _check_bmp(content: bytes, *, max_work: int) -> None:
    if len(content) < 34 or content[30:34] not in (b"\1\0\0\0", b"\2\0\0\0"):
        return
    width, height = struct.unpack("<ii", content[18:26])
    a_pixel, a_byte = RUN_LENGTH_COSTS
    if abs(width * height) * a_pixel + len(content) * a_byte > max_work:
        raise UnreadableImage("too many runs")


def _check_tiff(content: bytes) -> None:
    """Refuse too many strips, for which Pillow makes a list when it opens the file."""
    order = "<" if content.startswith(b"II") else ">"
    big = b"+" in content[2:4]
    offset, number, entry = ("Q", "Q", "HHQ") if big else ("I", "H", "HHI")
    step = 20 if big else 12
    try:
        (folder,) = struct.unpack_from(order + offset, content, 8 if big else 4)
        (entries,) = struct.unpack_from(order + number, content, folder)
        begin = folder + struct.calcsize(order + number)
        for position in range(begin, min(begin + entries * step, len(content)), step):
            tag, _, count = struct.unpack_from(order + entry, content, position)
            if tag in _TIFF_OFFSETS and count > MAX_SEGMENTS:
                raise UnreadableImage("too many strips")
    except struct.error:
        return  # Pillow finds its own words


def check_tiff_strips(content: bytes, *, compression: int, counts: Sequence[int]) -> None:
    """Refuse strips that share their bytes, or JPEGs of many scans: each would be decoded for each strip.

    `compression` is the tag of that name, `counts` the bytes of each strip. A strip has its part of the pixels, so
    PASSES scans for each of them are PASSES passes over the image.
    """
    if compression == _TIFF_RAW:
        return
    if sum(counts) > len(content):
        raise UnreadableImage("strips that overlap")
    if compression in _TIFF_JPEG and content.count(b"\xff\xda") > PASSES * max(1, len(counts)):
        raise UnreadableImage("too many scans for its size")
