"""Cross layers beside or below a tower (DCN V2).

Legend: B rows, W numbers of a row, R rank.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mmctr.models.layers import Activation, logits, mlp

Structure = Literal["parallel", "stacked"]


class Cross(nn.Module):
    """Each cross layer multiplies the row by a linear map of what the layers before it made, and adds that.

    `x' = x0 * (W x + b) + x`: n layers have products of up to n + 1 of a row's numbers. Source: Wang et al., "DCN V2:
    Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank Systems", WWW 2021,
    arXiv 2008.13535; equation 1 for the layer, section 3.1 for both structures, section 3.4 for `W = U V^T`.

    Args:
        width: W.
        layers: number of cross layers.
        rank: R of their matrices; 0 has whole ones of W x W.
        structure: the tower reads the row, "parallel", or what the cross layers make of it, "stacked".
        hidden: widths of the tower.
        activation: after each layer of the tower.
        batch_norm: before each activation.
        dropout: probability after each activation.
    """

    def __init__(
        self,
        width: int,
        *,
        layers: int,
        rank: int,
        structure: Structure,
        hidden: Sequence[int],
        activation: Activation,
        batch_norm: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.is_parallel = structure == "parallel"
        self.cross = nn.ModuleList(_product(width, rank) for _ in range(layers))
        self.tower = mlp([width, *hidden], dropout=dropout, activation=activation, batch_norm=batch_norm)
        self.logit = nn.Linear(hidden[-1] + (width if self.is_parallel else 0), 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B,) float32 logits of (B, W) rows."""
        crossed = x
        for product in self.cross:
            crossed = torch.addcmul(crossed, x, product(crossed))
        if self.is_parallel:
            return logits(self.logit, torch.cat([crossed, self.tower(x)], dim=1))
        return logits(self.logit, self.tower(crossed))


def _product(width: int, rank: int) -> nn.Module:
    """`W x + b`, or `U V^T x + b`."""
    if rank == 0:
        return nn.Linear(width, width)
    return nn.Sequential(nn.Linear(width, rank, bias=False), nn.Linear(rank, width))


COMPONENT = Cross
