"""The deep interest network (Zhou et al., KDD 2018) on packed histories.

Legend: B rows, N history items of all rows together, V items, D item embedding width, S level embedding width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmctr.clicks.batch import Batch
from mmctr.clicks.item_table import PADDING_IDX
from mmctr.compute.numerics import autocast
from mmctr.inputs.features import LEVELS
from mmctr.models.architecture import Architecture
from mmctr.models.sequence.target_attention import TargetAttention, mlp

LEVEL_DIM = 16
LEVEL_STD = 0.05  # initial spread of the level embeddings, about that of the item embeddings


class DIN(nn.Module):
    """Target attention over the history, then a tower on `[target, interest, likes, views]`; one logit a row.

    The gradient of the item table is sparse, as a batch touches few of its rows; added to a dense one it stays dense.

    Args:
        num_items: V; the item table has V + 1 rows, row 0 is padding and stays zero.
        dim: D.
        attention_hidden: widths of the attention MLP.
        tower_hidden: widths of the tower.
        dropout: probability after each hidden layer of both.
        freeze: keep the item table as it is set.
    """

    def __init__(
        self,
        num_items: int,
        dim: int,
        *,
        attention_hidden: Sequence[int] = Architecture.attention_hidden,
        tower_hidden: Sequence[int] = Architecture.tower_hidden,
        dropout: float = Architecture.dropout,
        freeze: bool = Architecture.freeze,
    ) -> None:
        super().__init__()
        self.items = nn.Embedding(num_items + 1, dim, padding_idx=PADDING_IDX, sparse=True)
        self.items.weight.requires_grad_(not freeze)
        self.likes_emb = level_embedding()
        self.views_emb = level_embedding()
        self.attention = TargetAttention(dim, hidden=attention_hidden, dropout=dropout)
        self.tower = mlp([2 * dim + 2 * LEVEL_DIM, *tower_hidden], dropout=dropout)
        self.logit = nn.Linear(tower_hidden[-1], 1)

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
        )

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.items.weight.device

    def set_item_table(self, weights: Tensor) -> None:
        """Start the item embeddings from `weights`, (V + 1, D) float32 with a zero row 0."""
        with torch.no_grad():
            self.items.weight.copy_(weights)

    def forward(self, batch: Batch) -> Tensor:
        """(B,) logits of a click; `torch.sigmoid` makes the probability of it."""
        target = self.items(batch.target)  # (B, D)
        history = self.items(batch.history)  # (N, D)
        interest = self.attention(target, history, batch.row)  # (B, D)
        levels = [self.likes_emb(batch.likes), self.views_emb(batch.views)]  # (B, S) each
        features = torch.cat([target, interest, *levels], dim=1)  # (B, 2 D + 2 S)
        hidden = self.tower(features)
        with autocast(hidden.device, enabled=False):  # rounded to bfloat16, most logits of a split would be ties
            return self.logit(hidden.float()).squeeze(1)


def level_embedding() -> nn.Embedding:
    """(20, 16) table of a popularity level, with a zero padding row."""
    table = nn.Embedding(LEVELS, LEVEL_DIM, padding_idx=PADDING_IDX)
    with torch.no_grad():
        table.weight.normal_(std=LEVEL_STD)
        table.weight[PADDING_IDX].zero_()
    return table
