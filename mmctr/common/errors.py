"""The one error a user's mistake ends with, and what else a user can fix: a full disk, a missing permission."""

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mmctr.common.text import on_screen, shown_value


class InputError(Exception):
    """Something that the user passed cannot be used.

    The message is shown to the user as it is, without a stack trace, so it says three things in at most a few lines:
    the rule, the value that breaks it, and the remedy. Everything else that is raised is a fault of this project.
    However long the message, what is kept of it fits on a screen and does nothing to a terminal (`on_screen`).
    """

    def __init__(self, message: str) -> None:
        super().__init__(on_screen(message))


def check_text(text: str) -> None:
    """Refuse a path or a setting that is no UTF-8: it can be neither opened everywhere nor written down in a record."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"paths and settings must be valid UTF-8; found {shown_value(text)}")


REMEDIES = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some of your quota on that disk",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "mount that disk writable, or use a folder on another one",
    errno.EACCES: "give this user the permission, or use another folder",
    errno.EPERM: "give this user the permission, or use another folder",
    errno.ENAMETOOLONG: "use a shorter path",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close programs, or raise the system's limit on open files (sysctl fs.file-max)",
}
THEN = "then run the same command again"
CANNOT_OPEN_REMEDY = "let this user write in its folder, or raise the limit on open files (ulimit -n)"
SQLITE_ERRNO = {  # primary result codes of https://www.sqlite.org/rescode.html
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
}
_OF_RUST = re.compile(r"\(os error (\d+)\)(?:: (.+))?")


def raise_if_of_the_machine(error: BaseException, *, path: Path) -> None:
    """Raise an OSError that names `path` where not its content is at fault but what `as_input_error` has words for."""
    number, _ = _number_and_place(error)
    if number in REMEDIES:
        raise OSError(number, os.strerror(number), str(path)) from error


def as_input_error(error: BaseException) -> InputError | None:
    """`error` as the user reads it; None where it is a fault of this project.

    An InputError is returned as it is. An error of the machine that the user can fix, wherever in the chain of causes
    it is, becomes one that names the file, what the system said, and the remedy.
    """
    if isinstance(error, InputError):
        return error
    for cause in causes(error):
        number, place = _number_and_place(cause)
        if number in REMEDIES:
            return _of_the_machine(place, number)
        code = getattr(cause, "sqlite_errorcode", None)  # an extended code holds the primary one in its low byte
        if not isinstance(cause, sqlite3.Error) or code is None:
            continue
        if code & 0xFF == sqlite3.SQLITE_CANTOPEN:  # SQLite does not say why
            return InputError(f"cannot use a database ({cause}); {CANNOT_OPEN_REMEDY}, {THEN}")
        if code & 0xFF in SQLITE_ERRNO:
            return _of_the_machine(f"a database ({cause})", SQLITE_ERRNO[code & 0xFF])
    return None


def _number_and_place(error: BaseException) -> tuple[int | None, str]:
    """The system's number of an error, and its file. Polars, whichever type it raises, has them in the text alone."""
    number = error.errno if isinstance(error, OSError) else None
    place = getattr(error, "filename", None)
    # The text is that of `args`: `str` hides it once `filename` was set.
    if number is None and (found := _OF_RUST.search(" ".join(map(str, error.args)))):
        number, place = int(found[1]), place or found[2]
    return number, str(place or "a file")


def _of_the_machine(place: str, number: int) -> InputError:
    return InputError(f"cannot use {place}: {os.strerror(number)}; {REMEDIES[number]}, {THEN}")


OURS = {"mmctr", "tasks", "flows", "__main__"}


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what it was raised from, outermost first.

    What a library raises while it handles an error came from that error, even where the library does not say `from`
    (requests and MLflow do not). In a handler of this project it did not: that is a fault of the handler, and the
    user's mistake which was being handled must not hide it.
    """
    while error is not None:
        yield error
        handled = None if error.__suppress_context__ else error.__context__
        error = error.__cause__ or (None if handled is None or _was_caught_here(handled) else handled)


def _was_caught_here(error: BaseException) -> bool:
    """Whether code of this project caught `error`: its trace begins with the function that did."""
    trace = error.__traceback__
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] in OURS
