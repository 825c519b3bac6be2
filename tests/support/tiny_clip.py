"""An untrained CLIP of the real architecture that `clip.load` accepts, and images to feed it."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mmctr.encoders.clip_official import clip  # quietly imported there


def tiny_network(
    *, embed_dim: int = 128, resolution: int = 32, vocabulary: int = 49408, seed: int = 0
) -> "clip.model.CLIP":
    """Two vision layers and two text layers; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return clip.model.CLIP(
            embed_dim=embed_dim,
            image_resolution=resolution,
            vision_layers=2,
            vision_width=64,
            vision_patch_size=16,
            context_length=77,
            vocab_size=vocabulary,
            transformer_width=64,
            transformer_heads=1,
            transformer_layers=2,
        )


def save_tiny_clip(path: Path, **sizes: int) -> Path:
    """Write the state_dict of a `tiny_network` to `path`."""
    torch.save(tiny_network(**sizes).state_dict(), path)
    return path


def picture(seed: int, *, width: int = 96, height: int = 54) -> Image.Image:
    """A smooth random RGB image."""
    spots = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize((width, height), Image.Resampling.BICUBIC)
