"""CLIP's two transformers on the CPU: the same vectors as the network's own, to rounding, sooner.

Shapes: n titles or images, T tokens of the longest title, N tokens of all of them, W the tower's width, H heads, E the
embedding's length, R the resolution, P the side of a patch, G = R / P patches a side.

All tokens are the rows of one matrix (N, W), so nothing is transposed between layers; only attention knows which rows
belong together (`Layout`). Products are added into their place, the MLP runs on rows whose hidden
activations stay in the cache, and of the last layer only what reaches the output is computed.
Source of the architecture: Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision;
`clip.model` is the reference that tests hold this to.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F
from torch import nn

from mmctr.encoders.pixels import PIXEL_MEAN, PIXEL_STD

if TYPE_CHECKING:
    from clip.model import CLIP, ResidualAttentionBlock, Transformer

STEP_TOKENS = 2048  # of images that go through all layers together
MLP_TOKENS = 1024  # the hidden activations of ViT-B/32 take 12 MB then
QUICK_GELU = 1.702


class Product(Protocol):
    """x W^T + b for one weight (O, I) and bias (O,); N rows, I inputs, O outputs."""

    def __call__(self, x: torch.Tensor, *, factor: float = 1.0) -> torch.Tensor:
        """factor * (x W^T + b): float32 (N, I) to (N, O)."""

    def add_to(self, sums: torch.Tensor, x: torch.Tensor, *, factor: float = 1.0) -> None:
        """sums += factor * x W^T + b, in place: (N, O) and (N, I)."""


MakeProduct = Callable[[torch.Tensor, torch.Tensor], Product]


class Layout(Protocol):
    """Which rows of the token matrix attend to which."""

    ends: torch.Tensor  # int64 (n,): the row of each title or image that becomes its vector

    def attend(self, qkv: torch.Tensor, *, heads: int) -> torch.Tensor:
        """Attention of every row: (N, 3 W) to (N, W)."""

    def attend_ends(self, q: torch.Tensor, kv: torch.Tensor, *, heads: int) -> torch.Tensor:
        """Attention of the rows `ends` only: queries (n, W), keys and values (N, 2 W) to (n, W)."""


class TextTower:
    """`network.encode_text` for float32 weights on the CPU."""

    def __init__(self, network: "CLIP", product: MakeProduct) -> None:
        self._network = network
        self._blocks = _Blocks(network.transformer, product)

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens int64 (n, T), anything behind the end token, to float32 (n, E).

        A title's vector depends on the other titles by float rounding only.
        """
        network = self._network
        x = network.token_embedding.weight[tokens] + network.positional_embedding[: tokens.shape[1]]  # (n, T, W)
        x = self._blocks(x.flatten(0, 1), TitleLayout(tokens))  # (n, W)
        return _normalised(x, network.ln_final) @ network.text_projection


class ImageTower:
    """`network.encode_image` for a vision transformer of float32 weights on the CPU."""

    def __init__(self, network: "CLIP", product: MakeProduct) -> None:
        self._visual = network.visual
        self._blocks = _Blocks(network.visual.transformer, product)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels as they are decoded, uint8 (n, 3, R, R), to float32 (n, E)."""
        visual, vectors = self._visual, []
        count = len(visual.positional_embedding)  # tokens an image: the class token and G * G patches
        for images in pixels.split(max(1, STEP_TOKENS // count)):
            x = torch.empty(len(images), count, visual.conv1.out_channels)  # (n, 1 + G G, W)
            x[:, 0] = visual.class_embedding
            x[:, 1:] = _patches(images, visual.conv1.kernel_size[0]) @ visual.conv1.weight.flatten(1).t()
            x += visual.positional_embedding
            x = _normalised(x.flatten(0, 1), visual.ln_pre)  # (N, W)
            x = self._blocks(x, ImageLayout(len(images), count))  # (n, W)
            vectors.append(_normalised(x, visual.ln_post) @ visual.proj)
        return torch.cat(vectors)


class TitleLayout:
    """Titles padded to the longest, one behind the other; each token attends to those before it.

    So nothing behind a title's end reaches its vector.
    """

    def __init__(self, tokens: torch.Tensor) -> None:
        """Take the lengths of `tokens`, int64 (n, T): the end token has the highest number."""
        self.titles, self.count = tokens.shape
        last = tokens.argmax(dim=1)  # (n,)
        self.ends = torch.arange(0, self.titles * self.count, self.count) + last
        self._real = (torch.arange(self.count) <= last[:, None])[:, None, None]  # (n, 1, 1, T)

    def attend(self, qkv: torch.Tensor, *, heads: int) -> torch.Tensor:
        q, k, v = qkv.view(self.titles, self.count, 3, heads, -1).permute(2, 0, 3, 1, 4)  # each (n, H, T, W / H)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(len(qkv), -1)

    def attend_ends(self, q: torch.Tensor, kv: torch.Tensor, *, heads: int) -> torch.Tensor:
        k, v = kv.view(self.titles, self.count, 2, heads, -1).permute(2, 0, 3, 1, 4)
        query = q.view(self.titles, heads, 1, -1)
        return F.scaled_dot_product_attention(query, k, v, attn_mask=self._real).reshape(self.titles, -1)


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


class _Blocks:
    """The residual blocks of a tower."""

    def __init__(self, transformer: "Transformer", product: MakeProduct) -> None:
        *inner, last = transformer.resblocks
        self._inner = [_Block(block, product) for block in inner]
        self._last = _LastBlock(last, product)

    def __call__(self, x: torch.Tensor, layout: Layout) -> torch.Tensor:
        """All blocks: (N, W), which is overwritten, to the rows `layout.ends`, (n, W)."""
        for block in self._inner:
            block.pass_through(x, layout)
        return self._last(x, layout)


class _Block:
    """x += attention(ln_1(x)); x += mlp(ln_2(x))."""

    def __init__(self, block: "ResidualAttentionBlock", product: MakeProduct) -> None:
        self._norm, self._heads = block.ln_1, block.attn.num_heads
        self._qkv = product(block.attn.in_proj_weight, block.attn.in_proj_bias)
        self._out = product(block.attn.out_proj.weight, block.attn.out_proj.bias)
        self._mlp = _Mlp(block, product)

    def pass_through(self, x: torch.Tensor, layout: Layout) -> None:
        qkv = self._qkv(_normalised(x, self._norm))  # (N, 3 W)
        self._out.add_to(x, layout.attend(qkv, heads=self._heads))
        self._mlp.add_to(x)


class _LastBlock:
    """The same of the rows `ends` only; their keys and values are still those of all tokens."""

    def __init__(self, block: "ResidualAttentionBlock", product: MakeProduct) -> None:
        attn, width = block.attn, block.attn.embed_dim
        self._norm, self._heads = block.ln_1, attn.num_heads
        self._q = product(attn.in_proj_weight[:width], attn.in_proj_bias[:width])
        self._kv = product(attn.in_proj_weight[width:], attn.in_proj_bias[width:])
        self._out = product(attn.out_proj.weight, attn.out_proj.bias)
        self._mlp = _Mlp(block, product)

    def __call__(self, x: torch.Tensor, layout: Layout) -> torch.Tensor:
        normed, ends = _normalised(x, self._norm), x[layout.ends]
        q, kv = self._q(normed[layout.ends]), self._kv(normed)  # (n, W), (N, 2 W)
        self._out.add_to(ends, layout.attend_ends(q, kv, heads=self._heads))
        self._mlp.add_to(ends)
        return ends


class _Mlp:
    """x += c_proj(QuickGELU(c_fc(ln_2(x)))).

    QuickGELU(h) = h sigmoid(1.702 h) = silu(1.702 h) / 1.702, so the products take the factors and one pass is left.
    """

    def __init__(self, block: "ResidualAttentionBlock", product: MakeProduct) -> None:
        self._norm = block.ln_2
        self._inner = product(block.mlp.c_fc.weight, block.mlp.c_fc.bias)
        self._outer = product(block.mlp.c_proj.weight, block.mlp.c_proj.bias)

    def add_to(self, x: torch.Tensor) -> None:
        for rows in x.split(MLP_TOKENS):
            hidden = self._inner(_normalised(rows, self._norm), factor=QUICK_GELU)  # (rows, 4 W)
            self._outer.add_to(rows, F.silu(hidden, inplace=True), factor=1 / QUICK_GELU)


def _normalised(x: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    return F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
