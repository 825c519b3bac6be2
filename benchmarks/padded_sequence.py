"""Sequence encoders on padded histories, of PyTorch's own layers: what the packed ones are measured beside.

Each has the weights of the packed encoder that it is made from, and takes (B, D) targets, (B, L, D) history items and
their (B, L) mask (True = real item). Histories are left-padded, as the challenge's are.
"""

import torch
from padded_din import PaddedAttention
from torch import Tensor, nn

from mmctr.models.sequence.multi_head import MultiHeadAttention
from mmctr.models.sequence.similarity import SimilarityHistogram
from mmctr.models.sequence.target_attention import TargetAttention
from mmctr.models.sequence.transformer import Layer, Transformer


class PaddedTargetAttention(nn.Module):
    """DIN's attention, without dropout."""

    def __init__(self, packed: TargetAttention) -> None:
        super().__init__()
        hidden = [packed.first.out_features, *(m.out_features for m in packed.rest if isinstance(m, nn.Linear))]
        self.attention = PaddedAttention(packed.width, hidden=hidden)
        self.attention.load_state_dict(packed.state_dict())

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        return self.attention(query, keys, mask)


class PaddedMultiHead(nn.Module):
    """`nn.MultiheadAttention` of the target over its history."""

    def __init__(self, packed: MultiHeadAttention) -> None:
        super().__init__()
        width = packed.width
        self.attention = nn.MultiheadAttention(width, packed.heads, dropout=packed.dropout, batch_first=True)
        with torch.no_grad():
            weights = [layer.weight for layer in (packed.query, packed.key, packed.value)]
            self.attention.in_proj_weight.copy_(torch.cat(weights))
            self.attention.in_proj_bias.zero_()[:width].copy_(packed.query.bias)
            self.attention.out_proj.weight.copy_(torch.eye(width))

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        found, _ = self.attention(query[:, None], keys, keys, key_padding_mask=~mask, need_weights=False)
        return found[:, 0]


class PaddedTransformer(nn.Module):
    """`nn.TransformerEncoder` over the history and, in the last place, the target."""

    def __init__(self, packed: Transformer) -> None:
        super().__init__()
        self.item, self.positions = packed.item, packed.positions
        self.dropout = nn.Dropout(packed.dropout.dropout)
        self.layers = nn.ModuleList(padded_layer(layer) for layer in packed.layers)
        self.norm = packed.norm

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        x = self.item(torch.cat([keys, query[:, None]], dim=1))  # (B, L + 1, W)
        after = torch.arange(x.shape[1] - 1, -1, -1).clamp(max=len(self.positions) - 1)
        x = self.dropout(x + self.positions[after])
        padding = nn.functional.pad(~mask, (0, 1))  # the target is real
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        return self.norm(x[:, -1]) * mask.any(dim=1, keepdim=True)


def padded_layer(packed: Layer) -> nn.TransformerEncoderLayer:
    """PyTorch's layer with the weights of ours."""
    first, _, second = packed.feedforward
    width, dropout = packed.out.out_features, packed.dropout.dropout
    layer = nn.TransformerEncoderLayer(
        width, packed.heads, first.out_features, dropout, batch_first=True, norm_first=True
    )
    layer.norm1, layer.norm2, layer.linear1, layer.linear2 = (
        packed.attention_norm,
        packed.feedforward_norm,
        first,
        second,
    )
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(packed.query_key_value.weight)
        layer.self_attn.in_proj_bias.zero_()
    layer.self_attn.out_proj = packed.out
    return layer


class PaddedMean(nn.Module):
    """The mean of the real items."""

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002 - as all are called
        return (keys * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


class PaddedProduct(PaddedMean):
    """The target times that mean."""

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        return query * super().forward(query, keys, mask)


class PaddedSimilarity(nn.Module):
    """SimTier's histogram."""

    def __init__(self, packed: SimilarityHistogram) -> None:
        super().__init__()
        self.bins = packed.bins

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        cosine = nn.functional.cosine_similarity(query[:, None], keys, dim=2)  # (B, L)
        bin_of = ((cosine + 1) / 2 * self.bins).long().clamp(0, self.bins - 1)
        counts = torch.zeros(len(query), self.bins).scatter_add(1, bin_of, mask.float())
        return counts.log1p()
