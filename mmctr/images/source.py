"""The one interface to whatever images come in: a RAR, a zip, a tar, a folder.

A source lists its members and streams their bytes in the order of the listing; every read is checked against what the
member lists. Which members are images and how much they may take is decided for all sources by `mmctr.images.plan`.
Each kind of source is a module of `mmctr.images.sources`, loaded by name: its code counts in the keys of runs that use
it (docs/decisions/0047-images-of-every-source.md).
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from mmctr.common.components import load_component
from mmctr.common.errors import InputError
from mmctr.images.member import Member
from mmctr.images.start import GZIP, TAR_MARK, TAR_MARK_AT, ZSTD, read_start, shown_start

Kind = Literal["rar", "zip", "tar", "folder"]
STALLED_SECONDS = 300.0  # that an unpacking tool may do nothing: stopped, or a disk that does not answer
ENDINGS: dict[Kind, tuple[str, ...]] = {
    "rar": (".rar",),
    "zip": (".zip",),
    "tar": (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"),
}


class MemberStream(Protocol):
    """The bytes of the members, to be asked for one after the other in the order of the listing."""

    @property
    def members(self) -> Iterable[Member]:
        """The members, each of which is read or skipped before the next is asked for."""

    def read(self, member: Member) -> bytes:
        """All bytes of the member, which must be as many as listed."""

    def skip(self, member: Member) -> None:
        """Pass over the member without holding it."""

    def finish(self) -> None:
        """Check that the source ends where its last member does."""


class ListMembers(Protocol):
    """Lists the members of a source; None where only unpacking it says what is in it."""

    def __call__(self, path: Path, *, password: str | None, progress: bool | None) -> list[Member] | None: ...


class Unpacking(Protocol):
    """Opens the stream of a source whose listing is `members`; None for a source that is listed as it is unpacked."""

    def __call__(
        self, path: Path, *, members: list[Member] | None, password: str | None, stalled_seconds: float
    ) -> AbstractContextManager[MemberStream]: ...


@dataclass(frozen=True)
class Source:
    """One kind of source; both functions raise InputError for what they cannot read."""

    list_members: ListMembers
    unpacking: Unpacking


def open_source(kind: Kind) -> Source:
    """The source of a kind."""
    source: Source = load_component("mmctr.images.sources", kind)
    return source


def kind_of(path: Path) -> Kind:
    """What `path` is called, or is where its name does not say so; whether it really is that its reader checks.

    Raises:
        InputError: it is none of the kinds that images come in, or not there.
    """
    if path.is_dir():
        return "folder"
    name = path.name.lower()
    for kind, endings in ENDINGS.items():
        if name.endswith(endings):
            return kind
    start = read_start(path, kind="image")
    if start.startswith(b"Rar!"):
        return "rar"
    if start.startswith(b"PK"):
        return "zip"
    if start.startswith((GZIP, ZSTD)) or start[TAR_MARK_AT:].startswith(TAR_MARK):
        return "tar"
    raise InputError(
        f"Images must come in a folder, a RAR, a zip or a tar (.tar, .tar.gz, .tar.zst): {path} {shown_start(start)}. "
        "Use the path of the item images."
    )
