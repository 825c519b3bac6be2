"""The readable reference: the same DIN on padded histories, with a plain `Dataset` and `DataLoader`.

It is what most published code does, and what the packed library is measured beside and compared with. It has the
library's parameters under the library's names, so that weights can be handed over.

Legend: B rows, L history length, D embedding width.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmctr.clicks.item_table import ItemTable
from mmctr.models.base import ClickModel
from mmctr.models.sequence.target_attention import TargetAttention


class PaddedClicks(Dataset):
    """One row of the click log at a time: history (L,), target, likes, views, label."""

    def __init__(self, path: Path, *, table: ItemTable, max_len: int = 64) -> None:
        frame = pl.read_parquet(path)
        item_seq = np.array(frame["item_seq"].to_list())[:, -max_len:]
        self.history = torch.from_numpy(table.lookup(item_seq)).long()
        self.target = torch.from_numpy(table.lookup(frame["item_id"].to_numpy())).long()
        self.likes = torch.tensor(frame["likes_level"].to_list())
        self.views = torch.tensor(frame["views_level"].to_list())
        self.label = torch.tensor(frame["label"].to_list(), dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, row: int) -> tuple[Tensor, ...]:
        return self.history[row], self.target[row], self.likes[row], self.views[row], self.label[row]


class PaddedDice(nn.Module):
    """Dice (Zhou et al., KDD 2018, section 5.3) on (B, features), or on (B, L, features) with a mask of real items."""

    def __init__(self, features: int, *, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps
        self.alpha = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.training:
            real = x if mask is None else x[mask]
            mean, var = real.mean(0), real.var(0, unbiased=False)
            with torch.no_grad():
                self.running_mean.lerp_(mean, 0.1)
                self.running_var.lerp_(real.var(0), 0.1)
        else:
            mean, var = self.running_mean, self.running_var
        p = torch.sigmoid((x - mean) / torch.sqrt(var + self.eps))
        return p * x + (1 - p) * self.alpha * x


class PaddedAttention(nn.Module):
    """Target attention over a padded history: all L places are computed, and those of padding are masked."""

    def __init__(self, dim: int, *, hidden: Sequence[int]) -> None:
        super().__init__()
        self.first = nn.Linear(4 * dim, hidden[0])
        self.first_activation = nn.ModuleList([PaddedDice(hidden[0])])
        self.rest = padded_mlp(hidden)
        self.last = nn.Linear(hidden[-1], 1)

    def forward(self, query: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        q = query.unsqueeze(1).expand_as(keys)  # (B, L, D)
        hidden = self.first(torch.cat([q, keys, q - keys, q * keys], dim=-1))  # (B, L, H)
        for layer in (*self.first_activation, *self.rest):
            hidden = layer(hidden, mask) if isinstance(layer, PaddedDice) else layer(hidden)
        weights = self.last(hidden).squeeze(-1) * mask  # (B, L)
        return (weights.unsqueeze(-1) * keys).sum(dim=1)  # (B, D)


def padded_mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear -> Dice for each pair of neighbouring widths."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip(widths[:-1], widths[1:], strict=True):  # noqa: RUF007
        layers += [nn.Linear(fan_in, fan_out), PaddedDice(fan_out)]
    return nn.Sequential(*layers)


class PaddedDIN(nn.Module):
    """The library's DIN on padded tensors."""

    def __init__(self, packed: ClickModel) -> None:
        super().__init__()
        attention: TargetAttention = packed.sequence[0]
        dim = packed.items.content.embedding_dim
        hidden = [attention.first.out_features, *(m.out_features for m in attention.rest if isinstance(m, nn.Linear))]
        tower = [m for m in packed.head.tower if isinstance(m, nn.Linear)]
        items = nn.Embedding(*packed.items.content.weight.shape, padding_idx=0)
        self.items = nn.ModuleDict({"content": items})  # names are those of the library's weights
        levels = [nn.Embedding(*table.weight.shape, padding_idx=0) for table in packed.row_features.tables]
        self.row_features = nn.ModuleDict({"tables": nn.ModuleList(levels)})
        self.sequence = nn.ModuleList([PaddedAttention(dim, hidden=hidden)])
        layers = padded_mlp([tower[0].in_features, *(m.out_features for m in tower)])
        self.head = nn.ModuleDict({"tower": layers, "logit": nn.Linear(tower[-1].out_features, 1)})
        items.weight.requires_grad_(packed.items.content.weight.requires_grad)
        self.load_state_dict(packed.state_dict())

    def forward(self, history: Tensor, target: Tensor, likes: Tensor, views: Tensor) -> Tensor:
        items, (attention,) = self.items["content"], self.sequence
        query = items(target)  # (B, D)
        interest = attention(query, items(history), history != 0)  # (B, D)
        likes_emb, views_emb = self.row_features["tables"]
        features = torch.cat([query, interest, likes_emb(likes), views_emb(views)], dim=-1)
        return self.head["logit"](self.head["tower"](features)).squeeze(-1)


def padded_loader(clicks: PaddedClicks, *, batch_size: int, seed: int = 0, shuffle: bool = True) -> DataLoader:
    """Batches as PyTorch's own loader collates them."""
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(clicks, batch_size=batch_size, shuffle=shuffle, generator=generator)
