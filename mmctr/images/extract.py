"""The item images of an archive as a folder of files, with a manifest.

Files are called `<item_id><extension>` by an integer id, and by a SHA-256 otherwise: no member's path becomes a path,
so nothing can be written outside the folder, and links are never created.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.common.files import replacing_folder
from mmctr.common.progress import progress_bar
from mmctr.images.manifest import ImageRow, write_manifest
from mmctr.images.member import Member
from mmctr.images.naming import ImageName, Naming
from mmctr.images.plan import (
    ExtractReport,
    Limits,
    Plan,
    Planner,
    check_member,
    check_plan,
    check_some,
    check_total,
    plan_images,
)
from mmctr.images.sizes import MAX_MEMBER_BYTES, MAX_TOTAL_BYTES
from mmctr.images.source import STALLED_SECONDS, Kind, MemberStream, Source, kind_of, open_source


@dataclass(frozen=True)
class Listing:
    """What a source holds, found without keeping anything of it."""

    keys: tuple[str, ...]  # of its images, in its order
    members: int
    report: ExtractReport


def check_images(
    source: Path,
    *,
    kind: Kind | None = None,
    names: Naming = "integer",
    password: str | None = None,
    max_member_bytes: int = MAX_MEMBER_BYTES,
    max_total_bytes: int = MAX_TOTAL_BYTES,
    whole: bool = True,
    progress: bool | None = None,
) -> Listing | None:
    """What is in `source`, an archive or a folder, which `extract_images` would unpack with these limits.

    A compressed tar is known only once it is unpacked: that is done, into nothing, where `whole`; else its first header
    alone is looked at, and None is returned. Of all others the listing is read, and nothing is unpacked.

    Raises InputError where `extract_images` would refuse the source by what was looked at.
    """
    limits = Limits(max_member_bytes, max_total_bytes)
    opened, password = open_source(kind or kind_of(source)), password or None
    members, plan = _planned(opened, source, names=names, password=password, limits=limits, progress=progress)
    if members is not None and plan is not None:
        return Listing(tuple(image.key for image in plan.images if image is not None), len(members), plan.report)
    with opened.unpacking(source, members=None, password=password, stalled_seconds=STALLED_SECONDS) as stream:
        if not whole:
            next(iter(stream.members), None)
            return None
        planner, keys, count = Planner(names), [], 0
        with progress_bar("list", unit=" members", delay=2, show=progress) as bar:
            for member, image in _as_they_come(source, stream, planner, limits=limits):
                stream.skip(member)
                keys += [] if image is None else [image.key]
                count += 1
                bar.update()
        stream.finish()
    check_some(source, planner.report(), members=count, names=names)
    return Listing(tuple(keys), count, planner.report())


def _planned(
    opened: Source, source: Path, *, names: Naming, password: str | None, limits: Limits, progress: bool | None
) -> tuple[list[Member] | None, Plan | None]:
    """The members of a source that can be listed, and what becomes of each."""
    members = opened.list_members(source, password=password, progress=progress)
    if members is None:
        return None, None
    plan = plan_images(members, names=names)
    check_plan(source, members, plan, names=names, limits=limits)
    return members, plan


def _as_they_come(
    source: Path, stream: MemberStream, planner: Planner, *, limits: Limits
) -> Iterator[tuple[Member, ImageName | None]]:
    """The members of a source that cannot be listed, each checked before it is read."""
    total = 0
    for member in stream.members:
        image = planner.add(member)
        total += member.size
        check_member(source, member, image, limits=limits)
        check_total(source, total, limits=limits)
        yield member, image


def extract_images(
    archive: Path,
    target: Path,
    *,
    kind: Kind | None = None,
    names: Naming = "integer",
    password: str | None = None,
    max_member_bytes: int = MAX_MEMBER_BYTES,
    max_total_bytes: int = MAX_TOTAL_BYTES,
    stalled_seconds: float = STALLED_SECONDS,
    progress: bool | None = None,
) -> ExtractReport:
    """Unpack the images of `archive`, a RAR, a zip or a tar, into the folder `target`, and list them there.

    A member is an image when its extension is one of .jpg .jpeg .png .webp .gif .bmp and it has a key: by `names` its
    stem is an integer from 1 on, or any text id, or its whole path is the key (`mmctr.images.naming`). Of several
    images of a key the first in archive order is kept. `target` is replaced as a whole, and only once the archive was
    read to its end and what was read had its listed size and checksum. One image is in memory at a time.

    `max_member_bytes` bounds an image, `max_total_bytes` all members together; both are compared with the listing
    before anything is unpacked (of a compressed tar, before a member is), and no more than what is listed is read.
    `stalled_seconds` is how long an unpacking tool may write no byte and use no processor time, before it is ended.
    `kind` is found by the file's name where it is None. `progress` shows a bar over the bytes; None shows it on a
    terminal only.

    Raises InputError for every archive that cannot be used: absent, of another kind, encrypted, a part missing, cut
    off, damaged, too large, without an image; and where the unpacking tool is stopped or ended from outside.
    """
    password, limits = password or None, Limits(max_member_bytes, max_total_bytes)
    kind = kind or kind_of(archive)
    _check_places(archive, target, kind=kind)
    opened = open_source(kind)
    members, plan = _planned(opened, archive, names=names, password=password, limits=limits, progress=progress)
    total = None if members is None else sum(member.size for member in members)
    with (
        replacing_folder(target) as folder,
        opened.unpacking(archive, members=members, password=password, stalled_seconds=stalled_seconds) as stream,
        progress_bar("extract", total=total, unit="B", show=progress) as bar,
    ):
        planner = Planner(names)
        if plan is None:
            planned = _as_they_come(archive, stream, planner, limits=limits)
        else:
            planned = zip(stream.members, plan.images, strict=True)
        rows, count = _unpack(stream, planned, folder, advance=bar.update)
        report = planner.report() if plan is None else plan.report
        check_some(archive, report, members=count, names=names)
        write_manifest(folder, rows)
    return report


def _check_places(archive: Path, target: Path, *, kind: Kind) -> None:
    if kind == "folder":
        raise InputError(f"A folder of images is used in place: {archive} is one. Use `mmctr.images.in_place`.")
    if archive.resolve().is_relative_to(target.resolve()):
        raise InputError(
            f"The folder of images is replaced as a whole: {archive} lies in {target} and would be lost. "
            "Move the archive, or choose another folder."
        )


def _unpack(
    stream: MemberStream,
    planned: Iterable[tuple[Member, ImageName | None]],
    folder: Path,
    *,
    advance: Callable[[int], object],
) -> tuple[list[ImageRow], int]:
    """Write the images of the plan to the empty `folder`; returns their rows, and how many members there were."""
    rows, count = [], 0
    for member, image in planned:
        if image is None:
            stream.skip(member)
        else:
            rows.append(_write_image(folder, image, stream.read(member)))
        count += 1
        advance(member.size)
    stream.finish()
    return rows, count


def _write_image(folder: Path, image: ImageName, content: bytes) -> ImageRow:
    """Write a new file; returns its row of the manifest."""
    # Plain calls, as a Path and a file object per image cost more than its bytes. O_EXCL follows no link.
    path = f"{folder}/{image.file_name}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)
    state = os.lstat(path)  # after the close, with which some network file systems set the times
    sha256 = hashlib.sha256(content).hexdigest()
    return image.key, image.file_name, len(content), sha256, state.st_mtime_ns, state.st_ctime_ns
