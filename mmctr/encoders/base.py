"""What an encoder is to the rest of the library: titles and images in, vectors of one length out.

Shapes: n titles or images, E the length of a vector, R the resolution.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch


class Encoder(Protocol):
    """Returns L2-normalised float32 vectors; a row that is not finite is all NaN."""

    @property
    def embed_dim(self) -> int:
        """E."""

    @property
    def resolution(self) -> int:
        """R."""

    def encode_titles(self, titles: Sequence[str], *, token_batch: int) -> "np.ndarray":
        """Vectors of titles, (n, E), in the order given; a step of the network takes at most `token_batch` tokens."""

    def encode_images(self, pixels: "torch.Tensor") -> "np.ndarray":
        """Vectors of images, uint8 (n, 3, R, R), as one batch: (n, E)."""


def vector_space(weights: str, *, device: str) -> str:
    """An encoder's identity: vectors of two spaces are never mixed. Known before the encoder is loaded.

    `weights` is an official name, or the SHA-256 of a checkpoint.
    """
    precision = "fp32" if device.split(":")[0] == "cpu" else "fp16"
    return hashlib.sha256(f"{weights} {precision}".encode()).hexdigest()[:16]
