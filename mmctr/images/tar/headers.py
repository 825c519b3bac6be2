"""The headers of a tar archive, of every kind that GNU tar, BSD tar and Python write.

Python's tarfile takes a header apart; what follows from it is ours, as tarfile reads a long name of any length into
memory, follows a chain of them by recursion, and takes a header that is damaged for the end of the archive.
"""

import tarfile
from collections.abc import Iterator

from mmctr.images.bounds import Bounds
from mmctr.images.member import FILE, FOLDER, HARD_LINK, SPARSE, SPECIAL, SYMBOLIC_LINK, Member
from mmctr.images.tar.content import Content, CutOffError

BLOCK = tarfile.BLOCKSIZE
MAX_EXTENSION = 1 << 20  # bytes of a long name, or of a pax header
LONG_NAME, LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
PAX, PAX_OF_ALL = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE), tarfile.XGLTYPE
EXTENSIONS = {LONG_NAME, LONG_LINK, *PAX, PAX_OF_ALL}
CONTINUED = b"M"  # of a multi-volume archive
WITHOUT_BYTES = {
    tarfile.DIRTYPE: FOLDER,
    tarfile.SYMTYPE: SYMBOLIC_LINK,
    tarfile.LNKTYPE: HARD_LINK,
    **dict.fromkeys((tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE), SPECIAL),
}
SPARSE_KEY = b"GNU.sparse."
DIGITS = 20  # of a number in a pax header

Said = dict[bytes, bytes]  # of the next member, by the keys of pax headers


class BadHeaderError(Exception):
    """A header is none."""


class NoTarError(BadHeaderError):
    """So is the first one."""


def read_headers(content: Content) -> Iterator[Member]:
    """The members of an archive; the caller reads or skips each one's `size` bytes before it asks for the next.

    Raises BadHeaderError, CutOffError or UnboundedError, and what the content raises.
    """
    bounds, said, first = Bounds(), Said(), True
    while True:
        bounds.add_header()
        block = _first_block(content) if first else content.exactly(BLOCK)
        if block.count(0) == BLOCK and not said:
            return
        info = _parsed(block, first=first)
        first = False
        if info.type in EXTENSIONS:
            said |= _extension(info, content)
            continue
        member = _member(info, said)
        said = Said()
        bounds.add_name(member.name)
        if info.type == tarfile.GNUTYPE_SPARSE:
            _skip_sparse_map(content, bounds, more=bool(block[482]))
        yield member
        content.skip(-member.size % BLOCK)


def _first_block(content: Content) -> bytes:
    try:
        return content.exactly(BLOCK)
    except CutOffError:
        raise NoTarError("it has fewer bytes than a header") from None


def _parsed(block: bytes, *, first: bool) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if first:
            raise NoTarError(f"it has a damaged header ({error})") from None
        raise BadHeaderError(f"it has a damaged header ({error})") from None
    if info.size < 0:
        raise BadHeaderError(f"it has a member of {info.size} bytes")
    return info


def _extension(info: tarfile.TarInfo, content: Content) -> Said:
    """What a header says that belongs to the next member. What is said of all members is not about names or sizes."""
    if info.size > MAX_EXTENSION:
        raise BadHeaderError(f"it has a name or a header of {info.size:,} bytes")
    text = content.exactly(info.size)
    content.skip(-info.size % BLOCK)
    if info.type == LONG_NAME:
        return {b"path": text.partition(b"\0")[0]}
    if info.type in PAX:
        return _records(text)
    return {}


def _records(text: bytes) -> Said:
    """The records `<length> <key>=<value>` of a pax header (POSIX.1-2017, pax, Extended Header)."""
    found, at = Said(), 0
    while at < len(text):
        digits, space, _ = text[at : at + DIGITS].partition(b" ")
        end = at + int(digits) if space and digits.isdigit() else 0
        key, equals, value = text[at + len(digits) + 1 : end - 1].partition(b"=")
        if not equals or not at < end <= len(text) or text[end - 1 : end] != b"\n":
            raise BadHeaderError("it has a damaged pax header")
        found[key] = value
        at = end
    return found


def _member(info: tarfile.TarInfo, said: Said) -> Member:
    """A member by its header and what was said of it before."""
    size, path = info.size, said.get(b"GNU.sparse.name", said.get(b"path"))
    name = info.name if path is None else path.decode("utf-8", "surrogateescape")
    if (digits := said.get(b"size")) is not None:
        if not digits.isdigit() or len(digits) > DIGITS:
            raise BadHeaderError("it has a damaged pax header")
        size = int(digits)
    if info.type in WITHOUT_BYTES:
        kind, size = WITHOUT_BYTES[info.type], 0
    elif info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith(SPARSE_KEY) for key in said):
        kind = SPARSE
    elif info.type not in tarfile.REGULAR_TYPES:
        kind = SPECIAL
    else:
        kind = FOLDER if name.endswith("/") else FILE
    return Member(name, size, kind, unusable=_why_unusable(info, kind))


def _why_unusable(info: tarfile.TarInfo, kind: str) -> str:
    if kind == HARD_LINK:
        return f"is a hard link to {info.linkname!r} (tar's --hard-dereference stores the file itself)"
    if kind == SPARSE:
        return "is a sparse file (tar's switch -S)"
    return "is the rest of a file in another volume" if info.type == CONTINUED else ""


def _skip_sparse_map(content: Content, bounds: Bounds, *, more: bool) -> None:
    """To the bytes of a GNU sparse file, whose map may go on in blocks behind its header."""
    while more:
        bounds.add_header()
        more = bool(content.exactly(BLOCK)[504])
