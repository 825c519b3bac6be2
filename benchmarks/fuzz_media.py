"""Hostile archives and images: damaged fixtures, and whole archives with names and sizes of every kind."""

import io
import os
import re
import shutil
import zlib
from pathlib import Path
from random import Random

from fuzz_bytes import mended, mutate, near_start, rar5, rar5_file
from fuzz_verdicts import refused, snapshot

FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "fixtures"
FOLDERS = [*rb"| |a/|../|../../|/|/tmp/|C:\|..\|a/./|-|@|~/".split(b"|"), b"\x00/"]
STEMS = b"1|2|007|0|-1|1e3|\xd9\xa1|\xff||1\n|*|1\x002|manifest".split(b"|") + [b"9" * n for n in (18, 19, 30, 2000)]
ENDS = b".jpg|.jpg|.jpg|.JPEG|.png|.parquet||.jpg/|.jpg |.jpg\x00|.jpg\n".split(b"|")


def prepare_archive(_: Path) -> list[tuple[str, bytes]]:
    import mmctr.common.files

    mmctr.common.files.os.sync = lambda: None  # flushing the machine's disks is not what is tried here
    return [(path.name, path.read_bytes()) for path in sorted((FIXTURES / "rar").glob("*.rar"))]


def _odd_archive(rng: Random) -> bytes:
    """Whole members with any name, and now and then a wrong size, checksum or kind."""
    files = [rar5_file(b"images/1.jpg", b"x", size=1, crc=zlib.crc32(b"x"), flags=4, link=None)]
    for number in range(rng.choice((1, 2, 3, 8))):
        name = rng.choice(FOLDERS) + rng.choice((str(number).encode(), *STEMS)) + rng.choice(ENDS)
        content = rng.randbytes(rng.choice((0, 1, 300)))
        size, crc, flags, link = len(content), zlib.crc32(content), 4, None
        match rng.randrange(20):
            case 0:
                size = rng.choice((0, size + 1, 2**31, 2**63, 2**64 - 1))
            case 1:
                crc ^= 1
            case 2:
                flags = rng.choice((0, 1, 5, 12))
            case 3:
                link = (rng.randrange(7), rng.choice((b"../2.jpg", b"/etc/passwd", b"1.jpg", b"")))
        files.append(rar5_file(name, content, size=size, crc=crc, flags=flags, link=link))
    return rar5(files)


def archive_case(seeds: list[tuple[str, bytes]], rng: Random, folder: Path) -> str:
    from mmctr.images.extract import extract_images
    from mmctr.images.manifest import manifest_digest

    name, content = rng.choice(seeds)
    if rng.random() < 0.4:
        name, content = "odd.rar", _odd_archive(rng)
    if name != "odd.rar" or rng.random() < 0.3:
        content = rng.choice((mutate, near_start))(rng, content, donors=[content for _, content in seeds])
        content = mended(content) if rng.random() < 0.7 else content
    (folder / "in").mkdir()
    (folder / "in" / name).write_bytes(content)
    (folder / "2.jpg").write_bytes(b"stays")
    before = snapshot(folder)
    target = folder / "images"
    password = rng.choice((None, "secret", "wrong"))
    limits = {"max_member_bytes": 32 << 20, "max_total_bytes": 128 << 20}
    answer = refused(lambda: extract_images(folder / "in" / name, target, password=password, progress=False, **limits))
    if answer == "read":
        manifest_digest(target)
        for entry in os.scandir(target):
            assert entry.is_file(follow_symlinks=False), f"{entry.name} is no regular file"
            assert re.fullmatch(r"[1-9]\d*\.(jpg|png|webp|gif|bmp)|manifest\.parquet", entry.name), entry.name
        shutil.rmtree(target)
    assert snapshot(folder) == before, "something outside the target has changed"
    return answer


def prepare_image(_: Path) -> list[bytes]:
    import numpy as np
    from PIL import Image

    spots = np.random.default_rng(0).integers(0, 256, (24, 32, 4), dtype=np.uint8)
    colour, clear = Image.fromarray(spots[..., :3]), Image.fromarray(spots)
    images = [
        (colour, "JPEG", {}),
        (colour, "JPEG", {"progressive": True}),
        (colour.convert("L"), "JPEG", {}),
        (colour.convert("CMYK"), "JPEG", {}),
        (clear, "PNG", {}),
        (colour.quantize(16), "PNG", {}),
        (colour.convert("1"), "PNG", {}),
        (Image.fromarray(spots[..., 0].astype(np.uint16) * 256), "PNG", {}),
        (colour, "WEBP", {}),
        (clear, "WEBP", {"lossless": True}),
        (colour.quantize(16), "GIF", {"save_all": True, "append_images": [colour.quantize(8)]}),
        (colour, "BMP", {}),
        (colour.quantize(16), "BMP", {}),
        *((colour, "TIFF", {"compression": name}) for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg")),
        (colour, "AVIF", {}),
    ]
    seeds = []
    for image, kind, options in images:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        seeds.append(buffer.getvalue())
    return seeds


def image_case(seeds: list[bytes], rng: Random, _: Path) -> str:
    import numpy as np

    from mmctr.images.limits import UnreadableImage
    from mmctr.images.preprocess import View, preprocess_image

    content = rng.choice((mutate, near_start))(rng, rng.choice(seeds), donors=seeds)
    content = mended(content) if rng.random() < 0.5 else content
    try:
        view = preprocess_image(content, View(32))
    except UnreadableImage as error:
        return "refused" if len(error.reason) < 200 else "refused at length"
    assert (view.shape, view.dtype) == ((3, 32, 32), np.uint8)
    return "read"
