"""What a command tells its user: results on stdout; on stderr what it does and, after `mmctr:`, why it ended."""

import contextlib
import os
import sys


def say(line: str) -> None:
    """Print a line on stderr; a terminal that is gone does not end the work."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print a result on stdout; a reader that has seen enough, as in `mmctr check DATA | head`, is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):  # what is still in the buffer would fail again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
