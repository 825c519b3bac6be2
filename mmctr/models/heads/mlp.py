"""A tower of hidden layers.

Legend: B rows, W numbers of a row.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from mmctr.models.layers import Activation, logits, mlp


class MLP(nn.Module):
    """Hidden layers, then one logit a row.

    Args:
        width: W.
        hidden: widths of the layers, at least one.
        activation: after each of them.
        batch_norm: before each activation.
        dropout: probability after each activation.
    """

    def __init__(
        self, width: int, *, hidden: Sequence[int], activation: Activation, batch_norm: bool, dropout: float
    ) -> None:
        super().__init__()
        self.tower = mlp([width, *hidden], dropout=dropout, activation=activation, batch_norm=batch_norm)
        self.logit = nn.Linear(hidden[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B,) float32 logits of (B, W) rows."""
        return logits(self.logit, self.tower(x))


COMPONENT = MLP
