"""What a decoder process does: read image files and answer with their pixels. Imports neither torch nor the caller's
program.

Shapes: R the model's resolution.
"""

import errno
import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import AvifImagePlugin

from mmctr.common.errors import InputError
from mmctr.images.limits import UnreadableImage
from mmctr.images.preprocess import View, preprocess_image

GONE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}


class Reading(NamedTuple):
    """What became of one file."""

    sha256: str  # of the bytes that were decoded
    reason: str  # why they are no image that can be used; "" where they are


def read_image(path: Path, view: View, pixels: np.ndarray) -> Reading:
    """Decode a file into `pixels`, uint8 (3, R, R), which is zero where the bytes are no image that can be used.

    Raises InputError where the file is gone or memory is short, OSError where the machine does not let it be read.
    """
    pixels[:] = 0
    try:
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        pixels[:] = preprocess_image(content, view)
    except UnreadableImage as error:
        return Reading(sha256, error.reason)
    except MemoryError as error:
        raise InputError(
            f"Memory must suffice to decode each image, and did not for {path}.\n"
            "Use fewer `workers`, a lower `max_pixels`, or a machine with more memory."
        ) from error
    except OSError as error:
        if error.errno in GONE:
            raise InputError(
                f"Every listed image must be there while it is embedded, but {path} cannot be opened: "
                f"{error.strerror}.\nExtract the images again."
            ) from error
        raise OSError(error.errno, error.strerror, str(path)) from error
    return Reading(sha256, "")


def serve() -> None:
    """The child's side: answer requests on standard input until it is closed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # they reach the whole group; the parent ends us
        signal.signal(number, signal.SIG_IGN)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # there are as many processes instead
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a decoder prints must not fall among the replies
    view = View(**json.loads(sys.argv[2]))
    for line in sys.stdin.buffer:
        paths = [Path(path) for path in json.loads(line)]
        pixels = np.empty((len(paths), 3, view.resolution, view.resolution), np.uint8)
        reply: dict[str, object] = {}
        for row, path in enumerate(paths):
            try:
                reply = read_image(path, view, pixels[row])._asdict()
            except InputError as error:
                reply = {"error": str(error)}
            except OSError as error:
                reply = {"errno": error.errno, "path": str(path)}
            replies.write(json.dumps(reply).encode() + b"\n")
            replies.flush()
            if "sha256" not in reply:
                break
        else:
            replies.write(pixels.data.cast("B"))
            replies.flush()
