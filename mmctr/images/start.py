"""The first bytes of an archive, which say what it is, whatever it is called."""

from pathlib import Path

from mmctr.common.errors import InputError, raise_if_of_the_machine

START_BYTES = 512
TAR_MARK, TAR_MARK_AT = b"ustar", 257
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
KNOWN = ((b"Rar!", "a RAR"), (b"PK", "a ZIP"), (GZIP, "gzip"), (ZSTD, "zstd"), (b"7z\xbc\xaf", "a 7z"))
WEB_PAGE = (b"<!doc", b"<html")


def read_start(archive: Path, *, kind: str) -> bytes:
    """The first bytes of an archive of `kind`.

    Raises:
        InputError: there is none, or it is no file.
        OSError: the machine does not let it be read.
    """
    remedy = f"Use the path of the {kind} archive with the item images."
    if not archive.is_file():
        state = "is not a file" if archive.exists() else "does not exist"
        raise InputError(f"The image archive must be a {kind} file: {archive} {state}. {remedy}")
    try:
        with archive.open("rb") as stream:
            return stream.read(START_BYTES)
    except OSError as error:
        raise_if_of_the_machine(error, path=archive)
        raise InputError(f"The image archive must be readable: {archive}: {error.strerror}. {remedy}") from error


def another_kind(archive: Path, start: bytes, *, kind: str) -> InputError:
    """The error of a file that is no archive of `kind`."""
    return InputError(
        f"The image archive must be a {kind} file: {archive} {shown_start(start)}. "
        f"Use the path of the {kind} archive with the item images."
    )


def shown_start(start: bytes) -> str:
    """How a file begins, in words and in bytes."""
    if not start:
        return "is empty"
    what = next((f" ({name})" for mark, name in KNOWN if start.startswith(mark)), "")
    if start.lstrip()[:5].lower() in WEB_PAGE:
        what = " (a web page)"
    return f"starts with the bytes {start[:8].hex(' ')}{what}"
