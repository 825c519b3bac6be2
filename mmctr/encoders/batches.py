"""What encoders share: titles in steps, vectors of length one, and the device.

Shapes: n titles or images, T tokens of a title, E the length of a vector.
"""

import numpy as np
import torch

from mmctr.common.errors import InputError
from mmctr.common.text import first_line

TITLE_LIMIT = 2_000  # characters; tokenising one word of 100,000 letters takes a minute and 77 tokens are kept
MAX_PADDING = 1.1  # times as long, and a token, may the longest title of a step be as its shortest


def title_steps(lengths: np.ndarray, token_batch: int) -> list[np.ndarray]:
    """Rows in steps of titles of about one length, the shortest first.

    A step takes at most `token_batch` tokens, those that pad titles to the longest among them, which are few.
    """
    order = np.argsort(lengths, kind="stable")
    steps, begin = [], 0
    for end, length in enumerate(lengths[order]):
        longest = MAX_PADDING * lengths[order[begin]] + 1
        if end > begin and (length > longest or (end + 1 - begin) * length > token_batch):
            steps.append(order[begin:end])
            begin = end
    return [*steps, order[begin:]]


def unit_rows(encoded: torch.Tensor) -> np.ndarray:
    """L2-normalise in float32; a row of zeros or with anything that is not finite becomes NaN."""
    with torch.inference_mode():
        rows = encoded.float()
        norms = rows.norm(dim=1, keepdim=True)
        usable = norms.isfinite() & (norms > 0)
        return torch.where(usable, rows / norms, torch.nan).cpu().numpy()


def checked_device(device: str) -> torch.device:
    try:
        found = torch.empty(0, device=device).device
        return torch.device("cpu") if found.type == "cpu" else found  # clip.load knows the CPU as "cpu", not "cpu:0"
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(
            f"The device must exist here, and {device!r} does not ({first_line(error)}).\nUse 'cpu'."
        ) from error
