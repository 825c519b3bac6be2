"""Encoders of the package open_clip (Cherti et al. 2023, Reproducible scaling laws for contrastive language-image
learning), SigLIP and MobileCLIP among them: in float32 on every device.

Shapes: n titles or images, C the context's length in tokens, E the embedding's length, R the resolution.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmctr.common.errors import InputError
from mmctr.common.text import first_line
from mmctr.encoders.batches import TITLE_LIMIT, checked_device, title_steps, unit_rows
from mmctr.encoders.checkpoint import UnusableError, check_weights, read_checkpoint, read_weights
from mmctr.encoders.names import ModelName
from mmctr.encoders.open_clip_weights import (
    EXTRA,
    SUFFIXES,
    View,
    architecture_config,
    check_reachable,
    package,
    view_of,
)
from mmctr.encoders.pixels import Pixels

TOKEN_BATCH = 4096
IMAGE_STEP = 32  # images that a CPU takes through the network together: the activations of more cost memory alone

Tokenize = Callable[[list[str]], torch.Tensor]


@dataclass(frozen=True, eq=False)
class OpenClipEncoder:
    """A model of open_clip as an `Encoder`: L2-normalised float32 vectors; a row that is not finite is all NaN."""

    network: Any
    tokenize: Tokenize
    embed_dim: int
    view: View
    device: torch.device

    @property
    def pixels(self) -> Pixels:
        """What the model takes of an image."""
        return self.view.pixels

    def encode_titles(self, titles: Sequence[str], *, token_batch: int = TOKEN_BATCH) -> np.ndarray:
        """Embed titles: float32 (n, E), in the order given; a step of the network takes at most `token_batch` tokens.

        Titles longer than the context are truncated. Which titles share a step decides rounding only.
        """
        vectors = np.empty((len(titles), self.embed_dim), np.float32)
        if not titles:
            return vectors
        tokens = self.tokenize([title[:TITLE_LIMIT] for title in titles])  # (n, C)
        shortens = _is_causal(self.network)
        lengths = tokens.argmax(dim=1).numpy() + 1 if shortens else np.full(len(tokens), tokens.shape[1])
        encode = _encode_causal if shortens else _encode_whole
        with torch.inference_mode():
            for rows in title_steps(lengths, token_batch):
                batch = tokens[rows, : int(lengths[rows].max())]
                vectors[rows] = unit_rows(encode(self.network, batch.to(self.device)))
        return vectors

    def encode_images(self, pixels: torch.Tensor) -> np.ndarray:
        """Embed images, uint8 (n, 3, R, R), as one batch: float32 (n, E)."""
        if len(pixels) == 0:
            return np.empty((0, self.embed_dim), np.float32)
        mean, std = (torch.tensor(v, device=self.device).view(3, 1, 1) for v in (self.view.mean, self.view.std))
        step = IMAGE_STEP if self.device.type == "cpu" else len(pixels)
        with torch.inference_mode():
            parts = [
                self.network.encode_image((some.to(self.device) / 255 - mean) / std) for some in pixels.split(step)
            ]
            return unit_rows(torch.cat(parts))


def _is_causal(network: Any) -> bool:
    """Whether a title's vector is that of its end token, which has the highest number and sees none behind it."""
    causal = getattr(network, "attn_mask", None) is not None
    return type(network) is package().CLIP and causal and network.text_pool_type == "argmax"


def _encode_causal(network: Any, tokens: torch.Tensor) -> torch.Tensor:
    """`network.encode_text` of tokens (b, T) that end where the longest title does: (b, E)."""
    length = tokens.shape[1]
    x = network.token_embedding(tokens) + network.positional_embedding[:length]
    x = network.ln_final(network.transformer(x, attn_mask=network.attn_mask[:length, :length]))  # (b, T, W)
    ends = x[torch.arange(len(x), device=x.device), tokens.argmax(dim=1)]
    project = network.text_projection
    return project(ends) if isinstance(project, torch.nn.Module) else ends @ project


def _encode_whole(network: Any, tokens: torch.Tensor) -> torch.Tensor:
    encoded: torch.Tensor = network.encode_text(tokens)
    return encoded


def load_open_clip(
    model: ModelName, *, file: Path, device: str, image_precision: str = "float32", sha256: str | None = None
) -> OpenClipEncoder:
    """Load a model that open_clip configures with the weights in `file`: safetensors, or a state_dict of PyTorch.

    The file is read without running code (`weights_only`), and must have `sha256` where that is given. Raises
    InputError: the package is missing, the model is unknown, or the file is not its weights.
    """
    target = checked_device(device)
    config = architecture_config(model.architecture)
    if image_precision != "float32":
        raise InputError(f"`image_precision = {image_precision}` is for OpenAI's CLIP; {model} has none.\nUse float32.")
    _check_file(file, model, sha256=sha256)
    view = view_of(model, resolution=_resolution(config, model))
    try:
        network = package().create_model(model.architecture, pretrained=str(file), weights_only=True)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # tensors of another model can fail anywhere in it
        raise InputError(_unusable(file, model, f"{type(error).__name__}: {first_line(error)}")) from error
    return OpenClipEncoder(
        network=network.to(target).eval(),
        tokenize=_tokenizer(model),
        embed_dim=int(config["embed_dim"]),
        view=view,
        device=target,
    )


def _check_file(file: Path, model: ModelName, *, sha256: str | None) -> None:
    """Refuse what holds other objects than finite tensors, before open_clip reads it."""
    if file.suffix not in SUFFIXES:
        raise InputError(_unusable(file, model, f"its name does not end in {', '.join(SUFFIXES)}"))
    content = read_checkpoint(file, sha256=sha256)
    try:
        weights = read_weights(content, safetensors=file.suffix == ".safetensors")
    except UnusableError as error:
        raise InputError(_unusable(file, model, str(error))) from error
    check_weights(weights, name=str(file), dtype=torch.float32)


def _resolution(config: dict[str, Any], model: ModelName) -> int:
    size = config["vision_cfg"].get("image_size", 224)
    if not isinstance(size, int):
        raise InputError(f"a model must take square images, and {model} takes {size}; use another model")
    return size


def _tokenizer(model: ModelName) -> Tokenize:
    """What makes tokens (n, C) of titles; some models have theirs from Hugging Face's hub."""
    name = architecture_config(model.architecture)["text_cfg"].get("hf_tokenizer_name")
    try:
        if not name:
            return _made(model)
        try:
            return _made(model, local_files_only=True)  # with what is here the hub need not be asked
        except (OSError, ValueError):
            check_reachable()
            return _made(model)
    except ImportError as error:
        raise InputError(
            f"the tokenizer of {model.architecture} needs the package {error.name}.\nInstall it: {EXTRA}"
        ) from error
    except Exception as error:
        raise InputError(
            f"the tokenizer of {model.architecture} must be here, and getting it failed ({type(error).__name__}: "
            f"{first_line(error)}).\nWhere there is a network, run `hf download {name} --include '*token*' '*.json'`, "
            f"and copy the folder models--{str(name).replace('/', '--')} of ~/.cache/huggingface/hub to this machine's."
        ) from error


def _made(model: ModelName, **options: bool) -> Tokenize:
    tokenizer: Tokenize = package().get_tokenizer(model.architecture, **options)
    return tokenizer


def _unusable(file: Path, model: ModelName, problem: str) -> str:
    return (
        f"weights of open_clip's {model.architecture} must be its state_dict (plain tensors, no other objects) in "
        f"safetensors or as PyTorch saves it; {file} is not, or is incomplete ({problem}).\nFetch the file again, or "
        "name the model that it belongs to."
    )
