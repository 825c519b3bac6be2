"""Packed histories as dense blocks: rows of one length lie side by side, so nothing is padded and nothing is masked.

Legend: B rows, N history items of all rows together, L items of each row of a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 2048  # history items that are computed together on the CPU: 1 MB at a width of 128, which stays in the cache


@dataclass(frozen=True)
class Blocks:
    """The rows of a batch from the shortest history to the longest; rows of one length are a block.

    Attributes:
        rows: (B,) int64, the row at each place of this order.
        items: (N,) int64, the history item at each place, row by row; within a row their order stays.
        ends: (B,) int64, where the items of each row of this order end.
        shapes: rows and length of each block.
    """

    rows: Tensor
    items: Tensor
    ends: Tensor
    shapes: list[tuple[int, int]]

    def of_rows(self, values: Tensor) -> tuple[Tensor, ...]:
        """(B, ...) values in this order, a tensor for each block."""
        return values.split([rows for rows, _ in self.shapes])

    def of_items(self, values: Tensor) -> Iterator[Tensor]:
        """(N, W) values in this order, (rows, L, W) for each block."""
        parts = values.split([rows * length for rows, length in self.shapes])
        for part, (rows, length) in zip(parts, self.shapes, strict=True):
            yield part.view(rows, length, values.shape[1])


def blocks(row: Tensor, *, rows: int) -> Blocks:
    """The order of B = `rows` rows by length; `row` is (N,) int64, ascending: the row of each history item."""
    lengths = torch.bincount(row, minlength=rows)
    ordered, order = lengths.sort(stable=True)
    ends = ordered.cumsum(0)
    shift = (lengths.cumsum(0) - lengths)[order] - (ends - ordered)  # (B,) from its place to an item of the batch
    items = torch.arange(len(row), device=row.device) + shift.repeat_interleave(ordered, output_size=len(row))
    lengths_there, counts = torch.unique_consecutive(ordered, return_counts=True)
    return Blocks(order, items, ends, list(zip(counts.tolist(), lengths_there.tolist(), strict=True)))


def chunks(items: Tensor) -> list[slice]:
    """The N history items in chunks; on a device that is no CPU they are one."""
    size = CHUNK if items.device.type == "cpu" else max(1, len(items))
    return [slice(start, start + size) for start in range(0, len(items), size)]


def inverse(order: Tensor) -> Tensor:
    """(n,) int64 places of 0..n - 1 in `order`, which has each of them once."""
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order), device=order.device)
    return places


def permuted(values: Tensor, order: Tensor) -> Tensor:
    """`values[order]` for an `order` of all n values; the gradient is a lookup as well, not a sum."""
    return _Permuted.apply(values, order)


class _Permuted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, order: Tensor) -> Tensor:  # the signature is PyTorch's
        ctx.save_for_backward(order)
        return values.index_select(0, order)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return grad.index_select(0, inverse(order)), None


def mean(items: Tensor, row: Tensor, *, rows: int) -> Tensor:
    """(rows, W) mean of the (N, W) items of each row's history, zero where there are none; `row` is as in `blocks`."""
    return _Mean.apply(items, row, rows)


class _Mean(torch.autograd.Function):
    """PyTorch's sum over bags, which reads each item once, with a gradient that writes each once."""

    @staticmethod
    def forward(ctx: Any, items: Tensor, row: Tensor, rows: int) -> Tensor:
        lengths = torch.bincount(row, minlength=rows)
        ctx.save_for_backward(row, lengths)
        each = torch.arange(len(items), device=items.device)
        return F.embedding_bag(each, items, lengths.cumsum(0) - lengths, mode="mean")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        row, lengths = ctx.saved_tensors
        return (grad / lengths.clamp(min=1)[:, None]).index_select(0, row), None, None
