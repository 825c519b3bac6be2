"""Files that would keep a decoder busy are refused by their bytes alone; ordinary ones of the same kinds are not."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_clip import picture

from mmctr.images import limits as image_limits
from mmctr.images.limits import UnreadableImage
from mmctr.images.preprocess import View, preprocess_image

R = 32
VIEW = View(R, max_pixels=1_000_000)


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    (image or picture(0)).save(stream, kind, **options)
    return stream.getvalue()


PROGRESSIVE = encoded("JPEG", progressive=True)


def of_scans(scans: int) -> bytes:
    last = PROGRESSIVE.rindex(b"\xff\xda")
    return PROGRESSIVE[:-2] + PROGRESSIVE[last:-2] * scans + PROGRESSIVE[-2:]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def of_chunks(chunks: int) -> bytes:
    png = encoded("PNG")
    return png[:33] + chunk(b"teXt", b"") * chunks + png[33:]


def of_comments(blocks: int) -> bytes:
    gif = encoded("GIF", picture(0).quantize(16))
    begin = 13 + (3 << (gif[10] & 7) + 1)
    return gif[:begin] + b"\x21\xfe" + (b"\xff" + b"c" * 255) * blocks + b"\0" + gif[begin:]


def of_runs(width: int, height: int) -> bytes:
    """A BMP of runs of one pixel; Pillow decodes each in Python."""
    palette, runs = bytes(range(256)) * 4, (b"\x01\x07" * width + bytes(2)) * height
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    begin = 14 + len(header) + len(palette)
    return struct.pack("<2sIHHI", b"BM", begin + len(runs), 0, 0, begin) + header + palette + runs


def tiff(strips: int, *, compression: int, data: bytes, overlap: bool = False) -> bytes:
    """`strips` strips of a row of 16 grey pixels each."""
    counts = [len(data)] * strips
    tables = 8 + len(data) * (1 if overlap else strips)
    offsets = [8 + (0 if overlap else number * len(data)) for number in range(strips)]
    tags = [(256, 4, 1, 16), (257, 4, 1, strips), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)]
    tags += [(273, 4, strips, tables), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, strips, tables + 4 * strips)]
    folder = tables + 8 * strips
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    content = b"II*\0" + struct.pack("<I", folder) + data * (1 if overlap else strips)
    content += struct.pack(f"<{2 * strips}I", *offsets, *counts)
    return content + struct.pack("<H", len(tags)) + entries + bytes(4)


NO_RUNS = b"\x80" * 2000  # of PackBits: bytes that say nothing
ROW = b"\x0f" + bytes(range(16))  # of PackBits: 16 pixels as they are

HOSTILE = {
    "jpeg of 5,000 scans": (of_scans(5_000), "too many scans for its size"),
    "jpeg of scans without data": (
        PROGRESSIVE[:-2] + b"\xff\xda\0\x08\x01\x01\0\x3f\0\0" * 5_000 + b"\xff\xd9",
        "too many scans for its size",
    ),
    "jpeg of comments": (PROGRESSIVE[:2] + b"\xff\xfe\0\x02" * 200_000 + PROGRESSIVE[2:], "too many segments"),
    "png of chunks": (of_chunks(100_001), "too many chunks"),
    "gif of a comment of 2 MB": (of_comments(8_000), "more than 1 MiB before its first picture"),
    "bmp of runs": (of_runs(300, 300), "too many runs"),
    "tiff of strips that are the same bytes": (
        tiff(50, compression=32773, data=NO_RUNS + ROW, overlap=True),
        "strips that overlap",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_take_long_is_refused(name: str) -> None:
    content, reason = HOSTILE[name]
    for _ in range(2):
        with pytest.raises(UnreadableImage) as error:
            preprocess_image(content, VIEW)
        assert error.value.reason == reason


def test_a_tiff_of_a_hundred_thousand_strips_is_refused_before_they_are_listed() -> None:
    with pytest.raises(UnreadableImage, match="too many strips"):
        preprocess_image(tiff(100_001, compression=1, data=bytes(16), overlap=True), View(R))


def test_a_jpeg_in_a_tiff_is_bounded_too() -> None:
    content = encoded("TIFF", compression="jpeg")
    assert preprocess_image(content, VIEW).any()
    scans = content[:-1] + b"\xff\xda" * 1000
    with pytest.raises(UnreadableImage, match="too many scans"):
        preprocess_image(scans, VIEW)


def with_metadata(jpeg: bytes, *, times: int) -> bytes:
    """Before the frame: EXIF, a profile and comments, whose bytes look like scans."""
    segments = [b"\xe1" + b"Exif\0\0" + b"\xff\xda" * 500, b"\xe2" + b"ICC_PROFILE\0\1\1" + b"\xff\xda" * 500]
    segments.append(b"\xfe" + b"\xff\xda\xff\xc0" * 300)
    block = b"".join(b"\xff" + s[:1] + struct.pack(">H", len(s) + 1) + s[1:] for s in segments)
    return jpeg[:2] + block * times + jpeg[2:]


ORDINARY = {
    "progressive": PROGRESSIVE,
    "of twenty more scans": of_scans(20),
    "grey and progressive": encoded("JPEG", picture(0).convert("L"), progressive=True),
    "with a tail that looks like scans": encoded("JPEG") + b"\xff\xda\0\x08" * 100_000,
    "with restarts": encoded("JPEG", restart_marker_blocks=1),
    "with metadata": with_metadata(encoded("JPEG"), times=20),
    "with bytes before a marker": encoded("JPEG")[:2] + b"\xff" * 9 + encoded("JPEG")[2:],
    "png of 1000 chunks": of_chunks(1000),
    "gif of a comment": of_comments(100),
    "bmp of runs": of_runs(40, 40),
    "tiff of strips": tiff(50, compression=32773, data=ROW),
    "tiff that is raw and overlaps": tiff(50, compression=1, data=bytes(range(16)), overlap=True),
    **{kind: encoded(kind) for kind in ("PNG", "WEBP", "BMP", "TIFF", "AVIF")},
}


@pytest.mark.parametrize("name", ORDINARY)
def test_what_is_ordinary_is_decoded_as_before(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = preprocess_image(ORDINARY[name], VIEW)
    assert found.any()
    monkeypatch.setattr("mmctr.images.preprocess.bounded", lambda content, *, max_pixels: content)
    np.testing.assert_array_equal(found, preprocess_image(ORDINARY[name], VIEW))


def test_colours_that_a_jpeg_tells_in_its_metadata_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for image in (picture(0).convert("CMYK"), picture(0)):
        content = with_metadata(encoded("JPEG", image, keep_rgb=image.mode == "RGB"), times=1)
        found = preprocess_image(content, VIEW)
        with monkeypatch.context() as without:
            without.setattr("mmctr.images.preprocess.bounded", lambda content, *, max_pixels: content)
            np.testing.assert_array_equal(found, preprocess_image(content, VIEW))


def test_a_jpeg_that_is_cut_in_its_metadata_is_called_truncated() -> None:
    content = with_metadata(encoded("JPEG"), times=1)
    with pytest.raises(UnreadableImage, match="truncated"):
        preprocess_image(content[:600], VIEW)


def test_a_larger_limit_on_pixels_allows_more_work() -> None:
    assert preprocess_image(of_scans(5_000), View(R, max_pixels=10_000_000)).any()


def test_the_bounds_do_not_depend_on_a_decoder() -> None:
    """So what they say of an image is the same with every version of Pillow."""
    program = "import sys; sys.modules['PIL'] = None; import mmctr.images.limits"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(image_limits.__file__).parents[1])


LOW_MEMORY = """
import io, resource, sys
from PIL import Image
from mmctr.images.preprocess import View, preprocess_image
stream = io.BytesIO()
Image.new("RGB", (8000, 8000)).save(stream, "JPEG", progressive=True)
free = 260 << 20  # the image takes 192 MiB, its coefficients as much again
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + free, used + free))
try:
    preprocess_image(stream.getvalue(), View(32))
except MemoryError:
    print("memory")
"""


def test_too_little_memory_is_not_called_damage() -> None:
    """Decoders say "broken data stream" of a failed allocation, too."""
    answer = subprocess.run(
        [sys.executable, "-c", LOW_MEMORY], capture_output=True, cwd=Path(image_limits.__file__).parents[1], check=False
    )
    assert answer.stdout == b"memory\n", answer.stderr[-500:]
