"""Target attention over packed histories.

Legend: B rows, N history items of all rows together, D embedding width, H width of the first layer.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmctr.models.dice import Dice

PIECE = 2048  # history items that are computed together on the CPU: 2 MB of `[k, q * k]` at D = 128


def mlp(widths: Sequence[int], *, dropout: float) -> nn.Sequential:
    """Linear -> Dice -> dropout for each pair of neighbouring `widths`."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), Dice(fan_out)]
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class TargetAttention(nn.Module):
    """One weight for each history item from an MLP on `[q, k, q - k, q * k]`, and their weighted sum for each row.

    The weights are not normalised by a softmax, so that the interest keeps its intensity (Zhou et al., KDD 2018,
    section 4.3). Parameters are those of the plain layers.

    Args:
        dim: D.
        hidden: widths of the attention MLP, at least one.
        dropout: probability within the MLP.
    """

    def __init__(self, dim: int, *, hidden: Sequence[int] = (80, 40), dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(4 * dim, hidden[0])
        self.first_dice = Dice(hidden[0])
        self.first_dropout = nn.Dropout(dropout)
        self.rest = mlp(hidden, dropout=dropout)
        self.last = nn.Linear(hidden[-1], 1)

    def forward(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """Pool the history of each row.

        Args:
            query: (B, D) target item embeddings.
            keys: (N, D) history item embeddings, real items only.
            row: (N,) int64, ascending; the row of `query` that each history item belongs to.

        Returns:
            (B, D) interest; zero for a row without history.
        """
        hidden, keys = first_layer(self.first, query, keys, row)  # (N, H)
        return pool(self._weights(hidden), keys, row, rows=len(query))

    def weights(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """(N, 1) attention weight of each history item; arguments as in `forward`."""
        return self._weights(first_layer(self.first, query, keys, row)[0])

    def _weights(self, hidden: Tensor) -> Tensor:
        return self.last(self.rest(self.first_dropout(self.first_dice(hidden))))


def first_layer(layer: nn.Linear, query: Tensor, keys: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """`layer([q, k, q - k, q * k])` of each history item, (N, H), without that matrix of 4 D columns; and `keys` again.

    The layer is linear in its four blocks: `W1 q + W2 k + W3 (q - k) + W4 (q * k)` equals
    `(W1 + W3) q + (W2 - W3) k + W4 (q * k)`. So the part of the target is computed once for each row, and the rest is
    one product with `[k, q * k]`. What else is made of the keys is to be made of those that are given back: their
    gradients then meet in one tensor. Arguments as in `TargetAttention.forward`; `layer` is a plain one from 4 D to H.
    """
    w_q, w_k, w_diff, w_prod = layer.weight.chunk(4, dim=1)  # (H, D) each
    of_query = F.linear(query, w_q + w_diff, layer.bias)  # (B, H)
    return _FirstLayer.apply(query, keys, row, of_query, torch.cat([w_k - w_diff, w_prod], dim=1))


def pool(weights: Tensor, keys: Tensor, row: Tensor, *, rows: int) -> Tensor:
    """(rows, D) sum of (N, D) `keys` over each row, times their (N, 1) `weights`; zero for a row without history."""
    return _Pool.apply(weights.to(keys.dtype), keys, row, rows)


class _FirstLayer(torch.autograd.Function):
    """`of_query[row] + weight [k, q * k]` piece by piece, so that what is computed on the way stays in the cache.

    Products are in the precision of `of_query`, which autocast chose; sums of their gradients are at least float32.
    """

    @staticmethod
    def forward(  # the signature is PyTorch's
        ctx: Any, query: Tensor, keys: Tensor, row: Tensor, of_query: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        weight = weight.to(of_query.dtype)  # (H, 2 D)
        hidden = of_query.new_empty(len(keys), len(weight))
        for piece in _pieces(keys):
            _, inputs = _inputs(query, keys[piece], row[piece], weight.dtype)
            torch.addmm(of_query.index_select(0, row[piece]), inputs, weight.T, out=hidden[piece])
        ctx.save_for_backward(query, keys, row, weight)
        ctx.set_materialize_grads(False)
        passed = keys.view_as(keys)
        if not ctx.needs_input_grad[1]:
            ctx.mark_non_differentiable(passed)
        return hidden, passed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, of_keys: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return None, of_keys, None, None, None
        query, keys, row, weight = ctx.saved_tensors
        for_query, for_keys, _, for_part, for_weight = ctx.needs_input_grad
        sums = torch.promote_types(weight.dtype, torch.float32)
        of_query = weight.new_zeros(len(query), len(weight), dtype=sums) if for_part else None
        of_weight = torch.zeros_like(weight, dtype=sums) if for_weight else None
        through_product = torch.zeros_like(query) if for_query else None
        of_items = torch.empty_like(keys) if for_keys else None  # a tensor of its own: others may hold `of_keys`
        for piece in _pieces(keys):
            q, inputs = _inputs(query, keys[piece], row[piece], weight.dtype)
            if of_query is not None:
                of_query.index_add_(0, row[piece], grad[piece].to(sums))
            if of_weight is not None:
                of_weight += grad[piece].T @ inputs
            if for_query or for_keys:
                of_k, of_qk = torch.mm(grad[piece], weight, out=inputs).chunk(2, dim=1)  # (n, D) each
            if of_items is not None:
                if of_keys is None:
                    of_items[piece] = of_k
                else:
                    torch.add(of_keys[piece], of_k, out=of_items[piece])
                of_items[piece].addcmul_(of_qk, q)
            if through_product is not None:
                through_product.index_add_(0, row[piece], of_qk * keys[piece])
        part = None if of_query is None else of_query.to(weight.dtype)
        return through_product, of_items, None, part, of_weight


class _Pool(torch.autograd.Function):
    """`interest[row] += weights * keys`, piece by piece."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, keys: Tensor, row: Tensor, rows: int) -> Tensor:
        interest = keys.new_zeros(rows, keys.shape[1])
        for piece in _pieces(keys):
            interest.index_add_(0, row[piece], weights[piece] * keys[piece])
        ctx.save_for_backward(weights, keys, row)
        return interest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weights, keys, row = ctx.saved_tensors
        of_weights = torch.empty_like(weights) if ctx.needs_input_grad[0] else None
        of_keys = torch.empty_like(keys) if ctx.needs_input_grad[1] else None
        for piece in _pieces(keys):
            of_row = grad.index_select(0, row[piece])  # (n, D)
            if of_keys is not None:
                torch.mul(of_row, weights[piece], out=of_keys[piece])
            if of_weights is not None:
                torch.sum(of_row.mul_(keys[piece]), dim=1, keepdim=True, out=of_weights[piece])
        return of_weights, of_keys, None, None


def _pieces(keys: Tensor) -> list[slice]:
    """The N history items in pieces; a device that is no CPU takes them at once."""
    size = PIECE if keys.device.type == "cpu" else max(1, len(keys))
    return [slice(start, start + size) for start in range(0, len(keys), size)]


def _inputs(query: Tensor, keys: Tensor, row: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The target of each of n history items, (n, D), and `[k, q * k]` as (n, 2 D) of `dtype`."""
    q, dim = query.index_select(0, row), keys.shape[1]
    inputs = keys.new_empty(len(keys), 2 * dim, dtype=dtype)
    inputs[:, :dim] = keys
    torch.mul(q, keys, out=inputs[:, dim:])
    return q, inputs
