"""The CLIP encoder (Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision).

On the CPU the forward passes are those of `mmctr.encoders.clip_cpu.towers`; elsewhere, and for residual networks,
CLIP's own.

Shapes: n titles or images, T tokens of the longest title in a batch, E the embedding's length, R the resolution.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from mmctr.common.components import load_component
from mmctr.common.errors import InputError
from mmctr.common.files import is_file
from mmctr.common.text import first_line
from mmctr.encoders.batches import TITLE_LIMIT, checked_device, title_steps, unit_rows
from mmctr.encoders.checkpoint import UnusableError, Weights, checked_weights, digest_of, read_checkpoint
from mmctr.encoders.clip_cpu.matmul.float32 import Float32Product
from mmctr.encoders.clip_cpu.towers import ImageTower, MakeProduct, TextTower
from mmctr.encoders.clip_official import (
    clip,
    downloaded_weights,
    official_digests,
    official_models,
    official_path,
    official_sha256,
)
from mmctr.encoders.pixels import PIXEL_MEAN, PIXEL_STD, Pixels

TOKEN_BATCH = 4096
LARGEST = 1024  # pixels a side and tokens of a title; OpenAI's models have up to 448 and 77
PRODUCTS = "mmctr.encoders.clip_cpu.matmul"  # a module for each image_precision


@dataclass(frozen=True, eq=False)
class ClipEncoder:
    """A CLIP model as an `Encoder`: L2-normalised float32 vectors; a row that is not finite is all NaN."""

    network: "clip.model.CLIP"
    embed_dim: int
    pixels: Pixels
    device: torch.device
    image_precision: str = "float32"  # of the products on the CPU: float32 or int8

    @cached_property
    def _text_tower(self) -> TextTower | None:
        """None where CLIP's own network is used: off the CPU, and for half precision."""
        weight = self.network.text_projection
        ours = weight.device.type == "cpu" and weight.dtype == self.network.dtype == torch.float32
        return TextTower(self.network, Float32Product) if ours else None

    @cached_property
    def _image_tower(self) -> ImageTower | None:
        """None also for residual networks."""
        ours = self._text_tower is not None and hasattr(self.network.visual, "transformer")
        return ImageTower(self.network, _product(self.image_precision)) if ours else None

    def encode_titles(self, titles: Sequence[str], *, token_batch: int = TOKEN_BATCH) -> np.ndarray:
        """Embed titles: float32 (n, E), in the order given; a step of the network takes at most `token_batch` tokens.

        Titles longer than the context (77 tokens) are truncated. Which titles share a step decides rounding only.
        """
        vectors = np.empty((len(titles), self.embed_dim), np.float32)
        if not titles:
            return vectors
        texts = [title[:TITLE_LIMIT] for title in titles]
        tokens = clip.tokenize(texts, context_length=self.network.context_length, truncate=True).numpy()  # (n, 77)
        lengths = tokens.argmax(axis=1) + 1  # the end token has the highest number
        encode = self._text_tower or self.network.encode_text
        with torch.inference_mode():
            for rows in title_steps(lengths, token_batch):
                batch = torch.from_numpy(tokens[rows, : lengths[rows].max()])  # (b, T); what follows the end counts not
                vectors[rows] = unit_rows(encode(batch.to(self.device)))
        return vectors

    def encode_images(self, pixels: torch.Tensor) -> np.ndarray:
        """Embed images, uint8 (n, 3, R, R), as one batch: float32 (n, E)."""
        if len(pixels) == 0:
            return np.empty((0, self.embed_dim), np.float32)
        with torch.inference_mode():
            if self._image_tower:
                return unit_rows(self._image_tower(pixels))
            mean, std = (torch.tensor(v, device=self.device).view(3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
            return unit_rows(self.network.encode_image((pixels.to(self.device) / 255 - mean) / std))


def _product(image_precision: str) -> MakeProduct:
    product: MakeProduct = load_component(PRODUCTS, image_precision)
    return product


def load_clip(
    model: str,
    *,
    device: str,
    image_precision: str = "float32",
    allow_torchscript: bool = False,
    sha256: str | None = None,
) -> ClipEncoder:
    """Load CLIP by an official name or from a checkpoint file (a state_dict, or TorchScript as OpenAI publishes).

    Weights are fp16 on a GPU and fp32 on the CPU, as those of `clip.load`; `image_precision` "int8" rounds what the
    image tower multiplies on the CPU. Official weights are looked for in ~/.cache/clip, checked by their sha256, and
    downloaded where they are missing. A state_dict is read without running code (`weights_only`); TorchScript is a
    program by nature, so a file that is none of OpenAI's is refused unless `allow_torchscript`. `sha256` is what a
    checkpoint file must have, where it was hashed before. Raises InputError.
    """
    target = checked_device(device)
    official = model in official_models()
    path = downloaded_weights(model) if official else Path(model)
    if not official and not is_file(path):
        raise InputError(
            f"A CLIP model is an official name or a checkpoint file, and {model!r} is neither.\n"
            f"Official names: {', '.join(official_models())}."
        )
    content = read_checkpoint(path, sha256=official_sha256(model) if official else sha256)
    try:
        weights = checked_weights(content, name=model, trusted=official_digests(), allow_torchscript=allow_torchscript)
        network = _build(weights, target)
    except UnusableError as error:
        raise InputError(_unusable_file(model, error)) from error
    encoder = ClipEncoder(
        network=network,
        embed_dim=network.text_projection.shape[1],
        pixels=Pixels(network.visual.input_resolution),
        device=target,
        image_precision=image_precision,
    )
    _check_fits(encoder, model)
    return encoder


def _check_fits(encoder: ClipEncoder, model: str) -> None:
    """The precision must exist for the network, and the tokenizer's tokens be those of the network."""
    device, network = encoder.device, encoder.network
    if encoder.image_precision == "int8" and (device.type != "cpu" or not hasattr(network.visual, "transformer")):
        raise InputError(
            f"`image_precision = int8` is for vision transformers on the CPU; {model} on {device} is none.\n"
            "Use float32."
        )
    vocabulary = len(clip.clip._tokenizer.encoder)
    if network.vocab_size != vocabulary:
        raise InputError(
            f"{model} has {network.vocab_size} token rows, but CLIP's tokenizer returns {vocabulary} tokens."
        )


def clip_width(model: str, *, allow_torchscript: bool = False) -> int | None:
    """E, the length of the embeddings, without building the network and without the network of computers.

    A file is read and checked as `load_clip` does it, and InputError is raised for what that refuses. None is returned
    where there is no file, as for official weights that clip has not downloaded yet.
    """
    official = model in official_models()
    path = official_path(model) if official else Path(model)
    if not is_file(path):
        return None
    content = read_checkpoint(path, sha256=None)
    if official and digest_of(content) != official_sha256(model):
        return None  # clip downloads it again
    try:
        weights = checked_weights(content, name=model, trusted=official_digests(), allow_torchscript=allow_torchscript)
        return int(_build(weights, torch.device("meta")).text_projection.shape[1])
    except UnusableError as error:
        raise InputError(_unusable_file(model, error)) from error


def _build(weights: Weights, device: torch.device) -> "clip.model.CLIP":
    """The network of `weights`, as `clip.load` builds it; on the device "meta" no memory is taken."""
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore", UserWarning)  # nothing is copied to that device, but shapes are compared
            outline = clip.model.build_model(dict(weights))
        sizes = (outline.visual.input_resolution, outline.context_length)
        if max(sizes) > LARGEST:
            raise UnusableError(f"its resolution and context are {sizes}, more than {LARGEST}")
        if device.type == "meta":
            return outline
        network = clip.model.build_model(dict(weights)).to(device)
    except (MemoryError, torch.OutOfMemoryError, UnusableError):
        raise
    except Exception as error:  # tensors of another model can fail anywhere in it
        raise UnusableError(f"{type(error).__name__}: {first_line(error)}") from error
    return network.float() if device.type == "cpu" else network


def _unusable_file(model: str, error: Exception) -> str:
    return (
        "A CLIP checkpoint must be a state_dict of OpenAI's CLIP (plain tensors, no other objects) or its TorchScript "
        f"file; {model} is not, or is incomplete ({error}).\n"
        f"Fetch the file again, or use an official name: {', '.join(official_models())}."
    )
