"""How items are embedded. Imports little, as the settings read their defaults here."""

from dataclasses import dataclass
from typing import Literal

from mmctr.images.limits import MAX_PIXELS

Fuse = Literal["mean", "concat"]  # of an item's vectors, or all of them side by side
Fit = Literal["whole", "parts"]  # one PCA, or one for each part


@dataclass(frozen=True)
class EmbedOptions:
    """How items are embedded.

    Attributes:
        shard_size: titles or images after which work is saved.
        batch_size: images a step of the encoder.
        token_batch: tokens of titles a step of the encoder, about.
        workers: processes that decode images, 0 for this one; None for one less than the cores that it may use.
        max_pixels: of the largest image that is decoded.
        jpeg_draft: decode large JPEGs at a part of their size; most of their pixels are then a level or two off.
        image_precision: of the image tower's products on a CPU, `float32` or `int8`.
        allow_torchscript: load a TorchScript checkpoint, which is a program, also if it is none of OpenAI's.
        max_failure_share: of the items' images, above which unreadable ones are an error.
    """

    shard_size: int = 1024
    batch_size: int = 256
    token_batch: int = 4096
    workers: int | None = None
    max_pixels: int = MAX_PIXELS
    jpeg_draft: bool = False
    image_precision: Literal["float32", "int8"] = "float32"
    allow_torchscript: bool = False
    max_failure_share: float = 0.2

    @property
    def view(self) -> str:
        """Name of all that decides an image's vector beside its bytes and the encoder."""
        return f"{self.max_pixels}-{'draft' if self.jpeg_draft else 'exact'}-{self.image_precision}"
