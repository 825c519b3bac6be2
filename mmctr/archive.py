"""The item images of a RAR archive as a folder of `<item_id><extension>` files, with a manifest.

Only the integer stem of a member's name is used: no member's path becomes a path, so nothing can be written outside
the folder, and links are never created. The manifest makes a later "is this folder still what was extracted" cheap: it
keeps each file's times, and a file whose times are others is read again.
"""

import hashlib
import os
import re
import stat
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from tqdm import tqdm

from mmctr.errors import InputError
from mmctr.files import SETTLED_NS, file_sha256, replacing_folder, write_bytes
from mmctr.rar_stream import Member, list_members, shown, unpacking
from mmctr.tables import read_table

MANIFEST_NAME = "manifest.parquet"
MANIFEST_SCHEMA = {
    "item_id": pl.Int64,
    "file_name": pl.String,
    "size": pl.Int64,
    "crc32": pl.UInt32,
    "sha256": pl.String,
    "mtime_ns": pl.Int64,
    "ctime_ns": pl.Int64,  # the change time is not a program's to set
}
LISTED_AT_MOST = 100
MAX_ITEM_ID = 2**63 - 1
# RAR5 keeps a backslash in a name, so both separators end a folder's name.
_IMAGE_NAME = re.compile(
    r"(?:.*[/\\])?0*([1-9][0-9]{0,18})(\.(?:jpg|jpeg|png|webp|gif|bmp))", re.DOTALL | re.IGNORECASE | re.ASCII
)


@dataclass(frozen=True)
class Names:
    """How many members there were of a kind, and the names of the first hundred."""

    count: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class ItemNames:
    """How many members there were of a kind, and item id and name of the first hundred."""

    count: int
    first: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class ExtractReport:
    """What an archive gave: images written, and every member that became none."""

    images: int  # files written
    duplicates: ItemNames  # further images of an item that already has one: the first in archive order is kept
    not_items: Names  # members that are no image with a positive integer as its stem, links among them
    total_bytes: int  # of the files written


def image_name(member_name: str) -> tuple[int, str] | None:
    """Item id and file name of a member, or None where it is no image of an item: `a/00003.JPEG` is (3, "3.jpg")."""
    match = _IMAGE_NAME.fullmatch(member_name)
    if match is None or int(match[1]) > MAX_ITEM_ID:
        return None
    extension = match[2].lower()
    return int(match[1]), match[1] + (".jpg" if extension == ".jpeg" else extension)


@dataclass(frozen=True)
class _Plan:
    """For each member the image that it becomes, or None for a member that is passed over."""

    images: list[tuple[int, str] | None]
    report: ExtractReport


def _plan(members: list[Member]) -> _Plan:
    images: list[tuple[int, str] | None] = []
    found: set[int] = set()
    duplicates: list[tuple[int, str]] = []
    not_items: list[str] = []
    for member in members:
        named = None if member.is_folder or member.is_link else image_name(member.name)
        kept = None
        if named is None:
            if not member.is_folder:
                not_items.append(member.name)
        elif named[0] in found:
            duplicates.append((named[0], member.name))
        else:
            found.add(named[0])
            kept = named
        images.append(kept)
    first = tuple((item_id, shown(name)) for item_id, name in duplicates[:LISTED_AT_MOST])
    report = ExtractReport(
        images=len(found),
        duplicates=ItemNames(len(duplicates), first),
        not_items=Names(len(not_items), tuple(shown(name) for name in not_items[:LISTED_AT_MOST])),
        total_bytes=sum(member.size for member, image in zip(members, images, strict=True) if image is not None),
    )
    return _Plan(images, report)


def _check_plan(
    archive: Path, members: list[Member], plan: _Plan, *, max_member_bytes: int, max_total_bytes: int
) -> None:
    if plan.report.images == 0:
        raise InputError(
            f"The archive must hold images named <item_id>.jpg (or .jpeg, .png, .webp, .gif, .bmp): {archive} holds "
            f"no image among its {len(members)} members. Give the archive with the item images."
        )
    for member, image in zip(members, plan.images, strict=True):
        if image is not None and member.size > max_member_bytes:
            raise InputError(
                f"An image may unpack to at most {max_member_bytes} bytes: member '{shown(member.name)}' of {archive} "
                f"lists {member.size}. Raise the limit if you trust the archive."
            )
    total = sum(member.size for member in members)
    if total > max_total_bytes:
        raise InputError(
            f"An archive may unpack to at most {max_total_bytes} bytes: {archive} lists {total}. "
            "Raise the limit if you trust the archive."
        )


def _write_image(folder: Path, item_id: int, file_name: str, content: bytes) -> tuple[int, str, int, int, str]:
    """Write a new file; gives its row of the manifest, without the times."""
    # Plain calls, as a Path and a file object per image cost more than its bytes. O_EXCL follows no link.
    descriptor = os.open(f"{folder}/{file_name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)
    return item_id, file_name, len(content), zlib.crc32(content), hashlib.sha256(content).hexdigest()


def _write_manifest(folder: Path, rows: list[tuple[int, str, int, int, str]]) -> None:
    with os.scandir(folder) as entries:
        states = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
    whole: list[tuple[Any, ...]] = [(*row, states[row[1]].st_mtime_ns, states[row[1]].st_ctime_ns) for row in rows]
    table = pl.DataFrame(whole, schema=MANIFEST_SCHEMA, orient="row").sort("item_id")
    table.write_parquet(folder / MANIFEST_NAME)


def extract_images(
    archive: Path,
    target: Path,
    *,
    password: str | None = None,
    max_member_bytes: int = 64 << 20,
    max_total_bytes: int = 256 << 30,
    progress: bool | None = None,
) -> ExtractReport:
    """Unpack the images of the RAR `archive` into the folder `target`, and list them there.

    A member is an image of an item when its extension is one of .jpg .jpeg .png .webp .gif .bmp and its stem an integer
    from 1 on; it becomes `<item_id><lowercase extension>`, .jpeg becoming .jpg. Of several images of an item the first
    in archive order is kept. `target` is replaced as a whole, and only once every member of the archive was read and
    had its listed size and checksum. One image is in memory at a time.

    `max_member_bytes` bounds an image, `max_total_bytes` all members together; both are compared with the listing
    before anything is unpacked, and no more than what is listed is read from the unpacking tool afterwards.
    `progress` shows a bar over the bytes; None shows it on a terminal only.

    Raises InputError for every archive that cannot be used: absent, no RAR, encrypted, a part missing, cut off,
    damaged, too large, without an image.
    """
    password = password or None
    if archive.resolve().is_relative_to(target.resolve()):
        raise InputError(
            f"The folder of images is replaced as a whole: {archive} lies in {target} and would be lost. "
            "Move the archive, or choose another folder."
        )
    members = list_members(archive, password=password)
    plan = _plan(members)
    _check_plan(archive, members, plan, max_member_bytes=max_member_bytes, max_total_bytes=max_total_bytes)
    disable = None if progress is None else not progress
    total = sum(member.size for member in members)
    with (
        replacing_folder(target) as folder,
        tqdm(total=total, desc="extract", unit="B", unit_scale=True, disable=disable) as bar,
        unpacking(archive, password=password) as stream,
    ):
        rows = []
        for member, image in zip(members, plan.images, strict=True):
            if image is None:
                stream.skip(member)
            else:
                rows.append(_write_image(folder, *image, stream.read(member)))
            bar.update(member.size)
        stream.finish()
        _write_manifest(folder, rows)
    return plan.report


def _read_manifest(folder: Path) -> pl.DataFrame:
    path = folder / MANIFEST_NAME
    try:
        manifest = read_table(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{path} is missing or no parquet file: extract the images again") from error
    if manifest.schema != pl.Schema(MANIFEST_SCHEMA):
        raise ValueError(f"{path} has the columns {dict(manifest.schema)}: extract the images again")
    return manifest


def manifest_digest(folder: Path) -> str:
    """SHA-256 over item id, file name, size and content of the images in `folder`, as 64 hexadecimal digits.

    Each file is compared with the manifest by size and both times; only a file of another time is read. So the digest
    depends on what the images are, not on when they were written. A copy of the folder, where all times are others, is
    read once: `<folder>.stamps` beside it then remembers the times. Raises ValueError where a file is missing, altered,
    no regular file, or not in the manifest.
    """
    started = time.time_ns()
    manifest = _read_manifest(folder).sort("item_id")
    digest = hashlib.sha256()
    for row in manifest.select("item_id", "file_name", "size", "sha256").iter_rows():
        digest.update("{}\t{}\t{}\t{}\n".format(*row).encode())
    times = _file_times(folder, dict(manifest.select("file_name", "size").iter_rows()))
    rows = manifest.select("file_name", "sha256", "mtime_ns", "ctime_ns").iter_rows()
    touched = {name: sha256 for name, sha256, *written in rows if times[name] != tuple(written)}
    if touched:
        stamp = hashlib.sha256(repr((digest.hexdigest(), sorted(times.items()))).encode()).hexdigest()
        settled = started - max(max(pair) for pair in times.values()) > SETTLED_NS
        _check_contents(folder, touched, stamp=stamp, settled=settled)
    return digest.hexdigest()


def _file_times(folder: Path, sizes: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Both times of each file in `folder`, which must hold the named files with these sizes, and nothing else."""
    times = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == MANIFEST_NAME:
                continue
            if entry.name not in sizes:
                raise ValueError(f"{folder} holds {shown(entry.name)}, which is not in its manifest")
            state = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(state.st_mode):
                raise ValueError(f"{folder}/{entry.name} is no regular file")
            if state.st_size != sizes[entry.name]:
                raise ValueError(f"{folder}/{entry.name} has {state.st_size} bytes instead of {sizes[entry.name]}")
            times[entry.name] = (state.st_mtime_ns, state.st_ctime_ns)
    if lacking := sizes.keys() - times.keys():
        raise ValueError(f"{folder} lacks {len(lacking)} images of its manifest, {min(lacking)} among them")
    return times


def _check_contents(folder: Path, touched: dict[str, str], *, stamp: str, settled: bool) -> None:
    """Compare the files' SHA-256, unless that was done before for the same `stamp`."""
    memory = folder.with_name(f"{folder.name}.stamps")
    with suppress(OSError):
        if memory.read_bytes() == stamp.encode():
            return
    for name, sha256 in touched.items():
        if file_sha256(folder / name) != sha256:
            raise ValueError(f"{folder}/{name} has another content than when it was extracted")
    if settled:
        with suppress(OSError):  # it only saves time
            write_bytes(memory, stamp.encode())
