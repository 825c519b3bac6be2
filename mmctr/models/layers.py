"""Layers that several parts of a model share."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmctr.compute.numerics import autocast
from mmctr.models.dice import Dice
from mmctr.models.relu_dropout import ReLUDropout

Activation = Literal["dice", "relu"]


def mlp(
    widths: Sequence[int], *, dropout: float, activation: Activation = "dice", batch_norm: bool = False
) -> nn.Sequential:
    """Linear -> [batch norm] -> activation -> dropout for each pair of neighbouring `widths`."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers.append(nn.Linear(fan_in, fan_out))
        if batch_norm:
            layers.append(BatchNorm(fan_out))
        layers += activated(fan_out, activation=activation, dropout=dropout)
    return nn.Sequential(*layers)


def activated(features: int, *, activation: Activation, dropout: float) -> list[nn.Module]:
    """The activation of (B, features), and dropout."""
    if activation == "relu":
        return [ReLUDropout(dropout)]
    return [Dice(features), nn.Dropout(dropout)] if dropout > 0 else [Dice(features)]


class BatchNorm(nn.Module):
    """Batch norm of (B, features) that trains on any number of rows, with PyTorch's numbers and names of weights.

    A batch of one row has no variance, and an empty one has no mean: as in `Dice`, both are normalised with the running
    averages, which they leave as they are. PyTorch's own raises an error, and counts batches, which nothing reads.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        from_batch = self.training and len(x) > 1
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, from_batch, self.momentum, self.eps
        )


def logits(layer: nn.Linear, hidden: Tensor) -> Tensor:
    """(B,) float32 numbers that a last `layer` to one makes of (B, features): the sigmoid of one is a probability."""
    with autocast(hidden.device, enabled=False):  # rounded to bfloat16, most logits of a split would be ties
        return layer(hidden.float()).squeeze(1)
