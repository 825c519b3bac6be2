"""Which members of a source become images, by their names alone, and which sources are not read.

Members are planned one after the other, as some sources are known only while they are unpacked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mmctr.common.errors import InputError
from mmctr.common.text import shown
from mmctr.images.member import FILE, FOLDER, Member
from mmctr.images.naming import ImageName, Naming, image_name
from mmctr.images.sizes import MAX_MEMBER_BYTES, MAX_TOTAL_BYTES

T = TypeVar("T")
LISTED_AT_MOST = 100
NAMES_IN_A_MESSAGE = 3
REPACK_REMEDY = "Pack the images again, as plain files."
DAMAGED_REMEDY = "Download or copy the archive again."


@dataclass(frozen=True)
class Limits:
    """Of an image, and of all members together."""

    max_member_bytes: int = MAX_MEMBER_BYTES
    max_total_bytes: int = MAX_TOTAL_BYTES


@dataclass(frozen=True)
class Names:
    """How many there were of a kind, and the names of the first hundred."""

    count: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class KeyedNames:
    """How many members there were of a kind, and key and name of the first hundred."""

    count: int
    first: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ExtractReport:
    """What a source held: its images, and every member that became none."""

    images: int
    duplicates: KeyedNames  # further images of a key that already has one: the first in the source's order is kept
    not_items: Names  # members that are no image by their name, links and companions of macOS among them
    total_bytes: int  # of the images


class Planner:
    """Decides on one member after the other: the first image of each key is kept, in the order of the source."""

    def __init__(self, names: Naming) -> None:
        self._names: Naming = names
        self._found: set[str] = set()
        self._duplicates: list[tuple[str, str]] = []
        self._not_items: list[str] = []
        self._counts = {"duplicates": 0, "not_items": 0, "total_bytes": 0}

    def add(self, member: Member) -> ImageName | None:
        """The image that a member becomes, or None for a member that is passed over."""
        image = image_name(member.name, names=self._names) if member.kind == FILE else None
        if image is None:
            if member.kind != FOLDER:
                self._pass_over("not_items", self._not_items, _shown(member))
        elif image.key in self._found:
            self._pass_over("duplicates", self._duplicates, (shown(image.key), shown(member.name)))
            return None
        else:
            self._found.add(image.key)
            self._counts["total_bytes"] += member.size
        return image

    def _pass_over(self, kind: str, first: list[T], name: T) -> None:
        self._counts[kind] += 1
        if len(first) < LISTED_AT_MOST:
            first.append(name)

    def report(self) -> ExtractReport:
        """On all members so far."""
        return ExtractReport(
            images=len(self._found),
            duplicates=KeyedNames(self._counts["duplicates"], tuple(self._duplicates)),
            not_items=Names(self._counts["not_items"], tuple(self._not_items)),
            total_bytes=self._counts["total_bytes"],
        )


@dataclass(frozen=True)
class Plan:
    """For each member the image that it becomes, or None for a member that is passed over."""

    images: list[ImageName | None]
    report: ExtractReport


def plan_images(members: Iterable[Member], *, names: Naming = "integer") -> Plan:
    """The first image of each key, in the order of the source."""
    planner = Planner(names)
    images = [planner.add(member) for member in members]
    return Plan(images, planner.report())


def check_plan(source: Path, members: Sequence[Member], plan: Plan, *, names: Naming, limits: Limits) -> None:
    """Raise InputError where a source with this plan is not read."""
    check_some(source, plan.report, members=len(members), names=names)
    for member, image in zip(members, plan.images, strict=True):
        check_member(source, member, image, limits=limits)
    check_total(source, sum(member.size for member in members), limits=limits)


def check_some(source: Path, report: ExtractReport, *, members: int, names: Naming) -> None:
    """Raise InputError where a source holds no image."""
    if report.images:
        return
    kind = "folder" if source.is_dir() else "archive"
    found = ", ".join(shown(name, limit=60) for name in report.not_items.first[:NAMES_IN_A_MESSAGE])
    named = "files that end in .jpg" if names == "path" else "images named <item_id>.jpg"
    raise InputError(
        f"The {kind} must hold {named} (or .jpeg, .png, .webp, .gif, .bmp): {source} holds no image among its "
        f"{members} members{f', such as {found}' if found else ''}. Use the {kind} with the item images."
    )


def check_member(source: Path, member: Member, image: ImageName | None, *, limits: Limits) -> None:
    """Raise InputError for a member that cannot be read, or an image that is too large."""
    if member.unusable:
        raise InputError(
            f"Every member of an archive must be there itself: member '{shown(member.name)}' of {source} "
            f"{shown(member.unusable)}. {REPACK_REMEDY}"
        )
    if image is not None and member.size > limits.max_member_bytes:
        raise InputError(
            f"An image may unpack to at most {limits.max_member_bytes} bytes: member '{shown(member.name)}' of "
            f"{source} lists {member.size}. Raise `max_member_bytes` if you trust the archive."
        )


def check_total(source: Path, total: int, *, limits: Limits) -> None:
    """Raise InputError where members list more bytes together than may be read."""
    if total > limits.max_total_bytes:
        raise InputError(
            f"An archive may unpack to at most {limits.max_total_bytes} bytes: {source} lists {total}. "
            "Raise `max_total_bytes` if you trust the archive."
        )


def _shown(member: Member) -> str:
    """A member's name, and what it is where it is no plain file."""
    return shown(member.name) if member.kind == FILE else f"{shown(member.name)} ({member.kind})"
