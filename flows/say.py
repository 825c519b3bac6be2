"""What a command tells its user: results on stdout; on stderr what it does and, after `mmctr:`, why it ended."""

import contextlib
import io
import os
import sys


def write_any_text() -> None:
    """Let every character be printed whatever the terminal's or the file's encoding: as an escape where it has none."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """Print a line on stderr; a terminal that is gone does not end the work."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def show(text: str, *, end: str = "\n") -> None:
    """Print a result on stdout; a reader that has seen enough, as in `mmctr check DATA | head`, is no error.

    Raises:
        OSError: the disk of the file that stdout goes to is full.
    """
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # what is still in the buffer would fail again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            error.filename = "the standard output"
            raise
