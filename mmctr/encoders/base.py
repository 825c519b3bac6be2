"""What an encoder is to the rest of the library: titles and images in, vectors of one length out.

A kind of encoder is a component (`mmctr.encoders.kinds`): the name of a model says which one it is.

Shapes: n titles or images, E the length of a vector, R the resolution.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mmctr.common.components import load_component
from mmctr.encoders.names import CLIP, ModelName

if TYPE_CHECKING:
    import numpy as np
    import torch

    from mmctr.encoders.pixels import Pixels


KINDS = "mmctr.encoders.kinds"  # a module for each kind of encoder


class Encoder(Protocol):
    """Returns L2-normalised float32 vectors; a row that is not finite is all NaN.

    What shares a batch with a title or an image decides the last digits of its vector only.
    """

    @property
    def embed_dim(self) -> int:
        """E."""

    @property
    def pixels(self) -> "Pixels":
        """What it takes of an image."""

    def encode_titles(self, titles: Sequence[str], *, token_batch: int) -> "np.ndarray":
        """Vectors of titles, (n, E), in the order given; a step of the network takes at most `token_batch` tokens.

        Titles longer than the model's context are cut.
        """

    def encode_images(self, pixels: "torch.Tensor") -> "np.ndarray":
        """Vectors of images, uint8 (n, 3, R, R), as one batch: (n, E)."""


class Kind(Protocol):
    """A kind of encoder. What `load` does not need to be asked for is cheap, as often nothing is to be encoded."""

    def weights(self, model: ModelName, *, download: bool) -> Path | None:
        """The file whose bytes say which weights the model has; None where its name says that.

        Raises:
            InputError: there is no such model, or its file is not here and not to be had; with what to do.
        """

    def width(self, model: ModelName, *, allow_torchscript: bool) -> int | None:
        """E, without building the network; None where it is not known before the weights are here.

        Raises:
            InputError: the model is unusable.
        """

    def identity(self, model: ModelName, *, sha256: str | None, device: str) -> str:
        """The vector space as 16 hexadecimal digits; vectors of two spaces are never mixed.

        It depends on the weights (`sha256` is that of their file, where there is one), on how they are read, on their
        precision, and on what is made of pixels.
        """

    def load(
        self,
        model: ModelName,
        *,
        file: Path | None,
        sha256: str | None,
        device: str,
        image_precision: str,
        allow_torchscript: bool,
    ) -> Encoder:
        """The encoder, from the `file` that `weights` found, which must have `sha256` where one is given.

        Raises:
            InputError: the model is unusable, or what is asked of it does not exist for it.
        """


def kind_of(model: ModelName) -> Kind:
    """What knows the model's kind of encoder."""
    kind: Kind = load_component(KINDS, model.kind)
    return kind


def weights_file(model: ModelName) -> Path | None:
    """The file of a model's weights, which is downloaded where it is missing; None for OpenAI's, by their name.

    Raises:
        InputError: as `Kind.weights` has it.
    """
    return model.file or (None if model.kind == CLIP else kind_of(model).weights(model, download=True))


def space_of(*facts: str) -> str:
    """16 hexadecimal digits of all that an identity depends on."""
    return hashlib.sha256(" ".join(facts).encode()).hexdigest()[:16]
