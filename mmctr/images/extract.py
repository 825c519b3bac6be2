"""The item images of a RAR archive as a folder of `<item_id><extension>` files, with a manifest.

Only the integer stem of a member's name is used: no member's path becomes a path, so nothing can be written outside
the folder, and links are never created.
"""

import hashlib
import os
import zlib
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.common.files import replacing_folder
from mmctr.common.progress import progress_bar
from mmctr.images.manifest import ImageRow, write_manifest
from mmctr.images.plan import ExtractReport, Plan, check_plan, plan_images
from mmctr.images.rar.listing import list_members
from mmctr.images.rar.member import Member
from mmctr.images.rar.sizes import MAX_MEMBER_BYTES, MAX_TOTAL_BYTES
from mmctr.images.rar.stream import unpacking
from mmctr.images.rar.tool import STALLED_SECONDS


def check_archive(
    archive: Path,
    *,
    password: str | None = None,
    max_member_bytes: int = MAX_MEMBER_BYTES,
    max_total_bytes: int = MAX_TOTAL_BYTES,
    progress: bool | None = None,
) -> list[Member]:
    """The members of `archive`, which `extract_images` would unpack with these limits; nothing is unpacked.

    Raises InputError where `extract_images` would refuse the archive by its listing.
    """
    return _looked_at(archive, password or None, max_member_bytes, max_total_bytes, progress)[0]


def _looked_at(
    archive: Path, password: str | None, max_member_bytes: int, max_total_bytes: int, progress: bool | None
) -> tuple[list[Member], Plan]:
    members = list_members(archive, password=password, progress=progress)
    plan = plan_images(members)
    check_plan(archive, members, plan, max_member_bytes=max_member_bytes, max_total_bytes=max_total_bytes)
    return members, plan


def _write_image(folder: Path, item_id: int, file_name: str, content: bytes, crc32: int) -> ImageRow:
    """Write a new file; returns its row of the manifest."""
    # Plain calls, as a Path and a file object per image cost more than its bytes. O_EXCL follows no link.
    path = f"{folder}/{file_name}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)
    state = os.lstat(path)  # after the close, with which some network file systems set the times
    sha256 = hashlib.sha256(content).hexdigest()
    return item_id, file_name, len(content), crc32, sha256, state.st_mtime_ns, state.st_ctime_ns


def _unpack(
    archive: Path,
    *,
    folder: Path,
    members: list[Member],
    plan: Plan,
    password: str | None,
    stalled_seconds: float,
    progress: bool | None,
) -> list[ImageRow]:
    """Write the images of the plan to the empty `folder`; returns their rows of the manifest."""
    rows = []
    total = sum(member.size for member in members)
    with (
        progress_bar("extract", total=total, unit="B", show=progress) as bar,
        unpacking(archive, members=members, password=password, stalled_seconds=stalled_seconds) as stream,
    ):
        for member, image in zip(members, plan.images, strict=True):
            if image is None:
                stream.skip(member)
            else:
                content = stream.read(member)
                crc32 = zlib.crc32(content) if member.crc32 is None else member.crc32
                rows.append(_write_image(folder, *image, content, crc32))
            bar.update(member.size)
        stream.finish()
    return rows


def extract_images(
    archive: Path,
    target: Path,
    *,
    password: str | None = None,
    max_member_bytes: int = MAX_MEMBER_BYTES,
    max_total_bytes: int = MAX_TOTAL_BYTES,
    stalled_seconds: float = STALLED_SECONDS,
    progress: bool | None = None,
) -> ExtractReport:
    """Unpack the images of the RAR `archive` into the folder `target`, and list them there.

    A member is an image of an item when its extension is one of .jpg .jpeg .png .webp .gif .bmp and its stem an integer
    from 1 on; it becomes `<item_id><lowercase extension>`, .jpeg becoming .jpg. Of several images of an item the first
    in archive order is kept. `target` is replaced as a whole, and only once every member of the archive was read and
    had its listed size and checksum. One image is in memory at a time.

    `max_member_bytes` bounds an image, `max_total_bytes` all members together; both are compared with the listing
    before anything is unpacked, and no more than what is listed is read from the unpacking tool afterwards.
    `stalled_seconds` is how long the unpacking tool may write no byte and use no processor time, before it is ended.
    `progress` shows a bar over the bytes; None shows it on a terminal only.

    Raises InputError for every archive that cannot be used: absent, no RAR, encrypted, a part missing, cut off,
    damaged, too large, without an image; and where the unpacking tool is stopped or ended from outside.
    """
    password = password or None
    if archive.resolve().is_relative_to(target.resolve()):
        raise InputError(
            f"The folder of images is replaced as a whole: {archive} lies in {target} and would be lost. "
            "Move the archive, or choose another folder."
        )
    members, plan = _looked_at(archive, password, max_member_bytes, max_total_bytes, progress)
    with replacing_folder(target) as folder:
        images = _unpack(
            archive,
            folder=folder,
            members=members,
            plan=plan,
            password=password,
            stalled_seconds=stalled_seconds,
            progress=progress,
        )
        write_manifest(folder, images)
    return plan.report
