"""Which members of an archive become images, by their names alone, and which archives are not unpacked.

Only the integer stem of a member's name is used: no member's path becomes a path.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.common.text import shown
from mmctr.images.rar.member import FILE, FOLDER, Member
from mmctr.images.rar.stream import REPACK_REMEDY

LISTED_AT_MOST = 100
NAMES_IN_A_MESSAGE = 3
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
    """What an archive held: images written, and every member that became none."""

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
class Plan:
    """For each member the image that it becomes, or None for a member that is passed over."""

    images: list[tuple[int, str] | None]
    report: ExtractReport


def plan_images(members: list[Member]) -> Plan:
    """The first image of each item, in the order of the archive."""
    images: list[tuple[int, str] | None] = []
    found: set[int] = set()
    duplicates: list[tuple[int, str]] = []
    not_items: list[Member] = []
    for member in members:
        named = image_name(member.name) if member.kind == FILE else None
        kept = None
        if named is None:
            if member.kind != FOLDER:
                not_items.append(member)
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
        not_items=Names(len(not_items), tuple(map(_shown, not_items[:LISTED_AT_MOST]))),
        total_bytes=sum(member.size for member, image in zip(members, images, strict=True) if image is not None),
    )
    return Plan(images, report)


def _shown(member: Member) -> str:
    """A member's name, and what it is where it is no plain file."""
    return shown(member.name) if member.kind == FILE else f"{shown(member.name)} ({member.kind})"


def check_plan(
    archive: Path, members: list[Member], plan: Plan, *, max_member_bytes: int, max_total_bytes: int
) -> None:
    """Raise InputError where an archive with this plan is not unpacked."""
    if plan.report.images == 0:
        found = ", ".join(shown(name, limit=60) for name in plan.report.not_items.first[:NAMES_IN_A_MESSAGE])
        raise InputError(
            f"The archive must hold images named <item_id>.jpg (or .jpeg, .png, .webp, .gif, .bmp): {archive} holds "
            f"no image among its {len(members)} members{f', such as {found}' if found else ''}. "
            "Use the archive with the item images."
        )
    for member, image in zip(members, plan.images, strict=True):
        if member.unusable:
            raise InputError(
                f"Every member of an archive must be there itself: member '{shown(member.name)}' of {archive} "
                f"{shown(member.unusable)}. {REPACK_REMEDY}"
            )
        if image is not None and member.size > max_member_bytes:
            raise InputError(
                f"An image may unpack to at most {max_member_bytes} bytes: member '{shown(member.name)}' of {archive} "
                f"lists {member.size}. Raise `max_member_bytes` if you trust the archive."
            )
    total = sum(member.size for member in members)
    if total > max_total_bytes:
        raise InputError(
            f"An archive may unpack to at most {max_total_bytes} bytes: {archive} lists {total}. "
            "Raise `max_total_bytes` if you trust the archive."
        )
