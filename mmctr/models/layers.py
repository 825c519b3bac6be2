"""Layers that several parts of a model share."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

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
        if activation == "relu":
            layers.append(ReLUDropout(dropout))
            continue
        layers.append(Dice(fan_out))
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of (B, features) that trains on any number of rows.

    A batch of one row has no variance, and an empty one has no mean: as in `Dice`, both are normalised with the running
    averages, which they leave as they are. PyTorch's own raises an error.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name is PyTorch's
        if self.training and len(input) < 2:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        return super().forward(input)
