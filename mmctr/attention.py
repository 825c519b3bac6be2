"""Target attention over packed histories.

Legend: B rows, N history items of all rows together, D embedding width, H width of the first layer.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from mmctr.dice import Dice


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
        return pool(self.weights(query, keys, row), keys, row, rows=len(query))

    def weights(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """(N, 1) attention weight of each history item; arguments as in `forward`."""
        hidden = first_layer(self.first, query, keys, row)  # (N, H)
        return self.last(self.rest(self.first_dropout(self.first_dice(hidden))))


def first_layer(layer: nn.Linear, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
    """`layer([q, k, q - k, q * k])` of each history item, (N, H), without that matrix of 4 D columns.

    The layer is linear in its four blocks: `W1 q + W2 k + W3 (q - k) + W4 (q * k)` equals
    `(W1 + W3) q + (W2 - W3) k + W4 (q * k)`. So the part of the target is computed once for each row, and nothing is
    concatenated. Arguments as in `TargetAttention.forward`; `layer` is a plain one from 4 D to H.
    """
    w_q, w_k, w_diff, w_prod = layer.weight.chunk(4, dim=1)  # (H, D) each
    of_query = torch.addmm(layer.bias, query, (w_q + w_diff).T)  # (B, H)
    hidden = of_query.index_select(0, row)  # (N, H), to which the other parts are added in place
    return hidden.addmm_(keys, (w_k - w_diff).T).addmm_(query.index_select(0, row) * keys, w_prod.T)


def pool(weights: Tensor, keys: Tensor, row: Tensor, *, rows: int) -> Tensor:
    """(rows, D) sum of (N, D) `keys` over each row, times their (N, 1) `weights`; zero for a row without history."""
    interest = keys.new_zeros(rows, keys.shape[1])
    return interest.index_add(0, row, (weights * keys).to(keys.dtype))
