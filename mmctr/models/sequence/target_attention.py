"""Target attention over packed histories.

Legend: B rows, N history items of all rows together, D embedding width, H width of the first layer.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmctr.models.layers import Activation, activated, mlp
from mmctr.models.packed import chunks

PART = 4096  # history items that go through an MLP of ReLU together on the CPU: 8 MB at H = 512


class TargetAttention(nn.Module):
    """One weight for each history item from an MLP on `[q, k, q - k, q * k]`, and their weighted sum for each row.

    The weights are not normalised by a softmax, so that the interest keeps its intensity (Zhou et al., KDD 2018,
    section 4.3). Parameters are those of the plain layers. On the CPU an MLP of ReLU goes through a few rows at a time,
    so that what it computes on the way stays in the cache, in the backward pass too; Dice needs all of a batch at once.

    Args:
        dim: D.
        hidden: widths of the attention MLP, at least one.
        activation: after each hidden layer.
        dropout: probability within the MLP.
    """

    of_content = False

    def __init__(self, dim: int, *, hidden: Sequence[int], activation: Activation, dropout: float) -> None:
        super().__init__()
        self.width = dim
        self.needs_whole_batch = activation == "dice"
        self.first = nn.Linear(4 * dim, hidden[0])
        self.first_activation = nn.Sequential(*activated(hidden[0], activation=activation, dropout=dropout))
        self.rest = mlp(hidden, dropout=dropout, activation=activation)
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
        if self.needs_whole_batch or keys.device.type != "cpu" or len(keys) <= PART:
            return self._pooled(query, keys, row)
        rows, items = _parts(row, rows=len(query))
        starts = [0, *accumulate(rows)]
        parts = zip(query.split(rows), keys.split(items), row.split(items), starts, strict=False)
        return torch.cat([self._pooled(q, k, r - start) for q, k, r, start in parts])

    def _pooled(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        hidden, keys = first_layer(self.first, query, keys, row)  # (N, H)
        return pool(self._weights(hidden), keys, row, rows=len(query))

    def weights(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """(N, 1) attention weight of each history item; arguments as in `forward`."""
        return self._weights(first_layer(self.first, query, keys, row)[0])

    def _weights(self, hidden: Tensor) -> Tensor:
        return self.last(self.rest(self.first_activation(hidden)))


COMPONENT = TargetAttention


def first_layer(layer: nn.Linear, query: Tensor, keys: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """`layer([q, k, q - k, q * k])` of each history item, (N, H), without that matrix of 4 D columns; and `keys` again.

    The layer is linear in its four blocks: `W1 q + W2 k + W3 (q - k) + W4 (q * k)` equals
    `(W1 + W3) q + (W2 - W3) k + W4 (q * k)`. So the part of the target is computed once for each row, and the rest is
    one product with `[k, q * k]`. What else is made of the keys is to be made of those that are returned: their
    gradients then meet in one tensor. Arguments as in `TargetAttention.forward`; `layer` is a plain one from 4 D to H.
    """
    w_q, w_k, w_diff, w_prod = layer.weight.chunk(4, dim=1)  # (H, D) each
    query_part = F.linear(query, w_q + w_diff, layer.bias)  # (B, H)
    return _FirstLayer.apply(query, keys, row, query_part, torch.cat([w_k - w_diff, w_prod], dim=1))


def pool(weights: Tensor, keys: Tensor, row: Tensor, *, rows: int) -> Tensor:
    """(rows, D) sum of (N, D) `keys` over each row, times their (N, 1) `weights`; zero for a row without history."""
    return _Pool.apply(weights.to(keys.dtype), keys, row, rows)


class _FirstLayer(torch.autograd.Function):
    """`query_part[row] + weight [k, q * k]` chunk by chunk, so that what is computed on the way stays in the cache.

    Products are in the precision of `query_part`, which autocast chose; sums of their gradients are at least float32.
    """

    @staticmethod
    def forward(  # the signature is PyTorch's
        ctx: Any, query: Tensor, keys: Tensor, row: Tensor, query_part: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        weight = weight.to(query_part.dtype)  # (H, 2 D)
        hidden = query_part.new_empty(len(keys), len(weight))
        for chunk in chunks(keys):
            _, inputs = _inputs(query, keys[chunk], row[chunk], weight.dtype)
            torch.addmm(query_part.index_select(0, row[chunk]), inputs, weight.T, out=hidden[chunk])
        ctx.save_for_backward(query, keys, row, weight)
        ctx.set_materialize_grads(False)
        passed = keys.view_as(keys)
        if not ctx.needs_input_grad[1]:
            ctx.mark_non_differentiable(passed)
        return hidden, passed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, grad_passed: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return None, grad_passed, None, None, None
        query, keys, row, weight = ctx.saved_tensors
        for_query, for_keys, _, for_part, for_weight = ctx.needs_input_grad
        sums = torch.promote_types(weight.dtype, torch.float32)
        grad_part = weight.new_zeros(len(query), len(weight), dtype=sums) if for_part else None
        grad_weight = torch.zeros_like(weight, dtype=sums) if for_weight else None
        grad_query = torch.zeros_like(query) if for_query else None
        grad_keys = torch.empty_like(keys) if for_keys else None  # a tensor of its own: others may hold `grad_passed`
        for chunk in chunks(keys):
            q, inputs = _inputs(query, keys[chunk], row[chunk], weight.dtype)
            if grad_part is not None:
                grad_part.index_add_(0, row[chunk], grad[chunk].to(sums))
            if grad_weight is not None:
                grad_weight += grad[chunk].T @ inputs
            if for_query or for_keys:
                grad_k, grad_qk = torch.mm(grad[chunk], weight, out=inputs).chunk(2, dim=1)  # (n, D) each
            if grad_keys is not None:
                if grad_passed is None:
                    grad_keys[chunk] = grad_k
                else:
                    torch.add(grad_passed[chunk], grad_k, out=grad_keys[chunk])
                grad_keys[chunk].addcmul_(grad_qk, q)
            if grad_query is not None:
                grad_query.index_add_(0, row[chunk], grad_qk * keys[chunk])
        grad_part = None if grad_part is None else grad_part.to(weight.dtype)
        return grad_query, grad_keys, None, grad_part, grad_weight


class _Pool(torch.autograd.Function):
    """`interest[row] += weights * keys`, chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, keys: Tensor, row: Tensor, rows: int) -> Tensor:
        interest = keys.new_zeros(rows, keys.shape[1])
        for chunk in chunks(keys):
            interest.index_add_(0, row[chunk], weights[chunk] * keys[chunk])
        ctx.save_for_backward(weights, keys, row)
        return interest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weights, keys, row = ctx.saved_tensors
        grad_weights = torch.empty_like(weights) if ctx.needs_input_grad[0] else None
        grad_keys = torch.empty_like(keys) if ctx.needs_input_grad[1] else None
        for chunk in chunks(keys):
            grad_row = grad.index_select(0, row[chunk])  # (n, D)
            if grad_keys is not None:
                torch.mul(grad_row, weights[chunk], out=grad_keys[chunk])
            if grad_weights is not None:
                torch.sum(grad_row.mul_(keys[chunk]), dim=1, keepdim=True, out=grad_weights[chunk])
        return grad_weights, grad_keys, None, None


def _parts(row: Tensor, *, rows: int) -> tuple[list[int], list[int]]:
    """Rows, and history items, of each part of more than `PART` items: whole rows, of about `PART` items together."""
    offsets = torch.searchsorted(row, torch.arange(rows + 1))  # (rows + 1,) where each row's items begin
    bounds = torch.searchsorted(offsets, torch.arange(PART, len(row), PART))
    bounds = torch.cat([torch.tensor([0]), bounds, torch.tensor([rows])]).unique_consecutive()
    return bounds.diff().tolist(), offsets[bounds].diff().tolist()


def _inputs(query: Tensor, keys: Tensor, row: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The target of each of n history items, (n, D), and `[k, q * k]` as (n, 2 D) of `dtype`."""
    q, dim = query.index_select(0, row), keys.shape[1]
    inputs = keys.new_empty(len(keys), 2 * dim, dtype=dtype)
    inputs[:, :dim] = keys
    torch.mul(q, keys, out=inputs[:, dim:])
    return q, inputs
