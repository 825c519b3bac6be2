"""Declared features as numbers that a network reads.

Legend: n rows, of clicks or of items; F columns of ids and G of numbers, as `FeatureEncoding` has them; W numbers out.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmctr.inputs.features import Feature
from mmctr.inputs.vocabulary import UNKNOWN

FEATURE_STD = 0.05  # initial spread of embeddings, about that of the items'


class FeatureEmbedding(nn.Module):
    """The embedding of a category, the mean of those of the known tags, a number and its flag as they are.

    What is unknown is the zero vector, whatever was trained, as is a row without any known tag.

    Args:
        features: as an `Architecture` has them.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        super().__init__()
        self.features = tuple(features)
        self.id_columns = sum(feature.id_columns for feature in features)
        self.number_columns = sum(feature.number_columns for feature in features)
        self.width = sum(feature.output_width for feature in features)
        self.tables = nn.ModuleList(feature_table(feature) for feature in features if feature.kind != "number")

    def embeddings(self) -> list[nn.Embedding]:
        """The tables, in the order of the features that have one."""
        return [table for table in self.tables if isinstance(table, nn.Embedding)]

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw the tables anew, as they began."""
        for table in self.embeddings():
            drawn = torch.randn(table.weight.shape, generator=generator) * FEATURE_STD
            drawn[UNKNOWN] = 0
            table.weight.copy_(drawn)

    def forward(self, ids: Tensor, numbers: Tensor) -> Tensor:
        """(n, W) features in their order, of (n, F) int32 `ids` and (n, G) float32 `numbers`.

        Raises:
            ValueError: F or G are those of other features.
        """
        if (ids.shape[1], numbers.shape[1]) != (self.id_columns, self.number_columns):
            raise ValueError(
                f"features must have {self.id_columns} columns of ids and {self.number_columns} of numbers, found "
                f"{ids.shape[1]} and {numbers.shape[1]}"
            )
        parts = [numbers[:, :0]]
        weights = self.tables.parameters()  # a table each, in the order of the features
        at = number_at = 0
        for feature in self.features:
            if feature.kind == "category":
                parts.append(F.embedding(ids[:, at], next(weights), padding_idx=UNKNOWN))  # (n, width)
            elif feature.kind == "tags":
                tags = ids[:, at : at + feature.id_columns]
                parts.append(F.embedding_bag(tags, next(weights), mode="mean", padding_idx=UNKNOWN))  # (n, width)
            else:
                parts.append(numbers[:, number_at : number_at + feature.number_columns])  # (n, 2)
            at, number_at = at + feature.id_columns, number_at + feature.number_columns
        return torch.cat(parts, dim=1)


def feature_table(feature: Feature) -> nn.Embedding:
    """(size, width) table of a category or of tags, with a zero row for unknown values."""
    assert feature.size is not None, f"{feature.column} must be fitted first"
    table = nn.Embedding(feature.size, feature.width, padding_idx=UNKNOWN)
    with torch.no_grad():
        table.weight.normal_(std=FEATURE_STD)
        table.weight[UNKNOWN].zero_()
    return table
