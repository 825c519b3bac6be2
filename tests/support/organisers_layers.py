"""The organisers' DIN on plain padded layers, and its weights in the model of the preset `organisers`.

Legend: B rows, L history items of a row with its padding, V items, D = 256 numbers of an item: id, tags, content.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from fuxictr_peer import CONTENT_DIM, ID_DIM, ITEM_DIM, MODEL
from organisers import LEVEL_VOCABULARY, TAGS
from torch import Tensor, nn

from mmctr.models.architecture import Architecture, Part
from mmctr.models.layers import BatchNorm

ITEM = torch.arange(ITEM_DIM).roll(CONTENT_DIM)  # where the library's [content, id, tags] lies in [id, tags, content]
LEVELS = 2 * ID_DIM
FIRST = torch.cat([ITEM + block * ITEM_DIM for block in range(4)])  # columns of the first layer of the attention
INPUT = torch.cat([LEVELS + ITEM, LEVELS + ITEM_DIM + ITEM, torch.arange(LEVELS)])  # of the tower


class PlainDIN(nn.Module):
    """What FuxiCTR's layers compute, one plain layer after the other, without dropout.

    Its inputs are those of `fuxictr_peer.padded`.
    """

    def __init__(self, items: int) -> None:
        super().__init__()
        self.likes, self.views = (nn.Embedding(LEVEL_VOCABULARY, ID_DIM, padding_idx=0) for _ in range(2))
        self.ids = nn.Embedding(items, ID_DIM, padding_idx=0)
        self.tags = nn.Embedding(TAGS.size, ID_DIM, padding_idx=0)
        self.project = nn.Linear(CONTENT_DIM, CONTENT_DIM, bias=False)
        first, second = MODEL["sequence"][0]["hidden"]
        self.attention = nn.Sequential(
            nn.Linear(4 * ITEM_DIM, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 1)
        )
        layers, width = [], LEVELS + 2 * ITEM_DIM
        for hidden in MODEL["head"]["hidden"]:
            layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU()]
            width = hidden
        self.dnn = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B,) logits."""
        levels, items = inputs["levels"], inputs["items"]
        tags = self.tags(items["item_tags"])  # (B (L + 1), 5, 64)
        known = (items["item_tags"] > 0).sum(1, keepdim=True).clamp(min=1)
        encoded = [self.ids(items["item_id"]), tags.sum(1) / known, self.project(items["item_emb_d128"])]
        mask = inputs["mask"]  # (B, L)
        encoded = torch.cat(encoded, dim=1).view(len(mask), -1, ITEM_DIM)
        target, keys = encoded[:, -1:], encoded[:, :-1]
        query = target.expand_as(keys)
        weights = self.attention(torch.cat([query, keys, query - keys, query * keys], dim=2))  # (B, L, 1)
        interest = (weights * mask[:, :, None] * keys).sum(1)
        of_row = [self.likes(levels["likes_level"]), self.views(levels["views_level"])]
        return self.dnn(torch.cat([*of_row, target.squeeze(1), interest], dim=1)).squeeze(1)

    def layers(self) -> list[nn.Module]:
        """Those with weights, in the order of `pairs`."""
        tables = [self.likes, self.views, self.ids, self.tags, self.project]
        return [*tables, *with_weights(self.attention), *with_weights(self.dnn)]


def layers_of_fuxictr(theirs: Any) -> list[nn.Module]:
    """Those with weights of a `fuxictr_peer.peer`, in the order of `pairs`."""
    tables = theirs.embedding_layer.embedding_layer
    names = ("likes_level", "views_level", "item_id", "item_tags")
    return [
        *(tables.embedding_layers[name] for name in names),
        tables.feature_encoders["item_emb_d128"],
        *with_weights(theirs.attention_layers.attention_layer.mlp),
        *with_weights(theirs.dnn.mlp),
    ]


def without_dropout(built: Architecture) -> Architecture:
    """The same architecture, whose logits while training are a function of its weights."""
    head, *sequence = (Part(part.kind, {**part.options, "dropout": 0.0}) for part in (built.head, *built.sequence))
    return replace(built, head=head, sequence=tuple(sequence))


def with_weights(layers: nn.Sequential) -> list[nn.Module]:
    return [layer for layer in layers if isinstance(layer, nn.Linear | nn.BatchNorm1d | BatchNorm)]


def layers_of_ours(model: nn.Module) -> list[nn.Module]:
    """The same layers of a `ClickModel`."""
    (attention,) = model.sequence
    return [
        *model.row_features.tables,
        model.items.ids,
        *model.items.features.tables,
        model.items.projection,
        *(attention.first, *with_weights(attention.rest), attention.last),
        *(*with_weights(model.head.tower), model.head.logit),
    ]


def in_our_order(layer: int, tensor: Tensor) -> Tensor:
    """A weight, or its gradient, of one of their layers as ours has it."""
    if layer in (0, 1):  # our tables of levels have more rows, which nothing reads
        return torch.cat([tensor, tensor.new_zeros(20 - LEVEL_VOCABULARY, ID_DIM)])
    columns = {5: FIRST, 8: INPUT}.get(layer)
    return tensor if columns is None or tensor.ndim == 1 else tensor[:, columns]


def pairs(theirs: list[nn.Module], ours: nn.Module) -> Iterator[tuple[int, nn.Module, nn.Module]]:
    """Each layer's number, and the layer in both."""
    for number, both in enumerate(zip(theirs, layers_of_ours(ours), strict=True)):
        yield number, *both


@torch.no_grad()
def hand_over(theirs: list[nn.Module], ours: nn.Module) -> None:
    """Give their weights and averages to our model."""
    for number, source, target in pairs(theirs, ours):
        for name, value in target.state_dict().items():
            value.copy_(in_our_order(number, source.state_dict()[name]))


def assert_same_gradients(theirs: list[nn.Module], ours: nn.Module) -> None:
    """Every weight of both has the same gradient."""
    for number, source, target in pairs(theirs, ours):
        for (name, expected), found in zip(source.named_parameters(), target.parameters(), strict=True):
            grad, scale = in_our_order(number, expected.grad), max(float(expected.grad.abs().max()), 1e-3)
            assert torch.allclose(found.grad.to_dense(), grad, atol=1e-5 * scale), (source, name)
