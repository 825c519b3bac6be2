"""The quadratic neural network of the quadratic interest network.

Legend: B rows, W numbers of a row, R linear maps of a layer.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mmctr.models.dropout import Dropout
from mmctr.models.layers import BatchNorm, logits


class Quadratic(nn.Module):
    """Each layer multiplies a row by linear maps of it, and adds the row: squares and products take a tower's place.

    `x' = x + dropout(PReLU(norm(x * sum_r dropout(W_r x + b_r))))`. The R maps are dropped out each by itself; without
    dropout their sum is one map. Source: Li et al., "Quadratic Interest Network for Multimodal Click-Through Rate
    Prediction", arXiv 2504.17699, and its published code (salmon1802/QIN, QIN_variety_v9), where QIN has 4 layers of 3
    maps, batch norm and dropout 0.1.

    Args:
        width: W.
        layers: number of layers.
        maps: R.
        batch_norm: after each product.
        dropout: probability for each number of the maps, and of a layer.
    """

    def __init__(self, width: int, *, layers: int, maps: int, batch_norm: bool, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _Layer(width, maps=maps, batch_norm=batch_norm, dropout=dropout) for _ in range(layers)
        )
        self.logit = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B,) float32 logits of (B, W) rows."""
        for layer in self.layers:
            x = layer(x)
        return logits(self.logit, x)


class _Layer(nn.Module):
    def __init__(self, width: int, *, maps: int, batch_norm: bool, dropout: float) -> None:
        super().__init__()
        self.width, self.maps = width, maps
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(width, maps * width)
        self.norm = BatchNorm(width) if batch_norm else nn.Identity()
        self.activation = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        product = x * self._mapped(x)  # (B, W)
        return x + self.dropout(self.activation(self.norm(product)))

    def _mapped(self, x: Tensor) -> Tensor:
        """(B, W) sum of the maps."""
        if self.training and self.dropout.dropout:
            dropped = self.dropout(self.linear(x))  # (B, R W)
            return dropped.view(len(x), self.maps, self.width).sum(1)
        weight = self.linear.weight.view(self.maps, self.width, self.width).sum(0)
        return F.linear(x, weight, self.linear.bias.view(self.maps, self.width).sum(0))


COMPONENT = Quadratic
