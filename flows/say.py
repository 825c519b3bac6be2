"""What a command tells its user beside the results: what it does, and with `mmctr:` before it why it ended."""

import contextlib
import sys


def say(line: str) -> None:
    """Print a line on stderr; a terminal that is gone does not end the work."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
