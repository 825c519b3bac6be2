"""Images in a folder, which stay where they are.

Sub-folders are walked. Links are never followed, and hidden folders are passed over: `.mmctr` and a system's rubbish
are among them. The order is that of the paths.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.common.text import shown
from mmctr.images.bounds import Bounds, UnboundedError
from mmctr.images.member import FILE, FOLDER, SPECIAL, SYMBOLIC_LINK, Member
from mmctr.images.source import MemberStream, Source

MAX_DEPTH = 64  # folders within each other
HIDDEN, NO_UTF8 = "hidden folder", "file whose name is no UTF-8"
FOLDER_REMEDY = "Use the path of the folder with the item images."


def _list(path: Path, *, password: str | None, progress: bool | None) -> list[Member]:  # noqa: ARG001
    if not path.is_dir():
        raise InputError(f"Images in place must be in a folder: {path} is none. {FOLDER_REMEDY}")
    try:
        return sorted(_walk(path), key=lambda member: member.name)
    except UnboundedError as error:
        raise InputError(f"A folder of images must be bounded: {path} {error}. {FOLDER_REMEDY}") from None
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _changed(path, str(error.filename)) from None


def _walk(root: Path) -> Iterator[Member]:
    bounds, waiting = Bounds(), [("", 0)]
    while waiting:
        folder, depth = waiting.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                bounds.add_header()
                name = folder + entry.name
                bounds.add_name(name)
                state = entry.stat(follow_symlinks=False)
                kind = _kind(entry.name, state.st_mode)
                if kind == FOLDER:
                    if depth == MAX_DEPTH:
                        raise UnboundedError(f"has folders within each other, more than {MAX_DEPTH} of them")
                    waiting.append((f"{name}/", depth + 1))
                yield Member(name, state.st_size if kind == FILE else 0, kind)


def _kind(name: str, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return SYMBOLIC_LINK
    if stat.S_ISDIR(mode):
        return HIDDEN if name.startswith(".") else FOLDER
    if not stat.S_ISREG(mode):
        return SPECIAL
    return FILE if is_text(name) else NO_UTF8


def is_text(name: str) -> bool:
    """Whether a file's name can stand in a table."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


class FolderStream:
    """The files of the listing, each of which must be as it was listed."""

    def __init__(self, folder: Path, members: list[Member]) -> None:
        self.members = members
        self._folder = folder

    def read(self, member: Member) -> bytes:
        """All bytes of a file; no link is followed, and no pipe is waited for."""
        try:
            descriptor = os.open(self._folder / member.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                raise _changed(self._folder, member.name) from None
            raise
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            os.close(descriptor)
            raise _changed(self._folder, member.name)
        with os.fdopen(descriptor, "rb") as stream:
            content, after = stream.read(member.size + 1), os.fstat(descriptor)
        if len(content) != member.size or _times(before) != _times(after):
            raise _changed(self._folder, member.name)
        return content

    def skip(self, member: Member) -> None:
        """Nothing is to be read for the next one."""

    def finish(self) -> None:
        """There is no end to be found."""


def _times(state: os.stat_result) -> tuple[int, int]:
    return state.st_mtime_ns, state.st_ctime_ns


def _changed(folder: Path, name: str) -> InputError:
    return InputError(
        f"Images must stay as they are while they are read, but '{shown(name)}' in {folder} changed meanwhile. Nothing "
        "was made of it; run again."
    )


@contextmanager
def _unpacking(
    path: Path,
    *,
    members: list[Member] | None,
    password: str | None,  # noqa: ARG001
    stalled_seconds: float,  # noqa: ARG001
) -> Iterator[MemberStream]:
    assert members is not None, "a folder is always listed"
    yield FolderStream(path, members)


COMPONENT = Source(list_members=_list, unpacking=_unpacking)
