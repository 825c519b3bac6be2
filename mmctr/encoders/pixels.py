"""What an encoder takes of an image, and how OpenAI's CLIP normalises it.

`mmctr.images.preprocess` cuts these pixels out of an image.
"""

from dataclasses import dataclass
from typing import Literal

# Of red, green and blue, in the range 0 to 1 (Radford et al. 2021, `clip.load`'s transform).
PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Pixels:
    """The square that an encoder takes, uint8 (3, R, R).

    Attributes:
        resolution: R, pixels a side.
        resize: the shorter side becomes R and the middle is cut out (`shortest`), or both sides become R (`squash`).
        resample: how pixels of another size are computed.
    """

    resolution: int
    resize: Literal["shortest", "squash"] = "shortest"
    resample: Literal["bicubic", "bilinear"] = "bicubic"
