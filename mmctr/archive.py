"""The item images of a RAR archive as a folder of `<item_id><extension>` files, with a manifest.

Only the integer stem of a member's name is used: no member's path becomes a path, so nothing can be written outside
the folder, and links are never created. The manifest makes a later "is this folder still what was extracted" cheap.
"""

import hashlib
import os
import re
import stat
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tqdm import tqdm

from mmctr.errors import InputError
from mmctr.files import file_sha256, replacing_folder
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
    """What an archive gave: images written, and every member or item that has none."""

    images: int  # files written
    without_image: int  # ids of `item_ids` that the archive holds no image of
    duplicates: ItemNames  # further images of an item that already has one: the first in archive order is kept
    not_items: Names  # members that are no image with a positive integer as its stem, links among them
    unknown_ids: ItemNames  # images of an item that is not in `item_ids`
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


def _plan(members: list[Member], *, item_ids: set[int] | None) -> _Plan:
    images: list[tuple[int, str] | None] = []
    found: set[int] = set()
    duplicates: list[tuple[int, str]] = []
    unknown: list[tuple[int, str]] = []
    not_items: list[str] = []
    for member in members:
        named = None if member.is_folder or member.is_link else image_name(member.name)
        kept = None
        if named is None:
            if not member.is_folder:
                not_items.append(member.name)
        elif item_ids is not None and named[0] not in item_ids:
            unknown.append((named[0], member.name))
        elif named[0] in found:
            duplicates.append((named[0], member.name))
        else:
            found.add(named[0])
            kept = named
        images.append(kept)
    report = ExtractReport(
        images=len(found),
        without_image=0 if item_ids is None else len(item_ids) - len(found),
        duplicates=_first_items(duplicates),
        not_items=Names(len(not_items), tuple(shown(name) for name in not_items[:LISTED_AT_MOST])),
        unknown_ids=_first_items(unknown),
        total_bytes=sum(member.size for member, image in zip(members, images, strict=True) if image is not None),
    )
    return _Plan(images, report)


def _first_items(found: list[tuple[int, str]]) -> ItemNames:
    return ItemNames(len(found), tuple((item_id, shown(name)) for item_id, name in found[:LISTED_AT_MOST]))


def _check_plan(
    archive: Path, members: list[Member], plan: _Plan, *, max_member_bytes: int, max_total_bytes: int
) -> None:
    if plan.report.images == 0:
        if plan.report.unknown_ids.count:
            raise InputError(
                f"The archive must hold images of the given items: {archive} holds {plan.report.unknown_ids.count} "
                f"images, the first of item {plan.report.unknown_ids.first[0][0]}, but of none of the given items. "
                "Give the archive and the item table of the same release."
            )
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


def _write_new(path: str, content: bytes) -> None:
    # Plain calls, as a Path and a file object per image cost more than its bytes. O_EXCL follows no link.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)


def _write_manifest(folder: Path, rows: list[tuple[int, str, int, int, str]]) -> None:
    with os.scandir(folder) as entries:
        mtime_ns = {entry.name: entry.stat(follow_symlinks=False).st_mtime_ns for entry in entries}
    whole: list[tuple[Any, ...]] = [(*row, mtime_ns[row[1]]) for row in rows]
    table = pl.DataFrame(whole, schema=MANIFEST_SCHEMA, orient="row").sort("item_id")
    table.write_parquet(folder / MANIFEST_NAME)


def extract_images(
    archive: Path,
    target: Path,
    *,
    item_ids: Collection[int] | np.ndarray | None = None,
    password: str | None = None,
    max_member_bytes: int = 64 << 20,
    max_total_bytes: int = 256 << 30,
    progress: bool | None = None,
) -> ExtractReport:
    """Unpack the images of the RAR `archive` into the folder `target`, and list them there.

    Only those of the items `item_ids` where these are given, and those of all items otherwise.

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
    plan = _plan(members, item_ids=None if item_ids is None else {int(number) for number in item_ids})
    _check_plan(archive, members, plan, max_member_bytes=max_member_bytes, max_total_bytes=max_total_bytes)

    rows: list[tuple[int, str, int, int, str]] = []
    disable = None if progress is None else not progress
    total = sum(member.size for member in members)
    with (
        replacing_folder(target) as folder,
        tqdm(total=total, desc="extract", unit="B", unit_scale=True, disable=disable) as bar,
        unpacking(archive, password=password) as stream,
    ):
        for member, image in zip(members, plan.images, strict=True):
            if image is None:
                stream.skip(member)
            else:
                item_id, file_name = image
                content = stream.read(member)
                _write_new(f"{folder}/{file_name}", content)
                sha256 = hashlib.sha256(content).hexdigest()
                rows.append((item_id, file_name, member.size, zlib.crc32(content), sha256))
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

    Each file is compared with the manifest by size and modification time; only a file of another time is read. So the
    digest depends on what the images are, not on when they were written. Raises ValueError where a file is missing,
    altered, no regular file, or not in the manifest.
    """
    manifest = _read_manifest(folder).sort("item_id")
    names, sizes = manifest["file_name"].to_list(), manifest["size"].to_list()
    hashes, times = manifest["sha256"].to_list(), manifest["mtime_ns"].to_list()
    expected = dict(zip(names, zip(sizes, times, hashes, strict=True), strict=True))
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == MANIFEST_NAME:
                continue
            row = expected.pop(entry.name, None)
            if row is None:
                raise ValueError(f"{folder} holds {shown(entry.name)}, which is not in its manifest")
            size, mtime_ns, sha256 = row
            state = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(state.st_mode):
                raise ValueError(f"{folder}/{entry.name} is no regular file")
            if state.st_size != size:
                raise ValueError(f"{folder}/{entry.name} has {state.st_size} bytes instead of {size}")
            if state.st_mtime_ns != mtime_ns and file_sha256(folder / entry.name) != sha256:
                raise ValueError(f"{folder}/{entry.name} has another content than when it was extracted")
    if expected:
        raise ValueError(f"{folder} lacks {len(expected)} images of its manifest, {min(expected)} among them")
    digest = hashlib.sha256()
    for row in zip(manifest["item_id"].to_list(), names, sizes, hashes, strict=True):
        digest.update("{}\t{}\t{}\t{}\n".format(*row).encode())
    return digest.hexdigest()
