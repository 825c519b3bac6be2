"""The click model: items are encoded, their history is summed up for the target, a head makes the logit.

Legend: B rows, N history items of all rows together, U different items of them and of the targets, V items of the
table, D width of their vectors, E numbers of an encoded item.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmctr.clicks.batch import Batch
from mmctr.clicks.item_table import ItemTable
from mmctr.inputs.features import Feature
from mmctr.models.architecture import Architecture
from mmctr.models.catalog import head, sequence_encoder
from mmctr.models.feature_embedding import FeatureEmbedding
from mmctr.models.items.encoder import ItemEncoder


class ClickModel(nn.Module):
    """`head([target, each sequence encoder's view of the history, features of the row])`; one logit a row.

    By default a deep interest network (Zhou et al., KDD 2018).

    Args:
        architecture: what it is built of; its weights are fresh.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.items = ItemEncoder(
            architecture.num_items,
            architecture.dim,
            options=architecture.item,
            features=_of_width(architecture.item_features, architecture.feature_width),
        )
        self.row_features = FeatureEmbedding(_of_width(architecture.row_features, architecture.feature_width))
        self.sequence = nn.ModuleList(
            sequence_encoder(part, item_width=self.items.width, content_width=architecture.dim)
            for part in architecture.sequence
        )
        widths = [self.items.width, *(cast(int, encoder.width) for encoder in self.sequence), self.row_features.width]
        self.head = head(architecture.head, width=sum(widths))

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.items.content.weight.device

    def set_items(self, table: ItemTable) -> None:
        """Start from the vectors of the items of `table`, and take their features."""
        self.items.set_table(table)

    def forward(self, batch: Batch) -> Tensor:
        """(B,) float32 logits of a click; `torch.sigmoid` makes the probability of it."""
        target, history = self._encoded(batch)  # (B, E), (N, E)
        of_history = [self._summed_up(encoder, batch, target, history) for encoder in self.sequence]
        of_row = self.row_features(batch.feature_ids, batch.feature_numbers)
        return self.head(torch.cat([target, *of_history, of_row], dim=1))

    def _encoded(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, E) targets and (N, E) history items; where that is work, each different item is encoded once."""
        if self.items.is_table:
            return self.items(batch.target), self.items(batch.history)
        different, places = torch.unique(torch.cat([batch.target, batch.history]), return_inverse=True)
        encoded = self.items(different)  # (U, E)
        of_both = F.embedding(places, encoded)  # whose backward pass is faster than that of `index_select`
        target, history = of_both.split([len(batch.target), len(batch.history)])
        return target, history

    def _summed_up(self, encoder: nn.Module, batch: Batch, target: Tensor, history: Tensor) -> Tensor:
        if encoder.of_content:
            target, history = self.items.content(batch.target), self.items.content(batch.history)
        return encoder(target, history, batch.row)

    def id_tables(self) -> list[nn.Embedding]:
        """Embedding tables that begin at random: of ids of items and of features of both kinds."""
        tables = [self.items.ids] if self.items.ids is not None else []
        return [*tables, *self.items.features.embeddings(), *self.row_features.embeddings()]

    def embedding_weights(self) -> list[nn.Parameter]:
        """Weights of all embedding tables that are trained, and of the projection of vectors, as FuxiCTR counts it.

        Every other weight that is trained is of the network.
        """
        projection = [self.items.projection] if self.items.projection is not None else []
        modules = [self.items.content, *projection, *self.id_tables()]
        return [weight for module in modules for weight in module.parameters() if weight.requires_grad]

    def reset_embeddings(self, seed: int) -> None:
        """Draw the tables of `id_tables` anew, as they began."""
        generator = torch.Generator().manual_seed(seed)
        self.items.reset(generator)
        self.row_features.reset(generator)


def _of_width(features: Sequence[Feature], width: int) -> list[Feature]:
    """Features with embeddings of this width, or as they are."""
    return [replace(feature, width=width) if width else feature for feature in features]
