"""The mean of a packed history.

Legend: B rows, N history items of all rows together, D width of an item.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Mean(nn.Module):
    """The mean of the history items, whatever the target is (Covington et al., RecSys 2016, section 3.2).

    Args:
        dim: D.
    """

    of_content = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.width = dim

    def forward(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """Average the history of each row.

        Args:
            query: (B, D) target items, whose number alone is read.
            keys: (N, D) history items, real ones only.
            row: (N,) int64, ascending; the row of `query` that each history item belongs to.

        Returns:
            (B, D); zero for a row without history.
        """
        return _Mean.apply(keys, row, len(query))


class _Mean(torch.autograd.Function):
    """PyTorch's sum over bags, which reads each item once, with a gradient that writes each once."""

    @staticmethod
    def forward(ctx: Any, keys: Tensor, row: Tensor, rows: int) -> Tensor:  # the signature is PyTorch's
        lengths = torch.bincount(row, minlength=rows)
        ctx.save_for_backward(row, lengths)
        each = torch.arange(len(keys), device=keys.device)
        return F.embedding_bag(each, keys, lengths.cumsum(0) - lengths, mode="mean")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        row, lengths = ctx.saved_tensors
        return (grad / lengths.clamp(min=1)[:, None]).index_select(0, row), None, None


COMPONENT = Mean
