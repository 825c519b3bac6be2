"""Images in a zip archive, read with Python's zipfile, whose every claim is checked before it is believed.

Members may be stored or deflated; encrypted ones are refused. The list at the end of the file says all, so an archive
is refused before anything is unpacked: members that share their bytes, as in a zip bomb, among them
(https://www.usenix.org/conference/woot19/presentation/fifield).
"""

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.text import first_line, shown
from mmctr.images.bounds import MAX_HEADERS, UnboundedError
from mmctr.images.member import FILE, FOLDER, SPECIAL, SYMBOLIC_LINK, Member
from mmctr.images.plan import DAMAGED_REMEDY
from mmctr.images.source import MemberStream, Source
from mmctr.images.start import another_kind, read_start

METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
ENCRYPTED, UTF8 = 0x1 | 0x40, 0x800  # bits of a member's flags
LOCAL_HEADER_BYTES = 30
MAX_LIST_BYTES = 1 << 28  # of the list of members, which zipfile holds in memory
ENTRY_MARK = b"PK\x01\x02"  # at the beginning of each entry of that list
UNIX = 3


class _BoundedFile(io.BufferedReader):
    """A file whose list of members cannot fill the memory: zipfile reads it at once and makes an object an entry."""

    bounded = True  # until it is listed

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file."""
        if not self.bounded or size is None or size < 0:
            return super().read(size)
        content = super().read(min(size, MAX_LIST_BYTES + 1))
        if len(content) > MAX_LIST_BYTES or content.count(ENTRY_MARK) > MAX_HEADERS:
            raise UnboundedError(f"has more than {MAX_HEADERS:,} members, or too many long names")
        return content


def _list(path: Path, *, password: str | None, progress: bool | None) -> list[Member]:  # noqa: ARG001
    with _opened(path) as archive:
        infos = archive.infolist()
        _check_apart(path, infos, end=archive.start_dir)
        _check_not_encrypted(path, infos)
        return [_member(info) for info in infos]


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    start = read_start(path, kind="zip")
    if not start.startswith(b"PK"):
        raise another_kind(path, start, kind="zip")
    with _BoundedFile(io.FileIO(path)) as stream, _listed(path, stream) as archive:
        stream.bounded = False
        yield archive


def _listed(path: Path, stream: _BoundedFile) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except UnboundedError as error:
        raise InputError(f"The listing of an archive must be bounded: {path} {error}. Pack the images again.") from None
    except Exception as error:  # a damaged list can raise nearly anything in zipfile
        raise_if_of_the_machine(error, path=path)
        raise InputError(
            f"An archive must be whole: {path} is cut off or damaged, its list of members cannot be read "
            f"({first_line(error)}). {DAMAGED_REMEDY}"
        ) from error


def _member(info: zipfile.ZipInfo) -> Member:
    kind, mode = FILE, info.external_attr >> 16 if info.create_system == UNIX else 0
    if info.orig_filename.endswith("/"):
        kind = FOLDER
    elif stat.S_ISLNK(mode):
        kind = SYMBOLIC_LINK
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        kind = SPECIAL
    known = info.compress_type in METHODS or kind != FILE
    unusable = "" if known else f"is compressed by method {info.compress_type}, not by deflate"
    return Member(_name(info), info.file_size if kind == FILE else 0, kind, crc32=info.CRC, unusable=unusable)


def _name(info: zipfile.ZipInfo) -> str:
    """The name as it is written; without the mark for UTF-8 it may still be that, as macOS packs."""
    name = info.orig_filename
    if info.flag_bits & UTF8 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


def _check_not_encrypted(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    encrypted = next((info for info in infos if info.flag_bits & ENCRYPTED), None)
    if encrypted is not None:
        raise InputError(
            f"A zip must not be encrypted: {path} is, member '{shown(encrypted.orig_filename)}' for one. Unpack it and "
            "use the folder of its images, or pack them again without a password."
        )


def _check_apart(path: Path, infos: list[zipfile.ZipInfo], *, end: int) -> None:
    """Refuse members that overlap: a few bytes would be unpacked again and again."""
    ordered = sorted(infos, key=lambda info: info.header_offset)
    following = end
    for info in reversed(ordered):
        own_end = info.header_offset + LOCAL_HEADER_BYTES + len(info.orig_filename) + info.compress_size
        if info.header_offset < 0 or own_end > following:
            raise InputError(
                f"Each member of an archive must have its own bytes: member '{shown(info.orig_filename)}' of {path} "
                f"shares some with others or with the list of members. {DAMAGED_REMEDY}"
            )
        following = info.header_offset


class _ZipStream:
    """The members in the order of the list; those that are skipped are not read."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, members: list[Member]) -> None:
        self._path, self._archive, self._members = path, archive, members
        self._info = zipfile.ZipInfo()

    @property
    def members(self) -> Iterator[Member]:
        for info, member in zip(self._archive.infolist(), self._members, strict=True):
            self._info = info
            yield member

    def read(self, member: Member) -> bytes:
        """All bytes of the member that was asked for last."""
        try:
            with self._archive.open(self._info) as stream:
                content = stream.read(member.size)  # zipfile compares the checksum once it has as many as listed
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as error:
            raise_if_of_the_machine(error, path=self._path)
            raise self._failure(member, first_line(error)) from error
        if len(content) != member.size:
            raise self._failure(member, f"{len(content)} bytes instead of {member.size}")
        if zlib.crc32(content) != member.crc32:  # an empty one is never compared
            raise self._failure(member, "another checksum than listed")
        return content

    def skip(self, member: Member) -> None:
        """Nothing is to be read for the next one."""

    def finish(self) -> None:
        """The list of members was at the end already."""

    def _failure(self, member: Member, detail: str) -> InputError:
        return InputError(
            f"An archive must unpack to what it lists: {self._path}: member '{shown(member.name)}' has {detail}. "
            f"{DAMAGED_REMEDY}"
        )


@contextmanager
def _unpacking(
    path: Path,
    *,
    members: list[Member] | None,
    password: str | None,  # noqa: ARG001
    stalled_seconds: float,  # noqa: ARG001
) -> Iterator[MemberStream]:
    assert members is not None, "a zip is always listed"
    with _opened(path) as archive:
        yield _ZipStream(path, archive, members)


COMPONENT = Source(list_members=_list, unpacking=_unpacking)
