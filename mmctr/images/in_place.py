"""Images in a folder that stay where they are: what they are is found by reading each of them once.

What was read is remembered by size, inode and both times, as the change time is not a program's to set. A file younger
than two seconds may change again without another time, and is not remembered yet. The memory only saves time.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mmctr.common.files import SETTLED_NS, replacing
from mmctr.common.progress import progress_bar
from mmctr.images.manifest import listing_digest, listing_line, make_manifest, read_manifest
from mmctr.images.member import FILE, Member
from mmctr.images.naming import Naming, image_name
from mmctr.images.plan import ExtractReport, Limits, check_plan, plan_images
from mmctr.images.sizes import MAX_MEMBER_BYTES, MAX_TOTAL_BYTES
from mmctr.images.source import STALLED_SECONDS, open_source
from mmctr.inputs.parquet import read_table

MEMORY_SCHEMA = {"path": pl.String, "stamp": pl.String, "sha256": pl.String}


@dataclass(frozen=True)
class FolderIndex:
    """What a folder of images holds.

    Attributes:
        manifest: a row an image, file names relative to the folder; times are 0, as the memory has them.
        report: the files that became no image, and why.
        digest: SHA-256 over path, size and content of every image file, whichever of them `names` makes images.
    """

    manifest: pl.DataFrame
    report: ExtractReport
    digest: str


def index_folder(
    folder: Path,
    *,
    names: Naming = "integer",
    memory: Path | None = None,
    max_member_bytes: int = MAX_MEMBER_BYTES,
    max_total_bytes: int = MAX_TOTAL_BYTES,
    progress: bool | None = None,
) -> FolderIndex:
    """List the images in `folder` and below it, in the order of their paths; nothing is copied and no link followed.

    Keys, limits and the report are those of `mmctr.images.extract.extract_images`. `memory` is a parquet file in which
    digests of files that have not changed are kept between calls; another folder's are replaced.

    Raises:
        InputError: it is no folder, has no image, breaks a limit, or a file changed meanwhile.
        OSError: the machine does not let a file be read.
    """
    members = open_source("folder").list_members(folder, password=None, progress=progress)
    assert members is not None, "a folder is always listed"
    plan = plan_images(members, names=names)
    check_plan(folder, members, plan, names=names, limits=Limits(max_member_bytes, max_total_bytes))
    files = image_files(members)
    sha256 = dict(zip((member.name for member in files), _digests(folder, files, memory, progress), strict=True))
    digest = hashlib.sha256()
    for member in files:
        digest.update(listing_line(member.name, member.size, sha256[member.name]))
    rows = [
        (image.key, member.name, member.size, sha256[member.name], 0, 0)
        for member, image in zip(members, plan.images, strict=True)
        if image is not None
    ]
    return FolderIndex(make_manifest(rows), plan.report, digest.hexdigest())


def image_files(members: Sequence[Member]) -> list[Member]:
    """Of a folder's members the files that may be images, whatever names an item."""
    return [member for member in members if member.kind == FILE and image_name(member.name, names="path") is not None]


def in_place_digest(manifest_file: Path, folder: Path, *, memory: Path | None = None) -> str:
    """`listing_digest` of a manifest that `index_folder` made, whose files must be in `folder` as they are listed.

    Raises:
        ValueError: the manifest is none, or a file is missing or altered.
        InputError: a file changed meanwhile.
        OSError: the machine does not let a file be read.
    """
    manifest = read_manifest(manifest_file)
    files = [Member(name, size, FILE) for name, size in manifest.select("file_name", "size").iter_rows()]
    found = _digests(folder, files, memory, False)
    for member, sha256, listed in zip(files, found, manifest["sha256"], strict=True):
        if sha256 != listed:
            raise ValueError(f"{folder}/{member.name} has another content than when it was listed")
    return listing_digest(manifest)


def _digests(folder: Path, files: Sequence[Member], memory: Path | None, progress: bool | None) -> list[str]:
    """SHA-256 of each file; what is remembered of a file that has not changed since is not read."""
    now, known, found = time.time_ns(), _remembered(memory), []
    stamps = [_stamp(folder, member.name) for member in files]
    with (
        open_source("folder").unpacking(folder, members=[], password=None, stalled_seconds=STALLED_SECONDS) as stream,
        progress_bar("index", total=len(files), unit="image", show=progress) as bar,
    ):
        for member, (stamp, _) in zip(files, stamps, strict=True):
            before, sha256 = known.get(member.name, ("", ""))
            if before != stamp or not sha256:
                sha256 = hashlib.sha256(stream.read(member)).hexdigest()
            found.append(sha256)
            bar.update()
    settled = {
        member.name: (stamp, sha256)
        for member, (stamp, changed), sha256 in zip(files, stamps, found, strict=True)
        if now - changed > SETTLED_NS
    }
    if memory is not None and settled.items() - known.items():
        _remember(memory, settled)
    return found


def _stamp(folder: Path, name: str) -> tuple[str, int]:
    """What changes with a file's content, and when that was, in ns."""
    state = os.lstat(f"{folder}/{name}")
    return f"{state.st_size} {state.st_ino} {state.st_mtime_ns} {state.st_ctime_ns}", state.st_ctime_ns


def _remembered(memory: Path | None) -> dict[str, tuple[str, str]]:
    """Stamp and digest by path; nothing where there is no memory, or garbage in its place."""
    try:
        table = None if memory is None else read_table(memory)
    except (OSError, pl.exceptions.PolarsError):
        return {}
    if table is None or table.schema != pl.Schema(MEMORY_SCHEMA):
        return {}
    return {path: (stamp, sha256) for path, stamp, sha256 in table.drop_nulls().iter_rows()}


def _remember(memory: Path, entries: dict[str, tuple[str, str]]) -> None:
    rows: Iterator[tuple[str, str, str]] = ((path, *entry) for path, entry in entries.items())
    table = pl.DataFrame(list(rows), schema=MEMORY_SCHEMA, orient="row")
    with suppress(OSError), replacing(memory) as partial:
        table.write_parquet(partial)
