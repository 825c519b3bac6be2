"""Images in a RAR archive of any version, in one file or in parts."""

from contextlib import AbstractContextManager
from pathlib import Path

from mmctr.images.member import Member
from mmctr.images.rar.listing import list_members
from mmctr.images.rar.stream import unpacking
from mmctr.images.source import MemberStream, Source


def _list(path: Path, *, password: str | None, progress: bool | None) -> list[Member]:
    return list_members(path, password=password, progress=progress)


def _unpacking(
    path: Path, *, members: list[Member] | None, password: str | None, stalled_seconds: float
) -> AbstractContextManager[MemberStream]:
    assert members is not None, "a RAR is always listed"
    return unpacking(path, members=members, password=password, stalled_seconds=stalled_seconds)


COMPONENT = Source(list_members=_list, unpacking=_unpacking)
