"""The headers of a RAR archive as rarfile reads them, but bounded, and without starting any program.

rarfile unpacks comments of RAR 1.5 to 3 with whatever `unrar` the PATH holds, and hands it the password on its command
line: here comments are not read. It accepts any number of headers, and keys that take as long as a header asks: here
both are bounded. It leaves out older versions of a file, whose bytes 7-Zip unpacks all the same: here they are members.
"""

import logging
import time
from pathlib import Path
from typing import Any

import rarfile

from mmctr.common.progress import progress_bar
from mmctr.images.bounds import Bounds, UnboundedError
from mmctr.images.member import FILE, FOLDER, HARD_LINK, OLDER_VERSION, SYMBOLIC_LINK, Member
from mmctr.images.rar.hashes import rar3_key

MAX_KEY_LOG2 = 18  # rounds of a RAR5 key, as a power of two: RAR takes 15, the format allows 24, which is 10 s a key
FIRST_WORD_SECONDS, NEXT_WORD_SECONDS = 5.0, 60.0
WHY_SLOW = (
    "in RAR 3 and 4 each encrypted header may have a key of its own, about 0.03 s each, and 1 s and more with a "
    "password of 29 characters and more; repacked as RAR 5, or without encrypted headers, it is listed at once"
)

logger = logging.getLogger(__name__)


class _Bounded(rarfile.CommonParser):
    """What both parsers do otherwise than rarfile's; `members` are those of all volumes."""

    def __init__(self, archive: Path, *, password: str | None, progress: bool | None) -> None:
        super().__init__(str(archive), password, True, rarfile.DEFAULT_CHARSET, False, None, 0, False)
        self.members: list[Member] = []
        self._latest: dict[str, Member] = {}  # by name, what a file copy may refer to
        self._entry: Any = None  # of the last member, whose checksum may still come with a later volume
        self._bounds = Bounds()
        self._show = progress

    def parse(self) -> None:
        """Read the headers of all volumes."""
        with progress_bar("list", unit=" members", delay=2, show=self._show) as self._bar:
            super().parse()
            self._keep_entry()

    def first_header(self) -> Any:
        """The first header of the first volume, which says whether there are more volumes; None where it is none."""
        with rarfile.XFile(self._rarfile) as stream:
            stream.seek(len(self._expect_sig))
            return self._parse_header(stream)

    def _parse_header(self, fd: Any) -> Any:
        self._bounds.add_header()
        return super()._parse_header(fd)

    def process_entry(self, fd: Any, item: Any) -> None:  # noqa: ARG002 the names are rarfile's
        """Keep a member; services, comments among them, say nothing of the members."""
        if item.type != rarfile.RAR_BLOCK_FILE:
            return
        if item.flags & rarfile.RAR_FILE_SPLIT_BEFORE:
            if self._entry is not None:
                self._entry.CRC, self._entry.blake2sp_hash = item.CRC, item.blake2sp_hash
            return
        self._keep_entry()
        self._entry = item
        self._bounds.add_name(item.filename)

    def _keep_entry(self) -> None:
        if self._entry is None:
            return
        member = self._copy(self._entry) or _member(self._entry)
        self.members.append(member)
        self._latest[self._entry.filename] = member
        self._entry = None
        self._bar.update()

    def _copy(self, entry: Any) -> Member | None:
        """An identical file that is stored as a reference (rar's -oi) lists no checksum: it is that of the other."""
        if not entry.file_redir or entry.file_redir[0] != rarfile.RAR5_XREDIR_FILE_COPY or entry.compress_size:
            return None
        name = entry.file_redir[2]
        other = self._latest.get(name)
        if other is not None and other.size == entry.file_size:
            return other._replace(name=entry.filename, kind=OLDER_VERSION if entry.file_version else FILE)
        reason = f"is stored as a reference to {name!r}, of which the archive holds no copy of that size before it"
        return _member(entry)._replace(unusable=reason)


class _Rar3(_Bounded, rarfile.RAR3Parser):
    """RAR 1.5 to 4."""

    def parse(self) -> None:
        """Read the headers of all volumes."""
        self._keys: dict[bytes, tuple[bytes, bytes]] = {}
        self._next_word = time.monotonic() + FIRST_WORD_SECONDS
        super().parse()

    def _decrypt_header(self, fd: Any) -> Any:
        salt = fd.read(8)
        if salt not in self._keys:
            self._say_why_slow()
            self._keys[salt] = rar3_key(self._password, salt)
        return rarfile.HeaderDecrypt(fd, *self._keys[salt])

    def _say_why_slow(self) -> None:
        if time.monotonic() > self._next_word:
            logger.warning("%s: %d members listed so far; %s", self._rarfile, len(self.members), WHY_SLOW)
            self._next_word = time.monotonic() + NEXT_WORD_SECONDS

    def _parse_block_header(self, fd: Any) -> Any:
        """A comment of RAR 1.5 and 2 is a header whose checksum covers its fixed fields alone; rarfile takes all."""
        if isinstance(fd, rarfile.XFile):
            at = fd.tell()
            fields = fd.read(rarfile.S_BLK_HDR.size)
            fd.seek(at)
            if fields[2:3] == bytes([rarfile.RAR_BLOCK_OLD_COMMENT]) and len(fields) == rarfile.S_BLK_HDR.size:
                comment = rarfile.Rar3Info()
                _, comment.type, comment.flags, comment.header_size = rarfile.S_BLK_HDR.unpack(fields)
                fd.seek(at + max(comment.header_size, len(fields)))
                return comment
        return super()._parse_block_header(fd)

    def _parse_subblocks(self, h: Any, hdata: bytes, pos: int) -> int:  # noqa: ARG002 the names are rarfile's
        """Comments within a header."""
        return pos


class _Rar5(_Bounded, rarfile.RAR5Parser):
    """RAR 5 and 7."""

    def _parse_main_block(self, h: Any, hdata: bytes, pos: int) -> Any:
        header = super()._parse_main_block(h, hdata, pos)
        if header.main_volume_number == 0:  # rarfile knows a first part by the absence of a number alone
            header.flags |= rarfile.RAR_MAIN_FIRSTVOLUME
        return header

    def _parse_encryption_block(self, h: Any, hdata: bytes, pos: int) -> Any:
        if self._hdrenc_main:
            raise rarfile.BadRarFile("a volume has two encryption headers")
        return super()._parse_encryption_block(h, hdata, pos)

    def _check_password(self, check_value: bytes, kdf_count_shift: int, salt: bytes) -> None:
        _check_key(kdf_count_shift)
        super()._check_password(check_value, kdf_count_shift, salt)

    def _gen_key(self, kdf_count: int, salt: bytes) -> Any:
        _check_key(kdf_count)
        return super()._gen_key(kdf_count, salt)

    def _parse_file_encryption(self, h: Any, xdata: bytes, pos: int) -> None:
        super()._parse_file_encryption(h, xdata, pos)
        _check_key(h.file_encryption[2])


def _check_key(log2: int) -> None:
    if log2 > MAX_KEY_LOG2:
        raise UnboundedError(f"asks for keys of 2^{log2} rounds, at most 2^{MAX_KEY_LOG2} are made")


def headers_of(archive: Path, *, password: str | None, progress: bool | None = None) -> Any:
    """The parser of a RAR archive, none of whose headers is read yet."""
    parser = _Rar5 if rarfile.get_rar_version(str(archive)) == rarfile.RAR_V5 else _Rar3
    return parser(archive, password=password, progress=progress)


def _member(entry: Any) -> Member:
    """A member as 7-Zip 26 unpacks it: folders and RAR5 links have no bytes, a RAR4 symbolic link has its target."""
    redirection = entry.file_redir[0] if entry.file_redir else None
    is_link = entry.is_symlink() or redirection not in (None, rarfile.RAR5_XREDIR_FILE_COPY)
    gives_no_bytes = entry.is_dir() or (redirection is not None and is_link)
    # With a checksum that depends on the password only the unpacking tool can compare it.
    keyed = bool(getattr(entry, "file_encryption", (0, 0))[1] & rarfile.RAR5_XENC_TWEAKED)
    kind, name = FILE, entry.filename
    if entry.is_dir():
        kind = FOLDER
    elif redirection == rarfile.RAR5_XREDIR_HARD_LINK:
        kind = HARD_LINK
    elif is_link:
        kind = SYMBOLIC_LINK
    elif getattr(entry, "file_version", None) or _is_older_in_rar3(entry):
        kind = OLDER_VERSION
    unusable = ""
    if kind == HARD_LINK and entry.file_size:
        unusable = f"is a hard link to {entry.file_redir[2]!r} (rar's switch -oh)"
    return Member(
        name=name,
        size=0 if gives_no_bytes else entry.file_size,
        crc32=None if keyed or gives_no_bytes else entry.CRC,
        blake2sp=None if keyed or gives_no_bytes or entry.CRC is not None else entry.blake2sp_hash,
        kind=kind,
        encrypted=bool(entry.needs_password()),
        unusable=unusable,
    )


def _is_older_in_rar3(entry: Any) -> bool:
    return isinstance(entry, rarfile.Rar3Info) and bool(entry.flags & rarfile.RAR_FILE_VERSION)
