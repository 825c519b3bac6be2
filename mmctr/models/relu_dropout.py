"""ReLU and dropout in one function, with random bits that cost a tenth of PyTorch's on a CPU."""

import struct
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

INFINITY_BITS = 0x7F80_0000  # of a float32; patterns above are NaN
LARGEST_SHARE = 0.99  # the shares that `threshold` can meet


class ReLUDropout(nn.Module):
    """`dropout(relu(x))`: ReLU, and dropout while training. Without dropout it draws nothing.

    Input and output: any shape, float. On the CPU it keeps its output only; elsewhere, and for a precision that is not
    float32, it is PyTorch's own two functions. Random numbers are those of PyTorch's generator, or of one that it
    seeds: a training that was killed and resumed draws the same.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.dropout:
            return x.relu()
        if x.device.type != "cpu" or x.dtype != torch.float32 or self.dropout > LARGEST_SHARE:
            return F.dropout(x.relu(), self.dropout)
        return _ReLUDropout.apply(x, self.dropout)

    def extra_repr(self) -> str:
        return f"dropout={self.dropout}"


class _ReLUDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropout: float) -> Tensor:  # the signature is PyTorch's
        ctx.scale = 1 / (1 - dropout)
        kept = torch.ops.aten.threshold_backward(x, random_patterns(x), threshold(dropout))
        out = kept.relu_().mul_(ctx.scale)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grad, out, 0).mul_(ctx.scale), None


def random_patterns(like: Tensor) -> Tensor:
    """float32 of every bit pattern with the same chance, in the shape of `like`.

    Drawn as 64-bit words, two at a time, from NumPy's fastest generator, which PyTorch's seeds: PyTorch's own takes
    twice as long for such words, and its `bernoulli_` ten times.
    """
    generator = np.random.SFC64(int(torch.randint(2**62, ())))
    words = torch.from_numpy(generator.random_raw(like.numel() // 2 + 1))  # never none, which has no view
    return words.view(torch.float32)[: like.numel()].view(like.shape)


def threshold(share: float) -> float:
    """The number that this share of all float32 patterns does not exceed, to 2^-31; `share` is at most LARGEST_SHARE.

    From the smallest up, numbers are the negative ones from -infinity to -0, whose magnitudes fall as integers do, and
    the positive ones, whose magnitudes rise. A NaN compares as greater, so the share of 0 has the first of them.
    """
    count, negative = round(share * 2**32), INFINITY_BITS + 1
    if count <= negative:
        return -_number(negative - count)
    return _number(count - negative - 1)


def _number(magnitude: int) -> float:
    return struct.unpack("<f", struct.pack("<I", magnitude))[0]
