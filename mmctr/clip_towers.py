"""CLIP's two transformers on the CPU in float32: the network's own weights, the same vectors to float rounding, sooner.

Shapes: n titles or images, N tokens of all of them, W the tower's width, H heads, E the embedding's length, R the
resolution, P the side of a patch, G = R / P patches a side.

All tokens are the rows of one matrix (N, W), so nothing is padded or transposed between layers; only attention knows
which rows belong together (`Layout`). Products are added into their place (`addmm_`), the MLP runs on rows whose
hidden activations stay in the cache, and of the last layer only what reaches the output is computed.
Source of the architecture: Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision;
`clip.model` is the reference that tests hold this to.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mmctr.token_tree import TokenTree

if TYPE_CHECKING:
    from clip.model import CLIP, ResidualAttentionBlock

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's own, in the range 0 to 1
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
STEP_TOKENS = 2048  # of images that go through all layers together
MLP_TOKENS = 1024  # the hidden activations of ViT-B/32 take 12 MB then
QUICK_GELU = 1.702


class Layout(Protocol):
    """Which rows of the token matrix attend to which."""

    ends: torch.Tensor  # int64 (n,): the row of each title or image that becomes its vector

    def attend(self, qkv: torch.Tensor, *, heads: int) -> torch.Tensor:
        """Attention of every row: (N, 3 W) to (N, W)."""

    def attend_ends(self, q: torch.Tensor, kv: torch.Tensor, *, heads: int) -> torch.Tensor:
        """Attention of the rows `ends` only: queries (n, W), keys and values (N, 2 W) to (n, W)."""


def fits_cpu_towers(network: "CLIP") -> tuple[bool, bool]:
    """Whether `text_vectors` and `image_vectors` can take the network: float32 on the CPU, and for images a ViT."""
    weight = network.text_projection
    text = weight.device.type == "cpu" and weight.dtype == network.dtype == torch.float32
    return text, text and hasattr(network.visual, "transformer")


def text_vectors(network: "CLIP", tokens: np.ndarray) -> torch.Tensor:
    """`network.encode_text`: tokens int64 (n, T), 0 behind the end token, to float32 (n, E).

    A title's vector depends on the other titles by float rounding only.
    """
    tree = TokenTree(tokens)
    x = network.token_embedding.weight[tree.tokens] + network.positional_embedding[tree.depths]  # (N, W)
    x = _through_blocks(x, network.transformer.resblocks, tree)  # (n, W)
    return _normalised(x, network.ln_final) @ network.text_projection


def image_vectors(network: "CLIP", pixels: torch.Tensor) -> torch.Tensor:
    """`network.encode_image` on normalised pixels: uint8 (n, 3, R, R) to float32 (n, E); for a vision transformer."""
    visual = network.visual
    count = len(visual.positional_embedding)  # tokens an image: the class token and G * G patches
    vectors = []
    for images in pixels.split(max(1, STEP_TOKENS // count)):
        x = torch.empty(len(images), count, visual.conv1.out_channels)  # (n, 1 + G G, W)
        x[:, 0] = visual.class_embedding
        x[:, 1:] = _patches(images, visual.conv1.kernel_size[0]) @ visual.conv1.weight.flatten(1).t()
        x += visual.positional_embedding
        x = _normalised(x.flatten(0, 1), visual.ln_pre)  # (N, W)
        x = _through_blocks(x, visual.transformer.resblocks, ImageLayout(len(images), count))
        vectors.append(_normalised(x, visual.ln_post) @ visual.proj)
    return torch.cat(vectors)


class ImageLayout:
    """Images of the same number of tokens, one behind the other; each token attends to all of its image."""

    def __init__(self, images: int, count: int) -> None:
        self.images, self.count = images, count
        self.ends = torch.arange(0, images * count, count)  # the class tokens

    def attend(self, qkv: torch.Tensor, *, heads: int) -> torch.Tensor:
        q, k, v = qkv.view(self.images, self.count, 3, heads, -1).permute(2, 0, 3, 1, 4)  # each (n, H, 1 + G G, W / H)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(len(qkv), -1)

    def attend_ends(self, q: torch.Tensor, kv: torch.Tensor, *, heads: int) -> torch.Tensor:
        k, v = kv.view(self.images, self.count, 2, heads, -1).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q.view(self.images, heads, 1, -1), k, v).reshape(self.images, -1)


def _patches(images: torch.Tensor, side: int) -> torch.Tensor:
    """Normalised patches: uint8 (n, 3, R, R) to float32 (n, G G, 3 P P)."""
    n, channels, resolution, _ = images.shape
    grid = resolution // side
    cut = images.view(n, channels, grid, side, grid, side).permute(0, 2, 4, 1, 3, 5)  # (n, G, G, 3, P, P)
    mean, std = (torch.tensor(values).view(channels, 1) * 255 for values in (PIXEL_MEAN, PIXEL_STD))
    return cut.reshape(n, grid * grid, channels, side * side).float().sub_(mean).div_(std).flatten(2)


def _through_blocks(x: torch.Tensor, blocks: "Sequence[ResidualAttentionBlock]", layout: Layout) -> torch.Tensor:
    """All residual blocks: (N, W), which is overwritten, to the rows `layout.ends`, (n, W)."""
    width = x.shape[1]
    for block in blocks[:-1]:
        attn = block.attn
        qkv = F.linear(_normalised(x, block.ln_1), attn.in_proj_weight, attn.in_proj_bias)  # (N, 3 W)
        _add_linear(x, layout.attend(qkv, heads=attn.num_heads), attn.out_proj)
        _add_mlp(x, block)
    ends = x[layout.ends]
    for block in blocks[-1:]:  # keys and values of all tokens, everything else of the ends only
        attn = block.attn
        normed = _normalised(x, block.ln_1)
        q = F.linear(normed[layout.ends], attn.in_proj_weight[:width], attn.in_proj_bias[:width])  # (n, W)
        kv = F.linear(normed, attn.in_proj_weight[width:], attn.in_proj_bias[width:])  # (N, 2 W)
        _add_linear(ends, layout.attend_ends(q, kv, heads=attn.num_heads), attn.out_proj)
        _add_mlp(ends, block)
    return ends


def _add_mlp(x: torch.Tensor, block: "ResidualAttentionBlock") -> None:
    """x += mlp(ln_2(x)), in place. QuickGELU(h) = h sigmoid(1.702 h) = silu(1.702 h) / 1.702: one pass, not three."""
    inner, outer = block.mlp.c_fc, block.mlp.c_proj
    for rows in x.split(MLP_TOKENS):
        normed = _normalised(rows, block.ln_2)
        hidden = torch.addmm(inner.bias, normed, inner.weight.t(), beta=QUICK_GELU, alpha=QUICK_GELU)  # (rows, 4 W)
        _add_linear(rows, F.silu(hidden, inplace=True), outer, alpha=1 / QUICK_GELU)


def _add_linear(x: torch.Tensor, inputs: torch.Tensor, linear: nn.Linear, *, alpha: float = 1.0) -> None:
    """x += alpha * inputs @ weight.T + bias, in place."""
    x.addmm_(inputs, linear.weight.t(), alpha=alpha).add_(linear.bias)


def _normalised(x: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
