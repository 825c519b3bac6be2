"""The members that a RAR archive lists, and what a listing cannot be used for."""

import re
from pathlib import Path
from typing import Any

import rarfile

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.text import shown
from mmctr.images.bounds import UnboundedError
from mmctr.images.member import Member
from mmctr.images.plan import DAMAGED_REMEDY
from mmctr.images.rar.headers import headers_of
from mmctr.images.start import another_kind, read_start

PASSWORD_REMEDY = "Use the right `password`."  # noqa: S105


def _check_is_rar(archive: Path) -> None:
    start = read_start(archive, kind="RAR")
    try:
        is_rar = rarfile.is_rarfile(archive)
    except OSError as error:
        raise_if_of_the_machine(error, path=archive)
        raise InputError(
            f"The image archive must be readable: {archive}: {error.strerror}. Use the path of the RAR archive with "
            "the item images."
        ) from error
    if not is_rar:
        raise another_kind(archive, start, kind="RAR")


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
    headers, problem = _parsed(archive, password=password, progress=progress)
    members: list[Member] = headers.members
    if problem is not None:
        raise _incomplete(archive, problem, members, is_encrypted=headers.needs_password())
    return members


def _parsed(archive: Path, *, password: str | None, progress: bool | None) -> tuple[Any, str | None]:
    """The headers as rarfile reads them, and what it did not find."""
    try:
        headers = headers_of(archive, password=password, progress=progress)
        headers.parse()
        if headers.needs_password() and password is None:
            raise InputError(
                f"An encrypted archive needs a password: {archive} is encrypted and none was given. {PASSWORD_REMEDY}"
            )
        return headers, headers.strerror()
    except InputError:
        raise
    except Exception as error:  # a damaged header can raise nearly anything in rarfile
        raise _refusal(archive, error) from error


def _refusal(archive: Path, error: Exception) -> InputError:
    """What is wrong with an archive that rarfile does not list; errors of the machine are raised."""
    if isinstance(error, rarfile.NeedFirstVolume):
        return InputError(
            f"An archive of several parts is read from its first part: {archive} is a later one. "
            "Use the first part (.part1.rar, .part01.rar or .rar)."
        )
    if isinstance(error, rarfile.BadRarName):
        return InputError(
            f"The first part of an archive must have a number in its name, or no other part is found: {archive} has "
            "none. Name the parts as they were called, or <name>.part1.rar, <name>.part2.rar and so on."
        )
    if isinstance(error, UnboundedError):
        return InputError(
            f"The listing of an archive must be bounded: {archive} {error}. Pack the images again, or download the "
            "archive again."
        )
    if not isinstance(error, rarfile.RarWrongPassword):
        raise_if_of_the_machine(error, path=archive)
    if isinstance(error, rarfile.RarWrongPassword) or "wrong password" in str(error):
        return wrong_password(archive, "its headers stay unreadable")
    return InputError(
        f"The archive's listing must be whole: {archive}: {shown(str(error) or type(error).__name__)}. {DAMAGED_REMEDY}"
    )


def _incomplete(archive: Path, problem: str, members: list[Member], *, is_encrypted: bool) -> InputError:
    """What is wrong with an archive whose listing ends too early: a part is missing, or it is cut off."""
    if problem.startswith("Cannot open next volume"):
        missing = Path(problem.partition(": ")[2])
        _check_can_be_opened(missing)
        return InputError(
            f"All parts of an archive must lie in one folder: {missing.name} is missing beside {archive}. "
            "Put it there, under that name."
        )
    if is_encrypted and not members:
        return wrong_password(archive, "its headers stay unreadable")
    last = f"after member '{shown(members[-1].name)}'" if members else "before the first member"
    return InputError(
        f"An archive must be whole: {archive} is cut off or damaged {last} ({shown(problem)}). {DAMAGED_REMEDY}"
    )


def _check_can_be_opened(part: Path) -> None:
    """Raise where a part is there, but not for us: rarfile says of every part that it cannot open the same."""
    try:
        part.open("rb").close()
    except OSError as error:
        raise_if_of_the_machine(error, path=part)
