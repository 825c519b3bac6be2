"""What a command prints: results on stdout; on stderr what it does and, after `mmctr:`, why it ended."""

import contextlib
import io
import os
import sys

from mmctr.common.text import printable

OK, MISTAKE = 0, 2  # exit codes: all well, the user's mistake


def prepare_streams() -> None:
    """Let everything be printed whatever stdout and stderr are.

    A character that the encoding lacks becomes an escape. What is closed is opened to nothing, as the next file that a
    library opens would else get its number, and with it what is printed.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """Print a line on stderr; a terminal that is gone does not end the work."""
    if sys.stderr is not None:  # `print` would take stdout
        with contextlib.suppress(OSError, ValueError):
            print(printable(line), file=sys.stderr, flush=True)


def show(text: str, *, end: str = "\n") -> None:
    """Print a result on stdout; a reader that has seen enough, as in `mmctr check DATA | head`, is no error.

    Raises:
        OSError: the disk of the file that stdout goes to is full.
    """
    try:
        print(printable(text), end=end, flush=True)
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # what is still in the buffer would fail again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            error.filename = "the standard output"
            raise
