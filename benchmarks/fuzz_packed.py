"""Hostile zips and tars: damaged ones, most tars with their header checksums mended, plain and compressed."""

import gzip
import io
import os
import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from random import Random

import pyarrow
from fuzz_bytes import mutate
from fuzz_verdicts import refused, snapshot

LIMITS = {"max_member_bytes": 32 << 20, "max_total_bytes": 128 << 20}
PACK = {
    "tar": lambda content: content,
    "tar.gz": gzip.compress,
    "tar.zst": lambda content: pyarrow.compress(content, codec="zstd", asbytes=True),
}
MARKS = re.compile(rb"PK..|ustar|\d+ \w+=", re.DOTALL)


def prepare_packed(_: Path) -> list[tuple[str, bytes]]:
    import mmctr.common.files

    mmctr.common.files.os.sync = lambda: None  # flushing the machine's disks is not what is tried here
    files = {f"a/{number}.jpg": bytes([number]) * (number * 97 % 700) for number in range(1, 9)}
    files |= {"x.txt": b"words" * 30, "é.png": b"z" * 700, f"{'é' * 70}/{'y' * 90}/10.jpg": b"long"}
    zips = [("zip", _zip(files, method)) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]
    return [*zips, *(("tar", _tar(files, form)) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))]


def _zip(files: dict[str, bytes], method: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return made.getvalue()


def _tar(files: dict[str, bytes], form: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("7.png")
        link.type, link.linkname = tarfile.SYMTYPE, "../" * 60 + "etc/passwd"
        archive.addfile(link)
    return made.getvalue()


def _near_a_header(rng: Random, content: bytes) -> bytes:
    """Damage what is around a header alone."""
    found = rng.choice(list(MARKS.finditer(content))).start()
    begin, end = max(0, found - 260), found + 60
    return content[:begin] + mutate(rng, content[begin:end], donors=[content]) + content[end:]


def _mended(content: bytes) -> bytes:
    """A tar with right header checksums."""
    found = bytearray(content)
    for at in range(0, len(found) - 511, 512):
        if found[at + 257 : at + 262] == b"ustar":
            found[at + 148 : at + 156] = b"%06o\0 " % tarfile.calc_chksums(bytes(found[at : at + 512]))[0]
    return bytes(found)


def packed_case(seeds: list[tuple[str, bytes]], rng: Random, folder: Path) -> str:
    from mmctr.images.extract import check_images, extract_images
    from mmctr.images.manifest import manifest_digest

    ending, content = rng.choice(seeds)
    content = _near_a_header(rng, content) if rng.random() < 0.6 else mutate(rng, content, donors=[content])
    if ending == "tar":
        content = _mended(content) if rng.random() < 0.7 else content
        ending = rng.choice(list(PACK))
        content = PACK[ending](content)
        content = mutate(rng, content, donors=[content]) if ending != "tar" and rng.random() < 0.2 else content
    (folder / "in").mkdir()
    (folder / "2.jpg").write_bytes(b"stays")
    path, target = folder / "in" / f"odd.{ending}", folder / "images"
    path.write_bytes(content)
    before, names = snapshot(folder), rng.choice(("integer", "text", "path"))
    answer = refused(lambda: extract_images(path, target, names=names, progress=False, **LIMITS))
    looked = refused(lambda: check_images(path, names=names, progress=False, **LIMITS))
    assert looked == "read" or answer != "read", "a look before is refused, and the archive is read"
    if answer == "read":
        manifest_digest(target)
        for entry in os.scandir(target):
            assert entry.is_file(follow_symlinks=False), f"{entry.name} is no regular file"
            assert re.fullmatch(r"([1-9]\d*|[0-9a-f]{64})\.(jpg|png|webp|gif|bmp)|manifest\.parquet", entry.name)
        shutil.rmtree(target)
    assert snapshot(folder) == before, "something outside the target has changed"
    return answer
