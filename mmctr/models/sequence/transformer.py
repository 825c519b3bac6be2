"""A transformer over the packed history and the target.

Legend: B rows, N history items of all rows together, T = N + B tokens, D width of an item, H heads, W inner width.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmctr.models.dropout import Dropout
from mmctr.models.packed import Blocks, blocks, inverse, permuted
from mmctr.models.relu_dropout import ReLUDropout
from mmctr.models.softmax_attention import attended

POSITION_STD = 0.02  # initial spread of the position embeddings, as in BERT and GPT-2


class Transformer(nn.Module):
    """Encoder layers over the history items and the target, each with its position; what the target has become.

    Chen et al., "Behavior Sequence Transformer for E-commerce Recommendation in Alibaba", DLP-KDD 2019, with three
    differences: positions count back from the target, so that the most recent item has the same one in a history of any
    length; layers normalise their input (Xiong et al., ICML 2020), which trains without a warm-up; and the last layer
    computes the target only, as nothing else of it is read. Dropout is that of Vaswani et al., NeurIPS 2017, section
    5.4, and between the layers of the feed-forward network; attention weights have none.

    Args:
        dim: D.
        layers: encoder layers.
        heads: H.
        head_width: W / H; items come to W by a linear layer.
        feedforward: width of the hidden layer of each feed-forward network.
        positions: history items with a position of their own; older ones share the last.
        dropout: probability, of the embedded items and after each part of a layer.
    """

    of_content = False

    def __init__(
        self, dim: int, *, layers: int, heads: int, head_width: int, feedforward: int, positions: int, dropout: float
    ) -> None:
        super().__init__()
        self.width = heads * head_width
        self.item = nn.Linear(dim, self.width)
        self.positions = nn.Parameter(torch.empty(positions + 1, self.width).normal_(std=POSITION_STD))
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(
            Layer(self.width, heads=heads, feedforward=feedforward, dropout=dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(self.width)

    def forward(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """Encode the history of each row for its target.

        Args:
            query: (B, D) target items.
            keys: (N, D) history items, real ones only, the most recent of a row last.
            row: (N,) int64, ascending; the row of `query` that each history item belongs to.

        Returns:
            (B, W); zero for a row without history.
        """
        rows = len(query)
        order, by_length = tokens(row, rows=rows)
        x = permuted(torch.cat([self.item(keys), self.item(query)]), order)  # (T, W)
        x = self.dropout(x + self.positions.index_select(0, self._position(by_length)))
        *before, last = self.layers
        for layer in before:
            x = layer(x, by_length)
        target = self.norm(cast(Layer, last).of_target(x, by_length))  # (B, W)
        has_history = torch.bincount(row, minlength=rows) > 0
        return permuted(target, inverse(by_length.rows)) * has_history[:, None]

    def _position(self, by_length: Blocks) -> Tensor:
        """(T,) int64 tokens after each one in its row, at most as many as there are positions."""
        lengths = by_length.ends.diff(prepend=by_length.ends.new_zeros(1))
        ends = by_length.ends.repeat_interleave(lengths, output_size=len(by_length.items))
        after = ends - 1 - torch.arange(len(ends), device=ends.device)
        return after.clamp_(max=len(self.positions) - 1)


class Layer(nn.Module):
    """Self-attention within each row, then a feed-forward network on each token, both beside a skip connection."""

    def __init__(self, width: int, *, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, feedforward), ReLUDropout(dropout), nn.Linear(feedforward, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, by_length: Blocks) -> Tensor:
        """(T, W) of (T, W) tokens in the order of `by_length`."""
        return self._rest(x, self_attention(self.query_key_value(self.attention_norm(x)), by_length, heads=self.heads))

    def of_target(self, x: Tensor, by_length: Blocks) -> Tensor:
        """(B, W), what `forward` makes of the last token of each row."""
        targets = by_length.ends - 1
        normed = self.attention_norm(x)
        query_weight, key_weight, value_weight = self.query_key_value.weight.chunk(3)
        query = F.linear(normed.index_select(0, targets), query_weight).unflatten(1, (self.heads, -1))
        found = attended(query, normed, key_weight=key_weight, value_weight=value_weight, blocks=by_length)
        return self._rest(x.index_select(0, targets), found)

    def _rest(self, x: Tensor, found: Tensor) -> Tensor:
        x = x + self.dropout(self.out(found))
        return x + self.dropout(self.feedforward(self.feedforward_norm(x)))


def tokens(row: Tensor, *, rows: int) -> tuple[Tensor, Blocks]:
    """The history of each of B rows and its target after it, by length: an order of T = N + B tokens, and its blocks.

    The tokens before they are ordered are the N history items and then the B targets; `row` is as in `Transformer`.
    """
    lengths = torch.bincount(row, minlength=rows) + 1  # of a row with its target
    places = torch.cat([torch.arange(len(row), device=row.device) + row, lengths.cumsum(0) - 1])  # (T,)
    by_length = blocks(torch.repeat_interleave(lengths, output_size=len(places)), rows=rows)
    return inverse(places)[by_length.items], by_length


def self_attention(query_key_value: Tensor, by_length: Blocks, *, heads: int) -> Tensor:
    """(T, W) attention of each token over those of its row; of (T, 3 W) queries, keys and values."""
    found = []
    for block in by_length.of_items(query_key_value):  # (b, L, 3 W)
        query, key, value = block.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)  # (b, H, L, W / H)
        found.append(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2).flatten(0, 1))
    return torch.cat(found)


COMPONENT = Transformer
