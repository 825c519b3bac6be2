"""The deep interest network (Zhou et al., KDD 2018) on packed histories.

Legend: B rows, N history items of all rows together, V items, D item embedding width, E width of an item with its
features, S of the features of a row.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmctr.clicks.batch import Batch
from mmctr.clicks.item_table import PADDING_IDX, ItemTable
from mmctr.compute.numerics import autocast
from mmctr.inputs.features import Feature
from mmctr.models.architecture import Architecture
from mmctr.models.feature_embedding import FeatureEmbedding
from mmctr.models.sequence.target_attention import TargetAttention, mlp


class DIN(nn.Module):
    """Target attention over the history, then a tower on `[target, interest, features of the row]`; one logit a row.

    An item is its embedding beside its features, as a target and in a history alike. The gradient of the item table is
    sparse, as a batch touches few of its rows; added to a dense one it stays dense.

    Args:
        num_items: V; the item table has V + 1 rows, row 0 is padding and stays zero.
        dim: D.
        attention_hidden: widths of the attention MLP.
        tower_hidden: widths of the tower.
        dropout: probability after each hidden layer of both.
        freeze: keep the item table as it is set.
        row_features, item_features: with their sizes, as an `Architecture` has them.
    """

    item_feature_ids: Tensor
    item_feature_numbers: Tensor

    def __init__(
        self,
        num_items: int,
        dim: int,
        *,
        attention_hidden: Sequence[int] = Architecture.attention_hidden,
        tower_hidden: Sequence[int] = Architecture.tower_hidden,
        dropout: float = Architecture.dropout,
        freeze: bool = Architecture.freeze,
        row_features: Sequence[Feature] = Architecture.row_features,
        item_features: Sequence[Feature] = Architecture.item_features,
    ) -> None:
        super().__init__()
        self.items = nn.Embedding(num_items + 1, dim, padding_idx=PADDING_IDX, sparse=True)
        self.items.weight.requires_grad_(not freeze)
        self.row_features = FeatureEmbedding(row_features)
        self.item_features = FeatureEmbedding(item_features)
        item_width = dim + self.item_features.width  # E
        self.attention = TargetAttention(item_width, hidden=attention_hidden, dropout=dropout)
        self.tower = mlp([2 * item_width + self.row_features.width, *tower_hidden], dropout=dropout)
        self.logit = nn.Linear(tower_hidden[-1], 1)
        # What is known of an item is no weight: a checkpoint has it beside the item ids.
        ids = torch.zeros(num_items + 1, self.item_features.id_columns, dtype=torch.int32)
        numbers = torch.zeros(num_items + 1, self.item_features.number_columns)
        self.register_buffer("item_feature_ids", ids, persistent=False)
        self.register_buffer("item_feature_numbers", numbers, persistent=False)

    @classmethod
    def of(cls, architecture: Architecture) -> "DIN":
        """A DIN of this architecture with fresh weights."""
        return cls(
            architecture.num_items,
            architecture.dim,
            attention_hidden=architecture.attention_hidden,
            tower_hidden=architecture.tower_hidden,
            dropout=architecture.dropout,
            freeze=architecture.freeze,
            row_features=architecture.row_features,
            item_features=architecture.item_features,
        )

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.items.weight.device

    def embedding_weights(self) -> list[nn.Parameter]:
        """All embedding tables."""
        return [self.items.weight, *self.row_features.parameters(), *self.item_features.parameters()]

    def id_tables(self) -> list[nn.Embedding]:
        """Trained tables that begin random."""
        tables = [*self.row_features.tables, *self.item_features.tables]
        return [table for table in tables if isinstance(table, nn.Embedding)]

    @torch.no_grad()
    def reset_embeddings(self, seed: int) -> None:
        """Draw `id_tables` anew."""
        generator = torch.Generator().manual_seed(seed)
        for table in self.id_tables():
            table.weight[1:] = torch.randn(table.weight[1:].shape, generator=generator) * 0.05

    @torch.no_grad()
    def set_item_table(self, table: ItemTable) -> None:
        """Start the item embeddings from those of `table`, and take the features of its items."""
        self.items.weight.copy_(torch.from_numpy(table.weights))
        self.set_item_features(table)

    def set_item_features(self, table: ItemTable) -> None:
        """Take the features of the items of `table`, whose rows are those of the model.

        Raises:
            ValueError: they are not those of the architecture.
        """
        for name in ("item_feature_ids", "item_feature_numbers"):
            own, found = getattr(self, name), torch.from_numpy(getattr(table, name.removeprefix("item_")))
            if own.shape != found.shape:
                raise ValueError(f"{name} must be {tuple(own.shape)} numbers, the table has {tuple(found.shape)}")
            own.copy_(found)

    def forward(self, batch: Batch) -> Tensor:
        """(B,) logits of a click; `torch.sigmoid` makes the probability of it."""
        target = self.represented(batch.target)  # (B, E)
        history = self.represented(batch.history)  # (N, E)
        interest = self.attention(target, history, batch.row)  # (B, E)
        of_row = self.row_features(batch.feature_ids, batch.feature_numbers)  # (B, S)
        hidden = self.tower(torch.cat([target, interest, of_row], dim=1))
        with autocast(hidden.device, enabled=False):  # rounded to bfloat16, most logits of a split would be ties
            return self.logit(hidden.float()).squeeze(1)

    def represented(self, items: Tensor) -> Tensor:
        """(n, E) embeddings and features of the items in (n,) rows of the item table."""
        content = self.items(items)  # (n, D)
        if not self.item_features.width:
            return content
        ids, numbers = (table.index_select(0, items) for table in (self.item_feature_ids, self.item_feature_numbers))
        return torch.cat([content, self.item_features(ids, numbers)], dim=1)
