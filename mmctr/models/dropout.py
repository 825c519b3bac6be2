"""Dropout whose random bits cost a tenth of PyTorch's on a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmctr.models.relu_dropout import LARGEST_SHARE, random_patterns, threshold


class Dropout(nn.Module):
    """`torch.nn.Dropout` of any float tensor. Without dropout it draws nothing.

    On a device that is no CPU, and for a precision that is not float32, it is PyTorch's own. Random numbers are those
    of PyTorch's generator, or of one that it seeds: a training that was killed and resumed draws the same.

    Args:
        dropout: probability that a number becomes 0; the others grow by 1 / (1 - dropout).
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropout:
            return x
        if x.device.type != "cpu" or x.dtype != torch.float32 or self.dropout > LARGEST_SHARE:
            return F.dropout(x, self.dropout)
        return _Dropout.apply(x, self.dropout)

    def extra_repr(self) -> str:
        return f"dropout={self.dropout}"


class _Dropout(torch.autograd.Function):
    """Keeps the patterns, and makes each pass over x one: 0 where a pattern is at or below the threshold."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dropout: float) -> Tensor:  # the signature is PyTorch's
        patterns = random_patterns(x)
        ctx.save_for_backward(patterns)
        ctx.dropout = dropout
        return _kept(x, patterns, dropout)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (patterns,) = ctx.saved_tensors
        return _kept(grad, patterns, ctx.dropout), None


def _kept(x: Tensor, patterns: Tensor, dropout: float) -> Tensor:
    return torch.ops.aten.threshold_backward(x, patterns, threshold(dropout)).mul_(1 / (1 - dropout))
