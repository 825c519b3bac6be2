"""The members that a RAR archive lists, and what a listing cannot be used for."""

import re
from pathlib import Path

import rarfile

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.text import shown
from mmctr.images.rar.headers import UnboundedError, headers_of
from mmctr.images.rar.member import Member
from mmctr.images.rar.rar5_headers import ordinary_members

DAMAGED_REMEDY = "Download or copy the archive again."
PASSWORD_REMEDY = "Give the right `password`."  # noqa: S105


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


def wrong_password(archive: Path, detail: str) -> InputError:
    """The error of an archive that does not open with the password that was given."""
    return InputError(
        f"The password must open the archive: {archive}: {detail}; it is wrong, or the archive is damaged. "
        f"{PASSWORD_REMEDY}"
    )


def list_members(archive: Path, *, password: str | None, progress: bool | None = None) -> list[Member]:
    """The members of `archive`, in the order in which they are stored.

    Raises InputError where there is no complete RAR archive that starts here, where a password is missing or wrong, or
    where a listing would have no bounds. A RAR4 archive that was cut exactly between two members lists as a whole one:
    that format needs no end mark.
    """
    _check_is_rar(archive)
    _check_password(archive, password)
    members = ordinary_members(archive)
    return _members(archive, password=password, progress=progress) if members is None else members


def _members(archive: Path, *, password: str | None, progress: bool | None) -> list[Member]:
    """The members as rarfile lists them, which alone says what an archive cannot be used for."""
    try:
        headers = headers_of(archive, password=password, progress=progress)
        headers.parse()
        if headers.needs_password() and password is None:
            raise InputError(
                f"An encrypted archive needs a password: {archive} is encrypted and none was given. {PASSWORD_REMEDY}"
            )
        members: list[Member] = headers.members
        problem = headers.strerror()
    except InputError:
        raise
    except rarfile.NeedFirstVolume as error:
        raise InputError(
            f"An archive of several parts is read from its first part: {archive} is a later one. "
            "Give the first part (.part1.rar, .part01.rar or .rar)."
        ) from error
    except rarfile.BadRarName as error:
        raise InputError(
            f"The first part of an archive must have a number in its name, or no other part is found: {archive} has "
            "none. Name the parts as they were called, or <name>.part1.rar, <name>.part2.rar and so on."
        ) from error
    except UnboundedError as error:
        raise InputError(
            f"The listing of an archive must be bounded: {archive} {error}. Pack the images again, or download the "
            "archive again."
        ) from error
    except rarfile.RarWrongPassword as error:
        raise wrong_password(archive, "its headers stay unreadable") from error
    except Exception as error:  # a damaged header can raise nearly anything in rarfile
        raise_if_of_the_machine(error, path=archive)
        if "wrong password" in str(error):
            raise wrong_password(archive, "its headers stay unreadable") from error
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
        if headers.needs_password() and not members:
            raise wrong_password(archive, "its headers stay unreadable")
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
