"""Images in a tar archive, plain or compressed by gzip or zstd, whatever it is called.

A tar has no list of its members: a header stands before each. A plain one is listed by jumping from header to header. A
compressed one would have to be unpacked for that, so it is unpacked once, and its members are checked as they come.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.common.progress import progress_bar
from mmctr.common.text import first_line, shown
from mmctr.images.bounds import UnboundedError
from mmctr.images.member import Member
from mmctr.images.plan import DAMAGED_REMEDY
from mmctr.images.source import MemberStream, Source
from mmctr.images.start import GZIP, ZSTD, another_kind, read_start
from mmctr.images.tar.content import CompressedBytes, Content, CutOffError, PlainBytes, check_end
from mmctr.images.tar.headers import BadHeaderError, NoTarError, read_headers

CODECS = {GZIP: "gzip", ZSTD: "zstd"}


def _list(path: Path, *, password: str | None, progress: bool | None) -> list[Member] | None:  # noqa: ARG001
    if _codec(read_start(path, kind="tar")) is not None:
        return None
    members = []
    with _opened(path) as stream, progress_bar("list", unit=" members", delay=2, show=progress) as bar:
        for member in stream.members:
            members.append(member)
            stream.skip(member)
            bar.update()
        stream.finish()
    return members


def _codec(start: bytes) -> str | None:
    return next((codec for mark, codec in CODECS.items() if start.startswith(mark)), None)


class TarStream:
    """The members as their headers come."""

    def __init__(self, path: Path, start: bytes, content: Content) -> None:
        self._path, self._start, self._content = path, start, content
        self._last: Member | None = None

    @property
    def members(self) -> Iterator[Member]:
        headers = read_headers(self._content)
        while True:
            with self._refusing():
                member = next(headers, None)
            if member is None:
                return
            self._last = member
            yield member

    def read(self, member: Member) -> bytes:
        """All bytes of the member that was asked for last."""
        with self._refusing():
            return self._content.exactly(member.size)

    def skip(self, member: Member) -> None:
        """To the end of the member that was asked for last."""
        with self._refusing():
            self._content.skip(member.size)

    def finish(self) -> None:
        """Check that nothing but zeros follows the end mark, and that a compressed file is whole."""
        with self._refusing():
            check_end(self._content)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """What is wrong with the archive, as the user reads it; errors of the machine have a number."""
        try:
            yield
        except NoTarError as error:
            codec = _codec(self._start)
            if codec is None:
                raise another_kind(self._path, self._start, kind="tar") from None
            raise InputError(
                f"The image archive must be a tar file: {self._path} holds none once {codec} is undone ({error}). "
                "Use the path of the tar archive with the item images."
            ) from None
        except UnboundedError as error:
            raise InputError(
                f"The listing of an archive must be bounded: {self._path} {error}. Pack the images again, or download "
                "the archive again."
            ) from None
        except (BadHeaderError, CutOffError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> InputError:
        last = "before the first member" if self._last is None else f"after member '{shown(self._last.name)}'"
        return InputError(
            f"An archive must be whole: {self._path} is cut off or damaged {last} ({first_line(error)}). "
            f"{DAMAGED_REMEDY}"
        )


@contextmanager
def _opened(path: Path) -> Iterator[TarStream]:
    start = read_start(path, kind="tar")
    if not start:
        raise another_kind(path, start, kind="tar")
    codec = _codec(start)
    with path.open("rb") as file:
        yield TarStream(path, start, PlainBytes(file) if codec is None else CompressedBytes(file, codec=codec))


@contextmanager
def _unpacking(
    path: Path,
    *,
    members: list[Member] | None,  # noqa: ARG001 a tar is listed as it is read
    password: str | None,  # noqa: ARG001
    stalled_seconds: float,  # noqa: ARG001
) -> Iterator[MemberStream]:
    with _opened(path) as stream:
        yield stream


COMPONENT = Source(list_members=_list, unpacking=_unpacking)
